"""Makes docs/report.png, the picture of a report, from a run of tests against real servers.

    CHATAPI_TEST_SERVERS=~/servers python docs/write_report_picture.py

Needs what `.ci/servers/setup ~/servers .` provides, and Chromium. Runs tests/real/report_suite.py
against two tiny models of llama-server; with a folder as argument the report stays there.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

DOCS = Path(__file__).resolve().parent
REAL = DOCS.parent / "tests" / "real"
PICTURE = DOCS / "report.png"
LARGEST = 200_000  # bytes
WIDTH, HEIGHT = 1000, 1030
sys.path.insert(0, str(REAL))

import real_servers  # noqa: E402
from chromium import Unavailable as NoBrowser  # noqa: E402
from chromium import chromium  # noqa: E402

SETTINGS = """
[tool.pytest.ini_options]
asyncio_default_fixture_loop_scope = "function"

[tool.chatapi.prices]
"tiny*" = {input = 0.05, output = 0.2}
"""
MODELS = {"tiny-tools": "tiny-tools.gguf", "tiny": "tiny.gguf"}


def command(alias: str, file: str, port: int) -> list[str | Path]:
    """Starts llama-server with a model."""
    words = real_servers.llama_server(port)
    words[words.index("--model") + 1] = real_servers.part("llama") / file
    words[words.index("--alias") + 1] = alias
    return words


def run_suite(folder: Path) -> None:
    """Write llama-server.json and llama-server.html into a folder."""
    suite = folder / "test_models.py"
    shutil.copy(REAL / "report_suite.py", suite)
    (folder / "pyproject.toml").write_text(SETTINGS)
    with contextlib.ExitStack() as running:
        servers = {}
        for alias, file in MODELS.items():
            start = partial(command, alias, file)
            port = running.enter_context(real_servers.started(start, folder / f"{alias}.log"))
            servers[alias] = f"http://127.0.0.1:{port}/v1"
        flags = ("--chatapi-report=llama-server.json", "--chatapi-report=llama-server.html")
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--disable-recording", *flags, suite.name],
            cwd=folder,
            env={**os.environ, "SERVERS": json.dumps(servers)},
            check=True,
        )


def take_picture(page: Path, profile: Path) -> bytes:
    """The upper part of a page, as PNG."""
    with chromium(profile) as browser:
        browser.open(page, width=WIDTH)
        browser.call(
            "Emulation.setDeviceMetricsOverride",
            width=WIDTH,
            height=HEIGHT,
            deviceScaleFactor=1,
            mobile=False,
        )
        browser.value("document.documentElement.style.overflow = 'hidden'")
        browser.value("new Promise(done => requestAnimationFrame(() => setTimeout(done, 500)))")
        assert browser.requested == [page.as_uri()], browser.requested
        return base64.b64decode(browser.call("Page.captureScreenshot")["data"])


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        run_suite(folder)
        picture = take_picture(folder / "llama-server.html", Path(temporary, "profile"))
    if len(picture) > LARGEST:
        sys.exit(f"{len(picture):,} bytes, over {LARGEST:,}: make it smaller")
    PICTURE.write_bytes(picture)


if __name__ == "__main__":
    try:
        main()
    except (real_servers.Unavailable, NoBrowser) as missing:
        sys.exit(str(missing))
