"""What `alembic safe-contract` lists, checks, brings into the chain, gives up, and refuses."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import alembic
import pytest

from alembic_safe import commands
from alembic_safe.authoring.abandoning import begun_in
from alembic_safe.authoring.contracting import with_parent
from alembic_safe.database.envpy import script_of
from alembic_safe.errors import Findings
from alembic_safe.inspecting.changes import changes
from tests.deploys import columns, heads, rows, safe_upgrade
from tests.phased import SETTLES, park, phase
from tests.project import Project

NEW = 'op.add_column("users", sa.Column("name", sa.Text), if_not_exists=True)'
SYNC = 'op.sync_columns("users", "fullname", "name")'
NO_SYNC = 'op.drop_sync("users", "fullname", "name")'
EXPAND = f"{NEW}\n{SYNC}"
BACK = f'{NO_SYNC}\nop.drop_column("users", "name", if_exists=True)'
CONTRACT = f'with op.step("drop"):\n    {NO_SYNC}\n    op.drop_column("users", "fullname", if_exists=True)'
UNDO = f'op.add_column("users", sa.Column("fullname", sa.Text), if_not_exists=True)\n{SYNC}'


@dataclass(frozen=True)
class Done:
    stdout: str
    stderr: str


def ours(project, name, *args, check=None):
    """Run a command of ours inside this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = commands.run(name, args, project.config)
    assert check is None or code == check, f"exit {code}\n{out.getvalue()}\n{err.getvalue()}"
    return Done(out.getvalue(), err.getvalue())


@pytest.fixture
def project(tmp_path, cluster, database):
    project = Project.create(tmp_path / "app", cluster.url(database), plain=False)
    project.settings("environment = development")
    template = Path(alembic.__file__).parent / "templates" / "generic" / "script.py.mako"
    shutil.copyfile(template, project.folder / "migrations" / "script.py.mako")
    project.revision("a1", None, "users", 'op.create_table("users", sa.Column("id", sa.Integer, primary_key=True),'
                     ' sa.Column("fullname", sa.Text))', 'op.drop_table("users")')  # fmt: skip
    project.revision("e1", "a1", "names", EXPAND, BACK, extra=phase("expand", more=SETTLES))
    project.revision("c1", "e1", "copy", 'op.backfill("users", set_={"name": "fullname"})', extra=phase("copy"))
    park(project, "k1", "c1", "end of names", CONTRACT, UNDO)
    return project


def change(project, id_="names"):
    return {one.id: one for one in changes(script_of(project.config))}[id_]


def parked(project):
    return sorted(path.name for path in (project.folder / "migrations" / "contracts").glob("*.py"))


def test_a_parked_contract_comes_to_the_tip_and_nothing_else_of_it_changes(project):
    before = (project.folder / "migrations" / "contracts" / "names.py").read_text()
    project.revision("b1", "c1", "meanwhile", "pass")
    done = ours(project, "safe-contract", check=0)
    assert "not known: no --url was given" in done.stdout
    assert "behind b1" in done.stdout
    assert parked(project) == []
    (path,) = (project.folder / "migrations" / "versions").glob("k1_*.py")
    after = path.read_text()
    assert after == before.replace("down_revision = 'c1'", "down_revision = 'b1'").replace("Revises: c1", "Revises: b1")
    assert script_of(project.config).get_heads() == ["k1"]
    assert not change(project).is_open
    again = ours(project, "safe-contract", check=0)
    assert "no change is open. Nothing was changed." in again.stdout


def test_several_contracts_come_in_the_order_of_their_expands(project):
    project.revision(
        "e2", "c1", "second", "pass", extra=phase("expand", "aaa", 'settles = ("retire_table public.old",)')
    )
    park(project, "k2", "e2", "end of aaa", change="aaa")
    done = json.loads(ours(project, "safe-contract", "--json", check=0).stdout)
    assert [(one["change"], one["behind"]) for one in done["appended"]] == [("names", "e2"), ("aaa", "k1")]


