"""Two developers of one change: one pushed it, one upgraded to it; both go through its contract and a branch switch."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.comparison import compare
from tests.models_project import ENV_WITH_REWRITER, ModelsProject
from tests.test_milestone import AFTER, PUSH, ROWS, V1, V2, rows, version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from alembic_safe.inspecting.catalog_records import Catalog
    from tests.cluster import Cluster

BEFORE = [(1, "ada", "+1", "good"), (2, "bob", None, "bad")]
NOW = "SELECT id, handle, mood::text, plan FROM users ORDER BY id"
THEN = "SELECT id, nick, fax, mood::text FROM users ORDER BY id"


class Two:
    """Two databases of one project, and two branches of its files."""

    def __init__(self, app: ModelsProject, other: ModelsProject, cluster: Cluster, databases: tuple[str, str]) -> None:
        self.pushed, self.upgraded = app, other
        self.cluster = cluster
        self.databases = databases
        self.first = app.revision_of(app.files[0])
        self.kept = app.folder.parent / "feature"
        self.main = app.folder.parent / "main"
        shutil.copytree(app.folder / "migrations", self.main)

    def leave(self) -> None:
        """Check the main branch out."""
        self._switch(self.kept, self.main)
        self.pushed.models(V1)

    def come_back(self) -> None:
        self._switch(self.main, self.kept)
        self.pushed.models(V2)

    def _switch(self, away: Path, there: Path) -> None:
        here = self.pushed.folder / "migrations"
        shutil.rmtree(away, ignore_errors=True)
        here.rename(away)
        shutil.copytree(there, here, ignore=shutil.ignore_patterns("__pycache__"))

    def contract(self) -> None:
        """Bring the contract into the chain, and both databases to it."""
        self.pushed.run("safe-contract", check=0)
        for one in (self.pushed, self.upgraded):
            one.run("upgrade", "head", check=0)

    def rows(self, query: str) -> list[list]:
        return [rows(self.cluster, database, query) for database in self.databases]

    def write(self, sql: str) -> None:
        for database in self.databases:
            with self.cluster.connect(database) as connection:
                connection.execute(sql)

    @property
    def catalogs(self) -> list[Catalog]:
        found = []
        for database in self.databases:
            with self.cluster.connect(database) as connection:
                found.append(read_catalog(connection, leave_out=frozenset({"alembic_version"})))
        return found


@pytest.fixture
def two(tmp_path: Path, cluster: Cluster, make_database: Callable[..., str]) -> Two:
    database = make_database()
    app = ModelsProject.make(tmp_path / "app", cluster.url(database), V1, env_py=ENV_WITH_REWRITER)
    app.run("revision", "--autogenerate", "-m", "users", check=0)
    app.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        connection.execute(ROWS)
    other = make_database(template=database)
    return Two(app, app.on(cluster.url(other)), cluster, (database, other))


@pytest.mark.parametrize(
    "contract_first",
    [False, pytest.param(True, marks=pytest.mark.long)],
    ids=["switched, then contracted", "contracted, then switched"],
)
def test_who_pushed_and_who_upgraded_both_get_through_contract_and_branch_switch(
    two: Two, contract_first: bool
) -> None:
    two.pushed.models(V2)
    two.pushed.run(*PUSH, check=0)
    two.pushed.run("milestone", "-m", "handles and plans", check=0)
    two.upgraded.run("upgrade", "head", check=0)
    if contract_first:
        two.contract()
    assert two.rows(NOW) == [AFTER, AFTER]

    two.upgraded.run(
        "downgrade", two.first, check=0
    )  # with the files that lead back; the other one has switched already
    two.leave()
    (at,) = version(two.cluster, two.databases[0])
    done = two.pushed.run("dev-push", "--leave", at, check=0)
    assert "matches the models" in done.stdout
    two.upgraded.run("dev-push", check=0)
    assert two.rows(THEN) == [BEFORE, BEFORE]
    assert "no revision was needed" in two.pushed.run("milestone", "-m", "nothing", check=0).stdout
    two.write("INSERT INTO users (id, nick, fax, mood) VALUES (3, 'eve', '+3', 'good')")

    two.come_back()
    for one in (two.pushed, two.upgraded):
        one.run("upgrade", "head", check=0)
    if not contract_first:
        two.contract()
    now = [*AFTER, (3, "eve", "good", "free")]
    assert two.rows(NOW) == [now, now]
    for one in (two.pushed, two.upgraded):
        one.run("check", check=0)
        assert "already matches the models" in one.run("dev-push", check=0).stdout
    one_catalog, other = two.catalogs
    assert [str(difference) for difference in compare(one_catalog, other)] == []


def test_what_was_pushed_is_not_taken_back_by_an_expand_that_never_ran(two: Two) -> None:
    two.pushed.models(V2)
    two.pushed.run(*PUSH, check=0)
    two.pushed.run("milestone", "-m", "handles and plans", check=0)
    stopped = two.pushed.run("downgrade", two.first, check=3)
    assert "Retiring users.handle: nick, which should have its values, is not there" in " ".join(stopped.stderr.split())
    assert rows(two.cluster, two.databases[0], NOW) == AFTER
    two.pushed.run("safe-contract", check=0)  # as the message says
    two.pushed.run("upgrade", "head", check=0)
    two.pushed.run("downgrade", two.first, check=0)
    assert rows(two.cluster, two.databases[0], THEN) == BEFORE
