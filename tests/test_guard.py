"""The guard under attack: odd, hidden and travelled markers, and variables that would lower one."""

from __future__ import annotations

import logging
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.config import Config

from alembic_safe.database.environment import Journals
from alembic_safe.errors import WrongUsage
from tests.guard_targets import Made
from tests.guarded import as_role, mark_as, ours, refused, role
from tests.project import ENV_PY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster import Cluster
    from tests.project import Project

pytest_plugins = ("tests.guarded_fixtures",)


# --- the marker ----------------------------------------------------------------------------------------------------


def test_a_marker_alone_switches_the_guard_on(production: Project, made: Made) -> None:
    """The project has no settings of ours: another ini file, a colleague without the plugin's section."""
    assert "[alembic_safe]" not in (production.folder / "alembic.ini").read_text()
    error = refused(made, lambda: command.downgrade(production.config, "base"))
    assert "production, protected" in error.summary


def test_a_configuration_built_in_memory_meets_the_marker(production: Project, made: Made) -> None:
    config = Config()
    config.set_main_option("script_location", str(production.folder / "migrations"))
    config.set_main_option("sqlalchemy.url", made.cluster.url(made.name))
    config.set_main_option("path_separator", "os")
    refused(made, lambda: command.upgrade(config, "head"))


def test_another_ini_file_and_x_arguments_meet_the_marker(production: Project, made: Made) -> None:
    (production.folder / "other.ini").write_text((production.folder / "alembic.ini").read_text())
    before = made.state()
    done = production.run("-c", "other.ini", "-x", "guard=off", "downgrade", "base", check=3)
    assert "downgrade is refused here" in done.stderr
    assert made.state() == before


def test_python_without_assertions_meets_the_marker(production: Project, made: Made) -> None:
    """``python -O`` removes every assert statement; the guard is made of none."""
    before = made.state()
    done = subprocess.run(
        [sys.executable, "-O", "-m", "alembic", "stamp", "a1"], cwd=production.folder, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, "stamp is refused here" in done.stderr) == (3, True), done.stderr
    assert made.state() == before


def test_a_marker_emptied_by_hand_still_protects(production: Project, made: Made) -> None:
    with made.connect() as c:
        c.execute("UPDATE alembic_safe.environment SET environment = NULL")
    error = refused(made, lambda: command.downgrade(production.config, "base"))
    assert "undeclared" in error.summary


@pytest.mark.parametrize("name", ["PRODUCTION", "Prod", "staging-2", "live"])
def test_any_name_but_a_development_one_protects(production: Project, made: Made, name: str) -> None:
    with made.connect() as c:
        c.execute("DROP SCHEMA alembic_safe CASCADE")
    ours(production, "safe-guard", "set", name)
    refused(made, lambda: command.downgrade(production.config, "base"))


def test_a_development_name_in_capitals_is_development(project: Project, made: Made) -> None:
    command.upgrade(project.config, "a2")
    ours(project, "safe-guard", "set", "Development")
    command.downgrade(project.config, "base")
    assert made.heads() == frozenset()