def test_one_change_can_be_named_and_an_unknown_one_is_wrong_usage(project):
    project.revision(
        "e2", "c1", "second", "pass", extra=phase("expand", "aaa", 'settles = ("retire_table public.old",)')
    )
    park(project, "k2", "e2", "end of aaa", change="aaa")
    wrong = ours(project, "safe-contract", "aab", check=2)
    assert "Open changes: names, aaa" in wrong.stderr
    ours(project, "safe-contract", "aaa", check=0)
    assert parked(project) == ["names.py"]
    done = ours(project, "safe-contract", "aaa", check=2)
    assert "its contract k2 is in the chain" in done.stderr


def test_all_contracts_are_appended_or_none(project):
    project.revision(
        "e2", "c1", "second", "pass", extra=phase("expand", "aaa", 'settles = ("retire_table public.old",)')
    )
    path = park(project, "k2", "e2", "end of aaa", change="aaa")
    path.write_text(path.read_text().replace("down_revision = 'e2'", "down_revision = next(iter(['e2']))"))
    done = ours(project, "safe-contract", check=4)
    assert "does not say its down_revision as a plain string" in " ".join(done.stderr.split())
    assert parked(project) == ["aaa.py", "names.py"]
    assert script_of(project.config).get_heads() == ["e2"]


def test_a_database_that_does_not_have_the_expand_refuses_its_contract(project, cluster, database):
    url = cluster.url(database).replace("+psycopg", "")
    nobody = ours(project, "safe-contract", "--url", url, check=10)
    assert "no journal" in nobody.stderr
    safe_upgrade(project, "a1")
    refused = ours(project, "safe-contract", "--url", url, check=3)
    assert "builds on e1, c1, which" in " ".join(refused.stderr.split())
    assert parked(project) == ["names.py"]
    safe_upgrade(project, "--release", "v7")
    done = ours(project, "safe-contract", "--url", url, check=0)
    assert "by release v7" in done.stdout
    assert parked(project) == []


def test_the_appended_contract_runs_and_comes_back(project, cluster, database):
    safe_upgrade(project)
    rows(cluster, database, "INSERT INTO users (id, fullname) VALUES (1, 'ann')")
    ours(project, "safe-contract", check=0)
    safe_upgrade(project, "--accept", "drop-column:users.fullname")
    assert columns(cluster, database, "users") == ["id", "name"]
    project.run("downgrade", "-1", check=0)
    assert columns(cluster, database, "users") == ["id", "name", "fullname"]


def test_a_check_replays_what_is_parked_and_writes_nothing(project):
    done = ours(project, "safe-contract", "--check", check=0)
    assert "down and up again, to the same schema" in done.stdout
    assert parked(project) == ["names.py"]
    park(project, "k1", "c1", "end of names", CONTRACT + '\nop.execute("SELECT 1/0")', UNDO)
    failed = ours(project, "safe-contract", "--check", check=8)
    assert "division by zero" in failed.stderr
    park(project, "k1", "c1", "end of names", CONTRACT, "pass")
    failed = ours(project, "safe-contract", "--check", check=8)
    assert "downgrade() of the contracts does not lead back" in " ".join(failed.stderr.split())
    (project.folder / "migrations" / "contracts" / "names.py").unlink()
    missing = ours(project, "safe-contract", "--check", check=4)
    assert "names: no file" in missing.stderr


def test_a_change_that_is_given_up_keeps_the_old_column_and_ends_the_sync(project, cluster, database):
    safe_upgrade(project)
    rows(cluster, database, "INSERT INTO users (id, fullname) VALUES (1, 'ann')")
    done = ours(project, "safe-contract", "--abandon", "names", check=0)
    assert "abandon_names.py" in done.stdout
    assert parked(project) == []
    assert not change(project).is_open
    (path,) = (project.folder / "migrations" / "versions").glob("*abandon*.py")
    assert 'abandons = "names"' in path.read_text()
    assert 'op.drop_sync("users", "fullname", "name")' in path.read_text()
    safe_upgrade(project)
    assert columns(cluster, database, "users") == ["id", "fullname", "name"]
    rows(cluster, database, "UPDATE users SET fullname = 'bob'")
    assert rows(cluster, database, "SELECT fullname, name FROM users") == [{"fullname": "bob", "name": "ann"}]
    assert heads(cluster, database) == [script_of(project.config).get_heads()[0]]
    project.run("downgrade", "-1", check=0)
    rows(cluster, database, "UPDATE users SET name = 'cid'")
    assert rows(cluster, database, "SELECT fullname FROM users") == [{"fullname": "cid"}]
    ours(project, "safe-contract", "--abandon", "names", check=2)


