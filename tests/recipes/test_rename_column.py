"""A column is called otherwise from now on, and both applications run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from alembic_safe import renamed_from
from alembic_safe.errors import Refused
from tests.recipe_cases import assert_same, walk

if TYPE_CHECKING:
    from tests.recipe_cases import Case

ROWS = "INSERT INTO teams VALUES (7); INSERT INTO users VALUES (1, 'Ada', 7), (2, 'Bob', NULL)"


def models(*nick: Any, name: str = "nick", schema: str | None = None, **kw: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("teams", metadata, sa.Column("id", sa.Integer, primary_key=True))
    info = {} if name == "nick" else renamed_from("nick")
    column = sa.Column(name, *(nick or (sa.String(20),)), info=info, **kw)
    team = sa.Column("team", sa.ForeignKey("teams.id"))
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), column, team, schema=schema)
    return metadata


@pytest.mark.long
def test_a_rename_is_split_into_three_revisions(case: Case) -> None:
    texts = walk(case, models(), models(name="handle"), ROWS)
    assert set(texts) == {"expand", "copy", "contract"}
    assert "op.sync_columns('users', 'nick', 'handle')" in texts["expand"]
    assert "op.backfill('users', set_={'handle': 'nick'})" in texts["copy"]
    assert "op.retire_column('users', sa.Column('nick'" in texts["contract"]
    assert case.run("SELECT id, handle FROM users ORDER BY id") == [(1, "Ada"), (2, "Bob")]


def test_both_applications_see_every_write_until_the_contract(case: Case) -> None:
    case.begin(models(nullable=False), ROWS)
    case.revise(models(name="handle", nullable=False))
    case.upgrade()
    case.run("INSERT INTO users (id, nick) VALUES (3, 'old'); INSERT INTO users (id, handle) VALUES (4, 'new')")
    case.run("UPDATE users SET nick = 'Ada!' WHERE id = 1; UPDATE users SET handle = 'Bob!' WHERE id = 2")
    wanted = [(1, "Ada!"), (2, "Bob!"), (3, "old"), (4, "new")]
    assert case.run("SELECT id, nick FROM users ORDER BY id") == wanted
    assert case.run("SELECT id, handle FROM users ORDER BY id") == wanted
    case.ship()
    case.upgrade()
    assert case.run("SELECT id, handle FROM users ORDER BY id") == wanted
    case.run("INSERT INTO users (id, handle) VALUES (5, 'later')")
    case.downgrade("-1")
    assert case.run("SELECT id, nick FROM users ORDER BY id") == [*wanted, (5, "later")]


def test_what_may_be_null_under_its_new_name_may_be_from_the_expand_on(case: Case) -> None:
    tomorrow = models(name="handle", nullable=True)
    case.begin(models(nullable=False), ROWS.replace("(2, 'Bob', NULL)", "(2, 'Bob', 7)"))
    first = case.catalog
    texts = case.revise(tomorrow)
    case.upgrade()
    case.run("INSERT INTO users (id) VALUES (3)")
    case.ship()
    case.upgrade()
    assert_same(case.created(tomorrow), case.catalog, "the end")
    case.check(tomorrow)
    case.downgrade("-1")
    assert case.run("SELECT id, nick FROM users ORDER BY id") == [(1, "Ada"), (2, "Bob"), (3, None)]
    case.run("DELETE FROM users WHERE id = 3")
    case.downgrade(f"-{len(texts) - 1}")
    assert_same(first, case.catalog, "the way back")


@pytest.mark.long
@pytest.mark.parametrize(
    "kw",
    [
        {"nullable": False, "unique": True}, {"index": True}, {"server_default": "x"},
        {"nullable": False, "server_default": sa.text("upper('x'::text)"), "comment": "what's said"},
    ],
    ids=["unique", "index", "default", "default and comment"],
)  # fmt: skip
def test_what_stands_on_the_old_column_stands_on_the_new_one(case: Case, kw: dict[str, Any]) -> None:
    walk(case, models(**kw), models(name="handle", **kw), ROWS)


@pytest.mark.long
def test_a_foreign_key_moves_along(case: Case) -> None:
    def users(name: str) -> sa.MetaData:
        metadata = sa.MetaData()
        sa.Table("teams", metadata, sa.Column("id", sa.Integer, primary_key=True))
        info = {} if name == "team" else renamed_from("team")
        sa.Table(
            "users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("nick", sa.Text),
            sa.Column(name, sa.ForeignKey("teams.id", ondelete="CASCADE"), info=info, index=True),
        )  # fmt: skip
        return metadata

    texts = walk(case, users("team"), users("team_id"), ROWS)
    made = "op.create_foreign_key_not_valid('users_team_id_fkey', 'users', 'teams', ['team_id'], ['id'], ondelete='CASCADE')"
    assert made in texts["copy"]
    case.run("DELETE FROM teams")
    assert case.run("SELECT id FROM users") == [(2,)]


@pytest.mark.long
def test_what_keeps_its_name_gets_it_when_the_old_column_is_gone(case: Case) -> None:
    def users(name: str) -> sa.MetaData:
        metadata = models(name=name)
        table = metadata.tables["users"]
        sa.Index("by_name", table.columns[name], "id")
        table.append_constraint(sa.UniqueConstraint(name, "id", name="one_name"))
        table.append_constraint(sa.CheckConstraint(f"{name} <> ''", name="no_name"))
        return metadata

    texts = walk(case, users("nick"), users("handle"), ROWS)
    assert "op.rename_index('by_name_new', 'by_name', 'users')" in texts["contract"]
    assert "op.rename_constraint('one_name_new', 'one_name', 'users')" in texts["contract"]


@pytest.mark.long
def test_what_stands_on_two_columns_that_are_renamed_is_built_once(case: Case) -> None:
    def users(first: str, last: str, *, now: bool = False) -> sa.MetaData:
        metadata = sa.MetaData()
        info = [renamed_from("a"), renamed_from("b")] if now else [{}, {}]
        columns = [sa.Column(n, sa.Integer, info=said) for n, said in zip((first, last), info, strict=True)]
        key = [sa.Column(name, sa.Integer, primary_key=True) for name in ("x", "y")]
        sa.Table("pairs", metadata, *key)
        sa.Table(
            "users", metadata, sa.Column("id", sa.Integer, primary_key=True), *columns,
            sa.CheckConstraint(f"{first} <> {last}", name="unlike"), sa.Index("by_both", last, first),
            sa.UniqueConstraint(first, last), sa.Index("by_one", first, postgresql_where=sa.text(f"{last} > 0")),
            sa.ForeignKeyConstraint([first, last], ["pairs.x", "pairs.y"], name="a_pair"),
        )  # fmt: skip
        return metadata

    rows = "INSERT INTO pairs VALUES (1, 2), (2, 1); INSERT INTO users VALUES (1, 1, 2), (2, 2, 1)"
    texts = walk(case, users("a", "b"), users("c", "d", now=True), rows)
    assert texts["copy"].count("op.create_check_not_valid('unlike_new'") == 1
    assert "op.rename_constraint('unlike_new', 'unlike', 'users')" in texts["contract"]
    assert case.run("SELECT id, c, d FROM users ORDER BY id") == [(1, 1, 2), (2, 2, 1)]


@pytest.mark.long
def test_another_type_is_part_of_the_same_copy(case: Case) -> None:
    walk(case, models(), models(sa.String(80), name="handle"), ROWS)


def test_hostile_names_off_the_search_path(case: Case) -> None:
    schema, old, new = 'O"rd 50% x:y', "ä'" + "n" * 59, "select"

    def users(name: str) -> sa.MetaData:
        metadata = sa.MetaData()
        info = {} if name == old else renamed_from(old)
        column = sa.Column(name, sa.Text, nullable=False, index=True, unique=True, info=info)
        sa.Table("Us.ers", metadata, sa.Column("id", sa.Integer, primary_key=True), column, schema=schema)
        return metadata

    table = '"O""rd 50% x:y"."Us.ers"'
    walk(case, users(old), users(new), f"INSERT INTO {table} VALUES (1, 'Ada')")
    assert case.run(f'SELECT "select" FROM {table}') == [("Ada",)]


def test_a_formula_with_quotes_in_its_strings_is_copied_and_compared(case: Case) -> None:
    new = models(name="handle")
    info = {"up": "replace(nick, '\"'::text, ':x')", "down": "replace(handle, ':x', '\"')"}
    new.tables["users"].columns["handle"].info.update(info)
    walk(case, models(), new, ROWS + """; INSERT INTO users VALUES (3, 'a "b"')""")
    assert case.run("SELECT handle FROM users ORDER BY id") == [("Ada",), ("Bob",), ("a :xb:x",)]


def test_a_column_of_the_primary_key_is_renamed_at_once_and_the_file_says_so(case: Case) -> None:
    def users(name: str) -> sa.MetaData:
        metadata = sa.MetaData()
        info = {} if name == "id" else renamed_from("id")
        sa.Table("users", metadata, sa.Column(name, sa.Integer, primary_key=True, info=info))
        return metadata

    case.begin(users("id"), "INSERT INTO users VALUES (1)")
    texts = case.revise(users("number"))
    assert set(texts) == {""}
    assert "id is part of the primary key: an application that uses id fails" in " ".join(texts[""].split())


def test_a_default_with_colons_and_percent_signs_comes_along_and_goes_back(case: Case) -> None:
    kw: dict[str, Any] = {"server_default": sa.text("""'{"a"\\:1, "5% \\:x"\\:"''"}'"""), "nullable": False}
    walk(case, models(**kw), models(name="handle", **kw))
    assert case.run("INSERT INTO users (id) VALUES (1) RETURNING handle") == [("""{"a":1, "5% :x":"'"}""",)]


@pytest.mark.long
def test_what_names_the_column_keeps_its_types_and_functions(case: Case) -> None:
    def users(name: str) -> sa.MetaData:
        metadata = sa.MetaData()
        info = {} if name == "date" else renamed_from("date")
        sa.Table(
            "users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column(name, sa.Date, info=info),
            sa.CheckConstraint(f"{name} > '2000-01-01'::date", name="recent"),
            sa.Index("by_day", sa.text(f"date_part('year'::text, {name})")),
        )  # fmt: skip
        return metadata

    walk(case, users("date"), users("day"), "INSERT INTO users VALUES (1, '2020-01-01')")


def test_a_name_that_only_changes_at_once_takes_no_other_type_with_it(case: Case) -> None:
    def keyed(name: str, type_: Any, **kw: Any) -> sa.MetaData:
        metadata = sa.MetaData()
        columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column(name, type_, primary_key=True, **kw)]
        sa.Table("users", metadata, *columns)
        return metadata

    case.begin(keyed("code", sa.Integer))
    said = renamed_from("code")
    with case.unchanged(), pytest.raises(Refused, match=r"code becomes users\.number and bigint in the same"):
        case.revise(keyed("number", sa.BigInteger, info=said))
    assert set(case.revise(keyed("number", sa.Integer, info=said))) == {""}


def test_a_default_of_a_sequence_that_goes_with_the_old_column_stops_the_contract(case: Case) -> None:
    def counted(**kw: Any) -> sa.MetaData:
        return models(sa.Integer(), server_default=sa.text("nextval('numbers'::regclass)"), **kw)

    case.run("CREATE SEQUENCE numbers")
    case.begin(counted())
    case.run("ALTER SEQUENCE numbers OWNED BY users.nick; INSERT INTO users DEFAULT VALUES")
    case.revise(counted(name="handle"))
    case.upgrade()
    case.ship()

    with case.unchanged(), pytest.raises(Refused, match="depends on"):
        case.upgrade()


def test_a_renamed_column_has_the_rights_and_the_settings_of_the_old_one(case: Case) -> None:
    case.begin(models(), ROWS)
    first, second = (f"{case.database}_{word}" for word in ("report", "Rep ort"))
    case.run(
        f'CREATE ROLE {first} LOGIN; CREATE ROLE "{second}"; GRANT SELECT (id, nick), UPDATE (nick) ON users TO {first};'
        f' GRANT SELECT (nick) ON users TO "{second}" WITH GRANT OPTION; ALTER TABLE users ALTER nick SET STORAGE EXTERNAL,'
        " ALTER nick SET STATISTICS 7, ALTER nick SET COMPRESSION pglz, ALTER nick SET (n_distinct = 5)"
    )
    terms = (
        "SELECT ARRAY(SELECT unnest(attacl)::text ORDER BY 1)::text, attstorage, attstattarget, attcompression, attoptions"
        " FROM pg_attribute"
        " WHERE attrelid = 'users'::regclass AND attname = '{}'"
    )
    wanted = case.run(terms.format("nick"))
    case.revise(models(name="handle"))
    case.upgrade("+1")
    assert case.run(terms.format("handle")) == wanted
    case.upgrade()
    with case.cluster.connect(case.database, user=first) as c:
        c.execute("UPDATE users SET handle = 'Ida' WHERE id = 1")
    case.ship()
    case.upgrade()
    with case.cluster.connect(case.database, user=first) as c:
        assert c.execute("SELECT handle FROM users ORDER BY id").fetchall() == [("Ida",), ("Bob",)]
    assert case.run(terms.format("handle")) == wanted
    case.run(f'REVOKE ALL ON users FROM "{second}"')
    case.downgrade("-1")
    assert case.run(terms.format("nick")) == wanted
    assert second not in case.run(terms.format("handle"))[0][0]


def test_rights_and_settings_that_the_new_column_has_already_stay_and_what_its_type_cannot_have_is_left(
    case: Case,
) -> None:
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    role = f"{case.database}_own"
    case.run(
        f"CREATE ROLE {role}; CREATE TABLE t (a text, b integer); ALTER TABLE t ALTER a SET STORAGE EXTERNAL,"
        f" ALTER a SET STATISTICS 7, ALTER b SET STATISTICS 9; GRANT SELECT (a), UPDATE (a) ON t TO {role};"
        f" GRANT UPDATE (b) ON t TO {role}"
    )
    with case.engine.begin() as connection:
        operations: Any = Operations(MigrationContext.configure(connection))
        operations.sync_columns("t", "a", "b", up="a::integer", down="b::text")
    found = case.run(
        "SELECT attstorage, attstattarget, attacl::text FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'b'"
    )
    assert [(str(one), target, acl.partition("/")[0]) for one, target, acl in found] == [("p", 9, f"{{{role}=w")]
