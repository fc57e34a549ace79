"""Which contract an exchange belongs to: one table, found by the request, else by the body.

An API is added as rows of `ENDPOINTS`, with a module of its own for the functions that check it.
`OTHER_APIS` names the traffic that is skipped.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from pytest_chatapi.contract.answers import check_chat
from pytest_chatapi.contract.assemble import Answer
from pytest_chatapi.contract.documents import by_schema, document
from pytest_chatapi.contract.exchange import Exchange, Request, Response, fold_headers
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules.models import (
    check_model,
    check_model_list,
    model_list,
    model_object,
)
from pytest_chatapi.contract.sse import decode_sse, looks_like_sse
from pytest_chatapi.contract.wire import JSON, JSONObject

__all__ = [
    "CHAT",
    "ENDPOINTS",
    "OTHER_APIS",
    "UNANSWERED",
    "UNKNOWN",
    "Endpoint",
    "checked_row_of",
    "endpoint",
    "find_endpoint",
    "first_object",
    "named",
    "other_api",
    "path_of",
    "row_of",
]

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
        body: whether a response's body, an event of a stream or an item of a list belongs to it,
            where the request does not tell.
        asked: the same for a request's body.
        events: pattern of the ``event`` field of its streams.
        media: how the content type of its responses begins, which are not JSON.
        header: a request with this header belongs to it, whatever its path is.
        unless: a request with this header belongs to another API under the same path, and so
            does a response whose body is another API's.
    """

    name: str
    path: str
    methods: tuple[str, ...] = ()
    check: Callable[[Ledger, Exchange, bool], Answer | None] | None = None
    body: BodyTest | None = None
    asked: BodyTest | None = None
    events: str = ""
    media: str = ""
    header: str = ""
    unless: str = ""


# -- tests of bodies ---------------------------------------------------------------------


def _is(key: str, *values: str) -> BodyTest:
    return lambda body: body.get(key) in values


def _named(key: str, pattern: str) -> BodyTest:
    """Whether the text under a key is this pattern."""
    fits = re.compile(pattern).fullmatch
    return lambda body: isinstance(body.get(key), str) and fits(body[key]) is not None


def _has(*keys: str) -> BodyTest:
    return lambda body: all(key in body for key in keys)


def _any(*tests: BodyTest) -> BodyTest:
    return lambda body: any(test(body) for test in tests)


def _is_object(*names: str) -> BodyTest:
    """Whether ``object`` is one of these names, or begins with one and a dot."""
    return _named("object", rf"(?:{'|'.join(map(re.escape, names))})(?:\..+)?")


