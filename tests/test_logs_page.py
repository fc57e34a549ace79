"""The page of the rates of a log, without a browser."""

from __future__ import annotations

import re

from log_rates import found, hostile, outcome, row
from parsed_page import Parsed

from pytest_chatapi.logs.page import page


def test_nothing_that_a_log_quotes_is_markup() -> None:
    html = page(hostile())
    parsed = Parsed(html)
    assert {"img", "iframe", "link", "form"}.isdisjoint(tag for tag, _ in parsed.tags)
    assert not any(name.startswith("on") for _, of in parsed.tags for name in of)
    # Its examples, provider and model in each table, what was skipped and could not be read.
    assert parsed.text.count('<script>document.title="ran"</script>') > 30
    assert set(re.findall(r"[^ -~\n·↕…]", html)) == set()  # such as a change of direction
    assert len([content for of, content in parsed.scripts if of.get("type") is None]) == 1
    assert parsed.charts


def test_findings_have_rates_intervals_times_and_examples() -> None:
    parsed = Parsed(page(outcome()))
    assert parsed.tables["All findings"][1:] == [
        ["error U02 usage-total", "30", "720", "4.2% 2.9% to 5.9%", *SEEN],
        [
            "warning S07 finish-reason-unknown",
            *("1", "720", "0.14% 0.025% to 0.78%"),
            *["2026-11-01 07:00 UTC"] * 2,
        ],
        [
            "note Q13 deprecated-parameter",
            *("1", "1", "100% 21% to 100%"),
            *["2026-11-01 03:00 UTC"] * 2,
        ],
    ]
    assert parsed.tables["U02 by provider and model"][1:] == [
        ["vllm-prod:8000", "qwen3-8b", "30", "480", "6.2% 4.4% to 8.8%", *SEEN]
    ]
    by_day = parsed.tables["U02 by day"]
    assert len(by_day) == 11
    assert by_day[5][:5] == ["2026-11-05", "vllm-prod:8000", "qwen3-8b", "0", "48"]
    assert by_day[6][:5] == ["2026-11-06", "vllm-prod:8000", "qwen3-8b", "6", "48"]
    assert "3 examplesthe total is too lowrowchatcmpl-" in parsed.text
    assert "filelog.jsonl:7at$.usage.total_tokensgot41" in parsed.text


SEEN = ["2026-11-06 00:00 UTC", "2026-11-10 20:00 UTC"]


def test_the_charts_have_the_days_and_their_changes() -> None:
    """Of each model; days without the finding are there, too."""
    charts = Parsed(page(outcome())).charts
    by_model, by_day = (chart["datasets"] for chart in charts[:2])
    [mark] = by_model["models"]["rows"]
    assert mark[1] == "vllm-prod:8000 qwen3-8b"
    assert mark[-1] == "6.2%, 30 of 480"
    bars = by_day["bars"]["rows"]
    assert [bar[2] for bar in bars] == [*range(10)]
    heights = [round(bar[3] - bar[4], 3) for bar in bars]
    assert heights[:5] == [0.015] * 5  # a line
    assert min(heights[5:]) > 0.1
    assert by_day["rows"]["rows"] == [[0, "vllm-prod:8000 qwen3-8b", "up to 12%"]]
    assert [one[2:] for one in by_day["changes"]["rows"]] == [[4.5, "0% to 12% on 2026-11-06", ""]]
    assert charts[1]["layer"][0]["encoding"]["x"]["axis"]["labelExpr"].startswith("['11-01', ")


def test_changes_limits_and_what_was_not_checked() -> None:
    limits = ("U02=1%", "X=1%", "T08=1%", "U05=5%", "S07=0.5%")
    parsed = Parsed(page(outcome(*limits)))
    assert parsed.tables["Changes"][1:] == [
        [
            *("2026-11-06", "error U02 usage-total", "vllm-prod:8000", "qwen3-8b"),
            *("0% 0 of 240", "12% 30 of 240"),
        ]
    ]
    rows = {(cells[0], cells[2]): cells[1:] for cells in parsed.tables["Verdicts"][1:]}
    assert rows["error U02 usage-total", "vllm-prod:8000"] == [
        *("above", "vllm-prod:8000", "qwen3-8b", "1%", "30", "480", "6.2% 4.4% to 8.8%")
    ]
    assert rows["U05 usage-absent", "api.openai.com"][0] == "within"
    assert rows["warning S07 finish-reason-unknown", "api.openai.com"][0] == "undecided"
    unexercised = ["not exercised", "unknown", "unknown", "1%", "0", "0", ""]
    assert rows["T08 stream-done-missing", "unknown"] == unexercised
    assert rows["X errors", "unknown"] == unexercised
    assert "Rates too high11 above, 2 not exercised, " in parsed.text
    assert "721 exchanges from assembled logs: their streams, headers and errors" in parsed.text
    assert (
        "Not exercised by any row: stream life cycle, event-stream framing, errors" in parsed.text
    )


def test_a_log_without_times_or_findings() -> None:
    parsed = Parsed(page(outcome(rows=[row(1, found("U02"), time=None, model="")])))
    assert len(parsed.charts) == 1  # by model alone
    assert "1 row without a time, so of no day" in parsed.text.lower()
    assert parsed.tables["U02 by provider and model"][1][:2] == ["vllm-prod:8000", "unknown"]
    assert "no time" in parsed.text
    assert "None: the rows are as the contract says" in page(outcome(rows=[row(1)]))


def test_what_is_left_out_of_charts_and_tables_is_counted() -> None:
    rows = [row(at, found("U02"), model=f"m-{at:03}") for at in range(210)]
    parsed = Parsed(page(outcome(rows=rows)))
    assert "; the 6 highest of 210" in parsed.text
    assert "10 more models; --format json and parquet have all of them" in parsed.text
    assert "10 more verdicts; --format json" in parsed.text
    assert len(parsed.charts[0]["datasets"]["models"]["rows"]) == 6
