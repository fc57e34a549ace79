"""L: log probabilities."""

from __future__ import annotations

from typing import Any

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Choice
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.wording import ABSENT, Shown, plural

__all__ = ["Tokens", "check_asked"]

_CEILING = 0.001  # the reference service rounds up to 3.05e-05 at times
_FLOOR = -9999.0  # documented as "very unlikely"


class Tokens:
    """The tokens of one choice, checked as they come.

    What is wrong with many tokens is one finding that counts them.
    """

    __slots__ = ("_ask", "_came", "_found", "_known", "_ledger", "_spelled")

    def __init__(self, ledger: Ledger, ask: Ask) -> None:
        self._ledger = ledger
        self._ask = ask
        self._spelled = {"content": bytearray(), "refusal": bytearray()}
        self._known = {"content": True, "refusal": True}
        self._came: set[str] = set()
        self._found: dict[str, list[Any]] = {}  # code -> first finding, and how many

    def add(self, member: str, tokens: list[Any], path: str, chunk: int | None) -> None:
        """L02 and L03 for each token; what has the wrong shape is the schema's (L01)."""
        spelled, most = self._spelled[member], self._ask.top_logprobs
        self._came.add(member)
        for position, token in enumerate(tokens):
            if type(token) is not dict:
                self._known[member] = False
                continue
            self._range(token.get("logprob"), path, position, "", chunk)
            raw = token.get("bytes")
            if type(raw) is list and self._known[member]:
                try:
                    spelled += bytes(raw)
                except TypeError:
                    self._known[member] = False  # the schema says so
                except ValueError:
                    self._known[member] = False
                    self._note(
                        "L01",
                        f"{path}[{position}].bytes",
                        "integers from 0 to 255",
                        raw,
                        "`bytes` holds what is no byte",
                        chunk,
                    )
            else:
                self._known[member] = False
            top = token.get("top_logprobs")
            if type(top) is list and top:
                for at, other in enumerate(top):
                    if type(other) is dict:
                        self._range(
                            other.get("logprob"), path, position, f".top_logprobs[{at}]", chunk
                        )
                if self._ask.logprobs and len(top) > most:
                    self._note(
                        "L03",
                        f"{path}[{position}].top_logprobs",
                        f"at most {most}",
                        Shown(str(len(top))),
                        f"{len(top)} alternatives, and the request asks for {most}",
                        chunk,
                    )

    def _range(self, value: Any, path: str, position: int, inner: str, chunk: int | None) -> None:
        if type(value) in (int, float) and not _FLOOR <= value <= _CEILING:
            self._note(
                "L02",
                f"{path}[{position}]{inner}.logprob",
                "a number from -9999 to 0",
                value,
                "a log probability is out of range",
                chunk,
            )

    def _note(
        self, code: str, path: str, expected: str, got: Any, message: str, chunk: int | None
    ) -> None:
        found = self._found.get(code)
        if found is None:
            self._found[code] = [(path, expected, got, message, chunk), 0]
        else:
            found[1] += 1

    def end(self, choice: Choice, *, whole: bool) -> None:
        """Reports L02 and L03, one finding a cause, and L04 where the text was kept."""
        for code, ((path, expected, got, message, chunk), more) in self._found.items():
            if more:
                message += f" (and {plural(more, 'more token')})"
            self._ledger.add(code, path, expected, got, message, chunk=chunk)
        whole = whole and not choice.parts  # what is no text has been told
        for member, text in (("content", choice.content), ("refusal", choice.refusal)):
            if not (whole and self._known[member] and member in self._came and text.kept):
                continue
            if bytes(self._spelled[member]) != str(text).encode("utf-8", "surrogatepass"):
                self._ledger.add(
                    "L04",
                    f"$.choices[{choice.index}].logprobs.{member}",
                    f"the bytes of the {member}",
                    bytes(self._spelled[member]),
                    f"the bytes of the tokens are not the {member}",
                )


def check_asked(ledger: Ledger, ask: Ask, choice: Choice) -> None:
    """L05."""
    if not ask.known:
        return
    path = f"$.choices[{choice.index}].logprobs"
    if ask.logprobs and not choice.logprobs and (choice.content.any or choice.refusal.any):
        ledger.add(
            "L05",
            path,
            "an object",
            ABSENT,
            "log probabilities were asked for and did not come",
        )
    elif choice.logprobs and not ask.logprobs:
        ledger.add(
            "L05",
            path,
            "null or absent",
            Shown("an object"),
            "log probabilities come unasked",
            case="unasked",
        )
