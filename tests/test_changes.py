"""Random pairs of models on real databases: there, back and there again, every catalog equal and every row kept."""

from __future__ import annotations

import uuid
import warnings
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, Phase, given, settings

from alembic_safe.authoring.change_columns import is_conversion
from alembic_safe.authoring.change_records import Aim, LabelTooNew
from alembic_safe.authoring.changes import apply_changes
from alembic_safe.authoring.expressible import differences
from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.shadow import open_shadow
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.models_catalog import ground_of, models_catalog
from alembic_safe.settings import Settings
from tests.model_strategy import (
    ColumnSpec,
    ModelsSpec,
    Pair,
    TableSpec,
    fill_with_rows,
    fills_of,
    metadata_of,
    pairs,
    rows_of,
)

if TYPE_CHECKING:
    from alembic_safe.authoring.renames import Rename
    from alembic_safe.inspecting.catalog_records import ObjectId
    from tests.cluster import Cluster

RELAXED = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)


@pytest.fixture(scope="module")
def ways(cluster: Cluster, module_cache: None) -> Ways:
    del module_cache
    return Ways(cluster)


class Ways:
    """Walks pairs of models, each on a database of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def walk(self, pair: Pair) -> None:
        name = f"t_{uuid.uuid4().hex[:12]}"
        self.cluster.create(name)
        engine = sa.create_engine(self.cluster.url(name), poolclass=sa.NullPool)
        try:
            with engine.connect() as connection:
                self._walk(connection, pair)
        finally:
            engine.dispose()
            self.cluster.drop(name)

    def _walk(self, connection: sa.Connection, pair: Pair) -> None:
        self._to(connection, pair.old, ())
        with connection.begin():
            fill_with_rows(connection, pair.old)
        before = self._rows(connection, pair.old)
        self._to(connection, pair.new, pair.renames())
        there = self._rows(connection, pair.new)
        for (schema, table, column), values in before.items():
            now = self._name(pair, schema, table, column)
            if now in there:
                assert there[now] == values, f"{schema}.{table}.{column} -> {now}"
        self._to(connection, pair.old, pair.renames(back=True))
        assert self._rows(connection, pair.old) == before
        self._to(connection, pair.new, pair.renames())
        assert self._rows(connection, pair.new) == there

    def _name(self, pair: Pair, schema: str | None, table: str, column: str) -> tuple[str | None, str, str]:
        tables = {(s, old): new for s, old, new in pair.table_renames}
        columns = {(s, old_table, old): new for s, old_table, _, old, new in pair.column_renames}
        return schema, tables.get((schema, table), table), columns.get((schema, table, column), column)

    def _rows(self, connection: sa.Connection, spec: ModelsSpec) -> dict[tuple[str | None, str, str], list[object]]:
        found = rows_of(connection, spec)
        connection.rollback()
        return found

    def _to(self, connection: sa.Connection, spec: ModelsSpec, renames: tuple[Rename, ...]) -> None:
        metadata = metadata_of(spec)
        ground = ground_of(connection)
        connection.rollback()
        endpoint = Endpoint.from_connection(connection)
        wanted = models_catalog(
            [metadata], ground, lambda: open_shadow(endpoint, Settings(), needs=ground.needs, protected=False)
        ).catalog
        every = frozenset(id_ for id_ in wanted.objects if id_.kind == "column")
        context = MigrationContext.configure(connection, opts={"target_metadata": metadata})
        connection.rollback()
        aim = Aim((metadata,), wanted, renames, fills=fills_of(spec), casts=every, accept=_by_key(every))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                with connection.begin():
                    changes = apply_changes(context, aim)
            except LabelTooNew as new:
                with connection.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as own:
                    for statement in new.statements:
                        own.exec_driver_sql(statement)
                with connection.begin():
                    changes = apply_changes(context, aim)
        assert changes.unsettled == ()
        now = read_catalog(connection)
        connection.rollback()
        assert differences(wanted, now) == ()


def _by_key(columns: frozenset[ObjectId]) -> tuple[str, ...]:
    """Consent to what comes back by a key that could be given twice: nobody gives one twice here."""
    named = (f"{'' if id_.schema == 'public' else id_.schema + '.'}{id_.parent}.{id_.name}" for id_ in columns)
    return tuple(f"restore-by-key:{name}" for name in named)


def test_a_column_retired_from_a_renamed_table_comes_back_when_both_are_taken_back(ways: Ways) -> None:
    when = ColumnSpec("d0", "timestamp", index="where 0")
    old = ModelsSpec((TableSpec("Order", (when, ColumnSpec("e0", "mood"))),), ("a", "d", "b"))
    ways.walk(Pair(old, ModelsSpec((TableSpec("beta", ()),), ("a",)), ((None, "Order", "beta"),), ()))


def test_a_serial_becomes_an_identity_and_back(ways: Ways) -> None:
    old, new = (ModelsSpec((TableSpec("beta", (), identity=identity),), ("a",)) for identity in (False, True))
    ways.walk(Pair(old, new, (), ()))


def test_a_fill_for_rows_without_a_value_leaves_the_others_alone_when_the_type_changes_too(ways: Ways) -> None:
    old, new = (
        ModelsSpec((TableSpec("alpha", (ColumnSpec("d0", type_, nullable=nullable),)),), ("a",))
        for type_, nullable in (("date", True), ("timestamp", False))
    )
    ways.walk(Pair(old, new, (), ()))


@pytest.mark.parametrize(
    ("expression", "column", "converts"),
    [
        ("'free'", "plan", False), ("'plan'", "plan", False), ("lower(plan)", "plan", True), ("planned", "plan", False),
        ('"Plan"', "Plan", True), ("Plan", "Plan", False), ("PLAN", "plan", True), ("'it''s' || \"a b\"", "a b", True),
        ('"plan b"', "plan", False), ("t.plan::int", "plan", True),
    ],
)  # fmt: skip
def test_what_speaks_of_the_column_is_how_it_converts(expression: str, column: str, *, converts: bool) -> None:
    assert is_conversion(expression, column) is converts


def test_the_last_table_of_a_schema_goes_and_comes_back(ways: Ways) -> None:
    alpha = TableSpec("alpha", ())
    old = ModelsSpec((alpha, TableSpec("gamma", (ColumnSpec("e0", "mood", nullable=False),), "side")), ("a",))
    ways.walk(Pair(old, ModelsSpec((alpha,), ("a",)), (), ()))


def test_labels_go_while_a_column_of_the_type_goes_with_values_that_only_it_held(ways: Ways) -> None:
    old = ModelsSpec(
        (TableSpec("alpha", (ColumnSpec("e0", "mood"), ColumnSpec("e1", "mood", default=True))),), ("b", "a")
    )
    ways.walk(
        Pair(old, ModelsSpec((TableSpec("alpha", (ColumnSpec("e1", "mood", default=True),)),), ("a", "c")), (), ())
    )


def test_a_new_table_refers_to_a_key_that_is_made_anew(ways: Ways) -> None:
    old = ModelsSpec((TableSpec("alpha", (ColumnSpec("n0", "integer"),), wide_key=True),), ("a",))
    new = ModelsSpec((TableSpec("alpha", ()), TableSpec("beta", (), references="alpha")), ("a",))
    ways.walk(Pair(old, new, (), ()))


def test_a_foreign_key_comes_behind_the_key_that_it_refers_to(ways: Ways) -> None:
    number = ColumnSpec("n0", "integer", nullable=False, default=True)
    old = ModelsSpec((TableSpec("beta", (number,), wide_key=True), TableSpec("alpha", ())), ("a",))
    new = ModelsSpec((TableSpec("beta", (number,)), TableSpec("alpha", (), references="beta")), ("a",))
    ways.walk(Pair(old, new, (), ()))


@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=RELAXED,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
)
@given(pair=pairs())
def test_random_models_are_reached_left_and_reached_again_with_every_row(ways: Ways, pair: Pair) -> None:
    ways.walk(pair)


@pytest.mark.long
@settings(max_examples=200, deadline=None, suppress_health_check=RELAXED, print_blob=True)
@given(pair=pairs())
def test_two_hundred_random_models_are_reached_left_and_reached_again_with_every_row(ways: Ways, pair: Pair) -> None:
    ways.walk(pair)
