"""C05, C06 and T16: joins the fragments of tool calls that come in deltas."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from pytest_chatapi.contract.ask import KINDS
from pytest_chatapi.contract.assemble import Call, Choice
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.parse import loads
from pytest_chatapi.contract.rules.registry import Violation, codes_of, rule
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT, Shown, plural, show

__all__ = ["INDEX_CODES", "CallFold"]

# More than any index: no path shall contain thousands of digits.
_HIGHEST_INDEX = 10**9


class Place(NamedTuple):
    """Where a fragment is: its choice's position in the chunk, its own, number of the chunk."""

    choice: int
    position: int
    chunk: int

    @property
    def path(self) -> str:
        return f"$.choices[{self.choice}].delta.tool_calls[{self.position}]"


class CallFold:
    """Joins the calls of all choices of a stream."""

    __slots__ = ("_ledger", "_mistyped", "_moved", "_unindexed")

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._unindexed: dict[int, int] = {}  # choice -> first chunk with a call without index
        self._mistyped: set[int] = set()  # choices with an index that is not an integer
        # (choice, index) -> key of the call that shares its index with an earlier one.
        self._moved: dict[tuple[int, int], int] = {}

    def add(self, choice: Choice, fragments: list[JSON], position: int, number: int) -> None:
        """Folds the ``tool_calls`` of one delta."""
        for at, fragment in enumerate(fragments):
            if type(fragment) is dict:
                place = Place(position, at, number)
                key = self._key(choice, fragment, place)
                call = choice.calls.get(key)
                if call is None:
                    choice.calls[key] = _begun(f"{choice.path}.tool_calls[{key}]", fragment, number)
                else:
                    self._continue(call, fragment, place)

    def _key(self, choice: Choice, fragment: JSONObject, place: Place) -> int:
        """The key of the call that this fragment belongs to, or begins."""
        index, calls = fragment.get("index"), choice.calls
        if type(index) is not int or abs(index) > _HIGHEST_INDEX:
            self._unindexed.setdefault(choice.index, place.chunk)
            if index is not None:
                self._mistyped.add(choice.index)
            return _guessed_key(calls, fragment)
        key = self._moved.get((choice.index, index), index) if self._moved else index
        call = calls.get(key)
        if call is not None and _is_another(call, fragment):
            shared = SharedIndex(place, index, call.id, fragment.get("id"))
            self._ledger.report(tool_delta_index, shared)
            key = self._moved[choice.index, index] = max(calls) + 1
        return key

    def _continue(self, call: Call, fragment: JSONObject, place: Place) -> None:
        typed, held, inner = _parts(fragment)
        if held is not None and held != call.kind:
            if call.held:
                self._ledger.report(stream_assembled, place.path, call, place.chunk, kind=held)
                return
            call.kind = held
        if (id_ := fragment.get("id")) is not None:
            call.id = self._again(call, "id", call.id, id_, place)
        if typed is not None:
            call.typed = self._again(call, "type", call.typed, typed, place)
        if held is not None:
            call.held = True
            if (name := inner.get("name")) is not None:
                call.name = self._again(call, "name", call.name, name, place)
            _add_text(call, inner)

    def _again(self, call: Call, key: str, earlier: JSON, value: JSON, place: Place) -> JSON:
        """The value of a member that a later fragment repeats: the first that is not empty."""
        if earlier is not None or value == "":
            self._ledger.report(tool_delta_repeat, call, key, value, place)
        return value if earlier is None or (earlier == "" and value) else earlier

    def legacy(self, choice: Choice, fragment: JSONObject, position: int, number: int) -> None:
        """Folds the ``function_call`` of one delta."""
        call = choice.function_call
        if call is None:
            call = choice.function_call = Call(f"{choice.path}.function_call")
            call.kind, call.held, call.arguments = "function_call", True, []
        name, text = fragment.get("name"), fragment.get("arguments")
        if type(name) is str:
            if call.name and name and name != call.name:
                path = f"$.choices[{position}].delta.function_call.name"
                self._ledger.report(stream_assembled, path, call, number, name=name)
            call.name = call.name or name
        if type(text) is str:
            call.arguments.append(text)

    def end(self, choices: dict[int, Choice]) -> None:
        """Checks the indexes as a whole."""
        for index in sorted(self._unindexed):
            count, mistyped = len(choices[index].calls), index in self._mistyped
            missing = MissingIndex(index, self._unindexed[index], count, mistyped)
            self._ledger.report(tool_delta_index, missing)
        for index, choice in choices.items():
            keys = sorted(choice.calls) if choice.calls else []
            if keys != list(range(len(keys))) and index not in self._unindexed:
                self._ledger.report(tool_delta_index, GappedIndexes(choice, keys))


