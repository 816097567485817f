"""create tax rates

Revision ID: f8a0191f6d9c
Revises: a0fe328ba5cd
Create Date: 2025-12-02 10:44:31.158690

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa
import datetime

# revision identifiers, used by Alembic.
revision: str = 'f8a0191f6d9c'
down_revision: Union[str, Sequence[str], None] = 'a0fe328ba5cd'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None

# standard rate and rate for books, in per cent
RATES = [
    ("AT", 20, 10),
    ("BE", 21, 6),
    ("CH", 8.1, 2.6),
    ("CZ", 21, 0),
    ("DE", 19, 7),
    ("DK", 25, 25),
    ("ES", 21, 4),
    ("FR", 20, 5.5),
    ("GB", 20, 0),
    ("IT", 22, 4),
    ("NL", 21, 9),
    ("PL", 23, 5),
    ("PT", 23, 6),
    ("SE", 25, 6),
]


def upgrade() -> None:
    """Upgrade schema."""
    tax_rates = op.create_table(
        "tax_rates",
        sa.Column("country_code", sa.CHAR(length=2), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("rate", sa.Numeric(precision=5, scale=2), nullable=False, comment="Per cent"),
        sa.CheckConstraint("rate >= 0 AND rate < 100", name=op.f("ck_tax_rates_rate_is_a_percentage")),
        sa.ForeignKeyConstraint(
            ["country_code"], ["countries.code"], name=op.f("fk_tax_rates_country_code_countries"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("country_code", "category", "valid_from", name=op.f("pk_tax_rates")),
        comment="Value added tax by country, category and the day from which it holds.",
    )
    op.bulk_insert(
        tax_rates,
        [
            {"country_code": country, "category": category, "valid_from": datetime.date(2025, 1, 1), "rate": rate}
            for country, standard, books in RATES
            for category, rate in (("standard", standard), ("books", books))
        ],
    )


def downgrade() -> None:
    """Downgrade schema."""
    op.drop_table("tax_rates")
