"""Which SQL makes a table and its columns, and which gives a column back an attribute?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.catalog_records import INHERITED_NAME
from alembic_safe.inspecting.difference_sql_names import (
    foreign_options_sql,
    fresh_foreign_options,
    name_of,
    options_sql,
    parent_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId, Value

    Attributes = Mapping[str, Value]

STATES = {
    "disabled": "DISABLE",
    "replica": "ENABLE REPLICA",
    "always": "ENABLE ALWAYS",
    "origin": "ENABLE",
    None: "ENABLE",
}
"""How ALTER TABLE says when a trigger or a rule fires."""


class CannotSay(Exception):
    """No SQL can bring the left side back; the text says why."""


def table_sql(catalog: Catalog, table: ObjectId) -> Iterator[str]:
    """Yield the statements that make a table with its columns; constraints and all other parts come behind."""
    attributes = catalog.objects[table]
    partition = attributes.get("partition_bound")
    columns = sorted(
        (part for part in catalog.parts(table) if part.kind == "column"),
        key=lambda part: catalog.objects[part]["position"],
    )
    # a partition is made like any table and attached, as pg_dump does it; an heir takes its parents' columns from them
    own = [c for c in columns if partition or not catalog.objects[c].get("inherited")]
    lines = ", ".join(column_sql(catalog, column) for column in own)
    word = "FOREIGN TABLE" if table.kind == "foreign table" else "TABLE"
    parents = _names(attributes.get("inherits"))
    sql = f"CREATE {'UNLOGGED ' if attributes.get('unlogged') else ''}{word} {name_of(table)} ({lines})"
    if parents and not partition:
        sql += f" INHERITS ({', '.join(parents)})"
    if "partition_key" in attributes:
        sql += f" PARTITION BY {attributes['partition_key']}"
    if "access_method" in attributes:
        sql += f" USING {quoted(str(attributes['access_method']))}"
    if table.kind == "foreign table":
        sql += f" SERVER {quoted(str(attributes['server']))}{fresh_foreign_options(attributes.get('foreign_options'))}"
    yield sql


def attach_sql(catalog: Catalog, table: ObjectId) -> Iterator[str]:
    """Yield what makes a fresh table the partition that it is: behind its indexes, or ATTACH would make its own."""
    attributes = catalog.objects[table]
    if "partition_bound" not in attributes:
        return
    parent = _names(attributes["inherits"])[0]
    yield f"ALTER TABLE {parent} ATTACH PARTITION {name_of(table)} {attributes['partition_bound']}"
    for part in catalog.parts(table):
        above = catalog.objects[part].get("attached_to")
        if above is not None:  # nothing happens where ATTACH has seen already that they fit
            yield f"ALTER INDEX {above} ATTACH PARTITION {quoted(part.schema, part.name)}"


def column_sql(catalog: Catalog, column: ObjectId) -> str:
    """Return a column as CREATE TABLE and ADD COLUMN take it."""
    a = catalog.objects[column]
    sql = f"{quoted(column.name)} {a['type']}"
    if "collation" in a:
        sql += f" COLLATE {a['collation']}"
    if "foreign_options" in a:
        sql += fresh_foreign_options(a["foreign_options"])
    if "generated" in a:
        sql += f" GENERATED ALWAYS AS ({a['expression']}) {str(a['generated']).upper()}"
    elif "identity" in a:
        sql += f" {identity_sql(catalog, column)}"
    elif "default" in a:
        sql += f" DEFAULT {a['default']}"
    table = catalog.objects.get(column._replace(kind="table", name=column.parent, parent=""), {})
    # an heir has it from its parent, with that one's name; said here as well, it would be its own
    from_parent = INHERITED_NAME in a and "partition_bound" not in table
    if a.get("not_null") and not a.get("not_null_not_valid") and not from_parent:
        default = f"{column.parent}_{column.name}_not_null"
        # left to itself PostgreSQL 18 chooses another name while a table of the schema has a constraint of that name
        own = a.get("not_null_name", a.get(INHERITED_NAME))
        if own is not None or (catalog.server_version >= 180000 and len(default.encode()) < 64):
            sql += f" CONSTRAINT {quoted(str(default if own is None else own))}"
        sql += " NOT NULL" + (" NO INHERIT" if a.get("not_null_no_inherit") else "")
    return sql


def identity_sql(catalog: Catalog, column: ObjectId) -> str:
    """Return the clause that makes a column an identity column, with its sequence as it was."""
    table = column._replace(kind="table", name=column.parent, parent="")
    found = next(
        (p for p in catalog.parts(table) if p.kind == "sequence" and catalog.objects[p]["identity_of"] == column.name),
        None,
    )
    kind = str(catalog.objects[column]["identity"]).upper()
    if found is None:
        return f"GENERATED {kind} AS IDENTITY"
    return f"GENERATED {kind} AS IDENTITY (SEQUENCE NAME {name_of(found)} {sequence_clauses(catalog.objects[found])})"


def sequence_clauses(attributes: Attributes) -> str:
    """Return a sequence's parameters."""
    return (
        f"START WITH {attributes['start']} INCREMENT BY {attributes['increment']} MINVALUE {attributes['minimum']}"
        f" MAXVALUE {attributes['maximum']} CACHE {attributes['cache']} {'CYCLE' if attributes.get('cycle') else 'NO CYCLE'}"
    )


