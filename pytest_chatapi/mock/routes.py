"""Routes: patterns of respx, and the replies to requests that match them."""

from __future__ import annotations

import inspect
import json
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Never, TypeGuard, cast
from unittest.mock import ANY

import httpx
import respx
from respx.patterns import Lookup, PathPattern, Pattern

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import did_you_mean, show, use_instead
from pytest_chatapi.errors import SettingError
from pytest_chatapi.mock import patterns
from pytest_chatapi.mock.builders import BUILDERS
from pytest_chatapi.mock.embeddings import Embeddings
from pytest_chatapi.mock.pace import pace_of, with_pace
from pytest_chatapi.mock.replies import Reply
from pytest_chatapi.recording.interaction import Interaction

if TYPE_CHECKING:
    from pytest_chatapi.faults.fault import Fault

__all__ = [
    "ANY_CHAT",
    "ANY_EMBEDDINGS",
    "EMBEDDINGS_PATH",
    "Route",
    "RoutedRequest",
    "Table",
    "content_of",
    "is_fault",
]

CHAT_PATH = re.compile(r"/chat/completions/?$")
EMBEDDINGS_PATH = re.compile(r"/embeddings/?$")
ANY_CHAT: dict[str, object] = {"method": "POST", "path__regex": CHAT_PATH}
ANY_EMBEDDINGS: dict[str, object] = {"method": "POST", "path__regex": EMBEDDINGS_PATH}
_KEYED = {"json", "model", "prompt"}
_LOOKUPS = {"eq", "contains", "startswith", "regex", "in"}


_url = lru_cache(maxsize=64)(httpx.URL)  # most tests use one URL, and parsing is expensive


def content_of(request: Request) -> bytes:
    """The body on the wire; empty where there is none."""
    body = request.body
    return body.encode() if isinstance(body, str) else body or b""


def is_fault(turn: object) -> TypeGuard[Fault]:
    """Whether a turn of a script is a fault, which needs a reply that it applies to."""
    return hasattr(turn, "apply")


class RoutedRequest:
    """A request in the form in which respx's patterns read it.

    Attributes:
        body: parsed; ``None`` for anything but a chat completion (see `json`).
        written: what replies made of an equal body before, after the stamp.
    """

    def __init__(self, request: Request, body: JSON, written: dict[Reply, bytes]) -> None:
        self.request, self.body, self.written = request, body, written
        self.method = request.method

    @property
    def url(self) -> httpx.URL:
        return _url(self.request.url)

    @cached_property
    def headers(self) -> httpx.Headers:
        return httpx.Headers(dict(self.request.headers))

    def read(self) -> bytes:
        return content_of(self.request)

    @cached_property
    def json(self) -> JSON:
        """The body of any request, parsed.

        Raises:
            ValueError: it is not JSON.
        """
        return json.loads(self.read()) if self.body is None else self.body

    @property
    def for_patterns(self) -> httpx.Request:
        """This, as the annotations of respx's patterns have it: they read no more than is here."""
        return cast(httpx.Request, self)

    @cached_property
    def for_side_effects(self) -> httpx.Request:
        """The request as code of the user's reads it."""
        request = self.request
        headers = [pair for pair in request.headers.items() if pair[0] != "transfer-encoding"]
        return httpx.Request(request.method, request.url, headers=headers, content=self.read())


