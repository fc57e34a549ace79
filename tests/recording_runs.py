"""What tests of record and replay write into the runs of their own. Not a test."""

from __future__ import annotations

from pathlib import Path

import yaml

HEAD = """
import pytest, httpx, httpx2, openai
def ask(text="Hi", **more):
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}
"""


VCR = """
import os
@pytest.mark.{marker}
def test_a():
    response = httpx.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=ask({text!r}))
    assert response.json()["choices"]
"""


def bodies(path: Path) -> list[str]:
    return [str(i["request"]["body"]) for i in yaml.safe_load(path.read_text())["interactions"]]
