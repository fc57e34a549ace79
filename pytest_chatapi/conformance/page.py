"""Reports of one or several runs side by side, as one HTML page that fetches nothing.

The page has no script: a verdict is a link to its details, which CSS shows while the address leads
to them. So a link can be shared, and nothing that a server sent can run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import quote

from pytest_chatapi.conformance.probe import TITLES, Verdict
from pytest_chatapi.conformance.report import (
    is_stale,
    labels_of,
    made_by,
    rate_of,
    subject_of,
)
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import place_of, plural
from pytest_chatapi.pages.frame import frame
from pytest_chatapi.pages.words import text

__all__ = ["page"]

_SHAPES = {
    Verdict.PASS: ("✓", "pass"),
    Verdict.NON_STRICT: ("≈", "non-strict"),
    Verdict.FAIL: ("✗", "fail"),
    Verdict.UNSUPPORTED: ("∅", "unsupported"),
    Verdict.NOT_EXERCISED: ("?", "not exercised"),
    Verdict.HARNESS_ERROR: ("!", "error"),
}
"""A sign and a word for each verdict: the page has to be readable without colour."""

_MEANINGS = {
    Verdict.PASS: "as the contract says",
    Verdict.NON_STRICT: "a deviation that mainstream clients accept",
    Verdict.FAIL: "not as the contract says",
    Verdict.UNSUPPORTED: "the server says that it lacks this",
    Verdict.NOT_EXERCISED: "could not be forced or measured; never a pass",
    Verdict.HARNESS_ERROR: "our request was invalid, or the server could not be reached",
}


def page(runs: Sequence[tuple[str, JSONObject]]) -> str:
    """The page of some reports.

    Args:
        runs: names, and reports as `report_of` returns them.
    """
    title = "Chat Completions conformance: " + ", ".join(name for name, _ in runs)
    legend = "".join(
        f"<li>{_verdict(verdict)} {escape(meaning)}</li>" for verdict, meaning in _MEANINGS.items()
    )
    details = "".join(
        _details(number, name, report, check)
        for number, (name, report) in enumerate(runs)
        for check in report["checks"]
    )
    body = (
        "<main>\n<h1>Chat Completions conformance</h1>\n"
        "<p>Select a verdict to see the request, as a <code>curl</code> command, and the response."
        "</p>\n"
        f"<details><summary>What the verdicts mean</summary><ul>{legend}</ul></details>\n"
        '<p><label><input type="checkbox" id="hide"> hide what passes everywhere</label></p>\n'
        f'<div class="matrix"><table>\n{_head(runs)}{_body(runs)}</table></div>\n'
        f"</main>\n{details}"
    )
    return frame(title, body, style=_STYLE)


def _verdict(verdict: Verdict) -> str:
    sign, word = _SHAPES[verdict]
    return f'<span class="v {verdict}"><b aria-hidden="true">{sign}</b> {word}</span>'


# -- the table -----------------------------------------------------------------------------------


def _head(runs: Sequence[tuple[str, JSONObject]]) -> str:
    cells = []
    for name, report in runs:
        lines = [
            f"<strong>{text(name)}</strong>",
            text(report["summary"]["badge"]),
            text(" ".join(subject_of(report))),
            text(made_by(report)),
        ]
        cells.append(f'<th scope="col">{"<br>".join(lines)}</th>')
    return f'<thead><tr><th scope="col">check</th>{"".join(cells)}</tr></thead>\n'


def _body(runs: Sequence[tuple[str, JSONObject]]) -> str:
    rows: dict[str, dict[str, tuple[str, dict[int, list[JSONObject]]]]] = {}
    for number, (_, report) in enumerate(runs):
        for check in report["checks"]:
            name = check["id"]
            if check["mode"] != "-":
                name = name.removesuffix(f".{check['mode']}")
            of_capability = rows.setdefault(check["capability"], {})
            _, by_run = of_capability.setdefault(name, (check["title"], {}))
            by_run.setdefault(number, []).append(check)
    parts = []
    unknown = [name for name in rows if name not in TITLES]  # of another release
    for capability in (*TITLES, *unknown):
        if capability not in rows:
            continue
        title = text(TITLES.get(capability, capability))
        parts.append(
            f'<tbody><tr class="group"><th scope="rowgroup" colspan="{len(runs) + 1}">{title}</th>'
            "</tr>\n"
        )
        for name, (what, by_run) in rows[capability].items():
            every = [check for of_run in by_run.values() for check in of_run]
            is_clean = len(by_run) == len(runs) and all(c["verdict"] == "pass" for c in every)
            cells = "".join(_cell(number, by_run.get(number, [])) for number in range(len(runs)))
            shown = text(name).replace(".", ".<wbr>").replace("-", "-<wbr>")
            parts.append(
                f'<tr{" class=clean" if is_clean else ""}><th scope="row" title="{text(what)}">'
                f"{shown}</th>{cells}</tr>\n"
            )
        parts.append("</tbody>\n")
    return "".join(parts)


def _cell(number: int, checks: Iterable[JSONObject]) -> str:
    links = []
    for check in checks:
        sign, word = _SHAPES[Verdict(check["verdict"])]
        mode = "" if check["mode"] == "-" else f"<small>{check['mode']}</small> "
        rate = rate_of(check)
        more = "" if rate is None else f" <small>{rate}</small>"
        if check["known"]:
            more += f" <small>{'stale' if is_stale(check) else 'known'}</small>"
        links.append(
            f'<a class="v {check["verdict"]}" id="{_anchor("c", number, check)}" '
            f'href="#{quote(_anchor("d", number, check))}">{mode}'
            f'<b aria-hidden="true">{sign}</b> {word}{more}</a>'
        )
    return f"<td><div>{''.join(links) or '<span class=none>not run</span>'}</div></td>"


def _anchor(kind: str, number: int, check: JSONObject) -> str:
    """Address of a verdict in the table (``c``), or of its details (``d``)."""
    return f"{kind}{number + 1}-{quote(check['id'])}"


# -- what is behind a verdict --------------------------------------------------------------------


def _details(number: int, name: str, report: JSONObject, check: JSONObject) -> str:
    back = f"#{quote(_anchor('c', number, check))}"
    parts = [
        f'<section class="detail" id="{_anchor("d", number, check)}">'
        f'<a class="away" href="{back}" tabindex="-1" aria-hidden="true"></a><div class="panel">'
        f'<a class="close" href="{back}">close</a>'
        f"<h2>{text(check['id'])}</h2><p>{_verdict(Verdict(check['verdict']))} {text(name)}</p>"
        f"<p>{text(check['title'])}</p>"
    ]
    labels = {"reason": "reason", **labels_of(check)}
    rows = [(label, check[name]) for name, label in labels.items() if check[name]]
    if check["known"]:
        rows.append(("no longer a failure" if is_stale(check) else "known", check["known"]))
    rate = rate_of(check)
    if rate is not None:
        more = f"; {check['unexercised']} more not exercised" if check["unexercised"] else ""
        rows.append(("passed", f"{rate}{more}"))
    parts.append(_list(rows))
    for finding in check["findings"]:
        head = f"{finding['level']} {finding['code']} {finding['name']}: {finding['message']}"
        rows = [
            ("at", place_of(finding)),
            ("expected", finding["expected"]),
            ("got", finding["got"]),
        ]
        parts.append(f"<h3>{text(head)}</h3>{_list(rows)}")
    if check["also"]:
        parts.append(f"<p>Reported by other checks: {text(', '.join(check['also']))}</p>")
    for at, index in enumerate(check["exchange"], start=1):
        parts.append(_exchange(report["exchanges"][index], at, len(check["exchange"])))
    parts.append("</div></section>\n")
    return "".join(parts)


def _list(rows: Sequence[tuple[str, str]]) -> str:
    items = "".join(f"<dt>{text(label)}</dt><dd>{text(value)}</dd>" for label, value in rows)
    return f"<dl>{items}</dl>" if items else ""


def _exchange(exchange: JSONObject, at: int, count: int) -> str:
    if "wire" in exchange:
        return _delivered(exchange, at, count)
    rest = "\n..." if exchange["cut"] else ""
    problem = f"<p>{text(exchange['problem'])}</p>" if exchange["problem"] else ""
    title = "Request" if count == 1 else f"Request {at} of {count}"
    return (
        f"<h3>{title}</h3><pre>{text(exchange['curl'])}</pre><h3>Response</h3>{problem}"
        f"<pre>{text(chr(10).join(_response_head(exchange)))}\n\n{text(exchange['body'])}{rest}</pre>"
    )


def _delivered(exchange: JSONObject, at: int, count: int) -> str:
    """What a consumer sent, and what it got from where that differs from the plain delivery."""
    before, after = exchange["wire_before"], exchange["wire_after"]
    lines = _response_head(exchange)
    lines += ["", *([f"... {plural(before, 'piece')} as in the plain delivery"] if before else [])]
    lines += exchange["wire"]
    lines += [f"... {plural(after, 'more piece')}"] if after else []
    lines += [exchange["problem"]] if exchange["problem"] else []
    again = f"<h3>Again</h3><pre>{text(exchange['command'])}</pre>" if at == count else ""
    number = "" if count == 1 else f" {at} of {count}"
    return (
        f"<h3>The consumer's request{number}</h3><pre>{text(exchange['request'])}</pre>"
        f"<h3>On the wire, each piece as bytes</h3><pre>{text(chr(10).join(lines))}</pre>{again}"
    )


def _response_head(exchange: JSONObject) -> list[str]:
    status = exchange["status"]
    head = [f"HTTP {status}"] if status is not None else ["no response"]
    return [*head, *(f"{name}: {value}" for name, value in exchange["headers"].items())]


_STYLE = """
.matrix { overflow-x: auto; border: 1px solid var(--line); max-width: max-content; }
thead strong { font-size: 1rem; }
tbody th[scope=row], thead th:first-child { position: sticky; left: 0; background: var(--back);
  width: 17rem; min-width: 15rem; font-family: ui-monospace, monospace; font-size: .85rem; }
