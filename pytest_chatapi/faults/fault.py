"""What a fault is, and the catalogue in which each is registered by its function.

A fault's function says in its docstring what happens, and in its keywords what can be set; the
decorators of this module make of it the function that users call, and its row in the tables.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, get_type_hints

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.wording import did_you_mean
from pytest_chatapi.errors import SettingError
from pytest_chatapi.faults.body import Body
from pytest_chatapi.recording.interaction import Interaction

__all__ = [
    "CATALOGUE",
    "WORDLESS",
    "Entry",
    "Fault",
    "Kind",
    "connection",
    "deviation",
    "responding",
    "status",
    "stream",
]

Kind = Literal["none", "status", "connection", "stream", "deviation"]

_P = ParamSpec("_P")
_First = TypeVar("_First")
_Apply = Callable[[Interaction | None, Request, dict[str, Any]], Interaction | None]

CATALOGUE: dict[str, Entry] = {}
"""All faults by name, in the order of the tables."""


WORDLESS = {
    "whole": "InternalServerError after 3 tries, without the server's words",
    "stream": "InternalServerError after 3 tries, without the server's words",
    "whole 2": "InternalServerError after 3 tries",
    "stream 2": "InternalServerError after 3 tries",
}
"""What the SDK makes of a server's failure whose body is not in the API's shape."""


@dataclass(frozen=True)
class Entry:
    """One row of the catalogue.

    Attributes:
        summary: what happens, in one line.
        sdk: what the openai SDK makes of it, by ``whole`` and ``stream`` (absent where the fault
            has nothing to change in such an answer), ``whole 2`` and ``stream 2`` where openai 2
            differs.
        finds: rule codes under ``documented`` and the highest level under ``compatible``
            (``"U02 U04: warning"``), by ``whole`` and ``stream``, and ``several`` for an answer
            with two calls at once where that differs; ``None``: not stated.
        function: what users call.
        least: lowest value of each number that can be set; 0 where it is not named.
        samples: parameters of the faults that stand for this row in the sets.
    """

    name: str
    kind: Kind
    summary: str
    sdk: Mapping[str, str]
    finds: Mapping[str, str] | None
    alone: bool
    retried: bool
    lasting: bool
    function: Callable[..., Fault]
    apply: _Apply
    defaults: Mapping[str, Any]
    types: Mapping[str, Any]
    least: Mapping[str, float]
    samples: tuple[Mapping[str, Any], ...]

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters, those that are not given at their defaults.

        Raises:
            SettingError: a name or value is wrong.
        """
        for name, value in given.items():
            if name not in self.defaults:
                allowed = f"has {', '.join(self.defaults)}" if self.defaults else "has none"
                raise SettingError(
                    f"fault {self.name} has no parameter {name!r}"
                    f"{did_you_mean(name, self.defaults, cutoff=0.5)}; it {allowed}"
                )
            if value != self.defaults[name] or type(value) is not type(self.defaults[name]):
                self._check(name, value)
        return {**self.defaults, **given}

    def _check(self, name: str, value: Any) -> None:
        kind = self.types[name]
        if kind is str:
            if isinstance(value, str):
                return
            wanted = "a text"
        else:
            least = self.least.get(name, 0)
            number = type(value) is int or (kind is float and type(value) is float)
            if number and least <= value < math.inf:
                return
            wanted = f"{'a number' if kind is float else 'a whole number'} of at least {least:g}"
        raise SettingError(f"fault {self.name}: {name} is {wanted}, not {value!r}")


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with one answer. Made by the functions of `faults`.

    Attributes:
        name: in the catalogue.
        parameters: all that can be set, with their values.

    Raises:
        SettingError: there is no such fault, or a parameter is wrong.
    """

    name: str
    parameters: Mapping[str, Any]

    def __init__(self, name: str, parameters: Mapping[str, Any] | None = None) -> None:
        if name not in CATALOGUE:
            raise SettingError(
                f"unknown fault {name!r}{did_you_mean(name, CATALOGUE, cutoff=0.5)}; "
                "`chatapi faults` lists all"
            )
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "parameters", CATALOGUE[name].checked(parameters or {}))

    def __hash__(self) -> int:
        return hash((self.name, *self.parameters.values()))

    def __str__(self) -> str:
        defaults = self.entry.defaults
        given = ", ".join(
            f"{key}={value!r}" for key, value in self.parameters.items() if value != defaults[key]
        )
        return f"{self.name}({given})" if given else self.name

    @property
    def entry(self) -> Entry:
        """Its row of the catalogue."""
        return CATALOGUE[self.name]

    @property
    def kind(self) -> Kind:
        """``status``, ``connection``, ``stream``, ``deviation``, or ``none`` for `ok`."""
        return self.entry.kind

    @property
    def summary(self) -> str:
        """What happens, in one line."""
        return self.entry.summary

    @property
    def sdk(self) -> str:
        """What the openai SDK makes of it."""
        from pytest_chatapi.faults.table import sdk_text

        return sdk_text(self.entry)

    @property
    def alone(self) -> bool:
        """It takes the place of an answer, so that none is needed."""
        return self.entry.alone

    @property
    def retried(self) -> bool:
        """A client that got this asks again."""
        return self.entry.retried

    @property
    def lasting(self) -> bool:
        """A server that does this does it always."""
        return self.entry.lasting

    def apply(self, answer: Interaction | None, request: Request) -> Interaction | None:
        """What comes instead of `answer`, which stays as it is.

        Args:
            answer: not needed where the fault is `alone`.

        Returns:
            ``None`` where there is nothing to change: no stream, no call, no usage in it.
        """
        return self.entry.apply(answer, request, dict(self.parameters))


def _register(
    kind: Kind,
    apply: Callable[[Callable[..., Any]], _Apply],
    *,
    sdk: str | Mapping[str, str],
    finds: str | Mapping[str, str] | None = None,
    alone: bool = False,
    retried: bool = False,
    lasting: bool = False,
    least: Mapping[str, float] | None = None,
    samples: tuple[Mapping[str, Any], ...] = ({},),
) -> Callable[[Callable[Concatenate[_First, _P], Any]], Callable[_P, Fault]]:
    def decorate(function: Callable[Concatenate[_First, _P], Any]) -> Callable[_P, Fault]:
        name = function.__name__
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())[1:]

        @wraps(function)
        def make(*args: _P.args, **parameters: _P.kwargs) -> Fault:
            if args:
                named = ", ".join(f"{key}=..." for key in CATALOGUE[name].defaults)
                raise SettingError(f"fault {name} takes its parameters by name: {name}({named})")
            return Fault(name, parameters)

        make.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=parameters, return_annotation=Fault
        )
        CATALOGUE[name] = Entry(
            name=name,
            kind=kind,
            summary=inspect.cleandoc(function.__doc__ or "").partition("\n")[0],
            sdk=_both(sdk),
            finds=None if finds is None else _both(finds),
            alone=alone,
            retried=retried,
            lasting=lasting,
            function=make,
            apply=apply(function),
            defaults={p.name: p.default for p in parameters},
            types=get_type_hints(function),
            least=least or {},
            samples=samples,
        )
        return make

    return decorate


def _both(text: str | Mapping[str, str]) -> Mapping[str, str]:
    return {"whole": text, "stream": text} if isinstance(text, str) else text


def status(
    *, retried: bool = False, kind: Kind = "status", **row: Any
) -> Callable[[Callable[Concatenate[Request, _P], Interaction]], Callable[_P, Fault]]:
    """Registers a function that makes another response out of the request."""

    def apply(function: Callable[..., Any]) -> _Apply:
        return lambda answer, request, parameters: function(request, **parameters)

    return _register(kind, apply, alone=True, retried=retried, **row)


def connection(
    error: str, **row: Any
) -> Callable[[Callable[Concatenate[Request, _P], str]], Callable[_P, Fault]]:
    """Registers a function that says why there is no response.

    Args:
        error: name of the exception in httpx and httpx2.
    """

    def apply(function: Callable[..., Any]) -> _Apply:
        def fail(
            answer: Interaction | None, request: Request, parameters: dict[str, Any]
        ) -> Interaction:
            reason = function(request, **parameters)
            return Interaction(request, 0, reason, cut="server", error=error)

        return fail

    return _register("connection", apply, alone=True, retried=True, **row)


def stream(
    *, kind: Kind = "stream", retried: bool = True, **row: Any
) -> Callable[[Callable[Concatenate[Body, _P], Interaction | None]], Callable[_P, Fault]]:
    """Registers a function that makes of a good answer what arrives of it."""

    def apply(function: Callable[..., Interaction | None]) -> _Apply:
        def disturb(
            answer: Interaction | None, request: Request, parameters: dict[str, Any]
        ) -> Interaction | None:
            body = Body.of(answer, request)
            return function(body, **parameters) if body is not None else None

        return disturb

    return _register(kind, apply, retried=retried, **row)


def deviation(
    finds: str | Mapping[str, str], **row: Any
) -> Callable[[Callable[Concatenate[Body, _P], bool]], Callable[_P, Fault]]:
    """Registers a function that changes a parsed answer, and says whether it did."""

    def apply(function: Callable[..., Any]) -> _Apply:
        def deviate(
            answer: Interaction | None, request: Request, parameters: dict[str, Any]
        ) -> Interaction | None:
            body = Body.of(answer, request)
            return body.written() if body is not None and function(body, **parameters) else None

        return deviate

    return _register("deviation", apply, finds=finds, lasting=True, **row)


def responding(
    request: Request, status: int, body: Any, content_type: str, **headers: str
) -> Interaction:
    """A whole response; underscores in header names stand for dashes."""
    text = body if isinstance(body, str) else json.dumps(body, indent=2)
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Interaction(
        request,
        status,
        HTTPStatus(status).phrase,
        [("content-type", content_type), *named],
        [text.encode()],
    )
