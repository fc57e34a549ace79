"""Reports of made-up figures, for tests of what is made of reports. Not a test."""

from __future__ import annotations

import math
import random
from typing import Any

from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.figures.measure import Figures, Form, Timing, Tokens
from pytest_chatapi.figures.price import Prices, Rates
from pytest_chatapi.figures.report import Score, report_of

HOSTILE = (
    '</script><script>document.title="ran"</script><img src=x onerror=\'document.title="ran"\'>'
    "<!--\u2028\u202e\x1b[31m\ud800"
)

FRAME = """\
  "usage": {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 41}
                                                                          ^^ expected 42"""

PRICES = Prices({"gpt-4o-mini*": Rates(0.15, 0.60, 0.075), "Qwen/*": Rates(0.20, 0.80)})
MODELS = {
    # name: seconds to the first token, tokens per second, share of bad calls
    "gpt-4o-mini-2024-07-18": (0.45, 85.0, 0.01),
    "Qwen/Qwen3-8B": (0.09, 140.0, 0.04),
    "meta-llama/Llama-3.1-8B-Instruct": (0.12, 118.0, 0.12),
}


def finding(code: str = "U02", name: str = "usage-total", **more: Any) -> JSONObject:
    """In the form of ``chatapi check --format json``."""
    return {
        "code": code,
        "name": name,
        "level": "error",
        "profile": "strict",
        "source": None,
        "chunk": None,
        "path": "$.usage.total_tokens",
        "expected": "prompt_tokens + completion_tokens = 42",
        "got": "41",
        "message": "total_tokens is not the sum of its parts",
        **more,
    }


def report(count: int = 60, seed: int = 1, factor: float = 1.0, **more: Any) -> JSONObject:
    """A report of a run of tests against three models.

    Args:
        factor: by which its responses are slower.
        more: the members of each `Figures` that are not as usual.
    """
    chance = random.Random(seed)
    names = list(MODELS)
    exchanges = [figures(chance, names[n % 3], n, factor, **more) for n in range(count)]
    scores = [
        Score(one.test, "correct", float(chance.random() > 0.1 + 0.05 * names.index(one.model)))
        for one in exchanges[:900]
        if one.model in MODELS
    ]
    run = {
        "kind": "pytest",
        "started": "2026-01-31T12:00:00+00:00",
        "skipped": {"embeddings": 2},
        "unread": [],
    }
    outcomes = {one.test: "failed" if n % 9 == 1 else "passed" for n, one in enumerate(exchanges)}
    return report_of(exchanges, PRICES, run, outcomes, scores)


def figures(chance: random.Random, name: str, n: int, factor: float, **more: Any) -> Figures:
    first, speed, bad = MODELS[name]
    prompt, completion = chance.randrange(40, 4000), chance.randrange(20, 400)
    is_stream = n % 4 != 3
    first *= factor * math.exp(chance.gauss(0, 0.4))
    speed *= math.exp(chance.gauss(0, 0.15)) / factor
    total = first + completion / speed
    values: dict[str, Any] = {
        "source": ("live", "replayed", "replayed", "mock")[n // 3 % 4],
        "model": name,
        "requested_model": name,
        "host": "127.0.0.1",
        "is_stream": is_stream,
        "status": 200,
        "tokens": Tokens(prompt, completion, prompt + completion, prompt // 3)
        if n % 11
        else Tokens(),
        "timing": timing(chance, first, speed, completion) if is_stream else Timing(total=total),
        "test": f"tests/test_agent_{n // 300}.py::test_answers[{name.lower()}-{n // 3}]",
        "form": Form(1, 1, int(chance.random() > bad), n % 2, n % 2, int(n % 31 == 0)),
        "findings": (finding(frame=FRAME),) if n % 13 == 5 else (),
    }
    return Figures(**{**values, **more})


def timing(chance: random.Random, first: float, speed: float, completion: int) -> Timing:
    """Of a stream with a role, some reasoning, an answer that stalls once, and its usage."""
    now, marks = first, [(first * 0.8, "role")]
    for chunk in range(completion):
        marks.append((now, "reasoning" if chunk < completion // 4 else "answer"))
        now += chance.expovariate(speed) + (0.4 if chunk == completion // 2 else 0.0)
    marks.append((now, "usage"))
    return Timing(
        total=now,
        first_chunk=first * 0.8,
        first_token=first,
        first_answer=marks[1 + completion // 4][0],
        tokens_per_second=(completion - 1) / (now - first),
        token_chunks=completion,
        tokens_per_chunk=1.0,
        stalls=1,
        longest_gap=0.4,
        marks=tuple(marks),  # type: ignore[arg-type]
    )
