"""What a server gets wrong with plain text."""

from __future__ import annotations

from conformance_servers import Answered, Fault, edits


def _not_cut(answered: Answered) -> None:
    answered.body = answered.body.replace(b'"length"', b'"stop"')


FAULTS: dict[str, tuple[Fault, str]] = {
    "text.basic": (edits(lambda value: value.pop("model")), "model"),
    "text.max-completion-tokens": (_not_cut, "finish_reason does not say so"),
}
