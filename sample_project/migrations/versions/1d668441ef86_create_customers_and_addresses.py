"""create customers and addresses

Revision ID: 1d668441ef86
Revises: 685cadbd43b1
Create Date: 2025-09-18 15:40:07.090412

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = '1d668441ef86'
down_revision: Union[str, Sequence[str], None] = '685cadbd43b1'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    # One function for every table that has an updated_at.
    op.execute(
        """
        CREATE FUNCTION public.set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.updated_at = now();
            RETURN NEW;
        END
        $$
        """
    )
    op.create_table(
        "customers",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("country_code", sa.CHAR(length=2), nullable=False),
        sa.Column("import_ref", sa.Text(), nullable=True, comment="Number in the old shop"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Kept by the trigger set_updated_at.",
        ),
        sa.CheckConstraint("email LIKE '%_@_%'", name=op.f("ck_customers_email_has_an_at")),
        sa.ForeignKeyConstraint(
            ["country_code"], ["countries.code"], name=op.f("fk_customers_country_code_countries"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customers")),
        comment="Everybody who has an account.",
    )
    op.create_index(op.f("ix_customers_country_code"), "customers", ["country_code"])
    op.create_index("ix_customers_email", "customers", ["email"])
    op.execute(
        "CREATE TRIGGER set_updated_at BEFORE UPDATE ON public.customers "
        "FOR EACH ROW EXECUTE FUNCTION public.set_updated_at()"
    )
    op.create_table(
        "addresses",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Enum("shipping", "billing", name="address_kind"), nullable=False),
        sa.Column("street", sa.Text(), nullable=False),
        sa.Column("postal_code", sa.Text(), nullable=False),
        sa.Column("city", sa.Text(), nullable=False),
        sa.Column("country_code", sa.CHAR(length=2), nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["country_code"], ["countries.code"], name=op.f("fk_addresses_country_code_countries"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_addresses_customer_id_customers"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_addresses")),
        comment="Where customers have parcels and invoices sent.",
    )
    op.create_index(op.f("ix_addresses_customer_id"), "addresses", ["customer_id"])
    op.create_index(
        "uq_addresses_one_default",
        "addresses",
        ["customer_id", "kind"],
        unique=True,
        postgresql_where=sa.text("is_default"),
    )


def downgrade() -> None:
    """Downgrade schema."""
    op.drop_table("addresses")
    op.execute("DROP TYPE address_kind")
    op.drop_table("customers")
    op.execute("DROP FUNCTION public.set_updated_at()")
