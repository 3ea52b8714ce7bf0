from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import fsspec
import open_by_url
import pytest

if TYPE_CHECKING:
    from servers import S3Endpoint

SCRIPT = Path(open_by_url.__file__)


@pytest.fixture
def url() -> str:
    """A place with twelve keys, the first of them by any order."""
    url = f"memory:///{uuid4().hex}"
    fs, root = fsspec.url_to_fs(url)
    fs.pipe({f"{root}/c/{number}": bytes(range(number, number + 20)) for number in range(12)})
    return url


def test_prints_keys_children_size_and_both_ends(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert open_by_url.main([url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"store     FsspecStore({url!r}, read_only=True)"
    shown = [line.split() for line in lines[1:11]]
    assert all(word == "key" and key.startswith("c/") for word, key in shown)
    first = shown[0][1]
    value = bytes(range(int(first[2:]), int(first[2:]) + 20))
    assert lines[11:] == [
        "children  c",
        "size      240 bytes",
        f"first     {value[:16]!r} of {first}",
        f"last      {value[-16:]!r} of {first}",
    ]


def test_prints_what_there_is_of_an_empty_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").touch()
    assert open_by_url.main([str(tmp_path)]) == 0
    assert "first     b'' of empty" in capsys.readouterr().out


def test_prints_nothing_of_an_empty_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert open_by_url.main([f"memory://{uuid4().hex}"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "store",
        "children",
        "size",
    ]


def test_stops_listing_after_ten_keys(
    monkeypatch: pytest.MonkeyPatch, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    listed: list[str] = []

    class Watched(open_by_url.FsspecStore):
        async def list(self) -> Any:
            async for key in super().list():
                listed.append(key)
                yield key

    monkeypatch.setattr(open_by_url, "FsspecStore", Watched)
    assert open_by_url.main([url]) == 0
    assert len(listed) == 10


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3:bucket", "write s3://bucket"),
        ("s4://bucket", "unknown protocol 's4'"),
        ("s3://", "names no bucket"),
    ],
)
def test_says_in_one_line_what_is_wrong_with_a_url(
    url: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert open_by_url.main([url]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_opens_a_bucket_with_options(
    moto_endpoint: S3Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = moto_endpoint.make_bucket()
    client = moto_endpoint.client()
    client.put_object(Bucket=bucket, Key="data/zarr.json", Body=b"{}")
    client.put_object(Bucket=bucket, Key="database", Body=b"not below data/")
    client.close()
    options = [
        f"--option={name}={moto_endpoint.storage_options()[name]}"
        for name in ("key", "secret", "endpoint_url")
    ]
    options.append('--option=client_kwargs={"region_name": "us-east-1"}')
    assert open_by_url.main([f"s3://{bucket}/data", *options]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"store     FsspecStore('s3://{bucket}/data', read_only=True)",
        "key       zarr.json",
        "children  zarr.json",
        "size      2 bytes",
        "first     b'{}' of zarr.json",
        "last      b'{}' of zarr.json",
    ]


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("anon=true", ("anon", True)),
        ("retries=5", ("retries", 5)),
        ("secret=a=b", ("secret", "a=b")),
        ("key=", ("key", "")),
        ('key="5"', ("key", "5")),
        ('client_kwargs={"a": [1]}', ("client_kwargs", {"a": [1]})),
    ],
)
def test_reads_options_as_json_or_text(text: str, option: tuple[str, Any]) -> None:
    assert open_by_url.parse_option(text) == option


@pytest.mark.parametrize("text", ["anon", "=true", ""])
def test_refuses_options_without_name_or_value(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected name=value"):
        open_by_url.parse_option(text)


def test_runs_as_a_script(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"value")
    done = subprocess.run(
        [sys.executable, SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "first     b'value' of key" in done.stdout
