"""A place in a bucket for each test: one bucket of a server for all tests, a prefix for each."""

import itertools
from typing import Any

from servers.azurite import AzureEndpoint
from servers.fake_gcs import GCSEndpoint

_roots = itertools.count()
_buckets: dict[Any, str] = {}


def bucket_of(endpoint: Any) -> str:
    """The bucket for all tests of a server."""
    if endpoint not in _buckets:
        is_azure = isinstance(endpoint, AzureEndpoint)
        _buckets[endpoint] = endpoint.make_container() if is_azure else endpoint.make_bucket()
    return _buckets[endpoint]


def forget_bucket(endpoint: Any) -> None:
    """Create another bucket for the next tests: the server has lost the last one."""
    _buckets.pop(endpoint, None)


def new_root(endpoint: Any) -> str:
    """A new prefix of the bucket."""
    # fake-gcs-server searches all of a bucket, in memory, for a value.
    is_new = isinstance(endpoint, GCSEndpoint)
    bucket = endpoint.make_bucket() if is_new else bucket_of(endpoint)
    return f"{bucket}/{next(_roots)}"
