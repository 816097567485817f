"""Does a database that was there before its revisions get to the right one, and only with proof?"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest
from alembic import command

from alembic_safe.commands import load
from tests.guard_targets import Made
from tests.guarded import mark_as
from tests.hand_edits import SCHEMA
from tests.project import Project
from tests.test_adopt import TEMPLATE, versions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cluster import Cluster

RICH = """
CREATE SCHEMA billing;
CREATE TYPE billing.state AS ENUM ('open', 'paid: 100%');
CREATE DOMAIN billing.amount AS numeric(12, 2) CHECK (VALUE >= 0);
CREATE SEQUENCE billing.numbers START 1000 INCREMENT 10;
CREATE TABLE billing.invoices (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number bigint NOT NULL DEFAULT nextval('billing.numbers'),
  state billing.state NOT NULL DEFAULT 'open', total billing.amount, doubled numeric GENERATED ALWAYS AS (total * 2) STORED,
  "Odd name" text COLLATE "C", CONSTRAINT number_once UNIQUE (number) DEFERRABLE);
CREATE TABLE billing.lines (id serial PRIMARY KEY, invoice_id bigint REFERENCES billing.invoices ON DELETE CASCADE, at date);
CREATE INDEX ON billing.lines (at) WHERE at > '2020-01-01';
CREATE TABLE events (id int, at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE FUNCTION billing.sum_of(i bigint) RETURNS numeric LANGUAGE sql STABLE BEGIN ATOMIC
  SELECT sum(total) FROM billing.invoices WHERE id = i; END;
CREATE FUNCTION billing.stamp() RETURNS trigger LANGUAGE plpgsql AS $f$
BEGIN
  RAISE NOTICE 'a:b %', 1;   -- blanks stay
  RETURN NEW;
END $f$;
CREATE TRIGGER stamped BEFORE INSERT ON billing.invoices FOR EACH ROW EXECUTE FUNCTION billing.stamp();
CREATE VIEW billing.unpaid AS SELECT * FROM billing.invoices WHERE state = 'open';
CREATE MATERIALIZED VIEW billing.totals AS SELECT billing.sum_of(id) AS s FROM billing.unpaid;
ALTER TABLE billing.lines ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON billing.lines USING (invoice_id > 0);
CREATE STATISTICS billing.both_of ON id, at FROM billing.lines;
COMMENT ON TABLE billing.invoices IS 'what is owed';
COMMENT ON COLUMN billing.invoices.total IS 'in ''cents''';
GRANT SELECT ON billing.invoices TO PUBLIC;
REVOKE EXECUTE ON FUNCTION billing.sum_of(bigint) FROM PUBLIC;
INSERT INTO billing.invoices (total) VALUES (5);
"""


def run(project: Project, name: str, *args: str) -> int:
    return load(name).main(list(args), obj=project.config, standalone_mode=False) or 0


@pytest.fixture
def made(cluster: Cluster, database: str) -> Made:
    return Made(cluster, database)


@pytest.fixture
def bare(tmp_path: Path, cluster: Cluster, database: str) -> Project:
    """A project without any revision."""
    project = Project.create(tmp_path / "bare", cluster.url(database), plain=False)
    (project.folder / "migrations" / "script.py.mako").write_text(TEMPLATE)
    return project


def test_a_database_without_revisions_gets_a_first_one_that_rebuilds_it(
    bare: Project, made: Made, make_database: Callable[..., str], cluster: Cluster
) -> None:
    with made.connect() as c:
        c.execute(RICH)
    before = made.schema()
    assert run(bare, "safe-baseline", "-m", "what was there") == 0
    (head,) = made.heads()
    with made.connect() as c:
        assert c.execute("SELECT count(*) FROM billing.invoices").fetchone() == (1,)
    other = Made(cluster, make_database())
    config = bare.config
    config.set_main_option("sqlalchemy.url", cluster.url(other.name))
    command.upgrade(config, "head")
    assert other.heads() == {head}
    assert sorted(other.schema().splitlines()) == sorted(made.schema().splitlines())
    assert set(before.splitlines()) <= set(made.schema().splitlines())


def test_run_again_it_verifies_and_changes_nothing(bare: Project, made: Made) -> None:
    with made.connect() as c:
        c.execute("CREATE TABLE users (id int PRIMARY KEY)")
    assert run(bare, "safe-baseline") == 0
    before, names = made.state(), versions(bare)
    assert run(bare, "safe-baseline") == 0
    assert (made.state(), versions(bare)) == (before, names)
    with made.connect() as c:
        c.execute("ALTER TABLE users ADD name text")
    assert run(bare, "safe-baseline") == 4
    assert versions(bare) == names


@pytest.mark.long
def test_nothing_is_undone_below_the_first_revision(bare: Project, made: Made) -> None:
    with made.connect() as c:
        c.execute("CREATE TABLE users (id int PRIMARY KEY)")
    run(bare, "safe-baseline")
    before = made.state()
    with pytest.raises(NotImplementedError, match="was there before it"):
        command.downgrade(bare.config, "base")
    assert made.state() == before


def test_an_empty_database_needs_no_baseline(project: Project, made: Made) -> None:
    before = made.state()
    assert run(project, "safe-baseline") == 0
    assert made.state() == before


@pytest.mark.parametrize("upto", ["a1", pytest.param("a3", marks=pytest.mark.long)])
def test_the_revision_that_made_a_database_is_found_and_stamped(
    upto: str, project: Project, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    command.upgrade(project.config, upto)
    with made.connect() as c:
        c.execute("DROP TABLE alembic_version; INSERT INTO users DEFAULT VALUES")
    before = made.schema()
    capsys.readouterr()
    assert run(project, "safe-baseline", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["databases"]
    assert (found["outcome"], found["heads"]) == ("stamped", [upto])
    assert made.heads() == {upto}
    assert set(before.splitlines()) <= set(made.schema().splitlines())
    assert run(project, "safe-baseline") == 0


@pytest.mark.long
def test_revisions_that_change_rows_only_are_named_and_the_newest_counts(
    project: Project, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    project.revision("a4", "a3", "rows", 'op.execute("INSERT INTO users DEFAULT VALUES")')
    command.upgrade(project.config, "a3")
    with made.connect() as c:
        c.execute("DROP TABLE alembic_version")
    run(project, "safe-baseline")
    assert made.heads() == {"a4"}
    assert "So it is at a3" in capsys.readouterr().out


def test_where_no_revision_fits_the_nearest_is_named_and_nothing_is_stamped(
    project: Project, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    command.upgrade(project.config, "a2")
    with made.connect() as c:
        c.execute("DROP TABLE alembic_version; CREATE INDEX by_hand ON users (name)")
    before = made.state()
    capsys.readouterr()
    assert run(project, "safe-baseline") == 4
    said = capsys.readouterr().out
    assert "a2, with 1 difference" in said
    assert "+ index public.by_hand" in said
    assert made.state() == before


def test_a_protected_database_may_be_stamped_with_what_it_was_proven_to_be(project: Project, made: Made) -> None:
    command.upgrade(project.config, "a3")
    mark_as(made, "production", protected=True)
    with made.connect() as c:
        c.execute("DROP TABLE alembic_version")
    assert run(project, "safe-baseline") == 0
    assert made.heads() == {"a3"}
    with made.connect() as c:
        assert c.execute("SELECT revision, direction, command FROM alembic_safe.revisions").fetchall() == [
            ("a3", "stamp", "safe-baseline")
        ]
        assert c.execute("SELECT heads, command FROM alembic_safe.catalogs").fetchall() == [(["a3"], "safe-baseline")]


@pytest.mark.parametrize("files", [True, False])
def test_a_dry_run_writes_nothing_not_even_a_version_table(
    files: bool, project: Project, bare: Project, made: Made
) -> None:
    with made.connect() as c:
        c.execute("CREATE TABLE users (id serial PRIMARY KEY, name text)")
    chosen = project if files else bare
    before, names = made.state(), versions(chosen)
    begin = made.log_everything()
    assert run(chosen, "safe-baseline", "--dry-run") == 0
    assert made.writes_since(begin) == []
    assert (made.state(), versions(chosen)) == (before, names)


@pytest.mark.long
def test_containers_that_start_together_stamp_once(project: Project, made: Made) -> None:
    command.upgrade(project.config, "a3")
    with made.connect() as c:
        c.execute("DROP TABLE alembic_version")
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(project.run("safe-baseline").returncode)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0, 0]
    assert made.heads() == {"a3"}


@pytest.mark.long
def test_what_hand_edits_start_from_is_rebuilt_by_a_first_revision(bare: Project, project: Project, made: Made) -> None:
    project.revision("a4", "a3", "shops", SCHEMA)
    command.upgrade(project.config, "a4")
    with made.connect() as c:
        c.execute("DROP TABLE alembic_version")
    assert run(bare, "safe-baseline") == 0
