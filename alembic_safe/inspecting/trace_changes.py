"""What has changed between two looks at a relation?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic_safe.inspecting.trace import Change, Column, Constraint, Index

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alembic_safe.inspecting.trace import Relation
    from alembic_safe.inspecting.trace_state import OtherState, RelationState

_COLUMN = {"name": "name", "type_id": "type", "not_null": "not null", "default": "default", "identity": "identity",
           "generated": "generated", "collation": "collation"}  # fmt: skip
_PARTS = (("trigger", "triggers"), ("policy", "policies"), ("rule", "rules"))


def relation_changes(before: RelationState | None, after: RelationState | None, relation: Relation) -> Iterator[Change]:
    """Yield what a statement made of a relation.

    :param relation: what the relation is called in the target.
    """
    if before is None and after is not None:
        yield Change(after.kind, "added", relation, after.name, after=after)
        for constraint in after.constraints.values():
            if constraint.type == "f":
                yield Change("constraint", "added", relation, constraint.name, after=constraint)
        return
    if after is None and before is not None:
        yield Change(before.kind, "gone", relation, before.name, before=before)
        return
    assert before is not None  # noqa: S101
    assert after is not None  # noqa: S101
    if before.name != after.name:
        yield Change(before.kind, "changed", relation, before.name, "name", before.name, after.name)
    if before.schema != after.schema:
        yield Change(before.kind, "changed", relation, before.name, "schema", before.schema, after.schema)
    for name in before.attributes:
        if before.attributes[name] != after.attributes[name]:
            yield Change(
                before.kind, "changed", relation, before.name, name, before.attributes[name], after.attributes[name]
            )
    yield from _columns(before, after, relation)
    yield from _constraints(before.constraints, after.constraints, relation)
    yield from _indexes(before.indexes, after.indexes, relation)
    for kind, attribute in _PARTS:
        yield from _named(kind, getattr(before, attribute), getattr(after, attribute), relation)


def _columns(before: RelationState, after: RelationState, relation: Relation) -> Iterator[Change]:
    for number in before.columns.keys() | after.columns.keys():
        one, other = before.columns.get(number), after.columns.get(number)
        if one is None or other is None:
            yield _came_or_went("column", relation, one, other)
            continue
        for attribute, what in _COLUMN.items():
            if getattr(one, attribute) != getattr(other, attribute):
                yield Change("column", "changed", relation, one.name, what, one, other)


def _constraints(
    before: Mapping[int, Constraint], after: Mapping[int, Constraint], relation: Relation
) -> Iterator[Change]:
    gone = {oid: one for oid, one in before.items() if oid not in after}
    for oid in sorted(after.keys() - before.keys()):
        # ALTER COLUMN TYPE makes the constraints of the column anew: that is no new one
        twin = next(
            (old for old, one in gone.items() if one.name == after[oid].name and one.type == after[oid].type), None
        )
        if twin is not None:
            one = gone.pop(twin)
            if (one.definition, one.valid) != (after[oid].definition, after[oid].valid):
                yield Change("constraint", "changed", relation, one.name, "definition", one, after[oid])
            else:
                yield Change("constraint", "changed", relation, one.name, "made anew", one, after[oid])
            continue
        yield _came_or_went("constraint", relation, None, after[oid])
    for one in gone.values():
        yield _came_or_went("constraint", relation, one, None)
    for oid in before.keys() & after.keys():
        one, other = before[oid], after[oid]
        if one.name != other.name:
            yield Change("constraint", "changed", relation, one.name, "name", one, other)
        if one.valid != other.valid:
            yield Change("constraint", "changed", relation, one.name, "valid", one, other)


def _indexes(before: Mapping[int, Index], after: Mapping[int, Index], relation: Relation) -> Iterator[Change]:
    gone = {oid: one for oid, one in before.items() if oid not in after}
    for oid in sorted(after.keys() - before.keys()):
        twin = next((old for old, one in gone.items() if one.name == after[oid].name), None)
        if twin is not None:
            one = gone.pop(twin)
            if one.filenode == after[oid].filenode:
                continue  # taken over as it is, by a type that touches no row
            yield Change("index", "changed", relation, one.name, "built", one, after[oid])
            continue
        yield _came_or_went("index", relation, None, after[oid])
    for one in gone.values():
        yield _came_or_went("index", relation, one, None)
    for oid in before.keys() & after.keys():
        one, other = before[oid], after[oid]
        if one.name != other.name:
            yield Change("index", "changed", relation, one.name, "name", one, other)
        if one.filenode != other.filenode:
            yield Change("index", "changed", relation, one.name, "built", one, other)
        if one.valid != other.valid:
            yield Change("index", "changed", relation, one.name, "valid", one, other)


def _named(
    kind: str, before: Mapping[int, tuple[str, ...]], after: Mapping[int, tuple[str, ...]], relation: Relation
) -> Iterator[Change]:
    for oid in before.keys() | after.keys():
        one, other = before.get(oid), after.get(oid)
        if one is None or other is None:
            name = (one or other or ("",))[0]
            yield Change(kind, "added" if one is None else "gone", relation, name, before=one, after=other)
        elif one != other:
            what = "name" if one[0] != other[0] else "enabled"
            yield Change(kind, "changed", relation, one[0], what, one, other)


def _came_or_went(kind: str, relation: Relation, one: Any, other: Any) -> Change:
    named: Column | Constraint | Index = one or other
    return Change(kind, "added" if one is None else "gone", relation, named.name, before=one, after=other)


def other_changes(before: OtherState, after: OtherState) -> Iterator[Change]:
    """Yield what a statement made of types, routines, schemas and the like."""
    for kind, objects in after.objects.items():
        old = before.objects.get(kind, {})
        for oid in old.keys() | objects.keys():
            one, other = old.get(oid), objects.get(oid)
            named = one or other or ("",)
            name = ".".join(named[:2]) if kind in {"enum value", "domain constraint"} else named[0]
            name = name.removeprefix("public.")
            if one is None or other is None:
                yield Change(kind, "added" if one is None else "gone", None, name, before=one, after=other)
            elif one != other:
                label = 1 if kind in {"enum value", "domain constraint"} else 0
                what = "name" if one[label] != other[label] else "definition"
                yield Change(kind, "changed", None, name, what, one, other)
