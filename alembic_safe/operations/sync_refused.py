"""Which columns can triggers not keep in sync?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.errors import NextStep, Refused

if TYPE_CHECKING:
    from alembic_safe.database.reads import Reads
    from alembic_safe.operations.living import LivingTable
    from alembic_safe.operations.sync_columns import _SyncOp

HAS_DEFAULT = """(a.attidentity <> '' OR coalesce(coalesce(
    (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum),
    t.typdefault) !~ '^NULL::', false))"""
"""Whether anything but NULL fills a column ``a`` of type ``t`` that is left out: a domain has a default of its own."""
COLUMNS = f"""
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, format_type(a.atttypid, -1) AS base,
  a.attgenerated <> '' AS is_generated, {HAS_DEFAULT} AS has_default,
  a.atthasdef OR a.attidentity <> '' AS has_own_default,
  a.attacl IS NOT NULL OR a.attoptions IS NOT NULL OR a.attcompression <> '' OR a.attstorage <> t.typstorage
    OR coalesce(a.attstattarget, -1) >= 0 AS has_terms
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = CAST(:oid AS oid) AND a.attname = ANY(CAST(:names AS text[])) AND a.attnum > 0 AND NOT a.attisdropped
"""
"""What is asked of the columns of a sync."""
PARTITION_KEY = """
SELECT DISTINCT a.attname AS name FROM pg_partitioned_table p JOIN pg_attribute a ON a.attrelid = p.partrelid
  AND a.attnum = ANY(p.partattrs::int2[]) WHERE a.attname = ANY(CAST(:names AS text[]))
  AND (p.partrelid = CAST(:oid AS oid) OR p.partrelid IN (SELECT relid FROM pg_partition_tree(CAST(:oid AS oid)::regclass)))
"""
"""Those of some columns by which the table, or a partition of it, is divided."""


def refuse_columns(reads: Reads, table: LivingTable, op: _SyncOp, subject: str) -> None:
    """Stop where a column is not there, or cannot be kept equal to another one.

    :raises Refused: naming it, and what stands against it.
    """
    names = [*op.old, *op.new]
    found = {row["name"]: row for row in reads.rows(COLUMNS, {"oid": table.oid, "names": names})}
    for name in names:
        if name not in found:
            raise Refused(f"{subject}: there is no column {name}.")
        if found[name]["is_generated"]:
            raise Refused(f"{subject}: {name} is a generated column, which no trigger can write.")
    for name in op.new:
        # behind a swap, nobody who leaves the new column out means the old one: both applications write the same
        if found[name]["has_default"] and not op.swapped:
            raise _has_default(subject, name, str(found[name]["type"]), of_its_type=not found[name]["has_own_default"])
    key = reads.rows(PARTITION_KEY, {"oid": table.oid, "names": names})
    if key:
        raise Refused(
            f"{subject}: {key[0]['name']} decides which partition a row belongs to, and a BEFORE trigger cannot move a row."
        )


def _has_default(subject: str, name: str, type_: str, *, of_its_type: bool) -> Refused:
    whose = f", that of its type {type_}" if of_its_type else ""
    steps = [NextStep("add it without one, and give it its default in the contract", "op.alter_column(...)")]
    if of_its_type:
        steps = [
            NextStep("add it with a default of NULL, which goes before", 'server_default=sa.text("NULL")'),
            NextStep("and take that away in the contract", "op.alter_column(..., server_default=None)"),
        ]
    return Refused(
        f"{subject}: {name} has a default{whose}, so that an INSERT of the old application looks like one of the new"
        " application.",
        next_steps=steps,
    )
