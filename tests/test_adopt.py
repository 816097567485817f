"""Do changes by hand become a revision that is proven, and a database that has it?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from alembic_safe.commands import load
from alembic_safe.errors import Findings, ReplayFailed
from tests.guard_targets import Made
from tests.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster import Cluster

TEMPLATE = '''\
"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
"""
from alembic import op
import sqlalchemy as sa
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade():
    ${upgrades if upgrades else "pass"}


def downgrade():
    ${downgrades if downgrades else "pass"}
'''

BY_HAND = """
CREATE INDEX users_name ON users (lower(name));
ALTER TABLE users ADD nick varchar(20) DEFAULT ':a: 100% \\: it''s';
CREATE FUNCTION shout(t text) RETURNS text LANGUAGE plpgsql AS $f$
BEGIN
    -- keeps   its blanks
  RETURN upper(t) || ':x';
END $f$;
CREATE VIEW loud AS SELECT shout(name) AS name FROM users;
"""


def run(project: Project, name: str, *args: str) -> int:
    return load(name).main(list(args), obj=project.config, standalone_mode=False) or 0


@pytest.fixture
def made(cluster: Cluster, database: str) -> Made:
    return Made(cluster, database)


@pytest.fixture
def changed(project: Project, made: Made) -> Project:
    """A development database at head that somebody has worked on by hand."""
    (project.folder / "migrations" / "script.py.mako").write_text(TEMPLATE)
    project.run("upgrade", "head", check=0)
    with made.connect() as c:
        c.execute(BY_HAND)
        c.execute("INSERT INTO users (name) VALUES ('ada')")
    return project


def versions(project: Project) -> set[str]:
    return {path.name for path in (project.folder / "migrations").rglob("*.py") if "__pycache__" not in str(path)}


def test_changes_by_hand_become_a_revision_and_the_database_is_stamped_with_it(
    changed: Project, made: Made, make_database: Callable[..., str], cluster: Cluster
) -> None:
    schema, before, names = made.schema(), made.state(), versions(changed)
    run(changed, "safe-adopt", "-m", "hotfix of monday")
    (new,) = versions(changed) - names
    assert new.endswith("hotfix_of_monday.py")
    (head,) = made.heads()
    assert new.startswith(head)
    after = made.state()
    assert after[0] == before[0]
    assert after[1].replace(head, "a3") == before[1]
    # another database gets there by the files alone
    other = make_database()
    config = changed.config
    config.set_main_option("sqlalchemy.url", cluster.url(other))
    from alembic import command

    command.upgrade(config, "head")
    assert sorted(Made(cluster, other).schema().splitlines()) == sorted(schema.splitlines())
    command.downgrade(config, "a3")
    command.upgrade(config, "head")
    assert run(changed, "safe-status", "--drift") == 0


def test_the_file_reads_as_if_somebody_had_written_it(changed: Project, made: Made) -> None:
    names = versions(changed)
    run(changed, "safe-adopt", "-m", "hotfix")
    (new,) = versions(changed) - names
    text = next((changed.folder / "migrations" / "versions").glob(new)).read_text()
    assert text.startswith(f'"""hotfix\n\nChanged by hand on {made.name} before it was written down here.')
    assert '"    -- keeps   its blanks\\n"' in text
    assert "import sqlalchemy" not in text


@pytest.mark.long
def test_a_second_database_with_the_same_change_is_stamped_without_another_file(
    changed: Project, made: Made, make_database: Callable[..., str], cluster: Cluster
) -> None:
    twin = make_database(template=made.name)
    run(changed, "safe-adopt", "-m", "hotfix")
    names = versions(changed)
    elsewhere = Project(changed.folder, cluster.url(twin))
    ini = changed.folder / "alembic.ini"
    ini.write_text(ini.read_text().replace(made.name, twin))
    run(elsewhere, "safe-adopt", "-m", "hotfix")
    assert versions(changed) == names
    assert Made(cluster, twin).heads() == made.heads()


@pytest.mark.long
def test_without_drift_nothing_is_written(project: Project, made: Made) -> None:
    project.run("upgrade", "head", check=0)
    before, names = made.state(), versions(project)
    run(project, "safe-adopt", "-m", "nothing")
    assert (made.state(), versions(project)) == (before, names)


@pytest.mark.long
def test_with_revisions_pending_it_says_to_deploy_them_first(changed: Project, made: Made) -> None:
    changed.revision("a4", "a3", "later", 'op.execute("CREATE TABLE later (id int)")')
    before, names = made.state(), versions(changed)
    with pytest.raises(Findings, match="revisions are pending"):
        run(changed, "safe-adopt", "-m", "hotfix")
    assert (made.state(), versions(changed)) == (before, names)


def test_what_no_sql_can_say_is_refused_and_leaves_no_file(changed: Project, made: Made) -> None:
    """A template that leaves the operations out stands for everything that keeps a revision from being right."""
    (changed.folder / "migrations" / "script.py.mako").write_text(
        TEMPLATE.replace('${upgrades if upgrades else "pass"}', "pass")
    )
    before, names = made.state(), versions(changed)
    with pytest.raises(ReplayFailed, match="does not lead to the same database") as caught:
        run(changed, "safe-adopt", "-m", "hotfix")
    assert caught.value.exit_code == 8
    assert (made.state(), versions(changed)) == (before, names)
    assert [path.name for path in (changed.folder / "migrations").iterdir() if path.name.startswith(".")] == []


def test_what_is_adopted_is_shown_and_not_how_it_would_be_undone(
    changed: Project, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    with made.connect() as c:
        c.execute("ALTER TABLE users DROP COLUMN mail")
    run(changed, "safe-adopt", "-m", "hotfix", "--dry-run")
    shown = capsys.readouterr().out.partition('"""hotfix')[0]
    lines = [line.strip() for line in shown.splitlines()]
    behind = {line: "\n".join(lines[n + 1 : n + 3]) for n, line in enumerate(lines) if line[:2] in {"+ ", "- ", "~ "}}
    assert behind["+ index public.users_name"].startswith("CREATE INDEX users_name ON ")
    (nick,) = (sql for line, sql in behind.items() if line.startswith("+ column") and "nick" in line)
    assert nick.startswith("ALTER TABLE ")
    assert " ADD " in nick.partition("\n")[0]
    (mail,) = (sql for line, sql in behind.items() if line.startswith("- column") and "mail" in line)
    assert "the column's values are not part of a catalog" in mail
    assert ' DROP COLUMN "mail"' in shown
    assert shown.count(" DROP ") == 1
    assert shown.count("not part of a catalog") == 1
    run(changed, "safe-adopt", "-m", "hotfix", "--dry-run", "--json")
    (found,) = json.loads(capsys.readouterr().out)["databases"]
    sql = {one["object"]: one["sql"] for one in found["drift"]["differences"]}
    assert sql["index public.users_name"].startswith("CREATE INDEX users_name ON ")
    assert {one["destroys_data"] for one in found["drift"]["differences"] if "mail" in one["object"]} == {True}


def test_a_dry_run_shows_the_file_and_writes_nothing(
    changed: Project, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    before, names = made.state(), versions(changed)
    begin = made.log_everything()
    run(changed, "safe-adopt", "-m", "hotfix", "--dry-run", "--json")
    assert made.writes_since(begin) == []
    (found,) = json.loads(capsys.readouterr().out)["databases"]
    assert "CREATE INDEX users_name" in found["text"]
    assert found["file"] is None
    assert (made.state(), versions(changed)) == (before, names)
