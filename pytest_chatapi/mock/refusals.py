"""What the service would send for a request that breaks the contract.

The findings of the Q rules decide whether a request is refused. The words are the service's own,
as far as they are known, its spelling included, and in its style where they are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pytest_chatapi.contract.ask import Ask, request_json
from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.profiles import get_profile
from pytest_chatapi.contract.rules.request import check_request
from pytest_chatapi.contract.schemas import Node, SchemaViolation, json_path, json_type, load
from pytest_chatapi.contract.wording import mask

__all__ = [
    "NO_JSON",
    "Refusal",
    "invalid_type",
    "invalid_value",
    "metadata_refusal",
    "missing",
    "not_found",
    "out_of_range",
    "refusal",
    "refusal_of",
    "unknown_url",
]

Refusal = tuple[int, dict[str, Any]]
"""A status, and the body ``{"error": {"message", "type", "param", "code"}}``."""

# Deprecated parameters still work, and secrets in a body are not the service's business.
_ACCEPTED = {"Q13", "Q16"}

# What the service looks at after all single fields, in its order.
_ACROSS = ("Q02", "Q03", "Q04", "Q10", "Q08", "Q11", "Q14")

# The order in which it looks at fields; others follow.
_FIELDS = (
    "messages functions function_call tools tool_choice parallel_tool_calls max_tokens "
    "max_completion_tokens n stop temperature top_p presence_penalty frequency_penalty "
    "logit_bias logprobs top_logprobs user seed safety_identifier prompt_cache_options "
    "prompt_cache_key prompt_cache_retention service_tier stream store metadata prediction"
).split()

_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_KINDS = {
    "array": "an array",
    "boolean": "a boolean",
    "integer": "an integer",
    "null": "null",
    "number": "a decimal",
    "object": "an object",
    "string": "a string",
}
_OWN_KINDS = {"metadata": "a metadata object", "functions": "an array of function definitions"}
_NAME = re.compile("[a-zA-Z0-9_-]*")
_NAME_LENGTH = 64

NO_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
    "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was "
    "not valid JSON. If you have trouble figuring out how to fix this, please contact us through "
    "our help center at help.openai.com.)"
)
_NO_MODEL = "you must provide a model parameter"


def refusal_of(request: Request, profile: str | None = None) -> Refusal | None:
    """What the service would send for a POST to ``chat/completions`` that breaks a Q rule.

    Args:
        profile: name of the profile whose errors and warnings refuse; ``None`` is ``openai``.

    Returns:
        One refusal, for what the service would notice first; ``None`` when it would answer.

    Raises:
        SettingError: no such profile.
    """
    ledger = Ledger(get_profile(profile or "openai"))
    body, why_not = request_json(request)
    if why_not is not None:
        return refusal(NO_JSON)
    if body is None:
        return refusal(_NO_MODEL)
    check_request(ledger, Ask(body), body, None, request.url)
    found = [f for f in ledger.findings() if f.level != "note" and f.code not in _ACCEPTED]
    if not found:
        return _undocumented(body) if profile != "compatible" else None
    if not isinstance(body, dict):
        got = _got(body)
        return refusal(
            f"Invalid type for the request body: expected an object, but got {got} instead.",
            code="invalid_type",
        )
    violations: dict[str, SchemaViolation] = {}
    for violation in load("request").violations(body)[0]:
        violations.setdefault(mask(json_path(violation.path)), violation)
    ranked = [(*_rank(f, violations.get(f.path), body), f) for f in found]
    _, code, first = min(ranked, key=lambda row: row[0])
    if code in _ACROSS:
        return _across(code, first, body, found)
    if code == "Q12":
        return _unknown(first, body)
    return _broken(violations[first.path], body)


def metadata_refusal(metadata: Any) -> Refusal | None:
    """What the service would send for this value of ``metadata``; ``None`` when it is fine."""
    body = {"metadata": metadata}
    for violation in load("request").violations(body)[0]:
        if violation.path[0] == "metadata":
            return _broken(violation, body)
    return None


def not_found(model: str) -> Refusal:
    """The answer to a question for a model that there is not."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return refusal(message, code="model_not_found", status=404)


def unknown_url(method: str, path: str) -> Refusal:
    """The answer under a path where there is nothing."""
    return refusal(f"Invalid URL ({method} {path})", status=404)


