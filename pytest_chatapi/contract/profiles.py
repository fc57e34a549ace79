"""Which levels hold for which server: the level matrix of the catalogue, chosen by host.

A row is a rule code, or a code and a named case of it (``U02/reasoning``); a case without a
row of its own takes the level of its code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import urlsplit

from pytest_chatapi.contract.catalogue import catalogue, rules
from pytest_chatapi.contract.findings import Level
from pytest_chatapi.errors import SettingError

__all__ = ["PROFILES", "Profile", "get_profile", "matrix", "profile_for_url"]

PROFILES = ("documented", "openai", "azure", "compatible")

_AZURE = re.compile(r"\.(openai|cognitiveservices)\.azure\.(com|us|cn)$")
_AZURE_FOUNDRY = re.compile(r"\.(services|models|inference)\.ai\.azure\.(com|us|cn)$")


@dataclass(frozen=True, slots=True)
class Profile:
    """A column of the level matrix.

    Attributes:
        name: one of `PROFILES`.
        levels: level of each code and ``code/case``; what is off is absent.
    """

    name: str
    levels: dict[str, Level | None] = field(repr=False, hash=False)

    def level(self, code: str, case: str = "") -> Level | None:
        """The level of a code, or of a case of it; ``None`` where the profile has it off."""
        key = f"{code}/{case}"
        return self.levels[key] if case and key in self.levels else self.levels[code]


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
        SettingError: there is none.
    """
    if name not in PROFILES:
        raise SettingError(f"unknown profile {name!r}: choose one of {', '.join(PROFILES)}")
    return Profile(name, matrix()[name])


@cache
def _foundry() -> Profile:
    # Anybody's models behind Azure's filter: its content-filter chunks are legal here too.
    levels, azure = dict(matrix()["compatible"]), matrix()["azure"]
    levels.update({row: azure[row] for row in azure if row.endswith("/content-filter")})
    return Profile("compatible", levels)


def profile_for_url(url: str) -> Profile:
    """The profile of the server that this URL names.

    No URL at all (a lone body) is ``openai``: the reference is all that it can be held against.
    A URL without a host (a path, a placeholder) may be anybody's server: ``compatible``.
    Azure's ``/openai/deployments/`` tells itself.
    """
    if not url:
        return get_profile("openai")
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
