"""Every rule against its two examples: one that breaks it alone, and the nearest legal one."""

from __future__ import annotations

import pytest

from pytest_chatapi.contract.catalogue import rules
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.examples import changed, document, example
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.profiles import PROFILES, matrix

CASES = [f"{code}/{case}" for code, rule in rules().items() for case in rule.cases]
ROWS = [*rules(), *CASES]


def found(exchange: Exchange, profile: str, as_of: str | None = None) -> list[Finding]:
    return check_exchange(exchange, profile, as_of=as_of).findings


def told(findings: list[Finding]) -> str:
    return "\n".join(str(finding) for finding in findings)


def test_every_rule_and_every_case_has_an_example() -> None:
    assert list(document()["rules"]) == list(rules())
    assert list(document()["cases"]) == CASES


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", document()["bases"])
def test_a_base_is_silent(name: str, profile: str) -> None:
    findings = found(changed(name, {}), profile)
    assert not findings, told(findings)


@pytest.mark.parametrize("row", ROWS)
def test_the_legal_example_is_silent_everywhere(row: str) -> None:
    for profile in PROFILES:
        findings = found(example(row).legal, profile)
        assert not findings, f"{profile}: {told(findings)}"


@pytest.mark.parametrize("row", ROWS)
def test_the_broken_example_breaks_this_rule_alone(row: str) -> None:
    shown = example(row)
    code, _, case = row.partition("/")
    for profile in PROFILES:
        levels = matrix()[profile]
        findings = found(shown.broken, profile)
        expected = {code: levels[row]} if levels[row] else {}
        for other in shown.beside:
            expected[other] = levels[f"{other}/{case}" if case else other]
        told_all = f"{profile}: {told(findings)}"
        assert {f.code: f.level for f in findings} == expected, told_all
        for finding in findings:
            if finding.code == code:
                own = f"{code}/{finding.case}"
                assert (own if own in CASES else code) == row, told_all


# Literal on purpose: the file of the catalogue is not its own witness.
@pytest.mark.parametrize(
    ("row", "documented", "openai", "azure", "compatible"),
    [
        ("S01", "error", "error", "error", "error"),
        ("S01/null", "error", "error", "error", None),
        ("S01/content-filter", "error", "error", "warning", "error"),
        ("S07", "error", "error", "error", "warning"),
        ("S07/empty", "error", "error", "error", "error"),
        ("S10", "note", "note", "note", "note"),
        ("S11", "error", None, None, None),
        ("S12", "error", None, None, None),
        ("S13", "error", None, None, None),
        ("U02", "error", "error", "error", "error"),
        ("U02/reasoning", "error", "error", "error", "warning"),
        ("U06", "error", "note", "note", None),
        ("T06", "error", "error", "error", "warning"),
        ("T08", "error", "error", "error", "error"),
        ("T08/all-finished", "error", "error", "error", "warning"),
        ("T09/content-filter", "warning", "warning", None, "warning"),
        ("T13", "error", "error", "error", "error"),
        ("T13/on-choice", "error", "error", "error", None),
        ("C04", "error", "error", "error", "warning"),
        ("C04/clash", "error", "error", "error", "error"),
        ("C05/absent", "error", "error", "error", "warning"),
        ("C10/not-strict", "warning", "warning", "warning", "warning"),
        ("C10/unchecked", "note", "note", "note", "note"),
        ("J02/unchecked", "note", "note", "note", "note"),
        ("L05/unasked", "warning", "warning", "warning", "warning"),
        ("J01/stopped", "warning", "warning", "warning", "warning"),
        ("J02/stopped", "warning", "warning", "warning", "warning"),
        ("L06", "note", "note", "note", "note"),
        ("K03", "note", "note", "note", "note"),
        ("K09", "note", "note", None, "note"),
        ("K15", "warning", "warning", "warning", "warning"),
        ("K15/unchecked", "note", "note", "note", "note"),
        ("Q00/null", "error", "note", "note", "note"),
        ("Q00/tool-type", "error", "error", "error", "warning"),
        ("X01", "error", "error", "warning", "warning"),
        ("H01", "note", "note", "note", None),
    ],
)
def test_the_level_matrix(
    row: str, documented: str, openai: str, azure: str, compatible: str
) -> None:
    levels = [matrix()[profile][row] for profile in PROFILES]
    assert levels == [documented, openai, azure, compatible]


