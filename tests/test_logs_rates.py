"""Rates of findings: counts that add up in any order, intervals, limits and changes."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_chatapi.contract.findings import Finding, Level
from pytest_chatapi.errors import SettingError
from pytest_chatapi.logs import rates as rates_module
from pytest_chatapi.logs.changes import changes_of, days_of_change
from pytest_chatapi.logs.limits import ALL, Limits
from pytest_chatapi.logs.rates import Group, Rate, Rates
from pytest_chatapi.logs.rows import CheckedRow, time_of
from pytest_chatapi.logs.shown import Outcome, as_text

DAY = 86400.0
START = 1793491200.0  # 2026-11-01
CODES: list[tuple[str, Level]] = [("U02", "error"), ("U02", "warning"), ("T08", "error")]


def finding(code: str, level: Level = "error", message: str = "m") -> Finding:
    return Finding(code, "name", level, "openai", "$", "e", "g", message)


def row(at: int, *codes: tuple[str, Level], day: int = 0, **more: Any) -> CheckedRow:
    kept: dict[str, Any] = {"provider": "p", "model": "m", "exercised": "0+T08+U02+U06", **more}
    return CheckedRow(f"id-{at}", START + day * DAY + at, findings=[], **kept)._replace(
        findings=[finding(*code) for code in codes]
    )


def rates_of(rows: list[CheckedRow]) -> Rates:
    rates = Rates()
    for one in rows:
        rates.count(one)
    return rates


ROWS = st.lists(
    st.builds(
        lambda at, codes, day, provider: row(at, *codes, day=day, provider=provider),
        st.integers(0, 10_000),
        st.lists(st.sampled_from(CODES), max_size=3),
        st.integers(0, 3),
        st.sampled_from(["p", "q", ""]),
    ),
    max_size=30,
)


@given(ROWS, st.randoms(use_true_random=False), st.integers(1, 7))
def test_counts_do_not_depend_on_order_or_splitting(
    rows: list[CheckedRow], rng: random.Random, size: int
) -> None:
    whole = rates_of(rows)
    rng.shuffle(rows)
    parts = [rates_of(rows[at : at + size]) for at in range(0, len(rows), size)]
    rng.shuffle(parts)
    total = Rates()
    for part in parts:
        total.add(Rates.from_json(part.to_json()))
    assert total.to_json() == whole.to_json()


def test_a_row_counts_once_for_a_code_with_its_worst_level() -> None:
    rates = rates_of([row(1, ("U02", "warning"), ("U02", "error"), ("U02", "error"))])
    assert [(key[:2], found.rows) for key, found in rates.found.items()] == [(("U02", "error"), 1)]


def test_three_examples_are_kept_whatever_comes_last() -> None:
    rates = rates_of([row(at, ("U02", "error")) for at in range(50)])
    found = rates.all_found("U02")
    assert (found.rows, len(found.examples)) == (50, 3)
    assert (found.first, found.last) == (START, START + 49)


def test_few_ids_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """To look for secrets in one takes longer than to count its row."""
    masked: list[str] = []
    monkeypatch.setattr(rates_module, "shown", lambda name: masked.append(name) or name)
    rates = rates_of([row(at, ("U02", "error"), ("T08", "error")) for at in range(1000)])
    assert len(rates.all_found("U02").examples) == 3
    assert 3 <= len(masked) < 60


def test_rows_that_could_not_have_a_finding_are_not_counted_for_it() -> None:
    rates = rates_of(
        [row(1, ("T08", "error")), row(2, exercised="0+U02"), row(3, exercised="0+U02")]
    )
    assert rates.by_group("T08") == {Group("p", "m", "2026-11-01"): Rate(1, 1)}
    assert rates.by_group("U02") == {Group("p", "m", "2026-11-01"): Rate(0, 3)}
    unread = CheckedRow("", None, "", "", [], problem="cut")
    skipped = CheckedRow("", None, "", "", [], skipped="responses")
    rates.add(rates_of([unread, skipped]))
    assert rates.by_group("unread") == {Group(): Rate(1, 5)}


@pytest.mark.parametrize(
    ("rate", "interval"),
    [
        (Rate(0, 0), (0.0, 1.0)),
        (Rate(0, 10), (0.0, 0.2775)),
        (Rate(10, 10), (0.7225, 1.0)),
        # Newcombe (1998), table I, method 3.
        (Rate(81, 263), (0.2553, 0.3662)),
        (Rate(15, 148), (0.0624, 0.1605)),
        (Rate(1, 29), (0.0061, 0.1718)),
    ],
)
def test_wilson(rate: Rate, interval: tuple[float, float]) -> None:
    assert rate.interval == pytest.approx(interval, abs=5e-5)


@pytest.mark.parametrize(
    ("found", "rows", "says"),
    [
        (0, 100, "undecided"),  # may be up to 3.7%
        (0, 4000, "within"),
        (1, 100, "above"),  # a single one, but of so few
        (2, 1000, "undecided"),  # 0.2%, but 0.05% is possible
        (4, 1000, "above"),
        (100, 1_000_000, "within"),
    ],
)
def test_a_limit_decides_by_the_interval(found: int, rows: int, says: str) -> None:
    rates = Rates()
    for at in range(found):
        rates.count(row(at, ("U02", "error")))
    rates.checked[Group("p", "m", "2026-11-01")]["0+T08+U02"] += rows - found
    (verdict,) = Limits(["U02=0.1%"]).verdicts(rates)
    assert (verdict.says, verdict.rate) == (says, Rate(found, rows))


def test_a_provider_is_not_hidden_by_the_others() -> None:
    bad = [row(at, ("U02", "error"), provider="bad") for at in range(5)]
    good = [row(at) for at in range(2000)]
    above = [v for v in Limits(["1%"]).verdicts(rates_of(bad + good)) if v.says == "above"]
    assert [verdict.group for verdict in above] == [Group("bad", "m")]


def test_models_with_few_rows_each_are_not_undecided_for_ever() -> None:
    rows = [
        row(at, *([("U02", "error")] if at % 10 == 0 else []), model=f"m{at // 10}")  # type: ignore[arg-type]
        for at in range(1000)
    ]
    *of_models, total = Limits(["U02=5%"]).verdicts(rates_of(rows))
    assert {verdict.says for verdict in of_models} == {"undecided"}
    assert total == ("U02", ALL, Rate(100, 1000), 0.05, "above")
    assert "U02 at most 5% in all rows: above, 10%" in as_text(Outcome(Rates(), [total]))
    assert len(Limits(["U02=10%"]).verdicts(rates_of(rows))) == 100


def test_without_a_limit_any_error_is_too_much() -> None:
    rates = rates_of([row(0, ("U02", "error"), ("T08", "warning")), *map(row, range(1, 999))])
    assert [v.code for v in Limits().verdicts(rates)] == ["U02"]
    assert {v.code for v in Limits().verdicts(rates, "warning")} == {"T08", "U02"}
    # A limit of its own holds at any level, the others are still too much.
    verdicts = Limits(["T08=2%"]).verdicts(rates)
    assert [(v.code, v.says) for v in verdicts] == [("T08", "within"), ("U02", "above")]
    assert [v.says for v in Limits(["U06=2%"]).verdicts(rates_of([row(0, ("U06", "note"))]))] == [
        "above"
    ]
    assert Limits(["u=1%"]).verdicts(rates)[0].says == "within"
    assert Limits(["1%", "U=0.01"]).of("U02") == 0.01


def test_a_limit_that_no_row_could_exceed() -> None:
    (verdict,) = Limits(["stream-done-missing=1%"]).verdicts(rates_of([row(0, exercised="0+U02")]))
    assert (verdict.code, verdict.says) == ("T08", "not exercised")


@pytest.mark.parametrize("text", ["U02", "U02=", "=1%", "U02=101%", "U02=x", "-1%"])
def test_a_limit_that_is_none(text: str) -> None:
    with pytest.raises(SettingError, match=r"is not a rate: use 0\.1%, or U02"):
        Limits([text])


def test_a_limit_for_no_rule() -> None:
    with pytest.raises(SettingError, match="U99"):
        Limits(["U99=1%"])


def drawn(rng: random.Random, rows: int, rate: float) -> Rate:
    """A day on which each row has the finding with this probability."""
    at, found = -1, 0
    while rate and (at := at + 1 + int(math.log(1 - rng.random()) / math.log1p(-rate))) < rows:
        found += 1
    return Rate(found, rows)


def test_constant_rates_have_no_changes() -> None:
    """400 logs of 30 days: a risk of 1% allows for 4 with a false alarm, and the test is strict."""
    alarms = 0
    for seed in range(400):
        rng = random.Random(seed)
        rate, size = rng.choice([0.0002, 0.002, 0.02, 0.3]), rng.choice([20, 300, 3000])
        sizes = [max(1, int(size * rng.uniform(0.1, 2))) for _ in range(30)]
        alarms += bool(days_of_change([(str(n), drawn(rng, n, rate)) for n in sizes]))
    assert alarms <= 2


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([0] * 9 + [0.03] * 6, [9]),
        ([0.03] * 9 + [0] * 6, [9]),
        ([0.001] * 6 + [0.05] + [0.001] * 6, [6, 7]),
        ([0.01] * 5 + [0.05] * 5 + [0.3] * 5, [5, 10]),
        # Significant at this size, but not twice as much.
        ([0.10] * 6 + [0.12] * 6, []),
    ],
)
def test_changes_are_found_on_their_day(rates: list[float], expected: list[int]) -> None:
    for seed in range(20):
        rng = random.Random(seed)
        days = [(str(day), drawn(rng, 3000, rate)) for day, rate in enumerate(rates)]
        assert [int(day) for day, _, _ in days_of_change(days)] == expected


def test_a_change_at_millions_of_rows_a_day() -> None:
    days = [(str(day), Rate((1 + 2 * (day > 4)) * 10**5, 10**8)) for day in range(10)]
    assert [day for day, _, _ in days_of_change(days)] == ["5"]


def test_the_risk_is_that_of_the_whole_log() -> None:
    """What is unlikely in one model is not in one of twenty; what cannot be chance is, in any."""
    rates = Rates()
    for day, found in enumerate([0, 8]):
        for at in range(100):
            rates.count(row(at, *([("U02", "error")] if at < found else []), day=day))  # type: ignore[arg-type]
    assert [change.day for change in changes_of(rates)] == ["2026-11-02"]
    for model in range(20):
        for day in range(2):
            rates.count(row(0, ("U02", "error"), day=day, model=f"m{model}"))
    assert changes_of(rates) == []


def test_notes_have_no_changes() -> None:
    rates = Rates()
    for day in range(2):
        for at in range(100):
            rates.count(row(at, *([("U02", "note")] if day else []), day=day))  # type: ignore[arg-type]
    assert changes_of(rates) == []


def test_another_mix_of_models_is_no_change() -> None:
    rates = Rates()
    for day, (good, bad) in enumerate([(900, 100)] * 5 + [(100, 900)] * 5):
        for model, rows, share in (("good", good, 0), ("bad", bad, 10)):
            for at in range(rows):
                codes = [("U02", "error")] if share and at % share == 0 else []
                rates.count(row(at, *codes, day=day, model=model))  # type: ignore[arg-type]
    assert changes_of(rates) == []
    for at in range(100):
        rates.count(row(at, ("U02", "error"), day=10, model="good"))
    (change,) = changes_of(rates)
    assert change == ("U02", "p", "good", "2026-11-11", Rate(0, 5000), Rate(100, 100))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1793491200, START),
        (1793491200.5, START + 0.5),
        (1793491200500, START + 0.5),
        ("1793491200000000000", START),
        ("2026-11-01T00:00:00Z", START),
        ("2026-11-01 01:00:00+01:00", START),
        ("2026-11-01", START),
        ("2026-11-01 00:00:00.000000 UTC", START),
        ("2026-11-01T00:00:00.123456789Z", START + 0.123456),
        ("Sun, 01 Nov 2026 00:00:00 GMT", START),
        ("Sun, 01 Nov 2026 00:00:00", START),
        ("Sun Nov  1 00:00:00 2026", START),
        ("Sat, 31 Oct 2026 19:00:00 EST", START),
        ("Sat Oct 31 2026 19:00:00 GMT-0500 (Eastern Standard Time)", START),
        ("Sun Nov 01 2026 01:00:00 GMT+0100 (Central European Standard Time)", START),
        ("Sun, 01 Nov 2026 02:00:00 CEST", None),
        ("Sun Nov  1 01:00:00 CET 2026", None),
        ("2026-11-01T00:00:00", START),
        (0, None),
        (True, None),
        (float("nan"), None),
        ("yesterday", None),
        (None, None),
        ([1793491200], None),
        (10**400, None),
        ("Mon, 99999999999999999999 Jan 2026 00:00:00 +0000", None),
    ],
)
def test_times(value: Any, seconds: float | None) -> None:
    assert time_of(value) == seconds
