"""A primary key gets another type, and every foreign key that refers to it goes with it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from psycopg.errors import UniqueViolation

from alembic_safe.errors import Refused
from tests.patience import eventually
from tests.recipe_cases import assert_same, deploy, milestone, stop_everywhere, walk
from tests.traffic import traffic

if TYPE_CHECKING:
    import random

    import psycopg

    from tests.recipe_cases import Case

ROWS = """
INSERT INTO users (boss) VALUES (NULL), (1), (2);
INSERT INTO orders (user_id) VALUES (1), (3), (3)
"""


def shop(key: Any, reference: Any = None, *more: Any) -> sa.MetaData:
    """Users with a boss among them, and their orders."""
    metadata, reference = sa.MetaData(), reference or key
    boss = sa.Column("boss", reference, sa.ForeignKey("users.id", ondelete="SET NULL"), index=True)
    sa.Table("users", metadata, sa.Column("id", key, *more, primary_key=True), boss, sa.Column("name", sa.Text))
    user = sa.Column("user_id", reference, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True)
    sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True), user)
    return metadata


def test_a_key_and_what_refers_to_it_change_together(case: Case) -> None:
    texts = walk(case, shop(sa.Integer), shop(sa.BigInteger), ROWS)
    assert (
        "op.swap_columns('users', ('id', 'boss'), ('id_new', 'boss_new'), primary_key='users_pkey')"
        in texts["contract"]
    )
    assert (
        "op.rename_constraint('orders_user_id_fkey_new', 'orders_user_id_fkey', 'orders', replace=True)"
        in texts["contract"]
    )
    assert case.run("SELECT id, boss FROM users ORDER BY id") == [(1, None), (2, 1), (3, 2)]
    assert case.run("SELECT user_id FROM orders ORDER BY id") == [(1,), (3,), (3,)]
    assert case.run("INSERT INTO users (boss) VALUES (3) RETURNING id") == [(4,)]


@pytest.mark.long
def test_an_identity_goes_on_counting_and_what_keeps_its_type_goes_on_referring(case: Case) -> None:
    walk(case, shop(sa.Integer, sa.Integer, sa.Identity()), shop(sa.BigInteger, sa.Integer, sa.Identity()), ROWS)
    assert case.run("INSERT INTO users (boss) VALUES (3) RETURNING id") == [(4,)]
    case.run("SELECT setval(pg_get_serial_sequence('users', 'id'), 3000000000)")
    assert case.run("INSERT INTO users (boss) VALUES (4) RETURNING id") == [(3000000001,)]


HELD_UP = """
CREATE FUNCTION held_up(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
  BEGIN
    IF current_setting('test.waits', true) = 'yes' THEN PERFORM pg_advisory_xact_lock(71); END IF;
    RETURN $1;
  END $$
"""
_KEY_AGAIN = "ALTER TABLE tags DROP CONSTRAINT tags_pkey; ALTER TABLE tags ADD CONSTRAINT tags_pkey PRIMARY KEY (id)"
"""Indexes are written in the order in which they were made: now a writer is held up before it writes to its key."""


def upserted_by_two(case: Case, key: int, otherwise: str = "(id) DO UPDATE SET place = 2") -> str:
    """Let a session upsert a key while another one has begun to; return how the other one ends."""
    found: list[str] = []
    sql: Any = f"INSERT INTO tags (id, place) VALUES ({key}, 1) ON CONFLICT {otherwise}"

    def upsert() -> None:
        with case.cluster.connect(case.database) as c:
            c.execute("SET test.waits = 'yes'")
            try:
                c.execute(sql)
            except UniqueViolation as error:
                found.append(str(error.diag.constraint_name))

    other = threading.Thread(target=upsert)
    with case.cluster.connect(case.database) as c:
        c.execute("SELECT pg_advisory_lock(71)")
        other.start()
        eventually(lambda: bool(case.run("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")))
        c.execute(sql)
    other.join(60)
    assert not other.is_alive()
    return "".join(found) or str(case.run(f"SELECT place FROM tags WHERE id = {key}"))


def test_of_two_upserts_of_one_new_key_at_once_one_can_fail_until_the_contract_and_the_file_says_so(case: Case) -> None:
    def tags(key: Any) -> sa.MetaData:
        metadata = sa.MetaData()
        held = sa.Index("held", sa.text("held_up(place)"))
        sa.Table("tags", metadata, sa.Column("id", key, primary_key=True), sa.Column("place", sa.Integer), held)
        return metadata

    case.run(HELD_UP)
    case.begin(tags(sa.Integer), _KEY_AGAIN)
    assert upserted_by_two(case, 1) == "[(2,)]"
    texts = case.revise(tags(sa.BigInteger))
    case.upgrade()
    assert upserted_by_two(case, 2) == "tags_pkey_new"
    assert upserted_by_two(case, 3, "DO NOTHING") == "[(1,)]"
    assert "one can fail on tags_pkey_new, and has to try again" in " ".join(texts["copy"].split())
    case.ship()
    case.upgrade()
    assert upserted_by_two(case, 4) == "[(2,)]"


def client(connection: psycopg.Connection[Any], chance: random.Random, mine: dict[int, Any]) -> None:
    """Do what an application does with users of its own, and hold that it finds what it wrote.

    :param mine: each user's name, boss and orders.
    """
    kind = chance.randrange(6)
    user = chance.choice(list(mine)) if mine else None
    if user is None or kind == 0:
        [row] = connection.execute("INSERT INTO users (name) VALUES ('new') RETURNING id")
        mine[row[0]] = {"name": "new", "boss": None, "orders": set()}
    elif kind == 1:
        name = f"name {chance.random()}"
        connection.execute(
            "INSERT INTO users (id, name) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
            [user, name],
        )
        mine[user]["name"] = name
    elif kind == 2:
        [row] = connection.execute("INSERT INTO orders (user_id) VALUES (%s) RETURNING id", [user])
        mine[user]["orders"].add(row[0])
    elif kind == 3:
        boss = chance.choice(list(mine))
        connection.execute("UPDATE users SET boss = %s WHERE id = %s", [boss, user])
        mine[user]["boss"] = boss
    elif kind == 4 and len(mine) > 5:
        connection.execute("DELETE FROM users WHERE id = %s", [user])
        del mine[user]
        for other in mine.values():
            other["boss"] = None if other["boss"] == user else other["boss"]
    else:
        found = connection.execute(
            "SELECT u.name, u.boss, array_remove(array_agg(o.id), NULL) FROM users u LEFT JOIN orders o ON o.user_id = u.id"
            " WHERE u.id = %s GROUP BY u.id", [user],
        ).fetchone()  # fmt: skip
        assert found is not None
        assert (found[0], found[1], set(found[2])) == (mine[user]["name"], mine[user]["boss"], mine[user]["orders"])


@pytest.mark.long
def test_no_statement_fails_meanwhile_and_nothing_is_lost(case: Case) -> None:
    case.begin(shop(sa.Integer), ROWS)
    case.revise(shop(sa.BigInteger))
    with traffic(case.cluster, case.database, client, client, client) as clients:
        deploy(case)
        case.ship()
        deploy(case)
    assert_same(case.created(shop(sa.BigInteger)), case.catalog, "the end")
    wrote = {user: said for one in clients for user, said in one.memory.items()}
    found = case.run("SELECT id, name, boss FROM users WHERE id > 3 ORDER BY id")
    assert found == [(user, said["name"], said["boss"]) for user, said in sorted(wrote.items())]
    orders = case.run("SELECT id, user_id FROM orders WHERE id > 3 ORDER BY id")
    assert orders == sorted((order, user) for user, said in wrote.items() for order in said["orders"])


@pytest.mark.long
def test_it_goes_on_and_back_from_wherever_it_stopped(case: Case) -> None:
    case.begin(shop(sa.Integer), ROWS)
    case.revise(shop(sa.BigInteger))
    case.ship()
    expand, copy, _ = (revision.revision for revision in reversed(list(case.script.walk_revisions())))
    case.upgrade(expand)
    assert stop_everywhere(case, shop(sa.BigInteger), "copy") > 10
    case.upgrade(copy)
    assert stop_everywhere(case, shop(sa.BigInteger), "contract") > 10
    assert case.run("SELECT id, boss FROM users ORDER BY id") == [(1, None), (2, 1), (3, 2)]
    assert case.run("SELECT user_id FROM orders ORDER BY id") == [(1,), (3,), (3,)]


def organisations(key: Any, other: Any = None) -> sa.MetaData:
    """Items that several columns tell apart, which also refer to each other."""
    metadata, other = sa.MetaData(), other or key
    sa.Table(
        "items", metadata, sa.Column("org", key, primary_key=True, autoincrement=False),
        sa.Column("id", other, primary_key=True, autoincrement=False), sa.Column("up", other),
        sa.ForeignKeyConstraint(["org", "up"], ["items.org", "items.id"], name="items_up"), sa.Index("both", "id", "org"),
        sa.UniqueConstraint("id", "up", name="one_up"), sa.CheckConstraint("id > org - 100", name="in_range"),
    )  # fmt: skip
    sa.Table(
        "parts", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("o", key), sa.Column("i", other),
        sa.ForeignKeyConstraint(
            ["o", "i"], ["items.org", "items.id"], name="of_item", ondelete="CASCADE", onupdate="CASCADE", deferrable=True,
            initially="DEFERRED",
        ),
    )  # fmt: skip
    return metadata


def animals(key: Any) -> sa.MetaData:
    """Tables whose keys refer to each other's: joined inheritance."""
    metadata = sa.MetaData()
    sa.Table("animals", metadata, sa.Column("id", key, primary_key=True))
    cat = sa.Column("id", key, sa.ForeignKey("animals.id"), primary_key=True, autoincrement=False)
    sa.Table("cats", metadata, cat)
    sa.Table(
        "kittens", metadata, sa.Column("id", key, sa.ForeignKey("cats.id"), primary_key=True, autoincrement=False),
        sa.Column("mother", key, sa.ForeignKey("cats.id")),
    )  # fmt: skip
    return metadata


def codes(type_: Any, *, ondelete: str | None = None, refers: bool = True) -> sa.MetaData:
    """Orders that refer to a unique column which is no primary key."""
    metadata = sa.MetaData()
    code = sa.Column("code", type_, nullable=False)
    sa.Table(
        "users", metadata, sa.Column("id", sa.Integer, primary_key=True), code, sa.UniqueConstraint("code", name="one")
    )
    foreign = [sa.ForeignKeyConstraint(["code"], ["users.code"], name="of_user", ondelete=ondelete)] if refers else []
    sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("code", type_), *foreign)
    return metadata


