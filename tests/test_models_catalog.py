"""The models as a catalog: what create_all() makes on an empty database, kept by a hash of its DDL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.shadow import open_shadow
from alembic_safe.errors import Findings
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.models_catalog import Ground, ModelsCatalog, ground_of, key_of, models_catalog
from alembic_safe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster import Cluster


@pytest.fixture
def connection(
    cluster: Cluster, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[sa.Connection]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    engine = sa.create_engine(cluster.url(database))
    with engine.connect() as found:
        yield found
    engine.dispose()


@pytest.fixture
def of(connection: sa.Connection) -> Callable[..., ModelsCatalog]:
    def made(*models: sa.MetaData) -> ModelsCatalog:
        ground = ground_of(connection)
        endpoint = Endpoint.from_connection(connection)
        connection.rollback()
        return models_catalog(
            models, ground, lambda: open_shadow(endpoint, Settings(), needs=ground.needs, protected=False)
        )

    return made


def metadata(*items: object, **kw: object) -> sa.MetaData:
    found = sa.MetaData(**kw)  # type: ignore[arg-type]
    sa.Table("t", found, sa.Column("id", sa.Integer, primary_key=True), *items)  # type: ignore[arg-type]
    return found


def test_the_naming_convention_of_the_models_names_what_they_leave_open(of: Callable[..., ModelsCatalog]) -> None:
    found = of(metadata(naming_convention={"pk": "pk_%(table_name)s"})).catalog
    assert ObjectId("constraint", "public", "pk_t", "t") in found.objects


def test_the_same_models_are_read_from_the_cache_and_others_are_not(of: Callable[..., ModelsCatalog]) -> None:
    first, again, other = of(metadata()), of(metadata()), of(metadata(sa.Column("n", sa.Integer)))
    assert (first.cached, again.cached, other.cached) == (False, True, False)
    assert again.catalog.fingerprint == first.catalog.fingerprint != other.catalog.fingerprint


def test_several_metadata_and_their_schemas_are_one_catalog(of: Callable[..., ModelsCatalog]) -> None:
    other = sa.MetaData()
    mood = sa.Enum("a", "b", name="mood", schema="types")
    sa.Table("u", other, sa.Column("id", sa.Integer, primary_key=True), sa.Column("m", mood), schema="side")
    found = of(metadata(), other).catalog
    assert ObjectId("table", "public", "t") in found.objects
    assert ObjectId("table", "side", "u") in found.objects
    assert found.objects[ObjectId("enum", "types", "mood")]["labels"] == ("a", "b")


def test_an_enum_that_create_all_leaves_to_a_revision_is_there(of: Callable[..., ModelsCatalog]) -> None:
    from sqlalchemy.dialects.postgresql import ENUM

    found = of(metadata(sa.Column("m", ENUM("a", name="mood", create_type=False)))).catalog
    assert found.objects[ObjectId("enum", "public", "mood")]["labels"] == ("a",)


def test_a_function_that_a_revision_made_can_be_called_by_a_default_and_is_no_model(
    connection: sa.Connection, of: Callable[..., ModelsCatalog]
) -> None:
    connection.exec_driver_sql("CREATE FUNCTION code() RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$")
    connection.commit()
    found = of(metadata(sa.Column("c", sa.Text, server_default=sa.text("code()")))).catalog
    assert found.objects[ObjectId("column", "public", "c", "t")]["default"] == "public.code()"
    assert [id_ for id_ in found.objects if id_.kind == "function"] == []


def test_owners_and_rights_are_nothing_that_models_say(of: Callable[..., ModelsCatalog]) -> None:
    assert {name for attributes in of(metadata()).catalog.objects.values() for name in attributes} & {
        "owner",
        "grants",
    } == set()


def test_models_that_cannot_be_made_are_told_with_the_statement(of: Callable[..., ModelsCatalog]) -> None:
    with pytest.raises(Findings, match="fails on an empty database") as caught:
        of(metadata(sa.Column("c", sa.Text, server_default=sa.text("no_such_function()"))))
    assert "CREATE TABLE t" in caught.value.detail[1]


def test_the_key_changes_with_the_ddl_with_labels_and_with_the_ground() -> None:
    keys = {
        key_of([metadata()], Ground()), key_of([metadata(sa.Column("n", sa.Integer))], Ground()),
        key_of([metadata(sa.Column("m", sa.Enum("a", name="m")))], Ground()),
        key_of([metadata(sa.Column("m", sa.Enum("b", name="m")))], Ground()),
        key_of([metadata()], Ground(default_schema="other")),
    }  # fmt: skip
    assert len(keys) == 5
