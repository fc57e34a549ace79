"""A small server on loopback that answers as a test tells it to. Not a test."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from traffic import ANSWER

CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1750000000,
    "model": "gpt-5.2",
}
WORDS = ["Hel", "lo ", "caf\u00e9", "!"]


def events(words: list[str] | None = None) -> list[bytes]:
    """A stream as the reference sends it."""
    deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word}, None) for word in words or WORDS]
    deltas += [({}, "stop")]
    lines = [
        {**CHUNK, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        for delta, finish in deltas
    ]
    return [
        *(f"data: {json.dumps(line, ensure_ascii=False)}\n\n".encode() for line in lines),
        b"data: [DONE]\n\n",
    ]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None: ...

    def do_GET(self) -> None:
        server: Any = self.server
        server.seen.append((dict(self.headers), b""))
        if self.path.endswith("/moved"):
            self.answer(b"", 302, {"location": "/v1/models"})
        elif self.path.endswith("/digest") and "authorization" not in self.headers:
            self.answer(b"", 401, {"www-authenticate": 'Digest realm="x", nonce="abc", qop="auth"'})
        else:
            self.answer(b'{"object": "list", "data": []}')

    def do_POST(self) -> None:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            body = b"".join(iter(self.chunk, b""))
        else:
            body = self.rfile.read(int(self.headers["content-length"]))
        server: Any = self.server
        server.seen.append((dict(self.headers), body))
        if self.path.endswith("/form"):
            self.answer(b"{}")
            return
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        asked = json.loads(body)
        text = asked["messages"][-1]["content"]
        if asked.get("stream"):
            self.stream(text)
        elif "LIMIT" in text and text not in server.limited:
            server.limited.add(text)
            self.answer(b'{"error": {"message": "slow down", "type": "requests", '
                        b'"param": null, "code": "rate_limit_exceeded"}}', 429,
                        {"retry-after-ms": "1"})  # fmt: skip
        elif "ODD" in text:
            self.answer(json.dumps({**ANSWER, "object": "x"}).encode())
        elif "GZIP" in text:
            self.answer(
                gzip.compress(json.dumps(ANSWER).encode()), 200, {"content-encoding": "gzip"}
            )
        elif "LONG" in text:
            said = json.loads(json.dumps(ANSWER))
            said["choices"][0]["message"]["content"] = "long " * 100_000
            self.answer(json.dumps(said).encode())
        elif "ECHO" in text:
            said = json.loads(json.dumps(ANSWER))
            said["choices"][0]["message"]["content"] = text
            self.answer(json.dumps(said).encode())
        else:
            self.answer(json.dumps(ANSWER).encode())

    def chunk(self) -> bytes:
        data = self.rfile.read(int(self.rfile.readline(), 16))
        self.rfile.readline()
        return data

    def answer(self, body: bytes, status: int = 200, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "set-cookie": "session=s3cretC00kie99; Path=/",
            "openai-organization": "acme-org-1x",
            "x-request-id": "req_0123456789abcdef0123",
            **(more or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # a client that has left
            self.wfile.write(body)

    def stream(self, text: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        server: Any = self.server
        pieces = events()
        if "SPLIT" in text:  # inside a character
            whole = b"".join(pieces)
            at = whole.index("\u00e9".encode()) + 1
            pieces = [whole[:at], whole[at:]]
        for number, piece in enumerate(pieces):
            if "DIE" in text and number == 3:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if "MID" in text and number == 1:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if "HELD" in text and not server.turns[text].acquire(timeout=60):
                return  # the test has failed, or ended
            try:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.flush()
            except OSError:
                return
        self.wfile.write(b"0\r\n\r\n")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that has left
            super().handle_error(request, client_address)


@contextlib.contextmanager
def running() -> Iterator[Any]:
    """The server; ``.url`` is its base URL, ``.seen`` what it got.

    A stream with "HELD" in its text sends a piece each time that ``.turns[text]`` is released.
    """
    server: Any = Server(("127.0.0.1", 0), Handler)
    server.seen, server.limited = [], set()
    server.turns = defaultdict(lambda: threading.Semaphore(0))
    server.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
