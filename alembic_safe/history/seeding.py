"""How do the rows that every database has stand in a squash?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted
from alembic_safe.history.expressions import unquoted
from alembic_safe.history.piece import ROWS, Form, Piece
from alembic_safe.history.python_text import INDENT, execute, string
from alembic_safe.inspecting.difference_sql_names import literal
from alembic_safe.operations.statement_text import for_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from alembic_safe.history.rows import Cells, Contents, Table
    from alembic_safe.history.volatile import Volatile
    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId

_WORDS = {"smallint": "sa.SmallInteger", "integer": "sa.Integer", "bigint": "sa.BigInteger", "text": "sa.Text",
          "boolean": "sa.Boolean"}  # fmt: skip
_PLAIN = frozenset({"smallint", "integer", "bigint", "boolean"})
"""Types whose values need no quotes."""
_PER_STATEMENT = 500
_PER_CALL = 200
"""Rows beyond that are no longer read one by one by anybody: as SQL they take a fraction of the time."""


def row_pieces(
    contents: Contents, changing: Volatile, catalog: Catalog, order: Sequence[ObjectId], default_schema: str
) -> Iterator[Piece]:
    """Yield what writes the rows, table by table, and sets the sequences behind them.

    :param order: of the tables, each behind those that it refers to.
    """
    places = {table: n for n, table in enumerate(order)}
    for table in sorted(contents.tables, key=lambda one: places[one.id]):
        volatile_places = {
            (n, k): sql for (id_, n, k), sql in changing.expressions.items() if id_ == table.id
        }  # fmt: skip
        forms = [] if volatile_places else list(_as_calls(table, catalog, default_schema))
        code = "\n".join(_inserts(table, volatile_places, changing, catalog))
        forms.append(Form(code, is_call=False))
        yield Piece((table.id,), ROWS, tuple(forms))
    for sequence, (value, called) in contents.sequences.items():
        name = literal(unquoted(quoted(sequence.schema, sequence.name)))
        code = execute(f"SELECT setval({name}, {value}, {'true' if called else 'false'})")
        yield Piece((sequence,), ROWS, (Form(code, is_call=False),))


def _as_calls(table: Table, catalog: Catalog, default_schema: str) -> Iterator[Form]:
    words = [_word(type_) for type_ in table.types]
    if not all(words) or _always(table, catalog) or len(table.rows) > _PER_CALL or not table.columns:
        return
    said = [string(table.id.name)]
    said += [f"sa.column({string(column)}, {word})" for column, word in zip(table.columns, words, strict=True)]
    if table.id.schema != default_schema:
        said.append(f"schema={string(table.id.schema)}")
    lines = [f"{INDENT}sa.table(", *(f"{INDENT * 2}{one}," for one in said), f"{INDENT}),", f"{INDENT}["]
    lines += [f"{INDENT * 2}{{{_cells(table, row)}}}," for row in table.rows]
    yield Form("\n".join(["op.bulk_insert(", *lines, f"{INDENT}],", ")"]), is_call=True)


def _word(type_: str) -> str | None:
    return "sa.String" if type_.startswith("character varying") and not type_.endswith("[]") else _WORDS.get(type_)


def _cells(table: Table, row: Cells) -> str:
    return ", ".join(
        f"{string(column)}: {_python(type_, value)}"
        for column, type_, value in zip(table.columns, table.types, row, strict=True)
    )


def _python(type_: str, value: str | None) -> str:
    if value is None:
        return "None"
    if type_ == "boolean":
        return str(value == "true")
    return value if type_.endswith("int") or type_ == "integer" else string(value)


def _sql(type_: str, value: str | None) -> str:
    if value is None:
        return "NULL"
    return value if type_ in _PLAIN else literal(value)


def _always(table: Table, catalog: Catalog) -> bool:
    """Whether a column of it refuses values of one's own."""
    columns = (table.id._replace(kind="column", name=column, parent=table.id.name) for column in table.columns)
    return any(catalog.objects[column].get("identity") == "always" for column in columns)


def _inserts(
    table: Table, volatile_places: dict[tuple[int, int], str], changing: Volatile, catalog: Catalog
) -> Iterator[str]:
    overriding = " OVERRIDING SYSTEM VALUE" if _always(table, catalog) else ""
    columns = ", ".join(unquoted(quoted(column)) for column in table.columns)
    head = f"INSERT INTO {unquoted(quoted(table.id.schema, table.id.name))}" + (
        f" ({columns}){overriding} VALUES\n" if columns else " DEFAULT VALUES"
    )
    if not columns:
        yield from (execute(head) for _ in table.rows)
        return
    for start in range(0, len(table.rows), _PER_STATEMENT):
        lines, used = [], set()
        for n in range(start, min(start + _PER_STATEMENT, len(table.rows))):
            cells = []
            for k, value in enumerate(table.rows[n]):
                made = volatile_places.get((n, k))
                used |= {name for name in changing.shared if made and f":{name} " in made}
                cells.append(made or _sql(table.types[k], value))
            lines.append(f"({', '.join(cells)})")
        statement = head + ",\n".join(lines)
        yield execute(statement) if not used else _with_values(statement, sorted(used))


def _with_values(statement: str, names: Iterable[str]) -> str:
    """Return the call of a statement with values that are made when it runs."""
    given = for_text(statement)
    for name in names:  # these are parameters, the colon in their casts is none
        given = given.replace(f"CAST(\\:{name} AS", f"CAST(:{name} AS")
    said = ", ".join(f"{name}={name}" for name in names)
    return f"op.execute(\n{INDENT}sa.text({string(given)}).bindparams({said})\n)"


def shared_lines(changing: Volatile) -> list[str]:
    """Return the lines that make the values which stand in several places."""
    return [f"{name} = {made}" for name, made in changing.shared.items()]
