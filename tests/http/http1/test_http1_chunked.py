from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store._http.http1.chunked import ChunkedBody
from fsspec_store._http.http1.head_parser import ProtocolError

LINES = st.binary(max_size=20).filter(lambda line: not set(line) & set(b"\r\n"))


@st.composite
def chunked(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A body, and a way to send it in chunks."""
    sent = bytearray()
    body = bytearray()
    for chunk in draw(st.lists(st.binary(min_size=1, max_size=300))):
        sent += _size_line(draw, len(chunk)) + chunk + b"\r\n"
        body += chunk
    sent += _size_line(draw, 0)
    for trailer in draw(st.lists(LINES.filter(bool), max_size=3)):
        sent += trailer + b"\r\n"
    return bytes(body), bytes(sent + b"\r\n")


def _size_line(draw: st.DrawFn, size: int) -> bytes:
    line = draw(st.sampled_from([b"%x", b"%X", b"%04x"])) % size
    line += draw(st.text(" \t", max_size=2)).encode()
    if draw(st.booleans()):
        line += b";" + draw(LINES)
    return line + b"\r\n"


def pieces_of(data: bytes, places: list[int]) -> list[bytes]:
    cuts = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(cuts)]


@given(chunked(), st.lists(st.integers(0, 2**16)), st.binary())
def test_a_body_in_any_pieces_is_decoded_exactly_to_its_end(
    sample: tuple[bytes, bytes], places: list[int], after: bytes
) -> None:
    expected, sent = sample
    body = ChunkedBody()
    consumed = 0
    for piece in pieces_of(sent + after, places):
        assert not body.done or consumed == len(sent)
        consumed += body.feed(piece)
    assert body.done
    assert bytes(body.data) == expected
    assert consumed == len(sent)


@given(chunked())
def test_a_body_byte_by_byte_is_done_at_its_last_byte(sample: tuple[bytes, bytes]) -> None:
    expected, sent = sample
    body = ChunkedBody()
    for place in range(len(sent)):
        assert not body.done
        assert body.feed(sent[place : place + 1]) == 1
    assert body.done
    assert bytes(body.data) == expected


MALFORMED = {
    "no size": b"\r\n",
    "no number": b"x\r\n",
    "negative": b"-5\r\n",
    "signed": b"+5\r\nhello\r\n",
    "with a prefix": b"0x5\r\nhello\r\n",
    "grouped": b"1_0\r\n",
    "space before": b" 5\r\nhello\r\n",
    "space within": b"5 5\r\n",
    "far too large": b"1000000000000000\r\n",
    "a bare newline after the size": b"5\nhello\r\n0\r\n\r\n",
    "a carriage return within the line": b"5;a\rb\r\nhello\r\n",
    "shorter than it says": b"6\r\nhello\r\n0\r\n\r\n",
    "longer than it says": b"4\r\nhello\r\n0\r\n\r\n",
    "longer, and nothing follows": b"4\r\nhello",
    "a bare newline after the chunk": b"5\r\nhello\n0\r\n\r\n",
    "nothing after the chunk": b"5\r\nhello0\r\n\r\n",
    "a bare newline at the end": b"0\r\n\n",
    "a bare newline after a trailer": b"0\r\na: b\n\r\n",
    "a line without an end": b"5;" + b"x" * 10_000,
    "a trailer without an end": b"0\r\n" + b"x" * 10_000,
}


@pytest.mark.parametrize("name", MALFORMED)
@given(st.lists(st.integers(0, 2**16), max_size=30))
def test_a_malformed_body_in_any_pieces_is_an_error(name: str, places: list[int]) -> None:
    body = ChunkedBody()

    def feed_all() -> None:
        for piece in pieces_of(b"3\r\nabc\r\n" + MALFORMED[name], places):
            body.feed(piece)

    with pytest.raises(ProtocolError):
        feed_all()
    assert not body.done


@given(chunked(), st.data())
def test_a_truncated_body_is_never_done(sample: tuple[bytes, bytes], data: st.DataObject) -> None:
    expected, sent = sample
    body = ChunkedBody()
    body.feed(sent[: data.draw(st.integers(0, len(sent) - 1))])
    assert not body.done
    assert expected.startswith(bytes(body.data))
