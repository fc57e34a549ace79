"""The file of settings: ``chatapi.toml``, or the table ``[tool.chatapi]`` of ``pyproject.toml``.

It is looked for as ruff looks for its own: from a folder upwards, the nearest wins,
``chatapi.toml`` before the ``pyproject.toml`` beside it, and a ``pyproject.toml`` without the table
is passed over. pytest imports this module at every start, so it imports little.
"""

from __future__ import annotations

import os
import re
from typing import Any

from pytest_chatapi.config.options import ROWS, Setting, Values

__all__ = ["FILE_KEYS", "Configuration", "find", "read", "shown_path"]

_NAMES = ("chatapi.toml", "pyproject.toml")
_TABLE = ("tool", "chatapi")

FILE_KEYS: dict[str, tuple[str, Setting]] = {
    name.replace("_", "-"): (name, row) for name, row in ROWS.items() if row.in_file
}
"""The keys of the table: the name and row of each."""


class Configuration:
    """What a file of settings says; without a file, nothing.

    Attributes:
        file: its absolute path, or ``""``.
        folder: the folder it is in, which its globs and paths are relative to.
        values: the validated settings, by the name of their row.
    """

    def __init__(self, file: str = "", values: Values | None = None, text: str = "") -> None:
        self.file, self.values = file, values or {}
        self.folder = os.path.dirname(file) or os.getcwd()
        self._text = text

    def path(self, name: str) -> str:
        """The value of a setting that is a path, from the folder of the file; ``""`` if unset."""
        value = self.values.get(name)
        return os.path.join(self.folder, value) if value else ""

    def place(self, *keys: str) -> str:
        """The file and the line of a key, as ``pyproject.toml:12``."""
        line = _line_of(self._text, self._prefix, keys)
        return f"{shown_path(self.file)}:{line}" if line else shown_path(self.file)

    @property
    def _prefix(self) -> tuple[str, ...]:
        return _TABLE if os.path.basename(self.file) == "pyproject.toml" else ()


def shown_path(path: str) -> str:
    """A path from the working directory, as messages name it."""
    try:
        return os.path.relpath(path)
    except ValueError:  # on another drive of Windows
        return path


def find(folder: str) -> Configuration:
    """The settings for a folder: those of the nearest file in it or above it.

    Raises:
        SettingError: a file is damaged, or a setting in it is wrong.
    """
    folder = os.path.abspath(folder)
    while True:
        for name in _NAMES:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                configuration = _read(path)
                if configuration is not None:
                    return configuration
        above = os.path.dirname(folder)
        if above == folder:
            return Configuration()
        folder = above


def read(path: str) -> Configuration:
    """The settings in a file that the user named.

    Raises:
        SettingError: it cannot be read, is damaged, or has no or a wrong setting.
    """
    from pytest_chatapi.errors import SettingError

    configuration = _read(os.path.abspath(path))
    if configuration is None:
        raise SettingError(f"{path}: has no table [tool.chatapi]")
    return configuration


def _read(path: str) -> Configuration | None:
    """The settings of a file; ``None`` for a ``pyproject.toml`` without the table."""
    from pytest_chatapi.errors import SettingError

    shown = shown_path(path)
    is_pyproject = os.path.basename(path) == "pyproject.toml"
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise SettingError(f"{shown}: cannot be read: {error.strerror or error}") from None
    if is_pyproject and b"chatapi" not in data:
        return None  # parsing each pyproject.toml on the way up would be felt
    import tomllib

    try:
        text = data.decode("utf-8")
        table: Any = tomllib.loads(text)
    except UnicodeDecodeError:
        raise SettingError(f"{shown}: is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingError(_syntax_error(shown, str(error))) from None
    except RecursionError:
        raise SettingError(f"{shown}: nested too deeply") from None
    if is_pyproject:
        tools = table.get("tool")
        if not isinstance(tools, dict) or "chatapi" not in tools:
            return None
        table = tools["chatapi"]
    if not isinstance(table, dict):
        raise SettingError(f"{shown}: tool.chatapi must be a table, not {table!r}")
    configuration = Configuration(path, text=text)
    for key, value in table.items():
        name, setting = _checked(configuration, key, value)
        configuration.values[name] = setting
    return configuration


def _syntax_error(shown: str, error: str) -> str:
    place = re.search(r" \(at line (\d+), column (\d+)\)$", error)
    if place:
        shown, error = f"{shown}:{place[1]}:{place[2]}", error[: place.start()]
    return f"{shown}: not valid TOML: {error}"


def _checked(configuration: Configuration, key: str, value: Any) -> tuple[str, Any]:
    """The name of a setting and its value as it is used."""
    from pytest_chatapi.errors import SettingError

    if key not in FILE_KEYS:
        raise SettingError(f"{configuration.place(key)}: {_unknown(key)}")
    name, row = FILE_KEYS[key]
    nested = ""
    try:
        value = row.kind.checked(key, value)
        # The entries of a table one by one, so that the line is that of the wrong one.
        for nested in value if isinstance(value, dict) else ():
            assert row.check is not None
            row.check({nested: value[nested]})
        if row.check is not None and not nested:
            row.check(value)
    except SettingError as error:
        message = str(error).replace("True or False", "true or false")  # as TOML writes them
        message = message if message.startswith(f"{key} must") else f"{key}: {message}"
        place = configuration.place(*filter(None, (key, nested)))
        raise SettingError(f"{place}: {message}") from None
    return name, value


def _unknown(key: str) -> str:
    from pytest_chatapi.contract.wording import did_you_mean, without_secrets

    name = key.replace("-", "_").removeprefix("chatapi_")
    shown = without_secrets(repr(key))
    if key == "tool":
        return "[tool.chatapi] is for pyproject.toml: here the settings have no header"
    if (as_here := name.replace("_", "-")) in FILE_KEYS:
        return f"unknown setting {shown}: did you mean {as_here}?"
    if name in ROWS and ROWS[name].ini is not None:
        return f"{shown} is a setting of pytest: set chatapi_{name} under [tool.pytest.ini_options]"
    near = did_you_mean(key, FILE_KEYS) or f": use {', '.join(FILE_KEYS)}"
    return f"unknown setting {shown}{near}"


# -- lines -------------------------------------------------------------------------------


_HEADER = re.compile(r"\s*\[([^\[\]]+)\]")
_KEY = re.compile(r"""\s*("[^"]*"|'[^']*'|[\w-]+)((?:\s*\.\s*[\w-]+)*)\s*[.=]""")


def _line_of(text: str, prefix: tuple[str, ...], keys: tuple[str, ...]) -> int:
    """The line of a key, which tomllib does not tell; 0 if it is not found.

    Looks at headers and at the beginnings of lines; an entry of an inline table is looked for from
    the line of the table on.
    """
    table: tuple[str, ...] = ()
    wanted = (*prefix, *keys[:1])
    line = 0
    for number, content in enumerate(text.splitlines(), 1):
        header = _HEADER.match(content)
        if header:
            table = tuple(part.strip(" \t\"'") for part in header[1].split("."))
        key = None if header else _KEY.match(content)
        name = key[1].strip("\"'") if key else ""
        dotted = [part.strip() for part in key[2].split(".")[1:]] if key else []
        here = (*table, *filter(None, (name,)), *dotted)
        if here[: len(wanted)] == wanted and not line:
            line = number
        if line and keys[1:] and keys[1] in content:
            return number
    return line
