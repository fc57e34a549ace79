"""Contract tests for OpenAI-compatible Chat Completions APIs.

Importing this package costs nothing: a public name is loaded when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` would cost more than the rest of this module

if TYPE_CHECKING:
    from pytest_chatapi.assertions import (
        assemble,
        assert_chat_completion,
        assert_chat_request,
        assert_chat_stream,
        assert_error_body,
        assert_models,
        assert_usage,
        check,
    )
    from pytest_chatapi.contract.exchange import Exchange, Request, Response, Source
    from pytest_chatapi.contract.findings import Finding
    from pytest_chatapi.errors import (
        ChatAPIError,
        ContractError,
        ReadError,
        SecretError,
        SettingError,
        UnrecordedRequest,
        WriteError,
    )
    from pytest_chatapi.reading.reader import read
    from pytest_chatapi.recording.transport import AsyncRecordReplayTransport, RecordReplayTransport

__version__ = "0.2.0"

_HOME = {
    "AsyncRecordReplayTransport": "recording.transport",
    "ChatAPIError": "errors",
    "ContractError": "errors",
    "Exchange": "contract.exchange",
    "Finding": "contract.findings",
    "ReadError": "errors",
    "RecordReplayTransport": "recording.transport",
    "Request": "contract.exchange",
    "Response": "contract.exchange",
    "SecretError": "errors",
    "SettingError": "errors",
    "Source": "contract.exchange",
    "UnrecordedRequest": "errors",
    "WriteError": "errors",
    "assemble": "assertions",
    "assert_chat_completion": "assertions",
    "assert_chat_request": "assertions",
    "assert_chat_stream": "assertions",
    "assert_error_body": "assertions",
    "assert_models": "assertions",
    "assert_usage": "assertions",
    "check": "assertions",
    "read": "reading.reader",
}

__all__ = [
    "AsyncRecordReplayTransport",
    "ChatAPIError",
    "ContractError",
    "Exchange",
    "Finding",
    "ReadError",
    "RecordReplayTransport",
    "Request",
    "Response",
    "SecretError",
    "SettingError",
    "Source",
    "UnrecordedRequest",
    "WriteError",
    "assemble",
    "assert_chat_completion",
    "assert_chat_request",
    "assert_chat_stream",
    "assert_error_body",
    "assert_models",
    "assert_usage",
    "check",
    "read",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        from importlib import import_module

        value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
