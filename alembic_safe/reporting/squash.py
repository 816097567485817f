"""How a squash looks: what was read, what was made, what was proven, and what to do now."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from alembic_safe.errors import NextStep
from alembic_safe.reporting.text import count, duration, print_next, say, shown_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.database.replay import ReplayStep
    from alembic_safe.database.shadow import ShadowNote
    from alembic_safe.history.advice import Advice
    from alembic_safe.history.afterwards import Rebased
    from alembic_safe.history.checking import Checked
    from alembic_safe.history.extent import Extent
    from alembic_safe.history.folded import Folded
    from alembic_safe.history.proof import Proven
    from alembic_safe.history.pruning import Pruned
    from alembic_safe.history.regions import Left
    from alembic_safe.history.request import Made, Outcome, Read
    from alembic_safe.history.undoing import Undone

_LISTED = 8
_EVERY = 50
_WORDS = {"fresh": "new", "later": "later", "downgrade": "back", "autogenerate": "models", "through": "on the way",
          "rows": "rows", "together": "together"}  # fmt: skip


class SquashText:
    """Tells the steps as they are done: facts on stdout, progress on stderr.

    :param quiet: only the notes that a person should not miss, for ``--json``.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._proved = False

    def parts(self, extents: Sequence[Extent], left: Sequence[Left]) -> None:
        """Print which parts there are, and why other revisions are in none."""
        self._say("Parts", f"{count(len(extents), 'part')} with one way in and one way out")
        for one in extents:
            self._say("", f"{one.start or 'base'}:{one.end.revision}, {count(len(one.revisions), 'revision')}")
        for stays in left:
            self._say("", f"not in a part: {stays.revision}, {stays.why}")

    def left(self, left: Left) -> None:
        """Print which part stays as it is."""
        self._say("Stays", f"{left.revision}: {left.why}")
        self._proved = False

    def began(self, extent: Extent, watched: bool) -> None:
        """Print the range."""
        first = extent.revisions[0].revision
        self._proved = False
        self._say("Target", f"files only: {count(len(extent.revisions), 'revision')}, {first} to {extent.end.revision}")
        if extent.earlier is not None:
            self._say("", f"the squash {extent.end.revision} goes, and this one stands for its originals")
        if not watched:
            self._say("Note", "git does not watch over these files: nothing but the archive will keep the originals.")

    def read(self, read: Read) -> None:
        """Print what the files do."""
        rows = sum(number for _, number in read.rows)
        writes = "writes" if len(read.writing) == 1 else "write"
        self._say(
            "Read", f"replayed on a shadow in {duration(read.seconds)}; {len(read.writing)} of them {writes} rows"
        )
        if read.rows:
            listed = ", ".join(f"{table} ({number:,})" for table, number in read.rows[:_LISTED])
            more = f" and {len(read.rows) - _LISTED} more" if len(read.rows) > _LISTED else ""
            self._say("", f"a new database needs {count(rows, 'row')}: {listed}{more}")
        if read.changing:
            self._say("", f"made anew each time: {', '.join(read.changing)}")
        if read.fixed:
            self._say("", f"the same for all, as it was made now: {', '.join(read.fixed)}")
        for effect in read.effects:
            kept = "carried" if effect.revision in read.carried else "left to the archive"
            self._say("", f"{kept}: {effect.what} in {effect.revision} ({effect.seen})")
        if read.imported:
            names = ", ".join(f"{one.name} ({', '.join(one.by[:_LISTED])})" for one in read.imported[:_LISTED])
            more = f" and {len(read.imported) - _LISTED} more" if len(read.imported) > _LISTED else ""
            needs = "copied for the archive" if read.vendored else "the archive needs them as they are (or --vendor)"
            self._say("", f"imported from the application: {names}{more}; {needs}")
        if read.no_way_back:
            self._say("", f"no downgrade: {read.no_way_back}")

    def made(self, made: Made) -> None:
        """Print what the squash is made of."""
        self._say("Made", f"{count(made.calls, 'operation')}, and {count(made.statements, 'object')} as SQL")
        for section, calls, statements in made.by_section:
            if statements:
                self._say("", f"{section}: {statements} of {calls + statements} as SQL")
        for what, why in made.not_calls[:_LISTED]:
            self._say("", f"as SQL, since the operation makes something else: {what} ({why})")

    def folded(self, folded: Folded) -> None:
        """Print what the revisions came down to that were not made anew."""
        self._say("Folded", f"{count(folded.before, 'operation')} -> {folded.after}")
        if folded.level == 1:
            self._say("", "the operations as they were: with fewer of them, it did not do the same")
        for revision, why in folded.carried[:_LISTED]:
            self._say("", f"carried as it is written: {revision} ({why})")
        if len(folded.carried) > _LISTED:
            self._say("", f"and {len(folded.carried) - _LISTED} more carried as they are written")
        if folded.elided:
            self._say("", f"elidable, so without what is no operation: {', '.join(folded.elided)}")

    def proved(self, proven: Proven) -> None:
        """Print one part of the proof."""
        self._say("" if self._proved else "Proof", f"{_WORDS[proven.what]}: {proven.said}")
        self._proved = True

    def note(self, note: ShadowNote) -> None:
        """Say what a person should know of the shadow."""
        say("Note", note.text, stream=sys.stderr)

    def step(self, step: ReplayStep) -> None:
        """Tell how far the replay is, in long histories."""
        if not self.quiet and step.number % _EVERY == 0:
            say("Replay", f"{step.number} of {step.total}", stream=sys.stderr)

    def point(self, revision: str, number: int, total: int) -> None:
        """Tell how far the proof is."""
        if not self.quiet and total > _LISTED and number % _LISTED == 0:
            say("Proof", f"from {revision} on, {number} of {total}", stream=sys.stderr)

    def checked(self, found: Sequence[Checked], *, as_json: bool) -> None:
        """Print what was proven again."""
        if as_json:
            sys.stdout.write(json.dumps([asdict(one) for one in found], indent=2) + "\n")
            return
        for one in found:
            if one.pruned:
                say(
                    "Note",
                    f"{one.revision}: its originals were pruned on {one.pruned}; there is nothing to hold it against",
                )
        proven = [one for one in found if not one.pruned]
        if proven:
            say("Done", f"{count(len(proven), 'squash', 'squashes')}: as certified, and proven again.")
        elif not found:
            say("Done", "there is no squash here.")

    def undone(self, undone: Undone) -> None:
        """Print what is back."""
        if undone.shortcut:
            say("Done", f"{shown_path(str(undone.shortcut))} is gone: a new database runs every revision again.")
            print_next([NextStep("look at it, then commit", "git status")])
            return
        if undone.there:
            say("Kept", f"{count(len(undone.there), 'file')} that git had brought back; to pop a stash that did this would take"
                " them away again")  # fmt: skip
        if not undone.back:
            say("Done", f"all that the squash {undone.revision} stood for is in its place, and the squash is out.")
            print_next([NextStep("look at it", "git status")])
            return
        say(
            "Moved",
            f"{count(len(undone.back), 'file')} back to {shown_path(str(undone.back[0].parent))}; they stand for"
            f" themselves again, and the squash {undone.revision} is out",
        )
        print_next([NextStep("look at it, then commit", "git status")])

    def rebased(self, rebased: Sequence[Rebased]) -> None:
        """Print what was changed."""
        out: dict[str, list[str]] = {}
        for one in rebased:
            if one.taken_out:
                out.setdefault(one.squash, []).append(shown_path(str(one.path)))
        for squash, paths in out.items():
            are, them = (f"{paths[0]} is", "it") if len(paths) == 1 else (f"{len(paths)} files are", "them")
            say("Done", f"{are} out of the way: the archive of the squash {squash} has {them}, byte by byte.")
        for one in rebased:
            if not one.taken_out:
                say("Done", f"{shown_path(str(one.path))} follows the squash {one.squash} now.")
        print_next([NextStep("look at it, then commit", "git status")])

    def advice(self, advice: Advice) -> None:
        """Print what could be squashed."""
        say("Files", f"{count(advice.revisions, 'revision')}, {duration(advice.seconds)} on an empty database")
        for one in advice.databases:
            say("Database", f"{one.name}: {'at ' + ', '.join(one.heads) if one.heads else 'at no revision'}")
        if not advice.taken:
            say("Done", "No two of them can be taken together.")
            return
        say("Possible", f"{advice.taken} of them can be taken together, up to {advice.longest}")
        if advice.end and advice.end != advice.longest:
            say("", f"{advice.end_taken} up to {advice.end}, which every database that was asked has")
        best = advice.end or advice.longest
        print_next(
            [NextStep("squash, no further than the slowest of these databases", f'alembic squash {best} -m "..."')]
        )

    def pruned(self, pruned: Pruned) -> None:
        """Print what went, and what is left."""
        say("Pruned", f"{count(pruned.files, 'original')} of {pruned.revision}; a database before it is told to go through"
            f" {pruned.through}")  # fmt: skip
        print_next([NextStep("look at it, then commit", "git status")])

    def _say(self, label: str, text: str) -> None:
        if not self.quiet:
            say(label, text)


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print what was written, and the ways on."""
    spent = duration(sum(one.seconds for one in outcomes))
    faster = f"; a new database {duration(outcomes[0].before)} -> {duration(outcomes[0].after)}"
    said = f"in {spent}{faster if len(outcomes) == 1 else ''}"
    if outcomes[0].dry_run:
        sys.stdout.write("".join(f"\n{one.text}\n" for one in outcomes))
        say("Done", f"{said}. Nothing was written.")
        return
    for one in outcomes:
        say("Wrote", f"{shown_path(str(one.path))}, {one.lines} lines, revision id still {one.revision}")
        if one.shortcut:
            say("Kept", f"{count(one.replaced, 'file')} where they are; a new database runs this one in their place")
        else:
            say("Moved", f"{count(one.replaced, 'file')} to {shown_path(str(one.archive))}, for databases that stand before"
                " it")  # fmt: skip
    ids = " or ".join(one.revision for one in outcomes)
    say("Done", f"{said}. No database of yours was touched; those at {ids} or later need nothing.")
    print_next([
        NextStep("look at it, then commit", "git status"),
        *(NextStep("take it back", f"alembic squash --undo {one.revision}") for one in outcomes),
    ])  # fmt: skip


def print_outcomes_json(outcomes: Sequence[Outcome], *, as_list: bool) -> None:
    """Print one JSON object; or, where several parts were asked for, a list of them."""
    found = [_as_json(one) for one in outcomes]
    sys.stdout.write(json.dumps(found if as_list else found[0], indent=2) + "\n")


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "revision": outcome.revision,
        "replaced": outcome.replaced,
        "file": str(outcome.path),
        "archive": str(outcome.archive),
        "written": not outcome.dry_run,
        "operations": outcome.made.calls,
        "operations_before": outcome.made.before,
        "carried": [{"revision": revision, "why": why} for revision, why in outcome.made.carried],
        "level": outcome.made.level,
        "statements": outcome.made.statements,
        "not_operations": [{"object": what, "why": why} for what, why in outcome.made.not_calls],
        "proven": [{"what": one.what, "said": one.said} for one in outcome.proven],
        "seconds": {
            "before": round(outcome.before, 2),
            "after": round(outcome.after, 2),
            "all": round(outcome.seconds, 2),
        },
    }
