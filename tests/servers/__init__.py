"""Real servers for the tests. Each is a context manager that yields an endpoint: how to reach it.

Only names: what there is to know is in the modules. The fixtures are in `servers.fixtures`.
"""

from servers.azurite import AzureEndpoint, azurite_server
from servers.errors import ServerStartError, ServerUnavailable
from servers.fake_gcs import GCSEndpoint, fake_gcs_server
from servers.minio import minio_server
from servers.moto import moto_server
from servers.nginx import HTTPEndpoint, nginx_server
from servers.rclone import rclone_server
from servers.s3_endpoint import S3Endpoint
from servers.seaweedfs import seaweedfs_server
from servers.webdav import WebDAVEndpoint, apache_server, rclone_webdav_server, wsgidav_server

__all__ = [
    "AzureEndpoint",
    "GCSEndpoint",
    "HTTPEndpoint",
    "S3Endpoint",
    "ServerStartError",
    "ServerUnavailable",
    "WebDAVEndpoint",
    "apache_server",
    "azurite_server",
    "fake_gcs_server",
    "minio_server",
    "moto_server",
    "nginx_server",
    "rclone_server",
    "rclone_webdav_server",
    "seaweedfs_server",
    "wsgidav_server",
]
