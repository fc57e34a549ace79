"""What the service stores: its models, and the completions of requests with ``store: true``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from pytest_chatapi.contract.ask import request_json
from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.mock.refusals import (
    NO_JSON,
    Refusal,
    invalid_type,
    invalid_value,
    metadata_refusal,
    missing,
    out_of_range,
    refusal,
)

__all__ = ["Store"]

_MODELS = (
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-5",
    "gpt-5-mini",
    "o3",
    "o4-mini",
)
_CREATED = 1_686_935_002
_PAGE_SIZE, _LARGEST_PAGE = 20, 100

# Parameters that a stored completion repeats, and their values where the request has none.
_ECHOED: JSONObject = {
    "temperature": 1.0,
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "seed": None,
    "tools": None,
    "tool_choice": None,
    "response_format": None,
}


@dataclass(slots=True)
class _Stored:
    completion: JSONObject
    messages: list[JSONObject]
    model: JSON


class Store:
    """Responds at all endpoints but ``POST /chat/completions``.

    Attributes:
        models: ids that ``GET /models`` lists, in this order.
    """

    def __init__(self) -> None:
        self.models: list[str] = list(_MODELS)
        self._stored: dict[str, _Stored] = {}

    def keep(self, body: JSONObject, completion: JSONObject) -> None:
        """Store a completion with its metadata and messages, as for ``store: true``.

        Args:
            body: of the request, which the contract allows.
            completion: the response, a whole ``chat.completion``.
        """
        sent = {key: body[key] for key in _ECHOED if body.get(key) is not None}
        stored = {
            **completion,
            **_ECHOED,
            **sent,
            "input_user": body.get("user"),
            "metadata": body.get("metadata") or {},
        }
        id_ = completion["id"]
        messages = [_message(m, f"{id_}-{i}") for i, m in enumerate(body["messages"])]
        self._stored[id_] = _Stored(stored, messages, body.get("model"))

    def respond(self, request: Request, kind: str | None) -> tuple[int, JSON] | None:
        """Status and JSON body; ``None`` where the endpoint is not this store's.

        Args:
            kind: the request's endpoint, as `endpoint` names it.
        """
        if kind is None or kind == "chat":
            return None
        path, _, query_text = request.url.partition("?")
        query = dict(parse_qsl(query_text))
        path = path.rstrip("/")
        if kind == "model_list":
            ids = dict.fromkeys(self.models)
            return 200, {"object": "list", "data": [_model(id_) for id_ in ids]}
        if kind.startswith("model"):
            id_ = unquote(path.partition("/models/")[2])
            return self._model(id_) if kind == "model" else self._delete_model(id_)
        if kind == "completion_list":
            return self._list(query)
        id_ = unquote(path.removesuffix("/messages").rpartition("/")[2])
        stored = self._stored.get(id_)
        if stored is None:
            return _no_completion(id_)
        if kind == "message_list":
            return _page(stored.messages, query)
        if kind == "completion_deleted":
            del self._stored[id_]
            return 200, {"object": "chat.completion.deleted", "id": id_, "deleted": True}
        if request.method.upper() == "POST":
            return _update(stored, request)
        return 200, stored.completion

    def _model(self, id_: str) -> tuple[int, JSON]:
        return (200, _model(id_)) if id_ in self.models else _no_model(id_)

    def _delete_model(self, id_: str) -> tuple[int, JSON]:
        if id_ not in self.models:
            return _no_model(id_)
        if not id_.startswith("ft:"):
            message = "You have insufficient permissions for this operation."
            return refusal(message, status=403)
        self.models.remove(id_)
        return 200, {"id": id_, "object": "model", "deleted": True}

    def _list(self, query: dict[str, str]) -> tuple[int, JSON]:
        metadata = {
            key[len("metadata[") : -1]: value
            for key, value in query.items()
            if key.startswith("metadata[") and key.endswith("]")
        }
        model = query.get("model")
        completions = [
            stored.completion
            for stored in list(self._stored.values())
            if (model is None or model in (stored.model, stored.completion["model"]))
            and metadata.items() <= stored.completion["metadata"].items()
        ]
        return _page(completions, query)


def _page(items: Sequence[JSONObject], query: dict[str, str]) -> tuple[int, JSON]:
    """One page of a list that is in ascending order."""
    limit = _limit(query.get("limit"))
    if not isinstance(limit, int):
        return limit
    order = query.get("order", "asc")
    if order not in ("asc", "desc"):
        return invalid_value("order", order, ("asc", "desc"))
    ordered = list(items) if order == "asc" else list(reversed(items))
    after = query.get("after")
    if after is not None:
        ids = [item["id"] for item in ordered]
        if after not in ids:
            return refusal(f"No item with id '{after}' found.", "after", status=404)
        del ordered[: ids.index(after) + 1]
    data = ordered[:limit]
    return 200, {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(ordered) > limit,
    }


def _limit(text: str | None) -> int | Refusal:
    if text is None:
        return _PAGE_SIZE
    try:
        limit = int(text)
    except ValueError:
        return invalid_type("limit", "an integer", text)
    if limit < 1:
        return out_of_range("limit", limit, "integer", low=1)
    if limit > _LARGEST_PAGE:
        return out_of_range("limit", limit, "integer", high=_LARGEST_PAGE)
    return limit


def _update(stored: _Stored, request: Request) -> tuple[int, JSON]:
    body, why_not = request_json(request)
    if why_not is not None:
        return refusal(NO_JSON)
    if not isinstance(body, dict) or "metadata" not in body:
        return missing("metadata")
    metadata = body["metadata"]
    refused = metadata_refusal(metadata)
    if refused is not None:
        return refused
    # A new object: responses that were sent before keep theirs.
    stored.completion = {**stored.completion, "metadata": metadata or {}}
    return 200, stored.completion


def _message(message: JSONObject, id_: str) -> JSONObject:
    content = message.get("content")
    stored = {
        "id": id_,
        "role": message["role"],
        "content": content,
        "name": message.get("name"),
        "refusal": message.get("refusal"),
        "content_parts": None,
    }
    if isinstance(content, list):
        stored["content"] = None
        # The reference lists no audio, files or refusals here.
        stored["content_parts"] = [p for p in content if p["type"] in ("text", "image_url")]
    for key in ("tool_calls", "function_call"):
        if message.get(key):
            stored[key] = message[key]
    return stored


def _model(id_: str) -> JSONObject:
    return {"id": id_, "object": "model", "created": _CREATED, "owned_by": "openai"}


def _no_model(id_: str) -> Refusal:
    return refusal(f"The model '{id_}' does not exist", "model", "model_not_found", status=404)


def _no_completion(id_: str) -> Refusal:
    return refusal(f"Chat completion with id '{id_}' not found.", status=404)
