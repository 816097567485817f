"""index the open orders

Revision ID: b422861f710b
Revises: 6bf4108f25d9
Create Date: 2026-06-10 17:30:22.095548

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = 'b422861f710b'
down_revision: Union[str, Sequence[str], None] = '6bf4108f25d9'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    # The table is busy and large by now. An attempt that was broken off leaves an invalid index behind: start anew.
    with op.get_context().autocommit_block():
        op.drop_index("ix_orders_open", table_name="orders", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            "ix_orders_open",
            "orders",
            ["placed_at"],
            postgresql_where=sa.text("status IN ('placed', 'paid')"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    """Downgrade schema."""
    with op.get_context().autocommit_block():
        op.drop_index("ix_orders_open", table_name="orders", if_exists=True, postgresql_concurrently=True)
