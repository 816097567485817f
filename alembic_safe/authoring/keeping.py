"""Which operations keep the rows of what goes?"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from alembic.operations import ops

from alembic_safe.operations.retire_column import RetireColumnOp
from alembic_safe.operations.retire_table import RetireTableOp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


UNDO = "_alembic_safe_undo"
"""The attribute of an operation that its reverse does not take back: what does, in its order."""


def taken_back_by(forward: Sequence[ops.MigrateOperation], backward: Sequence[ops.MigrateOperation]) -> None:
    """Note what takes operations back, all of them together, where that is not the reverse of each."""
    for op in forward:
        setattr(op, UNDO, ())
    if forward:
        setattr(forward[-1], UNDO, tuple(backward))


def keeping_rows(operations: Iterable[ops.MigrateOperation]) -> Iterator[ops.MigrateOperation]:
    """Turn drops into what keeps the rows."""
    for op in operations:
        if isinstance(op, ops.DropColumnOp):
            yield RetireColumnOp.of(op)
        elif isinstance(op, ops.DropTableOp):
            yield RetireTableOp.of(op)
        else:
            yield op


def reverses(operations: Sequence[ops.MigrateOperation]) -> list[ops.MigrateOperation]:
    """Return what takes operations back, rows kept, in its order; what has nothing to take back is left out."""
    found: list[ops.MigrateOperation] = []
    for op in reversed(operations):
        noted = getattr(op, UNDO, None)
        if noted is not None:
            found += noted
            continue
        with suppress(NotImplementedError):
            found.append(op.reverse())
    return list(keeping_rows(found))
