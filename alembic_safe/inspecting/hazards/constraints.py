"""Which hazards come with keys, checks and uniqueness?"""

from __future__ import annotations

from alembic_safe.inspecting.hazard import Example, Hazard
from alembic_safe.inspecting.hazards import constraints_seen as seen
from alembic_safe.inspecting.hazards import keys_gone

_NOT_VALID = """in one revision
op.{make}, postgresql_not_valid=True)
in the next one
op.execute("ALTER TABLE $table VALIDATE CONSTRAINT $name")"""
_KEY = _NOT_VALID.format(make='create_foreign_key("$name", "$table", "$other", ["$column"], ["id"]')
_CHECK = _NOT_VALID.format(make='create_check_constraint("$name", "$table", "..."')
_UNIQUE = """with op.get_context().autocommit_block():
    op.create_index("$name", "$table", ["$column"], unique=True, postgresql_concurrently=True)
op.execute("ALTER TABLE $table ADD CONSTRAINT $name UNIQUE USING INDEX $name")"""
_FK = "ALTER TABLE orders ADD CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users (id)"
_FK_OP = 'op.create_foreign_key("orders_user", "orders", "users", ["user_id"], ["id"]'
_SETUP_FK = """CREATE TABLE users (id bigint PRIMARY KEY, name text);
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint
  CONSTRAINT orders_user REFERENCES users ON DELETE CASCADE, note text);
CREATE INDEX orders_user_id ON orders (user_id);"""

