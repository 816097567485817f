"""What happens when a revision says ``op.sync_columns`` or ``op.drop_sync``."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from alembic_safe.database.names import cut
from alembic_safe.database.reads import Reads
from alembic_safe.database.statements import quoted, run, run_at_once
from alembic_safe.errors import Missing, NextStep, Refused
from alembic_safe.inspecting.syncs import LATER_TRIGGERS, SYNC_SCHEMA, SyncText, read_syncs
from alembic_safe.operations.expressions import Wanted, read_expressions
from alembic_safe.operations.kept import comment_on, rights_named, set_comment
from alembic_safe.operations.living import refuse_inheritance
from alembic_safe.operations.speaking import table_of
from alembic_safe.operations.sync_refused import COLUMNS, PARTITION_KEY, refuse_columns
from alembic_safe.operations.sync_sql import Columns, Formula, create_function, create_triggers, rights_on
from alembic_safe.operations.sync_terms import give_terms
from alembic_safe.operations.sync_whole import is_whole, triggers_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.operations.base import Operations
    from sqlalchemy import Connection

    from alembic_safe.inspecting.syncs import Sync
    from alembic_safe.operations.expressions import Expression
    from alembic_safe.operations.living import LivingTable
    from alembic_safe.operations.sync_columns import DropSyncOp, SyncColumnsOp, _SyncOp

log = logging.getLogger("alembic.safe.sync")

FIRINGS = ("zz_alembic_safe_", "~~_alembic_safe_", "\U0010fffd\U0010fffd_alembic_safe_")
"""What the names of our triggers may begin with, each behind the one before in the order in which triggers fire."""

# Types whose equality is that of their bytes: text as well, unless a nondeterministic collation says otherwise.
_BITWISE = (
    "bool", "char", "date", "int2", "int4", "int8", "name", "oid", "text", "timestamp", "timestamptz", "uuid", "varchar",
)  # fmt: skip
_EXACT = """
SELECT a.attname AS name FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_collation c ON c.oid = a.attcollation
WHERE a.attrelid = CAST(:oid AS oid) AND a.attname = ANY(CAST(:names AS text[]))
  AND (n.nspname = 'pg_catalog' AND t.typname = ANY(CAST(:types AS text[])) OR t.typtype = 'e')
  AND coalesce(c.collisdeterministic, true)
"""
_WATCHING = """
SELECT g.tgname AS name FROM pg_trigger g WHERE g.tgrelid = CAST(:oid AS oid) AND NOT g.tgisinternal AND EXISTS (
  SELECT FROM unnest(g.tgattr::int2[]) n JOIN pg_attribute a ON a.attrelid = g.tgrelid AND a.attnum = n
  WHERE a.attname = ANY(CAST(:names AS text[]))) ORDER BY 1
"""
_SCHEMA = """
SELECT current_user AS role, current_database() AS database,
  (SELECT has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE') FROM pg_namespace
    WHERE nspname = :schema) AS may