def _guessed_key(calls: dict[int, Call], fragment: JSONObject) -> int:
    """The key for a fragment without a usable index: by its id, else a new one, else the last."""
    id_ = fragment.get("id")
    if id_:
        for key, call in calls.items():
            if call.id == id_:
                return key
    last = max(calls, default=-1)
    begins = id_ or last < 0 or _begins(calls[last], fragment)
    return last + 1 if begins else last


def _is_another(call: Call, fragment: JSONObject) -> bool:
    """Whether a fragment under the index of this call belongs to another one."""
    id_ = fragment.get("id")
    if id_:
        return bool(call.id) and id_ != call.id
    return _begins(call, fragment)


def _begins(call: Call, fragment: JSONObject) -> bool:
    """Whether a fragment without an id begins another call than this one."""
    inner = fragment.get("function")
    name = inner.get("name") if type(inner) is dict else None
    if not name or not call.name or type(call.arguments) is not list:
        return False
    if name != call.name:
        return True
    try:
        return type(loads("".join(call.arguments))) is dict
    except ValueError:
        return False


def _parts(fragment: JSONObject) -> tuple[str | None, str | None, JSONObject]:
    """The type, the kind of the member with name and text, and that member, if there is one."""
    typed = fragment.get("type")
    if type(typed) is not str:
        typed = None
    inner = fragment.get("function")
    if type(inner) is dict and not (typed == "custom" and type(fragment.get("custom")) is dict):
        return typed, "function", inner
    inner = fragment.get("custom")
    return (typed, "custom", inner) if type(inner) is dict else (typed, None, {})


def _begun(path: str, fragment: JSONObject, number: int) -> Call:
    call = Call(path)
    typed, held, inner = _parts(fragment)
    call.chunk = number
    call.arguments = []
    call.kind = held or (typed if typed in KINDS else "function")
    call.id, call.typed = fragment.get("id"), typed
    if held is not None:
        call.held = True
        call.name = inner.get("name")
        _add_text(call, inner)
    return call


def _add_text(call: Call, inner: JSONObject) -> None:
    text = inner.get("input" if call.kind == "custom" else "arguments", ABSENT)
    if type(text) is str:
        if not call.arguments:
            call.broken = False  # a null came before
        call.arguments.append(text)
    elif text is not ABSENT and (text is not None or not call.arguments):
        call.broken = True


class SharedIndex(NamedTuple):
    """Two calls have the same index."""

    place: Place
    number: int
    id_: JSON
    other_id: JSON


class MissingIndex(NamedTuple):
    """The calls of a choice have no index, or one that is not an integer."""

    choice: int
    chunk: int
    calls: int
    mistyped: bool


class GappedIndexes(NamedTuple):
    """The indexes of a choice's calls are not 0, 1, 2 ..."""

    choice: Choice
    indexes: list[int]


IndexTrouble: TypeAlias = SharedIndex | MissingIndex | GappedIndexes


@rule("C05")
def tool_delta_index(trouble: IndexTrouble) -> Violation:
    if isinstance(trouble, SharedIndex):
        place, number, id_, other_id = trouble
        return Violation(
            f"{place.path}.index",
            "another index for another call",
            number,
            f"the calls {show(id_)} and {show(other_id)} share the index {number}",
            chunk=place.chunk,
        )
    if isinstance(trouble, MissingIndex):
        return Violation(
            f"$.choices[{trouble.choice}].delta.tool_calls[0].index",
            "integer",
            ABSENT,
            f"a tool call has no `index` ({plural(trouble.calls, 'call')})",
            "absent" if trouble.calls < 2 and not trouble.mistyped else "",
            trouble.chunk,
        )
    choice, indexes = trouble
    return Violation(
        f"$.choices[{choice.index}].delta.tool_calls[0].index",
        "0" if indexes[0] else f"0 to {len(indexes) - 1}",
        indexes if len(indexes) > 1 else indexes[0],
        "the indexes of the calls are not contiguous from 0",
        chunk=choice.calls[indexes[0]].chunk,
    )


INDEX_CODES = codes_of(tool_delta_index)


@rule("C06")
def tool_delta_repeat(call: Call, key: str, value: JSON, place: Place) -> Violation:
    inner = f"{call.kind}." if key == "name" else ""
    return Violation(
        f"{place.path}.{inner}{key}",
        "absent after the call's first fragment",
        value,
        f"`{key}` is repeated",
        chunk=place.chunk,
    )


@rule("T16")
def stream_assembled(
    path: str, call: Call, number: int, *, kind: str = "", name: str = ""
) -> Violation:
    """For fragments that cannot be joined.

    Args:
        kind: type of the fragment, where it is not the call's.
        name: name in the fragment, where it is not that of the ``function_call``.
    """
    if name:
        message = "two names for one function_call cannot be joined"
        return Violation(path, show(call.name), name, message, chunk=number)
    message = "fragments of one call have different types and cannot be joined"
    return Violation(path, f"fragments of a {call.kind} call", Shown(kind), message, chunk=number)
