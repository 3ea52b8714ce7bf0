"""Unknown options of a chain are refused when the store is created, before any I/O."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.cached import SimpleCacheFileSystem

from fsspec_store import FsspecStore
from fsspec_store.errors import StorageOptionError

S3 = {"key": "k", "secret": "hidden", "endpoint_url": "http://127.0.0.1:9"}

#: URL, options, what the error says.
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("simplecache::s3://b/x", {"s3": {"bogus": 1}}, "s3fs takes no storage option 'bogus'"),
    ("filecache::s3://b/x", {"s3": {"acces_key": 1}}, "'acces_key' .did you mean 'key'"),
    ("blockcache::s3://b/x", {"s3": {"endpoint_url": "host:9000"}}, "write http://host:9000"),
    ("dir://a::s3://b/x", {"s3": {"regoin": 1}}, "s3fs takes no storage option 'regoin'"),
    ("dir://a::s3://b/x", {"bogus": 1}, "dir:: takes no storage option 'bogus'"),
    ("zip://a::s3://b/x.zip", {"s3": {"bogus": 1}}, "s3fs takes no storage option 'bogus'"),
    ("tar://a::s3://b/x.tar", {"s3": {"bogus": 1}}, "s3fs takes no storage option 'bogus'"),
    ("zip://a::s3://b/x.zip", {"zip": {"bogus": 1}}, "zip:: takes no storage option 'bogus'"),
    ("zip://a::s3://b/x.zip", {"mode": "w"}, "write {'zip': {'mode': ...}}"),
    ("zip://a::simplecache::s3://b/x.zip", {"s3": {"bogus": 1}}, "s3fs takes no .* 'bogus'"),
    ("zip://a::simplecache::s3://b/x.zip", {"simplecache": {"bogus": 1}}, "simplecache:: takes no"),
    ("reference://::s3://b/x.json", {"s3": {"bogus": 1}}, "s3fs takes no storage option 'bogus'"),
    ("simplecache::gs://b/x", {"gs": {"tokn": "anon"}}, "'tokn' .did you mean 'token'"),
    ("simplecache::abfs://b/x", {"abfs": {"account": "a"}}, "'account' .did you mean 'account_n"),
    ("simplecache::https://h/x", {"https": {"header": {}}}, "'header' .did you mean 'headers'"),
    ("simplecache::https://h/x", {"https": {"client_kwargs": {"bogus": 1}}}, "'bogus'"),
    # Options that belong to no link, or to another one than they are given to.
    ("simplecache::s3://b/x", {"anon": True}, "'anon' .did you mean {'s3': {'anon': ...}}"),
    ("simplecache::s3://b/x", {"access_key": 1}, "'access_key' .did you mean 'key' among .* 's3'"),
    ("simplecache::s3://b/x", S3, "'endpoint_url' .did you mean {'s3': {'endpoint_url'"),
    ("simplecache::s3://b/x", {"anno": True}, "'anno' .did you mean {'s3': {'anon'"),
    ("simplecache::https://h/x", {"headers": {}}, "did you mean {'https': {'headers'"),
    ("simplecache::s3://b/x", {"s3": S3, "cache_storag": "x"}, "did you mean 'cache_storage'"),
    ("simplecache::s3://b/x", {"gs": {"token": "anon"}}, "links of this chain: 'simplecache'"),
    ("simplecache::s3://b/x", {"s3a": S3}, "'s3a' .did you mean 's3', as in the URL"),
    ("simplecache::https://h/x", {"http": {"headers": {}}}, "did you mean 'https'"),
    ("simplecache::s3://b/x", {"s4": S3}, "did you mean 's3'"),
    ("simplecache::s3://b/x", {"s3": "hidden"}, "the options of 's3' must be a mapping, got str"),
    (
        "simplecache::s3://b/x",
        {"target_options": S3},
        "'target_options' given with simplecache::s3",
    ),
    ("simplecache::s3://b/x", {"read_only": True}, "the store parameter read_only=..."),
    # Layers that are told of what is below them by their own options.
    ("simplecache://b/x", {"target_protocol": "s3", "target_options": {"bogus": 1}}, "s3fs takes"),
    ("reference://", {"fo": "s3://b/x.json", "target_options": {"bogus": 1}}, "s3fs takes no"),
    ("reference://", {"fo": {}, "remote_protocol": "s3", "remote_options": {"bogus": 1}}, "s3fs"),
    ("reference://", {"fo": {}, "fs": {"s3": {"bogus": 1}}}, "s3fs takes no storage option"),
    ("simplecache::file:///x", {"file": {"auto_mkdri": 1}}, "did you mean 'auto_mkdir'"),
    ("simplecache::file:///x", {"file": {"bogus": 1}}, "file:// takes no storage option 'bogus'"),
    ("simplecache::memory://x", {"memory": {"bogus": 1}}, "memory:// takes no .* 'bogus'"),
    ("simplecache://x", {"target_protocol": "memory", "target_options": {"bogus": 1}}, "'bogus'"),
    ("reference://", {"fo": {}, "remote_option": {}}, "did you mean 'remote_options'"),
]


@pytest.mark.parametrize(
    ("url", "options", "says"), REFUSED, ids=[f"{url} {[*options]}" for url, options, _ in REFUSED]
)
def test_an_option_that_no_link_accepts(url: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(StorageOptionError, match=says) as caught:
        FsspecStore.from_url(url, options)
    assert "hidden" not in str(caught.value)


def test_a_filesystem_made_elsewhere_is_checked_as_well(tmp_path: Path) -> None:
    below = fsspec.filesystem("s3", **S3, bogus=1, skip_instance_cache=True)
    layer = SimpleCacheFileSystem(fs=below, cache_storage=str(tmp_path))
    with pytest.raises(StorageOptionError, match="'bogus'"):
        FsspecStore(layer, "bucket/x")
    with pytest.raises(StorageOptionError, match="'bogus'"):
        FsspecStore.from_mapper(fsspec.FSMap("bucket/x", layer))


def test_a_service_that_references_name_is_checked_too(tmp_path: Path) -> None:
    file = tmp_path / "refs.json"
    file.write_text(json.dumps({"version": 1, "refs": {"a": ["s3://bucket/data", 0, 4]}}))
    with pytest.raises(StorageOptionError, match="s3fs takes no storage option 'bogus'"):
        FsspecStore.from_url(f"reference://::{file}", {"remote_options": {**S3, "bogus": 1}})
    assert FsspecStore.from_url(f"reference://::{file}", {"remote_options": S3}).supports_listing


def test_options_that_a_link_takes(tmp_path: Path) -> None:
    file = tmp_path / "refs.json"
    file.write_text(json.dumps({"version": 1, "refs": {"a": "text"}}))
    copies = {"cache_storage": str(tmp_path / "copies")}
    for url, options in (
        ("simplecache::s3://b/x", {"s3": S3, **copies}),
        ("simplecache::s3://b/x", {"s3": S3, "simplecache": copies, "asynchronous": False}),
        ("filecache::https://h/x", {"https": {"headers": {"a": "b"}}, "filecache": copies}),
        (
            "abfs://container/x",
            {"account_name": "a", "anon": True, "skip_instance_cache": True, "max_paths": 3},
        ),
        ("simplecache::memory://x", {"memory": {"anon": True}, **copies}),
        (f"reference://::{file}", {"remote_protocol": "s3", "remote_options": S3}),
        ("reference://", {"fo": str(file), "target_options": {"compression": None}}),
        # fsspec.open's own, which it would be given by the same dictionary.
        ("simplecache::s3://b/x", {"s3": S3, **copies, "encoding": "utf8"}),
    ):
        store = FsspecStore.from_url(url, options)
        assert "hidden" not in repr(store)
        store.close()
