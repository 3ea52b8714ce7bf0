"""The commands, a module for each. An import adds them to the application, in the order of help."""

# isort: off
from . import (
    ls,
    tree,
    du,
    stat,
    cat,
    cp,
    sync,
    verify,
    plan,
    apply,
    check,
    rm,
    cleanup,
    info,
    bench,
)

__all__ = [
    "apply",
    "bench",
    "cat",
    "check",
    "cleanup",
    "cp",
    "du",
    "info",
    "ls",
    "plan",
    "rm",
    "stat",
    "sync",
    "tree",
    "verify",
]
