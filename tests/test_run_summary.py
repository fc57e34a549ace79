"""What a run took: in the terminal, as properties, and as a report."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from pytest_chatapi import output
from pytest_chatapi.contract.exchange import Exchange, Request
from pytest_chatapi.errors import ReadError
from pytest_chatapi.figures.measure import Figures, Timing, Tokens
from pytest_chatapi.figures.price import Prices, Rates
from pytest_chatapi.figures.report import Score
from pytest_chatapi.plugin.run import Run
from pytest_chatapi.plugin.run_summary import RunFigures, properties_of
from pytest_chatapi.plugin.tally import Tally, tally_of
from pytest_chatapi.redaction.redactor import Redactor

SCHEMA = json.loads((Path(__file__).parent.parent / "schemas" / "figures.json").read_text())
PRICES = Prices({"m": Rates(1000.0, 1000.0)})


def one(source: Any = "live", model: str = "m", **more: Any) -> Figures:
    tokens = more.pop("tokens", Tokens(1000, 204, 1204))
    timing = more.pop("timing", Timing())
    values = {"is_stream": True, "status": 200, "test": "test_a.py::test_b", **more}
    return Figures(source, model, model, "h", tokens=tokens, timing=timing, **values)


FAST = Timing(1.0, 0.1, 0.25, 0.25, 40.0)
SLOW = Timing(9.0, 2.0, 2.314, 2.5, 20.0)


@pytest.mark.parametrize(
    ("exchanges", "lines", "verbose"),
    [
        ([], [], []),
        ([one("mock", tokens=Tokens())] * 34, ["34 mocked"], []),
        (
            [one("replayed"), one("replayed"), one("mock")],
            ["2 replayed: 2,408 tokens, 2.4080 USD saved; 1 mocked"],
            ["  m: 2, 2,000 prompt and 408 completion tokens, 2.4080 USD"],
        ),
        # A price that is not known is said of what is spent; of what is saved, if some is known.
        ([one("replayed", "x")], ["1 replayed: 1,204 tokens"], None),
        (
            [one("replayed"), one("replayed", "x")],
            ["2 replayed: 2,408 tokens, 1.2040 USD saved, 1 at an unknown price"],
            None,
        ),
        ([one(model="x")], ["1 live: 1,204 tokens, at an unknown price"], None),
        ([one(tokens=Tokens())], ["1 live: 1 without usage"], None),
        ([one(status=429, tokens=Tokens())], ["1 live"], None),
        ([one(wire_usd=0.00001)], ["1 live: 1,204 tokens, under 0.0001 USD spent"], None),
        (
            [one(timing=FAST), one("replayed", timing=SLOW, test="t"), one("mock", timing=SLOW)],
            [
                "1 live: 1,204 tokens, 1.2040 USD spent",
                "1 replayed: 1,204 tokens, 1.2040 USD saved; 1 mocked",
                "slowest first token: 2.31 s, as recorded, t",
            ],
            [
                "  m: 2, 2,000 prompt and 408 completion tokens, 2.4080 USD, first token 1.28 s, "
                "30 tokens/s",
            ],
        ),
        (
            [one(timing=FAST, server_tokens_per_second=n) for n in (41.0, 60.0, 70.0)],
            [
                "3 live: 3,612 tokens, 3.6120 USD spent",
                "slowest first token: 0.25 s, test_a.py::test_b",
                "speed: the server says 60 tokens/s, measured 40, test_a.py::test_b; "
                "1 more response",
            ],
            None,
        ),
    ],
)
def test_what_is_worth_a_line(
    exchanges: list[Figures], lines: list[str], verbose: list[str] | None
) -> None:
    run = RunFigures([Tally("t", exchanges)], PRICES)
    assert list(run.lines(is_verbose=False)) == lines
    if verbose is not None:
        assert [line for line in run.lines(is_verbose=True) if line not in lines] == verbose


def test_other_apis_are_counted_on_request() -> None:
    tallies = [Tally("t", others=Counter(embeddings=2)), Tally("t", others=Counter(files=1))]
    run = RunFigures(tallies, PRICES)
    assert list(run.lines(is_verbose=False)) == []
    assert list(run.lines(is_verbose=True)) == ["not counted, of other APIs: 2 embeddings, 1 files"]


def test_live_requests_to_other_apis_are_told_as_they_cost_something() -> None:
    urls = [f"https://api.openai.com/v1/{path}" for path in ("embeddings", "files")]
    handle: Any = SimpleNamespace(
        recorder=SimpleNamespace(redactor=Redactor()),
        scores=[],
        exchanges=[Exchange(Request("POST", url), live=True) for url in (*urls, urls[0])],
        source_of=lambda exchange: "live" if exchange.live else "replayed",
    )
    assert list(RunFigures([tally_of(handle, "t", {})], PRICES).lines(is_verbose=False)) == [
        "live, but not counted, of other APIs: 2 embeddings"
    ]
    handle.exchanges[0].live = False
    assert tally_of(handle, "t", {}).uncounted == {"embeddings": 1}


def test_a_tally_crosses_processes() -> None:
    tally = Tally(
        "t",
        [one(timing=FAST, findings=({"code": "S03"},), wire_usd=0.5), one("mock")],
        Counter(files=1),
        [Score("t", "good", 0.5)],
        [one()],
        Counter(embeddings=1),
    )
    assert Tally.from_json(json.loads(json.dumps(tally.to_json()))) == tally


def test_properties_of_a_test() -> None:
    assert dict(properties_of(Tally("t"), PRICES)) == {}
    assert dict(properties_of(Tally("t", [one("mock", status=0, tokens=Tokens())]), PRICES)) == {
        "chatapi_calls": 1,
        "chatapi_calls_mock": 1,
    }
    tally = Tally(
        "t",
        [
            one(timing=FAST),
            one(tokens=Tokens()),
            one(model="x", tokens=Tokens(total=0)),
            one("replayed", timing=SLOW),
        ],
        scores=[Score("", "good", 0.5)],
    )
    assert dict(properties_of(tally, PRICES)) == {
        "chatapi_calls": 4,
        "chatapi_unreported": 1,
        "chatapi_unpriced": 1,
        "chatapi_calls_live": 3,
        "chatapi_calls_replayed": 1,
        "chatapi_prompt_tokens": 2000,
        "chatapi_completion_tokens": 408,
        "chatapi_total_tokens": 2408,
        "chatapi_usd": "2.408000",
        "chatapi_ttft_seconds": "2.314",
        "chatapi_score_good": "0.5",
    }


def test_the_last_try_counts_and_earlier_ones_are_told(request: pytest.FixtureRequest) -> None:
    # Of an earlier one, plugins that run a test again report no teardown, or another.
    run = Run()
    for count in (3, 2):
        report = pytest.TestReport("t", ("", 0, ""), {}, "passed", None, "teardown")
        report.chatapi_tally = Tally("t", [one()] * count).to_json()  # type: ignore[attr-defined]
        run.pytest_runtest_logreport(report)
    assert len(run.tallies["t"].figures) == 2
    run.tallies[request.node.nodeid] = Tally("t", [one(), one("replayed")], earlier=[one()])
    run.pytest_runtest_setup(request.node)
    assert run.tallies.keys() == {"t"}
    # What earlier tries sent live was paid for.
    (paid,) = run.paid.values()
    assert paid == [one(), one()]
    figures = RunFigures([Tally("t", [one()], earlier=paid)], PRICES)
    assert list(figures.lines(is_verbose=False)) == [
        "1 live: 1,204 tokens, 1.2040 USD spent",
        "2 live in earlier tries of tests: 2,408 tokens, 2.4080 USD spent",
    ]


# -- runs ----------------------------------------------------------------------------------------

TESTS = """
def send(**more):
    client = openai.OpenAI()
    return client.chat.completions.create(**ask(**more))

