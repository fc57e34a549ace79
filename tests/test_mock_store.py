"""Models and stored completions of the mock: every endpoint but ``POST /chat/completions``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from traffic import ANSWER

from pytest_chatapi import Exchange, Request, Response, check
from pytest_chatapi.contract.endpoint import endpoint
from pytest_chatapi.mock.store import Store

BASE = "https://api.openai.com/v1"
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief.", "name": "boss"},
    {"role": "user", "content": [{"type": "text", "text": "See?"}, PICTURE]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "x", "tool_call_id": "call_1"},
]


def keep(store: Store, id_: str = "chatcmpl-1", **body: Any) -> None:
    sent = {"model": "gpt-4o", "messages": MESSAGES, "store": True, **body}
    store.keep(sent, {**ANSWER, "id": id_})


def stored(store: Store, request: Request) -> tuple[int, Any] | None:
    return store.respond(request, endpoint(Exchange(request)))


def respond(store: Store, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and body of the response, after a check that it is legal."""
    wire = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = Request(method, BASE + path, {}, wire)
    response = stored(store, request)
    assert response is not None
    status, value = response
    headers = {"content-type": "application/json"}
    response = Response(status, headers, json.dumps(value).encode())
    assert check(Exchange(request, response), "documented") == []
    return status, value


def error(store: Store, method: str, path: str, body: Any = None) -> tuple[Any, ...]:
    status, value = respond(store, method, path, body)
    inner = value["error"]
    assert inner["type"] == "invalid_request_error"
    return status, inner["param"], inner["code"], inner["message"]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def client(store: Store) -> Iterator[openai.OpenAI]:
    def serve(request: httpx2.Request) -> httpx2.Response:
        path = str(request.url).removeprefix(BASE)
        status, body = respond(store, request.method, path, request.content or None)
        return httpx2.Response(status, json=body)

    with openai.OpenAI(
        api_key="k",
        base_url=BASE,
        http_client=httpx2.Client(transport=httpx2.MockTransport(serve)),
    ) as openai_client:
        yield openai_client


def test_models(store: Store, client: openai.OpenAI) -> None:
    assert {"gpt-4o", "gpt-4o-mini"} <= {model.id for model in client.models.list()}
    store.models = ["a", "org/b", "ft:gpt-4o:org::x", "a"]
    assert [model.id for model in client.models.list()] == ["a", "org/b", "ft:gpt-4o:org::x"]
    assert client.models.retrieve("org/b").id == "org/b"
    deleted = client.models.delete("ft:gpt-4o:org::x")
    assert (deleted.id, deleted.deleted) == ("ft:gpt-4o:org::x", True)
    assert "ft:gpt-4o:org::x" not in store.models
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("ft:gpt-4o:org::x")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.PermissionDeniedError):
        client.models.delete("a")
    assert "a" in store.models


def test_unknown_models(store: Store) -> None:
    for method in ("GET", "DELETE"):
        assert error(store, method, "/models/gpt-9") == (
            404,
            "model",
            "model_not_found",
            "The model 'gpt-9' does not exist",
        )


def test_a_stored_completion(store: Store, client: openai.OpenAI) -> None:
    keep(store, metadata={"k": "v"}, temperature=0.5, user="ann", seed=7)
    stored = client.chat.completions.retrieve("chatcmpl-1")
    assert stored.choices[0].message.content == "Hello!"
    _, raw = respond(store, "GET", "/chat/completions/chatcmpl-1")
    shown = ("metadata", "temperature", "top_p", "input_user", "seed", "tools")
    assert [raw[key] for key in shown] == [{"k": "v"}, 0.5, 1.0, "ann", 7, None]
    assert "metadata" not in ANSWER

    client.chat.completions.update("chatcmpl-1", metadata={"new": "w"})
    assert respond(store, "GET", "/chat/completions/chatcmpl-1")[1]["metadata"] == {"new": "w"}
    assert raw["metadata"] == {"k": "v"}
    client.chat.completions.update("chatcmpl-1", metadata=None)
    assert respond(store, "GET", "/chat/completions/chatcmpl-1")[1]["metadata"] == {}

    deleted = client.chat.completions.delete("chatcmpl-1")
    assert (deleted.id, deleted.deleted) == ("chatcmpl-1", True)
    with pytest.raises(openai.NotFoundError, match="'chatcmpl-1' not found"):
        client.chat.completions.retrieve("chatcmpl-1")
    assert list(client.chat.completions.list()) == []


def test_messages(store: Store, client: openai.OpenAI) -> None:
    keep(store)
    pages = client.chat.completions.messages.list("chatcmpl-1", limit=1)
    messages = list(islice(pages, 9))
    assert [m.id for m in messages] == [f"chatcmpl-1-{i}" for i in range(4)]
    assert [m.role for m in messages] == ["system", "user", "assistant", "tool"]
    _, page = respond(store, "GET", "/chat/completions/chatcmpl-1/messages")
    system, user, assistant, tool = page["data"]
    assert (system["content"], system["name"], system["content_parts"]) == (
        "Be brief.",
        "boss",
        None,
    )
    assert (user["content"], user["content_parts"]) == (None, MESSAGES[1]["content"])
    assert assistant["tool_calls"] == [CALL]
    assert "tool_calls" not in tool
    newest = client.chat.completions.messages.list("chatcmpl-1", order="desc", limit=1)
    assert newest.data[0].id == "chatcmpl-1-3"
    assert newest.has_more


