"""What `safe-upgrade` does to a database and says about it, from nothing to do to a revision that fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg import sql

from alembic_safe.database.deploy_lock import deploy_lock, lock_key
from tests.deploys import (
    SLEEPING,
    WAITING,
    advisory_locks,
    columns,
    deployments,
    heads,
    held_up,
    let_go,
    outcomes,
    rows,
    safe_upgrade,
    statements,
)
from tests.patience import eventually
from tests.project import Project

READING = (
    "BEGIN",
    "SET LOCAL",
    "DEALLOCATE ALL",
    "SELECT",
    "SHOW",
    "SET TRANSACTION READ ONLY",
    "ROLLBACK",
    "SAVEPOINT",
    "RELEASE",
    "COMMIT",
    "WITH LOCKS AS ( SELECT",  # who is waited for: asked where the reading takes longer than two seconds
)


def beyond_reading(sent):
    """What is more than reading; the COMMIT is env.py's own end of a transaction in which nothing was written."""
    return [s for s in sent if not s.upper().startswith(READING) or "advisory" in s]


def test_pending_revisions_are_applied_and_journalled_with_their_text(project, cluster, database):
    ended = safe_upgrade(project)
    assert heads(cluster, database) == ["a3"]
    assert columns(cluster, database, "users") == ["id", "name", "mail"]
    written = rows(cluster, database, "SELECT * FROM alembic_safe.revisions ORDER BY id")
    assert [(r["revision"], r["parents"], r["message"], r["direction"]) for r in written] == [
        ("a1", [], "users", "up"),
        ("a2", ["a1"], "names", "up"),
        ("a3", ["a2"], "mails", "up"),
    ]
    for row in written:
        assert row["command"] == "safe-upgrade"
        assert "def upgrade()" in row["source"]
        assert row["milliseconds"] >= 0
    assert outcomes(cluster, database) == ["done"]
    assert ended.out.startswith("Target")
    assert f"{database} is at a3." in ended.text


def test_each_revision_has_a_transaction_of_its_own_with_its_journal_row(project, cluster, database):
    for name in ("b1", "b2"):
        project.revision(
            name, "a3" if name == "b1" else "b1", name, f'op.execute("CREATE TABLE {name} AS SELECT 1 AS x")'
        )
    safe_upgrade(project)
    made = rows(cluster, database, "SELECT relname, xmin::text FROM pg_class WHERE relname IN ('b1', 'b2') ORDER BY 1")
    written = rows(
        cluster, database, "SELECT revision, xmin::text FROM alembic_safe.revisions WHERE revision LIKE 'b_' ORDER BY 1"
    )
    assert [r["xmin"] for r in made] == [r["xmin"] for r in written]
    assert made[0]["xmin"] != made[1]["xmin"]


def test_nothing_to_do_changes_nothing_and_takes_no_lock(project, cluster, database):
    safe_upgrade(project)
    with statements(cluster, database) as sent:
        ended = safe_upgrade(project)
    assert "nothing is pending" in ended.text
    assert "Nothing was changed." in ended.text
    assert outcomes(cluster, database) == ["done"]
    assert sent
    assert beyond_reading(sent) == []


@pytest.mark.parametrize("protected", [False, True])
def test_nothing_to_do_sends_at_most_five_statements_that_stock_alembic_does_not_send(
    cluster, project, database, protected
):
    if protected:
        project.settings("environment = production")
    safe_upgrade(project)
    project.run("current", check=0)  # the byte code is written
    with statements(cluster, database) as ours:
        project.run("safe-upgrade", check=0)
    bare = Project.create(project.folder.parent / "bare", project.url)
    with cluster.connect(database) as c:  # stock alembic on a database that knows nothing of us
        c.execute("DROP SCHEMA alembic_safe CASCADE")
    with statements(cluster, database) as stock:
        bare.run("upgrade", "head", check=0)
    assert stock
    extra = ours - stock
    assert 0 < extra.total() <= 5, extra


def test_a_dry_run_shows_the_plan_to_a_role_that_may_only_read_and_writes_nothing(project, cluster, database):
    with cluster.connect(database) as c:
        role = sql.Identifier(f"reader_{database}")
        c.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    reader = Project.create(project.folder.parent / "reader", cluster.url(database, user=f"reader_{database}"))
    try:
        with statements(cluster, database) as sent:
            ended = safe_upgrade(reader, "--dry-run")
        assert "a2" in ended.text
        assert "may make tables neither" in ended.text
        assert "Dry run" in ended.text
        assert beyond_reading(sent) == []
        assert rows(cluster, database, "SELECT 1 FROM pg_class WHERE relname = 'alembic_version'") == []
    finally:
        with cluster.connect(database) as c:
            c.execute(sql.SQL("DROP ROLE {}").format(role))


