"""Times, ETags and digests in listings. Pure functions; ``None`` for text in an unknown form."""

from __future__ import annotations

import binascii
from datetime import UTC, datetime

from .._core.versions import is_etag

__all__ = ["digest", "etag", "http_date", "in_utc", "iso_time"]

_MONTHS = {
    name: number
    for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)  # noqa: SIM905
}


def iso_time(text: str | None) -> datetime | None:
    """A time of RFC 3339, as in S3's and Google's listings; in UTC if it states no zone."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else in_utc(found)


def in_utc(time: object) -> datetime | None:
    """A time with a zone in UTC; ``None`` for a time without one, and for another type."""
    if not isinstance(time, datetime) or time.tzinfo is None:
        return None
    try:
        return time if time.tzinfo is UTC else time.astimezone(UTC)
    except OverflowError:
        return None


def http_date(text: str | None) -> datetime | None:
    """A date of HTTP (RFC 9110, section 5.6.7), ``Sun, 06 Nov 1994 08:49:37 GMT``."""
    # A tenth of the time of `email.utils.parsedate_to_datetime`.
    try:
        _, day, month, year, clock, zone = (text or "").split(" ")
        hour, minute, second = clock.split(":")
        numbers = int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second)
        return datetime(*numbers, tzinfo=UTC) if zone == "GMT" else None
    except (ValueError, KeyError, OverflowError):
        return None


def etag(text: str | None) -> str | None:
    """An ETag as in a header: some services list it without quotes."""
    found = text if not text or text.endswith('"') else f'"{text}"'
    return found if found and is_etag(found) else None


def digest(text: str | None, size: int) -> bytes | None:
    """A digest of ``size`` bytes from its base64."""
    try:
        found = binascii.a2b_base64(text or "", strict_mode=True)
    except ValueError:
        return None
    return found if len(found) == size else None
