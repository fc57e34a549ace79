"""Figures of many exchanges: sums, medians, and how many did not report what."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.figures.measure import Figures
from pytest_chatapi.figures.price import Cost, Prices

__all__ = ["Group", "Priced", "by_model"]


@dataclass(frozen=True, slots=True)
class Priced:
    """The figures of an exchange with what it cost."""

    figures: Figures
    cost: Cost


@dataclass
class Group:
    """The exchanges of one model, of one test, or of a run."""

    name: str
    exchanges: list[Priced] = field(default_factory=list)

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
            one.figures.tokens.total is None and one.figures.status == 200 for one in self.exchanges
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

    def to_json(self) -> JSONObject:
        return {
            "name": self.name,
            "exchanges": len(self.exchanges),
            "sources": dict(Counter(one.figures.source for one in self.exchanges)),
            **{
                f"{kind}_tokens": self.tokens(kind)
                for kind in ("prompt", "completion", "total", "cached", "cache_write", "reasoning")
            },
            "unreported": self.unreported,
            "usd": self.usd,
            "unpriced": self.unpriced,
            "usd_per_million_tokens": self.usd_per_million,
            "ttft_seconds": self.spread(lambda f: f.timing.first_token),
            "tokens_per_second": self.spread(lambda f: f.timing.tokens_per_second),
            "seconds": self.spread(lambda f: f.timing.total),
        }


def _percentile(known: Sequence[float], share: float) -> float:
    """By the nearest rank, so that each figure is one that was measured."""
    return known[min(round(share * (len(known) - 1)), len(known) - 1)]


def by_model(exchanges: Iterable[Figures], prices: Prices) -> list[Group]:
    """One group for each model, the dearest in tokens first."""
    groups: dict[str, Group] = {}
    for figures in exchanges:
        name = figures.model or "unknown model"
        group = groups.setdefault(name, Group(name))
        group.exchanges.append(Priced(figures, prices.cost(figures)))
    return sorted(groups.values(), key=lambda group: -(group.tokens("total") or 0))
