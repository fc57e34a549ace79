"""A report in the formats that other tools read; and its JSON, read again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from pytest_chatapi.conformance.page import page
from pytest_chatapi.conformance.probe import Verdict
from pytest_chatapi.conformance.report import (
    VERSION,
    failing,
    failure_lines,
    is_stale,
    name_of,
    text_of,
)
from pytest_chatapi.contract.schemas import document
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import shortened
from pytest_chatapi.errors import ReadError
from pytest_chatapi.report import annotation_property, annotation_text, xml_text

__all__ = ["FORMATS", "read_report"]


_OF_CLIENT = {"command", "request", "wire", "wire_before", "wire_after"}
"""Members of the exchanges of a consumer's report, in place of ``curl``."""


def _json(report: JSONObject) -> str:
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def read_report(path: Path) -> JSONObject:
    """A report that was written as JSON.

    Raises:
        ReadError: it cannot be read, or is not one.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    try:
        report = json.loads(path.read_bytes())
    except OSError as error:
        raise ReadError(str(path), "", f"cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ReadError(str(path), "", f"is not JSON: {error}") from None
    version = report.get("version") if isinstance(report, dict) else None
    if version != VERSION or isinstance(version, bool):
        remedy = "write one with chatapi conform ... --format json -o FILE"
        raise ReadError(str(path), "", f"is not a report of version {VERSION}: {remedy}")
    problem = best_match(Draft202012Validator(document("conformance")).iter_errors(report))
    wanted = _OF_CLIENT if "client" in report else {"curl"}
    if problem is None and ("server" in report) is ("client" in report):
        raise ReadError(str(path), "$", "has to have either server or client")
    if problem is None and not all(wanted <= exchange.keys() for exchange in report["exchanges"]):
        names = ", ".join(sorted(wanted))
        raise ReadError(str(path), "$.exchanges[]", f"each has to have: {names}")
    if problem is None and all(
        0 <= index < len(report["exchanges"])
        for check in report["checks"]
        for index in check["exchange"]
    ):
        loaded: JSONObject = report
        return loaded
    place, why = "$.checks[].exchange", "an index that is not in $.exchanges"
    if problem is not None:
        place, why = problem.json_path, shortened(problem.message, 100)
    raise ReadError(str(path), place, f"not as schemas/conformance.json says: {why}")


def _badge(report: JSONObject) -> str:
    return f"{report['summary']['badge']}\n"


# -- JUnit ---------------------------------------------------------------------------------------


def _junit(report: JSONObject) -> str:
    cases = [_case(check, report) for check in report["checks"]]
    counts = [sum(f"<{tag}" in case for case in cases) for tag in ("failure", "error", "skipped")]
    failures, errors, skipped = counts
    return "\n".join(
        [
            '<?xml version="1.0" encoding="utf-8"?>',
            f'<testsuites><testsuite name="chatapi conform" tests="{len(cases)}" '
            f'failures="{failures}" errors="{errors}" skipped="{skipped}">',
            *cases,
            "</testsuite></testsuites>",
            "",
        ]
    )


def _case(check: JSONObject, report: JSONObject) -> str:
    verdict = check["verdict"]
    lines = "\n".join(failure_lines(check, report["exchanges"]))
    message = f"{verdict}: {check['reason']}"
    if is_stale(check):
        outcome = _element("failure", lines, "")
    elif check["known"]:
        outcome = _element("skipped", f"known failure: {check['known']}", lines)
    elif verdict == Verdict.FAIL:
        outcome = _element("failure", check["reason"], lines)
    elif verdict == Verdict.HARNESS_ERROR:
        outcome = _element("error", check["reason"], lines)
    elif verdict in (Verdict.UNSUPPORTED, Verdict.NOT_EXERCISED):
        outcome = _element("skipped", message, "")
    else:
        note = message if check["reason"] else ""
        outcome = f"<system-out>{escape(xml_text(note))}</system-out>" if note else ""
    name, suite = quoteattr(check["id"]), quoteattr(check["capability"])
    return f"  <testcase classname={suite} name={name}>{outcome}</testcase>"


def _element(tag: str, message: str, text: str) -> str:
    return f"<{tag} message={quoteattr(xml_text(message))}>{escape(xml_text(text))}</{tag}>"


# -- GitHub annotations --------------------------------------------------------------------------


def _github(report: JSONObject) -> str:
    """An annotation for each check that fails the run or was not run, and one for the rest: GitHub
    shows ten of a kind.
    """
    wrong = failing(report)
    wrong += [c for c in report["checks"] if c["verdict"] == Verdict.HARNESS_ERROR]
    lines = []
    for check in wrong:
        text = "\n".join(failure_lines(check, report["exchanges"]))
        title = annotation_property(f"{check['id']}: {check['verdict']}")
        lines.append(f"::error title={title}::{annotation_text(text)}\n")
    title = annotation_property(f"conformance of {name_of(report)}")
    rest = [
        f"{check['id']}: {check['verdict']}: {check['reason']}"
        for check in report["checks"]
        if check["reason"] and check not in wrong
    ]
    text = "\n".join([report["summary"]["badge"], *rest])
    return "".join([*lines, f"::notice title={title}::{annotation_text(text)}\n"])


FORMATS: dict[str, Callable[[JSONObject], str]] = {
    "text": text_of,
    "json": _json,
    "junit": _junit,
    "github": _github,
    "html": lambda report: page([(name_of(report), report)]),
    "badge": _badge,
}
