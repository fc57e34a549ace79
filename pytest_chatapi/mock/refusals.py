"""The error that the service would send for a request that breaks the contract.

The findings of the Q rules decide whether a request is refused. The messages are the service's own
where they are known, its spelling mistakes included, and imitate its style where they are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from urllib.parse import urlsplit

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.models import model_refusals
from pytest_chatapi.contract.profiles import get_profile, profile_for_url
from pytest_chatapi.contract.rules.request import check_request
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.strict_schema import strict_problems, strict_schemas
from pytest_chatapi.contract.validation import Node, SchemaViolation, json_path, json_type
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import mask
from pytest_chatapi.recording.guard import is_local

__all__ = [
    "NO_JSON",
    "Refusal",
    "invalid_type",
    "invalid_value",
    "key_refusal",
    "metadata_refusal",
    "missing",
    "not_found",
    "out_of_range",
    "profile_of",
    "refusal",
    "refusal_of",
    "unknown_url",
]

Refusal = tuple[int, JSONObject]
"""A status, and the body ``{"error": {"message", "type", "param", "code"}}``."""

# Deprecated parameters and models still work, and the service does not check for secrets.
_ACCEPTED = {"Q13", "Q16", "Q17"}

# What the service checks after all single fields, in its order.
_ACROSS = (
    *("Q21", "Q19", "Q20", "Q18"),
    *("Q02", "Q03", "Q04", "Q10", "Q08", "Q11", "Q14"),
)

# The order in which the service checks fields; others follow.
_FIELDS = (
    "messages functions function_call tools tool_choice parallel_tool_calls max_tokens "
    "max_completion_tokens n stop temperature top_p presence_penalty frequency_penalty "
    "logit_bias logprobs top_logprobs user seed safety_identifier prompt_cache_options "
    "prompt_cache_key prompt_cache_retention service_tier stream store metadata prediction"
).split()

_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_TYPES = {
    "array": "an array",
    "boolean": "a boolean",
    "integer": "an integer",
    "null": "null",
    "number": "a decimal",
    "object": "an object",
    "string": "a string",
}
_SPECIAL_TYPES = {"metadata": "a metadata object", "functions": "an array of function definitions"}
_NAME = re.compile("[a-zA-Z0-9_-]*")
_NAME_LENGTH = 64

NO_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
    "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was "
    "not valid JSON. If you have trouble figuring out how to fix this, please contact us through "
    "our help center at help.openai.com.)"
)
_NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank "
    "username) if you're accessing the API from your browser and are prompted for a username and "
    "password. You can obtain an API key from https://platform.openai.com/account/api-keys."
)
_NO_MODEL = "you must provide a model parameter"


def refusal_of(
    body: JSON, why_not: str | None, url: str, profile: str | None = None
) -> Refusal | None:
    """The refusal of a POST to ``chat/completions`` that breaks a Q rule.

    Args:
        body, why_not: as `request_json` returns them.
        url: of the request; in a URL of Azure the deployment names the model.
        profile: name of the profile whose errors and warnings refuse; ``None`` for the one of the
            URL, see `profile_of`.

    Returns:
        One refusal, for what the service would notice first; ``None`` for a request that it
        would accept.

    Raises:
        SettingError: there is no such profile.
    """
    ledger = Ledger(get_profile(profile or profile_of(url)))
    if why_not is not None:
        return refusal(NO_JSON)
    if body is None:
        return refusal(_NO_MODEL)
    check_request(ledger, Ask(body), body, None, url)
    findings = [f for f in ledger.findings() if f.level != "note" and f.code not in _ACCEPTED]
    if not findings:
        return None
    if not isinstance(body, dict):
        return refusal(
            "Invalid type for the request body: expected an object, "
            f"but got {_type_of(body)} instead.",
            code="invalid_type",
        )
    violations: dict[str, SchemaViolation] = {}
    for violation in load("request").violations(body)[0]:
        violations.setdefault(mask(json_path(violation.path)), violation)
    ranked = [(*_rank(f, violations.get(f.path), body), f) for f in findings]
    _, code, first = min(ranked, key=lambda row: row[0])
    if code in _ACROSS:
        return _across_fields(code, first, body, findings)
    if code == "Q12":
        return _unknown_parameter(first, body)
    return _field_refusal(violations[first.path], body)


@lru_cache(maxsize=64)
def profile_of(url: str) -> str:
    """The profile by which requests to a URL are checked: a server on this machine, or a URL
    without a host, stands for the reference service.
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    return "openai" if is_local(host) else profile_for_url(url).name


def metadata_refusal(metadata: JSON) -> Refusal | None:
    """The refusal of this value of ``metadata``; ``None`` for a valid one."""
    body = {"metadata": metadata}
    for violation in load("request").violations(body)[0]:
        if violation.path[0] == "metadata":
            return _field_refusal(violation, body)
    return None


