"""The check of a chat exchange: its request, and a completion, a stream or an error."""

from __future__ import annotations

from pytest_chatapi.contract.ask import Ask, request_json
from pytest_chatapi.contract.assemble import Answer, Choice, Text, read_message
from pytest_chatapi.contract.body import BYTE_ORDER_MARK, Body
from pytest_chatapi.contract.exchange import Exchange, Response, fold_headers
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.logged import check_logged_message, is_logged_message
from pytest_chatapi.contract.parse import loads_bytes
from pytest_chatapi.contract.rules import message, shape
from pytest_chatapi.contract.rules.body import (
    EVENT_STREAM,
    body_missing,
    content_type_stream,
    not_json,
)
from pytest_chatapi.contract.rules.correlation import check_answer, check_choice
from pytest_chatapi.contract.rules.errors import (
    check_error_body,
    error_not_json,
    error_under_2xx,
    is_error_body,
)
from pytest_chatapi.contract.rules.facts import AnswerFacts, ChoiceFacts
from pytest_chatapi.contract.rules.headers import check_headers
from pytest_chatapi.contract.rules.logprobs import Tokens
from pytest_chatapi.contract.rules.registry import checks, code_of, codes_of
from pytest_chatapi.contract.rules.request import check_request
from pytest_chatapi.contract.rules.stream import StreamFold
from pytest_chatapi.contract.rules.stream_chunks import stream_error_event
from pytest_chatapi.contract.rules.stream_end import stream_truncated
from pytest_chatapi.contract.rules.structured import check_structured
from pytest_chatapi.contract.rules.text import check_text
from pytest_chatapi.contract.rules.tools import check_calls
from pytest_chatapi.contract.rules.usage import check_usage, usage_absent
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.validation import SchemaViolation
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT

__all__ = ["check_chat", "check_chunks", "check_completion", "check_status"]

_COMPLETION_CHECKS = checks(usage_absent, message.choices_empty)
# An error page or an error body has another type as well: one cause, one finding.
_OTHER_TYPE = codes_of(not_json, error_under_2xx, stream_error_event)


def check_chat(ledger: Ledger, exchange: Exchange, keep: bool) -> Answer | None:
    """Checks a request and its response; returns the answer, as far as one could be read.

    Args:
        keep: keep all text of a stream.
    """
    request, response = exchange.request, exchange.response
    request_body, why_not = request_json(request)
    ask = Ask.UNKNOWN
    if request is not None:
        if request_body is not None:
            ask = Ask(request_body, partial=request.partial)
        refused = response is not None and 400 <= response.status < 500
        check_request(
            ledger,
            ask,
            request_body,
            why_not,
            request.url,
            sent=request.body,
            refused=refused,
            live=exchange.live,
        )
    body = None if response is None else check_status(ledger, response)
    if response is None or body is None:
        return None
    answer: Answer | None
    if response.chunks is not None:
        answer = check_chunks(ledger, ask, response, keep)
    elif exchange.assembled and is_logged_message(response.body):
        answer = check_logged_message(ledger, ask, response.body)
    else:
        answer = _check_body(ledger, ask, body, response.status, keep)
    if answer is not None:
        answer.ask = ask
    return answer


def check_status(ledger: Ledger, response: Response) -> Body | None:
    """Checks headers, and the body of an error; returns any other body that is to be checked."""
    status, headers = response.status, fold_headers(response.headers)
    check_headers(ledger, headers, status)
    if status >= 400:
        _check_error(ledger, Body(response, headers), status)
        return None
    return Body(response, headers) if 200 <= status < 300 and status != 204 else None


def check_chunks(ledger: Ledger, ask: Ask, response: Response, keep: bool) -> Answer:
    """Checks the parsed chunks of a stream, whose framing is unknown."""
    fold = StreamFold(ledger, ask, keep=keep)
    fold.read_chunks(response.chunks or ())
    return _check_answer(ledger, ask, fold.end(response.cut, framed=False))


def _check_body(ledger: Ledger, ask: Ask, body: Body, status: int, keep: bool) -> Answer | None:
    is_stream, pieces = body.is_stream(ask.stream), body.pieces
    if body.is_blank:
        if body.cut == "server":
            place = "before the first byte of the body"
            ledger.report(stream_truncated, "a body", "nothing", place)
        if body.cut is not None:
            return None
        if body.media_type == EVENT_STREAM and pieces is not None:
            is_stream = True  # seen to its end, and nothing came
        elif body.is_empty:
            ledger.report(body_missing)
            return None
    if (ask.stream or body.media_type == EVENT_STREAM) and not is_stream:
        is_stream, pieces = body.is_broken_stream(), body.pieces
    answer: Answer | None
    if is_stream and pieces is not None:
        fold = StreamFold(ledger, ask, keep=keep)
        fold.read_bytes(pieces, cut=body.cut is not None)
        answer = _check_answer(ledger, ask, fold.end(body.cut))
    else:
        answer = _check_plain(ledger, ask, body, status)
    if not ledger.has(_OTHER_TYPE):
        comparable = ask.known and pieces is not None and ask.stream_is_sound
        requested = ask.stream if comparable else None
        ledger.report(content_type_stream, body.media_type, is_stream, requested)
    return answer


def _check_plain(ledger: Ledger, ask: Ask, body: Body, status: int) -> Answer | None:
    value = _read_json(ledger, body)
    if value is ABSENT:
        return None
    if not isinstance(value, dict):
        ledger.report(not_json, value)
        return None
    if is_error_body(value):
        ledger.report(error_under_2xx, value, status)
        return None
    return _check_completion(ledger, ask, value)


