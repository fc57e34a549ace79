"""The floors of the package: an import goes down only, and importing costs nothing."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import pytest

import pytest_chatapi

PACKAGE = Path(pytest_chatapi.__file__).parent
API_PAGE = Path(__file__).parent.parent / "docs" / "api.md"

# A module or folder of the package, and the floor it is on. What is new needs a line here.
FLOORS = {
    "errors": 0,
    "redaction": 1,
    "contract": 2,
    "reading": 3,
    "recording": 4,
    "faults": 5,
    "mock": 6,
    "fuzz": 7,
    "server": 7,
    "conformance": 7,
    "pages": 3,
    "figures": 3,
    "assertions": 7,
    "config": 7,
    "logs": 7,
    "report": 7,
    "output": 7,
    "cli": 8,
    "plugin": 8,
}
FRONT_DOORS = ({"cli"}, {"plugin"})
"""These are side by side: neither imports the other."""

HEAVY = "anyio asyncio filelock fsspec httpx httpx2 jsonschema pyarrow respx vcr yaml".split()


def modules() -> dict[str, Path]:
    """Dotted name inside the package to file; the package itself is left out."""
    files = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            files[name] = path
    return files


MODULES = modules()


@cache
def imported(name: str) -> list[tuple[int, str]]:
    """Line and full dotted name of each thing that a module imports, at any depth of it.

    What is imported for the type checker alone does not count.
    """
    return list(_imported(name, MODULES[name]))


def _imported(name: str, path: Path) -> Iterator[tuple[int, str]]:
    package = f"pytest_chatapi.{name}"
    if path.name != "__init__.py":
        package = package.rpartition(".")[0]
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"
        waiting.extend(ast.iter_child_nodes(node))


def room(dotted: str) -> str | None:
    """The part of the package that a full name is in; ``None`` for the outside."""
    package, *inside = dotted.split(".")
    if package != "pytest_chatapi":
        return None
    if inside and inside[0] in pytest_chatapi.__all__:  # a public name, resolved lazily
        return pytest_chatapi._HOME[inside[0]].split(".")[0]
    return inside[0] if inside and inside[0] != "__version__" else "errors"


def test_every_module_has_a_floor() -> None:
    assert {name.split(".")[0] for name in MODULES} <= set(FLOORS)


def test_imports_go_down_only() -> None:
    wrong = []
    for name in MODULES:
        own = name.split(".")[0]
        beside = {door for doors in FRONT_DOORS if own not in doors for door in doors}
        is_door = any(own in doors for doors in FRONT_DOORS)
        for line, target in imported(name):
            other = room(target)
            if other is None:
                continue
            if FLOORS[other] > FLOORS[own]:
                wrong.append(f"{name}, line {line}: {target} is above")
            if is_door and other in beside:
                wrong.append(f"{name}, line {line}: {target} is the other front door")
    assert wrong == []


def imported_modules(name: str) -> set[str]:
    """The modules of the package that a module imports, at any depth of it."""
    targets = set()
    for _, target in imported(name):
        inside = target.removeprefix("pytest_chatapi.")
        while inside and inside not in MODULES:
            inside = inside.rpartition(".")[0]
        targets.add(inside)
    return targets - {"", name}


def test_no_module_is_imported_by_what_it_imports() -> None:
    left = {name: imported_modules(name) for name in MODULES}
    while free := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in free:
            del left[name]
    assert not left, f"in a circle, or above one: {sorted(left)}"


def test_contract_knows_json_schema_and_nothing_else() -> None:
    allowed = {*sys.stdlib_module_names, "pytest_chatapi", "jsonschema", "referencing"}
    contract = [name for name in MODULES if name.split(".")[0] == "contract"]
    assert [where for where, package in packages(contract) if package not in allowed] == []


def test_pytest_is_known_above_recording_only() -> None:
    below = [name for name in MODULES if FLOORS.get(name.split(".")[0], 0) <= FLOORS["recording"]]
    ours = [where for where, package in packages(below) if package in ("pytest", "_pytest")]
    assert ours == []


def packages(names: list[str]) -> Iterator[tuple[str, str]]:
    """Each import of these modules: where, and the package that is imported."""
    for name in names:
        for line, target in imported(name):
            yield f"{name}, line {line}: {target}", target.split(".")[0]


def run_fresh(code: str) -> str:
    """What a new interpreter prints, with nothing but this package's own folder added."""
    # Plugins of other packages would import their libraries: they are not ours to judge.
    environment = {
        **os.environ,
        "PYTHONPATH": str(PACKAGE.parent),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_importing_the_package_imports_nothing_else() -> None:
    loaded = run_fresh("import pytest_chatapi, sys; print(*sys.modules)").split()
    assert "pytest_chatapi" in loaded
    assert {"pytest", *HEAVY}.isdisjoint(loaded)
    assert [name for name in loaded if name.startswith("pytest_chatapi.")] == []


def test_an_idle_plugin_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "test_idle.py").write_text("def test_idle(): pass\n", encoding="utf-8")
    code = (
        "import pytest, sys; before = set(sys.modules)\n"
        f"arguments = ['-q', '-p', 'no:cacheprovider', '-c', {os.devnull!r}, {str(tmp_path)!r}]\n"
        "status = pytest.main([*arguments, *{plugin}])\n"
        "assert status == 0, status\n"
        "print('loaded:', *set(sys.modules) - before)"
    )

    def loaded(plugin: list[str]) -> set[str]:
        out = run_fresh(code.replace("{plugin}", repr(plugin)))
        return set(out.rpartition("loaded:")[2].split())

    ours = loaded(["-p", "pytest_chatapi.plugin"])
    assert "pytest_chatapi.plugin" in ours
    # What pytest loads by itself is not our doing, so it is taken off.
    assert (ours - loaded([])).isdisjoint(HEAVY)


def test_public_names_are_the_documented_ones() -> None:
    page = API_PAGE.read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(\w+)[`(]", page, re.MULTILINE)
    assert sorted(documented) == sorted(pytest_chatapi.__all__)
    assert sorted(pytest_chatapi._HOME) == sorted(pytest_chatapi.__all__)


@pytest.mark.parametrize("name", pytest_chatapi.__all__)
def test_public_name_resolves(name: str) -> None:
    assert getattr(pytest_chatapi, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'assert_chat'"):
        pytest_chatapi.assert_chat  # noqa: B018
