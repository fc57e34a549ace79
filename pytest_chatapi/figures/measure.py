"""The figures of one exchange: tokens as they were reported, seconds as they were measured.

What is not known is ``None``, never zero. Definitions: Artificial Analysis' methodology (first
token, output speed), and the semantic conventions of OpenTelemetry (time to first chunk).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pytest_chatapi.contract.ask import Ask, request_json
from pytest_chatapi.contract.assemble import Answer
from pytest_chatapi.contract.check import CheckResult, check_exchange
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.parse import loads_bytes
from pytest_chatapi.contract.rules.structured import is_to_be_json
from pytest_chatapi.contract.rules.tools import has_whole_calls
from pytest_chatapi.contract.sse import decode_sse
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import is_placeholder
from pytest_chatapi.reading.arrivals import arrivals_of

__all__ = [
    "Brief",
    "Figures",
    "Form",
    "Mark",
    "Source",
    "Timing",
    "Tokens",
    "brief_of",
    "figures_of",
    "timing_of",
    "tokens_of",
]

Source = Literal["live", "recorded", "replayed", "mock"]
"""Where an exchange, and so its timing, is from."""

Mark = Literal["role", "reasoning", "answer", "tool", "usage", "other"]
"""What a chunk brings."""

SHORTEST_WINDOW = 0.05
"""Seconds between the first and the last token chunk from which a speed can be measured."""

_TOO_MANY = 2**53
"""No real count is this large, and floats are no longer exact."""

_STALL = 4.0
"""How many times the median gap a gap between token chunks must be to count as a stall."""
_LEAST_STALL = 0.25  # seconds


@dataclass(frozen=True, slots=True)
class Tokens:
    """Counts as the response reported them; ``None`` where it did not.

    Attributes:
        cached: of the prompt, read from a cache.
        cache_write: of the prompt, written into a cache.
        reasoning: of the completion.
        audio_in, audio_out: of the prompt, and of the completion.
    """

    prompt: int | None = None
    completion: int | None = None
    total: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio_in: int | None = None
    audio_out: int | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds from the last byte of the request; ``None`` where they are not known.

    Attributes:
        total: to the end of the response.
        first_chunk: to the first chunk of any kind.
        first_token: to the first chunk with content, refusal, reasoning, audio or a part of a
            tool call.
        first_answer: as `first_token`, without reasoning.
        tokens_per_second: of the output, over the window from the first to the last token chunk;
            ``None`` where it cannot be measured.
        unmeasured: why it cannot, or ``""``.
        token_chunks: chunks with a token.
        tokens_per_chunk: mean, where the completion's tokens are known.
        stalls: gaps between token chunks that are several times the usual one.
        longest_gap: between two token chunks.
        first_chunk_tokens: of the first chunk with a token, where it says so; ``None``: it is
            taken to have one.
        marks: when each chunk of a stream came, and of what kind it is.
    """

    total: float | None = None
    first_chunk: float | None = None
    first_token: float | None = None
    first_answer: float | None = None
    tokens_per_second: float | None = None
    unmeasured: str = ""
    token_chunks: int | None = None
    tokens_per_chunk: float | None = None
    stalls: int | None = None
    longest_gap: float | None = None
    first_chunk_tokens: int | None = None
    marks: tuple[tuple[float, Mark], ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """How well-formed what a model said is, as far as the traffic shows it.

    Attributes:
        answers: the choices.
        tool_calls, valid_tool_calls: all of them, and those whose name and arguments are as the
            request declares its tools.
        json, valid_json: choices that the request wants as JSON, and those that are as it wants.
        cut: choices that ended at the limit of tokens.
        refused: choices with a refusal, or blocked by a content filter.
    """

    answers: int = 0
    tool_calls: int = 0
    valid_tool_calls: int = 0
    json: int = 0
    valid_json: int = 0
    cut: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """What one exchange took and cost.

    Attributes:
        model: that answered, else the one that was asked for; ``""`` where neither is known.
        host: with the port, if there is one.
        status: 0 where there is no response.
        tier: of service, as the response names it.
        server_tokens_per_second: the server's own figure, where it sends one.
        wire_usd: the cost, where the response says it.
        test: node id; ``""`` outside of a test.
        organization, project: that it was billed to; ``""`` where they are not known.
        findings: as `Finding.to_json` returns them; a few have a ``frame``, without secrets.
        response_id: ``""`` where there is none.
        finishes: the ``finish_reason`` of each choice that has one.
    """

    source: Source
    model: str
    requested_model: str
    host: str
    is_stream: bool
    status: int
    tokens: Tokens
    timing: Timing
    tier: str = ""
    server_tokens_per_second: float | None = None
    wire_usd: float | None = None
    test: str = ""
    organization: str = ""
    project: str = ""
    form: Form = Form()
    findings: tuple[JSONObject, ...] = field(default=(), repr=False)
    response_id: str = ""
    finishes: tuple[str, ...] = ()

    def masked(self, mask: Callable[[str], str]) -> Figures:
        """The same, with what takes out secrets applied to names that a server may choose."""
        names = ("model requested_model host tier organization project response_id").split()
        changes: dict[str, Any] = {
            name: mask(text) for name in names if (text := getattr(self, name))
        }
        return replace(self, **changes)

    @property
    def speeds_disagree(self) -> bool:
        """Whether the server's own speed and the measured one differ by more than a fifth."""
        ours, theirs = self.timing.tokens_per_second, self.server_tokens_per_second
        return ours is not None and theirs is not None and abs(ours - theirs) > theirs / 5


def figures_of(
    exchange: Exchange,
    source: Source,
    *,
    checked: CheckResult | None = None,
    findings: Iterable[JSONObject] | None = None,
    test: str = "",
) -> Figures:
    """The figures of a chat completion, whole or streamed.

    Args:
        checked: what the check of this exchange returned; without it, it is checked here.
        findings: as `Figures` has them; ``None``: all that the check found.
    """
    response = exchange.response
    checked = check_exchange(exchange) if checked is None else checked
    answer = checked.answer or _none(exchange.request, response)
    brief = _brief(exchange, source, answer, test)
    figures = brief.figures()
    if findings is None:
        findings = [finding.to_json() for finding in checked.findings]
    timing = figures.timing
    if response is not None:  # of a replay, the times are those of the recording
        timing = timing_of(response, figures.tokens, streamed=answer.streamed)
    return replace(
        figures,
        timing=timing,
        server_tokens_per_second=_server_speed(answer.last, brief.usage or {}, figures.tokens),
        organization=_account(exchange, "openai-organization"),
        project=_account(exchange, "openai-project"),
        form=_form(answer, checked.findings) if answer.choices else Form(),
        findings=tuple(findings),
        response_id=_text(answer.last.get("id")),
        finishes=tuple([_text(one.finish) for one in answer.choices.values() if one.finish]),
    )


_UNTIMED = Timing()


class Brief(NamedTuple):
    """What is added up of an exchange, tokens and cost, before it is made `Figures`: to take it
    costs a test next to nothing, and times take about as long to find as a check.
    """

    source: Source
    test: str
    status: int = 0
    url: str = ""
    is_stream: bool = False
    model: str = ""
    requested_model: JSON = None
    tier: JSON = None
    usage: JSONObject | None = None
    cost_header: str = ""

    def figures(self) -> Figures:
        """Without times, form and findings."""
        usage, requested = self.usage or {}, _text(self.requested_model)
        usd = _wire_usd(usage, self.cost_header)
        return Figures(
            self.source,
            self.model or requested,
            requested,
            _host(self.url),
            self.is_stream,
            self.status,
            tokens_of(usage),
            _UNTIMED,
            _text(self.tier),
            None,
            usd,
            self.test,
        )


def brief_of(exchange: Exchange, source: Source, checked: CheckResult, test: str = "") -> Brief:
    """As `figures_of`, with what is added up alone."""
    answer = checked.answer or _none(exchange.request, exchange.response)
    return _brief(exchange, source, answer, test)


def _brief(exchange: Exchange, source: Source, answer: Answer, test: str) -> Brief:
    request, response, last = exchange.request, exchange.response, answer.last
    return Brief(
        source,
        test,
        response.status if response is not None else 0,
        request.url if request is not None else "",
        answer.streamed,
        _text(answer.model) or _text(last.get("model")),
        answer.ask.model,
        last.get("service_tier"),
        answer.usage or _part(last.get("x_groq"), "usage"),
        response.headers.get(_COST, "") if response is not None else "",
    )


def _none(request: Request | None, response: Response | None) -> Answer:
    """What stands for the answer where there is none."""
    kind = response.headers.get("content-type", "") if response is not None else ""
    answer = Answer(streamed="event-stream" in kind)
    answer.ask = Ask(request_json(request)[0])
    return answer


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else ""


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def _account(exchange: Exchange, header: str) -> str:
    """The organization or project: enough of it to tell one from another, as it is a secret."""
    for side in (exchange.response, exchange.request):
        name = side.headers.get(header, "") if side is not None else ""
        if name and not is_placeholder(name):
            return f"{name[:4]}...{name[-4:]}" if len(name) > 12 else name
    return ""


# -- form ----------------------------------------------------------------------------------------

_OF_CALLS = frozenset({"C01", "C02", "C03", "C09", "C10", "K15"})
_OF_JSON = frozenset({"J01", "J02", "J03"})
_OF_THE_FRAME = ("id", "type")
"""Cases of C01: what the server puts around a call, whatever the model says."""


def _form(answer: Answer, findings: Iterable[Finding]) -> Form:
    """How well-formed an answer is, by the findings of its check."""
    ask, choices = answer.ask, answer.choices.values()
    refused = sum(one.refusal.any or one.finish == "content_filter" for one in choices)
    calls = [
        call.path
        for choice in choices
        if choice.called and has_whole_calls(answer, choice)
        for call in choice.all_calls
    ]
    texts = (
        [f"{one.path}.content" for one in choices if is_to_be_json(ask, answer, one)]
        if ask.format is not None
        else []
    )
    return Form(
        len(answer.choices),
        *(_judged(calls, findings, _OF_CALLS) if calls else (0, 0)),
        *(_judged(texts, findings, _OF_JSON) if texts else (0, 0)),
        sum(one.finish == "length" for one in choices),
        refused,
    )


def _judged(
    paths: Sequence[str], findings: Iterable[Finding], codes: frozenset[str]
) -> tuple[int, int]:
    """How many of these places could be checked, and how many are without a finding."""
    broken, unchecked = set[str](), set[str]()
    for finding in findings:
        if finding.code in codes and finding.case not in _OF_THE_FRAME:
            kind = unchecked if finding.case == "unchecked" else broken
            kind.update(path for path in paths if f"{finding.path}.".startswith(f"{path}."))
    count = len(paths) - len(unchecked - broken)
    return count, count - len(broken)


# -- tokens --------------------------------------------------------------------------------------


def tokens_of(usage: JSON) -> Tokens:
    """The counts in a ``usage`` object, under the names of Anthropic and DeepSeek as well."""
    if not isinstance(usage, dict):
        return Tokens()
    prompt = _part(usage, "prompt_tokens_details")
    completion = _part(usage, "completion_tokens_details")
    return Tokens(
        _count(usage, "prompt_tokens"),
        _count(usage, "completion_tokens"),
        _count(usage, "total_tokens"),
        _first(
            _count(prompt, "cached_tokens"),
            _count(usage, "cache_read_input_tokens"),
            _count(usage, "prompt_cache_hit_tokens"),
        ),
        _first(
            _count(prompt, "cache_write_tokens"),
            _count(prompt, "cache_creation_tokens"),
            _count(usage, "cache_creation_input_tokens"),
        ),
        _first(_count(completion, "reasoning_tokens"), _count(usage, "reasoning_tokens")),
        _count(prompt, "audio_tokens"),
        _count(completion, "audio_tokens"),
    )


def _part(whole: JSON, name: str) -> JSONObject:
    part = whole.get(name) if isinstance(whole, dict) else None
    return part if isinstance(part, dict) else {}


def _count(part: JSONObject, name: str) -> int | None:
    count = part.get(name)
    return count if type(count) is int and 0 <= count < _TOO_MANY else None


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)


