"""`chatapi conform client`: a consumer of any language, tried on each delivery over a socket."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conformance_reports import problems_of

pytest.importorskip("uvicorn")
from pytest_chatapi.cli.main import main
from pytest_chatapi.conformance import client, consumer
from pytest_chatapi.conformance.client import client_checks
from pytest_chatapi.conformance.consumer import KEY, Consumer, environment
from pytest_chatapi.conformance.formats import FORMATS, read_report
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.errors import ChatAPIError, SettingError

PYTHON = (sys.executable, "-S", "-E")
PROGRAM = (*PYTHON, str(Path(__file__).with_name("consumer_program.py")))
ALIVE = "--keep-alive"


def conform(*options: str, ways: tuple[str, ...] = ()) -> int:
    keep = () if "once" in ways else (ALIVE,)
    return main(["conform", "client", *keep, *options, "--", *PROGRAM, *ways])


def verdicts(report: JSONObject) -> dict[str, str]:
    return {check["id"]: check["verdict"] for check in report["checks"]}


@pytest.fixture(scope="module", name="ran")
def run_of_a_wrong_one(tmp_path_factory: pytest.TempPathFactory) -> JSONObject:
    """The report of a consumer that is wrong, with tools."""
    path = tmp_path_factory.mktemp("client") / "wrong.json"
    ways = ("tools", "takes-cut", "needs-space", "forgets-refusals", "leaks")
    ways += ("decodes-pieces", "takes-lines")
    assert conform("--format", "json", "-o", str(path), ways=ways) == 1
    return read_report(path)


@pytest.fixture(name="report")
def own_report(ran: JSONObject) -> JSONObject:
    return copy.deepcopy(ran)


# -- verdicts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ways", [("tools",), ("whole", "tools")], ids=["stream", "whole"])
def test_a_right_consumer_has_no_failures(
    ways: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Consumer] = []
    before = Consumer.__init__

    def note(self: Consumer, *arguments: Any, **options: Any) -> None:
        before(self, *arguments, **options)
        started.append(self)

    monkeypatch.setattr(Consumer, "__init__", note)
    path = tmp_path / "right.json"
    assert conform("--format", "json", "-o", str(path), ways=ways) == 0
    report = read_report(path)
    assert [consumer.started for consumer in started] == [1]
    found = verdicts(report)
    assert {name for name, verdict in found.items() if verdict == "fail"} == set()
    form = "whole" if "whole" in ways else "stream"
    assert report["client"] == {
        "command": " ".join([*PROGRAM, *ways]),
        "keep_alive": True,
        "form": form,
        "said": ["text", "call", "calls", "text and calls", "refusal"],
        "turns": 1,
    }
    other = "stream" if form == "whole" else "whole"
    of_other = {check["verdict"] for check in report["checks"] if check["mode"] == other}
    assert of_other == {"not-exercised"}
    assert found[f"illegal.nothing.{form}"] == "pass"
    assert report["summary"]["pass"] > (15 if form == "whole" else 60)


def test_verdicts_of_a_wrong_consumer(report: JSONObject) -> None:
    found = verdicts(report)
    assert found["plain.text"] == found["sse.newlines-cr"] == found["bytes.pieces.stream"] == "pass"
    assert found["bytes.split-characters.stream"] == "fail"
    assert found["sse.no-space"] == found["illegal.ends-early-end"] == "fail"
    assert found["plain.refusal"] == "fail"
    assert found["illegal.arguments-cut-1"] == found["illegal.only-done"] == "fail"
    assert found["tolerated.ping"] == "non-strict"
    assert found["plain.structured"] == found["sse.indented"] == "not-exercised"
    assert found["bytes.pieces.whole"] == "not-exercised"
    by_id = {check["id"]: check for check in report["checks"]}
    # What is not wrong without it, it is not a failure of.
    reason = by_id["illegal.finish-unterminated"]["reason"]
    assert reason == "to the consumer it is the same as ends-early"
    reason = by_id["bytes.split-newlines"]["reason"]
    assert reason == "fails without this already: see newlines, data-lines"
    assert "(text" in by_id["illegal.only-done"]["reason"]
    assert "refusal" not in by_id["illegal.only-done"]["reason"]  # it is lost anyway
    assert by_id["illegal.only-done"]["got"].startswith('printed {"text": ""')


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        ((), {}),
        (
            ("answers-first",),
            {
                "plain.calls": "left a call unanswered (calls): request 2: messages[1]."
                "tool_calls[1] waits for a tool message with the id ",
                "plain.calls-again": "left a call unanswered (call): request 3: ",
            },
        ),
        (("forgets-answers",), {"plain.call": "left a call unanswered (call): request 2: "}),
        (
            ("forced", "whole"),
            {
                "plain.call": "does not come to an end (call): request 2: it sent 50 requests, "
                'and `tool_choice` is "required" in each'
            },
        ),
    ],
    ids=["right", "answers-first", "forgets-answers", "forced"],
)
def test_tool_loops(ways: tuple[str, ...], said: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    only = [
        *(f"plain.{name}" for name in ("call", "calls", "calls-again")),
        *("sse.no-space", "illegal.arguments-cut-1", "illegal.only-done"),
    ]
    options = [word for name in only for word in ("--only", name)]
    ways = ("tools", "loops", *ways)
    assert conform(*options, "--format", "json", "-o", str(path), ways=ways) == bool(said)
    report = read_report(path)
    by_id = {check["id"]: check for check in report["checks"]}
    for name, reason in said.items():
        assert by_id[name]["verdict"] == "fail"
        assert by_id[name]["reason"].startswith(reason)
        assert by_id[name]["got"].startswith('sent [{"role": "assistant", "tool_calls": ')
        assert len(by_id[name]["exchange"]) == 1
    if not said:
        assert verdicts(report) == dict.fromkeys(only, "pass")
        # The two responses of a call; a cut in the second cannot be in the arguments.
        assert by_id["plain.calls-again"]["requests"] == 3
        assert report["client"]["turns"] == 2
        said_once = ["text", "call", "calls", "text and calls", "refusal"]
        assert report["client"]["said"] == said_once


def test_each_response_of_a_tool_loop_is_tried(capsys: pytest.CaptureFixture[str]) -> None:
    ways = ("tools", "loops", "takes-cut-later")
    assert conform("--only", "illegal.only-done", ways=ways) == 1
    shown = capsys.readouterr().out
    assert "FAIL illegal.only-done: took a part of the response for the whole (call," in shown
    assert "on the wire in response 2 of 2" in shown


def test_what_is_lost_from_the_plain_delivery_is_no_excuse(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    only = ("--only", "plain.text", "--only", "sse.comment")
    assert conform(*only, "--format", "json", "-o", str(path), ways=("forgets-usage",)) == 1
    assert verdicts(read_report(path)) == {"plain.text": "fail", "sse.comment": "pass"}


def test_strict_and_known_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = tmp_path / "known.toml"
    only = ("--only", "tolerated.ping", "--only", "sse.no-space")
    known.write_text('[failures]\n"sse.no-space" = "issue 7"\n')
    assert conform(*only, "--expected", str(known), ways=("needs-space",)) == 0
    assert "known failures *" in capsys.readouterr().out
    assert conform(*only, "--expected", str(known)) == 1
    assert "STALE sse.no-space: known as a failure (issue 7)" in capsys.readouterr().out
    assert conform("--only", "tolerated.ping", "--strict") == 1
    known.write_text('[failures]\n"sse.nospace" = "issue 7"\n')
    assert conform("--expected", str(known)) == 2
    assert "'sse.nospace' is not a check: did you mean sse.no-space?" in capsys.readouterr().err
    assert conform("--skip", "sse.comments") == 2
    assert "'sse.comments' names no check: did you mean sse.comment?" in capsys.readouterr().err
    assert conform("--only", "sse.no-space", "--skip", "sse") == 2
    assert "--only and --skip leave no check\n" in capsys.readouterr().err


def test_a_process_for_each_case(capsys: pytest.CaptureFixture[str]) -> None:
    ways = ("once", "takes-cut")
    assert conform("--only", "illegal.only-done", "--only", "illegal.html", ways=ways) == 1
    shown = capsys.readouterr().out.split("FAIL illegal.only-done: ")[1]
    assert shown.splitlines() == [
        "took a part of the response for the whole (text,",
        "  refusal)",
        "  checks   Only `[DONE]` comes",
        r"""  plain    printed {"text": " Zoë: \"日本\" 🙂\u2028data: [DONE]\u0085{}\\n\n\n id:""",
        """           1  end ", "refusal": "", "calls": [], "finish": "stop"}""",
        """  here     printed {"text": "", "refusal": "", "calls": [], "finish": null}""",
        "  on the wire",
        r"    b'data: [DONE]\n\n'",
        "  again",
        "    chatapi conform client --only illegal.only-done -- \\",
        f"      {' '.join([*PROGRAM, *ways])}",
        "",
        "not exercised",
        "  the consumer asks for streams",
        "    illegal.html.whole",
        "",
        "0 of 3 checks passed, 2 failed, 1 not exercised; 9 requests",
    ]


