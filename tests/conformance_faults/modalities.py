"""What a server gets wrong with reasoning, images and sound."""

from __future__ import annotations

from typing import Any

from conformance_servers import Fault, edits

from conformance_faults.tools import parts, same_count, when


def _thinks(value: dict[str, Any]) -> None:
    for part in parts(value):
        part["reasoning_content"] = "Let me see."


def _not_counted(value: dict[str, Any]) -> None:
    if value.get("usage"):
        value["usage"]["completion_tokens_details"]["reasoning_tokens"] = 0
    _thinks(value)


def _not_base64(value: dict[str, Any]) -> None:
    for part in parts(value):
        if part.get("audio", {}).get("data"):
            part["audio"]["data"] = "RIFF?"


def _no_sound(value: dict[str, Any]) -> None:
    for part in parts(value):
        part.pop("audio", None)
        part["content"] = "Hello!"


def _none(asked: dict[str, Any]) -> bool:
    return asked.get("reasoning_effort") == "none"


FAULTS: dict[str, tuple[Fault, str]] = {
    "reasoning.effort": (
        when(_none, edits(_thinks)),
        "reasons although `reasoning_effort` is none",
    ),
    "modalities.image": (edits(same_count), "the image is accepted, but adds no prompt tokens"),
    "modalities.audio": (edits(_not_base64), "the data of the audio are not base64"),
}

LOOSE: dict[str, tuple[Fault, str]] = {
    "reasoning.effort": (edits(_not_counted), "its usage does not count it"),
    "modalities.audio": (edits(_no_sound), "`modalities` asks for audio, and is ignored"),
}
