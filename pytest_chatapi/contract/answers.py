"""Holds responses against the contract: completions, streams, errors, and all other documents."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Answer, Choice, Text, read_message
from pytest_chatapi.contract.exchange import Response, fold_headers
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.parse import loads_bytes
from pytest_chatapi.contract.rules import shape
from pytest_chatapi.contract.rules.correlation import check_answer, check_choice
from pytest_chatapi.contract.rules.errors import (
    check_error_body,
    check_headers,
    error_message,
    is_error_body,
)
from pytest_chatapi.contract.rules.logprobs import Tokens, check_asked
from pytest_chatapi.contract.rules.message import check_indexes, check_message
from pytest_chatapi.contract.rules.models import check_model, check_model_list
from pytest_chatapi.contract.rules.stream import StreamFold
from pytest_chatapi.contract.rules.structured import check_structured
from pytest_chatapi.contract.rules.tools import check_calls
from pytest_chatapi.contract.rules.usage import check_usage
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.sse import looks_like_sse
from pytest_chatapi.contract.wording import ABSENT, Shown

__all__ = ["check_response"]


def check_response(
    ledger: Ledger, ask: Ask, response: Response, kind: str, keep: bool
) -> Answer | None:
    """The answer, as far as one could be read.

    Args:
        kind: the endpoint.
        keep: keep all text of a stream.
    """
    status = response.status
    check_headers(ledger, fold_headers(response.headers), status)
    if status >= 400:
        _check_error(ledger, response)
        return None
    if not 200 <= status < 300 or status == 204:
        return None
    content_type = _media_type(response)
    if response.chunks is not None:
        fold = StreamFold(ledger, ask, keep=keep)
        fold.read_chunks(response.chunks)
        return _judge_answer(ledger, ask, fold.end(response.cut, framed=False))
    pieces, head = _pieces(response)
    parsed = pieces is None
    empty = response.body is None if parsed else not head
    if kind != "chat":
        if not empty:
            _check_document(ledger, kind, response, pieces)
        return None
    if empty:
        if response.cut == "server":
            ledger.add(
                "T17",
                "$",
                "a body",
                Shown("nothing"),
                "the server ended the connection before the first byte of the body",
            )
        elif response.cut is None:
            ledger.add(
                "S16", "$", "a body", Shown("nothing"), "the recording has no body: not judged"
            )
        return None
    is_stream = not parsed and _is_stream(head, content_type, ask)
    answer = _judge_body(ledger, ask, response, pieces, is_stream, keep)
    # An error page or an error body has another type as well: one cause, one finding.
    if not ledger.has("S00", "X03", "T10"):
        _check_content_type(ledger, ask, content_type, is_stream, head, parsed)
    return answer


def _judge_body(
    ledger: Ledger,
    ask: Ask,
    response: Response,
    pieces: Iterable[bytes] | None,
    is_stream: bool,
    keep: bool,
) -> Answer | None:
    if is_stream:
        assert pieces is not None
        fold = StreamFold(ledger, ask, keep=keep)
        fold.read_bytes(pieces, cut=response.cut is not None)
        return _judge_answer(ledger, ask, fold.end(response.cut))
    value = _read_json(ledger, response, pieces)
    if value is ABSENT:
        return None
    if not isinstance(value, dict):
        ledger.add("S00", "$", "one JSON object", value, "the body is no JSON object")
        return None
    if is_error_body(value):
        ledger.add(
            "X03",
            "$.error",
            "an answer, or an error status",
            value["error"],
            f"an error under status {response.status}: the server says {error_message(value)}",
        )
        return None
    return _judge_completion(ledger, ask, value)


def _media_type(response: Response) -> str:
    """The content-type without its parameters, in lower case; empty where there is none."""
    text = fold_headers(response.headers).get("content-type", "")
    return text.partition(";")[0].strip().lower()


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")


def _pieces(response: Response) -> tuple[Iterable[bytes] | None, bytes]:
    """The body as bytes in pieces, with its first bytes; ``None`` for parsed JSON or nothing."""
    body = response.body
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    if isinstance(body, bytes):
        return (body,), body[:512] if body[:1] > b" " else body.lstrip()[:512]
    if body is not None or response.pieces is None:
        return None, b""
    iterator: Iterator[bytes] = iter(response.pieces)
    first: list[bytes] = []
    size = 0
    for piece in iterator:
        first.append(piece)
        size += len(piece.lstrip()) if not size else len(piece)
        if size >= 512 or (size and b"\n" in piece):
            break
    return itertools.chain(first, iterator), b"".join(first).lstrip()[:512]


def _is_stream(head: bytes, content_type: str, ask: Ask) -> bool:
    if looks_like_sse(head):
        return True
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start in (b"{", b"["):
        return False
    # Neither events nor JSON: what was announced, or else what was asked for, is judged.
    return content_type == "text/event-stream" or (not content_type and ask.stream)


def _check_content_type(
    ledger: Ledger, ask: Ask, content_type: str, is_stream: bool, head: bytes, parsed: bool
) -> None:
    if ask.known and ask.stream != is_stream and not parsed:
        ledger.add(
            "E02",
            "headers.content-type" if content_type else "$",
            "an event stream" if ask.stream else "JSON",
            Shown("an event stream" if is_stream else "no event stream"),
            "the request streams and the body is no event stream"
            if ask.stream
            else "the request does not stream and the body is an event stream",
        )
        return
    if not content_type:
        return
    if is_stream and content_type != "text/event-stream":
        ledger.add(
            "E02",
            "headers.content-type",
            "text/event-stream",
            content_type,
            "a stream comes under another content type",
        )
    elif not is_stream and not (_is_json(content_type)):
        ledger.add(
            "E02",
            "headers.content-type",
            "application/json",
            content_type,
            "a plain answer comes under another content type",
        )


def _whole(response: Response, pieces: Iterable[bytes] | None) -> Any:
    if pieces is None:
        return response.body
    return b"".join(pieces)


def _read_json(ledger: Ledger, response: Response, pieces: Iterable[bytes] | None) -> Any:
    """The body as JSON; `ABSENT` where there is nothing to judge (reported by then)."""
    body = _whole(response, pieces)
    if not isinstance(body, bytes):
        return body
    if body.startswith(b"\xef\xbb\xbf"):
        ledger.add(
            "S00",
            "$",
            "JSON without a byte-order mark",
            Shown("a byte-order mark"),
            "a byte-order mark stands before the JSON",
            case="byte-order-mark",
        )
        body = body[3:]
    try:
        return loads_bytes(body)
    except ValueError as error:
        if response.cut == "server":
            ledger.add(
                "T17",
                "$",
                "the whole body",
                Shown(f"{len(body)} bytes"),
                "the server ended the connection inside the body",
            )
        elif response.cut is None:
            ledger.add("S00", "$", "one JSON object", body, f"the body is not JSON: {error}")
        return ABSENT


def _judge_completion(ledger: Ledger, ask: Ask, body: dict[str, Any]) -> Answer:
    """S to K for a ``chat.completion``."""
    found, unknown = load("response", ledger.as_of).violations(body)
    if found:
        found = [v for v in found if not _is_filtered(ledger, body, v.path, v.problem.keyword)]
    shape.report(ledger, found, unknown)
    shape.check_frame(ledger, body)
    answer = Answer(streamed=False)
    answer.model = body.get("model")
    usage = body.get("usage")
    answer.usage = usage if isinstance(usage, dict) else None
    if "usage" not in body:
        ledger.add("U05", "$.usage", "an object", ABSENT, "the answer has no usage")
    raws = body.get("choices")
    if not isinstance(raws, list):
        return answer
    if not raws:
        ledger.add("S05", "$.choices", "at least one choice", raws, "the answer has no choice")
    indexes: list[int] = []
    for position, raw in enumerate(raws):
        if not isinstance(raw, dict):
            continue
        index = raw.get("index")
        if type(index) is int:
            indexes.append(index)
        where = f"$.choices[{position}].message"
        choice = Choice(position, where, Text(True, ask.stops), Text(True))
        answer.choices[position] = choice
        finish = raw.get("finish_reason")
        choice.finish = finish if isinstance(finish, str) else None
        message = raw.get("message")
        if isinstance(message, dict):
            read_message(choice, message)
        else:
            choice.parts = True
        logprobs = raw.get("logprobs")
        if isinstance(logprobs, dict):
            choice.logprobs = True
            tokens = Tokens(ledger, ask)
            for member in ("content", "refusal"):
                values = logprobs.get(member)
                if isinstance(values, list):
                    tokens.add(member, values, f"$.choices[{position}].logprobs.{member}", None)
            tokens.end(choice, whole=True)
    if len(indexes) == len(raws) and indexes:
        check_indexes(ledger, indexes)
    return _judge_answer(ledger, ask, answer)


def _is_filtered(ledger: Ledger, body: dict[str, Any], path: Any, keyword: str) -> bool:
    """Azure's filter leaves out the message of a choice that it blocked."""
    if keyword != "required" or len(path) != 3 or path[0] != "choices" or path[2] != "message":
        return False
    choice = body["choices"][path[1]]
    if choice.get("finish_reason") != "content_filter":
        return False
    ledger.add(
        "S01",
        f"$.choices[{path[1]}].message",
        "object",
        ABSENT,
        "a choice that the content filter blocked has no message",
        case="content-filter",
    )
    return True


