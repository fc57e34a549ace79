"""L: log probabilities."""

from __future__ import annotations

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Choice, Text
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules.facts import ChoiceFacts
from pytest_chatapi.contract.rules.registry import Violation, code_of, rule
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT, Shown, plural, show

__all__ = ["Tokens", "logprob_asked"]

_CEILING = 0.001  # the reference service rounds up to 3.05e-05 at times
_FLOOR = -9999.0  # documented as "very unlikely"
_TIE = 0.001  # two log probabilities as near as this may come in either order


class Tokens:
    """The tokens of one choice, checked as they arrive.

    A violation of many tokens is one finding that counts them.
    """

    __slots__ = ("_ask", "_came", "_first", "_known", "_ledger", "_more", "_spelled")

    def __init__(self, ledger: Ledger, ask: Ask) -> None:
        self._ledger = ledger
        self._ask = ask
        self._spelled = {"content": bytearray(), "refusal": bytearray()}
        self._known = {"content": True, "refusal": True}
        self._came: set[str] = set()
        self._first: dict[str, Violation] = {}  # by code
        self._more: dict[str, int] = {}

    def add(self, member: str, tokens: list[JSON], path: str, chunk: int | None) -> None:
        """L01 to L03 and L06 for each token; a wrong shape violates the schema."""
        self._came.add(member)
        for position, token in enumerate(tokens):
            if type(token) is not dict:
                self._known[member] = False
                continue
            value: JSON = token.get("logprob")
            if type(value) in (int, float) and not _FLOOR <= value <= _CEILING:
                self._note(_RANGE, logprob_range(f"{path}[{position}]", value, chunk))
            if self._known[member]:
                self._spell(member, token.get("bytes"), path, position, chunk)
            top = token.get("top_logprobs")
            if type(top) is list and top:
                self._alternatives(top, token, path, position, chunk)

    def _spell(self, member: str, raw: JSON, path: str, position: int, chunk: int | None) -> None:
        known = False
        if type(raw) is list:
            try:
                self._spelled[member] += bytes(raw)
                known = True
            except TypeError:
                pass  # it violates the schema
            except ValueError:
                self._note(_SHAPE, logprob_shape(f"{path}[{position}]", raw, chunk))
        self._known[member] = known

    def _alternatives(
        self, top: list[JSON], chosen: JSONObject, path: str, position: int, chunk: int | None
    ) -> None:
        known, rises, bound = True, False, _CEILING  # no later alternative is above the bound
        for at, token in enumerate(top):
            value: JSON = token.get("logprob") if type(token) is dict else None
            if type(value) in (int, float):
                if not _FLOOR <= value <= _CEILING:
                    place = f"{path}[{position}].top_logprobs[{at}]"
                    self._note(_RANGE, logprob_range(place, value, chunk))
                elif value > bound:
                    rises = True
                bound = value + _TIE
            else:
                known = False
        count, most = len(top), self._ask.top_logprobs
        own: JSON = chosen.get("logprob")
        left_out = None
        if type(own) in (int, float) and bound < own <= _CEILING and count >= most:
            left_out = None if _is_among(chosen, top) else chosen
        if known and (rises or left_out is not None):
            place = f"{path}[{position}].top_logprobs"
            self._note(_ORDER, top_order(place, top, None if rises else left_out, chunk))
        if self._ask.logprobs and count > most:
            place = f"{path}[{position}].top_logprobs"
            self._note(_TOP_COUNT, logprob_top_count(place, count, most, chunk))

    def _note(self, code: str, violation: Violation) -> None:
        if code in self._first:
            self._more[code] = self._more.get(code, 0) + 1
        else:
            self._first[code] = violation

    def end(self, choice: Choice, *, whole: bool) -> None:
        """Reports L01 to L03 and L06, one finding for each, and L04 where the text was kept."""
        for code, violation in self._first.items():
            if more := self._more.get(code):
                message = f"{violation.message} (and {plural(more, 'more token')})"
                violation = violation._replace(message=message)
            self._ledger.add(code, violation)
        if not whole or choice.parts:
            return  # there is content that is not text, which is reported already
        for member, text in (("content", choice.content), ("refusal", choice.refusal)):
            if self._known[member] and member in self._came and text.kept:
                path = f"$.choices[{choice.index}].logprobs.{member}"
                self._ledger.report(logprob_bytes, path, member, self._spelled[member], text)


@rule("L01")
def logprob_shape(path: str, raw: list[JSON], chunk: int | None) -> Violation:
    """For a byte that is not within 0 to 255; other wrong shapes violate the schema."""
    message = "`bytes` contains a value that is not a byte"
    return Violation(f"{path}.bytes", "integers from 0 to 255", raw, message, chunk=chunk)


@rule("L02")
def logprob_range(path: str, value: float, chunk: int | None) -> Violation:
    message = "a log probability is out of range"
    return Violation(f"{path}.logprob", "a number from -9999 to 0", value, message, chunk=chunk)


@rule("L03")
def logprob_top_count(path: str, count: int, most: int, chunk: int | None) -> Violation:
    message = f"{count} alternatives, but the request asks for {most}"
    return Violation(path, f"at most {most}", Shown(str(count)), message, chunk=chunk)


@rule("L04")
def logprob_bytes(path: str, member: str, spelled: bytearray, text: Text) -> Violation | None:
    if spelled == str(text).encode("utf-8", "surrogatepass"):
        return None
    message = f"the bytes of the tokens do not spell the {member}"
    return Violation(path, f"the bytes of the {member}", bytes(spelled), message)


@rule("L05")
def logprob_asked(facts: ChoiceFacts) -> Violation | None:
    choice, asked = facts.choice, facts.ask.logprobs
    if choice.has_tokens if asked else not choice.logprobs:
        return None
    path = f"$.choices[{choice.index}].logprobs"
    if not asked:
        message = "log probabilities were not requested"
        return Violation(path, "null or absent", Shown("an object"), message, "unasked")
    if not (choice.content.any or choice.refusal.any):
        return None
    if choice.logprobs:
        message = "log probabilities were requested, but `logprobs` has no list of tokens"
        return Violation(path, "a list under `content`", Shown("an object without"), message)
    message = "log probabilities were requested, but are missing"
    return Violation(path, "an object", ABSENT, message)


def _is_among(chosen: JSONObject, top: list[JSON]) -> bool:
    own, token = chosen.get("logprob"), chosen.get("token")
    return any(
        type(other) is dict and (other.get("logprob") == own or other.get("token") == token)
        for other in top
    )


@rule("L06")
def top_order(
    path: str, top: list[JSON], left_out: JSONObject | None, chunk: int | None
) -> Violation:
    """For alternatives that are not sorted, or a more likely token that is not among them."""
    expected = "the most likely tokens, the likeliest first"
    values = [token.get("logprob") if type(token) is dict else None for token in top]
    if left_out is None:
        message = "`top_logprobs` is not in falling order"
        return Violation(path, expected, values, message, chunk=chunk)
    message = "`top_logprobs` leaves out the chosen token, which is more likely than its last one"
    got = Shown(f"{show(values, 60)} beside {show(left_out.get('logprob'))}")
    return Violation(path, expected, got, message, chunk=chunk)


_SHAPE = code_of(logprob_shape)
_RANGE = code_of(logprob_range)
_TOP_COUNT = code_of(logprob_top_count)
_ORDER = code_of(top_order)