def test_a_case_that_hangs_fails_and_the_rest_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    only = ("--only", "sse.comment", "--only", "sse.no-space", "--timeout", "2")
    assert conform(*only, ways=("hangs-on-sse.comment",)) == 1
    shown = capsys.readouterr().out
    assert "FAIL sse.comment: printed no line `ok` or `error` within 2 s (text)" in shown
    assert "1 of 2 checks passed, 1 failed" in shown


def test_ctrl_c_gives_what_came_until_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = client.Tried.result

    def interrupted(self: client.Tried, check: client.DeliveryCheck) -> client.DeliveryResult:
        if check.id == "plain.refusal":
            raise KeyboardInterrupt
        return result(self, check)

    monkeypatch.setattr(client.Tried, "result", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    assert conform("--only", "plain", "--format", "badge") == 130
    assert signal.getsignal(signal.SIGTERM) is before
    said = capsys.readouterr()
    assert said.out == "1/7 (6 not exercised)\n"
    assert "interrupted" in said.err


# -- consumers with which nothing can be compared ------------------------------------------------


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        (
            ("elsewhere",),
            "the consumer sent no request for a chat completion to OPENAI_BASE_URL: it printed "
            "error status 404; the server got POST /v1/responses",
        ),
        (("silent",), "the consumer prints nothing: print what it understood of the response"),
        (
            ("whole", "tools", "needs-key"),
            "the consumer fails on the plain delivery of text: it printed error no key; the others "
            "are compared with what it makes of that, so fix it first",
        ),
        (("clock",), "print what can be compared, without ids and times of its own"),
        (("needs-space", "whole", "takes-cut", "once", "tools", "no-such"), ""),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_nothing_to_compare_with(
    ways: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = conform("--only", "plain.text", ways=ways)
    error = capsys.readouterr().err
    assert (status, said in error) == (2 if said else 0, True), error
    assert len(error.splitlines()) == bool(said)


def test_a_command_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "client", "--", "no-such-command-1"]) == 2
    assert "cannot run 'no-such-command-1': No such file" in capsys.readouterr().err


