"""Which rows are in a database, and where do its sequences stand?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from alembic_safe.database.statements import quoted, run
from alembic_safe.history.table_operations import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import psycopg

    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId

Cells = tuple["str | None", ...]
"""One row: every value as the server writes it; ``None`` is NULL."""

EVERYTHING = ("*",)
"""In the place of columns that are left out: the whole table, or the sequence."""
_AT_ONCE = 200
_FORM = (
    "SELECT set_config('DateStyle', 'ISO, YMD', true), set_config('IntervalStyle', 'postgres', true),"
    " set_config('TimeZone', 'UTC', true), set_config('extra_float_digits', '3', true),"
    " set_config('bytea_output', 'hex', true), set_config('search_path', '', true)"
)
_UNFILLED = """
SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND NOT c.relispopulated
"""
_LARGE_OBJECTS = "SELECT count(*) AS number FROM pg_largeobject_metadata"


@dataclass(frozen=True)
class Table:
    """The rows of one table, in the order in which they lie in it.

    :param columns: the columns that can be written to.
    """

    id: ObjectId
    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[Cells, ...] = field(repr=False)


@dataclass(frozen=True)
class Contents:
    """What is in a database beside its schema.

    :param tables: those that have rows.
    :param sequences: of each sequence that was used, its last value and whether that was given out.
    :param unfilled: materialized views that were never filled.
    :param large_objects: how many there are.
    """

    tables: tuple[Table, ...]
    sequences: Mapping[ObjectId, tuple[int, bool]]
    unfilled: frozenset[ObjectId]
    large_objects: int

    @property
    def number(self) -> int:
        """How many rows there are."""
        return sum(len(table.rows) for table in self.tables)


def read_contents(connection: psycopg.Connection[Any], catalog: Catalog) -> Contents:
    """Read every row of every table of a catalog, and the state of its sequences; writes nothing."""
    with connection.transaction(force_rollback=True):
        run(connection, _FORM)
        tables = tuple(_read(connection, catalog, tuple(_with_rows(connection, catalog))))
        sequences = dict(_sequences(connection, catalog))
        unfilled = {(row["schema"], row["name"]) for row in run(connection, _UNFILLED)}
        large = int(run(connection, _LARGE_OBJECTS)[0]["number"])
    views = (id_ for id_ in catalog.objects if id_.kind == "materialized view")
    return Contents(tables, sequences, frozenset(v for v in views if (v.schema, v.name) in unfilled), large)


def _with_rows(connection: psycopg.Connection[Any], catalog: Catalog) -> Iterator[ObjectId]:
    # a partition's rows are its root's
    tables = sorted(id_ for id_, a in catalog.objects.items() if id_.kind == "table" and "partition_bound" not in a)
    for start in range(0, len(tables), _AT_ONCE):
        some = tables[start : start + _AT_ONCE]
        asked = " UNION ALL ".join(
            f"SELECT {int(n)} AS n WHERE EXISTS (SELECT FROM {quote(catalog, id_)})" for n, id_ in enumerate(some)
        )
        yield from (some[row["n"]] for row in run(connection, asked))


def quote(catalog: Catalog, table: ObjectId) -> str:
    """Return what a table's rows are selected from: its own, and those of its partitions."""
    name = quoted(table.schema, table.name)
    return name if "partition_key" in catalog.objects[table] else f"ONLY {name}"


def _read(connection: psycopg.Connection[Any], catalog: Catalog, tables: Sequence[ObjectId]) -> Iterator[Table]:
    """Read the rows of tables, many tables at once: most have few rows, and each statement is a way there and back."""
    shapes = [
        [column for column in columns_of(catalog, id_) if "generated" not in catalog.objects[column]] for id_ in tables
    ]
    for start in range(0, len(tables), _AT_ONCE):
        places = range(start, min(start + _AT_ONCE, len(tables)))
        asked = " UNION ALL ".join(_asked(catalog, n, tables[n], shapes[n]) for n in places)
        found: dict[int, list[Cells]] = {n: [] for n in places}
        with connection.cursor() as cursor:
            # without parameters a % is nothing special to psycopg
            cursor.execute(f"{asked} ORDER BY n, relation, place".encode())
            for n, cells, _, _ in cursor:
                found[n].append(tuple(cells))
        for n in places:
            names = tuple(column.name for column in shapes[n])
            types = tuple(str(catalog.objects[column]["type"]) for column in shapes[n])
            yield Table(tables[n], names, types, tuple(found[n]))


