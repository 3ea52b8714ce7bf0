"""A place in a bucket for each test: one bucket of a server for all tests, a prefix for each."""

import itertools
from functools import cache
from typing import Any

from servers.azurite import AzureEndpoint
from servers.fake_gcs import GCSEndpoint

_roots = itertools.count()


@cache
def bucket_of(endpoint: Any) -> str:
    """The bucket for all tests of a server."""
    if isinstance(endpoint, AzureEndpoint):
        return endpoint.make_container()
    bucket: str = endpoint.make_bucket()
    return bucket


def new_root(endpoint: Any) -> str:
    """A new prefix of the bucket."""
    # fake-gcs-server searches all of a bucket, in memory, for a value.
    is_new = isinstance(endpoint, GCSEndpoint)
    bucket = endpoint.make_bucket() if is_new else bucket_of(endpoint)
    return f"{bucket}/{next(_roots)}"
