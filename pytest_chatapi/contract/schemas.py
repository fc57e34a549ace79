"""Loads ``schemas/`` and judges JSON values by them, fast.

jsonschema is the only validator. It judges one object at a time with the containers inside
it cut off, and its verdict is remembered for the object's shape: its keys, the types of its
values, and the values themselves where the schema looks at them (derived from the schema,
never typed by hand). Two objects of one shape get one verdict, so a stream of 10,000 chunks
costs a handful of validations, also when every line as a whole differs.

The dialect of ``schemas/`` on top of JSON Schema 2020-12:

``x-since``, ``x-until``  first and last day on which a property is documented
``x-enum-since``          first day of an enum value
``x-before``              day -> keywords that held before that day instead
``x-rule``                code that reports a violation; by failing keyword, or for all of them
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache
from typing import Any, NamedTuple

from pytest_chatapi.contract.bundled import bundled

__all__ = ["Problem", "SchemaViolation", "document", "json_path", "json_type", "load"]

Path = tuple[str | int, ...]
_MEMO_LIMIT = 4096
_TYPES = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}
# Keywords whose verdict depends on the value and not only on its type.
_VALUE_KEYWORDS = frozenset("enum const minimum maximum minLength maxLength pattern".split())


class Problem(NamedTuple):
    """A violation without its value, as it can be remembered for a shape."""

    path: Path
    keyword: str
    code: str | None
    expected: str
    optional: bool
    nullable: bool


class SchemaViolation(NamedTuple):
    """A problem at its place: `path` from the document's root, `value` the offender."""

    path: Path
    problem: Problem
    value: Any


class _Verdict(NamedTuple):
    problems: tuple[Problem, ...]
    unknown: tuple[str, ...]
    children: tuple[tuple[str, Node], ...]


def json_type(value: Any) -> str:
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


