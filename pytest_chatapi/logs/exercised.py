"""Which rules a row exercises: those whose finding it could have had.

What the request asks for, and what the log has written down, is given; the rest could have been
otherwise. So each rule needs something that a row has to show: usage, say, or calls. Where a rule
is about what is missing, a row with the finding shows that it could be.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import count

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Answer, Choice
from pytest_chatapi.contract.check import CheckResult
from pytest_chatapi.contract.exchange import Exchange, Response, fold_headers
from pytest_chatapi.contract.logged import SummedUsage, is_logged_message, is_whole_request
from pytest_chatapi.contract.rules.headers import is_bare
from pytest_chatapi.contract.rules.structured import is_to_be_json
from pytest_chatapi.contract.wire import JSON, JSONObject

__all__ = ["could_have", "exercised_by"]

# What a row may show, a bit each: of the exchange,
_BITS = (1 << place for place in count())
_REQUEST = next(_BITS)  # the body of a request
_WIRE = next(_BITS)  # a response as it was on the wire, not assembled by a log
_WIRE_TEXT = next(_BITS)  # ... with its text
_HEADERS = next(_BITS)  # ... with more headers than a bare recording has
_RATE_LIMITS = next(_BITS)  # ... with headers about rate limits
_RETRY_AFTER = next(_BITS)  # ... with Retry-After, and a status that it is for
_ERROR = next(_BITS)  # ... with the status of an error
_DOCUMENT = next(_BITS)  # a response that is not a model's, such as a list of models
# of a model's answer,
_ASKED = next(_BITS)  # its request is known
_UNASKED = next(_BITS)  # ... or is not
_ALL_ASKED = next(_BITS)  # ... or as a whole, not only what a log has of it
_FRAME = next(_BITS)  # more than a message: one of the next two
_COMPLETION = next(_BITS)
_STREAM = next(_BITS)
_ID = next(_BITS)
_OBJECT = next(_BITS)
_CREATED = next(_BITS)
_MODELS = next(_BITS)  # both the requested model and that of the answer
_NOT_JOINED = next(_BITS)  # it was not a stream that a client library joined, which drops members
_INDEX = next(_BITS)
_FINISH = next(_BITS)
_ROLE = next(_BITS)
_READ = next(_BITS)  # a message without a part that was not understood
_TEXT = next(_BITS)
_REFUSAL = next(_BITS)
_CALLS = next(_BITS)
_CUSTOM_CALLS = next(_BITS)
_AUDIO = next(_BITS)
_CITATIONS = next(_BITS)
_LOGPROBS = next(_BITS)
_TO_BE_JSON = next(_BITS)  # content that has to be a JSON object
_TO_FIT = next(_BITS)  # content that has to match a schema
_USAGE = next(_BITS)
_TOTAL = next(_BITS)  # a total that the reader has not added up itself
_PROMPT_DETAILS = next(_BITS)
_COMPLETION_DETAILS = next(_BITS)
_COST = next(_BITS)
_METADATA = next(_BITS)
# and of what its request asks for.
_TOOLS = next(_BITS)
_ALL_TOOLS = next(_BITS)  # no tools but those that it shows
_NO_CALL = next(_BITS)
_ANY_CALL = next(_BITS)
_SOME_CALL = next(_BITS)  # a call of some of the tools only
_ONE_CALL = next(_BITS)  # at most one call
_CAP = next(_BITS)  # a limit of tokens
_STOPS = next(_BITS)
_ASKS_LOGPROBS = next(_BITS)
_ASKS_USAGE = next(_BITS)  # usage in a stream
_ASKS_NO_USAGE = next(_BITS)  # a stream without it
_NO_REASONING = next(_BITS)
_MARKED_CACHE = next(_BITS)  # a cache only of what it marks
_ASKS_TIER = next(_BITS)
_ASKS_MODERATION = next(_BITS)

_NEEDS: dict[str, tuple[int, ...]] = {
    "S": (_TEXT, _FRAME),
    "S00": (_COMPLETION, _DOCUMENT),
    "S01": (_FRAME, _DOCUMENT),
    "S02": (_ID,),
    "S03": (_OBJECT,),
    "S04": (_CREATED,),
    "S05": (_COMPLETION,),
    "S06": (_COMPLETION | _INDEX,),
    "S07": (_FRAME | _FINISH,),
    "S08": (_FRAME | _ROLE,),
    "S09": (_FRAME | _TEXT, _FRAME | _CALLS),
    "S10": (_FRAME, _DOCUMENT),
    "S11": (_WIRE | _COMPLETION,),
    "S12": (_WIRE | _COMPLETION,),
    "S13": (_FRAME,),
    "S14": (_FRAME,),
    "S15": (_TEXT, _REFUSAL, _CALLS),
    "S16": (_COMPLETION, _STREAM | _WIRE_TEXT, _DOCUMENT),
    "S17": (_CITATIONS,),
    "S18": (_FRAME | _TEXT, _REFUSAL),
    "S19": (_TEXT,),
    "U": (_USAGE,),
    "U01": (_TOTAL,),
    "U02": (_TOTAL,),
    "U03": (_PROMPT_DETAILS,),
    "U04": (_COMPLETION_DETAILS,),
    "U05": (_COMPLETION | _NOT_JOINED,),
    "U06": (_FRAME | _PROMPT_DETAILS, _FRAME | _COMPLETION_DETAILS),
    "U07": (_FRAME | _TOTAL | _TEXT, _FRAME | _TOTAL | _CALLS),
    "U08": (_COST,),
    "U09": (_FRAME | _PROMPT_DETAILS | _MARKED_CACHE,),
    "T": (_STREAM | _WIRE,),
    "T08": (_STREAM | _WIRE_TEXT,),
    "T13": (_STREAM | _WIRE | _ASKS_USAGE,),
    "T14": (_STREAM | _WIRE | _ASKS_NO_USAGE,),
    "T15": (_STREAM | _WIRE | _USAGE,),
    "T17": (_WIRE,),
    "T18": (_STREAM | _WIRE_TEXT,),
    "E": (_STREAM | _WIRE_TEXT,),
    "E02": (_WIRE_TEXT | _HEADERS, _WIRE_TEXT | _ASKED),
    "C": (_TOOLS | _READ, _CALLS),
    "C02": (_FRAME | _TOOLS | _READ, _FRAME | _CALLS),
    "C05": (_STREAM | _TOOLS | _READ, _STREAM | _CALLS),
    "C06": (_STREAM | _TOOLS | _READ, _STREAM | _CALLS),
    "C07": (
        _FRAME | _FINISH | _TOOLS | _ALL_ASKED | _READ,
        _FRAME | _FINISH | _CALLS | _ALL_ASKED,
        _FRAME | _FINISH | _CALLS | _WIRE,
    ),
    "C08": (_FRAME | _FINISH | _READ, _FRAME | _FINISH | _CALLS),
    "C09": (_ALL_TOOLS | _READ, _ALL_TOOLS | _CALLS),
    "C10": (_TOOLS | _READ, _TOOLS | _CALLS),
    "C11": (_TOOLS | _TEXT, _UNASKED | _TEXT),
    "J": (_TO_BE_JSON, _TO_FIT),
    "J01": (_TO_BE_JSON,),
    "J02": (_TO_FIT,),
    "L": (_LOGPROBS,),
    "L03": (_LOGPROBS | _ASKS_LOGPROBS,),
    "L05": (_ASKED | _FRAME | _NOT_JOINED,),
    "K": (_ASKED,),
    "K01": (_ASKED | _FRAME,),
    "K02": (_FRAME | _USAGE | _CAP,),
    "K03": (_FRAME | _FINISH | _USAGE | _CAP,),
    "K04": (_TEXT | _STOPS,),
    "K05": (_READ | _NO_CALL, _CALLS | _NO_CALL),
    "K06": (_READ | _ANY_CALL, _CALLS | _ANY_CALL),
    "K07": (_READ | _SOME_CALL, _CALLS | _SOME_CALL),
    "K08": (_READ | _ONE_CALL, _CALLS | _ONE_CALL),
    "K09": (_MODELS,),
    "K10": (_ASKED | _FRAME, _ASKED | _AUDIO),
    "K11": (_WIRE | _FRAME | _ASKS_TIER,),
    "K12": (_FRAME | _COMPLETION_DETAILS | _NO_REASONING,),
    "K13": (_WIRE | _METADATA,),
    "K14": (_WIRE | _FRAME | _ASKS_MODERATION,),
    "K15": (_CUSTOM_CALLS | _TOOLS,),
    "Q": (_REQUEST,),
    "X": (_ERROR,),
    "X03": (_WIRE | _COMPLETION,),
    "X05": (_RETRY_AFTER,),
    "H": (_HEADERS,),
    "H02": (_RATE_LIMITS,),
    "D": (_DOCUMENT,),
}
"""What a row has to show for a rule, or for any other of its family: all of one of these."""


@lru_cache(4096)
def could_have(exercised: str, code: str) -> bool:
    """Whether a row could have had a finding.

    Args:
        exercised: what it exercises, see `exercised_by`.
        code: a rule; the letter of a family for any finding of it.
    """
    exercised, *ignored = exercised.split("-")
    shown, *found = exercised.split("+")
    if code in ignored:
        return False
    return _is_met(int(shown, 16), code) or any(one.startswith(code) for one in found)


@lru_cache(4096)
def _is_met(shown: int, code: str) -> bool:
    needs = _NEEDS.get(code) or _NEEDS[code[0]]
    return any(shown & need == need for need in needs)


def exercised_by(exchange: Exchange, result: CheckResult) -> str:
    """What a row exercises: the bits of what it shows, then each finding that these do not account
    for, after a ``+``.
    """
    request, response, answer = exchange.request, exchange.response, result.answer
    shown = _REQUEST if request is not None and request.body is not None else 0
    if response is not None:
        if not exchange.assembled:
            shown |= _of_wire(response)
        if answer is not None:
            shown |= _of_answer(exchange, answer)
        elif result.kind != "chat" and response.status < 400:
            shown |= _DOCUMENT
    if result.findings:
        codes = {finding.code for finding in result.findings}
        others = sorted(code for code in codes if not _is_met(shown, code))
        return "+".join([_text(shown), *others])
    return _text(shown)


@lru_cache(4096)
def _text(shown: int) -> str:
    return f"{shown:x}"


def _of_wire(response: Response) -> int:
    shown = _WIRE if response.chunks is not None else _WIRE | _WIRE_TEXT
    if response.status >= 400:
        shown |= _ERROR
    headers = response.headers and fold_headers(response.headers)
    if not headers or is_bare(headers):
        return shown
    if "x-ratelimit-" in "".join(headers):
        shown |= _RATE_LIMITS
    if response.status in (429, 503) and "retry-after" in headers:
        shown |= _RETRY_AFTER
    return shown | _HEADERS


def _of_answer(exchange: Exchange, answer: Answer) -> int:
    ask, last, usage = answer.ask, answer.last, answer.usage
    shown = _asked(ask) if ask.known else _UNASKED
    if is_whole_request(exchange.request):
        shown |= _ALL_ASKED
    if answer.streamed:
        shown |= _FRAME | _STREAM
    elif not exchange.assembled or not is_logged_message(last):
        shown |= _FRAME | _COMPLETION
        choices = last.get("choices")
        if type(choices) is list and choices and type(choices[0]) is dict:
            shown |= _INDEX if "index" in choices[0] else 0
    if "id" in last:
        shown |= _ID
    if "object" in last:
        shown |= _OBJECT
    if "created" in last:
        shown |= _CREATED
    if not (ask.stream and exchange.assembled):
        shown |= _NOT_JOINED
    if answer.model and type(answer.model) is type(ask.model) is str:
        shown |= _MODELS
    for choice in answer.choices.values():
        shown |= _of_choice(choice)
        has_text = choice.content.any or shown & _FRAME  # of a logged message, text alone is judged
        if ask.format is not None and has_text and is_to_be_json(ask, answer, choice):
            shown |= _TO_BE_JSON if ask.format == "json_object" else _TO_FIT
    if usage is not None:
        shown |= _of_usage(usage)
    if answer.echo and answer.echo.get("metadata") is not None:
        shown |= _METADATA
    return shown


def _of_choice(choice: Choice) -> int:
    shown = 0 if choice.parts else _READ
    if choice.finish:
        shown |= _FINISH
    if choice.role is not None:
        shown |= _ROLE
    if choice.content.any:
        shown |= _TEXT
    if choice.called:
        shown |= _CALLS
        if any(call.kind == "custom" for call in choice.calls.values()):
            shown |= _CUSTOM_CALLS
    if choice.refusal.any:
        shown |= _REFUSAL
    if choice.audio:
        shown |= _AUDIO
    if choice.logprobs:
        shown |= _LOGPROBS
    if choice.citations:
        shown |= _CITATIONS
    return shown


def _of_usage(usage: JSONObject) -> int:
    shown = _USAGE
    if "total_tokens" in usage and type(usage) is not SummedUsage:
        shown |= _TOTAL
    if usage.get("prompt_tokens_details"):
        shown |= _PROMPT_DETAILS
    if usage.get("completion_tokens_details"):
        shown |= _COMPLETION_DETAILS
    if "cost" in usage:
        shown |= _COST
    return shown


def _asked(ask: Ask) -> int:
    shown = _ASKED | _ALL_TOOLS if ask.tools_known else _ASKED
    if ask.choice is not None:
        shown |= _CHOICES.get(ask.choice, 0)
        if ask.allowed is not None:
            shown |= _SOME_CALL
    if ask.parallel is False:
        shown |= _ONE_CALL
    if ask.cap is not None:
        shown |= _CAP
    if ask.stops:
        shown |= _STOPS
    if ask.logprobs:
        shown |= _ASKS_LOGPROBS
    if ask.include_usage:
        shown |= _ASKS_USAGE
    elif ask.stream and not ask.continuous_usage:
        shown |= _ASKS_NO_USAGE
    return shown if _MORE.isdisjoint(ask.members) else shown | _asked_more(ask)


_CHOICES = {"none": _NO_CALL, "required": _ANY_CALL, "named": _SOME_CALL}
_MORE = {
    "functions",
    "moderation",
    "prompt_cache_options",
    "reasoning_effort",
    "service_tier",
    "tools",
}


def _asked_more(ask: Ask) -> int:
    body, echoes = ask.body, ask.echoes
    shown = _TOOLS if "tools" in body or "functions" in body else 0
    if body.get("reasoning_effort") == "none":
        shown |= _NO_REASONING
    options: JSON = body.get("prompt_cache_options")
    if isinstance(options, dict) and options.get("mode") == "explicit":
        shown |= _MARKED_CACHE
    if "service_tier" in echoes:
        shown |= _ASKS_TIER
    if "moderation" in echoes:
        shown |= _ASKS_MODERATION
    return shown
