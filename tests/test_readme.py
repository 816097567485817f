"""What the README promises can be run."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def commands(page: str) -> list[str]:
    """Return the lines of the page's ``sh`` blocks."""
    text = (ROOT / page).read_text()
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


def test_ci_runs_the_readmes_test_command():
    command = next(line for line in commands("README.md") if line.endswith("tox run"))
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_readmes_demo_is_an_environment_of_tox():
    command = next(line for line in commands("README.md") if "tox run -e" in line)
    assert f"[testenv:{command.rsplit(' ', 1)[1]}]" in (ROOT / "tox.ini").read_text()


def test_every_page_the_readme_points_to_exists():
    for page in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / page).exists(), page
