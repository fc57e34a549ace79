"""The page of reports of figures in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium import Page, contrast, luminance
from figures_reports import HOSTILE, finding, report

from pytest_chatapi.figures.page import page

pytestmark = pytest.mark.slow  # the start of a browser

VISIBLE = "[...document.querySelectorAll('figure.plot')].filter(e => e.checkVisibility())"


@pytest.fixture(scope="module", name="file")
def written_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, of which one has markup wherever a report quotes others."""
    quoted = finding(HOSTILE, HOSTILE, message=HOSTILE, frame=HOSTILE, got=HOSTILE)
    hostile = report(30, 2, test=HOSTILE, model=HOSTILE, organization=HOSTILE, findings=(quoted,))
    hostile["models"][0]["scores"] = {HOSTILE: {"n": 1, "mean": 1.0, "low": 0.2, "high": 1.0}}
    path = tmp_path_factory.mktemp("page") / "figures.html"
    path.write_text(page([("main", report(60)), (f"b {HOSTILE}", hostile)]), encoding="utf-8")
    return path


def opened(browser: Page, file: Path, *, width: int = 1200, dark: bool = False) -> None:
    browser.open(file, width=width, dark=dark)
    browser.value("drawn")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, 400])
def test_charts_are_drawn_and_nothing_is_fetched(
    browser: Page, file: Path, width: int, dark: bool
) -> None:
    opened(browser, file, width=width, dark=dark)
    browser.keep(f"figures-{width}-{'dark' if dark else 'light'}", whole=True)
    charts = browser.value(
        f"{VISIBLE}.map(e => [e, e.querySelector('svg')]).map(([e, svg]) => [e.dataset.state, "
        "svg.getBoundingClientRect().right, svg.querySelectorAll('path, line, text').length])"
    )
    assert len(charts) == 8  # two scores, two of speed, USD, two distributions, one stream
    for state, right, marks in charts:
        assert state == "drawn"
        assert 0 < right <= width
        assert marks > 8
    assert browser.value("document.documentElement.scrollWidth") <= width
    # Nothing that a report quotes has run, and nothing was fetched or refused.
    assert browser.value("document.title").startswith("Tokens, cost and speed: main, b </script>")
    assert browser.requested == [file.as_uri()]
    assert browser.messages == []


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_is_readable(browser: Page, file: Path, dark: bool) -> None:
    """With a contrast of 4.5 to 1, in charts too."""
    opened(browser, file, dark=dark)
    browser.value("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    back = browser.value("getComputedStyle(document.querySelector('.card')).backgroundColor")
    assert (luminance(back) < 0.5) is dark
    for selector, property in (
        ("dt, dd, td, th, small, figcaption, .note, .dim, summary, a, .run b", "color"),
        ("svg text", "fill"),
    ):
        colours = browser.value(
            f"[...new Set([...document.querySelectorAll('{selector}')].filter(e =>"
            f"e.checkVisibility()).map(e => getComputedStyle(e).{property}))]"
        )
        assert colours
        for colour in colours:
            assert contrast(colour, back) >= 4.5, (selector, colour)
    badges = browser.value(
        "[...document.querySelectorAll('.level')].map(e => [getComputedStyle(e).color,"
        "getComputedStyle(e).backgroundColor])"
    )
    assert all(contrast(front, behind) >= 4.5 for front, behind in badges)


def test_charts_follow_the_system(browser: Page, file: Path) -> None:
    """Without being drawn again."""
    opened(browser, file)
    fill = "getComputedStyle(document.querySelector('svg text')).fill"
    light = browser.value(fill)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.call("Emulation.setEmulatedMedia", features=dark)
    assert luminance(browser.value(fill)) > 2 * luminance(light)


def test_tables_are_sorted_by_keyboard(browser: Page, file: Path) -> None:
    opened(browser, file)
    tokens = "#tests th:nth-child(4) button"
    assert browser.value(f"document.querySelector('{tokens}').textContent") == "tokens"
    shown = (
        "[...document.querySelectorAll('#tests tbody tr')].map(e => e.cells[3].dataset.key)"
        ".map(key => key === '' ? null : Number(key))"
    )
    sorts = "[...document.querySelectorAll('#tests th')].map(e => e.ariaSort).filter(e => e)"
    assert browser.value(sorts) == ["descending"]
    browser.value(f"document.querySelector('{tokens}').focus()")
    for direction in ("descending", "ascending"):
        browser.press("Enter", 13)
        keys = browser.value(shown)
        known = [key for key in keys if key is not None]
        assert known == sorted(known, reverse=direction == "descending")
        assert keys == known + [None] * 6  # what is not known is last in either order
        assert browser.value(sorts) == [direction]
    names = "#tests th:first-child button"
    browser.value(f"document.querySelector('{names}').focus()")
    browser.press("Enter", 13)
    first, *_ = browser.value(
        "[...document.querySelectorAll('#tests tbody th')].map(e => e.dataset.key)"
    )
    assert first.startswith("</script>")


def test_another_stream_is_chosen_by_keyboard(browser: Page, file: Path) -> None:
    opened(browser, file)
    chart = "document.querySelector('#streams > :not([hidden]) figure.plot')"
    stream = f"[...document.querySelector('#streams').children].indexOf({chart}.parentNode)"
    assert browser.value(stream) == 0
    browser.value("document.querySelector('select').focus()")
    browser.press("ArrowDown", 40)
    assert browser.value(stream) == 1
    state = (
        f"drawn.then(() => new Promise(requestAnimationFrame)).then(() => {chart}.dataset.state)"
    )
    assert browser.value(state) == "drawn"
    browser.keep("figures-stream")


def test_without_scripts_the_tables_say_the_same(browser: Page, file: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(file)
        text = browser.value("document.body.innerText")
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "The charts are drawn by a script. The tables have the same figures." in text
    assert "Tests, those that cost most first" in text
