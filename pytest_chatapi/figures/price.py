"""What tokens cost: by the response itself, by the project's own table, by genai-prices."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from math import inf
from typing import Any, Literal, NamedTuple

from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.errors import SettingError
from pytest_chatapi.figures.measure import Figures, Tokens

__all__ = ["UNKNOWN", "Cost", "Prices", "Rates"]


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per million tokens; ``None`` costs as much as the plain token that it is part of.

    Attributes:
        input, output: of plain tokens.
        cached: of the prompt, read from a cache.
        cache_write: of the prompt, written into a cache.
    """

    input: float
    output: float
    cached: float | None = None
    cache_write: float | None = None
    audio_in: float | None = None
    audio_out: float | None = None

    def usd(self, tokens: Tokens) -> float | None:
        """The cost of these tokens; ``None`` where prompt or completion were not reported.

        Reasoning and rejected predictions are part of the completion already.
        """
        if tokens.prompt is None or tokens.completion is None:
            return None
        plain = tokens.prompt
        total = 0.0
        for count, rate in (
            (tokens.cached, self.cached),
            (tokens.cache_write, self.cache_write),
            (tokens.audio_in, self.audio_in),
        ):
            if count and rate is not None:
                plain -= count
                total += count * rate
        written = tokens.completion
        if tokens.audio_out and self.audio_out is not None:
            written -= tokens.audio_out
            total += tokens.audio_out * self.audio_out
        return (total + max(plain, 0) * self.input + max(written, 0) * self.output) / 1e6

    def blend(self, cached: int, prompt: int, completion: int) -> float:
        """USD per million tokens of a mix, in parts: 0:3:1, or 7:2:1 with cached ones."""
        cache_rate = self.input if self.cached is None else self.cached
        parts = cached + prompt + completion
        return (cached * cache_rate + prompt * self.input + completion * self.output) / parts


class Cost(NamedTuple):
    """What an exchange cost.

    Attributes:
        usd: ``None`` where it is not known, which is not 0.
        source: of the price; ``""`` where there is none.
    """

    usd: float | None
    source: Literal["", "response", "own table", "genai-prices"]


UNKNOWN = Cost(None, "")


class Prices:
    """The prices of models, and what a project's settings say of their quality.

    Args:
        own: a pattern for names of models (``my-*``) to what they cost; comes before all lists.
        indexes: a pattern to ``value`` and ``source`` of a quality index.
    """

    def __init__(
        self,
        own: Mapping[str, Rates] | None = None,
        indexes: Mapping[str, JSONObject] | None = None,
    ) -> None:
        self._own, self._indexes = dict(own or {}), dict(indexes or {})
        self._rates_of = cache(self._find)  # a search takes longer than a replayed request

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Prices:
        """By the settings of a file, which are validated."""
        own = {name: own_rates(name, table) for name, table in settings.get("prices", {}).items()}
        return cls(own, settings.get("quality_index"))

    def cost(self, figures: Figures) -> Cost:
        """What an exchange cost: the response's own word comes first."""
        if figures.wire_usd is not None:
            return Cost(figures.wire_usd, "response")
        rates, source = self.rates(figures)
        usd = rates.usd(figures.tokens) if rates is not None else None
        return Cost(usd, source if usd is not None else "")

    def rates(
        self, figures: Figures
    ) -> tuple[Rates | None, Literal["", "own table", "genai-prices"]]:
        """The list price of the model of an exchange, and whose list that is."""
        for name in dict.fromkeys((figures.model, figures.requested_model)):
            price, source = self._rates_of(name, figures.host, figures.tier)
            if price is not None:
                return price(figures.tokens.prompt or 0), source
        return None, ""

    def listed(self, figures: Figures) -> JSONObject | None:
        """The list price of the model of an exchange, at the usual tier and for a short prompt."""
        rates, source = self.rates(replace(figures, tier="", tokens=Tokens()))
        if rates is None:
            return None
        return {
            "input": rates.input,
            "output": rates.output,
            "cached": rates.cached,
            "cache_write": rates.cache_write,
            "3:1": rates.blend(0, 3, 1),
            "7:2:1": rates.blend(7, 2, 1),
            "source": source,
        }

    def quality(self, model: str) -> JSONObject | None:
        """The quality index of a model in the settings."""
        return next(
            (dict(i) for name, i in self._indexes.items() if fnmatch.fnmatchcase(model, name)), None
        )

    def _find(
        self, model: str, host: str, tier: str
    ) -> tuple[Callable[[int], Rates] | None, Literal["", "own table", "genai-prices"]]:
        for pattern, rates in self._own.items():
            if fnmatch.fnmatchcase(model, pattern):
                return partial(_constant, rates), "own table"
        listed = _listed(model, host, tier)
        return (listed, "genai-prices") if listed is not None else (None, "")


def _constant(rates: Rates, prompt: int) -> Rates:
    return rates


def own_rates(name: str, value: object) -> Rates:
    """The rates in a project's own table.

    Raises:
        SettingError: they are none.
    """
    names = [field.name for field in fields(Rates)]
    if not isinstance(value, Mapping) or not {"input", "output"} <= value.keys() <= set(names):
        raise SettingError(
            f"the price of {name!r} must be a table with input and output, in USD per million "
            f"tokens, and may have {', '.join(names[2:])}"
        )
    for part, rate in value.items():
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < inf:
            raise SettingError(f"the price of {name!r}: {part} must be a number of at least 0")
    return Rates(**value)


def own_index(name: str, value: object) -> None:
    """Validate an entry of a project's table of quality indexes.

    Raises:
        SettingError: it is wrong.
    """
    value = value if isinstance(value, Mapping) else {}
    number, source = value.get("value"), value.get("source")
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if value.keys() != {"value", "source"} or not is_number or not isinstance(source, str):
        raise SettingError(
            f"the quality index of {name!r} must be a table with value, a number, and source, "
            "whose figure it is"
        )


def _listed(model: str, host: str, tier: str) -> Callable[[int], Rates] | None:
    """The rates of genai-prices, by the size of the prompt; ``None`` without the package."""
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None
    try:
        found = calc_price(
            Usage(input_tokens=1, output_tokens=1),
            model,
            provider_api_url=f"https://{host}",  # a model costs nothing known on another's server
            price_context={"service_tier": tier} if tier in ("flex", "priority") else None,
        )
    except LookupError:
        return None
    price = found.model_price
    if getattr(price, "input_mtok", None) is None or getattr(price, "output_mtok", None) is None:
        return None

    def rates(prompt: int) -> Rates:
        def rate(name: str) -> float | None:
            value: Any = getattr(price, name, None)
            if value is None:
                return None
            if hasattr(value, "tiers"):  # crossing a tier changes the rate of all tokens
                reached = [t.price for t in value.tiers if prompt > t.start]
                value = reached[-1] if reached else value.base
            return float(value)

        return Rates(
            rate("input_mtok") or 0.0,
            rate("output_mtok") or 0.0,
            rate("cache_read_mtok"),
            rate("cache_write_mtok"),
            rate("input_audio_mtok"),
            rate("output_audio_mtok"),
        )

    is_tiered = any(hasattr(value, "tiers") for value in vars(price).values())
    return rates if is_tiered else partial(_constant, rates(0))  # made once, not for each exchange
