"""Which INFO lines of the log are kept back, as they are no news, or not about the target?"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BANNERS = ("alembic.runtime.migration", "alembic.runtime.plugins", "alembic.ddl.postgresql")
"""Alembic's own, whose news our verbs tell themselves."""
OPERATIONS = ("alembic.safe.copy", "alembic.safe.not_null", "alembic.safe.retire", "alembic.safe.sync")
"""What our operations tell: of a shadow, it would be taken for something that happened to the target."""


class _NoInfo(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO


@contextmanager
def kept_back(names: tuple[str, ...]) -> Iterator[None]:
    """Keep INFO lines of these loggers back; env.py may configure logging at any time, so a filter does it."""
    quiet = _NoInfo()
    for name in names:
        logging.getLogger(name).addFilter(quiet)
    try:
        yield
    finally:
        for name in names:
            logging.getLogger(name).removeFilter(quiet)
