"""Which contract an exchange belongs to: one table, found by the request, else by the body.

An API is added as rows of `ENDPOINTS`, with a module of its own for the functions that check it.
`OTHER_APIS` names the traffic that is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from pytest_chatapi.contract.answers import check_chat
from pytest_chatapi.contract.assemble import Answer
from pytest_chatapi.contract.documents import by_schema, document
from pytest_chatapi.contract.exchange import Exchange, Response
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.parse import loads, loads_bytes
from pytest_chatapi.contract.rules.models import (
    check_model,
    check_model_list,
    model_list,
    model_object,
)
from pytest_chatapi.contract.sse import decode_sse, looks_like_sse
from pytest_chatapi.contract.wire import JSON, JSONObject

__all__ = ["ENDPOINTS", "OTHER_APIS", "Endpoint", "endpoint", "find_endpoint", "other_api"]

BodyTest: TypeAlias = Callable[[JSONObject], bool]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the table.

    Attributes:
        name: of the endpoint; of the API where nothing checks it.
        path: pattern of the end of the path, so any host and base path are fine.
        methods: of HTTP; empty for all.
        check: checks an exchange and returns the answer in it (``True``: keep all text of a
            stream); ``None`` for another API.
        body: whether a response's body belongs to it, where the request does not tell.
        mark: text that is in each such body: a body without any mark need not be parsed.
        header: a request with this header belongs to it, whatever its path is.
        unless: a request with this header belongs to another API under the same path.
    """

    name: str
    path: str
    methods: tuple[str, ...] = ()
    check: Callable[[Ledger, Exchange, bool], Answer | None] | None = None
    body: BodyTest | None = None
    mark: str = ""
    header: str = ""
    unless: str = ""


def _is(key: str, *values: str) -> BodyTest:
    return lambda body: body.get(key) in values


def _is_list(body: JSONObject) -> bool:
    return body.get("object") == "list" and isinstance(body.get("data"), list)


def _is_list_of(kind: str) -> BodyTest:
    def test(body: JSONObject) -> bool:
        items = [item for item in body["data"] if isinstance(item, dict)] if _is_list(body) else []
        return bool(items) and all(item.get("object") == kind for item in items)

    return test


def _has_item(body: JSONObject, key: str) -> bool:
    results = body.get("results")
    return isinstance(results, list) and any(isinstance(r, dict) and key in r for r in results)


_CHAT = r"/chat/completions$"
_STORED = r"/chat/completions/[^/]+$"
_MESSAGES = r"/chat/completions/[^/]+/messages$"
_MODELS = r"(?:^|/(?:v\d+|openai))/models$"
_MODEL = r"(?:^|/(?:v\d+|openai))/models/.+$"
_ANTHROPIC = "anthropic-version"

# The first path that fits decides, whichever methods it has. A body that no request explains and
# no row knows is a chat completion.
ENDPOINTS = (
    Endpoint("chat", _CHAT, ("POST",), check_chat),
    Endpoint(
        "completion_list",
        _CHAT,
        ("GET",),
        document(by_schema("completion_list")),
        _is_list_of("chat.completion"),
        '"data"',
    ),
    # A stored completion is a completion with leave to echo its request.
    Endpoint(
        "completion",
        _STORED,
        ("GET", "POST"),
        document(by_schema("completion_list", item_of="data")),
    ),
    Endpoint(
        "completion_deleted",
        _STORED,
        ("DELETE",),
        document(by_schema("completion_deleted")),
        _is("object", "chat.completion.deleted"),
        '"deleted"',
    ),
    Endpoint("message_list", _MESSAGES, ("GET",), document(by_schema("message_list"))),
    Endpoint(
        "model_deleted",
        _MODEL,
        ("DELETE",),
        document(by_schema("model_deleted", general=model_object), model_object),
        lambda body: body.get("object") == "model" and "deleted" in body,
        '"deleted"',
        unless=_ANTHROPIC,
    ),
    Endpoint(
        "model",
        _MODEL,
        ("GET",),
        document(check_model, model_object),
        _is("object", "model"),
        '"owned_by"',
        unless=_ANTHROPIC,
    ),
    Endpoint(
        "model_list",
        _MODELS,
        ("GET",),
        document(check_model_list, model_list),
        _is_list,
        '"data"',
        unless=_ANTHROPIC,
    ),
)

