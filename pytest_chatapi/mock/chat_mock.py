"""The mock: what answers a Chat Completions API's requests without there being one."""

from __future__ import annotations

import json
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from respx.patterns import Pattern

from pytest_chatapi.contract.ask import Ask, request_json
from pytest_chatapi.contract.endpoint import endpoint
from pytest_chatapi.contract.exchange import Exchange, Request
from pytest_chatapi.contract.titles import title_of
from pytest_chatapi.contract.wording import mask
from pytest_chatapi.errors import SettingError
from pytest_chatapi.mock import refusals, replies
from pytest_chatapi.mock.routes import (
    ANY_CHAT,
    Asked,
    Route,
    Table,
    content_of,
    is_fault,
)
from pytest_chatapi.mock.store import Store
from pytest_chatapi.recording.interaction import Interaction, from_parts
from pytest_chatapi.recording.miss import Miss

__all__ = ["ChatMock", "fitting_reply"]

_JSON = "application/json"
_STREAM = "text/event-stream; charset=utf-8"
_DONE = b"data: [DONE]\n\n"
_LISTED = 8
_REMEMBERED = 256


class _Known(NamedTuple):
    """What is known of a request body that has come before.

    Attributes:
        answers: what a reply made of it, behind the stamp.
    """

    body: Any
    refused: refusals.Refusal | None
    answers: dict[replies.Reply, bytes]


