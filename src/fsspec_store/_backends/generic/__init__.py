"""Every other fsspec filesystem."""
