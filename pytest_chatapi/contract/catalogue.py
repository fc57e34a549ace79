"""The rule catalogue of ``schemas/rules.json``: what each rule says, why, and its levels."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import NamedTuple

from pytest_chatapi.contract.bundled import bundled
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import did_you_mean
from pytest_chatapi.errors import SettingError

__all__ = ["FAMILIES", "Rule", "get_rule", "rules"]

FAMILIES = {
    "S": "shape of a response",
    "U": "usage",
    "T": "stream life cycle",
    "E": "event-stream framing",
    "C": "tool calls",
    "J": "structured output",
    "L": "logprobs",
    "K": "the response against the request",
    "Q": "the request",
    "X": "errors",
    "H": "headers",
    "D": "models",
}


_MOST_NEAR = 4


class Rule(NamedTuple):
    """One rule.

    Attributes:
        code: public, never changes its meaning.
        name: kebab-case.
        levels: a letter for each profile (E, W, N, or - for off), in the order of the columns.
        basis: ``doc`` (stated in the reference), ``ex`` (only in its examples), ``obs`` (always
            so in recorded traffic), ``client`` (clients depend on it), ``derived``.
        statement: the contract, in one sentence.
        why: what goes wrong in a client where the contract is broken.
        since: first day on which the rule applies.
        cases: name of a case to its own levels and what the case is.
    """

    code: str
    name: str
    levels: str
    basis: str
    statement: str
    why: str
    since: str
    cases: dict[str, tuple[str, str]]


@cache
def catalogue() -> JSONObject:
    """The whole file."""
    loaded: JSONObject = json.loads((bundled("schemas") / "rules.json").read_text(encoding="utf-8"))
    return loaded


@cache
def rules() -> dict[str, Rule]:
    """All rules by code, in the order of the catalogue."""
    return {
        code: Rule(
            code,
            row["name"],
            row["levels"],
            row["basis"],
            row["statement"],
            row["why"],
            row.get("since", ""),
            {case: (levels, what) for case, (levels, what) in row.get("cases", {}).items()},
        )
        for code, row in catalogue()["rules"].items()
    }


def get_rule(code: str) -> Rule:
    """The rule of this code or name.

    Raises:
        SettingError: there is no such rule; the message names the nearest.
    """
    known = rules()
    if code.upper() in known:
        return known[code.upper()]
    for rule in known.values():
        if rule.name == code.lower():
            return rule
    if len(re.split(r"[\s,]+", code.strip())) > 1:
        raise SettingError(f"unknown rule {code!r}: name each by itself, not in one text")
    parts = [f"{rule.code} {rule.name}" for rule in known.values() if code.lower() in rule.name]
    if parts and len(code) > 2:
        near = ", ".join(parts[:_MOST_NEAR])
        raise SettingError(f"unknown rule {code!r}: did you mean {near}?")
    names = [*known, *(rule.name for rule in known.values())]
    hint = (
        did_you_mean(code.upper(), names, cutoff=0.5)
        or did_you_mean(code.lower(), names, cutoff=0.5)
        or ": `chatapi rules` lists them"
    )
    raise SettingError(f"unknown rule {code!r}{hint}")
