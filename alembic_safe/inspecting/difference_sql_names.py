"""How is an object of a catalog called in SQL, and how are its comment, owner and rights set?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.rights import grantee

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId, Value

VERBATIM = frozenset({
    "function", "procedure", "aggregate", "operator", "operator class", "operator family", "cast", "transform",
    "user mapping",
})  # fmt: skip
"""Kinds whose name in a catalog is SQL already: the server quoted it, and it holds more than an identifier."""

_WORDS = {
    "enum": "TYPE", "composite type": "TYPE", "range type": "TYPE", "base type": "TYPE", "view column": "COLUMN",
    "foreign-data wrapper": "FOREIGN DATA WRAPPER", "domain constraint": "CONSTRAINT", "partition trigger": "TRIGGER",
}  # fmt: skip

_OWNERS_ONLY = ("@owner=ALL",)
_DEFAULT_RIGHTS: Mapping[str, tuple[str, ...]] = {
    "column": (), "view column": (),
    **dict.fromkeys(("function", "procedure", "aggregate", "language", "enum", "domain", "composite type", "range type",
                     "base type"), ("@owner=ALL", "PUBLIC=ALL")),
}  # fmt: skip
"""Who may do what with a fresh object (``acldefault``); only the owner where nothing is said."""


def literal(text: str) -> str:
    """Return a string constant; ``standard_conforming_strings`` is on since PostgreSQL 9.1."""
    return "'" + text.replace("'", "''") + "'"


def name_of(id_: ObjectId) -> str:
    """Return an object's name, qualified and quoted."""
    if id_.kind in VERBATIM:
        return f"{quoted(id_.schema)}.{id_.name}" if id_.schema else id_.name
    return quoted(id_.schema, id_.name) if id_.schema else quoted(id_.name)


def parent_of(id_: ObjectId) -> str:
    """Return the name of the table, view or domain that an object is a part of."""
    return quoted(id_.schema, id_.parent)


def address(id_: ObjectId) -> str:
    """Return what stands behind COMMENT ON or DROP: ``TRIGGER "t" ON "public"."users"``."""
    word = _WORDS.get(id_.kind, id_.kind.upper())
    if id_.kind in {"column", "view column"}:
        return f"{word} {quoted(id_.schema, id_.parent, id_.name)}"
    if id_.kind == "domain constraint":
        return f"{word} {quoted(id_.name)} ON DOMAIN {parent_of(id_)}"
    if id_.kind in {"constraint", "trigger", "partition trigger", "rule", "policy"}:
        return f"{word} {quoted(id_.name)} ON {parent_of(id_)}"
    if id_.kind == "user mapping":
        who, _, server = id_.name.rpartition(" on ")
        return f"{word} FOR {who} SERVER {server}"
    return f"{word} {name_of(id_)}"


def comment_sql(id_: ObjectId, comment: Value | None) -> str:
    """Return the statement that sets or removes a comment."""
    return f"COMMENT ON {address(id_)} IS {literal(str(comment)) if comment is not None else 'NULL'}"


def owner_sql(id_: ObjectId, owner: Value | None) -> str:
    """Return the statement that gives an object to its owner."""
    return f"ALTER {address(id_)} OWNER TO {quoted(str(owner))}"


def rights_sql(id_: ObjectId, left: Value | None, right: Value | None, owner: str) -> Iterator[str]:
    """Yield the statements that turn one list of rights into another.

    :param owner: the object's, under the name that the left side has for it.
    """
    default = _DEFAULT_RIGHTS.get(id_.kind, _OWNERS_ONLY)
    wanted, held = (default if side is None else _entries(side) for side in (left, right))
    for entry in sorted({grantee(entry) for entry in held if entry not in wanted}):
        yield f"REVOKE {_what(id_, 'ALL')} FROM {_role(entry, owner)}"
    for entry in wanted:
        if entry in held:
            continue
        privileges = entry.rpartition("=")[2].split(",")
        for star, option in (("", ""), ("*", " WITH GRANT OPTION")):
            some = [p.removesuffix("*") for p in privileges if p.endswith("*") is bool(star)]
            if some:
                what = ", ".join(_what(id_, p, on=False) for p in some)
                yield f"GRANT {what} ON {_on(id_)} TO {_role(grantee(entry), owner)}{option}"