class ChatMock:
    """Routes, and what they reply.

    A request that the service would refuse is refused: it gets the service's error, and no
    route is asked. Models and stored completions are served without a route.

    Args:
        test: what names the test: replies are stamped by it, the same in every run.
        profile: by which requests are judged; ``compatible`` accepts what imitators accept.
        keeps: whether `requests` and `refused` are kept; a server runs for long.

    Attributes:
        requests: what was asked, in order.
        refused: those of them that broke the request contract, with the error's message.
        give_back: puts the turn of a script that was just given back.
    """

    def __init__(self, test: str = "", profile: str | None = None, *, keeps: bool = True) -> None:
        self.test, self._profile, self._keeps = test, profile, keeps
        self.requests: list[Request] = []
        self.refused: list[tuple[Request, str]] = []
        self._table = Table()
        self._store = Store()
        self._any_model = True
        self._number = 0
        self.give_back: Callable[[], None] | None = None
        self._known: dict[bytes, _Known] = {}

    # -- what is answered ------------------------------------------------------------------

    def reply(self, reply: Any = None) -> Route:
        """Answers every chat completion that no earlier route answers; see `Route.reply`.

        Args:
            reply: ``None`` for whatever fits the request: a tool call where one is required,
                JSON where a schema is given, else a few words.
        """
        __tracebackhide__ = True
        return self.chat().reply(fitting_reply if reply is None else reply)

    def script(self, turns: Iterable[Any], **lookups: Any) -> Route:
        """Answers chat completions turn by turn, each reply once; see `Route.script`."""
        __tracebackhide__ = True
        return self.chat(**lookups).script(turns)

    def chat(self, *patterns: Pattern, **lookups: Any) -> Route:
        """A route for chat completions.

        Args:
            patterns, lookups: as respx has them (``json``, ``json__temperature``, ``headers``,
                ``content__contains`` ...), and ``model`` and ``prompt``, the text of the last
                user message, each plain or with ``__contains``, ``__startswith``, ``__regex``,
                ``__in``.
        """
        __tracebackhide__ = True
        return self.route(*patterns, **ANY_CHAT, **lookups)

    def route(self, *patterns: Pattern, **lookups: Any) -> Route:
        """A route for anything, as ``respx.route``; answer with `Route.reply` or respx's own
        ``respond`` and ``mock``.
        """
        __tracebackhide__ = True
        try:
            return self._table.add(Route(*patterns, **lookups))
        except (KeyError, NotImplementedError) as error:
            raise SettingError(f"route: {error.args[0]!s}") from None

    @property
    def profile(self) -> str | None:
        return self._profile

    @profile.setter
    def profile(self, name: str | None) -> None:
        self._profile = name
        self._known.clear()

    @property
    def models(self) -> list[str]:
        """What ``GET /models`` lists. Once it is set, other models get 404 model_not_found."""
        return self._store.models

    @models.setter
    def models(self, names: Iterable[str]) -> None:
        if isinstance(names, str):
            raise SettingError(f"models is a list of names: [{names!r}]")
        self._store.models = list(names)
        self._any_model = False
        self._known.clear()

    @property
    def unused(self) -> list[str]:
        """What was never given: routes, and turns of a script."""
        left = []
        for route in self._table.routes:
            if route.turns:
                total = route.given + len(route.turns)
                # Who got a fault instead may well give up.
                waiting = [turn for turn in route.turns if id(turn) not in route.struck]
                if waiting:
                    left.append(f"{route.title}: {len(waiting)} of the {total} turns of its script")
            elif not route.given and not route.called and route.turns is None:
                left.append(f"{route.title}: never asked")
        return left

    # -- answering -------------------------------------------------------------------------

    def answer(self, request: Request) -> Interaction | None:
        """The answer to a request; ``None`` where there is none."""
        self.give_back = None
        if self._keeps:
            self.requests.append(request)
        kind = endpoint(Exchange(request))
        if kind == "chat":
            known = self._judge(request)
            if known.refused is not None:
                if self._keeps:
                    self.refused.append((request, known.refused[1]["error"]["message"]))
                return _plain(request, *known.refused)
        else:
            known = _Known(None, None, {})
        asked = Asked(request, known.body, known.answers)
        for route in self._table.matching(asked):
            if route.is_spent:
                continue
            if route.has_replies:
                return self._reply(route, asked)
            resolved = route.match(asked)  # type: ignore[arg-type]
            if resolved is not None:
                route.calls.record(asked, resolved)  # type: ignore[arg-type]
                return _raw(request, resolved)
        stored = self._store.answer(request)
        if stored is not None:
            return _plain(request, *stored)
        if kind is None and not self._table.routes:
            path = urlsplit(request.url).path
            return _plain(request, *refusals.unknown_url(request.method, path))
        return None

    def _judge(self, request: Request) -> _Known:
        key = content_of(request)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            refused = refusals.refusal_of(request, self.profile)
            parsed: Any = None if refused is not None else json.loads(key)
            if refused is None and not self._any_model and parsed["model"] not in self.models:
                refused = refusals.not_found(parsed["model"])
            known = self._known[key] = _Known(parsed, refused, {})
        return known

    def _reply(self, route: Route, asked: Asked) -> Interaction:
        turns = route.turns
        reply: Any = route.always if turns is None else turns.popleft()
        route.given += 1
        if turns is not None and not is_fault(reply):
            self.give_back = partial(_put_back, route, turns, reply)
        return self._made(route, reply, asked)

    def _made(self, route: Route, reply: Any, asked: Asked) -> Interaction:
        if is_fault(reply):
            return self._disturbed(route, reply, asked)
        if callable(reply):
            reply = _called(reply, asked.request)
            if hasattr(reply, "__await__"):
                reply.close()
                raise SettingError("a function that makes a reply is not async: use `def`")
            return self._made(route, reply, asked)
        if isinstance(reply, str):
            reply = replies.text(reply)
        if isinstance(reply, replies.Reply):
            return self._built(reply, asked)
        if isinstance(reply, dict):
            return _plain(asked.request, 200, reply)
        if hasattr(reply, "status_code"):
            return _raw(asked.request, reply)
        raise SettingError(f"a function made no reply, but {type(reply).__name__}")

    def _disturbed(self, route: Route, fault: Any, asked: Asked) -> Interaction:
        """A fault in a script: it strikes the next reply, and where the client then asks again
        that reply is still there.
        """
        if fault.alone:
            made: Interaction = fault.apply(None, asked.request)
            route.struck.update(id(turn) for turn in list(route.turns or ())[:1])
            return made
        turns = route.turns or ()
        at = next((at for at, turn in enumerate(turns) if not is_fault(turn)), None)
        if at is None or route.turns is None:
            raise SettingError(f"{fault} is the last of a script: a reply it can strike comes next")
        reply = turns[at]
        if fault.kind == "none":
            return self._reply(route, asked)
        changed: Interaction | None = fault.apply(self._made(route, reply, asked), asked.request)
        if changed is None:
            raise SettingError(f"{fault} has nothing to change in {reply!r}")
        route.struck.add(id(reply))
        if not fault.retried:
            del route.turns[at]
            route.given += 1
            self.give_back = partial(_put_back, route, route.turns, reply)
        return changed

    def _built(self, reply: Any, asked: Asked) -> Interaction:
        body = asked.body if isinstance(asked.body, dict) else {}
        stamp = replies.stamp_of(self.test, self._number)
        self._number += 1
        headers = _headers(self._number)
        if body.get("stream"):
            pieces = [b"data: " + _dump(chunk) + b"\n\n" for chunk in reply.chunks(body, stamp)]
            return Interaction(
                asked.request, 200, "OK", [("content-type", _STREAM), *headers], [*pieces, _DONE]
            )
        answer = asked.answers.get(reply)
        if answer is None:
            completion = reply.completion(body, stamp)
            whole = _dump(completion)
            if body.get("store") is True:
                self._store.keep(body, completion)
            elif reply.is_fixed:
                asked.answers[reply] = whole[len(_head(stamp)) :]
        else:
            whole = _head(stamp) + answer
        return Interaction(asked.request, 200, "", [("content-type", _JSON), *headers], [whole])

    # -- where there is no answer ----------------------------------------------------------

    def miss(self, request: Request) -> Miss:
        """What was asked, and why no route answers it."""
        is_chat = endpoint(Exchange(request)) == "chat"
        asked = Asked(request, self._judge(request).body if is_chat else None, {})
        routes = self._table.routes
        lines = [
            f"{number}. {route.title}: {route.why_not(asked)}"
            for number, route in enumerate(routes[:_LISTED], 1)
        ]
        if len(routes) > _LISTED:
            lines.append(f"... and {len(routes) - _LISTED} more")
        reason = "no route of the mock answers it" if routes else "the mock has no routes"
        return Miss(
            mask(title_of(Exchange(request))),
            reason,
            routes=lines,
            remedy="chatapi_mock.reply(...), or chatapi_mock.chat(prompt=...).reply(...)",
        )


