"""How does a transaction that wrote one row of a pair get the other one, or give way to one that waits for it?"""

# Two transactions that write the two rows of a pair at once hold one row each and want the other's. One of them gives way:
# it leaves a note of what it wrote, and the one that gets both rows settles it. docs/recipes/move_column.md says the rest.
from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted
from alembic_safe.operations.table_pair import equal, of_source, of_target, unlike

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.operations.table_pair import Pair

PATIENCE = {"target": "20ms", "source": "200ms"}
"""How long one who wrote the other side waits for a row of this side before it asks who holds it.

Both are far below ``deadlock_timeout`` (1 s), behind which the server ends one of those who wait for each other.
"""


def settle(pair: Pair) -> str:
    """Return what makes both rows of a pair equal, when the transaction holds both of them.

    What was written last wins, column by column: first what the notes say, in their order, then what is written now.
    Of a column that nobody wrote, the target takes the value where it has none; and a row that meets another partner
    than before takes that one's, where it has any.
    """
    n = len(pair.keys)
    side, mask, meets = (f"${n + m}" for m in (1, 2, 3))
    keys = pair.parameters
    here = f"{equal(of_source(pair, 's'), keys)} AND {equal(of_target(pair, 't'), keys)}"
    to_source, to_target = [], []
    for bit, (c, d) in enumerate(pair.columns):
        old, new, one = f"s.{quoted(c)}", f"t.{quoted(d)}", 1 << bit
        by_source, by_target = f"of_source & {one} <> 0", f"of_target & {one} <> 0"
        met = f"CASE WHEN {side} THEN coalesce({new}, {old}) ELSE coalesce({old}, {new}) END"
        to_source.append(f"CASE WHEN {by_target} THEN {new} WHEN {by_source} OR NOT {meets} THEN {old} ELSE {met} END")
        to_target.append(
            f"CASE WHEN {by_source} THEN {old} WHEN {by_target} THEN {new} WHEN {meets} THEN {met}"
            f" ELSE coalesce({new}, {old}) END"
        )
    return f"""
DECLARE
  of_source bigint := 0;
  of_target bigint := 0;
  note record;
BEGIN
  FOR note IN SELECT n.id, n.from_source, n.mask FROM {pair.notes} AS n
      WHERE {equal([f"n.{name}" for name in pair.key_names], keys)} ORDER BY n.id LOOP
    of_source := CASE WHEN note.from_source THEN of_source | note.mask ELSE of_source & ~note.mask END;
    of_target := CASE WHEN note.from_source THEN of_target & ~note.mask ELSE of_target | note.mask END;
    DELETE FROM {pair.notes} AS n WHERE n.id = note.id;
  END LOOP;
  of_source := CASE WHEN {side} THEN of_source | {mask} ELSE of_source & ~{mask} END;
  of_target := CASE WHEN {side} THEN of_target & ~{mask} ELSE of_target | {mask} END;
{_update(pair, "source", to_source, here)}
{_update(pair, "target", to_target, here)}
END
"""


def _update(pair: Pair, side: str, values: Sequence[str], here: str) -> str:
    own, other = ("s", "t") if side == "source" else ("t", "s")
    table, joined = (pair.source, pair.target) if side == "source" else (pair.target, pair.source)
    names = [quoted(columns[0 if side == "source" else 1]) for columns in pair.columns]
    changed = unlike((f"{own}.{name}", value) for name, value in zip(names, values, strict=True))
    set_ = ", ".join(f"{name} = {value}" for name, value in zip(names, values, strict=True))
    return f"  UPDATE {table} AS {own} SET {set_}\n    FROM {joined} AS {other} WHERE {here} AND {changed};"


def wait(pair: Pair, side: str) -> str:
    """Return what waits for a row for a short time: 1 where it is locked then, 0 where there is none."""
    table, here = _row(pair, side)
    return f"""
BEGIN
  PERFORM 1 FROM {table} AS r WHERE {here} FOR NO KEY UPDATE;
  RETURN CASE WHEN FOUND THEN 1 ELSE 0 END;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
  RETURN -1;
END
"""


