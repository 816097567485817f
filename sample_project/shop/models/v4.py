"""Version 4: the newsletter moves to an outside service, and letters address people properly.

- ``newsletter_subscriptions`` and ``customers.marketing_opt_in`` go: the service keeps both from now on.
- ``customers.full_name`` is split into ``first_name`` and ``last_name`` (everything before the last blank, and the
  word after it; a single word is a last name).
- ``orders.handled_by`` gets the foreign key to ``staff`` that it always lacked, and an index for it.
- ``payments.reference`` is unique: the provider once reported a payment twice.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKeyConstraint, Index, Text, UniqueConstraint, text

from shop.models import v3
from shop.models.draft import Draft, by_name


def tables() -> list[Draft]:
    """Return every table of the shop, parents before children."""
    drafts = by_name(v3.tables())

    del drafts["newsletter_subscriptions"]
    customers = drafts["customers"]
    customers.remove("marketing_opt_in")

    customers.remove("full_name")
    customers.add(
        Column("first_name", Text, server_default=text("''"), nullable=False),
        Column("last_name", Text, nullable=False),
    )

    drafts["orders"].add(
        ForeignKeyConstraint(["handled_by"], ["staff.id"], ondelete="SET NULL"),
        Index(None, "handled_by"),
    )
    drafts["payments"].add(UniqueConstraint("reference"))
    return list(drafts.values())
