"""What every layer speaks of: byte requests, versions, failures, URLs, secrets. No I/O."""
