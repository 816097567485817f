"""What `safe-upgrade` makes of a database and files that do not tell the same story, and what it writes about both."""

from __future__ import annotations

import pytest
from psycopg import sql

from tests.deploys import deployments, heads, rows, safe_upgrade
from tests.project import Project


def file_of(project, revision):
    return next((project.folder / "migrations" / "versions").glob(f"{revision}_*.py"))


def test_a_revision_edited_after_it_was_applied_stops_the_next_deploy_until_it_is_accepted(project, cluster, database):
    safe_upgrade(project)
    path = file_of(project, "a2")
    path.write_text(path.read_text().replace("sa.Text", "sa.Integer"))
    project.revision("b1", "a3", "more")
    ended = safe_upgrade(project, check=3)
    assert path.name in ended.text
    assert "alembic safe-upgrade --accept edited:a2" in ended.text
    assert heads(cluster, database) == ["a3"]
    safe_upgrade(project, "--accept", "edited:a2")
    assert heads(cluster, database) == ["b1"]


def test_a_formatter_a_comment_and_other_line_ends_are_no_edit(project, cluster, database):
    safe_upgrade(project)
    path = file_of(project, "a2")
    text = path.read_text().replace('op.add_column("users",', "op.add_column(\n        'users',  # a comment\n       ")
    path.write_bytes(text.replace("\n", "\r\n").encode())
    project.revision("b1", "a3", "more")
    safe_upgrade(project)
    assert heads(cluster, database) == ["b1"]


def test_a_database_on_another_branch_is_named_with_message_and_date(project, cluster, database):
    project.revision("x1", "a3", "feature of somebody else")
    safe_upgrade(project)
    file_of(project, "x1").unlink()
    project.revision("b1", "a3", "ours")
    ended = safe_upgrade(project, "--json", check=4)
    day = rows(
        cluster, database, "SELECT to_char(at, 'YYYY-MM-DD') AS it FROM alembic_safe.revisions WHERE revision = 'x1'"
    )
    for part in ("x1", "feature of somebody else", day[0]["it"]):
        assert part in ended.json["error"]
    assert heads(cluster, database) == ["x1"]


def test_a_revision_that_nobody_knows_is_named(project, cluster, database):
    safe_upgrade(project)
    rows(cluster, database, "UPDATE alembic_version SET version_num = 'ghost'")
    ended = safe_upgrade(project, check=4)
    assert "the journal does not know" in ended.text
    assert "ghost" in ended.text


def test_old_files_on_an_upgraded_database_end_with_0_and_one_line(project, cluster, database):
    old = Project.create(project.folder.parent / "old", project.url)
    project.revision("b1", "a3", "new things")
    project.revision("b2", "b1", "newer things")
    safe_upgrade(project, "--release", "v2")
    ended = safe_upgrade(old)
    assert "2 revisions ahead of these files, up to b2 (newer things)" in ended.text
    assert "by release v2" in ended.text
    assert "Nothing was changed." in ended.text
    assert len(ended.out.splitlines()) <= 5
    assert len(deployments(cluster, database)) == 1
    assert safe_upgrade(old, "--json").json["changed"] is False
    old.settings("ahead = refuse")
    assert "b2" in safe_upgrade(old, check=4).text
    assert heads(cluster, database) == ["b2"]


@pytest.mark.parametrize(
    ("option", "variables", "release"),
    [
        ((), {}, None),
        ((), {"GITHUB_SHA": "abc", "CI_COMMIT_SHA": "def"}, "abc"),
        ((), {"GITHUB_SHA": "abc", "ALEMBIC_SAFE_RELEASE": "v1"}, "v1"),
        (("--release", "v2"), {"ALEMBIC_SAFE_RELEASE": "v1"}, "v2"),
    ],
)
def test_the_release_is_recorded(project, cluster, database, monkeypatch, option, variables, release):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    safe_upgrade(project, *option)
    assert [d["release"] for d in deployments(cluster, database)] == [release]
    assert {r["release"] for r in rows(cluster, database, "SELECT release FROM alembic_safe.revisions")} == {release}
    assert all(d["files_hash"] for d in deployments(cluster, database))


def test_the_first_deploy_writes_the_declared_environment_into_the_database(project, cluster, database, monkeypatch):
    monkeypatch.setenv("ALEMBIC_SAFE_ENVIRONMENT", "production")
    safe_upgrade(project)
    monkeypatch.delenv("ALEMBIC_SAFE_ENVIRONMENT")
    marker = rows(cluster, database, "SELECT environment, protected FROM alembic_safe.environment")
    assert marker == [{"environment": "production", "protected": True}]
    assert "production, protected" in safe_upgrade(project).text


def test_an_undeclared_environment_is_not_written_down(project, cluster, database):
    safe_upgrade(project)
    assert rows(cluster, database, "SELECT 1 FROM alembic_safe.environment") == []


