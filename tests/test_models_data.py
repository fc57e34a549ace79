"""``schemas/models.json``: what the reference service says about its models, and Q17 and Q18."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

import pytest
from openai.types.shared import chat_model

from pytest_chatapi import Exchange, Request, Response, check
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.models import model_refusals, models, shutdown_date
from pytest_chatapi.contract.rules import refused as rules_module
from pytest_chatapi.contract.schemas import document
from pytest_chatapi.mock.refusals import refusal_of
from pytest_chatapi.report import Options, Report, render

URL = "https://api.openai.com/v1/chat/completions"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
CUSTOM = {"type": "custom", "custom": {"name": "run"}}
DAY = re.compile(r"\d{4}-\d\d-\d\d")


def body(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}], **more}


def found(
    code: str,
    sent: dict[str, Any],
    *,
    url: str = URL,
    live: bool = False,
    status: int = 503,
    **how: Any,
) -> list[Finding]:
    error = {"message": "m", "type": "t", "param": None, "code": None}
    response = Response(status, {"content-type": "application/json"}, {"error": error})
    exchange = Exchange(Request("POST", url, body=sent), response, live=live)
    return [f for f in check(exchange, **how) if f.code == code]


# -- the dates -------------------------------------------------------------------------------


def dates_of_the_sdk() -> dict[str, str]:
    """Model -> date, from the docstring under ``ChatModel``."""
    with open(chat_model.__file__, encoding="utf-8") as file:
        text = " ".join(file.read().split('"""')[1].split())
    entries = re.findall(r'- ((?:"[^"]+",? ?)+): Announced shutdown date: ([\d-]+)\.', text)
    return {name: day for names, day in entries for name in re.findall(r'"([^"]+)"', names)}


def test_every_date_of_the_sdk_is_in_the_file() -> None:
    dates = dates_of_the_sdk()
    assert len(dates) >= 69
    ours = {name: day for day, names in models()["shutdown"].items() for name in names}
    missing = {name: day for name, day in dates.items() if ours.get(name) != day}
    assert missing == {}, "missing from schemas/models.json, or with another date"
    assert ours.keys() - dates.keys() == set(), "in schemas/models.json, but not in the SDK"


def test_the_days_are_in_order_and_no_model_is_there_twice() -> None:
    days = list(models()["shutdown"])
    assert days == sorted(days)
    assert all(DAY.fullmatch(day) for day in days)
    names = [name for row in models()["shutdown"].values() for name in row]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("model", "day"),
    [
        ("gpt-4o", "2027-01-14"),
        ("gpt-5.1", "2027-04-01"),
        ("gpt-5.2", None),
        ("ft:gpt-4o-2024-08-06:acme::AbC1", None),
        ("openai/gpt-4o", None),
        ("", None),
        (None, None),
        (["gpt-4o"], None),
    ],
)
def test_a_date(model: Any, day: str | None) -> None:
    assert shutdown_date(model) == day


# -- Q17 -------------------------------------------------------------------------------------


class Today(date):
    day_of_the_test = date(2026, 11, 26)

    @classmethod
    def today(cls) -> Any:
        return cls.day_of_the_test


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> type[Today]:
    monkeypatch.setattr(rules_module, "date", Today)
    return Today


