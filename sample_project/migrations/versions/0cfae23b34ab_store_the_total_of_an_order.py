"""store the total of an order

Revision ID: 0cfae23b34ab
Revises: 9276b9d9f946
Create Date: 2026-02-17 16:08:03.746612

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = '0cfae23b34ab'
down_revision: Union[str, Sequence[str], None] = '9276b9d9f946'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    op.add_column(
        "orders",
        sa.Column(
            "total",
            sa.Numeric(precision=12, scale=2),
            server_default=sa.text("0"),
            nullable=False,
            comment="Sum of the lines",
        ),
    )
    op.execute(
        """
        UPDATE orders o SET total = l.total
        FROM (SELECT order_id, sum(quantity * unit_price) AS total FROM order_lines GROUP BY order_id) l
        WHERE l.order_id = o.id
        """
    )
    op.create_check_constraint(op.f("ck_orders_total_is_not_negative"), "orders", "total >= 0")


def downgrade() -> None:
    """Downgrade schema."""
    op.drop_constraint(op.f("ck_orders_total_is_not_negative"), "orders", type_="check")
    op.drop_column("orders", "total")
