"""Runs stock commands with the plugin, or with it kept from loading, and returns every byte that they say."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests import warm
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

# Both sides begin with this, so that nothing but the plugin is different. Without it, Alembic asks for entry points and
# ours is not among them, as on a machine that does not have us.
BEFORE = """\
import importlib.metadata
import sys

if {kept_out}:
    every = importlib.metadata.entry_points

    def entry_points(**kw):
        return importlib.metadata.EntryPoints(p for p in every(**kw) if not p.value.startswith("alembic_safe"))

    importlib.metadata.entry_points = entry_points

import alembic.config

if {kept_out} == ("alembic_safe.plugin" in sys.modules):
    sys.exit("the plugin was to be kept out: {kept_out}; it was not so")
"""

MODELS = """\
import os

import sqlalchemy as sa

metadata = sa.MetaData()
people = sa.Table(
    "people", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("mail", sa.String(80), nullable=False)
)
orders = sa.Table(
    "orders",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("person_id", sa.ForeignKey("people.id", name="orders_person"), index=True),
)
if os.environ["MODELS"] == "2":
    people.append_column(sa.Column("Full Name", sa.Text))
    sa.Index("orders_latest", orders.c.id.desc())
"""

BROKEN = '''\
"""broken"""
from alembic import op

revision = "3c"
down_revision = "2b"


def upgrade():
    op.execute("INSERT INTO nowhere VALUES (1)")


def downgrade():
    pass
'''


@dataclass(frozen=True)
class Said:
    """What one command said, with what is different in every run made equal."""

    command: str
    exit_code: int
    stdout: str
    stderr: str


@dataclass
class Side:
    """A project of a person who uses plain Alembic, with our plugin or with it kept from loading.

    :param folder: as long a path on both sides: Alembic breaks its lines at the terminal's width.
    :param database: the name of a PostgreSQL database in ``url``, as long on both sides, too.
    """

    folder: Path
    url: str
    plugin: bool
    database: str = ""
    said: list[Said] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "models.py").write_text(MODELS)

    def run(self, *args: str, models: int = 1, **environ: str) -> Said:
        """Run one stock command in a process of its own, and keep what it said.

        :param models: which version of the models it sees.
        """
        own = {
            "MODELS": str(models),
            "COLUMNS": "2000",  # the list of commands in the help must not be broken into lines
            "PYTHONHASHSEED": "0",  # autogenerate looks at tables in the order of a set
        }
        environ = os.environ | own | environ
        done = warm.Started(
            ["alembic", *args], self.folder, environ, before=BEFORE.format(kept_out=not self.plugin)
        )  # fmt: skip
        out, err = done.outputs(PATIENCE)
        assert done.returncode is not None
        said = Said(" ".join(args), done.returncode, self.same(out), self.same(err))
        self.said.append(said)
        return said

    def init(self, template: str) -> None:
        """Make the environment with ``alembic init``, and edit what its comments say has to be edited."""
        self.run("init", "--template", template, "migrations")
        ini, env = self.folder / "alembic.ini", self.folder / "migrations" / "env.py"
        ini.write_text(ini.read_text().replace("driver://user:pass@localhost/dbname", self.url))
        edited = env.read_text().replace("target_metadata = None", "from models import metadata as target_metadata")
        env.write_text(edited)

    def write_broken_revision(self) -> None:
        """Add a revision that fails in the database."""
        (self.folder / "migrations" / "versions" / "3c_broken.py").write_text(BROKEN)

    def same(self, output: bytes) -> str:
        """Take out what is different in every run: folder, database, revision ids, dates, frames of our own."""
        text = output.decode()
        text = text.replace(str(self.folder), "<folder>")
        if self.database:
            text = text.replace(self.database, "<database>")
        text = re.sub(r"(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])", "<revision>", text)
        text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+", "<date>", text)
        text = re.sub(r"\[(generated in|cached since) [^\]]*\]", "[<cache>]", text)
        # a traceback passes our doors; the frames have a source line and, on some versions, a line of carets
        return re.sub(r'  File "[^"]*/alembic_safe/[^"]*", line \d+, in .*\n(?:    .*\n)*', "", text)

    def files(self) -> dict[str, str]:
        """Return every file that Alembic wrote, by its name with what is different in every run made equal."""
        written = [path for path in (self.folder / "migrations").rglob("*") if path.is_file() and path.suffix != ".pyc"]
        return {self.same(str(path).encode()): self.same(path.read_bytes()) for path in sorted(written)}


def work_as_usual(side: Side, template: str) -> None:
    """Do with the stock commands what a person does in a week."""
    side.run("--version")
    side.init(template)
    side.run("revision", "--autogenerate", "-m", "first", "--rev-id", "1a")
    side.run("upgrade", "head", "--sql")
    side.run("upgrade", "head")
    side.run("check")
    side.run("revision", "--autogenerate", "-m", "second", "--rev-id", "2b", models=2)
    side.run("heads")
    side.run("history")
    side.run("stamp", "2b")
    side.run("stamp", "1a")
    side.run("upgrade", "+1")
    side.run("current", "--verbose")
    side.run("downgrade", "-1")


def make_mistakes(side: Side) -> None:
    """Do, behind :func:`work_as_usual`, what fails, and go all the way back."""
    side.run("check")
    side.run("upgrade", "nowhere")
    side.run("upgrade", "2b")
    side.run("check")
    side.write_broken_revision()
    side.run("upgrade", "head")
    side.run("current")
    side.run("revision", "-m", "by hand")
    side.run("downgrade", "2b:base", "--sql")
    side.run("downgrade", "base")
