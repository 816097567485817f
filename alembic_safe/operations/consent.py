"""On which connection a verb of ours runs, and what a person has consented to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.envpy import OwnRun, own_run_of
from alembic_safe.database.guard import shell_word
from alembic_safe.errors import NextStep, Refused

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from alembic.operations.base import Operations
    from sqlalchemy import Connection


def online(operations: Operations, verb: str) -> Connection:
    """Return the connection that a verb works on.

    :raises Refused: where the run only writes a script, or the database is no PostgreSQL.
    """
    context = operations.migration_context
    if context.as_sql or context.connection is None:
        raise Refused(
            f"op.{verb} cannot be written as a script (--sql): which values are kept and what goes with them is found in"
            " the database when it runs.",
            next_steps=[NextStep("run it on the database", "alembic safe-upgrade")],
        )
    if context.dialect.name != "postgresql":
        raise Refused(f"op.{verb} knows PostgreSQL; this database is {context.dialect.name}.")
    return context.connection


class _OnShadow:
    """What is consented to on a shadow: everything but leaving out what a real run would do."""

    def __contains__(self, finding: object) -> bool:
        return not str(finding).startswith("restore-empty:")


def consents(operations: Operations, in_file: Iterable[str]) -> Container[str]:
    """Return the findings that are consented to.

    They stand in the reviewed file, behind ``--accept`` of our own command, or in ``alembic -x accept=FINDING``.
    """
    config = operations.migration_context.config
    given = getattr(getattr(config, "cmd_opts", None), "x", None) or []
    words = [word.partition("=")[2] for word in given if word.startswith("accept=")]
    own = own_run(operations)
    by_command: frozenset[str] = frozenset()
    if own is not None and own.consents is not None:
        by_command = own.consents.accept
    if is_on_shadow(operations):
        return _OnShadow()
    parts = [part.strip() for word in words for part in word.split(",") if part.strip()]
    return frozenset([*in_file, *by_command, *words, *parts])


FINDING = "{FINDING}"
"""Stands in a command for the finding that is consented to."""


def command_to_consent(operations: Operations) -> str:
    """Return the command that is running, with a consent to ``FINDING``, as a person types it."""
    own = own_run(operations)
    if own is not None:
        return f"{own.consents.command} --accept {FINDING}" if own.consents is not None else ""
    options = operations.migration_context.opts
    to = shell_word(str(options.get("destination_rev") or "head"))
    if getattr(options.get("fn"), "__name__", "") == "downgrade":
        return f"alembic -x accept={FINDING} downgrade {to}"
    return f"alembic -x accept={FINDING} upgrade {to}"


def step_to_consent(why: str, command: str, finding: str) -> NextStep:
    """Return the way on of a person who consents.

    :param command: what :func:`command_to_consent` returned; empty: the consent belongs into the file.
    """
    if not command:
        return NextStep(f'{why}: accept=("{finding}",) in the revision file')
    return NextStep(why, command.replace(FINDING, shell_word(finding)))


def is_on_shadow(operations: Operations) -> bool:
    """Whether a verb runs on a throw-away database, where nobody is asked and nobody is told."""
    own = own_run(operations)
    return own is not None and own.consents is not None and own.consents.throw_away


def own_run(operations: Operations) -> OwnRun | None:
    """Return the run of ours that a verb is part of; ``None`` under a stock command."""
    return own_run_of(operations.migration_context)
