"""Q17 to Q21: what the service refuses although each parameter is as documented."""

from __future__ import annotations

from datetime import date

from pytest_chatapi.contract.models import DEPRECATIONS, model_refusals, shutdown_date
from pytest_chatapi.contract.rules.facts import RequestFacts
from pytest_chatapi.contract.rules.registry import Violation, rule
from pytest_chatapi.contract.strict_schema import strict_problems, strict_schemas
from pytest_chatapi.contract.validation import json_path
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import ABSENT, Shown, plural

__all__ = ["both_caps", "model_capability", "model_shutdown", "strict_schema", "tools_missing"]

# A model that is shut down within so many days is worth a warning where it is really used.
_NEAR = 90


@rule("Q17")
def model_shutdown(facts: RequestFacts) -> Violation | None:
    """Today's date decides only for a request that has just been sent: a recording must not
    change its level by the calendar.
    """
    model = facts.ask.model
    day = shutdown_date(model)
    if day is None:
        return None
    now = facts.as_of or (date.today() if facts.live else None)
    if now is None:
        return _announced(model, f"`{model}` has a shutdown date: {day}")
    left = (date.fromisoformat(day) - now).days
    if left <= 0:
        message = f"`{model}` was shut down on {day}"
    else:
        message = f"`{model}` is shut down on {day}, in {plural(left, 'day')}"
    return _announced(model, message, "live" if facts.live and left <= _NEAR else "")


def _announced(model: JSON, message: str, case: str = "") -> Violation:
    return Violation("$.model", _EXPECTED, model, message, case)


_EXPECTED = f"a model that stays (see {DEPRECATIONS})"


@rule("Q18")
def model_capability(facts: RequestFacts) -> list[Violation] | None:
    refusals = model_refusals(facts.ask.body, facts.day)
    if not refusals or "/deployments/" in facts.url:
        return None  # at Azure the deployment decides the model
    return [
        Violation(
            json_path(refusal.path),
            "what the model accepts",
            ABSENT if refusal.value is None else refusal.value,
            f"the service refuses this: {refusal.message.rstrip('.')}",
        )
        for refusal in refusals
    ]


@rule("Q19")
def tools_missing(facts: RequestFacts) -> Violation | None:
    """``auto`` and ``none`` are a case of their own: the service's 400 for them is quoted in
    public reports up to August 2026, while Mistral has accepted such requests (recordings).
    """
    body = facts.ask.body
    if body.get("tools"):
        return None
    choice = body.get("tool_choice")
    if choice == "required" or isinstance(choice, dict):
        return None  # the tool that it requires, names or allows is missing
    if body.get("tools") == []:
        return Violation("$.tools", "at least one tool", [], "`tools` is empty: leave it out")
    if body.get("parallel_tool_calls") is not None:
        got = body["parallel_tool_calls"]
        message = "`parallel_tool_calls` without tools"
        return Violation("$.parallel_tool_calls", "tools as well", got, message)
    if choice is not None:
        message = "`tool_choice` without tools"
        return Violation("$.tool_choice", "tools as well", choice, message, "choice")
    return None


@rule("Q20")
def strict_schema(facts: RequestFacts) -> list[Violation] | None:
    ask = facts.ask
    if not ask.strict and not ask.body.get("tools"):
        return None
    return [
        Violation(
            json_path((*path, *problem.path)),
            problem.expected,
            problem.got,
            problem.message,
        )
        for path, schema, _, _ in strict_schemas(ask.body)
        for problem in strict_problems(schema)
    ]


@rule("Q21")
def both_caps(facts: RequestFacts) -> Violation | None:
    body = facts.ask.body
    if body.get("max_tokens") is None or body.get("max_completion_tokens") is None:
        return None
    message = "`max_tokens` and `max_completion_tokens` are both sent"
    got = Shown(f"{body['max_tokens']} and {body['max_completion_tokens']}"[:80])
    return Violation("$.max_tokens", "one of the two", got, message)
