"""Which pieces is a squash made of, and in which order?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted
from alembic_safe.history.piece import LATE_KEYS, RIGHTS, SECTIONS, Form, Piece, Wanted, section_of, sql_forms
from alembic_safe.history.table_pieces import TablePieces
from alembic_safe.inspecting.comparison import EXISTS, Difference, compare
from alembic_safe.inspecting.difference_sql import undo_sql
from alembic_safe.inspecting.difference_sql_make import alter_sql, create_sql, drop_sql
from alembic_safe.inspecting.difference_sql_parts import REMADE
from alembic_safe.inspecting.difference_sql_tables import CannotSay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.inspecting.catalog_records import ObjectId
    from alembic_safe.inspecting.difference_sql import Undo

_TABLES = frozenset({"table", "foreign table"})
_RIGHTS = frozenset({"grants"})


def pieces_of(wanted: Wanted) -> tuple[Piece, ...]:
    """Return the pieces of everything that a squash has to make, ordered by section, and by dependency within it.

    :raises CannotSay: when there is neither an operation nor SQL for an object.
    """
    found = compare(wanted.catalog, wanted.empty, owners=False)
    tables = TablePieces(wanted)
    pieces: list[Piece] = []
    remade: dict[ObjectId, None] = {}
    for one in found:
        if one.is_extra:
            pieces.append(Piece((one.object,), SECTIONS[0], sql_forms(drop_sql(wanted.empty, one.object))))
        elif one.what != EXISTS and one.what not in _RIGHTS and one.object.kind != "system grant":
            statements = tuple(alter_sql(wanted.catalog, wanted.empty, one))
            if REMADE in statements:
                remade.setdefault(one.object)
            else:
                pieces.append(Piece((one.object,), SECTIONS[0], sql_forms(statements)))
    for id_ in remade:
        pieces += _remade(wanted, id_)
    pieces += tables.all()
    # in the order in which a difference is undone: what others stand on comes first; columns as they stand in their table
    missing = [one for one in found if one.is_missing and one.object.kind not in _TABLES]
    undos = undo_sql(missing, wanted.catalog, wanted.empty)
    positions = {undo: wanted.catalog.objects[undo.difference.object].get("position", 0) for undo in undos}
    columns = [undo for undo in undos if undo.difference.object.kind == "column"]
    for undo in (
        *sorted(columns, key=lambda one: int(str(positions[one]))),
        *(one for one in undos if one not in columns),
    ):
        pieces += _missing(wanted, tables, undo)
    pieces += _rights(wanted, tables)
    return tuple(sorted(pieces, key=lambda piece: SECTIONS.index(piece.section)))


def _remade(wanted: Wanted, id_: ObjectId) -> Iterator[Piece]:
    """Yield what makes anew what was there before, and is another one now: a key of other columns, for example."""
    yield Piece((id_,), SECTIONS[0], sql_forms(drop_sql(wanted.empty, id_)))
    statements = create_sql(wanted.catalog, id_, {*wanted.empty.objects, *wanted.catalog.objects})
    yield Piece((id_,), _section(wanted, id_), sql_forms(statements))


def _section(wanted: Wanted, id_: ObjectId) -> str:
    return LATE_KEYS if wanted.catalog.objects[id_].get("sort") == "f" else section_of(id_, wanted.catalog)


def _missing(wanted: Wanted, tables: TablePieces, undo: Undo) -> Iterator[Piece]:
    """Yield what makes an object that is neither a table nor comes with one."""
    id_ = undo.difference.object
    if id_.parent and id_._replace(kind="table", name=id_.parent, parent="") in wanted.empty.objects:
        yield Piece((id_,), _section(wanted, id_), sql_forms(undo.statements))
    elif not id_.parent and not tables.sequences.comes_with_its_table(id_):
        if not undo.statements:
            raise CannotSay(f"{id_}: {undo.reason}")
        yield _other(wanted, id_)


def _other(wanted: Wanted, id_: ObjectId) -> Piece:
    catalog = wanted.catalog
    rights = set(_grants(wanted, id_))
    statements = [one for one in wanted.made_usual(create_sql(catalog, id_, set())) if one not in rights]
    if id_ in wanted.unfilled:
        statements[0] += "\nWITH NO DATA"
    forms = sql_forms(statements)
    if id_.kind == "extension":
        forms = (*_extension(wanted, id_), *forms)
    if id_.kind in {"function", "procedure"}:
        # a body may name what is made later: only where that matters, it is not looked at
        looked_at = [one for one in statements if "check_function_bodies" not in one.partition("\n")[0]]
        forms = (*sql_forms(looked_at), *forms)
    return Piece((id_, *catalog.parts(id_)), section_of(id_, catalog), forms)


def _extension(wanted: Wanted, id_: ObjectId) -> Iterator[Form]:
    """Yield what makes an extension in whatever version the server has, where a person may have made it already."""
    create = f"CREATE EXTENSION IF NOT EXISTS {quoted(id_.name)}"
    schema = str(wanted.catalog.objects[id_]["schema"])
    yield from sql_forms([create])
    yield from sql_forms([f"{create} SCHEMA {quoted(schema)}"])


def _rights(wanted: Wanted, tables: TablePieces) -> Iterator[Piece]:
    for id_, a in sorted(wanted.catalog.objects.items()):
        if "grants" not in a or id_ in tables.whole or id_.kind == "default privileges":
            continue
        if wanted.empty.objects.get(id_, {}).get("grants") != a["grants"]:
            yield Piece((id_,), RIGHTS, sql_forms(_grants(wanted, id_)))
    for id_, a in wanted.empty.objects.items():  # what an empty database grants, and this one does not
        if "grants" in a and id_ in wanted.catalog.objects and "grants" not in wanted.catalog.objects[id_]:
            taken = alter_sql(wanted.catalog, wanted.empty, Difference(id_, "grants", None, a["grants"]))
            yield Piece((id_,), RIGHTS, sql_forms(taken))


def _grants(wanted: Wanted, id_: ObjectId) -> Iterator[str]:
    a = wanted.catalog.objects[id_]
    if "grants" in a and id_.kind != "default privileges":
        held = wanted.empty.objects.get(id_, {}).get("grants")
        yield from alter_sql(wanted.catalog, wanted.empty, Difference(id_, "grants", a["grants"], held))
