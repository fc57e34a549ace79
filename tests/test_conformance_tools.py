"""Probes of what depends on the model: what could not be forced, models that reason, rates."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from conformance_faults import modalities
from conformance_faults.tools import (
    FAULTS,
    accepted,
    arguments,
    calls,
    calls_anyway,
    edits,
    finish,
    parts,
    refused,
    when,
)
from conformance_servers import KEY, MODEL, URL, Answered, Fault, Faulty, results

from pytest_chatapi.cli.main import main
from pytest_chatapi.conformance.rate import Rate
from pytest_chatapi.conformance.run import Result


def _said(result: Result) -> list[dict[str, Any]]:
    """The requests of a check."""
    requests = [sent.exchange.request for run in result.sent_by_run.values() for sent in run]
    return [json.loads(request.body or b"{}") for request in requests if request is not None]


def _cut(answered: Answered, reason: str = "length") -> None:
    FAULTS["tools.required"][0](answered)
    finish(reason)(answered)


_no_call = partial(_cut, reason="stop")


def _one_call(value: dict[str, Any]) -> None:
    for part in parts(value):
        calls = part.get("tool_calls")
        if calls:
            part["tool_calls"] = [call for call in calls[:1] if not call.get("index")]


def _auto(asked: dict[str, Any]) -> bool:
    return asked.get("tool_choice") == "auto"


def _breaks_off(answered: Answered) -> None:
    if answered.asked.get("tools"):
        FAULTS["tools.required"][0](answered)
        head = answered.body.partition(b"\n\n")[0]
        error = b'data: {"error": {"message": "no parser", "type": "server_error"}}'
        answered.body = b"\n\n".join([head, error, b""])


def _no_sound(answered: Answered) -> None:
    edits(lambda value: [part.pop("audio", None) for part in parts(value)])(answered)
    finish("length")(answered)


def _lists(answered: Answered) -> None:
    place = {"type": "literal_error", "loc": ["body", "tools", 0, "type"], "input": "custom"}
    answered.status = 422
    answered.body = json.dumps(
        {"detail": [{**place, "msg": "Input should be 'function'"}]}
    ).encode()


def _cut_late(answered: Answered) -> None:
    _ends_early(answered)
    finish("length")(answered)


def _with_text(call: dict[str, Any]) -> None:
    call["function"]["arguments"] = '{"text": "The"}' if "id" in call else ""


def _ends_early(answered: Answered) -> None:
    calls(_with_text)(answered)
    finish("tool_calls")(answered)


def _of_no_parameters(asked: dict[str, Any]) -> bool:
    return any("parameters" not in tool["function"] for tool in asked.get("tools", ()))


def _short_name(call: dict[str, Any]) -> None:
    call["function"]["name"] = call["function"]["name"][:60]


def _no_text(value: dict[str, Any]) -> None:
    for part in parts(value):
        part["content"] = ""


def _of_another_format(value: dict[str, Any]) -> None:
    for part in parts(value):
        if "audio" in part:
            part["audio"]["data"] = "AAAA"


def _hears(answered: Answered) -> None:
    """It takes sound, and does not send any."""
    if "input_audio" in json.dumps(answered.asked):
        accepted(answered)
        edits(lambda value: value["usage"].update(prompt_tokens=50, total_tokens=52))(answered)
    elif "modalities" in answered.asked:
        modalities.LOOSE["modalities.audio"][0](answered)


def _asks_for(member: str) -> Callable[[dict[str, Any]], bool]:
    return lambda asked: member in json.dumps(asked)


_CONTEXT = refused(400, "This model's maximum context length is 2048 tokens.")


@pytest.mark.parametrize(
    ("name", "fault", "verdict", "reason"),
    [
        ("tools.required", _cut, "not-exercised", 'ends with "length" before any call'),
        ("tools.required", finish("length"), "not-exercised", "the token limit cuts the call"),
        ("tools.required.stream", _breaks_off, "fail", "an error in the stream"),
        (
            "tools.none",
            when(_auto, _no_call),
            "not-exercised",
            "`auto` either",
        ),
        ("tools.none", when(_auto, refused(400, "no")), "not-exercised", "be compared: 400"),
        ("tools.two-calls", edits(_one_call), "not-exercised", "one call at a time"),
        ("tools.no-parallel", edits(_one_call), "not-exercised", "it is one as well"),
        (
            "tools.many",
            when(lambda a: len(a.get("tools", ())) > 9, _CONTEXT),
            "not-exercised",
            "fit",
        ),
        ("tools.cut", refused(400, "max_tokens must be over 99"), "not-exercised", "60 tokens is"),
        ("tools.custom", refused(400, "only 'function', not 'custom'"), "unsupported", "custom"),
        ("tools.cut", _cut, "not-exercised", "the limit is reached before the call has begun"),
        ("tools.cut", _cut_late, "fail", "their end is made up"),
        ("tools.cut", _ends_early, "fail", "do not match the tool's schema"),
        (
            "tools.no-arguments",
            when(_of_no_parameters, refused(400, "tools[0]: no parameters")),
            "fail",
            "a tool without `parameters` is refused",
        ),
        (
            "tools.no-arguments",
            when(_of_no_parameters, arguments('{"a": 1}')),
            "non-strict",
            "the arguments have what the tool does not have",
        ),
        ("tools.many", calls(_short_name), "fail", "the name of the tool is not kept"),
        (
            "tools.round-trip",
            when(_asks_for("tool_call_id"), edits(_no_text)),
            "not-exercised",
            "the response to the result has no text",
        ),
        ("tools.auto", when(_auto, edits(calls_anyway)), "not-exercised", "which it may"),
        ("tools.auto", edits(_no_text), "not-exercised", "has no text"),
        ("tools.none", edits(_no_text), "not-exercised", "has no text"),
        ("modalities.audio", edits(_of_another_format), "fail", "are not base64 of the format"),
        ("modalities.audio", _hears, "non-strict", "asks for audio, and is ignored"),
        (
            "modalities.audio",
            when(_asks_for("audio"), refused(400, "no audio")),
            "unsupported",
            "no audio",
        ),
        (
            "tools.required.whole",
            arguments('{"city": "Oslo"}'),
            "pass",
            "",
        ),  # C10 is of another check
        ("tools.custom", _lists, "unsupported", '422: "body.tools.0.type: Input should'),
        ("modalities.audio", _no_sound, "not-exercised", 'ends with "length" before any audio'),
        ("tools.custom", refused(500, "only 'function', not 'custom'"), "fail", "refused"),
    ],
)
def test_what_cannot_be_forced_is_no_pass(
    name: str, fault: Fault, verdict: str, reason: str
) -> None:
    for result in results([name], fault).values():
        assert (result.verdict.value, reason in result.reason) == (verdict, True), result.reason


# -- models that reason --------------------------------------------------------------------------


def _plain(asked: dict[str, Any]) -> bool:
    return "tools" not in asked


def _message(**members: Any) -> Fault:
    return edits(lambda value: [part.update(members) for part in parts(value)])


def _counted(value: dict[str, Any]) -> None:
    if value.get("usage"):
        value["usage"]["completion_tokens_details"]["reasoning_tokens"] = 1


def _used_up(answered: Answered) -> None:
    _message(content="")(answered)
    finish("length")(answered)


@pytest.mark.parametrize(
    "fault",
    [
        _message(reasoning="Hm."),
        _message(reasoning_content="Hm."),
        _message(content="<think>Hm."),
        edits(_counted),
        _used_up,
        refused(400, "Could not finish: max_tokens or model output limit was reached."),
    ],
)
def test_a_model_that_reasons_has_room_and_time_for_it(fault: Fault) -> None:
    patience = []

    def noted(answered: Answered) -> None:
        patience.append(answered.request.extensions["timeout"]["read"])
        when(_plain, fault)(answered)

    [result] = results(["tools.required.whole"], noted).values()
    assert result.verdict.value == "pass"
    *measured, check = patience
    assert (set(measured), check) == ({5}, 20)
    [asked] = _said(result)
    assert asked["max_completion_tokens"] == 2128
    assert "temperature" not in asked


def _thinks_first(answered: Answered) -> None:
    """A model that thinks for 500 tokens, and takes no temperature, stop or log probabilities."""
    asked = answered.asked
    if answered.status != 200 or "messages" not in asked:
        return
    for name in ("temperature", "stop", "logprobs", "logit_bias", "max_tokens", "top_p"):
        if asked.get(name, 1) != 1:
            refused(400, f"Unsupported parameter: '{name}' with this model.")(answered)
            return
    cap = asked.get("max_completion_tokens", 500)
    if cap < 500 and asked.get("reasoning_effort") != "none":
        edits(lambda value: _spent(value, cap * asked.get("n", 1)))(answered)


def _spent(value: dict[str, Any], tokens: int) -> None:
    for part in parts(value):
        part.pop("tool_calls", None)
        part.pop("audio", None)
        part.update({"content": ""} if "content" in part else {})
    for choice in value["choices"]:
        choice["finish_reason"] = choice["finish_reason"] and "length"
    if value.get("usage"):
        usage = value["usage"]
        usage |= {"completion_tokens": tokens, "total_tokens": usage["prompt_tokens"] + tokens}
        usage["completion_tokens_details"]["reasoning_tokens"] = tokens


def test_no_check_fails_a_model_that_thinks_first() -> None:
    came = results([], _thinks_first)
    assert not {name for name, result in came.items() if result.verdict.value == "fail"}
    passed = {name for name, result in came.items() if result.verdict.value == "pass"}
    assert {"text.basic.whole", "tools.named.stream", "tools.no-parallel"} <= passed
    assert {"tools.strict-schema.whole", "structured.json-schema.stream"} <= passed
    assert came["tools.cut.stream"].verdict.value == "not-exercised"


def test_other_models_have_no_more_room_than_they_need() -> None:
    [result] = results(["tools.required.whole"]).values()
    [asked] = _said(result)
    assert (asked["max_completion_tokens"], asked["temperature"]) == (128, 0)


def test_a_model_that_does_not_reason_has_no_effort() -> None:
    def no_thoughts(value: dict[str, Any]) -> None:
        if value.get("usage"):
            value["usage"]["completion_tokens_details"]["reasoning_tokens"] = 0

    for result in results(["reasoning.effort"], edits(no_thoughts)).values():
        assert result.verdict.value == "not-exercised"


def test_a_server_gets_back_what_it_sent_with_a_call() -> None:
    more = {"google": {"thought_signature": "abc"}}
    fault = calls(lambda call: call.update(extra_content=more, index=0))
    [result] = results(["tools.round-trip"], fault).values()
    for asked in _said(result)[1:]:
        own, other = asked["messages"][1]["tool_calls"]
        assert own["extra_content"] == more
        assert own.keys() - other.keys() == {"extra_content"}


# -- rates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passed", "runs", "text"),
    [
        (18, 20, "18/20, 70-97%"),
        (20, 20, "20/20, 84-100%"),
        (0, 10, "0/10, 0-28%"),
        (1, 1, "1/1, 21-100%"),
        (81, 263, "81/263, 26-37%"),  # Newcombe 1998, table I: 0.2553 to 0.3662
    ],
)
def test_an_interval_is_that_of_wilson(passed: int, runs: int, text: str) -> None:
    assert str(Rate(passed, runs)) == text


class _NowAndThen:
    """A fault in some responses with tools, by their numbers."""

    def __init__(self, **faults: Any) -> None:
        self._faults = {int(name[1:]): fault for name, fault in faults.items()}
        self._number = 0

    def __call__(self, answered: Answered) -> None:
        if answered.asked.get("tools"):
            self._number += 1
            if self._number in self._faults:
                self._faults[self._number](answered)


def test_one_run_that_fails_fails_the_check() -> None:
    fault = _NowAndThen(_3=FAULTS["tools.required"][0], _5=_cut)
    [result] = results(["tools.required.whole"], fault, repeat=5).values()
    assert result.verdict.value == "fail"
    assert result.reason.startswith("1 of 5 runs failed: the response has no call")
    assert (result.runs, result.failed, result.unexercised) == (5, 1, 1)
    assert result.rate == Rate(3, 4)
    temperatures = [asked.get("temperature") for asked in _said(result)]
    assert temperatures == [0, None, None, None, None]  # a rate is of what the model may say


def test_runs_that_came_to_nothing_are_said() -> None:
    [result] = results(["tools.required.whole"], _NowAndThen(_1=_cut), repeat=3).values()
    assert result.verdict.value == "pass"
    assert result.reason.startswith("1 of 3 runs not-exercised: the response ends")
    assert result.rate == Rate(2, 2)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("tools.required.whole", refused(400, "tools are not supported")),
        ("tools.unpaired", None),  # what the model says is not looked at
        ("text.basic.whole", None),
    ],
)
def test_what_would_be_the_same_again_is_not_repeated(name: str, fault: Fault | None) -> None:
    [result] = results([name], fault, repeat=3).values()
    assert (result.runs, result.rate) == (1, None)


# -- the command ---------------------------------------------------------------------------------


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the command sends; its third request with tools gets no call, its second half of one."""
    requests: list[dict[str, Any]] = []
    fault = _NowAndThen(_2=_cut, _3=FAULTS["tools.required"][0])

    def noted(answered: Answered) -> None:
        requests.append(answered.asked)
        fault(answered)

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(httpx, "Client", partial(httpx.Client, transport=Faulty(noted)))
    return requests


