"""zarr's own tests and ours of the zarr flavour, on releases of zarr that people have.

``make nox`` runs all of them, each in an environment of its own; ``nox -l`` lists them. Random
sequences are many more than in ``make test``.
"""

from __future__ import annotations

import nox

nox.options.error_on_missing_interpreters = False

#: With the Python that its users have most likely; zarr 3.4 takes 3.12 and later.
RELEASES = [
    nox.param("3.11", "zarr==3.0.10", id="3.0.10"),
    nox.param("3.11", "zarr>=3.1,<3.2", id="3.1"),
    nox.param("3.13", "zarr", id="newest"),
]


@nox.session
@nox.parametrize(("python", "zarr"), RELEASES)
def zarr(session: nox.Session, zarr: str) -> None:
    """Run the tests of the zarr flavour."""
    project = nox.project.load_toml("pyproject.toml")
    tests = nox.project.dependency_groups(project, "run-tests", "servers")
    session.install("--editable", ".[s3,gcs,azure,http,webdav,zarr]", zarr, *tests)
    session.run(
        *("python", "-m", "pytest", "tests/zarr_flavour", "--sequences", "50"), *session.posargs
    )
