"""Server-sent events from bytes, in any chunking and any legal framing.

Source: HTML standard, section 9.2.6 "Interpreting an event stream". The cost is linear in the
length of the stream, however small the pieces are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["BARE", "Event", "decode_sse", "looks_like_sse"]

_BOM = b"\xef\xbb\xbf"
_FIELDS = {b"data", b"event", b"id", b"retry"}

Event = tuple[bytes, bytes, str]
"""``(data, event type, oddity)``; `oddity` is a field name whose data clients drop, `BARE` where
`data` is text outside of any field, which they drop too, or empty."""

BARE = "text without a field name"

# Ends of a line of JSON that goes on: lines without a field name after it belong to its data.
_OPEN = {b"{", b"[", b","}


def decode_sse(pieces: Iterable[bytes]) -> Iterator[Event]:
    """The events of a stream, including a last one without its blank line.

    By the standard, a block without a ``data`` line is not an event. It is yielded only if it has
    an oddity, with empty data. Text that some servers send without ``data:`` (JSON on any line, or
    prose where an event should be) is an event of its own, before that of its block.
    """
    pending: list[bytes] = []
    first, line_ended, skip_lf = True, False, False
    for piece in pieces:
        if skip_lf or b"\r" in piece:
            if skip_lf:  # the second half of a CRLF that was split between two pieces
                skip_lf = not piece
                piece = piece.removeprefix(b"\n")
            if piece:
                skip_lf = piece[-1] == 13
                piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not piece:
            continue
        pending.append(piece)
        # Joining at every piece would be quadratic: join where an event ends.
        if b"\n\n" not in piece and not (line_ended and piece[0] == 10):
            line_ended = piece[-1] == 10
            continue
        text = b"".join(pending) if len(pending) > 1 else piece
        if first:
            text, first = text.removeprefix(_BOM), False
        end = text.rfind(b"\n\n")
        if end < 0:  # behind the byte-order mark there is only a line end so far
            pending, line_ended = [text], text[-1:] == b"\n"
            continue
        rest = text[end + 2 :]
        pending, line_ended = ([rest] if rest else []), rest[-1:] == b"\n" or not rest
        yield from _blocks(text[:end])
    text = b"".join(pending)
    if first:
        text = text.removeprefix(_BOM)
    if text:
        yield from _blocks(text)


def _blocks(text: bytes) -> Iterator[Event]:
    for block in text.split(b"\n\n"):
        if block[:6] == b"data: " and b"\n" not in block:
            yield block[6:], b"", ""
        elif block and block != b"\n":
            yield from _block(block)


def _block(block: bytes) -> Iterator[Event]:
    data: list[bytes] = []
    unknown: list[bytes] = []
    kind, oddity, has_field = b"", "", False
    for line in block.split(b"\n"):
        name, colon, value = line.partition(b":")
        if not name:
            continue
        if name in _FIELDS:
            has_field = True
            if name == b"data":
                data.append(value[1:] if value[:1] == b" " else value)
            elif name == b"event":
                kind = value[1:] if value[:1] == b" " else value
        elif name == b"error" and colon:
            # Not a field of the standard, but some servers report their errors in it.
            data.append(value[1:] if value[:1] == b" " else value)
            kind = b"error"
        elif colon and _bare_name(name) in _FIELDS:
            oddity = oddity or (name + colon).decode("utf-8", "replace")
        else:
            unknown.append(line)
    if unknown and not (data and data[-1].rstrip()[-1:] in _OPEN):
        text = _bare_text(unknown, alone=not (has_field or data or oddity))
        if text:
            yield text, b"", BARE
    if data or oddity:
        yield b"\n".join(data), kind, oddity


def _bare_name(name: bytes) -> bytes:
    """A field name as it was meant: a byte-order mark is legal before the first line only."""
    text = name.decode("utf-8", "replace").strip().strip("\ufeff\u200b").strip()
    return text.lower().encode()


def _bare_text(lines: list[bytes], *, alone: bool) -> bytes:
    """What these lines without a known field name say; empty where nothing is lost with them.

    The standard ignores them. JSON was meant to be read, as was a chunk or an error in an unknown
    field, and prose that is `alone`, in the place of an event. A single word is a field's name.
    """
    for number, line in enumerate(lines):
        text = line.strip().removeprefix(_BOM).lstrip()
        if text[:1] == b"{" or text[:2] == b"[{":
            return b"\n".join([text, *lines[number + 1 :]])
        value = line.partition(b":")[2].lstrip()
        if value[:1] == b"{" and (b'"choices"' in value or b'"error"' in value):
            return value
    first = lines[0].partition(b":")[0].strip()
    is_prose = first[:1] == b"<" or len(first.split()) > 1
    return b"\n".join(lines) if alone and is_prose else b""


def looks_like_sse(head: bytes) -> bool:
    """Whether a body begins like an event stream (JSON never does)."""
    text = head.removeprefix(_BOM).lstrip(b"\r\n")
    name, colon, _ = text[:64].partition(b":")
    return bool(colon) and (not name or name.strip().lower() in _FIELDS)
