"""Which pieces make a table: the table itself, and what is made behind it?"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from alembic_safe.history.expressions import unquoted
from alembic_safe.history.index_operations import create_index
from alembic_safe.history.piece import LATE_KEYS, SECURITY, Form, Piece, Wanted, section_of, sql_forms
from alembic_safe.history.python_text import execute
from alembic_safe.history.sequences import Sequences
from alembic_safe.history.table_operations import (
    NoCall,
    columns_of,
    create_foreign_key,
    create_table,
    create_unique,
    said_inside,
)
from alembic_safe.history.tables_order import tables_in_order
from alembic_safe.inspecting.difference_sql_make import create_sql, settings_sql
from alembic_safe.inspecting.difference_sql_parts import (
    constraint_sql,
    enabled_sql,
    sequence_attribute,
    sequence_sql,
)
from alembic_safe.inspecting.difference_sql_tables import table_attribute, table_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId

_LATER = frozenset({"grants", "row_security", "force_row_security", "identity_of"})
_AS_SQL = frozenset({"partition_bound", "inherits", "of_type"})
_SORTS = "pucxf"


class TablePieces:
    """The tables of a catalog, piece by piece.

    :ivar whole: what is made as one piece of SQL with everything that belongs to it, rights included.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.catalog = wanted.catalog
        self.sequences = Sequences.of(wanted.catalog)
        self.tables, self.late = tables_in_order(wanted.catalog, wanted.seeded)
        self.whole = {
            one
            for table in self.tables
            if self._is_sql(table)
            for one in (table, *self.catalog.parts(table))
            if one not in self.late
        }

    def all(self) -> Iterator[Piece]:
        """Yield the pieces, table by table."""
        made: list[ObjectId] = []
        for table in self.tables:
            if table in self.wanted.empty.objects:
                pass  # it was there before: what has come to it is no whole table
            elif self._is_sql(table):
                yield self._as_sql(table, made)
                yield from (self._constraint(part) for part in self.catalog.parts(table) if part in self.late)
            else:
                yield from self._of(table)
            made.append(table)

    def _is_sql(self, table: ObjectId) -> bool:
        return table.kind == "foreign table" or bool(_AS_SQL & self.catalog.objects[table].keys())

    def _as_sql(self, table: ObjectId, made: list[ObjectId]) -> Piece:
        # foreign keys of others stand with the others; those of this one that wait are not there yet
        waiting = {one for one in self.late if (one.schema, one.parent) == (table.schema, table.name)}
        targets = {self.catalog.by_server_name.get(str(self.catalog.objects[one]["references"])) for one in waiting}
        keys = {one for one, a in self.catalog.objects.items() if a.get("sort") == "f"}
        there = ({*made, *keys} - targets) - waiting
        statements = self.wanted.made_usual(create_sql(self.catalog, table, there))
        return Piece((table, *self.catalog.parts(table)), section_of(table, self.catalog), sql_forms(statements))

    def _of(self, table: ObjectId) -> Iterator[Piece]:
        catalog = self.catalog
        parts = list(catalog.parts(table))
        constraints = sorted(
            (part for part in parts if part.kind == "constraint"),
            key=lambda part: (_SORTS.index(str(catalog.objects[part]["sort"])), part.name),
        )
        default = self.wanted.default_schema
        inside = [one for one in constraints if one not in self.late and said_inside(catalog, one, default)]
        yield self._table(table, inside)
        yield from (self._constraint(one) for one in constraints if one not in inside)
        for part in parts:
            if part.kind == "index":
                yield self._called(part, create_index)
            elif part.kind in {"trigger", "rule", "policy"}:
                yield Piece((part,), section_of(part, catalog), sql_forms(create_sql(catalog, part, set())))
            elif part.kind == "partition trigger":
                switched = enabled_sql(catalog, part, catalog.objects[part])
                yield Piece((part,), section_of(part, catalog), sql_forms([switched]))
        yield from self._row_security(table)

    def _table(self, table: ObjectId, inside: list[ObjectId]) -> Piece:
        catalog, objects = self.catalog, self.catalog.objects
        columns = columns_of(catalog, table)
        serial = self.sequences.serial.get(table, ())
        identities = tuple(part for part in catalog.parts(table) if part.kind == "sequence")
        behind = [
            statement
            for one in self.sequences.owned.get(table, ())
            for statement in sequence_attribute(one, "owned_by", objects[one])
        ]
        if "options" in objects[table]:
            behind += table_attribute(table, "options", objects[table], {})
        for one in (table, *columns):
            behind += self.wanted.made_usual(settings_sql(catalog, one, _LATER | {"comment"}))
        for one in (*inside, *serial, *identities):
            behind += self.wanted.made_usual(settings_sql(catalog, one, _LATER))
        forms: list[Form] = []
        with suppress(NoCall):
            code = create_table(catalog, table, inside, self.wanted.default_schema)
            forms.append(Form("\n".join([code, *map(execute, map(unquoted, behind))]), is_call=True))
        comments = [
            statement
            for one in (table, *columns)
            for statement in settings_sql(catalog, one, frozenset(objects[one]) - {"comment"})
        ]
        made = [sequence_sql(one, objects[one]) for one in serial]
        made += table_sql(catalog, table)
        made += [s for one in serial for s in sequence_attribute(one, "owned_by", objects[one])]
        made += [constraint_sql(one, objects[one]) for one in inside]
        forms += sql_forms([*made, *behind, *comments])
        return Piece((table, *columns, *inside, *serial, *identities), section_of(table, catalog), tuple(forms))

    def _constraint(self, constraint: ObjectId) -> Piece:
        sort = str(self.catalog.objects[constraint]["sort"])
        call = {"f": create_foreign_key, "u": create_unique}.get(sort)
        piece = self._called(constraint, call)
        return Piece(piece.objects, LATE_KEYS, piece.forms) if sort == "f" else piece

    def _called(self, id_: ObjectId, call: Callable[[Catalog, ObjectId, str], str] | None) -> Piece:
        forms = list(sql_forms(create_sql(self.catalog, id_, set())))
        with suppress(NoCall):
            if call is not None:
                code = call(self.catalog, id_, self.wanted.default_schema)
                behind = map(execute, map(unquoted, settings_sql(self.catalog, id_)))
                forms.insert(0, Form("\n".join([code, *behind]), is_call=True))
        return Piece((id_,), section_of(id_, self.catalog), tuple(forms))

    def _row_security(self, table: ObjectId) -> Iterator[Piece]:
        a = self.catalog.objects[table]
        asked = [what for what in ("row_security", "force_row_security") if what in a]
        if asked:
            statements = [statement for what in asked for statement in table_attribute(table, what, a, {})]
            yield Piece((table,), SECURITY, sql_forms(statements))
