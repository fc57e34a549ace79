"""H01, H02 and X05: the headers of a response."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules.registry import Violation, checks, rule
from pytest_chatapi.contract.wording import ABSENT, is_placeholder

__all__ = ["check_headers", "is_bare"]

# A recording with only these, or none, has dropped the others, so none is missing.
_BARE = {"content-type", "content-length", "transfer-encoding", "date"}


def is_bare(headers: Mapping[str, str]) -> bool:
    """Whether a recording has dropped headers, so that nothing can be told from those it has."""
    return headers.keys() <= _BARE


def check_headers(ledger: Ledger, headers: Mapping[str, str], status: int) -> None:
    """H01, H02 and X05, none of which is about the headers of a bare recording."""
    if not is_bare(headers):
        ledger.run(CHECKS, HeaderFacts(headers, status, ledger.profile.name))


@dataclass(slots=True)
class HeaderFacts:
    """The headers by lower-case name, the status, and the name of the profile."""

    headers: Mapping[str, str]
    status: int
    profile: str


@rule("H01")
def request_id_absent(facts: HeaderFacts) -> Violation | None:
    headers = facts.headers
    if "x-request-id" in headers:
        return None
    message = "the response has no x-request-id"
    return Violation("headers.x-request-id", "an id", ABSENT, message)


@rule("H02")
def ratelimit_headers(facts: HeaderFacts) -> list[Violation]:
    violations = []
    for name, value in facts.headers.items():
        if not name.startswith("x-ratelimit-"):
            continue
        match = _RATE.fullmatch(name)
        if match is None or is_placeholder(value):
            continue
        is_reset, text = match[1] == "reset", value.strip()
        if (_RESET if is_reset else _COUNT).fullmatch(text):
            continue
        if facts.profile == "azure" and _AZURE.fullmatch(text):
            continue
        expected = "a duration such as 12ms or 6m0s" if is_reset else "a whole number"
        message = f"{name} cannot be parsed" if text else f"{name} is empty"
        violations.append(Violation(f"headers.{name}", expected, value, message))
    return violations


_RATE = re.compile(r"x-ratelimit-(limit|remaining|reset)-(?:requests|tokens)")
_RESET = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|us|µs|ns|h|m|s|d))+")
_COUNT = re.compile(r"\d+")
# Azure sends seconds without a unit as a reset, and -1 where there is no limit.
_AZURE = re.compile(r"\d+(?:\.\d+)?|-1")


@rule("X05")
def retry_after(facts: HeaderFacts) -> Violation | None:
    if facts.status not in (429, 503) or "retry-after" not in facts.headers:
        return None
    value = facts.headers["retry-after"].strip()
    if (value.isascii() and value.isdigit()) or _is_http_date(value):
        return None
    expected = "whole seconds >= 0, or an HTTP date"
    return Violation("headers.retry-after", expected, value, "Retry-After cannot be parsed")


def _is_http_date(value: str) -> bool:
    try:
        parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return False
    return True


CHECKS = checks(retry_after, ratelimit_headers, request_id_absent)
