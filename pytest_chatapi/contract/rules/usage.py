"""U: token counts."""

from __future__ import annotations

from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules.registry import Violation, checks, rule
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT, Shown

__all__ = ["check_usage", "usage_absent"]


def check_usage(
    ledger: Ledger,
    usage: JSONObject,
    *,
    answered: bool,
    chunk: int | None = None,
    root: str = "$.usage",
) -> None:
    """U01 to U04 and U07; wrong types and null violate the schema.

    Args:
        answered: the response has content, so that zero tokens cannot be right.
        root: path of the usage object.
    """
    ledger.run(CHECKS, Counts(usage, answered, chunk, root))


class Counts:
    """The counts of one usage object; ``None`` where one is not an integer."""

    __slots__ = (
        "answered",
        "chunk",
        "completion",
        "completion_details",
        "prompt",
        "prompt_details",
        "reasoning",
        "reasoning_beside",
        "root",
        "total",
    )

    def __init__(self, usage: JSONObject, answered: bool, chunk: int | None, root: str) -> None:
        self.answered = answered
        self.chunk = chunk
        self.root = root
        prompt = self.prompt = _count(usage.get("prompt_tokens"))
        completion = self.completion = _count(usage.get("completion_tokens"))
        total = self.total = _count(usage.get("total_tokens"))
        details = usage.get("completion_tokens_details")
        self.completion_details: JSONObject = details if isinstance(details, dict) else {}
        details = usage.get("prompt_tokens_details")
        self.prompt_details: JSONObject = details if isinstance(details, dict) else {}
        reasoning = self.reasoning = _count(self.completion_details.get("reasoning_tokens"))
        # The reasoning tokens are not among the completion tokens.
        self.reasoning_beside = bool(
            reasoning
            and prompt is not None
            and completion is not None
            and total is not None
            and min(prompt, completion, total) >= 0
            and total == prompt + completion + reasoning
        )


# More than any count: no message shall contain thousands of digits.
_BEYOND = 10**18


def _count(value: JSON) -> int | None:
    return value if type(value) is int and -_BEYOND < value < _BEYOND else None


@rule("U01")
def usage_counts(counts: Counts) -> list[Violation] | None:
    prompt, completion, total = counts.prompt or 0, counts.completion or 0, counts.total or 0
    if prompt >= 0 and completion >= 0 and total >= 0:
        return None
    named = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    return [
        _negative(f"{counts.root}.{key}", key, value, counts.chunk)
        for key, value in named.items()
        if value < 0
    ]


def _negative(path: str, key: str, value: int, chunk: int | None) -> Violation:
    return Violation(path, "an integer >= 0", value, f"`{key}` is negative", chunk=chunk)


@rule("U02")
def usage_total(counts: Counts) -> Violation | None:
    prompt, completion, total = counts.prompt, counts.completion, counts.total
    if prompt is None or completion is None or total is None or total == prompt + completion:
        return None
    if min(prompt, completion, total) < 0:
        return None
    if counts.reasoning_beside:
        case, message = (
            "reasoning",
            (f"the total counts the {counts.reasoning} reasoning tokens twice"),
        )
    else:
        excess = total - prompt - completion
        case, message = "", f"the total is {abs(excess)} too {'high' if excess > 0 else 'low'}"
    return Violation(
        f"{counts.root}.total_tokens",
        f"{prompt + completion} ({prompt} prompt + {completion} completion)",
        total,
        message,
        case,
        counts.chunk,
    )


@rule("U03")
def usage_prompt_details(counts: Counts) -> list[Violation] | None:
    details = counts.prompt_details
    if not details:
        return None
    # cache_write_tokens is documented as unadjusted, so it has no bound.
    bounded = ("cached_tokens", "audio_tokens", "text_tokens", "image_tokens")
    cases = {"cached_tokens": "cached"}
    return _parts(counts, details, "prompt_tokens", counts.prompt, bounded, cases)


@rule("U04")
def usage_completion_details(counts: Counts) -> list[Violation] | None:
    details, completion = counts.completion_details, counts.completion
    if not details:
        return None
    bounded = ("reasoning_tokens", "audio_tokens", "text_tokens")
    cases = {"reasoning_tokens": "reasoning"} if counts.reasoning_beside else {}
    violations = _parts(counts, details, "completion_tokens", completion, bounded, cases)
    accepted = _count(details.get("accepted_prediction_tokens")) or 0
    rejected = _count(details.get("rejected_prediction_tokens")) or 0
    if (
        completion is not None
        and min(accepted, rejected, completion) >= 0
        and accepted + rejected > completion
    ):
        violations.append(
            Violation(
                f"{counts.root}.completion_tokens_details.rejected_prediction_tokens",
                f"accepted + rejected at most {completion} (completion_tokens)",
                Shown(f"{accepted} + {rejected}"),
                "the prediction tokens exceed completion_tokens",
                chunk=counts.chunk,
            )
        )
    return violations


def _parts(
    counts: Counts,
    details: JSONObject,
    name: str,
    whole: int | None,
    bounded: tuple[str, ...],
    cases: dict[str, str],
) -> list[Violation]:
    """The members of a details object that are negative, or exceed the count they belong to."""
    violations = [
        _negative(f"{counts.root}.{name}_details.{key}", key, value, counts.chunk)
        for key, value in details.items()
        if type(value) is int and value < 0
    ]
    if whole is None or whole < 0:
        return violations
    for key in bounded:
        part = details.get(key)
        if type(part) is int and whole < part < _BEYOND:
            violations.append(
                Violation(
                    f"{counts.root}.{name}_details.{key}",
                    f"at most {whole} ({name})",
                    part,
                    f"`{key}` exceeds {name}",
                    cases.get(key, ""),
                    counts.chunk,
                )
            )
    return violations


@rule("U05")
def usage_absent(body: JSONObject) -> Violation | None:
    if "usage" in body:
        return None
    return Violation("$.usage", "an object", ABSENT, "the response has no usage")


@rule("U07")
def usage_zero(counts: Counts) -> Violation | None:
    prompt, completion = counts.prompt, counts.completion
    if not counts.answered or prompt is None or completion is None or (prompt and completion):
        return None
    key = "prompt_tokens" if completion else "completion_tokens"
    return Violation(
        f"{counts.root}.{key}",
        "more than 0",
        0,
        f"`{key}` is 0 although the response has content",
        chunk=counts.chunk,
    )


CHECKS = checks(
    usage_counts, usage_total, usage_zero, usage_completion_details, usage_prompt_details
)
