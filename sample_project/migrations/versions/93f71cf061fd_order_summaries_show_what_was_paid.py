"""order summaries show what was paid

Revision ID: 93f71cf061fd
Revises: dea7d74d19b8
Create Date: 2026-04-14 09:11:29.275863

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = '93f71cf061fd'
down_revision: Union[str, Sequence[str], None] = 'dea7d74d19b8'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    # CREATE OR REPLACE can only append columns, and the total is now a column of its own.
    op.execute("DROP VIEW public.order_summaries")
    op.execute(
        """
        CREATE VIEW public.order_summaries AS
        SELECT o.id AS order_id, o.customer_id, c.email, o.status, o.placed_at, o.total,
               (SELECT count(*) FROM public.order_lines l WHERE l.order_id = o.id) AS lines,
               (SELECT coalesce(sum(p.amount), 0) FROM public.payments p WHERE p.order_id = o.id) AS paid
        FROM public.orders o
        JOIN public.customers c ON c.id = o.customer_id
        """
    )
    op.execute("COMMENT ON VIEW public.order_summaries IS 'One row per order, for the account page and the back office.'")


def downgrade() -> None:
    """Downgrade schema."""
    op.execute("DROP VIEW public.order_summaries")
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
