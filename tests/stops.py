"""What every stopped run has in common: its exit code, its words, and a database that is as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    import subprocess

    import psycopg

    from tests.cluster import Cluster

SECRET = "hunter2-s3cret"  # in every URL whose password must not be shown
CLOSINGS = ("Nothing was changed.", "The database was not touched.", "stands", "Safe to run again.")


def words_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return everything a run printed, in one line: where a terminal breaks it is no part of what is said."""
    return " ".join((done.stdout + "\n" + done.stderr).split())


def assert_stopped(done: subprocess.CompletedProcess[str], code: int, *words: str, secret: str = SECRET) -> str:
    """Hold a stopped run against the rules that hold for all of them; return what it said, in one line."""
    said = words_of(done)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in said, done.stderr
    assert secret not in said
    for word in words:
        assert word in said, f"{word!r} is not in:\n{done.stdout}\n{done.stderr}"
    last = done.stderr.rstrip().splitlines()[-1]
    assert last.endswith(".")
    assert any(closing in said for closing in CLOSINGS), last
    return said


def assert_done(done: subprocess.CompletedProcess[str], *words: str, secret: str = SECRET) -> str:
    """Hold a successful run against the rules; return what it said, in one line."""
    said = words_of(done)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in said
    assert secret not in said
    for word in words:
        assert word in said, f"{word!r} is not in:\n{done.stdout}\n{done.stderr}"
    return said


def everything_in(cluster: Cluster, database: str) -> list[tuple[object, ...]]:
    """Return every relation and column of a database with the number of its rows: what must not change."""
    with cluster.connect(database) as connection:
        return _everything(connection)


def _everything(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    found = connection.execute(
        "SELECT n.nspname, c.relname, c.relkind::text, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_namespace n"
        " LEFT JOIN pg_class c ON n.oid = c.relnamespace LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' GROUP BY 1, 2, 3 ORDER BY 1, 2"
    ).fetchall()
    rows: list[tuple[object, ...]] = []
    for schema, name, kind, columns in found:
        count = None
        if kind == "r":
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
            row = connection.execute(query).fetchone()
            count = row[0] if row else None
        rows.append((schema, name, kind, tuple(columns), count))
    return rows
