"""Replies that fit the request they answer, whole or streamed.

A `Reply` says what the model says; the request says in what form: how many choices, with log
probabilities or not, how many tokens, as a stream. What cannot be an answer to a request is a
`SettingError`, since a mock that sends it would teach a test what no service does.

Tokens are approximated, as no tokenizer is at hand: words in runs of up to six characters with
the space before them, punctuation in runs of three, white space in runs of eight; of a prompt,
four characters each. Log probabilities, chunks and usage all count the same tokens.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import inspect
import json
import math
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import zip_longest
from typing import Any, NamedTuple, TypeVar

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.parse import loads
from pytest_chatapi.contract.userschema import SchemaTrouble, first_error
from pytest_chatapi.contract.wording import listed, show
from pytest_chatapi.errors import SettingError
from pytest_chatapi.mock.schema_values import fitting_json

__all__ = [
    "BUILDERS",
    "Builder",
    "Reply",
    "Stamp",
    "audio",
    "builders_table",
    "choices",
    "content_filter",
    "custom_tool_call",
    "length_cut",
    "reasoning",
    "refusal",
    "stamp_of",
    "structured",
    "text",
    "tokens",
    "tool_call",
    "tool_calls",
]

_EPOCH = 1_760_000_000  # any plausible second
_HOUR = 3600
_FINISHES = ("stop", "length", "content_filter")
_PART_TOKENS = 85  # of an image, a file or a recording in a prompt
_AUDIO_RATE = 2  # audio tokens beside one token of the transcript


class Stamp(NamedTuple):
    """What tells one answer from another: `id`, `created` (unix seconds) and the fingerprint."""

    id: str
    created: int
    fingerprint: str


def stamp_of(test: str, number: int) -> Stamp:
    """The stamp of the reply of this number in a test: the same in every run.

    Args:
        test: what names the test, such as its node id.
        number: which reply of the test it is, from 0.
    """
    digest = hashlib.blake2b(f"{test}#{number}".encode("utf-8", "surrogatepass"), digest_size=15)
    return Stamp(f"chatcmpl-{digest.hexdigest()[:29]}", _EPOCH + number, _fingerprint(test))


@lru_cache(maxsize=64)
def _fingerprint(test: str) -> str:
    digest = hashlib.blake2b(test.encode("utf-8", "surrogatepass"), digest_size=5)
    return f"fp_{digest.hexdigest()}"


@lru_cache(maxsize=256)
def _letters(seed: str, length: int) -> str:
    """Letters and digits that look random and are not; at most 64."""
    digest = hashlib.blake2b(seed.encode("utf-8", "surrogatepass"), digest_size=48).digest()
    return base64.b64encode(digest, b"Zz").decode()[:length]


# -- tokens ------------------------------------------------------------------------------

_TOKEN = re.compile(r" ?\w{1,6}| ?[^\w\s]{1,3}|\s{1,8}")


@lru_cache(maxsize=256)
def tokens(text: str) -> tuple[str, ...]:
    """A text in the pieces that count as its tokens; joined they are the text."""
    return tuple(_TOKEN.findall(text))


def _prompt_tokens(body: dict[str, Any]) -> tuple[int, int]:
    """Tokens of a request, and how many of them are audio."""
    total, heard = 3, 0
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        total += 4
        if not isinstance(message, dict):
            continue
        content = message.get("content")
        if isinstance(content, str):
            total += -(-len(content) // 4)
        elif isinstance(content, list):
            for part in content:
                said = part.get("text", part.get("refusal")) if isinstance(part, dict) else None
                total += -(-len(said) // 4) if isinstance(said, str) else _PART_TOKENS
                if isinstance(part, dict) and part.get("type") == "input_audio":
                    heard += _PART_TOKENS
        if calls := message.get("tool_calls") or message.get("function_call"):
            total += len(_compact(calls)) // 4
    for key in ("tools", "functions", "response_format"):
        if offered := body.get(key):
            total += len(_compact(offered)) // 4
    return total, heard


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# -- a reply -----------------------------------------------------------------------------


class _Call(NamedTuple):
    kind: str  # function or custom
    name: str
    text: str | None  # None: made to fit the request
    id: str | None
    label: str


@dataclass(frozen=True, eq=False, repr=False)
class Reply:
    """What a mock answers; made by the builders of this module, never changed.

    Attributes:
        label: the builder's call, shortened, for messages.
    """

    label: str
    _content: str | None = None
    _refusal: str | None = None
    _calls: tuple[_Call, ...] = ()
    _transcript: str | None = None
    _is_structured: bool = False
    _finish: str = "stop"
    _reasoning: int = 0
    _cached: int = 0
    _parts: tuple[Reply, ...] = ()

    def __repr__(self) -> str:
        return self.label

    @property
    def is_fixed(self) -> bool:
        """Whether two of its completions for one request differ in ``id`` and ``created`` alone:
        calls and sounds have ids of their own.
        """
        return not (self._calls or self._transcript is not None or self._parts)

    def completion(self, body: dict[str, Any], stamp: Stamp) -> dict[str, Any]:
        """The answer as a ``chat.completion``.

        Args:
            body: the request's parsed JSON.
            stamp: what to send as ``id``, ``created`` and ``system_fingerprint``.

        Raises:
            SettingError: this reply is no answer to this request.
        """
        ask = Ask(body)
        made = self._made(ask, stamp)
        return {
            "id": stamp.id,
            "object": "chat.completion",
            "created": stamp.created,
            "model": _model(ask),
            "choices": [_whole(choice, ask, stamp, index) for index, choice in enumerate(made)],
            "usage": self._usage(ask, made),
            "service_tier": _tier(ask),
            "system_fingerprint": stamp.fingerprint,
        }

    def chunks(self, body: dict[str, Any], stamp: Stamp) -> list[dict[str, Any]]:
        """The answer as ``chat.completion.chunk`` objects, the last of them before ``[DONE]``.

        Several choices take turns. What `completion` has is what the chunks join to.

        Args:
            body: the request's parsed JSON.
            stamp: as for `completion`.

        Raises:
            SettingError: this reply is no answer to this request.
        """
        ask = Ask(body)
        made = self._made(ask, stamp)
        frame: dict[str, Any] = {
            "id": stamp.id,
            "object": "chat.completion.chunk",
            "created": stamp.created,
            "model": _model(ask),
            "service_tier": _tier(ask),
            "system_fingerprint": stamp.fingerprint,
        }
        options = ask.body.get("stream_options")
        padded = not isinstance(options, dict) or options.get("include_obfuscation") is not False
        padding = _letters(stamp.id, 64)
        deltas = [_deltas(choice, ask, stamp, index) for index, choice in enumerate(made)]
        sent: list[dict[str, Any]] = []

        def send(choices_: list[dict[str, Any]], usage: Any, length: int) -> None:
            chunk = {**frame, "choices": choices_}
            if ask.include_usage:
                chunk["usage"] = usage
            if padded:
                # As the service does: chunks of like kind come out in steps of 16 characters.
                start = len(sent) * 7 % 48
                chunk["obfuscation"] = padding[start : start + (15 - length) % 16]
            sent.append(chunk)

        for turn in zip_longest(*deltas):
            for choice in turn:
                if choice is not None:
                    send([choice[0]], None, choice[1])
        if ask.include_usage:
            send([], self._usage(ask, made), 0)
        return sent

    def _made(self, ask: Ask, stamp: Stamp) -> list[_Made]:
        """This reply as choices of the request."""
        parts = self._parts or (self,) * ask.n
        if len(parts) != ask.n:
            raise _misfit(
                self,
                f"it has {len(parts)} choices and the request asks for n = {ask.n}",
                f"ask for n = {len(parts)}, or give {ask.n}",
            )
        return [part._choice(ask, stamp, index) for index, part in enumerate(parts)]

    def _choice(self, ask: Ask, stamp: Stamp, index: int) -> _Made:
        left = start = sys.maxsize if ask.cap is None else ask.cap
        reasoned = min(self._reasoning, left)
        left -= reasoned
        made = _Made(finish=self._finish, reasoning=reasoned)
        content = self._content
        if self._is_structured:
            content = _structured_text(self, ask, content)
        if content is not None:
            if ask.stops and (ends := [at for s in ask.stops if (at := content.find(s)) >= 0]):
                content, made.finish = content[: min(ends)], "stop"
            made.content = tokens(content)[:left]
            left -= len(made.content)
        if self._refusal is not None:
            made.refusal = tokens(self._refusal)[:left]
            left -= len(made.refusal)
        if self._transcript is not None:
            _require_audio(self, ask)
            left = made.speak(tokens(self._transcript), left)
        if self._calls:
            _require_tools(self, self._calls, ask)
            made.legacy = bool(ask.body.get("functions")) and not ask.body.get("tools")
            made.finish = "function_call" if made.legacy else "tool_calls"
            if ask.choice == "named":
                made.finish = "stop"  # as the service finishes where it had no choice
            left = made.call(self._calls, ask, stamp, index, left)
        if left == 0 and ask.cap is not None:
            made.finish = "length"
        made.used = start - left
        if not (made.content or made.refusal or made.calls or made.transcript is not None):
            made.content, made.refusal = (), None
        if not self._calls and not made.refusal and made.finish not in ("length", "content_filter"):
            _require_no_call(self, ask)
            if ask.format in ("json_object", "json_schema"):
                _require_json(self, ask, "".join(made.content or ()))
        return made

    def _usage(self, ask: Ask, made: Sequence[_Made]) -> dict[str, Any]:
        prompt, heard = _prompt_tokens(ask.body)
        cached = max((part._cached for part in self._parts), default=self._cached)
        prompt = max(prompt, cached)
        used = sum(choice.used for choice in made)
        spoken = sum(choice.spoken for choice in made)
        usage: dict[str, Any] = {
            "prompt_tokens": prompt,
            "completion_tokens": used,
            "total_tokens": prompt + used,
            "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": heard},
            "completion_tokens_details": {
                "reasoning_tokens": sum(choice.reasoning for choice in made),
                "audio_tokens": spoken,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }
        if "audio" in ask.modalities:
            usage["prompt_tokens_details"] |= {"text_tokens": prompt - heard, "image_tokens": 0}
            usage["completion_tokens_details"]["text_tokens"] = used - spoken
        return usage


class _MadeCall(NamedTuple):
    id: str
    kind: str
    name: str
    pieces: tuple[str, ...]


@dataclass(slots=True)
class _Made:
    """One choice of an answer, in tokens: the form that completions and chunks are made of."""

    finish: str
    content: tuple[str, ...] | None = None
    refusal: tuple[str, ...] | None = None
    transcript: tuple[str, ...] | None = None
    calls: list[_MadeCall] = field(default_factory=list)
    legacy: bool = False  # a `function_call`
    used: int = 0
    reasoning: int = 0
    spoken: int = 0  # audio tokens

    def speak(self, transcript: tuple[str, ...], left: int) -> int:
        """Says a text aloud; gives the tokens that are then left."""
        self.transcript = transcript[: left // (1 + _AUDIO_RATE)]
        whole = len(self.transcript) == len(transcript)
        used = len(self.transcript) * (1 + _AUDIO_RATE) if whole else left
        self.spoken = used - len(self.transcript)
        return left - used

    def call(self, calls: Iterable[_Call], ask: Ask, stamp: Stamp, index: int, left: int) -> int:
        """Calls tools; gives the tokens that are then left."""
        for number, call in enumerate(calls):
            if left <= 0:
                break
            text = call.text if call.text is not None else _arguments_text(call, ask)
            left -= min(left, len(tokens(call.name)))
            pieces = tokens(text)[:left]
            left -= len(pieces)
            id_ = call.id or f"call_{_letters(f'{stamp.id}/{index}/{number}', 24)}"
            self.calls.append(_MadeCall(id_, call.kind, call.name, pieces))
        return left


# -- what a request allows ---------------------------------------------------------------


def _misfit(reply: Reply | _Call, why: str, remedy: str) -> SettingError:
    return SettingError(f"{reply.label} is no answer to this request: {why}; {remedy}")


def _require_tools(reply: Reply, calls: tuple[_Call, ...], ask: Ask) -> None:
    for call in calls:
        offered = ask.tools.get(call.name)
        if offered is None:
            near = difflib.get_close_matches(call.name, ask.tools, 1)
            raise _misfit(
                call,
                f"it offers {listed(ask.tools) or 'no tools'}"
                + (f" (did you mean {near[0]!r}?)" if near else ""),
                "offer the tool in `tools`, or call one that is there"
                if ask.tools
                else "offer the tool in `tools`, or reply with text()",
            )
        if offered[0] != call.kind:
            other = "custom_tool_call" if offered[0] == "custom" else "tool_call"
            raise _misfit(call, f"it offers a {offered[0]} tool of this name", f"use {other}()")
        if call.text is not None and offered[2] and isinstance(offered[1], dict):
            broken = _broken(offered[1], call.text)
            if broken:
                raise _misfit(
                    call,
                    f"the tool is strict, and {broken}",
                    "give fitting arguments, or none and they are made",
                )
    names = [call.name for call in calls]
    if ask.choice == "none":
        raise _misfit(reply, "its tool_choice is none", "reply with text()")
    if ask.choice == "named" and set(names) != {ask.named}:
        raise _misfit(reply, f"its tool_choice forces {show(ask.named)}", "call that one")
    allowed = _allowed(ask)
    if allowed is not None and not allowed.issuperset(names):
        raise _misfit(
            reply, f"its tool_choice allows {listed(sorted(allowed))}", "call one of these"
        )
    if len(calls) > 1:
        if ask.parallel is False:
            raise _misfit(reply, "its parallel_tool_calls is false", "make one call")
        if not ask.body.get("tools"):
            raise _misfit(
                reply, "it offers `functions`, which are called one at a time", "make one call"
            )


def _allowed(ask: Ask) -> set[str] | None:
    """Names of the tools that ``tool_choice: allowed_tools`` leaves."""
    choice = ask.body.get("tool_choice")
    inner = choice.get("allowed_tools") if isinstance(choice, dict) else None
    listed_ = inner.get("tools") if isinstance(inner, dict) else None
    if not isinstance(listed_, list):
        return None
    found = [tool.get(tool.get("type"), tool) for tool in listed_ if isinstance(tool, dict)]
    return {tool["name"] for tool in found if isinstance(tool, dict) and "name" in tool}


def _require_no_call(reply: Reply, ask: Ask) -> None:
    if ask.choice == "required" and ask.body.get("tools"):
        why = "its tool_choice is required"
    elif ask.choice == "named" and ask.named in ask.tools:
        why = f"its tool_choice forces {show(ask.named)}"
    else:
        return
    raise _misfit(reply, why, f"reply with tool_call({ask.named or next(iter(ask.tools))!r})")


def _require_audio(reply: Reply, ask: Ask) -> None:
    if "audio" not in ask.modalities or not isinstance(ask.body.get("audio"), dict):
        raise _misfit(
            reply,
            f"its modalities are {show(ask.modalities)}"
            if "audio" not in ask.modalities
            else "it has no `audio` parameter",
            'ask for modalities ["text", "audio"] with `audio`, or reply with text()',
        )


def _require_json(reply: Reply, ask: Ask, text: str) -> None:
    if ask.format == "json_object":
        broken = _broken({"type": "object"}, text)
    elif ask.strict and isinstance(ask.schema, dict):
        broken = _broken(ask.schema, text)
    else:
        return
    if broken:
        raise _misfit(
            reply,
            f"its response_format is {ask.format}, and {broken}",
            "reply with structured(), whose value is made to fit",
        )


def _structured_text(reply: Reply, ask: Ask, given: str | None) -> str:
    if ask.format not in ("json_object", "json_schema"):
        raise _misfit(
            reply, "it has no response_format", "send one, or reply with text() that is JSON"
        )
    if given is not None:
        return given
    if ask.format == "json_object" or not isinstance(ask.schema, dict):
        return '{"answer":"text"}'
    try:
        return fitting_json(_compact(ask.schema))
    except SettingError as error:
        raise _misfit(reply, str(error), "give the value: structured(value)") from None


def _arguments_text(call: _Call, ask: Ask) -> str:
    parameters = ask.tools[call.name][1]
    if not isinstance(parameters, dict):
        return "{}"
    try:
        return fitting_json(_compact({"type": "object", **parameters}))
    except SettingError as error:
        given = f"tool_call({call.name!r}, {{...}})"
        raise _misfit(call, str(error), f"give the arguments: {given}") from None


def _broken(schema: dict[str, Any], text: str) -> str:
    """Why a text is no JSON that fits a schema, or nothing."""
    return _broken_by(_compact(schema), text)


@lru_cache(maxsize=256)
def _broken_by(schema: str, text: str) -> str:
    try:
        value = loads(text)
    except ValueError as error:
        return f"{show(text, 40)} is not JSON ({error})"
    try:
        broken = first_error(json.loads(schema), value)
    except SchemaTrouble:
        return ""  # what cannot be judged is not judged
    return f"{show(text, 40)} breaks its schema{broken[0]}: {broken[1]}" if broken else ""


def _model(ask: Ask) -> str:
    return ask.model if isinstance(ask.model, str) and ask.model else "gpt-4o-mini"


def _tier(ask: Ask) -> str:
    tier = ask.body.get("service_tier")
    if tier == "fast":
        return "priority"  # as documented
    return tier if tier in ("default", "flex", "scale", "priority") else "default"


# -- one choice, whole and in deltas -----------------------------------------------------


def _whole(made: _Made, ask: Ask, stamp: Stamp, index: int) -> dict[str, Any]:
    """A choice of a ``chat.completion``."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if made.content is None else "".join(made.content),
        "refusal": None if made.refusal is None else "".join(made.refusal),
        "annotations": [],
    }
    if made.calls and made.legacy:
        call = made.calls[0]
        message["function_call"] = {"name": call.name, "arguments": "".join(call.pieces)}
    elif made.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": call.kind,
                call.kind: {"name": call.name, _given(call): "".join(call.pieces)},
            }
            for call in made.calls
        ]
    if made.transcript is not None:
        id_, data, expires_at = _audio(made, ask, stamp, index)
        message["audio"] = {
            "id": id_,
            "data": data,
            "expires_at": expires_at,
            "transcript": "".join(made.transcript),
        }
    return {
        "index": index,
        "message": message,
        "logprobs": _logprobs(made.content, made.refusal, ask) if ask.logprobs else None,
        "finish_reason": made.finish,
    }


