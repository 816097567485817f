"""What a deploy role needs: printed as SQL, run on a real server, and then tried by that role."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import URL

from alembic_safe.database.grants import missing_grants, script_of
from alembic_safe.errors import WrongUsage
from tests.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster import Cluster

HOSTILE = [
    "deploy",
    'De"ploy; DROP TABLE users; --',
    "d%s %(x)s :y\\n",
    "line\nDROP TABLE users; --",
    "carriage\rDROP TABLE users; --",
    "ü" * 31,
    "user",
]


@pytest.fixture
def make_role(cluster: Cluster) -> Iterator[Callable[[str], str]]:
    """Make roles that go with the test, with everything they own."""
    made: list[str] = []

    def make(name: str, create: bool = True) -> str:
        made.append(name)
        if create:
            with cluster.connect() as c:
                c.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        return name

    yield make
    with cluster.connect() as c:
        for (database,) in c.execute("SELECT datname FROM pg_database WHERE datallowconn").fetchall():
            with cluster.connect(database) as inside:
                for name in made:
                    if inside.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchone() is not None:
                        inside.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(name)))
        for name in made:
            c.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def url_of(cluster: Cluster, database: str, role: str = "postgres") -> str:
    url = URL.create("postgresql+psycopg", role, host="127.0.0.1", port=cluster.port, database=database)
    return url.render_as_string(hide_password=False)


def grants_of(cluster: Cluster, database: str, role: str) -> str:
    engine = create_engine(url_of(cluster, database), poolclass=NullPool)
    with engine.connect() as connection:
        return script_of(missing_grants(connection, role))


def statements(text: str) -> list[str]:
    """The lines that psql would run, as far as a line says it; names with line ends are looked at by the server."""
    return [line for line in text.splitlines() if line and not line.startswith("--")]


def psql(cluster: Cluster, database: str, text: str) -> None:
    """Run a script as psql does with a file: all of it, stopping at the first error."""
    with cluster.connect(database) as c:
        c.execute(text)


def dump(cluster: Cluster, database: str, role: str, to: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [cluster.bin / "pg_dump", "-h", "127.0.0.1", "-p", str(cluster.port), "-U", role, "-d", database, "-Fc", "-f", to],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def shop_of(cluster: Cluster, database: str, owner: str) -> None:
    """Two schemas, a type, a view, a function, a serial column, made by one role."""
    with cluster.connect(database) as c:
        c.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(owner)))
        c.execute('CREATE SCHEMA "Odd \'schema"')
        c.execute("CREATE TYPE colour AS ENUM ('red'); CREATE DOMAIN amount AS int CHECK (VALUE > 0)")
        c.execute('CREATE TABLE "Odd \'schema"."Ta""ble" (id serial PRIMARY KEY, c colour)')
        c.execute("CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, total amount)")
        c.execute("CREATE VIEW big AS SELECT * FROM orders WHERE total > 100")
        c.execute("CREATE FUNCTION twice(x int, y colour) RETURNS int LANGUAGE sql AS 'SELECT 2 * x'")
        c.execute("CREATE FUNCTION elevated() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'")
        c.execute("INSERT INTO orders (total) VALUES (7), (700)")


@pytest.mark.parametrize("role", [HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[3]])
def test_a_role_with_exactly_these_grants_deploys_and_dumps(
    cluster: Cluster, project: Project, database: str, make_role: Callable[..., str], tmp_path: Path, role: str
) -> None:
    project.run("upgrade", "a2", check=0)
    make_role(role)
    deploying = Project(project.folder, url_of(cluster, database, role))
    ini = project.folder / "alembic.ini"
    ini.write_text(ini.read_text().replace(project.url, deploying.url.replace("%", "%%")))

    before = deploying.run("upgrade", "head")
    assert before.returncode != 0
    assert "permission denied" in before.stderr or "must be owner" in before.stderr
    assert dump(cluster, database, role, tmp_path / "no.dump").returncode != 0

    psql(cluster, database, grants_of(cluster, database, role))

    deploying.run("upgrade", "head", check=0)
    done = dump(cluster, database, role, tmp_path / "yes.dump")
    assert done.returncode == 0, done.stderr
    with cluster.connect(database) as c:
        assert c.execute("SELECT version_num FROM alembic_version").fetchall() == [("a3",)]
    with cluster.connect(database, user=role) as c:
        c.execute("CREATE SCHEMA alembic_safe")
        c.execute("CREATE TABLE alembic_safe.journal (id int PRIMARY KEY)")


@pytest.mark.parametrize("role", HOSTILE)
def test_what_is_granted_is_not_printed_again(
    cluster: Cluster, database: str, make_role: Callable[..., str], role: str
) -> None:
    shop_of(cluster, database, "postgres")
    make_role(role, create=False)
    first = grants_of(cluster, database, role)
    assert "CREATE ROLE" in first
    psql(cluster, database, first)
    with cluster.connect(database) as c:
        c.execute(sql.SQL("CREATE SCHEMA alembic_safe AUTHORIZATION {}").format(sql.Identifier(role)))
    again = grants_of(cluster, database, role)
    assert statements(again) == [], again


def test_what_a_superuser_owns_changes_its_owner_and_what_runs_with_its_rights_does_not(
    cluster: Cluster, database: str, make_role: Callable[..., str]
) -> None:
    shop_of(cluster, database, "postgres")
    role = make_role("deploy_b")
    text = grants_of(cluster, database, role)
    assert 'GRANT "postgres"' not in text
    assert "elevated" not in text
    assert "1 function(s) of a superuser" in text
    psql(cluster, database, text)
    with cluster.connect(database) as c:
        owners = dict(c.execute(
            "SELECT identity, pg_get_userbyid(owner) FROM (SELECT 'pg_class'::regclass AS class, oid, relowner AS owner,"
            " relnamespace AS nsp FROM pg_class WHERE relkind IN ('r', 'v', 'S') UNION ALL SELECT 'pg_proc'::regclass,"
            " oid, proowner, pronamespace FROM pg_proc UNION ALL SELECT 'pg_type'::regclass, oid, typowner, typnamespace"
            " FROM pg_type WHERE typtype IN ('e', 'd')) x, pg_identify_object(class, oid, 0) WHERE nsp::regnamespace::text"
            " NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
        ).fetchall())  # fmt: skip
    assert owners.pop("public.elevated()") == "postgres"
    assert len(owners) == 8  # two tables, two sequences with them, a view, a function, an enum, a domain
    assert set(owners.values()) == {role}


def test_what_another_role_owns_is_reached_through_membership_and_stays_open_to_it(
    cluster: Cluster, database: str, make_role: Callable[..., str]
) -> None:
    owner, role = make_role('app "owner"'), make_role("deploy_c")
    with cluster.connect(database) as c:
        c.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(database), sql.Identifier(owner)))
        c.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(sql.Identifier(owner)))
    shop_of(cluster, database, owner)
    text = grants_of(cluster, database, role)
    assert "OWNER TO" not in text
    psql(cluster, database, text)
    with cluster.connect(database, user=role) as c:
        c.execute("ALTER TABLE orders ADD COLUMN note text")
        c.execute("CREATE TABLE later (id int PRIMARY KEY)")
    with cluster.connect(database, user=owner) as c:
        c.execute("INSERT INTO later VALUES (1)")
        assert c.execute("SELECT count(*) FROM later").fetchone() == (1,)


def test_roles_that_read_everything_today_are_offered_a_line_that_works(
    cluster: Cluster, database: str, make_role: Callable[..., str]
) -> None:
    shop_of(cluster, database, "postgres")
    role, reader = make_role("deploy_d"), make_role("re\nader")
    with cluster.connect(database) as c:
        c.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(sql.Identifier(reader)))
    psql(cluster, database, text := grants_of(cluster, database, role))
    offered = re.search(r"--   (ALTER DEFAULT PRIVILEGES .*)\n--   (.*;)", text)
    assert offered, text
    with cluster.connect(database, user=role) as c, cluster.connect(database, user=reader) as other:
        c.execute("CREATE TABLE first (id int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute("SELECT * FROM first")
    psql(cluster, database, "\n".join(offered.groups()))
    with cluster.connect(database, user=role) as c, cluster.connect(database, user=reader) as other:
        c.execute("CREATE TABLE second (id int)")
        assert other.execute("SELECT * FROM second").fetchall() == []


def test_forced_row_security_and_large_objects_are_dumped_too(
    cluster: Cluster, database: str, make_role: Callable[..., str], tmp_path: Path
) -> None:
    role = make_role("deploy_e")
    with cluster.connect(database) as c:
        c.execute("CREATE TABLE secret (id int); ALTER TABLE secret ENABLE ROW LEVEL SECURITY")
        c.execute("ALTER TABLE secret FORCE ROW LEVEL SECURITY")
        c.execute("SELECT lo_from_bytea(0, 'x')")
    text = grants_of(cluster, database, role)
    with_neither = "\n".join(
        line for line in text.splitlines() if "BYPASSRLS" not in line and "LARGE OBJECT" not in line
    )
    psql(cluster, database, with_neither)
    refused = dump(cluster, database, role, tmp_path / "no.dump")
    assert refused.returncode != 0
    psql(cluster, database, grants_of(cluster, database, role))
    done = dump(cluster, database, role, tmp_path / "yes.dump")
    assert done.returncode == 0, done.stderr


def test_a_blockers_query_can_be_seen(cluster: Cluster, database: str, make_role: Callable[..., str]) -> None:
    role = make_role("deploy_f")
    with cluster.connect(database) as holder, cluster.connect(database, user=role) as c:
        holder.execute("SELECT 'the query that blocks'")
        pid = holder.info.backend_pid
        asked = "SELECT query FROM pg_stat_activity WHERE pid = %s"
        assert c.execute(asked, [pid]).fetchone() == ("<insufficient privilege>",)
        psql(cluster, database, grants_of(cluster, database, role))
        assert c.execute(asked, [pid]).fetchone() == ("SELECT 'the query that blocks'",)


def test_a_superuser_lacks_nothing(cluster: Cluster, database: str) -> None:
    text = grants_of(cluster, database, "postgres")
    assert statements(text) == []
    assert "is a superuser" in text


@pytest.mark.parametrize("name", ["", "x" * 64, "ü" * 32, "a\0b", "public", "none", "pg_x"])
def test_a_name_that_no_role_can_have_is_refused(cluster: Cluster, database: str, name: str) -> None:
    with pytest.raises(WrongUsage) as error:
        grants_of(cluster, database, name)
    assert error.value.exit_code == 2
    assert os.linesep not in error.value.summary
