"""An S3 server in memory that uses little CPU, so that the client is what limits a benchmark."""
