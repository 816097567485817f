"""One autogenerate between two models, its files applied phase by phase, up and down, on a database with rows."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alembic
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from alembic_safe import commands
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.changes import changes
from alembic_safe.inspecting.comparison import compare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic_safe.inspecting.catalog_records import Catalog
    from tests.cluster import Cluster

_ENV_PY = """\
import alembic_safe
from alembic import context

config = context.config
engine = config.attributes["engine"]
with engine.connect() as connection:
    context.configure(
        connection=connection, target_metadata=config.attributes.get("models"), transaction_per_migration=True,
        process_revision_directives=config.attributes.get("hook", alembic_safe.rewriter), include_schemas=True,
        compare_server_default=config.attributes.get("compares_defaults", False),
    )
    with context.begin_transaction():
        context.run_migrations()
"""


@dataclass
class Case:
    """A project in this process: models are given as metadata, commands are Alembic's own functions.

    :param new: the models that lead to ``old``'s successor.
    """

    folder: Path
    cluster: Cluster
    database: str
    make_database: Callable[..., str]
    config: Config = field(init=False)

    def __post_init__(self) -> None:
        versions = self.folder / "migrations" / "versions"
        versions.mkdir(parents=True)
        (self.folder / "migrations" / "env.py").write_text(_ENV_PY)
        template = Path(alembic.__file__).parent / "templates" / "generic" / "script.py.mako"
        shutil.copyfile(template, self.folder / "migrations" / "script.py.mako")
        self.output = io.StringIO()
        self.config = Config(stdout=self.output)
        self.config.set_main_option("script_location", str(self.folder / "migrations"))
        self.config.set_main_option("path_separator", "os")
        self.engine = sa.create_engine(self.cluster.url(self.database), poolclass=sa.NullPool)
        self.config.attributes["engine"] = self.engine

    def begin(self, models: sa.MetaData, rows: str = "") -> None:
        """Make the tables of models, with rows."""
        self._create(self.engine, models)
        self.run(rows)

    @staticmethod
    def _create(engine: sa.Engine, models: sa.MetaData) -> None:
        with engine.begin() as c:
            for schema in {table.schema for table in models.tables.values() if table.schema}:
                c.execute(sa.schema.CreateSchema(schema, if_not_exists=True))
            models.create_all(c)

    def revise(self, models: sa.MetaData, message: str = "second", **kw: Any) -> dict[str, str]:
        """Run ``alembic revision --autogenerate``; return the new files' texts by phase ("" is the ordinary one)."""
        self.config.attributes["models"] = models
        before = set(self.files)
        command.revision(self.config, message, autogenerate=True, **kw)
        texts = [path.read_text() for path in self.files if path not in before]
        return {_phase(text): text for text in texts}

    def check(self, models: sa.MetaData) -> None:
        """Run ``alembic check``; raises where it finds something."""
        self.config.attributes["models"] = models
        command.check(self.config)

    def upgrade(self, revision: str = "head") -> None:
        command.upgrade(self.config, revision)

    def downgrade(self, revision: str) -> None:
        command.downgrade(self.config, revision)

    def ship(self) -> None:
        """Bring every parked contract into the chain, as it is."""
        for path in sorted(self.contracts.glob("*.py")):
            path.rename(self.folder / "migrations" / "versions" / path.name)

    @property
    def contracts(self) -> Path:
        return self.folder / "migrations" / "contracts"

    @property
    def files(self) -> list[Path]:
        return [*(self.folder / "migrations" / "versions").glob("*.py"), *self.contracts.glob("*.py")]

    @property
    def script(self) -> ScriptDirectory:
        return ScriptDirectory.from_config(self.config)

    @property
    def changes(self) -> tuple[Any, ...]:
        return changes(self.script)

    def run(self, sql: str) -> list[Any]:
        """Run SQL on the database and return the last statement's rows."""
        with self.cluster.connect(self.database) as c:
            done = c.execute(sql) if sql else None  # type: ignore[arg-type]
            return done.fetchall() if done is not None and done.description else []

    @property
    def catalog(self) -> Catalog:
        with self.engine.connect() as c:
            return read_catalog(c, leave_out=frozenset({"alembic_version"}))

    def created(self, models: sa.MetaData, unsaid: str = "") -> Catalog:
        """What ``create_all()`` makes of models, and SQL of what they do not say."""
        engine = sa.create_engine(self.cluster.url(self.make_database()), poolclass=sa.NullPool)
        self._create(engine, models)
        with engine.connect() as c:
            c.exec_driver_sql(unsaid or "SELECT")
            return read_catalog(c)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Hold that a block leaves files and database as they were."""
        files, catalog = {path: path.read_text() for path in self.files}, self.catalog
        yield
        assert {path: path.read_text() for path in self.files} == files
        assert compare(catalog, self.catalog) == ()


def deploy(case: Case) -> None:
    """Run ``alembic safe-upgrade`` on the case's database: every step a transaction of its own."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = commands.run("safe-upgrade", (), case.config)
    assert code == 0, out.getvalue()


