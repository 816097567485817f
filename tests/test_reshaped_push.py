"""A column that the models split is filled by a push from what it was, and becomes phases in a milestone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.models_project import ENV_WITH_REWRITER, ModelsProject

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cluster import Cluster

MODELS = 'sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), {})'
WHOLE = MODELS.format('sa.Column("name", sa.Text, nullable=False)')
PARTS = """
down = "first || ' ' || last"
sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True),
         sa.Column("first", sa.Text, nullable=False, info=split_from("name", up="split_part(name, ' ', 1)", down=down)),
         sa.Column("last", sa.Text, nullable=False, info=split_from("name", up="split_part(name, ' ', 2)", down=down)))
"""


def test_a_push_fills_the_parts_and_a_milestone_writes_the_phases(
    tmp_path: Path, cluster: Cluster, database: str, make_database: Callable[..., str]
) -> None:
    app = ModelsProject.make(tmp_path / "app", cluster.url(database), WHOLE, env_py=ENV_WITH_REWRITER)
    app.run("revision", "--autogenerate", "-m", "users", check=0)
    app.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        connection.execute("INSERT INTO users VALUES (1, 'Ada Lovelace')")
    production = make_database(template=database)
    app.models(PARTS, imports="from alembic_safe import split_from")
    app.run("dev-push", "--accept", "drop-column:users.name", check=0)
    with cluster.connect(database) as connection:
        assert connection.execute("SELECT * FROM users").fetchall() == [(1, "Ada", "Lovelace")]
    app.run("milestone", "-m", "names", check=0)
    (contract,) = (app.folder / "migrations" / "contracts").glob("*.py")
    assert "op.drop_sync('users', 'name', ('first', 'last')" in contract.read_text()
    app.run("safe-contract", check=0)
    for name in (database, production):
        one = app if name == database else app.on(cluster.url(production))
        one.run("upgrade", "head", check=0)
        one.run("check", check=0)
        with cluster.connect(name) as connection:
            assert connection.execute("SELECT * FROM users").fetchall() == [(1, "Ada", "Lovelace")]