class Route(respx.Route):
    """A route of respx that also takes replies; made by `ChatMock.chat` and `ChatMock.route`.

    `Route.reply` says what a reply may be.
    """

    def __init__(self, *patterns: Pattern, **lookups: object) -> None:
        __tracebackhide__ = True
        function, own = _function_of(lookups)
        is_chat = function == "chat"
        self.title = f"{function}({_title(patterns, own)})"
        _check(function, patterns, own)
        try:
            more, rest = _with_our_patterns(lookups)
            super().__init__(*patterns, *more, **rest)
        except re.error as error:
            raise SettingError(f"{self.title}: {error}; {_instead_of_regex(own)}") from None
        except Exception as error:  # each pattern of respx has errors of its own
            reason = str(error) or "no request has such a value"
            if any(value is ANY for value in own.values()):
                reason = "leave out what may have any value"
            raise SettingError(f"{self.title}: {reason}") from None
        self.is_chat = is_chat
        self.is_any_chat = not patterns and lookups == ANY_CHAT
        self.repeated: object = None
        self.turns: deque[object] | None = None
        self.reply_count = 0
        self.undelivered: set[int] = set()  # ids of replies that a fault kept from arriving
        # Routes with a key are found by the value of that one pattern, without trying each.
        self.key = None if patterns else _key(lookups)
        self.identity = object() if patterns else repr(sorted(lookups.items()))
        self.table: Table | None = None

    def reply(
        self,
        reply: object,
        *,
        ttft: float | None = None,
        tokens_per_second: float | None = None,
        jitter: float = 0,
        **unknown: Never,
    ) -> Route:
        """Reply to each request with this. An earlier `reply` for the same patterns is replaced.

        Args:
            reply: one from a builder of `pytest_chatapi.mock`; a str; a fault; a dict, sent as
                JSON as it is; a response of httpx or httpx2; or a function that gets the
                `Request` and returns one of these.
            ttft: seconds until the first token; the waits take no time in a test, and their time
                on a socket.
            tokens_per_second: pace of the tokens after it, one in each chunk; an unstreamed
                response arrives with its last token. Without it they come at once.
            jitter: share of each wait by which it varies, 0 to 1; the same in each run.

        Raises:
            SettingError: this is not a reply, a number is out of range, or there is no such
                argument.
        """
        __tracebackhide__ = True
        for name in unknown:
            raise SettingError(f"reply() has no argument {name!r}{_instead_of_argument(name)}")
        pace = pace_of(ttft, tokens_per_second, jitter)
        self.repeated, self.turns = with_pace(_checked(reply), pace), None
        self._replace()
        return self

    def script(
        self,
        replies: Iterable[object],
        *,
        ttft: float | None = None,
        tokens_per_second: float | None = None,
        jitter: float = 0,
    ) -> Route:
        """Reply turn by turn, each reply once; a fault applies to the reply after it.

        Args:
            ttft, tokens_per_second, jitter: the pace of each reply, as for `reply`.
        """
        __tracebackhide__ = True
        if isinstance(replies, str) or not isinstance(replies, Iterable):
            raise SettingError(
                "a script must be a list of replies, one per turn; for a single one use reply()"
            )
        pace = pace_of(ttft, tokens_per_second, jitter)
        self.turns = deque(
            turn if is_fault(turn) else with_pace(turn, pace) for turn in map(_checked, replies)
        )
        self._replace()
        return self

    def mock(self, *args: Any, **more: Any) -> Route:
        """As in respx, which `respond` goes through as well."""
        super().mock(*args, **more)
        self._replace()
        return self

    def pass_through(self, value: bool = True) -> Route:
        super().pass_through(value)
        if value:
            self._replace()
        return self

    def _replace(self) -> None:
        """Put this in the place of earlier routes that would let no request through to it."""
        if self.table is not None:
            self.table.replace_by(self)

    @property
    def is_endless(self) -> bool:
        """Whether it responds to each request that its patterns match."""
        if self.has_replies:
            return self.turns is None
        return self.is_pass_through or (self.return_value is not None and self.side_effect is None)

    @property
    def called(self) -> bool:
        return self.call_count > 0

    @property
    def call_count(self) -> int:
        return self.reply_count + self.calls.call_count

    @property
    def has_replies(self) -> bool:
        return self.turns is not None or self.repeated is not None

    @property
    def is_spent(self) -> bool:
        return self.turns is not None and not self.turns

    @property
    def unused(self) -> str:
        """What the test never requested of this route, in one line, or nothing."""
        if self.turns is None:
            return "" if self.called else "never requested"
        # A client that got a fault instead of a reply may well give up.
        waiting = [turn for turn in self.turns if id(turn) not in self.undelivered]
        total = self.reply_count + len(self.turns)
        return f"{len(waiting)} of {total} script turns" if waiting else ""

    def take(self, at: int = 0) -> tuple[object, Callable[[], None]]:
        """Take a turn out of the script.

        Returns:
            The turn, and a function that puts it back in front.
        """
        turns = self.turns
        assert turns is not None
        turn = turns[at]
        del turns[at]
        self.reply_count += 1

        def give_back() -> None:
            turns.appendleft(turn)
            self.reply_count -= 1

        return turn, give_back

    def fits(self, routed: RoutedRequest) -> bool:
        """Whether the patterns match."""
        if self.is_any_chat and routed.body is not None:
            return True  # only chat completions have a parsed body
        return self._pattern is None or bool(self._pattern.match(routed.for_patterns))

    def why_not(self, routed: RoutedRequest) -> str:
        """What does not match, in one line."""
        for part in self._pattern or ():
            if part.match(routed.for_patterns):
                continue
            try:
                value = show(part.parse(routed.for_patterns), 60)
            except Exception:  # as in respx: what cannot be read does not match
                value = "absent"
            path = getattr(part, "path", "")
            return f"{part.key}__{path} is {value}" if path else f"{part.key} is {value}"
        return "script used up" if self.is_spent else "does not match"


