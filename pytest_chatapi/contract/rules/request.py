"""Q: the request, whatever the response is. Q08, Q11 and Q14 are in `conversation`, Q17 to Q21
in `refused`.
"""

from __future__ import annotations

import marshal
import math
import re

from pytest_chatapi.contract.ask import KIND_WORDS, KINDS, Ask, ToolKey
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules import shape
from pytest_chatapi.contract.rules.conversation import check_conversation
from pytest_chatapi.contract.rules.facts import RequestFacts
from pytest_chatapi.contract.rules.refused import (
    both_caps,
    model_capability,
    model_shutdown,
    strict_schema,
    tools_missing,
)
from pytest_chatapi.contract.rules.registry import Violation, checks_by_member, code_of, rule
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.validation import Path, SchemaViolation, json_path
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT, Shown, listed, shortened
from pytest_chatapi.redaction.shapes import LIKE_A_KEY

__all__ = ["check_request"]


def check_request(
    ledger: Ledger,
    ask: Ask,
    body: JSON,
    why_not: str | None,
    url: str,
    *,
    sent: JSON = None,
    refused: bool = False,
    live: bool = False,
) -> None:
    """Checks one request body (``None``: it is unknown) by all rules of the Q family.

    Args:
        why_not: why the body is not JSON, ``None`` where it is.
        sent: the body before it was parsed; ``None`` where that is unknown.
        refused: the server responded with a 4xx, as it should, so the findings are notes. A key
            in the body is as public as it is in any other request.
        live: it has just been sent, and is not one of a recording.
    """
    ledger.ceiling = "note" if refused else None
    _check_contract(ledger, ask, body, why_not, url, live)
    ledger.ceiling = None
    if isinstance(body, dict) and why_not is None and _may_have_odd_leaves(body, sent):
        leaves = _odd_leaves(body)
        if leaves:
            ledger.report(secret_in_request, leaves)
            _check_numbers(ledger, leaves)


def _check_contract(
    ledger: Ledger, ask: Ask, body: JSON, why_not: str | None, url: str, live: bool
) -> None:
    if not isinstance(body, dict) or why_not is not None:
        if body is not None or why_not is not None:
            ledger.report(request_schema, body, why_not)
        return
    _check_schema(ledger, body, url)
    facts = RequestFacts(ask, ledger.as_of, live, url)
    ledger.run(_checks_of(ask.members), facts)
    messages = body.get("messages")
    if isinstance(messages, list):
        check_conversation(ledger, ask, messages)


def _check_schema(ledger: Ledger, body: JSONObject, url: str) -> None:
    violations, unknown = load("request", ledger.as_of).violations(body)
    others: list[SchemaViolation] = []
    is_deployment = "/deployments/" in url
    for violation in violations:
        if is_deployment and violation.path == ("model",):
            # The deployment in the URL names the model.
            if violation.problem.keyword == "required":
                continue
            if violation.value is None:
                ledger.add(_SCHEMA, _null(violation))
                continue
        if (accepted := _accepted(violation, body)) is not None:
            ledger.add(_SCHEMA, accepted)
        else:
            others.append(violation)
    if others:
        # One cause, one finding: a part of a different kind has no text either.
        foreign = {v.path[:-1] for v in others if v.problem.code == "Q15"}
        others = [v for v in others if v.problem.code == "Q15" or v.path[:-1] not in foreign]
        shape.report(ledger, others, (), default=request_schema)
    for path in unknown:
        if len(path) == 1 or path[0] == "stream_options":
            ledger.report(unknown_parameter, path)


def _accepted(violation: SchemaViolation, body: JSONObject) -> Violation | None:
    """What a service accepts although it is not documented, as a case of Q00."""
    path, problem, value = violation
    if value is None and problem.keyword in ("null", "type") and problem.optional:
        return _null(violation)
    if path == ("stop",) and value == []:
        message = "an empty list of stop sequences: leave it out"
    elif problem.keyword == "required" and path[-1] == "type" and _is_tool(path[:-1], body):
        return shape.schema(violation, "tool-type")
    else:
        return None
    return Violation(json_path(path), problem.expected, value, message, "null")


