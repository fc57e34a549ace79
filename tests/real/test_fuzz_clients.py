"""`chatapi_fuzz` on released packages: what it finds, without being told where to look."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import real_servers

HERE = Path(__file__).parent / "consumers"
FUZZED = """
import runpy
import consuming

def test_any(chatapi_fuzz, monkeypatch):
    programs = []
    monkeypatch.setattr(consuming, "run", programs.append)  # instead of the loop over its input
    runpy.run_path("PROGRAM")
    chatapi_fuzz(programs[0])
"""

_EVENTS = {"event_without_data", "byte_order_mark"}  # of `SSEDecoder`, in openai and in httpx-sse
_SHARED = "calls_share_index"  # both calls become one, such as `get_weatherget_traffic`
KNOWN = {
    ("clients", "openai_iteration"): ("openai 3.57.0", _EVENTS),
    ("clients", "openai_async"): ("openai 3.57.0", _EVENTS),
    ("clients", "openai_stream"): (
        "openai 3.57.0",
        {*_EVENTS, "ends_early", "arguments_cut", _SHARED},
    ),
    ("clients", "openai_whole"): ("openai 3.57.0", set()),
    ("openai2", "openai_iteration"): ("openai 2.54.0", _EVENTS),
    ("openai2", "openai_async"): ("openai 2.54.0", _EVENTS),
    ("openai2", "openai_stream"): ("openai 2.54.0", {*_EVENTS, "ends_early", "arguments_cut"}),
    ("clients", "langchain_stream"): (
        "langchain-openai 1.7.4",
        {*_EVENTS, "ends_early", "arguments_cut", "lost the refusal"},
    ),
    ("clients", "litellm_stream"): (
        "litellm 1.110.2",
        # `compact`: refusals of several chunks are lost, and that of one is not.
        {*_EVENTS, "compact", "ends_early", "error_document", "html", "only_done", "nothing"}
        | {"lost the refusal", _SHARED},
    ),
    ("clients", "pydantic_ai_stream"): (
        "pydantic-ai-slim 2.68.0",
        {*_EVENTS, "ends_early", _SHARED},
    ),
    ("clients", "httpx_sse_stream"): ("httpx-sse 0.4.3", _EVENTS),
    ("clients", "twelve_lines"): (
        "httpx 0.28.1",
        {"no_space", "data_lines", "byte_order_mark", "raw_unicode", "charset_missing"}
        | {"split_characters", "split_newlines", "ends_early", "error_document", "html"}
        | {"error_status", "only_done", "nothing"},
    ),
}
"""What each program of `consumers` reads wrong, with the version of which that is known."""


@pytest.mark.parametrize(("environment", "program"), KNOWN)
def test_failures_are_those_that_are_known(
    environment: str, program: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    python: Path = request.getfixturevalue(f"{environment}_python")
    version, known = KNOWN[environment, program]
    _require(environment, version)
    for source in ("consuming.py", f"{program}.py"):
        shutil.copy(HERE / source, tmp_path)
    (tmp_path / "test_it.py").write_text(FUZZED.replace("PROGRAM", f"{program}.py"))
    away = {"OPENAI_BASE_URL": "https://api.openai.com/v1", "OPENAI_API_KEY": "sk-none"}
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, **away, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    printed = done.stdout
    assert done.returncode == bool(known), printed + done.stderr
    message = printed.partition("chatapi_fuzz: ")[2].partition("---- Captured")[0]
    assert _failures(message) == known, printed
    wire = message.partition("Hypothesis:")[2].partition("As a recording:")[0]
    wire = wire.rpartition("chatapi_mock.reply(")[2]  # a plain delivery may come before
    events = re.split(rb"\n\n", _bytes(wire).replace(b"data: [DONE]\n\n", b""))
    assert sum(b"data:" in event for event in events) <= 3, wire


def _require(environment: str, version: str) -> None:
    name, _, number = version.partition(" ")
    pattern = f"lib/python*/site-packages/{name.replace('-', '_')}-{number}.dist-info"
    folder = real_servers.part(environment)
    if not any(folder.glob(pattern)):
        pytest.skip(f"what fails is known of {version}, which is not in {environment}")
    if not any(folder.glob("lib/python*/site-packages/hypothesis")):
        pytest.skip(f"needs Hypothesis in {environment}: run `.ci/servers/setup DIR .`")


def _failures(message: str) -> set[str]:
    """The names in a message: of the delivery that is shown, and of the others."""
    shown, _, others = message.partition("\nIt also fails on these:\n")
    names = re.findall(r"^  (?:legal|illegal) +(\w+)", shown, re.MULTILINE)[-1:]
    others = others.partition("\n\n")[0]
    names += re.findall(r"lost the \w+|(?<!\w)[a-z]+(?:_[a-z]+)*(?=,|\n|\Z)", others)
    return set(names)


def _bytes(wire: str) -> bytes:
    """What the literals of a pasted test stand for."""
    return b"".join(
        ast.literal_eval(literal)
        for literal in re.findall(r"b'(?:[^'\\]|\\.)*'|b\"(?:[^\"\\]|\\.)*\"", wire)
    )
