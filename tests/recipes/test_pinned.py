"""A column that a view, a trigger or a policy names, whose type PostgreSQL would change without touching a row."""

from __future__ import annotations

import contextlib
import io
import re
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from alembic_safe import commands
from alembic_safe.errors import Refused
from alembic_safe.inspecting.comparison import compare
from tests.recipe_cases import deploy, milestone

if TYPE_CHECKING:
    from tests.recipe_cases import Case

ROWS = "INSERT INTO notes SELECT n, 'title ' || n FROM generate_series(1, 20) n"
VIEW = 'CREATE VIEW seen AS SELECT id, title AS "the Title" FROM notes; GRANT SELECT ON seen TO pg_monitor'
PINS = {
    "view seen": VIEW,
    "trigger told": (
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        " CREATE TRIGGER told BEFORE UPDATE OF title ON notes FOR EACH ROW EXECUTE FUNCTION note()"
    ),
    "policy mine": "CREATE POLICY mine ON notes FOR SELECT TO pg_monitor USING (title <> '')",
}


def notes(type_: Any, **kw: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("notes", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("title", type_, **kw))
    return metadata


@pytest.mark.parametrize("pin", PINS)
@pytest.mark.cases("view seen")
def test_another_column_takes_the_place_and_what_names_it_is_made_again(case: Case, pin: str) -> None:
    case.begin(notes(sa.String(30)), ROWS + ";" + PINS[pin])
    before = case.catalog
    texts = case.revise(notes(sa.String(40)))
    said = "PostgreSQL changes no type under what names the column, which is made again then:"
    assert f"{said} {pin}." in " ".join(texts["expand"].split())
    case.upgrade()
    case.ship()
    case.upgrade()
    _require_only_the_type(case, before)
    case.downgrade("base")
    assert compare(before, case.catalog, owners=False) == ()


def _require_only_the_type(case: Case, before: Any) -> None:
    differing = [str(one) for one in compare(before, case.catalog, owners=False)]
    assert differing
    assert all("type: character varying(30) -> character varying(40)" in one for one in differing), differing


def _with_a_view(case: Case, models: sa.MetaData, more: str = VIEW) -> None:
    """Let the first revision make a view, too."""
    case.begin(sa.MetaData())
    case.revise(models, "first")
    (path,) = case.files
    text, drop = path.read_text(), more.partition(" AS ")[0].replace("CREATE", "DROP")
    up, down = text.split("def downgrade")
    down = down.replace("    op.drop_table", f"    op.execute({drop!r})\n    op.drop_table", 1)
    path.write_text(f"{up.rstrip()}\n    op.execute({more!r})\n\n\ndef downgrade{down}")
    case.upgrade()


@pytest.mark.parametrize(
    "types", [(sa.String(30), sa.String(40)), (sa.Integer, sa.BigInteger)], ids=["in place", "wider"]
)
def test_a_milestone_finds_the_type_under_a_view(case: Case, types: tuple[Any, Any]) -> None:
    _with_a_view(case, notes(types[0]))
    before = case.catalog
    texts = milestone(case, notes(types[0]), notes(types[1]))
    assert set(texts) == {"expand", "copy", "contract"}
    deploy(case)
    case.ship()
    case.upgrade()
    differing = [one for one in compare(before, case.catalog, owners=False) if one.what != "type"]
    assert differing == []


TOLD = (
    "DO 'BEGIN CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN RETURN NEW; END''; END';"
    " CREATE TRIGGER told AFTER UPDATE OF title ON notes FOR EACH ROW WHEN (NEW.title <> OLD.title) EXECUTE FUNCTION note()"
)


def test_a_trigger_stands_aside_in_a_push(case: Case) -> None:
    case.begin(sa.MetaData())
    case.revise(notes(sa.Integer), "first")
    case.upgrade()
    case.run(TOLD)
    case.run("COMMENT ON TRIGGER told ON notes IS 'one'; ALTER TABLE notes DISABLE TRIGGER told")
    _push(case, notes(sa.BigInteger))


def test_a_collation_changes_under_a_view(case: Case) -> None:
    _with_a_view(case, notes(sa.Text))
    _push(case, notes(sa.Text(collation="C")), "collation")


def _push(case: Case, models: sa.MetaData, what: str = "type") -> None:
    before = case.catalog
    case.config.attributes["models"] = models
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = commands.run("dev-push", (), case.config)
    assert code == 0, out.getvalue()
    differing = [one for one in compare(before, case.catalog, owners=False) if "alembic_safe" not in str(one)]
    assert {one.what for one in differing} == {what}


OF_THE_VIEW = {
    "function f()": "CREATE FUNCTION f() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM seen; END",
    "function f(seen)": "CREATE FUNCTION f(one seen) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "policy theirs": (
        'CREATE TABLE others (a varchar); CREATE POLICY theirs ON others USING (a IN (SELECT "the Title" FROM seen))'
    ),
}
OF_A_PART = {
    "view v": "CREATE VIEW v AS SELECT title FROM notes_1",
    "policy p": "CREATE POLICY p ON notes_1 USING (title <> '')",
    "trigger told": PINS["trigger told"].replace("ON notes", "ON notes_1"),
    "view w": "CREATE TABLE kid (extra integer) INHERITS (whole); CREATE VIEW w AS SELECT title FROM kid",
}


