"""``pytest --pyargs pytest_chatapi.conformance``: each check of a live server is a test."""

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path

import httpx
import pytest
from conformance_servers import KEY, MODEL, URL, Answered, Faulty
from inner_runs import run_here

import pytest_chatapi
from pytest_chatapi.conformance.probe import checks

CONFORMANCE = ("--pyargs", "pytest_chatapi.conformance")
SERVER = (*CONFORMANCE, "--chatapi-base-url", URL, "--chatapi-model", MODEL)
CLIENT = httpx.Client


def wrong(answered: Answered) -> None:
    """A stream without a model, a list without the model, and no tools."""
    if answered.is_stream:
        answered.body = answered.body.replace(f'"model":"{MODEL}",'.encode(), b"")
    elif "tools" in answered.asked and answered.status == 200:
        answered.status, answered.body = 400, b'{"error": {"message": "tools are not supported"}}'
    elif answered.path.endswith("/models"):
        answered.body = answered.body.replace(MODEL.encode(), b"another")


@pytest.fixture(autouse=True)
def _transport(monkeypatch: pytest.MonkeyPatch) -> None:
    client = partial(httpx.Client, transport=Faulty(wrong))
    monkeypatch.setattr("pytest_chatapi.conformance.connect.httpx.Client", client)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "100")


def test_a_check_is_a_test(pytester: pytest.Pytester) -> None:
    chosen = "text.basic or text.max-completion or transport.models or tools.required.whole"
    result = run_here(pytester, *SERVER, "-k", chosen, "-rs", "-v")
    result.assert_outcomes(passed=4, failed=1, skipped=1, warnings=1, deselected=len(checks()) - 6)
    result.stdout.fnmatch_lines(
        [
            "pytest_chatapi.conformance::text.basic.whole PASSED *",
            "pytest_chatapi.conformance::text.basic.stream FAILED *",
            "*_ text.basic.stream: *_",
            "FAIL text.basic.stream: the key `model` is absent (and 4 more chunks)",
            "  error S01*",
            "    curl *",
            "*: NonStrict: transport.models: non-strict: the model that is probed is not listed",
            'SKIPPED * tools.required.whole: unsupported: 400: "tools are not supported"',
        ]
    )
    printed = result.stdout.str() + result.stderr.str()
    assert KEY not in printed
    assert "Traceback" not in printed
    assert "conformance.py:1: Failed" not in printed


def test_options(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("MY_KEY", KEY)
    flags = ("--chatapi-strict", "--chatapi-declare", "tools=no", "--chatapi-api-key-env", "MY_KEY")
    chosen = ("-k", "transport.models or tools.required.whole or (K03 and max-completion)")
    result = run_here(pytester, *SERVER, *flags, *chosen, "-rs")
    result.assert_outcomes(passed=2, failed=1, skipped=1, deselected=len(checks()) - 4)
    result.stdout.fnmatch_lines(["FAIL transport.models: *", "SKIPPED * unsupported: declared"])


def test_known_failures(pytester: pytest.Pytester) -> None:
    known = pytester.path / "known.toml"
    known.write_text('[failures]\n"text.basic" = "streams have no model, issue 7"\n')
    result = run_here(
        pytester, *SERVER, "--chatapi-expected", known.name, "-k", "text.basic", "-rx"
    )
    result.assert_outcomes(xfailed=1, failed=1, deselected=len(checks()) - 2)
    result.stdout.fnmatch_lines(
        [
            "STALE text.basic.whole: known as a failure (streams have no model, issue 7), but*",
            "XFAIL *::text.basic.stream - streams have no model, issue 7",
        ]
    )


def test_a_server_that_is_not_there_is_said_once(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused", request=request)

    client = partial(httpx.Client, transport=httpx.MockTransport(refuse))
    monkeypatch.setattr("pytest_chatapi.conformance.connect.httpx.Client", client)
    result = run_here(pytester, *SERVER)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"cannot connect to {URL}: Connection refused"])


def test_no_recorder_stands_between(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror("unknown host")

    monkeypatch.setattr("pytest_chatapi.conformance.connect.httpx.Client", CLIENT)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    pytester.makeini("[pytest]\nchatapi_auto = true")
    flags = ("--chatapi-base-url", "http://example.invalid/v1", "--chatapi-model", "m")
    result = run_here(pytester, *CONFORMANCE, *flags)
    result.stdout.fnmatch_lines(["cannot connect to http://example.invalid/v1: unknown host"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "pytest_chatapi.conformance checks a live server: *-base-url URL --chatapi-model M"),
        (("--chatapi-base-url", URL), "* add --chatapi-base-url URL --chatapi-model M"),
        ((*SERVER[2:], "--chatapi-declare", "tols=no"), "'tols' is not a capability: *tools[?]"),
        ((*SERVER[2:], "--chatapi-declare", "tools"), "'tools': only tools=no can be declared"),
        ((*SERVER[2:], "--chatapi-expected", "no.toml"), "*no.toml: cannot be read: No such file*"),
        (("--chatapi-base-url", "http://", "--chatapi-model", "m"), "'http://' is not a base URL*"),
    ],
)
def test_usage(pytester: pytest.Pytester, flags: tuple[str, ...], message: str) -> None:
    result = run_here(pytester, *CONFORMANCE, *flags)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: chatapi: {message}"])


def test_the_folder_is_collected_where_it_is_named_alone(pytester: pytest.Pytester) -> None:
    package = Path(pytest_chatapi.__file__).parent
    server = SERVER[2:]
    assert run_here(pytester, *server, str(package)).ret == pytest.ExitCode.NO_TESTS_COLLECTED
    named = str(package / "conformance")
    result = run_here(pytester, named)
    result.stdout.fnmatch_lines(["chatapi: pytest_chatapi.conformance checks a live server: *"])
    result = run_here(pytester, *server, "--collect-only", "-q", named)
    result.stdout.fnmatch_lines([f"pytest_chatapi.conformance::{check.id}" for check in checks()])