def _null(violation: SchemaViolation) -> Violation:
    message = "null for an optional parameter: leave it out"
    expected = violation.problem.expected
    return Violation(json_path(violation.path), expected, None, message, "null")


def _is_tool(path: Path, body: JSONObject) -> bool:
    """Whether a path leads to a tool, to the one to call, or to an earlier call."""
    if path[-1:] != ("tool_choice",) and path[-2:-1] not in (("tools",), ("tool_calls",)):
        return False
    value: JSON = body
    for step in path:
        value = value[step]
    return isinstance(value, dict) and any(isinstance(value.get(kind), dict) for kind in KINDS)


@rule("Q00")
def request_schema(body: JSON, why_not: str | None) -> Violation:
    """Where the body is not a JSON object; what is wrong inside one violates the schema."""
    if why_not is not None:
        message = f"the request is not JSON: {why_not}"
        return Violation("$", "JSON", Shown("no JSON"), message)
    return Violation("$", "a JSON object", body, "the request is not a JSON object")


_SCHEMA = code_of(request_schema)


@rule("Q12")
def unknown_parameter(path: Path) -> Violation:
    name = shortened(".".join(map(str, path)), 60)
    message = f"the reference does not list the parameter `{name}`"
    return Violation(json_path(path), "a documented parameter", Shown(name), message)


@rule("Q02")
def top_logprobs_alone(facts: RequestFacts) -> Violation | None:
    body = facts.ask.body
    if body.get("top_logprobs") is None or body.get("logprobs") is True:
        return None
    return Violation(
        "$.top_logprobs",
        "logprobs: true as well",
        body["top_logprobs"],
        "`top_logprobs` without `logprobs: true`",
    )


@rule("Q03")
def stream_options_alone(facts: RequestFacts) -> Violation | None:
    options = facts.ask.body.get("stream_options")
    if options is None or facts.ask.stream or not facts.ask.stream_is_sound:
        return None
    message = "`stream_options` without `stream: true`"
    return Violation("$.stream_options", "stream: true as well", options, message)


@rule("Q04")
def audio_parameter_absent(facts: RequestFacts) -> Violation | None:
    if "audio" not in facts.ask.modalities or facts.ask.body.get("audio") is not None:
        return None
    message = "`modalities` asks for audio without the `audio` parameter"
    return Violation("$.audio", "an object with voice and format", ABSENT, message)


@rule("Q10")
def tool_choice_unknown(facts: RequestFacts) -> Violation | None:
    ask = facts.ask
    if ask.named is not None and ask.named not in ask.tools:
        legacy = ask.named[0] == "function_call"
        path = "$.function_call" if legacy else "$.tool_choice"
        return _not_offered(ask, path, [ask.named], f"`{path[2:]}` names")
    unknown = [key for key in ask.allowed or () if key not in ask.tools]
    if unknown:
        return _not_offered(ask, "$.tool_choice", unknown, "`allowed_tools` lists")
    if ask.choice == "required" and not ask.tools and not ask.body.get("tools"):
        message = "`tool_choice` requires a call, but the request has no tools"
        return Violation("$.tool_choice", "at least one tool", "required", message)
    return None


def _not_offered(ask: Ask, path: str, keys: list[ToolKey], who: str) -> Violation:
    kind, name = keys[0]
    other = next((kind for kind, offered in ask.tools if offered == name), None)
    if other is None:
        message = f"{who} a tool that the request does not define"
    else:
        message = f"{who} a {KIND_WORDS[kind]}, but the request has a {KIND_WORDS[other]}"
    expected = listed(ask.names) or "a tool of the request"
    got = name if len(keys) == 1 else [name for _, name in keys]
    return Violation(path, expected, got, message)


# Parameter -> first day on which it is deprecated, and what to send instead.
_DEPRECATED = {
    "functions": ("2023-11-06", "tools"),
    "function_call": ("2023-11-06", "tool_choice"),
    "max_tokens": ("2024-09-12", "max_completion_tokens"),
    "user": ("2025-07-30", "safety_identifier and prompt_cache_key"),
    "seed": ("2026-05-13", "leave it out"),
    "prompt_cache_retention": ("2026-07-09", "prompt_cache_options"),
}


