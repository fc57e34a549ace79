"""Each code has one home: a decorated function, or ``x-rule`` in the schemas."""

from __future__ import annotations

import ast
import json
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from pytest_chatapi.contract import rules as rules_package
from pytest_chatapi.contract.bundled import bundled
from pytest_chatapi.contract.catalogue import FAMILIES, get_rule, rules
from pytest_chatapi.contract.rules.registry import (
    RULES,
    Violation,
    checks,
    code_of,
    codes_of,
    rule,
)

for module in pkgutil.iter_modules(rules_package.__path__):
    import_module(f"{rules_package.__name__}.{module.name}")

CONTRACT = Path(rules_package.__file__).parent.parent
CODE = re.compile(f"[{''.join(FAMILIES)}]\\d\\d")
DECORATED = {
    (code, path.relative_to(CONTRACT).as_posix(), name)
    for path in sorted(CONTRACT.rglob("*.py"))
    for code, name in (
        (decorator.args[0].value, node.name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Name)
        and decorator.func.id == "rule"
        and isinstance(decorator.args[0], ast.Constant)
    )
}


def codes_of_schemas() -> set[str]:
    found: set[str] = set()

    def look(value: object) -> None:
        if isinstance(value, dict):
            named = value.get("x-rule", ())
            found.update([named] if isinstance(named, str) else dict(named).values())
            for member in value.values():
                look(member)
        elif isinstance(value, list):
            for member in value:
                look(member)

    for path in bundled("schemas").glob("*.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        if "$schema" in document:
            look(document)
    return found


def test_every_code_has_exactly_one_home() -> None:
    """A schema may report under the code of a function too; only then it has two places."""
    assert len(DECORATED) == len(RULES)
    assert {code for code, _, _ in DECORATED} == set(RULES)
    assert set(rules()) - set(RULES) == codes_of_schemas() - set(RULES)
    assert set(RULES) <= set(rules())
    assert codes_of_schemas() <= set(rules())


def test_the_codes_that_only_the_schemas_give() -> None:
    # Literal, so that a rule that loses its function does not pass for one of the schemas.
    assert sorted(set(rules()) - set(RULES)) == (
        "C02 Q01 Q05 Q06 Q07 Q09 Q15 S03 S07 S11 S12 S13 S14 U06 X02".split()
    )


def test_a_function_is_named_as_its_rule() -> None:
    named = {code: get_rule(code).name.replace("-", "_") for code in RULES}
    assert {code: function.__name__ for code, function in RULES.items()} == named
    assert [code_of(function) for function in RULES.values()] == [*RULES]


def code_literals(path: Path) -> Iterator[tuple[int, str]]:
    """Line and code of each literal that is neither a decorator's nor only compared with."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    allowed: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            allowed.update(ast.walk(node))
        elif isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                allowed.update(ast.walk(decorator))
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Constant) and node not in allowed else None
        if isinstance(value, str) and CODE.fullmatch(value):
            yield node.lineno, value


def test_no_code_is_emitted_outside_of_its_home() -> None:
    found = {str(path): [*code_literals(path)] for path in CONTRACT.rglob("*.py")}
    assert {path: codes for path, codes in found.items() if codes} == {}


def test_a_code_is_registered_once() -> None:
    with pytest.raises(ValueError, match="U02 is usage_total already"):

        @rule("U02")
        def another() -> None: ...

    assert RULES["U02"].__name__ == "usage_total"


def test_checks_keep_their_order() -> None:
    first, second = RULES["U04"], RULES["U01"]
    assert checks(first, second) == (("U04", first), ("U01", second))
    assert codes_of(first, second) == {"U01", "U04"}


def test_a_rule_is_a_plain_function() -> None:
    """So that it can be tried, and read, alone."""
    from pytest_chatapi.contract.rules.usage import Counts, usage_total

    usage = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 20}
    assert usage_total(Counts(usage, True, None, "$.usage")) == Violation(
        "$.usage.total_tokens", "21 (9 prompt + 12 completion)", 20, "the total is 1 too low"
    )
    usage["total_tokens"] = 21
    assert usage_total(Counts(usage, True, None, "$.usage")) is None
