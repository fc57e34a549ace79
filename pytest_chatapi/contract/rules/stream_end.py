"""T05, T13 to T15, T17 and T18: what only the end of a stream shows."""

from __future__ import annotations

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Answer, Choice
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules.registry import Violation, checks, codes_of, rule
from pytest_chatapi.contract.rules.shape import schema
from pytest_chatapi.contract.rules.stream_calls import CallFold
from pytest_chatapi.contract.rules.stream_chunks import (
    sse_framing,
    stream_chunk_json,
    stream_done_missing,
    stream_empty_choices,
    stream_first_role,
    stream_index_range,
)
from pytest_chatapi.contract.validation import SchemaViolation
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import ABSENT, Shown

__all__ = ["Course", "check_end", "check_usage_place", "stream_truncated"]


class Course:
    """What a stream has shown so far.

    Attributes:
        number: of chunks.
        done: there was a ``[DONE]``.
        failed: there was an error event.
        lost: something could not be read, so what is missing may have been in it.
        lost_last: the last event could not be read.
        filtered: there was a chunk of an asynchronous content filter.
        blank: choices with an unusable finish_reason, which another code reports.
        roleless: first deltas without a role: index, position, role, chunk.
        bare: a chunk without choices and usage; it may have been meant to have the usage.
        usages: number of chunks with a usage object.
        usage_on_choice: the last of them has choices too.
        choices_after_usage: there were choices after it.
        update_after_usage: an audio's closing update came after it.
        null_counts: what is null in the last usage object; `null_counts_chunk` is its chunk.
    """

    __slots__ = (
        "answer",
        "ask",
        "bare",
        "blank",
        "choices_after_usage",
        "done",
        "failed",
        "filtered",
        "lost",
        "lost_last",
        "null_counts",
        "null_counts_chunk",
        "number",
        "roleless",
        "update_after_usage",
        "usage_on_choice",
        "usages",
    )

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.answer = Answer(streamed=True)
        self.number = 0
        self.done = False
        self.failed = False
        self.lost = False
        self.lost_last = False
        self.filtered = False
        self.blank: set[int] = set()
        self.roleless: list[tuple[int, int, JSON, int]] = []
        self.bare: int | None = None
        self.usages = 0
        self.usage_on_choice = False
        self.choices_after_usage = False
        self.update_after_usage = False
        self.null_counts: list[SchemaViolation] = []
        self.null_counts_chunk = 0


def check_end(
    ledger: Ledger, course: Course, calls: CallFold, cut: str | None, *, framed: bool
) -> None:
    """Checks all but the usage, and completes the answer.

    Args:
        cut: which side ended the connection early, if either did.
        framed: the wire text is known, so that ``[DONE]`` can be missing.
    """
    answer = course.answer
    stopped = cut is not None and not course.done
    if stopped and cut == "server" and not course.failed:
        number = course.number
        after = f"after chunk {number - 1}" if number else "before the first chunk"
        ledger.report(
            stream_truncated,
            "a stream that reaches data: [DONE]",
            f"the end of the connection {after}",
            after,
            number - 1 if number else None,
        )
    answer.whole = not stopped and not course.failed
    if answer.whole:
        # Chunks without their wire text may be a part of the stream: only none at all is too few.
        is_empty = not answer.choices if framed else not course.number and cut is None
        if is_empty and not ledger.has(_UNREAD):
            ledger.report(stream_empty, course, framed=framed)
        else:
            _check_whole(ledger, course, framed)
    if not course.filtered and not course.lost:
        for index, position, role, number in course.roleless:
            ledger.report(stream_first_role, index, position, role, number, first=True)
    calls.end(answer.choices)
    for choice in answer.choices.values():
        choice.content.finish()
        choice.refusal.finish()
        choice.parts = choice.parts or course.lost or ledger.has(_OUT_OF_RANGE)


def check_usage_place(ledger: Ledger, course: Course) -> None:
    """Checks where the usage is, if anywhere."""
    if course.bare is not None and course.answer.usage is not None:
        ledger.report(stream_empty_choices, course.bare)
    if course.usages:
        ledger.run(USAGE_CHECKS, course)


