"""Was something renamed, or did one thing go and another come?"""

# Nothing is paired by likeness. Evidence is what a person said: in the model (renamed_from), on the command line, on
# a terminal, or in an earlier answer to the same question. Without any, the question stays open.
from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from alembic_safe import RENAMED_FROM
from alembic_safe.database.statements import quoted
from alembic_safe.errors import NextStep, WrongUsage
from alembic_safe.inspecting.catalog_records import Catalog, ObjectId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Table

    from alembic_safe.inspecting.catalog_records import Value

Kind = Literal["table", "column", "label"]


@dataclass(frozen=True, order=True)
class Rename:
    """One thing that is called otherwise now.

    :param table: the table of a column, the enum of a label, under its new name; empty for a table.
    """

    kind: Kind
    schema: str
    table: str
    old: str
    new: str

    @property
    def turned_round(self) -> Rename:
        """The renaming back."""
        return replace(self, old=self.new, new=self.old)


@dataclass(frozen=True)
class Question:
    """What went and what came in one place, where nobody has said whether it is the same.

    :param table: as in :class:`Rename`.
    :param gone: what the database has and the models have not.
    :param came: what the models have and the database has not.
    """

    kind: Kind
    schema: str
    table: str
    gone: tuple[str, ...]
    came: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """What is known of renames before anybody is asked.

    :param given: from the command line; it counts before everything else.
    :param marked: from the models.
    :param remembered: earlier answers, the newest last; each serves in both directions, as a branch is left and
        taken again.
    :param not_renamed: what a person said is gone, or stays beside the new: no part of a rename.
    """

    given: tuple[Rename, ...] = ()
    marked: tuple[Rename, ...] = ()
    remembered: tuple[Rename, ...] = ()
    not_renamed: frozenset[ObjectId] = frozenset()


@dataclass(frozen=True)
class Settled:
    """What was decided.

    :param answers: the renames that rest on what a person said now: to be remembered.
    :param gone: what a person said, when asked, is no rename.
    :param open: the questions that nobody answered.
    """

    renames: tuple[Rename, ...] = ()
    answers: tuple[Rename, ...] = ()
    gone: frozenset[ObjectId] = field(default_factory=frozenset)
    open: tuple[Question, ...] = ()


def settle(
    models: Catalog, database: Catalog, evidence: Evidence, ask: Callable[[Question, str], str | None] | None = None
) -> Settled:
    """Decide what was renamed: tables first, then columns and labels as they are called in the renamed tables.

    :param ask: puts a question about one name that went to a person; returns the name that it has now, an empty text
        when it is really gone, ``None`` for no answer. ``None``: nobody can be asked.
    """
    settling = _Settling(models, database, evidence, ask)
    kinds: tuple[Kind, ...] = ("table", "column", "label")
    for kind in kinds:
        now = renamed(database, settling.renames)
        for question in _questions(kind, models, now):
            settling.answer(question, now)
    return Settled(
        tuple(settling.renames), tuple(settling.answers), frozenset(settling.gone), tuple(settling.open)
    )  # fmt: skip


