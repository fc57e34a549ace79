"""The plugin, in runs of its own."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from inner_runs import run_here
from traffic import ANSWER

from pytest_chatapi.plugin.collection import _not_below_arguments

LOW = copy.deepcopy(ANSWER)
LOW["usage"]["total_tokens"] = 20
# An error for openai, a warning for compatible.
ODD = {**ANSWER, "object": "x"}


# What the marker takes.


def line(
    body: Any = None, *, host: str = "https://api.openai.com", path: str = "", **ask: Any
) -> str:
    asked = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}], **ask}
    return json.dumps(
        {
            "request": {
                "method": "POST",
                "url": f"{host}/v1/{path or 'chat/completions'}",
                "body": asked,
            },
            "response": {
                "status": 200,
                "headers": {"content-type": "application/json"},
                "body": ANSWER if body is None else body,
            },
        }
    )


def recorded(pytester: pytest.Pytester, name: str, *lines: str) -> Path:
    path = pytester.path / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
    return path


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs pytest on the test module that is given, with flags."""
    monkeypatch.setenv("COLUMNS", "120")

    def go(test: str = "", *flags: str, ini: str = "") -> pytest.RunResult:
        if test:
            pytester.makepyfile(
                f"import pytest\nANSWER = {ANSWER!r}\nLOW = {LOW!r}\nODD = {ODD!r}\n{test}"
            )
        if ini:
            pytester.makeini(f"[pytest]\n{ini}\n")
        return run_here(pytester, *flags)

    return go


# -- recordings as tests ---------------------------------------------------------------

IDS = [
    "cassettes/a.jsonl::0 POST chat/completions gpt-5.2",
    "cassettes/a.jsonl::2 POST chat/completions gpt-5.2 stream",
]


@pytest.fixture
def cassettes(pytester: pytest.Pytester) -> None:
    recorded(
        pytester,
        "cassettes/a.jsonl",
        line(),
        line({"data": []}, path="embeddings"),
        line(model="gpt-5.2", stream=True),
    )
    recorded(pytester, "cassettes/package.json", '{"name": "x"}')
    recorded(pytester, "cassettes/README.txt", "Recordings.")


@pytest.mark.usefixtures("cassettes")
@pytest.mark.parametrize("how", ["flag", "absolute", "ini", "dotted"])
def test_collects_each_exchange(pytester: pytest.Pytester, run: Any, how: str) -> None:
    folder = {"absolute": str(pytester.path / "cassettes"), "dotted": "./cassettes"}.get(
        how, "cassettes"
    )
    flags = [] if how == "ini" else ["--chatapi-cassettes", folder]
    ini = "chatapi_cassettes = cassettes" if how == "ini" else ""
    result = run("def test_own(): pass", "--collect-only", "-q", *flags, ini=ini)
    assert result.ret == 0
    assert [text for text in result.outlines if "::" in text] == [
        *IDS,
        "test_collects_each_exchange.py::test_own",
    ]


def test_hidden_files_are_left_out(pytester: pytest.Pytester, run: Any) -> None:
    recorded(pytester, "c/a.jsonl", line())
    recorded(pytester, "c/.hidden.jsonl", line(LOW))
    run("", "--chatapi-cassettes", "c", "c").assert_outcomes(passed=1)


def test_recordings_are_collected_by_the_ends_of_their_names(
    pytester: pytest.Pytester, run: Any
) -> None:
    recorded(pytester, "c/a.jsonl", line())
    recorded(pytester, "c/notes.md", line(LOW))
    run("", "--chatapi-cassettes", "c", "c").assert_outcomes(passed=1)


def test_a_folder_may_be_a_link(pytester: pytest.Pytester, run: Any) -> None:
    recorded(pytester, "elsewhere/a.jsonl", line())
    (pytester.path / "c").symlink_to("elsewhere")
    run("", "--chatapi-cassettes", "c", "c").assert_outcomes(passed=1)


def test_folders_that_pytest_walks_anyway_are_not_named_again(pytester: pytest.Pytester) -> None:
    here = pytester.path
    params = SimpleNamespace(dir=here)
    config = SimpleNamespace(args=["tests", f"{here}/c/a.yaml::0 x"], invocation_params=params)
    folders = [here / "tests" / "cassettes", here / "c", here / "tests2"]
    named = _not_below_arguments(cast(Any, config), folders)
    assert named == [str(here / "c"), str(here / "tests2")]


