"""`alembic squash START:END`: a later range becomes one revision, and databases everywhere find their way."""

from __future__ import annotations

import json
import random
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.every_operation import STEPS, every_operation
from tests.project import Project
from tests.squash_project import commit, dump, git, on, rows, tree, with_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster import Cluster

LAST = len(STEPS)


@pytest.fixture
def every(tmp_path: Path, cluster: Cluster, database: str) -> Project:
    """The history with every operation of Alembic's."""
    return every_operation(tmp_path / "every", cluster.url(database))


def write_shop(folder: Path, url: str) -> Project:
    """Write seven revisions, of which a3:a6 are to be folded."""
    project = with_template(Project.create(folder, url))
    add = project.revision
    add("a4", "a3", "plans",
        'op.add_column("users", sa.Column("plan", sa.Text))\nop.create_table("t", sa.Column("id", sa.Integer))',
        'op.drop_table("t")\nop.drop_column("users", "plan")')  # fmt: skip
    add("a5", "a4", "names", "op.get_bind().execute(sa.text(\"UPDATE users SET plan = 'of ' || name\"))")
    add("a6", "a5", "tidy", 'op.drop_table("t")\nop.alter_column("users", "mail", new_column_name="email")',
        'op.alter_column("users", "email", new_column_name="mail")\n'
        'op.create_table("t", sa.Column("id", sa.Integer))')  # fmt: skip
    add("a7", "a6", "later", 'op.add_column("users", sa.Column("later", sa.Text))', 'op.drop_column("users", "later")')
    return project


@pytest.fixture
def shop(tmp_path: Path, cluster: Cluster, database: str) -> Project:
    """The seven revisions."""
    return write_shop(tmp_path / "shop", cluster.url(database))


@pytest.fixture(scope="module")
def folded_once(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Path]:
    """The folder in which a3:a6 are one."""
    cluster.create("folded_once")
    project = write_shop(tmp_path_factory.mktemp("folded") / "shop", cluster.url("folded_once"))
    project.run("squash", "a3:a6", "-m", "plans and names", check=0)
    yield project.folder
    cluster.drop("folded_once")


@pytest.fixture
def folded(folded_once: Path, tmp_path: Path, cluster: Cluster, database: str) -> Project:
    """A copy of it, on a database of its own."""
    shutil.copytree(folded_once, tmp_path / "folded")
    return on(Project(tmp_path / "folded", ""), cluster.url(database))


def test_a_range_is_one_file_that_says_where_it_comes_from(folded: Project) -> None:
    files = sorted(path.name for path in (folded.folder / "migrations" / "versions").glob("*.py"))
    assert files == ["a1_users.py", "a2_names.py", "a3_mails.py", "a6_plans_and_names.py", "a7_later.py"]
    text = (folded.folder / "migrations" / "versions" / "a6_plans_and_names.py").read_text()
    assert "down_revision: Union[str, Sequence[str], None] = 'a3'" in text or 'down_revision = "a3"' in text
    assert "    # a4: plans\n    op.add_column(" in text
    assert '"""names (a5, as it was written)."""' in text
    assert "alembic_safe." not in text


def test_every_database_finds_its_way(folded: Project, cluster: Cluster, make_database: Callable[..., str]) -> None:
    """One that is new, one at the start, one in the middle with rows, one at the end, and one behind it."""
    found = []
    for at in ("", "a3", "a4", "a5", "a6", "a7"):
        database = make_database()
        here = on(folded, cluster.url(database))
        if at:
            here.run("upgrade", at, check=0)
            assert here.run("current", check=0).stdout.split()[0] == at
            rows(cluster, database, "INSERT INTO users (id, name) VALUES (1, 'Ada') RETURNING 1")
        here.run("upgrade", "head", check=0)
        assert here.run("current", check=0).stdout.strip() == "a7 (head)"
        found.append(dump(cluster, database))
        if at in {"a3", "a4"}:
            assert rows(cluster, database, "SELECT name, plan FROM users") == [("Ada", "of Ada")]
        if at == "a4":
            here.run("downgrade", "a4", check=0)
            assert here.run("current", check=0).stdout.strip() == "a4"
            assert "a3 -> a4 (current), plans" in here.run("history", "-i", check=0).stdout
            here.run("downgrade", "base", check=0)
    assert len(set(found)) == 1


