"""For every rule, an exchange that breaks it and no other, and the nearest legal one.

``schemas/examples.json`` has a few whole exchanges (``bases``), and for each rule what to change
in one of them. A change is a path and the new value, or an object with one of these keys:

``$delete``  removes the member
``$append``  adds these items at the end of the list
``$insert``  adds these items before the item that the path names
"""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from typing import NamedTuple

from pytest_chatapi.contract.bundled import bundled
from pytest_chatapi.contract.catalogue import get_rule
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.wire import JSON, JSONObject

__all__ = ["Example", "changed", "document", "example"]

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


class Example(NamedTuple):
    """What breaks one rule, and the nearest exchange that breaks none.

    Attributes:
        broken: breaks this rule, and no other.
        legal: breaks none.
        broken_changes: path to value, as changed in a base.
        legal_changes: the same for `legal`.
        base: name of the exchange that `broken_changes` change.
        legal_base: the same for `legal_changes`; nearly always the same.
        profile: to check both by.
        note: why `legal` is legal.
        beside: codes that are unavoidably broken too; nearly always empty.
    """

    broken: Exchange
    legal: Exchange
    broken_changes: JSONObject
    legal_changes: JSONObject
    base: str
    legal_base: str
    profile: str
    note: str
    beside: frozenset[str]


@cache
def document() -> JSONObject:
    """The whole file."""
    text = (bundled("schemas") / "examples.json").read_text(encoding="utf-8")
    loaded: JSONObject = json.loads(text)
    return loaded


def example(row: str) -> Example:
    """The example of a rule (``U02``), or of a case of it (``U02/reasoning``).

    Raises:
        SettingError: there is no such rule.
        KeyError: there is no such case.
    """
    entry = document()["cases"][row] if "/" in row else document()["rules"][get_rule(row).code]
    base = entry["base"]
    legal_base = entry.get("legal_base", base)
    return Example(
        broken=changed(base, entry["broken"]),
        legal=changed(legal_base, entry["legal"]),
        broken_changes=entry["broken"],
        legal_changes=entry["legal"],
        base=base,
        legal_base=legal_base,
        profile=entry.get("profile", "openai"),
        note=entry["note"],
        beside=frozenset(entry.get("beside", ())),
    )


@cache
def _base(name: str) -> str:
    return json.dumps(document()["bases"][name])


def changed(name: str, changes: JSONObject) -> Exchange:
    """The legal exchange of this name, with these changes."""
    plain = json.loads(_base(name))
    for path, value in changes.items():
        _change(plain, path, copy.deepcopy(value))
    request, response = plain["request"], plain["response"]
    body = response.get("body")
    if body is None and "events" in response:
        body = "".join(_event(event) for event in response["events"])
    elif body is not None and not isinstance(body, str):
        body = json.dumps(body, ensure_ascii=False)
    return Exchange(
        Request(request["method"], request["url"], request["headers"], request.get("body")),
        Response(response["status"], response["headers"], body, cut=response.get("cut")),
        live=plain.get("live", False),
    )


def _event(event: JSON) -> str:
    """One event of a stream: an object is a chunk, text is data, ``$raw`` is sent as it is."""
    if isinstance(event, dict) and "$raw" in event:
        return str(event["$raw"])
    data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
    return f"data: {data}\n\n"


def _change(root: JSON, path: str, value: JSON) -> None:
    steps = [int(index) if index else key for key, index in _STEP.findall(path)]
    *above, last = steps
    for step in above:
        root = root[step]
    if isinstance(value, dict) and "$delete" in value:
        del root[last]
    elif isinstance(value, dict) and "$append" in value:
        root[last].extend(value["$append"])
    elif isinstance(value, dict) and "$insert" in value:
        root[last:last] = value["$insert"]
    else:
        root[last] = value
