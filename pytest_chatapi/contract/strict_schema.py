"""What the service refuses in a schema that is sent with ``strict: true``.

The rules and the numbers are those of the guide to structured outputs (read in November 2026).
Keywords beyond its list, a schema without a type and an array without ``items`` are refused as
well; several public reports of 2026 quote the service's errors for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pytest_chatapi.contract.schema_memo import known_of
from pytest_chatapi.contract.validation import Path
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT, Shown, listed

__all__ = ["StrictProblem", "strict_problems", "strict_schemas"]

MOST_PROPERTIES = 5_000
MOST_LEVELS = 10
MOST_CHARACTERS = 120_000
MOST_ENUM_VALUES = 1_000
LONG_ENUM = 250
MOST_CHARACTERS_OF_A_LONG_ENUM = 15_000

# Schemas looked at, and steps of their paths, so that a hostile one takes no more time than the
# largest legal one.
_MOST_NODES = 20_000
_LONGEST_PATH = 200

_UNSUPPORTED = (
    "allOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "propertyNames",
    "uniqueItems",
)
_TYPED = ("type", "enum", "$ref", "anyOf", *_UNSUPPORTED)
_LEAVES = ("string", "number", "integer", "boolean", "null")
# What else than its type is looked at in a schema.
_LOOKED_AT = frozenset({"$ref", "anyOf", "const", "enum", "items", "properties", *_UNSUPPORTED})


class StrictProblem(NamedTuple):
    """One thing that the service refuses.

    Attributes:
        path: from the schema's root.
        expected, got, message: as of a `Violation`.
        refusal: the reason in the service's words, without the name of the schema.
    """

    path: Path
    expected: str
    got: JSON
    message: str
    refusal: str


def strict_schemas(body: JSONObject) -> Iterator[tuple[Path, JSONObject, str, str]]:
    """The strict schemas of a request: path, schema, kind (``function`` or
    ``response_format``), and name.
    """
    response_format = body.get("response_format")
    if isinstance(response_format, dict) and response_format.get("type") == "json_schema":
        inner = response_format.get("json_schema")
        if isinstance(inner, dict) and inner.get("strict") is True:
            path: Path = ("response_format", "json_schema", "schema")
            yield from _schema_in(inner, "schema", path, "response_format")
    tools = body.get("tools")
    for position, tool in enumerate(tools if isinstance(tools, list) else ()):
        inner = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(inner, dict) and inner.get("strict") is True:
            path = ("tools", position, "function", "parameters")
            yield from _schema_in(inner, "parameters", path, "function")


def _schema_in(
    inner: JSONObject, key: str, path: Path, kind: str
) -> Iterator[tuple[Path, JSONObject, str, str]]:
    if isinstance(inner.get(key), dict):
        yield path, inner[key], kind, str(inner.get("name"))


def strict_problems(schema: JSONObject) -> Iterator[StrictProblem]:
    """What the service refuses in one schema: its root, each schema in it, then its size."""
    known = known_of(schema)
    if known.is_accepted:
        return
    root = _root_problem(schema)
    if root is not None:
        yield root
        return
    is_accepted = True
    walk = _Walk(schema)
    for problems in (walk.problems(), walk.size_problems()):
        for problem in problems:
            is_accepted = False
            yield problem
    known.is_accepted = is_accepted


def _root_problem(schema: JSONObject) -> StrictProblem | None:
    if "anyOf" in schema:
        message = "strict: the root of the schema is an `anyOf`"
        refusal = "In context=(), 'anyOf' is not permitted."
        return StrictProblem(("anyOf",), "an object at the root", Shown("anyOf"), message, refusal)
    # A reference at the root is left alone: what it leads to is checked.
    if schema.get("type") == "object" or "$ref" in schema:
        return None
    kind = schema.get("type", ABSENT)
    message = "strict: the root of the schema is not an object"
    shown = "None" if kind is ABSENT else kind
    refusal = f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{shown}\"'."
    return StrictProblem(("type",), "object", kind, message, refusal)


class _Walk:
    """All schemas inside a schema, each definition once, and what they add up to."""

    def __init__(self, schema: JSONObject) -> None:
        self._root = schema
        self._properties = 0
        self._characters = 0
        self._enum_values = 0
        self._deepest = 0
        self._long_enum: tuple[Path, int] | None = None

    def problems(self) -> Iterator[StrictProblem]:
        # Path, schema, and how many objects it is inside of.
        waiting: list[tuple[Path, JSON, int]] = [((), self._root, 0)]
        followed: set[str] = set()
        for _ in range(_MOST_NODES):
            if not waiting:
                return
            path, schema, level = waiting.pop()
            if not isinstance(schema, dict) or len(path) > _LONGEST_PATH:
                continue
            if schema.get("type") in _LEAVES and _LOOKED_AT.isdisjoint(schema):
                continue  # as most of them are
            reference = schema.get("$ref")
            if isinstance(reference, str):
                if reference not in followed:
                    followed.add(reference)
                    target = _resolved(self._root, reference)
                    if target is not None:
                        self._characters += len(str(target[0][-1])) if target[0] else 0
                        # Recursion is allowed, so levels are counted inside a definition.
                        waiting.append((*target, 0))
                continue
            is_object = _is_object(schema)
            level += is_object
            self._deepest = max(self._deepest, level)
            self._count(path, schema)
            yield from _problems_of(path, schema, is_object=is_object)
            # Last in, first out: the order in which people read.
            waiting.extend(reversed([(*step, level) for step in _inner(path, schema)]))

    def _count(self, path: Path, schema: JSONObject) -> None:
        properties, enum = schema.get("properties"), schema.get("enum")
        if isinstance(properties, dict):
            self._properties += len(properties)
            self._characters += sum(map(len, map(str, properties)))
        if isinstance(enum, list):
            self._enum_values += len(enum)
            characters = sum(len(value) for value in enum if isinstance(value, str))
            self._characters += characters
            if len(enum) > LONG_ENUM and characters > MOST_CHARACTERS_OF_A_LONG_ENUM:
                self._long_enum = self._long_enum or (path, characters)
        if isinstance(schema.get("const"), str):
            self._characters += len(schema["const"])

    def size_problems(self) -> Iterator[StrictProblem]:
        """What is too large; to be asked after `problems` has ended."""
        if self._deepest > MOST_LEVELS:
            refusal = f"{self._deepest} levels of nesting exceeds limit of {MOST_LEVELS}."
            yield _too_large("levels of objects", MOST_LEVELS, self._deepest, refusal)
        if self._properties > MOST_PROPERTIES:
            refusal = f"{self._properties} parameters exceeds limit of {MOST_PROPERTIES}."
            yield _too_large("properties", MOST_PROPERTIES, self._properties, refusal)
        if self._enum_values > MOST_ENUM_VALUES:
            refusal = (
                f"Expected at most {MOST_ENUM_VALUES} enum values in total within a single schema "
                f"when using structured outputs, but received {self._enum_values}. Consider "
                "reducing the number of enums, or use 'strict: false' to opt out of structured "
                "outputs."
            )
            yield _too_large("enum values", MOST_ENUM_VALUES, self._enum_values, refusal)
        if self._characters > MOST_CHARACTERS:
            what = "characters of names and enum values"
            refusal = (
                f"Expected at most {MOST_CHARACTERS} characters in total of property names, "
                f"definition names, enum values and const values, but received {self._characters}."
            )
            yield _too_large(what, MOST_CHARACTERS, self._characters, refusal)
        if self._long_enum is not None:
            path, characters = self._long_enum
            what = f"characters of an enum with more than {LONG_ENUM} values"
            refusal = (
                f"{_context(path)}, expected at most {MOST_CHARACTERS_OF_A_LONG_ENUM} "
                f"characters in an enum with more than {LONG_ENUM} values, but received "
                f"{characters}."
            )
            problem = _too_large(what, MOST_CHARACTERS_OF_A_LONG_ENUM, characters, refusal)
            yield problem._replace(path=(*path, "enum"))


def _too_large(what: str, limit: int, count: int, refusal: str) -> StrictProblem:
    message = f"strict: the schema has too many {what}"
    return StrictProblem((), f"at most {limit:,}", Shown(f"{count:,}"), message, refusal)


def _is_object(schema: JSONObject) -> bool:
    kind = schema.get("type")
    return (
        kind == "object"
        or (isinstance(kind, list) and "object" in kind)
        or (kind is None and isinstance(schema.get("properties"), dict))
    )


def _problems_of(path: Path, schema: JSONObject, *, is_object: bool) -> Iterator[StrictProblem]:
    for keyword in _UNSUPPORTED:
        # `uniqueItems: false` and the like say nothing, but are refused too.
        if keyword in schema:
            yield StrictProblem(
                (*path, keyword),
                "a keyword of the supported subset",
                Shown(keyword),
                f"strict: `{keyword}` is not supported",
                f"{_context(path)}, '{keyword}' is not permitted.",
            )
    if schema.keys().isdisjoint(_TYPED):
        yield StrictProblem(
            path,
            "a schema with a type",
            schema,
            "strict: the schema has no type",
            f"{_context(path)}, schema must have a 'type' key.",
        )
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict):
        yield StrictProblem(
            (*path, "items"),
            "a schema of the items",
            schema.get("items", ABSENT),
            "strict: the array has no `items`",
            f"{_context(path)}, array schema missing items.",
        )
    if is_object:
        yield from _object_problems(path, schema)


def _object_problems(path: Path, schema: JSONObject) -> Iterator[StrictProblem]:
    if schema.get("additionalProperties") is not False:
        yield StrictProblem(
            (*path, "additionalProperties"),
            "false",
            schema.get("additionalProperties", ABSENT),
            "strict: the object allows further properties",
            f"{_context(path)}, 'additionalProperties' is required to be supplied and to be false.",
        )
    properties, required = schema.get("properties"), schema.get("required")
    names = properties if isinstance(properties, dict) else {}
    if required == [*names]:
        return  # as libraries write it
    listed_names = required if isinstance(required, list) else []
    known = {name for name in listed_names if isinstance(name, str)}
    missing = [name for name in names if name not in known]
    extra = [name for name in listed_names if isinstance(name, str) and name not in names]
    if not missing and not extra:
        return
    refusal = (
        f"{_context(path)}, 'required' is required to be supplied and to be an array including "
        "every key in properties."
    )
    if missing:
        what = "the property" if len(missing) == 1 else "the properties"
        verb = "is" if len(missing) == 1 else "are"
        yield StrictProblem(
            (*path, "required"),
            "every property",
            listed_names if isinstance(required, list) else schema.get("required", ABSENT),
            f"strict: {what} {listed(missing, 4)} {verb} not required",
            f"{refusal} Missing '{missing[0]}'.",
        )
    else:
        yield StrictProblem(
            (*path, "required"),
            "only properties of the object",
            listed_names,
            f"strict: {listed(extra[:1])} is required, but is not a property",
            f"{refusal} Extra required key '{extra[0]}' supplied.",
        )


def _inner(path: Path, schema: JSONObject) -> Iterator[tuple[Path, JSON]]:
    """The schemas directly inside a schema, as far as they are of the supported subset."""
    properties = schema.get("properties")
    if isinstance(properties, dict):
        for name, inner in properties.items():
            yield (*path, "properties", str(name)), inner
    if isinstance(schema.get("items"), dict):
        yield (*path, "items"), schema["items"]
    branches = schema.get("anyOf")
    for position, branch in enumerate(branches if isinstance(branches, list) else ()):
        yield (*path, "anyOf", position), branch


def _resolved(root: JSONObject, reference: str) -> tuple[Path, JSON] | None:
    """Path and schema that a reference inside the document leads to."""
    if not reference.startswith("#"):
        return None
    path: list[str] = []
    target: JSON = root
    for step in reference[1:].strip("/").split("/") if len(reference) > 1 else ():
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and step.isdecimal() and int(step) < len(target):
            target = target[int(step)]
        elif isinstance(target, dict) and step in target:
            target = target[step]
        else:
            return None
        path.append(step)
    return tuple(path), target


def _context(path: Path) -> str:
    """A place as the service writes it: ``In context=('properties', 'a')``."""
    return f"In context={tuple(map(str, path))!r}"
