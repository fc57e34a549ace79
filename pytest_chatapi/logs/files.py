"""The rates of one file of a log, and the state that keeps them for the next run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pytest_chatapi import __version__
from pytest_chatapi.config.checker import Checker
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import mask, show, without_secrets
from pytest_chatapi.errors import ReadError, SettingError
from pytest_chatapi.logs.rates import FORM, Rates
from pytest_chatapi.logs.rows import row_hash, row_of, time_of, time_of_exchange, unread
from pytest_chatapi.logs.sources import is_url, opened
from pytest_chatapi.reading.mapping import Mapping
from pytest_chatapi.reading.reader import NotARecording, read_file

__all__ = ["FilePart", "FileTask", "State", "joined", "rates_of_file"]


class FileTask(NamedTuple):
    """What it takes to check a file, here or on another machine: plain data.

    Attributes:
        path: of the file, or its URL.
        name: what examples and errors call it.
        is_named: the user named this file, instead of a folder that it is in.
        mapping: see `reading.mapping`.
        sample: the part of the rows to read, from 0 to 1.
        since, until: the time of the rows to check, in seconds since 1970; the second is excluded.
        share: of the rows, see `RecordedFile`.
    """

    path: str
    name: str
    is_named: bool
    checker: Checker
    mapping: str | None = None
    sample: float = 1.0
    since: float | None = None
    until: float | None = None
    share: tuple[int, int] = (0, 1)


class FilePart(NamedTuple):
    """The result of a file.

    Attributes:
        rates: those of its rows.
        errors: why the file, or the rest of it, could not be read.
        unread: why it is not a log (see `Report.unread`); empty if it is one.
        version: of this package where it was checked, which may be another machine.
    """

    rates: Rates
    errors: list[ReadError]
    unread: str = ""
    version: str = ""


def rates_of_file(task: FileTask) -> FilePart:
    """Check a file. The result depends on the file and the task alone."""
    rates = Rates(files=1)
    errors: list[ReadError] = []
    not_drawn = 0
    has_takes = False  # the format leaves rows out itself

    def report(error: ReadError) -> None:
        if error.place and not error.ends_file and not isinstance(error, NotARecording):
            rates.count(unread(error), f"{task.name}, {error.place}")
        else:
            errors.append(error)

    def is_drawn(text: bytes) -> bool:
        nonlocal not_drawn
        drawn = int(row_hash(text), 16) < task.sample * 2**64
        not_drawn += not drawn
        return drawn

    def takes(text: bytes) -> bool:
        nonlocal has_takes
        has_takes = True
        return is_drawn(text)

    def where(exchange: Exchange) -> str:
        place = exchange.source
        if place is None:
            return task.name
        return task.name + (f":{place.line}" if place.line else f", interaction {place.index}")

    mapping = None if task.mapping is None else Mapping(task.mapping)
    kept = task.checker.keeper(task.path)
    ignored = "".join(f"-{code}" for code in task.checker.rules_ignored_in(task.path))
    try:
        source = opened(task.path) if is_url(task.path) else task.path
        exchanges = read_file(
            source,
            report,
            name=task.name,
            mapping=mapping,
            share=task.share,
            takes=takes if task.sample < 1 else None,
        )
        for exchange in exchanges:
            # As many of them as of rows, or their findings would count for more.
            if task.sample < 1 and not has_takes and not is_drawn(os.fsencode(where(exchange))):
                continue
            if wrong := _wrong_time(exchange, mapping):
                rates.count(unread(ReadError(task.name, "", wrong)), where(exchange))
                continue
            if task.since is not None or task.until is not None:
                time = time_of_exchange(exchange)
                if reason := _outside(time, task.since, task.until):
                    rates.left_out[reason] += 1
                    continue
            try:
                result = task.checker.check(exchange)
            except ReadError as error:  # a large body is read from disk during the check
                rates.count(unread(error), where(exchange))
                continue
            findings = kept(result.findings) if result.findings else []
            row = row_of(exchange, result, findings, ignored)
            rates.count(row, where(exchange) if findings else "")
    except ReadError as error:
        report(error)
    if mapping is not None:
        rates.mapped = mapping.mapped
    if not_drawn:
        rates.left_out[NOT_DRAWN] = not_drawn
    other = next((error for error in errors if isinstance(error, NotARecording)), None)
    if other is not None and not task.is_named:
        return FilePart(Rates(), [], other.kind, __version__)
    errors = [ReadError(e.file, e.place, mask(e.reason)) for e in errors]
    return FilePart(rates, errors, version=__version__)


def joined(parts: Sequence[FilePart]) -> FilePart:
    """The result of a file, of those of all its shares."""
    rates = Rates()
    errors: dict[str, ReadError] = {}
    for part in parts:
        rates.add(part.rates)
        errors |= {str(error): error for error in part.errors}  # each share has met them
    rates.files = parts[0].rates.files
    return FilePart(rates, list(errors.values()), parts[0].unread)


def _wrong_time(exchange: Exchange, mapping: Mapping | None) -> str:
    """Why the time that the user has mapped is none: days would be those of another clock."""
    if mapping is None or "time" not in mapping.members or not isinstance(exchange.row, dict):
        return ""
    told = exchange.row.get("time")
    if told is None or time_of(told) is not None:
        return ""
    return f"the mapped time is {show(told)}: it must be a date and time, or seconds since 1970"


NOT_DRAWN = "not in the sample"


def _outside(time: float | None, since: float | None, until: float | None) -> str:
    if time is None:
        return "without a time"
    if since is not None and time < since:
        return "before --since"
    return "from --until on" if until is not None and time >= until else ""


class State:
    """The rates of files that earlier runs have checked, in a file of JSON Lines.

    Each file is added when it is done, so a run that was killed goes on after the last one. A file
    that has changed since, or was checked with other settings, is checked again.

    Args:
        settings: all that decides what is found.

    Raises:
        SettingError: the file is not a state.
        ReadError: it cannot be read.
    """

    _HEAD = "chatapi-rates"
    _MEMBERS = (("file", str), ("version", str), ("settings", str), ("rates", dict))

    def __init__(self, path: str, settings: JSONObject) -> None:
        self._path = Path(path)
        text = json.dumps([__version__, FORM, settings], sort_keys=True, default=str)
        self._settings = row_hash(text.encode())
        self._done = {line["file"]: line for line in self._lines()}

    def _lines(self) -> Iterator[JSONObject]:
        try:
            text = self._path.read_bytes() if self._path.exists() else b""
        except OSError as error:
            raise ReadError(str(self._path), "", f"cannot be read: {error.strerror}") from None
        for line in text.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
                if line.startswith(f'{{"{self._HEAD}"'.encode()):
                    continue  # the run was killed while it wrote this line
            if (
                not isinstance(entry, dict)
                or entry.get(self._HEAD) != 1
                or any(not isinstance(entry.get(name), kind) for name, kind in self._MEMBERS)
            ):
                raise SettingError(f"--state: {self._path} is not a file of chatapi check --state")
            yield entry

    def known(self, path: str, version: str) -> Rates | None:
        """The rates of a file, if it is known to be as it was when they were kept."""
        entry = self._done.get(without_secrets(path))
        if entry is None or (entry["settings"], entry["version"]) != (self._settings, version):
            return None
        try:
            return Rates.from_json(entry["rates"]) if version else None
        except (ValueError, TypeError, KeyError, AttributeError):
            return None  # somebody has edited it

    def keep(self, path: str, version: str, rates: Rates) -> None:
        """Add the rates of a file.

        Args:
            version: of the file, as it was before it was read.

        Raises:
            ReadError: it cannot be written.
        """
        entry = {
            self._HEAD: 1,
            "file": without_secrets(path),  # the URL of an object may be signed
            "version": version,
            "settings": self._settings,
            "rates": rates.to_json(),
        }
        line = json.dumps(entry, ensure_ascii=True) + "\n"
        try:
            with self._path.open("ab+") as file:
                if file.tell() and not self._ends_a_line(file):
                    line = "\n" + line
                file.write(line.encode())
        except OSError as error:
            raise ReadError(str(self._path), "", f"cannot be written: {error.strerror}") from None

    @staticmethod
    def _ends_a_line(file: BinaryIO) -> bool:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
