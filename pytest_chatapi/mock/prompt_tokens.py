"""The size of a prompt in tokens.

Approximated, since there is no tokenizer. Text counts in words of up to ten letters with the space
before them, in runs of punctuation, and in numbers of three digits; tools as what the service
writes into the prompt for them, declarations in TypeScript; a JSON Schema as its text. For most
recorded prompts in English this is within 5% of what the service counted, for nearly all in 20%.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.mock.media_tokens import FILE_TOKENS, audio_tokens, image_tokens
from pytest_chatapi.mock.wire_form import compact

__all__ = ["PromptTokens", "prompt_tokens", "text_tokens"]

_PIECE = re.compile(
    r" ?(?:[A-Z]?[a-z]{1,10}|[A-Z]{1,4})(?:'(?:s|t|re|ve|m|ll|d)\b)?"
    r"|\d{1,3}"
    r"| ?[!-/:-@\[-`{-~]{1,4}[\r\n]*"
    r"|\s*[\r\n]+"
    r"|[ \t]+"
    r"|[\u00a1-\u2e7f]{1,3}"  # letters of other alphabets; those of Asia count alone
    r"|\S"
)
_SAMPLE = 8192  # characters of a long text that are looked at

_MESSAGE_TOKENS = 4  # around each message
_PROMPT_TOKENS = 3  # around the whole prompt
_CALL_TOKENS = 7  # around each tool call
_SCHEMA_TOKENS = 10  # around the schema of a response_format
_DEPTH = 8  # to which the schema of a parameter is declared

_TOOLS_HEAD = "# Tools\n\n## functions\n\nnamespace functions {\n\n"
_TOOLS_END = "} // namespace functions\n\n"


class PromptTokens(NamedTuple):
    """Tokens of a request, and how many of them are of sound and of images."""

    total: int
    audio: int
    image: int = 0


def text_tokens(text: str) -> int:
    """Tokens of a text. The beginning of a long one stands for all of it."""
    if len(text) > _SAMPLE:
        return _text_tokens(text[:_SAMPLE]) * len(text) // _SAMPLE
    return _text_tokens(text)


@lru_cache(maxsize=512)
def _text_tokens(text: str) -> int:
    return len(_PIECE.findall(text))


def prompt_tokens(body: JSONObject) -> PromptTokens:
    """The size of a request: its messages, tools and schema."""
    total, audio, image = _PROMPT_TOKENS, 0, 0
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        total += _MESSAGE_TOKENS
        if not isinstance(message, dict):
            continue
        content = message.get("content")
        if isinstance(content, str):
            total += text_tokens(content)
        elif isinstance(content, list):
            for part in content:
                of_part = _part_tokens(part, body.get("model"))
                total += of_part.total
                audio += of_part.audio
                image += of_part.image
        if isinstance(name := message.get("name"), str):
            total += 1 + text_tokens(name)
        if message.get("tool_calls") or message.get("function_call"):
            total += _calls_tokens(message)
    functions = [*_functions(body.get("tools")), *_functions(body.get("functions"))]
    if functions:
        total += _tools_tokens(compact(functions))
    format_ = body.get("response_format")
    if isinstance(format_, dict) and isinstance(schema := format_.get("json_schema"), dict):
        total += _SCHEMA_TOKENS + text_tokens(compact(schema.get("schema")))
    return PromptTokens(total, audio, image)


def _part_tokens(part: JSON, model: JSON) -> PromptTokens:
    if not isinstance(part, dict):
        return PromptTokens(0, 0)
    kind = part.get("type")
    member = part.get(kind) if isinstance(kind, str) else None
    if kind == "image_url" and isinstance(member, dict):
        count = image_tokens(member.get("url"), member.get("detail"), model)
        return PromptTokens(count, 0, count)
    if kind == "input_audio" and isinstance(member, dict):
        sound, text = audio_tokens(member.get("data"), member.get("format"))
        return PromptTokens(sound + text, sound)
    said = part.get("text", part.get("refusal"))
    if isinstance(said, str):
        return PromptTokens(text_tokens(said), 0)
    return PromptTokens(FILE_TOKENS, 0)


def _calls_tokens(message: JSONObject) -> int:
    calls = message.get("tool_calls")
    calls = calls if isinstance(calls, list) else []
    members = [call.get(call.get("type")) for call in calls if isinstance(call, dict)]
    total = 0
    for member in [*members, message.get("function_call")]:
        if isinstance(member, dict):
            texts = (member.get("name"), member.get("arguments", member.get("input")))
            total += _CALL_TOKENS + sum(text_tokens(t) for t in texts if isinstance(t, str))
    return total


# -- tools -------------------------------------------------------------------------------


def _functions(tools: JSON) -> Iterator[JSONObject]:
    """The functions of ``tools`` or ``functions``; custom tools count as one without parameters."""
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict):
            function = tool.get("function", tool.get("custom", tool))
            if isinstance(function, dict):
                yield function


@lru_cache(maxsize=64)
def _tools_tokens(functions: str) -> int:
    text = "".join(map(_declaration, json.loads(functions)))
    return text_tokens(_TOOLS_HEAD + text + _TOOLS_END)


def _declaration(function: JSONObject) -> str:
    """A function as the model sees it."""
    parameters = function.get("parameters")
    members = _members(parameters, 0) if isinstance(parameters, dict) else ""
    argument = f"_: {{\n{members}}}" if members else ""
    return f"{_comment(function)}type {function.get('name')} = ({argument}) => any;\n\n"


def _members(schema: JSONObject, depth: int) -> str:
    properties, required = schema.get("properties"), schema.get("required")
    required = required if isinstance(required, list) else []
    lines = []
    for name, member in properties.items() if isinstance(properties, dict) else ():
        default = ""
        if isinstance(member, dict):
            lines.append(_comment(member))
            if "default" in member:
                default = f" // default: {compact(member['default'])}"
        mark = "" if name in required else "?"
        lines.append(f"{name}{mark}: {_type(member, depth)},{default}\n")
    return "".join(lines)


def _type(schema: JSON, depth: int) -> str:
    if not isinstance(schema, dict) or depth > _DEPTH:
        return "any"
    for key in ("anyOf", "oneOf"):
        if isinstance(branches := schema.get(key), list):
            return " | ".join(_type(branch, depth + 1) for branch in branches)
    if isinstance(values := schema.get("enum"), list):
        return " | ".join(map(compact, values))
    if isinstance(reference := schema.get("$ref"), str):
        return reference.rpartition("/")[2]
    kind = schema.get("type")
    if kind == "array":
        return f"{_type(schema.get('items'), depth + 1)}[]"
    members = _members(schema, depth + 1)
    if members:
        return f"{{\n{members}}}"
    if isinstance(kind, list):
        return " | ".join(map(str, kind))
    return "number" if kind == "integer" else str(kind or "any")


def _comment(schema: JSONObject) -> str:
    description = schema.get("description")
    return f"// {description}\n" if isinstance(description, str) and description else ""
