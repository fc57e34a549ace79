"""The one entry of the contract: an exchange in, findings out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from pytest_chatapi.contract.ask import Ask, request_json
from pytest_chatapi.contract.assemble import Answer, Choice, Text, read_message
from pytest_chatapi.contract.catalogue import FAMILIES
from pytest_chatapi.contract.exchange import Exchange, Response, fold_headers
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.parse import loads, loads_bytes
from pytest_chatapi.contract.profiles import Profile, get_profile, profile_for_url
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
from pytest_chatapi.contract.rules.request import check_request
from pytest_chatapi.contract.rules.stream import StreamFold
from pytest_chatapi.contract.rules.structured import check_structured
from pytest_chatapi.contract.rules.tools import check_calls
from pytest_chatapi.contract.rules.usage import check_usage
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.sse import looks_like_sse
from pytest_chatapi.contract.wording import ABSENT, Shown
from pytest_chatapi.errors import SettingError

__all__ = ["Judgement", "check_exchange", "endpoint", "parse_date", "selects"]

_CHAT = re.compile(r"/chat/completions(?:/(?P<id>[^/]+)(?P<messages>/messages)?)?$")
_OTHERS = ('"data"', '"deleted"', '"owned_by"')
_OTHERS_BYTES = tuple(mark.encode() for mark in _OTHERS)
_MODELS = re.compile(r"(?:^|/(?:v\d+|openai))/models(?:/(?P<id>.+))?$")


def endpoint(exchange: Exchange) -> str | None:
    """What was called: ``chat``, ``completion``, ``completion_list``, ``completion_deleted``,
    ``message_list``, ``model_list``, ``model``, ``model_deleted``; ``None``: not our traffic.

    The end of the path decides, so placeholder hosts and any base path are fine.
    """
    request = exchange.request
    if request is None or not request.url:
        return _endpoint_of_body(exchange.response)
    try:
        path = urlsplit(request.url).path.rstrip("/")
    except ValueError:
        path = request.url.partition("?")[0].rstrip("/")
    method = request.method.upper()
    if (chat := _CHAT.search(path)) is not None:
        if chat["messages"]:
            return "message_list" if method == "GET" else None
        if chat["id"]:
            named = {"GET": "completion", "POST": "completion", "DELETE": "completion_deleted"}
            return named.get(method)
        return {"POST": "chat", "GET": "completion_list"}.get(method)
    if (models := _MODELS.search(path)) is not None:
        if "anthropic-version" in request.headers:
            return None  # another API under the same path
        if models["id"]:
            return {"GET": "model", "DELETE": "model_deleted"}.get(method)
        return "model_list" if method == "GET" else None
    return None


def _endpoint_of_body(response: Response | None) -> str:
    body = response.body if response is not None else None
    if isinstance(body, str | bytes):
        # Parsing twice would double the cost of a lone answer: look for what others have first.
        marks = _OTHERS if isinstance(body, str) else _OTHERS_BYTES
        if not any(mark in body for mark in marks):  # type: ignore[operator]
            return "chat"
        try:
            body = loads(body) if isinstance(body, str) else loads_bytes(body)
        except ValueError:
            return "chat"
    if isinstance(body, dict):
        data = body.get("data")
        if body.get("object") == "list" and isinstance(data, list):
            kinds = [d.get("object") for d in data if isinstance(d, dict)]
            stored = bool(kinds) and all(kind == "chat.completion" for kind in kinds)
            return "completion_list" if stored else "model_list"
        named = {
            "model": "model_deleted" if "deleted" in body else "model",
            "chat.completion.deleted": "completion_deleted",
        }
        return named.get(str(body.get("object")), "chat")
    return "chat"


def parse_date(value: date | str | None) -> date | None:
    """A day as ``YYYY-MM-DD``.

    Raises:
        SettingError: it is none.
    """
    if value is None or isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise SettingError(f"{value!r} is no day: write YYYY-MM-DD") from None


class selects:
    """Predicate of ``--select`` and ``--ignore``: ``CODE``, ``CODE:json.path``, a family letter,
    or a rule's name.

    A path fits itself and all below it; ``[*]`` fits every index, a leading ``$.`` may be
    left out.

    Raises:
        SettingError: no such rule.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._codes: list[tuple[str, re.Pattern[str] | None]] = []
        for pattern in patterns:
            code, _, path = pattern.strip().partition(":")
            self._codes.append((self._code(code), _path_pattern(path) if path else None))

    @staticmethod
    def _code(text: str) -> str:
        if text.upper() in FAMILIES:
            return text.upper()
        from pytest_chatapi.contract.catalogue import get_rule

        return get_rule(text).code

    def __bool__(self) -> bool:
        return bool(self._codes)

    def __call__(self, finding: Finding) -> bool:
        return any(
            finding.code.startswith(code) and (path is None or path.match(finding.path) is not None)
            for code, path in self._codes
        )


