"""The command ``chatapi rules``: the catalogue of rules, or one of them explained."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from pytest_chatapi.cli.arguments import Commands, add_format
from pytest_chatapi.contract.catalogue import FAMILIES, Rule, get_rule, rules
from pytest_chatapi.contract.explanation import BASIS, LEVEL_WORDS, brief_chunk
from pytest_chatapi.contract.profiles import PROFILES, get_profile
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.errors import SettingError

__all__ = ["add_to", "markdown"]

_WIDTH = 80
_LONGEST_VALUE = 300


def add_to(commands: Commands) -> None:
    """Add the command to those of ``chatapi``."""
    parser = commands.add_parser(
        "rules",
        help="list the rules, or explain one",
        description="List the rules of the contract, or explain one with an example that breaks "
        "it and one that does not.",
    )
    parser.add_argument(
        "code",
        nargs="?",
        metavar="CODE",
        help="code or name of the rule to explain; a single letter lists its family",
    )
    add_format(parser, _FORMATS)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.code is None:
        sys.stdout.write(_FORMATS[arguments.format]())
        return 0
    if arguments.code.upper() in FAMILIES:
        sys.stdout.write("\n".join(_listed(arguments.code.upper())) + "\n")
        return 0
    from pytest_chatapi.contract.examples import example

    rule = _rule(arguments.code)
    shown = example(rule.code)
    examples = {
        f"breaks it (in the exchange `{shown.base}`)": shown.broken_changes,
        f"legal ({shown.note.rstrip('.')})": shown.legal_changes,
    }
    sys.stdout.write(_explained(rule, examples))
    return 0


def _rule(code: str) -> Rule:
    try:
        return get_rule(code)
    except SettingError as error:
        family = code[:1].upper()
        if family not in FAMILIES or not code[1:].isdigit():
            raise
        raise SettingError(f"{error} `chatapi rules {family}` lists the family") from None


# -- all rules ---------------------------------------------------------------------------


def _text() -> str:
    """Return the catalogue as a list, one line for each rule."""
    lines = []
    for family in FAMILIES:
        lines += [*_listed(family), ""]
    lines.append("To explain one: chatapi rules CODE")
    return "\n".join(lines) + "\n"


def _listed(family: str) -> list[str]:
    """Return the lines of one family: its title, then its rules with their levels."""
    return [
        f"{family}: {FAMILIES[family]}",
        *(f"  {rule.code}  {rule.name:<26} {_levels(rule.levels)}" for rule in _family(family)),
    ]


def _json() -> str:
    data = [
        {
            "code": rule.code,
            "name": rule.name,
            "statement": rule.statement,
            "why": rule.why,
            "basis": rule.basis,
            "since": rule.since or None,
            "levels": {name: get_profile(name).level(rule.code) or "off" for name in PROFILES},
        }
        for rule in rules().values()
    ]
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def markdown() -> str:
    """Return the catalogue as the documentation page ``docs/rules.md``."""
    lines = [
        "# Look up a rule",
        "",
        "```console",
        "$ chatapi rules U02",
        "$ chatapi rules U",
        "```",
        "",
        "The first explains a rule, the second lists a family. The page of a rule below says the",
        "same: why it matters to a client, where it is from, what breaks it and what does not.",
        "",
        "Levels depend on the [profile](profiles.md). A code never changes its meaning, so use it",
        "in [`ignore`](configuration.md), in scripts and in bug reports.",
        "",
    ]
    for family, title in FAMILIES.items():
        lines += [
            f"## {family}: {title}",
            "",
            f"| code | name | {' | '.join(PROFILES)} | the contract |",
            "|---|---|" + "---|" * len(PROFILES) + "---|",
            *(row for rule in _family(family) for row in _table_rows(rule)),
            "",
        ]
    return "\n".join(lines)


_FORMATS = {"text": _text, "json": _json, "markdown": markdown}


def _family(letter: str) -> list[Rule]:
    return [rule for code, rule in rules().items() if code[0] == letter]


def _table_rows(rule: Rule) -> Iterator[str]:
    """Yield the row of a rule, then a row for each of its cases."""
    rows = [(f"[{rule.code}](rules/{rule.code}.md)", rule.name, rule.levels, rule.statement)]
    rows += [("", f"... {case}", levels, what) for case, (levels, what) in rule.cases.items()]
    for code, name, letters, what in rows:
        cells = [code, name, *(LEVEL_WORDS[letter] for letter in letters), what.replace("|", "\\|")]
        yield f"| {' | '.join(cells)} |"


def _levels(letters: str) -> str:
    """Return ``error (compatible: warning)``: the most common level, and the exceptions."""
    common = Counter(letters).most_common(1)[0][0]
    exceptions = [
        f"{name}: {LEVEL_WORDS[letter]}"
        for name, letter in zip(PROFILES, letters, strict=True)
        if letter != common
    ]
    return LEVEL_WORDS[common] + (f" ({', '.join(exceptions)})" if exceptions else "")


# -- one rule ----------------------------------------------------------------------------


def _explained(rule: Rule, examples: Mapping[str, Mapping[str, JSON]]) -> str:
    """Return one rule, explained.

    Args:
        examples: title of an example to what it changes in a plain exchange (path to value).
    """
    lines = [f"{rule.code} {rule.name}", ""]
    lines += [*textwrap.wrap(rule.statement, _WIDTH), "", "why it matters:"]
    lines += textwrap.wrap(rule.why, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    lines += ["", f"level:  {_levels(rule.levels)}"]
    for levels, what in rule.cases.values():
        lines += textwrap.wrap(
            f"        {what}: {_levels(levels)}", _WIDTH, subsequent_indent=" " * 10
        )
    lines.append(f"basis:  {BASIS[rule.basis]}")
    if rule.since:
        lines.append(f"since:  {rule.since}")
    for title, changes in examples.items():
        lines += ["", *textwrap.wrap(f"{title}:", _WIDTH), *_changes(changes.items())]
    lines += ["", f"ignore: --ignore {rule.code}, or --ignore {rule.code}:$.json.path for one path"]
    return "\n".join(lines) + "\n"


def _changes(changes: Iterable[tuple[str, JSON]]) -> Iterator[str]:
    for path, value in changes:
        yield from textwrap.wrap(
            _change(path, value),
            _WIDTH - 2,
            initial_indent="  ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )


def _change(path: str, value: JSON) -> str:
    """Return in words what an example does at a path (see `contract.examples`)."""
    match value:
        case {"$delete": _}:
            return f"{path} is removed"
        case {"$insert": items}:
            return f"before {path}: {', '.join(map(_value, items))}"
        case {"$append": items}:
            return f"at the end of {path}: {', '.join(map(_value, items))}"
    return f"{path} = {_value(value)}"


def _value(value: JSON) -> str:
    match value:
        case {"$raw": raw}:
            value = json.dumps(raw, ensure_ascii=False)
        case {"object": "chat.completion.chunk"}:
            # What all chunks of a stream share would push the rest over the limit.
            value = brief_chunk(value, value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."
