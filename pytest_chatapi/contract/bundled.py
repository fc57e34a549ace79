"""Finds the data folders that ship with the package."""

from __future__ import annotations

from pathlib import Path

from pytest_chatapi.errors import SettingError

__all__ = ["bundled"]


def bundled(name: str) -> Path:
    """The folder `name` (``schemas`` or ``cassettes``): inside an installed package, or at the
    top of the checkout for an editable install.
    """
    package = Path(__file__).resolve().parent.parent
    inside = package / name
    if inside.is_dir():
        return inside
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    raise SettingError(f"the folder {name!r} is missing from {package}: reinstall pytest-chatapi")
