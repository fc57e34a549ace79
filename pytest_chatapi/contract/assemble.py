"""Joins chunks, or reads a message, into what the rules about a response look at.

A choice is folded the same way from one message and from a thousand deltas, so every rule about
one is written once. Text is scanned as it arrives and kept only where a rule or a caller needs
it: memory stays flat with the length of a stream.
"""

from __future__ import annotations

from pytest_chatapi.contract.ask import KINDS, Ask, ToolKey
from pytest_chatapi.contract.markup import LONGEST_MARKUP, TOOL_MARKUP, Leaks, may_leak
from pytest_chatapi.contract.wire import JSON, JSONObject

__all__ = ["Answer", "Call", "Choice", "Text", "as_completion", "read_message"]

# Pieces of text that wait to be scanned together.
_SCANNED_TOGETHER = 512


class Text:
    """Text that arrives in pieces.

    Attributes:
        any: there is some.
        broken: it contains U+FFFD.
        is_ascii: it has no other characters.
        leaks: its markers of reasoning and templates; ``None`` where none can be in it.
        length: characters scanned so far: all of them when it is finished.
        markup: the first raw tool markup in it, or empty.
        stops: the stop sequences to look for.
        stopped: the last of them that is in it, ``None`` where none is.
    """

    __slots__ = (
        "_is_blank",
        "_kept",
        "_overlap",
        "_pieces",
        "_tail",
        "any",
        "broken",
        "is_ascii",
        "leaks",
        "length",
        "markup",
        "stopped",
        "stops",
    )

    def __init__(self, keep: bool, stops: tuple[str, ...] = ()) -> None:
        self._pieces: list[str] = []
        self._kept: list[str] | None = [] if keep else None
        self._tail = ""
        # What may be split between two scans.
        self._overlap = max(LONGEST_MARKUP, *map(len, stops)) if stops else LONGEST_MARKUP
        self._is_blank = True
        self.any = False
        self.broken = False
        self.is_ascii = True
        self.leaks: Leaks | None = None
        self.length = 0
        self.markup = ""
        self.stops = stops
        self.stopped: str | None = None

    def add(self, piece: str) -> None:
        if piece:
            self.any = True
            self._pieces.append(piece)
            if len(self._pieces) >= _SCANNED_TOGETHER:
                self._scan(last=False)

    def finish(self) -> None:
        """Scans the pieces that are still waiting: the text is complete."""
        if self._pieces:
            self._scan(last=True)
        elif self.leaks is not None:
            self.leaks.scan("", last=True)

    def _scan(self, *, last: bool) -> None:
        joined = "".join(self._pieces)
        self._pieces = []
        self.length += len(joined)
        if self._kept is not None:
            self._kept.append(joined)
        window = self._tail + joined
        if not joined.isascii():
            self.is_ascii = False
            self.broken = self.broken or "\ufffd" in joined
        if self.stopped is None:
            for stop in self.stops:
                if stop in window:
                    self.stopped = stop
        # Most text has no such character: looking for it is ten times faster than the pattern.
        if ("<" in window or ("[" in window and "[TOOL" in window)) and not self.markup:
            match = TOOL_MARKUP.search(window)
            self.markup = match[0] if match else ""
        if self.leaks is None and may_leak(joined, last=last):
            line = self._tail[self._tail.rfind("\n") + 1 :]
            self.leaks = Leaks(not self._is_blank, line)
        if self.leaks is not None:
            self.leaks.scan(joined, last=last)
        elif not last and self._is_blank:
            self._is_blank = joined.isspace()
        self._tail = window[-self._overlap :]

    def __str__(self) -> str:
        """The whole text, if it was kept.

        Raises:
            ValueError: it was not.
        """
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
    """One tool call.

    Attributes:
        path: JSON path in the joined response.
        typed: the ``type`` that was sent.
        kind: ``function``, ``custom``, or ``function_call`` for the deprecated member: what the
            call holds, or what it is by its type as long as it holds nothing.
        held: it holds the member of its kind.
        arguments: a function's arguments, or a custom tool's input; a list of pieces in a stream.
        broken: a piece of the arguments is not text.
        chunk: number of the chunk that began it.
    """

    __slots__ = ("arguments", "broken", "chunk", "held", "id", "kind", "name", "path", "typed")

    def __init__(self, path: str) -> None:
        self.path = path
        self.id: JSON = None
        self.typed: JSON = None
        self.kind = "function"
        self.held = False
        self.name: JSON = None
        self.arguments: JSON = None
        self.broken = False
        self.chunk: int | None = None

    @property
    def key(self) -> ToolKey | None:
        """The tool that is called; ``None`` where the name or the type is broken."""
        if not isinstance(self.name, str) or not self.name or self.contradicts:
            return None
        return self.kind, self.name

    @property
    def contradicts(self) -> bool:
        """Whether the type names another member than the one that was sent."""
        return self.held and self.typed in KINDS and self.typed != self.kind

    @property
    def text(self) -> str | None:
        """The arguments or the input, joined; ``None`` where they are not text."""
        if self.broken:
            return None
        if isinstance(self.arguments, list):
            self.arguments = "".join(self.arguments)
        return self.arguments if isinstance(self.arguments, str) else None


