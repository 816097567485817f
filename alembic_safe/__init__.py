"""alembic-safe: Alembic on PostgreSQL for teams who deploy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic_safe.authoring.rewriter import rewriter as rewriter
    from alembic_safe.settings import Settings as Settings

__all__ = ["Settings", "__version__", "merged_from", "moved_from", "renamed_from", "rewriter", "split_from"]
__version__ = "0.1.0"

RENAMED_FROM = "alembic_safe_renamed_from"
"""The key in the ``info`` of a column or a table under which its former name stands."""

SPLIT_FROM = "alembic_safe_split_from"
"""The key in the ``info`` of a column under which stands what it is a part of."""
MERGED_FROM = "alembic_safe_merged_from"
"""The key in the ``info`` of a column under which stands what it is made of."""
MOVED_FROM = "alembic_safe_moved_from"
"""The key in the ``info`` of a column under which stands the column of another table that it takes the place of."""


def renamed_from(name: str) -> dict[str, str]:
    """Say in a model what a column or a table was called before.

    ``handle: Mapped[str] = mapped_column(info=renamed_from("nick"))``, and for a table
    ``__table_args__ = {"info": renamed_from("members")}``. It may stay after the rename; it then says nothing more.

    :param name: the former name, without table and schema.
    """
    return {RENAMED_FROM: name}


def split_from(name: str, *, up: str, down: str) -> dict[str, tuple[str, str, str]]:
    """Say in a model that a column holds a part of what another one of its table held.

    Each of the parts says it::

        down = "nullif(concat_ws(' ', first, last), '')"
        first = mapped_column(info=split_from("name", up="split_part(name, ' ', 1)", down=down))
        last = mapped_column(info=split_from("name", up="split_part(name, ' ', 2)", down=down))

    It may stay afterwards; it then says nothing more.

    :param name: the column that goes.
    :param up: SQL over that column that gives this one.
    :param down: SQL over all of the parts that gives that column, the same in each of them.
    """
    return {SPLIT_FROM: (name, up, down)}


def merged_from(names: Sequence[str], *, up: str, down: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Say in a model that a column holds what several others of its table held.

    ``name = mapped_column(info=merged_from(("first", "last"), up="nullif(concat_ws(' ', first, last), '')",
    down=("split_part(name, ' ', 1)", "split_part(name, ' ', 2)")))``. It may stay afterwards; it then says nothing more.

    :param names: the columns that go.
    :param up: SQL over these columns that gives this one.
    :param down: SQL over this one that gives each of them, in their order.
    """
    return {MERGED_FROM: (tuple(names), up, tuple(down))}


def moved_from(column: str, *, on: Mapping[str, str], table: str = "", schema: str | None = None) -> dict[str, Any]:
    """Say in a model that a column holds what a column of another table held.

    ``phone = mapped_column(info=moved_from("customers.phone", on={"id": "customer_id"}))``, where ``customer_id`` of this
    table is unique and refers to ``customers.id``. It may stay afterwards; it then says nothing more.

    :param column: the table and the column that goes; with ``table``, the column alone.
    :param on: the columns of that table, each with the one of this table, by which the rows find each other.
    :param table: the table, where its name holds a dot.
    :param schema: its schema, where that is another one than this table's.
    """
    if not table:
        table, _, column = column.rpartition(".")
    return {MOVED_FROM: (schema, table, column, tuple(on.items()))}


def __getattr__(name: str) -> Any:
    # `import alembic` imports this package: nothing heavier than this file may load with it.
    if name == "Settings":
        from alembic_safe.settings import Settings

        return Settings
    if name == "rewriter":
        from alembic_safe.authoring.rewriter import rewriter

        return rewriter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
