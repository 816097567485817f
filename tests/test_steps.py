"""How `safe-upgrade` runs the steps of a revision: each committed with its journal row, resumed, or taken back."""

from __future__ import annotations

import signal
import threading

import pytest

from alembic_safe.database import copying_walk
from tests.deploys import (
    SLEEPING,
    columns,
    deployments,
    end_of,
    heads,
    let_go,
    outcomes,
    rows,
    safe_upgrade,
    start,
    statements,
)
from tests.patience import eventually

STEPS = """
with op.step("one table"):
    op.create_table("ones", sa.Column("id", sa.Integer, primary_key=True), if_not_exists=True)
with op.step("another table"):
    op.create_table("twos", sa.Column("id", sa.Integer, primary_key=True), if_not_exists=True)
with op.step("the last"):
    {last}
    op.create_table("threes", sa.Column("id", sa.Integer, primary_key=True), if_not_exists=True)
"""
BACK = """
with op.step("all three"):
    for name in ("threes", "twos", "ones"):
        op.drop_table(name, if_exists=True)
"""
FAILING = 'op.execute("SELECT 1 / 0")'


def in_steps(project, last="pass", **kw):
    return project.revision("b1", "a3", "in steps", STEPS.format(last=last), BACK, **kw)


def tables(cluster, database):
    found = rows(cluster, database, "SELECT relname AS it FROM pg_class WHERE relname IN ('ones', 'twos', 'threes')")
    return sorted(row["it"] for row in found)


def steps(cluster, database):
    return [
        (row["direction"], row["number"], row["name"], row["entered"], row["finished_at"] is not None)
        for row in rows(cluster, database, "SELECT * FROM alembic_safe.steps ORDER BY id")
    ]


def test_a_single_step_is_one_transaction_with_the_version_row(project, cluster, database):
    body = 'with op.step("one"):\n    op.create_table("ones", sa.Column("id", sa.Integer))'
    project.revision("b1", "a3", "one step", body, "pass")
    safe_upgrade(project)
    made = rows(cluster, database, "SELECT xmin::text AS it FROM pg_class WHERE relname = 'ones'")
    assert made == rows(cluster, database, "SELECT xmin::text AS it FROM alembic_version")


def test_each_of_several_steps_is_a_transaction_with_its_journal_row(project, cluster, database):
    in_steps(project)
    safe_upgrade(project)
    assert heads(cluster, database) == ["b1"]
    made = rows(
        cluster, database, "SELECT relname, xmin::text FROM pg_class WHERE relname IN ('ones', 'twos', 'threes')"
    )
    xmin = {row["relname"]: row["xmin"] for row in made}
    assert len(set(xmin.values())) == 3
    version = rows(cluster, database, "SELECT xmin::text FROM alembic_version")[0]["xmin"]
    assert version not in xmin.values(), (
        "nobody waits for the locks of the last step while the revision is written down"
    )
    ended = rows(cluster, database, "SELECT xmin::text FROM alembic_safe.steps ORDER BY number")
    assert ended[-1]["xmin"] == version, "closed with it"
    assert steps(cluster, database) == [
        ("up", 1, "one table", 1, True), ("up", 2, "another table", 1, True), ("up", 3, "the last", 1, True),
    ]  # fmt: skip
    closed = rows(cluster, database, "SELECT count(*) AS it FROM alembic_safe.steps WHERE closed_at IS NULL")
    assert closed[0]["it"] == 0


def test_under_stock_alembic_all_steps_are_one_transaction_of_the_caller(project, cluster, database):
    in_steps(project, FAILING)
    assert project.run("upgrade", "head").returncode == 1
    assert tables(cluster, database) == []
    in_steps(project)
    project.run("upgrade", "head", check=0)
    made = rows(cluster, database, "SELECT xmin::text FROM pg_class WHERE relname IN ('ones', 'twos', 'threes')")
    assert len(made) == 3
    assert len({row["xmin"] for row in made}) == 1