def test_a_parked_file_that_a_killed_run_left_behind_is_cleared_away(project):
    text = (project.folder / "migrations" / "contracts" / "names.py").read_text()
    ours(project, "safe-contract", check=0)
    (project.folder / "migrations" / "contracts" / "names.py").write_text(text)
    ours(project, "safe-contract", check=0)
    assert parked(project) == []


def test_several_heads_behind_a_change_are_named(project):
    project.revision("b1", "c1", "left", "pass")
    project.revision("b2", "c1", "right", "pass")
    done = ours(project, "safe-contract", check=4)
    assert "alembic merge heads" in done.stderr
    assert parked(project) == ["names.py"]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("down_revision = 'c1'", "down_revision = 'b1'"),
        (
            'down_revision: Union[str, Sequence[str], None] = "c1"  # größer',
            'down_revision: Union[str, Sequence[str], None] = "b1"  # größer',
        ),
        ("down_revision = (\n    'c1',\n    'c2',\n)", 'down_revision = "b1"'),
        ("down_revision = None", 'down_revision = "b1"'),
    ],
)
def test_only_the_parent_of_a_file_is_rewritten(line, wanted, tmp_path):
    text = f'"""größe\n\nRevises: c1\n"""\nx = "c1"\n{line}\ny = "Revises: c1"\n'
    expected = f'"""größe\n\nRevises: b1\n"""\nx = "c1"\n{wanted}\ny = "Revises: c1"\n'
    assert with_parent(text, "b1", tmp_path / "k.py") == expected
    with pytest.raises(Findings):
        with_parent("x = 1\n", "b1", tmp_path / "k.py")


def test_what_a_change_began_is_found_with_its_arguments_as_they_are_written():
    text = """
def upgrade():
    with op.step("a"):
        op.sync_columns('My "Table"', ("a", "b"), "c", up='a || b',
                        schema="x")
    op.keep_column("t", sa.Column("c", sa.Text()))
    op.add_column("t", sa.Column("d", sa.Text()))


def downgrade():
    op.sync_columns("other", "a", "b")
"""
    assert begun_in(text) == (
        ("sync_columns", """'My "Table"', ("a", "b"), "c", up='a || b', schema="x\""""),
        ("keep_column", '"t", sa.Column("c", sa.Text())'),
    )


def test_status_shows_how_far_each_open_change_is(project, cluster, database, monkeypatch):
    safe_upgrade(project, "a1", "--release", "v1")
    before = ours(project, "safe-status")
    assert "names: not expanded, not copied, contract parked" in before.stdout
    safe_upgrade(project, "--release", "v2")
    open_ = ours(project, "safe-status", check=0).stdout
    assert "Changes  names: expanded 20" in open_
    assert "by release v2, copied, contract parked" in " ".join(open_.split())
    ours(project, "safe-contract", check=0)
    rows(cluster, database, "UPDATE alembic_safe.environment SET environment = 'production', protected = true")
    monkeypatch.setenv("ALEMBIC_SAFE_RELEASE", "v2")
    pending = ours(project, "safe-status", check=4)
    assert "contract k1 pending" in pending.stdout
    assert "was applied by this same release" in " ".join(pending.stdout.split())
    found = json.loads(ours(project, "safe-status", "--json").stdout)
    assert found["databases"][0]["changes"][0]["contract"] == "k1"


def test_status_names_a_half_done_revision(project):
    project.revision("x1", "c1", "half", 'with op.step("one"):\n    pass\nwith op.step("two"):\n    1 / 0')
    safe_upgrade(project, check=7)
    done = ours(project, "safe-status", check=4)
    assert "x1 is half done (done: one)" in done.stdout