def lock(pair: Pair, side: str) -> str:
    """Return what locks the row of one side for one who wrote the other's: 1, 0 where there is none, -1 to give way.

    It gives way where the one that holds the row waits for this transaction: one who wrote the source soon, so that the
    one who wrote the target need not. A savepoint is needed only in the wait:
    https://www.postgresql.org/docs/current/subxacts.html.
    """
    table, here = _row(pair, side)
    return f"""
DECLARE
  patience interval := NULLIF(pg_catalog.current_setting('lock_timeout'), '0')::interval;
  began timestamptz := pg_catalog.clock_timestamp();
  got integer;
  holder bigint;
  holders integer[];
BEGIN
  PERFORM 1 FROM {table} AS r WHERE {here} FOR NO KEY UPDATE SKIP LOCKED;
  IF FOUND THEN
    RETURN 1;
  END IF;
  LOOP
    PERFORM 1 FROM {table} AS r WHERE {here};
    IF NOT FOUND THEN
      RETURN 0;
    END IF;
    got := {pair.function(f"_wait_{side}")}({", ".join(pair.parameters)});
    IF got >= 0 THEN
      RETURN got;
    END IF;
    SELECT r.xmax::text::bigint INTO holder FROM {table} AS r WHERE {here};
    holders := ARRAY(SELECT l.pid FROM pg_catalog.pg_locks AS l WHERE l.locktype = 'transactionid' AND l.granted
      AND l.transactionid::text::bigint = holder);
    IF holders = '{{}}' AND holder IS NOT NULL THEN
      BEGIN
        -- several transactions hold the row together
        holders := ARRAY(SELECT l.pid FROM pg_catalog.pg_get_multixact_members(holder::text::xid) AS m
          JOIN pg_catalog.pg_locks AS l ON l.locktype = 'transactionid' AND l.granted AND l.transactionid = m.xid);
      EXCEPTION WHEN OTHERS THEN
        holders := '{{}}';
      END;
    END IF;
    IF EXISTS (WITH RECURSIVE waiting(pid) AS (SELECT pg_catalog.unnest(holders)
        UNION SELECT pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid)) FROM waiting AS w)
        SELECT 1 FROM waiting AS w WHERE w.pid = pg_catalog.pg_backend_pid() AND w.pid <> ALL (holders)) THEN
      RETURN -1;
    END IF;
    IF pg_catalog.clock_timestamp() - began > patience THEN
      RAISE lock_not_available USING MESSAGE = 'canceling statement due to lock timeout';
    END IF;
  END LOOP;
END
"""


def _row(pair: Pair, side: str) -> tuple[str, str]:
    """Return the table of one side, and the condition that a row (called ``r``) has the keys that are given."""
    if side == "source":
        return pair.source, equal(of_source(pair, "r"), pair.parameters)
    return pair.target, equal(of_target(pair, "r"), pair.parameters)


def drain(pair: Pair) -> str:
    """Return what settles every note whose rows are free; a note about rows that are gone goes."""
    names = pair.key_names
    keys = [f"pending.{name}" for name in names]
    source, target = equal(of_source(pair, "s"), keys), equal(of_target(pair, "t"), keys)
    return f"""
DECLARE
  pending record;
BEGIN
  FOR pending IN SELECT DISTINCT {", ".join(f"n.{name}" for name in names)} FROM {pair.notes} AS n LOOP
    PERFORM 1 FROM {pair.source} AS s WHERE {source} FOR NO KEY UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND AND EXISTS (SELECT 1 FROM {pair.source} AS s WHERE {source});
    PERFORM 1 FROM {pair.target} AS t WHERE {target} FOR NO KEY UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND AND EXISTS (SELECT 1 FROM {pair.target} AS t WHERE {target});
    PERFORM {pair.function("_settle")}({", ".join(keys)}, false, 0, false);
  END LOOP;
END
"""
