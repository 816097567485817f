"""A milestone in a project with the rewriter: phases, proven together with the contract that is parked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.models_project import ENV_WITH_REWRITER, ModelsProject
from tests.shadows import no_shadow_stays
from tests.test_milestone import AFTER, PUSH, ROWS, V1, V2, rows, version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cluster import Cluster


@pytest.fixture
def app(tmp_path: Path, cluster: Cluster, database: str) -> ModelsProject:
    """A project at its first revision, with rows."""
    made = ModelsProject.make(tmp_path / "app", cluster.url(database), V1, env_py=ENV_WITH_REWRITER)
    made.run("revision", "--autogenerate", "-m", "users", check=0)
    made.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        connection.execute(ROWS)
    return made


def test_a_push_becomes_phases_and_the_database_stands_in_front_of_the_contract(
    app: ModelsProject, cluster: Cluster, database: str
) -> None:
    app.models(V2)
    app.run(*PUSH, check=0)
    done = app.run("milestone", "-m", "handles and plans", check=0)
    names = [path.name.partition("_")[2] for path in app.files_by_time[1:]]
    assert names == ["handles_and_plans.py", "expand_handles_and_plans.py", "copy_handles_and_plans.py"]
    assert (
        app.files_by_time[1]
        .read_text()
        .startswith('"""handles and plans\n\nAdds users.plan.\nChanges mood.\n\nRevision ID')
    )
    assert "migrations/contracts/" in done.stdout
    assert version(cluster, database) == [app.revision_of(app.files_by_time[-1])]
    assert rows(cluster, database) == AFTER
    app.run("check", check=0)
    assert "no revision was needed" in app.run("milestone", "-m", "again", check=0).stdout
    app.run("safe-contract", check=0)
    app.run("upgrade", "head", check=0)  # the database is final already
    assert rows(cluster, database) == AFTER
    app.run("check", check=0)
    no_shadow_stays(cluster)


@pytest.mark.long
def test_another_milestone_while_a_change_is_open_proves_both_contracts(
    app: ModelsProject, cluster: Cluster, database: str, make_database: Callable[..., str]
) -> None:
    older = make_database(template=database)
    app.models(V2)
    app.run(*PUSH, check=0)
    app.run("milestone", "-m", "handles and plans", check=0)
    app.models(V2.replace('sa.Column("plan", sa.Text, nullable=False)', 'sa.Column("plan", sa.Text)'))
    app.run("dev-push", check=0)
    stopped = app.run("milestone", "-m", "free of plans", check=4)
    said = " ".join(stopped.stderr.split())
    assert "let users.plan be NULL, and the open change 'handles-and-plans' will do the opposite" in said
    app.models(V2.replace('sa.Column("mood"', 'sa.Column("fun", sa.Text, index=True), sa.Column("mood"'))
    app.run("dev-push", check=0)
    app.run("milestone", "-m", "fun", check=0)
    app.run("safe-contract", check=0)
    other = app.on(cluster.url(older))
    other.run("upgrade", "head", check=0)
    assert rows(cluster, older) == AFTER
    other.run("check", check=0)


@pytest.mark.long
@pytest.mark.parametrize("copied", [True, False])
def test_a_push_brings_an_expanded_database_to_the_models(
    app: ModelsProject, cluster: Cluster, database: str, copied: bool
) -> None:
    renamed = V1.replace('sa.Column("nick", sa.Text, nullable=False)',
                         'sa.Column("handle", sa.Text, nullable=False, info=renamed_from("nick"))')  # fmt: skip
    app.models(renamed, imports="from alembic_safe import renamed_from")
    app.run("revision", "--autogenerate", "-m", "handles", check=0)
    app.run("upgrade", "head" if copied else "+1", check=0)
    app.run("dev-push", "--accept", "drop-column:users.nick", check=0 if copied else 3)
    if copied:
        assert rows(cluster, database, "SELECT id, handle FROM users ORDER BY id") == [(1, "ada"), (2, "bob")]
        with cluster.connect(database) as connection:
            connection.execute("INSERT INTO users (id, handle, mood) VALUES (3, 'eve', 'good')")
        assert "no revision was needed" in app.run("milestone", "-m", "none", check=0).stdout
        app.run("safe-contract", check=0)
        app.run("upgrade", "head", check=0)
        app.run("check", check=0)


