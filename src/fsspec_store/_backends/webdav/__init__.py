"""The backend for WebDAV servers."""
