"""The edits of env.py and of the settings: from text to text, without a project and without a database."""

from __future__ import annotations

import ast
import difflib
import io
import tokenize
from pathlib import Path

import alembic
import flask_migrate
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alembic_safe.authoring.wiring import wire_env_py
from alembic_safe.authoring.wiring_settings import wire_ini, wire_toml
from alembic_safe.errors import Refused

TEMPLATES = Path(alembic.__file__).parent / "templates"
FLASK = Path(flask_migrate.__file__).parent / "templates"
STOCK = {
    **{
        name: (TEMPLATES / name / "env.py").read_text()
        for name in ("generic", "pyproject", "async", "pyproject_async", "multidb")
    },
    **{name: (FLASK / name / "env.py").read_text() for name in ("flask", "flask-multidb", "aioflask")},
}  # fmt: skip
SEVERAL = {"multidb", "flask-multidb"}

OLD_ASYNC = """\
import asyncio

from alembic import context
from sqlalchemy import engine_from_config, pool
from sqlalchemy.ext.asyncio import (
    AsyncEngine as Engine,
)

config = context.config


def do_run_migrations(connection):
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()


async def run_migrations_online():
    connectable = Engine(
        engine_from_config(config.get_section("alembic"), prefix="sqlalchemy.", future=True)  # kept
    )
    async with connectable.connect() as connection:
        await connection.run_sync(do_run_migrations)


asyncio.run(run_migrations_online())
"""

OWN_ENGINE = '''\
"""Ours."""
from __future__ import annotations

from alembic import context as ctx

from shop.database import engine

Connection = "something else"


def online():
\tconnectable = "taken"
\twith engine.connect() as c:  # Straße
\t\tctx.configure(connection=c, compare_type=True)
\t\tprint("before", connectable)
\t\twith ctx.begin_transaction():
\t\t\tctx.run_migrations()


online()
'''

THROUGH_A_FUNCTION = """\
from alembic import context
import sqlalchemy

def go(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

engine = sqlalchemy.create_engine("postgresql://") if True else None
with engine.connect() as live:
    go(live)
"""

WIRED_ALREADY = """\
from alembic import context
config = context.config
connectable = config.attributes.get("connection", None)
if connectable is None:
    connectable = make()
with connectable.connect() as connection:
    context.configure(connection=connection)
"""

VARIANTS = {**STOCK, "old async": OLD_ASYNC, "own engine": OWN_ENGINE, "through a function": THROUGH_A_FUNCTION}


def comments(text: str) -> list[str]:
    return [t.string for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT]


def removed(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line[2:].strip() for line in lines if line.startswith("- ") and line[2:].strip()]


@pytest.mark.parametrize("name", VARIANTS)
def test_a_usual_env_py_is_edited_with_a_reason_and_a_second_time_not_at_all(name: str) -> None:
    wired = wire_env_py(VARIANTS[name])
    assert wired.by_hand is None
    assert wired.changes
    ast.parse(wired.after)
    assert wired.edits
    assert all(edit.what and edit.why for edit in wired.edits)
    again = wire_env_py(wired.after)
    assert (again.after, again.edits, again.by_hand) == (wired.after, (), None)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_line_ends_stay_what_they_are(name: str, newline: str) -> None:
    unix = wire_env_py(VARIANTS[name]).after
    assert wire_env_py(VARIANTS[name].replace("\n", newline)).after == unix.replace("\n", newline)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_comment_stays_but_the_one_that_would_be_untrue(name: str) -> None:
    before, after = comments(VARIANTS[name]), comments(wire_env_py(VARIANTS[name]).after)
    gone = [line for line in before if line not in after]
    if name in SEVERAL:
        assert gone[:2] == [
            "# for the direct-to-DB use case, start a transaction on all",
            "# engines, then run all migrations, then commit all transactions.",
        ]
        assert gone[2:] in ([], ["# noqa: E722"])
    else:
        assert gone == []
        iterator = iter(after)
        assert all(line in iterator for line in before), "their order changed"


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("generic", ["connectable = engine_from_config(", "with connectable.connect() as connection:"]),
        ("flask", ["connectable = get_engine()", "with connectable.connect() as connection:"]),
        (
            "async",
            [
                "from sqlalchemy.ext.asyncio import async_engine_from_config",
                "connectable = async_engine_from_config(",
                "asyncio.run(run_async_migrations())",
            ],
        ),
        ("own engine", ["with engine.connect() as c:  # Straße"]),
    ],
)
def test_only_the_lines_concerned_are_replaced(name: str, lines: list[str]) -> None:
    assert removed(VARIANTS[name], wire_env_py(VARIANTS[name]).after) == lines


