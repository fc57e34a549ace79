"""Clients that nobody here wrote, each in its own environment: recorded from llama-server,
replayed without it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import real_servers

HEAD = """
import asyncio, os, pytest
HELLO = [{"role": "user", "content": "Hello!"}]
ASK = {"model": "tiny", "messages": HELLO, "max_tokens": 8}
URL, KEY = os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"]
pytestmark = pytest.mark.chatapi(ignore=["T02"])  # llama-server stamps each chunk anew
"""

OPENAI = """
import openai

def test_plain(openai_client, chatapi):
    answer = openai_client.chat.completions.create(**ASK)
    assert chatapi.usage.completion_tokens == answer.usage.completion_tokens == 8

def test_own_client():
    client = openai.OpenAI()
    chunks = list(client.chat.completions.create(**ASK, stream=True))
    assert chunks[-1].choices[0].finish_reason == "length"

def test_raw(openai_client):
    assert openai_client.chat.completions.with_raw_response.create(**ASK).parse().choices

def test_break(chatapi):
    for chunk in openai.OpenAI().chat.completions.create(**ASK, stream=True):
        break
    assert len(chatapi.exchanges) == 1

def test_stream_helper():
    with openai.OpenAI().chat.completions.stream(**ASK) as stream:
        assert [event.type for event in stream][-1] == "content.done"

def test_async(async_openai_client, chatapi):
    async def go():
        async def stream():
            return [c async for c in await openai.AsyncOpenAI().chat.completions.create(
                **ASK, stream=True)]
        plain = async_openai_client.chat.completions.create(**ASK)
        return await asyncio.gather(plain, stream(), stream())
    answer, one, other = asyncio.run(go())
    assert answer.choices and one and other
    assert len(chatapi.exchanges) == 3

def test_tools(openai_client):
    tool = {"type": "function", "function": {"name": "get_weather", "description": "w",
            "parameters": {"type": "object", "properties": {"city": {"enum": ["Oslo", "Rome"]}},
                           "required": ["city"]}}}
    answer = openai_client.chat.completions.create(
        **{**ASK, "max_tokens": 200}, tools=[tool], tool_choice="required", temperature=0)
    assert answer.choices[0].message.tool_calls[0].function.name == "get_weather"
"""
LANGCHAIN = """
from langchain_openai import ChatOpenAI

def model():
    return ChatOpenAI(model="tiny", base_url=URL, api_key=KEY, max_tokens=8)

def test_sync(chatapi):
    model().invoke("Hello!")
    assert list(model().stream("Hello!"))
    assert len(chatapi.exchanges) == 2

def test_async(chatapi):
    async def go():
        await model().ainvoke("Hello!")
        return [chunk async for chunk in model().astream("Hello!")]
    assert asyncio.run(go())
    assert len(chatapi.exchanges) == 2
"""

PYDANTIC_AI = """
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

def agent():
    return Agent(OpenAIChatModel("tiny", provider=OpenAIProvider(base_url=URL, api_key=KEY)))

def test_sync(chatapi):
    agent().run_sync("Hello!", model_settings={"max_tokens": 8})
    assert len(chatapi.exchanges) == 1

def test_stream(chatapi):
    async def go():
        async with agent().run_stream("Hello!", model_settings={"max_tokens": 8}) as result:
            return [text async for text in result.stream_text()]
    assert asyncio.run(go())
    assert len(chatapi.exchanges) == 1
"""

LITELLM = """
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm
MORE = {"model": "openai/tiny", "messages": HELLO, "max_tokens": 8, "api_base": URL, "api_key": KEY}

def test_sync(chatapi):
    assert litellm.completion(**MORE).choices
    assert list(litellm.completion(**MORE, stream=True))
    assert len(chatapi.exchanges) == 2

def test_async(chatapi):
    async def go():
        return await litellm.acompletion(**MORE)
    assert asyncio.run(go()).choices
    assert len(chatapi.exchanges) == 1
