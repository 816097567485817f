"""What would the models be as a database?"""

# Autogenerate does not see primary keys, enum labels, check texts, computed expressions and index predicates. So
# "models equal database" means here: what create_all() makes on an empty database equals it, object by object.
from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, create_engine, create_mock_engine, pool
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.sqltypes import ARRAY, Enum

from alembic_safe.database.failures import statement_of
from alembic_safe.database.shadow import url_of
from alembic_safe.database.shadow_needs import ShadowNeeds, needs_of
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import Findings, NextStep
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.catalog_records import Catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import MetaData

    from alembic_safe.database.shadow import Shadow

_DRIVER = "postgresql+psycopg"
_KEPT = 20
_EXTENSIONS = """
SELECT e.extname AS name, n.nspname AS schema FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname <> 'plpgsql' ORDER BY 1
"""
# what models may call in a default or a check, and only a revision or a person can have made
_ROUTINES = """
SELECT pg_get_functiondef(p.oid) AS definition FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.prokind = 'f' AND p.prorettype <> 'trigger'::regtype AND n.nspname NOT LIKE 'pg\\_%'
  AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
    AND d.objid = p.oid AND d.deptype IN ('e', 'i'))
ORDER BY p.oid
"""


@dataclass(frozen=True)
class Ground:
    """What a database offers to models before the first table of theirs is made.

    :param needs: what a shadow of it must have.
    :param default_schema: where tables without a schema go.
    :param extensions: name and schema of each.
    :param routines: definitions of functions that defaults and checks of the models may call.
    :param translated: the connection's ``schema_translate_map``.
    """

    needs: ShadowNeeds = field(default_factory=ShadowNeeds)
    default_schema: str = "public"
    extensions: tuple[tuple[str, str], ...] = ()
    routines: tuple[str, ...] = ()
    translated: Mapping[str | None, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelsCatalog:
    """The models as a database.

    :param key: the hash of their DDL, and of everything else that the catalog depends on.
    :param cached: whether it was read from the cache.
    """

    catalog: Catalog
    key: str
    cached: bool


def ground_of(connection: Connection) -> Ground:
    """Read what models find in a database; reads only."""
    options = connection.get_execution_options()
    return Ground(
        needs_of(connection),
        connection.dialect.default_schema_name or "public",
        tuple((row["name"], row["schema"]) for row in run(connection, _EXTENSIONS)),
        tuple(row["definition"] for row in run(connection, _ROUTINES)),
        dict(options.get("schema_translate_map") or {}),
    )


def models_catalog(
    models: Sequence[MetaData], ground: Ground, open_shadow: Callable[[], AbstractContextManager[Shadow]]
) -> ModelsCatalog:
    """Return the catalog of ``create_all()`` under the models' own naming convention.

    :param models: what ``env.py`` has as ``target_metadata``, always as a sequence.
    :param ground: of the database that they are compared with.
    :param open_shadow: gives a shadow (one that is open already: ``lambda: nullcontext(shadow)``); called only
        where the same models have not been asked for before on this machine.
    :raises Findings: when the models cannot be created on an empty database.
    :raises Missing: when there is no server for a shadow.
    """
    key = key_of(models, ground)
    stored = _cache() / f"models-{key}.json"
    with suppress(OSError, ValueError):
        return ModelsCatalog(Catalog.from_json(stored.read_text(encoding="utf-8")), key, cached=True)
    with open_shadow() as shadow:
        endpoint = shadow.database_for(f"models {key}")
        engine = create_engine(url_of(endpoint, _DRIVER), poolclass=pool.NullPool)
        with engine.connect() as connection:
            catalog = _created(connection, models, ground)
    _store(stored, catalog)
    return ModelsCatalog(catalog, key, cached=False)


def key_of(models: Sequence[MetaData], ground: Ground) -> str:
    """Return the hash of the models' DDL and of everything else that their catalog depends on."""
    facts = json.dumps(
        [list(_ddl(models)), [repr(type_) for type_ in _enums(models)], ground.needs.server_version, asdict(ground),
         [importlib.metadata.version(name) for name in ("alembic-safe", "sqlalchemy")]],
        default=str,
    )  # fmt: skip
    return hashlib.sha256(facts.encode()).hexdigest()[:24]


def _ddl(models: Sequence[MetaData]) -> Iterator[str]:
    lines: list[str] = []

    def note(statement: Any, *_: Any, **__: Any) -> None:
        lines.append(
            str(statement.compile(dialect=engine.dialect)) if hasattr(statement, "compile") else str(statement)
        )

    engine = create_mock_engine(f"{_DRIVER}://", note)
    for metadata in models:
        metadata.create_all(engine, checkfirst=False)
    yield from lines


def _enums(models: Sequence[MetaData]) -> Iterator[Any]:
    """Yield the types of the models that have a name of their own, also those that create_all() leaves to others."""
    for metadata in models:
        for table in metadata.sorted_tables:
            for column in table.columns:
                type_: Any = column.type
                while isinstance(type_, ARRAY):
                    type_ = type_.item_type
                if isinstance(type_, Enum) and type_.native_enum and type_.name:
                    yield type_


def _schemas(models: Sequence[MetaData], ground: Ground) -> list[str]:
    named = {ground.default_schema}
    for metadata in models:
        named |= {table.schema for table in metadata.tables.values() if table.schema}
        named |= {sequence.schema for sequence in metadata._sequences.values() if sequence.schema}  # noqa: SLF001
    named |= {type_.schema for type_ in _enums(models) if type_.schema}
    named = {ground.translated.get(name, name) or ground.default_schema for name in named}
    return sorted({*named, *(schema for _, schema in ground.extensions)} - {"public", "pg_catalog"})


def _created(connection: Connection, models: Sequence[MetaData], ground: Ground) -> Catalog:
    """Make the models on an empty database, and return what that made of it."""
    for schema in _schemas(models, ground):
        run(connection, f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
    for name, schema in ground.extensions:
        with_schema = f" SCHEMA {quoted(schema)}" if schema != "pg_catalog" else ""
        run(connection, f"CREATE EXTENSION IF NOT EXISTS {quoted(name)}{with_schema} CASCADE")
    run(connection, f"SET search_path TO {quoted(ground.default_schema)}, public")
    run(connection, "SET check_function_bodies TO off")
    _make_routines(connection, ground.routines)
    connection.commit()
    connection.dialect.default_schema_name = ground.default_schema
    before = read_catalog(connection)
    if ground.translated:
        connection = connection.execution_options(schema_translate_map=ground.translated)
    try:
        with connection.begin():
            for type_ in _enums(models):
                type_.create(connection, checkfirst=True)
            for metadata in models:
                metadata.create_all(connection)
    except DBAPIError as error:
        raise _not_created(error) from error
    after = read_catalog(connection)
    # whose it is and who may use it, models cannot say: what the shadow's role made is nobody's wish
    made = {
        id_: {name: value for name, value in attributes.items() if name not in {"owner", "grants"}}
        for id_, attributes in after.objects.items()
        if id_.kind == "schema" or before.objects.get(id_) != attributes
    }
    return Catalog(made, after.server_version)


def _make_routines(connection: Connection, definitions: Sequence[str]) -> None:
    """Make the functions that can be made without a table; the others cannot be what a new table's default calls."""
    for definition in definitions:
        with suppress(DBAPIError), connection.begin_nested():
            connection.exec_driver_sql(definition.replace("%", "%%"))


def _not_created(error: DBAPIError) -> Findings:
    reason = " ".join(str(error.orig).split())
    return Findings(
        f"create_all() of the models fails on an empty database: {reason}.",
        detail=["It was needed for:", "  " + statement_of(error)[:300]],
        next_steps=[
            NextStep("mend the model, or let a revision make what it needs", 'alembic revision -m "..."'),
        ],
    )


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "alembic-safe"


def _store(path: Path, catalog: Catalog) -> None:
    """Keep a catalog for the next time; a home that cannot be written to is no failure."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            file.write(catalog.to_json())
        Path(file.name).replace(path)
        kept = sorted(path.parent.glob("models-*.json"), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in kept[_KEPT:]:
            old.unlink(missing_ok=True)
    except OSError:
        return
