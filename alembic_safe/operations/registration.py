"""How the verbs of ours become part of ``op.``, of autogenerate's rendering and of its comparisons (door 5)."""

from __future__ import annotations

import importlib
from typing import Any

from alembic.autogenerate.render import renderers
from alembic.operations.base import Operations

from alembic_safe.operations.add_enum_value import AddEnumValueOp, render_add_enum_value
from alembic_safe.operations.backfill import BackfillOp, render_backfill
from alembic_safe.operations.concurrent_indexes import (
    CreateIndexConcurrentlyOp,
    DropIndexConcurrentlyOp,
    render_create_index_concurrently,
    render_drop_index_concurrently,
)
from alembic_safe.operations.constraint_using_index import AddConstraintUsingIndexOp, render_constraint_using_index
from alembic_safe.operations.constraints_not_valid import (
    CreateCheckNotValidOp,
    CreateForeignKeyNotValidOp,
    DropForeignKeyOp,
    ValidateConstraintOp,
    render_check_not_valid,
    render_drop_foreign_key,
    render_foreign_key_not_valid,
    render_validate_constraint,
)
from alembic_safe.operations.counting import CountAsIdentityOp, CountWithSequenceOp, render_count
from alembic_safe.operations.enum_types import (
    CreateEnumTypeOp,
    DropEnumTypeOp,
    SwapEnumTypesBackOp,
    SwapEnumTypesOp,
    render_enum_type,
    render_swap_enums,
)
from alembic_safe.operations.keep_column import KeepColumnOp, UnkeepColumnOp
from alembic_safe.operations.not_null import (
    ProveNotNullOp,
    SetNotNullOp,
    render_prove_not_null,
    render_set_not_null,
)
from alembic_safe.operations.rename_part import RenameConstraintOp, RenameIndexOp, render_rename_part
from alembic_safe.operations.retire_column import RestoreColumnOp, RetireColumnOp, render_column
from alembic_safe.operations.retire_table import RestoreTableOp, RetireTableOp, render_table
from alembic_safe.operations.step import StepVerb
from alembic_safe.operations.swap_columns import SwapColumnsBackOp, SwapColumnsOp, render_swap
from alembic_safe.operations.sync_columns import DropSyncOp, SyncColumnsOp, render_sync
from alembic_safe.operations.sync_tables import (
    CopyMovedOp,
    DropTableSyncOp,
    SyncTablesOp,
    VerifyMovedOp,
    render_moved,
)
from alembic_safe.operations.verify_copied import VerifyCopiedOp

_VERBS: tuple[tuple[str, type[Any], str, Any], ...] = (
    ("retire_column", RetireColumnOp, "column_run", render_column),
    ("restore_column", RestoreColumnOp, "column_run", render_column),
    ("retire_table", RetireTableOp, "table_run", render_table),
    ("restore_table", RestoreTableOp, "table_run", render_table),
    ("sync_columns", SyncColumnsOp, "sync_run", render_sync),
    ("drop_sync", DropSyncOp, "sync_run", render_sync),
    ("backfill", BackfillOp, "copy_run", render_backfill),
    ("verify_copied", VerifyCopiedOp, "copy_run", render_sync),
    ("sync_tables", SyncTablesOp, "sync_tables_run", render_moved),
    ("drop_table_sync", DropTableSyncOp, "sync_tables_run", render_moved),
    ("copy_moved", CopyMovedOp, "moved_run", render_moved),
    ("verify_moved", VerifyMovedOp, "moved_run", render_moved),
    ("keep_column", KeepColumnOp, "column_run", render_column),
    ("unkeep_column", UnkeepColumnOp, "column_run", render_column),
    ("swap_columns", SwapColumnsOp, "swap_run", render_swap),
    ("swap_columns_back", SwapColumnsBackOp, "swap_run", render_swap),
    ("prove_not_null", ProveNotNullOp, "not_null_run", render_prove_not_null),
    ("set_not_null", SetNotNullOp, "not_null_run", render_set_not_null),
    (
        "create_foreign_key_not_valid",
        CreateForeignKeyNotValidOp,
        "foreign_key_run",
        render_foreign_key_not_valid,
    ),
    ("drop_foreign_key", DropForeignKeyOp, "foreign_key_run", render_drop_foreign_key),
    ("create_check_not_valid", CreateCheckNotValidOp, "constraint_run", render_check_not_valid),
    ("validate_constraint", ValidateConstraintOp, "constraint_run", render_validate_constraint),
    ("add_constraint_using_index", AddConstraintUsingIndexOp, "constraint_run", render_constraint_using_index),
    ("create_index_concurrently", CreateIndexConcurrentlyOp, "index_run", render_create_index_concurrently),
    ("drop_index_concurrently", DropIndexConcurrentlyOp, "index_run", render_drop_index_concurrently),
    ("rename_index", RenameIndexOp, "rename_part_run", render_rename_part),
    ("rename_constraint", RenameConstraintOp, "rename_part_run", render_rename_part),
    ("count_with_sequence", CountWithSequenceOp, "counting_run", render_count),
    ("count_as_identity", CountAsIdentityOp, "counting_run", render_count),
    ("add_enum_value", AddEnumValueOp, "enum_run", render_add_enum_value),
    ("create_enum_type", CreateEnumTypeOp, "enum_run", render_enum_type),
    ("drop_enum_type", DropEnumTypeOp, "enum_run", render_enum_type),
    ("swap_enum_types", SwapEnumTypesOp, "swap_enums_run", render_swap_enums),
    ("swap_enum_types_back", SwapEnumTypesBackOp, "swap_enums_run", render_swap_enums),
)
"""Verb, its record, the module that runs it (loaded when it runs), its renderer."""


def register() -> None:
    """Register every verb once; called by the plugin when Alembic's operations are there."""
    if not hasattr(Operations, "step"):
        # no operation is invoked: what stands in the body of the ``with`` are operations
        Operations.register_operation("step")(StepVerb)
    for name, op_class, module, renderer in _VERBS:
        if hasattr(Operations, name):
            continue
        Operations.register_operation(name)(op_class)
        Operations.implementation_for(op_class)(_late(module, name))
        renderers.dispatch_for(op_class)(renderer)


def load_verbs(source: str) -> None:
    """Load what runs the verbs that a revision's source names, before its transaction holds a lock that others wait for."""
    for name, _, module, _ in _VERBS:
        if f".{name}(" in source:
            importlib.import_module(f"alembic_safe.operations.{module}")


def _late(module: str, name: str) -> Any:
    def implementation(operations: Operations, operation: Any) -> Any:
        return getattr(importlib.import_module(f"alembic_safe.operations.{module}"), name)(operations, operation)

    return implementation
