"""The fixture `chatapi_fuzz` on tool loops: what comes back to the model has to be right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fuzz_loops import RIGHT, WRONG
from inner_runs import run_here

from pytest_chatapi.fuzz.loops import Turn, endless, wrong_loop
from pytest_chatapi.mock import tool_call, tool_calls

_TWO = tool_calls(tool_call("get_weather"), tool_call("get_traffic"))
_QUICK: dict[str, Any] = {
    "examples": 1,
    "replies": [_TWO, tool_call("get_weather")],
    "illegal": False,
}


_LONG = ["ForcesACallForEver", "GoesOnForEver"]  # `ForgetsWhatItWasTold` does not end either


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_loop_passes(chatapi_fuzz: Any, name: str) -> None:
    chatapi_fuzz(RIGHT[name], **{**_QUICK, "replies": [_TWO]})


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_loop_passes_whatever_the_model_says(chatapi_fuzz: Any, name: str) -> None:
    chatapi_fuzz(RIGHT[name])


def _is_found(fuzz: Any, loop: Callable[[], Any], problem: str, **options: Any) -> str:
    with pytest.raises(pytest.fail.Exception) as failure:
        fuzz(loop, **options)
    message = str(failure.value)
    assert message.startswith(f"chatapi_fuzz: the consumer {problem}\n")
    assert max(map(len, message.split("\nAs a recording:")[0].split("\n"))) <= 80
    return message


@pytest.mark.parametrize("name", [name for name in WRONG if name not in _LONG])
def test_a_wrong_loop_is_found(chatapi_fuzz: Any, name: str) -> None:
    _is_found(chatapi_fuzz, *WRONG[name], **_QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_loop_is_found_whatever_the_model_says(chatapi_fuzz: Any, name: str) -> None:
    _is_found(chatapi_fuzz, *WRONG[name])


def test_the_model_calls_in_several_turns_and_comes_to_an_end(chatapi_fuzz: Any) -> None:
    message = _is_found(chatapi_fuzz, *WRONG["AnswersTwice"], **_QUICK)
    assert "  response        replies[0]\n" in message
    message = _is_found(chatapi_fuzz, *WRONG["KeepsCallsOfEarlierTurns"], examples=1)
    assert "  response        call, then calls: 'a' in the arguments\n" in message
    assert "  request 3       messages[1].tool_calls[0] and messages[3]" in message


_FUZZED = """
from fuzz_loops import WRONG
def test_loop(chatapi_fuzz):
    chatapi_fuzz(WRONG[NAME][0], examples=1, illegal=False)
"""
_PASTED = """
from fuzz_loops import RIGHT, WRONG
consumer = LOOP
"""


@pytest.mark.parametrize(
    "name", ["MixesCalls", pytest.param("GoesOnOnceOnly", marks=pytest.mark.slow)]
)
def test_the_counterexample_tells_right_from_wrong(pytester: pytest.Pytester, name: str) -> None:
    pytester.makepyfile(_FUZZED.replace("NAME", repr(name)))
    output = run_here(pytester).stdout.str()
    pasted = output.partition("Hypothesis:\n")[2].partition("\nAs a recording:")[0]
    pytester.makepyfile(
        test_right=_PASTED.replace("LOOP", "RIGHT['Loop']") + pasted,
        test_wrong=_PASTED.replace("LOOP", f"WRONG[{name!r}][0]") + pasted,
    )
    result = run_here(pytester, "test_right.py", "test_wrong.py")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["FAILED test_wrong.py::test_tool_loop*"])


def test_calls_of_the_first_request_are_known() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = {"role": "tool", "tool_call_id": "call_1", "content": "1"}
    messages: list[Any] = [{"role": "assistant", "tool_calls": [call]}, answer]
    followed = [*messages, {"role": "user", "content": "Go on."}]
    turns = [Turn({"messages": messages}, None), Turn({"messages": followed}, None)]
    assert wrong_loop(turns, None, is_endless=False) is None
    turns[1] = Turn({"messages": [*followed, answer]}, None)
    wrong = wrong_loop(turns, None, is_endless=False)
    assert wrong is not None
    assert (wrong.problem, wrong.request) == ("answered a call twice", 1)
    assert wrong.detail == 'messages[1] and messages[3] have the id "call_1"'


def test_why_a_loop_has_no_end() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    calls = {"choices": [{"message": {"tool_calls": [call]}}]}
    text = {"choices": [{"message": {"content": "Hi"}}]}
    one: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
    forced = {**one, "tool_choice": "required"}
    assert [
        endless([Turn(body, said), *further]).detail
        for body, said, further in [
            (one, calls, []),
            (forced, calls, [Turn(forced, calls)]),
            (one, calls, [Turn(one, text)]),
            (one, calls, [Turn(one, calls)]),
        ]
    ] == [
        "it sent 50 requests, and all are the same",
        'it sent 50 requests, and `tool_choice` is "required" in each, which forces the model to '
        "call again",
        "it sent 50 requests, and goes on after responses without calls",
        "it sent 50 requests, 2 of them different",
    ]
