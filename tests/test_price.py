"""Prices, and sums over exchanges."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from typing import Any

import pytest

from pytest_chatapi.errors import SettingError
from pytest_chatapi.figures.measure import Figures, Timing, Tokens
from pytest_chatapi.figures.price import Cost, Prices, Rates, own_rates
from pytest_chatapi.figures.summary import Group, Priced, by_model

RATES = Rates(2.0, 8.0, cached=0.5, cache_write=2.5, audio_in=40.0, audio_out=80.0)


def figures(model: str = "m", host: str = "api.openai.com", **more: Any) -> Figures:
    tokens = more.pop("tokens", Tokens(1000, 100, 1100))
    timing = more.pop("timing", Timing())
    return Figures("live", model, model, host, False, 200, tokens, timing, **more)


@pytest.mark.parametrize(
    ("tokens", "usd"),
    [
        (Tokens(1_000_000, 1_000_000, 2_000_000), 10.0),
        (Tokens(1000, 100, 1100), 0.0028),
        (Tokens(1000, 100, 1100, cached=400), 0.0022),
        (Tokens(1000, 100, 1100, cached=400, cache_write=100), 0.00225),
        (Tokens(1000, 100, 1100, reasoning=90), 0.0028),  # inside the completion
        (Tokens(1000, 100, 1100, audio_in=100, audio_out=50), 0.0102),
        (Tokens(1000, None, None), None),
        (Tokens(), None),
    ],
)
def test_what_tokens_cost(tokens: Tokens, usd: float | None) -> None:
    assert RATES.usd(tokens) == (None if usd is None else pytest.approx(usd))


def test_rates_that_are_not_given_are_those_of_plain_tokens() -> None:
    assert Rates(2, 8).usd(Tokens(1000, 100, 1100, cached=400)) == pytest.approx(0.0028)


def test_blends_are_named_by_their_parts() -> None:
    assert RATES.blend(0, 3, 1) == pytest.approx(3.5)
    assert RATES.blend(7, 2, 1) == pytest.approx(1.55)
    assert Rates(2, 8).blend(7, 2, 1) == pytest.approx(2.6)


def test_which_price_counts() -> None:
    prices = Prices({"my-*": RATES})
    assert prices.cost(figures("my-model")) == Cost(pytest.approx(0.0028), "own table")
    assert prices.cost(figures("my-model", wire_usd=0.5)) == Cost(0.5, "response")
    assert prices.cost(figures("your-model", "127.0.0.1")) == Cost(None, "")
    assert prices.cost(figures("my-model", tokens=Tokens())) == Cost(None, "")


def test_list_prices() -> None:
    prices = Prices()
    usd, source = prices.cost(figures("gpt-4o-mini"))
    assert (usd, source) == (pytest.approx(0.00021), "genai-prices")
    # The name of a model says nothing of what another's server takes for it.
    assert prices.cost(figures("gpt-4o-mini", "127.0.0.1:8000")) == Cost(None, "")
    assert prices.cost(figures("gpt-99-astra")) == Cost(None, "")
    flex, _ = prices.rates(figures("gpt-5.4", tier="flex"))
    plain, _ = prices.rates(figures("gpt-5.4"))
    assert flex
    assert plain
    assert flex.input < plain.input


def test_without_the_list_prices_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert Prices().cost(figures("gpt-4o-mini")) == Cost(None, "")


@pytest.mark.parametrize(
    "value",
    [
        5,
        {"input": 1},
        {"input": 1, "output": 2, "outputs": 3},
        {"input": 1, "output": -1},
        {"input": 1, "output": math.inf},
    ],
)
def test_a_table_of_prices_that_is_wrong(value: object) -> None:
    with pytest.raises(SettingError, match="the price of 'm'"):
        own_rates("m", value)
    assert own_rates("m", {"input": 1, "output": 2}) == Rates(1, 2)


def test_the_prices_and_indexes_of_a_project() -> None:
    table = {"input": 2, "output": 8, "cached": 0.5}
    index = {"value": 60, "source": "ours"}
    prices = Prices.of({"prices": {"m*": table}, "quality_index": {"m": index}})
    listed = {"input": 2, "output": 8, "cached": 0.5, "cache_write": None, "source": "own table"}
    # (3 * 2 + 8) / 4, (7 * 0.5 + 2 * 2 + 8) / 10
    assert prices.listed(figures("m-1")) == {**listed, "3:1": 3.5, "7:2:1": 1.55}
    assert prices.listed(figures("x", "h")) is None
    assert (prices.quality("m"), prices.quality("m-1")) == (index, None)
    flex, plain = (Prices().listed(figures("gpt-5.4", tier=tier)) for tier in ("flex", ""))
    assert flex == plain
    long = figures("gemini-2.5-pro", "generativelanguage.googleapis.com", tokens=Tokens(300_000, 1))
    short = replace(long, tokens=Tokens(1, 1))
    assert Prices().rates(long) != Prices().rates(short)
    assert Prices().listed(long) == Prices().listed(short)


def test_sums_say_what_is_not_known() -> None:
    prices = Prices({"m": Rates(1, 1)})
    several = [figures(timing=Timing(first_token=first)) for first in (0.1, 0.2, 0.3, 0.4, 5.0)]
    every = [*several, figures(tokens=Tokens()), figures("x", "h")]
    (group, other) = by_model(Priced(one, prices.cost(one)) for one in every)
    assert repr(group) == "<6 exchanges, 5,500 tokens, 0.005500 USD>"
    assert repr(other) == "<1 exchange, 1,100 tokens>"
    assert group.to_json() == {
        **group.to_json(),
        "name": "m",
        "exchanges": 6,
        "sources": {"live": 6},
        "prompt_tokens": 5000,
        "completion_tokens": 500,
        "total_tokens": 5500,
        "cached_tokens": None,
        "cache_write_tokens": None,
        "reasoning_tokens": None,
        "unreported": 1,
        "usd": pytest.approx(0.0055),
        "unpriced": 0,
        "usd_per_million_tokens": pytest.approx(1.0),
        "ttft_seconds": {"n": 5, "median": 0.3, "p5": 0.1, "p95": 5.0},
        "tokens_per_second": None,
        "seconds": None,
    }
    assert (other.usd, other.unpriced) == (None, 1)
    assert Group("", [Priced(figures(tokens=Tokens()), Cost(None, ""))]).usd_per_million is None


def test_any_2xx_is_a_success_that_reports_usage_or_not() -> None:
    """As budgets have it."""
    statuses = (0, 199, 200, 202, 299, 300, 429)
    every = [replace(figures(tokens=Tokens()), status=status) for status in statuses]
    assert Group("m", [Priced(one, Cost(None, "")) for one in every]).unreported == 3
