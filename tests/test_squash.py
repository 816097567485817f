"""`alembic squash`: many revisions become one, proven equal, and every database can still be upgraded."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.squash_project import dump, on, rich, rows, tree, with_template

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cluster import Cluster
    from tests.project import Project

EVERY_ROW = """
SELECT array_agg(p ORDER BY id)::text, (SELECT array_agg((person, number, price, tags) ORDER BY "Key")::text FROM "Order"),
  (SELECT array_agg(t)::text FROM totals t), nextval('people_id_seq'), nextval('ticket_numbers') FROM people p
"""


@pytest.fixture(scope="module")
def squashed(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster):  # type: ignore[no-untyped-def]
    """A rich history, and the same squashed: (the first project's folder, the squash's project, its output)."""
    cluster.create("squash_rich")
    folder = tmp_path_factory.mktemp("rich")
    before = rich(folder / "before", cluster.url("squash_rich"))
    after = rich(folder / "after", cluster.url("squash_rich"))
    done = after.run("squash", "-m", "Everything up to the orders", check=0)
    yield before, after, done.stdout
    cluster.drop("squash_rich")


def test_a_new_database_is_the_same_to_pg_dump_and_has_the_same_rows(
    squashed: tuple[Project, Project, str], cluster: Cluster, make_database: Callable[..., str]
) -> None:
    before, after, _ = squashed
    old, new = make_database(), make_database()
    on(before, cluster.url(old)).run("upgrade", "head", check=0)
    on(after, cluster.url(new)).run("upgrade", "head", check=0)
    assert dump(cluster, new) == dump(cluster, old)
    assert rows(cluster, new, EVERY_ROW) == rows(cluster, old, EVERY_ROW)


def test_it_reads_like_a_first_revision_and_needs_nothing_of_ours(squashed: tuple[Project, Project, str]) -> None:
    _, after, output = squashed
    (file,) = (after.folder / "migrations" / "versions").glob("*.py")
    text = file.read_text()
    assert file.name == "r06_everything_up_to_the_orders.py"
    assert "alembic_safe." not in text
    assert "import alembic_safe" not in text
    assert 'op.create_table(\n        "Order",' in text
    assert "gone" not in text
    assert """sa.CheckConstraint("(status)::text = ANY (ARRAY[""" in text
    assert "CREATE TYPE public.mood AS ENUM ('good', 'fair', 'bad')" in text
    assert "'100% Bob'" in text
    assert "Proof    new:" in output
    assert "through the archive to the same database" in " ".join(output.split())


@pytest.mark.parametrize("way", ["alembic", "alembic_safe", "command"])
def test_a_database_on_a_replaced_revision_goes_through_the_originals(
    squashed: tuple[Project, Project, str], cluster: Cluster, make_database: Callable[..., str], way: str
) -> None:
    before, after, _ = squashed
    database, reference = make_database(), make_database()
    for name in (database, reference):
        on(before, cluster.url(name)).run("upgrade", "r03", check=0)
        with cluster.connect(name) as connection:
            connection.execute("INSERT INTO people (name, status) VALUES (' Eve ', 'old')")
    on(before, cluster.url(reference)).run("upgrade", "head", check=0)
    project = on(after, cluster.url(database))
    assert "r03" in project.run("current", check=0).stdout
    if way == "alembic":
        project.run("upgrade", "head", check=0)
    elif way == "alembic_safe":
        project.run("safe-upgrade", "--no-backup", "--yes", check=0, ALEMBIC_SAFE_ENVIRONMENT="development")
    else:
        from alembic import command

        command.upgrade(project.config, "head")
    assert "r06 (head)" in project.run("current", check=0).stdout
    if way != "alembic_safe":  # its journal is there, too
        assert dump(cluster, database) == dump(cluster, reference)
    assert rows(cluster, database, EVERY_ROW) == rows(cluster, reference, EVERY_ROW)


def test_stock_commands_understand_replaced_revisions(
    squashed: tuple[Project, Project, str], cluster: Cluster, make_database: Callable[..., str]
) -> None:
    _, after, _ = squashed
    project = on(after, cluster.url(make_database()))
    assert "r06 (head)" in project.run("heads", check=0).stdout
    assert "r06" in project.run("show", "r02", check=0).stdout
    assert project.run("history", check=0).stdout.strip() == "<base> -> r06 (head), Everything up to the orders"
    project.run("upgrade", "r02", check=0)
    assert project.run("current", check=0).stdout.strip() == "r02"
    assert "r02 (current)" in project.run("history", "-i", check=0).stdout
    assert project.run("check").returncode != 0
    project.run("upgrade", "head", check=0)
    project.run("downgrade", "-1", check=0)
    assert project.run("current", check=0).stdout.strip() == "r05"
    project.run("downgrade", "r02", check=0)
    assert project.run("current", check=0).stdout.strip() == "r02"
    project.run("stamp", "r04", check=0)
    assert project.run("current", check=0).stdout.strip() == "r04"


def test_without_the_plugin_it_runs_up_and_down(
    squashed: tuple[Project, Project, str], cluster: Cluster, make_database: Callable[..., str]
) -> None:
    _, after, _ = squashed
    database = make_database()
    project = on(after, cluster.url(database))
    (project.folder / "plain.py").write_text(
        "import importlib.metadata as m\nreal = m.entry_points\n"
        "m.entry_points = lambda *a, **kw: () if kw.get('group') == 'alembic.plugins' else real(*a, **kw)\n"
        "import sys\nfrom alembic.config import main\nassert 'alembic_safe' not in sys.modules\nmain(sys.argv[1:])\n"
    )
    for words in (["upgrade", "head"], ["downgrade", "base"]):
        subprocess.run([sys.executable, "plain.py", *words], cwd=project.folder, check=True, capture_output=True)
    left = rows(
        cluster, database, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    )
    assert left == [("alembic_version",)]


def test_a_proof_that_fails_writes_nothing(project: Project) -> None:
    with_template(project)
    # the second run of the files makes another default than the first: no squash can be equal to both
    project.revision("a4", "a3", "moving", 'import time\nop.add_column("users", sa.Column("t", sa.Text,'
                     ' server_default=str(time.time_ns())))', 'op.drop_column("users", "t")')  # fmt: skip
    project.revision("a5", "a4", "behind it", 'op.execute("CREATE TABLE t AS SELECT gen_random_uuid() AS id")')
    versions = tree(project.folder / "migrations")
    done = project.run("squash", "a4", "-m", "x", check=8)
    assert "The proof failed" in done.stderr
    assert "Nothing was changed." in done.stderr
    assert tree(project.folder / "migrations") == versions


def test_it_says_why_a_range_cannot_be_taken_together_and_which_can(project: Project) -> None:
    with_template(project)
    project.revision("b3", "a2", "a branch", 'op.create_table("b", sa.Column("id", sa.Integer, primary_key=True))')
    done = project.run("squash", "a3", "-m", "x", check=4)
    assert "b3_a_branch.py follows or depends on a2" in done.stderr
    assert 'alembic squash a2 -m "..."' in done.stderr


@pytest.mark.long
def test_merges_inside_of_the_range_become_one_revision(
    project: Project, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    with_template(project)
    project.revision("b3", "a2", "a branch", 'op.create_table("b", sa.Column("id", sa.Integer, primary_key=True))',
                     'op.drop_table("b")', extra='branch_labels = ("side",)')  # fmt: skip
    project.revision("m4", ("a3", "b3"), "merge")
    on_the_way = make_database()
    on(project, cluster.url(on_the_way)).run("upgrade", "b3", check=0)
    project.run("squash", "-m", "all", check=0)
    assert [path.name for path in (project.folder / "migrations" / "versions").glob("*.py")] == ["m4_all.py"]
    assert project.run("history", check=0).stdout.strip() == "<base> -> m4 (side) (head), all"
    project.run("upgrade", "head", check=0)
    assert "m4 (head)" in project.run("current", check=0).stdout


@pytest.mark.long
def test_branches_that_end_otherwise_in_another_order_need_consent(project: Project) -> None:
    with_template(project)
    project.revision("b3", "a2", "all to lower case", 'op.execute("INSERT INTO users VALUES (1, \'Ada\')")\n'
                     'op.execute("UPDATE users SET name = lower(name)")', 'op.execute("DELETE FROM users")')  # fmt: skip
    project.revision("c3", "a2", "another", 'op.execute("INSERT INTO users VALUES (2, \'Bob\')")',
                     'op.execute("DELETE FROM users")')  # fmt: skip
    project.revision("m4", ("a3", "b3", "c3"), "merge")
    refused = project.run("squash", "-m", "all", check=3).stderr
    assert "do not end the same in all of them" in " ".join(refused.split())
    assert "rows of table public.users: 2 -> 2" in refused
    assert "--accept order:m4" in refused
    project.run("squash", "-m", "all", "--dry-run", "--accept", "order:m4", check=0)


def test_what_reaches_outside_of_the_database_needs_consent(project: Project) -> None:
    with_template(project)
    project.revision("a4", "a3", "files", 'import shutil\nshutil.rmtree("nowhere", ignore_errors=True)')
    done = project.run("squash", "-m", "x", check=3)
    assert "a4_files.py: files (import shutil" in done.stderr
    assert "--accept outside:a4" in done.stderr
    assert (
        "left to the archive: files in a4" in project.run("squash", "-m", "x", "--accept", "outside:a4", check=0).stdout
    )


def test_a_database_that_is_not_empty_is_left_alone(project: Project, cluster: Cluster, database: str) -> None:
    with_template(project)
    project.run("squash", "-m", "all", check=0)
    with cluster.connect(database) as connection:
        connection.execute("CREATE TABLE something (id int)")
    done = project.run("upgrade", "head")
    assert done.returncode != 0
    assert "something is there already: public.something" in done.stderr
    assert rows(cluster, database, "SELECT to_regclass('users')") == [(None,)]


@pytest.mark.long
def test_values_that_are_made_anew_each_time_are_made_anew(project: Project, cluster: Cluster, database: str) -> None:
    with_template(project)
    project.revision("a4", "a3", "tokens", """
op.execute("CREATE TABLE a (id uuid PRIMARY KEY, made timestamptz NOT NULL, name text)")
op.execute("CREATE TABLE b (id uuid PRIMARY KEY, a uuid NOT NULL REFERENCES a)")
op.execute("WITH new AS (INSERT INTO a VALUES (gen_random_uuid(), now(), 'x') RETURNING id)"
           " INSERT INTO b SELECT gen_random_uuid(), id FROM new")
""", 'op.drop_table("b"); op.drop_table("a")')  # fmt: skip
    done = project.run("squash", "-m", "all", check=0)
    assert "made anew each time: a.id, a.made, b.id, b.a" in " ".join(done.stdout.split())
    project.run("upgrade", "head", check=0)
    query = "SELECT name, made > now() - interval '1 hour', a.id <> b.id FROM a JOIN b ON b.a = a.id"
    assert rows(cluster, database, query) == [("x", True, True)]


@pytest.mark.long
def test_what_was_there_before_the_first_revision_is_no_part_of_it(
    project: Project, cluster: Cluster, make_database: Callable[..., str], tmp_path: Path
) -> None:
    with_template(project)
    first = project.folder / "migrations" / "versions" / "a1_users.py"
    first.write_text(first.read_text().replace('op.create_table("users", sa.Column("id", sa.Integer, primary_key=True))',
                                               'op.add_column("users", sa.Column("born", sa.Date))')
                     .replace('op.drop_table("users")', 'op.drop_column("users", "born")'))  # fmt: skip
    assert "does not run on an empty database" in project.run("squash", "-m", "all", check=8).stderr
    # a dump begins with a line that only psql understands
    made = "CREATE TABLE users (id integer PRIMARY KEY); CREATE INDEX ix ON users (id);"
    (tmp_path / "before.sql").write_text(f"\\restrict x1\n{made}")
    project.run("squash", "-m", "all", "--bootstrap", str(tmp_path / "before.sql"), check=0)
    (file,) = (project.folder / "migrations" / "versions").glob("*.py")
    assert "CREATE INDEX" not in file.read_text()
    assert "born" in file.read_text()
    project.run("squash", "--check", check=0)
    database = make_database()
    with cluster.connect(database) as connection:
        connection.execute(made)
    on(project, cluster.url(database)).run("upgrade", "head", check=0)
    columns = (
        "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute"
        " WHERE attrelid = 'users'::regclass AND attnum > 0"
    )
    assert rows(cluster, database, columns) == [("id,born,name,mail",)]
    project.run("squash", "--undo", "a3", check=0)
    assert "does not run on an empty database" in project.run("squash", "a1:a3", "-m", "later", check=8).stderr
    project.run("squash", "a1:a3", "-m", "later", "--bootstrap", str(tmp_path / "before.sql"), check=0)
    project.run("squash", "--check", check=0)


def test_what_was_there_and_is_another_one_now_is_made_anew(project: Project, tmp_path: Path) -> None:
    """A key over other columns, one of them new; and what is altered in place beside it. The project has no template."""
    (project.folder / "migrations" / "script.py.mako").unlink()
    first = project.folder / "migrations" / "versions" / "a1_users.py"
    first.write_text(first.read_text().replace('op.create_table("users", sa.Column("id", sa.Integer, primary_key=True))',
                                               """op.add_column("users", sa.Column("step", sa.Integer, nullable=False))
    op.drop_constraint("users_pk", "users")
    op.create_primary_key("users_pk", "users", ["id", "step"])
    op.alter_column("users", "kind", type_=sa.String(40))""")
                     .replace('op.drop_table("users")', 'op.drop_column("users", "step")'))  # fmt: skip
    made = 'CREATE TABLE users (id integer CONSTRAINT "users_pk" PRIMARY KEY, kind varchar(20));'
    (tmp_path / "before.sql").write_text(made)
    done = project.run("squash", "-m", "all", "--bootstrap", str(tmp_path / "before.sql"))
    assert "Proof    new: 1 table" in done.stdout
    (file,) = (project.folder / "migrations" / "versions").glob("*.py")
    assert "DROP CONSTRAINT users_pk" in file.read_text()


@pytest.mark.long
def test_a_function_tells_what_was_there_before_the_first_revision(project: Project) -> None:
    with_template(project)
    first = project.folder / "migrations" / "versions" / "a1_users.py"
    first.write_text(first.read_text().replace('op.create_table("users", sa.Column("id", sa.Integer, primary_key=True))',
                                               'op.add_column("users", sa.Column("born", sa.Date))')
                     .replace('op.drop_table("users")', 'op.drop_column("users", "born")'))  # fmt: skip
    (project.folder / "legacy.py").write_text("""
import sqlalchemy as sa
meta = sa.MetaData()
users = sa.Table("users", meta, sa.Column("id", sa.Integer, primary_key=True), sa.Column("rate", sa.Text, server_default="5%"))
def begin(connection):
    meta.create_all(connection)
    connection.execute(users.insert(), [{"rate": "it's 7%"}, {"rate": None}])
def behind(connection):
    meta.create_all(connection)
    with connection.connection.driver_connection.cursor() as cursor:
        cursor.execute("CREATE TABLE unheard (id integer)")
""")
    squash = ("squash", "-m", "all", "--bootstrap")
    assert "does more than the statements" in project.run(*squash, "legacy:behind", check=8).stderr
    assert "neither a file nor module:function" in project.run(*squash, "legacy:nothing", check=2).stderr
    project.run(*squash, "legacy:begin", check=0)
    kept = project.folder / "migrations" / "squashed" / "a3" / "bootstrap.sql"
    assert "'it''s 7%'" in kept.read_text()
    (project.folder / "legacy.py").unlink()
    project.run("squash", "--check", check=0)
    kept.write_text(kept.read_text().replace("7%", "8%"))
    assert "bootstrap.sql: changed" in project.run("squash", "--check", check=4).stderr
