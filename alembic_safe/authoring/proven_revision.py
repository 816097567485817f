"""How does SQL become one revision file that is proven before anybody can see it?"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.authoring.moving_in import aside_folder
from alembic_safe.authoring.writing import AsideWriter, Wanted, Written
from alembic_safe.database.env_locations import directory_of
from alembic_safe.database.replay import replay, run_on_shadow
from alembic_safe.errors import NextStep, ReplayFailed, WrongUsage
from alembic_safe.inspecting.comparison import compare
from alembic_safe.inspecting.expected import catalogs_of, replayed
from alembic_safe.inspecting.owners import owned_as

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.authoring.statement_operations import StatementsOp
    from alembic_safe.database.shadow_wish import ShadowWish
    from alembic_safe.inspecting.catalog_records import Catalog
    from alembic_safe.inspecting.comparison import Difference
    from alembic_safe.inspecting.expected import FilesCatalog

_SHOWN = 10


@dataclass(frozen=True)
class Proof:
    """What a new revision has to bring about.

    :param heads: where the files stand before it.
    :param actual: what a database is afterwards: the one that it was written for.
    :param goes_back: whether its downgrade has to lead back to where it began.
    """

    heads: tuple[str, ...]
    actual: Catalog
    goes_back: bool = True


@contextmanager
def proven_revision(
    config: Config,
    wish: ShadowWish,
    wanted: Wanted,
    proof: Proof,
    operation: Callable[[FilesCatalog], StatementsOp],
    *,
    body: str = "",
) -> Iterator[tuple[Path, Written, ScriptDirectory]]:
    """Write one revision aside, run it on a shadow, and hold what came of it against the database; then hand it over.

    :param operation: returns what the revision does, given what the files make before it.
    :param body: what its docstring says behind the message.
    :return: the folder of :func:`alembic_safe.authoring.moving_in.move_in`, the file, and a script directory with it.
    :raises ReplayFailed: when the revision does not lead to the same database, or not back.
    :raises WrongUsage: where ``env.py`` configures several databases.
    """
    script = directory_of(config)
    with aside_folder(script) as folder, replayed(config, script, wish, proof.heads) as (shadow, done):
        before = _the_one(catalogs_of(shadow, done))
        writer = AsideWriter(config, directory_of(config), wanted, folder)
        wished = operation(before)

        def add(context: MigrationContext, kw: dict[str, Any]) -> None:
            del kw
            writer.add(context, [wished])

        run_on_shadow(config, script, shadow, add)
        file = writer.write(body)[-1]
        after = _the_one(catalogs_of(shadow, replay(config, writer.script, shadow, to=file.revision)))
        _require_equal(
            compare(proof.actual, owned_as(after.catalog, proof.actual, made_by=after.role)), file, "upgrade()"
        )
        if proof.goes_back:
            back = _the_one(
                catalogs_of(shadow, replay(config, writer.script, shadow, to=_below(file.parents, proof.heads)))
            )
            _require_equal(compare(before.catalog, back.catalog), file, "downgrade()")
        yield folder, file, writer.script


def _below(parents: Sequence[str], heads: Sequence[str]) -> str:
    return next(iter([*parents, *heads]), "base")


def _the_one(found: Sequence[FilesCatalog]) -> FilesCatalog:
    if len(found) != 1:
        raise WrongUsage(
            f"env.py configures {len(found)} databases; a revision for what is different in one of them is written by hand.",
            next_steps=[NextStep("see what is different, with its SQL", "alembic safe-status --drift")],
        )
    return found[0]


def _require_equal(differences: Sequence[Difference], file: Written, part: str) -> None:
    if not differences:
        return
    more = len(differences) - _SHOWN
    raise ReplayFailed(
        f"The revision was not written: on a shadow its {part} does not lead to the same database.",
        detail=[
            *(f"  {difference}" for difference in differences[:_SHOWN]),
            *([f"  and {more} more"] if more > 0 else []),
        ],
        next_steps=[
            NextStep(f"write it by hand; this is how far it got ({file.message})", 'alembic revision -m "..."'),
        ],
    )
