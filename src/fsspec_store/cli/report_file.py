"""``--html`` and ``--junit``: files that are written however the command ends."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .help import OUTPUT
from .transferring import in_words_of_shell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..dataset import Report
    from ..transfer import Result
    from .output import Output
    from .place import Place

__all__ = [
    "HtmlOption",
    "JunitOption",
    "ReportFile",
    "check_reports",
    "report_file",
    "transfer_report",
]

HtmlOption = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Write a report as one page of HTML.", rich_help_panel=OUTPUT
    ),
]
JunitOption = Annotated[
    Path | None,
    typer.Option(
        "--junit",
        metavar="FILE",
        help="Write a report as JUnit XML for CI systems.",
        rich_help_panel=OUTPUT,
    ),
]


class ReportFile:
    """A file that is replaced at once, or not at all.

    Parameters
    ----------
    path : Path
        Where it is.
    option : str
        The option that names it.

    Raises
    ------
    typer.BadParameter
        When it cannot be written.
    """

    def __init__(self, path: Path, option: str) -> None:
        # A link stays one.
        self._path = path.resolve()
        self.is_written = False
        try:
            if self._path.exists() and not self._path.is_file():
                raise OSError("it is not a file")
            with self._temporary():
                pass
        except OSError as error:
            reason = error.strerror or str(error)
            raise typer.BadParameter(f"cannot write {path}: {reason}", param_hint=option) from None

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A new file beside the path, which is removed at the end if it is still there."""
        path = self._path.with_name(f".{secrets.token_hex(8)}.tmp")
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            yield path
        finally:
            with suppress(FileNotFoundError):
                path.unlink()

    def write(self, text: str) -> None:
        """Replace the file."""
        with self._temporary() as path:
            path.write_text(text, encoding="utf-8", newline="\n")
            path.replace(self._path)
        self.is_written = True


@contextmanager
def report_file(
    path: Path | None, option: str, output: Output, failed: Callable[[str], str]
) -> Iterator[ReportFile | None]:
    """The file of an option, ``None`` if it is not given.

    Parameters
    ----------
    path : Path or None
        Value of the option.
    option : str
        Its name.
    output : Output
        Removes secrets from messages.
    failed : callable
        The report of an error message. It is written if the block ends with an error before the
        file is written.
    """
    if path is None:
        yield None
        return
    file = ReportFile(path, option)
    try:
        yield file
    except typer.BadParameter:
        # Another option is wrong: nothing was tried.
        raise
    except (Exception, KeyboardInterrupt) as error:
        if not file.is_written:
            file.write(failed(output.message(error)))
        raise


@contextmanager
def transfer_report(
    html: Path | None, output: Output, what: str, src: Place, dst: Place, *, dry_run: bool = False
) -> Iterator[Callable[[Result], object]]:
    """The file of ``--html`` of a command between two places.

    The value is a function that writes the page of a result; it does nothing without the option.

    Parameters
    ----------
    html : Path or None
        Value of the option.
    output : Output
        Of the command.
    what : str
        Title of the page, up to the target.
    src, dst : Place
        Source and target.
    dry_run : bool, optional
        Whether there will be no result.
    """
    if html is None:
        yield lambda _: None
        return
    if dry_run:
        raise typer.BadParameter("there is no report of --dry-run", param_hint="--html")
    from .. import reports

    source, target = output.public(src.shown), output.public(dst.shown)
    title = f"{what} {target}"
    urls = {"Source": source, "Target": target}
    page = partial(
        reports.transfer_page, title=title, source=source, target=target, command=output.command
    )

    def failed(message: str) -> str:
        if output.result is not None:
            return page(in_words_of_shell(output.result, output), error=message)
        return reports.failed_page(message, title=title, urls=urls, command=output.command)

    with report_file(html, "--html", output, failed) as file:
        assert file is not None
        yield lambda result: file.write(page(in_words_of_shell(result, output)))


@contextmanager
def check_reports(
    html: Path | None, junit: Path | None, output: Output, place: Place
) -> Iterator[Callable[[Report, float], object]]:
    """The files of ``--html`` and ``--junit`` of a check.

    The value is a function that writes those that are requested, of a report and its seconds.

    Parameters
    ----------
    html, junit : Path or None
        Values of the options.
    output : Output
        Of the command.
    place : Place
        Place of the data set.
    """
    if html is None and junit is None:
        yield lambda _, __: None
        return
    from .. import reports

    url = output.public(place.shown)
    failed_page = partial(
        reports.failed_page, title=f"Check of {url}", urls={"URL": url}, command=output.command
    )
    with (
        report_file(html, "--html", output, failed_page) as page,
        report_file(junit, "--junit", output, partial(reports.failed_junit, url=url)) as xml,
    ):

        def write(found: Report, seconds: float) -> None:
            if page is not None:
                page.write(
                    reports.check_page(found, url=url, command=output.command, seconds=seconds)
                )
            if xml is not None:
                xml.write(reports.junit(found, url=url, seconds=seconds))

        yield write
