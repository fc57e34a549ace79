"""Text of others in a page."""

from __future__ import annotations

from html import escape

from pytest_chatapi.contract.wording import mask

__all__ = ["plain", "text"]


def text(content: str) -> str:
    """Text for HTML, as `plain` has it."""
    return escape(plain(content))


def plain(content: str) -> str:
    """The text with control characters and changes of writing direction escaped."""
    if content.isprintable():
        return content
    lines = (line if line.isprintable() else mask(line) for line in content.split("\n"))
    return "\n".join(lines)
