"""XML of S3 services is parsed equally by the fast path and by the parser."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote, quote_plus
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from botocore.handlers import decode_list_object_v2
from hypothesis import assume, example, given
from hypothesis import strategies as st

from fsspec_store._backends.s3.xml import (
    ListPage,
    _fast_page,
    _parsed_page,
    delete_body,
    is_missing_key,
    parse_delete,
    parse_error,
    parse_list,
)

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def escaped(quotation: str, apostrophe: str, reference: str) -> Callable[[str], str]:
    """A function that escapes character data as a service does."""
    table = {'"': quotation, "'": apostrophe}
    if reference:
        table |= {character: reference % ord(character) for character in "\t\n\r"}
    return lambda text: escape(text, table)


@dataclass(frozen=True)
class Style:
    """How a service writes a page."""

    escape: Callable[[str], str]
    quote: Callable[[str], str]
    item: str
    page: str
    declaration: str = DECLARATION
    #: Whether CR is written unescaped, so that a parser reads LF.
    raw_returns: bool = False

    @property
    def times(self) -> list[str]:
        texts = re.findall("<LastModified>(.*)</LastModified>", self.item)
        return [datetime.fromisoformat(text).isoformat() for text in texts]

    @property
    def etags(self) -> list[str]:
        return [f'"{tag}"' for tag in re.findall("[0-9a-f]{32}(?:-1)?", self.item)]

    def write(self, page: ListPage, *, encoded: bool) -> bytes:
        write = (lambda key: self.escape(self.quote(key))) if encoded else self.escape
        token = page.next_token
        body = self.page.format(
            contents="".join(
                self.item.format(key=write(key), size=size) for key, size in page.objects
            ),
            common="".join(
                f"<CommonPrefixes><Prefix>{write(prefix)}</Prefix></CommonPrefixes>"
                for prefix in page.prefixes
            ),
            encoding="<EncodingType>url</EncodingType>" if encoded else "",
            truncated="false" if token is None else "true",
            token=""
            if token is None
            else f"<NextContinuationToken>{self.escape(token)}</NextContinuationToken>",
        )
        return (
            f"{self.declaration}<ListBucketResult {NAMESPACE}>{body}</ListBucketResult>"
        ).encode()


AMAZON = Style(
    escaped("&quot;", "'", "&#%d;"),
    lambda key: quote_plus(key, safe="/*"),
    "<Contents><Key>{key}</Key><LastModified>2024-12-01T10:00:00.000Z</LastModified>"
    "<ETag>&quot;d16fb36f0911f878998c136191af705e&quot;</ETag>"
    "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
    "<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>",
    "<Name>bucket</Name><Prefix></Prefix>{token}<KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys>"
    "{encoding}<IsTruncated>{truncated}</IsTruncated>{contents}{common}",
)
MINIO = Style(
    escaped("&#34;", "&#39;", "&#x%X;"),
    lambda key: quote_plus(key, safe="/").replace("~", "%7E"),
    "<Contents><Key>{key}</Key><LastModified>2026-11-23T20:59:21.131Z</LastModified>"
    "<ETag>&#34;d16fb36f0911f878998c136191af705e-1&#34;</ETag><Size>{size}</Size>"
    "<Owner><ID>02d6176db174dc93cb1b899f7c6078f0</ID><DisplayName>minio</DisplayName></Owner>"
    "<StorageClass>STANDARD</StorageClass></Contents>",
    "<Name>bucket</Name><Prefix></Prefix>{token}<KeyCount>8</KeyCount><MaxKeys>1000</MaxKeys>"
    "<Delimiter>/</Delimiter><IsTruncated>{truncated}</IsTruncated>{contents}{common}{encoding}",
)
SEAWEEDFS = Style(
    escaped("&#34;", "&#39;", "&#x%X;"),
    lambda key: quote_plus(key, safe="/"),
    "<Contents><Key>{key}</Key><ETag>&#34;d16fb36f0911f878998c136191af705e&#34;</ETag>"
    "<Size>{size}</Size><Owner><ID>admin</ID><DisplayName></DisplayName></Owner>"
    "<StorageClass>STANDARD</StorageClass><LastModified>2026-11-23T20:59:20Z</LastModified>"
    "</Contents>",
    "<Name>bucket</Name><Prefix></Prefix><MaxKeys>1000</MaxKeys>"
    "<IsTruncated>{truncated}</IsTruncated>{contents}{common}{token}{encoding}"
    "<KeyCount>2</KeyCount>",
)
MOTO = Style(
    escaped('"', "'", ""),
    lambda key: quote(key, safe="/~"),
    "<Contents><Key>{key}</Key><LastModified>2026-11-23T20:58:23.000Z</LastModified>"
    '<ETag>"d16fb36f0911f878998c136191af705e"</ETag><Size>{size}</Size>'
    "<StorageClass>STANDARD</StorageClass></Contents>",
    "<IsTruncated>{truncated}</IsTruncated>{contents}<Name>bucket</Name><Prefix/>"
    "<MaxKeys>1000</MaxKeys>{common}{encoding}<KeyCount>7</KeyCount>{token}",
    declaration='<?xml version="1.0" encoding="utf-8"?>\n',
    raw_returns=True,
)
CEPH = Style(
    escaped("&quot;", "&apos;", ""),
    lambda key: quote(key, safe=""),
    "<Contents><Key>{key}</Key><LastModified>2024-12-01T10:00:00.000Z</LastModified>"
    "<ETag>&quot;d16fb36f0911f878998c136191af705e&quot;</ETag><Size>{size}</Size>"
    "<StorageClass>STANDARD</StorageClass><Owner><ID>tester</ID><DisplayName/></Owner>"
    "<Type>Normal</Type></Contents>",
    "<Name>bucket</Name><Prefix></Prefix><MaxKeys>1000</MaxKeys>{encoding}"
    "<IsTruncated>{truncated}</IsTruncated>{token}{contents}{common}",
    declaration='<?xml version="1.0" encoding="UTF-8"?>',
    raw_returns=True,
)
STYLES = {
    "amazon": AMAZON,
    "minio": MINIO,
    "seaweedfs": SEAWEEDFS,
    "moto": MOTO,
    "ceph": CEPH,
}
style = st.sampled_from([*STYLES.values()])

characters = st.characters(exclude_categories=["Cs"])
key = st.one_of(
    st.sampled_from(["a/b/c", "a+b %2F%", "<Key>&amp;</Key>", "]]>", "a\nb", "\t", "%0A", "é😀"]),
    st.text(
        st.one_of(st.sampled_from("&<>\"'%+ /\n\r\t~]0A"), characters), min_size=1, max_size=12
    ),
)
size = st.one_of(st.integers(0, 9), st.integers(0, 5 * 2**40))
token = st.one_of(
    st.none(),
    st.sampled_from(["1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=", "a+b%41 ~é", "a&<b>\"'"]),
)
page = st.builds(
    ListPage,
    st.lists(st.tuples(key, size), max_size=6),
    st.lists(key, max_size=4),
    token,
    st.just(False),
    st.just(""),
)


def carried(style: Style, page: ListPage, *, encoded: bool) -> bool:
    """Whether XML in this style represents all names of the page."""
    names = "".join([*(key for key, _ in page.objects), *page.prefixes])
    return encoded or not (NO_XML.search(names) or (style.raw_returns and "\r" in names))


def plain(inside: str) -> bytes:
    return f"{DECLARATION}<ListBucketResult {NAMESPACE}>{inside}</ListBucketResult>".encode()


NOT_TRUNCATED = "<IsTruncated>false</IsTruncated>"
TRUNCATED = "<IsTruncated>true</IsTruncated>"


@given(style, page, st.booleans())
@example(MINIO, ListPage([("a", 1)], [], None), True)
@example(SEAWEEDFS, ListPage([], ["a/", "b/"], "t"), False)
@example(MOTO, ListPage([], [], None), True)
@example(CEPH, ListPage([("a%", 0), ("b\n+", 1)], ["c d"], "t"), True)
def test_pages_of_each_service_are_parsed_by_both_paths(
    style: Style, page: ListPage, encoded: bool
) -> None:
    assume(carried(style, page, encoded=encoded))
    body = style.write(page, encoded=encoded)
    assert parse_list(body) == page
    assert _fast_page(body) == page
    assert _parsed_page(body) == page
    detailed = _fast_page(body, details=True)
    assert detailed == _parsed_page(body, details=True)
    assert detailed._replace(details=page.details) == page
    assert detailed.details.keys() == {key for key, _ in page.objects}
    for details in detailed.details.values():
        assert details.modified is not None
        assert details.modified.isoformat() in style.times
        assert details.version in style.etags


@given(st.lists(st.text("%+25aCc3fF9é\n", max_size=8), max_size=5))
def test_quoted_keys_are_read_as_botocore_reads_them(quoted: list[str]) -> None:
    as_they_are = replace(MINIO, quote=lambda key: key)
    body = as_they_are.write(ListPage([(key, 1) for key in quoted], [], None), encoded=True)
    theirs: dict[str, Any] = {
        "EncodingType": "url",
        "Contents": [{"Key": key} for key in quoted],
    }
    decode_list_object_v2(theirs, {"encoding_type_auto_set": True})
    keys = [key for key, _ in parse_list(body).objects]
    assert keys == [item["Key"] for item in theirs["Contents"]]


PAGE = ListPage([("a/b", 12), ("a & <b>", 0), ("c", 7)], ["d/", "e&/"], "token")


def with_prefixes(body: str) -> str:
    body = re.sub(r"<(/?)(\w)", r"<\1s3:\2", body).replace("xmlns=", "xmlns:s3=")
    return body.replace("<s3:?", "<?")


OTHER_FORMS: dict[str, Callable[[str], str]] = {
    "indented": lambda body: body.replace("><", ">\n  <"),
    "with a namespace prefix": with_prefixes,
    "without a namespace": lambda body: body.replace(" " + NAMESPACE, ""),
    "without a declaration": lambda body: body.replace(DECLARATION, ""),
    "with a byte order mark": lambda body: "\ufeff" + body,
    "with attributes": lambda body: body.replace("<Contents>", '<Contents a="b">'),
    "with attributes inside": lambda body: body.replace("<Size>", '<Size unit="B">', 1),
    "with CDATA": lambda body: body.replace("<Key>c<", "<Key><![CDATA[c]]><"),
    "with comments": lambda body: body.replace("<Size>", "<!-- <Size>8</Size> --><Size>"),
    "with a comment in a key": lambda body: body.replace("<Key>a/b", "<Key>a<!-- x -->/b"),
    "with comments between": lambda body: body.replace("</Contents>", "</Contents><!-- -->"),
    "with a comment around": lambda body: body.replace(
        "<Name>", "<!-- <Contents><Key>x</Key><Size>1</Size></Contents> --><Name>"
    ),
    "with an instruction": lambda body: body.replace("<Contents>", "<?go on?><Contents>", 1),
    "with unknown elements": lambda body: body.replace("<Size>", "<Weight>1</Weight><Size>", 1),
    "with elements in elements": lambda body: body.replace(
        "<Size>",
        "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress></RestoreStatus><Size>",
    ),
    "with spaces in tags": lambda body: body.replace("Contents>", "Contents >"),
    "the size first": lambda body: re.sub(
        r"(<Key>[^<]*</Key>)(.*?)(<Size>\d+</Size>)", r"\3\2\1", body
    ),
    "mixed with prefixes": lambda body: body.replace(
        "<CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes>", ""
    ).replace(
        "</Contents><Contents>",
        "</Contents><CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes><Contents>",
        1,
    ),
    "with prefixes in one": lambda body: body.replace(
        "</CommonPrefixes><CommonPrefixes>", "</CommonPrefixes> <CommonPrefixes>"
    ),
    "with keys by their numbers": lambda body: body.replace("<Key>c<", "<Key>&#x63;<").replace(
        "a/b", "&#97;/b"
    ),
}


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_other_forms_of_a_page_are_parsed(form: str) -> None:
    written = AMAZON.write(PAGE, encoded=False).decode()
    body = OTHER_FORMS[form](written)
    assert body != written
    assert parse_list(body.encode()) == PAGE


def test_the_declared_encoding_is_used() -> None:
    body = '<?xml version="1.0" encoding="ISO-8859-1"?><ListBucketResult><IsTruncated>false'
    body += "</IsTruncated><Contents><Key>Ã©</Key><Size>1</Size></Contents></ListBucketResult>"
    assert parse_list(body.encode("latin-1")).objects == [("Ã©", 1)]


@given(
    style,
    page,
    st.data(),
)
def test_the_fast_path_agrees_with_the_parser(
    style: Style, page: ListPage, data: st.DataObject
) -> None:
    assume(carried(style, page, encoded=False))
    body = style.write(page, encoded=data.draw(st.booleans()))
    for _ in range(data.draw(st.integers(1, 2))):
        start = data.draw(st.integers(0, len(body)))
        end = min(len(body), start + data.draw(st.sampled_from([0, 0, 1, 2, 40, 400])))
        put = data.draw(
            st.one_of(
                st.sampled_from(
                    [
                        *(b"", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?p ", b"?>", b"&", b";"),
                        *(b"<Contents/>", b"<Contents>", b"</Contents>", b"<Key>x</Key>", b"\r\n"),
                        *(b"<Size>1</Size>", b"<x>", b"</x>", b"&#0;", b"&#10;", b"&lt", b"\xff"),
                        *(b"<ETag>x</ETag>", b"<ETag/>", b"<LastModified>2</LastModified>"),
                        *(b"<CommonPrefixes/>", b"\xef\xbf\xbf", b"\x01", b"<a b='", b"'>"),
                    ]
                ),
                st.binary(max_size=2),
            )
        )
        body = body[:start] + put + body[end:]
    for details in (False, True):
        try:
            fast = _fast_page(body, details)
        except ValueError:
            return
        assert fast == _parsed_page(body, details)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        # A parser normalises all line ends to LF (XML 1.0, 2.11).
        ("a\rb", "a\nb"),
        ("a\r\nb", "a\nb"),
        ("a]]>b", None),
        ("a\x01b", None),
        ("a\x0bb", None),
        ("a\ufffeb", None),
        ("a&b", None),
        ("a&amp b", None),
        ("a&nbsp;b", None),
        ("a&#0;b", None),
        ("a&#xD800;b", None),
        ("a&#x110000;b", None),
        ("a</Key ><Key>b", None),
        ("a</Key><Size>1<Size><Key>b", None),
    ],
)
def test_unusual_keys_are_left_to_the_parser(written: str, key: str | None) -> None:
    body = plain(f"{NOT_TRUNCATED}<Contents><Key>{written}</Key><Size>1</Size></Contents>")
    with pytest.raises(ValueError, match=r"only the parser|chr\(\) arg|is not"):
        _fast_page(body)
    if key is None:
        with pytest.raises(ValueError, match=r"is not XML|exactly one Key"):
            parse_list(body)
    else:
        assert parse_list(body).objects == [(key, 1)]


def test_an_unclosed_size_is_an_error() -> None:
    body = plain(f"{NOT_TRUNCATED}<Contents><Key>a</Key><Size>1<Size></Contents>")
    with pytest.raises(ValueError, match="is not XML"):
        parse_list(body)


@given(style, page, st.data())
def test_a_truncated_document_is_an_error(
    style: Style, page: ListPage, data: st.DataObject
) -> None:
    body = style.write(page, encoded=True)
    with pytest.raises(ValueError, match="the response is not"):
        parse_list(body[: data.draw(st.integers(0, len(body) - 1))])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "is not XML"),
        (b"<html><body>Welcome</body></html>", "not a ListBucketResult, but 'html'"),
        (b"<!DOCTYPE html><html></html>", "document type"),
        (b"<Error><Code>SlowDown</Code></Error>", "not a ListBucketResult, but 'Error SlowDown'"),
        (plain(""), "IsTruncated"),
        (plain(NOT_TRUNCATED * 2), "IsTruncated"),
        (plain("<IsTruncated>maybe</IsTruncated>"), "IsTruncated: 'maybe'"),
        (plain(TRUNCATED), "no token"),
        (
            plain(f"{TRUNCATED}<NextContinuationToken></NextContinuationToken>"),
            "no token",
        ),
        (plain(NOT_TRUNCATED + "<EncodingType>base64</EncodingType>"), "unknown EncodingType"),
        (plain(NOT_TRUNCATED + "<Contents/>"), "Key"),
        (plain(NOT_TRUNCATED + "<Contents><Size>1</Size></Contents>"), "Key"),
        (
            plain(f"{TRUNCATED}<Contents><Key>a</Key></Contents><KeyCount>1</KeyCount>"),
            "no token",
        ),
        (plain(NOT_TRUNCATED + "<Contents><Key>a</Key><Size>-1</Size></Contents>"), "'-1'"),
        (plain(NOT_TRUNCATED + "<Contents><Key>a</Key><Size>٣</Size></Contents>"), "size"),
        (
            plain(NOT_TRUNCATED + "<Contents><Key>a</Key><Key>b</Key><Size>1</Size></Contents>"),
            "Key",
        ),
        (plain(NOT_TRUNCATED + "<Contents><Key>a<b/>c</Key><Size>1</Size></Contents>"), "Key"),
        (plain(NOT_TRUNCATED + "<Contents><Key>&#1;</Key><Size>1</Size></Contents>"), "is not XML"),
        (plain(NOT_TRUNCATED + "<Contents><Key>&x;</Key><Size>1</Size></Contents>"), "is not XML"),
        (plain(NOT_TRUNCATED + "<CommonPrefixes/>"), "Prefix"),
        (plain(NOT_TRUNCATED).decode().encode("utf-16"), "UTF-16"),
        (plain(NOT_TRUNCATED).replace(b"UTF-8", b"no-such"), "is not XML"),
        (b"\n" + plain(NOT_TRUNCATED), "is not XML"),
        (plain(NOT_TRUNCATED) + b"<more/>", "is not XML"),
        (plain(NOT_TRUNCATED + "<Name>\xff</Name>").replace(b"\xc3", b""), "is not XML"),
    ],
)
def test_a_body_that_is_not_a_page_is_an_error(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_list(body)
    # The error of the fast path is not chained.
    assert not isinstance(caught.value.__context__, ValueError)


def test_document_types_are_an_error() -> None:
    bomb = (
        '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>'
    )
    for entity in ("b", "c"):
        inside = f"{NOT_TRUNCATED}<Contents><Key>&{entity};</Key><Size>1</Size></Contents>"
        body = plain(inside).decode().replace(DECLARATION, DECLARATION + bomb)
        with pytest.raises(ValueError, match="document type"):
            parse_list(body.encode())
        assert parse_error(f"{bomb}<Error><Code>&{entity};</Code></Error>".encode()) == {}


ETAG = "d16fb36f0911f878998c136191af705e"
ODD = "a&b <c> \"q\" 'x'"
# Recorded pages of servers, shortened.
SAMPLES = {
    "moto": (
        b'<?xml version="1.0" encoding="utf-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com'
        b'/doc/2006-03-01/"><IsTruncated>true</IsTruncated><Contents><Key>a%26b%20%3Cc%3E%20%22q'
        b"%22%20%27x%27</Key><LastModified>2026-11-23T20:58:23.000Z</LastModified><ETag>"
        b'"d16fb36f0911f878998c136191af705e"</ETag><Size>3</Size><StorageClass>STANDARD'
        b"</StorageClass><Owner><DisplayName>webfile</DisplayName><ID>75aa57f09aa0c8caeab4f8c24e99"
        b"d10f8e7faeebf76c078efc7c6caea54ba06a</ID></Owner></Contents><Name>test-4918</Name>"
        b"<Prefix/><Delimiter>/</Delimiter><MaxKeys>2</MaxKeys><CommonPrefixes><Prefix>d/</Prefix>"
        b"</CommonPrefixes><EncodingType>url</EncodingType><KeyCount>2</KeyCount>"
        b"<NextContinuationToken>4a98ae0262073bfa9b4b7c5225a75e08</NextContinuationToken>"
        b"</ListBucketResult>",
        ListPage([(ODD, 3)], ["d/"], "4a98ae0262073bfa9b4b7c5225a75e08"),
    ),
    "SeaweedFS": (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com'
        b'/doc/2006-03-01/"><Name>test-e63d</Name><Prefix></Prefix><MaxKeys>2</MaxKeys>'
        b"<IsTruncated>true</IsTruncated><Contents><Key>a%26b+%3Cc%3E+%22q%22+%27x%27</Key><ETag>"
        b"&#34;d16fb36f0911f878998c136191af705e&#34;</ETag><Size>3</Size><StorageClass>STANDARD"
        b"</StorageClass><LastModified>2026-11-23T20:59:20Z</LastModified></Contents><Contents>"
        b"<Key>a%2Bb%2541+~%C3%A9%F0%9F%98%80</Key><ETag>&#34;d16fb36f0911f878998c136191af705e"
        b"&#34;</ETag><Size>3</Size><StorageClass>STANDARD</StorageClass><LastModified>"
        b"2026-11-23T20:59:20Z</LastModified></Contents><NextContinuationToken>a+b%41 ~\xc3\xa9"
        b"\xf0\x9f\x98\x80</NextContinuationToken><EncodingType>url</EncodingType><KeyCount>2"
        b"</KeyCount></ListBucketResult>",
        ListPage([(ODD, 3), ("a+b%41 ~é😀", 3)], [], "a+b%41 ~é😀"),
    ),
    "SeaweedFS, not quoted": (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com'
        b'/doc/2006-03-01/"><Name>test-e63d</Name><Prefix></Prefix><MaxKeys>1000</MaxKeys>'
        b"<IsTruncated>false</IsTruncated><Contents><Key>a&amp;b &lt;c&gt; &#34;q&#34; &#39;x&#39;"
        b"</Key><ETag>&#34;d16fb36f0911f878998c136191af705e&#34;</ETag><Size>3</Size>"
        b"<StorageClass>STANDARD</StorageClass><LastModified>2026-11-23T20:58:25Z</LastModified>"
        b"</Contents><Contents><Key>cr&#xD;x</Key><ETag>&#34;d16fb36f0911f878998c136191af705e"
        b"&#34;</ETag><Size>3</Size><StorageClass>STANDARD</StorageClass><LastModified>"
        b"2026-11-23T20:58:26Z</LastModified></Contents><KeyCount>2</KeyCount></ListBucketResult>",
        ListPage([(ODD, 3), ("cr\rx", 3)], [], None),
    ),
    "MinIO": (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com'
        b'/doc/2006-03-01/"><Name>test-eede</Name><Prefix></Prefix><NextContinuationToken>YStiJTQx'
        b"IH7DqfCfmIBbbWluaW9fY2FjaGU6djIscmV0dXJuOl0=</NextContinuationToken><KeyCount>2"
        b"</KeyCount><MaxKeys>2</MaxKeys><Delimiter>/</Delimiter><IsTruncated>true</IsTruncated>"
        b"<Contents><Key>a%2Bb%2541+%7E%C3%A9%F0%9F%98%80</Key><LastModified>2026-11-23T20:58:26.8"
        b"26Z</LastModified><ETag>&#34;d16fb36f0911f878998c136191af705e&#34;</ETag><Size>3</Size>"
        b"<Owner><ID>02d6176db174dc93cb1b899f7c6078f08654445fe8cf1b6ce98d8855f66bdbf4</ID>"
        b"<DisplayName>minio</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>"
        b"<CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes><EncodingType>url</EncodingType>"
        b"</ListBucketResult>",
        ListPage(
            [("a+b%41 ~é😀", 3)], ["d/"], "YStiJTQxIH7DqfCfmIBbbWluaW9fY2FjaGU6djIscmV0dXJuOl0="
        ),
    ),
}


@pytest.mark.parametrize("server", SAMPLES)
def test_recorded_pages_are_parsed_by_both_paths(server: str) -> None:
    body, page = SAMPLES[server]
    assert _fast_page(body) == page
    assert _parsed_page(body) == page


def test_a_size_may_be_missing() -> None:
    body = plain(f"{NOT_TRUNCATED}<Contents><Key>a</Key></Contents>")
    assert parse_list(body).objects == [("a", None)]


@pytest.mark.parametrize(
    ("inside", "marker"),
    [
        ("<NextMarker>c</NextMarker>", "c"),
        ("<NextMarker>c%20d</NextMarker><EncodingType>url</EncodingType>", "c d"),
        ("<Contents><Key>a</Key></Contents><Contents><Key>b</Key></Contents>", "b"),
        (
            "<Contents><Key>b</Key></Contents><CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes>",
            "c/",
        ),
        ("<Contents><Key>%C3%A9</Key></Contents><EncodingType>url</EncodingType>", "\u00e9"),
    ],
)
def test_a_page_of_version_1_has_a_marker(inside: str, marker: str) -> None:
    page = parse_list(plain(TRUNCATED + inside))
    assert (page.next_token, page.is_version_1) == (marker, True)


def test_a_page_that_is_not_truncated_has_no_token() -> None:
    for token in ("", "left over"):
        inside = f"{NOT_TRUNCATED}<NextContinuationToken>{token}</NextContinuationToken>"
        assert parse_list(plain(inside)) == ListPage([], [], None)


def keys_in(body: bytes) -> list[str | None]:
    root = ElementTree.fromstring(body)
    assert [child.text for child in root if child.tag.endswith("}Quiet")] == ["true"]
    return [element.text for element in root.iter() if element.tag.endswith("}Key")]


@given(st.lists(key.filter(lambda key: not NO_XML.search(key)), max_size=5))
@example(["a\rb\r\nc\nd\te", " \x85\u2028 ", "<Key>&amp;]]>"])
def test_keys_of_a_bulk_delete_survive_the_parser(keys: list[str]) -> None:
    body = delete_body(keys)
    assert keys_in(body) == keys
    # An unescaped CR would be normalised to LF.
    assert b"\r" not in body


def test_the_body_of_a_bulk_delete() -> None:
    assert delete_body(["a/b", "c&d"]) == (
        b'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>'
        b"<Object><Key>a/b</Key></Object><Object><Key>c&amp;d</Key></Object></Delete>"
    )


@pytest.mark.parametrize("key", ["a\0b", "\x01", "\x1f", "\ufffe", "\uffff", "\ud800"])
def test_a_key_that_xml_cannot_represent_is_an_error(key: str) -> None:
    with pytest.raises(ValueError, match="XML cannot represent") as caught:
        delete_body(["fine", key])
    assert repr(key) in str(caught.value)


def test_keys_that_were_not_deleted_are_returned() -> None:
    body = (
        DECLARATION + f"<DeleteResult {NAMESPACE}><Deleted><Key>a</Key></Deleted>"
        "<Error><Key>b&amp;c</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        "<Error><Key>d</Key><VersionId></VersionId><Code>InternalError</Code></Error>"
        "</DeleteResult>"
    )
    assert parse_delete(body.encode()) == [
        {"Key": "b&c", "Code": "AccessDenied", "Message": "Access Denied"},
        {"Key": "d", "Code": "InternalError"},
    ]


@pytest.mark.parametrize(
    "body",
    [
        # MinIO, SeaweedFS; moto, which lists deleted keys although the request is quiet.
        b'<?xml version="1.0" encoding="UTF-8"?>\n<DeleteResult xmlns="http://s3.amazonaws.com/doc/'
        b'2006-03-01/"></DeleteResult>',
        b'<?xml version="1.0" encoding="utf-8"?>\n<DeleteResult xmlns="http://s3.amazonaws.com/doc/'
        b'2006-03-01/"><Deleted><Key>z</Key></Deleted><Deleted><Key>nope</Key></Deleted>'
        b"</DeleteResult>",
    ],
)
def test_a_complete_bulk_delete_returns_no_errors(body: bytes) -> None:
    assert parse_delete(body) == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "is not XML"),
        (b"<Error><Code>InternalError</Code></Error>", "but 'Error InternalError'"),
        (b"<DeleteResult><Error><Key>a</Key></Error>", "is not XML"),
        (plain(NOT_TRUNCATED), "not a DeleteResult, but 'ListBucketResult'"),
    ],
)
def test_a_body_that_is_not_a_delete_result_is_an_error(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_delete(body)


PIECES_OF_ERRORS = [
    "<Key>a/b c</Key>",
    "<Message>The specified key does not exist.</Message>",
    "\n  <RequestId></RequestId>",
    "<Key>&amp;</Key>",
    "<Resource><Key>x</Key></Resource>",
    "<!-- comment -->",
    "<Key>a</Kex>",
    "</Key>",
    "text",
]


def test_all_elements_of_an_error_are_parsed() -> None:
    minio = (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InvalidRange</Code><Message>The '
        b"requested range &#39;bytes=10--1&#39; is not satisfiable</Message><Key>d/e</Key>"
        b"<BucketName>test-eede</BucketName><Resource>/test-eede/d/e</Resource><RequestId>"
        b"18EAC82F47E39C7D</RequestId><HostId></HostId><ActualObjectSize>3</ActualObjectSize>"
        b"<RangeRequested>10--1</RangeRequested></Error>"
    )
    assert parse_error(minio) == {
        "Code": "InvalidRange",
        "Message": "The requested range 'bytes=10--1' is not satisfiable",
        "Key": "d/e",
        "BucketName": "test-eede",
        "Resource": "/test-eede/d/e",
        "RequestId": "18EAC82F47E39C7D",
        "ActualObjectSize": "3",
        "RangeRequested": "10--1",
    }


@given(st.lists(st.sampled_from(PIECES_OF_ERRORS), max_size=8))
def test_a_missing_key_is_found_as_the_xml_parser_finds_it(pieces: list[str]) -> None:
    inside = "<Code>NoSuchKey</Code>" + "".join(pieces)
    for body in (
        f"<Error>{inside}</Error>",
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error {NAMESPACE}>{inside}</Error>\n',
        f"<Error>{inside}",
        f"<error>{inside}</error>",
    ):
        found = is_missing_key(body.encode())
        if found:
            assert parse_error(body.encode())["Code"] == "NoSuchKey"
        # Every service sends elements without nested ones.
        is_flat = all(piece in PIECES_OF_ERRORS[:3] for piece in pieces)
        assert found or not (is_flat and body.rstrip().endswith("</Error>"))


def test_errors_show_no_credentials_or_signatures() -> None:
    inside = "".join(
        f"<{name}>my-secret</{name}>"
        for name in (
            "AWSAccessKeyId",
            "StringToSign",
            "StringToSignBytes",
            "SignatureProvided",
            "CanonicalRequest",
            "CanonicalRequestBytes",
            "Token-0",
            "X_Amz_Credential",
        )
    )
    kept = "<Code>SignatureDoesNotMatch</Code><Region>eu-west-1</Region>"
    assert parse_error(f"<Error>{kept}{inside}</Error>".encode()) == {
        "Code": "SignatureDoesNotMatch",
        "Region": "eu-west-1",
    }
    argument = "<ArgumentName>{}</ArgumentName><ArgumentValue>2</ArgumentValue>"
    for name, shown in (("Authorization", False), ("max-keys", True)):
        found = parse_error(f"<Error>{argument.format(name)}</Error>".encode())
        assert found["ArgumentName"] == name
        assert ("ArgumentValue" in found) is shown


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not found",
        b"<html><Error><Code>x</Code></Error></html>",
        b"<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n",
        b"<Error><Code>SlowDown</Code><Message>Please",
        b"<Error><Code>\xff</Code></Error>",
        b"\x1f\x8b\x08\x00",
    ],
)
def test_a_body_that_is_not_an_error_has_no_elements(body: bytes) -> None:
    assert parse_error(body) == {}


@given(st.binary(max_size=60))
def test_any_error_body_is_parsed(body: bytes) -> None:
    assert parse_error(body) == {}
    assert parse_error(b"<Error>" + body) == {}
