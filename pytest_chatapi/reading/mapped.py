"""What a mapping has found: counts that can be added up."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Mapped"]


@dataclass
class Mapped:
    """What a mapping has found, in a file or in several.

    Attributes:
        exchanges: number of them that it was used for.
        members: those whose path led to a value, even to null, in any of these.
        keys: for members that were not found in one, the keys of the object where the path ended.
    """

    exchanges: int = 0
    members: set[str] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict)

    def add(self, other: Mapped) -> None:
        self.exchanges += other.exchanges
        self.members |= other.members
        self.keys = other.keys | self.keys