def _objects(value: JSON) -> list[JSONObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _has_item(key: str, *names: str) -> BodyTest:
    """Whether an item of the list under a key has one of these names."""
    return lambda body: any(not item.keys().isdisjoint(names) for item in _objects(body.get(key)))


def _is_chat(body: JSONObject) -> bool:
    """Whether this is a completion or a chunk without doubt, however broken it is."""
    kind = body.get("object")
    if isinstance(kind, str) and kind.startswith("chat.completion"):
        return kind != "chat.completion.deleted"
    return _has_item("choices", "message", "delta")(body)


_CHAT_KEYS = {"choices", "system_fingerprint", "finish_reason", "delta", "role"}
_ERROR_KEYS = {"error", "errors", "detail"}
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def _may_be_chat(body: JSONObject) -> bool:
    """Whether this is what is left of a broken completion, or an error of any server."""
    if not body or not _CHAT_KEYS.isdisjoint(body) or not _ERROR_KEYS.isdisjoint(body):
        return True
    usage = body.get("usage")
    if "model" in body and ("id" in body or "usage" in body):
        return True
    if body.get("object") == "error" or (isinstance(body.get("message"), dict | str)):
        return True
    return isinstance(usage, dict) and any(key in usage for key in _COUNTS)


def _is_list(body: JSONObject) -> bool:
    return body.get("object") == "list"


_TRANSCRIPT = {"text", "usage", "logprobs", "task", "language", "duration", "segments", "words"}


def _is_transcript(body: JSONObject) -> bool:
    return isinstance(body.get("text"), str) and body.keys() <= _TRANSCRIPT


def _is_message_of_anthropic(body: JSONObject) -> bool:
    if "choices" in body or _has_type(body.get("content"), "output_text"):
        return False
    if body.get("type") == "message":
        return True
    is_message = "role" in body or "content" in body
    return is_message and ("stop_reason" in body or _has_type(body.get("content"), "tool_use"))


def _is_message_of_responses(body: JSONObject) -> bool:
    return body.get("type") == "message" and _has_type(body.get("content"), "output_text")


def _has_type(blocks: JSON, kind: str) -> bool:
    return isinstance(blocks, list) and any(b.get("type") == kind for b in _objects(blocks))


def _is_error_of_anthropic(body: JSONObject) -> bool:
    return body.get("type") == "error" and isinstance(body.get("error"), dict)


def _is_error_of_responses(body: JSONObject) -> bool:
    return body.get("type") == "error" and "sequence_number" in body


def _is_answer_of_converse(body: JSONObject) -> bool:
    output = body.get("output")
    return isinstance(output, dict) and "message" in output and "choices" not in body


def _has_billed_units(body: JSONObject) -> bool:
    usage = body.get("usage")
    return isinstance(usage, dict) and "billed_units" in usage


def _is_embedding_of_gemini(body: JSONObject) -> bool:
    embedding = body.get("embedding")
    return isinstance(embedding, dict) and "values" in embedding


# -- tests of requests -------------------------------------------------------------------


def _asks_chat(body: JSONObject) -> bool:
    return isinstance(body.get("messages"), list)


# Documented for chat completions only, so a request with one of them is not another API's.
_CHAT_ONLY = {"max_completion_tokens", "response_format", "n", "stream_options", "logprobs"}
_BLOCKS = {"tool_use", "tool_result", "thinking"}


def _asks_anthropic(body: JSONObject) -> bool:
    if "anthropic_version" in body:
        return True
    if not _asks_chat(body) or not _CHAT_ONLY.isdisjoint(body):
        return False
    if "max_tokens" in body and ("system" in body or "stop_sequences" in body):
        return True
    if _has_item("tools", "input_schema")(body):
        return True
    blocks = [
        b
        for message in body["messages"]
        if isinstance(message, dict)
        for b in _objects(message.get("content"))
    ]
    return any(block.get("type") in _BLOCKS for block in blocks)


def _asks_gemini(body: JSONObject) -> bool:
    contents = body.get("contents")
    if "messages" in body or not isinstance(contents, list):
        return isinstance(contents, dict) and "parts" in contents
    return True


def _asks_ollama(body: JSONObject) -> bool:
    if not (_asks_chat(body) or "prompt" in body or "input" in body):
        return False
    return "keep_alive" in body or isinstance(body.get("options"), dict)


_RESPONSES_ONLY = {
    "background",
    "conversation",
    "include",
    "instructions",
    "max_output_tokens",
    "previous_response_id",
    "reasoning",
    "store",
    "stream",
    "text",
    "tools",
    "truncation",
}


def _asks_responses(body: JSONObject) -> bool:
    if "input" not in body or "messages" in body:
        return False
    return not _RESPONSES_ONLY.isdisjoint(body) or bool(_objects(body["input"]))


def _asks_with(key: str, *others: str) -> BodyTest:
    """Whether a request without messages has a key, and one of some others if there are any."""

    def test(body: JSONObject) -> bool:
        if key not in body or "messages" in body:
            return False
        return not others or any(other in body for other in others)

    return test


def _asks_model(key: str, *names: str) -> BodyTest:
    """Whether a request without messages has a key, and the name of its model one of these."""

    def test(body: JSONObject) -> bool:
        model = str(body.get("model")).lower()
        return key in body and "messages" not in body and any(name in model for name in names)

    return test


def _below_base(name: str) -> str:
    """The pattern of paths that mean one service alone right below a base URL."""
    return rf"(?:^|/(?:v\d+|openai))/{name}(?:/.+)?$"


_CHAT = r"/chat/completions$"
_STORED = r"/chat/completions/[^/]+$"
_MESSAGES = r"/chat/completions/[^/]+/messages$"
_MODELS = r"(?:^|/(?:v\d+|openai))/models$"
_MODEL = r"(?:^|/(?:v\d+|openai))/models/.+$"
_ANTHROPIC = "anthropic-version"

# The first path that fits decides, whichever methods it has; else the first body that fits.
ENDPOINTS = (
    Endpoint("chat", _CHAT, ("POST",), check_chat, _is_chat),
    # Its list is told by its items.
    Endpoint("completion_list", _CHAT, ("GET",), document(by_schema("completion_list"))),
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
    ),
    Endpoint("message_list", _MESSAGES, ("GET",), document(by_schema("message_list"))),
    Endpoint(
        "model_deleted",
        _MODEL,
        ("DELETE",),
        document(by_schema("model_deleted", general=model_object), model_object),
        lambda body: body.get("object") == "model" and "deleted" in body,
        unless=_ANTHROPIC,
    ),
    Endpoint(
        "model",
        _MODEL,
        ("GET",),
        document(check_model, model_object),
        _is("object", "model"),
        unless=_ANTHROPIC,
    ),
    Endpoint(
        "model_list",
        _MODELS,
        ("GET",),
        document(check_model_list, model_list),
        unless=_ANTHROPIC,
    ),
)

