"""Contracts under fire, in their long form: pods of one release that never contract, revisions in steps that are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.deploys import columns, end_of, heads, held_up, let_go, rows, safe_upgrade, start
from tests.faults.scenarios import all_at_once
from tests.phased import SETTLES, park, phase
from tests.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster import Cluster

pytestmark = pytest.mark.long

SEED = int(os.environ.get("ALEMBIC_SAFE_TEST_SEED") or random.SystemRandom().randrange(10**6))
MINUTES = float(os.environ.get("ALEMBIC_SAFE_TEST_MINUTES") or 10)
PODS = 10
KILLS = 20

EXPAND = """
with op.step("add"):
    op.add_column("users", sa.Column("name", sa.Text), if_not_exists=True)
with op.step("sync"):
    op.sync_columns("users", "fullname", "name")
"""
BACK = """
with op.step("unsync"):
    op.drop_sync("users", "fullname", "name")
with op.step("drop"):
    op.drop_column("users", "name", if_exists=True)
"""
COPY = """
with op.step("copy"):
    op.backfill("users", set_={"name": "fullname"})
with op.step("verify"):
    op.verify_copied("users", "fullname", "name")
"""
CONTRACT = """
with op.step("compare"):
    op.verify_copied("users", "fullname", "name")
with op.step("end"):
    op.drop_sync("users", "fullname", "name")
    op.drop_column("users", "fullname", if_exists=True)
"""
DROPS_BY_HAND = ("--accept", "drop-column:users.fullname")
"""The contract above drops what one of the rewriter's would retire."""


@pytest.fixture
def project(tmp_path, cluster: Cluster, database: str) -> Project:
    project = Project.create(tmp_path / "app", cluster.url(database), plain=False)
    project.settings("environment = production\ncontract_min_age = 0")
    project.revision("a1", None, "users", 'op.create_table("users", sa.Column("id", sa.Integer, primary_key=True),'
                     ' sa.Column("fullname", sa.Text))', 'op.drop_table("users")')  # fmt: skip
    safe_upgrade(project, "--release", "v0")
    return project


def fill(cluster: Cluster, database: str, number: int) -> None:
    rows(cluster, database, "INSERT INTO users SELECT n, 'name ' || n FROM generate_series(1, %s) n", number)


def phases(project: Project) -> None:
    project.revision("e1", "a1", "names", EXPAND, BACK, extra=phase("expand", more=SETTLES))
    project.revision("c1", "e1", "copy", COPY, extra=phase("copy"))


def contract(project: Project) -> None:
    project.revision("k1", "c1", "end", CONTRACT, extra=phase("contract"))


def test_ten_pods_of_one_release_that_start_over_and_over_never_contract_and_the_next_release_does(
    project, cluster, database
):
    fill(cluster, database, 5000)
    phases(project)
    contract(project)
    end = time.monotonic() + MINUTES * 60
    codes: Counter[int] = Counter()
    texts: list[str] = []

    def pod() -> None:
        while time.monotonic() < end:
            ended = end_of(start(project, "--release", "v1", "--no-backup", "--confirm", database), timeout=600)
            codes[ended.code] += 1
            if ended.code:
                texts.append(ended.text[-800:])

    pods = [threading.Thread(target=pod) for _ in range(PODS)]
    for one in pods:
        one.start()
    seen = set()
    while any(one.is_alive() for one in pods):
        seen.update(heads(cluster, database))
        time.sleep(0.2)
    for one in pods:
        one.join()
    assert set(codes) == {0}, (codes, texts[:3])
    assert codes[0] >= PODS
    assert seen <= {"a1", "e1", "c1"}
    assert columns(cluster, database, "users") == ["id", "fullname", "name"]
    story = all_at_once(project, PODS, "--release", "v2", "--no-backup", "--confirm", database, *DROPS_BY_HAND)
    assert story.codes == [0] * PODS, story.complaints()
    assert heads(cluster, database) == ["k1"]
    assert columns(cluster, database, "users") == ["id", "name"]
    ran = rows(cluster, database, "SELECT release FROM alembic_safe.revisions WHERE revision = 'k1'")
    assert ran == [{"release": "v2"}]
    print(
        f"\n{sum(codes.values())} starts of {PODS} pods in {MINUTES:.0f} min: no contract; the next release contracted once"
    )


