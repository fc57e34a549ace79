"""Logs at a signed URL, which object stores make for a download."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from read_files import REQUEST, WRONG

from pytest_chatapi.cli.main import main

pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")

SIGNATURE = "s3cr3t%2Fv4lue%3D"
ROW = {"request": {"url": "/v1/chat/completions", "body": REQUEST}, "response": {"body": WRONG}}
ROWS = "".join(json.dumps(ROW) + "\n" for _ in range(3)).encode()


class _Store(BaseHTTPRequestHandler):
    """Serves the log to whoever has the signature, and refuses HEAD, which is not signed."""

    def do_GET(self) -> None:
        is_signed = self.path.endswith(f"sig={SIGNATURE}")
        found = ROWS if self.path.startswith("/logs/a.jsonl?") and is_signed else b""
        self.send_response(200 if found else 403)
        self.send_header("content-length", str(len(found)))
        self.end_headers()
        self.wfile.write(found)

    def do_HEAD(self) -> None:
        self.send_response(403)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Store)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/logs"
    server.shutdown()
    thread.join()
    server.server_close()


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["check", "--isolated", *arguments])
    out, err = capsys.readouterr()
    assert "s3cr3t" not in out + err
    return status, out, err


def test_a_signed_url_is_read(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"{store}/a.jsonl?se=2026&sig={SIGNATURE}"
    status, out, err = checked(capsys, "--rates", "--format", "json", url)
    found = json.loads(out)
    assert (status, err, found["rows"]) == (1, "", 3)
    places = {example["place"] for one in found["findings"] for example in one["examples"]}
    assert places == {f"{store}/a.jsonl?se=2026&sig=REDACTED:{line}" for line in (1, 2, 3)}
    status, out, _ = checked(capsys, "--rates", url)
    assert (status, "3 rows checked in 1 file" in out) == (1, True)


@pytest.mark.parametrize("query", [f"sig={SIGNATURE}&se=2026", f"se=[1]*&sig={SIGNATURE}x"])
def test_a_signature_that_does_not_fit(
    query: str, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = checked(capsys, "--rates", f"{store}/a.jsonl?{query}")
    shown = query.replace(SIGNATURE, "REDACTED").replace("REDACTEDx", "REDACTED")
    reason = "no such file or folder, or the URL has expired"
    assert (status, err) == (2, f"chatapi: {store}/a.jsonl?{shown}: {reason}\n")
