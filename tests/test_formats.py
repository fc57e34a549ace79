"""The seam of the recording formats: what registers one, which is asked first, what names them."""

from __future__ import annotations

import functools
import gzip
import importlib
import inspect
import io
import json
import operator
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_chatapi.contract.exchange import Exchange, Source
from pytest_chatapi.contract.wording import ABSENT
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading import formats, registry
from pytest_chatapi.reading.bodies import BodyProblem
from pytest_chatapi.reading.find import find
from pytest_chatapi.reading.format import TextFormat, ValueFormat
from pytest_chatapi.reading.reader import NotARecording, read, read_file, values_of
from pytest_chatapi.reading.registry import (
    body_of,
    exchange_of,
    format_of,
    items_of,
    not_a_recording,
    registered,
)

PIGEON = """
import re
from pathlib import Path
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.reading.bodies import BodyProblem
from pytest_chatapi.reading.format import ValueFormat
from pytest_chatapi.reading.registry import NotAnExchange

def items(document):
    return document.get("flights") if isinstance(document, dict) else None

def exchange(value, origin):
    if value["back"] == "wet":
        raise BodyProblem("the letter is wet")
    if value["back"] == "lost":
        raise NotAnExchange("the pigeon is lost")
    if value["back"] == "beside":
        return Exchange(None, Response(body=Path(origin.path).with_name("letter").read_text()))
    return Exchange(Request(body=value["out"]), Response(body=value["back"]))

FORMAT = ValueFormat(
    name="pigeon post",
    precedence=55,
    suffixes=(".pigeon",),
    traces=re.compile(rb"flights"),
    items=items,
    matches=lambda value: "out" in value and "back" in value,
    exchange=exchange,
)
"""

SEMAPHORE = """
from pytest_chatapi.contract.exchange import Exchange, Response, Source
from pytest_chatapi.reading.format import TextFormat, first_line

def begins(text, complete):
    line = first_line(text, complete)
    return None if line is None else line == b"-- semaphore --"

def exchanges(file, blocks):
    for index, body in enumerate(b"".join(blocks).split(b"--")[2:]):
        yield Exchange(None, Response(body=body), Source(file.name, index))

FORMAT = TextFormat(name="semaphore", precedence=40, begins=begins, exchanges=exchanges)
"""

BOTTLE = """
from pytest_chatapi.contract.wording import ABSENT
from pytest_chatapi.reading.format import ValueFormat

FORMAT = ValueFormat(
    name="bottle",
    precedence=35,
    body=lambda part, side: part.get(f"bottled_{side}", ABSENT),
)
"""

FLIGHT: dict[str, Any] = {"out": {"model": "m"}, "back": {"id": "c1"}}