# -- reports -------------------------------------------------------------------------------------


def test_the_report_is_as_the_schema_says(report: JSONObject) -> None:
    assert problems_of(report) == []
    assert {check["id"] for check in report["checks"]} == {check.id for check in client_checks()}


def test_what_differs_is_shown(report: JSONObject) -> None:
    shown = FORMATS["text"](report)
    of_a_cut = shown.split("FAIL illegal.ends-early-end: ")[1].split("\n\n")[0].splitlines()
    assert max(map(len, of_a_cut[:-1])) <= 80
    assert of_a_cut[3].startswith("  plain    printed ...")
    at = of_a_cut.index("  on the wire")
    assert of_a_cut[at + 1].endswith(" pieces as in the plain delivery")


def test_each_format_has_the_failures(report: JSONObject) -> None:
    assert '<testcase classname="sse" name="sse.no-space"><failure' in FORMATS["junit"](report)
    assert "::error title=sse.no-space%3A fail::FAIL sse.no-space" in FORMATS["github"](report)
    page = FORMATS["html"](report)
    assert "Legal: server-sent events" in page
    assert "data:[DONE]" in page
    assert FORMATS["badge"](report) == f"{report['summary']['badge']}\n"
    for text in (page, FORMATS["text"](report), json.dumps(report)):
        assert "abcdefghijklmnopqrstuvwxyz123456" not in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"client": None}, "$: has to have either server or client"),
        ({"server": {"url": "u", "model": "m", "declared": []}}, "$: has to have either server or"),
        (
            {"exchanges": [{}]},
            "$.exchanges[]: each has to have: command, request, wire,",
        ),
    ],
)
def test_what_is_not_a_report(
    change: JSONObject, said: str, report: JSONObject, tmp_path: Path
) -> None:
    for name, value in change.items():
        if value is None:
            del report[name]
        elif name == "exchanges":
            del report[name][0]["wire"]
        else:
            report[name] = value
    file = tmp_path / "report.json"
    file.write_text(json.dumps(report))
    with pytest.raises(ChatAPIError, match=re.escape(said)):
        read_report(file)


