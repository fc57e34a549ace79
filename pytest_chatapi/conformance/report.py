"""What a run found, as JSON and as text."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_chatapi import __version__
from pytest_chatapi.conformance.probe import DELIVERIES, TITLES, Verdict
from pytest_chatapi.conformance.rate import Rate
from pytest_chatapi.conformance.run import Result
from pytest_chatapi.conformance.wire import Call, Sent
from pytest_chatapi.contract.findings import LEVELS
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import mask, place_of, plural, without_secrets, wrapped
from pytest_chatapi.redaction.names import is_secret_header
from pytest_chatapi.redaction.redactor import Redactor
from pytest_chatapi.report import Paint, plain

__all__ = [
    "VERSION",
    "About",
    "assembled",
    "curl",
    "failing",
    "failure_lines",
    "is_stale",
    "labels_of",
    "made_by",
    "name_of",
    "rate_of",
    "report_of",
    "shown_headers",
    "subject_of",
    "text_of",
    "without_secrets_of",
]

VERSION = 1
"""Of the JSON form; the schema is ``schemas/conformance.json``."""

_WIDTH = 80
_WIDTHS = 44, 18
"""Of the names, and of what is beside them."""
_WIDTHS_OF_RATES = 26, 27
_WORDS = {
    Verdict.PASS: "pass",
    Verdict.NON_STRICT: "non-strict",
    Verdict.FAIL: "FAIL",
    Verdict.UNSUPPORTED: "unsupported",
    Verdict.NOT_EXERCISED: "not exercised",
    Verdict.HARNESS_ERROR: "ERROR",
}
_VERDICTS = {word: verdict for verdict, word in _WORDS.items()}
_MARK = re.compile("|".join(_VERDICTS))
_STYLES = {
    Verdict.PASS: "good",
    Verdict.NON_STRICT: "warning",
    Verdict.FAIL: "error",
    Verdict.UNSUPPORTED: "note",
    Verdict.NOT_EXERCISED: "warning",
    Verdict.HARNESS_ERROR: "error",
}
_FRAMES = 4
_LONGEST_FRAME = 4 * (_WIDTH - 4)
_FINDINGS = 4
_LONGEST_LINE = 1000
"""Of a command. Only a prompt that is to be too long is longer."""
_LONGEST_BODY = 4000
_GLANCE = 100
"""Characters of what a consumer made of a delivery that is not a failure."""
_LONGEST_BODY_OF_A_PASS = 1000


@dataclass(frozen=True)
class About:
    """What a report is about.

    Attributes:
        url: of the server, without user and password.
        contract: the day of the contract, ``YYYY-MM-DD``.
        key_variable: environment variable with the key, as in the reproducing command.
        headers: of every request, as `shown_headers` returns them.
    """

    url: str
    model: str
    contract: str
    profile: str = ""
    key_variable: str = "OPENAI_API_KEY"
    declared: Sequence[str] = field(default_factory=tuple)
    headers: Mapping[str, str] = field(default_factory=dict)


def shown_headers(
    headers: Mapping[str, str], key_variable: str, redactor: Redactor
) -> dict[str, str]:
    """The headers of every request as a report may show them: the key is a variable."""
    shown = {}
    for name, value in headers.items():
        if name == "authorization" and value.startswith("Bearer "):
            shown[name] = f"Bearer ${key_variable}"
        else:
            shown[name] = "REDACTED" if is_secret_header(name) else redactor.text(value)
    return shown


def report_of(
    results: Iterable[Result],
    about: About,
    redactor: Redactor,
    measured: Mapping[str, Sequence[Sent]] | None = None,
) -> JSONObject:
    """The report as JSON, without the secrets that the redactor knows.

    Args:
        measured: `Run.measured`.
    """
    exchanges: list[JSONObject] = []
    checks = [_check_json(result, about, redactor, exchanges) for result in results]
    subject = {
        "server": {"url": about.url, "model": about.model, "declared": list(about.declared)},
        "contract": about.contract,
        "profile": about.profile,
    }
    more = sum(map(len, (measured or {}).values()))
    return without_secrets_of(redactor, assembled(subject, checks, exchanges, more))


def assembled(
    subject: JSONObject, checks: list[JSONObject], exchanges: list[JSONObject], more: int
) -> JSONObject:
    """A report of checks.

    Args:
        subject: the members about what was checked.
        more: requests beside those of the checks.
    """
    counts = Counter(check["verdict"] for check in checks)
    summary: JSONObject = {
        "checks": len(checks),
        "requests": sum(check["requests"] for check in checks) + more,
        **{verdict.value: counts[verdict.value] for verdict in Verdict},
    }
    summary["badge"] = badge_of(summary)
    return {
        "version": VERSION,
        "tool": f"pytest-chatapi {__version__}",
        **subject,
        "checks": checks,
        "summary": summary,
        "exchanges": exchanges,
    }


def without_secrets_of(redactor: Redactor, report: JSONObject) -> JSONObject:
    """The report without the secrets that the redactor knows."""
    cleaned: JSONObject = _clean(report, redactor)
    return cleaned


def _check_json(
    result: Result, about: About, redactor: Redactor, exchanges: list[JSONObject]
) -> JSONObject:
    rate = result.rate
    first = len(exchanges)
    is_pass = result.verdict is Verdict.PASS
    longest = _LONGEST_BODY_OF_A_PASS if is_pass else _LONGEST_BODY
    exchanges += [_exchange_json(sent, about, redactor, longest) for sent in result.sent]
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
        "known": "",
        "exchange": list(range(first, len(exchanges))),
    }


def _exchange_json(sent: Sent, about: About, redactor: Redactor, longest: int) -> JSONObject:
    shown: JSONObject = {
        "curl": curl(sent.call, about),
        "status": None,
        "headers": {},
        "body": "",
        "cut": False,
        "problem": sent.problem,
    }
    response = sent.exchange.response
    if response is not None:
        # As a cassette would have it, so that a replay gives the same report.
        content_type = response.headers.get("content-type", "")
        body = (redactor.body(response.content, content_type) or b"").decode("utf-8", "replace")
        shown["status"] = response.status
        shown["headers"] = dict(redactor.headers(response.headers.items(), response=True))
        shown["body"], shown["cut"] = body[:longest], len(body) > longest
    return shown


def curl(call: Call, about: About) -> str:
    """A command for a shell that sends a request again, in lines of up to 78 columns where that is
    possible.
    """
    method, path, body, own = call
    headers = {n: v for n, v in {**about.headers, **own}.items() if v}
    if body is not None:
        headers.setdefault("content-type", "")  # curl would send one of its own
    url = shlex.quote(without_secrets(about.url.rstrip("/") + path))
    is_default = method == ("GET" if body is None else "POST")
    lines = ["curl -isN " + ("" if is_default else f"-X {method} ") + url]
    for name, value in headers.items():
        text = f"{name}: {value}".rstrip()
        is_key = value == f"Bearer ${about.key_variable}" and about.key_variable.isidentifier()
        lines.append(f'-H "{text}"' if is_key else f"-H {shlex.quote(text)}")
    if body is not None:
        lines.append(f"--data-raw {_quoted_body(body)}")
    return " \\\n  ".join(lines)


_JSON_WORD = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^"\s])+')


def _quoted_body(body: bytes) -> str:
    """A body, quoted for a shell; JSON may be wrapped between its tokens."""
    text = body.decode("utf-8", "replace")
    try:
        text = json.dumps(json.loads(text), ensure_ascii=False)
    except ValueError:
        if "\n" not in text:
            return shlex.quote(text)
        text = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
        return f"$'{text}'"  # it has to stay as it is where the command is indented
    lines, width = [""], _WIDTH - len("  --data-raw '") - 2
    for word in _JSON_WORD.findall(text):
        if lines[-1] and len(lines[-1]) + len(word) + 1 > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return shlex.quote("\n".join(lines))


def _clean(value: JSON, redactor: Redactor) -> JSON:
    """`value` with its texts redacted."""
    if isinstance(value, dict):
        return {name: _clean(item, redactor) for name, item in value.items()}
    if isinstance(value, list):
        return [_clean(item, redactor) for item in value]
    return redactor.text(value) if isinstance(value, str) else value


def badge_of(summary: JSONObject) -> str:
    """``41/47 (6 not exercised)``: the checks that passed, of those of all features that the server
    does not say it lacks, and what became of the others.
    """
    left = [v for v in _BECAME if v is not Verdict.UNSUPPORTED and summary[v]]
    rest = f" ({', '.join(f'{summary[v]} {_BECAME[v]}' for v in left)})" if left else ""
    return f"{summary['pass']}/{summary['checks'] - summary['unsupported']}{rest}"


_BECAME = {
    Verdict.FAIL: "failed",
    Verdict.NON_STRICT: "non-strict",
    Verdict.UNSUPPORTED: "unsupported",
    Verdict.NOT_EXERCISED: "not exercised",
    Verdict.HARNESS_ERROR: "not run",
}


def is_stale(check: JSONObject) -> bool:
    """Whether a check is a known failure that is none any more."""
    fine = Verdict.PASS, Verdict.NON_STRICT, Verdict.UNSUPPORTED
    return bool(check["known"]) and check["verdict"] in fine


def rate_of(check: JSONObject) -> Rate | None:
    """How many runs passed, of those that came to something; ``None`` for a single run."""
    if check["rate"] is None:
        return None
    exercised = check["runs"] - check["unexercised"]
    return Rate(exercised - check["failed"], exercised)


def failing(report: JSONObject) -> list[JSONObject]:
    """The checks that fail the run: failures that are not known, and known ones that are none."""
    return [
        check
        for check in report["checks"]
        if (check["verdict"] == Verdict.FAIL and not check["known"]) or is_stale(check)
    ]


# -- text ----------------------------------------------------------------------------------------


def text_of(report: JSONObject, paint: Paint = plain) -> str:
    """A table by capability that fits 80 columns, then each failure, then other reasons, folded."""
    lines = [
        *(paint("bold", mask(line)) for line in wrapped("  ".join(subject_of(report)), "  ")),
        made_by(report),
        "",
    ]
    for capability, title in TITLES.items():
        checks = [c for c in report["checks"] if c["capability"] == capability]
        if checks:
            is_repeated = any(check["rate"] is not None for check in checks)
            widths = _WIDTHS_OF_RATES if is_repeated else _WIDTHS
            lines.append(paint("bold", f"{title:<{widths[0]}}{'whole':<{widths[1]}}stream"))
            rows = _rows(checks, *widths)
            lines += [row[: widths[0]] + _painted(row[widths[0] :], paint) for row in rows]
            lines.append("")
    for check in report["checks"]:
        if is_stale(check) or (_is_shown(check) and not check["known"]):
            lines += [*failure_lines(check, report["exchanges"], paint), ""]
    lines += _folded(report["checks"], paint)
    lines.append(_summary(report, paint))
    return "\n".join(lines) + "\n"


def subject_of(report: JSONObject) -> tuple[str, str]:
    """What was checked, and more about it."""
    if "client" in report:
        client = report["client"]
        kept = "; kept alive" if client["keep_alive"] else ""
        return client["command"], f"({client['form']}: {', '.join(client['said'])}{kept})"
    server = report["server"]
    return server["url"], f"model {server['model']}"


def name_of(report: JSONObject) -> str:
    """The shortest name of what was checked."""
    command: str = report["client"]["command"] if "client" in report else report["server"]["model"]
    return command


def made_by(report: JSONObject) -> str:
    """What wrote the report, and by which contract."""
    if "client" in report:
        return str(report["tool"])
    profile = f", profile {report['profile']}" if report["profile"] else ""
    return f"{report['tool']}, contract of {report['contract']}{profile}"


def labels_of(check: JSONObject) -> dict[str, str]:
    """The members with what was expected and what came, and how a check's reader calls them."""
    if check["capability"] in DELIVERIES:
        return {"expected": "plain", "got": "here"}
    return {"expected": "expected", "got": "got"}