_SERVER = ["conform", "server", URL, "--model", MODEL]


def test_repeated_runs_replay_the_same(
    served: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--only", "tools.required.whole", "--repeat", "4", "--record", str(tmp_path)]
    assert main([*_SERVER, *chosen, "--format", "json"]) == 1
    live = json.loads(capsys.readouterr().out)
    [check] = live["checks"]
    assert {name: check[name] for name in ("runs", "failed", "unexercised", "requests")} == {
        "runs": 4,
        "failed": 1,
        "unexercised": 1,
        "requests": 4,
    }
    assert (check["rate"], check["low"], check["high"]) == (0.6667, 0.2077, 0.9385)

    assert main(["conform", "replay", str(tmp_path), "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == live

    assert main(["conform", "replay", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "  tools.required          FAIL 2/3, 21-94%" in lines
    assert all(len(line) <= 80 for line in lines if not line.startswith("  sent"))


def test_nothing_is_sent_for_what_is_declared(
    served: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--declare", "tools=no", "--declare", "modalities=no", "--skip", "text"]
    only = ["--only", "tools.required", "--only", "modalities"]
    assert main([*_SERVER, *chosen, *only]) == 0
    assert not served
    output, errors = capsys.readouterr()
    assert "up to 0 requests, about 0 tokens" in errors
    assert "unsupported\n  declared\n" in output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tool=no", "'tool' is not a capability: did you mean tools?"),
        ("tools=yes", "'tools=yes': only tools=no can be declared"),
    ],
)
def test_only_a_lack_can_be_declared(
    text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*_SERVER, "--declare", text]) == 2
    assert message in capsys.readouterr().err
