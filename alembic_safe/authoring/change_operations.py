"""Which operations do changes need that Alembic has not, or cannot turn round or write into a file?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.autogenerate.render import _alembic_autogenerate_prefix, _ident, _repr_type, renderers
from alembic.operations import ops
from sqlalchemy import TextClause, text

from alembic_safe.database.statements import quoted
from alembic_safe.operations.statement_text import for_text

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from sqlalchemy.types import TypeEngine

    from alembic_safe.inspecting.catalog_records import ObjectId


def is_known(op: ops.MigrateOperation) -> bool:
    """Tell whether an operation is Alembic's or ours: what another package's does nobody knows."""
    return type(op).__module__.startswith(("alembic.", "alembic_safe."))


def plain_text(sql: str) -> TextClause:
    """Return SQL of which no part is a parameter."""
    return text(for_text(sql))


class SqlOp(ops.ExecuteSQLOp):
    """One statement, with the one that takes it back.

    :param sql: without a semicolon; no part of it is a parameter.
    :param undo: empty where nothing takes it back.
    :param about: the object, where it is of a kind that has to wait until the columns that need it are gone.
    """

    def __init__(self, sql: str, undo: str = "", *, about: ObjectId | None = None) -> None:
        super().__init__(for_text(sql))
        self.sql = sql
        self.undo = undo
        self.about = about

    def reverse(self) -> SqlOp:
        """Return the statement that takes it back."""
        if not self.undo:
            raise NotImplementedError(f"nothing takes this back: {self.sql}")
        return SqlOp(self.undo, self.sql)

    def to_diff_tuple(self) -> tuple[str, str]:
        """Return what ``alembic check`` prints."""
        return ("execute", self.sql)


class FillOp(SqlOp):
    """What the rows that have no value in a column get.

    :param column: the column.
    :param expression: SQL over the table's columns.
    """

    def __init__(self, column: ObjectId, expression: str) -> None:
        table, name = quoted(column.schema, column.parent), quoted(column.name)
        super().__init__(f"UPDATE {table} SET {name} = {expression} WHERE {name} IS NULL")
        self.column = column
        self.expression = expression


class DropPartOp(SqlOp):
    """An index or a constraint that goes at once: nothing needs it any more, or it is made anew.

    :param part: the object.
    """

    def __init__(self, part: ObjectId, sql: str) -> None:
        super().__init__(sql)
        self.part = part


class PartCommentOp(SqlOp):
    """The comment of a constraint, which is there by then.

    :param part: the constraint.
    """

    def __init__(self, part: ObjectId, sql: str) -> None:
        super().__init__(sql)
        self.part = part


class NotNullNamedOp(SqlOp):
    """The constraint of a NOT NULL gets the name that PostgreSQL would give it: 18 keeps one, after a rename of the column.

    :param column: the column, under the name that it has by then.
    """

    def __init__(self, column: ObjectId, sql: str) -> None:
        super().__init__(sql)
        self.column = column


class DefaultOp(SqlOp):
    """A column's default that comes, changes or goes.

    :param column: the column.
    :param to: SQL as the server writes it; ``None``: none. ``was`` likewise.
    """

    def __init__(self, column: ObjectId, to: str | None, was: str | None) -> None:
        alter = f"ALTER TABLE {quoted(column.schema, column.parent)} ALTER COLUMN {quoted(column.name)}"

        def statement(default: str | None) -> str:
            return f"{alter} DROP DEFAULT" if default is None else f"{alter} SET DEFAULT {default}"

        super().__init__(statement(to), statement(was))
        self.column = column
        self.to = to
        self.was = was

    def reverse(self) -> DefaultOp:
        """Return the way back."""
        return DefaultOp(self.column, self.was, self.to)


class CheckOp(SqlOp):
    """A check that comes; Alembic before 1.19 cannot write one into a file.

    :param part: the constraint.
    :param condition: as the server writes it.
    """

    def __init__(self, part: ObjectId, condition: str) -> None:
        alter, name = f"ALTER TABLE {quoted(part.schema, part.parent)}", quoted(part.name)
        super().__init__(f"{alter} ADD CONSTRAINT {name} CHECK ({condition})", f"{alter} DROP CONSTRAINT {name}")
        self.part = part
        self.condition = condition


class ExcludeOp(SqlOp):
    """An exclusion constraint that comes; autogenerate knows none.

    :param part: the constraint.
    :param definition: as the server writes it.
    """

    def __init__(self, part: ObjectId, definition: str) -> None:
        alter, name = f"ALTER TABLE {quoted(part.schema, part.parent)}", quoted(part.name)
        super().__init__(f"{alter} ADD CONSTRAINT {name} {definition}", f"{alter} DROP CONSTRAINT {name}")
        self.part = part


class KeyOp(SqlOp):
    """A primary key or a unique constraint that comes and that autogenerate does not see.

    :param part: the constraint.
    :param is_primary: whether it is a primary key.
    """

    def __init__(self, part: ObjectId, sql: str, *, is_primary: bool) -> None:
        super().__init__(sql)
        self.part = part
        self.is_primary = is_primary


class DropTypeOp(SqlOp):
    """A type that goes: no column may be of it by then.

    :param type_: an enum, a domain or another one.
    """

    def __init__(self, type_: ObjectId, sql: str) -> None:
        super().__init__(sql, about=type_)
        self.type_ = type_


class GeneratedOp(SqlOp):
    """A column that comes as a generated one, in the place of what had its name.

    :param column: the column.
    :param is_stored: whether every row holds its value.
    """

    def __init__(self, column: ObjectId, sql: str, *, is_stored: bool) -> None:
        super().__init__(sql)
        self.column = column
        self.is_stored = is_stored


class RenamedPartOp(SqlOp):
    """An index, a constraint or a sequence under another name.

    :param part: the object, under its former name.
    :param where: its schema, as the file says it; empty for what the search path finds.
    """

    def __init__(self, part: ObjectId, new: str, *, where: str = "") -> None:
        super().__init__(_renaming(part, part.name, new, where), _renaming(part, new, part.name, where))
        self.part = part
        self.new = new
        self.where = where

    def reverse(self) -> RenamedPartOp:
        """Return the renaming back."""
        return RenamedPartOp(self.part._replace(name=self.new), self.part.name, where=self.where)


def _renaming(part: ObjectId, old: str, new: str, where: str) -> str:
    named = [where] if where else []
    if part.kind == "constraint":
        return f"ALTER TABLE {quoted(*named, part.parent)} RENAME CONSTRAINT {quoted(old)} TO {quoted(new)}"
    word = "INDEX" if part.kind == "index" else "SEQUENCE"
    return f"ALTER {word} {quoted(*named, old)} RENAME TO {quoted(new)}"


class AddLabelOp(SqlOp):
    """A new label of an enum; it can be used only once it is committed.

    :param type_: the enum.
    :param autocommit: whether something behind it in the same change uses it.
    """

    def __init__(self, sql: str, type_: ObjectId, *, autocommit: bool = False) -> None:
        super().__init__(sql)
        self.type_ = type_
        self.autocommit = autocommit


class RenameColumnOp(ops.AlterColumnOp):
    """A column under another name; unlike Alembic's own it can be turned round."""

    def __init__(self, table_name: str, old: str, new: str, *, schema: str | None = None) -> None:
        super().__init__(table_name, old, schema=schema, modify_name=new)
        self.new = new

    def reverse(self) -> RenameColumnOp:
        """Return the renaming back."""
        return RenameColumnOp(self.table_name, self.new, self.column_name, schema=self.schema)

    def to_diff_tuple(self) -> Any:
        """Return what ``alembic check`` prints."""
        return [("modify_name", self.schema, self.table_name, self.column_name, {}, self.column_name, self.new)]


