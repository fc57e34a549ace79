"""`chatapi conform` on servers that nobody here wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import write_servers
import yaml
from conform_runs import command, conform, environment, verdicts
from real_servers import KEY, MODEL

ROOT = Path(__file__).parents[2]
NAMES = ("llama", "aimock", "litserve")


class Runs:
    """The first run of each server, and its recordings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.of = cache(self._run)

    def _run(self, name: str, url: str) -> tuple[int, Any]:
        (self.folder / name).mkdir()
        return conform(name, url, self.folder / name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("name", NAMES)
def test_failures_are_those_that_were_looked_at(
    name: str, runs: Runs, request: pytest.FixtureRequest
) -> None:
    status, report = runs.of(name, request.getfixturevalue(name))
    unknown = [c for c in report["checks"] if c["verdict"] == "fail" and not c["known"]]
    assert [(check["id"], check["reason"]) for check in unknown] == []
    assert report["summary"]["harness-error"] == 0
    assert status == 0  # 1 if one that is known is none any more


@pytest.mark.parametrize("name", NAMES)
def test_the_page_says_what_the_run_says(
    name: str, runs: Runs, request: pytest.FixtureRequest
) -> None:
    _, report = runs.of(name, request.getfixturevalue(name))
    page = (ROOT / "docs" / "servers.md").read_text(encoding="utf-8")
    on_page = write_servers.verdicts_on(page, name)
    assert on_page == {
        check: verdict for check, verdict in verdicts(report).items() if verdict != "pass"
    }


def test_a_second_run_has_the_same_verdicts(runs: Runs, llama: str, tmp_path: Path) -> None:
    _, report = runs.of("llama", llama)
    _, second = conform("llama", llama, tmp_path)
    assert verdicts(second) == verdicts(report)


@pytest.mark.parametrize("name", NAMES)
def test_a_replay_gives_the_same_report(
    name: str, runs: Runs, request: pytest.FixtureRequest
) -> None:
    _, report = runs.of(name, request.getfixturevalue(name))
    folder = runs.folder / name / "recordings"
    replay = [command("chatapi"), "conform", "replay", folder, "--format", "json"]
    done = subprocess.run(replay, capture_output=True, text=True, check=False)
    again = json.loads(done.stdout)
    for check in report["checks"]:
        check["known"] = ""
    assert again["checks"] == report["checks"]
    files = [path for path in (runs.folder / name).rglob("*") if path.is_file()]
    assert len(files) > 50
    assert [path.name for path in files if KEY.encode() in path.read_bytes()] == []


def test_as_pytest_on_two_workers(aimock: str, tmp_path: Path) -> None:
    flags = ["-n", "2", "-p", "no:cacheprovider", "--chatapi-base-url", aimock]
    chosen = ["--chatapi-model", MODEL, "-k", "text.basic or text.n or wrong-key"]
    done = subprocess.run(
        [command("pytest"), "--pyargs", "pytest_chatapi.conformance", *flags, *chosen],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    printed = done.stdout + done.stderr
    assert "FAIL text.n.whole: `n` is ignored" in printed
    assert done.returncode == 1
    assert KEY not in printed


def run_action(given: dict[str, str], folder: Path) -> tuple[str, str, Path]:
    """What the action prints, its summary, and the folder with what it leaves; it fails."""
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    install, check = action["runs"]["steps"]
    assert "pip" in install["run"]
    (folder / "chatapi").symlink_to(Path(sys.executable).parent.parent)  # what it installs
    values = {name: row.get("default", "") for name, row in action["inputs"].items()} | given
    variables = {
        variable: values[text.removeprefix("${{ inputs.").removesuffix(" }}")]
        for variable, text in check["env"].items()
    }
    summary = folder / "summary.md"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", check["run"]],
        env={
            **environment(),
            **variables,
            "RUNNER_TEMP": str(folder),
            "GITHUB_STEP_SUMMARY": str(summary),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    output = folder / values["output"]
    assert (output / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    assert (output / "badge.txt").read_text() == f"{report['summary']['badge']}\n"
    return done.stdout + done.stderr, summary.read_text(encoding="utf-8"), output


@pytest.mark.skipif(not (ROOT / "action.yml").is_file(), reason="the action is not here")
def test_the_action(aimock: str, tmp_path: Path) -> None:
    given = {"url": aimock, "model": MODEL, "args": "--only transport.models --only text.n"}
    printed, summary, output = run_action(given, tmp_path)
    assert "::error title=text.n.whole" in printed
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    assert len(report["checks"]) == 3
    assert "FAIL text.n.whole" in summary
    assert KEY not in printed


@pytest.mark.slow  # six processes
@pytest.mark.skipif(not (ROOT / "action.yml").is_file(), reason="the action is not here")
def test_the_action_with_a_consumer(tmp_path: Path) -> None:
    program = ROOT / "tests" / "consumer_program.py"
    given = {
        "client": f"{sys.executable} {program} needs-space",
        "args": "--keep-alive --only sse.no-space --only sse.comment",
    }
    printed, summary, _ = run_action(given, tmp_path)
    assert "::error title=sse.no-space" in printed
    assert "1 of 2 checks passed, 1 failed" in summary