def test_a_failure_behind_a_committed_step_is_half_done_and_the_next_run_enters_every_step_again(
    project, cluster, database
):
    path = in_steps(project, FAILING)
    ended = safe_upgrade(project, check=7)
    assert "b1 (in steps) failed: DivisionByZero" in ended.text
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "1 / 0" in text)
    assert f"{path.name}:{line}" in ended.text
    assert "done: one table, another table" in ended.text
    assert "begun: the last" not in ended.text  # rolled back, and its row with it
    assert "the database stands at a3" in ended.text
    assert "alembic safe-upgrade --back-out" in ended.text
    assert tables(cluster, database) == ["ones", "twos"]
    assert heads(cluster, database) == ["a3"]
    in_steps(project)
    safe_upgrade(project)
    assert heads(cluster, database) == ["b1"]
    assert tables(cluster, database) == ["ones", "threes", "twos"]
    assert steps(cluster, database) == [
        ("up", 1, "one table", 2, True), ("up", 2, "another table", 2, True), ("up", 3, "the last", 1, True),
    ]  # fmt: skip
    assert outcomes(cluster, database) == ["failed", "done"]


def test_what_an_operation_of_ours_finds_behind_what_is_committed_is_said_in_its_own_words(project, cluster, database):
    safe_upgrade(project)
    with cluster.connect(database) as c:
        c.execute("INSERT INTO users (name, mail) VALUES ('a', 'm'), ('a', 'n')")
    project.revision("b1", "a3", "names", 'op.create_index_concurrently("one_name", "users", ["name"], unique=True)')
    ended = safe_upgrade(project, "--rehearse", "off", check=7)  # a plan would have counted the rows
    said = "b1 (names): Index one_name on public.users cannot be unique: rows hold the same values."
    assert said in ended.text
    assert "Key (name)=(a) is duplicated" in ended.text
    assert "make them differ in a copy revision before this one, then" in ended.text
    assert "Findings" not in ended.text
    assert "Nothing was changed" not in ended.text
    assert deployments(cluster, database)[-1]["message"] == said


def test_a_copy_that_fails_in_a_trigger_is_told_with_the_triggers_function(project, cluster, database):
    safe_upgrade(project)
    with cluster.connect(database) as c:
        c.execute("INSERT INTO users (name, mail) VALUES ('a', NULL)")
        c.execute(
            "CREATE FUNCTION picky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$;"
            "CREATE TRIGGER picky BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION picky()"
        )
    project.revision("b1", "a3", "mails", """op.backfill("users", set_={"mail": "lower(name)"})""")
    ended = safe_upgrade(project, "--rehearse", "off", check=7)
    assert "b1 (mails) failed: RaiseException: not this one" in ended.text
    assert "It was the copy of mail in public.users; what failed is function picky()." in ended.text


def test_a_failure_in_the_first_step_is_rolled_back_as_ever(project, cluster, database):
    project.revision("b1", "a3", "steps", f'with op.step("first"):\n    {FAILING}')
    ended = safe_upgrade(project, check=6)
    assert "was rolled back" in ended.text
    assert steps(cluster, database) == []


def test_a_resumed_run_that_fails_again_stays_half_done(project):
    in_steps(project, FAILING)
    safe_upgrade(project, check=7)
    project.revision("b1", "a3", "in steps", f'with op.step("one table"):\n    {FAILING}')
    ended = safe_upgrade(project, "--rehearse", "off", check=7)  # a shadow would have shown it
    assert "done: one table, another table" in ended.text


def test_statements_outside_of_steps_are_committed_with_the_step_around_them(project, cluster, database):
    project.revision(
        "b1", "a3", "mixed",
        'op.execute("CREATE TABLE ones (id int)")\nwith op.step("a"):\n    op.execute("CREATE TABLE twos (id int)")\n'
        'op.execute("CREATE TABLE threes (id int)")',
    )  # fmt: skip
    safe_upgrade(project)
    made = rows(cluster, database, "SELECT xmin::text FROM pg_class WHERE relname IN ('ones', 'twos', 'threes')")
    assert len({row["xmin"] for row in made}) == 1


