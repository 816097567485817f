"""Which rows of the target stand against what the pending revisions are going to do?"""

# The catalog changes that the shadow showed say what will be demanded of the rows: no NULL, nothing twice, a row on the
# other side, a check that holds, a value that converts. Each is asked of the target's own rows before anything runs.
from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.live import DataFailure
from alembic_safe.inspecting.live_facts import ask, bounded, reason_of
from alembic_safe.inspecting.loosened import Loosened
from alembic_safe.inspecting.syncs import SyncText, read_syncs
from alembic_safe.inspecting.type_failures import Converting, Syncing, sync_failure, type_failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.inspecting.trace import Change, Constraint, Index, Relation, Statement, Trace

_EXAMPLES = 3
_CHECK = re.compile(r"^CHECK \((?P<it>.*)\)(?: NO INHERIT)?(?: NOT VALID)?(?: NOT ENFORCED)?$", re.DOTALL)
_EXCLUDE = re.compile(r"^EXCLUDE USING \w+ \((?P<it>.*?)\)(?: WHERE \((?P<where>.*)\))?$", re.DOTALL)
_INDEX = re.compile(r" USING \w+ \((?P<it>.*)$", re.DOTALL)
_MAY_CONVERT = "not all of its values convert now; what the plan changes before it may let them convert"


@dataclass(frozen=True)
class DataFindings:
    """What was asked of the rows, and what nobody could say.

    :param unsure: what could not be counted, and why.
    """

    failures: tuple[DataFailure, ...] = ()
    unsure: tuple[str, ...] = ()


def data_failures(connection: Any, trace: Trace, *, show_examples: bool) -> DataFindings:
    """Ask the target's rows about every demand that the trace makes of them; only reads.

    :param connection: SQLAlchemy's, in a transaction of the caller's.
    :param show_examples: whether up to three of the rows are told: not where they may be personal data.
    """
    asking = _Asking(connection, trace, show_examples=show_examples)
    with bounded(connection):
        found = tuple(asking.all())
    return DataFindings(
        found, tuple(dict.fromkeys(asking.unsure))
    )  # a check is asked about where it comes and where it holds


@dataclass
class _Names:
    """What the columns of the target's table are called by now: the name there, the name here."""

    now: dict[str, str] = field(default_factory=dict)

    def follow(self, change: Change) -> None:
        """Take part in a rename or a drop."""
        if change.kind != "column":
            return
        known = next(
            (old for old, new in self.now.items() if change.before is not None and new == change.before.name), None
        )
        if known is None:
            return
        if change.action == "gone":
            del self.now[known]
        elif change.what == "name":
            self.now[known] = change.after.name

    @property
    def is_as_before(self) -> bool:
        """Whether every name is still the target's."""
        return all(old == new for old, new in self.now.items())


