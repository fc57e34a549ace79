"""The catalogue of deliveries: named ways in which one response can come over the wire.

A delivery is a function that changes a `Draft`, and returns ``False`` where there is nothing to
change. Its docstring says what is on the wire. Each belongs to a stage, so that any set of
deliveries can be applied to one response; its parameters are numbers and texts, which the fixed
list of `cases` sets and Hypothesis draws.

Sources: HTML standard, section 9.2.6; the reference of Chat Completions. What is `tolerated` was
seen at many servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import did_you_mean
from pytest_chatapi.errors import SettingError
from pytest_chatapi.faults import deviations
from pytest_chatapi.faults.body import Body
from pytest_chatapi.faults.fault import CATALOGUE as FAULTS
from pytest_chatapi.faults.fault import Fault
from pytest_chatapi.fuzz.draft import STAGES, Draft, Event, Layout, Stage
from pytest_chatapi.fuzz.loops import calls_of
from pytest_chatapi.mock.wire_form import events
from pytest_chatapi.recording.interaction import Interaction

__all__ = ["CATALOGUE", "Delivery", "Kind", "Places", "Step", "apply", "delivered", "table"]

Kind = Literal["legal", "tolerated", "debatable", "illegal"]


class Places(NamedTuple):
    """Values of a parameter: positions in a draft.

    Attributes:
        of: what they count, as for `Draft.size`.
        several: a list of positions; otherwise one.
        first: the lowest position.
    """

    of: str
    several: bool = False
    first: int = 0


class Step(NamedTuple):
    """A delivery by its name, with its parameters."""

    name: str
    parameters: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        values = ", ".join(f"{key}={value!r}" for key, value in self.parameters)
        return f"{self.name}({values})" if values else self.name


@dataclass(frozen=True)
class Delivery:
    """A row of the catalogue.

    Attributes:
        kind: ``legal``, ``tolerated`` (not as documented, and common), ``debatable`` (the reference
            does not say), or ``illegal``: the consumer must not take it for a success.
        title: what is on the wire, in one line.
        form: of the responses that it applies to: ``stream``, ``whole`` or ``both``.
        domains: the values of each parameter: `Places`, or a tuple of all values.
        fixed: the parameters with which the fixed list has it.
        after: deliveries that the fixed list applies before this one.
        may_recover: the consumer may get the legal result nevertheless.
        unless: not illegal for a consumer that accepts this other delivery.
    """

    name: str
    kind: Kind
    stage: Stage
    title: str
    form: Literal["stream", "whole", "both"]
    domains: Mapping[str, Places | tuple[Any, ...]]
    fixed: tuple[Mapping[str, Any], ...]
    after: tuple[Step, ...]
    may_recover: bool
    unless: str
    change: Callable[..., object]

    def fits(self, streamed: bool) -> bool:
        """Whether it applies to responses of this form."""
        return self.form == "both" or (self.form == "stream") is streamed


CATALOGUE: dict[str, Delivery] = {}
"""All deliveries by name, in the order in which they are tried."""


def _delivery(
    kind: Kind,
    stage: Stage,
    *,
    form: Literal["stream", "whole", "both"] = "stream",
    fixed: Sequence[Mapping[str, Any]] = ({},),
    after: Sequence[str | Step] = (),
    may_recover: bool = False,
    unless: str = "",
    **domains: Places | tuple[Any, ...],
) -> Callable[[Callable[..., object]], Callable[..., object]]:
    def register(change: Callable[..., object]) -> Callable[..., object]:
        name = change.__name__
        title = (change.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        steps = tuple(Step(step) if isinstance(step, str) else step for step in after)
        CATALOGUE[name] = Delivery(
            *(name, kind, stage, title, form, domains, tuple(fixed), steps, may_recover, unless),
            change,
        )
        return change

    return register


def apply(draft: Draft, steps: Sequence[Step]) -> bool:
    """Apply deliveries in the order of their stages; return whether each changed something.

    Raises:
        SettingError: there is no such delivery.
    """
    for step in steps:
        if step.name not in CATALOGUE:
            raise SettingError(f"no delivery {step.name!r}{did_you_mean(step.name, CATALOGUE)}")
    changed = True
    for stage in STAGES:
        draft.reach(stage)
        for step in steps:
            row = CATALOGUE[step.name]
            if row.stage == stage:
                fits = row.fits(draft.streamed)
                changed &= fits and row.change(draft, **dict(step.parameters)) is not False
    draft.reach("bytes")
    return changed


def delivered(request: Request, draft: Draft) -> Interaction:
    """A draft as a response to a request."""
    return Interaction(
        request,
        draft.status,
        "OK" if draft.status == 200 else "",
        list(draft.headers),
        draft.pieces,
        cut="server" if draft.reset else None,
        error="RemoteProtocolError" if draft.reset else "",
    )


def table() -> str:
    """All deliveries as Markdown, for the documentation."""
    lines = ["| delivery | kind | of | what is on the wire |", "|---|---|---|---|"]
    forms = {"stream": "streams", "whole": "whole responses", "both": "both"}
    for row in CATALOGUE.values():
        lines.append(f"| `{row.name}` | {row.kind} | {forms[row.form]} | {row.title} |")
    return "\n".join(lines) + "\n"


# -- legal: how the completion is divided into chunks -------------------------------------------


@_delivery("legal", "layout")
def compact(draft: Draft) -> None:
    """One chunk has the role, everything said and `finish_reason`."""
    draft.layout = replace(Layout.compact(), usage_null=draft.layout.usage_null)


@_delivery("legal", "layout")
def whole_texts(draft: Draft) -> None:
    """Each text comes in one delta."""
    draft.layout.pieces = "whole"


@_delivery("legal", "layout")
def single_characters(draft: Draft) -> None:
    """Each delta has one character."""
    draft.layout.pieces = "characters"


@_delivery(
    "legal", "layout", at=Places("characters", several=True, first=1), fixed=[{"at": (1, 2, 5)}]
)
def fragments(draft: Draft, at: Sequence[int]) -> object:
    """Texts and arguments are cut at these characters."""
    draft.layout.pieces = tuple(at)
    return bool(at)


@_delivery("legal", "layout")
def role_with_content(draft: Draft) -> None:
    """The role comes together with the first text."""
    draft.layout.opening = "joined"


@_delivery("legal", "layout")
def role_in_each(draft: Draft) -> None:
    """Each delta has the role."""
    draft.layout.opening = "each"


@_delivery("legal", "layout")
def finish_with_content(draft: Draft) -> None:
    """`finish_reason` comes together with the last text."""
    draft.layout.closing = "joined"


@_delivery("legal", "layout")
def arguments_at_once(draft: Draft) -> object:
    """A call opens with the first piece of its arguments, not an empty one."""
    draft.layout.arguments = "first"
    return _has_calls(draft, 1)


@_delivery("legal", "layout")
def calls_interleaved(draft: Draft) -> object:
    """Fragments of several calls take turns."""
    draft.layout.calls = "interleaved"
    return _has_calls(draft, 2)


@_delivery("legal", "layout")
def calls_together(draft: Draft) -> object:
    """A delta has a fragment of each call."""
    draft.layout.calls = "together"
    return _has_calls(draft, 2)


@_delivery("legal", "layout")
def choices_in_turn(draft: Draft) -> object:
    """A choice begins where the one before it ends."""
    draft.layout.choices = "in turn"
    return len(draft.completion["choices"]) > 1


@_delivery("legal", "layout")
def usage_only_last(draft: Draft) -> object:
    """Only the last chunk has the key `usage`."""
    draft.layout.usage_null = False
    return draft.ask.include_usage


@_delivery("legal", "layout")
def obfuscation(draft: Draft) -> None:
    """Each chunk has `obfuscation`."""
    draft.layout.padded = True


def _has_calls(draft: Draft, least: int) -> bool:
    return any(len(calls) >= least for calls in calls_of(draft.completion))


# -- legal: chunks ------------------------------------------------------------------------------


def _insert(draft: Draft, at: int, delta: JSONObject) -> object:
    """Insert a delta of the choice of the chunk before; not before the role nor after the end."""
    if not 0 < at <= draft.finishing or at > len(draft.chunks):
        return False
    before = draft.chunks[at - 1]
    if not before["choices"] or before["choices"][0]["finish_reason"]:
        return False
    choice = {**before["choices"][0], "delta": delta}
    if "logprobs" in choice:
        choice["logprobs"] = None
    draft.chunks.insert(at, {**before, "choices": [choice]})
    return True


@_delivery("legal", "chunks", at=Places("unfinished", first=1), fixed=[{"at": 1}, {"at": 2}])
def delta_empty(draft: Draft, at: int) -> object:
    """A delta is `{}`."""
    return _insert(draft, at, {})


@_delivery("legal", "chunks", at=Places("unfinished", first=1), fixed=[{"at": 2}])
def content_empty(draft: Draft, at: int) -> object:
    """A delta has empty `content`, in a response that has some."""
    has_content = all(choice["message"].get("content") for choice in draft.completion["choices"])
    return has_content and _insert(draft, at, {"content": ""})


@_delivery("legal", "chunks", at=Places("unfinished", first=1), fixed=[{"at": 2}])
def content_null(draft: Draft, at: int) -> object:
    """A delta has null as `content`."""
    return _insert(draft, at, {"content": None})


UNKNOWN = frozenset({"x_server", "x_note", "x_extra"})
"""The members of `unknown_members`: SDKs keep them, which is not wrong."""


@_delivery("legal", "chunks", form="both")
def unknown_members(draft: Draft) -> None:
    """Members come that no client knows."""
    for chunk in draft.chunks:
        chunk["x_server"] = {"trace": "1f", "choices": None}
        for choice in chunk["choices"]:
            choice["x_note"] = None
            choice.get("delta", choice.get("message"))["x_extra"] = {"content": "extra"}


# -- legal: framing -----------------------------------------------------------------------------


@_delivery("legal", "events", style=("\r\n", "\r"), fixed=[{"style": "\r\n"}, {"style": "\r"}])
def newlines(draft: Draft, style: str) -> None:
    """Lines end with CR LF, or with CR."""
    draft.newline = style.encode()


@_delivery("legal", "events")
def no_space(draft: Draft) -> None:
    """No space follows `data:`."""
    draft.space = b""


@_delivery("legal", "events", at=Places("events"), fixed=[{"at": 0}, {"at": 1}])
def comment(draft: Draft, at: int) -> None:
    """A comment comes as a block of its own."""
    draft.events.insert(at, Event(before=[b": keep-alive"]))


@_delivery("legal", "events", at=Places("events"), fixed=[{"at": 1}])
def comment_in_event(draft: Draft, at: int) -> None:
    """A comment comes between the lines of an event."""
    event = draft.events[at % len(draft.events)]
    event.before.append(b":")
    event.after.append(b": data: {}")


@_delivery("legal", "events")
def data_lines(draft: Draft) -> None:
    """The JSON of an event is spread over several `data:` lines."""
    for event in draft.events:
        event.spread = event.is_chunk


@_delivery(
    "legal", "events", style=("after", "before"), fixed=[{"style": "before"}, {"style": "after"}]
)
def other_fields(draft: Draft, style: str) -> None:
    """Events have `event: message` and `retry:`."""
    for event in draft.events:
        if event.data is None:
            continue  # that is `event_without_data`
        lines = event.before if style == "before" else event.after
        lines += [b"event: message", b"retry: 1000"]


@_delivery("legal", "events")
def event_ids(draft: Draft) -> None:
    """Events have `id:`."""
    for number, event in enumerate(draft.events):
        if event.data is not None:
            event.before.append(b"id: %d" % number)


@_delivery("legal", "events", at=Places("events"), fixed=[{"at": 0}, {"at": 1}])
def event_without_data(draft: Draft, at: int) -> None:
    """A block has `id:` and `retry:` and no data, which the standard drops."""
    draft.events.insert(at, Event(before=[b"id: 7", b"retry: 1000"]))


@_delivery("legal", "events", at=Places("events"), fixed=[{"at": 1}])
def blank_lines(draft: Draft, at: int) -> None:
    """More blank lines come between events."""
    draft.events.insert(at, Event())


@_delivery("legal", "events", after=["compact"])
def byte_order_mark(draft: Draft) -> None:
    """The stream begins with a byte order mark."""
    draft.head = b"\xef\xbb\xbf"


@_delivery("legal", "events", form="both")
def raw_unicode(draft: Draft) -> object:
    """JSON has the characters themselves, without escapes."""
    draft.escaped = False
    return any(ord(letter) > 127 for text in draft.texts for letter in text)


@_delivery("legal", "events", form="both")
def json_spaced(draft: Draft) -> None:
    """JSON has spaces around its commas and colons."""
    draft.is_spaced = True


@_delivery("legal", "events")
def json_reversed(draft: Draft) -> None:
    """The members of chunks and deltas come in another order."""
    draft.is_reversed = True


@_delivery("legal", "events", after=["raw_unicode"])
def charset_missing(draft: Draft) -> None:
    """The content type has no charset: a stream of events is always UTF-8."""
    draft.headers = [("content-type", "text/event-stream"), *draft.headers[1:]]


@_delivery("legal", "chunks")
def long_event(draft: Draft) -> None:
    """An event has 100,000 bytes, more than one read of most clients."""
    draft.chunks[0]["obfuscation"] = "a" * 100_000


@_delivery("legal", "events", form="whole")
def indented(draft: Draft) -> None:
    """The JSON is indented, with white space around it."""
    draft.indent, draft.head, draft.tail = 2, b"\r\n ", b"\n\n"


_MOST_PIECES = 2_000  # many readers take a time that grows with the square of their number


# -- legal: pieces ------------------------------------------------------------------------------


@_delivery("legal", "bytes", form="both")
def one_piece(draft: Draft) -> None:
    """All bytes arrive at once."""
    draft.cuts = ()


@_delivery("legal", "bytes", form="both")
def single_bytes(draft: Draft) -> None:
    """Each byte arrives alone."""
    draft.cuts = tuple(range(min(len(draft.body), _MOST_PIECES)))


@_delivery(
    "legal",
    "bytes",
    form="both",
    at=Places("bytes", several=True, first=1),
    fixed=[{"at": (3, 40)}],
)
def pieces(draft: Draft, at: Sequence[int]) -> object:
    """The bytes arrive in pieces that end at these positions."""
    draft.cuts = tuple(at)
    return bool(at)


@_delivery("legal", "bytes", form="both", after=["raw_unicode"])
def split_characters(draft: Draft) -> object:
    """Pieces end inside of multi-byte characters."""
    draft.cuts = tuple(at for at, byte in enumerate(draft.body) if byte & 0xC0 == 0x80)
    return bool(draft.cuts)


@_delivery("legal", "bytes", after=[Step("newlines", (("style", "\r\n"),)), "data_lines"])
def split_newlines(draft: Draft) -> None:
    """Pieces end before and inside of line ends."""
    draft.cuts = tuple(at for at, byte in enumerate(draft.body) if byte in b"\r\n")


# -- tolerated and debatable --------------------------------------------------------------------


def _as_fault(fault: Callable[[], Fault]) -> None:
    """Take a deviation from the catalogue of faults over, by its name and title."""
    name = fault.__name__

    def change(draft: Draft) -> bool:
        request = Request("POST", "", {}, draft.ask.body)
        response = Interaction(request, 200, "", draft.headers, events(draft.chunks))
        changed = Body.of(fault().apply(response, request), request)
        if changed is None:
            return False
        draft.chunks = changed.chunks
        return True

    change.__name__, change.__doc__ = name, FAULTS[name].summary
    _delivery("tolerated", "chunks")(change)


for _fault in (
    deviations.azure_head_chunk,
    deviations.azure_filter_chunk,
    deviations.finish_reason_key_missing,
    deviations.role_missing,
    deviations.tool_calls_null,
    deviations.tool_calls_empty,
    deviations.tool_type_missing,
    deviations.usage_on_choice,
    deviations.usage_cumulative,
    deviations.usage_zeros,
):
    _as_fault(_fault)


@_delivery("tolerated", "chunks", value=(None, ""), fixed=[{"value": None}, {"value": ""}])
def call_head_repeated(draft: Draft, value: str | None) -> bool:
    """Later fragments of a call have an empty `id` and `name`."""
    later = [call for call in _fragments_of_calls(draft.chunks) if "id" not in call]
    for call in later:
        kind = "function" if "function" in call else "custom"
        call["id"] = value
        call[kind]["name"] = value
    return bool(later)


@_delivery("tolerated", "chunks")
def call_id_in_each(draft: Draft) -> bool:
    """Each fragment of a call has its `id` and `type`."""
    heads: dict[object, JSONObject] = {}
    for call in _fragments_of_calls(draft.chunks):
        head = heads.setdefault(call["index"], call)
        call.update(id=head["id"], type=head["type"])
    return bool(heads)


@_delivery("tolerated", "events", at=Places("events"), fixed=[{"at": 1}])
def data_empty(draft: Draft, at: int) -> None:
    """An event has empty data."""
    draft.events.insert(at, Event(b""))


@_delivery("tolerated", "events", at=Places("events"), fixed=[{"at": 1}])
def ping(draft: Draft, at: int) -> None:
    """An event `ping` has data that is not a chunk."""
    draft.events.insert(at, Event({"type": "ping"}, before=[b"event: ping"]))


@_delivery("debatable", "chunks")
def choices_reversed(draft: Draft) -> bool:
    """The choice with index 1 begins before the one with index 0."""
    end = next((at for at, chunk in enumerate(draft.chunks) if not chunk["choices"]), None)
    first = draft.chunks[:end]
    first.sort(key=lambda chunk: -int(chunk["choices"][0]["index"]))
    draft.chunks[:end] = first
    return len(draft.completion["choices"]) > 1


@_delivery("debatable", "layout")
def calls_reversed(draft: Draft) -> object:
    """The call with index 1 opens before the one with index 0."""
    draft.layout.reverse_calls = True
    return _has_calls(draft, 2)


@_delivery("debatable", "chunks")
def call_twice_in_delta(draft: Draft) -> bool:
    """A delta has two fragments of one call."""
    changed = False
    for chunk in draft.chunks:
        for choice in chunk["choices"]:
            calls = choice["delta"].get("tool_calls")
            if calls:
                choice["delta"]["tool_calls"] = [half for call in calls for half in _halves(call)]
                changed = changed or len(choice["delta"]["tool_calls"]) > len(calls)
    return changed


def _halves(call: JSONObject) -> list[JSONObject]:
    kind = "function" if "function" in call else "custom"
    key = "arguments" if kind == "function" else "input"
    text = call[kind].get(key) or ""
    if len(text) < 2:
        return [call]
    middle = len(text) // 2
    first = {**call, kind: {**call[kind], key: text[:middle]}}
    return [first, {"index": call["index"], kind: {key: text[middle:]}}]


def _fragments_of_calls(chunks: Iterable[JSONObject]) -> list[JSONObject]:
    return [
        call
        for chunk in chunks
        for choice in chunk["choices"]
        for call in choice["delta"].get("tool_calls") or ()
    ]


@_delivery("tolerated", "events")
def done_missing(draft: Draft) -> None:
    """The stream ends without `[DONE]`, after all else."""
    draft.events = [event for event in draft.events if event.data != b"[DONE]"]


# -- illegal ------------------------------------------------------------------------------------

_ERROR: JSONObject = {
    "error": {
        "message": "The server had an error while processing your request.",
        "type": "server_error",
        "param": None,
        "code": None,
    }
}


@_delivery(
    "illegal",
    "bytes",
    at=Places("unfinished bytes"),
    fixed=[{"at": 10**9}, {"at": 1}],
)
def ends_early(draft: Draft, at: int) -> None:
    """The stream ends in order before any `finish_reason`."""
    at = min(at, draft.size("unfinished bytes"))
    draft.body = draft.body[:at]
    draft.ends = [end for end in draft.ends if end < at] + [at]


@_delivery("illegal", "bytes", form="both", at=Places("unfinished bytes"), fixed=[{"at": 10**9}])
def connection_lost(draft: Draft, at: int) -> None:
    """The connection breaks before the response is complete."""
    if draft.streamed:
        ends_early(draft, at)
    else:
        draft.body = draft.body[: len(draft.body) // 2]
    draft.reset = True


@_delivery(
    "illegal",
    "events",
    at=Places("unfinished"),
    named=(False, True),
    done=(True, False),
    fixed=[
        {"at": 0, "named": False, "done": True},
        {"at": 10**9, "named": False, "done": True},
        {"at": 10**9, "named": False, "done": False},
        {"at": 10**9, "named": True, "done": True},
        {"at": 10**9, "named": True, "done": False},
    ],
)
def error_event(draft: Draft, at: int, named: bool, done: bool) -> None:
    """An event has an error instead of a chunk, and nothing follows but `[DONE]`."""
    at = min(at, draft.finishing)
    failed = Event(dict(_ERROR), before=[b"event: error"] if named else [])
    draft.events[at:] = [failed, *([Event(b"[DONE]")] if done else [])]


@_delivery(
    "illegal",
    "events",
    at=Places("unfinished", first=1),
    how=("cut", "text"),
    may_recover=True,  # an event without text is not missed
    fixed=[{"at": 1, "how": "cut"}, {"at": 2, "how": "cut"}, {"at": 2, "how": "text"}],
)
def event_broken(draft: Draft, at: int, how: str) -> None:
    """The JSON of one event is cut, or is not JSON, and the stream goes on."""
    chunks = [event for event in draft.events if event.is_chunk]
    event = chunks[min(at, len(chunks) - 1)]
    assert isinstance(event.data, dict)
    written = draft.dump(event.data)
    event.data = written[: len(written) // 2] if how == "cut" else b"Internal Server Error"


@_delivery("illegal", "events", form="both")
def error_document(draft: Draft) -> None:
    """The body is an error as JSON, under 200."""
    _replace_body(draft, "application/json", draft.dump(_ERROR))


WEB_PAGE = "<html><body><h1>Bad Gateway</h1></body></html>"


@_delivery("illegal", "events", form="both")
def html(draft: Draft) -> None:
    """The body is a web page, under 200."""
    _replace_body(draft, "text/html", WEB_PAGE.encode() + b"\n")


@_delivery(
    "illegal",
    "events",
    form="both",
    status=(400, 401, 404, 429, 500, 503),
    fixed=[{"status": 401}, {"status": 429}, {"status": 500}],
)
def error_status(draft: Draft, status: int) -> None:
    """The response has an error status, with an error as its body."""
    draft.status = status
    _replace_body(draft, "application/json", draft.dump(_ERROR))


def _replace_body(draft: Draft, content_type: str, body: bytes) -> None:
    draft.headers = [("content-type", content_type), *draft.headers[1:]]
    draft.replaced = body


@_delivery("illegal", "chunks", fixed=[{"kept": 1}, {"kept": 2}], kept=(1, 2, 3))
def arguments_cut(draft: Draft, kept: int) -> bool:
    """The stream ends in order in the arguments of a call."""
    seen = 0
    for at, chunk in enumerate(draft.chunks):
        seen += bool(_fragments_of_calls([chunk]))
        if seen > kept and at <= draft.finishing:
            del draft.chunks[at:]
            draft.has_done = False
            return True
    return False


@_delivery("illegal", "chunks", may_recover=True, after=["compact"])
def calls_share_index(draft: Draft) -> bool:
    """Two calls have the same `index`."""
    for call in _fragments_of_calls(draft.chunks):
        call["index"] = 0
    return _has_calls(draft, 2)


@_delivery("illegal", "events")
def only_done(draft: Draft) -> None:
    """Only `[DONE]` comes."""
    draft.events = [Event(b"[DONE]")]


def _unterminated(draft: Draft, end: int) -> bool:
    """End the body at a block's last line, without the blank line that makes it an event."""
    block_end = 2 * len(draft.newline)
    draft.body = draft.body[: end - block_end]
    draft.ends = [at for at in draft.ends if at < len(draft.body)] + [len(draft.body)]
    return True


@_delivery("illegal", "bytes", unless="ends_early")
def finish_unterminated(draft: Draft) -> object:
    """The stream ends without a blank line after `finish_reason`: the standard drops that event."""
    at = draft.finishing
    return at < len(draft.events) and _unterminated(draft, draft.ends[at])


@_delivery("illegal", "bytes", unless="done_missing")
def done_unterminated(draft: Draft) -> object:
    """The stream ends without a blank line after `[DONE]` (if the consumer requires `[DONE]`)."""
    at = next((at for at, event in enumerate(draft.events) if event.data == b"[DONE]"), None)
    return at is not None and _unterminated(draft, draft.ends[at])


@_delivery("illegal", "bytes", form="both")
def nothing(draft: Draft) -> None:
    """The body is empty."""
    draft.body, draft.ends = b"", []
