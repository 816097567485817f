"""Does SQL in a revision file reach the server to the letter?"""

from __future__ import annotations

import ast

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import psycopg

from alembic_safe.operations.statement_text import for_text, literal

SQL = st.text(alphabet=":\\a1$'\"% \n\t\x0c", max_size=200)


@given(SQL)
def test_what_op_execute_is_given_arrives_as_it_was(sql: str) -> None:
    arrived = str(text(for_text(sql)).compile(dialect=psycopg.dialect()))
    assert arrived == sql.replace("%", "%%")  # the driver makes one of two


@given(SQL)
def test_a_literal_in_a_file_is_the_text(sql: str) -> None:
    assert ast.literal_eval(literal(sql)) == sql


def test_a_cast_is_left_alone_and_a_time_of_day_is_no_parameter() -> None:
    assert for_text("SELECT 'a:b'::text, x::int") == "SELECT 'a:b'::text, x::int"
    assert for_text("SELECT ' :b'") == r"SELECT ' \:b'"
