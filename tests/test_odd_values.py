"""Every member of a legal exchange, replaced by each kind of value: what is reported, exactly.

``odd_values.json`` has, for each exchange and place, the codes (with their cases) and the values
that they are reported for. ``python tests/test_odd_values.py`` writes it. A line that changes is a
verdict that changes: read the difference before it is committed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pytest_chatapi import Exchange, Response
from pytest_chatapi.contract.assemble import as_completion
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.examples import changed, document

FILE = Path(__file__).parent / "odd_values.json"
ODD: dict[str, Any] = {
    "absent": {"$delete": True},
    "null": None,
    "true": True,
    "0": 0,
    "-1": -1,
    "1.5": 1.5,
    '""': "",
    '"x"': "x",
    "[]": [],
    "[1]": [1],
    "{}": {},
}
NONE = "-"
# More than the bases have: what other requests and responses may hold.
MORE: dict[str, dict[str, Any]] = {
    "text": {
        "request.body.n": 1,
        "request.body.stop": ["END"],
        "request.body.max_completion_tokens": 100,
        "request.body.tool_choice": {"type": "function", "function": {"name": "f"}},
        "request.body.tools": [
            {"type": "function", "function": {"name": "f", "strict": True}},
            {"type": "custom", "custom": {"name": "g"}},
        ],
        "request.body.modalities": ["text"],
        "request.body.metadata": {"a": "b"},
        "response.body.choices[0].finish_reason": "stop",
        "response.body.choices[0].message": {
            "role": "assistant",
            "content": "Calling.",
            "refusal": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
    },
    "stream": {
        "response.events[1].choices[0].delta": {
            "content": "Hello",
            "refusal": "No",
            "function_call": {"name": "f", "arguments": "{}"},
            "audio": {"id": "a", "data": "QQ==", "transcript": "A", "expires_at": 1},
        },
        "response.events[2].choices[0].logprobs": {
            "content": [
                {
                    "token": "!",
                    "logprob": -0.5,
                    "bytes": [33],
                    "top_logprobs": [{"token": "!", "logprob": -0.5, "bytes": [33]}],
                }
            ],
            "refusal": None,
        },
        "response.events[2].usage": {
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "total_tokens": 2,
        },
    },
    "tools-stream": {
        "response.events[1].choices[0].delta.tool_calls[0]": {
            "index": 0,
            "id": "call_a1",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city":'},
        },
        "response.events[2].choices[0].delta.tool_calls": [
            {"index": 0, "function": {"arguments": '"Paris"}'}},
            {"index": 1, "id": "b", "type": "custom", "custom": {"name": "g", "input": "x"}},
        ],
    },
}
BASES = {name: {} for name in document()["bases"]} | {f"{k}, more": v for k, v in MORE.items()}


def places(value: Any, path: str) -> Iterator[str]:
    yield path
    steps = value.items() if isinstance(value, dict) else enumerate(value)
    for step, member in steps if isinstance(value, dict | list) else ():
        place = f"{path}[{step}]" if isinstance(step, int) else f"{path}.{step}"
        if isinstance(member, dict | list):
            yield from places(member, place)
        else:
            yield place


def all_places(name: str) -> list[str]:
    plain, changes = document()["bases"][name.removesuffix(", more")], BASES[name]
    exchange = changed(name.removesuffix(", more"), changes)
    assert exchange.request is not None
    paths = [*places(exchange.request.body, "request.body")] if exchange.request.body else []
    response = json.loads(json.dumps(plain["response"]))
    for path, value in changes.items():
        if path.startswith("response."):
            target: Any = response
            steps = path.replace("[", ".[").split(".")[1:]
            keys = [int(s[1:-1]) if s.startswith("[") else s for s in steps]
            for key in keys[:-1]:
                target = target[key]
            target[keys[-1]] = value
    for key in ("body", "events"):
        if key in response:
            paths += places(response[key], f"response.{key}")
    return [path for path in paths if path not in ("response.body", "response.events")]


def reported(exchange: Exchange) -> str:
    """The codes, each with its case, of one exchange; what else is done with it must not fail."""
    assert exchange.response is not None
    result = check_exchange(exchange, "documented", keep=True)
    if result.answer is not None and result.answer.streamed:
        json.dumps(as_completion(result.answer), default=str)
        events = str(exchange.response.body).split("\n\n")
        chunks = [json.loads(e[6:]) for e in events if e.startswith('data: {"')]
        check_exchange(Exchange(None, Response(chunks=chunks)), "compatible")
    codes = {f"{f.code}/{f.case}" if f.case else f.code for f in result.findings}
    return " ".join(sorted(codes)) or NONE


def table(name: str) -> dict[str, dict[str, str]]:
    """Place -> what is reported -> the values that it is reported for."""
    base = name.removesuffix(", more")
    out: dict[str, dict[str, str]] = {}
    for path in all_places(name):
        row: dict[str, list[str]] = {}
        for kind, value in ODD.items():
            if kind == "absent" and path.endswith("]"):
                continue
            changes = {**BASES[name], path: value}
            if kind == "absent" and path in BASES[name]:
                del changes[path]
            exchange = changed(base, changes)
            row.setdefault(reported(exchange), []).append(kind)
        out[path] = {codes: " ".join(kinds) for codes, kinds in row.items()}
    return out


@cache
def expected() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("name", BASES)
def test_what_each_odd_value_is_reported_as(name: str) -> None:
    assert table(name) == expected()[name]


if __name__ == "__main__":
    text = json.dumps({name: table(name) for name in BASES}, ensure_ascii=False, indent=1)
    FILE.write_text(text + "\n", encoding="utf-8")
