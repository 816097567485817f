"""Which rows stand against a change, and which would lose something by it?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from alembic_safe.authoring.change_columns import is_conversion
from alembic_safe.authoring.push_finding import Finding
from alembic_safe.authoring.push_plan import Plan, shown, type_word
from alembic_safe.authoring.push_returning import of_column, of_table, returning, rows_without
from alembic_safe.database.failures import sqlstate_of
from alembic_safe.database.guard import shell_word
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import NextStep
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.retired import read_retired

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from alembic_safe.authoring.renames import Rename
    from alembic_safe.inspecting.comparison import Difference
    from alembic_safe.inspecting.retired import Retired

_EXAMPLES = 3
_LONGEST_EXAMPLE = 40
_FOREIGN_KEY = re.compile(r"FOREIGN KEY \((?P<own>.*?)\) REFERENCES (?P<table>.*?)\((?P<other>.*?)\)")
_NO_SUCH_CAST = "42846"


class Findings:
    """The findings on one plan; every query only reads, and each stands under a savepoint of its own."""

    def __init__(self, connection: Connection, plan: Plan, default_schema: str, fills: Mapping[ObjectId, str]) -> None:
        self.connection = connection
        self.plan = plan
        self.default = default_schema
        self.fills = fills
        self.retired = read_retired(connection)
        self._totals: dict[tuple[str, str], int] = {}
        self._returning: dict[tuple[str, str], str] = {}

    def all(self) -> tuple[Finding, ...]:
        """Return every finding, those that block first."""
        found = [finding for one in self.plan.found for finding in self._of(one)]
        return tuple(sorted(found, key=lambda finding: not finding.blocks))

    def _of(self, one: Difference) -> Iterator[Finding]:
        id_ = one.object
        if one.is_missing and id_.kind == "table" and (kept := returning(self, id_)) is not None:
            self._returning[id_.schema, id_.name] = kept.quoted
            yield from of_table(self, id_, kept)
        elif one.is_missing and id_.kind == "column" and (kept := returning(self, id_)) is not None:
            yield from of_column(self, id_, kept)
            yield from self.not_null(id_, comes=True, kept=kept)
        elif one.is_extra and id_.kind == "table":
            yield from self._table_goes(id_)
        elif one.is_extra and id_.kind == "column" and "generated" not in self.plan.database.objects[id_]:
            yield from self._column_goes(id_)
        elif id_.kind == "column" and one.what == "generated" and one.right is None:
            yield from self._column_goes(id_, "becomes computed")
        elif id_.kind == "column" and (one.is_missing or (one.what == "not_null" and one.left)):
            yield from self.not_null(id_, comes=one.is_missing)
        elif id_.kind == "column" and one.what == "type":
            yield from self.cast(id_, str(one.right), str(one.left))
        elif id_.kind == "enum" and one.what == "labels":
            yield from self._labels(one)
        elif id_.kind in {"constraint", "index"} and (one.is_missing or one.what == "definition"):
            yield from self._constraint(id_)

    def _table_goes(self, id_: ObjectId) -> Iterator[Finding]:
        rows = self._total(id_._replace(parent=id_.name))
        if rows:
            name = shown(id_, self.default)
            yield Finding("drop-table", name, id_, rows, rows, f"{name} goes, with {_rows(rows)}; they are kept, and come"
                          " back when it does")  # fmt: skip

    def _column_goes(self, id_: ObjectId, how: str = "goes") -> Iterator[Finding]:
        name, column = shown(id_, self.default), quoted(id_.name)
        found = self.ask(f"SELECT count({column}) AS rows, count(*) AS total FROM {self._rows_of(id_)}")
        if found and found[0]["rows"]:
            rows, total = found[0]["rows"], found[0]["total"]
            examples = self.examples(self._rows_of(id_), f"{column} IS NOT NULL", column)
            text = (
                f"{name} {how}; {rows:,} of {_rows(total)} hold a value, such as {', '.join(examples)}; they are kept"
            )
            back = ", and come back when it does" if how == "goes" else ""
            yield Finding("drop-column", name, id_, rows, total, f"{text}{back}", examples)

    def not_null(self, id_: ObjectId, *, comes: bool, kept: Retired | None = None) -> Iterator[Finding]:
        """Yield whether rows have no value for a column that must have one.

        :param comes: the column is not there yet; ``kept``: with these values, where it comes back.
        """
        wanted = self.plan.models.objects[id_]
        own_value = any(key in wanted for key in ("default", "generated", "identity"))
        if "not_null" not in wanted or id_ in self.fills or (comes and own_value):
            return
        if kept is not None:
            rows = self._count(id_, rows_without(kept))
        else:
            rows = self._total(id_) if comes else self._count(id_, f"{quoted(id_.name)} IS NULL")
        if not rows:
            return
        name, total = shown(id_, self.default), self._total(id_)
        text = (
            f"{rows:,} of {_rows(total)} get no value back in {name}, which is NOT NULL"
            if kept is not None
            else f"{shown(id_._replace(kind='table', name=id_.parent, parent=''), self.default)} has {_rows(total)} and no"
            f" value for {name}, which is NOT NULL"
            if comes else f"{rows:,} of {_rows(total)} have no value in {name}, which becomes NOT NULL"
        )  # fmt: skip
        yield Finding("not-null", name, id_, rows, total, text, blocks=True, ways=(
            NextStep(f"allow NULL for now: nullable=True on {name}"),
            NextStep(f'one value for every row: server_default="..." on {name}'),
            NextStep(f"fill {'these' if rows > 1 else 'this'} {_rows(rows)}", f'alembic dev-push --fill "{name}=EXPRESSION"'),
        ))  # fmt: skip

    def cast(self, id_: ObjectId, old: str, new: str) -> Iterator[Finding]:
        """Yield whether values would change, or not convert, from one type to another."""
        if is_conversion(self.fills.get(id_, ""), id_.name) or "generated" in self.plan.models.objects[id_]:
            return
        name, column, total = shown(id_, self.default), quoted(id_.name), self._total(id_)
        if not total:
            return
        fill = NextStep("say how to convert them, in SQL", f'alembic dev-push --fill "{name}=EXPRESSION"')
        changed = f"({column}::{new})::{old}::text IS DISTINCT FROM {column}::text"
        found = self.ask(f"SELECT count(*) AS it FROM {self._rows_of(id_)} WHERE {changed}")
        if found:
            if found[0]["it"]:
                rows, examples = found[0]["it"], self.examples(self._rows_of(id_), changed, column)
                text = (
                    f"{rows:,} of {_rows(total)} change their value from {type_word(old)} to {type_word(new)}, such as"
                )
                yield Finding("cast", name, id_, rows, total, f"{text} {', '.join(examples)}", examples, ways=(fill,))
            return
        through_text = f"pg_input_is_valid({column}::text, '{new.replace(chr(39), chr(39) * 2)}')"
        bad = self.ask(f"SELECT count(*) AS it FROM {self._rows_of(id_)} WHERE NOT {through_text}")
        if bad and not bad[0]["it"]:
            found = self.ask(f"SELECT count({column}::{new}) AS it FROM {self._rows_of(id_)}")
            if found or self.last_state != _NO_SUCH_CAST:
                return
        rows = bad[0]["it"] if bad and bad[0]["it"] else total
        examples = self.examples(self._rows_of(id_), f"NOT {through_text}" if bad and bad[0]["it"] else "true", column)
        text = f"{rows:,} of {_rows(total)} of {name} do not convert from {type_word(old)} to {type_word(new)}, such as"
        yield Finding(
            "cast", name, id_, rows, total, f"{text} {', '.join(examples)}", examples, blocks=True, ways=(fill,)
        )

    def _labels(self, one: Difference) -> Iterator[Finding]:
        wanted, held = one.left, one.right
        if not isinstance(wanted, tuple) or not isinstance(held, tuple):
            return
        type_ = (one.object.schema, one.object.name)
        going = {other.object for other in self.plan.found if other.is_extra}
        for label in held:
            if label in wanted:
                continue
            old = self._old_label(one.object, label)
            for id_, attributes in self.plan.database.objects.items():
                table = id_._replace(kind="table", name=id_.parent, parent="")
                of = str(attributes.get("type", ""))
                if id_.kind != "column" or words_of(of.removesuffix("[]")) != type_ or id_ in going or table in going:
                    continue
                held_there = f"ANY ({quoted(id_.name)}::text[])" if of.endswith("[]") else f"{quoted(id_.name)}::text"
                rows = self._count(id_, f":label = {held_there}", label=old)
                if rows:
                    enum = shown(one.object, self.default)
                    where = shown(id_, self.default)
                    sql = f"UPDATE {quoted(id_.schema, id_.parent)} SET {quoted(id_.name)} = ... WHERE {quoted(id_.name)} ="
                    yield Finding(
                        "enum-value", f"{enum}.{label}", one.object, rows, self._total(id_),
                        f"{_rows(rows)} of {where} hold '{label}', which {enum} no longer has", blocks=True,
                        ways=(NextStep(f"give these rows another value: {sql} '{label}'"),
                              NextStep("it was renamed", f"alembic dev-push --rename {shell_word(f'{enum}.{label}:NEW')}")),
                    )  # fmt: skip

    def _old_label(self, type_: ObjectId, label: str) -> str:
        for rename in self.plan.renames:
            if rename.kind == "label" and (rename.schema, rename.table, rename.new) == (
                type_.schema,
                type_.name,
                label,
            ):
                return rename.old
        return label

    def _constraint(self, id_: ObjectId) -> Iterator[Finding]:
        table = id_._replace(kind="table", name=id_.parent, parent="")
        if table not in self.plan.database.objects:
            return
        definition = str(self.plan.models.objects[id_]["definition"])
        name = shown(id_, self.default)
        if definition.startswith("CHECK "):
            yield from self._violations(id_, "check", f"NOT {definition[6:]}", f"violate {name}: {definition}")
            return
        foreign = _FOREIGN_KEY.match(definition)
        if foreign is not None:
            yield from self._orphans(id_, foreign)
            return
        if definition.startswith(("UNIQUE", "PRIMARY KEY", "CREATE UNIQUE")):
            yield from self._duplicates(id_, definition)

    def _violations(self, id_: ObjectId, kind: str, where: str, text: str) -> Iterator[Finding]:
        rows = self._count(id_, where)
        if rows:
            name, total = shown(id_, self.default), self._total(id_)
            ways = (NextStep(f"mend these rows: SELECT * FROM {quoted(id_.schema, id_.parent)} WHERE {where};"),)
            yield Finding(kind, name, id_, rows, total, f"{rows:,} of {_rows(total)} {text}", blocks=True, ways=ways)

    def _orphans(self, id_: ObjectId, foreign: re.Match[str]) -> Iterator[Finding]:
        own, other = (foreign[part].split(", ") for part in ("own", "other"))
        joined = " AND ".join(f"o.{b} = x.{a}" for a, b in zip(own, other, strict=True))
        table = self._table_of(foreign["table"])
        set_ = " AND ".join(f"x.{column} IS NOT NULL" for column in own)
        where = f"{set_} AND NOT EXISTS (SELECT FROM {table} o WHERE {joined})"
        yield from self._violations(id_, "foreign-key", where, f"refer to no row of {foreign['table']}")

    def _table_of(self, text: str) -> str:
        for id_ in self.plan.database.objects:
            if id_.kind == "table" and words_of(text) == (id_.schema, id_.name):
                return self._rows_of(id_._replace(parent=id_.name)).removesuffix(" AS x")
        return text

    def _duplicates(self, id_: ObjectId, definition: str) -> Iterator[Finding]:
        start = definition.index("(") + 1
        columns, rest = _in_brackets(definition[start:])
        where = f" WHERE {rest.partition(' WHERE ')[2]}" if " WHERE " in rest else ""
        nulls = "" if "NULLS NOT DISTINCT" in definition else f" AND num_nulls({columns}) = 0"
        having = f"HAVING count(*) > 1{nulls}"
        groups = f"SELECT {columns}, count(*) AS n FROM {self._rows_of(id_)}{where} GROUP BY {columns} {having}"
        found = self.ask(f"SELECT count(*) AS groups, coalesce(sum(n), 0)::bigint AS rows FROM ({groups}) d")
        if not found or not found[0]["groups"]:
            return
        shown_rows = self.ask(f"SELECT row_to_json(d)::text AS it FROM ({groups} LIMIT {_EXAMPLES}) d")
        examples = tuple(_short(row["it"]) for row in shown_rows)
        name, rows, total = shown(id_, self.default), found[0]["rows"], self._total(id_)
        text = f"{rows:,} of {_rows(total)} are not unique in {columns}, such as {'; '.join(examples)}"
        sql = f"SELECT {columns}, count(*) FROM {quoted(id_.schema, id_.parent)}{where} GROUP BY {columns} HAVING count(*) > 1;"
        ways = (NextStep(f"make them unique; they are listed by: {sql}"),)
        yield Finding("unique", name, id_, rows, total, text, examples, blocks=True, ways=ways)

    # --- asking ------------------------------------------------------------------------------------------------------

    last_state = ""

    def ask(self, sql: str, **params: object) -> Sequence[Mapping[str, Any]]:
        """Ask the rows; nothing where the question makes no sense yet, as of a column that is still to come."""
        from sqlalchemy.exc import DBAPIError

        savepoint = self.connection.begin_nested()
        try:
            rows = run(self.connection, sql if params else verbatim(sql), params)
        except DBAPIError as error:
            self.last_state = sqlstate_of(error)
            rows = ()
        savepoint.rollback()
        return rows

    def _count(self, id_: ObjectId, where: str, **params: object) -> int:
        rows = self.ask(f"SELECT count(*) AS it FROM {self._rows_of(id_)} WHERE {where}", **params)
        return int(rows[0]["it"]) if rows else 0

    def _total(self, id_: ObjectId) -> int:
        key = (id_.schema, id_.parent)
        if key not in self._totals:
            rows = self.ask(f"SELECT count(*) AS it FROM {self._rows_of(id_)}")
            self._totals[key] = int(rows[0]["it"]) if rows else 0
        return self._totals[key]

    def examples(self, rows_of: str, where: str, column: str) -> tuple[str, ...]:
        """Return some values as SQL writes them."""
        rows = self.ask(
            f"SELECT DISTINCT quote_nullable({column}::text) AS it FROM {rows_of} WHERE {where} LIMIT {_EXAMPLES}"
        )
        return tuple(_short(row["it"]) for row in rows)

    def _rows_of(self, part: ObjectId) -> str:
        """Return the rows of a part's table, under the names that its columns are going to have."""
        if (part.schema, part.parent) in self._returning:
            return f"{self._returning[part.schema, part.parent]} AS x"
        table = ObjectId("table", part.schema, part.parent)
        columns = [id_ for id_ in self.plan.database.parts(table) if id_.kind == "column"]
        old_table = before(table, self.plan.renames)
        named = ", ".join(f"{quoted(before(id_, self.plan.renames).name)} AS {quoted(id_.name)}" for id_ in columns)
        return f"(SELECT {named} FROM {quoted(old_table.schema, old_table.name)}) AS x"


def before(id_: ObjectId, renames: Sequence[Rename]) -> ObjectId:
    """Return what an object is called in the database now, before the renames."""
    for rename in reversed(renames):
        if rename.schema != id_.schema:
            continue
        if (rename.kind == "column" and id_ == ObjectId("column", rename.schema, rename.new, rename.table)) or (
            rename.kind == "table" and id_ == ObjectId("table", rename.schema, rename.new)
        ):
            id_ = id_._replace(name=rename.old)
        elif rename.kind == "table" and id_.parent == rename.new:
            id_ = id_._replace(parent=rename.old)
    return id_


def _in_brackets(text: str) -> tuple[str, str]:
    """Return what stands before the bracket that closes, and what behind it."""
    depth = 1
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if not depth:
            return text[:place], text[place + 1 :]
    return text, ""


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a qualified name as the server writes it, each in quotes only where it must be."""
    return tuple(
        quoted_.replace('""', '"') if quoted_ else plain
        for quoted_, plain in re.findall(r'"((?:[^"]|"")+)"|([^".]+)', text)
    )


def _rows(number: int) -> str:
    return f"{number:,} row{'s' * (number != 1)}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_EXAMPLE else text[: _LONGEST_EXAMPLE - 3] + "..."
