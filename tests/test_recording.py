"""What a revision invokes is noted as it is, and written so that Alembic makes the same statements of it."""

from __future__ import annotations

import importlib.util
import io
import types
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from alembic_safe.history.carried import Carrier
from alembic_safe.history.constant_calls import why_not_constant
from alembic_safe.history.module_parts import CannotCarry
from alembic_safe.history.operation_text import OperationText
from alembic_safe.history.recording import Invoked, noted

if TYPE_CHECKING:
    from pathlib import Path


def context_of(naming: dict[str, str] | None = None) -> MigrationContext:
    metadata = sa.MetaData(naming_convention=naming) if naming else None
    options = {"as_sql": True, "output_buffer": io.StringIO(), "target_metadata": metadata}
    return MigrationContext.configure(dialect_name="postgresql", opts=options)


def invoked(work: Any, naming: dict[str, str] | None = None) -> tuple[Invoked, list[str]]:
    """Return what some calls invoked, and how it is written."""
    context = context_of(naming)
    with noted(context) as notes:
        work(Operations(context))
    found, text = notes.invoked(), OperationText(context)
    assert found.unknown == ""
    assert text.why_not_same(found.operations, found.sql) == ""
    return found, [text.text(one) for one in found.operations]


def test_a_foreign_key_inside_of_a_column_is_kept() -> None:
    def work(op: Operations) -> None:
        op.create_table(
            "t", sa.Column("id", sa.Integer, primary_key=True), sa.Column("u", sa.Integer, sa.ForeignKey("u.id"))
        )
        op.add_column("t", sa.Column("v", sa.Integer, sa.ForeignKey("v.id"), unique=True, index=True))

    found, text = invoked(work)
    assert 'sa.ForeignKeyConstraint(["u"], ["u.id"])' in text[0]
    assert any("create_foreign_key" in one and '"v"' in one for one in text[1:])
    assert sum("FOREIGN KEY" in one for one in found.sql) == 2


def test_an_index_inside_of_a_table_is_kept() -> None:
    def work(op: Operations) -> None:
        op.create_table(
            "t",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Index("Odd: 5%", "id", sa.text("lower('A')"), unique=True, postgresql_where=sa.text("id > 0")),
        )

    found, text = invoked(work)
    assert found.number == 2
    for part in ('"Odd: 5%", "t", ["id", sa.', "lower('A')", "unique=True", 'postgresql_where=sa.text("id > 0")'):
        assert part in " ".join(text[1].replace("\n    ", " ").split()).replace('( "', '("')


def test_indexes_inside_of_a_table_are_in_no_order_and_before_its_comments() -> None:
    def work(op: Operations) -> None:
        more = [sa.Column(name, sa.Integer, index=True, comment="it's 5%") for name in "dacb"]
        op.create_table("t", sa.Column("id", sa.Integer, primary_key=True), *more, comment="a table")

    assert invoked(work)[0].number == 5


def test_a_column_is_altered_with_a_class_for_a_type_and_a_function_for_a_default() -> None:
    def work(op: Operations) -> None:
        op.alter_column("t", "a", new_column_name="b", type_=sa.Text, existing_type=sa.Integer)
        op.alter_column("t", "c", server_default=sa.func.now(), existing_nullable=True)
        op.alter_column("t", "d", server_default=sa.false(), nullable=False)
        op.alter_column("t", "e", nullable=False, existing_server_default=sa.text("'x'"))

    text = invoked(work)[1]
    assert "type_=sa.Text()" in text[0]
    assert 'server_default=sa.text("now()")' in text[1]
    assert 'server_default=sa.text("false")' in text[2]


def test_names_of_a_naming_convention_are_kept() -> None:
    naming = {"ck": "ck_%(table_name)s_%(constraint_name)s", "pk": "pk_%(table_name)s"}

    def work(op: Operations) -> None:
        op.create_table(
            "t", sa.Column("id", sa.Integer, primary_key=True), sa.CheckConstraint("id % 2 > 0", name="odd")
        )
        op.drop_constraint("odd", "t", type_="check")

    _, text = invoked(work, naming)
    assert 'name=op.f("pk_t")' in text[0]
    assert 'sa.CheckConstraint("id % 2 > 0", name=op.f("ck_t_odd"))' in text[0]
    assert text[1] == 'op.drop_constraint(op.f("ck_t_odd"), "t", type_="check")'


def test_rows_are_no_operation_that_is_folded() -> None:
    context = context_of()
    with noted(context) as notes:
        Operations(context).bulk_insert(sa.table("t", sa.column("a", sa.Integer)), [{"a": 1}])
    assert notes.invoked().unknown == "BulkInsertOp"


