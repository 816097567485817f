"""Which matters of style are told where somebody asks for advice?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.inspecting.hazard import Example, Hazard, Hit, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.inspecting.trace import Column, Relation


def _columns(scene: Scene) -> Iterator[tuple[int, Relation, Column, bool]]:
    """Yield the columns that come, with whether they are a key."""
    for number, _, change in scene.revision.changes(action="added"):
        if change.relation is None:
            continue
        if change.kind == "column":
            yield number, change.relation, change.after, False
        elif change.kind == "table":
            keys = {name for one in change.after.constraints.values() if one.type == "p" for name in one.columns}
            for column in change.after.columns.values():
                yield number, change.relation, column, column.name in keys


def _narrow(scene: Scene) -> Iterator[Hit]:
    for number, relation, column, is_key in _columns(scene):
        why = ""
        if column.type.startswith("character("):
            why = "char(n) pads with blanks; text with a CHECK can be widened without a rewrite"
        elif column.type == "timestamp without time zone":
            why = "it stands for another moment in each session's zone; timestamptz does not"
        elif is_key and column.type in {"integer", "smallint"}:
            why = f"a key of type {column.type} ends, and widening it rewrites the table"
        elif (column.default or "").startswith("nextval("):
            why = "serial leaves a sequence with rights of its own; GENERATED ... AS IDENTITY does not"
        if why:
            yield Hit(
                f"{relation}.{column.name}", number, why, "advice", {"table": str(relation), "column": column.name}
            )


ADVICE = (
    Hazard(
        "narrow-type", "A type that has to be changed one day", "advice",
        "char(n), timestamp without time zone, an integer key, serial: each works, and each is a rewrite or a surprise later.",
        "text with a CHECK, timestamptz, bigint, IDENTITY", _narrow,
        Example('op.create_table("logs", sa.Column("id", sa.Integer, primary_key=True))',
                ("CREATE TABLE logs (id int PRIMARY KEY)",)),
        Example('op.create_table("logs", sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True))',
                ("CREATE TABLE logs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)",)),
        rows=(26,),
    ),
)  # fmt: skip