TREE = """
sa.Table({0!r}, metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column({1!r}, sa.ForeignKey("{0}.id"), info={3}),
         sa.Column({2!r}, sa.ForeignKey("users.id", ondelete="CASCADE"), info={4}), info={5})
sa.Table("leaves", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column({1!r}, sa.ForeignKey("{0}.id"), info={3}))
"""


@pytest.mark.long
@pytest.mark.parametrize("key", ["Integer", "BigInteger"], ids=["", "and its key gets another type"])
def test_a_table_is_renamed_together_with_columns_of_foreign_keys(
    app: ModelsProject, cluster: Cluster, database: str, key: str
) -> None:
    imports = "from alembic_safe import renamed_from"
    app.models(V1 + TREE.format("nodes", "parent", "owner", {}, {}, {}), imports=imports)
    app.run("revision", "--autogenerate", "-m", "nodes", check=0)
    app.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        connection.execute("INSERT INTO nodes VALUES (1, NULL, 2), (2, 1, NULL); INSERT INTO leaves VALUES (1, 2)")
    said = [f'renamed_from("{name}")' for name in ("parent", "owner", "nodes")]
    names = ["places", "within", "keeper"] if key == "Integer" else ["places", "parent", "owner"]
    said = said if key == "Integer" else ["{}", "{}", said[2]]
    app.models(V1 + TREE.format(*names, *said).replace('"id", sa.Integer', f'"id", sa.{key}'), imports=imports)
    app.run("milestone", "-m", "places", check=0)
    app.run("upgrade", "head", check=0)
    app.run("safe-contract", check=0)
    app.run("upgrade", "head", check=0)
    app.run("check", check=0)
    read = "SELECT p.id, p.{1}, p.{2}, (SELECT l.{1} FROM leaves l WHERE l.id = p.id) FROM {0} p ORDER BY id".format(
        *names
    )
    assert rows(cluster, database, read) == [(1, None, 2, 2), (2, 1, None, None)]


ENUM = """
sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("status", sa.Enum({}, name="status"),
         server_default={!r}), sa.CheckConstraint("status <> 'open' or id < 9", name="few"))
"""


@pytest.mark.long
def test_a_label_that_a_push_renamed_becomes_phases(
    app: ModelsProject, cluster: Cluster, database: str, make_database: Callable[..., str]
) -> None:
    app.models(V1 + ENUM.format("'open', 'finished'", "finished"))
    app.run("revision", "--autogenerate", "-m", "orders", check=0)
    app.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        connection.execute("INSERT INTO orders (id) VALUES (1)")
    production = make_database(template=database)
    app.models(V1 + ENUM.format("'open', 'done'", "done"))
    app.run("dev-push", "--rename", "status.finished:done", check=0)
    app.run("milestone", "-m", "done", check=0)
    contract = app.folder / "migrations" / "contracts"
    assert "op.swap_enum_types('status', 'status_new')" in next(contract.glob("*.py")).read_text()
    app.run("check", check=0)
    app.models(V1 + ENUM.format("'open', 'paid', 'done'", "done"))
    stopped = app.run("milestone", "-m", "paid", check=3)
    assert "status belongs to the open change 'done'" in " ".join((stopped.stdout + stopped.stderr).split())
    app.models(V1 + ENUM.format("'open', 'done'", "done"))
    app.run("safe-contract", check=0)
    for url in (None, cluster.url(production)):
        one = app if url is None else app.on(url)
        one.run("upgrade", "head", check=0)
        one.run("check", check=0)
    for name in (database, production):
        with cluster.connect(name) as connection:
            connection.execute("INSERT INTO orders (id) VALUES (2)")
            assert connection.execute("SELECT status::text FROM orders").fetchall() == [("done",), ("done",)]


