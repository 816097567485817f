"""What people change by hand on a production database, as data: twenty kinds and more."""

from __future__ import annotations

from dataclasses import dataclass

ROLE = "drift_reader"

SCHEMA = """
op.execute("CREATE TYPE mood AS ENUM ('sad', 'ok')")
op.execute("CREATE TABLE shops (id integer PRIMARY KEY, name varchar(40) NOT NULL DEFAULT 'new', mood mood,"
           " price numeric(8, 2) CONSTRAINT price_is_positive CHECK (price > 0), owner_id integer, changed timestamptz)")
op.execute("CREATE TABLE owners (id integer PRIMARY KEY, mail text)")
op.execute("ALTER TABLE shops ADD CONSTRAINT shops_owner_fk FOREIGN KEY (owner_id) REFERENCES owners (id)")
op.execute("CREATE INDEX shops_name ON shops (name)")
op.execute("CREATE SEQUENCE invoices INCREMENT 1")
op.execute("CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS"
           " 'BEGIN NEW.changed = now(); RETURN NEW; END'")
op.execute("CREATE TRIGGER shops_touched BEFORE UPDATE ON shops FOR EACH ROW EXECUTE FUNCTION touched()")
op.execute("CREATE VIEW cheap AS SELECT id, name FROM shops WHERE price < 10")
op.execute("CREATE MATERIALIZED VIEW names AS SELECT name FROM shops")
op.execute("CREATE POLICY own ON owners USING (id > 0)")
op.execute("COMMENT ON TABLE shops IS 'where we sell'")
"""
"""The body of a revision: what the edits find."""


@dataclass(frozen=True)
class HandEdit:
    """One thing that somebody does to a database.

    :param name: what it is, in a word or two.
    :param sql: how it is done.
    :param object: the object that a report must name.
    """

    name: str
    sql: str
    object: str


EDITS = (
    HandEdit("added index", "CREATE INDEX shops_price ON shops (price)", "index public.shops_price"),
    HandEdit("dropped index", "DROP INDEX shops_name", "index public.shops_name"),
    HandEdit("changed index", "DROP INDEX shops_name; CREATE INDEX shops_name ON shops (lower(name))",
             "index public.shops_name"),
    HandEdit("dropped default", "ALTER TABLE shops ALTER name DROP DEFAULT", "column public.shops.name"),
    HandEdit("changed default", "ALTER TABLE shops ALTER name SET DEFAULT 'old: 100%'", "column public.shops.name"),
    HandEdit("dropped NOT NULL", "ALTER TABLE shops ALTER name DROP NOT NULL", "column public.shops.name"),
    HandEdit("widened type", "ALTER TABLE owners ALTER mail TYPE varchar(200)", "column public.owners.mail"),
    HandEdit("added column", "ALTER TABLE owners ADD phone text", "column public.owners.phone"),
    HandEdit("added table", "CREATE TABLE backup_of_owners (id int)", "table public.backup_of_owners"),
    HandEdit("changed function", "CREATE OR REPLACE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS"
             " 'BEGIN RETURN NEW; END'", "function public.touched()"),
    HandEdit("added function", "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'", "function public.one()"),
    HandEdit("granted right", f"GRANT SELECT ON shops TO {ROLE}", "table public.shops"),
    HandEdit("granted column", f"GRANT UPDATE (mail) ON owners TO {ROLE}", "column public.owners.mail"),
    HandEdit("default rights", f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {ROLE}",
             "default privileges"),
    HandEdit("disabled trigger", "ALTER TABLE shops DISABLE TRIGGER shops_touched",
             "trigger shops_touched on public.shops"),
    HandEdit("dropped trigger", "DROP TRIGGER shops_touched ON shops", "trigger shops_touched on public.shops"),
    HandEdit("dropped check", "ALTER TABLE shops DROP CONSTRAINT price_is_positive",
             "constraint price_is_positive on public.shops"),
    HandEdit("changed check", "ALTER TABLE shops DROP CONSTRAINT price_is_positive, ADD CONSTRAINT price_is_positive"
             " CHECK (price >= 0)", "constraint price_is_positive on public.shops"),
    HandEdit("dropped foreign key", "ALTER TABLE shops DROP CONSTRAINT shops_owner_fk",
             "constraint shops_owner_fk on public.shops"),
    HandEdit("added unique", "ALTER TABLE owners ADD CONSTRAINT one_mail UNIQUE (mail)",
             "constraint one_mail on public.owners"),
    HandEdit("changed view", "CREATE OR REPLACE VIEW cheap AS SELECT id, name FROM shops WHERE price < 20",
             "view public.cheap"),
    HandEdit("dropped materialized view", "DROP MATERIALIZED VIEW names", "materialized view public.names"),
    HandEdit("row security", "ALTER TABLE owners ENABLE ROW LEVEL SECURITY", "table public.owners"),
    HandEdit("changed policy", "ALTER POLICY own ON owners USING (true)", "policy own on public.owners"),
    HandEdit("changed sequence", "ALTER SEQUENCE invoices INCREMENT 10", "sequence public.invoices"),
    HandEdit("table options", "ALTER TABLE shops SET (autovacuum_vacuum_scale_factor = 0.01)", "table public.shops"),
    HandEdit("changed comment", "COMMENT ON TABLE shops IS 'sold'", "table public.shops"),
    HandEdit("changed owner", f"ALTER TABLE owners OWNER TO {ROLE}", "table public.owners"),
    HandEdit("replica identity", "ALTER TABLE shops REPLICA IDENTITY FULL", "table public.shops"),
    HandEdit("added publication", "CREATE PUBLICATION everything FOR TABLE shops", "publication everything"),
    HandEdit("storage", "ALTER TABLE owners ALTER mail SET STORAGE EXTERNAL", "column public.owners.mail"),
    HandEdit("statistics", "CREATE STATISTICS together (ndistinct) ON name, price FROM shops", "statistics public.together"),
    HandEdit("new schema", "CREATE SCHEMA scratch", "schema scratch"),
)  # fmt: skip
