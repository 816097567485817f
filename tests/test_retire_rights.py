"""Retiring by roles that lack a right: what they are told, and that nothing has changed."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from alembic_safe.errors import Missing
from tests.retire_cases import Living, living

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["living"]

C = sa.Column("c", sa.Text)
ID = sa.Column("id", sa.Integer, primary_key=True)
TABLE = "CREATE TABLE t (id serial PRIMARY KEY, c text); INSERT INTO t (c) VALUES ('a'), ('b');"


@contextmanager
def made_role(living: Living, more: str = "") -> Iterator[str]:
    name = f"r_{uuid.uuid4().hex[:8]}"
    living.run(f"CREATE ROLE {name} LOGIN; {more.format(name)}")
    yield name
    living.run(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


@pytest.fixture
def role(living: Living) -> Iterator[str]:
    """A role that is no superuser and owns nothing."""
    with made_role(living) as name:
        yield name


def test_a_role_that_owns_another_s_table_not_is_told_the_owner_s_line(living: Living, role: str) -> None:
    living.run(TABLE)

    with pytest.raises(Missing) as column:
        living.retire_column("t", C, user=role)
    with pytest.raises(Missing) as table:
        living.retire_table("t", ID, user=role)

    for error in (column.value, table.value):
        assert error.exit_code == 10
        assert f'GRANT "postgres" TO "{role}";' in str(error)
    assert living.all("SELECT c FROM t ORDER BY id") == [("a",), ("b",)]


def test_an_owner_who_may_not_make_a_schema_is_told_the_line_and_it_is_enough(living: Living, role: str) -> None:
    living.run(TABLE + f"ALTER TABLE t OWNER TO {role}")
    with pytest.raises(Missing) as refused:
        living.retire_column("t", C, user=role)
    assert refused.value.next_steps[0].command == f'GRANT CREATE ON DATABASE "{living.name}" TO "{role}";'
    living.run(refused.value.next_steps[0].command)

    done = living.retire_column("t", C, user=role)

    assert living.kept(done.kept) == [("1", "a"), ("2", "b")]


def test_a_role_that_may_use_no_language_retires_a_column(living: Living, role: str) -> None:
    living.run(TABLE + f"ALTER TABLE t OWNER TO {role}; GRANT CREATE ON DATABASE {living.name} TO {role};"
               "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC")  # fmt: skip
    try:
        done = living.retire_column("t", C, user=role)
    finally:
        living.run("GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC")

    assert living.kept(done.kept) == [("1", "a"), ("2", "b")]


def test_a_schema_of_another_owner_is_told_the_line_and_it_is_enough(living: Living, role: str) -> None:
    living.run("CREATE TABLE first (id serial PRIMARY KEY, c text); INSERT INTO first (c) VALUES ('x')")
    living.retire_column("first", C)
    living.run(TABLE + f"ALTER TABLE t OWNER TO {role}")
    with pytest.raises(Missing) as refused:
        living.retire_column("t", C, user=role)
    living.run(refused.value.next_steps[0].command)

    assert living.retire_column("t", C, user=role).rows == 2


def test_a_role_that_row_security_holds_for_keeps_nothing_rather_than_a_part(living: Living, role: str) -> None:
    living.run(
        TABLE + f"ALTER TABLE t OWNER TO {role}; GRANT CREATE ON DATABASE {living.name} TO {role};"
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY;"
        "CREATE POLICY p ON t USING (id = 1)"
    )
    with pytest.raises(Missing) as refused:
        living.retire_column("t", C, user=role)
    assert living.all("SELECT count(*) FROM pg_namespace WHERE nspname = 'alembic_safe_retired'") == [(0,)]
    living.run(refused.value.next_steps[0].command)

    done = living.retire_column("t", C, user=role)

    assert living.kept(done.kept) == [("1", "a"), ("2", "b")]


def test_another_owner_s_foreign_key_is_named_with_the_line_for_its_owner(living: Living, role: str) -> None:
    living.run(
        TABLE + f"CREATE TABLE o (t integer REFERENCES t); ALTER TABLE t OWNER TO {role};"
        f"GRANT CREATE ON DATABASE {living.name} TO {role}; GRANT CREATE ON SCHEMA public TO {role}"
    )
    with pytest.raises(Missing) as refused:
        living.retire_table("t", ID, user=role)
    assert "foreign key o_t_fkey of public.o (owner postgres)" in str(refused.value)
    living.run(refused.value.next_steps[0].command)

    assert living.retire_table("t", ID, user=role).rows == 2


def test_another_owner_s_publication_is_named_with_the_line_for_its_owner(living: Living, role: str) -> None:
    living.run(
        TABLE + f"CREATE PUBLICATION feed FOR TABLE t; ALTER TABLE t OWNER TO {role};"
        f"GRANT CREATE ON DATABASE {living.name} TO {role}; GRANT CREATE ON SCHEMA public TO {role}"
    )
    with pytest.raises(Missing) as refused:
        living.retire_table("t", ID, user=role)
    assert "publication feed (owner postgres)" in str(refused.value)
    living.run(refused.value.next_steps[0].command)

    assert living.retire_table("t", ID, user=role).rows == 2


COUNTING = """
CREATE TABLE t (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "N:1" serial, v integer);
INSERT INTO t (v) VALUES (1);
CREATE TABLE o (id integer PRIMARY KEY, i integer GENERATED ALWAYS AS IDENTITY, s serial);
INSERT INTO o VALUES (1), (2);
GRANT SELECT, INSERT ON t, o TO {role};
GRANT USAGE ON SEQUENCE "t_N:1_seq" TO {role} WITH GRANT OPTION;
GRANT SELECT ON SEQUENCE "t_N:1_seq", t_id_seq, o_i_seq TO PUBLIC;
COMMENT ON SEQUENCE "t_N:1_seq" IS 'the application''s: 100%'; COMMENT ON SEQUENCE o_i_seq IS 'ours';
ALTER DEFAULT PRIVILEGES GRANT UPDATE ON SEQUENCES TO pg_monitor;
"""
N = sa.Column("N:1", sa.Integer, server_default=sa.text("""nextval('"t_N:1_seq"'::regclass)"""), nullable=False)
SAID = """
SELECT c.relname, pg_get_userbyid(c.relowner), obj_description(c.oid), array(
  SELECT x::text FROM aclexplode(c.relacl) x WHERE x.grantee <> c.relowner ORDER BY 1)
