"""While a change is open, the table's owner, who is not the role that deploys, goes on making partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from tests.stepwise import Stepwise, place

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["place"]

ROLES = """
DO $$ BEGIN CREATE ROLE "part Owner" LOGIN; CREATE ROLE part_deployer LOGIN IN ROLE "part Owner";
EXCEPTION WHEN duplicate_object THEN NULL; END $$;
GRANT CREATE, USAGE ON SCHEMA public TO "part Owner";
"""
TABLE = """
SET ROLE "part Owner";
CREATE TABLE t (id integer PRIMARY KEY, a text, b text) PARTITION BY RANGE (id);
CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10); CREATE TABLE t3 (LIKE t INCLUDING ALL);
"""
MADE = "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20)"
ATTACHED = "ALTER TABLE t ATTACH PARTITION t3 FOR VALUES FROM (20) TO (30)"


def synced(place: Stepwise) -> None:
    # its function has the rights of who deploys: the formula names what not every role may
    place.run(
        "CREATE SCHEMA own; GRANT USAGE ON SCHEMA own TO part_deployer;"
        "CREATE FUNCTION own.low(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)'"
    )
    place.op("sync_columns", "t", "a", "b", up="own.low(a)", down="b", user="part_deployer")


def swapped(place: Stepwise) -> None:
    place.op("sync_columns", "t", "a", "b", user="part_deployer")
    place.op("swap_columns", "t", "a", "b", user="part_deployer")


def kept(place: Stepwise) -> None:
    place.op("keep_column", "t", sa.Column("a", sa.Text), user="part_deployer")


@pytest.mark.parametrize("opened", [synced, swapped, kept])
def test_the_owner_makes_and_attaches_partitions(place: Stepwise, opened: Callable[[Stepwise], Any]) -> None:
    place.run(ROLES + f'GRANT CREATE ON DATABASE "{place.name}" TO part_deployer')
    place.run(TABLE)
    opened(place)

    with place.cluster.connect(place.name, user="part Owner") as owner:
        owner.execute(MADE)
        owner.execute(ATTACHED)
        owner.execute("INSERT INTO t (id, a) VALUES (1, 'x'), (11, 'y'), (21, 'z')")

    if opened is kept:
        found = place.all("SELECT key_1::integer, value FROM alembic_safe_retired.t_a ORDER BY 1")
    else:
        found = place.all("SELECT id, b FROM t ORDER BY 1")
    assert found == [(1, "x"), (11, "y"), (21, "z")]


@pytest.mark.parametrize("opened", [synced, kept])
def test_nobody_puts_our_function_on_another_table(place: Stepwise, opened: Callable[[Stepwise], Any]) -> None:
    place.run(ROLES + f'GRANT CREATE ON DATABASE "{place.name}" TO part_deployer')
    place.run(TABLE)
    opened(place)
    ((function, rights),) = place.all(
        "SELECT oid::regproc::text, proacl::text FROM pg_proc WHERE pronamespace = 'alembic_safe_sync'::regnamespace"
    )

    assert rights == r'{part_deployer=X/part_deployer,"\"part Owner\"=X/part_deployer"}'
    with (
        place.cluster.connect(place.name, user="part Owner") as owner,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for schema alembic_safe_sync"),
    ):
        owner.execute(f"CREATE TRIGGER x AFTER INSERT ON t3 FOR EACH ROW EXECUTE FUNCTION {function}()")