def _undocumented(body: dict[str, Any]) -> Refusal | None:
    """What the service refuses although the reference allows it."""
    for position, message in enumerate(body["messages"]):
        if message.get("tool_calls") == []:
            return _empty(f"messages[{position}].tool_calls")
    if body.get("tools") == []:
        return _empty("tools")
    for name in ("max_completion_tokens", "max_tokens"):
        if body.get(name) == 0:
            return out_of_range(name, 0, "integer", low=1)
    options = body.get("stream_options") or {}
    for name in sorted(options.keys() - {"include_usage", "include_obfuscation"}):
        param = f"stream_options.{_short(name)}"
        return refusal(f"Unknown parameter: '{param}'.", param, "unknown_parameter")
    for name in ("tool_choice", "parallel_tool_calls"):
        if body.get(name) is not None and not body.get("tools"):
            return refusal(
                f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.",
                name,
            )
    return None


def _empty(param: str) -> Refusal:
    return _sized(param, "empty_array", "empty array", "an array", "minimum", 1, "an empty array")


def refusal(
    message: str, param: str | None = None, code: str | None = None, *, status: int = 400
) -> Refusal:
    """An error body of the type ``invalid_request_error``, and its status."""
    error = {
        "message": message,
        "type": "invalid_request_error",
        "param": param,
        "code": code,
    }
    return status, {"error": error}


def missing(param: str) -> Refusal:
    """A required parameter is absent."""
    return refusal(
        f"Missing required parameter: '{param}'.", param, code="missing_required_parameter"
    )


def invalid_type(param: str, expected: str, value: Any) -> Refusal:
    """A parameter has a value of another type than `expected` (such as ``a string``)."""
    return refusal(
        f"Invalid type for '{param}': expected {expected}, but got {_got(value)} instead.",
        param,
        "invalid_type",
    )


def invalid_value(param: str, value: str, supported: Iterable[str]) -> Refusal:
    """A parameter has none of its `supported` values."""
    listed = _listed(supported, "and")
    message = f"Invalid value: '{_short(value)}'. Supported values are: {listed}."
    return refusal(message, param, "invalid_value")


def out_of_range(
    param: str, value: float, kind: str, *, low: float | None = None, high: float | None = None
) -> Refusal:
    """A number lies below `low` or above `high`, of which one is given.

    Args:
        kind: ``integer`` or ``decimal``.
    """
    what, sign, bound = ("below min", ">=", low) if high is None else ("above max", "<=", high)
    return refusal(
        f"Invalid '{param}': {kind} {what}imum value. "
        f"Expected a value {sign} {json.dumps(bound)}, but got {json.dumps(value)} instead.",
        param,
        f"{kind}_{what.replace(' ', '_')}_value",
    )


def _rank(
    finding: Finding, violation: SchemaViolation | None, body: dict[str, Any]
) -> tuple[tuple[int, int], str]:
    """How early the service notices it, and the code under which it does."""
    code = finding.code
    if code not in _ACROSS and code != "Q12":
        assert violation is not None
        path = violation.path
        if path in (("model",), ("messages",)) and violation.value is None:
            return (0 if path[0] == "model" else 1, 0), code
        if not _is_content(path, body) or violation.value is not None:
            field = str(path[0])
            return (3, _FIELDS.index(field) if field in _FIELDS else len(_FIELDS)), code
        code = "Q08"
    return (2 if code == "Q12" else 4, _ACROSS.index(code) if code in _ACROSS else 0), code


def _is_content(path: tuple[str | int, ...], body: dict[str, Any]) -> bool:
    """Whether this is a content that the service takes for a string, as all but developers'."""
    return (
        len(path) == 3
        and (path[0], path[2]) == ("messages", "content")
        and body["messages"][path[1]].get("role") != "developer"
    )


def _across(code: str, finding: Finding, body: dict[str, Any], found: list[Finding]) -> Refusal:
    """What concerns several fields, or the conversation."""
    if code in ("Q02", "Q03"):
        param, other = (
            ("top_logprobs", "logprobs") if code == "Q02" else ("stream_options", "stream")
        )
        return refusal(f"The '{param}' parameter is only allowed when '{other}' is enabled.", param)
    if code == "Q04":
        return missing("audio")
    if code == "Q10":
        return _choice(body)
    if code == "Q14":
        return refusal(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of "
            "type 'json_object'.",
            "messages",
        )
    position = _position(finding)
    if code == "Q08":
        return refusal(
            "Invalid value for 'content': expected a string, got null.",
            f"messages.[{position}].content",
        )
    messages = body["messages"]
    if messages[position].get("role") == "tool":
        return refusal(
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding "
            "message with 'tool_calls'.",
            f"messages.[{position}].role",
        )
    here = f"$.messages[{position}].tool_calls["
    open_ids = [
        messages[position]["tool_calls"][int(f.path.removeprefix(here)[:-1])]["id"]
        for f in found
        if f.code == "Q11" and f.path.startswith(here)
    ]
    following = (
        i
        for i, message in enumerate(messages[position + 1 :], position + 1)
        if not isinstance(message, dict) or message.get("role") != "tool"
    )
    behind = next(following, None)
    return refusal(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to "
        "each 'tool_call_id'. The following tool_call_ids did not have response messages: "
        + ", ".join(open_ids),
        "messages" if behind is None else f"messages.[{behind}].role",
    )


