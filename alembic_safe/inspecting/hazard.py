"""What is a hazard: a judged observation, with its condition, its effect, and what to do instead?"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from string import Template
from typing import TYPE_CHECKING, Literal

from alembic_safe.inspecting.trace import BLOCKS_READS, BLOCKS_WRITES, LOCKS, Relation, Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from alembic_safe.inspecting.live import Live, SizeClass
    from alembic_safe.inspecting.trace import RevisionTrace, Statement, Write

Severity = Literal["advice", "info", "warning", "danger"]
SEVERITIES: tuple[Severity, ...] = ("advice", "info", "warning", "danger")
"""The mildest first."""

Family = Literal["loses", "breaks", "blocks", "fails", "leaves", "unseen", "advice"]
FAMILIES: Mapping[Family, str] = {
    "loses": "data is lost",
    "breaks": "programs that run now meet errors",
    "blocks": "programs that run now have to wait",
    "fails": "the revision will not run through",
    "leaves": "something is left behind that nobody expects",
    "unseen": "what happens could not be seen",
    "advice": "it works, and will cost later",
}

ANYWHERE = "anywhere"
"""What makes a revision fail wherever it is found."""
_READS = ("SELECT", "DO", "CALL", "DECLARE", "FETCH", "COPY")
"""What may hand rows to code that then changes them one by one."""

_PARTITION_GOES = re.compile(r"\bDETACH\s+PARTITION\b", re.IGNORECASE)

_BY_SIZE: Mapping[SizeClass, Severity | None] = {
    "new": None, "empty": "info", "small": "info", "medium": "warning", "large": "danger", "unknown": "warning",
}  # fmt: skip
_BY_ROWS: Mapping[SizeClass, Severity | None] = {
    "new": None, "empty": "info", "small": "danger", "medium": "danger", "large": "danger", "unknown": "danger",
}  # fmt: skip
_BY_USE: Mapping[SizeClass, Severity | None] = {
    "new": None, "empty": "info", "small": "info", "medium": "info", "large": "warning", "unknown": "info",
}  # fmt: skip

SETUP = """
CREATE TABLE users (id bigint PRIMARY KEY, name text, email varchar(50), age integer, active boolean DEFAULT true NOT NULL);
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint, total numeric(10,2) NOT NULL, note text, placed timestamptz);
CREATE INDEX orders_user_id ON orders (user_id);
"""
"""The tables that the examples start from, unless they say otherwise."""


@dataclass(frozen=True)
class Example:
    """A revision that shows a hazard, or how to do without.

    :param operation: the body of ``upgrade()`` in Alembic's operations; empty where there is none.
    :param sql: the same as SQL, one statement for each.
    :param autocommit: the SQL runs outside of a transaction, each statement by itself.
    :param in_block: whether PostgreSQL runs the SQL inside a DO block.
    :param downgrade: the body of ``downgrade()`` where the example is about that; ``downgrade_sql``: the same as SQL.
    """

    operation: str = ""
    sql: tuple[str, ...] = ()
    autocommit: bool = False
    in_block: bool = True
    downgrade: str = ""
    downgrade_sql: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hit:
    """Where a hazard is.

    :param object: what it is about: ``users.name``; with the hazard's id this is the name of a consent.
    :param statement: the number of the statement within the revision, from 0; -1: the revision as a whole.
    :param effect: what happens, to whom, and how much of it there is.
    :param words: what stands for ``$table``, ``$column`` and the like in the remedy.
    :param fails: the revision fails as it stands, whoever consents to it: it is mended.
    """

    object: str
    statement: int
    effect: str
    severity: Severity
    words: Mapping[str, str] = field(default_factory=dict)
    fails: bool = False


@dataclass(frozen=True)
class Hazard:
    """One thing that a revision may do to a living database.

    :param id: in kebab-case; with the object it is the name of a consent: ``drop-column:users.name``.
    :param title: one line.
    :param family: what kind of harm it does.
    :param about: why it hurts, for whom, from which version on; the documentation page and ``safe-explain`` print it.
    :param remedy: what to do instead; ``$table``, ``$column``, ``$name`` stand for the names.
    :param find: the condition: pure, over what was seen and what is known of the target.
    :param rows: the rows of the research catalogue that it covers.
    :param ours_too: it is one also where a verb of ours does it, such as ``op.retire_column``.
    :param documented: judged from PostgreSQL's documentation where no server of the test matrix can show it.
    :param no_consent: where it makes the revision fail, so that no consent helps: :data:`ANYWHERE`, or a part of a sentence;
        empty: nowhere.
    """

    id: str
    title: str
    family: Family
    about: str
    remedy: str
    find: Callable[[Scene], Iterable[Hit]]
    bad: Example
    good: Example
    setup: str = SETUP
    rows: tuple[int, ...] = ()
    documented: bool = False
    ours_too: bool = False
    no_consent: str = ""

    def advises(self, hit: Hit) -> str:
        """Return the remedy with the names of a hit in it."""
        return Template(self.remedy).safe_substitute(hit.words)


@dataclass(frozen=True)
class Scene:
    """One revision among those that are looked at, and what is known of the target.

    :param number: which of the trace's revisions.
    """

    trace: Trace
    number: int
    live: Live

    @property
    def revision(self) -> RevisionTrace:
        """The revision that is judged."""
        return self.trace.revisions[self.number]

    @property
    def is_last(self) -> bool:
        """Whether no further revision follows."""
        return self.number == len(self.trace.revisions) - 1

    def statements(self) -> Iterator[tuple[int, Statement]]:
        """Yield the revision's statements with their numbers."""
        yield from enumerate(self.revision.statements)

    def held(self, number: int) -> dict[Relation, str]:
        """Return the strongest lock on each relation while a statement runs: its own, and those of its transaction."""
        mine = self.revision.statements[number]
        found: dict[Relation, str] = {}
        for one in self.revision.statements[: number + 1]:
            if one.transaction != mine.transaction:
                continue
            for relation, mode in one.strongest.items():
                if relation not in found or LOCKS.index(mode) > LOCKS.index(found[relation]):
                    found[relation] = mode
        return found

    def blocked(self, number: int, relation: Relation) -> str:
        """Return whom the lock on a relation keeps waiting while a statement runs; empty for nobody."""
        mode = self.held(number).get(relation, "")
        if mode in BLOCKS_READS:
            return "nobody reads or writes it"
        return "nobody writes it" if mode in BLOCKS_WRITES else ""

    def _before(self, statement: int) -> tuple[Statement, ...]:
        """Return the statements of all looked-at revisions in front of one."""
        earlier = (one for revision in self.trace.revisions[: self.number] for one in revision.statements)
        return (*earlier, *self.revision.statements[:statement])

    def written_before(self, statement: int, relation: Relation) -> Write | None:
        """Return what writes to a relation before a statement: it may mend what is counted now."""
        for one in self._before(statement):
            for write in one.writes:
                if write.relation == relation:
                    return write
        return None

    def reads_before(self, statement: int) -> bool:
        """Whether rows are read before a statement: a loop over them changes none on a shadow, where there are none."""
        return any(one.tag.startswith(_READS) and one.scans and not one.ours for one in self._before(statement))

    def rows_change_before(self, statement: int) -> bool:
        """Whether rows of any table may be others by a statement: what is counted now may be mended by then.

        Of any: a write to a partition or its parent, a cascade, a trigger, a row that others refer to mend as well.
        """
        before = self._before(statement)
        return self.reads_before(statement) or any(
            one.writes
            or _PARTITION_GOES.search(one.text)
            or any(c.kind == "table" and c.action == "gone" for c in one.changes)
            for one in before
        )

    def is_new_column(self, statement: int, relation: Relation, name: str) -> bool:
        """Whether a column came with the looked-at revisions: nobody uses it yet, and no program knows its name."""
        # where no target is known each revision is judged by itself
        earlier = self.trace.revisions[: self.number] if self.live.known else ()
        before = [one for revision in earlier for one in revision.statements] + list(
            self.revision.statements[:statement]
        )
        return any(
            change.kind == "column"
            and change.action == "added"
            and change.relation == relation
            and change.after.name == name
            for one in before
            for change in one.changes
        )

    def later(self, statement: int) -> Iterator[Statement]:
        """Yield what follows a statement, in later revisions, too."""
        yield from self.revision.statements[statement + 1 :]
        for revision in self.trace.revisions[self.number + 1 :]:
            yield from revision.statements

    # --- how bad is it here? -----------------------------------------------------------------------------------------

    def by_size(self, relation: Relation) -> Severity | None:
        """Return the severity of work that grows with a table; ``None`` for a table that is new."""
        return _BY_SIZE[self.live.size_class(relation)]

    def by_rows(self, relation: Relation) -> Severity | None:
        """Return the severity of what hurts as soon as there are rows; ``None`` for a table that is new."""
        return _BY_ROWS[self.live.size_class(relation)]

    def by_use(self, relation: Relation) -> Severity | None:
        """Return the severity of a short lock: only who is held up by something else notices; ``None`` for a new table."""
        return _BY_USE[self.live.size_class(relation)]

    def about(self, relation: Relation) -> str:
        """Return what is known of a table: ``users (2,104,377 rows, 1.1 GB)``."""
        return self.live.about(relation)


