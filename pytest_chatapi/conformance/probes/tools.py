"""Probes of tool calls."""

from __future__ import annotations

from pytest_chatapi.conformance.probe import BOTH, probe
from pytest_chatapi.conformance.server import Server

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@probe(
    "tools.required",
    "`tool_choice: required` gets a call",
    modes=BOTH,
    codes="K06 C01 C02 C03 C04 C05 C06 C07",
    tokens=200,
)
def required(server: Server) -> None:
    server.chat(
        "What is the weather in Paris?",
        tools=[WEATHER],
        tool_choice="required",
        max_completion_tokens=64,
    ).accepted("tool")
