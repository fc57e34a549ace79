"""Findings as text, and in the formats that other tools read. Pure functions, no I/O."""

from __future__ import annotations

import json
import os
import re
import shlex
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from pytest_chatapi import __version__
from pytest_chatapi.contract.apis import OTHER_APIS
from pytest_chatapi.contract.catalogue import Rule, rules
from pytest_chatapi.contract.exchange import Exchange, Source
from pytest_chatapi.contract.explanation import help_markdown, help_text
from pytest_chatapi.contract.findings import LEVELS, Finding, Level, at_least
from pytest_chatapi.contract.profiles import PROFILES, get_profile
from pytest_chatapi.contract.wording import plural, wrapped
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.mapped import Mapped

__all__ = [
    "FORMATS",
    "Options",
    "Paint",
    "Report",
    "annotation_property",
    "annotation_text",
    "baseline_lines",
    "coloured_text",
    "describe",
    "failure_message",
    "filled",
    "found_instead",
    "level_counts",
    "painted",
    "plain",
    "remarks",
    "render",
    "short",
    "statistics_text",
    "unreadable_lines",
    "xml_text",
]

_WIDTH = 80
_MOST_SHOWN = 10
_MOST_NOTES = 6


@dataclass
class Report:
    """The result of a run.

    Attributes:
        exchanges: number of exchanges checked.
        skipped: number of exchanges not checked, by the API that they belong to, or ``unknown``,
            or what was not recorded of them (see `Exchange.lacks`).
        files: number of files read.
        unread: number of files skipped, by the reason: one of `UNREAD`, or the tool that wrote them
            (``of LangSmith``).
        assembled: number of those `exchanges` that a log assembled (see `Exchange.assembled`).
        unanswered: number of those `exchanges` whose request alone was recorded.
        unasked: number of those `exchanges` of which a log has only the response.
        unreadable: what could not be read, and the paths of which nothing was checked.
        findings: in the order of reading.
        cases: (file, index, title) of each checked exchange; only for formats that need it.
        known: number of findings that the baseline knows; they are not in `findings`.
        stale: a line for each entry of the baseline that has more findings than there are.
        exceeded: a line for each that has fewer; all of these are in `findings`.
        mapped: what the mapping has found, if there is one.
    """

    exchanges: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    files: int = 0
    unread: Counter[str] = field(default_factory=Counter)
    assembled: int = 0
    unanswered: int = 0
    unasked: int = 0
    unreadable: list[ReadError] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    cases: list[tuple[str, int, str]] = field(default_factory=list)
    known: int = 0
    stale: list[str] = field(default_factory=list)
    exceeded: list[str] = field(default_factory=list)
    mapped: Mapped = field(default_factory=Mapped)

    def count(self, exchange: Exchange, skipped_as: str = "") -> None:
        """Count one exchange.

        Args:
            skipped_as: why it was not checked, if it was not: see `skipped`.
        """
        if skipped_as:
            self.skipped[skipped_as] += 1
        else:
            self.exchanges += 1
            self.assembled += exchange.assembled
            self.unanswered += exchange.response is None
            self.unasked += exchange.is_unasked

    def add(self, other: Report) -> None:
        self.exchanges += other.exchanges
        self.skipped += other.skipped
        self.files += other.files
        self.unread += other.unread
        self.assembled += other.assembled
        self.unanswered += other.unanswered
        self.unasked += other.unasked
        self.unreadable += other.unreadable
        self.findings += other.findings
        self.cases += other.cases
        self.known += other.known
        self.stale += other.stale
        self.exceeded += other.exceeded
        self.mapped.add(other.mapped)


@dataclass(frozen=True)
class Options:
    """How to render a report. A format ignores what does not concern it.

    Attributes:
        strict: warnings count as failures (JUnit).
        notes: show notes in full, instead of only counting them (text).
        statistics: count findings by rule (text).
        coloured: with ANSI colours (text).
    """

    strict: bool = False
    notes: bool = False
    statistics: bool = False
    coloured: bool = False


def render(report: Report, form: str, options: Options) -> str:
    """Return the report in one of `FORMATS`."""
    return FORMATS[form](report, options)


# -- one finding -------------------------------------------------------------------------

Paint = Callable[[str, str], str]
"""Takes a style and a text, and returns the text in this style."""

_STYLES = {"error": "31;1", "warning": "33;1", "note": "36", "bold": "1", "good": "32;1"}


