"""What originals import from the application is named, and copied for them on request, so that they run later, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.squash_project import on, rows, tree, with_template

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster import Cluster
    from tests.project import Project

IMPORTS = """
from __future__ import annotations

from typing import TYPE_CHECKING

import shop.kinds as k
from shop.kinds import KINDS

if TYPE_CHECKING:
    from shop.elsewhere import Nothing
"""
UP = """
import shop.plans.free
from shop import plans
from shop.plans import words
op.create_table("kinds", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))
for n, kind in enumerate(KINDS):
    op.execute(f"INSERT INTO kinds VALUES ({n}, '{kind} {k.KINDS[0]} {plans.free.NAME} {words.NAME}')")
"""
APPLICATION = {
    "__init__.py": "from shop.version import VERSION\n",
    "version.py": "VERSION = '1'\n",
    "kinds.py": "from .plans import words\nfrom shop.version import VERSION\nKINDS = ('small', 'large ' + VERSION)\n",
    "plans/__init__.py": "",
    "plans/free.py": "import json\nfrom . import words\nNAME = json.dumps(words.NAME)\n",
    "plans/words.py": "NAME = 'old'\n",
    "elsewhere.py": "raise RuntimeError('nobody imports this')\n",
}


def application(project: Project) -> None:
    for name, text in APPLICATION.items():
        path = project.folder / "shop" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    path = project.revision("a4", "a3", "kinds", UP, 'op.drop_table("kinds")')
    path.write_text(path.read_text().replace('"""\nimport sqlalchemy', f'"""{IMPORTS}import sqlalchemy', 1))


@pytest.mark.long
def test_vendored_originals_run_when_the_application_is_another_one(
    project: Project, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    with_template(project)
    application(project)
    project.revision("a5", "a4", "and on", 'op.execute("ALTER TABLE kinds ADD COLUMN note text")',
                     'op.drop_column("kinds", "note")')  # fmt: skip
    before, after = make_database(), make_database()
    on(project, cluster.url(before)).run("upgrade", "head", check=0)
    original = (project.folder / "migrations" / "versions" / "a4_kinds.py").read_bytes()
    said = " ".join(on(project, project.url).run("squash", "--vendor", "-m", "all", check=0).stdout.split())
    named = "shop (a4), shop.kinds (a4), shop.plans (a4), shop.plans.free (a4), shop.plans.words (a4)"
    assert f"imported from the application: {named}; copied for the archive" in said
    archive = project.folder / "migrations" / "squashed" / "a5"
    assert (archive / "a4_kinds.py").read_bytes() == original
    assert set(tree(archive / "vendored")) == {f"shop/{name}" for name in APPLICATION if name != "elsewhere.py"}

    (project.folder / "shop" / "kinds.py").unlink()  # two years later
    (project.folder / "shop" / "plans" / "words.py").write_text("NAME = 'new'\n")
    on(project, cluster.url(after)).run("upgrade", "a2", check=0)
    project.run("upgrade", "head", check=0)
    assert rows(cluster, after, "SELECT * FROM kinds ORDER BY id") == rows(
        cluster, before, "SELECT * FROM kinds ORDER BY id"
    )
    assert rows(cluster, after, "SELECT name FROM kinds WHERE id = 1") == [('large 1 small "old" old',)]

    project.run("squash", "--check", check=0)
    copy = archive / "vendored" / "shop" / "plans" / "words.py"
    copy.write_text("NAME = 'other'\n")
    assert "shop/plans/words.py: changed" in project.run("squash", "--check", check=4).stderr


@pytest.mark.long
def test_what_the_originals_import_is_told_where_nothing_is_copied(project: Project) -> None:
    with_template(project)
    application(project)
    done = " ".join(project.run("squash", "--dry-run", "-m", "all", check=0).stdout.split())
    assert "shop.plans.words (a4); the archive needs them as they are (or --vendor)" in done
