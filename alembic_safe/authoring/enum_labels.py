"""How does an enum get other labels, with every row that holds one?"""

# PostgreSQL adds labels and renames them. To remove one, or to order them anew, the type is made again and its columns
# are converted through text; what was compiled against the old type (a default, a check, an index over an expression)
# stands in the way, goes first, and comes back with the models' other differences.
from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import Refused
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.difference_sql_names import literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

# Constants of the type are recorded as dependencies of what they stand in.
_IN_THE_WAY = """
WITH t AS (SELECT ty.oid, ty.typarray FROM pg_type ty JOIN pg_namespace n ON n.oid = ty.typnamespace
           WHERE n.nspname = :schema AND ty.typname = :name),
     d AS (SELECT DISTINCT d.classid, d.objid FROM pg_depend d, t
           WHERE d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray)),
     a AS (SELECT a.attrelid, a.attnum, a.attname FROM pg_attribute a, t WHERE a.atttypid IN (t.oid, t.typarray)
           AND NOT a.attisdropped)
SELECT 1 AS rank, 'default' AS kind, n.nspname AS schema, c.relname AS table, a.attname AS name,
       pg_get_expr(f.adbin, f.adrelid) AS definition
FROM pg_attrdef f JOIN pg_class c ON c.oid = f.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
WHERE a.attgenerated = '' AND (EXISTS (SELECT FROM d WHERE d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid)
  OR EXISTS (SELECT FROM a b WHERE b.attrelid = a.attrelid AND b.attnum = a.attnum))
UNION ALL
SELECT 2, 'generated column', n.nspname, c.relname, a.attname, pg_get_expr(f.adbin, f.adrelid)
FROM d JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid JOIN pg_class c ON c.oid = f.adrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum WHERE a.attgenerated <> ''
UNION ALL
SELECT 3, 'constraint', n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype IN ('c', 'x') AND (EXISTS (SELECT FROM d WHERE d.classid = 'pg_constraint'::regclass AND d.objid = k.oid)
  OR EXISTS (SELECT FROM a WHERE a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey)))
UNION ALL
SELECT 4, 'index', n.nspname, tc.relname, c.relname, pg_get_indexdef(c.oid)
FROM d JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind = 'i'
JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_class tc ON tc.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
UNION ALL
SELECT 5, 'other', '', '', pg_describe_object(d.classid, d.objid, 0), ''
FROM d WHERE d.classid IN ('pg_rewrite'::regclass, 'pg_proc'::regclass, 'pg_policy'::regclass, 'pg_trigger'::regclass)
ORDER BY rank, kind, schema, "table", name
"""
_COLUMNS = """
SELECT n.nspname AS schema, c.relname AS table, a.attname AS name, a.atttypid = t.typarray AS is_array
FROM pg_type t JOIN pg_namespace tn ON tn.oid = t.typnamespace
JOIN pg_attribute a ON a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped AND a.attislocal
JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE tn.nspname = :schema AND t.typname = :name ORDER BY 1, 2, 3
"""

_MEMBER = re.compile(r'"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^{},"]+)', re.DOTALL)
"""A label in the text of an array, as the server writes it: https://www.postgresql.org/docs/current/arrays.html."""


@dataclass(frozen=True)
class Step:
    """One statement, and the one that takes it back."""

    forward: str
    backward: str


def additions(type_: ObjectId, wanted: Sequence[str], held: Sequence[str]) -> Iterator[str]:
    """Yield the statements that add the labels which are new, each beside the one that it stands beside in the end."""
    now = list(held)
    for place, label in enumerate(wanted):
        if label in now:
            continue
        before = next((other for other in reversed(wanted[:place]) if other in now), None)
        where = f" AFTER {literal(before)}" if before is not None else f" BEFORE {literal(now[0])}" if now else ""
        yield f"ALTER TYPE {quoted(type_.schema, type_.name)} ADD VALUE {literal(label)}{where}"
        now.insert(now.index(before) + 1 if before is not None else 0, label)


