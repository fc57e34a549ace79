"""Secrets that are known by their value: from the environment and from live requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pytest_chatapi.redaction.encodings import longest_run, needs_unescaping
from pytest_chatapi.redaction.replacing import IN_BASE64, REDACTED, Hit
from pytest_chatapi.redaction.shapes import MASKED, SHAPES, SPACED
from pytest_chatapi.redaction.values import is_dummy

__all__ = ["CleanTexts", "Known"]

# Words, numbers and paths: what people set where nothing is secret.
_PLAIN = re.compile(
    r"[A-Za-z]?[a-z]{0,13}|[A-Z]{0,14}|[0-9.,:+-]{0,15}"
    r"|(?:~|\.\.?|[A-Za-z]:)?(?:[/\\][A-Z]?[a-z0-9._-]*)+"
)
# What each cassette and each chat has: a key that is spelled like one of these is no secret.
_FIELDS = (
    "interactions request response method uri headers body string status code message chatapi "
    "recorded_at pieces version phase error content-type application/json text/event-stream "
    "x-request-id openai-processing-ms openai-version openai-organization retry-after-ms "
    "/v1/chat/completions chat.completion.chunk chatcmpl- system_fingerprint finish_reason "
    "logprobs prompt_tokens completion_tokens total_tokens completion_tokens_details "
    "prompt_tokens_details cached_tokens reasoning_tokens audio_tokens tool_calls json_schema "
    "json_object image_url max_completion_tokens response_format stream_options include_usage"
)
_PLACEHOLDERS = " ".join([IN_BASE64, *(shape.placeholder for shape in (*SHAPES, *SPACED, MASKED))])


class CleanTexts(set[str]):
    """Texts that hold nothing secret. It forgets all of them when it is full."""

    MOST = 8192
    LONGEST = 256

    def remember(self, text: str) -> None:
        """Add a text, unless it is too long to be worth its memory."""
        if len(text) > self.LONGEST:
            return
        if len(self) >= self.MOST:
            self.clear()
        self.add(text)


class KnownValue(NamedTuple):
    """A secret.

    Attributes:
        text: the secret itself.
        kind: what it is, in words for messages.
        run: the long run in it that is looked for first; empty where there is none.
        needs_unescaping: it may be written with escapes that elsewhere hide nothing.
    """

    text: str
    kind: str
    run: str
    needs_unescaping: bool

    def hits(self, text: str) -> Iterator[Hit]:
        at = text.find(self.text)
        while at >= 0:
            end = at + len(self.text)
            yield Hit(at, end, REDACTED, self.kind)
            at = text.find(self.text, end)


class Known:
    """All values that are known at one moment; it never changes, but for what it remembers.

    Other threads may be reading it, so more values make a new one (see `plus`).

    Attributes:
        in_runs: values with a long run in them.
        others: values without one.
        needs_unescaping: one of the values does.
        clean_texts, clean_runs: what holds none of these values and no known shape.
    """

    def __init__(self, values: Iterable[KnownValue] = ()) -> None:
        self._values = {value.text: value for value in values}
        self.in_runs = [value for value in self._values.values() if value.run]
        self.others = [value for value in self._values.values() if not value.run]
        self.needs_unescaping = any(value.needs_unescaping for value in self._values.values())
        self.clean_texts, self.clean_runs = CleanTexts(), CleanTexts()

    def plus(self, secrets: Iterable[tuple[str, str]], shortest: int) -> Known:
        """With more values, as pairs of text and kind; itself where none of them is new.

        Args:
            shortest: characters of a value that is worth knowing.
        """
        new = {
            text: kind
            for text, kind in secrets
            if len(text) >= shortest and text not in self._values and _can_be_secret(text)
        }
        if not new:
            return self
        for text, kind in list(new.items()):
            # Data that was decoded is read as Latin-1.
            new[text.encode("utf-8", "surrogatepass").decode("latin-1")] = kind
        values = (
            KnownValue(text, kind, longest_run(text), needs_unescaping(text))
            for text, kind in new.items()
        )
        return Known((*self._values.values(), *values))


def _can_be_secret(text: str) -> bool:
    """Whether this is no word, which other texts hold as well, no placeholder and no dummy."""
    return not (
        REDACTED in text
        or text in _PLACEHOLDERS
        or text in _FIELDS
        or _PLAIN.fullmatch(text)
        or is_dummy(text)
    )
