"""How is it seen that a key or a check hurts?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.inspecting.hazard import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.inspecting.hazard import Scene
    from alembic_safe.inspecting.trace import Change, Relation, Statement


def constraints(scene: Scene, action: str, types: str) -> Iterator[tuple[int, Statement, Change, Relation]]:
    """Yield the constraints of some types that came to, or went from, tables which the target has."""
    for number, statement, change in scene.revision.changes("constraint", action):
        constraint = change.after or change.before
        if change.relation is not None and not change.relation.new and constraint.type in types:
            yield number, statement, change, change.relation


def words_of(change: Change) -> dict[str, str]:
    """Return the names that a remedy for a constraint needs."""
    constraint = change.after or change.before
    return {
        "table": str(change.relation), "name": constraint.name, "column": ", ".join(constraint.columns),
        "definition": constraint.definition, "other": str(constraint.references or ""),
    }  # fmt: skip


def _with_column(statement: Statement, change: Change) -> bool:
    """Whether the column came in the same statement: that has hazards of its own."""
    columns = (change.after or change.before).columns
    return any(
        other.kind == "column"
        and other.action == "added"
        and other.relation == change.relation
        and other.name in columns
        for other in statement.changes
    )


def scanning(scene: Scene, types: str) -> Iterator[Hit]:
    """Yield the constraints of some types that read their table from end to end."""
    for number, statement, change, relation in constraints(scene, "added", types):
        severity = scene.by_size(relation)
        if severity and relation in statement.scans and change.after.valid and not _with_column(statement, change):
            who = scene.blocked(number, relation) or "it is locked"
            yield Hit(
                change.object, number, f"{scene.about(relation)} is read from end to end; meanwhile {who}", severity,
                words_of(change),
            )  # fmt: skip


def building(scene: Scene, types: str) -> Iterator[Hit]:
    """Yield the constraints of some types whose index is built under a lock."""
    for number, statement, change, relation in constraints(scene, "added", types):
        built = [name for table, name in statement.builds if table == relation]
        severity = scene.by_size(relation)
        if severity and built and not _with_column(statement, change):
            yield Hit(
                change.object, number,
                f"an index over {scene.about(relation)} is built; meanwhile nobody reads or writes the table", severity,
                words_of(change),
            )  # fmt: skip


def foreign_key(scene: Scene) -> Iterator[Hit]:
    """Yield the foreign keys that check every row."""
    for number, statement, change, relation in constraints(scene, "added", "f"):
        other = change.after.references
        severity = scene.by_size(relation)
        if not severity or not change.after.valid or _with_column(statement, change):
            continue
        if other is not None and relation in statement.scans:
            yield Hit(
                change.object, number,
                f"{scene.about(relation)} is read from end to end; meanwhile nobody writes it, nor {scene.about(other)}",
                severity, words_of(change),
            )  # fmt: skip


def several_keys(scene: Scene) -> Iterator[Hit]:
    """Yield the transactions that lock several tables for foreign keys."""
    by_transaction: dict[int, list[tuple[int, Change]]] = {}
    for number, statement, change in scene.revision.changes("constraint", "added"):
        other = change.after.references
        if change.after.type == "f" and other is not None and not other.new and scene.by_use(other):
            by_transaction.setdefault(statement.transaction, []).append((number, change))
    for found in by_transaction.values():
        tables = {str(change.after.references) for _, change in found}
        if len(tables) > 1:
            number, change = found[-1]
            large = any(scene.by_use(other.after.references) == "warning" for _, other in found)
            yield Hit(
                str(change.relation), number,
                f"nobody writes {', '.join(sorted(tables))} until the transaction ends; a program that locks them in another"
                " order meets a deadlock",
                "warning" if large else "info", words_of(change),
            )  # fmt: skip


def in_new_table(scene: Scene) -> Iterator[Hit]:
    """Yield the foreign keys of new tables to tables in use."""
    for number, statement, change in scene.revision.changes("constraint", "added"):
        relation, other = change.relation, change.after.references
        if relation is None or not relation.new or change.after.type != "f" or other is None or other.new:
            continue
        made_here = any(c.kind == "table" and c.action == "added" and c.relation == relation for c in statement.changes)
        severity = scene.by_use(other)
        if severity and made_here:
            yield Hit(
                change.object, number, f"nobody writes {scene.about(other)} until the transaction ends, though the new"
                " table is empty", severity, words_of(change),
            )  # fmt: skip


def no_index(scene: Scene) -> Iterator[Hit]:
    """Yield the foreign keys whose columns no index begins with."""
    for number, _, change, relation in constraints(scene, "added", "f"):
        columns = change.after.columns
        indexes = [*scene.trace.indexes.get(relation, ())]
        for revision in scene.trace.revisions:
            for statement in revision.statements:
                indexes += [
                    other.after for other in statement.changes
                    if other.kind == "index" and other.action == "added" and other.relation == relation
                ]  # fmt: skip
        covered = any(set(index.columns[: len(columns)]) == set(columns) and not index.partial for index in indexes)
        severity = scene.by_size(relation)
        if severity and not covered:
            yield Hit(
                change.object, number,
                f"each DELETE, and each UPDATE of the key, in {change.after.references} reads all of"
                f" {scene.about(relation)}: no index begins with {', '.join(columns)}",
                "info" if severity == "info" else "warning", words_of(change),
            )  # fmt: skip


def types(scene: Scene) -> Iterator[Hit]:
    """Yield the foreign keys between columns of different types."""
    for number, _, change in scene.revision.changes("constraint", "added"):
        constraint, relation = change.after, change.relation
        if constraint.type != "f" or relation is None or constraint.references is None:
            continue
        mine, theirs = _types_of(scene, relation), _types_of(scene, constraint.references)
        for own, other in zip(constraint.columns, constraint.referenced_columns, strict=False):
            if own in mine and other in theirs and mine[own] != theirs[other]:
                yield Hit(
                    change.object, number,
                    f"{relation}.{own} is {mine[own]}, {constraint.references}.{other} is {theirs[other]}: joins convert,"
                    " and the smaller one overflows first",
                    "warning" if {mine[own], theirs[other]} <= {"smallint", "integer", "bigint"} else "info", words_of(change),
                )  # fmt: skip


def _types_of(scene: Scene, relation: Relation) -> dict[str, str]:
    found = {column.name: column.type for column in scene.trace.columns.get(relation, ())}
    for revision in scene.trace.revisions[: scene.number + 1]:
        for statement in revision.statements:
            for change in statement.changes:
                if change.relation != relation:
                    continue
                if change.kind == "table" and change.action == "added":
                    found |= {column.name: column.type for column in change.after.columns.values()}
                if change.kind == "column" and change.after is not None:
                    found[change.after.name] = change.after.type
    return found


def not_valid_first(scene: Scene) -> Iterator[Hit]:
    """Yield the constraints that old rows violate when they begin to hold."""
    for number, statement, change, relation in constraints(scene, "added", "cn"):
        if change.after.valid or not scene.by_rows(relation):
            continue
        copied = any(
            write.relation == relation and write.kind == "UPDATE"
            for later in scene.later(number)
            for write in later.writes
        )
        bad = next(
            (one for one in scene.live.failures if one.object == change.object and one.kind == "not-valid"), None
        )
        del statement
        if copied or (bad is not None and bad.rows):
            many = f"{bad.rows:,} rows" if bad is not None and bad.rows else "old rows"
            yield Hit(
                change.object, number,
                f"from here on every UPDATE of {many} of {relation} that do not satisfy it fails, whichever column it is about",
                "danger" if bad is not None else "warning", words_of(change),
            )  # fmt: skip


def validate(scene: Scene) -> Iterator[Hit]:
    """Yield the validations under a lock that blocks others."""
    for number, _, change in scene.revision.changes("constraint", "changed", "valid"):
        relation = change.relation
        if relation is None or not change.after.valid:
            continue
        who, severity = scene.blocked(number, relation), scene.by_size(relation)
        if severity and who:
            yield Hit(
                change.object, number,
                f"{scene.about(relation)} is read from end to end while an earlier statement's lock is still held:"
                f" meanwhile {who}",
                severity, words_of(change),
            )  # fmt: skip


def never_validated(scene: Scene) -> Iterator[Hit]:
    """Yield the constraints that stay NOT VALID."""
    for number, _, change, relation in constraints(scene, "added", "cfn"):
        if change.after.valid or not scene.by_rows(relation):
            continue
        validated = any(
            other.object == change.object and (other.what == "valid" or other.action == "gone")
            for later in scene.later(number) for other in later.changes
        )  # fmt: skip
        if not validated:
            yield Hit(
                change.object, number,
                f"nobody has checked the rows of {relation} that are there, and no pending revision does", "info",
                words_of(change),
            )  # fmt: skip