"""


def run(python: Path, folder: Path, url: str, *flags: str) -> str:
    environment = {
        **{name: value for name, value in os.environ.items() if name != "CI"},
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": real_servers.KEY,
    }
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *flags],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{done.returncode} {done.stdout}{done.stderr}"


GONE = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("environment", "test"),
    [
        pytest.param("clients", OPENAI, id="openai3"),
        pytest.param("openai2", OPENAI, id="openai2"),
        pytest.param("clients", LANGCHAIN, id="langchain"),
        pytest.param("clients", PYDANTIC_AI, id="pydantic-ai"),
        pytest.param("clients", LITELLM, id="litellm"),
        pytest.param("cassetter", OPENAI, id="beside-cassetter"),
    ],
)
def test_recorded_and_replayed(
    environment: str, test: str, llama: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    python: Path = request.getfixturevalue(f"{environment}_python")
    (tmp_path / "test_it.py").write_text(HEAD + test)
    recorded = run(python, tmp_path, llama, "--record-mode=once")
    assert recorded.startswith("0 "), recorded
    cassettes = list(tmp_path.rglob("*.yaml"))
    assert len(cassettes) == test.count("def test_")
    assert not [path for path in cassettes if real_servers.KEY in path.read_text()]
    replayed = run(python, tmp_path, GONE)
    assert replayed.startswith("0 "), replayed


def test_what_openai_2_recorded_replays_with_3(
    llama: str, openai2_python: Path, clients_python: Path, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(HEAD + OPENAI)
    assert run(openai2_python, tmp_path, llama, "--record-mode=once").startswith("0 ")
    replayed = run(clients_python, tmp_path, GONE)
    assert replayed.startswith("0 "), replayed


RETRIES = """
import openai
@pytest.mark.parametrize("text", ["RATELIMIT", "BOOM"])
def test_retries(text, chatapi):
    client = openai.OpenAI(max_retries=1)
    with pytest.raises(openai.APIStatusError):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
    status = 429 if text == "RATELIMIT" else 500
    assert [e.response.status for e in chatapi.exchanges] == [status, status]

@pytest.mark.chatapi(policy="off")
def test_a_stream_that_is_cut(chatapi):
    with pytest.raises(Exception) as caught:
        list(openai.OpenAI().chat.completions.create(
            model="m", messages=[{"role": "user", "content": "DROPCONN"}], stream=True))
    assert type(caught.value).__name__ in ("APIConnectionError", "RemoteProtocolError")
    assert chatapi.exchanges[0].response.cut == "server"
"""


@pytest.mark.parametrize("environment", ["openai2", "clients"])
def test_faults(
    environment: str, aimock: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    python: Path = request.getfixturevalue(f"{environment}_python")
    (tmp_path / "test_it.py").write_text(HEAD + RETRIES)
    recorded = run(python, tmp_path, aimock, "--record-mode=once")
    assert recorded.startswith("0 "), recorded
    replayed = run(python, tmp_path, GONE)
    assert replayed.startswith("0 "), replayed


def test_faults_and_builders_with_openai_2(openai2_python: Path, tmp_path: Path) -> None:
    for name in ("test_faults_sdk.py", "test_builders_sdk.py", "fault_answers.py", "sleeps.py"):
        shutil.copy(Path(__file__).parent.parent / name, tmp_path)
    strict = ("-W", "error", "-W", "ignore:The configuration option", "--strict-markers")
    done = run(openai2_python, tmp_path, GONE, *strict)
    # All of them, none skipped.
    counted = re.search(r"^(\d+) passed in ", done, re.MULTILINE)
    assert done.startswith("0 "), done
    assert counted, done
    assert int(counted[1]) > 300, done


CASSETTER = """
import httpx
@pytest.mark.vcr
def test_a():
    headers = {"authorization": "Bearer " + KEY}
    answer = httpx.post(URL + "/chat/completions", json=ASK, headers=headers)
    assert answer.json()["choices"]
"""


def test_tests_of_cassetter_are_checked(llama: str, cassetter_python: Path, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(HEAD.partition("pytestmark")[0] + CASSETTER)
    # cassetter matches the host, so the server stays where it is.
    assert run(cassetter_python, tmp_path, llama, "--record-mode=once").startswith("0 ")
    (cassette,) = tmp_path.rglob("*.yaml")
    text = cassette.read_text()
    checked = ("-o", "chatapi_check_vcr=true")
    for mode in ("--record-mode=none", "--record-mode=new_episodes"):
        assert run(cassetter_python, tmp_path, llama, mode, *checked).startswith("0 ")
    broken = text.replace("chat.completion\n", "chat.completion.x\n").replace(
        '"object":"chat.completion"', '"object":"x"'
    )
    assert broken != text
    cassette.write_text(broken)
    assert run(cassetter_python, tmp_path, llama).startswith("0 ")
    judged = run(cassetter_python, tmp_path, llama, *checked, "--chatapi-strict")
    assert judged.startswith("1 "), judged
    assert "POST chat/completions tiny breaks the contract" in judged
    refused = (HEAD + CASSETTER).replace("(ignore=", "(cassette='x', ignore=")
    (tmp_path / "test_it.py").write_text(refused)
    assert "both turn on a recorder" in run(cassetter_python, tmp_path, llama)