class _Settling:
    def __init__(
        self, models: Catalog, database: Catalog, evidence: Evidence, ask: Callable[[Question, str], str | None] | None
    ) -> None:
        self.models = models
        self.database = database
        self.evidence = evidence
        self.ask = ask
        self.renames: list[Rename] = []
        self.answers: list[Rename] = []
        self.gone: set[ObjectId] = set()
        self.open: list[Question] = []

    def answer(self, question: Question, now: Catalog) -> None:
        """Pair what there is evidence for, ask about the rest, and leave open what nobody answers."""
        came = list(question.came)
        left: list[str] = []
        for old in question.gone:
            rename = self._known(question, old, came)
            if rename is not None:
                self.renames.append(rename)
                came.remove(rename.new)
            elif object_of(question, old) not in self.evidence.not_renamed:
                left.append(old)
        for old in tuple(left):
            candidates = [new for new in came if self._could_be(question, old, new, now)]
            said = (
                self.ask(replace(question, gone=(old,), came=tuple(candidates)), old)
                if self.ask and candidates
                else None
            )
            if said:
                rename = Rename(question.kind, question.schema, question.table, old, said)
                self.renames.append(rename)
                self.answers.append(rename)
                came.remove(said)
            elif said is not None:
                self.gone.add(object_of(question, old))
            if said is not None:
                left.remove(old)
        pairs = [(old, new) for old in left for new in came if self._could_be(question, old, new, now)]
        if pairs:
            olds, news = (tuple(dict.fromkeys(side)) for side in zip(*pairs, strict=True))
            self.open.append(replace(question, gone=olds, came=news))

    def _known(self, question: Question, old: str, came: Sequence[str]) -> Rename | None:
        possible = [Rename(question.kind, question.schema, question.table, old, new) for new in came]
        given = next((one for one in possible if one in self.evidence.given), None)
        if given is not None:
            self.answers.append(given)
            return given
        if object_of(question, old) in self.evidence.not_renamed:
            return None
        remembered = self.evidence.remembered
        both_ways = {*remembered, *(rename.turned_round for rename in remembered)}
        known = [one for one in possible if one in self.evidence.marked]
        known += [one for one in possible if one in both_ways]
        return known[0] if known else None

    def _could_be(self, question: Question, old: str, new: str, now: Catalog) -> bool:
        """Tell whether a pair is a question at all: two tables are one only where they share most of their columns."""
        if question.kind != "table":
            return True
        held, wanted = (
            {part.name for part in catalog.parts(ObjectId("table", question.schema, name)) if part.kind == "column"}
            for catalog, name in ((now, old), (self.models, new))
        )
        return bool(held & wanted) and 2 * len(held & wanted) >= min(len(held), len(wanted))


def object_of(question: Question, name: str) -> ObjectId:
    """Return the object of the database that a question is about; a label has none of its own."""
    if question.kind == "table":
        return ObjectId("table", question.schema, name)
    return ObjectId("column" if question.kind == "column" else "label", question.schema, name, question.table)


def _questions(kind: Kind, models: Catalog, database: Catalog) -> Iterator[Question]:
    """Yield every place where something went and something came."""
    if kind == "label":
        for id_ in sorted(models.objects.keys() & database.objects.keys()):
            if id_.kind == "enum":
                wanted, held = (catalog.objects[id_]["labels"] for catalog in (models, database))
                if isinstance(wanted, tuple) and isinstance(held, tuple):
                    yield from _question(kind, id_.schema, id_.name, set(held) - set(wanted), set(wanted) - set(held))
        return
    gone: dict[tuple[str, str], set[str]] = {}
    came: dict[tuple[str, str], set[str]] = {}
    for one, other, names in ((database, models, gone), (models, database, came)):
        for id_ in one.objects.keys() - other.objects.keys():
            both = kind == "table" or ObjectId("table", id_.schema, id_.parent) in other.objects
            if id_.kind == kind and both and "partition_bound" not in one.objects[id_]:
                names.setdefault((id_.schema, id_.parent), set()).add(id_.name)
    for schema, table in sorted(gone.keys() & came.keys()):
        yield from _question(kind, schema, table, gone[schema, table], came[schema, table])


def _question(kind: Kind, schema: str, table: str, gone: set[str], came: set[str]) -> Iterator[Question]:
    if gone and came:
        yield Question(kind, schema, table, tuple(sorted(gone)), tuple(sorted(came)))


def renamed(catalog: Catalog, renames: Iterable[Rename]) -> Catalog:
    """Return a catalog as it will be called; what its definitions say is rewritten word by word, to be read only."""
    objects = dict(catalog.objects)
    for rename in renames:
        objects = {
            _moved(id_, rename): {name: _worded(value, id_, rename) for name, value in attributes.items()}
            for id_, attributes in objects.items()
        }
    return Catalog(objects, catalog.server_version)


def moved(id_: ObjectId, renames: Iterable[Rename]) -> ObjectId:
    """Return what an object is called behind renames."""
    for rename in renames:
        id_ = _moved(id_, rename)
    return id_


def _moved(id_: ObjectId, rename: Rename) -> ObjectId:
    if id_.schema != rename.schema:
        return id_
    if rename.kind == "table":
        if id_ == ObjectId("table", rename.schema, rename.old):
            return id_._replace(name=rename.new)
        return id_._replace(parent=rename.new) if id_.parent == rename.old else id_
    if rename.kind == "column" and id_ == ObjectId("column", rename.schema, rename.old, rename.table):
        return id_._replace(name=rename.new)
    return id_


