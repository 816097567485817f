"""Where does a statement of a script end?"""

from __future__ import annotations

import pytest

from alembic_safe.database.sql_script import statements

SCRIPT = r"""
-- a comment; not a statement
\restrict abc
SET x = 0;
CREATE TABLE a (b text DEFAULT 'x;''y', "c;d" int);
COPY public.a (b) FROM stdin;
foo; bar
\.

/* nested /* ; */ ; */
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $a$ begin; $b$; end $a$;
CREATE OR REPLACE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;
CREATE RULE r AS ON INSERT TO a DO (SELECT 1; SELECT 2);
SELECT E'a\';' || "x;y"; -- tail
BEGIN;
\! touch /tmp/never
SELECT 1"""


def test_a_script_is_cut_where_psql_would_cut_it() -> None:
    assert list(statements(SCRIPT)) == [
        "SET x = 0",
        """CREATE TABLE a (b text DEFAULT 'x;''y', "c;d" int)""",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $a$ begin; $b$; end $a$",
        "CREATE OR REPLACE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
        "CREATE RULE r AS ON INSERT TO a DO (SELECT 1; SELECT 2)",
        "SELECT E'a\\';' || \"x;y\"",
        "BEGIN",
        "SELECT 1",
    ]


@pytest.mark.parametrize("script", ["", ";;", "-- nothing", "/* never ends", "\\connect x", "COPY a FROM stdin;\n1\n"])
def test_what_holds_no_statement_yields_none(script: str) -> None:
    assert [one for one in statements(script) if one] == []


@pytest.mark.parametrize("script", ["SELECT 'never ends", "SELECT $a$ never ends", 'SELECT "never ends', "SELECT ((1;"])
def test_what_never_ends_is_one_statement(script: str) -> None:
    assert list(statements(script)) == [script]
