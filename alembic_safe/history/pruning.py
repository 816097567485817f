"""When may the originals of a squash go, and what tells a database that is late where to go through?"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, pool

from alembic_safe.database.envpy import run_env, script_of
from alembic_safe.database.squashed import TOMBSTONE, archive_folder, replaced_by
from alembic_safe.errors import ConsentMissing, NextStep, Refused
from alembic_safe.history.afterwards import squash_named
from alembic_safe.history.certificate import read_certificate
from alembic_safe.history.worktree import require_committed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext


@dataclass(frozen=True)
class Asked:
    """A database that was asked where it is.

    :param name: as people call it, without a password.
    """

    name: str
    heads: tuple[str, ...]
    is_past: bool


@dataclass(frozen=True)
class Pruned:
    """An archive that went.

    :param through: the release that still has it.
    """

    revision: str
    files: int
    asked: tuple[Asked, ...]
    through: str


def prune(config: Config, word: str, urls: Sequence[str], through: str, *, consent: bool) -> Pruned:
    """Take the originals of a squash away, after every database that was named has been asked.

    What stays is a file that tells a database which comes too late to go through a release that still has them.

    :param urls: further databases beside that of ``env.py``.
    :param through: the last release of the project that has the originals: a tag, a version.
    :param consent: whether a person has said that these are all.
    :raises Refused: when one of them is not past the squash.
    :raises ConsentMissing: with what was found, before anything is done.
    """
    script = script_of(config)
    squash = squash_named(script, word)
    certificate = read_certificate(script, squash.revision)
    require_committed([Path(folder) for folder in script._version_locations], "a prune")  # noqa: SLF001 - what Alembic lists
    replaced = set(replaced_by(squash))
    asked = [Asked(name, heads, not set(heads) & replaced and bool(heads)) for name, heads in heads_of(config, urls)]
    late = [one for one in asked if one.heads and not one.is_past]
    if late:
        raise Refused(
            "A database still needs the originals.",
            detail=[f"{one.name} is at {', '.join(one.heads)}" for one in late],
            next_steps=[NextStep("upgrade it, then prune", "alembic upgrade head")],
        )
    if not consent:
        raise ConsentMissing(
            f"The originals of {squash.revision} go for good: a database before it can then not be upgraded by these files.",
            detail=[
                *(f"{one.name}: {'at ' + ', '.join(one.heads) if one.heads else 'no revision yet'}" for one in asked),
                "No other database was asked.",
            ],
            next_steps=[
                NextStep(
                    "ask further databases", f"alembic squash --prune {squash.revision} --url URL --through RELEASE"
                ),
                NextStep(
                    "these are all",
                    f"alembic squash --prune {squash.revision} --through RELEASE --accept prune:{squash.revision}",
                ),
            ],
        )
    folder = archive_folder(script, squash.revision)
    stone = {
        "squash": squash.revision,
        "replaces": list(certificate.replaces),
        "pruned": dt.date.today().isoformat(),  # noqa: DTZ011 - a day as people count it
        "through": through,
    }
    (folder / TOMBSTONE).write_text(json.dumps(stone, indent=1) + "\n", encoding="utf-8")
    for path in folder.iterdir():
        if path.name != TOMBSTONE:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return Pruned(squash.revision, len(certificate.files), tuple(asked), through)


def heads_of(config: Config, urls: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return where the databases are: that of ``env.py``, and each further one, with the same version table."""
    found: list[tuple[str, tuple[str, ...]]] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        connection: Any = context.connection
        found.append((connection.engine.url.render_as_string(hide_password=True), context.get_current_heads()))
        found.extend(_elsewhere(url, context) for url in urls)

    run_env(config, script_of(config), work)
    return found


def _elsewhere(url: str, context: MigrationContext) -> tuple[str, tuple[str, ...]]:
    from alembic.runtime.migration import MigrationContext as Context

    engine = create_engine(url, poolclass=pool.NullPool)
    options = {"version_table": context.version_table, "version_table_schema": context.version_table_schema}
    with engine.connect() as connection:
        heads = Context.configure(connection, opts=options).get_current_heads()
    return engine.url.render_as_string(hide_password=True), heads
