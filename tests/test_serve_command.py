"""``chatapi serve`` in a process of its own: what it prints, how it ends, what it refuses."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import stub_server

from pytest_chatapi.cli.main import main
from pytest_chatapi.mock.pace import Pace

pytest.importorskip("uvicorn")
from pytest_chatapi.recording.cassette import Cassette
from pytest_chatapi.server import app as app_module
from pytest_chatapi.server import run as run_module

SHIPPED = Path(__file__).parent.parent / "cassettes"
KEY = "sk-proj-Zx81kLmQ02vNs7RtYw3uPd5"
# A shell starts what runs in the background with SIGINT ignored, and children inherit that.
START = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from pytest_chatapi.cli.main import main; sys.exit(main(sys.argv[1:]))"
)
PATIENCE = 60


class Served:
    """A command that runs."""

    def __init__(self, process: subprocess.Popen[str], url: str, head: str) -> None:
        self.process, self.url, self.head = process, url, head

    def end(self, how: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Status, and what it printed after its first lines."""
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@contextlib.contextmanager
def served(*arguments: str | Path, cwd: Path, **environment: str) -> Iterator[Served]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", START, "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        head, export = process.stdout.readline(), process.stdout.readline()
        assert export.startswith("export OPENAI_BASE_URL=http://127.0.0.1:"), process.stderr.read()
        yield Served(process, export.strip().partition("=")[2], head.strip())
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


def ask(url: str, said: str = "Hi", **more: Any) -> httpx.Response:
    question = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": said}], **more}
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(trust_env=False, verify=False, timeout=PATIENCE, headers=headers) as client:
        return client.post(f"{url}/chat/completions?api_key={KEY}", json=question)


