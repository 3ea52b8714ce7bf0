"""Missing or rejected credentials are looked up again, at a bounded rate."""

from __future__ import annotations

import asyncio
import datetime
import json
import re
import stat
import sys
from pathlib import Path

import pytest
from conformance.support import read
from servers.scripted_s3 import Asked, Reply, ScriptedS3, error, scripted_s3, value

from fsspec_store import FsspecStore
from fsspec_store.errors import UnauthenticatedError

from .s3_transports import opened

NONE = {"key": None, "secret": None}

pytestmark = pytest.mark.usefixtures("no_credentials")


def in_hours(hours: float) -> str:
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours)
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")


def signed_by(request: Asked) -> str:
    found = re.search("Credential=([^/]+)/", request.headers.get("authorization", ""))
    return found[1] if found else ""


def for_good(request: Asked) -> Reply:
    """A service that returns a value only for the access key ``good``."""
    who = signed_by(request)
    if who == "old":
        return error(400, "ExpiredToken")
    return value(b"value") if who == "good" else error(403, "InvalidAccessKeyId")


def write_keys(folder: Path, key: str) -> None:
    (folder / "credentials").write_text(
        f"[default]\naws_access_key_id={key}\naws_secret_access_key=s\n"
    )


def store_at(server: ScriptedS3, transport: str, root: str = "x") -> FsspecStore:
    options = server.options(**NONE)
    return FsspecStore.from_url(
        f"s3://bucket/{root}", options, transport=transport, retries=0, timeout=5
    )


async def test_a_metadata_service_that_fails_first(
    monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    is_up = False
    looked = 0

    def respond(request: Asked) -> Reply:
        nonlocal looked
        if not request.path.startswith("/latest"):
            return for_good(request)
        if request.path.endswith("token"):
            looked += 1
        if not is_up:
            return Reply(503)
        if request.path.endswith("token"):
            return Reply(200, b"token")
        if request.path.endswith("security-credentials/"):
            return Reply(200, b"role")
        found = {"AccessKeyId": "good", "SecretAccessKey": "s", "Token": "t"}
        times = {"Expiration": in_hours(1), "LastUpdated": in_hours(0)}
        return Reply(200, json.dumps({"Code": "Success", **found, **times}).encode())

    async with scripted_s3(respond) as server:
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"{server.url}/")
        async with store_at(server, transport) as store, store_at(server, transport, "y") as other:
            reads = await asyncio.gather(
                *(store.get(f"c/{number}") for number in range(100)), return_exceptions=True
            )
            assert {type(each) for each in reads} == {UnauthenticatedError}
            # All requests were waiting when the look-up failed.
            assert looked <= 2
            for _ in range(2):
                with pytest.raises(UnauthenticatedError, match="Unable to locate credentials"):
                    await other.exists("a")
            before = looked
            is_up = True
            assert await read(other, "a") == b"value"
            assert await read(store, "a") == b"value"
            assert looked == before + 1
            assert store.stats.native == (1 if transport == "auto" else 0)


@pytest.mark.parametrize("first", [None, "wrong", "old"])
async def test_a_credentials_file_that_is_written_or_corrected_later(
    tmp_path: Path, first: str | None, transport: str
) -> None:
    if first is not None:
        write_keys(tmp_path, first)
    async with (
        scripted_s3(for_good) as server,
        store_at(server, transport) as store,
        store_at(server, transport, "y") as other,
    ):
        with pytest.raises(UnauthenticatedError):
            await store.get("a")
        write_keys(tmp_path, "good")
        assert await read(other, "a") == b"value"
        assert await read(store, "a") == b"value"


async def test_a_head_with_expired_credentials(tmp_path: Path, transport: str) -> None:
    write_keys(tmp_path, "good")
    is_good = True

    def respond(request: Asked) -> Reply:
        if is_good or signed_by(request) == "better":
            return value(b"value")
        return Reply(403) if request.method == "HEAD" else error(403, "InvalidAccessKeyId")

    async with scripted_s3(respond) as server, store_at(server, transport) as store:
        assert await read(store, "a") == b"value"
        is_good = False
        # A HEAD response has no body with an error code.
        with pytest.raises(UnauthenticatedError, match="InvalidAccessKeyId"):
            await store.exists("a")
        write_keys(tmp_path, "better")
        assert await store.exists("a")