@pytest.mark.chatapi
def test_whole(chatapi):
    send()
    chatapi.score("polite", True)

@pytest.mark.chatapi
def test_streamed(chatapi):
    list(send(stream=True))
    chatapi.score("polite", False)

def test_mocked(chatapi_mock):
    chatapi_mock.reply("Hello!")
    send()

@pytest.mark.chatapi
def test_idle():
    pass

@pytest.mark.xfail
def test_no_traffic():
    assert 0
"""


def test_a_run_is_summed_up_and_reported(run: Any, pytester: pytest.Pytester) -> None:
    result = run(TESTS, "--record-mode=once")
    result.stdout.fnmatch_lines(
        [
            "-* chat completions -*",
            "2 live: 21 tokens, 1 without usage, at an unknown price",
            "1 mocked",
            "slowest first token: 0.* s, test_it.py::test_streamed",
            "1 recorded, *",
        ]
    )
    flags = ("--chatapi-report=a.json", "--chatapi-report", "b.JSON", "--junitxml=j.xml", "-v")
    result = run("", *flags)
    result.stdout.fnmatch_lines(
        [
            "-* chat completions -*",
            "2 replayed: 21 tokens, 1 without usage, at an unknown price; 1 mocked",
            "  gpt-5.2: 2, 9 prompt and 12 completion tokens, first token 0.* s",
            "slowest first token: 0.* s, as recorded, test_it.py::test_streamed",
            "1 test with @pytest.mark.chatapi sent no request that was seen:",
            "  test_it.py::test_idle",
            "  unknown clients *",
            "report: a.json",
            "report: b.JSON",
            "=* 4 passed, 1 xfailed *",
        ],
        consecutive=True,
    )
    report = json.loads((pytester.path / "a.json").read_text("utf-8"))
    assert report == json.loads((pytester.path / "b.JSON").read_text("utf-8"))
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    assert report["run"]["sources"] == {"replayed": 2, "mock": 1}
    assert {row["test"].rpartition(":")[2]: row["outcome"] for row in report["tests"]} == {
        "test_whole": "passed",
        "test_streamed": "passed",
        "test_mocked": "passed",
    }
    (model,) = [row for row in report["models"] if row["scores"]]
    assert model["scores"]["polite"]["n"] == 2
    assert model["scores"]["polite"]["mean"] == 0.5
    assert [row["ttft_seconds"] is not None for row in report["exchanges"]] == [False, True, False]
    assert len(report["streams"]) == 1
    cases = ElementTree.parse(pytester.path / "j.xml").iter("testcase")
    properties = {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in cases
    }
    assert properties["test_whole"]["chatapi_total_tokens"] == "21"
    assert properties["test_whole"]["chatapi_score_polite"] == "1"
    assert properties["test_mocked"]["chatapi_calls_mock"] == "1"
    assert properties["test_idle"] == {"chatapi_unseen": "True"}
    assert properties["test_no_traffic"] == {}


def test_nothing_is_said_where_nothing_happened(run: Any) -> None:
    result = run("pytestmark = pytest.mark.chatapi\ndef test_a(): pass\n", "-v")
    result.stdout.no_fnmatch_line("* chat completions *")


def test_findings_are_in_the_report_without_secrets(
    run: Any, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, own = "sk-proj-" + "aB3dE6gH9j" * 5, "Zx81-not-a-known-shape"
    monkeypatch.setenv("SOME_API_KEY", own)
    test = f"""
