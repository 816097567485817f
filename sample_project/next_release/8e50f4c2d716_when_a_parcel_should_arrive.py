"""when a parcel should arrive

Revision ID: 8e50f4c2d716
Revises: 3d7c1a9be204
Create Date: 2026-09-02 11:40:05.918834

"""

import sqlalchemy as sa
from alembic import op

revision = "8e50f4c2d716"
down_revision = "3d7c1a9be204"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "shipments", sa.Column("estimated_delivery", sa.Date(), comment="As the carrier promised"), schema="warehouse"
    )


def downgrade() -> None:
    op.drop_column("shipments", "estimated_delivery", schema="warehouse")
