"""`alembic safe-plan`: what it shows, in each form, and that it writes nothing."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from alembic_safe import commands
from alembic_safe.errors import WrongUsage
from alembic_safe.inspecting.hazard import Found, Hit
from alembic_safe.inspecting.hazards import BY_ID
from alembic_safe.inspecting.policy import read_policy
from tests.deploys import Ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster import Cluster
    from tests.project import Project

SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "plan.schema.json").read_text(encoding="utf-8"))


def safe_plan(project: Project, *args: str, check: int | None = 0) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = commands.run("safe-plan", args, project.config)
    ended = Ended(code, out.getvalue(), err.getvalue())
    assert check is None or code == check, f"exit {code}\n{ended.out}\n{ended.err}"
    return ended


def as_json(project: Project, *args: str) -> dict[str, Any]:
    found = json.loads(safe_plan(project, "--format", "json", *args).out)
    jsonschema.validate(found, SCHEMA)
    return found["plans"][0]


@pytest.fixture
def shop(project: Project, cluster: Cluster, database: str) -> Project:
    """A project with 300 rows in its one table, and three revisions that are pending."""
    project.run("upgrade", "head", check=0)
    with cluster.connect(database) as c:
        c.execute("INSERT INTO users (name, mail) SELECT 'n' || i % 7, 'm' || i FROM generate_series(1, 300) i")
    project.revision("b1", "a3", "index", 'op.create_index("users_name", "users", ["name"])')
    project.revision("b2", "b1", "less", 'op.drop_column("users", "mail")',
                     extra='phase = "expand"\nchange = "less"\nsettles = ()')  # fmt: skip
    project.revision("b3", "b2", "unique", 'op.create_unique_constraint("users_once", "users", ["name"])')
    return project


def test_the_text_names_revisions_hazards_lines_and_remedies_and_fits(shop: Project) -> None:
    text = safe_plan(shop).out
    lines = text.splitlines()
    assert lines[0].startswith("Target   ")
    assert any(line.startswith("Plan     ") for line in lines[1:3])
    assert "3 pending" in " ".join(text.split())
    assert "- users.mail" in text
    assert "drop-column:users.mail  (b2)" in text
    assert "300 values are lost" in text
    assert 'op.retire_column("users", sa.Column("mail"' in text
    assert "b2_less.py:" in text
    assert "Nothing was changed." in text
    code = [
        line for line in lines if line.startswith(" " * 11) or "--accept" in line or ".py:" in line
    ]  # what is pasted is not wrapped
    assert max(len(line) for line in lines if line not in code) <= 100


def test_it_writes_nothing_and_reads_in_a_transaction_that_cannot(
    shop: Project, cluster: Cluster, database: str
) -> None:
    def everything() -> list[Any]:
        with cluster.connect(database) as c:
            return c.execute("SELECT oid, relname, xmin::text FROM pg_class WHERE oid >= 16384 ORDER BY 1").fetchall()

    before = everything()
    safe_plan(shop)
    assert everything() == before


def test_the_exit_code_tells_a_pipeline_when_a_consent_is_missing(shop: Project) -> None:
    assert safe_plan(shop, "b1", "--exit-code").code == 0
    safe_plan(shop, "b2")
    safe_plan(shop, "b2", "--exit-code", check=4)
    accepted = safe_plan(shop, "b2", "--exit-code", "--accept", "drop-column:users.mail")
    assert "Accepted drop-column:users.mail" in accepted.out


def test_a_consent_that_no_hazard_has_is_told_beside_the_plan(shop: Project) -> None:
    said = "--accept drop-column:users.mial: the plan has no such hazard. Did you mean drop-column:users.mail?"
    ended = safe_plan(shop, "b2", "--accept", "drop-column:users.mial")
    assert ended.err.endswith(f"Note     {said}\n")
    assert "no such hazard" not in ended.out
    assert as_json(shop, "b2", "--accept", "drop-column:users.mial")["notes"] == [said]


def test_nothing_pending_is_said(project: Project) -> None:
    project.run("upgrade", "head", check=0)
    assert "nothing pending" in safe_plan(project, "--exit-code").out
    assert as_json(project)["plan"] is None


def test_a_consent_stands_in_the_file_with_its_reason(shop: Project) -> None:
    shop.revision(
        "b2", "b1", "less", 'op.drop_column("users", "mail")', extra='accept = {"drop-column:users.mail": "GDPR"}'
    )
    text = safe_plan(shop, "b2", "--exit-code").out
    assert "[in the file: GDPR]" in text
    shop.revision(
        "b2", "b1", "less", 'op.drop_column("users", "mail")', extra='accept = {"drop-column:users.mail": ""}'
    )
    safe_plan(shop, "b2", "--exit-code", check=4)  # a consent says why


def test_the_json_is_what_its_schema_says(shop: Project) -> None:
    one = as_json(shop)
    assert [r["revision"] for r in one["revisions"]] == ["b1", "b2", "b3"]
    assert one["revisions"][1]["phase"] == "expand"
    assert one["needs_consent"] is True
    assert one["tables"] == [
        one["tables"][0] | {"name": "users", "rows": 300, "rows_exact": True, "size_class": "small"}
    ]
    hazards = {h["id"]: h for r in one["revisions"] for h in r["hazards"]}
    assert hazards["duplicate-rows:users.users_once"]["stops"] is True
    assert hazards["drop-column:users.mail"]["severity"] == "danger"
    (statement,) = one["revisions"][0]["statements"]
    assert statement["sql"].startswith("CREATE INDEX users_name")
    assert {"relation": "users", "mode": "ShareLock"} in statement["locks"]
    assert one["revisions"][0]["locks"][0]["blocks"] == "writes"


def test_another_database_can_be_planned_for(
    shop: Project, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    other = make_database()
    found = as_json(shop, "--against", cluster.url(other).replace("+psycopg", ""))
    assert found["target"]["database"] == other
    assert [r["revision"] for r in found["revisions"]] == ["a1", "a2", "a3", "b1", "b2", "b3"]
    assert not any(h["severity"] == "danger" for r in found["revisions"] for h in r["hazards"])


def test_a_whole_history_is_judged_as_if_every_table_were_in_use(shop: Project) -> None:
    found = as_json(shop, "--all-history")
    assert found["target"] is None
    hazards = {(r["revision"], h["hazard"]) for r in found["revisions"] for h in r["hazards"]}
    assert ("b2", "drop-column") in hazards
    assert ("b1", "create-index") in hazards
    assert not any(revision == "a1" for revision, _ in hazards)
    shop.settings("policy = since=b2")
    later = as_json(shop, "--all-history")
    assert {r["revision"] for r in later["revisions"] if r["hazards"]} == {"b3"}


def test_a_revision_that_fails_on_the_shadow_is_refused_and_told(project: Project) -> None:
    project.run("upgrade", "head", check=0)
    project.revision("b1", "a3", "fails", 'op.drop_column("users", "nowhere")')
    text = safe_plan(project, "--exit-code", check=4).out
    assert "does-not-run:b1" in text
    assert "nowhere" in text


def test_without_a_shadow_it_is_not_observed_and_never_called_safe(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alembic_safe.database.shadow_rungs.embedded_programs", _nothing)
    monkeypatch.setattr("alembic_safe.database.shadow_rungs.local_programs", _nothing)
    text = safe_plan(shop).out
    assert "not observed: No server was found" in " ".join(text.split())
    assert "nobody waits" not in text
    assert as_json(shop)["observed"]["why_not"]


def _nothing(*_: object, **__: object) -> None:
    from alembic_safe.database.server_programs import Unusable

    raise Unusable("not here")


# --- policy ----------------------------------------------------------------------------------------------------------


def level(policy: str, id_: str, severity: str, *, environment: str = "production", protected: bool = True) -> str:
    found = Found(BY_ID[id_], Hit("users.x", 0, "", severity), "b1", "")  # type: ignore[arg-type]
    return read_policy(policy).level(found, environment=environment, protected=protected)


def test_the_last_part_of_a_policy_that_fits_decides() -> None:
    assert level("", "drop-column", "danger") == "refuse"
    assert level("", "create-index", "warning") == "warn"
    assert level("", "drop-column", "info") == "allow"
    assert level("drop-column=ask", "drop-column", "danger") == "ask"
    assert level("danger=warn, drop-column=refuse", "drop-column", "danger") == "refuse"
    assert level("loses=warn", "drop-column", "danger") == "warn"
    assert level("loses/danger=ask", "drop-column", "info") == "allow"
    assert level("drop-column:users.x=warn", "drop-column", "danger") == "warn"
    assert level("ci:danger=warn", "drop-column", "danger") == "refuse"
    assert level("ci:danger=warn", "drop-column", "danger", environment="ci") == "warn"
    assert level("", "create-index", "danger", protected=False) == "warn"
    assert level("", "drop-column", "danger", protected=False) == "ask"
    assert level("", "duplicate-rows", "danger", protected=False) == "refuse"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("drop-colum=warn", "the nearest is drop-column"), ("danger=never", "never is none of refuse, ask, warn, allow"),
        ("danger", "neither WHAT=LEVEL"), ("large=huge", "no size"),
    ],
)  # fmt: skip
def test_a_policy_that_is_none_is_told_what_one_looks_like(text: str, said: str) -> None:
    with pytest.raises(WrongUsage, match="policy: ") as stopped:
        read_policy(text)
    assert said in str(stopped.value)


def test_the_bounds_of_a_size_class_are_the_projects(shop: Project) -> None:
    shop.settings("policy = small=1kB, large=2kB")
    assert as_json(shop)["tables"][0]["size_class"] == "large"


def test_what_only_the_database_has_is_on_the_shadow_as_well(shop: Project, cluster: Cluster, database: str) -> None:
    with cluster.connect(database) as c:
        c.execute("CREATE TABLE by_hand (id bigint PRIMARY KEY, user_id bigint REFERENCES users, name text)")
        c.execute("INSERT INTO by_hand VALUES (1, 1, 'a'), (2, 2, 'a')")
    shop.revision("c1", "b3", "by hand", 'op.create_unique_constraint("once", "by_hand", ["name"])')
    found = as_json(shop)
    assert "the target's own schema" in found["observed"]["on"]
    hazards = {h["id"]: h for r in found["revisions"] for h in r["hazards"]}
    assert "2 rows of by_hand" in hazards["duplicate-rows:by_hand.once"]["effect"]
    assert not any(r["failed"] for r in found["revisions"])


def test_what_operations_tell_of_a_shadow_is_not_in_the_log(project: Project) -> None:
    loud = "import logging\n\nlogging.basicConfig(level=logging.INFO)\n"
    env_py = project.folder / "migrations" / "env.py"
    env_py.write_text(loud + env_py.read_text())
    project.settings("environment = development\nrehearse = off")
    copy = 'with op.step("copy"):\n    op.backfill("users", set_={"name": "lower(name)"})\n'
    project.revision("a4", "a3", "less", copy + 'op.retire_column("users", sa.Column("mail", sa.Text))')
    planned = project.run("safe-plan", check=0)
    done = project.run("safe-upgrade", "--drift", "off", check=0)
    assert "alembic.safe" not in planned.stderr
    assert done.stderr.count("alembic.safe.copy") == done.stderr.count("alembic.safe.retire") == 1