def _position(finding: Finding) -> int:
    found = re.match(r"\$\.messages\[(\d+)\]", finding.path)
    assert found is not None
    return int(found[1])


def _choice(body: dict[str, Any]) -> Refusal:
    param, of = (
        ("tool_choice", "tools") if "tool_choice" in body else ("function_call", "functions")
    )
    if not body.get(of):
        return refusal(
            f"Invalid value for '{param}': '{param}' is only allowed when '{of}' are specified.",
            param,
        )
    # The service words it so for tools too.
    return refusal(
        f"Invalid value for 'function_call': no function named '{Ask(body).named}' was specified "
        "in the 'functions' parameter.",
        "function_call",
    )


def _unknown(finding: Finding, body: dict[str, Any]) -> Refusal:
    known = load("request").properties
    name = next(name for name in body if mask(json_path((name,))) == finding.path)
    # The service proposes nothing that was sent already.
    near = sorted(get_close_matches(name, known.keys() - body.keys(), 2, 0.75))
    hint = f" Did you mean {_listed(near, 'or')}?" if near else ""
    return refusal(f"Unknown parameter: '{_short(name)}'.{hint}", name, "unknown_parameter")


def _broken(violation: SchemaViolation, body: dict[str, Any]) -> Refusal:
    """What the schema of a single field says."""
    path, problem, value = violation
    param = _param(path)
    nodes = _nodes(path, body)
    keyword = problem.keyword
    if keyword == "required" and not _present(path, body):
        return _absent(path, param)
    if keyword in ("enum", "const") and isinstance(value, str):
        part = path[-1] == "type" and value == "image_url" and problem.code == "Q15"
        return _image(path, body) if part else invalid_value(param, value, _values(nodes, path))
    if keyword in ("minimum", "maximum"):
        kind = "decimal" if any("number" in node.types for node in nodes) else "integer"
        bound = "low" if keyword == "minimum" else "high"
        return out_of_range(param, value, kind, **{bound: _limit(nodes, keyword)})
    if keyword == "minItems":
        return _empty(param)
    if keyword == "maxItems":
        return _sized(
            param,
            "array_above_max_length",
            "array too long",
            "an array",
            "maximum",
            _limit(nodes, keyword),
            f"an array with length {len(value)}",
        )
    if keyword == "maxProperties":
        return refusal(
            f"Invalid '{param}': too many properties. Expected an object with at most "
            f"{_limit(nodes, keyword)} properties, but got an object with {len(value)} "
            "properties instead.",
            param,
            "object_above_max_properties",
        )
    if keyword == "maxLength" and isinstance(value, dict):
        return _long_key(param, value, nodes)
    if keyword == "maxLength":
        return _long(param, value, _limit(nodes, keyword))
    if keyword == "pattern":
        return _name(param, value)
    if keyword == "additionalProperties":
        extra = next(key for key in value if not any(key in node.properties for node in nodes))
        param = _param((*path, extra))
        return refusal(f"Unknown parameter: '{param}'.", param, "unknown_parameter")
    return invalid_type(param, _wanted(nodes, path), value)


def _absent(path: tuple[str | int, ...], param: str) -> Refusal:
    if param == "model":
        return refusal(_NO_MODEL)
    if path[0] == "messages" and path[2:] == ("tool_call_id",):
        return refusal(
            "Missing parameter 'tool_call_id': messages with role 'tool' must have a "
            "'tool_call_id'.",
            f"messages.[{path[1]}].tool_call_id",
        )
    return missing(param)


def _sized(
    param: str, code: str, what: str, kind: str, bound: str, length: Any, got: str
) -> Refusal:
    return refusal(
        f"Invalid '{param}': {what}. Expected {kind} with {bound} length {length}, "
        f"but got {got} instead.",
        param,
        code,
    )


def _long(param: str, value: str, most: Any) -> Refusal:
    got = f"a string with length {len(value)}"
    code = "string_above_max_length"
    return _sized(param, code, "string too long", "a string", "maximum", most, got)