def record(path: Path, *said: str, **more: Any) -> None:
    with (
        stub_server.running() as stub,
        served("--record", path.name, "--upstream", stub.url, cwd=path.parent) as server,
    ):
        assert server.head == f"recording {stub.url} to {path.name} on {server.url}"
        for text in said:
            assert ask(server.url, text, **more).status_code == 200
        status, out, err = server.end()
    assert (status, err) == (0, "")
    assert len(out.splitlines()) == len(said)
    assert KEY not in out


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cassette that the command has recorded: one exchange, in which "ECHO 1" is said."""
    path = tmp_path_factory.mktemp("recorded") / "c.yaml"
    record(path, "ECHO 1")
    text = path.read_text()
    assert KEY not in text
    return text


@pytest.fixture
def recorded(tmp_path: Path, recording: str) -> None:
    (tmp_path / "c.yaml").write_text(recording.replace("ECHO 1", "Hi"))


def test_one_bad_exchange_does_not_lose_the_others(tmp_path: Path) -> None:
    # A key over the events of a stream that was pasted into a text, which redaction cannot mask.
    pasted = "".join(f'data: {{"a": "{part}"}}\n\n' for part in ("sk-a1B2", "a1B2a1B2", "a1B2a1B2"))
    bad = json.dumps(pasted)[1:-1]
    half = b'{"model": "m", "messages": [{"role": "user", "content": "ECHO \\ud83d"}]}'
    with (
        stub_server.running() as stub,
        served("--record", "c.yaml", "--upstream", stub.url, cwd=tmp_path) as server,
    ):
        with httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE) as client:
            assert client.post("/form", content=bad).status_code == 200
            assert client.post("/chat/completions", content=half).status_code == 200
        for text in "abc":
            assert ask(server.url, text).status_code == 200
        status, out, err = server.end()
    assert (status, err) == (2, "")
    notes = [line for line in out.splitlines() if "not written" in line]
    assert len(notes) == 1
    assert "not written: the request of POST" in notes[0]
    assert out.splitlines()[0] == notes[0]
    assert len(Cassette(tmp_path / "c.yaml").entries) == 4


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_record_and_serve(tmp_path: Path, how: int) -> None:
    with served("c.yaml", cwd=tmp_path) as server:
        assert server.head == f"serving c.yaml (1 interaction) on {server.url}"
        first = ask(server.url)
        assert first.status_code == 200
        assert ask(server.url).content == first.content  # a server repeats itself
        assert ask(server.url, "Other").status_code == 404
        status, out, err = server.end(how)
    assert status == 0
    lines = out.splitlines()
    assert [line.split(" bytes")[0].rsplit(" ", 2)[1] for line in lines] == ["200", "200", "404"]
    assert lines[0].startswith("POST /v1/chat/completions?api_key=REDACTED 200 ")
    assert 'sent     "Other"' in err
    assert err.endswith("  record it chatapi serve --record c.yaml --upstream URL\n")
    assert KEY not in out + err


def test_several_cassettes_are_served_together(tmp_path: Path, recording: str) -> None:
    (tmp_path / "all").mkdir()
    for number in "123":
        (tmp_path / "all" / f"{number}.yaml").write_text(
            recording.replace("ECHO 1", f"ECHO {number}")
        )
    for arguments in (["all/1.yaml", "all/2.yaml", "all/3.yaml"], ["all"]):
        with served(*arguments, cwd=tmp_path) as server:
            assert server.head.startswith(f"serving all{os.sep}1.yaml and 2 more (3 interactions)")
            for said in ("ECHO 3", "ECHO 1", "ECHO 2"):
                assert said in ask(server.url, said).text


def test_a_stream_that_is_open_does_not_keep_it(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    record(path, "Hi", stream=True)
    # Each piece as if it had arrived after a second, however fast this machine is.
    path.write_text(re.sub(r"(\d)@[\d.]+", r"\1@1000", path.read_text()))
    question = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    with (
        served("c.yaml", "--speed", "0.0001", cwd=tmp_path) as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE) as client,
        client.stream(
            "POST",
            "/chat/completions",
            params={"api_key": KEY},
            json={**question, "stream": True},
        ) as response,
    ):
        assert response.status_code == 200
        status, out, _ = server.end()
    assert status == 0
    assert "the client left" in out


@pytest.mark.usefixtures("recorded")
def test_the_key_comes_from_the_environment(tmp_path: Path) -> None:
    with served("c.yaml", cwd=tmp_path, CHATAPI_SERVER_KEY=KEY[:-1]) as server:
        assert ask(server.url).status_code == 401
    with (
        served(
            *("c.yaml", "--api-key", KEY, "--max-body", "10"),
            cwd=tmp_path,
            CHATAPI_SERVER_KEY=KEY[:-1],
        ) as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE) as client,
    ):
        assert ask(server.url).status_code == 413
        headers = {"authorization": f"Bearer {KEY[:-1]}"}
        assert client.post("/chat/completions", headers=headers).status_code == 401


@pytest.mark.usefixtures("recorded")
def test_names_of_the_server_and_what_is_compared(tmp_path: Path) -> None:
    arguments = ("c.yaml", "--allow-host", "mock.internal", "--match-on", "method, path")
    with (
        served(*arguments, cwd=tmp_path) as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE) as client,
    ):
        for name, status in (("mock.internal:80", 404), ("other.internal", 403)):
            assert client.get("/unknown", headers={"host": name}).status_code == status
        assert ask(server.url, "Other").status_code == 200


@pytest.mark.usefixtures("recorded")
def test_faults_come_first(tmp_path: Path) -> None:
    with served(
        "c.yaml", "--fault", "2*rate_limit, ok", "--fault", "reset", cwd=tmp_path
    ) as server:
        assert [ask(server.url).status_code for _ in range(3)] == [429, 429, 200]
        with pytest.raises(httpx.ReadError):
            ask(server.url)
        assert ask(server.url).status_code == 200


@pytest.mark.usefixtures("recorded")
def test_a_reader_of_its_lines_may_go(tmp_path: Path) -> None:
    with served("c.yaml", cwd=tmp_path) as server:
        assert server.process.stdout is not None
        server.process.stdout.close()
        for _ in range(3):
            assert ask(server.url).status_code == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0
        assert server.process.stderr is not None
        assert server.process.stderr.read() == ""


@pytest.mark.parametrize("source", ["mock", "cassette"])
def test_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    recorders: list[Any] = []
    make_app = app_module.make_app

    def made(recorder: Any, **more: Any) -> Any:
        recorders.append(recorder)
        return make_app(recorder, **more)

    monkeypatch.setattr(app_module, "make_app", made)
    monkeypatch.setattr(run_module, "serve", lambda app, *listening, **more: 0)
    shutil.copy(SHIPPED / "plain.yaml", tmp_path / "c.yaml")
    served = [str(tmp_path / "c.yaml")] if source == "cassette" else []
    flags = ["--ttft", "0.4", "--tokens-per-second", "60", "--jitter", "0.1"]
    assert main(["serve", *served, *flags]) == 0
    assert recorders[0].pace == Pace(0.4, 60, 0.1)


FIRST = """
import gc, os, signal, socket, sys, threading