def walk(case: Case, old: sa.MetaData, new: sa.MetaData, rows: str = "") -> dict[str, str]:
    """Go from old to new phase by phase, back and there again; hold what must be true of every recipe.

    The expand drops nothing and the contract makes nothing (but a proof that goes again in it), the end is what
    ``create_all()`` makes, each way back leads to what was before, and twice is once.
    """
    case.begin(old, rows)
    texts = case.revise(new)
    chain = [revision.revision for revision in reversed(list(case.script.walk_revisions()))]
    before = [case.catalog]
    for revision in chain:
        case.upgrade(revision)
        before.append(case.catalog)
        if getattr(case.script.get_revision(revision).module, "phase", "") == "expand":
            assert_drops_nothing(before[-2], before[-1])
    case.check(new)
    wanted = case.created(new)
    if "contract" in texts:
        case.ship()
        case.upgrade()
        assert_makes_nothing(before[-1], case.catalog, wanted)
    assert_same(wanted, case.catalog, "the end")
    case.check(new)
    for n, expected in reversed(list(enumerate(before))):
        down = ([*chain, "head"] if "contract" in texts else chain)[n - 1] if n else "base"
        if n < len(before) - 1 or "contract" in texts:
            case.downgrade(down)
        assert_same(expected, case.catalog, f"back at {down}")
    case.upgrade()
    assert_same(wanted, case.catalog, "the end, again")
    return texts


def milestone(case: Case, old: sa.MetaData, new: sa.MetaData, rows: str = "") -> dict[str, str]:
    """Run ``alembic milestone``, which also finds what autogenerate does not see.

    The tables of ``old`` are made by a revision of their own, the first time; returns the new files' texts by phase.
    """
    if not case.files:
        case.begin(sa.MetaData())
        case.revise(old, "first")
        case.upgrade()
        case.run(rows)
    case.config.attributes["models"] = new
    before = set(case.files)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = commands.run("milestone", ("-m", "second"), case.config)
    assert code == 0, out.getvalue()
    texts = [path.read_text() for path in case.files if path not in before]
    return {_phase(text): text for text in texts}


def stop_everywhere(case: Case, new: sa.MetaData, phase: str, unsaid: str = "") -> int:
    """Stop a phase before and behind each of its steps: it goes on to the end from there, and is taken back from there.

    The database is where the phase begins.

    :param unsaid: SQL that makes what the models do not say.

    :returns: how many steps there are.
    """
    path = next(path for path in case.files if _phase(path.read_text()) == phase)
    text = path.read_text()
    before, [(at,)] = case.catalog, case.run("SELECT version_num FROM alembic_version")
    head, *steps = re.split(r"(?=^    with op\.step)", text.partition("def downgrade")[0], flags=re.MULTILINE)
    tail = "def downgrade" + text.partition("def downgrade")[2]
    revision = re.search(r"^revision: str = '(\w+)'", text, re.MULTILINE)
    assert revision is not None
    for n in range(len(steps) + 1):
        for goes_on in (True, False):
            path.write_text(head + "".join(steps[:n]).rstrip() + "\n    pass\n\n\n" + tail)
            case.upgrade(revision[1])
            path.write_text(text)
            if goes_on:
                case.run(f"UPDATE alembic_version SET version_num = '{at}'")
                case.upgrade(revision[1])
                if phase == "contract":
                    assert_same(case.created(new, unsaid), case.catalog, f"stopped behind {n} steps")
            case.downgrade("-1")
            assert_same(before, case.catalog, f"taken back behind {n} steps")
    return len(steps)


def assert_same(expected: Catalog, found: Catalog, where: str) -> None:
    differing = [str(one) for one in compare(expected, found, owners=False)]
    assert not differing, f"{where}: {differing}"


def assert_drops_nothing(before: Catalog, after: Catalog) -> None:
    gone = sorted(before.objects.keys() - after.objects.keys())
    assert gone == [], f"the expand drops {gone}"


def assert_makes_nothing(before: Catalog, after: Catalog, wanted: Catalog) -> None:
    came = [
        id_ for id_ in sorted(after.objects.keys() - before.objects.keys())
        # what was built under another name gets the one of what it replaces
        if not any(_same(before, other, after, id_) for other in before.objects.keys() - after.objects.keys())
    ]  # fmt: skip
    assert came == [], f"the contract makes {came}"
    assert wanted.objects.keys() >= after.objects.keys() - {id_ for id_ in after.objects if id_.kind == "schema"}


def _same(one: Catalog, id_: Any, other: Catalog, new: Any) -> bool:
    if (id_.kind, id_.parent) != (new.kind, new.parent):
        return False

    def said(catalog: Catalog, of: Any) -> dict[str, Any]:
        found = {key: str(value).replace(of.name, "").replace("_new", "") for key, value in catalog.objects[of].items()}
        found.pop("position", None)
        return found

    return said(one, id_) == said(other, new)


def _phase(text: str) -> str:
    line = next((line for line in text.splitlines() if line.startswith("phase = ")), "")
    return line.partition("= ")[2].strip("'")
