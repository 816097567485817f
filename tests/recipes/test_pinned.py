"""A column that a view, a trigger or a policy names, whose type PostgreSQL would change without touching a row."""

from __future__ import annotations

import contextlib
import io
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
    before = case.catalog
    case.config.attributes["models"] = notes(sa.BigInteger)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = commands.run("dev-push", (), case.config)
    assert code == 0, out.getvalue()
    differing = [one for one in compare(before, case.catalog, owners=False) if one.what != "type"]
    assert [one for one in differing if "alembic_safe" not in str(one)] == []
    assert case.run("SELECT * FROM seen") == [(1, 5)]