def codes(exchange: Exchange, as_of: str | None = None) -> set[str]:
    return {finding.code for finding in found(exchange, "documented", as_of)}


def test_a_service_tier_is_unknown_before_its_day() -> None:
    fast = example("S14").legal
    assert codes(fast, "2026-01-01") == {"S14"}
    assert codes(fast, "2026-07-29") == {"S14"}
    assert codes(fast, "2026-07-30") == set()
    assert codes(fast) == set()


@pytest.mark.parametrize(
    ("code", "before", "since"),
    [
        ("T13", "2024-01-01", "2024-05-06"),
        ("T14", "2024-05-05", "2024-05-06"),
        ("S11", "2023-12-14", "2023-12-15"),
        ("S12", "2024-08-05", "2024-08-06"),
        ("K08", "2024-06-05", "2024-06-06"),
        ("U04", "2024-09-11", "2024-11-05"),
        ("Q13", "2024-09-11", "2024-09-12"),
        ("L05", "2023-12-14", "2023-12-15"),
    ],
)
def test_a_rule_is_silent_before_its_day(code: str, before: str, since: str) -> None:
    broken = example(code).broken
    assert code not in codes(broken, before)
    assert code in codes(broken, since)
    assert code in codes(broken)


DELETE = {"$delete": True}
CHOICE = "response.body.choices[0]"
MESSAGE = f"{CHOICE}.message"
USAGE = "response.body.usage"
EVENTS = "response.events"
CALL = f"{EVENTS}[{{}}].choices[0].delta.tool_calls[0]"
STRICT = "request.body.tools[0].function.strict"
TOOL = {"type": "function", "function": {"name": "run"}}
ERROR = {"error": {"message": "Overloaded.", "type": "server_error", "param": None, "code": None}}


def append(*items: object) -> dict[str, object]:
    return {"$append": list(items)}


