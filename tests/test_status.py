"""Does `alembic safe-status` say of a database what is true of it, and name the right way on?"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alembic
import pytest

from alembic_safe import commands
from tests.deploys import SLEEPING, end_of, held_up, let_go, outcomes, rows, safe_upgrade, start
from tests.patience import eventually
from tests.phased import SETTLES, park, phase
from tests.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster import Cluster


def look(project: Project, *args: str, check: int) -> str:
    """Return what safe-status prints; the label and its text stand one space apart."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = commands.run("safe-status", args, project.config)
    assert code == check, f"exit {code}\n{out.getvalue()}\n{err.getvalue()}"
    return "\n".join(" ".join(line.split()) for line in out.getvalue().splitlines())


def found(project: Project, *args: str, check: int) -> dict[str, Any]:
    """Return what safe-status says to machines of the one database."""
    return json.loads(look(project, "--json", *args, check=check))["databases"][0]


@pytest.fixture
def legacy(tmp_path: Path, cluster: Cluster, database: str) -> Project:
    """A project without a revision, whose database has a table."""
    rows(cluster, database, "CREATE TABLE orders (id int PRIMARY KEY)")
    project = Project.create(tmp_path / "legacy", cluster.url(database), plain=False)
    template = Path(alembic.__file__).parent / "templates" / "generic" / "script.py.mako"
    shutil.copyfile(template, project.folder / "migrations" / "script.py.mako")
    return project


def test_tables_without_a_revision_are_unknown_and_never_in_order(legacy, database):
    said = look(legacy, check=4)
    assert f"UNKNOWN {database} has tables and no revision. Nothing was changed." in said
    assert "Next find or write theirs alembic safe-baseline" in said
    assert "nothing is wrong" not in said
    assert found(legacy, check=4)["verdict"] == "UNKNOWN"
    assert commands.run("safe-baseline", (), legacy.config) == 0
    assert "nothing is wrong" in look(legacy, "--drift", check=0)


def test_tables_without_a_revision_on_a_protected_database_have_the_same_way_on(legacy, database):
    legacy.settings("environment = production")
    said = look(legacy, check=4)
    assert f"UNKNOWN {database} has tables and no revision. Nothing was changed." in said
    assert "Next find or write theirs alembic safe-baseline" in said
    assert "--drift" not in said


def test_pending_revisions_of_a_database_with_tables_and_no_revision_are_not_what_comes_next(
    project, cluster, database
):
    rows(cluster, database, "CREATE TABLE users (id int PRIMARY KEY, name text)")
    said = look(project, check=4)
    assert f"PENDING 3 revisions pending, and {database} has tables and no revision. Nothing was changed." in said
    assert "Next find or write theirs alembic safe-baseline" in said
    assert "safe-upgrade\n" not in said
    assert found(project, check=4)["verdict"] == "PENDING"


def test_tables_of_a_first_revision_that_is_half_done_are_no_unknown_ones(project):
    project.revision("a1", None, "users", 'with op.step("one"):\n    op.execute("CREATE TABLE t (id int)")\n'
                     'with op.step("two"):\n    1 / 0')  # fmt: skip
    safe_upgrade(project, check=7)
    said = look(project, check=4)
    assert "a1 is half done" in said
    assert "safe-baseline" not in said


def test_an_empty_database_has_the_deploy_for_its_next_step(project):
    said = look(project, check=4)
    assert "PENDING 3 revisions pending, otherwise in order. Nothing was changed." in said
    assert "Next deploy what is pending alembic safe-upgrade" in said


def test_nothing_is_called_right_that_nobody_could_look_at(project, cluster, database):
    project.run("upgrade", "a3", check=0)
    rows(cluster, database, "ALTER TABLE users ADD COLUMN by_hand text")
    said = look(project, check=0)
    assert "OK nothing is pending; whether it was changed by hand is unknown. Nothing was changed." in said
    assert "Next replay the files and compare alembic safe-status --drift" in said
    assert "nothing is wrong" not in said
    assert "has been changed by hand: 1 difference" in look(project, "--drift", check=4)