def test_a_step_in_a_step_is_wrong_usage(project, cluster, database):
    project.revision("b1", "a3", "nested", 'with op.step("outer"):\n    with op.step("inner"):\n        pass')
    ended = safe_upgrade(project, check=2)
    assert "the step 'inner' stands in the step 'outer'" in ended.text
    assert heads(cluster, database) == ["a3"]


def test_a_lock_that_is_missed_in_a_later_step_repeats_that_step_alone(project, cluster, database):
    safe_upgrade(project)
    project.revision(
        "b1", "a3", "locked",
        'with op.step("makes"):\n    op.create_table("ones", sa.Column("id", sa.Integer), if_not_exists=True)\n'
        '    op.execute("INSERT INTO ones VALUES (1)") if not op.get_bind().scalar(sa.text("SELECT count(*) FROM ones"))'
        ' else None\n'
        'with op.step("alters"):\n    op.add_column("users", sa.Column("age", sa.Integer), if_not_exists=True)',
    )  # fmt: skip
    with cluster.connect(database, autocommit=False) as holder:
        holder.execute("SELECT * FROM users")
        process = start(project)
        eventually(lambda: tables(cluster, database) == ["ones"])
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass"
        eventually(lambda: rows(cluster, database, waiting))
        eventually(lambda: not rows(cluster, database, waiting))
        holder.rollback()
        ended = end_of(process)
    assert ended.code == 0, ended.text
    assert "rolled back, will be repeated" in ended.text
    assert columns(cluster, database, "users")[-1] == "age"
    assert rows(cluster, database, "SELECT count(*) AS it FROM ones")[0]["it"] == 1
    assert [(name, done) for _, _, name, _, done in steps(cluster, database)] == [("makes", True), ("alters", True)]


def test_each_step_waits_for_its_first_lock_no_longer_than_a_revision_without_steps(project, cluster, database):
    """The row in the journal that it has written by then is soon written again."""
    asked = "SELECT setting AS it FROM pg_settings WHERE name = 'lock_timeout'"
    project.revision(
        "b1", "a3", "asks",
        f'with op.step("one"):\n    op.execute("CREATE TABLE seen AS {asked}")\n'
        f'with op.step("two"):\n    op.execute("INSERT INTO seen {asked}")',
    )  # fmt: skip
    safe_upgrade(project)
    assert rows(cluster, database, "SELECT it FROM seen") == [{"it": "100"}, {"it": "100"}]


def test_a_lock_that_is_not_had_behind_a_committed_step_is_half_done(project, cluster, database):
    safe_upgrade(project)
    project.revision(
        "b1", "a3", "locked",
        'with op.step("makes"):\n    op.create_table("ones", sa.Column("id", sa.Integer), if_not_exists=True)\n'
        'with op.step("alters"):\n    op.add_column("users", sa.Column("age", sa.Integer), if_not_exists=True)',
    )  # fmt: skip
    with cluster.connect(database, autocommit=False) as holder:
        holder.execute("SELECT * FROM users")
        ended = safe_upgrade(project, "--lock-budget", "1s", check=7)
    assert "did not get its lock on public.users" in ended.text
    assert "done: makes" in ended.text
    assert "alembic safe-upgrade --back-out" in ended.text
    safe_upgrade(project)
    assert heads(cluster, database) == ["b1"]


def test_an_interrupted_revision_says_what_is_half_done(project, cluster, database):
    in_steps(project, 'op.execute("SELECT pg_sleep(60)")')
    process = start(project)
    eventually(lambda: rows(cluster, database, SLEEPING))
    ended = end_of(process, signal.SIGINT)
    assert ended.code == 130
    assert "Interrupted in b1 (in steps)." in ended.text
    assert "done: one table, another table" in ended.text
    assert "alembic safe-upgrade --back-out" in ended.text
    assert outcomes(cluster, database) == ["interrupted"]


