"""A report of figures as text, in 80 columns where names allow it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import plural, without_secrets, wrapped

__all__ = ["text_of"]

_WIDTH = 80
_LEAST = 20
"""Columns that the names have in any case."""
_MOST = 3
"""Names in a list."""


def text_of(report: JSONObject) -> str:
    """The models side by side, and what to know about the figures."""
    models = report["models"]
    run = {"name": "total", **report["run"]}
    blocks = [
        _table([*models, run] if len(models) > 1 else models, _COSTS),
        _table([model for model in models if _has_form(model)], _FORM),
        _table([_named(account) for account in report.get("accounts", ())], _COSTS, "account"),
        [line for note in _notes(report) for line in wrapped(_plain(note), "  ")],
    ]
    return "\n".join("".join(f"{line}\n" for line in block) for block in blocks if block)


def _plain(name: str) -> str:
    """A name without what would move the cursor or be a secret."""
    return "".join(c if c.isprintable() else "?" for c in without_secrets(name))


# -- tables --------------------------------------------------------------------------------------


def _table(
    models: Sequence[JSONObject],
    columns: Mapping[str, Callable[[JSONObject], str]],
    of: str = "model",
) -> list[str]:
    """One line for each model or account, without the columns that are blank for all."""
    cells = {head: [cell(model) for model in models] for head, cell in columns.items()}
    cells = {head: column for head, column in cells.items() if any(column)}
    if not cells:
        return []
    widths = {head: max(map(len, (head, *column))) + 2 for head, column in cells.items()}
    names = [_plain(model["name"]) for model in models]
    width = max(min(_WIDTH - sum(widths.values()), max(map(len, (*names, of)))), _LEAST)
    lines = [f"{of:<{width}}" + "".join(f"{head:>{n}}" for head, n in widths.items())]
    for row, name in enumerate(names):
        shown = name if len(name) <= width else f"{name[: width - 3]}..."
        line = "".join(f"{cells[head][row]:>{n}}" for head, n in widths.items())
        lines.append(f"{shown:<{width}}{line}".rstrip())
    return lines


def _named(account: JSONObject) -> JSONObject:
    parts = (account["organization"], account["project"])
    return {"name": ", ".join(part for part in parts if part), **account}


def _count(name: str) -> Callable[[JSONObject], str]:
    return lambda model: "" if model[name] is None else f"{model[name]:,}"


def _tokens(name: str) -> Callable[[JSONObject], str]:
    count = _count(name)
    return lambda model: count(model) + "+" * bool(count(model) and model["unreported"])


def _cost(model: JSONObject) -> str:
    if model["usd"] is None or not (model["unreported"] or model["unpriced"]):
        return _usd(model["usd"])
    return f"{model['usd']:,.4f}+"


def _median(name: str, form: str) -> Callable[[JSONObject], str]:
    def cell(model: JSONObject) -> str:
        spread = model.get(name)  # a run has none
        return form.format(spread["median"]) if spread else ""

    return cell


def _usd(usd: JSON) -> str:
    return "" if usd is None else f"{usd:,.4f}" if usd >= 0.0001 or not usd else "<0.0001"


def _per_million(model: JSONObject) -> str:
    usd = model.get("usd_per_million_tokens")
    return "" if usd is None else f"{usd:,.2f}" if usd >= 0.01 or not usd else "<0.01"


_COSTS: dict[str, Callable[[JSONObject], str]] = {
    "calls": _count("exchanges"),
    "prompt": _tokens("prompt_tokens"),
    "output": _tokens("completion_tokens"),
    "USD": _cost,
    "USD/M": _per_million,
    "TTFT": _median("ttft_seconds", "{:.2f} s"),
    "tok/s": _median("tokens_per_second", "{:,.0f}"),
}


def _of(name: str, all: str) -> Callable[[JSONObject], str]:
    def cell(model: JSONObject) -> str:
        form = model["form"]
        return f"{form[name]:,}/{form[all]:,}" if form[all] else ""

    return cell


def _some(name: str) -> Callable[[JSONObject], str]:
    return lambda model: f"{model['form'][name]:,}" if model["form"][name] else ""


def _index(model: JSONObject) -> str:
    return f"{model['quality_index']['value']:g}" if model["quality_index"] else ""


_FORM: dict[str, Callable[[JSONObject], str]] = {
    "valid calls": _of("valid_tool_calls", "tool_calls"),
    "valid JSON": _of("valid_json", "json"),
    "cut": _some("cut"),
    "refused": _some("refused"),
    "findings": _some("findings"),
    "index": _index,
}


def _has_form(model: JSONObject) -> bool:
    return any(cell(model) for cell in _FORM.values())


# -- notes ---------------------------------------------------------------------------------------


def _notes(report: JSONObject) -> Iterator[str]:
    run, models, rows = report["run"], report["models"], report["exchanges"]
    sources = ", ".join(f"{count:,} {source}" for source, count in run["sources"].items())
    failed = sum(row["status"] != 200 for row in rows)
    if rows:
        yield (
            f"{plural(len(rows), 'exchange')} of {plural(len(models), 'model')}"
            + (f": {sources}" if len(run["sources"]) > 1 else "")
            + (f"; {failed:,} failed" if failed else "")
        )
    usd = [(word, run[f"{word}_usd"]) for word in ("spent", "saved")]
    if any(known is not None for _, known in usd):
        known = ", ".join(f"{word} {_usd(of)} USD" for word, of in usd if of is not None)
        yield f"{known} (spent live, saved by replay)"
    if run["unreported"]:
        yield f"{plural(run['unreported'], 'response')} reported no usage"
    if run["unpriced"]:
        unpriced = [model["name"] for model in models if model["unpriced"]]
        yield (
            f"{plural(run['unpriced'], 'response')} at an unknown price: {_listed(unpriced)}; "
            "set it in [tool.chatapi.prices]"
        )
    if (run["unreported"] and run["total_tokens"]) or (run["unpriced"] and run["usd"] is not None):
        yield "+ marks sums that leave out what is not known"
    yield from _notes_on_time(rows, models)
    for model in models:
        for name, score in model["scores"].items():
            yield (
                f"{model['name']}: {name} {score['mean']:.2f} "
                f"({score['low']:.2f}-{score['high']:.2f}, n={score['n']})"
            )
    for source in dict.fromkeys(m["quality_index"]["source"] for m in models if m["quality_index"]):
        yield f"index: {source}"
    if run["skipped"]:
        total = sum(run["skipped"].values())
        most = Counter(run["skipped"]).most_common()
        kinds = ", ".join(f"{count:,} {name}" for name, count in most)
        yield f"{plural(total, 'exchange')} skipped: {kinds}"
    if run["unread"]:
        files = list(dict.fromkeys(one["file"] for one in run["unread"]))
        yield f"{plural(len(files), 'file')} not read: {_listed(files)}; --format json says why"


def _notes_on_time(rows: Sequence[JSONObject], models: Sequence[JSONObject]) -> Iterator[str]:
    streams = [row for row in rows if row["stream"]]
    for why, count in Counter(r["unmeasured"] for r in streams if r["unmeasured"]).most_common():
        yield f"{plural(count, 'stream')} without tok/s: {why}"
    measured = [row for row in streams if row["tokens_per_second"] is not None]
    assumed = sum(row["first_chunk_tokens"] is None for row in measured)
    if assumed:
        yield (
            f"tok/s of {plural(assumed, 'stream')}: the first chunk is counted as one token, as "
            "its own count is not reported"
        )
    stalled = [row for row in streams if row["stalls"]]
    if stalled:
        longest = max(row["longest_gap_seconds"] for row in stalled)
        yield f"{plural(len(stalled), 'stream')} stalled, for up to {longest:.1f} s"
    for model in models:
        if model["speeds_disagree"]:
            theirs, ours = (
                model[name]["median"] for name in ("server_tokens_per_second", "tokens_per_second")
            )
            yield (
                f"warning: {model['name']}: the server's own tok/s is over a fifth from the "
                f"measured one in {plural(model['speeds_disagree'], 'stream')} "
                f"(medians {theirs:,.0f} and {ours:,.0f})"
            )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST:,} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more