@pytest.mark.usefixtures("cassettes")
def test_one_of_them(run: Any) -> None:
    run("", IDS[0], ini="chatapi_cassettes = cassettes").assert_outcomes(passed=1)
    result = run("", "--chatapi-cassettes", "cassettes", "cassettes", "-k", "stream")
    assert result.parseoutcomes()["deselected"] == 1


def test_failure(pytester: pytest.Pytester, run: Any) -> None:
    recorded(pytester, "c/low.jsonl", line(LOW), line())
    result = run("", "--chatapi-cassettes", "c", "c")
    assert result.ret == 1
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "_* 0 POST chat/completions gpt-5.2 _*",
            "U02: POST chat/completions gpt-5.2 breaks the contract: 1 finding",
            "  (profile openai)",
            "",
            "c/low.jsonl:1: error U02 usage-total: the total is 1 too low",
            "  at       interaction 0: $.usage.total_tokens",
            "  expected 21 (9 prompt + 12 completion)",
            "  got      20",
            "",
            "explain it: chatapi rules U02",
            'ignore it:  ignore=[[]"U02:$.usage.total_tokens"]',
            "-* chat completions contract -*",
            "2 recorded exchanges checked: 1 error: U02 usage-total (1)",
        ],
        consecutive=True,
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*.py:*")
    result.stdout.no_fnmatch_line("*ContractError*")
    result.stdout.fnmatch_lines(["FAILED c/low.jsonl::0 POST chat/completions gpt-5.2 - *"])


@pytest.mark.usefixtures("cassettes")
def test_summary(pytester: pytest.Pytester, run: Any) -> None:
    recorded(pytester, "one/w.jsonl", line(ODD, host="http://h"))
    result = run("", "--chatapi-cassettes", "one", "one")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["-* chat completions contract -*", "1 recorded exchange checked: 1 warning: S03 *"],
        consecutive=True,
    )
    recorded(pytester, "one/w.jsonl", line())
    result = run("", "--chatapi-cassettes", "one", "one")
    result.stdout.fnmatch_lines(["1 recorded exchange checked: no findings"])
    result = run("def test_own(): pass")
    result.stdout.no_fnmatch_line("*contract*")


def test_damaged_recording(pytester: pytest.Pytester, run: Any) -> None:
    recorded(pytester, "c/good.jsonl", line())
    recorded(pytester, "c/bad.json", '{"interactions": [')
    result = run("", "--chatapi-cassettes", "c", "--continue-on-collection-errors")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "_* ERROR collecting c/bad.json _*",
            "c/bad.json: line *, column *: not valid JSON: *",
            "-* chat completions contract -*",
        ],
        consecutive=True,
    )
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize("how", ["flag", "ini"])
def test_missing_folder(pytester: pytest.Pytester, run: Any, how: str) -> None:
    flags = ["--chatapi-cassettes", "nowhere"] if how == "flag" else []
    result = run(
        "def test_own(): pass", *flags, ini="chatapi_cassettes = nowhere" if how == "ini" else ""
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [text for text in result.errlines if text] == [
        f"ERROR: chatapi_cassettes: there is no folder {pytester.path / 'nowhere'}"
    ]


@pytest.mark.usefixtures("cassettes")
def test_named_paths_do_not_drag_recordings_along(run: Any) -> None:
    ini = "chatapi_cassettes = cassettes"
    run("def test_own(): pass", ini=ini).assert_outcomes(passed=3)
    name = "test_named_paths_do_not_drag_recordings_along.py"
    run("", name).assert_outcomes(passed=1)
    run("", f"{name}::test_own").assert_outcomes(passed=1)
    run("", "cassettes").assert_outcomes(passed=2)
    run("", "cassettes/a.jsonl").assert_outcomes(passed=2)
    run("", name, "--chatapi-cassettes", "cassettes").assert_outcomes(passed=3)
    run("", ".").assert_outcomes(passed=3)


@pytest.mark.usefixtures("cassettes")
def test_nothing_is_collected_twice(pytester: pytest.Pytester, run: Any) -> None:
    (pytester.path / "tests").mkdir()
    (pytester.path / "tests" / "test_it.py").write_text("def test_own(): pass")
    ini = "chatapi_cassettes = cassettes\n    ./cassettes\ntestpaths = tests"
    run("", ini=ini).assert_outcomes(passed=3)


def test_settings_of_the_run_hold_for_recordings(pytester: pytest.Pytester, run: Any) -> None:
    recorded(pytester, "c/odd.jsonl", line(ODD))
    flags = ("--chatapi-cassettes", "c", "c")
    run("", *flags).assert_outcomes(failed=1)
    run("", *flags, "--chatapi-profile", "compatible").assert_outcomes(passed=1)
    strict = ("--chatapi-profile", "compatible", "--chatapi-strict")
    run("", *flags, *strict).assert_outcomes(failed=1)
    run("", *flags, "--chatapi-ignore", "S03:$.object").assert_outcomes(passed=1)
    run("", *flags, ini="chatapi_ignore = S03").assert_outcomes(passed=1)


def test_shipped_cassettes(run: Any) -> None:
    folder = Path(__file__).parent.parent / "cassettes"
    result = run("", "--chatapi-cassettes", str(folder), str(folder))
    assert result.ret == 0
    assert result.parseoutcomes()["passed"] >= 9


def test_in_a_process_of_its_own(pytester: pytest.Pytester) -> None:
    recorded(pytester, "c/low.jsonl", line(LOW))
    pytester.makepyfile("def test_it(chat_contract): pass")
    result = pytester.runpytest_subprocess("--chatapi-cassettes", "c", "--strict-markers")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["1 recorded exchange checked: 1 error: U02 usage-total (1)"])