class Provider:
    """A credential process that returns credentials or fails."""

    def __init__(self, folder: Path) -> None:
        self._output, self._calls = folder / "output.json", folder / "calls"
        self._calls.touch()
        program = folder / "provider"
        program.write_text(
            f"""#!{sys.executable} -S
with open({str(self._calls)!r}, "a") as calls:
    calls.write("call\\n")
print(open({str(self._output)!r}).read())
"""
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (folder / "config").write_text(f"[default]\ncredential_process = {program}\n")

    def give(self, key: str, hours: float) -> None:
        found = {"AccessKeyId": key, "SecretAccessKey": "s", "SessionToken": "t"}
        self._output.write_text(json.dumps({"Version": 1, **found, "Expiration": in_hours(hours)}))

    def fail(self) -> None:
        self._output.unlink()

    @property
    def lookups(self) -> int:
        return len(self._calls.read_text().splitlines())


@pytest.mark.parametrize("hours", [0.1, 5])
async def test_a_provider_that_fails_when_credentials_expire(
    tmp_path: Path, hours: float, transport: str
) -> None:
    """Credentials are refreshed by botocore before they expire, or after S3 rejects them."""
    provider = Provider(tmp_path)
    provider.give("good", hours)
    has_expired = False

    def respond(request: Asked) -> Reply:
        if has_expired and request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Cred"):
            return value(b"new") if signed_by(request) == "better" else error(400, "ExpiredToken")
        return value(b"value")

    async with scripted_s3(respond) as server, store_at(server, transport) as store:
        assert await read(store, "a") == b"value"
        has_expired = True
        provider.fail()
        before = provider.lookups
        reads = await asyncio.gather(
            *(store.get(f"c/{number}") for number in range(100)), return_exceptions=True
        )
        assert {type(each) for each in reads} == {UnauthenticatedError}
        assert 1 <= provider.lookups - before <= 3
        with pytest.raises(UnauthenticatedError, match="custom-process"):
            await store.get("a")
        provider.give("better", 5)
        assert await read(store, "a") == b"new"


async def test_wrong_credentials_are_looked_up_at_a_bounded_rate(
    tmp_path: Path, transport: str
) -> None:
    provider = Provider(tmp_path)
    provider.give("wrong", 5)
    async with scripted_s3(for_good) as server, store_at(server, transport) as store:
        for _ in range(2):
            with pytest.raises(UnauthenticatedError, match="InvalidAccessKeyId"):
                await store.get("a")
        reads = await asyncio.gather(
            *(store.get(f"c/{number}") for number in range(100)), return_exceptions=True
        )
        assert {type(each) for each in reads} == {UnauthenticatedError}
        assert 2 <= provider.lookups < 20
        assert len(server.seen) == 102


async def test_explicit_credentials_are_not_looked_up_again(tmp_path: Path) -> None:
    provider = Provider(tmp_path)
    provider.give("good", 5)
    async with scripted_s3(for_good) as server:
        with opened("s3://bucket/x", server.options(), retries=0) as store:
            for _ in range(2):
                with pytest.raises(UnauthenticatedError, match="InvalidAccessKeyId"):
                    await store.get("a")
            assert len(server.seen) == 2
    assert provider.lookups == 0


async def test_an_error_of_the_role_service_never_means_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, transport: str
) -> None:
    is_open = False

    def respond(request: Asked) -> Reply:
        if request.path != "/" or request.method != "POST":
            return for_good(request)
        if not is_open:
            denied = b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
            return Reply(403, denied, {"Content-Type": "text/xml"})
        found = (
            "<Credentials><AccessKeyId>good</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
            f"<SessionToken>t</SessionToken><Expiration>{in_hours(1)}</Expiration></Credentials>"
        )
        name = "AssumeRoleWithWebIdentity"
        body = f"<{name}Response><{name}Result>{found}</{name}Result></{name}Response>"
        return Reply(200, body.encode(), {"Content-Type": "text/xml"})

    (tmp_path / "token").write_text("token")
    async with scripted_s3(respond) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/any")
        options = server.options(**NONE)
        async with FsspecStore.from_url(
            "s3://bucket/x", options, transport=transport, retries=0, missing_on_forbidden=True
        ) as store:
            with pytest.raises(UnauthenticatedError, match="AccessDenied"):
                await store.get("a")
            is_open = True
            assert await read(store, "a") == b"value"
