"""What is shown of a case in which a consumer is wrong: outcomes, bytes, and a test to paste."""

from __future__ import annotations

import ast
import json
import pprint
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_chatapi.contract.wording import mask, shortened, show
from pytest_chatapi.errors import ChatAPIError
from pytest_chatapi.fuzz.cases import FEWER_CHUNKS, OWN, Case
from pytest_chatapi.fuzz.deliveries import CATALOGUE
from pytest_chatapi.fuzz.loops import SentBack
from pytest_chatapi.fuzz.oracle import Outcome, difference
from pytest_chatapi.recording.cassette import prepared, write
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["Failure", "described", "write_cassette"]

_WIDTH = 80
_FEW = 8
# Chunks larger than those of the plain delivery. It may be that one which the consumer reads wrong,
# so the test does not expect what the consumer made of it.
_LARGER_CHUNKS = ("compact", "whole_texts")


@dataclass(frozen=True)
class Failure:
    """A case in which the consumer is wrong.

    Attributes:
        problem: what is wrong, to follow on "the consumer".
        plain: what the consumer made of the plain delivery of the same response.
    """

    case: Case
    problem: str
    plain: Outcome
    outcome: Outcome


def described(
    failure: Failure,
    sent: Sequence[Interaction],
    plain_sent: Sequence[Interaction],
    others: Sequence[Failure] = (),
    *,
    consumer: str = "consumer()",
    cassette: str = "",
    notes: Sequence[str] = (),
) -> str:
    """The message of a failed test, in 80 columns.

    Args:
        sent, plain_sent: the responses of the case, and of its plain delivery.
        others: further cases that are wrong.
        consumer: the call of the code under test.
        cassette: path of the recording of it.
    """
    lines = _wrapped(f"chatapi_fuzz: the consumer {failure.problem}", "  ")
    lines += ["", *_deliveries(failure.case)]
    if failure.outcome.sent_back is not None and failure.case.illegal is None:
        lines += _sent_back(failure.outcome.sent_back)
        lines += _wrapped(f"  result          {failure.outcome}", " " * 18)
    elif failure.case.steps:
        lines += _wrapped(f"  plain delivery  {failure.plain}", " " * 18)
        lines += _wrapped(f"  this delivery   {failure.outcome}", " " * 18)
        lines += _difference(failure)
    else:
        lines += _wrapped(f"  the consumer    {failure.outcome}", " " * 18)
    lines += ["", "What is on the wire, as a test that needs no Hypothesis:", ""]
    lines += _test(failure, sent, plain_sent, consumer)
    if cassette:
        lines += ["", "As a recording:", f"  {cassette}"]
    lines += _others(failure, others)
    names = _to_skip(failure.case)
    if failure.problem == "lost the refusal":
        names = ["refusal"]
    if names:
        remedy = " or ".join(f"skip=[{name!r}]" for name in reversed(names))
        lines += ["", *_wrapped(f"To try the others without it: {remedy}", "  ")]
    for note in notes:
        lines += ["", *_wrapped(note, "")]
    return "\n".join(lines)


def _to_skip(case: Case) -> list[str]:
    """The deliveries without which the others can be tried."""
    if case.illegal is not None:
        return [case.illegal.name]
    names = [step.name for step in case.steps]
    return [name for name in names if name not in FEWER_CHUNKS] or names


def _wrapped(text: str, indent: str) -> list[str]:
    lines = textwrap.wrap(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)
    return lines or [text]


def _deliveries(case: Case) -> Iterator[str]:
    said = case.said
    what = ", then ".join([said.kind, *said.then])
    if said.kind.startswith(OWN):
        what = f"replies[{said.kind.removeprefix(OWN)}]"
    else:
        what += f": {said.text!r}" + (" in the arguments" if "call" in said.kind else "")
    yield from _wrapped(f"  response        {what}", " " * 18)
    for step in case.steps:
        row = CATALOGUE[step.name]
        where = f", response {case.turn + 1}" if row.kind == "illegal" and case.turn else ""
        yield from _wrapped(f"  {row.kind:<15} {step}{where}: {row.title}", " " * 18)


def _sent_back(sent_back: SentBack) -> Iterator[str]:
    yield from _wrapped(f"  request {sent_back.request + 1:<7} {sent_back.detail}", " " * 18)
    for at, message in enumerate(sent_back.messages[:_FEW]):
        label = "it sent" if not at else ""
        yield from _wrapped(f"  {label:<15} {show(message, 300)}", " " * 18)
    if len(sent_back.messages) > _FEW:
        yield f"{'':<18}... and {len(sent_back.messages) - _FEW} more"


