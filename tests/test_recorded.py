"""Which tests are recorded, where their cassettes are, and when their run began."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_chatapi import plugin
from pytest_chatapi.config.options import Settings
from pytest_chatapi.plugin import fixtures, hooks
from pytest_chatapi.plugin.place import cassette_path, how_to_record, shown_path
from pytest_chatapi.plugin.recorded import FIXTURES, TwoRecorders, is_recorded
from pytest_chatapi.plugin.run import Run
from pytest_chatapi.plugin.stash import RUN
from pytest_chatapi.reading.find import is_recording


class Item:
    """As much of a test as the plugin asks."""

    nodeid = "tests/test_it.py::test_a"
    path = Path("/home/me/tests/test_it.py")
    cls: type | None = None

    def __init__(
        self,
        *fixtures: str,
        marks: tuple[pytest.MarkDecorator, ...] = (),
        name: str = "test_a",
        scenario: str = "",
        **ini: object,
    ) -> None:
        self.fixturenames, self.name = fixtures, name
        self._marks = [decorator.mark for decorator in marks]
        if scenario:
            self.callspec = SimpleNamespace(params={"_chatapi_scenario": scenario})
        self.config = SimpleNamespace(
            getini=lambda option: ini.get(option.removeprefix("chatapi_")),
            getoption=lambda name, default=None: default,
            invocation_params=SimpleNamespace(dir=Path("/home/me")),
        )

    def iter_markers(self, name: str) -> Iterator[pytest.Mark]:
        return (mark for mark in self._marks if mark.name == name)

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return next(self.iter_markers(name), None)


def recorded(item: Item) -> bool:
    return is_recorded(cast(Any, item))


# -- which tests ---------------------------------------------------------------------------------


def needs_recorder(fixture: str) -> bool:
    if fixture == "_chatapi_recording":
        return True
    function = getattr(fixtures, fixture, None)
    if function is None:  # one of pytest's own
        return False
    return any(map(needs_recorder, inspect.signature(inspect.unwrap(function)).parameters))


def test_the_fixtures_that_need_a_recorder_are_known() -> None:
    public = [name for name in plugin.__all__ if "chat" in name or "openai" in name]
    named = {name for name in public if not name.startswith("_") and hasattr(fixtures, name)}
    assert {name for name in named if needs_recorder(name)} == FIXTURES


@pytest.mark.parametrize("fixture", sorted(FIXTURES))
def test_a_fixture_turns_the_recorder_on(fixture: str) -> None:
    assert recorded(Item("tmp_path", fixture))
    with pytest.raises(TwoRecorders) as caught:
        recorded(Item(fixture, marks=(pytest.mark.vcr,)))
    assert str(caught.value) == (
        f"@pytest.mark.vcr and the fixture {fixture} both turn on a recorder: remove one of them;\n"
        "to check what the other recorder plays, set chatapi_check_vcr = true"
    )


def test_a_marker_or_the_ini_file_turns_it_on() -> None:
    assert not recorded(Item("tmp_path", "chat_contract", "chatapi_config"))
    assert recorded(Item(marks=(pytest.mark.chatapi,)))
    assert recorded(Item(marks=(pytest.mark.chatapi_faults("reset"),)))
    assert recorded(Item(auto=True))


def test_another_recorder_keeps_its_test() -> None:
    vcr = pytest.mark.vcr
    assert not recorded(Item(marks=(vcr,)))
    assert not recorded(Item(marks=(vcr,), auto=True))
    only_checks = pytest.mark.chatapi(profile="azure", ignore=[], strict=True, policy="warn")
    assert not recorded(Item(marks=(vcr, only_checks)))
    for ours in (pytest.mark.chatapi, pytest.mark.chatapi(profile="azure", unplayed="warn")):
        with pytest.raises(TwoRecorders, match=r"^@pytest.mark.vcr and @pytest.mark.chatapi both"):
            recorded(Item(marks=(vcr, ours)))


# -- where ---------------------------------------------------------------------------------------


def place(item: Item, folder: str | None = None, name: str | None = None, **settings: str) -> str:
    path = cassette_path(
        cast(Any, item), Settings(**settings), Path(folder) if folder else None, name
    )
    return path.relative_to("/home/me/tests/cassettes").as_posix()


def test_a_cassette_is_named_after_its_test() -> None:
    item = Item(name="test_a[b/c:d]")
    assert place(item) == "test_it/test_a[b-c-d].yaml"
    assert place(item, serializer="json") == "test_it/test_a[b-c-d].json"
    item.cls = Item
    assert place(item) == "test_it/Item.test_a[b-c-d].yaml"
    assert place(item, name="mine.yaml") == "test_it/mine.yaml"
    assert place(item, name="mine.yaml", serializer="json") == "test_it/mine.yaml.json"
    assert place(item, folder="/home/me/tests/cassettes/x") == "x/Item.test_a[b-c-d].yaml"


@pytest.mark.parametrize(
    ("setting", "file"),
    [
        ("shared", "shared.yaml"),
        ("gpt-4.1", "gpt-4.1.yaml"),
        ("other/shared.json", "other/shared.json"),
        ("old.yml", "old.yml"),
        ("session.har", "session.har"),
        ("old.yaml.gz", "old.yaml.gz"),
        ("lines.jsonl", "lines.jsonl.yaml"),
    ],
)
def test_a_cassette_that_is_named(setting: str, file: str) -> None:
    assert place(Item(), cassette=setting) == f"test_it/{file}"


def test_recordings_are_known_by_the_ends_of_their_names() -> None:
    assert all(
        map(
            is_recording,
            ("a.yaml", "a.json", "a.jsonl", "a.sse", "a.har.gz", "a.txt.gz", "A.JSON.GZ"),
        )
    )
    assert not any(map(is_recording, ("a.py", "a.gz", "yaml", "a.yaml.orig")))


@pytest.mark.parametrize(
    ("length", "serializer", "kept"),
    [(250, "yaml", True), (251, "yaml", False), (251, "json", True), (252, "json", False)],
)
def test_a_name_that_is_too_long_ends_in_a_digest(length: int, serializer: str, kept: bool) -> None:
    name = "x" * length
    stem = Path(place(Item(name=name), serializer=serializer)).stem
    assert (stem == name) == kept
    if not kept:
        assert len(stem) == length - 1
        assert stem[-35:-32] == "..."


@pytest.mark.parametrize(
    ("name", "scenario", "stem"),
    [
        ("test_a[cut(chunks=1)]", "cut(chunks=1)", "test_a"),
        ("test_a[b-2*reset]", "2*reset", "test_a[b]"),
        ("test_a[2*reset-b]", "2*reset", "test_a[2-reset-b]"),
        ("test_a[reset]", "", "test_a[reset]"),
    ],
)
def test_scenarios_share_a_cassette(name: str, scenario: str, stem: str) -> None:
    assert Path(place(Item(name=name, scenario=scenario))).stem == stem


def test_the_command_names_the_test_from_where_pytest_was_called() -> None:
    item, settings = Item(), Settings()
    item.nodeid = "test_it.py::test_a[b c]"  # below rootdir, which is another folder
    command = "pytest 'tests/test_it.py::test_a[b c]'"
    assert how_to_record(cast(Any, item), "once", settings) == f"{command} --record-mode=once"
    settings.mode_from = "the marker"
    assert how_to_record(cast(Any, item), "once", settings) == (
        f"set record_mode='once' in the marker, then {command}"
    )
    item.path = Path("/elsewhere/test_it.py")
    settings.mode_from = ""
    assert how_to_record(cast(Any, item), "all", settings) == (
        "pytest 'test_it.py::test_a[b c]' --record-mode=all"
    )


def test_paths_are_shown_from_there_too() -> None:
    config = cast(Any, Item().config)
    assert shown_path(config, Path("/home/me/a/b.yaml")) == "a/b.yaml"
    assert shown_path(config, Path("/elsewhere/b.yaml")) == "/elsewhere/b.yaml"


# -- when ----------------------------------------------------------------------------------------


def test_workers_begin_when_their_run_does(pytestconfig: pytest.Config) -> None:
    node = SimpleNamespace(config=pytestconfig, workerinput={})
    hooks.pytest_configure_node(cast(Any, node))
    since = node.workerinput["chatapi_since"]
    assert since == pytestconfig.stash[RUN].since
    assert Run(since).since == since
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", Run().since)
