"""The native transport signs with the credentials of s3fs, and refreshes them as s3fs does."""

from __future__ import annotations

import asyncio
import json
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from conformance.support import listed, put, read
from servers import S3Endpoint
from servers.fault_proxy import Answer, FaultProxy, Seen, fault_proxy, the_first

from fsspec_store import StoreError
from fsspec_store.errors import AccessDeniedError, UnauthenticatedError

from .s3_transports import check_transport, opened, options_of, use

#: No explicit credentials.
NONE = {"key": None, "secret": None}

pytestmark = pytest.mark.usefixtures("no_credentials")


@pytest.fixture
def proxy(minio_endpoint: S3Endpoint) -> Iterator[FaultProxy]:
    with fault_proxy(minio_endpoint.url) as running:
        yield running


def temporary(endpoint: S3Endpoint) -> dict[str, Any]:
    """Temporary credentials, by AssumeRole of the service's STS."""
    client = botocore.session.Session().create_client(
        "sts",
        region_name="us-east-1",
        endpoint_url=endpoint.url,
        aws_access_key_id=endpoint.key,
        aws_secret_access_key=endpoint.secret,
    )
    with closing(client):
        found: dict[str, Any] = client.assume_role(
            RoleArn="arn:aws:iam::123456789012:role/any", RoleSessionName="test"
        )["Credentials"]
    return found


def signers(seen: list[Seen]) -> list[str]:
    """The access keys in the requests' signatures."""
    found = [re.search("Credential=([^/]+)/", each.headers["authorization"]) for each in seen]
    return [match[1] for match in found if match]


async def test_a_session_token_is_signed_and_sent(
    minio_endpoint: S3Endpoint, proxy: FaultProxy, transport: str
) -> None:
    found = temporary(minio_endpoint)
    options = options_of(
        minio_endpoint,
        proxy,
        key=found["AccessKeyId"],
        secret=found["SecretAccessKey"],
        token=found["SessionToken"],
    )
    bucket = minio_endpoint.make_bucket()
    with opened(f"s3://{bucket}/x", options, transport=transport) as store:
        await use(store)
        check_transport(store, transport)
    assert set(signers(proxy.seen)) == {found["AccessKeyId"]}
    tokens = {each.headers["x-amz-security-token"] for each in proxy.seen}
    assert tokens == {found["SessionToken"]}


@pytest.mark.parametrize("by", ["option", "environment"])
async def test_a_profile_is_read(
    minio_endpoint: S3Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
    transport: str,
) -> None:
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id=wrong\naws_secret_access_key=wrong\n"
        f"[other]\naws_access_key_id={minio_endpoint.key}\n"
        f"aws_secret_access_key={minio_endpoint.secret}\n"
    )
    options = options_of(minio_endpoint, **NONE)
    if by == "option":
        options["profile"] = "other"
    else:
        monkeypatch.setenv("AWS_PROFILE", "other")
    with opened(f"s3://{minio_endpoint.make_bucket()}/x", options, transport=transport) as store:
        await use(store)
        check_transport(store, transport)


