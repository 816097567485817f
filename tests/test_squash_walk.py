"""The walk in docs/squash.md, command by command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.project import ENV_PY, Project
from tests.squash_project import dump, rows, with_template
from tests.test_squash_later import git

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster import Cluster

PAGE = Path(__file__).parent.parent / "docs" / "squash.md"
BY_SECTION = ENV_PY.replace('config.get_section("alembic")', "config.get_section(config.config_ini_section)")


NUMBER = re.compile(r"\b\d+(?:\.\d+)? (?:ms|s)\b")
"""How long something took."""


@pytest.mark.long
def test_the_walk(tmp_path: Path, cluster: Cluster, make_database: Callable[..., str]) -> None:
    text = PAGE.read_text()
    section = text[text.index("## A walk") : text.index("## What it refuses")]
    blocks = re.findall(r"```(console|python)\n(.*?)```", section, re.DOTALL)
    assert [kind for kind, _ in blocks] == ["console", "python", "console", "console", "console"]
    names = {name: make_database() for name in ("alembic", "fresh", "live", "middle")}
    project = begun(tmp_path / "shop", cluster, names)

    def walk(block: str) -> None:
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, expected = step.partition("\n")
            assert plain(said(project, cluster, names, line), project) == plain(expected, project), line

    walk(blocks[0][1])
    (file,) = (project.folder / "migrations" / "versions").glob("*.py")
    assert blocks[1][1] in file.read_text()
    walk(blocks[2][1])
    assert dump(cluster, names["fresh"]) == dump(cluster, names["live"]) == dump(cluster, names["middle"])
    assert rows(cluster, names["middle"], "SELECT id, name, mail FROM users") == [(7, "Ada", None)]
    walk(blocks[3][1])
    walk(blocks[4][1])
    assert [path.name for path in (project.folder / "migrations" / "squashed").rglob("*.*")] == ["pruned.json"]
    assert rows(cluster, names["live"], "SELECT id, name FROM users") == [(7, "Ada")]


def begun(folder: Path, cluster: Cluster, names: dict[str, str]) -> Project:
    """Return the project as the walk finds it."""
    project = with_template(Project.create(folder, cluster.url(names["alembic"]), env_py=BY_SECTION))
    with (project.folder / "alembic.ini").open("a") as ini:
        for name in ("fresh", "live", "middle"):
            ini.write(f"\n[{name}]\nscript_location = %(here)s/migrations\npath_separator = os\n"
                      f"sqlalchemy.url = {cluster.url(names[name])}\n")  # fmt: skip
    (project.folder / ".gitignore").write_text("__pycache__\n")
    for words in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "begin"]):
        git(project, *words)
    project.run("-n", "live", "upgrade", "head", check=0)
    project.run("-n", "middle", "upgrade", "a2", check=0)
    for name in ("live", "middle"):
        with cluster.connect(names[name]) as connection:
            connection.execute("INSERT INTO users (id, name) VALUES (7, 'Ada')")
    return project


def said(project: Project, cluster: Cluster, names: dict[str, str], line: str) -> str:
    """Run a line of the page, and return what it prints."""
    program, *words = (word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line))
    for name in ("live", "middle"):
        words = [word.replace(f"postgresql+psycopg://app@db/{name}", cluster.url(names[name])) for word in words]
    if program == "git":
        return git(project, *words)
    assert program == "alembic"
    return project.run(*words, check=0).stdout


def plain(text: str, project: Project) -> str:
    """Return a text without what is another one each time: durations, the folder, and where lines are wrapped."""
    return " ".join(NUMBER.sub("N s", text.replace(str(project.folder), "/srv/shop")).split())
