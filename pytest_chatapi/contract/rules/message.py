"""S05 to S09 and S15: the choices of an answer and their messages."""

from __future__ import annotations

from pytest_chatapi.contract.assemble import Answer, Choice
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.wording import ABSENT, Shown

__all__ = ["check_indexes", "check_message"]

# `tool_calls` without calls is C08.
_EXCUSES = ("length", "content_filter", "tool_calls")


def check_indexes(ledger: Ledger, indexes: list[int]) -> None:
    """S06, for an answer that is no stream."""
    if sorted(indexes) != list(range(len(indexes))):
        ledger.add(
            "S06",
            "$.choices[0].index" if len(indexes) == 1 else "$.choices",
            "0" if len(indexes) == 1 else f"0 to {len(indexes) - 1}, each once",
            indexes[0] if len(indexes) == 1 else indexes,
            "the choice indexes are not 0 to n-1",
        )


def check_message(ledger: Ledger, answer: Answer, choice: Choice, where: str) -> None:
    """S08 (for a joined message), S09 and S15."""
    if answer.streamed and choice.role in ("developer", "system", "user", "tool"):
        ledger.add(
            "S08", f"{where}.role", '"assistant"', choice.role, "the role is not `assistant`"
        )
    empty = not (
        choice.content.any or choice.refusal.any or choice.audio or choice.called or choice.parts
    )
    if empty and answer.whole and choice.finish not in _EXCUSES:
        details = (answer.usage or {}).get("completion_tokens_details")
        reasoned = isinstance(details, dict) and details.get("reasoning_tokens")
        if not reasoned:
            ledger.add(
                "S09",
                where,
                "content, a refusal, audio or calls",
                ABSENT,
                f"the message of choice {choice.index} says nothing",
            )
    for name, text in (("content", choice.content), ("refusal", choice.refusal)):
        if text.broken:
            ledger.add(
                "S15",
                f"{where}.{name}",
                "text without U+FFFD",
                Shown("U+FFFD"),
                "a multi-byte character was cut: the text holds a replacement character",
            )
