"""The entry to the contract: an exchange in, findings out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from pytest_chatapi.contract.assemble import Answer
from pytest_chatapi.contract.endpoint import checked_row_of, named
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.logged import is_in_logs
from pytest_chatapi.contract.profiles import (
    Profile,
    get_profile,
    profile_for_log,
    profile_for_url,
)
from pytest_chatapi.contract.selection import parse_date, selects

__all__ = ["CheckResult", "check_exchange"]


class CheckResult:
    """The findings, and what was read of the response.

    Attributes:
        kind: name of the endpoint, ``None`` for traffic that is not checked.
        api: name of the endpoint; for traffic that is not checked, of its API or what else it is.
        answer: choices, usage and frame; ``None`` where no answer of a model could be read.
    """

    __slots__ = ("answer", "api", "findings", "kind")

    def __init__(self, kind: str | None, api: str) -> None:
        self.kind = kind
        self.api = api
        self.findings: list[Finding] = []
        self.answer: Answer | None = None


def check_exchange(
    exchange: Exchange,
    profile: str | Profile | None = None,
    *,
    as_of: date | str | None = None,
    ignore: Iterable[str] | selects = (),
    select: Iterable[str] | selects = (),
    keep: bool = False,
    kind: str = "",
) -> CheckResult:
    """Checks one exchange against the contract.

    Args:
        profile: name of a profile; ``None`` chooses by the host of the request's URL.
        as_of: check by the contract of that day.
        ignore: findings to leave out, as `selects` reads them.
        select: the only findings to keep.
        keep: keep all text of a stream, so that the answer can be assembled.
        kind: name of the endpoint to check as where there is no address, whatever the bodies tell;
            empty: they decide.

    Raises:
        SettingError: an unknown profile, rule or day.
    """
    request = exchange.request
    row = named(kind) if kind and not (request and request.url) else checked_row_of(exchange)
    if row.check is None:
        return CheckResult(None, row.name)
    result = CheckResult(row.name, row.name)
    # What a log assembled shows neither headers nor framing, nor how an error or stream came.
    without = "ETXH" if exchange.assembled else ""
    ledger = Ledger(_profile(profile, exchange), parse_date(as_of), without, exchange.source)
    result.answer = row.check(ledger, exchange, keep)
    findings = ledger.findings()
    if exchange.assembled:
        findings = [finding for finding in findings if is_in_logs(finding, exchange)]
    result.findings = _selected(findings, ignore, select)
    return result


def _profile(profile: str | Profile | None, exchange: Exchange) -> Profile:
    if profile is None:
        url = exchange.request.url if exchange.request is not None else ""
        return profile_for_log(url) if exchange.assembled else profile_for_url(url)
    return get_profile(profile) if isinstance(profile, str) else profile


def _selected(
    findings: list[Finding], ignore: Iterable[str] | selects, select: Iterable[str] | selects
) -> list[Finding]:
    if select and (chosen := select if isinstance(select, selects) else selects(select)):
        findings = [finding for finding in findings if chosen(finding)]
    if ignore and (ignored := ignore if isinstance(ignore, selects) else selects(ignore)):
        findings = [finding for finding in findings if not ignored(finding)]
    return findings
