"""Record and replay over a socket: httpx and httpx2, sync and async, whole and cut short."""

from __future__ import annotations

import asyncio
import base64
import gzip
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest
import stub_server
import yaml

import pytest_chatapi.recording.recorder
from pytest_chatapi import (
    AsyncRecordReplayTransport,
    RecordReplayTransport,
    SecretError,
    SettingError,
    UnrecordedRequest,
    check,
)
from pytest_chatapi.recording import clock

PATH = "/chat/completions"
SECRET = "s3cret-key-1234"


def ask(text: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"model": "gpt-5.2", "messages": [{"role": "user", "content": text}], **more}


class Session:
    """Opens clients on one cassette."""

    def __init__(self, family: Any, path: Path, url: str) -> None:
        self.family, self.path, self.url = family, path, url

    def client(self, mode: str = "none", **settings: Any) -> Any:
        transport = RecordReplayTransport(self.path, record_mode=mode, **settings)
        return self.family.Client(
            base_url=self.url,
            transport=transport,
            headers={"authorization": "Bearer s3cret-key-1234"},
        )

    def aclient(self, mode: str = "none", **settings: Any) -> Any:
        transport = AsyncRecordReplayTransport(self.path, record_mode=mode, **settings)
        return self.family.AsyncClient(base_url=self.url, transport=transport)


@pytest.fixture
def session(family: Any, tmp_path: Path, server: Any) -> Session:
    return Session(family, tmp_path / "c.yaml", server.url)


def exchanges(client: Any) -> list[Any]:
    return client._transport.recorder.exchanges


def test_whole_answer(session: Session) -> None:
    with session.client("once") as client:
        live = client.post(PATH, json=ask())
    with session.client() as client:
        replayed = client.post(PATH, json=ask(stream=False))
        (exchange,) = exchanges(client)
    assert replayed.content == live.content
    assert (replayed.status_code, replayed.reason_phrase) == (200, "OK")
    assert exchange.source.index == 0
    assert exchange.request.json()["model"] == "gpt-5.2"
    assert exchange.response.json() == live.json()
    assert check(exchange) == []