def test_what_is_pending_is_not_otherwise_in_order_where_nobody_could_look(project):
    project.run("upgrade", "a2", check=0)
    said = look(project, check=4)
    assert "PENDING 1 revision pending; whether it was changed by hand is unknown. Nothing was changed." in said
    assert "Next deploy what is pending alembic safe-upgrade" in said
    assert "replay the files and compare alembic safe-status --drift" in said


def test_no_replay_is_proposed_where_none_would_help(project, cluster, database):
    project.run("upgrade", "a3", check=0)
    project.settings("environment = production")
    rows(cluster, database, "UPDATE alembic_version SET version_num = 'elsewhere'")
    assert "--drift" not in look(project, check=4)


def test_a_deployed_database_is_in_order(project, database):
    safe_upgrade(project)
    assert f"OK {database} is at head, and nothing is wrong. Nothing was changed." in look(project, check=0)


@pytest.fixture
def copying(tmp_path: Path, cluster: Cluster, database: str) -> Project:
    """A change whose copy is pending, over 300 rows."""
    project = Project.create(tmp_path / "app", cluster.url(database), plain=False)
    project.settings("environment = development")
    project.revision("a1", None, "users", 'op.create_table("users", sa.Column("id", sa.Integer, primary_key=True),'
                     ' sa.Column("fullname", sa.Text))', 'op.drop_table("users")')  # fmt: skip
    project.revision("e1", "a1", "names", 'op.add_column("users", sa.Column("name", sa.Text), if_not_exists=True)',
                     'op.drop_column("users", "name")', extra=phase("expand", more=SETTLES))  # fmt: skip
    copy = 'with op.step("copy"):\n    op.backfill("users", set_={"name": "fullname"}, batch_rows=50)'
    project.revision("c1", "e1", "copy", copy, extra=phase("copy"))
    park(project, "k1", "c1", "end of names")
    safe_upgrade(project, "e1")
    rows(cluster, database, "INSERT INTO users SELECT i, 'n' || i FROM generate_series(1, 300) i")
    rows(cluster, database, "ANALYZE users")
    return project


def copies(project: Project) -> list[str]:
    """Return the lines of copies, as safe-status prints them."""
    # the end of a long line stands under it
    said = re.sub(r"\n(?=\S+ on there|on there|there)", " ", look(project, check=4))
    return [line for line in said.splitlines() if "rows copied" in line]


STOPPED = r"public\.users: 50 of about 300 rows copied, stopped 20\S+ \S+; the next run goes on there"


def test_a_copy_that_stopped_is_one_line_of_all_its_ranges_and_does_not_run(copying, cluster, database):
    safe_upgrade(copying, "--max-time", "1ms", check=9)
    (line,) = copies(copying)
    assert re.fullmatch(STOPPED, line)
    rows(
        cluster, database,
        "INSERT INTO alembic_safe.copies (version_table, revision, copy, of_table, cursor, rows, total, milliseconds, status)"
        " SELECT version_table, revision, replace(copy, '-0', '-1'), of_table, cursor, 30, total, 1, status"
        " FROM alembic_safe.copies WHERE copy LIKE '%-0'",
    )  # fmt: skip
    assert [line.partition(",")[0] for line in copies(copying)] == ["public.users: 80 of about 300 rows copied"]
    rows(cluster, database, "DELETE FROM alembic_safe.copies WHERE copy LIKE '%-1'")
    safe_upgrade(copying)
    assert "rows copied" not in look(copying, check=0)


def test_a_copy_that_runs_is_said_to_run_until_it_is_interrupted(copying, cluster, database):
    rows(cluster, database, "INSERT INTO alembic_safe.copy_pauses (why) VALUES ('a sale')")
    process = start(copying)
    eventually(lambda: rows(cluster, database, "SELECT 1 FROM alembic_safe.copies WHERE rows > 0"))
    (line,) = copies(copying)
    assert re.fullmatch(r"public\.users: 50 of about 300 rows copied, running, 20\S+ \S+", line)
    assert end_of(process, signal.SIGINT).code == 130
    (line,) = copies(copying)
    assert re.fullmatch(STOPPED, line)