@pytest.mark.parametrize(
    ("code", "base", "changes"),
    [
        ("S00", "text", {"response.body": '{"id": "a", "id": "b"}'}),
        ("S00", "text", {"response.body": '{"id": 1e999}'}),
        ("S00", "text", {"response.body": "null"}),
        ("S00", "text", {"response.body": "[]"}),
        ("S01", "text", {"response.body.choices": DELETE}),
        ("S01", "text", {"response.body.created": True}),
        ("S01", "text", {CHOICE: "text"}),
        ("S01", "text", {f"{MESSAGE}.content": {"text": "Hello!"}}),
        ("S01", "text", {f"{CHOICE}.finish_reason": None}),
        ("S01", "stream", {f"{EVENTS}[1].choices[0].delta": DELETE}),
        ("S01", "stream", {f"{EVENTS}[1].choices": None}),
        ("S02", "text", {"response.body.id": DELETE}),
        ("S02", "stream", {f"{EVENTS}[1].id": ""}),
        ("S03", "text", {"response.body.object": DELETE}),
        ("S03", "stream", {f"{EVENTS}[1].object": DELETE}),
        ("S04", "text", {"response.body.created": 0}),
        ("S08", "text", {f"{MESSAGE}.role": DELETE}),
        ("S08", "stream", {f"{EVENTS}[0].choices[0].delta.role": "user"}),
        ("S09", "text", {f"{MESSAGE}.content": None}),
        ("S15", "stream", {f"{EVENTS}[1].choices[0].delta.content": "\ufffd"}),
        ("U01", "text", {f"{USAGE}.prompt_tokens": "9"}),
        ("U01", "text", {f"{USAGE}.prompt_tokens": DELETE}),
        ("U02", "stream-usage", {f"{EVENTS}[4].usage.total_tokens": 99}),
        ("U03", "text", {f"{USAGE}.prompt_tokens_details.cached_tokens": -1}),
        ("U04", "text", {f"{USAGE}.completion_tokens_details.reasoning_tokens": -1}),
        ("U05", "text", {USAGE: None}),
        ("U06", "text", {f"{USAGE}.completion_tokens_details.reasoning_tokens": None}),
        ("U07", "text", {f"{USAGE}.prompt_tokens": 0, f"{USAGE}.total_tokens": 9}),
        ("T04", "stream", {f"{EVENTS}[1].choices[0].delta.role": ""}),
        ("T05", "stream", {f"{EVENTS}[3]": DELETE}),
        ("T08", "stream", {EVENTS: append("[DONE]")}),
        ("T10", "stream", {f"{EVENTS}[2]": {"$raw": 'event: error\ndata: {"message": "x"}\n\n'}}),
        ("T10", "stream", {f"{EVENTS}[2]": {"$raw": 'error: {"message": "x"}\n\n'}}),
        ("T11", "stream", {f"{EVENTS}[2]": '{"id":'}),
        ("T11", "stream", {f"{EVENTS}[2]": "null"}),
        ("T12", "stream", {f"{EVENTS}[1].choices[0].index": -1}),
        (
            "T15",
            "stream-usage",
            {
                f"{EVENTS}[3].usage": {
                    "prompt_tokens": 8,
                    "completion_tokens": 2,
                    "total_tokens": 10,
                }
            },
        ),
        ("T17", "text", {"response.body": '{"id": "chat', "response.cut": "server"}),
        ("T17", "text", {"response.body": "", "response.cut": "server"}),
        ("T18", "stream", {"response.body": ": comment\n\n"}),
        ("E01", "stream", {f"{EVENTS}[1]": {"$raw": " data: {}\n\n"}}),
        ("E02", "text", {"request.body.stream": True}),
        ("E02", "stream", {"request.body.stream": False}),
        ("E02", "text", {"response.headers.content-type": "text/event-stream"}),
        ("C01", "tools-stream", {CALL.format(0) + ".function.name": DELETE}),
        ("C02", "tools", {f"{MESSAGE}.tool_calls[0].function.arguments": None}),
        ("C03", "tools", {f"{MESSAGE}.tool_calls[0].function.arguments": "", STRICT: False}),
        ("C03", "tools-stream", {f"{EVENTS}[2]": DELETE, STRICT: False}),
        ("C10", "tools", {f"{MESSAGE}.tool_calls[0].function.arguments": ""}),
        ("C10", "tools-stream", {f"{EVENTS}[2]": DELETE}),
        ("C04", "tools-stream", {CALL.format(0) + ".id": ""}),
        ("C05", "tools-stream", {CALL.format(i) + ".index": 1 for i in range(3)}),
        ("C06", "tools-stream", {CALL.format(1) + ".id": ""}),
        ("C07", "tools-stream", {f"{EVENTS}[3].choices[0].finish_reason": "stop"}),
        ("C08", "stream", {f"{EVENTS}[3].choices[0].finish_reason": "tool_calls"}),
        ("C09", "tools-stream", {CALL.format(0) + ".function.name": "nope"}),
        (
            "C11",
            "stream",
            {
                "request.body.tools": [TOOL],
                f"{EVENTS}[1].choices[0].delta.content": "<tool",
                f"{EVENTS}[2].choices[0].delta.content": "_call>",
            },
        ),
        ("J01", "json-object", {f"{MESSAGE}.content": "{} {}"}),
        ("J02", "structured", {f"{MESSAGE}.content": "Ada, 36"}),
        ("L01", "logprobs", {f"{CHOICE}.logprobs.content[0].top_logprobs[0].bytes": DELETE}),
        ("L02", "logprobs", {f"{CHOICE}.logprobs.content[0].logprob": -10000}),
        ("L03", "logprobs", {"request.body.top_logprobs": None}),
        ("K01", "stream", {"request.body.n": 2}),
        ("K04", "stream", {"request.body.stop": "o!"}),
        ("K05", "tools-stream", {"request.body.tool_choice": "none"}),
        ("Q00", "text", {"request.body": "{"}),
        ("Q00", "text", {"request.body": [1]}),
        ("Q00", "text", {"request.body.model": DELETE}),
        ("Q01", "text", {"request.body.messages": []}),
        ("Q06", "text", {"request.body.metadata": {"key": "v" * 513}}),
        ("Q06", "text", {"request.body.metadata": {str(i): "v" for i in range(17)}}),
        ("Q08", "text", {"request.body.messages[0]": {"role": "assistant", "tool_calls": []}}),
        ("Q10", "text", {"request.body.tool_choice": "required"}),
        ("Q13", "text", {"request.body.user": "u"}),
        ("X01", "error-401", {"response.body": [ERROR]}),
        ("X01", "error-401", {"response.body": {"error": "Overloaded."}}),
        ("X04", "error-401", {"response.body": ""}),
        ("X05", "error-429", {"response.headers.retry-after": "-1"}),
        ("H02", "error-429", {"response.headers.x-ratelimit-limit-requests": "-5"}),
        ("D01", "models", {"response.body.data": DELETE}),
        ("D02", "models", {"response.body.data[0]": "gpt-4o-mini"}),
    ],
)
def test_another_way_to_break_it(code: str, base: str, changes: dict[str, object]) -> None:
    findings = found(changed(base, changes), "openai")
    assert {f.code for f in findings} == {code}, told(findings)
    assert len(findings) == 1, told(findings)


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        ("text", {"response.headers.content-type": DELETE}),
        ("stream", {"response.headers.content-type": DELETE}),
        ("text", {"response.body.service_tier": None}),
        ("text", {"request.body.n": None, "request.body.stop": None}),
        ("text", {"request.body.model": "openai/gpt-5.2-2025-12-11"}),
        ("text", {f"{MESSAGE}.content": None, f"{MESSAGE}.refusal": "No."}),
        (
            "text",
            {f"{MESSAGE}.content": None, f"{USAGE}.completion_tokens_details.reasoning_tokens": 9},
        ),
        ("text", {"response.headers.retry-after": "soon"}),
        ("error-429", {"response.headers.retry-after": "0"}),
        ("error-429", {"response.headers.x-ratelimit-remaining-tokens": "<TOKENS>"}),
        ("structured", {f"{MESSAGE}.content": "{", f"{CHOICE}.finish_reason": "content_filter"}),
        ("tools", {"request.body.tool_choice": "required"}),
    ],
)
def test_another_legal_exchange(base: str, changes: dict[str, object]) -> None:
    findings = found(changed(base, changes), "openai")
    assert not findings, told(findings)


