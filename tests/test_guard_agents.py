"""Coding agents: free on development databases, elsewhere only with a grant that a person made on a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from alembic import command

from tests.guarded import as_role, mark_as, ours, refused, role

if TYPE_CHECKING:
    from tests.guard_targets import Made
    from tests.project import Project

pytest_plugins = ("tests.guarded_fixtures",)


def test_an_agent_is_free_on_a_development_database(
    project: Project, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDECODE", "1")
    mark_as(made, "development", protected=False)
    command.upgrade(project.config, "head")
    command.downgrade(project.config, "a1")
    command.stamp(project.config, "a2")
    assert made.heads() == {"a2"}


@pytest.mark.parametrize(
    "variables",
    [{"CLAUDECODE": "1"}, {"CODEX_SANDBOX": "seatbelt"}, {"CURSOR_AGENT": "1"}, {"AI_AGENT": "some-tool"}],
    ids=str,
)
def test_an_agent_is_refused_with_the_line_a_person_can_run(
    production: Project, made: Made, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    error = refused(made, lambda: ours(production, "safe-upgrade"))
    assert 'alembic safe-guard grant --for "safe-upgrade" --ttl 10m' in [step.command for step in error.next_steps]
    before = made.state()
    ours(production, "safe-upgrade", "--dry-run")
    command.current(production.config)
    assert made.state() == before


def test_a_grant_made_by_a_person_on_a_terminal_lets_an_agent_deploy(
    production: Project, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = on_a_terminal(production, "safe-guard", "grant", "--for", "safe-upgrade", "--ttl", "10m")
    assert code == 0, said
    monkeypatch.setenv("CLAUDECODE", "1")
    refused(made, lambda: command.downgrade(production.config, "base"))
    production.run("safe-upgrade", "--no-backup", "--confirm", made.name, check=0)
    assert made.heads() == {"a3"}


def test_an_expired_grant_is_none(production: Project, made: Made) -> None:
    code, said = on_a_terminal(production, "safe-guard", "grant", "--for", "safe-upgrade", "--ttl", "1s")
    assert code == 0, said
    with made.connect() as c:
        c.execute("SELECT pg_sleep(1.1)")
    before = made.state()
    production.run("safe-upgrade", check=3, CLAUDECODE="1")
    assert made.state() == before


def test_a_grant_for_one_command_is_none_for_another(production: Project, made: Made) -> None:
    code, said = on_a_terminal(production, "safe-guard", "grant", "--for", "upgrade", "--ttl", "10m")
    assert code == 0, said
    before = made.state()
    production.run("safe-upgrade", check=3, CLAUDECODE="1")
    assert made.state() == before


def test_an_agent_grants_itself_nothing_even_on_a_terminal(production: Project, made: Made) -> None:
    before = made.state()
    code, said = on_a_terminal(production, "safe-guard", "grant", "--for", "safe-upgrade", CLAUDECODE="1")
    assert code == 3, said
    assert "made by a person on a terminal" in said
    production.run("safe-guard", "grant", "--for", "safe-upgrade", check=3)
    assert made.state() == before


@pytest.mark.usefixtures("drop_roles")
def test_a_grant_that_an_agents_role_may_not_read_is_none(
    production: Project, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDECODE", "1")
    config = as_role(production, made, role(made))
    error = refused(made, lambda: command.upgrade(config, "head"))
    assert "Claude Code" in error.summary


def on_a_terminal(project: Project, *args: str, **environ: str) -> tuple[int, str]:
    """Run ``alembic ARGS`` on a pseudo-terminal of its own; return exit code and all that was shown."""
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.chdir(project.folder)
            os.environ.update(environ)
            os.execv(sys.executable, [sys.executable, "-m", "alembic", *args])
        finally:
            os._exit(127)
    shown = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # Linux says EIO when the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode(errors="replace")