def not_found(model: str) -> Refusal:
    """The response to a request for a model that does not exist."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return refusal(message, code="model_not_found", status=404)


def key_refusal(headers: Mapping[str, str], keys: Collection[str]) -> Refusal | None:
    """The response to a request without one of these keys; ``None`` where it has one.

    Args:
        headers: of the request, by lower-case name.
    """
    scheme, _, sent = headers.get("authorization", "").partition(" ")
    key = sent.strip() if scheme.lower() == "bearer" else headers.get("api-key", "")
    if key in keys:
        return None
    if not key:
        return refusal(_NO_KEY, status=401)
    shown = key if len(key) <= 12 else f"{key[:8]}{'*' * (len(key) - 12)}{key[-4:]}"
    return refusal(
        f"Incorrect API key provided: {shown}. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        code="invalid_api_key",
        status=401,
    )


def unknown_url(method: str, path: str) -> Refusal:
    """The response under a path where there is no endpoint."""
    return refusal(f"Invalid URL ({method} {path})", status=404)


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


def invalid_type(param: str, expected: str, value: JSON) -> Refusal:
    """A parameter has a value of another type than `expected`, such as ``a string``."""
    return refusal(
        f"Invalid type for '{param}': expected {expected}, but got {_type_of(value)} instead.",
        param,
        "invalid_type",
    )


def invalid_value(param: str, value: str, supported: Iterable[str]) -> Refusal:
    """A parameter has a value that is not one of the `supported`."""
    listed = _listed(supported, "and")
    message = f"Invalid value: '{_short(value)}'. Supported values are: {listed}."
    return refusal(message, param, "invalid_value")


def out_of_range(
    param: str, value: float, kind: str, *, low: float | None = None, high: float | None = None
) -> Refusal:
    """A number is below `low` or above `high`; pass one of the two.

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
    finding: Finding, violation: SchemaViolation | None, body: JSONObject
) -> tuple[tuple[int, int], str]:
    """How early the service notices a finding (lower is earlier), and the code that it then
    counts as.
    """
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
    return ((2, 0) if code == "Q12" else (4, _ACROSS.index(code))), code


def _is_content(path: tuple[str | int, ...], body: JSONObject) -> bool:
    """Whether this is the content of a message that the service wants a string for: of every
    role but ``developer``.
    """
    return (
        len(path) == 3
        and (path[0], path[2]) == ("messages", "content")
        and body["messages"][path[1]].get("role") != "developer"
    )


def _across_fields(
    code: str, finding: Finding, body: JSONObject, findings: list[Finding]
) -> Refusal:
    """The refusal of several fields that do not go together, or of the conversation."""
    if code in _BY_CODE:
        return _BY_CODE[code](finding, body)
    if code in ("Q02", "Q03"):
        param, other = (
            ("top_logprobs", "logprobs") if code == "Q02" else ("stream_options", "stream")
        )
        return refusal(f"The '{param}' parameter is only allowed when '{other}' is enabled.", param)
    if code == "Q04":
        return missing("audio")
    if code == "Q10":
        return _unknown_choice(body)
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
    if body["messages"][position].get("role") == "tool":
        return refusal(
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding "
            "message with 'tool_calls'.",
            f"messages.[{position}].role",
        )
    return _open_calls(position, body["messages"], findings)


def _open_calls(position: int, messages: list[JSON], findings: list[Finding]) -> Refusal:
    """The calls of the message at `position` have no tool messages behind them."""
    prefix = f"$.messages[{position}].tool_calls["
    open_ids = [
        messages[position]["tool_calls"][int(f.path.removeprefix(prefix)[:-1])]["id"]
        for f in findings
        if f.code == "Q11" and f.path.startswith(prefix)
    ]
    following = (
        i
        for i, message in enumerate(messages[position + 1 :], position + 1)
        if not isinstance(message, dict) or message.get("role") != "tool"
    )
    blamed = next(following, None)  # the service blames the message that comes instead
    return refusal(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to "
        "each 'tool_call_id'. The following tool_call_ids did not have response messages: "
        + ", ".join(open_ids),
        "messages" if blamed is None else f"messages.[{blamed}].role",
    )


def _position(finding: Finding) -> int:
    match = re.match(r"\$\.messages\[(\d+)\]", finding.path)
    assert match is not None
    return int(match[1])


