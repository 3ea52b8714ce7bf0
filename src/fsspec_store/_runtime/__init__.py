"""Event loops, threads, forks, and bounded concurrency."""
