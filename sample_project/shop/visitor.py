"""What does the shop's application do all day: the operations of the live client, each on a connection of its own."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from shop.ledger import Ledger

WEIGHTS = {
    "browse": 30, "read_account": 12, "look_up": 8,
    "place_order": 20, "pay": 10, "register": 12, "restock": 8,
}  # fmt: skip
"""How often each operation comes, in a hundred."""

READS = frozenset({"browse", "read_account", "look_up"})


@dataclass(frozen=True)
class Assortment:
    """What a live client buys and sells: products of its own, so that its ledger is exact beside other clients."""

    warehouse: int
    country: str
    prices: dict[uuid.UUID, Decimal]

    @classmethod
    def create(cls, connection: psycopg.Connection[Any], run: str, ledger: Ledger, size: int = 20) -> Assortment:
        """Put products on the shelf."""
        with connection.transaction():
            warehouse, country = _row(
                connection, "SELECT w.id, w.country_code FROM warehouse.warehouses w ORDER BY w.id LIMIT 1"
            )
            (category,) = _row(connection, """
                INSERT INTO categories (slug, name) VALUES ('today', 'Today''s specials')
                ON CONFLICT (slug) DO UPDATE SET name = excluded.name RETURNING id
            """)  # fmt: skip
            prices = {}
            for n in range(size):
                price = Decimal(495 + 70 * n) / 100
                (product,) = _row(connection, """
                    INSERT INTO products (sku, name, category_id, price, status) VALUES (%s, %s, %s, %s, 'active')
                    RETURNING id
                """, f"DAY-{run}-{n}", f"Special of the day {n}", category, price)  # fmt: skip
                prices[product] = price
                _execute(connection, "INSERT INTO warehouse.stock (warehouse_id, product_id, quantity) VALUES (%s, %s, 100000)",
                         warehouse, product)  # fmt: skip
                _move(connection, warehouse, product, 100000, "received")
        for product in prices:
            ledger.acknowledged("stock", product, "sum of its movements")
        return cls(warehouse, country, prices)


@dataclass
class Visitor:
    """One session of the application: performs one operation after the other and keeps the ledger.

    What one visitor wrote, no other visitor changes: it may read it back at any time.
    """

    name: str
    connect: Callable[[], psycopg.Connection[Any]]
    ledger: Ledger
    assortment: Assortment
    random: random.Random
    orders: dict[int, tuple[Decimal, str, int]] = field(default_factory=dict)
    unpaid: list[int] = field(default_factory=list)
    connection: psycopg.Connection[Any] | None = None

    def perform(self, operation: str) -> None:
        """Do one thing; a broken connection is replaced by the next call.

        :raises psycopg.Error: when the database did not do it.
        """
        if self.connection is None or self.connection.closed:
            self.connection = self.connect()
        method: Callable[[psycopg.Connection[Any]], None] = getattr(self, operation)
        method(self.connection)

    def close(self) -> None:
        """End the session."""
        if self.connection is not None:
            self.connection.close()

    def browse(self, c: psycopg.Connection[Any]) -> None:
        """Read a page of a category, with ratings."""
        c.execute("""
            SELECT p.id, p.sku, p.name, p.price, p.tags, (SELECT avg(r.rating) FROM reviews r WHERE r.product_id = p.id)
            FROM products p WHERE p.status = 'active' AND p.category_id = (
                SELECT k.id FROM categories k ORDER BY k.id OFFSET %s LIMIT 1)
            ORDER BY p.name LIMIT 20
        """, [self.random.randrange(25)]).fetchall()  # fmt: skip

    def read_account(self, c: psycopg.Connection[Any]) -> None:
        """Read what a customer has ordered."""
        customer = self.random.randrange(1, 1000)
        c.execute("""
            SELECT s.order_id, s.status, s.placed_at, s.total, s.lines, s.paid FROM order_summaries s
            WHERE s.customer_id = %s ORDER BY s.placed_at DESC LIMIT 10
        """, [customer]).fetchall()  # fmt: skip

    def look_up(self, c: psycopg.Connection[Any]) -> None:
        """Read one of its own orders back."""
        if self.orders:
            self.ledger.check(c, "order", [str(self.random.choice(list(self.orders)))])

    def register(self, c: psycopg.Connection[Any]) -> None:
        """Create a customer, or change the name and the telephone number of one."""
        email = f"{self.name}.{self.random.randrange(200)}@live.example"
        name, phone = f"Guest {self.random.randrange(10**6)}", f"+00 {self.random.randrange(10**6)}"
        value = f"{name} | {phone}"
        try:
            self._upsert(c, email, name, phone)
        except psycopg.Error:
            self.ledger.doubtful("customer", email, value)
            raise
        self.ledger.acknowledged("customer", email, value)

    def place_order(self, c: psycopg.Connection[Any]) -> None:
        """Order one to four products; they leave the stock in the same transaction."""
        products = self.random.sample(sorted(self.assortment.prices), self.random.randint(1, 4))
        total = sum((self.assortment.prices[product] for product in products), Decimal())
        note = f"Ring {self.random.randrange(100)} times"
        email, guest = f"{self.name}.order@live.example", "Guest at the checkout"
        with c.transaction():
            customer = self._upsert(c, email, guest, None)
            (order,) = _row(c, """
                INSERT INTO orders (customer_id, note, total, currency) VALUES (%s, %s, %s, 'EUR') RETURNING id
            """, customer, note, total)  # fmt: skip
            movements = []
            # in one order everywhere, so that two checkouts cannot deadlock
            for line, product in enumerate(products := sorted(products), start=1):
                _execute(c, """
                    INSERT INTO order_lines (order_id, line_no, product_id, quantity, unit_price)
                    VALUES (%s, %s, %s, 1, %s)
                """, order, line, product, self.assortment.prices[product])  # fmt: skip
                movements.append(self._take(c, product, -1, "sold"))
        self.orders[order] = total, note, len(products)
        self.unpaid.append(order)
        self.ledger.acknowledged("order", order, self._order_as("placed", order))
        for movement in movements:
            self.ledger.acknowledged("movement", movement, "-1")

    def pay(self, c: psycopg.Connection[Any]) -> None:
        """Pay an order that was placed before; without one, place one."""
        if not self.unpaid:
            return self.place_order(c)
        order = self.unpaid.pop(0)
        total = self.orders[order][0]
        method = self.random.choice(("card", "paypal", "invoice"))
        try:
            with c.transaction():
                (payment,) = _row(c, """
                    INSERT INTO payments (order_id, method, amount, reference) VALUES (%s, %s, %s, %s) RETURNING id
                """, order, method, total, f"LIVE-{uuid.uuid4().hex}")  # fmt: skip
                _execute(c, "UPDATE orders SET status = 'paid' WHERE id = %s", order)
        except psycopg.Error:
            self.ledger.doubtful("order", order, self._order_as("paid", order))
            raise
        self.ledger.acknowledged("order", order, self._order_as("paid", order))
        self.ledger.acknowledged("payment", payment, f"{method} | {total}")
        return None

    def restock(self, c: psycopg.Connection[Any]) -> None:
        """Take a delivery in."""
        quantity = self.random.randint(1, 50)
        with c.transaction():
            movement = self._take(c, self.random.choice(list(self.assortment.prices)), quantity, "received")
        self.ledger.acknowledged("movement", movement, str(quantity))

    def _order_as(self, status: str, order: int) -> str:
        total, note, lines = self.orders[order]
        return f"{status} | {total} | {note} | {lines} lines"

    def _upsert(self, c: psycopg.Connection[Any], email: str, name: str, phone: str | None) -> int:
        (customer,) = _row(c, """
            INSERT INTO customers (email, full_name, phone, country_code) VALUES (%s, %s, %s, %s)
            ON CONFLICT (lower(email)) DO UPDATE SET full_name = excluded.full_name, phone = excluded.phone
            RETURNING id
        """, email, name, phone, self.assortment.country)  # fmt: skip
        return int(customer)

    def _take(self, c: psycopg.Connection[Any], product: uuid.UUID, quantity: int, reason: str) -> int:
        _row(c, """
            UPDATE warehouse.stock SET quantity = quantity + %s WHERE warehouse_id = %s AND product_id = %s
            RETURNING quantity
        """, quantity, self.assortment.warehouse, product)  # fmt: skip
        return _move(c, self.assortment.warehouse, product, quantity, reason)


def _execute(connection: psycopg.Connection[Any], statement: str, *values: object) -> None:
    connection.execute(statement, values)


def _row(connection: psycopg.Connection[Any], statement: str, *values: object) -> tuple[Any, ...]:
    """Run a statement that must answer with a row: an UPDATE that meets none is a failure, too."""
    row = connection.execute(statement, values).fetchone()
    if row is None:
        raise psycopg.DataError("the row to change is not there")
    return tuple(row)


def _move(c: psycopg.Connection[Any], warehouse: int, product: uuid.UUID, quantity: int, reason: str) -> int:
    (movement,) = _row(c, """
        INSERT INTO warehouse.stock_movements (warehouse_id, product_id, quantity, reason) VALUES (%s, %s, %s, %s)
        RETURNING id
    """, warehouse, product, quantity, reason)  # fmt: skip
    return int(movement)
