"""Messages of errors name options of the command, and nothing of Python."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from cli.conftest import Holding
from cli.running import run
from fsspec_store.cli.messages import message_of
from fsspec_store.errors import AccessDeniedError, BackendError, RefusedError, StorageOptionError

FLAGS = {"allow_empty": "--allow-empty", "exclude": "--exclude", "max_delete": "--max-delete"}
#: What a message of the command never has.
PYTHON = re.compile(r"\w=|\w\(|\b[A-Z]\w+(Error|Exception|Store)\b|[a-z]_[a-z]")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (
            RefusedError("FsspecStore('s3://b/x', read_only=True) has no key; allow_empty=True"),
            "'s3://b/x' has no key; --allow-empty",
        ),
        (
            RefusedError("""ZarrStore("/it's") is a part; exclude='a b/**' leaves"""),
            """"/it's" is a part; --exclude 'a b/**' leaves""",
        ),
        (RefusedError("raise max_delete if so"), "raise --max-delete if so"),
        *(
            (BackendError(text), text)
            for text in (
                "no key 's3://b/max_delete'",
                "no key 'foo: KeyError: x' in file:///S",
                "no key 'a allow_empty=True' in s3://b/x,allow_empty=True",
                """no key "FsspecStore('u')": [Errno]""",
                r"""no key 'it\'s "x": KeyError: a'""",
                "no key '\0': \0",
            )
        ),
        (BackendError("cannot read 'a': TimeoutError: none"), "cannot read 'a': none"),
        (BackendError("cannot read: [Errno 111] Connect failed"), "cannot read: Connect failed"),
        (BackendError("cannot read 'a': TimeoutError: "), "cannot read 'a': TimeoutError: "),
        (
            AccessDeniedError(
                "status 403; if this is the service's response for missing keys, open the store "
                "with missing_on_forbidden=True"
            ),
            "status 403",
        ),
        (
            StorageOptionError("'a' (did you mean the store parameter timeout=...?), 'b'"),
            "'a', 'b'",
        ),
        (
            StorageOptionError("did you mean client_kwargs={'verify': {'a': ...}}?"),
            """did you mean -o 'client_kwargs={"verify": {"a": ...}}'?""",
        ),
        (
            StorageOptionError("'key' (did you mean {'s3': {'key': ...}}?)"),
            """'key' (did you mean -o 's3={"key": ...}'?)""",
        ),
        (
            StorageOptionError("did you mean client_kwargs={'auth': aiohttp.BasicAuth(...)}?"),
            "did you mean user:password@ in the URL?",
        ),
        (StorageOptionError("aware=True, token='anon'"), """aware=true, 'token="anon"'"""),
        (
            StorageOptionError("A.__init__() got an unexpected keyword argument 'x'"),
            "unknown option 'x'",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file", "plan"), "plan: No such file"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (RuntimeError("x"), "unexpected error: RuntimeError: x"),
    ],
)
def test_texts(error: Exception, shown: str) -> None:
    assert message_of(error, FLAGS) == shown


def test_the_name_of_a_cause_is_left_out() -> None:
    class TooManyRedirects(Exception): ...

    error = BackendError("cannot read 'a': TooManyRedirects: to b")
    assert message_of(error, {}) == str(error)
    error.__cause__ = TooManyRedirects()
    assert message_of(error, {}) == "cannot read 'a': to b"


@pytest.mark.parametrize(
    "line",
    [
        "sync {none} {copy}",
        "sync --max-delete 0 {none} {data} --allow-empty",
        "sync {data} {data}/backup",
        "rm -r --yes --max-delete 0 {data}",
        "cp --atomic {data} {data2}",
        "cp {data} {web}/x",
        "rm -r --yes {web}/slow/",
        "verify --include none {data} {data}",
        "apply {data} {copy} {none}",
        "apply {data} {copy} {data}/zarr.json",
        "apply {data} {copy} {changed}",
        "cp {web}/mixed/ {copy}",
        "cp {web}/broken/ {copy}",
        "check {data}",
        "ls --option timeout=5 s3://b/x",
        "ls --option user=me {web}/x",
        "ls --option region=x s3://b/x",
        "ls --option no_option=1 memory://x",
    ],
)
def test_messages_of_commands(line: str, data: Path, tmp_path: Path, web: Holding) -> None:
    copy, changed = tmp_path / "copy", tmp_path / "changed"
    if "{data2}" in line:
        assert run("cp", data, tmp_path / "again").code == 0
    if "{changed}" in line:
        assert run("plan", data, copy, changed).code == 0
        (data / "air/c/0/1").write_bytes(b"other")
    places = {"data": data, "copy": copy, "changed": changed, "none": tmp_path / "none"}
    ended = run(*line.format(**places, data2=tmp_path / "again", web=web.url).split())
    assert ended.code in (1, 2, 3, 5, 6, 7), ended
    assert ended.err
    # Not what the user wrote, and names of options.
    text = re.sub(rf"{re.escape(str(tmp_path))}|'\w+'|client_kwargs=\{{.*?\}}", "", ended.err)
    assert not PYTHON.search(text), text
