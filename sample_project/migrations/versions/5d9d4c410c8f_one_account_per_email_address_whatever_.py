"""one account per email address, whatever its case

Revision ID: 5d9d4c410c8f
Revises: 0cfae23b34ab
Create Date: 2026-03-05 10:25:17.332495

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = '5d9d4c410c8f'
down_revision: Union[str, Sequence[str], None] = '0cfae23b34ab'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    # Data first: the shop has always looked up addresses in lower case, so no two accounts become one here.
    op.execute("UPDATE customers SET email = lower(btrim(email)) WHERE email <> lower(btrim(email))")
    op.create_index("uq_customers_email_lower", "customers", [sa.text("lower(email)")], unique=True)
    op.drop_index("ix_customers_email", table_name="customers")


def downgrade() -> None:
    """Downgrade schema."""
    # How addresses were written before is not known any more; in lower case they are the same addresses.
    op.create_index("ix_customers_email", "customers", ["email"])
    op.drop_index("uq_customers_email_lower", table_name="customers")