def ask(url):
    body = b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}'
    head = "POST /v1/chat/completions HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n"
    head += f"content-type: application/json\\r\\ncontent-length: {len(body)}\\r\\n\\r\\n"
    connection = socket.create_connection(("127.0.0.1", int(url.split(":")[2].partition("/")[0])))
    connection.sendall(head.encode() + body)
    print("answer:", connection.makefile().readline().strip())
    os.kill(os.getpid(), signal.SIGTERM)

from pytest_chatapi.cli import main, serve
printed = serve._Output.print
def print_url(self, text, file=None):
    if "OPENAI_BASE_URL=" in text:
        print("collects garbage:", gc.isenabled())
        threading.Thread(target=ask, args=[text.partition("OPENAI_BASE_URL=")[2]]).start()
serve._Output.print = print_url
main.main(["serve", "--port", "0"])
print("modules:", *sys.modules)
"""


def test_the_first_response_imports_little() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", FIRST],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
        env=environment,
    )
    assert "answer: HTTP/1.1 200 OK" in done.stdout
    assert "collects garbage: True" in done.stdout
    modules = done.stdout.partition("modules:")[2].split()
    # Each takes as long to import as several responses take.
    heavy = {"jsonschema", "trio", "starlette", "yaml", "vcr", "httpx2", "h2", "rich", "pygments"}
    assert heavy.isdisjoint(modules)
    ours = [name for name in modules if name.startswith("pytest_chatapi")]
    assert not [name for name in ours if ".faults." in name or ".plugin" in name]
    assert "pytest_chatapi.cli.check" not in ours
    assert len(modules) < 700


def test_it_takes_connections_before_it_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that connects while a large mock or cassette is opened is answered as soon as it
    is.
    """
    monkeypatch.chdir(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "m.py").write_text(
        "import socket\n"
        f"socket.create_connection(('127.0.0.1', {port})).close()\n"
        "def answer(mock): mock.reply()\n"
    )
    monkeypatch.setattr(run_module, "serve", lambda app, listening, **more: 0)
    assert main(["serve", "--port", str(port), "--mock", "m.py"]) == 0


def test_it_remembers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorders: list[Any] = []
    make_app, running = app_module.make_app, run_module.running

    def made(recorder: Any, **more: Any) -> Any:
        recorders.append(recorder)
        return make_app(recorder, **more)

    def serve(app: Any, *listening: Any, **more: Any) -> int:
        with running(app) as server:
            ask(server.url), ask(server.url)
        return 0

    monkeypatch.setattr(app_module, "make_app", made)
    monkeypatch.setattr(run_module, "serve", serve)
    shutil.copy(SHIPPED / "plain.yaml", tmp_path / "c.yaml")
    assert main(["serve", str(tmp_path / "c.yaml"), "--match-on", "method"]) == 0
    assert (recorders[0].exchanges, recorders[0].misses) == ([], [])


