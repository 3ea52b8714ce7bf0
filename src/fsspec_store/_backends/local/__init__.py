"""The backend for local files."""
