"""The fixture `chatapi_config` as one test sees it: a package, module or class may override it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

__all__ = ["config_scope", "config_so_far"]


def config_scope(item: pytest.Item) -> str:
    """The scope of the definition that applies to a test."""
    definition = _definition(item)
    return definition.scope if definition is not None else "session"


def config_so_far(item: pytest.Item) -> Mapping[str, object]:
    """What the fixture returned for a test, if it is set up by now, else nothing."""
    definition = _definition(item)
    result = definition.cached_result if definition is not None else None
    if result is None or result[2] is not None:  # not set up, or failed
        return {}
    value: Mapping[str, object] = result[0]
    return value


def _definition(item: pytest.Item) -> pytest.FixtureDef[Any] | None:
    manager = getattr(item.session, "_fixturemanager", None)
    definitions = manager.getfixturedefs("chatapi_config", item) if manager is not None else None
    return definitions[-1] if definitions else None
