"""Every example of the documentation runs as it stands there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from pytest_chatapi.cli import main
from pytest_chatapi.contract.bundled import bundled

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(kind, text, id=f"{page.name}-{number}-{kind}")
    for page in PAGES
    if page.is_file()
    for number, (kind, text) in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
    if kind in ("python", "console")
]


def test_there_are_examples() -> None:
    assert len(PAGES) > 6
    assert len(BLOCKS) > 10


@pytest.mark.parametrize(("kind", "text"), BLOCKS)
def test_example(
    kind: str,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(bundled("cassettes"), tmp_path / "cassettes")
    monkeypatch.chdir(tmp_path)
    if kind == "python":
        exec(compile(text, "example", "exec"), {"__name__": "example"})
        return
    for command in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
        words = shlex.split(command)
        if words[0] == "chatapi" and "|" not in words and ">" not in words:
            status = main(words[1:])
            assert status in (0, 1), (command, capsys.readouterr().err)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
