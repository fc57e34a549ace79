"""C: tool calls."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Answer, Call, Choice
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.parse import loads
from pytest_chatapi.contract.userschema import SchemaTrouble, first_error
from pytest_chatapi.contract.wording import ABSENT, listed, show

__all__ = ["check_calls"]


def check_calls(ledger: Ledger, ask: Ask, answer: Answer, choice: Choice) -> None:
    """C01 and C03 to C11 for one choice, joined or whole."""
    where = f"$.choices[{choice.index}]"
    if choice.calls:
        _ids(ledger, choice)
        for call in choice.calls.values():
            if answer.streamed and answer.whole:
                _joined_shape(ledger, call)
            elif call.name == "":
                _nameless(ledger, call)
            _arguments(ledger, ask, answer, choice, call)
    if choice.function_call is not None:
        _arguments(ledger, ask, answer, choice, choice.function_call)
    if ask.known:
        named = [c for c in (*choice.calls.values(), choice.function_call) if c is not None]
        for call in named:
            if ask.choice == "none" or (ask.choice == "named" and call.name != ask.named):
                continue  # K05 or K07
            if isinstance(call.name, str) and call.name and call.name not in ask.tools:
                tools = listed(ask.tools) if ask.tools else "no call: the request has no tools"
                ledger.add(
                    "C09",
                    f"{call.path}.{_inner(call)}name",
                    tools,
                    call.name,
                    "the call names a tool that the request does not have",
                )
    finish = choice.finish
    if choice.called and finish:
        fitting = {"tool_calls"} if choice.calls else {"function_call"}
        fitting |= {"length", "content_filter"}
        if ask.choice == "named" or (choice.function_call is not None and not choice.calls):
            fitting |= {"stop"}
        if finish not in fitting and finish in _DOCUMENTED:
            ledger.add(
                "C07",
                f"{where}.finish_reason",
                '"tool_calls"',
                finish,
                "the message has calls, and the choice does not finish with `tool_calls`",
            )
    if finish == "tool_calls" and not choice.calls and not choice.parts and answer.whole:
        ledger.add(
            "C08",
            f"{where}.message.tool_calls",
            "at least one call",
            ABSENT,
            "the choice finishes with `tool_calls` and has none",
        )
    if choice.content.markup and (ask.tools or not ask.known):
        ledger.add(
            "C11",
            f"{where}.message.content",
            "calls in `tool_calls`, parsed",
            choice.content.markup,
            "the content holds the model's raw tool markup",
        )


_DOCUMENTED = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


def _inner(call: Call) -> str:
    return "" if call.path.endswith("function_call") else f"{call.kind}."


def _ids(ledger: Ledger, choice: Choice) -> None:
    counts = Counter(call.id for call in choice.calls.values() if isinstance(call.id, str))
    told: set[Any] = set()
    for call in choice.calls.values():
        if not isinstance(call.id, str) or call.id in told:
            continue
        if counts[call.id] > 1:
            told.add(call.id)
            ledger.add(
                "C04",
                f"{call.path}.id",
                "an id of its own for each call",
                call.id,
                f"{counts[call.id]} calls share one id",
                case="clash",
            )
        elif not call.id:
            ledger.add("C04", f"{call.path}.id", "a non-empty string", "", "the id is empty")


def _joined_shape(ledger: Ledger, call: Call) -> None:
    for key, value in (("id", call.id), ("type", call.typed), ("name", call.name)):
        if value is None or (key == "name" and value == ""):
            path = f"{call.path}.{call.kind}.name" if key == "name" else f"{call.path}.{key}"
            ledger.add(
                "C01",
                path,
                "a non-empty string",
                ABSENT if value is None else value,
                f"no fragment of the call has its `{key}`",
                case=key,
                chunk=call.chunk,
            )


def _nameless(ledger: Ledger, call: Call) -> None:
    path = f"{call.path}.{call.kind}.name"
    ledger.add("C01", path, "a non-empty string", "", "the call has an empty name")


def _arguments(ledger: Ledger, ask: Ask, answer: Answer, choice: Choice, call: Call) -> None:
    text = call.text
    if call.kind == "custom" or text is None or choice.finish == "length" or not answer.whole:
        return
    if choice.finish == "content_filter" or (answer.streamed and not choice.finish):
        return
    path = f"{call.path}.{_inner(call)}arguments"
    try:
        arguments = loads(text) if text.strip() else ABSENT
    except ValueError as error:
        ledger.add("C03", path, "a JSON object", text, f"the arguments are not JSON: {error}")
        return
    if not isinstance(arguments, dict):
        ledger.add(
            "C03",
            path,
            "a JSON object",
            text,
            "the arguments are empty" if arguments is ABSENT else "the arguments are no object",
        )
        return
    tool = ask.tools.get(call.name) if isinstance(call.name, str) else None
    if tool is None or not isinstance(tool[1], dict):
        return
    try:
        broken = first_error(tool[1], arguments)
    except SchemaTrouble:
        return
    if broken is not None:
        place, why = broken
        ledger.add(
            "C10",
            path,
            f"what the parameters of {show(call.name)} allow{place}",
            text,
            f"the arguments break the tool's schema: {why}",
            case="" if tool[2] else "not-strict",
        )