# Known by name, but not checked: matched by header and path, else by the body.
OTHER_APIS = (
    Endpoint("anthropic", "", header=_ANTHROPIC),
    Endpoint(
        "anthropic",
        r"/v\d+/(?:messages(?:/.+)?|complete)$",
        body=_any(
            _is_message_of_anthropic,
            _named("type", r"message_(?:start|delta|stop|batch\w*)|content_block_\w+"),
            lambda body: "completion" in body and ("stop_reason" in body or "type" in body),
            lambda body: body.get("type") == "model" and "object" not in body,
            _is_error_of_anthropic,
            lambda body: body.keys() == {"input_tokens"},
        ),
        asked=_asks_anthropic,
        events=r"message_(?:start|delta|stop)|content_block_\w+",
    ),
    Endpoint(
        "gemini",
        r"/(?:models|tunedModels)/[^/]+:\w+$|/v\d+(?:alpha|beta)\d*/models(?:/.+)?$",
        body=_any(
            _has("candidates"),
            _has("usageMetadata"),
            _has("promptFeedback"),
            _has("supportedGenerationMethods"),
            _has("totalTokens"),
            _has_item("models", "supportedGenerationMethods"),
            _has_item("embeddings", "values"),
            _is_embedding_of_gemini,
        ),
        asked=_any(_asks_gemini, _has_item("requests", "content", "contents")),
    ),
    Endpoint(
        "ollama",
        r"/api/(?:chat|generate|embed|embeddings|tags|show|ps|pull|version)$",
        body=_any(
            lambda body: "done" in body and ("created_at" in body or "message" in body),
            lambda body: "data" not in body and _has_item("models", "digest")(body),
            _has("modelfile"),
            lambda body: "choices" not in body and "total_duration" in body,
        ),
        asked=_asks_ollama,
    ),
    Endpoint(
        "bedrock",
        r"/model/[^/]+/(?:converse|invoke)[\w-]*$",
        body=_any(
            _is_answer_of_converse,
            _has_item("results", "outputText"),
            _has("outputText"),
            _has("generation", "prompt_token_count"),
            _has("inputTextTokenCount"),
            _has("contentBlockIndex"),
        ),
        media="application/vnd.amazon.eventstream",
        asked=_any(_has("inferenceConfig"), _has("toolConfig"), _has("inputText")),
    ),
    Endpoint(
        "cohere",
        r"/v\d+/(?:chat|generate|embed|classify)$",
        body=_any(
            _has("generation_id"),
            _has_billed_units,
            lambda body: "data" not in body and _has_item("models", "endpoints")(body),
            _has_item("generations", "text"),
            _named("event_type", "stream-start|text-generation|stream-end"),
            _named("type", "message-start|content-start|content-delta|message-end"),
        ),
        asked=_asks_with("chat_history"),
    ),
    Endpoint(
        "responses",
        r"/responses(?:/.+)?$",
        body=_any(
            _is_object("response"),
            _named("type", r"response\..+"),
            _is_message_of_responses,
            _is_error_of_responses,
        ),
        events=r"response\..+",
    ),
    Endpoint(
        "embeddings",
        r"/embeddings$",
        body=_any(
            _is("object", "embedding"),
            lambda body: isinstance(body.get("embedding"), list | str),
            lambda body: isinstance(body.get("embeddings"), list),
        ),
        asked=_any(
            _asks_with("input", "encoding_format", "dimensions", "input_type"),
            _asks_model("input", "embed", "bge-", "e5-", "minilm"),
        ),
    ),
    Endpoint(
        "images",
        r"/images/.+$",
        body=_any(
            lambda body: "object" not in body and ("b64_json" in body or body.keys() == {"url"}),
            lambda body: "url" in body and "revised_prompt" in body,
            _named("type", r"image_(?:generation|edit)\..+"),
        ),
        asked=_any(
            _asks_with("prompt", "size", "quality"), _asks_model("prompt", "dall-e", "image")
        ),
        events=r"image_(?:generation|edit)\..+",
        media="image/",
    ),
    Endpoint(
        "videos",
        r"/videos(?:/.+)?$",
        body=_is_object("video"),
        asked=_any(_asks_with("prompt", "seconds"), _asks_model("prompt", "sora")),
    ),
    Endpoint(
        "audio",
        r"/audio/.+$",
        body=_any(_is_transcript, _named("type", r"(?:transcript\.text|speech\.audio)\..+")),
        asked=_asks_with("input", "voice"),
        events=r"(?:transcript\.text|speech\.audio)\..+",
        media="audio/",
    ),
    Endpoint(
        "moderations",
        r"/moderations$",
        body=_any(_has_item("results", "flagged"), _has("flagged")),
        asked=_asks_model("input", "moderation"),
    ),
    Endpoint(
        "rerank",
        r"/rerank$",
        body=_any(_has_item("results", "relevance_score"), _has("relevance_score")),
        asked=_asks_with("documents", "query"),
    ),
    # After the APIs whose requests have more than an `input` or a `prompt`.
    Endpoint("responses", "", asked=_asks_responses),
    Endpoint(
        "text completions",
        r"(?<!/chat)/completions$",
        body=_any(_is("object", "text_completion"), _has_item("choices", "text")),
        asked=_asks_with("prompt"),
    ),
    Endpoint(
        "threads",
        _below_base("threads"),
        body=_is_object("thread"),
        asked=_has("assistant_id"),
        events=r"thread\..+",
    ),
    Endpoint("assistants", _below_base("assistants"), body=_is_object("assistant")),
    Endpoint("conversations", _below_base("conversations"), body=_is_object("conversation")),
    Endpoint("vector stores", _below_base("vector_stores"), body=_is_object("vector_store")),
    Endpoint(
        "fine-tuning",
        r"/fine_tuning/.+$",
        body=_is_object("fine_tuning", "fine-tune"),
        asked=_has("training_file"),
    ),
    Endpoint(
        "batches",
        _below_base("batches"),
        body=_is_object("batch"),
        asked=_has("input_file_id", "completion_window"),
    ),
    Endpoint("uploads", _below_base("uploads"), body=_is_object("upload")),
    Endpoint("files", _below_base("files"), body=_is_object("file")),
    Endpoint("containers", _below_base("containers"), body=_is_object("container")),
    Endpoint("evals", _below_base("evals"), body=_is_object("eval")),
    Endpoint("organization", r"/organization/.+$", body=_is_object("organization")),
    Endpoint(
        "realtime",
        r"/realtime(?:/.+)?$",
        body=_any(_is_object("realtime"), _named("type", r"session\..+|conversation\.item\..+")),
    ),
    Endpoint(
        "telemetry",
        r"/v\d+/(?:traces|metrics|logs)$"  # OTLP
        r"|/api/public/(?:ingestion|otel/.+)$"  # Langfuse
        r"|/api/\d+/(?:envelope|store)$"  # Sentry
        r"|/(?:runs|otel|api/v\d+|traces|spans)/(?:batch|multipart)$|/runs(?:/[0-9a-f-]{36})?$"
        r"|/call/(?:start|end|upsert_batch)$|/logs3$|/llmobs(?:/.+)?$"  # LangSmith, Weave, ...
        r"|/(?:telemetry|ingestion|i/v0/e|capture|decide|flags|batch|track)(?:/.+)?$",
        asked=_any(
            _has_item("resourceSpans", "scopeSpans", "resource"),
            _has_item("resourceMetrics", "scopeMetrics", "resource"),
            _has_item("resourceLogs", "scopeLogs", "resource"),
            _has_item("batch", "event", "timestamp"),
            lambda body: "api_key" in body and ("event" in body or "distinct_id" in body),
        ),
    ),
)