def test_a_change_that_is_killed_at_random_moments_and_run_again_is_whole(project, cluster, database):
    fill(cluster, database, 100_000)
    phases(project)
    chance = random.Random(SEED)
    kills = 0
    for release in ("v1", "v2"):
        if release == "v2":
            contract(project)
        options = ("--release", release, "--no-backup", "--confirm", database, "--drift", "off", *DROPS_BY_HAND)
        # the soonest first: once it is through, there is nothing left that could be killed
        for moment in sorted(chance.uniform(0.3, 4.0) for _ in range(KILLS // 2)):
            process = start(project, *options)
            time.sleep(moment)
            kills += process.poll() is None
            end_of(process, signal.SIGKILL)
            wrong = rows(
                cluster, database, "SELECT count(*) AS it FROM information_schema.columns WHERE table_name = 'users'"
            )
            assert wrong[0]["it"] in (2, 3)
        deadline = time.monotonic() + 60
        while (ended := end_of(start(project, *options), timeout=900)).code == 5:
            assert time.monotonic() < deadline, ended.text
        assert ended.code == 0, ended.text
    assert columns(cluster, database, "users") == ["id", "name"]
    found = rows(
        cluster, database, "SELECT count(*) AS it, count(*) FILTER (WHERE name = 'name ' || id) AS good FROM users"
    )
    assert found == [{"it": 100_000, "good": 100_000}]
    assert rows(cluster, database, "SELECT 1 FROM alembic_safe.steps WHERE closed_at IS NULL") == []
    assert kills
    print(f"\nseed {SEED}: killed {kills} times while it ran, every row is right")


def test_a_half_done_change_that_was_killed_is_taken_back_whole(project, cluster, database):
    fill(cluster, database, 20_000)
    phases(project)
    project.revision("e1", "a1", "names", f'{EXPAND}with op.step("wait"):\n    {held_up(1)}\n', BACK,
                     extra=phase("expand", more=SETTLES))  # fmt: skip
    chance = random.Random(SEED)
    options = ("--no-backup", "--confirm", database, "--drift", "off")
    taken_back = 0
    for _ in range(KILLS // 2):
        process = start(project, "--release", "v1", *options)
        if not _within(process, lambda: columns(cluster, database, "users") == ["id", "fullname", "name"]):
            pytest.fail(end_of(process).text)
        time.sleep(chance.uniform(0.0, 0.6))
        end_of(process, signal.SIGKILL)
        with let_go(cluster, database, 1):  # the server still runs the statement of the one that was killed
            ended = end_of(start(project, "--back-out", "--lock-wait", "60s", *options))
        assert ended.code == 0, ended.text
        taken_back += "is taken back" in ended.text
        assert heads(cluster, database) == ["a1"]
        assert columns(cluster, database, "users") == ["id", "fullname"]
    assert taken_back == KILLS // 2
    print(f"\nseed {SEED}: taken back {taken_back} times")


def _within(process: subprocess.Popen[str], claim: Callable[[], bool]) -> bool:
    """Wait until a claim is true while a process runs; false where it ended first."""
    while process.poll() is None:
        if claim():
            return True
        time.sleep(0.02)
    end_of(process)
    return False


def test_parked_contracts_come_into_the_chain_whole_or_not_at_all_when_safe_contract_is_killed(project):
    phases(project)
    for n in range(2, 8):
        settles = f'settles = ("retire_column public.users.x{n}",)'
        before = f"e{n - 1}" if n > 2 else "c1"
        project.revision(f"e{n}", before, "more", "pass", extra=phase("expand", f"change{n}", settles))
        park(project, f"k{n}", f"e{n}", change=f"change{n}")
    park(project, "k1", "c1")
    chance = random.Random(SEED)
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-m", "alembic", "safe-contract"], cwd=project.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(chance.uniform(0.3, 2.5))
        process.kill()
        process.wait()
        shown = project.run("heads", check=0).stdout.split()
        assert len([word for word in shown if word == "(head)"]) == 1
    project.run("safe-contract", check=0)
    assert list((project.folder / "migrations" / "contracts").glob("*.py")) == []
    assert "k7 (head)" in project.run("heads", check=0).stdout
