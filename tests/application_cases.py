"""For each recipe one change of the models, and what the old and the new application write and read meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    Make = Callable[[Random, str], Any]


class Whatever:
    """A value that nobody is asked about: what an application that does not know a column left in it."""

    def __repr__(self) -> str:
        return "whatever"


WHATEVER = Whatever()


def same(value: Any) -> Any:
    """Return what was given."""
    return value


@dataclass(frozen=True)
class Column:
    """A column as one application knows it.

    :param means: the part of a row's meaning that stands in it; both applications call it alike.
    :param make: makes a new meaning, given a source of chance and a text that nobody else is given.
    :param write: what is written for a meaning.
    """

    name: str
    means: str
    make: Make
    write: Callable[[Any], Any] = same


@dataclass(frozen=True)
class App:
    """One version of the application: the table it works on, and its columns besides ``id``.

    :param rows: what its rows mean stands under this name; versions that share it mean the same rows by the same ``id``.
    :param beside: SQL that makes the row of another table for each row that it makes at first.
    :param replaces: whether it deletes rows to make them anew.
    :param key: the column that tells the rows apart.
    """

    columns: tuple[Column, ...]
    table: str = "items"
    rows: str = ""
    beside: str = ""
    replaces: bool = True
    key: str = "id"
    schema: str = ""

    @property
    def place(self) -> tuple[str, ...]:
        """The schema, where there is one, and the table."""
        return (self.schema, self.table) if self.schema else (self.table,)

    @property
    def means(self) -> str:
        """The name under which stands what its rows mean."""
        return self.rows or self.table


@dataclass(frozen=True)
class Traffic:
    """One change, and the two applications that live through it.

    :param before: the models' tables before it, after it: in terms of ``sa`` and ``metadata``.
    :param seed: SQL that makes ``ROWS`` rows.
    :param absent: what a row means where the application that made it does not know a part of its meaning.
    :param becomes: what a part may mean from the copy on, and means after the contract, where it meant something else.
    :param swaps: the contract changes the type of a column under its name: prepared statements fail once.
    :param dropped: the part that the contract takes away; a row that is made anew behind it has none to come back to.
    :param seen_by: the command that sees the change; Alembic's comparison sees no checks and no collations.
    :param unsaid: SQL that makes what models cannot say: partitions.
    """

    before: str
    after: str
    old: App
    new: App
    seed: str
    absent: Mapping[str, Any] = field(default_factory=dict)
    becomes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    swaps: bool = False
    dropped: str = ""
    seen_by: tuple[str, ...] = ("revision", "--autogenerate")
    unsaid: str = ""


def _models(*columns: str, more: str = "", key: str = "sa.Integer") -> str:
    said = "".join(f", {column}" for column in ('sa.Column("note", sa.Text)', *columns))
    return f'{more}sa.Table("items", metadata, sa.Column("id", {key}, primary_key=True){said})\n'


def _referring(key: str) -> str:
    """Return a table, and one that refers to it."""
    return _models(key=key) + (
        'sa.Table("parts", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("note", sa.Text),'
        f' sa.Column("item", {key.partition(",")[0]}, sa.ForeignKey("items.id"), index=True))\n'
    )


def _text(chance: Random, unique: str) -> str | None:
    return chance.choice([None, unique, f"{unique} % ' \" \\", unique.upper()])


def _filled(chance: Random, unique: str) -> str:
    del chance
    return unique


def _number(chance: Random, unique: str) -> int:
    del unique
    return chance.randrange(1, 10**6)


def _team(chance: Random, unique: str) -> int | None:
    del unique
    return chance.choice([None, 1, 2, 3])


NOTE = Column("note", "note", _text)


def _both(*columns: Column) -> dict[str, App]:
    return {"old": App((NOTE, *columns)), "new": App((NOTE, *columns))}


def _rows(column: str = "", expression: str = "") -> str:
    names, values = (f", {column}", f", {expression}") if column else ("", "")
    return f"INSERT INTO items (id, note{names}) SELECT n, 'note ' || n{values} FROM generate_series(1, ROWS) n"


def _pair(chance: Random, unique: str) -> str:
    return f"{unique}:{chance.randrange(9)}"


def _part(number: int) -> Callable[[str], str]:
    return lambda pair: pair.split(":")[number]


def _item(chance: Random, unique: str) -> int:
    del unique
    return chance.randrange(1, 1000)


def _label(*labels: str) -> Make:
    return lambda chance, _: chance.choice(labels)


def _status(*labels: str, info: str = "{}") -> str:
    words = ", ".join(map(repr, labels))
    return _models(f'sa.Column("status", sa.Enum({words}, name="status"), server_default="open", info={info})')


_SPLIT = _models(*(
    f'sa.Column("{name}", sa.Text, nullable=False, info=split_from("name", up="split_part(name, \':\', {n})",'
    ' down="first || \':\' || last"))'
    for n, name in enumerate(("first", "last"), 1)
))  # fmt: skip
_MERGED = _models(
    'sa.Column("name", sa.Text, index=True, info=merged_from(("first", "last"), up="first || \':\' || last",'
    " down=(\"split_part(name, ':', 1)\", \"split_part(name, ':', 2)\")))"
)
_MOVING = (
    'sa.Table("items", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("note", sa.Text){})\n'
    'sa.Table("details", metadata, sa.Column("id", sa.ForeignKey("items.id"), primary_key=True),'
    ' sa.Column("remark", sa.Text){})\n'
)
_TEAMS = 'sa.Table("teams", metadata, sa.Column("id", sa.Integer, primary_key=True))\n'
_SEEDED_TEAMS = "INSERT INTO teams SELECT generate_series(1, 3); "
_SEEDED_PARTS = (
    "; INSERT INTO parts (id, note, item) SELECT n, 'part ' || n, 1 + n % 1000 FROM generate_series(1, ROWS) n"
)
_MILESTONE = ("milestone", "--no-stamp")
_PARTED = 'postgresql_partition_by="RANGE (id)"'
_PARTITIONS = (
    "CREATE TABLE part_1 PARTITION OF items FOR VALUES FROM (MINVALUE) TO (5000);"
    " CREATE TABLE part_2 PARTITION OF items DEFAULT"
)
_NOTED = 'sa.Index("by_note", "remark", postgresql_where=sa.text("note IS NOT NULL"))'
_AMOUNT = Column("amount", "amount", _number)

CASES = {
    "rename column": Traffic(
        _models('sa.Column("nick", sa.Text)'),
        _models('sa.Column("handle", sa.Text, info=renamed_from("nick"))'),
        App((NOTE, Column("nick", "nick", _text))), App((NOTE, Column("handle", "nick", _text))),
        _rows("nick", "'nick ' || n"),
    ),
    "rename column, other type": Traffic(
        _models('sa.Column("code", sa.Text, nullable=False)'),
        _models(
            'sa.Column("number", sa.Integer, nullable=False, info=renamed_from("code") |'
            ' {"up": "code::integer", "down": "number::text"})'
        ),
        App((NOTE, Column("code", "code", _number, str))), App((NOTE, Column("number", "code", _number))),
        _rows("code", "n::text"),
    ),
    "change type": Traffic(
        _models('sa.Column("amount", sa.Integer, nullable=False)'),
        _models('sa.Column("amount", sa.BigInteger, nullable=False)'),
        **_both(_AMOUNT), seed=_rows("amount", "n"), swaps=True,
    ),
    "change type in place, check": Traffic(
        _models('sa.Column("remark", sa.String(40))', 'sa.CheckConstraint("length(remark) < 80", name="positive")'),
        _models('sa.Column("remark", sa.String(60))', 'sa.CheckConstraint("length(remark) < 80", name="positive")'),
        **_both(Column("remark", "remark", _text)), seed=_rows("remark", "'remark ' || n"), swaps=True,
    ),
    "change type in place, partial index": Traffic(
        _models('sa.Column("remark", sa.String(40))', _NOTED), _models('sa.Column("remark", sa.Text)', _NOTED),
        **_both(Column("remark", "remark", _text)), seed=_rows("remark", "'remark ' || n"), swaps=True,
    ),
    "split column": Traffic(
        _models('sa.Column("name", sa.Text, nullable=False)'), _SPLIT,
        App((NOTE, Column("name", "name", _pair))),
        App((NOTE, Column("first", "name", _pair, _part(0)), Column("last", "name", _pair, _part(1)))),
        _rows("name", "'a' || n || ':' || n"),
    ),
    "merge columns": Traffic(
        _models('sa.Column("first", sa.Text)', 'sa.Column("last", sa.Text, nullable=False)'), _MERGED,
        App((NOTE, Column("first", "name", _pair, _part(0)), Column("last", "name", _pair, _part(1)))),
        App((NOTE, Column("name", "name", _pair))), _rows("first, last", "'a' || n, n::text"),
    ),
    "move column": Traffic(
        _MOVING.format(', sa.Column("phone", sa.Text, index=True)', ""),
        _MOVING.format("", ', sa.Column("phone", sa.Text, index=True, info=moved_from("items.phone", on={"id": "id"}))'),
        App(
            (NOTE, Column("phone", "phone", _text)), beside="INSERT INTO details (id, remark) VALUES (%s, 'first')",
            replaces=False,
        ),
        App((Column("remark", "remark", _text), Column("phone", "phone", _filled)), "details", rows="items"),
        _rows("phone", "nullif('phone ' || n % 10, 'phone 0')")
        + "; INSERT INTO details (id, remark) SELECT id, note FROM items",
        absent={"remark": WHATEVER},
    ),
    "enum: a label goes": Traffic(
        _status("open", "gone", "closed"), _status("open", "closed", info='{"enum": {"gone": "closed"}}'),
        App((NOTE, Column("status", "status", _label("open", "gone", "closed")))),
        App((NOTE, Column("status", "status", _label("open", "closed")))),
        _rows("status", "(ARRAY['open', 'gone', 'closed'])[1 + n % 3]::status"), becomes={"status": ("gone", "closed")},
        swaps=True,
    ),
    "enum: another order": Traffic(
        _status("open", "closed"), _status("closed", "open"), **_both(Column("status", "status", _label("open", "closed"))),
        seed=_rows("status", "'open'"), swaps=True,
    ),
    "drop column": Traffic(
        _models('sa.Column("fax", sa.Text)'), _models(),
        App((NOTE, Column("fax", "fax", _text))), App((NOTE,)), _rows("fax", "'fax ' || n"),
        absent={"fax": None}, dropped="fax",
    ),
    "set not null": Traffic(
        _models('sa.Column("mail", sa.Text)'),
        _models('sa.Column("mail", sa.Text, nullable=False, info={"fill": "\'none\'"})'),
        App((NOTE, Column("mail", "mail", _text))), App((NOTE, Column("mail", "mail", _filled))),
        _rows("mail", "nullif('mail ' || n % 10, 'mail 0')"), becomes={"mail": (None, "none")},
    ),
    "add column, the same fill": Traffic(
        _models(), _models('sa.Column("score", sa.Integer, nullable=False, info={"fill": "0"})'),
        App((NOTE,)), App((NOTE, Column("score", "score", _number))), _rows(), absent={"score": 0},
    ),
    "add column, fill by row": Traffic(
        _models(), _models('sa.Column("slug", sa.Text, nullable=False, info={"fill": "coalesce(lower(note), \'\')"})'),
        App((NOTE,)), App((NOTE, Column("slug", "slug", _filled))), _rows(), absent={"slug": WHATEVER},
    ),
    "add column, volatile default": Traffic(
        _models(), _models('sa.Column("token", sa.Uuid, server_default=sa.text("gen_random_uuid()"))'),
        App((NOTE,)), App((NOTE,)), _rows(),
    ),
    "change default": Traffic(
        _models('sa.Column("kind", sa.Text, server_default="a")'), _models('sa.Column("kind", sa.Text, server_default="b")'),
        **_both(), seed=_rows(),
    ),
    "drop table": Traffic(
        _models() + 'sa.Table("logs", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("note", sa.Text))\n',
        _models(), App((NOTE,), "logs"), App((NOTE,)), _rows() + "; INSERT INTO logs SELECT id, note FROM items",
    ),
    "add foreign key": Traffic(
        _models('sa.Column("team", sa.Integer)', more=_TEAMS),
        _models('sa.Column("team", sa.Integer, sa.ForeignKey("teams.id"))', more=_TEAMS),
        **_both(Column("team", "team", _team)), seed=_SEEDED_TEAMS + _rows("team", "n % 3 + 1"),
    ),
    "drop foreign key": Traffic(
        _models('sa.Column("team", sa.Integer, sa.ForeignKey("teams.id"))', more=_TEAMS),
        _models('sa.Column("team", sa.Integer)', more=_TEAMS),
        **_both(Column("team", "team", _team)), seed=_SEEDED_TEAMS + _rows("team", "n % 3 + 1"),
    ),
    "add unique": Traffic(
        _models('sa.Column("code", sa.Text)'), _models('sa.Column("code", sa.Text, unique=True)'),
        **_both(Column("code", "code", _filled)), seed=_rows("code", "'code ' || n"),
    ),
    "create index": Traffic(
        _models(), _models('sa.Index("by_note", "note")'), **_both(), seed=_rows(),
    ),
    "replace index": Traffic(
        _models('sa.Index("by_note", "note")'), _models('sa.Index("by_note", "note", "id")'), **_both(), seed=_rows(),
    ),
    "drop index": Traffic(
        _models('sa.Index("by_note", "note")'), _models(), **_both(), seed=_rows(),
    ),
    "change key": Traffic(
        _referring("sa.Integer"), _referring("sa.BigInteger"), **_both(), seed=_rows() + _SEEDED_PARTS, swaps=True,
    ),
    "change key, identity": Traffic(
        _referring("sa.Integer, sa.Identity()"), _referring("sa.BigInteger, sa.Identity()"), **_both(),
        seed=_rows() + _SEEDED_PARTS, swaps=True,
    ),
    "change key, what refers to it": Traffic(
        _referring("sa.Integer"), _referring("sa.BigInteger"),
        App((NOTE, Column("item", "item", _item)), "parts"), App((NOTE, Column("item", "item", _item)), "parts"),
        _rows() + _SEEDED_PARTS, swaps=True,
    ),
    "change collation": Traffic(
        _models('sa.Column("word", sa.Text, index=True)'), _models('sa.Column("word", sa.Text(collation="C"), index=True)'),
        **_both(Column("word", "word", _text)), seed=_rows("word", "'word ' || n"), swaps=True, seen_by=_MILESTONE,
    ),
    "set null again": Traffic(
        _models('sa.Column("mail", sa.Text, nullable=False)'), _models('sa.Column("mail", sa.Text)'),
        App((NOTE, Column("mail", "mail", _filled))), App((NOTE, Column("mail", "mail", _text))), _rows("mail", "'mail ' || n"),
    ),
    "add identity": Traffic(
        _models(), _models('sa.Column("no", sa.Integer, sa.Identity(), nullable=False)'), **_both(), seed=_rows(),
    ),
    "drop default": Traffic(
        _models('sa.Column("kind", sa.Text, server_default="a")'), _models('sa.Column("kind", sa.Text)'),
        App((NOTE,)), App((NOTE, Column("kind", "kind", _filled))), _rows(), absent={"kind": "a"},
    ),
    "add check": Traffic(
        _models('sa.Column("amount", sa.Integer)'),
        _models('sa.Column("amount", sa.Integer)', 'sa.CheckConstraint("amount > 0", name="positive")'),
        **_both(_AMOUNT), seed=_rows("amount", "n"), seen_by=_MILESTONE,
    ),
    "replace check": Traffic(
        _models('sa.Column("amount", sa.Integer)', 'sa.CheckConstraint("amount > 0", name="positive")'),
        _models('sa.Column("amount", sa.Integer)', 'sa.CheckConstraint("amount >= 1", name="positive")'),
        **_both(_AMOUNT), seed=_rows("amount", "n"), seen_by=_MILESTONE,
    ),
    "replace unique": Traffic(
        _models('sa.Column("code", sa.Text)', 'sa.UniqueConstraint("code", name="one")'),
        _models('sa.Column("code", sa.Text)', 'sa.UniqueConstraint("code", "note", name="one")'),
        **_both(Column("code", "code", _filled)), seed=_rows("code", "'code ' || n"),
    ),
    "enum: a label comes": Traffic(
        _status("open", "closed"), _status("open", "held", "closed"),
        App((NOTE, Column("status", "status", _label("open", "closed")))),
        App((NOTE, Column("status", "status", _label("open", "held", "closed")))), _rows("status", "'open'"),
        seen_by=_MILESTONE,
    ),
    "enum: another name": Traffic(
        _status("open", "gone"), _status("open", "closed", info='{"enum": {"gone": "closed"}}'),
        App((NOTE, Column("status", "status", _label("open", "gone")))),
        App((NOTE, Column("status", "status", _label("open")))),
        _rows("status", "(ARRAY['open', 'gone'])[1 + n % 2]::status"), becomes={"status": ("gone", "closed")},
        swaps=True,
    ),
    "add foreign key, partitioned": Traffic(
        _models('sa.Column("team", sa.Integer)', _PARTED, more=_TEAMS),
        _models('sa.Column("team", sa.Integer, sa.ForeignKey("teams.id"))', _PARTED, more=_TEAMS),
        **_both(Column("team", "team", _team)), seed=_SEEDED_TEAMS + _rows("team", "n % 3 + 1"), unsaid=_PARTITIONS,
    ),
    "create index, partitioned": Traffic(
        _models(_PARTED), _models('sa.Index("by_note", "note")', _PARTED), **_both(), seed=_rows(), unsaid=_PARTITIONS,
    ),
    "change type, partitioned": Traffic(
        _models('sa.Column("amount", sa.Integer, nullable=False)', _PARTED),
        _models('sa.Column("amount", sa.BigInteger, nullable=False)', _PARTED),
        **_both(_AMOUNT), seed=_rows("amount", "n"), swaps=True, unsaid=_PARTITIONS,
    ),
}  # fmt: skip
"""By what a person would call the change."""
