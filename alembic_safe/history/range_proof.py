"""Does a folded range do what the files did, to a database that stands at its start, with rows in it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.replay import replay
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import ReplayFailed
from alembic_safe.history.chain import state_of
from alembic_safe.history.generated_rows import fill
from alembic_safe.history.proof import Proven, changing_between, differing_columns, require_equal, run_again
from alembic_safe.history.rows import EVERYTHING
from alembic_safe.inspecting.catalog import read_catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.history.chain import Chain, State
    from alembic_safe.history.proof import Sides
    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId

    LeftOut = Mapping[ObjectId, Sequence[str]]

_ROUNDS = 12
_COUNTERS = """
SELECT n.nspname AS schema, s.relname AS name, tn.nspname AS table_schema, t.relname AS table_name, a.attname AS column_name
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
"""
_COUNT_ON = (  # rows with numbers of ours in them must not stand in the way of those that the files write
    "SELECT setval(CAST(CAST(:counter AS text) AS regclass), greatest(max({column}), (SELECT last_value FROM {counter})))"
    " FROM {table} HAVING count(*) > 0"
)


@dataclass(frozen=True)
class WithRows:
    """A database with generated rows at the start of a range, and what the files make of it.

    :param start: as it stands there; :param end: the same, brought to the end by the files.
    :param rows: how many rows were put into it.
    :param without: tables that got none, since the files stop on such rows.
    :param left_out: columns whose values are other ones each time, and tables that an elidable revision writes to.
    """

    start: Shadow
    end: Shadow
    state: State
    rows: int
    without: tuple[str, ...]
    left_out: LeftOut

    def dismiss(self) -> None:
        """Drop both."""
        self.start.dismiss()
        self.end.dismiss()


def with_rows(sides: Sides, chain: Chain, elidable: Sequence[str]) -> WithRows:
    """Put rows into a database at the start, and let the files bring it to the end.

    Where they stop on such rows, the tables that the revision speaks of stay empty.

    :param chain: the files, as they ran without rows.
    :raises ReplayFailed: when they stop without any rows.
    """
    without: frozenset[ObjectId] = frozenset()
    begun: list[str] = []
    last = frozenset(one for one in chain.state.catalog.objects if one.kind == "table")
    for n in range(_ROUNDS):
        start = sides.fresh()
        rows = _filled(start, without) if n < _ROUNDS - 1 else 0
        end = start.copied()
        begun.clear()
        try:
            done = replay(
                sides.config, sides.before(), end, to=sides.end, on_step=lambda step: begun.append(step.revision)
            )
        except ReplayFailed:
            sent = chain.statements.get(begun[-1], ()) if begun else ()
            tables = _tables(start)
            start.dismiss()
            end.dismiss()
            if not rows:
                raise
            named = frozenset(one for one in tables if any(one.name in statement for statement in sent))
            # a table that is called otherwise by then is not found by its name
            without = next(without | some for some in (named, tables - last, tables) if some - without)
            continue
        state = state_of(end, done)
        changing: dict[ObjectId, Sequence[str]] = dict(_changing(sides, start, state))
        changing.update(_elided(sides, start, elidable))
        return WithRows(start, end, state, rows, tuple(sorted(one.name for one in without)), changing)
    raise AssertionError("the last round returns or raises")


def prove_rows(sides: Sides, given: WithRows) -> tuple[Shadow, Proven]:
    """Bring the same database to the end by the squash, and hold it against what the files made of it."""
    made = given.start.copied()
    try:
        state = state_of(made, replay(sides.config, sides.stock(), made, to=sides.end))
        require_equal(given.state, state, given.left_out, "from its start on, with rows")
    except BaseException:
        made.dismiss()
        raise
    said = f"from the start on, with {given.rows} generated rows: the same catalog, rows and sequences"
    if given.without:
        said += f" (none in {', '.join(given.without)}: on such rows the files themselves stop)"
    elided = sorted(
        str(id_) for id_, columns in given.left_out.items() if columns == EVERYTHING and id_.kind == "table"
    )
    if elided:
        said += f"; not compared, as elidable revisions write there: {', '.join(elided)}"
    return made, Proven("rows", said)


def prove_way_back(
    sides: Sides, start: str, old: Shadow, new: Shadow, left_out: LeftOut, begin: Callable[[], Shadow]
) -> Proven | None:
    """Take both back to the start, and hold them against each other; ``None`` where the files do not take such rows back.

    :param old: at the end, brought there by the files; :param new: by the squash.
    :param begin: makes another database as both were at the start.
    """
    one, other = old.copied(), new.copied()
    try:
        try:
            expected = state_of(one, replay(sides.config, sides.before(), one, to=start))
        except ReplayFailed:
            return None
        state = state_of(other, replay(sides.config, sides.stock(), other, to=start))
        changing = changing_between(expected, state, left_out, [lambda: run_again(sides, begin(), sides.end, start)])
        require_equal(expected, state, changing, f"taken back to {start}")
    finally:
        one.dismiss()
        other.dismiss()
    return Proven("downgrade", f"taken back to {start} by both: the same catalog, rows and sequences")


def _filled(shadow: Shadow, without: frozenset[ObjectId]) -> int:
    with shadow.endpoint.connect() as connection:
        catalog = read_catalog(connection)
        found = fill(connection, catalog, without | _version_tables(catalog))
        for one in run(connection, _COUNTERS):
            counter, table = quoted(one["schema"], one["name"]), quoted(one["table_schema"], one["table_name"])
            asked = _COUNT_ON.format(counter=counter, column=quoted(one["column_name"]), table=table)
            run(connection, asked, {"counter": counter})
        connection.commit()
    return found


def _version_tables(catalog: Catalog) -> frozenset[ObjectId]:
    return frozenset(
        id_._replace(kind="table", name=id_.parent, parent="")
        for id_ in catalog.objects
        if id_.kind == "column" and id_.name == "version_num"
    )


def _tables(shadow: Shadow) -> frozenset[ObjectId]:
    with shadow.endpoint.connect() as connection:
        catalog = read_catalog(connection)
        return frozenset(id_ for id_ in catalog.objects if id_.kind == "table") - _version_tables(catalog)


def _changing(sides: Sides, start: Shadow, once: State) -> LeftOut:
    again = start.copied()
    try:
        twice = state_of(again, replay(sides.config, sides.before(), again, to=sides.end))
    finally:
        again.dismiss()
    return differing_columns(once, twice)


def _elided(sides: Sides, start: Shadow, elidable: Sequence[str]) -> LeftOut:
    """Return the tables and sequences that elidable revisions change, when they run on such a database."""
    if not elidable:
        return {}
    walked = start.copied()
    found: dict[ObjectId, Sequence[str]] = {}
    try:
        state = _now(sides, walked, ())
        steps = [step.revision.revision for step in sides.before()._upgrade_revs(sides.end, state.heads)]  # type: ignore[arg-type]  # noqa: SLF001
        for step in steps:
            before = state
            state = _now(sides, walked, (step,))
            if step in elidable:
                found.update(_changed(before, state))
    finally:
        walked.dismiss()
    return found


def _now(sides: Sides, shadow: Shadow, steps: Sequence[str]) -> State:
    return state_of(shadow, replay(sides.config, sides.before(), shadow, to=sides.end, only=steps))


def _changed(before: State, after: State) -> dict[ObjectId, Sequence[str]]:
    rows = [{table.id: (table.columns, table.rows) for table in state.contents.tables} for state in (before, after)]
    tables = {id_ for id_ in rows[0].keys() | rows[1].keys() if rows[0].get(id_) != rows[1].get(id_)}
    places = [state.contents.sequences for state in (before, after)]
    return dict.fromkeys(
        [*tables, *(id_ for id_ in places[0].keys() | places[1].keys() if places[0].get(id_) != places[1].get(id_))],
        EVERYTHING,
    )