def test_idle_it_imports_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_it():
            ours = {name for name in sys.modules if name.startswith("pytest_chatapi")}
            plugin = "fixtures hooks ini_and_flags recorded run stash".split()
            assert ours == {
                "pytest_chatapi",
                "pytest_chatapi.config",
                "pytest_chatapi.config.file",
                "pytest_chatapi.config.options",
                "pytest_chatapi.plugin",
                *(f"pytest_chatapi.plugin.{name}" for name in plugin),
                "pytest_chatapi.recording",
                "pytest_chatapi.recording.clock",
                "pytest_chatapi.recording.kinds",
            }
            assert not {"httpx", "httpx2", "yaml", "jsonschema"} & set(sys.modules)
        """
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "chatapi"],
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_flags_are_documented(run: Any) -> None:
    result = run("", "--help")
    result.stdout.fnmatch_lines_random(
        [
            "*--chatapi-cassettes*DIR*",
            "*--chatapi-profile*NAME*",
            "*--chatapi-ignore*CODE[[]:PATH]*",
            "*--chatapi-strict*",
            "*chatapi_cassettes (paths)*",
            "*chatapi_profile (string)*",
            "*chatapi_ignore (linelist)*",
            "*chatapi_strict (bool)*",
        ]
    )
    run("", "--markers").stdout.fnmatch_lines(["@pytest.mark.chatapi(profile=None, *"])


# -- the fixture -----------------------------------------------------------------------


def test_fixture_passes(run: Any) -> None:
    run(
        """
def test_it(chat_contract):
    assert chat_contract(ANSWER) == ANSWER
    assert chat_contract.assert_chat_completion(ANSWER) == ANSWER
    assert chat_contract.assert_usage(ANSWER) == ANSWER["usage"]
    assert chat_contract.check(ANSWER) == []
    assert [f.code for f in chat_contract.check(LOW)] == ["U02"]
    question = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}]}
    assert chat_contract.assert_chat_request(question) == question
    inner = {"message": "no", "type": "invalid_request_error", "param": None, "code": None}
    assert chat_contract.assert_error_body({"error": inner}) == inner
    model = {"id": "m", "object": "model", "created": 1, "owned_by": "me"}
    assert chat_contract.assert_models(model) == model
"""
    ).assert_outcomes(passed=1)


def test_fixture_tells_streams(run: Any) -> None:
    run(
        """
import json

