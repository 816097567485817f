"""A history with every operation of Alembic's and every way to migrate data, to draw ranges from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.project import Project
from tests.squash_project import with_template

if TYPE_CHECKING:
    from pathlib import Path

_MODELS = """
from sqlalchemy.orm import Session, declarative_base

Base = declarative_base()
STEP = 10


class Person(Base):
    __tablename__ = "people"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.Text)
    points = sa.Column(sa.Integer)


def rewarded(person):
    return (person.points or 0) + STEP
"""
_OTHER_MODELS = """
from sqlalchemy import orm

Base = orm.declarative_base()
STEP = 3  # the same name, another number


class Person(Base):
    __tablename__ = "people"
    id = sa.Column(sa.Integer, primary_key=True)
    email = sa.Column(sa.Text)


def rewarded(person):
    return f"{person.id}-{STEP}@example.org"
"""
_TABLE = """
import json
from alembic import context

LABELS = {"a": "first", "b": "50% off: second"}
labels = sa.table("Labels", sa.column("Key", sa.Text), sa.column("text", sa.Text), sa.column("extra", sa.Text))


def row(key):
    '''Return a row.

        Its docstring has lines
      of many indentations.
    '''
    return {"Key": key, "text": LABELS[key], "extra": json.dumps({"n": len(key)})}
"""

STEPS: tuple[tuple[str, str, str, str], ...] = (
    ("two tables", """
op.create_table("people", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(40)),
    sa.Column("old", sa.Text))
op.create_table("orders", sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("person_id", sa.Integer, sa.ForeignKey("people.id", name="fk_orders_person"), index=True),
    sa.Column("price", sa.Numeric(10, 2), server_default="0.50"), comment="what was ordered")
""", 'op.drop_table("orders")\nop.drop_table("people")', ""),
    ("add columns", """
op.add_column("people", sa.Column("points", sa.Integer, server_default=sa.text("5"), nullable=False))
op.add_column("people", sa.Column("Mail: 50%", sa.Text, comment="it's 100%"))
op.add_column("orders", sa.Column("code", sa.String(8), unique=True))
""", 'op.drop_column("orders", "code")\nop.drop_column("people", "Mail: 50%")\nop.drop_column("people", "points")', ""),
    ("alter columns", """
op.alter_column("people", "name", existing_type=sa.String(40), type_=sa.Text(), comment="how they are called")
op.alter_column("people", "Mail: 50%", new_column_name="email")
op.alter_column("people", "points", server_default=None, existing_type=sa.Integer())
""", """
op.alter_column("people", "points", server_default="5", existing_type=sa.Integer())
op.alter_column("people", "email", new_column_name="Mail: 50%")
op.alter_column("people", "name", existing_type=sa.Text(), type_=sa.String(40), comment=None)
""", ""),
    ("indexes", """
op.create_index("ix_people_name", "people", [sa.text("lower(name)")], postgresql_where=sa.text("name IS NOT NULL"))
op.create_index("ix_orders_price", "orders", ["price", "code"], unique=False, postgresql_using="btree")
op.drop_index("ix_orders_person_id", table_name="orders")
""", """
op.create_index("ix_orders_person_id", "orders", ["person_id"])
op.drop_index("ix_orders_price")
op.drop_index("ix_people_name", table_name="people")
""", ""),
    ("raw SQL", 'op.execute("UPDATE people SET points = points + 1 WHERE name <> \'a\\\\:b\'")', "", ""),
    ("constraints", """
op.create_check_constraint("ck_price", "orders", "price >= 0 AND price % 1 < 1")
op.create_unique_constraint("uq_people_email", "people", ["email"], deferrable=True, initially="DEFERRED")
op.create_table("parts", sa.Column("order_id", sa.BigInteger), sa.Column("n", sa.Integer, nullable=False),
    sa.Column("span", sa.dialects.postgresql.INT4RANGE()))
op.create_foreign_key("fk_parts_order", "parts", "orders", ["order_id"], ["id"], ondelete="CASCADE")
op.create_primary_key("pk_parts", "parts", ["n"])
op.create_exclude_constraint("ex_parts", "parts", ("span", "&&"), using="gist")
""", """
op.drop_table("parts")
op.drop_constraint("uq_people_email", "people", type_="unique")
op.drop_constraint("ck_price", "orders", type_="check")
""", ""),
    ("seed labels", """
