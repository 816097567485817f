"""In which labels do the enums of models and database differ, and which operations say so?"""

# Alembic does not compare the labels of enums. Here they are compared for the rewriter, and what the package
# alembic-postgresql-enum found of the same is taken for it: its own operation writes every row under an exclusive lock,
# and the one that only adds a label puts it behind the label that it should stand before (seen in its version 1.11).
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations.ops import AddColumnOp, AlterColumnOp, CreateTableOp
from sqlalchemy import ARRAY, Enum
from sqlalchemy.types import TypeDecorator

from alembic_safe.authoring import enum_labels
from alembic_safe.authoring.change_operations import AddLabelOp, SqlOp
from alembic_safe.authoring.enum_operations import ChangeLabelsOp
from alembic_safe.authoring.keeping import taken_back_by
from alembic_safe.database.statements import quoted, run
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.difference_sql_names import literal
from alembic_safe.inspecting.open_differences import belongs_to
from alembic_safe.operations.enum_types import CreateEnumTypeOp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from alembic.operations.ops import MigrateOperation
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection, MetaData, Table

    from alembic_safe.authoring.renames import Rename
    from alembic_safe.inspecting.catalog_records import Catalog
    from alembic_safe.inspecting.changes import Change
    from alembic_safe.inspecting.settles import Settle

ENUM = "enum"
"""The key in the ``info`` of a column of an enum under which stands what becomes of labels that go."""

_THEIRS = "alembic_postgresql_enum"
_THEIRS_OF_LABELS = frozenset({"AddEnumValuesOp", "SyncEnumValuesOp"})
_LABELS = """
SELECT n.nspname AS schema, t.typname AS name,
  ARRAY(SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)::text[] AS labels
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'e' AND t.typname = ANY(CAST(:names AS text[]))
"""


def enum_of(type_: Any) -> Enum | None:
    """Return the native enum that a type is, or is an array of, or wraps."""
    if isinstance(type_, ARRAY):
        return enum_of(type_.item_type)
    if isinstance(type_, TypeDecorator):
        return enum_of(type_.impl_instance)
    return type_ if isinstance(type_, Enum) and type_.native_enum and type_.name else None


def enums_of(tables: Iterable[Table], default: str) -> dict[ObjectId, tuple[str, ...]]:
    """Return the labels of every enum that tables use."""
    found: dict[ObjectId, tuple[str, ...]] = {}
    for table in tables:
        for column in table.columns:
            enum = enum_of(column.type)
            if enum is not None:
                found.setdefault(_id(enum, default), tuple(enum.enums))
    return found


def labels_said(models: Iterable[MetaData], default: str) -> dict[ObjectId, dict[str, str]]:
    """Return what the models say of labels that go: ``info={"enum": {"finished": "done"}}`` on a column."""
    found: dict[ObjectId, dict[str, str]] = {}
    for metadata in models:
        for table in metadata.tables.values():
            for column in table.columns:
                enum = enum_of(column.type)
                said = column.info.get(ENUM)
                if enum is not None and isinstance(said, dict):
                    found.setdefault(_id(enum, default), {}).update({str(k): str(v) for k, v in said.items()})
    return found


def _id(enum: Enum, default: str) -> ObjectId:
    return ObjectId("enum", str(enum.schema or default), str(enum.name))


def labels_changed(
    connection: Connection, type_: ObjectId, wanted: Sequence[str], held: Sequence[str], said: Mapping[str, str]
) -> ChangeLabelsOp:
    """Return the operation for labels that cannot just be added; reads only."""
    steps = enum_labels.made_again(connection, type_, wanted, held, said)
    there = enum_labels.there(held, wanted, said)
    added = [label for label in wanted if label not in held and label not in there.values()]
    first = enum_labels.after_additions([*held, *added], held)
    back = enum_labels.made_again(connection, type_, held, first) if added else []
    return ChangeLabelsOp(
        type_, held, wanted, said, steps, enum_labels.columns_of(connection, type_), [step.forward for step in back]
    )


def label_renamed(connection: Connection, rename: Rename, now: Catalog) -> ChangeLabelsOp:
    """Return the operation for one label under another name; reads only."""
    type_ = ObjectId("enum", rename.schema, rename.table)
    held: Any = now.objects[type_]["labels"]
    alter = f"ALTER TYPE {quoted(rename.schema, rename.table)} RENAME VALUE"
    old, new = literal(rename.old), literal(rename.new)
    becomes = [rename.new if label == rename.old else label for label in held]
    step = enum_labels.Step(f"{alter} {old} TO {new}", f"{alter} {new} TO {old}")
    columns = enum_labels.columns_of(connection, type_)
    return ChangeLabelsOp(type_, held, becomes, {rename.old: rename.new}, [step], columns)