@pytest.mark.parametrize("profile", ["documented", "openai"])
@pytest.mark.parametrize("day", [date(2020, 1, 1), date(2027, 1, 14), date(2100, 1, 1)])
def test_a_recording_is_a_note_whatever_the_day(
    profile: str, day: date, today: type[Today], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(today, "day_of_the_test", day)
    (finding,) = found("Q17", body("gpt-4o"), profile=profile)
    assert (finding.level, finding.path, finding.got) == ("note", "$.model", '"gpt-4o"')
    assert finding.message == "`gpt-4o` has a shutdown date: 2027-01-14"


@pytest.mark.parametrize(
    ("before", "level", "message"),
    [
        (91, "note", "`gpt-4o` is shut down on 2027-01-14, in 91 days"),
        (90, "warning", "`gpt-4o` is shut down on 2027-01-14, in 90 days"),
        (1, "warning", "`gpt-4o` is shut down on 2027-01-14, in 1 day"),
        (0, "warning", "`gpt-4o` was shut down on 2027-01-14"),
        (-1000, "warning", "`gpt-4o` was shut down on 2027-01-14"),
    ],
)
def test_a_request_that_is_really_sent(
    before: int, level: str, message: str, today: type[Today], monkeypatch: pytest.MonkeyPatch
) -> None:
    day = date(2027, 1, 14) - timedelta(days=before)
    monkeypatch.setattr(today, "day_of_the_test", day)
    (finding,) = found("Q17", body("gpt-4o"), live=True)
    assert (finding.level, finding.message) == (level, message)
    # A given day takes the place of today's.
    monkeypatch.setattr(today, "day_of_the_test", date(2100, 1, 1))
    (finding,) = found("Q17", body("gpt-4o"), live=True, as_of=day)
    assert (finding.level, finding.message) == (level, message)


def test_a_recording_as_of_a_day_is_told_how_far_the_date_is() -> None:
    (finding,) = found("Q17", body("gpt-4o"), as_of="2027-01-10")
    assert (finding.level, finding.message) == (
        "note",
        "`gpt-4o` is shut down on 2027-01-14, in 4 days",
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://openrouter.ai/api/v1/chat/completions",
        "https://x.openai.azure.com/openai/deployments/gpt-4o/chat/completions",
        "http://127.0.0.1:8000/v1/chat/completions",
    ],
)
def test_other_servers_have_models_of_their_own(url: str) -> None:
    sent = body("gpt-4o", tools=[TOOL])
    assert found("Q17", sent, url=url, live=True) == []
    assert found("Q18", body("o3", stop="x"), url=url) == []
    assert found("Q18", body("o3", stop="x"), url=url.replace("gpt-4o", "o3")) == []


def test_a_deployment_is_of_any_model() -> None:
    url = "https://x.openai.azure.com/openai/deployments/o3/chat/completions"
    assert found("Q18", body("o3", stop="x"), url=url, profile="openai") == []
    assert found("Q18", body("o3", stop="x"), url=URL, profile="openai") != []


@pytest.mark.parametrize("as_of", [None, "2027-01-10"])
def test_the_report_has_one_line_for_each_day(as_of: str | None) -> None:
    models = ("gpt-4o", "gpt-4", "gpt-4.1-mini-2025-04-14", "gpt-4o")
    findings = [f for m in models for f in found("Q17", body(m), as_of=as_of)]
    for notes in (False, True):
        text = render(Report(findings=findings), "text", Options(notes=notes))
        assert text.splitlines() == [
            "note Q17 models with a shutdown date, and how many recordings use each:",
            "  2026-10-23 gpt-4 (1)",
            "  2027-01-14 gpt-4o (2), gpt-4.1-mini-2025-04-14 (1)",
            "",
            "0 exchanges checked: 4 notes",
        ]
    one = render(Report(findings=found("Q17", body("gpt-4o"))), "text", Options())
    assert one.startswith("note Q17 `gpt-4o` has a shutdown date: 2027-01-14 (1 recording)\n")
    live = found("Q17", body("gpt-4-32k"), live=True)
    assert render(Report(findings=live), "text", Options()).startswith("warning Q17 model-shutdown")


# -- Q18 -------------------------------------------------------------------------------------

NOT_MAX = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. "
    "Use 'max_completion_tokens' instead."
)
NO_STOP = "Unsupported parameter: 'stop' is not supported with this model."
NO_TOOLS = "Function tools with reasoning_effort are not supported for {} in /v1/chat/completions."
OR_NONE = " To use function tools, use /v1/responses or set reasoning_effort to 'none'."
ELSEWHERE = " Please use /v1/responses instead."

TOO_LARGE = (
    "max_tokens is too large: {}. This model supports at most {} completion tokens, "
    "whereas you provided {}."
)
NO_SOUND = "This model requires that either input content or output modality contain audio."


def heard(model: str, position: int = 0, **more: Any) -> dict[str, Any]:
    """A request with sound in one of its messages."""
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    said: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}] * position
    content = [{"type": "text", "text": "Hi"}, sound]
    return {"model": model, "messages": [*said, {"role": "user", "content": content}], **more}


