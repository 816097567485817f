"""How a retired column comes back: name, values by key, and what went with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import ConsentMissing, NextStep, Refused
from alembic_safe.inspecting.retired import RETIRED_SCHEMA, newest, read_memory, read_retired
from alembic_safe.operations.column_shape import add_plain, finish_shape
from alembic_safe.operations.consent import step_to_consent
from alembic_safe.operations.dependants import DEFAULT_RIGHTS, make_again
from alembic_safe.operations.kept import fixed_text, rights_named, text_of, write_record
from alembic_safe.operations.living import find_column, find_table, key_source, lock, refuse_inheritance
from alembic_safe.operations.quiet_triggers import triggers_off

if TYPE_CHECKING:
    from sqlalchemy import Column, Connection

    from alembic_safe.inspecting.retired import Record, Retired
    from alembic_safe.operations.column_keep import RetireColumn
    from alembic_safe.operations.living import LivingTable

_SHOWN = 5
# no bracket, no function: a literal, perhaps with a cast
_CONSTANT_DEFAULT = """
SELECT pg_get_expr(d.adbin, d.adrelid) AS it FROM pg_attrdef d
JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE d.adrelid = CAST(:oid AS oid) AND a.attname = :column AND a.attgenerated = ''
  AND pg_get_expr(d.adbin, d.adrelid) !~ '[(]' AND pg_get_expr(d.adbin, d.adrelid) !~* '^(current|local|session|user)'
