"""The report of figures: rows and back, sums, the schema, what is not a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_chatapi.errors import ReadError
from pytest_chatapi.figures.measure import Figures, Form, Timing, Tokens
from pytest_chatapi.figures.price import Prices, Rates
from pytest_chatapi.figures.report import Score, figures_of_row, read_report, report_of, row_of
from pytest_chatapi.figures.summary import Priced

SCHEMA = json.loads((Path(__file__).parent.parent / "schemas" / "figures.json").read_text())
PRICES = Prices({"m*": Rates(2.0, 8.0)})
RUN = {"kind": "pytest", "started": "2026-01-31T12:00:00+00:00"}


def valid(report: Any) -> Any:
    """The report as it is read back."""
    report = json.loads(json.dumps(report, allow_nan=False))
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    return report


def figures(**more: Any) -> Figures:
    values: dict[str, Any] = {
        "source": "live",
        "model": "m",
        "requested_model": "m",
        "host": "api.example.org",
        "is_stream": False,
        "status": 200,
        "tokens": Tokens(1000, 100, 1100),
        "timing": Timing(),
    }
    return Figures(**{**values, **more})


COUNTS = st.none() | st.integers(0, 10**9)
SECONDS = st.none() | st.floats(0, 1e6)
ANY_FIGURES = st.builds(
    Figures,
    source=st.sampled_from(["live", "recorded", "replayed", "mock"]),
    model=st.text(),
    requested_model=st.text(),
    host=st.text(),
    is_stream=st.booleans(),
    status=st.sampled_from([0, 200, 429]),
    tokens=st.builds(Tokens, *[COUNTS] * 8),
    timing=st.builds(
        Timing,
        total=SECONDS,
        first_token=SECONDS,
        tokens_per_second=SECONDS,
        first_chunk_tokens=COUNTS,
        marks=st.lists(st.tuples(st.floats(0, 9), st.sampled_from(["role", "tool"]))).map(tuple),
    ),
    server_tokens_per_second=SECONDS,
    wire_usd=SECONDS,
    test=st.text(),
    form=st.builds(Form, tool_calls=st.integers(0, 9), cut=st.integers(0, 9)),
    findings=st.just(({"code": "U02"},)),
    response_id=st.text(),
    finishes=st.lists(st.text()).map(tuple),
)


@given(ANY_FIGURES)
def test_a_row_is_read_back(one: Figures) -> None:
    row = json.loads(json.dumps(row_of(Priced(one, PRICES.cost(one)))))
    assert figures_of_row(row) == one


def test_a_report() -> None:
    slow = Timing(total=9.0, first_token=3.0, marks=((1.0, "role"), (3.0, "answer")))
    exchanges = [
        figures(test="t::a", source="replayed", timing=slow, is_stream=True),
        figures(test="t::a", form=Form(answers=2, tool_calls=4, valid_tool_calls=3, cut=1)),
        figures(model="x", test="t::b", tokens=Tokens()),
    ]
    scores = [Score("t::a", "s", 1.0), Score("t::a", "s", 0.5), Score("t::b", "s", 0.0, "x")]
    run = {**RUN, "skipped": {"embeddings": 2}}
    report = valid(report_of(exchanges, PRICES, run, {"t::a": "passed"}, scores))
    assert report["run"]["total_tokens"] == 2200
    assert (report["run"]["spent_usd"], report["run"]["saved_usd"]) == (0.0028, 0.0028)
    assert [row["model"] for row in report["exchanges"]] == ["m", "m", "x"]
    assert report["streams"] == [{"exchange": 0, "marks": [[1.0, "role"], [3.0, "answer"]]}]
    assert not any("marks" in row for row in report["exchanges"])
    one, other = report["models"]
    assert one["form"]["valid_tool_calls_per_1000"] == 750
    assert (one["form"]["cut_per_1000"], one["form"]["valid_json_per_1000"]) == (500, None)
    assert one["scores"]["s"]["n"] == 2
    assert one["scores"]["s"]["mean"] == 0.75
    assert other["scores"]["s"]["low"] == 0
    first, second = report["tests"]
    assert (first["outcome"], first["ttft_seconds"], first["scores"]) == (
        "passed",
        3.0,
        {"s": 0.75},
    )
    assert (second["outcome"], second["unreported"], second["total_tokens"]) == (None, 1, None)


def test_a_report_of_nothing() -> None:
    report = valid(report_of([], PRICES, RUN))
    assert (report["run"]["exchanges"], report["run"]["usd"]) == (0, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is not a report: it is not JSON"),
        ("[]", "is not a report of figures: make one with --chatapi-report"),
        (
            '{"version": 2, "run": {}, "models": [], "tests": [], "exchanges": []}',
            "is a report of version 2, and this reads 1",
        ),
    ],
)
def test_what_is_not_a_report(tmp_path: Path, text: str, why: str) -> None:
    (path := tmp_path / "r.json").write_text(text)
    with pytest.raises(ReadError) as caught:
        read_report(path)
    assert caught.value.reason == why


def test_a_report_is_read(tmp_path: Path) -> None:
    report = report_of([figures()], PRICES, RUN)
    (path := tmp_path / "r.json").write_text(json.dumps(report))
    assert read_report(path) == valid(report)
    with pytest.raises(ReadError, match="cannot be read"):
        read_report(tmp_path / "other.json")