async def test_the_environment_is_read(
    minio_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    found = temporary(minio_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", found["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", found["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", found["SessionToken"])
    options = options_of(minio_endpoint, **NONE)
    with opened(f"s3://{minio_endpoint.make_bucket()}/x", options, transport=transport) as store:
        await use(store)
        check_transport(store, transport)


class Provider:
    """A credential process, in the profile ``short``.

    Parameters
    ----------
    endpoint : S3Endpoint
        The service whose credentials they are.
    folder : Path
        Where the configuration is, and the program.
    """

    def __init__(self, endpoint: S3Endpoint, folder: Path) -> None:
        self._endpoint = endpoint
        self._output, self._calls = folder / "output.json", folder / "calls"
        program = folder / "provider"
        program.write_text(
            f"""#!{sys.executable} -S
import datetime, json
with open({str(self._calls)!r}, "a") as calls:
    calls.write("call\\n")
minutes, found = json.load(open({str(self._output)!r}))
end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
print(json.dumps({{"Version": 1, **found, "Expiration": end.isoformat()}}))
"""
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (folder / "config").write_text(f"[profile short]\ncredential_process = {program}\n")

    def give(self, minutes: int) -> str:
        """Write new credentials that expire after so many seconds. Returns their access key."""
        found = temporary(self._endpoint)
        self._output.write_text(json.dumps([minutes, {**found, "Expiration": None}]))
        return str(found["AccessKeyId"])

    @property
    def lookups(self) -> int:
        return len(self._calls.read_text().splitlines())


async def test_expiring_credentials_are_refreshed(
    minio_endpoint: S3Endpoint, proxy: FaultProxy, tmp_path: Path, transport: str
) -> None:
    provider = Provider(minio_endpoint, tmp_path)
    options = options_of(minio_endpoint, proxy, **NONE, profile="short")
    with opened(f"s3://{minio_endpoint.make_bucket()}/x", options, transport=transport) as store:
        # botocore refreshes credentials that expire within 10 minutes.
        first = provider.give(minutes=5)
        await put(store, "a")
        await read(store, "a")
        before = provider.lookups
        await read(store, "a")
        assert provider.lookups == before + 1
        second = provider.give(minutes=60)
        await use(store)
        assert provider.lookups == before + 2
        check_transport(store, transport)
    keys = signers(proxy.seen)
    assert keys == [*[first] * 3, *[second] * (len(keys) - 3)]


async def test_only_the_sample_request_is_intercepted(
    minio_endpoint: S3Endpoint, proxy: FaultProxy, tmp_path: Path
) -> None:
    # Each signature waits for the provider, so that requests overlap.
    Provider(minio_endpoint, tmp_path).give(minutes=5)
    options = options_of(minio_endpoint, proxy, **NONE, profile="short")
    buckets = [minio_endpoint.make_bucket() for _ in range(4)]
    with ExitStack() as stack:
        stores = [stack.enter_context(opened(f"s3://{each}/x", options)) for each in buckets]
        left, *others = stores
        # After a redirect, s3fs repeats the first request with the same client.
        proxy.plan = the_first(1, Answer(307, {}, b"<Error><Code>TemporaryRedirect</Code></Error>"))
        assert await listed(left.list()) == []
        native = left.stats.native
        calls = [listed(store.list()) for store in (left, *others, left)]
        assert await asyncio.gather(*calls) == [[]] * len(calls)
        assert left.stats.native == native == 1
        assert [store.stats.native for store in others] == [1, 1, 1]


async def test_a_provider_that_fails_is_an_error_that_names_it(
    minio_endpoint: S3Endpoint, tmp_path: Path, transport: str
) -> None:
    (tmp_path / "config").write_text("[profile broken]\ncredential_process = false\n")
    options = options_of(minio_endpoint, **NONE, profile="broken")
    with opened("s3://bucket/x", options, transport=transport) as store:
        with pytest.raises(UnauthenticatedError, match="custom-process"):
            await store.get("a")
        with pytest.raises(UnauthenticatedError, match="custom-process"):
            await put(store, "a")


@pytest.mark.parametrize("loss", [Path.unlink, lambda program: program.chmod(0o600)])
async def test_a_failing_provider_never_means_missing(
    minio_endpoint: S3Endpoint, tmp_path: Path, transport: str, loss: Callable[[Path], None]
) -> None:
    provider = Provider(minio_endpoint, tmp_path)
    provider.give(minutes=5)
    url = f"s3://{minio_endpoint.make_bucket()}/x"
    options = options_of(minio_endpoint, **NONE, profile="short")
    with (
        opened(url, options, transport=transport, missing_on_forbidden=True) as used,
        opened(url, options, transport=transport, missing_on_forbidden=True) as new,
    ):
        await put(used, "a")
        loss(tmp_path / "provider")
        for store in (used, new):
            for work in (
                store.get("a"),
                store.exists("a"),
                store.getsize("a"),
                store.get_version("a"),
                store.is_empty(""),
                store.delete("a"),
                store.delete_dir(""),
                put(store, "a"),
            ):
                with pytest.raises(UnauthenticatedError, match="provider"):
                    await work
    with opened(url, minio_endpoint.storage_options()) as store:
        assert await read(store, "a") == b"a"


async def test_anonymous_requests_to_a_public_bucket(
    minio_endpoint: S3Endpoint, proxy: FaultProxy, transport: str
) -> None:
    bucket = minio_endpoint.make_bucket()
    actions = ["GetObject", "PutObject", "DeleteObject", "ListBucket"]
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": ["*"]},
                "Action": [f"s3:{action}" for action in actions],
                "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            }
        ],
    }
    with closing(minio_endpoint.client()) as client:
        client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    # With anon=True, s3fs ignores credentials.
    options = options_of(minio_endpoint, proxy, anon=True)
    with opened(f"s3://{bucket}/x", options, transport=transport) as store:
        await use(store)
        check_transport(store, transport)
    assert not any("authorization" in each.headers for each in proxy.seen)
    puts = [each.headers for each in proxy.seen if each.method == "PUT"]
    # Without signatures, checksums detect corruption in transit.
    assert all("x-amz-checksum-crc32" in headers or "content-md5" in headers for headers in puts)
    closed = minio_endpoint.make_bucket()
    with (
        opened(f"s3://{closed}/x", options, transport=transport) as store,
        pytest.raises(AccessDeniedError),
    ):
        await store.get("a")


async def test_missing_credentials_are_a_clear_error(
    minio_endpoint: S3Endpoint, transport: str
) -> None:
    with opened("s3://bucket/x", options_of(minio_endpoint, **NONE), transport=transport) as store:
        with pytest.raises(UnauthenticatedError, match="Unable to locate credentials"):
            await store.get("a")
        with pytest.raises(UnauthenticatedError, match="Unable to locate credentials"):
            await put(store, "a")
    options = options_of(minio_endpoint, **NONE, profile="nobody")
    with (
        opened("s3://bucket/x", options, transport=transport) as store,
        pytest.raises(UnauthenticatedError, match="nobody"),
    ):
        await store.get("a")


async def test_credentials_that_appear_later_are_used(
    minio_endpoint: S3Endpoint, tmp_path: Path, transport: str
) -> None:
    bucket = minio_endpoint.make_bucket()
    options = options_of(minio_endpoint, **NONE, profile="other")
    with opened(f"s3://{bucket}/x", options, transport=transport) as store:
        with pytest.raises(UnauthenticatedError):
            await store.get("a")
        (tmp_path / "credentials").write_text(
            f"[other]\naws_access_key_id={minio_endpoint.key}\n"
            f"aws_secret_access_key={minio_endpoint.secret}\n"
        )
        await put(store, "a")
        assert await read(store, "a") == b"a"
        assert store.stats.native == (2 if transport == "auto" else 0)


async def test_a_wrong_secret_is_the_same_error_by_both_transports(
    minio_endpoint: S3Endpoint,
) -> None:
    bucket = minio_endpoint.make_bucket()
    secret = "not-the-right-one"
    options = options_of(minio_endpoint, secret=secret)
    said = []
    for transport in ("auto", "library"):
        with opened(f"s3://{bucket}/x", options, transport=transport) as store:
            for call in (store.get("a"), store.exists("a"), store.delete("a"), put(store, "a")):
                with pytest.raises(UnauthenticatedError, match="SignatureDoesNotMatch") as caught:
                    await call
                assert secret not in str(caught.value)
            said.append(str(caught.value))
            assert bool(store.stats.native) is (transport == "auto")
    assert said[0] == said[1]


@pytest.mark.parametrize("name", ["key", "token"])
@pytest.mark.parametrize("value", ["with space", "\u00fcnicode", "a/slash"])
async def test_unusual_credentials_have_the_same_result_by_both_transports(
    minio_endpoint: S3Endpoint, name: str, value: str
) -> None:
    options = options_of(minio_endpoint, **{name: value})
    said = []
    for transport in ("auto", "library"):
        with opened("s3://bucket/x", options, transport=transport, retries=0) as store:
            with pytest.raises(StoreError) as caught:
                await store.get("a")
            said.append((type(caught.value), str(caught.value).partition("(")[0]))
            assert minio_endpoint.secret not in f"{caught.value!r} {caught.value.__cause__!r}"
            assert bool(store.stats.native) is (transport == "auto" and value == "a/slash")
    assert said[0] == said[1]
