"""Makes a value that fits a JSON Schema, as requests carry them for tools and structured output.

A small search: each part of a schema offers candidates, the likeliest first. Most are right by
construction; where a keyword only forbids (``not``, ``oneOf``, ``uniqueItems``), jsonschema sorts
them out. A ``$ref`` that stands inside itself offers nothing, so recursion ends by itself: a
smallest value never needs it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from importlib import import_module
from itertools import chain, count, islice
from math import ceil, floor
from typing import Any

from pytest_chatapi.contract.userschema import SchemaTrouble, first_error
from pytest_chatapi.errors import SettingError

__all__ = ["fitting_json", "fitting_value"]

_CALLS = 20_000  # parts looked at before a schema counts as too tangled
_TRIES = 200  # candidates of one part
_VARIANTS = 12  # other values tried for one member of an object or list
_LONGEST = 100_000  # characters of a text, items of a list

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
# Keywords that candidates are not made for, only held against.
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
    """No value can be made here: place in the schema, and why."""


class _Tangled(Exception):
    """The search takes too long."""


def fitting_value(schema: Any) -> Any:
    """A small value that fits a JSON Schema (2020-12), the same each time.

    What is required is there, what is optional is not. A schema's own ``examples`` and
    ``default`` go before anything made up.

    Raises:
        SettingError: there is none, or none is found; names the place in the schema.
    """
    maker = _Maker(schema)
    try:
        if isinstance(schema, dict):
            first_error(schema, None)  # is it a schema at all?
        for value in islice(maker.values(schema, "#", Refs(), Refs("#")), _TRIES):
            if isinstance(schema, bool) or first_error(schema, value) is None:
                return value
    except SchemaTrouble as trouble:
        place, why = "#", " ".join(str(trouble).split())
    except _Tangled:
        place, why = "#", "it is too tangled"
    except (RecursionError, OverflowError):
        place, why = "#", "it is too deep, or its numbers are too large"
    else:
        place, why = maker.trouble or ("#", "nothing that was tried fits")
    raise SettingError(f"no value can be made for the schema at {place}: {why}")


@lru_cache(maxsize=256)
def fitting_json(schema: str) -> str:
    """As `fitting_value`, from JSON text to compact JSON text.

    Raises:
        SettingError: there is none.
    """
    value = fitting_value(json.loads(schema))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class _Maker:
    """One search.

    Its methods know where they are by three things: `path` is the place in the schema, `around`
    the references that led to the values around this one, `here` those that led to this one.
    """

    def __init__(self, root: Any) -> None:
        self.root = root
        self.trouble: tuple[str, str] | None = None  # the innermost place where nothing fitted
        self._left = _CALLS
        self._validator: Any = None

    # -- any schema ----------------------------------------------------------------------

    def values(self, schema: Any, path: str, around: Refs, here: Refs = _NO_REFS) -> Iterator[Any]:
        """Candidates for a schema."""
        self._left -= 1
        if self._left < 0:
            raise _Tangled
        if not isinstance(schema, dict):
            if schema is True:
                yield _TEXT
            else:
                self._note(path, "nothing is allowed here")
            return
        earlier, nothing = self.trouble, True
        try:
            found = self._candidates(schema, path, around, here)
            if not _FILTERS.isdisjoint(schema) and schema.keys() != {"$ref"}:
                found = (v for v in islice(found, _TRIES) if self._fits(schema, v))
            for value in found:
                nothing, self.trouble = False, earlier
                yield value
        except _Impossible as trouble:
            if nothing:
                self._note(*trouble.args)
        if nothing:
            self._note(path, "no value that was tried fits")

    def _first(self, schema: Any, path: str, around: Refs) -> list[Any]:
        """The first candidate, if there is one."""
        return list(islice(self.values(schema, path, around), 1))

    def _note(self, path: str, why: str) -> None:
        self.trouble = self.trouble or (path, why)

    def _fits(self, schema: Any, value: Any) -> bool:
        if self._validator is None:
            from jsonschema import Draft202012Validator
            from referencing import Registry

            self._validator = Draft202012Validator(self.root, registry=Registry())
        try:
            return bool(self._validator.evolve(schema=schema).is_valid(value))
        except RecursionError:
            raise
        except Exception as trouble:  # of re, of referencing, of an odd value of a keyword
            raise _Impossible("#", " ".join(str(trouble).split())) from None

    def _candidates(
        self, schema: dict[str, Any], path: str, around: Refs, here: Refs
    ) -> Iterator[Any]:
        for value in (*schema.get("examples", ()), schema.get("default")):
            if value is not None and self._fits(schema, value):
                yield value
        if "const" in schema:
            yield schema["const"]
        elif "enum" in schema:
            yield from sorted(schema["enum"], key=lambda value: value is None)
        else:
            yield from self._composed(dict(schema), path, around, here)

    def _composed(
        self, schema: dict[str, Any], path: str, around: Refs, here: Refs
    ) -> Iterator[Any]:
        """Opens one keyword that holds whole schemas, and goes on with what that gives.

        Joining loses a keyword at times; `values` holds the outcome against the original.
        """
        if "$ref" in schema:
            ref = schema.pop("$ref")
            if ref in around:
                raise _Impossible(path, f"{ref} holds itself without end")
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
            held = _merged(_merged(schema, condition), then)
            yield from self.values(held, f"{path}/then", around, here)
            yield from self.values(_merged(schema, otherwise), f"{path}/else", around, here)
        elif "allOf" in schema:
            joined = schema
            for part in joined.pop("allOf"):
                joined = _merged(joined, part)
            yield from self.values(joined, path, around, here)
        else:
            yield from self._typed(schema, path, around | here)

    def _resolve(self, ref: Any, path: str) -> Any:
        if not isinstance(ref, str) or (ref != "#" and not ref.startswith("#/")):
            raise _Impossible(path, f"{ref!r} leads out of the schema")
        here = self.root
        for step in ref[2:].split("/") if len(ref) > 1 else ():
            step = step.replace("~1", "/").replace("~0", "~")
            try:
                here = here[int(step)] if isinstance(here, list) else here[step]
            except (KeyError, IndexError, ValueError, TypeError):
                raise _Impossible(path, f"{ref!r} is not in the schema") from None
        return here

    def _typed(self, schema: dict[str, Any], path: str, around: Refs) -> Iterator[Any]:
        kinds = schema.get("type")
        if kinds is None:
            kinds = [
                k for k, words in _KINDS.items() if not schema.keys().isdisjoint(words.split())
            ]
            kinds = kinds or ["string", "object", "array", "number", "boolean", "null"]
        elif not isinstance(kinds, list):
            kinds = [kinds]
        makers: dict[Any, Callable[[dict[str, Any], str, Refs], Iterator[Any]]] = {
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

    def _objects(self, schema: dict[str, Any], path: str, around: Refs) -> Iterator[Any]:
        declared = schema.get("properties", {})
        wanted = set(schema.get("required", ()))
        dependent = schema.get("dependentRequired", {})
        while more := {n for k in wanted & dependent.keys() for n in dependent[k]} - wanted:
            wanted |= more
        for key, inner in schema.get("dependentSchemas", {}).items():
            if key in wanted:
                slim = {k: v for k, v in schema.items() if k != "dependentSchemas"}
                yield from self.values(_merged(slim, inner), path, around)
                return
        names = [n for n in declared if n in wanted] + sorted(wanted - declared.keys())
        least = schema.get("minProperties", 0)
        optional = chain((n for n in declared if n not in wanted), self._invented(schema, path))
        while len(names) < least:
            name = next((n for n in optional if n not in names), None)
            if name is None:
                return
            if self._first(self._member(schema, name), f"{path}/properties/{name}", around):
                names.append(name)
        parts = {n: (self._member(schema, n), f"{path}/properties/{n}") for n in names}
        base = {}
        for name, (inner, where) in parts.items():
            found = self._first(inner, where, around)
            if not found:
                return
            base[name] = found[0]
        yield base
        for name, (inner, where) in parts.items():
            for other in islice(self.values(inner, where, around), 1, _VARIANTS):
                yield {**base, name: other}
        for name in (n for n in declared if n not in base):
            for found in self._first(declared[name], f"{path}/properties/{name}", around):
                yield {**base, name: found}

    def _invented(self, schema: dict[str, Any], path: str) -> Iterator[str]:
        """Names that a schema does not declare and may still allow."""
        if "propertyNames" in schema:
            names = self.values(_merged({"type": "string"}, schema["propertyNames"]), path, Refs())
        else:
            names = (f"property{number}" for number in count(1))
        for pattern in schema.get("patternProperties", {}):
            names = chain(self._strings({"pattern": pattern}, path, Refs()), names)
        yield from islice(names, _TRIES)

    def _member(self, schema: dict[str, Any], name: str) -> Any:
        inner = schema.get("properties", {}).get(name)
        for pattern, other in schema.get("patternProperties", {}).items():
            if re.search(pattern, name):
                inner = other if inner is None else _merged(inner, other)
        return schema.get("additionalProperties", True) if inner is None else inner

    def _arrays(self, schema: dict[str, Any], path: str, around: Refs) -> Iterator[Any]:
        first = schema.get("prefixItems", [])
        items, contains = schema.get("items", True), schema.get("contains")
        least, most = _sizes(schema, "minItems", "maxItems")
        least = max(least, int(schema.get("minContains", 1)) if contains is not None else 0)
        if least > _LONGEST:
            raise _Impossible(f"{path}/minItems", f"{least} items are too many")
        length = min(max(least, len(first), 1), most)
        made: list[Any] = []
        for position in range(length):
            inner, where = (
                (first[position], f"{path}/prefixItems/{position}")
                if position < len(first)
                else (items, f"{path}/items")
            )
            if contains is not None and position >= len(first):
                inner = _merged(inner, contains)
            if not schema.get("uniqueItems") and position > len(first):
                made.append(made[-1])
                continue
            found = self.values(inner, where, around)
            if schema.get("uniqueItems"):
                found = (value for value in found if not any(_same(value, m) for m in made))
            value = list(islice(found, 1))
            if not value:
                break
            made += value
        if least <= len(made) <= most:
            yield made
            inner, where = (
                (first[0], f"{path}/prefixItems/0") if first else (items, f"{path}/items")
            )
            for other in islice(self.values(inner, where, around), 1, _VARIANTS if made else 1):
                yield [other, *made[1:]]
        if made and not least:
            yield []

    # -- texts and numbers ---------------------------------------------------------------

    def _strings(self, schema: dict[str, Any], path: str, around: Refs) -> Iterator[Any]:
        least, most = _sizes(schema, "minLength", "maxLength")
        if least > _LONGEST:
            raise _Impossible(f"{path}/minLength", f"{least} characters are too many")
        pattern, format_ = schema.get("pattern"), schema.get("format")
        found: Iterator[str]
        if pattern is not None:
            try:
                matches = re.compile(pattern).search
                found = filter(matches, chain(_spellings(pattern, least), _plain(least, most)))
                text = next((t for t in found if least <= len(t) <= most), None)
            except Exception:  # re's own parser may raise anything for another dialect
                text = None
            if text is None:
                raise _Impossible(
                    f"{path}/pattern",
                    f"no text for {pattern!r} can be made up, so it must be given",
                )
            yield text
            yield from (t for t in found if least <= len(t) <= most)
        elif format_ in _FORMATS and least <= len(_FORMATS[format_]) <= most:
            yield _FORMATS[format_]
            yield from _other_spellings(_FORMATS[format_], most)
        else:
            yield from _plain(least, most)

    def _integers(self, schema: dict[str, Any], path: str, around: Refs) -> Iterator[Any]:
        step = Fraction(str(schema.get("multipleOf", 1))).numerator or 1
        yield from (int(value) for value in _multiples(schema, Fraction(step)))

    def _numbers(self, schema: dict[str, Any], path: str, around: Refs) -> Iterator[Any]:
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


def _sizes(schema: dict[str, Any], least: str, most: str) -> tuple[int, int]:
    # JSON Schema takes 2.0 for an integer.
    return int(schema.get(least, 0)), min(int(schema.get(most, _LONGEST)), _LONGEST)


def _bounds(schema: dict[str, Any]) -> tuple[Fraction | None, Fraction | None, Fraction]:
    """The lowest and highest number, open ends included, and where to begin."""
    lows = [Fraction(str(schema[k])) for k in ("minimum", "exclusiveMinimum") if k in schema]
    highs = [Fraction(str(schema[k])) for k in ("maximum", "exclusiveMaximum") if k in schema]
    low, high = max(lows, default=None), min(highs, default=None)
    begin = Fraction(1)
    if low is not None and begin < low:
        begin = low
    if high is not None and begin > high:
        begin = high if low is None or low > 0 or high < 0 else Fraction(0)
    return low, high, begin


def _is_inside(schema: dict[str, Any], value: float) -> bool:
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
    )


def _multiples(schema: dict[str, Any], step: Fraction) -> Iterator[Fraction]:
    """Multiples of a step inside the bounds, outwards from where one would begin."""
    *_, begin = _bounds(schema)
    up, down = ceil(begin / step), floor(begin / step)
    for away in range(_TRIES):
        for number in dict.fromkeys((up + away, down - away)):
            if _is_inside(schema, _number(number * step)):
                yield number * step


def _number(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)


def _spellings(pattern: str, least: int) -> Iterator[str]:
    """Texts that a regular expression likely matches, the short ones first."""
    # Under the name `sre_parse` it was documented, and warns.
    tree = import_module("re._parser").parse(pattern)
    for extra in chain(range(_TRIES), (least,)):
        yield _Speller(extra).text(tree)


class _Speller:
    """Writes one text for a parsed pattern; `extra` are the rounds beyond the fewest that its
    repeats get, the first ones before the others, and how far into a range of characters to go.
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
        return ""  # an anchor or a look around: the whole is tried afterwards

    def _character(self, op: str, value: Any) -> str:
        if op == "IN" and value[0][0].name == "RANGE":
            low, high = value[0][1]
            return chr(low + self._extra % (high - low + 1))
        if op == "IN" and value[0][0].name == "LITERAL":
            return chr(value[0][1])
        fits = _CLASSES.get(value[0][1].name) if op == "IN" and value[0][1] is not None else None
        if fits is not None:
            return fits[self._extra % len(fits)]
        taken = {value} if op == "NOT_LITERAL" else set()
        for kind, inner in value if op == "IN" else ():
            if kind.name == "LITERAL":
                taken.add(inner)
            elif kind.name == "RANGE":
                taken.update(range(inner[0], inner[1] + 1))
            elif kind.name == "CATEGORY":
                taken.update(map(ord, _CLASSES.get(inner.name, "")))
        free = [c for c in "abcdefghijklmnopqrstuvwxyzA0 -_.,:;!?/~" if ord(c) not in taken]
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
        yield from _other_spellings(text, most)


