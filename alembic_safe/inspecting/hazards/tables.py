"""Which hazards come with whole tables, schemas, views, triggers and partitions?"""

from __future__ import annotations

from alembic_safe.inspecting.hazard import Example, Hazard
from alembic_safe.inspecting.hazards import tables_seen as seen

_SETUP_FK = """CREATE TABLE users (id bigint PRIMARY KEY, name text);
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint CONSTRAINT orders_user REFERENCES users);"""
_PARTS = """CREATE TABLE logs (at date NOT NULL, text text) PARTITION BY RANGE (at);
CREATE TABLE logs_2025 PARTITION OF logs FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE logs_rest PARTITION OF logs DEFAULT;
CREATE TABLE logs_2026 (at date NOT NULL CHECK (at >= '2026-01-01' AND at < '2027-01-01'), text text);"""
_ATTACH = "ALTER TABLE logs ATTACH PARTITION logs_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')"
_PLAIN = Example('op.add_column("users", sa.Column("nick", sa.Text))', ("ALTER TABLE users ADD COLUMN nick text",))
_FUNCTION = "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
_VIEW = "CREATE TABLE users (id bigint PRIMARY KEY, name text); CREATE VIEW named AS SELECT name FROM users;"
_SUMS = """CREATE TABLE users (id bigint PRIMARY KEY); CREATE MATERIALIZED VIEW sums AS SELECT count(*) AS n FROM users;
CREATE UNIQUE INDEX sums_n ON sums (n);"""
_OWN = "a revision of its own, so that the lock is short; safe-upgrade takes it in short attempts"


def raw(sql: str, *, autocommit: bool = False, in_block: bool = True) -> Example:
    """Return an example that Alembic has no operation for."""
    quoted = f'op.execute("""{sql}""")'
    operation = f"with op.get_context().autocommit_block():\n    {quoted}" if autocommit else quoted
    return Example(operation, (sql,), autocommit, in_block)