def coloured_text(style: str, text: str) -> str:
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def plain(style: str, text: str) -> str:
    return text


def describe(
    finding: Finding,
    *,
    also: Sequence[str] = (),
    paint: Paint = plain,
    profile_setting: str = "--profile {}",
) -> str:
    """Return one finding as lines for a terminal of 80 columns.

    The first begins with file and line, as other tools for code have it, and is never wrapped
    there, so that terminals and editors find the place.

    Args:
        also: where the same was found.
        profile_setting: how to choose a profile, for the hint that another one is lenient.
    """
    location = _location(finding)
    head = f"{location}: {finding.level} {finding.code}".removeprefix(": ")
    text = f"{head} {finding.name}: {finding.message}"
    if location and len(text) > _WIDTH:
        lines = [f"{head} {finding.name}:"]
        lines += textwrap.wrap(finding.message, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    else:
        lines = textwrap.wrap(text, _WIDTH, subsequent_indent="  ")
    painted = f"{paint(finding.level, finding.level)} {paint('bold', finding.code)}"
    before = f"{paint('bold', location)}: " if location else ""
    lines[0] = before + painted + lines[0][len(head) :]
    within = _within(finding)
    lines += _row("at", f"{within}: {finding.path}" if within else finding.path)
    lines += _row("expected", finding.expected)
    lines += _row("got", finding.got)
    if also:
        places = _row("also", "; ".join(also))
        if len(places) > 1:  # a line each, since a path with a space in it must stay in one piece
            places = [f"  {'also' if at == 0 else '':<8} {place}" for at, place in enumerate(also)]
        lines += places
    profiles = _more_lenient(finding)
    if profiles and finding.level == "error":
        lines += _row("hint", f"not an error under {_alternatives(profiles, profile_setting)}")
    return "\n".join(lines)


def painted(text: str) -> str:
    """Return a text with findings as `describe` has them, in its colours."""
    return _HEAD.sub(_painted_head, text)


_HEAD = re.compile(r"(?m)^(?:(\S.*?): )?(error|warning|note) ([A-Z]\d\d)(?= [a-z-]+:)")


def _painted_head(match: re.Match[str]) -> str:
    location, level, code = match.groups()
    before = f"{coloured_text('bold', location)}: " if location else ""
    return f"{before}{coloured_text(level, level)} {coloured_text('bold', code)}"


def _row(label: str, text: str, *, width: int = 8) -> list[str]:
    head = f"  {label:<{width}}"
    return wrapped(text, " " * (width + 3), first=f"{head} ", width=_WIDTH - 2) or [head]


def _location(finding: Finding) -> str:
    """Return ``file:line``, as far as they are known."""
    source = finding.source
    if source is None:
        return ""
    return f"{source.file}:{source.line}" if source.line else source.file


def _within(finding: Finding) -> str:
    """Return interaction and chunk, as far as they are known."""
    parts = []
    if finding.source is not None:
        parts.append(f"interaction {finding.source.index}")
    if finding.chunk is not None:
        parts.append(f"chunk {finding.chunk}")
    return ", ".join(parts)


def _place(finding: Finding) -> str:
    """Return what tells a finding's place from others: the line, else interaction and chunk."""
    location = _location(finding)
    if finding.source is not None and finding.source.line:
        return location
    return ", ".join(filter(None, (location, _within(finding))))


def _more_lenient(finding: Finding) -> list[str]:
    """Return the profiles in which the same finding is less severe."""
    order = [*LEVELS, None]
    severity = order.index(finding.level)
    return [
        name
        for name in PROFILES
        if order.index(get_profile(name).level(finding.code, finding.case)) > severity
    ]


def _alternatives(profiles: Sequence[str], setting: str) -> str:
    first, *others = profiles
    names = [f"`{setting.format(first)}`", *(f"`{name}`" for name in others)]
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def short(finding: Finding) -> str:
    """Return one finding in one line."""
    return f"{finding.code} {finding.message}"


# -- the message of a failure ------------------------------------------------------------


def failure_message(
    findings: Sequence[Finding],
    what: str,
    failing: Sequence[Finding],
    story: Sequence[tuple[str, str]] = (),
) -> str:
    """Return the message of a `ContractError`: the failing findings, and what to do next.

    Args:
        what: breaks the contract; several exchanges are ``3 exchanges``.
        failing: those of the findings that make it fail.
        story: how it came about, each a label and a text.
    """
    groups = _folded(failing, notes=True)
    codes = ", ".join(dict.fromkeys(same[0].code for same in groups))
    count = plural(len(failing), "finding")
    # The codes come first, since pytest's summary has room for little more.
    verb = "break" if what[0].isdigit() else "breaks"
    head = f"{codes}: {what} {verb} the contract: {count} (profile\0{failing[0].profile})"
    lines = [
        line.replace("\0", " ")
        for line in textwrap.wrap(head, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    ]
    blocks = ["\n".join([*lines, *(line for row in story for line in _row(*row, width=9))])]
    blocks += [
        describe(same[0], also=_elsewhere(same), profile_setting='profile="{}"')
        for same in groups[:_MOST_SHOWN]
    ]
    if len(groups) > _MOST_SHOWN:
        blocks.append(f"... and {sum(map(len, groups[_MOST_SHOWN:])):,} more")
    others = Counter(f.level for f in findings) - Counter(f.level for f in failing)
    if others:
        blocks.append(f"not failing: {level_counts(others)}")
    blocks.append(f"explain it: chatapi rules {groups[0][0].code}\n{_how_to_ignore(groups)}")
    return "\n\n".join(blocks)


def _how_to_ignore(groups: Sequence[Sequence[Finding]]) -> str:
    """Return the setting that ignores all of these findings, to be pasted."""
    patterns = dict.fromkeys(json.dumps(_pattern(same), ensure_ascii=False) for same in groups)
    label = f"ignore {'it:  ' if len(patterns) == 1 else 'all: '}ignore=["
    lines = [label]
    for pattern in patterns:
        part = f"{pattern}, "
        if lines[-1] != label and len(lines[-1] + part) > _WIDTH:
            lines.append(" " * len(label))
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines).removesuffix(",") + "]"


def _pattern(same: Sequence[Finding]) -> str:
    """Return ``CODE:PATH`` for a group of findings."""
    path = same[0].path if len({f.path for f in same}) == 1 else _any_index(same[0].path)
    return f"{same[0].code}:{path}"


def _any_index(path: str) -> str:
    return re.sub(r"\[\d+\]", "[*]", path)


def level_counts(levels: Mapping[Level, int]) -> str:
    """Return ``1 error, 2 notes``; empty without findings."""
    return ", ".join(plural(levels[level], level) for level in LEVELS if levels.get(level))


# -- what was not checked ----------------------------------------------------------------

UNREAD = {
    "in no known format": "not HTTP recordings",
    "with another ending": "of other file types",
    "without an exchange": "without an exchange",
    "empty": "empty",
    "of WebSocket messages": "of WebSocket messages",
    "of gRPC calls": "of gRPC calls",
    "excluded": "excluded by the settings",
}
"""Reasons why a file is skipped, and how text says them; the other reasons name a tool."""

_ONE = {
    "not HTTP recordings": "not an HTTP recording",
    "of other file types": "of another file type",
}
"""The same of one file, where it differs."""


def remarks(report: Report) -> list[str]:
    """Return what was not checked, or only in part: one line each."""
    return list(_remarks(report).values())


def _remarks(report: Report) -> dict[str, str]:
    """The `remarks`, by what each is about."""
    lines = {}
    if report.skipped:
        exchanges = plural(report.skipped.total(), "exchange")
        lines["skipped exchanges"] = f"{exchanges} skipped: {_skipped(report.skipped)}"
    if report.unread:
        files = plural(report.unread.total(), "file")
        lines["skipped files"] = f"{files} skipped: {_kinds_of_files(report.unread)}"
    if report.unanswered:
        lines["requests alone"] = (
            f"{plural(report.unanswered, 'exchange')} without a response: only the request was "
            "checked"
        )
    if report.unasked:
        lines["responses alone"] = (
            f"{plural(report.unasked, 'exchange')} whose request was not logged, or is not "
            "understood: only the response was checked"
        )
    if report.assembled:
        lines["assembled logs"] = (
            f"{plural(report.assembled, 'exchange')} from assembled logs: their streams, headers "
            "and errors (T, E, X, H) were not recorded, so not checked"
        )
    return lines


def _skipped(counts: Counter[str]) -> str:
    return _reasons({_UNKNOWN if name == "unknown" else name: n for name, n in counts.items()})


def _reasons(counts: Mapping[str, int]) -> str:
    """``2 responses, 1 embeddings``; of a single reason, no count, which stands before it."""
    if len(counts) == 1:
        return next(iter(counts))
    most = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {reason}" for reason, count in most)


def _kinds_of_files(counts: Counter[str]) -> str:
    names_tool = not counts.keys() <= UNREAD.keys()
    kinds = {}
    for kind, count in counts.items():
        text = UNREAD.get(kind, kind)
        kinds[_ONE.get(text, text) if count == 1 else text] = count
    return _reasons(kinds) + (" (see --map, or docs/formats.md)" if names_tool else "")


def baseline_lines(report: Report) -> list[str]:
    """Return what the baseline did to the findings, and whether it is up to date."""
    lines = []
    if report.known:
        lines.append(f"{plural(report.known, 'known finding')} in the baseline")
    if report.exceeded:
        lines += _some("more findings than the baseline knows:", report.exceeded)
    if report.stale:
        count = len(report.stale)
        entries = "1 stale entry" if count == 1 else f"{count:,} stale entries"
        head = f"{entries} in the baseline (refresh: chatapi check --write-baseline PATH):"
        lines += _some(head, report.stale)
    return lines


def _some(head: str, lines: Sequence[str]) -> list[str]:
    shown = [head, *(f"  {line}" for line in lines[:_MOST_STALE])]
    more = len(lines) - _MOST_STALE
    return [*shown, f"  ... and {more:,} more"] if more > 0 else shown


_MOST_STALE = 5


def found_instead(report: Report) -> str:
    """Return what there is at a path of which nothing was checked."""
    parts = []
    count = report.skipped.total()
    if count:
        exchanges = plural(count, "exchange")
        which = _which(next(iter(report.skipped)))
        if len(report.skipped) > 1:
            parts.append(f"{exchanges}, none of them checked: {_skipped(report.skipped)}")
        elif count == 1:
            parts.append(f"1 exchange, {which}")
        else:
            parts.append(f"{exchanges}, all {which}")
    count = report.unread.total()
    if count:
        parts.append(f"{plural(count, 'file')}: {_kinds_of_files(report.unread)}")
    return "; ".join(parts) or "no files to look into"


_UNKNOWN = "of an unknown API"
_APIS = {row.name for row in OTHER_APIS} - {"telemetry"}


def _which(name: str) -> str:
    if name == "unknown":
        return _UNKNOWN
    return f"of the {name[:1].upper()}{name[1:]} API" if name in _APIS else name


def unreadable_lines(errors: Sequence[ReadError]) -> list[str]:
    """Return what could not be read, a line for each reason: the first place, and how many more."""
    groups: dict[str, list[ReadError]] = {}
    for error in errors:
        groups.setdefault(re.sub(r"\d+", "#", error.reason), []).append(error)
    lines = []
    for first, *others in [*groups.values()][:_MOST_SHOWN]:
        files = len({error.file for error in others} - {first.file})
        where = f" in {plural(files, 'other file')}" if files else ""
        lines.append(f"{first} (and {len(others):,} more{where})" if others else str(first))
    if len(groups) > _MOST_SHOWN:
        rest = sum(map(len, [*groups.values()][_MOST_SHOWN:]))
        lines.append(f"... and {rest:,} more: --format json lists all")
    return lines


# -- text --------------------------------------------------------------------------------


def _text(report: Report, options: Options) -> str:
    paint = coloured_text if options.coloured else plain
    blocks = [
        describe(same[0], also=_elsewhere(same), paint=paint)
        for same in _folded(report.findings, options.notes)
    ]
    if options.statistics:
        blocks.append(statistics_text(report))
    elif not options.notes:
        blocks += _notes(report.findings)
    if not options.statistics:
        blocks += _shutdowns(report.findings)
    lines = [filled(line) for line in remarks(report)]
    lines += baseline_lines(report)
    blocks.append("\n".join([*lines, _summary(report, paint), *_next_step(report, options)]))
    return "\n\n".join(blocks) + "\n"


def _folded(findings: Sequence[Finding], notes: bool) -> list[list[Finding]]:
    """Return findings that differ only in place and numbers as one group, errors first."""
    groups: dict[tuple[Level, str, str, str], list[Finding]] = {}
    for finding in findings:
        if finding.level != "note" or (notes and finding.code != _SHUTDOWN):
            path = _any_index(finding.path)
            message = re.sub(r"\d+", "#", finding.message.split(" (and ")[0])
            groups.setdefault((finding.level, finding.code, path, message), []).append(finding)
    return sorted(groups.values(), key=lambda same: LEVELS.index(same[0].level))


def _elsewhere(same: Sequence[Finding]) -> list[str]:
    """Return where else a group of findings was found, the first few."""
    first = _place(same[0])
    # A recording that is played twice has its findings twice.
    places = {_place(f) if _place(f) != first else f.path: None for f in same[1:]}
    places.pop(same[0].path, None)
    shown = [*places][:2]
    if len(places) > 2:
        shown.append(f"and {len(places) - 2:,} more")
    return shown


def _notes(findings: Sequence[Finding]) -> list[str]:
    counts = Counter(
        f"{f.code} {f.name}" for f in findings if f.level == "note" and f.code != _SHUTDOWN
    )
    if not counts:
        return []
    most = counts.most_common(_MOST_NOTES)
    listing = ", ".join(f"{name} ({count:,})" for name, count in most)
    more = counts.total() - sum(count for _, count in most)
    listing += f" and {more:,} more" if more else ""
    return [filled(f"notes: {listing}; list: --select {most[0][0].split()[0]}")]


# Nearly every recording has this note, so there is one line for each day.
_SHUTDOWN = "Q17"


def _shutdowns(findings: Sequence[Finding]) -> list[str]:
    """Return the models with a shutdown date, by day, and how many recordings use each."""
    counts = Counter(f.message for f in findings if f.code == _SHUTDOWN and f.level == "note")
    if not counts:
        return []
    if len(counts) == 1:
        ((message, count),) = counts.items()
        return [filled(f"note {_SHUTDOWN} {message} ({plural(count, 'recording')})")]
    days = defaultdict(list)
    for message, count in counts.most_common():
        _, model, rest = message.split("`")
        day = re.search(r"\d{4}-\d\d-\d\d", rest)
        assert day is not None
        days[day[0]].append(f"{model} ({count:,})")
    lines = [filled(f"  {day} {', '.join(models)}", 13) for day, models in sorted(days.items())]
    head = f"note {_SHUTDOWN} models with a shutdown date, and how many recordings use each:"
    return ["\n".join([head, *lines])]


def filled(text: str, indent: int = 2) -> str:
    """Wrap a line for the terminal."""
    return textwrap.fill(text, _WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)


def _summary(report: Report, paint: Paint) -> str:
    is_empty = not report.exchanges and not report.findings
    summary = "nothing checked" if is_empty else f"{plural(report.exchanges, 'exchange')} checked"
    if report.files:
        summary += f" in {plural(report.files, 'file')}"
    if is_empty:
        return paint("error", summary)
    levels = Counter(finding.level for finding in report.findings)
    style = next((level for level in ("error", "warning") if levels[level]), "good")
    return f"{summary}: {paint(style, level_counts(levels) or 'no findings')}"


def _next_step(report: Report, options: Options) -> list[str]:
    """How to go on where there are findings that fail the run: a line, else nothing."""
    failing = at_least("warning" if options.strict else "error")
    first = next((f for level in LEVELS for f in report.findings if f.level == level), None)
    if first is None or first.level not in failing:
        return []
    selected = shlex.quote(f"{first.code}:{first.path}")
    return [f"explain: chatapi rules {first.code}; ignore: --ignore {selected}"]


def statistics_text(report: Report) -> str:
    """Return how often each rule was broken, most frequent first."""
    counts = Counter((finding.code, finding.level) for finding in report.findings)
    order = {code: position for position, code in enumerate(rules())}
    lines = [
        f"{count:>7,}  {code}  {level:<7}  {rules()[code].name}"
        for (code, level), count in sorted(
            counts.items(), key=lambda item: (-item[1], order[item[0][0]])
        )
    ]
    return "\n".join(lines) or "no findings to count"


# -- JSON --------------------------------------------------------------------------------


def _json(report: Report, options: Options) -> str:
    data = {
        "version": 1,
        "exchanges": report.exchanges,
        "skipped": report.skipped.total(),
        **_uncovered(report),
        "errors": _unreadable(report),
        "findings": [finding.to_json() for finding in report.findings],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _jsonl(report: Report, options: Options) -> str:
    rows: list[object] = [finding.to_json() for finding in report.findings]
    lines = [
        *map(str, report.unreadable),
        *remarks(report),
        *map(str.strip, baseline_lines(report)),
    ]
    if lines:
        # Last, and only if there is something to say: no finding, but with the same keys.
        keys = ("code", "level", "profile", "source", "chunk", "path", "expected", "got")
        row = {**dict.fromkeys(keys), "name": "not-checked", "message": "; ".join(lines)}
        rows.append({**row, **_uncovered(report), "errors": _unreadable(report)})
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _unreadable(report: Report) -> list[dict[str, str]]:
    return [{"file": e.file, "place": e.place, "reason": e.reason} for e in report.unreadable]


def _uncovered(report: Report) -> dict[str, object]:
    """What was not checked, or only in part, as the formats for machines have it."""
    return {
        "skipped_by_api": dict(report.skipped.most_common()),
        "unread_files": dict(report.unread.most_common()),
        "assembled": report.assembled,
        "unanswered": report.unanswered,
        "unasked": report.unasked,
        # Only where there is a baseline.
        **({"known": report.known} if report.known else {}),
        **({"stale": report.stale} if report.stale else {}),
    }


# -- JUnit -------------------------------------------------------------------------------


class _Unique:
    """Names of test cases, each numbered from its second use in the same file on."""

    def __init__(self) -> None:
        self._uses: Counter[tuple[str, str]] = Counter()

    def __call__(self, file: str, name: str) -> str:
        self._uses[file, name] += 1
        use = self._uses[file, name]
        return name if use == 1 else f"{name} ({use})"


def _junit(report: Report, options: Options) -> str:
    by_exchange: dict[tuple[str, int], list[Finding]] = {}
    for finding in report.findings:
        if finding.source is not None:
            key = (finding.source.file, finding.source.index)
            by_exchange.setdefault(key, []).append(finding)
    limit = at_least("warning" if options.strict else "error")
    unique = _Unique()
    failures = 0
    cases = []
    for file, index, title in report.cases:
        failing: list[Finding] = []
        passing: list[Finding] = []
        for finding in by_exchange.get((file, index), []):
            (failing if finding.level in limit else passing).append(finding)
        failures += bool(failing)
        cases.append(_testcase(file, unique(file, title), failing, passing))
    errors = [
        _other_case(e.file, unique(e.file, e.place or "unreadable"), "error", e.reason)
        for e in report.unreadable
    ]
    skipped = [
        _other_case("chatapi", f"not checked: {what}", "skipped", line)
        for what, line in _remarks(report).items()
    ]
    count = len(cases) + len(errors) + len(skipped)
    baseline = escape(xml_text("\n".join(baseline_lines(report))))
    return "\n".join(
        [
            '<?xml version="1.0" encoding="utf-8"?>',
            f'<testsuites><testsuite name="chatapi" tests="{count}" '
            f'failures="{failures}" errors="{len(errors)}" skipped="{len(skipped)}">',
            *cases,
            *errors,
            *skipped,
            *([f"  <system-out>{baseline}</system-out>"] if baseline else []),
            "</testsuite></testsuites>",
            "",
        ]
    )


def _other_case(file: str, name: str, outcome: str, message: str) -> str:
    head = f"  <testcase classname={quoteattr(xml_text(file))} name={quoteattr(xml_text(name))}>"
    return f"{head}<{outcome} message={quoteattr(xml_text(message))}/></testcase>"


def _testcase(file: str, title: str, failing: Sequence[Finding], passing: Sequence[Finding]) -> str:
    head = f"  <testcase classname={quoteattr(xml_text(file))} name={quoteattr(xml_text(title))}"
    lines = []
    if failing:
        first = failing[0]
        message = quoteattr(xml_text(f"{first.code} {first.name}: {first.message}"))
        lines.append(f"    <failure message={message}>{_described(failing)}</failure>")
    if passing:
        lines.append(f"    <system-out>{_described(passing)}</system-out>")
    return "\n".join([f"{head}>", *lines, "  </testcase>"]) if lines else f"{head}/>"


def _described(findings: Sequence[Finding]) -> str:
    return escape(xml_text("\n\n".join(map(describe, findings))))


def xml_text(text: str) -> str:
    # XML 1.0 does not allow control characters, not even escaped ones.
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


# -- GitHub annotations ------------------------------------------------------------------

_ANNOTATIONS: dict[Level, str] = {"error": "error", "warning": "warning", "note": "notice"}


def _github(report: Report, options: Options) -> str:
    notices = [f"::notice title=not checked::{annotation_text(line)}\n" for line in remarks(report)]
    if baseline := baseline_lines(report):
        notices.append(f"::notice title=baseline::{annotation_text(chr(10).join(baseline))}\n")
    errors = map(_unread_annotation, report.unreadable)
    return "".join([*map(_annotation, report.findings), *errors, *notices])


def _unread_annotation(error: ReadError) -> str:
    line = _LINE.match(error.place)
    file = f"file={annotation_property(error.file)}," if error.file else ""  # else an option
    properties = file + (f"line={line[1]}," if line else "")
    text = f"{error.place}: {error.reason}" if error.place else error.reason
    return f"::error {properties}title=not read::{annotation_text(text)}\n"


_LINE = re.compile(r"line (\d+)")


def _annotation(finding: Finding) -> str:
    file = finding.source.file if finding.source is not None else ""
    title = f"{finding.code} {finding.name}"
    text = (
        f"{finding.message} | {_within(finding)}: {finding.path} | "
        f"expected {finding.expected} | got {finding.got}"
    )
    line = finding.source.line if finding.source is not None else 0
    place = f"file={annotation_property(file)}" + (f",line={line}" if line else "")
    properties = f"{place},title={annotation_property(title)}"
    return f"::{_ANNOTATIONS[finding.level]} {properties}::{annotation_text(text)}\n"


def annotation_text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def annotation_property(text: str) -> str:
    return annotation_text(text).replace(":", "%3A").replace(",", "%2C")


# -- SARIF -------------------------------------------------------------------------------


def _sarif(report: Report, options: Options) -> str:
    codes = {finding.code for finding in report.findings}
    used = [code for code in rules() if code in codes]
    descriptions = [_sarif_rule(rules()[code]) for code in used]
    driver = {"name": "chatapi", "semanticVersion": __version__, "rules": descriptions}
    results = [_sarif_result(finding, used.index(finding.code)) for finding in report.findings]
    run: dict[str, object] = {"tool": {"driver": driver}, "results": results}
    notifications = [
        *map(_sarif_notification, report.unreadable),
        *({"level": "note", "message": {"text": line}} for line in remarks(report)),
        *({"level": "note", "message": {"text": line}} for line in baseline_lines(report)),
    ]
    if notifications:
        is_complete = not report.unreadable
        run["invocations"] = [
            {"executionSuccessful": is_complete, "toolExecutionNotifications": notifications}
        ]
    data = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _sarif_rule(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.statement},
        "fullDescription": {"text": f"{rule.statement} {rule.why}"},
        "help": {"text": help_text(rule), "markdown": help_markdown(rule)},
    }


def _sarif_result(finding: Finding, rule_index: int) -> dict[str, object]:
    source = finding.source or Source("", 0)
    member = {"fullyQualifiedName": f"{_within(finding)}: {finding.path}", "kind": "member"}
    return {
        "ruleId": finding.code,
        "ruleIndex": rule_index,
        "level": finding.level,
        "message": {"text": f"{finding.message}; expected {finding.expected}, got {finding.got}"},
        "locations": [
            {
                "physicalLocation": _physical_location(source.file, source.line),
                "logicalLocations": [member],
            }
        ],
    }


def _sarif_notification(error: ReadError) -> dict[str, object]:
    said: dict[str, object] = {"level": "error", "message": {"text": str(error)}}
    if not error.file:  # an option
        return said
    line = _LINE.match(error.place)
    location = _physical_location(error.file, int(line[1]) if line else 0)
    return {**said, "locations": [{"physicalLocation": location}]}


def _physical_location(file: str, line: int) -> dict[str, object]:
    from urllib.parse import quote

    path = file.replace("\\", "/")
    if os.path.isabs(file):
        artifact = {"uri": "file://" + quote(path if path[:1] == "/" else f"/{path}")}
    else:  # to what is checked out, as GitHub reads it
        artifact = {"uri": quote(path), "uriBaseId": "%SRCROOT%"}
    location: dict[str, object] = {"artifactLocation": artifact}
    if line:
        location["region"] = {"startLine": line}
    return location


FORMATS: dict[str, Callable[[Report, Options], str]] = {
    "text": _text,
    "json": _json,
    "jsonl": _jsonl,
    "junit": _junit,
    "github": _github,
    "sarif": _sarif,
}
