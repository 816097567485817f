"""Which pushes has a database had that no revision file knows of?"""

# After a push the database equals the models, so autogenerate finds nothing and `alembic check` says that all is well,
# though the files lack every pushed change. Only the journal can tell.
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.environment import MARKED
from alembic_safe.database.envpy import KEY
from alembic_safe.database.statements import run
from alembic_safe.errors import Findings, NextStep
from alembic_safe.settings import Settings

if TYPE_CHECKING:
    from datetime import datetime

    from alembic.autogenerate.api import AutogenContext

    from alembic_safe.database.environment import Journals
    from alembic_safe.database.journal_pushes import FillAnswer, RenameAnswer
    from alembic_safe.inspecting.target import Target

_LAST_STAMP = "SELECT max(at) AS it FROM {table} WHERE version_table = :version_table AND direction = 'stamp'"


@dataclass(frozen=True)
class Unrecorded:
    """What was pushed since the last stamp.

    :param pushes: how many pushes.
    :param last: when the last one was.
    :param renames: what people answered about renames, the oldest first.
    :param fills: what they said that rows without a value hold, the oldest first.
    :param accepted: what they accepted by name, such as ``cast:users.nick``.
    """

    pushes: int = 0
    last: datetime | None = None
    renames: tuple[RenameAnswer, ...] = ()
    fills: tuple[FillAnswer, ...] = ()
    accepted: frozenset[str] = frozenset()


def unrecorded(connection: Any, target: Target) -> Unrecorded:
    """Read what no file knows of; nothing where there is no journal, or one that does not know pushes."""
    from alembic_safe.database.journal_pushes import fill_answers, has_pushes, pushes, rename_answers

    journals = target.journals
    if journals is None or not has_pushes(connection, journals):
        return Unrecorded()
    since = _last_stamp(connection, journals, target.version_table)
    every = pushes(connection, journals, target.version_table, unrecorded=True)
    found = [push for push in every if since is None or push.at > since]
    return Unrecorded(
        len(found),
        found[-1].at if found else None,
        rename_answers(connection, journals, target.version_table, unrecorded=True),
        fill_answers(connection, journals, target.version_table, unrecorded=True),
        frozenset(name for push in every for name in push.accepted),
    )


def _last_stamp(connection: Any, journals: Journals, version_table: str) -> datetime | None:
    rows = run(connection, _LAST_STAMP.format(table=journals.table("revisions")), {"version_table": version_table})
    found: datetime | None = rows[0]["it"]
    return found


def stop_on_pushes(autogen_context: AutogenContext) -> None:
    """Stop ``alembic revision --autogenerate`` and ``alembic check`` where their answer would be a false one.

    Comparisons of our own, and those of programs that call ``compare_metadata()``, pass.

    :raises Findings: naming ``milestone``; before a file is written.
    """
    context, connection = autogen_context.migration_context, autogen_context.connection
    if connection is None or connection.dialect.name != "postgresql":
        return
    # only Alembic's own commands hand over the revision that they are making
    if KEY in context.opts or "revision_context" not in context.opts or not run(connection, MARKED)[0]["it"]:
        return
    from alembic_safe.inspecting.target import look_at

    target = look_at(context, Settings.load(context.config))
    found = unrecorded(connection, target)
    if found.pushes:
        raise pushed(target, found)


def pushed(target: Target, found: Unrecorded) -> Findings:
    """Return what is said of a database that has changes which no revision file has."""
    place = target.identity.place
    times = "once" if found.pushes == 1 else f"{found.pushes} times"
    assert found.last is not None  # noqa: S101 - there is a push
    return Findings(
        f"{place.shown} was pushed to {times} since its last stamp (last on {found.last.astimezone():%Y-%m-%d %H:%M}),"
        " and no revision file has these changes yet.",
        detail=["Compared with this database they cannot be seen: it has them already."],
        next_steps=[NextStep("make the revision that has them", 'alembic milestone -m "..."')],
    )
