"""What may whom do with an object: the server's letters, and roles whose names nobody should choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.catalog import ObjectId, read_catalog
from alembic_safe.inspecting.catalog_sql import LETTERS
from alembic_safe.inspecting.difference_sql_names import rights_sql
from alembic_safe.inspecting.rights import grantee, rights

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.cluster import Cluster

HOSTILE = ("a by b", "x=r/y", 'quo"ted"', "Ünï", "user", "Capital", "@owner", "PUBLIC", "two words", "x" * 63)
TABLE = ObjectId("table", "public", "t", "")


@pytest.fixture
def roles(cluster: Cluster, database: str) -> Iterator[psycopg.Connection]:
    """A table in a database of a server that has the hostile roles; they are rolled back."""
    with cluster.connect(database, autocommit=False) as c:
        for role in HOSTILE:
            c.execute(f"CREATE ROLE {quoted(role)}")  # type: ignore[arg-type]
        c.execute("CREATE TABLE t (a int)")
        yield c
        c.rollback()


@pytest.mark.parametrize("kind", LETTERS)
def test_every_letter_is_the_privilege_that_the_server_says(cluster: Cluster, database: str, kind: str) -> None:
    with cluster.connect(database) as c:
        found = c.execute(
            "SELECT CAST(d AS text[]), (SELECT array_agg(DISTINCT e.privilege_type) FROM aclexplode(d) e), current_user"
            " FROM acldefault(%s, (SELECT oid FROM pg_roles WHERE rolname = current_user)) d", (LETTERS[kind],),
        ).fetchone()  # fmt: skip
    assert found is not None
    items, privileges, owner = found
    told = rights(items, (), owner, {}, is_default=True) or []
    named = {one for entry in told if entry != "(nobody)" for one in entry.partition("=")[2].split(",")}
    assert named == set(privileges or [])


@pytest.mark.parametrize("role", HOSTILE)
def test_rights_of_a_role_with_any_name_are_told_and_made_again(roles: psycopg.Connection, role: str) -> None:
    roles.execute(f"GRANT SELECT ON t TO {quoted(role)}; GRANT UPDATE ON t TO {quoted(role)} WITH GRANT OPTION")  # type: ignore[arg-type]
    held = read_catalog(roles).objects[TABLE]["grants"]
    assert isinstance(held, tuple)
    mine = [entry for entry in held if not entry.startswith("@owner")]
    assert [entry.rpartition("=")[2] for entry in mine] == ["SELECT,UPDATE*"]
    assert roles.execute("SELECT quote_ident(%s)", (role,)).fetchone() == (grantee(mine[0]),)
    for statement in rights_sql(TABLE, None, held, "postgres"):
        roles.execute(statement)  # type: ignore[arg-type]
    assert "grants" not in read_catalog(roles).objects[TABLE]
    for statement in rights_sql(TABLE, held, None, "postgres"):
        roles.execute(statement)  # type: ignore[arg-type]
    assert read_catalog(roles).objects[TABLE]["grants"] == held


def test_who_granted_what_is_not_the_owners_is_said(roles: psycopg.Connection) -> None:
    roles.execute(
        'GRANT SELECT ON t TO "a by b" WITH GRANT OPTION; SET ROLE "a by b"; GRANT SELECT ON t TO "two words"'
    )
    roles.execute("RESET ROLE")
    held = read_catalog(roles).objects[TABLE]["grants"]
    assert held == ('"a by b"=SELECT*', '"two words" by "a by b"=SELECT', "@owner=ALL")
    assert [grantee(entry) for entry in held] == ['"a by b"', '"two words"', "@owner"]


def test_an_object_that_nobody_may_use_is_told(roles: psycopg.Connection) -> None:
    roles.execute("REVOKE ALL ON t FROM postgres")
    assert read_catalog(roles).objects[TABLE]["grants"] == ("(nobody)",)
