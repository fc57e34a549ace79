"""Reports as cards: their style, and parts that several reports have."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_chatapi.pages.words import text

__all__ = ["CARDS", "dim", "folded", "level_of", "page_of", "remarks", "tiles"]


def page_of(title: str, sections: Iterable[tuple[str, str, str]], head: str, foot: str = "") -> str:
    """The body of a page with a heading, links to its sections, and a card for each of them.

    Args:
        title: HTML, as all others.
        sections: name, title and content of each.
        head: before the sections.
        foot: after them.
    """
    sections = list(sections)
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in sections)
    body = "".join(
        f'<section id="{name}" class="card"><h2>{title}</h2>\n{content}</section>\n'
        for name, title, content in sections
    )
    return (
        f"<main>\n<header><h1>{title}</h1>\n<nav><ul>{links}</ul></nav></header>\n"
        "<noscript><p>The charts are drawn by a script. The tables have the same figures."
        f"</p></noscript>\n{head}{body}{foot}</main>\n"
    )


def tiles(of: Iterable[tuple[str, str, str]]) -> str:
    """Single figures: label, value and note of each, as HTML."""
    items = "".join(
        f"<div><dt>{label}</dt><dd><b>{value}</b>{f'<small>{note}</small>' if note else ''}"
        "</dd></div>"
        for label, value, note in of
    )
    return f'<dl class="tiles">{items}</dl>'


def dim(words: str) -> str:
    """What is not known, as HTML."""
    return f'<span class="dim">{words}</span>'


def remarks(lines: Iterable[str]) -> str:
    """Lines below the figures, as HTML."""
    return "".join(f'<div class="note">{line}</div>' for line in lines)


def folded(summary: str, items: Iterable[str], left: int, *, is_open: bool = False) -> str:
    """A list below a summary, as HTML; `left` more items, if any, are not shown."""
    shown = "".join(f"<li>{item}</li>" for item in items)
    more = f"<li>{left:,} more</li>" if left > 0 else ""
    state = " open" if is_open else ""
    return f"<details{state}><summary>{summary}</summary><ul>{shown}{more}</ul></details>"


def level_of(level: str) -> str:
    """The level of a finding as a badge."""
    return f'<span class="level {text(level)}">{text(level)}</span>'


CARDS = """
:root { --page: #f6f8fa; --run1: #0b62c4; --run2: #a34700; --run3: #6f42c1; --run4: #116329; }
@media (prefers-color-scheme: dark) {
  :root { --page: #010409; --run1: #6cb0ff; --run2: #ff9b50; --run3: #c4a1ff; --run4: #7ee2a0; }
}
body { background: var(--page); }
main { max-width: 90rem; margin: 0 auto; }
header { display: flex; flex-wrap: wrap; gap: .2rem 2rem; align-items: baseline; }
h1 { margin: 0; }
nav ul { display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .9rem; }
.card { background: var(--back); border: 1px solid var(--line); border-radius: .5rem;
  padding: .8rem 1rem; margin: .8rem 0; }
h2 small { color: var(--dim); opacity: 1; }
.dim, .note, figcaption { color: var(--dim); }
.note, figcaption { font-size: .85rem; }
.note { margin: .5rem 0; }
figcaption b { color: var(--text); font-weight: 600; }
.tiles, .facts { display: grid;
  grid-template-columns: repeat(auto-fit, minmax(min(11.5rem, 44%), 1fr));
  gap: .6rem 1rem; margin: 0; }
.tiles dt, .facts dt { font-size: .8rem; }
.tiles b { display: block; font-size: 1.3rem; font-weight: 600; line-height: 1.3;
  font-variant-numeric: tabular-nums; }
.tiles small { color: var(--dim); opacity: 1; display: block; line-height: 1.35; }
.facts { grid-template-columns: repeat(auto-fit, minmax(7rem, 1fr)); }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
.run b { font-size: .8em; }
.r1 b { color: var(--run1); } .r2 b { color: var(--run2); } .r3 b { color: var(--run3); }
.r4 b { color: var(--run4); }
.panels { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1rem 2rem;
  margin-bottom: 1rem; }
@media (min-width: 45rem) { .panels { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
figure { margin: .4rem 0; min-width: 0; }
figcaption { margin-bottom: .3rem; overflow-wrap: anywhere; }
.chart { width: 100%; min-height: 3rem; overflow: hidden; }
.chart svg { display: block; }
h3 { font-size: .9rem; }
.wide { overflow-x: auto; margin-bottom: .8rem; }
@media screen and (min-width: 60rem) {
  .wide { overflow: auto; max-height: 42rem; }
  .wide thead th { position: sticky; top: 0; }
}
.wide table { min-width: 100%; }
th, td { border-right: 0; padding: .25rem .6rem; font-size: .875rem;
  font-variant-numeric: tabular-nums; }
thead th { padding: 0; border-bottom-color: var(--dim); overflow-wrap: break-word; }
th.n, td.n { text-align: right; }
td.n { white-space: nowrap; }
td small { color: var(--dim); opacity: 1; display: block; }
td .wrap { white-space: normal; }
tbody th { min-width: 9rem; overflow-wrap: anywhere; }
td .run { white-space: nowrap; }
@media (min-width: 60rem) { tbody th { min-width: 14rem; } }
tbody tr:hover { background: var(--group); }
code { font-size: .92em; }
th button { all: unset; display: block; padding: .25rem .6rem; cursor: pointer; width: 100%;
  box-sizing: border-box; }
th button::after { content: "\\a0\\2195"; opacity: .45; }
th[aria-sort=ascending] button::after { content: "\\a0\\2191"; opacity: 1; }
th[aria-sort=descending] button::after { content: "\\a0\\2193"; opacity: 1; }
th[aria-sort] button { font-weight: 700; }
:is(button, summary, a, select, .wide):focus-visible { outline: 2px solid var(--run1);
  outline-offset: -2px; border-radius: .2rem; }
summary { cursor: pointer; padding: .15rem 0; }
details.rule { border-bottom: 1px solid var(--line); padding: .2rem 0; }
.level { display: inline-block; min-width: 4.6rem; text-align: center; font-size: .8rem;
  border: 1px solid currentColor; border-radius: .3rem; }
.level.error { color: var(--fail); background: var(--fail-back); font-weight: 700; }
.level.warning { color: var(--loose); background: var(--loose-back); }
.level.note { color: var(--no); background: var(--no-back); }
select { max-width: 100%; font: inherit; font-size: .875rem; color: inherit;
  background: var(--back); border: 1px solid var(--line); border-radius: .3rem; padding: .2rem; }
label { display: inline-block; max-width: 100%; }
@media (max-width: 40rem) { .card { padding: .6rem; } }
"""
"""Style of a page of cards."""
