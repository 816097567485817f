"""A database whose tables are retired and restored, beside a twin in which they are plainly dropped."""

from __future__ import annotations

import subprocess
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import NullPool, create_engine, text

from alembic_safe.inspecting.retired import RETIRED_SCHEMA, read_retired
from tests.patience import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy import Connection

    from alembic_safe.inspecting.retired import Retired
    from tests.cluster import Cluster


def some(cases: Iterable[Any], default: int) -> list[Any]:
    """Return cases for ``parametrize``; the default run has the first ones, the long suite all of them."""
    marks = pytest.mark.long
    return [
        case if n < default else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=marks)
        for n, case in enumerate(cases)
    ]


@pytest.fixture
def living(cluster: Cluster, make_database: Callable[..., str]) -> Iterator[Living]:
    """Two databases for one test."""
    place = Living(cluster, make_database)
    yield place
    place.close()


class Living:
    """Two equal databases: what is tried happens in the first, what a plain migration does in the second."""

    def __init__(self, cluster: Cluster, make_database: Callable[..., str]) -> None:
        self.cluster = cluster
        self.name = make_database()
        self.make_database = make_database
        self.scripts: list[str] = []
        self.engine = create_engine(cluster.url(self.name), poolclass=NullPool)

    def close(self) -> None:
        self.engine.dispose()

    def given(self, sql: str) -> None:
        """Run a script in both; in the twin when it is looked at."""
        self.run(sql)
        self.scripts.append(sql)

    @cached_property
    def twin(self) -> str:
        """The other database, made when something is compared with it."""
        name = self.make_database()
        with self.cluster.connect(name) as c:
            for script in self.scripts:
                c.execute(script)
        return name

    def run(self, sql: str) -> None:
        with self.cluster.connect(self.name) as c:
            c.execute(sql)

    def in_twin(self, sql: str) -> None:
        with self.cluster.connect(self.twin) as c:
            c.execute(sql)

    def all(self, sql: str) -> list[tuple[Any, ...]]:
        with self.cluster.connect(self.name) as c:
            return c.execute(sql).fetchall()

    def op(self, verb: str, *args: Any, user: str = "", isolation_level: str = "", **kw: Any) -> Any:
        """Run one operation in a transaction of its own, and commit it."""
        engine = create_engine(self.cluster.url(self.name, user=user), poolclass=NullPool) if user else self.engine
        if isolation_level:
            engine = engine.execution_options(isolation_level=isolation_level)
        with engine.begin() as connection:
            return getattr(self.operations(connection), verb)(*args, **kw)

    @staticmethod
    def operations(connection: Connection) -> Any:
        """Return ``op`` for a transaction, in which several operations may be run."""
        return Operations(MigrationContext.configure(connection))

    def retire_column(self, table: str, column: Any, **kw: Any) -> Any:
        return self.op("retire_column", table, column, **kw)

    def restore_column(self, table: str, column: Any, **kw: Any) -> Any:
        return self.op("restore_column", table, column, **kw)

    def retire_table(self, table: str, *columns: Any, **kw: Any) -> Any:
        # Alembic's columns know their table; each call gets its own
        return self.op("retire_table", table, *[column._copy() for column in columns], **kw)

    def restore_table(self, table: str, *columns: Any, **kw: Any) -> Any:
        return self.op("restore_table", table, *[column._copy() for column in columns], **kw)

    def kept(self, name: str) -> list[tuple[Any, ...]]:
        """The rows of a kept table, in the order of their keys."""
        with self.engine.connect() as connection:
            rows = connection.execute(text(f'SELECT k.* FROM {RETIRED_SCHEMA}."{name}" AS k ORDER BY k::text')).all()
        return [tuple(row) for row in rows]

    def retired(self) -> list[Retired]:
        with self.engine.connect() as connection:
            return read_retired(connection)

    def dump(self, database: str = "") -> str:
        """The schema of everything but our own, as pg_dump writes it."""
        done = subprocess.run(
            [self.cluster.bin / "pg_dump", "--schema-only", "--exclude-schema=alembic_safe*", "-h", "127.0.0.1",
             "-p", str(self.cluster.port), "-U", "postgres", database or self.name],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        lines = [line for line in done.stdout.splitlines() if line and not line.startswith(("--", "\\"))]
        return "\n".join(lines)

    def same_as_after(self, plain: str) -> bool:
        """Whether the living database dumps as its twin does after a plain statement; shows the difference."""
        self.in_twin(plain)
        assert self.dump() == self.dump(self.twin)
        return True

    def until(self, condition: str) -> None:
        """Wait until a query says true."""
        eventually(lambda: self.all(condition)[0][0], condition)
