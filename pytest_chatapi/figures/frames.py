"""What findings are about, as it came over the wire: for a few of each rule, without secrets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from pytest_chatapi.contract.exchange import Exchange, Response
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.sse import BARE, decode_sse
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import show

__all__ = ["Frames"]

_MOST = 3
_LONGEST = 400
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


class Frames:
    """Adds the frames of a run to its findings, a few for each rule."""

    def __init__(self) -> None:
        self._shown: Counter[str] = Counter()

    def of(self, exchange: Exchange, findings: Iterable[Finding]) -> list[JSONObject]:
        """The findings of an exchange as JSON."""
        return [self._one(exchange, finding) for finding in findings]

    def _one(self, exchange: Exchange, finding: Finding) -> JSONObject:
        shown = finding.to_json()
        if self._shown[finding.code] < _MOST and (frame := _frame(exchange, finding)):
            self._shown[finding.code] += 1
            shown["frame"] = frame
        return shown


def _frame(exchange: Exchange, finding: Finding) -> str:
    """The chunk, or the innermost object of a body on the way to the place; ``""`` without."""
    response = exchange.response
    if finding.path[:1] != "$":
        return ""
    try:
        if finding.code[0] == "Q":
            return _object(exchange.request.json() if exchange.request else None, finding.path)
        if response is None:
            return ""
        if finding.chunk is not None:
            return show(_chunk(response, finding.chunk), _LONGEST)
        return _object(response.json(), finding.path) if response.chunks is None else ""
    except (ValueError, RecursionError):  # a stream, or not JSON
        return ""


def _chunk(response: Response, number: int) -> JSON:
    if response.chunks is not None:
        chunks = response.chunks if isinstance(response.chunks, list | tuple) else ()
        return chunks[number] if number < len(chunks) else ""
    texts = (data for data, _, oddity in decode_sse([response.content]) if oddity != BARE)
    return next((data for at, data in enumerate(texts) if at == number), "")


def _object(body: JSON, path: str) -> str:
    inner = body
    for name, index in _STEP.findall(path):
        if isinstance(body, dict):
            body = body.get(name)
        elif isinstance(body, list) and index:
            body = body[int(index)] if int(index) < len(body) else None
        else:
            break
        inner = body if isinstance(body, dict) else inner
    return show(inner, _LONGEST) if isinstance(inner, dict) else ""