class _Asking:
    def __init__(self, connection: Any, trace: Trace, *, show_examples: bool) -> None:
        self.connection = connection
        self.trace = trace
        self.show_examples = show_examples
        self.unsure: list[str] = []
        self._names = {
            relation: _Names({column.name: column.name for column in columns})
            for relation, columns in trace.columns.items()
        }
        self._types = {
            relation: {column.name: column.type for column in columns} for relation, columns in trace.columns.items()
        }
        self._labels: dict[str, list[str]] = {}
        self._loosened = Loosened()
        self._at: tuple[str, int] = ("", 0)

    def all(self) -> Iterator[DataFailure]:
        """Yield what stands against the revisions, in their order."""
        for revision in self.trace.revisions:
            for number, statement in enumerate(revision.statements):
                self._at = (revision.revision, number)
                self._loosened.follow(statement)
                for change in statement.changes:
                    if change.relation in self._names:
                        self._names[change.relation].follow(change)
                    if change.kind == "enum value" and change.after is not None:
                        self._label(change)
                for change in statement.changes:
                    yield from self._of(change, statement)
            self._loosened.anywhere = self._loosened.anywhere or bool(revision.not_observed)

    def _label(self, change: Change) -> None:
        type_ = change.after[0].removeprefix("public.")
        if change.action == "added":
            self._labels.setdefault(type_, []).append(change.after[1])

    def _of(self, change: Change, statement: Statement) -> Iterator[DataFailure]:
        relation = change.relation
        if change.kind == "domain constraint" and change.action == "added":
            yield from self._domain(change)
        if relation is None or relation.new or relation not in self._names:
            return
        if change.kind == "column" and change.what == "not null" and change.after.not_null:
            yield from self._nulls(change, relation)
        elif change.kind == "column" and change.what == "type" and not statement.ours:
            yield from self._conversion(change, relation, statement)
        elif change.kind == "trigger" and change.action == "added" and change.after[2]:
            yield from self._sync(change, relation)
        elif change.kind == "constraint" and (change.action == "added" or change.what == "valid"):
            yield from self._constraint(change, relation, change.after)
        elif (
            change.kind == "index" and change.action == "added" and change.after.unique and not change.after.constraint
        ):
            yield from self._unique_index(change, relation, change.after)

    def _constraint(self, change: Change, relation: Relation, constraint: Constraint) -> Iterator[DataFailure]:
        if constraint.type in "pu":
            nulls = "NULLS NOT DISTINCT" in constraint.definition
            columns = ", ".join(quoted(column) for column in constraint.columns)
            yield from self._duplicates(change, relation, columns, nulls_count=nulls, where="")
        elif constraint.type == "c":
            match = _CHECK.match(constraint.definition)
            if match is not None:
                kind = "violating-rows" if constraint.valid else "not-valid"
                yield from self._rows_that(
                    change, relation, kind, f"NOT ({match['it']})", f"do not satisfy {constraint.definition}"
                )
        elif constraint.type == "f" and constraint.valid:
            yield from self._orphans(change, relation, constraint)
        elif constraint.type == "x":
            yield from self._exclusion(change, relation, constraint)

    # --- the questions -----------------------------------------------------------------------------------------------

    def _nulls(self, change: Change, relation: Relation) -> Iterator[DataFailure]:
        column = change.after.name
        yield from self._rows_that(
            change, relation, "null-values", f"{quoted(column)} IS NULL", f"have no value in {column}", examples=False
        )

    def _orphans(self, change: Change, relation: Relation, constraint: Constraint) -> Iterator[DataFailure]:
        other = constraint.references
        if other is None or other.new or other not in self._names:
            return  # what is in the other table by then, the plan decides
        pairs = zip(constraint.columns, constraint.referenced_columns, strict=True)
        joined = " AND ".join(f"o.{quoted(theirs)} = x.{quoted(mine)}" for mine, theirs in pairs)
        given = " AND ".join(f"x.{quoted(column)} IS NOT NULL" for column in constraint.columns)
        where = f"{given} AND NOT EXISTS (SELECT FROM {self._rows(other)} o WHERE {joined})"
        shown = ", ".join(f"x.{quoted(column)}" for column in constraint.columns)
        yield from self._rows_that(change, relation, "orphan-rows", where, f"refer to no row of {other}", shown=shown)

    def _exclusion(self, change: Change, relation: Relation, constraint: Constraint) -> Iterator[DataFailure]:
        match = _EXCLUDE.match(constraint.definition)
        if match is None:
            self._cannot(change, "its definition could not be read")
            return
        parts = [part.rpartition(" WITH ") for part in _split(match["it"])]
        expressions = [expression for expression, _, _ in parts]
        inner = ", ".join(f"({expression}) AS e{n}" for n, expression in enumerate(expressions))
        where = f" WHERE {match['where']}" if match["where"] else ""
        rows = f"(SELECT x.ctid AS c, {inner} FROM {self._rows(relation, with_ctid=True)} x{where})"
        both = " AND ".join(f"b.e{n} {operator} a.e{n}" for n, (_, _, operator) in enumerate(parts))
        sql = f"SELECT count(*) AS it FROM {rows} a WHERE EXISTS (SELECT FROM {rows} b WHERE b.c <> a.c AND {both})"
        found = ask(self.connection, sql)
        if isinstance(found, DBAPIError):
            self._cannot(change, reason_of(found))
        elif found[0]["it"]:
            yield self._failure("violating-rows", change, relation, int(found[0]["it"]), "exclude each other by"
                                                                                         f" {constraint.name}",
                                (), sql)  # fmt: skip

    def _unique_index(self, change: Change, relation: Relation, index: Index) -> Iterator[DataFailure]:
        match = _INDEX.search(index.definition)
        if match is None:
            return
        inside, rest = _in_brackets(match["it"])
        columns = inside if index.expressions else ", ".join(quoted(column) for column in index.columns)
        where = rest.partition(" WHERE ")[2]
        yield from self._duplicates(
            change,
            relation,
            columns,
            nulls_count="NULLS NOT DISTINCT" in rest,
            where=f" WHERE {where}" if where else "",
        )

    def _duplicates(
        self, change: Change, relation: Relation, columns: str, *, nulls_count: bool, where: str
    ) -> Iterator[DataFailure]:
        nulls = "" if nulls_count else f" AND num_nulls({columns}) = 0"
        rows = f"{self._rows(relation)} x{where}"
        groups = f"SELECT {columns}, count(*) AS n FROM {rows} GROUP BY {columns} HAVING count(*) > 1{nulls}"
        found = ask(self.connection, f"SELECT coalesce(sum(d.n), 0)::bigint AS it FROM ({groups}) d")
        if isinstance(found, DBAPIError):
            self._cannot(change, reason_of(found))
        elif found[0]["it"]:
            examples = self._shown(f"SELECT (to_jsonb(d) - 'n')::text AS it FROM ({groups} LIMIT {_EXAMPLES}) d")
            text = f"are not the only ones with their {columns.replace(chr(34), '')}"
            yield self._failure("duplicate-rows", change, relation, int(found[0]["it"]), text, examples, f"{groups};")

    def _conversion(self, change: Change, relation: Relation, statement: Statement) -> Iterator[DataFailure]:
        name = change.after.name
        old = next((old for old, new in self._names[relation].now.items() if new == name), None)
        if old is None:
            return
        one = Converting(name, self._types[relation][old], change.after.type, statement.text, self._rows(relation),
                         tuple(self._labels.get(change.after.type.strip('"'), ())))  # fmt: skip
        found = type_failure(self.connection, one)
        if found is None:
            return
        if found.unknown:
            self._cannot(change, found.unknown)
            return
        examples = self._shown(f"SELECT DISTINCT x.{quoted(name)}::text AS it FROM {self._rows(relation)} x WHERE {found.where}"
                               f" LIMIT {_EXAMPLES}") if found.where else ()  # fmt: skip
        query = f"SELECT * FROM {self._rows(relation)} x WHERE {found.where};" if found.where else ""
        yield self._failure(found.kind, change, relation, found.rows, found.text, examples, query)

    def _sync(self, change: Change, relation: Relation) -> Iterator[DataFailure]:
        text = SyncText.from_comment(change.after[2])
        there = [(one.text.columns, one.text.up) for one in read_syncs(self.connection)
                 if (one.schema, one.table) == (relation.schema, relation.name)]  # fmt: skip
        if text.swapped or (text.columns, text.up) in there:
            return  # what its rows are was said when it came
        types = {new: self._types[relation][old] for old, new in self._names[relation].now.items()}
        one = Syncing(text, self._rows(relation), types, self._labels)
        found = sync_failure(self.connection, one, show_value=self.show_examples)
        change = replace(change, name=text.old[0])
        if found is not None and found.unknown:
            self._cannot(change, found.unknown)
        elif found is not None and self._loosened.may_convert(relation, by_label=found.rows is not None):
            self._cannot(change, _MAY_CONVERT)
        elif found is not None:
            yield self._failure(found.kind, change, relation, found.rows, found.text, (), found.query)

    def _domain(self, change: Change) -> Iterator[DataFailure]:
        domain, name, definition = change.after
        match = _CHECK.match(definition)
        if match is None:
            return
        for relation, columns in self.trace.columns.items():
            for column in columns:
                if column.type.strip('"') not in {domain, domain.removeprefix("public.")} or relation.kind != "table":
                    continue
                rows = f"(SELECT {quoted(column.name)} AS value FROM {self._rows(relation)} x) x"
                sql = f"SELECT count(*) AS it FROM {rows} WHERE NOT ({match['it']})"
                found = ask(self.connection, sql)
                if isinstance(found, DBAPIError):
                    self._cannot(change, reason_of(found))
                elif found[0]["it"]:
                    kind = "not-valid" if "NOT VALID" in definition else "violating-rows"
                    text = f"hold a {column.name} that does not satisfy {name}"
                    yield self._failure(kind, change, relation, int(found[0]["it"]), text, (), sql + ";")

    # --- asking ------------------------------------------------------------------------------------------------------

    def _rows_that(
        self, change: Change, relation: Relation, kind: str, where: str, text: str, *, shown: str = "", examples: bool = True
    ) -> Iterator[DataFailure]:  # fmt: skip
        rows = self._rows(relation)
        found = ask(self.connection, f"SELECT count(*) AS it FROM {rows} x WHERE {where}")
        if isinstance(found, DBAPIError):
            self._cannot(change, reason_of(found))
        elif found[0]["it"]:
            what = f"row({shown})::text" if shown else "to_jsonb(x)::text"
            such = self._shown(f"SELECT {what} AS it FROM {rows} x WHERE {where} LIMIT {_EXAMPLES}") if examples else ()
            yield self._failure(
                kind, change, relation, int(found[0]["it"]), text, such, f"SELECT * FROM {rows} x WHERE {where};"
            )

    def _shown(self, sql: str) -> tuple[str, ...]:
        if not self.show_examples:
            return ()
        found = ask(self.connection, sql)
        return () if isinstance(found, DBAPIError) else tuple(_short(str(row["it"])) for row in found)

    def _rows(self, relation: Relation, *, with_ctid: bool = False) -> str:
        """Return a table's rows, its columns under the names that they have by now."""
        names, table = self._names[relation], quoted(relation.schema, relation.name)
        if names.is_as_before:
            return table
        ctid = ["ctid"] if with_ctid else []
        columns = [*ctid, *(f"{quoted(old)} AS {quoted(new)}" for old, new in names.now.items())]
        return f"(SELECT {', '.join(columns)} FROM {table})"

    def _cannot(self, change: Change, why: str) -> None:
        self.unsure.append(f"{change.object} ({self._at[0]}): {why}")

    def _failure(
        self, kind: str, change: Change, relation: Relation, rows: int | None, text: str, examples: tuple[str, ...], query: str
    ) -> DataFailure:  # fmt: skip
        return DataFailure(kind, *self._at, change.object, relation, rows, text, examples, query)


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            parts.append(text[start:place].strip())
            start = place + 1
    return [*parts, text[start:].strip()]


def _in_brackets(text: str) -> tuple[str, str]:
    depth = 1
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if not depth:
            return text[:place], text[place + 1 :]
    return text, ""


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
