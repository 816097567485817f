"""Which hazards come with a new column?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.inspecting.hazard import Example, Hazard, Hit, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.inspecting.trace import Change, Relation, Statement

WORDS = dict[str, str]


def _words(change: Change) -> WORDS:
    column = change.after
    return {"table": str(change.relation), "column": column.name, "type": column.type, "default": column.default or ""}


def added(scene: Scene) -> Iterator[tuple[int, Statement, Change]]:
    """Yield the columns that come to tables which the target has."""
    for number, statement, change in scene.revision.changes("column", "added"):
        if change.relation is not None and not change.relation.new and change.relation.kind == "table":
            yield number, statement, change


def _rewriting(scene: Scene, why: str) -> Iterator[Hit]:
    for number, statement, change in added(scene):
        assert change.relation is not None  # noqa: S101 - added() yields no other
        if change.relation not in statement.rewrites or why != _cause(change):
            continue
        severity = scene.by_size(change.relation)
        if severity:
            yield Hit(
                change.object, number,
                f"{scene.about(change.relation)} is written anew with all its indexes; meanwhile nobody reads or writes it",
                severity, _words(change),
            )  # fmt: skip


def _cause(change: Change) -> str:
    column = change.after
    if column.generated:
        return "generated"
    if column.identity or (column.default or "").startswith("nextval("):
        return "serial"
    return "domain" if column.domain and column.default is None else "volatile"


def _required(scene: Scene) -> Iterator[Hit]:
    for number, _, change in added(scene):
        column, relation = change.after, change.relation
        assert relation is not None  # noqa: S101
        if column.not_null and column.default is None and not column.identity and not column.generated:
            severity = scene.by_rows(relation)
            if severity:
                emptied = _emptied(scene, number, relation)
                rows = f"rows that the {emptied} before it leaves" if emptied else "rows that are there"
                yield Hit(
                    change.object, number,
                    f"{scene.about(relation)}: {rows} have no value for it, so the statement fails;"
                    " where there are none, INSERTs of running programs fail",
                    severity, _words(change), fails=_has_rows(scene, number, relation),
                )  # fmt: skip


def _has_rows(scene: Scene, number: int, relation: Relation) -> bool:
    """Whether rows are there for sure when the statement runs: they are now, and nothing before it may take them away."""
    here = scene.live.size_class(relation) not in {"new", "empty", "unknown"}
    return here and not scene.rows_change_before(number)


def _emptied(scene: Scene, number: int, relation: Relation) -> str:
    """Return what took rows of a table away earlier in the revision: on a shadow nobody sees whether any is left."""
    earlier = (write for one in scene.revision.statements[:number] for write in one.writes)
    return next((w.kind for w in earlier if w.relation == relation and w.kind in {"DELETE", "TRUNCATE"}), "")


def _with_constraint(scene: Scene, kind: str) -> Iterator[Hit]:
    for number, statement, change in added(scene):
        relation = change.relation
        assert relation is not None  # noqa: S101
        for other in statement.changes:
            if other.kind != "constraint" or other.action != "added" or other.relation != relation:
                continue
            if other.after.type != kind or change.after.name not in other.after.columns:
                continue
            severity = scene.by_size(relation)
            if severity and relation in statement.scans:
                yield Hit(
                    change.object, number,
                    f"{scene.about(relation)} is read from end to end for {other.name}; meanwhile"
                    f" {scene.blocked(number, relation) or 'it is locked'}",
                    severity, _words(change) | {"name": other.name},
                )  # fmt: skip


def _stable(scene: Scene) -> Iterator[Hit]:
    for number, statement, change in added(scene):
        default = change.after.default or ""
        if "(" in default and change.relation not in statement.rewrites and not change.after.generated:
            yield Hit(
                change.object, number, f"every row that is there gets the same {default}", "advice", _words(change)
            )


def _json(scene: Scene) -> Iterator[Hit]:
    for number, _, change in scene.revision.changes("column", "added"):
        if change.after.type in {"json", "json[]"}:
            yield Hit(change.object, number, "SELECT DISTINCT, GROUP BY and UNION over the table fail", "advice",
                      _words(change))  # fmt: skip


def _star(scene: Scene) -> Iterator[Hit]:
    for number, _, change in added(scene):
        yield Hit(
            change.object, number,
            f"prepared statements that say SELECT * FROM {change.relation} fail once in every session", "advice",
            _words(change),
        )  # fmt: skip


_LATER = """with a constant or no default now, the rows filled in batches, the default set for new rows:
op.add_column("$table", sa.Column("$column", ..., nullable=True))
op.alter_column("$table", "$column", server_default=sa.text("$default"))"""

COLUMNS_ADDED = (
    Hazard(
        "add-column-volatile-default", "A new column whose default is another one for each row", "blocks",
        "A default that PostgreSQL can compute once (a constant, now()) is stored once and costs nothing. One that differs from"
        " row to row (random(), gen_random_uuid(), clock_timestamp()) is written into every row: heap and all indexes anew,"
        " under ACCESS EXCLUSIVE.",
        _LATER, lambda scene: _rewriting(scene, "volatile"),
        Example('op.add_column("users", sa.Column("token", sa.Uuid, server_default=sa.text("gen_random_uuid()")))',
                ("ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid()",)),
        Example('op.add_column("users", sa.Column("token", sa.Uuid))\n'
                'op.alter_column("users", "token", server_default=sa.text("gen_random_uuid()"))',
                ("ALTER TABLE users ADD COLUMN token uuid",
                 "ALTER TABLE users ALTER COLUMN token SET DEFAULT gen_random_uuid()")),
        rows=(2, 3),
    ),
    Hazard(
        "add-column-required", "A new column that is NOT NULL and has no default", "fails",
        "PostgreSQL refuses the column as soon as one row exists. On an empty table it passes, and then every INSERT of a"
        " program"
        " that does not know the column fails.",
        'allow NULL first, or give one value for every row:\nop.add_column("$table", sa.Column("$column", ...,'
        ' server_default="..."))',
        _required,
        Example('op.add_column("users", sa.Column("country", sa.Text, nullable=False))',
                ("ALTER TABLE users ADD COLUMN country text NOT NULL",)),
        Example('op.add_column("users", sa.Column("country", sa.Text, server_default="", nullable=False))',
                ("ALTER TABLE users ADD COLUMN country text DEFAULT '' NOT NULL",)),
        rows=(4,), no_consent="where the table is known to have rows, and nothing before it reads or changes any",
    ),
    Hazard(
        "add-column-serial", "A new column that counts: serial or IDENTITY", "blocks",
        "Every row gets its number at once: heap and all indexes are written anew under ACCESS EXCLUSIVE. Logical"
        " subscribers get"
        " other numbers.",
        'a plain column first, filled in batches; then\nop.execute("ALTER TABLE $table ALTER COLUMN $column ADD GENERATED BY'
        ' DEFAULT AS IDENTITY")',
        lambda scene: _rewriting(scene, "serial"),
        Example('op.add_column("users", sa.Column("number", sa.BigInteger, sa.Identity(), nullable=False))',
                ("ALTER TABLE users ADD COLUMN number bigserial",)),
        Example('op.add_column("users", sa.Column("number", sa.BigInteger))',
                ("ALTER TABLE users ADD COLUMN number bigint",)),
        rows=(5,),
    ),
    Hazard(
        "add-column-generated", "A new column that is generated and stored", "blocks",
        "The value is computed for every row and written: heap and all indexes anew under ACCESS EXCLUSIVE. From PostgreSQL"
        " 18 on"
        " a VIRTUAL one costs nothing.",
        "a plain column that a trigger fills, and batches for the rows that are there; from PostgreSQL 18 on\n"
        'op.add_column("$table", sa.Column("$column", ..., sa.Computed("...", persisted=False)))',
        lambda scene: _rewriting(scene, "generated"),
        Example('op.add_column("users", sa.Column("lowered", sa.Text, sa.Computed("lower(name)", persisted=True)))',
                ("ALTER TABLE users ADD COLUMN lowered text GENERATED ALWAYS AS (lower(name)) STORED",)),
        Example('op.add_column("users", sa.Column("lowered", sa.Text))',
                ("ALTER TABLE users ADD COLUMN lowered text",)),
        rows=(6,),
    ),
    Hazard(
        "add-column-domain", "A new column of a domain that has a constraint", "blocks",
        "PostgreSQL checks NULL against the domain by writing every row anew, though the column has no default. No other tool"
        " says so.",
        "the domain's own type now, and the rule as a check, validated in a transaction of its own:\n"
        'op.add_column("$table", sa.Column("$column", ...))',
        lambda scene: _rewriting(scene, "domain"),
        Example('op.execute("ALTER TABLE users ADD COLUMN zip zip_code")',
                ("ALTER TABLE users ADD COLUMN zip zip_code",)),
        Example('op.add_column("users", sa.Column("zip", sa.Text))', ("ALTER TABLE users ADD COLUMN zip text",)),
        setup="""CREATE TABLE users (id bigint PRIMARY KEY, name text);
