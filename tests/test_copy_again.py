"""Copies while a table's partitions, keys and places of rows change; and copies of a revision that is applied once more."""

from __future__ import annotations

from typing import Any

import pytest

from alembic_safe.database.steps import CopyOptions
from alembic_safe.errors import Findings
from tests.deploys import rows, safe_upgrade
from tests.stepwise import Killed, Runner, Stepwise, place

__all__ = ["place"]

COPY = {"set_": {"b": "lower(a)"}, "batch_rows": 50}
BY_MONTH = "".join(
    f"CREATE TABLE p{n} PARTITION OF t FOR VALUES FROM ({n}00) TO ({n + 1}00);"
    f"INSERT INTO t SELECT n, 'A' || n FROM generate_series({n}00, {n}99) n;"
    for n in range(3)
)
PARTITIONED = f"CREATE TABLE t (id integer PRIMARY KEY, a text, b text) PARTITION BY RANGE (id); {BY_MONTH}"


def left(place: Stepwise) -> int:
    return int(place.all("SELECT count(*) FROM t WHERE b IS DISTINCT FROM lower(a)")[0][0])


@pytest.mark.parametrize("comes", ["", "CREATE TABLE p9 PARTITION OF t FOR VALUES FROM (900) TO (999)", "ATTACH"])
def test_partitions_come_and_go_while_a_copy_is_half_done(place: Stepwise, comes: str) -> None:
    """A plan that goes by the places of partitions would walk one behind the cursor of another."""
    place.given(PARTITIONED)
    with pytest.raises(Killed):
        place.steps("backfill", "t", **COPY, die_at=3)
    place.run("DROP TABLE p0")
    if comes == "ATTACH":
        place.run(
            "CREATE TABLE a0 (LIKE t INCLUDING ALL); INSERT INTO a0 SELECT n, 'A' || n FROM generate_series(1, 90) n;"
            "ALTER TABLE t ATTACH PARTITION a0 FOR VALUES FROM (0) TO (100)"
        )
    elif comes:
        place.run(comes)

    place.steps("backfill", "t", **COPY)

    assert left(place) == 0
    assert place.all("SELECT count(*) FROM t") == [(290 if comes == "ATTACH" else 200,)]


def test_several_workers_copy_a_table_without_a_key(place: Stepwise) -> None:
    place.given(
        "CREATE TABLE t (a text, b text); INSERT INTO t SELECT 'A' || n FROM generate_series(1, 12000) n; ANALYZE t"
    )

    place.steps("backfill", "t", set_=COPY["set_"], options=CopyOptions(workers=3, vacuum=False))

    assert left(place) == 0


