"""Validates JSON values by a schema, fast.

jsonschema is the only validator. It gets one object at a time, with the containers inside it cut
off, and its verdict is remembered for the object's shape: its keys, the types of its values, and
the values themselves where the schema looks at them (derived from the schema, never typed by
hand). Two objects of one shape get one verdict, so a stream of 10,000 chunks costs a handful of
validations, even when no two lines are equal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from pytest_chatapi.contract.plain_validation import Fits, compiled
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import plural

__all__ = ["Node", "Path", "Problem", "Schema", "SchemaViolation", "json_path", "json_type"]

Path: TypeAlias = tuple[str | int, ...]
Schema: TypeAlias = dict[str, Any]

# Verdicts that a memo keeps before it is cleared, so that hostile input cannot fill the memory.
MEMO_LIMIT = 4096

_TYPES = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}
_CONTAINERS = {"object", "array"}
# Keywords whose verdict depends on the value and not only on its type.
_VALUE_KEYWORDS = frozenset("enum const minimum maximum minLength maxLength pattern".split())
_RANGE_KEYWORDS = frozenset({"minimum", "maximum"})
_NUMBERS = frozenset({int, float})
# Those of them that name few values, so that each may have a shape of its own.
_NAMING_KEYWORDS = frozenset({"enum", "const", "anyOf"})


class Problem(NamedTuple):
    """A violation without its value, as it can be remembered for a shape.

    Attributes:
        path: from the object whose shape it is.
        keyword: of JSON Schema that failed; ``null`` for a null of the wrong type.
        code: of the rule that reports it, ``None`` for the general one.
        expected: what the schema asks for, in a few words.
        optional: the key may be absent.
        nullable: the value may be null.
    """

    path: Path
    keyword: str
    code: str | None
    expected: str
    optional: bool
    nullable: bool


class SchemaViolation(NamedTuple):
    """A problem at its place: `path` from the document's root, and the offending value."""

    path: Path
    problem: Problem
    value: JSON


_Place: TypeAlias = tuple[Any, ...]
"""A path while it is walked: the place above and the last step, or ``()`` for the root. Most
values are fine, so a whole path is only made of it where something is not: see `_path`.
"""

_Walk: TypeAlias = Callable[[JSON, _Place, list[SchemaViolation], list[Path]], None]


@dataclass(slots=True)  # whose members are read twice as fast as those of a named tuple
class _Verdict:
    """What applies to all objects of one shape.

    Attributes:
        problems: of the object itself.
        unknown: its undocumented keys.
        children: members to look into: key, walk, and whether to walk an empty one.
        is_plain: there are neither problems nor unknown keys.
    """

    problems: tuple[Problem, ...]
    unknown: tuple[str, ...]
    children: tuple[tuple[str, _Walk, bool], ...]
    is_plain: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_plain = not (self.problems or self.unknown)


def json_type(value: JSON) -> str:
    """The name of the JSON type, or of the Python class if it is not one of JSON."""
    return _TYPES.get(type(value), type(value).__name__)


def json_path(path: Path) -> str:
    """``("choices", 0, "index")`` as ``$.choices[0].index``."""
    text = "$"
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif str(step).replace("_", "a").replace("-", "a").isalnum():
            text += f".{step}"
        else:
            text += f"[{json.dumps(str(step), ensure_ascii=False)}]"
    return text


