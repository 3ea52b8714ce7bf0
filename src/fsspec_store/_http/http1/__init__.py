"""A small and strict HTTP/1.1 client."""
