"""What tells the bodies of one API from those of another: tests for the rows of `apis`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from pytest_chatapi.contract.wire import JSON, JSONObject

__all__ = [
    "BodyTest",
    "any_of",
    "asks_anthropic",
    "asks_chat",
    "asks_gemini",
    "asks_model",
    "asks_ollama",
    "asks_responses",
    "asks_with",
    "equals",
    "fits",
    "has",
    "has_billed_units",
    "has_item",
    "is_answer_of_converse",
    "is_chat",
    "is_embedding_of_gemini",
    "is_error_of_anthropic",
    "is_error_of_responses",
    "is_list",
    "is_message_of_anthropic",
    "is_message_of_responses",
    "is_object",
    "is_transcript",
    "may_be_chat",
    "objects_in",
]

BodyTest: TypeAlias = Callable[[JSONObject], bool]


# -- tests of bodies ---------------------------------------------------------------------


def equals(key: str, *values: str) -> BodyTest:
    return lambda body: body.get(key) in values


def fits(key: str, pattern: str) -> BodyTest:
    """Whether the text under a key is this pattern."""
    match = re.compile(pattern).fullmatch
    return lambda body: isinstance(body.get(key), str) and match(body[key]) is not None


def has(*keys: str) -> BodyTest:
    return lambda body: all(key in body for key in keys)


def any_of(*tests: BodyTest) -> BodyTest:
    return lambda body: any(test(body) for test in tests)


def is_object(*names: str) -> BodyTest:
    """Whether ``object`` is one of these names, or begins with one and a dot."""
    return fits("object", rf"(?:{'|'.join(map(re.escape, names))})(?:\..+)?")


def objects_in(value: JSON) -> list[JSONObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def has_item(key: str, *names: str) -> BodyTest:
    """Whether an item of the list under a key has one of these names."""
    return lambda body: any(not item.keys().isdisjoint(names) for item in objects_in(body.get(key)))


def is_chat(body: JSONObject) -> bool:
    """Whether this is a completion or a chunk without doubt, however broken it is."""
    kind = body.get("object")
    if isinstance(kind, str) and kind.startswith("chat.completion"):
        return kind != "chat.completion.deleted"
    return has_item("choices", "message", "delta")(body)


_CHAT_KEYS = {"choices", "system_fingerprint", "finish_reason", "delta", "role"}
_ERROR_KEYS = {"error", "errors", "detail"}
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def may_be_chat(body: JSONObject) -> bool:
    """Whether this is what is left of a broken completion, or an error of any server."""
    if not body or not _CHAT_KEYS.isdisjoint(body) or not _ERROR_KEYS.isdisjoint(body):
        return True
    usage = body.get("usage")
    if "model" in body and ("id" in body or "usage" in body):
        return True
    if body.get("object") == "error" or (isinstance(body.get("message"), dict | str)):
        return True
    return isinstance(usage, dict) and any(key in usage for key in _COUNTS)


def is_list(body: JSONObject) -> bool:
    return body.get("object") == "list"


_TRANSCRIPT = {"text", "usage", "logprobs", "task", "language", "duration", "segments", "words"}


def is_transcript(body: JSONObject) -> bool:
    return isinstance(body.get("text"), str) and body.keys() <= _TRANSCRIPT


def is_message_of_anthropic(body: JSONObject) -> bool:
    if "choices" in body or has_type(body.get("content"), "output_text"):
        return False
    if body.get("type") == "message":
        return True
    is_message = "role" in body or "content" in body
    return is_message and ("stop_reason" in body or has_type(body.get("content"), "tool_use"))


def is_message_of_responses(body: JSONObject) -> bool:
    return body.get("type") == "message" and has_type(body.get("content"), "output_text")


def has_type(blocks: JSON, kind: str) -> bool:
    return isinstance(blocks, list) and any(b.get("type") == kind for b in objects_in(blocks))


def is_error_of_anthropic(body: JSONObject) -> bool:
    return body.get("type") == "error" and isinstance(body.get("error"), dict)


def is_error_of_responses(body: JSONObject) -> bool:
    return body.get("type") == "error" and "sequence_number" in body


def is_answer_of_converse(body: JSONObject) -> bool:
    output = body.get("output")
    return isinstance(output, dict) and "message" in output and "choices" not in body


def has_billed_units(body: JSONObject) -> bool:
    usage = body.get("usage")
    return isinstance(usage, dict) and "billed_units" in usage


def is_embedding_of_gemini(body: JSONObject) -> bool:
    embedding = body.get("embedding")
    return isinstance(embedding, dict) and "values" in embedding


# -- tests of requests -------------------------------------------------------------------


def asks_chat(body: JSONObject) -> bool:
    return isinstance(body.get("messages"), list)


# Documented for chat completions only, so a request with one of them is not another API's.
_CHAT_ONLY = {"max_completion_tokens", "response_format", "n", "stream_options", "logprobs"}
_BLOCKS = {"tool_use", "tool_result", "thinking"}


def asks_anthropic(body: JSONObject) -> bool:
    if "anthropic_version" in body:
        return True
    if not asks_chat(body) or not _CHAT_ONLY.isdisjoint(body):
        return False
    if "max_tokens" in body and ("system" in body or "stop_sequences" in body):
        return True
    if has_item("tools", "input_schema")(body):
        return True
    blocks = [
        b
        for message in body["messages"]
        if isinstance(message, dict)
        for b in objects_in(message.get("content"))
    ]
    return any(block.get("type") in _BLOCKS for block in blocks)


def asks_gemini(body: JSONObject) -> bool:
    contents = body.get("contents")
    if "messages" in body or not isinstance(contents, list):
        return isinstance(contents, dict) and "parts" in contents
    return True


def asks_ollama(body: JSONObject) -> bool:
    if not (asks_chat(body) or "prompt" in body or "input" in body):
        return False
    return "keep_alive" in body or isinstance(body.get("options"), dict)


_RESPONSES_ONLY = {
    "background",
    "conversation",
    "include",
    "instructions",
    "max_output_tokens",
    "previous_response_id",
    "reasoning",
    "store",
    "stream",
    "text",
    "tools",
    "truncation",
}


def asks_responses(body: JSONObject) -> bool:
    if "input" not in body or "messages" in body:
        return False
    return not _RESPONSES_ONLY.isdisjoint(body) or bool(objects_in(body["input"]))


def asks_with(key: str, *others: str) -> BodyTest:
    """Whether a request without messages has a key, and one of some others if there are any."""

    def test(body: JSONObject) -> bool:
        if key not in body or "messages" in body:
            return False
        return not others or any(other in body for other in others)

    return test


def asks_model(key: str, *names: str) -> BodyTest:
    """Whether a request without messages has a key, and the name of its model one of these."""

    def test(body: JSONObject) -> bool:
        model = str(body.get("model")).lower()
        return key in body and "messages" not in body and any(name in model for name in names)

    return test
