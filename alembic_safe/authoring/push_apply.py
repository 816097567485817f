"""How does a push happen as a whole or not at all, with its row in the journal?"""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from alembic_safe import __version__
from alembic_safe.authoring.change_records import Aim, LabelTooNew
from alembic_safe.authoring.changes import apply_changes
from alembic_safe.authoring.expressible import objects_of
from alembic_safe.authoring.push_refusals import cannot_express, failed
from alembic_safe.database import journal_pushes, journal_tables
from alembic_safe.database.failures import as_written
from alembic_safe.database.first_contact import look
from alembic_safe.database.journal import Writer
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import run
from alembic_safe.errors import NextStep, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from alembic_safe.authoring.push import _Push
    from alembic_safe.database.environment import Journals

# what only reads, or only steers the transaction, is no part of what ran
_NOT_SHOWN = ("SELECT", "WITH", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET", "RESET", "BEGIN")


def apply_and_journal(push: _Push) -> tuple[str, ...]:
    """Do it, compare again, journal it; one transaction.

    :returns: the SQL that ran.
    :raises Findings: when the database would not equal the models afterwards.
    :raises RevisionFailed: when the server refuses a statement.
    """
    journals = _home(push)
    assert push.settled is not None  # noqa: S101 - decided before anything is done
    casts = frozenset(finding.object for finding in push.findings if finding.kind == "cast")
    aim = Aim(
        push.side.models, push.models, push.settled.renames, push.keep, push.fills, casts,
        accept=_for_operations(push.request.accept),
    )  # fmt: skip
    database = push.side.target.identity.place.database
    committed: tuple[str, ...] = ()
    try:
        try:
            return _once(push, aim, journals)
        except LabelTooNew as new:
            if push.request.sql:
                return new.statements
            committed = new.statements
            _commit_labels(push, committed)
            return (*committed, *_once(push, aim, journals))
    except DBAPIError as error:
        raise failed(error, database, committed) from error


def _for_operations(accept: frozenset[str]) -> tuple[str, ...]:
    """Return the consents that the operations themselves ask for; the others are a push's own."""
    return tuple(sorted(one for one in accept if one.startswith(("retire-", "restore-"))))


def _commit_labels(push: _Push, statements: tuple[str, ...]) -> None:
    """Commit the new labels of enums: nothing can use one in the transaction that adds it."""
    with closing(push.side.target.connect()) as own:
        own.rollback()
        own.autocommit = True
        for statement in statements:
            run(own, verbatim(statement))


def _once(push: _Push, aim: Aim, journals: Journals) -> tuple[str, ...]:
    began = time.monotonic()
    statements: list[str] = []
    with push.connection.begin() as transaction:
        with _noted(push.connection, statements):
            changes = apply_changes(push.context, aim)
        if changes.unsettled:
            raise cannot_express(changes.unsettled, push.side.target.identity.place.database)
        run(push.connection, "SET CONSTRAINTS ALL IMMEDIATE")  # what is deferred fails here, where it can be told
        if push.request.sql:
            transaction.rollback()
        else:
            _journal(push, journals, statements, round((time.monotonic() - began) * 1000))
    return tuple(statements)


@contextmanager
def _noted(connection: Connection, statements: list[str]) -> Iterator[None]:
    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.lstrip().upper().startswith(_NOT_SHOWN):
            statements.append(as_written(statement.strip(), connection.dialect.driver))

    event.listen(connection, "before_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", note)


def _home(push: _Push) -> Journals:
    target = push.side.target
    if target.journals is not None:
        return target.journals
    contact = look(push.connection, target.identity.place, push.settings.schema, target.version_schema)
    push.connection.rollback()
    if contact.publications:
        raise Refused(
            f"Publication {contact.publications[0]} publishes all tables, so it would publish our journal too.",
            next_steps=[NextStep("see what its subscribers need first", "alembic safe-guard set development")],
        )
    return contact.home


def _journal(push: _Push, journals: Journals, statements: list[str], milliseconds: int) -> None:
    connection, target = push.connection, push.side.target
    assert push.plan is not None  # noqa: S101 - there is no push without a plan
    assert push.settled is not None  # noqa: S101
    journal_tables.make_or_upgrade(connection, journals, tool=__version__)
    accepted = {finding.id for finding in push.findings}
    number = journal_pushes.record_push(
        connection, journals, version_table=target.version_table, heads=target.heads, models=push.side.wanted.key,
        changes=[change.line for change in push.plan.changes], sql=";\n".join(statements), accepted=accepted,
        milliseconds=milliseconds, tool=__version__, writer=Writer.this_process(),
    )  # fmt: skip
    journal_pushes.record_answers(
        connection, journals, number,
        [journal_pushes.RenameAnswer(r.kind, r.schema, r.table, r.old, r.new) for r in push.settled.renames],
        [journal_pushes.FillAnswer(id_.schema, id_.parent, id_.name, text) for id_, text in push.fills.items()],
    )  # fmt: skip
    journal_pushes.record_objects(
        connection, journals, target.version_table, number,
        [(id_.kind, id_.schema, id_.name, id_.parent) for id_ in objects_of(push.models)],
    )  # fmt: skip
