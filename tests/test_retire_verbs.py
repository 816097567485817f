"""``op.retire_*`` and ``op.restore_*`` as revision files, autogenerate and Alembic's commands meet them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import render_op_text
from alembic.autogenerate.api import AutogenContext, compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import ops

from alembic_safe.errors import Refused
from alembic_safe.operations.retire_column import RestoreColumnOp, RetireColumnOp
from alembic_safe.operations.retire_table import RestoreTableOp, RetireTableOp
from tests.retire_cases import Living, living

if TYPE_CHECKING:
    from tests.cluster import Cluster
    from tests.project import Project

__all__ = ["living"]


def rendered(living: Living, op: ops.MigrateOperation) -> str:
    with living.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"sqlalchemy_module_prefix": "sa.", "alembic_module_prefix": "op."}
        )
        return render_op_text(AutogenContext(context), op)


def test_a_column_s_line_holds_definition_key_and_formula_and_runs(living: Living) -> None:
    living.run("CREATE TABLE users (id serial PRIMARY KEY, fullname text NOT NULL, name text)")
    op = RetireColumnOp(
        "users", sa.Column("fullname", sa.Text(), nullable=False), key=("id",), replaced_by="name", down="name"
    )

    line = rendered(living, op)
    back = rendered(living, op.reverse())

    words = "'users', sa.Column('fullname', sa.Text(), nullable=False), key=('id',), replaced_by='name', down='name')"
    assert line == f"op.retire_column({words}"
    assert back == f"op.restore_column({words}"


def test_a_table_s_lines_are_those_of_create_table(living: Living) -> None:
    table = sa.Table(
        "t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), comment="what, it is", schema="s"
    )
    op = RetireTableOp.of(ops.DropTableOp.from_table(table))

    create = rendered(living, ops.CreateTableOp.from_table(table))

    assert rendered(living, op) == create.replace("op.create_table(", "op.retire_table(", 1)
    assert rendered(living, op.reverse()) == create.replace("op.create_table(", "op.restore_table(", 1)


def test_reverses_lead_back_and_diff_tuples_are_alembic_s_own(living: Living) -> None:
    del living
    column = sa.Column("c", sa.Text())
    drop = ops.DropColumnOp("t", "c", schema="s", _reverse=ops.AddColumnOp("t", column, schema="s"))
    op = RetireColumnOp.of(drop, key=("id",))

    assert isinstance(op.reverse(), RestoreColumnOp)
    assert isinstance(op.reverse().reverse(), RetireColumnOp)
    assert op.reverse().reverse().key == ("id",)
    assert op.to_diff_tuple()[:3] == ("remove_column", "s", "t")
    assert op.reverse().to_diff_tuple()[:3] == ("add_column", "s", "t")
    table = RetireTableOp(ops.CreateTableOp("t", [sa.Column("id", sa.Integer)]))
    assert isinstance(table.reverse(), RestoreTableOp)
    assert table.to_diff_tuple()[0] == "remove_table"
    assert table.reverse().to_diff_tuple()[0] == "add_table"


def test_replaced_by_without_down_is_an_error_that_says_why() -> None:
    with pytest.raises(ValueError, match="replaced_by and down belong together"):
        RetireColumnOp("t", sa.Column("c", sa.Text()), replaced_by="new")


def test_a_revision_retires_on_upgrade_and_restores_on_downgrade(
    project: Project, cluster: Cluster, database: str
) -> None:
    column = '_column("users", sa.Column("name", sa.Text()), key=("id",))'
    table = '_table("old", sa.Column("id", sa.Integer))'
    up, down = f"op.retire{column}\nop.retire{table}", f"op.restore{table}\nop.restore{column}"
    project.revision("a4", "a3", "retire", up, down)
    command.upgrade(project.config, "a3")
    with cluster.connect(database) as c:
        c.execute(
            "INSERT INTO users (id, name) VALUES (1, 'Ada'); CREATE TABLE old (id integer); INSERT INTO old VALUES (7)"
        )
    command.upgrade(project.config, "head")
    with cluster.connect(database) as c:
        assert c.execute("SELECT to_regclass('old'), to_jsonb(u) FROM users u").fetchall() == [
            (None, {"id": 1, "mail": None})
        ]

    command.downgrade(project.config, "-1")

    with cluster.connect(database) as c:
        assert c.execute("SELECT name FROM users").fetchall() == [("Ada",)]
        assert c.execute("SELECT id FROM old").fetchall() == [(7,)]
        assert c.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'alembic_safe_retired'::regnamespace"
        ).fetchall() == [(0,)]


def test_a_script_is_refused_with_the_reason(project: Project) -> None:
    project.revision("a4", "a3", "retire", 'op.retire_column("users", sa.Column("name", sa.Text()))')

    with pytest.raises(Refused, match="cannot be written as a script"):
        command.upgrade(project.config, "a3:head", sql=True)


def test_a_refusal_inside_safe_upgrade_keeps_its_words_and_rolls_back(
    project: Project, cluster: Cluster, database: str
) -> None:
    project.revision("a4", "a3", "retire", 'op.retire_column("users", sa.Column("name", sa.Text()))')
    command.upgrade(project.config, "a3")
    with cluster.connect(database) as c:
        c.execute("CREATE VIEW names AS SELECT name FROM users")

    done = project.run("safe-upgrade", "--rehearse", "off")

    assert done.returncode == 3
    assert "a4 (retire): Retiring users.name: other objects depend on the column" in " ".join(done.stderr.split())
    assert "The revision was rolled back; the database stands at a3" in " ".join(done.stderr.split())
    assert "view names depends on column name of table users" in " ".join(done.stderr.split())
    with cluster.connect(database) as c:
        assert c.execute("SELECT version_num FROM alembic_version").fetchall() == [("a3",)]


def test_autogenerate_does_not_see_what_is_kept(living: Living) -> None:
    living.run(
        "CREATE TABLE t (id serial PRIMARY KEY, c text); INSERT INTO t (c) VALUES ('a'); CREATE TABLE gone (id integer)"
    )
    living.retire_column("t", sa.Column("c", sa.Text))
    living.retire_table("gone", sa.Column("id", sa.Integer))
    metadata = sa.MetaData()
    sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True))

    with living.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_schemas": True})
        found = compare_metadata(context, metadata)

    assert found == []
