"""What one test sent, as it is added up at the end of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from pytest_chatapi.contract.check import CheckResult
from pytest_chatapi.contract.endpoint import checked_row_of
from pytest_chatapi.contract.exchange import Exchange, Response
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.sse import decode_sse
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import mask
from pytest_chatapi.figures.measure import Figures, Source, Timing, Tokens
from pytest_chatapi.figures.price import Cost
from pytest_chatapi.figures.report import Score, figures_of_row, row_of
from pytest_chatapi.figures.summary import Priced
from pytest_chatapi.plugin.handle import ChatAPI
from pytest_chatapi.plugin.policy import checker_of

__all__ = ["Checked", "Tally", "tally_of"]

Checked: TypeAlias = Mapping[int, tuple[CheckResult, Sequence[Finding]]]
"""What the check of each exchange returned, and those of its findings that count, by number."""

_FRAMES = 3
"""How many findings of a test are shown with what they are about."""
_FRAME = 2000  # characters


@dataclass
class Tally:
    """What one test sent.

    Attributes:
        figures: of its chat completions.
        others: how many exchanges of each other API.
    """

    figures: list[Figures] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    scores: list[Score] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.figures or self.others or self.scores)

    def to_json(self) -> JSONObject:
        """What a worker of pytest-xdist sends."""
        return {
            "exchanges": [row_of(Priced(one, _price_of(one))) for one in self.figures],
            "others": dict(self.others),
            "scores": [list(score) for score in self.scores],
        }

    @classmethod
    def from_json(cls, data: JSONObject) -> Tally:
        return cls(
            [figures_of_row(row) for row in data["exchanges"]],
            Counter(data["others"]),
            [Score(*score) for score in data["scores"]],
        )


def _price_of(figures: Figures) -> Cost:
    """The cost that the response says: lists are looked up once, at the end of the run."""
    return Cost(figures.wire_usd, "" if figures.wire_usd is None else "response")


def tally_of(handle: ChatAPI, nodeid: str, checked: Checked, *, full: bool) -> Tally:
    """Add up what a test sent.

    Args:
        checked: the exchanges that were checked, by number.
        full: also how fast replayed ones were when they were recorded, and what was found.
    """
    tally = Tally(scores=[Score(nodeid, name, value) for name, value in handle.scores])
    frames = _FRAMES
    for number, exchange in enumerate(handle.exchanges):
        result, findings = checked.get(number, (None, ()))
        api = result.api if result is not None else checked_row_of(exchange).name
        source = handle.source_of(exchange)
        if api != "chat":
            tally.others[api] += 1
        elif source == "mock" and not full:  # only their number counts
            tally.figures.append(_counted(exchange, source, nodeid))
        else:
            if result is None:
                result = checker_of(handle.settings).check(exchange)
            rows = []
            for finding in findings if full else ():
                rows.append(row := finding.to_json())
                if frames and (frame := _frame_of(handle, exchange, finding)):
                    row["frame"] = frame
                    frames -= 1
            is_timed = full or source == "live"
            figures = handle.figures_of(
                exchange, result, findings=rows, test=nodeid, timed=is_timed
            )
            tally.figures.append(_masked(figures) if full else figures)
    return tally


def _counted(exchange: Exchange, source: Source, nodeid: str) -> Figures:
    status = exchange.response.status if exchange.response is not None else 0
    return Figures(source, "", "", "", False, status, Tokens(), Timing(), test=nodeid)


def _masked(figures: Figures) -> Figures:
    names = ("test", "model", "requested_model", "host", "tier", "organization", "project")
    masked: dict[str, Any] = {name: mask(getattr(figures, name)) for name in names}
    return replace(figures, **masked)


def _frame_of(handle: ChatAPI, exchange: Exchange, finding: Finding) -> str:
    """What a finding is about, without secrets: a chunk of a stream, or the beginning of a body."""
    if finding.code.startswith("Q"):
        body = exchange.request.body if exchange.request is not None else None
        data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else b""
    else:
        data = _chunk(exchange.response, finding.chunk) if exchange.response is not None else b""
    # Masked before it is shortened: a part of a key looks harmless.
    text = handle.recorder.redactor.text(data[: _FRAME * 10].decode("utf-8", "replace"))
    return mask(text)[:_FRAME]


def _chunk(response: Response, number: int | None) -> bytes:
    if number is None:
        return response.content
    events = (data for data, _, _ in decode_sse([response.content]))
    return next((data for at, data in enumerate(events) if at == number), b"")
