"""Choices, in tokens, and the ``chat.completion`` or the chunks that they make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.mock.generated import Sound, Stamp, letters, sound_of
from pytest_chatapi.mock.prompt_tokens import prompt_tokens
from pytest_chatapi.mock.tokens import logprobs, tokens

__all__ = ["CalledTool", "Choice", "chunks_of", "completion_of"]

_AUDIO_RATE = 2  # audio tokens beside one token of the transcript


class CalledTool(NamedTuple):
    """A tool call of a choice; `pieces` are the tokens of its arguments or input."""

    id: str
    kind: str
    name: str
    pieces: tuple[str, ...]

    @property
    def text_key(self) -> str:
        return "input" if self.kind == "custom" else "arguments"


@dataclass(slots=True)
class Choice:
    """One choice of a response, filled up to its cap: text is kept in tokens.

    Attributes:
        cap: the most tokens that the choice may have.
        used: how many it has, reasoning and audio included.
        legacy: its call is a `function_call`.
        spoken: audio tokens.
    """

    cap: int
    finish: str
    content: tuple[str, ...] | None = None
    refusal: tuple[str, ...] | None = None
    transcript: tuple[str, ...] | None = None
    calls: list[CalledTool] = field(default_factory=list)
    legacy: bool = False
    used: int = 0
    reasoning: int = 0
    spoken: int = 0

    @property
    def left(self) -> int:
        """How many tokens the cap still allows."""
        return self.cap - self.used

    def take(self, pieces: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the pieces that there is room for."""
        fitting = pieces[: self.left]
        self.used += len(fitting)
        return fitting

    def reason(self, count: int) -> None:
        """Spend tokens that are not sent."""
        self.reasoning = min(count, self.left)
        self.used += self.reasoning

    def speak(self, transcript: tuple[str, ...]) -> None:
        """Say a text aloud; a transcript that is cut uses up what is left."""
        self.transcript = transcript[: self.left // (1 + _AUDIO_RATE)]
        whole = len(self.transcript) == len(transcript)
        used = len(self.transcript) * (1 + _AUDIO_RATE) if whole else self.left
        self.spoken = used - len(self.transcript)
        self.used += used

    def call(self, call: CalledTool) -> None:
        """Call a tool, with as much of its arguments as there is room for."""
        self.used += min(self.left, len(tokens(call.name)))
        self.calls.append(call._replace(pieces=self.take(call.pieces)))


# -- whole -------------------------------------------------------------------------------


def completion_of(
    choices: Sequence[Choice], ask: Ask, stamp: Stamp, cached_tokens: int
) -> JSONObject:
    """A ``chat.completion``."""
    completion: JSONObject = {
        "id": stamp.id,
        "object": "chat.completion",
        "created": stamp.created,
        "model": _model(ask),
        "choices": [_whole(choice, ask, stamp, index) for index, choice in enumerate(choices)],
        "usage": _usage(choices, ask, cached_tokens),
        "service_tier": _tier(ask),
        "system_fingerprint": stamp.fingerprint,
    }
    if (moderation := _moderation(ask)) is not None:
        completion["moderation"] = moderation
    return completion


def _whole(choice: Choice, ask: Ask, stamp: Stamp, index: int) -> JSONObject:
    message: JSONObject = {
        "role": "assistant",
        "content": None if choice.content is None else "".join(choice.content),
        "refusal": None if choice.refusal is None else "".join(choice.refusal),
        "annotations": [],
    }
    if choice.calls and choice.legacy:
        call = choice.calls[0]
        message["function_call"] = {"name": call.name, "arguments": "".join(call.pieces)}
    elif choice.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": call.kind,
                call.kind: {"name": call.name, call.text_key: "".join(call.pieces)},
            }
            for call in choice.calls
        ]
    if choice.transcript is not None:
        sound = _sound(choice, ask, stamp, index)
        message["audio"] = {
            "id": sound.id,
            "data": sound.data,
            "expires_at": sound.expires_at,
            "transcript": "".join(choice.transcript),
        }
    return {
        "index": index,
        "message": message,
        "logprobs": logprobs(choice.content, choice.refusal, ask.top_logprobs)
        if ask.logprobs
        else None,
        "finish_reason": choice.finish,
    }


