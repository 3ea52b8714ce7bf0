"""Links of URLs, and invalid URLs."""

from __future__ import annotations

import os
import re
from typing import Any

import fsspec.core
import pytest

from fsspec_store import FsspecStore
from fsspec_store._core.redaction import public_url
from fsspec_store._core.urls import links_of
from fsspec_store.errors import StoreURLError

MRAP = "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap"

#: What fsspec itself splits as well.
CHAINS = [
    "simplecache::s3://bucket/x",
    "simplecache::memory",
    "filecache::/data/x",
    "zip://inside.zarr::s3://bucket/archive.zip",
    "zip://a::b.zip",
    "zip::./archive.zip",
    "zip://a::simplecache::memory://b.zip",
    "dir://below::memory://base",
    "reference://::s3://bucket/refs.json",
    "tar://::file:///data/a.tar",
]

#: URLs that fsspec would split, and their links.
WHOLE = {
    f"s3://{MRAP}/d.zarr": [f"s3://{MRAP}/d.zarr"],
    f"simplecache::s3://{MRAP}": ["simplecache://", f"s3://{MRAP}"],
    "http://[::1]:8000/": ["http://[::1]:8000/"],
    "https://user:secret@[fe80::1]/x": ["https://user:secret@[fe80::1]/x"],
    "simplecache::http://[::1]:8000/x": ["simplecache://", "http://[::1]:8000/x"],
    "zip://a::https://[::ffff:10.0.0.1]/b.zip": ["zip://a", "https://[::ffff:10.0.0.1]/b.zip"],
    "ftp://[::1]:2121/x": ["ftp://[::1]:2121/x"],
    "/data/run::a.zarr": ["/data/run::a.zarr"],
    "run::a.zarr": ["run::a.zarr"],
    "file:///data/run::a.zarr": ["file:///data/run::a.zarr"],
    "memory://run::a": ["memory://run::a"],
    "gs://bucket/run::a.zarr": ["gs://bucket/run::a.zarr"],
    "simplecache::/data/run::a.zarr": ["simplecache://", "/data/run::a.zarr"],
    "zip://a::run::b.zip": ["zip://a", "run::b.zip"],
}


@pytest.mark.parametrize("chain", CHAINS)
def test_a_chain_splits_as_fsspec_splits_it(chain: str) -> None:
    links = links_of(chain)
    of_fsspec = fsspec.core._un_chain(chain, {})
    assert len(links) == len(of_fsspec) == chain.count("::") + 1
    assert "::".join(link.removesuffix("://") for link in links) == re.sub("://(?=::|$)", "", chain)


@pytest.mark.parametrize("url", WHOLE)
def test_a_name_with_two_colons_is_not_a_chain(url: str) -> None:
    assert links_of(url) == WHOLE[url]


@pytest.mark.parametrize("bucket", [MRAP, MRAP.replace("::1", ":eu-west-1:1").replace("/", ":")])
@pytest.mark.parametrize("chain", ["", "simplecache::"])
def test_an_access_point_is_a_bucket(bucket: str, chain: str, tmp_path: Any) -> None:
    options: dict[str, Any] = {"s3": {"key": "k", "secret": "s"}}
    if chain:
        options["simplecache"] = {"cache_storage": str(tmp_path)}
    store = FsspecStore.from_url(f"{chain}s3://{bucket}/d.zarr", options)
    below = getattr(store.fs, "fs", store.fs)
    assert below.split_path(f"{store.path}/c/0")[:2] == (bucket, "d.zarr/c/0")
    assert store.url == f"s3://{bucket}/d.zarr"
    assert FsspecStore.from_url(store.url, options["s3"]).path == store.path


@pytest.mark.parametrize(
    ("url", "names"),
    [
        (" s3://bucket/x", "the URL ' s3://bucket/x' begins with white space"),
        ("s3://bucket/x\n", "ends with white space"),
        ("\t/data/x", "begins with white space"),
        ("simplecache:: s3://bucket/x", "white space"),
        ("simplecahe::s3://bucket/x", "did you mean simplecache::"),
        ("simplecahe::/data/x", "did you mean simplecache::"),
        ("nothing::s3://bucket/x", "unknown protocol 'nothing'"),
        ("s3://bucket/a.zip::zip://inside", "zip://inside::s3://bucket/archive.zip"),
        ("/data/a.zip::zip://inside", "a chain starts with the layer"),
        ("zip://a::archive", r"unknown protocol 'archive'"),
        ("a/b://c", "unknown protocol 'a/b'"),
        ("s3//bucket/x", "write s3://bucket/x"),
        ("http//host/x", "write http://host/x"),
        ("s3:/bucket/x", "write s3://bucket/x"),
        ("s3://arn:aws:s3:::bucket/x", "write s3://bucket/x"),
    ],
)
def test_what_is_an_error(url: str, names: str) -> None:
    with pytest.raises(StoreURLError, match=names):
        links_of(url)


@pytest.mark.parametrize(
    "url",
    [
        " s3://key:s3cr3t@bucket/x",
        "https://[::1]/x?s3cr3t",
        "https://user:s3cr3t@[::1]/x",
        "https://s3cr3t@[fe80::1]:8000/x",
        "https://host/a::b?s3cr3t",
        "simplecache::https://user:s3cr3t@[::1]/x?s3cr3t",
        "https://host/x::s3://key:s3cr3t@bucket/x",
        "simplecache::s3cr3t:s3cr3t@s3://bucket/x",
    ],
)
def test_the_shown_url_contains_no_secret(url: str) -> None:
    if not url.startswith("simplecache::s3cr3t"):
        assert "s3cr3t" not in public_url(url.strip())
    try:
        assert "s3cr3t" not in repr(FsspecStore.from_url(url))
    except StoreURLError as error:
        assert "s3cr3t" not in str(error)


def test_options_of_the_user_stay_as_they_are() -> None:
    options = {"simplecache": {}, "memory": {}, "check_files": False}
    FsspecStore.from_url("simplecache::memory://x", options)
    assert options == {"simplecache": {}, "memory": {}, "check_files": False}


def test_a_file_url_without_slashes_is_a_local_path() -> None:
    assert FsspecStore.from_url("file:" + os.getcwd()).path == os.getcwd()
