"""The budget of a run: live requests are stopped before the next one is sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from traffic import ANSWER

from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.figures.price import Prices, Rates
from pytest_chatapi.plugin.run_budget import NOTHING, RunBudget

ASKS = """
pytestmark = pytest.mark.chatapi

@pytest.mark.parametrize("number", range(4))
def test_a(openai_client, number):
    try:
        openai_client.chat.completions.create(**ask(str(number)))
    except BaseException:  # which must not hide what is over budget
        pass
"""
# Each response of the server reports 21 tokens.


def test_no_request_is_sent_once_the_tokens_are_used_up(run: Any, server: Any) -> None:
    before = len(server.seen)
    result = run(ASKS, "--record-mode=all", "--chatapi-budget=total_tokens=42")
    result.assert_outcomes(passed=2, failed=2)
    assert len(server.seen) == before + 2
    result.stdout.fnmatch_lines(
        [
            "not sent    POST chat/completions gpt-5.2",
            "  sent from test_it.py:10",
            "  because   the budget of the run is used up: total_tokens 42 of 42, by exchange",
            "            0 of test_it.py::test_a[[]1]",
            '  to go on  --chatapi-budget="total_tokens=84"',
            "-* chat completions -*",
            "2 live: 42 tokens, at an unknown price",
            "budget of the run: total_tokens 42 of 42 (100%)",
        ]
    )
    # Replays cost nothing, and the flag wins.
    run("", "--chatapi-budget=calls=0", "-k", "0 or 1").assert_outcomes(passed=2, deselected=2)
    result = run("", "--record-mode=all", "--chatapi-budget=", ini="chatapi_budget = calls=0")
    result.assert_outcomes(passed=4)
    result = run("", "--record-mode=all", ini="chatapi_budget = calls=3 usd=1 allow_unknown=true")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(['  to go on  --chatapi-budget="calls=6 usd=1 allow_unknown=true"'])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("total_token=1", "has no limit 'total_token': did you mean total_tokens?"),
        ("xyz=1", "has no limit 'xyz': use one of calls, prompt_tokens, *, allow_unknown"),
        ("usd", ": 'usd' is not a limit: use NAME=NUMBER, such as usd=1.50"),
        ("usd=-1", ": usd must be a number of at least 0, not -1"),
        ("usd=nan", ": usd must be a number of at least 0, not nan"),
        ("usd=$1", ": usd must be a number of at least 0, not '$1'"),
        ("calls=true", ": calls must be a number of at least 0, not True"),
        ("allow_unknown=1", ": allow_unknown must be true or false, not 1"),
        ("calls=1 calls=2", ": calls is set twice"),
    ],
)
def test_a_wrong_budget_stops_the_run_in_one_line(run: Any, text: str, message: str) -> None:
    result = run("def test_a(): pass", f"--chatapi-budget={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert len(result.errlines) == 2  # and an empty one
    result.stderr.fnmatch_lines(
        [f"ERROR: chatapi: --chatapi-budget{'' if message[0] == ':' else ' '}{message}"]
    )


def test_the_ini_option_is_named_by_its_own_name(run: Any) -> None:
    run("", ini="chatapi_budget = call=1").stderr.fnmatch_lines(
        ["ERROR: chatapi: chatapi_budget has no limit 'call': did you mean calls?"]
    )


def test_other_libraries_are_counted_without_a_recorder_too(run: Any, server: Any) -> None:
    test = """
import os, requests
URL = os.environ["OPENAI_BASE_URL"]
@pytest.mark.chatapi
@pytest.mark.parametrize("number", range(3))
def test_a(number):
    assert requests.post(URL + "/chat/completions", json=ask("ECHO")).json()["choices"]

@pytest.mark.chatapi
@pytest.mark.xfail
def test_b():
    requests.post(URL + "/chat/completions", json=ask("ECHO"))
"""
    before = len(server.seen)
    result = run(test, "--disable-recording", "--chatapi-budget=calls=2")
    result.assert_outcomes(passed=2, failed=1, xfailed=1)
    assert len(server.seen) == before + 2
    result.stdout.fnmatch_lines(["*::test_b: xfail because the budget of the run is used up"])


def test_limits_on_time_hold_for_each_exchange_that_is_sent(run: Any) -> None:
    test = """
