"""Which of the objects that only the database has did the history make?"""

# What neither an earlier push nor a revision made, somebody made by hand, or another tool: it is kept, and listed.
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from alembic_safe.authoring.push_request import Noted
from alembic_safe.database.replay_cache import open_replayed
from alembic_safe.database.shadow_wish import ShadowWish
from alembic_safe.errors import Missing, ReplayFailed
from alembic_safe.inspecting.catalog import read_catalog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alembic_safe.authoring.push import Side
    from alembic_safe.authoring.push_request import Request, Tell
    from alembic_safe.settings import Settings


def with_known(
    config: Config, script: ScriptDirectory, sides: Sequence[Side], settings: Settings, request: Request, tell: Tell
) -> list[Side]:
    """Return the sides with what a replay of the history makes; replayed only where something asks for it."""
    asks = [side for side in sides if side.extra and side.target.heads]
    if not asks or request.drop_unknown:
        return [replace(side, known=side.extra) if request.drop_unknown else side for side in sides]
    first = asks[0]
    protected = any(side.target.identity.protected for side in sides)
    wish = ShadowWish(
        first.target.endpoint, first.ground.needs, settings, protected=protected, dry_run=request.dry_run,
        tell=lambda note: tell(Noted("Shadow", note.text)),
    )  # fmt: skip
    try:
        with open_replayed(config, script, wish, reads_only=True) as (shadow, replayed):
            found: list[Side] = []
            for side, context in zip(sides, replayed.contexts, strict=True):
                endpoint = next(one for one in shadow.databases.values() if one.database == context.database)
                with endpoint.connect() as connection:
                    made = read_catalog(connection)
                found.append(replace(side, known=side.extra & frozenset(made.objects)))
            return found
    except (Missing, ReplayFailed) as error:
        tell(Noted("Unknown", f"what the history made could not be found out, so nothing of it goes: {error.summary}"))
        return list(sides)
