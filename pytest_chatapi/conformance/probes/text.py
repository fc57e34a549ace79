"""Probes of plain text: what every server of this API has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate, pairwise, product
from typing import Any

from pytest_chatapi.conformance.probe import (
    BOTH,
    Outcome,
    fail,
    non_strict,
    not_exercised,
    probe,
)
from pytest_chatapi.conformance.server import Reply, Server
from pytest_chatapi.contract.parse import loads
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import plural, show

_SHAPE = "S01 S02 S03 S04 S05 S06 S07 S08 S09 U01 U02 T01 T03 T04 T05 T06 T07 T08 T09"

_COUNT = "Count from 1 to 200, separated by commas."
_FACT = "The ferry to the island leaves at nine in the morning and comes back at five."


@probe("text.basic", "a plain message gets a well-formed response", modes=BOTH, codes=_SHAPE)
def basic(server: Server) -> None:
    reply = server.chat(max_completion_tokens=16).accepted()
    if not reply.usage:
        raise fail("the response has no usage", expected="usage", got="absent")


# -- messages ------------------------------------------------------------------------------------


@probe(
    "text.roles",
    "system messages and earlier turns reach the model: `prompt_tokens` counts them",
    modes=BOTH,
    requests=3,
    tokens=200,
)
def roles(server: Server) -> None:
    system, user = _message("system", "Be brief."), _message("user", "When does it leave?")
    short = _asked(server, system, user)
    _counts(short, _asked(server, _message("system", f"Be brief. {_FACT}"), user), "system message")
    earlier = _message("user", _FACT), _message("assistant", "It leaves at nine.")
    _counts(short, _asked(server, system, *earlier, user), "earlier messages")


@probe(
    "text.developer",
    "developer messages reach the model: `prompt_tokens` counts them",
    modes=BOTH,
    requests=2,
    tokens=100,
)
def developer(server: Server) -> None:
    user = _message("user", "When does it leave?")
    short = _asked(server, _message("developer", "Be brief."), user, may_lack=("developer", "role"))
    long = _asked(server, _message("developer", f"Be brief. {_FACT}"), user)
    _counts(short, long, "developer message")


def _message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def _asked(server: Server, *messages: dict[str, Any], may_lack: tuple[str, ...] = ()) -> Reply:
    """The reply to messages, of one token."""
    return server.chat(messages=messages, max_completion_tokens=1).accepted(*may_lack)


def _counts(short: Reply, long: Reply, what: str) -> None:
    """Raise an `Outcome` where more in a prompt does not count as more."""
    if long.prompt_tokens <= short.prompt_tokens:
        raise fail(
            f"prompt_tokens does not count the {what}, which may have been left out",
            expected=f"over {short.prompt_tokens}",
            got=str(long.prompt_tokens),
        )


@probe(
    "text.parts",
    "a text as a list of parts is the same prompt as the bare text",
    requests=2,
    tokens=150,
)
def parts(server: Server) -> None:
    texts = ("system", "Be brief."), ("user", _FACT), ("assistant", "Yes."), ("user", "When?")
    plain = _asked(server, *(_message(role, text) for role, text in texts))
    split = _asked(
        server,
        *(_message(role, _in_parts(text)) for role, text in texts),
        may_lack=("content", "string"),
    )
    more = split.prompt_tokens - plain.prompt_tokens
    # The first and the second part may have a line break between them.
    if 0 <= more <= 2:
        return
    expected, got = f"{plain.prompt_tokens} prompt tokens", str(split.prompt_tokens)
    if abs(more) <= 2 * len(texts):
        raise non_strict("a text in parts is not quite the same prompt", expected=expected, got=got)
    why = "parts may have been left out" if more < 0 else "the model may see JSON in place of text"
    raise fail(f"a text in parts is another prompt: {why}", expected=expected, got=got)


def _in_parts(text: str) -> list[dict[str, str]]:
    """A text as parts: of a long one, the second has most of it."""
    start, end = text[: len("The ferry")], text[len("The ferry") :]
    return [{"type": "text", "text": part} for part in (start, end) if part]


@probe(
    "text.null-content",
    "an earlier assistant message may have calls and `content: null`",
    tokens=150,
)
def null_content(server: Server) -> None:
    function = {
        "name": "ferry_time",
        "description": "When the ferry leaves",
        "parameters": {"type": "object", "properties": {}},
    }
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "ferry_time", "arguments": "{}"},
    }
    server.chat(
        messages=[
            _message("user", "When does the ferry leave?"),
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "At nine."},
        ],
        tools=[{"type": "function", "function": function}],
        tool_choice="none",  # what the model says now is not the point
        max_completion_tokens=1,
    ).accepted("tool")


# -- length --------------------------------------------------------------------------------------


@probe(
    "text.max-tokens",
    "`max_tokens: 1` ends the text after one token, with `length`",
    modes=BOTH,
    codes="K02 K03",
)
def max_tokens(server: Server) -> None:
    _is_cut(server.chat(_COUNT, max_tokens=1).accepted("max_tokens"))


@probe(
    "text.max-completion-tokens",
    "`max_completion_tokens: 1` ends the text after one token, with `length`",
    modes=BOTH,
    codes="K02 K03",
)
def max_completion_tokens(server: Server) -> None:
    _is_cut(server.chat(_COUNT, max_completion_tokens=1).accepted())


def _is_cut(reply: Reply) -> None:
    if reply.finish != "length":
        if not reply.text:
            raise not_exercised("the model stopped before its first token")
        raise not_length(reply, 1)
    if reply.usage.get("completion_tokens") == 0:
        raise fail("completion_tokens does not count the token", expected="1", got="0")


def not_length(reply: Reply, cap: int) -> Outcome:
    """The failure of a reply with another ``finish_reason`` where so many tokens are the limit."""
    counted = reply.usage.get("completion_tokens")
    if isinstance(counted, int) and counted > cap:
        reason = f"the limit of {plural(cap, 'token')} is not kept"
        return fail(reason, expected=plural(cap, "token"), got=plural(counted, "token"))
    reason = "the text is cut, but finish_reason does not say so"
    return fail(reason, expected="length", got=show(reply.finish))


@probe(
    "text.both-caps",
    "of two different limits `max_completion_tokens` holds, or the request is refused",
    codes="K02",
    is_illegal=True,
)
def both_caps(server: Server) -> None:
    reply = server.chat(_COUNT, max_completion_tokens=4, max_tokens=24)
    if reply.status != 200:
        reply.refused()
    elif reply.finish != "length":
        raise not_exercised("the model stopped before the smaller limit")
    elif server.reasons:
        # Some leave the tokens of the reasoning out.
        raise not_exercised("the model reasons, so what it may spend cannot be told from `usage`")


@probe(
    "text.long",
    "a stream of 200 tokens keeps its `id` and `created`, and ends once",
    modes=("stream",),
    codes="T01 T02 T03 T05 T06 T07",
    tokens=220,
)
def long(server: Server) -> None:
    reply = server.chat(_COUNT, max_completion_tokens=server.room(200), **server.steady)
    reply.accepted("temperature")
    if len(reply.frames) < 20:
        raise not_exercised(f"the stream has only {len(reply.frames)} chunks")
    if _follows_the_clock(reply):
        # Some servers stamp each chunk. Whether that shows depends on when the stream begins.
        reply.without("T02")


def _follows_the_clock(reply: Reply) -> bool:
    """Whether `created` may be the second at which each chunk was made."""
    response = reply.sent.exchange.response
    times = (response and response.times) or [0.0]
    stamps = [frame.get("created") for frame in reply.frames]
    seconds = [stamp for stamp in stamps if isinstance(stamp, int)]
    if len(seconds) < len(stamps) or seconds != sorted(seconds):
        return False
    return seconds[-1] - seconds[0] <= times[-1] - times[0] + 1


# -- stop sequences ------------------------------------------------------------------------------


@probe(
    "text.stop",
    "a stop sequence ends the text right before it, with `stop`",
    modes=BOTH,
    codes="K04",
    requests=3,
    tokens=120,
)
def stop(server: Server) -> None:
    _is_stopped(server, _words)


@probe(
    "text.stop-across-tokens",
    "no part of a stop sequence is streamed where several tokens make it",
    modes=("stream",),
    codes="K04",
    requests=3,
    tokens=120,
)
def stop_across_tokens(server: Server) -> None:
    _is_stopped(server, _across_chunks)


def _is_stopped(server: Server, candidates: Callable[[Reply], Iterator[tuple[int, str]]]) -> None:
    """What the model says is asked for again, with a piece of it as stop sequence.

    Args:
        candidates: pieces of the text of a reply, and where they begin.
    """
    ask = partial(server.chat, _COUNT, max_completion_tokens=server.room(24), **server.steady)
    plain = ask().accepted("temperature").with_text()
    hidden = _reasoning(plain)
    if plain.reasoning_tokens and not hidden:
        raise not_exercised("the model reasons where nobody sees it, and may be stopped there")
    middle = len(plain.text) // 2
    # The first of its kind, and not at the edge, where white space may be stripped.
    usable = [
        (len(piece) < 2, abs(at - middle), piece)
        for at, piece in candidates(plain)
        if plain.text.find(piece) == at > 0 and piece.strip() == piece and piece not in hidden
    ]
    if not usable:
        raise not_exercised(f"nothing in the text can be stopped at: {show(plain.text)}")
    piece = min(usable)[-1]
    before = plain.text[: plain.text.index(piece)]
    # A single one may be sent as it is.
    stopped = ask(stop=piece if server.mode == "whole" else [piece]).accepted("stop")
    expected = f"{show(before)}, as without a stop sequence, then stopped at {show(piece)}"
    if stopped.text.rstrip() != before.rstrip():
        if ask().accepted().text != plain.text:
            raise not_exercised("the same request gave two texts, so nothing can be stopped at")
        raise fail(
            "the text does not end right before the stop sequence",
            expected=expected,
            got=show(stopped.text),
        )
    if stopped.finish != "stop":
        raise fail(
            "the text ends at a stop sequence, but finish_reason does not say so",
            expected="stop",
            got=show(stopped.finish),
        )


def _words(reply: Reply) -> Iterator[tuple[int, str]]:
    for match in re.finditer(r"\w{1,12}", reply.text):
        yield match.start(), match[0]


def _across_chunks(reply: Reply) -> Iterator[tuple[int, str]]:
    """A whole chunk, with a character or two of those before and behind it."""
    ends = list(accumulate(map(len, _streamed(reply, "content"))))
    for left, right in pairwise(ends[:-1]):
        for before, behind in product((1, 2), repeat=2):
            piece = reply.text[left - before : right + behind]
            if "\ufffd" not in piece:
                yield left - before, piece


def _streamed(reply: Reply, *names: str) -> Iterator[str]:
    """The texts of one member of the deltas, or of the message."""
    said: list[JSON] = [reply.message]
    if reply.frames:
        lists = [frame.get("choices") for frame in reply.frames]
        choices = [choice for each in lists if isinstance(each, list) for choice in each]
        said = [choice.get("delta") for choice in choices if isinstance(choice, dict)]
    for one in said:
        texts = map(one.get, names) if isinstance(one, dict) else ()
        yield from (text for text in texts if isinstance(text, str) and text)


def _reasoning(reply: Reply) -> str:
    """What a model said to itself, where a stop sequence may be found as well."""
    return "".join(_streamed(reply, "reasoning_content", "reasoning"))


@probe(
    "text.stop-limit",
    "4 stop sequences are accepted, 5 are refused",
    requests=2,
    tokens=60,
    is_illegal=True,
)
def stop_limit(server: Server) -> None:
    stops = ["<1>", "<2>", "<3>", "<4>", "<5>"]
    server.chat(stop=stops[:4], max_completion_tokens=1).accepted("stop")
    server.chat(stop=stops, max_completion_tokens=1).refused_or_loose("5 stop sequences, not 4")


# -- sampling ------------------------------------------------------------------------------------

_CAP = 4


@probe(
    "text.n",
    "`n: 2` gives two choices, and usage counts both",
    modes=BOTH,
    codes="K01 S06 T12",
)
def n(server: Server) -> None:
    reply = server.chat(_COUNT, n=2, max_completion_tokens=_CAP)
    reply.accepted("choice", "'n'", "`n`", '"n"', " n ", "n must", "n>1", "n > 1")
    if len(reply.choices) != 2:
        raise fail("`n` is ignored", expected="2 choices", got=str(len(reply.choices)))
    counted = reply.usage.get("completion_tokens")
    # Cut by the limit, each choice has all the tokens that it may have.
    are_cut = all(choice.get("finish_reason") == "length" for choice in reply.choices)
    if are_cut and isinstance(counted, int) and counted <= _CAP:
        raise fail(
            "completion_tokens counts one choice of two", expected=str(2 * _CAP), got=str(counted)
        )


@probe(
    "text.seed",
    "the same seed gives the same text at temperature 1",
    requests=3,
    tokens=120,
)
def seed(server: Server) -> None:
    cap = server.room(16)
    ask = partial(server.chat, "Write random letters.", temperature=1, max_completion_tokens=cap)
    first = ask(seed=7).accepted("seed", "temperature").with_text()
    second, other = ask(seed=7).accepted(), ask(seed=8).accepted()
    if first.text != second.text:
        raise non_strict(
            "the same seed gives two texts", expected=show(first.text), got=show(second.text)
        )
    if first.text == other.text:
        raise not_exercised("another seed gives the same text, so nothing shows that it is used")


@probe(
    "text.logit-bias",
    "`logit_bias: 100` makes a token the only one",
    requests=3,
    tokens=100,
)
def logit_bias(server: Server) -> None:
    if server.reasons:
        raise not_exercised("the model reasons first, and would never end with one token alone")
    ask = partial(server.chat, _COUNT, temperature=0, max_completion_tokens=_CAP)
    plain = ask().accepted("temperature").with_text()
    # Any token will do, but its number must be in the vocabulary, and the smallest have 512.
    for token in ("300", "5000"):
        biased = ask(logit_bias={token: 100})
        if token == "300":
            biased.accepted("logit", "bias", "token", "vocab")
        text = "".join(biased.text.split())
        # One that is never shown, as control tokens are, leaves no text.
        if biased.status == 200 and biased.text != plain.text and (_is_repeated(text) or not text):
            return
    raise fail(
        "logit_bias is not obeyed",
        expected="one token over and over",
        got=show(biased.text or plain.text),
    )


def _is_repeated(text: str) -> bool:
    return any(text == text[:size] * (len(text) // size) for size in range(1, len(text) // 2 + 1))


@probe(
    "text.sampling-bounds",
    "the largest and the smallest values of sampling parameters are accepted",
    requests=7,
    tokens=180,
)
def sampling_bounds(server: Server) -> None:
    ask = partial(server.chat, max_completion_tokens=1)
    bounds: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"temperature": 2}, {"temperature": 0.5}),
        ({"temperature": 0}, {"temperature": 0.5}),
        ({"presence_penalty": 2, "frequency_penalty": 2}, _MILD),
        ({"presence_penalty": -2, "frequency_penalty": -2}, _MILD),
        ({"top_p": 1}, {"top_p": 0.5}),
    ]
    for bound, mild in bounds:
        reply = ask(**bound)
        if reply.status in (400, 422):
            # Either the bound is refused, or the parameter is.
            ask(**mild).accepted(*mild)
        reply.accepted()
    zero = ask(top_p=0)
    if zero.status in (400, 422) and zero.error:
        raise non_strict(
            "refuses `top_p: 0`", expected="200", got=f"{zero.status}: {zero.error.get('message')}"
        )
    zero.accepted()


_MILD: dict[str, Any] = {"presence_penalty": 0.5, "frequency_penalty": 0.5}


@probe(
    "text.sampling-range",
    "a temperature of 3 and a `top_p` of 2 are refused",
    requests=2,
    tokens=60,
    is_illegal=True,
)
def sampling_range(server: Server) -> None:
    ask = partial(server.chat, max_completion_tokens=1)
    replies = {"a temperature of 3": ask(temperature=3), "a `top_p` of 2": ask(top_p=2)}
    # Worse comes first: one that is refused in a wrong way.
    for what, reply in sorted(replies.items(), key=lambda item: item[1].status == 200):
        reply.refused_or_loose(what)


# -- characters ----------------------------------------------------------------------------------

UNICODE = "chatapi: 你好 🌍 Zürich"


@probe(
    "text.unicode",
    "characters of several bytes come whole",
    modes=BOTH,
    codes="S15",
    tokens=120,
)
def unicode(server: Server) -> None:
    schema = {
        "type": "object",
        "properties": {"echo": {"type": "string", "enum": [UNICODE]}},
        "required": ["echo"],
        "additionalProperties": False,
    }
    # Not strict, or a server that takes no notice of the schema would fail this check as well.
    reply = server.chat(
        "Say nothing.",
        response_format={"type": "json_schema", "json_schema": {"name": "echo", "schema": schema}},
        max_completion_tokens=server.room(96),
        **server.steady,
    )
    reply.accepted("response_format", "json", "schema", "grammar", "temperature").with_text()
    try:
        value = loads(reply.text)
    except ValueError:
        value = None
    echo = value.get("echo") if isinstance(value, dict) else None
    if echo == UNICODE:
        return
    if isinstance(echo, str) and echo.startswith("chatapi: "):
        raise fail("characters of the text were changed", expected=UNICODE, got=show(echo))
    raise not_exercised("the schema does not force the text: see structured.json-schema")
