"""What is a column's type called in Python?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alembic_safe.history.python_text import string

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId

_PLAIN: Mapping[str, str] = {
    "smallint": "sa.SmallInteger()", "integer": "sa.Integer()", "bigint": "sa.BigInteger()", "boolean": "sa.Boolean()",
    "text": "sa.Text()", "character varying": "sa.String()", "numeric": "sa.Numeric()", "real": "sa.REAL()",
    "double precision": "sa.Double()", "date": "sa.Date()", "timestamp without time zone": "sa.DateTime()",
    "timestamp with time zone": "sa.DateTime(timezone=True)", "time without time zone": "sa.Time()",
    "time with time zone": "sa.Time(timezone=True)", "interval": "sa.Interval()", "bytea": "sa.LargeBinary()",
    "uuid": "sa.Uuid()", "json": "sa.JSON()", "jsonb": "postgresql.JSONB()", "inet": "postgresql.INET()",
    "cidr": "postgresql.CIDR()", "macaddr": "postgresql.MACADDR()", "macaddr8": "postgresql.MACADDR8()",
    "tsvector": "postgresql.TSVECTOR()", "tsquery": "postgresql.TSQUERY()", "money": "postgresql.MONEY()",
    "oid": "postgresql.OID()", "regclass": "postgresql.REGCLASS()", "bit varying": "postgresql.BIT(varying=True)",
    "int4range": "postgresql.INT4RANGE()", "int8range": "postgresql.INT8RANGE()", "numrange": "postgresql.NUMRANGE()",
    "daterange": "postgresql.DATERANGE()", "tsrange": "postgresql.TSRANGE()", "tstzrange": "postgresql.TSTZRANGE()",
    "int4multirange": "postgresql.INT4MULTIRANGE()", "int8multirange": "postgresql.INT8MULTIRANGE()",
    "nummultirange": "postgresql.NUMMULTIRANGE()", "datemultirange": "postgresql.DATEMULTIRANGE()",
    "tsmultirange": "postgresql.TSMULTIRANGE()", "tstzmultirange": "postgresql.TSTZMULTIRANGE()",
}  # fmt: skip
_OF_EXTENSIONS = {"citext": "postgresql.CITEXT()", "hstore": "postgresql.HSTORE()"}
_MODIFIED = (
    (re.compile(r"character varying\((\d+)\)"), "sa.String(length={0})"),
    (re.compile(r"character\((\d+)\)"), "sa.CHAR(length={0})"),
    (re.compile(r"numeric\((\d+),(\d+)\)"), "sa.Numeric(precision={0}, scale={1})"),
    (re.compile(r"timestamp\((\d)\) without time zone"), "postgresql.TIMESTAMP(precision={0})"),
    (re.compile(r"timestamp\((\d)\) with time zone"), "postgresql.TIMESTAMP(precision={0}, timezone=True)"),
    (re.compile(r"time\((\d)\) without time zone"), "postgresql.TIME(precision={0})"),
    (re.compile(r"time\((\d)\) with time zone"), "postgresql.TIME(precision={0}, timezone=True)"),
    (re.compile(r"bit\((\d+)\)"), "postgresql.BIT({0})"),
    (re.compile(r"bit varying\((\d+)\)"), "postgresql.BIT({0}, varying=True)"),
)
_COLLATABLE = re.compile(r"(sa\.(?:String|Text|CHAR)\()(.*)\)")


def type_text(catalog: Catalog, type_: str, default_schema: str, collation: str = "") -> str | None:
    """Return a type as an expression of SQLAlchemy's; ``None`` where SQLAlchemy has no word for it.

    :param type_: as ``format_type()`` writes it under an empty search path.
    :param collation: a name, unless it is the type's own.
    """
    if type_.endswith("[]"):
        inner = type_text(catalog, type_.removesuffix("[]"), default_schema, collation)
        return None if inner is None else f"postgresql.ARRAY({inner})"
    found = _PLAIN.get(type_) or _modified(type_) or _named(catalog, type_, default_schema)
    if found is None or not collation:
        return found
    collatable = _COLLATABLE.fullmatch(found)
    if collatable is None:
        return None
    arguments = f"{collatable[2]}, " if collatable[2] else ""
    return f"{collatable[1]}{arguments}collation={string(collation)})"


def _modified(type_: str) -> str | None:
    for pattern, form in _MODIFIED:
        found = pattern.fullmatch(type_)
        if found:
            return form.format(*found.groups())
    return None


def _named(catalog: Catalog, type_: str, default_schema: str) -> str | None:
    """Return a type that somebody made: an enum or a domain, by its name; or that a usual extension brought."""
    id_ = named_type(catalog, type_)
    if id_ is None:
        return _OF_EXTENSIONS.get(type_.removeprefix(f"{default_schema}."))
    schema = "" if id_.schema == default_schema else f", schema={string(id_.schema)}"
    if id_.kind == "enum":
        return f"postgresql.ENUM(name={string(id_.name)}{schema}, create_type=False)"
    below = type_text(catalog, str(catalog.objects[id_]["type"]), default_schema)
    return f"postgresql.DOMAIN({string(id_.name)}, {below}{schema}, create_type=False)" if below else None


def named_type(catalog: Catalog, type_: str) -> ObjectId | None:
    """Return the enum or domain that a type of a column is, if it is one."""
    return catalog.types_by_server_name.get(type_)