CHAT = ENDPOINTS[0]
UNKNOWN = Endpoint("unknown", "")
"""Traffic that neither a contract nor a name of another API fits."""

UNANSWERED = Endpoint("unanswered", "")
"""A request without a body that got no response: there is nothing in it to check."""

_BY_NAME = {row.name: row for row in ENDPOINTS}
# In the order of the table: the rows under one path.
_BY_PATH = {
    re.compile(path): [row for row in ENDPOINTS if row.path == path]
    for path in dict.fromkeys(row.path for row in ENDPOINTS)
}
_BY_BODY = [(row.body, row) for row in (*ENDPOINTS, *OTHER_APIS) if row.body is not None]
_BY_REQUEST = [(row.asked, row) for row in OTHER_APIS if row.asked is not None]
_BY_MEDIA = [(row.media, row) for row in OTHER_APIS if row.media]
_BY_EVENT = [(re.compile(row.events), row) for row in OTHER_APIS if row.events]
# A list has the name of what is in it.
_LISTS = {"chat": "completion_list", "model": "model_list"}
_SUFFIX = "/chat/completions"

# Events of a stream that are looked at: the first ones may be pings, or Azure's empty choices.
_MOST_EVENTS = 8
# Bytes in which their beginning has to be.
_HEAD = 64 * 1024
# A text with the first two and without the third is a completion, and no list of them.
_KIND, _CHOICES, _DATA = '"chat.completion"', '"choices"', '"data"'
# A stream with this in its first event is one of chunks.
_CHUNK = '"chat.completion.chunk"'


