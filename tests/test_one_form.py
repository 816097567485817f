"""What PostgreSQL prints in two ways is compared in one, against the server itself; what differs stays different."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.comparison import compare
from alembic_safe.inspecting.one_form import one_form

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.cluster import Cluster

_TABLE = """
CREATE SCHEMA "my Schema";
CREATE DOMAIN "my Schema"."code (x)" AS character varying(4);
CREATE DOMAIN word AS text;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE t (
  id integer, k character varying(10), k2 character varying, c character(3), x text, n integer, b bigint, s smallint,
  num numeric(10, 2), r real, f double precision, d date, ts timestamp(3) with time zone, tn timestamp without time zone,
  iv interval, bits bit(3), vb bit varying(5), ch "char", nm name, m mood, w word, cd "my Schema"."code (x)", j jsonb,
  u uuid, tags character varying(10)[], grid text[], "ARRAY[" character varying, "we""ird), '" character varying(5))
"""
REPRINTED = (
    "k IN ('a', 'b')",
    "k NOT IN ('a', 'b', 'c')",
    "k IN ('a', NULL) IS NOT FALSE",
    "k IN ('it''s, (', '])::text[]', 'ARRAY[''x'']', '')",
    "k IN (E'back\\\\slash', E'new\\nline', '\"')",
    "k IN (upper('q'::varchar)::varchar, 'b', (k2 || 'x')::varchar(3), CASE WHEN n IN (1, 2) THEN 'z'::varchar END)",
    "k = ANY (ARRAY[k2, 'b'])",
    "(k IN ('a', 'b') AND k2 NOT IN ('c', 'd')) OR NOT (k IN ('e', 'f'))",
    "k = ANY ((ARRAY['a', 'b']::varchar[])::bpchar[])",
    "k LIKE ANY (ARRAY['a%'::varchar, 'b_'])",
    "x = ANY (((ARRAY['a'::bpchar, 'b'])::varchar[])::text[])",
    "tags && (ARRAY['a', 'b']::text[])::varchar(10)[]",
    "tags && (ARRAY['a', 'b']::varchar[])::varchar(4)[]",
    "grid = (ARRAY[ARRAY['a'::varchar, 'b'], ARRAY['c', 'd']]::varchar[])::text[]",
    "num = ANY ((ARRAY[1.5, 2]::numeric[])::numeric(10,2)[])",
    "num = ANY ((ARRAY['1.5'::numeric, '-2'::numeric]::numeric[])::numeric(10,2)[])",
    "f = ANY ((ARRAY[1, 2]::integer[])::double precision[])",
    "b = ANY ((ARRAY[1, -2]::integer[])::bigint[])",
    "tn = ANY ((ARRAY['2020-01-01'::date]::date[])::timestamp(3) without time zone[])",
    "ts = ANY ((ARRAY['2020-01-01 00:00+00'::timestamptz]::timestamptz[])::timestamp(3) with time zone[])",
    "iv = ANY ((ARRAY['1 day'::interval]::interval[])::interval day to second(3)[])",
    "cd = ANY ((ARRAY['a', 'b']::varchar[])::\"my Schema\".\"code (x)\"[])",
    "cd IN ('a', 'b')",
    "\"ARRAY[\" IN ('a', 'b') AND \"we\"\"ird), '\" IN ('c', 'd')",
    "(k COLLATE \"C\") IN ('a', 'b')",
    "k IN ('a', 'b') AND (ARRAY['p'::varchar, 'q'])[1] = k2",
    "array_length((ARRAY[k, k2]::varchar[])::text[], 1) > 1",
    "k IN (k2, 'a', 'b') OR n IN (b, s, id)",
    "(n, b) IN ((1, 2), (3, 4), (5, 6))",
    "(n, b) NOT IN ((1, 2), (3, 4), (5, 6)) AND NOT (n BETWEEN SYMMETRIC b AND s)",
    "concat_ws(',', VARIADIC (ARRAY[k, k2]::varchar[])::text[]) <> ''",
)
STEADY = (
    "c IN ('a', 'b')", "x IN ('a', 'b')", "n IN (1, 2, -3)", "b IN (1, 2)", "s IN (1, 2)", "num IN (1, 2.5)", "r IN (1, 2.5)",
    "f IN (1.5, 2)", "d IN ('2020-01-01', '2021-01-01')", "m IN ('sad', 'ok')", "w IN ('a', 'b')", "bits IN (B'101', B'110')",
    "vb IN ('1', '10')", "ch IN ('a', 'b')", "nm IN ('a', 'b')", "u IN ('00000000-0000-0000-0000-000000000000', NULL)",
    "(n = 1 AND b = 2) OR (s = 3 OR id = 4)", "n = 1 AND (b = 2 AND s = 3)",
    "tags = ARRAY[]::varchar[]", "tags @> ARRAY['a', 'b']::varchar[]", "grid[1] IN ('a', 'b')", "k = ANY ('{a,b}')",
    "grid = (ARRAY[]::varchar[])::text[]", "j @> '[\"ARRAY[\"]'", "k = 'a'", "iv IN ('1 day', '2 hours')",
)  # fmt: skip


@pytest.fixture(scope="module")
def table(cluster: Cluster) -> Iterator[psycopg.Connection]:
    cluster.create("one_form")
    with cluster.connect("one_form", autocommit=False) as connection:
        connection.execute(_TABLE)
        connection.commit()
        yield connection
    cluster.drop("one_form")


def printed(connection: psycopg.Connection, check: str) -> str:
    """Return what the server prints of a check."""
    connection.execute(sql.SQL("ALTER TABLE t ADD CONSTRAINT ck {}").format(sql.SQL(check)))  # type: ignore[arg-type]
    row = connection.execute("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck'").fetchone()
    connection.rollback()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize("expression", REPRINTED)
def test_what_is_read_again_is_printed_otherwise_and_is_the_same(table: psycopg.Connection, expression: str) -> None:
    first = printed(table, f"CHECK ({expression})")
    second = printed(table, first)
    assert second != first, "the server prints it in one way only: it belongs to the steady ones"
    assert one_form(first) == one_form(second)
    assert one_form(second) == one_form(printed(table, second))
    assert printed(table, one_form(first)) == printed(table, printed(table, second)), "the form means something else"


@pytest.mark.parametrize("expression", STEADY)
def test_what_is_printed_in_one_way_is_left_alone(table: psycopg.Connection, expression: str) -> None:
    first = printed(table, f"CHECK ({expression})")
    assert printed(table, first) == first
    assert one_form(first) == first


DIFFERENT = (
    "(k = ANY ((ARRAY['a'::text])::text[]))", "(k = ANY ((ARRAY['a'::text])::name[]))",
    "(k = ANY ((ARRAY['b'::text])::text[]))",
    "(k = ALL ((ARRAY['a'::text])::text[]))", "(k = ANY ((ARRAY['a'::text, 'b'::text])::text[]))",
    "(k = ANY ((ARRAY['b'::text, 'a'::text])::text[]))", "(k = ANY ((ARRAY['a, b'::text])::text[]))",
    "(k = ANY ((ARRAY['a'::text])::text))", "(k = ANY (ARRAY['a'::text]))", "('(ARRAY[''a''])::text[]'::text = k)",
    "('ARRAY[(''a'')::text]'::text = k)", "((ARRAY[k])::character varying(3)[] = x)", "((ARRAY[k])::character varying[] = x)",
    "((ARRAY[k])::character varying(4)[] = x)", "((ARRAY[ARRAY[k]])::text[] = x)", "((ARRAY[(ARRAY[k])[1]])::text[] = x)",
    "((ARRAY[k])::text = ANY ((x)::text[]))", "((ARRAY[k])[1] = x)", "((p OR q) AND r)", "(p OR (q AND r))", "(p OR (q OR r))",
    "(p OR q OR r)", "((p AND q) OR r)", "(p AND q AND r)", "((NOT (p OR q)) OR r)", "((p OR q) IS NULL)",
    "((ARRAY[k] || 'x'::text))::text[]", "((ARRAY[k, 'x'::text]))::text[]", "((ARRAY[\"k\", 'x'::text]))::text[]",
)  # fmt: skip


def test_what_differs_stays_different() -> None:
    forms = [one_form(one) for one in DIFFERENT]
    assert sorted(forms) == sorted(set(forms))


@given(st.text(alphabet="(),[]'\"\\:$AR Y1OR.ea", max_size=40) | st.lists(st.sampled_from(
    ["(", ")", "ARRAY[", "]", "::text", "[]", "'a'", "'(ARRAY['", ", ", " OR ", " AND ", '"n"', "$$(", "$$", "1.5", "::"]
)).map("".join))  # fmt: skip
def test_any_text_has_a_form_which_is_its_own(text: str) -> None:
    form = one_form(text)
    assert one_form(form) == form


def test_strings_are_left_as_they_are() -> None:
    said = "(ARRAY['a'::character varying])::text[]"
    quoted = said.replace("'", "''")
    body = f"CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $f$ SELECT {said} $f$"
    assert one_form(f"'{quoted}'::text") == f"'{quoted}'::text"
    assert one_form(body) == body
    assert one_form(f'"{said}" = 1') == f'"{said}" = 1'


@given(
    st.lists(st.text(alphabet="a'\"\\(),[]:$E\n", max_size=6), min_size=2, max_size=5),
    st.sampled_from(["IN", "NOT IN"]),
)
def test_a_list_of_any_strings_is_the_same_again(table: psycopg.Connection, words: list[str], verb: str) -> None:
    first = printed(table, f"CHECK (k {verb} ({', '.join(sql.Literal(word).as_string(table) for word in words)}))")
    assert one_form(first) == one_form(printed(table, first)) == printed(table, first)


def test_checks_indexes_views_domains_policies_and_rules_made_again_are_no_difference(cluster: Cluster) -> None:
    """The server's own text is run on another database, which is then the same."""
    databases = "one_form_first", "one_form_again"
    where = "k = ANY ((ARRAY['a'::varchar, 'b'])::text[]) AND k2 NOT IN ('c', 'd')"
    objects = f"""
    CREATE TABLE t (id integer, k varchar(10) DEFAULT CASE WHEN 'x'::varchar IN ('a', 'b') THEN 'c' ELSE 'd' END, k2 varchar,
      g boolean GENERATED ALWAYS AS (k IN ('a', 'b')) STORED, CONSTRAINT ck CHECK ({where}));
    CREATE DOMAIN dom AS varchar(3) CHECK (VALUE IN ('a', 'b'));
    CREATE INDEX ix ON t ((k IN ('a', 'b'))) WHERE {where};
    CREATE VIEW v AS SELECT id, k IN ('a', 'b') AS it FROM t WHERE {where};
    CREATE POLICY po ON t USING ({where}) WITH CHECK (k IN ('a', 'b'));
    CREATE RULE ru AS ON DELETE TO t WHERE old.k IN ('a', 'b') DO INSTEAD NOTHING;
    CREATE FUNCTION fu() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
    CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW WHEN (new.k IN ('a', 'b')) EXECUTE FUNCTION fu();
    """
    for name in databases:
        cluster.create(name)
    with cluster.connect(databases[0]) as connection:
        connection.execute(objects)
        first = read_catalog(connection)
    text = cluster.run("pg_dump", *cluster.where, "--schema-only", "-d", databases[0])
    with cluster.connect(databases[1]) as connection:
        connection.execute("\n".join(line for line in text.splitlines() if not line.startswith("\\")))  # type: ignore[arg-type]
        again = read_catalog(connection)
    for name in databases:
        cluster.drop(name)
    assert any(first.objects[id_] != again.objects[id_] for id_ in first.objects), "nothing was printed otherwise"
    assert compare(first, again) == ()
    assert first.fingerprint == again.fingerprint
