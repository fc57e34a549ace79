"""`--map`: exchanges in JSON that no format knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from inner_runs import run_here
from read_files import (
    CHUNKS,
    CUT_STREAM,
    EMBEDDINGS,
    REQUEST,
    STREAM,
    WRONG,
    exchanges_in,
    verdict,
)
from traffic import ANSWER

from pytest_chatapi.cli.main import main
from pytest_chatapi.errors import SettingError
from pytest_chatapi.reading import bodies
from pytest_chatapi.reading.format import RecordedFile
from pytest_chatapi.reading.mapping import MEMBERS, Mapping, exchanges_of_mapped

BOTH = "request=$.input,response=$.output"


def write(tmp_path: Path, *values: Any, lines: bool = False) -> Path:
    path = tmp_path / "log.json"
    texts = [json.dumps(value, indent=None if lines else 1) for value in values]
    path.write_text("\n".join(texts))
    return path


def logged(output: Any, request: Any = REQUEST) -> dict[str, Any]:
    return {"trace": "t", "input": request, "output": output}


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("quoted", [True, False])
def test_a_fault_is_found(lines: bool, quoted: bool, tmp_path: Path) -> None:
    for output, codes in ((ANSWER, []), (WRONG, ["U02"])):
        value = logged(json.dumps(output) if quoted else output)
        assert verdict(write(tmp_path, value, lines=lines), BOTH) == ([codes], 0, [])


def test_a_fault_in_the_request_is_found(tmp_path: Path) -> None:
    value = logged(ANSWER, REQUEST | {"temperature": 9})
    assert verdict(write(tmp_path, value), BOTH) == ([["Q00"]], 0, [])
    assert verdict(write(tmp_path, value), "request=$.input") == ([["Q00"]], 0, [])


def test_lines(tmp_path: Path) -> None:
    path = write(tmp_path, logged(WRONG), logged(ANSWER), logged(WRONG), lines=True)
    assert verdict(path, BOTH) == ([["U02"], [], ["U02"]], 0, [])
    exchanges, _ = exchanges_in(path, BOTH)
    assert [e.source and e.source.index for e in exchanges] == [0, 1, 2]


@pytest.mark.parametrize("lines", [True, False])
def test_how_deep_a_mapped_body_may_be(
    lines: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nested: Any = 1
    for _ in range(201):
        nested = [nested]
    place = "line 1: " if lines else ""
    reason = f"f: {place}the body is nested deeper than 200 levels"
    for value in (logged(ANSWER | {"x": nested}), logged(ANSWER, REQUEST | {"x": nested})):
        path = write(tmp_path, *[value] * (1 + lines), lines=lines)
        assert exchanges_in(path, BOTH)[1][:1] == [reason]
    monkeypatch.setattr(bodies, "_parsed", None)  # what only YAML has is not looked for
    path = write(tmp_path, logged(WRONG), lines=lines)
    assert verdict(path, BOTH) == ([["U02"]], 0, [])


@pytest.mark.parametrize(
    ("mapping", "document"),
    [
        (
            "request=$.runs[*].in,response=$.runs[*].out",
            {"runs": [{"in": REQUEST, "out": ANSWER}, {"out": WRONG}]},
        ),
        ("request=$[*].input,response=$[*].output", [logged(ANSWER), logged(WRONG)]),
        # Two levels, and one that not all of them have in common.
        (
            "request=$.a[*].b[*].i,response=$.a[*].b[*].o[*].c",
            {
                "a": [
                    {"b": []},
                    {"b": [{"i": REQUEST, "o": [{"c": ANSWER}]}, {"o": [{"c": WRONG}]}]},
                ]
            },
        ),
        # Lists side by side.
        ("request=$.in[*],response=$.out[*]", {"in": [REQUEST] * 2, "out": [ANSWER, WRONG]}),
        # A member for all of them.
        (
            "response=$.rows[*].o,url=$.base",
            {"base": "/v1/chat/completions", "rows": [{"o": ANSWER}, {"o": WRONG}]},
        ),
        ("response=$['a b']['c,d=$.e'][*]", {"a b": {"c,d=$.e": [ANSWER, WRONG]}}),
    ],
)
def test_an_exchange_for_each_item(mapping: str, document: Any, tmp_path: Path) -> None:
    assert verdict(write(tmp_path, document), mapping) == ([[], ["U02"]], 0, [])


def test_a_damaged_item_does_not_end_the_reading(tmp_path: Path) -> None:
    runs: list[Any] = [
        {"at": logged(WRONG)},
        {"at": logged({"generations": []})},
        {"at": logged("Hello!")},
        {"at": logged(None, None)},
        {},
        {"at": logged(WRONG)},
    ]
    mapping = "request=$.runs[*].at.input,response=$.runs[*].at.output"
    codes, skipped, errors = verdict(write(tmp_path, {"runs": runs}), mapping)
    assert (codes, skipped) == ([["U02"], ["U02"]], 0)
    assert [error.partition(" the mapped ")[0] for error in errors] == [
        "f: interaction 1:",
        "f: interaction 2:",
        f"f: interaction 3: {mapping!r} finds neither request nor response",
        f"f: interaction 4: {mapping!r} finds neither request nor response",
    ]


def test_lists_that_cannot_be_paired(tmp_path: Path) -> None:
    path = write(tmp_path, {"in": [REQUEST], "out": [ANSWER, WRONG]})
    mapping = "request=$.in[*],response=$.out[*]"
    reason = f"{mapping!r} finds lists of different lengths, which cannot be paired"
    assert verdict(path, mapping) == ([], 0, [f"f: {reason}"])


def test_a_damaged_line_does_not_end_the_reading(tmp_path: Path) -> None:
    path = write(tmp_path, logged(WRONG), lines=True)
    path.write_text('{"trace": \n' + path.read_text() + '\n{"trace": \n' + path.read_text())
    codes, skipped, errors = verdict(path, BOTH)
    assert (codes, skipped) == ([["U02"], ["U02"]], 0)
    assert [error.partition(", ")[0] for error in errors] == ["f: line 1", "f: line 3"]


def test_the_whole_value(tmp_path: Path) -> None:
    path = write(tmp_path, WRONG | {"api": "/v1/chat/completions"})
    mapping = "response=$,url=$.api"
    assert verdict(path, mapping) == ([["U02"]], 0, [])


# -- what a response may be ----------------------------------------------------------------------

ENVELOPE = {"status": 200, "headers": {"content-type": "application/json", "x-request-id": "r"}}


@pytest.mark.parametrize(
    ("clean", "broken", "code"),
    [
        (CHUNKS, CHUNKS[:1], "T05"),
        (list(map(json.dumps, CHUNKS)), list(map(json.dumps, CHUNKS[:1])), "T05"),
        ([*map(json.dumps, CHUNKS), "[DONE]"], json.dumps(CHUNKS[:1]), "T05"),
        (STREAM, CUT_STREAM, "T08"),
        (STREAM.split("\n\n"), CUT_STREAM.split("\n\n"), "T08"),
        ([ANSWER], [WRONG], "U02"),
        (ENVELOPE | {"body": ANSWER}, ENVELOPE | {"body": WRONG}, "U02"),
        (ENVELOPE | {"body": json.dumps(ANSWER)}, json.dumps(ENVELOPE | {"body": WRONG}), "U02"),
        ({"request": {}, "response": ENVELOPE | {"body": ANSWER}}, WRONG, "U02"),
        ({"status": 200, "body": CHUNKS}, {"status": 200, "body": CHUNKS[:1]}, "T05"),
    ],
)
def test_what_a_response_may_be(clean: Any, broken: Any, code: str, tmp_path: Path) -> None:
    for output, codes in ((clean, []), (broken, [code])):
        path = write(tmp_path, {"output": output})
        assert verdict(path, "response=$.output") == ([codes], 0, [])


def test_an_envelope_of_a_request(tmp_path: Path) -> None:
    url = "https://api.openai.com/v1/chat/completions"
    request = {"method": "POST", "url": url, "headers": {"a": "b"}, "body": REQUEST}
    (exchange,), errors = exchanges_in(write(tmp_path, logged(ANSWER, request)), BOTH)
    assert errors == []
    assert exchange.request is not None
    assert (exchange.request.url, exchange.request.headers) == (url, {"a": "b"})
    assert exchange.request.body == REQUEST


def test_the_other_members(tmp_path: Path) -> None:
    value = {
        "i": json.dumps(REQUEST),
        "o": {"error": {"message": "m", "type": "t", "param": None, "code": None}},
        "u": "https://api.openai.com/v1/chat/completions",
        "s": "429",
        "h": {"Retry-After": ["1", "2"]},
        "q": [["X-A", "b"]],
    }
    mapping = "request=$.i, response=$.o, url=$.u, status=$.s, headers=$.h, request_headers=$.q"
    (exchange,), errors = exchanges_in(write(tmp_path, value), mapping)
    assert errors == []
    assert exchange.request is not None
    assert exchange.response is not None
    assert exchange.request.url == value["u"]
    assert exchange.request.headers == {"x-a": "b"}
    assert exchange.request.json() == REQUEST
    assert exchange.response.status == 429
    assert exchange.response.headers == {"retry-after": "1, 2"}
    assert exchange.assembled is False
    mapping = mapping.replace("headers=$.h", "response_headers=$.h")
    (other,), _ = exchanges_in(write(tmp_path, value), mapping)
    assert other.response == exchange.response


@pytest.mark.parametrize(
    ("output", "mapping", "assembled"),
    [
        (ANSWER, BOTH, True),
        (json.dumps(ANSWER), BOTH, True),
        (CHUNKS, BOTH, False),
        (ANSWER, BOTH + ",status=$.code", False),
        (ANSWER, BOTH + ",headers=$.head", False),
        (ANSWER, BOTH + ",status=$.absent", True),
        (STREAM, BOTH, False),
        (ENVELOPE | {"body": ANSWER}, BOTH, False),
    ],
)
def test_what_a_log_assembled(output: Any, mapping: str, assembled: bool, tmp_path: Path) -> None:
    value = logged(output) | {"code": 200, "head": {"content-type": "application/json"}}
    (exchange,), errors = exchanges_in(write(tmp_path, value), mapping)
    assert errors == []
    assert exchange.assembled is assembled


def test_an_error_without_its_status_is_no_success(tmp_path: Path) -> None:
    error = {"error": {"message": "m", "type": "t", "param": None, "code": None}}
    (exchange,), _ = exchanges_in(write(tmp_path, logged(error)), BOTH)
    assert exchange.response is not None
    assert exchange.response.status == 400


def test_other_apis_are_skipped(tmp_path: Path) -> None:
    values = [
        {"o": EMBEDDINGS, "u": "/v1/embeddings"},
        {"o": WRONG, "u": "/v1/chat/completions"},
    ]
    path = write(tmp_path, *values, lines=True)
    assert verdict(path, "response=$.o,url=$.u") == ([["U02"]], 1, [])


def test_a_known_format_is_read_where_nothing_is_mapped(tmp_path: Path) -> None:
    known = {"response": {"status": 200, "headers": ENVELOPE["headers"], "body": WRONG}}
    path = write(tmp_path, known, logged(WRONG), lines=True)
    assert verdict(path, BOTH) == ([["U02"], ["U02"]], 0, [])
    assert verdict(write(tmp_path, {"interactions": [known]}), BOTH) == ([["U02"]], 0, [])


def test_a_line_of_many_exchanges_where_nothing_is_mapped(tmp_path: Path) -> None:
    entry = {"request": {"url": "/v1/chat/completions"}, "response": {"status": 200}}
    entries = [entry | {"response": {"status": 200, "content": {"text": json.dumps(WRONG)}}}] * 2
    path = write(tmp_path, logged(ANSWER), {"log": {"entries": entries}}, lines=True)
    assert verdict(path, BOTH) == ([[], ["U02"], ["U02"]], 0, [])


def test_a_shape_is_no_known_format_where_nothing_is_mapped(tmp_path: Path) -> None:
    run = {"run_type": "llm", "inputs": REQUEST, "outputs": WRONG}
    wrong = "request=$.in,response=$.out"
    reason = f"f: {wrong!r} finds nothing: the keys here are "
    for value, keys in (
        (run, "run_type, inputs, outputs"),  # a tool that is known by name
        (WRONG, ", ".join(WRONG)),  # a body alone
        ({"call": REQUEST, "result": WRONG}, "call, result"),  # a home-made log
    ):
        assert verdict(write(tmp_path, value), wrong) == ([], 0, [reason + keys])
        path = write(tmp_path, value, value, lines=True)
        lines = [reason.replace("f: ", f"f: line {n}: ") + keys for n in (1, 2)]
        assert verdict(path, wrong) == ([], 0, lines)
    path = write(tmp_path, [run, run])
    assert verdict(path, wrong) == ([], 0, [f"{reason}run_type, inputs, outputs"])
    assert verdict(path, "request=$[*].inputs,response=$[*].outputs")[0] == [["U02"], ["U02"]]


# -- what is said --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"a": 1, "b": {}}, f"{BOTH!r} finds nothing: the keys here are a, b"),
        (
            {f"k{i}": 1 for i in range(13)},
            f"{BOTH!r} finds nothing: the keys here are "
            + ", ".join(f"k{i}" for i in range(12))
            + ", ...",
        ),
        ([[]], f"{BOTH!r} finds nothing: there is no object with keys here"),
        (logged(None, None), f"{BOTH!r} finds nothing: the keys here are trace, input, output"),
        (
            logged("Hello there!"),
            "the mapped response is the text 'Hello there!': it must be a completion, a list of "
            "chunks, the text of an event stream, or an object with a body",
        ),
        (
            logged({"generations": [], "llm_output": {}}),
            "the mapped response is an object with generations, llm_output: it must be a "
            "completion, a list of chunks, the text of an event stream, or an object with a body",
        ),
        (
            logged([ANSWER, 5]),
            "the mapped response is a list of 2: it must be a completion, a list of chunks, the "
            "text of an event stream, or an object with a body",
        ),
        (
            logged(ANSWER, REQUEST["messages"]),
            "the mapped request is a list of 1: it must be a request body (an object with model "
            "and messages)",
        ),
        (
            logged(ANSWER, {"question": "x"}),
            "the mapped request is an object with question: it must be a request body (an object "
            "with model and messages)",
        ),
        (
            logged('{"id": '),
            "a mapped text is not valid JSON: Expecting value; the text is cut off",
        ),
    ],
)
@pytest.mark.parametrize("lines", [True, False])
def test_what_is_said(value: Any, reason: str, lines: bool, tmp_path: Path) -> None:
    values = [value, logged(WRONG)] if lines else [value]
    place = "line 1: " if lines else ""
    codes = [["U02"]] if lines else []
    path = write(tmp_path, *values, lines=lines)
    assert verdict(path, BOTH) == (codes, 0, [f"f: {place}{reason}"])


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("ok", "the text 'ok'"),
        ("2026-11-27T10:00:00Z", "the text '2026-11-27T10:00:00Z'"),
        ("20000", "the text '20000'"),
        (True, "True"),
        (0, "0"),
        (1200, "1200"),
        (200.5, "200.5"),
        ({"a": 1}, "an object with a"),
    ],
)
def test_a_status_that_is_no_code_is_an_error(status: Any, shown: str, tmp_path: Path) -> None:
    path = write(tmp_path, logged(ANSWER) | {"code": status})
    error = f"f: the mapped status is {shown}: it must be a status code, such as 200"
    assert verdict(path, BOTH + ",status=$.code") == ([], 0, [error])


@pytest.mark.parametrize(
    ("status", "code"), [(429, 429), (429.0, 429), ("429", 429), ("HTTP/1.1 429 Too Many", 429)]
)
def test_a_status_may_be_a_text(status: Any, code: int, tmp_path: Path) -> None:
    path = write(tmp_path, logged(ANSWER) | {"code": status})
    (exchange,), _ = exchanges_in(path, BOTH + ",status=$.code")
    assert exchange.response is not None
    assert exchange.response.status == code


@pytest.mark.parametrize("status", [None, "", float("nan")])
def test_a_status_that_is_not_set(status: Any, tmp_path: Path) -> None:
    value = logged(ANSWER) | {"code": status}
    (exchange,) = exchanges_of_mapped(
        RecordedFile("f", None, pytest.fail), Mapping(f"{BOTH},status=$.code"), value
    )
    assert exchange.assembled


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "map request, response or both, such as request=$.input,response=$.output; got ''"),
        ("url=$.a", "map request, response or both, such as request=$.input,"),
        ("request", "'request' is not MEMBER=PATH, such as request=$.input,response=$.output"),
        (
            "requst=$.a",
            f"'requst' cannot be mapped: did you mean request? Use {', '.join(MEMBERS)}",
        ),
        ("zzz=$.a", f"'zzz' cannot be mapped. Use {', '.join(MEMBERS)}"),
        ("request=$.a,request=$.b", "'request' is mapped twice"),
        ("request=input", "'input' is not a path: write one like $.user, "),
        ("request=$.a[", "'$.a[' is not a path: write one like $.user, "),
    ],
)
def test_a_mapping_that_is_none(text: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        Mapping(text)
    assert str(caught.value).startswith(message)


# -- where it is set -----------------------------------------------------------------------------


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(tmp_path, {"call": {"deep": {"sent": REQUEST, "came": WRONG}}}))
    assert main(["check", path, "--map", "request=$.call.deep.sent,response=$.call.deep.came"]) == 1
    assert "U02" in capsys.readouterr().out
    assert main(["check", path]) == 2
    error = capsys.readouterr().err
    assert "; its keys are call: --map says where request and response are" in error
    assert main(["check", path, "--map", "input"]) == 2
    assert "'input' is not MEMBER=PATH" in capsys.readouterr().err
    assert main(["check", path, "--map", "request=$.a"]) == 2
    assert "finds nothing: the keys here are call" in capsys.readouterr().err


def test_what_a_mapping_finds_has_a_line_in_json_lines_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, {"interactions": [{"request": {}}], "mine": [logged(WRONG)]})
    mapping = "request=$.mine[*].input,response=$.mine[*].output"
    assert main(["check", str(path), "--map", mapping]) == 1
    assert capsys.readouterr().out.startswith("log.json: error U02 ")
    path = write(tmp_path, logged(ANSWER), logged(WRONG), lines=True)
    assert main(["check", str(path), "--map", BOTH]) == 1
    assert capsys.readouterr().out.startswith("log.json:2: error U02 ")


WRONG_PATH = (
    "'request=$.inptu' finds nothing in 2 exchanges: the keys here are trace, input, output"
)

REMEDY = "correct it, leave it out or let it pass with --allow-unchecked"


def test_a_path_that_finds_nothing_anywhere_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write(tmp_path, logged(ANSWER), logged(ANSWER), lines=True))
    wrong = BOTH.replace("input", "inptu")
    for rates in ([], ["--rates"]):
        for mapping, error in (
            (wrong, WRONG_PATH),
            (f"{BOTH},time=$.ts", WRONG_PATH.replace("request=$.inptu", "time=$.ts")),
        ):
            assert main(["check", path, *rates, "--map", mapping]) == 2
            assert capsys.readouterr().err == f"chatapi: --map: {error}; {REMEDY}\n"
        for flags in (["--map", BOTH], ["--map", wrong, "--allow-unchecked"]):
            assert main(["check", path, *rates, *flags]) == 0
            assert capsys.readouterr().err == ""


def test_a_path_may_find_something_elsewhere_or_null(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = f"{BOTH},status=$.code,time=$.ts"
    write(tmp_path, logged(ANSWER) | {"ts": None})
    (tmp_path / "other.json").write_text(json.dumps(logged(ANSWER) | {"code": 200}))
    for flags in ([], ["--jobs", "2"], ["--rates"], ["--rates", "--jobs", "2"]):
        assert main(["check", str(tmp_path), *flags, "--map", mapping]) == 0
        assert capsys.readouterr().err == ""
        assert main(["check", str(tmp_path / "log.json"), *flags, "--map", mapping]) == 2
        assert "'status=$.code' finds nothing in 1 exchange: " in capsys.readouterr().err


def test_what_a_mapping_found_is_in_the_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    write(logs, logged(ANSWER) | {"code": 200})
    command = ["check", "--rates", str(logs), "--state", str(tmp_path / "state")]
    for names in ("log.json", "log.json other.json"):
        for name in names.split()[1:]:
            (logs / name).write_text(json.dumps(logged(ANSWER)))
        assert main([*command, "--map", f"{BOTH},status=$.code"]) == 0
        assert capsys.readouterr().err == ""
        assert main([*command, "--map", f"{BOTH},status=$.cod"]) == 2
        assert "'status=$.cod' finds nothing" in capsys.readouterr().err


def test_side_by_side_a_path_may_find_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write(tmp_path, {"ins": [REQUEST], "outs": [ANSWER], "url": "/v1/chat/completions"}))
    mapping = "request=$.ins[*],response=$.outs[*],url=$.u"
    assert main(["check", path, "--map", mapping]) == 2
    assert "'url=$.u' finds nothing in 1 exchange: the keys" in capsys.readouterr().err
    assert main(["check", path, "--map", mapping + "rl"]) == 0


def test_a_mapping_that_is_never_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option is meant for these files; the setting may be for others."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"request": REQUEST, "response": ANSWER})
    for flags in ([], ["--rates"]):
        assert main(["check", "log.json", *flags, "--map", BOTH]) == 2
        said = f"chatapi: --map: {BOTH!r} finds nothing in what was read; {REMEDY}\n"
        assert capsys.readouterr().err == said
    (tmp_path / "pyproject.toml").write_text(f"[tool.chatapi]\nmap = '{BOTH}'\n")
    assert main(["check", "log.json"]) == 0


def test_where_a_path_finds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys are those of the object in which its path ends; the place is that of the mapping."""
    monkeypatch.chdir(tmp_path)
    run = {"in": {"body": REQUEST}, "out": ANSWER, "\x1b[31m": 1}
    write(tmp_path, {"runs": [run, run]})
    mapping = "request=$.runs[*].in.bdy,response=$.runs[*].out,status=$.runs[*].code,url=$.u.v"
    (tmp_path / "pyproject.toml").write_text(f"[tool.chatapi]\nmap = '{mapping}'\n")
    assert main(["check", "log.json"]) == 2
    nothing = "finds nothing in 2 exchanges: the keys here are"
    assert capsys.readouterr().err.splitlines() == [
        f"chatapi: pyproject.toml: map: {said}; {REMEDY}"
        for said in (
            f"'request=$.runs[*].in.bdy' {nothing} body",
            f"'status=$.runs[*].code' {nothing} in, out, \\u001b[31m",
            f"'url=$.u.v' {nothing} runs",
        )
    ]
    assert main(["check", "log.json", "--map", mapping, "--format", "github"]) == 2
    assert "::error title=not read::--map: 'request=" in capsys.readouterr().out
    assert main(["check", "log.json", "--map", mapping, "--format", "sarif"]) == 2
    run = json.loads(capsys.readouterr().out)["runs"][0]
    said = run["invocations"][0]["toolExecutionNotifications"]
    of_map = [one for one in said if one["message"]["text"].startswith("--map: ")]
    assert [list(one) for one in of_map] == [["level", "message"]] * 3


