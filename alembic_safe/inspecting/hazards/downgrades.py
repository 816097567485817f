"""Which hazards come with the way back: a downgrade() that destroys, does nothing or does not run?"""

# The downgrade is tried on the shadow right behind its upgrade, and rolled back, where the policy says `downgrades`.
from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.inspecting.hazard import Example, Hazard, Hit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.inspecting.hazard import Scene, Severity
    from alembic_safe.inspecting.trace import Relation, RevisionTrace

_STAY = frozenset({"enum value", "extension", "statistics"})
"""What no downgrade takes away, or need not: PostgreSQL has no way to drop a label of an enum."""


def _made(revision: RevisionTrace) -> tuple[set[Relation], set[tuple[Relation, str]]]:
    """Return the tables and the columns that a revision adds, under the names that they have behind it."""
    tables: set[Relation] = set()
    columns: set[tuple[Relation, str]] = set()
    for _, _, change in revision.changes():
        relation = change.relation
        if relation is None:
            continue
        if change.kind in {"table", "materialized view"} and change.action == "added":
            tables.add(relation)
        elif change.kind == "column" and change.action == "added":
            columns.add((relation, change.name))
        elif change.kind == "column" and change.what == "name" and (relation, change.name) in columns:
            columns.add((relation, change.after.name))
    return tables, columns


def _loses(scene: Scene) -> Iterator[Hit]:
    down = scene.revision.downgrade
    if down is None:
        return
    tables, columns = _made(scene.revision)
    for _, statement, change in down.changes(action="gone"):
        relation = change.relation
        if relation is None or relation.kind != "table" or change.kind not in {"table", "column"} or statement.ours:
            continue
        if relation in tables or (relation, change.name) in columns:
            yield Hit(
                change.object, -1, f"downgrade() drops {change.object}: what was written there since the upgrade is lost",
                "info", {"table": str(relation), "column": change.name},
            )  # fmt: skip
            continue
        yield Hit(
            change.object, -1,
            f"downgrade() drops {change.object}, which this revision did not make: what is in {scene.about(relation)} is lost",
            _severity(scene, relation), {"table": str(relation), "column": change.name},
        )  # fmt: skip
    seeded = {write.relation for one in scene.revision.statements for write in one.writes if write.kind == "INSERT"}
    for statement in down.statements:
        for write in statement.writes:
            if write.kind not in {"DELETE", "TRUNCATE"} or write.relation in tables or statement.ours:
                continue
            yield Hit(
                str(write.relation), -1, f"downgrade() sends a {write.kind} to {scene.about(write.relation)}",
                "info" if write.kind == "DELETE" and write.relation in seeded else _severity(scene, write.relation),
                {"table": str(write.relation), "column": "..."},
            )  # fmt: skip


def _severity(scene: Scene, relation: Relation) -> Severity:
    """Return how bad it is: nothing is lost on the way up, so never more than a warning."""
    return "info" if scene.by_rows(relation) in {None, "info"} else "warning"


def _empty(scene: Scene) -> Iterator[Hit]:
    down = scene.revision.downgrade
    if down is None or not down.ran_through or any(one.changes or one.writes for one in down.statements):
        return
    changed = [change.object for _, _, change in scene.revision.changes() if change.kind not in _STAY]
    if changed:
        more = f" and {len(set(changed)) - 1} more" if len(set(changed)) > 1 else ""
        yield Hit(
            scene.revision.revision, -1,
            f"downgrade() leaves {changed[0]}{more} as the upgrade made it: the database would say that it is at the revision"
            " before, and would not be",
            "warning",
        )  # fmt: skip


def _fails(scene: Scene) -> Iterator[Hit]:
    down = scene.revision.downgrade
    if down is not None and not down.ran_through:
        failed = f"downgrade() does not run: {down.failed.rstrip('.')}" if down.failed else ""
        yield Hit(
            scene.revision.revision, -1, failed or f"downgrade() was not seen to its end: {down.not_observed}",
            "warning" if failed else "info",
        )  # fmt: skip


_ADD = ('op.add_column("users", sa.Column("nick", sa.Text))', ("ALTER TABLE users ADD COLUMN nick text",))
_KEPT = Example(*_ADD, downgrade='op.retire_column("users", sa.Column("nick", sa.Text), key=("id",))',
                downgrade_sql=("ALTER TABLE users DROP COLUMN nick",))  # fmt: skip

DOWNGRADES = (
    Hazard(
        "downgrade-loses", "The downgrade drops what holds data", "loses",
        "A downgrade is run in a hurry, by somebody who wants the state of an hour ago. What it drops is gone with all that"
        " was written there since, and where it drops more than its own upgrade made, with all that was there before. Told"
        " where the policy says `downgrades`.",
        'op.retire_column("$table", sa.Column("$column", ...), key=("id",)), in downgrade(), too', _loses,
        Example(*_ADD, downgrade='op.drop_column("users", "name")', downgrade_sql=("ALTER TABLE users DROP COLUMN name",)),
        Example(_ADD[0], downgrade='op.retire_column("users", sa.Column("nick", sa.Text), key=("id",))'),
        rows=(78,),
    ),
    Hazard(
        "downgrade-empty", "The downgrade does nothing", "leaves",
        "The version goes back and the schema does not. The next upgrade meets what is there already, and fails; every"
        " comparison with the files shows a difference. Told where the policy says `downgrades`.",
        "undo in downgrade() what upgrade() does, or say that there is no way back:\n"
        'raise NotImplementedError("restore the backup")', _empty,
        Example(*_ADD, downgrade="pass", downgrade_sql=("SELECT 1",)), _KEPT,
        rows=(78,),
    ),
    Hazard(
        "downgrade-fails", "The downgrade does not run", "fails",
        "Nobody has tried it, and the moment in which it is needed is a bad one to find that out. safe-upgrade --back-out needs"
        " it, too. Told where the policy says `downgrades`.",
        "try it: alembic safe-rehearse runs down and up again", _fails,
        Example(*_ADD, downgrade='op.drop_column("users", "nik")', downgrade_sql=("ALTER TABLE users DROP COLUMN nik",)),
        _KEPT,
        rows=(78,),
    ),
)  # fmt: skip
