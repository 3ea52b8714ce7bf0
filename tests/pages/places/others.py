"""Where the page of all other filesystems runs: an SFTP, an FTP and an S3 server, and a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from servers.ftp import FTPEndpoint
from servers.sftp import SFTPEndpoint

from .contents import write_era5
from .place import Place
from .s3 import Service


def prepare(request: pytest.FixtureRequest) -> Place:
    sftp: SFTPEndpoint = request.getfixturevalue("sftp_endpoint")
    ftp: FTPEndpoint = request.getfixturevalue("ftp_endpoint")
    minio = Service(request.getfixturevalue("minio_endpoint")).with_era5()
    home = Path(request.getfixturevalue("tmp_path")) / "home"
    keys = home / ".ssh"
    keys.mkdir(parents=True)
    shutil.copy(sftp.key_file, keys / "id_ed25519")
    write_era5(str(sftp.folder / "era5.zarr"))
    write_era5(str(ftp.folder / "era5.zarr"))
    user = sftp.storage_options()["username"]
    secret = ftp.storage_options()["password"]
    return Place(
        environment={"AWS_ENDPOINT_URL": minio.endpoint.url},
        words={
            "sftp://anna@login.example.org/data": f"sftp://{user}@127.0.0.1:{sftp.port}{sftp.folder}",
            "sftp://nobody@login.example.org/data": (
                f"sftp://nobody@127.0.0.1:{sftp.port}{sftp.folder}"
            ),
            "/home/anna": str(home),
            "ftp://anna:secret-of-anna@files.example.org": (
                f"ftp://writer:{secret}@127.0.0.1:{ftp.port}"
            ),
            # As a store shows it.
            "sftp:///data": f"sftp://{sftp.folder}",
        },
    )
