"""Random pairs of models with the renames between them, and rows that must outlive the way from one to the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from alembic_safe.authoring.renames import Rename
from alembic_safe.inspecting.catalog_records import ObjectId

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

ROWS = (1, 2, 3)
DEFAULT = "public"
LABELS = ("a", "b", "c", "d")

# Within a family every value converts into every type and back; the first letter of a column's name is its family.
FAMILIES: dict[str, tuple[str, ...]] = {
    "n": ("integer", "bigint", "numeric", "text", "varchar", "varchar(40)", "numeric(12)"), "e": ("mood", "text"),
    "d": ("date", "timestamp", "timestamp(3)"),
    "b": ("boolean",), "j": ("jsonb",), "r": ("integer[]",),
}  # fmt: skip
IN_PLACE = {
    "n": (("varchar", "varchar(40)", "text"), ("numeric", "numeric(12)")),
    "d": (("timestamp(3)", "timestamp"),),
}
"""Types in an order in which PostgreSQL changes one into any behind it without touching a row."""
FILLS = {"n": "id", "e": "'a'", "d": "'2020-01-01'", "b": "true", "j": "'{}'", "r": "'{}'"}
FILLED = {"n": Decimal(2), "e": "a", "d": "2020-01-01", "b": "true", "j": "{}", "r": "{}"}
"""What the second row holds then, as it compares."""
SERVER_DEFAULTS = {"n": "7", "e": "a", "d": "2020-01-01", "b": "true", "j": "{}", "r": "{}"}


@dataclass(frozen=True)
class ColumnSpec:
    name: str
    type: str
    nullable: bool = True
    default: bool = False
    unique: bool = False
    index: str = ""
    comment: str | None = None
    check: bool = False


@dataclass(frozen=True)
class TableSpec:
    name: str
    columns: tuple[ColumnSpec, ...]
    schema: str | None = None
    wide_key: bool = False
    check: int | None = None
    computed: int | None = None
    references: str = ""
    comment: str | None = None
    identity: bool = False


@dataclass(frozen=True)
class ModelsSpec:
    tables: tuple[TableSpec, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    old: ModelsSpec
    new: ModelsSpec
    table_renames: tuple[tuple[str | None, str, str], ...]
    column_renames: tuple[tuple[str | None, str, str, str, str], ...]
    """Schema, old table, new table, old column, new column."""

    def renames(self, *, back: bool = False) -> tuple[Rename, ...]:
        found = []
        for schema, old, new in self.table_renames:
            found.append(Rename("table", schema or DEFAULT, "", new if back else old, old if back else new))
        for schema, old_table, new_table, old, new in self.column_renames:
            table = old_table if back else new_table
            found.append(Rename("column", schema or DEFAULT, table, new if back else old, old if back else new))
        return tuple(found)


INDEXES = ("", "", "", "plain", "where 0", "where 1", "named", "computed")
"""What is built on a column: with a predicate on another one or on itself, or over an expression."""


@st.composite
def columns(draw: Callable[..., Any]) -> tuple[ColumnSpec, ...]:
    names = draw(
        st.lists(st.sampled_from(["n0", "n1", "n2", "e0", "e1", "d0", "b0", "j0", "r0"]), max_size=5, unique=True)
    )
    found = []
    for name in names:
        kind = draw(st.sampled_from(FAMILIES[name[0]]))
        default = draw(st.booleans())
        plain = name[0] in "nd"
        unique = name[0] == "n" and not default and draw(st.booleans())
        index = draw(st.sampled_from(INDEXES)) if plain and not unique else ""
        comment = draw(st.sampled_from([None, None, "said", "it's"]))
        check = plain and draw(st.sampled_from([False, False, True]))
        found.append(ColumnSpec(name, kind, draw(st.booleans()), default, unique, index, comment, check))
    return tuple(found)


@st.composite
def models(draw: Callable[..., Any]) -> ModelsSpec:
    names = draw(st.lists(st.sampled_from(["alpha", "beta", "gamma", "Order"]), min_size=1, max_size=3, unique=True))
    tables: list[TableSpec] = []
    for name in names:
        schema = "side" if name == "gamma" else None
        cols = draw(columns())
        wide = any(c.name == "n0" and c.type in {"integer", "bigint"} and not c.nullable for c in cols) and draw(
            st.booleans()
        )
        candidates = [t.name for t in tables if not t.wide_key]
        tables.append(TableSpec(
            name, cols, schema, wide, draw(st.sampled_from([None, 0, 1])), draw(st.sampled_from([None, 2, 3])),
            draw(st.sampled_from(["", *candidates])), draw(st.sampled_from([None, "about it"])), draw(st.booleans()),
        ))  # fmt: skip
    rest = draw(st.lists(st.sampled_from(LABELS[1:]), unique=True))
    return ModelsSpec(tuple(tables), tuple(draw(st.permutations(["a", *rest]))))


@st.composite
def pairs(draw: Callable[..., Any]) -> Pair:
    old, new = draw(models()), draw(models())
    olds, news = ({(t.schema, t.name): t for t in spec.tables} for spec in (old, new))
    gone = [key for key in olds if key not in news]
    came = [key for key in news if key not in olds]
    table_renames = []
    for key in gone:
        fits = [other for other in came if other[0] == key[0]]
        if fits and draw(st.booleans()):
            other = draw(st.sampled_from(fits))
            came.remove(other)
            table_renames.append((key[0], key[1], other[1]))
    renamed = {(schema, b): a for schema, a, b in table_renames}
    column_renames = []
    for key, table in news.items():
        before = olds.get((key[0], renamed.get(key, key[1])))
        if before is None:
            continue
        had, has = {c.name for c in before.columns}, {c.name for c in table.columns}
        fresh = sorted(has - had)
        for name in sorted(had - has):
            fits = [other for other in fresh if other[0] == name[0]]
            if fits and draw(st.booleans()):
                other = draw(st.sampled_from(fits))
                fresh.remove(other)
                column_renames.append((key[0], before.name, table.name, name, other))
    return Pair(old, new, tuple(table_renames), tuple(column_renames))


@st.composite
def in_place_pairs(draw: Callable[..., Any]) -> Pair:
    """Draw a table whose columns change their types without a row being touched, and what stands on them as well."""
    olds, news = [], []
    for name in draw(st.lists(st.sampled_from(["n0", "n1", "n2", "d0"]), min_size=1, unique=True)):
        types = draw(st.sampled_from(IN_PLACE[name[0]]))
        at = sorted(draw(st.tuples(*[st.integers(0, len(types) - 1)] * 2)))
        stays = draw(st.booleans())
        for specs, place in zip((olds, news), at, strict=True):
            if specs is news and stays:
                news.append(replace(olds[-1], type=types[place]))
                continue
            index, check = draw(st.sampled_from(INDEXES)), draw(st.booleans())
            unique = name[0] == "n" and not index and draw(st.booleans())
            default = not unique and draw(st.booleans())
            specs.append(ColumnSpec(name, types[place], default=default, unique=unique, index=index, check=check))
    schema = draw(st.sampled_from([None, "side"]))
    name = draw(st.sampled_from(["alpha", "Order"]))
    spec = [ModelsSpec((TableSpec(name, tuple(cols), schema),), ("a",)) for cols in (olds, news)]
    return Pair(spec[0], spec[1], (), ())


def metadata_of(spec: ModelsSpec, before: tuple[str, ...] = ()) -> sa.MetaData:
    """Return the models.

    :param before: the labels of the enum so far: those that go become another one.
    """
    gone = {label: "a" for label in before if label not in spec.labels}
    metadata = sa.MetaData(naming_convention={"ck": "ck_%(table_name)s_%(constraint_name)s"})
    for table in spec.tables:
        items: list[Any] = [sa.Column("id", sa.Integer, *([sa.Identity()] if table.identity else []), primary_key=True)]
        items += [_column(column, table, spec.labels, gone) for column in table.columns]
        if table.computed is not None:
            items.append(
                sa.Column(
                    "times", sa.Integer, sa.Computed(f"id * {table.computed}", persisted=True), info={"at_once": True}
                )
            )
        if table.references:
            target = next(t for t in spec.tables if t.name == table.references)
            name = f"{target.schema}.{target.name}" if target.schema else target.name
            items.append(sa.Column(f"ref_{target.name}", sa.Integer, sa.ForeignKey(f"{name}.id")))
        if table.check is not None:
            items.append(sa.CheckConstraint(f"id > {table.check - 1}", name="positive"))
        for column in table.columns:
            items += _standing_on(column, table)
        info = {"at_once": [f"{table.name}_pkey"]}
        sa.Table(table.name, metadata, *items, schema=table.schema, comment=table.comment, info=info)
    return metadata


def _standing_on(column: ColumnSpec, table: TableSpec) -> list[Any]:
    name, on, where = f"ix_{table.name}_{column.name}", column.name, None
    if column.index.startswith("where"):
        where = sa.column("id") > int(column.index[-1])
    elif column.index == "named":
        on, where = "id", sa.column(column.name).is_not(None)
    expression = sa.text(f"({column.name} IS NULL)") if column.index == "computed" else on
    index = [sa.Index(name, expression, postgresql_where=where)] if column.index else []
    said = f"{column.name} IS NOT NULL OR id > 0"
    return [*index, *([sa.CheckConstraint(said, name=f"said_{column.name}")] if column.check else [])]


def _column(
    column: ColumnSpec, table: TableSpec, labels: tuple[str, ...], gone: dict[str, str]
) -> sa.Column[Any]:  # fmt: skip
    kinds: dict[str, Any] = {
        "integer": sa.Integer(), "bigint": sa.BigInteger(), "numeric": sa.Numeric(10, 2), "text": sa.Text(),
        "varchar": sa.String(30), "varchar(40)": sa.String(40), "numeric(12)": sa.Numeric(12, 2),
        "timestamp(3)": postgresql.TIMESTAMP(precision=3), "timestamp": sa.DateTime(), "date": sa.Date(),
        "mood": sa.Enum(*labels, name="mood"), "boolean": sa.Boolean(), "jsonb": postgresql.JSONB(),
        "integer[]": sa.ARRAY(sa.Integer),
    }  # fmt: skip
    return sa.Column(
        column.name, kinds[column.type], nullable=column.nullable, unique=column.unique or None, comment=column.comment,
        server_default=SERVER_DEFAULTS[column.name[0]] if column.default else None,
        primary_key=table.wide_key and column.name == "n0", info={"enum": gone} if column.type == "mood" and gone else {},
    )  # fmt: skip


def fills_of(spec: ModelsSpec) -> dict[ObjectId, str]:
    """Return what a person would say for every column that may need it: NOT NULL, and no default."""
    return {
        ObjectId("column", table.schema or DEFAULT, column.name, table.name): FILLS[column.name[0]]
        for table in spec.tables
        for column in table.columns
        if (not column.nullable or (table.wide_key and column.name == "n0")) and not column.default
    }


def value_of(name: str, row: int) -> Any:
    return {"n": row, "e": "a", "d": f"2020-01-0{row}", "b": row % 2 == 0, "j": '{"k": 1}', "r": [row]}[name[0]]


def fill_with_rows(
    connection: sa.Connection, spec: ModelsSpec, empty: Collection[tuple[str | None, str, str]] = ()
) -> None:
    """Write rows.

    :param empty: the columns, each with schema and table, that hold NULL in the second one.
    """
    for table in metadata_of(spec).sorted_tables:
        for row in ROWS:
            values = {c.name: value_of(c.name, row) for c in table.columns if c.name[:3] not in {"id", "tim", "ref"}}
            if row == ROWS[1]:
                values |= {name: None for name in values if (table.schema, table.name, name) in empty}
            ref = [c.name for c in table.columns if c.name.startswith("ref_")]
            names = ", ".join(f'"{name}"' for name in ("id", *values, *ref))
            casts = [
                f":{name}" if name[0] == "r" else f"CAST(:{name} AS text)::{_sql_type(table.c[name])}"
                for name in values
            ]
            marks = ", ".join([str(row), *casts, *[str(row)] * len(ref)])
            given = {name: value if name[0] == "r" or value is None else str(value) for name, value in values.items()}
            target = f'"{table.schema or DEFAULT}"."{table.name}"'
            connection.execute(
                sa.text(f"INSERT INTO {target} ({names}) OVERRIDING SYSTEM VALUE VALUES ({marks})"), given
            )


def _sql_type(column: sa.Column[Any]) -> str:
    return str(column.type.compile(dialect=postgresql.dialect()))


def rows_of(connection: sa.Connection, spec: ModelsSpec) -> dict[tuple[str | None, str, str], list[Any]]:
    """Return the values of every plain column, in the order of the ids, as they compare across a family's types."""
    found = {}
    for table in spec.tables:
        for column in table.columns:
            target = f'"{table.schema or DEFAULT}"."{table.name}"'
            rows = connection.execute(sa.text(f'SELECT "{column.name}"::text FROM {target} ORDER BY id')).scalars()
            found[table.schema, table.name, column.name] = [_normal(column.name, text) for text in rows]
    return found


def _normal(name: str, text: str | None) -> Any:
    if text is None:
        return None
    return Decimal(text) if name[0] == "n" else text[:10] if name[0] == "d" else text
