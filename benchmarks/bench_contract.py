"""What a check costs, as ratios to the cheapest thing that has to be done anyway.

    python benchmarks/bench_contract.py [--rounds N] [--write] [--check]

Ratios hold between machines where microseconds do not. Subject and base are measured in turns,
in the same process, in CPU seconds, with the garbage collector as users have it; each figure is
the median of the rounds. ``--write`` puts the table into docs/benchmarks.md; ``--check`` ends
with 1 when a target is missed.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import entry_points
from itertools import count
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import table
from table import ROOT, Row

sys.path.insert(0, str(ROOT))

from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.exchange import Exchange, Request, Response, fold_headers
from pytest_chatapi.contract.schemas import load

CHUNKS = 10_000
WORDS = "The quick brown fox, it is said, jumps over lazy dogs at night.\n".split(" ")
URL = "https://api.openai.com/v1/chat/completions"
Call = Callable[[], object]
drop = deque[object](maxlen=0).extend  # exhausts an iterable and keeps nothing of it


# --- data -------------------------------------------------------------------------------------


def chunk(rng: random.Random, **delta: Any) -> dict[str, Any]:
    """A chunk as the reference service sends it; about 300 bytes a line."""
    return {
        "id": "chatcmpl-CkQ3JPlYQpuxd1Nw1Px8bcO9tTq2A",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "gpt-5.1-2025-11-13",
        "service_tier": "default",
        "system_fingerprint": "fp_50906f2aac",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}],
        "usage": None,
        "obfuscation": "aB3dE5gH7"[: rng.randint(1, 9)],
    }


def token(rng: random.Random, text: str, top: int) -> dict[str, Any]:
    one = {"token": text, "logprob": -round(rng.random() * 9, 8), "bytes": list(text.encode())}
    return {**one, "top_logprobs": [{**one, "logprob": -i - rng.random()} for i in range(top)]}


def whole(rng: random.Random, chunks: Iterable[dict[str, Any]], finish: str) -> list[str]:
    """The data lines of a stream around these chunks."""
    first, last, usage = chunk(rng, role="assistant", content=""), chunk(rng), chunk(rng)
    last["choices"][0]["finish_reason"] = finish
    usage["choices"] = []
    usage["usage"] = {"prompt_tokens": 9, "completion_tokens": 9_999, "total_tokens": 10_008}
    return [json.dumps(c, separators=(",", ":")) for c in (first, *chunks, last, usage)]


def text_stream(rng: random.Random, size: int = CHUNKS) -> list[str]:
    words = (f" {rng.choice(WORDS)}" for _ in range(size - 3))
    return whole(rng, (chunk(rng, content=word) for word in words), "stop")


def logprobs_stream(rng: random.Random) -> list[str]:
    chunks = []
    for _ in range(CHUNKS // 4):
        chunks.append(chunk(rng, content=(word := f" {rng.choice(WORDS)}")))
        tokens = {"content": [token(rng, word, 2)], "refusal": None}
        chunks[-1]["choices"][0]["logprobs"] = tokens
    return whole(rng, chunks, "stop")


def fragment(index: int, arguments: str, **head: Any) -> dict[str, Any]:
    name = {"name": "look_up"} if head else {}
    return {"index": index, **head, "function": {**name, "arguments": arguments}}


def tool_stream(rng: random.Random, calls: int = 4) -> list[str]:
    chunks = []
    for index in range(calls):
        head = {"id": f"call_{index}", "type": "function"}
        pieces = ['"', *(f"{rng.choice(WORDS).strip()} " for _ in range(CHUNKS // calls - 4)), '"}']
        chunks.append(chunk(rng, tool_calls=[fragment(index, '{"q":', **head)]))
        chunks += [chunk(rng, tool_calls=[fragment(index, piece)]) for piece in pieces]
    return whole(rng, chunks, "tool_calls")


def uneven_stream(rng: random.Random) -> list[str]:
    """No two lines have one shape: unknown keys, subsets of the optional, tokens, calls."""
    chunks = []
    for number in range(CHUNKS - 3):
        one = chunk(rng, content=(word := f" {rng.choice(WORDS)}"))
        choice, unique = one["choices"][0], f"x{rng.getrandbits(32):x}_{number}"
        for key in ("service_tier", "system_fingerprint", "usage", "obfuscation"):
            if rng.random() < 0.5:
                del one[key]
        rng.choice([one, choice, choice["delta"]])[unique] = rng.choice([1, "a", None, [1], {}])
        if number % 4 == 0:
            tokens = [token(rng, word, rng.randint(0, 2)) for _ in range(rng.randint(1, 2))]
            choice["logprobs"] = {"content": tokens, "refusal": None}
        elif number % 4 == 1:
            head = {} if number > 1 else {"id": "call_0", "type": "function"}
            choice["delta"]["tool_calls"] = [{**fragment(0, word, **head), unique: number}]
        chunks.append(one)
    return whole(rng, chunks, "tool_calls")


def sse(lines: Iterable[str]) -> bytes:
    return "".join(f"data: {line}\n\n" for line in (*lines, "[DONE]")).encode()


def request(**extra: Any) -> Request:
    question = {"model": "gpt-5.1", "messages": [{"role": "user", "content": "Hello!"}], **extra}
    return Request("POST", URL, {"content-type": "application/json"}, json.dumps(question).encode())


def response() -> bytes:
    """One answer of about 1 KB, as the documentation shows it."""
    details = ("reasoning_tokens", "audio_tokens", "accepted_prediction_tokens")
    message = {"role": "assistant", "content": "Hello! " * 40, "refusal": None, "annotations": []}
    answer = chunk(random.Random(0), **message) | {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 19,
            "completion_tokens": 80,
            "total_tokens": 99,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {**dict.fromkeys(details, 0)},
        },
    }
    del answer["obfuscation"]
    return json.dumps(answer, indent=2).encode()


def cassettes(folder: Path, files: int = 10, interactions: int = 20) -> None:
    """vcrpy cassettes, half of the answers streamed."""
    import yaml

    rng = random.Random(6)
    headers = {f"X-Header-{i}": [f"value {i}"] for i in range(12)}
    for number in range(files):
        recorded = []
        for turn in range(interactions):
            streams = turn % 2 == 1
            body = sse(text_stream(rng, 40)) if streams else response()
            kind = "text/event-stream; charset=utf-8" if streams else "application/json"
            asked = request(stream=True) if streams else request()
            question = {"method": "POST", "uri": URL, "headers": headers, "body": asked.body}
            answer = {
                "status": {"code": 200, "message": "OK"},
                "headers": {"Content-Type": [kind], **headers},
                "body": {"string": body.decode()},
            }
            question["body"] = asked.body.decode()
            recorded.append({"request": question, "response": answer})
        with open(folder / f"{number}.yaml", "w", encoding="utf-8") as file:
            yaml.dump({"interactions": recorded, "version": 1}, file, Dumper=yaml.CSafeDumper)


# --- measuring --------------------------------------------------------------------------------


def cpu_seconds() -> float:
    """Of this process and of the children that it waited for."""
    times = os.times()
    return times.children_user + times.children_system + process_time()


def seconds(call: Call) -> float:
    start = cpu_seconds()
    call()
    return cpu_seconds() - start


def in_turns(rounds: int, prepare: Callable[[], tuple[Call, Call]]) -> tuple[float, float, float]:
    """Median seconds of subject and base, and of their ratio; `prepare` runs before each round."""
    took: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        subject, base = prepare()
        order = (subject, base) if number % 2 else (base, subject)
        pair = {call: seconds(call) for call in order}
        took.append((pair[subject], pair[base]))
    warm = took[1:]  # the first round fills caches
    return median(s for s, _ in warm), median(b for _, b in warm), median(s / b for s, b in warm)


def parse(lines: Iterable[str]) -> None:
    for line in lines:
        json.loads(line)


def stream_row(
    name: str,
    rounds: int,
    make: Callable[[random.Random], list[str]],
    target: float | None = None,
    check: Callable[[list[str]], Call] | None = None,
    **asked: Any,
) -> Row:
    """A stream against `json.loads` of its lines; of new lines in each round."""
    seeds, sizes = count(1), []

    def prepare() -> tuple[Call, Call]:
        lines = make(random.Random(next(seeds)))
        sizes[:] = [len(lines), sum(map(len, lines)) // len(lines)]
        if check is not None:
            return check(lines), lambda: parse(lines)
        question = request(stream=True, stream_options={"include_usage": True}, **asked)
        exchange = Exchange(question, Response(200, EVENTS, sse(lines)))
        return lambda: check_exchange(exchange), lambda: parse(lines)

    subject, base, ratio = in_turns(rounds, prepare)
    each = f"{subject / sizes[0] * 1e6:.1f} vs {base / sizes[0] * 1e6:.1f} us"
    return Row(name, f"{sizes[0]:,} lines of {sizes[1]} B; {each} a line", ratio, target)


EVENTS = {"content-type": "text/event-stream; charset=utf-8"}
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]


def stream_rows(rounds: int) -> Iterator[Row]:
    logprobs: dict[str, Any] = {"logprobs": True, "top_logprobs": 2}
    name = "stream, every line of another shape"
    yield stream_row("text stream", rounds, text_stream, 5)
    yield stream_row(name, rounds, uneven_stream, 8, tools=TOOLS, **logprobs)
    yield stream_row("logprobs stream", rounds, logprobs_stream, **logprobs)
    yield stream_row("tool-call stream", rounds, tool_stream, tools=TOOLS)


def response_rows(rounds: int, repeats: int = 1000) -> Iterator[Row]:
    body, headers = response(), fold_headers({"content-type": "application/json"})
    text = body.decode()
    for name, asked in (("with its request", request()), ("alone", None)):
        exchange = Exchange(asked, Response(200, headers, body))
        subject, base, ratio = in_turns(
            rounds,
            lambda exchange=exchange: (
                lambda: drop(check_exchange(exchange) for _ in range(repeats)),
                lambda: parse([text] * repeats),
            ),
        )
        detail = f"{len(body)} B; json.loads {base / repeats * 1e6:.1f} us, ratio {ratio:.1f}"
        target = None if asked else 40  # the target is about the response
        yield Row(f"one response, {name}", detail, subject / repeats * 1e6, target, unit="us")


def peer_rows(rounds: int) -> Iterator[Row]:
    import jsonschema

    schema = load("chunk").schema
    validator = jsonschema.Draft202012Validator(schema)

    def built_once(lines: list[str]) -> Call:
        return lambda: drop(list(validator.iter_errors(json.loads(line))) for line in lines)

    def each_time(lines: list[str]) -> Call:
        return lambda: drop(jsonschema.validate(json.loads(line), schema) for line in lines)

    few = min(rounds, 3)
    for name, size, check in (
        ("peer: jsonschema, validator built once", 500, built_once),
        ("peer: jsonschema.validate a chunk", 10, each_time),
    ):
        yield stream_row(name, few, lambda rng, n=size: text_stream(rng, n), check=check)


def cassette_row(rounds: int) -> Row:
    name = "YAML cassettes against CSafeLoader"
    try:
        import yaml

        from pytest_chatapi.reading.reader import read
    except ImportError as error:
        return Row(name, str(error), None, 1)
    with tempfile.TemporaryDirectory() as folder:
        cassettes(Path(folder))
        files = sorted(Path(folder).iterdir())

        def load_all() -> None:
            for path in files:
                with open(path, encoding="utf-8") as file:
                    yaml.load(file, Loader=yaml.CSafeLoader)

        calls: tuple[Call, Call] = (lambda: [[*read(path)] for path in files], load_all)
        subject, base, ratio = in_turns(rounds, lambda: calls)
        size = sum(path.stat().st_size for path in files) / 1e6
    return Row(name, f"{size:.1f} MB; {subject * 1e3:.0f} vs {base * 1e3:.0f} ms", ratio, 1)


PEAK = """
import sys, tracemalloc
sys.path.insert(0, sys.argv[2])
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.reading.reader import read
tracemalloc.start()
for exchange in read(sys.argv[1]):
    assert check_exchange(exchange).answer.whole
