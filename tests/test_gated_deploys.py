"""When `safe-upgrade` runs a contract, and what it says and does where it does not."""

from __future__ import annotations

import re
import threading

import pytest

from tests.deploys import columns, heads, outcomes, rows, safe_upgrade, statements
from tests.phased import SETTLES, phase
from tests.project import Project

EXPAND = 'with op.step("add"):\n    op.add_column("users", sa.Column("name", sa.Text), if_not_exists=True)'
BACK = 'op.drop_column("users", "name", if_exists=True)'
CONTRACT = 'with op.step("drop"):\n    op.drop_column("users", "fullname", if_exists=True)'


@pytest.fixture
def project(tmp_path, cluster, database):
    """A protected database, and one release of files that expand and copy."""
    project = Project.create(tmp_path / "app", cluster.url(database), plain=False)
    project.settings("environment = production\nbackup_dir = backups\ncontract_min_age = 0\nrehearse = off")
    project.revision("a1", None, "users", 'op.create_table("users", sa.Column("id", sa.Integer, primary_key=True),'
                     ' sa.Column("fullname", sa.Text))', 'op.drop_table("users")')  # fmt: skip
    safe_upgrade(project, "--release", "v0")
    expand(project)
    return project


def expand(project):
    project.revision("e1", "a1", "names", EXPAND, BACK, extra=phase("expand", more=SETTLES))
    project.revision("c1", "e1", "copy", 'op.execute("UPDATE users SET name = fullname")', extra=phase("copy"))


def contract(project, down="c1", name="k1"):
    return project.revision(name, down, "end", CONTRACT, extra=phase("contract"))


def backups(cluster, database):
    return len(rows(cluster, database, "SELECT 1 FROM alembic_safe.backups"))


def test_a_contract_in_the_same_release_waits_and_the_next_release_runs_it(project, cluster, database):
    contract(project)
    ended = safe_upgrade(project, "--release", "v1")
    assert "Waits k1, the contract of names: its expand e1 was not applied before this deployment" in ended.text
    assert "it may run with another release" in ended.text
    assert f"{database} is at c1. 1 contract waits." in ended.text
    assert columns(cluster, database, "users") == ["id", "fullname", "name"]
    again = safe_upgrade(project, "--release", "v1")
    assert "its expand e1 was applied by this same release" in again.text
    assert heads(cluster, database) == ["c1"]
    safe_upgrade(project, "--release", "v2")
    assert heads(cluster, database) == ["k1"]
    assert columns(cluster, database, "users") == ["id", "name"]
    written = rows(cluster, database, "SELECT revision, phase, change, release FROM alembic_safe.revisions ORDER BY id")
    assert [tuple(row.values()) for row in written[1:]] == [
        ("e1", "expand", "names", "v1"), ("c1", "copy", "names", "v1"), ("k1", "contract", "names", "v2"),
    ]  # fmt: skip


def test_only_a_waiting_contract_takes_no_lock_no_backup_and_five_statements(project, cluster, database):
    contract(project)
    safe_upgrade(project, "--release", "v1")
    before = backups(cluster, database), outcomes(cluster, database)
    safe_upgrade(project, "--release", "v1")
    with statements(cluster, database) as sent:
        ended = safe_upgrade(project, "--release", "v1", "--json")
    assert ended.json["waiting"][0]["revision"] == "k1"
    assert ended.json["changed"] is False
    assert (backups(cluster, database), outcomes(cluster, database)) == before
    assert not [s for s in sent if "advisory" in s or s.upper().startswith(("INSERT", "UPDATE", "CREATE"))]


def test_ordinary_revisions_behind_a_waiting_contract_are_named_with_exit_4(project, cluster, database):
    contract(project)
    project.revision("b1", "k1", "orders", 'op.create_table("orders", sa.Column("id", sa.Integer))')
    ended = safe_upgrade(project, "--release", "v1", check=4)
    assert "not applied: b1 (orders)" in ended.text
    assert "The revisions before it were applied" in ended.text
    assert heads(cluster, database) == ["c1"]
    again = safe_upgrade(project, "--release", "v1", check=4)
    assert "Nothing was changed." in again.text
    safe_upgrade(project, "--release", "v1", "--contract", "names")
    assert heads(cluster, database) == ["b1"]