class Choice:
    """One choice of a response.

    Attributes:
        path: JSON path of its message in the joined response.
        calls: by index.
        citations: the annotations, as they were sent.
        finish: the ``finish_reason``.
        stop_reason: what some servers say beside it: the stop string, or the id of the token.
        ended: they say there that it was the model's own end token.
        reasoned: there is text of the model's reasoning.
        parts: something in it is neither text nor a list of calls, so nothing is called missing.
        logprobs: it has an object of log probabilities.
        has_tokens: ... with a list of tokens in it.
        sound: the pieces of the audio's data and transcript; kept for `as_completion` only.
        tokens: the object of log probabilities; kept for `as_completion` only.
    """

    __slots__ = (
        "audio",
        "calls",
        "citations",
        "content",
        "ended",
        "finish",
        "function_call",
        "has_tokens",
        "index",
        "logprobs",
        "parts",
        "path",
        "reasoned",
        "refusal",
        "role",
        "sound",
        "stop_reason",
        "tokens",
    )

    def __init__(self, index: int, path: str, content: Text, refusal: Text) -> None:
        self.index = index
        self.path = path
        self.role: JSON = None
        self.content = content
        self.refusal = refusal
        self.calls: dict[int, Call] = {}
        self.citations: list[JSON] = []
        self.function_call: Call | None = None
        self.finish: JSON = None
        self.stop_reason: JSON = None
        self.ended = False
        self.reasoned = False
        self.audio: JSON = None
        self.parts = False
        self.logprobs = False
        self.has_tokens = False
        self.sound: dict[str, list[str]] = {}
        self.tokens: JSONObject | None = None

    @property
    def called(self) -> bool:
        return bool(self.calls) or self.function_call is not None

    @property
    def all_calls(self) -> list[Call]:
        legacy = self.function_call
        return [*self.calls.values()] if legacy is None else [*self.calls.values(), legacy]

    def read_reasoning(self, message: JSONObject) -> None:
        """Notes whether a message, or a delta, has text in one of the members for reasoning."""
        for text in (message.get("reasoning"), message.get("reasoning_content")):
            if text and type(text) is str:
                self.reasoned = True

    def read_stop_reason(self, raw: JSONObject) -> None:
        """Takes what ended the text from the choice that has the ``finish_reason``."""
        if "stop_reason" in raw:  # vLLM
            reason = raw["stop_reason"]
        elif "matched_stop" in raw:  # SGLang
            reason = raw["matched_stop"]
        else:
            return
        self.stop_reason = reason if type(reason) in (str, int) else None
        self.ended = reason is None

    def keep_tokens(self, member: str, tokens: list[JSON] | None) -> None:
        """Adds the tokens of one chunk to those of ``logprobs.content`` or ``.refusal``."""
        if self.tokens is None:
            self.tokens = {}
        kept = self.tokens.setdefault(member, None)
        if tokens is not None:
            if kept is None:
                self.tokens[member] = [*tokens]
            else:
                kept.extend(tokens)


