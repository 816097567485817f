"""stock cannot be reserved twice

Revision ID: 6bf4108f25d9
Revises: 93f71cf061fd
Create Date: 2026-05-06 14:47:05.861170

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = '6bf4108f25d9'
down_revision: Union[str, Sequence[str], None] = '93f71cf061fd'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    op.execute("UPDATE warehouse.stock SET reserved = quantity WHERE reserved > quantity")
    op.create_check_constraint(
        op.f("ck_stock_reserved_is_there"), "stock", "reserved BETWEEN 0 AND quantity", schema="warehouse"
    )
    # Vouchers are a way to pay since the spring campaign.
    op.drop_constraint(op.f("ck_payments_method_is_known"), "payments", type_="check")
    op.create_check_constraint(
        op.f("ck_payments_method_is_known"), "payments", "method IN ('card', 'paypal', 'invoice', 'voucher')"
    )


def downgrade() -> None:
    """Downgrade schema."""
    op.execute("UPDATE payments SET method = 'invoice' WHERE method = 'voucher'")
    op.drop_constraint(op.f("ck_payments_method_is_known"), "payments", type_="check")
    op.create_check_constraint(
        op.f("ck_payments_method_is_known"), "payments", "method IN ('card', 'paypal', 'invoice')"
    )
    op.drop_constraint(op.f("ck_stock_reserved_is_there"), "stock", schema="warehouse", type_="check")
