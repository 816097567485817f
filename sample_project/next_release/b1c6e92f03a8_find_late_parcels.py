"""find late parcels

Revision ID: b1c6e92f03a8
Revises: 8e50f4c2d716
Create Date: 2026-09-03 08:27:19.552610

"""

import sqlalchemy as sa
from alembic import op

revision = "b1c6e92f03a8"
down_revision = "8e50f4c2d716"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The table is busy. An attempt that was broken off leaves an invalid index behind: start anew.
    with op.get_context().autocommit_block():
        op.drop_index(
            "ix_shipments_estimated_delivery",
            table_name="shipments",
            schema="warehouse",
            if_exists=True,
            postgresql_concurrently=True,
        )
        op.create_index(
            "ix_shipments_estimated_delivery",
            "shipments",
            ["estimated_delivery"],
            schema="warehouse",
            postgresql_where=sa.text("delivered_at IS NULL"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(
            "ix_shipments_estimated_delivery",
            table_name="shipments",
            schema="warehouse",
            if_exists=True,
            postgresql_concurrently=True,
        )
