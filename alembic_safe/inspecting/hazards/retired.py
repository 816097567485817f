"""Which facts come with what is retired: kept aside, and then gone from where programs look for it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.inspecting.hazard import Example, Hazard, Hit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.inspecting.hazard import Scene

_SCHEMA = "alembic_safe_retired"


def _retired(scene: Scene) -> Iterator[Hit]:
    for number, statement, change in scene.revision.changes():
        relation = change.relation
        if relation is None or relation.new or not statement.ours or relation.schema == _SCHEMA:
            continue
        column = change.kind == "column" and change.action == "gone"
        table = change.kind == "table" and change.what == "schema" and change.after == _SCHEMA
        if column or table:
            kept = "what it holds is kept" if column else "its rows are kept"
            yield Hit(
                change.object, number, f"{scene.about(relation)}: {kept}; programs that still name it fail from then on",
                "info", {"table": str(relation)},
            )  # fmt: skip


RETIRED = (
    Hazard(
        "retire", "A column or a table is kept aside, and goes", "breaks",
        "Nothing is lost: what it holds is kept in the schema alembic_safe_retired, and the downgrade brings it back. Programs"
        " that still name it fail, as they would with a drop; that is why a contract waits at its gate until none runs any"
        " more.",
        "nothing, once no program names it any more; what is kept is listed by\nalembic safe-status", _retired,
        Example('op.retire_column("users", sa.Column("email", sa.String(50)), key=("id",))'),
        Example('op.add_column("users", sa.Column("nick", sa.Text))', ("ALTER TABLE users ADD COLUMN nick text",)),
        rows=(12, 57), ours_too=True,
    ),
)  # fmt: skip
