"""create countries, roles and staff

Revision ID: 685cadbd43b1
Revises: 
Create Date: 2025-09-15 10:12:33.512034

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = '685cadbd43b1'
down_revision: Union[str, Sequence[str], None] = None
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None

COUNTRIES = [
    ("AT", "Austria", "EUR", True),
    ("BE", "Belgium", "EUR", True),
    ("CH", "Switzerland", "CHF", False),
    ("CZ", "Czechia", "CZK", True),
    ("DE", "Germany", "EUR", True),
    ("DK", "Denmark", "DKK", True),
    ("ES", "Spain", "EUR", True),
    ("FR", "France", "EUR", True),
    ("GB", "United Kingdom", "GBP", False),
    ("IT", "Italy", "EUR", True),
    ("NL", "Netherlands", "EUR", True),
    ("PL", "Poland", "PLN", True),
    ("PT", "Portugal", "EUR", True),
    ("SE", "Sweden", "SEK", True),
]


def upgrade() -> None:
    """Upgrade schema."""
    countries = op.create_table(
        "countries",
        sa.Column("code", sa.CHAR(length=2), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False, comment="ISO 4217"),
        sa.Column("in_eu", sa.Boolean(), nullable=False),
        sa.CheckConstraint("code = upper(code)", name=op.f("ck_countries_code_is_upper_case")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_countries")),
        sa.UniqueConstraint("name", name=op.f("uq_countries_name")),
        comment="Countries that we deliver to (ISO 3166-1 alpha-2).",
    )
    roles = op.create_table(
        "roles",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roles")),
        sa.UniqueConstraint("name", name=op.f("uq_roles_name")),
        comment="What a member of staff may do in the back office.",
    )
    op.create_table(
        "staff",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("role_id", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name=op.f("fk_staff_role_id_roles"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff")),
        sa.UniqueConstraint("email", name=op.f("uq_staff_email")),
        comment="People who work in the back office.",
    )
    op.create_index(op.f("ix_staff_role_id"), "staff", ["role_id"])

    op.bulk_insert(
        countries,
        [
            {"code": code, "name": name, "currency": currency, "in_eu": in_eu}
            for code, name, currency, in_eu in COUNTRIES
        ],
    )
    op.bulk_insert(roles, [{"name": name} for name in ("administrator", "purchasing", "warehouse", "customer service")])


def downgrade() -> None:
    """Downgrade schema."""
    op.drop_table("staff")
    op.drop_table("roles")
    op.drop_table("countries")
