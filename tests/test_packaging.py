"""Wheel, sdist and editable install: each holds, and each finds, what the package needs."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from pytest_chatapi.cli.main import main

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="the tests run beside no checkout"
)
hatchling = pytest.importorskip("hatchling", reason="hatchling is not installed")
BACKEND = Path(hatchling.__file__).parents[1]
pytest.importorskip("pip", reason="pip is not installed")


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


def build(source: Path, target: str, into: Path) -> Path:
    # The backend itself and no front end: nothing is downloaded, nothing is isolated.
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", into, cwd=source)
    (built,) = into.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution."""
    archive = build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))
    into = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as file:
        file.extractall(into, filter="data")
    (unpacked,) = into.iterdir()
    return unpacked


def test_wheel_holds_code_and_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    expected = {
        "pytest_chatapi/" + path.relative_to(folder).as_posix()
        for folder, within in [
            (ROOT / "pytest_chatapi", "."),
            (ROOT, "schemas"),
            (ROOT, "cassettes"),
        ]
        for path in (folder / within).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert names == expected
    assert "pytest_chatapi/py.typed" in names
    assert any(name.startswith("pytest_chatapi/schemas/") for name in names)
    assert "pytest_chatapi/cassettes/plain.yaml" in names


def test_wheel_declares_plugin_and_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        (entry_points,) = [name for name in names if name.endswith("/entry_points.txt")]
        text = file.read(entry_points).decode()
        (metadata,) = [name for name in names if name.endswith("/METADATA")]
        described = file.read(metadata).decode()
    declared = configparser.ConfigParser()
    declared.read_string(text)
    assert dict(declared["pytest11"]) == {"chatapi": "pytest_chatapi.plugin"}
    assert dict(declared["console_scripts"]) == {"chatapi": "pytest_chatapi.cli.main:main"}
    assert "\nRequires-Python: >=3.11\n" in described
    assert "\n# pytest-chatapi\n" in described  # the README is the description


HOOKS = ROOT / ".pre-commit-hooks.yaml"


@pytest.mark.skipif(not HOOKS.is_file(), reason="a source distribution has no hooks")
def test_the_hook_of_pre_commit(tmp_path: Path) -> None:
    (hook,) = yaml.safe_load(HOOKS.read_text(encoding="utf-8"))
    files = re.compile(hook["files"])
    cassettes = ["cassettes/a.yaml", "tests/cassettes/test_a/b.yml", "tests/cassettes/c.json"]
    assert [name for name in cassettes if not files.search(name)] == []
    assert [name for name in ("a.yaml", "cassettes/README.md") if files.search(name)] == []
    notes = tmp_path / "notes.yaml"
    notes.write_text("a: 1\n")
    command, *arguments = hook["entry"].split()
    assert command == "chatapi"
    assert main([*arguments, str(ROOT / "cassettes" / "plain.yaml"), str(notes)]) == 0


def test_sdist_holds_what_a_developer_needs(sdist: Path) -> None:
    folders = [".ci", "cassettes", "docs", "pytest_chatapi", "schemas", "tests"]
    files = [
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "README.md",
        "mkdocs.yml",
        "pyproject.toml",
    ]
    assert [name for name in folders if not (sdist / name).is_dir()] == []
    assert [name for name in files if not (sdist / name).is_file()] == []


def test_distributions_name_no_place_of_this_machine(wheel: Path, sdist: Path) -> None:
    places = {str(ROOT).encode(), str(Path.home()).encode()} - {b"/", b"/root"}
    with zipfile.ZipFile(wheel) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    contents |= {str(path): path.read_bytes() for path in sdist.rglob("*") if path.is_file()}
    assert [name for name, data in contents.items() if any(p in data for p in places)] == []


def test_the_wheel_of_the_sdist_is_the_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    contents = []
    for path in (wheel, build(sdist, "wheel", tmp_path / "built")):
        with zipfile.ZipFile(path) as file:
            contents.append({name: file.read(name) for name in file.namelist()})
    assert contents[0] == contents[1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_each_install_finds_its_data(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    environment = tmp_path / "env"
    venv.create(environment, with_pip=False, symlinks=sys.platform != "win32")
    scripts = environment / ("Scripts" if sys.platform == "win32" else "bin")
    python = scripts / "python"
    ours = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path)
    site_packages = Path(ours.strip())

    what: list[str | Path]
    if kind == "editable":
        # pip has to find the build backend; last, so that nothing else is taken from there.
        (site_packages / "zz-backend.pth").write_text(f"{BACKEND}\n")
        what, home = ["--no-build-isolation", "--editable", ROOT], ROOT
    else:
        what, home = [request.getfixturevalue("wheel")], site_packages / "pytest_chatapi"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    offline = ["--disable-pip-version-check", "--no-deps", "--no-index", "--ignore-installed"]
    run(*pip, *offline, *what, cwd=tmp_path)

    assert (scripts / ("chatapi.exe" if sys.platform == "win32" else "chatapi")).is_file()
    code = (
        "from pytest_chatapi.contract.bundled import bundled\n"
        "for name in ('schemas', 'cassettes'): print(bundled(name))"
    )
    found = [Path(line) for line in run(python, "-c", code, cwd=tmp_path).splitlines()]
    assert [path.resolve() for path in found] == [
        (home / "schemas").resolve(),
        (home / "cassettes").resolve(),
    ]
    assert list(found[0].glob("*.json"))
    assert list(found[1].glob("*.yaml"))
