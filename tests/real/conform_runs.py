"""Runs `chatapi conform` on real servers. Not a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from real_servers import KEY, MODEL

__all__ = ["KNOWN", "OPTIONS", "command", "conform", "environment", "verdicts"]

KNOWN = Path(__file__).parent / "known"
"""Folder with the failures of each server, looked at by hand."""

OPTIONS: dict[str, Sequence[str]] = {
    # A busy machine takes its time for a long text.
    "llama": ("--timeout", "300"),
    # What it says is what its fixtures say, and they cannot tell one call from another.
    "aimock": ("--declare", "structured=no", "--skip", "tools.cut"),
    # After `n: 0` it hangs.
    "litserve": ("--declare", "structured=no", "--timeout", "10"),
}


def command(name: str) -> Path:
    """A command of the environment that runs this."""
    return Path(sys.executable).with_name(name)


def environment() -> dict[str, str]:
    return {**os.environ, "OPENAI_API_KEY": KEY}


def conform(name: str, url: str, folder: Path) -> tuple[int, Any]:
    """Exit status and report of a run, whose recordings are in the folder."""
    report = folder / f"{name}.json"
    arguments = ["conform", "server", url, "--model", MODEL, "--record", folder / "recordings"]
    arguments += ["--expected", KNOWN / f"{name}.toml", "--format", "json", "-o", report]
    done = subprocess.run(
        [command("chatapi"), *arguments, *OPTIONS[name]],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.is_file(), done.stderr
    return done.returncode, json.loads(report.read_text(encoding="utf-8"))


def verdicts(report: Any) -> dict[str, str]:
    """Check to verdict."""
    return {check["id"]: check["verdict"] for check in report["checks"]}
