"""Listens on a local address; imports nothing heavy, since clients can connect from then on."""

from __future__ import annotations

import ipaddress
import socket

from pytest_chatapi.errors import SettingError

__all__ = ["BACKLOG", "listen"]

BACKLOG = 2048


def listen(host: str, port: int, allow_remote: bool) -> socket.socket:
    """A socket that takes connections, to be served later.

    Raises:
        SettingError: the address is in use, not on this machine, or not loopback.
    """
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise SettingError(f"cannot resolve host {host!r}: {error.strerror or error}") from None
    if not allow_remote and not ipaddress.ip_address(address[0]).is_loopback:
        raise SettingError(f"{host!r} is not a loopback address: add --allow-remote to use it")
    listening = socket.socket(family, kind, number)
    try:
        if hasattr(socket, "SO_REUSEPORT"):  # on Windows it would steal a port in use
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise SettingError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; "
            "use --port 0 for a free one"
        ) from None
    return listening
