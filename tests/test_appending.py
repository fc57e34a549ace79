"""A cassette that grows with each exchange: each costs the same, and none is ever half written."""

from __future__ import annotations

import builtins
import json
import os
import random
import shutil
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from killed_writers import PIECE, killing
from steps import work

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.errors import WriteError
from pytest_chatapi.recording import appending
from pytest_chatapi.recording.appending import Appender
from pytest_chatapi.recording.cassette import Cassette, prepared, write
from pytest_chatapi.recording.interaction import Interaction, redacted
from pytest_chatapi.recording.opening import open_recorder
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.redaction.redactor import Redactor

REDACTOR = Redactor(environ={})


def made(number: int) -> Interaction:
    request = Request("POST", "https://x.example/", {}, b'{"n": %06d}' % (number + 100_000))
    answer = b'{"text": "line\\n%06d"}' % (number + 100_000)
    return redacted(Interaction(request, pieces=[answer]), REDACTOR)


def add(path: Path, *numbers: int, appender: Appender | None = None) -> None:
    ready = prepared(path, path.name, [made(n) for n in numbers], REDACTOR)
    write(path, path.name, ready, appender=appender)


def numbers(path: Path) -> list[int]:
    entries = Cassette(path).entries if path.exists() else []
    found = [json.loads(entry.request.body or b"")["n"] - 100_000 for entry in entries]
    for entry, number in zip(entries, found, strict=True):
        assert b"".join(entry.interaction.pieces) == made(number).pieces[0]
    return found


def record(recorder: Recorder, number: int) -> None:
    body = b'{"n": %06d}' % (number + 100_000)
    take: Any = recorder.begin("POST", "https://x.example/v1/x", [], body)
    take.responded(200, "OK", [("content-type", "application/json")])
    take.piece(b'{"text": "%06d"}' % number)
    take.ended()


# -- what it costs -----------------------------------------------------------------------------


