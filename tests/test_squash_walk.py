"""The walk in docs/squash.md, command by command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.project import ENV_PY, Project
from tests.squash_project import dump, rows, with_template

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster import Cluster

PAGE = Path(__file__).parent.parent / "docs" / "squash.md"
BY_SECTION = ENV_PY.replace('config.get_section("alembic")', "config.get_section(config.config_ini_section)")


@pytest.mark.long
def test_the_walk(tmp_path: Path, cluster: Cluster, make_database: Callable[..., str]) -> None:
    text = PAGE.read_text()
    section = text[text.index("## A walk") : text.index("## What it refuses")]
    first, second = (block.strip().splitlines() for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL))
    names = {name: make_database() for name in ("alembic", "fresh", "live", "middle")}
    project = with_template(Project.create(tmp_path / "app", cluster.url(names["alembic"]), env_py=BY_SECTION))
    with (project.folder / "alembic.ini").open("a") as ini:
        for name in ("fresh", "live", "middle"):
            ini.write(f"\n[{name}]\nscript_location = %(here)s/migrations\npath_separator = os\n"
                      f"sqlalchemy.url = {cluster.url(names[name])}\n")  # fmt: skip
    project.run("-n", "live", "upgrade", "head", check=0)
    project.run("-n", "middle", "upgrade", "a2", check=0)
    for name in ("live", "middle"):
        with cluster.connect(names[name]) as connection:
            connection.execute("INSERT INTO users (id, name) VALUES (7, 'Ada')")

    def run(line: str) -> str:
        line = line.replace("LIVE", cluster.url(names["live"])).replace("MIDDLE", cluster.url(names["middle"]))
        assert line.startswith("alembic "), line
        words = re.findall(r'"[^"]*"|\S+', line)[1:]
        return project.run(*(word.strip('"') for word in words), check=0).stdout

    said = [run(line) for line in first]
    assert said[1].strip() == "<base> -> a3 (head), The beginning"
    assert said[-1].strip() == "a3 (head)"
    assert dump(cluster, names["fresh"]) == dump(cluster, names["live"]) == dump(cluster, names["middle"])
    assert rows(cluster, names["middle"], "SELECT id, name, mail FROM users") == [(7, "Ada", None)]
    for line in second:
        run(line)
    assert [path.name for path in (project.folder / "migrations" / "squashed").rglob("*.*")] == ["pruned.json"]
    assert rows(cluster, names["live"], "SELECT id, name FROM users") == [(7, "Ada")]
