"""Which functions and triggers keep columns of one table equal to those of another, whoever writes which of them?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted
from alembic_safe.operations.table_locks_sql import PATIENCE, drain, lock, settle, wait
from alembic_safe.operations.table_pair import (
    differing,
    equal,
    is_noted,
    is_null,
    matching,
    of_source,
    of_target,
    unlike,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.operations.table_pair import Pair

TRIGGERS = 6
"""How many triggers there are in all."""
# a copy has its own statements planned for each batch, and would have these for each row
_PLANNED_ONCE = " SET plan_cache_mode = 'auto'"


def create_notes(pair: Pair) -> list[str]:
    """Return what makes the table of what has given way."""
    keys = "".join(f", k{n} {type_} NOT NULL" for n, (_, _, type_) in enumerate(pair.keys, 1))
    listed = ", ".join(pair.key_names)
    columns = (
        f"id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY{keys}, from_source boolean NOT NULL, mask bigint NOT NULL"
    )
    return [
        f"CREATE TABLE IF NOT EXISTS {pair.notes} ({columns})",
        f"CREATE INDEX IF NOT EXISTS {quoted(pair.name + '_k')} ON {pair.notes} ({listed})",
        f"REVOKE ALL ON {pair.notes} FROM PUBLIC",
    ]


def create_functions(pair: Pair) -> list[str]:
    """Return the statements that make its functions; each replaces the one of before."""
    key_types = ", ".join(type_ for _, _, type_ in pair.keys)
    return [
        _function(pair, "_settle", f"{key_types}, boolean, bigint, boolean", "void", settle(pair)),
        *_locking(pair, key_types),
        _function(pair, "_drain", "", "void", drain(pair)),
        _function(pair, "_s", "", "trigger", _source_written(pair)),
        _function(pair, "_f", "", "trigger", _target_fills(pair), _PLANNED_ONCE),
        _function(pair, "_t", "", "trigger", _target_written(pair), _PLANNED_ONCE),
    ]


def _locking(pair: Pair, key_types: str) -> list[str]:
    found = []
    for side, patience in PATIENCE.items():
        briefly = f" SET lock_timeout = '{patience}'"
        found.append(_function(pair, f"_wait_{side}", key_types, "integer", wait(pair, side), briefly))
        found.append(_function(pair, f"_{side}", key_types, "integer", lock(pair, side)))
    return found


def _function(pair: Pair, ending: str, arguments: str, returns: str, body: str, options: str = "") -> str:
    tag = "$sync$"
    while tag in body:
        tag = f"{tag[:-1]}_$"
    # an application writes the other table, which it need not have rights on, with those of the owner
    return (
        f"CREATE OR REPLACE FUNCTION {pair.function(ending)}({arguments}) RETURNS {returns} LANGUAGE plpgsql"
        f" SECURITY DEFINER SET search_path = pg_catalog, pg_temp{options} AS {verbatim(f'{tag}{body}{tag}')}"
    )


def drop_statements(pair: Pair) -> list[str]:
    """Return what takes functions and notes away, when the triggers are gone."""
    dropped = [f"DROP FUNCTION {signature} RESTRICT" for signature in signatures(pair)]
    return [*dropped, f"DROP TABLE {pair.notes} RESTRICT"]


def signatures(pair: Pair) -> list[str]:
    """Return its functions with their arguments."""
    key_types = ", ".join(type_ for _, _, type_ in pair.keys)
    arguments = {"_settle": f"{key_types}, boolean, bigint, boolean"}
    arguments |= {"_wait_source": key_types, "_wait_target": key_types, "_source": key_types, "_target": key_types}
    arguments |= {"_drain": "", "_s": "", "_f": "", "_t": ""}
    return [f"{pair.function(ending)}({given})" for ending, given in arguments.items()]


def create_triggers(pair: Pair, trigger: str) -> list[str]:
    """Return the statements that make the triggers; ALWAYS, so that what replication applies is kept in sync as well.

    :param trigger: what the names of all begin with.
    """
    unset = " OR ".join(f"({is_null(f'OLD.{quoted(d)}')} AND {is_null(f'NEW.{quoted(d)}')})" for _, d in pair.columns)
    source = unlike(
        (f"OLD.{quoted(name)}", f"NEW.{quoted(name)}")
        for name in (*(c for c, _ in pair.columns), *(k for k, _, _ in pair.keys))
    )
    target = unlike(
        (f"OLD.{quoted(name)}", f"NEW.{quoted(name)}")
        for name in (*(d for _, d in pair.columns), *(k for _, k, _ in pair.keys))
    )
    found = []
    for table, ending, when, event, condition, function in (
        (pair.source, "_si", "AFTER", "INSERT", "", "_s"),
        (pair.source, "_su", "AFTER", "UPDATE", source, "_s"),
        (pair.target, "_fi", "BEFORE", "INSERT", "", "_f"),
        (pair.target, "_fu", "BEFORE", "UPDATE", unset, "_f"),
        (pair.target, "_ti", "AFTER", "INSERT", "", "_t"),
        (pair.target, "_tu", "AFTER", "UPDATE", target, "_t"),
    ):
        only = f"WHEN ({condition}) " if condition else ""
        name = quoted(trigger + ending)
        found.append(
            f"CREATE OR REPLACE TRIGGER {name} {when} {event} ON {table} FOR EACH ROW {only}"
            f"EXECUTE FUNCTION {pair.function(function)}()"
        )
        found.append(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")
    return found


def _source_written(pair: Pair) -> str:
    keys = of_source(pair, "NEW")
    # a default cannot be told from a value that somebody gave, and gives way to what stands in the other row
    given = "\n".join(
        f"    IF NOT ({is_null('NEW.' + quoted(c))}) THEN mask := mask | {1 << bit}; END IF;"
        for bit, (c, _) in enumerate(pair.columns) if c not in pair.defaulted
    )  # fmt: skip
    changed = _changed_bits([c for c, _ in pair.columns])
    return f"""
