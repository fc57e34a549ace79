"""Field lists of the openai SDK's types and of ``schemas/``, and what differs between them.

Both sides become a table from path to `Field`. A path spells lists as ``[]``, values of a map
as ``{}``, and the branch of a tagged union by its tag: ``$.messages[]<user>.content[]<text>``.
The types are read from their annotations, so nothing is built or validated.
"""

from __future__ import annotations

import collections.abc
import json
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import typing_extensions

__all__ = ["RELEASES", "Field", "differences", "release_day", "schema_fields", "sdk_fields"]

Loader = Callable[[str], dict[str, Any]]

# Releases that changed a shape, and the first of each line. A version between two of them
# knows what was documented by the day of the earlier one.
RELEASES = {
    (2, 0, 0): "2025-09-30",
    (3, 0, 0): "2026-08-12",
    (3, 6, 0): "2026-08-27",
    (3, 7, 0): "2026-09-02",
    (3, 9, 0): "2026-09-05",
    (3, 23, 0): "2026-10-01",
    (3, 26, 0): "2026-10-06",
    (3, 29, 0): "2026-10-11",
    (3, 38, 0): "2026-10-25",
    (3, 54, 0): "2026-11-17",
}
_LATEST = max(RELEASES)
_TYPES = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}
_ANY = frozenset({"any"})
_LISTS = (list, collections.abc.Iterable, collections.abc.Sequence)
_MAPS = (dict, collections.abc.Mapping)


def release_day(version: str) -> str:
    """The day up to which this SDK version must know what is documented."""
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if numbers > _LATEST:
        return "9999-12-31"
    return max((day for release, day in RELEASES.items() if release <= numbers), default="")


@dataclass
class Field:
    """What is known about one path."""

    types: frozenset[str]
    enum: frozenset[Any] | None = None
    required: bool | None = None  # None: the SDK does not tell
    since: str = ""
    observed: bool = False  # sent, or documented once: may say more than the SDK does
    enum_since: dict[Any, str] = field(default_factory=dict)
    types_since: dict[str, str] = field(default_factory=dict)
    former_values: frozenset[Any] = frozenset()
    # The last day on which this changed: an SDK of before knows it as it was.
    enum_changed: str = ""
    required_changed: str = ""
    nullable_changed: str = ""


Fields = dict[str, Field]


def _note(fields: Fields, path: str, new: Field) -> None:
    """Adds a field; the same path in another branch of an untagged union is merged."""
    old = fields.get(path)
    if old is None:
        fields[path] = new
        return
    old.types |= new.types
    old.enum = None if old.enum is None or new.enum is None else old.enum | new.enum
    old.required = None if None in (old.required, new.required) else (old.required and new.required)


# --- the SDK ---------------------------------------------------------------------------


def sdk_fields(annotation: Any) -> Fields:
    """The fields below a type of the SDK: a pydantic model, a TypedDict, or a union of them."""
    fields: Fields = {}
    for branch in _branches(annotation):
        _sdk_below(branch, "$", fields)
    return fields


def _strip(annotation: Any) -> Any:
    """The type inside ``Annotated``, ``Required``, ``NotRequired`` and type aliases."""
    while True:
        origin = typing.get_origin(annotation)
        if origin in (
            typing.Annotated,
            typing.Required,
            typing.NotRequired,
            typing_extensions.Required,
            typing_extensions.NotRequired,
        ):
            annotation = typing.get_args(annotation)[0]
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        else:
            return annotation