def default_privileges_sql(
    id_: ObjectId, left: Mapping[str, Value] | None, right: Mapping[str, Value] | None
) -> Iterator[str]:
    """Yield the statements that turn one set of default privileges into another."""
    role = str((left or right or {})["role"])
    objects = id_.name.rpartition(" on ")[2]
    where = f" IN SCHEMA {quoted(id_.schema)}" if id_.schema else ""
    public = ("PUBLIC=ALL",) if objects in {"FUNCTIONS", "TYPES"} else ()
    # those of one schema are added to the others, so that nothing is the default there
    fresh = () if id_.schema else ("@owner=ALL", *public)
    wanted, held = (fresh if side is None else _entries(side.get("grants")) for side in (left, right))
    prefix = f"ALTER DEFAULT PRIVILEGES FOR ROLE {quoted(role)}{where}"
    for who in sorted({grantee(entry) for entry in held if entry not in wanted}):
        yield f"{prefix} REVOKE ALL ON {objects} FROM {_role(who, role)}"
    for entry in wanted:
        if entry not in held:
            what = entry.rpartition("=")[2]
            option = " WITH GRANT OPTION" if what.endswith("*") else ""
            yield f"{prefix} GRANT {what.replace('*', '')} ON {objects} TO {_role(grantee(entry), role)}{option}"


def owner_of(catalog: Catalog, id_: ObjectId) -> str:
    """Return the owner of an object, or of the table that it is a part of."""
    attributes = catalog.objects.get(id_, {})
    if "owner" in attributes:
        return str(attributes["owner"])
    for kind in ("table", "view", "materialized view", "foreign table"):
        found = catalog.objects.get(id_._replace(kind=kind, name=id_.parent, parent=""))
        if found is not None:
            return str(found["owner"])
    return "CURRENT_USER"


def _entries(side: Value | None) -> tuple[str, ...]:
    return tuple(entry for entry in side if "=" in entry) if isinstance(side, tuple) else ()


def _role(who: str, owner: str) -> str:
    return quoted(owner) if who == "@owner" else who  # the others are SQL already


def _what(id_: ObjectId, privilege: str, *, on: bool = True) -> str:
    columns = f" ({quoted(id_.name)})" if id_.kind in {"column", "view column"} else ""
    return f"{privilege}{columns}" + (f" ON {_on(id_)}" if on else "")


def _on(id_: ObjectId) -> str:
    if id_.kind in {"column", "view column"}:
        return f"TABLE {parent_of(id_)}"
    if id_.kind in {"table", "view", "materialized view", "foreign table"}:
        return f"TABLE {name_of(id_)}"
    if id_.kind == "system grant":
        word, _, rest = id_.name.partition(" ")
        return f"{'TABLE' if word == 'view' else word.upper()} {rest}"
    called = {"server": "FOREIGN SERVER", "aggregate": "FUNCTION", "domain": "TYPE"}.get(id_.kind)
    return f"{called} {name_of(id_)}" if called else address(id_)


def options_sql(left: Value | None, right: Value | None, prefix: str = "") -> Iterator[str]:
    """Yield the clauses that turn one set of ``name=value`` options into another: ``SET (...)``, ``RESET (...)``."""
    wanted, held = _pairs(left), _pairs(right)
    changed = [f"{prefix}{quoted(k)} = {literal(v)}" for k, v in wanted.items() if held.get(k) != v]
    gone = [f"{prefix}{quoted(k)}" for k in held if k not in wanted]
    if gone:
        yield f"RESET ({', '.join(gone)})"
    if changed:
        yield f"SET ({', '.join(changed)})"


def foreign_options_sql(left: Value | None, right: Value | None) -> str:
    """Return the ``OPTIONS (...)`` clause that turns one set of options of a foreign data object into another."""
    wanted, held = _pairs(left), _pairs(right)
    parts = [f"{'SET' if k in held else 'ADD'} {quoted(k)} {literal(v)}" for k, v in wanted.items() if held.get(k) != v]
    parts += [f"DROP {quoted(k)}" for k in held if k not in wanted]
    return f"OPTIONS ({', '.join(parts)})"


def fresh_foreign_options(value: Value | None) -> str:
    """Return the ``OPTIONS (...)`` clause of a fresh foreign data object, or nothing."""
    pairs = _pairs(value)
    return f" OPTIONS ({', '.join(f'{quoted(k)} {literal(v)}' for k, v in pairs.items())})" if pairs else ""


def _pairs(value: Value | None) -> dict[str, str]:
    if not isinstance(value, tuple):
        return {}
    return {name: text for name, _, text in (option.partition("=") for option in value)}
