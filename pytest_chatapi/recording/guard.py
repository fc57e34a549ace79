"""The network guard: nothing leaves this machine unless the guard's owner allows it.

It sits at the Python socket, below every HTTP library, and so catches the clients that no
recorder intercepts.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Callable, Container, Iterator
from typing import Any

__all__ = ["guarded", "is_local", "patched"]

_LOCAL_NAMES = re.compile(r"(?:.*\.)?localhost\.?|")


@contextlib.contextmanager
def guarded(
    refuse: Callable[[str, str], object], closed_ports: Container[int] = ()
) -> Iterator[None]:
    """Ask `refuse` before a Python socket connects or a name is looked up.

    Args:
        refuse: gets host and port of whatever is not this machine, and raises to forbid it.
        closed_ports: of this machine that it is asked for as well.
    """
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    getaddrinfo = socket.getaddrinfo
    allowed: set[str] = set()

    def check(address: object) -> None:
        if not isinstance(address, tuple) or not isinstance(address[0], str):
            return  # a Unix socket
        host = address[0]
        if host not in allowed and (not is_local(host) or address[1] in closed_ports):
            refuse(host.lower(), str(address[1]))

    def guarded_connect(self: socket.socket, address: Any) -> None:
        check(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        check(address)
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if not isinstance(name, str) or is_local(name) or _address(name) is not None:
            return getaddrinfo(host, port, *args, **kwargs)
        refuse(name.lower(), str(port))
        resolved = getaddrinfo(host, port, *args, **kwargs)
        allowed.update(str(item[4][0]) for item in resolved)
        return resolved

    with (
        patched(socket.socket, "connect", guarded_connect),
        patched(socket.socket, "connect_ex", guarded_connect_ex),
        patched(socket, "getaddrinfo", guarded_getaddrinfo),
    ):
        yield


def is_local(host: str) -> bool:
    """Whether a name or an address means this machine."""
    if _LOCAL_NAMES.fullmatch(host.lower()) or host == socket.gethostname():
        return True
    address = _address(host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


@contextlib.contextmanager
def patched(owner: object, name: str, value: object) -> Iterator[None]:
    """Replace an attribute while the block runs; one that was inherited is inherited again."""
    own = name in vars(owner)
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)
