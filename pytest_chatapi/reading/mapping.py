"""Exchanges in JSON of any shape, where the user says what is where.

``request=$.input,response=$.output`` names the members of an exchange by JSON paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile

from pytest_chatapi.contract.exchange import Exchange, Request, Response, Source
from pytest_chatapi.contract.sse import looks_like_sse
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import did_you_mean, plural
from pytest_chatapi.errors import ReadError, SettingError
from pytest_chatapi.reading.bodies import BodyProblem, plain_body
from pytest_chatapi.reading.documents import exchanges_of_document
from pytest_chatapi.reading.format import NOWHERE, Origin, RecordedFile
from pytest_chatapi.reading.formats.chunks import is_chunk
from pytest_chatapi.reading.json_text import JSONProblem, loads
from pytest_chatapi.reading.mapped import Mapped
from pytest_chatapi.reading.parts import headers_of, printable
from pytest_chatapi.reading.registry import (
    NotAnExchange,
    exchange_of,
    exchanges_of,
    format_of,
    items_of,
)
from pytest_chatapi.redaction.jsonpath import JsonPath

__all__ = ["MEMBERS", "Mapping", "exchanges_of_mapped"]

MEMBERS = (
    "request",
    "response",
    "url",
    "status",
    "headers",
    "request_headers",
    "response_headers",
    "exchange",
    "id",
    "time",
    "provider",
    "model",
)
"""What can be mapped; ``headers`` are those of the response, ``exchange`` is one in a known format,
and the last four say of a log's row which it is, when, by whom and of which model.
"""

_OF_ROW = ("id", "time", "provider", "model")
_ALL = ("request", "response", "exchange")

_EXAMPLE = "request=$.input,response=$.output"
_PART = re.compile(r"""(?:\['[^']*'\]|\["[^"]*"\]|[^,])+""")
_IN_ENVELOPE = frozenset({"body", "text", "status", "status_code", "statusCode", "headers"})
_IN_BODY = frozenset({"choices", "object", "error", "response"})
_MOST_KEYS = 12


class Mapping:
    """Where the members of an exchange are in a value.

    ``[*]`` in the beginning that paths have in common makes an exchange of each item.

    Args:
        text: a comma-separated list of ``MEMBER=PATH``.

    Attributes:
        members: those that are mapped.
        mapped: what it has found so far.

    Raises:
        SettingError: it is not of this form.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.mapped = Mapped()
        self._paths: dict[str, JsonPath] = {}
        self._parts: dict[str, str] = {}
        for part in filter(None, map(str.strip, _PART.findall(text))):
            member, equals, path = (word.strip() for word in part.partition("="))
            if not equals:
                raise SettingError(f"{part!r} is not MEMBER=PATH, such as {_EXAMPLE}")
            if member not in MEMBERS:
                near = did_you_mean(member, MEMBERS)
                raise SettingError(
                    f"{member!r} cannot be mapped{near or '.'} Use {', '.join(MEMBERS)}"
                )
            if member in self._paths:
                raise SettingError(f"{member!r} is mapped twice")
            self._paths[member] = JsonPath(path)
            self._parts[member] = part.strip()
        if self._paths.keys().isdisjoint(_ALL):
            raise SettingError(f"map request, response or both, such as {_EXAMPLE}; got {text!r}")
        if "exchange" in self._paths and (more := self._paths.keys() - {"exchange", *_OF_ROW}):
            raise SettingError(f"exchange holds all of it: leave out {', '.join(sorted(more))}")
        looped = [path.steps for path in self._paths.values() if None in path.steps]
        common = [
            steps[0]
            for steps in takewhile(
                lambda steps: len(set(map(repr, steps))) == 1, zip(*looped, strict=False)
            )
        ]
        while common and common[-1] is not None:
            common.pop()
        self.members = self._paths.keys()
        self._shared = len(common)
        self._lists = len(looped) > 1 and not common

    def found(self, value: JSON) -> list[JSONObject]:
        """The mapped values by member, for each exchange in `value`.

        Empty where no exchange has a request or a response; one that has neither is empty.

        Raises:
            NotAnExchange: lists cannot be paired.
        """
        every = [
            {name: mapped for name, mapped in item.items() if mapped is not None}
            for item in self._items(value)
        ]
        has_any = [not item.keys().isdisjoint(_ALL) for item in every]
        if not any(has_any):
            return []
        return [item if has else {} for item, has in zip(every, has_any, strict=True)]

    def _items(self, value: JSON) -> Iterator[dict[str, JSON]]:
        """The mapped values of each exchange, by member."""
        if self._lists:
            yield from self._side_by_side(value)
            return
        constant = {n: self._one(n, value) for n, p in self._paths.items() if not _loops(p)}
        looped = {name: path for name, path in self._paths.items() if _loops(path)}
        if not looped:
            yield constant
            return
        beginning = next(iter(looped.values()))
        for item in beginning.values(value, 0, self._shared):
            yield constant | {name: self._one(name, item, self._shared) for name in looped}

    def _side_by_side(self, value: JSON) -> Iterator[dict[str, JSON]]:
        """Lists with nothing in common, paired in their order."""
        found = {name: path.values(value) for name, path in self._paths.items()}
        for name, values in found.items():
            self._note(name, values, value)
        lengths = {len(found[name]) for name, path in self._paths.items() if _loops(path)}
        if len(lengths) > 1:
            raise NotAnExchange(
                f"{self.text!r} finds lists of different lengths, which cannot be paired"
            )
        for index in range(lengths.pop()):
            yield {
                name: values[index] if _loops(self._paths[name]) else values[0] if values else None
                for name, values in found.items()
            }

    def _one(self, name: str, value: JSON, start: int = 0) -> JSON:
        """The value that a member's path finds; all of them as a list where it names several."""
        path = self._paths[name]
        values = path.values(value, start)
        self._note(name, values, value, start)
        if None in path.steps[start:]:
            return values or None
        return values[0] if values else None

    def _note(self, name: str, values: list[JSON], value: JSON, start: int = 0) -> None:
        """Take note of whether a member's path has found values in one."""
        if values:
            self.mapped.members.add(name)
        elif name not in self.mapped.keys:
            for step in self._paths[name].steps[start:]:
                inner = _member(value, step)
                if inner is None:
                    break
                value = inner
            self.mapped.keys[name] = _keys(value)

    def nothing_in(self, value: JSON) -> str:
        """The reason that a message gives where the mapping finds nothing in `value`."""
        return f"{self.text!r} finds nothing: {_keys(value)}"

    def idle(self, mapped: Mapped, *, must_be_used: bool = False) -> list[str]:
        """What to say of each member that was found nowhere, however many files there were.

        A path that is mistyped would go unnoticed: what it does not find is not checked.

        Args:
            must_be_used: it is not only there for the files that need it.
        """
        if not mapped.exchanges:
            return [f"{self.text!r} finds nothing in what was read"] if must_be_used else []
        return [
            f"{part!r} finds nothing in {plural(mapped.exchanges, 'exchange')}: "
            f"{mapped.keys.get(member, _keys(None))}"
            for member, part in self._parts.items()
            if member not in mapped.members
        ]


def _member(value: JSON, step: str | int | None) -> JSON:
    """What a step of a path leads to, the first of what it may lead to; else ``None``."""
    if isinstance(value, list):
        index = step or 0
        return (
            value[index] if isinstance(index, int) and -len(value) <= index < len(value) else None
        )
    return value.get(step) if isinstance(value, dict) else None


def _keys(value: JSON) -> str:
    while isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict) and value:
        keys = [printable(key) for key in value]
        shown = ", ".join(keys[:_MOST_KEYS]) + (", ..." if len(keys) > _MOST_KEYS else "")
        return f"the keys here are {shown}"
    return "there is no object with keys here"


