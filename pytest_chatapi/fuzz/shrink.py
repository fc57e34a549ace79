"""The smallest case that is still wrong, without Hypothesis: fewer steps, then a shorter text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from pytest_chatapi.fuzz.cases import FEWER_CHUNKS, OWN, Case
from pytest_chatapi.fuzz.counterexample import Failure
from pytest_chatapi.fuzz.deliveries import Step

__all__ = ["shrunk"]

_SIMPLE = ("a", "ab", "a b", "é")
_MOST = 80


def shrunk(failure: Failure, judged: Callable[[Case], Failure | None]) -> Failure:
    """A failure with the same last delivery and the same problem, as small as it was found.

    Args:
        judged: tries a case.
    """
    tries = 0
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for case in _smaller(failure.case):
            tries += 1
            if tries > _MOST:
                return failure
            other = judged(case)
            if other is not None and other.problem == failure.problem:
                failure, is_smaller = other, True
                break
    return failure


def _smaller(case: Case) -> Iterator[Case]:
    """Simpler cases, the simplest first."""
    said = case.said
    names = {step.name for step in case.steps}
    for at in range(len(said.then)):
        yield replace(case, said=said._replace(then=said.then[:at] + said.then[at + 1 :]))
    if not said.kind.startswith(OWN):
        for text in _SIMPLE:
            if len(text) < len(said.text):
                yield replace(case, said=said._replace(text=text))
    for at in range(len(case.steps) - 1):
        if case.steps[at].name not in FEWER_CHUNKS:
            yield replace(case, steps=(*case.steps[:at], *case.steps[at + 1 :]))
    if case.steps and "compact" not in names:
        for name in FEWER_CHUNKS:
            if name not in names:
                yield replace(case, steps=(Step(name), *case.steps))
    if said.kind.startswith(OWN):
        return
    size = len(said.text) // 2
    while size:
        for start in range(0, len(said.text), size):
            text = said.text[:start] + said.text[start + size :]
            yield replace(case, said=said._replace(text=text))
        size //= 2
