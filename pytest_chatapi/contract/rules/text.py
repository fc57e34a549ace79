"""S17 to S19: the text of a message, its citations, and markup that leaked into it."""

from __future__ import annotations

import re

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Choice, Text
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.markup import Leak, Leaks, kinds_in
from pytest_chatapi.contract.rules.facts import ChoiceFacts
from pytest_chatapi.contract.rules.registry import Violation, rule
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import Shown, show

__all__ = ["check_text"]


def check_text(ledger: Ledger, facts: ChoiceFacts) -> None:
    """S17 to S19, each where a choice has what it is about."""
    choice = facts.choice
    if choice.citations:
        ledger.report(citation_range, facts)
    if choice.refusal.any and choice.content.any:
        ledger.report(content_and_refusal, facts)
    if choice.content.leaks is not None:
        ledger.report(markup_leak, facts, choice.content.leaks)


@rule("S17")
def citation_range(facts: ChoiceFacts) -> list[Violation]:
    choice, text = facts.choice, facts.choice.content
    most = text.length if facts.answer.whole and not choice.parts else None
    violations = []
    for position, citation in enumerate(choice.citations):
        inner = citation.get("url_citation") if isinstance(citation, dict) else None
        if not isinstance(inner, dict):
            continue
        start, end = inner.get("start_index"), inner.get("end_index")
        if type(start) is not int or type(end) is not int:
            continue  # which violates the schema
        case = ""
        if start > end:
            expected, message = "start_index <= end_index", "the citation ends before it starts"
        elif start < 0 or (most is not None and end > most):
            expected = "indexes >= 0" if most is None else f"indexes from 0 to {most}"
            message = f"the citation is outside of the text, which has {most} characters"
            if start < 0:
                message = "the citation starts before the text"
            elif end <= _longest(text):
                case = "units"
                message += ": perhaps the indexes count bytes or UTF-16 units"
        else:
            continue
        path = f"{choice.path}.annotations[{position}].url_citation"
        violations.append(
            Violation(path, expected, Shown(f"{show(start)} to {show(end)}"), message, case)
        )
    return violations


def _longest(text: Text) -> int:
    """The length of a text in bytes, or the most that it can be where it was not kept."""
    if text.is_ascii:
        return text.length
    return len(str(text).encode("utf-8", "surrogatepass")) if text.kept else 4 * text.length


@rule("S18")
def content_and_refusal(facts: ChoiceFacts) -> Violation:
    return Violation(
        facts.choice.path,
        "content or a refusal",
        Shown("both"),
        "the message has text content and a refusal",
    )


@rule("S19")
def markup_leak(facts: ChoiceFacts, leaks: Leaks) -> Violation | None:
    ask, choice = facts.ask, facts.choice
    found = [leak for leak in leaks.found.values() if not _is_reported(ask, choice, leak)]
    if not found and not leaks.block:
        return None
    if _asks_for_markup(ask):
        return None
    kinds = _kinds_of_request(ask)
    found = [leak for leak in found if leak.kind not in kinds]
    path, expected = f"{choice.path}.content", "text without the model's own markers"
    if found:
        markers, near = ", ".join(leak.marker for leak in found), found[0].near
        message = f"the model's own markup leaked into the content, near {show(near)}"
        return Violation(path, expected, Shown(markers), message)
    if not leaks.block or "think" in kinds:
        return None
    is_cut = choice.finish in ("length", "content_filter") or not facts.answer.whole
    if leaks.open and not is_cut:
        message = f"the content begins with {leaks.block}, which is never closed"
        return Violation(path, expected, leaks.block, message)
    message = f"the content begins with a {leaks.block} block: the reasoning was not parsed"
    return Violation(path, expected, leaks.block, message, "reasoning-block")


def _is_reported(ask: Ask, choice: Choice, leak: Leak) -> bool:
    """Whether a marker is C11."""
    return leak.marker == choice.content.markup and bool(ask.tools or not ask.known)


# Parameters of servers that leave the reasoning, or special tokens, in the content.
_RAW = (
    ("reasoning_format", ("raw", "none")),
    ("separate_reasoning", (False,)),
    ("skip_special_tokens", (False,)),
)


def _asks_for_markup(ask: Ask) -> bool:
    return any(ask.body.get(key, _RAW) in values for key, values in _RAW)


_THINK_TAG = re.compile(r"\bthink(?:ing)?\b\W{0,3}(?:tag|token|block|marker)s?\b", re.IGNORECASE)


def _kinds_of_request(ask: Ask) -> set[str]:
    """The kinds of the markers that the request's own texts hold, or name."""
    texts: list[str] = []
    _collect([value for key, value in ask.body.items() if key not in _NO_TEXTS], texts)
    text = "\n".join(texts)
    kinds = kinds_in(text)
    if _THINK_TAG.search(text):
        kinds.add("think")
    return kinds


_NO_TEXTS = ("model", "metadata", "user")


def _collect(value: JSON, texts: list[str]) -> None:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
