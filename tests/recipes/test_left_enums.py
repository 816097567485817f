"""Every column leaves an enum: it goes with the contract, unless something else needs it."""

from __future__ import annotations

import contextlib
import io
import logging
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.dialects import postgresql

from alembic_safe import commands, renamed_from
from alembic_safe.authoring.keeping import reverses
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.comparison import EXISTS, Difference
from alembic_safe.inspecting.open_differences import is_settled
from alembic_safe.inspecting.settles import parse_settle
from alembic_safe.operations.enum_types import CreateEnumTypeOp, DropEnumTypeOp
from tests.recipe_cases import stop_everywhere, walk
from tests.stepwise import HOSTILE, Stepwise, place

if TYPE_CHECKING:
    from tests.recipe_cases import Case

__all__ = ["place"]

MOOD = sa.Enum("a", "b's", name="Mood")
SAID = {"up": "mood::text", "down": 'mood::"Mood"'}
OTHER = {"up": "mood::text::other", "down": 'mood::text::"Mood"'}
ROWS = "INSERT INTO days VALUES (1, 'a'), (2, 'b''s')"
DROPPED = """op.drop_enum_type('Mood', ['a', "b's"], if_unused=True)"""


def days(type_: Any = None, *more: Any, **kw: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    mood = [] if type_ is None else [sa.Column("mood", type_, **kw)]
    sa.Table("days", metadata, sa.Column("id", sa.Integer, primary_key=True), *mood, *more)
    return metadata


def enums(case: Case) -> list[str]:
    return [name for (name,) in case.run("SELECT typname FROM pg_type WHERE typtype = 'e' ORDER BY 1")]


@pytest.mark.parametrize(
    "type_",
    [
        sa.Text(), sa.String(20), sa.Enum("a", "b's", name="Mood", native_enum=False),
        sa.Enum("a", "b's", name="Mood", native_enum=False, create_constraint=True), sa.Enum("b's", "a", name="other"),
    ],
    ids=["text", "string", "plain", "checked", "another enum"],
)  # fmt: skip
@pytest.mark.cases("text", "checked")
def test_it_goes_with_the_change_of_its_column_and_comes_back_with_it(case: Case, type_: Any) -> None:
    said = SAID if isinstance(type_, sa.String) and not getattr(type_, "native_enum", False) else OTHER
    texts = walk(case, days(MOOD, nullable=False), days(type_, nullable=False, info=said), ROWS)
    assert DROPPED in texts["contract"]
    assert "Takes the enum Mood away, where nothing else needs it." in texts["contract"]
    assert "enum_type(" not in texts["expand"] + texts["copy"]


@pytest.mark.parametrize("schema", [None, 'Off "it'])
@pytest.mark.cases('Off "it')
def test_every_column_of_it_counts_arrays_and_those_that_go_as_well(case: Case, schema: str | None) -> None:
    mood = sa.Enum("a", "b's", name="Mood", schema=schema)
    of = '"Mood"' if schema is None else '"Off ""it"."Mood"'

    def models(*, new: bool) -> sa.MetaData:
        metadata = sa.MetaData(schema=schema)
        said = {"up": "moods::text[]", "down": f"moods::{of}[]"} if new else {}
        moods = postgresql.ARRAY(sa.Text if new else mood)
        more = [] if new else [sa.Column("gone", mood)]
        sa.Table(
            "days", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("moods", moods, info=said), *more
        )
        if not new:
            sa.Table("nights", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("mood", mood))
        return metadata

    texts = walk(case, models(new=False), models(new=True))
    assert texts["contract"].count("op.drop_enum_type(") == 1


@pytest.mark.parametrize("goes", ["column", "table"])
@pytest.mark.cases("table")
def test_it_goes_with_the_column_or_the_table_that_goes(case: Case, goes: str) -> None:
    case.begin(days(MOOD), ROWS)
    new = days() if goes == "column" else sa.MetaData()
    assert DROPPED in case.revise(new)["contract"]
    case.upgrade()
    case.check(new)
    case.ship()
    case.upgrade()
    assert enums(case) == []
    case.downgrade("base")
    assert case.run("SELECT id, mood::text FROM days ORDER BY id") == [(1, "a"), (2, "b's")]
    assert enums(case) == ["Mood"]


THEIRS = {"a table": 'CREATE TABLE theirs (m "Mood"[])', "a type": 'CREATE TYPE theirs AS (m "Mood")'}
"""What autogenerate is kept from, or does not know."""


@pytest.mark.parametrize("needs", ["another column", "no column", *THEIRS])
def test_one_that_something_else_needs_is_left_alone(case: Case, needs: str) -> None:
    env = case.folder / "migrations" / "env.py"
    left_out = "include_schemas=True, include_object=lambda one, name, *_: name != 'theirs'"
    env.write_text(env.read_text().replace("include_schemas=True", left_out))

    def also() -> list[Any]:
        return [sa.Column("also", MOOD)] if needs == "another column" else []

    new = days(sa.Text, *also(), info=SAID)
    if needs == "no column":
        sa.Enum("a", "b's", name="Mood", metadata=new)
    case.begin(days(MOOD, *also()), THEIRS.get(needs, ""))
    texts = case.revise(new)
    assert "drop_enum_type(" not in "".join(texts.values())
    case.upgrade()
    case.ship()
    case.upgrade()
    assert enums(case) == ["Mood"]


def test_what_came_to_need_it_meanwhile_keeps_it_and_is_named(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    case.begin(days(MOOD), ROWS)
    case.revise(days(sa.Text, info=SAID))
    case.upgrade()
    case.run("CREATE FUNCTION judged(\"Mood\") RETURNS integer LANGUAGE sql AS 'SELECT 1'")
    case.ship()
    for _ in range(2):
        with caplog.at_level(logging.WARNING, logger="alembic.safe.enum"):
            case.upgrade()
        assert 'The enum Mood stays: it is needed by function judged("Mood")' in caplog.messages
        assert enums(case) == ["Mood"]
        case.downgrade("-1")
    case.run('DROP FUNCTION judged("Mood")')
    case.upgrade()
    assert enums(case) == []


def test_a_contract_that_stopped_goes_on_and_is_taken_back_from_wherever_it_stands(case: Case) -> None:
    case.begin(days(MOOD, server_default="a"), ROWS)
    new = days(sa.Text, server_default="a", info=SAID)
    case.revise(new)
    case.upgrade()
    case.ship()
    assert stop_everywhere(case, new, "contract") > 2


def test_where_the_type_changes_at_once_the_enum_goes_behind_it_in_the_same_revision(case: Case) -> None:
    # what is part of an exclusion constraint has no other way
    case.begin(days(MOOD), "ALTER TABLE days ADD CONSTRAINT apart EXCLUDE USING btree (mood WITH =)")
    texts = case.revise(days(sa.Text, info=SAID | {"at_once": True}))
    upgrade, _, downgrade = texts[""].partition("def downgrade")
    assert set(texts) == {""}
    assert upgrade.index("op.alter_column(") < upgrade.index(DROPPED)
    assert downgrade.index("op.create_enum_type('Mood'") < downgrade.index("op.alter_column(")
    case.upgrade()
    assert enums(case) == []


def test_a_column_that_is_called_otherwise_and_of_another_enum_leaves_it_for_later(case: Case) -> None:
    state = sa.Enum("x", "y", name="state")
    info = renamed_from("mood") | {"up": "CASE WHEN mood = 'a' THEN 'x' ELSE 'y' END::state", "down": "'a'::\"Mood\""}
    case.begin(days(MOOD), ROWS)
    assert "drop_enum_type('Mood'" not in "".join(
        case.revise(days(None, sa.Column("state", state, info=info))).values()
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_the_operation_looks_who_needs_it_and_a_script_leaves_that_to_the_server(place: Stepwise, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    place.given(f"CREATE TABLE u (id integer); CREATE TYPE {quoted} AS ENUM ('a'); ALTER TABLE u ADD m {quoted}[]")
    script = place.script("drop_enum_type", name, ["a"], if_unused=True)
    place.op("drop_enum_type", name, ["a"], if_unused=True)
    place.run_script(script)
    assert place.all("SELECT count(*) FROM pg_type WHERE typtype = 'e'") == [(1,)]
    place.run("ALTER TABLE u DROP m")
    place.run_script(script)
    for _ in range(2):
        place.op("drop_enum_type", name, ["a"], if_unused=True)
    assert place.all("SELECT count(*) FROM pg_type WHERE typtype = 'e'") == [(0,)]


def left(place: Stepwise) -> list[str]:
    return [name for (name,) in place.all("SELECT oid::regtype::text FROM pg_type WHERE typtype = 'e' ORDER BY 1")]


BODIES = {
    "plpgsql": "LANGUAGE plpgsql AS $f$ DECLARE m {} := t; BEGIN RETURN m::text; END $f$",
    "sql": "LANGUAGE sql AS $f$ SELECT t::{}::text $f$",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_function_that_says_it_in_its_body_needs_it(
    place: Stepwise, caplog: pytest.LogCaptureFixture, name: str, body: str
) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    place.given(
        f"CREATE TYPE {quoted} AS ENUM ('a'); CREATE FUNCTION judged(t text) RETURNS text {body.format(quoted)}"
    )
    place.op("drop_enum_type", name, ["a"], if_unused=True)
    said = f"The enum {name} stays: it is needed by function judged(text) (its body says the name)"
    assert [record.getMessage() for record in caplog.records if record.name == "alembic.safe.enum"] == [said]
    place.run_script(place.script("drop_enum_type", name, ["a"], if_unused=True))
    assert place.all("SELECT judged('a')") == [("a",)]


@pytest.mark.parametrize("scripted", [False, True])
def test_one_whose_name_is_only_a_part_of_a_word_in_a_body_goes(place: Stepwise, *, scripted: bool) -> None:
    place.given(
        "CREATE TYPE moo AS ENUM ('a'); CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $f$ SELECT 'moon, my_moo' $f$;"
        "CREATE TYPE shout AS ENUM ('a');"
        "CREATE FUNCTION g() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN RETURN 'a'::SHOUT; END $f$"
    )
    for name in ("moo", "shout"):
        if scripted:
            place.run_script(place.script("drop_enum_type", name, ["a"], if_unused=True))
        else:
            place.op("drop_enum_type", name, ["a"], if_unused=True)
    assert left(place) == ["shout"]


@pytest.mark.parametrize("scripted", [False, True])
@pytest.mark.parametrize(
    ("there", "why"),
    [
        ("CREATE TYPE public.moo AS ENUM ('a')", ""),
        ("CREATE TYPE app.moo AS ENUM ('x', 'y')", "it has other labels than the revision says"),
        ("CREATE DOMAIN app.moo AS text", "another type has its name"),
    ],
    ids=["another schema", "other labels", "no enum"],
)
def test_what_is_another_type_of_its_name_stays(
    place: Stepwise, caplog: pytest.LogCaptureFixture, there: str, why: str, *, scripted: bool
) -> None:
    place.given(f"CREATE SCHEMA app; {there}")
    script = place.script("drop_enum_type", "moo", ["a"], if_unused=True)
    with place.engine.begin() as c:
        c.exec_driver_sql("SET LOCAL search_path = app, public")
        if scripted:
            c.execute(sa.text(script.replace(":", r"\:")))
        else:
            Operations(MigrationContext.configure(c)).drop_enum_type("moo", ["a"], if_unused=True)
    assert place.all("SELECT count(*) FROM pg_type WHERE typname = 'moo'") == [(1,)]
    said = [record.getMessage() for record in caplog.records if record.name == "alembic.safe.enum"]
    assert said == ([f"The enum moo stays: {why}"] if why and not scripted else [])


def test_it_comes_back_where_it_was_though_another_schema_has_one_of_its_name(place: Stepwise) -> None:
    place.given("CREATE SCHEMA app; CREATE TYPE app.moo AS ENUM ('a'); CREATE TYPE public.moo AS ENUM ('x', 'y')")
    with place.engine.begin() as c:
        c.exec_driver_sql("SET LOCAL search_path = app, public")
        op = Operations(MigrationContext.configure(c))
        op.drop_enum_type("moo", ["a"], if_unused=True)
        assert c.exec_driver_sql("SELECT to_regtype('app.moo') IS NULL").scalar()
        op.create_enum_type("moo", ["a"], if_not_exists=True)
        assert c.exec_driver_sql("SELECT 'a'::app.moo::text").scalar() == "a"


@pytest.mark.parametrize("name", HOSTILE)
def test_the_way_back_of_a_script_makes_it_where_it_went_and_leaves_the_one_that_stayed(
    place: Stepwise, name: str
) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    script = place.script("create_enum_type", name, ["a", "b$'s"], if_not_exists=True)
    for _ in range(2):
        place.run_script(script)
    assert place.all(f"SELECT enum_range(NULL::{quoted})::text[]") == [(["a", "b$'s"],)]


@pytest.mark.parametrize("first", ["retired", "swapped", "its table"])
def test_it_goes_where_its_last_columns_leave_in_two_open_changes(case: Case, first: str) -> None:
    def models(*, one: bool, other: bool) -> sa.MetaData:
        info = {"up": "a::text", "down": 'a::"Mood"'}
        gone = {"retired": [], "its table": [], "swapped": [sa.Column("a", sa.Text, info=info)]}[first]
        a = [sa.Column("a", MOOD)] if one else gone
        metadata = sa.MetaData()
        if one or first != "its table":
            sa.Table("nights", metadata, sa.Column("id", sa.Integer, primary_key=True), *a)
        sa.Table(
            "days", metadata, sa.Column("id", sa.Integer, primary_key=True), *([sa.Column("b", MOOD)] if other else [])
        )
        return metadata

    case.begin(models(one=True, other=True))
    assert "drop_enum_type(" not in "".join(case.revise(models(one=False, other=True), "one").values())
    case.upgrade()
    texts = case.revise(models(one=False, other=False), "other")
    assert DROPPED in texts["contract"]
    case.upgrade()
    case.check(models(one=False, other=False))
    with contextlib.redirect_stdout(io.StringIO()):
        assert commands.run("safe-contract", (), case.config) == 0
    case.upgrade()
    assert enums(case) == []
    case.downgrade("base")
    assert enums(case) == ["Mood"]


def test_one_of_which_a_column_stays_is_left_alone_while_another_change_is_open(case: Case) -> None:
    def models(*columns: str) -> sa.MetaData:
        return days(None, *(sa.Column(name, MOOD) for name in columns))

    case.begin(models("a", "b", "c"))
    case.revise(models("b", "c"), "one")
    case.upgrade()
    assert "drop_enum_type(" not in "".join(case.revise(models("c"), "other").values())


def test_its_reverse_makes_it_where_it_went() -> None:
    (made,) = reverses([DropEnumTypeOp("mood", ["a"], schema="s", if_unused=True)])
    assert isinstance(made, CreateEnumTypeOp)
    assert (made.type_name, made.labels, made.schema, made.if_not_exists) == ("mood", ("a",), "s", True)


def test_whether_it_went_already_is_no_difference_while_the_change_is_open() -> None:
    line = parse_settle('drop_type public."Mood" {"if_unused": true, "labels": ["a"]}')
    assert is_settled(Difference(ObjectId("enum", "public", "Mood"), EXISTS, left=True, right=None), [line])
    assert not is_settled(Difference(ObjectId("enum", "public", "mood"), EXISTS, left=True, right=None), [line])
    other = Difference(ObjectId("enum", "public", "Mood"), "labels", left=("a",), right=("a", "b"))
    assert not is_settled(other, [line])
