"""C01, C03, C04, C07 to C11 and K15: tool calls. C05 and C06 are in `stream_calls`."""

from __future__ import annotations

from collections import Counter
from json import JSONDecoder

from pytest_chatapi.contract.ask import KIND_WORDS, Ask, ToolKey
from pytest_chatapi.contract.assemble import Answer, Call, Choice
from pytest_chatapi.contract.grammar import GrammarTrouble, matches
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.parse import loads
from pytest_chatapi.contract.rules.facts import ChoiceFacts
from pytest_chatapi.contract.rules.registry import Violation, checks, rule
from pytest_chatapi.contract.userschema import NotJudged, mismatch
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import ABSENT, Shown, listed, show

__all__ = ["check_calls", "has_whole_calls"]


def check_calls(ledger: Ledger, facts: ChoiceFacts) -> None:
    """C01, C03, C04, C07 to C11 and K15 for one choice."""
    choice = facts.choice
    if choice.calls:
        ledger.report(tool_call_id, choice)
        for call in choice.calls.values():
            ledger.run(CALL_CHECKS, CallFacts(facts, call))
    if choice.function_call is not None:
        ledger.run(ARGUMENT_CHECKS, CallFacts(facts, choice.function_call))
    ledger.run(CHOICE_CHECKS, facts)


def has_whole_calls(answer: Answer, choice: Choice) -> bool:
    """Whether the arguments of a choice's calls should be complete."""
    if not answer.whole or choice.finish in ("length", "content_filter"):
        return False
    return bool(choice.finish) or not answer.streamed


_UNREAD = object()


class CallFacts:
    """One call, and its arguments as JSON if they should be complete.

    Attributes:
        text: the arguments or the input as they were sent; ``None`` if they may be incomplete.
        arguments: parsed; `_UNREAD` where they are not JSON, or are not to be parsed.
        broken: why they are not a JSON object; ``None`` if they are, or are not to be parsed.
        tool: what the request offers under the kind and the name of the call.
    """

    __slots__ = ("answer", "arguments", "ask", "broken", "call", "text", "tool")

    def __init__(self, facts: ChoiceFacts, call: Call) -> None:
        self.ask = facts.ask
        self.answer = facts.answer
        self.call = call
        self.text: str | None = None
        self.arguments: JSON = _UNREAD
        self.broken: str | None = None
        key = call.key
        self.tool = None if key is None else facts.ask.tools.get(key)
        if call.contradicts or not has_whole_calls(facts.answer, facts.choice):
            return
        self.text = call.text
        if call.kind != "custom" and self.text is not None:
            self._parse(self.text)

    def _parse(self, text: str) -> None:
        if not text.strip():
            self.broken = "the arguments are empty"
            return
        try:
            self.arguments = loads(text)
        except ValueError as error:
            self.broken = _in_a_row(text) or f"the arguments are not JSON: {error}"
            return
        if not isinstance(self.arguments, dict):
            self.broken = "the arguments are not an object"

    @property
    def path(self) -> str:
        return f"{self.call.path}.{_inner(self.call)}arguments"

    @property
    def is_strict(self) -> bool:
        """Whether the request has a schema for the arguments, and they have to match it."""
        tool = self.tool
        return tool is not None and tool.strict and isinstance(tool.parameters, dict)


def _in_a_row(text: str) -> str | None:
    """What to say of arguments that are several JSON objects in a row."""
    decode, values, at = JSONDecoder().raw_decode, list[JSON](), 0
    text = text.strip()
    while at < len(text):
        try:
            value, end = decode(text, at)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        values.append(value)
        at = end
        while text[at : at + 1].isspace():
            at += 1
    if len(values) < 2:
        return None
    count = "twice" if len(values) == 2 else f"{len(values)} times"
    if all(value == values[0] for value in values):
        return f"the arguments are the same JSON object {count} in a row"
    return f"the arguments are {len(values)} JSON objects in a row"


def _inner(call: Call) -> str:
    return "" if call.kind == "function_call" else f"{call.kind}."


