"""Profiles, selection, strict JSON: what surrounds the rules."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_chatapi import Exchange, Request, Response, SettingError
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.parse import loads, loads_bytes
from pytest_chatapi.contract.profiles import PROFILES, get_profile, profile_for_url
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.selection import parse_date, selects
from pytest_chatapi.contract.userschema import SchemaTrouble, first_error
from pytest_chatapi.contract.wording import show

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "gpt-5.2",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


@pytest.mark.parametrize(
    ("url", "profile"),
    [
        ("", "openai"),
        ("https://api.openai.com/v1/chat/completions", "openai"),
        ("https://eu.api.openai.com/v1/chat/completions", "openai"),
        ("https://x.openai.azure.com/openai/v1/chat/completions", "azure"),
        ("https://x.cognitiveservices.azure.com/a", "azure"),
        ("http://127.0.0.1/openai/deployments/d/chat/completions", "azure"),
        ("https://x.services.ai.azure.com/models/chat/completions", "compatible"),
        ("https://api.openai.com.evil.example/v1", "compatible"),
        ("http://127.0.0.1:8080/v1", "compatible"),
        ("/v4/chat/completions", "compatible"),
    ],
)
def test_the_host_chooses_the_profile(url: str, profile: str) -> None:
    assert profile_for_url(url).name == profile


def test_every_profile_exists_and_others_are_refused() -> None:
    for name in PROFILES:
        assert get_profile(name).name == name
    with pytest.raises(SettingError, match=r"unknown profile 'opnai': did you mean openai\?"):
        get_profile("opnai")


def finding(code: str, path: str) -> Finding:
    return Finding(code, "x", "error", "openai", path, "", "", "")


@pytest.mark.parametrize(
    ("pattern", "code", "path", "fits"),
    [
        ("U02", "U02", "$.usage", True),
        ("u02", "U02", "$.usage", True),
        ("usage-total", "U02", "$.usage", True),
        ("U", "U02", "$.usage", True),
        ("S01", "U02", "$.usage", False),
        ("S01:$.choices[0].message", "S01", "$.choices[0].message.content", True),
        ("S01:choices[*].message", "S01", "$.choices[12].message", True),
        ("S01:choices[0].mess", "S01", "$.choices[0].message", False),
        ("S01:$.choices[1]", "S01", "$.choices[10]", False),
        ("S01:$", "S01", "$.choices[10]", True),
        ("S01:usage.*", "S01", "$.usage.total_tokens", True),
        ("S01:choices[].x-y", "S01", "$.choices[3].x-y", True),
        ('S01:$["a b"].c', "S01", '$["a b"].c', True),
        ("S01:[0]", "S01", "$[0].a", True),
        ("H02:headers.x-ratelimit-limit-tokens", "H02", "headers.x-ratelimit-limit-tokens", True),
    ],
)
def test_selection_by_code_and_path(pattern: str, code: str, path: str, fits: bool) -> None:
    assert selects([pattern])(finding(code, path)) is fits


@pytest.mark.parametrize(
    "path", ["foo[", "foo]", "foo[x]", "$.foo.", "foo..bar", "a b", "foo[0]bar", '["a]', "foo[-1]"]
)
def test_a_path_that_no_finding_can_have(path: str) -> None:
    with pytest.raises(SettingError) as caught:
        selects([f"S10:{path}"])
    assert str(caught.value) == (
        f"no finding has a path such as {path!r}: use $.usage or choices[*].message"
    )


def test_an_unknown_code_names_the_nearest() -> None:
    with pytest.raises(SettingError, match="unknown rule 'U2': did you mean U02"):
        selects(["U2"])
    with pytest.raises(SettingError, match=r"'2026-13-01' is not a date: use YYYY-MM-DD"):
        parse_date("2026-13-01")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' appears twice in one object"),
        ("[NaN]", "NaN is not a JSON number"),
        ("[-Infinity]", "-Infinity is not a JSON number"),
        ("[1e999]", "the number '1e999' overflows"),
        ("[" * 200_000, "nested too deeply"),
        ("9" * 5000, "a number has more than 4,300 digits"),
        ('{"a": tru}', "Expecting value at line 1, column 7, near 'tru}'"),
        ('{"a"', "Expecting ':' delimiter at line 1, column 5, at the end of the text"),
    ],
)
def test_strict_json(text: str, why: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is the test
        loads(text)
    assert str(error.value) == why


def test_bytes_are_utf8() -> None:
    with pytest.raises(ValueError, match="not UTF-8: byte 0xff at offset 2"):
        loads_bytes(b'["\xff"]')


def judged(body: Any, **response: Any) -> list[Finding]:
    request = Request(
        "POST",
        "https://api.openai.com/v1/chat/completions",
        {},
        {
            "model": "gpt-5.2",
            "messages": [{"role": "user", "content": "Hi"}],
        },
    )
    return check_exchange(Exchange(request, Response(body=body, **response))).findings


def test_a_legal_answer_is_silent_as_text_bytes_and_parsed() -> None:
    text = json.dumps(ANSWER)
    assert judged(text) == judged(text.encode()) == judged(ANSWER) == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    steps = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *[p for key, v in steps for p in _paths(v, (*path, key))]]


@given(st.sampled_from([p for p in _paths(ANSWER) if p]), VALUES)
def test_no_value_anywhere_is_more_than_a_finding(path: tuple[Any, ...], value: Any) -> None:
    body = json.loads(json.dumps(ANSWER))
    inner = body
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    judged(body)
    chunk = json.loads(json.dumps(body).replace('"message"', '"delta"'))
    check_exchange(Exchange(None, Response(chunks=[chunk, chunk])), "documented")
    check_exchange(Exchange(Request("POST", "", {}, body), Response(body=body)))
    for finding_ in judged(body):
        assert len(finding_.got) <= 90
        assert "\n" not in finding_.message


@given(VALUES)
def test_the_memo_agrees_with_the_validator(value: Any) -> None:
    from jsonschema import Draft202012Validator

    from pytest_chatapi.contract.schemas import resolved

    for name in ("response", "usage", "model"):
        plain = resolved(name)
        body = {**(ANSWER if name == "response" else {}), "usage": value, "id": value}
        expected = Draft202012Validator(plain).is_valid(body)
        assert (not load(name).violations(body)[0]) == expected
        assert (not load(name).violations(body)[0]) == expected  # and from the memo


def test_secrets_never_reach_a_finding() -> None:
    key = "sk-proj-" + "Ab1" * 12
    body = {**ANSWER, "object": f"Bearer {key}", "id": None, key: 1}
    found = judged(body) + judged({"error": {"message": f"Incorrect API key provided: {key}"}})
    assert found
    assert key not in "".join(str(f) for f in found)
    assert show(f"Authorization: Bearer {key}") == '"Authorization: Bearer REDACTED"'


def test_user_schemas_are_never_trusted() -> None:
    for schema in ({"type": 5}, {"$ref": "http://127.0.0.1:9/x"}, {"pattern": "("}, {"$ref": "#"}):
        with pytest.raises(SchemaTrouble):
            first_error(schema, "x")
    assert first_error({"type": "integer"}, "x") == ("", "'x' is not of type 'integer'")
