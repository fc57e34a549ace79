"""What tests of record and replay write into the runs of their own. Not a test."""

from __future__ import annotations

from pathlib import Path

import yaml

HEAD = """
import pytest, httpx, httpx2, openai
def ask(text="Hi", **more):
    return {"model": "gpt-5.2", "messages": [{"role": "user", "content": text}], **more}
"""


VCR = """
import os
@pytest.mark.{marker}
def test_a():
    response = httpx.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=ask({text!r}))
    assert response.json()["choices"]
"""


# Fixture `real_sleeps`: the seconds of each sleep that virtual time lets through. None is slept.
REAL_SLEEPS = """
import asyncio, time

@pytest.fixture(scope="module", autouse=True)
def real_sleeps():
    seconds, sleep, async_sleep = [], time.sleep, asyncio.sleep
    def spy(delay):
        seconds.append(delay)
        sleep(0)
    async def async_spy(delay, result=None):
        seconds.append(delay)
        return await async_sleep(0, result)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", spy)
        patch.setattr(asyncio, "sleep", async_spy)
        yield seconds
"""


def bodies(path: Path) -> list[str]:
    return [str(i["request"]["body"]) for i in yaml.safe_load(path.read_text())["interactions"]]