"""


def sync_columns(operations: Operations, op: SyncColumnsOp) -> None:
    """Run ``op.sync_columns``."""
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    subject = f"op.{op.verb} on {table.shown}"
    refuse_inheritance(table, subject)
    reads = Reads(connection)
    there = _the_same(reads, table, op)
    if there is not None and (op.swapped or _is_in_place(connection, there, op)):
        return
    if there is None:
        _refuse_overlap(reads, table, op, subject)
    # the column was added a moment ago, and who writes waits: what is asked below is asked at once
    words = {"oid": table.oid, "names": [*op.old, *op.new]}
    reads.together([(sql, words) for sql in (COLUMNS, PARTITION_KEY, _WATCHING)])
    refuse_columns(reads, table, op, subject)
    columns = compile_sync(connection, table, op, subject, reads)
    role = run(connection, "SELECT current_user AS it")[0]["it"]
    with rights_named(connection, subject, [_owner_step(table, role)], role=role):
        name = there.name if there is not None else _function_name(table, op)
        make_sync_schema(connection)
        if there is None:
            give_terms(connection, reads, table, op)
        text = text_of(columns, up=op.up or (), down=op.down or (), swapped=op.swapped)
        triggers = [] if there is None else triggers_of(reads, there)
        firing = firing_last(reads, table, name)
        run_at_once(connection, installing(table, name, columns, text, firing=firing, replaced=triggers))
    _warn_of_watchers(reads, table, op)


def drop_sync(operations: Operations, op: DropSyncOp) -> None:
    """Run ``op.drop_sync``."""
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    there = find_sync(connection, table, op.old, op.new)
    if there is None:
        return
    ends = _ending(Reads(connection), table, there)
    role = run(connection, "SELECT current_user AS it")[0]["it"]
    with rights_named(connection, f"op.{op.verb} on {table.shown}", [_owner_step(table, role)], role=role):
        run_at_once(connection, ends)


def find_sync(
    connection: Connection | Reads, table: LivingTable, old: Sequence[str], new: Sequence[str]
) -> Sync | None:
    """Return the sync of these columns, in either order: a swap turns it round."""
    wanted = frozenset((*old, *new))
    return next((sync for sync in read_syncs(connection, table.oid) if sync.text.columns == wanted), None)


def installing(
    table: LivingTable, name: str, columns: Columns, text: SyncText, *, firing: str, replaced: Sequence[str]
) -> list[str]:
    """Return the statements that make function and triggers, to be sent at once where they replace others.

    :param firing: what the triggers' names begin with, see :func:`firing_last`.
    :param replaced: the triggers that go.
    """
    function = f"FUNCTION {quoted(SYNC_SCHEMA, name)}()"
    return [
        *_dropping(table, replaced),
        create_function(name, columns),
        comment_on(function, text.as_comment()),
        *rights_on(function, table.owner),
        *create_triggers(table.quoted, firing, columns, name),
    ]


def ending_of(reads: Reads, table: LivingTable, column: str, successors: Sequence[str]) -> list[str]:
    """Return the statements that end the sync of a column with those that replaced it; none where there is none."""
    sync = find_sync(reads, table, (column,), successors) if successors else None
    return [] if sync is None else _ending(reads, table, sync)


def _ending(reads: Reads, table: LivingTable, sync: Sync) -> list[str]:
    # the triggers go first: on a table that lost a column, they would fail every write
    return [
        *_dropping(table, triggers_of(reads, sync)),
        f"DROP FUNCTION {quoted(SYNC_SCHEMA, sync.name)}() RESTRICT",
    ]


def _dropping(table: LivingTable, names: Sequence[str]) -> list[str]:
    return [f"DROP TRIGGER {quoted(name)} ON {table.quoted}" for name in names]


def _the_same(reads: Reads, table: LivingTable, op: _SyncOp) -> Sync | None:
    found = find_sync(reads, table, op.old, op.new)
    # the way back of a contract that stopped before its swap finds the sync as it was
    if found is not None and found.text.swapped and not op.swapped:
        raise Refused(
            f"op.{op.verb} on {table.shown}: {', '.join(found.old)} and {', '.join(found.new)} are swapped.",
            next_steps=[NextStep("swap them back first", "op.swap_columns_back(...)")],
        )
    return found


def _is_in_place(connection: Connection, sync: Sync, op: _SyncOp) -> bool:
    said = (sync.old, sync.new, sync.text.up, sync.text.down)
    return said == (op.old, op.new, op.up or (), op.down or ()) and is_whole(connection, sync)


def _refuse_overlap(reads: Reads, table: LivingTable, op: _SyncOp, subject: str) -> None:
    for other in read_syncs(reads, table.oid):
        shared = sorted(other.text.columns & {*op.old, *op.new})
        if shared:
            raise Refused(
                f"{subject}: {', '.join(shared)} is in sync already: {other.shown}. One function has to know all of the"
                " columns that depend on each other.",
                next_steps=[NextStep("finish the change that they belong to first", "alembic safe-status")],
            )


def compile_sync(
    connection: Connection, table: LivingTable, op: _SyncOp, subject: str, reads: Reads | None = None
) -> Columns:
    """Return what the formulas mean.

    :raises Refused: where one is no expression, reads another column, or is not the same each time.
    """
    reads = reads or Reads(connection)
    wanted = wanted_of(reads, table, op, subject)
    found = read_expressions(connection, table, wanted)
    _refuse_expressions(op, found, subject)
    return columns_of(op.old, op.new, found, exact_of(reads, table, [*op.old, *op.new]))


def wanted_of(reads: Reads, table: LivingTable, op: _SyncOp, subject: str) -> list[Wanted]:
    """Return the formulas as they are looked at: each new and then each old column, as assigned and as compared."""
    rows = reads.rows(COLUMNS, {"oid": table.oid, "names": [*op.old, *op.new]})
    types = {row["name"]: row for row in rows}
    up = op.up if op.up is not None else tuple(quoted(name) for name in op.old)
    down = op.down if op.down is not None else tuple(quoted(name) for name in op.new)
    wanted = []
    for word, columns, formulas in (("up", op.new, up), ("down", op.old, down)):
        for column, sql in zip(columns, formulas, strict=True):
            said_as = f"{subject}: {word} of {column}"
            wanted += [Wanted(sql, types[column][kind], said_as) for kind in ("base", "type")]
    return wanted


def exact_of(reads: Reads, table: LivingTable, names: Sequence[str]) -> frozenset[str]:
    """Return those of some columns whose values are equal only where they are the same to the last bit."""
    rows = reads.rows(_EXACT, {"oid": table.oid, "names": list(names), "types": list(_BITWISE)})
    return frozenset(row["name"] for row in rows)


def columns_of(
    old: tuple[str, ...], new: tuple[str, ...], found: Sequence[Expression], exact: frozenset[str]
) -> Columns:
    """Put looked-at formulas together again."""
    pairs = [
        Formula(column, found[2 * n], found[2 * n + 1]) for n, column in enumerate((*new, *old))
    ]  # fmt: skip
    return Columns(old, new, tuple(pairs[: len(new)]), tuple(pairs[len(new) :]), exact)


def _refuse_expressions(op: _SyncOp, found: Sequence[Expression], subject: str) -> None:
    for n, expression in enumerate(found):
        is_up = n < 2 * len(op.new)
        word, allowed = ("up", {*op.old}) if is_up else ("down", {*op.old, *op.new})
        more = sorted({*expression.columns} - allowed)
        if more:
            side = "old" if is_up else "old or new"
            raise Refused(
                f"{subject}: {word} reads {', '.join(more)}, whose changes nobody would notice.",
                next_steps=[NextStep(f"name it among the {side} columns as well, with itself as its formula")],
            )
        if expression.is_volatile:
            raise Refused(f"{subject}: {word} says something else each time it is asked: {expression.sql}")


def text_of(columns: Columns, *, up: tuple[str, ...], down: tuple[str, ...], swapped: bool = False) -> SyncText:
    """Return what the comment of the function says."""
    return SyncText(
        columns.old, columns.new, up, down,
        compiled_up=tuple(f.compared.sql for f in columns.up), compiled_down=tuple(f.compared.sql for f in columns.down),
        assigned_up=tuple(f.value.sql for f in columns.up), assigned_down=tuple(f.value.sql for f in columns.down),
        swapped=swapped,
    )  # fmt: skip


def _function_name(table: LivingTable, op: _SyncOp) -> str:
    # the same behind a swap
    names = sorted({*op.old, *op.new})
    digest = hashlib.sha256("\0".join([table.schema, table.name, *names]).encode()).hexdigest()[:10]
    return f"{cut(f'{table.name}_{names[0]}', 30)}_{digest}"


def firing_last(reads: Reads, table: LivingTable, name: str) -> str:
    """Return a name for our triggers that sorts behind everybody's, as triggers fire in the order of their names."""
    found: list[str] = []
    for prefix in FIRINGS:
        trigger = cut(prefix, 40) + name[-10:]
        found = [
            row["name"] for row in reads.rows(LATER_TRIGGERS, {"oid": table.oid, "name": trigger, "own": SYNC_SCHEMA})
        ]
        if not found:
            return trigger
    raise Refused(
        f"{table.shown} has a BEFORE trigger that fires behind every other one, and could make the columns differ unseen:"
        f" {', '.join(found)}.",
        next_steps=[
            NextStep("give it another name", f"ALTER TRIGGER {quoted(found[0])} ON {table.quoted} RENAME TO ...;")
        ],
    )