def _path_pattern(path: str) -> re.Pattern[str]:
    path = path.removeprefix("$").removeprefix(".")
    if not path:
        return re.compile("")
    escaped = re.escape(path).replace(r"\[\*\]", r"\[\d+\]").replace(r"\[\]", r"\[\d+\]")
    escaped = escaped.replace(r"\.\*", r"\.[^.\[]+")
    prefix = "" if path.startswith("headers.") else r"\$" + (r"" if path[0] == "[" else r"\.")
    return re.compile(prefix + escaped + r"(?=$|[.\[])")


class Judgement:
    """What a check finds out: the findings, and the answer as far as it was folded.

    Attributes:
        kind: the endpoint, ``None`` when the exchange is not our traffic.
        answer: choices, usage and frame; ``None`` where no answer could be read.
    """

    __slots__ = ("answer", "findings", "kind")

    def __init__(self, kind: str | None) -> None:
        self.kind = kind
        self.findings: list[Finding] = []
        self.answer: Answer | None = None


def check_exchange(
    exchange: Exchange,
    profile: str | Profile | None = None,
    *,
    as_of: date | str | None = None,
    ignore: Iterable[str] | selects = (),
    select: Iterable[str] | selects = (),
    keep: bool = False,
) -> Judgement:
    """Holds one exchange against the contract.

    Args:
        profile: name of a profile; ``None`` chooses by the host of the request's URL.
        as_of: judge by the contract of that day.
        ignore: findings to leave out, as `selects` reads them.
        select: the only findings to keep.
        keep: keep all text of a stream, so that the answer can be rendered.
    """
    kind = endpoint(exchange)
    judgement = Judgement(kind)
    if kind is None:
        return judgement
    request = exchange.request
    if profile is None:
        profile = profile_for_url(request.url if request is not None else "")
    elif isinstance(profile, str):
        profile = get_profile(profile)
    ledger = Ledger(profile, parse_date(as_of))
    if kind == "chat":
        body, why_not = request_json(request)
        ask = Ask(body) if body is not None else Ask.UNKNOWN
        if request is not None and (body is not None or why_not is not None):
            check_request(ledger, ask, body, why_not, request.url)
    else:
        ask = Ask.UNKNOWN
    if exchange.response is not None:
        _check_response(ledger, ask, exchange.response, kind, judgement, keep)
    found = ledger.findings()
    if exchange.source is not None:
        found = [f.at(exchange.source) for f in found]
    chosen = select if isinstance(select, selects) else selects(select)
    left_out = ignore if isinstance(ignore, selects) else selects(ignore)
    if chosen:
        found = [f for f in found if chosen(f)]
    if left_out:
        found = [f for f in found if not left_out(f)]
    judgement.findings = found
    return judgement


def _check_response(
    ledger: Ledger,
    ask: Ask,
    response: Response,
    kind: str,
    judgement: Judgement,
    keep: bool,
) -> None:
    status = response.status
    check_headers(ledger, fold_headers(response.headers), status)
    if status >= 400:
        _check_error(ledger, response)
        return
    if not 200 <= status < 300 or status == 204:
        return
    content_type = _media_type(response)
    if response.chunks is not None:
        fold = StreamFold(ledger, ask, keep=keep)
        fold.read_chunks(response.chunks)
        judgement.answer = _judge_answer(ledger, ask, fold.end(response.cut, framed=False))
        return
    pieces, head = _pieces(response)
    parsed = pieces is None
    empty = response.body is None if parsed else not head
    if kind != "chat":
        if not empty:
            _check_document(ledger, kind, response, pieces)
        return
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
        return
    is_stream = not parsed and _is_stream(head, content_type, ask)
    _judge_body(ledger, ask, response, pieces, is_stream, judgement, keep)
    # An error page or an error body has another type as well: one cause, one finding.
    if not ledger.has("S00", "X03", "T10"):
        _check_content_type(ledger, ask, content_type, is_stream, head, parsed)


def _judge_body(
    ledger: Ledger,
    ask: Ask,
    response: Response,
    pieces: Iterable[bytes] | None,
    is_stream: bool,
    judgement: Judgement,
    keep: bool,
) -> None:
    if is_stream:
        assert pieces is not None
        fold = StreamFold(ledger, ask, keep=keep)
        fold.read_bytes(pieces, cut=response.cut is not None)
        judgement.answer = _judge_answer(ledger, ask, fold.end(response.cut))
        return
    value = _read_json(ledger, response, pieces)
    if value is ABSENT:
        return
    if not isinstance(value, dict):
        ledger.add("S00", "$", "one JSON object", value, "the body is no JSON object")
        return
    if is_error_body(value):
        ledger.add(
            "X03",
            "$.error",
            "an answer, or an error status",
            value["error"],
            f"an error under status {response.status}: the server says {error_message(value)}",
        )
        return
    judgement.answer = _judge_completion(ledger, ask, value)


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
