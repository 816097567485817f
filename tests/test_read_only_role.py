"""Do the commands that only look need no more than the right to look?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic import command
from psycopg import sql

from tests.guard_targets import Made
from tests.test_adopt import TEMPLATE, versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster import Cluster
    from tests.project import Project


@pytest.fixture
def made(cluster: Cluster, database: str) -> Made:
    return Made(cluster, database)


@pytest.fixture
def reader(project: Project, made: Made, cluster: Cluster) -> Iterator[Project]:
    """The project, whose role can read everything and write nothing; its database was changed by hand."""
    (project.folder / "migrations" / "script.py.mako").write_text(TEMPLATE)
    command.upgrade(project.config, "head")
    name = f"reader_{made.name}"
    with made.connect() as c:
        c.execute("CREATE INDEX by_hand ON users (name)")
        c.execute(sql.SQL("CREATE ROLE {0} LOGIN IN ROLE pg_read_all_data; REVOKE CREATE ON SCHEMA public FROM PUBLIC").format(
            sql.Identifier(name)))  # fmt: skip
        c.execute(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(sql.Identifier(name)))
    ini = project.folder / "alembic.ini"
    ini.write_text(ini.read_text().replace("postgres@127.0.0.1", f"{name}@127.0.0.1"))
    yield project
    with cluster.connect() as c:
        c.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("safe-diff", "--from", "head", "--to", "database"), 0, "+ index public.by_hand"),
        pytest.param(
            ("safe-diff", "--from", "head", "--to", "database", "--ops"), 0, "create_index", marks=pytest.mark.long
        ),
        pytest.param(("safe-status", "--drift"), 4, "DROP INDEX", marks=pytest.mark.long),
        (("safe-adopt", "-m", "hotfix", "--dry-run"), 0, "CREATE INDEX by_hand"),
        pytest.param(("safe-baseline", "--dry-run"), 4, "+ index public.by_hand", marks=pytest.mark.long),
    ],
)
def test_a_role_that_may_only_read_is_enough(
    words: tuple[str, ...], code: int, said: str, reader: Project, made: Made
) -> None:
    before, names = made.state(), versions(reader)
    begin = made.log_everything()
    done = reader.run(*words)
    assert (done.returncode, said in done.stdout) == (code, True), done.stdout + done.stderr
    assert made.writes_since(begin) == []
    assert (made.state(), versions(reader)) == (before, names)
    assert "Traceback" not in done.stderr