def test_a_dry_run_behind_a_deploy_writes_nothing_either(project, cluster, database):
    safe_upgrade(project, "a1")
    with statements(cluster, database) as sent:
        ended = safe_upgrade(project, "--dry-run", "--json")
    assert [r["revision"] for r in ended.json["plan"]["revisions"]] == ["a2", "a3"]
    assert ended.json["changed"] is False
    assert beyond_reading(sent) == []
    assert "SET TRANSACTION READ ONLY" in sent
    assert heads(cluster, database) == ["a1"]


def test_a_part_of_the_way_can_be_asked_for(project, cluster, database):
    safe_upgrade(project, "a2")
    assert heads(cluster, database) == ["a2"]
    safe_upgrade(project, "+1")
    assert heads(cluster, database) == ["a3"]


def test_a_failing_statement_is_rolled_back_and_named_with_file_line_and_state(project, cluster, database):
    path = project.revision(
        "b1", "a3", "orders", 'op.execute("CREATE TABLE orders (id int)")\nop.execute("SELECT no_such_function(1)")'
    )
    ended = safe_upgrade(project, check=6)
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "no_such_function" in text)
    assert f"{path.name}:{line}" in ended.text
    assert "SELECT no_such_function(1)" in ended.text
    assert "b1 (orders) failed: UndefinedFunction" in ended.text
    assert "the database stands at a3" in ended.text
    assert "Safe to run again." in ended.text
    assert heads(cluster, database) == ["a3"]
    assert columns(cluster, database, "orders") == []
    assert outcomes(cluster, database) == ["failed"]
    assert "no_such_function" in deployments(cluster, database)[0]["message"]
    project.revision("b1", "a3", "orders", 'op.execute("CREATE TABLE orders (id int, total int)")')
    safe_upgrade(project)
    assert columns(cluster, database, "orders") == ["id", "total"]
    assert outcomes(cluster, database) == ["failed", "done"]


def test_a_python_error_in_a_revision_is_told_like_a_failing_statement(project, cluster, database):
    path = project.revision("b1", "a3", "sums", 'op.execute("CREATE TABLE sums (id int)")\n1 / 0')
    ended = safe_upgrade(project, check=6)
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "1 / 0" in text)
    assert f"{path.name}:{line}" in ended.text
    assert "ZeroDivisionError" in ended.text
    assert heads(cluster, database) == ["a3"]
    assert columns(cluster, database, "sums") == []


def test_a_revision_that_failed_behind_its_own_commit_is_half_done_and_says_what_stays(project, cluster, database):
    project.revision(
        "b1", "a3", "half",
        'op.execute("CREATE TABLE kept (id int)")\nwith op.get_context().autocommit_block():\n'
        '    op.execute("CREATE INDEX CONCURRENTLY kept_id ON kept (id)")\nop.execute("SELECT 1 / 0")',
    )  # fmt: skip
    ended = safe_upgrade(project, check=7)
    assert "CREATE TABLE kept" in ended.text
    assert "CREATE INDEX CONCURRENTLY kept_id" in ended.text
    assert "half done" in ended.text
    assert "stands at a3" in ended.text
    assert heads(cluster, database) == ["a3"]
    assert columns(cluster, database, "kept") == ["id"]
    assert outcomes(cluster, database) == ["failed"]
    project.revision("b1", "a3", "half", 'op.execute("CREATE TABLE IF NOT EXISTS kept (id int)")')
    safe_upgrade(project)
    assert heads(cluster, database) == ["b1"]


def test_what_a_failing_autocommit_block_had_begun_with_is_not_called_rolled_back(project, cluster, database):
    with cluster.connect(database) as c:
        c.execute("CREATE TABLE twice (id int); INSERT INTO twice VALUES (1), (1)")
    project.revision(
        "b1", "a3", "unique",
        'with op.get_context().autocommit_block():\n    op.execute("CREATE UNIQUE INDEX CONCURRENTLY u ON twice (id)")',
    )  # fmt: skip
    ended = safe_upgrade(project, "--rehearse", "off", check=7)
    assert "UniqueViolation" in ended.text
    assert (
        rows(cluster, database, "SELECT indisvalid AS it FROM pg_index WHERE indexrelid = 'u'::regclass")[0]["it"]
        is False
    )


