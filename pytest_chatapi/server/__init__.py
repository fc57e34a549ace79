"""Recordings, mocks and faults on a real socket, and a proxy that records."""

from __future__ import annotations

from importlib.util import find_spec

from pytest_chatapi.errors import SettingError

__all__ = ["require_extra"]


def require_extra() -> None:
    """Check that what the rest of this package imports is installed.

    Raises:
        SettingError: it is not.
    """
    if find_spec("uvicorn") is None:
        raise SettingError("uvicorn is not installed: pip install 'pytest-chatapi[server]'")
