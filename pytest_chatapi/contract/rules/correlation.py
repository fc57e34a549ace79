"""K: the answer against the question."""

from __future__ import annotations

from typing import Any

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Answer, Choice
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.wording import ABSENT, Shown, plural, show

__all__ = ["check_answer", "check_choice"]


def check_answer(ledger: Ledger, ask: Ask, answer: Answer) -> None:
    """K01, K02 and K09."""
    if not ask.known:
        return
    count = len(answer.choices)
    if count != ask.n and count and answer.whole and not ledger.has("T12"):
        ledger.add(
            "K01",
            "$.choices",
            f"{plural(ask.n, 'choice')} (n)",
            Shown(str(count)),
            f"{plural(count, 'choice')} for n = {ask.n}",
        )
    used = _used(ledger, answer)
    if ask.cap is not None and used is not None and used > ask.n * ask.cap:
        ledger.add(
            "K02",
            "$.usage.completion_tokens",
            f"at most {ask.n * ask.cap}",
            used,
            "more completion tokens than the request allows",
            chunk=answer.usage_chunk,
        )
    if _differs(ask.model, answer.model):
        ledger.add(
            "K09",
            "$.model",
            f"{show(ask.model)} or a version of it",
            answer.model,
            "the model is not the one asked for",
        )


def _used(ledger: Ledger, answer: Answer) -> int | None:
    usage = answer.usage or {}
    used = usage.get("completion_tokens")
    if type(used) is not int:
        return None
    details = usage.get("completion_tokens_details")
    if ledger.profile.name == "compatible" and isinstance(details, dict):
        reasoning = details.get("reasoning_tokens")
        used -= reasoning if type(reasoning) is int else 0
    return used


def _differs(asked: Any, got: Any) -> bool:
    if not (isinstance(asked, str) and isinstance(got, str) and got):
        return False
    asked, got = asked.lower(), got.lower()
    # A router may take the maker off: "maker/model".
    return not got.split("/")[-1].startswith(asked.split("/")[-1])


def check_choice(ledger: Ledger, ask: Ask, answer: Answer, choice: Choice) -> None:
    """K03 to K08 and K10."""
    if not ask.known:
        return
    where = f"$.choices[{choice.index}]"
    calls = [*choice.calls.values()]
    if choice.function_call is not None:
        calls.append(choice.function_call)
    used = (answer.usage or {}).get("completion_tokens")
    if (
        ask.n == 1
        and ask.cap is not None
        and used == ask.cap
        and choice.finish not in (None, "", "length", "tool_calls")
    ):
        ledger.add(
            "K03",
            f"{where}.finish_reason",
            '"length"',
            choice.finish,
            f"the answer used all {ask.cap} tokens and does not say so",
        )
    if choice.content.stopped is not None:
        ledger.add(
            "K04",
            f"{where}.message.content",
            Shown(f"text without the stop sequence {show(choice.content.stopped, 40)}"),
            choice.content.stopped,
            "a stop sequence stands in the text",
        )
    if ask.choice == "none" and calls:
        ledger.add(
            "K05",
            f"{where}.message.tool_calls",
            'no calls (tool_choice "none")',
            _names(calls),
            "calls come although `tool_choice` is none",
        )
    excused = (
        choice.finish in ("length", "content_filter", "tool_calls")  # the last is C08
        or choice.refusal.any
        or not answer.whole
    )
    if ask.choice == "required" and ask.body.get("tools") and not calls and not excused:
        ledger.add(
            "K06",
            f"{where}.message.tool_calls",
            "at least one call",
            ABSENT,
            "no call comes although `tool_choice` is required",
        )
    if ask.choice == "named" and ask.named in ask.tools:
        if not calls and not excused:
            ledger.add(
                "K07",
                f"{where}.message.tool_calls",
                f"a call of {show(ask.named)}",
                ABSENT,
                "the tool that `tool_choice` names is not called",
            )
        elif any(isinstance(c.name, str) and c.name != ask.named for c in calls):
            ledger.add(
                "K07",
                f"{where}.message.tool_calls",
                f"calls of {show(ask.named)} only",
                _names(calls),
                "another tool than the one `tool_choice` names is called",
            )
    if ask.parallel is False and len(calls) > 1:
        ledger.add(
            "K08",
            f"{where}.message.tool_calls",
            "at most one call",
            _names(calls),
            f"{len(calls)} calls although `parallel_tool_calls` is false",
        )
    if choice.audio and "audio" not in ask.modalities:
        ledger.add(
            "K10",
            f"{where}.message.audio",
            "no audio",
            Shown("audio"),
            "audio comes although `modalities` does not ask for it",
        )


def _names(calls: list[Any]) -> Shown:
    text = ", ".join(show(call.name, 40) for call in calls[:5])
    return Shown(text + (f" and {len(calls) - 5} more" if len(calls) > 5 else ""))
