"""The pace of responses: when each piece arrives, in a test, on a socket and from a cassette."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import httpx
import pytest

from pytest_chatapi import SettingError, faults
from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.faults.virtual_time import VirtualTime
from pytest_chatapi.mock import ChatMock, choices, custom_tool_call, refusal, text, tool_call
from pytest_chatapi.mock.pace import Pace, pace_of
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.recording.opening import open_recorder
from pytest_chatapi.recording.transport import AsyncRecordReplayTransport, RecordReplayTransport

URL = "https://api.openai.com/v1/chat/completions"
SENTENCE = "One two three four five six seven eight nine ten."


def request(**more: Any) -> Request:
    body = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}], **more}
    return Request("POST", URL, {"content-type": "application/json"}, json.dumps(body))


def answered(reply: object = SENTENCE, ask: Any = None, **pace: Any) -> Interaction:
    mock = ChatMock("test")
    mock.reply(reply, **pace)
    response = mock.answer(request(**(ask or {})))
    assert response is not None
    return response


def arrivals(response: Interaction) -> list[tuple[float, str]]:
    """When each text of a stream arrives, in milliseconds."""
    assert response.times is not None
    found = []
    for piece, time in zip(response.pieces, response.times, strict=True):
        data = piece.removeprefix(b"data: ").strip()
        for choice in json.loads(data)["choices"] if data != b"[DONE]" else ():
            content = choice["delta"].get("content")
            if content:
                found.append((round(time * 1000, 6), content))
    return found


# -- when pieces arrive --------------------------------------------------------------------------


def test_a_token_a_chunk() -> None:
    response = answered("One two three!", {"stream": True}, ttft=0.4, tokens_per_second=50)
    assert arrivals(response) == [(400, "One"), (420, " two"), (440, " three"), (460, "!")]
    assert response.times is not None
    assert response.times[0] == 0.4  # the role comes with the first token
    assert response.times[-1] == response.times[-2]  # [DONE] with the last
    assert response.stalls


def test_the_time_to_the_first_token_alone() -> None:
    response = answered(ask={"stream": True}, ttft=1.5)
    assert response.times == [1.5] * len(response.pieces)


def test_the_rate_alone() -> None:
    times = [time for time, _ in arrivals(answered(ask={"stream": True}, tokens_per_second=10))]
    assert times == [100.0 * n for n in range(len(times))]
    assert len(times) > 5


def test_an_unstreamed_response_arrives_with_its_last_token() -> None:
    pace = {"ttft": 0.4, "tokens_per_second": 20, "jitter": 0.3}
    streamed = answered(ask={"stream": True}, **{**pace, "jitter": 0})
    whole = answered(**{**pace, "jitter": 0})
    assert whole.times is not None
    assert [round(time * 1000, 6) for time in whole.times] == [arrivals(streamed)[-1][0]]
    (jittered,) = answered(**pace).times or ()
    assert jittered != whole.times[0]


def test_choices_come_side_by_side() -> None:
    reply = choices(text("a b c d"), text("a b"))
    both = answered(reply, {"stream": True, "n": 2}, ttft=1, tokens_per_second=10)
    times = [time for time, content in arrivals(both) if content == " d"]
    assert times == [1300]


@pytest.mark.parametrize(
    ("reply", "ask"),
    [
        (
            tool_call("f", {"a": "one two three four"}),
            {"type": "function", "function": {"name": "f"}},
        ),
        (custom_tool_call("f", "one two three four"), {"type": "custom", "custom": {"name": "f"}}),
        (refusal("one two three four"), None),
    ],
)
def test_what_is_not_content_takes_its_time_too(reply: object, ask: Any) -> None:
    tools = {"tools": [ask]} if ask else {}
    pace = {"ttft": 1, "tokens_per_second": 10}
    streamed = answered(reply, {**tools, "stream": True}, **pace).times or ()
    whole = answered(reply, tools, **pace).times or ()
    assert max(streamed) == pytest.approx(whole[-1])
    assert whole[-1] >= 1.3


def test_jitter_is_the_same_in_each_run_and_within_its_bounds() -> None:
    pace = {"ttft": 1, "tokens_per_second": 10, "jitter": 0.2}
    times = [time / 1000 for time, _ in arrivals(answered(ask={"stream": True}, **pace))]
    again = [time / 1000 for time, _ in arrivals(answered(ask={"stream": True}, **pace))]
    other = [time / 1000 for time, _ in arrivals(answered("Six." * 9, {"stream": True}, **pace))]
    assert times == again
    assert 0.8 <= times[0] <= 1.2
    waits = [round(later - earlier, 6) for earlier, later in pairwise(times)]
    assert all(0.08 <= wait <= 0.12 for wait in waits)
    assert len(set(waits)) > len(waits) / 2
    assert other[0] != times[0]


def test_each_response_of_a_mock_has_jitter_of_its_own() -> None:
    mock = ChatMock("test")
    mock.reply(SENTENCE, ttft=1, jitter=0.5)
    first, second = (mock.answer(request(stream=True)) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.times != second.times


@pytest.mark.parametrize(
    "response",
    [
        Interaction(request(), 401, pieces=[b'{"error": {"message": "no", "choices": []}}']),
        Interaction(request(), pieces=[b'{"object": "list", "data": []}']),
        Interaction(request(), pieces=[b"<html>"]),
        Interaction(request(), pieces=[]),
        Interaction(request(), 0, error="ReadError"),
        Interaction(request(), pieces=[b'{"choices": []}'], times=[60], stalls=True),
    ],
)
def test_what_has_no_tokens_stays_as_it_is(response: Interaction) -> None:
    assert Pace(1, 10, 0).paced(response) is response


def test_odd_streams() -> None:
    pieces = [
        b': comment\r\n\r\ndata: {"choices": [{"delta": {"content": "a b"}}]}\r\n\r\nda',
        b'ta:{"choices": [null, {"index": "x", "delta": {"content": 5, "tool_calls": [1]}}]}\r\n'
        b"\r\n",
        b"data: {broken\r\n\r\ndata: [1]\r\n\r\n",
        b'data: {"choices": [{"index": 0, "delta": {"audio": {"transcript": " c"}}}]}',
    ]
    paced = Pace(1, 10, 0).paced(Interaction(request(), pieces=pieces, cut="server"))
    assert b"".join(paced.pieces) == b"".join(pieces)
    assert paced.cut == "server"
    assert paced.times == pytest.approx([1, 1.1, 1.1, 1.1, 1.1, 1.2])


# -- where it is set -----------------------------------------------------------------------------


def test_routes_and_scripts_have_their_own() -> None:
    mock = ChatMock("test")
    mock.script(["a", faults.rate_limit(), "b"], ttft=2, model="slow")
    mock.chat(model="fast").reply("c", ttft=0.1)
    mock.reply("d")
    first = [mock.answer(request(stream=True, model="slow")) for _ in range(3)]
    assert [(r.status, (r.times or [None])[0]) for r in first if r] == [
        (200, 2),
        (429, None),
        (200, 2),
    ]
    for model, expected in (("fast", 0.1), ("other", None)):
        response = mock.answer(request(stream=True, model=model))
        assert response is not None
        assert (response.times or [None])[0] == expected


def test_any_kind_of_reply_is_paced() -> None:
    whole = json.loads(answered().pieces[0])
    for reply in (lambda _: SENTENCE, whole, httpx.Response(200, json=whole), text(SENTENCE)):
        assert answered(reply, ttft=1, tokens_per_second=10).times == pytest.approx([2.4], abs=0.5)


def test_a_fault_applies_to_a_paced_reply() -> None:
    mock = ChatMock("test")
    mock.script([faults.cut(chunks=3), SENTENCE], ttft=2, tokens_per_second=10)
    response = mock.answer(request(stream=True))
    assert response is not None
    assert response.cut == "server"
    assert response.times is not None
    assert list(response.times)[:3] == pytest.approx([2, 2, 2.1])


@pytest.mark.parametrize(
    ("pace", "message"),
    [
        ({"ttft": -1}, "ttft must be a number of seconds (0 or more), not -1"),
        ({"ttft": float("inf")}, "ttft must be a number of seconds (0 or more), not inf"),
        ({"ttft": True}, "ttft must be a number of seconds (0 or more), not True"),
        ({"ttft": "soon"}, "ttft must be a number of seconds (0 or more), not 'soon'"),
        ({"tokens_per_second": 0}, "tokens_per_second must be a number above 0, not 0"),
        (
            {"tokens_per_second": float("nan")},
            "tokens_per_second must be a number above 0, not nan",
        ),
        ({"ttft": 1, "jitter": 1.1}, "jitter must be a number from 0 to 1, not 1.1"),
        ({"jitter": 0.1}, "jitter varies the pace: set ttft or tokens_per_second too"),
    ],
)
def test_numbers_that_are_wrong(pace: Any, message: str) -> None:
    for setting in (
        lambda: ChatMock("test").reply("a", **pace),
        lambda: ChatMock("test").script(["a"], **pace),
        lambda: ChatMock("test").chat().reply("a", **pace),
    ):
        with pytest.raises(SettingError) as caught:
            setting()
        assert str(caught.value) == message


# -- virtual in a test ---------------------------------------------------------------------------


def recorder_of(mock: ChatMock | None = None, **more: Any) -> Any:
    return open_recorder(None, answers=mock or hello(), **more)


def hello(**pace: Any) -> ChatMock:
    mock = ChatMock("test")
    mock.reply("a b c", **pace)
    return mock


WAITS = [0.4, 0, 0.02, 0.02]  # role, a, b, c


@pytest.mark.parametrize("on", ["reply", "recorder"])
def test_waits_are_virtual_however_short(on: str) -> None:
    pace = {"ttft": 0.4, "tokens_per_second": 50}
    recorder = recorder_of(hello(**pace)) if on == "reply" else recorder_of(pace=Pace(0.4, 50, 0))
    body = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with (
        VirtualTime() as clock,
        httpx.Client(transport=RecordReplayTransport(recorder)) as client,
        client.stream("POST", URL, json=body) as response,
    ):
        assert b"[DONE]" in b"".join(response.iter_raw())
    assert clock.slept == pytest.approx([wait for wait in WAITS if wait])


def test_waits_are_virtual_in_async_clients() -> None:
    recorder = recorder_of(hello(ttft=0.4, tokens_per_second=50))
    body = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}], "stream": True}

    async def main() -> None:
        transport = AsyncRecordReplayTransport(recorder)
        async with (
            httpx.AsyncClient(transport=transport) as client,
            client.stream("POST", URL, json=body) as response,
        ):
            assert [piece async for piece in response.aiter_raw()]

    with VirtualTime() as clock:
        asyncio.run(main())
    assert clock.slept == pytest.approx([wait for wait in WAITS if wait])


def test_a_read_timeout_is_shorter_than_the_first_token() -> None:
    recorder = recorder_of(hello(ttft=30))
    with (
        VirtualTime(),
        httpx.Client(transport=RecordReplayTransport(recorder), timeout=5) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        client.post(URL, json={"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}]})


def test_in_a_test_of_the_plugin(run: Any) -> None:
    test = """
