"""A column that moves to another table is filled by a push from where it was, and becomes phases in a milestone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.models_project import ENV_WITH_REWRITER, ModelsProject

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cluster import Cluster

pytestmark = pytest.mark.long

MODELS = """
sa.Table("customers", metadata, sa.Column("id", sa.Integer, primary_key=True){})
sa.Table("moved", metadata, sa.Column("id", sa.ForeignKey("customers.id"), primary_key=True){})
"""
BEFORE = MODELS.format(', sa.Column("phone", sa.Text)', "")
AFTER = MODELS.format("", ', sa.Column("phone", sa.Text, info=moved_from("customers.phone", on={"id": "id"}))')
ROWS = "INSERT INTO customers VALUES (1, '111'), (2, '222'); INSERT INTO moved VALUES (1)"


def rows(cluster: Cluster, database: str) -> list[tuple[object, ...]]:
    with cluster.connect(database) as connection:
        return connection.execute("SELECT id, phone FROM moved").fetchall()


def test_a_push_fills_it_and_a_milestone_writes_the_phases(
    tmp_path: Path, cluster: Cluster, database: str, make_database: Callable[..., str]
) -> None:
    app = ModelsProject.make(tmp_path / "app", cluster.url(database), BEFORE, env_py=ENV_WITH_REWRITER)
    app.run("revision", "--autogenerate", "-m", "first", check=0)
    app.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        connection.execute(ROWS)
    production, colleague = make_database(template=database), make_database(template=database)
    app.models(AFTER, imports="from alembic_safe import moved_from")
    app.run("dev-push", "--accept", "drop-column:customers.phone", check=0)
    assert rows(cluster, database) == [(1, "111")]
    app.run("milestone", "-m", "phones", check=0)
    (contract,) = (app.folder / "migrations" / "contracts").glob("*.py")
    assert "op.drop_table_sync('customers', 'moved', {'phone': 'phone'}, on={'id': 'id'})" in contract.read_text()
    # a colleague's database is expanded, and brought to the models by a push: the sync ends with it
    other = app.on(cluster.url(colleague))
    other.run("upgrade", "head", check=0)
    other.run("dev-push", "--accept", "drop-column:customers.phone", check=0)
    with cluster.connect(colleague) as connection:
        assert connection.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal").fetchall() == []
    app.run("safe-contract", check=0)
    for name in (database, production, colleague):
        one = app.on(cluster.url(name))
        one.run("upgrade", "head", check=0)
        if name != colleague:  # whose pushes no milestone of its own has
            one.run("check", check=0)
        assert rows(cluster, name) == [(1, "111")]


def test_a_move_is_given_up(tmp_path: Path, cluster: Cluster, database: str) -> None:
    app = ModelsProject.make(tmp_path / "app", cluster.url(database), BEFORE, env_py=ENV_WITH_REWRITER)
    app.run("revision", "--autogenerate", "-m", "first", check=0)
    app.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        connection.execute(ROWS)
    app.models(AFTER, imports="from alembic_safe import moved_from")
    app.run("revision", "--autogenerate", "-m", "phones", check=0)
    app.run("upgrade", "head", check=0)
    app.run("safe-contract", "--abandon", "phones", check=0)
    app.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        assert connection.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal").fetchall() == []
        connection.execute("UPDATE moved SET phone = 'x'")
        assert connection.execute("SELECT phone FROM customers ORDER BY id").fetchall() == [("111",), ("222",)]