@rule("C01")
def tool_call_shape(facts: CallFacts) -> list[Violation] | Violation | None:
    """Where no fragment of a call has a key, or a name is empty; the rest violates the schema."""
    call = facts.call
    if not (facts.answer.streamed and facts.answer.whole):
        if call.name != "":
            return None
        path = f"{call.path}.{call.kind}.name"
        return Violation(path, "a non-empty string", "", "the call has an empty name")
    if call.contradicts:
        path, message = f"{call.path}.{call.typed}", f"the key `{call.typed}` is absent"
        return Violation(path, "object", ABSENT, message, chunk=call.chunk)
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
    if facts.broken is None or facts.is_strict:
        return None
    return Violation(facts.path, "a JSON object", facts.text, facts.broken)


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
    ask, fitting = facts.ask, {"tool_calls" if choice.calls else "function_call", "length"}
    forced = ask.choice == "named" or (ask.choice == "required" and ask.only_tool)
    if forced or not choice.calls:
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
    if not ask.known or not ask.tools_known or ask.choice == "none":  # K05
        return None
    violations = []
    for call in choice.all_calls:
        key = call.key
        if key is None or key in ask.tools or _is_outside(ask, key):  # K07
            continue
        kind, name = key
        other = next((kind for kind, offered in ask.tools if offered == name), None)
        if other is None:
            path = f"{call.path}.{_inner(call)}name"
            expected = listed(ask.names) if ask.tools else "no call: the request has no tools"
            message = "the call names a tool that the request does not define"
        else:
            path = call.path
            expected = f"a call of the {KIND_WORDS[other]} {show(name)}"
            message = f"this calls a {KIND_WORDS[kind]}, but the request has a {KIND_WORDS[other]}"
        violations.append(Violation(path, expected, name, message))
    return violations


def _is_outside(ask: Ask, key: ToolKey) -> bool:
    """Whether `tool_choice` rules out this call, although its own tools are defined."""
    if ask.choice == "named":
        return key != ask.named
    return ask.allowed is not None and key not in ask.allowed


@rule("C10")
def tool_strict_arguments(facts: CallFacts) -> Violation | None:
    tool = facts.tool
    if tool is None or not isinstance(tool.parameters, dict):
        return None
    name, place = show(facts.call.name), ""
    if facts.broken is not None:
        if not tool.strict:
            return None  # C03
        why = facts.broken
    elif facts.arguments is _UNREAD:
        return None
    else:
        try:
            error = mismatch(tool.parameters, facts.arguments)
        except NotJudged as trouble:
            expected = f"parameters of {name} that can be checked"
            message = f"the arguments were not checked against the tool's schema: {trouble}"
            return Violation(facts.path, expected, facts.text, message, "unchecked")
        if error is None:
            return None
        place = error[0]
        why = f"the arguments do not match the tool's schema: {error[1]}"
    return Violation(
        facts.path,
        f"arguments that the parameters of {name} allow{place}",
        facts.text,
        why,
        "" if tool.strict else "not-strict",
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


@rule("K15")
def custom_grammar(facts: CallFacts) -> Violation | None:
    tool = facts.tool
    if tool is None or tool.grammar is None or facts.text is None:
        return None
    definition, syntax = tool.grammar.get("definition"), tool.grammar.get("syntax")
    if not isinstance(definition, str) or syntax not in ("regex", "lark"):
        return None
    path, name = f"{facts.call.path}.custom.input", show(facts.call.name)
    why = "it is in Lark"
    if syntax == "regex":
        try:
            if matches(definition, facts.text):
                return None
            message = f"the input does not match the grammar of {name}"
            return Violation(path, f"a match of {show(definition)}", facts.text, message)
        except GrammarTrouble as trouble:
            why = str(trouble)
    message = f"the input was not checked against the grammar of {name}: {why}"
    expected = "a regular expression that can be checked"
    return Violation(path, expected, Shown(str(syntax)), message, "unchecked")


ARGUMENT_CHECKS = checks(tool_arguments_json, tool_strict_arguments)
CALL_CHECKS = checks(tool_call_shape, tool_arguments_json, tool_strict_arguments, custom_grammar)
CHOICE_CHECKS = checks(tool_unknown_name, tool_finish, tool_finish_no_calls, tool_markup_leak)