def people(type_: Any, **kw: Any) -> sa.MetaData:
    """Return people, and engineers that refer to them by a foreign key without a name."""
    metadata = sa.MetaData()
    sa.Table("people", metadata, sa.Column("id", type_, primary_key=True))
    refers = sa.Column("person", sa.ForeignKey("people.id", **kw), nullable=False)
    sa.Table("engineers", metadata, sa.Column("id", sa.Integer, primary_key=True), refers)
    return metadata


@pytest.mark.parametrize("type_", [sa.Integer(), sa.BigInteger()], ids=str)
@pytest.mark.cases("INTEGER")
def test_a_foreign_key_without_a_name_that_changes_is_no_news_until_the_contract(case: Case, type_: Any) -> None:
    rows = "INSERT INTO people VALUES (DEFAULT); INSERT INTO engineers VALUES (1, 1)"
    walk(case, people(sa.Integer()), people(type_, ondelete="CASCADE"), rows)


ITEM = "INSERT INTO items VALUES (1, 1, NULL), (1, 2, 1); INSERT INTO parts VALUES (1, 1, 2)"
ANIMAL = (
    "INSERT INTO animals VALUES (1), (2); INSERT INTO cats VALUES (1), (2); INSERT INTO kittens VALUES (2, 1);"
    "SELECT setval('animals_id_seq', 2)"
)
CODE = "INSERT INTO users VALUES (1, 5); INSERT INTO orders VALUES (1, 5)"
INTEGER, BIGINT = sa.Integer(), sa.BigInteger()
PAIRS = {
    "two columns of a key": (organisations(INTEGER), organisations(BIGINT), ITEM),
    "one column of two": (organisations(INTEGER), organisations(INTEGER, BIGINT), ITEM),
    "keys that refer to keys": (animals(INTEGER), animals(BIGINT), ANIMAL),
    "a unique column": (codes(INTEGER), codes(BIGINT), CODE),
    "a foreign key comes with it": (codes(INTEGER, refers=False), codes(BIGINT), CODE),
    "a foreign key goes with it": (codes(INTEGER), codes(BIGINT, refers=False), CODE),
    "a foreign key changes with it": (codes(INTEGER), codes(BIGINT, ondelete="CASCADE"), CODE),
    "to a number that is no integer": (codes(sa.SmallInteger()), codes(sa.Numeric()), CODE),
}