# -- the search --------------------------------------------------------------------------


def row_of(exchange: Exchange) -> Endpoint:
    """The row of what was called: of `ENDPOINTS`, of `OTHER_APIS`, or `UNKNOWN`."""
    request, response = exchange.request, exchange.response
    if request is None or not request.url:
        return _by_body(request, response, addressed=False)
    url, method = request.url, request.method.upper()
    if method == "POST" and url.endswith(_SUFFIX) and _has_plain_path(url):
        return CHAT
    return _by_path(exchange, request, path_of(url), method)


def checked_row_of(exchange: Exchange) -> Endpoint:
    """As `row_of`, but `UNANSWERED` where there is nothing to check: no response, no body.

    Where the recording says what it lacks, the row has that as its name.
    """
    if exchange.lacks:
        row = row_of(exchange)
        return row if row.check is None else Endpoint(exchange.lacks, "")
    request, response = exchange.request, exchange.response
    if response is None and (request is None or request.body is None):
        row = row_of(exchange)
        return row if row.check is None else UNANSWERED
    return row_of(exchange)


def named(name: str) -> Endpoint:
    """The row of `ENDPOINTS` with this name."""
    return _BY_NAME[name]


def find_endpoint(exchange: Exchange) -> Endpoint | None:
    """The row of what was called; ``None`` for traffic that is not checked."""
    row = row_of(exchange)
    return row if row.check is not None else None


def endpoint(exchange: Exchange) -> str | None:
    """The name of what was called, as `ENDPOINTS` has it; ``None`` for traffic not checked."""
    row = row_of(exchange)
    return row.name if row.check is not None else None


