"""Headless Chromium, driven over a pipe by its DevTools protocol. Not a test."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = "chromium", "chromium-browser", "google-chrome"


class Unavailable(Exception):
    """There is no Chromium on this machine."""


class Page:
    """A page of the browser.

    Attributes:
        requested: the URLs that were fetched since the last `open`.
        messages: errors of the page and lines of its console since then.
    """

    def __init__(self, reads: int, writes: int) -> None:
        self._in, self._out = os.fdopen(reads, "rb"), os.fdopen(writes, "wb")
        self._session: str | None = None
        self._count = 0
        self._events: list[dict[str, Any]] = []
        self.requested: list[str] = []
        self.messages: list[str] = []

    def attach(self) -> None:
        """Open the page in the browser."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self._out.close()
        self._in.close()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol, and take note of the events until it returns."""
        self._count += 1
        number = self._count
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while (received := self._receive()).get("id") != number:
            pass
        assert "error" not in received, (method, received)
        result: dict[str, Any] = received["result"]
        return result

    def wait(self, event: str) -> None:
        """Return when an event has come since the last call of this."""
        while not any(one["method"] == event for one in self._events):
            self._receive()
        self._events.clear()

    def _receive(self) -> dict[str, Any]:
        data = bytearray()
        while (byte := self._in.read(1)) != b"\0":
            if not byte:
                raise AssertionError("Chromium has ended")
            data += byte
        received: dict[str, Any] = json.loads(data)
        if method := received.get("method"):
            self._events.append(received)
            if method == "Network.requestWillBeSent":
                self.requested.append(received["params"]["request"]["url"])
            elif method in (
                "Log.entryAdded",
                "Runtime.exceptionThrown",
                "Page.javascriptDialogOpening",
            ):
                self.messages.append(json.dumps(received["params"]))
        return received

    def open(self, path: Path, *, width: int = 1200, dark: bool = False) -> None:
        """Load a file, at a width in pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        for kept in (self._events, self.requested, self.messages):
            kept.clear()
        self.call("Page.navigate", url=path.as_uri())
        self.wait("Page.loadEventFired")

    def value(self, expression: str) -> Any:
        """The value of an expression in the page, or what its promise comes to."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def click(self, selector: str) -> None:
        """Click the middle of an element."""
        x, y = self.value(
            f"(e => {{ e.scrollIntoView({{block: 'center', inline: 'center'}});"
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, code: int) -> None:
        """Press a key of the keyboard, by its name and its Windows key code."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text
            )

    def keep(self, name: str, *, whole: bool = False) -> None:
        """Write what is to be seen to a folder, for people to look at: ``CHATAPI_TEST_PICTURES``.

        Args:
            whole: the page to its end, not only what fits the window.
        """
        if folder := os.environ.get("CHATAPI_TEST_PICTURES"):
            picture = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
            Path(folder, f"{name}.png").write_bytes(base64.b64decode(picture))


def contrast(one: str, other: str) -> float:
    """Of two colours in the form ``rgb(...)``, from 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """Of ``rgb(...)``, from 0 to 1 (WCAG 2.2)."""
    parts = [int(part) / 255 for part in colour.strip("rgb()").split(",")]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """A page of a browser of its own.

    Args:
        profile: an empty folder.

    Raises:
        Unavailable: there is none on this machine.
    """
    command = next((found for name in NAMES if (found := shutil.which(name))), None)
    if command is None:
        raise Unavailable("needs Chromium: apt-get install chromium")
    to_browser, our_writes = os.pipe()
    our_reads, from_browser = os.pipe()
    flags = (
        "--headless --remote-debugging-pipe --no-sandbox --disable-gpu --disable-dev-shm-usage "
        "--no-first-run --disable-background-networking"
    )
    # The browser's ends of the pipe are 3 and 4 there; here these numbers may be taken.
    reads = fcntl.fcntl(to_browser, fcntl.F_DUPFD_CLOEXEC, 10)
    writes = fcntl.fcntl(from_browser, fcntl.F_DUPFD_CLOEXEC, 10)
    pid = os.posix_spawn(
        command,
        [command, *flags.split(), f"--user-data-dir={profile}"],
        os.environ,
        file_actions=[
            *((os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)),
            (os.POSIX_SPAWN_DUP2, reads, 3),
            (os.POSIX_SPAWN_DUP2, writes, 4),
        ],
    )
    for number in (to_browser, from_browser, reads, writes):
        os.close(number)
    page = Page(our_reads, our_writes)
    try:
        page.attach()
        yield page
    finally:
        page.close()  # which ends the browser
        os.waitpid(pid, 0)