@pytest.mark.long
@pytest.mark.parametrize("pair", PAIRS)
def test_whatever_refers_to_it_is_as_the_models_say(case: Case, pair: str) -> None:
    walk(case, *PAIRS[pair])


def test_what_no_foreign_key_could_refer_to_any_more_is_refused_by_name(case: Case) -> None:
    old, new = codes(INTEGER), codes(INTEGER)
    info = {"up": "'no ' || code", "down": "substr(code, 4)::integer"}
    new.tables["users"].columns["code"].type = sa.Text()
    new.tables["users"].columns["code"].info = info
    case.begin(old, CODE)
    said = r"users\.code becomes text, and orders\.code refers to it and stays integer"
    with case.unchanged(), pytest.raises(Refused, match=said):
        case.revise(new)


def hostile(key: Any) -> sa.MetaData:
    metadata = sa.MetaData(schema='Sch "x" y')
    table, column = 'O"r.d 50% x:y', "\u00e4" + "n" * 61
    sa.Table(table, metadata, sa.Column(column, key, primary_key=True), sa.Column("select", key))
    child = sa.Table("user", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column('The "$1" user', key))
    parent = metadata.tables[f"{metadata.schema}.{table}"]
    child.append_constraint(
        sa.ForeignKeyConstraint([child.columns['The "$1" user']], [parent.columns[column]], name="order")
    )
    parent.append_constraint(
        sa.ForeignKeyConstraint([parent.columns["select"]], [parent.columns[column]], name="up%(x)s")
    )
    return metadata