op.create_table("Labels", sa.Column("Key", sa.Text, primary_key=True), sa.Column("text", sa.Text), sa.Column("extra", sa.Text))
op.bulk_insert(labels, [row(key) for key in LABELS])
""", 'op.drop_table("Labels")', _TABLE),
    ("rewards through a session", """
session = Session(bind=op.get_bind())
for person in session.query(Person).order_by(Person.id):
    person.points = rewarded(person)
session.flush()
""", "", _MODELS),
    ("table names", """
op.rename_table("parts", "pieces")
op.create_table_comment("pieces", "parts of orders", existing_comment=None)
op.drop_table_comment("orders", existing_comment="what was ordered")
""", """
op.create_table_comment("orders", "what was ordered")
op.drop_table_comment("pieces")
op.rename_table("pieces", "parts")
""", ""),
    ("mails through a session", """
session = orm.Session(bind=op.get_bind())
for person in session.query(Person).filter(Person.email.is_(None)):
    person.email = rewarded(person)
session.flush()
op.execute("SET CONSTRAINTS ALL IMMEDIATE")
""", "", _OTHER_MODELS),
    ("offline or not", """
op.add_column("orders", sa.Column("state", sa.Text))
if context.is_offline_mode():
    op.execute("UPDATE orders SET state = 'unknown'")
else:
    connection = op.get_bind()
    for (id_,) in connection.execute(sa.text("SELECT id FROM orders ORDER BY id")).fetchall():
        connection.execute(sa.text("UPDATE orders SET state = :state WHERE id = :id"), {"state": f"s{id_}", "id": id_})
op.alter_column("orders", "state", existing_type=sa.Text(), server_default="new")
""", 'op.drop_column("orders", "state")', "from alembic import context"),
    ("what is there", """
columns = {one["name"] for one in sa.inspect(op.get_bind()).get_columns("people")}
if "old" in columns:
    op.drop_column("people", "old")
if "note" not in columns:
    op.add_column("people", sa.Column("note", sa.Text))
""", 'op.drop_column("people", "note")\nop.add_column("people", sa.Column("old", sa.Text))', ""),
    ("an index beside the application", """
with op.get_context().autocommit_block():
    op.create_index("ix_beside", "orders", ["state"], postgresql_concurrently=True, if_not_exists=True)
""", """
with op.get_context().autocommit_block():
    op.drop_index("ix_beside", table_name="orders", postgresql_concurrently=True, if_exists=True)
""", ""),
    ("in a batch", """
with op.batch_alter_table("pieces") as batch:
    batch.add_column(sa.Column("weight", sa.Float, server_default="1"))
    batch.alter_column("weight", nullable=False, existing_type=sa.Float(), comment="in kg")
    batch.create_index("ix_weight", ["weight"])
    batch.create_unique_constraint("uq_weight", ["n", "weight"])
""", """
with op.batch_alter_table("pieces") as batch:
    batch.drop_constraint("uq_weight", type_="unique")
    batch.drop_index("ix_weight")
    batch.drop_column("weight")
""", ""),
    ("loops and dialects", """
bind = op.get_bind()
if bind.dialect.name == "postgresql":
    for table in TABLES:
        op.add_column(table, sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.func.now()))
""", """
for table in reversed(TABLES):
    op.drop_column(table, "made_at")
""", 'TABLES = ["Labels", "pieces"]'),
    ("a table that goes again", """
op.create_table("gone", sa.Column("id", sa.Integer, primary_key=True), sa.Column("person_id", sa.Integer))
op.create_foreign_key("fk_gone", "gone", "people", ["person_id"], ["id"])
op.create_index("ix_gone", "gone", ["person_id"])
""", 'op.drop_table("gone")', ""),
    ("a column for it",
     'op.add_column("gone", sa.Column("more", sa.Text))\nop.add_column("people", sa.Column("brief", sa.Text))',
     'op.drop_column("people", "brief")\nop.drop_column("gone", "more")', ""),
    ("without it", """