def _branches(annotation: Any) -> list[Any]:
    annotation = _strip(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [b for arg in typing.get_args(annotation) for b in _branches(arg)]
    return [annotation]


def _is_literal(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Literal, typing_extensions.Literal)


def _is_object(annotation: Any) -> bool:
    return hasattr(annotation, "model_fields") or typing_extensions.is_typeddict(annotation)


def _list_item(annotation: Any) -> list[Any] | None:
    origin = typing.get_origin(annotation)
    name = getattr(origin, "__name__", "")
    if origin in _LISTS or name == "SequenceNotStr":
        return list(typing.get_args(annotation))
    return None


def _json_types(branch: Any) -> frozenset[str]:
    if branch in (Any, object):
        return _ANY
    if _is_literal(branch):
        return frozenset(_TYPES[type(value)] for value in typing.get_args(branch))
    if branch in _TYPES:
        return frozenset({_TYPES[branch]})
    if _is_object(branch) or branch is dict or typing.get_origin(branch) in _MAPS:
        return frozenset({"object"})
    if _list_item(branch) is not None:
        return frozenset({"array"})
    raise TypeError(f"the SDK uses a type this walker does not know: {branch!r}")


def _sdk_at(annotation: Any, path: str, required: bool | None, fields: Fields) -> None:
    """Notes the field at `path` and what is below it."""
    branches = _branches(annotation)
    kinds: frozenset[str] = frozenset().union(*map(_json_types, branches))
    if kinds & _ANY:
        kinds = _ANY
    literals = [b for b in branches if _is_literal(b)]
    enum = None
    if literals and str not in branches:
        enum = frozenset(v for b in literals for v in typing.get_args(b)) - {None}
    if enum and all(isinstance(value, bool) for value in enum):
        enum = None
    _note(fields, path, Field(kinds, enum, required))
    objects = [b for b in branches if _is_object(b)]
    for branch in branches:
        item = _list_item(branch)
        if item:
            _sdk_at(item[0], f"{path}[]", None, fields)
        elif typing.get_origin(branch) in _MAPS:
            value = typing.get_args(branch)[1]
            if value not in (Any, object):
                _sdk_at(value, f"{path}{{}}", None, fields)
        elif _is_object(branch):
            tag = _sdk_tag(branch) if len(objects) > 1 else ""
            _sdk_below(branch, path + tag, fields)


def _members(branch: Any) -> Iterator[tuple[str, Any, bool | None]]:
    """Name, annotation and required-ness of an object type's members."""
    if typing_extensions.is_typeddict(branch):
        hints = typing_extensions.get_type_hints(branch, include_extras=True)
        marks: tuple[Any, ...] = (typing.Required, typing_extensions.Required)
        for name, hint in hints.items():
            yield name, hint, typing.get_origin(hint) in marks
        return
    required: dict[str, bool | None] = {}
    for cls in reversed(branch.__mro__):  # each class orders its own fields
        names = [n for n in getattr(cls, "model_fields", ()) if n not in required]
        required.update(_by_order(names, branch))
    for name, info in branch.model_fields.items():
        yield info.alias or name, info.annotation, required[name]


def _by_order(names: list[str], model: Any) -> dict[str, bool | None]:
    """Which fields of a generated class are required, told by their order.

    A required field that may be null has the default ``None`` like an optional one. But the
    generator writes the required fields first and the optional ones after them, each group
    with ``id`` and ``token`` in front and the rest by the alphabet. Where the seam between
    the two groups is not certain, neither is the answer.
    """

    def sorts(group: list[str]) -> bool:
        return group == sorted(group, key=lambda name: (name not in ("id", "token"), name))

    def never_absent(name: str) -> bool:
        return bool(model.model_fields[name].is_required())

    seams = [
        seam
        for seam in range(len(names) + 1)
        if sorts(names[:seam]) and sorts(names[seam:]) and not any(map(never_absent, names[seam:]))
    ]
    if not seams:  # not in the generator's order: a default is all there is to see
        return {name: True if never_absent(name) else None for name in names}
    return {
        name: True
        if place < seams[0] or never_absent(name)
        else (False if place >= seams[-1] else None)
        for place, name in enumerate(names)
    }


def _sdk_tag(branch: Any) -> str:
    for name, hint, _ in _members(branch):
        hint = _strip(hint)
        if name in ("type", "role") and _is_literal(hint):
            return f"<{typing.get_args(hint)[0]}>"
    return ""


def _sdk_below(branch: Any, path: str, fields: Fields) -> None:
    for name, hint, required in _members(branch):
        _sdk_at(hint, f"{path}.{name}", required, fields)


# --- the schema files ------------------------------------------------------------------


def schema_fields(name: str, load: Loader, pointer: str = "") -> Fields:
    """The fields of ``schemas/<name>.json``, or of a part of it."""
    fields: Fields = {}
    schema, home = _resolve({"$ref": f"{name}.json#{pointer}"}, name, load)
    _schema_below(schema, home, "$", "", load, fields)
    return fields


def _resolve(schema: dict[str, Any], home: str, load: Loader) -> tuple[dict[str, Any], str]:
    while "$ref" in schema:
        file, _, pointer = schema["$ref"].partition("#")
        home = file.removesuffix(".json") or home
        target: Any = load(home)
        for step in pointer.strip("/").split("/") if pointer.strip("/") else ():
            target = target[step]
        schema = {**target, **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema, home


def _schema_branches(
    schema: dict[str, Any], home: str, load: Loader
) -> list[tuple[dict[str, Any], str]]:
    schema, home = _resolve(schema, home, load)
    if "anyOf" in schema:
        return [b for branch in schema["anyOf"] for b in _schema_branches(branch, home, load)]
    return [(schema, home)]


def _named_types(schema: dict[str, Any]) -> frozenset[str]:
    if "const" in schema:
        return frozenset({_TYPES[type(schema["const"])]})
    named = schema.get("type", "any")
    return frozenset([named] if isinstance(named, str) else named)


def _schema_at(
    schema: dict[str, Any],
    home: str,
    path: str,
    required: bool | None,
    since: str,
    load: Loader,
    fields: Fields,
    *,
    required_changed: str = "",
) -> None:
    outer, home = _resolve(schema, home, load)
    since = max(since, outer.get("x-since", ""))
    branches = _schema_branches(outer, home, load)
    kinds: frozenset[str] = frozenset().union(*(_named_types(b) for b, _ in branches))
    enums = [
        b["enum"] if "enum" in b else [b["const"]] if "const" in b else None
        for b, _ in branches
        if "string" in _named_types(b)
    ]
    enum = None
    if enums and None not in enums:
        enum = frozenset(v for values in enums for v in values or ()) - {None}
    before = outer.get("x-before", {})

    def last_change(*keywords: str) -> str:
        return max((d for d, old in before.items() if old.keys() & {*keywords}), default="")

    found = Field(kinds, enum, required, since)
    found.observed = "x-observed" in outer or "x-until" in outer
    found.former_values = frozenset(v for old in before.values() for v in old.get("enum", ()))
    found.enum_changed = last_change("enum")
    found.nullable_changed = last_change("type", "anyOf")
    found.required_changed = required_changed
    for branch, _ in branches:
        found.enum_since.update(branch.get("x-enum-since", {}))
        for kind in _named_types(branch):
            found.types_since[kind] = min(
                found.types_since.get(kind, "9999"), branch.get("x-since", "")
            )
    _note(fields, path, found)
    objects = [b for b, _ in branches if "object" in _named_types(b)]
    for branch, place in branches:
        inner = max(since, branch.get("x-since", ""))
        if "items" in branch:
            _schema_at(branch["items"], place, f"{path}[]", None, inner, load, fields)
        if isinstance(values := branch.get("additionalProperties"), dict):
            _schema_at(values, place, f"{path}{{}}", None, inner, load, fields)
        tag = ""
        if len(objects) > 1:
            for key in ("type", "role"):
                if "const" in branch.get("properties", {}).get(key, {}):
                    tag = f"<{branch['properties'][key]['const']}>"
        _schema_below(branch, place, path + tag, inner, load, fields)


def _schema_below(
    schema: dict[str, Any], home: str, path: str, since: str, load: Loader, fields: Fields
) -> None:
    before = schema.get("x-before", {})
    changed = max((day for day, old in before.items() if "required" in old), default="")
    for name, member in schema.get("properties", {}).items():
        _schema_at(
            member,
            home,
            f"{path}.{name}",
            name in schema.get("required", ()),
            since,
            load,
            fields,
            required_changed=changed,
        )


# --- the difference --------------------------------------------------------------------


def differences(
    name: str, schema: Fields, sdk: Fields, day: str, *, null_is_loose: bool
) -> Iterator[tuple[str, str, str]]:
    """What the two tables disagree on: path, aspect, and a sentence for a person.

    `day` is what the SDK has to know. `null_is_loose`: the SDK's response models take null for
    every optional field, which says nothing; its request types mean it.
    """
    file = f"schemas/{name}.json"
    for path in [p for p in sdk if p not in schema]:
        if not _below_another(path, [p for p in sdk if p not in schema]):
            yield path, "absent", f"the SDK has {path}, {file} has not"
    missing = [p for p, f in schema.items() if p not in sdk]
    for path in missing:
        known = schema[path]
        if known.observed or known.since > day or _below_another(path, missing):
            continue
        yield path, "absent", f"{file} has {path}, the SDK has not"
    for path in schema.keys() & sdk.keys():
        ours, theirs = schema[path], sdk[path]
        yield from _field_differences(file, path, ours, theirs, day, null_is_loose)


def _below_another(path: str, paths: list[str]) -> bool:
    return any(path != p and path.startswith(p) and path[len(p)] in ".[{<" for p in paths)


def _field_differences(
    file: str, path: str, ours: Field, theirs: Field, day: str, null_is_loose: bool
) -> Iterator[tuple[str, str, str]]:
    our_types, their_types = ours.types, theirs.types
    if _ANY not in (our_types, their_types):
        if "null" in their_types - our_types and (null_is_loose or ours.nullable_changed > day):
            their_types -= {"null"}
        if ours.nullable_changed > day:
            our_types -= {"null"} - their_types
        our_types = frozenset(
            t for t in our_types if t in their_types or ours.types_since.get(t, "") <= day
        )
        if our_types != their_types:
            yield (
                path,
                "types",
                f"{path} is {_words(their_types)} in the SDK, {_words(our_types)} in {file}",
            )
    our_enum, their_enum = ours.enum, theirs.enum
    if (our_enum is None) != (their_enum is None):
        which = "the SDK" if our_enum is None else file
        yield path, "enum", f"{path} is a closed list in {which} only"
    elif our_enum is not None and their_enum is not None:
        for value in sorted(their_enum - our_enum - ours.former_values):
            yield path, "enum", f"the SDK allows {json.dumps(value)} at {path}, {file} does not"
        for value in sorted(our_enum - their_enum):
            if ours.observed or max(ours.enum_changed, ours.enum_since.get(value, "")) > day:
                continue
            yield path, "enum", f"{file} allows {json.dumps(value)} at {path}, the SDK does not"
    if None not in (ours.required, theirs.required) and ours.required != theirs.required:
        if ours.required_changed > day:
            return
        names = (file, "the SDK") if ours.required else ("the SDK", file)
        yield path, "required", f"{path} is required in {names[0]}, optional in {names[1]}"


def _words(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))
