"""`alembic safe-purge`: what it lists, what it asks for, and what is gone afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from alembic import command

from alembic_safe import commands
from alembic_safe.inspecting.retired import read_memory, read_retired

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from tests.cluster import Cluster
    from tests.project import Project

RETIRE = 'op.retire_column("users", sa.Column("name", sa.Text()))'
RESTORE = 'op.restore_column("users", sa.Column("name", sa.Text()))'


@pytest.fixture
def engine(project: Project) -> Engine:
    from sqlalchemy import NullPool, create_engine

    return create_engine(project.url, poolclass=NullPool)


@pytest.fixture
def retired(project: Project, cluster: Cluster, database: str) -> Project:
    """A project whose last revision has retired users.name, with two values."""
    project.revision("a4", "a3", "retire", RETIRE, RESTORE)
    command.upgrade(project.config, "a3")
    with cluster.connect(database) as c:
        c.execute("INSERT INTO users (id, name) VALUES (1, 'Ada'), (2, 'Bob'), (3, NULL)")
    command.upgrade(project.config, "head")
    return project


@dataclass
class Done:
    """How one command ended."""

    stdout: str
    stderr: str


@pytest.fixture
def purge(retired: Project, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run the command inside this process, and hold its exit code to the one that is expected."""

    def run(*args: str, check: int, verb: str = "safe-purge") -> Done:
        capsys.readouterr()
        code = commands.run(verb, list(args), retired.config)
        out, err = capsys.readouterr()
        assert code == check, f"exit {code}\n{out}\n{err}"
        return Done(out, err)

    return run


def kept(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return [r.kept for r in read_retired(connection)]


def test_without_a_choice_it_is_wrong_usage_and_names_the_way_to_look(
    purge: Callable[..., Done], engine: Engine
) -> None:
    done = purge(check=2)

    assert "alembic safe-purge --older-than 0s --dry-run" in done.stderr
    assert kept(engine) == ["users_name"]


def test_a_dry_run_lists_and_destroys_nothing(purge: Callable[..., Done], engine: Engine) -> None:
    done = purge("--older-than", "0s", "--dry-run", check=0)

    assert "users_name  (column public.users.name)" in done.stdout
    assert "2 rows" in done.stdout
    assert "Nothing was changed." in done.stdout
    assert kept(engine) == ["users_name"]


def test_off_a_terminal_the_database_s_name_is_needed(
    purge: Callable[..., Done], engine: Engine, database: str
) -> None:
    nothing = purge("--object", "public.users.name", check=3)
    wrong = purge("--object", "users_name", "--confirm", "other", check=3)

    assert f"--confirm {database}" in nothing.stderr
    assert "users_name" in nothing.stdout
    assert "Nothing was destroyed." in wrong.stderr
    assert kept(engine) == ["users_name"]


def test_with_consent_it_is_gone_and_remembered(purge: Callable[..., Done], engine: Engine, database: str) -> None:
    done = purge("--object", "users_name", "--confirm", database, check=0)

    assert "1 object" in done.stdout
    assert kept(engine) == []
    with engine.connect() as connection:
        purged = read_memory(connection).of("public.users.name")
    assert purged is not None
    assert purged.rows == 2


def test_what_is_younger_stays(purge: Callable[..., Done], engine: Engine, database: str) -> None:
    done = purge("--older-than", "30d", "--confirm", database, check=0)

    assert "Nothing of" in done.stdout
    assert kept(engine) == ["users_name"]


def test_what_was_purged_comes_back_empty_only_with_consent(
    purge: Callable[..., Done], retired: Project, cluster: Cluster, database: str
) -> None:
    purge("--object", "users_name", "--confirm", database, check=0)

    refused = retired.run("downgrade", "-1")
    assert refused.returncode != 0
    assert "alembic -x accept=restore-empty:users.name downgrade -1" in refused.stderr
    retired.run("-x", "accept=restore-empty:users.name", "downgrade", "-1", check=0)

    with cluster.connect(database) as c:
        assert c.execute("SELECT id, name FROM users ORDER BY id").fetchall() == [(1, None), (2, None), (3, None)]


def test_an_unknown_object_is_named_and_nothing_happens(
    purge: Callable[..., Done], engine: Engine, database: str
) -> None:
    done = purge("--object", "nosuch", "--confirm", database, check=2)

    assert "nosuch" in done.stderr
    assert "users_name" in done.stderr
    assert kept(engine) == ["users_name"]


def test_orphans_are_what_has_no_table_left(
    purge: Callable[..., Done], cluster: Cluster, engine: Engine, database: str
) -> None:
    none = purge("--orphans", "--confirm", database, check=0)
    assert "Nothing of" in none.stdout
    with cluster.connect(database) as c:
        c.execute("DROP TABLE users")

    purge("--orphans", "--confirm", database, check=0)

    assert kept(engine) == []


def test_json_lists_the_same(purge: Callable[..., Done]) -> None:
    done = purge("--older-than", "0s", "--dry-run", "--json", check=0)

    data = json.loads(done.stdout)
    assert data["purged"] is False
    (chosen,) = data["databases"][0]["chosen"]
    assert (chosen["kept"], chosen["from"], chosen["rows"]) == ("users_name", "public.users.name", 2)


def test_an_object_older_than_the_oldest_backup_is_warned_about(purge: Callable[..., Done], database: str) -> None:
    without = purge("--older-than", "0s", "--dry-run", check=0)
    assert "no backup of this database is known to be kept" in without.stdout
    purge("set", "development", "--confirm", database, check=0, verb="safe-guard")
    purge(check=0, verb="safe-backup")

    done = purge("--older-than", "0s", "--dry-run", check=0)

    assert "users_name was retired before the oldest backup that is kept" in " ".join(done.stdout.split())


def test_a_protected_database_is_purged_with_its_name_and_by_no_agent(
    purge: Callable[..., Done], engine: Engine, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    purge("set", "production", check=0, verb="safe-guard")

    monkeypatch.setenv("CLAUDECODE", "1")
    agent = purge("--older-than", "0s", "--confirm", database, check=3)
    assert kept(engine) == ["users_name"]
    monkeypatch.delenv("CLAUDECODE")
    purge("--older-than", "0s", "--confirm", database, check=0)

    assert "refused to" in agent.stderr
    assert kept(engine) == []


def test_a_kept_table_that_somebody_built_on_is_refused_by_name(
    purge: Callable[..., Done], cluster: Cluster, engine: Engine, database: str
) -> None:
    with cluster.connect(database) as c:
        c.execute("CREATE VIEW names AS SELECT value FROM alembic_safe_retired.users_name")

    done = purge("--object", "users_name", "--confirm", database, check=3)

    assert "view names" in done.stderr
    assert kept(engine) == ["users_name"]
