"""Whether these very revision files have been replayed before, and how the result of that is had again."""

# A replayed shadow is kept as a template: copying it takes a fraction of a replay, and who only reads needs no copy.
from __future__ import annotations

import json
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg

from alembic_safe.database.replay import Replayed, ReplayedContext, replay
from alembic_safe.database.replay_key import key_of
from alembic_safe.database.shadow_tag import Tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.database.shadow_wish import ShadowWish

TEMPLATE = "alembic_safe_template_"
"""How the name of a kept shadow begins; nothing is concluded from a name."""


@contextmanager
def open_replayed(
    config: Config, script: ScriptDirectory, wish: ShadowWish, *, to: str = "heads", reads_only: bool = False
) -> Iterator[tuple[Shadow, Replayed]]:
    """Make a shadow on which the revision files have been run: a copy of an earlier replay where there is one.

    :param to: as :func:`alembic_safe.database.replay.replay` has it; the errors are those of it, too.
    :param reads_only: the caller writes nothing to it, and is soon done: then it is the kept one itself.
    :raises Missing: when there is no server for a shadow.
    """
    with wish.open() as shadow:
        if wish.settings.shadow_cache < 1:
            yield shadow, replay(config, script, shadow, to=to, on_step=wish.on_step)
            return
        began = time.monotonic()
        key = key_of(config, script, shadow, to, wish.contexts)
        keeping = _Keeping(shadow, key, wish.settings.shadow_cache)
        # two runs that need the same replay: the second waits, and takes what the first has made
        if reads_only:
            with shadow.server.building(key), keeping.lent(began) as found:
                replayed = found or replay(config, script, shadow, to=to, on_step=wish.on_step)
                yield shadow, replayed
                if found is None:
                    keeping.keep(replayed, copies=False)
            return
        with shadow.server.building(key):
            copied = keeping.copied(began)
            replayed = copied or replay(config, script, shadow, to=to, on_step=wish.on_step)
            if copied is None:
                keeping.keep(replayed, copies=True)
        yield shadow, replayed


@dataclass(frozen=True)
class _Kept:
    """An earlier replay of the same files.

    :param names: the kept databases, by the place they stand for.
    :param contexts: what was replayed in them.
    """

    names: Mapping[str, str]
    contexts: tuple[ReplayedContext, ...]

    def as_replayed(self, databases: Mapping[str, str], began: float) -> Replayed:
        """Say what a replay on these databases would have said."""
        contexts = tuple(replace(context, database=databases[context.place]) for context in self.contexts)
        return Replayed(contexts, time.monotonic() - began, copied=True)


@dataclass(frozen=True)
class _Keeping:
    """The kept replays of one key, on the server of a shadow."""

    shadow: Shadow
    key: str
    limit: int

    def copied(self, began: float) -> Replayed | None:
        """Put copies of the kept databases in the place of the shadow's empty one; ``None`` where none are kept."""
        kept = self._kept()
        if kept is None:
            return None
        try:
            copies = {place: self.shadow.server.create(template=name) for place, name in kept.names.items()}
        except psycopg.Error:  # somebody has pruned it meanwhile
            return None
        self.shadow.adopt(copies)
        return kept.as_replayed(copies, began)

    @contextmanager
    def lent(self, began: float) -> Iterator[Replayed | None]:
        """Put the kept databases themselves there while this lasts; ``None`` where none are kept."""
        kept = self._kept()
        with ExitStack() as opened:
            try:
                for name in kept.names.values() if kept is not None else ():
                    opened.enter_context(self.shadow.server.opened(name))
            except psycopg.Error:
                kept = None
            if kept is not None:
                self.shadow.adopt(kept.names)
            yield None if kept is None else kept.as_replayed(kept.names, began)

    def keep(self, replayed: Replayed, *, copies: bool) -> None:
        """Keep each replayed database as a template; a server that does not let us is no failure.

        :param copies: whether somebody goes on with the databases: then a copy of each is kept, and not they themselves.
        """
        server = self.shadow.server
        contexts = [asdict(context) for context in replayed.contexts]
        try:
            for number, (place, endpoint) in enumerate(self.shadow.databases.items()):
                facts = json.dumps({"place": place, "contexts": contexts})
                name = server.create(template=endpoint.database) if copies else endpoint.database
                server.keep_as_template(name, f"{TEMPLATE}{self.key}_{number}", Tag.now("template", self.key, facts))
            server.prune(templates_kept=max(self.limit, len(self.shadow.databases)))
        except psycopg.Error:
            return

    def _kept(self) -> _Kept | None:
        found = [
            one for one in self.shadow.server.leftovers() if one.tag.kind == "template" and one.tag.key == self.key
        ]
        if not found:
            return None
        facts: dict[str, Any] = json.loads(found[0].tag.facts)
        names = {json.loads(one.tag.facts)["place"]: one.name for one in found}
        contexts = tuple(ReplayedContext(**{**said, "heads": tuple(said["heads"])}) for said in facts["contexts"])
        # the first that was replayed is a shadow's first
        places = dict.fromkeys(context.place for context in contexts)
        return _Kept({place: names[place] for place in places}, contexts) if set(names) == set(places) else None
