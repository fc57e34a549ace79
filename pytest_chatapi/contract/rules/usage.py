"""U: token counts."""

from __future__ import annotations

from typing import Any

from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.wording import Shown

__all__ = ["check_usage"]

_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def check_usage(
    ledger: Ledger,
    usage: dict[str, Any],
    *,
    answered: bool,
    chunk: int | None = None,
    root: str = "$.usage",
) -> None:
    """U01 to U04 and U07; wrong types are the schema's business.

    Args:
        answered: the answer has content, so that zero tokens cannot be right.
    """
    prompt, completion, total = (_count(usage.get(key)) for key in _COUNTS)
    for key, value in zip(_COUNTS, (prompt, completion, total), strict=True):
        if value is not None and value < 0:
            ledger.add(
                "U01",
                f"{root}.{key}",
                "an integer >= 0",
                value,
                f"`{key}` is negative",
                chunk=chunk,
            )
    details = usage.get("completion_tokens_details")
    reasoning = _count(details.get("reasoning_tokens")) if isinstance(details, dict) else None
    beside = False
    if (
        prompt is not None
        and completion is not None
        and total is not None
        and min(prompt, completion, total) >= 0
    ):
        if total != prompt + completion:
            beside = bool(reasoning) and total == prompt + completion + (reasoning or 0)
            ledger.add(
                "U02",
                f"{root}.total_tokens",
                f"{prompt + completion} ({prompt} prompt + {completion} completion)",
                total,
                f"the total counts the {reasoning} reasoning tokens once more"
                if beside
                else f"the total is {abs(total - prompt - completion)} too "
                f"{'high' if total > prompt + completion else 'low'}",
                case="reasoning" if beside else "",
                chunk=chunk,
            )
        beside = bool(reasoning) and total == prompt + completion + (reasoning or 0)
    if answered and prompt is not None and completion is not None and not (prompt and completion):
        key = "completion_tokens" if not completion else "prompt_tokens"
        ledger.add(
            "U07",
            f"{root}.{key}",
            "more than 0",
            0,
            f"`{key}` is 0 for an answer with content",
            chunk=chunk,
        )
    if isinstance(details, dict):
        _members(ledger, "U04", details, f"{root}.completion_tokens_details", chunk)
        if completion is not None:
            for key in ("reasoning_tokens", "audio_tokens", "text_tokens"):
                part = _count(details.get(key))
                if part is not None and part > completion >= 0:
                    ledger.add(
                        "U04",
                        f"{root}.completion_tokens_details.{key}",
                        f"at most {completion} (completion_tokens)",
                        part,
                        f"`{key}` is more than completion_tokens",
                        case="reasoning" if key == "reasoning_tokens" and beside else "",
                        chunk=chunk,
                    )
            accepted = _count(details.get("accepted_prediction_tokens")) or 0
            rejected = _count(details.get("rejected_prediction_tokens")) or 0
            if accepted >= 0 and rejected >= 0 and accepted + rejected > completion >= 0:
                ledger.add(
                    "U04",
                    f"{root}.completion_tokens_details.rejected_prediction_tokens",
                    f"accepted + rejected at most {completion} (completion_tokens)",
                    Shown(f"{accepted} + {rejected}"),
                    "the prediction tokens are more than completion_tokens",
                    chunk=chunk,
                )
    details = usage.get("prompt_tokens_details")
    if isinstance(details, dict):
        _members(ledger, "U03", details, f"{root}.prompt_tokens_details", chunk)
        if prompt is not None:
            # cache_write_tokens is documented as unadjusted: it has no bound.
            for key in ("cached_tokens", "audio_tokens", "text_tokens", "image_tokens"):
                part = _count(details.get(key))
                if part is not None and part > prompt >= 0:
                    ledger.add(
                        "U03",
                        f"{root}.prompt_tokens_details.{key}",
                        f"at most {prompt} (prompt_tokens)",
                        part,
                        f"`{key}` is more than prompt_tokens",
                        case="cached" if key == "cached_tokens" else "",
                        chunk=chunk,
                    )


def _count(value: Any) -> int | None:
    # Beyond any count, so that no message has to write down thousands of digits.
    return value if type(value) is int and abs(value) < 10**18 else None


def _members(
    ledger: Ledger, code: str, details: dict[str, Any], path: str, chunk: int | None
) -> None:
    for key, value in details.items():
        if type(value) is int and value < 0:
            ledger.add(
                code,
                f"{path}.{key}",
                "an integer >= 0",
                value,
                f"`{key}` is negative",
                chunk=chunk,
            )
