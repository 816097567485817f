"""How is it seen that a key which goes is missed, by programs or by other tables?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.inspecting.hazard import Hit
from alembic_safe.inspecting.hazards.constraints_seen import constraints, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic_safe.inspecting.hazard import Scene
    from alembic_safe.inspecting.trace import Change, Relation


def drop_key(scene: Scene) -> Iterator[Hit]:
    """Yield the foreign keys that go, and lock two tables for it."""
    for number, statement, change, relation in constraints(scene, "gone", "f"):
        other = change.before.references
        severity = scene.by_use(relation)
        table_goes = any(c.kind == "table" and c.action == "gone" and c.relation == relation for c in statement.changes)
        if severity and other is not None and not table_goes:
            yield Hit(
                change.object, number,
                f"nobody reads or writes {scene.about(relation)}, nor {scene.about(other)}, until the transaction ends",
                severity, words_of(change),
            )  # fmt: skip


def cascade(scene: Scene) -> Iterator[Hit]:
    """Yield the foreign keys that deleted along, and do not come again."""
    acts = {"c": "ON DELETE CASCADE", "n": "ON DELETE SET NULL", "d": "ON DELETE SET DEFAULT"}
    for number, statement, change, relation in constraints(scene, "gone", "f"):
        one = change.before
        again = [
            other.after for later in (statement, *scene.later(number)) for other in later.changes
            if other.kind == "constraint" and other.action == "added" and other.relation == relation
            and other.after.type == "f" and (other.after.columns == one.columns or other.after.references == one.references)
        ]  # fmt: skip
        kept = any(other.on_delete == one.on_delete for other in again)
        column_goes = any(
            c.kind == "column" and c.action == "gone" and c.relation == relation and c.name in one.columns
            for later in scene.revision.statements[number:] for c in later.changes
        )  # fmt: skip
        if one.on_delete in acts and not kept and not column_goes and scene.by_rows(relation):
            yield Hit(
                change.object, number,
                f"{acts[one.on_delete]} went with it: deleting from {one.references} leaves rows of {relation} that refer to"
                " nothing, or fails",
                "warning", words_of(change),
            )  # fmt: skip


def key_in_use(scene: Scene) -> Iterator[Hit]:
    """Yield the keys that go, and what relied on them; not those that the same transaction makes again."""
    for number, statement, change, relation in constraints(scene, "gone", "pu"):
        severity = scene.by_rows(relation)
        if not severity:
            continue
        made = [
            (place, other) for place, later in enumerate(scene.revision.statements)
            if place >= number and later.transaction == statement.transaction
            for other in later.changes if other.action == "added"
        ]  # fmt: skip
        lost = [
            other for other in statement.changes
            if other.kind == "constraint" and other.action == "gone" and other.before.type == "f"
            and other.before.references == relation and not any(_stands_for(other, one) for _, one in made)
        ]  # fmt: skip
        keys = f"with it goes {', '.join(other.object for other in lost)}" if lost else ""
        columns = f"({', '.join(change.before.columns)})"
        wanted = _renamed(scene, number, relation, change.before.columns)
        if not any(
            _is_key(one, relation) and _renamed(scene, place, relation, one.after.columns) == wanted
            for place, one in made
        ):
            keys = (
                f"INSERT ... ON CONFLICT {columns} fails from then on, and it no longer keeps rows of {relation} from being"
                f" there twice{'; ' if keys else ''}{keys}"
            )
        if keys:
            danger = "danger" if lost else "warning"
            yield Hit(change.object, number, keys, danger if severity == "danger" else "info", words_of(change))  # type: ignore[arg-type]


def _stands_for(gone: Change, made: Change) -> bool:
    """Whether a foreign key comes for one that went."""
    one, other = gone.before, made.after
    return (
        made.kind == "constraint" and other.type == "f" and made.relation == gone.relation
        and (one.columns, one.references) == (other.columns, other.references)
    )  # fmt: skip


def _is_key(made: Change, relation: Relation) -> bool:
    """Whether ON CONFLICT can find what was made."""
    if made.relation != relation:
        return False
    if made.kind == "index":
        return bool(made.after.unique and not made.after.partial and not made.after.expressions)
    return made.kind == "constraint" and made.after.type in {"p", "u"}


def _renamed(scene: Scene, number: int, relation: Relation, columns: Sequence[str]) -> set[str]:
    """Return what some columns are called at the end of a statement's transaction."""
    statements = scene.revision.statements
    found = set(columns)
    for later in statements[number:]:
        for change in later.changes if later.transaction == statements[number].transaction else ():
            if (change.kind, change.what, change.relation) == ("column", "name", relation) and change.name in found:
                found = found - {change.name} | {change.after.name}
    return found
