"""The mock: routes, scripts, refusals, misses; through httpx and httpx2, sync and async."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import httpx
import httpx2
import openai
import pytest
from respx.patterns import M

from pytest_chatapi import (
    AsyncRecordReplayTransport,
    RecordReplayTransport,
    Request,
    SettingError,
    UnrecordedRequest,
    assemble,
    check,
    faults,
)
from pytest_chatapi.contract import parse
from pytest_chatapi.faults import Plan
from pytest_chatapi.faults.virtual_time import VirtualTime
from pytest_chatapi.mock import ChatMock, Reply, chat_mock, choices, text, tool_call
from pytest_chatapi.recording.opening import open_recorder

URL = "https://api.openai.com/v1/chat/completions"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def ask(text: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"model": "gpt-5.2", "messages": [{"role": "user", "content": text}], **more}


class Run:
    """A mock, with a client that it responds to."""

    def __init__(self, family: Any = httpx, **options: Any) -> None:
        self.mock = ChatMock("test_mock", **options)
        self.recorder = open_recorder(None, answers=self.mock)
        self.family = family
        self.http = family.Client(transport=RecordReplayTransport(self.recorder))

    def ask(self, *args: Any, **more: Any) -> Any:
        return self.http.post(URL, json=ask(*args, **more))

    def content(self, *args: Any, **more: Any) -> str:
        response = self.ask(*args, **more)
        assert response.status_code == 200, response.text
        content: str = response.json()["choices"][0]["message"]["content"]
        return content


@pytest.fixture(params=["httpx", "httpx2"])
def run(request: pytest.FixtureRequest) -> Run:
    return Run(importlib.import_module(request.param))


def test_one_line_serves_both(run: Run) -> None:
    run.mock.reply("Hello there!")
    assert run.content() == "Hello there!"
    streamed = run.ask(stream=True, stream_options={"include_usage": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    whole = assemble(streamed.content)
    assert whole["choices"][0]["message"]["content"] == "Hello there!"
    assert whole["usage"]["completion_tokens"] == 3
    for exchange in run.recorder.exchanges:
        assert check(exchange, profile="documented") == []


def test_async(run: Run) -> None:
    run.mock.reply("Hello!")

    async def go() -> list[bytes]:
        transport = AsyncRecordReplayTransport(run.recorder)
        async with (
            run.family.AsyncClient(transport=transport) as client,
            client.stream("POST", URL, json=ask(stream=True)) as response,
        ):
            return [piece async for piece in response.aiter_raw()]

    pieces = asyncio.run(go())
    assert len(pieces) > 3
    assert pieces[-1] == b"data: [DONE]\n\n"


def test_elapsed(run: Run) -> None:
    """However the response is read: also where it is made in one piece."""
    run.mock.reply("Hello!")
    responses = [run.ask(), run.ask(stream=True), run.ask(temperature=3)]
    for more in ({}, {"stream": True}):
        with run.http.stream("POST", URL, json=ask(**more)) as response:
            response.read()
        responses.append(response)

    async def go() -> None:
        transport = AsyncRecordReplayTransport(run.recorder)
        async with run.family.AsyncClient(transport=transport) as client:
            responses.append(await client.post(URL, json=ask()))
            for more in ({}, {"stream": True}):
                async with client.stream("POST", URL, json=ask(**more)) as response:
                    await response.aread()
                responses.append(response)

    asyncio.run(go())
    assert len(responses) == 8
    assert all(response.elapsed.total_seconds() > 0 for response in responses)


def test_the_same_in_every_run() -> None:
    answers = []
    for _ in range(2):
        run = Run()
        run.mock.reply("Hello!")
        answers.append([run.ask().content, run.ask().content, run.ask(stream=True).content])
    assert answers[0] == answers[1]
    first, second, _ = answers[0]
    assert json.loads(first)["id"] != json.loads(second)["id"]


def test_a_tool_loop(run: Run) -> None:
    run.mock.script(
        [
            tool_call("get_weather", {"city": "Paris"}),
            lambda request: f"It is {request.json()['messages'][-1]['content']}.",
        ]
    )
    client = openai.OpenAI(
        api_key="x",
        http_client=importlib.import_module("httpx2").Client(
            transport=RecordReplayTransport(run.recorder)
        ),
    )
    messages: list[Any] = [{"role": "user", "content": "Weather in Paris?"}]
    answer = client.chat.completions.create(model="gpt-5.2", messages=messages, tools=[WEATHER])
    (call,) = answer.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    messages += [
        answer.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    answer = client.chat.completions.create(model="gpt-5.2", messages=messages, tools=[WEATHER])
    assert answer.choices[0].message.content == "It is sunny."
    assert run.mock.unused == []
    for exchange in run.recorder.exchanges:
        assert check(exchange, profile="documented") == []


# -- routes --------------------------------------------------------------------------------


ROUTES: dict[str, Callable[[ChatMock], Any]] = {
    "prompt": lambda mock: mock.chat(prompt="Hi"),
    "prompt in": lambda mock: mock.chat(prompt__in=["Hi", "Ho"]),
    "prompt contains": lambda mock: mock.chat(prompt__contains="i"),
    "prompt startswith": lambda mock: mock.chat(prompt__startswith="H"),
    "prompt regex": lambda mock: mock.chat(prompt__regex="^H.$"),
    "model": lambda mock: mock.chat(model="gpt-5.2"),
    "model startswith": lambda mock: mock.chat(model__startswith="gpt-5"),
    "json": lambda mock: mock.chat(json=ask("Hi", n=1)),
    "json path": lambda mock: mock.chat(json__messages__0__content="Hi"),
    "json path eq": lambda mock: mock.chat(json__n__eq=1),
    "json number": lambda mock: mock.chat(json__n=1.0),
    "json any": lambda mock: mock.chat(json=ask("Hi", n=1) | {"messages": [ANY]}),
    "json path any": lambda mock: mock.chat(json__messages__0=ANY, prompt="Hi"),
    "prompt any": lambda mock: mock.chat(prompt=ANY, json__n=1),
    "headers any": lambda mock: mock.chat(
        headers={"Accept": ANY, "accept-encoding": ANY}, json__n=1
    ),
    "content": lambda mock: mock.chat(content__contains=b'"n":1'),
    "headers": lambda mock: mock.chat(headers={"accept": "*/*"}),
    "host": lambda mock: mock.chat(host="api.openai.com"),
    "pattern": lambda mock: mock.chat(M(prompt="Hi") | M(prompt="Ho")),
    "two": lambda mock: mock.chat(prompt="Hi", model="gpt-5.2"),
    "url": lambda mock: mock.route(url=URL),
}


@pytest.mark.parametrize("name", ROUTES)
def test_routes(run: Run, name: str) -> None:
    ROUTES[name](run.mock).reply("it")
    run.mock.reply("other")
    assert run.content("Hi", n=1) == "it"
    other = run.http.post(
        "https://other.example/v1/chat/completions",
        json={**ask("You", n=2), "model": "o3"},
        headers={"accept": "application/json"},
    )
    assert other.json()["choices"][0]["message"]["content"] == "other"


def test_the_first_route_that_matches_replies(run: Run) -> None:
    run.mock.chat(model="gpt-5.2").reply("by model")
    run.mock.chat(prompt="Hi").reply("by prompt")
    assert run.content("Hi") == "by model"


def test_the_prompt_is_the_last_of_the_user_and_may_come_in_parts(run: Run) -> None:
    run.mock.chat(prompt="now").reply("yes")
    messages = [
        {"role": "user", "content": "then"},
        {"role": "assistant", "content": "Hm."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "no"}, {"type": "text", "text": "w"}],
        },
        {"role": "system", "content": "later"},
    ]
    assert run.http.post(URL, json={"model": "m", "messages": messages}).status_code == 200


def test_keyed_routes_keep_their_order(run: Run) -> None:
    for number in range(20):
        run.mock.chat(prompt=f"{number}").reply(f"a{number}")
    run.mock.chat(prompt__contains="1").reply("contains")
    run.mock.chat(prompt="11").reply("instead")
    run.mock.chat(prompt="21").reply("never")
    assert [run.content(str(n)) for n in (3, 19, 11, 21, 31)] == [
        "a3", "a19", "instead", "contains", "contains",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda mock: mock.chat(promt="Hi"),
            "chat() cannot match requests by 'promt': did you mean prompt?",
        ),
        (
            lambda mock: mock.chat(zzz="Hi"),
            "chat() cannot match requests by 'zzz': use\n  method, headers, cookies, ",
        ),
        (
            lambda mock: mock.chat(prompt__cont="Hi"),
            "chat() cannot match requests by 'prompt__cont': did you mean prompt__contains?",
        ),
        (
            lambda mock: mock.route(content__startswith="Hi"),
            "route() cannot match requests by 'content__startswith': did you mean content",
        ),
        (
            lambda mock: mock.route(port__x="Hi"),
            "route() cannot match requests by 'port__x': did you mean port",
        ),
        (
            lambda mock: mock.reply("Hi", fnish_reason="length"),
            "reply() has no argument 'fnish_reason': "
            "did you mean reply(text(..., finish_reason=...))?",
        ),
        (
            lambda mock: mock.chat().reply("Hi", token_per_second=9),
            "reply() has no argument 'token_per_second': did you mean tokens_per_second?",
        ),
        (
            lambda mock: mock.reply("Hi", zzz=9),
            "reply() has no argument 'zzz': use a reply, ttft, tokens_per_second, jitter",
        ),
        (
            lambda mock: mock.chat("weather"),
            "chat() takes keyword arguments and patterns of respx, not str: "
            'did you mean chat(prompt__contains="weather")?',
        ),
        (
            lambda mock: mock.chat(3),
            "chat() takes keyword arguments and patterns of respx, not int",
        ),
        (
            lambda mock: mock.chat(method="GET"),
            "chat() sets method itself: to match by it, use route(method=...)",
        ),
        (
            lambda mock: mock.chat(prompt__regex="("),
            'chat(prompt__regex="("): missing ), unterminated subpattern at position 0; '
            "for the text itself, use prompt__contains",
        ),
        (
            lambda mock: mock.route(path__regex="("),
            'route(path__regex="("): missing ), unterminated subpattern at position 0; '
            "escape it: re.escape()",
        ),
        (
            lambda mock: mock.chat(json__a__contains="x"),
            "chat(json__a__contains=\"x\"): 'json' has no 'contains' lookup, it compares whole "
            "values; to search the body as text, use content__contains",
        ),
        (
            lambda mock: mock.chat(json__a={1}),
            'chat(json__a="{1}"): JSON has no set: pass what json.dumps accepts, or ANY',
        ),
        (lambda mock: mock.route(headers=3), "route(headers=3): "),
        (
            lambda mock: mock.route(scheme=ANY),
            "route(scheme=ANY): leave out what may have any value",
        ),
        (
            lambda mock: mock.route(cookies={"a": ANY}),
            'route(cookies={"a": ANY}): a cookie is compared with a str; for any: '
            "headers={'cookie': ANY}",
        ),
        (
            lambda mock: mock.chat(prompt=["a"]),
            'chat(prompt=["a"]): it is compared with a str, not list; '
            "for one of several, prompt__in=[...]",
        ),
        (
            lambda mock: mock.chat(model__in="m"),
            "chat(model__in=\"m\"): pass a list, such as model__in=['m']",
        ),
        (
            lambda mock: mock.embeddings(method="GET"),
            "embeddings() sets method itself: to match by it, use route(method=...)",
        ),
    ],
)
def test_what_no_request_can_be_matched_by(
    run: Run, make: Callable[[ChatMock], object], message: str
) -> None:
    with pytest.raises(SettingError) as caught:
        make(run.mock)
    assert str(caught.value).startswith(message)


def test_a_route_is_titled_as_it_was_made(run: Run) -> None:
    run.mock.route(path="/v1/files", method="GET").reply("x")
    run.mock.route().reply("x")
    run.mock.chat(model="m", json={"a": 1}).reply("x")
    assert [line.partition(": never")[0] for line in run.mock.unused] == [
        'route(path="/v1/files", method="GET")',
        "route()",
        'chat(model="m", json={"a": 1})',
    ]


def test_routes_respond_by_the_means_of_respx(run: Run) -> None:
    run.mock.route(path="/v1/embeddings").respond(201, json={"data": []})
    route = run.mock.route(path="/v1/files").mock(side_effect=[httpx.Response(204)])
    assert run.http.post("https://api.openai.com/v1/embeddings").status_code == 201
    assert run.http.get("https://api.openai.com/v1/files").status_code == 204
    assert route.call_count == 1


def test_numbers_compare_as_json_does(run: Run) -> None:
    run.mock.chat(json__temperature=1).reply("one")
    run.mock.chat(json__logprobs=True).reply("true")
    run.mock.chat(json__metadata={"a": ANY}).reply("metadata")
    run.mock.reply("other")
    assert run.content(temperature=1.0) == run.content(temperature=1) == "one"
    assert run.content(temperature=1.5) == "other"
    assert run.content(logprobs=True) == "true"
    assert run.content(metadata={"a": "1"}) == "metadata"
    assert run.content(metadata={"a": "1", "b": "2"}) == "other"


def test_true_is_not_one() -> None:
    run = Run(profile="compatible")
    run.mock.chat(json__extra=[ANY, 1]).reply("one")
    run.mock.chat(json__extra=[ANY, True]).reply("true")
    run.mock.chat(json__extra=1).reply("alone")
    assert run.content(extra=[None, True]) == "true"
    assert run.content(extra=[None, 1.0]) == "one"
    run.mock.reply("other")
    assert run.content(extra=True) == "other"


EMBEDDINGS = "https://api.openai.com/v1/embeddings"


@pytest.mark.parametrize(
    "lookups",
    [
        {"json__model": "m"},
        {"model": "m"},
        {"json": {"model": "m", "input": "x", "n": 1}},
        {"json__n": 1.0, "json__input": ANY},
        {"model__startswith": "m", "content__contains": b"input"},
    ],
)
def test_patterns_fit_bodies_of_every_route(run: Run, lookups: dict[str, Any]) -> None:
    run.mock.route(path="/v1/embeddings", **lookups).respond(201)
    run.mock.route(path="/v1/embeddings").respond(202)
    body = {"model": "m", "input": "x", "n": 1}
    assert run.http.post(EMBEDDINGS, json=body).status_code == 201
    assert run.http.post(EMBEDDINGS, json=body | {"model": "o", "n": 2}).status_code == 202
    assert run.http.post(EMBEDDINGS, content=b"{not JSON").status_code == 202


def test_a_body_that_no_route_fits_is_named_by_its_path(run: Run) -> None:
    run.mock.route(path="/v1/embeddings", json__model="m").respond(201)
    with pytest.raises(UnrecordedRequest) as caught:
        run.http.post(EMBEDDINGS, json={"model": "o"})
    assert str(caught.value).splitlines()[2:] == [
        '            1. route(path="/v1/embeddings", json__model="m"): json__model is "o"',
        "  reply     chatapi_mock.embeddings()",
    ]


def test_a_second_reply_replaces_the_first(run: Run) -> None:
    first = run.mock.reply("first")
    run.mock.chat(prompt="Hi").reply("by prompt")
    run.mock.reply("second")
    run.mock.chat(prompt="Hi").reply("by prompt, again")
    assert run.content("Ho") == run.content("Hi") == "second"
    assert run.mock.unused == [
        'chat(prompt="Hi"): never requested, since chat() before it replies to every request: '
        "put it first"
    ]
    first.reply("third")
    assert run.content("Ho") == "third"
    run.mock.script(["fourth"])
    run.mock.reply("fifth")
    assert [run.content("Ho") for _ in range(3)] == ["fourth", "fifth", "fifth"]


def test_a_second_response_of_respx_replaces_the_first(run: Run) -> None:
    for status in (500, 204):
        run.mock.route(path="/v1/files").respond(status)
        run.mock.route(path="/v1/passed").pass_through()
    run.mock.route(M(path="/a") | M(path="/b")).respond(500)
    run.mock.route(M(path="/a") | M(path="/c")).respond(204)
    assert run.http.get("https://x.example/v1/files").status_code == 204
    assert run.http.get("https://x.example/a").status_code == 500
    assert run.mock.unused == [
        'route(path="/v1/passed"): never requested',  # once
        "route(<Path eq '/a'> OR <Path eq '/c'>): never requested",
    ]


def test_routes_count_their_calls(run: Run) -> None:
    route, other = run.mock.chat(prompt="Hi").reply("x"), run.mock.route(path="/x").respond(201)
    assert not route.called
    run.ask("Hi")
    run.ask("Hi")
    run.http.get("https://x.example/x")
    assert (route.called, route.call_count) == (True, 2)
    assert (other.called, other.call_count) == (True, 1)


def _fail(request: httpx.Request) -> httpx.Response:
    assert (request.url.path, request.content) == ("/x", b"sent")
    raise httpx.ConnectError("Mock Error")


@pytest.mark.parametrize(
    "effect",
    [
        httpx.ConnectError,
        httpx.ConnectError("Mock Error"),
        httpx2.ConnectError("Mock Error"),
        [httpx.ConnectError],
        _fail,
    ],
)
def test_side_effects_raise_the_error_of_the_clients_library(run: Run, effect: Any) -> None:
    route = run.mock.route(path="/x").mock(side_effect=effect)
    with pytest.raises(run.family.ConnectError, match="Mock Error"):
        run.http.post("https://x.example/x", content=b"sent")
    assert route.call_count == 1
    assert run.recorder.misses == []


def test_a_timeout_of_a_side_effect_comes_at_once(run: Run) -> None:
    run.mock.route(path="/x").mock(side_effect=httpx.ReadTimeout("slow"))
    with VirtualTime() as clock, pytest.raises(run.family.ReadTimeout, match="slow"):
        run.http.get("https://x.example/x", timeout=600)
    assert clock.slept == []


def test_other_errors_of_side_effects_arrive_as_they_are(run: Run) -> None:
    error = ValueError("mine")
    run.mock.route(path="/x").mock(side_effect=error)
    with pytest.raises(ValueError, match="mine") as caught:
        run.http.get("https://x.example/x")
    assert caught.value is error


async def _later(request: Any) -> httpx.Response:
    return httpx.Response(200)


@pytest.mark.parametrize(
    ("effect", "message"),
    [
        (_later, "a side effect cannot be async: use `def`"),
        ([httpx.Response(204)], r"the side effects of route\(path=\"/x\"\)\s+are used up"),
        (lambda request: "text", "Side effects must return"),
    ],
)
def test_side_effects_that_cannot_respond(run: Run, effect: Any, message: str) -> None:
    run.mock.route(path="/x").mock(side_effect=effect)
    if isinstance(effect, list):
        run.http.get("https://x.example/x")
    with pytest.raises(UnrecordedRequest, match=message):
        run.http.get("https://x.example/x")


def test_what_passes_through_is_sent(run: Run, server: Any) -> None:
    local = f"{server.url}/chat/completions"
    route = run.mock.route(host="127.0.0.1").pass_through()
    effect = run.mock.route(path="/passed").mock(side_effect=lambda request: request)
    run.mock.reply("mocked")
    live = run.http.post(local, json=ask())
    assert live.json()["choices"][0]["message"]["content"] != "mocked"
    assert run.content() == "mocked"
    assert (route.call_count, run.recorder.exchanges[0].live) == (1, True)
    with pytest.raises(run.family.ConnectError):
        run.http.get("http://nowhere.invalid/passed")
    assert effect.call_count == 1
    assert run.recorder.passed_hosts == {"127.0.0.1", "nowhere.invalid"}
    assert run.recorder.misses == []
    run.http.close()


@pytest.mark.parametrize(
    ("url", "profile", "status"),
    [
        (URL, None, 400),
        ("http://localhost:8000/v1/chat/completions", None, 400),
        ("http://127.0.0.1:8000/v1/chat/completions", None, 400),
        ("https://eu.api.openai.com/v1/chat/completions", None, 400),
        ("https://openrouter.ai/api/v1/chat/completions", None, 200),
        ("https://openrouter.ai/api/v1/chat/completions", "openai", 400),
        (URL, "compatible", 200),
    ],
)
def test_requests_are_held_to_the_profile_of_their_host(
    run: Run, url: str, profile: str | None, status: int
) -> None:
    run.mock.reply("x")
    run.mock.profile = profile
    body = ask(usage={"include": True})
    assert run.http.post(url, json=body).status_code == status
    other = "https://other.example/v1/chat/completions"
    assert run.http.post(other, json=body).status_code == (400 if profile == "openai" else 200)
    assert run.http.post(url, json=body).status_code == status


def test_at_azure_the_url_names_the_model(run: Run) -> None:
    run.mock.reply("x")
    run.mock.models = ["gpt-4o"]
    url = "https://x.openai.azure.com/openai/deployments/mine/chat/completions?api-version=1"
    assert run.http.post(url, json={"messages": ask()["messages"]}).status_code == 200


def test_every_response_has_a_request_id(run: Run) -> None:
    run.mock.reply("x")
    run.mock.api_keys = ["sk-right"]
    key = {"authorization": "Bearer sk-right"}
    responses = [
        run.ask(),
        run.http.post(URL, json=ask(), headers=key),
        run.http.post(URL, json=ask(stream=True), headers=key),
        run.http.post(URL, json=ask(temperature=3), headers=key),
        run.http.get("https://api.openai.com/v1/models/none", headers=key),
        run.http.get("https://api.openai.com/v1/models", headers=key),
    ]
    assert [response.status_code for response in responses] == [401, 200, 200, 400, 404, 200]
    ids = [response.headers["x-request-id"] for response in responses]
    assert ids == [f"req_mock_{number}" for number in range(1, 7)]


def test_keys(run: Run) -> None:
    run.mock.reply("x")
    run.mock.api_keys = ["sk-right"]
    assert run.mock.api_keys == ["sk-right"]

    def error(**headers: str) -> Any:
        response = run.http.post(URL, json=ask(), headers=headers)
        assert response.status_code == 401
        return response.json()["error"]

    missing = error()
    assert missing["message"].startswith("You didn't provide an API key. You need to provide")
    assert error(Authorization="Basic c2stcmlnaHQ=") == missing
    wrong = error(Authorization="Bearer wrong-key")
    assert wrong == {
        "message": "Incorrect API key provided: wrong-key. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
    long = error(Authorization="Bearer abcdefgh-made-up-wxyz")["message"]
    assert "provided: abcdefgh*********wxyz. You" in long
    for headers in ({"authorization": "bearer sk-right"}, {"api-key": "sk-right"}):
        assert run.http.post(URL, json=ask(), headers=headers).status_code == 200
    assert [message[:9] for _, message in run.mock.refused] == [
        "You didn'", "You didn'", "Incorrect", "Incorrect",
    ]  # fmt: skip
    with pytest.raises(SettingError, match="api_keys must be a list of keys"):
        run.mock.api_keys = "sk-right"
    run.mock.api_keys = None
    assert run.ask().status_code == 200


def test_choices_take_texts(run: Run) -> None:
    run.mock.reply(choices("a", text("b"), tool_call("get_weather", {"city": "Paris"})))
    messages = [c["message"] for c in run.ask(n=3, tools=[WEATHER]).json()["choices"]]
    assert [message["content"] for message in messages] == ["a", "b", None]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ({"a": 1}, "not dict: use structured(...) for JSON"),
        (lambda request: "x", "not function: reply with a function that returns choices(...)"),
        (faults.rate_limit(), ": put a fault before it in a script"),
        (choices("a"), "choices() takes one reply for each choice, and no choices() inside"),
    ],
)
def test_what_is_not_a_choice(reply: Any, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        choices("a", reply)
    assert str(caught.value).endswith(message)


def test_a_side_effect_that_returns_nothing_leaves_the_request_to_the_next_route(run: Run) -> None:
    route = run.mock.chat().mock(side_effect=lambda request: None)
    run.mock.reply("next")
    assert run.content() == "next"
    assert route.call_count == 0


# -- replies -------------------------------------------------------------------------------


def test_a_completion_is_built_once_where_only_its_stamp_changes(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Reply] = []
    build = Reply.completion

    def completion(reply: Reply, *args: Any) -> dict[str, Any]:
        built.append(reply)
        return build(reply, *args)

    monkeypatch.setattr(Reply, "completion", completion)
    run.mock.chat(prompt="call").reply(tool_call("get_weather", {"city": "Paris"}))
    run.mock.chat().reply(text("Hello!"))
    first, second = run.ask().json(), run.ask().json()
    assert len(built) == 1
    assert first["id"] != second["id"]
    assert first["choices"] == second["choices"]
    calls = [run.ask("call", tools=[WEATHER]).json()["choices"][0]["message"] for _ in range(2)]
    assert len(built) == 3
    assert calls[0]["tool_calls"][0]["id"] != calls[1]["tool_calls"][0]["id"]


def test_raw_replies(run: Run) -> None:
    body = {"id": "x", "choices": []}
    run.mock.script(
        [body, run.family.Response(418, json={"a": 1}, headers={"x-it": "1"}), lambda _: body]
    )
    assert run.ask().json() == body
    teapot = run.ask()
    assert (teapot.status_code, teapot.json(), teapot.headers["x-it"]) == (418, {"a": 1}, "1")
    assert run.ask().json() == body


@pytest.mark.parametrize("reply", [5, ["a"]])
def test_what_is_not_a_reply(run: Run, reply: Any) -> None:
    with pytest.raises(
        SettingError, match=r"a reply must be a str, [^\n]{40,}\na response of httpx or"
    ):
        run.mock.reply(reply)
    with pytest.raises(SettingError, match="a reply must be"):
        run.mock.script([reply])


def test_what_a_reply_function_must_not_return(run: Run) -> None:
    async def later(request: Any) -> str:
        return "x"

    run.mock.script([lambda request: 5, later])
    with pytest.raises(UnrecordedRequest, match="must return a reply, not int"):
        run.ask()
    with pytest.raises(UnrecordedRequest, match="cannot be async"):
        run.ask()


def test_a_reply_function_that_fails(run: Run) -> None:
    def bad(request: Any) -> str:
        raise KeyError("oops")

    run.mock.reply(bad)
    with pytest.raises(UnrecordedRequest, match=r"failed: KeyError: 'oops'\s+\(.*test_mock.py:\d+"):
        run.ask()


@pytest.mark.parametrize("how", ["script", "plan"])
def test_a_reply_that_came_too_late_is_there_for_the_next_try(run: Run, how: str) -> None:
    stall = faults.stall(seconds=90)
    run.mock.script([stall, "x", "y"] if how == "script" else ["x", "y"])
    run.recorder.faults = Plan(stall, faults.ok()) if how == "plan" else None
    run.http.timeout = 20
    with VirtualTime() as clock:
        with pytest.raises(run.family.ReadTimeout):
            run.ask()
        assert clock.slept == [20]
        # In a script the fault counts as a turn, and the reply that it kept back as seen.
        waiting = "1 of 3" if how == "script" else "2 of 2"
        assert run.mock.unused == [f"chat(): {waiting} script turns"]
        assert [run.content(), run.content()] == ["x", "y"]
    assert run.mock.unused == []


def test_a_reply_that_does_not_fit_is_not_sent(run: Run) -> None:
    run.mock.reply(tool_call("get_wether", {"city": "Paris"}))
    with pytest.raises(UnrecordedRequest, match=r"no reply for[\s\S]*get_weather"):
        run.ask(tools=[WEATHER])


def test_unused_replies(run: Run) -> None:
    run.mock.chat(prompt="Never").reply("x")
    run.mock.script(["a", "b", "c"], model__startswith="gpt")
    run.mock.reply("rest")
    assert run.content() == "a"
    assert run.mock.unused == [
        'chat(prompt="Never"): never requested',
        'chat(model__startswith="gpt"): 2 of 3 script turns',
        "chat(): never requested",
    ]
    assert [run.content(), run.content(), run.content(), run.content()] == [
        "b",
        "c",
        "rest",
        "rest",
    ]
    assert run.mock.unused == ['chat(prompt="Never"): never requested']


def test_no_route_fits(run: Run) -> None:
    run.mock.chat(prompt="Hello").reply("x")
    run.mock.script(["once"], model="gpt-5.2")
    run.content()
    with pytest.raises(UnrecordedRequest) as raised:
        run.ask()
    assert str(raised.value).splitlines() == [
        "no reply for POST chat/completions gpt-5.2",
        "  because   no route of the mock matches it",
        '            1. chat(prompt="Hello"): prompt is "Hi"',
        '            2. chat(model="gpt-5.2"): script used up',
        "  reply     chatapi_mock.reply(...), or chatapi_mock.chat(prompt=...).reply(...)",
    ]


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        (
            "responses",
            {"model": "m", "input": "Hi"},
            "it goes to the Responses API, and the mock replies to Chat Completions",
        ),
        (
            "traces/ingest",
            {"data": []},
            "it is telemetry, which the library that sends it can turn off",
        ),
    ],
)
def test_a_request_to_another_api_says_so(
    run: Run, path: str, body: dict[str, Any], reason: str
) -> None:
    run.mock.reply("x")
    with pytest.raises(UnrecordedRequest) as raised:
        run.http.post(f"https://api.openai.com/v1/{path}", json=body)
    because = str(raised.value).partition("  because   ")[2].partition("1. ")[0]
    assert " ".join(because.split()) == reason


def test_the_route_that_a_miss_advises_replies(run: Run) -> None:
    url = "https://hub.example/api/agent harnesses?page=2"
    run.mock.reply()
    with pytest.raises(UnrecordedRequest) as raised:
        run.http.get(url)
    advised = str(raised.value).partition("  reply     ")[2].replace("...", "[1]")
    eval(advised, {"chatapi_mock": run.mock})
    assert run.http.get(url).json() == [1]


def test_no_routes_at_all(run: Run) -> None:
    with pytest.raises(UnrecordedRequest, match="the mock has no routes"):
        run.ask()


def test_many_routes_are_not_all_listed(run: Run) -> None:
    for number in range(30):
        run.mock.chat(prompt=str(number)).reply("x")
    with pytest.raises(UnrecordedRequest, match=r"8\. chat.*\n +\.\.\. and 22 more\n"):
        run.ask()


CUSTOM = {"type": "custom", "custom": {"name": "shell"}}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "x",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"age": {"type": "integer", "minimum": 7}},
            "required": ["age"],
            "additionalProperties": False,
        },
    },
}


@pytest.mark.parametrize(
    ("more", "holds"),
    [
        ({}, "Hello!"),
        ({"tools": [WEATHER]}, "Hello!"),
        ({"tools": [WEATHER], "tool_choice": "required"}, "get_weather"),
        (
            {
                "tools": [WEATHER, CUSTOM],
                "tool_choice": {"type": "custom", "custom": {"name": "shell"}},
            },
            "shell",
        ),
        ({"response_format": SCHEMA}, '{\\"age\\":'),
        (
            {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}},
            '"transcript":"Hello!"',
        ),
    ],
)
def test_a_reply_to_anything(run: Run, more: dict[str, Any], holds: str) -> None:
    run.mock.reply()
    assert holds in run.ask(**more).text
    assert check(run.recorder.exchanges[0], profile="documented") == []


# -- requests ------------------------------------------------------------------------------


def test_what_the_service_refuses_is_refused(run: Run) -> None:
    route = run.mock.reply("x")
    response = run.ask(temperature=3)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "temperature"
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert route.reply_count == 0
    ((request, message),) = run.mock.refused
    assert request.json()["temperature"] == 3
    assert "temperature" in message
    assert run.ask(top_k=5).status_code == 400
    assert check(run.recorder.exchanges[0], profile="documented", ignore=["Q00"]) == []


def test_a_request_is_parsed_and_assigned_to_its_endpoint_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mock = ChatMock("test")
    mock.chat(prompt__contains="never").reply("x")
    mock.chat(model__regex="^never").reply("x")
    mock.reply()
    mock.answer(Request("POST", URL, {}, json.dumps(ask("schemas are loaded")).encode()))
    counts: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return function(*args, **kwargs)

        return call

    for owner, name in ((parse, "_decode"), (chat_mock, "endpoint")):
        monkeypatch.setattr(owner, name, counted(name, getattr(owner, name)))
    body = json.dumps(ask("Hi")).encode()
    for request, is_parsed in (
        (Request("POST", URL, {}, body), 1),
        (Request("POST", URL, {}, body), 0),  # an equal body is known
        (Request("POST", URL, {}, json.dumps(ask("Hi", n=0)).encode()), 1),
        (Request("GET", "https://api.openai.com/v1/models"), 0),
    ):
        counts.clear()
        assert mock.answer(request) is not None
        assert counts == {"endpoint": 1, **({"_decode": 1} if is_parsed else {})}


def test_what_imitators_accept(run: Run) -> None:
    run.mock.reply("x")
    assert run.ask(top_k=5).status_code == 400
    run.mock.profile = "compatible"
    assert run.ask(top_k=5).status_code == 200


def test_known_bodies_do_not_pile_up() -> None:
    mock = ChatMock("test")
    mock.reply("x")
    for number in range(2 * chat_mock._REMEMBERED + 1):
        mock.answer(Request("POST", URL, {}, json.dumps(ask(str(number))).encode()))
        assert 0 < len(mock._known) <= chat_mock._REMEMBERED


def test_models(run: Run) -> None:
    base = "https://api.openai.com/v1/models"
    run.mock.reply("x")
    assert run.ask().status_code == 200
    assert "gpt-4o" in [model["id"] for model in run.http.get(base).json()["data"]]
    run.mock.models = ["mine"]
    assert [model["id"] for model in run.http.get(base).json()["data"]] == ["mine"]
    assert run.http.get(f"{base}/mine").json()["id"] == "mine"
    assert run.http.get(f"{base}/other").json()["error"]["code"] == "model_not_found"
    refused = run.ask()
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


def test_stored_completions(run: Run) -> None:
    run.mock.reply("kept")
    id_ = run.ask(store=True, metadata={"a": "b"}).json()["id"]
    run.ask("not stored")
    assert [c["id"] for c in run.http.get(URL).json()["data"]] == [id_]
    messages = run.http.get(f"{URL}/{id_}/messages").json()["data"]
    assert [message["content"] for message in messages] == ["Hi"]


# -- faults --------------------------------------------------------------------------------


def test_a_fault_before_a_reply_leaves_it_for_the_retry(run: Run) -> None:
    run.mock.script([faults.rate_limit(), faults.cut(chunks=2), text("whole"), "next"])
    assert run.ask(stream=True).status_code == 429
    with pytest.raises(run.family.RemoteProtocolError):
        run.ask(stream=True)
    assert assemble(run.ask(stream=True).content)["choices"][0]["message"]["content"] == "whole"
    assert run.content() == "next"
    assert run.mock.unused == []


def test_a_deviation_takes_the_reply_with_it(run: Run) -> None:
    run.mock.script([faults.usage_null_details(), "one", "two"])
    usage = run.ask().json()["usage"]
    assert usage["prompt_tokens_details"] is None
    assert run.content() == "two"


def test_a_fault_with_nothing_behind_it(run: Run) -> None:
    run.mock.script([faults.cut(chunks=1)])
    with pytest.raises(UnrecordedRequest, match="the script ends with cut"):
        run.ask(stream=True)


def test_a_fault_with_nothing_to_change(run: Run) -> None:
    run.mock.script([faults.tool_index_missing(), "text"])
    with pytest.raises(UnrecordedRequest, match="has nothing to change"):
        run.ask()


def test_faults_of_a_script_compose(run: Run) -> None:
    turns = [faults.cut(), faults.rate_limit(), faults.cut_mid_json(), "a", faults.ok(), "b"]
    run.mock.script(turns)
    for broken in (True, False, True):
        if broken:
            with pytest.raises(run.family.RemoteProtocolError):
                run.ask()
        else:
            assert run.ask().status_code == 429
    assert [run.content(), run.content()] == ["a", "b"]
    assert run.mock.unused == []


def test_a_client_that_gives_up_after_a_fault_leaves_nothing_unused(run: Run) -> None:
    run.mock.script([faults.cut(), "a"])
    with pytest.raises(run.family.RemoteProtocolError):
        run.ask()
    assert run.mock.unused == []
    other = Run()
    other.mock.script([faults.rate_limit(), "x", "y"])
    assert other.ask().status_code == 429
    assert other.mock.unused == ["chat(): 1 of 3 script turns"]


def test_a_fault_that_waits_keeps_no_reply_back(run: Run) -> None:
    run.mock.script(["a", "b"])
    run.recorder.faults = Plan("cut(chunks=1)")
    assert [run.content(), run.content()] == ["a", "b"]


def test_wrong_arguments(run: Run) -> None:
    with pytest.raises(SettingError, match="a script must be a list of replies"):
        run.mock.script("Hello")
    with pytest.raises(SettingError, match="a script must be a list of replies"):
        run.mock.script(text("x"))  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"models must be a list of names, such as \['gpt-4o'\]"):
        run.mock.models = "gpt-4o"
    with pytest.raises(SettingError, match=r"arguments only: rate_limit\(retry_after=\.\.\.\)"):
        faults.rate_limit(7)
    with pytest.raises(SettingError, match="a step must be a fault such as"):
        Plan(faults.rate_limit)
