"""Requests to web servers, shared by the backends for web servers and WebDAV."""
