"""Where the programs are that Python packages bring along.

Knows Python's own folder and the PATH, and none of the programs.
"""

import shutil
import sys
from pathlib import Path

from servers.errors import ServerUnavailable


def program_of_package(name: str, program: str, package: str) -> str:
    """The path of a program that a package installs beside this Python."""
    beside_python = Path(sys.executable).parent / program
    found = shutil.which(str(beside_python)) or shutil.which(program)
    if found is None:
        raise ServerUnavailable(
            f"{name} is missing: no `{program}` beside this Python nor on the PATH; "
            f"run: python -m pip install {package}"
        )
    return found
