"""Which hazards come with a column that goes or gets another name?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.inspecting.hazard import Example, Hazard, Hit, Scene
from alembic_safe.inspecting.live import shown_number
from alembic_safe.inspecting.trace import Relation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.inspecting.hazard import Severity
    from alembic_safe.inspecting.required_columns import Required
    from alembic_safe.inspecting.trace import Change, Statement


def gone(scene: Scene) -> Iterator[tuple[int, Statement, Change]]:
    """Yield the columns that go from tables which the target has."""
    for number, statement, change in scene.revision.changes("column", "gone"):
        if change.relation is not None and not change.relation.new and change.relation.kind == "table":
            yield number, statement, change


def _drop(scene: Scene) -> Iterator[Hit]:
    for number, statement, change in gone(scene):
        relation = change.relation
        assert relation is not None  # noqa: S101
        severity = scene.by_rows(relation)
        if severity is None or scene.is_new_column(number, relation, change.name):
            continue
        facts = scene.live.facts(relation)
        filled = facts.filled.get(change.name) if facts is not None else None
        if change.before.generated:
            severity, lost = "info", "it is generated from others and holds nothing of its own"
        elif filled == 0:
            severity, lost = "info", "it holds no value"
        elif filled is not None and facts is not None:
            lost = f"{shown_number(filled, exact=facts.exact)} values are lost"
        else:
            lost = "its values are lost"
        column = change.before
        again = any(
            other.kind == "column" and (other.action == "added" or other.what == "name")
            and (other.relation, other.after.name) == (relation, change.name)
            for later in scene.revision.statements[number:] if later.transaction == statement.transaction
            for other in later.changes
        )  # fmt: skip
        then = (
            "a new column takes its name, and programs read that" if again
            else "every program that names it fails from then on"
        )  # fmt: skip
        yield Hit(
            change.object, number, f"{scene.about(relation)}: {lost}, and {then}", severity,
            {"table": str(relation), "column": change.name, "type": column.type},
        )  # fmt: skip


def _taken_along(scene: Scene) -> Iterator[Hit]:
    for number, statement, change in gone(scene):
        relation = change.relation
        assert relation is not None  # noqa: S101
        severity = scene.by_use(relation)
        lost = [
            other.name for other in statement.changes
            if other.relation == relation and other.action == "gone" and other.kind in {"index", "constraint"}
            and change.name in other.before.columns and len(other.before.columns) > 1
        ]  # fmt: skip
        if severity and lost:
            names = ", ".join(sorted(set(lost)))
            yield Hit(
                change.object, number, f"{names} on {scene.about(relation)} goes with it, the other columns in it included",
                "warning", {"table": str(relation), "column": change.name, "name": names},
            )  # fmt: skip


def _unfilled(scene: Scene) -> Iterator[Hit]:
    for number, _, change in gone(scene):
        relation, column = change.relation, change.before
        assert relation is not None  # noqa: S101
        if (
            scene.by_rows(relation) is None
            or not column.not_null
            or column.default
            or column.identity
            or column.generated
        ):
            continue
        yield Hit(
            change.object, number,
            f"until it is gone, a program that no longer knows it cannot insert into {relation}: it is NOT NULL without a"
            " default",
            "warning", {"table": str(relation), "column": change.name, "type": column.type},
        )  # fmt: skip
    yield from _not_in_the_models(scene)


def _not_in_the_models(scene: Scene) -> Iterator[Hit]:
    """Yield what is required behind the last revision, and what the models, which fill the rest of the table, do not have."""
    for one in scene.trace.required:
        mapped = scene.live.mapped.get((one.schema, one.table))
        if mapped is None or one.name in mapped:
            continue
        relation = Relation(one.schema, one.table)
        number, statement = _made_required(scene, one)
        if scene.number != (len(scene.trace.revisions) - 1 if number < 0 else number):
            continue
        severity: Severity = "info" if one.triggers else "danger" if number >= 0 else "warning"
        unless = f", unless a trigger fills it ({', '.join(one.triggers)})" if one.triggers else ""
        yield Hit(
            f"{relation}.{one.name}", statement,
            f"the models have {relation} without {one.name}, which is NOT NULL and has no default: every INSERT of the"
            f" application fails{unless}",
            severity, {"table": str(relation), "column": one.name},
        )  # fmt: skip


def _made_required(scene: Scene, column: Required) -> tuple[int, int]:
    """Return the revision and the statement that made a column required; -1 for what was so before."""
    found = -1, -1
    table = (column.schema, column.table)
    for number, revision in enumerate(scene.trace.revisions):
        for statement, _, change in revision.changes():
            relation = change.relation
            if change.kind == "table" and change.action == "added":
                came = (change.after.schema, change.after.name) == table
            else:
                came = (
                    change.kind == "column" and relation is not None and (relation.schema, relation.name) == table
                    and change.after is not None and change.after.name == column.name
                    and change.what in {"", "not null", "default", "identity", "name"}
                )  # fmt: skip
            found = (number, statement) if came else found
    return found


def _rename(scene: Scene) -> Iterator[Hit]:
    for number, _, change in scene.revision.changes("column", "changed", "name"):
        relation = change.relation
        if relation is None:
            continue
        severity = scene.by_rows(relation)
        if severity and not scene.is_new_column(number, relation, change.name):
            new = change.after.name
            yield Hit(
                change.object, number,
                f"every program that says {change.name} fails from then on; views keep the old name", severity,
                {"table": str(relation), "column": change.name, "new": new, "type": change.before.type},
            )  # fmt: skip


def _drop_not_null(scene: Scene) -> Iterator[Hit]:
    for number, _, change in scene.revision.changes("column", "changed", "not null"):
        if change.before.not_null and change.relation is not None and not change.relation.new:
            yield Hit(
                change.object, number, "programs that read it meet NULL for the first time", "advice",
                {"table": str(change.relation), "column": change.name},
            )  # fmt: skip


def _default(scene: Scene) -> Iterator[Hit]:
    for number, _, change in scene.revision.changes("column", "changed", "default"):
        one, other, relation = change.before, change.after, change.relation
        if relation is None or relation.new or one.default is None or other.generated or other.identity:
            continue
        if other.default is None and one.not_null and other.not_null:
            yield Hit(
                change.object, number,
                f"INSERTs of running programs that leave {change.name} out of {relation} fail: it is NOT NULL",
                "warning",
                {"table": str(relation), "column": change.name},
            )  # fmt: skip


COLUMNS_GONE = (
    Hazard(
        "drop-column", "A column and its values go", "loses",
        "The values are gone as soon as the revision is committed; a downgrade brings back an empty column. Programs of the"
        " release"
        " before, which still run during the deploy, name the column in every SELECT and INSERT: they fail.",
        'op.retire_column("$table", sa.Column("$column", ...), key=("id",))', _drop,
        Example('op.drop_column("users", "email")', ("ALTER TABLE users DROP COLUMN email",)),
        Example('op.retire_column("users", sa.Column("email", sa.String(50)), key=("id",))'),
        rows=(12,),
    ),
    Hazard(
        "drop-column-with-index", "A column goes, and takes an index over several columns along", "breaks",
        "PostgreSQL drops every index, constraint and statistics object that names the column, without a word: queries over the"
        " other columns lose their index, and a rule over several columns no longer holds.",
        "make the index over the columns that stay first, in a revision of its own", _taken_along,
        Example('op.drop_column("orders", "note")', ("ALTER TABLE orders DROP COLUMN note",)),
        Example('op.drop_column("orders", "placed")', ("ALTER TABLE orders DROP COLUMN placed",)),
        setup="""CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint, note text, placed timestamptz);
