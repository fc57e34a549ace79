"""The budget of a run: what its tests may spend on requests that are really sent.

All processes of pytest-xdist share it in a file, which each of them locks to read and to add.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import filelock
import pytest

from pytest_chatapi.config.limits import ADDED_UP, SWITCH, TIMES, TOKENS, limits_of_text
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import plural
from pytest_chatapi.figures.measure import Figures, figures_of
from pytest_chatapi.figures.price import Prices
from pytest_chatapi.figures.summary import Priced
from pytest_chatapi.plugin.budget import MEASURED, NEAR, shown, uncounted_api, used_by, used_up
from pytest_chatapi.plugin.ini_and_flags import value_of_run
from pytest_chatapi.plugin.stash import RUN

__all__ = ["NOTHING", "RunBudget", "open_budget"]

_LOCK_SECONDS = 60


def open_budget(config: pytest.Config) -> RunBudget:
    """The budget that the command line or the ini file sets.

    Raises:
        pytest.UsageError: a limit is wrong.
    """
    is_flag = config.getoption("--chatapi-budget") is not None
    where = "--chatapi-budget" if is_flag else "chatapi_budget"
    try:
        limits = limits_of_text(where, value_of_run(config, "budget"))
    except ValueError as error:
        raise pytest.UsageError(f"chatapi: {error}") from None
    shared = getattr(config, "workerinput", {}).get("chatapi_budget")
    if shared is None:
        folder = tempfile.mkdtemp(prefix="chatapi-budget-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        path = Path(folder, "spent.json")
        path.write_text(json.dumps(NOTHING), encoding="utf-8")
    else:
        path = Path(shared)
    return RunBudget(limits, path, config.stash[RUN].prices)


# What is used up; by limit, the exchange that reached it; what could not be counted.
NOTHING: JSONObject = {"used": dict.fromkeys(ADDED_UP, 0), "broken": {}, "unknown": {}}


class RunBudget:
    """What a run may spend, and what it has spent.

    Args:
        limits: by name, as `limits_of_text` returns them.
        path: of the file with what was spent, the same for all processes.

    Attributes:
        times: the limits that each exchange has to keep on its own.
    """

    def __init__(self, limits: Mapping[str, Any], path: Path, prices: Prices) -> None:
        self.limits, self.path, self.prices = limits, path, prices
        # A stream that cannot be measured, or a whole response, breaks no limit on time.
        self.times = {name: limits[name] for name in TIMES if name in limits}
        if self.times:
            self.times[SWITCH] = True
        self._problem = ""

    def of_test(self, nodeid: str) -> TestBudget:
        """The budget, as the recorder of a test asks for it."""
        return TestBudget(self, nodeid)

    def admit(self, exchange: Exchange) -> tuple[str, str] | None:
        """See `BudgetLike.admit`."""
        api = uncounted_api(exchange)
        if api is None:
            return None  # it costs nothing
        try:
            if self._problem:
                raise OSError(self._problem)
            with self._state() as state:
                refusal = self._refusal(state, api)
                if refusal is None and not api:
                    state["used"]["calls"] += 1
        except (OSError, ValueError) as error:
            return f"what the run has spent cannot be read: {error}", "run it again"
        return refusal

    def _refusal(self, state: JSONObject, api: str) -> tuple[str, str] | None:
        """Why a request may not be sent.

        Args:
            api: of the request, if it is not a chat completion.
        """
        for name in ADDED_UP:
            used = state["used"][name]
            if name in self.limits and used >= self.limits[name]:
                by = state["broken"].get(name)
                return (
                    f"the budget of the run is used up: {name} {shown(used)} of "
                    f"{shown(self.limits[name])}{f', by {by}' if by else ''}",
                    self._more(name),
                )
        limits = [name for name in (*TOKENS, "usd") if name in self.limits]
        if not limits or self.limits.get(SWITCH):
            return None
        limit = f"so the budget {limits[0]}={self.limits[limits[0]]} cannot be held"
        if api:
            return f"what requests to other APIs ({api}) take is not counted, {limit}", self._any()
        for name in limits:
            if why := state["unknown"].get(name):
                return f"{why}, so the budget {name}={self.limits[name]} may be exceeded", (
                    self._any()
                )
        return None

    def _more(self, name: str) -> str:
        most = self.limits[name] or {"calls": 5, "usd": 0.05}.get(name, 5000)
        return self._with({**self.limits, name: most * 2})

    def _any(self) -> str:
        return self._with({**self.limits, SWITCH: True})

    def _with(self, limits: Mapping[str, Any]) -> str:
        text = " ".join(f"{name}={str(value).lower()}" for name, value in limits.items())
        return f'--chatapi-budget="{text}"'

    def spent(self, exchange: Exchange, place: str, error: BaseException | None) -> None:
        """Add what an exchange took.

        Args:
            place: the exchange, in words.
            error: why there is no response.
        """
        if uncounted_api(exchange) != "":
            return
        figures = figures_of(exchange, "live")
        taken = Priced(figures, self.prices.cost(figures))
        unknown = _unknown(taken, place, error)
        try:
            with self._state() as state:
                used = state["used"]
                for name in (*TOKENS, "usd"):
                    used[name] += used_by(name, taken) or 0
                for name, most in self.limits.items():
                    if name in used and used[name] >= most:
                        state["broken"].setdefault(name, place)
                for name, why in unknown.items():
                    state["unknown"].setdefault(name, why)
        except (OSError, ValueError) as problem:
            self._problem = str(problem)  # nothing more is sent

    def lines(self, exchanges: Iterable[Figures]) -> Iterator[str]:
        """For the end of the run: what is used up, or nearly, and what could not be counted."""
        try:
            with self._state() as state:
                used, unknown = state["used"], state["unknown"]
        except (OSError, ValueError) as error:
            yield f"budget of the run: what was spent cannot be read: {error}"
            return
        for name in ADDED_UP:
            most = self.limits.get(name)
            if most is not None and used[name] and used[name] >= most * NEAR:
                yield f"budget of the run: {used_up(name, used[name], most)}"
            if name in self.limits and name in unknown and not self.limits.get(SWITCH):
                yield f"budget of the run: {name} is not known: {unknown[name]}"
        live = [one for one in exchanges if one.source == "live" and 200 <= one.status < 300]
        for name in TIMES:
            missing = sum(MEASURED[name](one.timing) is None for one in live)
            if name in self.times and missing:
                responses = plural(len(live), "response")
                yield f"budget of the run: {name} was not measured in {missing:,} of {responses}"

    @contextmanager
    def _state(self) -> Iterator[JSONObject]:
        try:
            with filelock.FileLock(f"{self.path}.lock", timeout=_LOCK_SECONDS):
                before = self.path.read_text(encoding="utf-8")
                state: JSONObject = json.loads(before)
                yield state
                after = json.dumps(state)
                if after != before:  # complete or not at all: a worker may be killed
                    new = self.path.with_suffix(".new")
                    new.write_text(after, encoding="utf-8")
                    os.replace(new, self.path)
        except filelock.Timeout:
            raise OSError(f"another process has locked it for {_LOCK_SECONDS} s") from None


def _unknown(one: Priced, place: str, error: BaseException | None) -> dict[str, str]:
    """By limit, why it cannot be said what an exchange took of it."""
    figures = one.figures
    if not figures.status:  # a server that was not reached, or broke, charges nothing
        if error is None or (
            isinstance(error, Exception) and type(error).__name__ != "ReadTimeout"
        ):
            return {}
        return dict.fromkeys((*TOKENS, "usd"), f"the client gave up on {place}")
    if not 200 <= figures.status < 300:
        return {}
    unknown = {}
    for name in TOKENS:
        if used_by(name, one) is None:
            unknown[name] = f"{place} reported no {name}" + (
                ' (for streams: stream_options={"include_usage": True})'
                if figures.is_stream
                else ""
            )
    if used_by("usd", one) is None:
        model = figures.model or "the model"
        hint = "" if find_spec("genai_prices") else " (pip install 'pytest-chatapi[cost]')"
        unknown["usd"] = unknown.get(
            "total_tokens", f"the price of {model}, of {place}, is not known{hint}"
        )
    return unknown


@dataclass(frozen=True)
class TestBudget:
    """The budget of the run for one test."""

    __test__ = False

    budget: RunBudget
    nodeid: str

    def admit(self, exchange: Exchange) -> tuple[str, str] | None:
        return self.budget.admit(exchange)

    def spent(self, exchange: Exchange, number: int, error: BaseException | None) -> None:
        self.budget.spent(exchange, f"exchange {number} of {self.nodeid}", error)
