"""What a request asks for, read once and forgivingly: a broken request asks for its defaults."""

from __future__ import annotations

from typing import Any, ClassVar

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.parse import loads, loads_bytes

__all__ = ["Ask", "request_json"]


def request_json(request: Request | None) -> tuple[Any, str | None]:
    """The request body as JSON, and why it is not JSON (``None`` when it is, or is unknown)."""
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


class Ask:
    """The question, as far as an answer can be held against it.

    Attributes:
        known: whether a request body is at hand; without it, nothing is held against it.
        tools: name to (kind, parameters schema or ``None``, strict).
        choice: ``none``, ``auto``, ``required``, ``allowed``, ``named``, or ``None`` if not said.
        cap: most tokens of one choice, or ``None``.
        format: ``json_object``, ``json_schema`` or ``None``.
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

    def __init__(self, body: Any) -> None:
        self.known = isinstance(body, dict)
        self.body: dict[str, Any] = body if isinstance(body, dict) else {}
        get = self.body.get
        n = get("n")
        self.n = n if type(n) is int and n > 0 else 1
        self.stream = get("stream") is True
        options = get("stream_options")
        self.include_usage = isinstance(options, dict) and options.get("include_usage") is True
        self.model = get("model")
        cap = get("max_completion_tokens")
        cap = get("max_tokens") if cap is None else cap
        self.cap = cap if type(cap) is int and cap >= 0 else None
        stop = get("stop")
        stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
        self.stops = tuple(s for s in stops if isinstance(s, str) and s)
        self.logprobs = get("logprobs") is True
        top = get("top_logprobs")
        self.top_logprobs = top if type(top) is int else 0
        self.parallel = get("parallel_tool_calls")
        modalities = get("modalities")
        self.modalities = modalities if isinstance(modalities, list) else ["text"]
        self.tools: dict[str, tuple[str, Any, bool]] = {}
        if get("tools") or get("functions"):
            self._read_tools()
        self.choice, self.named = self._read_choice()
        self.format: str | None = None
        self.schema: Any = None
        self.strict = False
        wanted = get("response_format")
        if isinstance(wanted, dict):
            self.format = wanted.get("type") if wanted.get("type") != "text" else None
            inner = wanted.get("json_schema")
            if self.format == "json_schema" and isinstance(inner, dict):
                self.schema = inner.get("schema")
                self.strict = inner.get("strict") is True

    def _read_tools(self) -> None:
        tools = self.body.get("tools")
        for tool in tools if isinstance(tools, list) else ():
            kind = tool.get("type") if isinstance(tool, dict) else None
            inner = tool.get(kind) if kind in ("function", "custom") else None
            if isinstance(inner, dict) and isinstance(inner.get("name"), str):
                self.tools[inner["name"]] = (
                    str(kind),
                    inner.get("parameters"),
                    inner.get("strict") is True,
                )
        functions = self.body.get("functions")
        for inner in functions if isinstance(functions, list) else ():
            if isinstance(inner, dict) and isinstance(inner.get("name"), str):
                self.tools[inner["name"]] = ("function", inner.get("parameters"), False)

    def _read_choice(self) -> tuple[str | None, str | None]:
        choice = self.body.get("tool_choice", self.body.get("function_call"))
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

    @property
    def needs_text(self) -> bool:
        """Whether a rule needs an answer's text as a whole."""
        return self.logprobs or self.format in ("json_object", "json_schema")


Ask.UNKNOWN = Ask(None)
