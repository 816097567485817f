"""What becomes of deploys that run together, are killed or cut off; the long forms are in tests/faults."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.deploys import SLEEPING, end_of, heads, held_up, let_go, outcomes, rows, safe_upgrade, start
from tests.faults.scenarios import BUILD, Shop, all_at_once, copy_of, cut, rolling_deploy, watch_heads
from tests.patience import eventually


@pytest.fixture
def shop(cluster, database, project):
    return Shop(cluster, database, project)


def backups_of(shop):
    return len(rows(shop.cluster, shop.database, "SELECT 1 FROM alembic_safe.backups"))


def test_of_five_deploys_at_once_one_works_with_one_backup_and_all_end_with_0(shop):
    safe_upgrade(shop.project, "a1")
    shop.project.settings("environment = production")
    shop.chain(2)
    story = all_at_once(shop.project, 5)
    assert story.codes == [0] * 5, story.complaints()
    assert backups_of(shop) == 1
    assert outcomes(shop.cluster, shop.database) == ["done", "done"]
    assert heads(shop.cluster, shop.database) == ["r002"]


def test_deploys_that_wait_do_not_deadlock_with_an_index_that_is_built_concurrently(shop):
    shop.project.revision(
        "b1", "a3", "rows", 'op.execute("INSERT INTO users (id, name) SELECT i, i FROM generate_series(1, 20000) i")'
    )
    shop.project.revision("b2", "b1", "index", BUILD.format(name="users_name"))
    story = all_at_once(shop.project, 3)
    assert story.codes == [0] * 3, story.complaints()
    valid = rows(
        shop.cluster, shop.database, "SELECT indisvalid AS it FROM pg_index WHERE indexrelid = 'users_name'::regclass"
    )
    assert valid == [{"it": True}]
    found = rows(
        shop.cluster, shop.database, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    assert found == [{"deadlocks": 0}]


def test_old_and_new_pods_that_restart_during_a_rolling_deploy_all_start_and_nothing_goes_backwards(shop, tmp_path):
    safe_upgrade(shop.project)
    old = copy_of(shop.project, tmp_path / "old")
    shop.chain(3, pause=0.2)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch_heads, shop.cluster, shop.database, ["a3", "r001", "r002", "r003"], stop)
        story = rolling_deploy(old, shop.project, pods=2, restarts=2, within=0.5, seed=7)
        stop.set()
        seen = watching.result()
    assert story.codes == [0] * 8, story.complaints()
    assert seen[-1] == "r003"


def test_a_deploy_that_is_killed_is_finished_by_the_next_one_and_the_schema_is_the_undisturbed_ones(
    shop, make_database
):
    shop.chain(8, held=(3, 6))
    calm = shop.fresh(make_database())
    with ExitStack() as stack:
        for number in (3, 6):  # in the middle of these revisions
            process = start(shop.project)
            eventually(lambda: rows(shop.cluster, shop.database, SLEEPING))
            assert end_of(process, signal.SIGKILL).code == -signal.SIGKILL
            stack.enter_context(let_go(shop.cluster, shop.database, number))
            eventually(lambda: not rows(shop.cluster, shop.database, SLEEPING))
        safe_upgrade(shop.project)
    with let_go(calm.cluster, calm.database, 3, 6):
        safe_upgrade(calm.project)
    assert heads(shop.cluster, shop.database) == ["r008"]
    assert shop.dump() == calm.dump()
    assert outcomes(shop.cluster, shop.database) == ["died", "died", "done"]


def test_a_deploy_that_was_killed_behind_its_last_revision_is_a_problem_only_while_something_is_pending(shop):
    safe_upgrade(shop.project)
    with shop.cluster.connect(shop.database) as c:
        c.execute(
            "UPDATE alembic_safe.deployments SET outcome = 'running', finished_at = NULL,"
            " heartbeat_at = heartbeat_at - interval '1 minute'"
        )
    assert "Problem" not in shop.project.run("safe-status").stdout
    shop.chain(1)
    assert "did not end" in shop.project.run("safe-status", check=None).stdout
    safe_upgrade(shop.project)
    assert outcomes(shop.cluster, shop.database) == ["died", "done"]
    assert "Problem" not in shop.project.run("safe-status").stdout


@pytest.mark.parametrize(("which", "code"), [("migration", 6), ("lock", 5), ("watcher", 0)])
def test_a_deploy_whose_session_is_cut_ends_with_a_clean_code_and_the_next_one_finishes(shop, which, code):
    shop.project.revision("b1", "a3", "slow", held_up(1))
    shop.project.revision("b2", "b1", "more", 'op.execute("CREATE TABLE more (id int)")')
    process = start(shop.project)
    eventually(lambda: rows(shop.cluster, shop.database, SLEEPING))
    assert cut(shop.cluster, shop.database, which) >= 1
    with let_go(shop.cluster, shop.database, 1):
        ended = end_of(process)
        assert ended.code == code, ended
        assert "Traceback" not in ended.text
        assert outcomes(shop.cluster, shop.database) == ["done" if code == 0 else "failed"]
        safe_upgrade(shop.project)
    assert heads(shop.cluster, shop.database) == ["b2"]
