"""The options ``--html`` and ``--junit``: when the files are written, and what they leave out."""

from __future__ import annotations

import os
import stat
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import zarr

from cli.conftest import Holding
from cli.running import Ended, Processes, run
from fsspec_store.zarr import open_store


@pytest.fixture
def climate(tmp_path: Path) -> Path:
    """A complete data set."""
    root = tmp_path / "climate.zarr"
    group = zarr.create_group(open_store(str(root)))
    group.create_array("air", data=np.ones((4, 4)), chunks=(2, 2), compressors=None)
    return root


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_check_writes_both_reports_of_a_complete_data_set(climate: Path, tmp_path: Path) -> None:
    html, junit = tmp_path / "report.html", tmp_path / "report.xml"
    html.write_text("old")
    assert run("check", "--html", html, "--junit", junit, climate).code == 0
    assert "Complete" in html.read_text()
    suite = ElementTree.parse(junit).getroot()[0]
    assert (suite.attrib["name"], suite.attrib["failures"]) == (str(climate), "0")
    assert files(tmp_path) == ["climate.zarr", "report.html", "report.xml"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(junit.stat().st_mode) == 0o666 & ~mask


def test_check_writes_both_reports_of_an_incomplete_data_set(climate: Path, tmp_path: Path) -> None:
    html, junit = tmp_path / "report.html", tmp_path / "report.xml"
    (climate / "air/c/1/1").unlink()
    found = run("check", "--json", "--html", html, "--junit", junit, climate)
    assert (found.code, found.documents[0]["ok"]) == (1, False)
    page = html.read_text()
    assert "<code>air/c/1/1</code>" in page
    assert f"fsspec-store check --html {html} --junit {junit} --json {climate}" in page
    assert ElementTree.parse(junit).getroot().attrib["failures"] == "1"


def test_reports_of_a_check_that_fails(web: Holding, tmp_path: Path) -> None:
    html, junit = tmp_path / "report.html", tmp_path / "report.xml"
    url = f"http://user:hunter2@{web.url.removeprefix('http://')}/denied"
    found = run("check", "--html", html, "--junit", junit, url)
    assert found.code == 4
    for text in (html.read_text(), junit.read_text()):
        assert "hunter2" not in text
        assert "403" in text
    assert "Failed: " in html.read_text()
    assert ElementTree.parse(junit).getroot().attrib["errors"] == "1"


def test_transfers_write_a_page(climate: Path, tmp_path: Path) -> None:
    target, html, plan = tmp_path / "copy", tmp_path / "report.html", tmp_path / "plan.jsonl"

    def page(*arguments: str | Path, code: int = 0) -> str:
        html.unlink(missing_ok=True)
        assert run(*arguments, "--html", html, climate, target).code == code
        return unescape(html.read_text())

    assert f"<h1>Copy to {target}</h1>" in page("cp")
    assert "<dt>Equal</dt><dd>6</dd>" in page("sync")
    (target / "air/c/0/0").write_bytes(b"")
    assert "<code>air/c/0/0</code> size" in page("verify", code=1)
    (climate / "air/c/0/1").chmod(0)
    assert run("plan", climate, target, plan).code == 0
    assert run("apply", "--html", html, climate, target, plan).code == 0
    assert f"<h1>Plan applied to {target}</h1>" in html.read_text()


def test_cp_of_one_key_writes_a_page(climate: Path, tmp_path: Path) -> None:
    html = tmp_path / "report.html"
    assert run("cp", "--html", html, climate / "air/c/0/0", f"{tmp_path}/one/").code == 0
    assert "<dt>Copied</dt><dd>1</dd>" in html.read_text()


def test_a_refused_sync_writes_a_page(climate: Path, tmp_path: Path) -> None:
    html = tmp_path / "report.html"
    assert run("sync", "--html", html, tmp_path / "mistyped", climate).code == 7
    assert "has no key; --allow-empty accepts that" in html.read_text()


def refused(found: Ended, web: Holding, reason: str) -> None:
    assert found.code == 2
    assert reason in found.err
    assert found.err.count("\n") == 1
    assert not web.is_held.is_set()


@pytest.mark.parametrize("option", ["--html", "--junit"])
def test_a_file_that_cannot_be_written_is_found_first(
    option: str, web: Holding, tmp_path: Path
) -> None:
    """Before any request: the server responds to none."""
    reason = f"Invalid value for {option}: cannot write"
    for path in (tmp_path / "missing/report", tmp_path, Path("/dev/null")):
        refused(run("check", option, path, web.url), web, f"{reason} {path}: ")


def test_transfers_find_a_file_that_cannot_be_written_first(web: Holding, tmp_path: Path) -> None:
    for name in ("cp", "sync", "verify"):
        found = run(name, "--html", tmp_path, web.url, web.url)
        refused(found, web, f"cannot write {tmp_path}: it is not a file")


def test_wrong_usage_replaces_no_report(web: Holding, tmp_path: Path) -> None:
    html = tmp_path / "report.html"
    html.write_text("old")
    found = run("check", "--html", html, "--junit", tmp_path, web.url)
    refused(found, web, "--junit: cannot write")
    assert html.read_text() == "old"
    assert files(tmp_path) == ["report.html"]


def test_an_interrupted_check_writes_a_page(
    command: Processes, web: Holding, tmp_path: Path
) -> None:
    html = tmp_path / "report.html"
    started = command.start("check", "--html", html, f"{web.url}/climate.zarr")
    assert web.is_held.wait(60)
    started.interrupt()
    assert started.end().code == 130
    assert "Failed: interrupted" in html.read_text()
    assert files(tmp_path) == ["report.html"]


def test_an_interrupted_copy_writes_its_totals(
    command: Processes, web: Holding, tmp_path: Path
) -> None:
    html = tmp_path / "report.html"
    started = command.start(
        *("cp", "--html", html, "--concurrency", "1", f"{web.url}/slow/", tmp_path / "copy")
    )
    assert web.is_held.wait(60)
    started.interrupt()
    assert started.end().code == 130
    page = html.read_text()
    assert "Not complete: interrupted" in page
    assert "<dt>Copied</dt><dd>1</dd>" in page


@pytest.mark.parametrize("name", ["cp", "sync"])
def test_a_dry_run_has_no_report(name: str, web: Holding, tmp_path: Path) -> None:
    found = run(name, "-n", "--html", tmp_path / "report", web.url, web.url)
    refused(found, web, "there is no report of --dry-run")
    assert files(tmp_path) == []


def test_a_link_stays_a_link(climate: Path, tmp_path: Path) -> None:
    link, target = tmp_path / "link.html", tmp_path / "target.html"
    link.symlink_to(target)
    assert run("check", "--html", link, climate).code == 0
    assert link.is_symlink()
    assert "Complete" in target.read_text()


def test_secrets_are_not_in_the_command(climate: Path, tmp_path: Path) -> None:
    html = tmp_path / "report.html"
    key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    run(
        "sync",
        *("--html", html, "--max-delete", "3", "--include", "air/**", "--include", "a b"),
        *("--dst-option", f"secret={key}", "--dst-option", f"{key}=1", "--fail-fast"),
        *("--dst-endpoint-url", f"https://me:{key}@localhost:1", "--src-option", "auto_mkdir=1"),
        *(f"file://{climate}", f"s3://me:{key}@bucket/x?token={key}"),
    )
    page = unescape(html.read_text())
    assert key not in page
    assert "MDENG" not in page
    assert (
        f"fsspec-store sync --include 'air/**' --include 'a b' --max-delete 3 --fail-fast"
        f" --html {html} --dst-endpoint-url 'https://***@localhost:1' file://{climate}"
    ) in page
    assert "# without storage options" in page


def test_a_page_has_messages_of_the_shell(web: Holding, tmp_path: Path) -> None:
    html = tmp_path / "report.html"
    ended = run("cp", "--json", "--html", html, f"{web.url}/mixed/", tmp_path / "copy")
    [failure] = ended.documents[0]["failures"]
    assert failure["error"].startswith("cannot read 'bad'")
    assert failure["error"] in unescape(html.read_text())
    assert "BackendError" not in html.read_text()