@cache
def document(name: str) -> dict[str, Any]:
    """The schema file ``schemas/<name>.json`` as it stands there."""
    text = (bundled("schemas") / f"{name}.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@cache
def load(name: str, as_of: date | None = None) -> Node:
    """The compiled schema of a document, as documented on that day (``None``: today's)."""
    root = document(name)
    plain = _resolve(root, name, as_of.isoformat() if as_of else "9999-12-31")
    assert plain is not None
    return Node(plain)


def _resolve(schema: dict[str, Any], home: str, day: str) -> dict[str, Any] | None:
    """The schema of that day with every ``$ref`` put in place; ``None`` where not documented."""
    if "$ref" in schema:
        file, _, pointer = schema["$ref"].partition("#")
        target_home = file.removesuffix(".json") or home
        target: Any = document(target_home)
        for step in pointer.strip("/").split("/") if pointer else ():
            target = target[step]
        beside = {k: v for k, v in schema.items() if k != "$ref"}
        if beside.get("x-since", "") > day or beside.get("x-until", "9999-99") <= day:
            return None
        resolved = _resolve(target, target_home, day)
        return None if resolved is None else {**resolved, **beside}
    if schema.get("x-since", "") > day or schema.get("x-until", "9999-99") <= day:
        return None
    plain = {k: v for k, v in schema.items() if k not in ("$defs", "$schema", "$id", "title")}
    for until in sorted(plain.pop("x-before", {}), reverse=True):
        if day < until:
            plain.update(schema["x-before"][until])
    for value, since in plain.pop("x-enum-since", {}).items():
        if since > day:
            plain["enum"] = [v for v in plain["enum"] if v != value]
    if "properties" in plain:
        plain["properties"] = {
            key: resolved
            for key, sub in plain["properties"].items()
            if (resolved := _resolve(sub, home, day)) is not None
        }
        plain["required"] = [k for k in plain.get("required", ()) if k in plain["properties"]]
    for keyword in ("items", "additionalProperties", "propertyNames"):
        if isinstance(plain.get(keyword), dict):
            plain[keyword] = _resolve(plain[keyword], home, day)
    if "anyOf" in plain:
        branches = (_resolve(branch, home, day) for branch in plain["anyOf"])
        plain["anyOf"] = [branch for branch in branches if branch is not None]
    return plain


def _types(schema: dict[str, Any]) -> frozenset[str]:
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


def _expected(schema: dict[str, Any]) -> str:
    """What a schema asks for, in few words."""
    if "const" in schema:
        return json.dumps(schema["const"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_expected(branch) for branch in schema["anyOf"]))
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else list(types)
    words = [t for t in types if t != "null"]
    if "enum" in schema:
        values = [json.dumps(v) for v in schema["enum"] if v is not None]
        words = [f"one of {', '.join(values)}" if len(values) > 1 else values[0]] + [
            w for w in words if w not in ("string", "integer")
        ]
    text = " or ".join(words) or "any value"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        text += f" from {low} to {high}"
    for keyword, phrase in (
        ("maxLength", "of at most {} characters"),
        ("minItems", "with at least {} item(s)"),
        ("maxItems", "with at most {} items"),
        ("maxProperties", "with at most {} members"),
        ("pattern", "matching {}"),
    ):
        if keyword in schema:
            text += " " + phrase.format(schema[keyword])
    return text + (" or null" if "null" in types or None in schema.get("enum", ()) else "")


def _shallow(schema: dict[str, Any]) -> dict[str, Any]:
    """A child as its parent's validation sees it: leaves whole, containers by their type."""
    types = _types(schema)
    if "anyOf" in schema or types & {"object", "array"}:
        kept: dict[str, Any] = {"type": sorted(types)}
        if "x-rule" in schema:
            kept["x-rule"] = schema["x-rule"]
        kept["x-expected"] = _expected(schema)
        plain = [b for b in schema.get("anyOf", ()) if not _types(b) & {"object", "array"}]
        if "enum" in schema:
            plain.append({"enum": schema["enum"]})
        if any(_VALUE_KEYWORDS & branch.keys() for branch in plain):
            # "One of these strings, or an object": the object is judged by itself.
            kept["anyOf"] = [{"type": ["object", "array"]}, *plain]
        return kept
    return schema


def _code(schema: dict[str, Any], keyword: str) -> str | None:
    rule = schema.get("x-rule")
    return rule.get(keyword) if isinstance(rule, dict) else rule


class Node:
    """One place of a compiled schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        self.types = _types(schema)
        self.branches = [Node(branch) for branch in schema.get("anyOf", ())]
        self.tag = self._tag()
        properties: dict[str, dict[str, Any]] = schema.get("properties", {})
        self.properties = {key: Node(sub) for key, sub in properties.items()}
        self.deep = {
            key: node
            for key, node in self.properties.items()
            if node.branches or node.types & {"object", "array"}
        }
        self.valued = tuple(
            key
            for key, sub in properties.items()
            if _VALUE_KEYWORDS & sub.keys() or "anyOf" in _shallow(sub)
        )
        items = schema.get("items")
        self.items = Node(items) if isinstance(items, dict) else None
        values = schema.get("additionalProperties")
        self.values = Node(values) if isinstance(values, dict) else None
        # A map with free keys, or a bound on the number of members: shape says nothing.
        self.memoised = not ({"propertyNames", "maxProperties"} & schema.keys())
        self.shallow = {
            **{k: v for k, v in schema.items() if k not in ("items", "anyOf", "default")},
            "properties": {key: _shallow(sub) for key, sub in properties.items()},
        }
        if self.values is not None:
            self.shallow["additionalProperties"] = True
        # The branch of a union for a type that only one branch admits.
        self._only: dict[type, Node] = {}
        for kind, name in _TYPES.items():
            fitting = [b for b in self.branches if name in b.types]
            if len(fitting) == 1:
                self._only[kind] = fitting[0]
        self.bounded = not {"minItems", "maxItems"}.isdisjoint(schema)
        # Items whose types alone decide: the bytes of a token.
        self.plain = not (
            self.branches or self.types & {"object", "array"} or _VALUE_KEYWORDS & schema.keys()
        )
        self.kinds = {kind for kind, name in _TYPES.items() if name in self.types}
        self._seen: dict[Any, _Verdict] = {}
        self._known: dict[Any, _Verdict] = {}
        self._validator: Callable[[Any], Iterator[Any]] | None = None

    def _tag(self) -> str | None:
        """The property that tells the object branches of a union apart."""
        objects = [b for b in self.branches if "object" in b.types]
        if len(objects) < 2:
            return None
        for key in objects[0].schema.get("properties", {}):
            if all(
                {"const", "enum"} & b.schema.get("properties", {}).get(key, {}).keys()
                for b in objects
            ):
                return str(key)
        return None

    def violations(self, value: Any) -> tuple[list[SchemaViolation], list[Path]]:
        """All violations of a document, and the paths of its undocumented members."""
        found: list[SchemaViolation] = []
        unknown: list[Path] = []
        self.walk(value, (), found, unknown, self.types)
        return found, unknown

    def walk(
        self,
        value: Any,
        path: Path,
        found: list[SchemaViolation],
        unknown: list[Path],
        expected_types: frozenset[str] | None = None,
    ) -> None:
        kind = type(value)
        if self.branches:
            self._walk_union(value, path, found, unknown)
            return
        if kind is dict:
            if expected_types is not None and "object" not in expected_types:
                found.append(self._mistyped(path, value))
                return
            shape: Any = (*value, *map(type, value.values()), *map(value.get, self.valued))
            try:
                verdict = self._seen.get(shape)
            except TypeError:  # a container where a plain value may stand
                shape = tuple(map(_hashable, shape))
                verdict = self._seen.get(shape)
            if verdict is None:
                verdict = self._judge(value, shape)
            if verdict.problems:
                for problem in verdict.problems:
                    offender: Any = value
                    for step in problem.path:
                        offender = offender.get(step) if isinstance(offender, dict) else None
                    found.append(SchemaViolation(path + problem.path, problem, offender))
            if verdict.unknown:
                unknown.extend((*path, key) for key in verdict.unknown)
            for key, node in verdict.children:
                child = value[key]
                if child or node.bounded or type(child) is dict:
                    node.walk(child, (*path, key), found, unknown)
            if self.values is not None:
                for key, member in value.items():
                    if key not in self.properties:
                        self.values.walk(member, (*path, key), found, unknown, self.values.types)
        elif kind is list:
            if expected_types is not None and "array" not in expected_types:
                found.append(self._mistyped(path, value))
                return
            if self.bounded:
                for problem in self._length_problems(value):
                    found.append(SchemaViolation(path, problem, value))
            if (node_ := self.items) is not None:
                self._walk_items(node_, value, path, found, unknown)
        elif expected_types is not None and self._scalar_problems(value):
            found.extend(SchemaViolation(path, p, value) for p in self._scalar_problems(value))

    def _walk_items(
        self,
        node: Node,
        value: list[Any],
        path: Path,
        found: list[SchemaViolation],
        unknown: list[Path],
    ) -> None:
        if node.plain and node.kinds.issuperset(map(type, value)):
            return
        for index, item in enumerate(value):
            node.walk(item, (*path, index), found, unknown, node.types)

    def _length_problems(self, value: list[Any]) -> tuple[Problem, ...]:
        # `shallow` has no `items`: only the length matters.
        verdict = self._seen.get(len(value))
        if verdict is None:
            verdict = _Verdict(tuple(self._errors(value, self.shallow)), (), ())
            self._remember(self._seen, len(value), verdict)
        return verdict.problems

    def _scalar_problems(self, value: Any) -> list[Problem]:
        shape = (type(value), value)
        verdict = self._seen.get(shape)
        if verdict is None:
            verdict = _Verdict(tuple(self._errors(value, self.shallow)), (), ())
            self._remember(self._seen, shape, verdict)
        return list(verdict.problems)

    def _mistyped(self, path: Path, value: Any) -> SchemaViolation:
        problem = Problem(
            (), "type", _code(self.schema, "type"), _expected(self.schema), False, False
        )
        return SchemaViolation(path, problem, value)

    def _walk_union(
        self, value: Any, path: Path, found: list[SchemaViolation], unknown: list[Path]
    ) -> None:
        only = self._only.get(type(value))
        if only is not None:
            only.walk(value, path, found, unknown, only.types)
            return
        kind = json_type(value)
        fitting = [b for b in self.branches if kind in b.types]
        if kind == "object" and len(fitting) > 1 and self.tag is not None:
            tag = value.get(self.tag)
            tagged = [b for b in fitting if _admits(b.schema["properties"][self.tag], tag)]
            if not tagged:
                subs = [b.schema["properties"][self.tag] for b in fitting]
                values: list[Any] = []
                for sub in subs:
                    values += sub.get("enum", [sub.get("const")])
                present = self.tag in value
                keyword = "enum" if present and tag is not None else "required"
                expected = "one of " + ", ".join(map(json.dumps, dict.fromkeys(values)))
                problem = Problem(
                    (self.tag,), keyword, _code(subs[0], keyword), expected, False, False
                )
                found.append(SchemaViolation((*path, self.tag), problem, tag))
                if not present:  # the members may still tell which branch is meant
                    tagged = [
                        b
                        for b in fitting
                        if all(k in value for k in b.schema.get("required", ()) if k != self.tag)
                    ]
                    mended = {**value, self.tag: None}
                    if tagged:
                        sub = tagged[0].schema["properties"][self.tag]
                        mended[self.tag] = sub.get("const", sub.get("enum", [None])[0])
                        tagged[0].walk(mended, path, found, unknown, tagged[0].types)
                return
            fitting = tagged
        if not fitting:
            found.append(self._mistyped(path, value))
            return
        fitting[0].walk(value, path, found, unknown, fitting[0].types)

    def _judge(self, value: dict[str, Any], shape: Any) -> _Verdict:
        known = {k: v for k, v in value.items() if k in self.properties}
        if len(known) == len(value) or self.values is not None:
            verdict = self._validate(value)
        else:
            known_shape = (
                *known,
                *map(type, known.values()),
                *[_hashable(value.get(key)) for key in self.valued],
            )
            remembered = self._known.get(known_shape)
            if remembered is None:
                remembered = self._validate(known)
                self._remember(self._known, known_shape, remembered)
            extra = tuple(k for k in value if k not in known) if self.properties else ()
            verdict = _Verdict(remembered.problems, extra, remembered.children)
            if self.schema.get("additionalProperties") is False:
                verdict = self._validate(value)
        if self.memoised:
            self._remember(self._seen, shape, verdict)
        return verdict

    def _validate(self, value: dict[str, Any]) -> _Verdict:
        children = tuple(
            (key, node)
            for key, node in self.deep.items()
            if isinstance(value.get(key), dict | list) and json_type(value[key]) in node.types
        )
        return _Verdict(tuple(self._errors(value, self.shallow)), (), children)

    @staticmethod
    def _remember(memo: dict[Any, _Verdict], shape: Any, verdict: _Verdict) -> None:
        if len(memo) >= _MEMO_LIMIT:
            memo.clear()
        memo[shape] = verdict

    def _errors(self, value: Any, schema: dict[str, Any]) -> Iterator[Problem]:
        if self._validator is None:
            self._validator = _validator_class()(schema).iter_errors
        errors = list(self._validator(value))
        mistyped = {tuple(e.absolute_path) for e in errors if e.validator == "type"}
        for error in errors:
            path = tuple(error.absolute_path)
            keyword = str(error.validator)
            if keyword != "type" and keyword != "required" and path in mistyped:
                continue  # one cause: a value of the wrong type is in no enum either
            leaf: Any = error.schema
            if keyword == "required":
                missing = error.message.split("'")[1]
                leaf = schema["properties"][missing]
                path = (*path, missing)
            if keyword == "anyOf":
                keyword = "enum"
            if keyword == "type" and error.instance is None:
                keyword = "null"
            key = path[-1] if path else None
            yield Problem(
                path=path,
                keyword=keyword,
                code=_code(leaf, keyword),
                expected=leaf.get("x-expected") or _expected(leaf),
                optional=key is not None and key not in schema.get("required", ()),
                nullable="null" in _types({k: v for k, v in leaf.items() if k != "anyOf"}),
            )


def _hashable(value: Any) -> Any:
    return type(value) if isinstance(value, dict | list) else value


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


def _admits(schema: dict[str, Any], value: Any) -> bool:
    if "const" in schema:
        return bool(schema["const"] == value)
    return value in schema.get("enum", ())
