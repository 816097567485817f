"""create shipments

Revision ID: 9276b9d9f946
Revises: f876a6b15003
Create Date: 2026-02-03 11:36:55.514208

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = '9276b9d9f946'
down_revision: Union[str, Sequence[str], None] = 'f876a6b15003'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    op.create_table(
        "shipments",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("warehouse_id", sa.Integer(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("tracking_code", sa.Text(), nullable=False),
        sa.Column("shipped_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("delivered_at >= shipped_at", name=op.f("ck_shipments_delivered_after_shipped")),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_shipments_order_id_orders"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["warehouse_id"],
            ["warehouse.warehouses.id"],
            name=op.f("fk_shipments_warehouse_id_warehouses"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipments")),
        schema="warehouse",
        comment="Parcels on their way and those that arrived.",
    )
    op.create_index(op.f("ix_shipments_order_id"), "shipments", ["order_id"], schema="warehouse")
    op.create_index(
        "ix_shipments_on_the_way",
        "shipments",
        ["shipped_at"],
        schema="warehouse",
        postgresql_where=sa.text("delivered_at IS NULL"),
    )


def downgrade() -> None:
    """Downgrade schema."""
    op.drop_table("shipments", schema="warehouse")