def _put_back(route: Route, turns: deque[Any], reply: Any) -> None:
    turns.appendleft(reply)
    route.given -= 1


def _called(function: Callable[[Request], Any], request: Request) -> Any:
    try:
        return function(request)
    except Exception as error:  # whatever the user's function raises: a client would swallow it
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise SettingError(
            f"a function that makes a reply failed: {type(error).__name__}: {error} "
            f"({place.filename}:{place.lineno})"
        ) from error


def fitting_reply(request: Request) -> replies.Reply:
    """What answers a request that says what it wants."""
    ask = Ask(request_json(request)[0])
    if ask.choice in ("required", "named") and ask.tools:
        name = ask.named or next(iter(ask.tools))
        if ask.tools[name][0] == "custom":
            return replies.custom_tool_call(name, "Hello!")
        return replies.tool_call(name)
    if ask.format in ("json_object", "json_schema"):
        return replies.structured()
    if "audio" in ask.modalities:
        return replies.audio("Hello!")
    return replies.text("Hello!")


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


def _head(stamp: replies.Stamp) -> bytes:
    """How a completion begins: all of it that two answers to one question differ in."""
    return f'{{"id":"{stamp.id}","object":"chat.completion","created":{stamp.created}'.encode()


def _headers(number: int) -> list[tuple[str, str]]:
    return [("x-request-id", f"req_mock_{number}")]


def _plain(request: Request, status: int, body: Any) -> Interaction:
    return Interaction(request, status, "", [("content-type", _JSON)], [_dump(body)])


def _raw(request: Request, response: Any) -> Interaction:
    """A response of httpx or httpx2 as it stands; a stream in its events."""
    headers = response.headers.multi_items()
    return from_parts(
        request, response.status_code, response.reason_phrase, headers, response.read(), {}
    )
