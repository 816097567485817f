"""How does a shadow get the target's own schema, where that is not what the files say?"""

# A hand-made index, a table that no revision made: what a pending revision does to them is seen only where they are.
from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.database.programs import find_program
from alembic_safe.database.running import run_program
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import Missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.runtime.migration import MigrationContext

    from alembic_safe.database.endpoint import Endpoint
    from alembic_safe.inspecting.catalog_records import Catalog
    from alembic_safe.settings import Settings

_PATIENCE = "5s"
_VERSION_TABLES = """
SELECT n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND ARRAY['version_num'] = ARRAY(
  SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
"""


@dataclass(frozen=True)
class OwnSchema:
    """What is needed to make a target's schema again.

    :param place: which of the project's databases it is.
    :param catalog: what it is.
    :param version_table: where its revisions stand, with its schema, and ``heads`` which they are.
    """

    place: str
    catalog: Catalog
    endpoint: Endpoint
    settings: Settings
    server_version: int
    version_table: tuple[str, str]
    heads: tuple[str, ...]
    role: str | None = None

    def is_of(self, context: MigrationContext, place: str) -> bool:
        """Whether a context that ``env.py`` configures is the target's: there may be others, with their own tables."""
        schema, table = self.version_table
        return (place, context.version_table) == (self.place, table) and context.version_table_schema in (None, schema)

    def pour_into(self, shadow: Endpoint) -> None:
        """Copy the schema of the target into an empty database: pg_dump reads, and waits for no lock.

        :raises Missing: when a program is missing, or the schema cannot be made there.
        """
        major = self.server_version // 10000
        pg_dump = find_program("pg_dump", major, pg_bin=self.settings.pg_bin)
        pg_restore = find_program("pg_restore", pg_dump.major, pg_bin=self.settings.pg_bin)
        role = [f"--role={self.role}"] if self.role and self.role != self.endpoint.user else []
        with tempfile.TemporaryDirectory(prefix="alembic-safe-") as folder:
            file = str(Path(folder) / "schema.dump")
            arguments = [
                "--schema-only",
                "--format=custom",
                "--no-subscriptions",
                f"--lock-wait-timeout={_PATIENCE}",
                *role,
            ]
            dumped = run_program(pg_dump, [*arguments, f"--file={file}"], self.endpoint)
            if not dumped.succeeded:
                raise Missing(f"pg_dump could not read the target's schema: {_first(dumped.stderr)}.")
            poured = run_program(pg_restore, ["--no-owner", "--no-privileges", "--exit-on-error", file], shadow)
            if not poured.succeeded:
                raise Missing(f"the target's schema could not be made on a shadow: {_first(poured.stderr)}.")
        self._stamp(shadow)

    def _stamp(self, shadow: Endpoint) -> None:
        """Copy the rows of every version table: a dump of the schema has none, and env.py may configure several."""
        with self.endpoint.connect() as target, shadow.connect() as connection:
            connection.autocommit = True
            for row in run(connection, _VERSION_TABLES):
                table = quoted(row["schema"], row["name"])
                for head in run(target, f"SELECT version_num AS it FROM {table}"):
                    run(connection, f"INSERT INTO {table} (version_num) VALUES (:head)", {"head": head["it"]})


def _first(stderr: str) -> str:
    lines: Sequence[str] = [line for line in stderr.splitlines() if line.strip()]
    return " ".join(lines[:2])[:300]
