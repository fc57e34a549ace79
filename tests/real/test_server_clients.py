"""Clients that nobody here wrote, against the server: openai-node and curl."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import real_servers
import stub_server
from traffic import ANSWER

pytest.importorskip("uvicorn")
from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.faults import Plan
from pytest_chatapi.mock import ChatMock
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.recording.miss import Miss
from pytest_chatapi.recording.opening import open_recorder
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.server.app import make_app
from pytest_chatapi.server.pages import About
from pytest_chatapi.server.run import running

JSON = [("content-type", "application/json"), ("x-request-id", "req_1")]
SSE = [("content-type", "text/event-stream")]
MODEL = {"id": "gpt-4o-mini", "object": "model", "created": 1721172741, "owned_by": "system"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


class Everything:
    """What a service answers, by the last message."""

    give_back = None

    def answer(self, request: Request) -> Interaction | None:
        if request.method == "GET":
            listed: Any = {"object": "list", "data": [MODEL]}
            return said(listed if request.url.endswith("/models") else MODEL)
        asked = request.json()
        if asked.get("stream"):
            times = [0.01 * at for at in range(7)]
            return Interaction(request, headers=SSE, pieces=stub_server.events(), times=times)
        answer = json.loads(json.dumps(ANSWER))
        if asked.get("tools"):
            answer["choices"][0].update(
                message={"role": "assistant", "content": None, "tool_calls": [CALL]},
                finish_reason="tool_calls",
            )
        return said(answer)

    def miss(self, request: Request) -> Miss:
        return Miss(request.url, "unknown")


def said(body: Any) -> Interaction:
    return Interaction(Request(), headers=JSON, pieces=[json.dumps(body).encode()])


@pytest.fixture
def recorder() -> Recorder:
    return open_recorder(None, answers=Everything(), replay_speed=1)


@pytest.fixture
def url(recorder: Recorder) -> Iterator[str]:
    with running(make_app(recorder, api_key="sk-test", max_body=1_000_000)) as server:
        yield server.url


HEAD = """
const OpenAI = require("openai").default;
const client = new OpenAI({maxRetries: 1, timeout: 20000});
const ask = (more) => ({model: "gpt-4o-mini", messages: [{role: "user", content: "Hi"}], ...more});
const tools = [{type: "function", function: {name: "f", parameters: {type: "object"}}}];
const out = (...shown) => console.log(JSON.stringify(shown));
const failure = async (promise) => {
  try { await promise; return null; } catch (error) { return error; }
};
(async () => {
"""


def node(script: str, url: str, tmp_path: Path, **environment: str) -> list[Any]:
    """What a script prints, line by line."""
    try:
        modules = real_servers.part("node") / "node_modules"
    except real_servers.Unavailable as missing:
        pytest.skip(str(missing))
    path = tmp_path / "script.js"
    path.write_text(
        f"{HEAD}{script}\n}})().catch((e) => {{ console.error(e); process.exit(1); }});"
    )
    variables = {
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_ORG_ID": "org-1",
        "OPENAI_PROJECT_ID": "proj_1",
        "NODE_PATH": os.fspath(modules),
        **environment,
    }
    done = subprocess.run(
        ["node", path],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_node_answers_models_and_tools(url: str, recorder: Recorder, tmp_path: Path) -> None:
    script = """
    const {data, response, request_id} =
      await client.chat.completions.create(ask()).withResponse();
    out(data.choices[0].message.content, response.status, request_id);
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    out(models, (await client.models.retrieve("gpt-4o-mini")).owned_by);
    const {choices} = await client.chat.completions.create(ask({tools}));
    out(choices[0].message.tool_calls[0].function.arguments);
    """
    assert node(script, url, tmp_path) == [
        ["Hello!", 200, "req_1"],
        [["gpt-4o-mini"], "system"],
        ['{"a":1}'],
    ]
    assert len(recorder.exchanges) == 4
    for exchange in recorder.exchanges:
        assert exchange.request is not None
        headers = exchange.request.headers
        assert headers["openai-organization"] == "org-1"
        assert headers["openai-project"] == "proj_1"
        assert headers["x-stainless-lang"] == "js"


def test_node_streams(url: str, tmp_path: Path) -> None:
    script = """
    const words = [];
    for await (const chunk of await client.chat.completions.create(ask({stream: true})))
      words.push(chunk.choices[0].delta.content ?? "");
    out(words);
    const runner = client.chat.completions.stream(ask());
    out(await runner.finalContent());
    """
    assert node(script, url, tmp_path) == [
        [["", *stub_server.WORDS, ""]],
        ["".join(stub_server.WORDS)],
    ]


def test_node_leaves_in_the_middle(url: str, recorder: Recorder, tmp_path: Path) -> None:
    script = """
    const stream = await client.chat.completions.create(ask({stream: true}));
    for await (const chunk of stream) break;
    out((await client.chat.completions.create(ask())).choices.length);
    """
    assert node(script, url, tmp_path) == [[1]]


def test_node_is_told_what_goes_wrong(url: str, recorder: Recorder, tmp_path: Path) -> None:
    recorder.faults = Plan("rate_limit, ok, cut(chunks=2), 2*reset")
    script = """
    out((await client.chat.completions.create(ask())).choices.length);
    const cut = async () => {
      for await (const _ of await client.chat.completions.create(ask({stream: true}))) ;
    };
    out((await failure(cut())) !== null);
    out((await failure(client.chat.completions.create(ask()))).constructor.name);
    const large = await failure(client.chat.completions.create(ask({user: "x".repeat(9000000)})));
    out(large.status, large.code);
    const stranger = new OpenAI({apiKey: "sk-wrong"});
    const error = await failure(stranger.models.list());
    out(error.constructor.name, error.code);
    """
    assert node(script, url, tmp_path) == [
        [1],
        [True],
        ["APIConnectionError"],
        [413, "request_too_large"],
        ["AuthenticationError", "invalid_api_key"],
    ]


def test_the_example_for_node(tmp_path: Path) -> None:
    try:
        modules = real_servers.part("node") / "node_modules"
    except real_servers.Unavailable as missing:
        pytest.skip(str(missing))
    page = (Path(__file__).parents[2] / "docs" / "server.md").read_text()
    script = page.partition("```js\n")[2].partition("```")[0]
    mock = ChatMock("docs", keeps=False)
    mock.chat(prompt__contains="weather").reply("It is sunny.")
    about = About("serving answers.py", lambda: mock.titles, [], "openai")
    (tmp_path / "node_modules").symlink_to(modules)
    recorder = open_recorder(None, answers=mock)
    with running(make_app(recorder, about=about)) as server:
        root = server.url.removesuffix("/v1")
        (tmp_path / "chat.test.mjs").write_text(script.replace("http://127.0.0.1:8080", root))
        done = subprocess.run(
            ["node", "--test"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 1" in done.stdout


def curl(*arguments: str | Path, url: str, body: Any = None) -> subprocess.CompletedProcess[bytes]:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    question = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    return subprocess.run(
        [
            *("curl", "-sS", "-N", "--noproxy", "*", "-m", "20"),
            *("-H", "authorization: Bearer sk-test", "-H", "content-type: application/json"),
            *("-d", "@-", *arguments, f"{url}/chat/completions"),
        ],
        input=json.dumps(body or {**question, "stream": True}).encode(),
        capture_output=True,
        check=False,
    )


def test_curl_streams(url: str) -> None:
    done = curl("-i", url=url)
    assert done.returncode == 0, done.stderr
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body == b"".join(stub_server.events())


def test_curl_sees_a_cut(url: str, recorder: Recorder) -> None:
    recorder.faults = Plan("cut(chunks=2)", "reset")
    done = curl(url=url)
    assert done.returncode == 18  # the rest of the body did not come
    assert done.stdout == b"".join(stub_server.events()[:2])
    assert curl(url=url).returncode == 56  # nothing could be received


def test_curl_is_told_that_a_body_is_too_large(url: str) -> None:
    done = curl("-w", "%{http_code}", url=url, body={"model": "x" * 9_000_000})
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(b"413")
    assert b"request_too_large" in done.stdout
