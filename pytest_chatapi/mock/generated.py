"""What the service generates for each response: ids, fingerprints, sound. The same in every run."""

from __future__ import annotations

import base64
import hashlib
import struct
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Sound", "Stamp", "call_id", "letters", "sound_of", "stamp_of"]

_EPOCH = 1_760_000_000  # any plausible second
_HOUR = 3600
_SAMPLE_RATE = 24_000
_BYTES_A_TOKEN = _SAMPLE_RATE * 2 // 100  # 16 bit samples, a hundredth of a second


class Stamp(NamedTuple):
    """What tells one response from another: `id`, `created` (unix seconds), `fingerprint`."""

    id: str
    created: int
    fingerprint: str


class Sound(NamedTuple):
    """What a spoken message has beside its transcript; `data` in base64, `expires_at` in
    unix seconds.
    """

    id: str
    data: str
    expires_at: int


def stamp_of(test: str, number: int) -> Stamp:
    """The stamp of one reply of a test.

    Args:
        test: what names the test, such as its node id.
        number: which reply of the test it is, from 0.
    """
    return Stamp(
        f"chatcmpl-{_hex(f'{test}#{number}', 15)[:29]}", _EPOCH + number, _fingerprint(test)
    )


@lru_cache(maxsize=64)
def _fingerprint(test: str) -> str:
    return f"fp_{_hex(test, 5)}"


def _hex(seed: str, size: int) -> str:
    return hashlib.blake2b(seed.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()


@lru_cache(maxsize=256)
def letters(seed: str, length: int) -> str:
    """Letters and digits that look random and follow from the seed; at most 64."""
    digest = hashlib.blake2b(seed.encode("utf-8", "surrogatepass"), digest_size=48).digest()
    return base64.b64encode(digest, b"Zz").decode()[:length]


def call_id(stamp: Stamp, choice: int, number: int) -> str:
    """The id of a tool call: `number` is its position in the choice."""
    return f"call_{letters(f'{stamp.id}/{choice}/{number}', 24)}"


def sound_of(stamp: Stamp, choice: int, format: object, length: int) -> Sound:
    """Silence for a choice.

    Args:
        format: ``wav``, ``pcm16``, or one that only an encoder can make: that gets a placeholder.
        length: in audio tokens, of a hundredth of a second each.
    """
    id_ = f"audio_{_hex(f'{stamp.id}/{choice}', 16)}"
    return Sound(id_, _silence(format, length), stamp.created + _HOUR)


@lru_cache(maxsize=64)
def _silence(format_: object, length: int) -> str:
    samples = bytes(_BYTES_A_TOKEN * max(length, 1))
    if format_ == "wav":
        samples = _wav_header(len(samples)) + samples
    elif format_ != "pcm16":
        samples = f"silence that is not encoded as {format_}".encode()
    return base64.b64encode(samples).decode()


def _wav_header(size: int) -> bytes:
    """The header of a WAV file with `size` bytes of 16 bit mono samples."""
    riff = struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE")
    layout = (1, 1, _SAMPLE_RATE, _SAMPLE_RATE * 2, 2, 16)  # PCM, channels, rates, frame, bits
    return riff + struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, *layout, b"data", size)
