"""Databases in odd encodings, with odd search paths, schemas and names: it just works."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from psycopg import sql
from sqlalchemy.engine import URL

from tests.project import Project
from tests.stops import assert_done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster import Cluster


@pytest.fixture
def make_role(cluster: Cluster) -> Iterator[Callable[[str], str]]:
    """Make roles that may log in; they go with the test, with what they own."""
    made: list[str] = []

    def make(name: str) -> str:
        with cluster.connect() as connection:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        made.append(name)
        return name

    yield make
    with cluster.connect() as connection:
        databases = [row[0] for row in connection.execute("SELECT datname FROM pg_database WHERE datallowconn")]
    for database in databases:
        with cluster.connect(database) as connection:
            for name in made:
                connection.execute(sql.SQL("REASSIGN OWNED BY {} TO postgres").format(sql.Identifier(name)))
                connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
    with cluster.connect() as connection:
        for name in made:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def lines_after(text: str, start: str, kinds: tuple[str, ...]) -> list[str]:
    """Return the SQL statements that a message prints, whatever line ends the terminal put into them."""
    said = " ".join(text.split())
    said = said[said.index(start) :]
    return re.findall(rf"(?:{'|'.join(kinds)}) [^;]*;", said)


@pytest.mark.cases("LATIN1")
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_in_another_encoding_is_deployed_to_and_its_journal_says_what_it_can(
    encoding: str, cluster: Cluster, tmp_path: Path
) -> None:
    database = f"enc_{encoding.lower()}"
    with cluster.connect() as connection:
        making = "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C'"
        connection.execute(sql.SQL(making).format(sql.Identifier(database), sql.Literal(encoding)))
    try:
        suffix = "?client_encoding=utf8" if encoding == "SQL_ASCII" else ""  # without it SQLAlchemy itself gives up
        project = Project.create(tmp_path / "app", cluster.url(database) + suffix, settings="environment = production")
        project.revision("a4", "a3", "crème \u26a1 漢字", 'op.add_column("users", sa.Column("prénom", sa.Text))')
        assert_done(project.run("safe-upgrade", "a1"), "at a1")
        assert_done(project.run("safe-upgrade"), "at a4", "Backup")
        assert_done(project.run("safe-upgrade"), "nothing pending")
    finally:
        cluster.drop(database)


def test_a_schema_made_by_the_printed_line_is_enough_for_the_journal(cluster, make_database, tmp_path, make_role):
    role = make_role("r1")
    database = make_database()
    project = Project.create(tmp_path / "app", cluster.url(database, user=role))
    done = project.run("safe-upgrade")
    lines = lines_after(done.stderr, "One of these", ("GRANT", "CREATE SCHEMA"))
    with cluster.connect(database) as connection:
        connection.execute(lines[1])
        connection.execute("GRANT CREATE ON SCHEMA public TO r1")
    assert_done(project.run("safe-upgrade"), "at a3")


def test_a_table_called_pg_class_ahead_in_the_search_path_misleads_nobody(project, cluster, database):
    with cluster.connect(database) as connection:
        connection.execute("CREATE SCHEMA odd")
        connection.execute("CREATE TABLE odd.pg_class (relkind text)")
        connection.execute(f"ALTER DATABASE {database} SET search_path = odd, pg_catalog, public")
    project.settings("environment = production")
    assert_done(project.run("safe-upgrade", "a1"), "at a1")


def test_a_colon_in_the_names_of_a_database_and_a_schema_is_no_parameter(cluster, make_database, tmp_path):
    database = make_database("a :b c")
    at = URL.create("postgresql+psycopg", "postgres", host="127.0.0.1", port=cluster.port, database=database)
    project = Project.create(tmp_path / "app", at.render_as_string(), settings="schema = x :y z")
    assert_done(project.run("safe-upgrade"), "at a3")
