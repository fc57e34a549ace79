"""The network guard: what it asks about, and what it lets pass."""

from __future__ import annotations

import contextlib
import socket
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_chatapi.recording.guard import guarded, is_local, patched


class Refused(Exception):
    pass


@pytest.fixture
def asked() -> Iterator[list[tuple[str, str]]]:
    """Installs the guard; what it asks about is in the list, and refused."""
    questions: list[tuple[str, str]] = []

    def refuse(host: str, port: str) -> None:
        questions.append((host, port))
        if host != "allowed.example":
            raise Refused

    with guarded(refuse):
        yield questions


def test_the_guard_asks_about_addresses(asked: list[tuple[str, str]]) -> None:
    with socket.socket() as one:
        for connect in (one.connect, one.connect_ex):
            with pytest.raises(Refused):
                connect(("192.0.2.1", 80))
    with socket.socket(socket.AF_INET6) as six, pytest.raises(Refused):
        six.connect(("2001:DB8::1", 443, 0, 0))
    assert asked == [("192.0.2.1", "80")] * 2 + [("2001:db8::1", "443")]


def test_the_guard_asks_about_names(asked: list[tuple[str, str]]) -> None:
    for name in ("Far.example", b"far.EXAMPLE"):
        with pytest.raises(Refused):
            socket.getaddrinfo(name, 443)
    assert asked == [("far.example", "443")] * 2


def test_the_guard_lets_this_machine_pass(asked: list[tuple[str, str]], server: Any) -> None:
    host, port = server.server_address
    with socket.create_connection((host, port)):
        pass
    with socket.create_connection(("localhost", port)):
        pass
    with socket.socket() as other:
        assert other.connect_ex((host, port)) == 0
    assert socket.getaddrinfo("192.0.2.1", 80)  # an address is not looked up anywhere
    assert socket.getaddrinfo(None, 80)
    assert asked == []


def test_the_guard_ignores_sockets_of_the_file_system(
    asked: list[tuple[str, str]], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as one, pytest.raises(OSError, match="No such file"):
        one.connect(str(tmp_path / "none"))
    assert asked == []


def test_what_an_allowed_name_leads_to_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connected: list[Any] = []
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: addresses)
    monkeypatch.setattr(
        socket.socket, "connect", lambda self, address: connected.append(address), raising=False
    )
    asked: list[str] = []

    def refuse(host: str, port: str) -> None:
        asked.append(host)
        if host != "allowed.example":
            raise Refused

    with guarded(refuse), socket.socket() as one:
        assert socket.getaddrinfo("allowed.example", 80) == addresses
        one.connect(("192.0.2.7", 80))
        with pytest.raises(Refused):
            one.connect(("192.0.2.8", 80))
    assert connected == [("192.0.2.7", 80)]
    assert asked == ["allowed.example", "192.0.2.8"]


def test_the_guard_leaves_nothing_behind() -> None:
    before = (socket.socket.connect, socket.getaddrinfo, "connect" in vars(socket.socket))
    with contextlib.suppress(Refused), guarded(lambda host, port: None):
        assert socket.getaddrinfo is not before[1]
        raise Refused
    after = (socket.socket.connect, socket.getaddrinfo, "connect" in vars(socket.socket))
    assert after == before


def test_patched_puts_back_what_was_the_owners_own() -> None:
    class Base:
        inherited = 1

    class Owner(Base):
        own = 1

    with patched(Owner, "own", 2), patched(Owner, "inherited", 2):
        assert (Owner.own, Owner.inherited) == (2, 2)
    assert (Owner.own, Owner.inherited) == (1, 1)
    assert "inherited" not in vars(Owner)
    assert vars(Owner)["own"] == 1
    namespace = types.SimpleNamespace(name=1)
    with contextlib.suppress(KeyError), patched(namespace, "name", 2):
        raise KeyError
    assert namespace.name == 1


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("LocalHost.", True),
        ("api.localhost", True),
        ("", True),
        ("127.0.0.1", True),
        ("127.255.0.1", True),
        ("0.0.0.0", True),
        ("::1", True),
        ("::", True),
        ("fe80::1%eth0", False),
        ("::1%lo", True),
        ("10.0.0.1", False),
        ("mylocalhost", False),
        ("localhost.example", False),
        ("example.com", False),
    ],
)
def test_what_is_local(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_this_machine_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "my-laptop")
    assert is_local("my-laptop")
    assert not is_local("my-laptop.example")
