"""Which retired columns and tables a database keeps: from where, since when, how many rows, how large."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from alembic_safe.database.reads import rows_of
from alembic_safe.database.statements import quoted, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg
    from sqlalchemy import Connection

    from alembic_safe.database.reads import Reads

    AnyConnection = Connection | psycopg.Connection[Any]

RETIRED_SCHEMA = "alembic_safe_retired"
COMMENT_START = "alembic-safe retired "
"""What the comment of a kept table, and of the schema, begins with; a JSON object follows."""
FORMAT = 1

_LOOK = """
SELECT c.oid::bigint AS oid, c.relname AS name, pg_get_userbyid(c.relowner) AS owner,
  obj_description(c.oid, 'pg_class') AS comment,
  (SELECT coalesce(sum(pg_total_relation_size(t.relid)), 0)::bigint FROM pg_partition_tree(c.oid) t) AS tree_bytes,
  pg_total_relation_size(c.oid)::bigint AS bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = :schema AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname
"""
BESIDE = """
SELECT c.oid::bigint AS oid, c.relname AS name, pg_get_userbyid(c.relowner) AS owner, d.description AS comment
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = :schema
JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = 0
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND d.description LIKE :start ORDER BY c.relname
"""
BESIDE_WORDS = {"schema": RETIRED_SCHEMA, "start": COMMENT_START + "%"}
_LIVING = """
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = :schema AND c.relname = :table AND c.relkind IN ('r', 'p')) AS it
"""
_STATES = {"rest": ", what had no row to go back to", "older": ", older than the one that comes back"}
_SCHEMA_COMMENT = "SELECT obj_description(oid, 'pg_namespace') AS it FROM pg_namespace WHERE nspname = :schema"


@dataclass(frozen=True)
class Dependant:
    """One thing that went together with a column or a table.

    :param kind: ``index``, ``foreign key``, ``trigger``, ``grant``, ...
    :param make: the statement that makes it again.
    """

    kind: str
    name: str
    make: str

    @property
    def shown(self) -> str:
        """Kind and name, as a message lists it."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Moved:
    """A relation that moved into our schema with a table, perhaps under another name.

    :param kind: ``TABLE``, ``INDEX`` or ``SEQUENCE``.
    :param kept: its name in our schema.
    """

    kind: str
    kept: str
    schema: str
    name: str


@dataclass(frozen=True)
class KeySource:
    """What made the keys of a table when it was looked at: as long as it is the same, no key is made twice.

    :param table: the table's oid.
    :param counters: the sequences of the key's columns: oid, the file that holds it, and the last number it gave.
    """

    table: int
    counters: tuple[tuple[int, int, int], ...] = ()

    def goes_on_in(self, now: KeySource) -> bool:
        """Whether a later look shows the same table, whose counters have only gone on."""
        return self.table == now.table and len(self.counters) == len(now.counters) and all(
            (oid, file) == (oid_now, file_now) and number <= number_now
            for (oid, file, number), (oid_now, file_now, number_now) in zip(self.counters, now.counters, strict=True)
        )  # fmt: skip


@dataclass(frozen=True)
class Record:
    """What is written beside a kept object, so that it can come back.

    :param key: the columns that tell its rows apart, each with its type.
    :param keys_return: whether a key that was deleted can be given to another row.
    :param key_source: what made these keys when it was retired.
    :param successors: the columns that replaced it, and ``down``, the formula that leads back.
    :param rows: how many rows were kept.
    :param state: ``kept``; ``rest``: it came back, and this is what had no row to go to; ``keeping`` and ``beside``: the
        column is still there, and its values are being kept, or are all kept, beside it; ``older``: a column of the same
        name was retired since, of which every value follows from its successors.
    :param left: the revision whose branch was left when it was retired: with that revision it may come back.
    """

    kind: Literal["column", "table"]
    schema: str
    table: str
    column: str = ""
    retired_at: str = ""
    rows: int = 0
    type: str = ""
    key: tuple[tuple[str, str], ...] = ()
    keys_return: bool = True
    key_source: KeySource | None = None
    successors: tuple[str, ...] = ()
    down: str = ""
    state: Literal["kept", "rest", "keeping", "beside", "older"] = "kept"
    left: str = ""
    dependants: tuple[Dependant, ...] = ()
    moved: tuple[Moved, ...] = ()

    @property
    def name(self) -> str:
        """Where it was: ``public.users.fullname``."""
        return ".".join(part for part in (self.schema, self.table, self.column) if part)

    def as_comment(self) -> str:
        """Return the comment that holds it."""
        return COMMENT_START + json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False)


