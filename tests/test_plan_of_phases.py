"""What the rewriter writes is watched as it will run, raises no alarm, and passes `safe-upgrade` without a consent."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.deploys import rows, safe_upgrade
from tests.models_project import ENV_WITH_REWRITER, ModelsProject
from tests.test_plan import as_json, safe_plan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.cluster import Cluster

TEAMS = 'sa.Table("teams", metadata, sa.Column("id", sa.Integer, primary_key=True))\n'
STALE = (
    'sa.Table("stale", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text),'
    ' sa.Column("team", sa.ForeignKey("teams.id")))\n'
)
ROWS = """
INSERT INTO teams SELECT generate_series(1, 20);
INSERT INTO users (id, nick, team, fax, amount, seat) SELECT i, 'n' || i, 1 + i % 20, '+' || i, i::text, 1 + i % 20
  FROM generate_series(1, 2000) i;
INSERT INTO stale SELECT i, 't' || i, 1 FROM generate_series(1, 2000) i;
ANALYZE;
"""
# every table is a large one here
SETTINGS = """environment = production
backup_dir = backups
contract_min_age = 0
policy = small = 1kB, large = 8kB"""


def users(name: str = "users", **columns: str) -> str:
    """Return the table's model, with some of its columns said otherwise; one that is empty is not there."""
    said = {
        "nick": "sa.String(20)", "team": "sa.Integer", "fax": "sa.Text", "amount": "sa.Text",
        "seat": 'sa.ForeignKey("teams.id"), index=True',
        "code": 'sa.Integer, unique=True, server_default="7", nullable=True',
    } | columns  # fmt: skip
    table = said.pop("table", "")
    lines = [f'sa.Column("{column}", {words})' for column, words in said.items() if words]
    lines += [table] if table else []
    return f'sa.Table("{name}", metadata, sa.Column("id", sa.Integer, primary_key=True), {", ".join(lines)})\n'


BEFORE = TEAMS + users(code="sa.Integer, unique=True") + STALE
CODE = "sa.Integer, unique=True"
AFTER: dict[str, str] = {
    "a column renamed": TEAMS + users(code=CODE, nick="", handle='sa.String(20), info=renamed_from("nick")') + STALE,
    "a column with index and key renamed": TEAMS
    + users(code=CODE, seat="", chair='sa.ForeignKey("teams.id"), index=True, info=renamed_from("seat")') + STALE,
    "a unique column renamed": TEAMS + users(code="", mark='sa.Integer, unique=True, info=renamed_from("code")') + STALE,
    "a column dropped": TEAMS + users(code=CODE, fax="") + STALE,
    "an indexed column with a key dropped": TEAMS + users(code=CODE, seat="") + STALE,
    "a column not null": TEAMS + users(code=CODE, nick="sa.String(20), nullable=False") + STALE,
    "a column added": TEAMS + users(code=CODE, note="sa.Text") + STALE,
    "a required column added": TEAMS
    + users(code=CODE, low='sa.Text, nullable=False, info={"fill": "lower(nick)"}') + STALE,
    "a required indexed column added": TEAMS
    + users(code=CODE, low='sa.Text, nullable=False, index=True, info={"fill": "lower(nick)"}') + STALE,
    "a type changed": TEAMS
    + users(code=CODE, amount='sa.Integer, info={"up": "amount::integer", "down": "amount::text"}') + STALE,
    "a type made longer": TEAMS + users(code=CODE, nick="sa.String(40)") + STALE,
    "a foreign key added": TEAMS + users(code=CODE, team='sa.ForeignKey("teams.id")') + STALE,
    "a foreign key dropped": TEAMS + users(code=CODE, seat="sa.Integer, index=True") + STALE,
    "a unique constraint added": TEAMS + users(code=CODE, nick="sa.String(20), unique=True") + STALE,
    "a unique constraint dropped": TEAMS + users(code="sa.Integer") + STALE,
    "a check added": TEAMS + users(code=CODE, table='sa.CheckConstraint("id > 0", name="id_positive")') + STALE,
    "an index added": TEAMS + users(code=CODE, nick="sa.String(20), index=True") + STALE,
    "an index dropped": TEAMS + users(code=CODE, seat='sa.ForeignKey("teams.id")') + STALE,
    "a default added": TEAMS + users(code=CODE, fax='sa.Text, server_default="none"') + STALE,
    "a table dropped": TEAMS + users(code=CODE),
    "a table added": BEFORE + 'sa.Table("notes", metadata, sa.Column("id", sa.Integer, primary_key=True),'
    ' sa.Column("user", sa.ForeignKey("users.id")), sa.Column("text", sa.Text, index=True))\n',
}  # fmt: skip
# what is true of these, whoever writes them: somebody has to know, and nothing is refused
WARNED: dict[str, list[str]] = {
    "a type made longer": ["change-type-plans"], "a foreign key dropped": ["drop-foreign-key", "several-tables-locked"],
    "a unique constraint dropped": ["drop-key-in-use"], "a table added": ["new-table-references"],
}  # fmt: skip
TOGETHER = TEAMS + users(
    code=CODE, nick="", handle='sa.String(20), nullable=False, index=True, info=renamed_from("nick")', fax="",
    low='sa.Text, nullable=False, info={"fill": "lower(amount)"}', team='sa.ForeignKey("teams.id")',
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, cluster: Cluster, database: str) -> ModelsProject:
    """A protected database with rows in tables that count as large, and a project whose env.py names the rewriter."""
    made = ModelsProject.make(tmp_path / "app", cluster.url(database), BEFORE, env_py=ENV_WITH_REWRITER)
    made.run("revision", "--autogenerate", "-m", "first", check=0)
    made.run("upgrade", "head", check=0)
    rows(cluster, database, ROWS)
    made.settings(SETTINGS)
    return made