def _warn_of_watchers(reads: Reads, table: LivingTable, op: _SyncOp) -> None:
    watching = reads.rows(_WATCHING, {"oid": table.oid, "names": [*op.old, *op.new]})
    for row in watching:
        log.warning(
            "Trigger %s on %s is one of UPDATE OF columns: it does not fire when the sync changes such a column",
            row["name"], table.shown,
        )  # fmt: skip


def make_sync_schema(connection: Connection) -> None:
    """Make the schema of the functions behind our triggers, where there is none.

    :raises Missing: where the role may make no schema, or nothing in it; with the line for its owner.
    """
    # two runs at once: the second waits, and finds the schema
    run(connection, "SELECT pg_advisory_xact_lock(hashtextextended('alembic-safe sync', 0))")
    found = run(connection, _SCHEMA, {"schema": SYNC_SCHEMA})[0]
    role, schema = quoted(found["role"]), quoted(SYNC_SCHEMA)
    if found["may"] is False:
        step = NextStep("the owner of that schema runs", f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};")
        raise Missing(f"Role {found['role']} may not make functions in schema {SYNC_SCHEMA}.", next_steps=[step])
    if found["may"] is None:
        grant = f"GRANT CREATE ON DATABASE {quoted(found['database'])} TO {role};"
        with rights_named(
            connection, f"Making schema {SYNC_SCHEMA}", [NextStep("the owner of the database runs", grant)]
        ):
            run(connection, f"CREATE SCHEMA {schema}")
        what = "alembic-safe: the functions behind triggers that keep columns in sync, or a copy of them up to date."
        set_comment(connection, f"SCHEMA {schema}", what)


def _owner_step(table: LivingTable, role: str) -> NextStep:
    return NextStep(f"{table.owner}, who owns the table, runs", f"GRANT {quoted(table.owner)} TO {quoted(role)};")