# --- which revisions do nothing else -----------------------------------------------------------------------------------


def module(source: str, tmp_path: Path) -> types.ModuleType:
    path = tmp_path / "revision_file.py"
    path.write_text("import sqlalchemy as sa\nfrom alembic import op\n" + source)
    spec = importlib.util.spec_from_file_location("revision_file", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def upgrade(): op.add_column('t', sa.Column('a', sa.Text))", ""),
        ("def upgrade():\n    for n in range(3):\n        op.add_column('t', sa.Column(f'a{n}', sa.Text))", ""),
        ("T = [x for x in 'ab']\ndef one(t): op.drop_table(t)\ndef upgrade():\n    for t in T: one(t)", ""),
        ("def upgrade():\n    if op.get_bind().dialect.name == 'postgresql': op.drop_table('t')", ""),
        ("def upgrade():\n    with op.batch_alter_table('t') as b: b.drop_column('a')", ""),
        ("from sqlalchemy import inspect as look\ndef upgrade():\n    x = look(1)", "look"),
        ("def upgrade():\n    op.get_bind().execute(sa.text('SELECT 1'))", "op.get_bind"),
        ("import os\nN = os.environ.get('N')\ndef upgrade(): op.drop_table(N or 't')", "os"),
        ("import datetime\ndef upgrade(): op.execute(f\"SELECT '{datetime.datetime.now()}'\")", "datetime"),
        ("def upgrade():\n    try: op.drop_table('t')\n    except Exception: pass", "try"),
        ("op2 = op\ndef upgrade(): op2.bulk_insert(1, 2)", "op.bulk_insert"),
        ("def upgrade():\n    x = op\n    x.get_bind()", "op"),
        ("def upgrade():\n    bind = op.get_bind()\n    f = [bind]", "op.get_bind"),
    ],
)
def test_a_revision_that_asks_anybody_is_no_constant_one(source: str, why: str, tmp_path: Path) -> None:
    found = why_not_constant(module(source, tmp_path), "upgrade")
    assert found.startswith(why) if why else found == ""


# --- what is carried ---------------------------------------------------------------------------------------------------

FIRST = '''
import json
import sqlalchemy as sa
from alembic import op

# how many
STEP = 10


def row(n):
    """Lines
       of text."""
    return json.dumps({"n": n * STEP})


def upgrade():
    # in words
    op.get_bind().execute(sa.text("""SELECT
  1"""), {"x": row(1)})
'''


def run(imports: list[str], parts: list[str], *names: str) -> list[Any]:
    """Run functions of a file made of these, and return what they sent."""
    calls: list[Any] = []

    class Bind:
        def execute(self, statement: Any, parameters: Any) -> None:
            calls.append((str(statement), parameters["x"]))

    scope: dict[str, Any] = {"op": types.SimpleNamespace(get_bind=Bind), "sa": sa}
    exec("\n".join([*imports, *parts]), scope)
    for name in names:
        scope[name]()
    return calls


def test_a_revision_is_carried_with_what_it_uses() -> None:
    found = Carrier().carry("r-1", FIRST, ["upgrade"], "rows")
    assert found.functions == {"upgrade": "_upgrade_r_1"}
    assert "# how many\nSTEP = 10" in found.parts
    assert run([*found.imports], [*found.parts], "_upgrade_r_1") == [("SELECT\n  1", '{"n": 10}')]


def test_names_that_mean_two_things_stay_apart() -> None:
    carrier = Carrier()
    texts = {"r1": FIRST, "r2": FIRST.replace("STEP = 10", "STEP = 3"), "r3": FIRST}
    carried = [carrier.carry(name, text, ["upgrade"], "rows") for name, text in texts.items()]
    assert len(carried[2].parts) == 1  # the helper and the constant are there already
    imports, parts = [line for one in carried for line in one.imports], [part for one in carried for part in one.parts]
    sent = run(imports, parts, "_upgrade_r1", "_upgrade_r2", "_upgrade_r3")
    assert [value for _, value in sent] == ['{"n": 10}', '{"n": 3}', '{"n": 10}']


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("from . import x\ndef upgrade(): x()", "relative to its own place"),
        ("def upgrade(): nothing_binds_it()", "nothing in its file says what nothing_binds_it is"),
        ("def upgrade(x=1): pass", "no plain function"),
        ("upgrade = print", "no plain function"),
    ],
)
def test_what_cannot_be_carried_is_said(source: str, why: str) -> None:
    with pytest.raises(CannotCarry, match=why):
        Carrier().carry("r1", source, ["upgrade"], "x")
