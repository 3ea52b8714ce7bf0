"""The store contract and `FsspecStore`, over the backends."""
