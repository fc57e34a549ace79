"""Figures by a real socket, live, replayed and read from the cassette, against those computed by
hand. No time is measured here: a server says when it wrote what.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import paced_server
import pytest
from paced_server import PacedServer, VirtualClock

from pytest_chatapi import AsyncRecordReplayTransport, RecordReplayTransport
from pytest_chatapi.cli.main import main
from pytest_chatapi.errors import ReadError
from pytest_chatapi.figures.measure import Figures, Timing, Tokens, figures_of
from pytest_chatapi.figures.price import Prices, Rates
from pytest_chatapi.reading.reader import read_file
from pytest_chatapi.recording import clock

PRICES = Prices({"m": Rates(2.0, 8.0, cached=0.5)})
DONE = b"data: [DONE]\n\n"


def event(usage: Any = None, finish: str | None = None, **delta: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}] if delta or finish else []
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1764000000,
        "model": "m",
        "choices": choices,
        **({"usage": usage} if usage else {}),
    }
    return f"data: {json.dumps(chunk)}\n\n".encode()


def usage(prompt: int, completion: int, **details: Any) -> dict[str, Any]:
    total = prompt + completion
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    return {**counts, **details}


def part(**function: Any) -> list[dict[str, Any]]:
    new = {"id": "call_1", "type": "function"} if "name" in function else {}
    return [{"index": 0, **new, "function": function}]


WHOLE = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1764000000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "finish_reason": "stop",
            }
        ],
        "usage": usage(10, 21, prompt_tokens_details={"cached_tokens": 4}),
    }
).encode()

# Chunks with their times, and what follows from them by hand. USD: 2 a million tokens of the
# prompt (0.50 cached), 8 of the completion.
CASES: dict[str, tuple[list[tuple[float, bytes]], Tokens, dict[str, Any], float | None]] = {
    "stream": (
        [
            (0.25, event(role="assistant", content="")),
            (0.5, event(content="Hello")),
            (0.6, event(content=" there")),
            (0.7, event(content="!")),
            (0.71, event(finish="stop")),
            (0.75, event(usage(10, 21)) + DONE),
        ],
        Tokens(10, 21, 31),
        {
            "total": 0.75,
            "first_chunk": 0.25,
            "first_token": 0.5,
            "first_answer": 0.5,
            "tokens_per_second": 100,  # 20 after the first, in 0.2 s
            "tokens_per_chunk": 7,
        },
        (10 * 2 + 21 * 8) / 1e6,
    ),
    "reasoning first": (
        [
            (0.1, event(role="assistant")),
            (0.3, event(reasoning_content="Let")),
            (0.5, event(reasoning_content=" me think")),
            (1.3, event(content="42")),
            (
                1.4,
                event(
                    usage(10, 31, completion_tokens_details={"reasoning_tokens": 29}), finish="stop"
                )
                + DONE,
            ),
        ],
        Tokens(10, 31, 41, reasoning=29),
        {
            "first_chunk": 0.1,
            "first_token": 0.3,
            "first_answer": 1.3,
            "tokens_per_second": 30,  # 30 in 1 s
            "longest_gap": 0.8,
        },
        (10 * 2 + 31 * 8) / 1e6,
    ),
    "tool call first": (
        [
            (0.2, event(role="assistant", tool_calls=part(name="get", arguments=""))),
            (0.4, event(tool_calls=part(arguments='{"a":'))),
            (0.6, event(tool_calls=part(arguments="1}"))),
            (0.8, event(usage(50, 9), finish="tool_calls") + DONE),
        ],
        Tokens(50, 9, 59),
        {"first_token": 0.2, "first_answer": 0.2, "tokens_per_second": 20, "token_chunks": 3},
        (50 * 2 + 9 * 8) / 1e6,
    ),
    "usage with each chunk": (
        [
            (0.5, event(usage(10, 3), role="assistant", content="One two three")),
            (1.0, event(usage(10, 7), content=" four five six seven")),
            (1.5, event(usage(10, 13), content=" and so on", finish="stop") + DONE),
        ],
        Tokens(10, 13, 23),
        {"first_chunk": 0.5, "first_token": 0.5, "tokens_per_second": 10},  # 13 - 3 in 1 s
        (10 * 2 + 13 * 8) / 1e6,
    ),
    "several chunks at once": (
        [
            (0.5, event(role="assistant", content="a") + event(content="b") + event(content="c")),
            (1.0, event(content="d") + event(content="e", finish="stop")),
            (1.1, event(usage(10, 51)) + DONE),
        ],
        Tokens(10, 51, 61),
        {"first_token": 0.5, "token_chunks": 5, "tokens_per_chunk": 10.2, "tokens_per_second": 100},
        (10 * 2 + 51 * 8) / 1e6,
    ),
    "usage absent": (
        [
            (0.2, event(role="assistant", content="a")),
            (0.4, event(content="b")),
            (0.6, event(finish="stop") + DONE),
        ],
        Tokens(),
        {
            "total": 0.6,
            "first_token": 0.2,
            "tokens_per_second": None,
            "tokens_per_chunk": None,
            "unmeasured": "the number of tokens is not reported",
        },
        None,
    ),
    "whole": (
        [(0.3, WHOLE[:40]), (0.4, WHOLE[40:])],
        Tokens(10, 21, 31, cached=4),
        {
            "total": 0.4,
            "first_chunk": 0.3,
            "first_token": None,
            "tokens_per_second": None,
            "unmeasured": "the response was not streamed",
        },
        (6 * 2 + 4 * 0.5 + 21 * 8) / 1e6,
    ),
}


@pytest.fixture(name="paced")
def virtual_pace(monkeypatch: pytest.MonkeyPatch) -> Iterator[PacedServer]:
    """The server, with a clock for it and for the recorder that only the pace moves."""
    virtual = VirtualClock()
    monkeypatch.setattr(clock, "_REAL", (time.time, virtual))
    with paced_server.running(virtual) as server:
        yield server


def ask(server: PacedServer, transport: RecordReplayTransport, *, stream: bool) -> list[float]:
    """When the client had each chunk, by the clock of the server."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    received = []
    with (
        httpx.Client(base_url=server.url, transport=transport) as client,
        client.stream(
            "POST", "/chat/completions", json=body, extensions={"trace": server.trace}
        ) as response,
    ):
        assert response.request.extensions["trace"] == server.trace
        for _ in response.iter_raw():
            received.append(server.clock())
            server.arrived()
    return received