def test_messages_leave_out_the_parts_that_the_reference_does_not_list(store: Store) -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
    keep(
        store,
        messages=[
            {"role": "user", "content": [sound, {"type": "text", "text": "x"}]},
            {"role": "assistant", "audio": {"id": "audio_1"}},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        ],
    )
    _, page = respond(store, "GET", "/chat/completions/chatcmpl-1/messages")
    parts = [message["content_parts"] for message in page["data"]]
    assert parts == [[{"type": "text", "text": "x"}], None, []]


def test_lists_filter(store: Store, client: openai.OpenAI) -> None:
    keep(store, "c1", metadata={"team": "a b", "run": "1"})
    keep(store, "c2", metadata={"team": "a b", "run": "2"}, model="o3")
    keep(store, "c3")
    listed = client.chat.completions.list
    assert [c.id for c in listed()] == ["c1", "c2", "c3"]
    assert [c.id for c in listed(metadata={"team": "a b"})] == ["c1", "c2"]
    assert [c.id for c in listed(metadata={"team": "a b", "run": "2"})] == ["c2"]
    assert [c.id for c in listed(model="o3")] == ["c2"]
    assert [c.id for c in listed(model=ANSWER["model"], order="desc")] == ["c3", "c2", "c1"]
    assert list(listed(model="o4")) == []
    _, page = respond(store, "GET", "/chat/completions?model=o4")
    assert page == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


def test_twenty_a_page(store: Store) -> None:
    for number in range(21):
        keep(store, f"c{number}")
    _, page = respond(store, "GET", "/chat/completions")
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("c0", "c19", True)
    _, page = respond(store, "GET", "/chat/completions/?limit=100&after=c19")
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("c20", "c20", False)


@given(st.integers(0, 7), st.integers(1, 8), st.sampled_from(["asc", "desc"]))
def test_pages_join_to_the_whole_list(size: int, limit: int, order: str) -> None:
    store = Store()
    for number in range(size):
        keep(store, f"c{number}")
    seen: list[str] = []
    query = f"?limit={limit}&order={order}"
    more = True
    while more:
        after = f"&after={seen[-1]}" if seen else ""
        _, page = respond(store, "GET", f"/chat/completions{query}{after}")
        ids = [completion["id"] for completion in page["data"]]
        assert not set(ids) & set(seen)
        assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
        seen += ids
        more = page["has_more"]
        assert more == (len(seen) < size)
    expected = [f"c{number}" for number in range(size)]
    assert seen == (expected if order == "asc" else expected[::-1])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            "limit=101",
            (
                400,
                "limit",
                "integer_above_max_value",
                "Invalid 'limit': integer above maximum value. "
                "Expected a value <= 100, but got 101 instead.",
            ),
        ),
        (
            "limit=0",
            (
                400,
                "limit",
                "integer_below_min_value",
                "Invalid 'limit': integer below minimum value. "
                "Expected a value >= 1, but got 0 instead.",
            ),
        ),
        (
            "limit=ten",
            (
                400,
                "limit",
                "invalid_type",
                "Invalid type for 'limit': expected an integer, but got a string instead.",
            ),
        ),
        (
            "order=up",
            (
                400,
                "order",
                "invalid_value",
                "Invalid value: 'up'. Supported values are: 'asc' and 'desc'.",
            ),
        ),
        ("after=c9", (404, "after", None, "No item with id 'c9' found.")),
    ],
)
def test_bad_queries(store: Store, query: str, expected: tuple[Any, ...]) -> None:
    keep(store)
    assert error(store, "GET", f"/chat/completions?{query}") == expected
    assert error(store, "GET", f"/chat/completions/chatcmpl-1/messages?{query}") == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/chat/completions/c9"),
        ("POST", "/chat/completions/c9"),
        ("DELETE", "/chat/completions/c9"),
        ("GET", "/chat/completions/c9/messages"),
    ],
)
def test_unknown_completions(store: Store, method: str, path: str) -> None:
    keep(store)
    expected = (404, None, None, "Chat completion with id 'c9' not found.")
    assert error(store, method, path, {"metadata": {}}) == expected


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"{", None, None),
        (None, "metadata", "missing_required_parameter"),
        ([], "metadata", "missing_required_parameter"),
        ({}, "metadata", "missing_required_parameter"),
        ({"metadata": "x"}, "metadata", "invalid_type"),
        ({"metadata": {"k": 1}}, "metadata.k", "invalid_type"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k", "string_above_max_length"),
    ],
)
def test_bad_updates(store: Store, body: Any, param: str | None, code: str | None) -> None:
    keep(store, metadata={"k": "v"})
    assert error(store, "POST", "/chat/completions/chatcmpl-1", body)[:3] == (400, param, code)
    assert respond(store, "GET", "/chat/completions/chatcmpl-1")[1]["metadata"] == {"k": "v"}


def test_endpoints_that_are_not_the_stores(store: Store) -> None:
    for method, url in (
        ("POST", BASE + "/chat/completions"),
        ("PUT", BASE + "/models"),
        ("POST", BASE + "/models/gpt-4o"),
        ("GET", BASE + "/embeddings"),
        ("GET", ""),
    ):
        assert stored(store, Request(method, url)) is None


def test_any_base_path(store: Store) -> None:
    keep(store)
    for base in ("", "http://127.0.0.1:9/openai/v1", "http://[/v1"):
        response = stored(store, Request("get", f"{base}/models/gpt-4o?x=1"))
        assert response is not None
        assert (response[0], response[1]["id"]) == (200, "gpt-4o")
        response = stored(store, Request("GET", f"{base}/chat/completions/chatcmpl-1/"))
        assert response is not None
        assert (response[0], response[1]["id"]) == (200, "chatcmpl-1")
