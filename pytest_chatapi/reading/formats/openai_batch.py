"""Files of OpenAI's Batch API: a request a line, or in the output and error files a response.

A line is recognised by its ``custom_id``. The lines of an output file do not say which endpoint
they called, so their bodies tell.
"""

from __future__ import annotations

import re

from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.reading.bodies import plain_body
from pytest_chatapi.reading.format import NOWHERE, Origin, ValueFormat
from pytest_chatapi.reading.formats.exchange import exchange_of_parts
from pytest_chatapi.reading.parts import printable, status_of
from pytest_chatapi.reading.shapes import is_completion, is_of_other_api, parsed

_FRAME = frozenset({"body", "request_id", "status_code"})
_MEMBERS = {"body", "error", "params", "response", "result"}


def _matches(value: JSONObject) -> bool:
    return "custom_id" in value and not _MEMBERS.isdisjoint(value)


def _exchange(value: JSONObject, origin: Origin) -> Exchange | None:
    if "params" in value or "result" in value:  # a batch of Anthropic's, input or output
        return Exchange(Request(url="/v1/messages/batches"))
    if "url" in value and "body" in value:
        method = printable(value.get("method")).upper() or "POST"
        body = plain_body(value["body"], origin=origin)
        return Exchange(Request(method, printable(value["url"]), body=body))
    kept = value.get("response")
    response = parsed(kept)
    if response and (not isinstance(response, dict) or _FRAME.isdisjoint(response)):
        if not is_completion(response) and not is_of_other_api(None, Response(body=response)):
            return exchange_of_parts(value.get("request"), kept, value, origin)  # a log's own form
        response = {"body": response}
    if response is not kept:
        origin = NOWHERE
    if not isinstance(response, dict) or response.get("body") is None:
        # Expired, cancelled or refused before it was sent: there is no response.
        error = value.get("error")
        code = printable(error.get("code")) if isinstance(error, dict) else ""
        lacks = f"unanswered ({code})" if code else "unanswered"
        return Exchange(Request(url="/v1/chat/completions"), lacks=lacks)
    body = plain_body(response["body"], origin=origin)
    # Other services have taken over the form, and their ids begin differently.
    is_openai = printable(value.get("id")).startswith("batch_req_")
    answer = Response(status_of(response), body=body)
    is_ours = not is_openai and is_completion(body) and not is_of_other_api(None, answer)
    return Exchange(Request(url="/v1/chat/completions") if is_ours else None, answer)


FORMAT = ValueFormat(
    name="OpenAI batch",
    precedence=53,
    marks=frozenset({"custom_id"}),
    traces=re.compile(rb'"custom_id"\s*:'),
    matches=_matches,
    exchange=_exchange,
)
