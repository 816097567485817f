"""How the verbs of ours become part of ``op.``, of autogenerate's rendering and of its comparisons (door 5)."""

from __future__ import annotations

import importlib
from typing import Any

from alembic.autogenerate.render import renderers
from alembic.operations.base import Operations

from alembic_safe.operations.retire_column import RestoreColumnOp, RetireColumnOp, render_column
from alembic_safe.operations.retire_table import RestoreTableOp, RetireTableOp, render_table

_VERBS: tuple[tuple[str, type[Any], str, Any], ...] = (
    ("retire_column", RetireColumnOp, "column_run", render_column),
    ("restore_column", RestoreColumnOp, "column_run", render_column),
    ("retire_table", RetireTableOp, "table_run", render_table),
    ("restore_table", RestoreTableOp, "table_run", render_table),
)
"""Verb, its record, the module that runs it (loaded when it runs), its renderer."""


def register() -> None:
    """Register every verb once; called by the plugin when Alembic's operations are there."""
    for name, op_class, module, renderer in _VERBS:
        if hasattr(Operations, name):
            continue
        Operations.register_operation(name)(op_class)
        Operations.implementation_for(op_class)(_late(module, name))
        renderers.dispatch_for(op_class)(renderer)


def _late(module: str, name: str) -> Any:
    def implementation(operations: Operations, operation: Any) -> Any:
        return getattr(importlib.import_module(f"alembic_safe.operations.{module}"), name)(operations, operation)

    return implementation
