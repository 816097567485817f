"""`alembic safe-backup` and `alembic safe-restore`, as a person, cron and a machine run them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from alembic_safe.database import journal_backups
from alembic_safe.database.environment import Journals
from alembic_safe.database.statements import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster import Cluster
    from tests.project import Project


@pytest.fixture
def deployed(project: Project, cluster: Cluster, database: str) -> Iterator[Project]:
    """A project whose database stands at a3, with two users; what is restored from it goes with it."""
    project.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        connection.execute("INSERT INTO users VALUES (1, 'Ann', 'a@example.org'), (2, 'Ben', NULL)")
    yield project
    with cluster.connect() as connection:
        made = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (f"{database}_",))
        names = [row[0] for row in made]
    for name in names:
        cluster.drop(name)


def test_a_backup_from_cron_is_one_line(deployed: Project, database: str) -> None:
    done = deployed.run("safe-backup", check=0)
    (file,) = (deployed.folder / "backups").glob("*.dump")
    assert len(done.stdout.splitlines()) == 1
    assert done.stdout.startswith(f"Backup   {database} on 127.0.0.1")
    assert str(file) in done.stdout
    assert done.stderr == ""
    assert "-a3.dump" in file.name


def test_a_backup_for_machines_is_one_object(deployed: Project, database: str, tmp_path: Path) -> None:
    said = json.loads(deployed.run("safe-backup", "--to", str(tmp_path / "there"), "--json", check=0).stdout)
    (backup,) = said["backups"]
    assert (said["outcome"], said["exit_code"]) == ("done", 0)
    assert (backup["database"], backup["heads"], backup["target"]["database"]) == (database, ["a3"], database)
    assert Path(backup["location"]).parent == tmp_path / "there"


def test_keep_leaves_the_newest(deployed: Project) -> None:
    for _ in range(3):
        deployed.run("safe-backup", "--keep", "2", check=0)
    assert len(list((deployed.folder / "backups").glob("*.dump"))) == 2
    assert deployed.run("safe-backup", "--keep", "0").returncode == 2


def test_a_backup_is_noted_in_the_journal(deployed: Project, cluster: Cluster, database: str) -> None:
    home = Journals("alembic_safe")
    deployed.run("safe-guard", "set", "development", check=0)
    engine = sa.create_engine(cluster.url(database), poolclass=sa.NullPool)
    deployed.run("safe-backup", check=0)
    (file,) = (deployed.folder / "backups").glob("*.dump")
    with engine.connect() as connection:
        (row,) = journal_backups.last_backups(connection, home)
        assert run(connection, "SELECT count(*) AS n FROM alembic_safe.backups")[0]["n"] == 1
    assert (row.location, row.scope, row.heads, row.bytes) == (str(file), "database", ("a3",), file.stat().st_size)


def test_a_backup_without_a_journal_makes_none(deployed: Project, cluster: Cluster, database: str) -> None:
    deployed.run("safe-backup", check=0)
    with cluster.connect(database) as connection:
        assert connection.execute("SELECT to_regnamespace('alembic_safe')").fetchone() == (None,)


def test_a_part_holds_what_pending_revisions_name(deployed: Project, cluster: Cluster, database: str) -> None:
    with cluster.connect(database) as connection:
        connection.execute("CREATE TABLE logs AS SELECT generate_series(1, 10) AS i")
    deployed.revision("a4", "a3", "nick", 'op.add_column("users", sa.Column("nick", sa.Text))')
    said = json.loads(deployed.run("safe-backup", "--scope", "affected", "--json", check=0).stdout)
    assert said["backups"][0]["tables"] == [["public", "users"]]
    assert said["backups"][0]["scope"] == "affected"


def test_a_backup_that_cannot_be_written_is_exit_8(deployed: Project) -> None:
    (deployed.folder / "file").touch()
    done = deployed.run("safe-backup", "--to", "file/backups", check=8)
    assert done.stdout == ""
    assert "nothing can be written to" in done.stderr
    assert "The database was not touched." in done.stderr
    said = json.loads(deployed.run("safe-backup", "--to", "file/backups", "--json", check=8).stdout)
    assert said["exit_code"] == 8


def test_a_restore_names_the_new_database_and_how_it_is_put_in_place(
    deployed: Project, cluster: Cluster, database: str
) -> None:
    deployed.run("safe-backup", check=0)
    (file,) = (deployed.folder / "backups").glob("*.dump")
    done = deployed.run("safe-restore", str(file), "--to", f"{database}_new", "--exit-code", check=0)
    assert f"Restored {database}_new: 2 tables, 3 rows" in done.stdout
    assert f"definitions and rows are those of {database} now" in done.stdout
    renames = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("ALTER DATABASE")]
    with cluster.connect() as connection:
        for line in renames:
            connection.execute(line)
    with cluster.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (2,)
        connection.execute("DELETE FROM users WHERE id = 2")
    again = deployed.run("safe-restore", str(file), "--exit-code", check=4)
    assert f"public.users: 2 rows restored, 1 row in {database}" in again.stdout


def test_the_journal_goes_on_behind_a_backup_and_is_no_difference(deployed: Project, database: str) -> None:
    deployed.run("safe-guard", "set", "development", check=0)
    deployed.run("safe-backup", check=0)
    (file,) = (deployed.folder / "backups").glob("*.dump")
    done = deployed.run("safe-restore", str(file), "--exit-code", check=0)
    same = f"definitions and rows are those of {database} now, but for what is alembic-safe's own"
    assert same in " ".join(done.stdout.split())


def test_the_printed_restore_command_works(deployed: Project) -> None:
    said = json.loads(deployed.run("safe-backup", "--json", check=0).stdout)
    words = shlex.split(said["backups"][0]["restore"][0])
    assert words[0] == "alembic"
    restored = json.loads(deployed.run(*words[1:], "--json", check=0).stdout)["restored"]
    assert restored["equal"] is True
    assert restored["verified"] is True


def test_a_changed_file_is_exit_8_and_an_unknown_one_exit_3(deployed: Project) -> None:
    deployed.run("safe-backup", check=0)
    (file,) = (deployed.folder / "backups").glob("*.dump")
    with file.open("ab") as opened:
        opened.write(b"!")
    assert "is not the file that was written" in deployed.run("safe-restore", str(file), check=8).stderr
    file.with_name(file.name + ".json").unlink()
    assert "Nothing says whether" in deployed.run("safe-restore", str(file), check=3).stderr


def test_a_lost_database_is_restored_through_a_url(deployed: Project, cluster: Cluster, database: str) -> None:
    deployed.run("safe-backup", check=0)
    (file,) = (deployed.folder / "backups").glob("*.dump")
    cluster.drop(database)
    assert "--url postgresql://USER@HOST/postgres" in deployed.run("safe-restore", str(file), check=10).stderr
    done = deployed.run("safe-restore", str(file), "--to", database, "--url", cluster.url("postgres"), check=0)
    assert f"Restored {database}: 2 tables, 3 rows" in done.stdout
    assert deployed.run("current", check=0).stdout.strip().startswith("a3")