def other_api(exchange: Exchange) -> str | None:
    """The name of the API of an exchange that is not checked, as `OTHER_APIS` has it.

    Returns:
        ``unknown`` where no row fits, ``None`` for what is checked.
    """
    row = row_of(exchange)
    return row.name if row.check is None else None


def _by_path(exchange: Exchange, request: Request, path: str, method: str) -> Endpoint:
    is_ours = False
    for pattern, rows in _BY_PATH.items():
        if pattern.search(path) is not None:
            for row in rows:
                if method in row.methods and row.unless not in request.headers:
                    return _of_other(exchange.response) or row if row.unless else row
            is_ours = True
            break
    for row in OTHER_APIS:
        if row.header in request.headers if row.header else row.path and re.search(row.path, path):
            return CHAT if _is_chat_call(request, exchange.response) else row
    # Under a path of ours, a method that it does not have is not a completion either.
    return UNKNOWN if is_ours else _by_body(request, exchange.response, addressed=True)


def _of_other(response: Response | None) -> Endpoint | None:
    """The row of another API that responds under a path of ours, as the body tells."""
    row = _of_response(response)
    return row if row is not None and row.check is None else None


def _is_chat_call(request: Request, response: Response | None) -> bool:
    """Whether a call under the path of another API is a chat completion anyway."""
    body = response.body if response is not None else None
    if isinstance(body, str | bytes):
        mark: str | bytes = "chat.completion" if isinstance(body, str) else b"chat.completion"
        if mark not in body:  # type: ignore[operator]
            return False
    asked = _lenient(request.body)
    if isinstance(asked, dict) and not _asks_chat(asked):
        return False
    return any(
        str(value.get("object")).startswith("chat.completion")
        for value, _ in _samples(response)
        if isinstance(value, dict)
    )


def _has_plain_path(url: str) -> bool:
    """Whether the end of a URL is the end of its path for sure: `path_of` is slower."""
    return url[-len(_SUFFIX) - 1 : -len(_SUFFIX)].isalnum() and "?" not in url and "#" not in url


def path_of(url: str) -> str:
    try:
        return urlsplit(url).path.rstrip("/")
    except ValueError:
        return url.partition("?")[0].rstrip("/")


def _by_body(request: Request | None, response: Response | None, *, addressed: bool) -> Endpoint:
    """The row that the bodies tell, where the address does not.

    Args:
        addressed: there is an address, which no row knows: then only what is plainly a chat
            completion, or another document of ours, is checked.
    """
    row = _of_response(response)
    if row is not None:
        return row
    asked = _lenient(request.body) if request is not None else None
    if isinstance(asked, dict):
        for belongs, row in _BY_REQUEST:
            if belongs(asked):
                return row
        if _asks_chat(asked):
            return CHAT if not addressed or _is_plain_call(request, asked, response) else UNKNOWN
    if addressed:
        return UNKNOWN
    if response is not None:
        return _of_list(response) or (CHAT if _is_broken_or_chat(response) else UNKNOWN)
    return CHAT if not isinstance(asked, dict) or "model" in asked or not asked else UNKNOWN


def _of_response(response: Response | None) -> Endpoint | None:
    """The row that a response belongs to without doubt."""
    if response is None:
        return None
    body = response.body
    # Parsing twice would double the cost of a lone response. In a text inside of JSON, the
    # quotes would be escaped.
    if isinstance(body, str):
        if _is_plainly_chat(body):
            return CHAT
    elif isinstance(body, bytes) and _is_plainly_chat(body.decode("latin-1")):
        return CHAT
    media_type = fold_headers(response.headers).get("content-type", "").lower()
    for media, row in _BY_MEDIA if media_type else ():
        if media_type.startswith(media):
            return row
    for value, event in _samples(response):
        for pattern, row in _BY_EVENT:
            if event and pattern.fullmatch(event):
                return row
        if isinstance(value, dict):
            found = _of_value(value)
            if found is not None:
                return found
    return None


