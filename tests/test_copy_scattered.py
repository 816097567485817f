"""A copy of a large table whose rows do not lie in the order of its key: block by block, whatever a later run finds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alembic_safe.database.steps import CopyOptions
from tests.stepwise import Killed, Stepwise, place

__all__ = ["place"]

ROWS = 20_000
FILLED = (  # about 40 MB: more than a quarter of the test server's shared_buffers
    "CREATE TABLE t (id {0}, a integer, b integer, pad text); ALTER TABLE t ALTER pad SET STORAGE PLAIN;"
    f"INSERT INTO t SELECT {{1}}, n, NULL, repeat('x', 1900) FROM generate_series(1, {ROWS}) n; ANALYZE t"
)
RANDOM, IN_ORDER = ("uuid PRIMARY KEY", "gen_random_uuid()"), ("integer PRIMARY KEY", "n")
SYNC: Any = ("sync_columns", "t", "a", "b")
COPY: Any = ("backfill", "t")
PATIENT = CopyOptions(vacuum=False)


def left(place: Stepwise) -> int:
    return int(place.all("SELECT count(*) FROM t WHERE b IS DISTINCT FROM a")[0][0])


def went_by_block(place: Stepwise) -> bool:
    """Whether the first cursor is a block."""
    rows = place.all("SELECT cursor FROM alembic_safe_runner.copies WHERE copy LIKE '%-0' ORDER BY copy LIMIT 1")
    return bool(json.loads(rows[0][0])["block"])


@pytest.mark.parametrize(
    ("table", "synced", "by_block"),
    [(RANDOM, True, True), (RANDOM, False, False), (IN_ORDER, True, False)],
    ids=["a random key", "a random key without a sync", "a key in order"],
)
def test_only_a_synced_copy_along_a_random_key_goes_by_block(
    place: Stepwise, table: tuple[str, str], synced: bool, by_block: bool
) -> None:
    place.given(FILLED.format(*table))
    if synced:
        place.op(*SYNC)

    place.steps(*COPY, set_={"b": "a"}, batch_rows=5000, options=PATIENT)

    assert left(place) == 0
    assert went_by_block(place) is by_block


def test_a_small_table_goes_along_its_key(place: Stepwise) -> None:
    place.given(FILLED.format(*RANDOM).replace(str(ROWS), "500"))
    place.op(*SYNC)

    place.steps(*COPY, set_={"b": "a"}, options=PATIENT)

    assert left(place) == 0
    assert not went_by_block(place)


def test_a_key_that_the_file_names_is_walked_along(place: Stepwise) -> None:
    place.given(FILLED.format(*RANDOM))
    place.op(*SYNC)

    place.steps(*COPY, set_={"b": "a"}, key="id", batch_rows=5000, options=PATIENT)

    assert left(place) == 0
    assert not went_by_block(place)


def test_a_row_that_moves_behind_the_walk_is_copied(place: Stepwise) -> None:
    place.given(FILLED.format(*RANDOM) + "; ALTER TABLE t SET (autovacuum_enabled = off)")
    place.op(*SYNC)
    with pytest.raises(Killed):
        place.steps(*COPY, set_={"b": "a"}, batch_rows=5000, options=PATIENT, die_at=3)
    # rows of the last blocks go to the first ones, whose dead rows were vacuumed away; no trigger fills them on the way
    place.run("VACUUM t")
    place.run("ALTER TABLE t DISABLE TRIGGER USER; UPDATE t SET pad = pad WHERE a > 19900")
    place.run(
        "DO $$ DECLARE n text; BEGIN FOR n IN SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass AND NOT tgisinternal"
        " LOOP EXECUTE format('ALTER TABLE t ENABLE ALWAYS TRIGGER %I', n); END LOOP; END $$"
    )
    assert place.all("SELECT count(*) FROM t WHERE a > 19900 AND b IS NULL AND ctid < '(2000,0)'")[0][0] > 0

    place.steps(*COPY, set_={"b": "a"}, batch_rows=5000, options=PATIENT)

    assert left(place) == 0


@pytest.mark.parametrize("first", ["by block", "along the key"])
def test_a_later_run_goes_on_as_the_first_one_whatever_is_known_by_then(place: Stepwise, first: str) -> None:
    table, was_scattered = RANDOM, first == "by block"
    place.given(FILLED.format(*table) if was_scattered else FILLED.format(*table).replace("; ANALYZE t", ""))
    place.op(*SYNC)
    with pytest.raises(Killed):
        place.steps(*COPY, set_={"b": "a"}, batch_rows=5000, options=PATIENT, die_at=3)
    assert went_by_block(place) is was_scattered
    if was_scattered:
        place.run("CLUSTER t USING t_pkey")
    place.run("ANALYZE t")

    place.steps(*COPY, set_={"b": "a"}, batch_rows=5000, options=PATIENT)

    assert left(place) == 0
    assert went_by_block(place) is was_scattered
