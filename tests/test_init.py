"""`alembic safe-init` as a user runs it, and what a wired environment then does on a real PostgreSQL."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import resource
import select
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.config import Config, main

from alembic_safe.authoring.wiring_fresh import TEMPLATES
from alembic_safe.settings import Settings
from tests import warm
from tests.patience import PATIENCE
from tests.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cluster import Cluster

PLACEHOLDER = "driver://user:pass@localhost/dbname"

ONE = """\
from alembic import op
import sqlalchemy as sa
revision, down_revision = "a1", None
def upgrade(name=""):
    op.create_table("things", sa.Column("id", sa.Integer, primary_key=True))
def downgrade(name=""):
    op.drop_table("things")
"""

MODELS = """
import sqlalchemy
target_metadata = sqlalchemy.MetaData()
sqlalchemy.Table("things", target_metadata, sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True))
"""

SEVERAL = ONE.replace('name=""', "engine_name")

# what hands connections over, in a process of its own: env.py configures logging
HANDING = """\
import sys
from alembic import command
from alembic.config import Config
from pytest_alembic.tests.experimental.downgrade_leaves_no_trace import WrappingConnection
from sqlalchemy import NullPool, create_engine

def hand(kind, urls):
    config = Config("alembic.ini", toml_file="pyproject.toml")
    engines = [create_engine(url, poolclass=NullPool) for url in urls]
    if kind == "engine":
        config.attributes["connection"] = engines[0]
    elif kind == "async engine":
        from sqlalchemy.ext.asyncio import create_async_engine
        url = urls[0].replace("psycopg", "asyncpg")
        config.attributes["connection"] = create_async_engine(url, poolclass=NullPool)
    elif kind == "dict":
        config.attributes["connection"] = dict(zip(["engine1", "engine2"], engines))
    else:
        with engines[0].connect() as connection:
            wrapped = WrappingConnection(connection) if kind == "wrapped" else connection
            config.attributes["connection"] = wrapped
            command.upgrade(config, "head")
            assert not connection.closed, "the caller's connection was closed"
        return
    command.upgrade(config, "head")

for handed in sys.argv[1:]:
    kind, _, urls = handed.partition("=")
    hand(kind, urls.split(","))
"""


@dataclass
class Done:
    """What a command printed, and how it ended."""

    stdout: str
    stderr: str
    returncode: int


@dataclass
class Terminal:
    """What a person saw, and how the command ended."""

    shown: str
    returncode: int


def on_a_terminal(folder: Path, *args: str, answer: str = "") -> Terminal:
    """Run ``alembic ARGS`` on a pseudo terminal, and type the answer when it asks."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "alembic", *args], cwd=folder, stdin=follower, stdout=follower, stderr=follower,
        env=os.environ | {"COLUMNS": "100"}, start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    shown, answered, until = b"", not answer, time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if not select.select([leader], [], [], 0.2)[0]:
            continue
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux says EIO when the last process of the terminal has gone
            break
        if not piece:
            break
        shown += piece
        if not answered and b"[y/N]" in shown:
            os.write(leader, answer.encode() + b"\n")
            answered = True
    os.close(leader)
    return Terminal(shown.decode().replace("\r\n", "\n"), process.wait(timeout=PATIENCE))


def stock(folder: Path, template: str, *urls: str) -> Project:
    """Make an environment with the stock ``alembic init``, one revision, and the URLs given."""
    folder.mkdir()
    project = Project(folder, urls[0])
    ini, pyproject = folder / "alembic.ini", folder / "pyproject.toml"
    location = folder / "migrations"
    with contextlib.redirect_stdout(io.StringIO()):
        command.init(Config(str(ini), toml_file=str(pyproject)), str(location), template=template)
    for path in (ini, pyproject):
        if path.exists():
            path.write_text(path.read_text().replace(str(location), "%(here)s/migrations"))
    text = ini.read_text().replace(PLACEHOLDER + "2", urls[-1]).replace(PLACEHOLDER, urls[0])
    ini.write_text(text)
    revision = folder / "migrations" / "versions" / "a1_things.py"
    revision.write_text(SEVERAL if template == "multidb" else ONE)
    (folder / "handing.py").write_text(HANDING)
    return project


