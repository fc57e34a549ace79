"""The APIs that are told apart: a row for each endpoint that is checked, and for the other APIs.

An API is added as rows of `ENDPOINTS`, with a module of its own for the functions that check it.
`OTHER_APIS` names the traffic that is skipped. `endpoint` finds the row of an exchange.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_chatapi.contract.answers import check_chat
from pytest_chatapi.contract.assemble import Answer
from pytest_chatapi.contract.body_tests import (
    BodyTest,
    any_of,
    asks_anthropic,
    asks_gemini,
    asks_model,
    asks_ollama,
    asks_responses,
    asks_with,
    equals,
    fits,
    has,
    has_billed_units,
    has_item,
    is_answer_of_converse,
    is_chat,
    is_embedding_of_gemini,
    is_error_of_anthropic,
    is_error_of_responses,
    is_message_of_anthropic,
    is_message_of_responses,
    is_object,
    is_transcript,
)
from pytest_chatapi.contract.documents import by_schema, document
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules.models import (
    check_model,
    check_model_list,
    model_list,
    model_object,
)

__all__ = ["CHAT", "ENDPOINTS", "NOT_UNDERSTOOD", "OTHER_APIS", "UNANSWERED", "UNKNOWN", "Endpoint"]


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
    Endpoint("chat", _CHAT, ("POST",), check_chat, is_chat),
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
        equals("object", "chat.completion.deleted"),
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
        equals("object", "model"),
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
        body=any_of(
            is_message_of_anthropic,
            fits("type", r"message_(?:start|delta|stop|batch\w*)|content_block_\w+"),
            lambda body: "completion" in body and ("stop_reason" in body or "type" in body),
            lambda body: body.get("type") == "model" and "object" not in body,
            is_error_of_anthropic,
            lambda body: body.keys() == {"input_tokens"},
        ),
        asked=asks_anthropic,
        events=r"message_(?:start|delta|stop)|content_block_\w+",
    ),
    Endpoint(
        "gemini",
        r"/(?:models|tunedModels)/[^/]+:\w+$|/v\d+(?:alpha|beta)\d*/models(?:/.+)?$",
        body=any_of(
            has("candidates"),
            has("usageMetadata"),
            has("promptFeedback"),
            has("supportedGenerationMethods"),
            has("totalTokens"),
            has_item("models", "supportedGenerationMethods"),
            has_item("embeddings", "values"),
            is_embedding_of_gemini,
        ),
        asked=any_of(asks_gemini, has_item("requests", "content", "contents")),
    ),
    Endpoint(
        "ollama",
        r"/api/(?:chat|generate|embed|embeddings|tags|show|ps|pull|version)$",
        body=any_of(
            lambda body: "done" in body and ("created_at" in body or "message" in body),
            lambda body: "data" not in body and has_item("models", "digest")(body),
            has("modelfile"),
            lambda body: "choices" not in body and "total_duration" in body,
        ),
        asked=asks_ollama,
    ),
    Endpoint(
        "bedrock",
        r"/model/[^/]+/(?:converse|invoke)[\w-]*$",
        body=any_of(
            is_answer_of_converse,
            has_item("results", "outputText"),
            has("outputText"),
            has("generation", "prompt_token_count"),
            has("inputTextTokenCount"),
            has("contentBlockIndex"),
        ),
        media="application/vnd.amazon.eventstream",
        asked=any_of(has("inferenceConfig"), has("toolConfig"), has("inputText")),
    ),
    Endpoint(
        "cohere",
        r"/v\d+/(?:chat|generate|embed|classify)$",
        body=any_of(
            has("generation_id"),
            has_billed_units,
            lambda body: "data" not in body and has_item("models", "endpoints")(body),
            has_item("generations", "text"),
            fits("event_type", "stream-start|text-generation|stream-end"),
            fits("type", "message-start|content-start|content-delta|message-end"),
        ),
        asked=asks_with("chat_history"),
    ),
    Endpoint(
        "responses",
        r"/responses(?:/.+)?$",
        body=any_of(
            is_object("response"),
            fits("type", r"response\..+"),
            is_message_of_responses,
            is_error_of_responses,
        ),
        events=r"response\..+",
    ),
    Endpoint(
        "embeddings",
        r"/embeddings$",
        body=any_of(
            equals("object", "embedding"),
            lambda body: isinstance(body.get("embedding"), list | str),
            lambda body: isinstance(body.get("embeddings"), list),
        ),
        asked=any_of(
            asks_with("input", "encoding_format", "dimensions", "input_type"),
            asks_model("input", "embed", "bge-", "e5-", "minilm"),
        ),
    ),
    Endpoint(
        "images",
        r"/images/.+$",
        body=any_of(
            lambda body: "object" not in body and ("b64_json" in body or body.keys() == {"url"}),
            lambda body: "url" in body and "revised_prompt" in body,
            fits("type", r"image_(?:generation|edit)\..+"),
        ),
        asked=any_of(
            asks_with("prompt", "size", "quality"), asks_model("prompt", "dall-e", "image")
        ),
        events=r"image_(?:generation|edit)\..+",
        media="image/",
    ),
    Endpoint(
        "videos",
        r"/videos(?:/.+)?$",
        body=is_object("video"),
        asked=any_of(asks_with("prompt", "seconds"), asks_model("prompt", "sora")),
    ),
    Endpoint(
        "audio",
        r"/audio/.+$",
        body=any_of(is_transcript, fits("type", r"(?:transcript\.text|speech\.audio)\..+")),
        asked=asks_with("input", "voice"),
        events=r"(?:transcript\.text|speech\.audio)\..+",
        media="audio/",
    ),
    Endpoint(
        "moderations",
        r"/moderations$",
        body=any_of(has_item("results", "flagged"), has("flagged")),
        asked=asks_model("input", "moderation"),
    ),
    Endpoint(
        "rerank",
        r"/rerank$",
        body=any_of(has_item("results", "relevance_score"), has("relevance_score")),
        asked=asks_with("documents", "query"),
    ),
    # After the APIs whose requests have more than an `input` or a `prompt`.
    Endpoint("responses", "", asked=asks_responses),
    Endpoint(
        "text completions",
        r"(?<!/chat)/completions$",
        body=any_of(equals("object", "text_completion"), has_item("choices", "text")),
        asked=asks_with("prompt"),
    ),
    Endpoint(
        "threads",
        _below_base("threads"),
        body=is_object("thread"),
        asked=has("assistant_id"),
        events=r"thread\..+",
    ),
    Endpoint("assistants", _below_base("assistants"), body=is_object("assistant")),
    Endpoint("conversations", _below_base("conversations"), body=is_object("conversation")),
    Endpoint("vector stores", _below_base("vector_stores"), body=is_object("vector_store")),
    Endpoint(
        "fine-tuning",
        r"/fine_tuning/.+$",
        body=is_object("fine_tuning", "fine-tune"),
        asked=has("training_file"),
    ),
    Endpoint(
        "batches",
        _below_base("batches"),
        body=is_object("batch"),
        asked=has("input_file_id", "completion_window"),
    ),
    Endpoint("uploads", _below_base("uploads"), body=is_object("upload")),
    Endpoint("files", _below_base("files"), body=is_object("file")),
    Endpoint("containers", _below_base("containers"), body=is_object("container")),
    Endpoint("evals", _below_base("evals"), body=is_object("eval")),
    Endpoint("organization", r"/organization/.+$", body=is_object("organization")),
    Endpoint(
        "realtime",
        r"/realtime(?:/.+)?$",
        body=any_of(is_object("realtime"), fits("type", r"session\..+|conversation\.item\..+")),
    ),
    Endpoint(
        "telemetry",
        r"/v\d+/(?:traces|metrics|logs)$"  # OTLP
        r"|/api/public/(?:ingestion|otel/.+)$"  # Langfuse
        r"|/api/\d+/(?:envelope|store)$"  # Sentry
        r"|/traces/ingest$"  # openai-agents
        r"|/(?:runs|otel|api/v\d+|traces|spans)/(?:batch|multipart)$|/runs(?:/[0-9a-f-]{36})?$"
        r"|/call/(?:start|end|upsert_batch)$|/logs3$|/llmobs(?:/.+)?$"  # LangSmith, Weave, ...
        r"|/(?:telemetry|ingestion|i/v0/e|capture|decide|flags|batch|track)(?:/.+)?$",
        asked=any_of(
            has_item("resourceSpans", "scopeSpans", "resource"),
            has_item("resourceMetrics", "scopeMetrics", "resource"),
            has_item("resourceLogs", "scopeLogs", "resource"),
            has_item("batch", "event", "timestamp"),
            lambda body: "api_key" in body and ("event" in body or "distinct_id" in body),
        ),
    ),
)

CHAT = ENDPOINTS[0]
UNKNOWN = Endpoint("unknown", "")
"""Traffic that neither a contract nor a name of another API fits."""

UNANSWERED = Endpoint("unanswered", "")
"""A request without a body that got no response: there is nothing in it to check."""

NOT_UNDERSTOOD = Endpoint("messages not understood", "")
"""A message out of a log, which has its text or its calls in a form of the log's own."""
