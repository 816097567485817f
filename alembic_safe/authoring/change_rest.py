"""What is left to SQL where autogenerate says nothing, or where something stands in its way?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alembic.operations import ops

from alembic_safe.authoring.change_collations import recollated
from alembic_safe.authoring.change_operations import (
    CheckOp,
    DefaultOp,
    DropPartOp,
    DropTypeOp,
    ExcludeOp,
    GeneratedOp,
    KeyOp,
    NotNullNamedOp,
    PartCommentOp,
    SqlOp,
)
from alembic_safe.authoring.standing_aside import standing_aside
from alembic_safe.database.statements import quoted, run
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.comparison import Difference
from alembic_safe.inspecting.difference_sql import undo_sql
from alembic_safe.inspecting.difference_sql_make import TYPES, create_sql, drop_sql
from alembic_safe.inspecting.difference_sql_parts import constraint_sql

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from alembic_safe.inspecting.catalog_records import Catalog
    from alembic_safe.inspecting.difference_sql import Undo

FIRST = frozenset({"schema", "extension", "collation", "enum", "domain", "composite type", "range type", "sequence",
                    "function"})  # fmt: skip
"""The kinds that tables are made of: they come before the first table."""

_MOST_PASSES = 4
_PLAIN = frozenset({"definition", "sort", "position"})
"""What the catalog says of a check or an exclusion that is valid, enforced and inherited."""
_KEYS_ON = """
SELECT n.nspname AS schema, c.relname AS table, k.conname AS name, pg_get_constraintdef(k.oid) AS definition
FROM pg_constraint u JOIN pg_class uc ON uc.oid = u.conrelid JOIN pg_namespace un ON un.oid = uc.relnamespace
JOIN pg_constraint k ON k.conindid = u.conindid AND k.contype = 'f' AND k.conparentid = 0
JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE un.nspname = :schema AND uc.relname = :table AND u.conname = :name AND u.contype IN ('p', 'u')
"""
_GENERATED_FROM = """
SELECT DISTINCT g.attname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = :name
JOIN pg_attribute g ON g.attrelid = c.oid AND g.attgenerated <> '' AND NOT g.attisdropped
JOIN pg_attrdef f ON f.adrelid = c.oid AND f.adnum = g.attnum
JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = a.attnum AND (
  (d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid)
  OR (d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = g.attnum))
