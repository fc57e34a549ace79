"""S01, S02, S04, S10, and all codes in ``x-rule``: findings of what violates a schema.

A code that is in ``x-rule`` of ``schemas/*.json``, but in no decorator, has its home there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules.registry import Violation, Violations, code_of, rule
from pytest_chatapi.contract.validation import Path, SchemaViolation, json_path, json_type
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import ABSENT, Shown, shortened, show

__all__ = ["EARLIEST", "LATEST", "check_frame", "report", "schema"]


_BOUNDS = {
    "minItems": "has too few items",
    "maxItems": "has too many items",
    "maxProperties": "has too many members",
    "minimum": "is too low",
    "maximum": "is too high",
    "minLength": "is too short",
    "maxLength": "is too long",
    "pattern": "has characters that are not allowed",
}
_KEY_BOUNDS = {"maxLength": "is too long", "pattern": "is not allowed"}


@rule("S01")
def schema(
    violation: SchemaViolation, case: str = "", chunk: int | None = None, prefix: str = ""
) -> Violation:
    """What violates a schema; `report` uses it for the codes in ``x-rule`` too."""
    path, problem, value = violation
    key = path[-1] if path else "the body"
    got = value
    if problem.keyword == "required":
        got, message = ABSENT, f"the key `{key}` is absent"
    elif problem.keyword in ("enum", "const"):
        message = f"`{key}` is not a documented value"
    elif problem.keyword == "null":
        message = f"`{key}` is null"
    elif problem.keyword == "type":
        kind = json_type(value)
        got, message = Shown(f"{show(value, 60)} ({kind})"), f"`{key}` has the wrong type: {kind}"
    elif isinstance(value, dict) and problem.keyword in _KEY_BOUNDS:
        message = f"`{key}` has a key that {_KEY_BOUNDS[problem.keyword]}"
    else:
        message = f"`{key}` {_BOUNDS.get(problem.keyword, 'is out of bounds')}"
    return Violation(_place(path, prefix), problem.expected, got, message, case, chunk)


def _place(path: Path, prefix: str) -> str:
    return "$" + prefix + json_path(path)[1:]


def report(
    ledger: Ledger,
    violations: Sequence[SchemaViolation],
    unknown: Iterable[Path],
    *,
    default: Callable[..., Violations] = schema,
    chunk: int | None = None,
    prefix: str = "",
    skip: frozenset[str] = frozenset(),
) -> None:
    """Adds a finding for each violation, under its own code if the schema has one.

    Args:
        unknown: paths of members that the reference does not list.
        default: the rule for violations without a code of their own.
        prefix: path of the validated value without its ``$`` (such as ``.data[3]``).
        skip: codes that the caller reports itself.
    """
    general = code_of(default)
    others = {v.path[:-1] for v in violations if _is_unknown_type(v)} if violations else None
    if others:
        # One cause, one finding: another type has other members.
        violations = [v for v in violations if v.path[:-1] not in others or _is_unknown_type(v)]
        unknown = [path for path in unknown if path[:-1] not in others]
    for violation in violations:
        problem = violation.problem
        code = problem.code or general
        if problem.keyword == "null" and problem.optional and code in ("S01", "S07", "C01"):
            code, case = general, "null"
        else:
            case = _case(code, violation)
        if code not in skip:
            ledger.add(code, schema(violation, case, chunk, prefix))
    for path in unknown:
        if not ledger.full(_UNKNOWN):
            ledger.report(unknown_field, path, chunk, prefix)


def _is_unknown_type(violation: SchemaViolation) -> bool:
    path, problem, value = violation
    return path[-1:] == ("type",) and problem.keyword == "const" and isinstance(value, str)


def _case(code: str, violation: SchemaViolation) -> str:
    """The case of a code that a violation is."""
    path, problem, value = violation
    key, keyword = path[-1] if path else None, problem.keyword
    if code == "S07":
        return "empty" if value == "" else ""
    if code == "C01" and keyword in ("required", "null") and key in ("type", "id"):
        return str(key)
    if code not in ("S01", "Q00", "X01"):
        return ""
    if keyword == "required" and (problem.nullable or (key == "content" and code != "X01")):
        return "absent"
    if code == "X01":
        return ""
    if keyword in ("enum", "const"):
        return "enum"
    if keyword == "minimum" and path in (("max_tokens",), ("max_completion_tokens",)):
        return "cap"
    if code == "S01" and key == "content" and keyword == "type" and isinstance(value, list):
        return "content-parts"
    return ""


@rule("S10")
def unknown_field(path: Path, chunk: int | None = None, prefix: str = "") -> Violation:
    key = str(path[-1])
    return Violation(
        _place(path, prefix),
        "a documented property",
        Shown(show(key, 60)),
        f"the reference does not list `{shortened(key, 60)}`",
        chunk=chunk,
    )


_UNKNOWN = code_of(unknown_field)


def check_frame(ledger: Ledger, body: JSONObject, chunk: int | None = None) -> None:
    """S02 and S04 for a completion or a chunk; wrong types violate the schema."""
    id_, created = body.get("id"), body.get("created")
    if id_ == "":
        ledger.report(id_empty, chunk)
    if type(created) is int and not EARLIEST <= created <= LATEST:
        ledger.report(created_implausible, created, chunk)


# Bounds of `created` in seconds: more are milliseconds.
EARLIEST, LATEST = 1_000_000_000, 100_000_000_000


@rule("S02")
def id_empty(chunk: int | None) -> Violation:
    return Violation("$.id", "a non-empty string", "", "`id` is empty", chunk=chunk)


@rule("S04")
def created_implausible(created: int, chunk: int | None) -> Violation:
    hint = "in milliseconds" if created > LATEST else "too small for unix seconds"
    return Violation("$.created", "unix seconds", created, f"`created` is {hint}", chunk=chunk)
