"""Real S3 servers for the tests. Each is a context manager that yields an `S3Endpoint`.

Only names: what there is to know is in the modules. The fixtures are in `servers.fixtures`.
"""

from servers.errors import ServerStartError, ServerUnavailable
from servers.minio import minio_server
from servers.moto import moto_server
from servers.s3_endpoint import S3Endpoint
from servers.seaweedfs import seaweedfs_server

__all__ = [
    "S3Endpoint",
    "ServerStartError",
    "ServerUnavailable",
    "minio_server",
    "moto_server",
    "seaweedfs_server",
]