def table_attribute(table: ObjectId, what: str, left: Attributes, right: Attributes) -> Iterator[str]:  # noqa: C901, PLR0912 - one case for each kind or attribute
    """Yield the statements that give a table back one attribute.

    :raises CannotSay: when none can.
    """
    word = {"view": "VIEW", "materialized view": "MATERIALIZED VIEW", "foreign table": "FOREIGN TABLE"}.get(
        table.kind, "TABLE"
    )
    alter = f"ALTER {word} {name_of(table)}"
    value = left.get(what)
    match what:
        case "unlogged":
            yield f"{alter} SET {'UNLOGGED' if value else 'LOGGED'}"
        case "options" | "toast_options":
            prefix = "toast." if what == "toast_options" else ""
            yield from (f"{alter} {clause}" for clause in options_sql(value, right.get(what), prefix))
        case "row_security":
            yield f"{alter} {'ENABLE' if value else 'DISABLE'} ROW LEVEL SECURITY"
        case "force_row_security":
            yield f"{alter} {'FORCE' if value else 'NO FORCE'} ROW LEVEL SECURITY"
        case "replica_identity":
            yield f"{alter} REPLICA IDENTITY {value or 'DEFAULT'}"
        case "access_method" if value:
            yield f"{alter} SET ACCESS METHOD {quoted(str(value))}"
        case "tablespace":
            yield f"{alter} SET TABLESPACE {quoted(str(value or 'pg_default'))}"
        case "inherits" if not (left.get("partition_bound") or right.get("partition_bound")):
            wanted, held = _names(value), _names(right.get(what))
            yield from (f"{alter} NO INHERIT {parent}" for parent in held if parent not in wanted)
            yield from (f"{alter} INHERIT {parent}" for parent in wanted if parent not in held)
        case "inherits" | "partition_bound":
            # one statement pair for both attributes: the bound is told first, and may stay when only the parent changed
            if what == "inherits" and left.get("partition_bound") != right.get("partition_bound"):
                return
            if right.get("partition_bound"):
                yield f"ALTER TABLE {_names(right['inherits'])[0]} DETACH PARTITION {name_of(table)}"
            if left.get("partition_bound"):
                yield (
                    f"ALTER TABLE {_names(left['inherits'])[0]} ATTACH PARTITION {name_of(table)} {left['partition_bound']}"
                )
        case "of_type":
            yield f"{alter} OF {value}" if value else f"{alter} NOT OF"
        case "foreign_options":
            yield f"{alter} {foreign_options_sql(value, right.get(what))}"
        case _:
            raise CannotSay(f"PostgreSQL cannot change the {what.replace('_', ' ')} of a {table.kind} that exists")


