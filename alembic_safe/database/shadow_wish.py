"""For which database is a shadow wanted, and what may be done for it?"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.shadow import Shadow, open_shadow

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from alembic_safe.database.endpoint import Endpoint
    from alembic_safe.database.replay import ReplayStep
    from alembic_safe.database.shadow import ShadowNote
    from alembic_safe.database.shadow_needs import ShadowNeeds
    from alembic_safe.settings import Settings


@dataclass(frozen=True)
class ShadowWish:
    """A shadow as somebody wants it.

    :param target: the database that it stands for.
    :param protected: whether that counts as protected or undeclared.
    :param dry_run: nothing is made on the target's server, whatever the settings say.
    :param tell: hears what a person should know of the shadow.
    :param on_step: called before each revision that is replayed.
    :param opened: one that is open already, for the first who asks; the next ones get databases of their own beside it.
    :param contexts: what ``env.py`` configured when it was run before, see
        :func:`alembic_safe.database.replay_key.configured`; empty: who needs that runs it.
    """

    target: Endpoint | None
    needs: ShadowNeeds
    settings: Settings
    protected: bool = True
    dry_run: bool = False
    tell: Callable[[ShadowNote], None] | None = None
    on_step: Callable[[ReplayStep], None] | None = None
    opened: Shadow | None = None
    contexts: tuple[tuple[Any, ...], ...] = ()

    def open(self) -> AbstractContextManager[Shadow]:
        """Make it, or take the one that is open; see :func:`alembic_safe.database.shadow.open_shadow`."""
        if self.opened is not None:
            return nullcontext(self.opened if self.opened.untouched else self.opened.beside())
        return open_shadow(
            self.target, self.settings, needs=self.needs, protected=self.protected, dry_run=self.dry_run, tell=self.tell
        )
