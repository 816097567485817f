"""Which SQL makes, drops or alters an object of a catalog, whatever its kind?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted
from alembic_safe.inspecting import difference_sql_code as code
from alembic_safe.inspecting import difference_sql_parts as parts
from alembic_safe.inspecting import difference_sql_rest as rest
from alembic_safe.inspecting import difference_sql_tables as tables
from alembic_safe.inspecting.catalog_records import INHERITED_NAME, NOT_COMPARED, ObjectId
from alembic_safe.inspecting.comparison import Difference
from alembic_safe.inspecting.difference_sql_names import (
    address,
    comment_sql,
    default_privileges_sql,
    literal,
    owner_of,
    owner_sql,
    parent_of,
    rights_sql,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.inspecting.catalog_records import Catalog

TYPES = frozenset({"enum", "domain", "composite type", "range type", "base type"})
ATTACHED = frozenset({"trigger", "rule", "policy"})
_PART_ORDER = ("constraint", "index", "rule", "trigger", "policy", "column", "view column", "partition trigger")

# what the statement that makes an object of a kind has said already; everything else is set behind it
_SAID = {
    "table": {"unlogged", "partition_key", "partition_bound", "inherits", "access_method", "server", "foreign_options",
              "definition", "options"},
    "column": {"type", "collation", "not_null", "not_null_name", "not_null_no_inherit", INHERITED_NAME, "default",
               "generated", "expression", "identity", "inherited", "foreign_options"},
    "constraint": {"definition", "not_valid", "not_enforced", "deferrable", "inherited", "attached_to"},
    "index": {"definition", "index_options", "attached_to"},
    "sequence": {"type", "start", "increment", "minimum", "maximum", "cache", "cycle", "unlogged", "owned_by"},
}  # fmt: skip


def create_sql(catalog: Catalog, id_: ObjectId, there: set[ObjectId], *, whole: bool = False) -> Iterator[str]:  # noqa: C901, PLR0912 - one case for each kind or attribute
    """Yield the statements that make an object with all its parts and attributes.

    :param there: what the other side has by then: a foreign key to anything else waits for it.
    :param whole: as a part of a table that is made as a whole, and attached when all of it is there.
    :raises CannotSay: when none can.
    """
    a = catalog.objects[id_]
    kind = id_.kind
    if kind in {"table", "foreign table"}:
        yield from tables.table_sql(catalog, id_)
        if "options" in a:
            yield from tables.table_attribute(id_, "options", a, {})
    elif kind in {"view", "materialized view"}:
        yield code.view_sql(id_, a)
    elif kind == "column":
        if catalog.objects[id_].get("inherited"):
            raise tables.CannotSay("the column comes with the table that this one inherits from")
        yield f"ALTER TABLE {parent_of(id_)} ADD COLUMN {tables.column_sql(catalog, id_)}"
    elif kind in {"constraint", "domain constraint"}:
        yield parts.constraint_sql(id_, a)
    elif kind == "index":
        yield str(a["definition"])
    elif kind == "sequence":
        if id_.parent:
            raise tables.CannotSay("the sequence comes with the identity of its column")
        yield parts.sequence_sql(id_, a)
        owner_table = _owner_table(catalog, id_)
        if "owned_by" in a and owner_table in there:
            yield from parts.sequence_attribute(id_, "owned_by", a)
    elif kind in ATTACHED:
        yield from parts.attached_sql(catalog, id_, a)
    elif kind in {"function", "procedure"}:
        # a body may name what is made later
        yield "SET check_function_bodies = off"
        yield str(a["definition"]).rstrip()
        yield "RESET check_function_bodies"
    elif kind == "aggregate":
        yield code.aggregate_sql(id_, a)
    elif kind in TYPES:
        yield code.type_sql(id_, a)
    elif kind == "default privileges":
        yield from default_privileges_sql(id_, a, None)
    elif kind == "security label":
        yield _label_sql(id_, literal(str(a["label"])))
    else:
        yield rest.rest_sql(id_, a)
    yield from settings_sql(catalog, id_)
    yield from _parts(catalog, id_, there | {id_})
    if not whole and "attached_to" in a:
        yield from parts.index_attribute(id_, "attached_to", a, {})


def drop_sql(catalog: Catalog, id_: ObjectId) -> Iterator[str]:
    """Yield the statements that drop an object, and nothing that depends on it.

    :raises CannotSay: when none can.
    """
    if id_.kind == "column":
        if catalog.objects[id_].get("inherited"):
            raise tables.CannotSay("the column comes with the table that this one inherits from")
        yield f"ALTER TABLE {parent_of(id_)} DROP COLUMN {quoted(id_.name)}"
    elif id_.kind in {"constraint", "domain constraint"}:
        yield parts.drop_constraint_sql(id_)
    elif id_.kind == "default privileges":
        yield from default_privileges_sql(id_, None, catalog.objects[id_])
    elif id_.kind == "security label":
        yield _label_sql(id_, "NULL")
    elif id_.kind == "sequence" and id_.parent:
        raise tables.CannotSay("the sequence goes with the identity of its column")
    else:
        if id_.kind == "subscription":
            # the slot on the other server is not this database's to drop
            yield f"ALTER {address(id_)} DISABLE"
            yield f"ALTER {address(id_)} SET (slot_name = NONE)"
        yield from _circle_sql(catalog, id_)
        # what goes with its column may be gone by now
        goes_along = id_.kind == "sequence" and "owned_by" in catalog.objects[id_]
        yield f"DROP {address(id_).replace('SEQUENCE ', 'SEQUENCE IF EXISTS ', 1) if goes_along else address(id_)}"


def _circle_sql(catalog: Catalog, id_: ObjectId) -> Iterator[str]:
    """Yield what drops the foreign keys of other tables to a table: tables can refer to each other in a circle."""
    if id_.kind != "table":
        return
    for other, a in catalog.objects.items():
        if (
            a.get("sort") == "f"
            and _target(catalog, other) == id_
            and (other.schema, other.parent) != (id_.schema, id_.name)
        ):
            # the table, or the constraint, may be gone already
            yield f"ALTER TABLE IF EXISTS {parent_of(other)} DROP CONSTRAINT IF EXISTS {quoted(other.name)}"


def alter_sql(left: Catalog, right: Catalog, difference: Difference) -> Iterator[str]:  # noqa: C901, PLR0912 - one case for each kind or attribute
    """Yield the statements that give an object back one attribute, or :data:`~.difference_sql_parts.REMADE`.

    :raises CannotSay: when none can.
    """
    id_, what = difference.object, difference.what
    a, b = left.objects.get(id_, {}), right.objects.get(id_, {})
    kind = id_.kind
    if what == "comment":
        yield comment_sql(id_, a.get(what))
    elif what == "owner":
        yield owner_sql(id_, a[what])
    elif kind == "default privileges":
        yield from default_privileges_sql(id_, a, b)
    elif what == "grants":
        owner = owner_of(left, id_)
        yield from rights_sql(id_, _own(a.get(what), b.get(what), id_), b.get(what), owner)
    elif kind in {"view", "materialized view"} and what == "definition":
        yield code.view_definition(id_, a, b)
    elif kind in {"table", "view", "materialized view", "foreign table"}:
        yield from tables.table_attribute(id_, what, a, b)
    elif kind in {"column", "view column"}:
        yield from tables.column_attribute(left, id_, what, a, b)
    elif kind in {"constraint", "domain constraint"}:
        yield from parts.constraint_attribute(id_, what, a, b)
    elif kind == "index":
        yield from parts.index_attribute(id_, what, a, b)
    elif kind == "sequence":
        yield from parts.sequence_attribute(id_, what, a)
    elif what == "enabled" and kind not in {"event trigger", "subscription"}:
        yield parts.enabled_sql(left, id_, a)
    elif kind in ATTACHED:
        yield parts.REMADE
    elif kind in {"function", "procedure"}:
        yield code.routine_definition(a, b)
    elif kind == "aggregate":
        yield code.aggregate_sql(id_, a)
    elif kind in TYPES:
        yield from code.type_attribute(id_, what, a, b)
    elif kind == "security label":
        yield _label_sql(id_, literal(str(a["label"])))
    else:
        yield from rest.rest_attribute(id_, what, a, b)


def settings_sql(catalog: Catalog, id_: ObjectId, leave_out: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield what the statement that made an object could not say.

    :param leave_out: attributes that are said elsewhere.
    """
    a = catalog.objects[id_]
    # a view's options are said where it is made, and a foreign table is made like a table
    like = {"view": "table", "materialized view": "table", "foreign table": "table"}.get(id_.kind, id_.kind)
    said = _SAID.get(like)
    for what in sorted(a.keys() - NOT_COMPARED - leave_out, key=lambda what: ("owner", "grants", "comment").index(what)
                       if what in {"owner", "grants", "comment"} else -1):  # fmt: skip
        generic = what in {"owner", "grants", "comment"}
        if (said is None or what in said) and not generic and not (id_.kind == "statistics" and what == "statistics"):
            if (id_.kind, what) in {("event trigger", "enabled"), ("text search configuration", "mappings")}:
                yield from rest.rest_attribute(id_, what, a, {})
            continue
        if what == "owner" and id_.kind == "sequence" and ("owned_by" in a or id_.parent):
            continue  # it belongs to whom its table belongs to
        if what == "grants" and id_.kind == "default privileges":
            continue
        yield from alter_sql(catalog, type(catalog)({}), Difference(id_, what, a[what], None))


