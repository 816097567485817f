"""How is a file of pg_dump made into a database again, rows left out, and nothing else of it run?"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import psycopg

from alembic_safe.database.programs import find_program
from alembic_safe.database.sql_script import statements
from alembic_safe.errors import Missing, NextStep, WrongUsage

if TYPE_CHECKING:
    from pathlib import Path

    from alembic_safe.settings import Settings

CUSTOM = b"PGDMP"
"""How a file begins that ``pg_dump --format=custom`` wrote."""

# What concerns the whole server, or only the rows
_LEFT_OUT = re.compile(
    r"(?:(?:CREATE|ALTER|DROP)\s+(?:DATABASE|ROLE|USER(?!\s+MAPPING)|GROUP|TABLESPACE|SUBSCRIPTION)|ALTER\s+SYSTEM|INSERT|UPDATE|DELETE"
    r"|COPY|SELECT\s+pg_catalog\.setval|GRANT\s+\S+\s+TO|VACUUM|ANALYZE|REFRESH)\b",
    re.IGNORECASE,
)
_MISSING_ROLE = re.compile(r'"((?:[^"]|"")*)"')


def load_dump(
    connection: psycopg.Connection[Any], file: Path, settings: Settings, server_version: int
) -> tuple[str, ...]:
    """Make what a dump describes on a shadow, and return the roles that it names and that are not there.

    Rows, roles and databases in the file are left out; a backslash in it runs nothing.

    :param connection: to an empty shadow, in autocommit.
    :param file: what ``pg_dump`` wrote, as SQL or in its custom format.
    :raises WrongUsage: when the file is something else.
    :raises Missing: when there is no pg_restore for a custom one.
    """
    script = _script(file, settings, server_version)
    missing: set[str] = set()
    connection.execute("SET check_function_bodies = off")
    for statement in statements(script):
        if _LEFT_OUT.match(statement):
            continue
        try:
            connection.execute(statement.encode())
        except psycopg.errors.UndefinedObject as error:
            role = _MISSING_ROLE.search(error.diag.message_primary or "")
            if statement.upper().startswith("SET "):
                continue  # a setting of another version, as psql would go on
            if role is None or "role" not in (error.diag.message_primary or ""):
                raise _not_loaded(file, statement, error) from error
            missing.add(role[1])
        except psycopg.errors.DuplicateSchema:
            continue  # public
        except psycopg.Error as error:
            raise _not_loaded(file, statement, error) from error
    for setting in ("search_path", "check_function_bodies", "default_table_access_method"):
        connection.execute(f"RESET {setting}".encode())
    return tuple(sorted(missing))


def _script(file: Path, settings: Settings, server_version: int) -> str:
    with file.open("rb") as opened:
        custom = opened.read(len(CUSTOM)) == CUSTOM
    if not custom:
        try:
            return file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise WrongUsage(f"{file} is no file of pg_dump: neither SQL nor its custom format.") from error
    program = find_program("pg_restore", server_version // 10000, pg_bin=settings.pg_bin)
    done = subprocess.run(
        [program.path, "--schema-only", "--file=-", file], capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise Missing(
            f"pg_restore cannot read {file}.",
            detail=done.stderr.decode(errors="replace").splitlines()[:5],
            next_steps=[NextStep("a pg_restore as new as the pg_dump", "export ALEMBIC_SAFE_PG_BIN=/path/to/bin")],
        )
    return done.stdout.decode("utf-8", errors="replace")


def _not_loaded(file: Path, statement: str, error: psycopg.Error) -> WrongUsage:
    return WrongUsage(
        f"{file} could not be loaded into a shadow: {' '.join(str(error).split())}.",
        detail=["It was needed for:", "  " + " ".join(statement.split())[:300]],
        next_steps=[NextStep("compare with the database itself", "alembic safe-diff --from database --to head")],
    )