@pytest.mark.parametrize("name", VARIANTS)
def test_a_reformatted_env_py_is_edited_too(name: str) -> None:
    # the parser's own rendering: other quotes, other line breaks, no blank lines, no comments
    wired = wire_env_py(ast.unparse(ast.parse(VARIANTS[name])) + "\n")
    assert wired.by_hand is None
    meant = ast.unparse(ast.parse(wire_env_py(VARIANTS[name]).after))
    assert ast.unparse(ast.parse(wired.after)) == meant


def test_names_that_mean_something_else_are_left_alone() -> None:
    after = wire_env_py(OWN_ENGINE).after
    assert 'Connection = "something else"' in after
    assert "from sqlalchemy.engine import Connection as AlembicConnection" in after
    assert '\thanded_over = ctx.config.attributes.get("connection") or engine\n' in after
    assert "isinstance(handed_over, AlembicConnection)" in after


def test_an_import_in_several_lines_gets_a_line_more() -> None:
    after = wire_env_py(OLD_ASYNC).after
    # AsyncEngine is there under another name, which is used
    assert "isinstance(handed, Engine)" in after
    several = STOCK["async"].replace(
        "import async_engine_from_config", "import (\n    async_engine_from_config,\n    create_async_engine,\n)"
    )
    assert "import (\n    AsyncEngine,\n    async_engine_from_config,\n" in wire_env_py(several).after


def test_a_value_that_binds_loosely_gets_parentheses() -> None:
    after = wire_env_py(THROUGH_A_FUNCTION).after
    assert 'or (sqlalchemy.create_engine("postgresql://") if True else None)\n' in after


def test_several_databases_get_one_transaction_each_and_it_is_said_what_is_given_up() -> None:
    wired = wire_env_py(STOCK["multidb"])
    assert "begin_twophase" not in wired.after
    assert "USE_TWOPHASE" not in wired.after
    assert ".commit()" not in wired.after
    assert "given up is that all of them roll back together" in wired.edits[0].why


@pytest.mark.parametrize("name", sorted(SEVERAL))
def test_two_phase_commit_is_refused_by_name(name: str) -> None:
    with pytest.raises(Refused) as error:
        wire_env_py(STOCK[name].replace("USE_TWOPHASE = False", "USE_TWOPHASE = True"))
    assert error.value.exit_code == 3
    assert "USE_TWOPHASE = True" in error.value.summary
    assert "USE_TWOPHASE = False" in error.value.next_steps[0].why
    with pytest.raises(Refused, match="two-phase"):
        wire_env_py(STOCK[name].replace("if USE_TWOPHASE:", "if True:", 1))


BEGIN = """\
from alembic import context
from shop import engine
with engine.begin() as c:
    context.configure(connection=c)
    with context.begin_transaction():
        context.run_migrations()
"""


def test_a_transaction_around_alembic_becomes_a_connection_where_nothing_else_uses_it() -> None:
    wired = wire_env_py(BEGIN)
    assert ".begin()" not in wired.after
    assert "connectable.connect()" in wired.after
    assert len(wired.edits) == 2
    used = wire_env_py(BEGIN.replace("    context.configure", "    c.execute(path)\n    context.configure"))
    assert "connectable.begin()" in used.after
    assert ".connect()" not in used.after


