"""Prompt tokens of images, sound and files, by the formulas that the service documents.

Images in tiles (gpt-4o, gpt-4.1, gpt-5, o1, o3): a base, which is all that ``detail: low`` costs,
and for each tile of 512 pixels of an image that was made to fit in 2048 x 2048 with a short side
of at most 768. Images in patches (the -mini and -nano models, o4-mini): a factor for each patch of
32 pixels, of at most 1,536.
Source: the guide "Images and vision"; for gpt-5-mini and gpt-5-nano what the service really counts,
1.2 and 1.5 where the guide says 1.62 and 2.46 (community.openai.com/t/1344040).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from functools import lru_cache
from typing import NamedTuple

from pytest_chatapi.contract.wire import JSON

__all__ = ["FILE_TOKENS", "audio_tokens", "image_tokens"]

FILE_TOKENS = 200
"""Of a file, whose pages cannot be seen from here."""


class _Cost(NamedTuple):
    """What images cost a family of models: a base and a price for each tile, or for each patch."""

    base: int = 0
    tile: int = 0
    patch: float = 0.0


# By the beginning of the model's name, the longer ones first.
_COSTS = {
    "gpt-4o-mini": _Cost(2833, 5667),
    "gpt-4.1-mini": _Cost(patch=1.62),
    "gpt-4.1-nano": _Cost(patch=2.46),
    "o4-mini": _Cost(patch=1.72),
    "gpt-5-mini": _Cost(patch=1.2),
    "gpt-5-nano": _Cost(patch=1.5),
    "gpt-5": _Cost(70, 140),
    "computer-use": _Cost(65, 129),
    "o1": _Cost(75, 150),
    "o3": _Cost(75, 150),
}
_USUAL_COST = _Cost(85, 170)

_UNSEEN = (512, 512)  # an image behind a URL, or in a format that is not known here
_HEADER = 65_536  # bytes in which the size of an image is looked for
_MOST_PATCHES = 1536
_AUDIO_RATE = 10  # tokens a second
_AUDIO_TEXT = 4  # tokens of text around a recording
_MP3_BYTES = 16_000  # a second, at 128 kbit/s
_FRAME = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]..\x08(..)(..)", re.DOTALL)


def image_tokens(url: JSON, detail: JSON, model: JSON) -> int:
    """Tokens of an image.

    Args:
        url: a ``data:`` URL; behind any other is an image of 512 x 512 pixels.
        detail: ``low`` for a small version; anything else is ``high``.
    """
    name = model if isinstance(model, str) else ""
    name = name.split(":")[1] if name.startswith("ft:") and ":" in name[3:] else name
    cost = next((c for prefix, c in _COSTS.items() if name.startswith(prefix)), _USUAL_COST)
    is_low = detail == "low"
    if is_low and not cost.patch:
        return cost.base
    width, height = _size_of(url) if isinstance(url, str) else _UNSEEN
    if cost.patch:
        return math.ceil(_patches(width, height, is_low) * cost.patch)
    return cost.base + cost.tile * _tiles(width, height)


def _tiles(width: float, height: float) -> int:
    scale = min(1.0, 2048 / max(width, height))
    scale = min(scale, 768 / min(width, height))
    return math.ceil(round(width * scale) / 512) * math.ceil(round(height * scale) / 512)


def _patches(width: float, height: float, is_low: bool) -> int:
    if is_low:
        scale = min(1.0, 512 / max(width, height))
        width, height = width * scale, height * scale
    count = math.ceil(width / 32) * math.ceil(height / 32)
    if count <= _MOST_PATCHES:
        return count
    scale = math.sqrt(_MOST_PATCHES * 32**2 / (width * height))
    across, down = width * scale / 32, height * scale / 32
    scale *= (
        min(math.floor(across) / across, math.floor(down) / down) if min(across, down) > 1 else 1
    )
    return min(_MOST_PATCHES, math.ceil(width * scale / 32) * math.ceil(height * scale / 32))


@lru_cache(maxsize=64)
def _size_of(url: str) -> tuple[int, int]:
    """Width and height of an image in pixels."""
    header = (
        _decoded(url[: _HEADER * 4 // 3].partition("base64,")[2]) if url[:5] == "data:" else b""
    )
    size = _UNSEEN
    if header[:8] == b"\x89PNG\r\n\x1a\n" and len(header) >= 24:
        size = struct.unpack(">II", header[16:24])
    elif header[:4] == b"GIF8" and len(header) >= 10:
        size = struct.unpack("<HH", header[6:10])
    elif header[:2] == b"\xff\xd8" and (frame := _FRAME.search(header)):
        height, width = (int.from_bytes(side, "big") for side in frame.groups())
        size = (width, height)
    elif header[8:16] == b"WEBPVP8X" and len(header) >= 30:
        width, height = (int.from_bytes(header[at : at + 3], "little") + 1 for at in (24, 27))
        size = (width, height)
    return size if min(size) > 0 else _UNSEEN


def audio_tokens(data: JSON, format_: JSON) -> tuple[int, int]:
    """Tokens of sound and of text that a recording costs: ten of sound a second.

    Args:
        data: base64.
        format_: ``wav``, or ``mp3``, whose length is estimated.
    """
    if not isinstance(data, str):
        return _AUDIO_RATE, _AUDIO_TEXT
    size = len(data) * 3 // 4
    rate = _MP3_BYTES
    if format_ == "wav":
        header = _decoded(data[:64])
        rate = int.from_bytes(header[28:32], "little") or rate
        size -= 44
    return max(1, math.ceil(size * _AUDIO_RATE / rate)), _AUDIO_TEXT


def _decoded(text: str) -> bytes:
    """As much of base64 text as is whole; empty where it is not base64."""
    try:
        return base64.b64decode(text[: len(text) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""
