"""Which function and which two triggers keep old and new columns equal?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.syncs import SYNC_SCHEMA, all_null, row_of
from alembic_safe.operations.kept import OF_VALUES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.operations.expressions import Expression


@dataclass(frozen=True)
class Formula:
    """How one column is made of others.

    :param value: what is assigned, so that a value that is too long raises, as in any assignment.
    :param compared: the same, cast to the column's type to the last bit: what will stand in the row.
    """

    column: str
    value: Expression
    compared: Expression


@dataclass(frozen=True)
class Columns:
    """A sync, ready to be written.

    :param up: how each new column is made; ``down``: each old one.
    :param exact: the columns whose values are equal only where they are the same to the last bit.
    """

    old: tuple[str, ...]
    new: tuple[str, ...]
    up: tuple[Formula, ...]
    down: tuple[Formula, ...]
    exact: frozenset[str] = frozenset()

    @property
    def is_plain(self) -> bool:
        """Whether its formulas mean the same in every session, so that a WHEN clause may evaluate them."""
        return not any(
            formula.value.is_stable or formula.value.names_others or formula.compared.names_others
            for formula in (*self.up, *self.down)
        )

    @property
    def names_others(self) -> bool:
        """Whether its formulas use what not every role may: then they are evaluated with the rights of the owner."""
        return any(f.value.names_others or f.compared.names_others for f in (*self.up, *self.down))


def create_function(name: str, columns: Columns) -> str:
    """Return the CREATE OR REPLACE FUNCTION.

    No SET clause where none is needed: it costs 10 microseconds for each row, the function itself three.
    """
    options = ""
    if columns.names_others:
        options += " SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
    if not columns.is_plain:
        options += "".join(f" SET {setting} = '{value}'" for setting, value in OF_VALUES.items())
    body = _dollar_quoted(_body(columns))
    return (
        f"CREATE OR REPLACE FUNCTION {quoted(SYNC_SCHEMA, name)}() RETURNS trigger LANGUAGE plpgsql{options}"
        f" AS {verbatim(body)}"
    )


def rights_on(function: str, owner: str) -> list[str]:
    """Return the statements after which nobody but the table's owner may put a trigger function on a table.

    The owner needs it to make or attach a partition, which gets the triggers of its parent. It lets them do nothing that
    they could not do before: to name the function takes a right on our schema, too, and what fires it is theirs either way.

    :param function: ``FUNCTION`` with its name, quoted, and its arguments.
    """
    return [f"REVOKE ALL ON {function} FROM PUBLIC", f"GRANT EXECUTE ON {function} TO {quoted(owner)}"]


def _body(columns: Columns) -> str:
    contradicts_up = _differs(columns, [f.compared.sql for f in columns.up])
    up, down = _assign(columns.up), _assign(columns.down)
    empty = all_null(columns.new, "NEW")
    return f"""
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF {empty} THEN
{up}
    -- also where the formula says of no value what the new application wrote: the old columns may take no NULL
    ELSIF {contradicts_up} OR ({all_null(columns.old, "NEW")}) THEN
{down}
    END IF;
  ELSIF {_changed(columns, columns.new)} THEN
    -- the new application, or the copy: that one writes what the old columns say already
    IF {contradicts_up} THEN
{down}
    END IF;
  ELSIF {_changed(columns, columns.old)} OR ({empty}) THEN
{up}
  END IF;
  RETURN NEW;
END
"""


def _assign(formulas: Sequence[Formula]) -> str:
    if len(formulas) == 1:
        return f"      NEW.{quoted(formulas[0].column)} := {formulas[0].value.sql};"
    # all of them are evaluated before the first is assigned
    values = ", ".join(f.value.sql for f in formulas)
    targets = ", ".join(f"NEW.{quoted(f.column)}" for f in formulas)
    return f"      SELECT {values} INTO {targets};"


def _changed(columns: Columns, names: Sequence[str]) -> str:
    """Return the condition that an update changes one of these columns."""
    return _differ(columns, [(name, f"OLD.{quoted(name)}") for name in names])


def _differs(columns: Columns, values: Sequence[str]) -> str:
    """Return the condition that one of the new columns is not what ``up`` says."""
    return _differ(columns, list(zip(columns.new, values, strict=True)))


def _differ(columns: Columns, pairs: Sequence[tuple[str, str]]) -> str:
    """Return the condition that a column of NEW is another value.

    Equality is not enough: 1.0 equals 1.00, and 'a' equals 'A' in citext, and each would be lost in the other column.
    Comparing images costs a quarter of an update's time, so that types which have no such values are spared it.
    """
    exact = [f"NEW.{quoted(name)} IS DISTINCT FROM {value}" for name, value in pairs if name in columns.exact]
    others = [(name, value) for name, value in pairs if name not in columns.exact]
    if others:
        mine = row_of([name for name, _ in others], "NEW")
        exact.append(f"pg_catalog.record_image_ne({mine}, ROW({', '.join(value for _, value in others)}))")
    return f"({' OR '.join(exact)})"


def _dollar_quoted(body: str) -> str:
    tag = "$sync$"
    while tag in body:
        tag = f"{tag[:-1]}_$"
    return f"{tag}{body}{tag}"


def create_triggers(table: str, name: str, columns: Columns, function: str) -> list[str]:
    """Return the statements that make both triggers; ALWAYS, so that what replication applies is kept in sync as well.

    :param table: quoted and qualified.
    :param name: what both triggers' names begin with.
    """
    call = f"EXECUTE FUNCTION {quoted(SYNC_SCHEMA, function)}()"
    statements = []
    for ending, event, when in (("_i", "INSERT", ""), ("_u", "UPDATE", f"WHEN ({_when(columns)}) ")):
        trigger = quoted(name + ending)
        statements.append(f"CREATE TRIGGER {trigger} BEFORE {event} ON {table} FOR EACH ROW {when}{call}")
        statements.append(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")
    return statements


def _when(columns: Columns) -> str:
    """Return when an update needs the function at all.

    Where the formulas mean the same in every session, the copy's own writes do not: they are what ``up`` says.
    """
    empty = all_null(columns.new, "NEW")
    if not columns.is_plain:
        return f"{_changed(columns, columns.old)} OR {_changed(columns, columns.new)} OR ({empty})"
    contradicts = _differs(columns, [verbatim(f.compared.sql) for f in columns.up])
    return f"{_changed(columns, columns.old)} OR (({_changed(columns, columns.new)} OR ({empty})) AND {contradicts})"
