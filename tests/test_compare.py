"""What changed between two reports of figures, and `chatapi compare`."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from inner_runs import run_here

from pytest_chatapi.cli.main import main
from pytest_chatapi.contract.schemas import document
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.errors import SettingError
from pytest_chatapi.figures.compare import FIGURES, compare, limit_of
from pytest_chatapi.figures.compare_formats import markdown_of, text_of
from pytest_chatapi.figures.measure import Figures, Timing, Tokens
from pytest_chatapi.figures.price import Prices, Rates
from pytest_chatapi.figures.report import EXCLUDED, OTHER_ENDING, Score, report_of

FINDING = {"code": "S10", "name": "a", "level": "error", "path": "$", "message": "m"}


def sent(test: str = "test_a", total: int | None = 110, **more: Any) -> Figures:
    """An exchange of a test, with 10 tokens of output."""
    tokens = Tokens() if total is None else Tokens(total - 10, 10, total)
    timing = Timing(first_token=more.pop("ttft", None), tokens_per_second=more.pop("speed", None))
    model, status = more.pop("model", "mini"), more.pop("status", 200)
    return Figures(
        "live", model, model, "localhost", True, status, tokens, timing, test=test, **more
    )


def report(*exchanges: Figures, run: Any = None, **more: Any) -> JSONObject:
    prices = Prices({"m*": Rates(1, 1)})
    return report_of(exchanges, prices, {"kind": "pytest", **(run or {})}, **more)


def compared(base: JSONObject, head: JSONObject, *limits: str) -> JSONObject:
    comparison = compare(("base.json", base), ("head.json", head), [*map(limit_of, limits)])
    assert json.loads(json.dumps(comparison)) == comparison
    return comparison


def problems(base: JSONObject, head: JSONObject, *limits: str) -> list[str]:
    """The lines of the text that say what fails."""
    text = text_of(compared(base, head, *limits))
    return [line[5:] for line in text.splitlines() if line.startswith("FAIL ")]


# -- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("total_token=5%", 'no figure "total_token": did you mean total_tokens?'),
        ("qqqq=5%", 'no figure "qqqq": docs/compare.md lists them'),
        ("scores.=5%", 'no figure "scores.": docs/compare.md lists them'),
        ("tests:usd=1", 'no scope "tests": did you mean test?'),
        ("usd", "use FIGURE=LIMIT, such as total_tokens=5% or findings=0"),
        ("usd=-1", "use FIGURE=LIMIT, such as total_tokens=5% or findings=0"),
        ("usd=1e5", "use FIGURE=LIMIT, such as total_tokens=5% or findings=0"),
    ],
)
def test_a_limit_that_is_none(text: str, why: str) -> None:
    with pytest.raises(SettingError) as caught:
        limit_of(text)
    assert str(caught.value) == f'--max-change "{text}": {why}'


@pytest.mark.parametrize(
    ("limit", "base", "head", "allowed"),
    [
        ("total_tokens=5%", 100, 105, True),
        ("total_tokens=5%", 100, 106, False),
        ("total_tokens=5%", 100, 10, True),  # less is better
        ("total_tokens=5", 100, 105, True),
        ("total_tokens=5", 100, 106, False),
        ("findings=0", 0, 1, False),
        ("findings=0", 1, 1, True),
        ("findings=50%", 0, 1, False),  # of nothing
        ("tokens_per_second=10%", 50.0, 45.0, True),
        ("tokens_per_second=10%", 50.0, 44.9, False),
        ("tokens_per_second=10%", 50.0, 99.0, True),
        ("scores.polite=.1", 0.9, 0.8, True),  # as floats, by a little more
        ("scores.polite=0.1", 0.9, 0.79, False),
        ("tool_calls=0", 2, 1, False),  # neither direction is better
        ("tool_calls=1", 2, 1, True),
    ],
)
def test_what_a_limit_allows(limit: str, base: float, head: float, allowed: bool) -> None:
    assert limit_of(limit).allows(base, head) is allowed


def test_limits_name_what_reports_have() -> None:
    """All numbers and spreads of the schema."""
    schema = document("figures")
    defs = schema["$defs"]
    rows = [schema["properties"]["run"], defs["model"], defs["test"]]
    rows.append(defs["model"]["properties"]["form"])
    names = {"findings"}  # of tests and the run, counted in their exchanges
    for row in rows:
        for name, member in row["properties"].items():
            kinds = member.get("type", ())
            is_number = {"integer", "number"} & {*([kinds] if isinstance(kinds, str) else kinds)}
            if is_number or member.get("$ref") == "#/$defs/spread":
                names.add(name)
    assert set(FIGURES) == names


# -- comparing -----------------------------------------------------------------------------------


def test_what_changed() -> None:
    base = report(sent("test_a", 110), sent("test_b", 50), sent("test_old", 20))
    head = report(sent("test_a", 143), sent("test_b", 50), sent("test_new", 30))
    comparison = compared(base, head, "total_tokens=25%", "test:usd=0")
    figures = {(c["scope"], c["name"], c["figure"]): c for c in comparison["changes"]}
    assert {key: (c["base"], c["head"]) for key, c in figures.items()} == {
        ("run", "", "prompt_tokens"): (150, 193),
        ("run", "", "total_tokens"): (180, 223),
        ("run", "", "usd"): (pytest.approx(180e-6), pytest.approx(223e-6)),
        ("run", "", "spent_usd"): (pytest.approx(180e-6), pytest.approx(223e-6)),
        ("model", "mini", "prompt_tokens"): (150, 193),
        ("model", "mini", "total_tokens"): (180, 223),
        ("model", "mini", "usd"): (pytest.approx(180e-6), pytest.approx(223e-6)),
        ("test", "test_a", "prompt_tokens"): (100, 133),
        ("test", "test_a", "total_tokens"): (110, 143),
        ("test", "test_a", "usd"): (pytest.approx(110e-6), pytest.approx(143e-6)),
    }
    change = figures["test", "test_a", "total_tokens"]
    assert (change["change"], change["percent"]) == (33, pytest.approx(30))
    assert comparison["tests"] == {
        "compared": 2,
        "unchanged": 1,
        "new": [{"name": "test_new", "total_tokens": 30, "usd": pytest.approx(30e-6)}],
        "removed": [{"name": "test_old", "total_tokens": 20, "usd": pytest.approx(20e-6)}],
    }
    assert comparison["limits"] == [
        {"limit": "total_tokens=25%", "compared": 4, "over": 1, "unknown": 0, "absent": 0},
        {"limit": "test:usd=0", "compared": 2, "over": 1, "unknown": 0, "absent": 0},
    ]
    assert [(p["problem"], p["change"]["name"]) for p in comparison["problems"]] == [
        ("over 25%", "test_a"),
        ("over 0", "test_a"),
    ]
    assert compared(base, base, "total_tokens=0")["problems"] == []


def test_one_model_in_the_place_of_another() -> None:
    both = (sent("test_b", model="m-2"),)
    base = report(sent(total=100, model="m-old"), *both)
    head = report(sent(total=120, model="m-new"), *both)
    comparison = compared(base, head, "model:total_tokens=10%")
    assert {c["name"] for c in comparison["changes"] if c["scope"] == "model"} == {"m-old -> m-new"}
    assert comparison["models"]["new"] == comparison["models"]["removed"] == []
    (problem,) = comparison["problems"]
    assert problem["change"]["name"] == "m-old -> m-new"
    two = compared(base, report(sent(model="m-new"), sent(model="m-newer"), *both))
    assert [one["name"] for one in two["models"]["new"]] == ["m-new", "m-newer"]


def test_what_is_not_known_fails_the_limit_that_names_it() -> None:
    base = report(sent("test_a", 100), sent("test_b", 100))
    head = report(sent("test_a", 90), sent("test_a", None), sent("test_b", 100))
    gap = "not known in head: 1 response reported no usage"
    # 90 is less than 100, but it is not all.
    assert problems(base, head, "test:total_tokens=5%") == [f"test_a: total_tokens {gap}"]
    assert problems(head, base, "test:total_tokens=5%") == [
        f"test_a: total_tokens {gap.replace('head', 'base')}"
    ]
    assert problems(head, head, "run:total_tokens=5%") == [
        "run: total_tokens not known in base and head: 1 response reported no usage"
    ]
    assert problems(base, head, "exchanges=1") == []
    free = report(sent("test_a", 100, model="x"), sent("test_b", 100))
    assert problems(base, free, "test:usd=1") == [
        "test_a: usd not known in head: 1 response at an unknown price"
    ]


def test_what_neither_report_knows_may_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    gap = (sent("test_a", None), sent("test_b", None))
    for name, one in {
        "base": report(sent(total=100), *gap),
        "head": report(sent(total=120), *gap),
        "more": report(sent(total=100), sent(total=None), *gap),
    }.items():
        Path(f"{name}.json").write_text(json.dumps(one))

    def status(head: str, limit: str, *more: str) -> int:
        return main(["compare", "base.json", f"{head}.json", "--max-change", limit, *more])

    assert status("head", "run:total_tokens=20%") == 1
    assert capsys.readouterr().out.endswith("\nallow what neither report knows: --allow-unknown\n")
    assert status("head", "run:total_tokens=20%", "--allow-unknown") == 0
    assert status("head", "run:total_tokens=19%", "--allow-unknown") == 1
    assert "FAIL run: total_tokens 100+ -> 120+, over 19%\n" in capsys.readouterr().out
    assert status("base", "total_tokens=0", "--allow-unknown") == 0
    assert "total_tokens=0: 3 compared, 1 in neither\n" in capsys.readouterr().out
    assert status("more", "run:total_tokens=99%", "--allow-unknown") == 1  # one more than before
    assert "allow" not in capsys.readouterr().out.replace("FAIL", "").splitlines()[-1]


def test_what_does_not_apply_passes_unless_nothing_is_left() -> None:
    both = report(sent("test_a", ttft=0.5), sent("test_b"))
    comparison = compared(both, both, "test:ttft_seconds=1")
    assert comparison["problems"] == []
    assert comparison["limits"][0]["compared"] == comparison["limits"][0]["absent"] == 1
    assert "test:ttft_seconds=1: 1 compared, 1 in neither\n" in text_of(comparison)
    # All responses of a test are errors: there is nothing to report.
    refused = report(sent("test_a"), sent("test_b", total=None, status=500))
    assert problems(refused, refused, "test:total_tokens=1", "test:usd=1") == []
    none = report(sent())
    nothing = "nothing to compare for {}: no figure in both reports"
    for limit in ("ttft_seconds=1", "run:ttft_seconds=1", "scores.polite=1"):
        assert problems(none, none, limit) == [nothing.format(limit)]
    assert problems(none, report(), "test:usd=1") == [nothing.format("test:usd=1")]
    assert problems(report(sent(ttft=0.5)), none, "test:ttft_seconds=9") == [
        "test_a: ttft_seconds not known in head"
    ]


def test_a_report_with_gaps_fails_every_limit() -> None:
    base = report(sent())
    head = report(sent(), run={"unread": [{"file": "a.yaml", "why": "is cut"}]})
    assert problems(base, head, "exchanges=0") == [
        "head.json is not complete: 1 file could not be read for it"
    ]
    assert problems(base, head) == []
    head["run"]["unread"] = [{"file": "a.png", "why": why} for why in (OTHER_ENDING, EXCLUDED)]
    assert problems(base, head, "exchanges=0") == []  # they were not meant to be read


def test_spread_and_scores() -> None:
    times = (0.1, 0.2, 0.3, 0.4, 0.5)
    base = report(
        *(sent(ttft=time, speed=50.0) for time in times), scores=[Score("test_a", "ok", 1.0)] * 4
    )
    head = report(
        *(sent(ttft=time + 0.2, speed=20.0) for time in times),
        scores=[Score("test_a", "ok", 0.8)] * 4,
    )
    comparison = compared(base, head, "scores.ok=10%", "ttft_seconds=0.2", "model:ttft_seconds=5%")
    own = {c["figure"]: c for c in comparison["changes"] if c["scope"] == "model"}
    assert own["ttft_seconds"]["spread"]["head"] == {
        "n": 5,
        "median": pytest.approx(0.5),
        "p5": pytest.approx(0.3),
        "p95": pytest.approx(0.7),
    }
    assert {name: c["within_spread"] for name, c in own.items()} == {
        "ttft_seconds": True,  # 0.5 is within 0.1-0.5
        "tokens_per_second": False,
        "scores.ok": True,  # four tests say little
    }
    assert [(p["problem"], p["change"]["scope"]) for p in comparison["problems"]] == [
        ("over 5%", "model"),
        ("over 10%", "model"),
        ("over 10%", "test"),
    ]


# -- text and Markdown ---------------------------------------------------------------------------


TOOLS, STREAM = "tests/test_agent.py::test_tools", "tests/test_agent.py::test_stream"


def pair() -> tuple[JSONObject, JSONObject]:
    """Two reports with a bit of everything."""
    base = report(
        *(sent(TOOLS, 110, ttft=time) for time in (0.1, 0.2, 0.6)),
        sent(STREAM, 50),
        sent("tests/test_agent.py::test_old", 20),
        sent("tests/test_agent.py::test_slow", 30, ttft=0.2),
        run={"started": "2026-11-25T10:00:00Z"},
        outcomes={STREAM: "passed"},
    )
    head = report(
        *(sent(TOOLS, 130, ttft=time) for time in (0.1, 0.3, 0.6)),
        sent(STREAM, None, findings=(FINDING,)),
        sent("tests/test_agent.py::test_new", 1030),
        sent("tests/test_agent.py::test_slow", 30, ttft=0.3),
        run={"started": "2026-11-26T10:00:00Z"},
        outcomes={STREAM: "failed"},
    )
    return base, head


DOCS = Path(__file__).resolve().parent.parent / "docs" / "compare.md"


def example() -> str:
    """The text in the docs: that of the two reports above."""
    (text,) = re.findall(r"```text\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    return str(text)


def test_text() -> None:
    base, head = pair()
    text = text_of(compared(base, head, "test:total_tokens=5%", "test:findings=0"))
    assert text == example()
    assert all(len(line) <= 80 for line in text.splitlines())
    same = text_of(compared(base, base)).splitlines()
    assert same[3:] == [
        "unchanged: 1 model, 4 tests",
        "no limits given: --max-change FIGURE=LIMIT makes this a gate",
    ]
    assert "\nwithin the limits\n" in text_of(compared(base, base, "exchanges=0"))


MARKDOWN = """\
<!-- chatapi compare -->
### Chat completions: not within the limits: 2 problems