def test_a_sample_may_miss_what_a_path_finds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [logged(ANSWER) | ({"code": 200} if n == 250 else {"n": n}) for n in range(500)]
    path = str(write(tmp_path, *rows, lines=True))
    command = ["check", path, "--rates", "--map", f"{BOTH},status=$.code"]
    assert main([*command, "--sample", "5%"]) == 0
    assert capsys.readouterr().err == ""


def test_a_run_names_a_path_that_finds_nothing(pytester: pytest.Pytester) -> None:
    (pytester.path / "logs").mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        write(pytester.path / "logs", logged(ANSWER)).rename(pytester.path / "logs" / name)
    wrong = BOTH.replace("input", "inptu")
    for flags, ini in (
        (["--chatapi-cassettes", "logs", "--chatapi-map", wrong], ""),
        ([], f"chatapi_cassettes = logs\nchatapi_map = {wrong}\n"),
    ):
        pytester.makeini(f"[pytest]\n{ini}")
        result = run_here(pytester, *flags)
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines([f"chatapi_map: {WRONG_PATH}"])
        assert result.ret == pytest.ExitCode.TESTS_FAILED
    part = run_here(pytester, "logs/a.jsonl")  # the others may have it
    part.stdout.no_fnmatch_line("chatapi_map: *")
    assert part.ret == 0
    pytester.makeini(f"[pytest]\nchatapi_cassettes = logs\nchatapi_map = {BOTH}\n")
    assert run_here(pytester).ret == 0


@pytest.mark.parametrize("by_flag", [True, False])
def test_the_setting(pytester: pytest.Pytester, by_flag: bool) -> None:
    (pytester.path / "logs").mkdir()
    write(pytester.path / "logs", logged(WRONG), logged(ANSWER), lines=True)
    if by_flag:
        args = ["--chatapi-cassettes", "logs", "--chatapi-map", BOTH]
    else:
        args = []
        pytester.makeini(f"[pytest]\nchatapi_cassettes = logs\nchatapi_map = {BOTH}\n")
    result = run_here(pytester, *args)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*U02 usage-total*"])


def test_a_wrong_setting(pytester: pytest.Pytester) -> None:
    (pytester.path / "logs").mkdir()
    result = run_here(pytester, "--chatapi-cassettes", "logs", "--chatapi-map", "x=$.y")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: chatapi_map: 'x' cannot be mapped*"])
