"""A statement that never ends on a shadow is ended there, and what it does counts as not observed."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import make_url

from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.shadow import open_shadow
from alembic_safe.database.shadow_patience import Patience
from alembic_safe.settings import Seconds, Settings
from tests.deploys import heads, safe_upgrade
from tests.patience import eventually
from tests.test_plan import as_json, safe_plan

if TYPE_CHECKING:
    from tests.cluster import Cluster
    from tests.project import Project

SLEEPS = 'op.execute("SET LOCAL statement_timeout = 0")\nop.execute("SELECT pg_sleep(1e6)")'
ITS_OWN_LOCK = """
op.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
with sa.create_engine(op.get_bind().engine.url, poolclass=sa.NullPool).connect() as other:
    other.execute(sa.text("SELECT count(*) FROM users"))
"""
CAUGHT = """
savepoint = op.get_bind().begin_nested()
try:
    op.execute("SELECT pg_sleep(1e6)")
except Exception:
    savepoint.rollback()
op.drop_column("users", "mail")
"""


@pytest.fixture
def shop(project: Project) -> Project:
    """A project at ``a3``, with ``b1`` pending, and little patience."""
    project.run("upgrade", "head", check=0)
    project.settings("shadow_patience = 2s")
    project.revision("b1", "a3", "nick", 'op.add_column("users", sa.Column("nick", sa.Text))')
    return project


@pytest.mark.long
@pytest.mark.parametrize(
    ("body", "doing"),
    [
        (SLEEPS, "it slept"),
        (ITS_OWN_LOCK, "it waited for a lock that nobody lets go"),
        (CAUGHT, "it slept"),
    ],
    ids=["it sleeps", "it waits for a lock of its own", "it catches the end and goes on"],
)
def test_what_never_ends_is_not_observed_and_neither_is_what_stands_behind_it(
    shop: Project, body: str, doing: str
) -> None:
    shop.revision("b2", "b1", "waits", body)
    shop.revision("b3", "b2", "behind", 'op.drop_column("users", "name")')
    found = {one["revision"]: one for one in as_json(shop)["revisions"]}
    assert [one["observed"] for one in found.values()] == [True, False, False], found["b2"]
    why = f"b2 (waits) ran out of time on a shadow: a statement was cancelled there after 2 s; {doing}"
    assert found["b2"]["why_not_observed"] == why
    assert found["b3"]["why_not_observed"] == "it stands behind b2, which ran out of time"
    hazards = {name: [(one["id"], one["severity"]) for one in found[name]["hazards"]] for name in found}
    assert ("not-observed:b2", "danger") in hazards["b2"]
    assert hazards["b3"] == [("not-observed:b3", "warning")]
    assert not any(id_.startswith("does-not-run") for every in hazards.values() for id_, _ in every)


@pytest.mark.long
def test_people_are_told_and_a_protected_database_refuses(
    shop: Project, cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.revision("b2", "b1", "waits", SLEEPS)
    shop.revision("b3", "b2", "behind", 'op.add_column("users", sa.Column("x", sa.Text))')
    ended = safe_plan(shop)
    lines = ended.out.splitlines()
    rows = {line.split()[1]: line for line in lines if line.strip()[:1].isdigit()}
    assert "not observed" not in rows["b1"]
    assert rows["b2"].count("not observed") == rows["b3"].count("not observed") == 2
    assert "as far as was seen" in ended.text
    monkeypatch.setenv("ALEMBIC_SAFE_ENVIRONMENT", "production")
    ended = safe_upgrade(shop, "--no-backup", "--confirm", database, check=3)
    assert "not-observed:b2" in ended.text
    assert "Nothing was changed." in ended.text
    assert heads(cluster, database) == ["a3"]


@pytest.mark.long
def test_a_history_that_waits_is_told_as_far_as_it_was_seen(shop: Project) -> None:
    shop.revision("b2", "b1", "waits", SLEEPS)
    assert "at b2: what follows was not seen" in " ".join(safe_plan(shop, "--all-history").out.split())
    found = json.loads(safe_plan(shop, "--all-history", "--format", "json").out)["plans"][0]
    assert [one["observed"] for one in found["revisions"]] == [True, True, True, True, False]


def test_where_rows_are_only_waiting_for_a_lock_is_limited(cluster: Cluster, database: str) -> None:
    """What takes long on a restored backup takes long on the target, and is what a rehearsal is there to tell."""
    target = Endpoint.from_url(make_url(cluster.url(database)))
    ended: dict[str, Any] = {}

    def ask(name: str, sql: str) -> None:
        with shadow.endpoint.connect() as connection:
            try:
                connection.execute(sql.encode())
                ended[name] = "done"
            except psycopg.Error as error:
                ended[name] = error.sqlstate

    with open_shadow(target, Settings(shadow_patience=Seconds(0.5)), protected=False) as shadow:
        endpoint = shadow.database_for("it")
        shadow.holds_rows = True
        with endpoint.connect() as holder, Patience(shadow) as patience:
            holder.execute("CREATE TABLE t ()")
            holder.autocommit = False
            holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
            asked = {"work": "SELECT pg_sleep(3)", "wait": "SELECT * FROM t"}
            threads = [threading.Thread(target=ask, args=one) for one in asked.items()]
            for thread in threads:
                thread.start()
            eventually(lambda: "wait" in ended, "the end of the wait")
            for thread in threads:
                thread.join()
            holder.rollback()
    assert ended == {"work": "done", "wait": "57014"}
    assert patience.cut is not None
    assert patience.cut.doing == "it waited for a lock that nobody lets go"


def test_without_a_limit_nobody_looks(cluster: Cluster, database: str) -> None:
    target = Endpoint.from_url(make_url(cluster.url(database)))
    with (
        open_shadow(target, Settings(shadow_patience=Seconds(0)), protected=False) as shadow,
        Patience(shadow) as patience,
        shadow.endpoint.connect() as connection,
    ):
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert not any(thread.name == "alembic-safe-patience" for thread in threading.enumerate())
    assert patience.cut is None
