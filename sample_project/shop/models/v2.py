"""Version 2: the back office writes notes of its own, and customers learn when a parcel should arrive.

- ``orders.note`` becomes ``orders.customer_note``: beside a note by the staff, "note" no longer says whose it is.
- ``orders.staff_note`` and ``warehouse.shipments.estimated_delivery`` are new and may be empty.
- an index on ``warehouse.shipments.estimated_delivery`` serves the daily list of late parcels.
"""

from __future__ import annotations

from sqlalchemy import Column, Date, Index, Text, text

from shop.models import v1
from shop.models.draft import Draft, by_name


def tables() -> list[Draft]:
    """Return every table of the shop, parents before children."""
    drafts = by_name(v1.tables())

    orders = drafts["orders"]
    orders.rename("note", "customer_note")
    orders.add(Column("staff_note", Text, comment="For colleagues; customers never see it"))

    shipments = drafts["shipments"]
    shipments.add(
        Column("estimated_delivery", Date, comment="As the carrier promised"),
        Index("ix_shipments_estimated_delivery", "estimated_delivery", postgresql_where=text("delivered_at IS NULL")),
    )
    return list(drafts.values())