def test_a_killed_revision_is_resumed(project, cluster, database):
    in_steps(project, 'op.execute("SELECT pg_sleep(60)")')
    process = start(project)
    eventually(lambda: rows(cluster, database, SLEEPING))
    end_of(process, signal.SIGKILL)
    for row in rows(cluster, database, SLEEPING):
        rows(cluster, database, "SELECT pg_terminate_backend(%s)", row["pid"])
    assert tables(cluster, database) == ["ones", "twos"]
    in_steps(project)
    safe_upgrade(project)
    assert tables(cluster, database) == ["ones", "threes", "twos"]


BATCHES = """
with op.step("copy"):
    runner = op.get_context().opts["alembic_safe_steps"]
    from alembic_safe.database.steps import CopyState
    connection = op.get_bind()
    at = int(runner.load_copy(connection, "c") or 0)
    for n in range(at + 1, 6):
        connection.exec_driver_sql(f"INSERT INTO copied VALUES ({{n}})")
        runner.save_copy(connection, CopyState("c", "public.copied", str(n), n, 5, 1, "running"))
        runner.commit()
        {between}
with op.step("behind it"):
    with runner.autocommit() as connection:
        connection.exec_driver_sql("CREATE INDEX CONCURRENTLY IF NOT EXISTS copied_id ON copied (id)")
"""


def test_a_copy_is_committed_batch_by_batch_and_goes_on_behind_its_cursor(project, cluster, database):
    safe_upgrade(project)
    rows(cluster, database, "CREATE TABLE copied (id int PRIMARY KEY)")
    project.revision("b1", "a3", "batches", BATCHES.format(between="assert n < 3, 'stopped'"))
    ended = safe_upgrade(project, "--rehearse", "off", check=7)
    assert "no step is done; begun: copy" in ended.text
    assert [r["id"] for r in rows(cluster, database, "SELECT id FROM copied ORDER BY 1")] == [1, 2, 3]
    project.revision("b1", "a3", "batches", BATCHES.format(between="pass"))
    safe_upgrade(project)
    assert [r["id"] for r in rows(cluster, database, "SELECT id FROM copied ORDER BY 1")] == [1, 2, 3, 4, 5]
    assert rows(cluster, database, "SELECT indisvalid AS it FROM pg_index WHERE indexrelid = 'copied_id'::regclass")
    assert heads(cluster, database) == ["b1"]


def test_each_part_of_a_copy_has_its_lock_timeout(project, cluster, database):
    rows(cluster, database, "CREATE TABLE copied (id int PRIMARY KEY)")
    project.revision(
        "b1", "a3", "batches",
        BATCHES.format(between='connection.exec_driver_sql("INSERT INTO seen SELECT setting FROM pg_settings'
                               " WHERE name = 'lock_timeout'\")"),
    )  # fmt: skip
    rows(cluster, database, "CREATE TABLE seen (it text)")
    safe_upgrade(project)
    assert {row["it"] for row in rows(cluster, database, "SELECT it FROM seen")} == {"100"}


def copied_column(project, cluster, database, value="a", batch_rows=50):
    """Make a table of 200 rows, and a revision that copies one column of it into another."""
    rows(
        cluster,
        database,
        "CREATE TABLE wide AS SELECT n AS id, n AS a, NULL::integer AS b FROM generate_series(1, 200) n",
    )
    rows(cluster, database, "ALTER TABLE wide ADD PRIMARY KEY (id)")
    body = f'with op.step("copy"):\n    op.backfill("wide", set_={{"b": "{value}"}}, batch_rows={batch_rows})'
    project.revision("b1", "a3", "batches", body, 'op.execute("SELECT 1")')


def copied(cluster, database):
    return rows(cluster, database, "SELECT count(b)::int AS it FROM wide")[0]["it"]


