"""Two open changes of one column: what goes beside each other, what waits, and what contradicts what."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from alembic_safe import commands, renamed_from
from alembic_safe.errors import Findings, Refused
from tests.recipe_cases import Case, assert_same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster import Cluster

HANDLE = renamed_from("nick")


def models(*columns: sa.Column, name: str = "users", more: Callable[[sa.MetaData], Any] | None = None) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True), *columns,
             info=renamed_from("users") if name != "users" else {})  # fmt: skip
    if more is not None:
        more(metadata)
    return metadata


def nick() -> sa.MetaData:
    return models(sa.Column("nick", sa.Text), amount(sa.Integer))


def amount(type_: Any, **kw: Any) -> sa.Column:
    return sa.Column("amount", type_, index=True, **kw)


def handle(*, wide: bool = False, **kw: Any) -> sa.MetaData:
    return models(sa.Column("handle", sa.Text, **{"info": HANDLE, **kw}), amount(sa.BigInteger if wide else sa.Integer))


def run(case: Case, new: sa.MetaData, name: str, *words: str) -> tuple[int, str]:
    """Run a command of ours in this process, as a user does."""
    case.config.attributes["models"] = new
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = commands.run(name, words, case.config)
    return code, out.getvalue()


def begin(case: Case, first: sa.MetaData, rows: str = "") -> None:
    """Make a database by a first revision, with rows."""
    case.begin(sa.MetaData())
    case.revise(first, "users")
    case.upgrade()
    case.run(rows)


@pytest.fixture
def case(tmp_path: Path, cluster: Cluster, make_database: Callable[..., str]) -> Case:
    """A project on an empty database."""
    return Case(tmp_path / "app", cluster, make_database(), make_database)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Case]:
    """A project with two open changes: a rename, and a change of type."""
    cluster.create("overlapping")
    case = Case(tmp_path_factory.mktemp("open") / "app", cluster, "overlapping", lambda: "")
    begin(case, nick())
    case.revise(handle(), "handles")
    case.upgrade()
    case.revise(handle(wide=True), "wide")
    case.upgrade()
    yield case
    cluster.drop("overlapping")


@pytest.mark.long
@pytest.mark.parametrize("of", ["handle", "amount"])
def test_a_column_takes_no_null_any_more_while_its_earlier_change_is_open(case: Case, of: str) -> None:
    never: dict[str, Any] = {"nullable": False, "info": {"fill": "'7'"}}
    first, second = handle(), handle(nullable=False, info={**HANDLE, "fill": "'7'"})
    if of == "amount":
        first = models(sa.Column("nick", sa.Text), amount(sa.BigInteger))
        second = models(sa.Column("nick", sa.Text), amount(sa.BigInteger, **never))
    begin(case, nick(), "INSERT INTO users VALUES (1, 'ada', 1), (2, NULL, NULL)")
    case.revise(first, "first")
    case.upgrade()
    case.run("INSERT INTO users (id) VALUES (3)")
    texts = case.revise(second, "second")
    assert set(texts) == {"expand", "contract"}
    case.upgrade()
    case.check(second)
    before = case.catalog
    # the applications of before both changes, between them, and of now
    old, new = ("nick", "handle") if of == "handle" else ("amount", "amount")
    case.run(f"INSERT INTO users (id, {old}) VALUES (4, '8'), (5, NULL); UPDATE users SET {old} = '9' WHERE id = 2")
    case.run(f"INSERT INTO users (id, {new}) VALUES (6, '6')")
    code, text = run(case, second, "safe-contract", "second")
    assert code == 3
    assert "The contract of second has to stand behind that of first" in text
    assert run(case, second, "safe-contract", "--check")[0] == 0
    assert run(case, second, "safe-contract")[0] == 0
    tip = list(case.script.walk_revisions())[:2]
    at = [(revision.module.change, revision.module.phase) for revision in tip]
    assert at == [("second", "contract"), ("first", "contract")]
    case.upgrade()
    assert_same(case.created(second), case.catalog, "the end")
    case.check(second)
    ada = {1: "ada" if of == "handle" else "1"}
    wanted = {**ada, 2: "9", 3: "7", 4: "8", 5: "7", 6: "6"}
    assert dict(case.run(f"SELECT id, {new}::text FROM users")) == wanted
    case.downgrade("-2")
    assert_same(before, case.catalog, "back")
    assert dict(case.run(f"SELECT id, {old}::text FROM users")) == wanted
    case.upgrade()
    assert dict(case.run(f"SELECT id, {new}::text FROM users")) == wanted


def test_a_comment_of_a_column_of_an_open_change_stays(case: Case) -> None:
    said = models(
        sa.Column("handle", sa.Text, info=HANDLE, comment="for all"), amount(sa.BigInteger, comment="in cents")
    )
    begin(case, nick(), "INSERT INTO users VALUES (1, 'ada', 1)")
    case.revise(handle(wide=True), "first")
    case.upgrade()
    assert set(case.revise(said, "second")) == {""}
    case.upgrade()
    case.check(said)
    assert run(case, said, "safe-contract")[0] == 0
    case.upgrade()
    assert_same(case.created(said), case.catalog, "the end")


def referring(metadata: sa.MetaData) -> None:
    sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True),
             sa.Column("of", sa.BigInteger, sa.ForeignKey("users.amount")))  # fmt: skip


REFUSED: dict[str, tuple[Callable[[], sa.MetaData], str]] = {
    "renamed again": (
        lambda: models(sa.Column("login", sa.Text, info=renamed_from("handle")), amount(sa.BigInteger)),
        r"users\.handle belongs to the open change 'handles'",
    ),
    "another type": (
        lambda: models(sa.Column("handle", sa.String(9), info=HANDLE), amount(sa.BigInteger)),
        r"users\.handle belongs to the open change 'handles'",
    ),
    "gone": (lambda: models(amount(sa.BigInteger)), r"users\.handle belongs to the open change 'handles'"),
    "another type again": (
        lambda: models(sa.Column("handle", sa.Text, info=HANDLE), amount(sa.Numeric)),
        r"users\.amount belongs to the open change 'wide'",
    ),
    "an index on what moves": (
        lambda: models(sa.Column("handle", sa.Text, info=HANDLE), amount(sa.BigInteger), sa.Index("ix", "id", "amount")),
        r"users\.amount, on which ix stands, belongs to the open change 'wide'",
    ),
    "an index over an expression of it": (
        lambda: models(
            sa.Column("handle", sa.Text, info=HANDLE), amount(sa.BigInteger), sa.Index("ix", sa.text("(amount + 1)"))
        ),
        r"users\.amount, on which ix stands, belongs to the open change 'wide'",
    ),
    "an index of it less": (
        lambda: models(sa.Column("handle", sa.Text, info=HANDLE), sa.Column("amount", sa.BigInteger)),
        r"users: ix_users_amount belongs|users\.amount, on which ix_users_amount stands, belongs to the open change 'wide'",
    ),
    "unique": (
        lambda: models(
            sa.Column("handle", sa.Text, info=HANDLE), amount(sa.BigInteger), sa.UniqueConstraint("amount", name="one")
        ),
        r"users\.amount, on which one stands, belongs to the open change 'wide'",
    ),
    "a foreign key to it": (
        lambda: models(sa.Column("handle", sa.Text, info=HANDLE), amount(sa.BigInteger), more=referring),
        r"users\.amount, to which a new foreign key refers, belongs to the open change 'wide'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_an_open_change_stands_against_is_refused_with_both_ways_out(opened: Case, what: str) -> None:
    new, words = REFUSED[what]
    with opened.unchanged(), pytest.raises(Refused, match=words) as caught:
        opened.revise(new(), "again")
    change = "wide" if "'wide'" in str(caught.value) else "handles"
    commands_named = [step.command for step in caught.value.next_steps]
    assert commands_named == [f"alembic safe-contract {change}", f"alembic safe-contract --abandon {change}"]


@pytest.mark.parametrize("what", ["default", "table"])
def test_a_milestone_refuses_what_plain_autogenerate_does_not_see(opened: Case, what: str) -> None:
    new, words = handle(wide=True, server_default="nobody"), "users.handle belongs to the open change 'handles'"
    if what == "table":
        new = models(sa.Column("handle", sa.Text, info=HANDLE), amount(sa.BigInteger), name="people")
        words = "users, which gets another name, belongs to the open change 'handles'"
    with opened.unchanged():
        code, text = run(opened, new, "milestone", "-m", "again")
    assert code == 3, text
    assert words in " ".join(text.split())


def test_what_stands_on_a_column_that_stays_goes_beside(opened: Case) -> None:
    new = models(sa.Column("handle", sa.Text, info=HANDLE), amount(sa.BigInteger), sa.Index("ix_handle", "handle"))
    with pytest.raises(Exception, match="New upgrade operations detected"):
        opened.check(new)  # found, and nothing stands against it


def test_models_that_map_what_goes_are_stopped_wherever_they_are_read(opened: Case) -> None:
    again = models(sa.Column("handle", sa.Text), sa.Column("nick", sa.Text), amount(sa.BigInteger))
    words = "have the column users.nick, and the open change 'handles' will do the opposite: retire_column public.users.nick"
    with opened.unchanged():
        for look in (lambda: opened.revise(again), lambda: opened.check(again)):
            with pytest.raises(Findings) as caught:
                look()
            assert words in str(caught.value)
            assert caught.value.next_steps[-1].command == "alembic safe-contract --abandon handles"
        for command in (("milestone", "-m", "again"), ("safe-contract",), ("safe-contract", "--check")):
            code, text = run(opened, again, *command)
            assert (code, words in " ".join(text.split())) == (4, True), text


def test_a_parked_file_that_is_gone_or_says_something_else_is_found_and_written_anew(case: Case) -> None:
    begin(case, nick(), "INSERT INTO users VALUES (1, 'ada', 1)")
    case.revise(handle(), "handles")
    case.upgrade()
    (parked,) = case.contracts.glob("*.py")
    text = parked.read_text()
    for spoiled in (None, text.replace("'retire_column public.users.nick", "'retire_column public.users.amount")):
        parked.unlink(missing_ok=True)
        if spoiled is not None:
            assert spoiled != text
            parked.write_text(spoiled)
        code, said = run(case, handle(), "safe-contract", "--check")
        assert code == 4, said
        assert "The parked contract of handles is missing, or does something else" in " ".join(said.split())
    code, said = run(case, handle(), "safe-contract")
    assert code == 0, said
    assert list(case.contracts.glob("*.py")) == []
    case.upgrade()
    assert case.run("SELECT id, handle, amount FROM users") == [(1, "ada", 1)]
    case.check(handle())