def _given(call: _MadeCall) -> str:
    return "input" if call.kind == "custom" else "arguments"


_Delta = tuple[dict[str, Any], int]


def _deltas(made: _Made, ask: Ask, stamp: Stamp, index: int) -> Iterator[_Delta]:
    """The choice of each chunk, and the characters of text in it, in order."""

    def choice(
        delta: dict[str, Any], length: int = 0, logprobs: Any = None, finish: str | None = None
    ) -> _Delta:
        return {
            "index": index,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": finish,
        }, length

    first: dict[str, Any] = {
        "role": "assistant",
        "content": None if made.content is None else "",
        "refusal": None if made.refusal is None else "",
    }
    calls = list(enumerate(made.calls))
    begun = 0
    if made.legacy and calls:
        first["function_call"] = {"name": made.calls[0].name, "arguments": ""}
    elif len(calls) == 1 and made.content is None:
        # The service begins a single call at once, and several after the role.
        first["tool_calls"] = [_opening(0, made.calls[0])]
        begun = 1
    opening = None
    if ask.logprobs and (made.content is not None or made.refusal is not None):
        opening = _logprobs(made.content and (), made.refusal and (), ask)
    if made.transcript is not None:
        id_, data, expires_at = _audio(made, ask, stamp, index)
        first["audio"] = {"id": id_, "transcript": ""}  # an id again is joined to the first
    yield choice(first, logprobs=opening)
    for key, pieces in (("content", made.content), ("refusal", made.refusal)):
        for piece in pieces or ():
            logprobs = None
            if ask.logprobs:
                one = (piece,)
                logprobs = (
                    _logprobs(one, None, ask) if key == "content" else _logprobs(None, one, ask)
                )
            yield choice({key: piece}, len(piece), logprobs)
    if made.transcript is not None:
        for piece in made.transcript:
            yield choice({"audio": {"transcript": piece}}, len(piece))
        half = len(data) // 8 * 4  # each piece is base64 of its own
        for piece in filter(None, (data[:half], data[half:])):
            yield choice({"audio": {"data": piece}}, len(piece))
    for number, call in calls:
        if number >= begun and not made.legacy:
            yield choice({"tool_calls": [_opening(number, call)]})
        for piece in call.pieces:
            if made.legacy:
                yield choice({"function_call": {"arguments": piece}}, len(piece))
            else:
                fragment = {"index": number, call.kind: {_given(call): piece}}
                yield choice({"tool_calls": [fragment]}, len(piece))
    yield choice({}, finish=made.finish)
    if made.transcript is not None:
        # Documented to come last of all, and to have no `finish_reason`.
        yield {"index": index, "delta": {"audio": {"expires_at": expires_at}}}, 0


