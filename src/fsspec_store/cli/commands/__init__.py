"""The commands, a module for each. An import adds them to the application, in the order of help."""

# isort: off
from . import ls, tree, du, stat, cat, rm, info, bench

__all__ = ["bench", "cat", "du", "info", "ls", "rm", "stat", "tree"]