@pytest.mark.parametrize("named", OF_THE_VIEW)
@pytest.mark.parametrize("type_", [sa.String(40), sa.Integer], ids=["in place", "another"])
@pytest.mark.cases("in place-function f(seen)", "another-policy theirs")
def test_what_stands_on_a_view_is_refused_by_name_before_a_file_is_written(case: Case, named: str, type_: Any) -> None:
    case.begin(notes(sa.String(30)), VIEW)
    case.run(OF_THE_VIEW[named])
    info = {"up": "title::integer", "down": "title::text"}
    with case.unchanged(), pytest.raises(Refused, match=f"under what names the column: .*{re.escape(named)}"):
        case.revise(notes(type_, info=info))


@pytest.mark.parametrize("named", OF_A_PART)
@pytest.mark.cases("view v", "view w")
def test_what_names_the_column_of_a_part_is_refused_by_name(case: Case, named: str) -> None:
    case.run("CREATE TABLE whole (id integer PRIMARY KEY, title varchar(30))")
    case.run("CREATE TABLE notes (id integer, title varchar(30), PRIMARY KEY (id)) PARTITION BY RANGE (id)")
    case.run("CREATE TABLE notes_1 PARTITION OF notes FOR VALUES FROM (0) TO (100)")
    case.run(OF_A_PART[named])
    new = sa.MetaData()
    for name, more in (("whole", {}), ("notes", {"postgresql_partition_by": "RANGE (id)"})):
        sa.Table(name, new, sa.Column("id", sa.Integer, primary_key=True), sa.Column("title", sa.String(40)), **more)
    with case.unchanged(), pytest.raises(Refused, match=f"under what names the column: {named}"):
        case.revise(new)


def test_consent_does_not_help_where_the_server_refuses(case: Case) -> None:
    case.begin(notes(sa.String(30)), VIEW)
    case.run("ALTER TABLE notes ADD CONSTRAINT apart EXCLUDE USING btree (title WITH =)")
    with (
        case.unchanged(),
        pytest.raises(Refused, match=r"as the exclusion constraint apart needs title, and .*: view seen"),
    ):
        case.revise(notes(sa.String(40)))


def test_the_comment_of_a_key_leaves_what_refers_to_it_alone(case: Case) -> None:
    def models(comment: str | None) -> sa.MetaData:
        metadata = sa.MetaData()
        key = sa.PrimaryKeyConstraint("id", name="pkx", comment=comment)
        sa.Table("notes", metadata, sa.Column("id", sa.Integer), key)
        refers = sa.ForeignKeyConstraint(["n"], ["notes.id"], name="fk")
        sa.Table("kids", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer), refers)
        return metadata

    texts = milestone(case, models(None), models("it's one"))
    assert set(texts) == {""}
    assert "COMMENT ON CONSTRAINT" in texts[""]
    assert "DROP CONSTRAINT" not in texts[""]


@pytest.mark.cases("materialized view")
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("CREATE MATERIALIZED VIEW seen AS SELECT title FROM notes", "materialized view seen"),
        ("CREATE VIEW seen AS SELECT title + 1 AS more FROM notes", "what names it cannot be made again"),
    ],
    ids=["materialized view", "a view of the old type"],
)
def test_what_cannot_be_made_again_is_refused_by_name(case: Case, more: str, said: str) -> None:
    _with_a_view(case, notes(sa.Integer), more)
    info = {"up": "title::text", "down": "title::integer"}
    with pytest.raises(AssertionError, match=said) as error:
        milestone(case, notes(sa.Integer), notes(sa.Text, info=info))
    assert "Unexpected" not in str(error.value)


def test_autogenerate_refuses_what_the_server_would_refuse(case: Case) -> None:
    case.begin(notes(sa.String(30)), ROWS + "; CREATE MATERIALIZED VIEW kept AS SELECT title FROM notes")
    with case.unchanged(), pytest.raises(Refused, match="materialized view kept"):
        case.revise(notes(sa.String(40)))


def test_a_push_changes_the_type_under_a_view(case: Case) -> None:
    _with_a_view(case, notes(sa.Integer))
    case.run("INSERT INTO notes VALUES (1, 5)")
    _push(case, notes(sa.BigInteger))
    assert case.run("SELECT * FROM seen") == [(1, 5)]