def _opening(number: int, call: _MadeCall) -> dict[str, Any]:
    return {
        "index": number,
        "id": call.id,
        "type": call.kind,
        call.kind: {"name": call.name, _given(call): ""},
    }


# -- log probabilities -------------------------------------------------------------------

_LIKELY = [round(math.log(1 - 0.4 * step / 16), 6) for step in range(1, 17)]
_OTHERS = " the| a| of| and|The| to|A| in|I| is|It| that|.| for|,| on| with|This| as|!| it".split(
    "|"
)


def _logprobs(
    content: Iterable[str] | None, refusal: Iterable[str] | None, ask: Ask
) -> dict[str, Any] | None:
    if content is None and refusal is None:
        return None
    return {
        key: None if pieces is None else [_token(piece, ask.top_logprobs) for piece in pieces]
        for key, pieces in (("content", content), ("refusal", refusal))
    }


def _token(piece: str, top: int) -> dict[str, Any]:
    spelled = piece.encode()
    logprob = _LIKELY[zlib.crc32(spelled) % len(_LIKELY)]
    token: dict[str, Any] = {"token": piece, "logprob": logprob, "bytes": list(spelled)}
    best = [dict(token)] if top > 0 else []
    rest = 1 - math.exp(logprob)
    for other in _OTHERS:
        if len(best) >= top:
            break
        if other != piece:
            # Each has half of what the likelier ones leave.
            rest /= 2
            best.append(
                {"token": other, "logprob": round(math.log(rest), 6), "bytes": list(other.encode())}
            )
    token["top_logprobs"] = best
    return token


