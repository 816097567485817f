"""What does one side of a safe-diff look like?"""

# Nothing here can write to a database of anybody's: the project's own is opened in a read-only transaction, a URL's in a
# read-only session, and everything else is made on a shadow.
from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import make_url

from alembic_safe.authoring.dump_file import load_dump
from alembic_safe.authoring.left_out import left_out
from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.envpy import run_env
from alembic_safe.database.replay_connection import place_of
from alembic_safe.database.replay_key import configured
from alembic_safe.database.shadow_wish import ShadowWish
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import Missing, NextStep, WrongUsage
from alembic_safe.inspecting.catalog import PUBLIC, PUBLIC_AS_INSTALLED, read_catalog
from alembic_safe.inspecting.catalog_records import Catalog, ObjectId
from alembic_safe.inspecting.expected import catalogs_at
from alembic_safe.inspecting.models import models_of, tables_of
from alembic_safe.inspecting.models_catalog import Ground, ground_of, models_catalog
from alembic_safe.inspecting.target import Target, look_at, version_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import MetaData

    from alembic_safe.authoring.diff_words import Side
    from alembic_safe.database.shadow import ShadowNote
    from alembic_safe.settings import Settings

_MOST_COUNTED = 1_000_000
"""Rows that are counted one by one; of more the server's own estimate is told."""


@dataclass(frozen=True)
class Seen:
    """One side, looked at.

    :param name: what it is in words.
    :param role: for what was made on a shadow: the role that owns it there.
    :param live: how its rows are counted; ``None`` where there are none to count.
    :param knows_rights: whether owners and rights are part of it.
    """

    side: Side
    name: str
    catalog: Catalog
    role: str = ""
    live: Callable[[Iterable[tuple[str, str]]], Mapping[tuple[str, str], int]] | None = None
    knows_rights: bool = True


@dataclass(frozen=True)
class Project:
    """One database of the project, looked at in a read-only transaction.

    :param place: see :func:`alembic_safe.database.replay_connection.place_of`.
    :param models: what ``env.py`` hands to Alembic, as a sequence.
    :param leave_out: its version tables and what is ours.
    :param ignored: which tables of the models and of a catalog ``env.py`` keeps from autogenerate.
    :param contexts: see :func:`alembic_safe.database.replay_key.configured`.
    """

    place: str
    target: Target
    ground: Ground
    models: tuple[MetaData, ...]
    leave_out: frozenset[str]
    ignored: Callable[[Catalog], frozenset[ObjectId]]
    contexts: tuple[tuple[Any, ...], ...]

    def wish(self, settings: Settings, tell: Callable[[ShadowNote], None] | None) -> ShadowWish:
        """Return what a shadow for it is made like.

        :param tell: hears what a person should know of the shadow.
        """
        return ShadowWish(
            self.target.endpoint, self.ground.needs, settings, protected=self.target.identity.protected, tell=tell,
            contexts=self.contexts,
        )  # fmt: skip


def read_project(config: Config, script: ScriptDirectory, settings: Settings) -> Project:
    """Look at the project's database, without its catalog; nothing is written.

    :raises WrongUsage: where ``env.py`` configures several databases.
    """
    found: list[Project] = []
    schemas: list[str] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        connection: Any = context.connection
        run(connection, "SET TRANSACTION READ ONLY")
        schemas.append(str(run(connection, "SELECT current_schema() AS it")[0]["it"]))
        target = look_at(context, settings)
        leave_out = version_tables(target, context)
        models = models_of(context)
        tables = tables_of(models, context.dialect.default_schema_name or "public")
        found.append(
            Project(
                place_of(connection), target, ground_of(connection), models, leave_out,
                functools.partial(left_out, context, tables), (configured(context, kw),),
            )
        )  # fmt: skip
        connection.rollback()

    run_env(config, script, work)
    if len({project.place for project in found}) > 1:
        raise WrongUsage(
            f"env.py configures {len(found)} databases; safe-diff compares one.",
            next_steps=[
                NextStep("give it by its URL", "alembic safe-diff --from postgresql://USER@HOST/DATABASE --to head")
            ],
        )
    if len(set(schemas)) > 1:
        raise WrongUsage(
            f"env.py configures this database {len(found)} times, for the schemas {', '.join(schemas)}; safe-diff compares"
            " one.",
            next_steps=[NextStep("what autogenerate sees in each of them", "alembic check")],
        )
    return _together(found)


def _together(found: Sequence[Project]) -> Project:
    """Return what several contexts say of one database: each has models, and what one of them sees is looked at."""
    first = found[0]
    models = tuple({id(one): one for project in found for one in project.models}.values())

    def ignored(catalog: Catalog) -> frozenset[ObjectId]:
        return frozenset.intersection(*(project.ignored(catalog) for project in found))

    leave_out = first.leave_out.union(*(project.leave_out for project in found))
    contexts = tuple(context for project in found for context in project.contexts)
    return replace(first, models=models, leave_out=leave_out, ignored=ignored, contexts=contexts)