@pytest.fixture
def add_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Adds a module to ``formats/``, and nothing else."""
    folder = tmp_path / "formats"
    folder.mkdir()
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(folder)])
    names: list[str] = []

    def add(name: str, source: str) -> None:
        (folder / f"{name}.py").write_text(source)
        names.append(name)
        importlib.invalidate_caches()
        forget()

    def forget() -> None:
        for remembered in (registered, registry._remembered, registry._with):
            remembered.cache_clear()

    yield add
    forget()
    for name in names:
        sys.modules.pop(f"{formats.__name__}.{name}", None)
        vars(formats).pop(name, None)


def test_its_files_are_found_in_a_folder(add_format: Callable[..., None], tmp_path: Path) -> None:
    folder = tmp_path / "coop"
    folder.mkdir()
    for name in ("a.pigeon", "b.PIGEON.gz", "c.md"):
        data = json.dumps(FLIGHT).encode()
        (folder / name).write_bytes(gzip.compress(data, mtime=0) if "gz" in name else data)
    assert find([folder]) == []
    add_format("pigeon", PIGEON)
    assert find([folder]) == [folder / "a.pigeon", folder / "b.PIGEON.gz"]
    assert len(list(read(folder))) == 2


def read_bytes(data: bytes) -> list[Exchange]:
    return list(read(io.BytesIO(data), name="f"))


def bodies(data: bytes) -> list[Any]:
    return [exchange.response and exchange.response.body for exchange in read_bytes(data)]


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(FLIGHT).encode(),
        json.dumps(FLIGHT, indent=1).encode(),
        gzip.compress(json.dumps(FLIGHT).encode(), mtime=0),
        yaml.safe_dump(FLIGHT).encode(),
        b"[out]\nmodel = 'm'\n[back]\nid = 'c1'\n",
        json.dumps({"flights": [FLIGHT]}).encode(),
        yaml.safe_dump({"flights": [FLIGHT]}).encode(),
    ],
)
def test_a_format_of_values_is_one_module(data: bytes, add_format: Callable[..., None]) -> None:
    with pytest.raises(NotARecording):
        read_bytes(data)
    add_format("pigeon", PIGEON)
    (exchange,) = read_bytes(data)
    assert exchange.request is not None
    assert exchange.response is not None
    assert exchange.request.body == {"model": "m"}
    assert exchange.response.body == {"id": "c1"}
    assert exchange.source == Source("f", 0)


def test_its_lines_lists_and_damage(add_format: Callable[..., None]) -> None:
    add_format("pigeon", PIGEON)
    flight, wet = json.dumps(FLIGHT), json.dumps({**FLIGHT, "back": "wet"})
    for text, place in [(f"{flight}\n{wet}\n{flight}", "line 2"), (f"[{flight}, {wet}]", "")]:
        errors: list[ReadError] = []
        exchanges = list(read_file(io.BytesIO(text.encode()), errors.append, name="f"))
        assert [e.source.index for e in exchanges if e.source] == ([0, 2] if place else [0])
        assert [str(e) for e in errors] == [f"f: {place or 'interaction 1'}: the letter is wet"]
    with pytest.raises(ValueError, match=r"^the letter is wet$"):
        exchange_of(json.loads(wet))
    with pytest.raises(ReadError, match=r"^f: line 1: the pigeon is lost$"):
        read_bytes(json.dumps({**FLIGHT, "back": "lost"}).encode())
    assert values_of(flight.encode(), "f") == [FLIGHT]
    with pytest.raises(ReadError) as caught:
        read_bytes(b'{"flights": [')
    assert type(caught.value) is ReadError  # what it leaves behind is known


def test_it_may_read_a_file_beside_its_own(add_format: Callable[..., None], tmp_path: Path) -> None:
    add_format("pigeon", PIGEON)
    (tmp_path / "letter").write_text("Dear all")
    flight = {**FLIGHT, "back": "beside"}
    for text in (json.dumps(flight), json.dumps({"flights": [flight]}), yaml.safe_dump(flight)):
        (tmp_path / "flight").write_text(text)
        (exchange,) = read(tmp_path / "flight")
        assert exchange.response is not None
        assert exchange.response.body == "Dear all"


def test_a_format_of_text_is_one_module(add_format: Callable[..., None]) -> None:
    text = b"# by hand\n-- semaphore --\nA\n--\nB\n"
    with pytest.raises(NotARecording):
        read_bytes(text)
    add_format("semaphore", SEMAPHORE)
    assert bodies(text) == [b"\nA\n", b"\nB\n"]
    with pytest.raises(NotARecording):
        values_of(text, "f")


def test_a_format_of_bodies_is_one_module(add_format: Callable[..., None]) -> None:
    text = b'{"interactions": [{"response": {"body": "x", "bottled_response": "message"}}]}'
    assert bodies(text) == ["x"]
    add_format("bottle", BOTTLE)
    assert bodies(text) == ["message"]


def test_the_error_for_an_unknown_file_says_where_formats_are_listed() -> None:
    with pytest.raises(NotARecording) as caught:
        read_bytes(b"prose")
    assert str(caught.value) == str(not_a_recording("f"))
    assert str(caught.value) == (
        "f: not a recording in a known format (docs/formats.md lists them)"
    )
    with pytest.raises(NotARecording) as caught:
        read_bytes(b'{"a": 1, "b": {}}')
    assert str(caught.value) == (
        "f: not a recording in a known format; its keys are a, b: --map says where request and "
        "response are (docs/formats.md)"
    )


def test_every_module_is_a_format() -> None:
    names = {module.name for module in pkgutil.iter_modules(formats.__path__)}
    every = registered().every()
    assert len(names) == len(every) == len(registered().texts) + len(registered().values)
    for format in every:
        is_syntax = isinstance(format, TextFormat) and format.values is not None
        assert bool(format.name) is not is_syntax


def test_the_order_of_formats_is_certain() -> None:
    for level in (registered().texts, registered().values):
        numbers = [format.precedence for format in level]
        assert numbers == sorted(set(numbers))


MARKED = [format for format in registered().values if format.marks]


@functools.cache
def parts(format: ValueFormat) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of the names and words in the module of a format, as they or members of them are."""
    functions = (format.matches, format.items, format.body)
    module = next(function.__module__ for function in functions if function is not None)
    source = inspect.getsource(sys.modules[module])
    words = st.sampled_from(sorted(format.marks)) | st.sampled_from(
        re.findall(r'"([\w.]+)"', source)
    )
    leaves = words | st.sampled_from(
        [None, 200, "SPAN", [], {}, [{"role": "user"}], [{"response": {}}], [{"type": "SPAN"}]]
    )
    members = st.dictionaries(words, leaves, max_size=8)
    inner = dict.fromkeys(("body", "log", "request", "response"), members | members | leaves)
    return st.builds(operator.or_, members, st.fixed_dictionaries({}, optional=inner))


@pytest.mark.parametrize("format", MARKED, ids=lambda format: format.name)
@given(data=st.data())
def test_marks_rule_out_nothing(format: ValueFormat, data: st.DataObject) -> None:
    value = data.draw(parts(format))
    every = registered().values
    assert format_of(value) is next((f for f in every if f.matches and f.matches(value)), None)

    def items(format: ValueFormat) -> Any:
        found = format.items(value) if format.items else None
        return [value] if found is None and format.matches and format.matches(value) else found

    told = ((one, items(one)) for one in every)
    assert items_of(value, bare=True) == next((one for one in told if one[1] is not None), None)

    def of_any() -> Any:
        bodies = (one.body(value, "response") for one in every if one.body)
        return next((body for body in bodies if body is not ABSENT), None)

    def body(found: Callable[[], Any]) -> Any:
        try:
            return found()
        except BodyProblem as error:
            return str(error)

    assert body(lambda: body_of(value, "response")) == body(of_any)
