"""Which tests are recorded and replayed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pytest_chatapi.plugin.ini_and_flags import is_on

__all__ = ["FIXTURES", "TwoRecorders", "is_marked_itself", "is_recorded"]

# The fixtures that need a recorder, by name: an idle plugin does not look into them.
FIXTURES = frozenset(
    "chatapi chatapi_mock chatapi_fuzz chatapi_server chatapi_client chatapi_async_client "
    "openai_client async_openai_client".split()
)
_HOME = "pytest_chatapi.plugin.fixtures"


class TwoRecorders(Exception):
    """A test turns on two recorders; the message says which."""


def is_recorded(item: pytest.Item) -> bool:
    """Whether this plugin records and replays a test.

    Raises:
        TwoRecorders: another recorder is turned on for it as well.
        pytest.UsageError: a marker is wrong.
    """
    is_marked = any(item.get_closest_marker(name) for name in ("chatapi", "chatapi_faults"))
    names = [name for name in getattr(item, "fixturenames", ()) if name in FIXTURES]
    fixtures = [name for name in names if _is_ours(item, name)]
    # What has no fixtures is no test function: an exchange of a cassette, a check of a server.
    is_auto = hasattr(item, "fixturenames") and is_on(item.config, "auto")
    if not is_marked and not fixtures and not is_auto:
        return False
    if item.get_closest_marker("vcr") is None:
        return True
    _refuse_second(item, fixtures)
    return False


def is_marked_itself(item: pytest.Item) -> bool:
    """Whether the function of a test has a marker ``chatapi`` that turns on the recorder.

    That of its class or module is for others of its tests maybe.
    """
    function = getattr(item, "function", None)
    return any(
        marker.name == "chatapi" and _turns_on(marker.kwargs)
        for marker in getattr(function, "pytestmark", ())
    )


def _is_ours(item: pytest.Item, fixture: str) -> bool:
    """Whether a fixture's definition is this package's: projects have an `openai_client` of their
    own. One that requests ours of the same name counts as ours.
    """
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    *_, own = definitions.get(fixture) or [None]
    return own is None or own.func.__module__ == _HOME or fixture in own.argnames


def _refuse_second(item: pytest.Item, fixtures: list[str]) -> None:
    if item.get_closest_marker("chatapi_faults") is not None:
        raise TwoRecorders(
            "@pytest.mark.chatapi_faults does not work with @pytest.mark.vcr: "
            "use @pytest.mark.chatapi instead, which replays the same cassette"
        )
    is_marked = _asks_for_recorder(item)
    if is_marked or fixtures:
        what = "@pytest.mark.chatapi" if is_marked else f"the fixture {fixtures[0]}"
        raise TwoRecorders(
            f"@pytest.mark.vcr and {what} both turn on a recorder: remove one of them;\n"
            "to check what the other recorder plays, set chatapi_check_vcr = true"
        )


def _asks_for_recorder(item: pytest.Item) -> bool:
    """Whether a marker ``chatapi`` does more than say how exchanges are checked."""
    from pytest_chatapi.plugin.settings import marker_arguments

    return any(map(_turns_on, marker_arguments(item)))


def _turns_on(arguments: Mapping[str, object]) -> bool:
    from pytest_chatapi.config.options import SETTINGS

    return not arguments or not all(SETTINGS[name].only_checks for name in arguments)
