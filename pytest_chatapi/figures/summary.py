"""Figures of many exchanges: sums, medians, and how many did not report what."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields

from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import plural
from pytest_chatapi.figures.measure import Figures, Form, Tokens
from pytest_chatapi.figures.price import Cost

__all__ = ["TOKENS", "Group", "Priced", "by_model"]

TOKENS = tuple(one.name for one in fields(Tokens))
"""The kinds of tokens."""


@dataclass(frozen=True, slots=True)
class Priced:
    """The figures of an exchange with what it cost."""

    figures: Figures
    cost: Cost


@dataclass(repr=False)
class Group:
    """The exchanges of one model, of one test, or of a run."""

    name: str
    exchanges: list[Priced] = field(default_factory=list)

    def __repr__(self) -> str:
        tokens, usd = self.tokens("total"), self.usd
        known = [] if tokens is None else [plural(tokens, "token")]
        known += [] if usd is None else [f"{usd:.6f} USD"]
        return f"<{', '.join([plural(len(self.exchanges), 'exchange'), *known])}>"

    def tokens(self, kind: str) -> int | None:
        """The sum of a count over the exchanges that report it; ``None`` where none does.

        Args:
            kind: an attribute of `Tokens`.
        """
        counts = [getattr(one.figures.tokens, kind) for one in self.exchanges]
        known = [count for count in counts if count is not None]
        return sum(known) if known else None

    @property
    def unreported(self) -> int:
        """How many successful exchanges report no usage."""
        return sum(
            one.figures.tokens.total is None and 200 <= one.figures.status < 300
            for one in self.exchanges
        )

    @property
    def usd(self) -> float | None:
        """What those exchanges cost whose cost is known; ``None`` where none is."""
        known = [one.cost.usd for one in self.exchanges if one.cost.usd is not None]
        return sum(known) if known else None

    @property
    def unpriced(self) -> int:
        """How many exchanges with tokens have no known cost."""
        return sum(
            one.cost.usd is None and one.figures.tokens.total is not None for one in self.exchanges
        )

    @property
    def usd_per_million(self) -> float | None:
        """Effective price: cost by tokens, of the exchanges where both are known."""
        both = [
            (one.cost.usd, one.figures.tokens.total)
            for one in self.exchanges
            if one.cost.usd is not None and one.figures.tokens.total
        ]
        tokens = sum(total for _, total in both)
        return sum(usd for usd, _ in both) / tokens * 1e6 if tokens else None

    @property
    def slowest_first_token(self) -> float | None:
        """The most seconds to a first token; ``None`` where none was measured."""
        firsts = (one.figures.timing.first_token for one in self.exchanges)
        return max((first for first in firsts if first is not None), default=None)

    def spread(self, value: Callable[[Figures], float | None]) -> JSONObject | None:
        """Count, median, and 5th and 95th percentile of what is known."""
        known = sorted(v for one in self.exchanges if (v := value(one.figures)) is not None)
        if not known:
            return None
        return {
            "n": len(known),
            "median": statistics.median(known),
            "p5": _percentile(known, 0.05),
            "p95": _percentile(known, 0.95),
        }

    def sums(self) -> JSONObject:
        """What adds up."""
        return {
            "exchanges": len(self.exchanges),
            "sources": dict(Counter(one.figures.source for one in self.exchanges)),
            **{f"{kind}_tokens": self.tokens(kind) for kind in TOKENS},
            "unreported": self.unreported,
            "usd": self.usd,
            "unpriced": self.unpriced,
        }

    def form(self) -> JSONObject:
        """The sums of `Form`, of errors and of warnings, and their shares per 1,000."""
        counts = {
            field.name: sum(getattr(one.figures.form, field.name) for one in self.exchanges)
            for field in fields(Form)
        }
        counts["findings"] = sum(
            finding["level"] != "note" for one in self.exchanges for finding in one.figures.findings
        )
        of = {
            "valid_tool_calls": counts["tool_calls"],
            "valid_json": counts["json"],
            "cut": counts["answers"],
            "refused": counts["answers"],
            "findings": len(self.exchanges),
        }
        return {
            **counts,
            **{f"{n}_per_1000": counts[n] / all * 1000 if all else None for n, all in of.items()},
        }

    def to_json(self) -> JSONObject:
        return {
            "name": self.name,
            **self.sums(),
            "usd_per_million_tokens": self.usd_per_million,
            "ttft_seconds": self.spread(lambda f: f.timing.first_token),
            "first_answer_seconds": self.spread(lambda f: f.timing.first_answer),
            "tokens_per_second": self.spread(lambda f: f.timing.tokens_per_second),
            "server_tokens_per_second": self.spread(lambda f: f.server_tokens_per_second),
            "tokens_per_chunk": self.spread(lambda f: f.timing.tokens_per_chunk),
            "seconds": self.spread(lambda f: f.timing.total),
            "speeds_disagree": sum(one.figures.speeds_disagree for one in self.exchanges),
            "form": self.form(),
        }


def _percentile(known: Sequence[float], share: float) -> float:
    """By the nearest rank, so that each figure is one that was measured."""
    return known[min(round(share * (len(known) - 1)), len(known) - 1)]


def by_model(exchanges: Iterable[Priced]) -> list[Group]:
    """One group for each model, the one with the most tokens first."""
    groups: dict[str, Group] = {}
    for one in exchanges:
        name = one.figures.model or "unknown model"
        groups.setdefault(name, Group(name)).exchanges.append(one)
    return sorted(groups.values(), key=lambda group: -(group.tokens("total") or 0))