def _is_shown(check: JSONObject) -> bool:
    return check["verdict"] in (Verdict.FAIL, Verdict.HARNESS_ERROR)


def _summary(report: JSONObject, paint: Paint) -> str:
    """One line: how many checks came to what."""
    summary = report["summary"]
    parts = [f"{summary['pass']} of {plural(summary['checks'], 'check')} passed"]
    parts += [f"{summary[v]} {became}" for v, became in _BECAME.items() if summary[v]]
    known = sum(bool(check["known"]) and not is_stale(check) for check in report["checks"])
    parts += [f"{known} known"] if known else []
    text = f"{', '.join(parts)}; {plural(summary['requests'], 'request')}"
    is_clean = not failing(report) and summary["pass"]
    lines = wrapped(text, "  ")
    return "\n".join(paint("good" if is_clean else "error", line) for line in lines)


def _rows(checks: Sequence[JSONObject], width: int, column: int) -> list[str]:
    rows: dict[str, dict[str, str]] = {}
    for check in checks:
        name = check["id"]
        if check["mode"] != "-":
            name = name.removesuffix(f".{check['mode']}")
        mark = _WORDS[Verdict(check["verdict"])]
        rate = rate_of(check)
        if rate is not None:
            mark += f" {rate}"
        if check["known"]:
            mark += " *"
        rows.setdefault(name, {})[check["mode"]] = mark
    return [
        f"  {name:<{width - 2}}{marks.get('whole', marks.get('-', '')):<{column}}"
        f"{marks.get('stream', '')}".rstrip()
        for name, marks in rows.items()
    ]