def test_no_wait_ends_with_5_while_another_deploy_holds_the_lock(project, cluster, database):
    with deploy_lock(
        lambda: cluster.connect(database), lock_key("public.alembic_version"), wait=5, no_wait=True,
        holder_alive=lambda *_: None, on_wait=lambda _: None,
    ):  # fmt: skip
        ended = safe_upgrade(project, "--no-wait", "--json", check=5)
        assert "Another deployment holds the deploy lock" in ended.json["error"]
        assert ended.json["state"] == "Nothing was changed."
        short = safe_upgrade(project, "--lock-wait", "500ms", check=5)
        assert "shows no life" in short.text
    assert rows(cluster, database, "SELECT 1 FROM pg_class WHERE relname = 'users'") == []
    safe_upgrade(project)


def test_whoever_waited_and_finds_nothing_left_ends_with_0(project, cluster, database):
    project.revision("b1", "a3", "slow", held_up(1))

    def let_the_first_go_on():
        eventually(lambda: rows(cluster, database, WAITING))
        with let_go(cluster, database, 1):
            return first.result()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(project.run, "safe-upgrade", check=0)
        eventually(lambda: rows(cluster, database, SLEEPING))
        letting = pool.submit(let_the_first_go_on)
        ended = safe_upgrade(project)
        letting.result()
    assert "Waiting" in ended.err
    assert "nothing is pending" in ended.text
    assert outcomes(cluster, database) == ["done"]
    assert advisory_locks(cluster, database) == 0


def test_an_unknown_revision_is_wrong_usage(project, cluster, database):
    ended = safe_upgrade(project, "zz", check=2)
    assert "zz" in ended.text
    assert rows(cluster, database, "SELECT 1 FROM pg_class WHERE relname IN ('alembic_version', 'users')") == []


def test_several_heads_are_named_and_can_all_be_deployed(project, cluster, database):
    project.revision("b1", "a3", "left")
    project.revision("c1", "a3", "right")
    ended = safe_upgrade(project, check=4)
    assert "b1" in ended.text
    assert "c1" in ended.text
    assert "alembic safe-upgrade heads" in ended.text
    assert rows(cluster, database, "SELECT 1 FROM pg_class WHERE relname = 'users'") == []
    safe_upgrade(project, "heads")
    assert heads(cluster, database) == ["b1", "c1"]
    assert "nothing is pending" in safe_upgrade(project, "heads").text
    project.revision("d1", ("b1", "c1"), "merge")
    safe_upgrade(project)
    assert heads(cluster, database) == ["d1"]
    assert rows(cluster, database, "SELECT parents FROM alembic_safe.revisions WHERE revision = 'd1'")[0][
        "parents"
    ] == ["b1", "c1"]


def test_a_revision_that_depends_on_another_branch_pulls_it_in(project, cluster, database):
    project.revision("r1", None, "other root", 'op.execute("CREATE TABLE r (id int)")')
    project.revision("b1", "a3", "needs r1", 'op.execute("ALTER TABLE r ADD x int")', extra="depends_on = 'r1'\n")
    safe_upgrade(project, "b1")
    assert columns(cluster, database, "r") == ["id", "x"]
    assert "nothing is pending" in safe_upgrade(project, "b1").text
    assert "nothing is pending" in safe_upgrade(project, "heads").text


def test_what_a_callback_of_env_py_does_is_called_for_every_revision(tmp_path, cluster, database):
    from tests.project import ENV_PY

    env = ENV_PY.replace(
        "target_metadata=target_metadata)",
        "target_metadata=target_metadata, on_version_apply=lambda *, ctx, step, heads, run_args:"
        " ctx.connection.exec_driver_sql('INSERT INTO told VALUES (%s, %s)', (step.up_revision_id, step.is_upgrade)))",
        1,
    )
    with cluster.connect(database) as c:
        c.execute("CREATE TABLE told (revision text, up bool)")
    safe_upgrade(Project.create(tmp_path / "told", cluster.url(database), env_py=env))
    assert [(r["revision"], r["up"]) for r in rows(cluster, database, "SELECT * FROM told")] == [
        ("a1", True), ("a2", True), ("a3", True),
    ]  # fmt: skip


def test_a_reader_that_goes_away_ends_the_telling_and_not_the_deploy(project, cluster, database):
    import subprocess
    import sys

    with subprocess.Popen(
        [sys.executable, "-m", "alembic", "safe-upgrade"], cwd=project.folder, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read().decode()
        assert process.wait() == 0, said
    assert "cannot be reached" not in said
    assert heads(cluster, database) == ["a3"]
