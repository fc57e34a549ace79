"""What is shown holds no secret: reports in each format, messages, `repr`, lines of the server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from traffic import ANSWER

from pytest_chatapi import assert_chat_completion, check
from pytest_chatapi.cli.main import main
from pytest_chatapi.contract import wording
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.titles import title_of
from pytest_chatapi.contract.userschema import first_error
from pytest_chatapi.contract.wording import mask, show, show_member, without_secrets, wrapped
from pytest_chatapi.errors import ContractError
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.redaction.redactor import Redactor
from pytest_chatapi.report import FORMATS

# Put together here, so that no scanner takes this file for a leak.
JWT = ".".join(["ey" + "J" + "hbGciOiJIUzI1NiJ9", "ey" + "J" + "zdWIiOiIxIn0", "s1gnature_-"])
SECRETS = [
    "sk-" + "a1B2" * 6,
    "sk-proj-" + "a_B-" * 30,
    "sk-ant-api03-" + "x9" * 20,
    "gsk_" + "a1B2" * 6,
    "csk-" + "a1b2" * 6,
    "xai-" + "a1B2" * 6,
    "pplx-" + "a1B2" * 6,
    "nvapi-" + "a_B-" * 6,
    "r8_" + "a1B2" * 6,
    "AIza" + "a_B-1" * 7,
    "AKIA" + "A1B2" * 4,
    "hf_" + "a1B2" * 6,
    "ghp_" + "a1B2" * 6,
    "github_" + "pat_" + "a1_B" * 6,
    "glpat-" + "a_B-" * 5,
    "xoxb-" + "12-a" * 5,
    JWT,
]
URL = "https://me:hunter2pw@gateway.example/v1/chat/completions?api_key=hunter2pw"


def leaks(text: str) -> list[str]:
    return [secret for secret in [*SECRETS, "hunter2pw"] if secret in text]


@pytest.mark.parametrize("form", FORMATS)
def test_reports(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = []
    for secret in SECRETS:
        asked = {"model": secret, "messages": [{"role": "user", "content": 5}], secret: secret}
        for response in (
            {**ANSWER, "object": secret, "id": {"of": secret}, secret: 1},
            {"error": {"message": f"Incorrect API key provided: {secret}", "type": 5}},
        ):
            status = 400 if "error" in response else 200
            answer = {
                "status": status,
                "headers": {"content-type": "application/json"},
                "body": response,
            }
            request = {"method": "POST", "url": f"{URL}&x={secret}", "body": asked}
            rows.append(json.dumps({"request": request, "response": answer}))
    Path("a.jsonl").write_text("\n".join(rows))
    assert main(["check", "--format", form, "a.jsonl"]) == 1
    out, err = capsys.readouterr()
    assert leaks(out + err) == []
    assert "sk-REDACTED" in out


def test_messages_of_assertions() -> None:
    for secret in SECRETS:
        with pytest.raises(ContractError) as caught:
            assert_chat_completion({**ANSWER, "object": secret, secret: 1, "usage": [secret]})
        assert leaks(str(caught.value) + repr(caught.value.findings)) == []
        with pytest.raises(ContractError) as caught:
            assert_chat_completion(Response(401, body={"error": {"message": f"not {secret}"}}))
        assert leaks(str(caught.value)) == []


def test_repr_of_what_a_test_holds() -> None:
    for secret in SECRETS:
        request = Request("POST", URL, {"x-api-key": "0p4que-value"}, {"user": secret})
        response = Response(
            200, {"set-cookie": "a=0p4que-value", "x": secret}, pieces=[secret[:9].encode()]
        )
        response.pieces = (f"it is {secret[:9]}".encode(), secret[9:].encode())
        exchange = Exchange(request, response)
        interaction = Interaction(request, 200, headers=[("x", secret)], pieces=response.pieces)
        whole = repr([exchange, interaction, Response(body=f"{secret}"), Response(chunks=[secret])])
        assert leaks(whole) == []
        assert "0p4que-value" not in whole
        of_gateway = Request("POST", f"https://a.example/x/{secret}", {}, {"model": secret})
        assert leaks(title_of(exchange) + title_of(Exchange(of_gateway))) == []


def test_repr_shows_the_rest() -> None:
    assert repr(Request("POST", "https://a.example/v1", {"accept": "*/*"}, b'{"n": 1}')) == (
        "Request(POST https://a.example/v1, {'accept': '*/*'}, body=\"{\\\"n\\\": 1}\")"
    )
    assert repr(Response(503, {}, pieces=[b"a", b"b"], cut="server")) == (
        "Response(503, {}, pieces=\"ab\", cut='server')"
    )
    stream = iter([b"a"])
    assert repr(Response(pieces=stream)) == "Response(200, {}, pieces=<list_iterator>)"
    assert list(stream) == [b"a"]  # which a look at it does not use up


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://me:hunter2pw@h.example/v1, 2", "at https://h.example/v1, 2"),
        ("POST /v1/chat?key=hunter2pw&n=1 200", "POST /v1/chat?key=REDACTED&n=1 200"),
        (
            "at https://h.example/a?sig=hunter2pw: not found",
            "at https://h.example/a?sig=REDACTED: not found",
        ),
        ("(https://h.example/?sig=hunter2pw).", "(https://h.example/?sig=REDACTED)."),
        ("/v1/chat?key=hunter2pw, 200", "/v1/chat?key=REDACTED, 200"),
        ('{"to": "https://h.example/?sig=hunter2pw"}', '{"to": "https://h.example/?sig=REDACTED"}'),
        ("Bearer " + "abcdefgh" * 2, "Bearer REDACTED"),
        ("sk-" + "abcdefgh" * 2, "sk-REDACTED"),
        ("is 1 = 2? a=b", "is 1 = 2? a=b"),
        ("$.choices[0].logprobs.content[3].token", "$.choices[0].logprobs.content[3].token"),
        ("one\ntwo", "one\ntwo"),
    ],
)
def test_urls_and_tokens(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
    assert without_secrets(shown) == shown
    assert mask(text) == shown.replace("\n", "\\n")


def test_a_key_is_masked_before_a_text_is_shortened() -> None:
    key = "AKIA" + "A1B2" * 4
    for at in range(40, 80):
        assert "AKIAA1" not in show("." * at + key)
    for at in range(10, 60):
        found = check({**ANSWER, "." * at + key: 1}, "openai")
        assert "AKIAA1" not in "".join(map(str, found))
    for at in range(180, 200):
        assert "AKIAA1" not in show({"a": "." * at + key}, 500)
    long = "ABSK" + "a1B2" * 30
    assert "a1B2" not in show({long: 1}, 500) + show({"a" * 70 + " " + long: 1}, 500)


def test_what_may_be_copied_stays_in_one_piece() -> None:
    path = "recordings/" + "a-b/" * 20
    assert wrapped(path, "    ", first="  at ") == [f"  at {path}"]
    assert wrapped(f"read {path} again", "    ") == ["read", f"    {path}", "    again"]
    assert wrapped("not so-called", " ", width=8) == ["not", " so-called"]


def test_a_name_makes_a_value_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    redactor = Redactor([r'"pass": "(?P<secret>[^"]+)"'], environ={})
    monkeypatch.setattr(wording, "_redactor", lambda: redactor)
    assert show_member("$.users[0].pass", "hunter2pw") == '"REDACTED"'
    assert show_member("$.users[0].name", "hunter2pw") == '"hunter2pw"'
    assert show_member("$.pass", 5) == "5"
    assert show_member("$", "text") == '"text"'


def test_a_message_of_a_schema_quotes_no_secret() -> None:
    schema = {"properties": {"password": {"enum": ["a"]}, "name": {"enum": ["a"]}}}
    assert first_error(schema, {"password": "hunter2pw"}) == (
        " at $.password",
        "\"REDACTED\" is not one of ['a']",
    )
    assert first_error(schema, {"name": "bob"}) == (" at $.name", "'bob' is not one of ['a']")


def serve_arguments(upstream: str) -> list[str]:
    return ["serve", "--port", "0", "--record", "a.yaml", "--upstream", upstream]


def test_the_server_does_not_print_the_password_of_its_upstream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("uvicorn")
    from pytest_chatapi.server import run as run_module

    monkeypatch.chdir(tmp_path)

    def serve(app: Any, listening: Any, *, ready: Any, **more: Any) -> int:
        ready("http://127.0.0.1:1/v1")
        return 0

    monkeypatch.setattr(run_module, "serve", serve)
    assert main(serve_arguments("https://me:hunter2pw@h.example/v1")) == 0
    assert main(serve_arguments("https://me:hunter2pw@h.example/v1?key=hunter2pw")) == 2
    out, err = capsys.readouterr()
    assert leaks(out + err) == []
    assert "recording https://h.example/v1 to a.yaml on http://127.0.0.1:1/v1" in out
    assert "upstream must be a base URL" in err


def test_pytest_shows_no_secret_either(pytester: pytest.Pytester, run: Any) -> None:
    # In files of their own: pytest quotes the source of a failed test.
    pytester.path.joinpath("key").write_text("hf_" + "a1B2" * 6)
    pytester.path.joinpath("query").write_text("?key=hunter2pw")
    test = """
import os
from pathlib import Path
def post(base, *names):
    url = base + "/chat/completions" + Path("query").read_text()
    key = Path("key").read_text()
    return httpx.post(url, json={**ask(f"ODD {key}"), "model": key, key: 1})

@pytest.mark.chatapi
def test_miss():
    post("https://a.example/v1")

@pytest.mark.chatapi(record_mode="once", policy="strict")
def test_finding():
    post(os.environ["OPENAI_BASE_URL"])

@pytest.mark.chatapi(record_mode="once", policy="off")
def test_locals(chatapi):
    post(os.environ["OPENAI_BASE_URL"])
    exchange, = chatapi.exchanges
    assert exchange is None
"""
    result = run(test, "--junitxml=out.xml", "--showlocals", "--tb=short")
    result.assert_outcomes(failed=3)
    assert leaks(result.stdout.str()) == []
    assert leaks(pytester.path.joinpath("out.xml").read_text()) == []
    assert "hf_REDACTED" in result.stdout.str()
