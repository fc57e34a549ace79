"""J: structured output."""

from __future__ import annotations

import re

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Answer, Choice
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.parse import loads
from pytest_chatapi.contract.userschema import SchemaTrouble, first_error

__all__ = ["check_structured"]

_FENCE = re.compile(r"\s*```")


def check_structured(ledger: Ledger, ask: Ask, answer: Answer, choice: Choice) -> None:
    """J01 to J03 for one choice."""
    if ask.format not in ("json_object", "json_schema") or not answer.whole or choice.parts:
        return
    if choice.finish in ("length", "content_filter") or choice.refusal.any or choice.called:
        return
    if not choice.content.any and ledger.has("S09"):
        return
    if answer.streamed and not choice.finish:
        return  # it may not be whole: T05 says so
    text = str(choice.content)
    path = f"$.choices[{choice.index}].message.content"
    code = "J01" if ask.format == "json_object" else "J02"
    case = "not-strict" if code == "J02" and not ask.strict else ""
    if _FENCE.match(text):
        ledger.add("J03", path, "bare JSON", text, "the content is wrapped in a code fence")
        return
    try:
        value = loads(text)
    except ValueError as error:
        ledger.add(code, path, "JSON", text, f"the content is not JSON: {error}", case=case)
        return
    if code == "J01":
        if not isinstance(value, dict):
            ledger.add(code, path, "a JSON object", text, "the content is no JSON object")
    elif isinstance(ask.schema, dict):
        try:
            error_ = first_error(ask.schema, value)
        except SchemaTrouble:
            return
        if error_ is not None:
            place, why = error_
            ledger.add(
                code,
                path,
                f"what the response_format's schema allows{place}",
                text,
                f"the content breaks the schema: {why}",
                case=case,
            )
