"""What is shown of a case in which a consumer is wrong: bytes, outcomes, and a test to paste."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_chatapi.fuzz.deliveries import CATALOGUE
from pytest_chatapi.fuzz.search import Failure
from pytest_chatapi.recording.interaction import Interaction

__all__ = ["described"]


def described(failure: Failure, sent: Sequence[Interaction], all_: Sequence[Failure]) -> str:
    """The message of a failed test."""
    lines = [f"chatapi_fuzz: the consumer {failure.problem}"]
    for step in failure.case.steps:
        row = CATALOGUE[step.name]
        lines.append(f"  {row.kind}  {step}: {row.title}")
    for response in sent:
        lines.append("on the wire:")
        lines += [f"  {piece!r}" for piece in response.pieces]
    lines.append(f"  plain   {failure.plain}")
    lines.append(f"  here    {failure.outcome}")
    return "\n".join(lines)
