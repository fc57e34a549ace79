"""C01, C03, C04 and C07 to C11: tool calls. C05 and C06 are in `stream_calls`."""

from __future__ import annotations

from collections import Counter

from pytest_chatapi.contract.assemble import Call, Choice
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.parse import loads
from pytest_chatapi.contract.rules.facts import ChoiceFacts
from pytest_chatapi.contract.rules.registry import Violation, checks, rule
from pytest_chatapi.contract.userschema import mismatch
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import ABSENT, listed, show

__all__ = ["check_calls"]


def check_calls(ledger: Ledger, facts: ChoiceFacts) -> None:
    """C01, C03, C04 and C07 to C11 for one choice."""
    choice = facts.choice
    if choice.calls:
        ledger.report(tool_call_id, choice)
        for call in choice.calls.values():
            ledger.run(CALL_CHECKS, CallFacts(facts, call))
    if choice.function_call is not None:
        ledger.run(ARGUMENT_CHECKS, CallFacts(facts, choice.function_call))
    ledger.run(CHOICE_CHECKS, facts)


_EMPTY = object()
_UNREAD = object()


class CallFacts:
    """One call, and its arguments as JSON if they should be complete.

    Attributes:
        text: the arguments as they were sent.
        arguments: parsed; `_EMPTY` if they are blank, `_UNREAD` if they may be incomplete.
        why_not: why they are not JSON, ``None`` if they are.
    """

    __slots__ = ("answer", "arguments", "ask", "call", "text", "why_not")

    def __init__(self, facts: ChoiceFacts, call: Call) -> None:
        self.ask = facts.ask
        self.answer = facts.answer
        self.call = call
        self.text = call.text or ""
        self.arguments: JSON = _UNREAD
        self.why_not: str | None = None
        if call.kind == "custom" or call.text is None or not facts.answer.whole:
            return
        finish = facts.choice.finish
        if finish in ("length", "content_filter") or (facts.answer.streamed and not finish):
            return
        try:
            self.arguments = loads(self.text) if self.text.strip() else _EMPTY
        except ValueError as error:
            self.why_not = str(error)

    @property
    def path(self) -> str:
        return f"{self.call.path}.{_inner(self.call)}arguments"


def _inner(call: Call) -> str:
    return "" if call.path.endswith("function_call") else f"{call.kind}."


@rule("C01")
def tool_call_shape(facts: CallFacts) -> list[Violation] | Violation | None:
    """Where no fragment of a call has a key, or a name is empty; the rest violates the schema."""
    call = facts.call
    if not (facts.answer.streamed and facts.answer.whole):
        if call.name != "":
            return None
        path = f"{call.path}.{call.kind}.name"
        return Violation(path, "a non-empty string", "", "the call has an empty name")
    if call.id is not None and call.typed is not None and call.name:
        return None
    members = (
        ("id", f"{call.path}.id", call.id),
        ("type", f"{call.path}.type", call.typed),
        ("name", f"{call.path}.{call.kind}.name", call.name),
    )
    return [
        Violation(
            path,
            "a non-empty string",
            ABSENT if value is None else value,
            f"no fragment of the call has `{key}`",
            key,
            call.chunk,
        )
        for key, path, value in members
        if value is None or (key == "name" and value == "")
    ]


@rule("C03")
def tool_arguments_json(facts: CallFacts) -> Violation | None:
    if facts.why_not is not None:
        message = f"the arguments are not JSON: {facts.why_not}"
    elif facts.arguments is _EMPTY:
        message = "the arguments are empty"
    elif facts.arguments is not _UNREAD and not isinstance(facts.arguments, dict):
        message = "the arguments are not an object"
    else:
        return None
    return Violation(facts.path, "a JSON object", facts.text, message)


@rule("C04")
def tool_call_id(choice: Choice) -> list[Violation] | None:
    ids = [call.id for call in choice.calls.values() if isinstance(call.id, str)]
    if len(set(ids)) == len(ids) and "" not in ids:
        return None
    counts, seen = Counter(ids), set[str]()
    violations = []
    for call in choice.calls.values():
        path, id_ = f"{call.path}.id", call.id
        if not isinstance(id_, str) or id_ in seen:
            continue
        seen.add(id_)
        if (count := counts[id_]) > 1:
            expected, message = "a unique id for each call", f"{count} calls share one id"
            violations.append(Violation(path, expected, id_, message, "clash"))
        elif not id_:
            violations.append(Violation(path, "a non-empty string", "", "the id is empty"))
    return violations


@rule("C07")
def tool_finish(facts: ChoiceFacts) -> Violation | None:
    choice, finish = facts.choice, facts.choice.finish
    if not choice.called or finish not in _DOCUMENTED:
        return None
    fitting = {"tool_calls" if choice.calls else "function_call", "length", "content_filter"}
    if facts.ask.choice == "named" or not choice.calls:
        fitting.add("stop")
    if finish in fitting:
        return None
    return Violation(
        f"$.choices[{choice.index}].finish_reason",
        '"tool_calls"',
        finish,
        "the message has calls, but the choice does not finish with `tool_calls`",
    )


_DOCUMENTED = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


@rule("C08")
def tool_finish_no_calls(facts: ChoiceFacts) -> Violation | None:
    choice = facts.choice
    if choice.finish != "tool_calls" or choice.calls or choice.parts or not facts.answer.whole:
        return None
    return Violation(
        f"$.choices[{choice.index}].message.tool_calls",
        "at least one call",
        ABSENT,
        "the choice finishes with `tool_calls`, but has no calls",
    )


@rule("C09")
def tool_unknown_name(facts: ChoiceFacts) -> list[Violation] | None:
    ask, choice = facts.ask, facts.choice
    if not ask.known or ask.choice == "none":  # K05
        return None
    violations = []
    for call in (*choice.calls.values(), choice.function_call):
        if call is None or (ask.choice == "named" and call.name != ask.named):  # K07
            continue
        if isinstance(call.name, str) and call.name and call.name not in ask.tools:
            violations.append(
                Violation(
                    f"{call.path}.{_inner(call)}name",
                    listed(ask.tools) if ask.tools else "no call: the request has no tools",
                    call.name,
                    "the call names a tool that the request does not define",
                )
            )
    return violations


@rule("C10")
def tool_strict_arguments(facts: CallFacts) -> Violation | None:
    name, arguments = facts.call.name, facts.arguments
    tool = facts.ask.tools.get(name) if isinstance(name, str) else None
    if tool is None or not isinstance(arguments, dict):
        return None
    _, parameters, strict = tool
    if not isinstance(parameters, dict):
        return None
    error = mismatch(parameters, arguments)
    if error is None:
        return None
    place, why = error
    return Violation(
        facts.path,
        f"arguments that the parameters of {show(name)} allow{place}",
        facts.text,
        f"the arguments do not match the tool's schema: {why}",
        "" if strict else "not-strict",
    )


@rule("C11")
def tool_markup_leak(facts: ChoiceFacts) -> Violation | None:
    ask, choice = facts.ask, facts.choice
    if not choice.content.markup or (ask.known and not ask.tools):
        return None
    return Violation(
        f"$.choices[{choice.index}].message.content",
        "calls in `tool_calls`, parsed",
        choice.content.markup,
        "the content contains the model's raw tool markup",
    )


ARGUMENT_CHECKS = checks(tool_arguments_json, tool_strict_arguments)
CALL_CHECKS = checks(tool_call_shape, tool_arguments_json, tool_strict_arguments)
CHOICE_CHECKS = checks(tool_unknown_name, tool_finish, tool_finish_no_calls, tool_markup_leak)
