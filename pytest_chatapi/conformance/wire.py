"""Sends the requests of a check to a live server, or finds what was recorded of them."""

from __future__ import annotations

import datetime
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx

from pytest_chatapi.conformance.probe import fail, harness_error, not_exercised
from pytest_chatapi.contract.exchange import Exchange, Request, Response, fold_headers
from pytest_chatapi.contract.wording import plural, without_secrets
from pytest_chatapi.errors import ReadError
from pytest_chatapi.recording.cassette import Cassette, prepared, write
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.redaction.names import header_secrets, is_secret_header
from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["Call", "Caps", "Live", "Recorded", "Sent", "Wire"]

MOST_BYTES = 4_000_000
"""Of one response. No probe asks for a tenth of it."""

_END_OF_EVENT = re.compile(rb"\r?\n\r?\n")


Call = tuple[str, str, bytes | None, Mapping[str, str]]
"""Method, path, body and headers of a request."""


@dataclass
class Sent:
    """One request, and what became of it.

    Attributes:
        call: the request as the probe made it: headers of every request are not in it.
        problem: why there is no whole response, or ``""``.
        reserved: tokens that `Caps` counts for it until its usage is known.
    """

    exchange: Exchange
    call: Call
    interaction: Interaction | None = None
    problem: str = ""
    reserved: int = 0


class Wire(Protocol):
    """Where the requests of one check go.

    Attributes:
        patience: how many times the timeout a response may take.
    """

    sent: list[Sent]
    patience: int

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        stop_after: int = 0,
    ) -> Sent:
        """Send a request below the base URL, and read the response to its end.

        Args:
            stop_after: disconnect after so many events of a stream; 0 reads all.

        Raises:
            Outcome: there is no response to look at.
        """
        ...

    def send_at_once(self, calls: Sequence[Call]) -> list[Sent]:
        """Send requests at the same time, and read all responses to their ends.

        Raises:
            Outcome: of the first request that has no response to look at.
        """
        ...


@dataclass
class Caps:
    """What a run may send, counted over all its checks; threads share one.

    Attributes:
        requests, tokens: the most of each; ``None`` for any number.
    """

    requests: int | None = None
    tokens: int | None = None
    sent_requests: int = 0
    used_tokens: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def take(self, tokens: int = 0, requests: int = 1) -> None:
        """Count more requests, and the tokens that they may use: others are sent meanwhile.

        Raises:
            Outcome: it would be too many; none of them is counted.
        """
        with self._lock:
            if self.requests is not None and self.sent_requests + requests > self.requests:
                raise not_exercised(f"the cap of {plural(self.requests, 'request')} is reached")
            if self.tokens is not None and self.used_tokens + tokens > self.tokens:
                raise not_exercised(f"the cap of {plural(self.tokens, 'token')} is reached")
            self.sent_requests += requests
            self.used_tokens += tokens

    def add_tokens(self, count: int) -> None:
        """Count tokens; a negative number gives back what a request did not use."""
        with self._lock:
            self.used_tokens += count


def tokens_of(body: bytes | None) -> int:
    """About how many tokens a request may use: four bytes of its body are one, and the most that
    it lets the server generate.
    """
    request = _parsed(body)
    if not isinstance(request, dict):
        return 0
    most = [request.get(name) for name in ("max_completion_tokens", "max_tokens")]
    numbers = [m for m in most if isinstance(m, int) and m > 0]
    choices = request.get("n")
    times = choices if isinstance(choices, int) and choices > 0 else 1
    return len(body or b"") // 4 + times * max(numbers, default=0)


