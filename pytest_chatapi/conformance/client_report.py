"""What a run of a consumer found, as JSON; the other formats are made of that."""

from __future__ import annotations

import datetime
import json
import shlex
from collections.abc import Sequence

from pytest_chatapi.conformance.client import DeliveryResult, Evidence, Tried, beside, common, shown
from pytest_chatapi.conformance.report import assembled, without_secrets_of
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import show
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["client_report_of"]

_LONGEST = 4000  # characters of a body
_LONGEST_MESSAGES = 600
_MOST_PIECES = 40


def client_report_of(
    results: Sequence[DeliveryResult],
    tried: Tried,
    command: Sequence[str],
    *,
    keep_alive: bool,
    redactor: Redactor,
) -> JSONObject:
    """The report as JSON, as ``schemas/conformance.json`` says, without secrets."""
    shell = shlex.join(command)
    form = "stream" if tried.ask.stream else "whole"
    options = "--keep-alive " if keep_alive else ""
    exchanges: list[JSONObject] = []
    checks = []
    for result in results:
        again = f"chatapi conform client {options}--only {result.check.ids[0]} -- \\\n  {shell}"
        first = len(exchanges)
        if result.evidence is not None:
            exchanges += _exchanges(result.evidence, again)
        checks.append(_check(result, form, list(range(first, len(exchanges)))))
    subject: JSONObject = {
        "client": {
            "command": shell,
            "keep_alive": keep_alive,
            "form": form,
            "said": list(dict.fromkeys(said.kind for said in tried.said)),
            "turns": tried.turns,
        },
        "contract": datetime.date.today().isoformat(),
        "profile": "",
    }
    more = tried.requests - sum(result.requests for result in results)
    return without_secrets_of(redactor, assembled(subject, checks, exchanges, more))


def _check(result: DeliveryResult, form: str, exchange: list[int]) -> JSONObject:
    check, evidence = result.check, result.evidence
    plain = here = ""
    if evidence is not None:
        plain, here = shown(evidence.failure.plain), shown(evidence.failure.outcome)
        plain, here = beside(plain, here) if check.row is not None else ("", here)
        wrong = evidence.failure.outcome.sent_back
        if wrong is not None and wrong.problem == evidence.failure.problem:
            here = f"sent {show(list(wrong.messages), _LONGEST_MESSAGES)}"
    return {
        "id": check.ids[0],
        "capability": check.capability,
        "mode": form if check.mode == "-" else check.mode,
        "title": check.title,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "expected": plain,
        "got": here,
        "findings": [],
        "also": [],
        "requests": result.requests,
        "runs": 1,
        "failed": int(result.verdict == "fail"),
        "unexercised": int(result.verdict == "not-exercised"),
        "rate": None,
        "low": None,
        "high": None,
        "known": "",
        "exchange": exchange,
    }


def _exchanges(evidence: Evidence, again: str) -> list[JSONObject]:
    exchanges = []
    for number, sent in enumerate(evidence.sent):
        plain = evidence.plain_sent[number : number + 1]
        exchanges.append(_exchange(sent, plain[0].pieces if plain else [], again))
    return exchanges


def _exchange(sent: Interaction, plain: Sequence[bytes], again: str) -> JSONObject:
    pieces = sent.pieces
    same = common(pieces, plain)
    start = max(0, same - 1) if same == len(pieces) else same
    wire = [repr(bytes(piece)) for piece in pieces[start : start + _MOST_PIECES]]
    body = b"".join(pieces).decode("utf-8", "replace")
    request = sent.request.body
    if isinstance(request, bytes):
        request = request.decode("utf-8", "replace")
    problem = ""
    if sent.cut:
        problem = "the connection breaks here"
    elif start == 0 and not any(pieces):
        problem = "the body is empty"
    return {
        "command": again,
        "request": request if isinstance(request, str) else json.dumps(request),
        "status": sent.status,
        "headers": {name: value for name, value in sent.headers if name == "content-type"},
        "body": body[:_LONGEST],
        "cut": len(body) > _LONGEST,
        "problem": problem,
        "wire": [] if list(pieces) == list(plain) and not sent.cut else wire,
        "wire_before": start,
        "wire_after": max(0, len(pieces) - start - _MOST_PIECES),
    }