def _sound(choice: Choice, ask: Ask, stamp: Stamp, index: int) -> Sound:
    return sound_of(stamp, index, ask.body["audio"].get("format"), choice.spoken)


def _usage(choices: Sequence[Choice], ask: Ask, cached_tokens: int) -> JSONObject:
    prompt, heard, seen = prompt_tokens(ask.body)
    prompt = max(prompt, cached_tokens)
    used = sum(choice.used for choice in choices)
    spoken = sum(choice.spoken for choice in choices)
    usage: JSONObject = {
        "prompt_tokens": prompt,
        "completion_tokens": used,
        "total_tokens": prompt + used,
        "prompt_tokens_details": {"cached_tokens": cached_tokens, "audio_tokens": heard},
        "completion_tokens_details": {
            "reasoning_tokens": sum(choice.reasoning for choice in choices),
            "audio_tokens": spoken,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    if "audio" in ask.modalities or heard:
        text = prompt - heard - seen
        usage["prompt_tokens_details"] |= {"text_tokens": text, "image_tokens": seen}
        usage["completion_tokens_details"]["text_tokens"] = used - spoken
    return usage


def _model(ask: Ask) -> str:
    return ask.model if isinstance(ask.model, str) and ask.model else "gpt-4o-mini"


def _tier(ask: Ask) -> str:
    tier = ask.body.get("service_tier")
    if tier == "fast":
        return "priority"  # as documented
    return tier if tier in ("default", "flex", "scale", "priority") else "default"


def _moderation(ask: Ask) -> JSONObject | None:
    """The result of a requested moderation: nothing found."""
    asked = ask.body.get("moderation")
    if not isinstance(asked, dict):
        return None
    model = asked.get("model")
    result: JSONObject = {
        "type": "moderation_result",
        "model": model,
        "flagged": False,
        "categories": {},
        "category_scores": {},
        "category_applied_input_types": {},
    }
    return {
        side: {"type": "moderation_results", "model": model, "results": [dict(result)]}
        for side in ("input", "output")
    }


# -- in chunks ---------------------------------------------------------------------------


class _Delta(NamedTuple):
    """The delta of one chunk; `length` counts the characters of text in it."""

    delta: JSONObject
    length: int = 0
    logprobs: JSONObject | None = None


def chunks_of(
    choices: Sequence[Choice], ask: Ask, stamp: Stamp, cached_tokens: int
) -> list[JSONObject]:
    """The ``chat.completion.chunk`` objects; several choices take turns."""
    frame: JSONObject = {
        "id": stamp.id,
        "object": "chat.completion.chunk",
        "created": stamp.created,
        "model": _model(ask),
        "service_tier": _tier(ask),
        "system_fingerprint": stamp.fingerprint,
    }
    streams = [_streamed(choice, ask, stamp, index) for index, choice in enumerate(choices)]
    chunks: list[JSONObject] = []
    lengths: list[int] = []
    for turn in zip_longest(*streams):
        for choice, length in filter(None, turn):
            chunks.append({**frame, "choices": [choice]})
            lengths.append(length)
    if ask.include_usage:
        for chunk in chunks:
            chunk["usage"] = None
        chunks.append({**frame, "choices": [], "usage": _usage(choices, ask, cached_tokens)})
        lengths.append(0)
    if (moderation := _moderation(ask)) is not None:
        chunk = {**frame, "choices": [], "moderation": moderation}
        chunks.append({**chunk, "usage": None} if ask.include_usage else chunk)
        lengths.append(0)
    options = ask.body.get("stream_options")
    if not isinstance(options, dict) or options.get("include_obfuscation") is not False:
        _pad(chunks, lengths, letters(stamp.id, 64))
    return chunks


def _pad(chunks: list[JSONObject], lengths: list[int], padding: str) -> None:
    """Hide the length of the text, as the service does: the sizes of like chunks differ by
    multiples of 16 characters only.
    """
    for number, (chunk, length) in enumerate(zip(chunks, lengths, strict=True)):
        start = number * 7 % 48
        chunk["obfuscation"] = padding[start : start + (15 - length) % 16]


def _streamed(
    choice: Choice, ask: Ask, stamp: Stamp, index: int
) -> Iterator[tuple[JSONObject, int]]:
    """The choice of each chunk, and the characters of text in it, in order."""
    sound = None if choice.transcript is None else _sound(choice, ask, stamp, index)
    for delta, length, probabilities in _deltas(choice, ask, sound):
        yield (
            {
                "index": index,
                "delta": delta,
                "logprobs": probabilities,
                "finish_reason": None,
            },
            length,
        )
    yield {"index": index, "delta": {}, "logprobs": None, "finish_reason": choice.finish}, 0
    if sound is not None:
        # Documented to come last of all, and to have no `finish_reason`.
        yield {"index": index, "delta": {"audio": {"expires_at": sound.expires_at}}}, 0


def _deltas(choice: Choice, ask: Ask, sound: Sound | None) -> Iterator[_Delta]:
    yield _opening(choice, ask, sound)
    for piece in choice.content or ():
        probabilities = logprobs((piece,), None, ask.top_logprobs) if ask.logprobs else None
        yield _Delta({"content": piece}, len(piece), probabilities)
    for piece in choice.refusal or ():
        probabilities = logprobs(None, (piece,), ask.top_logprobs) if ask.logprobs else None
        yield _Delta({"refusal": piece}, len(piece), probabilities)
    if sound is not None:
        yield from _audio_deltas(choice.transcript or (), sound.data)
    if choice.legacy:
        for piece in choice.calls[0].pieces if choice.calls else ():
            yield _Delta({"function_call": {"arguments": piece}}, len(piece))
    else:
        yield from _call_deltas(choice)


def _opening(choice: Choice, ask: Ask, sound: Sound | None) -> _Delta:
    """The first delta: the role, and what is sent along with it."""
    delta: JSONObject = {
        "role": "assistant",
        "content": None if choice.content is None else "",
        "refusal": None if choice.refusal is None else "",
    }
    if choice.legacy and choice.calls:
        delta["function_call"] = {"name": choice.calls[0].name, "arguments": ""}
    elif _opens_with_call(choice):
        delta["tool_calls"] = [_call_opening(0, choice.calls[0])]
    if sound is not None:
        # The id comes here only: clients would append it each time.
        delta["audio"] = {"id": sound.id, "transcript": ""}
    if not ask.logprobs:
        return _Delta(delta)
    content, refusal = (None if p is None else () for p in (choice.content, choice.refusal))
    return _Delta(delta, logprobs=logprobs(content, refusal, ask.top_logprobs))


def _audio_deltas(transcript: tuple[str, ...], data: str) -> Iterator[_Delta]:
    for piece in transcript:
        yield _Delta({"audio": {"transcript": piece}}, len(piece))
    half = len(data) // 8 * 4  # each piece is base64 of its own
    for piece in filter(None, (data[:half], data[half:])):
        yield _Delta({"audio": {"data": piece}}, len(piece))


def _call_deltas(choice: Choice) -> Iterator[_Delta]:
    for number, call in enumerate(choice.calls):
        if not _opens_with_call(choice):
            yield _Delta({"tool_calls": [_call_opening(number, call)]})
        for piece in call.pieces:
            fragment = {"index": number, call.kind: {call.text_key: piece}}
            yield _Delta({"tool_calls": [fragment]}, len(piece))


def _opens_with_call(choice: Choice) -> bool:
    # The service begins a single call at once, and several after the role.
    return len(choice.calls) == 1 and choice.content is None


def _call_opening(number: int, call: CalledTool) -> JSONObject:
    return {
        "index": number,
        "id": call.id,
        "type": call.kind,
        call.kind: {"name": call.name, call.text_key: ""},
    }
