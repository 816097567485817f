"""Which hazards make a revision fail, or could not be seen at all?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alembic_safe.inspecting.hazard import ANYWHERE, Example, Hazard, Hit, Scene
from alembic_safe.inspecting.hazards.tables import raw
from alembic_safe.inspecting.live import shown_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_KNOWN_ELSEWHERE = "unsafe use of new value"
_IN_TRANSACTION = "cannot run inside a transaction block"
_FAIL = {"duplicate-rows", "null-values", "orphan-rows", "violating-rows", "uncastable-values"}
"""Rows on which the statement fails; others it changes."""
_UNLESS_MENDED = "where the rows were counted and nothing before it reads or changes any"


def data(kind: str) -> Callable[[Scene], Iterator[Hit]]:
    """Return the condition that rows of the target stand against a statement."""

    def find(scene: Scene) -> Iterator[Hit]:
        for failure in scene.live.failures:
            if failure.kind != kind or failure.revision != scene.revision.revision:
                continue
            mended = scene.written_before(failure.statement, failure.relation)
            other = scene.rows_change_before(failure.statement)
            # triggers that are to convert the rows (a verb of ours) come whatever the rows are, and a copy may leave some out
            ends = not scene.revision.statements[failure.statement].ours
            many = (
                "at least one row"
                if failure.rows is None
                else f"{shown_number(failure.rows)} row{'s' * (failure.rows != 1)}"
            )
            such = f", such as {'; '.join(failure.examples)}" if failure.examples else ""
            text = f"{many} of {scene.about(failure.relation)} {failure.text}{such}"
            if mended is not None:
                text += f"; an {mended.kind} before it may mend them"
            elif scene.reads_before(failure.statement) and kind in _FAIL:
                text += "; what is read before it may be there to mend them, which was not seen"
            elif other and kind in _FAIL:
                text += "; what changes rows of other tables before it may mend them"
            yield Hit(
                failure.object, failure.statement, text, "info" if mended is not None else "danger",
                {"table": str(failure.relation), "query": failure.query},
                fails=kind in _FAIL and mended is None and not other and ends,
            )  # fmt: skip

    return find


def _in_transaction(scene: Scene) -> Iterator[Hit]:
    if _IN_TRANSACTION in scene.revision.failed:
        yield Hit(scene.revision.revision, -1, _reason(scene.revision.failed), "danger", fails=True)


def _partitioned(scene: Scene) -> Iterator[Hit]:
    failed = scene.revision.failed
    if re.search(r"on partitioned table|from partitioned (table|index)", failed):
        yield Hit(scene.revision.revision, -1, _reason(failed), "danger", fails=True)


def _of_constraint(scene: Scene) -> Iterator[Hit]:
    if re.search(r"cannot drop index .* because constraint", scene.revision.failed):
        yield Hit(scene.revision.revision, -1, _reason(scene.revision.failed), "danger", fails=True)


def _used_elsewhere(scene: Scene) -> Iterator[Hit]:
    failed = scene.revision.failed
    if re.search(r"cannot (alter|drop) .* (used by|because other objects depend|type of a column)", failed):
        yield Hit(scene.revision.revision, -1, _reason(failed), "danger", fails=True)


_SPECIAL = (_in_transaction, _partitioned, _of_constraint, _used_elsewhere)


def _fails(scene: Scene) -> Iterator[Hit]:
    failed = scene.revision.failed
    if failed and _KNOWN_ELSEWHERE not in failed and not any(True for find in _SPECIAL for _ in find(scene)):
        yield Hit(scene.revision.revision, -1, _reason(failed), "danger", fails=scene.revision.fails_anyway)


def _reason(failed: str) -> str:
    return failed.rstrip(".")


def _not_observed(scene: Scene) -> Iterator[Hit]:
    unseen = scene.revision.not_observed
    if unseen:
        behind = scene.number > 0 and bool(scene.trace.revisions[scene.number - 1].not_observed)
        yield Hit(scene.revision.revision, -1, unseen, "warning" if behind else "danger")
    for number, statement in scene.statements():
        if statement.observed or statement.locks or statement.builds:
            continue
        # an index that is not there, or there already: what does not run in a transaction is the CONCURRENTLY form
        if statement.changes or not statement.tag.startswith(
            ("DROP INDEX", "CREATE INDEX", "SET", "RESET", "SHOW", "BEGIN", "COMMIT", "ANALYZE")
        ):
            yield Hit(
                f"{scene.revision.revision}/{number + 1}", number,
                f"its locks and scans were not seen: {statement.why_not_observed}", "warning",
            )  # fmt: skip


def _outside(scene: Scene) -> Iterator[Hit]:
    for said in scene.revision.outside:
        yield Hit(scene.revision.revision, -1, f"it {said}: a rollback does not take that back", "warning")
        return


_COUNT = "see them, and mend them first:\n$query"
_PLAIN = Example('op.add_column("users", sa.Column("nick", sa.Text))', ("ALTER TABLE users ADD COLUMN nick text",))
_PARTED = "CREATE TABLE logs (at date NOT NULL) PARTITION BY RANGE (at); CREATE TABLE users (id int PRIMARY KEY);"
_VIEWED = "CREATE TABLE users (id int PRIMARY KEY, name text, age int); CREATE VIEW named AS SELECT name FROM users;"


def _failure(
    id_: str,
    title: str,
    about: str,
    bad: Example,
    *,
    remedy: str = _COUNT,
    rows: tuple[int, ...] = (),
    ours: bool = False,
) -> Hazard:
    return Hazard(id_, title, "fails", about + " Rows are counted on the target before anything runs.", remedy, data(id_), bad,
                  _PLAIN, rows=rows, ours_too=ours, no_consent=_UNLESS_MENDED if id_ in _FAIL else "")  # fmt: skip


FAILING = (
    _failure("duplicate-rows", "Rows that are there twice stand against a unique index",
             "The index is built to its end and then fails.",
             Example('op.create_unique_constraint("users_name", "users", ["name"])',
                     ("ALTER TABLE users ADD CONSTRAINT users_name UNIQUE (name)",)), rows=(37,)),
    _failure("null-values", "Rows without a value stand against NOT NULL", "The scan finds the first and fails.",
             Example('op.alter_column("users", "name", nullable=False)', ("ALTER TABLE users ALTER COLUMN name SET NOT NULL",)),
             rows=(21,)),
    _failure("orphan-rows", "Rows that refer to nothing stand against a foreign key", "The look-up finds the first and fails.",
             Example('op.create_foreign_key("orders_user", "orders", "users", ["user_id"], ["id"])',
                     ("ALTER TABLE orders ADD CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users (id)",)),
             rows=(31,)),
    _failure("violating-rows", "Rows stand against a check or an exclusion", "The scan finds the first and fails; with NOT"
                                                                             " VALID"
             " no UPDATE of such a row succeeds any more.",
             Example('op.create_check_constraint("users_age", "users", "age > 0")',
                     ("ALTER TABLE users ADD CONSTRAINT users_age CHECK (age > 0)",)), rows=(28, 29)),
    _failure("uncastable-values", "Values do not convert to the new type",
             "The rewrite meets the first and fails. Where triggers are to convert them (op.sync_columns), no UPDATE of such a"
             " row succeeds from then on, and a copy that does not leave it out fails at it; that can be consented to.",
             Example('op.alter_column("users", "name", type_=sa.Integer, postgresql_using="name::integer")',
                     ("ALTER TABLE users ALTER COLUMN name TYPE integer USING name::integer",)), rows=(15,),
             remedy="mend them, or say another formula (USING, up=); which they are, or the first of them, tells:\n$query",
             ours=True),
    _failure("values-change", "Values are not the same after the new type", "They are rounded, cut off or shifted, without"
                                                                            " an error.",
             Example('op.alter_column("orders", "total", type_=sa.Numeric(10, 0))',
                     ("ALTER TABLE orders ALTER COLUMN total TYPE numeric(10, 0)",)), rows=(15,)),
    Hazard(
        "concurrently-in-transaction", "A statement that runs in no transaction, inside of one", "fails",
        "CREATE INDEX CONCURRENTLY, VACUUM, ALTER SYSTEM and the like fail inside a transaction, and Alembic opens one.",
        "with op.get_context().autocommit_block():\n    ...", _in_transaction,
        Example('op.create_index("users_name", "users", ["name"], postgresql_concurrently=True)',
                ("CREATE INDEX CONCURRENTLY users_name ON users (name)",)), _PLAIN, rows=(44,), no_consent=ANYWHERE,
    ),
    Hazard(
        "not-on-partitioned", "A statement that PostgreSQL does not do on a partitioned table", "fails",
        "CREATE INDEX CONCURRENTLY, and before PostgreSQL 18 a NOT VALID foreign key, exist for single partitions only.",
        "ON ONLY the parent first, then for each partition CONCURRENTLY, then ATTACH", _partitioned,
        Example("with op.get_context().autocommit_block():\n"
                '    op.create_index("logs_at", "logs", ["at"], postgresql_concurrently=True)',
                ("CREATE INDEX CONCURRENTLY logs_at ON logs (at)",), autocommit=True, in_block=False),
        Example('op.create_index("logs_at", "logs", ["at"])', ("CREATE INDEX logs_at ON logs (at)",)),
        setup=_PARTED, rows=(50, 70), no_consent=ANYWHERE,
    ),
    Hazard(
        "index-of-constraint", "An index goes that a constraint stands on", "fails",
        "PostgreSQL refuses to drop it by itself.", "ALTER TABLE ... DROP CONSTRAINT, in a revision that says what replaces it",
        _of_constraint, Example('op.drop_index("users_pkey", "users")', ("DROP INDEX users_pkey",)), _PLAIN, rows=(54,),
        no_consent=ANYWHERE,
    ),
    Hazard(
        "used-by-others", "Something is changed that a view, a policy or a trigger uses", "fails",
        "PostgreSQL refuses to change the type of a column that they use, and to drop it without CASCADE.",
        "drop the view, change the column and make the view again, in one transaction", _used_elsewhere,
        Example('op.alter_column("users", "name", type_=sa.String(50))',
                ("ALTER TABLE users ALTER COLUMN name TYPE varchar(50)",)),
        Example('op.alter_column("users", "age", type_=sa.BigInteger)', ("ALTER TABLE users ALTER COLUMN age TYPE bigint",)),
        setup=_VIEWED, rows=(18,), no_consent=ANYWHERE,
    ),
    Hazard(
        "does-not-run", "The revision fails on a shadow", "fails",
        "It was run on a throw-away database that is as the target is, without its rows, and failed there; it will fail on the"
        " target, unless it needs rows that only the target has.",
        "mend the revision", _fails, raw("ALTER TABLE users ADD COLUMN id bigint"), _PLAIN,
        no_consent="where a name, a type or what depends on one makes it fail, and no value or row",
    ),
    Hazard(
        "not-observed", "What a statement does could not be seen", "unseen",
        "It runs in no transaction and left nothing that tells what it was, or it did not pass through SQLAlchemy's"
        " connection, or it was cancelled after the setting shadow_patience, because it slept or waited for a lock that nobody"
        " lets go; then what stands behind it was not seen either. That is not the same as harmless.",
        "run it through op.execute(), in a transaction where PostgreSQL lets it", _not_observed,
        Example('with op.get_context().autocommit_block():\n    op.execute("VACUUM users")', ("VACUUM users",), autocommit=True,
                in_block=False), _PLAIN, rows=(77,),
    ),
    Hazard(
        "outside-the-database", "A revision does something beyond the database", "leaves",
        "A program that it starts, a file that it writes, a service that it calls: PostgreSQL does not roll that back, a"
        " run that is"
        " repeated does it twice, and the shadow did it once already.",
        "do it beside the deploy, not in a revision", _outside,
        Example('import subprocess\nsubprocess.run(["true"], check=True)'), _PLAIN,
    ),
)  # fmt: skip