DECLARE
  mask bigint := 0;
  meets boolean := true;
  got integer;
BEGIN
  IF {" OR ".join(is_null(key) for key in keys)} THEN
    RETURN NULL;
  END IF;
  got := {pair.function("_target")}({", ".join(keys)});
  IF got = 0 THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'INSERT' THEN
{given}
  ELSE
{changed}
    meets := {unlike((key, old) for key, old in zip(keys, of_source(pair, "OLD"), strict=True))};
  END IF;
{_settled_or_noted(pair, keys, "true")}
  RETURN NULL;
END
"""


def _target_written(pair: Pair) -> str:
    keys = of_target(pair, "NEW")
    given = "\n".join(
        f"    IF NOT ({is_null(f'NEW.{quoted(d)}')}) THEN mask := mask | {1 << bit}; END IF;"
        for bit, (_, d) in enumerate(pair.columns)
    )
    filled = " OR ".join(
        f"({is_null(f'OLD.{quoted(d)}')} AND NOT ({is_null(f'NEW.{quoted(d)}')}))" for _, d in pair.columns
    )
    return f"""
DECLARE
  mask bigint := 0;
  meets boolean := true;
  got integer;
BEGIN
  IF {" OR ".join(is_null(key) for key in keys)} THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'UPDATE' AND ({filled}) THEN
    -- a copy has locked the other row, and taken the values from there: then there is nothing to settle
    PERFORM 1 FROM {pair.source} AS s WHERE {matching(pair, "s", "NEW")} AND NOT {differing(pair, "s", "NEW")}
      AND s.xmax::text::bigint = pg_catalog.txid_current() % 4294967296 AND NOT {is_noted(pair, "NEW")};
    IF FOUND THEN
      RETURN NULL;
    END IF;
  END IF;
  got := {pair.function("_source")}({", ".join(keys)});
  IF got = 0 THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'INSERT' THEN
{given}
  ELSE
{_changed_bits([d for _, d in pair.columns])}
    meets := {unlike((key, old) for key, old in zip(keys, of_target(pair, "OLD"), strict=True))};
  END IF;
{_settled_or_noted(pair, keys, "false")}
  RETURN NULL;
END
"""


def _settled_or_noted(pair: Pair, keys: Sequence[str], side: str) -> str:
    listed, names = ", ".join(keys), ", ".join(pair.key_names)
    return f"""  IF got = 1 THEN
    PERFORM {pair.function("_settle")}({listed}, {side}, mask, meets);
  ELSE
    INSERT INTO {pair.notes} ({names}, from_source, mask) VALUES ({listed}, {side}, mask);
  END IF;"""


def _changed_bits(names: Sequence[str]) -> str:
    return "\n".join(
        f"    IF {unlike([(f'NEW.{quoted(name)}', f'OLD.{quoted(name)}')])} THEN mask := mask | {1 << bit}; END IF;"
        for bit, name in enumerate(names)
    )


def _target_fills(pair: Pair) -> str:
    """Return what gives a row of the target that has no value yet the source's: a new one, and one that is not copied."""
    keys = of_target(pair, "NEW")
    here = equal(of_source(pair, "s"), keys)
    empty = [f"({is_null(f'NEW.{quoted(d)}')} AND NOT ({is_null(f's.{quoted(c)}')}))" for c, d in pair.columns]
    before = [f"(TG_OP = 'INSERT' OR {is_null(f'OLD.{quoted(d)}')})" for _, d in pair.columns]
    wanting = " OR ".join(f"({one} AND {other})" for one, other in zip(empty, before, strict=True))
    fills = "\n".join(
        f"    IF {is_null(f'NEW.{quoted(d)}')} AND {was} THEN NEW.{quoted(d)} := partner.{quoted(c)}; END IF;"
        for (c, d), was in zip(pair.columns, before, strict=True)
    )
    listed = ", ".join(f"s.{quoted(c)}" for c, _ in pair.columns)
    return f"""
DECLARE
  partner record;
BEGIN
  IF {" OR ".join(is_null(key) for key in keys)} THEN
    RETURN NEW;
  END IF;
  IF TG_OP = 'INSERT' THEN
    -- an upsert: the row that is there is locked before the source's, as by an update
    PERFORM 1 FROM {pair.target} AS t WHERE {equal(of_target(pair, "t"), keys)};
    IF FOUND THEN
      RETURN NEW;
    END IF;
  ELSE
    PERFORM 1 FROM {pair.source} AS s WHERE {here} AND ({wanting});
    IF NOT FOUND THEN
      RETURN NEW;
    END IF;
  END IF;
  IF {pair.function("_source")}({", ".join(keys)}) = 1 THEN
    IF {is_noted(pair, "NEW")} THEN
      RETURN NEW;
    END IF;
    SELECT {listed} INTO partner FROM {pair.source} AS s WHERE {here};
{fills}
  END IF;
  RETURN NEW;
END
"""
