"""What a log shows that assembled a response from what a client library returned."""

from __future__ import annotations

import json
import re

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Answer, Choice, Text, read_message
from pytest_chatapi.contract.exchange import Exchange, Request
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules import message
from pytest_chatapi.contract.rules.correlation import check_choice
from pytest_chatapi.contract.rules.facts import ChoiceFacts
from pytest_chatapi.contract.rules.structured import check_structured
from pytest_chatapi.contract.rules.text import check_text
from pytest_chatapi.contract.rules.tools import check_calls
from pytest_chatapi.contract.rules.usage import check_usage
from pytest_chatapi.contract.wire import JSON, JSONObject

__all__ = [
    "SummedUsage",
    "check_logged_message",
    "is_in_logs",
    "is_logged_message",
    "is_understood",
    "is_whole_request",
]

# A message may be empty with `length`, and the log does not have the finish_reason.
_CHECKS = tuple(check for check in message.CHECKS if check[1] is not message.message_empty)


class SummedUsage(JSONObject):
    """Usage with a total that a reader added up: it is right, whatever the server sent."""


def is_logged_message(body: JSON) -> bool:
    """Whether a body is ``{message, usage, finish_reason}``, as the readers of logs make it."""
    return isinstance(body, dict) and isinstance(body.get("message"), dict)


_PARTS = frozenset(
    {"content", "refusal", "audio", "reasoning", "reasoning_content", "tool_calls", "function_call"}
)


def is_understood(body: JSONObject) -> bool:
    """Whether all texts and calls of a logged message are where chat completions have them.

    Libraries parse content, and have forms of their own for calls.
    """
    message = body["message"]
    content, calls = message.get("content"), message.get("tool_calls")
    if content is None:
        if _PARTS.isdisjoint(message):
            return False
    elif not isinstance(content, str) and _joined(content) is None:
        return False
    if calls and not (isinstance(calls, list) and all(map(_is_call, calls))):
        return False
    legacy = message.get("function_call")
    return not legacy or _is_function(legacy, "arguments")


def _is_call(call: JSON) -> bool:
    return isinstance(call, dict) and (
        _is_function(call.get("function"), "arguments") or _is_function(call.get("custom"), "input")
    )


def _is_function(function: JSON, text: str) -> bool:
    return (
        isinstance(function, dict)
        and isinstance(function.get("name"), str)
        and isinstance(function.get(text), str | dict | None)
    )


def _joined(content: JSON) -> str | None:
    """The text of a list of parts, if all of them are text."""
    texts: list[str] = []
    for part in content if isinstance(content, list) else [None]:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if not isinstance(text, str):
            return None
        texts.append(text)
    return "".join(texts)


def _as_sent(message: JSONObject) -> JSONObject:
    """A message with parts of text joined, and with arguments that a library parsed as text."""
    content, calls = message.get("content"), message.get("tool_calls")
    if isinstance(content, list):
        message = {**message, "content": _joined(content)}
    if calls:
        message = {**message, "tool_calls": [_with_text(call) for call in calls]}
    return message


def _with_text(call: JSONObject) -> JSONObject:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), dict):
        return call
    return {**call, "function": {**function, "arguments": json.dumps(function["arguments"])}}


# Words for a message that may be incomplete.
_CUT = frozenset({"length", "max_tokens", "content_filter"})


def check_logged_message(ledger: Ledger, ask: Ask, body: JSON) -> Answer:
    """Checks what a message alone shows: its text, its calls, and both against the request.

    Its shape is not checked: that is the log's own.

    Args:
        body: ``{message, usage, finish_reason}``; `is_understood`, and the last two may be absent.
    """
    answer = Answer(streamed=False)
    answer.last = body
    choice = answer.choices[0] = Choice(
        0, "$.choices[0].message", Text(True, ask.stops), Text(True)
    )
    read_message(choice, _as_sent(body["message"]))
    usage = body.get("usage")
    answer.usage = usage if isinstance(usage, dict) else None
    if answer.usage is not None:
        check_usage(ledger, answer.usage, answered=False)
        used = answer.usage.get("completion_tokens")
        if ask.cap is not None and type(used) is int and used >= ask.cap:
            choice.finish = "length"  # cut off, so its text and its arguments may be incomplete
    finish = body.get("finish_reason")
    if isinstance(finish, str) and finish in _CUT:
        choice.finish = "length"
    facts = ChoiceFacts(ask, answer, choice)
    ledger.run(_CHECKS, facts)
    check_text(ledger, facts)
    if choice.called or choice.content.markup:
        check_calls(ledger, facts)
    if ask.known:
        if ask.format is not None and choice.content.any:  # a log may leave a refusal out
            check_structured(ledger, facts)
        check_choice(ledger, facts)
    return answer


# Home-made logs keep choices and usage, often without the frame around them.
_FRAME = re.compile(r"\$\.(?:id|object|created|model|choices\[\d+\]\.index)")


def is_in_logs(finding: Finding, exchange: Exchange) -> bool:
    """Whether a finding is about something that an assembled log shows as it was on the wire.

    A client library turns an error into an exception, writes null for absent keys and drops
    members that it does not model, more of them where it joins the chunks of a stream.
    """
    code = finding.code
    if code[0] in "HX" or code in ("K11", "K13", "K14", "S11", "S12"):
        return False
    if code == "S01" and finding.case in ("null", "absent"):
        return False
    if finding.got == "absent" and _FRAME.fullmatch(finding.path):
        return False
    if code == "C07":  # a forced call finishes with `stop`
        return is_whole_request(exchange.request)
    if code not in ("L05", "U05"):
        return True
    response = exchange.response
    is_alone = response is not None and is_logged_message(response.body)
    return not is_alone and not _is_streamed(exchange.request)


def is_whole_request(request: Request | None) -> bool:
    """Whether a log has all that was asked for, ``tool_choice`` included."""
    return request is not None and request.body is not None and not request.partial


def _is_streamed(request: Request | None) -> bool:
    body = request.body if request is not None else None
    return isinstance(body, dict) and body.get("stream") is True