def _loops(path: JsonPath) -> bool:
    return None in path.steps


def exchanges_of_mapped(
    file: RecordedFile, mapping: Mapping, value: JSON, text: bytes = b"", line: int | None = None
) -> Iterator[Exchange]:
    """The exchanges of a document or line, as `mapping` finds them, else as its format does.

    What is damaged, or in neither, is reported, and the others are still read.

    Args:
        text: the JSON that the value is; empty if not known.
        line: number of the line, from 0; ``None`` for a document.
    """
    place = "" if line is None else f"line {line + 1}"
    try:
        found = mapping.found(value)
        if not found:
            yield from _unmapped(file, mapping, value, line)
            return
    except (BodyProblem, NotAnExchange) as error:
        file.on_error(ReadError(file.name, place, str(error)))
        return
    origin = Origin(around=text) if len(found) == 1 else NOWHERE
    for index, members in enumerate(found):
        try:
            if not members:
                raise NotAnExchange(f"{mapping.text!r} finds neither request nor response")
            mapping.mapped.exchanges += 1
            exchange = _exchange(members, origin)
            exchange.row = _row(exchange.row, members, value if len(found) == 1 else None)
        except (BodyProblem, NotAnExchange) as error:
            where = place or (f"interaction {index}" if len(found) > 1 else "")
            file.on_error(ReadError(file.name, where, str(error)))
        else:
            exchange.source = (
                Source(file.name, index) if line is None else Source(file.name, line, line + 1)
            )
            yield exchange


def _row(read: JSON, members: JSONObject, around: JSON) -> JSONObject:
    """What the log says of an exchange beside it; what is mapped comes first.

    Args:
        read: the row that the exchange itself was read from, if there was one.
        around: the value in which the members were found, if there is nothing else in it.
    """
    known = read if isinstance(read, dict) else around if isinstance(around, dict) else {}
    return {**known, **{name: members[name] for name in _OF_ROW if name in members}}


def _source(file: RecordedFile, index: int, line: int | None) -> Source:
    """Where an exchange is: the number of a line, counted from 0, is its index as well."""
    return Source(file.name, index) if line is None else Source(file.name, line, line + 1)


