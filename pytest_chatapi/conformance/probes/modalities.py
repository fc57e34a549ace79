"""Probes of reasoning, images and sound: what a model may lack, and `--declare` can say so."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from typing import Any

from pytest_chatapi.conformance.probe import (
    BOTH,
    Mode,
    Outcome,
    Verdict,
    fail,
    non_strict,
    not_exercised,
    probe,
)
from pytest_chatapi.conformance.server import Reply, Server
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import show


@probe(
    "reasoning.effort",
    "`reasoning_effort: low` reasons, and counts it; `none` does not reason",
    modes=BOTH,
    codes="U04 K12",
    requests=2,
    tokens=800,
)
def effort(server: Server) -> None:
    prompt = "Is 7919 a prime number? Answer yes or no."

    def reply_to(effort: str) -> Reply:
        cap = server.room(64)
        reply = server.chat(prompt, reasoning_effort=effort, max_completion_tokens=cap)
        return reply.accepted("reasoning", "effort", "think")

    low = reply_to("low")
    if not low.shows_reasoning:
        raise not_exercised("the model does not reason with `low`, as far as its response shows")
    if not low.reasoning_tokens:
        raise non_strict(
            "the model reasons, but its usage does not count it",
            expected="completion_tokens_details.reasoning_tokens over 0",
            got="0, or absent",
        )
    none = reply_to("none")
    if none.shows_reasoning:
        raise fail(
            "the model reasons although `reasoning_effort` is none",
            expected="0 reasoning tokens, no reasoning text",
            got=f"{none.reasoning_tokens} reasoning tokens"
            if none.reasoning_tokens
            else "reasoning text",
        )


def _png(size: int) -> bytes:
    """A red square."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\xff\0\0" * size) * size
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def _wav(seconds: float) -> bytes:
    """Silence."""
    rate = 8000
    data = bytes(int(seconds * rate) * 2)
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * 2, 2, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + form
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def _must_count(server: Server, text: str, part: JSONObject, *features: str) -> None:
    """Send a part of a message, and the same message without it: it has to be more tokens."""
    said = {"type": "text", "text": text}
    cap = server.room(8)
    counts: list[Any] = []
    for parts in [said, part], [said]:
        messages = [{"role": "user", "content": parts}]
        reply = server.chat(messages=messages, max_completion_tokens=cap)
        counts.append(reply.accepted(*features, "modal", "content").usage.get("prompt_tokens"))
    with_it, without = counts
    if isinstance(with_it, int) and isinstance(without, int) and with_it <= without:
        raise fail(
            f"the {features[0]} is accepted, but adds no prompt tokens: it is dropped, or not "
            "counted",
            expected=f"prompt_tokens over {without}",
            got=str(with_it),
        )


@probe(
    "modalities.image",
    "an image is read and counted, or refused with a 4xx",
    codes="U03",
    requests=2,
    tokens=700,
)
def image(server: Server) -> None:
    # Models that cut images into patches refuse those that are smaller than one.
    url = "data:image/png;base64," + base64.b64encode(_png(64)).decode()
    part = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    _must_count(server, "What color is it?", part, "image", "vision")


@probe(
    "modalities.audio",
    "sound is sent whole and streamed, or is heard; what is not supported is refused with a 4xx",
    codes="K10 T07 U03",
    requests=4,
    tokens=600,
)
def audio(server: Server) -> None:
    outcomes = []
    for direction in _speak, _hear:
        try:
            direction(server)
        except Outcome as outcome:
            if outcome.verdict not in (Verdict.UNSUPPORTED, Verdict.NON_STRICT):
                raise
            outcomes.append(outcome)
    # A model may have one direction alone.
    for lack in outcomes:
        if len(outcomes) == 2 or lack.verdict is Verdict.NON_STRICT:
            raise lack


def _speak(server: Server) -> None:
    forms: tuple[tuple[Mode, str], ...] = ("whole", "wav"), ("stream", "pcm16")
    for mode, kind in forms:
        reply = server.chat(
            "Say hi.",
            mode=mode,
            modalities=["text", "audio"],
            audio={"voice": "alloy", "format": kind},
            max_completion_tokens=server.room(64),
        ).accepted("audio", "modal", "voice")
        _check_sound(reply, kind)


def _hear(server: Server) -> None:
    data = base64.b64encode(_wav(0.2)).decode()
    part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    _must_count(server, "What do you hear?", part, "audio", "sound")


def _check_sound(reply: Reply, kind: str) -> None:
    sound = reply.message.get("audio")
    if not sound and reply.finish in ("length", "content_filter"):
        raise not_exercised(f"the response ends with {show(reply.finish)} before any audio")
    if not isinstance(sound, dict):
        raise non_strict(
            "`modalities` asks for audio, and is ignored",
            expected="message.audio, or a 4xx",
            got="a response without audio",
        )
    try:
        data = base64.b64decode(sound.get("data") or "", validate=True)
    except (binascii.Error, TypeError, ValueError):
        data = b""
    if not data or (kind == "wav" and not data.startswith(b"RIFF")):
        reason = "the data of the audio are not base64 of the format that was asked for"
        raise fail(reason, expected=kind, got=show(sound.get("data")))