TABLES = (
    Hazard(
        "drop-table", "A table and its rows go", "loses",
        "The rows are gone as soon as the revision is committed. Programs of the release before still read and write the"
        " table.",
        'op.retire_table("$table")', seen.drop,
        Example('op.drop_table("orders")', ("DROP TABLE orders",)), Example('op.retire_table("orders", sa.Column("id",'
                                                                            ' sa.BigInteger))'),
        rows=(57,),
    ),
    Hazard(
        "drop-table-references", "A table goes that refers to others", "blocks",
        "ACCESS EXCLUSIVE on every table that it refers to, too.",
        'its foreign keys first, one revision for each:\nop.drop_constraint("$name", "$table")', seen.drop_referring,
        Example('op.drop_table("orders")', ("DROP TABLE orders",)),
        Example('op.drop_table("notes")', ("DROP TABLE notes",)),
        setup=_SETUP_FK + " CREATE TABLE notes (id int PRIMARY KEY);", rows=(36,),
    ),
    Hazard(
        "rename-table", "A table gets another name", "breaks",
        "Every statement of the programs that run fails from the next moment on.",
        "a view under the old name in the same transaction, until no program uses it:\n"
        'op.execute("CREATE VIEW $table AS SELECT * FROM $new")',
        seen.rename,
        Example('op.rename_table("users", "people")', ("ALTER TABLE users RENAME TO people",)),
        Example('op.execute("CREATE VIEW people AS SELECT * FROM users")', ("CREATE VIEW people AS SELECT * FROM users",)),
        rows=(58,),
    ),
    Hazard(
        "move-table", "A table gets into another schema", "breaks",
        "Programs that name the old schema, or find the table through their search_path, fail.",
        'a view at the old place, until no program uses it:\nop.execute("CREATE VIEW $table AS SELECT * FROM $new")', seen.move,
        raw("ALTER TABLE users SET SCHEMA app"), raw("CREATE VIEW app.users AS SELECT * FROM public.users"),
        setup="CREATE SCHEMA app; CREATE TABLE users (id int PRIMARY KEY);", rows=(59,),
    ),
    Hazard(
        "schema-goes", "A schema goes, or gets another name", "loses",
        "With CASCADE everything in it goes along; with another name every program that names it fails.",
        'one object after the other, each with its own revision; "$schema" itself when it is empty and nobody names it',
        seen.schema, raw("DROP SCHEMA app CASCADE"), raw("CREATE SCHEMA other"),
        setup="CREATE SCHEMA app; CREATE TABLE app.users (id int PRIMARY KEY);", rows=(59,),
    ),
    Hazard(
        "replace-table", "A table goes, and an empty one of the same name comes", "loses",
        "DROP TABLE IF EXISTS in front of CREATE TABLE is written for an empty database; on one that has rows it loses them"
        " all.",
        "change the table that is there with ALTER TABLE", seen.replaced,
        Example('op.drop_table("orders", if_exists=True)\nop.create_table("orders", sa.Column("id", sa.Integer))',
                ("DROP TABLE IF EXISTS orders", "CREATE TABLE orders (id int)")),
        Example('op.add_column("orders", sa.Column("more", sa.Text))', ("ALTER TABLE orders ADD COLUMN more text",)),
        rows=(60,),
    ),
    Hazard(
        "truncate", "A table is emptied", "loses",
        "TRUNCATE removes all rows, with CASCADE those of every table that refers to it, too.",
        'keep the rows: op.retire_table("$table") keeps a table aside', seen.truncate,
        raw("TRUNCATE orders"), raw("INSERT INTO orders (id, total) VALUES (1, 2)"), rows=(61,),
    ),
    Hazard(
        "rewrite-table", "A table is written anew", "blocks",
        "VACUUM FULL, CLUSTER, SET TABLESPACE, SET LOGGED, SET UNLOGGED, SET ACCESS METHOD: heap and all indexes, under ACCESS"
        " EXCLUSIVE.",
        "pg_repack, or REPACK CONCURRENTLY from PostgreSQL 19 on; a new table filled in batches", seen.rewrite,
        raw("ALTER TABLE users SET UNLOGGED"), raw("ALTER TABLE users SET (fillfactor = 80)"), rows=(55, 25),
    ),
    Hazard(
        "refresh-view", "A materialized view is refreshed", "blocks",
        "Nobody reads it while its query runs.",
        'with a unique index over it: op.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY $table")', seen.refresh,
        raw("REFRESH MATERIALIZED VIEW sums"), raw("REFRESH MATERIALIZED VIEW CONCURRENTLY sums"),
        setup=_SUMS, rows=(55,),
    ),
    Hazard(
        "drop-view", "A view goes", "breaks",
        "Programs and other roles read it; where it is made again, its rights have to be granted again.",
        'CREATE OR REPLACE VIEW keeps rights: op.execute("CREATE OR REPLACE VIEW $table AS ...")', seen.view,
        raw("DROP VIEW named"), raw("CREATE OR REPLACE VIEW named AS SELECT name, id FROM users"), setup=_VIEW, rows=(67,),
    ),
    Hazard(
        "trigger-lock", "A trigger comes or goes", "blocks",
        "CREATE TRIGGER keeps writes waiting (SHARE ROW EXCLUSIVE), DROP TRIGGER everybody (ACCESS EXCLUSIVE), until the"
        " transaction"
        " ends.",
        _OWN, lambda scene: seen.short_lock(scene, ("trigger",)),
        raw("CREATE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()"), _PLAIN,
        setup=f"CREATE TABLE users (id int PRIMARY KEY); {_FUNCTION}", rows=(66,),
    ),
    Hazard(
        "policy-lock", "A policy or a rule comes, goes, or row security is switched", "blocks",
        "ACCESS EXCLUSIVE until the transaction ends; and from then on programs see, or may write, other rows.",
        _OWN + "; the policies before ENABLE ROW LEVEL SECURITY",
        lambda scene: seen.short_lock(scene, ("policy", "rule"), ("row security",)),
        raw("ALTER TABLE users ENABLE ROW LEVEL SECURITY"), _PLAIN, rows=(66,),
    ),
    Hazard(
        "replica-identity", "The replica identity of a table is another one", "breaks",
        "ACCESS EXCLUSIVE; and logical replication finds rows by it: UPDATE and DELETE fail on a published table without one.",
        "name a unique index that exists, in a revision of its own",
        lambda scene: seen.short_lock(scene, (), ("replica identity",)),
        raw("ALTER TABLE users REPLICA IDENTITY FULL"), _PLAIN, rows=(66,),
    ),
    Hazard(
        "change-owner", "A table gets another owner", "breaks",
        "ACCESS EXCLUSIVE; and the role that deployed so far may no longer change the table.",
        "let the new owner deploy first", lambda scene: seen.short_lock(scene, (), ("owner",)),
        raw("ALTER TABLE users OWNER TO pg_monitor"), _PLAIN, rows=(66,),
    ),
    Hazard(
        "detach-partition", "A partition leaves its table without CONCURRENTLY", "blocks",
        "ACCESS EXCLUSIVE on the whole partitioned table, its default partition included.",
        "from PostgreSQL 14 on, without a default partition:\nwith op.get_context().autocommit_block():\n"
        '    op.execute("ALTER TABLE $parent DETACH PARTITION $table CONCURRENTLY")',
        seen.detach, raw("ALTER TABLE logs DETACH PARTITION logs_2025"),
        raw("ALTER TABLE logs DETACH PARTITION logs_2025 CONCURRENTLY", autocommit=True, in_block=False),
        setup=_PARTS.replace("CREATE TABLE logs_rest PARTITION OF logs DEFAULT;\n", ""), rows=(68,),
    ),
    Hazard(
        "attach-partition", "A partition comes to a table that is in use", "blocks",
        "PARTITION OF locks the whole table; ATTACH locks the new part and the default partition, and reads both unless a CHECK"
        " proves the range.",
        "make it as a table of its own with a CHECK of the range, then ATTACH; on the default partition a CHECK that"
        " excludes it",
        seen.attach, raw(_ATTACH), raw("CREATE TABLE logs_2027 (LIKE logs)"), setup=_PARTS, rows=(69,),
    ),
)  # fmt: skip