# -- audio -------------------------------------------------------------------------------


def _audio(made: _Made, ask: Ask, stamp: Stamp, index: int) -> tuple[str, str, int]:
    """The id, the data in base64, and when it expires."""
    seed = f"{stamp.id}/{index}"
    id_ = f"audio_{hashlib.blake2b(seed.encode(), digest_size=16).hexdigest()}"
    format_ = ask.body["audio"].get("format")
    return id_, _silence(format_, made.spoken), stamp.created + _HOUR


@lru_cache(maxsize=64)
def _silence(format_: Any, length: int) -> str:
    """Silence, a hundredth of a second for each token, in base64.

    A WAV file or bare samples; for what only an encoder can make, a word that says so.
    """
    samples = bytes(480 * max(length, 1))
    if format_ == "wav":
        head = struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            b"RIFF",
            36 + len(samples),
            b"WAVE",
            b"fmt ",
            16,
            1,
            1,
            24_000,
            48_000,
            2,
            16,
            b"data",
            len(samples),
        )
        samples = head + samples
    elif format_ != "pcm16":
        samples = f"silence that is not encoded as {format_}".encode()
    return base64.b64encode(samples).decode()


# -- the builders ------------------------------------------------------------------------


class Builder(NamedTuple):
    """A row of the table of builders.

    Attributes:
        sdk: where the openai SDK has it: an expression of ``choice`` and ``usage``.
    """

    build: Callable[..., Reply]
    summary: str
    sdk: str


