"""One exchange under way: how a take ends, what a playback delivers, without any HTTP client."""

from __future__ import annotations

import gzip
import sys
import types
import zlib
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_chatapi import Exchange, Request
from pytest_chatapi.recording import clock
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.recording.under_way import Playback, Take, is_done
from pytest_chatapi.redaction.redactor import Redactor

DONE = b"data: [DONE]\n\n"
URL = "https://api.openai.com/v1/chat/completions"


@dataclass
class Owner:
    """Stands in for a recorder."""

    cassette: object = "a cassette"
    test: str = ""
    phase: str = ""
    replay_speed: float = 0
    redactor: Redactor = field(default_factory=lambda: Redactor(environ={}))
    dropped: list[Any] = field(default_factory=list)
    ended: list[Any] = field(default_factory=list)
    overruns: list[Playback] = field(default_factory=list)

    def drop(self, take: Take, error: BaseException | None) -> None:
        self.dropped.append((take, error))

    def spent(self, exchange: Exchange, error: BaseException | None = None) -> None:
        self.ended.append((exchange.response is not None, error))

    def overrun(self, playback: Playback, reader: str = "") -> None:
        self.overruns.append(playback)


@pytest.fixture(autouse=True)
def ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is one second further each time it is read."""
    seconds = iter(range(100, 1000))
    monkeypatch.setattr(clock, "elapsed", lambda: float(next(seconds)))
    monkeypatch.setattr(clock, "now", lambda: "2026-11-25T10:00:00.000Z")


def taken(
    *pieces: bytes,
    owner: Owner | None = None,
    method: str = "POST",
    status: int = 200,
    **headers: str,
) -> Take:
    """A take that has received these pieces, and has not ended yet."""
    exchange = Exchange(Request(method, URL, {}, b"{}"))
    take = Take(owner or Owner(), exchange, [("x-sent", "1")])
    named = [(name.replace("_", "-").title(), value) for name, value in headers.items()]
    take.responded(status, "Fine", named)
    for piece in pieces:
        take.piece(piece)
    return take


# -- the end of a stream -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        ([b"data: 1\n\n" + DONE], True),
        ([DONE], True),
        ([b"data:[DONE]"], True),
        ([b"data: 1\r\rdata: [DONE]\r\r"], True),
        ([b"data: 1\n\n", b"dat", b"a: [D", b"ONE]", b"\n\n"], True),
        ([b"data: [DONE", b"]"], True),
        ([b"x\n", b"d", b"a", b"t", b"a:", b" [DO", b"NE]", b"\n"], True),  # eight pieces
        ([], False),
        ([b"data: 1\n\n"], False),
        ([b"x data: [DONE]"], False),  # within a line
        ([b'data: {"content": "data: [DONE]"}\n\n'], False),
        ([DONE, *[b"\n"] * 8], False),  # further back than the last eight pieces
        ([DONE, *[b"\n"] * 7], True),
        ([DONE + b"\n" * 4082], True),
        ([DONE + b"\n" * 4096], False),  # further back than the last 4,096 bytes
    ],
)
def test_is_done_looks_at_the_end_of_a_stream(pieces: list[bytes], whole: bool) -> None:
    assert is_done(pieces) is whole


@pytest.mark.parametrize("pieces", [[DONE], [b"data: [DO", b"NE]\n\n"]])
def test_a_client_that_leaves_after_done_had_all_of_it(pieces: list[bytes]) -> None:
    take = taken(*pieces)
    take.closed()
    assert take.interaction is not None
    assert take.interaction.cut is None
    stream = Interaction(Request(), pieces=[*pieces, b"\n"])
    playback = Playback(Owner(), stream, Exchange())
    playback.delivered = len(pieces)
    playback.closed()
    assert playback.exchange.response is not None
    assert playback.exchange.response.cut is None
    assert playback.exchange.response.content == b"".join(pieces) + b"\n"


# -- takes -----------------------------------------------------------------------------------------


def test_a_take_records_what_it_saw() -> None:
    owner = Owner(test="test_a.py::test_a", phase="teardown")
    take = taken(b"one", b"two", owner=owner, content_type="text/plain")
    response = take.exchange.response
    assert response is not None
    assert (list(response.pieces or ()), response.cut) == ([b"one", b"two"], "client")
    assert take.interaction is None
    take.ended()
    assert take.interaction == Interaction(
        take.exchange.request or Request(),
        200,
        "Fine",
        [("content-type", "text/plain")],
        [b"one", b"two"],
        [1.0, 2.0],
        recorded_at="2026-11-25T10:00:00.000Z",
        test="test_a.py::test_a",
        phase="teardown",
        request_headers=[("x-sent", "1")],
    )
    response = take.exchange.response
    assert response is not None
    assert (response.pieces, response.cut, response.times) == ((b"one", b"two"), None, (1.0, 2.0))
    assert response.headers == {"content-type": "text/plain"}
    assert owner.dropped == []


def test_only_the_first_end_counts() -> None:
    take = taken(b"one")
    take.failed(ConnectionError(), "server")
    take.ended()
    take.closed()
    assert take.interaction is not None
    assert (take.interaction.cut, take.interaction.error) == ("server", "ConnectionError")


def test_a_cancelled_client_raised_no_error_of_its_own() -> None:
    take = taken(b"one")
    take.failed(KeyboardInterrupt(), "client")
    assert take.interaction is not None
    assert (take.interaction.cut, take.interaction.error) == ("client", "")


def test_an_error_after_done_is_recorded() -> None:
    take = taken(DONE)
    take.failed(TimeoutError(), "client")
    assert take.interaction is not None
    assert (take.interaction.cut, take.interaction.error) == ("client", "TimeoutError")


def test_a_server_that_dies_after_done_is_recorded() -> None:
    take = taken(DONE)
    take.failed(KeyboardInterrupt(), "server")
    assert take.interaction is not None
    assert take.interaction.cut == "server"


def test_a_take_without_a_response_does_not_end() -> None:
    owner = Owner()
    take = Take(owner, Exchange(Request()), [])
    take.closed()
    assert (take.interaction, take.exchange.response) == (None, None)
    error = ConnectionError()
    take.unanswered(error)
    take.unanswered()
    assert owner.dropped == [(take, error), (take, None)]
    assert owner.ended == [(False, error), (False, None)]


def test_live_traffic_is_not_recorded() -> None:
    owner = Owner(cassette=None)
    take = taken(b"one", owner=owner)
    take.ended()
    take.closed()
    assert owner.ended == [(True, None)]  # once, with the response
    assert take.interaction is None
    assert take.exchange.response is not None
    assert take.exchange.response.content == b"one"
    assert owner.dropped == [(take, None)]


@pytest.mark.parametrize(
    ("more", "cut"),
    [
        ({"content_length": "4"}, "client"),
        ({"content_length": "3"}, None),
        ({"content_length": "2"}, None),
        ({"content_length": "four"}, "client"),
        ({"status": 204}, None),
        ({"status": 304}, None),
        ({"status": 200}, "client"),
        ({"method": "HEAD"}, None),
    ],
)
def test_what_a_client_that_left_had_received(more: dict[str, Any], cut: str | None) -> None:
    take = taken(b"o", b"ne", **more)
    take.closed()
    assert take.interaction is not None
    assert take.interaction.cut == cut


def test_the_length_counts_bytes_of_the_wire() -> None:
    body = gzip.compress(b"x" * 1000, mtime=0)
    take = taken(body, content_length=str(len(body)), content_encoding="gzip")
    take.closed()
    assert take.interaction is not None
    assert take.interaction.cut is None
    short = taken(body, content_length=str(len(body) + 1), content_encoding="gzip")
    short.closed()
    assert short.interaction is not None
    assert short.interaction.cut == "client"


def test_a_take_teaches_the_redactor_what_came() -> None:
    owner = Owner()
    taken(owner=owner, set_cookie="session=s3cretC00kie99; Path=/")
    assert owner.redactor.text("say s3cretC00kie99") != "say s3cretC00kie99"


# -- compressed bodies -----------------------------------------------------------------------------

PLAIN = b"data: 1\n\ndata: 2\n\n" * 300


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(PLAIN, mtime=0)),
        (" GZip ", gzip.compress(PLAIN, mtime=0)),
        ("x-gzip", gzip.compress(PLAIN, mtime=0)),
        ("deflate", zlib.compress(PLAIN)),
        ("deflate", deflated(PLAIN)),
    ],
)
def test_bodies_are_decompressed_in_their_pieces(encoding: str, body: bytes) -> None:
    first, second, third = body[:30], body[30:40], body[40:]
    take = taken(first, second, third, content_encoding=encoding)
    take.ended()
    made = take.interaction
    assert made is not None
    assert made.times is not None
    assert b"".join(made.pieces) == PLAIN
    assert len(made.pieces) == len(made.times) > 1
    assert b"" not in made.pieces
    assert set(made.times) <= {1.0, 2.0, 3.0}
    assert take.exchange.response is not None
    assert take.exchange.response.content == PLAIN


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"no gzip"),
        ("gzip", gzip.compress(PLAIN, mtime=0)[:30] + b"junk" * 9),
        ("deflate", b"\xff\xff\xff"),
        ("identity", b"plain"),
        ("unheard-of", b"plain"),
        ("br", b"not brotli, or no library for it"),
        ("zstd", b"not zstd, or no library for it"),
    ],
)
def test_a_body_that_cannot_be_decompressed_is_kept(encoding: str, body: bytes) -> None:
    take = taken(body[:4], body[4:], content_encoding=encoding)
    take.ended()
    assert take.interaction is not None
    assert list(take.interaction.pieces) == [body[:4], body[4:]]
    assert take.interaction.times == [1.0, 2.0]


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_encodings_that_need_a_library(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither library has to be installed: these do the same to each piece."""
    reverse = types.SimpleNamespace(
        process=lambda data: data[::-1], decompress=lambda data: data[::-1]
    )
    zstandard = types.SimpleNamespace(decompressobj=lambda: reverse)
    for name, module in (
        ("brotli", types.SimpleNamespace(Decompressor=lambda: reverse)),
        ("zstandard", types.SimpleNamespace(ZstdDecompressor=lambda: zstandard)),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    take = taken(b"abc", b"de", content_encoding=encoding)
    take.ended()
    assert take.interaction is not None
    assert take.interaction.pieces == [b"cba", b"ed"]
    for name in ("brotli", "zstandard"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    take = taken(b"abc", b"de", content_encoding=encoding)
    take.ended()
    assert take.interaction is not None
    assert take.interaction.pieces == [b"abc", b"de"]


@pytest.mark.parametrize("pieces", [[], [b""]])
def test_an_empty_body_has_no_encoding(pieces: list[bytes]) -> None:
    take = taken(*pieces, content_encoding="deflate")
    take.ended()
    assert take.interaction is not None
    assert take.interaction.pieces == []


def test_pieces_without_content_of_their_own_are_left_out() -> None:
    body = gzip.compress(PLAIN, mtime=0)
    take = taken(body[:5], body[5:10], body[10:], content_encoding="gzip")
    take.ended()
    assert take.interaction is not None
    assert (list(take.interaction.pieces), take.interaction.times) == ([PLAIN], [3.0])


# -- playbacks -------------------------------------------------------------------------------------


def played(owner: Owner | None = None, **more: Any) -> Playback:
    fields = {"pieces": [b"one", b"two"], "times": [1.0, 3.0], **more}
    return Playback(owner or Owner(), Interaction(Request(), **fields), Exchange(Request()))


def test_waits() -> None:
    owner = Owner()
    playback = played(owner)
    assert playback.waits is None
    owner.replay_speed = 1
    assert playback.waits == [1.0, 2.0]
    owner.replay_speed = 4
    assert playback.waits == [0.25, 0.5]
    assert played(owner, stalls=True).waits == [1.0, 2.0]
    assert played(owner, times=None).waits is None
    assert played(owner, times=[2.0, 1.0]).waits == [0.5, 0.0]  # a clock that ran backwards
    owner.replay_speed = 0
    assert played(owner, stalls=True).waits == [1.0, 2.0]


def test_what_a_client_left_unread_it_never_received() -> None:
    playback = played(headers=[("x-a", "1")], status=201, cut=None)
    response = playback.exchange.response
    assert response is not None
    assert (response.status, response.headers) == (201, {"x-a": "1"})
    assert (response.content, response.cut, response.times) == (b"onetwo", None, [1.0, 3.0])
    playback.delivered = 1
    playback.closed()
    assert (response.content, response.cut) == (b"one", "client")
    whole = played()
    whole.delivered = 2
    whole.closed()
    assert whole.exchange.response is not None
    assert (whole.exchange.response.content, whole.exchange.response.cut) == (b"onetwo", None)


def test_no_response_is_played_for_an_error() -> None:
    playback = played(status=0, error="ConnectError")
    playback.closed()
    assert playback.exchange.response is None


def test_what_a_fault_compressed_is_checked_decompressed() -> None:
    zipped = gzip.compress(b"plain", mtime=0)
    headers = [("content-encoding", "gzip")]
    for times in ([1.0], None):
        playback = played(pieces=[zipped], times=times, headers=headers)
        response = playback.exchange.response
        assert response is not None
        assert response.content == b"plain"
        assert response.times == (times or [0.0])
        assert list(playback.interaction.pieces) == [zipped]


@pytest.mark.parametrize(
    ("more", "plain"),
    [
        ({}, True),
        ({"status": 0}, False),
        ({"pieces": [b"1", b"2"]}, False),
        ({"pieces": []}, False),
        ({"cut": "server"}, False),
        ({"times": [1.0]}, False),
        ({"reason": "OK"}, False),
    ],
)
def test_a_reply_in_one_piece_is_plain(more: dict[str, Any], plain: bool) -> None:
    assert played(**{"pieces": [b"1"], "times": None, **more}).is_plain is plain


def test_a_client_that_reads_on_is_told_to_the_recorder() -> None:
    owner = Owner()
    playback = played(owner)
    playback.overrun()
    assert owner.overruns == [playback]
