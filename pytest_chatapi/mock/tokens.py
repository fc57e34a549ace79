"""Tokens of a response: the pieces of a text, and their log probabilities.

Approximated, since there is no tokenizer: words in runs of up to six characters with the space
before them, punctuation in runs of three, white space in runs of eight. Log probabilities, chunks
and usage all count the same tokens. `prompt_tokens` counts prompts.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable
from functools import lru_cache

from pytest_chatapi.contract.wire import JSONObject

__all__ = ["logprobs", "tokens"]

_TOKEN = re.compile(r" ?\w{1,6}| ?[^\w\s]{1,3}|\s{1,8}")

_LOGPROBS = [round(math.log(1 - 0.4 * step / 16), 6) for step in range(1, 17)]
_ALTERNATIVES = (
    " the| a| of| and|The| to|A| in|I| is|It| that|.| for|,| on| with|This| as|!| it".split("|")
)


@lru_cache(maxsize=256)
def tokens(text: str) -> tuple[str, ...]:
    """A text in the pieces that count as its tokens; joined they are the text."""
    return tuple(_TOKEN.findall(text))


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
