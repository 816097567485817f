"""Retiring and restoring under names that want quotes: the statements are put together from them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from psycopg import sql

from tests.retire_cases import Living, living, some

__all__ = ["living"]

HOSTILE = [
    'd"t; DROP TABLE safe; --',
    "d%s %(x)s :y\\n",
    "user",
    "line\nDROP TABLE safe; --",
    "Capital.with dots 'and' quotes",
    "ü" * 31,
]


@pytest.mark.parametrize("name", some(HOSTILE, 2))
def test_a_hostile_name_is_a_name_everywhere(living: Living, name: str) -> None:
    own = sql.Identifier(name)
    given = sql.SQL(
        "CREATE TABLE safe (id integer PRIMARY KEY); CREATE SCHEMA {n}; CREATE TYPE {n}.{y} AS ENUM ('a:b', 'c%s');"
        "CREATE TABLE {n}.{n} ({n} integer PRIMARY KEY, c {n}.{y} DEFAULT 'a:b', d text CHECK (d <> 'x:y %s'));"
        "CREATE INDEX {i} ON {n}.{n} (d, c); COMMENT ON TABLE {n}.{n} IS {text};"
        "CREATE POLICY {n} ON {n}.{n} USING ({n} > 0 OR ':z' = '%s'); CREATE PUBLICATION {n} FOR TABLE {n}.{n};"
        "INSERT INTO {n}.{n} VALUES (1, 'a:b', 'one'), (2, 'c%s', NULL)"
    ).format(n=own, y=sql.Identifier("y" + name[:40]), i=sql.Identifier("i" + name[:40]), text=sql.Literal(name))
    living.given(given.as_string())
    before = living.dump()
    rows = sql.SQL("SELECT {n}, d, c::text FROM {n}.{n} ORDER BY 1").format(n=own).as_string()
    column = sa.Column("d", sa.Text)

    living.retire_column(name, column, schema=name, key=[name])
    living.restore_column(name, column, schema=name, accept=[f"restore-by-key:{name}.{name}.d"])
    living.retire_table(name, schema=name)
    living.run(
        sql.SQL("DROP TYPE {n}.{y}; CREATE TYPE {n}.{y} AS ENUM ('a:b', 'c%s')")
        .format(n=own, y=sql.Identifier("y" + name[:40]))
        .as_string()
    )
    done = living.restore_table(name, schema=name)

    assert (done.not_back, done.not_valid) == ((), ())
    assert living.all(rows) == [(1, "one", "a:b"), (2, None, "c%s")]
    assert sorted(living.dump().replace(",\n", "\n").splitlines()) == sorted(before.replace(",\n", "\n").splitlines())
    assert living.retired() == []
