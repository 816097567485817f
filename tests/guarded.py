"""How is a database marked, reached as a role without rights, and held to be unchanged by what is refused?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from alembic_safe.commands import load
from alembic_safe.database import journal_tables
from alembic_safe.database.marking import mark
from alembic_safe.errors import Refused
from tests.guard_targets import JOURNALS, Made

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config

    from alembic_safe.database.environment import Journals
    from tests.project import Project


def mark_as(made: Made, environment: str, *, protected: bool, journals: Journals = JOURNALS) -> None:
    """Write a marker, as ``safe-guard set`` does."""
    with made.connect() as c, c.transaction():
        journal_tables.make_or_upgrade(c, journals, tool="test")
        mark(c, journals, environment=environment, protected=protected)


def refused(made: Made, call: Callable[[], object]) -> Refused:
    """Run what must be refused, and hold that nothing was changed; return what was said."""
    before = made.state()
    with pytest.raises(Refused) as caught:
        call()
    assert caught.value.exit_code == 3
    assert made.state() == before
    return caught.value


def role(made: Made, *statements: str) -> str:
    """Make a role that owns nothing of ours, and run statements for it; ``{role}`` is its name."""
    name = f"deploy_{made.name}"
    with made.connect() as c:
        c.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        for statement in ("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}", "GRANT ALL ON SCHEMA public TO {role}",
                          *statements):  # fmt: skip
            c.execute(sql.SQL(statement).format(role=sql.Identifier(name)))
    return name


def as_role(project: Project, made: Made, name: str) -> Config:
    """Return the project's configuration with another user in its URL."""
    config = project.config
    config.set_main_option("sqlalchemy.url", made.cluster.url(made.name, user=name))
    return config


def ours(project: Project, name: str, *args: str) -> None:
    """Run a command of ours in this process."""
    load(name).main(list(args), obj=project.config, standalone_mode=False)