# Known by name, but not checked: matched by header and path, else by the body.
OTHER_APIS = (
    Endpoint("anthropic", "", header=_ANTHROPIC),
    Endpoint(
        "anthropic",
        r"/v\d+/(?:messages(?:/.+)?|complete)$",
        body=_is("type", "message", "message_start"),
    ),
    Endpoint(
        "gemini",
        r"/(?:models|tunedModels)/[^/]+:\w+$|/v\d+(?:alpha|beta)\d*/models(?:/.+)?$",
        body=lambda body: "candidates" in body,
    ),
    Endpoint(
        "ollama",
        r"/api/(?:chat|generate|embed|embeddings|tags|show|ps|pull|version)$",
        body=lambda body: "done" in body and "created_at" in body,
    ),
    Endpoint("bedrock", r"/model/[^/]+/(?:converse|invoke)[\w-]*$"),
    Endpoint(
        "responses",
        r"/responses(?:/.+)?$",
        body=lambda body: (
            body.get("object") == "response" or str(body.get("type")).startswith("response.")
        ),
    ),
    Endpoint("embeddings", r"/embeddings$", body=_is_list_of("embedding")),
    Endpoint("text completions", r"(?<!/chat)/completions$", body=_is("object", "text_completion")),
    Endpoint("moderations", r"/moderations$", body=lambda body: _has_item(body, "flagged")),
    Endpoint("audio", r"/audio/.+$"),
    Endpoint("images", r"/images/.+$"),
    Endpoint("videos", r"/videos(?:/.+)?$", body=_is("object", "video")),
    Endpoint("threads", r"/threads(?:/.+)?$", body=_is("object", "thread", "thread.run")),
    Endpoint("assistants", r"/assistants(?:/.+)?$", body=_is("object", "assistant")),
    Endpoint("conversations", r"/conversations(?:/.+)?$", body=_is("object", "conversation")),
    Endpoint("vector stores", r"/vector_stores(?:/.+)?$", body=_is("object", "vector_store")),
    Endpoint("fine-tuning", r"/fine_tuning/.+$", body=_is("object", "fine_tuning.job")),
    Endpoint("batches", r"/batches(?:/.+)?$", body=_is("object", "batch")),
    Endpoint("uploads", r"/uploads(?:/.+)?$", body=_is("object", "upload")),
    Endpoint("files", r"/files(?:/.+)?$", body=_is("object", "file")),
    Endpoint("realtime", r"/realtime(?:/.+)?$"),
    Endpoint("rerank", r"/rerank$"),
)

_BY_NAME = {row.name: row for row in ENDPOINTS}
# In the order of the table: the rows under one path.
_BY_PATH = {
    re.compile(path): [row for row in ENDPOINTS if row.path == path]
    for path in dict.fromkeys(row.path for row in ENDPOINTS)
}
_BY_BODY = [(row.body, row) for row in ENDPOINTS if row.body is not None]
_MARKS = tuple(dict.fromkeys(row.mark for row in ENDPOINTS if row.mark))
_MARKS_BYTES = tuple(mark.encode() for mark in _MARKS)
_SUFFIX = "/chat/completions"


def find_endpoint(exchange: Exchange) -> Endpoint | None:
    """The row of what was called; ``None`` for traffic that is not checked."""
    request = exchange.request
    if request is None or not request.url:
        return _of_body(exchange.response)
    url, method = request.url, request.method.upper()
    if method == "POST" and url.endswith(_SUFFIX) and _has_plain_path(url):
        return _BY_NAME["chat"]
    path = _path(url)
    for pattern, rows in _BY_PATH.items():
        if pattern.search(path) is not None:
            for row in rows:
                if method in row.methods and row.unless not in request.headers:
                    return row
            return None
    return None


def endpoint(exchange: Exchange) -> str | None:
    """The name of what was called, as `ENDPOINTS` has it; ``None`` for traffic not checked."""
    row = find_endpoint(exchange)
    return None if row is None else row.name


def other_api(exchange: Exchange) -> str | None:
    """The name of the API of an exchange that is not checked, as `OTHER_APIS` has it.

    Returns:
        ``None`` for what is checked, and for what nobody knows.
    """
    request = exchange.request
    if request is None or find_endpoint(exchange) is not None:
        return None
    path = _path(request.url)
    for row in OTHER_APIS:
        if row.header in request.headers if row.header else re.search(row.path, path):
            return row.name
    body = _first_object(exchange.response)
    for row in OTHER_APIS:
        if row.body is not None and row.body(body):
            return row.name
    return None


def _has_plain_path(url: str) -> bool:
    """Whether the end of a URL is the end of its path for sure: `_path` is slower."""
    return url[-len(_SUFFIX) - 1 : -len(_SUFFIX)].isalnum() and "?" not in url and "#" not in url


def _path(url: str) -> str:
    try:
        return urlsplit(url).path.rstrip("/")
    except ValueError:
        return url.partition("?")[0].rstrip("/")


def _of_body(response: Response | None) -> Endpoint:
    body = response.body if response is not None else None
    if isinstance(body, str | bytes):
        # Parsing twice would double the cost of a lone response: look for the marks first.
        for mark in _MARKS if isinstance(body, str) else _MARKS_BYTES:
            if mark in body:  # type: ignore[operator]
                break
        else:
            return _BY_NAME["chat"]
        body = _parsed(body)
    if isinstance(body, dict):
        for belongs, row in _BY_BODY:
            if belongs(body):
                return row
    return _BY_NAME["chat"]


def _first_object(response: Response | None) -> JSONObject:
    """The body, or the first event of a stream; empty where there is no such object."""
    body: JSON = response.body if response is not None else None
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    if isinstance(body, bytes):
        if looks_like_sse(body[:512]):
            body = next((data for data, _, _ in decode_sse([body]) if data), b"")
        body = _parsed(body)
    return body if isinstance(body, dict) else {}


def _parsed(body: str | bytes) -> JSON:
    try:
        return loads(body) if isinstance(body, str) else loads_bytes(body)
    except ValueError:
        return None