def _asked(catalog: Catalog, n: int, table: ObjectId, columns: Sequence[ObjectId]) -> str:
    listed = ", ".join(f"CAST({quoted(column.name)} AS text)" for column in columns)
    return (
        f"SELECT {int(n)} AS n, ARRAY[{listed}]::text[] AS cells, tableoid AS relation, ctid AS place"
        f" FROM {quote(catalog, table)}"
    )


def _sequences(connection: psycopg.Connection[Any], catalog: Catalog) -> Iterator[tuple[ObjectId, tuple[int, bool]]]:
    found = sorted(id_ for id_ in catalog.objects if id_.kind == "sequence")
    for start in range(0, len(found), _AT_ONCE):
        some = found[start : start + _AT_ONCE]
        asked = " UNION ALL ".join(
            f"SELECT {int(n)} AS n, last_value, is_called FROM {quoted(id_.schema, id_.name)}"
            for n, id_ in enumerate(some)
        )
        for row in run(connection, asked):
            id_ = some[row["n"]]
            if row["is_called"] or row["last_value"] != catalog.objects[id_]["start"]:
                yield id_, (row["last_value"], row["is_called"])


def digest(contents: Contents, leave_out: Mapping[ObjectId, Sequence[str]]) -> str:
    """Return a hash of the rows and sequences, whatever order the rows lie in.

    :param leave_out: columns whose values are other ones each time.
    """
    hashed = hashlib.sha256()
    for table in sorted(contents.tables, key=lambda one: one.id):
        if leave_out.get(table.id) == EVERYTHING:
            continue
        hashed.update(repr((table.id, sorted(comparable(table, leave_out.get(table.id, ())), key=repr))).encode())
    hashed.update(repr(sorted(contents.sequences.items())).encode())
    return hashed.hexdigest()


def comparable(table: Table, leave_out: Sequence[str]) -> list[Cells]:
    """Return the rows of a table without some columns."""
    kept = [n for n, column in enumerate(table.columns) if column not in leave_out]
    return [tuple(row[n] for n in kept) for row in table.rows]


def differences(left: Contents, right: Contents, leave_out: Mapping[ObjectId, Sequence[str]]) -> list[str]:
    """Return in what the rows and sequences of two databases differ, one line for each table or sequence."""
    found = []
    one, other = ({table.id: table for table in side.tables} for side in (left, right))
    for id_ in sorted(one.keys() | other.keys()):
        if leave_out.get(id_) == EVERYTHING:
            continue
        rows = [
            sorted(comparable(side[id_], leave_out.get(id_, ())), key=repr) if id_ in side else []
            for side in (one, other)
        ]
        if rows[0] != rows[1]:
            found.append(f"rows of {id_}: {len(rows[0])} -> {len(rows[1])}" + _first(rows[0], rows[1]))
    found += [
        f"{id_}: stands at {left.sequences.get(id_)} -> {right.sequences.get(id_)}"
        for id_ in sorted(left.sequences.keys() | right.sequences.keys())
        if left.sequences.get(id_) != right.sequences.get(id_) and leave_out.get(id_) != EVERYTHING
    ]
    found += [f"{view}: filled on one side only" for view in sorted(left.unfilled ^ right.unfilled)]
    if left.large_objects != right.large_objects:
        found.append(f"large objects: {left.large_objects} -> {right.large_objects}")
    return found


def beyond(contents: Contents, before: Contents) -> tuple[Contents, list[ObjectId]]:
    """Return what a database has got beyond what was in it before, and the tables whose old rows are other ones now.

    A table with the rows that it had is left out, and a sequence where it stood.
    """
    old = {table.id: table for table in before.tables}
    kept, changed = [], [id_ for id_ in old if id_ not in {table.id for table in contents.tables}]
    for table in contents.tables:
        twin = old.get(table.id)
        if twin is None:
            kept.append(table)
        elif _same_rows(table, twin):
            continue
        else:
            changed.append(table.id)
    sequences = {id_: state for id_, state in contents.sequences.items() if before.sequences.get(id_) != state}
    return replace(contents, tables=tuple(kept), sequences=sequences), changed


def _same_rows(table: Table, before: Table) -> bool:
    """Whether a table has the rows that it had, in the columns that are left of those."""
    common = [column for column in before.columns if column in table.columns]
    now, then = (
        sorted((tuple(row[side.columns.index(one)] for one in common) for row in side.rows), key=repr)
        for side in (table, before)
    )
    return now == then


def _first(left: list[Cells], right: list[Cells]) -> str:
    only = [row for row in left if row not in right][:1], [row for row in right if row not in left][:1]
    return "".join(f"; only {side}: {rows[0]}" for side, rows in zip(("before", "after"), only, strict=True) if rows)