op.drop_table("gone")
op.alter_column("people", "brief", new_column_name="short", existing_type=sa.Text(), comment="brief")
""", """
op.alter_column("people", "short", new_column_name="brief", existing_type=sa.Text(), comment=None)
op.create_table("gone", sa.Column("id", sa.Integer, primary_key=True), sa.Column("person_id", sa.Integer),
    sa.Column("more", sa.Text))
op.create_foreign_key("fk_gone", "gone", "people", ["person_id"], ["id"])
op.create_index("ix_gone", "gone", ["person_id"])
""", ""),
    ("types", """
op.execute("CREATE TYPE mood AS ENUM ('good', 'bad')")
op.add_column("people", sa.Column("mood", sa.dialects.postgresql.ENUM("good", "bad", name="mood", create_type=False)))
op.create_table("kinds", sa.Column("id", sa.Integer, primary_key=True), sa.Column("kind", sa.Enum("x", "y", name="kind")))
""", """
op.drop_table("kinds")
op.execute("DROP TYPE kind")
op.drop_column("people", "mood")
op.execute("DROP TYPE mood")
""", ""),
    ("another label", """
with op.get_context().autocommit_block():
    op.execute("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'fair' BEFORE 'bad'")
""", "", ""),
    ("functions and triggers", '''
op.execute("""
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.note := coalesce(NEW.note, 'a\\\\:b');
    RETURN NEW;
END $$
""")
op.execute("CREATE TRIGGER touch BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION touched()")
''', 'op.execute("DROP TRIGGER touch ON people")\nop.execute("DROP FUNCTION touched()")', ""),
    ("types of columns", """
op.alter_column("people", "points", existing_type=sa.Integer(), type_=sa.BigInteger(), nullable=True)
op.alter_column("orders", "code", type_=sa.Integer(), postgresql_using="code::integer", existing_type=sa.String(8))
op.alter_column("people", "points", existing_type=sa.BigInteger(), comment="never less than before")
""", """
op.alter_column("orders", "code", type_=sa.String(8), existing_type=sa.Integer())
op.alter_column("people", "points", existing_type=sa.BigInteger(), type_=sa.Integer(), nullable=False, comment=None)
""", ""),
    ("another schema", """
op.execute('CREATE SCHEMA "Other: 1%"')
op.create_table("t.x", sa.Column("id", sa.Integer, primary_key=True), sa.Column("person", sa.Integer), schema="Other: 1%")
op.create_foreign_key("fk out", "t.x", "people", ["person"], ["id"], source_schema="Other: 1%")
op.create_index("ix out", "t.x", ["person"], schema="Other: 1%")
""", 'op.drop_table("t.x", schema="Other: 1%")\nop.execute(\'DROP SCHEMA "Other: 1%"\')', ""),
    ("and a column there", """
op.add_column("t.x", sa.Column("Named", sa.Text), schema="Other: 1%")
op.alter_column("t.x", "Named", nullable=False, schema="Other: 1%", existing_type=sa.Text())
op.drop_index("ix out", table_name="t.x", schema="Other: 1%")
""", """
op.drop_column("t.x", "Named", schema="Other: 1%")
op.create_index("ix out", "t.x", ["person"], schema="Other: 1%")
""", ""),
    ("no longer needed", """
op.add_column("people", sa.Column("seen", sa.Integer))
op.get_bind().execute(sa.text("UPDATE kinds SET kind = 'y'"))
""", 'op.drop_column("people", "seen")', "elidable = True"),
    ("last", """
op.drop_constraint("ck_price", "orders", type_="check")
op.alter_column("people", "seen", existing_type=sa.Integer(), server_default="0")
op.drop_column("people", "seen")
""", """
op.add_column("people", sa.Column("seen", sa.Integer))
op.create_check_constraint("ck_price", "orders", "price >= 0 AND price % 1 < 1")
""", ""),
)  # fmt: skip


def every_operation(folder: Path, url: str) -> Project:
    """Write the history: revisions e01, e02, and so on."""
    project = with_template(Project.create(folder, url, plain=False))
    before = None
    for n, (message, up, down, extra) in enumerate(STEPS, 1):
        project.revision(f"e{n:02}", before, message, up, down, extra=extra)
        before = f"e{n:02}"
    return project
