"""What the connections of a copy know and survive: timeouts of the role, and what env.py's session is set to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from alembic_safe.database.copying_session import opened
from alembic_safe.database.steps import CopyOptions
from tests.stepwise import Stepwise, place
from tests.stops import assert_done

if TYPE_CHECKING:
    from tests.cluster import Cluster
    from tests.project import Project

__all__ = ["place"]

ROWS = 45_000
COPY = 'with op.step("copy"):\n    op.backfill("t", set_={"n": "id"})'
# a copy that takes a while between two vacuums, though no statement of it does
SLOWED = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END';
CREATE TRIGGER slow BEFORE UPDATE ON t FOR EACH ROW WHEN (OLD.id % 1000 = 0) EXECUTE FUNCTION slow();
"""
# a pause that begins with the first batch, whoever does it
PAUSE = """
CREATE TABLE pause (until_ timestamptz);
CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
  INSERT INTO pause SELECT clock_timestamp() + interval ''4 s'' WHERE NOT EXISTS (SELECT FROM pause); RETURN NULL; END';
CREATE TRIGGER pause AFTER UPDATE ON t EXECUTE FUNCTION pause();
"""


def filled(cluster: Cluster, database: str, more: str = "") -> None:
    with cluster.connect(database) as c:
        c.execute("CREATE TABLE t (id integer PRIMARY KEY, n integer) WITH (autovacuum_enabled = false)")
        c.execute(f"INSERT INTO t SELECT g FROM generate_series(1, {ROWS}) g")
        c.execute("VACUUM ANALYZE t")
        if more:
            c.execute(more)


def begin_with(**settings: str) -> str:
    """Return a step behind which every new session, as those of a copy are, has these settings."""
    lines = "".join(
        f"EXECUTE format('ALTER DATABASE %I SET {name} = %L', current_database(), '{value}'); "
        for name, value in settings.items()
    )
    return f'with op.step("settings"):\n    op.execute("DO $$ BEGIN {lines}END $$")\n'


def copied(project: Project, cluster: Cluster, database: str, options: str = "", body: str = COPY) -> str:
    """Run the copy; return what was said."""
    project.settings(f"environment = development\nrehearse = off\n{options}")
    project.revision("a4", "a3", "copy", body)
    done = project.run("safe-upgrade", "--drift", "off")
    assert_done(done, "at a4")
    with cluster.connect(database) as c:
        assert c.execute("SELECT count(*) FROM t WHERE n IS DISTINCT FROM id").fetchone() == (0,)
    return done.stdout + done.stderr


@pytest.mark.long
def test_a_vacuum_may_take_longer_than_a_statement_of_the_role(
    project: Project, cluster: Cluster, database: str
) -> None:
    filled(cluster, database)
    settings = begin_with(statement_timeout="900ms", vacuum_cost_delay="20ms", vacuum_cost_limit="10")
    said = copied(project, cluster, database, body=settings + COPY)
    assert "vacuuming" in said
    assert "not vacuumed" not in said


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_a_copy_may_pause_for_longer_than_a_session_of_the_role_may_be_idle(
    project: Project, cluster: Cluster, database: str, workers: int
) -> None:
    filled(cluster, database, PAUSE)
    options = f"copy_workers = {workers}\ncopy_wait_while = clock_timestamp() < (SELECT max(until_) FROM pause)"
    assert "pausing" in copied(project, cluster, database, options, begin_with(idle_session_timeout="900ms") + COPY)


@pytest.mark.long
def test_a_session_that_vacuums_may_wait_for_its_next_turn(project: Project, cluster: Cluster, database: str) -> None:
    filled(cluster, database, SLOWED)
    said = copied(project, cluster, database, body=begin_with(idle_session_timeout="900ms") + COPY)
    assert "not vacuumed" not in said


SEEN = {
    "names": ("SET search_path TO tenant_a", "(SELECT what FROM items)", "tenant_a"),
    "languages": ("SET default_text_search_config TO 'pg_catalog.german'", "to_tsvector('Häuser')::text", "'haus':1"),
    "roles": ('SET ROLE "Other, 1"', "current_user::text", "Other, 1"),
    "literals": ("SET standard_conforming_strings TO off", r"'a\\b'", r"a\b"),
}


@pytest.mark.parametrize("case", SEEN)
@pytest.mark.parametrize("workers", [1, 3])
def test_workers_see_what_the_session_of_env_py_sees(place: Stepwise, case: str, workers: int) -> None:
    said, formula, expected = SEEN[case]
    place.given(
        "CREATE SCHEMA tenant_a; CREATE TABLE items AS SELECT 'public' AS what; CREATE TABLE tenant_a.items AS SELECT"
        " 'tenant_a' AS what; CREATE TABLE tenant_a.users (id integer PRIMARY KEY, n text);"
        " INSERT INTO tenant_a.users SELECT n FROM generate_series(1, 12000) n; ANALYZE tenant_a.users;"
    )
    with place.cluster.connect(place.name) as c:
        c.execute('CREATE ROLE "Other, 1" SUPERUSER')
    try:

        @sa.event.listens_for(place.engine, "connect")
        def as_env_py_does(connection: object, _: object) -> None:
            connection.cursor().execute(said)  # type: ignore[attr-defined]
            connection.commit()  # type: ignore[attr-defined]

        options = CopyOptions(workers=workers, vacuum=False)
        place.steps("backfill", "users", schema="tenant_a", set_={"n": formula}, options=options, batch_rows=100)
    finally:
        place.run('DROP OWNED BY "Other, 1"; DROP ROLE "Other, 1"')

    assert place.all("SELECT DISTINCT n FROM tenant_a.users") == [(expected,)]


def test_a_search_path_of_a_revision_is_that_of_its_workers(project: Project, cluster: Cluster, database: str) -> None:
    filled(cluster, database, "CREATE TABLE items AS SELECT 1 AS n; CREATE SCHEMA tenant_a;"
           " CREATE TABLE tenant_a.items AS SELECT id AS n FROM t; CREATE INDEX ON tenant_a.items (n)")  # fmt: skip
    path = 'op.execute("SET search_path TO tenant_a, public")\n'
    formula = "(SELECT items.n FROM items WHERE items.n = t.id)"
    body = path + COPY.replace('"id"', f'"{formula}"')
    copied(project, cluster, database, "copy_workers = 3", body)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_copy_writes_goes_to_the_disk_at_once(place: Stepwise, workers: int) -> None:
    place.given("CREATE TABLE t (id integer PRIMARY KEY, b text); INSERT INTO t SELECT generate_series(1, 5000)")

    options = CopyOptions(vacuum=False, workers=workers)
    place.steps("backfill", "t", set_={"b": "current_setting('backend_flush_after')"}, options=options)

    assert place.all("SELECT DISTINCT b FROM t") == [("512kB",)]
    with place.runner.open() as own:
        assert own.execute("SELECT current_setting('backend_flush_after')").fetchone() == ("0",)
    with opened(place.runner) as beside:
        assert beside.execute("SELECT current_setting('backend_flush_after')").fetchone() == ("512kB",)
