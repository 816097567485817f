"""orders can be refunded

Revision ID: 0de2917802f1
Revises: f8a0191f6d9c
Create Date: 2025-12-16 17:02:14.250137

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = '0de2917802f1'
down_revision: Union[str, Sequence[str], None] = 'f8a0191f6d9c'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    op.execute("ALTER TYPE order_status ADD VALUE 'refunded' BEFORE 'cancelled'")


def downgrade() -> None:
    """Downgrade schema."""
    # PostgreSQL cannot take a value out of an enum: a new type takes the place of the old one.
    op.execute("UPDATE orders SET status = 'cancelled' WHERE status = 'refunded'")
    op.execute("DROP VIEW public.order_summaries")
    op.execute("ALTER TYPE order_status RENAME TO order_status_old")
    op.execute("CREATE TYPE order_status AS ENUM ('placed', 'paid', 'shipped', 'cancelled')")
    op.execute("ALTER TABLE orders ALTER COLUMN status DROP DEFAULT")
    op.execute("ALTER TABLE orders ALTER COLUMN status TYPE order_status USING status::text::order_status")
    op.execute("ALTER TABLE orders ALTER COLUMN status SET DEFAULT 'placed'")
    op.execute("DROP TYPE order_status_old")
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
