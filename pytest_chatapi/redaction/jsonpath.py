"""Places in JSON, as settings name them: ``$.user``, ``$.messages[*].content``, ``$['a b'][0]``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from pytest_chatapi.errors import SettingError

__all__ = ["JsonPaths", "joined", "leaves"]

_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]'"*\s]+) | \['(?P<single>[^']+)'\] | \["(?P<double>[^"]+)"\]"""
    r"""| \[(?P<index>\d+)\] | (?P<any>\.\*|\[\*\])""",
    re.VERBOSE,
)
_EVERY = object()
_PLAIN = re.compile(r"[A-Za-z_$][\w$-]*")


class JsonPaths:
    """Several paths at once.

    Raises:
        SettingError: a path is not of this form.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = [_steps(path) for path in paths]

    def __bool__(self) -> bool:
        return bool(self._paths)

    def replace(self, value: Any, by: Callable[[dict[Any, Any] | list[Any], Any], None]) -> None:
        """Calls ``by(container, key)`` for each place in `value` that a path names."""
        for steps in self._paths:
            _walk(value, steps, 0, by)

    def drop(self, value: Any) -> None:
        """Takes each named member out of `value`; an element of a list becomes ``null``."""
        self.replace(value, _drop)


def _drop(container: dict[Any, Any] | list[Any], key: Any) -> None:
    if isinstance(container, dict):
        del container[key]
    else:
        container[key] = None


def _steps(path: str) -> list[Any]:
    text = path.removeprefix("$")
    steps: list[Any] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if not found:
            break
        if found["any"]:
            steps.append(_EVERY)
        elif found["index"]:
            steps.append(int(found["index"]))
        else:
            steps.append(found["name"] or found["single"] or found["double"])
        at = found.end()
    if path[:1] != "$" or not steps or at < len(text):
        raise SettingError(
            f"{path!r} is no path: write one like $.user, $.messages[*].content or $.stop[0]"
        )
    return steps


def _walk(value: Any, steps: list[Any], at: int, by: Callable[[Any, Any], None]) -> None:
    step = steps[at]
    keys: Iterable[Any] = ()
    if isinstance(value, dict):
        keys = list(value) if step is _EVERY else [step] if step in value else ()
    elif isinstance(value, list):
        if step is _EVERY:
            keys = range(len(value))
        elif isinstance(step, int) and step < len(value):
            keys = [step]
    for key in keys:
        if at + 1 == len(steps):
            by(value, key)
        else:
            _walk(value[key], steps, at + 1, by)


def leaves(value: Any, path: str = "$") -> dict[str, Any]:
    """Path to value for whatever holds nothing further; empty objects and lists included."""
    found: dict[str, Any] = {}
    waiting = [(path, value)]
    while waiting:
        where, item = waiting.pop()
        if isinstance(item, dict) and item:
            waiting += [(joined(where, key), item[key]) for key in reversed(item)]
        elif isinstance(item, list) and item:
            waiting += [(f"{where}[{i}]", item[i]) for i in reversed(range(len(item)))]
        else:
            found[where] = item
    return found


def joined(path: str, key: Any) -> str:
    """The path of a member."""
    key = str(key)
    return f"{path}.{key}" if _PLAIN.fullmatch(key) else f"{path}[{key!r}]"
