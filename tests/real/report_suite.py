"""Tests whose run gives the report in the docs; `docs/write_report_picture.py` runs them. They are
not tests of this project.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import openai
import pytest

pytestmark = pytest.mark.chatapi

SERVERS: dict[str, str] = json.loads(os.environ.get("SERVERS", "{}"))
"""The name of each model and the base URL of its server."""

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
CITIES = ("Oslo", "Lima", "Accra", "Hanoi")


@pytest.fixture(params=SERVERS)
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Ask the model of this test."""
    client = openai.OpenAI(base_url=SERVERS[request.param], api_key="sk-test", max_retries=0)

    def send(text: str, **more: Any) -> Any:
        messages = [{"role": "user", "content": text}]
        more = {"max_completion_tokens": 120, "temperature": 0.5, **more}
        if more.get("stream"):
            more["stream_options"] = {"include_usage": True}
        return client.chat.completions.create(model=request.param, messages=messages, **more)

    return send


@pytest.mark.parametrize("city", CITIES)
def test_whole(ask: Callable[..., Any], city: str) -> None:
    assert ask(f"What is the weather in {city}?").usage.completion_tokens > 0


@pytest.mark.parametrize("tokens", [60, 120, 180, 240])
@pytest.mark.parametrize("city", CITIES)
def test_stream(ask: Callable[..., Any], city: str, tokens: int) -> None:
    for _ in ask(f"Tell me a story about {city}.", stream=True, max_completion_tokens=tokens):
        pass


@pytest.mark.parametrize("city", CITIES)
def test_tool_call(ask: Callable[..., Any], city: str, chatapi: Any) -> None:
    response = ask(f"What is the weather in {city}?", tools=[TOOL], tool_choice="required")
    calls = response.choices[0].message.tool_calls or []
    chatapi.score("right tool", bool(calls) and calls[0].function.name == "get_weather")


@pytest.mark.parametrize("name", ["Ada", "Grace", "Edsger", "Barbara"])
def test_json(ask: Callable[..., Any], name: str, chatapi: Any) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
    text = ask(f"Who is {name}?", response_format=schema).choices[0].message.content or ""
    try:
        said = json.loads(text)["name"]
    except ValueError:  # cut
        said = ""
    chatapi.score("letters in names", sum(map(str.isalpha, said)) / max(len(said), 1))
