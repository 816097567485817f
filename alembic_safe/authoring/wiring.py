"""Which edits make an env.py safe to test with and to deploy with?"""

from __future__ import annotations

from alembic_safe.authoring.wiring_begin import configures_inside_begin
from alembic_safe.authoring.wiring_connection import wire_connection
from alembic_safe.authoring.wiring_multidb import (
    begins_on_all_first,
    keeps_transactions,
    wire_several_databases,
)
from alembic_safe.authoring.wiring_names import names_no_models, names_of, uses, uses_what_it_is_handed
from alembic_safe.authoring.wiring_text import ByHand, Edit, Source, TooUnusual, Wiring
from alembic_safe.authoring.wiring_twophase import refuse_two_phase
from alembic_safe.errors import NextStep

SYNC_LINES = """\
# in the function that runs online, in place of the line that opens the connection:
handed = context.config.attributes.get("connection")
if isinstance(handed, sqlalchemy.engine.Connection):
    run_with(handed)  # your context.configure(connection=...) and context.run_migrations()
else:
    with (handed or your_engine).connect() as connection:
        run_with(connection)
"""

ASYNC_LINES = """\
# in place of the line that starts the event loop:
handed = context.config.attributes.get("connection")
if isinstance(handed, sqlalchemy.engine.Connection):
    do_run_migrations(handed)  # the function that you give to run_sync()
elif handed is None or isinstance(handed, sqlalchemy.ext.asyncio.AsyncEngine):
    asyncio.run(run_async_migrations())  # which connects `handed or your_engine`
else:
    with handed.connect() as connection:
        do_run_migrations(connection)
"""

BEGIN_LINES = """\
# in place of .begin(), so that each revision can be committed by itself:
with connectable.connect() as connection:
    # behind statements of your own on it, before context.configure():
    connection.commit()
"""

SEVERAL_LINES = """\
# one transaction for each database, in place of beginning on all of them first:
handed = context.config.attributes.get("connection")
for name, engine in your_engines.items():
    with (engine if handed is None else handed[name]).connect() as connection:
        context.configure(connection=connection)  # with your own arguments
        with context.begin_transaction():
            context.run_migrations(engine_name=name)
"""


def wire_env_py(text: str) -> Wiring:
    """Return an ``env.py`` that uses the connection it is handed, and one transaction for each database.

    Nothing but the lines concerned changes: comments, formatting and line ends stay byte for byte, and what
    is wired already comes back as it is.

    :param text: the whole file, with its own line ends.
    :raises Refused: when the file runs two-phase transactions.
    """
    try:
        after, edits = _edited(text)
    except TooUnusual as unusual:
        return Wiring(text, text, by_hand=ByHand(unusual.why, unusual.lines or _lines_for(text)))
    return Wiring(text, after, edits)


def kind_of(text: str) -> str:
    """Return what an ``env.py`` is for, in a few words that a person knows it by."""
    try:
        source = Source(text)
        if begins_on_all_first(source, names_of(source)):
            return "several databases"
    except TooUnusual:
        return "not understood"
    return "one database, asynchronous" if "run_sync" in text else "one database"


def left_to_do(text: str) -> tuple[NextStep, ...]:
    """Return what only a person can add to an ``env.py``, or wants to decide: the models, and phases."""
    try:
        source = Source(text)
    except TooUnusual:
        return ()
    steps = []
    if names_no_models(source):
        steps.append(NextStep("name your models", "env.py: target_metadata = Base.metadata"))
    if not uses(source, "rewriter"):
        hook = "alembic_safe.rewriter"
        hook += ".chain(yours)" if uses(source, "process_revision_directives") else ""
        words = f"env.py: context.configure(..., process_revision_directives={hook})  # import alembic_safe"
        steps.append(NextStep("split renames and removals into phases", words))
    return tuple(steps)


def _edited(text: str) -> tuple[str, tuple[Edit, ...]]:
    source = Source(text)
    if uses_what_it_is_handed(source):
        _look_for_begun_transactions(source)
        return text, ()
    names = names_of(source)
    wire = wire_several_databases if begins_on_all_first(source, names) else wire_connection
    edits = wire(source, names)
    after = source.edited()
    # the last word has the parser: what we cannot read again is never written
    if not uses_what_it_is_handed(Source(after)):
        raise TooUnusual("the edited file would not use what it is handed")
    return after, edits


def _look_for_begun_transactions(source: Source) -> None:
    """Find what safe-upgrade would refuse in a file that is wired already, and that only a person can change."""
    if keeps_transactions(source):
        refuse_two_phase(source)
        raise TooUnusual("it begins on all databases before it migrates the first", lines=SEVERAL_LINES)
    if line := configures_inside_begin(source, names_of(source)):
        raise TooUnusual("the connection that Alembic gets is in a transaction already", line, lines=BEGIN_LINES)


def _lines_for(text: str) -> str:
    if "run_sync" in text:
        return ASYNC_LINES
    return SEVERAL_LINES if "begin_twophase" in text else SYNC_LINES