WHERE n.nspname = :schema AND c.relname = :table
"""


class CatalogChanges:
    """The part of a change that the catalogs tell.

    :param do: runs operations and notes them.
    :param read: returns the database as it is now.
    :param found: returns what is still to be settled there.
    :param retire: retires a column that is made anew.
    :param index: returns what makes an index of the models.
    :param resize: gives a column the size of the models; false where its type is another one.
    """

    def __init__(
        self,
        connection: Connection,
        models: Catalog,
        do: Callable[..., None],
        read: Callable[[], Catalog],
        found: Callable[[Catalog], list[Difference]],
        retire: Callable[[ObjectId], None],
        index: Callable[[ObjectId], ops.CreateIndexOp | None],
        resize: Callable[[ObjectId, Catalog], bool],
    ) -> None:
        self.connection = connection
        self.models = models
        self.do = do
        self.read = read
        self.found = found
        self.retire = retire
        self.index = index
        self.resize = resize
        self._made_anew: set[tuple[ObjectId, object]] = set()

    def clear_the_way(self) -> None:
        """Drop what a column's new type would break, and what holds no rows of its own: it is made again behind it."""
        now = self.read()
        found = self.found(now)
        tables = {(one.object.schema, one.object.parent) for one in found if one.what == "type"}
        parts = (one.object for one in found if not one.is_missing and one.what != "comment")
        for id_ in dict.fromkeys(one for one in parts if (one.schema, one.parent) in tables):
            if id_.kind == "index" or (id_.kind == "constraint" and _sort(now, id_) in {"c", "x"}):
                self._drop(id_, now)
        for one in found:
            if one.what == "type":
                name = {"schema": one.object.schema, "table": one.object.parent, "name": one.object.name}
                for row in run(self.connection, _GENERATED_FROM, name):
                    self._drop(one.object._replace(name=row["name"]), now)

    def _drop(self, id_: ObjectId, now: Catalog) -> None:
        forward = [DropPartOp(id_, sql) if id_.kind != "column" else SqlOp(sql) for sql in drop_sql(now, id_)]
        self.do(*forward, backward=[SqlOp(sql) for sql in create_sql(now, id_, set(now.objects))])

    def by_catalog(
        self, kinds: frozenset[str] = frozenset(), *, only_missing: bool = False, last_pass: bool = False
    ) -> None:
        """Settle what the catalogs differ in by SQL; again, until nothing is left or nothing more can be done."""
        last: list[Difference] = []
        for _ in range(_MOST_PASSES):
            now = self.read()
            wanted = [
                one for one in self.found(now)
                if (not kinds or one.object.kind in kinds) and (one.is_missing or not only_missing)
                and one.what != "labels" and not (one.is_extra and one.object.kind in {"table", "column"})
                and (last_pass or not (one.is_missing and one.object.kind in {"table", "column"}))
                and not (only_missing and "owned_by" in self.models.objects[one.object])
                and (last_pass or not one.is_extra or one.object.kind in {"constraint", "index"})
            ]  # fmt: skip
            # what was made as the models say and is not so will not be so the next time
            wanted = [one for one in wanted if (one.object, one.left) not in self._made_anew]
            undone = [undo for undo in undo_sql(wanted, self.models, now) if undo.statements]
            settled = [undo.difference for undo in undone]
            if not settled or settled == last:
                return
            last = settled
            # a table has one primary key: the old one goes first
            undone.sort(key=lambda undo: not (undo.difference.is_extra and _sort(now, undo.difference.object) == "p"))
            for undo in undone:
                self._by_sql(undo, now)
                if undo.difference.what == "definition" and undo.difference.object.kind in {"constraint", "index"}:
                    self._made_anew.add((undo.difference.object, undo.difference.left))

    def _by_sql(self, undo: Undo, now: Catalog) -> None:
        difference = undo.difference
        id_ = difference.object
        if undo.destroys_data:
            if id_.kind == "column":
                self.retire(id_)  # it is made again, as the models have it, in the next pass
            return
        if id_.kind == "constraint" and _sort(now, id_) in {"p", "u"} and difference.what != "comment":
            self._drop_keys_on(id_)
        if id_.kind == "column" and self._column(difference, now):
            return
        if id_.kind in {"constraint", "index"} and self._part(undo, now):
            return
        said_otherwise = self._structured(difference, now)
        if said_otherwise is not None:
            with standing_aside(self.connection, id_, f"{id_.parent}.{id_.name} gets another collation"):
                self.do(said_otherwise)
            return
        back = self._back(difference, now)
        if id_.kind == "column" and "generated" in self.models.objects.get(id_, {}) and not difference.is_extra:
            is_stored = self.models.objects[id_]["generated"] == "stored"
            self.do(*(GeneratedOp(id_, sql, is_stored=is_stored) for sql in undo.statements), backward=back)
            return
        if difference.what == "not_null_name":
            self.do(*(NotNullNamedOp(id_, sql) for sql in undo.statements), backward=back)
            return
        if id_.kind in TYPES and difference.is_extra:
            self.do(*(DropTypeOp(id_, sql) for sql in undo.statements), backward=back)
            return
        about = id_ if difference.is_extra and not id_.parent else None
        self.do(*(SqlOp(sql, about=about) for sql in undo.statements), backward=back)

    def _back(self, difference: Difference, now: Catalog) -> list[SqlOp]:
        turned = Difference(difference.object, difference.what, difference.right, difference.left)
        return [SqlOp(sql) for one in undo_sql([turned], now, self.models) for sql in one.statements]

    def _column(self, difference: Difference, now: Catalog) -> bool:
        """Settle a default, a length or a precision."""
        if difference.what == "default":
            to, was = (None if value is None else str(value) for value in (difference.left, difference.right))
            self.do(DefaultOp(difference.object, to, was))
            return True
        return difference.what == "type" and self.resize(difference.object, now)

    def _part(self, undo: Undo, now: Catalog) -> bool:
        """Settle an index or a constraint that goes or comes: each of the two has its own way back, as they may be split."""
        id_, statements = undo.difference.object, list(undo.statements)
        if undo.difference.what == "comment":
            if id_.kind == "constraint":
                back = self._back(undo.difference, now)
                self.do(*(PartCommentOp(id_, sql) for sql in statements), backward=back)
            return id_.kind == "constraint"
        said = self.index(id_) if id_.kind == "index" and len(statements) == 1 + (id_ in now.objects) else None
        if said is not None:
            if id_ in now.objects:
                drop = ops.DropIndexOp(id_.name, id_.parent, schema=said.schema)
                self.do(drop, backward=[SqlOp(sql) for sql in create_sql(now, id_, set(now.objects))])
            self.do(said)
            return True
        if id_ in now.objects:
            goes = list(drop_sql(now, id_))
            if statements[: len(goes)] != goes:
                return False
            del statements[: len(goes)]
            self._drop(id_, now)
        if statements:
            made = self._made(id_)
            if made is not None:
                self.do(made)
                return True
            sort = _sort(self.models, id_)
            forward = [
                KeyOp(id_, sql, is_primary=sort == "p")
                if sort in {"p", "u"} and sql == constraint_sql(id_, self.models.objects[id_])
                else SqlOp(sql)
                for sql in statements
            ]
            self.do(*forward, backward=[SqlOp(sql) for sql in drop_sql(self.models, id_)])
        return True

    def _structured(self, difference: Difference, now: Catalog) -> ops.MigrateOperation | None:
        """Return an operation that says more than its SQL, so that a recipe finds what it is about."""
        id_ = difference.object
        is_collation = id_.kind == "column" and difference.what == "collation"
        return recollated(self.connection, id_, self.models, now) if is_collation else None

    def _made(self, id_: ObjectId) -> CheckOp | ExcludeOp | None:
        """Return the operation that makes a check or an exclusion of the models, where it says all of it."""
        if id_.kind != "constraint":
            return None
        said = self.models.objects[id_]
        if not said.keys() <= _PLAIN | {"comment"}:  # the comment comes behind it
            return None
        if said.get("sort") == "x":
            return ExcludeOp(id_, str(said["definition"]))
        whole = re.fullmatch(r"CHECK \((.*)\)", str(said["definition"]), re.DOTALL)
        return None if whole is None else CheckOp(id_, whole[1])

    def _drop_keys_on(self, id_: ObjectId) -> None:
        """Drop the foreign keys that stand on a key which is made anew; they are missing then, and come back."""
        rows = run(self.connection, _KEYS_ON, {"schema": id_.schema, "table": id_.parent, "name": id_.name})
        for row in rows:
            alter, name = f"ALTER TABLE {quoted(row['schema'], row['table'])}", quoted(row["name"])
            part = ObjectId("constraint", row["schema"], row["name"], row["table"])
            back = SqlOp(f"{alter} ADD CONSTRAINT {name} {row['definition']}")
            self.do(DropPartOp(part, f"{alter} DROP CONSTRAINT {name}"), backward=[back])


def _sort(catalog: Catalog, id_: ObjectId) -> object:
    return catalog.objects.get(id_, {}).get("sort")
