"""K and L05: the response against the request."""

from __future__ import annotations

from collections.abc import Callable, Collection

from pytest_chatapi.contract.ask import KIND_WORDS, ToolKey
from pytest_chatapi.contract.assemble import Call, Choice
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules.facts import AnswerFacts, ChoiceFacts
from pytest_chatapi.contract.rules.logprobs import logprob_asked
from pytest_chatapi.contract.rules.registry import (
    Violation,
    Violations,
    checks,
    checks_by_member,
    codes_of,
    rule,
)
from pytest_chatapi.contract.rules.stream_chunks import stream_index_range
from pytest_chatapi.contract.rules.usage import cache_unasked
from pytest_chatapi.contract.wording import ABSENT, Shown, listed, plural, show

__all__ = ["check_answer", "check_choice"]


def check_answer(ledger: Ledger, facts: AnswerFacts) -> None:
    """K01, K02, K09, K11 to K14, and U09."""
    if not ledger.has(_OUT_OF_RANGE):  # such a choice is left out, and reported already
        ledger.report(n_choices, facts)
    ledger.run(_answer_checks(facts.ask.members), facts)


def check_choice(ledger: Ledger, facts: ChoiceFacts) -> None:
    """K03 to K08, K10 and L05."""
    choice = facts.choice
    has_unasked = choice.audio or choice.logprobs
    ledger.run(CHOICE_CHECKS if has_unasked else _choice_checks(facts.ask.members), facts)


@rule("K01")
def n_choices(facts: AnswerFacts) -> Violation | None:
    count, n = len(facts.answer.choices), facts.ask.n
    if count == n or not count or not facts.answer.whole:
        return None
    message = f"{plural(count, 'choice')} for n = {n}"
    return Violation("$.choices", f"{plural(n, 'choice')} (n)", Shown(str(count)), message)


@rule("K02")
def max_tokens(facts: AnswerFacts) -> Violation | None:
    cap = facts.ask.cap
    if cap is None:
        return None
    used, most = _used(facts), facts.ask.n * cap
    if used is None or used <= most:
        return None
    return Violation(
        "$.usage.completion_tokens",
        f"at most {most}",
        used,
        "more completion tokens than the request allows",
        chunk=facts.answer.usage_chunk,
    )


def _used(facts: AnswerFacts) -> int | None:
    usage = facts.answer.usage or {}
    used = usage.get("completion_tokens")
    if type(used) is not int:
        return None
    details = usage.get("completion_tokens_details")
    if facts.profile == "compatible" and isinstance(details, dict):
        reasoning = details.get("reasoning_tokens")
        used -= reasoning if type(reasoning) is int else 0
    return used


@rule("K03")
def length_reason(facts: ChoiceFacts) -> Violation | None:
    ask, choice = facts.ask, facts.choice
    if ask.cap is None or ask.n != 1 or choice.finish in (None, "", "length", "tool_calls"):
        return None
    if choice.stop_reason is not None:  # a stop string or token ended it, on the last token
        return None
    if (facts.answer.usage or {}).get("completion_tokens") != ask.cap:
        return None
    return Violation(
        f"{_place(choice)}.finish_reason",
        '"length"',
        choice.finish,
        f"the response used all {ask.cap} tokens, but does not finish with `length`",
    )


@rule("K04")
def stop_in_text(facts: ChoiceFacts) -> Violation | None:
    stop = facts.choice.content.stopped
    if stop is None or facts.ask.body.get("include_stop_str_in_output") is True:
        return None
    return Violation(
        f"{_place(facts.choice)}.message.content",
        Shown(f"text without the stop sequence {show(stop, 40)}"),
        stop,
        "the text contains a stop sequence",
    )


@rule("K05")
def tool_choice_none(facts: ChoiceFacts) -> Violation | None:
    if facts.ask.choice != "none" or not facts.choice.called:
        return None
    return Violation(
        f"{_place(facts.choice)}.message.tool_calls",
        'no calls (tool_choice "none")',
        _names(facts.choice.all_calls),
        "the response has calls although `tool_choice` is none",
    )


@rule("K06")
def tool_choice_required(facts: ChoiceFacts) -> Violation | None:
    ask, choice = facts.ask, facts.choice
    if ask.choice != "required" or choice.called or _is_excused(facts):
        return None
    if not ask.body.get("tools"):
        return None  # reported as Q10
    return Violation(
        f"{_place(choice)}.message.tool_calls",
        "at least one call",
        ABSENT,
        "the response has no call although `tool_choice` is required",
    )


@rule("K07")
def tool_choice_named(facts: ChoiceFacts) -> Violation | None:
    ask, choice = facts.ask, facts.choice
    if ask.allowed is not None:
        return _outside_of_allowed(ask.allowed, choice)
    if ask.choice != "named" or ask.named is None or ask.named not in ask.tools:
        return None
    path, name = f"{_place(choice)}.message.tool_calls", show(ask.named[1])
    calls = choice.all_calls
    if not calls:
        if _is_excused(facts):
            return None
        message = "the tool that `tool_choice` names is not called"
        return Violation(path, f"a call of {name}", ABSENT, message)
    others = [call for call in calls if call.key not in (None, ask.named)]
    if not others:
        return None
    message = "a tool other than the one that `tool_choice` names is called"
    if all(call.name == ask.named[1] for call in others):
        kind, sent = KIND_WORDS[ask.named[0]], KIND_WORDS[others[0].kind]
        message = f"`tool_choice` names a {kind}, but this calls a {sent}"
    return Violation(path, f"calls of {name} only", _names(calls), message)


