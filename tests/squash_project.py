"""Projects with a history that is worth squashing, and what their databases are afterwards."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import alembic

from tests.project import Project

if TYPE_CHECKING:
    from tests.cluster import Cluster

_RESTRICT = re.compile(r"^\\(un)?restrict .*$", re.MULTILINE)


def with_template(project: Project) -> Project:
    """Give a project Alembic's own template of a revision."""
    template = Path(alembic.__file__).parent / "templates" / "generic" / "script.py.mako"
    shutil.copyfile(template, project.folder / "migrations" / "script.py.mako")
    return project


def rich(folder: Path, url: str) -> Project:
    """Write a history with most of what PostgreSQL has, under names that need care."""
    project = with_template(Project.create(folder, url, plain=False))
    add = project.revision
    back = ["DROP FUNCTION slug(text)", "DROP SEQUENCE ticket_numbers", 'DROP SCHEMA "Audit: 50%"', "DROP DOMAIN positive",
            "DROP TYPE mood"]  # fmt: skip
    add("r01", None, "types", r'''
op.execute("CREATE TYPE mood AS ENUM ('good', 'bad')")
op.execute("CREATE DOMAIN positive AS integer CHECK (VALUE > 0)")
op.execute("CREATE SCHEMA \"Audit: 50%\"")
op.execute("CREATE SEQUENCE ticket_numbers START 100 INCREMENT 5")
op.execute("""CREATE FUNCTION slug(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT lower($1) || '\\:x\\d' $$""")
''', "\n".join(f"op.execute({one!r})" for one in back))  # fmt: skip
    add("r02", "r01", "tables", """
op.create_table("people", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(40), nullable=False),
    sa.Column("mood", sa.dialects.postgresql.ENUM(name="mood", create_type=False)), sa.Column("status", sa.String(10)),
    sa.CheckConstraint("status IN ('new', 'old')", name="ck_status"), sa.Column("boss_id", sa.Integer))
op.create_foreign_key("fk_boss", "people", "people", ["boss_id"], ["id"])
op.create_table("Order", sa.Column("Key", sa.BigInteger, sa.Identity(always=True, start=7), primary_key=True),
    sa.Column("person", sa.Integer, sa.ForeignKey("people.id", ondelete="CASCADE", name="fk_person"), nullable=False),
    sa.Column("number", sa.Integer, server_default=sa.text("nextval('ticket_numbers')")),
    sa.Column("price", sa.Numeric(10, 2), server_default="0.50"), sa.Column("tags", sa.ARRAY(sa.Text())),
    sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now()), comment="what was ordered: 50% off")
op.create_index("ix_slug", "people", [sa.text("slug(name)")])
op.create_index("ix_open", "Order", ["person", sa.text("price DESC")], unique=True,
    postgresql_where=sa.text("price > 0"), postgresql_include=["number"])
""", "op.drop_table('Order'); op.drop_table('people')")  # fmt: skip
    add("r03", "r02", "rows", """
op.execute("INSERT INTO people (name, status) VALUES ('Ada: the first', 'new'), ('100% Bob', 'old'), ('O''Neil', NULL)")
op.execute("UPDATE people SET boss_id = 1 WHERE id > 1")
op.execute("INSERT INTO \\"Order\\" (person, tags) VALUES (2, '{a,b}')")
""", "op.execute('DELETE FROM \"Order\"'); op.execute('DELETE FROM people')")  # fmt: skip
    add("r04", "r03", "a table that comes and goes", 'op.create_table("gone", sa.Column("id", sa.Integer))\n'
        'op.alter_column("people", "name", type_=sa.Text())',
        'op.drop_table("gone")')  # fmt: skip
    add("r05", "r04", "views and triggers", """
op.drop_table("gone")
op.execute("CREATE VIEW happy AS SELECT id, name FROM people WHERE mood = 'good'")
op.execute("CREATE VIEW happy_orders AS SELECT h.name, o.price FROM happy h JOIN \\"Order\\" o ON o.person = h.id")
op.execute("CREATE MATERIALIZED VIEW totals AS SELECT person, sum(price) AS total FROM \\"Order\\" GROUP BY person")
op.execute("CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS "
  "$$ BEGIN NEW.name := trim(NEW.name); RETURN NEW; END $$")
op.execute("CREATE TRIGGER \\"Trim\\" BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION touched()")
op.execute("ALTER TABLE people DISABLE TRIGGER \\"Trim\\"")
""", """
op.execute('DROP TRIGGER "Trim" ON people'); op.execute("DROP FUNCTION touched()")
op.execute("DROP MATERIALIZED VIEW totals"); op.execute("DROP VIEW happy_orders"); op.execute("DROP VIEW happy")
op.create_table("gone", sa.Column("id", sa.Integer))
""")  # fmt: skip
    add("r06", "r05", "more", """
op.add_column("people", sa.Column("age", sa.SmallInteger, nullable=True, comment="in years"))
op.execute("ALTER TYPE mood ADD VALUE 'fair' BEFORE 'bad'")
op.execute("GRANT SELECT (id, name) ON people TO PUBLIC")
op.execute("ALTER TABLE \\"Order\\" ENABLE ROW LEVEL SECURITY")
op.execute("CREATE POLICY mine ON \\"Order\\" FOR SELECT USING (person > 0)")
op.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC")
op.execute("CREATE TABLE logs (at date NOT NULL, what text CONSTRAINT \\"What: 5%\\" NOT NULL) PARTITION BY RANGE (at)")
op.execute("CREATE TABLE logs_2026 PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")
op.execute("CREATE TABLE logs_2027 (at date CONSTRAINT \\"Own\\" NOT NULL, what text NOT NULL)")
op.execute("ALTER TABLE logs ATTACH PARTITION logs_2027 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')")
op.execute("CREATE TABLE \\"Audit: 50%\\".parent (id int CONSTRAINT \\"a.b\\" NOT NULL)")
op.execute("CREATE TABLE notes (id int, at date NOT NULL) INHERITS (\\"Audit: 50%\\".parent)")
op.execute("CREATE TABLE \\"Audit: 50%\\".\\"t.x\\" (LIKE people INCLUDING ALL)")
""", """
op.execute('DROP TABLE "Audit: 50%"."t.x"'); op.execute("DROP TABLE logs"); op.execute("DROP TABLE notes")
op.execute('DROP TABLE "Audit: 50%".parent')
op.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM PUBLIC")
op.execute('DROP POLICY mine ON "Order"'); op.execute('ALTER TABLE "Order" DISABLE ROW LEVEL SECURITY')
op.execute("REVOKE SELECT (id, name) ON people FROM PUBLIC"); op.drop_column("people", "age")
""")  # fmt: skip
    return project


