"""S01 to S14: turns what a schema says into findings with the code that fits best."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.schemas import Path, Violation, json_path, json_type
from pytest_chatapi.contract.wording import ABSENT, Shown, show

__all__ = ["check_created", "check_frame", "report"]


_BOUNDS = {
    "minItems": "has too few items",
    "maxItems": "has too many items",
    "maxProperties": "has too many members",
    "propertyNames": "has a key that is too long",
    "minimum": "is too low",
    "maximum": "is too high",
    "minLength": "is too short",
    "maxLength": "is too long",
    "pattern": "has characters that are not allowed",
}


def report(
    ledger: Ledger,
    found: Iterable[Violation],
    unknown: Iterable[Path],
    *,
    default: str = "S01",
    chunk: int | None = None,
    prefix: str = "",
    skip: frozenset[str] = frozenset(),
) -> None:
    """Adds one finding a violation; a specific code wins over the family's general one.

    Args:
        default: the code of what has none of its own.
        prefix: goes before the path, without its ``$`` (such as ``.data[3]``).
        skip: codes that another rule of the caller's reports better.
    """
    for path, problem, value in found:
        code = problem.code or default
        absent = problem.keyword == "required"
        if problem.keyword == "null" and problem.optional and code in ("S01", "S07", "C01"):
            code, case = default, "null"
        else:
            case = _case(code, path, problem.keyword, problem.nullable, value)
        if code in skip:
            continue
        where = "$" + prefix + json_path(path)[1:]
        key = path[-1] if path else "the body"
        if absent:
            message = f"the key `{key}` is absent"
        elif problem.keyword in ("enum", "const"):
            message = f"`{key}` is none of the documented values"
        elif problem.keyword == "null":
            message = f"`{key}` is null"
        elif problem.keyword == "type":
            message = f"`{key}` has the wrong type: {json_type(value)}"
        else:
            message = f"`{key}` {_BOUNDS.get(problem.keyword, 'is out of bounds')}"
        ledger.add(
            code,
            where,
            problem.expected,
            ABSENT if absent else value if problem.keyword != "type" else _typed(value),
            message,
            case=case,
            chunk=chunk,
        )
    for path in unknown:
        if ledger.full("S10"):
            continue
        ledger.add(
            "S10",
            "$" + prefix + json_path(path)[1:],
            "a documented property",
            Shown(show(str(path[-1]), 60)),
            f"the reference does not list `{str(path[-1])[:60]}`",
            chunk=chunk,
        )


def _typed(value: Any) -> Shown:
    return Shown(f"{show(value, 60)} ({json_type(value)})")


def _case(code: str, path: Path, keyword: str, nullable: bool, value: Any) -> str:
    key = path[-1] if path else None
    if code == "S07":
        return "empty" if value == "" else ""
    if code == "C01" and keyword in ("required", "null") and key in ("type", "id"):
        return str(key)
    if code in ("S01", "Q00"):
        if keyword == "required" and nullable:
            return "absent"
        if keyword in ("enum", "const"):
            return "enum"
        if code == "S01" and key == "content" and keyword == "type" and isinstance(value, list):
            return "content-parts"
        if key == "content" and value is None and keyword == "required":
            return "absent"
    return ""


def check_created(ledger: Ledger, created: Any, chunk: int | None = None) -> None:
    """S04; a wrong type is the schema's business."""
    if type(created) is int and not 1_000_000_000 <= created <= 100_000_000_000:
        late = created > 100_000_000_000
        hint = "milliseconds" if late else "too small for unix seconds"
        ledger.add("S04", "$.created", "unix seconds", created, f"`created` is {hint}", chunk=chunk)


def check_frame(ledger: Ledger, body: dict[str, Any], chunk: int | None = None) -> None:
    """S02 and S04."""
    if body.get("id") == "":
        ledger.add("S02", "$.id", "a non-empty string", "", "`id` is empty", chunk=chunk)
    check_created(ledger, body.get("created"), chunk)
