"""What did a revision do on a shadow: its statements with their locks, scans, rewrites, changes and writes?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.inspecting.required_columns import Required

Action = Literal["added", "gone", "changed"]

LOCKS = (
    "AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock",
    "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock",
)  # fmt: skip
"""PostgreSQL's table locks, the weakest first (documentation, 13.3.1)."""

BLOCKS_WRITES = frozenset(LOCKS[4:])
"""What keeps INSERT, UPDATE and DELETE waiting."""
BLOCKS_READS = frozenset({"AccessExclusiveLock"})
"""What keeps SELECT waiting, too."""


class Relation(NamedTuple):
    """A table, view, sequence or the like, under the name that it has in the target.

    :param new: made by the revisions that are looked at: nobody uses it, and it has no rows yet.
    """

    schema: str
    name: str
    kind: str = "table"
    new: bool = False

    def __str__(self) -> str:
        return self.name if self.schema in {"public", ""} else f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Column:
    """A column as one look at the shadow found it.

    :param type_id: the type's oid and modifier: a type may be renamed, and another one get its name.
    """

    name: str
    type: str
    not_null: bool = False
    default: str | None = None
    identity: str = ""
    generated: str = ""
    collation: str | None = None
    domain: bool = False
    type_id: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Constraint:
    """A constraint of a table.

    :param type: ``p`` primary key, ``u`` unique, ``f`` foreign key, ``c`` check, ``x`` exclusion, ``n`` not null.
    :param references: the other table of a foreign key, and whether ``CASCADE`` or ``SET`` reaches rows there.
    """

    name: str
    type: str
    definition: str
    valid: bool = True
    columns: tuple[str, ...] = ()
    references: Relation | None = None
    referenced_columns: tuple[str, ...] = ()
    on_delete: str = "a"
    index: int = 0


@dataclass(frozen=True)
class Index:
    """An index of a table."""

    name: str
    definition: str
    columns: tuple[str, ...] = ()
    unique: bool = False
    valid: bool = True
    partial: bool = False
    expressions: bool = False
    constraint: bool = False
    oid: int = 0
    filenode: int = 0


@dataclass(frozen=True)
class Change:
    """Something that a statement made, took away or altered.

    :param kind: ``table``, ``column``, ``constraint``, ``index``, ``trigger``, ``enum value`` and the like.
    :param relation: the table that it is a part of; ``None`` where it stands by itself.
    :param name: what it was called before; for what is new, what it is called.
    :param what: for ``changed``: in which respect, such as ``name``, ``type``, ``not null``.
    :param before: what it was: a :class:`Column`, :class:`Constraint`, :class:`Index`, or a text.
    """

    kind: str
    action: Action
    relation: Relation | None
    name: str
    what: str = ""
    before: Any = None
    after: Any = None

    @property
    def object(self) -> str:
        """The name by which consent is given: ``users.name``."""
        if self.relation is None:
            return self.name
        if self.kind in {"table", "view", "materialized view", "sequence", "foreign table"}:
            return str(self.relation)
        return f"{self.relation}.{self.name}"


class Lock(NamedTuple):
    """A lock that a statement took, and that is held until its transaction ends."""

    relation: Relation
    mode: str


class Write(NamedTuple):
    """Rows that a statement wrote, or would write where there are any.

    :param kind: ``INSERT``, ``UPDATE``, ``DELETE`` or ``TRUNCATE``.
    :param rows: how many it wrote on the shadow.
    """

    relation: Relation
    kind: str
    rows: int = 0