def _other_spellings(text: str, most: int) -> Iterator[str]:
    """The text with numbers, for lists whose items must differ; as long where it must be."""
    for number in range(2, _TRIES):
        end = str(number)
        kept = text if len(text) + len(end) <= most else text[: -len(end)]
        if len(kept + end) <= most:
            yield kept + end


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and (schema.get("type") == "null" or schema == {"const": None})


def _in_turn(sources: Iterator[Iterator[Any]]) -> Iterator[Any]:
    waiting: list[Iterator[Any]] = []
    for source in sources:
        first = list(islice(source, 1))
        yield from first
        if first:
            waiting.append(source)
    for source in waiting:
        yield from islice(source, _VARIANTS)


# -- schemas joined ----------------------------------------------------------------------


def _types(one: str | list[str], other: str | list[str]) -> list[str]:
    mine, theirs = ([kinds] if isinstance(kinds, str) else kinds for kinds in (one, other))
    whole = ["integer"] if "number" in mine and "integer" in theirs else []
    return [k for k in mine if k in theirs or (k == "integer" and "number" in theirs)] + [
        k for k in whole if k not in mine
    ]


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return one | {k: _merged(one[k], v) if k in one else v for k, v in other.items()}


# How two values of a keyword become one; a keyword that is in neither table keeps its first value.
_TIGHTER: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys("minimum exclusiveMinimum minLength minItems minProperties".split(), max),
    **dict.fromkeys("maximum exclusiveMaximum maxLength maxItems maxProperties".split(), min),
    **dict.fromkeys("properties patternProperties".split(), _both),
    **dict.fromkeys("items additionalProperties".split(), lambda one, other: _merged(one, other)),
    "type": _types,
    "required": lambda one, other: [*one, *(name for name in other if name not in one)],
    "allOf": lambda one, other: [*one, *other],
    "uniqueItems": lambda one, other: one or other,
}
# What waits in `allOf` until the first of them is opened.
_WHOLE = frozenset(("$ref", "anyOf", "oneOf", "if", "then", "else"))


def _merged(one: Any, other: Any) -> Any:
    """One schema for what must fit two."""
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