def _difference(failure: Failure) -> list[str]:
    """Where two results differ, of which a reader would have to compare every member."""
    if failure.plain.error is not None or failure.outcome.error is not None:
        return []
    if _joined(failure.plain.value) == _joined(failure.outcome.value) != "":
        hint = "  hint            both are the same text in other pieces: return it joined"
        return _wrapped(hint, " " * 18)
    place, plain, other = difference(failure.plain.value, failure.outcome.value)
    if not place:
        return []
    texts = [mask(shortened(repr(value), 100)) for value in (plain, other)]
    return _wrapped(f"  differs         {place}: plain {texts[0]}, this {texts[1]}", " " * 18)


def _joined(value: object) -> str:
    """The text of a list of deltas; empty if it is none."""
    if not isinstance(value, list | tuple):
        return ""
    texts = [item for item in value if item is not None]
    return "".join(texts) if all(isinstance(item, str) for item in texts) else ""


def _others(failure: Failure, others: Sequence[Failure]) -> Iterator[str]:
    """The names of the other deliveries that are read wrong, by kind."""
    own = failure.case.steps[-1].name if failure.case.steps else ""
    groups: dict[str, dict[str, None]] = {}
    for other in others:
        if other is not failure and not other.case.steps:
            groups.setdefault("plain", {})[f"{other.problem} ({other.case.said.kind})"] = None
        elif other.case.steps and (name := other.case.steps[-1].name) != own:
            groups.setdefault(CATALOGUE[name].kind, {})[name] = None
    if groups:
        yield from ("", "It also fails on these:")
    for kind, names in groups.items():
        shown = list(names)[:_FEW]
        more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
        yield from _wrapped(f"  {kind:<15} {', '.join(shown)}{more}", " " * 18)


# -- the test ------------------------------------------------------------------------------


def _test(
    failure: Failure, sent: Sequence[Interaction], plain: Sequence[Interaction], consumer: str
) -> Iterator[str]:
    case = failure.case
    is_loud = case.illegal is not None
    sent_back = None if is_loud else failure.outcome.sent_back
    modules = {"asyncio": consumer.startswith("asyncio.")}
    modules["json"] = sent_back is not None and bool(sent_back.calls)
    imports = [f"import {name}" for name, is_used in modules.items() if is_used]
    yield from (*imports, "") if imports else ()
    yield from ("import pytest", "") if is_loud else ()
    yield from ("from pytest_chatapi.mock import wire", "", "")
    name = case.steps[-1].name if case.steps else f"reads_{case.said.kind}"
    name = name if sent_back is None else "tool_loop"
    yield f"def test_{re.sub('[^0-9a-z]+', '_', name)}(chatapi_mock):"
    if sent_back is not None:
        yield from (f"    {line}" for line in _loop(sent_back, sent, consumer))
        return
    body: list[str] = []
    expected = _expected(failure.plain)
    if name in _LARGER_CHUNKS and failure.outcome.error is None:
        expected = None
    if case.steps and not is_loud and expected is None and failure.plain.error is None:
        body += [*_script(plain), f"expected = {consumer}"]
        expected = "expected"
    body += _script(sent)
    if is_loud:
        body += ["with pytest.raises(Exception):", f"    {consumer}"]
    elif not case.steps and case.said.kind == "refusal":
        body += [f"assert {case.said.text!a} in repr({consumer})"]
    elif failure.problem == "lost a tool call":
        body += [f"assert {_lost_id(failure, sent)!r} in repr({consumer})"]
    elif failure.problem == "lost the usage":
        result = failure.outcome.value
        keys = result if isinstance(result, Mapping) else ()
        key = next((key for key in keys if str(key).lower() == "usage"), None)
        body += [f"assert {consumer}{'.usage' if key is None else f'[{key!r}]'}"]
    elif expected is None or not case.steps:
        body += [f"{consumer}  # must not raise"]
    else:
        body += _equality(consumer, expected)
    yield from (f"    {line}" for line in body)


