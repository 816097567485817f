"""A column gets another type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic_safe.authoring.recipes.conversions import is_free, type_sql
from alembic_safe.errors import Refused
from tests.recipe_cases import walk

if TYPE_CHECKING:
    from tests.recipe_cases import Case

ROWS = "INSERT INTO orders (id, amount) VALUES (1, 5), (2, 7)"


def orders(type_: Any, *more: Any, **kw: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column("amount", type_, **kw)]
    sa.Table("orders", metadata, *columns, *more)
    return metadata


def test_a_wider_type_stands_beside_the_old_one_until_they_change_names(case: Case) -> None:
    texts = walk(case, orders(sa.Integer), orders(sa.BigInteger), ROWS)
    assert "op.sync_columns('orders', 'amount', 'amount_new')" in texts["expand"]
    assert "op.swap_columns('orders', 'amount', 'amount_new')" in texts["contract"]
    assert "prepare_threshold=None" in texts["contract"]
    assert case.run("SELECT amount FROM orders ORDER BY id") == [(5,), (7,)]


@pytest.mark.long
def test_what_stands_on_it_is_there_under_its_name(case: Case) -> None:
    kw: dict[str, Any] = {"nullable": False, "index": True, "unique": True, "comment": "pence"}
    more = sa.CheckConstraint("amount > 0", name="positive")
    walk(
        case,
        orders(sa.Integer, more, **kw),
        orders(sa.Numeric, sa.CheckConstraint("amount > 0::numeric", name="positive"), **kw),
        ROWS,
    )


@pytest.mark.long
def test_with_both_ways_said_any_type_will_do(case: Case) -> None:
    info = {"up": "'no ' || amount", "down": "substr(amount, 4)::integer"}
    case.begin(orders(sa.Integer), ROWS)
    case.revise(orders(sa.Text, info=info))
    case.upgrade()
    case.run("INSERT INTO orders (id, amount_new) VALUES (3, 'no 9'); UPDATE orders SET amount = 6 WHERE id = 1")
    assert case.run("SELECT amount, amount_new FROM orders ORDER BY id") == [(6, "no 6"), (7, "no 7"), (9, "no 9")]
    case.ship()
    case.upgrade()
    assert case.run("SELECT amount FROM orders ORDER BY id") == [("no 6",), ("no 7",), ("no 9",)]
    case.downgrade("-1")
    assert case.run("SELECT amount FROM orders ORDER BY id") == [(6,), (7,), (9,)]


@pytest.mark.parametrize("info", [{}, {"up": "amount::integer"}])
def test_what_nobody_said_how_to_convert_is_refused_by_name(case: Case, info: dict[str, str]) -> None:
    case.begin(orders(sa.Text))
    with case.unchanged(), pytest.raises(Refused, match=r"orders\.amount becomes integer") as stopped:
        case.revise(orders(sa.Integer, info=info))
    assert "down" in str(stopped.value)
    assert 'info={"up": "amount::integer", "down": "amount::text"}' in str(stopped.value)


@pytest.mark.long
def test_what_touches_no_row_is_ordinary(case: Case) -> None:
    assert set(walk(case, orders(sa.String(20)), orders(sa.Text), ROWS)) == {""}


def test_which_changes_postgresql_makes_without_a_row() -> None:
    free = [("character varying(20)", "character varying(40)"), ("character varying(20)", "text"),
            ("text", "character varying"),
            ("numeric(10,2)", "numeric(12,2)"), ("numeric(10,2)", "numeric"), ("cidr", "inet"), ("integer", "integer"),
            ("timestamp(3) without time zone", "timestamp without time zone")]  # fmt: skip
    not_free = [("character varying(40)", "character varying(20)"), ("text", "character varying(9)"), ("integer", "bigint"),
                ("numeric(10,2)", "numeric(10,3)"), ("timestamp without time zone", "timestamp with time zone"),
                ("character(3)", "character(4)"), ("integer", "text")]  # fmt: skip
    assert [pair for pair in free if not is_free(*pair)] == []
    assert [pair for pair in not_free if is_free(*pair)] == []


def test_types_are_called_as_postgresql_calls_them() -> None:
    called = {
        sa.String(20): "character varying(20)", sa.DateTime(): "timestamp without time zone", sa.BigInteger(): "bigint",
        sa.Numeric(10, 2): "numeric(10, 2)", sa.DateTime(timezone=True): "timestamp with time zone",
        postgresql.ARRAY(sa.Integer): "integer[]", sa.Float(53): "double precision",
    }  # fmt: skip
    assert {type_: type_sql(type_) for type_ in called} == called
