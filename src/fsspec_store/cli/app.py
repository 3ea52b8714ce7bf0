"""The application: the frame with all commands."""

from __future__ import annotations

from . import commands
from .frame import app

__all__ = ["commands", "run"]


def run() -> None:
    """Run the command with the arguments of the process, and exit."""
    app(prog_name="fsspec-store")
