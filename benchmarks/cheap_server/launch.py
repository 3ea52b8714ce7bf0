"""Starts the server as a process, as the servers of the tests are started."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from servers.ports import port_block
from servers.process import Launch, running
from servers.s3_endpoint import S3Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.certificates import Certificate

_ROOT = Path(__file__).parents[2]

#: GNU libc keeps the memory of values that are overwritten: the system clears new memory.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}


@contextmanager
def cheap_server(threads: int, tls: Certificate | None = None) -> Iterator[S3Endpoint]:
    """Runs the server until the block is left."""
    with running("cheap", partial(_launch, threads, tls)) as endpoint:
        yield endpoint


@contextmanager
def _launch(threads: int, tls: Certificate | None, folder: Path) -> Iterator[Launch[S3Endpoint]]:
    with port_block() as port:
        ca = None if tls is None else tls.ca
        endpoint = replace(S3Endpoint.about_to_start("cheap", port, ca), enforces_credentials=False)
        command = [sys.executable, "-m", "benchmarks.cheap_server", f"--port={port}"]
        command += [f"--threads={threads}"]
        if tls is not None:
            command += [f"--certificate={tls.file}", f"--key={tls.key or tls.file}"]
        with endpoint.readiness() as why_not_ready:
            yield Launch(
                command=command,
                environment={"PYTHONPATH": str(_ROOT), **_KEEP_MEMORY},
                served=endpoint,
                why_not_ready=why_not_ready,
            )
