"""How a response is played to clients of both families, sync and async, without a socket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fixed_answer import FixedAnswer

from pytest_chatapi import AsyncRecordReplayTransport, RecordReplayTransport, UnrecordedRequest
from pytest_chatapi.recording.opening import open_recorder
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.recording.transport import family_of, is_sending, sending

URL = "http://x.example/"


class Reader:
    """Sends a request, and reads as many pieces of its response as it wants to."""

    def __init__(self, family: Any, is_async: bool) -> None:
        self.family, self.is_async = family, is_async
        self.pieces: list[bytes] = []
        self.response: Any = None

    def read(self, recorder: Recorder, most: int = 99, **settings: Any) -> list[bytes]:
        self.pieces = []
        if self.is_async:
            asyncio.run(self._aread(recorder, most, settings))
        else:
            self._read(recorder, most, settings)
        return self.pieces

    def _read(self, recorder: Recorder, most: int, settings: dict[str, Any]) -> None:
        transport = RecordReplayTransport(recorder)
        with (
            self.family.Client(transport=transport, **settings) as client,
            client.stream("GET", URL) as self.response,
        ):
            for piece in self.response.iter_bytes():
                self.pieces.append(piece)
                if len(self.pieces) == most:
                    break

    async def _aread(self, recorder: Recorder, most: int, settings: dict[str, Any]) -> None:
        transport = AsyncRecordReplayTransport(recorder)
        async with (
            self.family.AsyncClient(transport=transport, **settings) as client,
            client.stream("GET", URL) as self.response,
        ):
            async for piece in self.response.aiter_bytes():
                self.pieces.append(piece)
                if len(self.pieces) == most:
                    break


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def reader(request: pytest.FixtureRequest, family: Any) -> Reader:
    return Reader(family, request.param)


def recorder_of(speed: float = 0, **fields: Any) -> Recorder:
    return open_recorder(None, answers=FixedAnswer(**fields), replay_speed=speed)


def test_a_response_is_played(reader: Reader, slept: list[float]) -> None:
    headers = [("x-a", "1"), ("x-a", "2")]
    fields = {"status": 201, "headers": headers, "pieces": [b"a", b"b"], "times": [1.0, 3.0]}
    assert reader.read(recorder_of(reason="Cr\u00e9\u00e9", **fields)) == [b"a", b"b"]
    response = reader.response
    assert (response.status_code, response.reason_phrase) == (201, "Cr??")
    assert response.http_version == "HTTP/1.1"
    assert response.headers.multi_items() == headers
    assert slept == []
    reader.read(recorder_of(**fields))
    assert reader.response.reason_phrase == "Created"


def test_one_piece_of_a_mock_is_a_plain_response(reader: Reader) -> None:
    recorder = recorder_of(pieces=[b"abc"])
    assert reader.read(recorder) == [b"abc"]
    assert reader.response.headers["content-length"] == "3"
    (exchange,) = recorder.exchanges
    assert exchange.response is not None
    assert (exchange.response.content, exchange.response.cut) == (b"abc", None)


def test_what_is_read_is_what_was_received(reader: Reader) -> None:
    recorder = recorder_of(pieces=[b"a", b"b", b"c"])
    assert reader.read(recorder, 2) == [b"a", b"b"]
    (exchange,) = recorder.exchanges
    assert exchange.response is not None
    assert (exchange.response.content, exchange.response.cut) == (b"ab", "client")


def test_waits_end_with_the_read_timeout_of_the_client(reader: Reader, slept: list[float]) -> None:
    timeout = reader.family.Timeout(connect=1.0, read=2.0, write=3.0, pool=4.0)
    fields = {"pieces": [b"a", b"b", b"c"], "times": [0.5, 2.5, 5.5]}
    recorder = recorder_of(1, **fields)
    mock: Any = recorder.answers
    with pytest.raises(reader.family.ReadTimeout, match="no data came for 2 s"):
        reader.read(recorder, timeout=timeout)
    assert reader.pieces == [b"a", b"b"]
    assert slept == [0.5, 2.0, 2.0]
    assert mock.given_back == 1  # the client will send the request again
    slept.clear()
    assert reader.read(recorder_of(1, **fields), timeout=None) == [b"a", b"b", b"c"]
    assert slept == [0.5, 2.0, 3.0]
    mock.give_back = None
    with pytest.raises(reader.family.ReadTimeout):
        reader.read(recorder, timeout=timeout)
    assert mock.given_back == 1


@pytest.mark.parametrize(
    ("error", "kind", "wait"),
    [
        ("ConnectTimeout", "ConnectTimeout", 1.0),
        ("ReadTimeout", "ReadTimeout", 2.0),
        ("WriteTimeout", "WriteTimeout", 0.0),
        ("ConnectError", "ConnectError", 0.0),
        ("HTTPStatusError", "RemoteProtocolError", 0.0),
        ("Client", "RemoteProtocolError", 0.0),
        ("unheard of", "RemoteProtocolError", 0.0),
        ("", "RemoteProtocolError", 0.0),
    ],
)
def test_no_response_at_all(
    reader: Reader, slept: list[float], error: str, kind: str, wait: float
) -> None:
    timeout = reader.family.Timeout(connect=1.0, read=2.0, write=3.0, pool=4.0)
    for reason in ("", "the reason"):
        with pytest.raises(reader.family.TransportError) as caught:
            reader.read(recorder_of(status=0, error=error, reason=reason), timeout=timeout)
        assert type(caught.value).__name__ == kind
        assert str(caught.value) == (reason or kind)
        assert str(caught.value.request.url) == URL
    assert slept == [wait, wait]
    with pytest.raises(reader.family.TransportError):
        reader.read(recorder_of(status=0, error=error), timeout=None)
    assert slept[2:] == [0.0]


@pytest.mark.parametrize(
    ("cut", "error", "kind"),
    [
        ("server", "", "RemoteProtocolError"),
        ("server", "ReadError", "ReadError"),
        ("client", "ReadTimeout", "ReadTimeout"),
    ],
)
def test_a_cut_is_played(
    reader: Reader, slept: list[float], cut: str, error: str, kind: str
) -> None:
    recorder = recorder_of(pieces=[b"a", b"b"], cut=cut, error=error)
    text = "the connection ended here in the recording, after 2 pieces"
    with pytest.raises(getattr(reader.family, kind), match=text):
        reader.read(recorder)
    assert reader.pieces == [b"a", b"b"]
    assert recorder.misses == []
    assert slept == []


def test_a_client_that_reads_on_is_a_miss(reader: Reader, slept: list[float]) -> None:
    recorder = recorder_of(pieces=[b"a"], cut="client")
    with pytest.raises(UnrecordedRequest):
        reader.read(recorder)
    assert reader.pieces == [b"a"]
    assert len(recorder.misses) == 1
    # A task that was cancelled here while it was recorded is given the time to be cancelled again.
    assert slept == ([10.0] if reader.is_async else [])
    recorder = recorder_of(pieces=[b"a"], cut="client")
    assert reader.read(recorder, 1) == [b"a"]
    assert recorder.misses == []


# -- sending ---------------------------------------------------------------------------------------


def test_what_is_being_sent_belongs_to_one_recorder() -> None:
    one, other = open_recorder(None), open_recorder(None)
    assert not is_sending(one)
    with sending(one):
        assert is_sending(one)
        assert not is_sending(other)
        with sending(other):
            assert is_sending(other)
        assert is_sending(one)
    assert not is_sending(one)


class Refuses:
    """A transport of either kind that reaches nobody, and counts how often it was closed."""

    def __init__(self, family: Any) -> None:
        self.error, self.closed, self.sent_for = family.ConnectError("no"), 0, list[bool]()
        self.recorder: Recorder | None = None

    def handle_request(self, request: Any) -> Any:
        assert self.recorder is not None
        self.sent_for.append(is_sending(self.recorder))
        raise self.error

    async def handle_async_request(self, request: Any) -> Any:
        self.handle_request(request)

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.close()


def test_what_got_no_response_is_not_recorded(family: Any, tmp_path: Path) -> None:
    inner = Refuses(family)
    recorder = inner.recorder = open_recorder(tmp_path / "c.yaml", record_mode="once")
    with (
        family.Client(transport=RecordReplayTransport(recorder, transport=inner)) as client,
        pytest.raises(family.ConnectError) as caught,
    ):
        client.get(URL)

    async def get() -> None:
        transport = AsyncRecordReplayTransport(recorder, transport=inner)
        async with transport as same, family.AsyncClient(transport=same) as client:
            await client.get(URL)

    with pytest.raises(family.ConnectError):
        asyncio.run(get())
    assert caught.value is inner.error
    assert inner.sent_for == [True, True]
    assert recorder.unanswered == ["GET : ConnectError"] * 2
    assert inner.closed == 3  # by the client, and twice by those of the async one
    assert not recorder.save()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_cassette_is_written_by_the_transport_that_opened_it(
    family: Any, tmp_path: Path, is_async: bool
) -> None:
    mock = family.MockTransport(lambda request: family.Response(200, text="x"))
    path = tmp_path / "c.yaml"

    def send(target: Any, **options: Any) -> None:
        if not is_async:
            transport = RecordReplayTransport(target, transport=mock, **options)
            with family.Client(transport=transport) as client:
                client.get(URL)
            return

        async def get() -> None:
            atransport = AsyncRecordReplayTransport(target, transport=mock, **options)
            async with family.AsyncClient(transport=atransport) as client:
                await client.get(URL)

        asyncio.run(get())

    recorder = open_recorder(path, record_mode="once")
    send(recorder)
    assert not path.exists()  # its owner saves
    assert recorder.save()
    path.unlink()
    send(path, record_mode="once")
    assert path.exists()


def test_an_abandoned_response_is_written_too(family: Any, tmp_path: Path, server: Any) -> None:
    path = tmp_path / "c.yaml"
    with RecordReplayTransport(path, record_mode="once") as transport:
        response = transport.handle_request(family.Request("GET", f"{server.url}/models"))
        response.stream.close()
        begun = transport.handle_request(family.Request("GET", f"{server.url}/moved"))
        transport.recorder.finish()
        begun.stream.close()
    assert path.read_text().count("cut: client") == 1  # /moved has an empty body


def test_the_async_transport_serves_one_event_loop_after_another(family: Any, server: Any) -> None:
    """A connection that is kept alive belongs to its event loop, and nobody would close it."""
    transport = AsyncRecordReplayTransport(open_recorder(None))
    ports: set[int] = set()

    async def get() -> None:
        response = await transport.handle_async_request(
            family.Request("GET", f"{server.url}/models")
        )
        network = response.extensions["network_stream"]
        ports.add(network.get_extra_info("client_addr")[1])
        async for _ in response.stream:
            pass
        await response.stream.aclose()
        pool = transport._transport._pool
        assert pool.connections == []

    for _ in range(3):
        asyncio.run(get())
    assert len(ports) == 3
    asyncio.run(transport.aclose())


def test_requests_of_other_libraries_are_refused() -> None:
    class Other:
        pass

    with pytest.raises(TypeError, match="expected a request of httpx or httpx2, got Other"):
        family_of(Other())


def test_the_family_of_a_derived_request(family: Any) -> None:
    class Mine(family.Request):
        pass

    assert family_of(Mine("GET", URL)) is family
    assert family_of(family.Request("GET", URL)) is family


def test_the_body_is_a_stream_of_the_clients_family(family: Any) -> None:
    """Clients insist on it, and a stream type is made once."""
    kinds: list[type] = []
    transport = RecordReplayTransport(recorder_of(pieces=[b"a", b"b"]))
    for _ in "ab":
        response = transport.handle_request(family.Request("GET", URL))
        assert isinstance(response.stream, family.SyncByteStream)
        kinds.append(type(response.stream))
    assert kinds[0] is kinds[1]