def test_rows_without_a_key_that_move_behind_the_last_block_are_copied_too(
    place: Stepwise, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.given(
        "CREATE TABLE t (n integer, a text, b text);"
        "INSERT INTO t SELECT n, repeat('A', 50) || n FROM generate_series(1, 5000) n; ANALYZE t"
    )
    commit = Runner.commit

    def and_then(self: Runner) -> None:
        commit(self)
        if self.commits == 3:
            place.run("UPDATE t SET a = a || 'X' WHERE n > 4000")

    monkeypatch.setattr(Runner, "commit", and_then)
    blocks = "SELECT pg_relation_size('t') / 8192"
    before = place.all(blocks)

    place.steps("backfill", "t", **COPY)

    assert place.all(blocks) > before
    assert left(place) == 0


def test_a_partition_that_comes_while_moved_rows_are_walked_again_is_copied(place: Stepwise) -> None:
    """What the second pass stood at must not be taken for where the new partition's range stands."""
    place.given(PARTITIONED.replace(" PRIMARY KEY", ""))
    with pytest.raises(Killed):
        place.steps("backfill", "t", **COPY, die_at=7)
    assert place.all("SELECT count(*) FROM alembic_safe_runner.copies WHERE copy LIKE '%-again-%'") > [(0,)]
    place.run("CREATE TABLE p7 (LIKE t INCLUDING ALL); INSERT INTO p7 SELECT n, 'A' || n FROM generate_series(700, 799) n;"
              "ALTER TABLE t ATTACH PARTITION p7 FOR VALUES FROM (700) TO (800)")  # fmt: skip

    place.steps("backfill", "t", **COPY)

    assert left(place) == 0


def test_a_row_whose_key_has_moved_behind_the_cursor_is_copied_by_the_run_behind_the_comparison(
    place: Stepwise, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.given(PARTITIONED)
    way: dict[str, Any] = {"up": "lower(a)", "down": "b"}
    commit = Runner.commit

    def and_then(self: Runner) -> None:
        commit(self)
        if self.commits == 4:
            place.run("DELETE FROM t WHERE id = 3; UPDATE t SET id = 3 WHERE id = 250")

    place.op("sync_columns", "t", "a", "b", **way)
    place.run("ALTER TABLE t DISABLE TRIGGER USER")  # as for a row that no trigger looks at
    monkeypatch.setattr(Runner, "commit", and_then)
    place.steps("backfill", "t", **COPY)
    monkeypatch.undo()
    place.op("sync_columns", "t", "a", "b", **way)
    assert left(place) == 1
    place.steps("backfill", "t", **COPY)
    assert left(place) == 1
    with pytest.raises(Findings, match="in 1 of 299 rows"):
        place.steps("verify_copied", "t", "a", "b", **way)

    place.steps("backfill", "t", **COPY)

    assert place.steps("verify_copied", "t", "a", "b", **way) == 299


UP = 'with op.step("copy"):\n    op.backfill("words", set_={"b": "lower(a)"}, batch_rows=2)\n'
COMPARED = UP + 'with op.step("compare"):\n    op.verify_copied("words", "a", "b", up="lower(a)", down="b")\n'
DOWN = 'op.execute("UPDATE words SET b = NULL")'
FILLED = "CREATE TABLE words (id integer PRIMARY KEY, a text, b text) PARTITION BY RANGE (id)"


def words(project: Any, cluster: Any, database: str, up: str) -> None:
    safe_upgrade(project)
    rows(cluster, database, FILLED)
    rows(cluster, database, "CREATE TABLE words_1 PARTITION OF words FOR VALUES FROM (0) TO (4)")
    rows(cluster, database, "CREATE TABLE words_2 PARTITION OF words DEFAULT")
    rows(cluster, database, "INSERT INTO words SELECT n, 'A' || n FROM generate_series(1, 6) n")
    project.revision("b1", "a3", "a copy", up, DOWN)


def uncopied(cluster: Any, database: str) -> Any:
    return rows(cluster, database, "SELECT count(*) AS it FROM words WHERE b IS DISTINCT FROM lower(a)")[0]["it"]


@pytest.mark.parametrize("down", ["downgrade", "back out"])
@pytest.mark.cases("back out")
def test_a_copy_runs_again_when_its_revision_is_applied_again(project, cluster, database, down):
    words(project, cluster, database, UP)
    if down == "downgrade":
        safe_upgrade(project)
        assert uncopied(cluster, database) == 0
        project.run("downgrade", "a3", check=0)
    else:
        project.revision("b1", "a3", "a copy", UP + 'with op.step("more"):\n    op.execute("SELECT 1 / 0")', DOWN)
        safe_upgrade(project, "--rehearse", "off", check=7)
        assert uncopied(cluster, database) == 0
        safe_upgrade(project, "--back-out", check=0)
        project.revision("b1", "a3", "a copy", UP, DOWN)
    assert uncopied(cluster, database) == 6

    safe_upgrade(project)

    assert uncopied(cluster, database) == 0
    assert [row["status"] for row in rows(cluster, database, "SELECT status FROM alembic_safe.copies")] == ["done"] * 3


def test_a_comparison_that_finds_a_row_lets_the_next_run_copy_again(project, cluster, database):
    stopped = COMPARED.replace(
        'with op.step("compare"', 'with op.step("stop"):\n    assert False\nwith op.step("compare"'
    )
    words(project, cluster, database, stopped)
    safe_upgrade(project, "--rehearse", "off", check=7)
    rows(cluster, database, "UPDATE words SET b = NULL WHERE id IN (2, 5)")
    project.revision("b1", "a3", "a copy", COMPARED, DOWN)
    ended = safe_upgrade(project, "--rehearse", "off", check=7)
    assert "in 2 of 6 rows" in ended.text
    assert "copy once more, and compare again" in ended.text

    safe_upgrade(project)

    assert uncopied(cluster, database) == 0
