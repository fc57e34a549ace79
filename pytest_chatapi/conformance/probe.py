"""What a probe is: a function that forces one behaviour of a server, and the verdicts on it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from pytest_chatapi.errors import SettingError

if TYPE_CHECKING:
    from pytest_chatapi.conformance.server import Server

__all__ = [
    "BOTH",
    "CAPABILITIES",
    "DELIVERIES",
    "TITLES",
    "Check",
    "Mode",
    "Named",
    "Outcome",
    "Probe",
    "Verdict",
    "checks",
    "fail",
    "harness_error",
    "non_strict",
    "not_exercised",
    "probe",
    "selected",
    "unsupported",
]

Mode = Literal["whole", "stream", "-"]

CAPABILITIES = {
    "transport": "Transport and models",
    "text": "Text",
    "stream": "Stream life cycle",
    "tools": "Tools",
    "structured": "Structured output",
    "logprobs": "Log probabilities",
    "reasoning": "Reasoning",
    "modalities": "Images and audio",
    "errors": "Errors",
}
"""Name of each capability, which begins the ids of its probes, to its title."""

DELIVERIES = {
    "plain": "Plain deliveries",
    "chunks": "Legal: chunks",
    "sse": "Legal: server-sent events",
    "bytes": "Legal: pieces of bytes",
    "tolerated": "Not documented, but common",
    "debatable": "Left open by the reference",
    "illegal": "Illegal: to be noticed",
}
"""The same for the checks of consumers."""

TITLES = {**CAPABILITIES, **DELIVERIES}

_MODULES = "transport", "text", "stream", "tools", "structured", "logprobs", "modalities", "errors"


class Verdict(enum.StrEnum):
    """What a check came to."""

    PASS = "pass"
    NON_STRICT = "non-strict"
    """A deviation that mainstream clients accept."""
    FAIL = "fail"
    UNSUPPORTED = "unsupported"
    """The server said so, with a 4xx and an error body."""
    NOT_EXERCISED = "not-exercised"
    """What is checked could not be forced, or not be measured. Never a pass."""
    HARNESS_ERROR = "harness-error"
    """Our own request was wrong, or the network failed."""


class Outcome(Exception):
    """Ends a probe with any verdict but a pass.

    Attributes:
        expected, got: of a failure, in a few words; may be empty.
    """

    def __init__(self, verdict: Verdict, reason: str, expected: str = "", got: str = "") -> None:
        super().__init__(reason)
        self.verdict, self.reason, self.expected, self.got = verdict, reason, expected, got


def fail(reason: str, *, expected: str = "", got: str = "") -> Outcome:
    """The server does not do what the contract says."""
    return Outcome(Verdict.FAIL, reason, expected, got)


def non_strict(reason: str, *, expected: str = "", got: str = "") -> Outcome:
    """The server departs from the contract in a way that mainstream clients accept."""
    return Outcome(Verdict.NON_STRICT, reason, expected, got)


def unsupported(reason: str) -> Outcome:
    """The server says that it does not have what is probed."""
    return Outcome(Verdict.UNSUPPORTED, reason)


def not_exercised(reason: str) -> Outcome:
    """What is probed did not come about."""
    return Outcome(Verdict.NOT_EXERCISED, reason)


def harness_error(reason: str) -> Outcome:
    """The probe or the network is at fault."""
    return Outcome(Verdict.HARNESS_ERROR, reason)


@dataclass(frozen=True, eq=False)
class Probe:
    """One behaviour, and how it is forced.

    Attributes:
        id: capability and name: ``tools.required``.
        title: what holds if it passes, in one line.
        modes: how it is run: ``whole`` and ``stream`` make two checks of it.
        codes: the rules whose findings decide it. Any other finding at error level fails it too,
            unless the plainest request has it as well: that is a failure of ``text.basic`` alone.
        requests: how many one check sends at most.
        tokens: about how many tokens one check takes, prompt and completion.
        run: sends the requests; returns for a pass, raises an `Outcome` for anything else.
        is_illegal: its requests break the contract on purpose. Those of any other are wrong if
            they do: a harness error.
    """

    id: str
    title: str
    modes: tuple[Mode, ...]
    codes: frozenset[str]
    requests: int
    tokens: int
    run: Callable[[Server], None]
    is_illegal: bool = False

    @property
    def capability(self) -> str:
        return self.id.partition(".")[0]

    @property
    def depends_on_model(self) -> bool:
        """Whether the model may do it once and not the next time: a rate is worth having."""
        return self.capability in ("tools", "structured") and not self.is_illegal


@dataclass(frozen=True)
class Check:
    """A probe in one of its modes.

    Attributes:
        id: ``tools.required.stream``; without a mode where the probe has only one of its own.
    """

    probe: Probe
    mode: Mode

    @property
    def id(self) -> str:
        return self.probe.id if self.mode == "-" else f"{self.probe.id}.{self.mode}"

    @property
    def ids(self) -> tuple[str, str]:
        """The id, and that of both modes."""
        return self.id, self.probe.id

    @property
    def capability(self) -> str:
        return self.probe.capability

    @property
    def codes(self) -> frozenset[str]:
        return self.probe.codes


class Named(Protocol):
    """A check of a server or of a consumer, as options name it; see `Check`."""

    @property
    def ids(self) -> tuple[str, str]: ...
    @property
    def capability(self) -> str: ...
    @property
    def codes(self) -> frozenset[str]: ...


_Named = TypeVar("_Named", bound=Named)


_PROBES: dict[str, Probe] = {}

BOTH: tuple[Mode, ...] = ("whole", "stream")


def probe(
    id: str,
    title: str,
    *,
    modes: tuple[Mode, ...] = ("-",),
    codes: str = "",
    requests: int = 1,
    tokens: int = 60,
    is_illegal: bool = False,
) -> Callable[[Callable[[Server], None]], Callable[[Server], None]]:
    """Register a function as a probe; see `Probe`.

    Args:
        codes: separated by spaces.
    """

    def register(run: Callable[[Server], None]) -> Callable[[Server], None]:
        assert id not in _PROBES, id
        assert id.partition(".")[0] in CAPABILITIES, id
        rules = frozenset(codes.split())
        _PROBES[id] = Probe(id, title, modes, rules, requests, tokens, run, is_illegal)
        return run

    return register


def checks() -> list[Check]:
    """All checks, by capability, in the order in which they run."""
    for name in _MODULES:
        import_module(f"pytest_chatapi.conformance.probes.{name}")
    order = list(CAPABILITIES)  # and not that of their imports
    probes = sorted(_PROBES.values(), key=lambda one: order.index(one.capability))
    return [Check(one, mode) for one in probes for mode in one.modes]


def selected(every: Sequence[_Named], only: list[str], skip: list[str]) -> list[_Named]:
    """The checks that are named, or not skipped: by id, capability, or code of a rule.

    Raises:
        SettingError: a name that is none of these, or nothing is left.
    """
    for name in (*only, *skip):
        if not any(_is_named(check, name) for check in every):
            from pytest_chatapi.contract.wording import did_you_mean

            known = dict.fromkeys(n for check in every for n in (check.capability, *check.ids))
            raise SettingError(f"{name!r} names no check{did_you_mean(name, known)}")
    found = [
        check
        for check in every
        if (not only or any(_is_named(check, name) for name in only))
        and not any(_is_named(check, name) for name in skip)
    ]
    if not found:
        raise SettingError("--only and --skip leave no check")
    return found


def _is_named(check: Named, name: str) -> bool:
    return name in (*check.ids, check.capability) or any(
        code == name.upper() or (code.startswith(name.upper()) and len(name) == 1)
        for code in check.codes
    )
