"""How is a shop of any size filled with believable rows: ``python -m shop.generate --rows 100000``."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from shop import words
from shop.database import connect, database_url
from shop.filling import FUNCTIONS, SEQUENCES, STATEMENTS

if TYPE_CHECKING:
    from collections.abc import Callable

BYTES_PER_ROW = 311
"""What one order line costs on disk with its share of all other tables and indexes (measured at 0.1 and 5 million)."""

BYTES_OF_AN_EMPTY_SHOP = 8_400_000
"""Size of a database on PostgreSQL 16 after ``alembic upgrade head`` (``pg_database_size``)."""


@dataclass(frozen=True)
class Generated:
    """What one run has added.

    :param rows: added rows by table.
    :param seconds: how long it took.
    :param size: size of the whole database afterwards, in bytes.
    """

    rows: dict[str, int]
    seconds: float
    size: int


def rows_for(megabytes: float) -> int:
    """Return how many order lines make an empty shop a database of about this size (1 MB is a million bytes)."""
    return max(1, round((megabytes * 1_000_000 - BYTES_OF_AN_EMPTY_SHOP) / BYTES_PER_ROW))


def generate(
    url: str | None, rows: int, *, seed: int = 1, progress: Callable[[str, int, float], None] | None = None
) -> Generated:
    """Fill every table of the shop in one transaction, on the server; what is there stays and new rows join it.

    The same rows come out of the same seed on a shop in the same state.

    :param url: the database; unless given, the one that Alembic would use.
    :param rows: about how many order lines; everything else is in proportion.
    :param progress: called after each table with its name, the rows added and the seconds that took.
    :raises psycopg.errors.UndefinedTable: when the shop's revisions have not been applied.
    """
    started = time.monotonic()
    added: dict[str, int] = {}
    with connect(database_url(url), application_name="shop-generate") as connection:
        _prepare_session(connection)
        numbers = _numbers(connection, rows, seed)
        for function in FUNCTIONS:
            # CREATE FUNCTION takes no parameters: the seed has to be written into the text
            connection.execute(sql.SQL(function).format(seed=sql.Literal(seed)))
        for table, statement in STATEMENTS.items():
            before = time.monotonic()
            added[table] = connection.execute(statement, numbers).rowcount
            if progress:
                progress(table, added[table], time.monotonic() - before)
        for statement in SEQUENCES:
            connection.execute(statement)
        for table in STATEMENTS:
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(*table.split("."))))
        size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return Generated(added, time.monotonic() - started, size[0] if size else 0)


def _prepare_session(connection: psycopg.Connection[Any]) -> None:
    # a scan that starts in the middle of a table (for another session's sake) would number rows in another order
    connection.execute("SET LOCAL synchronize_seqscans = off")
    connection.execute("SET LOCAL work_mem = '128MB'")
    try:
        # Five million lines mean ten million foreign key checks, a minute and more; the rows are right by construction.
        with connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")
    except psycopg.errors.InsufficientPrivilege:
        pass  # for superusers only: everybody else waits for the checks


def _numbers(connection: psycopg.Connection[Any], rows: int, seed: int) -> dict[str, Any]:
    """Return what the statements need to know: how many of each, after which number, and the words."""
    last = connection.execute("""
        SELECT (SELECT coalesce(max(id), 0) FROM customers), (SELECT coalesce(max(id), 0) FROM addresses),
               (SELECT coalesce(max(id), 0) FROM orders), (SELECT coalesce(max(id), 0) FROM staff),
               (SELECT coalesce(max(substr(sku, 5)::bigint), 0) FROM products WHERE sku ~ '^SKU-[0-9]+$'),
               (SELECT array_agg(code ORDER BY code) FROM countries),
               (SELECT array_agg(currency ORDER BY code) FROM countries),
               (SELECT array_agg(id ORDER BY id) FROM roles),
               (SELECT array_agg(id ORDER BY id) FROM warehouse.warehouses)
    """).fetchone()
    assert last is not None  # noqa: S101  a SELECT without FROM has one row
    names = ("customer_0", "address_0", "order_0", "staff_0", "product_0", "countries", "currencies", "roles",
             "warehouses")  # fmt: skip
    numbers = dict(zip(names, last, strict=True))
    products = min(50_000, max(40, rows // 1000))
    return numbers | {
        "product_ids": [_product_id(seed, numbers["product_0"] + n) for n in range(1, products + 1)],
        "orders": max(1, round(rows / 3)), "customers": max(20, rows // 25),
        "products": products, "staff": 24,
        "movements": rows // 5, "reviews": max(1, rows // 50),
        "first_names": list(words.FIRST_NAMES), "last_names": list(words.LAST_NAMES),
        "single_names": list(words.SINGLE_NAMES), "hosts": list(words.MAIL_HOSTS), "streets": list(words.STREETS),
        "cities": list(words.CITIES), "materials": list(words.MATERIALS), "things": list(words.THINGS),
        "tags": list(words.TAGS), "notes": list(words.NOTES), "opinions": list(words.REVIEWS),
        "carriers": list(words.CARRIERS), "slugs": list(words.CATEGORIES),
        "branches": [name for name, _ in words.CATEGORIES.values()],
        "leaves": [leaf for _, leaves in words.CATEGORIES.values() for leaf in leaves],
    }  # fmt: skip


def _product_id(seed: int, number: int) -> uuid.UUID:
    return uuid.UUID(bytes=hashlib.blake2b(f"product {seed} {number}".encode(), digest_size=16).digest(), version=4)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m shop.generate", description="Fill the shop with rows.")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--rows", type=int, help="about how many order lines; all else in proportion")
    size.add_argument("--megabytes", type=float, help="about how large an empty shop's database shall become")
    parser.add_argument("--url", help="the database (default: DATABASE_URL, then alembic.ini)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other rows (default: 1)")
    given = parser.parse_args(arguments)
    rows = given.rows if given.rows is not None else rows_for(given.megabytes)
    if rows < 1:
        parser.error("--rows is at least 1")

    def progress(table: str, count: int, seconds: float) -> None:
        print(f"  {table:28} {count:>12,} rows  {seconds:6.1f} s", flush=True)

    try:
        done = generate(given.url, rows, seed=given.seed, progress=progress)
    except psycopg.errors.UndefinedTable:
        print("The shop's tables are not all there. Next: alembic upgrade head", file=sys.stderr)
        return 1
    except psycopg.Error as error:
        print(f"Nothing was added: {error}".strip(), file=sys.stderr)
        return 1
    print(f"{sum(done.rows.values()):,} rows in {done.seconds:.1f} s; the database now has {done.size / 1e6:,.0f} MB.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