REFUSED: list[tuple[dict[str, Any], str, str | None, str]] = [
    (body("o3", max_tokens=9), "max_tokens", "unsupported_parameter", NOT_MAX),
    (body("o1-2024-12-17", max_tokens=9), "max_tokens", "unsupported_parameter", NOT_MAX),
    (body("gpt-5-nano", max_tokens=9), "max_tokens", "unsupported_parameter", NOT_MAX),
    (body("o4-mini", stop=["x"]), "stop", "unsupported_parameter", NO_STOP),
    (body("ft:o4-mini-2025-04-16:acme::x", stop="x"), "stop", "unsupported_parameter", NO_STOP),
    (
        body("gpt-5", temperature=0.2),
        "temperature",
        "unsupported_value",
        "Unsupported value: 'temperature' does not support 0.2 with this model. "
        "Only the default (1) value is supported.",
    ),
    (
        body("gpt-5.4", tools=[TOOL], reasoning_effort="low"),
        "reasoning_effort",
        None,
        NO_TOOLS.format("gpt-5.4") + ELSEWHERE,
    ),
    (
        body("gpt-5.5-2026-04-23", tools=[CUSTOM, TOOL], reasoning_effort="high"),
        "reasoning_effort",
        None,
        NO_TOOLS.format("gpt-5.5-2026-04-23") + ELSEWHERE,
    ),
    (
        body("gpt-5.6", tools=[TOOL]),
        "reasoning_effort",
        None,
        NO_TOOLS.format("gpt-5.6") + OR_NONE,
    ),
    (
        body("gpt-5.6-luna", tools=[TOOL], reasoning_effort="high"),
        "reasoning_effort",
        None,
        NO_TOOLS.format("gpt-5.6-luna") + OR_NONE,
    ),
    (
        body("gpt-5.6-sol", reasoning_effort="minimal"),
        "reasoning_effort",
        "unsupported_value",
        "Unsupported value: 'reasoning_effort' does not support 'minimal' with this model. "
        "Supported values are: 'none', 'low', 'medium', 'high', 'xhigh'.",
    ),
    (
        body("gpt-6-astra", tools=[TOOL], reasoning_effort="none"),
        "reasoning_effort",
        "unsupported_value",
        "Unsupported value: 'reasoning_effort' does not support 'none' with this model. "
        "Supported values are: 'low', 'medium', 'high', and 'xhigh'.",
    ),
    (
        body("gpt-4o-2024-11-20", max_tokens=16385),
        "max_tokens",
        "invalid_value",
        TOO_LARGE.format(16385, 16384, 16385),
    ),
    (
        body("gpt-4.1", max_tokens=10**30),
        "max_tokens",
        "invalid_value",
        TOO_LARGE.format(10**30, 32768, 10**30),
    ),
    (body("gpt-audio"), "model", "invalid_value", NO_SOUND),
    (
        body("gpt-5.4", modalities=["text", "audio"], audio={"voice": "ash", "format": "wav"}),
        "modalities",
        "unknown_parameter",
        "Unknown parameter: 'modalities'.",
    ),
    (body("gpt-audio-mini", modalities=["text"]), "model", "invalid_value", NO_SOUND),
    (
        {"model": "o1-mini", "messages": [{"role": "system", "content": "Be brief."}]},
        "messages[0].role",
        "unsupported_value",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
    ),
]


@pytest.mark.parametrize(("sent", "param", "code", "message"), REFUSED)
def test_what_a_model_refuses(
    sent: dict[str, Any], param: str, code: str | None, message: str
) -> None:
    findings = found("Q18", sent)
    assert [(f.level, f.path) for f in findings] == [("warning", f"$.{param}")]
    assert findings[0].message == f"the service refuses this: {message.rstrip('.')}"
    status, error = refusal_of(sent, None, URL) or (0, {})
    assert (status, error.get("error")) == (
        400,
        {"message": message, "type": "invalid_request_error", "param": param, "code": code},
    )
    assert refusal_of(sent, None, URL, "compatible") is None


