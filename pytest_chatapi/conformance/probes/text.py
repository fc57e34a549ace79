"""Probes of plain text: what every server of this API has."""

from __future__ import annotations

from pytest_chatapi.conformance.probe import BOTH, fail, not_exercised, probe
from pytest_chatapi.conformance.server import Server

_SHAPE = "S01 S02 S03 S04 S05 S06 S07 S08 S09 U01 U02 T01 T02 T03 T04 T05 T06 T07 T08 T09"


@probe("text.basic", "a plain message gets a well-formed response", modes=BOTH, codes=_SHAPE)
def basic(server: Server) -> None:
    reply = server.chat(max_completion_tokens=16).accepted()
    if not reply.usage:
        raise fail("the response has no usage", expected="usage", got="absent")


@probe(
    "text.max-completion-tokens",
    "`max_completion_tokens: 1` ends the text after one token, with `length`",
    modes=BOTH,
    codes="K02 K03",
)
def max_completion_tokens(server: Server) -> None:
    reply = server.chat("Count to a hundred.", max_completion_tokens=1).accepted()
    if reply.finish != "length":
        if not reply.text:
            raise not_exercised("the model stopped before its first token")
        raise fail(
            "the text is cut, but finish_reason does not say so",
            expected="length",
            got=str(reply.finish),
        )
