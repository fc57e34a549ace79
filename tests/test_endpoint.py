"""The table of endpoints: what is checked, what is skipped, and by which name."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_chatapi import Exchange, Request, Response
from pytest_chatapi.contract.apis import ENDPOINTS, OTHER_APIS
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.endpoint import (
    endpoint,
    find_endpoint,
    other_api,
)

ANTHROPIC = {"anthropic-version": "2023-06-01"}


def called(method: str, url: str, headers: dict[str, str] | None = None) -> Exchange:
    return Exchange(Request(method, url, headers or {}), Response())


def answered(body: Any, url: str = "") -> Exchange:
    return Exchange(Request("POST", url) if url else None, Response(body=body))


@pytest.mark.parametrize(
    ("method", "url", "name"),
    [
        ("POST", "https://api.openai.com/v1/chat/completions", "chat"),
        ("post", "https://api.openai.com/v1/chat/completions", "chat"),
        ("POST", "<API_BASE>/chat/completions", "chat"),
        ("POST", "/chat/completions", "chat"),
        ("POST", "//openai/deployments/x/chat/completions?api-version=1", "chat"),
        ("POST", "https://h/v1/chat/completions?a=/b", "chat"),
        ("POST", "https://h/v1/chat/completions#stream", "chat"),
        ("POST", "/v4/chat/completions/", "chat"),
        ("POST", "https://[broken/chat/completions", "chat"),
        ("POST", "https://chat/completions", None),
        ("POST", "https://h/v1?next=/chat/completions", None),
        ("POST", "https://h/v1#/chat/completions", None),
        ("POST", "https://h/v1/xchat/completions", None),
        ("OPTIONS", "https://h/v1/chat/completions", None),
        ("GET", "https://h/v1/chat/completions", "completion_list"),
        ("GET", "https://h/v1/chat/completions/c1", "completion"),
        ("POST", "https://h/v1/chat/completions/c1", "completion"),
        ("DELETE", "https://h/v1/chat/completions/c1", "completion_deleted"),
        ("GET", "https://h/v1/chat/completions/c1/messages", "message_list"),
        ("POST", "https://h/v1/chat/completions/c1/messages", None),
        ("GET", "https://h/v1/models", "model_list"),
        ("GET", "/models", "model_list"),
        ("GET", "https://h/openai/models", "model_list"),
        ("POST", "https://h/v1/models", None),
        ("GET", "https://h/v1/models/meta/llama", "model"),
        ("DELETE", "https://h/v1/models/ft", "model_deleted"),
        ("GET", "https://h/v1beta/models", None),
        ("GET", "https://h/api/models/org/name", None),
        ("POST", "https://h/v1/embeddings", None),
        # The first path that fits decides, whichever methods it has.
        ("DELETE", "https://h/v1/models/chat/completions", None),
        ("POST", "https://h/v1/models/chat/completions", "chat"),
    ],
)
def test_a_request_names_its_endpoint(method: str, url: str, name: str | None) -> None:
    assert endpoint(called(method, url)) == name


@given(
    st.lists(
        st.sampled_from(
            ["https:", "/", "h", "v1", "chat", "completions", "?", "#", "\n", " ", "["]
        ),
        max_size=8,
    ).map("".join)
)
def test_the_quick_look_at_a_url_agrees_with_its_parts(base: str) -> None:
    url = f"{base}/chat/completions"
    try:
        path = urlsplit(url).path
    except ValueError:
        path = url.partition("?")[0]
    expected = "chat" if re.search("/chat/completions$", path.rstrip("/")) else None
    assert endpoint(called("POST", url)) == expected


def test_a_path_of_models_is_another_apis_with_its_header() -> None:
    for method, url in (("GET", "/v1/models"), ("GET", "/v1/models/m"), ("DELETE", "/v1/models/m")):
        assert endpoint(called(method, f"https://h{url}", ANTHROPIC)) is None
        assert other_api(called(method, f"https://h{url}", ANTHROPIC)) == "anthropic"
    assert endpoint(called("POST", "https://h/v1/chat/completions", ANTHROPIC)) == "chat"


MODEL = {"id": "m", "object": "model", "created": 1, "owned_by": "o"}


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"object": "chat.completion", "choices": []}, "chat"),
        ({"object": "list", "data": []}, "model_list"),
        ({"object": "list", "data": [MODEL]}, "model_list"),
        ({"object": "list", "data": [{"object": "chat.completion"}]}, "completion_list"),
        ({"object": "list", "data": [{"object": "chat.completion"}, MODEL]}, "model_list"),
        ({"object": "list", "data": {}}, "model_list"),
        (MODEL, "model"),
        ({"id": "m", "object": "model", "deleted": True}, "model_deleted"),
        ({"id": "c", "object": "chat.completion.deleted", "deleted": True}, "completion_deleted"),
        ({"data": 1, "deleted": 2, "owned_by": 3}, None),
        ([], "chat"),
    ],
)
def test_a_body_alone_names_its_endpoint(body: Any, name: str | None) -> None:
    text = json.dumps(body)
    assert endpoint(answered(body)) == name
    assert endpoint(answered(text)) == endpoint(answered(text.encode())) == name


def test_what_may_be_a_broken_completion_is_one() -> None:
    for body in (None, "", "{", '{"data"', b'\xff"data"', "data: [DONE]\n\n"):
        assert endpoint(answered(body)) == "chat"
    assert endpoint(answered({"object": "response"})) is None


def test_the_names_are_those_of_the_rows() -> None:
    assert [row.name for row in ENDPOINTS] == (
        "chat completion_list completion completion_deleted message_list model_deleted model "
        "model_list"
    ).split()
    assert all(row.check is not None for row in ENDPOINTS)
    assert all(row.check is None for row in OTHER_APIS)
    row = find_endpoint(called("POST", "/v1/chat/completions"))
    assert row is ENDPOINTS[0]


@pytest.mark.parametrize(
    ("method", "url", "name"),
    [
        ("POST", "https://api.openai.com/v1/responses", "responses"),
        ("GET", "https://api.openai.com/v1/responses/resp_1/input_items", "responses"),
        ("POST", "https://x.openai.azure.com/openai/v1/embeddings?api-version=1", "embeddings"),
        ("POST", "http://127.0.0.1:8000/v1/completions", "text completions"),
        ("OPTIONS", "http://127.0.0.1:8000/v1/chat/completions", "unknown"),
        ("POST", "https://api.openai.com/v1/files", "files"),
        ("GET", "https://api.openai.com/v1/files/file-1/content", "files"),
        ("POST", "https://api.openai.com/v1/uploads/upload_1/parts", "uploads"),
        ("POST", "https://api.openai.com/v1/batches/batch_1/cancel", "batches"),
        ("POST", "https://api.openai.com/v1/fine_tuning/jobs", "fine-tuning"),
        ("POST", "https://api.openai.com/v1/assistants", "assistants"),
        ("GET", "https://api.openai.com/v1/threads/thread_1/messages", "threads"),
        ("POST", "https://api.openai.com/v1/vector_stores/vs_1/search", "vector stores"),
        ("POST", "https://api.openai.com/v1/conversations", "conversations"),
        ("POST", "https://api.openai.com/v1/audio/speech", "audio"),
        ("POST", "https://api.openai.com/v1/images/generations", "images"),
        ("POST", "https://api.openai.com/v1/videos", "videos"),
        ("POST", "https://api.openai.com/v1/moderations", "moderations"),
        ("GET", "https://api.openai.com/v1/realtime?model=m", "realtime"),
        ("POST", "https://api.anthropic.com/v1/messages", "anthropic"),
        ("POST", "https://api.anthropic.com/v1/messages/batches", "anthropic"),
        ("POST", "https://h/v1beta/models/gemini-2.5-pro:generateContent", "gemini"),
        ("POST", "https://h/v1/models/gemini-2.5-pro:streamGenerateContent?alt=sse", "gemini"),
        ("GET", "https://h/v1beta/models", "gemini"),
        ("POST", "http://localhost:11434/api/chat", "ollama"),
        ("POST", "http://localhost:11434/api/embeddings", "ollama"),
        ("POST", "https://h/model/anthropic.claude-v2/converse-stream", "bedrock"),
        ("POST", "https://h/v2/rerank", "rerank"),
        ("POST", "https://h/telemetry/runs", "telemetry"),
        ("POST", "https://api.openai.com/v1/traces/ingest", "telemetry"),
        ("POST", "https://h/api/v1/users", "unknown"),
        ("POST", "https://h/api/v1/tracing/batches", "unknown"),
        ("GET", "https://host.azure.com/openai/files?api-version=1", "files"),
        ("POST", "https://api.openai.com/v1/chat/completions", None),
        ("GET", "https://api.openai.com/v1/models", None),
    ],
)
def test_other_apis_have_names(method: str, url: str, name: str | None) -> None:
    assert other_api(called(method, url)) == name


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"object": "response", "output": []}, "responses"),
        ('event: x\ndata: {"type": "response.created"}\n\n', "responses"),
        ({"object": "list", "data": [{"object": "embedding"}]}, "embeddings"),
        ({"object": "list", "data": [{"object": "embedding"}, MODEL]}, "unknown"),
        ({"object": "list", "data": []}, "unknown"),
        ({"object": "text_completion"}, "text completions"),
        ({"id": "modr-1", "results": [{"flagged": False}]}, "moderations"),
        ({"type": "message", "role": "assistant"}, "anthropic"),
        ('event: message_start\ndata: {"type": "message_start"}\n\n', "anthropic"),
        ({"candidates": []}, "gemini"),
        ({"created_at": "2026", "done": True}, "ollama"),
        ({"object": "batch"}, "batches"),
        ({"object": ["batch"]}, "unknown"),
        ("<html>", "unknown"),
        (b"\xff", "unknown"),
        (None, "unknown"),
        ([1], "unknown"),
    ],
)
def test_the_body_tells_where_the_path_does_not(body: Any, name: str) -> None:
    assert other_api(answered(body, "https://h/proxy")) == name
    if isinstance(body, dict):
        assert other_api(answered(json.dumps(body), "https://h/proxy")) == name


def test_every_other_api_is_skipped() -> None:
    exchange = answered({"object": "response", "error": None}, "https://h/v1/responses")
    result = check_exchange(exchange)
    assert (result.kind, result.findings, result.answer) == (None, [], None)