def _function_of(lookups: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """The method of the mock that makes a route of these lookups, and the caller's own of them."""
    for function, fixed in (("chat", ANY_CHAT), ("embeddings", ANY_EMBEDDINGS)):
        if all(lookups.get(name) is value for name, value in fixed.items()):
            return function, {name: v for name, v in lookups.items() if name not in fixed}
    return "route", dict(lookups)


def _instead_of_argument(name: str) -> str:
    """What a wrong argument of `Route.reply` may have meant, perhaps one of a builder."""
    near = did_you_mean(name, ("ttft", "tokens_per_second", "jitter"))
    if near:
        return near
    for builder, row in BUILDERS.items():
        for parameter in inspect.signature(row.build).parameters:
            if did_you_mean(name, [parameter]):
                return f": did you mean reply({builder}(..., {parameter}=...))?"
    return ": use a reply, ttft, tokens_per_second, jitter"


def _check(function: str, patterns: Sequence[object], lookups: Mapping[str, object]) -> None:
    """Raise `SettingError` for what respx would fail on without naming it."""
    __tracebackhide__ = True
    for pattern in patterns:
        if not isinstance(pattern, Pattern):
            instead = ""
            if isinstance(pattern, str):
                instead = f": did you mean {function}(prompt__contains={show(pattern, 40)})?"
            raise SettingError(
                f"{function}() takes keyword arguments and patterns of respx, not "
                f"{type(pattern).__name__}{instead}"
            )
    for name in lookups:
        key, _, lookup = name.partition("__")
        kind = Pattern.registry.get(key)
        if kind is None:
            near = use_instead(key, Pattern.registry)
            raise SettingError(f"{function}() cannot match requests by {key!r}{near}")
        values = [value.value for value in kind.lookups]
        if lookup and lookup not in values and not issubclass(kind, PathPattern):
            near = use_instead(name, [key, *(f"{key}__{value}" for value in values)])
            raise SettingError(f"{function}() cannot match requests by {name!r}{near}")


def _with_our_patterns(
    lookups: Mapping[str, object],
) -> tuple[list[Pattern], dict[str, object]]:
    """The patterns that respx has not, or has otherwise, and the lookups that are left to it."""
    ours: list[Pattern] = []
    rest: dict[str, object] = {}
    for name, value in lookups.items():
        key, _, path = name.partition("__")
        if key == "json":
            before, _, last = path.rpartition("__")
            if last in _LOOKUPS - {"eq"}:
                raise NotImplementedError(
                    f"'json' has no {last!r} lookup, it compares whole values; "
                    "to search the body as text, use content__contains"
                )
            ours.append(patterns.JSONValue(value, path=before if last == "eq" else path))
        elif name in ("headers", "headers__contains") and isinstance(value, Mapping):
            ours.append(patterns.HasHeaders(key for key, text in value.items() if text is ANY))
            rest[name] = {key: text for key, text in value.items() if text is not ANY}
        elif (
            key == "cookies"
            and isinstance(value, Mapping)
            and any(text is ANY for text in value.values())
        ):
            raise ValueError("a cookie is compared with a str; for any: headers={'cookie': ANY}")
        else:
            rest[name] = value
    return ours, rest


def _instead_of_regex(lookups: Mapping[str, object]) -> str:
    """What to write for a text that is not meant as a regular expression."""
    key = next(name for name in lookups if name.endswith("__regex")).removesuffix("__regex")
    has_contains = Lookup.CONTAINS in Pattern.registry[key].lookups
    return f"for the text itself, use {key}__contains" if has_contains else "escape it: re.escape()"


def _checked(reply: object) -> object:
    __tracebackhide__ = True
    if (
        isinstance(reply, str | dict | Reply | Embeddings | Interaction)
        or callable(reply)
        or is_fault(reply)
        or hasattr(reply, "status_code")
    ):
        return reply
    raise SettingError(
        "a reply must be a str, a reply from pytest_chatapi.mock, a fault, a dict,\n"
        f"a response of httpx or a function of the request, not {type(reply).__name__}"
    )


def _title(patterns: Sequence[Pattern], lookups: dict[str, object]) -> str:
    parts = [repr(pattern) for pattern in patterns]
    parts += [f"{name}={show(value, 40)}" for name, value in lookups.items()]
    return ", ".join(parts).replace('"<ANY>"', "ANY")


def _key(lookups: dict[str, object]) -> tuple[str, str, object] | None:
    """(pattern, path, value) of a pattern that has to be equal to one value."""
    for name, value in lookups.items():
        kind, _, rest = name.partition("__")
        path, _, last = rest.rpartition("__")
        if kind not in _KEYED or rest in _LOOKUPS - {"eq"}:
            continue
        path = path if last == "eq" else rest
        if kind == "json":
            try:
                return kind, path, patterns.comparable(value)
            except TypeError:  # it holds ANY
                continue
        if isinstance(value, str):
            return kind, "", value
    return None


class Table:
    """The routes, in the order in which they were made."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self._same: dict[object, list[Route]] = defaultdict(list)
        self._open: list[int] = []
        self._keyed: dict[tuple[str, str], dict[object, list[int]]] = defaultdict(dict)

    def add(self, route: Route) -> Route:
        self.routes.append(route)
        self._same[route.identity].append(route)
        self._index(len(self.routes) - 1, route)
        route.table = self
        return route

    def _index(self, at: int, route: Route) -> None:
        if route.key is None:
            self._open.append(at)
        else:
            kind, path, value = route.key
            self._keyed[kind, path].setdefault(value, []).append(at)

    def replace_by(self, route: Route) -> None:
        """Put a route in the place of others with its patterns that respond to every request."""
        same = self._same[route.identity]
        replaced = {id(other) for other in same if other is not route and other.is_endless}
        is_here = any(other is route for other in same)
        if not replaced:
            if not is_here:  # it was replaced itself
                self.add(route)
            return
        first = next(at for at, other in enumerate(self.routes) if id(other) in replaced)
        replaced.add(id(route))
        rest = [other for other in self.routes if id(other) not in replaced]
        self.routes = [*rest[:first], route, *rest[first:]]
        self._same[route.identity] = [r for r in self.routes if r.identity == route.identity]
        self._open.clear()
        self._keyed.clear()
        for at, other in enumerate(self.routes):
            self._index(at, other)

    def shadow_of(self, route: Route) -> Route | None:
        """An earlier route that responds to every request before this one could."""
        for other in self.routes:
            if other is route:
                break
            if other.is_any_chat and route.is_chat and other.is_endless:
                return other
        return None

    def matching(self, routed: RoutedRequest) -> Iterator[Route]:
        """The routes that a request matches, in order."""
        candidates = list(self._open)
        for (kind, path), by_value in self._keyed.items():
            value = _value(kind, path, routed)
            if value is not _NOTHING:
                candidates += by_value.get(value, ())
        for at in sorted(candidates):
            route = self.routes[at]
            if route.fits(routed):
                yield route


_NOTHING = object()
_READERS: dict[str, Callable[[JSON], object]] = {
    "model": patterns.Model.of,
    "prompt": patterns.Prompt.of,
}


def _value(kind: str, path: str, routed: RoutedRequest) -> object:
    """The value that a request has where a keyed pattern looks."""
    try:
        if kind == "json":
            return patterns.comparable(patterns.value_at(routed.json, path))
        value = _READERS[kind](routed.json)
        hash(value)
    except (LookupError, TypeError, AttributeError, ValueError):
        return _NOTHING
    return value
