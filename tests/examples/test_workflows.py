"""The workflows of `examples/workflows`, their steps run as GitHub runs them, on a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from pages.blocks import blocks_of
from pages.places.publishing import environment, write_climate
from servers import S3Endpoint

from fsspec_store import Buffer, FsspecStore

#: They run the command ten times, for seconds each.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))

#: Stands in for GitHub's command: notes its arguments, and knows one open issue or none.
GH = """#!/bin/bash
echo "$@" >> "$HOME/gh.log"
if [ "$2" = list ]; then echo "$OPEN_ISSUE"; fi
"""


class Texts(defaultdict[str, str]):
    """Texts by attribute, empty where they are not set, as in GitHub's expressions."""

    def __init__(self) -> None:
        super().__init__(str)

    __getattr__ = defaultdict.__getitem__


@dataclass
class Run:
    """One run of the only job of a workflow."""

    folder: Path
    variables: Mapping[str, str]
    failed_steps: list[str] = field(default_factory=list)
    outputs: defaultdict[str, SimpleNamespace] = field(
        default_factory=lambda: defaultdict(lambda: SimpleNamespace(outputs=Texts()))
    )

    def follow(self, workflow: Mapping[str, Any]) -> None:
        [job] = workflow["jobs"].values()
        for step in job["steps"]:
            if self._value(step.get("if", "not failure()")) and _is_run(step):
                given = {
                    name: re.sub(r"\$\{\{(.*?)\}\}", lambda found: self._value(found[1]), text)
                    for name, text in {**workflow["env"], **step.get("env", {})}.items()
                }
                self._run(step, given)

    def _value(self, expression: str) -> Any:
        """The value of an expression, whose operators are written as in Python."""
        steps = SimpleNamespace(sync=self.outputs["sync"], check=self.outputs["check"])
        names = {
            "always": lambda: True,
            "failure": lambda: bool(self.failed_steps),
            "steps": steps,
            "github": Texts(),
        }
        return eval(expression.strip().replace("&&", "and"), names)

    def _run(self, step: Mapping[str, Any], given: Mapping[str, str]) -> None:
        output = self.folder / "output"
        output.write_text("")
        files = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(self.summary_file)}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.folder,
            env={**self.variables, **given, **files},
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            self.failed_steps.append(step["name"])
        for line in output.read_text().splitlines():
            name, _, value = line.partition("=")
            self.outputs[step["id"]].outputs[name] = value

    @property
    def summary_file(self) -> Path:
        return self.folder / "summary"

    @property
    def summary(self) -> str:
        return self.summary_file.read_text()

    @property
    def calls_of_gh(self) -> list[str]:
        log = self.folder / "gh.log"
        return log.read_text().splitlines() if log.exists() else []


def _is_run(step: Mapping[str, Any]) -> bool:
    return "run" in step and not step["run"].startswith("pip install")


def workflow(name: str, target: str = "") -> Any:
    text = (FOLDER / name).read_text()
    return yaml.safe_load(text.replace("s3://weather/climate.zarr", target) if target else text)


@pytest.fixture
def target(minio_endpoint: S3Endpoint) -> str:
    return f"s3://{minio_endpoint.make_bucket()}/climate.zarr"


@pytest.fixture
def store(minio_endpoint: S3Endpoint, target: str) -> FsspecStore:
    return FsspecStore.from_url(target, minio_endpoint.storage_options())