def _is_plainly_chat(body: str) -> bool:
    # A long stream is not searched to its end, nor the beginning of a completion for a chunk.
    if body[:1] != "{" and _CHUNK in body[:512]:
        return True
    return (_KIND in body and _CHOICES in body and _DATA not in body) or _CHUNK in body[:512]


def _of_value(value: JSONObject) -> Endpoint | None:
    row = _of_object(value)
    if row is not None:
        return row
    rows = [_of_object(item) for item in _objects(value.get("data"))]
    if rows and rows[0] is not None and all(row is rows[0] for row in rows):
        name = rows[0].name
        return _BY_NAME[_LISTS[name]] if name in _LISTS else rows[0]
    return None


def _of_object(value: JSONObject) -> Endpoint | None:
    for belongs, row in _BY_BODY:
        if belongs(value):
            return row
    return None


def _is_plain_call(request: Request | None, asked: JSONObject, response: Response | None) -> bool:
    """Whether a request with messages, to an address that no row knows, asks for a completion."""
    if not _is_broken_or_chat(response):
        return False
    if request is not None and "/" not in request.url:  # a placeholder, which says nothing
        return True
    # The request of an application to its own server may have messages, too (so a mock or a fault
    # keeps to paths), and no server says about a path that it does not know what is wrong with a
    # completion.
    is_there = response is not None and response.status not in (404, 405)
    return is_there and isinstance(asked.get("model"), str)


def _of_list(response: Response) -> Endpoint | None:
    """The row of a list whose items do not tell: one in pages, else most likely one of models."""
    value, _ = next(_samples(response), (None, ""))
    if not isinstance(value, dict) or not _is_list(value):
        return None
    items = _objects(value.get("data"))
    if not items and not _PAGE.isdisjoint(value):
        return _BY_NAME["completion_list"]
    is_messages = bool(items) and all(map(_is_message, items))
    return _BY_NAME["message_list" if is_messages else "model_list"]


_PAGE = {"first_id", "last_id", "has_more"}


def _is_message(item: JSONObject) -> bool:
    return "role" in item and "content" in item and "object" not in item


def _is_broken_or_chat(response: Response | None) -> bool:
    """Whether a response that belongs to no row may be a completion that is broken, or an error."""
    if response is None or response.status >= 400:
        return True
    values = [value for value, _ in _samples(response)]
    objects = [value for value in values if isinstance(value, dict)]
    return not objects or any(map(_may_be_chat, objects))


def first_object(response: Response | None) -> JSONObject:
    """The body, or the first event of a stream that is an object; empty without one."""
    values = (value for value, _ in _samples(response))
    return next((value for value in values if isinstance(value, dict)), {})


def _samples(response: Response | None) -> Iterator[tuple[JSON, str]]:
    """The body, or the first events of a stream, each with its type; nothing if it is neither."""
    if response is None:
        return
    body: JSON = response.body
    if body is None and response.pieces is not None:
        body = _head(response.pieces)
    if body is None and response.chunks is not None:
        if not isinstance(response.chunks, Iterator):
            for chunk in itertools.islice(response.chunks, _MOST_EVENTS):
                yield chunk, ""
        return
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    if not isinstance(body, bytes):
        yield (body[0] if isinstance(body, list) and body else body), ""
    elif looks_like_sse(body[:512].lstrip()):
        for data, event, _ in itertools.islice(decode_sse([body[:_HEAD]]), _MOST_EVENTS):
            yield _lenient(data), event.decode("utf-8", "replace")
    else:
        value = _lenient(body)
        if value is None:  # perhaps one object a line
            value = _lenient(body.lstrip().partition(b"\n")[0])
        yield (value[0] if isinstance(value, list) and value else value), ""


def _head(pieces: Iterable[bytes]) -> bytes | None:
    """The beginning of a body in pieces; ``None`` where they can be read only once."""
    if isinstance(pieces, Iterator):
        return None
    parts, size = [], 0
    for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size >= _HEAD:
            break
    return b"".join(parts)


def _lenient(body: JSON) -> JSON:
    """The parsed body; ``None`` where it is not JSON. Errors in it do not matter here."""
    if not isinstance(body, str | bytes):
        return body
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
