"""Why a reply does not fit a request: one check for each thing that a request can rule out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_chatapi.contract.ask import Ask, Tool, ToolKey
from pytest_chatapi.contract.parse import loads
from pytest_chatapi.contract.userschema import SchemaTrouble, first_error
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import did_you_mean, listed, show
from pytest_chatapi.errors import SettingError
from pytest_chatapi.mock.wire_form import compact

if TYPE_CHECKING:
    from pytest_chatapi.mock.replies import Call

__all__ = ["misfit", "offered", "require_audio", "require_json", "require_no_call", "require_tools"]


def misfit(label: str, why: str, remedy: str) -> SettingError:
    """The error for a reply of this label.

    Args:
        why: a clause about the request, "it" being the request.
        remedy: what to do, as an imperative.
    """
    return SettingError(f"{label} does not fit this request: {why}; {remedy}")


def require_tools(label: str, calls: Sequence[Call], ask: Ask) -> None:
    """Checks that the request allows these calls together.

    Raises:
        SettingError: it does not.
    """
    for call in calls:
        _require_tool(call, ask)
    keys = {_key(call, ask) for call in calls}
    if ask.choice == "none":
        raise misfit(label, "its tool_choice is none", "reply with text()")
    if ask.named is not None and keys != {ask.named}:
        raise misfit(label, f"its tool_choice forces {show(ask.named[1])}", "call that tool")
    if ask.allowed is not None and not keys.issubset(ask.allowed):
        names = sorted(name for _, name in ask.allowed)
        why = f"its tool_choice allows {listed(names) or 'no tools'}"
        raise misfit(label, why, "call one of these")
    if len(calls) > 1:
        if ask.parallel is False:
            raise misfit(label, "its parallel_tool_calls is false", "make one call")
        if not ask.body.get("tools"):
            why = "it offers `functions`, which are called one at a time"
            raise misfit(label, why, "make one call")


def _require_tool(call: Call, ask: Ask) -> None:
    tool = offered(call, ask)
    if tool is None:
        if not ask.tools:
            remedy = "offer the tool in `tools`, or reply with text()"
            raise misfit(call.label, "it offers no tools", remedy)
        if call.name in ask.names:
            kind, builder = "custom", "custom_tool_call"
            if call.kind == "custom":
                kind, builder = "function", "tool_call"
            why = f"it offers a {kind} tool of this name"
            raise misfit(call.label, why, f"use {builder}()")
        remedy = "offer the tool in `tools`, or call one of these"
        hint = did_you_mean(call.name, ask.names)
        raise misfit(call.label, f"it offers {listed(ask.names)}", remedy + hint)
    parameters, is_strict, _ = tool
    if call.text is not None and is_strict and isinstance(parameters, dict):
        violation = _violation(parameters, call.text)
        if violation:
            remedy = "pass arguments that fit, or none to have them generated"
            raise misfit(call.label, f"the tool is strict, and {violation}", remedy)


def offered(call: Call, ask: Ask) -> Tool | None:
    """The tool of a request that a reply calls, ``None`` if it offers no such tool."""
    return ask.tools.get(_key(call, ask))


def _key(call: Call, ask: Ask) -> ToolKey:
    """The key of the tool that a reply calls: it may be one of the deprecated ``functions``."""
    key = call.kind, call.name
    legacy = "function_call", call.name
    is_legacy = call.kind == "function" and key not in ask.tools and legacy in ask.tools
    return legacy if is_legacy else key


def require_no_call(label: str, ask: Ask) -> None:
    """Checks that the request allows a response without a call.

    Raises:
        SettingError: its ``tool_choice`` wants one.
    """
    if ask.choice == "required" and ask.body.get("tools"):
        why = "its tool_choice is required"
    elif ask.named is not None and ask.named in ask.tools:
        why = f"its tool_choice forces {show(ask.named[1])}"
    else:
        return
    _, name = ask.named or next(iter(ask.tools))
    raise misfit(label, why, f"reply with tool_call({name!r})")


def require_audio(label: str, ask: Ask) -> None:
    """Checks that the request asks for audio.

    Raises:
        SettingError: it does not.
    """
    if "audio" not in ask.modalities:
        why = f"its modalities are {show(ask.modalities)}"
    elif not isinstance(ask.body.get("audio"), dict):
        why = "it has no `audio` parameter"
    else:
        return
    remedy = 'request modalities ["text", "audio"] with `audio`, or reply with text()'
    raise misfit(label, why, remedy)


def require_json(label: str, ask: Ask, text: str) -> None:
    """Checks that a text is what the ``response_format`` guarantees.

    Raises:
        SettingError: it is not a JSON object, or breaks a strict schema.
    """
    if ask.format == "json_object":
        violation = _violation({"type": "object"}, text)
    elif ask.format == "json_schema" and ask.strict and isinstance(ask.schema, dict):
        violation = _violation(ask.schema, text)
    else:
        return
    if violation:
        why = f"its response_format is {ask.format}, and {violation}"
        raise misfit(label, why, "reply with structured(), which generates a value that fits")


def _violation(schema: JSONObject, text: str) -> str:
    """Why a text is not JSON that fits a schema; empty where it is."""
    return _violation_of(compact(schema), text)


@lru_cache(maxsize=256)
def _violation_of(schema: str, text: str) -> str:
    try:
        value = loads(text)
    except ValueError as error:
        return f"{show(text, 40)} is not JSON ({error})"
    try:
        error_found = first_error(json.loads(schema), value)
    except SchemaTrouble:
        return ""  # what cannot be checked is not checked
    if error_found is None:
        return ""
    place, message = error_found
    return f"{show(text, 40)} does not fit its schema{place}: {message}"
