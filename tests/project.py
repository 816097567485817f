"""A small Alembic project on disk, and its commands as a user runs them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alembic.config import Config

from tests import warm
from tests.patience import PATIENCE

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

ENV_PY = """\
from alembic import context
from sqlalchemy import engine_from_config, pool

config = context.config
target_metadata = None


def run_migrations_online():
    connectable = engine_from_config(config.get_section("alembic"), prefix="sqlalchemy.", poolclass=pool.NullPool)
    with connectable.connect() as connection:
        context.configure(connection=connection, target_metadata=target_metadata)
        with context.begin_transaction():
            context.run_migrations()


def run_migrations_offline():
    context.configure(url=config.get_main_option("sqlalchemy.url"), literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
"""

REVISION = '''\
"""{message}

Revision ID: {id}
Revises: {down}
"""
import sqlalchemy as sa
from alembic import op

revision = {id!r}
down_revision = {down!r}
{extra}

def upgrade():
{upgrade}


def downgrade():
{downgrade}
'''


def _indent(body: str) -> str:
    return "\n".join("    " + line for line in (body.strip() or "pass").splitlines())


@dataclass
class Project:
    """A folder with alembic.ini, migrations/ and what a test writes into it."""

    folder: Path
    url: str
    environ: dict[str, str] = field(default_factory=dict)

    @classmethod
    def create(cls, folder: Path, url: str, *, env_py: str = ENV_PY, settings: str = "", plain: bool = True) -> Project:
        """Write a project.

        :param settings: lines of the ``[alembic_safe]`` section of alembic.ini; empty: no section.
        :param plain: with three plain revisions ``a1``, ``a2``, ``a3``.
        """
        (folder / "migrations" / "versions").mkdir(parents=True)
        escaped = url.replace("%", "%%")
        ini = f"[alembic]\nscript_location = %(here)s/migrations\npath_separator = os\nsqlalchemy.url = {escaped}\n"
        if settings:
            ini += f"\n[alembic_safe]\n{settings}\n"
        (folder / "alembic.ini").write_text(ini)
        (folder / "migrations" / "env.py").write_text(env_py)
        (folder / "migrations" / "script.py.mako").write_text("")
        self = cls(folder, url)
        if plain:
            self.revision("a1", None, "users", 'op.create_table("users", sa.Column("id", sa.Integer, primary_key=True))',
                          'op.drop_table("users")')  # fmt: skip
            self.revision("a2", "a1", "names", 'op.add_column("users", sa.Column("name", sa.Text))',
                          'op.drop_column("users", "name")')  # fmt: skip
            self.revision("a3", "a2", "mails", 'op.add_column("users", sa.Column("mail", sa.Text))',
                          'op.drop_column("users", "mail")')  # fmt: skip
        return self

    @property
    def config(self) -> Config:
        return Config(str(self.folder / "alembic.ini"))

    def revision(
        self,
        rev_id: str,
        down: str | tuple[str, ...] | None,
        message: str = "",
        upgrade: str = "",
        downgrade: str = "",
        extra: str = "",
    ) -> Path:
        """Write a revision file; the bodies are Python, without indentation."""
        path = self.folder / "migrations" / "versions" / f"{rev_id}_{message.replace(' ', '_')}.py"
        path.write_text(
            REVISION.format(
                id=rev_id,
                down=down,
                message=message,
                upgrade=_indent(upgrade),
                downgrade=_indent(downgrade),
                extra=extra,
            )
        )
        return path

    def settings(self, lines: str) -> None:
        """Add a section of ours to alembic.ini."""
        with (self.folder / "alembic.ini").open("a") as f:
            f.write(f"\n[alembic_safe]\n{lines}\n")

    def run(
        self,
        *args: str,
        check: int | None = None,
        executable: str = "alembic",
        stdin: str = "",
        cold: bool = False,
        **environ: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``alembic ARGS`` as a process of its own.

        :param check: the exit code that is expected.
        :param cold: with an interpreter of its own, which imports everything itself.
        """
        words = ["alembic" if executable == "alembic" else "alembic_safe", *args]
        run = warm.run_cold if cold else warm.run
        done = run(words, self.folder, os.environ | self.environ | environ, stdin=stdin, timeout=PATIENCE)
        if check is not None:
            assert done.returncode == check, f"{args}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done
