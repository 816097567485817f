"""add the order summaries view

Revision ID: a0fe328ba5cd
Revises: 68fabb6d855e
Create Date: 2025-11-11 14:20:58.937415

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = 'a0fe328ba5cd'
down_revision: Union[str, Sequence[str], None] = '68fabb6d855e'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    op.execute(
        """
        CREATE VIEW public.order_summaries AS
        SELECT o.id AS order_id, o.customer_id, c.email, o.status, o.placed_at,
               coalesce(sum(l.quantity * l.unit_price), 0) AS total
        FROM public.orders o
        JOIN public.customers c ON c.id = o.customer_id
        LEFT JOIN public.order_lines l ON l.order_id = o.id
        GROUP BY o.id, c.email
        """
    )


def downgrade() -> None:
    """Downgrade schema."""
    op.execute("DROP VIEW public.order_summaries")
