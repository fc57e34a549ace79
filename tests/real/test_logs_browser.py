"""The page of the rates of a log in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium import Page, contrast
from log_rates import hostile, outcome

from pytest_chatapi.logs.page import page

pytestmark = pytest.mark.slow  # the start of a browser


@pytest.fixture(scope="module", name="files")
def written_pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A usual page, and one with markup wherever a log is quoted."""
    folder = tmp_path_factory.mktemp("page")
    usual, quoting = folder / "rates.html", folder / "hostile.html"
    usual.write_text(page(outcome("U02=1%", "X=1%")), encoding="utf-8")
    quoting.write_text(page(hostile()), encoding="utf-8")
    return usual, quoting


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, 400])
def test_charts_are_drawn_and_nothing_of_a_log_runs(
    browser: Page, files: tuple[Path, Path], width: int, dark: bool
) -> None:
    for file in files:
        browser.open(file, width=width, dark=dark)
        browser.value("drawn")
        browser.keep(f"{file.stem}-{width}-{'dark' if dark else 'light'}", whole=True)
        states = browser.value(
            "[...document.querySelectorAll('figure.plot')].filter(e => e.checkVisibility())"
            ".map(e => [e.dataset.state, e.querySelector('svg').getBoundingClientRect().right])"
        )
        assert len(states) >= 2
        assert all(state == "drawn" and 0 < right <= width for state, right in states)
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.value("document.title").startswith("Findings in logs: 2026-11-01 to ")
        assert (browser.requested, browser.messages) == ([file.as_uri()], [])
        colours = browser.value(
            "[...new Set([...document.querySelectorAll('svg text, .badge, .bad, .good, dt, td')]"
            ".filter(e => e.checkVisibility()).map(e => getComputedStyle(e)[e.tagName === 'text' ?"
            " 'fill' : 'color']))]"
        )
        back = browser.value("getComputedStyle(document.querySelector('.card')).backgroundColor")
        assert all(contrast(colour, back) >= 4.5 for colour in colours), colours


def test_a_link_opens_a_finding_and_its_charts_are_drawn(
    browser: Page, files: tuple[Path, Path]
) -> None:
    """With the keyboard; notes are closed at first."""
    browser.open(files[0])
    browser.value("drawn")
    state = "document.querySelector('#Q13 figure.plot').dataset.state"
    assert browser.value(state) is None
    browser.value("document.querySelector('#findings a[href=\"#Q13\"]').focus()")
    browser.press("Enter", 13)
    waited = f"new Promise(r => setInterval(() => {{ if ({state} === 'drawn') r({state}); }}, 5))"
    assert browser.value(waited) == "drawn"
