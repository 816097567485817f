"""Rehearsals: the pending revisions on the schema, on a backup restored, on staging; the target is never touched."""

from __future__ import annotations

import contextlib
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from alembic_safe import commands
from tests.deploys import Ended, columns, heads, rows, safe_upgrade

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster import Cluster
    from tests.project import Project


def safe_rehearse(project: Project, *args: str, check: int = 0) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = commands.run("safe-rehearse", args, project.config)
    ended = Ended(code, out.getvalue(), err.getvalue())
    assert code == check, f"exit {code}\n{ended.out}\n{ended.err}"
    return ended


@pytest.fixture
def shop(project: Project, cluster: Cluster, database: str) -> Project:
    """A database with a journal and 50 users, and two revisions that are pending."""
    safe_upgrade(project)
    with cluster.connect(database) as c:
        c.execute("INSERT INTO users (name, mail) SELECT 'n' || i, 'm' FROM generate_series(1, 50) i")
    project.revision("b1", "a3", "points", 'op.add_column("users", sa.Column("points", sa.Integer))',
                     'op.drop_column("users", "points")')  # fmt: skip
    project.revision("b2", "b1", "fill", 'op.execute("UPDATE users SET points = 0")')
    return project


def receipts(cluster: Cluster, database: str) -> list[dict[str, Any]]:
    return rows(cluster, database, "SELECT stand_in, outcome, detail FROM alembic_safe.rehearsals ORDER BY id")


def test_on_the_schema_everything_runs_and_goes_back_and_leaves_a_receipt(
    shop: Project, cluster: Cluster, database: str
) -> None:
    shop.settings("invariants = select count(*) from users")
    ended = safe_rehearse(shop)
    assert "down and up again, and the same" in ended.text
    assert "select count(*) from users: 0" in ended.text
    assert (heads(cluster, database), columns(cluster, database, "users")) == (["a3"], ["id", "name", "mail"])
    (one,) = receipts(cluster, database)[1:]
    assert (one["outcome"], one["detail"][:3]) == ("passed", "b1 ")


def test_on_a_backup_the_rows_are_there_and_the_json_says_how_long_each_took(
    shop: Project, cluster: Cluster, database: str
) -> None:
    shop.settings("invariants = select count(*) from users")
    assert commands.run("safe-backup", (), shop.config) == 0
    (file,) = (shop.folder / "backups").glob("*.dump")
    found = json.loads(safe_rehearse(shop, "--on", "backup", "--backup", str(file), "--json").out)["rehearsals"][0]
    assert [r["revision"] for r in found["rehearsal"]["revisions"]] == ["b1", "b2"]
    assert found["rehearsal"]["invariants"] == [{"query": "select count(*) from users", "before": "50", "after": "50"}]
    assert found["receipt"] is True
    assert heads(cluster, database) == ["a3"]


def test_a_backup_with_one_byte_flipped_is_noticed(shop: Project, cluster: Cluster, database: str) -> None:
    assert commands.run("safe-backup", (), shop.config) == 0
    (file,) = (shop.folder / "backups").glob("*.dump")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(data)
    ended = safe_rehearse(shop, "--on", "backup", "--backup", str(file), check=8)
    assert "is not the file that was written" in ended.text
    assert heads(cluster, database) == ["a3"]


@pytest.mark.parametrize(
    ("query", "change"),
    [
        ("select count(*) from users", "DELETE FROM users WHERE id < 3"),
        ("select sum(length(name)) from users", "UPDATE users SET name = name || 'x'"),
    ],
)
def test_an_invariant_that_does_not_hold_ends_the_deployment_before_it_begins(
    shop: Project, cluster: Cluster, database: str, query: str, change: str
) -> None:
    shop.settings(f"invariants = {query}\npolicy = loses=warn")
    shop.revision("b3", "b2", "breaks", f'op.execute("{change}")')
    ended = safe_upgrade(shop, "--rehearse", "backup", "--backup", check=8)
    assert f"an invariant does not hold: {query}" in ended.text
    assert "Nothing was changed in the target" in ended.text
    assert heads(cluster, database) == ["a3"]


def test_what_fails_on_the_rows_fails_on_the_stand_in_and_nowhere_else(
    shop: Project, cluster: Cluster, database: str
) -> None:
    shop.revision("b3", "b2", "fails", "op.execute(\"DO $$ BEGIN IF (SELECT count(*) FROM users) > 0 THEN RAISE 'rows'; END IF;"
                  ' END $$")')  # fmt: skip
    safe_rehearse(shop)  # without rows nobody can tell
    ended = safe_upgrade(shop, "--rehearse", "backup", "--backup", check=8)
    assert "RaiseException: rows" in ended.text
    assert heads(cluster, database) == ["a3"]


def test_in_a_deployment_the_backup_that_it_took_is_rehearsed_on(
    shop: Project, cluster: Cluster, database: str
) -> None:
    ended = safe_upgrade(shop, "--rehearse", "backup", "--backup", "--json")
    assert "restored" in ended.json["rehearsal"]["on"]
    assert heads(cluster, database) == ["b2"]
    assert receipts(cluster, database)[-1]["outcome"] == "passed"
    safe_upgrade(shop, "a3", check=0)  # nothing to do


def test_without_a_backup_there_is_none_to_rehearse_on(shop: Project) -> None:
    assert "takes none" in safe_upgrade(shop, "--rehearse", "backup", check=2).text


def test_a_staging_database_is_upgraded_first_and_the_target_itself_is_refused(
    shop: Project, cluster: Cluster, database: str, make_database: Callable[..., str]
) -> None:
    staging = make_database(template=database)
    url = cluster.url(staging).replace("+psycopg", "")
    ended = safe_rehearse(shop, "--on", url)
    assert f"the staging database {staging}" in ended.text
    assert (heads(cluster, staging), heads(cluster, database)) == (["b2"], ["a3"])
    assert not rows(cluster, staging, "SELECT 1 FROM pg_namespace WHERE nspname = 'alembic_safe_watch'")
    safe_rehearse(shop, "--on", cluster.url(database).replace("+psycopg", ""), check=2)


def test_the_policy_can_demand_a_rehearsal_and_a_receipt_is_one(shop: Project, cluster: Cluster, database: str) -> None:
    shop.settings("environment = production\npolicy = rehearsed, breaks=warn, blocks=warn")
    plain = ("--no-backup", "--confirm", database, "--rehearse", "off")
    ended = safe_upgrade(shop, *plain, check=3)
    assert "The policy requires a rehearsal" in ended.text
    safe_rehearse(shop)
    ended = safe_upgrade(shop, *plain)
    assert "this plan passed on the target's schema" in ended.text
    assert receipts(cluster, database)[-1]["outcome"] == "not rehearsed"


def test_a_downgrade_that_does_not_lead_back_is_told(shop: Project) -> None:
    shop.revision("b3", "b2", "one way", 'op.create_table("t", sa.Column("id", sa.Integer))', "pass")
    assert "upgrade again fails" in safe_rehearse(shop).text


@pytest.mark.parametrize(
    "args", [("--on", "off"), ("--on", "backup"), ("--backup", "x.dump"), ("--on", "nonsense")]
)  # fmt: skip
def test_a_stand_in_that_is_none_is_told(shop: Project, args: tuple[str, ...]) -> None:
    safe_rehearse(shop, *args, check=2)


def test_an_invariant_that_writes_is_refused_by_the_database(shop: Project) -> None:
    shop.settings("invariants = delete from users returning 1")
    assert "read-only transaction" in safe_rehearse(shop, check=8).text
