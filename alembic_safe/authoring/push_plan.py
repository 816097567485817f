"""What is a push going to change, one line for each change?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.authoring.expressible import differences
from alembic_safe.authoring.following_names import new_names
from alembic_safe.authoring.renames import Rename, renamed
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.comparison import EXISTS, Difference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alembic_safe.inspecting.catalog_records import Catalog, Value

_WORDS = {"character varying": "varchar", "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz",
          "double precision": "double"}  # fmt: skip


@dataclass(frozen=True)
class PlannedChange:
    """One thing that is going to change.

    :param mark: ``+`` comes, ``-`` goes, ``~`` changes, ``>`` is renamed.
    :param name: as a person calls it: ``users.age``; the default schema is left out.
    :param text: what it is, or from what to what.
    :param object: what it is about, as the models, or else the database, call it.
    """

    mark: str
    name: str
    text: str
    object: ObjectId

    @property
    def line(self) -> str:
        """The change in one line, as the journal keeps it."""
        return f"{self.mark} {self.name}  {self.text}".rstrip()


@dataclass(frozen=True)
class Plan:
    """What the models say otherwise than the database.

    :param renames: what was decided about names; it is already in ``database``.
    :param database: the database as it will be called.
    :param found: the differences that are to go.
    :param kept: what only the database has and keeps: nobody of ours made it.
    """

    models: Catalog
    database: Catalog
    renames: tuple[Rename, ...]
    found: tuple[Difference, ...]
    kept: tuple[ObjectId, ...]
    changes: tuple[PlannedChange, ...]


def make_plan(
    models: Catalog,
    database: Catalog,
    renames: tuple[Rename, ...],
    *,
    keep: frozenset[ObjectId],
    without: Iterable[ObjectId],
    default_schema: str,
    fills: Mapping[ObjectId, str],
) -> Plan:
    """Say what is going to change; no database is asked.

    :param keep: objects of the database, under its own names, that are not dropped.
    :param without: objects that ``env.py`` leaves out.
    """
    now = renamed(database, renames)
    every = differences(models, now, without=without)
    kept = tuple(one.object for one in every if one.is_extra and one.object in keep)
    found = [one for one in every if not (one.is_extra and one.object in keep)]
    names = new_names(models, now, found)
    only_names = {name.object for name in names} | {name.object._replace(name=name.name) for name in names}
    found = [one for one in found if one.object not in only_names]
    changes = [_renamed(rename, default_schema) for rename in renames]
    told: set[ObjectId] = set()
    for one in found:
        if one.what != EXISTS and one.object in told:
            continue
        change = _change(one, models, now, found, default_schema, fills)
        if change is not None:
            changes.append(change)
            told.add(one.object)
    return Plan(models, now, renames, tuple(found), kept, tuple(changes))


def shown(id_: ObjectId, default_schema: str) -> str:
    """Return an object's name as a person types it: ``users.nick``; the default schema is left out."""
    words = [id_.parent, id_.name] if id_.kind in {"column", "label"} else [id_.name]
    return ".".join([*([] if id_.schema == default_schema or not id_.schema else [id_.schema]), *words])


def _renamed(rename: Rename, default_schema: str) -> PlannedChange:
    kind = rename.kind
    id_ = ObjectId(kind, rename.schema, rename.new, rename.table)
    return PlannedChange(">", shown(id_, default_schema), f"was {rename.old}", id_)


def _change(
    one: Difference,
    models: Catalog,
    now: Catalog,
    found: Iterable[Difference],
    default: str,
    fills: Mapping[ObjectId, str],
) -> PlannedChange | None:
    id_ = one.object
    name = shown(id_, default)
    if one.is_missing:
        if id_.kind == "sequence" and "owned_by" in models.objects[id_]:
            return None  # comes with its column
        return PlannedChange("+", name, _described(id_, models, fills), id_)
    if one.is_extra:
        return PlannedChange("-", name, _described(id_, now, {}), id_)
    own = [other for other in found if other.object == id_]
    texts = [text for other in own if (text := _from_to(other))]
    return PlannedChange("~", name, ", ".join(dict.fromkeys(texts)) or id_.kind, id_)


def _described(id_: ObjectId, catalog: Catalog, fills: Mapping[ObjectId, str]) -> str:
    attributes = catalog.objects[id_]
    if id_.kind == "column":
        parts = [type_word(attributes["type"]), "NOT NULL" if "not_null" in attributes else "nullable"]
        if "default" in attributes:
            parts.append(f"default {attributes['default']}")
        if "generated" in attributes:
            parts.append(f"computed as {attributes['expression']}")
        if "identity" in attributes:
            parts.append("identity")
        if id_ in fills:
            parts.append(f"existing rows get {fills[id_]}")
        return ", ".join(parts)
    if id_.kind == "table":
        columns = sum(part.kind == "column" for part in catalog.parts(id_))
        return f"table, {columns} column{'s' * (columns != 1)}"
    if id_.kind in {"constraint", "index"}:
        definition = str(attributes["definition"])
        if id_.kind == "index":
            unique = "unique index" if definition.startswith("CREATE UNIQUE") else "index"
            return f"{unique} on {id_.parent} {definition[definition.index(' USING ') + 7 :]}"
        return f"on {id_.parent}: {definition}"
    if id_.kind == "enum":
        return f"enum of {_listed(attributes['labels'])}"
    return id_.kind


def _from_to(one: Difference) -> str:
    left, right = one.left, one.right
    match one.what:
        case "type":
            return f"{type_word(right)} -> {type_word(left)}"
        case "not_null":
            return "NOT NULL" if left else "nullable"
        case "labels" if isinstance(left, tuple) and isinstance(right, tuple):
            come, go = [x for x in left if x not in right], [x for x in right if x not in left]
            parts = [f"+ {_listed(tuple(come))}"] * bool(come) + [f"- {_listed(tuple(go))}"] * bool(go)
            return "labels " + " ".join(parts) if parts else f"labels in another order: {_listed(left)}"
        case "definition":
            return f"{right} -> {left}"
        case "comment":
            return "comment"
        case "generated" if right is None:
            return "becomes computed"
        case "generated" if left is None:
            return "is no longer computed"
        case "expression" if left is None or right is None:
            return ""  # said by the line above
        case "expression" | "generated":
            return "computed otherwise"
        case _:
            return f"{one.what.replace('_', ' ')}: {_value(right)} -> {_value(left)}"


def type_word(value: Value | None) -> str:
    """Return a type as people write it."""
    text = str(value)
    for long, short in _WORDS.items():
        text = text.replace(long, short)
    return text


def _value(value: Value | None) -> str:
    if value is None:
        return "none"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _listed(labels: Value) -> str:
    return ", ".join(f"'{label}'" for label in labels) if isinstance(labels, tuple) else str(labels)