# -- seconds -------------------------------------------------------------------------------------


def timing_of(response: Response, tokens: Tokens, *, streamed: bool) -> Timing:
    """When the chunks of a response arrived, and what follows from it."""
    times = response.times
    pieces = response.pieces if isinstance(response.pieces, list | tuple) else None
    if response.arrivals and (known := arrivals_of(response.content, response.arrivals)):
        pieces, times = known
    if not times or (pieces is not None and len(pieces) != len(times)):
        return Timing(unmeasured="the times of arrival were not recorded")
    if not streamed:
        return Timing(times[-1], times[0], unmeasured="the response was not streamed")
    if pieces is None:
        return Timing(times[-1], unmeasured="the pieces of the stream were not recorded")
    marks: list[tuple[float, Mark]] = []
    arrivals: list[float] = []
    first_answer: float | None = None
    first_count: int | None = None
    for time, chunk in _timed_chunks(pieces, times):
        kind = _kind_of(chunk)
        marks.append((time, kind))
        if kind not in _TOKENS:
            continue
        if not arrivals:
            first_count = tokens_of(chunk.get("usage")).completion
        arrivals.append(time)
        if first_answer is None and kind != "reasoning":
            first_answer = time
    speed, why = _speed(arrivals, tokens.completion, first_count)
    gaps = [later - earlier for earlier, later in pairwise(arrivals)]
    usual = sorted(gaps)[len(gaps) // 2] if gaps else 0.0
    return Timing(
        times[-1],
        marks[0][0] if marks else None,
        arrivals[0] if arrivals else None,
        first_answer,
        speed,
        why,
        len(arrivals),
        tokens.completion / len(arrivals) if arrivals and tokens.completion is not None else None,
        sum(gap > max(_STALL * usual, _LEAST_STALL) for gap in gaps),
        max(gaps) if gaps else None,
        first_count,
        tuple(marks),
    )


def _speed(
    arrivals: Sequence[float], completion: int | None, first: int | None
) -> tuple[float | None, str]:
    """Output tokens per second, and why it cannot be measured."""
    if len(arrivals) < 2:
        return None, "fewer than two chunks have tokens"
    if completion is None:
        return None, "the number of tokens is not reported"
    window = arrivals[-1] - arrivals[0]
    if window < SHORTEST_WINDOW:
        return None, f"the chunks came within {SHORTEST_WINDOW * 1000:.0f} ms"
    # Where the counts of chunks are not sent, the first one is taken to hold one token.
    return max(completion - (1 if first is None else first), 0) / window, ""


def _timed_chunks(
    pieces: Sequence[bytes], times: Sequence[float]
) -> Iterator[tuple[float, JSONObject]]:
    """Each chunk with the time at which its last byte came."""
    now = 0.0

    def arriving() -> Iterator[bytes]:
        nonlocal now
        for piece, time in zip(pieces, times, strict=True):
            now = time
            yield piece

    for data, _, _ in decode_sse(arriving()):
        try:
            chunk = loads_bytes(data)
        except ValueError:
            continue
        if isinstance(chunk, dict):
            yield now, chunk


_TOKENS = frozenset({"reasoning", "answer", "tool"})


_KINDS: tuple[Mark, ...] = ("other", "usage", "role", "reasoning", "tool", "answer")
"""A chunk is of the last kind that one of its choices is of."""


def _kind_of(chunk: JSONObject) -> Mark:
    """What a chunk brings."""
    kinds: list[Mark] = ["usage" if chunk.get("usage") else "other"]
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if isinstance(delta, dict):
            kinds.append(_kind_of_delta(delta))
    return max(kinds, key=_KINDS.index)


def _kind_of_delta(delta: JSONObject) -> Mark:
    if delta.get("content") or delta.get("refusal") or _part(delta, "audio").get("data"):
        return "answer"
    if delta.get("tool_calls") or delta.get("function_call"):
        return "tool"
    if any(delta.get(name) for name in ("reasoning", "reasoning_content", "thinking")):
        return "reasoning"
    return "role" if delta.get("role") else "other"


# -- what the server says ------------------------------------------------------------------------


def _server_speed(last: JSONObject, usage: JSON, tokens: Tokens) -> float | None:
    """Output tokens per second by the server: llama.cpp's ``timings``, Groq's usage, vLLM's
    ``metrics``.
    """
    if timings := _part(last, "timings"):
        return _number(timings.get("predicted_per_second"))
    for part in (usage, _part(last.get("x_groq"), "usage")):
        seconds = _number(part.get("completion_time")) if part else None
        if seconds and tokens.completion:
            return _number(tokens.completion / seconds)
    mean = _number(_part(last, "metrics").get("mean_time_per_output_token"))
    return _number(1 / mean) if mean else None


_COST = "x-litellm-response-cost"


def _wire_usd(usage: JSONObject, header: str) -> float | None:
    """What the response says that it cost: OpenRouter's ``cost``, xAI's ticks of 1e-10 USD, the
    header of LiteLLM. In the header 0 and None are of costs that it does not know.
    """
    cost = _number(usage.get("cost"))
    if cost is not None:
        return cost
    ticks = _number(usage.get("cost_in_usd_ticks"))
    if ticks is not None:
        return ticks / 1e10
    try:
        return _number(float(header)) or None
    except ValueError:
        return None


def _number(value: JSON) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < _TOO_MANY else None  # NaN is not
