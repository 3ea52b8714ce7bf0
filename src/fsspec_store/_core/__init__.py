"""Types and pure functions that all layers use: byte requests, versions, failures, URLs. No I/O."""