def test_a_report_is_shown_again(
    report: JSONObject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    file.write_text(json.dumps(report))
    assert main(["conform", "replay", str(file), "--format", "github"]) == 1
    assert capsys.readouterr().out == FORMATS["github"](report)
    failed = [check["id"] for check in report["checks"] if check["verdict"] == "fail"]
    known = tmp_path / "known.toml"
    known.write_text("[failures]\n" + "".join(f'"{name}" = "later"\n' for name in failed))
    assert main(["conform", "replay", str(file), "--expected", str(known)]) == 0


def test_consumers_side_by_side(report: JSONObject, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    page = tmp_path / "page.html"
    reports = [str(tmp_path / f"{name}.json") for name in ("one", "two")]
    assert main(["conform", "matrix", *reports, "-o", str(page)]) == 0
    assert "<strong>one</strong>" in page.read_text()
    assert "consumer_program.py tools" in page.read_text()


def test_names_are_unique_and_plain() -> None:
    names = [check.id for check in client_checks()]
    assert len(names) == len(set(names))
    for name in names:
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-"), name


# -- processes -----------------------------------------------------------------------------------


@contextlib.contextmanager
def running(code: str, *, keep_alive: bool = True, timeout: float = 10.0) -> Iterator[Consumer]:
    consumer = Consumer([*PYTHON, "-c", code], {}, timeout=timeout, keep_alive=keep_alive)
    try:
        yield consumer
    finally:
        consumer.close()


LOOP = "import sys\nfor line in sys.stdin:\n    "


def test_a_line_starts_a_case_and_a_line_ends_it() -> None:
    with running(LOOP + "print('noise\\nok', repr(line), flush=True)") as consumer:
        assert consumer.run("a.b").value == r"'a.b\n'"
        assert consumer.run("c").value == r"'c\n'"
        assert consumer.started == 1


def test_one_that_dies_is_started_again() -> None:
    code = (
        LOOP + "print('half'); sys.exit('no more') if line == 'a\\n' else print('ok 1', flush=True)"
    )
    with running(code) as consumer:
        assert str(consumer.run("a").error) == "ended with exit status 1: no more"
        assert consumer.run("b").value == 1
        assert consumer.started == 2


def test_one_that_ends_quietly_has_printed_what_it_understood() -> None:
    with running(LOOP + "print('all of it'); break") as consumer:
        assert consumer.run("a").value == "all of it"


def test_a_line_without_a_case_is_an_error() -> None:
    with running(LOOP + "print('ok 1\\nok 2', flush=True)") as consumer:

        def run_until_it_is_noticed() -> None:
            for _ in range(100):  # both lines need not come at once
                consumer.run("a")

        with pytest.raises(ChatAPIError, match=r"printed 'ok [12]' without a case"):
            run_until_it_is_noticed()


def test_too_much_is_an_error() -> None:
    with (
        running("print('a' * 2_000_000)", keep_alive=False) as consumer,
        pytest.raises(ChatAPIError, match="printed more than 1,000,000 bytes for one case"),
    ):
        consumer.run("a")


def test_nothing_is_left_of_one_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = (
        "import os, time\n"
        f"end = os.open({str(pipe)!r}, os.O_WRONLY)\n"
        "os.fork()\n"
        "os.write(end, b'1')\n"
        "time.sleep(60)\n"
        "os.write(end, b'left')"
    )
    waits = threading.Event()
    whole = consumer._Process.whole

    def wait_for_it(self: Any, until: float) -> Any:
        waits.set()
        return whole(self, until)

    monkeypatch.setattr(consumer._Process, "whole", wait_for_it)
    with running(code, keep_alive=False, timeout=600) as hung, ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(hung.run, "a")
        with pipe.open("rb", buffering=0) as alive:
            assert alive.read(1) + alive.read(1) == b"11"
            waits.wait()
            hung.close()
            assert alive.read() == b""  # it ends when both have ended
        assert str(outcome.result().error) == "ended by signal 9"


def test_what_it_leaves_behind_does_not_hold_its_output() -> None:
    code = "import os, time\nif os.fork() == 0: time.sleep(600)\nprint('done')"
    with running(code, keep_alive=False) as consumer:
        assert consumer.run("a").value == "done"


def test_the_line_of_standard_error_that_tells_most() -> None:
    text = "a.js:3\n\nTypeError: x\n    at f\n\nNode.js\n"
    code = f"import sys; sys.stderr.write({text!r}); sys.exit(2)"
    with running(code, keep_alive=False) as consumer:
        assert str(consumer.run("a").error) == "ended with exit status 2: TypeError: x"


def test_the_environment_has_no_secrets() -> None:
    user = {
        "PATH": "/bin",
        "OPENAI_API_KEY": "sk-real",
        "OPENAI_ORG_ID": "org-1",
        "ANTHROPIC_API_KEY": "sk-ant",
        "GITHUB_TOKEN": "ghp_1",
        "no_proxy": "example.org",
    }
    assert environment("http://127.0.0.1:1/v1", user) == {
        "PATH": "/bin",
        "no_proxy": "example.org,127.0.0.1",
        "NO_PROXY": "127.0.0.1",
        "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
        "OPENAI_API_KEY": KEY,
    }


def test_a_command_that_cannot_be_run(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("")
    with pytest.raises(SettingError, match=r"cannot run .*text': Permission denied"):
        Consumer([str(tmp_path / "text")], dict(os.environ), timeout=1).run("a")
