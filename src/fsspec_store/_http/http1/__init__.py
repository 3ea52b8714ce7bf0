"""HTTP/1.1 with next to nothing between a request and the socket."""