def _outside_of_allowed(allowed: tuple[ToolKey, ...], choice: Choice) -> Violation | None:
    outside = [call for call in choice.all_calls if call.key not in (None, *allowed)]
    if not outside:
        return None
    return Violation(
        f"{_place(choice)}.message.tool_calls",
        f"calls of {listed([name for _, name in allowed]) or 'no tool'} only",
        _names(outside),
        "a tool that `allowed_tools` does not list is called",
    )


@rule("K08")
def parallel_calls(facts: ChoiceFacts) -> Violation | None:
    if facts.ask.parallel is not False:
        return None
    calls = facts.choice.all_calls
    if len(calls) < 2:
        return None
    return Violation(
        f"{_place(facts.choice)}.message.tool_calls",
        "at most one call",
        _names(calls),
        f"{len(calls)} calls although `parallel_tool_calls` is false",
    )


@rule("K09")
def model_echo(facts: AnswerFacts) -> Violation | None:
    requested, actual = facts.ask.model, facts.answer.model
    if not (isinstance(requested, str) and isinstance(actual, str) and actual):
        return None
    # Routers may remove the maker from "maker/model".
    if actual.lower().split("/")[-1].startswith(requested.lower().split("/")[-1]):
        return None
    return Violation(
        "$.model",
        f"{show(requested)} or a version of it",
        actual,
        "the model is not the requested one",
    )


@rule("K10")
def audio_asked(facts: ChoiceFacts) -> Violation | None:
    if not facts.choice.audio or "audio" in facts.ask.modalities:
        return None
    return Violation(
        f"{_place(facts.choice)}.message.audio",
        "no audio",
        Shown("audio"),
        "the response has audio although `modalities` does not include it",
    )


@rule("K11")
def tier_echo(facts: AnswerFacts) -> Violation | None:
    if "service_tier" not in facts.ask.echoes or not facts.answer.whole:
        return None
    requested, actual = facts.ask.body["service_tier"], facts.answer.echo.get("service_tier")
    if actual is None:
        message = f"the request asks for {show(requested, 40)}, but the response names no tier"
        return Violation("$.service_tier", "the tier that served the request", ABSENT, message)
    if requested in ("fast", "priority") and actual == "fast":
        message = f"a request for {show(requested)} was served as `priority`"
        return Violation("$.service_tier", '"priority"', actual, message)
    return None


@rule("K12")
def reasoning_unasked(facts: AnswerFacts) -> Violation | None:
    details = (facts.answer.usage or {}).get("completion_tokens_details")
    used = details.get("reasoning_tokens") if isinstance(details, dict) else None
    if facts.ask.body.get("reasoning_effort") != "none" or type(used) is not int or used <= 0:
        return None
    return Violation(
        "$.usage.completion_tokens_details.reasoning_tokens",
        '0 (reasoning_effort "none")',
        used,
        "the model reasoned although `reasoning_effort` is none",
        chunk=facts.answer.usage_chunk,
    )


@rule("K13")
def metadata_echo(facts: AnswerFacts) -> Violation | None:
    actual = facts.answer.echo.get("metadata")
    if actual is None or actual == facts.ask.body.get("metadata"):
        return None
    message = "the metadata differs from the request's"
    return Violation("$.metadata", show(facts.ask.body.get("metadata")), actual, message)


@rule("K14")
def moderation_absent(facts: AnswerFacts) -> Violation | None:
    answer = facts.answer
    if "moderation" not in facts.ask.echoes or "moderation" in answer.echo or not answer.whole:
        return None
    message = "the request asks for moderation, but the response has none"
    return Violation("$.moderation", "an object", ABSENT, message)


def _place(choice: Choice) -> str:
    return f"$.choices[{choice.index}]"


def _is_excused(facts: ChoiceFacts) -> bool:
    """Whether a call may be missing: cut, filtered or refused; for `tool_calls` it is C08."""
    return (
        facts.choice.finish in ("length", "content_filter", "tool_calls")
        or facts.choice.refusal.any
        or not facts.answer.whole
    )


def _names(calls: list[Call]) -> Shown:
    text = ", ".join(show(call.name, 40) for call in calls[:5])
    return Shown(text + (f" and {len(calls) - 5} more" if len(calls) > 5 else ""))


_OUT_OF_RANGE = codes_of(stream_index_range)
_answer_checks = checks_by_member(
    {
        max_tokens: ("max_tokens", "max_completion_tokens"),
        model_echo: ("model",),
        tier_echo: ("service_tier",),
        reasoning_unasked: ("reasoning_effort",),
        metadata_echo: ("metadata",),
        moderation_absent: ("moderation",),
        cache_unasked: ("prompt_cache_options",),
    }
)
# Audio and log probabilities that nothing asked for are looked for in any choice that has them: see
# `check_choice`.
_OF_CHOICES: dict[Callable[[ChoiceFacts], Violations], Collection[str]] = {
    length_reason: ("max_tokens", "max_completion_tokens"),
    stop_in_text: ("stop",),
    tool_choice_none: ("tool_choice", "function_call"),
    tool_choice_required: ("tool_choice", "function_call"),
    tool_choice_named: ("tool_choice", "function_call"),
    parallel_calls: ("parallel_tool_calls",),
    audio_asked: (),
    logprob_asked: ("logprobs",),
}
_choice_checks = checks_by_member(_OF_CHOICES)
CHOICE_CHECKS = checks(*_OF_CHOICES)