@dataclass(frozen=True)
class Retired:
    """One kept object as a look found it.

    :param kept: its table in our schema.
    :param record: ``None`` where the comment that says what it is has gone.
    :param bytes: of the table with its indexes.
    :param table_lives: whether the table that a column was taken from is there.
    """

    oid: int
    kept: str
    owner: str
    bytes: int
    record: Record | None
    table_lives: bool = False

    @property
    def retired_at(self) -> datetime | None:
        """When it was retired."""
        return datetime.fromisoformat(self.record.retired_at) if self.record and self.record.retired_at else None

    @property
    def where_from(self) -> str:
        """Kind and former name: ``column public.users.fullname``."""
        if self.record is None:
            return "unknown: its comment is gone"
        return f"{self.record.kind} {self.record.name}{_STATES.get(self.record.state, '')}"

    @property
    def is_orphan(self) -> bool:
        """Whether there is no place left that it could come back to: its table is gone, it came back, or another one does."""
        record = self.record
        if record is None:
            return False
        return record.state in _STATES or (record.kind == "column" and not self.table_lives)

    @property
    def quoted(self) -> str:
        """The kept table, quoted."""
        return quoted(RETIRED_SCHEMA, self.kept)


@dataclass(frozen=True)
class Purged:
    """What was destroyed with a person's consent, and when."""

    name: str
    at: str
    rows: int = 0


@dataclass(frozen=True)
class Memory:
    """What the schema's comment remembers of objects that are no longer kept."""

    purged: tuple[Purged, ...] = field(default=())

    def of(self, name: str) -> Purged | None:
        """Return when an object of this name was purged last."""
        return next((purged for purged in reversed(self.purged) if purged.name == name), None)

    def as_comment(self) -> str:
        """Return the comment that holds it."""
        return COMMENT_START + json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False)


def read_retired(connection: AnyConnection) -> list[Retired]:
    """Return everything that was retired, by name; reads only, and an absent schema is an empty list.

    What is only kept beside a column that is still there is not among it: it is nobody's to purge or to restore.
    """
    return [one for one in _read(connection) if one.record is None or one.record.state not in ("keeping", "beside")]


def read_beside(connection: AnyConnection | Reads, schema: str, table: str, column: str) -> Retired | None:
    """Return what ``op.keep_column`` keeps of a column that is still there, or ``None``; how large it is is not looked at."""
    return next(_of_column(connection, ("keeping", "beside"), schema, table, column), None)


def read_before(connection: AnyConnection | Reads, schema: str, table: str, column: str) -> list[Retired]:
    """Return what was kept of columns of a name whose place others took; how large it is is not looked at."""
    found = _of_column(connection, ("kept",), schema, table, column)
    return [one for one in found if one.record is not None and one.record.successors]


def _of_column(
    connection: AnyConnection | Reads, states: tuple[str, ...], schema: str, table: str, column: str
) -> Iterator[Retired]:
    for row in rows_of(connection, BESIDE, BESIDE_WORDS):
        record = parse(row["comment"])
        if record is None or record.state not in states:
            continue
        if (record.schema, record.table, record.column) == (schema, table, column):
            yield Retired(row["oid"], row["name"], row["owner"], 0, record, table_lives=True)


def _read(connection: AnyConnection) -> list[Retired]:
    found: list[Retired] = []
    for row in run(connection, _LOOK, {"schema": RETIRED_SCHEMA}):
        record = parse(row["comment"])
        lives = False
        if record is not None:
            lives = bool(run(connection, _LIVING, {"schema": record.schema, "table": record.table})[0]["it"])
        size = max(row["bytes"], row["tree_bytes"])
        found.append(Retired(row["oid"], row["name"], row["owner"], size, record, lives))
    return found


def read_memory(connection: AnyConnection) -> Memory:
    """Return what is remembered of purged objects."""
    rows = run(connection, _SCHEMA_COMMENT, {"schema": RETIRED_SCHEMA})
    data = _json(rows[0]["it"]) if rows else None
    return Memory(tuple(Purged(**purged) for purged in (data or {}).get("purged", ())))


def newest(kept: list[Retired], schema: str, table: str, column: str = "") -> Retired | None:
    """Return the last retired object of a name that has not come back yet."""
    own = [
        retired
        for retired in kept
        if retired.record is not None
        and retired.record.state == "kept"
        and (retired.record.schema, retired.record.table, retired.record.column) == (schema, table, column)
    ]
    return max(own, key=lambda r: (r.record.retired_at if r.record else "", r.oid), default=None)


def parse(comment: str | None) -> Record | None:
    """Read the comment of a kept table; ``None`` when it is none of ours."""
    data = _json(comment)
    if data is None or data.get("kind") not in ("column", "table"):
        return None
    values = {key: value for key, value in data.items() if key in Record.__dataclass_fields__}
    values["key"] = tuple((name, type_) for name, type_ in values.get("key", ()))
    values["successors"] = tuple(values.get("successors", ()))
    values["dependants"] = tuple(Dependant(**dependant) for dependant in values.get("dependants", ()))
    values["moved"] = tuple(Moved(**moved) for moved in values.get("moved", ()))
    source = values.get("key_source")
    if source is not None:
        values["key_source"] = KeySource(source["table"], tuple(tuple(counter) for counter in source["counters"]))
    return Record(**values)


def _json(comment: str | None) -> Mapping[str, Any] | None:
    if not comment or not comment.startswith(COMMENT_START):
        return None
    try:
        data = json.loads(comment[len(COMMENT_START) :])
    except ValueError:
        return None
    return data if isinstance(data, dict) else None
