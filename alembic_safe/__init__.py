"""alembic-safe: Alembic on PostgreSQL for teams who deploy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alembic_safe.authoring.rewriter import rewriter as rewriter
    from alembic_safe.settings import Settings as Settings

__all__ = ["Settings", "__version__", "renamed_from", "rewriter"]
__version__ = "0.1.0"

RENAMED_FROM = "alembic_safe_renamed_from"
"""The key in the ``info`` of a column or a table under which its former name stands."""


def renamed_from(name: str) -> dict[str, str]:
    """Say in a model what a column or a table was called before.

    ``handle: Mapped[str] = mapped_column(info=renamed_from("nick"))``, and for a table
    ``__table_args__ = {"info": renamed_from("members")}``. It may stay after the rename; it then says nothing more.

    :param name: the former name, without table and schema.
    """
    return {RENAMED_FROM: name}


def __getattr__(name: str) -> Any:
    # `import alembic` imports this package: nothing heavier than this file may load with it.
    if name == "Settings":
        from alembic_safe.settings import Settings

        return Settings
    if name == "rewriter":
        from alembic_safe.authoring.rewriter import rewriter

        return rewriter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