def test_stream_arrives_as_it_comes_and_replays_in_the_same_pieces(
    session: Session, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"HELD {session.path}"
    body = ask(text, stream=True)
    events = stub_server.events()
    ticks, slept = itertools.count(), []
    with monkeypatch.context() as patch:
        patch.setattr(clock, "elapsed", lambda: float(next(ticks)))
        with session.client("once") as client, client.stream("POST", PATH, json=body) as response:
            pieces = response.iter_raw()
            for event in events:
                server.turns[text].release()  # each is here before the next is sent
                assert next(pieces) == event
            assert list(pieces) == []
    monkeypatch.setattr(time, "sleep", slept.append)
    with session.client() as client, client.stream("POST", PATH, json=body) as response:
        assert list(response.iter_raw()) == events
        times = exchanges(client)[0].response.times
    assert list(times) == [float(number) for number in range(1, len(events) + 1)]
    assert slept == []
    with (
        session.client(replay_speed=2) as client,
        client.stream("POST", PATH, json=body) as response,
    ):
        assert list(response.iter_raw()) == events
    assert slept == [0.5] * len(events)


def test_a_client_that_leaves_before_the_announced_length(session: Session) -> None:
    with session.client("once") as client:
        with client.stream("POST", PATH, json=ask("LONG")) as response:
            assert int(response.headers["content-length"]) > 200_000
            first = next(response.iter_raw(1000))
        (exchange,) = exchanges(client)
        assert exchange.response.cut == "client"
    assert len(first) == 1000
    assert "cut: client" in session.path.read_text()


def test_what_was_given_for_another_body_is_not_given_again(session: Session) -> None:
    with session.client("once") as client:
        client.post(PATH, json=ask("recorded"))
    foreign = yaml.safe_load(session.path.read_text())
    del foreign["interactions"][0]["response"]["chatapi"]
    session.path.write_text(yaml.safe_dump(foreign))
    with session.client() as client:
        assert client.post(PATH, json=ask("another")).status_code == 200
        assert len(client._transport.recorder.warnings) == 1
        with pytest.raises(UnrecordedRequest):
            client.post(PATH, json=ask("recorded"))


def test_what_ends_while_it_is_saved_is_saved_next(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session.client("once") as client:
        recorder = client._transport.recorder
        client.post(PATH, json=ask("first"))
        take = recorder.begin("POST", session.url + PATH, [], json.dumps(ask("late")).encode())
        take.responded(200, "OK", [])
        real = pytest_chatapi.recording.recorder.write

        def write(*args: Any) -> None:
            real(*args)
            take.ended()

        monkeypatch.setattr(pytest_chatapi.recording.recorder, "write", write)
        recorder.save()
        recorder.save()
    assert len(yaml.safe_load(session.path.read_text())["interactions"]) == 2


def test_compressed_bodies_are_kept_readable(session: Session) -> None:
    with session.client("once") as client:
        live = client.post(PATH, json=ask("GZIP"))
    (recorded,) = yaml.safe_load(session.path.read_text())["interactions"]
    assert json.loads(recorded["response"]["body"]["string"]) == live.json()
    assert "content-encoding" not in recorded["response"]["headers"]
    with session.client() as client:
        assert client.post(PATH, json=ask("GZIP")).json() == live.json()


def test_a_server_that_dies(session: Session) -> None:
    body = ask("DIE", stream=True)

    def read(client: Any) -> tuple[list[bytes], type[Exception]]:
        got: list[bytes] = []
        try:
            with client.stream("POST", PATH, json=body) as response:
                for piece in response.iter_raw():
                    got.append(piece)
        except session.family.TransportError as error:
            return got, type(error)
        raise AssertionError("the connection was not cut")

    with session.client("once") as client:
        live = read(client)
    with session.client() as client:
        assert read(client) == live
        (exchange,) = exchanges(client)
    assert live[0] == stub_server.events()[:3]
    assert exchange.response.cut == "server"
    assert [finding.code for finding in check(exchange)] == ["T17"]


@pytest.mark.parametrize(
    ("error", "by", "codes"),
    [("ReadTimeout", "client", []), ("ReadError", "server", ["T17"])],
)
def test_what_broke_a_body_breaks_it_again(
    session: Session, error: str, by: str, codes: list[str]
) -> None:
    kind = getattr(session.family, error)

    class Breaks(session.family.SyncByteStream, session.family.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield stub_server.events()[0]
            raise kind("it broke")

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in self:
                yield piece

    def breaks(request: Any) -> Any:
        return session.family.Response(200, stream=Breaks())

    body = ask(stream=True)

    async def read(client: Any) -> None:
        async with client, client.stream("POST", PATH, json=body) as response:
            async for _ in response.aiter_raw():
                pass

    for mode, more in (("once", {"transport": session.family.MockTransport(breaks)}), ("none", {})):
        with session.client(mode, **more) as client:
            with pytest.raises(kind), client.stream("POST", PATH, json=body) as response:
                list(response.iter_raw())
            (exchange,) = exchanges(client)
        assert list(exchange.response.pieces) == stub_server.events()[:1]
        assert exchange.response.cut == by
        assert [finding.code for finding in check(exchange)] == codes
        aclient = session.aclient("all" if mode == "once" else mode, **more)
        with pytest.raises(kind):
            asyncio.run(read(aclient))
        assert exchanges(aclient)[0].response.cut == by


@pytest.mark.parametrize("looks", [False, True])
def test_a_body_that_is_there_before_its_client_reads_is_recorded(
    session: Session, looks: bool
) -> None:
    """A mock has it at once, and a transport may read what it hands on."""
    family = session.family
    mock = family.MockTransport(lambda request: family.Response(200, json={"mocked": True}))

    class Looks(family.BaseTransport, family.AsyncBaseTransport):
        def handle_request(self, request: Any) -> Any:
            with family.HTTPTransport() as inner:
                response = inner.handle_request(request)
                response.read()
            return response

        async def handle_async_request(self, request: Any) -> Any:
            async with family.AsyncHTTPTransport() as inner:
                response = await inner.handle_async_request(request)
                await response.aread()
            return response

    async def post(mode: str, **more: Any) -> Any:
        async with session.aclient(mode, **more) as client:
            return (await client.post(PATH, json=ask())).json()

    with session.client("once", transport=Looks() if looks else mock) as client:
        live = client.post(PATH, json=ask()).json()
        assert exchanges(client)[0].response.cut is None
    assert bool(live.get("mocked")) is not looks
    with session.client() as client:
        assert client.post(PATH, json=ask()).json() == live
        assert exchanges(client)[0].response.cut is None
    session.path.unlink()
    assert asyncio.run(post("once", transport=Looks() if looks else mock)) == live
    assert asyncio.run(post("none")) == live


def test_a_client_that_stops(session: Session) -> None:
    body = ask(stream=True)

    def first(client: Any) -> bytes:
        with client.stream("POST", PATH, json=body) as response:
            for piece in response.iter_raw():
                return bytes(piece)
        return b""

    with session.client("once") as client:
        assert first(client) == stub_server.events()[0]
    with session.client() as client:
        assert first(client) == stub_server.events()[0]
        (exchange,) = exchanges(client)
        assert exchange.response.cut == "client"
        assert check(exchange) == []
    with (
        session.client() as client,
        pytest.raises(UnrecordedRequest, match="ends where the recorded client stopped") as caught,
        client.stream("POST", PATH, json=body) as response,
    ):
        list(response.iter_raw())
    assert "interaction 0" in str(caught.value)


def test_a_cut_inside_a_character_keeps_the_text_readable(session: Session) -> None:
    body = ask("SPLIT", stream=True)

    def first(client: Any) -> bytes:
        with client.stream("POST", PATH, json=body) as response:
            return bytes(next(response.iter_raw()))

    with session.client("once") as client:
        live = first(client)
    assert live.endswith(b"\xc3")
    assert "!!binary" not in session.path.read_text()
    with session.client() as client:
        assert first(client) == live


def test_a_client_that_closes_after_done_had_everything(session: Session) -> None:
    with session.client("once") as client:
        with client.stream("POST", PATH, json=ask(stream=True)) as response:
            for line in response.iter_lines():
                if line == "data: [DONE]":
                    break
        (exchange,) = exchanges(client)
    assert exchange.response.cut is None


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_async(session: Session, server: Any, loop: str) -> None:
    text = f"HELD {session.path}"
    body = ask(text, stream=True)

    async def go(mode: str) -> list[bytes]:
        async with session.aclient(mode) as client:
            plain = await client.post(PATH, json=ask())
            assert plain.json()["object"] == "chat.completion"
            pieces = []
            server.turns[text].release()
            async with client.stream("POST", PATH, json=body) as response:
                async for piece in response.aiter_raw():
                    pieces.append(piece)
                    server.turns[text].release()  # the next is sent once this one is here
            return pieces

    def run(function: Callable[..., Any], *args: Any) -> Any:
        if loop == "trio":
            import trio

            return trio.run(function, *args)
        return asyncio.run(function(*args))

    assert run(go, "once") == stub_server.events()
    assert run(go, "none") == stub_server.events()


def test_a_cancelled_task_replays_as_one(
    session: Session, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"HELD {session.path}"
    body = ask(text, stream=True)
    before = stub_server.events()[:2]
    for _ in before:
        server.turns[text].release()

    stalls: list[float] = []

    async def go(mode: str) -> None:
        got: list[bytes] = []
        waiting = asyncio.Event()

        async def stall(seconds: float) -> None:
            stalls.append(seconds)
            waiting.set()
            await asyncio.Event().wait()

        async def read(client: Any) -> None:
            async with client.stream("POST", PATH, json=body) as response:
                async for piece in response.aiter_raw():
                    got.append(piece)
                    if mode == "once" and got == before:
                        waiting.set()

        monkeypatch.setattr(anyio, "sleep", stall)
        async with session.aclient(mode) as client:
            task = asyncio.create_task(read(client))
            await waiting.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert got == before
            assert client._transport.recorder.misses == []

    asyncio.run(go("once"))
    assert stalls == []
    asyncio.run(go("none"))
    assert stalls == [10]  # seconds to be cancelled in


def test_concurrent_requests_get_their_own_answers(session: Session) -> None:
    texts = [f"ECHO {number}" for number in range(20)]

    async def go(mode: str, order: list[str]) -> dict[str, str]:
        async with session.aclient(mode) as client:
            answers = await asyncio.gather(*(client.post(PATH, json=ask(text)) for text in order))
        said = [a.json()["choices"][0]["message"]["content"] for a in answers]
        return dict(zip(order, said, strict=True))

    wanted = {text: text for text in texts}
    assert asyncio.run(go("once", texts)) == wanted
    assert asyncio.run(go("none", texts[::-1])) == wanted


def test_equal_requests_replay_in_order_and_then_miss(session: Session) -> None:
    with session.client("once") as client:
        statuses = [client.post(PATH, json=ask(f"LIMIT {session.path}")).status_code for _ in "ab"]
    assert statuses == [429, 200]
    with session.client() as client:
        assert [
            client.post(PATH, json=ask(f"LIMIT {session.path}")).status_code for _ in "ab"
        ] == statuses
        with pytest.raises(
            UnrecordedRequest, match="has 2 recordings of this request, all already"
        ):
            client.post(PATH, json=ask(f"LIMIT {session.path}"))
    with session.client(allow_playback_repeats=True) as client:
        assert [
            client.post(PATH, json=ask(f"LIMIT {session.path}")).status_code for _ in "abc"
        ] == [429, 200, 200]


def test_miss(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    session.path = Path("c.yaml")
    with session.client("once") as client:
        client.post(PATH, json=ask("Hi", temperature=0.5))
    with session.client() as client, pytest.raises(UnrecordedRequest) as caught:
        client.post(PATH, json=ask("Ho", temperature=0.5, seed=1))
    assert str(caught.value).splitlines() == [
        "no recording for POST chat/completions gpt-5.2",
        "  because   c.yaml has no such request",
        "  nearest   interaction 0",
        "    $.messages[0].content",
        '      recorded "Hi"',
        '      sent     "Ho"',
        "    $.seed",
        "      recorded absent",
        "      sent     1",
        "  record it open the cassette with record_mode='new_episodes'",
    ]
    session.path = Path("gone.yaml")
    with session.client() as client, pytest.raises(UnrecordedRequest) as caught:
        client.post(PATH, json=ask("Hi"))
    assert str(caught.value).splitlines()[1:] == [
        "  because   the cassette gone.yaml does not exist",
        "  record it open the cassette with record_mode='once'",
    ]


def test_the_stream_flag_always_counts(session: Session) -> None:
    with session.client("once") as client:
        client.post(PATH, json=ask())
    with session.client(ignore_body=["$.messages"]) as client:
        with pytest.raises(UnrecordedRequest, match=r"\$\.stream"):
            client.post(PATH, json=ask("other", stream=True))
        assert client.post(PATH, json=ask("other")).status_code == 200


def test_modes(session: Session) -> None:
    def post(mode: str, *texts: str) -> None:
        with session.client(mode) as client:
            for text in texts:
                assert client.post(PATH, json=ask(text)).status_code == 200

    def recorded() -> list[str]:
        return [
            json.loads(i["request"]["body"])["messages"][0]["content"]
            for i in yaml.safe_load(session.path.read_text())["interactions"]
        ]

    post("once", "a", "b")
    with pytest.raises(UnrecordedRequest):
        post("once", "c")
    assert recorded() == ["a", "b"]
    before = session.path.read_bytes()
    post("new_episodes", "a", "c")
    assert recorded() == ["a", "b", "c"]
    assert session.path.read_bytes().startswith(before)
    post("all", "b", "d")
    assert recorded() == ["a", "c", "b", "d"]
    post("rewrite", "z")
    assert recorded() == ["z"]
    post("rewrite")
    assert not session.path.exists()  # as with pytest-recording
    session.path = session.path.parent / "folder" / "c.yaml"
    post("rewrite")
    assert not session.path.parent.exists()


def test_who_closes_twice_drops_what_was_there_once(session: Session) -> None:
    for text in "ab":
        transport = RecordReplayTransport(session.path, record_mode="rewrite")
        with transport, session.family.Client(transport=transport) as client:
            client.post(session.url + PATH, json=ask(text))
    (left,) = yaml.safe_load(session.path.read_text())["interactions"]
    assert json.loads(left["request"]["body"]) == ask("b")


def test_what_is_sent_keeps_its_secrets(session: Session) -> None:
    with session.client("once") as client:
        answer = client.post(f"{PATH}?api-key={SECRET}", json=ask(f"ECHO my key is {SECRET}"))
        assert SECRET in answer.text
        assert client.post(PATH, json=ask("again")).headers["set-cookie"]
    text = session.path.read_text()
    for leak in (
        SECRET,
        "s3cretC00kie99",
        "acme-org-1x",
        "req_0123",
        "authorization",
        "set-cookie",
    ):
        assert leak not in text, leak
    with session.client() as client:
        replayed = client.post(f"{PATH}?api-key={SECRET}", json=ask(f"ECHO my key is {SECRET}"))
        assert replayed.json()["choices"][0]["message"]["content"] == "ECHO my key is REDACTED"
        assert replayed.headers["openai-organization"] == "org-REDACTED"


def test_not_one_byte_of_a_planted_secret_reaches_the_disk(session: Session) -> None:
    """Two keys, one that looks like a key and one that was sent as one, everywhere at once."""
    shaped = "sk-" + "a1B2" * 6
    for key in (shaped, SECRET):
        data = key.encode()
        forms = {
            "plain": key,
            "base64": base64.b64encode(data).decode(),
            "base64 of gzip": base64.b64encode(gzip.compress(data)).decode(),
            "url-safe": base64.urlsafe_b64encode(b"\xff\xfe\xfd" + data).decode(),
            "hex": data.hex(),
            "percent": "".join(f"%{byte:02X}" for byte in data),
            "reversed twice": base64.b64encode(base64.b64encode(data)).decode(),
        }
        session.path = session.path.with_name(f"{len(key)}.yaml")
        with session.client("once") as client:
            for number, form in enumerate(forms.values()):
                answer = client.post(
                    f"{PATH}?api-key={quote(form)}&n={number}",
                    json=ask(f"ECHO {form}", metadata={form[:64]: form}),
                    headers={"x-custom": form, "cookie": f"session={form}", "api-key": form},
                )
                assert form in answer.json()["choices"][0]["message"]["content"]
            body = json.dumps(ask("GZIP " + key)).encode()
            zipped = gzip.compress(body)
            client.post(PATH, content=zipped, headers={"content-encoding": "gzip"})
        disk = session.path.read_bytes()
        assert b"REDACTED" in disk
        for name, form in forms.items():
            assert form.encode() not in disk, name
        assert not list(session.path.parent.glob("*.tmp"))
        with session.client() as client:
            for number, form in enumerate(forms.values()):
                client.post(
                    f"{PATH}?api-key=other&n={number}",
                    json=ask(f"ECHO {form}", metadata={form[:64]: form}),
                    headers={"api-key": form},
                )


def test_what_redaction_cannot_mask_is_not_written(session: Session) -> None:
    key = "sk-" + "a1B2" * 6
    # A stream that somebody pasted into a text that is no JSON, with the key spread over it.
    pieces = (key[:5], key[5:12], key[12:])
    events = (json.dumps({"choices": [{"index": 0, "delta": {"content": p}}]}) for p in pieces)
    pasted = json.dumps("".join(f"data: {event}\n\n" for event in events))[1:-1]
    client = session.client("once")
    client.request("GET", "/models", content=pasted)
    with pytest.raises(SecretError) as caught:
        client.close()
    said = str(caught.value)
    assert said.startswith(f"{session.path}: not written: the request of GET {session.url}/models")
    assert said.endswith("in the chatapi_config fixture, or keep it out of the test")
    assert key not in said
    assert not session.path.exists()


def test_a_name_that_holds_a_secret_is_not_written(session: Session) -> None:
    session.path = session.path.with_name("sk-" + "a1B2" * 6 + ".yaml")
    client = session.client("once")
    client.post(PATH, json=ask())
    with pytest.raises(
        SecretError, match="not written: the name of the cassette contains an API key"
    ):
        client.close()
    assert not session.path.exists()


def test_settings_are_checked(tmp_path: Path) -> None:
    for settings, message in (
        (
            {"record_mode": "allways"},
            "record_mode must be one of none, once, new_episodes, all",
        ),
        ({"match_on": ["headers"]}, "match_on cannot compare 'headers': use method, scheme"),
        ({"ignore_body": ["user"]}, "'user' is not a path: write one like"),
        ({"redact": ["("]}, "redact: '[(]' is not a regular expression"),
        ({"replay_speed": -1}, "replay_speed must be 0, 1 or another factor, not -1"),
        ({"redct": []}, "unknown setting 'redct': did you mean redact[?]$"),
        ({"zzz": 1}, "unknown setting 'zzz': use\n  normalize_body, record_mode, match_on, "),
    ):
        with pytest.raises(SettingError, match=message):
            RecordReplayTransport(tmp_path / "c.yaml", **settings)