class Looking:
    """Looks at sides, on shadows where they are not databases.

    :param wish: what a shadow is made like, see :meth:`Project.wish`.
    :param catalog: waits for the catalog of the project's database; ``None``: it could not be had that way.
    """

    def __init__(
        self, config: Config, script: ScriptDirectory, project: Project, wish: ShadowWish,
        catalog: Callable[[], Catalog | None],
    ) -> None:  # fmt: skip
        self.config = config
        self.script = script
        self.project = project
        self.wish = wish
        self._catalog = catalog

    def at(self, side: Side) -> Seen:
        """Look at one side.

        :raises SafeError: when it cannot be had; the message names it.
        """
        return {
            "empty": self._empty, "models": self._models, "files": self._files, "database": self._database,
            "url": self._url, "dump": self._dump,
        }[side.kind](side)  # fmt: skip

    def _empty(self, side: Side) -> Seen:
        version = self.project.target.identity.place.server_version
        return Seen(side, "an empty database", Catalog({PUBLIC: PUBLIC_AS_INSTALLED}, version))

    def _models(self, side: Side) -> Seen:
        if not self.project.models:
            raise Missing(
                "env.py hands no models to Alembic: target_metadata is not set.",
                next_steps=[NextStep("see what env.py should look like", "alembic safe-init")],
            )
        made = models_catalog(self.project.models, self.project.ground, self.wish.open)
        return Seen(side, "the models", made.catalog, knows_rights=False)

    def _files(self, side: Side) -> Seen:
        at = ", ".join(side.heads) or "base"
        for files in catalogs_at(self.config, self.script, self.wish, side.heads):
            if files.place == self.project.place:
                return Seen(side, f"the files at {at}, replayed on a shadow", files.catalog, files.role)
        raise Missing("The replay on a shadow did not reach this database.")

    def _database(self, side: Side) -> Seen:
        project = self.project
        place, at = project.target.identity.place, ", ".join(project.target.heads) or "no revision"
        catalog = self._catalog() or self._watched()
        return Seen(side, f"the database {place.shown}, at {at}", catalog, live=_counting(project.target.connect))

    def _watched(self) -> Catalog:
        """Read the database on env.py's own connection, where what it waits for is seen and said."""
        found: list[Catalog] = []

        def work(context: MigrationContext, kw: dict[str, Any]) -> None:
            del kw
            connection: Any = context.connection
            if found:
                return
            run(connection, "SET TRANSACTION READ ONLY")
            look_at(context, self.wish.settings)
            found.append(read_catalog(connection, leave_out=self.project.leave_out))
            connection.rollback()

        run_env(self.config, self.script, work)
        return found[0]

    def _url(self, side: Side) -> Seen:
        endpoint = Endpoint.from_url(make_url(side.url))

        def connect() -> Any:
            return endpoint.connect(options="-c default_transaction_read_only=on")

        with connect() as connection:
            catalog = read_catalog(connection, leave_out=self.project.leave_out)
        return Seen(side, f"the database {endpoint.shown}", catalog, live=_counting(connect))

    def _dump(self, side: Side) -> Seen:
        # never on the target's own server: what stands in the file is not ours
        wish = replace(self.wish, dry_run=True, opened=None)
        with wish.open() as shadow, shadow.endpoint.connect() as connection:
            missing = load_dump(connection, Path(side.word), self.wish.settings, shadow.server_version)
            catalog = read_catalog(connection, leave_out=self.project.leave_out)
        without = f"; owners and rights are not compared, as {', '.join(missing)} is unknown here" if missing else ""
        return Seen(side, f"the file {side.word}{without}", catalog, shadow.endpoint.user, knows_rights=not missing)


def _counting(
    connect: Callable[[], Any],
) -> Callable[[Iterable[tuple[str, str]]], Mapping[tuple[str, str], int]]:
    def count(tables: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        with connect() as connection:
            run(connection, "SET default_transaction_read_only = on")
            for schema, name in tables:
                estimate = run(
                    connection, "SELECT reltuples::bigint AS it FROM pg_class WHERE oid = to_regclass(:name)",
                    {"name": quoted(schema, name)},
                )  # fmt: skip
                if not estimate or not _may_read(connection, schema, name):
                    continue
                found[schema, name] = estimate[0]["it"]
                if estimate[0]["it"] < _MOST_COUNTED:
                    counted = run(
                        connection,
                        f"SELECT count(*) AS it FROM (SELECT FROM {quoted(schema, name)} LIMIT {_MOST_COUNTED}) counted",
                    )
                    found[schema, name] = counted[0]["it"]
        return found

    return count


def _may_read(connection: Any, schema: str, name: str) -> bool:
    rows = run(
        connection,
        "SELECT has_table_privilege(to_regclass(:name)::oid, 'SELECT') AS it",
        {"name": quoted(schema, name)},
    )
    return bool(rows[0]["it"])
