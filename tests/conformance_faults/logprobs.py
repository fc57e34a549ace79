"""What a server gets wrong with log probabilities."""

from __future__ import annotations

from typing import Any

from conformance_servers import Answered, Fault, ignores, status, streamed


def _few(answered: Answered) -> Answered | None:
    """A server that never has more than two alternatives."""
    count = answered.asked.get("top_logprobs", 0)
    return answered.instead(top_logprobs=2) if 2 < count <= 20 else None


def _one_more(answered: Answered) -> Answered | None:
    return answered.instead(top_logprobs=20) if answered.asked.get("top_logprobs") == 21 else None


def _lower(value: dict[str, Any]) -> None:
    for choice in value["choices"]:
        for entry in (choice.get("logprobs") or {}).get("content") or ():
            entry["token"] += "_"


def _is_alone(answered: Answered) -> bool:
    return "top_logprobs" in answered.asked and "logprobs" not in answered.asked


FAULTS: dict[str, tuple[Fault, str]] = {
    "logprobs.basic": (ignores("logprobs", "top_logprobs"), "asked for, and not sent"),
    "logprobs.limits": (_few, "no token has as many alternatives"),
    "logprobs.alone": (status(500, _is_alone), "answered with another status"),
}


def _none_for_none(answered: Answered) -> Answered | None:
    is_zero = answered.asked.get("top_logprobs") == 0
    return answered.instead(logprobs=..., top_logprobs=...) if is_zero else None


MORE: dict[str, tuple[Fault, str]] = {
    "logprobs.basic": (_few, "no token has as many alternatives"),
    "logprobs.limits": (_none_for_none, "asked for with `top_logprobs: 0`, and not sent"),
    "logprobs.basic.stream": (streamed(_lower), "streamed, the same text has other tokens"),
}

LOOSE: dict[str, tuple[Fault, str]] = {
    "logprobs.limits": (_one_more, "accepts `top_logprobs` of 21"),
    "logprobs.alone": (ignores("top_logprobs"), "accepts `top_logprobs` without"),
}
