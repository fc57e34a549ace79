"""The one entry of the contract: an exchange in, findings out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from pytest_chatapi.contract.assemble import Answer
from pytest_chatapi.contract.endpoint import find_endpoint
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.profiles import Profile, get_profile, profile_for_url
from pytest_chatapi.contract.selection import parse_date, selects

__all__ = ["Judgement", "check_exchange"]


class Judgement:
    """What a check finds out: the findings, and the answer as far as it was folded.

    Attributes:
        kind: the endpoint, ``None`` when the exchange is not our traffic.
        answer: choices, usage and frame; ``None`` where no answer could be read.
    """

    __slots__ = ("answer", "findings", "kind")

    def __init__(self, kind: str | None) -> None:
        self.kind = kind
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
) -> Judgement:
    """Holds one exchange against the contract.

    Args:
        profile: name of a profile; ``None`` chooses by the host of the request's URL.
        as_of: judge by the contract of that day.
        ignore: findings to leave out, as `selects` reads them.
        select: the only findings to keep.
        keep: keep all text of a stream, so that the answer can be rendered.
    """
    row = find_endpoint(exchange)
    judgement = Judgement(None if row is None else row.name)
    if row is None or row.check is None:
        return judgement
    request = exchange.request
    if profile is None:
        profile = profile_for_url(request.url if request is not None else "")
    elif isinstance(profile, str):
        profile = get_profile(profile)
    ledger = Ledger(profile, parse_date(as_of))
    judgement.answer = row.check(ledger, exchange, keep)
    found = ledger.findings()
    if exchange.source is not None:
        found = [f.at(exchange.source) for f in found]
    if select and (chosen := select if isinstance(select, selects) else selects(select)):
        found = [f for f in found if chosen(f)]
    if ignore and (left_out := ignore if isinstance(ignore, selects) else selects(ignore)):
        found = [f for f in found if not left_out(f)]
    judgement.findings = found
    return judgement
