"""Algorithms of checksums, and the libraries that compute them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fsspec_store._backends.checksums import ALGORITHMS

#: The digests of ``123456789``, by which definitions of CRCs are compared.
CHECK_VALUES = {
    "crc32": "cbf43926",
    "crc32c": "e3069283",
    "crc64nvme": "ae8b14860a799888",
    "sha1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
}

#: Prints the algorithms of a process in which modules cannot be imported.
WITHOUT = """
import sys, warnings
warnings.simplefilter("ignore")
sys.modules.update(dict.fromkeys(sys.argv[1:]))
from fsspec_store._backends.checksums import ALGORITHMS
hashed = ALGORITHMS["crc32"]()
hashed.update(memoryview(b"123456789"))
print(hashed.digest().hex(), *sorted(ALGORITHMS))
"""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_digest_of_several_pieces(algorithm: str) -> None:
    hashed = ALGORITHMS[algorithm]()
    hashed.update(memoryview(b"1234"))
    hashed.update(memoryview(bytearray(b"56789")))
    assert hashed.digest().hex() == CHECK_VALUES[algorithm]


@pytest.mark.parametrize("missing", ["google_crc32c", "google_crc32c._crc32c"])
def test_without_fast_libraries_no_slow_implementation_is_used(missing: str) -> None:
    command = [sys.executable, "-c", WITHOUT, "awscrt", "zlib_ng", missing]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["cbf43926", "crc32", "sha1", "sha256"]
