"""The loop over a stream: folds each chunk into an `Answer` and drops it.

The rules about single chunks (`stream_chunks`) are fused into it: it calls them only where
something is wrong. Tool calls are joined in `stream_calls`; what only the end of the stream shows
is in `stream_end`.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Answer, Choice, Text
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.parse import first_value, loads_bytes
from pytest_chatapi.contract.rules import shape
from pytest_chatapi.contract.rules.logprobs import Tokens
from pytest_chatapi.contract.rules.shape import EARLIEST, LATEST
from pytest_chatapi.contract.rules.stream_calls import INDEX_CODES, CallFold
from pytest_chatapi.contract.rules.stream_chunks import (
    is_done,
    is_error_object,
    sse_framing,
    stream_after_finish,
    stream_chunk_json,
    stream_created,
    stream_done_missing,
    stream_empty_choices,
    stream_error_event,
    stream_finish_twice,
    stream_first_role,
    stream_id,
    stream_index_range,
    stream_model,
)
from pytest_chatapi.contract.rules.stream_end import Course, check_end, check_usage_place
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.sse import BARE, Event, decode_sse
from pytest_chatapi.contract.validation import Problem, SchemaViolation
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT

__all__ = ["StreamFold"]

_SAME = (("id", stream_id), ("created", stream_created), ("model", stream_model))
# Annotations that are kept until the length of the text is known.
_MOST_CITATIONS = 1000
_FINISH_KEY = Problem((), "required", None, "the key, null before the end", False, True)


class StreamFold:
    """Checks a stream chunk by chunk, and joins it.

    Args:
        keep: keep all text, for `as_completion`.
    """

    def __init__(self, ledger: Ledger, ask: Ask, *, keep: bool = False) -> None:
        self.ledger = ledger
        self.ask = ask
        self.keep = keep
        self.course = Course(ask)
        self._calls = CallFold(ledger)
        self._tokens: dict[int, Tokens] = {}
        self._violations = load("chunk", ledger.as_of).violations
        self._is_azure = ledger.is_off(stream_empty_choices, "content-filter")
        self._needs_finish_key = not ledger.is_off(shape.schema, "finish-reason-absent")
        # What an audio stream of the service lacks; `_is_audio`: requested, or seen by now.
        self._excuses_audio = ledger.is_off(shape.schema, "audio-stream")
        self._is_audio = "audio" in ask.modalities
        self._echoes = ask.echoes
        self._after_done = False  # an event after [DONE] is reported

    # -- events --------------------------------------------------------------------------

    def read_bytes(self, pieces: Iterable[bytes], *, cut: bool = False) -> None:
        """Checks a stream as it came over the wire.

        Args:
            cut: the connection ended early, so the last event may be incomplete.
        """
        pending: Event | None = None
        for event in decode_sse(pieces):
            if pending is not None:
                self._event(pending, last=False)
            pending = event
        if pending is not None:
            self._event(pending, last=cut)

    def read_chunks(self, chunks: Iterable[JSON]) -> None:
        """Checks parsed chunks, whose framing and end are unknown."""
        for value in chunks:
            if isinstance(value, dict):
                self.chunk(value)
            else:
                self._not_a_chunk(value)
        self.course.done = True

    def _event(self, event: Event, *, last: bool) -> None:
        data, kind, oddity = event
        course = self.course
        if oddity == BARE:
            self._bare_text(data, last=last)
            return
        if oddity:
            self.ledger.report(sse_framing, oddity, course.number)
            if not data:
                course.lost = course.lost_last = True
                return
        course.lost_last = False
        if course.done or (data[:6] == b"[DONE]" and is_done(data)):
            self._done(data)
            return
        try:
            value = loads_bytes(data)
        except ValueError as error:
            if kind == b"error":
                self._error_event(data.decode("utf-8", "replace"))
            elif not last:
                self._not_a_chunk(data, str(error))
            return
        if kind == b"error" or (type(value) is dict and value.get("error")):
            self._error_event(value)
        elif type(value) is dict:
            self.chunk(value)
        else:
            self._not_a_chunk(value)

    def _bare_text(self, text: bytes, *, last: bool) -> None:
        """Takes text that is in no field, so that clients skip it: an error, or a lost chunk."""
        value = first_value(text)
        if value is ABSENT and last:
            return  # it may be a part of anything
        error = value[0] if type(value) is list and value else value
        if type(error) is dict and is_error_object(error):
            self.course.failed = True
            self.ledger.report(stream_error_event, error, self.course.number, bare=True)
            return
        self.course.lost = self.course.lost_last = True
        self.ledger.report(sse_framing, text, self.course.number)

    def _done(self, data: bytes) -> None:
        """Takes ``[DONE]``, or an event after it, of which the first is reported."""
        course, ends = self.course, is_done(data)
        if course.done and (ends or not self._after_done):
            self.ledger.report(stream_done_missing, data)
            self._after_done = self._after_done or not ends
        course.done = True

    def _not_a_chunk(self, value: JSON, why_not: str | None = None) -> None:
        self.course.lost = True
        self.ledger.report(stream_chunk_json, value, self.course.number, why_not)
        self.course.number += 1

    def _error_event(self, value: JSON) -> None:
        self.course.failed = True
        self.ledger.report(stream_error_event, value, self.course.number)
        self.course.number += 1

    # -- one chunk -----------------------------------------------------------------------

    def chunk(self, chunk: JSONObject) -> None:
        """Folds one chunk."""
        course, ledger = self.course, self.ledger
        number = course.number
        course.number = number + 1
        course.answer.last = chunk
        choices = chunk.get("choices")
        is_list = type(choices) is list
        if is_list and (self._is_azure or not choices) and self._is_filter_chunk(chunk, number):
            return
        violations, unknown = self._violations(chunk)
        usage = chunk.get("usage")
        if course.null_counts and type(usage) is dict:
            course.null_counts = []  # of a running count, which is T15
        if violations or unknown:
            violations = self._reported_elsewhere(violations, number)
            shape.report(ledger, violations, unknown, chunk=number, skip=INDEX_CODES)
        if not is_list and not (self._excuses_audio and self._lacks_choices(chunk)):
            course.lost = True
            return
        self._frame(chunk, number)
        for key in self._echoes:
            if chunk.get(key) is not None:
                course.answer.echo[key] = chunk[key]
        if type(usage) is dict:
            course.usages += 1
            course.answer.usage, course.answer.usage_chunk = usage, number
            course.usage_on_choice = bool(choices)
            course.choices_after_usage = course.update_after_usage = False
        elif choices and course.usages:
            if all(map(_is_audio_update, choices)):
                course.update_after_usage = True
            else:
                course.choices_after_usage = True
        if choices:
            self._choices(choices, number)
        elif is_list and type(usage) is not dict and chunk.get("moderation") is None:
            if self.ask.include_usage and course.bare is None:
                course.bare = number  # perhaps the usage chunk, without usage: see the end
            else:
                ledger.report(stream_empty_choices, number)

    def _lacks_choices(self, chunk: JSONObject) -> bool:
        """Whether a chunk is one of those without ``choices`` among the chunks of an audio."""
        return self._is_audio and "choices" not in chunk

    def _reported_elsewhere(
        self, violations: list[SchemaViolation], number: int
    ) -> list[SchemaViolation]:
        """Takes out what has a case of its own: keys that an audio stream lacks, counts that are
        null before the last chunk.
        """
        course = self.course
        nulls = [violation for violation in violations if _is_null_count(violation)]
        if nulls:
            course.null_counts, course.null_counts_chunk = nulls, number
            violations = [violation for violation in violations if violation not in nulls]
        if self._is_audio:
            lacking = [violation for violation in violations if _is_audio_lack(violation)]
            for violation in lacking:
                self.ledger.report(shape.schema, violation, "audio-stream", number)
            violations = [violation for violation in violations if violation not in lacking]
        return violations

    def _is_filter_chunk(self, chunk: JSONObject, number: int) -> bool:
        """Whether a chunk has nothing but results of Azure's content filter."""
        choices = chunk["choices"]
        if not choices:
            if "prompt_filter_results" not in chunk or chunk.get("usage"):
                return False
            self.ledger.report(stream_empty_choices, number, is_filter=True)
            return True
        for raw in choices:
            if type(raw) is not dict or "delta" in raw:
                return False
            if not any(str(key).startswith("content_filter") for key in raw):
                return False
        for raw in choices:
            index, finish = raw.get("index"), raw.get("finish_reason")
            choice = self.course.answer.choices.get(index) if type(index) is int else None
            if choice is not None and choice.finish is None and type(finish) is str:
                choice.finish = finish
        self.course.filtered = True
        return True

    def _frame(self, chunk: JSONObject, number: int) -> None:
        answer, frame = self.course.answer, self.course.answer.frame
        id_, created, model = chunk.get("id"), chunk.get("created"), chunk.get("model")
        if id_ == "" or type(created) is not int or not EARLIEST <= created <= LATEST:
            shape.check_frame(self.ledger, chunk, number)
        if not frame:
            frame.update(id=id_, created=created, model=model)
            answer.model = model
        elif id_ != frame["id"] or created != frame["created"] or model != frame["model"]:
            self._compare_frame(chunk, number)
        if self.keep:
            for key in ("service_tier", "system_fingerprint", "moderation"):
                if chunk.get(key) is not None:
                    frame[key] = chunk[key]

    def _compare_frame(self, chunk: JSONObject, number: int) -> None:
        frame = self.course.answer.frame
        for key, rule in _SAME:
            value, earlier = chunk.get(key), frame[key]
            if value != earlier and value:
                if not earlier:
                    frame[key] = value  # earlier chunks had none, which is S01 or S02
                elif type(value) is type(earlier):
                    self.ledger.report(rule, earlier, value, number)

    def _choices(self, choices: list[JSON], number: int) -> None:
        ask = self.ask
        seen: set[float] = set()
        for position, raw in enumerate(choices):
            index = raw.get("index") if type(raw) is dict else None
            if type(index) is not int:
                self.course.lost = True
                if isinstance(index, float | bool):
                    seen.add(index)
                continue
            if index in seen:
                self.ledger.report(stream_index_range, index, position, number, ask.n, twice=True)
            seen.add(index)
            if index < 0 or (ask.known and index >= ask.n):
                self.ledger.report(stream_index_range, index, position, number, ask.n)
            else:
                self._choice(raw, index, position, number)

    def _choice(self, raw: JSONObject, index: int, position: int, number: int) -> None:
        choice = self.course.answer.choices.get(index)
        is_first = choice is None
        if choice is None:
            text = Text(self.keep or self.ask.needs_text, self.ask.stops)
            choice = Choice(index, f"$.choices[{index}].message", text, Text(self.keep))
            self.course.answer.choices[index] = choice
        delta = raw.get("delta")
        if type(delta) is not dict:
            delta, self.course.lost = {}, True
        role = delta.get("role")
        if is_first or role is not None:
            self._role(choice, delta, position, number, is_first)
        late = ""
        content = delta.get("content")
        if type(content) is str:
            if content:
                choice.content.add(content)
                late = "content"
        elif content is not None:
            choice.parts = True
            late = "content"
        if len(delta) > 1 or "content" not in delta:
            late = self._members(choice, delta, position, number) or late
        if late and choice.finish is not None:
            value = delta[late]
            self.ledger.report(stream_after_finish, choice, position, late, value, number)
        logprobs = raw.get("logprobs")
        if type(logprobs) is dict:
            self._logprobs(choice, logprobs, position, number)
        finish = raw.get("finish_reason")
        if finish is not None:
            self._finish(choice, finish, position, number)
            choice.read_stop_reason(raw)
        elif "finish_reason" not in raw and self._needs_finish_key:
            self._no_finish_key(delta, position, number)

    def _role(
        self, choice: Choice, delta: JSONObject, position: int, number: int, is_first: bool
    ) -> None:
        role = delta.get("role")
        if role is None:
            role = ABSENT if "role" not in delta else None
            self.course.roleless.append((choice.index, position, role, number))
            return
        if choice.role is None and type(role) is str:
            choice.role = role
        if not is_first and role != "assistant":
            index = choice.index
            self.ledger.report(stream_first_role, index, position, role, number, first=False)

    def _members(self, choice: Choice, delta: JSONObject, position: int, number: int) -> str:
        """Folds all but role and content; returns the last member that adds something, if any."""
        late = ""
        refusal = delta.get("refusal")
        if refusal and type(refusal) is str:
            choice.refusal.add(refusal)
            late = "refusal"
        calls = delta.get("tool_calls")
        if calls and type(calls) is list:
            self._calls.add(choice, calls, position, number)
            late = "tool_calls"
        elif calls:
            choice.parts = True
        legacy = delta.get("function_call")
        if type(legacy) is dict:
            self._calls.legacy(choice, legacy, position, number)
            late = "function_call"
        citations = delta.get("annotations")
        if type(citations) is list and len(choice.citations) < _MOST_CITATIONS:
            choice.citations.extend(citations)
        if not choice.reasoned:
            choice.read_reasoning(delta)
        audio = delta.get("audio")
        if type(audio) is dict:
            self._is_audio = True
            if audio.keys() - {"expires_at"}:
                late = "audio"
            self._audio(choice, audio)
        return late

    def _audio(self, choice: Choice, audio: JSONObject) -> None:
        if choice.audio is None:
            choice.audio = {}
        for key, value in audio.items():
            if key in ("data", "transcript") and type(value) is str:
                choice.audio[key] = ""
                if self.keep:
                    choice.sound.setdefault(key, []).append(value)
            else:
                choice.audio[key] = value

    def _logprobs(self, choice: Choice, logprobs: JSONObject, position: int, number: int) -> None:
        tokens = self._tokens.get(choice.index)
        if tokens is None:
            tokens = self._tokens[choice.index] = Tokens(self.ledger, self.ask)
        choice.logprobs = True
        for member in ("content", "refusal"):
            values = logprobs.get(member)
            if type(values) is list:
                choice.has_tokens = True
                path = f"$.choices[{position}].logprobs.{member}"
                tokens.add(member, values, path, number)
            if self.keep:
                choice.keep_tokens(member, values if type(values) is list else None)

    def _finish(self, choice: Choice, finish: JSON, position: int, number: int) -> None:
        if not finish or type(finish) is not str:
            self.course.blank.add(choice.index)  # which is S07 or S01
        elif choice.finish is None:
            choice.finish = finish
        else:
            self.ledger.report(stream_finish_twice, choice, position, finish, number)

    def _no_finish_key(self, delta: JSONObject, position: int, number: int) -> None:
        if type(delta.get("audio")) is dict and len(delta) == 1:
            return  # the closing update of an audio
        path = ("choices", position, "finish_reason")
        violation = SchemaViolation(path, _FINISH_KEY, None)
        case = "audio-stream" if self._is_audio else "finish-reason-absent"
        self.ledger.report(shape.schema, violation, case, number)

    # -- the end -------------------------------------------------------------------------

    def end(self, cut: str | None, *, framed: bool = True) -> Answer:
        """Checks what only the end shows.

        Args:
            cut: which side ended the connection early, if either did.
            framed: the wire text is known, so that ``[DONE]`` can be missing.
        """
        answer, null_counts = self.course.answer, self.course.null_counts
        if null_counts:  # of the last usage: no running count came after it
            shape.report(self.ledger, null_counts, (), chunk=self.course.null_counts_chunk)
        check_end(self.ledger, self.course, self._calls, cut, framed=framed)
        for index, tokens in self._tokens.items():
            tokens.end(answer.choices[index], whole=answer.whole)
        check_usage_place(self.ledger, self.course)
        return answer


def _is_audio_update(raw: JSON) -> bool:
    """Whether a choice of a chunk only says when its audio expires."""
    delta = raw.get("delta") if type(raw) is dict else None
    audio = delta.get("audio") if type(delta) is dict else None
    if type(delta) is not dict or type(audio) is not dict or raw.get("finish_reason"):
        return False
    return audio.keys() == {"expires_at"} and not any(delta[key] for key in delta if key != "audio")


def _is_audio_lack(violation: SchemaViolation) -> bool:
    path, problem, _ = violation
    return problem.keyword == "required" and path[-1] in ("choices", "finish_reason")


def _is_null_count(violation: SchemaViolation) -> bool:
    path, problem, _ = violation
    return path[:1] == ("usage",) and path[1:] in _COUNTS and problem.keyword == "null"


_COUNTS = (("prompt_tokens",), ("completion_tokens",), ("total_tokens",))