def dump(cluster: Cluster, database: str) -> str:
    """Return what pg_dump says of a schema; only the random lines against injection are taken out."""
    done = subprocess.run(
        [cluster.bin / "pg_dump", "--schema-only", "-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres", database],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return _RESTRICT.sub("", done.stdout)


def rows(cluster: Cluster, database: str, query: str) -> list[tuple[object, ...]]:
    """Return what a query finds."""
    with cluster.connect(database) as connection:
        return connection.execute(query).fetchall()


def on(project: Project, url: str) -> Project:
    """Let a project work on another database."""
    ini = project.folder / "alembic.ini"
    escaped = url.replace("%", "%%")
    ini.write_text(
        re.sub(r"^sqlalchemy\.url = .*$", lambda _: f"sqlalchemy.url = {escaped}", ini.read_text(), flags=re.MULTILINE)
    )
    return Project(project.folder, url, dict(project.environ))


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, bytecode aside."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def git(project: Project, *words: str) -> str:
    """Run git in a project's folder; return what it says."""
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", *words],
        cwd=project.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commit(project: Project, message: str) -> None:
    """Commit everything in a project's folder."""
    (project.folder / ".gitignore").write_text("__pycache__\n")
    git(project, "add", "--all")
    git(project, "commit", "-q", "-m", message)
