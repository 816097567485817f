"""Operations of ours as ``safe-upgrade`` runs them, batch by batch and step by step, beside those of a stock run."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations

from alembic_safe.database.statements import run, run_counting, session_settings
from alembic_safe.database.steps import STEPS, CopyOptions
from tests.held_locks import Held
from tests.retire_cases import Living, some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import psycopg
    from sqlalchemy import Connection, RootTransaction

    from alembic_safe.database.steps import CopyEvent, CopyEvidence, CopyState
    from tests.cluster import Cluster

HOSTILE = some(['O"r.d 50% x:y', "ä\\'" + "n" * 59, "select", "$1"], 2)
"""Names that want quotes, one way or another; one has 63 bytes."""


class Killed(Exception):
    """What stands for kill -9 in a test: raised where a process could die, and nothing behind it runs."""


class Place(Protocol):
    """Where a runner's database is."""

    @property
    def cluster(self) -> Cluster: ...

    @property
    def name(self) -> str: ...


class Runner:
    """Runs steps on a real connection, each commit a real one; its journal is two tables beside the application's.

    :param die_at: the commit (counted from 1) before which the process dies.
    """

    def __init__(
        self, living: Place, context: MigrationContext, options: CopyOptions, die_at: int | None = None
    ) -> None:  # fmt: skip
        self.living = living
        self.touched: list[str] = []
        """What was read or written anew as a whole while nobody else could read it."""
        self.context = context
        self.options = options
        self.die_at = die_at
        self.commits = 0
        self._transaction: RootTransaction | None = None
        self.events: list[CopyEvent] = []
        self.reason = ""
        with living.cluster.connect(living.name) as c:
            c.execute("CREATE SCHEMA IF NOT EXISTS alembic_safe_runner")
            c.execute(
                "CREATE TABLE IF NOT EXISTS alembic_safe_runner.copies"
                " (copy text PRIMARY KEY, cursor text, rows bigint, status text)"
            )
            c.execute(
                "CREATE TABLE IF NOT EXISTS alembic_safe_runner.evidence (what text, rows bigint, mismatches bigint)"
            )

    def leave(self) -> None:
        """Take the journal away."""
        with self.living.cluster.connect(self.living.name) as c:
            c.execute("DROP SCHEMA alembic_safe_runner CASCADE")

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        assert name
        yield
        self.commit()

    def commit(self) -> None:
        self._count()
        self._end()
        self.begin()

    def _count(self) -> None:
        self.commits += 1
        if self.commits == self.die_at:
            raise Killed

    def take_back(self) -> None:
        assert self._transaction is not None
        self._transaction.rollback()
        self.begin()

    @contextmanager
    def batches(self, settings: Mapping[str, str]) -> Iterator[None]:
        self._count()
        self._end()
        with session_settings(self._connection, settings):
            self.begin()
            yield
            self._end()
        self.begin()

    @property
    def _connection(self) -> Connection:
        assert self.context.connection is not None
        return self.context.connection

    def _end(self) -> None:
        assert self._transaction is not None
        self.look()
        self._transaction.commit()

    def begin(self) -> None:
        self._transaction = self._connection.begin()
        self._held = Held(self._connection)

    def look(self) -> None:
        """Look what the transaction did so far."""
        self.touched += self._held.touched()

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        self._end()
        connection = self._connection
        connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            with connection.begin():
                yield connection
        finally:
            connection.execution_options(isolation_level=connection.default_isolation_level)
            self.begin()

    def open(self) -> psycopg.Connection[Any]:
        return self.living.cluster.connect(self.living.name, prepare_threshold=None)

    def load_copy(self, connection: Any, copy: str) -> str | None:
        rows = run(connection, "SELECT cursor FROM alembic_safe_runner.copies WHERE copy = :copy", {"copy": copy})
        return rows[0]["cursor"] if rows else None

    def save_copy(self, connection: Any, state: CopyState) -> None:
        values = {"copy": state.copy, "cursor": state.cursor, "rows": state.rows, "status": state.status}
        run(
            connection,
            "INSERT INTO alembic_safe_runner.copies VALUES (:copy, :cursor, :rows, :status) ON CONFLICT (copy) DO UPDATE"
            " SET cursor = excluded.cursor, rows = excluded.rows, status = excluded.status",
            values,
        )

    def forget_copies(self, table: str) -> bool:
        del table
        return run_counting(self._connection, "UPDATE alembic_safe_runner.copies SET cursor = NULL") > 0

    def save_evidence(self, connection: Any, evidence: CopyEvidence) -> None:
        values = {"what": evidence.columns, "rows": evidence.rows, "mismatches": evidence.mismatches}
        run(connection, "INSERT INTO alembic_safe_runner.evidence VALUES (:what, :rows, :mismatches)", values)

    def paused(self, connection: Any, copy: str) -> str:
        del connection, copy
        return self.reason

    def tell(self, event: CopyEvent) -> None:
        self.events.append(event)


class Stepwise(Living):
    """A database in which operations run in steps."""

    runner: Runner

    def steps(
        self,
        verb: str,
        *args: Any,
        user: str = "",
        options: CopyOptions | None = None,
        die_at: int | None = None,
        **kw: Any,
    ) -> Any:
        """Run one operation as ``safe-upgrade`` does."""
        from sqlalchemy import NullPool, create_engine

        engine = create_engine(self.cluster.url(self.name, user=user), poolclass=NullPool) if user else self.engine
        with engine.connect() as connection:
            context = MigrationContext.configure(connection)
            self.runner = Runner(self, context, options or CopyOptions(vacuum=False), die_at)
            context.opts[STEPS] = self.runner
            self.runner.begin()
            done = getattr(Operations(context), verb)(*args, **kw)
            self.runner.look()
            connection.commit()
            return done

    def script(self, verb: str, *args: Any, **kw: Any) -> str:
        """What one operation writes under ``--sql``."""
        buffer = io.StringIO()
        opts = {"as_sql": True, "output_buffer": buffer}
        context = MigrationContext.configure(dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, opts=opts)
        getattr(Operations(context), verb)(*args, **kw)
        return buffer.getvalue()

    def run_script(self, script: str) -> None:
        """Run what a script says, in a transaction of its own where it opens one."""
        for statement in script.split(";\n"):
            if statement.strip():
                self.run(statement)


@pytest.fixture
def place(cluster: Cluster, make_database: Callable[..., str]) -> Iterator[Stepwise]:
    """A database for one test, and its twin."""
    it = Stepwise(cluster, make_database)
    yield it
    it.close()
