"""The documentation, as its readers would follow it."""
