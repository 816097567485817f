"""Which hazards come with indexes?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alembic_safe.inspecting.hazard import Example, Hazard, Hit, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.inspecting.trace import Change, Relation, Statement

_IF_NOT_EXISTS = re.compile(r"\bCREATE\s+(UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+IF\s+NOT\s+EXISTS\b", re.IGNORECASE)


def _indexes(scene: Scene, action: str) -> Iterator[tuple[int, Statement, Change, Relation]]:
    for number, statement, change in scene.revision.changes("index", action):
        if change.relation is not None and not change.relation.new:
            yield number, statement, change, change.relation


def _words(change: Change) -> dict[str, str]:
    index = change.after or change.before
    return {
        "table": str(change.relation), "name": index.name, "column": ", ".join(index.columns), "unique": str(index.unique),
        "definition": index.definition,
    }  # fmt: skip


def _create(scene: Scene) -> Iterator[Hit]:
    for number, statement, change, relation in _indexes(scene, "added"):
        severity = scene.by_size(relation)
        if severity and statement.observed and not change.after.constraint:
            yield Hit(
                change.object, number, f"nobody writes {scene.about(relation)} while the index is built", severity,
                _words(change),
            )  # fmt: skip


def _drop(scene: Scene) -> Iterator[Hit]:
    for number, statement, change, relation in _indexes(scene, "gone"):
        severity = scene.by_use(relation)
        alone = not any(c.kind in {"column", "constraint"} and c.action == "gone" for c in statement.changes)
        if severity and statement.observed and alone and not change.before.constraint:
            yield Hit(
                change.object, number,
                f"nobody reads or writes {scene.about(relation)} until the transaction ends; and whoever holds the table up,"
                " holds everybody up",
                severity, _words(change),
            )  # fmt: skip


def _replaced(scene: Scene) -> Iterator[Hit]:
    for number, statement, change, relation in _indexes(scene, "gone"):
        for later in scene.revision.statements[number + 1 :]:
            for other in later.changes:
                if other.kind != "index" or other.action != "added" or other.relation != relation:
                    continue
                same = other.after.columns[:1] == change.before.columns[:1] and bool(other.after.columns)
                severity = scene.by_size(relation)
                together = later.transaction == statement.transaction  # then its lock keeps everybody out in between
                meanwhile = (
                    f"nobody reads or writes {scene.about(relation)}" if together
                    else f"queries that need it read all of {scene.about(relation)}"
                )  # fmt: skip
                if same and severity:
                    yield Hit(
                        change.object, number, f"until {other.after.name} is built, {meanwhile}", severity,
                        _words(change) | {"new": other.after.name},
                    )  # fmt: skip


def _kept_invalid(scene: Scene) -> Iterator[Hit]:
    for number, statement, change, relation in _indexes(scene, "added"):
        name = (relation.schema, change.after.name)
        if name in scene.live.invalid_indexes:
            yield Hit(
                change.object, number,
                f"{change.after.name} is there already, INVALID: a run before was cut short. Nothing reads it, and each"
                " write keeps it up",
                "danger", _words(change),
            )  # fmt: skip
        elif _IF_NOT_EXISTS.search(statement.short) and scene.by_size(relation):
            yield Hit(
                change.object, number,
                "if the building is cut short, an INVALID index stays; IF NOT EXISTS then takes it for the finished one",
                "warning", _words(change),
            )  # fmt: skip


def _short_timeout(scene: Scene) -> Iterator[Hit]:
    for number, statement in scene.statements():
        if statement.observed or not statement.builds or not statement.lock_timeout:
            continue
        relation, name = statement.builds[0]
        if scene.by_size(relation):
            yield Hit(
                f"{relation}.{name}", number,
                f"it waits for every older transaction under the same lock_timeout ({statement.lock_timeout} ms): the first"
                " longer one makes it fail, and an INVALID index stays",
                "warning", {"table": str(relation), "name": name},
            )  # fmt: skip


def _corrupting(scene: Scene) -> Iterator[Hit]:
    for number, statement in scene.statements():
        if not statement.observed and statement.builds and 140000 <= scene.live.server_version < 140004:
            relation, name = statement.builds[0]
            yield Hit(
                f"{relation}.{name}", number,
                f"PostgreSQL 14.{scene.live.server_version % 100} may build an index that misses rows, without a"
                " word", "danger",
                {"table": str(relation), "name": name},
            )  # fmt: skip


def _wide(scene: Scene) -> Iterator[Hit]:
    for number, _, change, _relation in _indexes(scene, "added"):
        if len(change.after.columns) > 3 and not change.after.unique:
            yield Hit(change.object, number, f"{len(change.after.columns)} columns, and the ones behind seldom narrow anything",
                      "advice", _words(change))  # fmt: skip


def _expression(scene: Scene) -> Iterator[Hit]:
    for number, _, change, relation in _indexes(scene, "added"):
        analyzed = any(one.tag == "ANALYZE" for one in scene.later(number))
        if change.after.expressions and not analyzed and scene.by_size(relation):
            yield Hit(
                change.object, number, "the planner knows nothing of the expression until ANALYZE has run", "info",
                _words(change),
            )  # fmt: skip


def _reindex(scene: Scene) -> Iterator[Hit]:
    for number, statement in scene.statements():
        if not statement.observed or statement.tag != "REINDEX":
            continue
        for relation, name in statement.builds:
            severity = scene.by_size(relation)
            if severity:
                yield Hit(
                    f"{relation}.{name}", number,
                    f"nobody writes {scene.about(relation)}, and no query may use the index, while it is built anew",
                    severity, {"table": str(relation), "name": name},
                )  # fmt: skip


_CONCURRENTLY = """with op.get_context().autocommit_block():
    op.create_index("$name", "$table", ["$column"], postgresql_concurrently=True)"""
_CIC = Example(
    "with op.get_context().autocommit_block():\n"
    '    op.create_index("users_name", "users", ["name"], postgresql_concurrently=True)',
    ("CREATE INDEX CONCURRENTLY users_name ON users (name)",), autocommit=True, in_block=False,
)  # fmt: skip
_INDEXED = """CREATE TABLE users (id bigint PRIMARY KEY, name text, email text);
CREATE INDEX users_name ON users (name);"""

INDEXES = (
    Hazard(
        "create-index", "An index without CONCURRENTLY", "blocks",
        "SHARE on the table: reads go on, every write waits until the index is built.", _CONCURRENTLY, _create,
        Example('op.create_index("users_name", "users", ["name"])', ("CREATE INDEX users_name ON users (name)",)), _CIC,
        rows=(43,),
    ),
    Hazard(
        "invalid-index-kept", "An index that IF NOT EXISTS may keep unfinished", "leaves",
        "CREATE INDEX CONCURRENTLY that fails or is cut short leaves an INVALID index: it costs every write, and serves no"
        " query."
        " IF NOT EXISTS finds its name and is content, for ever. safe-upgrade reports INVALID indexes after each run.",
        """look first, and build it CONCURRENTLY again where it is INVALID:
