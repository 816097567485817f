"""What has the database acknowledged, and is all of it still there."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

READ_BACK = {
    "order": """
        SELECT o.id::text, concat_ws(' | ', o.status, o.total, o.note,
                                     (SELECT count(*) FROM order_lines l WHERE l.order_id = o.id) || ' lines')
        FROM orders o WHERE o.id = ANY(%s::bigint[])
    """,
    "payment": "SELECT p.id::text, p.method || ' | ' || p.amount FROM payments p WHERE p.id = ANY(%s::uuid[])",
    "customer": "SELECT c.email, concat_ws(' | ', c.full_name, c.phone) FROM customers c WHERE c.email = ANY(%s)",
    "movement": "SELECT m.id::text, m.quantity::text FROM warehouse.stock_movements m WHERE m.id = ANY(%s::bigint[])",
    # not one write but all of them together: an update that got lost shows here
    "stock": """
        SELECT s.product_id::text,
               CASE WHEN s.quantity = (SELECT sum(m.quantity) FROM warehouse.stock_movements m
                                       WHERE m.product_id = s.product_id AND m.warehouse_id = s.warehouse_id)
                    THEN 'sum of its movements' ELSE s.quantity || ', not the sum of its movements' END
        FROM warehouse.stock s WHERE s.product_id = ANY(%s::uuid[])
    """,
}
"""How each kind of entry is read: keys in, keys and values out. Columns are named, so that new ones do no harm."""

BATCH = 1000


@dataclass
class Ledger:
    """What one client wrote, kept outside of the database; safe to use from several threads.

    An entry is a kind, a key and every value that the database may rightly show. That is one value after an
    acknowledged write; two after a write whose end nobody knows, because the connection broke at the wrong moment.
    """

    entries: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    losses: dict[tuple[str, str], str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledged(self, kind: str, key: object, value: str) -> None:
        """Note that the database has committed this value."""
        with self._lock:
            self.entries[kind, str(key)] = (value,)

    def doubtful(self, kind: str, key: object, value: str) -> None:
        """Note that a write of this value failed, and may have been committed nevertheless."""
        with self._lock:
            if known := self.entries.get((kind, str(key))):
                self.entries[kind, str(key)] = (*known, value)

    def check(self, connection: psycopg.Connection[Any], kind: str, keys: list[str]) -> None:
        """Read some entries back, and note what is missing or different.

        No write to these keys may be under way meanwhile.
        """
        found = dict(connection.execute(READ_BACK[kind], [keys]).fetchall())
        with self._lock:
            for key in keys:
                expected = self.entries[kind, key]
                if found.get(key) not in expected:
                    what = f"reads {found[key]!r}" if key in found else "is gone"
                    self.losses.setdefault((kind, key), f"{kind} {key} {what}; acknowledged was {expected[-1]!r}")

    def check_all(self, connection: psycopg.Connection[Any]) -> None:
        """Read every entry back."""
        for kind in READ_BACK:
            keys = [key for entry_kind, key in list(self.entries) if entry_kind == kind]
            for first in range(0, len(keys), BATCH):
                self.check(connection, kind, keys[first : first + BATCH])
