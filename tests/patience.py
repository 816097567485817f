"""How long does a test wait for what must come, and how is time told on a busy machine?"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

PATIENCE = 180.0
"""Seconds after which what has not come never will: reached by a defect, not by a busy machine."""


def eventually(claim: Callable[[], Any], what: str = "it") -> Any:
    """Return what the claim returns as soon as it is true; fail when it never is, with ``what`` was waited for."""
    end = time.monotonic() + PATIENCE
    while not (found := claim()):
        assert time.monotonic() < end, f"{what} never came"
        time.sleep(0.02)
    return found


class QuietClock:
    """Seconds as a quiet machine has them: counted in round trips of a session that nobody keeps waiting.

    A limit on how long something may take is held by it in place of the wall's clock. What slows everything on the
    machine slows this clock as well; what keeps only the measured session waiting does not.
    """

    _PAUSE, _WORK = 0.01, 0.001

    def __init__(self) -> None:
        self._trips = 0
        self._longest = 0.0
        self._began = time.monotonic()
        self._stop = threading.Event()

    def now(self) -> float:
        """Return the seconds since the clock was started."""
        return self._trips * (self._PAUSE + self._WORK)

    def here(self, seconds: float) -> float:
        """Return what a limit of so many seconds on a quiet machine comes to on the wall's clock, here and until now."""
        slowness = (time.monotonic() - self._began) / max(self.now(), self._PAUSE)
        return seconds * max(1.0, slowness) + self._longest

    def tick(self, session: psycopg.Connection[Any]) -> None:
        """Count round trips until :meth:`stop`."""
        began = time.monotonic()
        while not self._stop.wait(self._PAUSE):
            session.execute("SELECT 1")
            self._trips += 1
            began, before = time.monotonic(), began
            self._longest = max(self._longest, began - before)

    def stop(self) -> None:
        """Stand still from now on."""
        self._stop.set()


@contextmanager
def quiet_clock(session: psycopg.Connection[Any]) -> Iterator[QuietClock]:
    """Run a clock on a session of its own, which is closed at the end."""
    clock = QuietClock()
    thread = threading.Thread(target=clock.tick, args=(session,), name="quiet-clock")
    with session:
        thread.start()
        try:
            yield clock
        finally:
            clock.stop()
            thread.join()
