"""create stock movements

Revision ID: f876a6b15003
Revises: 2ee0b1c15a84
Create Date: 2026-01-20 13:15:40.029981

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = 'f876a6b15003'
down_revision: Union[str, Sequence[str], None] = '2ee0b1c15a84'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    op.create_table(
        "stock_movements",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("warehouse_id", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False, comment="Negative when it left"),
        sa.Column(
            "reason",
            sa.Enum("received", "sold", "returned", "counted", name="movement_reason", schema="warehouse"),
            nullable=False,
        ),
        sa.Column("moved_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("quantity <> 0", name=op.f("ck_stock_movements_quantity_is_not_zero")),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_stock_movements_product_id_products"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["warehouse_id"],
            ["warehouse.warehouses.id"],
            name=op.f("fk_stock_movements_warehouse_id_warehouses"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_movements")),
        schema="warehouse",
        comment="Everything that came into or left a warehouse.",
    )
    op.create_index(
        "ix_stock_movements_product_id_moved_at",
        "stock_movements",
        ["product_id", sa.text("moved_at DESC")],
        schema="warehouse",
    )
    # From now on the stock is the sum of its movements: what lies there today is the first one.
    op.execute(
        """
        INSERT INTO warehouse.stock_movements (warehouse_id, product_id, quantity, reason)
        SELECT warehouse_id, product_id, quantity, 'counted' FROM warehouse.stock WHERE quantity > 0
        """
    )
    op.create_table_comment(
        "stock",
        "How much of a product lies in a warehouse: always the sum of its movements.",
        existing_comment="How much of a product lies in a warehouse.",
        schema="warehouse",
    )


def downgrade() -> None:
    """Downgrade schema."""
    op.create_table_comment(
        "stock",
        "How much of a product lies in a warehouse.",
        existing_comment="How much of a product lies in a warehouse: always the sum of its movements.",
        schema="warehouse",
    )
    op.drop_table("stock_movements", schema="warehouse")
    op.execute("DROP TYPE warehouse.movement_reason")