def _loop(sent_back: SentBack, sent: Sequence[Interaction], consumer: str) -> Iterator[str]:
    """Code that runs a tool loop to its end, and looks at what was sent back."""
    number = sent_back.request
    has_end = bool(number and sent_back.calls) or sent_back.is_open
    scripted = sent if sent_back.is_open else sent[: max(number, 1)]
    yield "chatapi_mock.script("
    yield "    ["
    for response in scripted:
        yield from (f"        {line}" for line in _wire(response))
    if has_end:
        yield '        "Done.",'
    yield from ("    ]", ")", consumer)
    if sent_back.is_open or not has_end:
        yield f"assert len(chatapi_mock.requests) == {len(scripted) + has_end}"
        return
    yield f'messages = json.loads(chatapi_mock.requests[{number}].body)["messages"]'
    yield 'calls = [c for m in messages for c in m.get("tool_calls") or ()]'
    yield 'answered = [m["tool_call_id"] for m in messages if m["role"] == "tool"]'
    ids = [call["id"] for call in sent_back.calls]
    yield from _equality('sorted(c["id"] for c in calls)', _literal(sorted(ids)))
    yield 'assert sorted(answered) == sorted(c["id"] for c in calls)'
    changed = next((c for c in sent_back.calls if c["id"] == sent_back.changed), None)
    if changed is None:
        return
    kind, at = changed["type"], ids.index(changed["id"])
    yield f'called = calls[{at}]["{kind}"]'
    yield from _equality('called["name"]', _literal(changed[kind]["name"]))
    if kind == "function":
        arguments = json.loads(changed[kind]["arguments"])
        yield from _equality('json.loads(called["arguments"])', _literal(arguments))


def _lost_id(failure: Failure, sent: Sequence[Interaction]) -> str:
    """The id of a call that was sent and is not in the result."""
    body, result = b"".join(sent[0].pieces).decode(), repr(failure.outcome.value)
    ids: list[str] = re.findall(r'"(call_\w+)"', body)
    return next(id_ for id_ in ids if id_ not in result)


def _equality(consumer: str, expected: str) -> list[str]:
    line = f"assert {consumer} == {expected}"
    if len(line) <= _WIDTH - 4 and "\n" not in line:
        return [line]
    return [f"assert {consumer} == (", *(f"    {part}" for part in expected.split("\n")), ")"]


def _expected(outcome: Outcome) -> str | None:
    """A result as an expression that a test can have; ``None`` where it has no such form."""
    if outcome.error is not None:
        return None
    try:
        text = _literal(outcome.value)
        is_same = bool(ast.literal_eval(text) == outcome.value)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return text if is_same else None


def _literal(value: object) -> str:
    return pprint.pformat(value, width=_WIDTH - 10, sort_dicts=False)


def _script(sent: Sequence[Interaction]) -> list[str]:
    """Code that makes the mock send these responses."""
    if len(sent) == 1:
        return ["chatapi_mock.reply(", *(f"    {line}" for line in _wire(sent[0])), ")"]
    lines = ["chatapi_mock.script(", "    ["]
    for response in sent:
        lines += [f"        {line}" for line in _wire(response)]
    return [*lines, "    ]", ")"]


def _wire(response: Interaction) -> Iterator[str]:
    arguments = list(_arguments(response))
    yield from (
        ("wire(", *(f"    {line}" for line in arguments), "),") if arguments else ("wire(),",)
    )


def _arguments(response: Interaction) -> Iterator[str]:
    for piece in response.pieces:
        lines: list[str] = []
        for part in filter(None, _RUN.split(piece)):
            plus = "+ " if lines else ""
            if _RUN.fullmatch(part):
                lines.append(f"{plus}b'a' * {len(part)}")
            else:
                first, *rest = _literals(repr(part))
                lines += [plus + first, *rest]
        yield from lines[:-1]
        yield f"{lines[-1]},"
    if response.status != 200:
        yield f"status={response.status},"
    content_type = next((v for n, v in response.headers if n == "content-type"), "")
    if not content_type.startswith("text/event-stream"):
        yield f"content_type={content_type!r},"
    if response.cut:
        yield "cut=True,"


_RUN = re.compile(b"(a{500,})")  # of `long_event`
_ATOM = re.compile(r"\\(?:x..|u....|U........|.)|[^\\]", re.DOTALL)


def _literals(literal: str) -> Iterator[str]:
    """A literal of a str or of bytes, as several that fit into the width."""
    prefix = "b" if literal[0] == "b" else ""
    quote, inner = literal[len(prefix)], literal[len(prefix) + 1 : -1]
    width = _WIDTH - 18 - len(prefix)
    line = ""
    for atom in _ATOM.findall(inner):
        if len(line) + len(atom) > width:
            yield f"{prefix}{quote}{line}{quote}"
            line = ""
        line += atom
        if atom == "\\n":
            yield f"{prefix}{quote}{line}{quote}"
            line = ""
    if line or not inner:
        yield f"{prefix}{quote}{line}{quote}"


# -- the cassette ----------------------------------------------------------------------------


def write_cassette(path: Path, sent: Iterable[Interaction]) -> bool:
    """Write the responses of a case as a recording; return whether that was possible."""
    try:
        path.unlink(missing_ok=True)
        ready = prepared(path, path.name, list(sent), Redactor())
        write(path, path.name, ready)
    except (ChatAPIError, OSError):
        return False
    return not ready.refused
