"""A cluster of Dask's."""

from __future__ import annotations

from servers.dask_cluster import cluster

__all__ = ["cluster"]