def test_a_contract_waits_for_its_age_and_says_from_when_on(project, cluster, database):
    safe_upgrade(project, "--release", "v1")
    contract(project)
    ini = project.folder / "alembic.ini"
    ini.write_text(ini.read_text().replace("contract_min_age = 0", "contract_min_age = 15m"))
    ended = safe_upgrade(project, "--release", "v2")
    assert "too short a while ago, by release v1; it may run from 20" in ended.text
    rows(cluster, database, "UPDATE alembic_safe.revisions SET at = at - interval '16 min'")
    safe_upgrade(project, "--release", "v2")
    assert heads(cluster, database) == ["k1"]


def test_without_declared_releases_the_heads_of_the_files_tell_them_apart(project, cluster, database):
    safe_upgrade(project)
    contract(project)
    safe_upgrade(project)
    assert heads(cluster, database) == ["k1"]


def test_one_chain_without_a_declared_release_waits_until_other_files_come(project, cluster, database):
    contract(project)
    safe_upgrade(project)
    safe_upgrade(project)
    assert heads(cluster, database) == ["c1"]
    project.revision("b1", "k1", "later", "pass")
    safe_upgrade(project)
    assert heads(cluster, database) == ["b1"]


def test_a_release_that_declares_itself_behind_one_that_did_not_contracts_with_other_files(project, cluster, database):
    safe_upgrade(project)
    contract(project)
    safe_upgrade(project, "--release", "v2")
    assert heads(cluster, database) == ["k1"]


def test_pods_of_the_same_files_are_one_release_though_only_some_of_them_have_its_name(project, cluster, database):
    contract(project)
    safe_upgrade(project)
    for _ in range(2):
        ended = safe_upgrade(project, "--release", "v1")
        safe_upgrade(project)
    assert "applied by a release that nobody named, and this is release v1" in ended.text
    assert "it may run with a release whose files have other heads, or with --contract names" in ended.text
    assert heads(cluster, database) == ["c1"]
    project.revision("b1", "k1", "later", "pass")
    safe_upgrade(project, "--release", "v2")
    assert heads(cluster, database) == ["b1"]


def test_of_an_expand_with_neither_name_nor_hash_only_a_person_can_say_that_it_is_over(project, cluster, database):
    safe_upgrade(project)
    rows(cluster, database, "UPDATE alembic_safe.revisions SET files_hash = NULL")
    contract(project)
    ended = safe_upgrade(project, "--release", "v2")
    assert "it may run with --contract names only" in ended.text
    assert heads(cluster, database) == ["c1"]
    safe_upgrade(project, "--release", "v2", "--contract", "names")
    assert heads(cluster, database) == ["k1"]


def test_downtime_needs_the_database_s_name_and_opens_every_gate(project, cluster, database):
    contract(project)
    refused = safe_upgrade(project, "--release", "v1", "--downtime", check=3)
    assert f"alembic safe-upgrade --downtime --confirm {database}" in refused.text
    assert heads(cluster, database) == ["a1"]
    safe_upgrade(project, "--release", "v1", "--downtime", "--confirm", database)
    assert heads(cluster, database) == ["k1"]


def test_contract_names_a_change_that_has_a_contract_in_the_chain(project):
    unknown = safe_upgrade(project, "--contract", "nmes", check=2)
    assert "Changes in the files: names" in unknown.text
    parked = safe_upgrade(project, "--contract", "names", check=2)
    assert "alembic safe-contract names" in parked.text


def test_a_new_protected_database_goes_from_base_to_head_in_one_run(project, cluster, make_database):
    contract(project)
    project.revision("b1", "k1", "later", "pass")
    fresh = make_database()
    other = Project.create(project.folder.parent / "other", cluster.url(fresh), plain=False)
    other.settings("environment = production")
    for path in (project.folder / "migrations" / "versions").glob("*.py"):
        (other.folder / "migrations" / "versions" / path.name).write_text(path.read_text())
    safe_upgrade(other, "--release", "v9")
    assert heads(cluster, fresh) == ["b1"]
    assert columns(cluster, fresh, "users") == ["id", "name"]


def test_a_new_database_whose_first_run_failed_goes_on_with_the_same_release(project, cluster, make_database):
    path = contract(project)
    fresh = make_database()
    other = Project.create(project.folder.parent / "other", cluster.url(fresh), plain=False)
    other.settings("environment = production")
    for file in (project.folder / "migrations" / "versions").glob("*.py"):
        (other.folder / "migrations" / "versions" / file.name).write_text(file.read_text())
    copy = other.folder / "migrations" / "versions" / path.name
    copy.write_text(path.read_text().replace("def upgrade():", "def upgrade():\n    1 / 0"))
    safe_upgrade(other, "--release", "v9", check=6)
    assert heads(cluster, fresh) == ["c1"]
    copy.write_text(path.read_text())
    safe_upgrade(other, "--release", "v9")
    assert heads(cluster, fresh) == ["k1"]


