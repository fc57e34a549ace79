"""Held against ``mypy --strict``, and never run: what callers may write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_type

from pytest_chatapi import (
    ChatAPIError,
    ContractError,
    Exchange,
    Finding,
    ReadError,
    Request,
    Response,
    SettingError,
    Source,
    assemble,
    assert_chat_completion,
    assert_chat_request,
    assert_chat_stream,
    assert_error_body,
    assert_models,
    assert_usage,
    check,
    read,
)

exchange = Exchange(
    Request("POST", "https://h/v1/chat/completions", {}, {"model": "m"}),
    Response(200, {}, b"{}", cut="server"),
    Source("a.jsonl", 0),
)

assert_type(check(exchange), list[Finding])
assert_type(check(b"{}", "openai", request={}, as_of="2026-01-31", ignore=["U02"]), list[Finding])
assert_type(read("cassettes"), Iterator[Exchange])
assert_type(assemble([{}]), dict[str, Any])
assert_type(assert_chat_completion({}, request={}, strict=True), dict[str, Any])
assert_type(assert_chat_stream(["data: {}"], profile="azure"), dict[str, Any])
assert_type(assert_usage({}, ignore=("U02",)), dict[str, Any])
assert_type(assert_chat_request({}), dict[str, Any])
assert_type(assert_error_body({}, status=429), dict[str, Any])
assert_type(assert_models({}), dict[str, Any])

assert_chat_completion({}, {})  # type: ignore[call-arg]
assert_usage({}, strict="yes")  # type: ignore[arg-type]
Response(200, cut="nobody")  # type: ignore[arg-type]


def of_errors(error: ChatAPIError) -> None:
    if isinstance(error, ContractError):
        assert_type(error.findings, list[Finding])
    if isinstance(error, ReadError):
        assert_type((error.file, error.place, error.reason), tuple[str, str, str])
    if isinstance(error, SettingError):
        as_value_error: ValueError = error
        print(as_value_error)


def of_findings(finding: Finding) -> None:
    assert_type(finding.chunk, int | None)
    assert_type(finding.source, Source | None)
    finding.level = "note"  # type: ignore[misc]