FRAME = {"id": "c", "object": "chat.completion.chunk", "created": 1750000000, "model": "m"}
CHUNKS = [
    {**FRAME, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    for delta, finish in [({"role": "assistant", "content": "Hi"}, None), ({}, "stop")]
]
TEXT = "".join(f"data: {json.dumps(c)}\\n\\n" for c in CHUNKS) + "data: [DONE]\\n\\n"

@pytest.mark.parametrize(
    "stream", [TEXT, TEXT.encode(), CHUNKS, [TEXT.encode()], TEXT.splitlines()],
    ids=["str", "bytes", "chunks", "pieces", "lines"]
)
def test_it(chat_contract, stream):
    completion = chat_contract(stream)
    assert completion["choices"][0]["message"]["content"] == "Hi"
    assert chat_contract.assert_chat_stream(stream) == completion
""",
    ).assert_outcomes(passed=5)


def test_fixture_failure(run: Any) -> None:
    result = run("def test_it(chat_contract):\n    chat_contract(LOW)")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E  *ContractError: U02: the chat completion breaks the contract: 1 finding *",
            "E       ",
            "E       error U02 usage-total: the total is 1 too low",
            "E         at       $.usage.total_tokens",
            "E         expected 21 (9 prompt + 12 completion)",
            "E         got      20",
            "E       ",
            "E       explain it: chatapi rules U02",
            'E       ignore it:  ignore=[[]"U02:$.usage.total_tokens"]',
        ],
        consecutive=True,
    )


@pytest.mark.parametrize("call", ["chat_contract(LOW)", "assert_chat_completion(LOW)"])
def test_failure_shows_no_code_of_ours(run: Any, call: str) -> None:
    result = run(
        "from pytest_chatapi import assert_chat_completion\n"
        f"def test_it(chat_contract):\n    {call}"
    )
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*failure_message*")
    result.stdout.no_fnmatch_line("*assertions.py*")


@pytest.mark.parametrize(
    ("marker", "outcome"),
    [
        ("profile='compatible'", "passed"),
        ("profile='openai'", "failed"),
        ("ignore=['S03']", "passed"),
        ("ignore='S03'", "passed"),
        ("ignore=('U02', 'S03:object')", "passed"),
        ("ignore=['U']", "failed"),
        ("profile='compatible', strict=True", "failed"),
        ("profile='compatible', strict=False", "passed"),
        ("", "failed"),
    ],
)
def test_marker(run: Any, marker: str, outcome: str) -> None:
    run(
        f"@pytest.mark.chatapi({marker})\ndef test_it(chat_contract):\n    chat_contract(ODD)",
        "--strict-markers",
    ).assert_outcomes(**{outcome: 1})


def test_marker_of_class_and_module(run: Any) -> None:
    run(
        """
pytestmark = pytest.mark.chatapi(profile="compatible")

def test_module(chat_contract):
    chat_contract(ODD)

@pytest.mark.chatapi(profile="openai")
class TestIt:
    def test_class(self, chat_contract):
        with pytest.raises(AssertionError, match="S03"):
            chat_contract(ODD)

    @pytest.mark.chatapi(profile="azure", ignore=["S03"])
    def test_own(self, chat_contract):
        chat_contract(ODD)
        assert chat_contract.profile == "azure"
"""
    ).assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("profil='openai'", "unknown setting 'profil': did you mean profile?"),
        ("'openai'", "takes keyword arguments only: use"),
        ("'a.yaml'", "takes keyword arguments only: did you mean cassette='a.yaml'?"),
        ("profile='opennai'", "unknown profile 'opennai': did you mean openai?"),
        ("match_on=['bdy']", "match_on cannot compare 'bdy': did you mean body?"),
        ("match_on=['method,path']", "name each by itself, between spaces in an ini file"),
        ("ignore=['u2x']", "unknown rule 'u2x': did you mean U02?"),
        ("ignore='S10,U02'", "unknown rule 'S10,U02': name each by itself, not in one text"),
        ("record_mode='ones'", "did you mean once?"),
    ],
)
def test_wrong_marker(run: Any, marker: str, message: str) -> None:
    result = run(
        f"@pytest.mark.chatapi({marker})\ndef test_it(): pass\ndef test_other(): pass",
        "--chatapi-orphans",
    )
    result.assert_outcomes(errors=1, passed=1)
    start = "test_wrong_marker.py::test_it: @pytest.mark.chatapi"
    (error,) = (line for line in result.outlines if line.startswith(start))
    assert error.endswith(message)
    result.stdout.no_fnmatch_line("*Error*")


@pytest.mark.parametrize("name", ["auto", "check_vcr", "disable_recording", "orphans", "strict"])
def test_a_switch_that_is_neither_on_nor_off(run: Any, name: str) -> None:
    result = run("def test_it(): pass", "-o", f"chatapi_{name}=maybe")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (error,) = [text for text in result.errlines if text]
    assert error == f"ERROR: chatapi_{name} must be True or False: invalid truth value 'maybe'"


def test_a_wrong_argument_of_an_assertion_shows_no_frame_of_ours(run: Any) -> None:
    test = """
def test_it(chat_contract):
    chat_contract({"object": "chat.completion"}, profile="opnai")

def test_check(chat_contract):
    chat_contract.check({"object": "chat.completion"}, profile="opnai")
"""
    result = run(test)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["E *unknown profile 'opnai': did you mean openai[?]"] * 2)
    result.stdout.no_fnmatch_line("*pytest_chatapi/*.py:*")
    result.stdout.no_fnmatch_line("*pytest_chatapi/*: SettingError")


@pytest.mark.parametrize("marker", ["profile=[]", "ignore=3", "ignore=[3]"])
def test_marker_of_a_wrong_type(run: Any, marker: str) -> None:
    result = run(f"@pytest.mark.chatapi({marker})\ndef test_it(): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["test_marker_of_a_wrong_type.py::test_it: @pytest.mark.chatapi*"])


# -- settings of a run -----------------------------------------------------------------

OWN = "def test_it(chat_contract):\n    chat_contract(ODD)"
STRICT = "@pytest.mark.chatapi(profile='compatible')\n" + OWN


@pytest.mark.parametrize(
    ("test", "flags", "ini", "outcome"),
    [
        (OWN, "", "", "failed"),
        (OWN, "--chatapi-profile compatible", "", "passed"),
        (OWN, "", "chatapi_profile = compatible", "passed"),
        (OWN, "--chatapi-profile openai", "chatapi_profile = compatible", "failed"),
        (OWN, "--chatapi-profile compatible", "chatapi_profile = openai", "passed"),
        (OWN, "--chatapi-ignore S03", "", "passed"),
        (OWN, "--chatapi-ignore U02 --chatapi-ignore S03:$.object", "", "passed"),
        (OWN, "--chatapi-ignore U02,S03", "", "passed"),
        (OWN, "", "chatapi_ignore = S03", "passed"),
        (OWN, "", "chatapi_ignore =\n    U02\n    S03:$.object", "passed"),
        (OWN, "--chatapi-ignore U02", "chatapi_ignore = S03", "failed"),
        (STRICT, "", "", "passed"),
        (STRICT, "--chatapi-strict", "", "failed"),
        (STRICT, "", "chatapi_strict = true", "failed"),
        (STRICT, "--chatapi-strict", "chatapi_strict = false", "failed"),
        (STRICT, "--chatapi-profile openai", "", "passed"),
        (STRICT, "", "chatapi_profile = openai", "passed"),
        (
            STRICT.replace("')", "', strict=False)"),
            "--chatapi-strict",
            "chatapi_strict = true",
            "passed",
        ),
        (
            OWN.replace("(ODD)", "(ODD, profile='compatible')"),
            "--chatapi-profile openai",
            "",
            "passed",
        ),
        (OWN.replace("(ODD)", "(ODD, ignore=['S03'])"), "", "", "passed"),
    ],
)
def test_settings(run: Any, test: str, flags: str, ini: str, outcome: str) -> None:
    run(test, *flags.split(), ini=ini).assert_outcomes(**{outcome: 1})


WRONG = [
    ("profile", "vllm", "unknown profile 'vllm': use documented, openai, azure, compatible"),
    ("ignore", "u2x", "unknown rule 'u2x': did you mean U02?"),
]


@pytest.mark.parametrize(("setting", "value", "message"), WRONG)
@pytest.mark.parametrize("how", ["flag", "ini"])
@pytest.mark.parametrize("use", ["cassettes", "marker"])
def test_wrong_setting(
    pytester: pytest.Pytester, run: Any, setting: str, value: str, message: str, how: str, use: str
) -> None:
    recorded(pytester, "c/a.jsonl", line())
    flags = ["--chatapi-cassettes", "c"] if use == "cassettes" else []
    flags += [f"--chatapi-{setting}", value] if how == "flag" else []
    result = run(
        "@pytest.mark.chatapi(strict=True)\ndef test_it(): pass",
        *flags,
        ini=f"chatapi_{setting} = {value}" if how == "ini" else "",
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [text for text in result.errlines if text] == [f"ERROR: chatapi settings: {message}"]


@pytest.mark.parametrize(("setting", "value", "message"), WRONG)
def test_wrong_setting_where_only_the_fixture_sees_it(
    run: Any, setting: str, value: str, message: str
) -> None:
    result = run(OWN, f"--chatapi-{setting}", value)
    assert result.ret != 0
    assert message in result.stdout.str() + result.stderr.str()
    result.stdout.no_fnmatch_line("*fixtures.py:*")
