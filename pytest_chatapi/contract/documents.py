"""Checks of documents: stored completions, their messages, models."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from pytest_chatapi.contract.answers import check_chunks, check_completion, check_status
from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Answer
from pytest_chatapi.contract.body import BYTE_ORDER_MARK
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.parse import loads_bytes
from pytest_chatapi.contract.rules import shape
from pytest_chatapi.contract.rules.body import body_missing
from pytest_chatapi.contract.rules.errors import error_under_2xx, is_error_body
from pytest_chatapi.contract.rules.registry import Violation, Violations, code_of
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.wire import JSON, JSONObject

__all__ = ["by_schema", "document"]

Rule: TypeAlias = Callable[..., Violations]


def document(
    check_body: Callable[[Ledger, JSON], None], general: Rule = shape.schema
) -> Callable[[Ledger, Exchange, bool], Answer | None]:
    """The check of an endpoint whose responses are documents, not model output.

    Args:
        check_body: checks the parsed body.
        general: the rule that a body that is not JSON breaks.
    """

    def check(ledger: Ledger, exchange: Exchange, keep: bool) -> Answer | None:
        response = exchange.response
        body = None if response is None else check_status(ledger, response)
        if response is None or body is None:
            return None
        if response.chunks is not None:
            return check_chunks(ledger, Ask.UNKNOWN, response, keep)
        if body.is_empty:
            if body.cut is None:
                ledger.report(body_missing)
            return None
        value = body.read()
        if isinstance(value, bytes):
            try:
                value = loads_bytes(value.removeprefix(BYTE_ORDER_MARK))
            except ValueError as error:
                if body.cut is None:
                    why = f"the body is not JSON: {error}"
                    ledger.add(code_of(general), Violation("$", "JSON", value, why))
                return None
        if is_error_body(value):
            ledger.report(error_under_2xx, value, response.status)
        else:
            check_body(ledger, value)
        return None

    return check


def by_schema(
    name: str, *, item_of: str = "", general: Rule = shape.schema
) -> Callable[[Ledger, JSON], None]:
    """The check of a body that ``schemas/<name>.json`` describes.

    Args:
        item_of: the body is an item of the list under this key of the schema.
        general: the rule for violations without a code of their own.
    """

    def check(ledger: Ledger, body: JSON) -> None:
        if not isinstance(body, dict):
            message = "the body is not a JSON object"
            ledger.add(code_of(general), Violation("$", "a JSON object", body, message))
            return
        node = load(name, ledger.as_of)
        if item_of:
            items = node.properties[item_of].items
            assert items is not None
            node = items
        violations, unknown = node.violations(body)
        shape.report(ledger, violations, unknown, default=general)
        if name == "completion_list":
            _check_completions(ledger, body)

    return check


def _check_completions(ledger: Ledger, body: JSONObject) -> None:
    """The rules about a completion for a stored one, or for each in a list of them.

    Their requests are not known, so nothing is compared with one.
    """
    if body.get("object") != "list":
        check_completion(ledger, Ask.UNKNOWN, body)
        return
    items = body.get("data")
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            ledger.prefix = f".data[{index}]"
            check_completion(ledger, Ask.UNKNOWN, item)
    ledger.prefix = ""