BUILDERS: dict[str, Builder] = {}
"""Every builder by its name, with one line about it."""

_Build = TypeVar("_Build", bound=Callable[..., Reply])


def _builder(summary: str, sdk: str) -> Callable[[_Build], _Build]:
    def register(build: _Build) -> _Build:
        BUILDERS[build.__name__] = Builder(build, summary, sdk)
        return build

    return register


def builders_table() -> str:
    """The builders in Markdown, for the documentation."""
    lines = ["| builder | what it answers | in the openai SDK |", "| --- | --- | --- |"]
    for name, builder in BUILDERS.items():
        parameters = inspect.signature(builder.build).parameters.values()
        given = ", ".join(
            str(p).partition(":")[0] + ("" if p.default is p.empty else f"={p.default!r}")
            for p in parameters
        )
        lines.append(f"| `{name}({given})` | {builder.summary} | `{builder.sdk}` |")
    return "\n".join(lines) + "\n"


def _label(name: str, *values: Any) -> str:
    return f"{name}({', '.join(show(value, 40) for value in values)})"


def _label_of(name: str, replies: tuple[Reply, ...]) -> str:
    for reply in replies:
        if not isinstance(reply, Reply):
            raise SettingError(f"{name}() takes replies, not {show(reply, 40)}: write text(...)")
    return f"{name}({', '.join(reply.label for reply in replies)})"


