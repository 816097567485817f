"""A change of the models is deployed while two versions of the application write; every client knows what must be there."""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from psycopg import sql

import alembic_safe
from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.catalog import read_catalog
from tests.application_cases import WHATEVER, App, Traffic
from tests.deploys import end_of, start
from tests.models_project import ENV_WITH_REWRITER, ModelsProject
from tests.recipe_cases import assert_same

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster import Cluster

OWN = 20
"""Rows that a client has for itself."""
CLIENTS = 2
"""Clients of each application."""
UNDER_TRAFFIC = 8.0
"""Seconds for which a downgrade is tried while the applications write."""
PAUSE = 0.004
"""Seconds between two writes of a client: the load is bounded."""
_SAYING = ("merged_from", "moved_from", "renamed_from", "split_from")
_COMPARES = (
    "include_schemas=True, compare_server_default=True,"
    ' include_name=lambda name, type_, _: not str(name).startswith("part_")'
)
_SWAPPED = ("cached plan must not change result type", "but expression is of type", "cache lookup failed for type")


def beside_values(*names: str) -> sql.Identifier:
    """Return a name for a statement with values, where psycopg takes a percent sign for one."""
    return sql.Identifier(*(name.replace("%", "%%") for name in names))


class Client(threading.Thread):
    """A client of one version of the application, on one connection with prepared statements."""

    def __init__(self, story: Story, app: App, number: int) -> None:
        super().__init__(daemon=True)
        self.story = story
        self.app = app
        self.chance = random.Random(f"{story.seed} {number}")
        self.ids = range(story.rows + 1 + number * OWN, story.rows + 1 + (number + 1) * OWN)
        self.connection = story.cluster.connect(story.database, prepare_threshold=0)
        self.ending = threading.Event()
        self.errors: list[str] = []
        self.swapped = 0
        self.writes = 0
        self.longest = 0.0
        table, key = beside_values(*app.place), beside_values(app.key)
        names = [beside_values(column.name) for column in app.columns]
        listed, signs = sql.SQL(", ").join(names), sql.SQL(", ").join([sql.SQL("%s")] * (len(names) + 1))
        self.insert = sql.SQL("INSERT INTO {} ({}, {}) VALUES ({})").format(table, key, listed, signs)
        both = [sql.SQL("{0} = excluded.{0}").format(name) for name in names]
        self.upsert = sql.SQL("{} ON CONFLICT ({}) DO UPDATE SET {}").format(self.insert, key, sql.SQL(", ").join(both))
        self.update = sql.SQL("UPDATE {} SET ({}) = ROW({}) WHERE {} = %s").format(
            table, listed, sql.SQL(", ").join([sql.SQL("%s")] * len(names)), key
        )
        self.delete = sql.SQL("DELETE FROM {} WHERE {} = %s").format(table, key)
        every = sql.SQL(", ").join([sql.Identifier(name) for name in (app.key, *(one.name for one in app.columns))])
        self.copy = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(*app.place), every)
        self.select = sql.SQL("SELECT {} FROM {} WHERE {} = %s").format(listed, table, key)

    def run(self) -> None:
        """Write and read back until told to end; an error ends it, too."""
        while not self.ending.is_set():
            if self.story.is_still:
                time.sleep(PAUSE)
                continue
            try:
                self._turn()
            except psycopg.Error as error:
                # no label is ever taken out of an enum: the way back from one that came makes the type anew
                if (self.story.case.swaps or self.story.backs) and any(words in str(error) for words in _SWAPPED):
                    self.swapped += 1
                    self.connection.execute("ROLLBACK")  # what SQLAlchemy sends, too; the driver then prepares anew
                    continue
                self.errors.append(f"{self.app.table} {[c.name for c in self.app.columns]}: {error}")
                return
            except AssertionError as error:
                self.errors.append(str(error))
                return
            time.sleep(PAUSE)

    def end(self) -> None:
        """Let it come to an end."""
        self.ending.set()
        self.join(60)
        self.connection.close()

    def _turn(self) -> None:
        id_ = self.chance.choice(self.ids)
        meaning = dict(self.story.meaning[self.app.means, id_])
        said = f"{id_}-{self.writes}"
        for column in self.app.columns:
            meaning[column.means] = column.make(self.chance, said)
        began = time.monotonic()
        anew = self._write(id_, [column.write(meaning[column.means]) for column in self.app.columns])
        if anew:
            meaning |= {key: value for key, value in self.story.absent().items() if key not in self._means}
        self.story.meaning[self.app.means, id_] = meaning
        self.longest = max(self.longest, time.monotonic() - began)
        self.writes += 1
        self.story.require(self.connection.execute(self.select, [id_]).fetchone(), self.app, id_)

    @property
    def _means(self) -> set[str]:
        return {column.means for column in self.app.columns}

    def _write(self, id_: int, values: list[Any]) -> bool:
        """Write a row in one of the ways that there are.

        :return: whether the row was made anew, without what this application does not know.
        """
        way = self.chance.randrange(0 if self.app.replaces else 2, 5)
        if way == 0:
            with self.connection.transaction():
                self.connection.execute(self.delete, [id_])
                self.connection.execute(self.insert, [id_, *values])
        elif way == 1:
            with self.connection.transaction():
                self.connection.execute(self.delete, [id_])
                with self.connection.cursor().copy(self.copy) as copy:
                    copy.write_row([id_, *values])
        elif way == 2:
            self.connection.execute(self.upsert, [id_, *values])
        else:
            self.connection.execute(self.update, [*values, id_])
        return way < 2