def with_enums(
    context: MigrationContext, operations: Sequence[MigrateOperation], models: Sequence[MetaData],
    without: Iterable[ObjectId], answered: Callable[[], Iterable[Rename]], still_open: Iterable[Change],
) -> list[MigrateOperation]:  # fmt: skip
    """Return operations together with those for enums whose labels differ.

    :param operations: autogenerate's, or a milestone's, which speaks of enums already.
    :param without: the tables that ``env.py`` keeps from autogenerate.
    :param answered: returns what people answered in pushes, asked where labels differ.
    :param still_open: an enum to which such a change gives the labels of the models is left to it.
    :raises Refused: where it gives it others.
    """
    connection: Any = context.connection
    default = context.dialect.default_schema_name or "public"
    swaps = [(change, line) for change in still_open for line in change.settles if line.verb == "swap_enum"]
    settled = {(line.schema, name) for _, line in swaps for name in _types(line)}
    left_out = {(id_.schema, id_.name) for id_ in without}
    tables = [
        table for metadata in models for table in metadata.tables.values()
        if (table.schema or default, table.name) not in left_out
    ]  # fmt: skip
    found: list[MigrateOperation] = []
    spoken_of: set[ObjectId] = set()
    given: dict[ObjectId, tuple[str, ...]] = {}
    for op in operations:
        theirs = _type_of_theirs(op)
        if theirs is not None and (theirs.schema, theirs.name) in settled:
            continue
        if isinstance(op, (AddLabelOp, ChangeLabelsOp)):
            spoken_of.add(op.type_)
        if theirs is not None and type(op).__name__ in _THEIRS_OF_LABELS:
            given[theirs] = tuple(map(str, getattr(op, "new_values", ())))
        else:
            found.append(op)
    said_by_models = enums_of(tables, default)
    wanted = given | {
        id_: labels for id_, labels in said_by_models.items()
        if id_ not in spoken_of and (id_.schema, id_.name) not in settled
    }  # fmt: skip
    _require_no_further(connection, swaps, {id_: said_by_models[id_] for id_ in said_by_models.keys() - spoken_of})

    def said(type_: ObjectId) -> dict[str, str]:
        answers = {
            one.old: one.new for one in answered()
            if one.kind == "label" and (one.schema, one.table) == (type_.schema, type_.name)
        }  # fmt: skip
        return answers | labels_said(models, default).get(type_, {})

    return [*_missing(connection, found, default), *_differing(connection, wanted, said), *found]


def _missing(
    connection: Connection, operations: Sequence[MigrateOperation], default: str
) -> Iterator[CreateEnumTypeOp]:  # fmt: skip
    """Yield what makes the enums of columns that come: Alembic makes one with a table, and with no column."""
    if any(type(op).__name__ == "CreateEnumOp" and type(op).__module__.startswith(_THEIRS) for op in operations):
        return
    with_tables = {
        _id(enum, default)
        for op in operations if isinstance(op, CreateTableOp) for column in op.to_table().columns
        if (enum := enum_of(column.type)) is not None
    }  # fmt: skip
    types = [op.column.type for op in operations if type(op) is AddColumnOp]
    types += [op.modify_type for op in operations if isinstance(op, AlterColumnOp) and op.modify_type is not None]
    wanted = {
        _id(enum, default): tuple(enum.enums) for type_ in types
        # who says create_type=False makes it, as a milestone does
        if (enum := enum_of(type_)) is not None and getattr(enum, "create_type", True)
    }  # fmt: skip
    rows = run(connection, _LABELS, {"names": sorted({id_.name for id_ in wanted})}) if wanted else []
    there = {ObjectId("enum", row["schema"], row["name"]) for row in rows}
    for id_ in sorted(wanted.keys() - there - with_tables):
        yield CreateEnumTypeOp(id_.name, wanted[id_], schema=None if id_.schema == default else id_.schema)


def _differing(
    connection: Connection, wanted: Mapping[ObjectId, tuple[str, ...]], said: Callable[[ObjectId], dict[str, str]]
) -> Iterator[MigrateOperation]:
    rows = run(connection, _LABELS, {"names": sorted({id_.name for id_ in wanted})}) if wanted else []
    for row in rows:
        type_, held = ObjectId("enum", row["schema"], row["name"]), tuple(row["labels"])
        labels = wanted.get(type_, held)
        if labels == held:
            continue
        if enum_labels.after_additions(labels, held) != labels:
            yield labels_changed(connection, type_, labels, held, said(type_))
            continue
        added = [AddLabelOp(sql, type_) for sql in enum_labels.additions(type_, labels, held)]
        # nothing takes a label back but a type made anew
        back = enum_labels.made_again(connection, type_, held, labels)
        taken_back_by(added, [SqlOp(step.forward) for step in back])
        yield from added


def _types(line: Settle) -> tuple[str, str]:
    return line.table, str(line.facts["new"])


def _require_no_further(
    connection: Connection, swaps: Sequence[tuple[Change, Settle]], wanted: Mapping[ObjectId, tuple[str, ...]]
) -> None:
    """Stop where the models give an enum other labels than the open change that is about it."""
    names = [name for _, line in swaps for name in _types(line)]
    rows = run(connection, _LABELS, {"names": sorted(names)}) if names else []
    held = {(row["schema"], row["name"]): tuple(row["labels"]) for row in rows}
    for change, line in swaps:
        type_, new = ((line.schema, name) for name in _types(line))
        leads_to = held.get(new) or held.get(type_)  # where the contract ran already, it has its final name
        labels = wanted.get(ObjectId("enum", *type_))
        if labels is None or leads_to is None or labels == leads_to:
            continue
        raise belongs_to(
            line.table, change, line,
            f"It leads to {', '.join(map(repr, leads_to))}; the models say {', '.join(map(repr, labels))}.",
        )  # fmt: skip


def _type_of_theirs(op: MigrateOperation) -> ObjectId | None:
    """Return the enum that an operation of alembic-postgresql-enum is about."""
    if not type(op).__module__.startswith(_THEIRS):
        return None
    said: Any = op
    name = getattr(said, "name", None)
    return None if name is None else ObjectId("enum", str(said.schema), str(name))
