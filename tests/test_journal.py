"""The journal: what stock commands leave in it, who may write it, and how it comes to its newest version."""

from __future__ import annotations

import getpass
import socket
from typing import TYPE_CHECKING

import pytest
from alembic import command

from alembic_safe.database import journal, journal_steps, journal_tables
from alembic_safe.inspecting.history import code_of
from tests.guard_targets import JOURNALS
from tests.guarded import as_role, mark_as, ours, role

if TYPE_CHECKING:
    from tests.guard_targets import Made
    from tests.project import Project

pytest_plugins = ("tests.guarded_fixtures",)


def test_stock_commands_on_a_marked_database_are_journalled(project: Project, made: Made) -> None:
    mark_as(made, "development", protected=False)
    command.upgrade(project.config, "a2")
    command.downgrade(project.config, "a1")
    command.stamp(project.config, "a3")
    with made.connect() as c:
        rows = c.execute(
            "SELECT revision, parents, message, direction, command, person, machine, role FROM alembic_safe.revisions"
            " ORDER BY id"
        ).fetchall()
        text = c.execute("SELECT source FROM alembic_safe.revisions WHERE revision = 'a1' LIMIT 1").fetchone()
    who = ("alembic", getpass.getuser(), socket.gethostname(), "postgres")
    assert rows == [
        ("a1", [], "users", "up", *who),
        ("a2", ["a1"], "names", "up", *who),
        ("a2", ["a1"], "names", "down", *who),
        ("a3", ["a2"], "mails", "stamp", *who),
    ]
    file = next((project.folder / "migrations" / "versions").glob("a1_*.py"))
    assert text == (file.read_text(),)


def test_a_journal_row_is_gone_with_the_revision_that_failed(project: Project, made: Made) -> None:
    """Both are written in one transaction."""
    project.revision("a4", "a3", "fails", 'op.execute("SELECT 1 / 0")')
    mark_as(made, "development", protected=False)
    with pytest.raises(Exception, match="division by zero"):
        command.upgrade(project.config, "head")
    with made.connect() as c:
        assert c.execute("SELECT count(*) FROM alembic_safe.revisions").fetchone() == (0,)
    assert made.heads() == frozenset()


@pytest.mark.usefixtures("drop_roles")
def test_a_role_that_may_not_write_the_journal_still_upgrades_a_development_database(
    project: Project, made: Made
) -> None:
    mark_as(made, "development", protected=False)
    command.upgrade(as_role(project, made, role(made)), "a2")
    assert made.heads() == {"a2"}
    with made.connect() as c:
        assert c.execute("SELECT count(*) FROM alembic_safe.revisions").fetchone() == (0,)


@pytest.mark.usefixtures("drop_roles")
@pytest.mark.parametrize("knows_the_version", [True, False])
def test_a_role_that_may_add_to_the_journal_adds_to_it_when_it_can_see_how(
    project: Project, made: Made, knows_the_version: bool
) -> None:
    """A row in the wrong shape would fail the revision with it, so a role that cannot see the version adds none."""
    mark_as(made, "development", protected=False)
    rights = ["GRANT INSERT ON alembic_safe.revisions TO {role}"]
    if knows_the_version:
        rights.append("GRANT SELECT ON alembic_safe.journal_version TO {role}")
    name = role(made, *rights)
    command.upgrade(as_role(project, made, name), "a1")
    assert made.heads() == {"a1"}
    with made.connect() as c:
        rows = c.execute("SELECT revision, role FROM alembic_safe.revisions").fetchall()
    assert rows == ([("a1", name)] if knows_the_version else [])