def _check_whole(ledger: Ledger, course: Course, framed: bool) -> None:
    answer = course.answer
    unfinished = [index for index, c in sorted(answer.choices.items()) if not c.finish]
    if unfinished and not course.lost and not ledger.has(_OUT_OF_RANGE):
        missing = [answer.choices[i] for i in unfinished if i not in course.blank]
        ledger.report(stream_finish_missing, missing)
    if framed and not course.done and course.number and not course.lost_last:
        all_finished = bool(answer.choices) and not unfinished
        ledger.report(stream_done_missing, None, all_finished=all_finished)
    if answer.usage is None and course.number and not course.lost:
        ledger.report(stream_usage_missing, course)


@rule("T05")
def stream_finish_missing(choices: list[Choice]) -> list[Violation]:
    return [
        Violation(
            f"$.choices[{choice.index}].finish_reason",
            "a finish_reason before the end",
            ABSENT,
            f"choice {choice.index} never finishes",
            # The service ends an audio with the time when it expires.
            "audio-stream" if choice.audio and "expires_at" in choice.audio else "",
        )
        for choice in choices
    ]


@rule("T13")
def stream_usage_missing(course: Course) -> Violation | None:
    if not course.ask.include_usage:
        return None
    usage = course.answer.usage
    if usage is None:
        expected = "usage on a final chunk with choices: []"
        message = "`include_usage` was requested, but no chunk has usage"
        return Violation("$.usage", expected, ABSENT, message, chunk=course.bare)
    on_choice = course.usages == 1 and course.usage_on_choice
    if not (course.choices_after_usage or course.update_after_usage or on_choice):
        return None
    if not (course.choices_after_usage or on_choice):
        message = "the audio's `expires_at` is sent after the usage"
        expected = "usage after the last choice"
        case, chunk = "audio-stream", course.answer.usage_chunk
        return Violation("$.usage", expected, usage, message, case, chunk)
    return Violation(
        "$.usage",
        "usage on a chunk with choices: [] after the last choice",
        usage,
        "usage is on a chunk with choices"
        if course.usage_on_choice
        else "usage is sent before the last choice",
        "on-choice" if course.usage_on_choice else "",
        course.answer.usage_chunk,
    )


@rule("T14")
def stream_usage_unasked(course: Course) -> Violation | None:
    if not course.ask.known or course.ask.include_usage or course.ask.continuous_usage:
        return None
    expected = "no usage: `include_usage` was not requested"
    usage, chunk = course.answer.usage, course.answer.usage_chunk
    return Violation("$.usage", expected, usage, "unrequested usage chunk", chunk=chunk)


@rule("T15")
def stream_usage_cumulative(course: Course) -> Violation | None:
    if course.usages < 2 or course.ask.continuous_usage:
        return None
    message = f"usage is on {course.usages:,} chunks"
    usage, chunk = course.answer.usage, course.answer.usage_chunk
    return Violation("$.usage", "usage on one chunk only", usage, message, chunk=chunk)


@rule("T17")
def stream_truncated(expected: str, got: str, place: str, chunk: int | None = None) -> Violation:
    """For a body that is not a stream too.

    Args:
        expected, got: what should have been sent, and what was.
        place: where in the response the connection ended.
    """
    message = f"the server ended the connection {place}"
    return Violation("$", expected, Shown(got), message, chunk=chunk)


@rule("T18")
def stream_empty(course: Course, *, framed: bool) -> Violation:
    if not framed:
        message = "the stream is empty: was it read before?"
        return Violation("$", "at least one chunk", Shown("none"), message)
    got = Shown("[DONE] alone" if course.done else "no event")
    return Violation("$", "at least one chunk", got, "the stream is empty")


_OUT_OF_RANGE = codes_of(stream_index_range)
# With one of these, the stream is not empty: it only has no choice that could be read.
_UNREAD = codes_of(stream_empty_choices, stream_chunk_json, stream_index_range, sse_framing, schema)
USAGE_CHECKS = checks(stream_usage_cumulative, stream_usage_unasked, stream_usage_missing)
