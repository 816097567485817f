"""Which values are other ones each time the files run, and what makes them anew?"""

# Rows made of now() or uuid4() differ between two runs of the same files. Each such value is written as what makes it:
# a time of day is the time of the run, a random UUID is a new one, and the same one wherever it stood.
from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from alembic_safe.history.rows import Cells, Contents, Table
    from alembic_safe.inspecting.catalog_records import ObjectId

FIXED = "fixed:"
"""What the consent begins with that a column keeps the values of one run."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MOMENT = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:\+00)?)?")
_HEX = re.compile(r"[0-9a-f]{32}")
_SLACK = timedelta(days=1)
"""A time zone more or less: a time without one is local somewhere."""


@dataclass(frozen=True)
class Volatile:
    """The values that are other ones each time.

    :param columns: where they stand, by table.
    :param expressions: the SQL that makes each of them, by table, row and column; ``:name`` is a shared value.
    :param shared: how the values that stand in several places are made, by their name.
    :param unknown: places of which nobody can say how their values are made.
    :param fixed: columns that keep what one run made, as a person wants it.
    """

    columns: Mapping[ObjectId, tuple[str, ...]] = field(default_factory=dict)
    expressions: Mapping[tuple[ObjectId, int, int], str] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()


def volatile(
    first: Contents, second: Contents, began: datetime, ended: datetime, fixed: Collection[str] = ()
) -> Volatile:
    """Compare what two runs of the same files made.

    :param began: of the first run; :param ended: of the second.
    :param fixed: columns that keep what the first run made where nobody can say how it is made, as in :func:`names_of`.
    """
    other = {table.id: table for table in second.tables}
    columns: dict[ObjectId, tuple[str, ...]] = {}
    places: dict[tuple[ObjectId, int, int], tuple[str, str]] = {}
    unknown: list[str] = []
    for table in first.tables:
        twin = other.pop(table.id, None)
        paired = None if twin is None else _paired(table, twin)
        if paired is None:
            unknown.append(f"{table.id}: another number of rows, or in another order, each time")
            continue
        found = {
            (n, k): (row[k], again[k])
            for n, (row, again) in enumerate(paired)
            for k in range(len(row))
            if row[k] != again[k]
        }
        if found:
            columns[table.id] = tuple(table.columns[k] for k in sorted({k for _, k in found}))
        for (n, k), (value, _) in found.items():
            if value is not None:
                places[table.id, n, k] = (value, table.types[k])
            else:
                unknown.append(f"{table.id}: {table.columns[k]} is NULL some of the time")
    unknown += [f"{id_}: has rows some of the time" for id_ in other]
    return _explained(first, columns, places, unknown, (began - _SLACK, ended + _SLACK), fixed)


def names_of(table: ObjectId, column: str) -> tuple[str, str]:
    """Return the names by which a person may say a column."""
    return f"{table.name}.{column}", f"{table.schema}.{table.name}.{column}"


def _paired(table: Table, twin: Table) -> list[tuple[Cells, Cells]] | None:
    """Return the rows of two runs, each beside its twin: they were written in the same order."""
    if len(table.rows) != len(twin.rows):
        return None
    if sorted(table.rows, key=repr) == sorted(twin.rows, key=repr):
        return [(row, row) for row in table.rows]
    return list(zip(table.rows, twin.rows, strict=True))


def _explained(
    contents: Contents,
    columns: Mapping[ObjectId, tuple[str, ...]],
    places: Mapping[tuple[ObjectId, int, int], tuple[str, str]],
    unknown: list[str],
    around: tuple[datetime, datetime],
    fixed: Collection[str],
) -> Volatile:
    names = {table.id: table.columns for table in contents.tables}
    times = Counter(value for value, _ in places.values())
    shared: dict[str, tuple[str, str]] = {}
    kept: dict[str, None] = {}
    expressions: dict[tuple[ObjectId, int, int], str] = {}
    for place, (value, type_) in places.items():
        made, in_python = _made(value, type_, *around)
        if made is None:
            short, full = names_of(place[0], names[place[0]][place[2]])
            if short in fixed or full in fixed:
                kept[short] = None
            else:
                consent = quote(f"{FIXED}{short}")
                unknown.append(f"{short} is another one each time; --accept {consent} writes this one for all")
        elif in_python and times[value] > 1:
            name = shared.setdefault(value, (f"value_{len(shared) + 1}", in_python))[0]
            expressions[place] = f"CAST(:{name} AS {type_})"
        else:
            expressions[place] = made
    return Volatile(columns, expressions, dict(shared.values()), tuple(dict.fromkeys(unknown)), tuple(kept))


def _made(value: str, type_: str, earliest: datetime, latest: datetime) -> tuple[str | None, str]:
    """Return the SQL that makes such a value, and the Python where it could be shared."""
    if type_.startswith(("timestamp", "date")):
        found = _MOMENT.fullmatch(value)
        if found is None:
            return None, ""
        moment = datetime(*(int(part or 0) for part in found.groups()), tzinfo=timezone.utc)  # type: ignore[misc,arg-type]
        return ("now()" if earliest <= moment <= latest else None), ""
    if type_ == "uuid" or _UUID.fullmatch(value):
        cast = "" if type_ == "uuid" else f"::{type_}"
        return f"gen_random_uuid(){'::text' if cast else ''}{cast}", "str(uuid.uuid4())"
    if _HEX.fullmatch(value):
        return f"replace(gen_random_uuid()::text, '-', '')::{type_}", "uuid.uuid4().hex"
    return None, ""