CONSTRAINTS = (
    Hazard(
        "add-check", "A check on a table with rows", "blocks",
        "Every row is checked under ACCESS EXCLUSIVE.", _CHECK, lambda scene: seen.scanning(scene, "c"),
        Example('op.create_check_constraint("users_age", "users", "age > 0")',
                ("ALTER TABLE users ADD CONSTRAINT users_age CHECK (age > 0)",)),
        Example('op.create_check_constraint("users_age", "users", "age > 0", postgresql_not_valid=True)',
                ("ALTER TABLE users ADD CONSTRAINT users_age CHECK (age > 0) NOT VALID",)),
        rows=(28,),
    ),
    Hazard(
        "not-valid-before-copy", "A NOT VALID constraint before the rows are mended", "breaks",
        "NOT VALID spares the scan, and holds for every UPDATE from that moment on, also for one that leaves the column"
        " alone: every"
        " row that does not satisfy it can no longer be changed. The order is: programs that write it right, then the old"
        " rows, then"
        " NOT VALID, then VALIDATE.",
        "mend the rows first, in batches; the constraint in a later revision", seen.not_valid_first,
        Example('op.create_check_constraint("users_named", "users", "name IS NOT NULL", postgresql_not_valid=True)\n'
                "op.execute(\"UPDATE users SET name = '' WHERE name IS NULL\")",
                ("ALTER TABLE users ADD CONSTRAINT users_named CHECK (name IS NOT NULL) NOT VALID",
                 "UPDATE users SET name = '' WHERE name IS NULL")),
        Example("op.execute(\"UPDATE users SET name = '' WHERE name IS NULL\")\n"
                'op.create_check_constraint("users_named", "users", "name IS NOT NULL", postgresql_not_valid=True)',
                ("UPDATE users SET name = '' WHERE name IS NULL",
                 "ALTER TABLE users ADD CONSTRAINT users_named CHECK (name IS NOT NULL) NOT VALID")),
        rows=(29,),
    ),
    Hazard(
        "validate-under-lock", "A constraint is validated while the table is locked", "blocks",
        "VALIDATE by itself lets everybody work. In the transaction that added the constraint, or took any strong lock"
        " before, that"
        " lock is held through the scan.",
        "VALIDATE in a revision of its own", seen.validate,
        Example('op.create_check_constraint("users_age", "users", "age > 0", postgresql_not_valid=True)\n'
                'op.execute("ALTER TABLE users VALIDATE CONSTRAINT users_age")',
                ("ALTER TABLE users ADD CONSTRAINT users_age CHECK (age > 0) NOT VALID",
                 "ALTER TABLE users VALIDATE CONSTRAINT users_age")),
        Example('op.execute("ALTER TABLE users VALIDATE CONSTRAINT users_old")',
                ("ALTER TABLE users VALIDATE CONSTRAINT users_old",)),
        setup="""CREATE TABLE users (id bigint PRIMARY KEY, age integer);
ALTER TABLE users ADD CONSTRAINT users_old CHECK (age < 200) NOT VALID;""",
        rows=(30,),
    ),
    Hazard(
        "never-validated", "A NOT VALID constraint that nothing validates", "leaves",
        "The planner does not believe it, NOT NULL cannot build on it, and nobody knows whether the old rows satisfy it.",
        'in the next revision:\nop.execute("ALTER TABLE $table VALIDATE CONSTRAINT $name")', seen.never_validated,
        Example('op.create_check_constraint("users_age", "users", "age > 0", postgresql_not_valid=True)',
                ("ALTER TABLE users ADD CONSTRAINT users_age CHECK (age > 0) NOT VALID",)),
        Example('op.create_check_constraint("users_age", "users", "age > 0", postgresql_not_valid=True)\n'
                'op.execute("ALTER TABLE users VALIDATE CONSTRAINT users_age")',
                ("ALTER TABLE users ADD CONSTRAINT users_age CHECK (age > 0) NOT VALID",
                 "ALTER TABLE users VALIDATE CONSTRAINT users_age")),
        rows=(42,),
    ),
    Hazard(
        "add-foreign-key", "A foreign key on a table with rows", "blocks",
        "SHARE ROW EXCLUSIVE on both tables: reads go on, writes wait until every row has been looked up.",
        _KEY, seen.foreign_key,
        Example(_FK_OP + ")", (_FK,)), Example(_FK_OP + ", postgresql_not_valid=True)", (_FK + " NOT VALID",)),
        rows=(31,),
    ),
    Hazard(
        "several-foreign-keys", "Foreign keys to several tables in one transaction", "blocks",
        "Each key locks the table that it refers to against writes, and all of them are held until the end. A program that"
        " takes them"
        " in another order meets a deadlock.",
        "one revision for each key", seen.several_keys,
        Example('op.create_table("links", sa.Column("id", sa.Integer, primary_key=True), sa.Column("u", sa.BigInteger,'
                ' sa.ForeignKey("users.id")), sa.Column("o", sa.BigInteger, sa.ForeignKey("orders.id")))',
                ("CREATE TABLE links (id int PRIMARY KEY, u bigint REFERENCES users, o bigint REFERENCES orders)",)),
        Example('op.create_table("links", sa.Column("id", sa.Integer, primary_key=True), sa.Column("u", sa.BigInteger,'
                ' sa.ForeignKey("users.id")))',
                ("CREATE TABLE links (id int PRIMARY KEY, u bigint REFERENCES users)",)),
        rows=(32,),
    ),
    Hazard(
        "new-table-references", "A new table that refers to one in use", "blocks",
        "The new table is empty, and yet the table that it refers to is locked against writes until the transaction ends,"
        " behind"
        " whatever else is in the revision.",
        "short transactions: the table in a revision of its own", seen.in_new_table,
        Example('op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True), sa.Column("u", sa.BigInteger,'
                ' sa.ForeignKey("users.id")))',
                ("CREATE TABLE notes (id int PRIMARY KEY, u bigint REFERENCES users)",)),
        Example('op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True), sa.Column("u", sa.BigInteger))',
                ("CREATE TABLE notes (id int PRIMARY KEY, u bigint)",)),
        rows=(33,),
    ),
    Hazard(
        "foreign-key-without-index", "A foreign key whose columns have no index", "leaves",
        "Each DELETE from the other table, and each change of its key, reads this table from end to end to look for rows"
        " that refer.",
        'with op.get_context().autocommit_block():\n    op.create_index("ix_$name", "$table", ["$column"],'
        " postgresql_concurrently=True)",
        seen.no_index,
        Example('op.create_foreign_key("users_best", "users", "orders", ["best"], ["id"], postgresql_not_valid=True)',
                ("ALTER TABLE users ADD CONSTRAINT users_best FOREIGN KEY (best) REFERENCES orders (id) NOT VALID",)),
        Example('op.create_foreign_key("orders_user", "orders", "users", ["user_id"], ["id"], postgresql_not_valid=True)',
                (_FK + " NOT VALID",)),
        setup="""CREATE TABLE users (id bigint PRIMARY KEY, best bigint);
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint); CREATE INDEX orders_user_id ON orders (user_id);""",
        rows=(34,),
    ),
    Hazard(
        "foreign-key-types", "A foreign key between different types", "leaves",
        "PostgreSQL lets an integer refer to a bigint: joins convert, and the smaller side overflows years later.",
        "give both columns one type", seen.types,
        Example('op.create_foreign_key("orders_user", "orders", "users", ["user_id"], ["id"], postgresql_not_valid=True)',
                (_FK + " NOT VALID",)),
        Example('op.create_foreign_key("orders_big", "orders", "users", ["big"], ["id"], postgresql_not_valid=True)',
                ("ALTER TABLE orders ADD CONSTRAINT orders_big FOREIGN KEY (big) REFERENCES users (id) NOT VALID",)),
        setup="""CREATE TABLE users (id bigint PRIMARY KEY);
CREATE TABLE orders (id bigint PRIMARY KEY, user_id integer, big bigint);""",
        rows=(27,),
    ),
    Hazard(
        "drop-foreign-key", "A foreign key goes", "blocks",
        "ACCESS EXCLUSIVE on both tables, the one that it refers to included.",
        "a revision of its own, so that both locks are short", keys_gone.drop_key,
        Example('op.drop_constraint("orders_user", "orders")', ("ALTER TABLE orders DROP CONSTRAINT orders_user",)),
        Example('op.execute("ALTER TABLE orders RENAME CONSTRAINT orders_user TO orders_buyer")',
                ("ALTER TABLE orders RENAME CONSTRAINT orders_user TO orders_buyer",)),
        setup=_SETUP_FK, rows=(35,),
    ),
    Hazard(
        "cascade-disappears", "A foreign key that deleted along goes, and none like it comes", "breaks",
        "Programs rely on ON DELETE CASCADE or SET NULL without saying so. Without it rows stay that refer to nothing, or"
        " the DELETE"
        " fails.",
        'make it again with the same action:\nop.create_foreign_key("$name", "$table", "$other", ["$column"], ["id"],'
        ' ondelete="CASCADE", postgresql_not_valid=True)',
        keys_gone.cascade,
        Example('op.drop_constraint("orders_user", "orders")\n'
                'op.create_foreign_key("orders_user", "orders", "users", ["user_id"], ["id"], postgresql_not_valid=True)',
                ("ALTER TABLE orders DROP CONSTRAINT orders_user", _FK + " NOT VALID")),
        Example('op.drop_constraint("orders_user", "orders")\nop.create_foreign_key("orders_user", "orders", "users",'
                ' ["user_id"], ["id"], ondelete="CASCADE", postgresql_not_valid=True)',
                ("ALTER TABLE orders DROP CONSTRAINT orders_user", _FK + " ON DELETE CASCADE NOT VALID")),
        setup=_SETUP_FK, rows=(40,),
    ),
    Hazard(
        "add-unique", "A unique constraint on a table with rows", "blocks",
        "The index is built under ACCESS EXCLUSIVE, and rows that are there twice make the statement fail at its end.", _UNIQUE,
        lambda scene: seen.building(scene, "u"),
        Example('op.create_unique_constraint("users_email", "users", ["email"])',
                ("ALTER TABLE users ADD CONSTRAINT users_email UNIQUE (email)",)),
        Example('op.execute("ALTER TABLE users ADD CONSTRAINT users_name UNIQUE USING INDEX users_name")',
                ("ALTER TABLE users ADD CONSTRAINT users_name UNIQUE USING INDEX users_name",)),
        setup="""CREATE TABLE users (id bigint PRIMARY KEY, name text, email text);
CREATE UNIQUE INDEX users_name ON users (name);""",
        rows=(37,),
    ),
    Hazard(
        "add-primary-key", "A primary key on a table with rows", "blocks",
        "The index is built under ACCESS EXCLUSIVE, and the columns are read for NULLs; with USING INDEX the reading stays"
        " where they"
        " are not NOT NULL yet.",
        _UNIQUE.replace("UNIQUE USING", "PRIMARY KEY USING"),
        lambda scene: (*seen.building(scene, "p"), *seen.scanning(scene, "p")),
        Example('op.create_primary_key("users_pkey", "users", ["id"])',
                ("ALTER TABLE users ADD CONSTRAINT users_pkey PRIMARY KEY (id)",)),
        Example('op.execute("ALTER TABLE users ADD CONSTRAINT users_number PRIMARY KEY USING INDEX users_number")',
                ("ALTER TABLE users ADD CONSTRAINT users_number PRIMARY KEY USING INDEX users_number",)),
        setup="""CREATE TABLE users (id bigint, number bigint NOT NULL);
CREATE UNIQUE INDEX users_number ON users (number);""",
        rows=(38,),
    ),
    Hazard(
        "add-exclude", "An exclusion constraint on a table with rows", "blocks",
        "The index is built under ACCESS EXCLUSIVE, and there is no concurrent way.",
        "a new table with the constraint, filled in batches and then put in the place of the old one",
        lambda scene: seen.building(scene, "x"),
        Example('op.create_exclude_constraint("orders_once", "orders", (sa.column("placed"), "="), using="btree")',
                ("ALTER TABLE orders ADD CONSTRAINT orders_once EXCLUDE (placed WITH =)",)),
        Example('op.execute("CREATE TABLE slots (placed timestamptz, EXCLUDE (placed WITH =))")',
                ("CREATE TABLE slots (placed timestamptz, EXCLUDE (placed WITH =))",)),
        rows=(39,),
    ),
    Hazard(
        "drop-key-in-use", "A primary key or unique constraint goes", "breaks",
        "INSERT ... ON CONFLICT needs it, foreign keys refer to it (with CASCADE they go along, without a word), logical"
        " replication"
        " finds rows by it.",
        "the new key first, built CONCURRENTLY; then the old one", keys_gone.key_in_use,
        Example('op.execute("ALTER TABLE users DROP CONSTRAINT users_pkey CASCADE")',
                ("ALTER TABLE users DROP CONSTRAINT users_pkey CASCADE",)),
        Example('op.drop_constraint("orders_user", "orders")', ("ALTER TABLE orders DROP CONSTRAINT orders_user",)),
        setup=_SETUP_FK, rows=(40,),
    ),
)  # fmt: skip
