"""The server beside aimock and LitServe: 200 streams at a time, in one run.

    CHATAPI_TEST_SERVERS=DIR python benchmarks/bench_server.py [--write] [--check]

All servers run at once, each a process of its own, and take turns. They stream the same number of
chunks with about the same few words; ours plays a cassette, and for comparison answers by a mock.
Each request asks for a model of its own, which has to come back in every chunk of its stream.
Medians of several rounds; a peer that `.ci/servers/setup DIR` did not install is left out.
``--write`` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import table
from table import ROOT, Row

sys.path.insert(0, str(ROOT / "tests" / "real"))

import real_servers

from pytest_chatapi import Request
from pytest_chatapi.mock import ChatMock
from pytest_chatapi.recording.cassette import prepared, write
from pytest_chatapi.recording.interaction import Interaction, redacted
from pytest_chatapi.redaction.redactor import Redactor

CLIENTS = 200
SECONDS = 1.5  # of a round; what is under way then is still waited for
ROUNDS = 7
STARTS = 11
CHUNKS = 14  # what LitServe makes of its words; the others are set to it
TEXT = "How can I help you today? I am a mock."  # 12 tokens of the mock
PATIENCE = 120.0
Command: TypeAlias = Callable[[int], list[str | Path]]
CHATAPI: list[str | Path] = [Path(sys.executable).with_name("chatapi"), "serve", "--port"]


# --- servers ----------------------------------------------------------------------------------


def asked(number: int) -> dict[str, Any]:
    hello = [{"role": "user", "content": "Hello"}]
    return {"model": f"bench-{number}", "messages": hello, "stream": True}


def write_cassette(path: Path) -> Path:
    """What the mock answers to each client, and to the question whether the server runs."""
    mock, redactor = ChatMock("bench"), Redactor(environ={})
    mock.reply(TEXT)
    url, headers = "https://api.openai.com/v1/", {"content-type": "application/json"}
    requests = [
        Request("POST", f"{url}chat/completions", headers, json.dumps(asked(number)).encode())
        for number in range(CLIENTS)
    ]
    interactions: list[Interaction] = []
    for request in (Request("GET", f"{url}models"), *requests):
        made = mock.answer(request)
        assert made is not None
        made.times = [0.0] * len(made.pieces)
        made.recorded_at = "2026-11-25T10:00:00.000Z"
        interactions.append(redacted(made, redactor))
    write(path, path.name, prepared(path, path.name, interactions, redactor))
    return path


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[dict[str, int]]:
    """The ports of those that can be had."""
    answers = folder / "answers.py"
    answers.write_text(f"def answer(mock):\n    mock.reply({TEXT!r})\n")
    cassette = write_cassette(folder / "bench.yaml")

    def played(port: int) -> list[str | Path]:
        return [*CHATAPI, str(port), cassette, "--speed", "0"]

    def mocked(port: int) -> list[str | Path]:
        return [*CHATAPI, str(port), "--mock", answers]

    def aimock(port: int) -> list[str | Path]:
        return [*real_servers.aimock(port), "--chunk-size", "4"]

    commands = {
        "cassette": (played, "/v1/models"),
        "mock": (mocked, "/v1/models"),
        "aimock": (aimock, "/health"),
        "LitServe": (real_servers.litserve, "/health"),
    }
    ports: dict[str, int] = {}
    with contextlib.ExitStack() as running:
        for name, (command, path) in commands.items():
            try:
                server = real_servers.started(command, folder / f"{name}.log", path)
                ports[name] = running.enter_context(server)
            except real_servers.Unavailable as missing:
                print(f"{name} is left out: {missing}", file=sys.stderr)
        yield ports


# --- load -------------------------------------------------------------------------------------


def on_the_wire(number: int) -> bytes:
    body = json.dumps(asked(number)).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {real_servers.KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Client(asyncio.Protocol):
    """One connection, on which stream follows stream; nobody looks into them before the end.

    Attributes:
        asked: how many streams.
        streams: those that came, as they came.
        waits: seconds from each request to the first byte of its first chunk.
    """

    def __init__(self, number: int) -> None:
        self.number, self.asked = number, 0
        self._question = on_the_wire(number)
        self.streams: list[bytearray] = []
        self.waits: list[float] = []
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def ask(self, until: float) -> None:
        """Goes on asking until then; at least once."""
        self.asked += 1
        self._until, self._data, self._waits = until, bytearray(), True
        self._started = time.perf_counter()
        self._transport.write(self._question)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._waits and b"data: " in self._data:
            self.waits.append(time.perf_counter() - self._started)
            self._waits = False
        if self._data.endswith(b"\r\n0\r\n\r\n"):
            self.streams.append(self._data)
            if time.perf_counter() < self._until:
                self.ask(self._until)
            else:
                self._transport.close()
        elif not self._data.startswith(b"HTTP/1.1 200"):
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set_result(None)


def content(stream: bytes, model: str) -> str | None:
    """The words of a stream; ``None`` where it is not whole, or not the one that was asked for."""
    head, _, rest = stream.partition(b"\r\n\r\n")
    if b"chunked" not in head.lower():
        return None
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body += rest[:length]
        rest = rest[length + 2 :]
    *events, done, nothing = body.split(b"\n\n")
    if nothing or done != b"data: [DONE]" or len(events) != CHUNKS:
        return None
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    if any(chunk["model"] != model for chunk in chunks):
        return None
    if chunks[-1]["choices"][0]["finish_reason"] != "stop":
        return None
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


@dataclass
class Round:
    """What came of all clients asking.

    Attributes:
        rate: streams a second.
        wait: seconds to the first chunk, the median.
        busy: the part of the time that this process, the clients, was at work.
        asked, lost: streams; lost is what did not come, or not as it should.
    """

    rate: float
    wait: float
    busy: float
    asked: int
    lost: int


async def connect(port: int, number: int) -> Client:
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(lambda: Client(number), "127.0.0.1", port))[1]


async def load(port: int, clients: int, words: str) -> Round:
    connected = [await connect(port, number) for number in range(clients)]
    started, worked = time.perf_counter(), time.process_time()
    for one in connected:
        one.ask(started + SECONDS)
    await asyncio.wait([one.ended for one in connected], timeout=PATIENCE)
    took, worked = time.perf_counter() - started, time.process_time() - worked
    whole = sum(
        content(bytes(stream), f"bench-{one.number}") == words
        for one in connected
        for stream in one.streams
    )
    waits = [wait for one in connected for wait in one.waits]
    asked = sum(one.asked for one in connected)
    return Round(whole / took, statistics.median(waits), worked / took, asked, asked - whole)


async def words_of(port: int) -> str:
    """What a server says to each client; that it says it in so many chunks, too."""
    client = await connect(port, 0)
    client.ask(0)
    await client.ended
    words = content(bytes(client.streams[0]), "bench-0") if client.streams else None
    if not words:
        raise RuntimeError(f"is not a stream of {CHUNKS} chunks: {client.streams}")
    return words


# --- the start --------------------------------------------------------------------------------


def first_response(command: Command) -> float:
    """Seconds from the start of a server to the end of its first response."""
    port = real_servers.free_port()
    question = {"model": "bench", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"content-type": "application/json", "authorization": f"Bearer {real_servers.KEY}"}
    quiet = subprocess.DEVNULL
    started = time.perf_counter()
    # Without bytecode on disk, each start would compile all of it.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        command(port), stdin=quiet, stdout=quiet, stderr=quiet, env=environment
    )
    try:
        while True:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            try:
                client.request("POST", "/v1/chat/completions", json.dumps(question), headers)
                response = client.getresponse()
                response.read()
            except ConnectionError:
                if process.poll() is not None or time.perf_counter() > started + PATIENCE:
                    raise RuntimeError("the server does not respond") from None
                time.sleep(0.002)
                continue
            finally:
                client.close()
            if response.status != 200:
                raise RuntimeError(f"the first response is a {response.status}")
            return time.perf_counter() - started
    finally:
        process.terminate()
        process.wait()


def start_row(folder: Path) -> Row:
    """The mock and aimock, started in turns."""
    answers = folder / "start.py"
    answers.write_text("def answer(mock):\n    mock.reply()\n")
    try:
        real_servers.part("aimock")
    except real_servers.Unavailable:
        return Row("aimock: the first response after a start", "left out: not installed", None)
    commands: tuple[Command, Command] = (
        lambda port: [*CHATAPI, str(port), "--mock", answers],
        real_servers.aimock,
    )
    for command in commands:  # fills the caches
        first_response(command)
    turns = [[first_response(command) for command in commands] for _ in range(STARTS)]
    one, two = (statistics.median(times) * 1000 for times in zip(*turns, strict=True))
    how = f"{one:.0f} vs {two:.0f} ms"
    return Row("aimock: the first response after a start", how, one / two, most=1.0)


# --- the table --------------------------------------------------------------------------------


@dataclass
class Side:
    """The rounds of one server, under load and alone."""

    port: int
    words: str
    under_load: list[Round] = field(default_factory=list)
    alone: list[Round] = field(default_factory=list)

    def play(self) -> None:
        self.alone.append(asyncio.run(load(self.port, 1, self.words)))
        self.under_load.append(asyncio.run(load(self.port, CLIENTS, self.words)))

    @property
    def rate(self) -> float:
        return statistics.median(round_.rate for round_ in self.under_load)

    @property
    def lost(self) -> str:
        rounds = (*self.under_load, *self.alone)
        lost, asked = sum(r.lost for r in rounds), sum(r.asked for r in rounds)
        return f"{lost} of {asked:,}"


def wait(rounds: list[Round]) -> float:
    return statistics.median(round_.wait for round_ in rounds) * 1000


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        yield start_row(Path(folder))
    with tempfile.TemporaryDirectory() as folder, servers(Path(folder)) as ports:
        sides = {name: Side(port, asyncio.run(words_of(port))) for name, port in ports.items()}
        for _ in range(ROUNDS):
            for side in sides.values():
                side.play()
    ours = sides["cassette"]
    for name in ("aimock", "LitServe"):
        if name not in sides:
            yield Row(name, "left out: not installed", None)
            continue
        other = sides[name]
        how = f"{ours.rate:,.0f} vs {other.rate:,.0f} streams/s; "
        how += f"{ours.rate * CHUNKS:,.0f} vs {other.rate * CHUNKS:,.0f} chunks/s"
        what = f"{name}: streams of {CHUNKS} chunks, {CLIENTS} at a time"
        yield Row(what, how, ours.rate / other.rate)
        one, two = wait(ours.under_load), wait(other.under_load)
        yield Row(f"{name}: first chunk of those", f"{one:.1f} vs {two:.1f} ms", one / two)
        one, two = wait(ours.alone), wait(other.alone)
        yield Row(f"{name}: first chunk, one at a time", f"{one:.2f} vs {two:.2f} ms", one / two)
    mock = sides["mock"]
    how = f"{mock.rate:,.0f} vs {ours.rate:,.0f} streams/s"
    yield Row("the mock, to the cassette", how, mock.rate / ours.rate)
    lost = sum(r.lost for r in (*ours.under_load, *ours.alone, *mock.under_load, *mock.alone))
    how = "; ".join(f"{name} {side.lost}" for name, side in sides.items())
    yield Row("streams lost by us", how, lost, most=0, unit="streams")
    busy = {
        name: statistics.median(round_.busy for round_ in side.under_load)
        for name, side in sides.items()
    }
    how = ", ".join(f"{name} {share:.0%}" for name, share in busy.items())
    yield Row("the clients, of one core", how, 100 * max(busy.values()), unit="%")


def main() -> int:
    return table.show(rows(), "bench-server", table.parser(__doc__).parse_args())


if __name__ == "__main__":
    sys.exit(main())