UNUSUAL = {
    "def broken(:": "does not parse",
    "import os\n": "from alembic import context",
    "from alembic import context\ncontext.configure(url='x')\n": "no context.configure(connection=...)",
    "from alembic import context\nc = engine.connect()\ncontext.configure(connection=c)\n": "with statement",
    "from alembic import context\ncontext.configure(connection=make())\n": "line 2: the connection that is configured",
    "from alembic import context\nwith a.connect() as c: context.configure(connection=c)\n"
    "with b.connect() as d: context.configure(connection=d)\n": "several places (lines 2, 3)",
    "from alembic import context\nwith get() as c:\n    context.configure(connection=c)\n": "engine.connect()",
    "from alembic import context\nwith e.begin() as c:\n    context.configure(connection=c)\n": "begin_transaction",
    "from alembic import context\nif 1: pass; x = 1\nwith e.connect() as a, f.connect() as c:\n"
    "    context.configure(connection=c)\n": "together with something else",
    STOCK["async"].replace("asyncio.run(run_async_migrations())", "x = run_async_migrations()"): "one statement",
    STOCK["async"].replace("run_sync(do_run_migrations)", "run_sync(do_run_migrations, 1)"): "more than the connection",
    STOCK["multidb"]
    .replace("            raise\n", "")
    .replace("        raise\n", '        notify("failed")\n        raise\n'): 'notify("failed")',
    STOCK["multidb"].replace("    except:\n", "    except:  # our own words\n"): "# our own words",
    BEGIN.replace(
        "engine.begin()", '(context.config.attributes.get("connection") or engine).begin()'
    ): "in a transaction",
    STOCK["multidb"] + '\nhanded = config.attributes["connection"]\n': "begins on all databases",
    (FLASK / "aioflask-multidb" / "env.py").read_text(): "unknown way",
}


@pytest.mark.parametrize(("text", "why"), UNUSUAL.items(), ids=list(UNUSUAL.values()))
def test_an_unusual_env_py_is_not_touched_and_the_lines_to_add_are_shown(text: str, why: str) -> None:
    wired = wire_env_py(text)
    assert wired.by_hand is not None
    assert why in wired.by_hand.why
    assert wired.after == text
    ast.parse(wired.by_hand.lines)


def test_an_env_py_that_uses_its_connection_already_is_left_as_it_is() -> None:
    wired = wire_env_py(WIRED_ALREADY)
    assert not wired.changes
    assert wired.by_hand is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_comments_blank_lines_and_odd_bytes_anywhere_survive(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["generic", "async", "own engine"]))
    lines = VARIANTS[name].split("\n")
    places = data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=6))
    for place in places:
        noise = data.draw(st.sampled_from(["# \x0c", "# ü \u2028 x", "#", "", "\x0c", "# 'quote", "#\t%s"]))
        lines.insert(place, noise)
    text = "\n".join(lines)
    before = [line for line in text.split("\n") if line.strip().startswith("#")]
    wired = wire_env_py(text)
    assert wired.changes
    after = iter(wired.after.split("\n"))
    assert all(line in after for line in before)
    assert not wire_env_py(wired.after).changes


@pytest.mark.parametrize(
    ("wire", "text", "section"),
    [
        (wire_ini, "[alembic]\n# kept\nscript_location = %(here)s/x\n", "\n[alembic_safe]\n"),
        (wire_ini, "[alembic]\r\nfile_template = %%(rev)s", "\r\n[alembic_safe]\r\n"),
        (wire_toml, '[project]\nname = "x"\n', "\n[tool.alembic_safe]\n"),
        (wire_toml, '[project] # kept\r\nname = "ü"\r\n[tool]\r\nalembic.x = 1', "\r\n[tool.alembic_safe]\r\n"),
        (wire_toml, "", "\n[tool.alembic_safe]\n"),
    ],
)
def test_a_section_is_added_at_the_end_once(wire, text: str, section: str) -> None:
    wired = wire(text)
    assert wired.by_hand is None
    assert wired.after.startswith(text)
    assert section in wired.after
    assert wired.after.count("\r\n") in {0, wired.after.count("\n")}
    assert not wire(wired.after).changes


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (wire_toml, "tool = {x = {y = 1}}\n"),
        (wire_toml, "[broken"),
        (wire_ini, "no section = 1\n"),
        (wire_toml, "tool = 1"),
    ],
)
def test_settings_that_cannot_take_a_section_are_left_as_they_are(wire, text: str) -> None:
    wired = wire(text)
    assert wired.after == text
    assert wired.by_hand is not None
    assert "backup_dir" in wired.by_hand.lines