def test_a_protected_database_is_backed_up_before_anything_changes(project, cluster, database):
    safe_upgrade(project, "a1")
    rows(cluster, database, "INSERT INTO users VALUES (7)")
    project.settings("environment = production")
    project.revision("b1", "a3", "wrong", 'op.execute("SELECT 1 / 0")')
    ended = safe_upgrade(project, "--json", "--accept", "does-not-run:b1", check=6)
    backup = rows(cluster, database, "SELECT * FROM alembic_safe.backups")
    assert len(backup) == 1
    assert backup[0]["heads"] == ["a1"]
    assert backup[0]["location"] == ended.json["backup"]["location"]
    assert str(project.folder / "backups") in backup[0]["location"]
    assert backup[0]["sha256"] == ended.json["backup"]["sha256"]
    assert heads(cluster, database) == ["a3"]


def test_a_development_database_is_backed_up_only_when_asked(project, cluster, database):
    safe_upgrade(project, "a2")
    assert not (project.folder / "backups").exists()
    safe_upgrade(project, "--backup")
    assert len(rows(cluster, database, "SELECT 1 FROM alembic_safe.backups")) == 1


def test_without_a_backup_a_protected_database_needs_its_name(project, cluster, database):
    safe_upgrade(project, "a1")
    project.settings("environment = production")
    ended = safe_upgrade(project, "--no-backup", check=3)
    assert f"alembic safe-upgrade --no-backup --confirm {database}" in ended.text
    wrong = safe_upgrade(project, "--no-backup", "--confirm", "another", check=3)
    assert "--confirm says another" in wrong.text
    assert heads(cluster, database) == ["a1"]
    safe_upgrade(project, "--no-backup", "--confirm", database)
    assert heads(cluster, database) == ["a3"]
    assert rows(cluster, database, "SELECT 1 FROM alembic_safe.backups") == []


def test_a_publication_of_all_tables_stops_the_first_deploy_with_the_ddl_for_its_subscribers(
    project, cluster, database
):
    rows(cluster, database, 'CREATE PUBLICATION "every one" FOR ALL TABLES')
    ended = safe_upgrade(project, check=3)
    assert 'CREATE TABLE "alembic_safe"."deployments"' in ended.text
    assert "--accept 'publication:every one'" in ended.text
    assert rows(cluster, database, "SELECT 1 FROM pg_namespace WHERE nspname = 'alembic_safe'") == []
    assert rows(cluster, database, "SELECT 1 FROM pg_class WHERE relname = 'users'") == []
    safe_upgrade(project, "--accept", "publication:every one")
    assert heads(cluster, database) == ["a3"]


@pytest.fixture
def role(cluster, database):
    name = f"r_{database}"
    with cluster.connect() as c:
        c.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
    yield name
    with cluster.connect(database) as c:
        c.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
        c.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def grant(cluster, database, statement, role):
    with cluster.connect(database) as c:
        c.execute(sql.SQL(statement).format(database=sql.Identifier(database), role=sql.Identifier(role)))


def test_a_role_without_create_on_the_database_journals_beside_the_version_table(tmp_path, cluster, database, role):
    grant(cluster, database, "GRANT CREATE, USAGE ON SCHEMA public TO {role}", role)
    app = Project.create(tmp_path / "app", cluster.url(database, user=role))
    ended = safe_upgrade(app)
    assert f'GRANT CREATE ON DATABASE "{database}" TO "{role}";' in ended.text
    assert rows(cluster, database, "SELECT outcome FROM public.alembic_safe_deployments") == [{"outcome": "done"}]
    assert "nothing is pending" in safe_upgrade(app).text
    app.revision("b1", "a3", "more")
    safe_upgrade(app)
    assert len(rows(cluster, database, "SELECT 1 FROM public.alembic_safe_revisions")) == 4


def test_a_role_without_any_right_is_told_what_it_lacks(tmp_path, cluster, database, role):
    app = Project.create(tmp_path / "app", cluster.url(database, user=role))
    ended = safe_upgrade(app, check=10)
    assert f'GRANT CREATE ON DATABASE "{database}" TO "{role}";' in ended.text
    assert "Nothing was changed." in ended.text


def test_a_role_that_may_not_make_the_version_table_is_told_so(tmp_path, cluster, database, role):
    grant(cluster, database, "GRANT CREATE ON DATABASE {database} TO {role}", role)
    app = Project.create(tmp_path / "app", cluster.url(database, user=role))
    ended = safe_upgrade(app, check=10)
    assert "permission denied for schema public" in ended.text
    assert rows(cluster, database, "SELECT outcome FROM alembic_safe.deployments") == [{"outcome": "failed"}]


def test_a_backup_role_that_could_not_read_the_journal_is_named_with_its_grants(project, cluster, database, role):
    safe_upgrade(project, "a1")
    rows(cluster, database, "DROP SCHEMA alembic_safe CASCADE")
    grant(cluster, database, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}", role)
    ended = safe_upgrade(project)
    assert f"{role} may read every table of the application" in ended.text
    assert f'GRANT USAGE ON SCHEMA "alembic_safe" TO "{role}";' in ended.text
    assert "--exclude-schema=alembic_safe" in ended.text
