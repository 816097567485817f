"""Every hazard that is known, one record for each."""

from __future__ import annotations

from alembic_safe.inspecting.hazards.advice import ADVICE
from alembic_safe.inspecting.hazards.columns_added import COLUMNS_ADDED
from alembic_safe.inspecting.hazards.columns_altered import COLUMNS_ALTERED
from alembic_safe.inspecting.hazards.columns_gone import COLUMNS_GONE
from alembic_safe.inspecting.hazards.constraints import CONSTRAINTS
from alembic_safe.inspecting.hazards.downgrades import DOWNGRADES
from alembic_safe.inspecting.hazards.failing import FAILING
from alembic_safe.inspecting.hazards.indexes import INDEXES
from alembic_safe.inspecting.hazards.retired import RETIRED
from alembic_safe.inspecting.hazards.tables import TABLES
from alembic_safe.inspecting.hazards.transactions import TRANSACTIONS
from alembic_safe.inspecting.hazards.types import TYPES

HAZARDS = (
    *COLUMNS_ADDED, *COLUMNS_GONE, *COLUMNS_ALTERED, *CONSTRAINTS, *INDEXES, *TABLES, *RETIRED, *TYPES,
    *TRANSACTIONS, *FAILING, *DOWNGRADES, *ADVICE,
)  # fmt: skip
"""In the order of the documentation."""
BY_ID = {hazard.id: hazard for hazard in HAZARDS}
