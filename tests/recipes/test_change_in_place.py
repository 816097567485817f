"""A type that PostgreSQL changes without touching a row: nothing is read under its lock because of what stands on it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from alembic_safe.errors import ConsentMissing
from alembic_safe.inspecting.comparison import compare
from tests.held_locks import Held
from tests.recipe_cases import deploy, milestone, stop_everywhere, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.recipe_cases import Case

ROWS = "INSERT INTO notes (id, title, rank) SELECT n, 'title ' || n, n FROM generate_series(1, 50) n"
REFLECTED = "ignore:Can't validate argument 'dialect_options'"
"""What SQLAlchemy says of a check that is NOT VALID, or NO INHERIT."""
WHERE = sa.text("rank > 5")
UNREAD: dict[str, Callable[[], Any]] = {
    "an index": lambda: sa.Index("by", "title"),
    "a unique index that includes it": lambda: sa.Index("by", "id", unique=True, postgresql_include=["title"]),
    "a predicate on another one": lambda: sa.Index("by", "rank", postgresql_where=WHERE),
    "a pattern index": lambda: sa.Index(
        "by", "title", postgresql_ops={"title": "varchar_pattern_ops"}, postgresql_with={"fillfactor": 70}
    ),
}
BUILT: dict[str, Callable[[], Any]] = {
    "a partial index": lambda: sa.Index("by", "title", postgresql_where=WHERE),
    "a partial unique index": lambda: sa.Index("by", "title", unique=True, postgresql_where=WHERE),
    "a predicate on it": lambda: sa.Index("by", "rank", postgresql_where=sa.text("title IS NOT NULL")),
    "an expression": lambda: sa.Index("by", sa.text("length(title)")),
    "a predicate that is a column": lambda: sa.Index("by", "title", postgresql_where=sa.text("is_open")),
}


def notes(type_: Any, *parts: Any, **kw: Any) -> sa.MetaData:
    """Return models with a table that has a column of a type, and whatever else."""
    metadata = sa.MetaData()
    columns = [sa.Column("title", type_, **kw), sa.Column("rank", sa.Integer), sa.Column("is_open", sa.Boolean)]
    sa.Table("notes", metadata, sa.Column("id", sa.Integer, primary_key=True), *columns, *parts)
    return metadata


@pytest.mark.parametrize("index", UNREAD.values(), ids=list(UNREAD))
@pytest.mark.parametrize("type_", [sa.Text(), sa.String(40)], ids=["text", "longer"])
@pytest.mark.cases("text-an index")
def test_what_is_taken_over_as_it_is_lets_the_type_change_at_once(
    case: Case, index: Callable[[], Any], type_: Any
) -> None:
    assert set(walk(case, notes(sa.String(30), index()), notes(type_, index()), ROWS)) == {""}


@pytest.mark.parametrize("index", BUILT.values(), ids=list(BUILT))
@pytest.mark.parametrize("type_", [sa.Text(), sa.String(40)], ids=["text", "longer"])
@pytest.mark.cases("text-a partial index", "longer-an expression")
def test_where_an_index_would_be_built_anew_another_column_takes_the_place(
    case: Case, index: Callable[[], Any], type_: Any
) -> None:
    texts = walk(case, notes(sa.String(30), index()), notes(type_, index()), ROWS)
    assert "by made anew while nobody reads or writes the table" in " ".join(texts["expand"].split())
    assert 'info={"at_once": True}' in texts["expand"]


def test_a_value_that_the_old_column_cannot_hold_is_refused_until_the_contract(case: Case) -> None:
    index = BUILT["a partial index"]
    case.begin(notes(sa.String(10), index()), ROWS)
    texts = case.revise(notes(sa.String(40), index()))
    assert "a value of notes.title that character varying(10) cannot hold is refused" in " ".join(
        texts["expand"].split()
    )
    case.upgrade()
    with pytest.raises(psycopg.errors.StringDataRightTruncation):
        case.run("UPDATE notes SET title_new = 'longer than that' WHERE id = 1")
    case.ship()
    case.upgrade()
    case.run("UPDATE notes SET title = 'longer than that' WHERE id = 1")


def test_a_person_may_let_it_hold_everybody_up(case: Case) -> None:
    index = BUILT["a partial index"]
    texts = walk(case, notes(sa.String(30), index()), notes(sa.Text(), index(), info={"at_once": True}), ROWS)
    assert set(texts) == {""}
    said = "notes.title becomes text at once, with by made anew while nobody reads or writes the table."
    assert said in " ".join(texts[""].split())


def checks() -> tuple[sa.CheckConstraint, ...]:
    return (
        sa.CheckConstraint("title <> 'x' AND rank > 0", name="said"),
        sa.CheckConstraint("rank < 99", name="of another"),
        sa.CheckConstraint("length(title) < 90", name="Short, 100%"),
    )


def test_a_check_comes_again_for_the_rows_that_are_there_without_a_lock(case: Case) -> None:
    texts = walk(case, notes(sa.String(30), *checks()), notes(sa.Text(), *checks()), ROWS)
    assert set(texts) == {"expand"}
    assert "notes.title becomes text where it stands" in " ".join(texts["expand"].split())
    assert "fails in it once, as its type is another" in " ".join(texts["expand"].split())
    assert "of another" not in texts["expand"]


def test_no_row_is_read_while_the_type_changes(case: Case) -> None:
    case.begin(notes(sa.String(30), *checks()), ROWS)
    case.revise(notes(sa.Text(), *checks()))
    with _touched(case) as touched:
        deploy(case)
    assert touched == []
    # what it would have been
    case.downgrade("base")
    with _touched(case) as touched, case.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE notes ALTER COLUMN title TYPE text")
    assert touched == ["public.notes: read under ACCESS EXCLUSIVE"]


@contextmanager
def _touched(case: Case) -> Iterator[list[str]]:
    """Collect which tables a statement reads, or writes anew, under an exclusive lock."""
    seen: list[str] = []
    held: dict[int, Held] = {}
    is_looking: list[int] = []

    def before(connection: sa.Connection, *_: Any) -> None:
        if not is_looking:
            is_looking.append(1)
            held[id(connection)] = Held(connection)
            is_looking.clear()

    def behind(connection: sa.Connection, *_: Any) -> None:
        if not is_looking and id(connection) in held:
            is_looking.append(1)
            seen.extend(held.pop(id(connection)).touched())
            is_looking.clear()

    listeners = (("before_cursor_execute", before), ("after_cursor_execute", behind))
    for name, listener in listeners:
        sa.event.listen(case.engine, name, listener)
    yield seen
    for name, listener in listeners:
        sa.event.remove(case.engine, name, listener)


BY_HAND = (
    "ALTER TABLE notes ADD CONSTRAINT said CHECK (title <> 'x' AND rank > 0),"
    ' ADD CONSTRAINT "Short, 100%" CHECK (length(title) < 90)'
)


def test_a_change_in_place_that_stops_goes_on_and_back(case: Case) -> None:
    case.begin(sa.MetaData())
    case.revise(notes(sa.String(30)), "first")
    case.upgrade()
    case.run(ROWS + ";" + BY_HAND)
    new = notes(sa.Text())
    case.revise(new)
    assert stop_everywhere(case, new, "expand") == 3


@pytest.mark.parametrize("type_", [sa.Text(), sa.String(40)], ids=["text", "longer"])
@pytest.mark.cases("text")
def test_a_milestone_changes_default_and_check_with_the_type(case: Case, type_: Any) -> None:
    kw: dict[str, Any] = {"server_default": "new"}
    texts = milestone(case, notes(sa.String(30), *checks(), **kw), notes(type_, *checks(), **kw), ROWS)
    assert set(texts) == {"expand"}
    deploy(case)
    differing = [str(one) for one in compare(case.created(notes(type_, *checks(), **kw)), case.catalog, owners=False)]
    assert differing == []


LONG = "a default that is longer than the column was"


@pytest.mark.parametrize("default", [None, "a"], ids=["comes", "changes"])
@pytest.mark.cases("changes")
def test_a_default_comes_with_the_type_that_can_hold_it(case: Case, default: str | None) -> None:
    case.config.attributes["compares_defaults"] = True
    old, new = (
        notes(type_, *checks(), server_default=value)
        for type_, value in ((sa.String(5), default), (sa.String(60), LONG))
    )  # fmt: skip
    case.begin(old, "")
    texts = case.revise(new)
    assert set(texts) == {"expand"}
    deploy(case)
    differing = [str(one) for one in compare(case.created(new), case.catalog, owners=False)]
    assert [one for one in differing if "alembic_safe" not in one] == []
    case.downgrade("base")
    case.run("INSERT INTO notes (id, rank) VALUES (1, 1)")


def test_a_milestone_changes_default_and_type_where_alembic_compares_defaults(case: Case) -> None:
    case.config.attributes["compares_defaults"] = True
    old, new = notes(sa.String(5), *checks(), server_default="a"), notes(sa.Text(), *checks(), server_default="b")
    assert set(milestone(case, old, new, "")) == {"expand"}
    deploy(case)
    assert case.run("INSERT INTO notes (id, rank) VALUES (1, 1) RETURNING title") == [("b",)]


def _commented(type_: Any, comment: str | None, condition: str = "title <> 'x'", **kw: Any) -> sa.MetaData:
    return notes(type_, sa.CheckConstraint(condition, name="said", comment=comment), **kw)


@pytest.mark.parametrize("type_", [sa.Text(), sa.String(40)], ids=["text", "longer"])
@pytest.mark.parametrize("condition", ["title <> 'x'", "title <> 'y'"], ids=["the same", "another"])
@pytest.mark.cases("another-text")
def test_a_milestone_gives_a_check_its_comment_behind_all_else(case: Case, type_: Any, condition: str) -> None:
    texts = milestone(case, _commented(sa.String(30), "one"), _commented(type_, "it's two", condition), ROWS)
    with _touched(case) as touched:
        deploy(case)
    assert touched == []
    assert "COMMENT ON CONSTRAINT" in texts["copy"]
    differing = [
        str(one) for one in compare(case.created(_commented(type_, "it's two", condition)), case.catalog, owners=False)
    ]
    assert [one for one in differing if "alembic_safe" not in one] == []


def test_a_milestone_renames_a_partial_index_with_the_type(case: Case) -> None:
    old, new = (
        notes(type_, sa.Index(name, "title", postgresql_where=sa.text("rank > 5")))
        for type_, name in ((sa.String(30), "by"), (sa.String(40), "other"))
    )
    assert set(milestone(case, old, new, ROWS)) >= {"expand", "copy", "contract"}
    deploy(case)
    case.ship()
    case.upgrade()
    assert [
        str(one) for one in compare(case.created(new), case.catalog, owners=False) if "alembic_safe" not in str(one)
    ] == []


HEIRS = {
    "a check": "CREATE TABLE kid (extra integer, CHECK (title <> 'q')) INHERITS (notes)",
    "an index": "CREATE TABLE kid (extra integer) INHERITS (notes); CREATE INDEX alone ON kid (title) WHERE extra > 1",
    "the same check": (
        "CREATE TABLE kid (LIKE notes, CONSTRAINT said CHECK (title <> 'x')); ALTER TABLE notes ADD CONSTRAINT said"
        " CHECK (title <> 'x'); ALTER TABLE kid INHERIT notes"
    ),
}


@pytest.mark.parametrize("heir", HEIRS)
@pytest.mark.cases("the same check")
def test_what_a_table_has_alone_that_inherits_needs_consent(case: Case, heir: str) -> None:
    case.begin(notes(sa.String(30)), HEIRS[heir])
    with case.unchanged(), pytest.raises(ConsentMissing, match="of kid, which inherits from notes, needs title"):
        case.revise(notes(sa.String(40)))
    text = case.revise(notes(sa.String(40), info={"at_once": True}))[""]
    assert "notes.title becomes character varying(40) at once, with" in " ".join(text.split())


def test_a_table_without_a_key_needs_consent_for_an_index_that_is_built_anew(case: Case) -> None:
    case.begin(notes(sa.String(30), BUILT["a partial index"]()), ROWS)
    case.run("ALTER TABLE notes DROP CONSTRAINT notes_pkey")
    with case.unchanged(), pytest.raises(ConsentMissing, match="notes has no key without it"):
        case.revise(notes(sa.String(40), BUILT["a partial index"]()))


def test_who_consents_is_told_of_the_check_as_well(case: Case) -> None:
    parts = (BUILT["a partial index"], lambda: checks()[0])
    case.begin(notes(sa.String(30), *(part() for part in parts)), ROWS)
    texts = case.revise(notes(sa.String(40), *(part() for part in parts), info={"at_once": True}))
    assert "with by and said made anew" in " ".join(texts[""].split())


@pytest.mark.filterwarnings(REFLECTED)
def test_a_check_keeps_its_comment_and_whom_it_spares(case: Case) -> None:
    case.begin(notes(sa.String(30)), ROWS)
    case.run(
        "ALTER TABLE notes ADD CONSTRAINT \"one's\" CHECK (title <> '') NO INHERIT, ADD CONSTRAINT two CHECK (title <> 'x')"
    )
    case.run("COMMENT ON CONSTRAINT \"one's\" ON notes IS 'it''s 100%'; COMMENT ON CONSTRAINT two ON notes IS 'two'")
    before = case.catalog
    case.revise(notes(sa.String(40)))
    deploy(case)
    differing = [str(one) for one in compare(before, case.catalog, owners=False)]
    assert differing == ["column public.notes.title: type: character varying(30) -> character varying(40)"]
    case.downgrade("base")
    assert compare(before, case.catalog, owners=False) == ()


@pytest.mark.filterwarnings(REFLECTED)
def test_a_check_that_holds_for_new_rows_only_goes_on_like_that(case: Case) -> None:
    case.begin(notes(sa.String(30)), ROWS)
    case.run("ALTER TABLE notes ADD CONSTRAINT said CHECK (title = 'x') NOT VALID")
    assert set(case.revise(notes(sa.String(40)))) == {""}
    case.upgrade()


PARTED = """
CREATE TABLE notes (id integer, title varchar(30), rank integer, CONSTRAINT said CHECK (title <> '')) PARTITION BY RANGE (id);
CREATE TABLE notes_1 PARTITION OF notes FOR VALUES FROM (0) TO (100); CREATE TABLE notes_2 PARTITION OF notes DEFAULT
"""


def _parted(type_: Any, **kw: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    columns = [sa.Column("id", sa.Integer), sa.Column("title", type_, **kw), sa.Column("rank", sa.Integer)]
    check = sa.CheckConstraint("title <> ''", name="said")
    sa.Table("notes", metadata, *columns, check, postgresql_partition_by="RANGE (id)")
    return metadata


@pytest.mark.long
def test_a_check_of_a_partitioned_table_comes_again_on_its_partitions(case: Case) -> None:
    case.run(PARTED)
    case.run(ROWS)
    before = case.catalog
    case.revise(_parted(sa.String(40)))
    with _touched(case) as touched:
        deploy(case)
    assert touched == []
    differing = [str(one) for one in compare(before, case.catalog, owners=False)]
    assert all("type: character varying(30) -> character varying(40)" in one for one in differing)


@pytest.mark.parametrize("alone", ["ADD CHECK (title <> 'y')", "INDEX"], ids=["a check", "an index"])
def test_what_one_partition_has_alone_needs_consent(case: Case, alone: str) -> None:
    case.run(PARTED)
    case.run(
        "CREATE INDEX alone ON notes_1 (title) WHERE id > 5" if alone == "INDEX" else f"ALTER TABLE notes_1 {alone}"
    )
    with case.unchanged(), pytest.raises(ConsentMissing, match="of the partition notes_1 alone needs title"):
        case.revise(_parted(sa.String(40)))
    assert set(case.revise(_parted(sa.String(40), info={"at_once": True}))) == {""}


def test_an_index_that_one_partition_has_alone_and_that_stays_as_it_is_needs_none(case: Case) -> None:
    case.run(PARTED + "; CREATE INDEX alone ON notes_1 (title)")
    assert set(case.revise(_parted(sa.String(40)))) == {"expand"}