def _painted(marks: str, paint: Paint) -> str:
    return _MARK.sub(lambda m: paint(_STYLES[_VERDICTS[m[0]]], m[0]), marks)


def failure_lines(
    check: JSONObject, exchanges: Sequence[JSONObject], paint: Paint = plain
) -> list[str]:
    """A check that fails the run, or could not be run: why, what was sent, and what came."""
    word = "STALE" if is_stale(check) else _WORDS[Verdict(check["verdict"])]
    reason = check["reason"]
    if is_stale(check):
        word_now = _WORDS[Verdict(check["verdict"])]
        reason = f"known as a failure ({check['known']}), but is {word_now}: remove its entry"
    head = f"{word} {check['id']}"
    lines = wrapped(mask(f"{head}: {reason}"), "  ")
    lines[0] = paint("error", word) + " " + paint("bold", check["id"]) + lines[0][len(head) :]
    if is_stale(check):
        return lines
    lines += _row("checks", check["title"])
    for name, label in labels_of(check).items():
        lines += _row(label, check[name]) if check[name] else []
    lines += _findings(check["findings"], paint)
    if check["exchange"] and "wire" in exchanges[check["exchange"][-1]]:
        lines += _delivered([exchanges[index] for index in check["exchange"]])
    elif check["exchange"]:
        last = exchanges[check["exchange"][-1]]
        chunks = [f["chunk"] for f in check["findings"] if f["chunk"] is not None]
        count = len(check["exchange"])
        lines.append("  sent" + (f" (the last of {count} requests)" if count > 1 else ""))
        for line in last["curl"].split("\n"):
            rest = len(line) - _LONGEST_LINE
            left_out = f"... {rest:,} more characters, as --format json has them"
            lines.append(f"    {line[:_LONGEST_LINE]}{left_out if rest > 0 else ''}")
        lines += _received(last, min(chunks, default=0))
    return lines


