"""Budgets of tests: the marker, and what breaks it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_chatapi.figures.measure import Figures, Timing, Tokens
from pytest_chatapi.figures.price import Cost
from pytest_chatapi.figures.summary import Group, Priced
from pytest_chatapi.plugin import budget
from pytest_chatapi.plugin.budget import breaches

TEST = """
import openai, pytest

def ask():
    openai.OpenAI().chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}])
"""


def one(usd: float | None = 0.25, status: int = 200, **figures: Any) -> Priced:
    tokens = figures.pop("tokens", Tokens(10, 20, 30))
    timing = figures.pop("timing", Timing(2.0, 0.1, 0.5, 0.5, 40.0))
    return Priced(
        Figures("live", "m", "m", "", True, status, tokens, timing),
        Cost(usd, "own table" if usd is not None else ""),
    )


@pytest.mark.parametrize(
    ("limits", "exchanges", "broken"),
    [
        ({"calls": 2}, [one(), one()], []),
        ({"calls": 1}, [one(), one()], ["calls: 2, over the budget of 1, broken by exchange 1"]),
        ({"total_tokens": 60}, [one(), one()], []),
        (
            {"total_tokens": 59},
            [one(), one()],
            ["total_tokens: 60, over the budget of 59, broken by exchange 1"],
        ),
        (
            {"prompt_tokens": 9},
            [one()],
            ["prompt_tokens: 10, over the budget of 9, broken by exchange 0"],
        ),
        ({"completion_tokens": 20}, [one()], []),
        ({"usd": 0.5}, [one(), one()], []),
        (
            {"usd": 0.4},
            [one(), one()],
            ["usd: 0.500000, over the budget of 0.4, broken by exchange 1"],
        ),
        ({"ttft": 0.5}, [one()], []),
        (
            {"ttft": 0.4},
            [one(timing=Timing(1, 0.1, 0.4)), one()],
            ["ttft: 0.50 s to the first token of exchange 1, over the budget of 0.4 s"],
        ),
        (
            {"min_tokens_per_second": 41},
            [one()],
            ["min_tokens_per_second: 40.0 tokens/s in exchange 0, under the budget of 41"],
        ),
        ({"min_tokens_per_second": 40}, [one()], []),
        # What is not known does not pass unseen.
        (
            {"total_tokens": 100},
            [one(tokens=Tokens())],
            [
                "total_tokens: 1 response reported no usage (exchange 0, m), so the budget of 100 "
                "may be exceeded; allow it: allow_unknown=True"
            ],
        ),
        ({"total_tokens": 100}, [one(tokens=Tokens(), status=429)], []),
        (
            {"usd": 1},
            [one(None)],
            [
                "usd: the cost of 1 response is not known (exchange 0, m), so the budget of 1 may "
                "be exceeded; allow it: allow_unknown=True"
            ],
        ),
        (
            {"ttft": 1},
            [one(timing=Timing(1, unmeasured="the response was not streamed"))],
            [
                "ttft: nothing could be measured: the response was not streamed; allow it: "
                "allow_unknown=True"
            ],
        ),
        ({"ttft": 1, "usd": 1, "allow_unknown": True}, [one(None, timing=Timing())], []),
    ],
)
def test_breaches(
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, Any],
    exchanges: list[Priced],
    broken: list[str],
) -> None:
    monkeypatch.setattr(budget, "find_spec", lambda name: True)
    assert list(breaches(limits, Group("", exchanges))) == broken


def test_what_cannot_be_counted_breaks_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group("", [one(None)])
    monkeypatch.setattr(budget, "find_spec", lambda name: None)
    assert list(breaches({"usd": 1, "calls": 1}, group, ["embeddings", "embeddings"])) == [
        "usd: the cost of 1 response is not known (exchange 0, m) and 2 requests to other APIs "
        "(embeddings) cannot be counted, so the budget of 1 may be exceeded; pip install "
        "'pytest-chatapi[cost]', or allow it: allow_unknown=True"
    ]
    assert list(breaches({"usd": 1, "allow_unknown": True}, group, ["embeddings"])) == []
    # A number of its own, where other requests were sent between.
    assert list(breaches({"total_tokens": 29}, group, [], [7])) == [
        "total_tokens: 30, over the budget of 29, broken by exchange 7"
    ]


def run(pytester: pytest.Pytester, text: str) -> pytest.RunResult:
    from inner_runs import run_here

    pytester.makepyfile(TEST + text)
    return run_here(pytester, "-p", "no:asyncio")


def test_a_test_over_its_budget_fails_with_the_figures(pytester: pytest.Pytester) -> None:
    pytester.makefile(".toml", chatapi="[prices.'gpt-*']\ninput = 1\noutput = 1")
    result = run(
        pytester,
        """
@pytest.mark.chatapi_budget(calls=9, total_tokens=1000)
class TestIt:
    @pytest.mark.chatapi_budget(calls=1)  # the nearest wins
    def test_over(self, chatapi_mock):
        chatapi_mock.reply("Hello!")
        ask(); ask()

    def test_within(self, chatapi_mock, chatapi):
        chatapi_mock.reply("Hello!")
        ask()
        assert chatapi.figures.tokens("total") == chatapi.usage.total_tokens
        assert [one.figures.source for one in chatapi.figures.exchanges] == ["mock"]
        assert [one.cost.source for one in chatapi.figures.exchanges] == ["own table"]

    @pytest.mark.chatapi_budget(usd=1, total_tokens=9)
    def test_other(self, chatapi_mock):
        chatapi_mock.embeddings()
        openai.OpenAI().embeddings.create(model="text-embedding-3-small", input="Hi")

    @pytest.fixture
    def late(self, chatapi_mock):
        yield
        chatapi_mock.reply("Hello!")
        ask()

    @pytest.mark.chatapi_budget(calls=0)
    def test_passes_before_its_fixture_asks(self, late): pass
""",
    )
    result.assert_outcomes(passed=2, failed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["  total_tokens: 1 request to other APIs (embeddings) cannot be counted, so the budget*"]
    )
    result.stdout.fnmatch_lines(["over budget", "  calls: 2, over the budget of 1, *"])
    result.stdout.fnmatch_lines(["  calls: 1, over the budget of 0, broken by exchange 0"])


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("total_token=1", "chatapi_budget has no limit 'total_token': did you mean total_tokens?"),
        ("calls=-1", "chatapi_budget: calls must be a number of at least 0, not -1"),
        ("calls=True", "chatapi_budget: calls must be a number of at least 0, not True"),
        ("allow_unknown=1", "chatapi_budget: allow_unknown must be true or false, not 1"),
        ("5", "chatapi_budget takes keyword arguments: calls, prompt_tokens, *"),
    ],
)
def test_a_wrong_marker_fails_its_test_in_one_line(
    pytester: pytest.Pytester, marker: str, message: str
) -> None:
    result = run(
        pytester,
        f"""
@pytest.mark.chatapi_budget({marker})
def test_it(chatapi_mock):
    pass
""",
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])


def test_a_budget_without_a_recorder_is_refused(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.chatapi_budget(calls=1)
def test_it():
    pass
""",
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["@pytest.mark.chatapi_budget has nothing to measure: add @*"])
