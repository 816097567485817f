"""What `policy = downgrades` tells of the way back, and that trying it leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.project import Project
from tests.test_plan import as_json, safe_plan

if TYPE_CHECKING:
    from tests.cluster import Cluster

ADD = 'op.add_column("users", sa.Column({!r}, sa.Text))'
DROP = 'op.drop_column("users", {!r})'
INDEX = '    op.create_index("ix", "users", ["name"], postgresql_concurrently=True)'
UNINDEX = '    op.drop_index("ix", "users", postgresql_concurrently=True)'
ODD = 'Odd "one" %(x)s é.'


@pytest.fixture(scope="module")
def hazards(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The hazards of one plan by revision: every downgrade is another one; the last revision needs all before it."""
    cluster.create("way_back")
    project = Project.create(tmp_path_factory.mktemp("back") / "app", cluster.url("way_back"))
    project.run("upgrade", "head", check=0)
    with cluster.connect("way_back") as c:
        c.execute("INSERT INTO users (name, mail) SELECT 'n' || i, 'm' FROM generate_series(1, 300) i")
    autocommit = "with op.get_context().autocommit_block():\n"
    ways = [
        ("own", ADD.format(ODD), DROP.format(ODD)),
        ("more", ADD.format("b"), DROP.format("b") + "\n" + DROP.format("mail")),
        ("empty", ADD.format("c"), "pass"),
        ("wrong", ADD.format("d"), DROP.format("e")),
        ("says", ADD.format("f"), 'raise NotImplementedError("restore the backup")'),
        ("commits", autocommit + INDEX, autocommit + UNINDEX),
        ("by_hand", ADD.format("g"), f"{DROP.format('g')}\nop.get_bind().commit()"),
        ("rows", "pass", "op.execute(\"DO $$ BEGIN DELETE FROM users WHERE name LIKE 'n%'; END $$\")"),
        ("label", "op.execute(\"CREATE TYPE mood AS ENUM ('ok')\")", 'op.execute("DROP TYPE mood")'),
        ("new_label", "op.execute(\"ALTER TYPE mood ADD VALUE 'glad'\")", "pass"),
        ("merge", "pass", "pass"),
        ("renamed", ADD.format("h") + '\nop.alter_column("users", "h", new_column_name="i")', DROP.format("i")),
        ("kept", ADD.format("j"), 'op.retire_column("users", sa.Column("j", sa.Text), key=("id",))'),
        ("table", 'op.create_table("logs", sa.Column("id", sa.Integer))', 'op.drop_table("logs")'),
        ("last", "\n".join(DROP.format(name) for name in (ODD, *"bcdfgij")), "raise RuntimeError"),
    ]  # fmt: skip
    before = "a3"
    for name, up, down in ways:
        project.revision(name, before, name, up, down)
        before = name
    without = as_json(project)
    project.settings("policy = downgrades")
    found = as_json(project)
    cluster.drop("way_back")
    assert not [h for r in without["revisions"] for h in r["hazards"] if h["hazard"].startswith("downgrade")]
    assert [r["failed"] for r in found["revisions"]] == [""] * len(ways)
    assert without["plan"] != found["plan"]
    return {
        r["revision"]: {h["id"]: h for h in r["hazards"] if h["hazard"].startswith("downgrade")}
        for r in found["revisions"]
    }


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        ("own", {f"downgrade-loses:users.{ODD}": "info"}),
        ("more", {"downgrade-loses:users.b": "info", "downgrade-loses:users.mail": "warning"}),
        ("empty", {"downgrade-empty:empty": "warning"}),
        ("wrong", {"downgrade-fails:wrong": "warning"}),
        ("says", {"downgrade-fails:says": "info"}),
        ("commits", {"downgrade-fails:commits": "info"}),
        ("by_hand", {"downgrade-loses:users.g": "info", "downgrade-fails:by_hand": "info"}),
        ("rows", {"downgrade-loses:users": "warning"}),
        ("label", {}),
        ("new_label", {}),
        ("merge", {}),
        ("renamed", {"downgrade-loses:users.i": "info"}),
        ("kept", {}),
        ("table", {"downgrade-loses:logs": "info"}),
        ("last", {"downgrade-fails:last": "info"}),
    ],
)
def test_each_way_back_is_told_for_what_it_is(
    hazards: dict[str, dict[str, Any]], revision: str, expected: dict[str, str]
) -> None:
    assert {id_: one["severity"] for id_, one in hazards[revision].items()} == expected


def test_it_is_said_what_and_why(hazards: dict[str, dict[str, Any]]) -> None:
    assert "which this revision did not make" in hazards["more"]["downgrade-loses:users.mail"]["effect"]
    assert "300 rows" in hazards["more"]["downgrade-loses:users.mail"]["effect"]
    assert 'column "e"' in hazards["wrong"]["downgrade-fails:wrong"]["effect"]
    assert "restore the backup" in hazards["says"]["downgrade-fails:says"]["effect"]
    assert "commits by itself" in hazards["commits"]["downgrade-fails:commits"]["effect"]


def test_a_downgrade_that_waits_for_ever_is_cut_short_and_hides_no_revision(
    project: Project,
) -> None:
    project.settings("policy = downgrades\nshadow_patience = 1")
    project.revision("b1", "a3", "sleeps", ADD.format("b"), 'op.execute("SELECT pg_sleep(600)")')
    project.revision("b2", "b1", "follows", ADD.format("c"), DROP.format("c"))
    found = {r["revision"]: r for r in as_json(project, "--all-history")["revisions"]}
    (one,) = [h for h in found["b1"]["hazards"] if h["id"] == "downgrade-fails:b1"]
    assert (one["severity"], "longer than shadow_patience" in one["effect"]) == ("info", True)
    assert found["b2"]["observed"] is True
    assert "downgrade-loses:users.c" in [h["id"] for h in found["b2"]["hazards"]]


def test_the_arguments_of_a_multidb_environment_are_given_to_both(project: Project) -> None:
    project.settings("policy = downgrades")
    env = project.folder / "migrations" / "env.py"
    env.write_text(env.read_text().replace("run_migrations()\n\n", 'run_migrations(engine_name="one")\n\n', 1))
    for path in (project.folder / "migrations" / "versions").glob("*.py"):
        path.write_text(path.read_text().replace("grade():", "grade(engine_name):"))
    text = safe_plan(project, "--all-history", "--format", "json").out
    assert "downgrade-loses:users.mail" in text
    assert "downgrade-fails" not in text