@pytest.fixture
def run(minio_endpoint: S3Endpoint, tmp_path: Path) -> Run:
    """A run in a folder with a data set, a program that builds it, and ``gh``."""
    write_climate(tmp_path / "built.zarr")
    (tmp_path / "build.py").write_text(
        'import shutil, sys\nshutil.copytree("built.zarr", sys.argv[1])\n'
    )
    (tmp_path / "bin").mkdir()
    gh = tmp_path / "bin" / "gh"
    gh.write_text(GH)
    gh.chmod(0o755)
    path = [str(gh.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    ours = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    given = {"PATH": os.pathsep.join(path), "HOME": str(tmp_path), "OPEN_ISSUE": ""}
    return Run(tmp_path, {**ours, **given, **environment(minio_endpoint)})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
class TestEveryWorkflow:
    def test_its_shell_can_be_parsed(self, path: Path) -> None:
        [job] = workflow(path.name)["jobs"].values()
        scripts = [step["run"] for step in job["steps"] if "run" in step]
        assert len(scripts) >= 3
        for script in scripts:
            subprocess.run(["bash", "-n", "-c", script], check=True)
            # A value of an expression would be a part of the script's text.
            assert "${{" not in script

    def test_it_needs_no_stored_key(self, path: Path) -> None:
        assert "secrets." not in path.read_text()
        assert workflow(path.name)["permissions"]["id-token"] == "write"


class TestPublish:
    def test_a_data_set_is_published(self, run: Run, target: str, store: FsspecStore) -> None:
        run.follow(workflow("publish.yml", target))
        assert run.failed_steps == [], run.summary
        assert len(list(store.sync.list())) == 10
        assert "| sync | 0 | done |\n| check | 0 | done |" in run.summary
        assert "10 copied" in run.summary
        reports = {path.name for path in (run.folder / "reports").iterdir()}
        assert reports == {"sync.log", "sync.html", "check.log", "check.html", "check.xml"}

    def test_an_incomplete_build_is_not_published(
        self, run: Run, target: str, store: FsspecStore
    ) -> None:
        (run.folder / "built.zarr/air/c/1/0/0").unlink()
        run.follow(workflow("publish.yml", target))
        assert run.failed_steps == ["Check what was built"]
        assert list(store.sync.list()) == []
        assert run.summary.count("did not run") == 2

    def test_too_many_deletes_are_refused(self, run: Run, target: str, store: FsspecStore) -> None:
        for number in range(20):
            store.sync.set(f"old/c/{number}", Buffer.from_bytes(b"value"))
        run.follow(workflow("publish.yml", target))
        assert run.failed_steps == ["Publish"]
        assert "| sync | 7 | **refused**" in run.summary
        assert "| check |  | did not run" in run.summary
        assert "20 of 20 keys would be deleted" in run.summary

    def test_wrong_credentials_are_explained(self, run: Run, target: str) -> None:
        run.variables = {**run.variables, "AWS_SECRET_ACCESS_KEY": "wrong"}
        run.follow(workflow("publish.yml", target))
        assert run.failed_steps == ["Publish"]
        assert "| sync | 4 | **access denied**" in run.summary


class TestNightlyCheck:
    def test_a_complete_data_set_opens_no_issue(
        self, run: Run, target: str, store: FsspecStore
    ) -> None:
        publish(run, store)
        run.follow(workflow("nightly-check.yml", target))
        assert (run.failed_steps, run.calls_of_gh) == ([], [])
        assert "exit code 0" in run.summary

    @pytest.mark.parametrize("number", ["", "17"], ids=["new", "open"])
    def test_a_missing_chunk_is_an_issue(
        self, run: Run, target: str, store: FsspecStore, number: str
    ) -> None:
        publish(run, store)
        store.sync.delete("air/c/1/0/0")
        run.variables = {**run.variables, "OPEN_ISSUE": number}
        run.follow(workflow("nightly-check.yml", target))
        assert run.failed_steps == ["Check"]
        assert "missing chunk: air/c/1/0/0" in run.summary
        searched, written = run.calls_of_gh
        assert searched.startswith(f'issue list --state open --search in:title "{target} is not')
        title = f"issue create --title {target} is not complete"
        assert written.startswith("issue comment 17" if number else title)
        assert "missing chunk: air/c/1/0/0" in (run.folder / "reports/summary.md").read_text()

    def test_denied_access_is_no_issue(self, run: Run, target: str) -> None:
        run.variables = {**run.variables, "AWS_SECRET_ACCESS_KEY": "wrong"}
        run.follow(workflow("nightly-check.yml", target))
        assert (run.failed_steps, run.calls_of_gh) == (["Check"], [])
        assert "exit code 4" in run.summary


def test_the_job_of_gitlab(run: Run, target: str, store: FsspecStore) -> None:
    publish(run, store)
    [block] = [each for each in blocks_of(ROOT / "docs/ci.md") if each.title == ".gitlab-ci.yml"]
    job = yaml.safe_load(block.text.replace("s3://weather/climate.zarr", target))["check"]
    [command] = [line for line in job["script"] if line.startswith("fsspec-store")]
    subprocess.run(["bash", "-ec", command], cwd=run.folder, env=run.variables, check=True)
    assert (run.folder / job["artifacts"]["reports"]["junit"]).exists()


def publish(run: Run, store: FsspecStore) -> None:
    for path in (run.folder / "built.zarr").rglob("*"):
        if path.is_file():
            key = path.relative_to(run.folder / "built.zarr").as_posix()
            store.sync.set(key, Buffer.from_bytes(path.read_bytes()))