FINE_TUNED = "https://api.openai.com/v1/models/ft:gpt-4o-mini:acme::AbC1"


@pytest.mark.parametrize(
    ("expected", "base", "changes"),
    [
        pytest.param(code, base, changes, id=reason)
        for code, base, changes, reason in (
            (
                "D02",
                "model",
                {"request.url": FINE_TUNED, "response.body.owned_by": DELETE},
                "endpoint() takes a fine-tuned model's colon for another API's verb",
            ),
            (
                "X03",
                "models",
                {"response.body": ERROR},
                "an error under 200 is taken for a model list: D01 twice",
            ),
            (
                "X03",
                "model",
                {"response.body": ERROR},
                "an error under 200 is taken for a model: D02 four times, S10",
            ),
            (
                "S10",
                "models",
                {"response.body.has_more": False},
                "check_model_list does not look at unknown keys of the list itself",
            ),
            (
                "S01",
                "text",
                {MESSAGE: None},
                "S09 beside S01: the message is no object, so it cannot be called empty",
            ),
            (
                "S01",
                "tools",
                {f"{MESSAGE}.tool_calls": {}},
                "C08 and S09 beside S01: the calls have the wrong type, they are not missing",
            ),
            (
                "C08",
                "tools",
                {f"{MESSAGE}.tool_calls": []},
                "S09 beside C08: one cause, two findings",
            ),
            (
                "C02",
                "tools-stream",
                {CALL.format(1) + ".function.arguments": {"city": "x"}},
                "C03 beside C02: a fragment of the wrong type is left out of the joined text",
            ),
            (
                "S07",
                "stream",
                {f"{EVENTS}[3].choices[0].finish_reason": ""},
                "T05 beside S07/empty: one cause, two findings",
            ),
            (
                "T13",
                "stream-usage",
                {f"{EVENTS}[4].usage": None},
                "T09 beside T13: one cause, two findings",
            ),
            (
                "L04",
                "logprobs",
                {f"{CHOICE}.logprobs.content": []},
                "no token at all for a text: Tokens.end skips a size of 0",
            ),
            (
                "L01",
                "logprobs",
                {f"{CHOICE}.logprobs.content[0].bytes[0]": 300},
                "logprobs.json has no bounds for a byte",
            ),
            (
                None,
                "text",
                {"request.body.model": "openai/gpt-5.2"},
                "K09: a maker's prefix before an alias is not taken off",
            ),
            (
                "X01",
                "error-401",
                {"response.body": "null"},
                "X04 'the error has no body' for the JSON null",
            ),
            (
                "X05",
                "error-429",
                {"response.headers.retry-after": "\u00b2"},
                "str.isdigit() is true for a superscript",
            ),
        )
    ],
)
def test_found_wrong_once(expected: str | None, base: str, changes: dict[str, object]) -> None:
    findings = found(changed(base, changes), "openai")
    assert {f.code for f in findings} == ({expected} if expected else set()), told(findings)
