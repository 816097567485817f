"""How the tests have a few statements watched as a revision is, on a database of their own."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.pool import NullPool

from alembic_safe.inspecting.hazard import Example, judge
from alembic_safe.inspecting.hazards import HAZARDS
from alembic_safe.inspecting.live import Live, TableFacts
from alembic_safe.inspecting.tracing import Tracer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.inspecting.hazard import Found
    from alembic_safe.inspecting.trace import Trace

BIG = TableFacts(rows=5_000_000, exact=False, bytes=2 * 1000**3, heap=1000**3)
EMPTY_AGAIN = """
DO $$ DECLARE s text; BEGIN
  FOR s IN SELECT nspname FROM pg_namespace WHERE nspname IN ('app', 'other', 'alembic_safe_watch', 'alembic_safe_retired') LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', s);
  END LOOP;
END $$;
DROP SCHEMA public CASCADE; CREATE SCHEMA public;
"""


class Watched:
    """A database in which examples run, one after the other; each finds it empty."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url, poolclass=NullPool)

    def run(self, setup: str, example: Example, *, form: str) -> Trace:
        """Watch an example in one of its forms: ``operation``, ``sql`` or ``block``."""
        with self.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute(EMPTY_AGAIN)
            raw.execute(setup)
            raw.commit()
            context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
            connection.rollback()
            back = Example(example.downgrade, example.downgrade_sql)
            tracer = Tracer(downgrades=back != Example())
            module = SimpleNamespace(downgrade=lambda: self._body(context, connection, back, form))
            step: Any = SimpleNamespace(
                is_upgrade=True,
                migration_fn=lambda: self._body(context, connection, example, form),
                revision=SimpleNamespace(revision="e1", doc="an example", path=f"<{form}>", module=module),
            )
            try:
                with tracer.watch(context, step), context.begin_transaction(_per_migration=True):
                    step.migration_fn()
            except Exception as error:
                if not any(one.failed for trace in tracer.traces.values() for one in trace.revisions):
                    raise AssertionError(f"{form}: {error}") from error
            connection.rollback()
            (trace,) = tracer.traces.values()
            return trace

    def _body(self, context: MigrationContext, connection: Any, example: Example, form: str) -> None:
        operations = Operations(context)
        if form == "operation":
            with Operations.context(context) as op:
                names = {"op": op, "sa": sa}
                exec(compile(textwrap.dedent(example.operation), f"<{form}>", "exec"), names)  # the example's own code
            return
        block = [_as_block(one) for one in example.sql] if form == "block" else example.sql
        if not example.autocommit:
            for one in block:
                operations.execute(sa.text(one.replace(":", "\\:")))
            return
        for one in block:
            if "CONCURRENTLY" in one or one.startswith(("SET", "VACUUM")):
                with context.autocommit_block():
                    connection.exec_driver_sql(one)
            else:
                operations.execute(one)


def _as_block(sql: str) -> str:
    return f"DO $outer$ BEGIN EXECUTE $inner${sql}$inner$; END $outer$"


def big(trace: Trace) -> Live:
    """Return what would be known of a target on which every table is large."""
    names = {(relation.schema, relation.name) for relation in trace.columns}
    return Live(known=True, server_version=160000, tables=dict.fromkeys(names, BIG))


def hazards_in(trace: Trace, live: Live | None = None, *, advice: bool = True) -> Sequence[Found]:
    return judge(trace, live or big(trace), HAZARDS, advice=advice)


def emptied(live: Live) -> Live:
    """Return the same target with no row in it."""
    return replace(live, tables=dict.fromkeys(live.tables, TableFacts()))