def test_a_journal_of_an_older_version_is_brought_forward(
    project: Project, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later release of ours has a version more; a deploy brings the tables there, rows and rights kept."""
    command.upgrade(project.config, "a2")
    mark_as(made, "production", protected=True)
    later = (
        *journal_tables.VERSIONS,
        ("ALTER TABLE {backups} ADD COLUMN note text", "CREATE INDEX ON {backups} (note)"),
    )
    monkeypatch.setattr(journal_tables, "VERSIONS", later)
    ours(project, "safe-upgrade", "--no-backup", "--confirm", made.name)
    with made.connect() as c:
        versions = c.execute("SELECT version FROM alembic_safe.journal_version ORDER BY 1").fetchall()
        assert versions == [(n,) for n in range(1, len(later) + 1)]
        assert c.execute("SELECT note FROM alembic_safe.backups").fetchall() == []
        assert c.execute("SELECT environment FROM alembic_safe.environment").fetchone() == ("production",)
    assert made.heads() == {"a3"}


def test_a_journal_from_before_there_were_phases_is_read_and_then_brought_forward(project: Project, made: Made) -> None:
    command.upgrade(project.config, "a2")
    with made.connect() as c, pytest.MonkeyPatch.context() as before:
        before.setattr(journal_tables, "VERSIONS", journal_tables.VERSIONS[:3])
        journal_tables.make_or_upgrade(c, JOURNALS, tool="0.1")
        c.execute(
            "INSERT INTO alembic_safe.revisions (version_table, revision, parents, message, direction, command, person,"
            " machine) VALUES ('alembic_version', 'a2', '{a1}', 'names', 'up', 'alembic', 'ann', 'box')"
        )
    with made.connect() as c:
        (row,) = journal.applied_revisions(c, JOURNALS, "alembic_version").values()
        assert (row.revision, row.phase, row.change, row.files_hash) == ("a2", None, None, None)
        assert 0 <= row.age < 600
        assert journal_steps.half_done(c, JOURNALS, "alembic_version") == ()
        assert journal_steps.sightings(c, JOURNALS, "alembic_version") == {}
    ours(project, "safe-upgrade")
    with made.connect() as c:
        found = journal.applied_revisions(c, JOURNALS, "alembic_version")
        assert (found["a3"].phase, found["a3"].change) == (None, None)
        assert found["a3"].files_hash


def test_a_journal_of_a_newer_version_is_left_as_it_is(
    project: Project, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During a rolling deployment an older release meets what a newer one has made."""
    command.upgrade(project.config, "a2")
    now = journal_tables.VERSIONS
    monkeypatch.setattr(journal_tables, "VERSIONS", (*now, ("ALTER TABLE {backups} ADD COLUMN note text",)))
    mark_as(made, "production", protected=True)
    monkeypatch.setattr(journal_tables, "VERSIONS", now)
    ours(project, "safe-upgrade", "--no-backup", "--confirm", made.name)
    with made.connect() as c:
        assert journal_tables.version_of(c, JOURNALS) == len(now) + 1
        assert set(journal.applied_revisions(c, JOURNALS, "alembic_version")) == {"a3"}
    assert made.heads() == {"a3"}


APPLIED = '''\
"""add a table

Revision ID: b1
"""
from alembic import op

revision = 'b1'


def upgrade():
    """Make it."""
    op.execute('SELECT 1')  # why
'''


@pytest.mark.parametrize(
    "text",
    [
        APPLIED.replace("\n", "\r\n"),
        APPLIED.replace("'", '"'),
        APPLIED.replace("  # why", ""),
        APPLIED.replace("# why", "# another reason"),
        APPLIED.replace("Make it.", "Make it, and say so."),
        APPLIED.replace("add a table", "add one table"),
        APPLIED.replace("op.execute('SELECT 1')", "op.execute(\n        'SELECT 1',\n    )"),
    ],
    ids=["CRLF", "quotes", "comment gone", "comment changed", "docstring", "module docstring", "wrapped"],
)
def test_what_a_formatter_or_a_comment_changes_is_no_edit(text: str) -> None:
    assert text != APPLIED
    assert code_of(text) == code_of(APPLIED)


@pytest.mark.parametrize(
    ("before", "after"),
    [("SELECT 1", "SELECT 2"), ("SELECT 1", "SELECT  1"), ("'b1'", "'b2'"), ("op.execute", "op.get_bind().execute")],
)
def test_a_changed_string_name_or_call_is_an_edit(before: str, after: str) -> None:
    assert code_of(APPLIED.replace(before, after)) != code_of(APPLIED)
