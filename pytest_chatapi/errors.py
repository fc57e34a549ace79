"""Every exception of this package, as one tree.

ChatAPIError(Exception)
├── ReadError          a recording cannot be read: names file, place and reason
├── WriteError         a cassette cannot be written: names file and reason
│   └── SecretError    it would hold what looks like a secret
└── SettingError       a profile, code, date or option that does not exist

ContractError(AssertionError, ChatAPIError)
                       an exchange breaks the contract; carries ``.findings``

UnrecordedRequest(BaseException)
                       replay has no answer; no `Exception`, or clients would retry and hide it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_chatapi.contract.findings import Finding

__all__ = [
    "ChatAPIError",
    "ContractError",
    "ReadError",
    "SecretError",
    "SettingError",
    "UnrecordedRequest",
    "WriteError",
]


class ChatAPIError(Exception):
    """Base of all errors that this package raises on purpose."""


class SettingError(ChatAPIError, ValueError):
    """A setting names something that does not exist; the message lists what does."""


class ReadError(ChatAPIError, ValueError):
    """A recording cannot be read.

    Attributes:
        file: the path as the user gave it, or ``<stdin>``.
        place: where inside the file (``line 3, column 7``, ``interaction 2``), or ``""``.
        reason: what is wrong, in one line, with the remedy where there is one.
    """

    def __init__(self, file: str, place: str, reason: str) -> None:
        self.file = file
        self.place = place
        self.reason = " ".join(reason.split())
        super().__init__(": ".join(part for part in (file, place, self.reason) if part))

    def __reduce__(self) -> tuple[type[ReadError], tuple[str, str, str]]:
        # Crosses the process border of --jobs.
        return (type(self), (self.file, self.place, self.reason))


class WriteError(ChatAPIError):
    """A cassette cannot be written; what stood in the file before is still there.

    Attributes:
        file: the path of the cassette.
        reason: what is wrong, in one line, with the remedy where there is one.
    """

    def __init__(self, file: str, reason: str) -> None:
        self.file = file
        self.reason = " ".join(reason.split())
        super().__init__(f"{file}: {self.reason}")


class SecretError(WriteError):
    """A cassette was not written, because something in it still looks like a secret."""


class UnrecordedRequest(BaseException):
    """A request was made that no recording answers, and the record mode forbids to send it.

    No `Exception` on purpose: the SDKs turn every exception of a transport into
    ``APIConnectionError("Connection error.")``, after their retries.
    """


class ContractError(AssertionError, ChatAPIError):
    """An exchange breaks the contract.

    Attributes:
        findings: all findings of the exchange, those that did not fail it included.
    """

    def __init__(self, message: str, findings: Sequence[Finding] = ()) -> None:
        super().__init__(message)
        self.findings = list(findings)