@pytest.mark.long
def test_a_milestone_renames_a_table_and_changes_its_columns(tmp_path: Path, cluster: Cluster, database: str) -> None:
    """What a plain autogenerate refuses, and names a milestone for."""
    table = 'sa.Table({!r}, metadata, sa.Column("id", sa.Integer, primary_key=True), {}, info={})'
    before = table.format("users", 'sa.Column("fax", sa.Text)', "{}")
    app = ModelsProject.make(tmp_path / "app", cluster.url(database), before, env_py=ENV_WITH_REWRITER)
    app.run("revision", "--autogenerate", "-m", "users", check=0)
    app.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        connection.execute("INSERT INTO users VALUES (1, '+1')")
    after = table.format("people", 'sa.Column("tel", sa.Text, info=renamed_from("fax"))', 'renamed_from("users")')
    app.models(after, imports="from alembic_safe import renamed_from")
    assert "alembic milestone" in app.run("revision", "--autogenerate", "-m", "people", check=3).stderr
    app.run("milestone", "-m", "people", check=0)
    app.run("upgrade", "head", check=0)
    if list((app.folder / "migrations" / "contracts").glob("*.py")):
        app.run("safe-contract", check=0)
        app.run("upgrade", "head", check=0)
    app.run("check", check=0)
    with cluster.connect(database) as connection:
        assert connection.execute("SELECT id, tel FROM people").fetchall() == [(1, "+1")]


COMPARING = ENV_WITH_REWRITER.replace("target_metadata=", "compare_server_default=True, target_metadata=")
DEFAULTS = {
    "a": (
        'sa.String(30), server_default="7", nullable=False',
        'sa.Text, server_default="7", nullable=False',
        "'7'::text",
    ),
    "b": ('sa.Integer, server_default="7"', 'sa.BigInteger, server_default="8"', "8"),
    "c": ('sa.Boolean, server_default="true"', 'sa.Integer, info={"up": "c::integer", "down": "c::boolean"}', None),
    "d": (
        "sa.Integer",
        'sa.Text, server_default="x", info={"up": "d::text", "down": "d::integer"}',
        "'x'::text",
    ),
}
"""A column's definition before and after, and its default in the end."""


@pytest.mark.long
@pytest.mark.parametrize("env_py", [COMPARING, ENV_WITH_REWRITER], ids=["compared", "not compared"])
def test_defaults_come_and_go_with_types_and_come_back(
    tmp_path: Path, cluster: Cluster, database: str, env_py: str
) -> None:
    """The milestone itself proves the way there and back: every default, and every type that it is of."""

    def table(side: int) -> str:
        columns = ", ".join(f'sa.Column("{name}", {said[side]})' for name, said in DEFAULTS.items())
        return f'sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), {columns})'

    assert COMPARING != ENV_WITH_REWRITER
    app = ModelsProject.make(tmp_path / "app", cluster.url(database), table(0), env_py=env_py)
    app.run("revision", "--autogenerate", "-m", "users", check=0)
    app.run("upgrade", "head", check=0)
    app.models(table(1))
    app.run("dev-push", check=0)
    app.run("milestone", "-m", "types", check=0)
    app.run("safe-contract", check=0)
    app.run("upgrade", "head", check=0)
    app.run("check", check=0)
    with cluster.connect(database) as connection:
        found = connection.execute(
            "SELECT column_name, column_default FROM information_schema.columns WHERE table_name = 'users'"
        ).fetchall()
    plain = {name: default and default.replace("'8'::bigint", "8") for name, default in found if name in DEFAULTS}
    assert plain == {name: said[2] for name, said in DEFAULTS.items()}


def _pushed(app: ModelsProject, column: str, *words: str) -> None:
    app.models(f'sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), {column})')
    app.run("dev-push", *words, check=0)


