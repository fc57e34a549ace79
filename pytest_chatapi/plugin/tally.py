"""What one test sent, as it is added up at the end of the run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from pytest_chatapi.contract.check import CheckResult
from pytest_chatapi.contract.endpoint import checked_row_of
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import mask
from pytest_chatapi.figures.frames import Frames
from pytest_chatapi.figures.measure import Brief, Figures, brief_of
from pytest_chatapi.figures.price import Cost
from pytest_chatapi.figures.report import Score, figures_of_row, row_of
from pytest_chatapi.figures.summary import Priced
from pytest_chatapi.plugin.budget import uncounted_api
from pytest_chatapi.plugin.handle import ChatAPI
from pytest_chatapi.plugin.policy import checker_of
from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["Checked", "Tally", "tally_of"]

Checked: TypeAlias = Mapping[int, tuple[CheckResult, Sequence[Finding]]]
"""What the check of each exchange returned, and those of its findings that count, by number."""


@dataclass
class Tally:
    """What one test sent.

    Attributes:
        test: its node id, without secrets.
        exchanges: its chat completions.
        others: how many exchanges of each other API.
        uncounted: of these, live ones that cost something nobody counts.
        earlier: what earlier tries of the test sent live: paid for, but not part of its figures.
    """

    test: str
    exchanges: list[Figures | Brief] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    scores: list[Score] = field(default_factory=list)
    earlier: list[Figures] = field(default_factory=list)
    uncounted: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return bool(self.exchanges or self.others or self.scores or self.earlier)

    @property
    def figures(self) -> list[Figures]:
        """Of its chat completions."""
        return [one.figures() if isinstance(one, Brief) else one for one in self.exchanges]

    def to_json(self) -> JSONObject:
        """What a worker of pytest-xdist sends."""
        return {
            "test": self.test,
            "exchanges": _rows_of(self.figures),
            "others": dict(self.others),
            "scores": [list(score) for score in self.scores],
            "earlier": _rows_of(self.earlier),
            "uncounted": dict(self.uncounted),
        }

    @classmethod
    def from_json(cls, data: JSONObject) -> Tally:
        return cls(
            data["test"],
            [figures_of_row(row) for row in data["exchanges"]],
            Counter(data["others"]),
            [Score(*score) for score in data["scores"]],
            [figures_of_row(row) for row in data["earlier"]],
            Counter(data["uncounted"]),
        )

    @property
    def paid(self) -> list[Figures]:
        """What all tries so far have sent live."""
        return [*self.earlier, *(one for one in self.figures if one.source == "live")]


def _rows_of(exchanges: Sequence[Figures]) -> list[JSONObject]:
    return [row_of(Priced(one, _price_of(one))) for one in exchanges]


def _price_of(figures: Figures) -> Cost:
    """The cost that the response says: lists are looked up once, at the end of the run."""
    return Cost(figures.wire_usd, "" if figures.wire_usd is None else "response")


def tally_of(handle: ChatAPI, nodeid: str, checked: Checked, frames: Frames | None = None) -> Tally:
    """Add up what a test sent.

    Args:
        checked: the exchanges that were checked, by number.
        frames: for a report: it has also how fast replayed exchanges were when they were recorded,
            and what was found in which frame.
    """
    redactor = handle.recorder.redactor
    test = mask(redactor.text(nodeid))
    tally = Tally(test)
    for name, value in handle.scores:
        tally.scores.append(Score(test, mask(redactor.text(name)), value))
    for number, exchange in enumerate(handle.exchanges):
        result, findings = checked.get(number, (None, ()))
        api = result.api if result is not None else checked_row_of(exchange).name
        source = handle.source_of(exchange)
        if api != "chat":
            tally.others[api] += 1
            if source == "live" and uncounted_api(exchange):
                tally.uncounted[api] += 1
        elif source == "mock" and frames is None:  # only their number counts
            tally.exchanges.append(Brief(source, test))
        else:
            result = checker_of(handle.settings).check(exchange) if result is None else result
            if source == "replayed" and frames is None:
                tally.exchanges.append(brief_of(exchange, source, result, test))
                continue
            rows: Sequence[JSONObject] = ()
            if frames is not None and findings:
                rows = _found(exchange, findings, frames, redactor)
            tally.exchanges.append(handle.figures_of(exchange, result, findings=rows, test=test))
    return tally


def _found(
    exchange: Exchange, findings: Sequence[Finding], frames: Frames, redactor: Redactor
) -> list[JSONObject]:
    """Findings as JSON, without the secrets that only this test's recorder knows."""
    request, response = exchange.request, exchange.response

    def plain(body: JSON) -> JSON:
        return redactor.text(body.decode("utf-8", "replace")) if isinstance(body, bytes) else body

    # Redact before a frame is shortened: a part of a key does not look like one.
    shown = Exchange(
        Request(request.method, "", {}, plain(request.body)) if request is not None else None,
        Response(response.status, {}, plain(response.content)) if response is not None else None,
    )
    rows: list[JSONObject] = json.loads(redactor.text(json.dumps(frames.of(shown, findings))))
    return rows