def _long_key(param: str, value: dict[str, Any], nodes: list[Node]) -> Refusal:
    most = next(n.schema["propertyNames"] for n in nodes if "propertyNames" in n.schema)
    key = next(key for key in value if len(key) > most["maxLength"])
    return refusal(
        f"Invalid property name in '{param}': '{_short(key)}' is too long. Expected a string with "
        f"maximum length {most['maxLength']}, but got a string with length {len(key)} instead.",
        f"{param}.{key}",
        "property_name_above_max_length",
    )


def _name(param: str, value: str) -> Refusal:
    if not value:
        got = "an empty string"
        return _sized(param, "empty_string", "empty string", "a string", "minimum", 1, got)
    if _NAME.fullmatch(value):
        return _long(param, value, _NAME_LENGTH)
    return refusal(
        f"Invalid '{param}': string does not match pattern. "
        "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
        param,
        "invalid_value",
    )


def _image(path: tuple[str | int, ...], body: dict[str, Any]) -> Refusal:
    param = _param(path[:2])
    role = body["messages"][path[1]]["role"]
    return refusal(
        f"Invalid '{param}'. Image URLs are only allowed for messages with role 'user', but this "
        f"message with role '{role}' contains an image URL.",
        param,
        "invalid_value",
    )


def _nodes(path: tuple[str | int, ...], body: dict[str, Any]) -> list[Node]:
    """The places of the schema that may hold what stands at `path`, branches apart."""
    nodes: Iterable[Node] = [load("request")]
    value: Any = body
    for step in path:
        kind = json_type(value)
        nodes = [n for n in _branches(nodes) if kind in n.types and _admits(n, value, step)]
        if isinstance(step, int):
            nodes = [n.items for n in nodes if n.items is not None]
            value = value[step]
        else:
            below = (n.properties.get(step, n.values) for n in nodes)
            nodes = [n for n in below if n is not None]
            value = value.get(step)
    return list(_branches(nodes))


def _branches(nodes: Iterable[Node]) -> Iterable[Node]:
    for node in nodes:
        if node.branches:
            yield from _branches(node.branches)
        else:
            yield node


def _admits(node: Node, value: Any, step: str | int) -> bool:
    """Whether this is the branch that the value's tags name, the next step's own apart."""
    return all(
        value[key] == sub.schema["const"]
        for key, sub in node.properties.items()
        if "const" in sub.schema and key in value and key != step
    )


def _present(path: tuple[str | int, ...], body: Any) -> bool:
    for step in path[:-1]:
        body = body[step]
    return path[-1] in body


def _limit(nodes: list[Node], keyword: str) -> Any:
    return next(node.schema[keyword] for node in nodes if keyword in node.schema)


def _values(nodes: list[Node], path: tuple[str | int, ...]) -> list[str]:
    if path[-1] == "role":
        return list(_ROLES)
    values: dict[str, None] = {}
    for node in nodes:
        values.update(dict.fromkeys(node.schema.get("enum", ())))
        if "const" in node.schema:
            values[node.schema["const"]] = None
    return [value for value in values if value is not None]


def _wanted(nodes: list[Node], path: tuple[str | int, ...]) -> str:
    """The type that the service expects, in its words."""
    if len(path) == 1 and path[0] in _OWN_KINDS:
        return _OWN_KINDS[str(path[0])]
    kinds: dict[str, None] = {}
    values = _values(nodes, path)
    if values:
        kinds[("one of " if len(values) > 1 else "") + _listed(values, "or")] = None
    for node in nodes:
        if {"enum", "const"} & node.schema.keys():
            continue
        for name in sorted(
            node.types - {"null"} - ({"integer"} if "number" in node.types else set())
        ):
            kind = _KINDS[name]
            if name == "array" and node.items is not None:
                items = next(iter(_branches([node.items]))).types
                kind += f" of {next(iter(items))}s"
            kinds[kind] = None
    first, *others = kinds
    bare = [other.removeprefix("an ").removeprefix("a ") for other in others]
    return f"one of {' or '.join([first, *bare])}" if bare else first


def _got(value: Any) -> str:
    return "a decimal number" if type(value) is float else _KINDS[json_type(value)]


def _param(path: tuple[str | int, ...]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")


def _listed(values: Iterable[str], word: str) -> str:
    *others, last = [f"'{value}'" for value in values]
    if len(others) < 2:
        return f" {word} ".join([*others, last])
    return f"{', '.join(others)}, {word} {last}"


def _short(text: str) -> str:
    return text if len(text) <= 64 else f"{text[:3]}...{text[-3:]}"
