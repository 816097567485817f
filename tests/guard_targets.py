"""How is a database of each kind really made?"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from alembic_safe.database import journal_tables
from alembic_safe.database.environment import Journals
from alembic_safe.database.marking import mark

if TYPE_CHECKING:
    import psycopg

    from tests.cluster import Cluster
    from tests.guard_matrix import Target

JOURNALS = Journals("alembic_safe")

# what a stock project without alembic-safe leaves at a2, and the rows that somebody would miss
_AT_A2 = """
CREATE TABLE alembic_version (version_num varchar(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY);
INSERT INTO alembic_version VALUES ('a2');
CREATE TABLE users (id serial PRIMARY KEY, name text);
INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 20) n;
"""

_ONLY_READS = re.compile(
    r"\s*(?:(?:SELECT|SHOW|BEGIN|COMMIT|ROLLBACK|SET|SAVEPOINT|RELEASE|DEALLOCATE)\b"
    # pg_dump, when a plan is watched on the target's own schema: it prepares questions, and locks as a SELECT does
    r"|LOCK TABLE\b.*\bIN ACCESS SHARE MODE|PREPARE \w+\b[^;]*\bAS\s+SELECT\b|EXECUTE \w+\('\d+'\)"
    r"|WITH\b(?!.*\b(?:INSERT INTO|UPDATE|DELETE FROM|MERGE INTO)\b))",
    re.IGNORECASE | re.DOTALL,
)
_STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]*): (.*(?:\n\t.*)*)")


@dataclass(frozen=True)
class Made:
    """One database that a test may do with what it likes."""

    cluster: Cluster
    name: str

    def connect(self) -> psycopg.Connection:
        """Open a connection of the superuser."""
        return self.cluster.connect(self.name)

    def state(self) -> tuple[dict[str, tuple[int, int]], str]:
        """Return all that a command could have changed: the catalogs of the database, and every row of every table.

        Each catalog by the number of its rows and the newest transaction that wrote one of them: whatever is made,
        changed, granted, commented or dropped shows there.
        """
        with self.connect() as c:
            counts = sql.SQL(" UNION ALL ").join(
                sql.SQL("SELECT {}, count(*), max(xmin::text::bigint) FROM {}").format(
                    sql.Literal(name), sql.Identifier("pg_catalog", name)
                )
                for name in _catalogs(c)
            )
            schema = {name: (number, newest) for name, number, newest in c.execute(counts)}
            tables = c.execute(
                "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2"
            ).fetchall()
            rows = [
                (
                    table,
                    c.execute(sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(*table))).fetchall(),
                )
                for table in tables
            ]
        return schema, repr(rows)

    def schema(self) -> str:
        """Return the schema as pg_dump writes it, without the lines that differ in every dump."""
        text = self.cluster.run("pg_dump", *self.cluster.where, "-s", self.name)
        return "\n".join(line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))

    def heads(self) -> frozenset[str]:
        """Return the rows of the version table; none where there is no such table."""
        with self.connect() as c:
            if c.execute("SELECT to_regclass('public.alembic_version')").fetchone()[0] is None:
                return frozenset()
            return frozenset(row[0] for row in c.execute("SELECT version_num FROM public.alembic_version"))

    def log_everything(self) -> int:
        """Have the server write every statement that comes to this database into its log; return where it begins."""
        with self.cluster.connect() as c:
            c.execute(sql.SQL("ALTER DATABASE {} SET log_statement = 'all'").format(sql.Identifier(self.name)))
        return self.cluster.log.stat().st_size

    def writes_since(self, begin: int) -> list[str]:
        """Return the statements in the log that could have written."""
        with self.cluster.log.open("rb") as log:
            log.seek(begin)
            text = log.read().decode(errors="replace")
        found = _STATEMENT.findall(text)
        assert found, "the server logged nothing, so nothing would be proven"
        return [statement for statement in found if not _ONLY_READS.match(statement)]


def _catalogs(connection: psycopg.Connection) -> list[str]:
    """Name the catalogs that a database has for itself; statistics come and go with autovacuum."""
    query = (
        "SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'"
        " AND NOT relisshared AND relname NOT IN ('pg_statistic', 'pg_statistic_ext_data') ORDER BY 1"
    )
    return [name for (name,) in connection.execute(query)]


class Targets:
    """Makes databases of every kind on one server; what is dear is made once.

    A copy made of a template gets a number of its own, so the kinds that are no copies are marked anew after it: by
    the very function that ``safe-guard set`` calls.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._templates: dict[str, str] = {}
        self._physical: Cluster | None = None
        self._made: list[Made] = []

    def make(self, target: Target) -> Made:
        """Return a fresh database of a kind."""
        name = f"g_{uuid.uuid4().hex[:10]}"
        made = Made(self.cluster, name)
        if target.name.startswith("physical"):
            made = Made(self.physical, name)
            made.cluster.create(name, self._template("production"))
            self._mark(made, "production")
        elif target.name.startswith("logical"):
            self._restore(name)
        else:
            self.cluster.create(name, self._template(_template_of(target)))
            if target.counts_as == "protected":
                self._mark(made, "production")
        self._made.append(made)
        return made

    def drop(self) -> None:
        """Drop what :meth:`make` made."""
        for made in self._made:
            made.cluster.drop(made.name)
        self._made.clear()

    def stop(self) -> None:
        """Drop the templates and stop the copy of the server."""
        for name in self._templates.values():
            self.cluster.drop(name)
        if self._physical is not None:
            self._physical.stop()

    @property
    def physical(self) -> Cluster:
        """A physical copy of the whole server, on a port of its own."""
        if self._physical is None:
            self._template("production")
            self._physical = self.cluster.copy()
        return self._physical

    def original(self) -> str:
        """Return the name of the protected database that the copies are copies of."""
        return self._template("production")

    def _template(self, kind: str) -> str:
        if kind == "empty":
            return "template0"
        if kind not in self._templates:
            name = f"of_{kind}_{uuid.uuid4().hex[:6]}"
            self.cluster.create(name)
            with self.cluster.connect(name) as c:
                c.execute(_AT_A2)
            self._templates[kind] = name
            if kind != "plain":
                self._mark(Made(self.cluster, name), kind)
        return self._templates[kind]

    def _mark(self, made: Made, environment: str) -> None:
        with made.connect() as c, c.transaction():
            journal_tables.make_or_upgrade(c, JOURNALS, tool="test")
            mark(c, JOURNALS, environment=environment, protected=environment == "production")

    def _restore(self, name: str) -> None:
        where = self.cluster.where
        self.cluster.create(name)
        dump = self.cluster.folder / f"{name}.dump"
        self.cluster.run("pg_dump", *where, "-Fc", "-f", str(dump), self._template("production"))
        self.cluster.run("pg_restore", *where, "-d", name, str(dump))
        dump.unlink()


def _template_of(target: Target) -> str:
    if not target.has_rows:
        return "empty"
    if target.name.startswith("TEMPLATE"):
        return "development" if target.counts_as == "development" else "production"
    return "production" if target.counts_as == "protected" else "plain"


def system_identifier(cluster: Cluster) -> str:
    """Return the number that physical copies share."""
    with cluster.connect() as c:
        return str(c.execute("SELECT system_identifier FROM pg_control_system()").fetchone()[0])