def sent(transport: RecordReplayTransport, source: Any) -> Figures:
    (exchange,) = transport.recorder.exchanges
    return figures_of(exchange, source)


@pytest.mark.parametrize("case", CASES)
def test_figures_are_those_of_the_pace(case: str, paced: PacedServer, tmp_path: Path) -> None:
    paced.chunks, tokens, seconds, usd = CASES[case]
    is_stream = case != "whole"
    paced.content_type = "text/event-stream" if is_stream else "application/json"
    path = tmp_path / "c.yaml"
    recording = RecordReplayTransport(path, record_mode="once")
    ask(paced, recording, stream=is_stream)
    live = sent(recording, "live")
    assert live.tokens == tokens
    assert live.is_stream is is_stream
    for name, value in seconds.items():
        measured = getattr(live.timing, name)
        assert measured == (pytest.approx(value) if isinstance(value, float | int) else value), name
    assert PRICES.cost(live).usd == (None if usd is None else pytest.approx(usd))

    errors: list[ReadError] = []
    replaying = RecordReplayTransport(path, record_mode="none")
    ask(paced, replaying, stream=is_stream)
    replayed = sent(replaying, "replayed")
    (exchange,) = read_file(path, errors.append)
    for other in (replayed, figures_of(exchange, "recorded")):
        assert _rounded(other) == _rounded(dataclasses.replace(live, source=other.source))


def _rounded(figures: Figures) -> Any:
    """The figures to the microsecond: a cassette has milliseconds in decimal. Of findings their
    codes: places are those of a file.
    """
    codes = tuple({"code": finding["code"]} for finding in figures.findings)
    return json.loads(
        json.dumps(dataclasses.asdict(dataclasses.replace(figures, findings=codes))),
        parse_float=lambda text: round(float(text), 6),
    )


