"""D: models."""

from __future__ import annotations

from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules import shape
from pytest_chatapi.contract.rules.registry import Violation, rule
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.wire import JSON

__all__ = ["check_model", "check_model_list", "model_list", "model_object"]


def check_model(ledger: Ledger, model: JSON, prefix: str = "") -> None:
    """D02 for one model object."""
    if not isinstance(model, dict):
        ledger.report(model_object, model, prefix)
        return
    violations, unknown = load("model", ledger.as_of).violations(model)
    if violations or unknown:
        shape.report(ledger, violations, unknown, default=model_object, prefix=prefix)


def check_model_list(ledger: Ledger, body: JSON) -> None:
    """D01 to D03."""
    ledger.report(model_list, body)
    if not isinstance(body, dict):
        return
    _, unknown = load("model_list", ledger.as_of).violations(body)
    if unknown:  # those inside a model are reported with the model
        shape.report(ledger, (), [path for path in unknown if len(path) == 1])
    data = body.get("data")
    positions: dict[str, int] = {}
    for position, model in enumerate(data if isinstance(data, list) else ()):
        check_model(ledger, model, f".data[{position}]")
        id_ = model.get("id") if isinstance(model, dict) else None
        if isinstance(id_, str) and positions.setdefault(id_, position) != position:
            ledger.report(model_id_repeated, id_, position, positions[id_])


@rule("D01")
def model_list(body: JSON) -> list[Violation]:
    if not isinstance(body, dict):
        return [
            Violation("$", '{object: "list", data: [...]}', body, "the model list is not an object")
        ]
    violations = []
    if (kind := body.get("object")) != "list":
        violations.append(Violation("$.object", '"list"', kind, "`object` is not `list`"))
    if not isinstance(data := body.get("data"), list):
        violations.append(Violation("$.data", "a list of models", data, "`data` is not a list"))
    return violations


@rule("D02")
def model_object(model: JSON, prefix: str) -> Violation:
    """Where a model is not an object; what is wrong inside one violates the schema."""
    return Violation(f"${prefix}", "a model object", model, "the model is not an object")


@rule("D03")
def model_id_repeated(id_: str, position: int, first: int) -> Violation:
    message = f"the id is already used at $.data[{first}]"
    return Violation(f"$.data[{position}].id", "a unique id", id_, message)
