"""The mock against a bare `httpx.MockTransport`, in one run.

    python benchmarks/bench_mock.py [--write]

Each side answers the same 1 KB completion; medians of several rounds that take turns, in CPU
seconds. ``--write`` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import httpx
import respx
import table

from pytest_chatapi import RecordReplayTransport
from pytest_chatapi.mock import ChatMock, text
from pytest_chatapi.mock.generated import stamp_of
from pytest_chatapi.recording.opening import open_recorder

URL = "https://api.openai.com/v1/chat/completions"
REPLY = text("A text of some words. " * 27)
COUNT = 500
ROUNDS = 9


def ask(number: int) -> bytes:
    messages = [
        {"role": "system", "content": "You are a helpful assistant. " * 10},
        {"role": "user", "content": f"question {number}"},
    ]
    return json.dumps({"model": "gpt-4o-mini", "messages": messages}).encode()


COMPLETION = REPLY.completion(json.loads(ask(0)), stamp_of("bench", 0))


def per_request(client: httpx.Client, bodies: list[bytes]) -> float:
    headers = {"content-type": "application/json"}
    started = time.process_time()
    for body in bodies:
        assert client.post(URL, content=body, headers=headers).json()["choices"]
    return (time.process_time() - started) / len(bodies)


def bare(bodies: list[bytes]) -> float:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=COMPLETION)

    with httpx.Client(transport=httpx.MockTransport(handler)) as client:
        return per_request(client, bodies)


def mocked(bodies: list[bytes], routes: int = 0) -> float:
    mock = ChatMock("bench")
    for number in range(routes):
        mock.chat(prompt=f"question {number}").reply(REPLY)
    if not routes:
        mock.reply(REPLY)
    transport = RecordReplayTransport(open_recorder(None, answers=mock))
    with httpx.Client(transport=transport) as client:
        return per_request(client, bodies)


def with_respx(bodies: list[bytes]) -> float:
    with respx.mock, httpx.Client() as client:
        respx.post(URL).respond(json=COMPLETION)
        return per_request(client, bodies)


SAME = [ask(7)] * COUNT
EACH = [ask(number) for number in range(COUNT)]
SIDES: dict[str, Callable[[], float]] = {
    "bare": lambda: bare(SAME),
    "mock": lambda: mocked(SAME),
    "mock, each": lambda: mocked(EACH),
    "one route": lambda: mocked(SAME, 8),
    "routes": lambda: mocked(SAME, 1000),
    "routes, each": lambda: mocked(EACH, 1000),
    "respx": lambda: with_respx(SAME),
}
ROWS: list[tuple[str, str, str, float | None]] = [
    ("a reply of 1 KB, to a bare MockTransport", "mock", "bare", 1.2),
    ("the same, each request another", "mock, each", "bare", None),
    ("1,000 routes keyed by body, to one", "routes", "one route", 1.5),
    ("the same, each request another", "routes, each", "mock, each", None),
    ("respx, one route, to a bare MockTransport", "respx", "bare", None),
]


def rows() -> Iterator[table.Row]:
    times: dict[str, list[float]] = {name: [] for name in SIDES}
    for _ in range(ROUNDS):
        for name, run in SIDES.items():
            gc.collect()  # what one side leaves behind is not for the next to clear away
            times[name].append(run())
    medians = {name: statistics.median(found) for name, found in times.items()}
    for what, one, other, most in ROWS:
        how = f"{medians[one] * 1e6:.0f} vs {medians[other] * 1e6:.0f} us a request"
        yield table.Row(what, how, medians[one] / medians[other], most=most)


def main() -> int:
    return table.show(rows(), "bench-mock", table.parser(__doc__).parse_args())


if __name__ == "__main__":
    sys.exit(main())
