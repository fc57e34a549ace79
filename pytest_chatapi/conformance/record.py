"""The recordings of a run: a cassette for each check, and what they are recordings of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pytest_chatapi import __version__
from pytest_chatapi.conformance.probe import Check, checks
from pytest_chatapi.conformance.report import About
from pytest_chatapi.conformance.run import Options, Result, Run
from pytest_chatapi.conformance.wire import Recorded, record
from pytest_chatapi.contract.wording import listed
from pytest_chatapi.errors import ReadError, WriteError
from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["read_recordings", "write_recordings"]

INDEX = "conform.json"
_MEMBERS = {
    **dict.fromkeys(("url", "model", "contract", "key_variable"), str),
    **dict.fromkeys(("declared", "checks"), list),
    **dict.fromkeys(("headers", "sent"), dict),
    "profile": str | None,
    "strict": bool,
    "repeat": int,
}


def write_recordings(
    folder: Path, run: Run, results: Sequence[Result], about: About, redactor: Redactor
) -> None:
    """Write what a run sent and received, redacted.

    Raises:
        WriteError: it cannot be written.
    """
    sent = dict(run.measured)
    for result in results:
        sent |= result.sent_by_run
    try:
        folder.mkdir(parents=True, exist_ok=True)
        notes = {
            name: record(folder / f"{name}.yaml", each, redactor) for name, each in sent.items()
        }
        options = run.options
        index = {
            "version": 1,
            "url": about.url,
            "model": options.model,
            "contract": about.contract,
            "profile": options.profile,
            "strict": options.strict,
            "repeat": options.repeat,
            "declared": sorted(options.declared),
            "key_variable": about.key_variable,
            "headers": dict(about.headers),
            "checks": [result.check.id for result in results],
            "sent": notes,
        }
        (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise WriteError(str(folder), f"cannot be written: {error.strerror or error}") from None


def read_recordings(folder: Path) -> tuple[Run, list[Check], About]:
    """The run that checks recordings again.

    Raises:
        ReadError: there are none, or they are damaged.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        wrong = [n for n, kind in _MEMBERS.items() if not isinstance(index.get(n), kind)]
        if wrong:
            raise ReadError(str(folder / INDEX), f"$.{wrong[0]}", "missing or wrong: record again")
        known = {check.id: check for check in checks()}
        options = Options(
            index["model"],
            index["profile"],
            index["contract"],
            index["strict"],
            index["repeat"],
            declared=frozenset(index["declared"]),
        )
        about = About(
            index["url"],
            index["model"],
            index["contract"],
            index["profile"] or "",
            index["key_variable"],
            index["declared"],
            index["headers"],
        )
        notes = index["sent"]
        unknown = [name for name in index["checks"] if name not in known]
        if unknown:
            names = listed(unknown)
            reason = f"not a check of pytest-chatapi {__version__}: {names}; record again"
            raise ReadError(str(folder / INDEX), "$.checks", reason)
        named = [known[name] for name in index["checks"]]
    except FileNotFoundError:
        raise ReadError(
            str(folder), "", f"has no {INDEX}: record with chatapi conform server --record"
        ) from None
    except ReadError:
        raise
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ReadError(str(folder / INDEX), "", f"cannot be read: {error}") from None
    run = Run(lambda name: Recorded(folder / f"{name}.yaml", notes.get(name, ())), options)
    return run, named, about