@pytest.mark.parametrize(
    ("arguments", "path", "lines", "served"),
    [
        (
            [],
            "/v1/foo",
            [
                "no reply for POST /v1/foo",
                "  because   the built-in mock serves POST /v1/chat/completions, POST",
                "            /v1/embeddings and GET /v1/models",
                "  reply     mock.route(path=...).reply(...) in answer(mock) of FILE: "
                "chatapi serve --mock FILE",
            ],
            "POST /v1/embeddings\n  GET /v1/models\n",
        ),
        (
            ["--mock", "m.py"],
            "/v1/embeddings",
            [
                "no reply for POST /v1/embeddings",
                "  because   no route of the mock matches it",
                '            1. chat(model="m"): path is "/v1/embeddings"',
                "  reply     mock.embeddings() in answer(mock) of m.py",
            ],
            'mock.chat(model="m")\n',
        ),
        (
            ["--mock", "m.py"],
            "/v1/chat/completions",
            [
                "no reply for POST chat/completions gpt-4o",
                "  because   no route of the mock matches it",
                '            1. chat(model="m"): model is "gpt-4o"',
                "  reply     mock.reply(...) in answer(mock) of m.py",
            ],
            'mock.chat(model="m")\n',
        ),
        (
            ["c.yaml", "c.yaml"],
            "/chat/completions",
            [
                "no recording for POST chat/completions",
                "  because   c.yaml has only POST /v1/chat/completions (1 recording)",
                "  record it chatapi serve --record c.yaml --upstream URL",
            ],
            "POST /v1/chat/completions (1 recording)\n",
        ),
        (
            ["--record", "new.yaml", "--upstream", "http://127.0.0.1:9/v1"],
            "/foo",
            ["Invalid URL (POST /foo)"],
            "everything below /v1: what new.yaml has, else from http://127.0.0.1:9/v1\n",
        ),
    ],
)
def test_what_is_not_served(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    path: str,
    lines: list[str],
    served: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(SHIPPED / "plain.yaml", "c.yaml")
    Path("m.py").write_text("def answer(mock): mock.chat(model='m').reply('a')\n")
    pages: list[str] = []
    messages: list[str] = []
    running = run_module.running

    def serve(app: Any, *listening: Any, **more: Any) -> int:
        with running(app) as server, httpx.Client(trust_env=False, timeout=PATIENCE) as client:
            root = server.url.removesuffix("/v1")
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "a"}]}
            asked = body if path.endswith("v1/chat/completions") else {}
            messages.append(client.post(root + path, json=asked).json()["error"]["message"])
            pages.append(client.get(root).text)
        return 0

    monkeypatch.setattr(run_module, "serve", serve)
    assert main(["serve", "--port", "0", *arguments]) == 0
    assert messages[0].splitlines() == lines
    assert served in pages[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.yaml"], "gone.yaml: "),
        (["--record", "c.yaml"], "--record requires --upstream URL"),
        (["--upstream", "http://x/v1"], "--upstream requires --record CASSETTE"),
        (
            ["a.yaml", "--mock", "m.py"],
            "cassettes and --mock cannot be combined: start one server for each",
        ),
        (["a.yaml", "--record", "c.yaml", "--upstream", "http://x/v1"], "cannot be combined"),
        (["--record", "c.yaml", "--upstream", "x"], "upstream must be a base URL such as https"),
        (
            ["ok.yaml", "--host", "0.0.0.0"],
            "'0.0.0.0' is not a loopback address: add --allow-remote to use it\n",
        ),
        (
            ["ok.yaml", "--fault", "rate_limt"],
            "unknown fault 'rate_limt': did you mean rate_limit?",
        ),
        (["empty.yaml"], "empty.yaml: holds no interactions: there is nothing to serve\n"),
        (["ok.yaml", "--match-on", "bodi"], "match_on cannot compare 'bodi'"),
        (
            ["--record", "c.yaml", "--upstream", "http://x/v1", "--record-mode", "x"],
            "--record-mode must be one of once, new_episodes, all, rewrite, not 'x'",
        ),
        (["--jitter", "1"], "jitter varies the pace: set ttft or tokens_per_second too\n"),
        (["ok.yaml", "--record-mode", "all"], "--record-mode requires --record CASSETTE"),
        (["--mock", "nope.py"], "nope.py: no such file\n"),
    ],
)
def test_what_it_refuses(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(SHIPPED / "plain.yaml", "ok.yaml")
    Path("empty.yaml").write_text("")
    assert main(["serve", "--port", "0", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("chatapi: ")
    assert message in err
    assert err.count("\n") == 1


def test_help_names_the_record_modes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["serve", "--help"])
    text = " ".join(capsys.readouterr().out.partition("--record-mode MODE")[2].split())
    assert all(f"{mode} " in text for mode in ("once", "new_episodes", "all", "rewrite"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "x"], "--port: 'x' is not a valid port (0-65535)"),
        (["--idle-timeout", "0"], "--idle-timeout: '0' is not a number of seconds (1 or more)"),
        (["--ttft", "-1"], "--ttft: '-1' is not a number of seconds (0 or more)"),
        (["--tokens-per-second", "0"], "--tokens-per-second: '0' is not a number above 0"),
        (["--jitter", "2"], "--jitter: '2' is not a number from 0 to 1"),
        (["--speed", "fast"], "--speed: 'fast' is not a factor (0 or more)"),
        (["--speed", "-1"], "--speed: '-1' is not a factor (0 or more)"),
        (["--speed", "nan"], "--speed: 'nan' is not a factor (0 or more)"),
    ],
)
def test_numbers_that_are_wrong(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["serve", *arguments])
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[-1]) == ("", f"chatapi serve: error: argument {message}")


def test_a_port_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(SHIPPED / "plain.yaml", "ok.yaml")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port), "ok.yaml"]) == 2
    err = capsys.readouterr().err
    assert f"chatapi: cannot listen on 127.0.0.1 port {port}: " in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--port", "65536"], ["--port", "x"], ["--max-body", "-1"]])
def test_bad_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", *arguments])
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_without_the_extra() -> None:
    code = f"import sys; sys.modules['uvicorn'] = None\n{START}"
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "c.yaml"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "chatapi: uvicorn is not installed: pip install 'pytest-chatapi[server]'\n"
    )
