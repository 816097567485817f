"""Which hazards come with another type, or with NOT NULL?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.inspecting.hazard import Example, Hazard, Hit, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.inspecting.trace import Change, Statement


def _altered(scene: Scene, what: str) -> Iterator[tuple[int, Statement, Change]]:
    for number, statement, change in scene.revision.changes("column", "changed", what):
        if change.relation is not None and not change.relation.new and change.relation.kind == "table":
            yield number, statement, change


def _words(change: Change) -> dict[str, str]:
    return {"table": str(change.relation), "column": change.name, "type": change.after.type, "old": change.before.type}


def _rewrite(scene: Scene) -> Iterator[Hit]:
    for number, statement, change in _altered(scene, "type"):
        relation = change.relation
        assert relation is not None  # noqa: S101
        severity = scene.by_size(relation)
        if severity and relation in statement.rewrites:
            yield Hit(
                change.object, number,
                f"{change.before.type} to {change.after.type}: {scene.about(relation)} is written anew with all its indexes;"
                " meanwhile nobody reads or writes it",
                severity, _words(change),
            )  # fmt: skip


def _plans(scene: Scene) -> Iterator[Hit]:
    for number, statement, change in _altered(scene, "type"):
        relation = change.relation
        assert relation is not None  # noqa: S101
        severity = scene.by_use(relation)
        if severity and relation not in statement.rewrites and not scene.is_new_column(number, relation, change.name):
            yield Hit(
                change.object, number,
                f"{change.before.type} to {change.after.type}: no row is touched, and prepared statements that return"
                f" {change.name} fail (`cached plan must not change result type`) until their session is renewed",
                "info" if severity == "info" else "warning", _words(change),
            )  # fmt: skip


def _rechecked(scene: Scene) -> Iterator[Hit]:
    for number, statement, change in _altered(scene, "type"):
        relation = change.relation
        assert relation is not None  # noqa: S101
        severity = scene.by_size(relation)
        anew = [
            other.name for other in statement.changes
            if other.kind == "constraint" and other.relation == relation and other.what in {"made anew", "definition"}
            and other.after.type in {"c", "f"}
        ]  # fmt: skip
        if relation in statement.rewrites or not severity:
            continue
        if anew and relation in statement.scans:
            yield Hit(
                change.object, number,
                f"{', '.join(anew)} is checked again against {scene.about(relation)}; meanwhile nobody reads or writes it",
                severity, _words(change) | {"name": anew[0]},
            )  # fmt: skip
        recollated = any(other.object == change.object and other.what == "collation" for other in statement.changes)
        built = [] if recollated else [name for table, name in statement.builds if table == relation]
        if built:
            yield Hit(
                change.object, number,
                f"{', '.join(built)} on {scene.about(relation)} is built anew; meanwhile nobody reads or writes the table",
                severity, _words(change) | {"name": built[0]},
            )  # fmt: skip


def _statistics(scene: Scene) -> Iterator[Hit]:
    for number, _, change in _altered(scene, "type"):
        relation = change.relation
        assert relation is not None  # noqa: S101
        severity = scene.by_size(relation)
        analyzed = any(one.tag == "ANALYZE" or "VACUUM" in one.tag for one in scene.later(number))
        if severity and severity != "info" and not analyzed:
            yield Hit(
                change.object, number,
                f"what the planner knows of {change.object} is gone; until autovacuum comes by, its plans may be bad", "info",
                _words(change),
            )  # fmt: skip


def _collation(scene: Scene) -> Iterator[Hit]:
    for number, statement, change in _altered(scene, "collation"):
        relation = change.relation
        assert relation is not None  # noqa: S101
        severity = scene.by_size(relation)
        built = [name for table, name in statement.builds if table == relation]
        if severity and built:
            yield Hit(
                change.object, number,
                f"{', '.join(built)} on {scene.about(relation)} is built anew; meanwhile nobody reads or writes the table",
                severity, _words(change) | {"collation": change.after.collation or "the default"},
            )  # fmt: skip


def _not_null(scene: Scene) -> Iterator[Hit]:
    for number, statement, change in _altered(scene, "not null"):
        relation = change.relation
        assert relation is not None  # noqa: S101
        if not change.after.not_null or relation not in statement.scans or _is_key(statement, change):
            continue
        severity = scene.by_size(relation)
        if severity and _type_too(statement, change):
            continue
        if severity:
            yield Hit(
                change.object, number,
                f"{scene.about(relation)} is read from end to end; meanwhile nobody reads or writes it", severity,
                _words(change),
            )  # fmt: skip


def _both(scene: Scene) -> Iterator[Hit]:
    for number, statement, change in _altered(scene, "not null"):
        relation = change.relation
        assert relation is not None  # noqa: S101
        severity = scene.by_size(relation)
        together = _type_too(statement, change) or any(
            other.object == change.object and other.what == "type"
            for earlier in scene.revision.statements[max(0, number - 1) : number]
            if earlier.transaction == statement.transaction
            for other in earlier.changes
        )
        if severity and change.after.not_null and relation in statement.scans and together:
            yield Hit(
                change.object, number,
                f"another type looks harmless, and hides that {scene.about(relation)} is read from end to end under"
                " ACCESS EXCLUSIVE for NOT NULL",
                severity, _words(change),
            )  # fmt: skip


def _type_too(statement: Statement, change: Change) -> bool:
    return any(other.object == change.object and other.what == "type" for other in statement.changes)


def _is_key(statement: Statement, change: Change) -> bool:
    return any(
        other.kind == "constraint"
        and other.action == "added"
        and other.after.type == "p"
        and change.name in other.after.columns
        for other in statement.changes
    )


def _enum_rebuilt(scene: Scene) -> Iterator[Hit]:
    made = {
        change.after[0].removeprefix("public.") for one in scene.revision.statements for change in one.changes
        if change.kind == "type" and change.action == "added" and change.after[1] == "e"
    }  # fmt: skip
    for number, statement, change in _altered(scene, "type"):
        relation = change.relation
        assert relation is not None  # noqa: S101
        severity = scene.by_size(relation)
        if severity and relation in statement.rewrites and change.after.type.removesuffix("[]").strip('"') in made:
            yield Hit(
                change.object, number,
                f"the enum is made anew, and {scene.about(relation)} is written anew for it; meanwhile nobody reads or"
                " writes it",
                severity, _words(change),
            )  # fmt: skip


_SPLIT = """a new column of the new type, kept equal to the old one, filled in batches, and the old one retired later:
op.add_column("$table", sa.Column("${column}_new", ...))"""

COLUMNS_ALTERED = (
    Hazard(
        "change-type-rewrite", "Another type, for which every row is written anew", "blocks",
        "Heap and all indexes are written anew under ACCESS EXCLUSIVE: int to bigint, json to jsonb, text to varchar(n), a"
        " shorter"
        " varchar, another scale of numeric, timestamp to timestamptz where the session's time zone is not UTC.",
        _SPLIT, _rewrite,
        Example('op.alter_column("users", "age", type_=sa.BigInteger)', ("ALTER TABLE users ALTER COLUMN age TYPE bigint",)),
        Example('op.add_column("users", sa.Column("age_new", sa.BigInteger))',
                ("ALTER TABLE users ADD COLUMN age_new bigint",)),
        rows=(15,),
    ),
    Hazard(
        "change-type-plans", "Another type that costs no rewrite, and breaks prepared statements", "breaks",
        "varchar(50) to varchar(100), varchar to text: nothing is written. But the type of the result has changed, and"
        " psycopg 3 and"
        " asyncpg prepare what they send often: those statements fail until their sessions are renewed.",
        "renew the program's connections after the deploy (a rolling restart does), or a CHECK in place of a longer varchar",
        _plans,
        Example('op.alter_column("users", "email", type_=sa.String(100))',
                ("ALTER TABLE users ALTER COLUMN email TYPE varchar(100)",)),
        Example('op.add_column("users", sa.Column("email_new", sa.String(100)))',
                ("ALTER TABLE users ADD COLUMN email_new varchar(100)",)),
        rows=(16,),
    ),
    Hazard(
        "change-type-check", "Another type on a column that a check, a foreign key or a partial index names", "blocks",
        "The constraint is made anew, and every row checked, under ACCESS EXCLUSIVE, also where the type itself needs no"
        " rewrite. So is an index with a predicate or an expression that names the column.",
        "take the check away, change the type, add the check NOT VALID, and validate it in the next revision; for an index, a"
        " new column with an index of its own",
        _rechecked,
        Example('op.alter_column("users", "email", type_=sa.String(100))',
                ("ALTER TABLE users ALTER COLUMN email TYPE varchar(100)",)),
        Example('op.alter_column("users", "name", type_=sa.String)', ("ALTER TABLE users ALTER COLUMN name TYPE varchar",)),
        setup="CREATE TABLE users (id bigint PRIMARY KEY, name text, email varchar(50) CHECK (email <> ''));",
        rows=(17,),
    ),
    Hazard(
        "change-type-statistics", "Another type, and nothing is known of the column any more", "leaves",
        "ALTER TYPE removes the column's statistics. Until ANALYZE runs, the planner guesses.",
        'op.execute("ANALYZE $table")', _statistics,
        Example('op.alter_column("users", "email", type_=sa.String(100))',
                ("ALTER TABLE users ALTER COLUMN email TYPE varchar(100)",)),
        Example('op.alter_column("users", "email", type_=sa.String(100))\nop.execute("ANALYZE users")',
                ("ALTER TABLE users ALTER COLUMN email TYPE varchar(100)", "ANALYZE users"), in_block=False),
        rows=(19, 56),
    ),
    Hazard(
        "change-collation", "Another collation on a column that is indexed", "blocks",
        "The rows stay, and every index over the column is built anew under ACCESS EXCLUSIVE.",
        "a new column with the collation, or an index of its own over the expression, built CONCURRENTLY", _collation,
        Example('op.execute("""ALTER TABLE users ALTER COLUMN name TYPE text COLLATE "C\\"""")',
                ('ALTER TABLE users ALTER COLUMN name TYPE text COLLATE "C"',)),
        Example('op.execute("""CREATE TABLE other (name text COLLATE "C\\")""")',
                ('CREATE TABLE other (name text COLLATE "C")',)),
        setup='CREATE TABLE users (id bigint PRIMARY KEY, name text COLLATE "POSIX"); CREATE INDEX users_name ON users'
              " (name);",
        rows=(20,),
    ),
    Hazard(
        "set-not-null", "NOT NULL on a column of a table with rows", "blocks",
        "Every row is read under ACCESS EXCLUSIVE. PostgreSQL spares itself that where a valid CHECK (... IS NOT NULL)"
        " proves it.",
        """in one revision
