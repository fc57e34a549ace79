"""What the reference service says about its models: ``schemas/models.json``.

The file is about api.openai.com alone. A router may translate what a model of its own list does
not take, and at Azure a deployment has any name, so neither is held to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from pytest_chatapi.contract.bundled import bundled
from pytest_chatapi.contract.validation import Path
from pytest_chatapi.contract.wire import JSON, JSONObject

__all__ = ["DEPRECATIONS", "ModelRefusal", "model_refusals", "models", "shutdown_date"]

DEPRECATIONS = "https://developers.openai.com/api/docs/deprecations"

_DATED = re.compile(r"-\d{4}-\d\d-\d\d$")
_LONGEST_NAME = 200
_PARTS = "messages[].content[].type"


class _Row(NamedTuple):
    """A parameter that some models do not take.

    Attributes:
        since: first day on which a public report shows it.
        parameter: of the body, ``messages[].role`` or ``messages[].content[].type``.
        beside: only in requests that have this, one of `_BESIDE`.
        accepts: the only values taken (``None``: absent); ``None`` where any but those of
            `refuses` is.
        refuses: the values not taken; ``None`` where the parameter itself is refused.
        at_most: the largest number taken.
        named: the parameter that the service's error names, where it is another one.
        message, code: of the service's error.
    """

    since: str
    parameter: str
    beside: str | None
    accepts: tuple[JSON, ...] | None
    refuses: tuple[JSON, ...] | None
    at_most: int | None
    named: str | None
    message: str
    code: str | None

    def refused(self, value: JSON) -> bool:
        if self.at_most is not None:
            return type(value) is int and value > self.at_most
        if self.accepts is not None:
            return value not in self.accepts
        return value is not None if self.refuses is None else value in self.refuses

    @property
    def looks_at(self) -> str:
        """The member of the body without which nothing is refused."""
        if self.parameter.startswith("messages[]"):
            return "messages"
        return "model" if self.refused(None) else self.parameter


class ModelRefusal(NamedTuple):
    """What a model does not take.

    Attributes:
        path, value: the parameter; `value` is ``None`` where leaving it out is refused.
        parameter: as the service names it.
        message, code: of the service's error.
    """

    path: Path
    value: JSON
    parameter: str
    message: str
    code: str | None


@cache
def models() -> JSONObject:
    """The whole file."""
    loaded: JSONObject = json.loads((bundled("schemas") / "models.json").read_text("utf-8"))
    return loaded


@cache
def _shutdown_dates() -> dict[str, str]:
    return {name: day for day, names in models()["shutdown"].items() for name in names}


def shutdown_date(model: JSON) -> str | None:
    """The announced day (``YYYY-MM-DD``) from which a model is no longer served.

    Fine-tuned models have none: they outlive the model that they were made from.
    """
    return _shutdown_dates().get(model) if isinstance(model, str) else None


@cache
def _rows() -> dict[str, tuple[_Row, ...]]:
    by_model: dict[str, tuple[_Row, ...]] = {}
    for each in models()["refused"]:
        accepts, refuses = each.get("accepts"), each.get("refuses")
        row = _Row(
            each["since"],
            each["parameter"],
            each.get("beside"),
            None if accepts is None else tuple(accepts),
            None if refuses is None else tuple(refuses),
            each.get("at_most"),
            each.get("named"),
            each["message"],
            each["code"],
        )
        for name in each["models"]:
            by_model[name] = (*by_model.get(name, ()), row)
    return by_model


@lru_cache(maxsize=1024)
def _rows_of(model: str, members: tuple[str, ...]) -> tuple[_Row, ...]:
    """The rows of a model, of a dated snapshot of it, or of one fine-tuned from it, about the
    members that a body has.
    """
    if model.startswith("ft:"):
        model = model.split(":")[1]
    rows = _rows().get(_DATED.sub("", model), ())
    return tuple(row for row in rows if row.looks_at in members)


def model_refusals(body: JSONObject, day: str) -> list[ModelRefusal]:
    """What the model of a request does not take, by what was known on a day (``YYYY-MM-DD``)."""
    model = body.get("model")
    if not isinstance(model, str) or len(model) > _LONGEST_NAME:
        return []
    rows = _rows_of(model, tuple(body))
    return [*_refusals(rows, body, model, day)] if rows else []


def _refusals(
    rows: Iterable[_Row], body: JSONObject, model: str, day: str
) -> Iterator[ModelRefusal]:
    for row in rows:
        if row.since > day or (row.beside is not None and not _BESIDE[row.beside](body)):
            continue
        if row.parameter == "messages[].role":
            yield from _refused_roles(row, body, model)
        elif row.parameter == _PARTS:
            yield from _refused_parts(row, body, model)
        elif row.refused(value := body.get(row.parameter)):
            yield _refusal(row, (row.parameter,), value, row.named or row.parameter, model)


def _refused_roles(row: _Row, body: JSONObject, model: str) -> Iterator[ModelRefusal]:
    messages = body.get("messages")
    for position, message in enumerate(messages if isinstance(messages, list) else ()):
        role = message.get("role") if isinstance(message, dict) else None
        if role is not None and row.refused(role):
            path = ("messages", position, "role")
            yield _refusal(row, path, role, f"messages[{position}].role", model)


def _refused_parts(row: _Row, body: JSONObject, model: str) -> Iterator[ModelRefusal]:
    """The first content part that is refused; the error names its message."""
    for position, index, kind in _kinds_of_parts(body):
        if row.refused(kind):
            path = ("messages", position, "content", index, "type")
            yield _refusal(row, path, kind, f"messages[{position}]", model)
            return


def _kinds_of_parts(body: JSONObject) -> Iterator[tuple[int, int, str]]:
    """Position of the message, index in its content, and ``type`` of each content part."""
    messages = body.get("messages")
    for position, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for index, part in enumerate(content if isinstance(content, list) else ()):
            kind = part.get("type") if isinstance(part, dict) else None
            if isinstance(kind, str):
                yield position, index, kind


def _refusal(row: _Row, path: Path, value: JSON, parameter: str, model: str) -> ModelRefusal:
    shown = value if isinstance(value, str) else json.dumps(value)
    message = row.message.format(model=model, value=shown, parameter=parameter, at_most=row.at_most)
    return ModelRefusal(path, value, parameter, message, row.code)


def _has_function_tools(body: JSONObject) -> bool:
    tools = body.get("tools")
    return isinstance(tools, list) and any(
        isinstance(tool, dict) and tool.get("type", "function") == "function" for tool in tools
    )


def _has_no_sound(body: JSONObject) -> bool:
    """Whether sound is neither sent nor asked for."""
    modalities = body.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        return False
    messages = body.get("messages")
    messages = messages if isinstance(messages, list) else []
    if any(isinstance(message, dict) and message.get("audio") for message in messages):
        return False  # an earlier spoken response
    return all(kind != "input_audio" for _, _, kind in _kinds_of_parts(body))


_BESIDE: dict[str, Callable[[JSONObject], bool]] = {
    "function tools": _has_function_tools,
    "no sound": _has_no_sound,
}
