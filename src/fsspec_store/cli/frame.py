"""The frame of all commands: parameters that they share, errors and exit codes.

A command is a function with the decorator `command`, in a separate module of `commands`.
"""

from __future__ import annotations

import inspect
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from .._version import __version__
from .command_text import command_text, flags_of
from .exit_codes import ExitCode
from .help import OUTPUT, GroupedCommand, GroupedCommands, exit_codes
from .output import Output
from .place import Place, place_at, place_parameters, share_options, shared_parameters
from .usage import usage_text

__all__ = ["app", "command"]

_NAME = "fsspec-store"

#: Passes records of this package to standard error, where Python prints warnings.
_OWN_RECORDS = logging.Filter("fsspec_store")

F = TypeVar("F", bound=Callable[..., ExitCode | None])


class _Commands(GroupedCommands):
    """The group of all commands. It ends the process with the exit code of a command."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> NoReturn:
        try:
            code = super().main(args, *more, **{**extra, "standalone_mode": False})
        except SystemExit as end:
            # Typer exits when the reader of the help has closed the pipe.
            is_closed = isinstance(end.__context__, BrokenPipeError)
            code = ExitCode.CLOSED_PIPE if is_closed else end.code
        except (Exception, KeyboardInterrupt) as error:
            # The parameters are wrong, or their check was interrupted.
            given = sys.argv[1:] if args is None else args
            code = _failed(error, Output(json="--json" in given))
        sys.exit(_flushed(code))


app = typer.Typer(
    cls=_Commands,
    # Help by Rich would take a third of the time of a start.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    epilog=exit_codes(),
)


def command(
    group: str, *, examples: Sequence[tuple[str, str]], json: bool = True
) -> Callable[[F], F]:
    """Add a function as the command of its name. Its docstring is the help.

    A parameter of the type `Place` becomes a URL and the options of its filesystem. One of the type
    `Output` becomes ``-q``, ``-v`` and, if ``json`` is true, ``--json``. All others are Typer's.
    The function returns an exit code, or ``None`` for 0.

    Parameters
    ----------
    group : str
        The group of commands in the help.
    examples : sequence of (str, str)
        Arguments after the name of the command, and what they do.
    json : bool, optional
        Whether the command can print JSON.
    """

    def add(function: F) -> F:
        output_name = ""
        places: list[str] = []
        parameters: list[inspect.Parameter] = []
        last: list[inspect.Parameter] = []
        for parameter in inspect.signature(function, eval_str=True).parameters.values():
            if parameter.annotation is Place:
                url, *options = place_parameters(parameter.name)
                parameters.append(url)
                places.append(parameter.name)
                last += options
            elif parameter.annotation is Output:
                last += _output_parameters(json)
                output_name = parameter.name
            else:
                parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        if len(places) > 1:
            last[:0] = shared_parameters()
        # The help shows what all commands share after a command's own options.
        parameters += last
        flags = flags_of(parameters)

        def run(**values: Any) -> NoReturn:
            all_values = dict(values)
            output = Output(
                json=values.pop("json", False),
                quiet=values.pop("quiet"),
                verbose=values.pop("verbose"),
                flags=flags,
            )
            _show_records(of_libraries=output.verbose)
            try:
                if len(places) > 1:
                    share_options(places, values)
                given: dict[str, Any] = {output_name: output}
                for each in places:
                    given[each] = place = place_at(each, values)
                    output.secrets |= place.secrets()
                output.command = command_text(
                    f"{_NAME} {name}", parameters, all_values, output.secrets
                )
                code: int = function(**given, **values) or ExitCode.DONE
                sys.stdout.flush()
            except (Exception, KeyboardInterrupt) as error:
                code = _failed(error, output)
            raise typer.Exit(code)

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        name = function.__name__
        app.command(
            name,
            cls=GroupedCommand,
            help=inspect.getdoc(function),
            epilog=_epilog(name, examples),
            rich_help_panel=group,
        )(run)
        return function

    return add


def _output_parameters(json: bool) -> list[inspect.Parameter]:
    flags: dict[str, tuple[tuple[str, ...], str]] = {
        "quiet": (("-q", "--quiet"), "Print errors only."),
        "verbose": (
            ("-v", "--verbose"),
            "Print the traceback of an error, and what libraries log.",
        ),
    }
    if json:
        flags["json"] = (("--json",), "Print JSON to standard output.")
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[bool, typer.Option(*names, help=text, rich_help_panel=OUTPUT)],
            default=False,
        )
        for name, (names, text) in flags.items()
    ]


def _show_records(*, of_libraries: bool) -> None:
    if logging.lastResort is not None:
        change = logging.lastResort.removeFilter if of_libraries else logging.lastResort.addFilter
        change(_OWN_RECORDS)


def _epilog(name: str, examples: Sequence[tuple[str, str]]) -> str:
    # "\b" keeps the lines of a paragraph.
    shown = [f"  {text}:\n    {_NAME} {name} {args}" for args, text in examples]
    return "\n".join(("\b", "Examples:", *shown))


def _failed(error: BaseException, output: Output) -> int:
    if isinstance(error, typer.Abort):
        error = KeyboardInterrupt()
    # Typer's usage errors have no public base class.
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        return output.failed(error)
    text: str = format_message()
    context = getattr(error, "ctx", None)
    if "\n" in text:
        # The help, because there are no arguments.
        sys.stderr.write(text + "\n")
    elif context is None:
        output.failed_with(ExitCode.USAGE, text)
    else:
        text = usage_text(error, context.info_name)
        text = f"{text} See" if text.endswith("?") else f"{text.rstrip('.')}; see"
        output.failed_with(ExitCode.USAGE, f"{text} {context.command_path} --help")
    return ExitCode.USAGE


def _flushed(code: int) -> int:
    """Flush standard output; return the exit code, which a closed pipe or a full disk changes."""
    try:
        sys.stdout.flush()
        is_written = code != ExitCode.CLOSED_PIPE
    except OSError as error:
        is_written = False
        # The error is printed already if there was one before.
        if code == ExitCode.DONE or isinstance(error, BrokenPipeError):
            code = Output().failed(error)
    if not is_written:
        # Python would flush what is left, print the error, and exit with 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _print_version(is_given: bool) -> None:
    if is_given:
        sys.stdout.write(f"{_NAME} {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_print_version,
            help="Print the version of the package.",
        ),
    ] = False,
) -> None:
    """Copy, publish, check, list and delete data sets at any fsspec URL."""
