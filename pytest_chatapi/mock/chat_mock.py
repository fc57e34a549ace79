"""The mock: responds to the requests of a Chat Completions client without a server."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Never, TypeGuard
from urllib.parse import unquote, urlsplit

import httpx
from respx.models import SideEffectError
from respx.patterns import Pattern

from pytest_chatapi.contract.ask import Ask, request_json
from pytest_chatapi.contract.endpoint import endpoint, other_api
from pytest_chatapi.contract.exchange import Exchange, Request
from pytest_chatapi.contract.titles import title_of
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import mask, show
from pytest_chatapi.errors import SettingError
from pytest_chatapi.mock import refusals
from pytest_chatapi.mock.builders import reply_that_fits, text
from pytest_chatapi.mock.embeddings import Embeddings, embeddings, embeddings_refusal
from pytest_chatapi.mock.generated import stamp_of
from pytest_chatapi.mock.misfits import misfit
from pytest_chatapi.mock.pace import Paced
from pytest_chatapi.mock.replies import Reply
from pytest_chatapi.mock.routes import (
    ANY_CHAT,
    ANY_EMBEDDINGS,
    CHAT_PATH,
    EMBEDDINGS_PATH,
    Route,
    RoutedRequest,
    Table,
    content_of,
    is_fault,
)
from pytest_chatapi.mock.store import Store
from pytest_chatapi.mock.wire_form import completion_head, events, written
from pytest_chatapi.recording.http_types import HTTPResponse
from pytest_chatapi.recording.interaction import Interaction, from_parts
from pytest_chatapi.recording.kinds import HTTP_FAMILIES
from pytest_chatapi.recording.miss import Miss

if TYPE_CHECKING:
    from pytest_chatapi.faults.fault import Fault

__all__ = ["ChatMock"]

_JSON_TYPE = "application/json"
_STREAM_TYPE = "text/event-stream; charset=utf-8"
_LISTED = 8  # routes in the message about a miss
_REMEMBERED = 256  # request bodies


class _KnownBody(NamedTuple):
    """A request body that came before.

    Attributes:
        body: parsed; ``None`` where it is refused.
        written: what replies made of it, after the stamp.
    """

    body: JSON
    refusal: refusals.Refusal | None
    written: dict[Reply, bytes]


class ChatMock:
    """Routes, and what they reply.

    A request that the service would refuse is refused: it gets the service's error, and no
    route is tried. Models and stored completions are served without a route.

    Args:
        test: what names the test: replies are stamped by it, the same in every run.
        profile: requests are checked by it; ``compatible`` accepts what imitators accept.
            ``None`` for the profile of each request's host.
        keeps: whether to keep `requests` and `refused`; a server runs for long.

    Attributes:
        requests: all requests, in order.
        refused: those of them that broke the request contract, with the error's message.
        give_back: puts the turn of a script that was just taken back in front.
        passes_on: a route with respx's `pass_through` got the last request.
    """

    def __init__(self, test: str = "", profile: str | None = None, *, keeps: bool = True) -> None:
        self.test, self._profile, self._keeps = test, profile, keeps
        self.requests: list[Request] = []
        self.refused: list[tuple[Request, str]] = []
        self._table = Table()
        self._store = Store()
        self._any_model = True
        self._api_keys: frozenset[str] | None = None
        self._number = self._responses = 0
        self.give_back: Callable[[], None] | None = None
        self.passes_on = False
        self._known: dict[tuple[bytes, str], _KnownBody] = {}

    # -- setting up ------------------------------------------------------------------------

    def reply(
        self,
        reply: object = None,
        *,
        ttft: float | None = None,
        tokens_per_second: float | None = None,
        jitter: float = 0,
        **unknown: Never,
    ) -> Route:
        """Reply to every chat completion that no earlier route matches; see `Route.reply`.

        Args:
            reply: ``None`` for whatever fits the request: a tool call where one is required,
                JSON where a schema is given, else a few words.
            ttft, tokens_per_second, jitter: the pace, as for `Route.reply`.
        """
        __tracebackhide__ = True
        fitting = reply_that_fits if reply is None else reply
        return self.chat().reply(
            fitting, ttft=ttft, tokens_per_second=tokens_per_second, jitter=jitter, **unknown
        )

    def script(
        self,
        turns: Iterable[object],
        *,
        ttft: float | None = None,
        tokens_per_second: float | None = None,
        jitter: float = 0,
        **lookups: object,
    ) -> Route:
        """Reply to chat completions turn by turn, each reply once; see `Route.script`."""
        __tracebackhide__ = True
        return self.chat(**lookups).script(
            turns, ttft=ttft, tokens_per_second=tokens_per_second, jitter=jitter
        )

    def chat(self, *patterns: Pattern, **lookups: object) -> Route:
        """A route for chat completions.

        Args:
            patterns, lookups: as in respx (``json``, ``json__temperature``, ``headers``,
                ``content__contains`` ...), and ``model`` and ``prompt``, the text of the last
                user message, each plain or with ``__contains``, ``__startswith``, ``__regex``,
                ``__in``.
        """
        __tracebackhide__ = True
        for name in ANY_CHAT.keys() & lookups:
            raise SettingError(f"chat() sets {name} itself: to match by it, use route({name}=...)")
        return self.route(*patterns, **ANY_CHAT, **lookups)

    def route(self, *patterns: Pattern, **lookups: object) -> Route:
        """A route for anything, as ``respx.route``; set its response with `Route.reply` or with
        ``respond`` and ``mock`` of respx.
        """
        __tracebackhide__ = True
        return self._table.add(Route(*patterns, **lookups))

    def embeddings(self, *patterns: Pattern, **lookups: object) -> Route:
        """A route for ``/v1/embeddings``, which replies with vectors made of the inputs' words.

        Args:
            patterns, lookups: as for `chat`: ``model``, ``json__input``, ``headers`` ...
        """
        __tracebackhide__ = True
        for name in ANY_EMBEDDINGS.keys() & lookups:
            raise SettingError(
                f"embeddings() sets {name} itself: to match by it, use route({name}=...)"
            )
        return self.route(*patterns, **ANY_EMBEDDINGS, **lookups).reply(embeddings())

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
        __tracebackhide__ = True
        if isinstance(names, str):
            raise SettingError(f"models must be a list of names, such as [{names!r}]")
        self._store.models = list(names)
        self._any_model = False
        self._known.clear()

    @property
    def api_keys(self) -> list[str] | None:
        """The keys that are accepted; once they are set, others get 401. ``None``: any, or none."""
        return None if self._api_keys is None else sorted(self._api_keys)

    @api_keys.setter
    def api_keys(self, keys: Iterable[str] | None) -> None:
        __tracebackhide__ = True
        if isinstance(keys, str):
            raise SettingError("api_keys must be a list of keys, such as ['sk-right']")
        self._api_keys = None if keys is None else frozenset(keys)

    @property
    def titles(self) -> list[str]:
        """The routes as messages show them, in the order in which they are tried."""
        return [route.title for route in self._table.routes]

    @property
    def unused(self) -> list[str]:
        """Routes and turns of scripts that were never requested, a line each."""
        return [self._unused(route) for route in self._table.routes if route.unused]

    def _unused(self, route: Route) -> str:
        line = f"{route.title}: {route.unused}"
        shadow = None if route.called else self._table.shadow_of(route)
        if shadow is None:
            return line
        return f"{line}, since {shadow.title} before it replies to every request: put it first"

    # -- responding ------------------------------------------------------------------------

    def answer(self, request: Request) -> Interaction | None:
        """The response to a request; ``None`` where nothing matches it."""
        self.give_back, self.passes_on = None, False
        if self._keeps:
            self.requests.append(request)
        if self._api_keys is not None:
            refused = refusals.key_refusal(request.headers, self._api_keys)
            if refused is not None:
                return self._refuse(request, refused)
        kind = endpoint(Exchange(request))
        known = self._known_body(request, kind)
        if known.refusal is not None:
            return self._refuse(request, known.refusal)
        routed = RoutedRequest(request, known.body, known.written)
        for route in self._table.matching(routed):
            if route.is_spent:
                continue
            if route.has_replies:
                return self._next_reply(route, routed)
            response = self._by_respx(route, routed)
            if response is not None or self.passes_on:
                return response
        stored = self._store.respond(request, kind)
        if stored is not None:
            return self._json(request, *stored)
        if kind is None and not self._table.routes:
            path = urlsplit(request.url).path
            return self._json(request, *refusals.unknown_url(request.method, path))
        return None

    def miss(self, request: Request) -> Miss:
        """The request, and why no route matches it."""
        exchange = Exchange(request)
        known = self._known_body(request, endpoint(exchange))
        routed = RoutedRequest(request, known.body, {})
        routes = self._table.routes
        lines = [
            f"{number}. {route.title}: {route.why_not(routed)}"
            for number, route in enumerate(routes[:_LISTED], 1)
        ]
        if len(routes) > _LISTED:
            lines.append(f"... and {len(routes) - _LISTED} more")
        reason = "no route of the mock matches it" if routes else "the mock has no routes"
        reason = _ELSEWHERE.get(other_api(exchange) or "", reason)
        return Miss(
            mask(title_of(exchange)),
            reason,
            routes=lines,
            remedy=_remedy(request),
        )

    def _refuse(self, request: Request, refused: refusals.Refusal) -> Interaction:
        if self._keeps:
            self.refused.append((request, refused[1]["error"]["message"]))
        return self._json(request, *refused)

    def _json(self, request: Request, status: int, body: JSON) -> Interaction:
        headers = [("content-type", _JSON_TYPE), self._request_id()]
        return Interaction(request, status, "", headers, [written(body)])

    def _request_id(self) -> tuple[str, str]:
        """The header that each response of the service has."""
        self._responses += 1
        return "x-request-id", f"req_mock_{self._responses}"

    def _known_body(self, request: Request, kind: str | None) -> _KnownBody:
        """What the body of a request is; parsed and checked once for equal bodies.

        Args:
            kind: the request's endpoint; only the bodies of ``chat`` are looked at.
        """
        if kind != "chat":
            return _KnownBody(None, None, {})
        profile = self._profile or refusals.profile_of(request.url)
        key = content_of(request), profile
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            body, why_not = request_json(request)
            refusal = refusals.refusal_of(body, why_not, request.url, profile)
            if refusal is None and not self._any_model:
                model = body.get("model")  # at Azure, the URL has it
                if model is not None and model not in self.models:
                    refusal = refusals.not_found(model)
            known = _KnownBody(None if refusal is not None else body, refusal, {})
            self._known[key] = known
        return known

    # -- replies ---------------------------------------------------------------------------

    def _next_reply(self, route: Route, routed: RoutedRequest) -> Interaction:
        if route.turns is None:
            route.reply_count += 1
            return self._response(route, route.repeated, routed)
        turn, give_back = route.take()
        if not is_fault(turn):
            self.give_back = give_back
        return self._response(route, turn, routed)

    def _by_respx(self, route: Route, routed: RoutedRequest) -> Interaction | None:
        """What the means of respx respond: `respond`, `mock`, `side_effect`, `pass_through`.

        Returns:
            ``None`` where a side effect leaves the request to the next route, and where the
            request is to be sent (see `passes_on`).

        Raises:
            Exception: the side effect, or what it raised; errors of the transport are in the
                response instead.
        """
        request = routed.for_side_effects
        try:
            resolved = route.match(request)
        except SideEffectError as error:
            route.calls.record(request, None)
            if not _is_of_transport(error.origin):
                raise error.origin from None
            name, reason = type(error.origin).__name__, str(error.origin)
            return Interaction(routed.request, 0, reason, error=name, times=())
        except StopIteration:
            raise SettingError(f"the side effects of {route.title} are used up") from None
        except TypeError as error:
            raise SettingError(f"{route.title}: {error}") from None
        if inspect.isawaitable(resolved):
            if inspect.iscoroutine(resolved):
                resolved.close()
            raise SettingError("a side effect cannot be async: use `def`")
        if resolved is None:
            return None
        if isinstance(resolved, httpx.Request):
            route.calls.record(request, None)
            self.passes_on = True
            return None
        route.calls.record(request, resolved)
        return _passed_on(routed.request, resolved)

    def _response(self, route: Route, reply: object, routed: RoutedRequest) -> Interaction:
        """What a reply of any form makes of a request."""
        if is_fault(reply):
            return self._disturbed(route, reply, routed)
        if isinstance(reply, Paced):
            return reply.pace.paced(self._response(route, reply.reply, routed))
        if reply is reply_that_fits:
            reply = reply_that_fits(Ask(routed.body))
        elif callable(reply):
            return self._response(route, _called(reply, routed.request), routed)
        if isinstance(reply, str):
            reply = text(reply)
        if isinstance(reply, Reply):
            return self._built(reply, routed)
        if isinstance(reply, Embeddings):
            return self._embedded(reply, routed)
        if isinstance(reply, dict):
            return self._json(routed.request, 200, reply)
        if isinstance(reply, Interaction):
            return replace(reply, request=routed.request)
        if _is_response(reply):
            return _passed_on(routed.request, reply)
        raise SettingError(f"a reply function must return a reply, not {type(reply).__name__}")

    def _disturbed(self, route: Route, fault: Fault, routed: RoutedRequest) -> Interaction:
        """A fault of a script, applied to the reply after it. That reply stays where the client
        will retry.
        """
        turns = route.turns or ()
        if fault.alone:
            response = fault.apply(None, routed.request)
            assert response is not None
            route.undelivered.update(id(turn) for turn in list(turns)[:1])
            return response
        at = next((at for at, turn in enumerate(turns) if not is_fault(turn)), None)
        if at is None:
            raise SettingError(
                f"the script ends with {fault}: add the reply that the fault applies to"
            )
        if fault.kind == "none":
            return self._next_reply(route, routed)
        reply = turns[at]
        response = fault.apply(self._response(route, reply, routed), routed.request)
        if response is None:
            raise SettingError(f"{fault} has nothing to change in {reply!r}")
        route.undelivered.add(id(reply))
        if not fault.retried:
            _, self.give_back = route.take(at)
        return response

    def _embedded(self, reply: Embeddings, routed: RoutedRequest) -> Interaction:
        if routed.body is not None:
            remedy = "use it with chatapi_mock.embeddings()"
            raise misfit(reply.label, "it is a chat completion", remedy)
        body, why_not = request_json(routed.request)
        refused = embeddings_refusal(body, why_not)
        if refused is None and not self._any_model and body["model"] not in self.models:
            refused = refusals.not_found(body["model"])
        if refused is not None:
            return self._refuse(routed.request, refused)
        return self._json(routed.request, 200, reply.response(body))

    def _built(self, reply: Reply, routed: RoutedRequest) -> Interaction:
        request = routed.request
        if routed.body is None and EMBEDDINGS_PATH.search(urlsplit(request.url).path):
            raise misfit(reply.label, "it asks for embeddings", "reply with embeddings()")
        body = routed.body if isinstance(routed.body, dict) else {}
        stamp = stamp_of(self.test, self._number)
        self._number += 1
        request_id = self._request_id()
        if body.get("stream"):
            pieces = events(reply.chunks(body, stamp))
            headers = [("content-type", _STREAM_TYPE), request_id]
            return Interaction(request, 200, "OK", headers, pieces)
        behind_stamp = routed.written.get(reply)
        if behind_stamp is None:
            completion = reply.completion(body, stamp)
            whole = written(completion)
            if body.get("store") is True:
                self._store.keep(body, completion)
            elif reply.is_fixed:
                routed.written[reply] = whole[len(completion_head(stamp)) :]
        else:
            whole = completion_head(stamp) + behind_stamp
        return Interaction(request, 200, "", [("content-type", _JSON_TYPE), request_id], [whole])


def _called(function: Callable[[Request], object], request: Request) -> object:
    """What a reply function returns.

    Raises:
        SettingError: it failed, or is async.
    """
    try:
        reply = function(request)
    except Exception as error:  # whatever the user's function raises: a client would swallow it
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise SettingError(
            f"the reply function failed: {type(error).__name__}: {error} "
            f"({place.filename}:{place.lineno})"
        ) from error
    if isinstance(reply, Coroutine):
        reply.close()
        raise SettingError("a reply function cannot be async: use `def`")
    return reply


# What a framework sends although its user thinks of chat completions.
_ELSEWHERE = {
    "responses": "it goes to the Responses API, and the mock replies to Chat Completions",
    "telemetry": "it is telemetry, which the library that sends it can turn off",
}


def _remedy(request: Request) -> str:
    """What makes the mock reply to a request that none of its routes matches."""
    path = urlsplit(request.url).path
    if request.method == "POST" and CHAT_PATH.search(path):
        return "chatapi_mock.reply(...), or chatapi_mock.chat(prompt=...).reply(...)"
    if request.method == "POST" and EMBEDDINGS_PATH.search(path):
        return "chatapi_mock.embeddings()"
    return f"chatapi_mock.route(path={show(unquote(path), 200)}).respond(json=...)"


def _is_of_transport(error: Exception) -> bool:
    """Whether httpx or httpx2 raises it where no response comes."""
    return any(
        kind.__name__ == "TransportError" and kind.__module__.partition(".")[0] in HTTP_FAMILIES
        for kind in type(error).__mro__
    )


def _is_response(reply: object) -> TypeGuard[HTTPResponse]:
    return hasattr(reply, "status_code")


def _passed_on(request: Request, response: HTTPResponse) -> Interaction:
    """A response of httpx or httpx2 as it is; a stream in its events."""
    headers = response.headers.multi_items()
    return from_parts(
        request, response.status_code, response.reason_phrase, headers, response.read(), {}
    )
