"""With neither settings nor marker, stock commands say and do byte for byte what they say and do without us."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.compat.transcript import Side, make_mistakes, work_as_usual

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cluster import Cluster

OUR_COMMANDS = re.compile(r"^    (?:safe-[a-z]+|dev-push|milestone|squash) .*\n", re.MULTILINE)
EVERYTHING_IN_THE_DATABASE = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1
"""


def assert_same(without: Side, with_ours: Side) -> None:
    """Compare command by command, so that a failure names the command."""
    for before, after in zip(without.said, with_ours.said, strict=True):
        assert after == before
    assert with_ours.files() == without.files()


def assert_a_week_was_done(side: Side) -> None:
    """What is compared must be the work, and not the same early failure twice."""
    assert [said.command for said in side.said[:15] if said.exit_code] == []
    assert {
        "<folder>/migrations/versions/1a_first.py",
        "<folder>/migrations/versions/2b_second.py",
    } <= side.files().keys()


def assert_mistakes_were_met(side: Side) -> None:
    """A failure that Alembic words, and one that ends in a traceback, were among what is compared."""
    said = {said.command: said for said in side.said[15:]}
    assert {name: one.exit_code for name, one in said.items() if one.exit_code} == {
        "check": 255,
        "upgrade nowhere": 255,
        "upgrade head": 1,
    }
    assert "Traceback" in said["upgrade head"].stderr
    assert "nowhere" in said["upgrade head"].stderr


@pytest.fixture
def sides(tmp_path: Path, cluster: Cluster, make_database: Callable[..., str]) -> tuple[Side, Side]:
    """Two projects on two empty PostgreSQL databases, without and with the plugin."""
    names = (make_database(), make_database())
    return (
        Side(tmp_path / "a" / "shop", cluster.url(names[0]), plugin=False, database=names[0]),
        Side(tmp_path / "b" / "shop", cluster.url(names[1]), plugin=True, database=names[1]),
    )


@pytest.mark.long
def test_stock_commands_on_postgresql_say_the_same_with_and_without_the_plugin(sides, cluster):
    for side in sides:
        work_as_usual(side, "generic")
        assert_a_week_was_done(side)
        make_mistakes(side)
        assert_mistakes_were_met(side)
    assert_same(*sides)
    for side in sides:
        with cluster.connect(side.database) as connection:
            left = [name for (name,) in connection.execute(EVERYTHING_IN_THE_DATABASE)]
        assert left == ["public.alembic_version", "public.alembic_version_pkc"]


@pytest.mark.long
@pytest.mark.parametrize("template", ["pyproject"])
def test_other_templates_on_postgresql_say_the_same_with_and_without_the_plugin(sides, template):
    for side in sides:
        work_as_usual(side, template)
        assert_a_week_was_done(side)
    assert_same(*sides)


def test_stock_commands_on_sqlite_say_the_same_with_and_without_the_plugin(tmp_path):
    without = Side(tmp_path / "a" / "shop", "sqlite:///shop.db", plugin=False)
    with_ours = Side(tmp_path / "b" / "shop", "sqlite:///shop.db", plugin=True)
    for side in (without, with_ours):
        work_as_usual(side, "generic")
        assert_a_week_was_done(side)
    assert_same(without, with_ours)


def test_the_help_differs_in_the_lines_of_our_commands_only(tmp_path):
    without = Side(tmp_path / "a" / "shop", "sqlite://", plugin=False)
    with_ours = Side(tmp_path / "b" / "shop", "sqlite://", plugin=True)
    before, after = without.run("--help"), with_ours.run("--help")
    ours = [line.split()[0] for line in OUR_COMMANDS.findall(after.stdout)]
    assert len(ours) >= 6
    assert OUR_COMMANDS.sub("", after.stdout).replace("," + ",".join(ours), "") == before.stdout
    assert after.stderr == before.stderr == ""
    for command in ("upgrade", "revision", "current"):
        assert with_ours.run(command, "--help") == without.run(command, "--help")
