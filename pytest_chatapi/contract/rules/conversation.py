"""Q08, Q11 and Q14: the messages of a request."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules.refused import tools_missing
from pytest_chatapi.contract.rules.registry import Violation, code_of, rule
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT, show

__all__ = ["check_conversation"]


def check_conversation(ledger: Ledger, ask: Ask, messages: list[JSON]) -> None:
    calls = OpenCalls()
    for position, message in enumerate(messages):
        if not isinstance(message, dict):
            continue
        role = message.get("role")
        if calls.waiting or role == "tool":
            ledger.report(tool_message_unpaired, calls, message, position)
        if role == "assistant":
            if message.get("content") is None:
                ledger.report(assistant_empty, message, position)
            elif message.get("tool_calls") == []:
                ledger.add(_TOOLS_MISSING, _no_calls(position))
            calls.open(message, position)
    if calls.waiting:
        ledger.report(tool_message_unpaired, calls, None, len(messages))
    if ask.format == "json_object":
        ledger.report(json_word_absent, messages)


_TOOLS_MISSING = code_of(tools_missing)


def _no_calls(position: int) -> Violation:
    return Violation(
        f"$.messages[{position}].tool_calls",
        "at least one call",
        [],
        "`tool_calls` is empty: leave it out",
        "calls",
    )


class OpenCalls:
    """Tool calls without a tool message so far (`waiting`), and ids that got one (`answered`)."""

    __slots__ = ("answered", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[str, str] = {}  # call id -> path of the call
        self.answered: set[str] = set()

    def open(self, message: JSONObject, position: int) -> None:
        calls = message.get("tool_calls")
        for number, call in enumerate(calls if isinstance(calls, list) else ()):
            id_ = call.get("id") if isinstance(call, dict) else None
            if isinstance(id_, str):
                self.waiting[id_] = f"$.messages[{position}].tool_calls[{number}]"


@rule("Q08")
def assistant_empty(message: JSONObject, position: int) -> Violation | None:
    """For a message whose content is absent or null."""
    if any(message.get(key) for key in ("tool_calls", "function_call", "audio", "refusal")):
        return None
    return Violation(
        f"$.messages[{position}]",
        "content or tool_calls",
        message,
        "the assistant message has neither content nor calls",
    )


@rule("Q11")
def tool_message_unpaired(
    calls: OpenCalls, message: JSONObject | None, position: int
) -> list[Violation] | Violation | None:
    """Calls have to be answered, each once, before any other message.

    Args:
        message: the next one, ``None`` after the last.
    """
    if message is None or message.get("role") != "tool":
        before = "" if message is None else f" before message {position}"
        waiting, calls.waiting = calls.waiting, {}
        return [
            Violation(
                path,
                f"a tool message for {show(id_)}{before}",
                ABSENT,
                "the call is not answered",
            )
            for id_, path in waiting.items()
        ]
    id_ = message.get("tool_call_id")
    if not isinstance(id_, str):
        return None
    twice = id_ in calls.answered
    calls.answered.add(id_)
    if calls.waiting.pop(id_, None) is not None:
        return None
    return Violation(
        f"$.messages[{position}].tool_call_id",
        "the id of a call just made",
        id_,
        "the call is answered twice" if twice else "no earlier assistant message made this call",
    )


@rule("Q14")
def json_word_absent(messages: list[JSON]) -> Violation | None:
    if any("json" in text.lower() for text in _texts(messages)):
        return None
    expected = "the word JSON in a message"
    why = "`json_object` is requested, but no message contains the word JSON"
    return Violation("$.messages", expected, ABSENT, why)


def _texts(messages: list[JSON]) -> Iterator[str]:
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            yield content
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]
