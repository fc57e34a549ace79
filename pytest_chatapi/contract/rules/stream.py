"""T and E01: a stream, from its first byte to its last.

One loop folds each chunk into an `Answer` and drops it. The rules that look at single chunks
are fused into it, since a function call for each rule and chunk would cost more than parsing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Answer, Call, Choice, Text
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.parse import loads
from pytest_chatapi.contract.rules import logprobs as logprob_rules
from pytest_chatapi.contract.rules import shape
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.sse import Event, decode_sse
from pytest_chatapi.contract.wording import ABSENT, Shown, plural, show

__all__ = ["StreamFold"]

_SAME = (("T01", "id"), ("T02", "created"), ("T03", "model"))
# Reported by the fold itself, which knows how many calls there are.
_OWN = frozenset({"C05"})


class StreamFold:
    """Judges a stream chunk by chunk, and joins it.

    Args:
        keep: keep all text, for `as_completion`.
    """

    def __init__(self, ledger: Ledger, ask: Ask, *, keep: bool = False) -> None:
        self.ledger = ledger
        self.ask = ask
        self.keep = keep
        self.answer = Answer(streamed=True)
        self.number = 0  # chunks so far
        self.events = 0
        self.done = False
        self.failed = False  # an error event came
        self._node = load("chunk", ledger.as_of)
        self._azure = ledger.profile.level("T09", "content-filter") is None
        self._filtered = False  # async content filter seen
        self._after_done = False
        self._usages = 0
        self._usage_on_choice = False
        self._choices_after_usage = False
        self._unindexed: dict[int, int] = {}
        self._shared: set[tuple[int, int]] = set()
        self._moved: dict[tuple[int, int], int] = {}
        self._tokens: dict[int, logprob_rules.Tokens] = {}
        self._blank: set[int] = set()
        self._bare: int | None = None
        self._roleless: list[tuple[int, int, Any, int]] = []
        self._lost_last = False
        self._lost = False  # an event could not be read: what is missing may have been in it
        self._mistyped_index: set[int] = set()

    # -- reading -------------------------------------------------------------------------

    def read_bytes(self, pieces: Iterable[bytes], *, cut: bool = False) -> None:
        """Judges the stream as it came over the wire.

        Args:
            cut: the connection ended early, so the last event may be incomplete.
        """
        chunk = self.chunk
        pending: Event | None = None
        for event in decode_sse(pieces):
            if pending is not None:
                self._event(pending, chunk, last=False)
            pending = event
        if pending is not None:
            self._event(pending, chunk, last=cut)

    def read_chunks(self, chunks: Iterable[Any]) -> None:
        """Judges parsed chunks, whose framing and end are unknown."""
        for value in chunks:
            self.events += 1
            if isinstance(value, dict):
                self.chunk(value)
            else:
                self._not_a_chunk(value)
        self.done = True

    def _event(self, event: Event, chunk: Any, *, last: bool) -> None:
        data, kind, oddity = event
        if oddity:
            self.ledger.add(
                "E01",
                "$",
                "data:",
                Shown(show(oddity)),
                f"the field name {oddity!r} is not `data:` and the like: clients skip the line",
                chunk=self.number,
            )
            if not data:
                self._lost = self._lost_last = True
                return
        self._lost_last = False
        self.events += 1
        if data[:6] == b"[DONE]" and not data[6:].strip():
            if self.done:
                self.ledger.add(
                    "T08", "$", "data: [DONE] once", "[DONE]", "`data: [DONE]` comes twice"
                )
            self.done = True
            return
        if self.done and not self._after_done:
            self._after_done = True
            self.ledger.add(
                "T08", "$", "nothing after [DONE]", data, "an event follows `data: [DONE]`"
            )
        if self.done:
            return
        try:
            value = loads(data.decode())
        except UnicodeDecodeError as error:
            why = f"not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}"
        except ValueError as error:
            why = str(error)
        else:
            if kind == b"error" or (type(value) is dict and value.get("error")):
                self._error_event(value)
            elif type(value) is dict:
                chunk(value)
            else:
                self._not_a_chunk(value)
            return
        if kind == b"error":
            self._error_event(data.decode("utf-8", "replace"))
        elif not last:
            self._lost = True
            self.ledger.add(
                "T11",
                "$",
                "one JSON object",
                data,
                f"the data of event {self.number} is not JSON: {why}",
                chunk=self.number,
            )
            self.number += 1

    def _not_a_chunk(self, value: Any) -> None:
        self._lost = True
        self.ledger.add(
            "T11",
            "$",
            "one JSON object",
            value,
            f"the data of event {self.number} is no object",
            chunk=self.number,
        )
        self.number += 1

    def _error_event(self, value: Any) -> None:
        self.failed = True
        inner = value.get("error", value) if isinstance(value, dict) else value
        text = inner.get("message", inner) if isinstance(inner, dict) else inner
        self.ledger.add(
            "T10",
            "$.error" if isinstance(value, dict) and "error" in value else "$",
            "no error after a 200",
            inner,
            f"the server reports an error in the stream: {show(text, 200)}",
            chunk=self.number,
        )
        self.number += 1

    # -- one chunk -----------------------------------------------------------------------

    def chunk(self, chunk: dict[str, Any]) -> None:
        """Folds one chunk."""
        number, ledger, answer = self.number, self.ledger, self.answer
        self.number = number + 1
        choices = chunk.get("choices")
        if type(choices) is list and self._is_filter_chunk(chunk, choices):
            return
        found, unknown = self._node.violations(chunk)
        if found or unknown:
            shape.report(ledger, found, unknown, chunk=number, skip=_OWN)
        if type(choices) is not list:
            self._lost = True
            return
        frame = answer.frame
        id_, created = chunk.get("id"), chunk.get("created")
        if id_ == "" or type(created) is not int or not 1_000_000_000 <= created <= 10**11:
            shape.check_frame(ledger, chunk, number)
        if frame:
            for code, key in _SAME:
                value, earlier = chunk.get(key), frame[key]
                if value != earlier and value:
                    if not earlier:
                        frame[key] = value  # the chunks before lacked it, which S01 or S02 says
                    elif type(value) is type(earlier):
                        self._varies(code, key, value, number)
        else:
            frame.update(id=id_, created=created, model=chunk.get("model"))
            answer.model = chunk.get("model")
        if self.keep:
            for key in ("service_tier", "system_fingerprint", "moderation"):
                if chunk.get(key) is not None:
                    frame[key] = chunk[key]
        usage = chunk.get("usage")
        if type(usage) is dict:
            self._usages += 1
            answer.usage, answer.usage_chunk = usage, number
            self._usage_on_choice = bool(choices)
            self._choices_after_usage = False
        elif choices and self._usages:
            self._choices_after_usage = True
        if not choices:
            if type(usage) is not dict and chunk.get("moderation") is None:
                if self.ask.include_usage and self._bare is None:
                    self._bare = number  # the usage chunk without usage? The end tells.
                else:
                    self._without_choices(number)
            return
        seen = -1
        for position, raw in enumerate(choices):
            if type(raw) is not dict or type(raw.get("index")) is not int:
                self._lost = True
                continue
            index = raw["index"]
            if index == seen or (
                position
                and any(type(c) is dict and c.get("index") == index for c in choices[:position])
            ):
                ledger.add(
                    "T12",
                    f"$.choices[{position}].index",
                    "each index once in a chunk",
                    index,
                    f"choice {index} stands twice in one chunk",
                    chunk=number,
                )
            seen = index
            if index < 0 or (self.ask.known and index >= self.ask.n):
                ledger.add(
                    "T12",
                    f"$.choices[{position}].index",
                    f"0 to {self.ask.n - 1}",
                    index,
                    f"choice {index} is out of range: the request asks for n = {self.ask.n}",
                    chunk=number,
                )
                continue
            self._choice(raw, index, position, number)

    def _is_filter_chunk(self, chunk: dict[str, Any], choices: list[Any]) -> bool:
        if not choices:
            if "prompt_filter_results" not in chunk or chunk.get("usage"):
                return False
            self.ledger.add(
                "T09",
                "$.choices",
                "at least one choice",
                Shown("[] with prompt_filter_results"),
                "a content-filter chunk without choices, as Azure sends it first",
                case="content-filter",
                chunk=self.number - 1,
            )
            return True
        if not self._azure:
            return False
        for raw in choices:
            if type(raw) is not dict or "delta" in raw:
                return False
            if not any(str(key).startswith("content_filter") for key in raw):
                return False
        for raw in choices:
            choice = self.answer.choices.get(raw.get("index"))
            if (
                choice is not None
                and choice.finish is None
                and type(raw.get("finish_reason")) is str
            ):
                choice.finish = raw["finish_reason"]
        self._filtered = True
        return True

    def _without_choices(self, number: int) -> None:
        self.ledger.add(
            "T09",
            "$.choices",
            "at least one choice",
            Shown("[]"),
            "`choices` is empty, and this is no usage chunk",
            chunk=number,
        )

    def _varies(self, code: str, key: str, value: Any, number: int) -> None:
        self.ledger.add(
            code,
            f"$.{key}",
            show(self.answer.frame[key]),
            value,
            f"`{key}` differs from the first chunk's",
            chunk=number,
        )

    def _choice(self, raw: dict[str, Any], index: int, position: int, number: int) -> None:
        ledger = self.ledger
        choice = self.answer.choices.get(index)
        first = choice is None
        if choice is None:
            keep = self.keep or self.ask.needs_text
            choice = Choice(
                index,
                f"$.choices[{index}].message",
                Text(keep, self.ask.stops),
                Text(self.keep),
            )
            self.answer.choices[index] = choice
        delta = raw.get("delta")
        if type(delta) is not dict:
            delta, self._lost = {}, True
        finished = choice.finish is not None
        late = ""
        role = delta.get("role")
        if role is not None:
            if choice.role is None and type(role) is str:
                choice.role = role
            if not first and role != "assistant":
                ledger.add(
                    "T04",
                    f"$.choices[{position}].delta.role",
                    '"assistant" or absent',
                    role,
                    "a later role is not `assistant`",
                    chunk=number,
                )
        elif first:
            self._roleless.append((index, position, role if "role" in delta else ABSENT, number))
        content = delta.get("content")
        if type(content) is str:
            if content:
                choice.content.add(content)
                late = "content"
        elif content is not None:
            choice.parts = True
            late = "content"
        refusal = delta.get("refusal")
        if refusal and type(refusal) is str:
            choice.refusal.add(refusal)
            late = "refusal"
        calls = delta.get("tool_calls")
        if calls and type(calls) is list:
            late = "tool_calls"
            self._calls(choice, calls, position, number)
        elif calls:
            choice.parts = True
        legacy = delta.get("function_call")
        if type(legacy) is dict:
            self._legacy(choice, legacy, position, number)
            late = "function_call"
        audio = delta.get("audio")
        if type(audio) is dict:
            if audio.keys() - {"expires_at"}:
                late = "audio"
            self._audio(choice, audio)
        if finished and late:
            ledger.add(
                "T07",
                f"$.choices[{position}].delta.{late}",
                "nothing after finish_reason",
                delta.get(late),
                f"choice {index} had finished with {show(choice.finish)}",
                chunk=number,
            )
        logprobs = raw.get("logprobs")
        if type(logprobs) is dict:
            self._logprobs(choice, logprobs, position, number)
        finish = raw.get("finish_reason")
        if finish and type(finish) is str:
            if finished:
                ledger.add(
                    "T06",
                    f"$.choices[{position}].finish_reason",
                    "one finish_reason",
                    finish,
                    f"choice {index} finished before with {show(choice.finish)}",
                    chunk=number,
                )
            else:
                choice.finish = finish
        elif finish is not None:
            self._blank.add(index)  # S07 or S01 says so already
        elif "finish_reason" not in raw and not (
            type(audio) is dict and not delta.keys() - {"audio"}
        ):
            ledger.add(
                "S01",
                f"$.choices[{position}].finish_reason",
                "the key, null before the end",
                ABSENT,
                "the key `finish_reason` is absent",
                case="finish-reason-absent",
                chunk=number,
            )

    def _calls(self, choice: Choice, raws: list[Any], position: int, number: int) -> None:
        for at, raw in enumerate(raws):
            if type(raw) is not dict:
                continue
            path = f"$.choices[{position}].delta.tool_calls[{at}]"
            index, id_ = raw.get("index"), raw.get("id")
            if type(index) is not int or abs(index) > 10**9:
                self._unindexed.setdefault(choice.index, number)
                if index is not None:
                    self._mistyped_index.add(choice.index)
                same = [k for k, c in choice.calls.items() if id_ and c.id == id_]
                current = max(choice.calls, default=-1)
                fresh_call = id_ or current < 0 or self._begins(choice.calls[current], raw)
                key = same[0] if same else current + 1 if fresh_call else current
                index = None
            else:
                key = self._moved.get((choice.index, index), index)
            call = choice.calls.get(key)
            other = (
                id_ != call.id
                if call is not None and id_ and call.id
                else (call is not None and not id_ and self._begins(call, raw))
            )
            if call is not None and other and index is not None:
                self.ledger.add(
                    "C05",
                    f"{path}.index",
                    "another index for another call",
                    index,
                    f"the calls {show(call.id)} and {show(id_)} share the index {index}",
                    chunk=number,
                )
                self._shared.add((choice.index, index))
                key = max(choice.calls) + 1
                self._moved[choice.index, index] = key
                call = None
            fresh = call is None
            if call is None:
                call = Call(f"{choice.path}.tool_calls[{key}]")
                call.chunk = number
                call.arguments = []
                choice.calls[key] = call
            self._fragment(call, raw, path, number, fresh=fresh)

    @staticmethod
    def _begins(call: Call, raw: dict[str, Any]) -> bool:
        """Whether a fragment without an id begins another call than this one."""
        inner = raw.get("function")
        name = inner.get("name") if type(inner) is dict else None
        if not name or not call.name or type(call.arguments) is not list:
            return False
        if name != call.name:
            return True
        try:
            return type(loads("".join(call.arguments))) is dict
        except ValueError:
            return False

    def _fragment(
        self, call: Call, raw: dict[str, Any], path: str, number: int, *, fresh: bool
    ) -> None:
        ledger = self.ledger
        kind = raw.get("type")
        if type(kind) is not str:
            kind = None
        custom = raw.get("custom")
        inner = custom if type(custom) is dict else raw.get("function")
        is_custom = kind == "custom" or type(custom) is dict
        if not fresh and (is_custom != (call.kind == "custom")) and (kind or type(inner) is dict):
            ledger.add(
                "T16",
                path,
                f"fragments of a {call.kind} call",
                Shown("custom" if is_custom else "function"),
                "fragments of one call are of two types and cannot be joined",
                chunk=number,
            )
            return
        if fresh:
            call.kind = "custom" if is_custom else "function"
        for key, value, earlier in (
            ("id", raw.get("id"), call.id),
            ("type", kind, call.typed),
            ("name", inner.get("name") if type(inner) is dict else None, call.name),
        ):
            if value is None:
                continue
            where = f"{path}.{call.kind}.name" if key == "name" else f"{path}.{key}"
            if not fresh and (earlier is not None or value == ""):
                ledger.add(
                    "C06",
                    where,
                    "absent after the call's first fragment",
                    value,
                    f"`{key}` comes again",
                    chunk=number,
                )
            if earlier is None or (earlier == "" and value):
                if key == "id":
                    call.id = value
                elif key == "type":
                    call.typed = value
                else:
                    call.name = value
        if type(inner) is dict:
            text = inner.get("input" if call.kind == "custom" else "arguments", ABSENT)
            if type(text) is str:
                if not call.arguments:
                    call.broken = False  # a null came before
                call.arguments.append(text)
            elif text is not ABSENT and (text is not None or not call.arguments):
                call.broken = True

    def _legacy(self, choice: Choice, raw: dict[str, Any], position: int, number: int) -> None:
        call = choice.function_call
        if call is None:
            call = choice.function_call = Call(f"{choice.path}.function_call")
            call.arguments = []
        name, text = raw.get("name"), raw.get("arguments")
        if type(name) is str:
            if call.name and name and name != call.name:
                self.ledger.add(
                    "T16",
                    f"$.choices[{position}].delta.function_call.name",
                    show(call.name),
                    name,
                    "two names for one function_call cannot be joined",
                    chunk=number,
                )
            call.name = call.name or name
        if type(text) is str:
            call.arguments.append(text)

    def _audio(self, choice: Choice, audio: dict[str, Any]) -> None:
        if choice.audio is None:
            choice.audio = {}
        for key, value in audio.items():
            if key in ("data", "transcript") and type(value) is str:
                if self.keep:
                    choice.audio.setdefault(key, []).append(value)
                else:
                    choice.audio[key] = ""
            else:
                choice.audio[key] = value

    def _logprobs(
        self, choice: Choice, logprobs: dict[str, Any], position: int, number: int
    ) -> None:
        tokens = self._tokens.get(choice.index)
        if tokens is None:
            tokens = self._tokens[choice.index] = logprob_rules.Tokens(self.ledger, self.ask)
        choice.logprobs = True
        delta_path = f"$.choices[{position}].logprobs"
        for member in ("content", "refusal"):
            values = logprobs.get(member)
            if type(values) is list:
                tokens.add(member, values, f"{delta_path}.{member}", number)
                if self.keep:
                    if choice.tokens is None:
                        choice.tokens = {}
                    choice.tokens.setdefault(member, []).extend(values)
            if self.keep:
                if choice.tokens is None:
                    choice.tokens = {}
                choice.tokens.setdefault(member, None)

    # -- the end -------------------------------------------------------------------------

    def end(self, cut: str | None, *, framed: bool = True) -> Answer:
        """What only the end can tell.

        Args:
            cut: who cut the stream, if somebody did.
            framed: the wire text was at hand, so that ``[DONE]`` can be missed.
        """
        ledger, answer = self.ledger, self.answer
        stopped = cut is not None and not self.done
        if stopped and cut == "server" and not self.failed:
            after = f"after chunk {self.number - 1}" if self.number else "before the first chunk"
            ledger.add(
                "T17",
                "$",
                "a stream that reaches data: [DONE]",
                Shown(f"the end of the connection {after}"),
                f"the server ended the connection {after}",
                chunk=self.number - 1 if self.number else None,
            )
        answer.whole = not stopped and not self.failed
        if answer.whole:
            if framed and not answer.choices and not ledger.has("T09", "T11", "T12", "E01", "S01"):
                ledger.add(
                    "T18",
                    "$",
                    "at least one chunk",
                    Shown("[DONE] alone" if self.done else "no event"),
                    "the stream is empty",
                )
            else:
                self._ends(framed)
        if not self._filtered and not self._lost:
            for index, position, role, number in self._roleless:
                ledger.add(
                    "T04",
                    f"$.choices[{position}].delta.role",
                    '"assistant"',
                    role,
                    f"the first delta of choice {index} has no role",
                    chunk=number,
                )
        for index in sorted(self._unindexed):
            calls = answer.choices[index].calls
            ledger.add(
                "C05",
                f"$.choices[{index}].delta.tool_calls[0].index",
                "integer",
                ABSENT,
                f"a tool call has no `index` ({plural(len(calls), 'call')})",
                case="absent" if len(calls) < 2 and index not in self._mistyped_index else "",
                chunk=self._unindexed[index],
            )
        for index, choice in answer.choices.items():
            keys = sorted(choice.calls)
            if keys != list(range(len(keys))) and index not in self._unindexed:
                ledger.add(
                    "C05",
                    f"$.choices[{index}].delta.tool_calls[0].index",
                    "0" if keys[0] else f"0 to {len(keys) - 1}",
                    keys if len(keys) > 1 else keys[0],
                    "the indexes of the calls are not contiguous from 0",
                    chunk=choice.calls[keys[0]].chunk,
                )
            choice.content.finish()
            choice.refusal.finish()
            choice.parts = choice.parts or self._lost or ledger.has("T12")
        for index, tokens in self._tokens.items():
            tokens.end(answer.choices[index], whole=answer.whole)
        if self._bare is not None and answer.usage is not None:
            self._without_choices(self._bare)
        self._usage_place()
        return answer

    def _ends(self, framed: bool) -> None:
        ledger, answer = self.ledger, self.answer
        open_ = [i for i, c in sorted(answer.choices.items()) if not c.finish]
        for index in open_:
            if index in self._blank or self._lost or ledger.has("T12"):
                continue
            ledger.add(
                "T05",
                f"$.choices[{index}].finish_reason",
                "a finish_reason before the end",
                ABSENT,
                f"choice {index} never finishes",
            )
        if framed and not self.done and self.number and not self._lost_last:
            ledger.add(
                "T08",
                "$",
                "data: [DONE] at the end",
                ABSENT,
                "the stream ends without [DONE]",
                case="" if open_ or not answer.choices else "all-finished",
            )
        if self.ask.include_usage and answer.usage is None and self.number and not self._lost:
            ledger.add(
                "T13",
                "$.usage",
                "usage on a last chunk with choices: []",
                ABSENT,
                "`include_usage` was asked, and no chunk has usage",
                chunk=self._bare,
            )

    def _usage_place(self) -> None:
        ledger, number = self.ledger, self.answer.usage_chunk
        if not self._usages:
            return
        usage = self.answer.usage
        if self._usages > 1:
            ledger.add(
                "T15",
                "$.usage",
                "usage on one chunk only",
                usage,
                f"usage stands on {self._usages:,} chunks",
                chunk=number,
            )
        if self.ask.known and not self.ask.include_usage:
            ledger.add(
                "T14",
                "$.usage",
                "no usage, since `include_usage` was not asked",
                usage,
                "usage comes unasked",
                chunk=number,
            )
        elif self.ask.include_usage and (
            self._choices_after_usage or (self._usages == 1 and self._usage_on_choice)
        ):
            ledger.add(
                "T13",
                "$.usage",
                "usage on a chunk with choices: [] after the last choice",
                usage,
                "usage stands on a chunk with choices"
                if self._usage_on_choice
                else "usage comes before the last choice",
                case="on-choice" if self._usage_on_choice else "",
                chunk=number,
            )
