"""A place in a bucket for each test: one bucket of a server for all tests, a prefix for each."""

import itertools
from functools import cache
from typing import Any

from servers.azurite import AzureEndpoint

_roots = itertools.count()


@cache
def bucket_of(endpoint: Any) -> str:
    """The bucket for all tests of a server."""
    if isinstance(endpoint, AzureEndpoint):
        return endpoint.make_container()
    bucket: str = endpoint.make_bucket()
    return bucket


def new_root(endpoint: Any) -> str:
    """The bucket and a new prefix."""
    return f"{bucket_of(endpoint)}/{next(_roots)}"
