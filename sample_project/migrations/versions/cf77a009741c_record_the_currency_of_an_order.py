"""record the currency of an order

Revision ID: cf77a009741c
Revises: b422861f710b
Create Date: 2026-07-01 11:03:37.498021

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = 'cf77a009741c'
down_revision: Union[str, Sequence[str], None] = 'b422861f710b'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    op.add_column(
        "orders",
        sa.Column(
            "currency",
            sa.CHAR(length=3),
            nullable=True,
            comment="ISO 4217; empty on orders from before it was recorded",
        ),
    )
    # Of earlier orders only the paid ones are sure to have been in the currency of the customer's country.
    op.execute(
        """
        UPDATE orders o SET currency = k.currency
        FROM customers c JOIN countries k ON k.code = c.country_code
        WHERE c.id = o.customer_id AND EXISTS (SELECT FROM payments p WHERE p.order_id = o.id)
        """
    )


def downgrade() -> None:
    """Downgrade schema."""
    op.drop_column("orders", "currency")
