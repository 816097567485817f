"""How `safe-upgrade` ends when somebody ends it, and what it tells a machine about every way to end."""

from __future__ import annotations

import os
import signal

import pytest

from tests.deploys import (
    SLEEPING,
    WAITING,
    Ended,
    advisory_locks,
    columns,
    deployments,
    end_of,
    heads,
    outcomes,
    rows,
    safe_upgrade,
    start,
)
from tests.patience import eventually
from tests.project import Project


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_long_statement_rolls_back_and_leaves_a_true_journal(project, cluster, database, number):
    path = project.revision(
        "b1", "a3", "slow", 'op.execute("CREATE TABLE gone (id int)")\nop.execute("SELECT pg_sleep(600)")'
    )
    process = start(project)
    eventually(lambda: rows(cluster, database, SLEEPING))
    ended = end_of(process, number)
    assert ended.code == 130, ended
    assert "b1 (slow) was rolled back; the database stands at a3. Safe to run again." in ended.text
    assert "Traceback" not in ended.text
    assert heads(cluster, database) == ["a3"]
    assert columns(cluster, database, "gone") == []
    assert outcomes(cluster, database) == ["interrupted"]
    assert deployments(cluster, database)[0]["to_heads"] == ["a3"]
    assert deployments(cluster, database)[0]["finished_at"] is not None
    assert advisory_locks(cluster, database) == 0
    assert rows(cluster, database, SLEEPING) == []
    path.write_text(path.read_text().replace("pg_sleep(600)", "1"))
    safe_upgrade(project)
    assert heads(cluster, database) == ["b1"]


def test_a_signal_behind_a_commit_of_the_revisions_own_says_what_stays(project, cluster, database):
    project.revision(
        "b1", "a3", "half",
        'op.execute("CREATE TABLE kept (id int)")\nwith op.get_context().autocommit_block():\n'
        '    op.execute("SELECT pg_sleep(600)")',
    )  # fmt: skip
    process = start(project, "--json")
    eventually(lambda: rows(cluster, database, SLEEPING))
    ended = end_of(process, signal.SIGTERM)
    assert ended.code == 7, ended
    assert any("CREATE TABLE kept" in line for line in ended.json["detail"])
    assert columns(cluster, database, "kept") == ["id"]
    assert outcomes(cluster, database) == ["interrupted"]
    assert advisory_locks(cluster, database) == 0


def test_a_signal_while_waiting_for_another_deploy_changes_nothing(project, cluster, database):
    project.revision("b1", "a3", "slow", 'op.execute("SELECT pg_sleep(600)")')
    first = start(project)
    try:
        eventually(lambda: rows(cluster, database, SLEEPING))
        asked_before = rows(cluster, database, WAITING)  # the first one asked for the lock, too
        second = start(project, "--json")
        eventually(lambda: [row for row in rows(cluster, database, WAITING) if row not in asked_before])
        waited = end_of(second, signal.SIGINT)
    finally:
        ended = end_of(first, signal.SIGTERM)
    assert waited.code == 130, waited
    assert waited.json["state"] == "Nothing was changed."
    assert ended.code == 130
    assert outcomes(cluster, database) == ["interrupted"]


def test_a_signal_during_the_backup_ends_the_backup_too_and_changes_nothing(project, cluster, database, tmp_path):
    safe_upgrade(project, "a1")
    told = tmp_path / "pid"
    project.settings(f"environment = production\nbackup_command = sh -c 'echo $$ > {told}; exec sleep 600'")
    process = start(project, "--json")
    pid = int(eventually(lambda: told.exists() and told.read_text().strip()))
    ended = end_of(process, signal.SIGTERM)
    assert ended.code == 130, ended
    assert ended.json["state"] == "The database was not touched."
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert outcomes(cluster, database) == ["done", "interrupted"]
    assert heads(cluster, database) == ["a1"]
    assert advisory_locks(cluster, database) == 0


def _done(project: Project) -> Ended:
    return safe_upgrade(project, "--json")


def _nothing(project: Project) -> Ended:
    safe_upgrade(project)
    return safe_upgrade(project, "--json")


def _unknown(project: Project) -> Ended:
    return safe_upgrade(project, "zz", "--json", check=2)


def _confirm(project: Project) -> Ended:
    return safe_upgrade(project, "--confirm", "another", "--json", check=3)


def _two_heads(project: Project) -> Ended:
    project.revision("b1", "a3", "left")
    project.revision("c1", "a3", "right")
    return safe_upgrade(project, "--json", check=4)


def _failing(project: Project) -> Ended:
    project.revision("b1", "a3", "wrong", 'op.execute("SELECT nothing_like_it")')
    return safe_upgrade(project, "--json", check=6)


def _half(project: Project) -> Ended:
    project.revision("b1", "a3", "half", 'op.execute("CREATE TABLE k ()")\nop.execute("COMMIT")\n1 / 0')
    return safe_upgrade(project, "--json", check=7)


def _no_room(project: Project) -> Ended:
    safe_upgrade(project, "a1")
    (project.folder / "in the way").write_text("")
    project.settings("environment = production\nbackup_dir = in the way")
    return safe_upgrade(project, "--json", check=8)


def _unreachable(project: Project) -> Ended:
    ini = project.folder / "alembic.ini"
    ini.write_text(ini.read_text().replace("127.0.0.1:", "127.0.0.1:1?port=1&x="))
    return safe_upgrade(Project(project.folder, ""), "--json", check=10)


@pytest.mark.parametrize(
    "end",
    [_done, _nothing, _unknown, _confirm, _two_heads, _failing, _half, _no_room, _unreachable],
    ids=lambda f: f.__name__[1:],
)
def test_every_end_is_one_json_object_with_its_exit_code(project, end):
    ended = end(project)
    assert ended.json["format"] == 1
    if ended.code == 0:
        assert ended.json["at"] == ["a3"]
        assert ended.json["changed"] is (end is _done)
        assert ended.json["state"]
    else:
        assert ended.json["error"]
        assert ended.json["state"]
        assert ended.json["outcome"] != "done"