@dataclass(frozen=True)
class Found:
    """A hazard in a revision: what a person sees, consents to, or mends."""

    hazard: Hazard
    hit: Hit
    revision: str
    file: str
    line: int = 0

    @property
    def id(self) -> str:
        """The name of the consent."""
        return f"{self.hazard.id}:{self.hit.object}"

    @property
    def severity(self) -> Severity:
        """How bad it is on this target."""
        return self.hit.severity


def judge(trace: Trace, live: Live, hazards: Iterable[Hazard], *, advice: bool = False) -> tuple[Found, ...]:
    """Return the hazards of all revisions, in their order; the same one of the same object is told once; pure.

    :param advice: whether matters of style are told, too.
    """
    found: dict[tuple[str, str, str], Found] = {}
    hazards = tuple(hazards)
    for number, revision in enumerate(trace.revisions):
        scene = Scene(trace, number, live)
        for hazard in hazards:
            for hit in hazard.find(scene):
                if hit.severity == "advice" and not advice:
                    continue
                known = 0 <= hit.statement < len(revision.statements)
                if known and revision.statements[hit.statement].ours and not hazard.ours_too:
                    continue
                line = revision.statements[hit.statement].line if known else 0
                one = Found(hazard, hit, revision.revision, revision.file, line)
                key = (hazard.id, hit.object, revision.revision)
                if key not in found or SEVERITIES.index(found[key].severity) < SEVERITIES.index(hit.severity):
                    found[key] = one
    return tuple(found.values())
