"""The baseline: a file of known findings, which are only counted, so that new ones stand out.

An entry is a file, a finding's code and JSON path, and how many there are::

    {
      "version": 1,
      "findings": {
        "tests/cassettes/agent.yaml": {
          "S10:$.choices[*].message.foo": 3
        }
      }
    }

The path of the file is relative to the baseline's folder. Indices in a JSON path are ``[*]``, and
the number of the interaction is left out, so an entry outlives other recordings that come, go or
move in its file; the form is that of ``--ignore``. Beyond its number a finding may be any of them,
so all are reported then, instead of one that is perhaps not the new one. Errors and warnings are
kept, with no value of a recording: of a path, secrets are masked by the finding itself.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.wording import plural
from pytest_chatapi.errors import SettingError

__all__ = ["DEFAULT_NAME", "Baseline", "Compared", "compare", "key_of"]

DEFAULT_NAME = "chatapi-baseline.json"

_VERSION = 1
_HOW = "chatapi check --write-baseline PATH"


@dataclass
class Compared:
    """The findings of a file beside its entries.

    Attributes:
        known: the keys whose findings are only counted.
        count: how many findings that is.
        stale: a line for each entry with fewer findings than it says.
        exceeded: a line for each entry with more.
    """

    known: frozenset[str] = frozenset()
    count: int = 0
    stale: list[str] = field(default_factory=list)
    exceeded: list[str] = field(default_factory=list)

    def new(self, findings: Iterable[Finding]) -> list[Finding]:
        """The findings that are not known."""
        return [f for f in findings if f.level == "note" or key_of(f) not in self.known]


def key_of(finding: Finding) -> str:
    """The code and path of a finding, with ``[*]`` for each index."""
    path = re.sub(r"\[\d+\]", "[*]", finding.path)
    return f"{finding.code}:{path}"


def _counted(findings: Iterable[Finding]) -> Counter[str]:
    return Counter(key_of(finding) for finding in findings if finding.level != "note")


def compare(
    file: str,
    entries: Mapping[str, int],
    findings: Iterable[Finding],
    counts_of_all: Mapping[str, int],
) -> Compared:
    """Compare the findings of a file to its entries.

    Args:
        file: as messages name it.
        counts_of_all: how many findings there are of each key before ``select`` and ``ignore``
            leave out some, which does not make an entry stale.
    """
    counts = _counted(findings)
    compared = Compared(frozenset(key for key, n in counts.items() if n <= entries.get(key, 0)))
    compared.count = sum(counts[key] for key in compared.known)
    for key, known in entries.items():
        found = counts_of_all.get(key, 0)
        if found < known:
            left = f"{found} of {known} left" if found else "gone"
            compared.stale.append(f"{file}: {key} ({left})")
        elif counts[key] > known:
            compared.exceeded.append(f"{file}: {key} ({counts[key]} found, {known} known)")
    return compared


class Baseline:
    """The entries of all files.

    Attributes:
        path: of the baseline itself.
        entries: file, relative to the folder of the baseline, to key to number.
    """

    def __init__(self, path: str, entries: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self.path = path
        self.entries = dict(entries or {})
        self._folder = os.path.dirname(os.path.abspath(path))

    @classmethod
    def read(cls, path: str) -> Baseline:
        """Read the file.

        Raises:
            SettingError: it cannot be read, or is not a baseline.
        """
        try:
            with open(path, encoding="utf-8") as file:
                data = json.load(file)
        except FileNotFoundError:
            raise SettingError(f"{path}: there is no such baseline: write it with {_HOW}") from None
        except OSError as error:
            raise SettingError(f"{path}: cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            place = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
            raise SettingError(f"{path}{place}: is not a baseline: not valid JSON") from None
        if not isinstance(data, dict) or not _is_entries(data.get("findings")):
            raise SettingError(f"{path}: is not a baseline: delete it, or name another file")
        if data.get("version") != _VERSION:
            raise SettingError(
                f"{path}: has version {data.get('version')!r}, but this chatapi reads version "
                f"{_VERSION}: delete it and write it again with {_HOW}"
            )
        return cls(path, data["findings"])

    def name(self, file: str | os.PathLike[str]) -> str:
        """A file as the entries name it."""
        absolute = os.path.abspath(file)
        try:
            return os.path.relpath(absolute, self._folder).replace(os.sep, "/")
        except ValueError:  # on another drive of Windows
            return absolute.replace(os.sep, "/")

    def of(self, file: str | os.PathLike[str]) -> Mapping[str, int]:
        """The entries of a file."""
        return self.entries.get(self.name(file), {})

    def missing(self) -> list[str]:
        """A line for each file with entries that is no longer there."""
        return [
            f"{name}: the file is gone ({plural(sum(entries.values()), 'finding')})"
            for name, entries in self.entries.items()
            if not os.path.exists(os.path.join(self._folder, name))
        ]

    def updated(self, files: Collection[str], findings: Iterable[Finding]) -> Baseline:
        """The baseline with these findings.

        Args:
            files: what was read, whose entries are replaced; those of a file that is no longer
                there are dropped, all others stay.
        """
        read = set(map(self.name, files))
        entries = {
            name: dict(of_file)
            for name, of_file in self.entries.items()
            if name not in read and os.path.exists(os.path.join(self._folder, name))
        }
        by_file: dict[str, list[Finding]] = {}
        for finding in findings:
            name = self.name(finding.source.file) if finding.source is not None else ""
            if name in read:
                by_file.setdefault(name, []).append(finding)
        entries |= {name: counts for name, of in by_file.items() if (counts := _counted(of))}
        return Baseline(self.path, entries)

    def text(self) -> str:
        """The file: sorted, an entry a line, the same for the same findings."""
        findings = {file: dict(sorted(of.items())) for file, of in sorted(self.entries.items())}
        data = {"version": _VERSION, "findings": findings}
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _is_entries(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(entries, dict)
        and all(type(number) is int and number > 0 for number in entries.values())
        for entries in value.values()
    )
