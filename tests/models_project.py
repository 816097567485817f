"""A project whose models are a file that tests write anew, with Alembic's own template of a revision."""

from __future__ import annotations

import re
import shutil
import textwrap
from pathlib import Path

import alembic

from tests.project import ENV_PY, Project

_ENV_PY = ENV_PY.replace(
    "target_metadata = None",
    "import sys\n\nsys.path.insert(0, config.get_main_option('here'))\nsys.dont_write_bytecode = True\n"
    "import models  # noqa: E402\n\ntarget_metadata = models.metadata",
)
ENV_WITH_REWRITER = _ENV_PY.replace(
    "from alembic import context\n", "from alembic import context\nimport alembic_safe\n", 1
).replace(
    "connection=connection, target_metadata=target_metadata",
    "connection=connection, target_metadata=target_metadata, process_revision_directives=alembic_safe.rewriter",
)
"""An ``env.py`` with the one line that the documentation tells."""
_HEAD = "import sqlalchemy as sa\nfrom sqlalchemy.dialects import postgresql\n{imports}\nmetadata = sa.MetaData()\n\n"


class ModelsProject(Project):
    """A project without revisions yet, and with ``models.py``."""

    @classmethod
    def make(cls, folder: Path, url: str, models: str, *, settings: str = "", env_py: str = _ENV_PY) -> ModelsProject:
        """Write a project on a database.

        :param models: the tables, in terms of ``sa`` and ``metadata``.
        """
        made = cls.create(folder, url, env_py=env_py, settings=settings, plain=False)
        template = Path(alembic.__file__).parent / "templates" / "generic" / "script.py.mako"
        shutil.copyfile(template, folder / "migrations" / "script.py.mako")
        made.models(models)
        return made

    def models(self, text: str, *, imports: str = "") -> None:
        """Write the models anew."""
        (self.folder / "models.py").write_text(_HEAD.format(imports=imports) + textwrap.dedent(text))

    @property
    def files(self) -> list[Path]:
        """The revision files, in the order of their names."""
        return sorted((self.folder / "migrations" / "versions").rglob("*.py"))

    @property
    def text(self) -> str:
        """The newest revision file's text."""
        return max(self.files, key=lambda path: path.stat().st_mtime_ns).read_text()

    @property
    def files_by_time(self) -> list[Path]:
        """The revision files, the newest last."""
        return sorted(self.files, key=lambda path: path.stat().st_mtime_ns)

    @staticmethod
    def revision_of(path: Path) -> str:
        """The id of a revision file."""
        return re.search(r"^revision(?:: str)? = '(\w+)'", path.read_text(), re.MULTILINE).group(1)  # type: ignore[union-attr]

    def copied_to(self, folder: Path, url: str) -> ModelsProject:
        """A copy of this project on another database."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
        ini = folder / "alembic.ini"
        ini.write_text(ini.read_text().replace(self.url.replace("%", "%%"), url.replace("%", "%%")))
        return type(self)(folder, url, dict(self.environ))

    def on(self, url: str) -> ModelsProject:
        """The same project on another database."""
        ini = self.folder / "other.ini"
        ini.write_text(
            (self.folder / "alembic.ini").read_text().replace(self.url.replace("%", "%%"), url.replace("%", "%%"))
        )
        other = type(self)(self.folder, url, dict(self.environ))
        other.ini = "other.ini"
        return other

    ini = ""

    def run(self, *args: str, **kw: object):  # type: ignore[no-untyped-def,override]
        """Run ``alembic ARGS`` on this project's database."""
        words = ("-c", self.ini, *args) if self.ini else args
        return super().run(*words, **kw)  # type: ignore[arg-type]
