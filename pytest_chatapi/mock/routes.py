"""Routes: patterns of respx, and what is answered where they match."""

from __future__ import annotations

import json
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any

import httpx
import respx
from respx.patterns import Pattern

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.wording import show
from pytest_chatapi.errors import SettingError
from pytest_chatapi.mock import patterns
from pytest_chatapi.mock.replies import Reply

__all__ = ["Asked", "Route", "Table", "content_of", "is_fault"]

CHAT_PATH = re.compile(r"/chat/completions/?$")
ANY_CHAT = {"method": "POST", "path__regex": CHAT_PATH}
_KEYED = {"json", "model", "prompt"}
_LOOKUPS = {"eq", "contains", "startswith", "regex", "in"}


_url = lru_cache(maxsize=64)(httpx.URL)  # most tests ask one URL, and parsing is dear


def content_of(request: Request) -> bytes:
    """The body on the wire; empty where there is none."""
    body = request.body
    return body.encode() if isinstance(body, str) else body or b""


def is_fault(turn: Any) -> bool:
    """Whether a turn of a script is a fault, which needs a reply that it can strike."""
    return hasattr(turn, "apply")


class Asked:
    """A request in the form in which respx's patterns read it.

    Attributes:
        body: parsed; ``None`` where it is not of a chat completion.
        answers: what replies made of an equal body before.
    """

    def __init__(self, request: Request, body: Any, answers: dict[Any, bytes]) -> None:
        self.request, self.body, self.answers = request, body, answers
        self.method = request.method

    @property
    def url(self) -> httpx.URL:
        return _url(self.request.url)

    @cached_property
    def headers(self) -> httpx.Headers:
        return httpx.Headers(dict(self.request.headers))

    def read(self) -> bytes:
        return content_of(self.request)


class Route(respx.Route):
    """A route of respx that also takes replies; made by `ChatMock.chat` and `ChatMock.route`.

    What a reply may be is said at `reply`.
    """

    def __init__(self, *given: Pattern, **lookups: Any) -> None:
        self.title = f"chat({_title(given, lookups)})"
        super().__init__(*given, **lookups)
        self.is_any_chat = not given and lookups == ANY_CHAT
        self.always: Any = None
        self.turns: deque[Any] | None = None
        self.given = 0
        self.struck: set[int] = set()  # replies that a fault kept from arriving, by id
        # Found by the value of one pattern, instead of trying route after route.
        self.key = None if given else _key(lookups)

    def reply(self, reply: Any) -> Route:
        """Answers each request with this.

        Args:
            reply: what a builder of `pytest_chatapi.mock` made; a text; a fault; a dict, sent as
                JSON as it stands; a response of httpx or httpx2; or a function that is given the
                `Request` and returns one of these.
        """
        __tracebackhide__ = True
        self.always, self.turns = _checked(reply), None
        return self

    def script(self, replies: Iterable[Any]) -> Route:
        """Answers turn by turn, each reply once; a fault before a reply strikes that reply."""
        __tracebackhide__ = True
        if isinstance(replies, str) or not isinstance(replies, Iterable):
            raise SettingError("a script is a list of replies, one for each turn; for one, reply()")
        self.turns = deque(map(_checked, replies))
        return self

    @property
    def has_replies(self) -> bool:
        return self.turns is not None or self.always is not None

    @property
    def is_spent(self) -> bool:
        return self.turns is not None and not self.turns

    def fits(self, asked: Asked) -> bool:
        if self.is_any_chat and asked.body is not None:
            return True  # that is how it came to have one
        return self._pattern is None or bool(self._pattern.match(asked))  # type: ignore[arg-type]

    def why_not(self, asked: Asked) -> str:
        """What does not fit, in one line."""
        for part in self._pattern or ():
            if part.match(asked):
                continue
            try:
                got = show(part.parse(asked), 60)
            except Exception:  # as respx has it: what cannot be read does not match
                got = "absent"
            return f"{part.key} is {got}"
        return "used up" if self.is_spent else "does not fit"


def _checked(reply: Any) -> Any:
    __tracebackhide__ = True
    kinds = (str, dict)
    if (
        isinstance(reply, kinds)
        or callable(reply)
        or isinstance(reply, Reply)
        or is_fault(reply)
        or hasattr(reply, "status_code")
    ):
        return reply
    raise SettingError(
        f"a reply is a text, a reply of pytest_chatapi.mock, a fault, a dict, a response of httpx "
        f"or a function of the request, not {type(reply).__name__}"
    )


def _title(given: Sequence[Pattern], lookups: dict[str, Any]) -> str:
    parts = [repr(pattern) for pattern in given]
    parts += [
        f"{name}={show(value, 40)}"
        for name, value in lookups.items()
        if name not in ("method", "path__regex")
    ]
    return ", ".join(parts)


def _key(lookups: dict[str, Any]) -> tuple[str, str, Any] | None:
    """(pattern, path, value) of a pattern that has to be equal to one value."""
    for name, value in lookups.items():
        kind, _, rest = name.partition("__")
        path, _, last = rest.rpartition("__")
        if kind not in _KEYED or rest in _LOOKUPS - {"eq"}:
            continue
        path = path if last == "eq" else rest
        if kind == "json":
            return kind, path, json.dumps(value, sort_keys=True)
        return kind, "", value
    return None


class Table:
    """The routes, in the order in which they were made."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self._open: list[int] = []
        self._keyed: dict[tuple[str, str], dict[Any, list[int]]] = defaultdict(dict)

    def add(self, route: Route) -> Route:
        at = len(self.routes)
        self.routes.append(route)
        if route.key is None:
            self._open.append(at)
        else:
            kind, path, value = route.key
            self._keyed[kind, path].setdefault(value, []).append(at)
        return route

    def matching(self, asked: Asked) -> Iterator[Route]:
        """The routes that a request fits, in order."""
        found = list(self._open)
        for (kind, path), by_value in self._keyed.items():
            value = _value(kind, path, asked.body)
            if value is not _NOTHING:
                found += by_value.get(value, ())
        for at in sorted(found):
            route = self.routes[at]
            if route.fits(asked):
                yield route


_NOTHING = object()
_READ: dict[str, Callable[[Any], Any]] = {
    "model": patterns.Model.of,
    "prompt": patterns.Prompt.of,
}


def _value(kind: str, path: str, body: Any) -> Any:
    """What a request has where a keyed pattern looks."""
    try:
        if kind != "json":
            value = _READ[kind](body)
            hash(value)
            return value
        for step in path.split("__") if path else ():
            body = body[int(step) if step.isdigit() else step]
    except (LookupError, TypeError, AttributeError):
        return _NOTHING
    return json.dumps(body, sort_keys=True)
