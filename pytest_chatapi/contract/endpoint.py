"""Which endpoint an exchange belongs to."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pytest_chatapi.contract.exchange import Exchange, Response
from pytest_chatapi.contract.parse import loads, loads_bytes

__all__ = ["endpoint"]

_CHAT = re.compile(r"/chat/completions(?:/(?P<id>[^/]+)(?P<messages>/messages)?)?$")
_OTHERS = ('"data"', '"deleted"', '"owned_by"')
_OTHERS_BYTES = tuple(mark.encode() for mark in _OTHERS)
_MODELS = re.compile(r"(?:^|/(?:v\d+|openai))/models(?:/(?P<id>.+))?$")


def endpoint(exchange: Exchange) -> str | None:
    """What was called: ``chat``, ``completion``, ``completion_list``, ``completion_deleted``,
    ``message_list``, ``model_list``, ``model``, ``model_deleted``; ``None``: not our traffic.

    The end of the path decides, so placeholder hosts and any base path are fine.
    """
    request = exchange.request
    if request is None or not request.url:
        return _endpoint_of_body(exchange.response)
    try:
        path = urlsplit(request.url).path.rstrip("/")
    except ValueError:
        path = request.url.partition("?")[0].rstrip("/")
    method = request.method.upper()
    if (chat := _CHAT.search(path)) is not None:
        if chat["messages"]:
            return "message_list" if method == "GET" else None
        if chat["id"]:
            named = {"GET": "completion", "POST": "completion", "DELETE": "completion_deleted"}
            return named.get(method)
        return {"POST": "chat", "GET": "completion_list"}.get(method)
    if (models := _MODELS.search(path)) is not None:
        if "anthropic-version" in request.headers:
            return None  # another API under the same path
        if models["id"]:
            return {"GET": "model", "DELETE": "model_deleted"}.get(method)
        return "model_list" if method == "GET" else None
    return None


def _endpoint_of_body(response: Response | None) -> str:
    body = response.body if response is not None else None
    if isinstance(body, str | bytes):
        # Parsing twice would double the cost of a lone answer: look for what others have first.
        for mark in _OTHERS if isinstance(body, str) else _OTHERS_BYTES:
            if mark in body:  # type: ignore[operator]
                break
        else:
            return "chat"
        try:
            body = loads(body) if isinstance(body, str) else loads_bytes(body)
        except ValueError:
            return "chat"
    if isinstance(body, dict):
        data = body.get("data")
        if body.get("object") == "list" and isinstance(data, list):
            kinds = [d.get("object") for d in data if isinstance(d, dict)]
            stored = bool(kinds) and all(kind == "chat.completion" for kind in kinds)
            return "completion_list" if stored else "model_list"
        named = {
            "model": "model_deleted" if "deleted" in body else "model",
            "chat.completion.deleted": "completion_deleted",
        }
        return named.get(str(body.get("object")), "chat")
    return "chat"
