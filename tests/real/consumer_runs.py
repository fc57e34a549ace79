"""Runs `chatapi conform client` on real consumers. Not a test."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from conform_runs import KNOWN, command
from real_servers import part

__all__ = ["CONSUMERS", "conform_consumer", "version"]

PROGRAMS = Path(__file__).parent / "consumers"


_NODE = "node"
CONSUMERS = {
    "openai": ("openai, its chunks added up", "clients", "openai_iteration.py", "openai"),
    "openai-async": ("openai, the same with asyncio", "clients", "openai_async.py", "openai"),
    "openai-stream": ("openai, `.stream()`", "clients", "openai_stream.py", "openai"),
    "openai-whole": ("openai, without a stream", "clients", "openai_whole.py", "openai"),
    "openai2": ("openai 2, its chunks added up", "openai2", "openai_iteration.py", "openai"),
    "openai2-async": ("openai 2, the same with asyncio", "openai2", "openai_async.py", "openai"),
    "openai2-stream": ("openai 2, `.stream()`", "openai2", "openai_stream.py", "openai"),
    "langchain-openai": ("langchain-openai", "clients", "langchain_stream.py", "langchain-openai"),
    "litellm": ("litellm", "clients", "litellm_stream.py", "litellm"),
    "pydantic-ai": ("pydantic-ai", "clients", "pydantic_ai_stream.py", "pydantic-ai-slim"),
    "httpx-sse": ("httpx-sse, its chunks added up", "clients", "httpx_sse_stream.py", "httpx-sse"),
    "by-hand": ("A dozen lines with httpx", "clients", "twelve_lines.py", "httpx"),
    "openai-node": ("openai-node, its chunks added up", _NODE, "openai_node.mjs", "openai"),
    "openai-node-stream": ("openai-node, `.stream()`", _NODE, "openai_node_stream.mjs", "openai"),
    "ai-openai": ("AI SDK, @ai-sdk/openai", _NODE, "ai_sdk_openai.mjs", "@ai-sdk/openai"),
    "ai-compatible": (
        *("AI SDK, @ai-sdk/openai-compatible", _NODE, "ai_sdk_compatible.mjs"),
        "@ai-sdk/openai-compatible",
    ),
    "langchain-node": ("@langchain/openai", _NODE, "langchain_node.mjs", "@langchain/openai"),
}
"""Title, environment as `.ci/servers/setup` calls it, program, and package of each."""


def version(name: str) -> str:
    """Name and version of the package that a consumer is about, as it is installed."""
    _, environment, _, package = CONSUMERS[name]
    folder = part(environment)
    if environment == _NODE:
        about = json.loads((folder / "node_modules" / package / "package.json").read_text())
        return f"{package} {about['version']}"
    pattern = f"lib/python*/site-packages/{re.sub('[-_]', '[-_]', package)}-[0-9]*.dist-info"
    found = next(iter(folder.glob(pattern)))
    return f"{package} {found.name.removesuffix('.dist-info').rpartition('-')[2]}"


def conform_consumer(name: str, folder: Path) -> tuple[int, Any]:
    """Exit status and report of a run, in a folder where the programs are then too."""
    _, environment, file, _ = CONSUMERS[name]
    packages = part(environment)
    shutil.copytree(PROGRAMS, folder, dirs_exist_ok=True)
    if environment == _NODE:
        modules = folder / "node_modules"
        if not modules.exists():
            modules.symlink_to(packages / "node_modules")
        path = os.environ["PATH"]
    else:
        path = f"{packages / 'bin'}{os.pathsep}{os.environ['PATH']}"
    report = folder / f"{name}.json"
    known = KNOWN / "consumers" / f"{name}.toml"
    expected = ["--expected", known] if known.is_file() else []
    program = "node" if environment == _NODE else "python"
    done = subprocess.run(
        [
            *(command("chatapi"), "conform", "client", "--keep-alive", "--timeout", "120"),
            *(*expected, "--format", "json", "-o", report, "--", program, file),
        ],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.is_file(), done.stderr
    return done.returncode, json.loads(report.read_text(encoding="utf-8"))
