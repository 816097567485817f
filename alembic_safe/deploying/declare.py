"""Saying what a database is, and lending an agent a command on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe import __version__
from alembic_safe.database import journal, journal_tables
from alembic_safe.database.agents import detect_agent
from alembic_safe.database.envpy import run_env, script_of
from alembic_safe.database.first_contact import look
from alembic_safe.database.guard import Intent, decide, shell_word
from alembic_safe.database.marking import mark
from alembic_safe.errors import ConsentMissing, Missing, NextStep, Refused, WrongUsage
from alembic_safe.inspecting.target import look_at
from alembic_safe.settings import UNPROTECTED

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext

    from alembic_safe.database.environment import Journals
    from alembic_safe.inspecting.target import Target
    from alembic_safe.settings import Settings

_LONGEST_NAME = 63
"""Characters; it stands in the first line of every command."""


@dataclass(frozen=True)
class Declared:
    """What was declared, and where it stood before."""

    before: Target
    environment: str
    protected: bool
    changed: bool


def read_targets(config: Config, settings: Settings) -> list[Target]:
    """Look at every database that ``env.py`` configures; reads only."""
    found: list[Target] = []
    run_env(config, script_of(config), lambda context, _: found.append(look_at(_postgresql(context), settings)))
    return found


def set_environment(
    config: Config,
    settings: Settings,
    name: str,
    *,
    protected: bool | None,
    confirm: str | None,
    accept: frozenset[str],
) -> list[Declared]:
    """Write into the database what it is.

    :param protected: ``None``: the name decides.
    :param confirm: the database's name; needed to make a protected or undeclared one less protected.
    :param accept: consents by name (``publication:NAME`` at first contact).
    """
    found: list[Declared] = []
    if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
        raise WrongUsage(
            f"An environment needs a name, of at most {_LONGEST_NAME} printable characters.",
            next_steps=[NextStep("for example", "alembic safe-guard set production")],
        )
    protects = name.lower() not in UNPROTECTED if protected is None else protected

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        before = look_at(_postgresql(context), settings)
        marker = before.identity.marker
        if (
            marker is not None
            and not before.identity.copied
            and (marker.environment, marker.protected) == (name, protects)
        ):
            found.append(Declared(before, name, protects, changed=False))
            return
        lowers = before.identity.protected and not protects
        _judge(context, before, lowers=lowers)
        if lowers and confirm != before.identity.place.database:
            raise _confirmation_missing(before, name, confirm)
        home = _journal(context, before, settings, accept)
        connection: Any = context.connection
        if before.journals is not None:
            _require(connection, before, home, "environment", "INSERT, UPDATE")
        connection.rollback()
        with connection.begin():
            journal_tables.make_or_upgrade(connection, home, tool=__version__)
            mark(connection, home, environment=name, protected=protects)
        found.append(Declared(before, name, protects, changed=True))

    run_env(config, script_of(config), work, to_write=True)
    return found


def grant(config: Config, settings: Settings, verb: str, seconds: float, *, person_at_terminal: bool) -> list[Target]:
    """Let coding agents run one command on this database for some time.

    :param person_at_terminal: whether a person types this; nobody else can grant.
    """
    agent = detect_agent()
    if agent is not None or not person_at_terminal:
        raise Refused(
            f"A grant is made by a person on a terminal; this is {agent or 'no terminal'}.",
            next_steps=[NextStep("a person runs", f'alembic safe-guard grant --for "{verb}" --ttl 10m')],
        )
    found: list[Target] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        target = look_at(_postgresql(context), settings)
        if target.journals is None:
            raise Missing(
                f"{target.identity.place.shown} has no journal yet, so there is nowhere to write the grant.",
                next_steps=[NextStep("say first what this database is", "alembic safe-guard set production")],
            )
        connection: Any = context.connection
        _require(connection, target, target.journals, "grants", "INSERT")
        connection.rollback()
        with connection.begin():
            journal.make_grant(
                connection, target.journals, verb=verb, seconds=seconds, writer=journal.Writer.this_process()
            )
        found.append(target)

    run_env(config, script_of(config), work, to_write=True)
    return found


def _judge(context: MigrationContext, target: Target, *, lowers: bool) -> None:
    agent = detect_agent()
    granted = False
    if agent is not None and target.journals is not None:
        connection: Any = context.connection
        granted = journal.has_grant(connection, target.journals, Intent.DECLARE.value)
    decision = decide(Intent.LOWER if lowers else Intent.DECLARE, target.identity, agent=agent, granted=granted)
    if decision.error is not None:
        raise decision.error


def _require(connection: Any, target: Target, home: Journals, table: str, rights: str) -> None:
    """Stop where this role may not write what it is about to write."""
    needed = [(table, right) for right in rights.split(", ")] + [("journal_version", "SELECT")]
    if all(journal_tables.may(connection, home, *need) for need in needed):
        return
    place = target.identity.place
    raise Missing(
        f"{place.role} may not write {home.table(table)} in {place.shown}.",
        next_steps=[NextStep("everything a deploy role needs", f"alembic safe-init --grants {shell_word(place.role)}")],
    )


def _confirmation_missing(target: Target, name: str, confirm: str | None) -> ConsentMissing:
    place = target.identity.place
    said = f" --confirm says {confirm}." if confirm is not None else ""
    return ConsentMissing(
        f"{place.shown} is {target.identity.environment}, protected ({target.identity.why}); making it less than that"
        f" needs its name.{said}",
        next_steps=[
            NextStep("if it is the right one", f"alembic safe-guard set {name} --confirm {shell_word(place.database)}")
        ],
    )


def _journal(context: MigrationContext, target: Target, settings: Settings, accept: frozenset[str]) -> Journals:
    if target.journals is not None:
        return target.journals
    connection: Any = context.connection
    contact = look(connection, target.identity.place, settings.schema, target.version_schema)
    refuse_publications(contact, accept, "alembic safe-guard set NAME")
    return contact.home


def refuse_publications(contact: Any, accept: frozenset[str], command: str) -> None:
    """Stop where making our tables would stop somebody's subscription.

    :param command: the command that asks, for the message.
    :raises ConsentMissing: naming the DDL for the subscribers.
    """
    for publication in contact.publications:
        if f"publication:{publication}" in accept:
            continue
        ddl = [statement + ";" for statement in journal_tables.ddl(contact.home)]
        raise ConsentMissing(
            f"Publication {publication} publishes all tables, so it would publish our journal too; a subscriber that"
            " lacks these tables stops applying everything.",
            detail=["Run this on every subscriber first:", *("  " + " ".join(line.split()) for line in ddl)],
            next_steps=[
                NextStep(
                    "when the subscribers have the tables",
                    f"{command} --accept {shell_word('publication:' + publication)}",
                )
            ],
        )


def _postgresql(context: MigrationContext) -> MigrationContext:
    if context.dialect.name != "postgresql":
        raise Missing(f"This database is {context.dialect.name}; the guard knows PostgreSQL.")
    return context
