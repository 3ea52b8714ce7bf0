"""The option ``--dask``: results are the same, and errors have their exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import zarr
from servers.dask_cluster import cluster

from cli.conftest import SIZES
from cli.running import run
from fsspec_store.zarr import open_store

__all__ = ["cluster"]


def test_commands_run_on_a_cluster(cluster: Any, data: Path, tmp_path: Path) -> None:
    target, address = tmp_path / "target", cluster.scheduler.address
    assert run("plan", "--dask", address, data, target, tmp_path / "plan").code == 0
    applied = run("apply", "--json", "--dask", address, data, target, tmp_path / "plan")
    assert (applied.code, applied.documents[0]["copied"]) == (0, len(SIZES))
    assert run("verify", "--compare", "bytes", "--dask", address, data, target).code == 0
    (target / "air/c/0/0").write_bytes(b"x" * 2048)
    differ = run("verify", "--json", "--dask", address, data, target)
    assert (differ.code, differ.documents[0]["differing"]) == (1, 1)
    (target / "air/c/0/0").unlink()
    (target / "extra").write_bytes(b"")
    copied = run("cp", "--json", "--dask", address, data, target)
    assert (copied.code, copied.documents[0]["copied"]) == (0, 1)
    synced = run("sync", "--json", "--dask", address, data, target)
    assert (synced.code, synced.documents[0]["deleted"]) == (0, 1)
    array = zarr.create_array(
        open_store(str(tmp_path / "array")), data=np.arange(1, 9), chunks=(2,)
    )
    assert array.shape == (8,)
    checked = ("check", "--deep", "--dask", address, tmp_path / "array")
    assert run(*checked).code == 0
    (tmp_path / "array/c/2").write_bytes(b"no chunk")
    damaged = run(*checked)
    assert damaged.code == 1
    assert "error: undecodable chunk: c/2" in damaged.err


def test_errors_have_their_exit_codes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--dask", "tcp://127.0.0.1:9", data, tmp_path / "target")
    with dask.config.set({"distributed.comm.timeouts.connect": "100ms"}):
        unreachable = run("sync", *arguments)
    assert unreachable.code == 6
    assert "cannot reach the Dask scheduler tcp://127.0.0.1:9" in unreachable.err
    shallow = run("check", *arguments[:3])
    assert (shallow.code, "needs --deep" in shallow.err) == (2, True)
    monkeypatch.setitem(sys.modules, "distributed", None)
    missing = run("cp", *arguments)
    assert missing.code == 2
    assert "pip install 'fsspec-store[dask]'" in missing.err


@pytest.mark.parametrize("address", ["tcp://127.0.0.1", "foo://x"])
def test_an_invalid_address_ends_the_process(address: str, data: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "fsspec_store", "sync", data, tmp_path / "to", "--dask", address],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert f"invalid address of a Dask scheduler: {address}" in ended.stderr
