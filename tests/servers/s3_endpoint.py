"""How the tests see an S3 server, whichever it is: an address, a key pair, a few plain calls.

Knows botocore and what s3fs wants to be told.
Does not know how servers are started or stopped, nor anything of the package under test.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from servers.ports import LOOPBACK

REGION = "us-east-1"

# One try, so that a refusal is seen at once and as it is; no proxy, because it is all on loopback.
_ONE_TRY = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 1}, proxies={})


@cache
def _loader() -> Any:
    """botocore's reader of what it knows of services; it keeps what took a tenth of a second."""
    return botocore.session.Session().get_component("data_loader")


@dataclass(frozen=True)
class S3Endpoint:
    """A running S3 server."""

    name: str
    url: str
    key: str
    secret: str = field(repr=False)
    enforces_credentials: bool
    #: The certificate that clients have to trust; ``None`` without TLS.
    ca: Path | None = None

    @classmethod
    def about_to_start(cls, name: str, port: int, ca: Path | None = None) -> "S3Endpoint":
        """A server of our own on `port`, with a key pair that nobody else has."""
        return cls(
            name=name,
            url=f"{'http' if ca is None else 'https'}://{LOOPBACK}:{port}",
            key=f"key-{secrets.token_hex(8)}",
            secret=secrets.token_hex(20),
            enforces_credentials=True,
            ca=ca,
        )

    def storage_options(self) -> dict[str, Any]:
        """What s3fs needs to reach this server."""
        client = {"region_name": REGION}
        if self.ca is not None:
            client["verify"] = str(self.ca)
        return {
            "key": self.key,
            "secret": self.secret,
            "endpoint_url": self.url,
            "client_kwargs": client,
        }

    def client(self) -> Any:
        """A plain synchronous botocore client: a second opinion on what is really stored."""
        session = botocore.session.Session()
        session.register_component("data_loader", _loader())
        return session.create_client(
            "s3",
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            verify=None if self.ca is None else str(self.ca),
            config=_ONE_TRY,
        )

    @cache  # noqa: B019 - as long as the tests: making a client takes longer than its request.
    def shared_client(self) -> Any:
        """A client as of `client`, which all tests share and none closes."""
        return self.client()

    def make_bucket(self, name: str | None = None) -> str:
        """Makes a bucket, with a name nobody else uses unless one is given, and returns its name.

        A name that exists is an error everywhere but on moto, which lets the owner make a
        bucket twice.
        """
        bucket = f"test-{uuid4().hex}" if name is None else name
        self.shared_client().create_bucket(Bucket=bucket)
        return bucket

    @contextmanager
    def readiness(self, bucket: str | None = None) -> Iterator[Callable[[], str | None]]:
        """A question to ask again and again: why can this server not be used yet?

        It is asked with the key pair of this endpoint, so a stranger that happens to listen on
        the same port is not taken for the server. With `bucket`, that bucket must exist as well.
        """

        def why_not_ready() -> str | None:
            try:
                if bucket is None:
                    client.list_buckets()
                else:
                    client.head_bucket(Bucket=bucket)
            except (BotoCoreError, ClientError) as error:
                return str(error)
            return None

        with closing(self.client()) as client:
            yield why_not_ready