def _unknown_choice(body: JSONObject) -> Refusal:
    param, of = (
        ("tool_choice", "tools") if "tool_choice" in body else ("function_call", "functions")
    )
    if not body.get(of):
        return refusal(
            f"Invalid value for '{param}': '{param}' is only allowed when '{of}' are specified.",
            param,
        )
    # The service words it so for tools too.
    ask = Ask(body)
    unknown = [key for key in (ask.named, *(ask.allowed or ())) if key and key not in ask.tools]
    return refusal(
        f"Invalid value for 'function_call': no function named '{unknown[0][1]}' was specified "
        "in the 'functions' parameter.",
        "function_call",
    )


def _tools_missing(finding: Finding, body: JSONObject) -> Refusal:
    param = finding.path.removeprefix("$.")
    if param.endswith(".tool_calls") or body.get(param) == []:
        return _empty(param)
    message = f"Invalid value for '{param}': '{param}' is only allowed when 'tools' are specified."
    return refusal(message, param)


def _strict_schema(finding: Finding, body: JSONObject) -> Refusal:
    path, schema, kind, name = next(
        each for each in strict_schemas(body) if next(strict_problems(each[1]), None) is not None
    )
    reason = next(strict_problems(schema)).refusal
    is_function = kind == "function"
    return refusal(
        f"Invalid schema for {kind} '{_short(name)}': {reason}",
        _param(path) if is_function else kind,
        "invalid_function_parameters" if is_function else None,
    )


def _model_capability(finding: Finding, body: JSONObject) -> Refusal:
    first = model_refusals(body, "9999-12-31")[0]
    return refusal(first.message, first.parameter, first.code)


def _both_caps(finding: Finding, body: JSONObject) -> Refusal:
    return refusal(
        "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        "max_tokens",
        "invalid_parameter_combination",
    )


_BY_CODE = {
    "Q18": _model_capability,
    "Q19": _tools_missing,
    "Q20": _strict_schema,
    "Q21": _both_caps,
}


def _unknown_parameter(finding: Finding, body: JSONObject) -> Refusal:
    options = body.get("stream_options")
    for name in options if isinstance(options, dict) else ():
        if mask(json_path(("stream_options", name))) == finding.path:
            param = f"stream_options.{_short(name)}"
            return refusal(f"Unknown parameter: '{param}'.", param, "unknown_parameter")
    known = load("request").properties
    name = next(name for name in body if mask(json_path((name,))) == finding.path)
    # The service does not propose what was sent already.
    near = sorted(get_close_matches(name, known.keys() - body.keys(), 2, 0.75))
    hint = f" Did you mean {_listed(near, 'or')}?" if near else ""
    return refusal(f"Unknown parameter: '{_short(name)}'.{hint}", name, "unknown_parameter")


def _field_refusal(violation: SchemaViolation, body: JSONObject) -> Refusal:
    """The refusal of a single field that breaks its schema."""
    path, problem, value = violation
    param = _param(path)
    nodes = _nodes(path, body)
    keyword = problem.keyword
    if keyword == "required" and not _present(path, body):
        return _absent(path, param)
    if keyword in ("enum", "const") and isinstance(value, str):
        if value == "image_url" and problem.code == "Q15":
            return _image_not_allowed(path, body)
        return invalid_value(param, value, _values(nodes, path))
    if keyword in ("minimum", "maximum"):
        kind = "decimal" if any("number" in node.types for node in nodes) else "integer"
        bound = "low" if keyword == "minimum" else "high"
        return out_of_range(param, value, kind, **{bound: _limit(nodes, keyword)})
    if keyword in ("minItems", "maxItems", "maxProperties", "maxLength"):
        return _wrong_size(param, value, nodes, keyword)
    if keyword == "pattern" and isinstance(value, dict):
        return _invalid_token_id(param, value)
    if keyword == "pattern":
        return _invalid_name(param, value)
    if keyword == "minLength":
        return _empty_string(param)
    if keyword == "additionalProperties":
        extra = next(key for key in value if not any(key in node.properties for node in nodes))
        param = _param((*path, extra))
        return refusal(f"Unknown parameter: '{param}'.", param, "unknown_parameter")
    return invalid_type(param, _expected_type(nodes, path), value)


def _wrong_size(param: str, value: JSON, nodes: list[Node], keyword: str) -> Refusal:
    """A list, an object or a string has too few or too many members or characters."""
    if keyword == "minItems":
        return _empty(param)
    if keyword == "maxLength" and isinstance(value, dict):
        return _long_property_name(param, value, nodes)
    limit = _limit(nodes, keyword)
    if keyword == "maxItems":
        return _sized(
            param,
            "array_above_max_length",
            "array too long",
            "an array",
            "maximum",
            limit,
            f"an array with length {len(value)}",
        )
    if keyword == "maxProperties":
        return refusal(
            f"Invalid '{param}': too many properties. Expected an object with at most "
            f"{limit} properties, but got an object with {len(value)} properties instead.",
            param,
            "object_above_max_properties",
        )
    return _long_string(param, value, limit)


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
    param: str, code: str, what: str, kind: str, bound: str, length: int, got: str
) -> Refusal:
    return refusal(
        f"Invalid '{param}': {what}. Expected {kind} with {bound} length {length}, "
        f"but got {got} instead.",
        param,
        code,
    )


