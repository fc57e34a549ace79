"""One rule, explained: its page in ``docs/rules``, and the help that SARIF carries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from difflib import SequenceMatcher

from pytest_chatapi.contract.catalogue import Rule
from pytest_chatapi.contract.examples import Example, changed, example
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.profiles import PROFILES
from pytest_chatapi.contract.wire import JSON, JSONObject

__all__ = ["BASIS", "LEVEL_WORDS", "brief_chunk", "help_markdown", "help_text", "page"]

LEVEL_WORDS = {"E": "error", "W": "warning", "N": "note", "-": "off"}
BASIS = {
    "doc": "stated in the reference",
    "ex": "only in the reference's examples",
    "obs": "always so in recorded traffic of the reference service",
    "client": "mainstream clients depend on it",
    "derived": "follows from what the reference states",
}
_CUTS = {
    "server": "(here the server ends the connection)",
    "client": "(here the client stops reading)",
}
_FRAME = ("id", "object", "created", "model", "system_fingerprint")
"""What the chunks of a stream share."""
_DATA = "data: {"
_CONTEXT = 3  # lines around a change, as in diff -u


def page(rule: Rule) -> str:
    """The Markdown page of a rule."""
    shown = example(rule.code)
    bases = [shown.base] if shown.base == shown.legal_base else [shown.base, shown.legal_base]
    blocks = [f"# {rule.code} {rule.name}", *_facts(rule), *_examples(shown)]
    for name in bases:
        blocks += [
            f"## The exchange `{name}`",
            "Legal in every profile. The examples above change it; `...` is what its chunks share."
            if "stream" in name
            else "Legal in every profile. The examples above change it.",
            _fenced("text", [*_request(base := changed(name, {})), "", *_response(base)]),
        ]
    blocks += [
        "## Ignore it",
        f'`chatapi check --ignore {rule.code}`, or `ignore=["{rule.code}"]` in a test; '
        f"`{rule.code}:$.path` ignores it at one path.",
        f"In the terminal: `chatapi rules {rule.code}`. [All rules](../rules.md), "
        "[profiles](../profiles.md).",
    ]
    return "\n\n".join(blocks) + "\n"


def help_markdown(rule: Rule) -> str:
    """The page of a rule without its title and its links."""
    return "\n\n".join([*_facts(rule), *_examples(example(rule.code))])


def help_text(rule: Rule) -> str:
    """What a rule says and why, as plain text in a few lines."""
    return "\n".join(
        [
            rule.statement,
            f"Why it matters: {rule.why}",
            f"Basis: {_basis(rule)}",
            f"Explained with examples by: chatapi rules {rule.code}",
        ]
    )


def _basis(rule: Rule) -> str:
    since = f"; for traffic since {rule.since}" if rule.since else ""
    return BASIS[rule.basis] + since + "."


def _facts(rule: Rule) -> Iterator[str]:
    yield rule.statement
    yield f"**Why it matters:** {rule.why}"
    yield f"**Basis:** {_basis(rule)}"
    rows = [("the rule", rule.levels), *((what, levels) for levels, what in rule.cases.values())]
    yield "\n".join(
        [
            f"| level | {' | '.join(PROFILES)} |",
            "|---|" + "---|" * len(PROFILES),
            *(
                f"| {' | '.join([what, *(LEVEL_WORDS[e] for e in letters)])} |"
                for what, letters in rows
            ),
        ]
    )


def _examples(shown: Example) -> Iterator[str]:
    under = f", checked with `--profile {shown.profile}`" if shown.profile != "openai" else ""
    beside = f" (it breaks {' and '.join(sorted(shown.beside))} too)" if shown.beside else ""
    yield "## Breaks it"
    yield f"The exchange `{shown.base}` with this change{under}{beside}:"
    yield _fenced("diff", _diff(changed(shown.base, {}), shown.broken))
    yield "## Legal"
    yield shown.note
    change = list(_diff(changed(shown.legal_base, {}), shown.legal))
    if change:
        yield f"The exchange `{shown.legal_base}` with this change:"
        yield _fenced("diff", change)
    else:
        yield f"The exchange `{shown.legal_base}` as it is."


def _fenced(language: str, lines: Iterable[str]) -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _diff(before: Exchange, after: Exchange) -> Iterator[str]:
    """Yield the changed lines with their neighbours, each group below the part that it is in."""
    for part, parts in (("request", _request), ("response", _response)):
        old, new = list(parts(before)), list(parts(after))
        frame: JSONObject = next(
            (json.loads(line[6:]) for line in old if line.startswith(_DATA)), {}
        )
        for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(_CONTEXT):
            yield f"@@ {part} @@"
            for tag, old_start, old_end, new_start, new_end in group:
                for line in old[old_start:old_end]:
                    sign = " " if tag == "equal" else "-"
                    yield f"{sign} {_shorter(line, frame)}" if line else sign.strip()
                for line in new[new_start:new_end] if tag != "equal" else ():
                    yield f"+ {_shorter(line, frame)}" if line else "+"


def _shorter(line: str, frame: JSONObject) -> str:
    """Leave out of a chunk what it shares with the others: the change would be out of sight."""
    with suppress(ValueError):
        if line.startswith(_DATA):
            return f"data: {brief_chunk(json.loads(line[6:]), frame)}"
    return line


def brief_chunk(chunk: JSONObject, frame: JSONObject) -> str:
    """A chunk as JSON, with ``...`` for the members that all chunks share.

    Args:
        frame: another chunk of the stream; what differs from it is kept.
    """
    own = {k: v for k, v in chunk.items() if k not in _FRAME or v != frame.get(k)}
    text = json.dumps(own, ensure_ascii=False)
    whole = json.dumps(chunk, ensure_ascii=False)
    return "{..., " + text[1:] if own != chunk and chunk.keys() >= set(_FRAME) else whole


def _request(exchange: Exchange) -> Iterator[str]:
    request = exchange.request
    assert request is not None  # every base has one
    yield f"{request.method} {request.url}"
    yield from _message(request.headers, request.body)


def _response(exchange: Exchange) -> Iterator[str]:
    response = exchange.response
    assert response is not None  # every base has one
    yield f"HTTP/1.1 {response.status}"
    yield from _message(response.headers, response.body)
    if response.cut:
        yield _CUTS[response.cut]


def _message(headers: Mapping[str, str], body: JSON) -> Iterator[str]:
    yield from (f"{name}: {value}" for name, value in headers.items())
    if isinstance(body, str):
        text = body
        with suppress(ValueError):
            body = json.loads(text)
        if body == text or json.dumps(body, ensure_ascii=False) != text:
            # A stream, or JSON of which the spelling is the point.
            yield from text.replace("\r", "\\r").removesuffix("\n").split("\n") if text else ()
            return
    if body is not None:
        yield from json.dumps(body, indent=2, ensure_ascii=False).split("\n")
