"""Cassettes on disk: read lazily, written atomically, merged with what others wrote since.

A YAML cassette is a list of blocks that begin with ``- request:`` at the margin, whichever tool
wrote it. They are found without parsing: a request is parsed when it is first compared, a
response when it is played, and what is in a file already is written back byte for byte.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import mask, plural
from pytest_chatapi.errors import ReadError, SecretError, WriteError
from pytest_chatapi.reading.files import blocks_of_path, join, os_reason
from pytest_chatapi.reading.reader import values_of
from pytest_chatapi.reading.registry import conflict
from pytest_chatapi.reading.yaml_events import YAMLProblem, load_all
from pytest_chatapi.recording.appending import Appender
from pytest_chatapi.recording.interaction import (
    OURS,
    Interaction,
    exchange_in,
    interaction_of,
    plain_form,
    redacted,
)
from pytest_chatapi.recording.own_layout import own_interaction, own_request
from pytest_chatapi.redaction.redactor import Redactor

if TYPE_CHECKING:
    import yaml

__all__ = ["Cassette", "Entry", "Prepared", "prepared", "write"]

_START = b"- request:\n"
_ALIAS = re.compile(rb"[:-] \*\w+\n")
_MARGIN = re.compile(rb"\n(?=[^ \n])")
_RESPONSE = b"\n  response:\n"
_OUR_LINE = f"\n    {OURS}:\n".encode()
_TEST = re.compile(rb"\n      test: '?([^\n]+?)'?\n")
_RECORDED_AT = re.compile(rb"\n      recorded_at: '([^'\n]+)'\n")
_BREAKS = re.compile("[\r\x85\u2028\u2029\ufeff]")
_ENCODED = (b"\x1f\x8b", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")
_LOCK_SECONDS = 60
_WRITTEN = (".yaml", ".yml", ".json")
_JSON_END = b"\n  ]\n}\n"


class Entry:
    """One interaction of a cassette, parsed no further than its use so far needs."""

    __slots__ = ("_data", "_interaction", "_place", "_request", "_value", "index", "name")

    def __init__(
        self,
        name: str,
        index: int,
        data: bytes = b"",
        place: tuple[int, int] = (0, 0),
        value: JSON = None,
    ) -> None:
        self.name, self.index = name, index
        self._data, self._place, self._value = data, place, value
        self._request: Request | None = None
        self._interaction: Interaction | None = None

    @property
    def raw(self) -> bytes:
        """Its block of the file; empty where the file has no such blocks."""
        raw = self._data[slice(*self._place)]
        return raw if raw.endswith(b"\n") or not raw else raw + b"\n"

    @property
    def value(self) -> JSON:
        """The parsed block, as any reader of the format would see it."""
        if self._value is None:
            self._value = self._load(self.raw)
        return self._value

    @property
    def request(self) -> Request:
        """The request alone; the response stays unparsed.

        Raises:
            ReadError: it is damaged.
        """
        if self._request is None:
            if self._interaction is not None:
                self._request = self._interaction.request
            elif self._value is not None:
                self._request = self.interaction.request
            else:
                self._request = own_request(self.raw) or self._parsed_request()
        return self._request

    def _parsed_request(self) -> Request:
        raw = self.raw
        end = raw.find(_RESPONSE)
        if end < 0:
            return self.interaction.request
        value = self._load(raw[: end + 1])
        try:
            request = exchange_in(value).request
        except ValueError as error:
            raise self._error(str(error)) from None
        if request is None:
            raise self._error("has no request, so it cannot be replayed")
        return request

    @property
    def interaction(self) -> Interaction:
        """Request and response.

        Raises:
            ReadError: it is damaged.
        """
        if self._interaction is None and self._data:
            self._interaction = own_interaction(self.raw, self._request)
        if self._interaction is None:
            value = self.value
            if not isinstance(value, dict):
                raise self._error("is not an interaction")
            try:
                self._interaction = interaction_of(value)
            except ValueError as error:
                raise self._error(str(error)) from None
            self._value = None if self._data else value
        return self._interaction

    @property
    def test(self) -> str:
        """The test that recorded it, see `Interaction`."""
        if self._interaction is None and self._data:
            return self._note(_TEST)
        return self.interaction.test

    @property
    def recorded_at(self) -> str:
        """When it was recorded, see `Interaction`."""
        if self._interaction is None and self._data:
            return self._note(_RECORDED_AT) or self.interaction.recorded_at
        return self.interaction.recorded_at

    def _note(self, pattern: re.Pattern[bytes]) -> str:
        # Needed for every entry of a file, so without parsing any.
        match = pattern.search(self._data, *self._place)
        return match[1].decode().replace("''", "'") if match else ""

    @property
    def own(self) -> bool:
        """Whether this package recorded it."""
        if self._data and self._interaction is None:
            return self._data.find(_OUR_LINE, *self._place) >= 0
        return self.interaction.own

    def _load(self, raw: bytes) -> JSON:
        try:
            value = next(load_all(raw.decode()), None)
        except YAMLProblem as error:
            reason = f"not valid YAML: {error.reason}"
            if "alias" in error.reason:
                reason += "; in a file this large, an interaction cannot refer to another"
            raise self._error(reason) from None
        except UnicodeDecodeError:
            raise self._error("not UTF-8; save the file as UTF-8") from None
        if not isinstance(value, list) or len(value) != 1:
            raise self._error("the file mixes interactions of several layouts")
        return value[0]

    def _error(self, reason: str) -> ReadError:
        return ReadError(self.name, f"interaction {self.index}", reason)


class Cassette:
    """The interactions of one file.

    Args:
        path: need not exist.
        name: what to call the file in messages.
    """

    def __init__(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        self.path = Path(path)
        self.name = name or os.fspath(path)
        self.head, self.tail = b"", b""
        self.exists = self.path.is_file()
        self.entries: list[Entry] = self._read() if self.exists else []

    def _read(self) -> list[Entry]:
        data = self._bytes()
        if data.isspace() or not data:
            return []
        # Blocks are read on their own, so a marker between two of them would not be seen.
        unresolved = conflict(self.name, data)
        if unresolved is not None:
            raise unresolved
        blocks = _split(data)
        if blocks is not None:
            self.head, places, self.tail = blocks
            return [Entry(self.name, index, data, place) for index, place in enumerate(places)]
        return [
            Entry(self.name, index, value=value)
            for index, value in enumerate(values_of(data, self.name))
        ]

    def _bytes(self) -> bytes:
        try:
            # Unbuffered, or a large file would be in memory twice.
            with open(self.path, "rb", buffering=0) as file:
                head = file.read(4)
                if not head.startswith(_ENCODED):
                    file.seek(0)
                    return file.read()
        except OSError as error:
            raise ReadError(self.name, "", os_reason(error)) from None
        return join(blocks_of_path(os.fspath(self.path), self.name), self.name, str(self.path))


def _split(data: bytes) -> tuple[bytes, list[tuple[int, int]], bytes] | None:
    """What is before the blocks, where each begins and ends, and what is after them.

    ``None`` where there are no blocks. They are not copied: a cassette may have many megabytes.
    """
    start = data.find(b"\n" + _START) + 1
    if not start or not data[:start].endswith(b"interactions:\n") or _has_aliases(data):
        return None
    starts = [start]
    while at := data.find(b"\n" + _START, starts[-1]) + 1:
        starts.append(at)
    after = _MARGIN.search(data, starts[-1])
    end = after.end() if after else len(data)
    return data[:start], list(zip(starts, [*starts[1:], end], strict=True)), data[end:]


def _has_aliases(data: bytes) -> bool:
    # Blocks that refer to one another cannot be read alone. In a large file, looking for aliases
    # costs as much as all the rest, so there they are found when a block is parsed.
    return len(data) < 1 << 20 and _ALIAS.search(data) is not None


# -- writing -----------------------------------------------------------------------------------


@dataclass
class Prepared:
    """Recordings as they go into a file.

    Attributes:
        interactions: those that may be written, redacted; `forms` and `blocks` are theirs.
        refusal: what is left out and why; ``None`` where that is nothing.
        refused: how many are left out.
    """

    interactions: list[Interaction] = field(default_factory=list)
    forms: list[JSONObject] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    refusal: WriteError | None = None
    refused: int = 0


def prepared(path: Path, name: str, new: Sequence[Interaction], redactor: Redactor) -> Prepared:
    """Redact recordings and serialize them, each on its own: one that must not or cannot be
    written is left out, and the others are not lost for it.

    Raises:
        SecretError: the name of the cassette contains what looks like a secret.
        WriteError: cassettes cannot be written in this format.
    """
    if path.suffix not in _WRITTEN:
        formats = ", ".join(_WRITTEN)
        raise WriteError(name, f"cannot be written in this format: use one of {formats}")
    is_json = path.suffix == ".json"
    ready = Prepared()
    reasons: list[str] = []
    for interaction in new:
        try:
            clean = redacted(interaction, redactor)
            form = plain_form(clean)
            block = _block(form, is_json=is_json)
        except Exception as error:  # whatever a body or a pattern of the user's can raise
            reasons.append(f"{_shown(interaction, redactor)}: {_why(error)}")
            continue
        ready.interactions.append(clean)
        ready.forms.append(form)
        ready.blocks.append(block)
    secrets = redactor.find_secrets(f"{name}\n" + "".join(ready.blocks))
    with_secret = _drop_secrets(ready, redactor) if secrets else []
    if secrets and not with_secret:
        raise SecretError(
            name, f"not written: the name of the cassette contains {', '.join(secrets)}; {_REMEDY}"
        )
    ready.refused = len(reasons) + len(with_secret)
    if ready.refused:
        kind = SecretError if with_secret else WriteError
        ready.refusal = kind(name, _refusal(with_secret, reasons, len(ready.blocks)))
    return ready


_REMEDY = (
    "add a pattern for it to redact=[...] in the chatapi_config fixture, or keep it out of the test"
)
_REFUSALS = 3


def _block(form: JSONObject, *, is_json: bool) -> str:
    """
    Raises:
        ValueError: it cannot be written; in one line, why not.
    """
    if is_json:
        for body in (form["request"]["body"], form["response"]["body"]["string"]):
            if isinstance(body, bytes):
                raise ValueError("a body is not text: use a YAML cassette instead")
    block = _json_block(form) if is_json else _yaml_block(form)
    block.encode()  # which a lone surrogate does not allow
    return block


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "contains characters that are not valid Unicode"
    if type(error) is ValueError:
        return str(error)
    return mask(f"cannot be written: {type(error).__name__}: {error}"[:200])


def _shown(interaction: Interaction, redactor: Redactor) -> str:
    request = interaction.request
    return mask(f"{request.method} {redactor.url(request.url)}")


def _drop_secrets(ready: Prepared, redactor: Redactor) -> list[str]:
    """Leave out what still contains a secret; return where it is, in words."""
    places, clean = [], Prepared()
    for interaction, form, block in zip(ready.interactions, ready.forms, ready.blocks, strict=True):
        secrets = redactor.find_secrets(block)
        if not secrets:
            clean.interactions.append(interaction)
            clean.forms.append(form)
            clean.blocks.append(block)
            continue
        sides = [s for s in form if redactor.find_secrets(json.dumps(form[s], default=repr))]
        place = " and ".join(sides) or "interaction"
        places.append(
            f"the {place} of {_shown(interaction, redactor)} still contains {', '.join(secrets)}"
        )
    ready.interactions, ready.forms, ready.blocks = clean.interactions, clean.forms, clean.blocks
    return places


def _refusal(with_secret: list[str], reasons: list[str], written: int) -> str:
    """What was not written and why, and that the rest was."""
    refused = with_secret + reasons
    text = f"not written: {'; '.join(refused[:_REFUSALS])}"
    if len(refused) > _REFUSALS:
        text += f"; and {len(refused) - _REFUSALS} more"
    if with_secret:
        text += f"; {_REMEDY}"
    if written:
        text += f" ({plural(written, 'other exchange')} recorded)"
    return text


def write(
    path: Path,
    name: str,
    ready: Prepared,
    keep: Callable[[Entry], bool] = lambda entry: True,
    appender: Appender | None = None,
) -> None:
    """Add recordings to a cassette file, under a lock, all of them or none.

    Args:
        ready: from `prepared`. A file in which nothing is left is deleted.
        keep: which of the interactions that are in the file by then stay.
        appender: appends, where it can, instead of writing all of the file; `keep` is then not
            asked.

    Raises:
        WriteError: the file cannot be written.
        ReadError: the file is damaged, so nothing can be added to it.
    """
    target = Path(os.path.realpath(path))
    is_json = path.suffix == ".json"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            if appender is not None and ready.blocks:
                added = _added_json(ready.blocks) if is_json else "".join(ready.blocks).encode()
                if appender.append(target, added, _temporary(target)):
                    return
            old = Cassette(target, name)
            kept = [entry for entry in old.entries if keep(entry)]
            if kept or ready.blocks:
                if is_json:
                    _replace(target, _json_text(kept, ready.forms))
                else:
                    _replace(target, _yaml_text(old, kept, ready.blocks))
                if appender is not None:
                    end = _JSON_END if is_json else old.tail if kept and old.head else b""
                    appender.wrote(target, end)
            else:
                target.unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(name, f"cannot be written: {error.strerror or error}") from None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time into the block. The lock file is outside of the project."""
    import filelock

    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir(), f"pytest-chatapi-{user}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != user:
        # Its owner could let a lock file stand for a file of ours, which locking empties.
        raise OSError(0, f"{folder} belongs to another user: remove it, or set TMPDIR")
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
    try:
        with filelock.FileLock(folder / f"{name}.lock", timeout=_LOCK_SECONDS):
            yield
    except filelock.Timeout:
        raise OSError(
            0,
            f"another process has locked it for {_LOCK_SECONDS} s; is a test run still alive?",
        ) from None