class Answer:
    """What a model answered, as far as the rules look at it: of one body, or of a stream.

    Attributes:
        streamed: it came as a stream.
        choices: by index.
        echo: those members that `Ask.echoes` names, where they are not null.
        usage: the usage object, ``None`` where there is none.
        usage_chunk: number of the chunk that had it.
        whole: it came to its end, so what it lacks is missing, and not merely still to come.
        frame: id, created, model and the like of the first chunk, for `as_completion`.
        last: the body, or the last chunk: what servers add to the contract is in it.
        ask: the request.
    """

    __slots__ = (
        "ask",
        "choices",
        "echo",
        "frame",
        "last",
        "model",
        "streamed",
        "usage",
        "usage_chunk",
        "whole",
    )

    def __init__(self, streamed: bool) -> None:
        self.streamed = streamed
        self.choices: dict[int, Choice] = {}
        self.echo: JSONObject = {}
        self.usage: JSONObject | None = None
        self.usage_chunk: int | None = None
        self.model: JSON = None
        self.whole = True
        self.frame: JSONObject = {}
        self.last: JSONObject = {}
        self.ask = Ask.UNKNOWN


def read_message(choice: Choice, message: JSONObject) -> None:
    """Folds a whole message into a choice."""
    choice.role = message.get("role")
    for name, text in (("content", choice.content), ("refusal", choice.refusal)):
        value = message.get(name)
        if isinstance(value, str):
            text.add(value)
            text.finish()
        elif value is not None:
            choice.parts = True
    choice.audio = message.get("audio")
    if isinstance(citations := message.get("annotations"), list):
        choice.citations = citations
    choice.read_reasoning(message)
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        for position, call in enumerate(calls):
            if isinstance(call, dict):
                choice.calls[position] = _read_call(call, f"{choice.path}.tool_calls[{position}]")
            else:
                choice.parts = True
    elif calls is not None:
        choice.parts = True
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        choice.function_call = call = Call(f"{choice.path}.function_call")
        call.kind, call.held = "function_call", True
        _read_function(call, legacy, "arguments")


def _read_call(raw: JSONObject, path: str) -> Call:
    call = Call(path)
    call.id, call.typed = raw.get("id"), raw.get("type")
    call.kind = call.typed if call.typed in KINDS else "function"
    inner = raw.get(call.kind)
    if not isinstance(inner, dict):
        other = "function" if call.kind == "custom" else "custom"
        if isinstance(raw.get(other), dict):
            call.kind, inner = other, raw[other]
    if isinstance(inner, dict):
        call.held = True
        _read_function(call, inner, "input" if call.kind == "custom" else "arguments")
    return call


def _read_function(call: Call, raw: JSONObject, key: str) -> None:
    text = raw.get(key)
    call.name, call.arguments = raw.get("name"), text if isinstance(text, str) else None


def as_completion(answer: Answer) -> JSONObject:
    """The joined chunks in the shape of a ``chat.completion``."""
    frame = answer.frame
    completion: JSONObject = {
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


def _choice(choice: Choice) -> JSONObject:
    content, refusal = str(choice.content), str(choice.refusal)
    message: JSONObject = {
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
        sound = {key: "".join(pieces) for key, pieces in choice.sound.items()}
        message["audio"] = {**choice.audio, **sound}
    return {
        "index": choice.index,
        "message": message,
        "logprobs": choice.tokens,
        "finish_reason": choice.finish,
    }


def _call(call: Call) -> JSONObject:
    text_key = "input" if call.kind == "custom" else "arguments"
    inner = {"name": call.name, text_key: call.text or ""}
    return {"id": call.id, "type": call.typed or call.kind, call.kind: inner}