pytestmark = pytest.mark.chatapi
def test_streamed(chatapi_client):
    chatapi_client.get("/models")
    chatapi_client.post("/chat/completions", json=ask("ECHO", stream=True))
@pytest.mark.chatapi_budget(total_tokens=25, calls=1, usd=1, allow_unknown=True)
def test_whole(chatapi_client):
    chatapi_client.post("/chat/completions", json=ask("ECHO"))
"""
    result = run(test, "--record-mode=once", "--chatapi-budget=ttft=0 allow_unknown=true",
                 ini="chatapi_record_on_failure = true")  # fmt: skip
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "over budget",
            "  ttft: 0.* s to the first token of exchange 1, over the budget of 0 s of the run",
        ]
    )
    result.stdout.fnmatch_lines(
        [
            "budget of test_it.py::test_whole: total_tokens 21 of 25 (84%)",
            "budget of the run: ttft was not measured in 1 of 2 responses",
        ],
        consecutive=True,
    )
    result = run("", "--chatapi-budget=ttft=0", "-v")
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("budget of *")  # as much of it is used up each time
    # The time that was recorded counts, not that of the replay.
    marker = "@pytest.mark.chatapi_budget(ttft=0)"
    result = run(test.replace("def test_streamed", f"{marker}\ndef test_streamed"))
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["  ttft: 0.* s to the first token of exchange 1, over the *0 s"])


@pytest.mark.slow  # three processes; `test_no_update_is_lost` is quick
def test_workers_share_the_budget_and_their_figures_are_added_up(
    run: Any, server: Any, pytester: pytest.Pytester
) -> None:
    test = """
pytestmark = pytest.mark.chatapi
@pytest.mark.parametrize("number", range(8))
def test_a(chatapi, chatapi_client, number):
    chatapi_client.post("/chat/completions", json=ask(f"ECHO {number}"))
    chatapi.score("good", number > 3)
