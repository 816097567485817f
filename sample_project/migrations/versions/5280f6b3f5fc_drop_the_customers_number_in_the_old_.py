"""drop the customers' number in the old shop

Revision ID: 5280f6b3f5fc
Revises: cf77a009741c
Create Date: 2026-08-19 10:18:54.680314

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = '5280f6b3f5fc'
down_revision: Union[str, Sequence[str], None] = 'cf77a009741c'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    op.drop_column("customers", "import_ref")


def downgrade() -> None:
    """Downgrade schema."""
    op.add_column("customers", sa.Column("import_ref", sa.Text(), nullable=True, comment="Number in the old shop"))
