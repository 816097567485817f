"""What happens when a revision says ``op.add_enum_value``, ``op.create_enum_type`` or ``op.drop_enum_type``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from alembic_safe.database.statements import literal as without_dollars
from alembic_safe.database.statements import run
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
# its own array type goes with it; an extension's enum goes with the extension alone
_NEED_IT = """
WITH t AS (SELECT oid, typarray FROM pg_type WHERE oid = to_regtype(CAST(:type AS text)))
SELECT pg_describe_object(d.classid, d.objid, d.objsubid) AS what FROM t JOIN pg_depend d
  ON d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray) AND d.deptype <> 'i'
UNION SELECT pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid) FROM t JOIN pg_depend d
  ON d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
ORDER BY 1
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
    if not is_script(operations):
        rows = run(online(operations, op.verb), _LABELS, {"type": where})
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
    say(operations, f"CREATE TYPE {where} AS ENUM ({', '.join(map(literal, op.labels))})")


def drop_enum_type(operations: Operations, op: DropEnumTypeOp) -> None:
    """Run ``op.drop_enum_type``."""
    where = place(op.type_name, op.schema)
    drop = f"DROP TYPE IF EXISTS {where} RESTRICT"
    if op.if_unused and is_script(operations):
        drop = (
            f"DO $unless$ BEGIN EXECUTE {without_dollars(drop)};"
            " EXCEPTION WHEN dependent_objects_still_exist THEN RAISE NOTICE USING MESSAGE = SQLERRM; END $unless$"
        )
    elif op.if_unused:
        need_it = [row["what"] for row in run(online(operations, op.verb), _NEED_IT, {"type": where})]
        if need_it:
            shown = ".".join(part for part in (op.schema, op.type_name) if part)
            log.warning("The enum %s stays: it is needed by %s", shown, ", ".join(need_it))
            return
    say(operations, drop)
