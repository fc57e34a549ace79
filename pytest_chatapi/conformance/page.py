"""Reports of one or several runs side by side, as one HTML page that fetches nothing.

The page has no script: a verdict is a link to its details, which CSS shows while the address leads
to them. So a link can be shared, and nothing that a server sent can run.
"""

from __future__ import annotations

import base64
import hashlib
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
from pytest_chatapi.contract.wording import mask, plural

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
    Verdict.HARNESS_ERROR: "our request was wrong, or the network failed",
}


def page(runs: Sequence[tuple[str, JSONObject]]) -> str:
    """The page of some reports.

    Args:
        runs: names, and reports as `report_of` returns them.
    """
    digest = base64.b64encode(hashlib.sha256(_CSS.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = "Chat Completions conformance: " + ", ".join(name for name, _ in runs)
    legend = "".join(
        f"<li>{_verdict(verdict)} {escape(meaning)}</li>" for verdict, meaning in _MEANINGS.items()
    )
    details = "".join(
        _details(number, name, report, check)
        for number, (name, report) in enumerate(runs)
        for check in report["checks"]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{_text(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>\n"
        "<h1>Chat Completions conformance</h1>\n"
        "<p>Select a verdict to see the request, as a <code>curl</code> command, and the response."
        "</p>\n"
        f"<details><summary>What the verdicts mean</summary><ul>{legend}</ul></details>\n"
        '<p><label><input type="checkbox" id="hide"> hide what passes everywhere</label></p>\n'
        f'<div class="matrix"><table>\n{_head(runs)}{_body(runs)}</table></div>\n'
        f"</main>\n{details}</body>\n</html>\n"
    )


def _text(text: str) -> str:
    """Text for HTML, with control characters and changes of writing direction escaped."""
    lines = (line if line.isprintable() else mask(line) for line in text.split("\n"))
    return escape("\n".join(lines))


def _verdict(verdict: Verdict) -> str:
    sign, word = _SHAPES[verdict]
    return f'<span class="v {verdict}"><b aria-hidden="true">{sign}</b> {word}</span>'


# -- the table -----------------------------------------------------------------------------------


def _head(runs: Sequence[tuple[str, JSONObject]]) -> str:
    cells = []
    for name, report in runs:
        lines = [
            f"<strong>{_text(name)}</strong>",
            _text(report["summary"]["badge"]),
            _text(" ".join(subject_of(report))),
            _text(made_by(report)),
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
        title = _text(TITLES.get(capability, capability))
        parts.append(
            f'<tbody><tr class="group"><th scope="rowgroup" colspan="{len(runs) + 1}">{title}</th>'
            "</tr>\n"
        )
        for name, (what, by_run) in rows[capability].items():
            every = [check for of_run in by_run.values() for check in of_run]
            is_clean = len(by_run) == len(runs) and all(c["verdict"] == "pass" for c in every)
            cells = "".join(_cell(number, by_run.get(number, [])) for number in range(len(runs)))
            shown = _text(name).replace(".", ".<wbr>").replace("-", "-<wbr>")
            parts.append(
                f'<tr{" class=clean" if is_clean else ""}><th scope="row" title="{_text(what)}">'
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
        f"<h2>{_text(check['id'])}</h2><p>{_verdict(Verdict(check['verdict']))} {_text(name)}</p>"
        f"<p>{_text(check['title'])}</p>"
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
        place = finding["path"]
        if finding["chunk"] is not None:
            place += f" in chunk {finding['chunk']}"
        head = f"{finding['level']} {finding['code']} {finding['name']}: {finding['message']}"
        rows = [("at", place), ("expected", finding["expected"]), ("got", finding["got"])]
        parts.append(f"<h3>{_text(head)}</h3>{_list(rows)}")
    if check["also"]:
        parts.append(f"<p>Reported by other checks: {_text(', '.join(check['also']))}</p>")
    for at, index in enumerate(check["exchange"], start=1):
        parts.append(_exchange(report["exchanges"][index], at, len(check["exchange"])))
    parts.append("</div></section>\n")
    return "".join(parts)


def _list(rows: Sequence[tuple[str, str]]) -> str:
    items = "".join(f"<dt>{_text(label)}</dt><dd>{_text(text)}</dd>" for label, text in rows)
    return f"<dl>{items}</dl>" if items else ""


def _exchange(exchange: JSONObject, at: int, count: int) -> str:
    status = exchange["status"]
    head = [f"HTTP {status}"] if status is not None else ["no response"]
    head += [f"{name}: {value}" for name, value in exchange["headers"].items()]
    rest = "\n..." if exchange["cut"] else ""
    if "wire" in exchange:
        return _delivered(exchange, at, count)
    problem = f"<p>{_text(exchange['problem'])}</p>" if exchange["problem"] else ""
    title = "Request" if count == 1 else f"Request {at} of {count}"
    return (
        f"<h3>{title}</h3><pre>{_text(exchange['curl'])}</pre><h3>Response</h3>{problem}"
        f"<pre>{_text(chr(10).join(head))}\n\n{_text(exchange['body'])}{rest}</pre>"
    )


def _delivered(exchange: JSONObject, at: int, count: int) -> str:
    """What a consumer sent, and what it got from where that differs from the plain delivery."""
    before, after = exchange["wire_before"], exchange["wire_after"]
    lines = [f"HTTP {exchange['status']}"]
    lines += [f"{name}: {value}" for name, value in exchange["headers"].items()]
    lines += ["", *([f"... {plural(before, 'piece')} as in the plain delivery"] if before else [])]
    lines += exchange["wire"]
    lines += [f"... {plural(after, 'more piece')}"] if after else []
    lines += [exchange["problem"]] if exchange["problem"] else []
    again = f"<h3>Again</h3><pre>{_text(exchange['command'])}</pre>" if at == count else ""
    number = "" if count == 1 else f" {at} of {count}"
    return (
        f"<h3>The consumer's request{number}</h3><pre>{_text(exchange['request'])}</pre>"
        f"<h3>On the wire, each piece as bytes</h3><pre>{_text(chr(10).join(lines))}</pre>{again}"
    )


_CSS = """
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --dim: #57606a; --line: #d0d7de;
  --group: #f3f5f7; --pass: #116329; --pass-back: #e3f5e6; --fail: #a40e26; --fail-back: #ffe5e7;
  --loose: #7a4b00; --loose-back: #fff2d1; --no: #3d4650; --no-back: #eceff2; }
@media (prefers-color-scheme: dark) {
  :root { --back: #0d1117; --text: #e6edf3; --dim: #9aa5b1; --line: #30363d; --group: #161b22;
    --pass: #7ee2a0; --pass-back: #0f2f1b; --fail: #ffaba8; --fail-back: #4b1113;
    --loose: #f2cc60; --loose-back: #3a2a06; --no: #c2cbd4; --no-back: #21262d; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 15px/1.45 system-ui,
  sans-serif; }
main { padding: 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 1rem 0 .25rem; overflow-wrap: anywhere; }
p, ul { margin: .4rem 0; }
ul { padding: 0; list-style: none; }
li { margin: .3rem 0; }
a { color: inherit; }
.matrix { overflow-x: auto; border: 1px solid var(--line); max-width: max-content; }
table { border-collapse: separate; border-spacing: 0; }
th, td { border-bottom: 1px solid var(--line); border-right: 1px solid var(--line);
  padding: .2rem .4rem; text-align: left; vertical-align: top; font-weight: normal; }
thead th { background: var(--group); font-size: .85rem; overflow-wrap: anywhere;
  vertical-align: bottom; }
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
small, .none { color: inherit; opacity: .85; font-size: .8em; font-weight: normal; }
body:has(#hide:checked) .clean { display: none; }
.detail { display: none; }
.detail:target { display: block; }
.away { position: fixed; inset: 0; background: #0006; z-index: 3; }
.panel { position: fixed; top: 0; right: 0; bottom: 0; width: min(48rem, 100%); overflow-y: auto;
  padding: 1rem; background: var(--back); border-left: 1px solid var(--line); z-index: 4; }
.close { float: right; padding: .2rem .6rem; border: 1px solid var(--line); border-radius: .3rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; margin: .4rem 0; }
dt { color: var(--dim); }
dd { margin: 0; overflow-wrap: anywhere; }
pre { margin: 0; padding: .5rem; background: var(--group); border: 1px solid var(--line);
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8rem; }
@media (min-width: 60rem) {
  .matrix { overflow: auto; max-height: 92vh; }
  thead th { position: sticky; top: 0; z-index: 1; }
  td { min-width: 16rem; }
}
@media (max-width: 40rem) {
  main { padding: .6rem; }
  tbody th[scope=row], thead th:first-child { width: 9rem; min-width: 9rem; }
  td .v { flex-basis: 100%; }
  dl { grid-template-columns: 1fr; }
}
"""
