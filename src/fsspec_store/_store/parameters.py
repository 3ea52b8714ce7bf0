"""Parameters of stores: errors for unknown ones, and a former name that is still accepted."""

from __future__ import annotations

import difflib
import inspect
import warnings
from typing import TYPE_CHECKING, Any

from ..errors import StorageOptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["check_parameters", "with_current_names"]


def check_parameters(cls: type, names: Iterable[str]) -> None:
    """Raise `StorageOptionError`, with advice, for a name that is not a parameter of the class.

    A class that takes any keyword accepts every name.
    """
    parameters = inspect.signature(cls).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in sorted(set(names) - parameters.keys()):
        raise StorageOptionError(
            f"a store has no parameter {name!r}; {_advice(name, parameters.keys())}"
        )


def with_current_names(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options, with ``transport`` in place of ``fast``, its name in earlier versions."""
    if "fast" not in options or "transport" in options:
        return options
    transport = "auto" if options["fast"] else "library"
    warnings.warn(
        f"write transport={transport!r} for fast={options['fast']!r}",
        DeprecationWarning,
        stacklevel=4,
    )
    return {name: value for name, value in options.items() if name != "fast"} | {
        "transport": transport
    }


def _advice(name: str, parameters: Iterable[str]) -> str:
    if name == "mode":
        return "read_only=True opens for reading only; mode is a parameter of zarr and xarray"
    # Compared without "_": then readonly= is close to read_only, and to nothing else.
    known = {each.replace("_", ""): each for each in [*parameters, "storage_options"]}
    similar = difflib.get_close_matches(name.lower().replace("_", ""), known, n=1, cutoff=0.65)
    if similar:
        return f"did you mean {known[similar[0]]}?"
    return f"options of the filesystem go into storage_options={{{name!r}: ...}}"
