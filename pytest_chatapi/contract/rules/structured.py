"""J: structured output."""

from __future__ import annotations

import re

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Answer, Choice
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.parse import is_beginning, loads
from pytest_chatapi.contract.rules.facts import ChoiceFacts
from pytest_chatapi.contract.rules.message import message_empty
from pytest_chatapi.contract.rules.registry import Violation, checks, codes_of, rule
from pytest_chatapi.contract.userschema import NotJudged, mismatch
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import Shown

__all__ = ["check_structured", "is_to_be_json"]

_FENCE = re.compile(r"\s*```")
_UNREAD = object()


def check_structured(ledger: Ledger, facts: ChoiceFacts) -> None:
    """J01 to J03 for one choice, whose text has to be kept."""
    ask, choice = facts.ask, facts.choice
    if not is_to_be_json(ask, facts.answer, choice):
        return
    is_lax = ask.format == "json_schema" and not ask.strict
    if not choice.content.any and is_lax and ledger.has(_NO_MESSAGE):
        return  # as much of a warning as J02 would be
    ledger.run(CHECKS, StructuredText(facts))


def is_to_be_json(ask: Ask, answer: Answer, choice: Choice) -> bool:
    """Whether the content of a choice is complete, and the request wants it as JSON."""
    if ask.format not in ("json_object", "json_schema") or not answer.whole or choice.parts:
        return False
    if choice.finish in ("length", "content_filter") or choice.refusal.any or choice.called:
        return False
    if not choice.content.any and (choice.audio or choice.finish == "tool_calls"):  # C08
        return False
    return bool(choice.finish) or not answer.streamed  # else it may be incomplete, which is T05


class StructuredText:
    """Content that has to be JSON.

    Attributes:
        path: of the content.
        format: ``json_object`` or ``json_schema``.
        fenced: it begins with a code fence, and is not parsed.
        value: parsed; `_UNREAD` if it is not JSON or is fenced.
        why_not: why it is not JSON, ``None`` if it is.
        stopped: it is not JSON because a stop sequence of the request cut it.
    """

    __slots__ = (
        "fenced",
        "format",
        "path",
        "schema",
        "stopped",
        "strict",
        "text",
        "value",
        "why_not",
    )

    def __init__(self, facts: ChoiceFacts) -> None:
        ask = facts.ask
        self.format, self.schema, self.strict = ask.format, ask.schema, ask.strict
        self.path = f"$.choices[{facts.choice.index}].message.content"
        self.text = str(facts.choice.content)
        self.value: JSON = _UNREAD
        self.why_not: str | None = None
        self.fenced = _FENCE.match(self.text) is not None
        if not self.fenced:
            try:
                self.value = loads(self.text)
            except ValueError as error:
                self.why_not = str(error)
        self.stopped = self.why_not is not None and _is_stopped(ask, facts.choice, self.text)

    def not_json(self, case: str = "") -> Violation:
        message = f"the content is not JSON: {self.why_not}"
        if self.stopped:
            message = "a stop sequence of the request cuts the JSON"
            return Violation(self.path, "JSON", self.text, message, "stopped")
        if not self.text:
            return Violation(self.path, "JSON", Shown("nothing"), "the content is empty", case)
        return Violation(self.path, "JSON", self.text, message, case)


def _is_stopped(ask: Ask, choice: Choice, text: str) -> bool:
    """Whether a stop of the request ended this text, which is not JSON."""
    if choice.finish != "stop":
        return False
    reason = choice.stop_reason
    ids = ask.body.get("stop_token_ids")
    if isinstance(ids, list) and type(reason) is int and reason in ids:
        return True
    if reason is not None or choice.ended:
        return reason in ask.stops
    # Nothing says what ended it: a text that begins as JSON, and could go on with the stop.
    return bool(ask.stops) and bool(text.strip()) and is_beginning(text)


@rule("J01")
def json_object(content: StructuredText) -> Violation | None:
    if content.format != "json_object":
        return None
    if content.why_not is not None:
        return content.not_json()
    if content.value is _UNREAD or isinstance(content.value, dict):
        return None
    message = "the content is not a JSON object"
    return Violation(content.path, "a JSON object", content.text, message)


@rule("J02")
def json_schema(content: StructuredText) -> Violation | None:
    if content.format != "json_schema":
        return None
    case = "" if content.strict else "not-strict"
    if content.why_not is not None:
        return content.not_json(case)
    if content.value is _UNREAD or not isinstance(content.schema, dict):
        return None
    try:
        error = mismatch(content.schema, content.value)
    except NotJudged as trouble:
        message = f"the content was not checked against the schema: {trouble}"
        expected = "a schema that can be checked"
        return Violation(content.path, expected, content.text, message, "unchecked")
    if error is None:
        return None
    place, why = error
    return Violation(
        content.path,
        f"content that the schema of response_format allows{place}",
        content.text,
        f"the content does not match the schema: {why}",
        case,
    )


@rule("J03")
def json_fenced(content: StructuredText) -> Violation | None:
    if not content.fenced:
        return None
    message = "the content is wrapped in a code fence"
    return Violation(content.path, "bare JSON", content.text, message)


_NO_MESSAGE = codes_of(message_empty)
CHECKS = checks(json_fenced, json_object, json_schema)
