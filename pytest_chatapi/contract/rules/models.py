"""D: models."""

from __future__ import annotations

from typing import Any

from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules import shape
from pytest_chatapi.contract.schemas import load

__all__ = ["check_model", "check_model_list"]


def check_model(ledger: Ledger, model: Any, prefix: str = "") -> None:
    """D02 for one model object."""
    if not isinstance(model, dict):
        ledger.add("D02", f"${prefix}", "a model object", model, "the model is no object")
        return
    found, unknown = load("model", ledger.as_of).violations(model)
    shape.report(ledger, found, unknown, default="D02", prefix=prefix)


def check_model_list(ledger: Ledger, body: Any) -> None:
    """D01 to D03."""
    if not isinstance(body, dict):
        ledger.add("D01", "$", '{object: "list", data: [...]}', body, "the list is no object")
        return
    if body.get("object") != "list":
        ledger.add("D01", "$.object", '"list"', body.get("object"), "`object` is not `list`")
    _, unknown = load("model_list", ledger.as_of).violations(body)
    shape.report(ledger, (), [path for path in unknown if len(path) == 1])
    data = body.get("data")
    if not isinstance(data, list):
        ledger.add("D01", "$.data", "a list of models", data, "`data` is no list")
        return
    seen: dict[str, int] = {}
    for position, model in enumerate(data):
        check_model(ledger, model, f".data[{position}]")
        id_ = model.get("id") if isinstance(model, dict) else None
        if isinstance(id_, str):
            if id_ in seen:
                ledger.add(
                    "D03",
                    f"$.data[{position}].id",
                    "an id of its own",
                    id_,
                    f"the id stands at $.data[{seen[id_]}] too",
                )
            seen.setdefault(id_, position)