def _delivered(exchanges: Sequence[JSONObject]) -> list[str]:
    """What a consumer got, from where it differs from the plain delivery, and how to repeat it."""
    lines = []
    for number, exchange in enumerate(exchanges, start=1):
        if len(exchanges) > 1 and not (exchange["wire"] or exchange["problem"]):
            continue  # as in the plain delivery
        which = f" in response {number} of {len(exchanges)}" if len(exchanges) > 1 else ""
        lines.append(f"  on the wire{which}")
        if exchange["status"] != 200:
            lines.append(f"    status {exchange['status']}")
        if before := exchange["wire_before"]:
            lines.append(f"    ... {plural(before, 'piece')} as in the plain delivery")
        for piece in exchange["wire"][:_FRAMES]:
            width = _WIDTH - 4
            # Chunks begin alike.
            text = piece if len(piece) <= 2 * width else f"{piece[:40]} ... {piece[-107:]}"
            text = mask(text)
            lines += [f"    {text[at : at + width]}" for at in range(0, len(text), width)]
        if rest := exchange["wire_after"] + len(exchange["wire"][_FRAMES:]):
            lines.append(f"    ... and {plural(rest, 'more piece')}")
        if exchange["problem"]:
            lines.append(f"    {exchange['problem']}")
    lines += ["  again", *(f"    {line}" for line in exchanges[-1]["command"].split("\n"))]
    return lines