FROM pg_class c WHERE c.relkind = 'S' AND c.relnamespace = 'public'::regnamespace ORDER BY 1
"""


def test_what_was_said_of_its_sequences_comes_back_with_a_table(living: Living, role: str) -> None:
    living.run(COUNTING.format(role=role))
    before = living.all(SAID)

    living.retire_table("t", ID)
    kept = living.all("SELECT count(*) FROM pg_class, aclexplode(relacl) WHERE relkind = 'S' AND grantee <> relowner")
    done = living.restore_table("t", ID)

    assert kept == [(1,)]  # that of the other table
    assert done.not_back == ()
    assert living.all(SAID) == before
    with living.cluster.connect(living.name, user=role) as application:
        application.execute("INSERT INTO t (v) VALUES (2)")


@pytest.mark.parametrize("owner", ["postgres", "another"])
def test_what_was_said_of_its_sequence_comes_back_with_a_column_and_nothing_more(
    living: Living, role: str, owner: str
) -> None:  # fmt: skip
    living.run(COUNTING.format(role=role))
    if owner == "another":
        living.run(f"ALTER TABLE t OWNER TO {role}; GRANT CREATE ON SCHEMA public TO {role}")
    before = living.all(SAID)

    living.retire_column("t", N)
    done = living.restore_column("t", N, accept=["restore-by-key:t.N:1"])

    assert done.not_back == ()
    assert living.all(SAID) == before
    with living.cluster.connect(living.name, user=role) as application:
        application.execute("INSERT INTO t (v) VALUES (2)")


def test_what_was_said_of_its_sequence_comes_back_with_an_identity(living: Living, role: str) -> None:
    living.run(COUNTING.format(role=role) + "ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM pg_monitor")
    before = living.all(SAID)
    identity = sa.Column("i", sa.Integer, sa.Identity(always=True), nullable=False)

    living.retire_column("o", identity)
    done = living.restore_column("o", identity, accept=["restore-by-key:o.i"])

    assert done.not_back == ()
    assert living.all(SAID) == before


def test_who_was_given_a_sequence_that_was_made_anew_meanwhile_keeps_it(living: Living, role: str) -> None:
    living.run(COUNTING.format(role=role))
    living.retire_column("o", sa.Column("s", sa.Integer, nullable=False))
    living.run("CREATE SEQUENCE o_s_seq; GRANT USAGE ON SEQUENCE o_s_seq TO pg_signal_backend")

    living.restore_column("o", sa.Column("s", sa.Integer, nullable=False), accept=["restore-by-key:o.s"])

    assert living.all("SELECT has_sequence_privilege('pg_signal_backend', 'o_s_seq', 'USAGE')") == [(True,)]


SERIAL = sa.Column("n", sa.Integer, server_default=sa.text("nextval('t_n_seq'::regclass)"), nullable=False)


@pytest.fixture
def next_owner(living: Living) -> Iterator[str]:
    """A role that a table is given to while one of its columns is retired."""
    with made_role(living, "GRANT CREATE ON SCHEMA public TO {}") as name:
        yield name


def test_a_serial_comes_back_to_a_table_that_has_another_owner_by_then(
    living: Living, role: str, next_owner: str
) -> None:
    living.run(
        f"GRANT CREATE ON DATABASE {living.name} TO {role}; GRANT CREATE ON DATABASE {living.name} TO {next_owner}"
    )
    living.run(
        f"CREATE TABLE t (id serial PRIMARY KEY, n serial); INSERT INTO t DEFAULT VALUES; ALTER TABLE t OWNER TO {role}"
    )
    living.retire_column("t", SERIAL, user=role)
    living.run(f"REASSIGN OWNED BY {role} TO {next_owner}")

    assert living.restore_column("t", SERIAL, user=next_owner).not_back == ()
    assert living.all("SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relkind = 'S'") == [(next_owner,)]


def test_statistics_of_another_owner_come_back_to_whom_makes_them(living: Living, role: str) -> None:
    living.run(TABLE + "ALTER TABLE t ADD a integer; CREATE STATISTICS st ON a, c FROM t")
    living.run(f"GRANT CREATE ON DATABASE {living.name} TO {role}; GRANT CREATE ON SCHEMA public TO {role}")
    living.run(f"ALTER TABLE t OWNER TO {role}")
    living.retire_column("t", C, user=role)

    assert living.restore_column("t", C, user=role).not_back == ()
    assert living.all("SELECT stxname, stxowner::regrole::text FROM pg_statistic_ext") == [("st", role)]


def test_rights_of_an_identity_go_to_the_sequence_that_it_has_by_then_and_to_no_other(living: Living) -> None:
    identity = sa.Column("n", sa.Integer, sa.Identity())
    living.run("CREATE TABLE a (id serial PRIMARY KEY, n integer GENERATED BY DEFAULT AS IDENTITY)")
    living.run("GRANT USAGE ON SEQUENCE a_n_seq TO pg_monitor; ALTER TABLE a RENAME TO b")
    living.retire_column("b", identity)
    living.run("CREATE SEQUENCE a_n_seq")

    assert living.restore_column("b", identity).not_back == ()
    held = "SELECT relname FROM pg_class WHERE relkind = 'S' AND relacl::text LIKE '%pg_monitor%'"
    assert living.all(held) == [("b_n_seq",)]
