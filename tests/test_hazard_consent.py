"""What stops a deployment, how somebody consents to it, and that consent holds for the plan that was shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from alembic_safe.deploying.events import Finished, Noted
from alembic_safe.deploying.upgrade import Request
from alembic_safe.deploying.upgrade import safe_upgrade as safe_upgrade_from_python
from alembic_safe.settings import Settings
from tests.deploys import heads, rows, safe_upgrade
from tests.project import Project
from tests.test_plan import as_json, safe_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster import Cluster

LESS = 'op.drop_column("users", "mail")'


def project_on(folder: Path, url: str, *, settings: str = "") -> Project:
    project = Project.create(folder, url, settings=settings)
    project.revision("b1", "a3", "index", 'op.create_index("users_name", "users", ["name"])')
    project.revision("b2", "b1", "less", LESS)
    return project


@pytest.fixture(scope="module")
def ground(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database at a3 with 300 users, and a function and a view that nothing in the plan touches."""
    name = "consent_ground"
    cluster.create(name)
    project = Project.create(tmp_path_factory.mktemp("ground") / "app", cluster.url(name))
    project.run("upgrade", "head", check=0)
    with cluster.connect(name) as c:
        c.execute("INSERT INTO users (name, mail) SELECT 'n' || i, 'm' || i FROM generate_series(1, 300) i")
        c.execute("CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        c.execute("CREATE TYPE mood AS ENUM ('ok')")
    yield name
    cluster.drop(name)


@pytest.fixture
def shop(tmp_path: Path, cluster: Cluster, ground: str, make_database: Callable[..., str]) -> Project:
    return project_on(tmp_path / "app", cluster.url(make_database(template=ground)))


def name_of(project: Project) -> str:
    return project.url.rpartition("/")[2]


def test_what_loses_rows_is_refused_before_anything_runs_and_named(shop: Project, cluster: Cluster) -> None:
    ended = safe_upgrade(shop, check=3)
    assert "drop-column:users.mail (b2) needs consent by name" in ended.text
    assert "300 values are lost" in ended.text
    assert "op.retire_column" in ended.text
    assert "Nothing was changed." in ended.text
    assert heads(cluster, name_of(shop)) == ["a3"]
    assert rows(cluster, name_of(shop), "SELECT to_regnamespace('alembic_safe') AS it") == [{"it": None}]


def test_consent_by_name_lets_exactly_that_pass(shop: Project, cluster: Cluster) -> None:
    safe_upgrade(shop, "--accept", "drop-column:users.name", check=3)
    safe_upgrade(shop, "--yes", check=3)  # destruction is not answered for by --yes
    ended = safe_upgrade(shop, "--accept", "drop-column:users.mail")
    assert "Accepted drop-column:users.mail" in ended.text
    assert heads(cluster, name_of(shop)) == ["b2"]


def test_consent_in_the_reviewed_file_needs_a_reason(shop: Project, cluster: Cluster) -> None:
    shop.revision("b2", "b1", "less", LESS, extra='accept = {"drop-column:users.mail": ""}')
    safe_upgrade(shop, check=3)
    shop.revision("b2", "b1", "less", LESS, extra='accept = {"drop-column:users.mail": "nobody reads it since June"}')
    ended = safe_upgrade(shop, "--json")
    (one,) = [h for h in ended.json["plan"]["hazards"] if h["id"] == "drop-column:users.mail"]
    assert one["accepted"] == "in the file: nobody reads it since June"
    assert heads(cluster, name_of(shop)) == ["b2"]


def test_the_policy_of_the_project_decides(shop: Project, cluster: Cluster) -> None:
    shop.settings("policy = loses=warn, create-index=refuse")
    ended = safe_upgrade(shop, check=3)
    assert "create-index:users.users_name (b1) needs consent" in ended.text
    safe_upgrade(shop, "--accept", "create-index:users.users_name")
    assert heads(cluster, name_of(shop)) == ["b2"]


def test_what_would_fail_on_the_rows_is_refused_with_its_count(shop: Project, cluster: Cluster) -> None:
    taken_out(shop)
    shop.revision("b2", "b1", "once", 'op.create_check_constraint("few", "users", "id < 300")')
    ended = safe_upgrade(shop, check=3)
    assert "would make it fail" in ended.text
    assert "1 row of users" in ended.text
    assert "--accept" not in ended.text
    assert heads(cluster, name_of(shop)) == ["a3"]


def test_on_a_protected_database_every_danger_needs_consent(shop: Project, cluster: Cluster) -> None:
    shop.settings("environment = production\npolicy = large=1kB, small=1kB")
    ended = safe_upgrade(shop, "--no-backup", "--confirm", name_of(shop), check=3)
    assert "2 hazards need consent by name" in ended.text
    assert "users.users_name" in ended.text
    consents = ("--accept", "drop-column:users.mail", "--accept", "create-index:users.users_name")
    safe_upgrade(shop, "--no-backup", "--confirm", name_of(shop), *consents)
    assert heads(cluster, name_of(shop)) == ["b2"]


def test_an_empty_database_is_not_worth_a_shadow(project: Project) -> None:
    ended = safe_upgrade(project, "--json")
    assert ended.json["plan"]["observed"] is False
    assert ended.json["plan"]["hazards"] == []


def test_a_plan_that_was_shown_is_the_one_that_runs(shop: Project, cluster: Cluster) -> None:
    plan = as_json(shop)["plan"]
    assert len(plan) == 12
    assert plan == as_json(shop, "--accept", "drop-column:users.mail")["plan"]
    safe_upgrade(shop, "--plan", plan[:5], check=2)
    safe_upgrade(shop, "--plan", plan, check=3)  # the hash is no consent
    safe_upgrade(shop, "--plan", plan[:6], "--accept", "drop-column:users.mail")
    assert heads(cluster, name_of(shop)) == ["b2"]


# --- fifteen ways in which a plan becomes another one ----------------------------------------------------------------


@pytest.fixture(scope="module")
def shown(cluster: Cluster, ground: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of the plan, as a person saw it on a copy of the same database."""
    cluster.create("consent_shown", ground)
    project = project_on(tmp_path_factory.mktemp("shown") / "app", cluster.url("consent_shown"))
    plan = as_json(project)["plan"]
    cluster.drop("consent_shown")
    return str(plan)


def edited(project: Project) -> None:
    project.revision("b1", "a3", "index", 'op.create_index("users_name", "users", ["name", "mail"])')


def added(project: Project) -> None:
    project.revision("b3", "b2", "more", 'op.add_column("users", sa.Column("x", sa.Integer))')


def inserted(project: Project) -> None:
    project.revision("a9", "a3", "before", "pass")
    project.revision("b1", "a9", "index", 'op.create_index("users_name", "users", ["name"])')


def taken_out(project: Project) -> None:
    next((project.folder / "migrations" / "versions").glob("b2_*")).unlink()


def accepted_in_file(project: Project) -> None:
    project.revision("b2", "b1", "less", LESS, extra='accept = {"drop-column:users.mail": "why"}')


def policy(project: Project) -> None:
    project.settings("policy = drop-index=ask")


def bounds(project: Project) -> None:
    project.settings("policy = small=1kB")


def deployed(project: Project) -> None:
    safe_upgrade(project, "b1")


def by_hand(sql: str) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        import psycopg

        with psycopg.connect(project.url.replace("+psycopg", ""), autocommit=True) as c:
            c.execute(sql)

    return change


WAYS = {
    "a file was edited": edited,
    "a revision was added": added,
    "a revision was put in between": inserted,
    "a revision was taken out": taken_out,
    "consent was written into the file": accepted_in_file,
    "the policy is another one": policy,
    "a bound of the size classes is another one": bounds,
    "another deploy came first": deployed,
    "the table grew into another class": by_hand(
        "INSERT INTO users (name) SELECT repeat('x', 3000) || i FROM generate_series(1, 6000) i;"
        "ALTER TABLE users ALTER name SET STORAGE EXTERNAL; UPDATE users SET name = name || 'y'"
    ),
    "the table was emptied": by_hand("DELETE FROM users"),
    "a column was added by hand": by_hand("ALTER TABLE users ADD COLUMN by_hand int"),
    "an index was made by hand": by_hand("CREATE INDEX by_hand ON users (mail)"),
    "a view was made by hand": by_hand("CREATE VIEW by_hand AS SELECT name FROM users"),
    "a function was changed by hand": by_hand("CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 2'"),
    "an enum got a label by hand": by_hand("ALTER TYPE mood ADD VALUE 'glad'"),
    "rights were granted by hand": by_hand("GRANT SELECT ON users TO PUBLIC"),
    "a default was changed by hand": by_hand("ALTER TABLE users ALTER name SET DEFAULT 'x'"),
}  # fmt: skip


OFTEN = {"a file was edited", "the policy is another one", "another deploy came first", "the table was emptied",
         "a view was made by hand"}  # fmt: skip
"""Those that the default run tries; the long one tries them all."""


@pytest.mark.parametrize("way", [way if way in OFTEN else pytest.param(way, marks=pytest.mark.long) for way in WAYS])
def test_a_plan_that_is_no_longer_what_was_shown_is_refused(
    shop: Project, shown: str, way: str, cluster: Cluster
) -> None:
    WAYS[way](shop)
    before = heads(cluster, name_of(shop))
    ended = safe_upgrade(shop, "--plan", shown, "--accept", "drop-column:users.mail", "--drift", "off", check=3)
    assert f"and --plan says {shown}" in ended.text
    assert heads(cluster, name_of(shop)) == before


def test_rows_within_a_class_change_nothing(shop: Project, shown: str) -> None:
    by_hand("INSERT INTO users (name, mail) SELECT 'q' || i, 'q' FROM generate_series(1, 50) i")(shop)
    safe_upgrade(shop, "--plan", shown, "--accept", "drop-column:users.mail")


def test_what_appears_while_the_backup_is_taken_stops_the_run(shop: Project, cluster: Cluster, tmp_path: Path) -> None:
    script = tmp_path / "backup.sh"
    sql = "ALTER TABLE users ADD COLUMN meanwhile int"
    script.write_text(
        f"#!/bin/sh\n{cluster.bin}/psql -h 127.0.0.1 -p {cluster.port} -U postgres -d {name_of(shop)} -c '{sql}'\n"
    )
    script.chmod(0o755)
    shop.settings(f"backup_command = {script}")
    ended = safe_upgrade(shop, "--backup", "--accept", "drop-column:users.mail", check=3)
    assert "The plan changed after consent was given" in ended.text
    assert heads(cluster, name_of(shop)) == ["a3"]


def test_safe_plan_and_a_dry_run_show_the_same_plan(shop: Project) -> None:
    assert safe_upgrade(shop, "--dry-run", "--json", check=3).json["plan"]["hash"] == as_json(shop)["plan"]
    assert "drop-column:users.mail" in safe_plan(shop).out


# --- what fails as it stands is mended, and no consent helps ---------------------------------------------------------

VIEWED = 'op.drop_column("users", "name")'
REQUIRED = 'op.add_column("users", sa.Column("z", sa.Integer, nullable=False))'


@pytest.mark.parametrize(
    ("body", "sql", "hazard"),
    [
        (VIEWED, "CREATE VIEW named AS SELECT name FROM users", "used-by-others:b2"),
        (REQUIRED, "SELECT 1", "add-column-required:users.z"),
        ('op.drop_column("users", "nowhere")', "SELECT 1", "does-not-run:b2"),
        ('op.create_check_constraint("few", "users", "id < 300")', "SELECT 1", "violating-rows:users.few"),
    ],
    ids=["a view", "a required column", "no such column", "a check"],
)
@pytest.mark.cases("a view", "a check")
def test_no_consent_is_offered_or_taken_for_what_fails_as_it_stands(
    shop: Project, cluster: Cluster, body: str, sql: str, hazard: str
) -> None:
    by_hand(sql)(shop)
    taken_out(shop)
    for extra in ("", f'accept = {{"{hazard}": "why"}}'):
        shop.revision("b2", "b1", "fails", body, extra=extra)
        shown = safe_plan(shop, "--exit-code", "--accept", hazard, check=4)
        assert "no consent helps" in shown.text
        assert f"--accept {hazard}" not in shown.text
    for given in ((), ("--accept", hazard)):
        ended = safe_upgrade(shop, "--backup", "--drift", "off", *given, check=3)
        assert f"{hazard} (b2) would make it fail." in ended.text
        assert f"{hazard} was consented to, and would fail all the same." in ended.text
        assert "mend what would fail" in ended.text
        assert "--accept" not in ended.text
    assert heads(cluster, name_of(shop)) == ["a3"]
    assert not (shop.folder / "backups").exists()


EXPAND = """
op.add_column("users", sa.Column("name_new", sa.Integer))
op.sync_columns("users", "name", "name_new", up="name::integer", down="name_new::text")
"""
COPY = 'op.backfill("users", set_={"name_new": "name::integer"})'
UNCAST = "uncastable-values:users.name"


def synced(shop: Project, *, between: str = "", copy: str = COPY) -> None:
    """Write an expand and its copy, for values that do not convert, with something between them."""
    shop.revision("b2", "b1", "less", EXPAND, extra='phase = "expand"\nchange = "names"\nsettles = ()')
    shop.revision("b3", "b2", "between", between or "pass")
    shop.revision("b4", "b3", "names", copy, extra='phase = "copy"\nchange = "names"')


def test_a_row_that_a_sync_cannot_convert_stops_the_run_before_its_expand(shop: Project, cluster: Cluster) -> None:
    synced(shop)
    ended = safe_upgrade(shop, check=3)
    assert f"{UNCAST} (b2) needs consent by name." in ended.text
    assert "cannot give name_new a value by name::integer" in " ".join(ended.text.split())
    assert f"--accept {UNCAST}" in ended.text
    assert heads(cluster, name_of(shop)) == ["a3"]
    # where one before it mends them, it is run: whether that mends all is not known
    shop.revision("b1", "a3", "index", 'op.execute("UPDATE users SET name = substr(name, 2)")')
    safe_upgrade(shop)
    assert heads(cluster, name_of(shop)) == ["b4"]
    assert rows(cluster, name_of(shop), "SELECT count(*) AS n FROM users WHERE name_new = id") == [{"n": 300}]


def test_an_expand_whose_copy_leaves_such_rows_out_or_comes_later_can_be_consented_to(
    shop: Project, cluster: Cluster
) -> None:
    synced(shop)
    safe_upgrade(shop, "b2", check=3)
    safe_upgrade(shop, "b2", "--accept", UNCAST)
    with cluster.connect(name_of(shop)) as c:
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            c.execute("UPDATE users SET mail = 'x'")
        c.execute("UPDATE users SET name = substr(name, 2) WHERE id > 1")
    synced(shop, copy=COPY.replace("})", """}, where="name ~ '^[0-9]+$'")"""))
    safe_upgrade(shop)
    assert heads(cluster, name_of(shop)) == ["b4"]


def test_a_consent_to_it_holds_for_a_copy_in_the_same_plan(shop: Project, cluster: Cluster) -> None:
    synced(shop, copy=COPY.replace("})", """}, where="name ~ '^[0-9]+$'")"""))
    assert f"--accept {UNCAST}" in safe_upgrade(shop, check=3).text
    safe_upgrade(shop, "--accept", UNCAST)
    assert heads(cluster, name_of(shop)) == ["b4"]


def test_what_a_loop_over_rows_may_have_mended_can_be_consented_to(shop: Project, cluster: Cluster) -> None:
    by_hand("UPDATE users SET mail = NULL WHERE id < 9")(shop)
    shop.revision(
        "b2", "b1", "less",
        'for row in op.get_bind().execute(sa.text("SELECT id FROM users WHERE mail IS NULL")).all():\n'
        '    op.execute(f"UPDATE users SET mail = \'none\' WHERE id = {row.id}")\n'
        'op.alter_column("users", "mail", nullable=False)',
    )  # fmt: skip
    ended = safe_upgrade(shop, check=3)
    assert "which was not seen" in ended.text
    assert "--accept null-values:users.mail" in ended.text
    safe_upgrade(shop, "--accept", "null-values:users.mail")
    assert heads(cluster, name_of(shop)) == ["b2"]


def test_what_failed_by_a_value_on_a_shadow_can_be_consented_to(shop: Project, cluster: Cluster) -> None:
    shop.revision("b2", "b1", "less", 'op.get_bind().execute(sa.text("SELECT id FROM users LIMIT 1")).one()')
    ended = safe_upgrade(shop, check=3)
    assert "--accept does-not-run:b2" in ended.text
    safe_upgrade(shop, "--accept", "does-not-run:b2")
    assert heads(cluster, name_of(shop)) == ["b2"]


def test_a_required_column_of_an_empty_table_is_no_failure(shop: Project, cluster: Cluster) -> None:
    by_hand("TRUNCATE users")(shop)
    shop.revision("b2", "b1", "less", REQUIRED)
    safe_upgrade(shop)
    assert heads(cluster, name_of(shop)) == ["b2"]


# --- a dry run ends as the run itself would --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "options", "code"),
    [
        ("", (), 3),
        ("environment = production", (), 3),
        ("", ("--accept", "drop-column:users.mail", "--confirm", "another"), 3),
        ("environment = production", ("--accept", "drop-column:users.mail", "--no-backup"), 3),
        ("environment = production\npolicy = rehearsed", ("--rehearse", "off"), 3),
        ("", ("--accept", "drop-column:users.mail", "--rehearse", "backup"), 2),
        ("", ("--plan", "abcdef123456"), 3),
    ],
    ids=[
        "a hazard",
        "production",
        "another name",
        "no backup",
        "rehearsed",
        "no backup to rehearse on",
        "another plan",
    ],
)
@pytest.mark.cases("a hazard", "no backup", "rehearsed")
def test_a_dry_run_is_stopped_by_what_would_stop_the_run_itself(
    shop: Project, cluster: Cluster, settings: str, options: tuple[str, ...], code: int
) -> None:
    shop.settings(settings)
    dry = safe_upgrade(shop, *options, "--dry-run", check=code)
    real = safe_upgrade(shop, *options, check=code)
    said = dry.err.partition("This was a dry run")[0]
    assert said
    assert real.err.startswith(said)
    assert f"safe-upgrade would stop here, too (exit {code}). Nothing was changed." in dry.text
    assert "Done" not in dry.out
    assert rows(cluster, name_of(shop), "SELECT to_regnamespace('alembic_safe') AS it") == [{"it": None}]


def test_a_dry_run_as_json_is_refused_like_its_hazards(shop: Project) -> None:
    found = safe_upgrade(shop, "--dry-run", "--json", check=3).json
    assert found["outcome"] == "refused"
    assert found["error"].startswith("drop-column:users.mail (b2) needs consent by name")
    assert [(one["level"], one["accepted"]) for one in found["plan"]["hazards"] if one["id"].startswith("drop")] == [
        ("ask", "")
    ]
    found = safe_upgrade(shop, "--dry-run", "--json", "--accept", "drop-column:users.mail").json
    assert (found["outcome"], found["changed"]) == ("done", False)


def test_a_consent_that_fits_no_hazard_is_told_and_stops_nothing(shop: Project, cluster: Cluster) -> None:
    mistyped = "--accept drop-column:users.mial: the plan has no such hazard. Did you mean drop-column:users.mail?"
    given = ("--accept", "drop-column:users.mial", "--accept", "publication:all")
    for words in ((), ("--dry-run",)):
        ended = safe_upgrade(shop, *words, *given, check=3)
        assert next(line for line in ended.err.splitlines() if "--accept" in line) == f"Note     {mistyped}"
        assert "no such hazard" not in ended.out
        assert "drop-column:users.mail (b2) needs consent by name" in ended.text
    found = safe_upgrade(shop, "--json", "--dry-run", *given, check=3).json
    assert [one["text"] for one in found["notes"] if "--accept" in one["text"]] == [mistyped]
    kept = ("--accept", "drop-column:users.mail", "--accept", "drop-column:orders.gone_long_ago")
    ended = safe_upgrade(shop, *kept)
    assert "Note     --accept drop-column:orders.gone_long_ago: the plan has no such hazard.\n" in ended.err
    assert heads(cluster, name_of(shop)) == ["b2"]
    assert "no such hazard" not in safe_upgrade(shop, *kept).text  # nothing is pending: there is no plan


def test_where_a_revision_does_not_run_through_nobody_knows_which_hazards_it_has_not(shop: Project) -> None:
    shop.revision("b3", "b2", "fails", 'op.drop_table("nowhere")')
    ended = safe_upgrade(shop, "--dry-run", "--accept", "drop-table:nowhere", check=3)
    assert "no such hazard" not in ended.text


def test_a_dry_run_at_a_terminal_tells_what_would_be_asked_and_asks_nobody(shop: Project) -> None:
    told: list[object] = []
    request = Request(dry_run=True, on_terminal=True, ask=pytest.fail)
    safe_upgrade_from_python(shop.config, Settings.load(shop.config), request, told.append)
    (asks,) = [one.text for one in told if isinstance(one, Noted) and one.label == "Asks"]
    assert asks.startswith("drop-column:users.mail: ")
    assert isinstance(told[-1], Finished)


def test_a_database_that_has_tables_and_no_revision_is_sent_to_the_baseline(
    tmp_path: Path, cluster: Cluster, ground: str, make_database: Callable[..., str]
) -> None:
    project = Project.create(tmp_path / "app", cluster.url(make_database(template=ground)))
    by_hand("DROP TABLE alembic_version; DROP FUNCTION one; DROP TYPE mood")(project)
    for options in ((), ("--dry-run",)):
        ended = safe_upgrade(project, *options, check=3)
        assert "DuplicateTable" in ended.text
        assert "it has tables and no revision: find theirs alembic safe-baseline" in ended.text
        assert "mend the revision" not in ended.text
    assert "it has tables and no revision: find theirs alembic safe-baseline" in safe_plan(project).text
    project.run("safe-baseline", check=0)
    assert heads(cluster, name_of(project)) == ["a3"]


_PARENT_FIRST = """
op.execute("INSERT INTO o VALUES (7)")
op.create_foreign_key("logs_o", "logs", "o", ["o"], ["id"])
"""
_DETACHED = """
op.execute("ALTER TABLE logs DETACH PARTITION logs1")
op.add_column("logs", sa.Column("z", sa.Integer, nullable=False))
"""
_PARTITIONED = """
CREATE TABLE logs (id int) PARTITION BY RANGE (id); CREATE TABLE logs1 PARTITION OF logs DEFAULT;
INSERT INTO logs SELECT generate_series(1, 300); ANALYZE logs
"""
_OF_ROWS = """
ids = [row.id for row in op.get_bind().execute(sa.text("SELECT id FROM users WHERE id < 3")).all()]
op.execute(f"UPDATE users SET mail = '' WHERE id IN ({', '.join(map(str, ids))})")
"""
_REFERRING = "CREATE TABLE o (id int PRIMARY KEY); CREATE TABLE logs (o int); INSERT INTO logs VALUES (7)"
_TENANT = "op.execute(\"SELECT set_config('app.now', current_setting('app.tenant'), true)\")"
MENDED = {
    "the row that others refer to comes first": (_REFERRING, _PARENT_FIRST, "orphan-rows:logs.logs_o"),
    "its partition goes": (_PARTITIONED, _DETACHED, "add-column-required:logs.z"),
    "the shadow lacks a setting": ("ALTER DATABASE {} SET app.tenant = 'x'", _TENANT, "does-not-run:b2"),
    "it is made of rows": ("SELECT 1", _OF_ROWS, "does-not-run:b2"),
}
"""What is done by hand, the revision, and what it is called that may run all the same."""


@pytest.mark.parametrize("case", MENDED)
@pytest.mark.cases("the row that others refer to comes first", "it is made of rows")
def test_what_may_run_on_the_target_all_the_same_can_be_consented_to(
    shop: Project, cluster: Cluster, case: str
) -> None:
    sql, body, hazard = MENDED[case]
    with cluster.connect(name_of(shop)) as c:
        c.execute(sql.format(name_of(shop)))
    shop.revision("b2", "b1", "less", body)
    safe_upgrade(shop, "--drift", "off", check=3)
    safe_upgrade(shop, "--drift", "off", "--accept", hazard)
    assert heads(cluster, name_of(shop)) == ["b2"]