@pytest.mark.parametrize(
    ("sent", "path", "param", "message"),
    [
        (
            body("gpt-5-mini", max_completion_tokens=200_000),
            "$.max_completion_tokens",
            "max_tokens",  # as the service names it
            TOO_LARGE.format(200_000, 128_000, 200_000),
        ),
        (
            heard("gpt-4.1", 1),
            "$.messages[1].content[1].type",
            "messages[1]",
            "Invalid 'messages[1]'. "
            "Content blocks are expected to be either text or image_url type.",
        ),
    ],
)
def test_what_the_service_says_about_another_place(
    sent: dict[str, Any], path: str, param: str, message: str
) -> None:
    assert [f.path for f in found("Q18", sent)] == [path]
    _, error = refusal_of(sent, None, URL) or (0, {})
    assert error["error"] == {
        "message": message,
        "type": "invalid_request_error",
        "param": param,
        "code": "invalid_value",
    }


@pytest.mark.parametrize(
    "sent",
    [
        body("o3", max_completion_tokens=9),
        body("gpt-4o", max_tokens=16384),
        body("gpt-4.1", max_completion_tokens=32768),
        body("gpt-4o-audio", max_tokens=10**9),
        body("gpt-5.4", modalities=["text"]),
        heard("gpt-audio"),
        heard("gpt-4o-audio-preview"),
        heard("gpt-audio", modalities=["text"]),
        body("gpt-audio", modalities=["text", "audio"], audio={"voice": "ash", "format": "wav"}),
        {"model": "gpt-audio", "messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]},
        body("o3", stop=None, temperature=1, max_tokens=None),
        body("o3-mini", stop="x"),
        body("gpt-4o", max_tokens=9, stop="x", temperature=0),
        body("gpt-5-chat-latest", temperature=0),
        body("gpt-5.1", temperature=0, reasoning_effort="none"),
        body("gpt-5.4", tools=[TOOL]),
        body("gpt-5.4", tools=[TOOL], reasoning_effort="none"),
        body("gpt-5.4", tools=[CUSTOM], reasoning_effort="low"),
        body("gpt-5.4", reasoning_effort="low"),
        body("gpt-5.6", tools=[TOOL], reasoning_effort="none"),
        body("gpt-5.6", reasoning_effort="high"),
        body("gpt-5.6", tools=[]),
        body("gpt-5-mini", tools=[TOOL], reasoning_effort="minimal"),
        body("openai/o3", stop="x"),
        body("o3-like", stop="x"),
        body("o3" * 200, stop="x"),
        body("ft:", stop="x"),
    ],
)
def test_what_a_model_takes(sent: dict[str, Any]) -> None:
    assert found("Q18", sent) == []


def test_nothing_is_refused_before_it_was_known() -> None:
    sent = body("gpt-5.6", tools=[TOOL])
    assert found("Q18", sent, as_of="2026-07-08") == []
    assert len(found("Q18", sent, as_of="2026-07-09")) == 1
    assert model_refusals(sent, "2026-07-08") == []


def test_the_rows_are_complete() -> None:
    parameters = document("request")["properties"].keys() | {
        "messages[].role",
        "messages[].content[].type",
    }
    for row in models()["refused"]:
        assert row.keys() >= {"models", "since", "parameter", "message", "code", "sources"}
        assert DAY.fullmatch(row["since"])
        assert row["parameter"] in parameters
        assert row["sources"]
        assert row["models"]
        assert not {"accepts", "refuses"} <= row.keys()
        assert row.get("beside", "no sound") in ("function tools", "no sound")
        row["message"].format(model="m", value="v", parameter="p", at_most=1)


@pytest.mark.parametrize(
    "sent",
    [
        {"model": "o1-mini", "messages": "x"},
        {"model": "o1-mini", "messages": [1, {}, {"role": []}]},
        {"model": "gpt-5.6", "messages": [], "tools": "x"},
        {"model": "gpt-5.6", "messages": [], "tools": [1, None]},
        {"model": "gpt-5.6", "messages": [], "reasoning_effort": {"a": 1}},
        {"model": 5, "messages": []},
        {"model": "gpt-4o", "messages": [1, {"content": [1, {"type": []}, {}]}, {"content": 1}]},
        {"model": "gpt-4o", "messages": "x", "max_tokens": "20000"},
        {"model": "gpt-4o", "messages": [], "max_tokens": 1e9},
    ],
)
def test_a_broken_request_is_left_to_its_schema(sent: dict[str, Any]) -> None:
    assert found("Q18", sent) == []