CREATE INDEX orders_user_note ON orders (user_id, note);""",
        rows=(12,),
    ),
    Hazard(
        "unfilled-column", "A required column that new programs no longer fill", "breaks",
        "Between the start of the new programs and the end of the column, their INSERTs leave out a column that is NOT NULL"
        " and has"
        " no default: they fail. The same where the column stays: what is required behind the last pending revision, and"
        " what the models that env.py names do not have. A trigger before INSERT may fill it.",
        'in an earlier release, before the models lose it:\nop.alter_column("$table", "$column", existing_type=...,'
        " nullable=True)",
        _unfilled,
        Example('op.drop_column("orders", "total")', ("ALTER TABLE orders DROP COLUMN total",)),
        Example('op.drop_column("orders", "note")', ("ALTER TABLE orders DROP COLUMN note",)),
        rows=(13,),
    ),
    Hazard(
        "rename-column", "A column gets another name", "breaks",
        "The lock is short, and every statement of the programs that run fails from the next moment on. Views keep the old"
        " name.",
        'a new column kept equal to the old one until no program uses that:\nop.add_column("$table", sa.Column("$new", ...))',
        _rename,
        Example('op.alter_column("users", "name", new_column_name="full_name")',
                ("ALTER TABLE users RENAME COLUMN name TO full_name",)),
        Example('op.add_column("users", sa.Column("full_name", sa.Text))',
                ("ALTER TABLE users ADD COLUMN full_name text",)),
        rows=(14,),
    ),
    Hazard(
        "nulls-appear", "A column may be NULL from now on", "advice",
        "Programs that were written while it could not be NULL read NULL.",
        "deploy the programs that can read NULL first", _drop_not_null,
        Example('op.alter_column("orders", "total", nullable=True)', ("ALTER TABLE orders ALTER COLUMN total DROP NOT NULL",)),
        Example('op.alter_column("orders", "total", nullable=False)', ("ALTER TABLE orders ALTER COLUMN total SET NOT NULL",)),
        rows=(23,),
    ),
    Hazard(
        "default-goes", "A required column loses its default", "breaks",
        "Programs that leave the column out of their INSERTs relied on the default; without it the column is NULL, which it"
        " must not"
        " be. Programs that cached the old default go on to write it.",
        'let it go in the release after the one whose programs fill "$column" themselves', _default,
        Example('op.alter_column("users", "active", server_default=None)',
                ("ALTER TABLE users ALTER COLUMN active DROP DEFAULT",)),
        Example('op.alter_column("users", "active", server_default=sa.text("false"))',
                ("ALTER TABLE users ALTER COLUMN active SET DEFAULT false",)),
        rows=(24,),
    ),
)  # fmt: skip
