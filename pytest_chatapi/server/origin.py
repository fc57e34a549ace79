"""Which requests are refused because another web site has a browser send them.

A page that a developer opens can make the browser send requests to 127.0.0.1, under a name of the
page's own that resolves to it (DNS rebinding) or across sites. Clients that are not browsers send
a ``Host`` that names this server, and neither ``Origin`` nor ``Sec-Fetch-Site``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable

from pytest_chatapi.contract.wording import mask

__all__ = ["foreign", "plain_host", "without_dots"]

_PORT = re.compile(r":\d*$")
_DOT = re.compile("%2e", re.IGNORECASE)
_SLASH = re.compile(r"/|\\|%2f|%5c", re.IGNORECASE)
_LONGEST = 100


def foreign(
    headers: Iterable[tuple[str, str]], address: str, allowed: Collection[str]
) -> str | None:
    """Why a request is refused as another site's, in one line; ``None`` where it is not.

    Args:
        headers: names in lower case.
        address: of this server, as the client reached it.
        allowed: further names of this server, see `plain_host`.
    """
    origin = site = ""
    for name, text in headers:
        if name == "host" and not _is_ours(text, address, allowed):
            host = ascii(mask(text[:_LONGEST]))
            return f"Host {host} does not name this server; to allow it, add --allow-host NAME"
        if name == "origin":
            origin = text
        elif name == "sec-fetch-site":
            site = text.lower()
    if origin:
        scheme, _, host = origin.partition("://")
        if scheme in ("http", "https") and _is_ours(host, address, allowed):
            return None
        return f"Requests from another web site are refused: {mask(origin[:_LONGEST])!a}"
    if site == "cross-site":
        return "Requests from another web site are refused"
    return None


def plain_host(text: str) -> str:
    """A host in lower case, without port, brackets and final dot."""
    host = text.strip().lower()
    if host.count(":") == 1 or host.startswith("["):  # a lone IPv6 address has no port
        host = _PORT.sub("", host)
    return host.strip("[]").removesuffix(".")


def _is_ours(text: str, address: str, allowed: Collection[str]) -> bool:
    host = plain_host(text)
    if host in ("localhost", address) or host in allowed:
        return True
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return False
    # A page cannot take an address for its name. What reached another interface than loopback may
    # have come to another address of this machine, or through a forwarded port.
    return ip.is_loopback or not ipaddress.ip_address(address).is_loopback


def without_dots(path: str) -> str:
    """A path with its segments ``.`` and ``..`` resolved, also where they are percent-encoded.

    A path without them is returned as it is.
    """
    plain = _DOT.sub(".", path) if "%" in path else path
    if "." not in plain:
        return path
    segments = _SLASH.split(plain)
    if not {".", ".."}.intersection(segments):
        return path
    kept: list[str] = []
    for segment in segments[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
