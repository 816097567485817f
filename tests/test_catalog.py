"""Reading a database's catalog: complete as pg_dump is, stable, and without a trace."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from psycopg.pq import TransactionStatus
from sqlalchemy.ext.asyncio import create_async_engine

from alembic_safe.database.environment import Journals
from alembic_safe.database.journal_tables import ddl
from alembic_safe.inspecting import catalog_asking
from alembic_safe.inspecting.catalog import Catalog, ObjectId, read_catalog
from alembic_safe.inspecting.catalog_asking import GROUPS
from alembic_safe.inspecting.comparison import compare
from tests.catalog_mutations import MUTATIONS, ROLES, TABLESPACE
from tests.cluster import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from tests.catalog_mutations import Mutation
    from tests.cluster import Cluster

# pg_dump leaves an INVALID index out, and writes a language without its handler when that is a system function
NOT_RESTORABLE = {"index: valid", "language: exists"}
POSSIBLE = [m for m in MUTATIONS if m.since <= VERSION]


def prepare(cluster: Cluster) -> None:
    """Make what the mutations need on the server: two roles and a tablespace."""
    with cluster.connect() as c:
        c.execute("SET allow_in_place_tablespaces = on")
        for role in ROLES:
            c.execute(f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        if c.execute("SELECT 1 FROM pg_tablespace WHERE spcname = %s", (TABLESPACE,)).fetchone() is None:
            c.execute(f"CREATE TABLESPACE {TABLESPACE} LOCATION ''")


@pytest.fixture(scope="module")
def shared(cluster: Cluster) -> Iterator[psycopg.Connection]:
    """One database for all mutations: each is rolled back."""
    prepare(cluster)
    cluster.create("catalogs")
    with cluster.connect("catalogs", autocommit=False) as connection:
        connection.execute("SET client_min_messages = error")
        connection.execute("CREATE SCHEMA m")
        connection.commit()
        connection.execute("SET search_path = m, public")
        connection.commit()
        yield connection
    cluster.drop("catalogs")


def dump(cluster: Cluster, database: str) -> str:
    """Return the schema as pg_dump sees it, without what it makes up anew every time."""
    text = cluster.run(
        "pg_dump", "--schema-only", "-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres", database
    )
    return "\n".join(line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


@pytest.mark.parametrize("mutation", POSSIBLE, ids=lambda m: m.name)
def test_a_single_difference_is_told(shared: psycopg.Connection, mutation: Mutation) -> None:
    try:
        if mutation.setup:
            shared.execute(mutation.setup)
        before = read_catalog(shared)
        shared.execute(mutation.change)
        after = read_catalog(shared)
    finally:
        shared.rollback()
    found = compare(before, after, column_order=True)
    assert found, "not told apart"
    assert compare(after, before, column_order=True)
    if mutation.name != "column: order":
        assert before.fingerprint != after.fingerprint


def build(cluster: Cluster, database: str) -> psycopg.Connection:
    """Run every setup, each in a schema of its own."""
    connection = cluster.connect(database)
    connection.execute("SET client_min_messages = error")
    for number, mutation in enumerate(POSSIBLE):
        connection.execute(f"CREATE SCHEMA m{number}; SET search_path = m{number}, public")
        if mutation.setup:
            connection.execute(mutation.setup)
    return connection


def drop_subscriptions(cluster: Cluster, *databases: str) -> None:
    """A database with subscriptions cannot be dropped."""
    for database in databases:
        with cluster.connect(database) as connection:
            found = connection.execute(
                "SELECT subname FROM pg_subscription WHERE subdbid ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
            ).fetchall()
            for (name,) in found:
                connection.execute(f"ALTER SUBSCRIPTION {name} DISABLE")
                connection.execute(f"ALTER SUBSCRIPTION {name} SET (slot_name = NONE)")
                connection.execute(f"DROP SUBSCRIPTION {name}")


@pytest.fixture
def databases(cluster: Cluster, make_database: Callable[..., str]) -> Iterator[tuple[str, str]]:
    """Two empty databases that may come to hold subscriptions."""
    prepare(cluster)
    pair = make_database(), make_database()
    yield pair
    drop_subscriptions(cluster, *pair)


@pytest.mark.long
def test_every_mutation_is_one_that_pg_dump_tells(cluster: Cluster, databases: tuple[str, str]) -> None:
    silent = []
    database, _ = databases
    with build(cluster, database) as connection:
        before = dump(cluster, database)
        for number, mutation in enumerate(POSSIBLE):
            connection.execute(f"SET search_path = m{number}, public")
            connection.execute(mutation.change)
            after = dump(cluster, database)
            if before == after:
                silent.append(mutation.name)
            before = after
    assert silent == []


def test_a_database_restored_from_the_dump_of_another_is_equal(cluster: Cluster, databases: tuple[str, str]) -> None:
    original, copy = databases
    with build(cluster, original) as connection:
        for number, mutation in enumerate(POSSIBLE):
            # half of them mutated, so that what setups have and what mutations make are both restored
            if number % 2 and mutation.name not in NOT_RESTORABLE:
                connection.execute(f"SET search_path = m{number}, public")
                connection.execute(mutation.change)
        left = read_catalog(connection)
        assert compare(left, read_catalog(connection), column_order=True) == ()
    script = dump(cluster, original)
    with cluster.connect(copy) as connection:
        connection.execute(script)
        right = read_catalog(connection)
    assert [str(d) for d in compare(left, right, column_order=True)] == []
    assert left.fingerprint == right.fingerprint
    assert len(left.objects) > 400
    stored = Catalog.from_json(left.to_json())
    assert compare(left, stored, column_order=True) == ()
    assert stored.fingerprint == left.fingerprint


def test_the_sample_project_restored_from_its_dump_is_equal(
    cluster: Cluster, databases: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original, copy = databases
    folder = Path(__file__).parents[1] / "sample_project"
    monkeypatch.syspath_prepend(str(folder))
    config = Config(str(folder / "alembic.ini"))
    config.set_main_option("sqlalchemy.url", cluster.url(original))
    monkeypatch.setenv("DATABASE_URL", cluster.url(original))
    command.upgrade(config, "heads")
    script = dump(cluster, original)
    with cluster.connect(original) as one, cluster.connect(copy) as other:
        other.execute(script)
        left, right = read_catalog(one), read_catalog(other)
    assert [str(d) for d in compare(left, right, column_order=True)] == []
    assert sum(id_.kind == "table" for id_ in left.objects) > 5


def test_databases_read_under_different_settings_are_equal(cluster: Cluster, database: str) -> None:
    with cluster.connect(database) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('a'); CREATE TABLE t (m mood DEFAULT 'a', at timestamptz DEFAULT"
                           " '2020-01-01 10:00+00', i interval DEFAULT '1 day', d date DEFAULT '2020-02-03')")  # fmt: skip
        plain = read_catalog(connection)
        connection.execute("SET search_path = pg_catalog; SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'SQL, DMY';"
                           " SET IntervalStyle = 'iso_8601'; SET quote_all_identifiers = on")  # fmt: skip
        other = read_catalog(connection)
        assert compare(plain, other) == ()
        assert plain.fingerprint == other.fingerprint
        assert connection.execute("SHOW search_path").fetchone() == ("pg_catalog",)


READERS = (
    "psycopg",
    "psycopg in a transaction",
    "sqlalchemy",
    "sqlalchemy in a transaction",
    "sqlalchemy in autocommit",
)


@pytest.mark.long
def test_no_kind_of_object_is_taken_for_one_that_is_not_there(shared: psycopg.Connection, monkeypatch: Any) -> None:
    """What asks whether there is a kind of object at all says yes wherever the query finds one, and nothing is beside it."""
    everything = tuple(tuple(part._replace(source=part.source and "pg_class") for part in group) for group in GROUPS)
    for mutation in POSSIBLE:
        with shared.transaction(force_rollback=True):
            for statement in (mutation.setup, mutation.change):
                if statement:
                    shared.execute(statement)  # type: ignore[arg-type]
            asked = read_catalog(shared)
            with monkeypatch.context() as patched:
                patched.setattr(catalog_asking, "GROUPS", everything)
                assert read_catalog(shared).objects == asked.objects, mutation.name


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("CREATE TYPE it AS ENUM ()", "enum"),
        ("CREATE TYPE it AS ()", "composite type"),
        ("CREATE TYPE it", "base type"),
        ("CREATE DOMAIN it AS int[]", "domain"),
        ("CREATE SEQUENCE it", "sequence"),
        ("CREATE VIEW it AS SELECT 1", "view"),
        ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", "default privileges"),
    ],
)
def test_the_only_object_of_its_kind_is_found(cluster: Cluster, database: str, sql: str, kind: str) -> None:
    with cluster.connect(database) as c:
        c.execute(sql)  # type: ignore[arg-type]
        assert kind in {id_.kind for id_ in read_catalog(c).objects}


@pytest.mark.parametrize("reader", READERS)
def test_reading_leaves_no_setting_and_no_transaction_behind(cluster: Cluster, database: str, reader: str) -> None:
    with cluster.connect(database) as c:
        c.execute("CREATE TABLE t (id int)")
    if reader.startswith("psycopg"):
        with cluster.connect(database, autocommit=not reader.endswith("transaction")) as c:
            c.execute("SET search_path = public")
            read_catalog(c)
            assert c.execute("SHOW search_path").fetchone() == ("public",)
            expected = TransactionStatus.INTRANS if reader.endswith("transaction") else TransactionStatus.IDLE
            assert c.info.transaction_status == expected
        return
    options = {"isolation_level": "AUTOCOMMIT"} if reader.endswith("autocommit") else {}
    engine = sa.create_engine(cluster.url(database), poolclass=sa.NullPool, **options)
    with engine.connect() as connection:
        if reader != "sqlalchemy":
            connection.execute(sa.text("SET search_path = public"))
        before = connection.in_transaction()
        catalog = read_catalog(connection)
        assert ObjectId("table", "public", "t") in catalog.objects
        assert connection.in_transaction() == before
        path = connection.execute(sa.text("SHOW search_path")).scalar_one()
        assert path == ('"$user", public' if reader == "sqlalchemy" else "public")
        assert connection.connection.driver_connection.info.transaction_status == (
            TransactionStatus.IDLE if reader.endswith("autocommit") else TransactionStatus.INTRANS
        )
    engine.dispose()


def test_a_database_is_read_through_asyncpg_as_well(cluster: Cluster, database: str) -> None:
    with cluster.connect(database) as connection:
        connection.execute(SHOP)
        plain = read_catalog(connection)

    async def read() -> Catalog:
        engine = create_async_engine(cluster.url(database, driver="postgresql+asyncpg"))
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(read_catalog)
        finally:
            await engine.dispose()

    assert compare(plain, asyncio.run(read()), column_order=True) == ()


SHOP = """
CREATE TABLE customers (id serial PRIMARY KEY, email text UNIQUE);
CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY, customer int REFERENCES customers, total numeric CHECK (total > 0));
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
"""


def test_what_is_ours_and_what_the_caller_leaves_out_does_not_appear(cluster: Cluster, database: str) -> None:
    with cluster.connect(database) as connection:
        connection.execute(SHOP)
        before = read_catalog(connection, leave_out=frozenset({"alembic_version"}))
        assert not any("alembic_version" in str(id_) for id_ in before.objects)
        for journals in (Journals("alembic_safe", ""), Journals("public", "alembic_safe_")):
            for statement in ddl(journals):
                connection.execute(statement.encode())
        connection.execute(
            "CREATE SCHEMA alembic_safe_retired; CREATE TABLE alembic_safe_retired.kept (id int PRIMARY KEY)"
        )
        connection.execute("CREATE EXTENSION vector")
        after = read_catalog(connection, leave_out=frozenset({"public.alembic_version"}))
    assert [str(d) for d in compare(before, after)] == ["extension vector: extra"]


def test_names_that_nobody_should_choose_come_through(cluster: Cluster, database: str) -> None:
    with cluster.connect(database) as connection:
        connection.execute("""CREATE SCHEMA "a.b ""c"; CREATE TABLE "a.b ""c"."Order %s :x" ("select" int, "é'" text);
            CREATE INDEX "i%" ON "a.b ""c"."Order %s :x" ("select");
            CREATE FUNCTION "a.b ""c"."f(x"(int) RETURNS int LANGUAGE sql AS 'SELECT 1'""")
        catalog = read_catalog(connection)
    assert ObjectId("table", 'a.b "c', "Order %s :x") in catalog.objects
    assert str(ObjectId("column", 'a.b "c', "é'", "Order %s :x")) == "column a.b \"c.Order %s :x.é'"
    assert compare(catalog, Catalog.from_json(catalog.to_json())) == ()


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("bigint DEFAULT 6", "bigint DEFAULT '6'", True),
        ("integer DEFAULT -6", "integer DEFAULT '-6'", True),
        ("numeric(9, 2) DEFAULT 0", "numeric(9, 2) DEFAULT '0'", True),
        ("bigint DEFAULT 6", "bigint DEFAULT '7'", False),
        ("float8 DEFAULT 16777217", "float8 DEFAULT '16777217'::real", False),
        ("text DEFAULT 6", "text DEFAULT '6'", False),
    ],
)
def test_a_number_is_one_with_quotes_or_without(
    cluster: Cluster, database: str, one: str, other: str, is_same: bool
) -> None:
    found = []
    with cluster.connect(database) as c:
        for column in (one, other):
            c.execute(f"CREATE TABLE t (n {column})")  # type: ignore[arg-type]
            found.append(read_catalog(c))
            c.execute("DROP TABLE t")
    assert (not [d for d in compare(*found) if d.what == "default"]) == is_same
    assert compare(found[0], Catalog.from_json(found[0].to_json())) == ()
