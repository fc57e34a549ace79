"""Every example of the documentation runs as it is."""

from __future__ import annotations

import html
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import write_docs_tables
import yaml
from inner_runs import run_here

from pytest_chatapi.cli.main import main
from pytest_chatapi.contract.bundled import bundled
from pytest_chatapi.faults import SETS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(kind, text, id=f"{page.name}-{number}-{kind}")
    for page in PAGES
    if page.is_file()
    for number, (kind, text) in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
    if kind in ("python", "console", "toml")
    and not text.startswith(("# pip install", "# npm install"))
]  # what needs other packages is run by tests/real/test_recipes.py


def test_there_are_examples() -> None:
    assert len(PAGES) > 6
    assert len(BLOCKS) > 10


@pytest.mark.parametrize(("kind", "text"), BLOCKS)
def test_example(
    kind: str,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for folder in ("cassettes", "path/to/your/cassettes", "logs"):
        shutil.copytree(bundled("cassettes"), tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    if kind == "python":
        exec(compile(text, "example", "exec"), {"__name__": "example"})
        return
    if kind == "toml":
        Path("pyproject.toml").write_text(text, encoding="utf-8")
        text = "$ chatapi check --show-settings"
    for command in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
        words = shlex.split(command)
        if words[0] == "chatapi" and "|" not in words and ">" not in words:
            status = main(words[1:])
            assert status in (0, 1), (command, capsys.readouterr().err)


# What the examples take for granted.
CONFTEST = """
import json, openai, pytest

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]

class Agent:
    def run(self, question):
        client = openai.OpenAI()
        messages = [{"role": "user", "content": question}]
        while True:
            answer = client.chat.completions.create(
                model="gpt-4o", messages=messages, tools=TOOLS, temperature=0)
            message = answer.choices[0].message
            if not message.tool_calls:
                return message.content
            messages.append(message)
            for call in message.tool_calls:
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})

class Application:
    def answer(self, question):
        messages = [{"role": "user", "content": question}]
        try:
            answer = openai.OpenAI().chat.completions.create(model="gpt-4o", messages=messages)
            return answer.choices[0].message.content or "Please try again later."
        except (openai.APIError, ValueError, TypeError):
            return "Please try again later."

agent = pytest.fixture(lambda: Agent())
application = pytest.fixture(lambda: Application())
"""
COMMAND = f"""#!{sys.executable}
import openai
messages = [{{"role": "user", "content": "Hi"}}]
print(openai.OpenAI().chat.completions.create(model="m", messages=messages).choices[0].message)
"""


# One test of docs/faults.md runs with each fault of this set; some change nothing in its traffic.
SURVIVED = [fault for fault in SETS["resilience"] if "whole" in fault.entry.sdk]
SKIPPED = len(SETS["resilience"]) - len(SURVIVED)


@pytest.mark.parametrize(
    ("page", "passed", "skipped"),
    [
        ("mock", 8, 0),
        ("faults", 2 + len(SURVIVED), SKIPPED),
        ("server", 1, 0),
        ("figures", 2, 0),
        ("recipes", 2, 0),
        ("move-from", 2, 0),
        ("faq", 2, 0),
    ],
)
def test_the_tests_of_a_page_pass(
    page: str,
    passed: int,
    skipped: int,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "CI"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    command = pytester.path / "my-command"
    command.write_text(COMMAND)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{pytester.path}{os.pathsep}{os.environ['PATH']}")
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    for number, (kind, code) in enumerate(FENCE.findall(text)):
        if kind == "python" and not code.startswith(("# pip install", "# npm install")):
            (pytester.path / f"test_{number}.py").write_text(code)
    run_here(pytester).assert_outcomes(passed=passed, skipped=skipped)


def test_the_commands_for_ci_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    shutil.copytree(bundled("cassettes"), tmp_path / "tests" / "cassettes")
    monkeypatch.chdir(tmp_path)
    for kind, block in FENCE.findall(text):
        if kind == "yaml":
            assert yaml.safe_load(block), block
    commands = set(re.findall(r"chatapi check [^`\n]*tests/cassettes", text))
    assert len(commands) == 4
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command
    assert (tmp_path / "chatapi.sarif").is_file()


def test_the_line_that_moves_a_suite(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "move-from.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^grep .*sed.*$", text, re.MULTILINE)
    test = tmp_path / "tests" / "test_a.py"
    test.parent.mkdir()
    test.write_text("@pytest.mark.vcr\n@pytest.mark.vcr()\n@pytest.mark.vcr_other\n")
    subprocess.run(["bash", "-c", line], cwd=tmp_path, check=True)
    assert test.read_text() == (
        "@pytest.mark.chatapi\n@pytest.mark.chatapi()\n@pytest.mark.vcr_other\n"
    )


@pytest.mark.parametrize("name", write_docs_tables.TABLES)
def test_tables_are_those_of_the_code(name: str) -> None:
    _, text, new_text = write_docs_tables.with_table(name)
    assert text == new_text, "run python tests/write_docs_tables.py"
    assert text.count(f"<!-- {name}:start -->") == 1


def test_each_rule_has_its_page() -> None:
    pages = write_docs_tables.rule_pages()
    folder = ROOT / "docs" / "rules"
    assert sorted(folder.iterdir()) == sorted(pages)
    different = [
        page.name for page, text in pages.items() if page.read_text(encoding="utf-8") != text
    ]
    assert different == [], "run python tests/write_docs_tables.py"


def test_the_navigation_has_every_page() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"^ +- .+: (\S+\.md)$", config, re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in PAGES[1:])


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(file), f"{page.name}: {target}#{anchor}"


def anchors(page: Path) -> list[str]:
    """Those of the headings, as GitHub and the site make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


def test_the_readme_says_which_faults_fail(pytester: pytest.Pytester) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "Three of them fail" in text
    (code,) = (code for kind, code in FENCE.findall(text) if "chatapi_faults" in code)
    pytester.makepyfile(code)
    result = run_here(pytester, "-p", "no:asyncio")
    result.assert_outcomes(passed=23, failed=3, skipped=4)
    result.stdout.fnmatch_lines(
        ["FAILED *[[]empty_body]*", "FAILED *[[]gzip_cut]*", "FAILED *[[]error_body_200]*"]
    )


def test_the_picture_shows_what_the_command_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT / "docs" / "example")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["check", "cassettes"]) == 1
    picture = (ROOT / "docs" / "finding.svg").read_text(encoding="utf-8")
    shown = html.unescape(re.sub("<[^>]*>", "", picture[picture.index("</defs>") :]))
    missing = [line for line in capsys.readouterr().out.split() if line not in shown]
    assert not missing, "run python docs/write_picture.py"
