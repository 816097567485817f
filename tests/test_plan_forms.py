"""The forms of a plan for pull requests, pipelines and people: what each holds, and that no name breaks out of it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from tests.test_plan import safe_plan

if TYPE_CHECKING:
    from tests.cluster import Cluster

HOSTILE = 'a|b`<img src=x>"*[x](y),:%\n'


@pytest.fixture(scope="module")
def printed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One plan in every form: a hostile column goes, an index comes, another revision is in SQL alone."""
    from tests.project import Project

    cluster.create("plan_forms")
    project = Project.create(tmp_path_factory.mktemp("forms") / "app", cluster.url("plan_forms"))
    project.run("upgrade", "head", check=0)
    column = HOSTILE.strip().replace('"', '""')
    with cluster.connect("plan_forms") as c:
        c.execute(f'ALTER TABLE users ADD COLUMN "{column}" text')
        c.execute("INSERT INTO users (name) VALUES ('a'), ('b'), (NULL)")
        c.execute(f'UPDATE users SET "{column}" = name')
    project.revision("a4", "a3", "a hostile one", f"op.add_column('users', sa.Column({HOSTILE.strip()!r}, sa.Text))")
    project.run("stamp", "a4", check=0)
    project.revision(
        "b1",
        "a4",
        "less <b>bold",
        f"op.drop_column('users', {HOSTILE.strip()!r})",
        extra='phase = "expand"\nchange = "less"\nsettles = ()',
    )
    index = '    op.create_index("ix", "users", ["name"], postgresql_concurrently=True)'
    project.revision("b2", "b1", "index", f"with op.get_context().autocommit_block():\n{index}")
    forms = ("markdown", "github", "sarif", "sql", "html", "text")
    found = {form: safe_plan(project, "--format", form).out for form in forms}
    cluster.drop("plan_forms")
    return found


def test_a_pull_request_gets_a_table_and_every_hazard_with_its_remedy(printed: dict[str, str]) -> None:
    text = printed["markdown"]
    assert "| 1 | `b1` *expand*" in text
    assert "**1 hazard needs consent by name.**" in text
    assert "op.retire_column" in text
    row = next(line for line in text.splitlines() if line.startswith("| 1 |"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 6
    text = re.sub(r"\\.", "", text)  # what is escaped opens no code
    assert "<img" not in re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", text, flags=re.DOTALL)


def test_github_gets_one_line_for_each_hazard_that_points_at_the_file(printed: dict[str, str]) -> None:
    lines = printed["github"].splitlines()
    assert all(re.match(r"::(error|warning) ", line) for line in lines)
    (error,) = [line for line in lines if line.startswith("::error ")]
    properties = error[len("::error ") :].split("::")[0]
    assert re.fullmatch(r"file=[^,:]+\.py,line=\d+,title=[^,:]+", properties)
    assert "%0A" in error


def test_sarif_says_rule_level_and_place_of_every_hazard(printed: dict[str, str]) -> None:
    log = json.loads(printed["sarif"])
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert log["version"] == "2.1.0"
    assert len(rules) > 80
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note"}
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"].startswith(("migrations/", "/"))
        assert re.fullmatch(r"[A-Za-z0-9/._~%-]+", place["artifactLocation"]["uri"])  # though one file is named <b>
        assert place["region"]["startLine"] > 1
    assert [r["level"] for r in run["results"] if r["ruleId"] == "drop-column"] == ["error"]


def test_the_sql_is_what_was_sent_with_its_locks(printed: dict[str, str]) -> None:
    text = printed["sql"]
    assert (
        text.index("BEGIN;")
        < text.index("DROP COLUMN")
        < text.index("COMMIT;")
        < text.index("CREATE INDEX CONCURRENTLY")
    )
    assert "--   AccessExclusiveLock on users" in text
    assert "not observed: PostgreSQL does not run it in a transaction" in text


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"


def test_the_page_stands_by_itself_and_is_well_formed(printed: dict[str, str]) -> None:
    page = _Page()
    page.feed(printed["html"])
    assert page.open == []
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "img", "link", "iframe", "b"}
    assert not [
        a
        for _, a in page.tags
        for name, value in a.items()
        if name in {"src", "href"} and not str(value).startswith("#")
    ]
    assert {"h1", "h2", "main", "caption", "details", "summary"} <= tags
    assert ("html", {"lang": "en"}) in page.tags
    assert "default-src &#x27;none&#x27;" in printed["html"] or "default-src 'none'" in printed["html"]


def test_the_page_shows_hazards_locks_sizes_and_sql(printed: dict[str, str]) -> None:
    text = printed["html"]
    for said in ("drop-column:users.", "reads and writes", "3 rows", "CREATE INDEX CONCURRENTLY", "op.retire_column"):
        assert said in text
    assert "<img src=x>" not in text


def test_without_colour_every_hazard_is_told_by_a_word(printed: dict[str, str]) -> None:
    assert "\033" not in printed["text"]
    assert re.search(r"^(Asks|Refused) ", printed["text"], re.MULTILINE)
