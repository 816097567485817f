"""How does a default, a sequence or an identity go from one column to another?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.failures import error_when_run, sqlstate_of
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import literal, quoted, run, run_at_once
from alembic_safe.errors import NextStep, Refused
from alembic_safe.operations.said_of_relations import SaidOfSequence, said_of_sequence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from sqlalchemy import Connection

    from alembic_safe.database.reads import Reads
    from alembic_safe.operations.kept import FixedText
    from alembic_safe.operations.living import LivingTable

# without a length: to say ``character`` is to say ``character(1)``
_DEFAULT = """
SELECT pg_get_expr(d.adbin, d.adrelid) AS expression, a.attidentity::text AS identity, a.attnotnull AS not_null,
  format_type(a.atttypid, -1) AS type, t.typdefault IS NOT NULL AS type_fills
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = CAST(:oid AS oid) AND a.attname = :column
"""
_SEQUENCE = """
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, d.deptype::text AS tie, s.seqstart AS start,
  s.seqincrement AS step, s.seqmin AS least, s.seqmax AS most, s.seqcache AS cache, s.seqcycle AS cycles,
  format_type(s.seqtypid, NULL) AS type
FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S' JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_sequence s ON s.seqrelid = c.oid JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refobjid = CAST(:oid AS oid) AND a.attname = :column AND d.deptype IN ('a', 'i')
ORDER BY c.relname
"""
_LITERAL = re.compile(r"(?P<said>'(?:[^']|'')*')::[^()]+")
"""A default such as ``'a'::text``."""
OF_NO_USE = frozenset({"42804", "42846", "22P02", "22003", "22007", "22008"})
"""Of another type, cannot be cast, or says nothing that the type can hold: PostgreSQL's documentation, appendix A."""
WHOLE = {"smallint": 32_767, "integer": 2_147_483_647, "bigint": 9_223_372_036_854_775_807}
"""The largest value of each type that a sequence counts in."""


@dataclass(frozen=True)
class Counters:
    """What fills a column when nothing is said, and the one that it goes to.

    :param said: of the sequence of an identity, which is made anew on the other column; a serial's goes over as it is.
    """

    source: Mapping[str, Any]
    target: Mapping[str, Any]
    sequences: Sequence[Mapping[str, Any]]
    said: SaidOfSequence = SaidOfSequence()


def counters_of(reads: Reads, table: LivingTable, *, source: str, target: str) -> Counters:
    """Return what fills one column and the other, as they are called now; called under an empty search path."""
    of = [{"oid": table.oid, "column": column} for column in (source, target)]
    found = reads.together([(_DEFAULT, of[0]), (_DEFAULT, of[1]), (_SEQUENCE, of[0])])
    source_is, target_is, sequences = found[0][0], found[1][0], found[2]
    if not source_is["identity"]:
        return Counters(source_is, target_is, sequences)
    return Counters(source_is, target_is, sequences, said_of_sequence(reads, sequences[0]["oid"]))


def move_default(
    connection: Connection, table: LivingTable, counters: Counters, fixed: FixedText, *, from_: str, to: str,
    defaults: Mapping[str, str | None],
) -> None:  # fmt: skip
    """Give one column what fills the other when nothing is said: default, owned sequences, identity.

    A sequence goes on counting where it stood, in the type of its new column.

    A default that the target has already is the one that it keeps.

    :param defaults: what columns have as their default from now on, whatever the others had: SQL, or ``None`` for none.
    :param fixed: fixed text under an empty search path, as the counters were read.
    :raises Refused: where the new column may be NULL, which an identity may not, or the default is of no use to it.
    """
    source, target, sequences = counters.source, counters.target, counters.sequences
    alter = f"ALTER TABLE {table.quoted} ALTER COLUMN"
    empty = "SET DEFAULT NULL" if source["type_fills"] else "DROP DEFAULT"
    if to in defaults:
        # in the words of a file, whose names the session's search path finds
        said = defaults[to]
        change = "DROP DEFAULT" if said is None else f"SET DEFAULT {verbatim(said)}"
        run(connection, f"{alter} {quoted(to)} {change}")
    if source["expression"] is None and not source["identity"] and not sequences:
        # a default of NULL goes before that of a domain
        if source["type_fills"]:
            run(connection, f"{alter} {quoted(from_)} {empty}")
        if _is_null(target) and to not in defaults:
            run(connection, f"{alter} {quoted(to)} DROP DEFAULT")
        return
    with fixed:
        if source["identity"]:
            _move_identity(connection, table, counters, from_=from_, to=to)
        if source["expression"] is not None:
            if (target["expression"] is None or _is_null(target)) and to not in defaults:
                _set_default(connection, table, to, source["expression"], target["type"])
            run(connection, f"{alter} {quoted(from_)} {empty}")
        for sequence in sequences:
            if sequence["tie"] == "a":
                name = quoted(sequence["schema"], sequence["name"])
                run(
                    connection,
                    f"ALTER SEQUENCE {name} OWNED BY {table.quoted}.{quoted(to)}{_as_type(sequence, target)}",
                )