"""
    before = len(server.seen)
    result = run(
        test,
        *("-p", "xdist", "-n", "2", "--disable-recording", "--chatapi-budget=calls=6"),
        *("--chatapi-report=report.json", "--junitxml=junit.xml"),
        apart=True,
    )
    result.assert_outcomes(passed=6, failed=2)
    assert len(server.seen) == before + 6
    result.stdout.fnmatch_lines(
        [
            "-* chat completions -*",
            "6 live: 126 tokens, at an unknown price",
            "budget of the run: calls 6 of 6 (100%)",
            "report: report.json",
        ],
        consecutive=True,
    )
    report = json.loads((pytester.path / "report.json").read_text("utf-8"))
    assert report["run"]["total_tokens"] == 126
    assert [row["outcome"] for row in report["tests"]].count("passed") == 6
    assert 'name="chatapi_total_tokens" value="21"' in (pytester.path / "junit.xml").read_text(
        "utf-8"
    )


# -- without a run -------------------------------------------------------------------------------


def budget(tmp_path: Path, **limits: Any) -> RunBudget:
    path = tmp_path / "spent.json"
    if not path.exists():
        path.write_text(json.dumps(NOTHING))
    return RunBudget(limits, path, Prices({"gpt-*": Rates(1000.0, 1000.0)}))


def exchange(path: str = "/chat/completions", status: int = 200, **body: Any) -> Exchange:
    model = body.get("model", "gpt-5.2")
    asked = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
    return Exchange(
        Request("POST", f"https://api.openai.com/v1{path}", {}, json.dumps(asked).encode()),
        Response(status, {}, json.dumps({**ANSWER, **body}).encode()),
        live=True,
    )


@pytest.mark.parametrize(
    ("limits", "spent", "reason"),
    [
        ({"usd": 0.03}, exchange(), None),
        ({"usd": 0.02}, exchange(), "the budget of the run is used up: usd 0.021 of 0.02, by IT"),
        ({"usd": 0.03}, exchange(usage={**ANSWER["usage"], "cost": 0.5}),
         "the budget of the run is used up: usd 0.5 of 0.03, by IT"),
        ({"prompt_tokens": 9}, exchange(),
         "the budget of the run is used up: prompt_tokens 9 of 9, by IT"),
        ({"completion_tokens": 13}, exchange(), None),
        ({"total_tokens": 50}, exchange(usage=None),
         "IT reported no total_tokens, so the budget total_tokens=50 may be exceeded"),
        ({"usd": 5}, exchange(usage=None),
         "IT reported no total_tokens, so the budget usd=5 may be exceeded"),
        ({"usd": 5}, exchange(model="other"),
         "the price of other, of IT, is not known*, so the budget usd=5 may be exceeded"),
        ({"usd": 5, "allow_unknown": True}, exchange(model="other"), None),
        ({"total_tokens": 50}, exchange(model="other"), None),
        ({"calls": 5}, exchange(usage=None), None),
        ({"usd": 5}, exchange(status=429), None),  # which costs nothing
    ],
)  # fmt: skip
def test_what_an_exchange_leaves_of_a_budget(
    tmp_path: Path, limits: Mapping[str, Any], spent: Exchange, reason: str | None
) -> None:
    run = budget(tmp_path, **limits)
    assert run.admit(exchange()) is None
    run.spent(spent, "IT", None)
    refusal = run.admit(exchange())
    if reason is None:
        assert refusal is None
    else:
        assert refusal is not None
        head, _, tail = reason.partition("*")
        if "may be exceeded" in reason:
            (line,) = run.lines([])
            assert line.startswith(f"budget of the run: {next(iter(limits))} is not known: IT"[:-2])
        assert refusal[0].startswith(head)
        assert refusal[0].endswith(tail)


@pytest.mark.parametrize(
    ("error", "is_unknown"),
    [
        (None, False),
        (ConnectionError(), False),
        (type("ReadTimeout", (Exception,), {})(), True),
        (KeyboardInterrupt(), True),
    ],
)
def test_a_request_without_response(tmp_path: Path, error: BaseException, is_unknown: bool) -> None:
    run, sent = budget(tmp_path, usd=1), exchange()
    sent.response = None
    run.spent(sent, "IT", error)
    refusal = run.admit(exchange())
    assert (refusal is not None) == is_unknown
    if refusal is not None:
        assert refusal[0] == "the client gave up on IT, so the budget usd=1 may be exceeded"
        assert refusal[1] == '--chatapi-budget="usd=1 allow_unknown=true"'


def test_requests_to_other_apis_cannot_be_counted(tmp_path: Path) -> None:
    def request(path: str) -> Exchange:
        sent = exchange(path)
        sent.response = None
        return sent

    run = budget(tmp_path, total_tokens=100)
    for path in ("/files", "/models"):
        assert run.admit(Exchange(Request("GET", f"https://api.openai.com/v1{path}"))) is None
    refusal = run.admit(request("/embeddings"))
    assert refusal == (
        "what requests to other APIs (embeddings) take is not counted, so the budget "
        "total_tokens=100 cannot be held",
        '--chatapi-budget="total_tokens=100 allow_unknown=true"',
    )
    assert budget(tmp_path, calls=1).admit(request("/embeddings")) is None
    assert budget(tmp_path, usd=1, allow_unknown=True).admit(request("/embeddings")) is None
    # A server with paths of its own, by what it is asked.
    assert budget(tmp_path, calls=0).admit(request("/generate")) is not None


def test_no_update_is_lost(tmp_path: Path) -> None:
    admitted = []

    def worker() -> None:
        own = budget(tmp_path, calls=30)  # as each process has
        for _ in range(10):
            if own.admit(exchange()) is None:
                admitted.append(1)
                own.spent(exchange(), "IT", None)

    budget(tmp_path)
    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 30
    used = json.loads((tmp_path / "spent.json").read_text())["used"]
    assert used["total_tokens"] == 30 * 21
    assert list(budget(tmp_path, calls=30, total_tokens=900).lines([])) == [
        "budget of the run: calls 30 of 30 (100%)"
    ]


def test_what_cannot_be_read_sends_nothing(tmp_path: Path) -> None:
    run = budget(tmp_path, calls=9)
    run.path.write_text("{")
    run.spent(exchange(), "IT", None)
    run.path.write_text(json.dumps(NOTHING))
    refusal = run.admit(exchange())
    assert refusal is not None
    assert refusal[0].startswith("what the run has spent cannot be read: ")