class Live:
    """Sends to a server.

    Args:
        base_url: that `path` is added to; with or without a slash at its end.
        headers: sent with every request, the key among them.
        timeout: seconds for one response, from the first byte sent to the last received.
    """

    def __init__(
        self,
        client: httpx.Client,
        base_url: str,
        headers: Mapping[str, str],
        timeout: float,
        caps: Caps,
    ) -> None:
        self.sent: list[Sent] = []
        self._client, self._base_url, self._headers = client, base_url.rstrip("/"), headers
        self.patience = 1
        self._timeout, self._caps = timeout, caps
        self._keys = [
            secret.encode()
            for name, value in headers.items()
            if is_secret_header(name)
            for secret, _ in header_secrets(name, value)
        ]

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        stop_after: int = 0,
    ) -> Sent:
        self._caps.take(tokens_of(body))
        begun = self._begin(method, path, body, headers)
        return self._receive(*begun, self._timeout * self.patience, stop_after)

    def send_at_once(self, calls: Sequence[Call]) -> list[Sent]:
        self._caps.take(sum(tokens_of(body) for _, _, body, _ in calls), len(calls))
        begun = [self._begin(*call) for call in calls]
        # A server may work on one after the other.
        timeout = self._timeout * self.patience * len(begun)
        with ThreadPoolExecutor(len(begun)) as pool:
            under_way = [pool.submit(self._receive, *one, timeout) for one in begun]
        return [one.result() for one in under_way]

    def _begin(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[Sent, Interaction]:
        """A request that is about to be sent."""
        # A header of ``""`` is left out, as a request without a key is.
        sent_headers = {n: v for n, v in {**self._headers, **headers}.items() if v}
        url = self._base_url + path
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        request = Request(method, url, fold_headers(sent_headers), body)
        interaction = Interaction(
            request,
            recorded_at=now.replace("+00:00", "Z"),
            request_headers=list(sent_headers.items()),
        )
        sent = Sent(Exchange(request), (method, path, body, headers), reserved=tokens_of(body))
        self.sent.append(sent)
        return sent, interaction

    def _receive(
        self, sent: Sent, interaction: Interaction, timeout: float, stop_after: int = 0
    ) -> Sent:
        request = interaction.request
        started = time.monotonic()
        pieces: list[bytes] = []
        times: list[float] = []
        interaction.pieces, interaction.times = pieces, times
        try:
            with self._client.stream(
                request.method,
                request.url,
                content=request.body,
                headers=dict(interaction.request_headers),
                timeout=timeout,
            ) as response:
                sent.interaction = interaction
                interaction.status = response.status_code
                interaction.reason = response.reason_phrase
                interaction.headers = [(n.lower(), v) for n, v in response.headers.multi_items()]
                size = events = 0
                tail = b""
                for piece in response.iter_bytes():
                    pieces.append(piece)
                    times.append(time.monotonic() - started)
                    size += len(piece)
                    window = tail + piece
                    ends = [0, *(end.end() for end in _END_OF_EVENT.finditer(window))]
                    events += len(ends) - 1
                    tail = window[ends[-1] :][-3:]
                    if stop_after and events >= stop_after:
                        interaction.cut = "client"
                        break
                    if size > MOST_BYTES:
                        sent.problem = f"the response is over {MOST_BYTES:,} bytes long"
                    elif times[-1] > timeout:
                        sent.problem = f"the response takes over {timeout:g} s"
                    if sent.problem:
                        interaction.cut = "client"
                        break
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            url = without_secrets(self._base_url)
            sent.problem = f"cannot connect to {url}: {error or 'timed out'}"
            raise harness_error(sent.problem) from None
        except httpx.TimeoutException:
            sent.problem = (
                f"no more of the response for {timeout:g} s"
                if pieces
                else f"no response within {timeout:g} s"
            )
            interaction.cut = "client"
        except httpx.DecodingError as error:
            sent.problem = f"the response cannot be decompressed: {error}"
        except httpx.HTTPError as error:
            sent.problem = f"the connection broke: {error or type(error).__name__}"
            interaction.cut = "server"
        if sent.interaction is not None:
            sent.exchange.response = self._judged(interaction)
        if sent.problem:
            raise fail(sent.problem)
        return sent

    def _judged(self, interaction: Interaction) -> Response:
        """The response to check. A key that the server repeats is masked first: findings quote only
        the beginning of a value, and half a key is not recognised later.
        """
        response = _response(interaction)
        if any(key in response.content for key in self._keys):
            redactor = Redactor(environ={})
            redactor.learn(self._headers)
            content_type = response.headers.get("content-type", "")
            response.body = redactor.body(response.content, content_type)
        return response


def _response(interaction: Interaction) -> Response:
    return Response(
        interaction.status,
        fold_headers(list(interaction.headers)),
        body=b"".join(interaction.pieces),
        cut=interaction.cut,
        times=interaction.times,
    )


class Recorded:
    """What was recorded of one check, in the order in which it was sent.

    Args:
        notes: of the check's requests, as `record` returns them.
    """

    def __init__(self, path: Path, notes: Sequence[str | None]) -> None:
        self.sent: list[Sent] = []
        self.patience = 1
        self._name = path.name
        self._notes = list(notes)
        recordings = Cassette(path, path.name).entries if path.is_file() else ()
        self._interactions: Iterator[Interaction] = iter([e.interaction for e in recordings])

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        stop_after: int = 0,
    ) -> Sent:
        call = method, path, body, headers
        if len(self.sent) >= len(self._notes):
            raise not_exercised(f"{self._name} has no recording of this request: record again")
        problem = self._notes[len(self.sent)]
        if problem is not None and not problem.startswith("+"):
            self.sent.append(Sent(Exchange(Request(method, path, {}, body)), call, None, problem))
            raise fail(problem)
        interaction = next(self._interactions, None)
        if interaction is None:
            raise ReadError(self._name, "", "has fewer recordings than conform.json says")
        if not _is_same(interaction.request, method, path, body):
            raise not_exercised(f"{self._name} has another request: record again")
        exchange = Exchange(interaction.request, _response(interaction))
        sent = Sent(exchange, call, interaction, (problem or "")[1:])
        self.sent.append(sent)
        if sent.problem:
            raise fail(sent.problem)
        return sent

    def send_at_once(self, calls: Sequence[Call]) -> list[Sent]:
        return [self.send(*call) for call in calls]


def _is_same(recorded: Request, method: str, path: str, body: bytes | None) -> bool:
    if recorded.method != method or not recorded.url.endswith(path):
        return False
    text = recorded.body
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    return bool(_parsed(text) == _parsed(body))


def _parsed(body: Any) -> Any:
    try:
        return json.loads(body)
    except (TypeError, ValueError):
        return body or b""


def record(path: Path, sent: Sequence[Sent], redactor: Redactor) -> list[str | None]:
    """Write what a check sent and received into a cassette of its own.

    Returns:
        for each request, ``None`` where the cassette has all of the response; the problem where
        it has nothing; the problem behind a ``+`` where it has what came.

    Raises:
        WriteError: it cannot be written.
    """
    path.unlink(missing_ok=True)
    interactions = [one.interaction for one in sent if one.interaction is not None]
    if interactions:
        ready = prepared(path, path.name, interactions, redactor)
        if ready.refusal is not None:
            raise ready.refusal
        write(path, path.name, ready)
    return [
        ("+" if one.interaction is not None else "") + one.problem if one.problem else None
        for one in sent
    ]