@rule("Q13")
def deprecated_parameter(facts: RequestFacts) -> list[Violation]:
    body, day = facts.ask.body, facts.day
    return [
        Violation(f"$.{name}", instead, body[name], f"`{name}` is deprecated")
        for name, (since, instead) in _DEPRECATED.items()
        if name in body and body[name] is not None and since <= day
    ]


# Two caps are one too many only where the deprecated one is there.
_checks_of = checks_by_member(
    {
        top_logprobs_alone: ("top_logprobs",),
        stream_options_alone: ("stream_options",),
        audio_parameter_absent: ("modalities",),
        tool_choice_unknown: ("tool_choice", "function_call"),
        deprecated_parameter: _DEPRECATED,
        tools_missing: ("tools", "tool_choice", "parallel_tool_calls"),
        both_caps: ("max_tokens",),
        strict_schema: ("tools", "response_format"),
        model_capability: ("model",),
        model_shutdown: ("model",),
    }
)


# A tuple, since a union would be built anew for each member.
_LOOKED_INTO = (str, dict, list, float)


def _may_have_odd_leaves(body: JSONObject, sent: JSON) -> bool:
    """Whether `_odd_leaves` may find something, told in a fraction of its time.

    In text, all numbers are JSON's own, and what is not written plainly is escaped.
    """
    if isinstance(sent, bytes):
        return b"sk-" in sent or (
            b"\\u" in sent and _ESCAPED.search(sent.decode("latin-1")) is not None
        )
    if not isinstance(sent, str):
        return _has_odd_leaves(body)
    return "sk-" in sent or ("\\u" in sent and _ESCAPED.search(sent) is not None)


# One of the letters of `sk-` as JSON may escape it.
_ESCAPED = re.compile(r"\\u00(?:73|6[bB]|2[dD])")


def _has_odd_leaves(body: JSONObject) -> bool:
    try:
        data = marshal.dumps(body)
    except ValueError:  # an object of Python
        return True
    # Looking for one mark after the other takes longer than all the rest, and most bodies have not
    # even what they begin with.
    return b"sk-" in data or (_ZEROS in data and any(mark in data for mark in _NO_NUMBERS))


# As marshal writes them. (Two kinds of NaN: a calculation may give a negative one.)
_NO_NUMBERS = [marshal.dumps(x)[-8:] for x in (math.inf, -math.inf, math.nan, -math.nan)]
_ZEROS = bytes(6)  # with which all of them begin


def _odd_leaves(body: JSONObject) -> list[tuple[str, JSON]]:
    """The strings with ``sk-`` in them, keys too, and the numbers that JSON does not have."""
    odd: list[tuple[str, JSON]] = []
    waiting: list[tuple[str, JSON]] = [("$", body)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            if "sk-" in value:
                odd.append((path, value))
        elif isinstance(value, float):
            if value - value != 0:
                odd.append((path, value))
        elif isinstance(value, dict):
            for key, member in value.items():
                if isinstance(key, str) and "sk-" in key:
                    odd.append((path, key))
                if isinstance(member, _LOOKED_INTO):
                    waiting.append((f"{path}.{key}", member))
        elif isinstance(value, list):
            waiting.extend(
                (f"{path}[{i}]", v) for i, v in enumerate(value) if isinstance(v, _LOOKED_INTO)
            )
    return odd


def _check_numbers(ledger: Ledger, leaves: list[tuple[str, JSON]]) -> None:
    # A body of Python objects can hold them; in a body of text they are not JSON.
    for path, value in leaves:
        if isinstance(value, float):
            message = f"{value} is not a JSON number"
            ledger.add(_SCHEMA, Violation(path, "a number", Shown(str(value)), message))


@rule("Q16")
def secret_in_request(leaves: list[tuple[str, JSON]]) -> list[Violation]:
    """For the strings with ``sk-`` in them, each with its path."""
    return [
        Violation(
            path,
            "no key",
            Shown(f"sk-*** ({len(match[0])} characters)"),
            "the body contains what looks like a secret key",
        )
        for path, text in leaves
        if isinstance(text, str) and (match := LIKE_A_KEY.search(text))
    ]
