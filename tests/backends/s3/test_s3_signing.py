"""Signatures are equal to those of botocore and of the examples in the S3 API Reference."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from unittest import mock

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as TheirCredentials
from botocore.utils import percent_encode
from hypothesis import example, given
from hypothesis import strategies as st

from fsspec_store._backends.s3.signing import (
    EMPTY_SHA256,
    Credentials,
    Signer,
    canonical_query,
    payload_hash,
    quote_key,
)

#: Those that the signer writes, those that proxies change (botocore signs none of them), and the
#: one that botocore rewrites.
NOT_SIGNED = {
    *botocore.auth.SIGNED_HEADERS_BLACKLIST,
    "host",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "authorization",
    "date",
}

segment = st.one_of(
    st.sampled_from(["", ".", "..", "a", "c", "zarr.json", "+", "%", "%2F", "~", "a b", "é", "😀"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
key = st.one_of(
    st.lists(segment, min_size=1, max_size=6).map("/".join),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).map(
        lambda text: text * 120
    ),
)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
query = st.dictionaries(
    st.one_of(
        st.sampled_from(
            ["list-type", "prefix", "delimiter", "continuation-token", "encoding-type", "delete"]
        ),
        text.filter(bool),
    ),
    text,
    max_size=6,
)
header_name = st.one_of(
    st.sampled_from(
        [
            "content-md5",
            "content-type",
            "if-match",
            "if-none-match",
            "range",
            "x-amz-checksum-crc32",
            "x-amz-checksum-mode",
            "x-amz-copy-source",
            "x-amz-meta-a",
            "x-amz-storage-class",
        ]
    ),
    st.from_regex(r"[a-z][a-z0-9\-]{0,12}", fullmatch=True),
).filter(lambda name: name not in NOT_SIGNED)
header_value = st.one_of(
    st.sampled_from(["bytes=0-99", "*", '"etag"', "ENABLED", "  a   b\t c ", "100%s %d"]),
    st.text(string.ascii_letters + string.digits + string.punctuation + " \t", max_size=12),
)
headers = st.dictionaries(header_name, header_value, max_size=5)
access_key = st.from_regex(r"[A-Z0-9a-z_\-]{3,20}", fullmatch=True)
credentials = st.builds(
    Credentials,
    access_key,
    st.text(string.printable.strip() + "é", min_size=1, max_size=40),
    st.one_of(st.none(), st.from_regex(r"[A-Za-z0-9+/]{1,90}={0,2}", fullmatch=True)),
)
now = st.integers(10**9, 4 * 10**9)


def lines(text: str) -> dict[str, str]:
    """Header lines by name. Each name has to occur once."""
    found = [line.split(": ", 1) for line in text.removesuffix("\r\n").split("\r\n")]
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


def signed_by_botocore(
    method: str,
    url: str,
    headers: dict[str, str],
    body: bytes,
    credentials: Credentials,
    region: str,
    now: float,
) -> dict[str, str]:
    request = AWSRequest(method=method, url=url, headers=headers, data=body)
    moment = datetime.fromtimestamp(now, UTC).replace(tzinfo=None)
    module = mock.Mock()
    module.datetime.utcnow.return_value = moment
    # Releases of botocore get the time by one of two functions.
    with (
        mock.patch("botocore.auth.get_current_datetime", create=True, return_value=moment),
        mock.patch("botocore.auth.datetime", module),
    ):
        botocore.auth.S3SigV4Auth(TheirCredentials(*credentials), "s3", region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE"]),
    key=key,
    query=query,
    host=st.sampled_from(["127.0.0.1:8333", "bucket.s3.eu-west-1.amazonaws.com", "[::1]:9000"]),
    headers=headers,
    body=st.binary(max_size=20),
    credentials=credentials,
    region=st.sampled_from(["us-east-1", "eu-west-1", "auto"]),
    now=now,
)
@example(
    method="GET",
    key="a//b/./../%41+~",
    query={"prefix": "", "a-b": "1", "a": "2", "a=": "3"},
    host="127.0.0.1:8333",
    headers={"x-amz-z": "", "if-match": ' "a  b"\t', "range": "bytes=-5"},
    body=b"",
    credentials=Credentials("A", "s", "token"),
    region="us-east-1",
    now=1_700_000_000,
)
def test_requests_are_signed_as_botocore_signs_them(
    method: str,
    key: str,
    query: dict[str, str],
    host: str,
    headers: dict[str, str],
    body: bytes,
    credentials: Credentials,
    region: str,
    now: int,
) -> None:
    path, quoted = "/bucket/" + quote_key(key), canonical_query(query)
    url = f"http://{host}{path}" + ("?" + quoted if quoted else "")
    theirs = signed_by_botocore(method, url, headers, body, credentials, region, now)
    signer = Signer(region)
    ours = signer.sign(
        method, path, quoted, host, headers, payload_hash(body), credentials, now + 0.5
    )
    assert ours.isascii()
    assert lines(ours) == {"host": host, **theirs}
    # Cached state makes no difference.
    again = signer.sign(method, path, quoted, host, headers, payload_hash(body), credentials, now)
    assert again == ours


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 86_399, 86_400, 10**7]),
            st.sampled_from(
                [
                    Credentials("A", "secret"),
                    Credentials("B", "secret"),
                    Credentials("A", "another"),
                    Credentials("A", "secret", "token"),
                    Credentials("A", "secret", "another"),
                ]
            ),
            st.sampled_from([{}, {"range": "bytes=0-1"}, {"range": "bytes=0-1", "if-match": "x"}]),
        ),
        max_size=12,
    )
)
def test_one_signer_signs_for_changing_dates_and_credentials(
    requests: list[tuple[int, Credentials, dict[str, str]]],
) -> None:
    kept = Signer("us-east-1")
    for seconds, credentials, headers in requests:
        request: Any = ("GET", "/b/k", "", "h", headers, EMPTY_SHA256, credentials, seconds)
        assert kept.sign(*request) == Signer("us-east-1").sign(*request)


def test_the_default_time_is_now() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    found = Signer("us-east-1").sign("GET", "/", "", "h", {}, EMPTY_SHA256, Credentials("A", "s"))
    stamp = datetime.strptime(lines(found)["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z")
    assert before <= stamp <= datetime.now(UTC)


# "Examples: Signature Calculations" in the same place of the S3 API Reference.
EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
EXAMPLE_TIME = datetime(2013, 5, 24, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("method", "key", "query", "headers", "body", "names", "signature"),
    [
        (
            "GET",
            "test.txt",
            {},
            {"range": "bytes=0-9"},
            b"",
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "test$file.text",
            {},
            {
                "date": "Fri, 24 May 2013 00:00:00 GMT",
                "x-amz-storage-class": "REDUCED_REDUNDANCY",
            },
            b"Welcome to Amazon S3.",
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "",
            {"lifecycle": ""},
            {},
            b"",
            "host;x-amz-content-sha256;x-amz-date",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "",
            {"prefix": "J", "max-keys": "2"},
            {},
            b"",
            "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["range", "write", "lifecycle", "list"],
)
def test_the_examples_of_the_documentation(
    method: str,
    key: str,
    query: dict[str, str],
    headers: dict[str, str],
    body: bytes,
    names: str,
    signature: str,
) -> None:
    found = Signer("us-east-1").sign(
        method,
        "/" + quote_key(key),
        canonical_query(query),
        "examplebucket.s3.amazonaws.com",
        headers,
        payload_hash(body),
        EXAMPLE,
        EXAMPLE_TIME,
    )
    assert lines(found) == {
        **headers,
        "host": "examplebucket.s3.amazonaws.com",
        "x-amz-content-sha256": sha256(body).hexdigest(),
        "x-amz-date": "20130524T000000Z",
        "authorization": "AWS4-HMAC-SHA256 "
        "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}",
    }


@given(key)
@example("a/B-9._~")
@example("//a/../.")
def test_keys_are_quoted_as_botocore_quotes_them(key: str) -> None:
    assert quote_key(key) == percent_encode(key, safe="/~")


@given(query)
@example({"a": "", "a-b": "+ ~/%", "a.b": "é"})
def test_queries_are_written_as_botocore_signs_them(query: dict[str, str]) -> None:
    signer = botocore.auth.SigV4Auth(TheirCredentials("A", "s"), "s3", "us-east-1")
    request = AWSRequest(method="GET", url="http://h/", params=query)
    assert canonical_query(query) == signer.canonical_query_string(request)


@given(st.binary(max_size=100))
def test_a_body_is_hashed_without_a_copy_of_it(data: bytes) -> None:
    expected = sha256(data).hexdigest()
    assert payload_hash(data) == expected
    assert payload_hash(memoryview(bytearray(data))) == expected
    assert payload_hash(b"") == EMPTY_SHA256


def sign(headers: dict[str, str], credentials: Credentials = EXAMPLE) -> str:
    return Signer("us-east-1").sign("GET", "/b/k", "", "h", headers, EMPTY_SHA256, credentials, 0)


def test_values_are_sent_as_they_are_and_signed_trimmed() -> None:
    spaced, plain = (
        lines(sign({"range": value})) for value in ("  bytes=0-1,\t  3-4 ", "bytes=0-1, 3-4")
    )
    assert spaced["range"] == "  bytes=0-1,\t  3-4 "
    assert spaced["authorization"] == plain["authorization"]


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\0", "\x7f", "é", "\u2028"])
def test_an_invalid_header_value_is_an_error(value: str) -> None:
    with pytest.raises(ValueError, match="the value of 'if-match'"):
        sign({"range": "bytes=0-1", "if-match": value})


@pytest.mark.parametrize("name", ["Range", "", "a b", "a:b", "a\r\nb", "100%", "é"])
def test_an_invalid_header_name_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="lower case"):
        sign({name: "x"})


@pytest.mark.parametrize(
    "name",
    ["host", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "authorization"],
)
def test_a_header_that_the_signer_adds_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        sign({name: "x"})


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials("", "secret"),
        Credentials("key\n", "secret"),
        Credentials("key", "secret", "token\n"),
        Credentials("key", "secret", "to ken"),
    ],
)
def test_invalid_credentials_are_an_error_that_hides_them(
    credentials: Credentials,
) -> None:
    with pytest.raises(ValueError, match="not valid in a header") as caught:
        sign({}, credentials)
    assert not any(secret in str(caught.value) for secret in ("secret", "to ken", "token\n"))


def test_an_invalid_region_is_an_error() -> None:
    with pytest.raises(ValueError, match="invalid AWS region"):
        Signer("us-east-1\r\nx: y")


def test_credentials_and_signers_show_no_secret() -> None:
    credentials = Credentials("my-access", "my-secret", "my-token")
    signer = Signer("us-east-1")
    signer.sign("GET", "/b/k", "", "h", {}, EMPTY_SHA256, credentials)
    shown = f"{credentials} {credentials!r} {signer} {signer!r} {[credentials]}"
    assert "my-" not in shown
    assert credentials == ("my-access", "my-secret", "my-token")
