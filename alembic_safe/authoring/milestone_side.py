"""What does a milestone find in the development database, and may it be made there?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.authoring.left_out import left_out
from alembic_safe.authoring.stamping import guard, require_writable
from alembic_safe.database.envpy import run_env
from alembic_safe.database.guard import Intent
from alembic_safe.database.replay_connection import place_of
from alembic_safe.errors import NextStep, Refused, WrongUsage
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.models import models_of, tables_of
from alembic_safe.inspecting.models_catalog import Ground, ground_of
from alembic_safe.inspecting.target import look_at, version_tables
from alembic_safe.inspecting.unrecorded import Unrecorded, unrecorded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import MetaData, Table

    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId
    from alembic_safe.inspecting.target import Target
    from alembic_safe.settings import Settings

_LISTED = 5


@dataclass(frozen=True)
class Side:
    """One of the databases that ``env.py`` configures, as a milestone found it.

    :param place: which database it is, as a replay names it.
    :param models: what ``env.py`` has as ``target_metadata``.
    :param tables: those of the models.
    :param ground: what the models find there.
    :param catalog: what it is.
    :param pushed: the pushes that no revision file knows of.
    :param left_out: tables that ``env.py`` keeps from autogenerate.
    """

    target: Target
    place: str
    models: tuple[MetaData, ...]
    tables: Mapping[ObjectId, Table]
    ground: Ground
    catalog: Catalog
    pushed: Unrecorded
    left_out: frozenset[ObjectId] = frozenset()

    @property
    def shown(self) -> str:
        """The database, as messages name it."""
        return self.target.identity.place.database


def look(config: Config, script: ScriptDirectory, settings: Settings, *, stamps: bool) -> tuple[Side, ...]:
    """Look at every database that ``env.py`` configures; reads only.

    :param stamps: whether they are to be stamped afterwards.
    :raises Refused: when they may not be.
    :raises WrongUsage: when ``env.py`` has no models.
    """
    found: list[Side] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        target = look_at(context, settings)
        if stamps:
            guard(Intent.MILESTONE, context, target)
            require_writable(target)
        connection: Any = context.connection
        models, catalog = _models(context), read_catalog(connection, leave_out=version_tables(target, context))
        ground = ground_of(connection)
        tables = tables_of(models, ground.default_schema)
        found.append(
            Side(
                target, place_of(connection), models, tables, ground, catalog, unrecorded(connection, target),
                left_out(context, tables, catalog),
            )
        )  # fmt: skip

    run_env(config, script, work)
    return tuple(found)


def _models(context: MigrationContext) -> tuple[MetaData, ...]:
    if context.opts.get("target_metadata") is None:
        raise WrongUsage(
            "env.py gives Alembic no models: target_metadata is None, so there is nothing to make revisions from.",
            detail=["In env.py:  target_metadata = Base.metadata"],
            next_steps=[NextStep("write a revision by hand", 'alembic revision -m "..."')],
        )
    return models_of(context)


def require_files_head(script: ScriptDirectory, side: Side) -> None:
    """Stop where the database and the files do not stand at the same revision; nothing has been written yet.

    :raises Refused: with the way on.
    """
    here, files = set(side.target.heads), set(script.get_heads())
    if here == files:
        return
    known = {revision.revision for revision in script.walk_revisions()}
    strangers = sorted(here - known)
    if strangers:
        raise Refused(
            f"{side.shown} is at {', '.join(strangers)}, which no revision file here has: it stands on another branch,"
            " or the file is missing.",
            next_steps=[
                NextStep(
                    "take the branch that has it, or leave its revision", f"alembic dev-push --leave {strangers[0]}"
                ),
                NextStep("see where the database stands", "alembic safe-status"),
            ],
        )
    applied = {revision.revision for revision in script.iterate_revisions(tuple(here), "base", implicit_base=True)}
    pending = [revision for revision in script.walk_revisions() if revision.revision not in applied]
    pending.reverse()
    pushed = ["", "Its pushes stay as they are; the revisions come on top of them."][bool(side.pushed.pushes)]
    raise Refused(
        f"{side.shown} is at {', '.join(sorted(here)) or 'no revision'}, and the files go on to"
        f" {', '.join(sorted(files))}: {len(pending)} pending. A milestone begins where the files end.",
        detail=[
            *(f"{revision.revision}  {revision.doc}" for revision in pending[:_LISTED]),
            *([f"and {len(pending) - _LISTED} more"] if len(pending) > _LISTED else []),
            *([pushed] if pushed else []),
        ],
        next_steps=[
            NextStep("apply them", "alembic upgrade head"),
            NextStep("bring the database to the models again", "alembic dev-push"),
            NextStep("then", 'alembic milestone -m "..."'),
        ],
    )
