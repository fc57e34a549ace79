"""How exchanges are checked by the settings of a run: which profile, and which findings are kept.

The command and the plugin both check through it, so a file of settings means the same
to both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase, translate
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from pytest_chatapi.config.file import Configuration
from pytest_chatapi.contract.catalogue import rules
from pytest_chatapi.contract.check import CheckResult, check_exchange
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.selection import selects

__all__ = ["Checker", "Globs"]


class Globs:
    """Patterns of files, such as ``tests/bad_*.yaml``, of ``exclude`` and ``per-file-ignores``.

    ``*`` matches any characters, ``/`` too, and ``**/`` any folders or none. A pattern without
    ``/`` matches a name at any depth; any other is relative to `folder`. What matches a folder
    matches all that is in it. A pattern also matches the path that reads exactly like it.
    """

    def __init__(self, patterns: Iterable[str], folder: str) -> None:
        self._folder = _normal(os.path.abspath(folder))
        self._patterns = [self._compiled(_normal(pattern)) for pattern in patterns]

    def _compiled(self, pattern: str) -> tuple[bool, re.Pattern[str]]:
        pattern = literal = pattern.rstrip("/")
        is_name = "/" not in pattern
        if not is_name:
            literal = _normal(os.path.normpath(os.path.join(self._folder, pattern)))
            # Relative to the folder, whose own name may hold a bracket.
            folder = re.sub(r"([*?[])", r"[\1]", self._folder)
            pattern = _normal(os.path.normpath(os.path.join(folder, pattern)))
        # `translate` ends in an anchor, which only the last part is to have.
        parts = [translate(part) for part in pattern.split("**/")]
        joined = "(?:.*/)?".join([*(part[:-2] for part in parts[:-1]), parts[-1]])
        # The name of a parametrized test has brackets, and is pasted as it is.
        return is_name, re.compile(rf"{joined}|{re.escape(literal)}\Z")

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def __call__(self, path: str | os.PathLike[str]) -> bool:
        if not self._patterns:
            return False
        file = _normal(os.path.abspath(path))
        # The file and the folders that it is in; of names, those below `folder`.
        steps = [file]
        while (above := steps[-1].rpartition("/")[0]) and len(steps) <= file.count("/"):
            steps.append(above)
        inside = file.removeprefix(f"{self._folder.rstrip('/')}/")
        names = inside.split("/") if inside != file else [file.rpartition("/")[2]]
        return any(
            any(map(pattern.match, names if is_name else steps))
            for is_name, pattern in self._patterns
        )


def _normal(path: str) -> str:
    return os.path.normcase(path).replace(os.sep, "/")


class Checker:
    """Checks exchanges by the settings of a door, and else by those of the file.

    Can be pickled, for ``--jobs``.

    Args:
        configuration: the file.
        profile, as_of, select: what the door sets; ``None`` and empty leave it to the file.
        ignore: what the door ignores, the file's own ``ignore`` included.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        profile: str | None = None,
        as_of: str | None = None,
        ignore: Sequence[str] = (),
        select: Sequence[str] = (),
    ) -> None:
        values = configuration.values
        self.as_of: str | None = as_of or values.get("as_of")
        self._profile = profile
        self._other: str | None = values.get("profile")
        self._hosts: dict[str, str] = values.get("profiles", {})
        self._ignored = selects(ignore)
        self._selected = selects(select or values.get("select", ()))
        self._ignored_in = [
            (
                pattern,
                Globs([pattern], configuration.folder),
                [codes] if isinstance(codes, str) else codes,
            )
            for pattern, codes in values.get("per_file_ignores", {}).items()
        ]

    def check(self, exchange: Exchange, **options: Any) -> CheckResult:
        """As `check_exchange`, with all findings: see `keeper`."""
        url = exchange.request.url if exchange.request is not None else ""
        return check_exchange(exchange, self.profile(url), as_of=self.as_of, **options)

    def profile(self, url: str = "") -> str | None:
        """The profile for a URL; ``None`` leaves it to the exchange."""
        if self._profile is not None:
            return self._profile
        if self._hosts and url:
            host, address = _host(url)
            for pattern, name in self._hosts.items():
                if fnmatchcase(address if ":" in pattern else host, pattern.lower()):
                    return name
        return self._other

    def keeper(self, *files: str | os.PathLike[str]) -> Callable[[list[Finding]], list[Finding]]:
        """Return what takes findings, and returns those that the settings do not leave out.

        Args:
            files: where they were found, and the test that found them.
        """
        is_selected, is_ignored = self._selected, self._ignored
        is_ignored_here = selects(self.ignored_in(*files))
        if not (is_selected or is_ignored or is_ignored_here):
            return list

        def kept(findings: list[Finding]) -> list[Finding]:
            if is_selected:
                findings = [finding for finding in findings if is_selected(finding)]
            return [f for f in findings if not is_ignored(f) and not is_ignored_here(f)]

        return kept

    def leaves_out(self, code: str) -> bool:
        """Whether the settings leave out each finding of a rule or family, in any file."""
        is_selected = not self._selected or self._selected.has_some(code)
        return not is_selected or self._ignored.has_all(code)

    def ignored_in(self, *files: str | os.PathLike[str]) -> list[str]:
        """The findings that ``per-file-ignores`` leaves out of files."""
        return [
            code for _, globs, codes in self._ignored_in if any(map(globs, files)) for code in codes
        ]

    def rules_ignored_in(self, *files: str | os.PathLike[str]) -> list[str]:
        """The rules of which ``per-file-ignores`` leaves out each finding in files."""
        ignored = selects(self.ignored_in(*files))
        return list(filter(ignored.has_all, rules())) if ignored else []

    def idle_patterns(
        self, files: Sequence[str | os.PathLike[str]], findings: Sequence[Finding]
    ) -> list[str]:
        """The patterns of ``per-file-ignores`` that match no file, but whose codes were found."""
        return [
            pattern
            for pattern, globs, codes in self._ignored_in
            if any(map(selects(codes), findings)) and not any(map(globs, files))
        ]


@lru_cache(maxsize=256)
def _host(url: str) -> tuple[str, str]:
    """The host of a URL, and the host with its port; both empty if it has none."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        return host, f"{host}:{parts.port}" if parts.port else host
    except ValueError:
        return "", ""
