"""U: token counts."""

from __future__ import annotations

from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules.facts import AnswerFacts
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
    """U01 to U04, U07 and U08; wrong types and null violate the schema.

    Args:
        answered: the response has content, so that zero tokens cannot be right.
        root: path of the usage object.
    """
    if not _adds_up(usage, answered):
        ledger.run(CHECKS, Counts(usage, answered, chunk, root))


def _adds_up(usage: JSONObject, answered: bool) -> bool:
    """Whether the counts are such that no rule can be broken, which is quicker to tell."""
    get = usage.get
    prompt, completion, total = get("prompt_tokens"), get("completion_tokens"), get("total_tokens")
    least = 1 if answered else 0
    return (
        type(prompt) is int
        and type(completion) is int
        and type(total) is int
        and prompt >= least
        and completion >= least
        and total == prompt + completion
        and "cost" not in usage
        and _fit(get("prompt_tokens_details"), prompt)
        and _fit(get("completion_tokens_details"), completion)
    )


def _fit(details: JSON, whole: int) -> bool:
    """Whether all parts together are within a count: then so is each of them, and any sum."""
    if not details or not isinstance(details, dict):
        return True
    parts = details.values()
    return _INTEGERS.issuperset(map(type, parts)) and min(parts) >= 0 and sum(parts) <= whole


_INTEGERS = {int}


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
        "usage",
    )

    def __init__(self, usage: JSONObject, answered: bool, chunk: int | None, root: str) -> None:
        self.answered = answered
        self.chunk = chunk
        self.root = root
        prompt = self.prompt = _count(usage.get("prompt_tokens"))
        completion = self.completion = _count(usage.get("completion_tokens"))
        total = self.total = _count(usage.get("total_tokens"))
        self.usage = usage
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
            f"the total counts the {counts.reasoning} reasoning tokens twice",
        )
        if counts.reasoning and counts.reasoning > completion:
            message = (
                f"the {counts.reasoning} reasoning tokens are part of the total,"
                " but not of completion_tokens"
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
    details, prompt = counts.prompt_details, counts.prompt
    if not details:
        return None
    # cache_write_tokens is documented as unadjusted, so it has no bound of its own.
    bounded = ("cached_tokens", "audio_tokens", "text_tokens", "image_tokens")
    cases = {"cached_tokens": "cached"}
    violations = _parts(counts, details, "prompt_tokens", prompt, bounded, cases)
    if not violations and not _PARTS.isdisjoint(details):
        _sum(counts, details, "prompt_tokens", prompt, _MODALITIES, violations)
        _sum(counts, details, "prompt_tokens", prompt, _CACHE, violations)
    return violations


_MODALITIES = ("text_tokens", "image_tokens", "audio_tokens")
_CACHE = ("cached_tokens", "cache_write_tokens")
# Without one of these, nothing is to be added up.
_PARTS = {"text_tokens", "image_tokens", "cache_write_tokens"}


@rule("U04")
def usage_completion_details(counts: Counts) -> list[Violation] | None:
    details, completion = counts.completion_details, counts.completion
    if not details:
        return None
    # With the reasoning beside the completion_tokens, U02 has said so.
    bounded: tuple[str, ...] = ("audio_tokens", "text_tokens")
    if not counts.reasoning_beside:
        bounded = ("reasoning_tokens", *bounded)
    violations = _parts(counts, details, "completion_tokens", completion, bounded, {})
    if not violations and not _PARTS.isdisjoint(details):
        _sum(counts, details, "completion_tokens", completion, _MODALITIES, violations)
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


def _sum(
    counts: Counts,
    details: JSONObject,
    name: str,
    whole: int | None,
    keys: tuple[str, ...],
    violations: list[Violation],
) -> None:
    """Adds a violation where these members together exceed the count that they are parts of."""
    parts = {key: part for key in keys if (part := _count(details.get(key)))}
    if whole is None or whole < 0 or len(parts) < 2 or sum(parts.values()) <= whole:
        return
    violations.append(
        Violation(
            f"{counts.root}.{name}_details",
            f"{' + '.join(parts)} at most {whole} ({name})",
            Shown(" + ".join(map(str, parts.values()))),
            f"{' + '.join(f'`{key}`' for key in parts)} exceed {name}",
            "sum",
            counts.chunk,
        )
    )


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


@rule("U08")
def cost_mismatch(counts: Counts) -> Violation | None:
    """For a cost that the response divides into parts; prices are not compared."""
    usage = counts.usage
    if "cost" not in usage:
        return None
    cost, details = usage["cost"], usage.get("cost_details")
    if isinstance(cost, dict):  # Perplexity's
        parts, total = _costs(cost, "_cost", "total_cost"), cost.get("total_cost")
        return _costs_differ(counts, "cost.total_cost", parts, total)
    if not isinstance(details, dict):
        return None
    key = "upstream_inference_cost"
    parts, upstream = _costs(details, "_cost", key), details.get(key)
    violation = _costs_differ(counts, f"cost_details.{key}", parts, upstream)
    if violation is not None or usage.get("is_byok") is not False:
        return violation  # with the caller's own key, the cost is a fee
    return _costs_differ(counts, "cost", parts or _costs(details, key), cost)


_TOLERANCE = 0.05
# What is left of a cost that was rounded.
_ROUNDING = 1e-6


def _costs(details: JSONObject, suffix: str, total: str = "") -> dict[str, float]:
    return {
        key: value
        for key, value in details.items()
        if key.endswith(suffix) and key != total and _is_cost(value)
    }


def _is_cost(value: JSON) -> bool:
    return type(value) in (int, float) and -_BEYOND < value < _BEYOND


def _costs_differ(
    counts: Counts, place: str, parts: dict[str, float], total: JSON
) -> Violation | None:
    if not parts or not _is_cost(total):
        return None
    expected = sum(parts.values())
    if abs(total - expected) <= max(_ROUNDING, _TOLERANCE * abs(expected)):
        return None
    return Violation(
        f"{counts.root}.{place}",
        f"{expected:g} ({' + '.join(parts)})",
        total,
        "the cost is not the sum of its parts",
        chunk=counts.chunk,
    )


@rule("U09")
def cache_unasked(facts: AnswerFacts) -> Violation | None:
    options = facts.ask.body.get("prompt_cache_options")
    if not isinstance(options, dict) or options.get("mode") != "explicit":
        return None
    details = (facts.answer.usage or {}).get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    if type(cached) is not int or cached <= 0 or facts.ask.breakpoints:
        return None
    return Violation(
        "$.usage.prompt_tokens_details.cached_tokens",
        '0 (mode "explicit" without a prompt_cache_breakpoint)',
        cached,
        "tokens come from the cache although the request marks no prefix",
        chunk=facts.answer.usage_chunk,
    )


CHECKS = checks(
    usage_counts,
    usage_total,
    usage_zero,
    usage_completion_details,
    usage_prompt_details,
    cost_mismatch,
)