def test_mock(chatapi_mock, chatapi):
    chatapi_mock.reply("a b c", ttft=0.4, tokens_per_second=50, jitter=0.1)
    stream = openai.OpenAI().chat.completions.create(**ask(), stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in stream) == "a b c"
    assert 0.36 <= chatapi.slept[0] <= 0.44
    assert len(chatapi.slept) == 3

@pytest.mark.chatapi(ttft=3, tokens_per_second=1)
def test_setting(chatapi_mock, chatapi):
    chatapi_mock.reply("a b c")
    openai.OpenAI().chat.completions.create(**ask())
    assert chatapi.slept == [5.0]
"""
    result = run(test)
    result.assert_outcomes(passed=2)


# -- of a cassette -------------------------------------------------------------------------------


def test_a_cassette_is_replayed_at_a_pace(tmp_path: Any) -> None:
    mock = hello()
    recorded = mock.answer(request(stream=True))
    assert recorded is not None
    path = tmp_path / "c.yaml"
    recorder = open_recorder(path, record_mode="once")
    sent = [("content-type", "application/json")]
    body = str(request(stream=True).body).encode()
    take: Any = recorder.begin("POST", URL, sent, body)
    take.responded(200, "OK", recorded.headers)
    take.piece(b"".join(recorded.pieces))  # all in one
    take.ended()
    recorder.save()
    replaying = open_recorder(path, pace=pace_of(0.4, 50, 0))
    playback: Any = replaying.begin("POST", URL, sent, body)
    assert [wait for wait in playback.waits if wait] == pytest.approx([0.4, 0.02, 0.02])
    assert playback.interaction.pieces == recorded.pieces


def test_settings_of_a_test_with_a_cassette(run: Any) -> None:
    test = """
@pytest.mark.chatapi(ttft=30, record_mode="none")
def test_it(chatapi, openai_client):
    pass

@pytest.mark.chatapi(jitter=0.5)
def test_wrong(chatapi):
    pass
"""
    result = run(test)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*jitter varies the pace: set ttft or tokens_per_second too"])
