"""How may copies load this database: the project's settings, as the copying engine wants them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alembic_safe.database.steps import CopyOptions
from alembic_safe.errors import WrongUsage

if TYPE_CHECKING:
    from alembic_safe.settings import Settings

_WINDOW = re.compile(r"\s*([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]):([0-5]\d)\s*")


def copy_options(settings: Settings) -> CopyOptions:
    """Return what the settings ``copy_...`` say.

    :raises WrongUsage: for a window of another form than ``22:00-05:30``, and for no worker at all.
    """
    if settings.copy_workers < 1:
        raise WrongUsage("copy_workers is 0: somebody has to copy; 1 is the least.")
    return CopyOptions(
        workers=int(settings.copy_workers), longest_lag=float(settings.copy_max_lag),
        most_slot_bytes=int(settings.copy_max_slot), condition=settings.copy_wait_while or "",
        window=read_window(settings.copy_window),
    )  # fmt: skip


def read_window(text: str | None) -> tuple[str, str] | None:
    """Read hours of the day such as ``22:00-05:30``.

    :raises WrongUsage: when they are none.
    """
    if text is None:
        return None
    match = _WINDOW.fullmatch(text)
    if match is None:
        raise WrongUsage(f"copy_window is {text!r}; hours of the day in UTC are written 22:00-05:30.")
    begin_hour, begin, end_hour, end = match.groups()
    return f"{int(begin_hour):02}:{begin}", f"{int(end_hour):02}:{end}"
