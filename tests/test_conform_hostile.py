"""``chatapi conform server`` and servers that do not play: a verdict, in bounded time, no key."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conformance_servers import HEADERS, MODEL, URL, Answered, Faulty, body_of, edits, results

from pytest_chatapi.cli.main import main
from pytest_chatapi.conformance import wire
from pytest_chatapi.conformance.probe import Check, Probe, selected
from pytest_chatapi.conformance.probe import checks as every_check
from pytest_chatapi.conformance.run import Options, Run
from pytest_chatapi.conformance.server import Server
from pytest_chatapi.conformance.wire import Caps, Live

KEY = "open-sesame-42"  # looks like no key, so only what was learned can find it
MORE = "x-api-key: correct-horse-17"

Behaviour = Callable[[socket.socket, bytes, threading.Event], None]


@contextlib.contextmanager
def server(behaviour: Behaviour) -> Iterator[tuple[str, list[bytes]]]:
    """The base URL of a server that does this with each request, and the requests."""
    over = threading.Event()
    requests: list[bytes] = []
    threads = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65536) or b"\r\n\r\n"
            head, _, body = request.partition(b"\r\n\r\n")
            length = int((re.findall(rb"(?i)content-length: (\d+)", head) or [b"0"])[0])
            while len(body) < length:  # or what is not read would reset the connection
                body += connection.recv(65536) or b" " * length
            requests.append(request)
            behaviour(connection, request, over)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1", requests
        finally:
            over.set()
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


def says(head: str, body: bytes = b"", forever: bool = False) -> Behaviour:
    """A response; the head of the request, with the key, is a part of each body."""

    def behave(connection: socket.socket, request: bytes, over: threading.Event) -> None:
        connection.sendall(f"HTTP/1.1 {head}\r\nconnection: close\r\n\r\n".encode())
        connection.sendall(body.replace(b"HEAD", request.partition(b"\r\n\r\n")[0]))
        while forever and not over.is_set():
            connection.sendall(body)

    return behave


def hangs(connection: socket.socket, request: bytes, over: threading.Event) -> None:
    over.wait()


def closes(connection: socket.socket, request: bytes, over: threading.Event) -> None:
    pass


CHUNK = b'data: {"id": "a", "choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n'
BEHAVIOURS: dict[str, tuple[Behaviour, str, bool]] = {
    "hangs": (hangs, "no response within 0.05 s", False),
    "closes at once": (closes, "the connection broke", False),
    "wants another key": (
        says("401 No\r\ncontent-type: application/json", b'{"error": {"message": "HEAD"}}'),
        "a legal request is refused",
        False,
    ),
    "answers HTML": (says("200 OK\r\ncontent-type: text/html", b"<h1>HEAD</h1>"), "not JSON", True),
    "refuses all": (
        says("500 No\r\ncontent-type: application/json", b'{"error": {"message": "HEAD"}}'),
        "a legal request is refused",
        True,
    ),
    "streams for ever": (
        says("200 OK\r\ncontent-type: text/event-stream", CHUNK, True),
        "the response is over 20,000 bytes long",
        False,
    ),
    "sends 100 MB": (
        says("200 OK\r\ncontent-length: 100000000", b"HEAD" * 1000, True),
        "the response is over 20,000 bytes long",
        False,
    ),
    "is no HTTP": (says("what\r\nso: ever", b"HEAD"), "the connection broke", False),
    "is not compressed": (
        says("200 OK\r\ncontent-encoding: gzip", b"HEAD"),
        "cannot be decompressed",
        False,
    ),
}
"""What it does, what the report says of it, and whether it is asked any more than the plainest."""


@pytest.fixture
def conform(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, dict[str, dict[str, str]], str]]:
    """Runs the command: exit status, checks of the report by id, standard error.

    No text that it wrote has a secret.
    """

    def run(url: str, *options: str) -> tuple[int, dict[str, dict[str, str]], str]:
        monkeypatch.setenv("THE_KEY", KEY)
        arguments = ["conform", "server", url, "--model", "m", "--api-key-env", "THE_KEY"]
        arguments += ["--header", MORE, "--record", str(tmp_path / "d"), *options]
        status = main([*arguments, "--format", "json"])
        out, err = capsys.readouterr()
        main(["conform", "replay", str(tmp_path / "d")])
        replayed = capsys.readouterr().out
        files = [file.read_text() for file in (tmp_path / "d").glob("*")]
        for text in (out, err, replayed, *files):
            for secret in (KEY, "open-ses", "correct-ho"):
                assert secret not in text
        return status, {one["id"]: one for one in json.loads(out)["checks"]}, err

    return run


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_a_server_that_does_not_play_gets_a_verdict(
    name: str, conform: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MOST_BYTES", 20_000)
    behaviour, reason, is_asked_on = BEHAVIOURS[name]
    timeout = "0.05" if behaviour is hangs else "30"
    with server(behaviour) as (url, requests):
        status, checks, _ = conform(url, "--timeout", timeout)
    assert status == 1
    assert len(checks) == len(list(selected(every_check(), [], [])))
    basic = checks["text.basic.whole"]
    assert basic["verdict"] == "fail"
    assert reason in json.dumps(basic)
    assert not [one for one in checks.values() if one["verdict"] == "pass"]
    assert (len(requests) > 4) is is_asked_on
    if not is_asked_on:
        assert checks["tools.required.whole"]["reason"].startswith("the plainest request fails: ")


@pytest.mark.parametrize("where", ["another host", "the same host"])
def test_redirects_are_not_followed(where: str, conform: Callable[..., object]) -> None:
    taken = says("200 OK\r\ncontent-type: application/json", b"{}")
    with server(taken) as (elsewhere, seen):
        target = f"{elsewhere}/x" if where == "another host" else "/v1/other"
        with server(says(f"307 Moved\r\nlocation: {target}\r\ncontent-length: 0")) as (url, own):
            status, checks, _ = conform(url, "--only", "text.basic")
    assert (status, seen) == (1, [])
    assert not [request for request in own if b"/v1/other" in request]
    assert "redirects to" in str(checks["text.basic.whole"]["reason"])


def test_nothing_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    status = main(["conform", "server", f"http://me:pass@127.0.0.1:{port}/v1", "--model", "m"])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith("chatapi: ")
    assert second.startswith(f"chatapi: cannot connect to http://127.0.0.1:{port}/v1: ")


def test_a_server_that_goes_away_is_not_asked_on(conform: Callable[..., object]) -> None:
    alive = says("200 OK\r\ncontent-type: application/json", b'{"id": "HEAD"}')

    def goes_away(connection: socket.socket, request: bytes, over: threading.Event) -> None:
        if any(b"?x=1" in request for request in requests):
            return
        alive(connection, request, over)

    with server(goes_away) as (url, requests):
        _, checks, _ = conform(url, "--only", "transport")
        count = len(requests)
    assert checks["transport.query"]["verdict"] == "fail"
    later = checks["transport.content-type.whole"]
    assert later["verdict"] == "not-exercised"
    assert later["reason"] == (
        "the server does not respond any more, since transport.query at the latest"
    )
    # Three that are measured, four about models, the one that it hangs on, and one to see whether.
    assert count == 9


@pytest.mark.parametrize("concurrency", ["1", "3"])
def test_ctrl_c_gives_the_report_so_far(concurrency: str, conform: Callable[..., object]) -> None:
    def interrupts(connection: socket.socket, request: bytes, over: threading.Event) -> None:
        if b"GET /v1/chat" in request:
            os.kill(os.getpid(), signal.SIGINT)
            over.wait()
        says("200 OK\r\ncontent-type: application/json", b"{}")(connection, request, over)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with server(interrupts) as (url, _):
            status, checks, err = conform(
                url, "--only", "transport", "--timeout", "60", "--concurrency", concurrency
            )
    finally:
        signal.signal(signal.SIGINT, before)
    assert status == 130
    assert err.endswith("chatapi: interrupted: the report has what came until now\n")
    assert {check["verdict"] for check in checks.values()} >= {"fail", "not-exercised"}
    late = checks["transport.wrong-method"]
    assert (late["verdict"], late["reason"]) == ("not-exercised", "interrupted")


def test_caps_hold_beside_other_checks() -> None:
    for cap in (Caps(requests=9), Caps(tokens=400)):
        sizes = []

        def count(answered: Answered, sizes: list[int] = sizes) -> None:
            body = answered.body
            usage = json.loads(body).get("usage", {}) if body.startswith(b"{") else {}
            sizes.append(usage.get("total_tokens", 0))

        with httpx.Client(transport=Faulty(count)) as client:
            live = lambda name: Live(client, URL, HEADERS, 5.0, cap)  # noqa: B023, E731
            run = Run(live, Options(MODEL, concurrency=4), cap)
            outcomes = list(run.results(list(selected(every_check(), ["transport", "errors"], []))))
        reasons = {result.reason for result in outcomes}
        assert any(reason.startswith("the cap of ") for reason in reasons)
        assert len(sizes) == cap.sent_requests
        assert len(sizes) <= (cap.requests or len(sizes))
        assert sum(sizes) <= cap.used_tokens
        assert cap.used_tokens <= (cap.tokens or cap.used_tokens)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["http://[::1", "--model", "m"], "'http://[::1' is not a base URL"),
        (["localhost:8000/v1", "--model", "m"], "'localhost:8000/v1' is not a base URL"),
        (["http://h/v1", "--model", "m", "--header", "a b: c"], "'a b: c' is not a header"),
        (["http://h/v1", "--model", "m", "--api-key-env", "BAD"], "the key in BAD has characters"),
        (
            ["http://h/v1", "--model", "m", "--api-key-env", "NOPE"],
            "the environment variable NOPE, for the key, is not set",
        ),
    ],
)
def test_bad_settings_are_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BAD", "two\nlines")
    assert main(["conform", "server", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert "lines" not in err


ODD = [
    {"data": [{"id": {}}]},
    {"id": {}, "choices": [{"message": {"tool_calls": [{"function": {"name": {}}}]}}]},
    {
        "choices": [{"index": {}, "message": {"content": 5}, "logprobs": {"content": [5]}}],
        "usage": 5,
    },
]


@pytest.mark.parametrize("body", ODD)
def test_odd_values_break_no_check(body: object) -> None:
    def fault(answered: Answered) -> None:
        answered.status, answered.body = 200, body_of(body)
        answered.headers["content-type"] = "application/json"

    reached = results([], fault)
    assert "harness-error" not in {result.verdict.value for result in reached.values()}
    assert not [
        name for name, r in reached.items() if r.verdict.value == "pass" and "stream" in name
    ]


def test_what_holds_no_completion_is_not_accepted() -> None:
    def fault(answered: Answered) -> None:
        if answered.request.method == "POST":
            answered.body = body_of({"data": []})

    [result] = results(["transport.query"], fault).values()
    assert (result.verdict.value, result.reason) == ("fail", "the response holds no completion")


def test_usage_that_crosses_between_streams() -> None:
    def swap(value: dict[str, Any]) -> None:
        if value.get("usage"):
            value["usage"]["prompt_tokens"] = 100 - value["usage"]["prompt_tokens"]
            value["usage"]["total_tokens"] = 100

    [result] = results(["transport.concurrency"], edits(swap)).values()
    assert result.verdict.value == "fail"
    assert "does not fit its prompt" in result.reason


def test_a_check_that_breaks_is_our_error_and_leaves_the_others() -> None:
    def breaks(server: Server) -> None:
        raise KeyError("content")

    broken = Check(Probe("text.broken", "", ("-",), frozenset(), 1, 1, breaks), "-")
    caps = Caps()
    with httpx.Client(transport=Faulty(None)) as client:
        run = Run(lambda name: Live(client, URL, HEADERS, 5.0, caps), Options(MODEL), caps)
        result, next_one = run.results([broken, *selected(every_check(), ["transport.query"], [])])
    assert (result.verdict.value, result.reason) == (
        "harness-error",
        "this check cannot cope with the response, please report it: KeyError('content')",
    )
    assert next_one.verdict.value == "pass"