def test_an_expand_that_the_journal_does_not_know_counts_from_when_it_was_first_seen(project, cluster, database):
    rows(cluster, database, "ALTER TABLE users ADD name text; UPDATE alembic_version SET version_num = 'c1'")
    contract(project)
    seen = safe_upgrade(project, "--release", "v1", "--drift", "off")
    assert "as far as the journal knows" in seen.text
    assert rows(cluster, database, "SELECT revision, release FROM alembic_safe.sightings") == [
        {"revision": "e1", "release": "v1"}
    ]
    assert heads(cluster, database) == ["c1"]
    safe_upgrade(project, "--release", "v1", "--drift", "off")
    assert heads(cluster, database) == ["c1"]
    safe_upgrade(project, "--release", "v2", "--drift", "off")
    assert heads(cluster, database) == ["k1"]


def test_a_database_in_development_has_no_gate(tmp_path, cluster, make_database):
    name = make_database()
    project = Project.create(tmp_path / "dev", cluster.url(name), plain=False)
    project.settings("environment = development")
    project.revision("a1", None, "users", 'op.create_table("users", sa.Column("id", sa.Integer),'
                     ' sa.Column("fullname", sa.Text))')  # fmt: skip
    safe_upgrade(project)
    expand(project)
    contract(project)
    safe_upgrade(project)
    assert heads(cluster, name) == ["k1"]


def test_an_old_pod_meets_a_contract_of_a_newer_release_with_exit_4(project, cluster, database):
    safe_upgrade(project, "--release", "v1")
    path = contract(project)
    safe_upgrade(project, "--release", "v2")
    path.unlink()
    ended = safe_upgrade(project, "--release", "v1", check=4)
    assert "the contract k1 (end" in ended.text
    assert "run by v2" in ended.text
    assert "Nothing was changed." in ended.text
    assert heads(cluster, database) == ["k1"]


def test_pods_of_one_release_never_contract_and_the_next_release_does(project, cluster, database):
    """The small form of what the long suite does for ten minutes with ten pods."""
    contract(project)
    codes: list[int] = []

    def pod():
        codes.extend(project.run("safe-upgrade", "--release", "v1").returncode for _ in range(2))

    pods = [threading.Thread(target=pod) for _ in range(3)]
    for one in pods:
        one.start()
    for one in pods:
        one.join()
    assert codes == [0] * 6
    assert heads(cluster, database) == ["c1"]
    safe_upgrade(project, "--release", "v2")
    assert heads(cluster, database) == ["k1"]


def test_a_chain_of_all_phases_needs_a_declared_release(project, cluster, database):
    contract(project)
    ini = project.folder / "alembic.ini"
    ini.write_text(ini.read_text().replace("contract_min_age = 0", "contract_min_age = 0\ncontract = chain"))
    ended = safe_upgrade(project, check=2)
    assert "contract = chain needs a declared release" in ended.text
    assert heads(cluster, database) == ["a1"]
    safe_upgrade(project, "--release", "v1")
    assert heads(cluster, database) == ["c1"]


SYNCED = """
with op.step("add"):
    op.add_column("users", sa.Column("name", sa.Text), if_not_exists=True)
with op.step("sync"):
    op.sync_columns("users", "fullname", "name")
"""
COPIED = """
with op.step("copy"):
    op.backfill("users", set_={"name": "fullname"})
with op.step("verify"):
    op.verify_copied("users", "fullname", "name")
"""
ENDED = """
with op.step("unsync"):
    op.drop_sync("users", "fullname", "name")
with op.step("drop"):
    op.drop_column("users", "fullname", if_exists=True)
"""


