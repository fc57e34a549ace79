"""Recording and replay against vcrpy, respx and pytest-httpx, in one run.

    python benchmarks/bench_replay.py [--write] [--check]

Prints ratios, medians of several rounds, each side with a cassette that it recorded itself and
asked for every interaction in order. Times are CPU seconds, which other work on the machine
changes least; only the first chunk is timed by the clock. ``--write`` puts the table into
docs/benchmarks.md.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import respx
import table
import vcr
import yaml
from table import ROOT, Row, median

sys.path.insert(0, str(ROOT / "tests"))

import figures_reports
import stub_server
from traffic import ANSWER

from pytest_chatapi import RecordReplayTransport, Request
from pytest_chatapi.figures.page import page
from pytest_chatapi.figures.report import figures_of_row, report_of
from pytest_chatapi.recording.cassette import prepared, write
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.redaction.redactor import Redactor

URL = "https://api.openai.com/v1/chat/completions"


def ask(number: int) -> dict[str, Any]:
    text = f"question {number} " + "about something that takes a while to explain " * 12
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}


def own_cassette(path: Path, count: int) -> Path:
    """As this package records it."""
    headers = [("content-type", "application/json")]
    interactions = [
        Interaction(
            Request("POST", URL, dict(headers), json.dumps(ask(number)).encode()),
            200,
            "OK",
            headers,
            [json.dumps(ANSWER).encode()],
            [0.5],
            recorded_at="2026-11-25T10:00:00.000Z",
            request_headers=headers,
        )
        for number in range(count)
    ]
    redactor = Redactor(environ={})
    write(path, path.name, prepared(path, path.name, interactions, redactor))
    return path


def cassette(path: Path, count: int, answer: str | None = None) -> Path:
    """As vcrpy records it."""
    interactions = [
        {
            "request": {
                "body": json.dumps(ask(number)),
                "headers": {"content-type": ["application/json"]},
                "method": "POST",
                "uri": URL,
            },
            "response": {
                "body": {"string": answer or json.dumps(ANSWER)},
                "headers": {"content-type": ["application/json"]},
                "status": {"code": 200, "message": "OK"},
            },
        }
        for number in range(count)
    ]
    text = yaml.dump({"interactions": interactions, "version": 1}, Dumper=yaml.CSafeDumper)
    path.write_text(text)
    return path


def per_request(client: httpx.Client, numbers: list[int]) -> float:
    bodies = [json.dumps(ask(number)).encode() for number in numbers]
    headers = {"content-type": "application/json"}
    started = time.process_time()
    for body in bodies:
        assert client.post(URL, content=body, headers=headers).status_code == 200
    return (time.process_time() - started) / len(numbers)


def ours(path: Path, numbers: list[int]) -> float:
    with httpx.Client(transport=RecordReplayTransport(path)) as client:
        return per_request(client, numbers)


def theirs(path: Path, numbers: list[int], *match: str) -> float:
    matchers = ["method", "scheme", "host", "port", "path", "query", *match]
    with (
        vcr.VCR(match_on=matchers).use_cassette(str(path), record_mode="none"),
        httpx.Client() as client,
    ):
        return per_request(client, numbers)


def bare(numbers: list[int]) -> float:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=ANSWER)

    with httpx.Client(transport=httpx.MockTransport(handler)) as client:
        return per_request(client, numbers)


def mocked(numbers: list[int]) -> float:
    with respx.mock, httpx.Client() as client:
        respx.post(URL).respond(json=ANSWER)
        return per_request(client, numbers)


_NUMBERS = itertools.count()


def first_chunk(server: Any, path: Path | None) -> float:
    transport = None
    if path is not None:
        path.unlink(missing_ok=True)
        transport = RecordReplayTransport(path, record_mode="once")
    text = f"HELD {next(_NUMBERS)}"
    turns = server.turns[text]
    turns.release()  # the first chunk; the rest is not sent before that one is here
    body = {**ask(0), "stream": True, "messages": [{"role": "user", "content": text}]}
    with httpx.Client(transport=transport) as client:
        client.get(f"{server.url}/models")
        started = time.perf_counter()
        with client.stream("POST", f"{server.url}/chat/completions", json=body) as response:
            next(response.iter_raw())
            took = time.perf_counter() - started
    turns.release(len(stub_server.events()))
    return took


def typical_ours(path: Path) -> float:
    started = time.process_time()
    ours(path, [0, 1, 2, 3])
    return time.process_time() - started


def typical_theirs(path: Path) -> float:
    started = time.process_time()
    theirs(path, [0, 1, 2, 3])
    return time.process_time() - started


LOAD = """
import re, time
def peak():
    # Of this process alone: ru_maxrss is that of its parent where that is larger.
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
{imports}
before = peak()
started = time.process_time()
{load}
took = time.process_time() - started
print(took, peak() - before)
"""


def loaded(path: Path, imports: str, load: str) -> tuple[float, float]:
    code = LOAD.format(imports=imports, load=load.format(path=str(path)))
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    values = [tuple(map(float, run.stdout.split())) for run in runs]
    return statistics.median(v[0] for v in values), statistics.median(v[1] for v in values)


# Tests in turns with and without their figures, so that both see the same machine.
ACCOUNTED = """
import time
from statistics import median

