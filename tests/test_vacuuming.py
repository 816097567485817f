"""When a copy vacuums its table: where it has grown, again where it could not, never where its pages took the new rows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from alembic_safe.database.copying_ranges import leaves_of
from alembic_safe.database.copying_vacuum import Vacuuming
from alembic_safe.database.endpoint import Endpoint
from alembic_safe.errors import CopyUnfinished
from alembic_safe.operations.living import find_table
from tests.patience import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from tests.cluster import Cluster

ROWS = 24_000


@pytest.fixture
def connect(cluster: Cluster, database: str) -> Callable[[], psycopg.Connection]:
    with cluster.connect(database) as c:
        c.execute("CREATE TABLE t (id integer PRIMARY KEY, n integer) WITH (autovacuum_enabled = false)")
        c.execute(f"INSERT INTO t SELECT g, 0 FROM generate_series(1, {ROWS}) g")
        c.execute("VACUUM ANALYZE t")
    return lambda: cluster.connect(database)


@pytest.fixture
def vacuuming(
    cluster: Cluster, database: str, connect: Callable[[], psycopg.Connection]
) -> Iterator[Callable[..., Vacuuming]]:
    made: list[Vacuuming] = []

    def make(
        *, always: bool = False, slowly: bool = False, not_done: Callable[[str], None] = fail,
        open_: Callable[..., psycopg.Connection] | None = None,
    ) -> Vacuuming:  # fmt: skip
        engine = sa.create_engine(cluster.url(database), poolclass=sa.NullPool)
        with engine.connect() as connection:
            table = find_table(connection, "t", None)
            assert table is not None
            open_ = open_ or (partial(slow, connect) if slowly else connect)
            made.append(Vacuuming(leaves_of(connection, table, None), open_, not_done, always=always))
        return made[-1]

    yield make
    for one in made:
        one.close()


def fail(reason: str) -> None:
    """Take no failure of a VACUUM for granted."""
    pytest.fail(reason)


def go_on() -> None:
    """Let a VACUUM be waited for."""


def over() -> None:
    """Let nothing be waited for any more."""
    raise CopyUnfinished("The time is over.")


def slow(connect: Callable[[], psycopg.Connection]) -> psycopg.Connection:
    """Return a session whose VACUUM of the table takes half a minute."""
    connection = connect()
    connection.execute(
        "SELECT set_config('vacuum_cost_delay', '100ms', false), set_config('vacuum_cost_limit', '1', false)"
    )
    return connection


def is_vacuumed(connection: psycopg.Connection) -> bool:
    return connection.execute("SELECT FROM pg_stat_progress_vacuum").fetchone() is not None


def vacuums(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_stat_get_vacuum_count('t'::regclass)").fetchone()
    assert row is not None
    return int(row[0])


def test_it_is_due_six_times_on_the_way_and_not_for_a_small_table(vacuuming: Callable[..., Vacuuming]) -> None:
    one = vacuuming()
    assert [one.wrote(0, 9_999) for _ in range(3)] == [False, False, True]
    one.begin(0, go_on)
    one.finish(go_on)
    assert not one.wrote(0, 9_999)


@pytest.mark.parametrize(("always", "grows", "expected"), [(False, False, 0), (False, True, 1), (True, False, 1)])
def test_only_a_table_that_has_grown_is_vacuumed_unless_an_earlier_run_has_left_it(
    vacuuming: Callable[..., Vacuuming], connect: Callable[[], psycopg.Connection], *, always: bool, grows: bool,
    expected: int,
) -> None:  # fmt: skip
    one = vacuuming(always=always)
    with connect() as c:
        before = vacuums(c)
        if grows:
            c.execute("UPDATE t SET n = 1")
        one.vacuum(0)
        eventually(lambda: vacuums(c) == before + expected)


def test_while_an_autovacuum_is_at_work_it_is_due_again_behind_the_next_batch(
    vacuuming: Callable[..., Vacuuming], connect: Callable[[], psycopg.Connection]
) -> None:
    one = vacuuming()
    with connect() as c, connect() as other:
        before = vacuums(c)
        c.execute("UPDATE t SET n = 1")
        with other.transaction():
            other.execute("LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE")  # as a vacuum has it
            one.vacuum(0)
        assert vacuums(c) == before
        assert one.was_skipped
        assert one.wrote(0, 1)
        one.vacuum(0)
        assert not one.was_skipped
        eventually(lambda: vacuums(c) == before + 1)


def test_what_is_vacuumed_while_the_copy_goes_on_ends_with_a_copy_that_ends_early(
    vacuuming: Callable[..., Vacuuming], connect: Callable[[], psycopg.Connection]
) -> None:
    one = vacuuming(always=True, slowly=True)
    with connect() as c:
        before = vacuums(c)
        c.execute("UPDATE t SET n = 1")
        assert one.wrote(0, 20_000)
        one.begin(0, go_on)
        eventually(lambda: is_vacuumed(c), "the vacuum")
        assert one.is_at_work
        assert [one.wrote(0, 9_999), one.wrote(0, 1)] == [False, True]  # half of it is too much beside one that is slow
        one.close()
        assert not one.is_at_work
        eventually(lambda: not is_vacuumed(c), "the end of the vacuum")
        assert vacuums(c) == before


def test_a_wait_for_one_asks_whether_to_go_on(
    vacuuming: Callable[..., Vacuuming], connect: Callable[[], psycopg.Connection]
) -> None:
    one = vacuuming(always=True, slowly=True)
    with connect() as c:
        c.execute("UPDATE t SET n = 1")
        assert one.wrote(0, 20_000)
        one.begin(0, go_on)
        eventually(lambda: is_vacuumed(c), "the vacuum")
        with pytest.raises(CopyUnfinished):
            one.finish(over)
        assert one.wrote(0, 20_000)
        with pytest.raises(CopyUnfinished):
            one.begin(0, over)
        assert one.is_at_work
        one.close()
        eventually(lambda: not is_vacuumed(c), "the end of the vacuum")


def test_one_that_fails_was_not_done_and_the_next_has_a_connection_of_its_own(
    vacuuming: Callable[..., Vacuuming], connect: Callable[[], psycopg.Connection]
) -> None:
    said: list[str] = []
    one = vacuuming(always=True, not_done=said.append)
    with connect() as c:
        before = vacuums(c)
        c.execute("ALTER TABLE t RENAME TO away")
        assert one.wrote(0, 20_000)
        one.begin(0, go_on)
        one.finish(go_on)
        assert said == ['relation "public.t" does not exist']
        c.execute("ALTER TABLE away RENAME TO t")
        assert one.wrote(0, 20_000)
        one.begin(0, go_on)
        one.finish(go_on)
        eventually(lambda: vacuums(c) == before + 1)
    assert len(said) == 1


def test_one_whose_connection_was_ended_was_not_done(
    vacuuming: Callable[..., Vacuuming], connect: Callable[[], psycopg.Connection]
) -> None:
    said: list[str] = []
    one = vacuuming(always=True, slowly=True, not_done=said.append)
    with connect() as c:
        assert one.wrote(0, 20_000)
        one.begin(0, go_on)
        eventually(lambda: is_vacuumed(c), "the vacuum")
        c.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_progress_vacuum")
        one.finish(go_on)
        assert "terminating connection due to administrator command" in said[0]
        assert one.wrote(0, 20_000)
        one.begin(0, go_on)
        eventually(lambda: is_vacuumed(c), "the next one")
        one.close()
    assert len(said) == 1


def test_where_no_connection_is_to_be_had_nothing_is_vacuumed(vacuuming: Callable[..., Vacuuming]) -> None:
    said: list[str] = []
    one = vacuuming(always=True, not_done=said.append, open_=Endpoint("127.0.0.1", 1, "postgres", "postgres").connect)
    assert one.wrote(0, 20_000)
    one.begin(0, go_on)
    one.finish(go_on)
    assert "cannot be reached" in said[0]
