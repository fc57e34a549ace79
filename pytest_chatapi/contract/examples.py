"""An exchange that breaks a rule alone, and the nearest legal one, for every rule.

``schemas/examples.json`` holds a few whole exchanges (``bases``), and for each rule what to
change in one of them. A change is a path and the new value, or a value with one of these keys:

``$delete``  the member goes
``$append``  these items go to the end of the list
``$insert``  these items go before the item that the path names
"""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from typing import Any, NamedTuple

from pytest_chatapi.contract.bundled import bundled
from pytest_chatapi.contract.catalogue import get_rule
from pytest_chatapi.contract.exchange import Exchange, Request, Response

__all__ = ["Example", "changed", "document", "example"]

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


class Example(NamedTuple):
    """What breaks one rule, and what comes nearest without breaking any.

    Attributes:
        broken: breaks this rule, and no other.
        legal: breaks none.
        broken_changes: path to value, as changed from a plain exchange.
        legal_changes: the same for `legal`.
        profile: judge both by this one.
        note: why `legal` is legal.
        beside: codes of the rules that cannot but be broken too; nearly always empty.
    """

    broken: Exchange
    legal: Exchange
    broken_changes: dict[str, Any]
    legal_changes: dict[str, Any]
    profile: str
    note: str
    beside: frozenset[str]


@cache
def document() -> dict[str, Any]:
    """The file as it stands."""
    text = (bundled("schemas") / "examples.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def example(row: str) -> Example:
    """The example of a rule (``U02``), or of a case of it (``U02/reasoning``).

    Raises:
        SettingError: no such rule.
        KeyError: no such case.
    """
    entry = document()["cases"][row] if "/" in row else document()["rules"][get_rule(row).code]
    return Example(
        broken=changed(entry["base"], entry["broken"]),
        legal=changed(entry.get("legal_base", entry["base"]), entry["legal"]),
        broken_changes=entry["broken"],
        legal_changes=entry["legal"],
        profile=entry.get("profile", "openai"),
        note=entry["note"],
        beside=frozenset(entry.get("beside", ())),
    )


def changed(name: str, changes: dict[str, Any]) -> Exchange:
    """One of the plain exchanges, in which nothing is wrong, with these changes."""
    plain = copy.deepcopy(document()["bases"][name])
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
    )


def _event(event: Any) -> str:
    """One event of a stream: an object is its chunk, text is its data, ``$raw`` stands as is."""
    if isinstance(event, dict) and "$raw" in event:
        return str(event["$raw"])
    data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
    return f"data: {data}\n\n"


def _change(root: Any, path: str, value: Any) -> None:
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
