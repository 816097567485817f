"""Kept replays: copied when nothing has changed, made anew when anything has, and bounded."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import make_url

from alembic_safe.authoring.diff_sides import read_project
from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.envpy import script_of
from alembic_safe.database.replay import replay
from alembic_safe.database.replay_cache import open_replayed
from alembic_safe.database.replay_key import key_of
from alembic_safe.database.shadow_needs import needs_of
from alembic_safe.database.shadow_server import ShadowServer
from alembic_safe.database.shadow_wish import ShadowWish
from alembic_safe.settings import Count, Settings
from tests.patience import PATIENCE, eventually
from tests.project import ENV_PY, Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster import Cluster


@contextmanager
def kept_replay(project: Project, settings: Settings | None = None, **kw: Any) -> Iterator[Any]:
    target = Endpoint.from_url(make_url(project.url))
    with target.connect() as connection:
        needs = needs_of(connection)
    config = project.config
    wish = ShadowWish(target, needs, settings or Settings(), protected=False)
    with open_replayed(config, script_of(config), wish, **kw) as found:
        yield found


def copied(project: Project, **kw: Any) -> bool:
    with kept_replay(project, **kw) as (_, done):
        return bool(done.copied)


@pytest.fixture(autouse=True)
def _nothing_kept(cluster: Cluster, database: str) -> Iterator[None]:
    """Each test begins and ends without a template."""
    server = ShadowServer(Endpoint.from_url(make_url(cluster.url(database))), "target")
    server.prune(templates_kept=0)
    yield
    server.prune(templates_kept=0)
    eventually(lambda: server.leftovers() == ())  # the server may still be at it
    server.close()


def templates(cluster: Cluster) -> list[str]:
    with cluster.connect() as c:
        return [
            row[0] for row in c.execute("SELECT datname FROM pg_database WHERE datname LIKE 'alembic_safe_template%'")
        ]


def test_the_second_replay_of_the_same_files_is_a_copy_that_knows_what_the_first_found(project: Project) -> None:
    with kept_replay(project) as (_, first):
        pass
    with kept_replay(project) as (shadow, second):
        assert (first.copied, second.copied) == (False, True)
        assert [c.heads for c in second.contexts] == [c.heads for c in first.contexts] == [("a3",)]
        assert [c.place for c in second.contexts] == [c.place for c in first.contexts]
        assert second.contexts[0].database == shadow.endpoint.database
        with shadow.endpoint.connect() as c:
            assert c.execute("SELECT version_num FROM alembic_version").fetchall() == [("a3",)]
            c.execute("SELECT mail FROM users")
        # it is the very database in which a later replay goes on
        assert replay(project.config, script_of(project.config), shadow, to="a1").steps == 2


def test_what_is_done_to_a_copy_is_not_in_the_next_one(project: Project) -> None:
    assert not copied(project)
    with kept_replay(project) as (shadow, done), shadow.endpoint.connect() as c:
        assert done.copied
        c.execute("DROP TABLE users")
    with kept_replay(project) as (shadow, done), shadow.endpoint.connect() as c:
        assert done.copied
        c.execute("SELECT * FROM users")


def test_who_only_reads_makes_no_copy_and_nobody_prunes_what_is_read(cluster: Cluster, project: Project) -> None:
    with kept_replay(project, reads_only=True) as (shadow, first):
        [own] = [endpoint.database for endpoint in shadow.databases.values()]
        assert not first.copied
    [name] = templates(cluster)  # the replayed one itself
    with cluster.connect() as c:
        assert c.execute("SELECT count(*) FROM pg_database WHERE datname = %s", [own]).fetchone() == (0,)
    with kept_replay(project, reads_only=True) as (shadow, done), shadow.endpoint.connect() as c:
        assert done.copied
        assert shadow.endpoint.database == name
        assert done.contexts[0].heads == first.contexts[0].heads
        c.execute("SELECT * FROM users")
        c.close()
        assert shadow.server.prune(templates_kept=0) == ()
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        cluster.connect(name)
    assert copied(project)


def test_what_is_read_while_something_fails_stays_kept_and_a_new_one_is_not_kept(
    cluster: Cluster, project: Project
) -> None:
    with pytest.raises(ZeroDivisionError), kept_replay(project, reads_only=True):
        raise ZeroDivisionError
    assert templates(cluster) == []
    with kept_replay(project, reads_only=True):
        pass
    with pytest.raises(ZeroDivisionError), kept_replay(project, reads_only=True):
        raise ZeroDivisionError
    [name] = templates(cluster)
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        cluster.connect(name)


def edit_revision(project: Project) -> None:
    path = project.folder / "migrations" / "versions" / "a3_mails.py"
    path.write_text(path.read_text().replace("sa.Text", "sa.String(10)"))


def add_revision(project: Project) -> None:
    project.revision("a4", "a3", "more", "op.add_column('users', sa.Column('more', sa.Text))")


def edit_env_py(project: Project) -> None:
    path = project.folder / "migrations" / "env.py"
    path.write_text(path.read_text() + "\n# changed\n")


def edit_application(project: Project) -> None:
    (project.folder / "imported_here.py").write_text("WORDS = 'others'\n")
    sys.modules.pop("imported_here", None)


def edit_convention(project: Project) -> None:
    (project.folder / "models_here.py").write_text(
        "from sqlalchemy import MetaData\nmetadata = MetaData(naming_convention={'pk': 'k'})\n"
    )
    sys.modules.pop("models_here", None)


@pytest.mark.parametrize("change", [edit_revision, add_revision, edit_env_py, edit_application, edit_convention])
def test_a_change_in_anything_that_a_replay_reads_makes_it_anew(
    project: Project, monkeypatch: pytest.MonkeyPatch, change: Callable[[Project], None]
) -> None:
    monkeypatch.syspath_prepend(str(project.folder))
    (project.folder / "imported_here.py").write_text("WORDS = 'some'\n")
    (project.folder / "models_here.py").write_text("from sqlalchemy import MetaData\nmetadata = MetaData()\n")
    (project.folder / "migrations" / "env.py").write_text(
        ENV_PY.replace("target_metadata = None", "from models_here import metadata as target_metadata")
    )
    path = project.folder / "migrations" / "versions" / "a2_names.py"
    path.write_text(path.read_text().replace("def upgrade():\n", "def upgrade():\n    import imported_here\n"))
    for name in ("imported_here", "models_here"):
        sys.modules.pop(name, None)
    assert not copied(project)
    assert copied(project)
    change(project)
    assert not copied(project)
    assert copied(project)


def test_who_has_run_env_py_already_finds_what_others_kept(project: Project) -> None:
    looked = read_project(project.config, script_of(project.config), Settings())
    with kept_replay(project) as (shadow, _):
        asked = key_of(project.config, script_of(project.config), shadow, "heads")
        known = key_of(project.config, script_of(project.config), shadow, "heads", looked.contexts)
    assert looked.contexts
    assert asked == known


def test_another_goal_is_another_replay(project: Project) -> None:
    assert not copied(project, to="a2")
    with kept_replay(project, to="a2") as (_, done):
        assert done.copied
        assert done.contexts[0].heads == ("a2",)
    assert not copied(project)


def test_no_more_than_the_newest_few_are_kept(cluster: Cluster, project: Project) -> None:
    two = Settings(shadow_cache=Count(2))
    for to in ("a1", "a2", "a3"):
        assert not copied(project, settings=two, to=to)
    assert len(templates(cluster)) == 2
    assert copied(project, settings=two, to="a3")
    assert not copied(project, settings=two, to="a1")


def test_none_is_kept_where_the_setting_says_so(cluster: Cluster, project: Project) -> None:
    assert not copied(project, settings=Settings(shadow_cache=Count(0)))
    assert templates(cluster) == []


def test_a_kept_replay_takes_no_connections_and_is_listed_and_pruned_by_name(
    cluster: Cluster, project: Project
) -> None:
    assert not copied(project)
    [name] = templates(cluster)
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        cluster.connect(name)
    assert "kept to copy from" in project.run("safe-shadow", "list", check=0).stdout
    assert name not in project.run("safe-shadow", "prune", check=0).stdout
    assert copied(project)


def test_of_two_at_once_the_second_waits_for_the_first(project: Project) -> None:
    target = Endpoint.from_url(make_url(project.url))
    first = ShadowServer(target, "target")
    second = ShadowServer(target, "target")
    order: list[str] = []

    def wait() -> None:
        with second.building("the same key"):
            order.append("second goes on")

    with first.building("the same key"):
        waiting = threading.Thread(target=wait)
        waiting.start()
        waiting.join(timeout=0.5)
        assert waiting.is_alive()
        order.append("first is done")
    waiting.join(PATIENCE)
    assert order == ["first is done", "second goes on"]
    first.close()
    second.close()


def test_every_database_of_an_environment_is_kept_and_copied(
    cluster: Cluster, project: Project, make_database: Callable[..., str]
) -> None:
    other = make_database()
    env_py = ENV_PY.replace(
        "if context.is_offline_mode():",
        f"config.set_main_option('sqlalchemy.url', {cluster.url(other)!r})\n"
        f"first = {project.url!r}\nrun_migrations_online()\n"
        "config.set_main_option('sqlalchemy.url', first)\nif context.is_offline_mode():",
    )
    (project.folder / "migrations" / "env.py").write_text(env_py)
    assert not copied(project)
    assert len(templates(cluster)) == 2
    with kept_replay(project) as (shadow, done):
        assert done.copied
        assert [context.place.rpartition("/")[2] for context in done.contexts] == [
            other,
            make_url(project.url).database,
        ]
        assert len(shadow.databases) == 2
        assert replay(project.config, script_of(project.config), shadow).steps == 0