class RenamedTableOp(ops.RenameTableOp):
    """A table under another name; unlike Alembic's own it can be turned round and be written into a file."""

    def reverse(self) -> RenamedTableOp:
        """Return the renaming back."""
        return RenamedTableOp(self.new_table_name, self.table_name, schema=self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("rename_table", self.schema, self.table_name, self.new_table_name)


class CastColumnOp(ops.AlterColumnOp):
    """A column of another type, with the expression that leads there.

    :param using: SQL over the table's columns.
    :param back: the expression of the reverse.
    :param consented: whether a person knows what the two make of the values.
    """

    def __init__(
        self, table_name: str, column_name: str, type_: TypeEngine[Any], *, using: str, back: str,
        existing_type: TypeEngine[Any], existing_nullable: bool | None, schema: str | None = None,
        consented: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            table_name, column_name, schema=schema, modify_type=type_, existing_type=existing_type,
            existing_nullable=existing_nullable, postgresql_using=_for_driver(using),
        )  # fmt: skip
        self.types = (existing_type, type_)
        self.using = using
        self.back = back
        self.consented = consented

    def reverse(self) -> CastColumnOp:
        """Return the cast back."""
        return CastColumnOp(
            self.table_name, self.column_name, self.types[0], using=self.back, back=self.using,
            existing_type=self.types[1], existing_nullable=self.existing_nullable, schema=self.schema,
            consented=self.consented,
        )  # fmt: skip


def _for_driver(sql: str) -> str:
    """Return SQL that Alembic hands over to the driver as it is, where a percent sign alone begins a value."""
    return sql.replace("%", "%%")


def cast_of(column: str, type_: str) -> str:
    """Return the plain cast of a column."""
    return f"{quoted(column)}::{type_}"


@renderers.dispatch_for(AddLabelOp)
def _add_label(context: AutogenContext, op: AddLabelOp) -> str | list[str]:
    prefix = _alembic_autogenerate_prefix(context)
    line = f"{prefix}execute({op.sqltext!r})"
    if not op.autocommit:
        return line
    return f"with {prefix}get_context().autocommit_block():\n    {line}"


@renderers.dispatch_for(RenameColumnOp)
def _rename_column(context: AutogenContext, op: RenameColumnOp) -> str:
    words = [repr(_ident(op.table_name)), repr(_ident(op.column_name)), f"new_column_name={_ident(op.new)!r}"]
    return f"{_alembic_autogenerate_prefix(context)}alter_column({', '.join(words)}{_schema(op.schema)})"


@renderers.dispatch_for(RenamedTableOp)
def _rename_table(context: AutogenContext, op: RenamedTableOp) -> str:
    words = f"{_ident(op.table_name)!r}, {_ident(op.new_table_name)!r}{_schema(op.schema)}"
    return f"{_alembic_autogenerate_prefix(context)}rename_table({words})"


@renderers.dispatch_for(CastColumnOp)
def _cast_column(context: AutogenContext, op: CastColumnOp) -> str:
    words = [
        repr(_ident(op.table_name)), repr(_ident(op.column_name)),
        f"existing_type={_repr_type(op.types[0], context)}", f"type_={_repr_type(op.types[1], context)}",
        f"existing_nullable={op.existing_nullable!r}", f"postgresql_using={_for_driver(op.using)!r}",
    ]  # fmt: skip
    return f"{_alembic_autogenerate_prefix(context)}alter_column({', '.join(words)}{_schema(op.schema)})"


def _schema(schema: str | None) -> str:
    return f", schema={_ident(schema)!r}" if schema else ""
