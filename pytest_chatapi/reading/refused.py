"""Files of other tools that are known by name, but not read; most with the mapping that reads them.

A row of `_KNOWN` is a tool: what tells its JSON, and the paths of an exchange in it. `_TEXTS` are
those whose files are not JSON: archives, databases, captures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.reading.parts import printable
from pytest_chatapi.reading.registry import NotARecording, format_of, items_of, not_a_recording
from pytest_chatapi.reading.shapes import are_spans

__all__ = ["refuse", "refuse_text", "unknown_json"]


class _Tool(NamedTuple):
    """A tool.

    Attributes:
        name: what its file is.
        matches: whether an object is of this tool.
        paths: the members of `reading.mapping` to their paths in the object; without ``$``. Without
            them no mapping reads it.
        why: what else is to be said.
    """

    name: str
    matches: Callable[[Mapping[str, JSON]], bool]
    paths: Callable[[Mapping[str, JSON]], dict[str, str]] | None = None
    why: str = ""


def refuse(name: str, value: JSON) -> None:
    """Name what a document, or the first line of a file, is of a tool that is not read.

    An exchange in a known format is none; what only looks like the body of a response may be one.

    Raises:
        NotARecording: it is. The message has the mapping that reads it, if one does.
    """
    prefix, first = "$", value
    if isinstance(value, list) and value:
        prefix, first = "$[*]", value[0]
    if not isinstance(first, dict):
        return
    format = format_of(first)
    if (format is not None and not format.bare) or items_of(first, bare=False) is not None:
        return
    for tool in _KNOWN:
        if tool.matches(first):
            reason = tool.name
            if tool.paths is not None:
                paths = tool.paths(first).items()
                mapping = ",".join(f"{member}={prefix}{path}" for member, path in paths)
                reason += f", not read directly: use --map '{mapping}'"
            raise NotARecording(name, "", f"{reason}{tool.why}", _kind(tool.name))


def _kind(name: str) -> str:
    """``of LangSmith`` for ``a run of LangSmith``."""
    return f"of {name.rpartition(' of ')[2]}"


def _at(value: JSON, *steps: str | int) -> JSON:
    """What is inside of a value; ``None`` where there is nothing."""
    for step in steps:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and len(value) > step:
            value = value[step]
        else:
            return None
    return value


def _present(value: JSON, **paths: tuple[str, tuple[str | int, ...]]) -> dict[str, str]:
    """Those of the paths that lead to something in `value`, each with the steps that say so."""
    return {
        member: path for member, (path, steps) in paths.items() if _at(value, *steps) is not None
    }


def _is_helicone(value: Mapping[str, JSON]) -> bool:
    row = _at(value, "data", 0) if isinstance(value.get("data"), list) else value
    return isinstance(row, dict) and "response_body" in row and "request_id" in row


def _helicone(value: Mapping[str, JSON]) -> dict[str, str]:
    row, at = (value, "") if "response_body" in value else (_at(value, "data", 0), ".data[*]")
    return _present(
        row,
        request=(f"{at}.request_body", ("request_body",)),
        response=(f"{at}.response_body", ("response_body",)),
        status=(f"{at}.response_status", ("response_status",)),
    )


def _is_postman(value: Mapping[str, JSON]) -> bool:
    info = value.get("info")
    if not isinstance(info, dict) or not isinstance(value.get("item"), list):
        return False
    return "_postman_id" in info or "getpostman.com" in str(info.get("schema"))


def _postman(value: Mapping[str, JSON]) -> dict[str, str]:
    at, item = ".item[*]", _at(value, "item", 0)
    while isinstance(_at(item, "item"), list):  # a folder
        at, item = f"{at}.item[*]", _at(item, "item", 0)
    if _at(item, "response", 0) is None:
        url = "url" if isinstance(_at(item, "request", "url"), str) else "url.raw"
        return {"request": f"{at}.request.body.raw", "url": f"{at}.request.{url}"}
    request = _at(item, "response", 0, "originalRequest")
    url = "url" if isinstance(_at(request, "url"), str) else "url.raw"
    return {
        "request": f"{at}.response[*].originalRequest.body.raw",
        "response": f"{at}.response[*].body",
        "status": f"{at}.response[*].code",
        "url": f"{at}.response[*].originalRequest.{url}",
    }


def _hoverfly(value: Mapping[str, JSON]) -> dict[str, str]:
    pair, at = _at(value, "data", "pairs", 0), ".data.pairs[*]"
    return _present(
        pair,
        request=(f"{at}.request.body[0].value", ("request", "body", 0, "value")),
        response=(f"{at}.response.body", ("response", "body")),
        status=(f"{at}.response.status", ("response", "status")),
        url=(f"{at}.request.path[0].value", ("request", "path", 0, "value")),
    )


def _mockserver(value: Mapping[str, JSON]) -> dict[str, str]:
    paths = {}
    for member, part in (("request", "httpRequest"), ("response", "httpResponse")):
        body = _at(value, part, "body")
        inner = next((f".{key}" for key in ("json", "string") if _at(body, key)), "")
        if body is not None:
            paths[member] = f".{part}.body{inner}"
    return paths | _present(
        value,
        status=(".httpResponse.statusCode", ("httpResponse", "statusCode")),
        url=(".httpRequest.path", ("httpRequest", "path")),
    )


def _wiremock_net(value: Mapping[str, JSON]) -> dict[str, str]:
    body = "BodyAsJson" if _at(value, "Response", "BodyAsJson") is not None else "Body"
    path = ".Request.Path"
    if isinstance(_at(value, "Request", "Path"), dict):
        path += ".Matchers[0].Pattern"
    return {"response": f".Response.{body}", "status": ".Response.StatusCode", "url": path}


# Members of an interaction (pydantic-ai's recorders), and lists beside an empty one (cassetter's).
_OF_WEBSOCKETS = {"direction", "ws_interactions"}
_OF_GRPC = {"request_sample", "request_stream", "grpc_interactions"}


def _other_interaction(value: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """The first of the ``interactions``, if it is not of HTTP; the document, if there are none."""
    first = _at(value, "interactions", 0)
    if first is None:
        return value if "interactions" in value else {}
    return first if isinstance(first, dict) and "request" not in first else {}


_KNOWN = (
    _Tool(
        "a run of LangSmith",
        lambda value: "run_type" in value and "outputs" in value,
        lambda value: {"request": ".inputs", "response": ".outputs"},
    ),
    _Tool("requests of Helicone", _is_helicone, _helicone),
    _Tool("a collection of Postman", _is_postman, _postman),
    _Tool(
        "a simulation of Hoverfly",
        lambda value: isinstance(_at(value, "data", "pairs"), list),
        _hoverfly,
    ),
    _Tool(
        "expectations of MockServer",
        lambda value: "httpRequest" in value and "httpResponse" in value,
        _mockserver,
    ),
    _Tool(
        "a mapping of WireMock.Net",
        lambda value: isinstance(_at(value, "Response"), dict) and "Request" in value,
        _wiremock_net,
    ),
    _Tool(
        "an environment of Mockoon",
        lambda value: isinstance(value.get("routes"), list) and "lastMigration" in value,
        lambda value: {
            "response": ".routes[*].responses[*].body",
            "status": ".routes[*].responses[*].statusCode",
        },
    ),
    _Tool(
        "an export of Insomnia",
        lambda value: "__export_format" in value and "resources" in value,
        lambda value: {"request": ".resources[*].body.text", "url": ".resources[*].url"},
        why=" (it has requests only)",
    ),
    _Tool(
        "spans of OpenTelemetry",
        are_spans,
        why=", not read: none has gen_ai.output.messages, so there is no response",
    ),
    _Tool(
        "measurements of k6",
        lambda value: value.get("type") in ("Metric", "Point") and "metric" in value,
        why=", not read: they have no bodies",
    ),
    _Tool(
        "a recording of WebSocket messages",
        lambda value: not _OF_WEBSOCKETS.isdisjoint(_other_interaction(value)),
        why=", not of HTTP requests and responses",
    ),
    _Tool(
        "a recording of gRPC calls",
        lambda value: not _OF_GRPC.isdisjoint(_other_interaction(value)),
        why=", not of HTTP requests and responses",
    ),
)

_MOST_KEYS = 12


def unknown_json(name: str, value: JSON) -> NotARecording:
    """The error for JSON in no known format."""
    while isinstance(value, list) and value:
        value = value[0]
    keys = [printable(key) for key in value] if isinstance(value, dict) else []
    if not keys:
        return not_a_recording(name)
    shown = ", ".join(keys[:_MOST_KEYS]) + (", ..." if len(keys) > _MOST_KEYS else "")
    return NotARecording(
        name,
        "",
        f"not a recording in a known format; its keys are {shown}: --map says where request and "
        "response are (docs/formats.md)",
    )


# -- other files ---------------------------------------------------------------------------------

_TEXTS = (
    (rb"PK\x03\x04", "a zip file (Fiddler's .saz is one): unpack it, or save the traffic as HAR"),
    (rb"SQLite format 3\x00", "an SQLite database: export the rows as JSON Lines"),
    (
        # The first four bytes of pcapng are line breaks, which are left out.
        rb"\xd4\xc3\xb2\xa1|\xa1\xb2[\xc3\x3c][\xd4\x4d]|\x4d\x3c\xb2\xa1"
        rb"|.{4}(?:\x4d\x3c\x2b\x1a|\x1a\x2b\x3c\x4d)",
        "a packet capture (pcap): record with a proxy that decrypts, and save as HAR",
    ),
    (
        rb"(?:<\?xml[^>]*>\s*)?<(?:jmeterTestPlan|testResults)\b",
        "a file of JMeter: record through a proxy, and save as HAR",
    ),
    (
        rb"(?:<\?xml[^>]*>\s*(?:<!DOCTYPE[^>]*\[.*?\]>\s*)?)?<items burpVersion",
        "an export of Burp: save the traffic as HAR",
    ),
    (
        rb"(?:<\?xml[^>]*>\s*(?:<\?[^>]*>\s*)*)?<charles-session\b",
        "an XML session of Charles: save it as HAR, or as JSON (.chlsj)",
    ),
)
_PATTERNS = [(re.compile(pattern, re.DOTALL), kind) for pattern, kind in _TEXTS]


def refuse_text(name: str, head: bytes) -> None:
    """Name what a file is that begins like this and is in no format that is read.

    Raises:
        NotARecording: it is.
    """
    text = head.lstrip()
    reason = next((kind for pattern, kind in _PATTERNS if pattern.match(text)), None)
    if reason is not None:
        raise NotARecording(name, "", reason)