op.create_check_constraint("${column}_filled", "$table", "$column IS NOT NULL", postgresql_not_valid=True)
in the next one
op.execute("ALTER TABLE $table VALIDATE CONSTRAINT ${column}_filled")
and then
op.alter_column("$table", "$column", nullable=False)""",
        _not_null,
        Example('op.alter_column("users", "name", nullable=False)', ("ALTER TABLE users ALTER COLUMN name SET NOT NULL",)),
        Example('op.alter_column("users", "email", nullable=False)', ("ALTER TABLE users ALTER COLUMN email SET NOT NULL",)),
        setup="CREATE TABLE users (id bigint PRIMARY KEY, name text, email text CHECK (email IS NOT NULL));",
        rows=(21,),
    ),
    Hazard(
        "change-type-and-not-null", "Another type and NOT NULL in one operation", "blocks",
        "The type alone would be instant; NOT NULL reads every row, under the same ACCESS EXCLUSIVE.",
        "two revisions: the type in one, NOT NULL in the other, as `safe-explain set-not-null` says", _both,
        Example('op.alter_column("users", "email", type_=sa.String(100), nullable=False)',
                ("ALTER TABLE users ALTER COLUMN email TYPE varchar(100), ALTER COLUMN email SET NOT NULL",)),
        Example('op.alter_column("users", "email", type_=sa.String(100))',
                ("ALTER TABLE users ALTER COLUMN email TYPE varchar(100)",)),
        rows=(22,),
    ),
    Hazard(
        "rebuild-enum", "An enum is made anew to change its labels", "blocks",
        "Every table that uses it is written anew under ACCESS EXCLUSIVE; generators do so even where a label is only added.",
        "only add labels: ALTER TYPE ... ADD VALUE IF NOT EXISTS, in a revision of its own; leave those that nobody uses",
        _enum_rebuilt,
        Example('op.execute("ALTER TYPE mood RENAME TO mood_old")\n'
                "op.execute(\"CREATE TYPE mood AS ENUM ('sad', 'ok', 'new')\")\n"
                'op.execute("ALTER TABLE moods ALTER COLUMN mood TYPE mood USING mood::text::mood")\n'
                'op.execute("DROP TYPE mood_old")',
                ("ALTER TYPE mood RENAME TO mood_old", "CREATE TYPE mood AS ENUM ('sad', 'ok', 'new')",
                 "ALTER TABLE moods ALTER COLUMN mood TYPE mood USING mood::text::mood", "DROP TYPE mood_old")),
        Example("op.execute(\"ALTER TYPE mood ADD VALUE IF NOT EXISTS 'new'\")",
                ("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'new'",)),
        setup="CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE moods (id int PRIMARY KEY, mood mood);",
        rows=(65,),
    ),
)  # fmt: skip