class Counter:
    """Counts the bytes that go through files of Python, and the files that are copied."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.bytes = self.copies = 0
        real, copy = builtins.open, shutil.copyfile
        counter = self

        class File:
            def __init__(self, *arguments: Any, **more: Any) -> None:
                self._file = real(*arguments, **more)

            def __getattr__(self, name: str) -> Any:
                return getattr(self._file, name)

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *exc_info: object) -> None:
                self._file.close()

            def write(self, data: bytes) -> int:
                counter.bytes += len(data)
                return int(self._file.write(data))

            def read(self, *size: int) -> Any:
                data = self._file.read(*size)
                counter.bytes += len(data)
                return data

        def copied(*arguments: Any, **more: Any) -> Any:
            counter.copies += 1
            return copy(*arguments, **more)

        patch.setattr(builtins, "open", File)
        patch.setattr(shutil, "copyfile", copied)


@pytest.mark.parametrize("mode", ["new_episodes", "all"])
@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_an_exchange_costs_the_same_in_any_cassette(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, mode: str
) -> None:
    costs = []
    for size in (10, 1350):
        path = tmp_path / f"{size}{suffix}"
        add(path, *range(size))
        recorder = open_recorder(path, record_mode=mode)
        recorder.appends = True
        for number in range(size, size + 3):  # the first ones read the file and copy it
            record(recorder, number)
            recorder.save()
        record(recorder, size + 3)
        with monkeypatch.context() as patch:
            counter = Counter(patch)
            recorder.save()
        assert counter.copies == 0
        record(recorder, size + 4)
        costs.append((counter.bytes, work(recorder.save)))
        recorder.close()
        assert len(numbers_of(path)) == size + 5
    (few, little), (many, much) = costs
    assert many == few < 4000
    assert much < 1.1 * little


def numbers_of(path: Path) -> list[str]:
    return [entry.request.url for entry in Cassette(path).entries]


# -- what is in the file -------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
def test_the_file_is_the_one_that_is_written_whole(tmp_path: Path, suffix: str) -> None:
    path, other = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    appender = Appender()
    for number in range(6):
        add(path, number, number + 10, appender=appender)
        add(other, number, number + 10)
        assert path.read_bytes() == other.read_bytes()
    appender.close()
    assert sorted(tmp_path.iterdir()) == [path, other]


def test_what_follows_the_recordings_stays_there(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    add(path, 0)
    path.write_bytes(path.read_bytes() + b"owner: me\n")
    appender = Appender()
    for number in range(1, 5):
        add(path, number, appender=appender)
        assert path.read_bytes().endswith(b"\nowner: me\n")
    assert numbers(path) == [0, 1, 2, 3, 4]
    appender.close()


@pytest.mark.parametrize("turn", range(1, 5))
def test_what_others_write_is_kept(tmp_path: Path, turn: int) -> None:
    path = tmp_path / "a.yaml"
    appender = Appender()
    expected = []
    for number in range(6):
        add(path, number, appender=appender)
        expected.append(number)
        if number == turn:
            add(path, 99)
            expected.append(99)
    assert numbers(path) == expected
    appender.close()
    assert list(tmp_path.iterdir()) == [path]


def test_two_that_append_by_turns(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    appenders = Appender(), Appender()
    for number in range(12):
        add(path, number, appender=appenders[number // 3 % 2])
    assert numbers(path) == list(range(12))


def test_a_cassette_that_was_deleted_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    appender = Appender()
    for number in range(3):
        add(path, number, appender=appender)
    path.unlink()
    add(path, 3, appender=appender)
    assert numbers(path) == [3]


def test_another_name_of_the_file_never_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    appender = Appender()
    for number in range(6):
        add(path, number, appender=appender)
        os.link(path, tmp_path / f"backup{number}.yaml")
    for number in range(6):
        assert numbers(tmp_path / f"backup{number}.yaml") == list(range(number + 1))
    assert numbers(path) == list(range(6))


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    appender = Appender()
    for number in range(5):
        add(path, number, appender=appender)
        mode = 0o600 + number
        path.chmod(mode)
        add(path, number, appender=appender)
        assert path.stat().st_mode & 0o777 == mode
    appender.close()


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def refuse(*paths: Path) -> None:
        tries.append(paths)
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "a.yaml"
    appender = Appender()
    for number in range(4):
        add(path, number, appender=appender)
    assert numbers(path) == [0, 1, 2, 3]
    assert len(tries) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_what_could_not_be_copied_is_copied_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Path) -> None:
        raise OSError(24, "Too many open files")

    path = tmp_path / "a.yaml"
    appender = Appender()
    add(path, 0, appender=appender)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", refuse)
        with pytest.raises(WriteError, match="Too many open files"):
            add(path, 1, appender=appender)
    for number in (1, 2):
        add(path, number, appender=appender)
    assert numbers(path) == [0, 1, 2]
    appender.close()
    assert list(tmp_path.iterdir()) == [path]


def test_mode_all_replaces_what_it_records_again(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    add(path, 0, 1)
    recorder = open_recorder(path, record_mode="all", match_on=["body"])
    recorder.appends = True
    for number in (2, 1, 3, 4, 3):
        record(recorder, number)
        recorder.save()
    recorder.close()
    bodies = [
        json.loads(entry.request.body or b"")["n"] - 100_000 for entry in Cassette(path).entries
    ]
    assert bodies == [0, 2, 1, 4, 3]
    assert list(tmp_path.iterdir()) == [path]


# -- kills ---------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


def killed_at(line: int, call: Any) -> bool:
    """Whether `call` gets as far as its nth line in the appender, where it ends."""
    left = line

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename != appending.__file__:
            return trace if event == "call" else None
        if event == "line":
            left -= 1
            if left < 0:
                raise Killed
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except Killed:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a file left open
def test_it_may_be_killed_at_any_line(tmp_path: Path) -> None:
    for written in (1, 2, 3):  # without a spare copy, with one that is new, with one that lags
        for line in range(200):
            folder = tmp_path / f"{written}-{line}"
            folder.mkdir()
            path, appender = folder / "a.yaml", Appender()
            for number in range(written):
                add(path, number, appender=appender)
            before = list(range(written))
            is_killed = killed_at(line, lambda p=path, a=appender, n=written: add(p, n, appender=a))
            assert numbers(path) in (before, [*before, written])
            add(path, 50)
            assert numbers(path) in ([*before, 50], [*before, written, 50])
            assert list(folder.iterdir()) == [path]  # what was left is gone
            if not is_killed:
                break
        else:
            pytest.fail("it never ended")
        assert line > 10


def test_it_may_be_killed_in_the_middle_of_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, appender = tmp_path / "a.yaml", Appender()
    for number in range(3):
        add(path, number, appender=appender)
    before = path.read_bytes()
    real = builtins.open

    class Torn:
        def __init__(self, *arguments: Any) -> None:
            self._file: Any = real(*arguments)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *exc_info: object) -> None:
            self._file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def write(self, data: bytes) -> None:
            self._file.write(data[: len(data) // 2])
            raise Killed

    monkeypatch.setattr(appending, "open", Torn, raising=False)
    with pytest.raises(Killed):
        add(path, 3, appender=appender)
    assert path.read_bytes() == before
    monkeypatch.undo()
    for number in (4, 5, 6):  # as after an error, such as a full disk
        add(path, number, appender=appender)
    assert numbers(path) == [0, 1, 2, 4, 5, 6]


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize("count", [1, 2])
def test_writers_that_are_killed_lose_nothing(tmp_path: Path, count: int, rounds: int) -> None:
    path = tmp_path / "a.yaml"
    chance = random.Random(11)
    with killing(path, appends=True) as killed:
        for turn in range(rounds):
            sides = [turn * 2 + side for side in range(count)]
            said = killed({worker: chance.randint(5, 40) for worker in sides})
            found: dict[int, list[int]] = {}
            for entry in Cassette(path).entries:
                assert b"".join(entry.interaction.pieces) == PIECE
                body = json.loads(entry.request.body or b"")
                found.setdefault(body["worker"], []).append(body["n"])
            for worker, committed in zip(sides, said, strict=True):
                assert committed
                assert found[worker][: len(committed)] == committed
    add(path, 0)
    assert list(tmp_path.iterdir()) == [path]
