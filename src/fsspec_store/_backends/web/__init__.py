"""The backend for web servers."""