def _judge_answer(ledger: Ledger, ask: Ask, answer: Answer) -> Answer:
    """The rules about an answer, joined or whole."""
    choices = [answer.choices[index] for index in sorted(answer.choices)]
    for choice in choices:
        where = f"$.choices[{choice.index}].message"
        check_message(ledger, answer, choice, where)
        if choice.called or choice.finish == "tool_calls" or choice.content.markup:
            check_calls(ledger, ask, answer, choice)
        if ask.known:
            if ask.format is not None:
                check_structured(ledger, ask, answer, choice)
            check_choice(ledger, ask, answer, choice)
            check_asked(ledger, ask, choice)
    if answer.usage is not None:
        answered = any(c.content.any or c.refusal.any or c.called for c in choices)
        check_usage(ledger, answer.usage, answered=answered, chunk=answer.usage_chunk)
    check_answer(ledger, ask, answer)
    return answer


def _check_error(ledger: Ledger, response: Response) -> None:
    pieces, _ = _pieces(response)
    body = _whole(response, pieces)
    empty = body is None
    media_type = _media_type(response)
    if isinstance(body, bytes):
        if not body.strip():
            empty = True
        else:
            try:
                value = loads_bytes(body.removeprefix(b"\xef\xbb\xbf"))
            except ValueError:
                if response.cut is not None:
                    return
                ledger.add(
                    "X04",
                    "$",
                    "JSON",
                    body,
                    "the body of the error is not JSON",
                )
                return
            body = value
            if media_type and not _is_json(media_type):
                ledger.add(
                    "E02",
                    "headers.content-type",
                    "application/json",
                    media_type,
                    "a JSON error body comes under another content type",
                    case="error-body",
                )
    if empty:
        if response.cut is None:
            ledger.add("X04", "$", "JSON", Shown("nothing"), "the error has no body")
        return
    check_error_body(ledger, body, response.status)