def test_a_batch_costs_no_savepoint_no_timeout_and_no_look_beside_its_own_statements(project, cluster, database):
    safe_upgrade(project)
    copied_column(project, cluster, database, batch_rows=4)
    with statements(cluster, database) as sent:
        safe_upgrade(project, "--rehearse", "off")
    assert copied(cluster, database) == 200
    assert sum(n for text, n in sent.items() if text.startswith('UPDATE ONLY "public"."wide"')) == 50
    for words in ("SAVEPOINT", "lock_timeout"):
        assert sum(n for text, n in sent.items() if words in text) < 50, words


def test_a_batch_that_fails_leaves_those_before_it_and_the_next_run_goes_on_behind_them(project, cluster, database):
    safe_upgrade(project)
    copied_column(project, cluster, database, value="100 / (120 - a)")
    ended = safe_upgrade(project, "--rehearse", "off", check=7)
    assert "division by zero" in ended.text
    assert "begun: copy" in ended.text
    assert copied(cluster, database) == 100
    rows(cluster, database, "UPDATE wide SET a = 119 WHERE a = 120")
    safe_upgrade(project, "--rehearse", "off")
    assert copied(cluster, database) == 200
    assert rows(cluster, database, "SELECT id FROM wide WHERE b IS DISTINCT FROM 100 / (120 - a)") == []


@pytest.mark.long
def test_a_row_that_somebody_holds_for_too_long_costs_an_attempt_and_no_batch(project, cluster, database, monkeypatch):
    monkeypatch.setattr(copying_walk, "LONGEST_COLLISION", 0.1)
    safe_upgrade(project)
    copied_column(project, cluster, database)
    said = []
    upgrading = threading.Thread(target=lambda: said.append(safe_upgrade(project, "--rehearse", "off")))
    missed = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE ONLY%'"
    with cluster.connect(database, autocommit=False) as holder:
        holder.execute("UPDATE wide SET a = -1 WHERE id = 120")
        upgrading.start()
        eventually(lambda: rows(cluster, database, missed))
        eventually(lambda: not rows(cluster, database, missed))
        holder.commit()
    upgrading.join()
    assert said[0].code == 0
    assert "rolled back, will be repeated" in said[0].text
    assert rows(cluster, database, "SELECT id FROM wide WHERE b IS DISTINCT FROM a") == []


def test_a_copy_that_is_not_done_in_time_ends_with_9_and_goes_on(project, cluster, database):
    rows(cluster, database, "CREATE TABLE copied (id int PRIMARY KEY)")
    stop = "from alembic_safe.errors import CopyUnfinished\n        if runner.options.max_time == 0 and n == 2:\n"
    stop += "            raise CopyUnfinished('public.copied: 2 of 5 rows')"
    project.revision("b1", "a3", "batches", BATCHES.format(between=stop))
    ended = safe_upgrade(project, "--max-time", "1ms", check=9)
    assert "public.copied: 2 of 5 rows" in ended.text
    assert "begun: copy" in ended.text
    safe_upgrade(project, "--max-time", "10m")
    assert len(rows(cluster, database, "SELECT id FROM copied")) == 5


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, "1"), (signal.SIGTERM, "3")])
def test_a_signal_in_a_copy_ends_with_130_and_the_next_run_goes_on(project, cluster, database, number, workers):
    safe_upgrade(project)
    let = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 130"
    # a copy refuses what says something else each time, and this does not: it only takes its time
    body = f"BEGIN IF n > 20 AND NOT EXISTS ({let}) THEN PERFORM pg_sleep(0.1); END IF; RETURN n; END"
    rows(cluster, database, f"CREATE FUNCTION slow(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $${body}$$")
    copied_column(project, cluster, database, value="slow(a)", batch_rows=4)
    process = start(project, "--rehearse", "off", "--workers", workers)
    eventually(lambda: copied(cluster, database) > 20)
    ended = end_of(process, number)
    assert ended.code == 130, ended
    assert "Interrupted in b1 (batches)." in ended.text
    assert "begun: copy" in ended.text
    assert "Safe to run again." in ended.text
    assert outcomes(cluster, database) == ["done", "interrupted"]
    before = copied(cluster, database)
    assert 0 < before < 200
    with let_go(cluster, database, 130):
        assert "Done" in safe_upgrade(project, "--rehearse", "off").text
    assert copied(cluster, database) == 200
    assert rows(cluster, database, "SELECT id FROM wide WHERE b IS DISTINCT FROM a") == []
    assert heads(cluster, database) == ["b1"]