class Node:
    """One place of a compiled schema.

    Attributes:
        schema: in plain JSON Schema.
        types: the JSON types that it admits.
        branches: of a union, else empty.
        properties: of an object.
        items: of a list; ``None`` where any item is fine.
        values: of the members of a map; ``None`` where there is no such map.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.types = _types(schema)
        self.branches = [Node(branch) for branch in schema.get("anyOf", ())]
        properties: dict[str, Schema] = schema.get("properties", {})
        self.properties = {key: Node(sub) for key, sub in properties.items()}
        self.items = _node(schema.get("items"))
        self.values = _node(schema.get("additionalProperties"))
        self._is_object = "object" in self.types and not self.branches
        # Items whose types alone decide, such as the bytes of a token.
        is_plain = not (
            self.branches or self.types & _CONTAINERS or _VALUE_KEYWORDS & schema.keys()
        )
        self._plain_kinds = {kind for kind, name in _TYPES.items() if name in self.types}
        if not is_plain:
            self._plain_kinds.clear()
        # Any other members are fine, and none of them is looked into.
        self._is_open = self.values is None and schema.get("additionalProperties") is not False
        self._tag = _tag(self.branches)
        self._tagged = {} if self._tag is None else _tagged(self.branches, self._tag)
        self._only = {kind: _only(self.branches, name) for kind, name in _TYPES.items()}
        nodes = self.properties.items()
        self._deep = {k: node for k, node in nodes if node.branches or node.types & _CONTAINERS}
        valued = {k: sub for k, sub in properties.items() if _looks_at_value(sub)}
        self._valued = tuple(k for k, sub in valued.items() if _NAMING_KEYWORDS & sub.keys())
        # Numbers and texts within bounds, any of which is as good as another.
        bounded = {k: sub for k, sub in valued.items() if k not in self._valued}
        self._ranges = tuple(
            (k, sub.get("minimum", -math.inf), sub.get("maximum", math.inf))
            for k, sub in bounded.items()
            if _VALUE_KEYWORDS & sub.keys() <= _RANGE_KEYWORDS
        )
        of_ranges = {k for k, _, _ in self._ranges}
        self._within: tuple[tuple[str, Fits | None], ...] = tuple(
            (k, compiled(sub)) for k, sub in bounded.items() if k not in of_ranges
        )
        self._has_bounds = bool(bounded)
        self._is_bounded = any(
            not {"minItems", "maxItems"}.isdisjoint(each)
            for each in (schema, *schema.get("anyOf", ()))
        )
        # With free keys, or a bound on the number of members, the shape decides nothing.
        self._is_memoised = {"propertyNames", "maxProperties"}.isdisjoint(schema)
        self._shallow = _without_containers(schema)
        self._verdicts: dict[Hashable, _Verdict] = {}
        self._known_verdicts: dict[Hashable, _Verdict] = {}  # of objects without unknown keys
        self._fits: Fits | None = None
        self._validator: Callable[[JSON], Iterator[Any]] | None = None

    def violations(self, value: JSON) -> tuple[list[SchemaViolation], list[Path]]:
        """All violations of a document, and the paths of its undocumented members."""
        violations: list[SchemaViolation] = []
        unknown: list[Path] = []
        if self._is_object and type(value) is dict:
            self._walk_object(value, (), violations, unknown)
        else:
            self._walk(value, (), violations, unknown)
        return violations, unknown

    # -- walking -------------------------------------------------------------------------

    def _walk(
        self, value: JSON, place: _Place, violations: list[SchemaViolation], unknown: list[Path]
    ) -> None:
        kind = type(value)
        if self.branches:
            self._walk_union(value, place, violations, unknown)
        elif kind is dict and "object" in self.types:
            self._walk_object(value, place, violations, unknown)
        elif kind is list and "array" in self.types:
            self._walk_list(value, place, violations, unknown)
        elif kind is dict or kind is list:
            violations.append(self._mistyped(place, value))
        else:
            problems = self._verdict_of((kind, value), value).problems
            violations.extend(SchemaViolation(_path(place), problem, value) for problem in problems)

    def _walk_of(self, kind: type) -> _Walk:
        """The walk for a container of a type that this place admits."""
        if self.branches:
            only = self._only[kind]
            return self._walk_union if only is None else only._walk_of(kind)
        return self._walk_object if kind is dict else self._walk_list

    def _walk_object(
        self,
        value: JSONObject,
        place: _Place,
        violations: list[SchemaViolation],
        unknown: list[Path],
    ) -> None:
        parts: list[Hashable] = [*value, *map(type, value.values())]
        for key in self._valued:
            parts.append(value.get(key))
        if self._has_bounds:
            parts += self._out_of_bounds(value)
        shape = tuple(parts)
        try:
            verdict = self._verdicts.get(shape)
        except TypeError:  # a container where a plain value is expected
            shape = tuple(map(_hashable, shape))
            verdict = self._verdicts.get(shape)
        if verdict is None:
            verdict = self._verdict_of_object(value, shape)
        if not verdict.is_plain:
            path = _path(place)
            for problem in verdict.problems:
                offender = _at(value, problem.path)
                violations.append(SchemaViolation(path + problem.path, problem, offender))
            unknown.extend((*path, key) for key in verdict.unknown)
        for key, walk, even_empty in verdict.children:
            child = value[key]
            if child or even_empty:
                walk(child, (place, key), violations, unknown)

    def _out_of_bounds(self, value: JSONObject) -> list[Hashable]:
        """Name and value of each member that is not within its bounds for sure."""
        parts: list[Hashable] = []
        for key, low, high in self._ranges:
            if key in value and (type(at := value[key]) not in _NUMBERS or not low <= at <= high):
                parts += (key, at)
        for key, fits in self._within:
            if key in value and not (fits and fits(value[key])):
                parts += (key, value[key])
        return parts

    def _walk_list(
        self,
        value: list[JSON],
        place: _Place,
        violations: list[SchemaViolation],
        unknown: list[Path],
    ) -> None:
        if self._is_bounded:
            # `_shallow` has no `items`: only the length matters.
            for problem in self._verdict_of(len(value), value).problems:
                violations.append(SchemaViolation(_path(place), problem, value))
        node = self.items
        if node is None or (node._plain_kinds and node._plain_kinds.issuperset(map(type, value))):
            return
        tag, tagged = node._tag, node._tagged
        for index, item in enumerate(value):
            if type(item) is not dict:
                node._walk(item, (place, index), violations, unknown)
            elif node._is_object:
                node._walk_object(item, (place, index), violations, unknown)
            else:
                named = item.get(tag)
                branch = tagged.get(named) if type(named) is str else None
                walk = node._walk if branch is None else branch._walk_object
                walk(item, (place, index), violations, unknown)

    def _walk_union(
        self, value: JSON, place: _Place, violations: list[SchemaViolation], unknown: list[Path]
    ) -> None:
        branch = self._only.get(type(value))
        if branch is None and self._tagged and type(value) is dict:
            named = value.get(self._tag)
            branch = self._tagged.get(named) if type(named) is str else None
        if branch is None:
            kind = json_type(value)
            fitting = [branch for branch in self.branches if kind in branch.types]
            if not fitting:
                violations.append(self._mistyped(place, value))
                return
            if kind == "object" and len(fitting) > 1 and self._tag is not None:
                branch, value = self._branch_by_tag(self._tag, fitting, value, place, violations)
            else:
                branch = fitting[0]
        if branch is None:
            return
        if branch._is_object and type(value) is dict:
            branch._walk_object(value, place, violations, unknown)
        else:
            branch._walk(value, place, violations, unknown)

    def _branch_by_tag(
        self,
        tag: str,
        fitting: list[Node],
        value: JSONObject,
        place: _Place,
        violations: list[SchemaViolation],
    ) -> tuple[Node | None, JSONObject]:
        """The branch that the tag of an object names, and the object to validate by it.

        A tag that no branch has is a violation. Where it is absent, the other members may still
        tell which branch is meant, and the object is validated with the tag of that branch.
        """
        constant = {id(branch): branch.schema["properties"][tag] for branch in fitting}
        for branch in fitting:
            if _admits(constant[id(branch)], value.get(tag)):
                return branch, value
        values: list[JSON] = []
        for sub in constant.values():
            values += sub.get("enum", [sub.get("const")])
        keyword = "required" if value.get(tag) is None else "enum"
        expected = "one of " + ", ".join(map(json.dumps, dict.fromkeys(values)))
        code = _code(constant[id(fitting[0])], keyword)
        problem = Problem((tag,), keyword, code, expected, False, False)
        violations.append(SchemaViolation((*_path(place), tag), problem, value.get(tag)))
        if tag not in value:
            for branch in fitting:
                if all(k in value for k in branch.schema.get("required", ()) if k != tag):
                    sub = constant[id(branch)]
                    named = sub.get("const", sub.get("enum", [None])[0])
                    return branch, {**value, tag: named}
        return None, value

    def _mistyped(self, place: _Place, value: JSON) -> SchemaViolation:
        expected, code = _expected(self.schema), _code(self.schema, "type")
        problem = Problem((), "type", code, expected, False, False)
        return SchemaViolation(_path(place), problem, value)

    # -- verdicts ------------------------------------------------------------------------

    def _verdict_of(self, shape: Hashable, value: JSON) -> _Verdict:
        """The verdict on a plain value, or on the length of a list."""
        verdict = self._verdicts.get(shape)
        if verdict is None:
            verdict = _Verdict(tuple(self._problems(value)), (), ())
            _remember(self._verdicts, shape, verdict)
        return verdict

    def _verdict_of_object(self, value: JSONObject, shape: tuple[Hashable, ...]) -> _Verdict:
        properties = self.properties
        known = {key: member for key, member in value.items() if key in properties}
        if len(known) == len(value) or not self._is_open:
            verdict = self._validated(value)
        else:
            # The known members have one verdict, whichever unknown ones are beside them.
            valued = shape[2 * len(value) :]
            known_shape = (*known, *map(type, known.values()), *valued)
            remembered = self._known_verdicts.get(known_shape)
            if remembered is None:
                remembered = self._validated(known)
                _remember(self._known_verdicts, known_shape, remembered)
            unknown = tuple([k for k in value if k not in known]) if properties else ()
            verdict = _Verdict(remembered.problems, unknown, remembered.children)
        if self._is_memoised:
            _remember(self._verdicts, shape, verdict)
        return verdict

    def _validated(self, value: JSONObject) -> _Verdict:
        children: list[tuple[str, _Walk, bool]] = [
            (key, node._walk_of(type(value[key])), type(value[key]) is dict or node._is_bounded)
            for key, node in self._deep.items()
            if isinstance(value.get(key), dict | list) and json_type(value[key]) in node.types
        ]
        if self.values is not None:
            others = (key for key in value if key not in self.properties)
            children += [(key, self.values._walk, True) for key in others]
        return _Verdict(tuple(self._problems(value)), (), tuple(children))

    def _problems(self, value: JSON) -> Iterator[Problem]:
        if self._fits is None:
            self._fits = compiled(self._shallow)
            assert self._fits is not None, "our schemas have a keyword that is not plain"
        if self._fits(value):
            return
        if self._validator is None:
            self._validator = _validator_class()(self._shallow).iter_errors
        errors = list(self._validator(value))
        mistyped = {tuple(e.absolute_path) for e in errors if e.validator == "type"}
        for error in errors:
            path = tuple(error.absolute_path)
            keyword = str(error.validator)
            if keyword not in ("type", "required") and path in mistyped:
                continue  # one cause: a value of the wrong type is in no enum either
            leaf: Schema = error.schema
            if keyword == "required":
                missing = error.message.split("'")[1]
                leaf = self._shallow["properties"][missing]
                path = (*path, missing)
            elif keyword == "anyOf":
                keyword = "enum"
            elif keyword == "type" and error.instance is None:
                keyword = "null"
            yield Problem(
                path=path,
                keyword=keyword,
                code=_code(leaf, keyword),
                expected=leaf.get("x-expected") or _expected(leaf),
                optional=bool(path) and path[-1] not in self._shallow.get("required", ()),
                nullable="null" in _types({k: v for k, v in leaf.items() if k != "anyOf"}),
            )


def _node(schema: Any) -> Node | None:
    return Node(schema) if isinstance(schema, dict) else None


def _only(branches: list[Node], name: str) -> Node | None:
    """The branch of a union that admits a type, where there is exactly one."""
    fitting = [branch for branch in branches if name in branch.types]
    return fitting[0] if len(fitting) == 1 else None


def _tag(branches: list[Node]) -> str | None:
    """The property that tells the object branches of a union apart."""
    properties = [b.schema.get("properties", {}) for b in branches if "object" in b.types]
    if len(properties) < 2:
        return None
    for key in properties[0]:
        if all({"const", "enum"} & sub.get(key, {}).keys() for sub in properties):
            return str(key)
    return None


def _tagged(branches: list[Node], tag: str) -> dict[str, Node]:
    """The object branches of a union by the values of their tag, the first where several fit."""
    by_value: dict[str, Node] = {}
    for branch in branches:
        if "object" in branch.types:
            constant = branch.schema["properties"][tag]
            values = [constant["const"]] if "const" in constant else constant["enum"]
            for value in values:
                if isinstance(value, str):
                    by_value.setdefault(value, branch)
    return by_value


def _remember(memo: dict[Hashable, _Verdict], shape: Hashable, verdict: _Verdict) -> None:
    if len(memo) >= MEMO_LIMIT:
        memo.clear()
    memo[shape] = verdict


def _hashable(value: JSON) -> Hashable:
    return type(value) if isinstance(value, dict | list) else value


def _path(place: _Place) -> Path:
    steps: list[str | int] = []
    while place:
        place, step = place
        steps.append(step)
    return tuple(reversed(steps))


def _at(value: JSON, path: Path) -> JSON:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


# -- what a schema says ------------------------------------------------------------------


def _types(schema: Schema) -> frozenset[str]:
    if "anyOf" in schema:
        return frozenset().union(*(_types(branch) for branch in schema["anyOf"]))
    named = schema.get("type")
    if named is None:
        values = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if values is None:
            return frozenset(_TYPES.values())
        return frozenset(json_type(v) for v in values)
    types = frozenset([named] if isinstance(named, str) else named)
    return types | {"integer"} if "number" in types else types


def _code(schema: Schema, keyword: str) -> str | None:
    rule = schema.get("x-rule")
    return rule.get(keyword) if isinstance(rule, dict) else rule


def _admits(schema: Schema, value: JSON) -> bool:
    if "const" in schema:
        return bool(schema["const"] == value)
    return value in schema.get("enum", ())


_PHRASES = (
    ("maxLength", "of at most {} characters"),
    ("maxProperties", "with at most {} members"),
    ("pattern", "matching {}"),
)


def _expected(schema: Schema) -> str:
    """What a schema asks for, in a few words."""
    if "const" in schema:
        return json.dumps(schema["const"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_expected(branch) for branch in schema["anyOf"]))
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    text = " or ".join(_expected_kinds(schema, types)) or "any value"
    if "minimum" in schema and "maximum" in schema:
        text += f" from {schema['minimum']} to {schema['maximum']}"
    least, most = schema.get("minItems"), schema.get("maxItems")
    if most is not None:
        text += f" with {least or 0} to {most} items"
    elif least is not None:
        text += f" with at least {plural(least, 'item')}"
    for keyword, phrase in _PHRASES:
        if keyword in schema:
            text += " " + phrase.format(schema[keyword])
    return text + (" or null" if "null" in types or None in schema.get("enum", ()) else "")


def _expected_kinds(schema: Schema, types: Iterable[str]) -> list[str]:
    words = [name for name in types if name != "null"]
    if "enum" not in schema:
        return words
    values = [json.dumps(value) for value in schema["enum"] if value is not None]
    listed = f"one of {', '.join(values)}" if len(values) > 1 else values[0]
    return [listed, *(word for word in words if word not in ("string", "integer"))]


def _without_containers(schema: Schema) -> Schema:
    """The schema by which an object is validated while its members are not looked into."""
    properties = schema.get("properties", {})
    shallow = {k: v for k, v in schema.items() if k not in ("items", "anyOf", "default")}
    shallow["properties"] = {key: _by_type(sub) for key, sub in properties.items()}
    if isinstance(schema.get("additionalProperties"), dict):
        shallow["additionalProperties"] = True
    return shallow


def _by_type(schema: Schema) -> Schema:
    """A child as its parent's validation sees it: leaves whole, containers by their type."""
    types = _types(schema)
    if "anyOf" not in schema and not types & _CONTAINERS:
        return schema
    shallow: Schema = {"type": sorted(types), "x-expected": _expected(schema)}
    if "x-rule" in schema:
        shallow["x-rule"] = schema["x-rule"]
    plain = [b for b in schema.get("anyOf", ()) if not _types(b) & _CONTAINERS]
    if "enum" in schema:
        plain.append({"enum": schema["enum"]})
    if any(_VALUE_KEYWORDS & branch.keys() for branch in plain):
        # "One of these strings, or an object": the object is validated on its own.
        shallow["anyOf"] = [{"type": ["object", "array"]}, *plain]
    return shallow


def _looks_at_value(schema: Schema) -> bool:
    """Whether the verdict on a member depends on its value."""
    return not _VALUE_KEYWORDS.isdisjoint(schema) or "anyOf" in _by_type(schema)


@cache
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    # JSON Schema calls 5.0 an integer; clients that read into an int do not.
    checker = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: type(value) is int
    )
    return extend(  # type: ignore[no-untyped-call]
        Draft202012Validator, type_checker=checker
    )
