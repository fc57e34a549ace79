"""Which fault comes when: plans in text form, and the plan of one test."""

from __future__ import annotations

import ast
import re
from collections import deque

from pytest_chatapi.contract.endpoint import endpoint
from pytest_chatapi.contract.exchange import Exchange, Request
from pytest_chatapi.errors import SettingError
from pytest_chatapi.faults import deviations, responses, streams  # noqa: F401 they register
from pytest_chatapi.faults.fault import CATALOGUE, Fault, unknown_fault

__all__ = ["SETS", "Plan", "parse"]

_MOST = 1000
"""Repetitions of one step; more are probably a typo."""


def _all(*kinds: str) -> list[Fault]:
    return [
        Fault(entry.name, parameters)
        for entry in CATALOGUE.values()
        if entry.kind in kinds
        for parameters in entry.samples
    ]


SETS: dict[str, list[Fault]] = {
    "resilience": _all("status", "connection", "stream"),
    "compatible-servers": _all("deviation"),
}
"""Named sets of faults: what can happen with any server, and what servers do differently."""


def parse(text: str) -> list[Fault]:
    """Return the faults of a text such as ``2*rate_limit(retry_after=1), cut(chunks=3), ok``.

    A name in `SETS` stands for all faults of that set.

    Raises:
        SettingError: says in one line what is wrong, and names the nearest fault.
    """
    try:
        node = ast.parse(f"[{text}\n]", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        node = ast.Constant(None)
    if not isinstance(node, ast.List) or not node.elts:
        raise _unreadable(text)
    return [fault for step in node.elts for fault in _step(step, text)]


def _unreadable(text: str) -> SettingError:
    return SettingError(
        f"{text!r} is not a list of faults: separate names with commas,"
        " such as 2*rate_limit(retry_after=1), cut(chunks=3), ok"
    )


def _step(node: ast.expr, text: str) -> list[Fault]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        times = node.left.value if isinstance(node.left, ast.Constant) else None
        if type(times) is not int or not 1 <= times <= _MOST:
            raise SettingError(
                f"{ast.unparse(node)!r}: repeat a fault 1 to {_MOST} times, such as 2*rate_limit"
            )
        return _step(node.right, text) * times
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
        try:
            parameters = {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            raise _unreadable(text) from None
        return [Fault(node.func.id, parameters)]
    if not isinstance(node, ast.Name | ast.BinOp):
        raise _unreadable(text)
    name = re.sub(r"\s", "", ast.unparse(node))
    if name in SETS:
        return list(SETS[name])
    if name not in CATALOGUE:
        raise unknown_fault(name, [*CATALOGUE, *SETS])
    return [Fault(name)]


class Plan:
    """The faults of one test, in order.

    Each step applies to one response to a POST of ``/chat/completions``; other requests pass. A
    step that has nothing to change in a response waits for the next. If the last step is
    `lasting`, it applies to every later response; otherwise nothing goes wrong after it.

    Args:
        steps: faults, or texts as `parse` reads them.

    Attributes:
        text: the steps as `parse` reads them.
        happened: the faults that were applied, in order.

    Raises:
        SettingError: a step is wrong.
    """

    def __init__(self, *steps: Fault | str) -> None:
        self._steps: deque[Fault] = deque()
        for step in steps:
            if not isinstance(step, str | Fault):
                raise SettingError(
                    "a step must be a fault such as faults.rate_limit(), or its text, "
                    f"got {step!r:.60}"
                )
            self._steps += parse(step) if isinstance(step, str) else [step]
        self._goes_on = False
        self.text = ", ".join(map(str, steps))
        self.happened: list[Fault] = []

    @property
    def left(self) -> list[Fault]:
        """The faults that have not been applied yet."""
        left = [fault for fault in self._steps if fault.kind != "none"]
        return left[:-1] if self._goes_on else left

    def next(self, request: Request) -> Fault | None:
        """Return the fault to apply to the response to this request, if any."""
        if not self._steps or endpoint(Exchange(request)) != "chat":
            return None
        if self._steps[0].kind == "none":
            self._steps.popleft()
            return None
        return self._steps[0]

    def done(self, fault: Fault) -> None:
        """Note that the fault was applied."""
        self.happened.append(fault)
        self._goes_on = fault.lasting and len(self._steps) == 1
        if not self._goes_on:
            self._steps.popleft()
