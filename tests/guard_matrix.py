"""What must every command meet on every kind of database, through every way of running it?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from alembic import command as stock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.config import Config

Expected = Literal["allow", "warn", "refuse", "read"]
"""``allow``: it runs and leaves what it should; ``warn``: the same and one warning; ``refuse``: exit 3, and nothing
was changed or sent; ``read``: it runs, and nothing was changed or sent that writes."""


@dataclass(frozen=True)
class Command:
    """A command, in the words of each way of running it.

    :param does: what it is about to do, for the table of expectations.
    :param argv: behind ``alembic``.
    :param call: through ``alembic.command``; ``None``: a command of ours, run by its click command.
    :param flask: behind ``flask db``; ``None``: Flask-Migrate has no such command.
    :param files: what the revision files are to the database: ``ahead`` by a3, ``level``, or ``forked`` in two heads.
    :param leaves: the version rows after it ran; ``None``: those from before.
    :param ends: the exit code of a run that is let through.
    """

    name: str
    does: str
    argv: tuple[str, ...]
    call: Callable[[Config], Any] | None
    flask: tuple[str, ...] | None
    files: Literal["ahead", "level", "forked"] = "ahead"
    leaves: frozenset[str] | None = None
    ends: int = 0


@dataclass(frozen=True)
class Target:
    """A kind of database.

    :param counts_as: what the guard takes it for.
    :param host: the name it is reached by; empty: loopback.
    :param has_rows: whether it stands at a2 and has rows; otherwise it is empty.
    """

    name: str
    counts_as: Literal["development", "protected", "undeclared"]
    host: str = ""
    has_rows: bool = True


def _ours(name: str, does: str, *argv: str, leaves: frozenset[str] | None = None, ends: int = 0) -> Command:
    return Command(" ".join((name, *argv)), does, (name, *argv), None, (name, *argv), leaves=leaves, ends=ends)


A1, A3 = frozenset({"a1"}), frozenset({"a3"})

COMMANDS = (
    Command("upgrade", "up", ("upgrade", "head"), lambda c: stock.upgrade(c, "head"), ("upgrade",), leaves=A3),
    Command(
        "downgrade",
        "down",
        ("downgrade", "base"),
        lambda c: stock.downgrade(c, "base"),
        ("downgrade", "base"),
        leaves=frozenset(),
    ),
    Command("stamp", "stamp", ("stamp", "a1"), lambda c: stock.stamp(c, "a1"), ("stamp", "a1"), leaves=A1),
    Command(
        "stamp --purge",
        "stamp",
        ("stamp", "--purge", "a1"),
        lambda c: stock.stamp(c, "a1", purge=True),
        ("stamp", "--purge", "a1"),
        leaves=A1,
    ),
    # makes a table where there is none; where there is one it has nothing to do
    Command("ensure_version", "look", ("ensure_version",), stock.ensure_version, None),
    Command("current", "look", ("current",), stock.current, ("current",)),
    Command("history", "look", ("history", "-i"), lambda c: stock.history(c, indicate_current=True), ("history", "-i")),
    Command("heads", "look", ("heads",), stock.heads, ("heads",)),
    Command("show", "look", ("show", "a2"), lambda c: stock.show(c, "a2"), ("show", "a2")),
    Command("branches", "look", ("branches",), stock.branches, ("branches",)),
    Command("check", "look", ("check",), stock.check, ("check",), files="level"),
    Command(
        "revision", "look", ("revision", "-m", "more"), lambda c: stock.revision(c, "more"), ("revision", "-m", "more")
    ),
    Command(
        "revision --autogenerate",
        "look",
        ("revision", "--autogenerate", "-m", "more"),
        lambda c: stock.revision(c, "more", autogenerate=True),
        ("migrate", "-m", "more"),
        files="level",
    ),
    Command(
        "merge",
        "look",
        ("merge", "heads", "-m", "both"),
        lambda c: stock.merge(c, "heads", "both"),
        ("merge", "heads", "-m", "both"),
        files="forked",
    ),
    Command(
        "upgrade --sql",
        "look",
        ("upgrade", "a2:a3", "--sql"),
        lambda c: stock.upgrade(c, "a2:a3", sql=True),
        ("upgrade", "--sql", "a2:a3"),
    ),
    _ours("safe-upgrade", "deploy", leaves=A3),
    _ours("safe-upgrade", "look", "--dry-run"),
    _ours("safe-status", "look", ends=4),  # one revision is pending
    _ours("safe-guard", "look"),
    _ours("safe-guard", "declare", "set", "production"),
    _ours("safe-guard", "lower", "set", "development"),
    # never without a person at a terminal, wherever it is
    _ours("safe-guard", "lend", "grant", "--for", "safe-upgrade"),
    _ours("safe-backup", "save", "--to", "kept"),
)

TARGETS = (
    Target("development on loopback", "development"),
    Target("protected by its marker", "protected"),
    Target("undeclared, on another host", "undeclared", host="db.internal"),
    Target("logical restore of a protected database", "undeclared"),
    Target("physical copy of a protected database", "protected"),
    # on another host, so that it is the marker that counts and not the place
    Target("TEMPLATE copy of a development database", "development", host="db.internal"),
    Target("TEMPLATE copy of a protected database", "undeclared"),
    Target("empty service container", "development", host="postgres", has_rows=False),
    Target("service container with rows", "undeclared", host="db"),
)

CHANNELS = ("process", "alembic.command", "Flask-Migrate", "async env.py", "own impl", "another plugin's impl")

EXPECTED: dict[str, dict[str, Expected]] = {
    "up": {"development": "allow", "protected": "refuse", "undeclared": "warn"},
    "down": {"development": "allow", "protected": "refuse", "undeclared": "refuse"},
    "stamp": {"development": "allow", "protected": "refuse", "undeclared": "refuse"},
    "look": {"development": "read", "protected": "read", "undeclared": "read"},
    "deploy": {"development": "allow", "protected": "allow", "undeclared": "allow"},
    "declare": {"development": "allow", "protected": "read", "undeclared": "allow"},
    "lower": {"development": "allow", "protected": "refuse", "undeclared": "refuse"},
    "lend": {"development": "refuse", "protected": "refuse", "undeclared": "refuse"},
    # writes a file, and one row into the journal where there is one
    "save": {"development": "allow", "protected": "allow", "undeclared": "allow"},
}


@dataclass(frozen=True)
class Cell:
    """One command on one kind of database, run in one way."""

    command: Command
    target: Target
    channel: str

    @property
    def name(self) -> str:
        """The cell's place in the table."""
        return f"{self.command.name} / {self.target.name} / {self.channel}"

    @property
    def expected(self) -> Expected:
        """What the table says."""
        return EXPECTED[self.command.does][self.target.counts_as]

    @property
    def connects(self) -> bool:
        """Whether the command asks the database at all."""
        return self.command.does != "lend" and self.command.name not in (
            "heads",
            "show",
            "branches",
            "revision",
            "merge",
            "upgrade --sql",
        )


def cells() -> Iterator[Cell]:
    """Yield every cell that exists; Flask-Migrate lacks a command of Alembic's."""
    for command, target, channel in product(COMMANDS, TARGETS, CHANNELS):
        if channel == "Flask-Migrate" and command.flask is None:
            continue
        yield Cell(command, target, channel)


def covering() -> list[Cell]:
    """Return few cells in which each command meets each verdict it can meet, and each target and channel each verdict.

    Greedy: the cell that adds most goes next; a process of its own costs ten of the others, so it adds less.
    """
    left = {cell: frozenset(_covers(cell)) for cell in cells()}
    open_ = frozenset().union(*left.values())
    chosen: list[Cell] = []
    while open_:
        best = max(left, key=lambda cell: len(left[cell] & open_) / (3 if cell.channel == "process" else 1))
        open_ -= left.pop(best)
        chosen.append(best)
    return chosen


def _covers(cell: Cell) -> Iterator[tuple[str, ...]]:
    yield ("command", cell.command.name, cell.expected)
    yield ("target", cell.target.name, cell.expected)
    yield ("channel", cell.channel, cell.expected)
    if cell.expected == "refuse":
        yield ("target", cell.target.name, cell.command.does)
        yield ("channel", cell.channel, cell.command.does)
