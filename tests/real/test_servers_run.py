"""The real servers run, answer and stream, and deviate as they are known to."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import real_servers

from pytest_chatapi import Exchange, assemble, assert_error_body, check
from pytest_chatapi.contract.exchange import Request, Response

# The warnings that streams of theirs may have: LitServe makes a new id for each chunk, llama-server
# looks at the clock for each.
SERVERS: dict[str, set[str]] = {"llama": {"T02"}, "aimock": set(), "litserve": {"T01"}}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client of the server that the parameter names."""
    base_url = request.getfixturevalue(request.param)
    headers = {"authorization": f"Bearer {real_servers.KEY}"}
    with httpx.Client(base_url=base_url, headers=headers, timeout=60, trust_env=False) as client:
        yield client


def on(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", names, indirect=True)


def ask(text: str = "Hello!", **more: Any) -> dict[str, Any]:
    question = {"model": real_servers.MODEL, "messages": [{"role": "user", "content": text}]}
    return {**question, "max_completion_tokens": 200, **more}


def stream(client: httpx.Client, question: dict[str, Any]) -> Exchange:
    """The exchange in the pieces in which it came, as far as it came."""
    pieces: list[bytes] = []
    cut: Literal["server"] | None = None
    with client.stream("POST", "/chat/completions", json=question) as response:
        try:
            pieces.extend(response.iter_bytes())
        except httpx.RemoteProtocolError:
            cut = "server"
    sent = response.request
    return Exchange(
        Request(sent.method, str(sent.url), dict(sent.headers), sent.content),
        Response(response.status_code, dict(response.headers), pieces=pieces, cut=cut),
    )


def codes(judged: Any) -> set[str]:
    return {finding.code for finding in check(judged) if finding.level != "note"}


@on(*SERVERS)
def test_answers(client: httpx.Client) -> None:
    response = client.post("/chat/completions", json=ask())
    assert response.status_code == 200
    assert codes(response) == set()
    assert response.json()["choices"][0]["message"]["content"]


@on(*SERVERS)
def test_streams(client: httpx.Client, request: pytest.FixtureRequest) -> None:
    question = ask(stream=True, stream_options={"include_usage": True})
    exchange = stream(client, question)
    assert exchange.response is not None
    assert exchange.response.headers["content-type"].startswith("text/event-stream")
    assert exchange.response.content.endswith(b"data: [DONE]\n\n")
    assert codes(exchange) <= SERVERS[request.node.callspec.params["client"]]
    completion = assemble(exchange.response.content)
    assert completion["choices"][0]["message"]["content"]
    assert completion["usage"]["completion_tokens"] > 0


@on("llama")
def test_stream_comes_token_by_token(client: httpx.Client) -> None:
    exchange = stream(client, ask(stream=True, seed=3))
    assert exchange.response is not None
    assert len(list(exchange.response.pieces or ())) > 3


@on(*SERVERS)
def test_calls_tools(client: httpx.Client, request: pytest.FixtureRequest) -> None:
    # Without the word the tiny model calls nothing, and LitServe does not know the word.
    choice = {"tool_choice": "required"} if "llama" in request.node.name else {}
    response = client.post("/chat/completions", json=ask(tools=[TOOL], temperature=0, **choice))
    assert response.status_code == 200
    (call, *_) = response.json()["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"


@on("llama")
def test_key_is_wanted(client: httpx.Client) -> None:
    client.headers["authorization"] = "Bearer wrong"
    response = client.post("/chat/completions", json=ask())
    assert response.status_code == 401
    assert_error_body(response)


@on("aimock")
@pytest.mark.parametrize(
    ("text", "model", "status"),
    [
        ("RATELIMIT", "tiny", 429),
        ("BOOM", "tiny", 500),
        ("Hello", "no-such-model", 404),
    ],
)
def test_errors(client: httpx.Client, text: str, model: str, status: int) -> None:
    response = client.post("/chat/completions", json=ask(text, model=model))
    assert response.status_code == status
    assert_error_body(response)


@on("aimock")
@pytest.mark.parametrize("text", ["CUT", "DROPCONN"])
def test_streams_are_cut(client: httpx.Client, text: str) -> None:
    exchange = stream(client, ask(text, stream=True))
    assert exchange.response is not None
    assert exchange.response.cut == "server"
    assert b"[DONE]" not in exchange.response.content


@on("litserve")
def test_error_in_midstream(client: httpx.Client) -> None:
    exchange = stream(client, ask("MIDWAY", stream=True))
    assert exchange.response is not None
    assert b"Hello!" in exchange.response.content
    assert codes(exchange) != {"T01"}


@pytest.mark.parametrize(
    ("environment", "packages"),
    [
        ("clients", "aiohttp langchain_openai litellm openai pydantic_ai requests"),
        ("openai2", "openai"),
        ("cassetter", "cassetter openai"),
    ],
)
def test_environments(environment: str, packages: str, request: pytest.FixtureRequest) -> None:
    python: Path = request.getfixturevalue(f"{environment}_python")
    code = (
        "import importlib.metadata, importlib.util, sys\n"
        "print([name for name in sys.argv[1:] if not importlib.util.find_spec(name)])\n"
        "print(importlib.metadata.version('openai').partition('.')[0])"
    )
    command: list[str | Path] = [python, "-c", code, "pytest_chatapi", *packages.split()]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["[]", "2" if environment == "openai2" else "3"]
