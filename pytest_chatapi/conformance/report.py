"""What a run found, as JSON and as text."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pytest_chatapi import __version__
from pytest_chatapi.conformance.probe import CAPABILITIES, Verdict
from pytest_chatapi.conformance.rate import Rate
from pytest_chatapi.conformance.run import Result
from pytest_chatapi.conformance.wire import Sent
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import plural, without_secrets
from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["VERSION", "About", "curl", "failure_of", "report_of", "text_of"]

VERSION = 1
"""Of the JSON form; the schema is ``schemas/conformance.json``."""

_WIDTH = 80
_MARKS = {
    Verdict.PASS: "pass",
    Verdict.NON_STRICT: "loose",
    Verdict.FAIL: "FAIL",
    Verdict.UNSUPPORTED: "no",
    Verdict.NOT_EXERCISED: "?",
    Verdict.HARNESS_ERROR: "ERROR",
}
_FRAMES = 6


@dataclass(frozen=True)
class About:
    """What a report is about.

    Attributes:
        url: of the server, without user and password.
        contract: the day of the contract, ``YYYY-MM-DD``.
        key_variable: environment variable with the key, as in the reproducing command.
    """

    url: str
    model: str
    contract: str
    profile: str = ""
    key_variable: str = "OPENAI_API_KEY"
    declared: Sequence[str] = field(default_factory=tuple)


def report_of(results: Iterable[Result], about: About, redactor: Redactor) -> JSONObject:
    """The report as JSON, without the secrets that the redactor knows."""
    checks = [_check_json(result, about, redactor) for result in results]
    counts = Counter(check["verdict"] for check in checks)
    report: JSONObject = {
        "version": VERSION,
        "tool": f"pytest-chatapi {__version__}",
        "server": {"url": about.url, "model": about.model, "declared": list(about.declared)},
        "contract": about.contract,
        "profile": about.profile,
        "checks": checks,
        "summary": {
            "checks": len(checks),
            "requests": sum(check["requests"] for check in checks),
            **{verdict.value: counts[verdict.value] for verdict in Verdict},
        },
    }
    cleaned: JSONObject = _clean(report, redactor)
    return cleaned


def _check_json(result: Result, about: About, redactor: Redactor) -> JSONObject:
    shown = result.verdict not in (Verdict.PASS,)
    rate = result.rate
    return {
        "id": result.check.id,
        "capability": result.check.probe.capability,
        "mode": result.check.mode,
        "title": result.check.probe.title,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "expected": result.expected,
        "got": result.got,
        "findings": [finding.to_json() for finding in result.findings],
        "also": sorted({finding.code for finding in result.also}),
        "requests": sum(map(len, result.sent_by_run.values())),
        "runs": result.runs,
        "failed": result.failed,
        "unexercised": result.unexercised,
        "rate": rate and round(rate.value, 4),
        "low": rate and round(rate.low, 4),
        "high": rate and round(rate.high, 4),
        "exchanges": [_exchange_json(sent, about) for sent in result.sent] if shown else [],
    }


def _exchange_json(sent: Sent, about: About) -> JSONObject:
    response = sent.exchange.response
    body = response.content.decode("utf-8", "replace") if response is not None else ""
    return {
        "curl": curl(sent, about),
        "status": response.status if response is not None else None,
        "content_type": response.headers.get("content-type", "") if response is not None else "",
        "body": body[:4000],
        "cut": len(body) > 4000,
        "problem": sent.problem,
    }


def curl(sent: Sent, about: About) -> str:
    """A command that sends the request again; the key is a variable."""
    request = sent.exchange.request
    assert request is not None
    parts = ["curl -sN"]
    if request.method != "POST" or request.body is None:
        parts.append(f"-X {request.method}")
    url = request.url if "://" in request.url else about.url.rstrip("/") + request.url
    parts.append(shlex.quote(without_secrets(url)))
    for name, value in request.headers.items():
        if name == "authorization":
            parts.append(f'-H "Authorization: Bearer ${about.key_variable}"')
        elif name in ("content-type",):
            parts.append(f"-H {shlex.quote(f'{name}: {value}')}")
    if request.body is not None:
        parts.append(f"-d {shlex.quote(_one_line(request.body))}")
    return " ".join(parts)


def _one_line(body: str | bytes) -> str:
    """A body as it may stand in a command; a cassette spreads JSON over lines."""
    try:
        text: str = json.dumps(json.loads(body), ensure_ascii=False)
        return text
    except ValueError:
        return body if isinstance(body, str) else body.decode("utf-8", "replace")


def _clean(value: JSON, redactor: Redactor) -> JSON:
    """`value` with its texts redacted."""
    if isinstance(value, dict):
        return {name: _clean(item, redactor) for name, item in value.items()}
    if isinstance(value, list):
        return [_clean(item, redactor) for item in value]
    return redactor.text(value) if isinstance(value, str) else value


# -- text ----------------------------------------------------------------------------------------


def text_of(report: JSONObject) -> str:
    """A table by capability that fits 80 columns, then each failure."""
    lines = [
        f"{report['server']['url']}  model {report['server']['model']}",
        f"contract of {report['contract']}",
        "",
    ]
    # Rates take room.
    is_repeated = any(check["rate"] is not None for check in report["checks"])
    width, column = (34, 24) if is_repeated else (44, 8)
    for capability, title in CAPABILITIES.items():
        checks = [c for c in report["checks"] if c["capability"] == capability]
        if checks:
            rows = _rows(checks, width, column)
            lines += [f"{title:<{width}}{'whole':<{column}}stream", *rows, ""]
    for check in report["checks"]:
        if check["verdict"] in (Verdict.FAIL, Verdict.HARNESS_ERROR):
            lines += [*_failure(check), ""]
    said = (Verdict.NON_STRICT, Verdict.UNSUPPORTED, Verdict.NOT_EXERCISED)
    reasons = [
        check
        for check in report["checks"]
        if check["verdict"] in said or (check["verdict"] == Verdict.PASS and check["reason"])
    ]
    for check in reasons:
        lines += _wrapped(f"{check['id']}: {check['verdict']}: {check['reason']}", "  ")
    if reasons:
        lines.append("")
    lines.append(summary_of(report))
    return "\n".join(lines) + "\n"


def failure_of(result: Result, about: About, redactor: Redactor) -> str:
    """What the report says of one failed check, without the secrets that the redactor knows."""
    return "\n".join(_failure(_clean(_check_json(result, about, redactor), redactor)))


def summary_of(report: JSONObject) -> str:
    """One line: how many checks came to what."""
    summary = report["summary"]
    parts = [f"{summary['pass']} of {plural(summary['checks'], 'check')} passed"]
    parts += [
        f"{summary[verdict.value]} {verdict.value}"
        for verdict in Verdict
        if verdict is not Verdict.PASS and summary[verdict.value]
    ]
    return f"{', '.join(parts)}; {plural(summary['requests'], 'request')}"


def badge_of(report: JSONObject) -> str:
    """``41/47 (6 not exercised)``."""
    summary = report["summary"]
    left = summary["not-exercised"] + summary["harness-error"]
    rest = f" ({left} not exercised)" if left else ""
    return f"{summary['pass']}/{summary['checks'] - summary['unsupported'] - left}{rest}"


def _rows(checks: Sequence[JSONObject], width: int, column: int) -> list[str]:
    rows: dict[str, dict[str, str]] = {}
    for check in checks:
        name = check["id"]
        if check["mode"] != "-":
            name = name.removesuffix(f".{check['mode']}")
        mark = _MARKS[Verdict(check["verdict"])]
        if check["rate"] is not None:
            exercised = check["runs"] - check["unexercised"]
            mark += f" {Rate(exercised - check['failed'], exercised)}"
        rows.setdefault(name, {})[check["mode"]] = mark
    return [
        f"  {name:<{width - 2}}{marks.get('whole', marks.get('-', '')):<{column}}"
        f"{marks.get('stream', '')}".rstrip()
        for name, marks in rows.items()
    ]


def _failure(check: JSONObject) -> list[str]:
    word = "FAIL" if check["verdict"] == "fail" else "ERROR"
    lines = _wrapped(f"{word} {check['id']}: {check['reason']}", "  ")
    for name in ("expected", "got"):
        if check[name]:
            lines += _wrapped(f"  {name:<9}{check[name]}", " " * 11)
    for finding in check["findings"]:
        lines += _finding(finding)
    if check["exchanges"]:
        last = check["exchanges"][-1]
        lines.append(f"  sent     {last['curl']}")
        if last["body"]:
            frames = [line for line in last["body"].splitlines() if line.strip()]
            lines += [f"  received {frames[0][:69]}"]
            lines += [f"           {frame[:69]}" for frame in frames[1:_FRAMES]]
            if len(frames) > _FRAMES:
                lines.append(f"           ... and {plural(len(frames) - _FRAMES, 'more line')}")
    return lines


def _finding(finding: JSONObject) -> list[str]:
    chunk = "" if finding["chunk"] is None else f", chunk {finding['chunk']}"
    return [
        *_wrapped(f"  {finding['level']} {finding['code']} {finding['message']}", " " * 4),
        *_wrapped(f"    at {finding['path']}{chunk}", " " * 7),
        *_wrapped(f"    expected {finding['expected']}; got {finding['got']}", " " * 6),
    ]


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
