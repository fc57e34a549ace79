"""The page of reports of figures, without a browser."""

from __future__ import annotations

import base64
import copy
import gzip
import hashlib
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from figures_reports import FRAME, HOSTILE, finding, report
from parsed_page import Parsed

import pytest_chatapi
from pytest_chatapi.cli.main import main
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.figures.measure import Timing, Tokens
from pytest_chatapi.figures.page import page
from pytest_chatapi.figures.plots import bins_of, timeline
from pytest_chatapi.figures.price import Prices
from pytest_chatapi.figures.report import report_of
from pytest_chatapi.pages.words import text

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module", name="usual")
def usual_report() -> JSONObject:
    return report(60)


@pytest.fixture(scope="module", name="parsed")
def usual_page(usual: JSONObject) -> Parsed:
    return Parsed(page([("run", usual)]))


def sha(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def test_nothing_that_a_report_quotes_is_markup() -> None:
    given = report(
        20,
        test=HOSTILE,
        model=HOSTILE,
        tier=HOSTILE,
        organization=HOSTILE,
        findings=(finding(HOSTILE, HOSTILE, level=HOSTILE, message=HOSTILE, frame=HOSTILE),),
    )
    given["run"] |= {"started": HOSTILE, "skipped": {HOSTILE: 1}}
    given["run"]["unread"] = [{"file": HOSTILE, "why": HOSTILE}]
    given["models"][0]["scores"] = {HOSTILE: {"n": 1, "mean": 1.0, "low": 0.2, "high": 1.0}}
    given["models"][0]["quality_index"] = {"value": 1, "source": HOSTILE}
    html = page([(HOSTILE, given)])
    parsed = Parsed(html)
    assert {"img", "iframe", "link", "form"}.isdisjoint(tag for tag, _ in parsed.tags)
    assert not any(name.startswith("on") for _, of in parsed.tags for name in of)
    assert parsed.text.count('<script>document.title="ran"</script>') > 20
    assert set(re.findall(r"[^ -~\n·↕●■▲◆…]", html)) == set()  # such as a change of direction
    runs = [content for of, content in parsed.scripts if of.get("type") is None]
    assert len(runs) == 1
    assert parsed.charts


def test_the_policy_allows_the_page_s_own_scripts_and_nothing_else(usual: JSONObject) -> None:
    html = page([("run", usual)])
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    [style] = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    scripts = Parsed(html).scripts
    [script] = [content for of, content in scripts if of.get("type") is None]
    [packed] = [content for of, content in scripts if of.get("id") == "bundle"]
    bundle = gzip.decompress(base64.b64decode(packed)).decode()
    assert policy == (
        f"default-src 'none'; style-src {sha(style)}; script-src {sha(script)} {sha(bundle)}; "
        "base-uri 'none'; form-action 'none'"
    )


def test_totals(parsed: Parsed) -> None:
    for part in (
        "15 live, 30 replayed, 15 mocked",
        "102,349 in, 10,179 out; 6 responses without usage",
        "$0.0037unknown for 6 of 15",
        "$0.0086unknown for 11 of 30",
        "started 2026-01-31 12:00 UTC, pytest-chatapi",
        "Exchanges without figures: 2 embeddings",
        "53 passed, 7 failed",
    ):
        assert part in parsed.text


def test_models_have_spread_and_count(parsed: Parsed, usual: JSONObject) -> None:
    [model] = [one for one in usual["models"] if one["name"] == "Qwen/Qwen3-8B"]
    head, *rows = parsed.tables["Speed: median, 5th to 95th percentile, number of measurements"]
    [row] = [row for row in rows if row[0] == model["name"]]
    assert head[1] == "first token, s"
    assert row[1] == "0.081 0.057-0.15, n 15"
    assert model["ttft_seconds"]["n"] == 15
    [cost] = [row for row in parsed.tables["Tokens and cost"] if row[0] == "Qwen/Qwen3-8B"]
    assert cost[1:] == [
        "20 5 live, 10 replayed, 5 mocked",
        "39,469 2 not reported",
        "3,799",
        "13,150",
        "$0.0109",
        "$0.2527",
        "$0.20 / $0.80 3:1 $0.35 7:2:1 $0.26 own table",
    ]
    quality = "Quality: form per 1,000, and scores with their 95% interval"
    [row] = [row for row in parsed.tables[quality] if row[0] == "Qwen/Qwen3-8B"]
    assert row[1:] == ["900 n 20", "1,000 n 10", "50 n 20", "0 n 20", "50 n 20", row[-1]]
    assert re.fullmatch(r"0\.\d\d 0\.\d\d-0\.\d\d, n 20", row[-1])


def test_a_chart_says_of_how_many_a_figure_is_unknown(parsed: Parsed) -> None:
    assert "as these exchanges used them; unknown for 1 more" in parsed.text
    assert parsed.text.count("; unknown for") == 1


def test_what_is_unknown_is_said() -> None:
    given = report(
        9,
        model="m",
        requested_model="m",
        tokens=Tokens(),
        timing=Timing(),
        findings=(),
        source="live",
    )
    parsed = Parsed(page([("run", given)]))
    assert "$" not in parsed.text
    assert "Spentunknownunknown for 9 of 9" in parsed.text
    assert "Tokensnot reported9 responses without usage" in parsed.text
    assert "No times are known." in parsed.text
    assert "No stream was timed chunk by chunk." in parsed.text
    [_, row] = parsed.tables["Tokens and cost"]
    assert row[2:] == ["not reported"] * 3 + ["unknown"] * 3
    assert {row[2] for row in parsed.tables["Tests, those that cost most first"][1:]} == {
        "not reported"
    }


def test_failures_and_what_is_known_in_part_are_said() -> None:
    given = report(8, model="m", requested_model="m", test="t", source="live", findings=())
    for one in given["exchanges"][:3]:
        one["status"], one["usd"] = 429, None
    given["models"][0] |= {"usd": 0.5, "unpriced": 2, "speeds_disagree": 1}
    given["tests"][0] |= {"usd": 0.5, "unpriced": 2}
    parsed = Parsed(page([("run", given)]))
    assert "8 live; 3 failed" in parsed.text
    assert "unknown for 5 of 5" in parsed.text  # of those that did not fail
    assert parsed.tables["Tokens and cost"][1][5] == "$0.5000 2 at an unknown price"
    assert parsed.tables["Tests, those that cost most first"][1][1] == "$0.5000 2 unknown"
    speed = parsed.tables["Speed: median, 5th to 95th percentile, number of measurements"]
    assert speed[1][4].endswith("1 differ by more than a fifth")
    for one in given["exchanges"]:
        one["source"] = "replayed"
    given["run"]["sources"] = {"replayed": 8}
    assert "Spentnothingno exchange was live" in Parsed(page([("run", given)])).text


def test_a_count_that_few_responses_report_says_so() -> None:
    given = report(4)
    for number, one in enumerate(given["exchanges"]):
        one["cached_tokens"] = None if number else 0
    given["run"]["cached_tokens"] = 0
    assert "Cached tokens0reported by 1 of 4" in Parsed(page([("run", given)])).text


def test_a_report_of_nothing() -> None:
    given = report_of([], Prices({}), {"kind": "recordings", "unread": [{"file": "a", "why": "b"}]})
    parsed = Parsed(page([("run", given)]))
    for part in (
        "There are no exchanges.",
        "No exchange belongs to a test.",
        "1 file not reada: b",
        "Not measured in any exchange.",
    ):
        assert part in parsed.text
    assert "Spent" not in parsed.text
    assert parsed.charts == []


def test_tests_by_cost(parsed: Parsed, usual: JSONObject) -> None:
    head, *rows = parsed.tables["Tests, those that cost most first"]
    assert head[:3] == ["test", "USD", "tokens"]
    [sorted_by] = [of for _, of in parsed.tags if of.get("aria-sort") == "descending"]
    assert sorted_by["class"] == "n"
    priced = [row for row in rows if row[1] != "unknown"]
    assert rows[: len(priced)] == priced
    known = {test["test"]: test["usd"] for test in usual["tests"]}
    usd = [known[row[0]] for row in priced]
    assert usd == sorted(usd, reverse=True)
    tokens = [row[2] for row in rows[len(priced) :]]
    numbers = [int(count.replace(",", "")) for count in tokens if count != "not reported"]
    assert numbers == sorted(numbers, reverse=True)
    assert tokens[len(numbers) :] == ["not reported"] * 6
    assert len(rows) == 60


def test_the_same_without_a_price(usual: JSONObject) -> None:
    given = copy.deepcopy(usual)
    for test in given["tests"]:
        test["usd"] = None
    html = page([("run", given)])
    heads = re.findall(r"aria-sort=descending><button[^>]*>([^<]*)<", html)
    assert heads == ["tokens"]


def many(given: JSONObject, times: int) -> JSONObject:
    """A report with as many times the exchanges, each with a test of its own."""
    exchanges = [
        {**one, "test": f"{one['test']}[{n}]"} for n in range(times) for one in given["exchanges"]
    ]
    tests = [{**one, "test": f"{one['test']}[{n}]"} for n in range(times) for one in given["tests"]]
    return {**given, "exchanges": exchanges, "tests": tests}


def test_ten_thousand_exchanges_are_less_than_two_megabytes() -> None:
    given = many(report(100), 100)
    html = page([("run", given)])
    assert len(html.encode()) < 1_000_000
    parsed = Parsed(html)
    rows = parsed.tables["Tests, those that cost most first"]
    assert len(rows) == 1 + 200 + 1
    shown = {row[0] for row in rows[1:-1]}
    left = [one for one in given["tests"] if one["test"] not in shown]
    tokens = sum(one["total_tokens"] or 0 for one in left)
    usd = sum(one["usd"] or 0 for one in left)
    assert rows[-1] == [f"9,800 more tests: {tokens:,} tokens, ${usd:,.2f}"]
    marked = [
        len(c["datasets"]["marked"]["rows"]) for c in parsed.charts if "marked" in c["datasets"]
    ]
    assert marked == [500, 500]
    assert "the 500 slowest are marked" in parsed.text
    counts = parsed.tables["Exchanges by seconds to the first token"]
    assert sum(int(c.replace(",", "")) for row in counts[1:] for c in row[1:]) == 7500


def test_the_slowest_are_marked(parsed: Parsed, usual: JSONObject) -> None:
    assert parsed.text.count("The scale is logarithmic.") == 1
    assert parsed.text.count("each exchange is marked below the bars. ") == 2
    first, *_ = parsed.tables["Slowest by seconds to the first token"][1:]
    slowest = max(usual["exchanges"], key=lambda one: one["ttft_seconds"] or 0)
    assert first[1:3] == [slowest["model"], slowest["test"]]
    first, *_ = parsed.tables["Slowest by output tokens per second"][1:]
    slowest = min(usual["exchanges"], key=lambda one: one["tokens_per_second"] or 1e9)
    assert first[2] == slowest["test"]


def test_runs_side_by_side(usual: JSONObject) -> None:
    other = report(60, 2, 1.5)
    parsed = Parsed(page([("main", usual), ("branch", other)]))
    rows = parsed.tables["Tokens and cost"]
    assert rows[0][:2] == ["model", "run"]
    assert [row[:2] for row in rows[1:3]] == [
        [usual["models"][0]["name"], "● main"],
        [usual["models"][0]["name"], "■ branch"],
    ]
    assert len(rows) == 1 + 6
    score, *_ = parsed.charts
    assert [row[2] for row in score["datasets"]["models"]["rows"]] == [0, 1, 0, 1, 0, 1]
    assert parsed.text.count("Saved by replay") == 2


def test_the_command_names_runs_by_their_files(
    usual: JSONObject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("main", "branch"):
        Path(f"{name}.json").write_text(json.dumps(usual), encoding="utf-8")
    assert main(["figures", "main.json", "branch.json", "--format", "html", "-o", "f.html"]) == 0
    html = Path("f.html").read_text(encoding="utf-8")
    assert html == page([("main", usual), ("branch", usual)])


def test_charts_have_the_sixteen_first_models(usual: JSONObject) -> None:
    given = copy.deepcopy(usual)
    given["models"] = [{**given["models"][0], "name": f"m{n}"} for n in range(20)]
    parsed = Parsed(page([("run", given)]))
    assert len(parsed.charts[0]["datasets"]["models"]["rows"]) == 16
    assert "4 more in the tables." in parsed.text
    assert len(parsed.tables["Tokens and cost"]) == 21


def test_findings_by_rule(parsed: Parsed) -> None:
    assert "error U02 usage-total 5 in 5 exchanges" in parsed.text
    assert parsed.text.count("total_tokens is not the sum of its parts") == 1
    assert FRAME in parsed.text
    note = finding("U01", "usage-counts", level="note", chunk=3)
    framed = finding(path="$", frame="framed")
    given = report(6, findings=(note, note, finding(), finding(message="another")))
    few = [*(finding(path=f"$[{n}]") for n in range(4)), framed]
    cut = Parsed(page([("run", report(3, findings=few))])).text
    assert "framed" in cut
    assert "2 more ways in which this was found." in cut
    text = Parsed(page([("run", given)])).text
    assert "Findings1212 errors, 12 notes" in text
    assert page([("run", given)]).count('<td class=n data-key="2">2</td>') == 6  # of each test
    assert text.index("error U02") < text.index("note U01 usage-counts 12 in 6 exchanges")
    assert "$.usage.total_tokens in chunk 3" in text


def test_the_models_of_each_run_come_before_second_streams() -> None:
    parsed = Parsed(page([("run", report(60))]))
    options = re.findall(r"<option>([^,]*),", page([("run", report(60))]))
    assert len(options) == 9
    assert len(set(options[:3])) == 3
    assert parsed.tables["Chunks by kind"][0][0] == "chunks with"


def test_organizations_and_projects(usual: JSONObject) -> None:
    assert "Organizations and projects" not in Parsed(page([("run", usual)])).tables
    parsed = Parsed(page([("run", report(6, organization="org-1"))]))
    [_, row] = parsed.tables["Organizations and projects"]
    assert row[:3] == ["org-1", "none", "6"]


@pytest.mark.parametrize(
    ("samples", "is_log"),
    [
        ([[1.0, 2.0, 3.0], [2.5]], False),
        ([[0.01, 0.5, 0.02], [7.0]], True),
        ([[0.0, 0.5], [700.0]], False),
        ([[3.0, 3.0]], False),
        ([[0.0]], False),
        ([[0.1 * n for n in range(1, 600)]], True),
    ],
)
def test_bins(samples: list[list[float]], is_log: bool) -> None:
    bins = bins_of(samples)
    assert bins.is_log is is_log
    assert [sum(counts) for counts in bins.counts] == [len(values) for values in samples]
    assert all(low < high for low, high in pairwise(bins.edges))
    assert len(bins.edges) <= 62
    if is_log:
        steps = 20 if sum(map(len, samples)) >= 500 else 10
        assert bins.edges[1] / bins.edges[0] == pytest.approx(10 ** (1 / steps), rel=0.01)
    assert bins.edges[0] <= min(map(min, samples))
    assert bins.edges[-1] >= max(map(max, samples))
    for values, counts in zip(samples, bins.counts, strict=True):
        for value in values:
            within = [
                count
                for (low, high), count in zip(pairwise(bins.edges), counts, strict=True)
                if low <= value <= high
            ]
            assert any(within)


def drawn(html: str) -> Any:
    return Parsed(html).charts[0]["datasets"]


def test_chunks_too_near_to_be_told_apart_are_one_mark() -> None:
    marks = [[n / 1e4, "answer"] for n in range(10_000)] + [[1.0, "usage"]]
    datasets = drawn(timeline("t", marks))
    assert datasets["lanes"]["rows"] == [[0, "answer"], [1, "usage"]]
    rows = datasets["chunks"]["rows"]
    assert 700 < len(rows) < 900
    assert rows[0] == [0, 0.0]
    assert rows[-1] == [1, 1.0]


def test_a_stream_with_one_chunk() -> None:
    assert drawn(timeline("t", [[0.0, "answer"]]))["chunks"]["rows"] == [[0, 0.0]]


def test_text_of_a_page_has_no_control_characters() -> None:
    assert text("a<b\n\x1b[31m\u202e") == "a&lt;b\n\\u001b[31m\\u202e"


def test_the_bundle_is_what_the_lock_says() -> None:
    folder = ROOT / ".ci" / "charts"
    lock = json.loads((folder / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    locked = {(path.rpartition("node_modules/")[2], of.get("version")) for path, of in lock.items()}
    vendor = Path(pytest_chatapi.__file__).parent / "pages" / "vendor"
    licenses = (vendor / "charts.licenses.txt").read_text(encoding="utf-8")
    listed = re.findall(r"^(\S+) (\d+\.\d+\.\d+) \((ISC|BSD-3-Clause)\)$", licenses, re.MULTILINE)
    assert {"vega-lite", "vega-interpreter", "vega-view"} <= {name for name, *_ in listed}
    assert {(name, version) for name, version, _ in listed} <= locked
