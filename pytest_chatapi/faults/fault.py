"""What a fault is, and the catalogue in which each is registered by its function.

The docstring of a fault's function says what happens, and its keywords what can be set. The
decorators of this module turn it into the function that users call, and into its row of the tables.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import Any, Concatenate, Literal, ParamSpec, TypeAlias, TypeVar, get_type_hints

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.wire import JSON
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
    "by_form",
    "connection",
    "deviation",
    "responding",
    "status",
    "stream",
    "unknown_fault",
]

Kind = Literal["none", "status", "connection", "stream", "deviation"]

Text: TypeAlias = str | Mapping[str, str]
"""A text for any response, or one for each form: ``whole`` and ``stream``."""

_P = ParamSpec("_P")
_First = TypeVar("_First")
_Result = TypeVar("_Result")
_Apply = Callable[[Interaction | None, Request, Mapping[str, object]], Interaction | None]

CATALOGUE: dict[str, Entry] = {}
"""All faults by name, in the order of the tables."""


WORDLESS = {
    "whole": "InternalServerError after 3 tries, without the server's message",
    "stream": "InternalServerError after 3 tries, without the server's message",
    "whole 2": "InternalServerError after 3 tries",
    "stream 2": "InternalServerError after 3 tries",
}
"""What the SDK makes of an error status whose body does not have the API's shape."""


def by_form(texts: Mapping[str, str]) -> str:
    """Return one text if all are the same, otherwise each with its form."""
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    names = {"stream": "streamed", "several": "several calls"}
    return "; ".join(f"{names.get(form, form)}: {text}" for form, text in texts.items())


@dataclass(frozen=True)
class Entry:
    """One row of the catalogue.

    Attributes:
        summary: what happens, in one line.
        sdk: in the openai SDK, by ``whole`` and ``stream`` (absent if the fault has
            nothing to change in such a response), ``whole 2`` and ``stream 2`` if openai 2
            differs.
        finds: rule codes under ``documented`` and the highest level under ``compatible``
            (``"U02 U04: warning"``), by ``whole`` and ``stream``, and ``several`` for a response
            with two calls at once if that differs; ``None``: not stated.
        alone, retried, lasting: see `Fault`.
        function: what users call.
        least: the lowest value of a numeric parameter, if that is not 0.
        samples: parameters of the faults that represent this row in the sets.
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
    defaults: Mapping[str, object]
    types: Mapping[str, object]
    least: Mapping[str, float]
    samples: tuple[Mapping[str, object], ...]

    @property
    def sdk_text(self) -> str:
        """What the openai SDK makes of it, in one line."""
        texts = {}
        for form in ("whole", "stream"):
            if form in self.sdk:
                older = self.sdk.get(f"{form} 2")
                texts[form] = self.sdk[form] + (f" ({older} in openai 2)" if older else "")
        return by_form(texts)

    def complete(self, parameters: Mapping[str, object]) -> dict[str, object]:
        """Return all parameters, with defaults for those that are not in `parameters`.

        Raises:
            SettingError: a name or value is wrong.
        """
        for name, value in parameters.items():
            if name not in self.defaults:
                raise SettingError(
                    f"fault {self.name} has no parameter {name!r}"
                    + (did_you_mean(name, self.defaults, cutoff=0.5) or self._parameters())
                )
            if value != self.defaults[name] or type(value) is not type(self.defaults[name]):
                self._check(name, value)
        return {**self.defaults, **parameters}

    def _parameters(self) -> str:
        return f": it has {', '.join(self.defaults) or 'none'}"

    def _check(self, name: str, value: object) -> None:
        kind = self.types[name]
        if kind is str:
            if isinstance(value, str):
                return
            expected = "a string"
        else:
            least = self.least.get(name, 0)
            numbers = (int, float) if kind is float else (int,)
            # By type as well, because a bool is an int.
            if isinstance(value, numbers) and type(value) in numbers and least <= value < math.inf:
                return
            expected = f"{'a number' if kind is float else 'a whole number'} of at least {least:g}"
        raise SettingError(f"fault {self.name}: {name} must be {expected}, got {value!r}")


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with one response. Made by the functions of `faults`.

    Attributes:
        name: in the catalogue.
        parameters: all that can be set, with their values.

    Raises:
        SettingError: the fault does not exist, or a parameter is wrong.
    """

    name: str
    parameters: Mapping[str, Any]

    def __init__(self, name: str, parameters: Mapping[str, object] | None = None) -> None:
        if name not in CATALOGUE:
            raise unknown_fault(name, CATALOGUE)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "parameters", CATALOGUE[name].complete(parameters or {}))

    def __hash__(self) -> int:
        return hash((self.name, *self.parameters.values()))

    def __str__(self) -> str:
        defaults = self.entry.defaults
        changed = ", ".join(
            f"{key}={value!r}" for key, value in self.parameters.items() if value != defaults[key]
        )
        return f"{self.name}({changed})" if changed else self.name

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
        return self.entry.sdk_text

    @property
    def alone(self) -> bool:
        """Whether it replaces the response, so that none is needed."""
        return self.entry.alone

    @property
    def retried(self) -> bool:
        """Whether a client that meets it sends the request again."""
        return self.entry.retried

    @property
    def lasting(self) -> bool:
        """Whether a server with this fault has it in every response."""
        return self.entry.lasting

    def apply(self, answer: Interaction | None, request: Request) -> Interaction | None:
        """Return what arrives instead of a response, which is not changed itself.

        Args:
            answer: the response; ``None`` is enough for a fault that is `alone`.

        Returns:
            ``None`` if there is nothing to change: no stream, no call, no usage in it.
        """
        return self.entry.apply(answer, request, self.parameters)