def test_deploys_of_a_half_done_revision_at_once_end_it_once(project, cluster, database):
    in_steps(project, FAILING)
    safe_upgrade(project, check=7)
    in_steps(project)
    codes = []
    runs = [threading.Thread(target=lambda: codes.append(project.run("safe-upgrade").returncode)) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert codes == [0, 0, 0]
    assert steps(cluster, database)[0] == ("up", 1, "one table", 2, True)


def test_a_half_done_revision_is_taken_back_by_its_own_downgrade(project, cluster, database):
    project.settings("environment = production")
    in_steps(project, FAILING)
    safe_upgrade(project, check=7)
    shown = safe_upgrade(project, "--back-out", "--dry-run")
    assert "b1 would be taken back: done: one table, another table" in shown.text
    assert tables(cluster, database) == ["ones", "twos"]
    ended = safe_upgrade(project, "--back-out")
    assert "b1 is taken back: done: one table, another table" in ended.text
    assert f"{database} is at a3, and nothing is half done." in ended.text
    assert tables(cluster, database) == []
    assert heads(cluster, database) == ["a3"]
    assert rows(cluster, database, "SELECT 1 FROM alembic_safe.steps WHERE closed_at IS NULL") == []
    last = rows(cluster, database, "SELECT revision, direction FROM alembic_safe.revisions ORDER BY id DESC LIMIT 1")
    assert last == [{"revision": "b1", "direction": "down"}]
    again = safe_upgrade(project, "--back-out")
    assert "nothing is half done. Nothing was changed." in again.text
    in_steps(project)
    safe_upgrade(project)
    assert heads(cluster, database) == ["b1"]


def test_taking_back_that_fails_stays_half_done_and_is_gone_on_with_either_way(project, cluster, database):
    in_steps(project, FAILING)
    safe_upgrade(project, check=7)
    project.revision(
        "b1", "a3", "in steps", STEPS.format(last="pass"),
        'with op.step("first"):\n    op.drop_table("twos", if_exists=True)\nwith op.step("second"):\n    1 / 0',
    )  # fmt: skip
    ended = safe_upgrade(project, "--back-out", check=7)
    assert "and it is being taken back" in ended.text
    assert tables(cluster, database) == ["ones"]
    safe_upgrade(project)
    assert tables(cluster, database) == ["ones", "threes", "twos"]
    assert "nothing is half done" in safe_upgrade(project, "--back-out").text


def test_a_half_done_revision_whose_file_is_not_here_is_not_guessed_at(project):
    path = in_steps(project, FAILING)
    safe_upgrade(project, check=7)
    path.unlink()
    ended = safe_upgrade(project, "--back-out", check=4)
    assert "b1 is half done (done: one table, another table), and no file here has it" in ended.text


def test_a_downgrade_without_steps_takes_a_half_done_revision_back_as_well(project, cluster, database):
    project.revision("b1", "a3", "in steps", STEPS.format(last=FAILING), 'op.drop_table("ones")\nop.drop_table("twos")')
    safe_upgrade(project, check=7)
    safe_upgrade(project, "--back-out")
    assert tables(cluster, database) == []
    assert "nothing is half done. Nothing was changed." in safe_upgrade(project, "--back-out").text


def test_a_half_done_revision_whose_file_has_no_steps_any_more_is_done_when_it_ran(project):
    in_steps(project, FAILING)
    safe_upgrade(project, check=7)
    project.revision("b1", "a3", "in steps", "pass", 'op.drop_table("ones", if_exists=True)')
    safe_upgrade(project)
    assert "nothing is half done" in safe_upgrade(project, "--back-out").text
