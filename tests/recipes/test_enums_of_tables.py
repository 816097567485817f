"""A table comes with columns of an enum: who makes the type, and who takes it away?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from tests.recipe_cases import assert_same, walk

if TYPE_CHECKING:
    from tests.recipe_cases import Case

CONVENTION = {"ck": "ck_%(table_name)s_%(constraint_name)s", "ix": "ix_%(table_name)s_%(column_0_name)s"}


def models(*names: str, schema: str | None = None) -> sa.MetaData:
    """Return models with tables that have columns of one enum, and what else a table has."""
    metadata = sa.MetaData(schema=schema, naming_convention=CONVENTION)
    kind = sa.Enum("a", "b's", name="Kind", schema=schema)
    for name in names:
        parent: list[Any] = [sa.ForeignKey(f"{schema}.{names[0]}.id" if schema else f"{names[0]}.id")]
        sa.Table(
            name, metadata, sa.Column("id", sa.Integer, *(parent if name != names[0] else ()), primary_key=True),
            sa.Column("kind", kind, nullable=False, server_default="a", index=True, comment="which"),
            sa.Column("kinds", postgresql.ARRAY(kind)), sa.CheckConstraint("cardinality(kinds) > 0", name="some"),
            sa.Column("code", sa.Text, unique=True),
        )  # fmt: skip
    return metadata


@pytest.mark.parametrize("schema", [None, 'Off "it'])
def test_it_comes_before_its_tables_and_goes_behind_them(case: Case, schema: str | None) -> None:
    if schema:
        case.run('CREATE SCHEMA "Off ""it"')
    texts = walk(case, models(), models("one", "two", schema=schema))
    upgrade, _, downgrade = texts[""].partition("def downgrade")
    assert upgrade.count("op.create_enum_type('Kind', ['a', \"b's\"]") == 1
    assert downgrade.index("op.retire_table(") < downgrade.index("op.drop_enum_type('Kind'")


def test_a_table_takes_the_one_that_is_there(case: Case) -> None:
    texts = walk(case, models("one"), models("one", "two"))
    assert "enum_type(" not in texts[""]
    case.downgrade("base")
    assert case.run("SELECT kind FROM one") == []


def test_a_column_that_comes_as_well_is_of_the_same(case: Case) -> None:
    old = models("one")
    new = models("one", "two")
    more = sa.Enum("x", name="more")
    new.tables["one"].append_column(sa.Column("more", more))
    new.tables["two"].append_column(sa.Column("more", more))
    assert walk(case, old, new)[""].count("op.create_enum_type('more', ['x'])") == 1


def test_who_says_that_it_is_made_elsewhere_makes_it(case: Case) -> None:
    metadata = sa.MetaData()
    type_ = postgresql.ENUM("a", name="made", create_type=False)
    sa.Table("one", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("made", type_))
    assert "enum_type(" not in case.revise(metadata)[""]


def test_a_domain_beside_it_is_made_with_the_table_as_ever(case: Case) -> None:
    new = models("one")
    new.tables["one"].append_column(sa.Column("said", postgresql.DOMAIN("said", sa.Text, check="VALUE <> ''")))
    case.revise(new)
    case.upgrade()
    assert_same(case.created(new), case.catalog, "the end")
