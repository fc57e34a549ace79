"""What a run took, in a few lines for the terminal, and as a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from pytest_chatapi.contract.wording import plural
from pytest_chatapi.figures.price import Prices
from pytest_chatapi.figures.summary import Group, Priced, by_model
from pytest_chatapi.plugin.tally import Tally

__all__ = ["RunFigures", "properties_of"]


class RunFigures:
    """What all tests of a run sent.

    Args:
        tallies: of the tests.
    """

    def __init__(self, tallies: Iterable[Tally], prices: Prices) -> None:
        self.tallies, self.prices = list(tallies), prices
        self.exchanges = [
            Priced(one, prices.cost(one)) for tally in self.tallies for one in tally.figures
        ]
        self.others = sum((tally.others for tally in self.tallies), Counter[str]())

    def lines(self, *, is_verbose: bool) -> Iterator[str]:
        """What is worth a line; nothing if nothing happened."""
        live, replayed, mocked = (self._of(name) for name in ("live", "replayed", "mock"))
        if live.exchanges:
            yield _source_line(live, "live", "spent", is_verbose=True)
        if earlier := [one for tally in self.tallies for one in tally.earlier]:
            group = Group("", [Priced(one, self.prices.cost(one)) for one in earlier])
            yield _source_line(group, "live in earlier tries of tests", "spent", is_verbose=True)
        if uncounted := sum((tally.uncounted for tally in self.tallies), Counter[str]()):
            yield f"live, but not counted, of other APIs: {_listed(uncounted)}"
        parts = []
        if replayed.exchanges:
            parts.append(_source_line(replayed, "replayed", "saved", is_verbose=is_verbose))
        if mocked.exchanges:
            parts.append(f"{len(mocked.exchanges):,} mocked")
        if parts:
            yield "; ".join(parts)
        if is_verbose:
            yield from self._by_model()
            if self.others:
                yield f"not counted, of other APIs: {_listed(self.others)}"
        yield from _slowest(self.exchanges)
        yield from _disagreements(self.exchanges)

    def _of(self, source: str) -> Group:
        return Group("", [one for one in self.exchanges if one.figures.source == source])

    def _by_model(self) -> Iterator[str]:
        for group in by_model(one for one in self.exchanges if one.figures.source != "mock"):
            parts = [f"{len(group.exchanges):,}"]
            if group.tokens("total") is not None:
                prompt, completion = group.tokens("prompt"), group.tokens("completion")
                parts.append(f"{prompt or 0:,} prompt and {completion or 0:,} completion tokens")
            if group.usd is not None:
                parts.append(_usd(group.usd))
            if first := group.spread(lambda one: one.timing.first_token):
                parts.append(f"first token {first['median']:.2f} s")
            if speed := group.spread(lambda one: one.timing.tokens_per_second):
                parts.append(f"{speed['median']:.0f} tokens/s")
            yield f"  {group.name}: {', '.join(parts)}"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.most_common())


def _source_line(group: Group, source: str, verb: str, *, is_verbose: bool) -> str:
    """One source in words: ``3 live: 1,204 tokens, 0.0042 USD spent``.

    Args:
        is_verbose: say it as well if no cost is known at all.
    """
    head = f"{len(group.exchanges):,} {source}"
    parts = []
    tokens = group.tokens("total")
    if tokens is not None:
        parts.append(plural(tokens, "token"))
    if group.unreported:
        parts.append(f"{group.unreported:,} without usage")
    if group.usd is not None:
        parts.append(f"{_usd(group.usd)} {verb}")
    if group.unpriced and group.usd is not None:
        parts.append(f"{group.unpriced:,} at an unknown price")
    elif group.unpriced and is_verbose:
        parts.append("at an unknown price")
    return f"{head}: {', '.join(parts)}" if parts else head


def _usd(usd: float) -> str:
    return f"{usd:.4f} USD" if usd >= 0.0001 or not usd else "under 0.0001 USD"


def _slowest(exchanges: Sequence[Priced]) -> Iterator[str]:
    known = [
        (first, one.figures)
        for one in exchanges
        if one.figures.source != "mock" and (first := one.figures.timing.first_token) is not None
    ]
    if known:
        first, figures = max(known, key=lambda pair: pair[0])
        recorded = "" if figures.source == "live" else ", as recorded"
        yield f"slowest first token: {first:.2f} s{recorded}, {figures.test}"


def _disagreements(exchanges: Sequence[Priced]) -> Iterator[str]:
    wrong = [one.figures for one in exchanges if one.figures.speeds_disagree]
    for figures in wrong[:1]:
        more = f"; {plural(len(wrong) - 1, 'more response')}" if len(wrong) > 1 else ""
        yield (
            f"speed: the server says {figures.server_tokens_per_second:.0f} tokens/s, measured "
            f"{figures.timing.tokens_per_second:.0f}, {figures.test}{more}"
        )


def properties_of(tally: Tally, prices: Prices) -> Iterator[tuple[str, object]]:
    """What ``--junitxml`` has of a test: what is known, and how many responses are not in it."""
    if figures := tally.figures:
        group = Group("", [Priced(one, prices.cost(one)) for one in figures])
        yield "chatapi_calls", len(group.exchanges)
        for source, count in Counter(one.source for one in figures).items():
            yield f"chatapi_calls_{source}", count
        for kind in ("prompt", "completion", "total"):
            if (tokens := group.tokens(kind)) is not None:
                yield f"chatapi_{kind}_tokens", tokens
        if group.usd is not None:
            yield "chatapi_usd", f"{group.usd:.6f}"
        if group.unreported:
            yield "chatapi_unreported", group.unreported
        if group.unpriced:
            yield "chatapi_unpriced", group.unpriced
        if first := group.slowest_first_token:
            yield "chatapi_ttft_seconds", f"{first:.3f}"
    for score in tally.scores:
        yield f"chatapi_score_{score.name}", f"{score.value:g}"