def test_a_restore_without_comments_keeps_the_marker(
    production: Project, made: Made, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    """``pg_restore --no-comments`` loses the comment that a schema of ours is known by."""
    copy = Made(cluster, make_database())
    where = ("-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres")
    dump = cluster.folder / f"{copy.name}.dump"
    cluster.run("pg_dump", *where, "-Fc", "-f", str(dump), made.name)
    cluster.run("pg_restore", *where, "--no-comments", "-d", copy.name, str(dump))
    config = production.config
    config.set_main_option("sqlalchemy.url", cluster.url(copy.name))
    error = refused(copy, lambda: command.downgrade(config, "base"))
    assert "nobody has declared the copy" in error.summary


@pytest.mark.usefixtures("drop_roles")
def test_a_role_that_may_not_use_the_journal_is_refused_as_everybody(production: Project, made: Made) -> None:
    """The marker is readable by PUBLIC; the rest of the journal is not, and need not be."""
    config = as_role(production, made, role(made))
    refused(made, lambda: command.upgrade(config, "head"))


@pytest.mark.parametrize(
    "takes",
    ["REVOKE SELECT ON alembic_safe.environment FROM PUBLIC", "REVOKE USAGE ON SCHEMA alembic_safe FROM PUBLIC"],
)
@pytest.mark.usefixtures("drop_roles")
def test_a_marker_that_a_role_may_not_read_counts_as_protected(production: Project, made: Made, takes: str) -> None:
    config = as_role(production, made, role(made, takes))
    error = refused(made, lambda: command.upgrade(config, "head"))
    assert "may not read" in error.summary
    line = next(step.command for step in error.next_steps if step.command.startswith("GRANT"))
    with made.connect() as c:
        c.execute(line)
    assert "set by" in refused(made, lambda: command.upgrade(config, "head")).summary


@pytest.mark.usefixtures("drop_roles")
def test_a_marker_hidden_by_row_security_counts_as_protected(production: Project, made: Made) -> None:
    config = as_role(production, made, role(made, "ALTER TABLE alembic_safe.environment ENABLE ROW LEVEL SECURITY"))
    assert "may not read" in refused(made, lambda: command.stamp(config, "a1")).summary


@pytest.mark.parametrize("name", ['a "b" c', "100%", "we:ird", "Ümläut.dot", "x" * 63, "{name}", "it's"])
@pytest.mark.cases("100%", "it's", 'a "b" c')
def test_a_schema_of_any_name_holds_the_marker(project: Project, made: Made, name: str) -> None:
    escaped = name.replace("%", "%%")
    project.settings(f"schema = {escaped}")
    command.upgrade(project.config, "a2")
    ours(project, "safe-guard", "set", "production")
    with made.connect() as c:
        schemas = {row[0] for row in c.execute("SELECT nspname FROM pg_namespace")}
    assert name in schemas
    refused(made, lambda: command.downgrade(project.config, "base"))
    ours(project, "safe-upgrade", "--no-backup", "--confirm", made.name)
    assert made.heads() == {"a3"}


def test_the_most_severe_of_two_journals_counts(production: Project, made: Made) -> None:
    """Two version tables in one database may bring two journals; one that says less does not lower the other."""
    mark_as(made, "development", protected=False, journals=Journals("public", "alembic_safe_"))
    refused(made, lambda: command.downgrade(production.config, "base"))


def test_two_version_tables_share_one_guard(production: Project, made: Made) -> None:
    env = production.folder / "migrations" / "env.py"
    env.write_text(
        ENV_PY.replace("target_metadata=target_metadata)", "target_metadata=target_metadata, version_table='second')")
    )
    error = refused(made, lambda: command.stamp(production.config, "a1"))
    assert "production" in error.summary


# --- variables and settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [
        {"ALEMBIC_SAFE_ENVIRONMENT": "development"},
        {"ALEMBIC_SAFE_ENVIRONMENT": "ci", "ALEMBIC_SAFE_PROTECTED": "false"},
        {"ALEMBIC_SAFE_PROTECTED": "false"},
        {"ALEMBIC_SAFE_ENVIRONMENT": ""},
        {"ALEMBIC_SAFE_ENVIRONMENT": "  "},
        {"ALEMBIC_SAFE_SCHEMA": "elsewhere"},
    ],
    ids=str,
)
def test_no_variable_lowers_a_marker(
    production: Project, made: Made, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    refused(made, lambda: command.downgrade(production.config, "base"))
    refused(made, lambda: command.stamp(production.config, "a1", purge=True))


@pytest.mark.parametrize("value", ["", " ", "none"])
def test_an_empty_variable_declares_nothing(
    project: Project, made: Made, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    command.upgrade(project.config, "a2")
    monkeypatch.setenv("ALEMBIC_SAFE_ENVIRONMENT", value)
    config = project.config
    config.set_main_option("sqlalchemy.url", made.cluster.url(made.name, host="db"))
    error = refused(made, lambda: command.downgrade(config, "base"))
    assert "undeclared" in error.summary


def test_a_declaration_adds_to_a_development_marker(
    project: Project, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.upgrade(project.config, "a2")
    mark_as(made, "development", protected=False)
    monkeypatch.setenv("ALEMBIC_SAFE_ENVIRONMENT", "production")
    error = refused(made, lambda: command.downgrade(project.config, "base"))
    assert "ALEMBIC_SAFE_ENVIRONMENT" in error.summary


def test_lowering_a_marker_needs_the_name_of_the_database(production: Project, made: Made) -> None:
    before = made.state()
    done = production.run("safe-guard", "set", "development", check=3)
    assert f"alembic safe-guard set development --confirm {made.name}" in done.stderr
    production.run("safe-guard", "set", "development", "--confirm", "another", check=3)
    assert made.state() == before
    production.run("safe-guard", "set", "development", "--confirm", made.name, check=0)
    command.downgrade(production.config, "base")
    assert made.heads() == frozenset()


def test_stock_upgrade_warn_lets_an_upgrade_through_with_a_warning(
    production: Project, made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    production.settings("stock_upgrade = warn")
    refused(made, lambda: command.downgrade(production.config, "base"))
    with caplog.at_level(logging.WARNING):
        command.upgrade(production.config, "head")
    assert "runs here without backup" in caplog.text
    assert made.heads() == {"a3"}


def test_a_copy_of_production_becomes_what_its_owner_declares(
    production: Project, cluster: Cluster, made: Made, make_database: Callable[..., str]
) -> None:
    """The line that the refusal prints is run as it stands."""
    copy = Made(cluster, make_database(template=made.name))
    ini = production.folder / "alembic.ini"
    ini.write_text(ini.read_text().replace(made.name, copy.name))
    error = refused(copy, lambda: command.downgrade(production.config, "a1"))
    line = next(step.command for step in error.next_steps if "safe-guard set" in step.command)
    production.run(*shlex.split(line)[1:], check=0)
    command.downgrade(production.config, "a1")
    assert copy.heads() == {"a1"}
    with made.connect() as c:
        assert c.execute("SELECT environment FROM alembic_safe.environment").fetchone() == ("production",)


@pytest.mark.usefixtures("drop_roles")
def test_a_role_that_may_not_write_the_marker_is_told_so(production: Project, made: Made) -> None:
    """Exit 10, with the command that lists what the role needs; no traceback."""
    name = role(made)
    ini = production.folder / "alembic.ini"
    ini.write_text(ini.read_text().replace("postgres@", f"{name}@"))
    before = made.state()
    done = production.run("safe-guard", "set", "development", "--confirm", made.name, check=10)
    assert f"alembic safe-init --grants {name}" in done.stderr
    assert made.state() == before


def test_an_environment_without_a_name_is_wrong_usage(production: Project, made: Made) -> None:
    before = made.state()
    for name in ("  ", "pro\nd", "p" * 64):
        with pytest.raises(WrongUsage, match="at most 63 printable characters"):
            ours(production, "safe-guard", "set", name)
    assert made.state() == before
