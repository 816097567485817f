"""Are databases on the way, with rows in them, led on by the archive as by the files?"""

# From one chosen revision to the next, and from the last one to the end. A database that went from one of them to the end
# each time would run most revisions as often as there are chosen ones, and tell no more: that the archive leads on
# through the same files to the end is looked up for each, and every file runs on both sides, over rows.
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.database.replay import replay
from alembic_safe.database.squash_map import SquashedMap
from alembic_safe.database.squashed import file_hash
from alembic_safe.errors import ReplayFailed
from alembic_safe.history.chain import State, state_of
from alembic_safe.history.generated_rows import fill
from alembic_safe.history.proof import NotEqual, differing_columns, require_equal, said_of
from alembic_safe.history.rows import differences

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from alembic.script import ScriptDirectory

    from alembic_safe.database.replay import Replayed
    from alembic_safe.database.shadow import Shadow
    from alembic_safe.history.proof import Sides


@dataclass(frozen=True)
class Through:
    """A database on the way, led on by the originals before and after.

    :param revision: where it stood.
    :param rows: how many rows were put into it there.
    :param stopped: why the originals do not lead a database with such rows on; the same on both sides.
    """

    revision: str
    rows: int
    stopped: str = ""


def prove_through(
    sides: Sides, steps: Sequence[str], points: Collection[str], on_point: Callable[[str], None]
) -> list[Through]:
    """Lead databases that stand at some revisions, with rows in them, on to the end: by the files, and by the archive.

    :param steps: the revisions in the order in which they run.
    :param points: at which of them.
    :raises NotEqual: when the two ways lead to different databases.
    """
    places = [n for n, revision in enumerate(steps, 1) if revision in points]
    walk = _Walk(sides, steps)
    found = []
    for n, to in zip(places, [*places[1:], len(steps)], strict=True):
        on_point(steps[n - 1])
        found.append(walk.led_on(n, to))
    walk.dismiss()
    return found


@dataclass(frozen=True)
class _Standing:
    """A database on the way."""

    shadow: Shadow
    state: State


