"""A project whose models a test writes, on a database that it pushes them into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from alembic_safe.authoring.push import dev_push
from alembic_safe.authoring.push_request import Planned, Pushed, Request
from alembic_safe.settings import Settings
from tests.project import ENV_PY, Project

if TYPE_CHECKING:
    from pathlib import Path

MODELS_ENV_PY = ENV_PY.replace(
    "target_metadata = None",
    "import pathlib\n_models = {}\n"
    "exec(compile((pathlib.Path(__file__).parent.parent / 'models.py').read_text(), 'models.py', 'exec'), _models)\n"
    "target_metadata = _models['metadata']",
)
"""env.py that reads the models anew at every run."""

HEAD = """\
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from alembic_safe import renamed_from
metadata = sa.MetaData()
"""


@dataclass
class PushProject:
    """A project, its database, and what pushes of it told."""

    project: Project
    dsn: str

    @classmethod
    def create(cls, folder: Path, url: str, *, env_py: str = MODELS_ENV_PY, settings: str = "") -> PushProject:
        project = Project.create(folder, url, env_py=env_py, plain=False, settings=settings)
        (project.folder / "migrations" / "script.py.mako").write_text("")
        self = cls(project, url.replace("postgresql+psycopg", "postgresql"))
        self.models("")
        return self

    def models(self, body: str) -> None:
        """Write the models; ``metadata`` is there already."""
        (self.project.folder / "models.py").write_text(HEAD + body)

    def push(self, body: str | None = None, **request: Any) -> list[Any]:
        """Push, and return what was told."""
        if body is not None:
            self.models(body)
        told: list[Any] = []
        config = self.project.config
        if "accept" in request:
            request["accept"] = frozenset(request["accept"])
        dev_push(config, Settings.load(config), Request(**request), told.append)
        return told

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []


def outcome(told: list[Any]) -> str:
    return next(one.outcome for one in told if isinstance(one, Pushed))


def plan_lines(told: list[Any]) -> list[str]:
    return [change.line for one in told if isinstance(one, Planned) for change in one.plan.changes]


def finding_ids(told: list[Any]) -> list[str]:
    return [finding.id for one in told if isinstance(one, Planned) for finding in one.findings]
