"""Where the pages of S3 run: a MinIO set up like the service that a page speaks of.

Temporary credentials are made by its own STS, with the policies that the page itself gives.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.exceptions
import botocore.session
import pytest
from servers import S3Endpoint

from pages.blocks import blocks_of
from pages.reader import ROOT

from .contents import write_era5
from .place import Place

#: Of the MinIO that stands for Amazon's service.
REGION = "eu-central-1"
#: The name of a key that encrypts, and 32 bytes of nothing.
KMS_KEY = "weather:" + "A" * 43 + "="

_KEY = "AKIAIOSFODNN7EXAMPLE"
_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#: Programs look no further than a page says.
_NO_MACHINE = {"AWS_EC2_METADATA_DISABLED": "true"}


@dataclass(frozen=True)
class Service:
    """A server with its region, and with the authority that vouches for it where it speaks TLS."""

    endpoint: S3Endpoint
    region: str = "us-east-1"
    authority: Path | None = None

    @property
    def key_and_secret(self) -> dict[str, str]:
        return {_KEY: self.endpoint.key, _SECRET: self.endpoint.secret}

    @property
    def _trust(self) -> dict[str, str]:
        return {} if self.authority is None else {"verify": str(self.authority)}

    def client(self, service: str) -> Any:
        return botocore.session.Session().create_client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint.url,
            aws_access_key_id=self.endpoint.key,
            aws_secret_access_key=self.endpoint.secret,
            **self._trust,
        )

    def with_era5(self) -> Service:
        """The data set in the bucket ``weather``, and in ``weather-open``, which anybody reads."""
        options = {
            **self.endpoint.storage_options(),
            "client_kwargs": {"region_name": self.region, **self._trust},
        }
        for bucket in ("weather", "weather-open"):
            self._make_bucket(bucket)
            write_era5(f"s3://{bucket}/era5.zarr", options)
        with closing(self.client("s3")) as client:
            client.put_bucket_policy(Bucket="weather-open", Policy=json.dumps(_EVERYBODY_READS))
        return self

    def temporary(self, policy: str) -> dict[str, str]:
        """Credentials that may do what a policy says."""
        with closing(self.client("sts")) as client:
            found: dict[str, str] = client.assume_role(
                RoleArn="arn:aws:iam::123456789012:role/any", RoleSessionName="page", Policy=policy
            )["Credentials"]
        return found

    def _make_bucket(self, name: str) -> None:
        place = {"LocationConstraint": self.region} if self.region != "us-east-1" else {}
        with closing(self.client("s3")) as client:
            try:
                client.create_bucket(
                    Bucket=name, **({"CreateBucketConfiguration": place} if place else {})
                )
            except botocore.exceptions.ClientError as error:
                # By another page.
                assert error.response["Error"]["Code"] == "BucketAlreadyOwnedByYou"


def prepare_amazon(request: pytest.FixtureRequest) -> Place:
    service: Service = request.getfixturevalue("secure_minio").with_era5()
    blocks = blocks_of(ROOT / "docs/backends/s3.md")
    policies = {block.title: block.text for block in blocks}
    words = service.key_and_secret
    for who in ("reader", "writer"):
        found = service.temporary(policies[f"{who}.json"])
        words[f"ASIA{who.upper()}EXAMPLE"] = found["AccessKeyId"]
        words[f"secret-of-the-{who}"] = found["SecretAccessKey"]
        words[f"token-of-the-{who}"] = found["SessionToken"]
    return Place(
        environment={
            **_NO_MACHINE,
            "AWS_ENDPOINT_URL": service.endpoint.url,
            "AWS_CA_BUNDLE": str(service.authority),
        },
        words={**words, "arn:aws:kms:eu-central-1:123456789012:key/weather": "weather"},
    )


def prepare_compatible(request: pytest.FixtureRequest) -> Place:
    service = Service(request.getfixturevalue("minio_endpoint")).with_era5()
    secure: Service = request.getfixturevalue("secure_minio").with_era5()
    rclone: S3Endpoint = request.getfixturevalue("rclone_endpoint")
    rclone.make_bucket("notes")
    return Place(
        environment=_NO_MACHINE,
        words={
            **service.key_and_secret,
            "https://minio.example.org": service.endpoint.url,
            "https://minio.internal:9000": secure.endpoint.url,
            "/etc/ssl/example-authority.pem": str(secure.authority),
            "https://old.example.org": rclone.url,
            "key-of-the-old-server": rclone.key,
            "secret-of-the-old-server": rclone.secret,
        },
    )


def prepare_configuration(request: pytest.FixtureRequest) -> Place:
    service = Service(request.getfixturevalue("minio_endpoint")).with_era5()
    return Place(
        environment=_NO_MACHINE,
        words={**service.key_and_secret, "https://minio.example.org": service.endpoint.url},
    )


_EVERYBODY_READS = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": ["arn:aws:s3:::weather-open", "arn:aws:s3:::weather-open/*"],
        }
    ],
}
