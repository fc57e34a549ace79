"""Readable names of exchanges, for test ids and reports."""

from __future__ import annotations

from pytest_chatapi.contract.ask import request_json
from pytest_chatapi.contract.endpoint import first_object, path_of
from pytest_chatapi.contract.exchange import Exchange, Response
from pytest_chatapi.contract.wording import without_secrets

__all__ = ["title_of"]


def title_of(exchange: Exchange) -> str:
    """``0 POST chat/completions gpt-4o stream``: index, method, end of the path, model, kind.

    ``0 chat.completion gpt-4o`` where the response is all there is.
    Without secrets: a gateway may have its key in the path.
    """
    parts = [str(exchange.source.index)] if exchange.source is not None else []
    request, response = exchange.request, exchange.response
    if request is not None:
        path = path_of(request.url)
        for marker in ("/chat/completions", "/models"):
            if marker in path:
                path = path[path.rindex(marker) + 1 :]
        parts += [request.method, path]
        body, _ = request_json(request)
        if isinstance(body, dict):
            if isinstance(body.get("model"), str):
                parts.append(without_secrets(body["model"][:1000])[:60])
            if body.get("stream") is True:
                parts.append("stream")
    else:
        parts += _of_body(response)
    if response is not None and response.status != 200:
        parts.append(str(response.status))
    if request is not None and not request.url and request.body is None:
        parts += _of_body(response)
    title = " ".join("".join(c if c.isprintable() else "?" for c in part) for part in parts)
    return without_secrets(title)


def _of_body(response: Response | None) -> list[str]:
    """What a response without an address is: its kind and its model."""
    body = first_object(response)
    kind = body.get("object")
    if not isinstance(kind, str) or not kind:
        kind = "error" if "error" in body else "body"
    model = body.get("model")
    return [kind[:60], *([model[:60]] if isinstance(model, str) and model else [])]
