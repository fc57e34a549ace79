"""Joins chunks, or reads a message, into what the rules about an answer need.

A choice is folded the same way from one message and from a thousand deltas, so every rule
about an answer is written once. Text is scanned as it comes and kept only where somebody
asks for it: memory stays flat with the length of a stream.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["Answer", "Call", "Choice", "Text", "as_completion"]

# What models put around calls when the server did not parse them.
_MARKUP = re.compile(
    r"<tool_call>|</tool_call>|\[TOOL_CALLS\]|<\|python_tag\|>|<\|tool_calls?(?:_begin|_start)?\|>"
    r"|<｜tool▁calls?▁begin｜>|<function=[\w.-]+>|<\|tool▁call|<function_calls?>"
)
_LONGEST_MARKUP = 64


class Text:
    """Text that comes in pieces."""

    __slots__ = (
        "_kept",
        "_overlap",
        "_pieces",
        "_tail",
        "any",
        "broken",
        "markup",
        "stopped",
        "stops",
    )

    def __init__(self, keep: bool, stops: tuple[str, ...] = ()) -> None:
        self._pieces: list[str] = []
        self._kept: list[str] | None = [] if keep else None
        self._tail = ""
        self._overlap = max(_LONGEST_MARKUP, *map(len, stops)) if stops else _LONGEST_MARKUP
        self.any = False
        self.broken = False  # holds U+FFFD
        self.markup = ""
        self.stops = stops
        self.stopped: str | None = None

    def add(self, piece: str) -> None:
        if piece:
            self.any = True
            self._pieces.append(piece)
            if len(self._pieces) >= 512:
                self.finish()

    def finish(self) -> None:
        """Scans what is still waiting."""
        if not self._pieces:
            return
        joined = "".join(self._pieces)
        self._pieces = []
        if self._kept is not None:
            self._kept.append(joined)
        window = self._tail + joined
        if "\ufffd" in joined:
            self.broken = True
        if self.stopped is None:
            for stop in self.stops:
                if stop in window:
                    self.stopped = stop
        # Most text has no such character: looking for it is ten times faster than the pattern.
        if ("<" in window or "[TOOL" in window) and not self.markup:
            found = _MARKUP.search(window)
            self.markup = found[0] if found else ""
        self._tail = window[-self._overlap :]

    def __str__(self) -> str:
        """The whole text; only where it was kept."""
        self.finish()
        if self._kept is None:
            raise ValueError("this text was not kept")
        if len(self._kept) > 1:
            self._kept = ["".join(self._kept)]
        return self._kept[0] if self._kept else ""

    @property
    def kept(self) -> bool:
        return self._kept is not None


class Call:
    """One tool call: `arguments` is a function's text, or a custom tool's input."""

    __slots__ = ("arguments", "broken", "chunk", "id", "kind", "name", "path", "typed")

    def __init__(self, path: str) -> None:
        self.path = path
        self.id: Any = None
        self.typed: Any = None
        self.kind = "function"
        self.name: Any = None
        self.arguments: Any = None
        self.broken = False  # a fragment of the arguments is no text
        self.chunk: int | None = None

    @property
    def text(self) -> str | None:
        """The arguments or the input, joined; ``None`` where they are no text."""
        if self.broken:
            return None
        if isinstance(self.arguments, list):
            self.arguments = "".join(self.arguments)
        return self.arguments if isinstance(self.arguments, str) else None


class Choice:
    """One choice of an answer."""

    __slots__ = (
        "audio",
        "calls",
        "content",
        "finish",
        "function_call",
        "index",
        "logprobs",
        "parts",
        "path",
        "refusal",
        "role",
        "tokens",
    )

    def __init__(self, index: int, path: str, content: Text, refusal: Text) -> None:
        self.index = index
        self.path = path
        self.role: Any = None
        self.content = content
        self.refusal = refusal
        self.calls: dict[int, Call] = {}
        self.function_call: Call | None = None
        self.finish: Any = None
        self.audio: Any = None
        # Something is there that is no text and no list of calls: nothing is called missing.
        self.parts = False
        self.logprobs = False  # an object of log probabilities came
        self.tokens: dict[str, Any] | None = None  # kept for `as_completion` only

    def keep_tokens(self, member: str, tokens: list[Any] | None) -> None:
        """Adds the tokens of one chunk to those of ``logprobs.content`` or ``.refusal``."""
        if self.tokens is None:
            self.tokens = {}
        kept = self.tokens.setdefault(member, None)
        if tokens is not None:
            if kept is None:
                self.tokens[member] = [*tokens]
            else:
                kept.extend(tokens)

    @property
    def called(self) -> bool:
        return bool(self.calls) or self.function_call is not None


class Answer:
    """A completion as far as the rules look at it.

    Attributes:
        choices: by index.
        usage: the usage object, ``None`` where there is none.
        whole: it came to its end, so that what lacks is missing and not merely still to come.
    """

    __slots__ = ("choices", "frame", "model", "streamed", "usage", "usage_chunk", "whole")

    def __init__(self, streamed: bool) -> None:
        self.streamed = streamed
        self.choices: dict[int, Choice] = {}
        self.usage: dict[str, Any] | None = None
        self.usage_chunk: int | None = None
        self.model: Any = None
        self.whole = True
        self.frame: dict[str, Any] = {}


def read_message(choice: Choice, message: dict[str, Any]) -> None:
    """Folds a whole message into a choice."""
    choice.role = message.get("role")
    for name, text in (("content", choice.content), ("refusal", choice.refusal)):
        value = message.get(name)
        if value is None:
            continue
        if isinstance(value, str):
            text.add(value)
            text.finish()
        else:
            choice.parts = True
    choice.audio = message.get("audio")
    calls = message.get("tool_calls")
    if calls is not None and not (isinstance(calls, list) and all(map(_is_object, calls))):
        choice.parts = True
    for position, raw in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(raw, dict):
            call = Call(f"{choice.path}.tool_calls[{position}]")
            call.id, call.typed = raw.get("id"), raw.get("type")
            call.kind = "custom" if raw.get("type") == "custom" else "function"
            inner = raw.get(call.kind)
            if isinstance(inner, dict):
                call.name = inner.get("name")
                given = inner.get("input" if call.kind == "custom" else "arguments")
                call.arguments = given if isinstance(given, str) else None
            choice.calls[position] = call
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        call = Call(f"{choice.path}.function_call")
        given = legacy.get("arguments")
        call.name, call.arguments = legacy.get("name"), given if isinstance(given, str) else None
        choice.function_call = call


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def as_completion(answer: Answer) -> dict[str, Any]:
    """The joined chunks in the shape of a ``chat.completion``."""
    frame = answer.frame
    completion: dict[str, Any] = {
        "id": frame.get("id"),
        "object": "chat.completion",
        "created": frame.get("created"),
        "model": frame.get("model"),
        "choices": [_choice(answer.choices[i]) for i in sorted(answer.choices)],
    }
    for key in ("service_tier", "system_fingerprint", "moderation"):
        if key in frame:
            completion[key] = frame[key]
    if answer.usage is not None:
        completion["usage"] = answer.usage
    return completion


def _choice(choice: Choice) -> dict[str, Any]:
    content, refusal = str(choice.content), str(choice.refusal)
    message: dict[str, Any] = {
        "role": choice.role,
        "content": content if content or not (choice.called or refusal or choice.audio) else None,
        "refusal": refusal or None,
    }
    if choice.calls:
        message["tool_calls"] = [_call(choice.calls[i]) for i in sorted(choice.calls)]
    if choice.function_call is not None:
        call = choice.function_call
        message["function_call"] = {"name": call.name, "arguments": call.text or ""}
    if choice.audio is not None:
        message["audio"] = {
            k: "".join(v) if isinstance(v, list) else v for k, v in choice.audio.items()
        }
    return {
        "index": choice.index,
        "message": message,
        "logprobs": choice.tokens,
        "finish_reason": choice.finish,
    }


def _call(call: Call) -> dict[str, Any]:
    inner = {"name": call.name, "input" if call.kind == "custom" else "arguments": call.text or ""}
    return {"id": call.id, "type": call.typed or call.kind, call.kind: inner}
