"""Flows of mitmproxy: read by its package, or by a stand-in where it is not installed."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from read_files import EMBEDDINGS, REQUEST, WRONG, exchanges_in, verdict
from traffic import ANSWER

from pytest_chatapi.cli.main import main


def netstring(value: Any) -> bytes:
    """A value as mitmproxy writes it."""
    kind, data = b",", value
    if value is None:
        kind, data = b"~", b""
    elif isinstance(value, bool):
        kind, data = b"!", b"true" if value else b"false"
    elif isinstance(value, int):
        kind, data = b"#", b"%d" % value
    elif isinstance(value, float):
        kind, data = b"^", repr(value).encode()
    elif isinstance(value, str):
        kind, data = b";", value.encode()
    elif isinstance(value, (list, tuple)):
        kind, data = b"]", b"".join(map(netstring, value))
    elif isinstance(value, dict):
        kind, data = b"}", b"".join(netstring(k) + netstring(v) for k, v in value.items())
    return b"%d:" % len(data) + data + kind


class Headers(list[tuple[str, str]]):
    def items(self, *, multi: bool) -> list[tuple[str, str]]:
        assert multi
        return self


class FlowReadException(Exception):
    pass


class FlowReader:
    """A stand-in: the flows are what `FLOWS` holds, whatever the bytes are."""

    flows: Any = ()

    def __init__(self, file: io.BytesIO) -> None:
        assert file.read(4)

    def stream(self) -> Iterator[Any]:
        yield from self.flows


DUMP = netstring({"websocket": None, "type": "http", "version": 21})


@pytest.fixture
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a dump that is read with the stand-in."""
    for name, members in (
        ("mitmproxy", {}),
        ("mitmproxy.exceptions", {"FlowReadException": FlowReadException}),
        ("mitmproxy.io", {"FlowReader": FlowReader}),
    ):
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    path = tmp_path / "dump.flow"
    path.write_bytes(DUMP)
    return path


def flow(
    response: Any,
    url: str = "https://api.openai.com/v1/chat/completions",
    error: str = "",
    zipped: bool = False,
) -> SimpleNamespace:
    content = response if isinstance(response, bytes) else json.dumps(response).encode()
    headers = Headers([("Content-Type", "application/json"), ("x-request-id", "r")])
    if zipped:
        content = gzip.compress(content, mtime=0)
        headers.append(("content-encoding", "gzip"))
    request = SimpleNamespace(
        method="POST",
        pretty_url=url,
        headers=Headers([("Accept", "a"), ("Accept", "b")]),
        raw_content=json.dumps(REQUEST).encode(),
    )
    answer = SimpleNamespace(status_code=200, headers=headers, raw_content=content)
    return SimpleNamespace(
        type="http",
        request=request,
        response=None if response is None else answer,
        error=SimpleNamespace(msg=error) if error else None,
    )


@pytest.mark.parametrize("zipped", [False, True])
def test_a_fault_is_found(flows: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool) -> None:
    calls = [flow(ANSWER, zipped=zipped), flow(WRONG, zipped=zipped)]
    monkeypatch.setattr(FlowReader, "flows", calls)
    assert verdict(flows) == ([[], ["U02"]], 0, [])


def test_what_is_in_an_exchange(flows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = "Client disconnected."
    calls = [flow(ANSWER, error="server gone"), flow(ANSWER, error=lost), flow(None, error=lost)]
    monkeypatch.setattr(FlowReader, "flows", calls)
    exchanges, errors = exchanges_in(flows)
    assert errors == []
    assert [e.response and e.response.cut for e in exchanges] == ["server", "client", None]
    assert exchanges[2].response is None
    request = exchanges[0].request
    assert request is not None
    assert (request.method, request.headers) == ("POST", {"accept": "a, b"})
    assert request.json() == REQUEST
    assert [e.source and e.source.index for e in exchanges] == [0, 1, 2]


def test_other_traffic_is_skipped_and_counted(
    flows: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = flow(EMBEDDINGS, "https://api.openai.com/v1/embeddings")
    tcp, dns = SimpleNamespace(type="tcp"), SimpleNamespace(type="dns")
    monkeypatch.setattr(FlowReader, "flows", [tcp, other, dns, flow(WRONG)])
    assert main(["check", str(flows)]) == 1
    out = capsys.readouterr().out
    assert "3 exchanges skipped: 2 not HTTP, 1 embeddings\n" in out
    assert "1 exchange checked in 1 file: 1 error, 2 notes\n" in out


def test_damage_is_named(flows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Damaged:
        def __iter__(self) -> Iterator[Any]:
            yield flow(b"\x1f\x8b\x08\x00")
            yield flow(WRONG)
            raise FlowReadException("Invalid data format.")

    monkeypatch.setattr(FlowReader, "flows", Damaged())
    codes, _, errors = verdict(flows)
    assert codes == [["U02"]]
    assert errors == [
        "f: interaction 0: response: the gzip data of the body is cut off",
        "f: interaction 2: damaged flow of mitmproxy: Invalid data format",
    ]


def test_without_the_package_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mitmproxy.exceptions", None)
    path = tmp_path / "dump"
    path.write_bytes(DUMP)
    reason = (
        "f: flows of mitmproxy: install mitmproxy in this environment to read them "
        "(pip install mitmproxy), or save them as HAR"
    )
    assert verdict(path) == ([], 0, [reason])


@pytest.mark.parametrize("data", [b"12:30: lunch\n", b"5:9:version;", b"10: 20\n"])
def test_what_is_no_flow(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "dump"
    path.write_bytes(data)
    assert "mitmproxy:" not in verdict(path).errors[0]


@pytest.mark.skipif(find_spec("mitmproxy") is None, reason="mitmproxy is not installed")
def test_with_the_package(tmp_path: Path) -> None:
    from mitmproxy.http import (  # type: ignore[import-not-found,unused-ignore]
        Request,
        Response,
    )
    from mitmproxy.io import FlowWriter  # type: ignore[import-not-found,unused-ignore]
    from mitmproxy.test.tflow import tflow  # type: ignore[import-not-found,unused-ignore]

    path = tmp_path / "dump"
    head = {"content-type": "application/json", "content-encoding": "gzip", "x-request-id": "r"}
    with path.open("wb") as file:
        for answer in (ANSWER, WRONG):
            url = "https://api.openai.com/v1/chat/completions"
            request = Request.make("POST", url, json.dumps(REQUEST))
            response = Response.make(200, json.dumps(answer), head)
            FlowWriter(file).add(tflow(req=request, resp=response))
    assert verdict(path) == ([[], ["U02"]], 0, [])
