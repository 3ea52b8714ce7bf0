"""The page of a copy, a sync or a comparison: totals, failures and differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.text import counted, human_size
from .page import MAX_LISTED, bulleted, code, escaped, facts, more, page

if TYPE_CHECKING:
    from datetime import datetime

    from ..transfer import Result

__all__ = ["transfer_page"]


def transfer_page(
    result: Result,
    *,
    title: str = "Transfer",
    source: str = "",
    target: str = "",
    command: str = "",
    error: str = "",
    date: datetime | None = None,
) -> str:
    """The result of a transfer or comparison as one page of HTML, which needs no network.

    Parameters
    ----------
    result : Result
        The result of `fsspec_store.transfer.sync`, or of another function there.
    title : str, optional
        What was done.
    source, target : str, optional
        URLs of the stores, without secrets.
    command : str, optional
        The command that makes the report again, without secrets.
    error : str, optional
        Why the transfer ended early, without secrets; by default ``result.stopped_by``.
    date : datetime, optional
        When the transfer ended; by default now.

    Returns
    -------
    str
        The document.
    """
    counts = [
        ("Copied", result.copied),
        ("Equal", result.equal),
        ("Deleted", result.deleted),
        ("Failed", result.failed),
    ]
    exceptions = [
        ("Different", result.differing),
        ("Metadata held back", result.held_back),
        ("Deletes skipped", result.deletes_skipped),
        ("Not tried", result.not_tried),
        ("Names left out", result.left_out),
    ]
    rate = result.copied_bytes / result.seconds if result.seconds else 0
    size = f'<span title="{result.copied_bytes} bytes">{human_size(result.copied_bytes)}</span>'
    totals = [
        *((name, f"{count:,}") for name, count in counts),
        *((name, f"{count:,}") for name, count in exceptions if count),
        ("Size", size),
        ("Duration", f"{result.seconds:,.1f} s"),
        ("Rate", f"{human_size(rate)}/s"),
    ]
    failures = (
        f"{escaped(one.action)} {code(one.key)} {escaped(one.error)}"
        for one in result.failures[:MAX_LISTED]
    )
    differences = (
        f"{code(one.key)} {escaped(one.reason)}" for one in result.differences[:MAX_LISTED]
    )
    if not error and result.stopped_by is not None:
        error = str(result.stopped_by)
    body = [f"<p>The transfer stopped: {escaped(error)}</p>"] if error else []
    body.append(f"<h2>Totals</h2>{facts(totals, 'totals')}")
    if result.failed:
        body += ["<h2>Failures</h2>", bulleted(failures)]
        body.append(more(result.failed - MAX_LISTED, "keys failed"))
    if result.held_back:
        held_back = counted(result.held_back, "metadata key")
        body.append(f"<p>{held_back} not copied, because keys below failed.</p>")
    if result.deletes_skipped:
        skipped = counted(result.deletes_skipped)
        body.append(f"<p>{skipped} not deleted, because copies failed.</p>")
    if result.differing:
        body += ["<h2>Differences</h2>", bulleted(differences)]
        body.append(more(result.differing - MAX_LISTED, "keys differ"))
    places = (("Source", source), ("Target", target))
    return page(
        title,
        ok=result.ok and not error,
        verdict=_verdict(result, error),
        about=[(name, code(url)) for name, url in places if url],
        command=command,
        date=date,
        body="\n".join(body),
    )


def _verdict(result: Result, error: str) -> str:
    if result.ok and not error:
        return "Done: every key is as requested"
    counts = (
        (result.failed, "failed"),
        (result.differing, "differ"),
        (result.not_tried, "not tried"),
        (result.left_out, "left out"),
    )
    parts = [f"{count:,} {what}" for count, what in counts if count]
    is_compared = result.differing and not (result.failed or error)
    return f"Not {'equal' if is_compared else 'complete'}: {', '.join(parts) or error}"
