"""Does autogenerate find that a default changes where the server cannot compare the two?"""

# Alembic asks the server: `SELECT 'open'::st = 'fresh'`. Where labels or the type change together with the default, the one
# of tomorrow says nothing to the type of today, and the statement fails (alembic/ddl/postgresql.py, compare_server_default).
from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from alembic.util import PriorityDispatchResult
from sqlalchemy import DefaultClause, Numeric, false, literal_column, select
from sqlalchemy.dialects import postgresql

from alembic_safe.database.failures import sqlstate_when_run
from alembic_safe.database.sql_words import verbatim

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import AlterColumnOp
    from sqlalchemy import Column

_CANNOT_BE_COMPARED = ("22", "42")
"""Classes of SQLSTATE: what a value says is none of the type, or there is no such operator, type or function."""


def differing_where_refused(
    context: AutogenContext, op: AlterColumnOp, there: Column[Any], wanted: Column[Any]
) -> PriorityDispatchResult:
    """Say that a default differs where the server refuses to compare it; leave every other comparison to Alembic.

    Nothing that is called in a default is run, and the transaction lives on.

    :param there: the column as the database has it; ``wanted``: as the models do.
    """
    is_counter = wanted.primary_key and wanted is wanted.table._autoincrement_column  # noqa: SLF001 - as Alembic leaves it out
    both = (there.server_default, wanted.server_default)
    if is_counter or context.connection is None or not all(isinstance(one, DefaultClause) for one in both):
        return PriorityDispatchResult.CONTINUE
    asked = select(literal_column(_sql_of(both[0])) == _said(both[1], there)).where(false())
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call,unused-ignore]
    sql = str(asked.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    if sqlstate_when_run(context.connection, verbatim(sql))[:2] not in _CANNOT_BE_COMPARED:
        return PriorityDispatchResult.CONTINUE
    # a type such as json knows no equality; there the same text is the same default
    if _text(_sql_of(both[0])) != _text(_wanted_sql(both[1])):
        op.modify_server_default = wanted.server_default
    return PriorityDispatchResult.STOP


def _text(sql: str) -> str:
    said = re.fullmatch(r"(?P<said>'(?:[^']|'')*')(?:::[^()]+)?", sql)
    return sql if said is None else said["said"]


def _sql_of(default: Any) -> str:
    return str(getattr(default.arg, "text", default.arg))


def _wanted_sql(default: Any) -> str:
    if not isinstance(default.arg, str):
        return str(default.arg.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}))  # type: ignore[no-untyped-call,unused-ignore]
    return "'{}'".format(default.arg.replace("'", "''"))


def _said(default: Any, there: Column[Any]) -> Any:
    """Return a default of the models as Alembic puts it into its comparison."""
    if not isinstance(default.arg, str):
        return default.arg
    is_number = isinstance(there.type, Numeric)
    bare = re.sub(r"^'|'$", "", default.arg).replace("'", "''")
    return literal_column(default.arg if is_number else f"'{bare}'")
