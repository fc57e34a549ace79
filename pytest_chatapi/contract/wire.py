"""The types of what came over the wire, before anything is known about it."""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["JSON", "JSONObject"]

JSON: TypeAlias = Any
"""A value as ``json.loads`` returns it: unchecked, so every rule narrows it before use.

A recursive union would be exact, but then each of the rules' type tests needs a cast as well.
"""

JSONObject: TypeAlias = dict[str, JSON]
"""A JSON object whose members are unchecked."""
