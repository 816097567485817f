"""Five pushes and one milestone on the shop, and runs that are killed in the middle of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.comparison import compare
from alembic_safe.inspecting.retired import read_retired
from tests.patience import eventually
from tests.project import Project
from tests.shadows import no_shadow_stays
from tests.test_milestone import PUSH, V2, app, begun, name, rows, version  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster import Cluster
    from tests.models_project import ModelsProject

SAMPLE = Path(__file__).parents[1] / "sample_project"
WALK = '''
"""What five pushes make of version 1, one after the other."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Enum, Identity, Text, UniqueConstraint

from shop.models import v1
from shop.models.draft import by_name


def tables(step):
    drafts = by_name(v1.tables())
    drafts["customers"].rename("phone", "telephone")
    if step >= 2:
        drafts["customers"].remove("marketing_opt_in")
    if step >= 3:
        drafts["customers"].add(Column("locale", Text, nullable=False, comment="BCP 47"))
    if step >= 4:
        drafts["addresses"].replace(
            "kind", Column("kind", Enum("shipping", "pickup", "billing", name="address_kind"), nullable=False)
        )
        drafts["tax_rates"].remove("rate_is_a_percentage")
        drafts["tax_rates"].add(CheckConstraint("rate >= 0 AND rate <= 50", name="rate_is_a_percentage"))
    if step >= 5:
        rates = drafts["tax_rates"]
        for name in ("country_code", "category", "valid_from"):
            rates.column(name).primary_key = False
            rates.column(name).nullable = False
        rates.add(Column("id", BigInteger, Identity(always=True), primary_key=True, info={"at_once": True}),
                  UniqueConstraint("country_code", "category", "valid_from"))
    return list(drafts.values())
