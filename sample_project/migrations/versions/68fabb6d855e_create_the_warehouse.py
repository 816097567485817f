"""create the warehouse

Revision ID: 68fabb6d855e
Revises: 5fab30bc09e0
Create Date: 2025-11-04 09:33:02.418206

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = '68fabb6d855e'
down_revision: Union[str, Sequence[str], None] = '5fab30bc09e0'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    op.execute(sa.schema.CreateSchema("warehouse"))
    warehouses = op.create_table(
        "warehouses",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("country_code", sa.CHAR(length=2), nullable=False),
        sa.ForeignKeyConstraint(
            ["country_code"], ["countries.code"], name=op.f("fk_warehouses_country_code_countries"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_warehouses")),
        sa.UniqueConstraint("code", name=op.f("uq_warehouses_code")),
        schema="warehouse",
        comment="Buildings that parcels leave from.",
    )
    op.create_table(
        "stock",
        sa.Column("warehouse_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("quantity", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "reserved", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="Ordered, not yet packed"
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Kept by the trigger set_updated_at.",
        ),
        sa.CheckConstraint("quantity >= 0", name=op.f("ck_stock_quantity_is_not_negative")),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_stock_product_id_products"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["warehouse_id"],
            ["warehouse.warehouses.id"],
            name=op.f("fk_stock_warehouse_id_warehouses"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("warehouse_id", "product_id", name=op.f("pk_stock")),
        schema="warehouse",
        comment="How much of a product lies in a warehouse.",
    )
    op.create_index(op.f("ix_stock_product_id"), "stock", ["product_id"], schema="warehouse")
    op.execute(
        "CREATE TRIGGER set_updated_at BEFORE UPDATE ON warehouse.stock "
        "FOR EACH ROW EXECUTE FUNCTION public.set_updated_at()"
    )
    op.bulk_insert(
        warehouses,
        [
            {"code": "HAM", "name": "Hamburg-Billbrook", "country_code": "DE"},
            {"code": "LYS", "name": "Lyon Saint-Priest", "country_code": "FR"},
            {"code": "WRO", "name": "Wrocław Południe", "country_code": "PL"},
        ],
    )


def downgrade() -> None:
    """Downgrade schema."""
    op.drop_table("stock", schema="warehouse")
    op.drop_table("warehouses", schema="warehouse")
    op.execute(sa.schema.DropSchema("warehouse"))