def _check_document(
    ledger: Ledger,
    kind: str,
    response: Response,
    pieces: Iterable[bytes] | None,
) -> None:
    """Everything but the answer to a POST chat/completions."""
    family = "D01" if kind == "model_list" else "D02" if kind.startswith("model") else "S01"
    body = _whole(response, pieces)
    if isinstance(body, bytes):
        try:
            body = loads_bytes(body.removeprefix(b"\xef\xbb\xbf"))
        except ValueError as error:
            if response.cut is None:
                ledger.add(family, "$", "JSON", body, f"the body is not JSON: {error}")
            return
    if is_error_body(body):
        ledger.add(
            "X03",
            "$.error",
            "an answer, or an error status",
            body["error"],
            "an error body under a 2xx status",
        )
    elif kind == "model_list":
        check_model_list(ledger, body)
    elif kind == "model":
        check_model(ledger, body)
    elif not isinstance(body, dict):
        ledger.add(family, "$", "a JSON object", body, "the body is no JSON object")
    else:
        # A stored completion is a completion with leave to echo its request.
        name = "completion_list" if kind == "completion" else kind
        node = load(name, ledger.as_of)
        if kind == "completion":
            found, unknown = node.properties["data"].items.violations(body)  # type: ignore[union-attr]
        else:
            found, unknown = node.violations(body)
        shape.report(ledger, found, unknown, default=family)