op.execute("DROP INDEX CONCURRENTLY IF EXISTS $name")
op.create_index("$name", "$table", ["$column"], postgresql_concurrently=True)""",
        _kept_invalid,
        Example('with op.get_context().autocommit_block():\n    op.create_index("users_name", "users", ["name"],'
                " postgresql_concurrently=True, if_not_exists=True)",
                ("CREATE INDEX CONCURRENTLY IF NOT EXISTS users_name ON users (name)",), autocommit=True, in_block=False),
        _CIC, rows=(46,),
    ),
    Hazard(
        "concurrently-under-lock-timeout", "CREATE INDEX CONCURRENTLY under a lock_timeout", "leaves",
        "It waits for all older transactions, and that waiting counts: a short lock_timeout makes it fail, and an INVALID index"
        " stays. It queues in front of nobody, so it needs no lock_timeout.",
        'op.execute("SET lock_timeout = 0") in front of it, inside the autocommit block', _short_timeout,
        Example("with op.get_context().autocommit_block():\n    op.execute(\"SET lock_timeout = '2s'\")\n"
                '    op.create_index("users_name", "users", ["name"], postgresql_concurrently=True)\n'
                '    op.execute("SET lock_timeout = 0")',
                ("SET lock_timeout = '2s'", "CREATE INDEX CONCURRENTLY users_name ON users (name)", "SET lock_timeout = 0"),
                autocommit=True, in_block=False),
        _CIC, rows=(47,),
    ),
    Hazard(
        "concurrently-corrupts", "CREATE INDEX CONCURRENTLY on PostgreSQL 14.0 to 14.3", "leaves",
        "Those releases may leave rows out of the index (release notes of 14.4).", "update the server to 14.4 or later",
        _corrupting, _CIC, Example('op.create_index("users_name", "users", ["name"])',
                                   ("CREATE INDEX users_name ON users (name)",)),
        rows=(49,), documented=True,
    ),
    Hazard(
        "wide-index", "An index over more than three columns", "advice",
        "The columns behind the third seldom narrow anything, and each write pays for them.",
        "the two or three columns that queries begin with", _wide,
        Example('op.create_index("users_all", "users", ["id", "name", "email", "age"])',
                ("CREATE INDEX users_all ON users (id, name, email, age)",)),
        Example('op.create_index("users_two", "users", ["name", "email"])', ("CREATE INDEX users_two ON users (name, email)",)),
        rows=(51,),
    ),
    Hazard(
        "drop-index", "An index goes without CONCURRENTLY", "blocks",
        "ACCESS EXCLUSIVE on the table; queued behind a long query, it holds up everybody.",
        'with op.get_context().autocommit_block():\n    op.drop_index("$name", "$table", postgresql_concurrently=True)', _drop,
        Example('op.drop_index("users_name", "users")', ("DROP INDEX users_name",)),
        Example("with op.get_context().autocommit_block():\n"
                '    op.drop_index("users_name", "users", postgresql_concurrently=True)',
                ("DROP INDEX CONCURRENTLY users_name",), autocommit=True, in_block=False),
        setup=_INDEXED, rows=(52,),
    ),
    Hazard(
        "replace-index", "An index goes before the one that replaces it comes", "blocks",
        "In between, the queries that need it read the whole table, or, within one transaction, wait until the new one is"
        " built.",
        "build the new one first, CONCURRENTLY; then let the"
        " old one go",
        _replaced,
        Example('op.drop_index("users_name", "users")\nop.create_index("users_name_email", "users", ["name", "email"])',
                ("DROP INDEX users_name", "CREATE INDEX users_name_email ON users (name, email)")),
        Example('op.create_index("users_name_email", "users", ["name", "email"])\nop.drop_index("users_name", "users")',
                ("CREATE INDEX users_name_email ON users (name, email)", "DROP INDEX users_name")),
        setup=_INDEXED, rows=(53,),
    ),
    Hazard(
        "expression-index-unknown", "An index over an expression, and no ANALYZE", "leaves",
        "PostgreSQL gathers statistics for the expression only with the next ANALYZE; until then it guesses and may not use"
        " it.",
        'op.execute("ANALYZE $table")', _expression,
        Example('op.create_index("users_lower", "users", [sa.text("lower(name)")])',
                ("CREATE INDEX users_lower ON users (lower(name))",)),
        Example('op.create_index("users_lower", "users", [sa.text("lower(name)")])\nop.execute("ANALYZE users")',
                ("CREATE INDEX users_lower ON users (lower(name))", "ANALYZE users"), in_block=False),
        rows=(56,),
    ),
    Hazard(
        "reindex", "REINDEX without CONCURRENTLY", "blocks",
        "Writes wait for the whole building, and so does each query that would use the index.",
        'with op.get_context().autocommit_block():\n    op.execute("REINDEX INDEX CONCURRENTLY $name")', _reindex,
        Example('op.execute("REINDEX TABLE users")', ("REINDEX TABLE users",), in_block=False),
        Example('with op.get_context().autocommit_block():\n    op.execute("REINDEX TABLE CONCURRENTLY users")',
                ("REINDEX TABLE CONCURRENTLY users",), autocommit=True, in_block=False),
        rows=(55,),
    ),
)  # fmt: skip
