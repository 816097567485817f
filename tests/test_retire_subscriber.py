"""What a real logical subscriber sees while columns and tables are retired and restored on its publisher."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tests.cluster import Cluster
from tests.retire_cases import Living, living

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

__all__ = ["living"]

pytestmark = pytest.mark.long

SHOP = """
CREATE TABLE users (id serial PRIMARY KEY, fullname text);
CREATE TABLE orders (id serial PRIMARY KEY, note text);
CREATE TABLE stays (id serial PRIMARY KEY);
"""


@pytest.fixture(scope="module")
def subscriber_cluster() -> Iterator[Cluster]:
    server = Cluster.start()
    yield server
    server.stop()


@pytest.fixture(params=["FOR ALL TABLES", "FOR TABLE users, orders, stays"])
def subscriber(
    request: pytest.FixtureRequest, living: Living, subscriber_cluster: Cluster
) -> Iterator[psycopg.Connection]:
    """A database on another server that subscribes to the living one, and has none of our tables."""
    name = f"s_{uuid.uuid4().hex[:8]}"
    living.run(SHOP + f"CREATE PUBLICATION feed {request.param}")
    subscriber_cluster.create(name)
    with subscriber_cluster.connect(name) as c:
        c.execute(SHOP)
        c.execute(
            f"CREATE SUBSCRIPTION {name} CONNECTION 'host=127.0.0.1 port={living.cluster.port} dbname={living.name}"
            " user=postgres' PUBLICATION feed"
        )
        yield c
        c.execute(f"DROP SUBSCRIPTION {name}")
    subscriber_cluster.drop(name)


def arrives(living: Living, subscriber: psycopg.Connection, marker: int) -> None:
    """Write a row on the publisher, and wait until the subscriber has it, and the rows that were there of every table."""
    living.run(f"INSERT INTO stays VALUES ({marker})")
    for _ in range(400):
        copied = subscriber.execute("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel").fetchone()
        if (
            copied != (False,)
            and subscriber.execute("SELECT FROM stays WHERE id = %s", [marker]).fetchone() is not None
        ):
            return
        subscriber.execute("SELECT pg_sleep(0.05)")
    raise AssertionError("the subscriber no longer applies")


def test_a_subscriber_without_our_tables_goes_on_applying(living: Living, subscriber: psycopg.Connection) -> None:
    arrives(living, subscriber, 1)
    living.run("INSERT INTO users (fullname) VALUES ('Ada'), ('Bob'); INSERT INTO orders (note) VALUES ('x')")
    fullname, note = sa.Column("fullname", sa.Text), sa.Column("id", sa.Integer, primary_key=True)

    living.retire_column("users", fullname)
    living.retire_table("orders", note)
    living.run("INSERT INTO users DEFAULT VALUES; DELETE FROM users WHERE id = 2")
    arrives(living, subscriber, 2)
    living.restore_column("users", fullname)
    living.restore_table("orders", note)
    arrives(living, subscriber, 3)

    assert living.all("SELECT id, fullname FROM users ORDER BY id") == [(1, "Ada"), (3, None)]
    assert [retired.kept for retired in living.retired()] == ["users_fullname"]
    assert subscriber.execute("SELECT id, fullname FROM users ORDER BY id").fetchall() == [(1, "Ada"), (3, None)]
    living.run("INSERT INTO orders (note) VALUES ('again')")
    arrives(living, subscriber, 4)
    assert subscriber.execute("SELECT note FROM orders ORDER BY id").fetchall() == [("x",), ("again",)]
