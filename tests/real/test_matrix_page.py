"""The page of ``chatapi conform matrix`` in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium import Page, contrast, luminance
from conformance_reports import FEW, hostile, reported

from pytest_chatapi.conformance.page import page
from pytest_chatapi.conformance.probe import Verdict

pytestmark = pytest.mark.slow  # the start of a browser

VISIBLE = "(e => e !== null && e.getClientRects().length > 0)(document.querySelector('{}'))"
FAILED = '[id="c1-tools.required.whole"]'
PANEL = '[id="d1-tools.required.whole"] .panel'


@pytest.fixture(scope="module", name="file")
def written_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with all verdicts, of which one server sends markup."""
    other = reported(FEW, declared=frozenset({"logprobs"}))
    other["checks"][0]["verdict"] = Verdict.HARNESS_ERROR.value
    runs = [("one <b>", reported(FEW, hostile)), ("two", other)]
    path = tmp_path_factory.mktemp("page") / "matrix.html"
    path.write_text(page(runs), encoding="utf-8")
    return path


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, 400])
def test_a_verdict_opens_what_was_sent(browser: Page, file: Path, width: int, dark: bool) -> None:
    browser.open(file, width=width, dark=dark)
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert not browser.value(VISIBLE.format(PANEL))
    browser.click(FAILED)
    assert browser.value(VISIBLE.format(PANEL))
    browser.keep(f"matrix-{width}-{'dark' if dark else 'light'}")
    text = browser.value(f"document.querySelector('{PANEL}').innerText")
    assert "curl -isN http://127.0.0.1:1/v1/chat/completions" in text
    assert '<script>document.title=\\"ran\\"</script>' in text
    left, right = browser.value(
        f"(r => [r.left, r.right])(document.querySelector('{PANEL}').getBoundingClientRect())"
    )
    assert 0 <= left < right <= width
    browser.click(f"{PANEL} .close")
    assert not browser.value(VISIBLE.format(PANEL))
    assert browser.value("location.hash") == "#c1-tools.required.whole"
    # Nothing that a server sent has run, and nothing was fetched or refused.
    assert browser.value("document.title") == "Chat Completions conformance: one <b>, two"
    assert browser.requested == [file.as_uri()]
    assert browser.messages == []


@pytest.mark.parametrize("dark", [False, True])
def test_verdicts_are_readable(browser: Page, file: Path, dark: bool) -> None:
    """With a contrast of 4.5 to 1, and each by a word of its own."""
    browser.open(file, dark=dark)
    verdicts = browser.value(
        "[...document.querySelectorAll('td a.v')].map(e => [e.className, e.lastChild.textContent,"
        "getComputedStyle(e).color, getComputedStyle(e).backgroundColor])"
    )
    words = {name: word.strip() for name, word, _, _ in verdicts}
    assert len(set(words.values())) == len(words) == len(Verdict)
    for name, _, front, back in verdicts:
        assert contrast(front, back) >= 4.5, name
    body = browser.value("getComputedStyle(document.body).backgroundColor")
    assert (luminance(body) < 0.5) is dark


def test_rows_that_pass_everywhere_can_be_hidden(browser: Page, file: Path) -> None:
    browser.open(file)
    passing = '[id="c1-text.basic.whole"]'
    assert browser.value(VISIBLE.format(passing))
    browser.click("#hide")
    assert not browser.value(VISIBLE.format(passing))
    assert browser.value(VISIBLE.format(FAILED))