SHORTER = 'sa.Column("{}", sa.String(3))'
CONVERTED = "users.nick=coalesce(length(nick), 0)"


@pytest.mark.cases("said how")
@pytest.mark.parametrize(
    ("pushes", "up"),
    [
        ([(SHORTER.format("nick"), "--accept", "cast:users.nick")], "::character varying(3)"),
        (
            [
                (SHORTER.format("nick"), "--accept", "cast:users.nick"),
                (SHORTER.format("name"), "--rename", "users.nick:name"),
            ],
            "::character varying(3)",
        ),
        ([('sa.Column("nick", sa.Integer)', "--fill", CONVERTED)], "(coalesce(length(nick), 0))::integer"),
        ([('sa.Column("nick", sa.String(30))',)], ""),
    ],
    ids=["accepted", "accepted and then renamed", "said how", "nobody was asked"],
)
def test_a_milestone_converts_by_the_plain_cast_where_a_push_was_told_to(
    tmp_path: Path, cluster: Cluster, database: str, pushes: list[tuple[str, ...]], up: str
) -> None:
    """A push asks where rows change; what no row of the development database says is asked of the models."""
    before = 'sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("nick", sa.Text))'
    app = ModelsProject.make(tmp_path / "app", cluster.url(database), before, env_py=ENV_WITH_REWRITER)
    app.run("revision", "--autogenerate", "-m", "users", check=0)
    app.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        connection.execute("INSERT INTO users VALUES (1, 'a long one')")
    for column, *words in pushes:
        _pushed(app, column, *words)
    if up:
        app.run("milestone", "-m", "shorter", check=0)
        assert any(f"{up}'" in path.read_text() for path in (app.folder / "migrations" / "versions").glob("*.py"))
        return
    done = app.run("milestone", "-m", "shorter", check=3)
    assert "users.nick becomes character varying(30)" in done.stderr
    assert '"up": "nick::character varying(30)"' in done.stderr
    info = ', info={"up": "nick::character varying(30)", "down": "nick::text"})'
    app.models(before.replace("sa.Text)", "sa.String(30)" + info))
    app.run("milestone", "-m", "shorter", check=0)


@pytest.mark.long
@pytest.mark.parametrize("pushed", [True, False], ids=["pushed", "generated"])
def test_a_default_that_changes_with_its_enums_labels_comes_back(
    tmp_path: Path, cluster: Cluster, database: str, *, pushed: bool
) -> None:
    """A default that is a label of both enums is not the one of before, for all that it could be translated."""

    def table(labels: str, default: str, info: str = "") -> str:
        return (
            'sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True),'
            f' sa.Column("mood", postgresql.ENUM({labels}, name="mood"), server_default={default!r}{info}))'
        )

    app = ModelsProject.make(tmp_path / "app", cluster.url(database), table("'a', 'b', 'c'", "a"), env_py=COMPARING)
    app.run("revision", "--autogenerate", "-m", "users", check=0)
    app.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        connection.execute("INSERT INTO users VALUES (1), (2)")
    app.models(table("'a', 'b', 'd'", "b", ", info={'enum': {'c': 'd'}}"))
    if pushed:
        app.run("dev-push", check=0)
    app.run(*(("milestone",) if pushed else ("revision", "--autogenerate")), "-m", "moods", check=0)
    app.run("upgrade", "head", check=0)
    app.run("safe-contract", check=0)
    app.run("upgrade", "head", check=0)
    app.run("check", check=0)

    def default() -> object:
        query = (
            "SELECT column_default FROM information_schema.columns WHERE table_name = 'users' AND column_name = 'mood'"
        )
        with cluster.connect(database) as connection:
            row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]

    assert default() == "'b'::mood"
    app.run("downgrade", "-1", check=0)
    assert default() == "'a'::mood"
    app.run("upgrade", "head", check=0)
    assert default() == "'b'::mood"
