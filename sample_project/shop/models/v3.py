"""Version 3: the shop has grown, and its books are audited.

- ``warehouse.stock_movements.id`` becomes ``bigint``: at the present rate an ``integer`` is used up within two years.
- ``payments.method`` becomes the enum ``payment_method`` in place of a text with a check: the auditors want the list
  of methods in one place.
- ``orders.currency`` becomes NOT NULL: an invoice without a currency is not valid.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Enum, Identity

from shop.models import v2
from shop.models.draft import Draft, by_name


def tables() -> list[Draft]:
    """Return every table of the shop, parents before children."""
    drafts = by_name(v2.tables())

    drafts["stock_movements"].replace("id", Column("id", BigInteger, Identity(always=True), primary_key=True))

    payments = drafts["payments"]
    payments.replace(
        "method", Column("method", Enum("card", "paypal", "invoice", "voucher", name="payment_method"), nullable=False)
    )
    payments.remove("method_is_known")

    currency = drafts["orders"].column("currency")
    currency.nullable = False
    currency.comment = "ISO 4217"
    return list(drafts.values())
