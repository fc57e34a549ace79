"""The frame of a page: what it may do, its title, its style in light and dark.

Reports quote models and servers. So every text goes through `words.text`, and the page's own policy
allows no script or style but those whose hashes it names, and no request at all.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

from pytest_chatapi.pages.charts import bundle, packed
from pytest_chatapi.pages.words import text

__all__ = ["frame"]


def frame(title: str, body: str, *, style: str = "", is_scripted: bool = False) -> str:
    """A whole page.

    Args:
        title: plain text.
        body: HTML.
        style: CSS after that of all pages.
        is_scripted: its charts are drawn, and its tables sorted.
    """
    css = _STYLE + style
    policy = ["default-src 'none'", f"style-src {_hash(css)}"]
    if is_scripted:
        script = _script()
        policy.append(f"script-src {_hash(script)} {_hash(bundle())}")
        body += f"{packed()}\n<script>{script}</script>\n"
    policy += ["base-uri 'none'", "form-action 'none'"]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(title)}</title>\n<style>{css}</style>\n</head>\n<body>\n{body}"
        "</body>\n</html>\n"
    )


@cache
def _script() -> str:
    return Path(__file__).with_name("script.js").read_text(encoding="utf-8")


@cache
def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


_STYLE = """
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
table { border-collapse: separate; border-spacing: 0; }
th, td { border-bottom: 1px solid var(--line); border-right: 1px solid var(--line);
  padding: .2rem .4rem; text-align: left; vertical-align: top; font-weight: normal; }
thead th { background: var(--group); font-size: .85rem; overflow-wrap: anywhere;
  vertical-align: bottom; }
small { color: inherit; opacity: .85; font-size: .8em; font-weight: normal; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; margin: .4rem 0; }
dt { color: var(--dim); }
dd { margin: 0; overflow-wrap: anywhere; }
pre { margin: 0; padding: .5rem; background: var(--group); border: 1px solid var(--line);
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8rem; }
@media (max-width: 40rem) {
  main { padding: .6rem; }
  dl { grid-template-columns: 1fr; }
}
"""
"""The style of every page; each has more of its own."""
