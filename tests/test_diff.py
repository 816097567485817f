"""Does safe-diff tell what is different between any two sides, and write to none of them?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine, pool

from alembic_safe.commands import load
from alembic_safe.errors import WrongUsage
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.comparison import compare
from tests.guard_targets import Made
from tests.hand_edits import SCHEMA
from tests.project import ENV_PY, Project

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster import Cluster

MODELS = """\
import sqlalchemy as sa

metadata = sa.MetaData()
sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(40), nullable=False),
         sa.Column("mail", sa.Text), sa.CheckConstraint("length(name) > 1", name="name_is_long"))
sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True),
         sa.Column("user_id", sa.ForeignKey("users.id"), index=True),
         sa.Column("state", sa.Enum("open", "paid", name="order_state"), nullable=False))
"""


def seldom(*values: str) -> object:
    """Return a parameter of the long suite."""
    return pytest.param(*values, marks=pytest.mark.long)


@pytest.fixture
def made(cluster: Cluster, database: str) -> Made:
    return Made(cluster, database)


@pytest.fixture
def shop(project: Project) -> Project:
    """The project with models; its database at a2, with rows."""
    (project.folder / "migrations" / "env.py").write_text(
        "import pathlib, runpy\nfrom logging import getLogger\n"
        + ENV_PY.replace(
            "target_metadata = None",
            "target_metadata = runpy.run_path(str(pathlib.Path(config.config_file_name).parent / 'models.py'))['metadata']",
        )
    )
    (project.folder / "models.py").write_text(MODELS)
    command.upgrade(project.config, "a2")
    return project


def diff(project: Project, capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> str:
    """Return what safe-diff prints."""
    capsys.readouterr()
    assert (load("safe-diff").main(list(args), obj=project.config, standalone_mode=False) or 0) == code
    return capsys.readouterr().out


def test_the_summary_says_what_comes_changes_and_goes_with_risk_and_rows(
    shop: Project, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    with made.connect() as c:
        c.execute("INSERT INTO users (name) SELECT 'ada' FROM generate_series(1, 1200); CREATE TABLE old (id int)")
    said = diff(shop, capsys)
    assert "+ column public.users.mail" in said
    assert "+ table public.orders" in said
    assert "~ column public.users.name: type: text -> character varying(40)" in said
    assert "- table public.old   (its rows go; 0 rows)" in said
    assert "fails where there are NULLs" in said
    assert "1,200 rows" in said
    assert said.endswith("Nothing was changed.\n")


@pytest.mark.long
def test_between_two_revisions_no_database_of_the_project_is_needed_to_be_there(
    shop: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "+ column public.users.mail" in diff(shop, capsys, "--from", "a2", "--to", "head")
    assert "- column public.users.mail   (its values go)" in diff(shop, capsys, "--from", "a3", "--to", "a2")
    assert "There is no difference." in diff(shop, capsys, "--from", "a2", "--to", "database")


def test_the_exit_code_is_4_on_a_difference_only_when_asked_for(
    shop: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    diff(shop, capsys, "--from", "a2", "--to", "a3", code=0)
    diff(shop, capsys, "--from", "a2", "--to", "a3", "--exit-code", code=4)
    diff(shop, capsys, "--from", "a2", "--to", "database", "--exit-code", code=0)


@pytest.mark.parametrize(
    ("start", "end"), [("empty", "a4"), ("a4", "a1"), seldom("database", "a4"), seldom("a4", "empty")]
)
def test_the_sql_makes_the_one_side_into_the_other(
    start: str, end: str, shop: Project, make_database: Callable[..., str], cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    shop.revision("a4", "a3", "shops", SCHEMA)
    script = diff(shop, capsys, "--from", start, "--to", end, "--sql")
    here, there = Made(cluster, make_database()), Made(cluster, make_database())
    for side, place in ((start, here), (end, there)):
        if side != "empty":
            config = shop.config
            config.set_main_option("sqlalchemy.url", cluster.url(place.name))
            command.upgrade(config, "a2" if side == "database" else side)
    with here.connect() as c:
        c.execute(script)
    assert differences(here, there) == []


@pytest.mark.parametrize(
    ("start", "end"), [("a2", "models"), ("a4", "a2"), seldom("empty", "models"), seldom("database", "a4")]
)
def test_the_operations_make_the_one_side_into_the_other(
    start: str, end: str, shop: Project, make_database: Callable[..., str], cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    shop.revision("a4", "a3", "shops", SCHEMA)
    body = diff(shop, capsys, "--from", start, "--to", end, "--ops")
    assert ("op.retire_table(" if end == "a2" else "op.create_table(") in body
    here, there = Made(cluster, make_database()), Made(cluster, make_database())
    config = shop.config
    if start != "empty":
        config.set_main_option("sqlalchemy.url", cluster.url(here.name))
        command.upgrade(config, "a2" if start == "database" else start)
    apply(cluster.url(here.name), body)
    if end == "models":
        namespace: dict[str, object] = {}
        exec(MODELS, namespace)
        engine = create_engine(cluster.url(there.name), poolclass=pool.NullPool)
        namespace["metadata"].create_all(engine)
        engine.dispose()
    else:
        config.set_main_option("sqlalchemy.url", cluster.url(there.name))
        command.upgrade(config, end)
    assert differences(here, there) == []


def apply(url: str, body: str) -> None:
    """Run the body of an upgrade()."""
    import sqlalchemy as sa

    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        from sqlalchemy.dialects import postgresql

        exec(body, {"op": operations, "sa": sa, "postgresql": postgresql})
    engine.dispose()


def differences(here: Made, there: Made) -> list[str]:
    leave_out = frozenset({"alembic_version"})
    with here.connect() as left, there.connect() as right:
        return [
            str(one)
            for one in compare(read_catalog(left, leave_out=leave_out), read_catalog(right, leave_out=leave_out))
        ]


@pytest.mark.parametrize("form", ["plain", "custom"])
def test_a_file_of_pg_dump_is_a_side_and_equals_the_database_it_was_taken_of(
    form: str, shop: Project, made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], cluster: Cluster
) -> None:
    shop.revision("a4", "a3", "shops", SCHEMA)
    command.upgrade(shop.config, "head")
    with made.connect() as c:
        c.execute("INSERT INTO users (name) VALUES ('a;b')")
    file = tmp_path / ("shop.sql" if form == "plain" else "shop.dump")
    cluster.run("pg_dump", "-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres", f"--format={form}",
                "-f", f"/tmp/{made.name}", made.name)  # fmt: skip
    out = Path(f"/tmp/{made.name}")  # the server's user writes it
    file.write_bytes(out.read_bytes())
    out.unlink()
    assert "There is no difference." in diff(shop, capsys, "--from", str(file), "--to", "database")
    with made.connect() as c:
        c.execute("DROP VIEW cheap")
    assert "- view public.cheap" in diff(shop, capsys, "--from", str(file), "--to", "database")


def test_a_script_that_is_no_dump_runs_nothing_but_sql(
    shop: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = tmp_path / "ran"
    file = tmp_path / "evil.sql"
    file.write_text(f"\\! touch {mark}\nCREATE ROLE evil_role;\nCREATE TABLE a (id int);\nDROP DATABASE postgres;\n")
    assert "+ table public.a" in diff(shop, capsys, "--from", "empty", "--to", str(file))
    assert not mark.exists()
    file.write_text("CREATE TABEL a (id int);")
    with pytest.raises(WrongUsage, match="could not be loaded"):
        diff(shop, capsys, "--from", "empty", "--to", str(file))


def test_a_url_is_a_side_and_its_password_is_never_shown(
    shop: Project, made: Made, make_database: Callable[..., str], cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_database(template=made.name)
    url = cluster.url(other).replace("postgres@", "postgres:secret@")
    assert "There is no difference." in diff(shop, capsys, "--from", "database", "--to", url)
    with cluster.connect(other) as c:
        c.execute("CREATE INDEX x ON users (name); ALTER TABLE users OWNER TO pg_monitor")
    said = diff(shop, capsys, "--from", "database", "--to", url)
    assert "+ index public.x   (writes wait while it is built; 0 rows)" in said
    assert "owner: postgres -> pg_monitor" in said
    assert "secret" not in said
    assert "secret" not in diff(shop, capsys, "--from", "database", "--to", url, "--json")


@pytest.mark.long
def test_nothing_is_written_to_the_databases_that_are_compared(
    shop: Project, made: Made, make_database: Callable[..., str], cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Made(cluster, make_database(template=made.name))
    begins = [one.log_everything() for one in (made, other)]
    url = cluster.url(other.name)
    diff(shop, capsys, "--from", "database", "--to", "models")
    diff(shop, capsys, "--from", "head", "--to", "database", "--sql")
    diff(shop, capsys, "--from", "database", "--to", url, "--json")
    diff(shop, capsys, "--from", url, "--to", "models", "--ops")
    shadows = ("CREATE DATABASE", "COMMENT ON DATABASE", "DROP DATABASE", "ALTER DATABASE")
    for one, begin in zip((made, other), begins, strict=True):
        mine = [sql for sql in one.writes_since(begin) if not sql.startswith(shadows)]
        assert [sql for sql in mine if one.name in sql] == []


def test_the_json_says_everything_and_a_file_takes_it(
    shop: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "diff.json"
    assert diff(shop, capsys, "--from", "a2", "--to", "a3", "--json", "-o", str(file)) == ""
    found = json.loads(file.read_text())
    (change,) = found["changes"]
    assert (change["sign"], change["object"], change["kind"]) == ("+", "column public.users.mail", "column")
    assert "ADD COLUMN" in change["sql"]
    assert found["from"]["kind"] == found["to"]["kind"] == "files"


@pytest.mark.parametrize(
    "word",
    ["host=127.0.0.1 password=s3cret", "postgresql:/app:s3cret@127.0.0.1/shop", "mysql://app:s3cret@127.0.0.1/shop"],
)
def test_what_may_hold_a_password_is_not_told_again(
    word: str, shop: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WrongUsage, match="no such thing to compare") as caught:
        diff(shop, capsys, "--from", word, "--to", "models")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("word", ["nothing-of-that-name", "missing.sql", "mysql//x"])
def test_what_is_no_side_is_told_with_what_would_be(
    word: str, shop: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WrongUsage, match="no such thing to compare") as caught:
        diff(shop, capsys, "--from", word, "--to", "models")
    assert caught.value.exit_code == 2
