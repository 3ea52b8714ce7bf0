"""Messages of errors for the shell: they name options of the command, not Python's.

The package's messages are written for Python. What they name of it is replaced here.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from ..errors import StorageOptionError
from .exit_codes import is_interruption

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["in_shell_words", "message_of"]

#: Keys and other quoted texts, and URLs: no words of the package. NUL stands for each of them.
_QUOTED = re.compile(
    r"""\0|(?<!\w)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|\b\w[\w+.:-]*://\S*[^\s:;,.)]"""
)
#: The representation of a store, whose URL is enough.
_STORE = re.compile(r"\b\w*Store\((\0)(?:, read_only=True)?\)")
#: The name of an exception before its message, and the number of an error of the system.
_CLASS = re.compile(r"(?:^|(?<=: ))[A-Za-z_]\w*(?:Error|Exception): (?=\S)|\[Errno -?\d+\] ")
#: Advice about parameters that have no option of the command.
_PYTHON_ADVICE = re.compile(
    r"; if this is the service's response for missing keys, open the store with "
    r"missing_on_forbidden=True|; allow_empty=True accepts that"
    r"| \(did you mean the store parameter [^)]*\)"
)
_UNKNOWN_ARGUMENT = re.compile(r"(?:[\w.]+\.)?__init__\(\) got an unexpected keyword argument")
_BASIC_AUTH = "client_kwargs={'auth': aiohttp.BasicAuth(...)}"
#: Options of a link of a chain; in the shell its protocol is the name of an option.
_LINK = re.compile(r"(?<!=)\{'(\w+)': (\{.*?\})\}(?=\?)")
#: An option with its value in Python: ``client_kwargs={'verify': ...}``, ``token='anon'``.
_VALUE = re.compile(r"(did you mean )?\b(\w+)=(\{.*?\}+|\(.*?\)|'[^']*'|True|False)")
#: Of Python, and the same in JSON.
_LITERALS = str.maketrans({"'": '"', "(": "[", ")": "]"})


def message_of(error: BaseException, flags: Mapping[str, str]) -> str:
    """The text of an error, without its type where the text is enough.

    Parameters
    ----------
    error : BaseException
        Of a command.
    flags : mapping of str to str
        The option of the command for each parameter of Python.
    """
    if is_interruption(error):
        return "interrupted"
    if isinstance(error, BaseExceptionGroup):
        return "\n".join(message_of(each, flags) for each in error.exceptions)
    if isinstance(error, StorageOptionError):
        return in_shell_words(_json_values(str(error)), flags)
    if hasattr(error, "url"):
        # Not all names of exceptions end in "Error".
        return in_shell_words(str(error), flags, cause=type(error.__cause__).__name__)
    if isinstance(error, OSError):
        if error.strerror and error.filename is not None:
            return f"{error.filename}: {error.strerror}"
        return error.strerror or str(error)
    return f"unexpected error: {type(error).__name__}: {error}"


def in_shell_words(text: str, flags: Mapping[str, str], *, cause: str = "NoneType") -> str:
    """A message of the package with options of the command, and without names of classes.

    Parameters
    ----------
    text : str
        The message. Quoted texts and URLs in it stay as they are.
    flags : mapping of str to str
        The option of the command for each parameter of Python.
    cause : str, optional
        The name of a class whose name does not end in "Error".
    """
    quoted = iter(_QUOTED.findall(text))
    text = _CLASS.sub("", _STORE.sub(r"\1", _QUOTED.sub("\0", text)))
    text = re.sub(rf"(?<=: ){cause}: (?=\S)", "", text)
    for name, flag in flags.items():
        # Not a part of a path.
        start = rf"(?<![\w/.-]){name}"
        text = re.sub(rf"{start}=True\b", flag, text)
        text = re.sub(rf"{start}=(?=\0)", f"{flag} ", text)
        if "_" in name:
            text = re.sub(rf"{start}(?![\w/.=-])", flag, text)
    return re.sub("\0", lambda _: next(quoted), _PYTHON_ADVICE.sub("", text))


def _json_values(text: str) -> str:
    """A message about storage options with values as ``--option`` takes them."""
    text = text.replace(_BASIC_AUTH, "user:password@ in the URL")
    text = _UNKNOWN_ARGUMENT.sub("unknown option", text)
    return _VALUE.sub(_as_option, _LINK.sub(r"\1=\2", text))


def _as_option(found: re.Match[str]) -> str:
    hint, name, value = found.groups()
    option = shlex.quote(f"{name}={_as_json(value)}")
    return f"{hint}-o {option}" if hint else option


def _as_json(value: str) -> str:
    return value.translate(_LITERALS).replace("True", "true").replace("False", "false")
