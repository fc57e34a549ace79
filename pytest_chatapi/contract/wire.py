"""The types of what came over the wire, before anything is known about it."""

from __future__ import annotations

import marshal
from typing import Any, TypeAlias

__all__ = ["JSON", "JSONObject", "fingerprint"]

JSON: TypeAlias = Any
"""A value as ``json.loads`` returns it: unchecked, so every rule narrows it before use.

A recursive union would be exact, but then each of the rules' type tests needs a cast as well.
"""

JSONObject: TypeAlias = dict[str, JSON]
"""A JSON object whose members are unchecked."""


def fingerprint(value: JSON) -> bytes:
    """Bytes by which values can be remembered: other ones for any other value, or type of it.

    A third of the time that `repr` takes. Equal values may have several.

    Raises:
        ValueError: there is something in it that JSON does not have, or it is nested too deeply.
    """
    return marshal.dumps(value, 2)  # later versions write what is the same object once
