"""The levels of rules for each kind of server: the matrix of the catalogue, chosen by host.

A row is a rule code, or a code and a case of it (``U02/reasoning``); a case without a row of its
own has the level of its code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache, lru_cache
from urllib.parse import urlsplit

from pytest_chatapi.contract.catalogue import catalogue, rules
from pytest_chatapi.contract.findings import Level
from pytest_chatapi.contract.wording import did_you_mean, use_one_of
from pytest_chatapi.errors import SettingError

__all__ = ["PROFILES", "Profile", "get_profile", "matrix", "profile_for_log", "profile_for_url"]

PROFILES = ("documented", "openai", "azure", "compatible")

_AZURE = re.compile(r"\.(openai|cognitiveservices)\.azure\.(com|us|cn)$")
_AZURE_FOUNDRY = re.compile(r"\.(services|models|inference)\.ai\.azure\.(com|us|cn)$")


@dataclass(frozen=True, slots=True)
class Profile:
    """A column of the level matrix.

    Attributes:
        name: one of `PROFILES`.
        levels: of each code and ``code/case``; ``None`` is off.
    """

    name: str
    levels: dict[str, Level | None] = field(repr=False, hash=False)

    def level(self, code: str, case: str = "") -> Level | None:
        """The level of a code, or of a case of it; ``None`` where the profile has it off."""
        if case and (key := f"{code}/{case}") in self.levels:
            return self.levels[key]
        return self.levels[code]


@cache
def matrix() -> dict[str, dict[str, Level | None]]:
    """Profile name to row (``U02`` or ``U02/reasoning``) to level; ``None`` is off."""
    letters = catalogue()["letters"]
    rows = {code: rule.levels for code, rule in rules().items()}
    for code, rule in rules().items():
        rows.update({f"{code}/{case}": levels for case, (levels, _) in rule.cases.items()})
    return {
        profile: {row: letters[cells[column]] for row, cells in rows.items()}
        for column, profile in enumerate(catalogue()["columns"])
    }


@cache
def get_profile(name: str) -> Profile:
    """The profile of this name.

    Raises:
        SettingError: there is no such profile.
    """
    if name not in PROFILES:
        near = did_you_mean(name, PROFILES) or use_one_of(PROFILES)
        raise SettingError(f"unknown profile {name!r}{near}")
    return Profile(name, matrix()[name])


@cache
def _foundry() -> Profile:
    # Models of any maker behind Azure's filter, whose content-filter chunks are legal here too.
    levels, azure = dict(matrix()["compatible"]), matrix()["azure"]
    levels.update({row: azure[row] for row in azure if row.endswith("/content-filter")})
    return Profile("compatible", levels)


def profile_for_log(url: str) -> Profile:
    """The profile for what a log assembled, whichever server it came from.

    Client libraries write null for absent keys, leave keys out and add their own.
    """
    return _foundry() if profile_for_url(url).name == "azure" else get_profile("compatible")


def profile_for_url(url: str) -> Profile:
    """The profile of the server that this URL names.

    Without a URL (a body alone) it is ``openai``: only the reference can be applied. A URL
    without a host (a path, a placeholder) may be any server: ``compatible``. A path with
    ``/openai/deployments/`` is Azure's on any host.
    """
    if not url:
        return get_profile("openai")
    return _of_url(url) if len(url) <= _LONGEST_URL else _of_url.__wrapped__(url)


# A suite calls few addresses, many times. Long ones are not kept, so the memo stays small.
_LONGEST_URL = 500


@lru_cache(maxsize=256)
def _of_url(url: str) -> Profile:
    if "/openai/deployments/" in url:
        return get_profile("azure")
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return get_profile("compatible")
    if host == "api.openai.com" or host.endswith(".api.openai.com"):
        return get_profile("openai")
    if _AZURE.search(host):
        return get_profile("azure")
    if _AZURE_FOUNDRY.search(host):
        return _foundry()
    return get_profile("compatible")