@dataclass
class Phase:
    """What the clients saw in one phase of a change.

    :param longest: seconds of the slowest write.
    :param swapped: statements that failed since a column changed its type under its name.
    """

    name: str
    seconds: float
    writes: int
    longest: float
    errors: list[str]
    swapped: int = 0


@dataclass
class Story:
    """One change from the first model to the last row.

    :param rows: how many there are besides the clients' own.
    :param kills: how often each deploy is ended by SIGKILL before it may run through.
    :param backs: whether each phase is taken back, and deployed again; the new application then writes but once.
    """

    case: Traffic
    cluster: Cluster
    database: str
    folder: Path
    rows: int
    seed: int = 0
    kills: int = 0
    backs: bool = False
    accept: tuple[str, ...] = ()
    meaning: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    phases: list[Phase] = field(default_factory=list)
    killed: int = 0
    contracted: bool = False
    is_back: bool = False
    is_still: bool = False

    def tell(self) -> list[Phase]:
        """Deploy the change phase by phase, both applications running where both may.

        :return: what each phase was like; every row is as its client left it.
        """
        self._begin()
        old = self._start(self.case.old, 0)
        self._revise()
        expand, last = self._ids()
        with self._phase("expand" if expand else "ordinary", old):
            self._deploy("v1", expand or last)
        self._back_and_forth(old, expand or last)
        if expand and last != expand:
            with self._phase("copy", old):
                self._deploy("v1", last)
            self._back_and_forth(old, last)
        both = [*old, *self._start(self.case.new, CLIENTS)]
        with self._phase("both", both):
            time.sleep(1)
        self._end(both)
        self._all_rows(self.case.old, self.case.new)
        self._back_and_forth([], last)
        new = [] if self.backs else self._start(self.case.new, CLIENTS)
        if list((self.folder / "migrations" / "contracts").glob("*.py")):
            self.project.run("safe-contract", check=0)
            with self._phase("contract", new):
                self._deploy("v2", "head")
        self.contracted = True
        with self._phase("new", new):
            time.sleep(0.3)
        self._end(new)
        if not self.backs:
            self._all_rows(self.case.new)
        return self.phases

    def go_back(self) -> None:
        """Downgrade to where the change began; the old application finds what both have written."""
        if not self.is_back:
            ini = self.folder / "alembic.ini"
            ini.write_text(ini.read_text().replace("environment = production", "environment = development"))
            self.project.run("safe-guard", "set", "development", "--confirm", self.database, check=0)
        # alembic's own command waits for locks for ever: what any DDL beside a live application needs is told to the server
        began = time.monotonic()
        while (done := self.project.run("downgrade", self.first, PGOPTIONS="-c lock_timeout=300ms")).returncode:
            assert "lock timeout" in done.stderr, f"{done.stdout}\n{done.stderr}"
            # one transaction over several tables: who writes them in another order has to stop for it
            self.is_still = time.monotonic() > began + UNDER_TRAFFIC
            assert time.monotonic() < began + 120, done.stderr
        self.is_still = False
        self.is_back = True

    def _back_and_forth(self, clients: list[Client], revision: str) -> None:
        """Take back what there is of the change, the old application running; it then finds its rows; and deploy it again."""
        if not self.backs:
            return
        with self._phase("back", clients):
            self.go_back()
            if not clients:
                self._all_rows(self.case.old)
            self._deploy("v1", revision)

    def require_rows(self, app: App) -> None:
        """Hold that an application finds every row as it was left."""
        self._all_rows(app)

    def require_catalog(self, database: str) -> None:
        """Hold that the database is what ``create_all()`` makes of the models.

        :param database: an empty one.
        """
        metadata = sa.MetaData()
        models = {"sa": sa, "metadata": metadata, **{name: getattr(alembic_safe, name) for name in _SAYING}}
        exec(self.case.after, models)
        engine = sa.create_engine(self.cluster.url(database), poolclass=sa.NullPool)
        with self.cluster.connect(database) as c:
            c.execute(self._schema or "SELECT")  # type: ignore[arg-type]
            metadata.create_all(engine)
            c.execute(self.case.unsaid or "SELECT")  # type: ignore[arg-type]
        found = sa.create_engine(self.cluster.url(self.database), poolclass=sa.NullPool)
        with engine.connect() as wanted, found.connect() as made:
            assert_same(
                read_catalog(wanted),
                read_catalog(made, leave_out=frozenset({"alembic_version"})),
                "the end of the change",
            )

    def absent(self) -> dict[str, Any]:
        """Return what a row means that is made by an application that does not know everything."""
        gone = {self.case.dropped: WHATEVER} if self.case.dropped and self.contracted else {}
        return {**self.case.absent, **gone}

    def require(self, found: tuple[Any, ...] | None, app: App, id_: int) -> None:
        """Hold that a row is as its client left it."""
        assert found is not None, f"{app.table} {id_} is not there"
        meaning = self.meaning[app.means, id_]
        for column, value in zip(app.columns, found, strict=True):
            wanted = meaning[column.means]
            was, becomes = self.case.becomes.get(column.means, (WHATEVER, WHATEVER))
            right = [column.write(wanted)]
            if wanted == was:
                right = [becomes] if self.contracted and not self.is_back else [was, becomes]
            assert wanted is WHATEVER or value in right, f"{app.table} {id_}: {column.name} is {value!r}, not {right!r}"

    def _begin(self) -> None:
        self.project = ModelsProject.make(
            self.folder, self.cluster.url(self.database), "", settings="environment = production\ncontract_min_age = 0",
            env_py=ENV_WITH_REWRITER.replace("alembic_safe.rewriter", f"alembic_safe.rewriter, {_COMPARES}"),
        )  # fmt: skip
        self._models(self.case.before, "first")
        if self._schema:
            path = self.project.files[0]
            made = f"def upgrade() -> None:\n    op.execute({self._schema!r})\n"
            path.write_text(path.read_text().replace("def upgrade() -> None:\n", made))
        self._deploy("v0", "head")
        self.first = self.project.revision_of(self.project.files[0])
        with self.cluster.connect(self.database) as c:
            c.execute(self.case.unsaid or "SELECT")  # type: ignore[arg-type]
            for statement in self.case.seed.split("; "):
                c.execute(statement.replace("ROWS", str(self.rows)))  # type: ignore[arg-type]
            c.execute("ANALYZE")

    @property
    def _schema(self) -> str:
        """SQL that makes the schema, where the tables have one of their own."""
        schema = self.case.old.schema
        return f"CREATE SCHEMA {quoted(schema)}" if schema else ""

    def _models(self, models: str, message: str, *command: str) -> None:
        self.project.models(models, imports=f"from alembic_safe import {', '.join(_SAYING)}")
        self.project.run(*(command or ("revision", "--autogenerate")), "-m", message, check=0)

    def _revise(self) -> None:
        self._models(self.case.after, "second", *self.case.seen_by)

    def _ids(self) -> tuple[str, str]:
        """Return the expand's id, if there is one, and the last revision's."""
        files = self.project.files_by_time[1:]
        expand = [self.project.revision_of(path) for path in files if "phase = 'expand'" in path.read_text()]
        return "".join(expand), self.project.revision_of(files[-1])

    def _deploy(self, release: str, revision: str) -> None:
        args = (
            revision,
            "--release",
            release,
            "--no-backup",
            "--confirm",
            self.database,
            "--drift",
            "warn",
            *self.accept,
        )
        chance = random.Random(f"{self.seed} {release} {revision}")
        for _ in range(self.kills):
            process = start(self.project, *args)
            time.sleep(chance.uniform(0.2, 2.0))
            self.killed += process.poll() is None
            process.kill()
            end_of(process)
        deadline = time.monotonic() + 120
        while (ended := end_of(start(self.project, *args), timeout=900)).code == 5:
            assert time.monotonic() < deadline, ended.text
        assert ended.code == 0, f"{ended.out}\n{ended.err}"

    def _start(self, app: App, number: int) -> list[Client]:
        clients = [Client(self, app, number + n) for n in range(CLIENTS)]
        self._own_rows(app, clients)
        for client in clients:
            client.start()
        return clients

    def _own_rows(self, app: App, clients: list[Client]) -> None:
        """Give each client its rows; the first application makes those of the next one, too."""
        ids = {id_ for client in clients for id_ in client.ids}
        if app is self.case.old and self.case.new.means == app.means:
            ids |= {id_ + CLIENTS * OWN for id_ in ids}
        for id_ in sorted(ids - {id_ for rows, id_ in self.meaning if rows == app.means}):
            values = [column.make(clients[0].chance, f"{id_}-first") for column in app.columns]
            written = [column.write(value) for column, value in zip(app.columns, values, strict=True)]
            clients[0].connection.execute(clients[0].insert, [id_, *written])
            if app.beside:
                clients[0].connection.execute(app.beside, [id_])
            means = {column.means: value for column, value in zip(app.columns, values, strict=True)}
            self.meaning[app.means, id_] = {**self.absent(), **means}

    @contextmanager
    def _phase(self, name: str, clients: list[Client]) -> Iterator[None]:
        before = sum(client.writes for client in clients)
        for client in clients:
            client.longest, client.swapped = 0.0, 0
        began = time.monotonic()
        yield
        seconds, errors = time.monotonic() - began, [error for client in clients for error in client.errors]
        writes, swapped = (sum(getattr(client, of) for client in clients) for of in ("writes", "swapped"))
        longest = max((client.longest for client in clients), default=0.0)
        self.phases.append(Phase(name, seconds, writes - before, longest, errors, swapped))

    def _end(self, clients: list[Client]) -> None:
        for client in clients:
            client.end()
        errors = [error for client in clients for error in client.errors]
        assert errors == [], errors

    def _all_rows(self, *apps: App) -> None:
        """Hold that every row of every client is as it left it, in the eyes of these applications."""
        with self.cluster.connect(self.database) as c:
            for app in apps:
                names = sql.SQL(", ").join([beside_values(column.name) for column in app.columns])
                key, table = beside_values(app.key), beside_values(*app.place)
                query = sql.SQL("SELECT {}, {} FROM {} WHERE {} > %s").format(key, names, table, key)
                found = {row[0]: row[1:] for row in c.execute(query, [self.rows]).fetchall()}
                own = {id_ for rows, id_ in self.meaning if rows == app.means}
                assert found.keys() == own
                for id_ in own:
                    self.require(found[id_], app, id_)
                (count,) = c.execute(
                    sql.SQL("SELECT count(*) FROM {} WHERE {} <= %s").format(table, key), [self.rows]
                ).fetchone() or (0,)
                assert count == self.rows
