"""Audio streams: what the service leaves out of them, and what is still wrong in them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from pytest_chatapi import Exchange, Request, Response
from pytest_chatapi.contract.check import check_exchange

URL = "https://api.openai.com/v1/chat/completions"
ASK = {
    "model": "gpt-audio",
    "messages": [{"role": "user", "content": "Say good morning."}],
    "modalities": ["text", "audio"],
    "audio": {"voice": "ash", "format": "pcm16"},
    "stream": True,
    "stream_options": {"include_usage": True},
}
USAGE = {"prompt_tokens": 11, "completion_tokens": 20, "total_tokens": 31}
UPDATE = {"audio": {"expires_at": 1_780_003_600}}


def chunk(delta: dict[str, Any] | None = None, **other: Any) -> dict[str, Any]:
    frame = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_780_000_000,
        "model": "gpt-audio-2025-08-28",
        "service_tier": "default",
        "obfuscation": "x7",
        "usage": None,
    }
    if delta is not None:
        frame["choices"] = [{"index": 0, "delta": delta, "finish_reason": None}]
    return {**frame, **other}


def update(delta: dict[str, Any] = UPDATE) -> dict[str, Any]:
    made = chunk(copy.deepcopy(delta))
    del made["choices"][0]["finish_reason"]
    return made


def stream() -> list[dict[str, Any]]:
    return [
        chunk({"role": "assistant", "refusal": None}),
        chunk({"content": None, "audio": {"id": "audio_1", "transcript": "Good"}}),
        chunk(),
        chunk({"audio": {"transcript": " morning."}}),
        chunk({"audio": {"data": "AAAA"}}),
        chunk(),
        chunk(choices=[], usage=USAGE),
        update(),
    ]


def found(
    chunks: list[Any], profile: str = "openai", done: bool = True, **ask: Any
) -> list[tuple[str, str, str]]:
    body = "".join(f"data: {json.dumps(c)}\n\n" for c in chunks) + "data: [DONE]\n\n" * done
    headers = {"content-type": "text/event-stream", "x-request-id": "r"}
    request = Request("POST", URL, {}, {**ASK, **ask})
    findings = check_exchange(Exchange(request, Response(200, headers, body)), profile).findings
    return [(f.code, f.case, f.level) for f in findings]


@pytest.mark.parametrize("profile", ["openai", "azure", "compatible"])
def test_an_audio_stream_of_the_service_is_silent(profile: str) -> None:
    assert found(stream(), profile) == []


def test_documented_keeps_its_errors() -> None:
    assert found(stream(), "documented") == [
        ("S01", "audio-stream", "error"),
        ("T13", "audio-stream", "error"),
    ]
    listed = [c for c in stream() if "choices" in c]
    assert found(listed, "documented") == [
        ("T05", "audio-stream", "error"),
        ("T13", "audio-stream", "error"),
    ]
    keyless = [c for c in listed if c["choices"]]
    del keyless[3]["choices"][0]["finish_reason"]
    keyless[3]["choices"][0]["delta"]["content"] = "x"
    options = {"stream_options": None}
    assert ("S01", "audio-stream", "error") in found(keyless, "documented", **options)


def test_the_day_of_the_recording_changes_nothing() -> None:
    """The service sent it like this before it was documented."""
    body = "".join(f"data: {json.dumps(c)}\n\n" for c in stream()) + "data: [DONE]\n\n"
    headers = {"content-type": "text/event-stream", "x-request-id": "r"}
    exchange = Exchange(Request("POST", URL, {}, ASK), Response(200, headers, body))
    findings = check_exchange(exchange, as_of="2026-06-10").findings
    assert {f.level for f in findings} == {"note"}
    assert {f.code for f in findings} == {"S10"}


def without(chunks: list[dict[str, Any]], *at: int) -> list[dict[str, Any]]:
    return [c for i, c in enumerate(chunks) if i not in at]


def changed(at: int, key: str, value: Any) -> list[dict[str, Any]]:
    chunks = stream()
    chunks[at][key] = value
    return chunks


def keyless(*at: int) -> list[dict[str, Any]]:
    chunks = stream()
    for i in at:
        del chunks[i]["choices"][0]["finish_reason"]
    return chunks


FINISH = chunk({}, choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])


@pytest.mark.parametrize(
    "chunks",
    [
        without(stream(), 2, 5),
        [chunk(), *stream()],
        keyless(0, 1, 3, 4),
        [*stream()[:6], update(), stream()[6]],
        [*stream()[:6], FINISH, *stream()[6:]],
        [*stream()[:6], FINISH, stream()[6]],
        [*stream()[:7], chunk(UPDATE)],
        [*stream()[:7], update({"content": None, **UPDATE})],
        [{k: v for k, v in c.items() if k not in ("obfuscation", "usage") or v} for c in stream()],
        [stream()[0], chunk({"content": "Here it is."}), *stream()[1:]],
        without(stream(), 3),
        changed(4, "service_tier", None),
    ],
    ids=[
        "every chunk has choices",
        "the first has none",
        "no finish_reason key",
        "expires_at before the usage",
        "a finish_reason as well",
        "a finish_reason instead",
        "the update has a null finish_reason",
        "the update has null content",
        "no null usage, no obfuscation",
        "text before the audio",
        "no transcript",
        "a null tier",
    ],
)
def test_variants_are_silent(chunks: list[dict[str, Any]]) -> None:
    for profile in ("openai", "azure", "compatible"):
        assert found(chunks, profile) == []


def test_an_audio_stream_whose_request_is_unknown_is_silent() -> None:
    exchange = Exchange(None, Response(chunks=stream()))
    assert check_exchange(exchange).findings == []


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (without(stream(), 7), {"T05"}),
        ([*stream()[:7], chunk({"audio": {"data": "AAAA"}}), update()], {"T13"}),
        ([*stream()[:7], update({"audio": {"expires_at": 1, "data": "AAAA"}})], {"T13"}),
        ([*stream()[:7], update({"content": "More.", **UPDATE})], {"T13"}),
        ([*stream()[:6], FINISH, chunk({"audio": {"data": "AAAA"}}), *stream()[6:]], {"T07"}),
        (without(stream(), 6), {"T13"}),
        ([*stream()[:6], stream()[6], *stream()[6:]], {"T15"}),
        (changed(3, "id", "chatcmpl-2"), {"T01"}),
        (changed(5, "id", "chatcmpl-2"), {"T01"}),
        (changed(5, "object", "chunk"), {"S03"}),
        (changed(5, "choices", None), {"S01"}),
        ([{k: v for k, v in c.items() if k != "id" or i != 5} for i, c in enumerate(stream())],
         {"S02"}),
        (changed(4, "choices", [{"index": 0, "delta": {"audio": {"data": 7}}}]), {"S01"}),
        ([chunk() for _ in range(3)], {"T18"}),
    ],
    ids=[
        "it never ends",
        "audio after the usage",
        "an update with audio after the usage",
        "an update with text after the usage",
        "audio after the finish_reason",
        "no usage",
        "usage twice",
        "another id",
        "another id without choices",
        "another object without choices",
        "null choices",
        "no id",
        "data that is not text",
        "no choice at all",
    ],
)  # fmt: skip
def test_a_broken_audio_stream_is_found(chunks: list[dict[str, Any]], expected: set[str]) -> None:
    for profile in ("openai", "compatible"):
        codes = {code for code, _, _ in found(chunks, profile)}
        assert expected <= codes
        assert len(codes) <= 2


def test_a_text_choice_beside_the_audio_has_to_finish() -> None:
    beside = chunk({"role": "assistant", "content": "Good morning."})
    beside["choices"][0]["index"] = 1
    chunks = [*stream()[:6], beside, *stream()[6:]]
    assert [row[:2] for row in found(chunks, n=2)] == [("T05", "")]
    end = chunk(choices=[{"index": 1, "delta": {}, "finish_reason": "stop"}])
    assert found([*stream()[:6], beside, end, *stream()[6:]], n=2) == []


def test_without_done_an_audio_is_not_complete() -> None:
    assert found(stream(), done=False) == [("T08", "", "error")]
    assert found(stream(), "compatible", done=False) == [("T08", "", "error")]


def test_a_text_stream_without_choices_is_an_error() -> None:
    chunks = [
        chunk({"role": "assistant", "content": "Good"}),
        chunk(),
        FINISH,
        chunk(choices=[], usage=USAGE),
    ]
    for profile in ("openai", "compatible"):
        rows = found(chunks, profile, modalities=["text"], audio=None)
        assert [row for row in rows if row[2] == "error"] == [("S01", "", "error")]
    chunks[1]["choices"] = [{"index": 0, "delta": {}}]
    rows = found(chunks, modalities=["text"], audio=None)
    assert ("S01", "finish-reason-absent", "error") in rows