- `tests/test_agent.py::test_tools: total_tokens 330 -> 390 (+18.2%), over 5%`
- `tests/test_agent.py::test_stream: total_tokens not known in head: 1 response reported no usage`

| | | base | head | change | |
|---|---|--:|--:|--:|---|
| `model mini` | total_tokens | 430 | 1,450+ |  | in head, 1 response reported no usage |
|  | usd | 0.000430 | 0.00145+ |  | in head, 1 response reported no usage |
|  | ttft_seconds | 0.200 | 0.300 | +50.0% | n 4, p5-p95 0.100-0.600: within the spread of base |
|  | findings | 0 | 1 | +1 |  |

<details><summary>All figures; tests: 2 changed, 1 new, 1 removed, 1 with another outcome</summary>

"""


def test_markdown() -> None:
    base, head = pair()
    text = markdown_of(compared(base, head, "test:total_tokens=5%"))
    assert text.startswith(MARKDOWN)
    folded, rest = text.removeprefix(MARKDOWN).split("</details>\n")
    assert (
        "| `tests/test_agent.py::test_tools` | prompt_tokens | 300 | 360 | +20.0% |  |\n" in folded
    )
    assert "removed tests:\n\n- `tests/test_agent.py::test_old (20 tokens)`\n" in folded
    assert "head: `head.json`, `6 exchanges (6 live), 2026-11-26T10:00:00Z`\n" in rest
    same = markdown_of(compared(base, base))
    assert "no limits given\n\nRun and models are unchanged.\n" in same
    assert "<details>" not in same


def test_what_a_reader_sees_first_and_what_not_at_all() -> None:
    note = {**FINDING, "level": "note"}
    long = "a score with a name of thirty"

    def one(total: int, ttft: float, answer: float, *more: Figures) -> JSONObject:
        timed = sent("test_b", total, ttft=ttft)
        timing = dataclasses.replace(timed.timing, first_answer=answer)
        return report(
            sent("test_a", 100_000 + total),
            dataclasses.replace(timed, timing=timing, findings=(note,) * total),
            *more,
            scores=[Score("test_b", long, total / 200)],
        )

    def text(base: JSONObject, head: JSONObject) -> list[str]:
        return text_of(compared(base, head, "test:total_tokens=9%")).splitlines()

    lines = text(one(100, 0.1, 0.1), one(120, 0.2, 0.2))
    assert lines.index("test_b") < lines.index("test_a")  # which is within the limit
    assert f"  {'prompt_tokens':<27}{'100,090':>12}{'100,110':>12}{'+0.02%':>10}" in lines
    at = lines.index(f"  scores.{long}")
    assert lines[at + 1] == f"{'':<29}{'0.500':>12}{'0.600':>12}{'+20.0%':>10}"
    seen = "\n".join(lines)
    assert "findings" not in seen  # notes
    assert "first_answer_seconds" not in seen  # the first token
    assert "n 1, p5-p95 0.100 -> 0.200\n" not in seen
    assert "within the spread" not in seen.replace("interval", "").partition("scores.")[0]
    assert "first_answer_seconds" in "\n".join(text(one(100, 0.1, 0.1), one(100, 0.2, 0.3)))
    # A change that is smaller than what is shown of the figure.
    assert "_seconds" not in "\n".join(text(one(100, 0.1, 0.1), one(100, 0.10004, 0.10004)))


@pytest.mark.parametrize(
    ("times", "time", "is_within"),
    [((0.1, 0.5), 0.5, True), ((0.1, 0.5), 0.51, False), ((0.2,), 0.25, None)],
)
def test_where_a_figure_lies(times: Sequence[float], time: float, is_within: bool | None) -> None:
    comparison = compared(report(*(sent(ttft=one) for one in times)), report(sent(ttft=time)))
    (change,) = [
        c for c in comparison["changes"] if (c["scope"], c["figure"]) == ("model", "ttft_seconds")
    ]
    assert change["within_spread"] is is_within


def test_names_of_others_are_no_markup() -> None:
    key = "sk-" + "Ab1" * 16
    names = [f"test_a[`` | @all <img src=x> {key}]", "test_b[\x1b[31m\n# x]", "test_c[" + "c" * 999]
    base, head = (report(*(sent(name, total) for name in names)) for total in (100, 120))
    comparison = compared(base, head, "test:total_tokens=5%")
    text, markdown = text_of(comparison), markdown_of(comparison)
    for shown in (text, markdown):
        assert key not in shown
        assert "\x1b" not in shown
        assert "\n#" not in shown.replace("\n###", "")
        assert "c" * 200 not in shown
    assert "| ```test_a[`` \\| @all <img src=x> sk-" in markdown


def test_a_comment_is_not_too_long() -> None:
    names = [f"test_{number}[{'x' * 170}]" for number in range(900)]
    base, head = (report(*(sent(name, total) for name in names)) for total in (100, 120))
    base["tests"][-1]["total_tokens"] = 9
    few = markdown_of(compared(base, head))
    assert few.partition("`test_")[2].startswith("899")  # changed most
    assert few.count("| `test_") == 20
    assert "too long" not in few
    assert "\nand 880 more tests\n" in few
    models = [f"{number}{'m' * 150}" for number in range(400)]
    for count, said in ((120, "The details are"), (400, "The rest is")):
        base, head = (report(*(sent(model=m, total=n) for m in models[:count])) for n in (100, 120))
        many = markdown_of(compared(base, head, "total_tokens=9%"))
        assert len(many) <= 60_000
        assert many.endswith(f"\n\n{said} too long for a comment.\n")
        assert many.count("total_tokens 100 -> 120") == 19  # and the run's
        assert f"- and {count + 2 - 20} more\n" in many


# -- the command ---------------------------------------------------------------------------------


@pytest.fixture(name="files")
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, one in zip(("base.json", "head.json"), pair(), strict=True):
        Path(name).write_text(json.dumps(one))
    return tmp_path


def test_the_command(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "base.json", "head.json"]) == 0
    limits = ["--max-change", "test:total_tokens=5%", "--max-change", "test:findings=0"]
    assert main(["compare", "base.json", "base.json", *limits]) == 0
    capsys.readouterr()
    assert main(["compare", "base.json", "head.json", *limits]) == 1
    assert capsys.readouterr().out == example()
    assert main(["compare", "base.json", "head.json", *limits, "--format", "json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 3
    markdown = ["--format", "markdown", "-o", "comment.md"]
    assert main(["compare", "base.json", "head.json", *limits[:2], *markdown]) == 1
    assert Path("comment.md").read_text().startswith(MARKDOWN)


def test_the_commands_of_the_docs_run(files: Path) -> None:
    text = DOCS.read_text(encoding="utf-8")
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        assert yaml.safe_load(block)["jobs"]
    commands = re.findall(r"chatapi compare .*head.json.*", text)
    assert len(commands) == 2
    for command in commands:
        assert main(shlex.split(command)[1:]) == 1
    assert Path("comment.md").is_file()


def test_the_docs_name_each_figure() -> None:
    rows = re.findall(r"^\| (`[^|]*) \| (\w+)[^|]*\|", DOCS.read_text(), re.MULTILINE)
    words = {1: "more", -1: "less", 0: "each"}
    named = {name: word for names, word in rows for name in re.findall(r"`(\w+)`", names)}
    assert named == {name: words[direction] for name, direction in FIGURES.items()}
    limits = re.findall(r"^\| `(.*=.*?)` \|", DOCS.read_text(), re.MULTILINE)
    assert len([*map(limit_of, limits)]) == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["base.json", "none.json"], "none.json: cannot be read: No such file or directory"),
        (["base.json", "head.json", "--max-change", "tokens=1"], "did you mean total_tokens?"),
        (["base.json", "head.json", "-o", "none/x"], "none/x: cannot be written"),
        (["base.json", "odd.json"], "odd.json: $.tests[0].outcome: is not as schemas/figures.json"),
    ],
)
def test_what_cannot_be_compared(
    files: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Path("odd.json").write_text(json.dumps({**report(sent()), "tests": [{"test": None}]}))
    assert main(["compare", *arguments]) == 2
    _, error = capsys.readouterr()
    assert error.startswith("chatapi: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("value", [10**400, float("nan")])
def test_numbers_that_cannot_be(value: float) -> None:
    """The schema takes them."""
    head = report(sent(ttft=0.5))
    for row in (head["run"], *head["models"], *head["tests"]):
        row["total_tokens"] = value
    head["models"][0]["ttft_seconds"] = {"n": value, "median": value, "p5": value, "p95": value}
    comparison = compare(("a", report(sent())), ("b", head), [limit_of("total_tokens=5%")])
    assert comparison["limits"][0]["unknown"] == 3
    assert "not known in head" in text_of(comparison)
    assert "not known in head" in markdown_of(comparison)


def test_two_runs_of_pytest(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytester.makepyfile(
        """
        import openai, pytest

        @pytest.mark.parametrize("number", [1, 2])
        def test_it(chatapi_mock, number):
            chatapi_mock.reply("Hello!")
            messages = [{"role": "user", "content": "Hi" + " there" * LENGTH}]
            openai.OpenAI().chat.completions.create(model="gpt-5.2", messages=messages)
        """.replace("LENGTH", "int(__import__('os').environ['LENGTH'])")
    )
    for length in ("1", "50"):
        monkeypatch.setenv("LENGTH", length)
        run_here(pytester, "--chatapi-report", f"{length}.json").assert_outcomes(passed=2)
    limit = ("--max-change", "prompt_tokens=10%", "--max-change", "usd=0")
    assert main(["compare", "1.json", "1.json", *limit]) == 0
    capsys.readouterr()
    assert main(["compare", "1.json", "50.json", *limit]) == 1
    assert re.findall("^FAIL (.*): prompt_tokens", capsys.readouterr().out, re.MULTILINE) == [
        "run",
        "model gpt-5.2",
        "test_two_runs_of_pytest.py::test_it[1]",
        "test_two_runs_of_pytest.py::test_it[2]",
    ]