def alarms(plan: dict[str, Any]) -> list[str]:
    """Return what a plan warns of, asks or refuses."""
    return [
        f"{hazard['level']} {hazard['hazard']}: {hazard['effect']}"
        for one in plan["revisions"] for hazard in one["hazards"] if hazard["level"] != "allow"
    ]  # fmt: skip


def deploy(project: ModelsProject, after: str, warned: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Go from the models before to those after, phase by phase, as a team does; return the plans on the way."""
    plans = []
    project.models(after, imports="from alembic_safe import renamed_from")
    project.run("revision", "--autogenerate", "-m", "second", check=0)
    for release in ("v1", "v2"):
        sys.modules.pop("models", None)  # env.py runs in this process, and would meet those of the test before
        plans.append(as_json(project, "--release", release))
        assert [one for one in alarms(plans[-1]) if not one.startswith(tuple(f"warn {name}:" for name in warned))] == []
        assert all(one["failed"] == "" and one["observed"] for one in plans[-1]["revisions"])
        safe_upgrade(project, "--release", release, "--plan", plans[-1]["plan"])
        if release == "v1" and list((project.folder / "migrations" / "contracts").glob("*.py")):
            project.run("safe-contract", check=0)
            continue
        break
    assert "No new upgrade operations detected" in project.run("check", check=0).stdout
    return plans


@pytest.mark.long
def test_all_at_once_raises_no_alarm_and_needs_no_consent(
    project: ModelsProject, cluster: Cluster, database: str
) -> None:
    first, second = deploy(project, TOGETHER)
    assert [one["phase"] for one in first["revisions"]] == ["expand", "copy"]
    assert [one["phase"] for one in second["revisions"]] == ["contract"]
    facts = {one["id"]: one["effect"] for one in second["revisions"][0]["hazards"] if one["hazard"] == "retire"}
    assert set(facts) == {"retire:users.nick", "retire:users.fax", "retire:stale"}
    assert all(" kept; programs that still name it fail" in effect for effect in facts.values())
    told = rows(cluster, database, "SELECT count(*) AS n FROM users WHERE handle = 'n' || id AND low = amount")
    assert told == [{"n": 2000}]


@pytest.mark.long
@pytest.mark.parametrize("case", AFTER)
def test_what_the_rewriter_writes_raises_no_alarm(project: ModelsProject, case: str) -> None:
    deploy(project, AFTER[case], WARNED.get(case, ()))


@pytest.mark.long
def test_what_waits_at_the_gate_is_told_and_not_a_part_of_the_plan(
    project: ModelsProject, cluster: Cluster, database: str
) -> None:
    project.models(TEAMS + users(code=CODE, fax=""))
    project.run("revision", "--autogenerate", "-m", "second", check=0)
    project.run("safe-contract", check=0)
    contract = project.revision_of(max(project.files, key=lambda path: "contract" in path.name))
    sys.modules.pop("models", None)
    before = as_json(project, "--release", "v1")
    assert [one["phase"] for one in before["revisions"]] == ["expand"]
    assert [one["revision"] for one in before["waiting"]] == [contract]
    text = safe_plan(project, "--release", "v1").out
    assert "1 pending, 1 waiting" in text
    assert f"Gate {contract}, the contract of second: its expand" in " ".join(text.split())
    safe_upgrade(project, "--release", "v1", "--plan", before["plan"])
    assert as_json(project)["plan"] is None
    rows(cluster, database, "UPDATE alembic_safe.revisions SET release = 'v0'")
    after = as_json(project, "--release", "v2")
    assert [(one["phase"], one["gate"]) for one in after["revisions"]] == [("contract", "open")]
    said = " ".join(safe_plan(project, "--release", "v2").out.split())
    assert f"Gate {contract}, the contract of second: open, it runs" in said
    assert as_json(project, "--contract", "second")["plan"] == after["plan"]
