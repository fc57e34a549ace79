"""What a request asks for, read once and leniently: what is broken in it counts as absent."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import ClassVar, NamedTuple, TypeAlias

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.parse import loads, loads_bytes
from pytest_chatapi.contract.wire import JSON, JSONObject

__all__ = ["KINDS", "KIND_WORDS", "Ask", "Tool", "ToolKey", "request_json"]

KINDS = ("function", "custom")
"""The types of tools, each of which is also the name of the member that holds the tool."""

KIND_WORDS = {
    "function": "function tool",
    "custom": "custom tool",
    "function_call": "function of `functions`",
}
"""The first member of a `ToolKey`, in words."""

ToolKey: TypeAlias = tuple[str, str]
"""What calls one tool: a kind (``function``, ``custom``, or ``function_call`` for the deprecated
``functions``), and its name."""


def request_json(request: Request | None) -> tuple[JSON, str | None]:
    """The request body as JSON, and why it is not JSON (``None`` if it is, or is unknown)."""
    body = request.body if request is not None else None
    if isinstance(body, (bytes, str)):
        if not body.strip():
            return None, None
        try:
            value = loads(body) if isinstance(body, str) else loads_bytes(body)
            return value, None if value is not None else "it is null"
        except ValueError as error:
            return None, str(error)
    return body, None


class Tool(NamedTuple):
    """A tool of a request.

    Attributes:
        parameters: the schema of a function's arguments.
        strict: the arguments have to match it.
        grammar: of a custom tool's input: an object with ``syntax`` and ``definition``.
    """

    parameters: JSON
    strict: bool
    grammar: JSONObject | None = None


class Ask:
    """What a request asks for, as far as a response can be compared with it.

    Attributes:
        known: whether there is a request body; without one, nothing is compared with it.
        tools_known: whether the tools that are not in the body were not sent.
        choice: ``tool_choice``: ``none``, ``auto``, ``required``, ``named``, or ``None``.
        named: the tool that `choice` names.
        allowed: the tools of ``allowed_tools``, in its order; ``None`` where all are allowed.
        cap: most tokens of one choice, or ``None``.
        members: the names of the body's members, in its order.
        format: ``json_object``, ``json_schema`` or ``None``.
        schema: of ``json_schema``; `strict` belongs to it.
    """

    __slots__ = (
        "_tools",
        "allowed",
        "body",
        "cap",
        "choice",
        "format",
        "include_usage",
        "known",
        "logprobs",
        "members",
        "modalities",
        "model",
        "n",
        "named",
        "parallel",
        "schema",
        "stops",
        "stream",
        "strict",
        "tools_known",
        "top_logprobs",
    )

    UNKNOWN: ClassVar[Ask]

    def __init__(self, body: JSON, *, partial: bool = False) -> None:
        self.known = isinstance(body, dict)
        self.body: JSONObject = body if isinstance(body, dict) else {}
        self.tools_known = not partial or "tools" in self.body or "functions" in self.body
        self.members = tuple(self.body)
        self.model = self.body.get("model")
        self._tools: dict[ToolKey, Tool] | None = None
        self.n, self.top_logprobs = 1, 0
        self.stream = self.include_usage = self.logprobs = self.strict = False
        self.cap: int | None = None
        self.stops: tuple[str, ...] = ()
        self.modalities: Collection[JSON] = _TEXT
        self.choice: str | None = None
        self.named: ToolKey | None = None
        self.allowed: tuple[ToolKey, ...] | None = None
        self.format: str | None = None
        self.parallel = self.schema = None
        # Many requests have none of the parameters that change these.
        if not _READ.isdisjoint(self.body):
            self._read(self.body.get)

    def _read(self, get: Callable[[str], JSON]) -> None:
        n = get("n")
        self.n = n if type(n) is int and n > 0 else 1
        self.stream = get("stream") is True
        options = get("stream_options")
        self.include_usage = isinstance(options, dict) and options.get("include_usage") is True
        cap = get("max_completion_tokens")
        cap = get("max_tokens") if cap is None else cap
        self.cap = cap if type(cap) is int and cap > 0 else None
        self.stops = _stops(get("stop"))
        self.logprobs = get("logprobs") is True
        top = get("top_logprobs")
        self.top_logprobs = top if type(top) is int else 0
        self.parallel = get("parallel_tool_calls")
        modalities = get("modalities")
        self.modalities = modalities if isinstance(modalities, list) else _TEXT
        if "tool_choice" in self.body or "function_call" in self.body:
            self.choice, self.named = _choice(self.body)
            self.allowed = _allowed(get("tool_choice"))
        if "response_format" in self.body:
            self.format, self.schema, self.strict = _format(get("response_format"))

    @property
    def tools(self) -> dict[ToolKey, Tool]:
        """The tools by kind and name, those of the deprecated ``functions`` too.

        Most responses call none of them, so they are read when they are first looked at.
        """
        if self._tools is None:
            self._tools = _tools(self.body)
        return self._tools

    @property
    def names(self) -> list[str]:
        """The names of all tools, each once."""
        return [*dict.fromkeys(name for _, name in self.tools)]

    @property
    def stream_is_sound(self) -> bool:
        """Whether ``stream`` has a type that the reference knows; without it, it has."""
        return type(self.body.get("stream")) in (bool, type(None))

    @property
    def continuous_usage(self) -> bool:
        """Whether usage was requested on each chunk of a stream (vLLM, SGLang)."""
        options = self.body.get("stream_options")
        return isinstance(options, dict) and options.get("continuous_usage_stats") is True

    @property
    def only_tool(self) -> bool:
        """Whether there is one tool only that may be called."""
        return len(self.tools if self.allowed is None else self.allowed) == 1

    @property
    def needs_text(self) -> bool:
        """Whether a rule needs the whole text of the response."""
        return self.logprobs or self.format in ("json_object", "json_schema")

    @property
    def echoes(self) -> tuple[str, ...]:
        """The members that a response has because the request has them: K11, K13 and K14."""
        body = self.body
        if _ECHOED.isdisjoint(body):
            return ()
        keys = ["service_tier"] if isinstance(body.get("service_tier"), str) else []
        if isinstance(body.get("metadata"), dict) and body.get("store") is True:
            keys.append("metadata")
        if isinstance(body.get("moderation"), dict):
            keys.append("moderation")
        return tuple(keys)

    @property
    def breakpoints(self) -> bool:
        """Whether a part of a message marks where a cached prefix ends."""
        messages = self.body.get("messages")
        contents = [
            message.get("content")
            for message in (messages if isinstance(messages, list) else ())
            if isinstance(message, dict)
        ]
        return any(
            isinstance(part, dict) and part.get("prompt_cache_breakpoint") is not None
            for content in contents
            if isinstance(content, list)
            for part in content
        )


_ECHOED = {"service_tier", "metadata", "moderation"}
_TEXT = ("text",)
# What `_read` looks at.
_READ = {
    "function_call",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "modalities",
    "n",
    "parallel_tool_calls",
    "response_format",
    "stop",
    "stream",
    "stream_options",
    "tool_choice",
    "top_logprobs",
}


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


def _tools(body: JSONObject) -> dict[ToolKey, Tool]:
    by_key: dict[ToolKey, Tool] = {}
    tools, functions = body.get("tools"), body.get("functions")
    for tool in tools if isinstance(tools, list) else ():
        key = _key(tool)
        if key is not None:
            inner = _inner(tool, key[0])
            format_ = inner.get("format")
            grammar = format_.get("grammar") if isinstance(format_, dict) else None
            by_key[key] = Tool(
                inner.get("parameters"),
                inner.get("strict") is True,
                grammar if isinstance(grammar, dict) else None,
            )
    for inner in functions if isinstance(functions, list) else ():
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            by_key["function_call", inner["name"]] = Tool(inner.get("parameters"), False)
    return by_key


def _key(tool: JSON) -> ToolKey | None:
    """Kind and name of what a request calls a tool, in `tools` or in `tool_choice`.

    Without a ``type`` (SDKs of Mistral and Hugging Face), or with one that only some servers
    know, the member tells the kind; without a member, the name may be beside the type.
    """
    if not isinstance(tool, dict):
        return None
    kind = tool.get("type")
    if kind not in KINDS:
        kind = "custom" if isinstance(tool.get("custom"), dict) else "function"
    name = _inner(tool, kind).get("name")
    return (kind, name) if isinstance(name, str) else None


def _inner(tool: JSONObject, kind: str) -> JSONObject:
    inner = tool.get(kind)
    return inner if isinstance(inner, dict) else tool


def _choice(body: JSONObject) -> tuple[str | None, ToolKey | None]:
    choice = body.get("tool_choice")
    legacy = body.get("function_call") if choice is None else None
    if isinstance(legacy, dict):
        name = legacy.get("name")
        return ("named", ("function_call", name)) if isinstance(name, str) else (None, None)
    choice = legacy if choice is None else choice
    if isinstance(choice, str):
        return choice, None
    if isinstance(choice, dict):
        if choice.get("type") == "allowed_tools":
            allowed = choice.get("allowed_tools")
            required = isinstance(allowed, dict) and allowed.get("mode") == "required"
            return ("required" if required else "auto"), None
        key = _key(choice)
        if key is not None:
            return "named", key
    return None, None


def _allowed(choice: JSON) -> tuple[ToolKey, ...] | None:
    if not isinstance(choice, dict) or choice.get("type") != "allowed_tools":
        return None
    allowed = choice.get("allowed_tools")
    tools = allowed.get("tools") if isinstance(allowed, dict) else None
    if not isinstance(tools, list):
        return None
    return tuple(key for key in map(_key, tools) if key is not None)


Ask.UNKNOWN = Ask(None)