def _replace(path: Path, content: bytes) -> None:
    # Left by a writer that was killed; safe to delete under the lock.
    prefix = _temporary(path)
    for stale in path.parent.glob(f"{prefix}*.tmp"):
        stale.unlink(missing_ok=True)
    descriptor, partial = tempfile.mkstemp(".tmp", prefix, path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


def _temporary(path: Path) -> str:
    """The beginning of the names of a cassette's temporary files.

    It is short, because the cassette's own name may be as long as the file system allows.
    """
    return f".chatapi-{hashlib.sha256(path.name.encode()).hexdigest()[:16]}-"


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _yaml_text(old: Cassette, kept: list[Entry], blocks: list[str]) -> bytes:
    if not kept:
        return b"version: 1\ninteractions:\n" + "".join(blocks).encode()
    if not old.head:  # a YAML file without blocks: another layout, aliases, CRLF
        blocks = [_yaml_block(entry.value) for entry in kept] + blocks
        return b"version: 1\ninteractions:\n" + "".join(blocks).encode()
    raws = [entry.raw for entry in kept]
    return old.head + b"".join(raws) + "".join(blocks).encode() + old.tail


def _yaml_block(form: JSON) -> str:
    import yaml

    dumper = _dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper))
    text: str = yaml.dump([form], Dumper=dumper, sort_keys=False, allow_unicode=True, width=1 << 30)
    return text.removesuffix("...\n")  # marks the end, after a text that ends in empty lines


@functools.cache
def _dumper(base: type[yaml.SafeDumper]) -> type[yaml.SafeDumper]:
    """Writes text of several lines as a literal block wherever that keeps every character."""
    dumper: type[yaml.SafeDumper] = type(
        "CassetteDumper", (base,), {"ignore_aliases": lambda self, data: True}
    )
    dumper.add_representer(str, _text_node)
    return dumper


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if _BREAKS.search(text):
        style = '"'  # in any other style they are read as line breaks, or not at all
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _json_block(form: JSON) -> str:
    return json.dumps(form, indent=2, ensure_ascii=False)


def _json_text(kept: list[Entry], forms: list[JSONObject]) -> bytes:
    values = [entry.value for entry in kept] + forms
    return _json_block({"version": 1, "interactions": values}).encode() + b"\n"


def _added_json(blocks: Sequence[str]) -> bytes:
    """What comes after the last interaction of `_json_text`, before `_JSON_END`."""
    return "".join(",\n    " + block.replace("\n", "\n    ") for block in blocks).encode()