@pytest.mark.chatapi
@pytest.mark.parametrize("key", [{secret!r}, {own!r}])
def test_a(chatapi, chatapi_client, key):
    chatapi_client.post("/chat/completions?api-key=" + key, json=ask("ODD " + key, model=key))
    assert key not in repr(chatapi.figures.exchanges)
    cut = "y" * 190 + key  # frames are
    chatapi_client.post("/chat/completions", json=ask(cut, stream=True, response_format=key))
    chatapi.score("from " + key, 1)
"""
    result = run(
        test, "--disable-recording", "--chatapi-policy=warn", "-v",
        "--chatapi-report=a.json", "--chatapi-report=a.html",
    )  # fmt: skip
    result.assert_outcomes(passed=2)
    report = json.loads((pytester.path / "a.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    assert {row["outcome"] for row in report["tests"]} == {"passed"}
    findings = [finding for row in report["exchanges"] for finding in row["findings"]]
    assert {"S03", "Q00"} <= {finding["code"] for finding in findings}
    assert any('"object": "x"' in finding.get("frame", "") for finding in findings)
    texts = [(pytester.path / f"a.{suffix}").read_text("utf-8") for suffix in ("json", "html")]
    texts.append(result.stdout.str().partition("4 live")[2].partition("short test")[0])
    for text in texts:
        assert "REDACTED" in text
        assert "aB3dE6gH9j" not in text
        assert own[:6] not in text


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("a.txt", "--chatapi-report a.txt: the name must end in .json or .html"),
        ("gone/a.json", "--chatapi-report gone/a.json: cannot be written: *gone is not a folder"),
        ("here.json", "--chatapi-report here.json: cannot be written: it is a folder, name a*"),
    ],
)
def test_a_report_that_cannot_be_written_fails_before_the_first_test(
    run: Any, pytester: pytest.Pytester, file: str, message: str
) -> None:
    pytester.mkdir("here.json")
    result = run("def test_a(): pass", f"--chatapi-report={file}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert len(result.errlines) == 2  # and an empty one
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_permissions_are_looked_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ReadError, match=r"^a\.json: cannot be written: permission denied$"):
        output.require_writable("a.json")


def test_times_that_were_made_up_are_not_measured(run: Any) -> None:
    test = """