def _is_null(column: Mapping[str, Any]) -> bool:
    return str(column["expression"] or "").startswith("NULL::")


def literal_of(expression: str) -> str | None:
    """Return the literal that a default is, without its type; ``None`` where it is something else."""
    found = _LITERAL.fullmatch(expression)
    return None if found is None else found["said"]


def _set_default(connection: Connection, table: LivingTable, column: str, expression: str, type_: str) -> None:
    """Give a column of another type the default; a literal becomes one of its type, anything else is cast if need be."""
    literal = literal_of(expression)
    tries = [f"{literal}::{type_}", expression] if literal else [expression, f"CAST({expression} AS {type_})"]
    for said in tries:
        set_default = f"ALTER TABLE {table.quoted} ALTER COLUMN {quoted(column)} SET DEFAULT {verbatim(said)}"
        error = error_when_run(connection, set_default)
        if error is None:
            return
        if sqlstate_of(error) not in OF_NO_USE:
            raise error
    raise Refused(
        f"{table.shown}.{column} is of type {type_} now, and its default is not: {expression}.",
        next_steps=[
            NextStep("say the one that it gets, or None", f"op.swap_columns(..., defaults={{{column!r}: ...}})")
        ],
    )


def _as_type(sequence: Mapping[str, Any], target: Mapping[str, Any]) -> str:
    """Return what lets a sequence count as far as its new column goes."""
    if target["type"] not in WHOLE or target["type"] == sequence["type"]:
        return ""
    return f" AS {target['type']}"


def _move_identity(connection: Connection, table: LivingTable, counters: Counters, *, from_: str, to: str) -> None:
    """Let an identity end on one column and begin, where it stood, on the other.

    Its sequence is another one then: what was said of the one of before is said of it, in the same moment.
    """
    sequence, target = counters.sequences[0], counters.target
    if not target["not_null"]:
        raise Refused(
            f"{table.shown}.{to} becomes an identity column, and may be NULL.",
            next_steps=[NextStep("in a step before the swap", "op.set_not_null(...)")],
        )
    name = quoted(sequence["schema"], sequence["name"])
    at = run(connection, f"SELECT last_value, is_called FROM {name}")[0]
    most = sequence["most"]
    if most == WHOLE.get(sequence["type"]) and target["type"] in WHOLE:
        most = WHOLE[target["type"]]
    always = "ALWAYS" if counters.source["identity"] == "a" else "BY DEFAULT"
    options = (
        f"SEQUENCE NAME {name} START {sequence['start']:d} INCREMENT {sequence['step']:d} MINVALUE {sequence['least']:d}"
        f" MAXVALUE {most:d} CACHE {sequence['cache']:d} {'CYCLE' if sequence['cycles'] else 'NO CYCLE'}"
    )
    alter = f"ALTER TABLE {table.quoted} ALTER COLUMN"
    run_at_once(
        connection,
        [
            f"{alter} {quoted(from_)} DROP IDENTITY",
            f"{alter} {quoted(to)} ADD GENERATED {always} AS IDENTITY ({options})",
            *counters.said.statements(name),
            f"SELECT pg_catalog.setval({literal(name)}, {at['last_value']:d}, {'true' if at['is_called'] else 'false'})",
        ],
    )