@dataclass(frozen=True)
class Statement:
    """One statement as it ran.

    :param tag: what PostgreSQL calls it: ``ALTER TABLE``.
    :param transaction: the number of its transaction within the revision, from 1.
    :param autocommit: it ran outside of a transaction, so it is committed by itself.
    :param observed: locks and scans were seen; otherwise what it is known to do stands in their place.
    :param line: of the revision file; 0 where that is not known.
    :param scans: tables read from end to end.
    :param rewrites: tables or indexes written anew from end to end.
    :param builds: indexes built, by table.
    :param lock_timeout: what the revision had set when it ran, in milliseconds; 0: nothing.
    :param advisory: it took an advisory lock.
    :param ours: a verb of ours sent it, such as ``op.retire_column``.
    """

    text: str
    tag: str = ""
    transaction: int = 1
    autocommit: bool = False
    observed: bool = True
    line: int = 0
    seconds: float = 0.0
    locks: tuple[Lock, ...] = ()
    scans: tuple[Relation, ...] = ()
    rewrites: tuple[Relation, ...] = ()
    builds: tuple[tuple[Relation, str], ...] = ()
    changes: tuple[Change, ...] = ()
    writes: tuple[Write, ...] = ()
    why_not_observed: str = ""
    lock_timeout: int = 0
    advisory: bool = False
    ours: bool = False

    @property
    def strongest(self) -> dict[Relation, str]:
        """The strongest lock on each relation."""
        found: dict[Relation, str] = {}
        for lock in self.locks:
            if lock.relation not in found or LOCKS.index(lock.mode) > LOCKS.index(found[lock.relation]):
                found[lock.relation] = lock.mode
        return found

    @property
    def short(self) -> str:
        """The text in one line."""
        return " ".join(self.text.split())


@dataclass(frozen=True)
class RevisionTrace:
    """What one revision did.

    :param outside: what it did beyond the database: ``started a program: curl``.
    :param failed: why it did not run through; empty where it did.
    :param phase: what the file says of itself: ``expand``, ``copy``, ``contract``, or nothing.
    :param not_observed: why nobody knows what it does, or all that it does: it ran out of time, or one before it did.
    :param downgrade: what its ``downgrade()`` did, tried behind it; ``None``: nobody wanted to know.
    :param fails_anyway: what made it fail is the schema, which the target has, too, and not the rows, which a shadow has not.
    """

    revision: str
    message: str = ""
    file: str = ""
    statements: tuple[Statement, ...] = ()
    seconds: float = 0.0
    outside: tuple[str, ...] = ()
    failed: str = ""
    phase: str = ""
    not_observed: str = ""
    downgrade: RevisionTrace | None = None
    fails_anyway: bool = False

    @property
    def ran_through(self) -> bool:
        """Whether it ran to its end on the shadow, so that everything that it does was seen."""
        return not self.failed and not self.not_observed

    def changes(self, kind: str = "", action: str = "", what: str = "") -> Iterator[tuple[int, Statement, Change]]:
        """Yield the changes of a kind with the number and the statement that made each."""
        for number, statement in enumerate(self.statements):
            for change in statement.changes:
                wanted = (not kind or change.kind == kind) and (not action or change.action == action)
                if wanted and (not what or change.what == what):
                    yield number, statement, change

    @property
    def transactions(self) -> tuple[tuple[Statement, ...], ...]:
        """The statements by the transaction that they ran in."""
        groups: dict[int, list[Statement]] = {}
        for statement in self.statements:
            groups.setdefault(statement.transaction, []).append(statement)
        return tuple(tuple(group) for group in groups.values())


@dataclass(frozen=True)
class Trace:
    """What the pending revisions did on a shadow, one after the other.

    :param server_version: the shadow's server, such as 160014.
    :param columns: the columns that each table of the target had before, by relation.
    :param required: what every INSERT must fill behind the last revision; empty where that was not reached.
    """

    revisions: tuple[RevisionTrace, ...] = ()
    server_version: int = 0
    columns: dict[Relation, tuple[Column, ...]] = field(default_factory=dict)
    indexes: dict[Relation, tuple[Index, ...]] = field(default_factory=dict)
    constraints: dict[Relation, tuple[Constraint, ...]] = field(default_factory=dict)
    required: tuple[Required, ...] = ()