def test_a_copy_that_was_backed_out_has_no_line(copying):
    safe_upgrade(copying, "--max-time", "1ms", check=9)
    safe_upgrade(copying, "--back-out")
    assert copies(copying) == []


def test_a_run_that_stopped_in_time_has_not_failed(copying, cluster, database):
    safe_upgrade(copying, "--max-time", "1ms", check=9)
    said = look(copying, check=4)
    assert "stopped in time (the next run goes on), to e1 by" in said
    assert "failed" not in said
    assert outcomes(cluster, database) == ["done", "stopped"]


def test_each_way_on_from_a_half_done_revision_is_named_once(copying):
    safe_upgrade(copying, "--max-time", "1ms", check=9)
    *_, first, second = look(copying, check=4).splitlines()
    assert first == "Next go on with it alembic safe-upgrade"
    assert second == "or take it back alembic safe-upgrade --back-out"


def test_while_a_deployment_runs_no_other_one_is_proposed(project, cluster, database):
    safe_upgrade(project)
    project.settings("environment = production")
    project.revision("b1", "a3", "slow", f'with op.step("one"):\n    {held_up(1)}')
    process = start(project)
    eventually(lambda: rows(cluster, database, SLEEPING))
    said = look(project, check=4)
    assert "Running" in said
    assert "Drift unknown: not looked at while a deployment runs" in said
    assert "PENDING 1 revision pending, and a deployment runs. Nothing was changed." in said
    assert "Problem" not in said
    assert "Next" not in said
    with let_go(cluster, database, 1):
        assert end_of(process).code == 0
    assert "nothing is wrong" in look(project, check=0)


@pytest.fixture
def restored(project: Project, cluster: Cluster, database: str) -> Iterator[Project]:
    """A project on a database that was restored from the backup of the deploy that followed."""
    safe_upgrade(project, "a2")
    project.settings("environment = production")
    safe_upgrade(project)
    (file,) = (project.folder / "backups").glob("*.dump")
    name = f"{database}_restored"
    assert commands.run("safe-restore", (str(file), "--to", name), project.config) == 0
    (project.folder / "alembic.ini").write_text(
        (project.folder / "alembic.ini").read_text().replace(f"/{database}\n", f"/{name}\n")
    )
    yield project
    cluster.drop(name)


def test_the_deploy_whose_backup_was_restored_did_not_die_there(restored, cluster, database):
    assert outcomes(cluster, f"{database}_restored") == ["done", "restored"]
    assert outcomes(cluster, database) == ["done", "done"]
    said = look(restored, check=4)
    assert "took the backup that this database was restored from, to a2 by" in said
    assert "PENDING 1 revision pending, otherwise in order. Nothing was changed." in said
    assert "Drift none, compared with what safe-upgrade left on" in said
    assert "Next deploy what is pending alembic safe-upgrade" in said
    (restored.folder / "migrations" / "versions" / "a3_mails.py").unlink()
    assert "nothing is wrong" in look(restored, check=0)


def test_a_change_by_hand_is_seen_in_a_restored_database(restored, cluster, database):
    rows(cluster, f"{database}_restored", "ALTER TABLE users ADD COLUMN by_hand text")
    assert found(restored, check=4)["drift"]["verdict"] == "drift"


def test_a_deploy_that_died_before_a_backup_was_taken_died_in_what_is_restored_from_it_too(project, cluster, database):
    safe_upgrade(project)
    body = f'with op.get_context().autocommit_block():\n    op.execute("CREATE TABLE half (id int)")\n    {held_up(1)}'
    project.revision("b1", "a3", "half", body)
    process = start(project)
    eventually(lambda: rows(cluster, database, SLEEPING))
    end_of(process, signal.SIGKILL)
    rows(cluster, database, "UPDATE alembic_safe.deployments SET heartbeat_at = heartbeat_at - interval '2 days'")
    assert commands.run("safe-backup", (), project.config) == 0
    (file,) = (project.folder / "backups").glob("*.dump")
    name = f"{database}_restored"
    assert commands.run("safe-restore", (str(file), "--to", name), project.config) == 0
    assert outcomes(cluster, name) == ["done", "running"]
    cluster.drop(name)
