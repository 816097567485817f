"""Deploys under fire, in their long form: `pytest -m long tests/faults`; prints its figures as a table."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.deploys import heads, outcomes, rows, safe_upgrade
from tests.faults.scenarios import (
    BUILD,
    Shop,
    all_at_once,
    copy_of,
    cut_during,
    kill_during,
    rolling_deploy,
    time_calm,
    watch_heads,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.long

SEED = int(os.environ.get("ALEMBIC_SAFE_TEST_SEED") or random.SystemRandom().randrange(10**6))
CLEAN = {0, 5, 6, 7, 10}
"""Exit codes of a deploy whose connection was cut; 1 would be a traceback."""
_FIGURES: list[tuple[str, str]] = []


@pytest.fixture(scope="module", autouse=True)
def figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Print the figures behind the last test."""
    yield
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n\nseed {SEED} (ALEMBIC_SAFE_TEST_SEED repeats it)")
        for what, figure in _FIGURES:
            print(f"{what:<58}{figure}")


@pytest.fixture
def shop(cluster, database, project):
    return Shop(cluster, database, project)


def test_of_ten_deploys_of_a_gigabyte_one_works_with_one_backup_and_all_end_with_0(shop):
    safe_upgrade(shop.project, "a1")
    shop.project.settings("environment = production")
    shop.fill(1000)
    assert shop.size() > 1_000_000_000
    shop.chain(3, pause=0.5)
    story = all_at_once(shop.project, 10, "--drift", "warn")  # what makes it large was made by hand
    assert story.codes == [0] * 10, story.complaints()
    backups = rows(shop.cluster, shop.database, "SELECT bytes, seconds FROM alembic_safe.backups")
    assert len(backups) == 1
    assert outcomes(shop.cluster, shop.database) == ["done", "done"]
    assert heads(shop.cluster, shop.database) == ["r003"]
    took = f"{story.seconds:.1f} s, backup {backups[0]['bytes'] / 1e6:.0f} MB in {backups[0]['seconds']:.1f} s"
    _FIGURES.append((f"10 deploys at once, {shop.size() / 1e9:.2f} GB, 10 x exit 0, 1 backup", took))
    shutil.rmtree(shop.project.folder / "backups")


def test_deploys_that_wait_do_not_deadlock_with_a_long_index_build(shop):
    filling = 'op.execute("INSERT INTO users (id, name) SELECT i, md5(i::text) FROM generate_series(1, 1000000) i")'
    shop.project.revision("b1", "a3", "rows", filling)
    shop.project.revision("b2", "b1", "index", BUILD.format(name="users_name"))
    story = all_at_once(shop.project, 3)
    assert story.codes == [0] * 3, story.complaints()
    found = rows(
        shop.cluster, shop.database, "SELECT indisvalid AS it FROM pg_index WHERE indexrelid = 'users_name'::regclass"
    )
    assert found == [{"it": True}]
    found = rows(
        shop.cluster, shop.database, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    assert found == [{"deadlocks": 0}]
    _FIGURES.append(
        ("3 deploys, index built concurrently on 1 000 000 rows", f"{story.seconds:.1f} s, 3 x exit 0, 0 deadlocks")
    )


def test_ten_old_and_ten_new_pods_restart_at_random(shop, tmp_path):
    safe_upgrade(shop.project)
    old = copy_of(shop.project, tmp_path / "old")
    shop.chain(3, pause=2)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch_heads, shop.cluster, shop.database, ["a3", "r001", "r002", "r003"], stop)
        story = rolling_deploy(old, shop.project, pods=10, restarts=2, within=3, seed=SEED)
        stop.set()
        seen = watching.result()
    assert story.codes == [0] * 40, story.complaints()
    assert seen[-1] == "r003"
    _FIGURES.append(
        ("10 old and 10 new pods, 2 starts each", f"{story.seconds:.1f} s, 40 x exit 0, heads {' '.join(seen)}")
    )


def test_twenty_kills_of_a_deploy_of_thirty_revisions_leave_the_undisturbed_schema(shop, make_database):
    chance = random.Random(SEED)
    shop.chain(30, pause=0.05)
    calm = shop.fresh(make_database())
    length = time_calm(calm)
    at: list[float] = []
    disturbed: list[Shop] = []
    finished = True
    for _ in range(200):
        if len(at) == 20:
            break
        if finished:
            disturbed.append(shop.fresh(make_database()))
        moment = round(chance.uniform(0, length), 2)
        ended = kill_during(disturbed[-1], moment)
        assert ended.code in (0, -9), (SEED, at, ended)
        finished = ended.code == 0
        if not finished:
            at.append(moment)
    assert len(at) == 20
    died = 0
    for one in disturbed:
        safe_upgrade(one.project)
        assert heads(one.cluster, one.database) == ["r030"], (SEED, at)
        assert one.dump() == calm.dump(), (SEED, at)
        written = rows(
            one.cluster, one.database, "SELECT revision, count(*) AS n FROM alembic_safe.revisions GROUP BY 1"
        )
        assert len(written) == 33
        assert {r["n"] for r in written} == {1}, written
        found = Counter(outcomes(one.cluster, one.database))
        assert set(found) <= {"done", "died", "running"}
        # killed behind the last revision, one leaves nothing to do: the next run writes nothing, and safe-status knows it
        assert found["running"] <= 1
        died += found["died"] + found["running"]
    _FIGURES.append(
        (
            f"20 x kill -9 of a deploy of 30 revisions ({length:.1f} s)",
            f"{died} journalled as died, {len(disturbed)} databases, every schema equal",
        )
    )


@pytest.mark.parametrize("which", ["migration", "lock", "watcher"])
def test_sessions_cut_at_random_moments_end_with_a_clean_code(shop, make_database, which):
    chance = random.Random(f"{SEED} {which}")
    shop.chain(12, pause=0.1)
    calm = shop.fresh(make_database())
    length = time_calm(calm)
    codes: Counter[int] = Counter()
    cuts = 0
    for _ in range(8):
        one = shop.fresh(make_database())
        ended, number = cut_during(one, which, chance.uniform(0, length * 0.7))
        assert ended.code in CLEAN, (SEED, ended)
        assert "Traceback" not in ended.text, (SEED, ended)
        codes[ended.code] += 1
        cuts += number > 0
        safe_upgrade(one.project)
        assert one.dump() == calm.dump(), (SEED, ended)
    assert cuts >= 4
    shown = ", ".join(f"{n} x exit {code}" for code, n in sorted(codes.items()))
    _FIGURES.append((f"{cuts} of 8 deploys lost the session of the {which}", f"{shown}, every schema equal"))
