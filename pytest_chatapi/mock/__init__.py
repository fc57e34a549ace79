"""Responses without a server: builders of replies, and the mock that sends them.

from pytest_chatapi.mock import text, tool_call

def test_loop(chatapi_mock):
    chatapi_mock.script([tool_call("get_weather", {"city": "Paris"}), text("It is sunny.")])
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_chatapi.mock.builders import (
    BUILDERS,
    audio,
    choices,
    content_filter,
    custom_tool_call,
    length_cut,
    reasoning,
    refusal,
    structured,
    text,
    tool_call,
    tool_calls,
)
from pytest_chatapi.mock.embeddings import embeddings
from pytest_chatapi.mock.replies import Reply
from pytest_chatapi.mock.wire_form import wire

if TYPE_CHECKING:
    from pytest_chatapi.mock.chat_mock import ChatMock

__all__ = [
    "BUILDERS",
    "ChatMock",
    "Reply",
    "audio",
    "choices",
    "content_filter",
    "custom_tool_call",
    "embeddings",
    "length_cut",
    "reasoning",
    "refusal",
    "structured",
    "text",
    "tool_call",
    "tool_calls",
    "wire",
]


def __getattr__(name: str) -> object:
    if name == "ChatMock":  # brings respx with it
        from pytest_chatapi.mock.chat_mock import ChatMock

        return ChatMock
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