def _parts(catalog: Catalog, id_: ObjectId, there: set[ObjectId]) -> Iterator[str]:
    """Yield what makes the parts of a fresh object, the foreign keys of others to it, and its sequences' owner."""
    if id_.kind not in {"table", "view", "materialized view", "foreign table", "domain"}:
        return
    found = [part for part in catalog.parts(id_) if part.kind in {*_PART_ORDER, "domain constraint"}]
    found.sort(key=lambda part: _PART_ORDER.index(part.kind) if part.kind in _PART_ORDER else -1)
    is_heir = "partition_bound" not in catalog.objects[id_]
    for part in found:
        a = catalog.objects[part]
        if part.kind in {"column", "view column", "partition trigger"}:
            yield from settings_sql(catalog, part)
        elif (is_heir and part.kind == "constraint" and a.get("inherited") and a.get("sort") == "c") or (
            part.kind == "constraint" and a.get("sort") == "f" and _target(catalog, part) not in there
        ):
            continue
        else:
            yield from create_sql(catalog, part, there, whole=True)
    yield from tables.attach_sql(catalog, id_)
    for other, a in catalog.objects.items():
        if a.get("sort") == "f" and _target(catalog, other) == id_:
            table = other._replace(kind="table", name=other.parent, parent="")
            if table in there and other not in there and table != id_:
                yield from create_sql(catalog, other, there)
        elif other.kind == "sequence" and "owned_by" in a and _owner_table(catalog, other) == id_:
            yield from parts.sequence_attribute(other, "owned_by", a)


def _target(catalog: Catalog, foreign_key: ObjectId) -> ObjectId | None:
    return catalog.by_server_name.get(str(catalog.objects[foreign_key].get("references")))


def _owner_table(catalog: Catalog, sequence: ObjectId) -> ObjectId | None:
    column = str(catalog.objects[sequence].get("owned_by", ""))
    return next((id_ for name, id_ in catalog.by_server_name.items() if column.startswith(f"{name}.")), None)


def _own(left: object, right: object, id_: ObjectId) -> tuple[str, ...] | None:
    """Return the rights to come back to; what a system object came with is known by what was added to it."""
    if left is not None or id_.kind != "system grant":
        return left if isinstance(left, tuple) else None
    held = right if isinstance(right, tuple) else ()
    return tuple(entry for entry in held if entry.startswith(("@owner", "PUBLIC")))


def _label_sql(id_: ObjectId, label: str) -> str:
    provider, _, target = id_.name.partition(" on ")
    word, _, name = target.partition(" ")
    return f"SECURITY LABEL FOR {quoted(provider)} ON {word.upper()} {name} IS {label}"
