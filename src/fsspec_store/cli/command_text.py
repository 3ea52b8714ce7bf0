"""The text of the command that runs, to repeat it, without what may be secret."""

from __future__ import annotations

import shlex
from enum import Enum
from typing import TYPE_CHECKING, Any, get_args

from typer.models import ArgumentInfo, OptionInfo

from .._core.redaction import hidden, public_text, public_url

if TYPE_CHECKING:
    import inspect
    from collections.abc import Iterable, Mapping, Set

__all__ = ["command_text", "flags_of"]


def command_text(
    name: str,
    parameters: Iterable[inspect.Parameter],
    values: Mapping[str, Any],
    secrets: Set[str],
) -> str:
    """The command with all parameters that differ from their defaults.

    Storage options are left out, because their values may be secret. A comment states it.

    Parameters
    ----------
    name : str
        The program and the command.
    parameters : iterable of inspect.Parameter
        Their annotations have Typer's arguments and options.
    values : mapping of str to object
        The value of each parameter.
    secrets : set of str
        Texts that are replaced.
    """
    options: list[str] = []
    arguments: list[str] = []
    left_out = ""
    for parameter in parameters:
        value = values[parameter.name]
        _, declared = get_args(parameter.annotation)[:2]
        if isinstance(declared, ArgumentInfo):
            arguments.append(_word(value, secrets))
        elif value == parameter.default:
            continue
        elif parameter.name.endswith("_options"):
            left_out = "  # without storage options"
        else:
            flag = _flag(declared)
            for each in value if isinstance(value, list) else [value]:
                options += [flag] if each is True else [flag, _word(each, secrets)]
    return " ".join([name, *options, *arguments]) + left_out


def flags_of(parameters: Iterable[inspect.Parameter]) -> dict[str, str]:
    """The longest name of each option, by the name of its parameter."""
    declared = {each.name: get_args(each.annotation)[1] for each in parameters}
    return {name: _flag(each) for name, each in declared.items() if isinstance(each, OptionInfo)}


def _flag(declared: OptionInfo) -> str:
    # In an annotation, Typer has the first name in place of the default.
    return max((str(declared.default), *(declared.param_decls or ())), key=len)


def _word(value: object, secrets: Set[str]) -> str:
    text = str(value.value if isinstance(value, Enum) else value)
    return shlex.quote(hidden(public_text(public_url(text)), secrets))
