"""What becomes of a request: which recording is played, what is recorded, and what a miss says."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from pytest_chatapi import (
    ReadError,
    Request,
    SecretError,
    SettingError,
    UnrecordedRequest,
    WriteError,
)
from pytest_chatapi.recording import cassette, clock, matching, miss
from pytest_chatapi.recording.cassette import Cassette, prepared
from pytest_chatapi.recording.cassette import write as write_file
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.recording.miss import Miss, describe
from pytest_chatapi.recording.opening import open_recorder
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.recording.transport import RecordReplayTransport
from pytest_chatapi.recording.under_way import Playback, Take
from pytest_chatapi.redaction.redactor import Redactor

REDACTOR = Redactor(environ={})
URL = "https://api.openai.com/v1/chat/completions"
FORM = "multipart/form-data; boundary=abc"
SINCE = "2026-11-25T12:00:00.000Z"
BEFORE, AFTER = "2026-11-25T11:59:59.999Z", "2026-11-25T12:00:00.001Z"


def ask(text: str, **more: Any) -> bytes:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **more}
    return json.dumps(body).encode()


def interaction(text: str, answer: str = "", **more: Any) -> Interaction:
    headers = [("content-type", "application/json")]
    fields = {
        "pieces": [(answer or f"to {text}").encode()],
        "recorded_at": BEFORE,
        "request_headers": headers,
        **more,
    }
    return Interaction(Request("POST", URL, dict(headers), ask(text)), 200, "OK", [], **fields)


def write(path: Path, *recordings: Interaction) -> None:
    write_file(path, path.name, prepared(path, path.name, recordings, REDACTOR))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.yaml"


def opened(path: Path | None, mode: str = "none", **more: Any) -> Recorder:
    return open_recorder(path, record_mode=mode, name="c.yaml", **more)


def begin(recorder: Recorder, text: str, url: str = URL, **more: Any) -> Playback | Take:
    headers = [("Content-Type", "application/json")]
    return recorder.begin("post", url, headers, ask(text, **more))


def play(recorder: Recorder, text: str, **more: Any) -> str:
    playback = begin(recorder, text, **more)
    assert isinstance(playback, Playback)
    return b"".join(playback.interaction.pieces).decode()


def record(recorder: Recorder, text: str, answer: str = "new") -> None:
    take = begin(recorder, text)
    assert isinstance(take, Take)
    take.responded(200, "OK", [])
    take.piece(answer.encode())
    take.ended()


def contents(path: Path) -> list[str]:
    return [b"".join(entry.interaction.pieces).decode() for entry in Cassette(path).entries]


def missed(recorder: Recorder, text: str, **more: Any) -> list[str]:
    with pytest.raises(UnrecordedRequest) as caught:
        begin(recorder, text, **more)
    assert describe(recorder.misses[-1]) == str(caught.value)
    return str(caught.value).splitlines()


# -- which recording -------------------------------------------------------------------------------


def test_equal_requests_get_their_recordings_in_order(path: Path) -> None:
    write(path, *(interaction(t, a) for t, a in ("ax", "by", "az")))
    recorder = opened(path)
    assert [play(recorder, text) for text in "aba"] == ["x", "y", "z"]
    missed(recorder, "a")
    repeating = opened(path, allow_playback_repeats=True)
    assert [play(repeating, text) for text in "aaaba"] == ["x", "z", "z", "y", "z"]
    missed(repeating, "c")


def test_a_test_plays_its_own_recordings_first(path: Path) -> None:
    others = [("x", "t2"), ("y", ""), ("z", "t1"), ("w", "t1")]
    write(path, *(interaction("a", answer, test=test) for answer, test in others))
    recorder = opened(path, test="t1")
    assert [play(recorder, "a") for _ in "abcd"] == ["z", "w", "y", "x"]
    assert [play(opened(path), "a") for _ in "ab"] == ["x", "x"]


def test_a_recording_is_read_when_it_is_needed_first(path: Path) -> None:
    write(path, interaction("a"), interaction("b"))
    damaged = path.read_bytes().replace(b"    method: POST", b"    method: [", 2)
    path.write_bytes(damaged.replace(b"    method: [", b"    method: POST", 1))
    recorder = opened(path)
    assert play(recorder, "a") == "to a"
    missed(recorder, "b")
    (lost,) = recorder.misses
    assert lost.request == "POST chat/completions m"
    assert lost.reason.startswith("c.yaml: interaction 1: not valid YAML")
    assert lost.routes is None


def test_a_request_spelled_as_it_was_recorded_is_not_parsed_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = [interaction(text) for text in "ab"]
    for recording in recordings:
        recording.request.body = b"not JSON " + str(recording.pieces[0]).encode()
    write(path, *recordings)
    keys: list[Request] = []
    real = matching.Matcher.key

    def key(self: matching.Matcher, request: Request) -> bytes:
        keys.append(request)
        return real(self, request)

    monkeypatch.setattr(matching.Matcher, "key", key)
    recorder = opened(path)
    for recording in recordings:
        assert isinstance(
            recorder.begin(
                "POST", URL, [("content-type", "application/json")], recording.request.body
            ),
            Playback,
        )
    assert len(keys) == 2  # one for each request, none for a recording


@pytest.mark.parametrize(
    ("method", "url", "content_type", "body"),
    [
        ("PUT", URL, FORM, b"--abc"),
        ("POST", URL + "?a=1", FORM, b"--abc"),
        ("POST", URL, "text/plain", b"--abc"),  # no form, so its text counts as it is
        ("POST", URL, FORM, b"--abcd"),
        ("POST", URL, FORM, b""),
    ],
)
def test_the_same_spelling_alone_is_not_the_same_request(
    path: Path, method: str, url: str, content_type: str, body: bytes
) -> None:
    recording = interaction("a")
    recording.request = Request("POST", URL, {"content-type": FORM}, b"--abc")
    recording.request_headers = [("content-type", FORM)]
    write(path, recording)
    with pytest.raises(UnrecordedRequest):
        opened(path).begin(method, url, [("content-type", content_type)], body)
    assert isinstance(opened(path).begin("POST", URL, [("content-type", FORM)], b"--abc"), Playback)


def test_what_is_given_back_comes_next(path: Path) -> None:
    write(path, *(interaction("a", answer) for answer in "xyz"))
    recorder = opened(path)
    playback = begin(recorder, "a")
    assert isinstance(playback, Playback)
    assert playback.broke_off is not None
    playback.broke_off()
    assert [entry.index for entry in recorder.unplayed()] == [0, 1, 2]
    assert [play(recorder, "a") for _ in "abc"] == ["x", "y", "z"]


def test_an_exchange_says_where_its_response_comes_from(path: Path) -> None:
    write(path, interaction("a"), interaction("b"))
    recorder = opened(path)
    play(recorder, "b")
    (exchange,) = recorder.exchanges
    assert exchange.source is not None
    assert (exchange.source.file, exchange.source.index) == ("c.yaml", 1)
    assert exchange.request is not None
    assert (exchange.request.method, exchange.request.url) == ("POST", URL)
    assert exchange.request.headers == {"content-type": "application/json"}


# -- recordings of other recorders -----------------------------------------------------------------


def foreign(path: Path, *recordings: Interaction) -> None:
    """A cassette as vcrpy writes it."""
    write(path, *recordings)
    lines = path.read_text().splitlines(keepends=True)
    ours = ("    chatapi:\n", "      recorded_at", "      pieces")
    path.write_text("".join(line for line in lines if not line.startswith(ours)))


def test_another_body_is_answered_by_the_rules_of_the_owner(path: Path) -> None:
    foreign(path, interaction("a"), interaction("b"))
    recorder = opened(path)
    assert play(recorder, "other") == "to a"
    assert [text.splitlines() for text in recorder.warnings] == [
        [
            "different body in POST chat/completions m",
            "  because   the match rules of c.yaml ignore the body",
            "  nearest   interaction 0",
            "    $.messages[0].content",
            '      recorded "a"',
            '      sent     "other"',
            '  compare   match_on=["method", "path", "query", "body"], or record it again',
        ]
    ]
    assert play(recorder, "third") == "to b"
    assert len(recorder.warnings) == 2
    missed(recorder, "fourth")
    assert len(recorder.warnings) == 2


def test_the_rules_of_the_owner_are_kept(path: Path) -> None:
    foreign(path, interaction("a"))
    missed(opened(path), "other", url=URL + "?x=1")
    missed(opened(path), "other", stream=True)
    missed(opened(path, legacy_match_on=["method", "body"]), "other")
    assert (
        play(opened(path, legacy_match_on=["method"]), "other", url="http://x.example/") == "to a"
    )
    missed(opened(path, match_on=["method", "path", "body"]), "other")
    write(path, interaction("ours"))
    recorder = opened(path)
    assert play(recorder, "a") == "to a"
    missed(recorder, "other")  # only the one of another recorder would do


def test_what_the_owner_filters_is_not_compared(path: Path) -> None:
    foreign(path, interaction("b"), interaction("a"))

    def filtered(request: Request) -> Request | None:
        return None if b"ignored" in request.body else Request("POST", URL, {}, ask("a"))

    recorder = opened(path, legacy_match_on=["method", "body"], legacy_filter=filtered)
    missed(recorder, "ignored")
    assert play(recorder, "anything") == "to a"
    assert recorder.warnings == []
    missed(recorder, "anything")
    loose = opened(path, legacy_filter=filtered)
    assert [play(loose, "anything") for _ in "ab"] == ["to a", "to b"]
    assert len(loose.warnings) == 1


# -- modes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "exists", "known", "unknown"),
    [
        ("none", True, Playback, None),
        ("none", False, None, None),
        ("once", True, Playback, None),
        ("once", False, Take, Take),
        ("new_episodes", True, Playback, Take),
        ("new_episodes", False, Take, Take),
        ("all", True, Take, Take),
        ("rewrite", True, Take, Take),
    ],
)
def test_modes(path: Path, mode: str, exists: bool, known: Any, unknown: Any) -> None:
    if exists:
        write(path, interaction("known"))
    recorder = opened(path, mode)
    for text, kind in (("known", known), ("unknown", unknown)):
        if kind is None:
            missed(recorder, text)
        else:
            assert type(begin(recorder, text)) is kind
    assert recorder.sends is (unknown is Take)
    assert len(recorder.exchanges) == (known is not None) + (unknown is not None)


def test_once_goes_on_with_a_cassette_of_the_same_run(path: Path) -> None:
    write(path, interaction("new", recorded_at=SINCE))
    recorder = opened(path, "once", since=SINCE)
    assert play(recorder, "new") == "to new"
    assert isinstance(begin(recorder, "unknown"), Take)
    assert not opened(path, "once").sends
    write(path, interaction("old"))
    assert not opened(path, "once", since=SINCE).sends


def test_without_a_cassette_everything_is_sent() -> None:
    recorder = opened(None)
    assert recorder.sends
    record(recorder, "a")
    (exchange,) = recorder.exchanges
    assert exchange.response is not None
    assert exchange.response.content == b"new"
    assert recorder.unplayed() == []
    assert recorder.save() is False


def test_a_damaged_cassette_is_noticed_when_it_is_read_first(path: Path) -> None:
    path.write_text("interactions:\n- request:\n    method: [\n")
    for mode in ("once", "rewrite"):
        with pytest.raises(ReadError):
            opened(path, mode, since=SINCE)
    missed(opened(path, "new_episodes"), "a")
    recorder = opened(path, "all")
    record(recorder, "a")
    with pytest.raises(ReadError):
        recorder.save()


def test_rewrite_reads_all_recordings_before_it_sends(path: Path) -> None:
    write(path, interaction("a"))
    path.write_text(path.read_text() + "- request:\n    method: [\n")
    with pytest.raises(ReadError, match="interaction 1: "):  # the second
        opened(path, "rewrite", since=SINCE)
    assert play(opened(path, "once", since=SINCE), "a") == "to a"  # which reads no further


def test_settings_are_checked() -> None:
    modes = "none, once, new_episodes, all, rewrite"
    for name, value, values in (
        ("record_mode", "x", f"one of {modes}"),
        ("replay_speed", -1, "0, 1 or another factor"),
        ("replay_speed", True, "0, 1 or another factor"),
        ("replay_speed", float("nan"), "0, 1 or another factor"),
    ):
        with pytest.raises(SettingError) as caught:
            open_recorder(None, **{name: value})
        assert str(caught.value) == f"{name} must be {values}, not {value!r}"


# -- what is written -------------------------------------------------------------------------------


def test_save_writes_what_ended_and_only_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: AFTER)
    recorder = opened(path, "once", test="t1")
    recorder.phase = "teardown"
    assert not recorder.save()
    record(recorder, "a")
    begun = begin(recorder, "under way")
    assert recorder.save()
    assert not recorder.save()
    assert contents(path) == ["new"]
    assert isinstance(begun, Take)
    begun.responded(200, "OK", [])
    recorder.finish()
    assert recorder.save()
    entries = Cassette(path).entries
    assert [(e.test, e.interaction.phase, e.recorded_at, e.interaction.cut) for e in entries] == [
        ("t1", "teardown", AFTER, None),
        ("t1", "teardown", AFTER, "client"),
    ]


OLD = [("mine", "t1", BEFORE), ("theirs", "t2", BEFORE), ("shared", "", BEFORE)]


@pytest.mark.parametrize(
    ("mode", "left"),
    [
        ("new_episodes", ["to mine", "to theirs", "to shared", "to new", "N"]),
        ("all", ["to theirs", "to shared", "to new", "N"]),  # what it matches is replaced
        ("rewrite", ["to theirs", "to new", "N"]),
    ],
)
def test_what_stays_in_the_file(path: Path, mode: str, left: list[str]) -> None:
    rows = [*OLD, ("new", "t1", SINCE)]
    write(path, *(interaction(text, test=test, recorded_at=day) for text, test, day in rows))
    recorder = opened(path, mode, test="t1", since=SINCE)
    if mode == "new_episodes":
        record(recorder, "unknown", "N")
    else:
        record(recorder, "mine", "N")
    assert recorder.save()
    assert contents(path) == left


def test_all_does_not_drop_what_another_test_recorded(path: Path) -> None:
    write(path, interaction("a", "theirs", test="t2"), interaction("a", "mine", test="t1"))
    recorder = opened(path, "all", test="t1")
    record(recorder, "a", "N")
    recorder.save()
    assert contents(path) == ["theirs", "N"]


def test_rewrite_keeps_optional_recordings_that_are_not_recorded_again(path: Path) -> None:
    write(path, interaction("a", "old a"), interaction("b", "old b"))
    recorder = opened(path, "rewrite", optional=[URL])
    record(recorder, "a", "new a")
    recorder.save()
    assert contents(path) == ["old b", "new a"]


def test_rewrite_drops_the_old_recordings_once(path: Path) -> None:
    write(path, interaction("a"))
    recorder = opened(path, "rewrite")
    record(recorder, "b", "1")
    assert recorder.save()
    record(recorder, "c", "2")
    assert recorder.save()
    assert contents(path) == ["1", "2"]
    nothing = opened(path, "rewrite")
    assert not nothing.save()
    assert not path.exists()
    assert not opened(path, "rewrite").save()


def test_secrets_of_the_environment_are_learnt_when_the_first_request_comes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = opened(path, "once")
    monkeypatch.setenv("SOME_API_KEY", "zebra-crossing-77")
    record(recorder, "zebra-crossing-77")
    assert "zebra" not in recorder.redactor.text("zebra-crossing-77")
    monkeypatch.setenv("OTHER_API_KEY", "giraffe-crossing-78")
    assert recorder.redactor.text("giraffe-crossing-78") == "giraffe-crossing-78"
    record(recorder, "giraffe-crossing-78")
    recorder.save()
    assert "crossing" not in path.read_text()


# -- what is left over -----------------------------------------------------------------------------


def test_unplayed(path: Path) -> None:
    write(
        path,
        interaction("a", test="t1"),
        interaction("b", test="t2"),
        interaction("c"),
        interaction("d", phase="teardown"),
    )
    recorder = opened(path, test="t1")
    assert [entry.index for entry in recorder.unplayed()] == [0, 2]
    assert [entry.index for entry in recorder.unplayed(phase="teardown")] == [3]
    play(recorder, "c")
    assert [entry.index for entry in recorder.unplayed()] == [0]
    for mode in ("new_episodes", "all", "rewrite"):
        assert opened(path, mode, test="t1").unplayed() == []
    assert [entry.index for entry in opened(path, "once", test="t1").unplayed()] == [0, 2]


def test_what_got_no_response_is_named(path: Path) -> None:
    recorder = opened(path, "once")
    for error in (ConnectionError(), KeyboardInterrupt(), None):
        take = begin(recorder, "a")
        assert isinstance(take, Take)
        take.unanswered(error)
    assert recorder.unanswered == ["POST chat/completions m: ConnectionError"]
    assert not recorder.save()
    live = opened(None)
    take = begin(live, "a")
    assert isinstance(take, Take)
    take.unanswered(ConnectionError())
    assert live.unanswered == []


# -- misses ----------------------------------------------------------------------------------------


def test_a_miss_names_the_cassette(path: Path) -> None:
    head = "no recording for POST chat/completions m"
    assert missed(opened(path), "a") == [head, "  because   the cassette c.yaml does not exist"]
    path.write_text("")
    assert missed(opened(path), "a") == [head, "  because   the cassette c.yaml is empty"]
    write(path, interaction("a"))
    recorder = opened(path)
    play(recorder, "a")
    assert missed(recorder, "a") == [
        head,
        "  because   c.yaml has 1 recording of this request, already played",
    ]


def test_a_miss_shows_the_nearest_recording(path: Path) -> None:
    write(path, interaction("a"), interaction("b"))
    recorder = opened(path)
    # Of two that differ alike the first, but sooner one that was not played yet.
    assert "  nearest   interaction 0" in missed(recorder, "c")
    play(recorder, "a")
    assert "  nearest   interaction 1" in missed(recorder, "c")
    play(recorder, "b")
    assert "  nearest   interaction 0 (already played)" in missed(recorder, "c")
    assert missed(recorder, "b", seed=1)[2:] == [
        "  nearest   interaction 1 (already played)",
        "    $.seed",
        "      recorded absent",
        "      sent     1",
    ]


@pytest.mark.parametrize(
    ("method", "url", "differing"),
    [
        ("GET", URL, {"method": ("POST", "GET")}),
        ("POST", URL + "/x", {"path": ("/v1/chat/completions", "/v1/chat/completions/x")}),
        ("POST", URL + "?a=1", {"query": ("", "a=1")}),
        (
            "GET",
            URL + "/x?a=1",
            {
                "method": ("POST", "GET"),
                "path": ("/v1/chat/completions", "/v1/chat/completions/x"),
                "query": ("", "a=1"),
            },
        ),
    ],
)
def test_bodies_for_another_endpoint_are_not_compared(
    path: Path, method: str, url: str, differing: dict[str, Any]
) -> None:
    write(path, interaction("a"))
    recorder = opened(path)
    with pytest.raises(UnrecordedRequest):
        recorder.begin(method, url, [], ask("b"))
    assert recorder.misses[0].differences == [(k, *v) for k, v in differing.items()]


def test_recordings_of_the_same_endpoint_are_compared_first(path: Path) -> None:
    elsewhere = interaction("b")
    elsewhere.request.url += "/elsewhere"
    write(path, elsewhere, interaction("a"))
    recorder = opened(path)
    missed(recorder, "b", seed=1, n=1)
    assert recorder.misses[0].nearest == "interaction 1"
    assert len(recorder.misses[0].differences) == 3


def test_a_miss_compares_no_more_than_the_last_200(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, *(interaction(str(number)) for number in range(205)))
    compared: list[str] = []

    def counted(recorded: Any, sent: Any) -> Any:
        compared.append(recorded["messages"][0]["content"])
        return matching.differences(recorded, sent)

    monkeypatch.setattr(miss, "differences", counted)
    missed(opened(path), "x")
    assert compared == [str(number) for number in range(5, 205)]


def test_a_client_that_reads_on_where_its_recording_ends(path: Path) -> None:
    write(path, interaction("a"), interaction("b", cut="client"))
    recorder = opened(path)
    reason = (
        "interaction 1 of c.yaml ends where the recorded client stopped reading, but this client "
        "keeps reading"
    )
    hint = "; if a timeout decides when it stops, set replay_speed=1 to keep the recorded pace"
    for speed, text in ((0, reason + hint), (1, reason)):
        recorder = opened(path, replay_speed=speed)
        playback = begin(recorder, "b")
        assert isinstance(playback, Playback)
        with pytest.raises(UnrecordedRequest):
            playback.overrun()
        assert recorder.misses == [Miss("POST chat/completions m", text)]


def test_a_thread_that_reads_on_where_its_recording_ends(path: Path) -> None:
    write(path, interaction("a", cut="client"))
    recorder = opened(path)

    def read() -> None:
        with (
            httpx.Client(transport=RecordReplayTransport(recorder)) as client,
            pytest.raises(UnrecordedRequest),
        ):
            client.post(URL, content=ask("a"))

    thread = threading.Thread(target=read, name="reader")
    thread.start()
    thread.join()
    assert recorder.misses[0].reason == (
        "interaction 0 of c.yaml ends where the recorded client stopped reading, but this client "
        "keeps reading, in thread reader; if the test ended before that thread when it was "
        "recorded, wait for the thread in the test, then record it; if a timeout decides when it "
        "stops, set replay_speed=1 to keep the recorded pace"
    )


def test_a_miss_is_redacted(path: Path) -> None:
    recorder = opened(path)
    with pytest.raises(UnrecordedRequest) as caught:
        recorder.begin("POST", URL + "/s3cret-key-1", [("authorization", "s3cret-key-1")], b"{}")
    assert "s3cret" not in str(caught.value)


# -- messages --------------------------------------------------------------------------------------


def test_a_message_shows_eight_differences() -> None:
    many = [(f"$.a{number}", number, number + 1) for number in range(10)]
    lines = describe(Miss("POST x", "because", "interaction 0", many)).splitlines()
    assert sum(line.startswith("    $.a") for line in lines) == 8
    assert lines[-1] == "    ... and 2 more differences"
    lines = describe(Miss("POST x", "because", "interaction 0", many[:9])).splitlines()
    assert lines[-1] == "    ... and 1 more difference"
    lines = describe(Miss("POST x", "because", "interaction 0", many[:8])).splitlines()
    assert lines[-1] == "      sent     8"


def test_a_long_text_is_shown_where_it_begins_to_differ() -> None:
    same = "x" * 40
    differing = [("$.a", same + "OLD" + "y" * 30, same + "NEW" + "y" * 30)]
    lines = describe(Miss("POST x", "why", "interaction 0", differing)).splitlines()
    ends = "y" * 30
    assert lines[-2:] == [
        f'      recorded "...{"x" * 20}OLD{ends}"',
        f'      sent     "...{"x" * 20}NEW{ends}"',
    ]
    longer = [("$.a", "x" * 60, "x" * 60 + "y")]
    lines = describe(Miss("POST x", "why", "interaction 0", longer)).splitlines()
    assert lines[-2:] == [
        f'      recorded "...{"x" * 20}"',
        f'      sent     "...{"x" * 20}y"',
    ]
    for before, shown in ((30, "x" * 30), (31, "..." + "x" * 20)):
        early = [("$.a", "x" * before + "OLD" + ends, "x" * before + "NEW" + "y" * 80)]
        lines = describe(Miss("POST x", "why", "interaction 0", early)).splitlines()
        assert lines[-1].startswith(f'      sent     "{shown}NEW')
        assert len(lines[-1]) == len('      sent     ""') + 60


def test_messages_of_a_mock() -> None:
    lines = describe(Miss("POST x", "no route", routes=["route 0: why"], remedy="do this"))
    assert lines.splitlines() == [
        "no reply for POST x",
        "  because   no route",
        "            route 0: why",
        "  reply     do this",
    ]
    assert describe(Miss("POST x", "why", remedy="a" * 90)).splitlines() == [
        "no recording for POST x",
        "  because   why",
        "  record it " + "a" * 90,
    ]


def test_long_lines_are_wrapped() -> None:
    lines = describe(Miss("POST x", "word " * 30)).splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line.startswith(" " * 12 + "word") for line in lines[2:])
    assert describe(Miss("", "why")).splitlines()[0] == "no recording for"


# -- mocks and faults ------------------------------------------------------------------------------


class Mock:
    """Answers what it is told to, and counts what is given back."""

    def __init__(self, answer: Interaction | None) -> None:
        self._answer, self.given_back = answer, 0
        self.give_back: Any = self._give_back
        self.passes_on = False

    def _give_back(self) -> None:
        self.given_back += 1

    def answer(self, request: Request) -> Interaction | None:
        if request.body == ask("wrong"):
            raise SettingError("the mock is wrong")
        return self._answer

    def miss(self, request: Request) -> Miss:
        return Miss("what was sent", "no route", routes=[])


class Fault:
    def __init__(self, result: Interaction | None, *, alone: bool = False, retried: bool = False):
        self.result, self.alone, self.retried = result, alone, retried

    def apply(self, answer: Interaction | None, request: Request) -> Interaction | None:
        assert (answer is None) == self.alone
        return self.result


class Plan:
    def __init__(self, *faults: Fault | None) -> None:
        self._faults, self.happened = list(faults), list[Any]()

    def next(self, request: Request) -> Fault | None:
        return self._faults.pop(0)

    def done(self, fault: Any) -> None:
        self.happened.append(fault)


def test_a_mock_answers_in_place_of_cassette_and_network(path: Path) -> None:
    mock = Mock(interaction("a", "mocked"))
    recorder = opened(path, "all", answers=mock)
    assert not recorder.sends
    playback = begin(recorder, "anything")
    assert isinstance(playback, Playback)
    assert playback.broke_off == mock.give_back
    assert recorder.exchanges[0].source is None
    silent = opened(None, answers=Mock(None))
    assert missed(silent, "x") == ["no reply for what was sent", "  because   no route"]
    assert silent.exchanges == []
    with pytest.raises(UnrecordedRequest):
        begin(silent, "wrong")
    assert silent.misses[1] == Miss("POST chat/completions m", "the mock is wrong", routes=[])


def test_a_mock_may_let_a_request_pass_to_its_server() -> None:
    mock = Mock(None)
    mock.passes_on = True
    recorder = opened(None, answers=mock)
    take = begin(recorder, "a")
    assert isinstance(take, Take)
    assert (take.exchange.live, recorder.misses) == (True, [])
    assert recorder.passed_hosts == {"api.openai.com"}
    mock.passes_on = False
    with pytest.raises(UnrecordedRequest):
        begin(recorder, "a")


def test_what_a_mock_is_sent_is_no_secret_to_mask() -> None:
    recorder = opened(None, answers=Mock(interaction("a")))
    recorder.begin("POST", URL, [("authorization", "Bearer s3cret-key-1")], b"{}")
    assert recorder.redactor.text("s3cret-key-1") == "s3cret-key-1"


def test_a_client_that_reads_on_behind_a_cut_of_a_mock() -> None:
    recorder = opened(None, answers=Mock(interaction("a", cut="client")))
    playback = begin(recorder, "a")
    assert isinstance(playback, Playback)
    with pytest.raises(
        UnrecordedRequest, match="the client keeps reading where the response is cut"
    ):
        playback.overrun()
    assert recorder.misses[0].request == "POST chat/completions m"


@pytest.mark.parametrize("retried", [False, True])
def test_a_fault_changes_a_response(path: Path, retried: bool) -> None:
    write(path, interaction("a", "x"), interaction("a", "y"))
    fault = Fault(interaction("a", "broken"), retried=retried)
    plan = Plan(fault, None, None)
    recorder = opened(path, faults=plan)
    playback = begin(recorder, "a")
    assert isinstance(playback, Playback)
    assert playback.interaction.pieces == [b"broken"]
    assert plan.happened == [fault]
    # After an injected error, the recording is kept for the client's retry.
    assert (playback.broke_off is None) is retried
    assert play(recorder, "a") == ("x" if retried else "y")
    mock = Mock(interaction("a"))
    begin(opened(None, answers=mock, faults=Plan(fault)), "a")
    assert mock.given_back == retried
    mock.give_back = None  # as where the reply would come again anyway
    begin(opened(None, answers=mock, faults=Plan(fault)), "a")


def test_a_fault_with_nothing_to_change_did_not_happen(path: Path) -> None:
    write(path, interaction("a"))
    plan = Plan(Fault(None, retried=True), Fault(interaction("x")))
    recorder = opened(path, faults=plan)
    assert play(recorder, "a") == "to a"
    missed(recorder, "a")  # with nothing to play, there is nothing to change
    assert plan.happened == []


def test_a_fault_that_stands_alone_needs_no_response(path: Path) -> None:
    fault = Fault(interaction("a", "alone"), alone=True)
    plan = Plan(fault)
    recorder = opened(path, faults=plan)
    assert play(recorder, "never recorded") == "alone"
    assert plan.happened == [fault]
    assert recorder.exchanges[0].source is None


def test_what_is_really_sent_is_live_and_what_is_played_is_not(path: Path) -> None:
    recorder = opened(path, "once")
    record(recorder, "a")
    assert [exchange.live for exchange in recorder.exchanges] == [True]
    recorder.save()
    again = opened(path)
    play(again, "a")
    assert [exchange.live for exchange in again.exchanges] == [False]
    without_a_cassette = opened(None)
    record(without_a_cassette, "a")
    assert [exchange.live for exchange in without_a_cassette.exchanges] == [True]


# -- what must not or cannot be written ----------------------------------------------------------


def record_body(recorder: Recorder, body: bytes, answer: bytes = b"{}") -> None:
    take = recorder.begin("POST", URL, [("content-type", "application/json")], body)
    assert isinstance(take, Take)
    take.responded(200, "OK", [])
    take.piece(answer)
    take.ended()


PASTED = "".join(f'data: {{"a": "{part}"}}\n\n' for part in ("sk-a1B2", "a1B2a1B2", "a1B2a1B2"))


def test_one_bad_exchange_does_not_lose_the_others(path: Path) -> None:
    recorder = opened(path, "new_episodes")
    told = []
    for body in (ask("one"), json.dumps(PASTED)[1:-1].encode(), ask("two"), ask("three")):
        record_body(recorder, body)
        try:  # as the server does it, after each exchange
            recorder.save()
        except SecretError as error:
            told.append(str(error))
    assert len(told) == 1
    assert "not written: the request of POST" in told[0]
    assert [json.loads(str(e.request.body)) for e in Cassette(path).entries] == [
        json.loads(ask(text)) for text in ("one", "two", "three")
    ]
    assert (recorder.written, recorder.refused, recorder.unwritten) == (3, 1, 0)


@pytest.mark.parametrize("mode", ["all", "rewrite"])
def test_what_is_left_out_replaces_nothing(path: Path, mode: str) -> None:
    write(path, interaction("one"), interaction("two"))
    recorder = opened(path, mode)
    record_body(recorder, json.dumps(PASTED)[1:-1].encode())
    with pytest.raises(SecretError):
        recorder.save()
    assert len(Cassette(path).entries) == 2


def test_what_the_disk_refuses_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = opened(path, "once")
    record_body(recorder, ask("one"))
    with monkeypatch.context() as patch:

        def full(*args: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(cassette, "_replace", full)
        with pytest.raises(WriteError, match="No space left on device"):
            recorder.save()
    assert (recorder.unwritten, recorder.refused) == (1, 0)
    assert recorder.save()
    assert len(Cassette(path).entries) == 1
