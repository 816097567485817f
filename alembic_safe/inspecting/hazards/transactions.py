"""Which hazards come with how a revision is put together: locks held on, several tables, work that is committed early?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alembic_safe.inspecting.hazard import Example, Hazard, Hit, Scene
from alembic_safe.inspecting.hazards.tables import raw
from alembic_safe.inspecting.trace import BLOCKS_READS, BLOCKS_WRITES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.inspecting.trace import Relation, Statement


def _work(scene: Scene, statement: Statement) -> tuple[str, Relation | None]:
    """Return what in a statement takes long, and on which table."""
    if statement.ours and statement.tag == "SELECT" and not statement.writes:
        return "", None  # a verb of ours reads under its own lock only where the table is small
    for write in statement.writes:
        if write.kind in {"UPDATE", "DELETE"} and not write.relation.new:
            return f"{write.kind} of {scene.about(write.relation)}", write.relation
    for relation in (*statement.rewrites, *(r for r, _ in statement.builds), *statement.scans):
        if not relation.new and relation.kind == "table":
            return f"work on all of {scene.about(relation)}", relation
    return "", None


def _held_on(scene: Scene) -> Iterator[Hit]:
    for number, statement in scene.statements():
        text, worked = _work(scene, statement)
        severity = scene.by_size(worked) if worked is not None else None
        if worked is None or severity in (None, "info"):
            continue
        own = statement.strongest
        before: dict[Relation, str] = {}
        for earlier in scene.revision.statements[:number]:
            if earlier.transaction == statement.transaction:
                before |= {
                    r: m for r, m in earlier.strongest.items() if m in BLOCKS_WRITES and not r.new and r.kind == "table"
                }
        held = {r: m for r, m in before.items() if own.get(r) not in BLOCKS_READS and scene.by_use(r)}
        if held:
            readers = [str(r) for r, m in held.items() if m in BLOCKS_READS]
            who = (
                f"nobody reads or writes {', '.join(readers)}"
                if readers
                else f"nobody writes {', '.join(map(str, held))}"
            )
            yield Hit(
                ", ".join(str(r) for r in held), number, f"{who} during the {text}: an earlier statement's lock is held on",
                severity or "info", {"table": str(worked)},
            )  # fmt: skip


def _several(scene: Scene) -> Iterator[Hit]:
    for group in scene.revision.transactions:
        locked: dict[Relation, int] = {}
        for statement in group:
            for relation, mode in statement.strongest.items():
                if mode in BLOCKS_READS and not relation.new and relation.kind == "table" and scene.by_use(relation):
                    locked.setdefault(relation, scene.revision.statements.index(statement))
        if len(locked) > 1:
            names = sorted(map(str, locked))
            worst = any(scene.live.size_class(r) in {"large", "medium", "unknown"} for r in locked)
            yield Hit(
                ", ".join(names[:4]), max(locked.values()),
                f"ACCESS EXCLUSIVE on {', '.join(names)}, one after the other: whoever locks them in another order meets a"
                " deadlock,"
                " and the first stays locked while the last is waited for",
                "warning" if worst else "info", {"table": names[0]},
            )  # fmt: skip


def _all_rows(scene: Scene) -> Iterator[Hit]:
    for number, statement in scene.statements():
        for write in statement.writes:
            severity = scene.by_size(write.relation)
            if write.kind not in {"UPDATE", "DELETE"} or not severity or write.relation not in statement.scans:
                continue
            yield Hit(
                str(write.relation), number,
                f"one {write.kind} reads all of {scene.about(write.relation)}, and keeps every row that it writes locked"
                " until the"
                " transaction ends",
                severity, {"table": str(write.relation), "verb": write.kind},
            )  # fmt: skip


def _deletes(scene: Scene) -> Iterator[Hit]:
    for number, statement in scene.statements():
        for write in statement.writes:
            severity = scene.by_rows(write.relation)
            if write.kind == "DELETE" and severity and write.relation.schema != "alembic_safe_retired":
                yield Hit(
                    str(write.relation), number, f"rows of {scene.about(write.relation)} are deleted; a downgrade does not"
                                                 " bring"
                    " them back", severity if write.relation in statement.scans else "warning", {"table": str(write.relation)},
                )  # fmt: skip


def _writes(scene: Scene) -> Iterator[Hit]:
    for number, statement in scene.statements():
        for write in statement.writes:
            if write.kind in {"INSERT", "UPDATE"} and not write.relation.new and scene.by_rows(write.relation):
                many = f" {write.rows:,} rows" if write.kind == "INSERT" and write.rows else " rows"
                yield Hit(
                    str(write.relation), number,
                    f"{write.kind}{many} of {write.relation}: a downgrade does not take that back by itself", "info",
                    {"table": str(write.relation)},
                )  # fmt: skip


def _committed(scene: Scene) -> Iterator[Hit]:
    groups = scene.revision.transactions
    if len(groups) < 2:
        return
    before = [one for group in groups[:-1] for one in group if (one.changes or one.writes) and not _looks_first(one)]
    if not before:
        return
    last = groups[-1]
    if before[-1] is last[-1] or not any(one.changes or one.writes or one.builds for one in last):
        return
    yield Hit(
        scene.revision.revision, scene.revision.statements.index(last[0]),
        f"{len(before)} statement{'s' * (len(before) != 1)} before it {'are' if len(before) != 1 else 'is'} committed by"
        " themselves: when a later one fails, the revision is half done, and running it again meets what is there",
        "warning",
    )  # fmt: skip


def _looks_first(statement: Statement) -> bool:
    """Whether a statement can be run again: our own verbs, and IF (NOT) EXISTS, look at what is there before they act."""
    return statement.ours or bool(re.search(r"\bIF (NOT )?EXISTS\b", statement.text, re.IGNORECASE))


def _sub_second(scene: Scene) -> Iterator[Hit]:
    for number, statement in scene.statements():
        strong = [r for r, m in statement.strongest.items() if m in BLOCKS_WRITES and not r.new and scene.by_use(r)]
        if strong and 0 < statement.lock_timeout <= 1000:
            yield Hit(
                str(strong[0]), number,
                f"lock_timeout is {statement.lock_timeout} ms: while an autovacuum works on {strong[0]}, PostgreSQL would"
                " cancel it"
                " after deadlock_timeout (1 s), and nobody waits that long: every attempt fails",
                "warning", {"table": str(strong[0])},
            )  # fmt: skip


def _advisory(scene: Scene) -> Iterator[Hit]:
    for number, statement in scene.statements():
        if statement.advisory:
            yield Hit(
                scene.revision.revision, number,
                "it holds an advisory lock: another run that waits for it, and a CREATE INDEX CONCURRENTLY, wait for each"
                " other",
                "warning",
            )  # fmt: skip
            return


_LONG = re.compile(r"[^\W\d]\w{63,}|\"[^\"]{64,}\"")


def _cut(scene: Scene) -> Iterator[Hit]:
    for number, statement, change in scene.revision.changes(action="added"):
        name = change.after.name if hasattr(change.after, "name") else change.name
        if len(name.encode()) < 63:
            continue
        for found in _LONG.finditer(statement.text):
            said = found[0].strip('"')
            if len(said.encode()) > 63 and said.encode().startswith(name.encode()[:60]):
                yield Hit(change.object, number, f"PostgreSQL cuts the name off after 63 bytes; in the file it is {said}",
                          "warning", {"name": name})  # fmt: skip
                break


BATCHES = "in batches, each in a transaction of its own, by a script beside the deploy"
_ALTER_USERS = 'op.add_column("users", sa.Column("nick", sa.Text))'
_SQL_USERS = "ALTER TABLE users ADD COLUMN nick text"
_LOG_OUT = "CREATE INDEX CONCURRENTLY users_name ON users (name)"

TRANSACTIONS = (
    Hazard(
        "lock-held-on", "A strong lock is held during long work", "blocks",
        "A lock is held until its transaction ends: what takes an instant by itself keeps everybody out for as long as the"
        " slowest"
        " statement behind it.",
        "the long work in a revision of its own, before or after", _held_on,
        Example(_ALTER_USERS + '\nop.execute("UPDATE users SET nick = name")', (_SQL_USERS, "UPDATE users SET nick = name")),
        Example('op.execute("UPDATE users SET name = lower(name)")', ("UPDATE users SET name = lower(name)",)),
        rows=(71, 73), ours_too=True,
    ),
    Hazard(
        "several-tables-locked", "Several tables are locked in one transaction", "blocks",
        "Programs lock rows of the same tables in their own order. Two that wait for each other are a deadlock, and one of"
        " them is"
        " cancelled; until then both tables are closed.",
        "one table for each revision; else LOCK TABLE all of them first, in one statement", _several,
        Example(_ALTER_USERS + '\nop.add_column("orders", sa.Column("nick", sa.Text))',
                (_SQL_USERS, "ALTER TABLE orders ADD COLUMN nick text")),
        Example(_ALTER_USERS, (_SQL_USERS,)), rows=(72,),
    ),
    Hazard(
        "write-all-rows", "One statement writes to all rows of a table", "blocks",
        "Every row stays locked until the end, replicas fall behind, the table grows by a copy of each row, and a failure"
        " at the end"
        " takes all of it back.",
        BATCHES, _all_rows,
        Example('op.execute("UPDATE users SET active = true")', ("UPDATE users SET active = true",)),
        Example('op.execute("INSERT INTO users (id, active) VALUES (1, true)")',
                ("INSERT INTO users (id, active) VALUES (1, true)",)), rows=(73,),
    ),
    Hazard(
        "delete-rows", "Rows are deleted", "loses",
        "They are gone when the revision is committed, and what refers to them with ON DELETE CASCADE, too.",
        "keep them aside first: INSERT INTO a table of yours SELECT ... with the same condition", _deletes,
        raw("DELETE FROM orders WHERE note IS NULL"), raw("INSERT INTO orders (id, total) VALUES (1, 1)"), rows=(73,),
    ),
    Hazard(
        "writes-rows", "A revision writes rows", "leaves",
        "Rows that a revision writes are part of no model; two databases that ran it at different times may differ.",
        "keep it, and write it so that it can run twice (ON CONFLICT DO NOTHING)", _writes,
        raw("INSERT INTO orders (id, total) VALUES (1, 1)"), Example(_ALTER_USERS, (_SQL_USERS,)), rows=(73,),
    ),
    Hazard(
        "committed-early", "Part of a revision is committed before its end", "leaves",
        "autocommit_block() commits everything before it. When what follows fails, the version table still says the old"
        " revision, and"
        " a second run meets DuplicateColumn.",
        "what needs autocommit_block() in a revision of its own, able to run twice", _committed,
        Example(_ALTER_USERS + "\nwith op.get_context().autocommit_block():\n"
                '    op.create_index("users_name", "users", ["name"], postgresql_concurrently=True)',
                (_SQL_USERS, _LOG_OUT), autocommit=True, in_block=False),
        Example("with op.get_context().autocommit_block():\n"
                '    op.create_index("users_name", "users", ["name"], postgresql_concurrently=True)',
                (_LOG_OUT,), autocommit=True, in_block=False), rows=(45, 76),
    ),
    Hazard(
        "lock-timeout-under-a-second", "A lock_timeout that never gets past an autovacuum", "blocks",
        "An autovacuum gives way to a waiting ALTER TABLE only after deadlock_timeout, one second. safe-upgrade has one"
        " longer rung"
        " for that.",
        "leave lock_timeout to safe-upgrade, or set it above deadlock_timeout: SET LOCAL lock_timeout = '1250ms'", _sub_second,
        Example("op.execute(\"SET LOCAL lock_timeout = '500ms'\")\n" + _ALTER_USERS,
                ("SET LOCAL lock_timeout = '500ms'", _SQL_USERS)),
        Example("op.execute(\"SET LOCAL lock_timeout = '2s'\")\n" + _ALTER_USERS,
                ("SET LOCAL lock_timeout = '2s'", _SQL_USERS)), rows=(74,),
    ),
    Hazard(
        "advisory-lock", "A revision takes an advisory lock", "blocks",
        "Whoever waits in pg_advisory_lock() holds a snapshot, for which CREATE INDEX CONCURRENTLY waits: both wait for"
        " ever, or one"
        " is cancelled. safe-upgrade has a deploy lock of its own that does not wait inside PostgreSQL.",
        "leave it away: safe-upgrade lets one deployment run at a time", _advisory,
        raw("SELECT pg_advisory_xact_lock(4711)"), Example(_ALTER_USERS, (_SQL_USERS,)),
        setup="CREATE TABLE users (id int PRIMARY KEY, name text);", rows=(48,),
    ),
    Hazard(
        "name-cut-off", "A name is longer than 63 bytes", "leaves",
        "PostgreSQL cuts it off, with a notice that nobody reads: two such names may become one, and the file names what is"
        " not there.",
        "a shorter name", _cut,
        raw(f"ALTER TABLE users ADD COLUMN {'a_very_long_name_' * 4} text"), Example(_ALTER_USERS, (_SQL_USERS,)), rows=(75,),
    ),
)  # fmt: skip
