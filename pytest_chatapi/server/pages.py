"""What `chatapi serve` shows of itself: a page that says what is served, and a journal of requests.

Both are for tests in other languages: the page under ``/``, and under `REQUESTS`
what was requested, as JSON, redacted.
"""

from __future__ import annotations

import html
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pytest_chatapi import __version__
from pytest_chatapi.contract.exchange import Exchange, Request, fold_headers
from pytest_chatapi.contract.findings import at_least
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import mask, without_secrets
from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["OWN", "REQUESTS", "About", "Journal", "Seen"]

OWN = "/__chatapi__/"
"""Paths below this are the server's own."""
REQUESTS = f"{OWN}requests"

_MOST = 1000
_MOST_BYTES = 8 * 1024 * 1024
_MOST_LISTED = 20


@dataclass(frozen=True)
class About:
    """What a server says of itself.

    Attributes:
        activity: what it does, in one line.
        served: returns what it responds to, a line each; called when somebody wants to know.
        more: how to serve more, a line each.
        profile: by which the journal checks requests; ``None`` for the one of their host.
    """

    activity: str
    served: Callable[[], Sequence[str]]
    more: Sequence[str]
    profile: str | None = None

    def page(self, address: str, accepts: str) -> tuple[str, str]:
        """The page under ``/``, and its content type.

        Args:
            address: of the server, as the client knows it, such as ``http://127.0.0.1:8080``.
            accepts: the client's ``Accept``: a browser gets HTML, any other client plain text.
        """
        served = [*self.served()]
        if len(served) > _MOST_LISTED:
            served = [*served[:_MOST_LISTED], f"... and {len(served) - _MOST_LISTED} more"]
        parts = [
            ("Base URL", [f"{address}/v1", f"export OPENAI_BASE_URL={address}/v1"]),
            ("Served", served),
            ("Requests so far, as JSON", [f"curl {address}{REQUESTS}"]),
            ("To serve more", self.more),
        ]
        head = f"chatapi serve {__version__}: {self.activity}"
        if "text/html" not in accepts:
            blocks = [
                "\n".join([f"{title}:", *(f"  {row}" for row in rows)]) for title, rows in parts
            ]
            return without_secrets("\n\n".join([head, *blocks])) + "\n", "text/plain; charset=utf-8"
        blocks = [
            f"<h2>{html.escape(title)}</h2>\n<pre>{html.escape(chr(10).join(rows))}</pre>"
            for title, rows in parts
        ]
        return without_secrets(
            _HTML.format(head=html.escape(head), blocks="\n".join(blocks))
        ), "text/html; charset=utf-8"


_HTML = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>chatapi serve</title>
<link rel="icon" href="data:,">
<style>body {{font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em}}
h1, h2 {{font-size: 1em}} pre {{white-space: pre-wrap; overflow-wrap: anywhere}}</style>
<h1>{head}</h1>
{blocks}
</html>
"""


@dataclass(slots=True)
class Seen:
    """One request, and what became of it so far.

    Attributes:
        url: by which the recorder knows it; empty where it was refused before.
        answered_by: the recording, ``mock`` or ``upstream``; ``None`` if nothing has.
        fault: that was injected.
        note: what went wrong.
        is_listed: the journal still has it.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    url: str = ""
    body: bytes = b""
    status: int = 0
    answered_by: str | None = None
    fault: str | None = None
    note: str = ""
    is_listed: bool = True


@dataclass
class Journal:
    """The last requests, in the order of their arrival: at most 1,000, with 8 MiB of bodies.

    What it costs is due when it is read, not while requests are served.
    """

    redactor: Redactor
    profile: str | None = None
    _seen: deque[Seen] = field(default_factory=deque)
    _total: int = 0
    _bytes: int = 0

    def add(self, seen: Seen) -> None:
        self._total += 1
        self._seen.append(seen)
        if len(self._seen) > _MOST:
            self._drop()

    def add_body(self, seen: Seen, body: bytes) -> None:
        """Keep the body of a request that was added, if that is still listed."""
        if not seen.is_listed:
            return
        seen.body = body
        self._bytes += len(body)
        while self._bytes > _MOST_BYTES and len(self._seen) > 1:
            self._drop()

    def _drop(self) -> None:
        dropped = self._seen.popleft()
        dropped.is_listed = False
        self._bytes -= len(dropped.body)

    def clear(self) -> None:
        while self._seen:
            self._drop()
        self._total = 0

    def reader(self) -> Callable[[], str]:
        """A function that renders the requests so far as JSON; another thread may call it."""
        seen, total = [*self._seen], self._total

        def read() -> str:
            first = total - len(seen) + 1
            rows = [self._row(number, one) for number, one in enumerate(seen, first)]
            return json.dumps({"total": total, "requests": rows}, indent=2, ensure_ascii=False)

        return read

    def _row(self, number: int, seen: Seen) -> JSONObject:
        self.redactor.learn(seen.headers, seen.target)
        return {
            "number": number,
            "method": seen.method,
            "path": self.redactor.text(self.redactor.url(seen.target)),
            "body": self._body(seen),
            "status": seen.status or None,
            "answered_by": seen.answered_by,
            "fault": seen.fault,
            "note": mask(self.redactor.text(seen.note)) or None,
            "findings": self._findings(seen),
        }

    def _body(self, seen: Seen) -> JSON:
        content_type = fold_headers(seen.headers).get("content-type", "")
        redacted = self.redactor.body(seen.body, content_type) or b""
        try:
            return json.loads(redacted)
        except (ValueError, RecursionError):
            return redacted.decode("utf-8", "replace") or None

    def _findings(self, seen: Seen) -> list[JSON]:
        """Errors and warnings of the request alone."""
        from pytest_chatapi.contract.check import check_exchange

        if not seen.body:
            return []
        request = Request(seen.method, seen.url, fold_headers(seen.headers), seen.body)
        findings = check_exchange(Exchange(request), self.profile).findings
        return [f.to_json() for f in findings if f.level in at_least("warning")]
