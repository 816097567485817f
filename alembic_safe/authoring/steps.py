"""How does a step of a phase stand in a revision file?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.autogenerate.render import _alembic_autogenerate_prefix, render_op, renderers
from alembic.operations import ops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.autogenerate.api import AutogenContext


class StepOp(ops.OpContainer):
    """``with op.step("..."):`` and what stands in it.

    A container: whoever walks through operations, as ``alembic check`` does, finds those in it.

    :param name: what it does, as the journal and a reviewer read it.
    """

    def __init__(self, name: str, operations: Sequence[ops.MigrateOperation]) -> None:
        super().__init__(list(operations))
        self.name = name


@renderers.dispatch_for(StepOp)
def _render_step(context: AutogenContext, op: StepOp) -> list[str]:
    lines = [f"with {_alembic_autogenerate_prefix(context)}step({op.name!r}):"]
    for one in op.ops:
        # the printer indents a line's beginning only: what an operation says on several is indented here
        lines += [line.replace("\n", "\n    ") for line in render_op(context, one)]
    return [*lines, ""]  # an empty line ends the printer's block
