"""A sync whose triggers somebody has disabled: nothing compares, swaps or retires its columns as if they were equal."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa

from alembic_safe.database.statements import quoted
from alembic_safe.errors import Refused
from tests.stepwise import HOSTILE, Stepwise, place

__all__ = ["place"]

PLAIN = "CREATE TABLE t (id integer PRIMARY KEY, a integer, b integer)"
PARTITIONED = (
    PLAIN
    + " PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id);"
    "CREATE TABLE t2 PARTITION OF t1 DEFAULT"
)
DAMAGES = {
    # as pg_restore --disable-triggers does, and where it was killed in between
    "on and off": (PLAIN, "ALTER TABLE t DISABLE TRIGGER ALL; ALTER TABLE t ENABLE TRIGGER ALL", "public.t"),
    "off": (PLAIN, "ALTER TABLE t DISABLE TRIGGER USER", "public.t"),
    "a partition": (PARTITIONED, "ALTER TABLE t2 DISABLE TRIGGER USER; ALTER TABLE t2 ENABLE TRIGGER USER", "public.t2"),
    "in replication alone": (PLAIN, "ALTER TABLE t ENABLE REPLICA TRIGGER {}", "public.t"),
}  # fmt: skip
VERBS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "verify_copied": (("t", "a", "b"), {}),
    "swap_columns": (("t", "a", "b"), {}),
    "retire_column": (("t", sa.Column("a", sa.Integer)), {"replaced_by": "b", "down": "b"}),
}


def damaged(place: Stepwise, damage: str) -> str:
    """Open a sync and damage it; return where."""
    table, statements, where = DAMAGES[damage]
    place.run(table + "; INSERT INTO t SELECT n FROM generate_series(1, 9) n")
    place.op("sync_columns", "t", "a", "b")
    triggers = place.all("SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass ORDER BY 1")
    place.run(statements.format(triggers[-1][0]))
    return where


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("verb", VERBS)
def test_a_trigger_that_does_not_fire_in_every_session_is_refused_with_the_way_on(
    place: Stepwise, damage: str, verb: str
) -> None:
    where = damaged(place, damage)
    words, more = VERBS[verb]
    before = place.dump()

    with pytest.raises(Refused, match=f"of {where} does not fire in every session") as error:
        place.op(verb, *words, **more)

    assert place.dump() == before
    enabled, compared = error.value.next_steps
    assert "have the columns compared once more" in compared.why
    place.run(enabled.command)
    place.run("SET session_replication_role = replica; UPDATE t SET a = id")
    assert place.all("SELECT id, b FROM t WHERE b IS DISTINCT FROM id") == []
    place.op(verb, *words, **more)


@pytest.mark.parametrize("damage", DAMAGES)
def test_running_op_sync_columns_again_puts_it_right(place: Stepwise, damage: str) -> None:
    damaged(place, damage)

    place.op("sync_columns", "t", "a", "b")

    assert place.op("verify_copied", "t", "a", "b") == 9


@pytest.mark.parametrize("verb", VERBS)
def test_a_trigger_that_is_gone_is_refused(place: Stepwise, verb: str) -> None:
    place.run(PLAIN)
    place.op("sync_columns", "t", "a", "b")
    place.run(f"DROP TRIGGER {quoted(place.all('SELECT tgname FROM pg_trigger ORDER BY 1')[0][0])} ON t")
    words, more = VERBS[verb]

    with pytest.raises(Refused, match="one of the two triggers of the sync is gone"):
        place.op(verb, *words, **more)


def test_triggers_that_are_disabled_while_the_lock_is_waited_for_are_seen(place: Stepwise) -> None:
    place.run(PLAIN)
    place.op("sync_columns", "t", "a", "b")
    with place.cluster.connect(place.name, autocommit=False) as other:
        other.execute("ALTER TABLE t DISABLE TRIGGER USER")
        with place.engine.connect() as waiting:
            waiting.exec_driver_sql("SET lock_timeout = '60s'")
            waiting.commit()
            failed: list[BaseException] = []

            def swap() -> None:
                try:
                    place.operations(waiting).swap_columns("t", "a", "b")
                except Refused as error:
                    failed.append(error)
                finally:
                    waiting.rollback()

            thread = threading.Thread(target=swap)
            thread.start()
            place.until("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
            other.commit()
            thread.join()
    assert "does not fire in every session" in str(failed)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_in_the_statement_that_is_said(place: Stepwise, name: str) -> None:
    where = quoted(name, name)
    place.run(f"CREATE SCHEMA {quoted(name)}; CREATE TABLE {where} (id integer, a text, b text)")
    place.op("sync_columns", name, "a", "b", schema=name)
    place.run(f"ALTER TABLE {where} DISABLE TRIGGER ALL")

    with pytest.raises(Refused) as error:
        place.op("verify_copied", name, "a", "b", schema=name)

    place.run(error.value.next_steps[0].command)
    assert place.op("verify_copied", name, "a", "b", schema=name) == 0
