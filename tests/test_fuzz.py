"""The fixture `chatapi_fuzz`: a right reader passes, and each wrong one is found."""

from __future__ import annotations

from typing import Any

import pytest
from fuzz_readers import BODY, MUTANTS, TWO, Reader, consumer_of
from inner_runs import run_here


@pytest.mark.parametrize("body", [BODY, TWO, {**TWO, "n": 1}], ids=["tools", "n", "text"])
def test_a_right_reader_passes(chatapi_fuzz: Any, body: dict[str, Any]) -> None:
    chatapi_fuzz(consumer_of(Reader, body))


@pytest.mark.parametrize("name", MUTANTS)
def test_each_wrong_reader_is_found(chatapi_fuzz: Any, name: str) -> None:
    reader, body = MUTANTS[name]
    with pytest.raises(pytest.fail.Exception) as failure:
        chatapi_fuzz(consumer_of(reader, body))
    assert "the consumer" in str(failure.value)


_APP = """
import json
import httpx
client = httpx.Client(base_url="https://api.openai.com/v1")
BODY = {"model": "gpt-5.2", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
def answer():
    text = ""
    with client.stream("POST", "/chat/completions", json=BODY) as response:
        for line in response.iter_lines():
            if line.startswith("data:") and line != "data: [DONE]":
                text += json.loads(line[5:])["choices"][0]["delta"].get("content") or ""
    return text
"""
_APP_OF_ANY_CUT = """
from fuzz_readers import TWO, TakesCutForFinished, consumer_of
answer = consumer_of(TakesCutForFinished, {**TWO, "n": 1})
answer.__name__ = "answer"
"""
_FUZZED = """
from app import answer
def test_answer(chatapi_fuzz):
    chatapi_fuzz(answer, replies=["Hello"], illegal=ILLEGAL)
"""
_WITH_RECORDING = """
import pytest
from app import answer
@pytest.mark.chatapi(cassette="CASSETTE", policy="off", virtual_time=True)
def test_recorded():
    answer()
    assert not ILLEGAL
"""


@pytest.mark.parametrize(
    ("app", "illegal", "why"),
    [(_APP, False, "JSONDecodeError: Expecting value"), (_APP_OF_ANY_CUT, True, "DID NOT RAISE")],
)
def test_the_counterexample_can_be_pasted_and_replayed(
    pytester: pytest.Pytester, app: str, illegal: bool, why: str
) -> None:
    pytester.makepyfile(app=app, test_fuzzed=_FUZZED.replace("ILLEGAL", str(illegal)))
    output = run_here(pytester, "test_fuzzed.py").stdout.str()
    message = output.partition("chatapi_fuzz: ")[2].partition("====")[0]
    before, _, after = message.partition("\nAs a recording:\n")
    assert max(map(len, before.split("\n"))) <= 80
    assert before.count("data:") <= 3
    pasted = before.partition("Hypothesis:\n")[2]
    assert "hypothesis" not in pasted
    recorded = _WITH_RECORDING.replace("CASSETTE", after.partition("\n")[0].strip())
    recorded = recorded.replace("ILLEGAL", str(illegal))
    pytester.makepyfile(test_pasted="from app import answer\n" + pasted, test_recorded=recorded)
    result = run_here(pytester, "test_pasted.py")
    result.assert_outcomes(failed=1)
    assert why in result.stdout.str()
    result = run_here(pytester, "test_recorded.py")
    result.assert_outcomes(failed=1)
    assert ("assert not True" if illegal else why) in result.stdout.str()
