"""Probes of log probabilities."""

from __future__ import annotations

from functools import partial

from pytest_chatapi.conformance.probe import BOTH, fail, probe
from pytest_chatapi.conformance.server import Reply, Server
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import show

_PROMPT = "Count from 1 to 20, separated by commas."
_CAP = 8
_MOST = 20


@probe(
    "logprobs.basic",
    "`top_logprobs: 3` gives 3 for each token, and the tokens make the text",
    modes=BOTH,
    codes="L01 L02 L03 L04 L05 L06",
    requests=2,
    tokens=80,
)
def basic(server: Server) -> None:
    ask = partial(
        server.chat,
        _PROMPT,
        logprobs=True,
        top_logprobs=3,
        max_completion_tokens=server.room(_CAP),
        **server.steady,
    )
    reply = ask().accepted("logprobs", "temperature").with_text()
    _has_alternatives(reply, 3)
    if server.mode != "stream":
        return
    whole = ask(mode="whole").accepted()
    if whole.text != reply.text:
        server.needs_determinism()
        return  # then it is another difference, which stream.assembled is about
    expected, got = _tokens(whole), _tokens(reply)
    if expected != got:
        raise fail(
            "streamed, the same text has other tokens", expected=show(expected), got=show(got)
        )


def _entries(reply: Reply) -> list[JSONObject]:
    """What is said of each token of the text."""
    logprobs = reply.choices[0].get("logprobs") if reply.choices else None
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    entries = [e for e in content if isinstance(e, dict)] if isinstance(content, list) else []
    if not entries:
        raise fail("log probabilities are asked for, and not sent", got=show(logprobs))
    return entries


def _tokens(reply: Reply) -> list[object]:
    return [entry.get("token") for entry in _entries(reply)]


def _has_alternatives(reply: Reply, count: int) -> None:
    """Raise an `Outcome` unless some token has so many; rarely, one may have fewer."""
    lengths = [
        len(top) if isinstance(top := entry.get("top_logprobs"), list) else 0
        for entry in _entries(reply)
    ]
    if max(lengths) < count:
        raise fail(
            "no token has as many alternatives as `top_logprobs` asks for",
            expected=str(count),
            got=f"at most {max(lengths)}",
        )


@probe(
    "logprobs.limits",
    "`top_logprobs` may be absent, 0 and 20, and not 21",
    codes="L03",
    requests=4,
    tokens=100,
    is_illegal=True,
)
def limits(server: Server) -> None:
    ask = partial(server.chat, _PROMPT, logprobs=True, max_completion_tokens=server.room(2))
    _entries(ask().accepted("logprobs").with_text())
    _entries(ask(top_logprobs=0).accepted("logprobs").with_text())
    _has_alternatives(ask(top_logprobs=_MOST).accepted("logprobs"), _MOST)
    ask(top_logprobs=_MOST + 1).refused_or_loose(f"`top_logprobs` of {_MOST + 1}")


@probe(
    "logprobs.alone",
    "`top_logprobs` without `logprobs` is refused",
    is_illegal=True,
)
def alone(server: Server) -> None:
    server.chat(top_logprobs=2, max_completion_tokens=1).refused_or_loose(
        "`top_logprobs` without `logprobs: true`"
    )
