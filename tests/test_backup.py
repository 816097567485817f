"""Backups: what they hold, how they are proven, and what happens when they cannot be had."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.programs import find_program
from alembic_safe.database.running import run_program
from alembic_safe.deploying.backup import BackupRequest, plan_backup, remove_older, take_backup
from alembic_safe.deploying.backup_files import backups_in, read_sidecar, sidecar_of
from alembic_safe.deploying.backup_plan import check_room
from alembic_safe.errors import BackupFailed, Missing
from tests import warm
from tests.cluster import VERSION
from tests.patience import PATIENCE, eventually
from tests.scram import Guarded, guarded_server
from tests.shop_rows import BULK, endpoint_of, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster import Cluster


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    yield from guarded_server()


@pytest.fixture
def shop(cluster: Cluster, database: str) -> Endpoint:
    """A database with a few rows."""
    with cluster.connect(database) as connection:
        fill(connection)
    return endpoint_of(cluster, database)


def listed(path: str) -> str:
    return run_program(find_program("pg_restore", VERSION), ["--list", path]).stdout


def leftovers(folder: Path) -> list[str]:
    """Return what is in a folder, beside the file that keeps it out of git."""
    return sorted(path.name for path in folder.rglob("*") if path.name != ".gitignore") if folder.is_dir() else []


def wrapped_program(folder: Path, name: str, body: str) -> None:
    """Write a program that does something around the real one, whose path is ``$real``."""
    real = find_program(name, VERSION).path
    script = folder / name
    script.write_text(f'#!/bin/sh\nreal="{real}"\n[ "$1" = --version ] && exec "$real" --version\n{body}\n')
    script.chmod(0o755)


def test_a_backup_is_a_private_file_with_what_it_says_beside_it(shop: Endpoint, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "backups"
    backup = take_backup(BackupRequest(shop, folder, heads=("a3", "b7")))
    path = Path(backup.location)
    assert leftovers(folder) == [path.name, path.name + ".json"]
    assert path.name.startswith(f"{shop.database}-20")
    assert path.name.endswith("-a3+b7.dump")
    assert [oct(p.stat().st_mode & 0o777) for p in (folder, path, sidecar_of(path))] == ["0o700", "0o600", "0o600"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == backup.sha256
    assert backup.size == path.stat().st_size
    assert "TABLE DATA public users" in listed(backup.location)
    said = json.loads(sidecar_of(path).read_text())
    assert (said["database"], said["host"], said["heads"], said["scope"]) == (
        shop.database, "127.0.0.1", ["a3", "b7"], "database",
    )  # fmt: skip
    assert said["facts"]["server_version"].startswith(str(backup.facts.server_major))
    assert read_sidecar(path) == backup


def test_a_folder_that_exists_keeps_its_mode(shop: Endpoint, tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    take_backup(BackupRequest(shop, tmp_path))
    assert oct(tmp_path.stat().st_mode & 0o777) == "0o750"
    assert not (tmp_path / ".gitignore").exists()


def test_a_folder_that_a_backup_made_is_nothing_to_git_and_a_file_of_ones_own_stays(
    shop: Endpoint, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    first = take_backup(BackupRequest(shop, folder))
    ignoring = folder / ".gitignore"
    assert (ignoring.read_text(), oct(ignoring.stat().st_mode & 0o777)) == ("*\n", "0o600")
    subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
    said = ["git", "status", "--porcelain"]
    assert subprocess.run(said, cwd=tmp_path, check=True, capture_output=True, text=True).stdout == ""
    ignoring.write_text("*.partial\n")  # who wants them in git says so once
    second = take_backup(BackupRequest(shop, folder))
    assert ignoring.read_text() == "*.partial\n"
    assert [one.location for one in backups_in(folder)] == [second.location, first.location]
    assert remove_older(folder, shop, second, keep=1) == [Path(first.location)]
    assert ignoring.exists()


def test_progress_is_told_in_bytes_against_an_estimate(shop: Endpoint, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    backup = take_backup(BackupRequest(shop, tmp_path, on_progress=lambda size, of: told.append((size, of))))
    assert told[-1][0] == backup.size
    assert told[-1][1] >= backup.size


def test_the_password_is_in_no_process_and_in_no_file(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside, folder = tmp_path / "tmp", tmp_path / "backups"
    aside.mkdir()
    monkeypatch.setenv("TMPDIR", str(aside))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{guarded.user}:{guarded.password}@127.0.0.1/postgres")
    monkeypatch.setenv("PGPASSWORD", guarded.password)
    with guarded.connect() as connection:
        fill(connection, bulk=600_000)
    secret, seen = guarded.password.encode(), []

    def look(size: int, estimate: int) -> None:
        del size, estimate
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command, variables = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
            except OSError:
                continue
            assert secret not in command
            if b"pg_dump" in command.split(b"\0")[0]:
                seen.append(command)
                assert secret not in variables
                assert b"DATABASE_URL" not in variables

    place = Endpoint("127.0.0.1", guarded.port, guarded.user, "postgres", guarded.password)
    backup = take_backup(BackupRequest(place, folder, on_progress=look))
    assert seen, "pg_dump was not seen at work"
    assert leftovers(aside) == []
    assert secret not in sidecar_of(Path(backup.location)).read_bytes()
    assert secret not in Path(backup.location).read_bytes()
    assert guarded.password not in repr(backup)
    assert guarded.password not in "".join(backup.restore_lines)


def test_a_password_with_a_line_end_still_gets_there(guarded: Guarded, tmp_path: Path) -> None:
    with guarded.connect() as connection:
        connection.execute("CREATE ROLE odd SUPERUSER LOGIN PASSWORD E'two\\nlines'")
    place = Endpoint("127.0.0.1", guarded.port, "odd", "template1", "two\nlines")
    assert take_backup(BackupRequest(place, tmp_path)).entries > 0


def test_further_secrets_reach_the_program_too(shop: Endpoint, tmp_path: Path) -> None:
    place = replace(shop, secrets=(("sslpassword", "hunter2 = #"),), parameters=(("options", "-c work_mem=9MB"),))
    (tmp_path / "bin").mkdir()
    wrapped_program(tmp_path / "bin", "pg_dump", 'cat "$PGSERVICEFILE" >&2; exit 1')
    with pytest.raises(BackupFailed, match="sslpassword=hunter2 = #"):
        take_backup(BackupRequest(place, tmp_path / "b", pg_bin=str(tmp_path / "bin")))
    assert take_backup(BackupRequest(place, tmp_path / "b")).size > 0


def test_what_a_role_may_not_read_is_named_with_the_grants(
    shop: Endpoint, cluster: Cluster, make_role: Callable[[str], str], tmp_path: Path
) -> None:
    role = make_role('backup "role"')
    with cluster.connect(shop.database) as connection:
        connection.execute(f"GRANT USAGE ON SCHEMA public TO {role}; GRANT SELECT ON countries, users TO {role}")
    place = replace(shop, user='backup "role"')
    with pytest.raises(BackupFailed) as caught:
        take_backup(BackupRequest(place, tmp_path / "b"))
    text = str(caught.value)
    assert caught.value.exit_code == 8
    assert "permission denied" in text
    for hidden in ('"audit"."visits"', '"audit"."visits_id_seq"', '"public"."orders_2026"'):
        assert f"{hidden}: no SELECT" in text
    assert '"public"."users"' not in text
    assert leftovers(tmp_path / "b") == []
    with cluster.connect(shop.database) as connection:
        for step in caught.value.next_steps:
            connection.execute(step.command)
    assert take_backup(BackupRequest(place, tmp_path / "b")).entries > 0


def test_rows_hidden_by_row_level_security_stop_the_backup(
    shop: Endpoint, cluster: Cluster, make_role: Callable[[str], str], tmp_path: Path
) -> None:
    role = make_role("night")
    with cluster.connect(shop.database) as connection:
        connection.execute(f"GRANT pg_read_all_data TO {role}; ALTER TABLE users ENABLE ROW LEVEL SECURITY")
    with pytest.raises(BackupFailed, match='ALTER ROLE "night" BYPASSRLS'):
        take_backup(BackupRequest(replace(shop, user="night"), tmp_path))
    with cluster.connect() as connection:
        connection.execute(f"ALTER ROLE {role} BYPASSRLS")
    assert take_backup(BackupRequest(replace(shop, user="night"), tmp_path)).entries > 0


@pytest.fixture
def make_role(cluster: Cluster, shop: Endpoint) -> Iterator[Callable[[str], str]]:
    """Make a role that may log in; it goes with the test. Returns its name as SQL reads it."""
    made: list[str] = []

    def make(name: str) -> str:
        quoted = '"' + name.replace('"', '""') + '"'
        with cluster.connect() as connection:
            connection.execute(f"CREATE ROLE {quoted} LOGIN")
        made.append(quoted)
        return quoted

    yield make
    for quoted in made:
        with cluster.connect(shop.database) as connection:
            connection.execute(f"DROP OWNED BY {quoted}; DROP ROLE {quoted}")


def test_too_little_room_is_told_before_anything_is_written(shop: Endpoint, tmp_path: Path) -> None:
    request = BackupRequest(shop, tmp_path)
    plan = plan_backup(request)
    check_room(request, plan)
    with pytest.raises(BackupFailed, match=r"MB free, and the backup of .* may need 1,000,000,000.0 MB"):
        check_room(request, replace(plan, estimate=10**15))


def test_the_estimate_learns_from_the_last_backup(cluster: Cluster, shop: Endpoint, tmp_path: Path) -> None:
    with cluster.connect(shop.database) as connection:
        connection.execute("CREATE TABLE same AS SELECT repeat('x', 200) AS x FROM generate_series(1, 100000)")
    request = BackupRequest(shop, tmp_path)
    before = plan_backup(request).estimate
    backup = take_backup(request)
    after = plan_backup(request).estimate
    assert backup.size < after < before


@pytest.mark.parametrize("folder", ["/proc/backups", "a-file/backups"])
def test_a_folder_that_cannot_be_written_is_exit_8(shop: Endpoint, tmp_path: Path, folder: str) -> None:
    (tmp_path / "a-file").touch()
    with pytest.raises(BackupFailed, match="nothing can be written to") as caught:
        take_backup(BackupRequest(shop, tmp_path / folder))
    assert caught.value.exit_code == 8
    assert "The database was not touched." in str(caught.value)


# a pg_dump that has begun its file, and goes on as long as the program is there
WAITING = 'for a; do case "$a" in --file=*) : > "${a#--file=}";; esac; done; while [ -e "$0" ]; do sleep 0.1; done'

TAKE = """
import sys
from pathlib import Path
from alembic_safe.database.endpoint import Endpoint
from alembic_safe.deploying.backup import BackupRequest, take_backup
from alembic_safe.errors import SafeError
port, database, folder, pg_bin = sys.argv[1:]
try:
    take_backup(BackupRequest(Endpoint("127.0.0.1", int(port), "postgres", database), Path(folder), pg_bin=pg_bin or None,
                              on_progress=lambda size, estimate: print("written", size, flush=True)))
