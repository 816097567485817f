"""Which SQL makes types, routines and views, and gives them back an attribute?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.difference_sql_names import literal, name_of
from alembic_safe.inspecting.difference_sql_parts import REMADE
from alembic_safe.inspecting.difference_sql_tables import CannotSay

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alembic_safe.inspecting.catalog_records import ObjectId, Value

    Attributes = Mapping[str, Value]


def type_sql(type_: ObjectId, a: Attributes) -> str:
    """Return the statement that makes a type.

    :raises CannotSay: for base types, whose functions and type need each other.
    """
    name = name_of(type_)
    if type_.kind == "enum":
        return f"CREATE TYPE {name} AS ENUM ({', '.join(literal(label) for label in _texts(a.get('labels')))})"
    if type_.kind == "composite type":
        return f"CREATE TYPE {name} AS ({', '.join(_texts(a.get('attributes')))})"
    if type_.kind == "domain":
        sql = f"CREATE DOMAIN {name} AS {a['type']}"
        sql += f" COLLATE {a['collation']}" if "collation" in a else ""
        sql += f" DEFAULT {a['default']}" if "default" in a else ""
        sql += f" CONSTRAINT {quoted(str(a['not_null_name']))}" if "not_null_name" in a else ""
        return sql + (" NOT NULL" if a.get("not_null") else "")
    if type_.kind == "range type":
        words = {"subtype": "SUBTYPE", "opclass": "SUBTYPE_OPCLASS", "collation": "COLLATION", "canonical": "CANONICAL",
                 "difference": "SUBTYPE_DIFF", "multirange": "MULTIRANGE_TYPE_NAME"}  # fmt: skip
        return f"CREATE TYPE {name} AS RANGE ({', '.join(f'{word} = {a[key]}' for key, word in words.items() if key in a)})"
    if not a.get("defined"):
        return f"CREATE TYPE {name}"
    raise CannotSay("a base type and its functions need each other: take both from a pg_dump of the other side")


def type_attribute(type_: ObjectId, what: str, left: Attributes, right: Attributes) -> Iterator[str]:  # noqa: C901 - one case for each kind or attribute
    """Yield the statements that give a type back one attribute.

    :raises CannotSay: when none can.
    """
    alter = f"ALTER {'DOMAIN' if type_.kind == 'domain' else 'TYPE'} {name_of(type_)}"
    value = left.get(what)
    match what:
        case "labels":
            yield from _labels(alter, _texts(value), _texts(right.get(what)))
        case "attributes":
            yield from _attributes(alter, _texts(value), _texts(right.get(what)))
        case "attribute_comments":
            wanted, held = _texts(value), _texts(right.get(what))
            for entry in held:
                if entry not in wanted:
                    yield f"COMMENT ON COLUMN {name_of(type_)}.{_split(entry, ': ')[0]} IS NULL"
            for entry in wanted:
                if entry not in held:
                    attribute, said = _split(entry, ": ")
                    yield f"COMMENT ON COLUMN {name_of(type_)}.{attribute} IS {literal(said)}"
        case "default" if type_.kind == "domain":
            yield f"{alter} SET DEFAULT {value}" if value is not None else f"{alter} DROP DEFAULT"
        case "not_null":
            yield f"{alter} {'SET' if value else 'DROP'} NOT NULL"
        case "not_null_name":
            if left.get("not_null") == right.get("not_null"):
                default = f"{type_.name}_not_null"
                old, new = (quoted(str(side.get(what, default))) for side in (right, left))
                yield f"{alter} RENAME CONSTRAINT {old} TO {new}"
        case _:
            raise CannotSay(
                f"PostgreSQL cannot change the {what.replace('_', ' ')} of a {type_.kind} that exists: make a new one,"
                " and move the columns that use it"
            )


def _labels(alter: str, wanted: tuple[str, ...], held: tuple[str, ...]) -> Iterator[str]:
    gone, new = [x for x in held if x not in wanted], [x for x in wanted if x not in held]
    if len(gone) == len(new) == 1 and wanted.index(new[0]) == held.index(gone[0]):
        yield f"{alter} RENAME VALUE {literal(gone[0])} TO {literal(new[0])}"
        return
    if gone:
        labels = ", ".join(literal(label) for label in gone)
        raise CannotSay(f"PostgreSQL cannot remove a label from an enum: {labels} stays, and can stay unused")
    if tuple(x for x in wanted if x in held) != held:
        raise CannotSay("PostgreSQL cannot change the order of an enum's labels")
    there = list(held)
    for place, label in enumerate(wanted):
        if label not in there:
            where = f"AFTER {literal(wanted[place - 1])}" if place else f"BEFORE {literal(there[0])}" if there else ""
            yield f"{alter} ADD VALUE {literal(label)} {where}".rstrip()
            there.insert(place, label)


def _attributes(alter: str, wanted: tuple[str, ...], held: tuple[str, ...]) -> Iterator[str]:
    new, old = (dict(_split(entry, " ") for entry in side) for side in (wanted, held))
    after = [x for x in old if x in new] + [x for x in new if x not in old]
    if after != list(new):
        raise CannotSay("PostgreSQL cannot change the order of a composite type's attributes")
    yield from (f"{alter} DROP ATTRIBUTE {name}" for name in old if name not in new)
    for name, type_ in new.items():
        if name not in old:
            yield f"{alter} ADD ATTRIBUTE {name} {type_}"
        elif old[name] != type_:
            yield f"{alter} ALTER ATTRIBUTE {name} TYPE {type_}"


def view_sql(view: ObjectId, a: Attributes, *, replace: bool = False) -> str:
    """Return the statement that makes a view; the options come with it, WITH NO DATA does not.

    :param replace: make it in the place of the one that is there.
    """
    options = "".join(
        f"{', ' if n else ''}{quoted(name)} = {literal(value)}"
        for n, (name, _, value) in enumerate(option.partition("=") for option in _texts(a.get("options")))
    )
    word = view.kind.upper()
    create = f"CREATE {'OR REPLACE ' if replace else ''}{word} {name_of(view)}"
    create += f" USING {quoted(str(a['access_method']))}" if "access_method" in a else ""
    return f"{create}{f' WITH ({options})' if options else ''} AS\n{str(a['definition']).rstrip(';')}"


def view_definition(view: ObjectId, left: Attributes, right: Attributes) -> str:
    """Return the statement that gives a view its text back, or :data:`REMADE` where a replacement could not.

    CREATE OR REPLACE VIEW can only add columns, at the end.
    """
    wanted, held = _texts(left.get("columns")), _texts(right.get("columns"))
    can = view.kind == "view" and wanted[: len(held)] == held
    return view_sql(view, left, replace=True) if can else REMADE


def routine_definition(left: Attributes, right: Attributes) -> str:
    """Return the statement that gives a function or procedure its definition back, or :data:`REMADE`.

    CREATE OR REPLACE can change neither the result nor the names of arguments, and takes no default away.
    """
    same = all(left.get(key) == right.get(key) for key in ("result", "arguments"))
    return str(left["definition"]).rstrip() if same else REMADE


def aggregate_sql(aggregate: ObjectId, a: Attributes) -> str:
    """Return the statement that makes an aggregate, or puts it in the place of the one that is there."""
    words = {
        "state_function": "SFUNC", "state_type": "STYPE", "state_space": "SSPACE", "final_function": "FINALFUNC",
        "combine_function": "COMBINEFUNC", "serial_function": "SERIALFUNC", "deserial_function": "DESERIALFUNC",
        "moving_state_function": "MSFUNC", "moving_inverse_function": "MINVFUNC", "moving_state_type": "MSTYPE",
        "moving_state_space": "MSSPACE", "moving_final_function": "MFINALFUNC",
    }  # fmt: skip
    parts = [f"{word} = {a[key]}" for key, word in words.items() if key in a]
    parts += [f"{word} = {literal(str(a[key]))}" for key, word in
              (("initial", "INITCOND"), ("moving_initial", "MINITCOND")) if key in a]  # fmt: skip
    parts += [word for key, word in (("final_extra", "FINALFUNC_EXTRA"), ("moving_final_extra", "MFINALFUNC_EXTRA"))
              if a.get(key)]  # fmt: skip
    modes = {"r": "READ_ONLY", "s": "SHAREABLE", "w": "READ_WRITE"}
    if "final_function" in a:
        parts.append(f"FINALFUNC_MODIFY = {modes[str(a['final_modify'])]}")
    if "moving_final_function" in a:
        parts.append(f"MFINALFUNC_MODIFY = {modes[str(a['moving_final_modify'])]}")
    if "sort_operator" in a:
        parts.append(f"SORTOP = OPERATOR({str(a['sort_operator']).partition('(')[0]})")
    parts.append(f"PARALLEL = {({'s': 'SAFE', 'r': 'RESTRICTED', 'u': 'UNSAFE'})[str(a['parallel'])]}")
    if a["kind"] == "h":
        parts.append("HYPOTHETICAL")
    name = f"{quoted(aggregate.schema)}.{aggregate.name.partition('(')[0]}"
    signature = a["signature"] or "*"
    return f"CREATE OR REPLACE AGGREGATE {name} ({signature}) ({', '.join(parts)})"


def _split(entry: str, by: str) -> tuple[str, str]:
    """Split a name, quoted by the server where it has to be, from what stands behind it."""
    if not entry.startswith('"'):
        name, _, rest = entry.partition(by)
        return name, rest
    end = 1
    while entry[end] != '"' or entry[end + 1 : end + 2] == '"':
        end += 2 if entry[end] == '"' else 1
    return entry[: end + 1], entry[end + 1 + len(by) :]


def _texts(value: Value | None) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()
