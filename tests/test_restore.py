"""Restores: checked first, into a new database, compared afterwards; and taken back when they fail."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from alembic_safe.database.environment import PREFIX, Journals
from alembic_safe.database.journal_tables import make_or_upgrade
from alembic_safe.deploying.backup import Backup, BackupRequest, take_backup
from alembic_safe.deploying.backup_files import sidecar_of
from alembic_safe.deploying.restore import RestoreRequest, restore
from alembic_safe.errors import BackupFailed, Missing, Refused, WrongUsage
from tests.cluster import POSTGRES_VERSIONS
from tests.scram import Guarded, guarded_server
from tests.shop_rows import endpoint_of, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic_safe.database.endpoint import Endpoint
    from tests.cluster import Cluster

NAMES = ["Two words", "quo\"te's 50% of $HOME; k=v.dot*?\\", "postgresql://x", "-dash größe 日本語", "n" * 63]


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    yield from guarded_server()


@pytest.fixture
def shop(cluster: Cluster, database: str) -> Iterator[Endpoint]:
    """A database with a few rows; what was restored from it goes with it."""
    with cluster.connect(database) as connection:
        fill(connection)
    yield endpoint_of(cluster, database)
    for name in databases(cluster):
        if name.startswith(f"{database}_"):
            cluster.drop(name)


def databases(cluster: Cluster) -> set[str]:
    with cluster.connect() as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database")}


def backed_up(place: Endpoint, folder: Path, **request: object) -> tuple[Path, Backup]:
    backup = take_backup(BackupRequest(place, folder, **request))
    return Path(backup.location), backup


def test_a_restored_database_equals_its_source(shop: Endpoint, tmp_path: Path) -> None:
    path, backup = backed_up(shop, tmp_path, heads=("a3",))
    restored = restore(RestoreRequest(shop, path))
    assert restored.database.startswith(f"{shop.database}_restored_20")
    assert restored.backup == backup
    assert restored.verified
    assert restored.comparison.equal
    assert (restored.comparison.tables, restored.comparison.rows) == (5, 2 + 2 + 3 + 50)
    with shop.with_database(restored.database).connect() as connection:
        assert connection.execute("SELECT mail, mood::text FROM users ORDER BY id").fetchall() == [
            ("a@example.org", "good"),
            ("b@example.org", "bad"),
        ]
        assert connection.execute("SELECT nextval('audit.visits_id_seq')").fetchone() == (51,)


def test_differences_since_the_backup_are_reported(cluster: Cluster, shop: Endpoint, tmp_path: Path) -> None:
    path, _ = backed_up(shop, tmp_path)
    with cluster.connect(shop.database) as connection:
        connection.execute("ALTER TABLE users ADD COLUMN nick text; DELETE FROM audit.visits WHERE id <= 5")
        connection.execute("CREATE TABLE later (id int); INSERT INTO later VALUES (1)")
    found = restore(RestoreRequest(shop, path)).comparison
    rows = {(row.schema, row.name): (row.restored, row.source) for row in found.row_differences}
    assert rows == {("audit", "visits"): (50, 45), ("public", "later"): (None, 1)}
    assert any(line.startswith("-") and "nick text" in line for line in found.schema)
    assert not found.equal


@pytest.mark.parametrize("home", [Journals("alembic_safe"), Journals("public", PREFIX)], ids=["schema", "prefix"])
def test_what_is_ours_is_no_difference_and_what_was_retired_comes_last(
    cluster: Cluster, shop: Endpoint, tmp_path: Path, home: Journals
) -> None:
    older, _ = backed_up(shop, tmp_path / "older")
    with cluster.connect(shop.database) as connection:
        make_or_upgrade(connection, home, tool="test")
        newer, _ = backed_up(shop, tmp_path / "newer")
        connection.execute(f"INSERT INTO {home.table('sightings')} (version_table, revision) VALUES ('t', 'a1')")
        connection.execute("CREATE SCHEMA alembic_safe_sync")
        connection.execute("CREATE FUNCTION alembic_safe_sync.f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        for number, path in enumerate((older, newer)):
            assert restore(RestoreRequest(shop, path, name=f"{shop.database}_{number}")).comparison.equal
        connection.execute("CREATE SCHEMA alembic_safe_retired; CREATE TABLE alembic_safe_retired.k AS SELECT 1 AS a")
        connection.execute("DELETE FROM audit.visits WHERE id <= 5; ALTER TABLE countries ADD name text")
    found = restore(RestoreRequest(shop, newer)).comparison
    assert [(row.schema, row.name) for row in found.row_differences] == [
        ("audit", "visits"), ("alembic_safe_retired", "k"),
    ]  # fmt: skip
    assert [line for line in found.schema if "name text" not in line and "code text" not in line] == []


def test_a_changed_file_is_refused_before_anything_is_made(cluster: Cluster, shop: Endpoint, tmp_path: Path) -> None:
    path, _ = backed_up(shop, tmp_path)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    before = databases(cluster)
    with pytest.raises(BackupFailed, match="is not the file that was written"):
        restore(RestoreRequest(shop, path))
    with pytest.raises(BackupFailed, match="is not the file that was written"):
        restore(RestoreRequest(shop, path, unverified=True))
    assert databases(cluster) == before


def test_a_file_that_nothing_is_known_of_is_refused_until_somebody_says_so(shop: Endpoint, tmp_path: Path) -> None:
    path, backup = backed_up(shop, tmp_path)
    sidecar_of(path).unlink()
    with pytest.raises(Refused, match="--sha256 HASH") as caught:
        restore(RestoreRequest(shop, path))
    assert caught.value.exit_code == 3
    given = restore(RestoreRequest(shop, path, name=f"{shop.database}_1", sha256=backup.sha256.upper()))
    assert (given.verified, given.source, given.comparison.equal) == (True, shop.database, True)
    taken = restore(RestoreRequest(shop, path, name=f"{shop.database}_2", unverified=True))
    assert (taken.verified, taken.comparison.equal) == (False, True)


def test_an_existing_database_is_never_written_to(cluster: Cluster, shop: Endpoint, tmp_path: Path) -> None:
    path, _ = backed_up(shop, tmp_path)
    before = databases(cluster)
    with pytest.raises(Refused, match="There is a database"):
        restore(RestoreRequest(shop, path, name=shop.database))
    with cluster.connect(shop.database) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (2,)
    assert databases(cluster) == before


def test_a_name_that_postgres_would_cut_is_refused(shop: Endpoint, tmp_path: Path) -> None:
    path, _ = backed_up(shop, tmp_path)
    with pytest.raises(WrongUsage, match="longer than the 63 bytes"):
        restore(RestoreRequest(shop, path, name="ü" * 32))


def test_a_file_that_is_not_there_is_missing(shop: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(Missing, match="There is no backup"):
        restore(RestoreRequest(shop, tmp_path / "nothing.dump"))


def test_a_file_that_is_no_dump_is_told_as_such(cluster: Cluster, shop: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "x.dump").write_text("SELECT 1;\n")
    before = databases(cluster)
    with pytest.raises(BackupFailed, match="no backup that pg_restore can read"):
        restore(RestoreRequest(shop, tmp_path / "x.dump", unverified=True))
    assert databases(cluster) == before


def test_a_lost_database_is_restored_without_it(cluster: Cluster, shop: Endpoint, tmp_path: Path) -> None:
    path, _ = backed_up(shop, tmp_path)
    cluster.drop(shop.database)
    restored = restore(RestoreRequest(shop, path, name=shop.database))
    assert restored.database == shop.database
    assert restored.comparison.rows == 57


def test_a_failed_restore_takes_its_own_database_back(cluster: Cluster, shop: Endpoint, tmp_path: Path) -> None:
    with cluster.connect(shop.database) as connection:
        connection.execute("CREATE ROLE gone_by_then; ALTER TABLE users OWNER TO gone_by_then")
    path, _ = backed_up(shop, tmp_path)
    with cluster.connect(shop.database) as connection:
        connection.execute("ALTER TABLE users OWNER TO postgres; DROP ROLE gone_by_then")
    before = databases(cluster)
    with pytest.raises(BackupFailed, match='role "gone_by_then" does not exist') as caught:
        restore(RestoreRequest(shop, path, name=f"{shop.database}_new"))
    text = str(caught.value)
    assert f"{shop.database}_new, made by this run, is gone again" in text
    assert "--no-owner" in text
    assert databases(cluster) == before
    again = restore(RestoreRequest(shop, path, name=f"{shop.database}_new", owners=False))
    assert again.comparison.rows == 57


def test_a_role_without_createdb_is_told_what_it_lacks(cluster: Cluster, shop: Endpoint, tmp_path: Path) -> None:
    path, _ = backed_up(shop, tmp_path)
    with cluster.connect() as connection:
        connection.execute("CREATE ROLE modest LOGIN")
        with pytest.raises(Missing, match='ALTER ROLE "modest" CREATEDB'):
            restore(RestoreRequest(replace(shop, user="modest"), path))
        connection.execute("DROP ROLE modest")


def test_the_printed_renames_put_it_in_place_with_its_settings(
    cluster: Cluster, shop: Endpoint, tmp_path: Path
) -> None:
    name = sql.Identifier(shop.database)
    with cluster.connect() as connection:
        for setting in ("search_path TO audit, public", "application_name TO 'it''s \"x\"'"):
            connection.execute(sql.SQL("ALTER DATABASE {} SET ").format(name) + sql.SQL(setting))
        connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(name))
    path, _ = backed_up(shop, tmp_path)
    restored = restore(RestoreRequest(shop, path))
    with cluster.connect() as connection:
        for line in (*restored.rename_lines, *restored.settings_lines):
            connection.execute(line)
    with cluster.connect(shop.database) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ("audit, public",)
        assert connection.execute("SELECT count(*) FROM visits").fetchone() == (50,)
        granted = "SELECT has_database_privilege('public', current_database(), 'CONNECT')"
        assert connection.execute(granted).fetchone() == (False,)
    assert restored.database not in databases(cluster)


def test_the_encoding_is_that_of_the_source(cluster: Cluster, database: str, tmp_path: Path) -> None:
    name = f"{database}_latin"
    with cluster.connect() as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' ")
    try:
        place = endpoint_of(cluster, name)
        with place.connect() as connection:
            connection.execute("CREATE TABLE t AS SELECT 'gr\u00fc\u00df' AS x")
        path, _ = backed_up(place, tmp_path)
        restored = restore(RestoreRequest(place, path, name=f"{name}_2"))
        assert restored.comparison.equal
        with place.with_database(restored.database).connect() as connection:
            assert connection.execute("SHOW server_encoding").fetchone() == ("LATIN1",)
    finally:
        cluster.drop(name)
        cluster.drop(f"{name}_2")


def test_a_part_is_restored_with_all_definitions_and_its_own_rows(shop: Endpoint, tmp_path: Path) -> None:
    path, _ = backed_up(shop, tmp_path, scope="affected", tables=(("public", "orders"),))
    restored = restore(RestoreRequest(shop, path))
    assert restored.comparison.equal
    assert restored.comparison.rows == 2 + 2 + 3
    with shop.with_database(restored.database).connect() as connection:
        assert connection.execute("SELECT count(*) FROM audit.visits").fetchone() == (0,)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_survives_backup_restore_and_the_printed_lines(
    cluster: Cluster, make_database: Callable[..., str], tmp_path: Path, name: str
) -> None:
    make_database(name)
    place = endpoint_of(cluster, name)
    with place.connect() as connection:
        table, twin = sql.Identifier(name, name), sql.Identifier(f"{name}"[:60] + " 2")
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE TABLE {} ({} int PRIMARY KEY)").format(table, sql.Identifier(name)))
        connection.execute(sql.SQL("INSERT INTO {} SELECT generate_series(1, 9)").format(table))
        connection.execute(sql.SQL("CREATE TABLE {} AS SELECT 1 AS a").format(twin))
    before = databases(cluster)
    path, backup = backed_up(place, tmp_path / "b", heads=("a/3",))
    assert path.parent == tmp_path / "b"
    part, _ = backed_up(place, tmp_path / "b", scope="affected", tables=((name, name),))
    try:
        restored = restore(RestoreRequest(place, path))
        assert restored.comparison.equal
        assert restored.comparison.rows == 10
        assert restore(RestoreRequest(place, part, name="r_part")).comparison.rows == 9
        plain = backup.restore_lines[1]
        environ = os.environ | {"PATH": f"{cluster.bin}:{os.environ['PATH']}"}
        done = subprocess.run(["sh", "-c", plain], env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, plain + done.stderr
        new = databases(cluster) - before - {restored.database, "r_part"}
        assert len(new) == 1
        with place.with_database(new.pop()).connect() as connection:
            assert connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone() == (9,)
        with cluster.connect() as connection:
            for line in restored.rename_lines:
                connection.execute(line)
    finally:
        for made in databases(cluster) - before:
            cluster.drop(made)


def test_a_server_that_asks_for_a_password_restores_too(guarded: Guarded, tmp_path: Path) -> None:
    place = replace(endpoint_of(guarded.cluster, "postgres", guarded.user), password=guarded.password)
    with guarded.connect() as connection:
        fill(connection)
    path, _ = backed_up(place, tmp_path)
    restored = restore(RestoreRequest(place, path))
    assert restored.comparison.equal
    assert guarded.password not in repr(restored)


def test_the_role_that_env_py_sets_is_used_throughout(cluster: Cluster, shop: Endpoint, tmp_path: Path) -> None:
    with cluster.connect(shop.database) as connection:
        connection.execute('CREATE ROLE "the owner" CREATEDB; CREATE ROLE login LOGIN NOINHERIT IN ROLE "the owner"')
        connection.execute(
            f'GRANT ALL ON DATABASE {shop.database} TO "the owner"; CREATE SCHEMA o AUTHORIZATION "the owner"'
        )
        connection.execute(
            'GRANT pg_read_all_data TO "the owner"; CREATE TABLE o.t (i int); ALTER TABLE o.t OWNER TO "the owner"'
        )
    login = replace(shop, user="login")
    try:
        with pytest.raises(BackupFailed, match="permission denied"):
            take_backup(BackupRequest(login, tmp_path))
        path, _ = backed_up(login, tmp_path, role="the owner")
        restored = restore(RestoreRequest(login, path, role="the owner", owners=False))
        assert restored.comparison.rows == 57
        with cluster.connect(restored.database) as connection:
            owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
            assert connection.execute(owner).fetchone() == ("the owner",)
    finally:
        for name in databases(cluster):
            if name.startswith(f"{shop.database}_"):
                cluster.drop(name)
        with cluster.connect(shop.database) as connection:
            connection.execute('DROP OWNED BY "the owner"; DROP ROLE login, "the owner"')


def test_programs_newer_than_the_server_serve_it_too(shop: Endpoint, tmp_path: Path) -> None:
    newest = str(POSTGRES_VERSIONS[18])
    path, backup = backed_up(shop, tmp_path, pg_bin=newest)
    assert backup.program.startswith("pg_dump 18.")
    restored = restore(RestoreRequest(shop, path, pg_bin=newest))
    assert restored.comparison.equal
    assert restored.comparison.rows == 57
    assert ("--exit-on-error" in backup.restore_lines[1]) is (backup.facts.server_major == 18)


def test_an_error_beside_the_known_one_of_newer_programs_still_stops(
    cluster: Cluster, shop: Endpoint, tmp_path: Path
) -> None:
    with cluster.connect(shop.database) as connection:
        connection.execute("CREATE ROLE briefly; GRANT SELECT ON users TO briefly")
    path, _ = backed_up(shop, tmp_path, pg_bin=str(POSTGRES_VERSIONS[18]))
    with cluster.connect(shop.database) as connection:
        connection.execute("DROP OWNED BY briefly; DROP ROLE briefly")
    before = databases(cluster)
    with pytest.raises(BackupFailed, match='role "briefly" does not exist'):
        restore(RestoreRequest(shop, path, pg_bin=str(POSTGRES_VERSIONS[18])))
    assert databases(cluster) == before
