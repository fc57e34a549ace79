"""Every exception of this package, as one tree.

ChatAPIError(Exception)
├── ReadError          a recording cannot be read; has file, place and reason
├── WriteError         an exchange or a cassette cannot be written; has file and reason
│   └── SecretError    because something in it looks like a secret
└── SettingError       a profile, code, date or option does not exist

ContractError(AssertionError, ChatAPIError)
                       an exchange breaks the contract; has ``.findings``

UnrecordedRequest(BaseException)
                       no recording matches; not an `Exception`, which clients retry and hide
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_chatapi.contract.findings import Finding

__all__ = [
    "KILLED",
    "ChatAPIError",
    "ContractError",
    "ReadError",
    "SecretError",
    "SettingError",
    "UnrecordedRequest",
    "WriteError",
]


KILLED = "a process was killed, perhaps for lack of memory: use fewer --jobs"
"""Message of the `SettingError` for ``--jobs``."""


class ChatAPIError(Exception):
    """Base of all errors that this package raises on purpose."""


class SettingError(ChatAPIError, ValueError):
    """A setting names something that does not exist; the message lists what does."""


class ReadError(ChatAPIError, ValueError):
    """A recording cannot be read.

    Attributes:
        file: the path as the user gave it, or ``<stdin>``.
        place: where in the file (``line 3, column 7``, ``interaction 2``), or ``""``.
        reason: what is wrong, in one line, with the remedy if there is one.
        ends_file: whatever follows in the file was not read, or none of it was.
    """

    ends_file = False

    def __init__(self, file: str, place: str, reason: str) -> None:
        self.file = file
        self.place = place
        self.reason = " ".join(reason.split())
        super().__init__(": ".join(part for part in (file, place, self.reason) if part))

    def __reduce__(self) -> tuple[type[ReadError], tuple[str, ...]]:
        # Needed by `chatapi check --jobs`, where errors cross a process border.
        return (type(self), (self.file, self.place, self.reason))


class WriteError(ChatAPIError):
    """A cassette cannot be written, and is unchanged; or exchanges were left out that cannot be,
    and the others were written.

    Attributes:
        file: the path of the cassette.
        reason: what is wrong, in one line, with the remedy if there is one.
    """

    def __init__(self, file: str, reason: str) -> None:
        self.file = file
        self.reason = " ".join(reason.split())
        super().__init__(f"{file}: {self.reason}")


class SecretError(WriteError):
    """Exchanges were not written, because something in them still looks like a secret."""


class UnrecordedRequest(BaseException):
    """A request matches no recording, and the record mode does not allow sending it.

    Not an `Exception`, because SDKs turn every exception of a transport into
    ``APIConnectionError("Connection error.")``, after their retries.
    """


class ContractError(AssertionError, ChatAPIError):
    """An exchange breaks the contract.

    Attributes:
        findings: all findings of the exchange, including those that did not fail it.
    """

    def __init__(self, message: str, findings: Sequence[Finding] = ()) -> None:
        super().__init__(message)
        self.findings = list(findings)
