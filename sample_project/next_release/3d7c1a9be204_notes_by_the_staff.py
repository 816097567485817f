"""notes by the staff

Revision ID: 3d7c1a9be204
Revises: 5280f6b3f5fc
Create Date: 2026-09-02 09:12:41.300127

"""

import sqlalchemy as sa
from alembic import op

revision = "3d7c1a9be204"
down_revision = "5280f6b3f5fc"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("staff_note", sa.Text(), comment="For colleagues; customers never see it"))


def downgrade() -> None:
    op.drop_column("orders", "staff_note")
