"""``python -m fsspec_store``: the command ``fsspec-store``."""

from .cli import main

main()