def test_stock_alembic_runs_it_up_and_down(
    folded: Project, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    (folded.folder / "migrations" / "squashed").rename(folded.folder / "elsewhere")
    database = make_database()
    here = on(folded, cluster.url(database))
    here.run("upgrade", "a3", check=0)
    before = dump(cluster, database)
    here.run("upgrade", "head", check=0)
    here.run("downgrade", "a3", check=0)
    assert dump(cluster, database) == before


def test_it_refuses_a_database_that_only_says_to_be_at_its_start(
    folded: Project, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    database = make_database()
    here = on(folded, cluster.url(database))
    here.run("upgrade", "a3", check=0)
    with cluster.connect(database) as connection:
        connection.execute("ALTER TABLE users ADD plan text")
    refused = here.run("upgrade", "head")
    assert refused.returncode != 0
    assert "goes on from a3, and this database is not there: users.plan is there already" in refused.stderr
    assert rows(cluster, database, "SELECT version_num FROM alembic_version") == [("a3",)]


@pytest.mark.long
def test_it_is_checked_and_undone(folded: Project) -> None:
    assert "1 squash: as certified, and proven again" in folded.run("squash", "--check", check=0).stdout
    path = folded.folder / "migrations" / "versions" / "a6_plans_and_names.py"
    text = path.read_text()
    path.write_text(text.replace("sa.Text()", "sa.String()"))
    assert "is not what was proven" in folded.run("squash", "--check", check=4).stderr
    path.write_text(text)
    folded.run("squash", "--undo", "a6", check=0)
    files = sorted(path.name for path in (folded.folder / "migrations" / "versions").glob("*.py"))
    assert files == [
        f"a{n}_{name}.py" for n, name in enumerate(("users", "names", "mails", "plans", "names", "tidy", "later"), 1)
    ]


@pytest.mark.long
@pytest.mark.parametrize("words", ["a2:a5", "a5"])
def test_values_that_are_other_ones_each_time_are_known_whatever_their_table_is_called_later(
    words: str, tmp_path: Path, cluster: Cluster, database: str
) -> None:
    project = with_template(Project.create(tmp_path / "marks", cluster.url(database)))
    add = project.revision
    add("a4", "a3", "marks", 'op.create_table("marks", sa.Column("id", sa.Uuid), sa.Column("n", sa.Integer))\n'
        'op.execute("INSERT INTO marks VALUES (gen_random_uuid(), 1)")\n'
        'op.execute("INSERT INTO users (id, name) VALUES (7, gen_random_uuid()::text)")', 'op.drop_table("marks")')  # fmt: skip
    add("a5", "a4", "named", 'op.rename_table("marks", "signs")\nop.rename_table("users", "people")',
        'op.rename_table("people", "users")\nop.rename_table("signs", "marks")')  # fmt: skip
    add("a6", "a5", "named again", 'op.alter_column("signs", "id", new_column_name="key")\nop.rename_table("signs", "seals")\n'
        'op.execute("UPDATE seals SET n = (random() * 1e9)::int")',
        'op.rename_table("seals", "signs")\nop.alter_column("signs", "key", new_column_name="id")')  # fmt: skip
    said = project.run("squash", words, "-m", "marks", check=0).stdout
    assert "1 revision behind it, run on both: equal" in said


def test_what_cannot_be_a_range_is_said_and_nothing_is_written(shop: Project) -> None:
    before = tree(shop.folder / "migrations")
    assert "a3 does not come behind a6" in shop.run("squash", "a6:a3", "-m", "x", check=2).stderr
    assert "a4 is the only revision behind a3" in shop.run("squash", "a3:a4", "-m", "x", check=2).stderr
    assert (
        "--shortcut: for a squash that begins" in shop.run("squash", "a3:a6", "-m", "x", "--shortcut", check=2).stderr
    )
    told = json.loads(shop.run("squash", "a3:a6", "-m", "x", "--dry-run", "--json", check=0).stdout)
    assert (told["operations_before"], told["operations"], told["level"], told["written"]) == (4, 4, 0, False)
    assert [one["revision"] for one in told["carried"]] == ["a5"]
    assert tree(shop.folder / "migrations") == before


def test_what_is_in_a_squash_already_is_said_as_it_was_typed(folded: Project) -> None:
    for words, said in (
        ("a4:a5", "a4:a5: both are part of the squash a6 already"),
        ("a5:a6", "a5:a6: both are part of the squash a6 already"),
        ("a7:a5", "a5 (part of the squash a6) does not come behind a7"),
        ("a5:a7", "a7 is the only revision behind a5 (part of the squash a6)"),
        ("head:a1", "a1 does not come behind head (a7)"),
    ):
        told = folded.run("squash", words, "-m", "x", check=2)
        assert said in " ".join(told.stderr.split())


def test_a_squash_that_ends_where_the_range_ended_takes_its_place(
    folded: Project, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    """It stands for every original: databases at each of them find their way, and an undo brings back all."""
    told = folded.run("squash", "a6", "-m", "up to six", check=0).stdout
    assert "6 revisions, a1 to a6" in told
    assert "the squash a6 goes, and this one stands for its originals" in told
    assert "5 of 5 revisions before the last" in told
    folder = folded.folder / "migrations"
    assert sorted(path.name for path in (folder / "versions").glob("*.py")) == ["a6_up_to_six.py", "a7_later.py"]
    originals = ["a1_users.py", "a2_names.py", "a3_mails.py", "a4_plans.py", "a5_names.py", "a6_tidy.py"]
    assert sorted(path.name for path in (folder / "squashed" / "a6").glob("*.py")) == originals
    found = []
    for at in ("", "a1", "a2", "a3", "a4", "a5", "a6", "a7"):
        database = make_database()
        here = on(folded, cluster.url(database))
        if at:
            here.run("upgrade", at, check=0)
            assert here.run("current", check=0).stdout.split()[0] == at
        if at == "a4":
            rows(cluster, database, "INSERT INTO users (id, name) VALUES (1, 'Ada') RETURNING 1")
        here.run("upgrade", "head", check=0)
        assert here.run("current", check=0).stdout.strip() == "a7 (head)"
        found.append(dump(cluster, database))
        if at == "a4":
            assert rows(cluster, database, "SELECT name, plan FROM users") == [("Ada", "of Ada")]
            here.run("downgrade", "a2", check=0)
            assert here.run("current", check=0).stdout.strip() == "a2"
    assert len(set(found)) == 1
    assert "1 squash: as certified, and proven again" in folded.run("squash", "--check", check=0).stdout
    folded.run("squash", "--undo", "a6", check=0)
    assert sorted(path.name for path in (folder / "versions").glob("*.py")) == [*originals, "a7_later.py"]
    assert not (folder / "squashed" / "a6").exists()


@pytest.mark.long
@pytest.mark.parametrize("words", [("a6",), ("a1:a6",), ("--regions", "base:a6")])
def test_straight_after_it_an_undo_brings_back_every_original(shop: Project, words: tuple[str, ...]) -> None:
    before = tree(shop.folder / "migrations")
    git(shop, "init", "-q")
    commit(shop, "begin")
    shop.run("squash", "a3:a6", "-m", "plans and names", check=0)
    commit(shop, "the range")
    shop.run("squash", *words, "-m", "more", check=0)
    shop.run("squash", "--check", check=0)
    shop.run("squash", "--undo", "a6", check=0)
    assert tree(shop.folder / "migrations") == before


@pytest.mark.long
def test_a_squash_that_goes_beyond_the_range_has_it_among_its_originals(
    folded: Project, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    before = tree(folded.folder / "migrations")
    folded.run("squash", "-m", "all", check=0)
    assert (folded.folder / "migrations" / "squashed" / "a7" / "a6_plans_and_names.py").exists()
    for at in ("", "a2", "a3", "a4", "a5", "a6"):
        here = on(folded, cluster.url(make_database()))
        if at:
            here.run("upgrade", at, check=0)
            assert here.run("current", check=0).stdout.split()[0] == at
        here.run("upgrade", "head", check=0)
        assert here.run("current", check=0).stdout.strip() == "a7 (head)"
    folded.run("squash", "--check", check=0)
    folded.run("squash", "--undo", "a7", check=0)
    assert tree(folded.folder / "migrations") == before


def test_where_the_originals_of_the_range_are_gone_or_edited_nothing_takes_its_place(folded: Project) -> None:
    path = folded.folder / "migrations" / "squashed" / "a6" / "a4_plans.py"
    text = path.read_text()
    path.write_text(text + "# a remark\n")
    now = tree(folded.folder / "migrations")
    told = folded.run("squash", "a6", "-m", "x", check=4)
    assert "The squash a6 is not what was proven. a4_plans.py: changed" in " ".join(told.stderr.split())
    assert "Read" not in told.stdout
    path.write_text(text)
    certificate = path.with_name("certificate.json")
    proven = certificate.read_text()
    certificate.unlink()
    told = folded.run("squash", "--regions", ":a6", "-m", "x", check=4)
    assert "no two revisions here" in told.stderr, told.stderr  # a part that cannot be one stays, and is told
    assert "base:a6: " in told.stderr
    certificate.write_text(proven)
    folded.run("squash", "--prune", "a6", "--through", "v1", "--accept", "prune:a6", check=0)
    told = folded.run("squash", "a6", "-m", "x", check=4)
    assert "a6 is a squash, and its originals were pruned on" in told.stderr
    assert "end the squash before it, or behind it" in " ".join(told.stderr.split())
    assert "Read" not in told.stdout
    assert now.keys() - tree(folded.folder / "migrations").keys() == {
        f"squashed/a6/{name}" for name in ("a4_plans.py", "a5_names.py", "a6_tidy.py", "certificate.json")
    }


@pytest.mark.long
def test_of_branches_each_part_with_one_way_in_and_out_is_named(shop: Project) -> None:
    shop.revision("b1", "a5", "aside")
    shop.revision("b2", "b1", "aside too")
    told = shop.run("squash", "a2:a7", "-m", "x", check=4)
    text = " ".join(told.stderr.split())
    assert "possible: a2:a5, 3 revisions" in text
    assert "possible: a5:a7, 2 revisions" in text
    assert 'alembic squash a5:a7 -m "..."' in text
    shop.run("squash", "a5:a7", "-m", "behind", check=0)
    shop.run("squash", "a2:a5", "-m", "before", check=0)
    assert shop.run("heads", check=0).stdout.split() == ["a7", "(head)", "b2", "(head)"]


@pytest.mark.long
def test_what_was_never_deployed_is_one_range(
    shop: Project, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    deployed = make_database()
    on(shop, cluster.url(deployed)).run("upgrade", "a5", check=0)
    on(shop, shop.url)
    told = shop.run("squash", "--since-deployed", cluster.url(deployed), "-m", "new", "--dry-run", check=0).stdout
    assert "2 revisions, a6 to a7" in told
    assert "name only its end" in shop.run("squash", "a1:a3", "--since-deployed", "x", "-m", "new", check=2).stderr


RANGES = random.Random(20261125)
DRAWN = [tuple(sorted(RANGES.sample(range(1, LAST + 1), 2))) for _ in range(60)]
DRAWN = [(first, last) for first, last in DRAWN if last - first > 1]


@pytest.mark.parametrize(
    ("first", "last"), [pytest.param(2, 9), *(pytest.param(*one, marks=pytest.mark.long) for one in DRAWN)]
)
def test_ranges_of_a_history_with_everything_are_folded(every: Project, first: int, last: int) -> None:
    told = every.run("squash", f"e{first:02}:e{last:02}", "-m", "a range", check=0).stdout
    text = " ".join(told.split())
    assert "generated rows: the same catalog, rows and sequences" in text
    assert "through the archive to the same database" in text
    before, after = map(
        int, text.partition("Folded ")[2].replace(" operations ->", "").replace(" operation ->", "").split()[:2]
    )
    assert after <= before