'''
INIT = """

from functools import partial
from types import SimpleNamespace

from shop.models import walk

VERSIONS |= {f"p{step}": SimpleNamespace(tables=partial(walk.tables, step)) for step in range(1, 6)}
"""
PUSHES = (
    ("p1", ("--rename", "customers.phone:telephone")),
    ("p2", ("--accept", "drop-column:customers.marketing_opt_in")),
    ("p3", ("--fill", "customers.locale='en'")),
    ("p4", ()),
    ("p5", ()),
)
ROWS = {
    "customers": "SELECT id, email, telephone, locale FROM customers ORDER BY id",
    "addresses": "SELECT * FROM addresses ORDER BY id",
    "tax_rates": "SELECT country_code, category, valid_from, rate FROM tax_rates ORDER BY 1, 2, 3",
}


def catalog(cluster: Cluster, database: str):  # type: ignore[no-untyped-def]
    with cluster.connect(database) as connection:
        return read_catalog(connection, leave_out=frozenset({"alembic_version"}))


@pytest.mark.long
def test_five_pushes_and_one_milestone_on_the_shop(
    cluster: Cluster, make_database: Callable[..., str], tmp_path: Path
) -> None:
    shop = tmp_path / "shop"
    shutil.copytree(SAMPLE, shop, ignore=shutil.ignore_patterns("__pycache__"))
    (shop / "shop" / "models" / "walk.py").write_text(WALK)
    with (shop / "shop" / "models" / "__init__.py").open("a") as file:
        file.write(INIT)
    dev = make_database()
    project = Project(shop, cluster.url(dev), {"DATABASE_URL": cluster.url(dev)})
    project.run("upgrade", "head", check=0)
    subprocess.run(
        [sys.executable, "-m", "shop.generate", "--rows", "2000"], cwd=shop, check=True, capture_output=True,
        env=os.environ | project.environ,
    )  # fmt: skip
    older = make_database(template=dev)
    before = {table: rows(cluster, dev, f"SELECT count(*) FROM {table}") for table in ROWS}
    opted = rows(cluster, dev, "SELECT count(*) FROM customers WHERE marketing_opt_in IS NOT NULL")
    assert opted[0][0] > 10
    for models, words in PUSHES:
        done = project.run("dev-push", *words, SHOP_MODELS=models)
        assert done.returncode == 0, f"{models}: {done.stdout}\n{done.stderr}"
    pushed = {table: rows(cluster, dev, query) for table, query in ROWS.items()}
    assert "milestone" in project.run("check", SHOP_MODELS="p5", check=4).stderr

    done = project.run("milestone", "-m", "What five pushes made of the shop", SHOP_MODELS="p5")
    files = sorted((shop / "migrations" / "versions").glob("*.py"), key=lambda path: path.stat().st_mtime_ns)
    rejected = [path.read_text() for path in (shop / "migrations").glob("rejected/*")]
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{rejected}"
    assert len(files) == 1 + len(list((SAMPLE / "migrations" / "versions").glob("*.py")))
    assert "\n    op.alter_column('customers', 'phone', new_column_name='telephone')" in files[-1].read_text()

    assert {table: rows(cluster, dev, query) for table, query in ROWS.items()} == pushed
    assert {table: rows(cluster, dev, f"SELECT count(*) FROM {table}") for table in ROWS} == before
    other = Project(shop, cluster.url(older), {"DATABASE_URL": cluster.url(older)})
    other.run("upgrade", "head", SHOP_MODELS="p5", check=0)
    assert {table: rows(cluster, older, query) for table, query in ROWS.items()} == pushed
    assert compare(catalog(cluster, dev), catalog(cluster, older)) == ()
    for one in (project, other):
        assert "No new upgrade operations" in one.run("check", SHOP_MODELS="p5", check=0).stdout
    for database in (dev, older):
        with cluster.connect(database) as connection:
            kept = [one.record for one in read_retired(connection) if one.record is not None]
        assert [(one.column, one.rows) for one in kept] == [("marketing_opt_in", opted[0][0])]
    no_shadow_stays(cluster)


@pytest.mark.long
@pytest.mark.parametrize("line", ["Target", "Built", "Found", "Proved", "downgrade and up", "equal to"])
def test_a_milestone_that_is_killed_leaves_all_of_it_or_nothing(
    app: ModelsProject,  # noqa: F811
    cluster: Cluster,
    line: str,
) -> None:
    app.models(V2)
    app.run(*PUSH, check=0)
    before = version(cluster, name(app))
    killed_at(app, line)
    whole = len(app.files) == 2
    stamped = version(cluster, name(app)) != before
    done = app.run("milestone", "-m", "after", check=0)
    assert len(app.files) == 2, done.stdout
    assert version(cluster, name(app)) == [app.revision_of(app.files_by_time[-1])]
    if stamped:
        assert whole
        assert "no revision was needed" in done.stdout
    assert [path.name for path in (app.folder / "migrations").iterdir() if path.name.startswith(".milestone")] == []
    no_shadow_stays(cluster)
    app.run("check", check=0)


def killed_at(app: ModelsProject, line: str) -> None:  # noqa: F811
    """Run a milestone and kill it as soon as it has printed a line."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "alembic", "milestone", "-m", "killed"], cwd=app.folder, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    with process:
        for said in process.stdout:
            if line in said:
                process.send_signal(signal.SIGKILL)
                break
        else:
            pytest.fail(f"it ended without a line on {line}")
    assert process.returncode == -signal.SIGKILL


@pytest.mark.long
def test_killed_between_the_files_and_the_commit_nothing_stays(app: ModelsProject, cluster: Cluster) -> None:  # noqa: F811
    app.models(V2)
    app.run(*PUSH, check=0)
    before = version(cluster, name(app))
    folder = app.folder / "migrations" / "versions"
    # a commit that waits: a deferred trigger of the database's own holds it until the process is gone
    with cluster.connect(name(app)) as connection:
        connection.execute(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(600); RETURN NULL; END$$;"
            " CREATE CONSTRAINT TRIGGER wait AFTER INSERT OR UPDATE ON alembic_version DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION wait()"
        )
        # what the version table carries is no part of the comparison; a function is, so it lives elsewhere
        connection.execute("ALTER FUNCTION wait() SET SCHEMA alembic_safe")
    process = subprocess.Popen(
        [sys.executable, "-m", "alembic", "milestone", "-m", "killed"], cwd=app.folder, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(lambda: list(folder.glob("*killed*.py")) or process.poll() is not None)
    assert process.poll() is None, "it ended before its file came"
    process.kill()
    process.wait()
    with cluster.connect(name(app)) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )
        connection.execute("DROP TRIGGER wait ON alembic_version; DROP FUNCTION alembic_safe.wait()")
    assert version(cluster, name(app)) == before
    done = app.run("milestone", "-m", "after", check=0)
    assert "Cleared" in done.stdout
    assert [path.name for path in folder.glob("*killed*.py")] == []
    assert len(app.files) == 2
    assert version(cluster, name(app)) == [app.revision_of(app.files_by_time[-1])]
