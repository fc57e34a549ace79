"""Places in JSON, as settings name them: ``$.user``, ``$.messages[*].content``, ``$['a b'][0]``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

from pytest_chatapi.errors import SettingError

__all__ = ["JsonPath", "JsonPaths", "Step", "leaves"]

_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]'"*\s]+) | \['(?P<single>[^']+)'\] | \["(?P<double>[^"]+)"\]"""
    r"""| \[(?P<index>\d+)\] | (?P<any>\.\*|\[\*\])""",
    re.VERBOSE,
)
_PLAIN = re.compile(r"[A-Za-z_$][\w$-]*")

Step: TypeAlias = str | int | None
"""The name of a member, the index of an item; ``None`` for all of either."""

_Container: TypeAlias = Any
"""A dict or a list, or whatever else is in one and has no places in it."""

_Tree = TypeVar("_Tree")


class JsonPath:
    """One path; ``$`` alone is the whole value.

    Attributes:
        steps: from the outermost container inwards.

    Raises:
        SettingError: it is not of this form.
    """

    def __init__(self, path: str) -> None:
        self.steps: Sequence[Step] = [] if path == "$" else _steps(path)

    def values(self, tree: _Tree, start: int = 0, stop: int | None = None) -> list[_Tree]:
        """Whatever it names in `tree`, by those of its steps that `start` and `stop` bound."""
        steps = list(self.steps[start:stop])
        return [box[key] for box, key in _places(tree, steps)] if steps else [tree]


class JsonPaths:
    """Several paths at once.

    Raises:
        SettingError: a path is not of this form.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = [_steps(path) for path in paths]

    def __bool__(self) -> bool:
        return bool(self._paths)

    def values(self, tree: _Tree) -> Iterator[_Tree]:
        """Whatever the paths name in `tree`."""
        for steps in self._paths:
            for container, key in _places(tree, steps):
                yield container[key]

    def drop(self, value: object) -> None:
        """Take each named member out of `value`; an element of a list becomes ``null``."""
        for steps in self._paths:
            for container, key in _places(value, steps):
                if isinstance(container, dict):
                    del container[key]
                else:
                    container[key] = None


def _steps(path: str) -> list[Step]:
    text = path.removeprefix("$")
    steps: list[Step] = []
    at = 0
    while at < len(text):
        step = _STEP.match(text, at)
        if not step:
            break
        if step["any"]:
            steps.append(None)
        elif step["index"]:
            steps.append(int(step["index"]))
        else:
            steps.append(step["name"] or step["single"] or step["double"])
        at = step.end()
    if path[:1] != "$" or not steps or at < len(text):
        raise SettingError(
            f"{path!r} is not a path: write one like $.user, $.messages[*].content or $.stop[0]"
        )
    return steps


def _places(tree: _Container, steps: list[Step]) -> Iterator[tuple[_Container, str | int]]:
    """Container and key of each place; what was yielded may be taken out before the next."""
    step, *rest = steps
    keys: Iterable[str | int] = ()
    if isinstance(tree, dict):
        keys = list(tree) if step is None else [step] if step in tree else ()
    elif isinstance(tree, list):
        if step is None:
            keys = range(len(tree))
        elif isinstance(step, int) and step < len(tree):
            keys = [step]
    for key in keys:
        if rest:
            yield from _places(tree[key], rest)
        else:
            yield tree, key


def leaves(value: object, path: str = "$") -> dict[str, object]:
    """Path to value for whatever holds nothing further; empty objects and lists included."""
    leaves: dict[str, object] = {}
    waiting = [(path, value)]
    while waiting:
        where, item = waiting.pop()
        if isinstance(item, dict) and item:
            waiting += [(_member_path(where, key), item[key]) for key in reversed(item)]
        elif isinstance(item, list) and item:
            waiting += [(f"{where}[{i}]", item[i]) for i in reversed(range(len(item)))]
        else:
            leaves[where] = item
    return leaves


def _member_path(path: str, key: object) -> str:
    """The path of a member."""
    key = str(key)
    return f"{path}.{key}" if _PLAIN.fullmatch(key) else f"{path}[{key!r}]"
