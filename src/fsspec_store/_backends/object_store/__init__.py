"""What the object stores share: large reads of one version, conditional writes, bulk deletes."""