def _unmapped(
    file: RecordedFile, mapping: Mapping, value: JSON, line: int | None
) -> Iterator[Exchange]:
    """The exchanges where `mapping` finds nothing.

    Raises:
        NotAnExchange: the value is in no known format either, or in one that tells exchanges by
            their shape alone, which the user knows better.
        BodyProblem: a body is damaged.
    """
    if not _is_labelled(value):
        raise NotAnExchange(mapping.nothing_in(value))
    if line is None:
        yield from exchanges_of_document(file, value)
    else:
        for exchange in exchanges_of(value):
            exchange.source = _source(file, 0, line)
            yield exchange


def _is_labelled(value: JSON) -> bool:
    """Whether a value is in a format that has marks of its own."""
    recognised = items_of(value, bare=False)
    if recognised is None:
        return False
    format, items = recognised
    if format is not None:
        return True
    formats = [format_of(item) for item in items]
    return any(format is not None and not format.bare for format in formats)


# -- the members ---------------------------------------------------------------------------------


def _exchange(members: JSONObject, origin: Origin) -> Exchange:
    if "exchange" in members:
        value = members["exchange"]
        text = value.encode("utf-8", "replace") if isinstance(value, str) else b""
        return exchange_of(_unquoted(value), Origin(text))
    response_headers = members.get("response_headers", members.get("headers"))
    status = members.get("status")
    has_status = status is not None and status != "" and status == status  # NaN in a table
    has_wire = has_status or response_headers is not None
    request = _request(members.get("request"), origin)
    if "url" in members or "request_headers" in members:
        request = request or Request()
        request.url = printable(members.get("url")) or request.url
        request.headers = headers_of(members.get("request_headers")) or request.headers
    if "response" not in members:
        return Exchange(request)
    response, is_assembled = _response(members["response"], origin)
    if has_status:
        response.status = _status(status)
    if response_headers is not None:
        response.headers = headers_of(response_headers)
    return Exchange(request, response, assembled=is_assembled and not has_wire)


_STATUS = re.compile(r"\s*(?:HTTP/[\d.]+\s+)?([1-5]\d\d)(?![\w.:-])")


def _status(value: JSON) -> int:
    """The status code that a value is, as a number or at the beginning of a text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value in range(100, 600):
            return int(value)
    elif isinstance(value, str) and (status := _STATUS.match(value)):
        return int(status[1])
    raise NotAnExchange(
        f"the mapped status is {_shown(value)}: it must be a status code, such as 200"
    )


def _request(value: JSON, origin: Origin) -> Request | None:
    parsed = _unquoted(value)
    if parsed is None:
        return None
    is_object = isinstance(parsed, dict)
    if is_object and "messages" not in parsed and not _IN_ENVELOPE.isdisjoint(parsed):
        return exchange_of({"request": parsed}).request
    if not is_object or not parsed.keys() & {"messages", "model"}:
        raise NotAnExchange(
            f"the mapped request is {_shown(parsed)}: it must be a request body "
            "(an object with model and messages)"
        )
    return Request(body=plain_body(value, origin=origin))


def _response(value: JSON, origin: Origin) -> tuple[Response, bool]:
    """The response, and whether a log assembled it."""
    parsed = _unquoted(value)
    if isinstance(parsed, str) and looks_like_sse(parsed.encode("utf-8", "replace")[:512]):
        return Response(body=plain_body(parsed)), False
    if isinstance(parsed, list):
        chunks = [_unquoted(item) for item in parsed if item != "[DONE]"]
        if chunks and all(isinstance(chunk, str) for chunk in chunks):
            return _response("\n\n".join(chunk.strip() for chunk in chunks) + "\n\n", origin)
        if len(chunks) == 1 and not is_chunk(chunks[0]):
            return _response(chunks[0], NOWHERE)
        parsed = chunks
    elif (
        isinstance(parsed, dict)
        and _IN_BODY.isdisjoint(parsed)
        and not _IN_ENVELOPE.isdisjoint(parsed)
    ):
        exchange = exchange_of({"response": parsed})
        if exchange.response is not None:
            return exchange.response, False
    recognised = items_of(parsed, bare=True) if isinstance(parsed, (dict, list)) else None
    if recognised and recognised[0] and len(recognised[1]) == 1:
        if isinstance(value, str):
            origin = Origin(value.encode("utf-8", "replace"))
        exchange = exchange_of(recognised[1][0], origin, recognised[0])
        if exchange.response is not None:
            # The chunks of a stream show its course.
            is_assembled = recognised[0].bare and exchange.response.chunks is None
            return exchange.response, is_assembled
    raise NotAnExchange(
        f"the mapped response is {_shown(parsed)}: it must be a completion, a list of chunks, "
        "the text of an event stream, or an object with a body"
    )


def _unquoted(value: JSON) -> JSON:
    """A value; parsed if it is JSON in a text."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return loads(value)
        except JSONProblem as error:
            raise NotAnExchange(f"a mapped text is {error.reason}") from None
    return value


def _shown(value: JSON) -> str:
    if isinstance(value, dict):
        keys = ", ".join(printable(key) for key in list(value)[:_MOST_KEYS])
        return f"an object with {keys}" if keys else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return repr(value)[:40]
