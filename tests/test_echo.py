"""K11 to K14, U08 and U09, S17 and S18: what a response has to agree with, and its own parts."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from pytest_chatapi import Exchange, Request, Response
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.examples import changed
from pytest_chatapi.contract.findings import Finding

USAGE = "response.body.usage"
DELETE = {"$delete": True}
MODERATION = {
    "input": {"type": "error", "code": "x", "message": "y"},
    "output": {"type": "error", "code": "x", "message": "y"},
}


def found(base: str, changes: dict[str, Any], profile: str = "openai") -> list[Finding]:
    findings = check_exchange(changed(base, changes), profile).findings
    return [finding for finding in findings if finding.code not in ("S10", "Q18", "Q21")]


def codes(base: str, changes: dict[str, Any], profile: str = "openai") -> list[str]:
    return [finding.code for finding in found(base, changes, profile)]


# -- K11 ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requested", "actual", "expected"),
    [
        ("auto", "default", []),
        ("flex", "default", []),
        ("priority", "priority", []),
        ("fast", "priority", []),
        ("fast", "default", []),
        ("fast", "fast", ["K11"]),
        ("priority", "fast", ["K11"]),
        ("default", "fast", []),
        ("auto", None, ["K11"]),
        ("auto", DELETE, ["K11"]),
        (None, DELETE, []),
    ],
)
def test_the_tier_is_named(requested: Any, actual: Any, expected: list[str]) -> None:
    changes = {"request.body.service_tier": requested, "response.body.service_tier": actual}
    assert [code for code in codes("text", changes) if code != "Q00"] == expected


def test_the_tier_of_a_stream_is_on_any_chunk() -> None:
    ask = {"request.body.service_tier": "flex"}
    assert codes("stream", ask) == ["K11"]
    assert [f.level for f in found("stream", ask, "compatible")] == ["note"]
    assert codes("stream", {**ask, "response.events[3].service_tier": "flex"}) == []
    assert codes("stream", {**ask, "response.events[1].service_tier": None}) == ["K11"]
    cut = {**ask, "response.events[4]": DELETE, "response.cut": "client"}
    assert codes("stream", cut) == []


# -- K12 to K14 --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effort", "tokens", "expected"),
    [("none", 5, ["K12"]), ("none", 0, []), ("low", 5, []), (None, 5, []), ("none", DELETE, [])],
)
def test_reasoning_that_was_switched_off(effort: Any, tokens: Any, expected: list[str]) -> None:
    details = f"{USAGE}.completion_tokens_details.reasoning_tokens"
    changes = {"request.body.reasoning_effort": effort, details: tokens}
    assert [code for code in codes("text", changes) if code != "Q00"] == expected


@pytest.mark.parametrize(
    ("store", "requested", "actual", "expected"),
    [
        (True, {"a": "1"}, {"a": "1"}, []),
        (True, {"a": "1", "b": "2"}, {"b": "2", "a": "1"}, []),
        (True, {"a": "1"}, {"a": "2"}, ["K13"]),
        (True, {"a": "1"}, {}, ["K13"]),
        (True, {"a": "1"}, None, []),
        (False, {"a": "1"}, {"a": "2"}, []),
        (True, None, {"a": "2"}, []),
    ],
)
def test_metadata_of_what_is_stored(
    store: bool, requested: Any, actual: Any, expected: list[str]
) -> None:
    changes = {"request.body.store": store, "response.body.metadata": actual}
    if requested is not None:
        changes["request.body.metadata"] = requested
    assert codes("text", changes) == expected


@pytest.mark.parametrize(
    ("asked", "actual", "expected"),
    [
        ({"model": "omni-moderation-latest"}, MODERATION, []),
        ({"model": "omni-moderation-latest"}, None, ["K14"]),
        (None, None, []),
    ],
)
def test_moderation_that_was_asked_for(asked: Any, actual: Any, expected: list[str]) -> None:
    changes = {"request.body.moderation": asked, "response.body.moderation": actual}
    assert [code for code in codes("text", changes) if code != "Q00"] == expected


def test_moderation_of_a_stream_is_on_a_chunk_of_its_own() -> None:
    ask = {"request.body.moderation": {"model": "omni-moderation-latest"}}
    assert codes("stream", ask) == ["K14"]
    base = changed("stream", {}).response
    assert base is not None
    frame = json.loads(str(base.body).split("\n\n")[0].removeprefix("data: "))
    own = {**frame, "choices": [], "moderation": MODERATION}
    assert codes("stream", {**ask, "response.events[4]": {"$insert": [own]}}) == []


# -- U03, U04, U08 and U09 ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("details", "parts", "expected"),
    [
        ("prompt", {"text": 9, "image": 0, "audio": 0}, []),
        ("prompt", {"text": 5, "image": 4}, []),
        ("prompt", {"text": 5, "image": 5}, [("U03", "sum", "warning")]),
        ("prompt", {"text": 4, "image": 3, "audio": 3}, [("U03", "sum", "warning")]),
        ("prompt", {"cached": 5, "cache_write": 4}, []),
        ("prompt", {"cached": 5, "cache_write": 5}, [("U03", "sum", "warning")]),
        ("prompt", {"cached": 0, "cache_write": 50}, []),
        ("prompt", {"text": 9, "cached": 9}, []),
        ("prompt", {"text": 10, "image": 5}, [("U03", "", "error")]),
        ("completion", {"text": 5, "audio": 4}, []),
        ("completion", {"text": 5, "audio": 5}, [("U04", "sum", "warning")]),
        ("completion", {"text": 9, "reasoning": 9}, []),
        ("completion", {"text": 10, "audio": 5}, [("U04", "", "error")]),
        ("completion", {"text": 20, "audio": -12}, [("U04", "", "error"), ("U04", "", "error")]),
    ],
)
def test_parts_of_a_count_fit_together(
    details: str, parts: dict[str, int], expected: list[tuple[str, str, str]]
) -> None:
    path = f"{USAGE}.{details}_tokens_details"
    changes = {f"{path}.{name}_tokens": value for name, value in parts.items()}
    assert [(f.code, f.case, f.level) for f in found("text", changes)] == expected


def test_the_message_names_the_parts() -> None:
    path = f"{USAGE}.prompt_tokens_details"
    (finding,) = found("text", {f"{path}.cached_tokens": 8, f"{path}.cache_write_tokens": 4})
    assert finding.path == "$.usage.prompt_tokens_details"
    assert (finding.expected, finding.got) == (
        "cached_tokens + cache_write_tokens at most 9 (prompt_tokens)",
        "8 + 4",
    )
    assert finding.message == "`cached_tokens` + `cache_write_tokens` exceed prompt_tokens"


@pytest.mark.parametrize(
    ("reasoning", "message"),
    [
        (5, "the total counts the 5 reasoning tokens twice"),
        (12, "the 12 reasoning tokens are part of the total, but not of completion_tokens"),
    ],
)
def test_reasoning_beside_the_completion_is_one_finding(reasoning: int, message: str) -> None:
    changes = {
        f"{USAGE}.completion_tokens_details.reasoning_tokens": reasoning,
        f"{USAGE}.total_tokens": 18 + reasoning,
    }
    (finding,) = found("text", changes, "compatible")
    assert (finding.code, finding.level, finding.message) == ("U02", "warning", message)


def cost(total: Any, upstream: Any, **other: Any) -> dict[str, Any]:
    details = {"upstream_inference_cost": upstream, **other.pop("parts", {})}
    return {"cost": total, "cost_details": details, **other}


HALVES = {"upstream_inference_prompt_cost": 0.001, "upstream_inference_completions_cost": 0.002}


@pytest.mark.parametrize(
    ("usage", "path"),
    [
        (cost(0.003, 0.003, parts=HALVES), None),
        (cost(0.003, 0.0031, parts=HALVES), None),
        (cost(0.003, 0.0032, parts=HALVES), "$.usage.cost_details.upstream_inference_cost"),
        (cost(0.003, 0.0028, parts=HALVES), "$.usage.cost_details.upstream_inference_cost"),
        (cost(0.9, 0.003, parts=HALVES), None),
        (cost(0.9, 0.003, parts=HALVES, is_byok=True), None),
        (cost(0.9, 0.003, parts=HALVES, is_byok=False), "$.usage.cost"),
        (cost(0.9, 0.003, is_byok=False), "$.usage.cost"),
        (cost(0.9, None, parts=HALVES, is_byok=False), "$.usage.cost"),
        (cost(0.003, 0.003, is_byok=False), None),
        (cost(0.003, None, is_byok=False), None),
        (cost(0, 0, is_byok=False), None),
        (cost(0.0000005, 0.000001), None),
        ({"cost": "free", "cost_details": {"a_cost": 1}, "is_byok": False}, None),
        ({"cost": 1, "cost_details": [1], "is_byok": False}, None),
        ({"cost": 1, "is_byok": False}, None),
        ({"cost": {"input_tokens_cost": 1, "request_cost": 2, "total_cost": 3}}, None),
        (
            {"cost": {"input_tokens_cost": 1, "request_cost": 2, "total_cost": 4}},
            "$.usage.cost.total_cost",
        ),
        ({"cost": {"total_cost": 4}}, None),
        ({"cost": {"total_cost": "4", "request_cost": 2}}, None),
        ({"cost": {}}, None),
        ({"cost": {"total_cost": 10**400, "request_cost": 2}}, None),
        ({"cost": {"total_cost": 2.0, "request_cost": 10**400}}, None),
    ],
)
def test_a_cost_is_the_sum_of_its_parts(usage: dict[str, Any], path: str | None) -> None:
    changes = {f"{USAGE}.{key}": value for key, value in usage.items()}
    findings = found("text", changes, "compatible")
    assert [(f.code, f.path) for f in findings] == ([("U08", path)] if path else [])


@pytest.mark.parametrize(
    ("options", "content", "cached", "expected"),
    [
        ({"mode": "explicit"}, "Hello!", 8, ["U09"]),
        ({"mode": "explicit"}, "Hello!", 0, []),
        ({"mode": "implicit"}, "Hello!", 8, []),
        ({}, "Hello!", 8, []),
        ({"mode": "explicit"}, [{"type": "text", "text": "Hello!"}], 8, ["U09"]),
        (
            {"mode": "explicit"},
            [{"type": "text", "text": "Hi", "prompt_cache_breakpoint": {"mode": "explicit"}}],
            8,
            [],
        ),
    ],
)
def test_a_cache_that_was_not_asked_for(
    options: Any, content: Any, cached: int, expected: list[str]
) -> None:
    changes = {
        "request.body.prompt_cache_options": options,
        "request.body.messages[0].content": content,
        f"{USAGE}.prompt_tokens_details.cached_tokens": cached,
    }
    assert codes("text", changes) == expected


# -- S17 and S18 -------------------------------------------------------------------------


def cited(start: Any, end: Any) -> dict[str, Any]:
    page = {"url": "https://example.com/", "title": "Example"}
    return {
        "type": "url_citation",
        "url_citation": {"start_index": start, "end_index": end, **page},
    }


@pytest.mark.parametrize(
    ("start", "end", "text", "expected"),
    [
        (0, 5, "Aare.", []),
        (5, 5, "Aare.", []),
        (0, 0, "", []),
        (0, 6, "Aare.", [("", "error")]),
        (6, 6, "Aare.", [("", "error")]),
        (3, 2, "Aare.", [("", "error")]),
        (-1, 2, "Aare.", [("", "error")]),
        (0, 5, "Zürich", []),
        (0, 6, "Zürich", []),
        (0, 7, "Zürich", [("units", "warning")]),
        (0, 8, "Zürich", [("", "error")]),
        (0, 1, "😀", []),
        (0, 2, "😀", [("units", "warning")]),
        (0, 1, "", [("", "error")]),
    ],
)
def test_citations_are_inside_the_text(
    start: int, end: int, text: str, expected: list[tuple[str, str]]
) -> None:
    message = "response.body.choices[0].message"
    changes = {f"{message}.annotations": [cited(start, end)], f"{message}.content": text}
    changes["response.body.choices[0].finish_reason"] = "length"
    findings = found("text", changes)
    assert [(f.case, f.level) for f in findings if f.code == "S17"] == expected
    assert all(f.level == "warning" for f in found("text", changes, "compatible"))


@pytest.mark.parametrize(
    ("start", "end", "cut", "expected"),
    [
        (0, 6, None, []),
        (0, 7, None, ["S17"]),
        (2, 1, None, ["S17"]),
        (0, 7, "client", []),
        (2, 1, "client", ["S17"]),
        (-1, 1, "client", ["S17"]),
    ],
)
def test_citations_of_a_stream(start: int, end: int, cut: str | None, expected: list[str]) -> None:
    # "Hello" and "!": the text is not kept, but its length is.
    changes: dict[str, Any] = {
        "response.events[2].choices[0].delta.annotations": [cited(start, end)],
    }
    if cut:
        changes |= {"response.events[4]": DELETE, "response.events[3]": DELETE}
        changes["response.cut"] = cut
    assert codes("stream", changes) == expected


def test_citations_that_cannot_be_read_violate_the_schema_alone() -> None:
    message = "response.body.choices[0].message"
    bare = {"type": "url_citation"}
    wrong = [cited(None, 2), cited("0", 2), bare, cited(0.0, 2), cited(0, 10**400)]
    for citation in [*wrong[:4], {**bare, "url_citation": "x"}, {**bare, "url_citation": [1]}, "x"]:
        assert set(codes("text", {f"{message}.annotations": [citation]})) == {"S01"}
        chunk = {"response.events[2].choices[0].delta.annotations": [citation]}
        assert set(codes("stream", chunk)) <= {"S01"}
    assert codes("text", {f"{message}.annotations": wrong[4:]}) == ["S17"]
    assert codes("text", {f"{message}.annotations": {}}) == ["S01"]


def test_an_unknown_annotation_is_one_finding() -> None:
    message = "response.body.choices[0].message"
    file = {"type": "file", "file": {"hash": "x", "content": []}}
    changes = {f"{message}.annotations": [file, cited(0, 2)]}
    for profile, level in (("openai", "error"), ("compatible", "warning")):
        (finding,) = check_exchange(changed("text", changes), profile).findings
        assert (finding.code, finding.level) == ("S01", level)
        assert finding.path == "$.choices[0].message.annotations[0].type"
    wrong = {"type": 5, "url_citation": cited(0, 2)["url_citation"]}
    (finding,) = found("text", {f"{message}.annotations": [wrong]})
    assert finding.code == "S01"


@pytest.mark.parametrize(
    ("content", "refusal", "expected"),
    [("Hi", "No.", ["S18"]), ("Hi", "", []), ("", "No.", []), (None, "No.", []), ("Hi", None, [])],
)
def test_content_or_a_refusal(content: Any, refusal: Any, expected: list[str]) -> None:
    message = "response.body.choices[0].message"
    changes = {f"{message}.content": content, f"{message}.refusal": refusal}
    assert codes("text", changes) == expected


# -- smaller ones ------------------------------------------------------------------------


def test_null_counts_before_the_last_chunk_are_t15_alone() -> None:
    last = {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10}
    running = {"prompt_tokens": 8, "completion_tokens": None, "total_tokens": None}
    usage = {f"response.events[{i}].usage": running for i in range(4)}
    usage["response.events[4].usage"] = last
    assert codes("stream-usage", usage) == ["T15"]
    usage["response.events[4].usage"] = running
    assert codes("stream-usage", usage) == ["U01", "U01", "T15"]
    alone = {"response.events[4].usage": running}
    assert codes("stream-usage", alone) == ["U01", "U01"]
    usage["response.events[4].usage"] = last
    usage["response.events[2].usage"] = {**running, "prompt_tokens": "8"}
    assert codes("stream-usage", usage) == ["U01", "T15"]


def test_a_running_count_that_was_asked_for_is_silent() -> None:
    running = {"prompt_tokens": 8, "completion_tokens": 1, "total_tokens": 9}
    usage = {f"response.events[{i}].usage": running for i in range(4)}
    assert codes("stream-usage", usage) == ["T15"]
    options = {"include_usage": True, "continuous_usage_stats": True}
    usage["request.body.stream_options"] = options
    assert codes("stream-usage", usage) == ["Q12"]  # the server's own option


@pytest.mark.parametrize(
    ("members", "compatible"),
    [
        (("message", "type", "code"), []),
        (("message", "type", "param"), []),
        (("message", "type"), []),
        (("message", "code"), ["X01"]),
        (("message", "param", "code"), ["X01"]),
        (("type", "param", "code"), ["X01"]),
    ],
)
def test_members_of_an_error_that_may_be_null(
    members: tuple[str, ...], compatible: list[str]
) -> None:
    error = {"message": "No.", "type": "invalid_request_error", "param": None, "code": None}
    body = {"error": {key: error[key] for key in members}}
    changes = {"response.status": 400, "response.body": body}
    assert codes("text", changes, "compatible") == compatible
    assert codes("text", changes) == ["X01"]
    assert [f.level for f in found("text", changes, "azure")] == ["warning"]


def test_the_detail_of_a_stored_image_may_be_null() -> None:
    url = "https://api.openai.com/v1/chat/completions/c1/messages"
    picture = {"url": "https://example.com/a.png", "detail": None}
    message = {"id": "c1-0", "role": "user", "content": None, "refusal": None}
    message["content_parts"] = [{"type": "image_url", "image_url": picture}]
    body = {"object": "list", "data": [message], "first_id": "c1-0", "last_id": "c1-0"}
    body["has_more"] = False
    exchange = Exchange(Request("GET", url), Response(200, {}, json.dumps(body)))
    assert check_exchange(exchange).findings == []
    picture["detail"] = 5
    exchange = Exchange(Request("GET", url), Response(200, {}, json.dumps(body)))
    assert [f.code for f in check_exchange(exchange).findings] == ["S01"]


@pytest.mark.parametrize(
    "ask",
    [
        {"service_tier": "fast"},
        {"service_tier": "flex", "stream": True},
        {"store": True, "metadata": {"run": "7"}},
        {"moderation": {"model": "omni-moderation-latest"}},
        {"moderation": {"model": "omni-moderation-latest"}, "stream": True},
        {
            "moderation": {"model": "omni-moderation-latest"},
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    ],
)
def test_the_mock_agrees_with_what_it_was_asked(chatapi_mock: Any, ask: dict[str, Any]) -> None:
    chatapi_mock.reply("Hello!")
    url = "https://api.openai.com/v1/chat/completions"
    body = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}], **ask}
    answer = httpx.post(url, json=body)
    response = Response(answer.status_code, dict(answer.headers), answer.content)
    findings = check_exchange(Exchange(Request("POST", url, {}, body), response)).findings
    assert [f for f in findings if f.code != "Q17"] == []
