"""account page: phone, preferences and newsletter

Revision ID: 2ee0b1c15a84
Revises: 0de2917802f1
Create Date: 2026-01-08 09:57:26.883344

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

# revision identifiers, used by Alembic.
revision: str = '2ee0b1c15a84'
down_revision: Union[str, Sequence[str], None] = '0de2917802f1'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    op.add_column("customers", sa.Column("phone", sa.Text(), nullable=True))
    op.add_column(
        "customers",
        sa.Column(
            "preferences",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="What the account page shows: language, currency, layout.",
        ),
    )
    op.add_column(
        "customers", sa.Column("marketing_opt_in", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_table(
        "newsletter_subscriptions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("subscribed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("unsubscribed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_newsletter_subscriptions")),
        sa.UniqueConstraint("email", name=op.f("uq_newsletter_subscriptions_email")),
        comment="Who receives the newsletter; need not be a customer.",
    )


def downgrade() -> None:
    """Downgrade schema."""
    op.drop_table("newsletter_subscriptions")
    op.drop_column("customers", "marketing_opt_in")
    op.drop_column("customers", "preferences")
    op.drop_column("customers", "phone")
