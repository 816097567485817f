"""How does a warning about locks reach a person where env.py has set no logging up?"""

# Alembic gives its logger a NullHandler, so that Python's own last resort is never asked.
from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from alembic_safe.reporting.text import say

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOGGER = "alembic.safe.lock"


class _OnStderr(logging.Handler):
    """Says what nobody else would."""

    def emit(self, record: logging.LogRecord) -> None:
        if not _somebody_listens(self):
            say("Waits", record.getMessage(), stream=sys.stderr)


@contextmanager
def warnings_shown() -> Iterator[None]:
    """Print warnings about locks to stderr while a command runs, unless the project's logging does."""
    handler = _OnStderr(logging.WARNING)
    logger = logging.getLogger(_LOGGER)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _somebody_listens(ours: logging.Handler) -> bool:
    logger: logging.Logger | None = logging.getLogger(_LOGGER)
    while logger is not None:
        if any(one is not ours and not isinstance(one, logging.NullHandler) for one in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False
