"""What happens when a revision says ``op.add_enum_value``, ``op.create_enum_type`` or ``op.drop_enum_type``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from alembic_safe.database.statements import literal as without_dollars
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import Refused
from alembic_safe.operations.consent import online
from alembic_safe.operations.kept import literal
from alembic_safe.operations.speaking import is_script, place, say

if TYPE_CHECKING:
    from alembic.operations.base import Operations

    from alembic_safe.operations.add_enum_value import AddEnumValueOp
    from alembic_safe.operations.enum_types import CreateEnumTypeOp, DropEnumTypeOp

log = logging.getLogger("alembic.safe.enum")

_LABELS = """
SELECT t.typtype = 'e' AS is_enum, ARRAY(SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid
  ORDER BY e.enumsortorder)::text[] AS labels FROM pg_type t WHERE t.oid = to_regtype(CAST(:type AS text))
"""
_HERE = "SELECT quote_ident(current_schema()) AS schema"
# its own array type goes with it; an extension's enum goes with the extension alone. A body in a string leaves no row in
# pg_depend: it is searched for the name, as a word of its own and in any case, and a C function's says a symbol instead
_WHY_IT_STAYS = r"""
WITH t AS (SELECT t.oid, t.typarray, t.typtype, t.typname, n.nspname, ARRAY(SELECT e.enumlabel FROM pg_enum e
    WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)::text[] AS labels
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
  WHERE t.typname = CAST({name} AS name) AND n.nspname = coalesce(CAST({schema} AS name), current_schema())),
uses AS (SELECT d.classid, d.objid, d.objsubid FROM t JOIN pg_depend d
    ON d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray) AND d.deptype <> 'i'
  UNION SELECT d.refclassid, d.refobjid, d.refobjsubid FROM t JOIN pg_depend d
    ON d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'),
needs AS (SELECT pg_describe_object(classid, objid, objsubid) AS what FROM uses
  UNION SELECT pg_describe_object('pg_proc'::regclass, p.oid, 0) || ' (its body says the name)'
  FROM t CROSS JOIN pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^alembic_safe'
    AND l.lanname NOT IN ('internal', 'c')
    AND p.prosrc COLLATE "C" ~* ('(^|\W)' || replace(regexp_replace(t.typname::text COLLATE "C", '(\W)', '\\\1', 'g'),
      '\"', '\"\"?') || '(\W|$)')
    AND NOT EXISTS (SELECT FROM uses u WHERE u.classid = 'pg_proc'::regclass AND u.objid = p.oid))
SELECT t.nspname AS schema, CASE WHEN t.typtype <> 'e' THEN 'another type has its name'
  WHEN t.labels <> CAST({labels} AS text[]) THEN 'it has other labels than the revision says'
  ELSE 'it is needed by ' || (SELECT string_agg(what, ', ' ORDER BY what) FROM needs) END AS why FROM t
"""


def add_enum_value(operations: Operations, op: AddEnumValueOp) -> None:
    """Run ``op.add_enum_value``."""
    where = place(op.type_name, op.schema)
    beside = op.before if op.before is not None else op.after
    at = "" if beside is None else f" {'BEFORE' if op.before is not None else 'AFTER'} {literal(beside)}"
    if not is_script(operations):
        rows = run(online(operations, op.verb), _LABELS, {"type": where})
        shown = ".".join(part for part in (op.schema, op.type_name) if part)
        if not rows or not rows[0]["is_enum"]:
            raise Refused(f"op.{op.verb}: there is no enum {shown}.")
        if op.value in rows[0]["labels"]:
            return
        if beside is not None and beside not in rows[0]["labels"]:
            raise Refused(f"op.{op.verb}: enum {shown} has no value {beside} to put {op.value} beside.")
    say(operations, f"ALTER TYPE {where} ADD VALUE IF NOT EXISTS {literal(op.value)}{at}")


def create_enum_type(operations: Operations, op: CreateEnumTypeOp) -> None:
    """Run ``op.create_enum_type``."""
    where = place(op.type_name, op.schema)
    create = f"CREATE TYPE {where} AS ENUM ({', '.join(map(literal, op.labels))})"
    if is_script(operations) and op.if_not_exists:
        create = _unless(f"EXECUTE {without_dollars(create)};", "duplicate_object", "NULL")
    elif not is_script(operations):
        connection = online(operations, op.verb)
        if op.if_not_exists and op.schema is None:
            # where it is made: one of this name further down the search_path is another one
            where = f"{run(connection, _HERE)[0]['schema']}.{where}"
        rows = run(connection, _LABELS, {"type": where})
        shown = ".".join(part for part in (op.schema, op.type_name) if part)
        if rows and not rows[0]["is_enum"]:
            raise Refused(f"op.{op.verb}: {shown} is a type already, and no enum.")
        if rows and tuple(rows[0]["labels"]) != op.labels and not op.if_not_exists:
            raise Refused(
                f"op.{op.verb}: there is an enum {shown} already, with other labels.",
                detail=[f"It has {', '.join(rows[0]['labels'])}.", f"The revision says {', '.join(op.labels)}."],
            )
        if rows:
            return
    say(operations, create)


def drop_enum_type(operations: Operations, op: DropEnumTypeOp) -> None:
    """Run ``op.drop_enum_type``."""
    if not op.if_unused:
        say(operations, f"DROP TYPE IF EXISTS {place(op.type_name, op.schema)} RESTRICT")
    elif is_script(operations):
        say(operations, _dropped_if_unused(op))
    else:
        given = {"name": op.type_name, "schema": op.schema, "labels": list(op.labels)}
        asked = _WHY_IT_STAYS.format(name=":name", schema=":schema", labels=":labels")
        for row in run(online(operations, op.verb), asked, given):
            if row["why"] is None:
                say(operations, f"DROP TYPE {quoted(row['schema'], op.type_name)} RESTRICT")
            else:
                shown = ".".join(part for part in (op.schema, op.type_name) if part)
                log.warning("The enum %s stays: %s", shown, row["why"])


def _dropped_if_unused(op: DropEnumTypeOp) -> str:
    """Return the block that asks the same on the server."""
    name = without_dollars(op.type_name)
    schema = "NULL" if op.schema is None else without_dollars(op.schema)
    labels = f"ARRAY[{', '.join(map(without_dollars, op.labels))}]"
    asked = _WHY_IT_STAYS.format(name=name, schema=schema, labels=labels).strip()
    tail = without_dollars(f".{quoted(op.type_name)} RESTRICT")
    drop = f"EXECUTE {without_dollars('DROP TYPE ')} || quote_ident(it.schema) || {tail}"
    stays = f"RAISE NOTICE USING MESSAGE = {without_dollars(f'The enum {op.type_name} stays: ')} || it.why"
    return _unless(
        f"FOR it IN {asked} LOOP IF it.why IS NULL THEN {drop}; ELSE {stays}; END IF; END LOOP;",
        "dependent_objects_still_exist", "RAISE NOTICE USING MESSAGE = SQLERRM", declared="DECLARE it record; ",
    )  # fmt: skip


def _unless(does: str, condition: str, then: str, *, declared: str = "") -> str:
    """Return a block that does something, and something else where that meets a condition.

    :param does: no string in it has a dollar: it would end the block.
    """
    return f"DO $unless$ {declared}BEGIN {does} EXCEPTION WHEN {condition} THEN {then}; END $unless$"
