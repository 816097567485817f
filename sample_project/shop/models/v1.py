"""Version 1: the shop as it runs today, which is what the revisions in ``migrations/`` build."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    CHAR,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shop.models.draft import Draft

MONEY = Numeric(12, 2)


def tables() -> list[Draft]:
    """Return every table of the shop, parents before children."""
    return [*_reference(), *_people(), *_catalogue(), *_sales(), *_warehouse()]


def _id(kind: type[BigInteger | Integer] = BigInteger) -> Column[Any]:
    return Column("id", kind, Identity(always=True), primary_key=True)


def _uuid() -> Column[Any]:
    return Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()"))


def _time(name: str, comment: str | None = None) -> Column[Any]:
    return Column(name, DateTime(timezone=True), server_default=text("now()"), nullable=False, comment=comment)


def _stamps() -> tuple[Column[Any], Column[Any]]:
    return _time("created_at"), _time("updated_at", "Kept by the trigger set_updated_at.")


def _reference() -> list[Draft]:
    return [
        Draft("countries", "Countries that we deliver to (ISO 3166-1 alpha-2).", [
            Column("code", CHAR(2), primary_key=True),
            Column("name", Text, nullable=False),
            Column("currency", CHAR(3), nullable=False, comment="ISO 4217"),
            Column("in_eu", Boolean, nullable=False),
            UniqueConstraint("name"),
            CheckConstraint("code = upper(code)", name="code_is_upper_case"),
        ]),
        Draft("tax_rates", "Value added tax by country, category and the day from which it holds.", [
            Column("country_code", CHAR(2), ForeignKey("countries.code", ondelete="RESTRICT"), primary_key=True),
            Column("category", Text, primary_key=True),
            Column("valid_from", Date, primary_key=True),
            Column("rate", Numeric(5, 2), nullable=False, comment="Per cent"),
            CheckConstraint("rate >= 0 AND rate < 100", name="rate_is_a_percentage"),
        ]),
    ]  # fmt: skip


def _people() -> list[Draft]:
    return [
        Draft("roles", "What a member of staff may do in the back office.", [
            _id(Integer),
            Column("name", Text, nullable=False),
            UniqueConstraint("name"),
        ]),
        Draft("staff", "People who work in the back office.", [
            _id(Integer),
            Column("email", Text, nullable=False),
            Column("full_name", Text, nullable=False),
            Column("role_id", Integer, ForeignKey("roles.id", ondelete="RESTRICT"), nullable=False),
            Column("active", Boolean, server_default=text("true"), nullable=False),
            UniqueConstraint("email"),
            Index(None, "role_id"),
        ]),
        Draft("customers", "Everybody who has an account.", [
            _id(),
            Column("email", Text, nullable=False),
            Column("full_name", Text, nullable=False),
            Column("country_code", CHAR(2), ForeignKey("countries.code", ondelete="RESTRICT"), nullable=False),
            *_stamps(),
            Column("phone", Text),
            Column("preferences", JSONB, server_default=text("'{}'::jsonb"), nullable=False,
                   comment="What the account page shows: language, currency, layout."),
            Column("marketing_opt_in", Boolean, server_default=text("false"), nullable=False),
            CheckConstraint("email LIKE '%_@_%'", name="email_has_an_at"),
            Index("uq_customers_email_lower", text("lower(email)"), unique=True),
            Index("ix_customers_country_code", "country_code"),
        ]),
        Draft("addresses", "Where customers have parcels and invoices sent.", [
            _id(),
            Column("customer_id", BigInteger, ForeignKey("customers.id", ondelete="CASCADE"), nullable=False),
            Column("kind", Enum("shipping", "billing", name="address_kind"), nullable=False),
            Column("street", Text, nullable=False),
            Column("postal_code", Text, nullable=False),
            Column("city", Text, nullable=False),
            Column("country_code", CHAR(2), ForeignKey("countries.code", ondelete="RESTRICT"), nullable=False),
            Column("is_default", Boolean, server_default=text("false"), nullable=False),
            Index(None, "customer_id"),
            Index("uq_addresses_one_default", "customer_id", "kind", unique=True, postgresql_where=text("is_default")),
        ]),
        Draft("newsletter_subscriptions", "Who receives the newsletter; need not be a customer.", [
            _id(),
            Column("email", Text, nullable=False),
            _time("subscribed_at"),
            Column("unsubscribed_at", DateTime(timezone=True)),
            UniqueConstraint("email"),
        ]),
    ]  # fmt: skip


def _catalogue() -> list[Draft]:
    return [
        Draft("categories", "The tree that the shop is browsed by.", [
            _id(Integer),
            Column("parent_id", Integer, ForeignKey("categories.id", ondelete="RESTRICT")),
            Column("slug", Text, nullable=False),
            Column("name", Text, nullable=False),
            UniqueConstraint("slug"),
            Index(None, "parent_id"),
        ]),
        Draft("products", "What we sell.", [
            _uuid(),
            Column("sku", Text, nullable=False, comment="Stock keeping unit, printed on the shelf"),
            Column("name", Text, nullable=False),
            Column("description", Text, server_default=text("''"), nullable=False),
            Column("category_id", Integer, ForeignKey("categories.id", ondelete="RESTRICT"), nullable=False),
            Column("price", MONEY, nullable=False, comment="Gross, in euro"),
            Column("status", Enum("draft", "active", "retired", name="product_status"),
                   server_default=text("'draft'::product_status"), nullable=False),
            Column("tags", ARRAY(Text), server_default=text("'{}'::text[]"), nullable=False),
            Column("attributes", JSONB, server_default=text("'{}'::jsonb"), nullable=False),
            *_stamps(),
            UniqueConstraint("sku"),
            CheckConstraint("price >= 0", name="price_is_not_negative"),
            Index("ix_products_tags", "tags", postgresql_using="gin"),
            Index("ix_products_active_by_category", "category_id", "name", postgresql_where=text("status = 'active'")),
        ]),
        Draft("reviews", "What customers say about products.", [
            _id(),
            Column("product_id", Uuid, ForeignKey("products.id", ondelete="CASCADE"), nullable=False),
            Column("customer_id", BigInteger, ForeignKey("customers.id", ondelete="SET NULL")),
            Column("rating", SmallInteger, nullable=False),
            Column("body", Text),
            _time("created_at"),
            CheckConstraint("rating BETWEEN 1 AND 5", name="rating_is_one_to_five"),
            Index("ix_reviews_product_id_rating", "product_id", "rating"),
        ]),
    ]  # fmt: skip


def _sales() -> list[Draft]:
    return [
        Draft("orders", "What customers ordered.", [
            _id(),
            Column("customer_id", BigInteger, ForeignKey("customers.id", ondelete="RESTRICT"), nullable=False),
            Column("shipping_address_id", BigInteger, ForeignKey("addresses.id", ondelete="SET NULL")),
            Column("status", Enum("placed", "paid", "shipped", "refunded", "cancelled", name="order_status"),
                   server_default=text("'placed'::order_status"), nullable=False),
            Column("note", Text, comment="What the customer wrote at the checkout"),
            Column("handled_by", Integer, comment="Number of the member of staff"),
            _time("placed_at"),
            _time("updated_at", "Kept by the trigger set_updated_at."),
            Column("total", MONEY, server_default=text("0"), nullable=False, comment="Sum of the lines"),
            Column("currency", CHAR(3), comment="ISO 4217; empty on orders from before it was recorded"),
            CheckConstraint("total >= 0", name="total_is_not_negative"),
            Index("ix_orders_customer_id_placed_at", "customer_id", text("placed_at DESC")),
            Index("ix_orders_open", "placed_at", postgresql_where=text("status IN ('placed', 'paid')")),
        ]),
        Draft("order_lines", "The products of an order.", [
            Column("order_id", BigInteger, ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True),
            Column("line_no", SmallInteger, primary_key=True, autoincrement=False),
            Column("product_id", Uuid, ForeignKey("products.id", ondelete="RESTRICT"), nullable=False),
            Column("quantity", Integer, nullable=False),
            Column("unit_price", MONEY, nullable=False, comment="At the time of the order"),
            CheckConstraint("quantity > 0", name="quantity_is_positive"),
            Index(None, "product_id"),
        ]),
        Draft("payments", "Money that came in, as the payment provider reports it.", [
            _uuid(),
            Column("order_id", BigInteger, ForeignKey("orders.id", ondelete="RESTRICT"), nullable=False),
            Column("method", Text, nullable=False),
            Column("amount", MONEY, nullable=False),
            Column("reference", Text, nullable=False, comment="The provider's number"),
            _time("captured_at"),
            CheckConstraint("method IN ('card', 'paypal', 'invoice', 'voucher')", name="method_is_known"),
            CheckConstraint("amount > 0", name="amount_is_positive"),
            Index(None, "order_id"),
        ]),
    ]  # fmt: skip


def _warehouse() -> list[Draft]:
    return [
        Draft("warehouses", "Buildings that parcels leave from.", [
            _id(Integer),
            Column("code", Text, nullable=False),
            Column("name", Text, nullable=False),
            Column("country_code", CHAR(2), ForeignKey("countries.code", ondelete="RESTRICT"), nullable=False),
            UniqueConstraint("code"),
        ], schema="warehouse"),
        Draft("stock", "How much of a product lies in a warehouse: always the sum of its movements.", [
            Column("warehouse_id", Integer, ForeignKey("warehouse.warehouses.id", ondelete="RESTRICT"),
                   primary_key=True, autoincrement=False),
            Column("product_id", Uuid, ForeignKey("products.id", ondelete="CASCADE"), primary_key=True),
            Column("quantity", Integer, server_default=text("0"), nullable=False),
            Column("reserved", Integer, server_default=text("0"), nullable=False, comment="Ordered, not yet packed"),
            _time("updated_at", "Kept by the trigger set_updated_at."),
            CheckConstraint("quantity >= 0", name="quantity_is_not_negative"),
            CheckConstraint("reserved BETWEEN 0 AND quantity", name="reserved_is_there"),
            Index(None, "product_id"),
        ], schema="warehouse"),
        Draft("stock_movements", "Everything that came into or left a warehouse.", [
            _id(Integer),
            Column("warehouse_id", Integer, ForeignKey("warehouse.warehouses.id", ondelete="RESTRICT"), nullable=False),
            Column("product_id", Uuid, ForeignKey("products.id", ondelete="CASCADE"), nullable=False),
            Column("quantity", Integer, nullable=False, comment="Negative when it left"),
            Column("reason", Enum("received", "sold", "returned", "counted", name="movement_reason",
                                  schema="warehouse"), nullable=False),
            _time("moved_at"),
            CheckConstraint("quantity <> 0", name="quantity_is_not_zero"),
            Index("ix_stock_movements_product_id_moved_at", "product_id", text("moved_at DESC")),
        ], schema="warehouse"),
        Draft("shipments", "Parcels on their way and those that arrived.", [
            _id(),
            Column("order_id", BigInteger, ForeignKey("orders.id", ondelete="RESTRICT"), nullable=False),
            Column("warehouse_id", Integer, ForeignKey("warehouse.warehouses.id", ondelete="RESTRICT"), nullable=False),
            Column("carrier", Text, nullable=False),
            Column("tracking_code", Text, nullable=False),
            _time("shipped_at"),
            Column("delivered_at", DateTime(timezone=True)),
            CheckConstraint("delivered_at >= shipped_at", name="delivered_after_shipped"),
            Index(None, "order_id"),
            Index("ix_shipments_on_the_way", "shipped_at", postgresql_where=text("delivered_at IS NULL")),
        ], schema="warehouse"),
    ]  # fmt: skip