def _received(exchange: JSONObject, chunk: int) -> list[str]:
    """What came, in a few lines; of a stream those about the chunk that a finding is about."""
    status = exchange["status"]
    content_type = exchange["headers"].get("content-type", "")
    head = f"received {status} {content_type}".rstrip() if status is not None else "received"
    lines = wrapped(f"  {mask(head)}", "    ")
    if exchange["problem"]:
        lines += wrapped(f"    {mask(exchange['problem'])}", " " * 6)
    frames = [line for line in exchange["body"].splitlines() if line.strip()]
    first = max(0, min(chunk - 1, len(frames) - _FRAMES)) if chunk < len(frames) else 0
    if first:
        lines.append(f"    ... {plural(first, 'line')} before")
    for frame in frames[first : first + _FRAMES]:
        text, limit = mask(frame), _LONGEST_FRAME if len(frames) > 1 else 2 * _LONGEST_FRAME
        text = text if len(text) <= limit else text[: limit - 3] + "..."
        width = _WIDTH - 4
        lines += [f"    {text[at : at + width]}" for at in range(0, len(text), width)]
    rest = len(frames) - first - _FRAMES
    if rest > 0 or exchange["cut"]:
        more = plural(rest, "more line") if rest > 0 else "more"
        lines.append(f"    ... and {more}")
    return lines


def _findings(findings: Sequence[JSONObject], paint: Paint) -> list[str]:
    """Findings, errors first; those of the same rule and place once."""
    by_place: dict[tuple[str, str], JSONObject] = {}
    for finding in sorted(findings, key=lambda one: LEVELS.index(one["level"])):
        by_place.setdefault((finding["code"], finding["path"]), finding)
    shown = [*by_place.values()]
    lines = [line for finding in shown[:_FINDINGS] for line in _finding(finding, paint)]
    if len(shown) > _FINDINGS:
        lines.append(f"  ... and {plural(len(shown) - _FINDINGS, 'more finding')}")
    return lines


def _finding(finding: JSONObject, paint: Paint) -> list[str]:
    head = f"  {finding['level']} {finding['code']}"
    lines = wrapped(f"{head} {finding['name']}: {finding['message']}", "    ")
    painted = paint(finding["level"], finding["level"]) + " " + paint("bold", finding["code"])
    lines[0] = f"  {painted}{lines[0][len(head) :]}"
    lines += _row("at", place_of(finding))
    return [*lines, *_row("expected", finding["expected"]), *_row("got", finding["got"])]


def _folded(checks: Sequence[JSONObject], paint: Paint) -> list[str]:
    """Why checks are neither a pass nor a failure, and the failures that are known: each reason
    once, with the checks that have it.
    """
    groups: dict[str, dict[str, dict[str, str]]] = {}  # reasons by check, folded where they count
    for check in checks:
        verdict, reason = Verdict(check["verdict"]), check["reason"]
        if is_stale(check) or (_is_shown(check) and not check["known"]) or not reason:
            continue
        if check["known"] and verdict is Verdict.FAIL:
            title, reason = "known failures *", f"{reason} (known: {check['known']})"
        else:
            title = _WORDS[verdict]
            if check["got"] and check["capability"] in DELIVERIES:
                reason += f": {check['got'][:_GLANCE]}"
            elif check["expected"] or check["got"]:
                reason += f" (expected {check['expected']}; got {check['got']})"
        same = reason.split(" (and ")[0]
        groups.setdefault(title, {}).setdefault(same, {})[check["id"]] = reason
    lines = []
    for title, reasons in groups.items():
        lines.append(paint("bold", title))
        for same, names in reasons.items():
            reason = same if len(names) > 1 else next(iter(names.values()))
            lines += wrapped(f"  {mask(reason)}", "    ")
            lines += wrapped(f"    {', '.join(names)}", "    ")
        lines.append("")
    return lines


def _row(label: str, text: str) -> list[str]:
    return wrapped(f"  {label:<8} {mask(text)}", " " * 11)
