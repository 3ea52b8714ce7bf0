"""HTTP: retries, limits, transports, reading of bodies."""
