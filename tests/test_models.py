"""The models of env.py, whatever it hands over, and their tables as objects of a database."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.runtime.migration import MigrationContext

from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.models import columns_of, models_of, tables_of

ONE, OTHER = sa.MetaData(), sa.MetaData()
USERS = sa.Table("users", ONE, sa.Column("id", sa.Integer, key="number"))
BILLS = sa.Table("users", OTHER, sa.Column("id", sa.Integer), schema="bills")


@pytest.mark.parametrize(
    ("given", "models"), [(None, ()), (ONE, (ONE,)), ([ONE, OTHER], (ONE, OTHER)), ((), ())], ids=str
)
def test_models_are_always_several(given: Any, models: tuple[sa.MetaData, ...]) -> None:
    context = MigrationContext.configure(dialect_name="postgresql", opts={"target_metadata": given})
    assert models_of(context) == models
    assert models_of(AutogenContext(context)) == models


def test_a_comparison_is_about_what_it_is_given() -> None:
    context = MigrationContext.configure(dialect_name="postgresql", opts={"target_metadata": ONE})
    assert models_of(AutogenContext(context, metadata=OTHER)) == (OTHER,)


def test_a_table_without_a_schema_is_in_the_default_one_and_a_column_has_its_name_there() -> None:
    tables = tables_of((ONE, OTHER), "app")
    assert tables == {ObjectId("table", "app", "users"): USERS, ObjectId("table", "bills", "users"): BILLS}
    assert list(columns_of(tables)) == [
        ObjectId("column", "app", "id", "users"),
        ObjectId("column", "bills", "id", "users"),
    ]
