"""What values say: whether a text can be a secret, or is a placeholder, a word or a sentence."""

from __future__ import annotations

import re
from functools import lru_cache

from pytest_chatapi.redaction.replacing import IN_BASE64, REDACTED

__all__ = ["can_be_password", "is_dummy", "is_generated", "is_opaque", "is_words"]

# Words of which the keys are made that servers take in place of a real one.
_DUMMY_WORDS = frozenset(
    "a an any anything api auth bearer change changeme client cpp default demo dummy empty example "
    "fake foo here ignored insert is key llama lm local localhost me mock my na needed no none not "
    "nothing null ollama openai optional or password passwd placeholder pwd replace replay "
    "required sample secret sk some string studio test testing the this todo token undefined "
    "unused use user value vllm you your".split()
)
_BETWEEN_WORDS = re.compile(r"[^A-Za-z0-9]+")
_FILLER = re.compile(r"x+|0+|[0-9]{0,4}|1234567890*")
_TEMPLATE = re.compile(
    r"<.*>|\$.*|%[A-Za-z_]+%|\{.*\}|\[.*\]|[*.•…x-]+|[A-Za-z-]*\*{3,}[A-Za-z0-9*]{0,8}", re.DOTALL
)
_MASKED = re.compile(rf"(?:[A-Za-z]+ )?[\w.~:/-]{{0,40}}{REDACTED}(?:_mmk)?|{re.escape(IN_BASE64)}")


@lru_cache(4096)
def is_dummy(text: str) -> bool:
    """Whether a key is a placeholder: ``not-needed``, ``YOUR_API_KEY``, ``sk-1234``."""
    return all(
        word.rstrip("0123456789") in _DUMMY_WORDS or _FILLER.fullmatch(word) is not None
        for word in _BETWEEN_WORDS.split(text.lower())
    )


_PLAIN_WORD = re.compile("[A-Za-z]?[a-z]{0,10}")
_MIXED_WORD = re.compile(r"[A-Za-z]\d|\d[A-Za-z]")


def can_be_password(text: str) -> bool:
    """Whether the value of something named a password is one.

    Placeholders, sentences and single words are none: a model that is asked for one in a test says
    ``mellon``, and the test has to get that again.
    """
    if (
        _PLAIN_WORD.fullmatch(text.strip())
        or _TEMPLATE.fullmatch(text)
        or _MASKED.fullmatch(text)
        or is_dummy(text)
    ):
        return False
    is_sentence = text.count(" ") > 1 and (text[0].isupper() or text[-1] in ".?!:")
    return not is_sentence or _MIXED_WORD.search(text) is not None


_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def is_opaque(text: str) -> bool:
    """Whether a text looks generated, as ids and signatures do, and is not words or a date."""
    if len(text) < 8 or not can_be_password(text) or any(map(str.isspace, text)):
        return False
    humps = _HUMP.findall(text)
    if text.strip("0123456789:/.,+-") == "":
        return sum(map(len, humps)) >= 12 and len(humps) == 1
    if len(text) >= 16 and text.isalnum() and not text.isalpha():
        return True
    return sum(map(len, humps)) < 3.5 * len(humps) or max(map(len, humps), default=0) >= 16


_WORD = re.compile(r"[A-Za-z]?[a-z]{2,15}[0-9]{0,3}|v?[0-9]{1,8}|[A-Z]{2,12}|an?|in|of|to")
_CAMEL = re.compile(r"(?:[A-Z]+(?![a-z])|[A-Z][a-z]+|[0-9])+")


def is_words(text: str) -> bool:
    """Whether a text is made of words and short numbers, as names of packages and classes are."""
    segments = re.split("[-_]", text)
    if len(segments) > 1 and all(map(_WORD.fullmatch, segments)):
        return any(len(segment) > 3 and segment.isalpha() for segment in segments)
    return all(
        _CAMEL.fullmatch(segment)
        and not segment.isupper()
        and len(segment) >= 3 * len(_HUMP.findall(segment))
        for segment in segments
    )


_PART = re.compile(r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{12,}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_generated(text: str) -> bool:
    """Whether a text cannot well be anything but generated: letters and digits in a long row."""
    if len(text) < 12 or not is_opaque(text) or is_words(text):
        return False
    return _PART.search(text) is not None or _UUID.fullmatch(text) is not None