def _long_string(param: str, value: str, most: int) -> Refusal:
    got = f"a string with length {len(value)}"
    code = "string_above_max_length"
    return _sized(param, code, "string too long", "a string", "maximum", most, got)


def _long_property_name(param: str, value: JSONObject, nodes: list[Node]) -> Refusal:
    most = next(n.schema["propertyNames"] for n in nodes if "propertyNames" in n.schema)
    key = next(key for key in value if len(key) > most["maxLength"])
    return refusal(
        f"Invalid property name in '{param}': '{_short(key)}' is too long. Expected a string with "
        f"maximum length {most['maxLength']}, but got a string with length {len(key)} instead.",
        f"{param}.{key}",
        "property_name_above_max_length",
    )


def _empty_string(param: str) -> Refusal:
    got = "an empty string"
    return _sized(param, "empty_string", "empty string", "a string", "minimum", 1, got)


def _invalid_token_id(param: str, value: JSONObject) -> Refusal:
    key = next(key for key in value if not key.isdecimal())
    return refusal(
        f"Invalid key in '{param}': {_short(key)}. "
        "You should only be submitting non-negative integers.",
        param,
    )


def _invalid_name(param: str, value: str) -> Refusal:
    if not value:
        return _empty_string(param)
    if _NAME.fullmatch(value):
        return _long_string(param, value, _NAME_LENGTH)
    return refusal(
        f"Invalid '{param}': string does not match pattern. "
        "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
        param,
        "invalid_value",
    )


def _image_not_allowed(path: tuple[str | int, ...], body: JSONObject) -> Refusal:
    param = _param(path[:2])
    role = body["messages"][path[1]]["role"]
    return refusal(
        f"Invalid '{param}'. Image URLs are only allowed for messages with role 'user', but this "
        f"message with role '{role}' contains an image URL.",
        param,
        "invalid_value",
    )


def _nodes(path: tuple[str | int, ...], body: JSONObject) -> list[Node]:
    """The nodes of the schema that the value at `path` may be checked by, each branch by itself."""
    nodes: Iterable[Node] = [load("request")]
    value: JSON = body
    for step in path:
        kind = json_type(value)
        nodes = [n for n in _branches(nodes) if kind in n.types]
        # A tag that no branch has rules out none of them.
        nodes = [n for n in nodes if _admits(n, value, step)] or nodes
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


def _admits(node: Node, value: JSON, step: str | int) -> bool:
    """Whether the value's tags name this branch; `step` itself is not looked at."""
    return all(
        value[key] == sub.schema["const"]
        for key, sub in node.properties.items()
        if "const" in sub.schema and key in value and key != step
    )


def _present(path: tuple[str | int, ...], body: JSON) -> bool:
    for step in path[:-1]:
        body = body[step]
    return path[-1] in body


def _limit(nodes: list[Node], keyword: str) -> int:
    limit: int = next(node.schema[keyword] for node in nodes if keyword in node.schema)
    return limit


def _values(nodes: list[Node], path: tuple[str | int, ...]) -> list[str]:
    if path[-1] == "role":
        return list(_ROLES)
    values: dict[str, None] = {}
    for node in nodes:
        values.update(dict.fromkeys(node.schema.get("enum", ())))
        if "const" in node.schema:
            values[node.schema["const"]] = None
    return [value for value in values if value is not None]


def _expected_type(nodes: list[Node], path: tuple[str | int, ...]) -> str:
    """The type that the service expects, in its words."""
    if len(path) == 1 and path[0] in _SPECIAL_TYPES:
        return _SPECIAL_TYPES[str(path[0])]
    types: dict[str, None] = {}
    values = _values(nodes, path)
    if values:
        types[("one of " if len(values) > 1 else "") + _listed(values, "or")] = None
    for node in nodes:
        if {"enum", "const"} & node.schema.keys():
            continue
        redundant = {"null", "integer"} if "number" in node.types else {"null"}
        for name in sorted(node.types - redundant):
            phrase = _TYPES[name]
            if name == "array" and node.items is not None:
                items = next(iter(_branches([node.items]))).types
                phrase += f" of {next(iter(items))}s"
            types[phrase] = None
    first, *others = types
    bare = [other.removeprefix("an ").removeprefix("a ") for other in others]
    return f"one of {' or '.join([first, *bare])}" if bare else first


def _type_of(value: JSON) -> str:
    return "a decimal number" if type(value) is float else _TYPES[json_type(value)]


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