@pytest.mark.long
def test_hostile_names_off_the_search_path(case: Case) -> None:
    old = hostile(INTEGER)
    table = next(iter(old.tables.values()))
    case.begin(old)
    with case.engine.begin() as c:
        c.execute(table.insert(), [{}, {"select": 1}])
    case.revise(hostile(BIGINT))
    case.upgrade()
    case.ship()
    case.upgrade()
    assert_same(case.created(hostile(BIGINT)), case.catalog, "the end")
    case.downgrade("base")
    assert_same(case.created(old), case.catalog, "back")


def counted(*key: Any, **kw: Any) -> sa.MetaData:
    """One table, and how its key counts."""
    metadata = sa.MetaData()
    sa.Table("s", metadata, sa.Column("id", *key, primary_key=True, **kw), sa.Column("v", sa.Integer))
    return metadata


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((sa.Integer,), (sa.BigInteger, sa.Identity())),
        ((sa.Integer,), (sa.BigInteger, sa.Identity(always=True, increment=2))),
        ((sa.BigInteger,), (sa.Integer, sa.Identity())),
        ((sa.Integer, sa.Identity()), (sa.BigInteger,)),
    ],
)
def test_a_key_gets_another_type_and_another_way_to_count_which_goes_on_where_it_stood(
    case: Case, old: tuple[Any, ...], new: tuple[Any, ...]
) -> None:
    said = {"up": "id::integer", "down": "id::bigint"} if new[0] is sa.Integer else {}
    models = counted(*new, info=said)
    milestone(case, counted(*old), models, "INSERT INTO s (v) VALUES (1), (2), (3); DELETE FROM s WHERE id = 3")
    first = [revision.revision for revision in case.script.walk_revisions()][-1]
    before = case.catalog
    case.upgrade()
    case.check(models)
    case.ship()
    case.upgrade()
    assert_same(case.created(models), case.catalog, "the end")
    [(there,)] = case.run("INSERT INTO s (v) VALUES (4) RETURNING id")
    assert there in {4, 5}
    case.downgrade(first)
    assert_same(before, case.catalog, "back")
    assert case.run("INSERT INTO s (v) VALUES (5) RETURNING id") == [(there + 1,)]
    case.upgrade()
    assert_same(case.created(models), case.catalog, "the end, again")
    assert case.run("SELECT v FROM s ORDER BY id") == [(1,), (2,), (4,), (5,)]


@pytest.mark.parametrize("counts", [{"start": 100, "minvalue": 100}, {"increment": -1}])
@pytest.mark.cases("counts0")
def test_a_count_that_cannot_go_on_where_it_stood_goes_on_as_near_as_it_can(case: Case, counts: Any) -> None:
    new = counted(sa.Integer, sa.Identity(**counts))
    milestone(case, counted(sa.Integer), new, "INSERT INTO s (v) VALUES (1), (2)")
    case.upgrade()
    assert_same(case.created(new), case.catalog, "the end")
    [(there,)] = case.run("INSERT INTO s (v) VALUES (3) RETURNING id")
    assert there in {101, -2}