def test_the_copy_is_verified_again_before_a_contract_and_rows_that_contradict_themselves_stop_it(
    project, cluster, database
):
    rows(cluster, database, "INSERT INTO users SELECT n, 'name ' || n FROM generate_series(1, 50) n")
    project.revision("e1", "a1", "names", SYNCED, extra=phase("expand", more=SETTLES))
    project.revision("c1", "e1", "copy", COPIED, extra=phase("copy"))
    safe_upgrade(project, "--release", "v1")
    project.revision("k1", "c1", "end", ENDED, extra=phase("contract"))
    wrong = "SET session_replication_role = replica; UPDATE users SET name = 'x' WHERE id = 7"
    with cluster.connect(database) as c:
        c.execute("ALTER TABLE users DISABLE TRIGGER USER")
        c.execute(wrong)
    before = backups(cluster, database)
    ended = safe_upgrade(project, "--release", "v2", "--drift", "off", check=3)
    assert "of public.users does not fire in every session, as it is not ENABLE ALWAYS." in ended.text
    (enabled,) = re.findall(r'ALTER TABLE "public"."users" ENABLE ALWAYS .*;', ended.text)
    rows(cluster, database, enabled)
    ended = safe_upgrade(project, "--release", "v2", "--drift", "off", check=4)
    assert "in 1 of 50 rows of public.users the columns fullname -> name contradict each other" in ended.text
    assert "For example where id = 7." in ended.text
    assert "Nothing was changed." in ended.text
    assert backups(cluster, database) == before
    assert heads(cluster, database) == ["c1"]
    rows(cluster, database, "UPDATE users SET name = fullname WHERE id = 7")
    done = safe_upgrade(project, "--release", "v2", "--drift", "off")
    assert "public.users: fullname -> name agree in 50 rows" in done.text
    assert columns(cluster, database, "users") == ["id", "name"]
    found = rows(cluster, database, "SELECT revision, rows, mismatches FROM alembic_safe.copy_evidence ORDER BY id")
    assert found[-1] == {"revision": "k1", "rows": 50, "mismatches": 0}


def test_models_that_have_what_a_contract_takes_away_stop_it(project, cluster, database):
    safe_upgrade(project, "--release", "v1")
    contract(project)
    env = project.folder / "migrations" / "env.py"
    models = "import sqlalchemy as sa\n\ntarget_metadata = sa.MetaData()\n"
    models += "sa.Table('users', target_metadata, sa.Column('id', sa.Integer), sa.Column('{}', sa.Text))\n"
    plain = env.read_text()
    env.write_text(plain.replace("target_metadata = None", models.format("fullname")))
    ended = safe_upgrade(project, "--release", "v2", check=4)
    assert "the open change 'names' will do the opposite: retire_column public.users.fullname" in ended.text
    assert heads(cluster, database) == ["c1"]
    project.revision("b1", "k1", "again", 'op.add_column("users", sa.Column("fullname", sa.Text), if_not_exists=True)')
    safe_upgrade(project, "--release", "v2")  # a later revision brings the column back: the models speak of that one
    assert heads(cluster, database) == ["b1"]


def test_a_jump_over_three_releases_is_made_in_a_downtime(project, cluster, database):
    contract(project)
    for n, (before, change) in enumerate([("k1", "second"), ("k2", "third")], 2):
        add = f'op.add_column("users", sa.Column("x{n}", sa.Text), if_not_exists=True)'
        settles = f'settles = ("retire_column public.users.x{n}",)'
        project.revision(f"e{n}", before, "more", add, extra=phase("expand", change, settles))
        drop = f'op.drop_column("users", "x{n}", if_exists=True)'
        project.revision(f"k{n}", f"e{n}", "end", drop, extra=phase("contract", change))
    first = safe_upgrade(project, "--release", "v9", check=4)
    assert "not applied: e2 (more), k2 (end), e3 (more), k3 (end)" in first.text
    assert heads(cluster, database) == ["c1"]
    safe_upgrade(project, "--release", "v9", "--downtime", "--confirm", database)
    assert heads(cluster, database) == ["k3"]
    assert columns(cluster, database, "users") == ["id", "name"]


def test_a_contract_that_is_half_done_is_gone_on_with_whatever_the_gate_says(project, cluster, database):
    both = 'with op.step("one"):\n    op.add_column("users", sa.Column("x", sa.Text), if_not_exists=True)\n'
    project.revision("k1", "c1", "end", both + 'with op.step("two"):\n    1 / 0', extra=phase("contract"))
    safe_upgrade(project, "--release", "v1", "--contract", "names", check=7)
    project.revision("k1", "c1", "end", both + CONTRACT, extra=phase("contract"))
    safe_upgrade(project, "--release", "v1")
    assert heads(cluster, database) == ["k1"]
    assert columns(cluster, database, "users") == ["id", "name", "x"]
