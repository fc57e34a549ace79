"""Generates a value that fits a JSON Schema of a tool or of structured output.

A small search: each part of a schema yields candidates, the likeliest first. Most are valid by
construction; where a keyword only forbids (``not``, ``oneOf``, ``uniqueItems``), jsonschema filters
them. A ``$ref`` inside itself yields nothing, which ends the recursion: a smallest value never
needs it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache, partial
from importlib import import_module
from itertools import chain, count, islice
from math import ceil, floor
from typing import Any

from pytest_chatapi.contract.userschema import (
    NotJudged,
    SchemaTrouble,
    bounded,
    first_error,
    has_match,
    validator_of,
)
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.errors import SettingError
from pytest_chatapi.mock.wire_form import compact

__all__ = ["fitting_json", "fitting_value"]

_CALLS = 20_000  # parts visited before the search is given up
_TRIES = 200  # candidates of one part
_VARIANTS = 12  # other values tried for one member of an object or list
_MESSAGE = 160  # characters of a message from jsonschema
_LONGEST = 100_000  # characters of a string, items of a list

_NOTHING_FITS = "no candidate fits"

_TEXT = "text"
_FORMATS = {
    "date": "2025-01-15",
    "date-time": "2025-01-15T09:30:00Z",
    "time": "09:30:00Z",
    "duration": "PT1H",
    "email": "user@example.com",
    "idn-email": "user@example.com",
    "hostname": "example.com",
    "idn-hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
    "uri": "https://example.com/",
    "uri-reference": "/path",
    "uri-template": "/path/{id}",
    "iri": "https://example.com/",
    "iri-reference": "/path",
    "json-pointer": "/path",
    "relative-json-pointer": "0",
    "regex": "^text$",
}
# Keywords that candidates are not made for, only validated by.
_FILTERS = frozenset(
    "not oneOf if contains uniqueItems propertyNames dependentSchemas dependentRequired enum const "
    "patternProperties unevaluatedProperties unevaluatedItems multipleOf allOf anyOf $ref".split()
)
_NOTES = frozenset(
    "title description $schema $id $comment $defs definitions default examples deprecated "
    "readOnly writeOnly".split()
)
_KINDS = {
    "object": "properties required additionalProperties minProperties maxProperties "
    "patternProperties propertyNames dependentRequired",
    "array": "items prefixItems minItems maxItems uniqueItems contains",
    "string": "minLength maxLength pattern format",
    "number": "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf",
}

Refs = frozenset[str]
_NO_REFS = Refs()


class _Impossible(Exception):
    """No value fits here: the place in the schema, and why."""


class _Tangled(Exception):
    """The search takes too many steps."""


def fitting_value(schema: JSON) -> JSON:
    """A small value that fits a JSON Schema (2020-12), the same each time.

    It has what is required and leaves out what is optional. A schema's own ``examples`` and
    ``default`` are preferred to generated values.

    Raises:
        SettingError: no value fits, or none is found; names the place in the schema.
    """
    maker = _Maker(schema)
    try:
        with bounded():
            if isinstance(schema, dict):
                first_error(schema, None)  # raises where this is not a schema
            for value in islice(maker.values(schema, "#", Refs(), Refs("#")), _TRIES):
                if isinstance(schema, bool) or first_error(schema, value) is None:
                    return value
    except NotJudged as trouble:
        place, why = "#", f"the search was given up: {_one_line(trouble)}"
    except SchemaTrouble as trouble:
        place, why = "#", _one_line(trouble)
    except _Tangled:
        place, why = "#", "the search takes too many steps"
    except (RecursionError, OverflowError):
        place, why = "#", "it is nested too deeply, or its numbers are too large"
    else:
        place, why = maker.trouble or ("#", _NOTHING_FITS)
    raise SettingError(f"cannot generate a value for the schema at {place}: {why}")


@lru_cache(maxsize=256)
def fitting_json(schema: str) -> str:
    """As `fitting_value`, from JSON text to compact JSON text.

    Raises:
        SettingError: as `fitting_value`.
    """
    return compact(fitting_value(json.loads(schema)))


class _Maker:
    """One search.

    Its methods share three arguments: `path` is the place in the schema, `around` holds the
    references that led to the values around this one, `here` those that led to this one.

    Attributes:
        trouble: the innermost place where nothing fits, and why.
    """

    def __init__(self, root: JSON) -> None:
        self.root = root
        self.trouble: tuple[str, str] | None = None
        self._left = _CALLS
        self._validator: Any = None

    # -- any schema ----------------------------------------------------------------------

    def values(
        self, schema: JSON, path: str, around: Refs, here: Refs = _NO_REFS
    ) -> Iterator[JSON]:
        """Candidates for a schema."""
        self._left -= 1
        if self._left < 0:
            raise _Tangled
        if not isinstance(schema, dict):
            if schema is True:
                yield _TEXT
            else:
                self._note(path, "no value is allowed here")
            return
        earlier, is_empty = self.trouble, True
        try:
            candidates = self._candidates(schema, path, around, here)
            if not _FILTERS.isdisjoint(schema) and schema.keys() != {"$ref"}:
                candidates = (v for v in islice(candidates, _TRIES) if self._fits(schema, v))
            for value in candidates:
                is_empty, self.trouble = False, earlier
                yield value
        except _Impossible as trouble:
            if is_empty:
                self._note(*trouble.args)
        if is_empty:
            self._note(path, _NOTHING_FITS)

    def _first(self, schema: JSON, path: str, around: Refs) -> list[JSON]:
        """The first candidate, if there is one."""
        return list(islice(self.values(schema, path, around), 1))

    def _note(self, path: str, why: str) -> None:
        self.trouble = self.trouble or (path, why)

    def _fits(self, schema: JSON, value: JSON) -> bool:
        if self._validator is None:
            self._validator = validator_of(self.root)
        try:
            return bool(self._validator.evolve(schema=schema).is_valid(value))
        except RecursionError:
            raise NotJudged("endless recursion, or nested too deeply") from None
        except NotJudged:
            raise
        except Exception as trouble:  # of re, of referencing, of an odd value of a keyword
            raise _Impossible("#", _one_line(trouble)) from None
        except BaseException as panic:
            if type(panic).__name__ != "PanicException":
                raise
            raise RecursionError from None  # met by the Rust below `referencing`

    def _candidates(
        self, schema: JSONObject, path: str, around: Refs, here: Refs
    ) -> Iterator[JSON]:
        for value in (*schema.get("examples", ()), schema.get("default")):
            if value is not None and self._fits(schema, value):
                yield value
        if "const" in schema:
            yield schema["const"]
        elif "enum" in schema:
            yield from sorted(schema["enum"], key=lambda value: value is None)
        else:
            yield from self._composed(dict(schema), path, around, here)

    def _composed(self, schema: JSONObject, path: str, around: Refs, here: Refs) -> Iterator[JSON]:
        """Resolve one keyword that holds whole schemas, and go on with the outcome.

        Merging may lose a keyword; `values` validates by the original schema.
        """
        if "$ref" in schema:
            ref = schema.pop("$ref")
            if ref in around:
                raise _Impossible(path, f"{ref} refers to itself without end")
            joined = schema if ref in here else _merged(self._resolve(ref, path), schema)
            yield from self.values(joined, path, around, here | {ref})
        elif "anyOf" in schema or "oneOf" in schema:
            key = "anyOf" if "anyOf" in schema else "oneOf"
            branches = sorted(enumerate(schema.pop(key)), key=lambda branch: _is_null(branch[1]))
            yield from _in_turn(
                self.values(_merged(schema, branch), f"{path}/{key}/{number}", around, here)
                for number, branch in branches
            )
        elif "if" in schema:
            condition = schema.pop("if")
            then, otherwise = schema.pop("then", True), schema.pop("else", True)
            fulfilled = _merged(_merged(schema, condition), then)
            yield from self.values(fulfilled, f"{path}/then", around, here)
            yield from self.values(_merged(schema, otherwise), f"{path}/else", around, here)
        elif "allOf" in schema:
            joined = schema
            for part in joined.pop("allOf"):
                joined = _merged(joined, part)
            yield from self.values(joined, path, around, here)
        else:
            yield from self._typed(schema, path, around | here)

    def _resolve(self, ref: JSON, path: str) -> JSON:
        if not isinstance(ref, str) or (ref != "#" and not ref.startswith("#/")):
            raise _Impossible(path, f"{ref!r} points outside of the schema")
        target = self.root
        for step in ref[2:].split("/") if len(ref) > 1 else ():
            step = step.replace("~1", "/").replace("~0", "~")
            try:
                target = target[int(step)] if isinstance(target, list) else target[step]
            except (KeyError, IndexError, ValueError, TypeError):
                raise _Impossible(path, f"{ref!r} is not in the schema") from None
        return target

    def _typed(self, schema: JSONObject, path: str, around: Refs) -> Iterator[JSON]:
        kinds = schema.get("type")
        if kinds is None:
            kinds = [
                k for k, words in _KINDS.items() if not schema.keys().isdisjoint(words.split())
            ]
            kinds = kinds or ["string", "object", "array", "number", "boolean", "null"]
        elif not isinstance(kinds, list):
            kinds = [kinds]
        makers: dict[str, Callable[[JSONObject, str, Refs], Iterator[JSON]]] = {
            "object": self._objects,
            "array": self._arrays,
            "string": self._strings,
            "integer": self._integers,
            "number": self._numbers,
            "boolean": lambda *_: iter((True, False)),
            "null": lambda *_: iter((None,)),
        }
        for kind in sorted(kinds, key=lambda kind: kind == "null"):
            yield from makers[kind](schema, path, around)

    # -- objects and lists ---------------------------------------------------------------

    def _objects(self, schema: JSONObject, path: str, around: Refs) -> Iterator[JSONObject]:
        declared = schema.get("properties", {})
        required = _required(schema)
        for key, inner in schema.get("dependentSchemas", {}).items():
            if key in required:
                slim = {k: v for k, v in schema.items() if k != "dependentSchemas"}
                yield from self.values(_merged(slim, inner), path, around)
                return
        names = [n for n in declared if n in required] + sorted(required - declared.keys())
        least = schema.get("minProperties", 0)
        optional = chain((n for n in declared if n not in required), self._invented(schema, path))
        while len(names) < least:
            name = next((n for n in optional if n not in names), None)
            if name is None:
                return
            if self._first(self._member(schema, name), f"{path}/properties/{name}", around):
                names.append(name)
        parts = {n: (self._member(schema, n), f"{path}/properties/{n}") for n in names}
        base = {}
        for name, (inner, place) in parts.items():
            value = self._first(inner, place, around)
            if not value:
                return
            base[name] = value[0]
        yield base
        for name, (inner, place) in parts.items():
            for variant in islice(self.values(inner, place, around), 1, _VARIANTS):
                yield {**base, name: variant}
        for name in (n for n in declared if n not in base):
            for value in self._first(declared[name], f"{path}/properties/{name}", around):
                yield {**base, name: value}

    def _invented(self, schema: JSONObject, path: str) -> Iterator[str]:
        """Names that a schema does not declare but may allow."""
        if "propertyNames" in schema:
            string = _merged({"type": "string"}, schema["propertyNames"])
            names: Iterator[str] = self.values(string, path, Refs())
        else:
            names = (f"property{number}" for number in count(1))
        for pattern in schema.get("patternProperties", {}):
            names = chain(self._strings({"pattern": pattern}, path, Refs()), names)
        yield from islice(names, _TRIES)

    def _member(self, schema: JSONObject, name: str) -> JSON:
        inner = schema.get("properties", {}).get(name)
        for pattern, other in schema.get("patternProperties", {}).items():
            if has_match(pattern, name):
                inner = other if inner is None else _merged(inner, other)
        return schema.get("additionalProperties", True) if inner is None else inner

    def _arrays(self, schema: JSONObject, path: str, around: Refs) -> Iterator[list[JSON]]:
        first = schema.get("prefixItems", [])
        least, most = _sizes(schema, "minItems", "maxItems")
        if "contains" in schema:
            least = max(least, int(schema.get("minContains", 1)))
        if least > _LONGEST:
            raise _Impossible(f"{path}/minItems", f"{least} items are too many")
        length = min(max(least, len(first), 1), most)
        items = self._items(schema, path, around, length)
        if least <= len(items) <= most:
            yield items
            inner, place = _item(schema, 0, path)
            variants = islice(self.values(inner, place, around), 1, _VARIANTS if items else 1)
            for variant in variants:
                yield [variant, *items[1:]]
        if items and not least:
            yield []

    def _items(self, schema: JSONObject, path: str, around: Refs, length: int) -> list[JSON]:
        """As many items as can be had, up to `length`."""
        first = schema.get("prefixItems", [])
        items: list[JSON] = []
        values: Iterator[JSON] = iter(())
        before: object = None
        for position in range(length):
            inner, place = _item(schema, position, path)
            if "contains" in schema and position >= len(first):
                inner = _merged(inner, schema["contains"])
            if not schema.get("uniqueItems") and position > len(first):
                items.append(items[-1])
                continue
            if inner is not before:  # else go on: what came before is taken
                before, values = inner, self.values(inner, place, around)
                if schema.get("uniqueItems"):
                    values = (v for v in values if not any(_same(v, item) for item in items))
            value = list(islice(values, 1))
            if not value:
                break
            items += value
        return items

    # -- strings and numbers -------------------------------------------------------------

    def _strings(self, schema: JSONObject, path: str, around: Refs) -> Iterator[str]:
        least, most = _sizes(schema, "minLength", "maxLength")
        if least > _LONGEST:
            raise _Impossible(f"{path}/minLength", f"{least} characters are too many")
        pattern, format_ = schema.get("pattern"), schema.get("format")
        if pattern is not None:
            try:
                re.compile(pattern)
                texts = filter(
                    partial(has_match, pattern),
                    chain(_spellings(pattern, least), _plain(least, most)),
                )
                text = next((t for t in texts if least <= len(t) <= most), None)
            except Exception:  # re's own parser may raise anything for another dialect
                text = None
            if text is None:
                raise _Impossible(
                    f"{path}/pattern", f"cannot generate a string that matches {pattern!r}"
                )
            yield text
            yield from (t for t in texts if least <= len(t) <= most)
        elif format_ in _FORMATS and least <= len(_FORMATS[format_]) <= most:
            yield _FORMATS[format_]
            yield from _numbered(_FORMATS[format_], most)
        else:
            yield from _plain(least, most)

    def _integers(self, schema: JSONObject, path: str, around: Refs) -> Iterator[int]:
        step = Fraction(str(schema.get("multipleOf", 1))).numerator or 1
        yield from (int(value) for value in _multiples(schema, Fraction(step)))

    def _numbers(self, schema: JSONObject, path: str, around: Refs) -> Iterator[float]:
        if "multipleOf" in schema:
            step = Fraction(str(schema["multipleOf"]))
            yield from (_number(value) for value in _multiples(schema, step))
            return
        low, high, _ = _bounds(schema)
        if low is not None and high is not None:
            spots = [Fraction(3, 2), Fraction(1), Fraction(0), (low + high) / 2, low, high]
        else:
            spots = [Fraction(3, 2), Fraction(1), Fraction(0)]
            spots += [end + add for end in (low, high) if end is not None for add in (0, 1, -1)]
        inside = [spot for spot in spots if _is_inside(schema, _number(spot))]
        yield from map(_number, dict.fromkeys(inside))
        yield from (int(value) for value in _multiples(schema, Fraction(1)))


def _item(schema: JSONObject, position: int, path: str) -> tuple[JSON, str]:
    """The schema of the item at a position, and its place."""
    first = schema.get("prefixItems", [])
    if position < len(first):
        return first[position], f"{path}/prefixItems/{position}"
    return schema.get("items", True), f"{path}/items"


def _required(schema: JSONObject) -> set[str]:
    """Names of the members that must be there, those included that others depend on."""
    required = set(schema.get("required", ()))
    dependent = schema.get("dependentRequired", {})
    while more := {n for k in required & dependent.keys() for n in dependent[k]} - required:
        required |= more
    return required


def _sizes(schema: JSONObject, least: str, most: str) -> tuple[int, int]:
    # JSON Schema takes 2.0 for an integer.
    return int(schema.get(least, 0)), min(int(schema.get(most, _LONGEST)), _LONGEST)


def _bounds(schema: JSONObject) -> tuple[Fraction | None, Fraction | None, Fraction]:
    """The lowest and the highest number (an exclusive bound counts as a bound), and where to
    begin.
    """
    lows = [Fraction(str(schema[k])) for k in ("minimum", "exclusiveMinimum") if k in schema]
    highs = [Fraction(str(schema[k])) for k in ("maximum", "exclusiveMaximum") if k in schema]
    low, high = max(lows, default=None), min(highs, default=None)
    begin = Fraction(1)
    if low is not None and begin < low:
        begin = low
    if high is not None and begin > high:
        begin = high if low is None or low > 0 or high < 0 else Fraction(0)
    return low, high, begin


def _is_inside(schema: JSONObject, value: float) -> bool:
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
    )


def _multiples(schema: JSONObject, step: Fraction) -> Iterator[Fraction]:
    """Multiples of a step inside the bounds, the nearest to the beginning first."""
    *_, begin = _bounds(schema)
    up, down = ceil(begin / step), floor(begin / step)
    for away in range(_TRIES):
        for number in dict.fromkeys((up + away, down - away)):
            if _is_inside(schema, _number(number * step)):
                yield number * step


def _number(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)


def _spellings(pattern: str, least: int) -> Iterator[str]:
    """Strings that a regular expression likely matches, short ones first."""
    # Its documented name, `sre_parse`, is deprecated and warns.
    tree = import_module("re._parser").parse(pattern)
    for extra in chain(range(_TRIES), (least,)):
        yield _Speller(extra).text(tree)


class _Speller:
    """Writes one string for a parsed pattern.

    Args:
        extra: how many rounds beyond the fewest its repeats get, the first repeats first, and how
            far into a range of characters to go.
    """

    def __init__(self, extra: int) -> None:
        self._extra = self._rounds = extra
        self._groups: dict[int, str] = {}

    def text(self, tree: Any) -> str:
        return "".join(self._part(op.name, value) for op, value in tree)

    def _part(self, op: str, value: Any) -> str:
        if op == "LITERAL":
            return chr(value)
        if op in ("IN", "NOT_LITERAL", "ANY"):
            return self._character(op, value)
        if op in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            low, high, tree = value
            rounds = min(low + self._rounds, int(high))
            self._rounds -= rounds - low
            return "".join(self.text(tree) for _ in range(rounds))
        if op == "SUBPATTERN":
            group, _, _, tree = value
            text = self.text(tree)
            if group is not None:
                self._groups[group] = text
            return text
        if op == "BRANCH":
            trees = value[1]
            return self.text(trees[self._extra % len(trees)])
        if op == "GROUPREF":
            return self._groups[value]
        if op == "ATOMIC_GROUP":
            return self.text(value)
        return ""  # an anchor or a look-around: the whole string is matched afterwards

    def _character(self, op: str, value: Any) -> str:
        if op == "IN" and value[0][0].name == "RANGE":
            low, high = value[0][1]
            return chr(low + self._extra % (high - low + 1))
        if op == "IN" and value[0][0].name == "LITERAL":
            return chr(value[0][1])
        members = _CLASSES.get(value[0][1].name) if op == "IN" and value[0][1] is not None else None
        if members is not None:
            return members[self._extra % len(members)]
        excluded = {value} if op == "NOT_LITERAL" else set()
        for kind, inner in value if op == "IN" else ():
            if kind.name == "LITERAL":
                excluded.add(inner)
            elif kind.name == "RANGE":
                excluded.update(range(inner[0], inner[1] + 1))
            elif kind.name == "CATEGORY":
                excluded.update(map(ord, _CLASSES.get(inner.name, "")))
        free = [c for c in "abcdefghijklmnopqrstuvwxyzA0 -_.,:;!?/~" if ord(c) not in excluded]
        return free[self._extra % len(free)]


_CLASSES = {
    "CATEGORY_DIGIT": "1234567890",
    "CATEGORY_WORD": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_1234567890",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_DIGIT": "abcdef",
    "CATEGORY_NOT_WORD": "-.:",
    "CATEGORY_NOT_SPACE": "abcdef",
}


def _plain(least: int, most: int) -> Iterator[str]:
    text = (_TEXT * (least // len(_TEXT) + 1))[: max(least, min(len(_TEXT), most))]
    if len(text) <= most:
        yield text
        yield from _numbered(text, most)


def _numbered(text: str, most: int) -> Iterator[str]:
    """The text with numbers, for lists of unique items; at most that long."""
    for number in range(2, _TRIES):
        end = str(number)
        start = text if len(text) + len(end) <= most else text[: -len(end)]
        if len(start + end) <= most:
            yield start + end


def _one_line(error: Exception) -> str:
    """The message, which may quote a whole schema, in one line."""
    text = " ".join(str(error).split())
    return text if len(text) <= _MESSAGE else f"{text[: _MESSAGE - 3]}..."


def _same(one: JSON, other: JSON) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _is_null(schema: JSON) -> bool:
    return isinstance(schema, dict) and (schema.get("type") == "null" or schema == {"const": None})


def _in_turn(sources: Iterator[Iterator[JSON]]) -> Iterator[JSON]:
    waiting: list[Iterator[JSON]] = []
    for source in sources:
        first = list(islice(source, 1))
        yield from first
        if first:
            waiting.append(source)
    for source in waiting:
        yield from islice(source, _VARIANTS)


# -- merging schemas ---------------------------------------------------------------------


def _types(one: str | list[str], other: str | list[str]) -> list[str]:
    left, right = ([kinds] if isinstance(kinds, str) else kinds for kinds in (one, other))
    shared = [k for k in left if k in right or (k == "integer" and "number" in right)]
    if "number" in left and "integer" in right and "integer" not in left:
        shared.append("integer")  # each integer is a number
    return shared


def _both(one: JSONObject, other: JSONObject) -> JSONObject:
    return one | {k: _merged(one[k], v) if k in one else v for k, v in other.items()}


# How two values of a keyword become one; a keyword in neither table keeps its first value.
_TIGHTER: dict[str, Callable[[JSON, JSON], JSON]] = {
    **dict.fromkeys("minimum exclusiveMinimum minLength minItems minProperties".split(), max),
    **dict.fromkeys("maximum exclusiveMaximum maxLength maxItems maxProperties".split(), min),
    **dict.fromkeys("properties patternProperties".split(), _both),
    **dict.fromkeys("items additionalProperties".split(), lambda one, other: _merged(one, other)),
    "type": _types,
    "required": lambda one, other: [*one, *(name for name in other if name not in one)],
    "allOf": lambda one, other: [*one, *other],
    "uniqueItems": lambda one, other: one or other,
}
# These wait in `allOf` until the first of them is resolved.
_WHOLE = frozenset(("$ref", "anyOf", "oneOf", "if", "then", "else"))


def _merged(one: JSON, other: JSON) -> JSON:
    """One schema for values that must fit both."""
    if one is True or other is True:
        return other if one is True else one
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return False
    joined, apart = dict(one), {}
    for key, value in other.items():
        if key not in joined or key in _NOTES or joined[key] == value:
            joined[key] = value
        elif key in _TIGHTER:
            joined[key] = _TIGHTER[key](joined[key], value)
        elif key in _WHOLE:
            apart[key] = value
    if apart:
        joined["allOf"] = [*joined.get("allOf", ()), apart]
    return False if joined.get("type") == [] else joined
