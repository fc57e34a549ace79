"""A reader of streams that is right, and copies that are wrong in one way each. Not a test."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx

__all__ = ["MUTANTS", "Reader", "consumer_of"]

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city", "days"],
                "additionalProperties": False,
            },
        },
    }
    for name in ("get_weather", "get_traffic")
]
_BODY = {
    "model": "gpt-5.2",
    "messages": [{"role": "user", "content": "What is the weather in Oslo?"}],
    "stream": True,
}
BODY = {**_BODY, "tools": TOOLS, "stream_options": {"include_usage": True}}
TWO = {**_BODY, "n": 2}


_LINE_END = re.compile("\r\n|\r|\n")


class Reader:
    """Reads a stream of Chat Completions; what a copy may get wrong is a method of its own."""

    def __init__(self) -> None:
        self.choices: dict[int, dict[str, Any]] = {}
        self.usage: Any = None
        self.is_done = False

    # -- events: HTML standard, 9.2.6 ------------------------------------------------------

    def lines(self, pieces: Iterable[bytes]) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        pending, first, after_cr = "", True, False
        for piece in pieces:
            text = decoder.decode(piece)
            if not text:
                continue
            if first:
                text, first = text.removeprefix("\ufeff"), False
            text = text.removeprefix("\n") if after_cr else text
            after_cr = text.endswith("\r")
            *lines, pending = _LINE_END.split(pending + text)
            yield from lines

    def events(self, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
        kind, data = "", []
        for line in lines:
            if not line:
                if data:
                    yield kind, "\n".join(data)
                kind, data = "", []
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name == "event":
                kind = value

    # -- chunks ----------------------------------------------------------------------------

    def read(self, pieces: Iterable[bytes]) -> dict[str, Any]:
        for kind, data in self.events(self.lines(pieces)):
            if data == "[DONE]":
                self.is_done = True
                break
            self.chunk(kind, json.loads(data))
        return self.result()

    def chunk(self, kind: str, chunk: dict[str, Any]) -> None:
        if chunk.get("error") or kind == "error":
            raise RuntimeError(f"error event: {chunk}")
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk.get("choices") or ():
            self.choice(choice)

    def choice(self, choice: dict[str, Any]) -> None:
        index = choice["index"]
        new = {"content": "", "refusal": "", "calls": {}, "finish_reason": None}
        mine = self.choices.setdefault(index, new)
        self.delta(mine, choice.get("delta") or {})
        mine["finish_reason"] = choice.get("finish_reason") or mine["finish_reason"]

    def delta(self, mine: dict[str, Any], delta: dict[str, Any]) -> None:
        mine["content"] += delta.get("content") or ""
        mine["refusal"] += delta.get("refusal") or ""
        for call in delta.get("tool_calls") or ():
            self.call(mine["calls"], call)

    def call(self, calls: dict[Any, Any], call: dict[str, Any]) -> None:
        mine = calls.setdefault(call["index"], {"id": "", "name": "", "arguments": ""})
        function = call.get("function") or {}
        mine["id"] = call.get("id") or mine["id"]
        mine["name"] = function.get("name") or mine["name"]
        mine["arguments"] += function.get("arguments") or ""

    def is_complete(self) -> bool:
        return bool(self.choices) and all(c["finish_reason"] for c in self.choices.values())

    def result(self) -> dict[str, Any]:
        if not self.is_complete():
            raise RuntimeError("the stream ended early")
        choices = [self.choices[index] for index in sorted(self.choices)]
        for choice in choices:
            calls = choice["calls"]
            choice["calls"] = [calls[key] for key in sorted(calls)]
            for call in choice["calls"]:
                call["arguments"] = json.loads(call["arguments"])
        return {"choices": choices, "usage": self.usage}


def consumer_of(reader: Callable[[], Reader], body: dict[str, Any]) -> Callable[[], Any]:
    """A function that sends a request and reads the response with a new reader."""
    client = httpx.Client(base_url="https://api.openai.com/v1")

    def consume() -> Any:
        with client.stream("POST", "/chat/completions", json=body) as response:
            response.raise_for_status()
            return reader().read(response.iter_bytes())

    return consume


# -- what readers get wrong ------------------------------------------------------------------


MUTANTS: dict[str, tuple[type[Reader], dict[str, Any]]] = {}
"""Each wrong reader by its name, with the request for which it is wrong."""


def _wrong(body: dict[str, Any] = BODY) -> Callable[[type[Reader]], type[Reader]]:
    def register(reader: type[Reader]) -> type[Reader]:
        MUTANTS[reader.__name__] = reader, body
        return reader

    return register


def _blocks(text: str, end: str) -> Iterator[str]:
    for block in text.split(end):
        yield from [*block.split("\n"), ""]


def _parsable(events: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for kind, data in events:
        try:
            json.loads(data if data != "[DONE]" else "0")
        except ValueError:
            continue
        yield kind, data


@_wrong()
class SplitsOnBlankLinesOnly(Reader):
    def lines(self, pieces: Iterable[bytes]) -> Iterator[str]:
        return _blocks(b"".join(pieces).decode().removeprefix("\ufeff"), "\n\n")


@_wrong()
class DecodesEachPiece(Reader):
    def lines(self, pieces: Iterable[bytes]) -> Iterator[str]:
        return super().lines(piece.decode("utf-8", "ignore").encode() for piece in pieces)


@_wrong()
class DecodesEachPieceStrictly(Reader):
    def lines(self, pieces: Iterable[bytes]) -> Iterator[str]:
        return super().lines(piece.decode().encode() for piece in pieces)


@_wrong()
class DecodesLatin1(Reader):
    def lines(self, pieces: Iterable[bytes]) -> Iterator[str]:
        return super().lines(piece.decode("latin-1").encode() for piece in pieces)


@_wrong()
class SplitsLinesAsPython(Reader):
    def lines(self, pieces: Iterable[bytes]) -> Iterator[str]:
        for line in super().lines(pieces):
            yield from line.splitlines() or [""]


@_wrong()
class SplitsEachPiece(Reader):
    def lines(self, pieces: Iterable[bytes]) -> Iterator[str]:
        for piece in pieces:
            yield from piece.decode("utf-8", "replace").split("\n")


@_wrong()
class CountsSplitLineEndsTwice(Reader):
    def lines(self, pieces: Iterable[bytes]) -> Iterator[str]:
        return super().lines(p.replace(b"\r\n", b"\n").replace(b"\r", b"\n") for p in pieces)

    def events(self, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
        for kind, data in super().events(lines):
            json.loads(data if data != "[DONE]" else "0")
            yield kind, data


@_wrong()
class IgnoresCR(Reader):
    def lines(self, pieces: Iterable[bytes]) -> Iterator[str]:
        pending = b""
        for piece in pieces:
            *lines, pending = (pending + piece).removeprefix(b"\xef\xbb\xbf").split(b"\n")
            yield from (line.rstrip(b"\r").decode() for line in lines)


class _Lines(Reader):
    """Takes each `data:` line for an event."""

    def events(self, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
        for line in lines:
            if line.startswith("data:"):
                yield "", line[5:].strip()


@_wrong()
class IgnoresFurtherDataLines(_Lines):
    pass


@_wrong()
class NeedsSpace(Reader):
    def events(self, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
        return super().events(line for line in lines if line[:6] == "data: " or not line)


@_wrong()
class CutsSixCharacters(Reader):
    def events(self, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
        for line in lines:
            yield from super().events(["data:" + line[6:] if line[:5] == "data:" else line, ""])


@_wrong()
class DispatchesAtTheEnd(Reader):
    def lines(self, pieces: Iterable[bytes]) -> Iterator[str]:
        yield from super().lines([*pieces, b"\n\n"])

    def is_complete(self) -> bool:
        return self.is_done and super().is_complete()


@_wrong()
class DispatchesAtTheEndWithoutDone(Reader):
    def lines(self, pieces: Iterable[bytes]) -> Iterator[str]:
        yield from super().lines([*pieces, b"\n\n"])


@_wrong()
class FailsOnComments(Reader):
    def events(self, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
        def checked() -> Iterator[str]:
            for line in lines:
                if line[:1] == ":":
                    raise ValueError(line)
                yield line

        return super().events(checked())


@_wrong()
class FailsOnEventsWithoutData(Reader):
    def events(self, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
        fields = False
        for line in lines:
            if line:
                fields = fields or line[0] != ":"
                yield from super().events([line])
                if line.startswith("data"):
                    yield from super().events([line, ""])
                    fields = False
            elif fields:
                json.loads("")


@_wrong()
class FailsOnOtherFields(Reader):
    def events(self, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
        for line in lines:
            name = line.partition(":")[0]
            if line and name not in ("data", ""):
                raise ValueError(line)
            if name == "data":
                yield from super().events([line, ""])


@_wrong()
class ReadsOnlyUnnamedEvents(Reader):
    def chunk(self, kind: str, chunk: dict[str, Any]) -> None:
        if kind in ("", "error"):
            super().chunk(kind, chunk)


@_wrong()
class KeepsByteOrderMark(Reader):
    def lines(self, pieces: Iterable[bytes]) -> Iterator[str]:
        data = b"".join(pieces)
        mark = b"\xef\xbb\xbf"
        return super().lines([mark + data if data.startswith(mark) else data])


@_wrong()
class FailsOnEmptyChoices(Reader):
    def chunk(self, kind: str, chunk: dict[str, Any]) -> None:
        if not chunk.get("error"):
            chunk["choices"][0]
        super().chunk(kind, chunk)


@_wrong()
class FailsOnNullUsage(Reader):
    def chunk(self, kind: str, chunk: dict[str, Any]) -> None:
        if "usage" in chunk:
            chunk["usage"]["total_tokens"]
        super().chunk(kind, chunk)


@_wrong()
class NeedsUsageKey(Reader):
    def chunk(self, kind: str, chunk: dict[str, Any]) -> None:
        if "error" not in chunk:
            chunk["usage"]
        super().chunk(kind, chunk)


@_wrong()
class FailsOnEmptyDelta(Reader):
    def choice(self, choice: dict[str, Any]) -> None:
        if not choice["delta"] and not choice["finish_reason"]:
            raise ValueError("no delta")
        super().choice(choice)


@_wrong()
class EndsAtEmptyDelta(Reader):
    def delta(self, mine: dict[str, Any], delta: dict[str, Any]) -> None:
        if mine.get("is_over"):
            return
        mine["is_over"] = not delta
        super().delta(mine, delta)


@_wrong()
class EndsAtEmptyContent(Reader):
    def delta(self, mine: dict[str, Any], delta: dict[str, Any]) -> None:
        if mine["content"] and delta.get("content") == "":
            mine["is_over"] = True
        if not mine.get("is_over"):
            super().delta(mine, delta)


@_wrong()
class NullContentIsText(Reader):
    def delta(self, mine: dict[str, Any], delta: dict[str, Any]) -> None:
        if "content" in delta and delta["content"] is None and mine["content"]:
            delta = {**delta, "content": "None"}
        super().delta(mine, delta)


@_wrong()
class SkipsDeltaWithRole(Reader):
    def delta(self, mine: dict[str, Any], delta: dict[str, Any]) -> None:
        if "role" not in delta:
            super().delta(mine, delta)


@_wrong()
class SkipsContentWithFinish(Reader):
    def choice(self, choice: dict[str, Any]) -> None:
        super().choice({**choice, "delta": {}} if choice["finish_reason"] else choice)


@_wrong(TWO)
class TakesFirstChoiceOfAll(Reader):
    def choice(self, choice: dict[str, Any]) -> None:
        super().choice({**choice, "index": 0})


@_wrong(TWO)
class EndsAtFirstFinish(Reader):
    def choice(self, choice: dict[str, Any]) -> None:
        if not any(mine["finish_reason"] for mine in self.choices.values()):
            super().choice(choice)


@_wrong()
class JoinsCallsById(Reader):
    def call(self, calls: dict[Any, Any], call: dict[str, Any]) -> None:
        super().call(calls, {**call, "index": call.get("id") or ""})


@_wrong()
class ExpectsCallsOneAfterAnother(Reader):
    def call(self, calls: dict[Any, Any], call: dict[str, Any]) -> None:
        at = len(calls) if call.get("id") else len(calls) - 1
        super().call(calls, {**call, "index": at})


@_wrong()
class TakesFirstCallOfDelta(Reader):
    def delta(self, mine: dict[str, Any], delta: dict[str, Any]) -> None:
        calls = delta.get("tool_calls")
        super().delta(mine, {**delta, "tool_calls": calls[:1]} if calls else delta)


@_wrong()
class DropsFirstArguments(Reader):
    def call(self, calls: dict[Any, Any], call: dict[str, Any]) -> None:
        if call.get("id"):
            call = {**call, "function": {**call["function"], "arguments": ""}}
        super().call(calls, call)


@_wrong()
class MixesCallsOfOneIndex(Reader):
    def result(self) -> dict[str, Any]:
        for choice in self.choices.values():
            for call in choice["calls"].values():
                call["arguments"] = json.dumps(call["arguments"])  # is not read as JSON
        return super().result()


@_wrong()
class ReadsArgumentsOfEachFragment(Reader):
    def call(self, calls: dict[Any, Any], call: dict[str, Any]) -> None:
        if call["function"].get("arguments"):
            json.loads(call["function"]["arguments"])
        super().call(calls, call)


@_wrong()
class OverwritesName(Reader):
    def call(self, calls: dict[Any, Any], call: dict[str, Any]) -> None:
        super().call(calls, call)
        calls[call["index"]]["name"] = call["function"].get("name")


@_wrong()
class TakesCutForFinished(Reader):
    def is_complete(self) -> bool:
        return bool(self.choices)

    def result(self) -> dict[str, Any]:
        for choice in self.choices.values():
            choice["finish_reason"] = choice["finish_reason"] or "stop"
        return super().result()


@_wrong()
class TakesCutForFinishedWithoutReason(Reader):
    def is_complete(self) -> bool:
        return bool(self.choices)


@_wrong()
class TakesDoneForFinished(Reader):
    def is_complete(self) -> bool:
        return self.is_done


@_wrong()
class TakesNothingForFinished(Reader):
    def is_complete(self) -> bool:
        return not self.choices or super().is_complete()


@_wrong()
class IgnoresErrors(Reader):
    def chunk(self, kind: str, chunk: dict[str, Any]) -> None:
        if not chunk.get("error"):
            super().chunk(kind, chunk)

    def is_complete(self) -> bool:
        return self.is_done


@_wrong()
class SkipsWhatItCannotParse(Reader):
    def events(self, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
        return _parsable(super().events(lines))


@_wrong()
class EndsAtErrors(Reader):
    def chunk(self, kind: str, chunk: dict[str, Any]) -> None:
        if chunk.get("error"):
            for choice in self.choices.values():
                choice["finish_reason"] = "stop"
        else:
            super().chunk(kind, chunk)


@_wrong()
class IgnoresRefusal(Reader):
    def delta(self, mine: dict[str, Any], delta: dict[str, Any]) -> None:
        super().delta(mine, {**delta, "refusal": None})


@_wrong()
class StripsChunks(Reader):
    def delta(self, mine: dict[str, Any], delta: dict[str, Any]) -> None:
        super().delta(mine, {**delta, "content": (delta.get("content") or "").strip()})


@_wrong()
class SkipsBlankContent(Reader):
    def delta(self, mine: dict[str, Any], delta: dict[str, Any]) -> None:
        text = delta.get("content") or ""
        super().delta(mine, {**delta, "content": text if text.strip() else ""})


@_wrong()
class SkipsRepeatedContent(Reader):
    def delta(self, mine: dict[str, Any], delta: dict[str, Any]) -> None:
        text = delta.get("content")
        super().delta(mine, {**delta, "content": None if text == mine.get("last") else text})
        mine["last"] = text

    def result(self) -> dict[str, Any]:
        for choice in self.choices.values():
            choice.pop("last", None)
        return super().result()


@_wrong()
class LooksForDoneInText(Reader):
    def events(self, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
        for kind, data in super().events(lines):
            yield kind, "[DONE]" if "[DONE]" in data else data


@_wrong()
class FailsOnUnknownMembers(Reader):
    def choice(self, choice: dict[str, Any]) -> None:
        if choice.keys() - {"index", "delta", "logprobs", "finish_reason"}:
            raise TypeError("unknown member")
        super().choice(choice)


@_wrong()
class SkipsBrokenEvents(Reader):
    def events(self, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
        for line in lines:
            yield from _parsable(super().events([line, ""]))


@_wrong()
class LosesUsage(Reader):
    def chunk(self, kind: str, chunk: dict[str, Any]) -> None:
        if chunk.get("choices") or chunk.get("error"):
            super().chunk(kind, chunk)


@_wrong()
class JoinsCallsByName(Reader):
    def call(self, calls: dict[Any, Any], call: dict[str, Any]) -> None:
        name = call["function"].get("name")
        self.names = {**getattr(self, "names", {}), **({call["index"]: name} if name else {})}
        if name in calls:
            calls[name]["arguments"] = ""
        super().call(calls, {**call, "index": self.names[call["index"]]})


@_wrong()
class ReadsContentOrCalls(Reader):
    def delta(self, mine: dict[str, Any], delta: dict[str, Any]) -> None:
        super().delta(mine, {**delta, "tool_calls": None} if delta.get("content") else delta)


@_wrong()
class AddsNullRefusal(Reader):
    def delta(self, mine: dict[str, Any], delta: dict[str, Any]) -> None:
        mine["refusal"] + delta.get("refusal", "")
        super().delta(mine, delta)


@_wrong()
class LooksForMembersInText(Reader):
    def events(self, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
        for kind, data in super().events(lines):
            if data != "[DONE]" and '"choices":[' not in data and '"error"' not in data:
                continue
            yield kind, data


@_wrong()
class HasASmallBuffer(Reader):
    def lines(self, pieces: Iterable[bytes]) -> Iterator[str]:
        for line in super().lines(pieces):
            if len(line) > 65536:
                raise ValueError("Chunk too big")
            yield line


@_wrong()
class NeedsContentInDelta(Reader):
    def delta(self, mine: dict[str, Any], delta: dict[str, Any]) -> None:
        delta["content"]
        super().delta(mine, delta)
