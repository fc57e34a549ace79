"""When the pieces of a response arrive: after a time to the first token, then token by token."""

from __future__ import annotations

import json
import random
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.errors import SettingError
from pytest_chatapi.mock.tokens import tokens
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.recording.kinds import RATE, SECONDS, SHARE

__all__ = ["Pace", "Paced", "pace_of", "with_pace"]

_EVENT = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r|\Z)", re.DOTALL)
_DATA = re.compile(rb"^data: ?([^\r\n]*)", re.MULTILINE)
_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")


@dataclass(frozen=True)
class Pace:
    """How fast responses come.

    Attributes:
        ttft: seconds until the first token.
        tokens_per_second: of each choice; ``None`` for all at once after the first.
        jitter: each wait is longer or shorter by up to this share of it; the same for the same
            response in each run.
    """

    ttft: float
    tokens_per_second: float | None
    jitter: float

    def paced(self, interaction: Interaction) -> Interaction:
        """The response with times of arrival, a stream in a piece for each event.

        An unstreamed response arrives with its last token. What is not a completion stays as it is.
        """
        if not 200 <= interaction.status < 300 or interaction.stalls:
            return interaction
        body = b"".join(interaction.pieces)
        events = [event for event in _EVENT.findall(body) if event]
        counts = list(_tokens_so_far(events))
        if any(count is not None for count in counts):
            times = self._arrivals(body, [count or 0 for count in counts])
            return replace(interaction, pieces=events, times=times, stalls=True)
        value = _json(body)
        if not isinstance(value, dict) or not isinstance(value.get("choices"), list):
            return interaction
        count = max(_tokens_in(value).values(), default=0)
        (time,) = self._arrivals(body, [count])
        pieces = list(interaction.pieces)
        return replace(interaction, pieces=pieces, times=[time] * len(pieces), stalls=True)

    def _arrivals(self, body: bytes, counts: Sequence[int]) -> list[float]:
        """The seconds after which so many tokens are there, one for each count."""
        chance = random.Random(zlib.crc32(body))
        gap = 1 / self.tokens_per_second if self.tokens_per_second else 0.0
        moments = [self.ttft * (1 + chance.uniform(-self.jitter, self.jitter))]
        for _ in range(max(counts, default=0) - 1):
            moments.append(moments[-1] + gap * (1 + chance.uniform(-self.jitter, self.jitter)))
        return [moments[max(count - 1, 0)] for count in counts]


def pace_of(ttft: object, tokens_per_second: object, jitter: object) -> Pace | None:
    """The pace with these values, ``None`` where nothing is set.

    Raises:
        SettingError: a value is out of range, or there is nothing for `jitter` to vary.
    """
    __tracebackhide__ = True
    seconds = SECONDS.checked("ttft", ttft)
    rate = RATE.checked("tokens_per_second", tokens_per_second)
    share = SHARE.checked("jitter", jitter)
    if seconds is None and rate is None:
        if share:
            raise SettingError("jitter varies the pace: set ttft or tokens_per_second too")
        return None
    return Pace(seconds or 0.0, rate, share or 0.0)


@dataclass(frozen=True, eq=False, repr=False)
class Paced:
    """A reply of any form, with its pace."""

    reply: object
    pace: Pace

    def __repr__(self) -> str:
        return repr(self.reply)


def with_pace(reply: object, pace: Pace | None) -> object:
    """The reply, with a pace where there is one."""
    return reply if pace is None else Paced(reply, pace)


def _tokens_so_far(events: Sequence[bytes]) -> Iterator[int | None]:
    """The tokens that the longest choice has after each event; ``None`` before the first chunk."""
    total = Counter[int]()
    is_stream = False
    for event in events:
        data = b"\n".join(_DATA.findall(event))
        value = _json(data) if data[:1] == b"{" else None
        if isinstance(value, dict) and isinstance(value.get("choices"), list):
            is_stream = True
            total.update(_tokens_in(value))
        yield max(total.values(), default=0) if is_stream else None


def _json(data: bytes) -> JSON:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _tokens_in(value: JSON) -> Counter[int]:
    """The tokens of each choice of a completion or a chunk."""
    counts = Counter[int]()
    for choice in value["choices"]:
        if not isinstance(choice, dict):
            continue
        said = choice.get("delta") or choice.get("message")
        index = choice.get("index")
        if isinstance(said, dict):
            counts[index if isinstance(index, int) else 0] += sum(
                len(tokens(text)) for text in _texts(said) if isinstance(text, str)
            )
    return counts


def _texts(said: JSON) -> Iterator[JSON]:
    """All texts of a message or a delta."""
    for name in _TEXTS:
        yield said.get(name)
    calls = said.get("tool_calls")
    for call in [said.get("function_call"), *(calls if isinstance(calls, list) else ())]:
        if isinstance(call, dict):
            yield call.get("arguments")
            for kind, text in (("function", "arguments"), ("custom", "input")):
                inner = call.get(kind)
                yield inner.get(text) if isinstance(inner, dict) else None
    audio = said.get("audio")
    yield audio.get("transcript") if isinstance(audio, dict) else None