CREATE DOMAIN zip_code AS text CHECK (length(VALUE) = 5);""",
        rows=(7,),
    ),
    Hazard(
        "add-column-unique", "A new column with UNIQUE", "blocks",
        "The unique index is built while ACCESS EXCLUSIVE is held.",
        'the column first; then, in a revision of its own,\nwith op.get_context().autocommit_block():\n'
        '    op.create_index("$name", "$table", ["$column"], unique=True, postgresql_concurrently=True)',
        lambda scene: _with_constraint(scene, "u"),
        Example('op.execute("ALTER TABLE users ADD COLUMN nick text UNIQUE")',
                ("ALTER TABLE users ADD COLUMN nick text UNIQUE",)),
        Example('op.add_column("users", sa.Column("nick", sa.Text))', ("ALTER TABLE users ADD COLUMN nick text",)),
        rows=(8,),
    ),
    Hazard(
        "add-column-check", "A new column with CHECK", "blocks",
        "Every row is checked while ACCESS EXCLUSIVE is held.",
        'the column first; then the check, and its validation in the next revision:\nop.create_check_constraint("$name",'
        ' "$table", "...", postgresql_not_valid=True)',
        lambda scene: _with_constraint(scene, "c"),
        Example('op.execute("ALTER TABLE users ADD COLUMN points int CHECK (points > 0)")',
                ("ALTER TABLE users ADD COLUMN points int CHECK (points > 0)",)),
        Example('op.add_column("users", sa.Column("points", sa.Integer))', ("ALTER TABLE users ADD COLUMN points int",)),
        rows=(9,),
    ),
    Hazard(
        "add-column-references", "A new column with REFERENCES", "blocks",
        "ACCESS EXCLUSIVE on the table, SHARE ROW EXCLUSIVE on the other one, and both are held for the rest of the"
        " transaction.",
        'the column first; then the key, and its validation in the next revision:\nop.create_foreign_key("$name", "$table",'
        ' "...", ["$column"], ["id"], postgresql_not_valid=True)',
        lambda scene: _referencing(scene),  # noqa: PLW0108 - it stands below
        Example('op.execute("ALTER TABLE orders ADD COLUMN buyer bigint REFERENCES users")',
                ("ALTER TABLE orders ADD COLUMN buyer bigint REFERENCES users",)),
        Example('op.add_column("orders", sa.Column("buyer", sa.BigInteger))',
                ("ALTER TABLE orders ADD COLUMN buyer bigint",)),
        rows=(10,),
    ),
    Hazard(
        "one-default-for-all", "A new column whose rows all get one moment or one user", "advice",
        "now(), current_user and the like are computed once, when the column comes: all rows that are there get that one"
        " value.",
        "a column that may be NULL, where the true value is not known", _stable,
        Example('op.add_column("users", sa.Column("seen", sa.DateTime(timezone=True), server_default=sa.func.now()))',
                ("ALTER TABLE users ADD COLUMN seen timestamptz DEFAULT now()",)),
        Example('op.add_column("users", sa.Column("seen", sa.DateTime(timezone=True)))',
                ("ALTER TABLE users ADD COLUMN seen timestamptz",)),
        rows=(2,),
    ),
    Hazard(
        "json-without-equality", "A column of type json", "advice",
        "json has no equality: SELECT DISTINCT, GROUP BY and UNION over the table fail. jsonb has it.",
        'op.add_column("$table", sa.Column("$column", postgresql.JSONB))', _json,
        Example('op.add_column("users", sa.Column("extra", sa.JSON))', ("ALTER TABLE users ADD COLUMN extra json",)),
        Example('op.add_column("users", sa.Column("extra", sa.dialects.postgresql.JSONB))',
                ("ALTER TABLE users ADD COLUMN extra jsonb",)),
        rows=(11,),
    ),
    Hazard(
        "select-star-plans", "A new column, and sessions that have prepared SELECT *", "advice",
        "psycopg 3 and asyncpg prepare what they send often. A prepared SELECT * fails with `cached plan must not change result"
        " type` after any change of the columns, in psycopg 3 until the session ends.",
        "name the columns in the program, as SQLAlchemy does; or renew the sessions after the deploy", _star,
        Example('op.add_column("users", sa.Column("nick", sa.Text))', ("ALTER TABLE users ADD COLUMN nick text",)),
        Example('op.create_table("nicks", sa.Column("nick", sa.Text))', ("CREATE TABLE nicks (nick text)",)),
        rows=(1,),
    ),
)  # fmt: skip


def _referencing(scene: Scene) -> Iterator[Hit]:
    for number, statement, change in added(scene):
        relation = change.relation
        assert relation is not None  # noqa: S101
        for other in statement.changes:
            constraint = other.after
            if other.kind != "constraint" or other.action != "added" or other.relation != relation:
                continue
            if constraint.type == "f" and change.after.name in constraint.columns:
                severity = scene.by_use(relation)
                if severity:
                    yield Hit(
                        change.object, number,
                        f"nobody reads or writes {scene.about(relation)}, and nobody writes"
                        f" {constraint.references}, until the transaction ends",
                        severity, _words(change) | {"name": other.name},
                    )  # fmt: skip
