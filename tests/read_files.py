"""What the tests of recording formats have in common: a body with one fault, and the verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from traffic import ANSWER

from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.endpoint import endpoint
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.mapping import Mapping
from pytest_chatapi.reading.reader import read_file

REQUEST: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Say hello."}],
}
WRONG: dict[str, Any] = ANSWER | {"usage": ANSWER["usage"] | {"total_tokens": 22}}
"""An answer whose total is wrong: U02."""

EMBEDDINGS: dict[str, Any] = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "model": "text-embedding-3-small",
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}

_CHUNK: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1750000000,
    "model": "gpt-4o-mini",
}
CHUNKS: list[dict[str, Any]] = [
    _CHUNK
    | {
        "choices": [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": "Hello!", "refusal": None},
                "logprobs": None,
                "finish_reason": None,
            }
        ]
    },
    _CHUNK | {"choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]},
]
STREAM = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in CHUNKS) + "data: [DONE]\n\n"
CUT_STREAM = STREAM.removesuffix("data: [DONE]\n\n")
"""A stream without its last event: T08."""


class Verdict(NamedTuple):
    """What a file gave.

    Attributes:
        codes: of errors and warnings, for each exchange that was checked.
        skipped: number of exchanges of other APIs.
        errors: what could not be read.
    """

    codes: list[list[str]]
    skipped: int
    errors: list[str]


def exchanges_in(path: Path, mapping: str | None = None) -> tuple[list[Exchange], list[str]]:
    errors: list[ReadError] = []
    by = None if mapping is None else Mapping(mapping)
    exchanges = list(read_file(path, errors.append, name="f", mapping=by))
    return exchanges, [str(error) for error in errors]


def verdict(path: Path, mapping: str | None = None) -> Verdict:
    exchanges, errors = exchanges_in(path, mapping)
    codes, skipped = [], 0
    for exchange in exchanges:
        if endpoint(exchange) is None:
            skipped += 1
        else:
            findings = check_exchange(exchange).findings
            codes.append([f.code for f in findings if f.level in ("error", "warning")])
    return Verdict(codes, skipped, errors)