def column_attribute(  # noqa: C901, PLR0912 - one case for each kind or attribute
    catalog: Catalog, column: ObjectId, what: str, left: Attributes, right: Attributes
) -> Iterator[str]:
    """Yield the statements that give a column back one attribute.

    :raises CannotSay: when none can.
    """
    table = f"ALTER TABLE {parent_of(column)}"
    alter = f"{table} ALTER COLUMN {quoted(column.name)}"
    value = left.get(what)
    match what:
        case "type" | "collation":
            if what == "collation" and left["type"] != right["type"]:
                return  # told with the type
            if "default" in right:
                yield f"{alter} DROP DEFAULT"
            collation = f" COLLATE {left['collation']}" if "collation" in left else ""
            yield f"{alter} TYPE {left['type']}{collation} USING {quoted(column.name)}::{left['type']}"
            if "default" in right and "default" in left:
                yield f"{alter} SET DEFAULT {left['default']}"
        case "default":
            yield f"{alter} SET DEFAULT {value}" if value is not None else f"{alter} DROP DEFAULT"
        case "generated" | "expression":
            yield from _generated(catalog, column, what, left, right)
        case "identity":
            if value and "identity" in right:
                yield f"{alter} SET GENERATED {str(value).upper()}"
            else:
                yield f"{alter} ADD {identity_sql(catalog, column)}" if value else f"{alter} DROP IDENTITY"
        case "storage":
            yield f"{alter} SET STORAGE {str(value or 'default').upper()}"
        case "compression":
            yield f"{alter} SET COMPRESSION {value or 'default'}"
        case "statistics":
            yield f"{alter} SET STATISTICS {-1 if value is None else value}"
        case "options":
            yield from (f"{alter} {clause}" for clause in options_sql(value, right.get(what)))
        case "foreign_options":
            foreign = f"ALTER FOREIGN TABLE {parent_of(column)} ALTER COLUMN {quoted(column.name)}"
            yield f"{foreign} {foreign_options_sql(value, right.get(what))}"
        case _ if what.startswith("not_null"):
            yield from _not_null(column, what, left, right)
        case _:
            raise CannotSay("whether a column is inherited follows from what its table inherits")


def _generated(catalog: Catalog, column: ObjectId, what: str, left: Attributes, right: Attributes) -> Iterator[str]:
    table = f"ALTER TABLE {parent_of(column)}"
    kept = left.get("generated") == right.get("generated")
    if what == "expression" and not kept:
        return  # told with the kind
    if kept and catalog.server_version >= 170000:
        yield f"{table} ALTER COLUMN {quoted(column.name)} SET EXPRESSION AS ({left['expression']})"
    elif "generated" not in left and right["generated"] == "stored":
        yield f"{table} ALTER COLUMN {quoted(column.name)} DROP EXPRESSION"
    else:
        # there is no way to make a column generated; its values are computed anew
        yield f"{table} DROP COLUMN {quoted(column.name)}"
        yield f"{table} ADD COLUMN {column_sql(catalog, column)}"


def _not_null(column: ObjectId, what: str, left: Attributes, right: Attributes) -> Iterator[str]:
    """Yield what a NOT NULL needs; from PostgreSQL 18 on it is a constraint with a name, and more."""
    table = f"ALTER TABLE {parent_of(column)}"
    alter = f"{table} ALTER COLUMN {quoted(column.name)}"
    default = f"{column.parent}_{column.name}_not_null"
    came = right.get(INHERITED_NAME, left.get(INHERITED_NAME, default))
    name = quoted(str(left.get("not_null_name", came)))
    add = f"{table} ADD CONSTRAINT {name} NOT NULL {quoted(column.name)}"
    add += " NO INHERIT" if left.get("not_null_no_inherit") else ""
    add += " NOT VALID" if left.get("not_null_not_valid") else ""
    differs = left.get("not_null") != right.get("not_null")
    match what:
        case "not_null" if not left.get("not_null"):
            yield f"{alter} DROP NOT NULL"
        case "not_null":
            yield add if any(key.startswith("not_null_") for key in left) else f"{alter} SET NOT NULL"
        case "not_null_comment":
            text = left.get(what)
            said = "'" + str(text).replace("'", "''") + "'" if text is not None else "NULL"
            yield f"COMMENT ON CONSTRAINT {name} ON {parent_of(column)} IS {said}"
        case _ if differs:
            return  # told with the NOT NULL itself
        case "not_null_name":
            yield f"{table} RENAME CONSTRAINT {quoted(str(right.get(what, default)))} TO {name}"
        case "not_null_not_valid" if not left.get(what):
            yield f"{table} VALIDATE CONSTRAINT {name}"
        case "not_null_no_inherit":
            yield f"{table} ALTER CONSTRAINT {name} {'NO INHERIT' if left.get(what) else 'INHERIT'}"
        case _:
            yield f"{alter} DROP NOT NULL"
            yield add


def _names(value: Value | None) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()