def tables(cluster: Cluster, database: str) -> set[str]:
    with cluster.connect(database) as c:
        rows = c.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {name for (name,) in rows}


def hand_over(project: Project, **handed: list[str]) -> subprocess.CompletedProcess[str]:
    words = [f"{kind.replace('_', ' ')}={','.join(urls)}" for kind, urls in handed.items()]
    return subprocess.run(
        [sys.executable, "handing.py", *words], cwd=project.folder, capture_output=True, text=True, check=False
    )


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run ``alembic ARGS`` in this process: the whole command line, without the time that a new Python takes."""

    def go(folder: Path, *args: str, check: int | None = None) -> Done:
        monkeypatch.chdir(folder)
        capsys.readouterr()
        try:
            main(argv=list(args), prog="alembic")
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        out, err = capsys.readouterr()
        assert check in {None, code}, f"{args}: exit {code}\n{out}\n{err}"
        return Done(out, err, code)

    return go


DRIVERS = {"async": "postgresql+asyncpg", "pyproject_async": "postgresql+asyncpg"}
DONE = {"things", "alembic_version"}
EACH_TEMPLATE = [t if t in ("generic", "async") else pytest.param(t, marks=pytest.mark.long) for t in TEMPLATES]


@pytest.mark.parametrize("template", EACH_TEMPLATE)
def test_every_template_is_wired_and_then_upgrades_what_is_configured_or_what_is_handed_over(
    template: str, tmp_path: Path, cluster: Cluster, make_database: Callable[..., str], run: Callable[..., Done]
) -> None:
    databases = [make_database() for _ in range(2)]
    driver = DRIVERS.get(template, "postgresql+psycopg")
    project = stock(tmp_path / "app", template, *(cluster.url(name, driver=driver) for name in databases))
    run(project.folder, "safe-init", "--write", check=0)
    again = run(project.folder, "safe-init", check=0)
    assert "Nothing to change" in again.stdout

    kinds = ["dict"] if template == "multidb" else ["connection", "engine", "wrapped"]
    kinds += ["async_engine"] if "async" in template else []
    handed = {kind: [make_database() for _ in range(2)] for kind in kinds}
    done = hand_over(project, **{kind: [cluster.url(name) for name in names] for kind, names in handed.items()})
    assert done.returncode == 0, done.stderr
    for kind, (first, second) in handed.items():
        assert tables(cluster, first) == DONE, kind
        assert tables(cluster, second) == (DONE if template == "multidb" else set()), kind
    assert tables(cluster, databases[0]) == set(), "the configured database was touched"

    project.run("upgrade", "head", check=0)
    assert tables(cluster, databases[0]) == DONE
    assert tables(cluster, databases[1]) == (DONE if template == "multidb" else set())


@pytest.mark.long
def test_a_single_engine_handed_to_an_environment_for_several_databases_reaches_none_of_them(
    tmp_path: Path, cluster: Cluster, make_database: Callable[..., str], run: Callable[..., Done]
) -> None:
    configured, handed = [make_database(), make_database()], make_database()
    project = stock(tmp_path / "app", "multidb", *map(cluster.url, configured))
    run(project.folder, "safe-init", "--write", check=0)
    assert hand_over(project, engine=[cluster.url(handed)]).returncode != 0
    assert hand_over(project, dict=[cluster.url(handed)]).returncode != 0
    assert [tables(cluster, name) for name in configured] == [set(), set()]


def test_with_several_databases_a_failure_leaves_those_before_it_upgraded(
    tmp_path: Path, cluster: Cluster, make_database: Callable[..., str], run: Callable[..., Done]
) -> None:
    databases = [make_database(), make_database()]
    project = stock(tmp_path / "app", "multidb", *map(cluster.url, databases))
    run(project.folder, "safe-init", "--write", check=0)
    with cluster.connect(databases[1]) as c:
        c.execute("CREATE TABLE things (id int)")
    failed = project.run("upgrade", "head")
    assert failed.returncode != 0
    assert "DuplicateTable" in failed.stderr
    assert [tables(cluster, name) for name in databases] == [DONE, {"things"}]


def migration_tests(project: Project, url: str) -> subprocess.CompletedProcess[str]:
    (project.folder / "conftest.py").write_text(
        "import pytest, sqlalchemy\n\n\n@pytest.fixture\ndef alembic_engine():\n"
        f"    engine = sqlalchemy.create_engine({url!r}, poolclass=sqlalchemy.NullPool)\n"
        "    yield engine\n    engine.dispose()\n"
    )
    # what is tested here is where the tests run, not their standard output: no plugin of this run is inherited
    words = ["pytest", "-q", "--test-alembic", "-p", "no:cacheprovider", "-p", "no:xdist"]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    words += ["--alembic-tests-path", "conftest.py"]
    return warm.run(words, project.folder, environ, timeout=PATIENCE)


def test_a_migration_test_empties_the_development_database_before_the_wiring_and_never_after(
    tmp_path: Path, cluster: Cluster, make_database: Callable[..., str], run: Callable[..., Done]
) -> None:
    development, testing = make_database(), make_database()
    project = stock(tmp_path / "app", "generic", cluster.url(development))
    env = project.folder / "migrations" / "env.py"
    env.write_text(env.read_text().replace("target_metadata = None", MODELS))
    project.run("upgrade", "head", check=0)

    def fill() -> None:
        with cluster.connect(development) as c:
            c.execute("INSERT INTO things SELECT generate_series(1, 812)")

    def rows() -> int:
        with cluster.connect(development) as c:
            return c.execute("SELECT count(*) FROM things").fetchone()[0]

    fill()
    green = migration_tests(project, cluster.url(testing))
    assert green.returncode == 0, green.stdout
    assert rows() == 0
    assert tables(cluster, testing) == set()

    run(project.folder, "safe-init", "--write", check=0)
    fill()
    green = migration_tests(project, cluster.url(testing))
    assert green.returncode == 0, green.stdout
    assert rows() == 812
    assert tables(cluster, testing) == DONE


# --- the command itself


@pytest.fixture
def app(tmp_path: Path) -> Project:
    """A stock environment that nobody has wired, and that needs no database."""
    return stock(tmp_path / "app", "generic", PLACEHOLDER)


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_off_a_terminal_it_prints_a_patch_that_makes_what_write_makes(
    app: Project, newline: str, run: Callable[..., Done]
) -> None:
    env, ini = app.folder / "migrations" / "env.py", app.folder / "alembic.ini"
    for path in (env, ini):
        path.write_bytes(path.read_bytes().replace(b"\n", newline.encode()))
    ini.write_bytes(ini.read_bytes().rstrip())  # no line end at its end
    before = files_of(app.folder)

    done = subprocess.run([sys.executable, "-m", "alembic", "safe-init"], cwd=app.folder, capture_output=True, check=False,
                          stdin=subprocess.DEVNULL)  # fmt: skip
    assert done.returncode == 2
    assert b"alembic safe-init --write" in done.stderr
    assert files_of(app.folder) == before
    assert done.stdout.startswith(b"--- a/migrations/env.py")

    run(app.folder, "safe-init", "--write", check=0)
    written = files_of(app.folder)
    env.write_bytes(before["migrations/env.py"])
    ini.write_bytes(before["alembic.ini"])
    patched = subprocess.run(["git", "apply", "-"], cwd=app.folder, input=done.stdout, capture_output=True, check=False)
    assert patched.returncode == 0, patched.stderr
    assert files_of(app.folder) == written != before


def test_on_a_terminal_it_shows_the_diff_and_no_writes_nothing(app: Project) -> None:
    before = files_of(app.folder)
    seen = on_a_terminal(app.folder, "safe-init", answer="n")
    assert seen.returncode == 130
    assert seen.shown.startswith("Target")
    assert "Found    env.py    one database\n         history   1 revision file\n" in seen.shown
    assert '+    connectable = config.attributes.get("connection") or engine_from_config(' in seen.shown
    assert seen.shown.rstrip().endswith("Nothing was made. No database was touched.")
    assert files_of(app.folder) == before


MODELS_STEP = "name your models "
PHASES_STEP = "split renames and removals into phases"


def test_what_env_py_still_lacks_is_said_until_it_is_there(app: Project, run: Callable[..., Done]) -> None:
    said = run(app.folder, "safe-init", "--write", check=0).stdout
    assert "env.py: target_metadata = Base.metadata" in said
    assert "process_revision_directives=alembic_safe.rewriter)" in said
    assert said.index(MODELS_STEP) < said.index(PHASES_STEP) < said.index("alembic safe-guard")
    env = app.folder / "migrations" / "env.py"
    text = env.read_text().replace("target_metadata = None", "from models import target_metadata")
    env.write_text(text)
    said = run(app.folder, "safe-init", check=0).stdout
    assert (MODELS_STEP in said, PHASES_STEP in said) == (False, True)
    hook = "target_metadata=target_metadata, process_revision_directives={}"
    env.write_text(text.replace("target_metadata=target_metadata", hook.format("mine")))
    said = run(app.folder, "safe-init", check=0).stdout
    assert "process_revision_directives=alembic_safe.rewriter.chain(yours))" in said
    env.write_text(text.replace("target_metadata=target_metadata", hook.format("alembic_safe.rewriter")))
    said = run(app.folder, "safe-init", check=0).stdout
    assert (MODELS_STEP in said, PHASES_STEP in said) == (False, False)


def test_on_a_terminal_yes_writes_and_a_second_run_asks_nothing(app: Project) -> None:
    seen = on_a_terminal(app.folder, "safe-init", answer="y")
    assert seen.returncode == 0, seen.shown
    assert "Next" in seen.shown
    assert seen.shown.rstrip().endswith("No database was touched.")
    written = files_of(app.folder)
    again = on_a_terminal(app.folder, "safe-init")
    assert (again.returncode, "Nothing to change" in again.shown, "[y/N]" in again.shown) == (0, True, False)
    assert files_of(app.folder) == written


def test_the_settings_written_are_settings_that_are_read(app: Project, run: Callable[..., Done]) -> None:
    run(app.folder, "safe-init", "--write", check=0)
    settings = Settings.load(Config(str(app.folder / "alembic.ini")), environ={})
    assert settings.found == ("[alembic_safe] in alembic.ini",)
    assert settings == Settings(found=settings.found), "a first section changes no default"


def test_a_pyproject_beside_alembic_ini_takes_the_settings(app: Project, run: Callable[..., Done]) -> None:
    (app.folder / "pyproject.toml").write_text('[project]\nname = "shop"  # kept\n')
    ini = (app.folder / "alembic.ini").read_bytes()
    run(app.folder, "safe-init", "--write", check=0)
    assert (app.folder / "alembic.ini").read_bytes() == ini
    settings = Settings.load(Config(str(app.folder / "alembic.ini")), environ={})
    assert settings.found == ("[tool.alembic_safe] in pyproject.toml",)


def test_settings_that_are_there_stay_where_they_are(app: Project, run: Callable[..., Done]) -> None:
    (app.folder / "pyproject.toml").write_text("")
    app.settings("environment = development")
    before = (app.folder / "alembic.ini").read_bytes()
    run(app.folder, "safe-init", "--write", check=0)
    assert (app.folder / "alembic.ini").read_bytes() == before
    assert (app.folder / "pyproject.toml").read_text() == ""


def test_a_files_mode_stays_and_a_symbolic_link_stays_a_link(
    app: Project, tmp_path: Path, run: Callable[..., Done]
) -> None:
    env, real = app.folder / "migrations" / "env.py", tmp_path / "real_env.py"
    env.rename(real)
    real.chmod(0o751)
    env.symlink_to(real)
    run(app.folder, "safe-init", "--write", check=0)
    assert env.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o751
    assert "attributes.get" in real.read_text()
    assert not list(tmp_path.glob(".*")), "a temporary file was left behind"
    assert not list(app.folder.rglob(".*.*"))


def test_an_unusual_env_py_is_named_with_the_lines_to_add_and_the_rest_is_done(
    app: Project, run: Callable[..., Done]
) -> None:
    env = app.folder / "migrations" / "env.py"
    env.write_text(env.read_text().replace("connectable.connect() as", "opened(connectable) as"))
    before = env.read_bytes()
    done = run(app.folder, "safe-init", "--write", check=4)
    assert env.read_bytes() == before
    assert re.search(r"migrations/env.py: line \d+: the connection is not opened by engine.connect\(\)", done.stdout)
    assert 'handed = context.config.attributes.get("connection")' in done.stdout
    assert done.stderr.rstrip().endswith("alembic.ini was written. No database was touched.")
    assert "[alembic_safe]" in (app.folder / "alembic.ini").read_text()
    run(app.folder, "safe-init", check=4)


def test_two_phase_commit_is_refused_and_nothing_is_written(tmp_path: Path, run: Callable[..., Done]) -> None:
    project = stock(tmp_path / "app", "multidb", PLACEHOLDER)
    env = project.folder / "migrations" / "env.py"
    env.write_text(env.read_text().replace("USE_TWOPHASE = False", "USE_TWOPHASE = True"))
    before = files_of(project.folder)
    done = run(project.folder, "safe-init", "--write", check=3)
    assert "USE_TWOPHASE = True" in done.stderr
    assert files_of(project.folder) == before
    env.write_text(env.read_text().replace("USE_TWOPHASE = True", "USE_TWOPHASE = False"))
    run(project.folder, "safe-init", "--write", check=0)


def test_without_an_environment_it_names_commands_that_make_one(tmp_path: Path, run: Callable[..., Done]) -> None:
    project = Project(tmp_path, "")
    done = run(project.folder, "safe-init", check=10)
    assert "alembic init migrations\n" in done.stderr
    assert "alembic safe-init --template generic\n" in done.stderr
    assert files_of(tmp_path) == {}
    run(tmp_path, "init", "migrations", check=0)
    run(project.folder, "safe-init", "--write", check=0)


@pytest.mark.parametrize("template", EACH_TEMPLATE)
def test_a_template_makes_a_fresh_environment_and_wires_it(
    template: str, tmp_path: Path, run: Callable[..., Done]
) -> None:
    project = Project(tmp_path, "")
    run(project.folder, "safe-init", "--template", template, check=2)
    assert files_of(tmp_path) == {}
    done = run(project.folder, "safe-init", "--template", template, "--write", check=0)
    assert "sqlalchemy.url" in done.stdout
    assert 'attributes.get("connection")' in (tmp_path / "migrations" / "env.py").read_text()
    found = Settings.load(Config(str(tmp_path / "alembic.ini"), toml_file=str(tmp_path / "pyproject.toml"))).found
    assert len(found) == 1
    assert ("pyproject.toml" in found[0]) == template.startswith("pyproject")
    assert "Nothing to change" in run(project.folder, "safe-init", check=0).stdout
    assert (
        "has an env.py already" in run(project.folder, "safe-init", "--template", template, "--write", check=2).stderr
    )


def test_a_missing_env_py_is_written_and_what_else_is_there_stays(app: Project, run: Callable[..., Done]) -> None:
    (app.folder / "migrations" / "env.py").unlink()
    before = files_of(app.folder)
    done = run(app.folder, "safe-init", check=10)
    assert "alembic safe-init --template generic\n" in done.stderr
    run(app.folder, "safe-init", "--template", "generic", "--write", check=0)
    after = files_of(app.folder)
    assert b"attributes.get" in after.pop("migrations/env.py")
    assert after.pop("alembic.ini").startswith(before.pop("alembic.ini"))
    assert after == before


def test_a_configured_folder_that_does_not_exist_is_named_in_the_command(
    tmp_path: Path, run: Callable[..., Done]
) -> None:
    (tmp_path / "alembic.ini").write_text(
        "[alembic]\nscript_location = %(here)s/db/my migrations\npath_separator = os\n"
    )
    project = Project(tmp_path, "")
    assert "alembic init 'db/my migrations'\n" in run(project.folder, "safe-init", check=10).stderr
    run(project.folder, "safe-init", "--template", "generic", "--write", check=0)
    assert (tmp_path / "db" / "my migrations" / "env.py").exists()


def test_the_command_that_applies_names_the_configuration_that_was_chosen(
    app: Project, run: Callable[..., Done]
) -> None:
    (app.folder / "alembic.ini").rename(app.folder / "other one.ini")
    done = run(app.folder, "-c", "other one.ini", "safe-init", check=2)
    assert "alembic -c 'other one.ini' safe-init --write\n" in done.stderr


def test_the_console_script_does_the_same(app: Project, run: Callable[..., Done]) -> None:
    assert app.run("safe-init", "--write", executable="alembic-safe", check=0).stdout.startswith("Target")
    assert "Nothing to change" in run(app.folder, "safe-init", check=0).stdout


def test_a_disk_that_is_full_is_named_and_nothing_is_half_done(app: Project) -> None:
    # the ini is the second of two files, and the larger one: env.py must not have been replaced either
    before = files_of(app.folder)
    room = len(before["migrations/env.py"]) + 1500
    assert len(before["alembic.ini"]) > room
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "safe-init", "--write"], cwd=app.folder, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    )  # fmt: skip
    assert done.returncode == 10, done.stderr
    assert "alembic.ini cannot be written: File too large." in done.stderr
    assert files_of(app.folder) == before


def test_grants_are_printed_as_sql_and_the_role_can_then_deploy(
    project: Project, cluster: Cluster, database: str, run: Callable[..., Done]
) -> None:
    run(project.folder, "upgrade", "a2", check=0)
    role = 'init "deploy"'
    before = run(project.folder, "current", check=0).stdout
    done = run(project.folder, "safe-init", "--grants", role, check=0)
    assert done.stdout.startswith("-- What a deploy role")
    assert 'CREATE ROLE "init ""deploy""" LOGIN;' in done.stdout
    assert run(project.folder, "current", check=0).stdout == before
    with cluster.connect(database) as c:
        assert c.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s", [role]).fetchone() == (0,)
        try:
            c.execute(done.stdout)
            again = run(project.folder, "safe-init", "--grants", role, check=0).stdout
            assert "GRANT CREATE ON DATABASE" not in again
            with cluster.connect(database, user=role) as mine:
                mine.execute("ALTER TABLE users ADD COLUMN later int")
        finally:
            c.execute('DROP OWNED BY "init ""deploy""" CASCADE')
            c.execute('DROP ROLE "init ""deploy"""')


def test_grants_need_a_database_that_can_be_reached_and_a_role_that_can_exist(
    tmp_path: Path, project: Project, run: Callable[..., Done]
) -> None:
    app = stock(tmp_path / "other", "generic", PLACEHOLDER)
    ini = app.folder / "alembic.ini"
    ini.write_text(ini.read_text().replace(PLACEHOLDER, "postgresql+psycopg://me:sesame@127.0.0.1:1/shop"))
    done = run(app.folder, "safe-init", "--grants", "deploy", check=10)
    assert "cannot be reached" in done.stderr
    assert "sesame" not in done.stderr + done.stdout
    run(project.folder, "safe-init", "--grants", "", check=2)
    run(project.folder, "safe-init", "--grants", "deploy", "--write", check=2)