def _text_of(label: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SettingError(f"{label} takes a str: for JSON there is structured()")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise SettingError(
            f"{label} holds half of a surrogate pair at character {error.start}, which UTF-8 "
            "cannot carry: leave it out"
        ) from None
    return value


def _json_of(label: str, value: Any) -> str:
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json", by_alias=True)
    try:
        return _text_of(
            label, json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        )
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, SettingError):
            raise
        raise SettingError(f"{label} is not JSON ({error}): give what json.dumps takes") from None


def _count_of(label: str, name: str, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise SettingError(f"{label}: {name} is a number of tokens from 0, not {value!r}")
    return value


def _said(
    label: str,
    content: Any,
    finish_reason: str = "stop",
    reasoning_tokens: int = 0,
    cached_tokens: int = 0,
) -> Reply:
    if finish_reason not in _FINISHES:
        raise SettingError(
            f"{label}: text never finishes with {finish_reason!r}: choose one of "
            f"{', '.join(_FINISHES)}"
        )
    return Reply(
        label,
        _content=_text_of(label, content),
        _finish=finish_reason,
        _reasoning=_count_of(label, "reasoning_tokens", reasoning_tokens),
        _cached=_count_of(label, "cached_tokens", cached_tokens),
    )


@_builder("Text.", "choice.message.content")
def text(
    content: str = "Hello!",
    *,
    finish_reason: str = "stop",
    reasoning_tokens: int = 0,
    cached_tokens: int = 0,
) -> Reply:
    """A message with text.

    A stop sequence of the request ends the text before it; a cap cuts it and makes the
    ``finish_reason`` ``length``.

    Args:
        content: the text; an empty one is sent too, though the contract has a warning for it.
        finish_reason: ``stop``, ``length`` or ``content_filter``.
        reasoning_tokens: tokens spent before the text; they count against the request's cap.
        cached_tokens: of the prompt; a prompt that is shorter counts as that long.

    Raises:
        SettingError: an argument is out of range.
    """
    return _said(_label("text", content), content, finish_reason, reasoning_tokens, cached_tokens)


@_builder(
    "A call of a function; without arguments, such as fit its parameters' schema.",
    "choice.message.tool_calls[0].function.arguments",
)
def tool_call(name: str, arguments: Any = None, *, id: str | None = None) -> Reply:
    """A call of one of the request's functions.

    Finishes with ``tool_calls``; with ``stop`` where ``tool_choice`` names the tool, as the
    service does. A request with the deprecated ``functions`` gets a ``function_call``.

    Args:
        name: of the tool.
        arguments: a dict; a str is sent as it is, even broken JSON where the tool is not
            strict; ``None`` makes them to fit the parameters' schema.
        id: of the call; ``None`` makes one, the same in every run.

    Raises:
        SettingError: the arguments are not JSON.
    """
    label = _label("tool_call", name) if arguments is None else _label("tool_call", name, arguments)
    given = None
    if arguments is not None:
        given = (_text_of if isinstance(arguments, str) else _json_of)(label, arguments)
    call = _Call("function", _text_of(label, name), given, id, label)
    return Reply(label, _calls=(call,))


@_builder("A call of a custom tool, with free text.", "choice.message.tool_calls[0].custom.input")
def custom_tool_call(name: str, input: str) -> Reply:
    """A call of one of the request's custom tools.

    Args:
        name: of the tool.
        input: free text; a grammar of the tool is not held against it.

    Raises:
        SettingError: the input is no text.
    """
    label = _label("custom_tool_call", name, input)
    call = _Call("custom", _text_of(label, name), _text_of(label, input), None, label)
    return Reply(label, _calls=(call,))


@_builder(
    "Several calls in one message, with or without text before them.",
    "choice.message.tool_calls[1].function.name",
)
def tool_calls(*calls: Reply, content: str | None = None) -> Reply:
    """Calls in parallel.

    Args:
        calls: replies made by `tool_call` and `custom_tool_call`.
        content: text beside them.

    Raises:
        SettingError: a reply is no call.
    """
    label = _label_of("tool_calls", calls)
    for call in calls:
        if not call._calls:
            raise SettingError(f"tool_calls() takes calls: {call.label} is none")
    if not calls:
        raise SettingError("tool_calls() needs at least one tool_call() or custom_tool_call()")
    said = _text_of(label, content) or None if content is not None else None
    return Reply(label, _content=said, _calls=tuple(c for reply in calls for c in reply._calls))


@_builder(
    "Structured output; without a value, one that fits the request's JSON Schema.",
    "choice.message.content",
)
def structured(value: Any = None) -> Reply:
    """A message whose content is JSON, as the request's ``response_format`` asks.

    Args:
        value: anything JSON can write, or a pydantic model; ``None`` makes one to fit.

    Raises:
        SettingError: the value is not JSON.
    """
    if value is None:
        return Reply("structured()", _is_structured=True)
    label = _label("structured", value)
    return Reply(label, _content=_json_of(label, value), _is_structured=True)


@_builder("A refusal: no content, and text that says why.", "choice.message.refusal")
def refusal(text: str = "I'm sorry, but I can't help with that.") -> Reply:
    """A message that refuses, which is an answer to any request.

    Raises:
        SettingError: the text is empty.
    """
    label = _label("refusal", text)
    if not _text_of(label, text):
        raise SettingError("refusal() needs a text: an empty one refuses nothing")
    return Reply(label, _refusal=text)


@_builder("Text that was cut: finishes with `length`.", "choice.finish_reason == 'length'")
def length_cut(content: str = "The answer to that is") -> Reply:
    """A message that ran out of tokens, whatever the request's cap.

    Raises:
        SettingError: the content is no text.
    """
    return _said(_label("length_cut", content), content, "length")


@_builder(
    "Text that was stopped: finishes with `content_filter`.",
    "choice.finish_reason == 'content_filter'",
)
def content_filter(content: str = "The answer to that is") -> Reply:
    """A message that the content filter stopped after some text, or before any.

    Raises:
        SettingError: the content is no text.
    """
    return _said(_label("content_filter", content), content, "content_filter")


@_builder(
    "Speech with its transcript, where the request asks for audio.",
    "choice.message.audio.transcript",
)
def audio(transcript: str = "Hello!") -> Reply:
    """A message that is spoken: silence, in ``wav`` or ``pcm16``, as long as the transcript.

    Other formats, which only an encoder can make, hold a placeholder.

    Raises:
        SettingError: the transcript is no text.
    """
    label = _label("audio", transcript)
    return Reply(label, _transcript=_text_of(label, transcript))


@_builder(
    "Text after reasoning, whose tokens are in the usage.",
    "usage.completion_tokens_details.reasoning_tokens",
)
def reasoning(content: str = "Hello!", reasoning_tokens: int = 64) -> Reply:
    """A message of a model that thought first; the thoughts themselves are never sent.

    Raises:
        SettingError: an argument is out of range.
    """
    label = _label("reasoning", content, reasoning_tokens)
    return _said(label, content, reasoning_tokens=reasoning_tokens)


@_builder("A reply of its own for each of the request's `n` choices.", "choice.message.content")
def choices(*replies: Reply) -> Reply:
    """Different choices; any other reply is repeated for the request's ``n``.

    Raises:
        SettingError: there are none, or one of them has choices itself.
    """
    label = _label_of("choices", replies)
    if not replies or any(reply._parts for reply in replies):
        raise SettingError("choices() takes one reply for each choice, and no choices() inside")
    return Reply(label, _parts=replies)
