"""Each recipe of docs/recipes.md, in an environment that has the packages it installs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import real_servers

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
BLOCK = re.compile(
    r"^```python\n(# (?:pip|npm) install ([^\n]*)\n.*?)^```$", re.MULTILINE | re.DOTALL
)
RECIPES = {needs: code for code, needs in BLOCK.findall(PAGE.read_text(encoding="utf-8"))}
OPENAI_2 = {"instructor", "llama-index-llms-openai"}  # which refuse openai 3


def test_there_are_recipes() -> None:
    assert len(RECIPES) > 8
    assert RECIPES.keys() > OPENAI_2


@pytest.mark.parametrize("needs", RECIPES)
def test_recipe(needs: str, tmp_path: Path) -> None:
    try:
        python = real_servers.python("openai2" if needs in OPENAI_2 else "clients")
        modules = real_servers.part("node") / "node_modules" if "&&" in needs else ""
    except real_servers.Unavailable as missing:
        pytest.skip(str(missing))
    (tmp_path / "test_recipe.py").write_text(RECIPES[needs], encoding="utf-8")
    without_key = {name: value for name, value in os.environ.items() if "OPENAI" not in name}
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_recipe.py"],
        cwd=tmp_path,
        env={**without_key, "NODE_PATH": os.fspath(modules)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