print(tracemalloc.get_traced_memory()[1])
"""


def memory_row() -> Row:
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for size in (CHUNKS, CHUNKS * 10):
            path = Path(folder) / f"{size}.sse"
            path.write_bytes(sse(text_stream(random.Random(7), size)))
            command = [sys.executable, "-c", PEAK, str(path), str(ROOT)]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks.append(int(run.stdout))
    detail = f"10,000: {peaks[0] / 1e3:,.0f} kB, 100,000: {peaks[1] / 1e3:,.0f} kB"
    return Row("peak memory, 10 times the stream", detail, peaks[1] / peaks[0], 1.1)


def process_row(name: str, rounds: int, folder: str, subject: list[str], base: list[str]) -> Row:
    def run(arguments: list[str]) -> Call:
        command = [sys.executable, *arguments]
        return lambda: subprocess.run(command, cwd=folder, capture_output=True)

    took, base_took, ratio = in_turns(rounds, lambda: (run(subject), run(base)))
    return Row(name, f"{took * 1e3:.0f} vs {base_took * 1e3:.0f} ms", ratio)


def start_rows(rounds: int) -> Iterator[Row]:
    root = str(ROOT)
    yield process_row(
        "import pytest_chatapi", rounds, root, ["-c", "import pytest_chatapi"], ["-c", "pass"]
    )
    name = "pytest --collect-only, plugin idle"
    if not entry_points(group="pytest11", name="chatapi"):
        yield Row(name, "the plugin is not installed", None)
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_nothing.py").touch()
        base = ["-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
        yield process_row(name, rounds, folder, base, [*base, "-p", "no:chatapi"])


def rows(rounds: int) -> Iterator[Row]:
    yield from stream_rows(rounds)
    yield from response_rows(rounds)
    yield from peer_rows(rounds)
    yield cassette_row(rounds)
    yield memory_row()
    yield from start_rows(max(rounds, 9))


def main() -> int:
    parser = table.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    return table.show(rows(options.rounds), "bench-contract", options)


if __name__ == "__main__":
    sys.exit(main())
