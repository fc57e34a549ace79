"""The budget of a run: live requests are stopped before the next one is sent."""

from __future__ import annotations

from typing import Any

import pytest

ASKS = """
pytestmark = pytest.mark.chatapi

@pytest.mark.parametrize("number", range(4))
def test_a(openai_client, number):
    try:
        openai_client.chat.completions.create(**ask(str(number)))
    except Exception:  # which must not hide what is over budget
        pass
"""


def test_no_call_is_sent_once_the_tokens_are_used_up(run: Any, server: Any) -> None:
    seen = len(server.seen)
    result = run(ASKS, "--record-mode=all", "--chatapi-budget=total_tokens=50")
    print(result.stdout.str())
    assert 0