@pytest.mark.chatapi
def test_a(chatapi):
    list(openai.OpenAI().chat.completions.create(**ask(stream=True)))
    (one,) = chatapi.figures.exchanges
    print("timed" if one.figures.timing.first_token else one.figures.timing.unmeasured)
    chatapi.exchanges[0].fault = "cut"
    if one.figures.source == "replayed":
        assert chatapi.source_of(chatapi.exchanges[0]) == "mock"

def test_b(chatapi_mock, chatapi):
    chatapi_mock.reply("Hello!")
    list(openai.OpenAI().chat.completions.create(**ask(stream=True)))
    print(chatapi.figures.exchanges[0].figures.timing.unmeasured)
"""
    made_up = "its times are not a server's"
    for flags, ini, shown in (
        (["--record-mode=once"], "", ["timed", made_up]),
        ([], "", ["timed", made_up]),
        ([], "chatapi_ttft = 5", [made_up, made_up]),
    ):
        result = run(test, "-s", "-q", *flags, ini=ini)
        result.stdout.fnmatch_lines([*(f"*{text}" for text in shown), "2 passed*"])


def test_a_folder_that_is_gone_by_the_end_fails_the_run(
    run: Any, pytester: pytest.Pytester
) -> None:
    test = """
import os
def test_a():
    os.rmdir("reports")
"""
    pytester.mkdir("reports")
    result = run(test, "--chatapi-report=reports/a.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["report not written: reports/a.json: cannot be written: No such file or directory"]
    )
    result = run("", "--chatapi-report=a.json", "--collect-only")
    assert not result.ret
    result.stdout.no_fnmatch_line("report: *")
    assert not (pytester.path / "a.json").exists()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("'good', 1.5", "the score 'good' must be a number from 0 to 1, not 1.5"),
        ("'good', float('nan')", "the score 'good' must be a number from 0 to 1, not nan"),
        ("'good', '1'", "the score 'good' must be a number from 0 to 1, not '1'"),
        ("' ', 1", "a score must have a name, not ' '"),
        ("0.5, 'good'", "a score must have a name, not 0.5"),
    ],
)
def test_a_wrong_score_fails_in_one_line(run: Any, call: str, message: str) -> None:
    result = run(f"def test_a(chatapi):\n    chatapi.score({call})\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E * pytest_chatapi.errors.SettingError: {message}"])