def _read_json(ledger: Ledger, body: Body) -> JSON:
    """The body as JSON; `ABSENT` where it is not JSON, which is then reported."""
    text = body.read()
    if not isinstance(text, bytes):
        return text
    if body.is_blank:
        ledger.report(not_json, text, "there is only white space in it")
        return ABSENT
    if text.startswith(BYTE_ORDER_MARK):
        ledger.report(not_json, text)
        text = text.removeprefix(BYTE_ORDER_MARK)
    try:
        return loads_bytes(text)
    except ValueError as error:
        if body.cut == "server":
            got = f"{len(text)} bytes"
            ledger.report(stream_truncated, "the whole body", got, "inside the body")
        elif body.cut is None:
            ledger.report(not_json, text, str(error))
        return ABSENT


def _check_completion(ledger: Ledger, ask: Ask, body: JSONObject) -> Answer:
    """Checks a ``chat.completion`` against its schema and by all rules about one."""
    violations, unknown = load("response", ledger.as_of).violations(body)
    if violations:
        violations = [
            violation for violation in violations if not _is_filtered(ledger, body, violation)
        ]
    if violations or unknown:
        shape.report(ledger, violations, unknown)
    return check_completion(ledger, ask, body)


def check_completion(ledger: Ledger, ask: Ask, body: JSONObject) -> Answer:
    """Runs all rules about a ``chat.completion`` except its schema."""
    shape.check_frame(ledger, body)
    answer = Answer(streamed=False)
    answer.model, answer.last = body.get("model"), body
    usage = body.get("usage")
    answer.usage = usage if isinstance(usage, dict) else None
    if echoes := ask.echoes:
        answer.echo = {key: body[key] for key in echoes if body.get(key) is not None}
    raws = body.get("choices")
    if not raws or usage is None:
        ledger.run(_COMPLETION_CHECKS, body)
    if not isinstance(raws, list):
        return answer
    indexes: list[int] = []
    for position, raw in enumerate(raws):
        if isinstance(raw, dict):
            answer.choices[position] = _choice(ledger, ask, raw, position)
            if type(index := raw.get("index")) is int:
                indexes.append(index)
    if len(indexes) == len(raws) and indexes != [0]:
        ledger.report(message.choice_index, indexes)
    return _check_answer(ledger, ask, answer)


def _choice(ledger: Ledger, ask: Ask, raw: JSONObject, position: int) -> Choice:
    path = f"$.choices[{position}]"
    choice = Choice(position, f"{path}.message", Text(True, ask.stops), Text(True))
    finish = raw.get("finish_reason")
    choice.finish = finish if isinstance(finish, str) else None
    choice.read_stop_reason(raw)
    value = raw.get("message")
    if isinstance(value, dict):
        read_message(choice, value)
    else:
        choice.parts = True
    logprobs = raw.get("logprobs")
    if isinstance(logprobs, dict):
        choice.logprobs = True
        tokens = Tokens(ledger, ask)
        for member in ("content", "refusal"):
            values = logprobs.get(member)
            if isinstance(values, list):
                choice.has_tokens = True
                tokens.add(member, values, f"{path}.logprobs.{member}", None)
        tokens.end(choice, whole=True)
    return choice


def _is_filtered(ledger: Ledger, body: JSONObject, violation: SchemaViolation) -> bool:
    """Whether the message of a choice is missing because Azure's filter blocked it."""
    path = violation.path
    if (
        violation.problem.keyword != "required"
        or len(path) != 3
        or path[::2] != ("choices", "message")
    ):
        return False
    if body["choices"][path[1]].get("finish_reason") != "content_filter":
        return False
    why = "a choice that the content filter blocked has no message"
    ledger.add(
        code_of(shape.schema), shape.schema(violation, "content-filter")._replace(message=why)
    )
    return True


def _check_answer(ledger: Ledger, ask: Ask, answer: Answer) -> Answer:
    """Runs the rules about an answer, whether it came whole or as a stream."""
    answered = False
    for index in sorted(answer.choices):
        choice = answer.choices[index]
        answered = answered or choice.content.any or choice.refusal.any or choice.called
        facts = ChoiceFacts(ask, answer, choice)
        message.check_message(ledger, facts)
        content = choice.content
        if choice.citations or content.leaks is not None or (choice.refusal.any and content.any):
            check_text(ledger, facts)
        if choice.called or choice.finish == "tool_calls" or choice.content.markup:
            check_calls(ledger, facts)
        if ask.known:
            if ask.format is not None:
                check_structured(ledger, facts)
            check_choice(ledger, facts)
    if answer.usage is not None:
        check_usage(ledger, answer.usage, answered=answered, chunk=answer.usage_chunk)
    if ask.known:
        check_answer(ledger, AnswerFacts(ask, answer, ledger.profile.name))
    return answer


def _check_error(ledger: Ledger, body: Body, status: int) -> None:
    value = body.read()
    if isinstance(value, bytes) and value.strip():
        try:
            parsed = loads_bytes(value.removeprefix(BYTE_ORDER_MARK))
        except ValueError:
            if body.cut is None:
                ledger.report(error_not_json, value)
            return
        ledger.report(content_type_stream, body.media_type, False, is_error=True)
        check_error_body(ledger, parsed, status)
    elif value is not None and not isinstance(value, bytes):
        check_error_body(ledger, value, status)
    elif body.cut is None:
        ledger.report(error_not_json, None)
