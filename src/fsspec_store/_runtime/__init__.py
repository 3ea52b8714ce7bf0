"""Event loops, threads, forks, and how many things run at once."""
