"""How do expressions and statements get into the file of a squash so that they come out the same?"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import psycopg

from alembic_safe.history.expressions import bracketed, name, names, respelled, split, unquoted
from alembic_safe.history.folded import Folded
from alembic_safe.history.python_text import execute, indented, string
from alembic_safe.history.squash_file import Words, write
from alembic_safe.reporting.squash import SquashText

if TYPE_CHECKING:
    from pathlib import Path

QUOTING_TEMPLATE = '''\
"""${message}

Revises: ${down_revision | comma,n}
"""
from alembic import op
import sqlalchemy as sa
${imports if imports else ""}

revision = "${up_revision}"
ä = down_revision = "${down_revision}"
branch_labels: object = ${repr(branch_labels)}
depends_on = "${depends_on}"


def upgrade():
    """Apply ${message}"""
    ${upgrades}


def downgrade():
    """Unapply ${message}"""
    ${downgrades}
'''
SQL = st.text(alphabet=":\\a1$'\"% \n\t\r", max_size=120)


@pytest.mark.parametrize(
    ("written", "read_back"),
    [
        ("(s)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])",
         "(s)::text = ANY (ARRAY['a'::character varying, 'b'::character varying])"),
        ("x <> ALL ((ARRAY['(ARRAY['::bpchar])::public.\"My type\"[]) AND y", "x <> ALL (ARRAY['(ARRAY['::bpchar]) AND y"),
        ("(ARRAY[1, 2])[1]", "(ARRAY[1, 2])[1]"),
        ("'(ARRAY[''a''])::text[]'", "'(ARRAY[''a''])::text[]'"),
        ("nothing (of the kind", "nothing (of the kind"),
    ],
)  # fmt: skip
def test_a_cast_around_a_whole_array_is_taken_off(written: str, read_back: str) -> None:
    assert respelled(written) == read_back


def test_lists_are_split_at_their_own_commas() -> None:
    assert split("a, f(b, c), 'd, e', \"f, g\", $$h, i$$, ARRAY[j, k]") == [
        "a", "f(b, c)", "'d, e'", '"f, g"', "$$h, i$$", "ARRAY[j, k]",
    ]  # fmt: skip
    assert bracketed("CHECK ((a > ')'::text)) NOT VALID", 0) == ("(a > ')'::text)", 23)
    assert names('a, "B ""c"""') == ["a", 'B "c"']
    assert name("lower(a)") is None
    with pytest.raises(ValueError, match="lower"):
        names("a, lower(b)")


def test_quotes_stay_where_they_are_needed() -> None:
    assert (
        unquoted('"public"."users" "Users" "user" "between" \'"a"\'') == 'public.users "Users" "user" "between" \'"a"\''
    )


@given(SQL)
def test_what_stands_in_the_file_reaches_the_server_to_the_letter(sql: str) -> None:
    calls: list[str] = []

    class Op:
        execute = staticmethod(calls.append)

    exec(compile(f"def upgrade():\n{indented(execute(sql))}\nupgrade()", "x", "exec"), {"op": Op})
    arrived = str(text(calls[0]).compile(dialect=psycopg.dialect()))
    assert arrived == sql.replace("%", "%%")


@given(SQL)
def test_a_string_is_the_text(sql: str) -> None:
    assert ast.literal_eval(string(sql)) == sql


def test_how_far_a_range_was_reduced_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for level in (0, 1):
        SquashText(quiet=False).folded(Folded(5, 5 - level, (), (), "", "", (), (), level))
        said.append(capsys.readouterr().out.split("\n", 1))
    assert said[0][1].strip() == ""
    assert "the operations as they were: with fewer of them, it did not do the same" in " ".join(said[1][1].split())


@pytest.mark.parametrize(
    ("down", "depends_on"), [((), ()), (("a1",), ()), (("a1", "b1"), ("c1", "d1"))], ids=["base", "range", "merge"]
)
def test_a_template_that_quotes_what_it_is_given_makes_the_same(
    tmp_path: Path, down: tuple[str, ...], depends_on: tuple[str, ...]
) -> None:
    """As Airflow's does: its first revision would follow one that is called None; and it repeats the message."""
    (tmp_path / "script.py.mako").write_text(QUOTING_TEMPLATE, encoding="utf-8")
    config = Config()
    config.set_main_option("script_location", str(tmp_path))
    words = Words("a9", "all of it", down, ("label",), depends_on, ("a8",), "sha256:0")
    path = tmp_path / "a9.py"
    made = write(ScriptDirectory.from_config(config), path, words, "pass", "pass", "Stands for two.\nMore.")
    assert made._versioned_down_revisions == down
    assert made.module.depends_on == (depends_on or None)
    assert made.module.branch_labels == ("label",)
    text = path.read_text(encoding="utf-8")
    assert text.startswith('"""all of it\n\nStands for two.\nMore.\n\nRevises: ')
    assert '"""Apply all of it"""' in text
    assert '"""Unapply all of it"""' in text
