"""What does a difference between two schemas look like as Alembic's operations?"""

# Found by doing it: the one side is built on a shadow, the other one beside it and reflected, and what brings the first
# to the second is the same mechanism that a push uses. What that does not bring about is SQL.
from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from alembic.autogenerate import render
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, create_engine, pool
from sqlalchemy.exc import SQLAlchemyError

from alembic_safe.authoring.change_records import Aim, LabelTooNew
from alembic_safe.authoring.changes import apply_changes, version_tables
from alembic_safe.authoring.statement_operations import StatementsOp, statements_of
from alembic_safe.database.envpy import script_of
from alembic_safe.database.replay import run_on_shadow
from alembic_safe.database.shadow import url_of
from alembic_safe.database.shadow_wish import ShadowWish
from alembic_safe.errors import SafeError
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.comparison import compare
from alembic_safe.inspecting.difference_sql import undo_sql
from alembic_safe.inspecting.expected import replayed
from alembic_safe.inspecting.owners import usual_owner

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

    from alembic_safe.authoring.diff import Diff
    from alembic_safe.database.shadow import Shadow
    from alembic_safe.inspecting.catalog_records import Catalog
    from alembic_safe.settings import Settings

_DRIVER = "postgresql+psycopg"
_UPON_TABLES = frozenset({"view", "materialized view", "rule", "trigger", "policy", "statistics"})
"""What stands on tables and columns, and goes before they do."""


def operations(config: Config, settings: Settings, diff: Diff) -> str:
    """Return the body of an ``upgrade()`` that makes the one side into the other.

    Where that cannot be tried on a shadow (a role, an extension is missing there), it is the SQL in ``op.execute()``.
    """
    with suppress(SafeError, SQLAlchemyError, LabelTooNew):
        return _tried(config, settings, diff)
    lost = ", ".join(str(change.step.difference.object) for change in diff.changes if change.step.destroys_data)
    warning = f"# could not be tried on a shadow, so this is plain SQL; what is in these goes: {lost}\n" if lost else ""
    return warning + _rendered([_as_sql(diff)])


def _tried(config: Config, settings: Settings, diff: Diff) -> str:
    project = diff.project
    wish = ShadowWish(
        project.target.endpoint, project.ground.needs, settings, protected=project.target.identity.protected
    )
    script = script_of(config)
    bodies: list[str] = []

    with replayed(config, script, wish, ()) as (shadow, _):

        def work(context: MigrationContext, kw: dict[str, Any]) -> None:
            del kw
            connection: Any = context.connection
            connection.rollback()
            with connection.begin() as transaction:
                _build(connection, context, diff.from_.catalog)
                models = project.models if diff.to.side.kind == "models" else (_reflected(shadow, diff.to.catalog),)
                bodies.append(_found(context, diff, models))
                transaction.rollback()

        run_on_shadow(config, script, shadow, work)
    return bodies[0]


def _build(connection: Connection, context: MigrationContext | None, wanted: Catalog) -> None:
    """Make a catalog's objects on an empty database, each owned by whoever is connected."""
    empty = read_catalog(connection, leave_out=version_tables(context) if context else frozenset())
    for statement in statements_of(
        undo_sql(compare(wanted, empty, owners=False), wanted, empty), owner=usual_owner(wanted)
    ):
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def _reflected(shadow: Shadow, wanted: Catalog) -> MetaData:
    """Return a catalog as MetaData: made on a database of its own, and read by SQLAlchemy."""
    engine = create_engine(url_of(shadow.database_for("the other side"), _DRIVER), poolclass=pool.NullPool)
    found = MetaData()
    with engine.connect() as connection:
        _build(connection, None, wanted)
        for schema in sorted({id_.schema for id_ in wanted.objects if id_.kind == "table"}):
            found.reflect(connection, schema=None if schema == "public" else schema, resolve_fks=False)
        connection.rollback()
    engine.dispose()
    return found


def _found(context: MigrationContext, diff: Diff, models: tuple[MetaData, ...]) -> str:
    wanted = diff.to.catalog
    every = frozenset(id_ for id_ in wanted.objects if id_.kind == "column")
    done: list[ops.MigrateOperation] = []
    whole = diff.to.side.kind != "models"  # models say nothing of views and triggers: theirs is no whole
    if whole:
        _by_sql(context, wanted, done, only=_UPON_TABLES)
    changes = apply_changes(context, Aim(models, wanted, casts=every))
    done += changes.upgrade
    if whole:
        _by_sql(context, wanted, done)
    return _rendered(done, context)


def _by_sql(
    context: MigrationContext, wanted: Catalog, done: list[ops.MigrateOperation], *, only: frozenset[str] = frozenset()
) -> None:
    """Do by SQL what no operation does.

    :param only: drop what is too much of these kinds, and nothing else.
    """
    connection: Any = context.connection
    now = read_catalog(connection, leave_out=version_tables(context))
    found = [
        one for one in compare(wanted, now, owners=False) if not only or (one.is_extra and one.object.kind in only)
    ]
    statements = statements_of(undo_sql(found, wanted, now), owner=usual_owner(wanted))
    for statement in statements:
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    if statements:
        done.append(StatementsOp(statements, ()))


def _as_sql(diff: Diff) -> StatementsOp:
    return StatementsOp(statements_of((change.step for change in diff.changes), owner=usual_owner(diff.to.catalog)), ())


def _rendered(found: list[ops.MigrateOperation], context: MigrationContext | None = None) -> str:
    """Return operations as the body of a function: neither indented, nor between Alembic's two fences."""
    if context is None:
        context = MigrationContext.configure(dialect_name="postgresql")
    # what env.py says of rendering, and Alembic's own defaults
    options = {"sqlalchemy_module_prefix": "sa.", "alembic_module_prefix": "op.", "user_module_prefix": None,
               "render_item": None, "render_as_batch": False} | context.opts  # fmt: skip
    autogen = AutogenContext(context, metadata=MetaData(), opts=options)
    lines = render._render_cmd_body(ops.UpgradeOps(ops=found), autogen).splitlines()  # noqa: SLF001 - as the files are written
    return "\n".join(line for line in lines if not line.strip().startswith("# ###")).strip() + "\n"
