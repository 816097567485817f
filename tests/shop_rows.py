"""A few tables with rows, for tests of backups: keys, partitions, a view, and as many rows as asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.endpoint import Endpoint

if TYPE_CHECKING:
    import psycopg

    from tests.cluster import Cluster

TABLES = """
CREATE SCHEMA audit;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE countries (code text PRIMARY KEY);
CREATE TABLE users (id int PRIMARY KEY, country text REFERENCES countries, mood mood, mail text);
CREATE TABLE orders (id int, user_id int REFERENCES users, year int NOT NULL) PARTITION BY LIST (year);
CREATE TABLE orders_2025 PARTITION OF orders FOR VALUES IN (2025);
CREATE TABLE orders_2026 PARTITION OF orders FOR VALUES IN (2026);
CREATE TABLE audit.visits (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, page text);
CREATE VIEW newest AS SELECT * FROM orders WHERE year = 2026;
INSERT INTO countries VALUES ('de'), ('fr');
INSERT INTO users VALUES (1, 'de', 'good', 'a@example.org'), (2, 'fr', 'bad', 'b@example.org');
INSERT INTO orders VALUES (1, 1, 2025), (2, 2, 2026), (3, 1, 2026);
INSERT INTO audit.visits (page) SELECT 'page ' || i FROM generate_series(1, 50) i;
"""

BULK = "CREATE TABLE bulk AS SELECT i AS id, md5(i::text) AS a, md5((i * 7)::text) AS b FROM generate_series(1, {}) i"


def fill(connection: psycopg.Connection, bulk: int = 0) -> None:
    """Make the tables; ``bulk`` rows in one more table, about 100 bytes each."""
    connection.execute(TABLES)
    if bulk:
        connection.execute(BULK.format(bulk))


def endpoint_of(cluster: Cluster, database: str, user: str = "postgres") -> Endpoint:
    return Endpoint("127.0.0.1", cluster.port, user, database)