def _worded(value: Value, id_: ObjectId, rename: Rename) -> Value:
    if rename.kind == "label":
        if id_ != ObjectId("enum", rename.schema, rename.table) or not isinstance(value, tuple):
            return value
        return tuple(rename.new if label == rename.old else label for label in value)
    if rename.kind == "column" and id_.parent != rename.table:
        return value
    old = re.compile(rf'(?<![\w"]){re.escape(rename.old)}(?![\w"])|{re.escape(quoted(rename.old))}')
    new = rename.new if re.fullmatch(r"[a-z_][a-z0-9_]*", rename.new) else quoted(rename.new)
    if isinstance(value, str):
        return old.sub(new, value)
    return value


def marked(tables: Mapping[ObjectId, Table]) -> tuple[Rename, ...]:
    """Return what the models themselves say: ``renamed_from`` in the ``info`` of a table or of a column."""
    found: list[Rename] = []
    for id_, table in tables.items():
        if RENAMED_FROM in table.info:
            found.append(Rename("table", id_.schema, "", str(table.info[RENAMED_FROM]), table.name))
        found.extend(
            Rename("column", id_.schema, table.name, str(column.info[RENAMED_FROM]), column.name)
            for column in table.columns
            if RENAMED_FROM in column.info
        )
    return tuple(found)


def read_renames(texts: Iterable[str], models: Catalog, database: Catalog, default_schema: str) -> tuple[Rename, ...]:
    """Read what stands behind ``--rename``: ``table.old:new``, ``enum.old:new`` or ``old_table:new_table``.

    :raises WrongUsage: when a text is none of these, or names nothing that went and came.
    """
    possible: dict[str, Rename] = {}
    settled: list[Rename] = []
    found: list[Rename] = []
    for text in texts:
        # the columns of a table that another --rename renames are known only behind that one
        now = renamed(database, settled)
        kinds: tuple[Kind, ...] = ("table", "column", "label")
        for kind in kinds:
            for question in _questions(kind, models, now):
                for old in question.gone:
                    for new in question.came:
                        rename = Rename(kind, question.schema, question.table, old, new)
                        possible |= dict.fromkeys(_spelled(rename, default_schema), rename)
        rename_ = possible.get(text)
        if rename_ is None:
            raise _no_such_rename(text, possible, default_schema)
        found.append(rename_)
        if rename_.kind == "table":
            settled.append(rename_)
    return tuple(found)


def _spelled(rename: Rename, default_schema: str) -> list[str]:
    words = ".".join(word for word in (rename.table, rename.old) if word)
    full = f"{rename.schema}.{words}:{rename.new}"
    return [f"{words}:{rename.new}", full] if rename.schema == default_schema else [full]


def shown_rename(rename: Rename, default_schema: str) -> str:
    """Return a rename as ``--rename`` takes it."""
    return _spelled(rename, default_schema)[0]


def _no_such_rename(text: str, possible: dict[str, Rename], default_schema: str) -> WrongUsage:
    known = sorted({shown_rename(rename, default_schema) for rename in possible.values()})
    detail = [f"Possible here: {', '.join(known[:8])}."] if known else ["Nothing went and came in the same place."]
    return WrongUsage(
        f"--rename {text}: the models and the database do not differ by that.",
        detail=["It is written table.old:new for a column, old:new for a table, enum.old:new for a label.", *detail],
        next_steps=[NextStep("see what differs", "alembic dev-push --dry-run")],
    )


def composed(answers: Iterable[Rename]) -> tuple[Rename, ...]:
    """Return answers, the oldest first, as one step from the oldest names to the newest: a to b to c is a to c."""
    chains: list[Rename] = []
    for answer in answers:
        for n, earlier in enumerate(chains):
            if replace(earlier, old=earlier.new, new=answer.new) == answer:
                chains[n] = replace(earlier, new=answer.new)
                break
        else:
            chains.append(answer)
        if answer.kind == "table":
            chains = [
                replace(one, table=answer.new) if (one.schema, one.table) == (answer.schema, answer.old) else one
                for one in chains
            ]
    return tuple(one for one in chains if one.old != one.new)
