"""`alembic dev-push` that dies before any one of its statements: all of it or nothing, and the next run finishes."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests import warm
from tests.patience import eventually
from tests.proxy import proxy
from tests.pushed import PushProject
from tests.shadows import no_shadow_stays

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cluster import Cluster

BEFORE = """
sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("nick", sa.Text),
         sa.Column("fax", sa.Text))
sa.Table("logs", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("note", sa.Text))
"""
AFTER = """
sa.Table("users", metadata, sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("handle", sa.Text, index=True),
         sa.Column("age", sa.Integer, nullable=False, server_default="1"))
"""
ROWS = """
INSERT INTO users (nick, fax) SELECT 'n' || i, 'f' || i FROM generate_series(1, 50) i;
INSERT INTO logs (note) SELECT 'l' || i FROM generate_series(1, 50) i
"""
PUSH = ("dev-push", "--rename", "users.nick:handle", "--accept", "drop-column:users.fax", "--accept", "drop-table:logs")


def state(app: PushProject) -> list[tuple[object, ...]]:
    """Return what there is, columns and rows, and how much is kept of what went."""
    found = app.rows(
        "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema IN ('public', 'alembic_safe_retired') ORDER BY 1, 2, ordinal_position"
    )
    living = [row for row in found if row[0] == "public"]
    for table in sorted({row[1] for row in living}):
        living += app.rows(f'SELECT to_jsonb(t)::text FROM public."{table}" t ORDER BY 1')
    kept = sorted({row[1] for row in found if row[0] == "alembic_safe_retired"})
    counts = sorted(app.rows(f'SELECT count(*) FROM alembic_safe_retired."{table}"')[0][0] for table in kept)
    return [*living, tuple(counts)]


def through(app: PushProject, port: int) -> None:
    """Let its commands reach the server through a port."""
    ini = app.project.folder / "alembic.ini"
    ini.write_text(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", ini.read_text()))


def begin(folder: Path, cluster: Cluster, database: str) -> PushProject:
    app = PushProject.create(folder, cluster.url(database))
    app.push(BEFORE)
    app.rows(ROWS)
    app.models(AFTER)
    return app


@pytest.mark.parametrize("every", [pytest.param(5, marks=pytest.mark.long), 175])
def test_a_push_that_dies_before_any_of_its_statements_did_all_or_nothing(
    tmp_path: Path, cluster: Cluster, make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    template = make_database()
    before = state(begin(tmp_path / "first", cluster, template))

    def killed(at: int) -> tuple[list[tuple[object, ...]], int, PushProject]:
        """Push into a copy through a proxy; the process dies before a query, if there are so many."""
        name = make_database(template=template)
        app = PushProject.create(tmp_path / name, cluster.url(name))
        app.models(AFTER)
        pids: list[int] = []

        def before_query(turn: int) -> None:
            if turn == at:
                eventually(lambda: pids)
                os.kill(pids[0], signal.SIGKILL)

        with proxy(cluster.port, before_query) as way:
            through(app, way.port)
            process = warm.Started(["alembic", *PUSH], app.project.folder, os.environ)
            pids.append(process.pid)
            out, err = process.communicate()
        assert process.returncode in ((0,) if way.turns < at else (-9, 137)), out + err
        gone = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        eventually(lambda: app.rows(gone) == [(0,)])
        through(app, cluster.port)
        return state(app), way.turns, app

    after, turns, _ = killed(10**9)
    assert after != before
    print(f"\n{turns} queries")
    for at in range(1, turns + 1, every):
        found, _, app = killed(at)
        assert found in (before, after), f"before query {at} of {turns}"
        done = app.project.run(*PUSH, check=0)
        assert "Traceback" not in done.stderr
        assert state(app) == after, f"before query {at} of {turns}"
    no_shadow_stays(cluster)
