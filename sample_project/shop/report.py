"""What has a run of the live client seen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shop.visitor import READS

if TYPE_CHECKING:
    from collections.abc import Sequence

STALLED_AFTER = 0.1
"""Seconds that an operation may take before its time counts as a stall."""


@dataclass(frozen=True)
class Operation:
    """One thing that was due.

    :param due: when it was due, in seconds of the monotonic clock.
    :param done: when it was answered or given up.
    :param error: why it failed; None when it did not.
    """

    name: str
    due: float
    done: float
    error: str | None = None

    @property
    def is_read(self) -> bool:
        """Whether it only reads."""
        return self.name in READS

    @property
    def late(self) -> float:
        """Seconds from the moment at which it was due to its end."""
        return self.done - self.due


@dataclass(frozen=True)
class LiveReport:
    """The verdict.

    :param seconds: how long the run took.
    :param reads: reads that succeeded.
    :param writes: writes that the database acknowledged.
    :param failed_reads: reads that ended in an error, or that nothing answered.
    :param failed_writes: writes that ended in an error, or that nothing answered.
    :param lost: acknowledged writes that reading back did not find, one sentence each.
    :param longest_stall: seconds from the moment at which an operation was due to its end, for the slowest one.
    :param stalled: seconds during which some operation waited that took longer than :data:`STALLED_AFTER`.
    :param errors: the messages of the failures, with how often each was met.
    """

    seconds: float
    reads: int
    writes: int
    failed_reads: int
    failed_writes: int
    lost: tuple[str, ...]
    longest_stall: float
    stalled: float
    errors: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, operations: Sequence[Operation], lost: Sequence[str], seconds: float) -> LiveReport:
        """Sum up."""
        failures = [operation for operation in operations if operation.error]
        counts = Counter((operation.is_read, operation.error is None) for operation in operations)
        return cls(
            seconds=seconds,
            reads=counts[True, True],
            writes=counts[False, True],
            failed_reads=counts[True, False],
            failed_writes=counts[False, False],
            lost=tuple(lost),
            longest_stall=max((operation.late for operation in operations), default=0.0),
            stalled=stalled_seconds(operations),
            errors=tuple(Counter(f"{failure.name}: {failure.error}" for failure in failures).most_common()),
        )

    @property
    def is_clean(self) -> bool:
        """Whether nothing failed and nothing was lost; a stall by itself is no failure."""
        return not (self.failed_reads or self.failed_writes or self.lost)

    def text(self) -> str:
        """Return the verdict as it is printed."""
        lines = [
            f"Writes acknowledged   {self.writes:>8,}   (and {self.reads:,} reads, in {self.seconds:.0f} s)",
            f"Writes failed         {self.failed_writes:>8,}",
            f"Reads failed          {self.failed_reads:>8,}",
            f"Lost on reading back  {len(self.lost):>8,}",
            f"Longest stall         {self.longest_stall * 1000:>8,.0f} ms",
            f"Stalled altogether    {self.stalled * 1000:>8,.0f} ms   (operations of more than {STALLED_AFTER * 1000:.0f} ms)",
            *(f"  {count} times  {error}" for error, count in self.errors[:10]),
            *(f"  lost: {loss}" for loss in self.lost[:10]),
            "Nothing failed and nothing was lost." if self.is_clean else "Something failed or was lost.",
        ]
        return "\n".join(lines)


def stalled_seconds(operations: Sequence[Operation]) -> float:
    """Return for how long at least one slow operation waited; operations that wait together count once."""
    total, reached = 0.0, float("-inf")
    for due, done in sorted((o.due, o.done) for o in operations if o.late > STALLED_AFTER):
        total += max(0.0, done - max(due, reached))
        reached = max(reached, done)
    return total
