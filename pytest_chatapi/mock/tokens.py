"""Tokens: the pieces of a text, their log probabilities, and the size of a prompt.

Approximated, since there is no tokenizer: words in runs of up to six characters with the space
before them, punctuation in runs of three, white space in runs of eight; of a prompt, four
characters each. Log probabilities, chunks and usage all count the same tokens.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.mock.wire_form import compact

__all__ = ["PromptTokens", "logprobs", "prompt_tokens", "text_tokens", "tokens"]

_TOKEN = re.compile(r" ?\w{1,6}| ?[^\w\s]{1,3}|\s{1,8}")
_PART_TOKENS = 85  # of an image, a file or a recording in a prompt
_MESSAGE_TOKENS = 4  # around each message
_PROMPT_TOKENS = 3  # around the whole prompt

_LOGPROBS = [round(math.log(1 - 0.4 * step / 16), 6) for step in range(1, 17)]
_ALTERNATIVES = (
    " the| a| of| and|The| to|A| in|I| is|It| that|.| for|,| on| with|This| as|!| it".split("|")
)


@lru_cache(maxsize=256)
def tokens(text: str) -> tuple[str, ...]:
    """A text in the pieces that count as its tokens; joined they are the text."""
    return tuple(_TOKEN.findall(text))


# -- a prompt ----------------------------------------------------------------------------


class PromptTokens(NamedTuple):
    """Tokens of a request, and how many of them are audio."""

    total: int
    audio: int


def prompt_tokens(body: JSONObject) -> PromptTokens:
    """The size of a request: its messages, tools and schema."""
    total, audio = _PROMPT_TOKENS, 0
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        total += _MESSAGE_TOKENS
        if not isinstance(message, dict):
            continue
        content = _content_tokens(message.get("content"))
        total += content.total
        audio += content.audio
        if calls := message.get("tool_calls") or message.get("function_call"):
            total += _json_tokens(calls)
    for key in ("tools", "functions", "response_format"):
        if value := body.get(key):
            total += _json_tokens(value)
    return PromptTokens(total, audio)


def _content_tokens(content: JSON) -> PromptTokens:
    if isinstance(content, str):
        return PromptTokens(text_tokens(content), 0)
    total = audio = 0
    for part in content if isinstance(content, list) else ():
        is_part = isinstance(part, dict)
        text = part.get("text", part.get("refusal")) if is_part else None
        total += text_tokens(text) if isinstance(text, str) else _PART_TOKENS
        if is_part and part.get("type") == "input_audio":
            audio += _PART_TOKENS
    return PromptTokens(total, audio)


def text_tokens(text: str) -> int:
    return -(-len(text) // 4)


def _json_tokens(value: JSON) -> int:
    return len(compact(value)) // 4


# -- log probabilities -------------------------------------------------------------------


def logprobs(
    content: Iterable[str] | None, refusal: Iterable[str] | None, top: int
) -> JSONObject | None:
    """The ``logprobs`` of a choice, or of one chunk of it; ``None`` where it has no text.

    Args:
        top: how many alternatives each token lists, itself included.
    """
    if content is None and refusal is None:
        return None
    return {
        key: None if pieces is None else [_token_logprob(piece, top) for piece in pieces]
        for key, pieces in (("content", content), ("refusal", refusal))
    }


def _token_logprob(piece: str, top: int) -> JSONObject:
    spelled = piece.encode()
    logprob = _LOGPROBS[zlib.crc32(spelled) % len(_LOGPROBS)]
    token: JSONObject = {"token": piece, "logprob": logprob, "bytes": list(spelled)}
    best = [dict(token)] if top > 0 else []
    rest = 1 - math.exp(logprob)
    for other in _ALTERNATIVES:
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