except SafeError as error:
    print(error, flush=True)
    sys.exit(error.exit_code)
"""


def test_a_full_disk_leaves_nothing_behind(cluster: Cluster, shop: Endpoint, tmp_path: Path) -> None:
    with cluster.connect(shop.database) as connection:
        connection.execute("CREATE TABLE noise AS SELECT md5(random()::text) AS x FROM generate_series(1, 50000)")
    limit = 200_000  # bytes that one file may have
    done = subprocess.run(
        [sys.executable, "-c", TAKE, str(cluster.port), shop.database, str(tmp_path / "b"), ""],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 8, done.stdout + done.stderr
    assert "No backup: pg_dump stopped" in done.stdout
    assert leftovers(tmp_path / "b") == []


def taking(
    place: Endpoint, folder: Path, *, code: str = TAKE, stdin: str = "", pg_bin: Path | None = None
) -> warm.Started:
    """Start a process that takes a backup and tells of its progress."""
    words = ["-c", code, str(place.port), place.database, str(folder), str(pg_bin or "")]
    return warm.Started(words, Path.cwd(), os.environ, stdin=stdin)


@pytest.mark.parametrize(("number", "rows"), [(signal.SIGINT, 0), (signal.SIGTERM, 1_500_000)])
def test_a_signal_ends_pg_dump_and_removes_the_half(
    cluster: Cluster, shop: Endpoint, tmp_path: Path, number: signal.Signals, rows: int
) -> None:
    """In the middle of its rows, and where it waits for something."""
    if not rows:
        wrapped_program(tmp_path, "pg_dump", WAITING)
    with cluster.connect(shop.database) as connection:
        connection.execute(BULK.format(rows))
        process = taking(shop, tmp_path / "b", pg_bin=None if rows else tmp_path)
        assert process.line().startswith("written")
        assert [name for name in leftovers(tmp_path / "b") if name.endswith(".dump.partial")]
        process.send_signal(number)
        said, _ = process.communicate(PATIENCE)
        assert process.returncode == 130, said
        assert "unfinished file was removed" in said
        assert leftovers(tmp_path / "b") == []
        at_work = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_dump' AND state = 'active'"
        eventually(lambda: connection.execute(at_work).fetchone() == (0,))


def test_what_a_killed_run_left_goes_with_the_next_one(shop: Endpoint, tmp_path: Path) -> None:
    wrapped_program(tmp_path, "pg_dump", WAITING)
    folder = tmp_path / "b"
    process = taking(shop, folder, pg_bin=tmp_path)
    assert process.line().startswith("written")
    at_work = take_backup(BackupRequest(shop, folder, scope="affected", tables=(("public", "users"),)))
    running = [name for name in leftovers(folder) if name.endswith(".partial")]
    process.kill()
    process.communicate(PATIENCE)
    (tmp_path / "pg_dump").unlink()  # what it started outlives it, and ends now
    assert len(running) == 1, "the other run's unfinished file was taken away from it"
    others = folder / "other-20250101-000000-a1.dump.partial"
    others.touch()
    backup = take_backup(BackupRequest(shop, folder))
    left = {name for name in leftovers(folder) if not name.endswith(".json")}
    assert left == {Path(at_work.location).name, Path(backup.location).name, others.name}


def test_a_table_that_stays_locked_ends_the_wait(cluster: Cluster, shop: Endpoint, tmp_path: Path) -> None:
    with cluster.connect(shop.database, autocommit=False) as holder:
        holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(BackupFailed, match="a table stayed locked for 1 s"):
            take_backup(BackupRequest(shop, tmp_path, lock_wait=1))
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            '"$real" "$@"; for a; do case "$a" in --file=*) truncate -s 600 "${a#--file=}";; esac; done',
            "cannot be read back",
        ),
        ('exec "$real" "$@" --exclude-table=users', 'lacks "public"."users"'),
        ('exec "$real" "$@" --exclude-table-data=countries', 'lacks "public"."countries"'),
        ("exit 0", "cannot be read back"),
        ("echo broken >&2; exit 3", "broken"),
    ],
)
def test_a_dump_that_is_not_whole_gets_no_name(shop: Endpoint, tmp_path: Path, body: str, said: str) -> None:
    (tmp_path / "bin").mkdir()
    wrapped_program(tmp_path / "bin", "pg_dump", body)
    with pytest.raises(BackupFailed, match=said):
        take_backup(BackupRequest(shop, tmp_path / "b", pg_bin=str(tmp_path / "bin")))
    assert leftovers(tmp_path / "b") == []


def test_no_fitting_program_is_told_with_every_one_looked_at(tmp_path: Path) -> None:
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n")
    old.chmod(0o755)
    with pytest.raises(Missing) as caught:
        find_program("pg_dump", 99, pg_bin=str(tmp_path))
    text = str(caught.value)
    assert f"{old} (pg_bin): version 9.6.24, too old" in text
    assert text.count("(the embedded server's): version") == 2
    assert "postgresql-client-99" in text
    assert "ALEMBIC_SAFE_PG_BIN" in text


def test_the_program_of_the_same_major_version_is_preferred() -> None:
    assert [find_program("pg_dump", major).major for major in (16, 18)] == [16, 18]
    assert find_program("pg_dump", 17).major in (17, 18)


def test_an_encrypted_way_is_not_handed_to_a_program_that_cannot_encrypt() -> None:
    with pytest.raises(Missing, match="cannot encrypt"):
        find_program("pg_dump", 99, tls=True)


def test_a_folder_named_by_pg_bin_wins(tmp_path: Path) -> None:
    wrapped_program(tmp_path, "pg_dump", 'exec "$real" "$@"')
    assert find_program("pg_dump", VERSION, pg_bin=str(tmp_path)).path == tmp_path / "pg_dump"
    assert find_program("pg_dump", VERSION, pg_bin=str(tmp_path / "nothing")).major == VERSION


def test_only_older_backups_of_the_same_database_and_scope_are_removed(
    shop: Endpoint, make_database: Callable[..., str], tmp_path: Path
) -> None:
    other = take_backup(BackupRequest(shop.with_database(make_database()), tmp_path))
    part = take_backup(BackupRequest(shop, tmp_path, scope="affected", tables=(("public", "users"),)))
    first, foreign, damaged, third, fourth = (take_backup(BackupRequest(shop, tmp_path)) for _ in range(5))
    sidecar_of(Path(foreign.location)).unlink()
    with Path(damaged.location).open("ab") as file:
        file.write(b"!")
    removed = remove_older(tmp_path, shop, fourth, keep=2)
    assert removed == [Path(first.location)]
    stay = {Path(b.location).name for b in (other, part, foreign, damaged, third, fourth)}
    assert {name for name in leftovers(tmp_path) if name.endswith(".dump")} == stay
    assert not sidecar_of(Path(first.location)).exists()
    assert remove_older(tmp_path, shop, fourth, keep=2) == []


def test_a_part_holds_the_rows_that_its_rows_need(shop: Endpoint, tmp_path: Path) -> None:
    backup = take_backup(BackupRequest(shop, tmp_path, scope="affected", tables=(("public", "orders"),)))
    names = {name for _, name in backup.tables}
    assert names == {"countries", "users", "orders_2025", "orders_2026"}
    contents = listed(backup.location)
    assert "TABLE audit visits" in contents
    assert "TABLE DATA audit visits" not in contents
    with pytest.raises(BackupFailed, match=r'"public"\."nowhere", which the database does not have'):
        take_backup(BackupRequest(shop, tmp_path, scope="affected", tables=(("public", "nowhere"),)))


def test_a_command_of_ones_own_is_told_what_to_back_up(shop: Endpoint, tmp_path: Path) -> None:
    script = tmp_path / "snap shot.sh"
    script.write_text(
        f"#!/bin/sh\nenv | grep ^ALEMBIC_SAFE_BACKUP_ | sort > '{tmp_path}/said'\necho taking \"$1\"\necho snap-0042\n"
    )
    script.chmod(0o755)
    backup = take_backup(BackupRequest(shop, tmp_path / "b", heads=("a3",), command=f"'{script}' 'one $HOME arg'"))
    assert (backup.location, backup.path, backup.sha256) == ("snap-0042", None, "")
    said = (tmp_path / "said").read_text().splitlines()
    assert f"ALEMBIC_SAFE_BACKUP_DATABASE={shop.database}" in said
    assert "ALEMBIC_SAFE_BACKUP_HOST=127.0.0.1" in said
    assert "ALEMBIC_SAFE_BACKUP_REVISION=a3" in said
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("command", "said"), [("sh -c 'echo no room >&2; exit 4'", "no room"), ("/nowhere/snapshot", "cannot be run")]
)
def test_a_command_of_ones_own_that_fails_is_exit_8(shop: Endpoint, tmp_path: Path, command: str, said: str) -> None:
    with pytest.raises(BackupFailed, match=said) as caught:
        take_backup(BackupRequest(shop, tmp_path, command=command))
    assert caught.value.exit_code == 8


@pytest.mark.parametrize("when", ["it waits for its own child", "it has only just been started"])
def test_a_child_of_ones_own_command_does_not_outlive_a_signal(
    cluster: Cluster, database: str, tmp_path: Path, when: str
) -> None:
    mark = tmp_path / "pid"
    at_once = "kill -TERM $PPID;" if "just" in when else ""
    command = f"sh -c '{at_once} sleep 600 & echo $! > {mark}.new; mv {mark}.new {mark}; wait'"
    code = TAKE.replace("Path(folder),", "Path(folder), command=sys.stdin.read(),")
    process = taking(endpoint_of(cluster, database), tmp_path, code=code, stdin=command)
    if not at_once:
        eventually(lambda: mark.exists() or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
    process.communicate(PATIENCE)
    assert process.returncode == 130
    if at_once and not mark.exists():
        return  # it was ended before it had a child
    state = Path(f"/proc/{mark.read_text().strip()}/stat")
    # a killed process is gone when its parent has seen it
    eventually(lambda: not state.exists() or state.read_text().split()[2] == "Z")
