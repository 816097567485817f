"""What is seen of a revision while it runs on a shadow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.envpy import script_of
from alembic_safe.database.replay import replay
from alembic_safe.database.shadow import open_shadow
from alembic_safe.errors import ReplayFailed
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.comparison import compare
from alembic_safe.inspecting.hazard import Example
from alembic_safe.inspecting.trace_watch import unwatch
from alembic_safe.inspecting.tracing import Tracer
from alembic_safe.settings import Settings
from tests.traced import Watched

if TYPE_CHECKING:
    from alembic_safe.inspecting.trace import RevisionTrace, Statement
    from tests.cluster import Cluster
    from tests.project import Project

SETUP = """CREATE TABLE users (id bigint PRIMARY KEY, name text, email varchar(50));
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint);"""


@pytest.fixture
def watched(cluster: Cluster, database: str) -> Watched:
    return Watched(cluster.url(database))


def seen(watched: Watched, *sql: str, autocommit: bool = False, setup: str = SETUP) -> tuple[Statement, ...]:
    trace = watched.run(setup, Example(sql=sql, autocommit=autocommit), form="sql")
    return trace.revisions[0].statements


def locks(statement: Statement) -> dict[str, str]:
    return {str(relation): mode for relation, mode in statement.strongest.items()}


def test_a_rewrite_is_seen_with_its_lock_its_scan_and_its_indexes(watched: Watched) -> None:
    (one,) = seen(watched, "ALTER TABLE users ALTER COLUMN id TYPE integer")
    assert locks(one)["users"] == "AccessExclusiveLock"
    assert [str(r) for r in one.rewrites] == [str(r) for r in one.scans] == ["users"]
    assert [(c.kind, c.what, c.object) for c in one.changes if c.kind == "column"] == [("column", "type", "users.id")]


def test_a_rewrite_that_is_none_is_not_seen(watched: Watched) -> None:
    (one,) = seen(watched, "ALTER TABLE users ALTER COLUMN email TYPE varchar(100)")
    assert (one.rewrites, one.scans, one.builds) == ((), (), ())


def test_a_scan_is_not_held_against_the_statement_behind_it_or_the_transaction_behind_it(watched: Watched) -> None:
    one, two = seen(watched, "ALTER TABLE users ADD CHECK (id > 0)", "ALTER TABLE users ADD x int")
    assert one.scans
    assert not two.scans
    three = seen(watched, "ALTER TABLE users ADD CHECK (id > 0)", "ALTER TABLE users ADD x int", autocommit=True)
    assert [bool(s.scans) for s in three] == [True, False]


def test_what_a_block_does_is_seen(watched: Watched) -> None:
    (one,) = seen(
        watched,
        "DO $$ BEGIN UPDATE users SET name = ''; EXECUTE 'ALTER TABLE users RENAME name TO nick'; DELETE FROM orders; END $$",
    )
    assert {(str(w.relation), w.kind) for w in one.writes} == {("users", "UPDATE"), ("orders", "DELETE")}
    assert [(c.action, c.what, c.object, c.after.name) for c in one.changes] == [
        ("changed", "name", "users.name", "nick")
    ]


def test_a_renamed_table_keeps_the_name_that_the_target_knows(watched: Watched) -> None:
    _, two = seen(watched, "ALTER TABLE users RENAME TO people", "ALTER TABLE people ADD COLUMN x int")
    assert locks(two) == {}  # held already
    assert [c.object for c in two.changes] == ["users.x"]


def test_what_is_new_is_told_from_what_is_there(watched: Watched) -> None:
    one, two = seen(watched, "CREATE TABLE notes (id int REFERENCES users)", "ALTER TABLE notes ADD COLUMN t text")
    assert {str(r): r.new for r, _ in one.locks if r.kind == "table"} == {"notes": True, "users": False}
    assert all(c.relation is not None and c.relation.new for c in two.changes)


def test_a_foreign_key_says_what_it_refers_to(watched: Watched) -> None:
    (one,) = seen(
        watched, "ALTER TABLE orders ADD CONSTRAINT o FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE"
    )
    (change,) = [c for c in one.changes if c.kind == "constraint"]
    assert (str(change.after.references), change.after.columns, change.after.on_delete) == ("users", ("user_id",), "c")
    assert locks(one) == {"orders": "ShareRowExclusiveLock", "users": "ShareRowExclusiveLock"}


def test_truncate_is_no_rewrite(watched: Watched) -> None:
    (one,) = seen(watched, "TRUNCATE orders")
    assert [(str(w.relation), w.kind) for w in one.writes] == [("orders", "TRUNCATE")]
    assert one.rewrites == ()


def test_in_autocommit_a_plain_statement_is_tried_first_and_its_lock_is_seen(watched: Watched) -> None:
    (one,) = seen(watched, "ALTER TABLE users ADD COLUMN x int DEFAULT random()", autocommit=True)
    assert one.observed
    assert locks(one)["users"] == "AccessExclusiveLock"
    assert [c.object for c in one.changes] == ["users.x"]


def test_what_runs_in_no_transaction_is_judged_by_what_is_known_of_it(watched: Watched) -> None:
    (one,) = seen(watched, "CREATE INDEX CONCURRENTLY users_name ON users (name)", autocommit=True)
    assert (one.observed, locks(one)) == (False, {"users": "ShareUpdateExclusiveLock"})
    assert "does not run it in a transaction" in one.why_not_observed


def test_what_went_back_to_a_savepoint_did_not_happen(watched: Watched) -> None:
    found = seen(
        watched, "SAVEPOINT s", "ALTER TABLE users DROP COLUMN name", "ROLLBACK TO SAVEPOINT s", "ALTER TABLE orders ADD x int"
    )  # fmt: skip
    assert [c.object for one in found for c in one.changes] == ["orders.x"]


@pytest.mark.parametrize(
    "name", ["Order", 'a"b', "a.b", "50%", "with space", "sélect", "x" * 63, "select", "a:b", "日本"]
)
def test_names_are_what_they_are(watched: Watched, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    setup = f"CREATE SCHEMA other; CREATE TABLE other.{quoted} (id int PRIMARY KEY, {quoted} text)"
    example = Example(
        f"op.execute(sa.text('''ALTER TABLE other.{quoted} DROP COLUMN {quoted}'''.replace(':', chr(92) + ':')))"
    )
    trace = watched.run(setup, example, form="operation")
    (one,) = trace.revisions[0].statements
    assert [c.object for c in one.changes] == [f"other.{name}.{name}"]


def test_a_type_that_takes_the_name_of_another_is_another(watched: Watched) -> None:
    setup = "CREATE TYPE mood AS ENUM ('a'); CREATE TABLE moods (id int, mood mood)"
    found = seen(
        watched, "ALTER TYPE mood RENAME TO old", "CREATE TYPE mood AS ENUM ('a', 'b')",
        "ALTER TABLE moods ALTER mood TYPE mood USING mood::text::mood", "DROP TYPE old", setup=setup,
    )  # fmt: skip
    assert [(c.what, c.object) for c in found[2].changes if c.kind == "column"] == [("type", "moods.mood")]
    assert [str(r) for r in found[2].rewrites] == ["moods"]


# --- a whole replay --------------------------------------------------------------------------------------------------


def traced(project: Project, *, at: str = "a3") -> list[RevisionTrace]:
    script = script_of(project.config)
    tracer = Tracer()
    with open_shadow(Endpoint.from_url(make_url(project.url)), Settings(), protected=False) as shadow:
        replay(project.config, script, shadow, to=at)
        with shadow.endpoint.connect() as connection:
            before = read_catalog(connection)
        try:
            replay(project.config, script, shadow, watch=tracer.watch)
        except ReplayFailed:
            return [one for trace in tracer.traces.values() for one in trace.revisions]
        with shadow.endpoint.connect() as connection:
            connection.autocommit = True
            unwatch(connection)
            after = read_catalog(connection)
        assert [str(d) for d in compare(before, after) if "watch" in str(d)] == []
    return [one for trace in tracer.traces.values() for one in trace.revisions]


def test_each_statement_has_its_line_and_alembics_own_rows_are_left_out(project: Project) -> None:
    project.revision("b1", "a3", "more", 'x = 1\nop.add_column("users", sa.Column("x", sa.Integer))\n'
                     'op.execute("SELECT 1")', extra='phase = "expand"')  # fmt: skip
    (one,) = traced(project)
    assert (one.revision, one.message, one.phase, one.failed) == ("b1", "more", "expand", "")
    (statement,) = one.statements
    text = (project.folder / "migrations" / "versions" / "b1_more.py").read_text()
    assert "op.add_column" in text.splitlines()[statement.line - 1]


def test_what_is_done_on_the_drivers_own_cursor_is_not_overlooked(project: Project) -> None:
    project.revision(
        "b1", "a3", "raw", 'op.get_bind().connection.driver_connection.execute("CREATE TABLE hidden (i int)")'
    )
    (one,) = traced(project)
    assert [c.object for s in one.statements for c in s.changes] == ["hidden"]


def test_effects_beyond_the_database_are_seen(project: Project) -> None:
    project.revision(
        "b1", "a3", "outside", 'import pathlib, subprocess\nsubprocess.run(["true"], check=True)\n'
        f'pathlib.Path({str(project.folder / "note.txt")!r}).write_text("x")',
    )  # fmt: skip
    (one,) = traced(project)
    assert one.outside[0] == "starts the program true"
    assert one.outside[1].startswith("writes the file ")


def test_autocommit_blocks_are_transactions_of_their_own(project: Project) -> None:
    project.revision(
        "b1", "a3", "mixed",
        'op.add_column("users", sa.Column("x", sa.Integer))\nwith op.get_context().autocommit_block():\n'
        '    op.create_index("ix", "users", ["x"], postgresql_concurrently=True)\nop.drop_column("users", "mail")',
    )  # fmt: skip
    (one,) = traced(project)
    assert [s.autocommit for s in one.statements] == [False, True, False]
    assert [len(group) for group in one.transactions] == [1, 1, 1]


def test_a_revision_that_fails_keeps_what_was_seen_of_it(project: Project) -> None:
    project.revision("b1", "a3", "fails", 'op.drop_column("users", "mail")\nop.drop_column("users", "nowhere")')
    (one,) = traced(project)
    assert [c.object for s in one.statements for c in s.changes] == ["users.mail"]
    assert "nowhere" in one.failed


def test_the_role_that_env_py_sets_watches_as_well(project: Project, cluster: Cluster, database: str) -> None:
    with cluster.connect(database) as c:
        c.execute("DO $$ BEGIN CREATE ROLE trace_role SUPERUSER; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    env = project.folder / "migrations" / "env.py"
    env.write_text(env.read_text().replace(
        "        context.configure(connection=connection",
        '        connection.exec_driver_sql("SET ROLE trace_role")\n        connection.commit()\n'
        "        context.configure(connection=connection"))  # fmt: skip
    project.revision("b1", "a3", "write", "op.execute(\"UPDATE users SET name = ''\")")
    (one,) = traced(project)
    assert [(str(w.relation), w.kind) for s in one.statements for w in s.writes] == [("users", "UPDATE")]
