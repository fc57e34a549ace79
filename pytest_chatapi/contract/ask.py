"""What a request asks for, read once and leniently: what is broken in it counts as absent."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.parse import loads, loads_bytes
from pytest_chatapi.contract.wire import JSON, JSONObject

__all__ = ["Ask", "Tool", "request_json"]


def request_json(request: Request | None) -> tuple[JSON, str | None]:
    """The request body as JSON, and why it is not JSON (``None`` if it is, or is unknown)."""
    body = request.body if request is not None else None
    if isinstance(body, bytes | str):
        if not body.strip():
            return None, None
        try:
            value = loads(body) if isinstance(body, str) else loads_bytes(body)
            return value, None if value is not None else "it is null"
        except ValueError as error:
            return None, str(error)
    return body, None


class Tool(NamedTuple):
    """A tool of a request: ``function`` or ``custom``, its parameters schema, and `strict`."""

    kind: str
    parameters: JSON
    strict: bool


class Ask:
    """What a request asks for, as far as a response can be compared with it.

    Attributes:
        known: whether there is a request body; without one, nothing is compared with it.
        tools: by name; those of the deprecated ``functions`` too.
        choice: ``tool_choice``: ``none``, ``auto``, ``required``, ``named``, or ``None``.
        named: the tool that `choice` names.
        cap: most tokens of one choice, or ``None``.
        format: ``json_object``, ``json_schema`` or ``None``.
        schema: of ``json_schema``; `strict` belongs to it.
    """

    __slots__ = (
        "body",
        "cap",
        "choice",
        "format",
        "include_usage",
        "known",
        "logprobs",
        "modalities",
        "model",
        "n",
        "named",
        "parallel",
        "schema",
        "stops",
        "stream",
        "strict",
        "tools",
        "top_logprobs",
    )

    UNKNOWN: ClassVar[Ask]

    def __init__(self, body: JSON) -> None:
        self.known = isinstance(body, dict)
        self.body: JSONObject = body if isinstance(body, dict) else {}
        get = self.body.get
        n = get("n")
        self.n = n if type(n) is int and n > 0 else 1
        self.stream = get("stream") is True
        options = get("stream_options")
        self.include_usage = isinstance(options, dict) and options.get("include_usage") is True
        self.model = get("model")
        cap = get("max_completion_tokens")
        cap = get("max_tokens") if cap is None else cap
        self.cap = cap if type(cap) is int and cap > 0 else None
        self.stops = _stops(get("stop"))
        self.logprobs = get("logprobs") is True
        top = get("top_logprobs")
        self.top_logprobs = top if type(top) is int else 0
        self.parallel = get("parallel_tool_calls")
        modalities = get("modalities")
        self.modalities = modalities if isinstance(modalities, list) else ["text"]
        has_tools = get("tools") or get("functions")
        self.tools: dict[str, Tool] = _tools(self.body) if has_tools else {}
        self.choice, self.named = _choice(get("tool_choice", get("function_call")))
        self.format, self.schema, self.strict = _format(get("response_format"))

    @property
    def needs_text(self) -> bool:
        """Whether a rule needs the whole text of the response."""
        return self.logprobs or self.format in ("json_object", "json_schema")


def _stops(stop: JSON) -> tuple[str, ...]:
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    return tuple(s for s in stops if isinstance(s, str) and s)


def _format(response_format: JSON) -> tuple[str | None, JSON, bool]:
    if not isinstance(response_format, dict):
        return None, None, False
    kind, inner = response_format.get("type"), response_format.get("json_schema")
    if kind == "json_schema" and isinstance(inner, dict):
        return kind, inner.get("schema"), inner.get("strict") is True
    return (kind if kind != "text" else None), None, False


def _tools(body: JSONObject) -> dict[str, Tool]:
    by_name: dict[str, Tool] = {}
    tools, functions = body.get("tools"), body.get("functions")
    for tool in tools if isinstance(tools, list) else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        inner = tool.get(kind) if kind in ("function", "custom") else None
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            strict = inner.get("strict") is True
            by_name[inner["name"]] = Tool(str(kind), inner.get("parameters"), strict)
    for inner in functions if isinstance(functions, list) else ():
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            by_name[inner["name"]] = Tool("function", inner.get("parameters"), False)
    return by_name


def _choice(choice: JSON) -> tuple[str | None, str | None]:
    if isinstance(choice, str):
        return choice, None
    if isinstance(choice, dict):
        kind = choice.get("type")
        if kind == "allowed_tools":
            allowed = choice.get("allowed_tools")
            required = isinstance(allowed, dict) and allowed.get("mode") == "required"
            return ("required" if required else "auto"), None
        inner = choice.get(kind) if kind in ("function", "custom") else choice
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            return "named", inner["name"]
    return None, None


Ask.UNKNOWN = Ask(None)