def after_additions(wanted: Sequence[str], held: Sequence[str]) -> tuple[str, ...]:
    """Return the labels as they stand once the new ones were added."""
    now = list(held)
    for place, label in enumerate(wanted):
        if label not in now:
            before = next((other for other in reversed(wanted[:place]) if other in now), None)
            now.insert(now.index(before) + 1 if before is not None else 0, label)
    return tuple(now)


def there(was: Sequence[str], becomes: Sequence[str], said: Mapping[str, str]) -> dict[str, str]:
    """Return what becomes of each label that goes, as far as somebody said it."""
    return {label: said[label] for label in was if label not in becomes and said.get(label) in becomes}


def back(was: Sequence[str], becomes: Sequence[str], said: Mapping[str, str]) -> dict[str, str]:
    """Return what each label that came was before; one that was only added is none of them."""
    return {new: old for old, new in there(was, becomes, said).items() if new not in was}


def translated(column: str, labels: Mapping[str, str], *, is_array: bool) -> str:
    """Return SQL that gives a column's label, or its array of labels, as text in other labels.

    :param column: as SQL.
    """
    if is_array:
        return _array(f"{column}::text[]", labels)
    if not labels:
        return f"{column}::text"
    cases = " ".join(f"WHEN {literal(old)} THEN {literal(new)}" for old, new in labels.items())
    return f"CASE {column}::text {cases} ELSE {column}::text END"


def _array(sql: str, labels: Mapping[str, str]) -> str:
    # one label after the other: what one becomes must not be what the next one is
    taken = {*labels, *labels.values()}
    passing = {old: f"{old}?" for old, new in labels.items() if new in labels}
    while taken & {*passing.values()} or len({*passing.values()}) < len(passing):
        passing = {old: f"{name}?" for old, name in passing.items()}
    first = [(old, passing.get(old, new)) for old, new in labels.items()]
    for old, new in [*first, *((name, labels[old]) for old, name in passing.items())]:
        sql = f"array_replace({sql}, {literal(old)}, {literal(new)})"
    return sql


def made_again(
    connection: Connection, type_: ObjectId, wanted: Sequence[str], held: Sequence[str],
    said: Mapping[str, str] = MappingProxyType({}),
) -> list[Step]:  # fmt: skip
    """Return the steps that give an enum exactly these labels; reads only.

    :param held: what it has now.
    :param said: what becomes of labels that go.
    :raises Refused: where a view, a function or a policy is built on the type.
    """
    name = {"schema": type_.schema, "name": type_.name}
    in_the_way = run(connection, _IN_THE_WAY, name)
    others = [row["name"] for row in in_the_way if row["kind"] in {"other", "generated column"}]
    if others:
        raise Refused(
            f"The labels of {type_.schema}.{type_.name} cannot be taken away or put in another order while"
            f" {', '.join(others)} is built on it.",
            detail=["PostgreSQL only adds labels. For anything else the type is made anew, and with it what uses it."],
        )
    new = quoted(type_.schema, type_.name)
    old = quoted(type_.schema, f"{type_.name[:50]}__before")
    aside = [step for row in in_the_way for step in _aside(row)]
    steps = list(aside)
    labels = ", ".join(literal(label) for label in wanted)
    before = ", ".join(literal(label) for label in held)
    last = quoted(f"{type_.name[:50]}__before")
    steps.append(Step(f"ALTER TYPE {new} RENAME TO {last}", f"ALTER TYPE {old} RENAME TO {quoted(type_.name)}"))
    steps.append(Step(f"CREATE TYPE {new} AS ENUM ({labels})", f"DROP TYPE {new}"))
    for row in run(connection, _COLUMNS, name):
        alter = f"ALTER TABLE {quoted(row['schema'], row['table'])} ALTER COLUMN {quoted(row['name'])} TYPE"
        array = "[]" if row["is_array"] else ""
        up, down = (
            f"USING ({translated(quoted(row['name']), labels_, is_array=row['is_array'])})::"
            for labels_ in (there(held, wanted, said), back(held, wanted, said))
        )
        steps.append(Step(f"{alter} {new}{array} {up}{new}{array}", f"{alter} {old}{array} {down}{old}{array}"))
    steps.append(Step(f"DROP TYPE {old}", f"CREATE TYPE {old} AS ENUM ({before})"))
    named = there(held, wanted, said)
    unknown = [label for label in held if label not in wanted and label not in named]
    again = [step for step in aside if not labels_in(step.backward, type_) & {*unknown}]
    return steps + [Step(in_other_labels(step.backward, type_, named), step.forward) for step in reversed(again)]