def test_real_time_is_between_the_server_and_the_client(tmp_path: Path) -> None:
    """However busy the machine is: a chunk is recorded after it was written, and before the client
    had it.
    """
    with paced_server.running() as server:
        server.chunks = CASES["stream"][0]
        transport = RecordReplayTransport(tmp_path / "c.yaml", record_mode="once")
        begun = server.clock()
        received = ask(server, transport, stream=True)
    (exchange,) = transport.recorder.exchanges
    times = exchange.response.times
    assert len(times) == len(received) == len(server.written)
    for measured, written, had in zip(times, server.written, received, strict=True):
        assert written - server.requested <= measured <= had - begun
    # From chunk to chunk, where it does not matter when the request was sent.
    rows = zip(pairwise(times), pairwise(server.written), pairwise(received), strict=True)
    for (before, after), (wrote, wrote_next), (had, had_next) in rows:
        assert wrote_next - had <= after - before <= had_next - wrote


def test_async_figures_are_those_of_the_pace(paced: PacedServer, tmp_path: Path) -> None:
    import asyncio

    paced.chunks, _, seconds, _ = CASES["stream"]
    transport = AsyncRecordReplayTransport(tmp_path / "c.yaml", record_mode="once")

    async def go() -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
        async with (
            httpx.AsyncClient(base_url=paced.url, transport=transport) as client,
            client.stream(
                "POST", "/chat/completions", json=body, extensions={"trace": paced.async_trace}
            ) as response,
        ):
            async for _ in response.aiter_raw():
                paced.arrived()

    asyncio.run(go())
    (exchange,) = transport.recorder.exchanges
    timing = figures_of(exchange, "live").timing
    assert {name: getattr(timing, name) for name in seconds} == pytest.approx(seconds)


# -- other recorders -----------------------------------------------------------------------------

STREAM = b"".join(chunk for _, chunk in CASES["stream"][0]).decode()
CHUNKS = [json.loads(line[6:]) for line in STREAM.splitlines() if line.startswith("data: {")]
ASKED = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True})
URL = "https://api.example.org/v1/chat/completions"
KIND = {"content-type": ["text/event-stream"]}
RESPONSE = {"body": {"string": STREAM}, "headers": KIND, "status": {"code": 200, "message": "OK"}}
FILES: dict[str, Any] = {
    "vcrpy.yaml": {
        "interactions": [
            {
                "request": {"body": ASKED, "headers": {}, "method": "POST", "uri": URL},
                "response": RESPONSE,
            }
        ],
        "version": 1,
    },
    "browser.har": {
        "log": {
            "version": "1.2",
            "entries": [
                {
                    "startedDateTime": "2026-11-25T10:00:00Z",
                    "time": 750,
                    "request": {
                        "method": "POST",
                        "url": URL,
                        "headers": [],
                        "postData": {"text": ASKED},
                    },
                    "response": {
                        "status": 200,
                        "headers": [{"name": "content-type", "value": "text/event-stream"}],
                        "content": {"mimeType": "text/event-stream", "text": STREAM},
                    },
                    "timings": {"send": 0, "wait": 250, "receive": 500},
                }
            ],
        }
    },
    "go-vcr.yaml": {
        "version": 2,
        "interactions": [
            {
                "id": 0,
                "request": {"body": ASKED, "headers": {}, "url": URL, "method": "POST"},
                "response": {
                    "body": STREAM,
                    "headers": KIND,
                    "status": "200 OK",
                    "code": 200,
                    "duration": "750ms",
                },
            }
        ],
    },
    "saved.sse": STREAM,
    "chunks.json": CHUNKS,
}


@pytest.mark.parametrize("name", FILES)
def test_other_recorders_keep_no_times(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_text(FILES[name] if isinstance(FILES[name], str) else json.dumps(FILES[name]))
    errors: list[ReadError] = []
    (exchange,) = read_file(path, errors.append)
    figures = figures_of(exchange, "recorded")
    assert errors == []
    assert (figures.tokens, figures.model, figures.is_stream) == (Tokens(10, 21, 31), "m", True)
    assert figures.timing == Timing(unmeasured="the times of arrival were not recorded")
    assert PRICES.cost(figures).usd == pytest.approx((10 * 2 + 21 * 8) / 1e6)
    assert main(["figures", str(path)]) == 0
    _, row, *_ = capsys.readouterr().out.splitlines()
    assert row.split() == ["m", "1", "10", "21"]  # no price, no times
