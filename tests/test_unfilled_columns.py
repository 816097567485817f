"""A required column that the models do not have is told before the programs that leave it out are deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.models_project import ModelsProject
from tests.test_plan import as_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster import Cluster

MODELS = """
sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))
sa.Table("Odd %(x)s", metadata, sa.Column("Id", sa.Integer, primary_key=True), sa.Column("a.b", sa.Text), schema="App")
"""
GROUND = """
CREATE SCHEMA "App";
CREATE DOMAIN filled AS text NOT NULL DEFAULT 'x'; CREATE DOMAIN empty AS text NOT NULL;
CREATE TABLE users (id serial PRIMARY KEY, name text, legacy text NOT NULL, kind text NOT NULL DEFAULT 'a',
  number int GENERATED ALWAYS AS IDENTITY, twice text NOT NULL GENERATED ALWAYS AS ('x') STORED, of_domain filled, maybe text);
CREATE TABLE "App"."Odd %(x)s" ("Id" serial PRIMARY KEY, "a.b" text);
CREATE TABLE others (id int NOT NULL, what text NOT NULL);
INSERT INTO users (name, legacy) VALUES ('a', 'b');
"""
FILLS = """
CREATE FUNCTION fills() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.legacy := 'x'; RETURN NEW; END $$;
CREATE TRIGGER fills BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION fills();
"""


@pytest.fixture(scope="module")
def project(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelsProject]:
    """Models that know neither users.legacy nor anything of others, and a database that has both."""
    cluster.create("unfilled")
    made = ModelsProject.make(tmp_path_factory.mktemp("unfilled") / "app", cluster.url("unfilled"), MODELS)
    made.revision("a1", None, "ground", f"op.execute('''{GROUND}''')")
    made.run("upgrade", "head", check=0)
    yield made
    cluster.drop("unfilled")


def unfilled(project: ModelsProject, *args: str, **revisions: str) -> dict[tuple[str, str], str]:
    """Plan for some revisions behind the first one; return the hazards with their revisions and severities."""
    before = "a1"
    files: list[Path] = []
    for name, body in revisions.items():
        files.append(project.revision(name, before, "", body))
        before = name
    try:
        found = as_json(project, *args)["revisions"]
    finally:
        for file in files:
            file.unlink()
    return {
        (r["revision"], h["id"]): h["severity"]
        for r in found for h in r["hazards"] if h["hazard"] == "unfilled-column"
    }  # fmt: skip


PLAIN = 'op.add_column("users", sa.Column("nick", sa.Text))'


def test_what_was_required_before_is_told_once_and_nothing_that_fills_itself(project: ModelsProject) -> None:
    found = unfilled(project, b1=PLAIN, b2="pass")
    assert found == {("b2", "unfilled-column:users.legacy"): "warning"}


def test_a_trigger_may_fill_it(project: ModelsProject) -> None:
    assert unfilled(project, b1=f"op.execute('''{FILLS}''')") == {("b1", "unfilled-column:users.legacy"): "info"}


def test_what_the_plan_makes_optional_is_silent(project: ModelsProject) -> None:
    for body in (
        'op.alter_column("users", "legacy", nullable=True)',
        'op.alter_column("users", "legacy", server_default="x")',
        'op.rename_table("users", "people")',
    ):
        assert unfilled(project, b1=body) == {}


@pytest.mark.parametrize(
    ("body", "object_"),
    [
        ('op.alter_column("Odd %(x)s", "a.b", nullable=False, schema="App")', None),
        (
            'op.execute(\'\'\'ALTER TABLE "App"."Odd %(x)s" ADD COLUMN "c ""d" text NOT NULL\'\'\')',
            'App.Odd %(x)s.c "d',
        ),
        (
            "op.execute('''DO $$ BEGIN ALTER TABLE \"App\".\"Odd %(x)s\" ADD COLUMN e empty; END $$''')",
            "App.Odd %(x)s.e",
        ),
        (
            """op.execute('DROP TABLE "App"."Odd %(x)s"; CREATE TABLE "App"."Odd %(x)s" (x text NOT NULL)')""",
            "App.Odd %(x)s.x",
        ),
    ],
)
def test_what_the_plan_makes_required_is_a_danger_of_that_revision(
    project: ModelsProject, body: str, object_: str | None
) -> None:
    found = unfilled(project, b1='op.alter_column("users", "legacy", nullable=True)', b2=body, b3="pass")
    assert found == ({("b2", f"unfilled-column:{object_}"): "danger"} if object_ else {})


def test_a_plan_that_ends_before_the_models_do_is_not_judged_by_them(project: ModelsProject) -> None:
    assert unfilled(project, "b1", b1=PLAIN, b2="pass") == {}