def in_other_labels(sql: str, type_: ObjectId, labels: Mapping[str, str], name: str = "") -> str:
    """Return SQL of the server's in which the labels of an enum are called otherwise, alone or in arrays.

    :param name: what the enum is called in it; empty: as before.
    """
    called = quoted(type_.schema, name) if name else ""

    def literal_of(match: re.Match[str]) -> str:
        array = match["array"] or ""
        renamed = {label: labels[label] for label in _said_by(match) if labels.get(label, label) != label}
        said, text = match["said"], _text_of(match)
        if renamed:
            said = literal(_MEMBER.sub(lambda m: _in_array(m, renamed), text) if array else renamed[text])
        return f"{said}::{called or match['type']}{array}"

    sql = _constant(type_).sub(literal_of, sql)
    return re.sub(rf"::{_type(type_)}", lambda m: f"::{called}{m['array'] or ''}", sql) if called else sql


def labels_in(sql: str, type_: ObjectId) -> frozenset[str]:
    """Return the labels of an enum that SQL of the server's says, alone or in arrays."""
    return frozenset(label for match in _constant(type_).finditer(sql) for label in _said_by(match))


def _constant(type_: ObjectId) -> re.Pattern[str]:
    return re.compile(rf"(?P<said>(?:(?<![\w$\"])E)?'(?:[^']|'')*')::{_type(type_)}")


def _type(type_: ObjectId) -> str:
    """Return a pattern for an enum, or arrays of it, as the server writes them."""
    return rf"(?P<type>(?:{_word(type_.schema)}\.)?{_word(type_.name)})(?P<array>\[\])?(?![\w\"])"


def _text_of(constant: re.Match[str]) -> str:
    said = constant["said"]
    text = said[said.index("'") + 1 : -1].replace("''", "'")
    return text.replace("\\\\", "\\") if said.startswith("E") else text


def _said_by(constant: re.Match[str]) -> list[str]:
    text = _text_of(constant)
    if not constant["array"]:
        return [text]
    return [label for match in _MEMBER.finditer(text) if (label := _label(match)) is not None]


def _label(member: re.Match[str]) -> str | None:
    if member["quoted"] is not None:
        return re.sub(r"\\(.)", r"\1", member["quoted"])
    return None if member["plain"] == "NULL" else member["plain"]


def _in_array(member: re.Match[str], labels: Mapping[str, str]) -> str:
    label = _label(member)
    if label is None or label not in labels:
        return member[0]
    return '"' + re.sub(r'(["\\])', r"\\\1", labels[label]) + '"'


def _word(name: str) -> str:
    """Return a pattern for a name as the server writes it: quoted where it must be."""
    return rf"(?:{re.escape(name)}|{re.escape(quoted(name))})"


def columns_of(connection: Connection, type_: ObjectId) -> dict[ObjectId, bool]:
    """Return the columns of a type, and whether each holds arrays of it."""
    rows = run(connection, _COLUMNS, {"schema": type_.schema, "name": type_.name})
    return {ObjectId("column", row["schema"], row["name"], row["table"]): row["is_array"] for row in rows}


def _aside(row: object) -> Iterator[Step]:
    assert isinstance(row, dict)  # noqa: S101 - statements.run returns dictionaries
    table = quoted(row["schema"], row["table"])
    name = quoted(row["name"])
    match row["kind"]:
        case "default":
            alter = f"ALTER TABLE {table} ALTER COLUMN {name}"
            yield Step(f"{alter} DROP DEFAULT", f"{alter} SET DEFAULT {row['definition']}")
        case "constraint":
            yield Step(f"ALTER TABLE {table} DROP CONSTRAINT {name}",
                       f"ALTER TABLE {table} ADD CONSTRAINT {name} {row['definition']}")  # fmt: skip
        case "index":
            yield Step(f"DROP INDEX {quoted(row['schema'], row['name'])}", row["definition"])
