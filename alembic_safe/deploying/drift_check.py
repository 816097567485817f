"""What does a deployment make of changes by hand: stop, warn, or carry on with them in mind?"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from alembic_safe import __version__
from alembic_safe.database.journal_catalogs import has_catalogs, record_catalog
from alembic_safe.deploying.events import DriftFound, Noted
from alembic_safe.errors import Findings, LockNotObtained, NextStep
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.drift import carried, find_drift, unknown
from alembic_safe.inspecting.target import version_tables

if TYPE_CHECKING:
    from alembic_safe.database.environment import Journals
    from alembic_safe.deploying.upgrade import Upgrade
    from alembic_safe.inspecting.drift import Drift, Source


def check_drift(upgrade: Upgrade) -> Drift:
    """Look for changes by hand before the plan is made, and stop where the policy says so.

    Without ``--drift`` only what costs one query is asked, and a shadow only where the settings name one; then a
    check that cannot be made is told and stops nothing. ``--drift fail`` stops there, too.

    :raises Findings: on drift, by default where the database is protected or undeclared.
    """
    asked, identity = upgrade.request.drift, upgrade.identity
    policy = asked or ("fail" if identity.protected else "warn")
    drift = _look(upgrade, _sources(upgrade))
    if policy == "off" or drift.verdict == "in sync":
        return drift
    if drift.verdict == "unknown":
        # a dry run makes no shadow on the target's server, and the deployment may know more
        if asked == "fail" and not (upgrade.request.dry_run and upgrade.settings.shadow_on_target):
            raise Findings(
                f"Whether {identity.place.shown} has been changed by hand is unknown: {drift.why}.",
                next_steps=[NextStep("deploy in spite of it", "alembic safe-upgrade --drift warn")],
            )
        if asked or identity.protected:
            upgrade.tell(Noted("Drift", f"unknown: {drift.why}"))
        return drift
    upgrade.tell(DriftFound(drift))
    if policy == "fail":
        number = len(drift.items)
        raise Findings(
            f"{identity.place.shown} has been changed by hand: {number} difference{'s' * (number != 1)} to {drift.against}.",
            next_steps=[
                NextStep("see each with the SQL that undoes it", "alembic safe-status"),
                NextStep("make a revision of what was changed", 'alembic safe-adopt -m "..."'),
                NextStep("deploy in spite of it", "alembic safe-upgrade --drift warn"),
            ],
        )
    return drift


def _sources(upgrade: Upgrade) -> tuple[Source, ...]:
    settings = upgrade.settings
    if upgrade.request.drift == "off":
        return ("journal",)
    wants_shadow = upgrade.request.drift or settings.shadow_url or settings.shadow_on_target
    return ("journal", "shadow") if wants_shadow else ("journal",)


def _look(upgrade: Upgrade, sources: tuple[Source, ...]) -> Drift:
    savepoint = upgrade.connection.begin_nested()
    try:
        drift = find_drift(
            upgrade.context, upgrade.script, upgrade.target, upgrade.settings, sources=sources,
            dry_run=upgrade.request.dry_run,
        )  # fmt: skip
    except SQLAlchemyError as error:  # a role that may not look: no reason to let the deployment fail
        savepoint.rollback()
        return unknown(" ".join(str(getattr(error, "orig", error)).split()))
    savepoint.commit()
    return drift


def keep_catalog(upgrade: Upgrade, journals: Journals, drift: Drift) -> None:
    """Journal what the database should be from now on; a role that may not write it leaves the next check unknown.

    :param drift: what was found before the deployment; it stays drift.
    """
    connection = upgrade.connection
    with suppress(SQLAlchemyError, LockNotObtained):
        upgrade.end_reading()
        heads = upgrade.context.get_current_heads()
        after = read_catalog(connection, leave_out=version_tables(upgrade.target, upgrade.context))
        known = has_catalogs(connection, journals)
        upgrade.end_reading()
        if not known:
            return
        meant = carried(drift, after)
        with connection.begin():
            record_catalog(
                connection, journals, version_table=upgrade.target.version_table, heads=heads, catalog=meant.to_json(),
                fingerprint=meant.fingerprint, command="safe-upgrade", tool=__version__,
            )  # fmt: skip