import pytest
from pytest_chatapi.plugin.checking import Checks
from pytest_chatapi.plugin.run_summary import RunFigures
from pytest_chatapi.plugin.stash import RUN

note, took = Checks._note_figures, {True: [], False: []}

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    counts = len(took[True]) <= len(took[False])
    Checks._note_figures = note if counts else lambda self: None
    started = time.process_time_ns()
    result = yield
    took[counts].append(time.process_time_ns() - started)
    return result

def pytest_sessionfinish(session):
    run = session.config.stash[RUN]
    for _ in range(2):  # the first imports the lists of prices, once a run
        started = time.process_time_ns()
        list(RunFigures(run.tallies.values(), run.prices).lines(is_verbose=False))
        end = (time.process_time_ns() - started) / len(run.tallies)
    print("took", median(took[True]) + end, median(took[False]))
"""

TEST = """
import pytest

@pytest.mark.chatapi(cassette={path!r}, allow_playback_repeats=True)
@pytest.mark.parametrize("number", range(800))
def test_a(chatapi_client, number):
    assert chatapi_client.post("/chat/completions", json={body!r}).status_code == 200
"""


def accounted(folder: Path, path: Path) -> tuple[float, float]:
    """CPU seconds of a replayed test with its figures, and without."""
    (folder / "conftest.py").write_text(ACCOUNTED)
    (folder / "test_a.py").write_text(TEST.format(path=str(path), body=ask(0)))
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", str(folder)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    _, counted, bare = next(line for line in out.splitlines() if "took " in line).rsplit(" ", 2)
    return float(counted) / 1e9, float(bare) / 1e9


def reported(count: int) -> tuple[float, int]:
    """CPU seconds to write a report of so many exchanges, as JSON and as a page; its bytes."""
    exchanges = [figures_of_row(row) for row in figures_reports.report(count)["exchanges"]]
    started = time.process_time()
    report = report_of(exchanges, figures_reports.PRICES, {"kind": "pytest"})
    json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    written = page([("run", report)])
    return time.process_time() - started, len(written.encode())


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder, stub_server.running() as server:
        at = Path(folder)
        one, many = cassette(at / "1.yaml", 1), cassette(at / "1000.yaml", 1000)
        own_one, own_many = own_cassette(at / "o1.yaml", 1), own_cassette(at / "o1000.yaml", 1000)
        direct = median(lambda: first_chunk(server, None), 15)
        tee = median(lambda: first_chunk(server, at / "new.yaml"), 15)
        ratio = tee / direct
        how = f"{tee * 1000:.2f} vs {direct * 1000:.2f} ms"
        yield Row("first chunk while recording, to none at all", how, ratio, most=1.2)
        every = list(range(1000))
        with_many = median(lambda: ours(own_many, every))
        with_one = median(lambda: statistics.mean(ours(own_one, [0]) for _ in range(300)), 5)
        ratio = with_many / with_one
        how = f"{with_many * 1e6:.0f} vs {with_one * 1e6:.0f} us a request"
        yield Row("replay at 1,000 interactions, to at 1", how, ratio, most=1.1)
        some = list(range(0, 1000, 50))
        default = median(lambda: theirs(many, every), 1)
        body = median(lambda: theirs(many, some, "body"), 3)
        for name, other, target in (
            ("vcrpy, its default match, at 1,000", default, 50),
            ("vcrpy, matching bodies, at 1,000", body, 500),
        ):
            ratio = other / with_many
            how = f"{other * 1e3:.1f} ms vs {with_many * 1e6:.0f} us a request"
            yield Row(name, how, ratio, least=target)
        single = median(lambda: statistics.mean(theirs(one, [0]) for _ in range(50)), 5)
        ratio = single / with_one
        how = f"{single * 1e6:.0f} vs {with_one * 1e6:.0f} us a request"
        yield Row("vcrpy at 1 interaction", how, ratio, least=1.25)
        mock = median(lambda: mocked(every[:300]))
        how = f"{mock * 1e6:.0f} vs {with_many * 1e6:.0f} us a request"
        yield Row("respx, one route", how, mock / with_many)
        alone = median(lambda: bare(every))
        how = f"{alone * 1e6:.0f} vs {with_many * 1e6:.0f} us a request"
        yield Row("httpx alone, a bare MockTransport", how, alone / with_many)
        how = f"{default * 1e3:.1f} ms vs {alone * 1e6:.0f} us a request"
        yield Row("vcrpy, its default match, to httpx alone", how, default / alone)
        how = f"{body * 1e3:.1f} ms vs {alone * 1e6:.0f} us a request"
        yield Row("vcrpy, matching bodies, to httpx alone", how, body / alone)
        counted, plain = accounted(at, own_one)
        how = f"{counted * 1e3:.3f} vs {plain * 1e3:.3f} ms a test"
        share = (counted / plain - 1) * 100
        yield Row("figures of each test of a run, to none", how, share, most=1, unit="%")
        seconds, size = reported(10_000)
        how = f"10,000 exchanges, a page of {size / 1e6:.2f} MB"
        yield Row("report of a run, as JSON and as a page", how, seconds, most=3, unit="s")
        four, own_four = cassette(at / "4.yaml", 4), own_cassette(at / "o4.yaml", 4)
        fast = median(lambda: typical_ours(own_four), 15)
        slow = median(lambda: typical_theirs(four), 15)
        ratio = slow / fast
        how = f"{slow * 1e3:.1f} vs {fast * 1e3:.2f} ms"
        yield Row("vcrpy: a test of 4 requests, fresh client", how, ratio, least=10)
        large = cassette(at / "large.yaml", 1000, b"".join(stub_server.events() * 27).decode())
        size = large.stat().st_size / 1e6
        imports = "from vcr.cassette import FilesystemPersister as f, yamlserializer as y"
        vcr_time, vcr_memory = loaded(large, imports, "f.load_cassette({path!r}, y)")
        imports = "from pytest_chatapi.recording.cassette import Cassette"
        our_time, our_memory = loaded(large, imports, "c = Cassette({path!r})")
        ratio = vcr_time / our_time
        how = f"{size:.0f} MB; {vcr_time * 1e3:.0f} vs {our_time * 1e3:.0f} ms"
        yield Row("vcrpy: loading a large cassette", how, ratio, least=8)
        ratio = our_memory / vcr_memory
        how = f"{our_memory / 1024:.0f} vs {vcr_memory / 1024:.0f} MB"
        yield Row("memory of that, to vcrpy's", how, ratio, most=0.33)


def main() -> int:
    return table.show(rows(), "bench-replay", table.parser(__doc__).parse_args())


if __name__ == "__main__":
    sys.exit(main())