def unknown_fault(name: str, known: Iterable[str]) -> SettingError:
    """Return the error that names the nearest of the known names."""
    hint = did_you_mean(name, [*known], cutoff=0.5) or ": `chatapi faults` lists them"
    return SettingError(f"unknown fault {name!r}{hint}")


# -- the decorators ------------------------------------------------------------------------


def status(
    *,
    sdk: Text,
    finds: Text,
    kind: Kind = "status",
    retried: bool = False,
    least: Mapping[str, float] | None = None,
) -> Callable[[Callable[Concatenate[Request, _P], Interaction]], Callable[_P, Fault]]:
    """Register a function that returns another response to the request."""

    def bind(function: Callable[..., Interaction]) -> _Apply:
        return lambda response, request, parameters: function(request, **parameters)

    return _register(kind, bind, sdk=sdk, finds=finds, alone=True, retried=retried, least=least)


def connection(
    error: str, *, sdk: Text
) -> Callable[[Callable[Concatenate[Request, _P], str]], Callable[_P, Fault]]:
    """Register a function that returns why there is no response.

    Args:
        error: name of the exception in httpx and httpx2.
    """

    def bind(function: Callable[..., str]) -> _Apply:
        return lambda response, request, parameters: Interaction(
            request, 0, function(request, **parameters), cut="server", error=error
        )

    return _register("connection", bind, sdk=sdk, alone=True, retried=True)


def stream(
    *,
    sdk: Text,
    finds: Text | None = None,
    kind: Kind = "stream",
    retried: bool = True,
    samples: tuple[Mapping[str, object], ...] = ({},),
) -> Callable[[Callable[Concatenate[Body, _P], Interaction | None]], Callable[_P, Fault]]:
    """Register a function that returns what arrives of a good response."""

    def bind(function: Callable[..., Interaction | None]) -> _Apply:
        def damage(
            response: Interaction | None, request: Request, parameters: Mapping[str, object]
        ) -> Interaction | None:
            body = Body.of(response, request)
            return function(body, **parameters) if body is not None else None

        return damage

    return _register(kind, bind, sdk=sdk, finds=finds, retried=retried, samples=samples)


def deviation(
    finds: Text, *, sdk: Text
) -> Callable[[Callable[Concatenate[Body, _P], bool]], Callable[_P, Fault]]:
    """Register a function that changes a parsed response, and returns whether it did."""

    def bind(function: Callable[..., bool]) -> _Apply:
        def deviate(
            response: Interaction | None, request: Request, parameters: Mapping[str, object]
        ) -> Interaction | None:
            body = Body.of(response, request)
            return body.written() if body is not None and function(body, **parameters) else None

        return deviate

    return _register("deviation", bind, sdk=sdk, finds=finds, lasting=True)


def _register(
    kind: Kind,
    bind: Callable[[Callable[..., _Result]], _Apply],
    *,
    sdk: Text,
    finds: Text | None = None,
    alone: bool = False,
    retried: bool = False,
    lasting: bool = False,
    least: Mapping[str, float] | None = None,
    samples: tuple[Mapping[str, object], ...] = ({},),
) -> Callable[[Callable[Concatenate[_First, _P], _Result]], Callable[_P, Fault]]:
    def decorate(function: Callable[Concatenate[_First, _P], _Result]) -> Callable[_P, Fault]:
        name = function.__name__
        signature = inspect.signature(function)
        own = list(signature.parameters.values())[1:]

        @wraps(function)
        def make(*args: _P.args, **parameters: _P.kwargs) -> Fault:
            if args:
                keywords = ", ".join(f"{parameter.name}=..." for parameter in own)
                raise SettingError(f"fault {name} takes keyword arguments only: {name}({keywords})")
            return Fault(name, parameters)

        make.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=own, return_annotation=Fault
        )
        CATALOGUE[name] = Entry(
            name=name,
            kind=kind,
            summary=inspect.cleandoc(function.__doc__ or "").partition("\n")[0],
            sdk=_for_each_form(sdk),
            finds=None if finds is None else _for_each_form(finds),
            alone=alone,
            retried=retried,
            lasting=lasting,
            function=make,
            apply=bind(function),
            defaults={parameter.name: parameter.default for parameter in own},
            types=get_type_hints(function),
            least=least or {},
            samples=samples,
        )
        return make

    return decorate


def _for_each_form(text: Text) -> Mapping[str, str]:
    return {"whole": text, "stream": text} if isinstance(text, str) else text


# -- a whole response ----------------------------------------------------------------------


def responding(
    request: Request, status: int, body: JSON, content_type: str, **headers: str
) -> Interaction:
    """Return a whole response; underscores in header names stand for dashes."""
    text = body if isinstance(body, str) else json.dumps(body, indent=2)
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Interaction(
        request,
        status,
        HTTPStatus(status).phrase,
        [("content-type", content_type), *named],
        [text.encode()],
    )
