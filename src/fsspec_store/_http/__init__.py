"""HTTP requests: retries, limits, transports, bodies."""
