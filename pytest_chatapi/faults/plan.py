"""Which fault comes when: the text form of a plan, and the plan of one test."""

from __future__ import annotations

import ast
import re
from collections import deque

from pytest_chatapi.contract.endpoint import endpoint
from pytest_chatapi.contract.exchange import Exchange, Request
from pytest_chatapi.contract.wording import did_you_mean
from pytest_chatapi.errors import SettingError
from pytest_chatapi.faults import deviations, responses, streams  # noqa: F401 they register
from pytest_chatapi.faults.fault import CATALOGUE, Fault

__all__ = ["SETS", "Plan", "parse"]

_MOST = 1000
"""Repetitions of one step: more are a slip of the pen."""


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
"""Named sets of faults: what may happen with any server, and what servers do differently."""


def parse(text: str) -> list[Fault]:
    """Reads ``2*rate_limit(retry_after=1), cut(chunks=3), ok``.

    A name of `SETS` stands for all its faults.

    Raises:
        SettingError: in one line, what is wrong, and what comes nearest.
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
        f"{text!r} is no list of faults: write names with commas between,"
        " such as 2*rate_limit(retry_after=1), cut(chunks=3), ok"
    )


def _step(node: ast.expr, text: str) -> list[Fault]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        times = node.left.value if isinstance(node.left, ast.Constant) else None
        if type(times) is not int or not 1 <= times <= _MOST:
            raise SettingError(
                f"{ast.unparse(node)!r}: a fault comes 1 to {_MOST} times, such as 2*rate_limit"
            )
        return _step(node.right, text) * times
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
        try:
            given = {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            raise _unreadable(text) from None
        return [Fault(node.func.id, given)]
    if not isinstance(node, ast.Name | ast.BinOp):
        raise _unreadable(text)
    name = re.sub(r"\s", "", ast.unparse(node))
    if name in SETS:
        return list(SETS[name])
    if name not in CATALOGUE:
        raise SettingError(
            f"unknown fault {name!r}{did_you_mean(name, [*CATALOGUE, *SETS], cutoff=0.5)}"
            "; `chatapi faults` lists all"
        )
    return [Fault(name)]


class Plan:
    """What goes wrong with the answers of one test, in order.

    A step is for one answer to a POST of ``/chat/completions``; other requests pass. A step that
    finds nothing to change in an answer waits for the next. The last step goes on for all further
    answers where it is `lasting`; behind the end, nothing goes wrong.

    Args:
        steps: faults, or texts as `parse` reads them.

    Attributes:
        happened: what really went wrong, in order.

    Raises:
        SettingError: a text is wrong.
    """

    def __init__(self, *steps: Fault | str) -> None:
        self._steps: deque[Fault] = deque()
        for step in steps:
            if not isinstance(step, str | Fault):
                raise SettingError(
                    f"a step is a fault such as faults.rate_limit(), or its text, not {step!r:.60}"
                )
            self._steps += parse(step) if isinstance(step, str) else [step]
        self._goes_on = False
        self.happened: list[Fault] = []

    @property
    def left(self) -> list[Fault]:
        """What has not happened yet."""
        left = [fault for fault in self._steps if fault.kind != "none"]
        return left[:-1] if self._goes_on else left

    def next(self, request: Request) -> Fault | None:
        """What is to go wrong with the answer to this request."""
        if not self._steps or endpoint(Exchange(request)) != "chat":
            return None
        if self._steps[0].kind == "none":
            self._steps.popleft()
            return None
        return self._steps[0]

    def done(self, fault: Fault) -> None:
        """It really happened."""
        self.happened.append(fault)
        self._goes_on = fault.lasting and len(self._steps) == 1
        if not self._goes_on:
            self._steps.popleft()
