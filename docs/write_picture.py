"""Makes docs/finding.svg, the picture in the README, from what `chatapi check` prints.

    python docs/write_picture.py

Needs rich, of the extra `docs`. Nothing in the picture is fetched when it is looked at.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PICTURE = DOCS / "finding.svg"
COLUMNS = 80
COMMAND = ["chatapi", "check", "cassettes"]


def printed() -> str:
    """What the command prints, with the colours of a terminal."""
    run = subprocess.run(
        [Path(sys.executable).with_name(COMMAND[0]), *COMMAND[1:]],
        cwd=DOCS / "example",
        env={**os.environ, "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    return f"$ {' '.join(COMMAND)}\n{run.stdout}{run.stderr}"


def main() -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(printed()))
    svg = console.export_svg(title=" ".join(COMMAND))
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    PICTURE.write_text(svg.replace("Fira Code", "ui-monospace, Menlo, Consolas"), encoding="utf-8")


if __name__ == "__main__":
    main()
