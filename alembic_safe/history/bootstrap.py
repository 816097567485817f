"""What does a squash hold to be there before the first revision?"""

from __future__ import annotations

import importlib
import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import create_engine, event, pool

from alembic_safe.database.bootstrap import run_bootstrap
from alembic_safe.database.shadow import url_of
from alembic_safe.errors import NextStep, ReplayFailed, WrongUsage
from alembic_safe.history.rows import differences, read_contents
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.comparison import compare

if TYPE_CHECKING:
    from alembic_safe.database.endpoint import Endpoint
    from alembic_safe.database.shadow import Shadow

BOOTSTRAP = "bootstrap.sql"
"""What it is called in an archive."""
_SHOWN = 5
_READS = ("SELECT", "SHOW", "--", "SAVEPOINT", "RELEASE", "ROLLBACK")


def with_bootstrap(shadow: Shadow, script: Path | None) -> Shadow:
    """Run a script on a shadow that has no database yet, if there is one.

    :raises ReplayFailed: when it does not run through.
    """
    if script is None or not script.exists():
        return shadow
    run_bootstrap(shadow.endpoint, script)
    return shadow


def bootstrap_script(word: str, shadow: Shadow, folder: Path) -> Path:
    """Return a script of what was there: a file, or what a function has sent to an empty database.

    :param word: the file's name, or ``module:function``; that is called with a connection of SQLAlchemy's.
    :param shadow: with no database of its own yet.
    :param folder: where a script may be written.
    :raises WrongUsage: when it is neither.
    :raises ReplayFailed: when the function fails, or does more than SQLAlchemy hears of.
    """
    if Path(word).is_file():
        return Path(word)
    function = _function(word)
    made = shadow.beside()
    sent = _called(word, function, made.endpoint)
    script = folder / BOOTSTRAP
    said = "".join(f"{statement};\n\n" for statement in sent)
    script.write_text(f"-- what {word} sent to an empty database\n\n{said}", encoding="utf-8")
    again = with_bootstrap(shadow.beside(), script)
    left = _differences(made.endpoint, again.endpoint)
    for one in (made, again):
        one.database_for()
        one.dismiss()
    if left:
        raise ReplayFailed(
            f"{word} does more than the statements that it sends through its connection.",
            detail=left[:_SHOWN],
            next_steps=[NextStep("write what it makes to a file: --bootstrap FILE.sql")],
        )
    return script


def _function(word: str) -> Any:
    module, _, name = word.partition(":")
    try:
        return operator.attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise WrongUsage(
            f"{word} is neither a file nor module:function: {error}.",
            next_steps=[
                NextStep("for example", 'alembic squash -m "..." --bootstrap shop.models:Base.metadata.create_all')
            ],
        ) from error


def _called(word: str, function: Any, endpoint: Endpoint) -> list[str]:
    """Call a function with a connection to an empty database, and return what it sent there, values included."""
    engine = create_engine(url_of(endpoint, "postgresql+psycopg"), poolclass=pool.NullPool)
    sent: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        del cursor
        if statement.lstrip().upper().startswith(_READS) and "setval" not in statement:
            return
        filled = psycopg.ClientCursor(conn.connection.driver_connection)
        as_it_is = getattr(context, "no_parameters", False) and not parameters
        texts = [statement] if as_it_is else [
            filled.mogrify(statement, values) for values in (parameters if executemany else (parameters,))
        ]  # fmt: skip
        sent.extend(text.strip().rstrip(";") for text in texts)

    event.listen(engine, "before_cursor_execute", note)
    try:
        with engine.begin() as connection:
            function(connection)
    except Exception as error:
        raise ReplayFailed(
            f"{word} does not run on an empty database: {type(error).__name__}: {' '.join(str(error).split())}.",
            next_steps=[NextStep("it is called with a connection, and makes what is there before the first revision")],
        ) from error
    finally:
        engine.dispose()
    return sent


def _differences(made: Endpoint, again: Endpoint) -> list[str]:
    seen = []
    for endpoint in (made, again):
        with endpoint.connect() as connection:
            catalog = read_catalog(connection)
            seen.append((catalog, read_contents(connection, catalog)))
    (one, rows), (other, other_rows) = seen
    return [*map(str, compare(one, other, column_order=True)), *differences(rows, other_rows, {})]
