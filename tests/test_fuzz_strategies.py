"""The strategies and the catalogue: what they call legal is legal by the rules of the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fuzz_readers import BODY, TWO
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.fuzz import strategies

_PLAIN = {key: TWO[key] for key in ("model", "messages")}
_SCHEMA = {
    "type": "object",
    "properties": {"days": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
    "required": ["days"],
    "additionalProperties": False,
}
_FORMAT = {"type": "json_schema", "json_schema": {"name": "s", "strict": True, "schema": _SCHEMA}}
BODIES: list[dict[str, Any]] = [
    BODY,
    TWO,
    {**BODY, "tool_choice": "required", "parallel_tool_calls": False},
    {**_PLAIN, "stream": True, "logprobs": True, "top_logprobs": 2},
    {**_PLAIN, "stream": True, "response_format": _FORMAT},
    {**_PLAIN, "response_format": _FORMAT},
    {**_PLAIN, "logprobs": True, "n": 2},
    {**_PLAIN, "stream": True, "max_completion_tokens": 5},
    {**_PLAIN, "tools": BODY["tools"], "tool_choice": "required"},
]
_ASIDE = {"S10", "Q17"}
"""Unknown members are legal and noted; what is noted of a model is not about the response."""


def codes(exchange: Exchange) -> set[str]:
    return {finding.code for finding in check_exchange(exchange, "documented").findings} - _ASIDE


@settings(max_examples=40)
@given(st.sampled_from(BODIES).flatmap(strategies.exchanges))
def test_each_legal_exchange_has_no_finding(exchange: Exchange) -> None:
    assert codes(exchange) == set()


@settings(max_examples=30)
@given(strategies.errors())
def test_each_error_has_no_finding(exchange: Exchange) -> None:
    assert exchange.response is not None
    assert exchange.response.status >= 400
    assert codes(exchange) == set()


def test_only_the_search_needs_hypothesis() -> None:
    folder = Path(strategies.__file__).parent
    users = {
        p.stem for p in folder.glob("*.py") if "hypothesis" in p.read_text().split("__all__")[0]
    }
    assert users == {"strategies", "search"}
