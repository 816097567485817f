"""A primary key gets another type, and every foreign key that refers to it goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from alembic_safe.errors import Refused
from tests.recipe_cases import walk

if TYPE_CHECKING:
    from tests.recipe_cases import Case

ROWS = """
INSERT INTO users (boss) VALUES (NULL), (1), (2);
INSERT INTO orders (user_id) VALUES (1), (3), (3)
"""


def shop(key: Any, reference: Any = None, *more: Any) -> sa.MetaData:
    """Users with a boss among them, and their orders."""
    metadata, reference = sa.MetaData(), reference or key
    boss = sa.Column("boss", reference, sa.ForeignKey("users.id", ondelete="SET NULL"), index=True)
    sa.Table("users", metadata, sa.Column("id", key, *more, primary_key=True), boss, sa.Column("name", sa.Text))
    user = sa.Column("user_id", reference, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True)
    sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True), user)
    return metadata


def test_a_key_and_what_refers_to_it_change_together(case: Case) -> None:
    texts = walk(case, shop(sa.Integer), shop(sa.BigInteger), ROWS)
    assert "op.swap_columns('users', ('id', 'boss'), ('id_new', 'boss_new'), primary_key='users_pkey')" in texts["contract"]
    assert "op.rename_constraint('orders_user_id_fkey_new', 'orders_user_id_fkey', 'orders', replace=True)" in texts["contract"]
    assert case.run("SELECT id, boss FROM users ORDER BY id") == [(1, None), (2, 1), (3, 2)]
    assert case.run("SELECT user_id FROM orders ORDER BY id") == [(1,), (3,), (3,)]
    assert case.run("INSERT INTO users (boss) VALUES (3) RETURNING id") == [(4,)]


def test_an_identity_goes_on_counting_and_what_keeps_its_type_goes_on_referring(case: Case) -> None:
    walk(case, shop(sa.Integer, sa.Integer, sa.Identity()), shop(sa.BigInteger, sa.Integer, sa.Identity()), ROWS)
    assert case.run("INSERT INTO users (boss) VALUES (3) RETURNING id") == [(4,)]
    case.run("SELECT setval(pg_get_serial_sequence('users', 'id'), 3000000000)")
    assert case.run("INSERT INTO users (boss) VALUES (4) RETURNING id") == [(3000000001,)]
