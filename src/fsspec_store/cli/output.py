"""What a command prints: text, tables and JSON to standard output, messages to standard error.

Rich is imported for tables on a terminal only.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from .._core.redaction import hidden, public_text, secret_options
from .exit_codes import ExitCode, code_of
from .messages import in_shell_words, message_of
from .text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ..transfer import Result

__all__ = ["Output", "has_colors", "is_dumb"]

_BOLD_BLUE, _RESET = "\x1b[1;34m", "\x1b[0m"


def is_dumb() -> bool:
    """Whether a terminal cannot move its cursor, or its type is unknown."""
    return os.environ.get("TERM") in (None, "", "dumb")


def has_colors(stream: TextIO) -> bool:
    """Whether a stream may get colours (https://no-color.org, https://force-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and not is_dumb())


@dataclass
class Output:
    """The output of one command.

    Attributes
    ----------
    json : bool
        Print JSON to standard output, and nothing else there.
    quiet : bool
        Print errors only to standard error.
    verbose : bool
        Print the traceback of an error, and what libraries log.
    secrets : set of str
        Texts that are never printed.
    command : str
        The command that runs, without secrets.
    flags : mapping of str to str
        The option for each parameter, for messages that name the parameter.
    so_far : mapping
        What the command did before it failed, for the JSON document of the error.
    result : Result or None
        The same of a transfer, for its report.
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    secrets: set[str] = field(default_factory=set, repr=False)
    command: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)
    so_far: Mapping[str, Any] = field(default_factory=dict)
    result: Result | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether tables and colours are printed for a person."""
        return sys.stdout.isatty() and not self.json

    @property
    def has_colors(self) -> bool:
        """Whether colours may be printed to standard output."""
        return not self.json and has_colors(sys.stdout)

    # -- Standard output -----------------------------------------------------------------------

    def line(self, text: str) -> None:
        """Print one line. The text is `printable`."""
        sys.stdout.write(text + "\n")

    def document(self, value: Any) -> None:
        """Print a value as one line of JSON."""
        sys.stdout.write(json.dumps(value) + "\n")

    def prefix(self, name: str) -> str:
        """The name of a prefix, with a ``/`` at the end and in the colour of prefixes."""
        name = printable(name) + "/"
        return f"{_BOLD_BLUE}{name}{_RESET}" if self.has_colors else name

    def sized(self, size: str, name: str) -> str:
        """A line of a size and a name: aligned on a terminal, else with a tab between them."""
        return f"{size:>12}  {name}" if self.is_terminal else f"{size}\t{name}"

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: int) -> None:
        """Print a table: on a terminal with its columns' names, else as fields between tabs.

        Parameters
        ----------
        columns : sequence of str
            Names of the columns; without a header where all are empty.
        rows : iterable of sequence of str
            The fields of each row.
        right : int
            Number of columns, the first ones, that are aligned to the right.
        """
        if not self.is_terminal:
            for row in rows:
                self.line("\t".join(map(printable, row)))
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        has_header = any(columns)
        table = Table(box=None, header_style="bold", pad_edge=False, show_header=has_header)
        for index, column in enumerate(columns):
            table.add_column(column, justify="right" if index < right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(printable(each)) for each in row))
        Console(color_system="auto" if self.has_colors else None).print(table)

    def pairs(self, values: Mapping[str, Any]) -> None:
        """Print names and values: one JSON document, or a line for each."""
        if self.json:
            self.document(values)
        else:
            rows = [(name.replace("_", " "), _plain(value)) for name, value in values.items()]
            self.table(("", ""), rows, right=0)

    # -- Standard error ------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Print a message, unless the command is quiet."""
        if not self.quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """Print the message of an error."""
        shown = self.public(text)
        # Standard error may be closed. The exit code states the failure too.
        with suppress(OSError):
            sys.stderr.write(f"fsspec-store: {'; '.join(map(printable, shown.splitlines()))}\n")
            sys.stderr.flush()

    def public(self, text: str) -> str:
        """The text without secrets."""
        return hidden(public_text(text), self.secrets)

    def message(self, error: BaseException) -> str:
        """The message of an error, without secrets."""
        return self.public(message_of(error, self.flags))

    def reason(self, error: str) -> str:
        """The message of the error of a key, without secrets."""
        return self.public(in_shell_words(error, self.flags))

    def failure(self, action: str, key: str, error: str) -> None:
        """Print which key failed, and why."""
        self.error(f"cannot {action} {key!r}: {self.reason(error)}")

    def failed(self, error: BaseException) -> ExitCode:
        """Print the message of an error, and return its exit code."""
        code = code_of(error)
        if code is ExitCode.CLOSED_PIPE:
            return code
        if self.verbose and code is not ExitCode.INTERRUPTED:
            secrets = self.secrets | secret_options(os.environ)
            text = "".join(traceback.format_exception(error))
            with suppress(OSError):
                sys.stderr.write(hidden(public_text(text), secrets))
        self.failed_with(code, message_of(error, self.flags))
        return code

    def failed_with(self, code: ExitCode, text: str) -> None:
        """Print the message of a failed command; with ``--json`` also as a document."""
        self.error(text)
        if self.json:
            with suppress(OSError):
                self.document({**self.error_fields(code, text), **self.so_far})

    def error_fields(self, code: ExitCode, text: str) -> dict[str, Any]:
        """What a JSON document states about the error of a command."""
        return {"error": code.name.lower(), "exit_code": code, "message": self.public(text)}


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