"""


@dataclass(frozen=True)
class ColumnRestored:
    """What came back, and what did not.

    :param rows: kept values that stand in their rows again.
    :param no_row: kept values whose row is gone, or whose key now belongs to another row; they stay kept.
    :param changed: kept values whose successor was changed since; ``down`` of the newer value was taken.
    :param left: keys of some of those that stay.
    :param not_valid: constraints that newer rows violate.
    :param not_back: what could not be made again, each with its statement.
    :param purged: whether the values had been purged.
    :param left_alone: whether a person wanted it empty, so that all kept values stay where they are.
    """

    column: str
    rows: int = 0
    no_row: int = 0
    changed: int = 0
    left: tuple[str, ...] = ()
    kept: str = ""
    not_valid: tuple[str, ...] = ()
    not_back: tuple[str, ...] = ()
    purged: bool = False
    left_alone: bool = False
    was_there: bool = False


def restore_column(connection: Connection, request: RetireColumn, column: Column[Any]) -> ColumnRestored:
    """Bring a column back in the transaction that the connection is in; a second run finds it done.

    :param column: its definition, as the revision file has it.
    :raises ConsentMissing: where a kept value could reach another row than its own, or values were purged.
    """
    subject = f"Restoring {request.name}"
    table = find_table(connection, request.table, request.schema)
    if table is None or table.kind not in ("r", "p"):
        raise Refused(f"{subject}: there is no table {'.'.join(filter(None, (request.schema, request.table)))}.")
    refuse_inheritance(table, subject)
    shown = f"{table.shown}.{request.column}"
    kept = newest(read_retired(connection), table.schema, table.name, request.column)
    there = find_column(connection, table, request.column) is not None
    if there and kept is None:
        return ColumnRestored(shown, was_there=True)
    role = run(connection, "SELECT current_user AS it")[0]["it"]
    owners = dict.fromkeys(owner for owner in (table.owner, kept.owner if kept else "") if owner)
    ways = [NextStep(f"{owner} runs", f"GRANT {quoted(owner)} TO {quoted(role)};") for owner in owners]
    with rights_named(connection, subject, ways):
        lock(connection, table, subject)
        purged = _purged(connection, request, table, kept)
        record = kept.record if kept is not None else None
        empty = f"restore-empty:{request.name}" in request.accept and record is not None and record.rows > 0
        if record is not None and not empty:
            _require_consent_by_key(connection, request, table, record)
        if not there:
            add_plain(connection, table, column)
        done = ColumnRestored(shown, purged=purged)
        if empty and kept is not None and record is not None:
            done = replace(done, no_row=record.rows, kept=kept.kept, left_alone=True)
        elif column.computed is None:
            with fixed_text(connection), triggers_off(connection, table):
                done = _values(connection, table, request, kept, done, only_empty=there)
        recorded = record.dependants if record else ()
        sequences = tuple(d for d in recorded if d.kind in ("sequence", DEFAULT_RIGHTS))
        others = tuple(d for d in recorded if d.kind not in ("sequence", DEFAULT_RIGHTS))
        _, no_sequence = make_again(connection, sequences)
        loose = finish_shape(connection, table, column)
        not_valid, not_back = make_again(connection, others)
        done = replace(done, not_valid=(*loose, *not_valid), not_back=(*no_sequence, *not_back))
        return done if kept is None else _end(connection, kept, done)


def fill_again(connection: Connection, request: RetireColumn, table: LivingTable, kept: Retired) -> ColumnRestored:
    """Put kept values into a column that somebody made anew, where a row has none, or the column's constant default.

    :raises ConsentMissing: where a kept value could reach another row than its own.
    """
    record = kept.record
    assert record is not None  # noqa: S101 - it was found by it
    lock(connection, table, f"Restoring {request.name}")
    _require_consent_by_key(connection, request, table, record)
    done = ColumnRestored(f"{table.shown}.{request.column}")
    default = run(connection, _CONSTANT_DEFAULT, {"oid": table.oid, "column": request.column})
    with fixed_text(connection), triggers_off(connection, table):
        done = _values(
            connection, table, request, kept, done, only_empty=True, default=default[0]["it"] if default else ""
        )
    return _end(connection, kept, done)


def _purged(connection: Connection, request: RetireColumn, table: LivingTable, kept: Retired | None) -> bool:
    """Say whether the values were purged; ask, where rows are there that would come back without them."""
    if kept is not None:
        return False
    purged = read_memory(connection).of(f"{table.shown}.{request.column}")
    if purged is None or not purged.rows:
        return False
    finding = f"restore-empty:{request.name}"
    rows = run(connection, f"SELECT EXISTS (SELECT FROM {table.quoted}) AS it")[0]["it"]
    if rows and finding not in request.accept:
        raise ConsentMissing(
            f"{table.shown}.{request.column} was retired, and its {purged.rows} values were purged on {purged.at[:10]}: it"
            " would come back empty.",
            next_steps=[step_to_consent("bring it back empty", request.command, finding)],
        )
    return True


def _require_consent_by_key(connection: Connection, request: RetireColumn, table: LivingTable, record: Record) -> None:
    """Ask, where a row of today may have the key of another row of then.

    A successor's values tell rows apart as well; without one, only a key that is never made twice does.
    """
    finding = f"restore-by-key:{request.name}"
    if not record.rows or not record.key or record.successors or finding in request.accept:
        return
    names = [name for name, _ in record.key]
    key = ", ".join(names)
    if record.keys_return:
        why = "and such a key can be given to another row after its own was deleted"
    elif record.key_source is None or not record.key_source.goes_on_in(key_source(connection, table, names)):
        why = (
            "and since it was retired the table was made anew, or the counter of its keys was set back: a row of today"
            " may have the key of another row"
        )
    else:
        return
    raise ConsentMissing(
        f"The {record.rows} kept values of {record.name} would come back by ({key}), {why}.",
        next_steps=[
            step_to_consent("if no key was used again", request.command, finding),
            step_to_consent(
                "or let it come back empty; they stay kept", request.command, f"restore-empty:{request.name}"
            ),
        ],
    )


def _values(
    connection: Connection,
    table: LivingTable,
    request: RetireColumn,
    kept: Retired | None,
    done: ColumnRestored,
    *,
    only_empty: bool,
    default: str = "",
) -> ColumnRestored:
    """Write the values: ``down`` of the successors first, then what was kept where it is still true.

    :param only_empty: the column was there before; what stands in it is not overwritten.
    :param default: unless it is this value, as SQL.
    """
    living = find_column(connection, table, request.column)
    assert living is not None  # noqa: S101 - it was just made
    own, type_ = quoted(living.name), verbatim(living.type)
    record = kept.record if kept is not None else None
    successors = record.successors if record is not None else request.successors
    down = record.down if record is not None else request.down
    if successors and all(find_column(connection, table, name) is not None for name in successors):
        where = f" WHERE {own} IS NULL" if only_empty else ""
        run(connection, f"UPDATE {table.quoted} SET {own} = CAST(({verbatim(down)}) AS {type_}){where}")
    if kept is None or record is None or not record.rows or not record.key:
        left = record.rows if record is not None and not record.key else 0
        return replace(done, no_row=left, kept=kept.kept if kept is not None and left else "")
    same_key = " AND ".join(f"k.key_{n} = ({text_of('t.' + quoted(c))})" for n, (c, _) in enumerate(record.key, 1))
    same = same_key + "".join(
        f" AND k.successor_{n} IS NOT DISTINCT FROM ({text_of('t.' + quoted(c))})" for n, c in enumerate(successors, 1)
    )
    or_default = f" OR t.{own} IS NOT DISTINCT FROM ({verbatim(default)})" if default else ""
    empty = f" AND (t.{own} IS NULL{or_default})" if only_empty else ""
    run(
        connection,
        f"UPDATE {table.quoted} AS t SET {own} = CAST(k.value AS {type_}) FROM {kept.quoted} AS k WHERE {same}{empty}",
    )
    # what was put back is no longer kept; UNLOGGED meanwhile, so that no subscriber hears of a table it does not have
    run(connection, f"ALTER TABLE {kept.quoted} SET UNLOGGED")
    back = f"EXISTS (SELECT FROM {table.quoted} AS t WHERE {same} AND ({text_of('t.' + own)}) IS NOT DISTINCT FROM k.value)"
    # the text form of what was cast there and back may differ from the kept one (a shortened type): then it stays
    run(connection, f"DELETE FROM {kept.quoted} AS k WHERE {back}")
    run(connection, f"ALTER TABLE {kept.quoted} SET LOGGED")
    return _counted(connection, table, kept, record, done, same_key)


def _counted(
    connection: Connection, table: LivingTable, kept: Retired, record: Record, done: ColumnRestored, same_key: str
) -> ColumnRestored:
    there = f"EXISTS (SELECT FROM {table.quoted} AS t WHERE {same_key})"
    counts = run(
        connection, f"SELECT count(*) AS rest, count(*) FILTER (WHERE {there}) AS changed FROM {kept.quoted} AS k"
    )[0]
    columns = ", ".join(f"key_{n}" for n in range(1, len(record.key) + 1))
    some = run(
        connection, f"SELECT concat_ws(', ', {columns}) AS it FROM {kept.quoted} ORDER BY 1 LIMIT :n", {"n": _SHOWN}
    )
    return replace(
        done, rows=record.rows - counts["rest"], no_row=counts["rest"] - counts["changed"], changed=counts["changed"],
        left=tuple(row["it"] for row in some), kept=kept.kept if counts["rest"] else "",
    )  # fmt: skip


def _end(connection: Connection, kept: Retired, done: ColumnRestored) -> ColumnRestored:
    """Let the kept table go where all of it came back; else note that this is the rest."""
    record = kept.record
    assert record is not None  # noqa: S101 - it was found by it
    if done.kept or done.not_back:
        rest = done.no_row + done.changed
        write_record(connection, kept.kept, replace(record, state="rest", rows=rest))
        return replace(done, kept=kept.kept)
    run(connection, f"DROP TABLE {quoted(RETIRED_SCHEMA, kept.kept)} RESTRICT")
    return done
