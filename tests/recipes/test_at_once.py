"""What PostgreSQL has no other way for is done with consent, and said in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic_safe import renamed_from
from alembic_safe.errors import ConsentMissing
from tests.recipe_cases import assert_same, milestone

if TYPE_CHECKING:
    from tests.recipe_cases import Case


def users(*more: Any, name: str = "users", **kw: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column("span", postgresql.INT4RANGE)]
    sa.Table(name, metadata, *columns, *more, **kw)
    return metadata


def test_a_table_under_another_name_is_said_in_the_file(case: Case) -> None:
    case.begin(users())
    texts = case.revise(users(name="members", info=renamed_from("users")))
    assert set(texts) == {""}
    assert "users is renamed to members at once" in " ".join(texts[""].split())


def test_a_column_that_every_row_is_written_for_needs_consent(case: Case) -> None:
    def twice(**info: Any) -> sa.MetaData:
        return users(sa.Column("twice", sa.Integer, sa.Computed("id * 2", persisted=True), info=info))

    case.begin(users(), "INSERT INTO users VALUES (7)")
    with case.unchanged(), pytest.raises(ConsentMissing, match=r"generated column users\.twice is written") as stopped:
        case.revise(twice())
    assert "persisted=False" in str(stopped.value)
    assert 'info={"at_once": True}' in str(stopped.value)
    texts = case.revise(twice(at_once=True))
    assert set(texts) == {""}
    assert "users.twice is written into every row at once" in " ".join(texts[""].split())
    case.upgrade()
    assert case.run("SELECT twice FROM users") == [(14,)]


def test_a_primary_key_over_other_columns_needs_consent(case: Case) -> None:
    def keyed(*columns: str, **kw: Any) -> sa.MetaData:
        metadata = sa.MetaData()
        made = [
            sa.Column(name, sa.BigInteger, primary_key=name in columns, nullable=False, autoincrement=False)
            for name in ("id", "org")
        ]
        sa.Table("users", metadata, *made, **kw)
        return metadata

    with pytest.raises(AssertionError, match=r"primary key users_pkey reads all of users") as stopped:
        milestone(case, keyed("id"), keyed("org", "id"), "INSERT INTO users VALUES (7, 1)")
    said = "".join(str(stopped.value).split())
    assert '__table_args__=(...,{"info":{"at_once":["users_pkey"]}})' in said
    assert "op.add_constraint_using_index(...,replace=True)" in said
    new = keyed("org", "id", info={"at_once": ["users_pkey"]})
    texts = milestone(case, keyed("id"), new)
    assert set(texts) == {""}
    assert "users_pkey reads all of users" in " ".join(texts[""].split())
    case.upgrade()
    assert case.run("SELECT count(*) FROM users") == [(1,)]
    case.downgrade("-1")


def test_an_exclusion_constraint_needs_consent(case: Case) -> None:
    def apart(**kw: Any) -> sa.MetaData:
        return users(postgresql.ExcludeConstraint(("span", "&&"), name="apart"), **kw)

    with pytest.raises(AssertionError, match=r"exclusion constraint apart reads all of users") as stopped:
        milestone(case, users(), apart(), "INSERT INTO users VALUES (7, '[1,2)')")
    said = "".join(str(stopped.value).split())
    assert '__table_args__=(...,{"info":{"at_once":["apart"]}})' in said
    texts = milestone(case, users(), apart(info={"at_once": ["apart"]}))
    assert set(texts) == {""}
    assert "apart reads all of users" in " ".join(texts[""].split())
    case.upgrade()
    assert_same(case.created(apart()), case.catalog, "the end")
    case.downgrade("-1")
    assert_same(case.created(users()), case.catalog, "back")


def test_another_expression_of_a_generated_column_needs_consent(case: Case) -> None:
    def times(n: int, **info: Any) -> sa.MetaData:
        return users(sa.Column("times", sa.Integer, sa.Computed(f"id * {n}", persisted=True), info=info))

    with pytest.raises(AssertionError, match=r"generated column users\.times is written"):
        milestone(case, times(2), times(3), "INSERT INTO users VALUES (7)")
    texts = milestone(case, times(2), times(3, at_once=True))
    assert set(texts) == {""}
    case.upgrade()
    assert case.run("SELECT times FROM users") == [(21,)]
    assert_same(case.created(times(3)), case.catalog, "the end")


def test_a_type_under_an_exclusion_constraint_needs_consent(case: Case) -> None:
    def rooms(type_: Any, **info: Any) -> sa.MetaData:
        room = sa.Column("room", type_, info=info)
        return users(room, postgresql.ExcludeConstraint(("room", "="), name="apart", using="gist"))

    case.begin(users(sa.Column("room", sa.Integer)))
    case.run("ALTER TABLE users ADD CONSTRAINT apart EXCLUDE USING btree (room WITH =)")
    with case.unchanged(), pytest.raises(ConsentMissing, match="the exclusion constraint apart needs room"):
        case.revise(rooms(sa.BigInteger))
    assert set(case.revise(rooms(sa.BigInteger, at_once=True))) == {""}


def parted(*more: Any, type_: Any = sa.Integer, may: bool = False, **kw: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    columns = [sa.Column("day", sa.Integer, primary_key=True), sa.Column("no", type_, info={"at_once": may})]
    sa.Table("parted", metadata, *columns, *more, postgresql_partition_by="RANGE (day)", **kw)
    return metadata


ALONE = {
    "nothing": ("", ""),
    "an index": ("CREATE INDEX hot ON eu (no) WHERE day > 0", "index hot"),
    "a key": ("ALTER TABLE eu ADD CONSTRAINT hot UNIQUE (no)", "constraint hot"),
    "a check": ("ALTER TABLE eu ADD CONSTRAINT hot CHECK (no > 0)", "constraint hot"),
}


@pytest.mark.parametrize("what", ALONE)
def test_what_stands_on_one_partition_alone_is_not_lost(case: Case, what: str) -> None:
    """The twin of a partitioned table's column would have what the table has, and no more."""
    statement, shown = ALONE[what]
    case.begin(parted(sa.Index("every", "no"), sa.CheckConstraint("no < 9", name="few")))
    case.run(
        "CREATE TABLE eu PARTITION OF parted FOR VALUES FROM (1) TO (5); CREATE TABLE us PARTITION OF parted DEFAULT"
    )
    tomorrow = parted(sa.Index("every", "no"), sa.CheckConstraint("no < 9", name="few"), type_=sa.BigInteger)
    if not statement:
        assert set(case.revise(tomorrow)) >= {"expand", "copy"}
        return
    case.run(statement)
    with case.unchanged(), pytest.raises(ConsentMissing, match=f"the {shown} of the partition eu alone needs no"):
        case.revise(tomorrow)


def one() -> sa.UniqueConstraint:
    return sa.UniqueConstraint("day", "no", name="one")


def test_a_unique_constraint_of_a_partitioned_table_needs_consent(case: Case) -> None:
    case.begin(parted())
    with case.unchanged(), pytest.raises(ConsentMissing, match=r"constraint one reads all of parted") as stopped:
        case.revise(parted(one()))
    assert "sa.Index(..., unique=True)" in str(stopped.value)
    assert set(case.revise(parted(one(), info={"at_once": ["one"]}))) == {""}


def test_a_type_under_a_unique_constraint_of_a_partitioned_table_needs_consent(case: Case) -> None:
    case.begin(parted(one()))
    with case.unchanged(), pytest.raises(ConsentMissing, match="constraint one of a partitioned table needs no"):
        case.revise(parted(one(), type_=sa.BigInteger))
    assert set(case.revise(parted(one(), type_=sa.BigInteger, may=True))) == {""}
