"""What does the server do for a safe-diff while the revision files are read?"""

# Reading some hundred files takes as long as a server needs to make a database, and to say what is in one.
from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.inspecting.catalog_beside import read_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic_safe.authoring.diff_sides import Project
    from alembic_safe.database.shadow import Shadow
    from alembic_safe.database.shadow_wish import ShadowWish
    from alembic_safe.inspecting.catalog_records import Catalog


@dataclass(frozen=True)
class Ahead:
    """What has been begun.

    :param catalog: waits for the catalog of the project's database; ``None``: it was not asked for, or could not be had.
    :param shadow: an open one, whose first database is on its way.
    """

    catalog: Callable[[], Catalog | None]
    shadow: Shadow | None


@contextmanager
def begun(project: Project, wish: ShadowWish, *, of_database: bool, of_files: bool) -> Iterator[Ahead]:
    """Begin what will be needed, and take it away in the end.

    :param of_database: one side is the project's database.
    :param of_files: one side is what the revision files say.
    :raises Missing: when there is no server for a shadow.
    """
    with ExitStack() as stack:
        catalog: Callable[[], Catalog | None] = lambda: None  # noqa: E731
        if of_database:
            catalog = stack.enter_context(read_beside(project.target, project.leave_out))
        shadow = stack.enter_context(wish.open()) if of_files else None
        if shadow is not None:
            shadow.begin()
        yield Ahead(catalog, shadow)