thead th:first-child { background: var(--group); z-index: 2; }
.group th { background: var(--group); font-weight: 600; }
td { min-width: 9.5rem; }
td div { display: flex; flex-wrap: wrap; gap: .15rem; }
td .v { flex: 1 1 40%; min-width: max-content; }
.v { display: inline-block; padding: 0 .4rem; border: 1px solid currentColor; border-radius: .3rem;
  white-space: nowrap; text-decoration: none; color: var(--no); background: var(--no-back);
  font-size: .85rem; }
.v b { display: inline-block; width: 1em; text-align: center; }
.v.pass { color: var(--pass); background: var(--pass-back); border-style: dotted; }
.v.fail, .v.harness-error { color: var(--fail); background: var(--fail-back); font-weight: 700;
  border-width: 2px; }
.v.non-strict, .v.not-exercised { color: var(--loose); background: var(--loose-back); }
a.v:hover, a.v:focus-visible, a.v:target { outline: 2px solid var(--text); outline-offset: 1px; }
.none { opacity: .85; font-size: .8em; }
body:has(#hide:checked) .clean { display: none; }
.detail { display: none; }
.detail:target { display: block; }
.away { position: fixed; inset: 0; background: #0006; z-index: 3; }
.panel { position: fixed; top: 0; right: 0; bottom: 0; width: min(48rem, 100%); overflow-y: auto;
  padding: 1rem; background: var(--back); border-left: 1px solid var(--line); z-index: 4; }
.close { float: right; padding: .2rem .6rem; border: 1px solid var(--line); border-radius: .3rem; }
@media (min-width: 60rem) {
  .matrix { overflow: auto; max-height: 92vh; }
  thead th { position: sticky; top: 0; z-index: 1; }
  td { min-width: 16rem; }
}
@media (max-width: 40rem) {
  tbody th[scope=row], thead th:first-child { width: 9rem; min-width: 9rem; }
  td .v { flex-basis: 100%; }
}
"""