class _Walk:
    """The way from the first of the revisions to the end, on which a database with rows goes from point to point."""

    def __init__(self, sides: Sides, steps: Sequence[str]) -> None:
        self.sides = sides
        self.steps = steps
        self.before = sides.before()
        self.after = sides.after()
        self.empty = sides.fresh()
        """Goes the same way without rows, as far as that is needed."""
        self.empty_at = 0
        self.filled: _Standing | None = None
        self._hashes: dict[str, str] = {}

    def led_on(self, n: int, to: int) -> Through:
        """Lead a database behind so many steps on, by both ways, and hold what comes of it against each other."""
        start = self.filled or self._copy_of_empty(n)
        rows = _filled(start)
        revision = self.steps[n - 1]
        if self._plan(start.state.heads, revision) != list(self.steps[n:]):
            # Alembic goes from here to the end in another order than from the beginning
            self._both(start.shadow, None, revision)
        led = self._both(start.shadow, self.steps[n:to], revision)
        start.shadow.dismiss()
        if isinstance(led, _Standing):
            self.filled = led
            return Through(revision, rows)
        self.filled = None  # rows of ours that the files do not take: without them they have to run
        start = self._copy_of_empty(n)
        without = self._both(start.shadow, self.steps[n:to], revision, again=True)
        start.shadow.dismiss()
        if isinstance(without, _Standing):
            without.shadow.dismiss()
        return Through(revision, rows, led)

    def dismiss(self) -> None:
        """Drop what is left of the walk."""
        self.empty.dismiss()
        if self.filled is not None:
            self.filled.shadow.dismiss()

    def _copy_of_empty(self, n: int) -> _Standing:
        """Return a database behind so many steps, with the rows that these have made."""
        try:
            done = self._on_empty(self.empty_at, n)
        except ReplayFailed:
            # it goes on only in the run that brought it here: Alembic makes an enum once in a run, whoever asks again
            self.empty.dismiss()
            self.empty = self.sides.fresh()
            done = self._on_empty(0, n)
        self.empty_at = n
        copy = self.empty.copied()
        return _Standing(copy, state_of(copy, done))

    def _on_empty(self, begin: int, end: int) -> Replayed:
        only = self.steps[begin:end]
        return replay(self.sides.config, self.sides.before(), self.empty, to=self.sides.end, only=only)

    def _plan(self, heads: Sequence[str], revision: str) -> list[str]:
        """Return the steps from here to the end.

        :raises NotEqual: when they are others through the archive, or other files.
        """
        self._forget_what_was_asked_for()
        before, after = (
            [
                (step.revision.revision, self._hash(step.revision.path))
                for step in script._upgrade_revs(self.sides.end, heads)  # type: ignore[arg-type]  # noqa: SLF001
            ]
            for script in (self.before, self.after)
        )
        if before != after:
            sides = (("before", before, after), ("after", after, before))
            raise NotEqual(
                f"The proof failed: a database at {revision} is not led on as before.",
                detail=[
                    f"{side} only: {', '.join(id_ for id_, hashed in own if (id_, hashed) not in other)}"
                    for side, own, other in sides
                    if set(own) - set(other)
                ]
                or ["the same files, in another order"],
            )
        return [id_ for id_, _ in before]

    def _hash(self, path: str) -> str:
        if path not in self._hashes:
            self._hashes[path] = file_hash(Path(path).read_bytes())
        return self._hashes[path]

    def _forget_what_was_asked_for(self) -> None:
        """Let the next database that stands on a replaced revision make Alembic find the originals by itself."""
        if isinstance(self.after.revision_map, SquashedMap):
            self.after.revision_map = self.after.revision_map.collapsed()

    def _both(
        self, start: Shadow, only: Sequence[str] | None, revision: str, *, again: bool = False
    ) -> _Standing | str:
        """Lead copies of a database on by both ways, and hold them against each other.

        :param only: the steps; ``None``: all to the end.
        :param again: whether these files have run before; as in a new process, they are loaded anew then.
        :return: one of the copies; or why both stop, and at what.
        :raises NotEqual: when they differ.
        """
        self._forget_what_was_asked_for()
        anew = again or only is None
        old = self._led(self.sides.before() if anew else self.before, start, only)
        new = self._led(self.sides.after() if anew else self.after, start, only)
        if isinstance(old, str) or isinstance(new, str):
            _require_both_stop(old, new, revision)
            return str(old)
        changing = {}
        if differences(old.state.contents, new.state.contents, {}):
            # a third run tells which values are other ones each time
            third = self._led(self.sides.before(), start, only)
            if isinstance(third, _Standing):
                changing = differing_columns(old.state, third.state)
                third.shadow.dismiss()
        require_equal(old.state, new.state, changing, f"from {revision} on, with rows")
        new.shadow.dismiss()
        if only is None:
            old.shadow.dismiss()
        return old

    def _led(self, script: ScriptDirectory, start: Shadow, only: Sequence[str] | None) -> _Standing | str:
        copy = start.copied()
        try:
            return _Standing(
                copy, state_of(copy, replay(self.sides.config, script, copy, to=self.sides.end, only=only))
            )
        except ReplayFailed as error:
            copy.dismiss()
            return said_of(error)


def _filled(start: _Standing) -> int:
    with start.state.endpoint.connect() as connection:
        return fill(connection, start.state.catalog, {table.id for table in start.state.contents.tables})


def _require_both_stop(old: _Standing | str, new: _Standing | str, revision: str) -> None:
    one, other = (led if isinstance(led, str) else "runs" for led in (old, new))
    if one != other:
        raise NotEqual(
            f"The proof failed: a database at {revision} is not led on as before.",
            detail=[f"before: {one}", f"after: {other}"],
        )
