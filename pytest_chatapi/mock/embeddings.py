"""Responses of ``/v1/embeddings``: vectors that are the same in every run.

A vector is made of the words of its text, so that texts with words in common are near to each
other: a retriever finds the document that a query is about.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import plural, show
from pytest_chatapi.errors import SettingError
from pytest_chatapi.mock.misfits import misfit
from pytest_chatapi.mock.prompt_tokens import text_tokens
from pytest_chatapi.mock.refusals import Refusal, invalid_type, invalid_value, out_of_range, refusal

__all__ = ["Embeddings", "embeddings", "embeddings_refusal"]

_DIMENSIONS = {"text-embedding-3-large": 3072}
_USUAL_DIMENSIONS = 1536
_MOST_DIMENSIONS = 32_768  # of any model
_MOST_INPUTS = 2048
_WORD = re.compile(r"\w+")
_PLACES = 16  # in a vector, for each word


@dataclass(frozen=True, eq=False, repr=False)
class Embeddings:
    """What a mock replies at ``/v1/embeddings``; made by `embeddings`, never changed."""

    label: str
    _vectors: tuple[tuple[float, ...], ...] | None = None

    def __repr__(self) -> str:
        return self.label

    def response(self, body: JSONObject) -> JSONObject:
        """The response to a request.

        Args:
            body: of a request that `embeddings_refusal` accepts.

        Raises:
            SettingError: this reply does not fit this request.
        """
        inputs = _inputs_of(body)
        wanted = body.get("dimensions")
        if self._vectors is None:
            size = wanted or _DIMENSIONS.get(body["model"], _USUAL_DIMENSIONS)
            vectors: Sequence[tuple[float, ...]] = [_vector(_words(each), size) for each in inputs]
        else:
            vectors = self._vectors
            if len(vectors) != len(inputs):
                why = f"it has {plural(len(inputs), 'input')}"
                raise misfit(self.label, why, f"pass {plural(len(inputs), 'vector')}")
            if wanted is not None and any(len(vector) != wanted for vector in vectors):
                why = f"it asks for {wanted} dimensions"
                raise misfit(self.label, why, "pass vectors of that length")
        encode = _in_base64 if body.get("encoding_format") == "base64" else list
        used = sum(text_tokens(each) if isinstance(each, str) else len(each) for each in inputs)
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": encode(vector)}
                for index, vector in enumerate(vectors)
            ],
            "model": body["model"],
            "usage": {"prompt_tokens": used, "total_tokens": used},
        }


def embeddings(vectors: Sequence[Sequence[float]] | None = None) -> Embeddings:
    """A response with one vector for each input of the request.

    Args:
        vectors: one for each input; ``None`` for vectors of length 1 that follow from the words
            of each input, in as many dimensions as the request or its model has.

    Raises:
        SettingError: this is not a list of vectors.
    """
    if vectors is None:
        return Embeddings("embeddings()")
    label = f"embeddings({show(vectors, 40)})"
    try:
        rows = tuple(tuple(map(float, vector)) for vector in vectors)
        for row in rows:
            _in_base64(row)
    except (TypeError, ValueError, OverflowError):
        raise SettingError(f"{label} takes a list of vectors, such as [[0.1, 0.2]]") from None
    if not rows or not all(rows) or not all(map(math.isfinite, (x for row in rows for x in row))):
        raise SettingError(f"{label} takes vectors of finite numbers, at least one")
    return Embeddings(label, rows)


def embeddings_refusal(body: JSON, why_not: str | None) -> Refusal | None:
    """What the service says to a request that it refuses; ``None`` where it would respond.

    Args:
        body, why_not: as `request_json` returns them.
    """
    if why_not is not None or not isinstance(body, dict):
        return refusal("We could not parse the JSON body of your request.")
    if not isinstance(body.get("model"), str) or not body["model"]:
        return refusal("you must provide a model parameter")
    given = body.get("input")
    if not (isinstance(given, str | list) and given and _is_input(given)):
        return refusal(
            "'$.input' is invalid. Please check the API reference: "
            "https://platform.openai.com/docs/api-reference."
        )
    if len(_inputs_of(body)) > _MOST_INPUTS:
        return refusal(f"'input' must have at most {_MOST_INPUTS} items.", "input")
    encoding = body.get("encoding_format")
    if encoding not in (None, "float", "base64"):
        return invalid_value("encoding_format", str(encoding), ("float", "base64"))
    return _dimensions_refusal(body.get("dimensions"), body["model"])


def _dimensions_refusal(dimensions: JSON, model: str) -> Refusal | None:
    if dimensions is None:
        return None
    if type(dimensions) is not int:
        return invalid_type("dimensions", "an integer", dimensions)
    if model == "text-embedding-ada-002":
        return refusal("This model does not support specifying dimensions.")
    if dimensions < 1:
        return out_of_range("dimensions", dimensions, "integer", low=1)
    if dimensions > _MOST_DIMENSIONS:
        return out_of_range("dimensions", dimensions, "integer", high=_MOST_DIMENSIONS)
    most = _DIMENSIONS.get(model, _USUAL_DIMENSIONS)
    if model.startswith("text-embedding-3-") and dimensions > most:
        message = f"Invalid value for 'dimensions' = {dimensions}. Must be less than or equal to"
        return refusal(f"{message} {most}.")
    return None


def _is_input(value: JSON) -> bool:
    """Whether this is a text, a list of tokens, or a list of one of these."""
    if isinstance(value, str) or _are_tokens(value):
        return True
    return all((isinstance(each, str) and each) or _are_tokens(each) for each in value)


def _are_tokens(value: JSON) -> bool:
    return isinstance(value, list) and bool(value) and all(type(each) is int for each in value)


def _inputs_of(body: JSONObject) -> list[JSON]:
    given = body["input"]
    return [given] if isinstance(given, str) or _are_tokens(given) else given


def _words(text: JSON) -> tuple[str, ...]:
    if isinstance(text, str):
        return tuple(_WORD.findall(text.lower())) or (text,)
    return tuple(map(str, text))  # tokens


@lru_cache(maxsize=256)
def _vector(words: tuple[str, ...], size: int) -> tuple[float, ...]:
    vector = [0.0] * size
    for word in words:
        for place, sign in _places(word):
            vector[place % size] += sign
    length = math.hypot(*vector)
    if not length:  # the words cancel each other out, in few dimensions
        vector[0] = length = 1.0
    return tuple(_single(x / length) for x in vector)


@lru_cache(maxsize=4096)
def _places(word: str) -> tuple[tuple[int, int], ...]:
    """Where a word counts in a vector, and as 1 or -1."""
    digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=_PLACES * 4)
    numbers = struct.unpack(f"<{_PLACES}I", digest.digest())
    return tuple((number >> 1, 1 if number & 1 else -1) for number in numbers)


def _single(x: float) -> float:
    """The number in single precision, as it comes out of base64 as well."""
    rounded: float = struct.unpack("<f", struct.pack("<f", x))[0]
    return rounded


def _in_base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
