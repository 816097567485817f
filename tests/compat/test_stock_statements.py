"""With neither settings nor marker, a stock command sends one question of ours to PostgreSQL, and nothing else."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import pytest

from tests.compat.transcript import Side

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cluster import Cluster

IDENTITY = "the question whether the database is marked"
SUBTRACTION = "the question which tables are ours"


def statements(stderr: str) -> list[str]:
    """Return what SQLAlchemy's echo shows as sent, our own questions by their names."""
    sent = [text.strip() for text in stderr.split("INFO  [sqlalchemy.engine.Engine] ")[1:]]
    named = []
    for text in sent:
        # a line of parameters begins with a bracket, and belongs to the statement before it
        if not text.startswith("["):
            ours = IDENTITY if "'alembic_safe_environment'" in text else SUBTRACTION if "AS own_schema" in text else ""
            named.append(ours or text)
    return named


def added(without: list[str], with_ours: list[str]) -> list[str]:
    """Return what was sent only with the plugin; nothing may be missing or moved."""
    found = []
    for kind, _, _, start, end in SequenceMatcher(None, without, with_ours, autojunk=False).get_opcodes():
        assert kind in ("equal", "insert")
        if kind == "insert":
            found += with_ours[start:end]
    return sorted(found)


def echo(side: Side, *, per_migration: bool) -> Side:
    """Make a project whose engine shows every statement."""
    side.init("generic")
    ini, env = side.folder / "alembic.ini", side.folder / "migrations" / "env.py"
    ini.write_text(ini.read_text().replace("sqlalchemy.url =", "sqlalchemy.echo = true\nsqlalchemy.url ="))
    if per_migration:
        call = "connection=connection, "
        env.write_text(env.read_text().replace(call, call + "transaction_per_migration=True, "))
        assert "transaction_per_migration=True" in env.read_text()
    side.run("revision", "--autogenerate", "-m", "first", "--rev-id", "1a")
    return side


@pytest.mark.parametrize("per_migration", [False, True], ids=["one-transaction", "transaction-per-migration"])
@pytest.mark.cases("one-transaction")
def test_a_stock_command_sends_one_question_of_ours_and_autogenerate_one_more(
    tmp_path: Path, cluster: Cluster, make_database: Callable[..., str], per_migration: bool
):
    sides = []
    for name, plugin in (("a", False), ("b", True)):
        database = make_database()
        side = Side(tmp_path / name / "shop", cluster.url(database), plugin=plugin, database=database)
        sides.append(echo(side, per_migration=per_migration))
    # where no transaction was open, ours is one of its own, so that Alembic finds the connection as it was
    own_transaction = ["BEGIN (implicit)", "ROLLBACK"] if per_migration else []
    for command, questions in (
        ("upgrade head", [IDENTITY]),
        ("current", [IDENTITY]),
        # the second: whether what autogenerate sees was pushed, so that its silence would be a false one
        ("check", [IDENTITY, IDENTITY, SUBTRACTION]),
    ):
        before, after = (side.run(*command.split()) for side in sides)
        assert before.exit_code == after.exit_code == 0
        assert added(statements(before.stderr), statements(after.stderr)) == sorted(own_transaction + questions), (
            command
        )
