"""The page of a plan of twelve revisions in a real Chromium: phone and desktop, light and dark, by axe and by keyboard.

Run with ``tox run -e browser``.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.project import Project
from tests.test_plan import safe_plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster import Cluster

pytestmark = pytest.mark.long

CONCURRENTLY = """with op.get_context().autocommit_block():
    op.create_index("ix_mail", "users", ["mail"], postgresql_concurrently=True)"""
TABLE = """op.create_table("logs", sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("by", sa.Integer, sa.ForeignKey("users.id")))"""
LONG_NAME = 'op.rename_table("logs", "log_of_everything_that_happened_here")'
EXPAND = 'phase = "expand"\nchange = "nick"\nsettles = ()'
REVISIONS = (
    ("a column", 'op.add_column("users", sa.Column("nick", sa.Text))', EXPAND),
    ("its copy", 'op.execute("UPDATE users SET nick = name")', 'phase = "copy"\nchange = "nick"'),
    ("an index", 'op.create_index("ix_name", "users", ["name"])', ""),
    ("an index, slowly", CONCURRENTLY, ""),
    ("a key", 'op.create_unique_constraint("once", "users", ["name"])', ""),
    ("not null", 'op.alter_column("users", "name", nullable=False)', ""),
    ("a table", TABLE, ""),
    ("another type", 'op.alter_column("users", "id", type_=sa.BigInteger)', ""),
    ("a block", "op.execute(\"DO $$ BEGIN DELETE FROM users WHERE name = 'n1'; END $$\")", ""),
    ("a view", 'op.execute("CREATE VIEW named AS SELECT id, name FROM users")', ""),
    ("a very long message that does not end where a line of a phone does", LONG_NAME, ""),
    ("less", 'op.drop_column("users", "mail")', ""),
)  # fmt: skip
SIZES = {"phone": (390, 844), "desktop": (1440, 900)}


@pytest.fixture(scope="module")
def printed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The plan as a page and as text."""
    folder = tmp_path_factory.mktemp("page")
    cluster.create("plan_page")
    project = Project.create(folder / "app", cluster.url("plan_page"))
    project.run("upgrade", "head", check=0)
    with cluster.connect("plan_page") as c:
        c.execute("INSERT INTO users (name, mail) SELECT 'n' || i % 290, 'm' FROM generate_series(1, 300) i")
    before = "a3"
    for number, (message, body, extra) in enumerate(REVISIONS, 1):
        revision = f"b{number:02}"
        project.revision(revision, before, message, body, extra=extra)
        before = revision
    found = {}
    for form in ("html", "text"):
        found[form] = folder / f"plan.{form}"
        safe_plan(project, "--format", form, "-o", str(found[form]))
    cluster.drop("plan_page")
    assert "not observed" not in found["text"].read_text()
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium: the one that a variable names, the system's, or Playwright's own."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("ALEMBIC_SAFE_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any, printed: dict[str, Path], request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, in the size and the colours that the test names."""
    size, scheme = request.param
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(printed["html"].as_uri())
    yield page
    assert asked == [printed["html"].as_uri()], "it asks for something"
    assert said == []
    context.close()


EVERY = [(size, scheme) for size in SIZES for scheme in ("light", "dark")]


@pytest.mark.parametrize("opened", EVERY, indirect=True, ids=" ".join)
@pytest.mark.parametrize("unfolded", [False, True])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    opened: Any, unfolded: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    if unfolded:
        opened.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    opened.screenshot(path=str(tmp_path / "page.png"), full_page=True)
    found = Axe().run(opened)
    wrong = [
        (one["id"], one["impact"], [node["target"] for node in one["nodes"]][:3])
        for one in found.response["violations"]
    ]
    assert wrong == [], request.node.name
    unsure = {one["id"] for one in found.response["incomplete"]}
    assert unsure <= {"color-contrast"}  # of an id that stands beside the line of the graph
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("opened", EVERY[:1], indirect=True, ids=" ".join)
def test_every_part_that_opens_is_reached_and_opened_by_the_keyboard(opened: Any) -> None:
    parts = opened.evaluate("document.querySelectorAll('summary').length")
    assert parts >= len(REVISIONS)
    reached = set()
    for _ in range(20 * parts):
        opened.keyboard.press("Tab")
        where = opened.evaluate(
            "document.activeElement.tagName === 'SUMMARY' ?"
            " [...document.querySelectorAll('summary')].indexOf(document.activeElement) : -1"
        )
        if where >= 0 and where not in reached:
            reached.add(where)
            before = opened.evaluate("document.activeElement.parentElement.open")
            opened.keyboard.press("Enter")
            assert opened.evaluate("document.activeElement.parentElement.open") is not before
            if before:
                opened.keyboard.press("Enter")
        if len(reached) == parts:
            break
    assert len(reached) == parts


@pytest.mark.parametrize("opened", EVERY[1:2], indirect=True, ids=" ".join)
def test_the_page_tells_all_twelve_revisions_in_their_order(opened: Any) -> None:
    text = opened.inner_text("body")
    places = [text.index(f"b{number:02}") for number in range(1, len(REVISIONS) + 1)]
    assert places == sorted(places)


def test_the_text_of_the_same_plan_fits_a_hundred_columns(printed: dict[str, Path]) -> None:
    lines = printed["text"].read_text().splitlines()
    prose = [line for line in lines if not line.startswith(" " * 11) and "--accept" not in line and ".py:" not in line]
    assert max(len(line) for line in prose) <= 100
    assert all(any(f"b{number:02}" in line for line in lines) for number in range(1, len(REVISIONS) + 1))
