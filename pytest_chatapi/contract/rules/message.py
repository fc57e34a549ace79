"""S05, S06, S08, S09 and S15: choices and their messages."""

from __future__ import annotations

from pytest_chatapi.contract.assemble import Call
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules.facts import ChoiceFacts
from pytest_chatapi.contract.rules.registry import Violation, checks, rule
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import ABSENT, Shown

__all__ = ["check_message", "choice_index", "choices_empty"]


def check_message(ledger: Ledger, facts: ChoiceFacts) -> None:
    """S08, S09 and S15 for one choice."""
    choice = facts.choice
    is_plain_text = choice.content.any and not (choice.content.broken or choice.refusal.broken)
    if not is_plain_text or choice.called or facts.answer.streamed:
        ledger.run(CHECKS, facts)


# Reasons with which a message may be empty; `tool_calls` without calls is C08.
_EXCUSES = ("length", "content_filter", "tool_calls")


@rule("S05")
def choices_empty(body: JSONObject) -> Violation | None:
    if body.get("choices") != []:
        return None
    return Violation("$.choices", "at least one choice", [], "the response has no choices")


@rule("S06")
def choice_index(indexes: list[int]) -> Violation | None:
    """For a response that is not a stream."""
    if sorted(indexes) == list(range(len(indexes))):
        return None
    alone = len(indexes) == 1
    return Violation(
        "$.choices[0].index" if alone else "$.choices",
        "0" if alone else f"0 to {len(indexes) - 1}, each once",
        indexes[0] if alone else indexes,
        "the choice indexes are not 0 to n-1",
    )


@rule("S08")
def message_role(facts: ChoiceFacts) -> Violation | None:
    """For a stream; the message of any other response violates the schema."""
    role = facts.choice.role
    if not facts.answer.streamed or role not in ("developer", "system", "user", "tool"):
        return None
    path = f"{facts.choice.path}.role"
    return Violation(path, '"assistant"', role, "the role is not `assistant`")


@rule("S09")
def message_empty(facts: ChoiceFacts) -> Violation | None:
    choice, answer = facts.choice, facts.answer
    if choice.content.any or choice.refusal.any or choice.audio or choice.called or choice.parts:
        return None
    if choice.reasoned or not answer.whole or choice.finish in _EXCUSES:
        return None
    details = (answer.usage or {}).get("completion_tokens_details")
    if isinstance(details, dict) and details.get("reasoning_tokens"):
        return None
    return Violation(
        choice.path,
        "content, a refusal, audio or calls",
        ABSENT,
        f"the message of choice {choice.index} is empty",
    )


@rule("S15")
def replacement_character(facts: ChoiceFacts) -> list[Violation] | None:
    choice = facts.choice
    texts = [
        (f"{choice.path}.{name}", text.broken)
        for name, text in (("content", choice.content), ("refusal", choice.refusal))
    ]
    if choice.called:
        texts += [_arguments(call) for call in choice.all_calls]
    elif not (choice.content.broken or choice.refusal.broken):
        return None
    message = "the text contains a replacement character: a multi-byte character was cut"
    return [
        Violation(path, "text without U+FFFD", Shown("U+FFFD"), message)
        for path, broken in texts
        if broken
    ]


def _arguments(call: Call) -> tuple[str, bool]:
    """Path of the arguments or the input, and whether U+FFFD is in it, plain or escaped."""
    text = call.text or ""
    if call.kind == "custom":
        return f"{call.path}.custom.input", "\ufffd" in text
    inner = "function." if call.kind == "function" else ""
    broken = "\ufffd" in text or "\\ufffd" in text or "\\uFFFD" in text
    return f"{call.path}.{inner}arguments", broken


CHECKS = checks(message_role, message_empty, replacement_character)
