"""The command ``chatapi``: one module for each of its commands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from pytest_chatapi import __version__
from pytest_chatapi.contract.wording import without_secrets
from pytest_chatapi.errors import ChatAPIError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 if nothing is at error level, 1 if something is, 2 for unreadable input or bad usage,
        130 if interrupted.
    """
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parser(*argv[:1]).parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except ChatAPIError as error:
        print(f"chatapi: {without_secrets(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of the pipe has exited (`| head`): not a failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("chatapi: interrupted", file=sys.stderr)
        return 130


_COMMANDS = ("check", "rules", "faults", "serve", "conform", "figures", "compare")


def _parser(name: str = "") -> argparse.ArgumentParser:
    """The parser of a command, or of all of them where `name` is not one."""
    parser = argparse.ArgumentParser(
        prog="chatapi",
        description="Contract tests for OpenAI-compatible Chat Completions APIs: find out where "
        "a server, gateway or recorded cassette departs from the spec.",
    )
    parser.add_argument("--version", action="version", version=f"chatapi {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (name,) if name in _COMMANDS else _COMMANDS:
        import_module(f"pytest_chatapi.cli.{command}").add_to(commands)
    return parser
