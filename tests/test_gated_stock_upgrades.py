"""What the gate makes of stock `alembic upgrade`, where the guard lets that run, and of `downgrade` on a half-done revision."""

from __future__ import annotations

import pytest

from tests.deploys import columns, heads, rows, safe_upgrade
from tests.phased import SETTLES, phase
from tests.project import ENV_PY, Project
from tests.test_gated_deploys import BACK, CONTRACT, EXPAND

PER_MIGRATION = ENV_PY.replace(
    "target_metadata=target_metadata)", "target_metadata=target_metadata, transaction_per_migration=True)", 1
)


@pytest.fixture(params=["one transaction", "one for each"])
def project(request, tmp_path, cluster, database):
    env_py = ENV_PY if request.param == "one transaction" else PER_MIGRATION
    project = Project.create(tmp_path / "app", cluster.url(database), plain=False, env_py=env_py)
    project.settings("environment = production\nstock_upgrade = warn\ncontract_min_age = 0")
    project.revision("a1", None, "users", 'op.create_table("users", sa.Column("id", sa.Integer, primary_key=True),'
                     ' sa.Column("fullname", sa.Text))', 'op.drop_table("users")')  # fmt: skip
    safe_upgrade(project, "--release", "v0")
    project.revision("e1", "a1", "names", EXPAND, BACK, extra=phase("expand", more=SETTLES))
    return project


def contract(project):
    project.revision("k1", "e1", "end", CONTRACT, extra=phase("contract"))


def upgrade(project, release, **kw):
    return project.run("upgrade", "head", ALEMBIC_SAFE_RELEASE=release, **kw)


def test_stock_upgrade_holds_the_contract_of_its_own_release_back(project, cluster, database):
    contract(project)
    done = upgrade(project, "v1", check=0)
    assert "k1, the contract of names, waits" in done.stderr
    assert heads(cluster, database) == ["e1"]
    upgrade(project, "v1", check=0)
    assert heads(cluster, database) == ["e1"]
    upgrade(project, "v2", check=0)
    assert heads(cluster, database) == ["k1"]
    written = rows(cluster, database, "SELECT revision, phase, change, release FROM alembic_safe.revisions ORDER BY id")
    assert [tuple(row.values()) for row in written[1:]] == [
        ("e1", "expand", "names", "v1"), ("k1", "contract", "names", "v2"),
    ]  # fmt: skip


def test_stock_upgrade_stops_before_anything_where_other_revisions_stand_behind(project, cluster, database):
    contract(project)
    project.revision("b1", "k1", "later", "pass")
    done = upgrade(project, "v1", check=4)
    assert "b1 (later)" in " ".join(done.stderr.split())
    assert "alembic upgrade e1" in done.stderr
    assert heads(cluster, database) == ["a1"]
    project.run("upgrade", "e1", ALEMBIC_SAFE_RELEASE="v1", check=0)
    upgrade(project, "v2", check=0)
    assert heads(cluster, database) == ["b1"]


def test_stock_upgrade_notes_an_expand_that_the_journal_does_not_know(project, cluster, database):
    rows(cluster, database, "ALTER TABLE users ADD name text; UPDATE alembic_version SET version_num = 'e1'")
    contract(project)
    upgrade(project, "v1", check=0)
    assert rows(cluster, database, "SELECT revision, release FROM alembic_safe.sightings") == [
        {"revision": "e1", "release": "v1"}
    ]
    upgrade(project, "v2", check=0)
    assert heads(cluster, database) == ["k1"]


def test_a_downgrade_is_refused_while_a_revision_is_half_done(tmp_path, cluster, database):
    project = Project.create(tmp_path / "dev", cluster.url(database))
    project.settings("environment = development")
    project.revision(
        "b1", "a3", "half",
        'with op.step("one"):\n    op.create_table("ones", sa.Column("id", sa.Integer), if_not_exists=True)\n'
        'with op.step("two"):\n    op.execute("SELECT 1 / 0")',
        'op.drop_table("ones", if_exists=True)',
    )  # fmt: skip
    safe_upgrade(project, check=7)
    refused = project.run("downgrade", "-1", check=3)
    assert "b1 is half done (done: one)" in " ".join(refused.stderr.split())
    assert "alembic safe-upgrade --back-out" in refused.stderr
    assert columns(cluster, database, "ones") == ["id"]
    project.revision("b1", "a3", "half", 'op.create_table("ones", sa.Column("id", sa.Integer), if_not_exists=True)')
    project.run("upgrade", "head", check=0)  # what ended it by another way is no longer half done
    project.run("downgrade", "-1", check=0)
    assert heads(cluster, database) == ["a3"]
