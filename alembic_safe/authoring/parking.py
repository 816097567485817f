"""How is a parked contract written anew from what its expand says: when it is missing, or says something else?"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from alembic.autogenerate.api import RevisionContext

from alembic_safe.authoring.contracts import contract_steps
from alembic_safe.authoring.looking import facts_of
from alembic_safe.authoring.phase_files import park, prepare
from alembic_safe.authoring.phase_scripts import PlannedRun, contract_script
from alembic_safe.authoring.phase_words import contract_words
from alembic_safe.authoring.phases import Plan
from alembic_safe.authoring.recipes.records import Words
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.changes import assignments, open_changes
from alembic_safe.inspecting.models import models_of, tables_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.inspecting.changes import Change


def unparked(script: ScriptDirectory) -> tuple[Change, ...]:
    """Return the open changes whose parked contract is missing, or settles something else than their expand says."""
    return tuple(change for change in open_changes(script) if change.parked is None or _is_stale(change, change.parked))


def _is_stale(change: Change, parked: Path) -> bool:
    said = assignments(ast.parse(parked.read_bytes())).get("settles")
    # one that was written by hand says nothing of it, and is its author's business
    return said is not None and tuple(said) != tuple(map(str, change.settles))


def park_anew(
    config: Config,
    script: ScriptDirectory,
    context: MigrationContext,
    wanted: Sequence[Change],
    place: Callable[[Path], Path] | None = None,
) -> tuple[Path, ...]:
    """Write the contracts of open changes from their ``settles``; a file that says something else goes.

    :param context: on a database in which their expands ran, and their contracts did not.
    :param place: where a file that belongs somewhere is written; ``None``: there.
    :return: the files.
    """
    found: list[Path] = []
    models = tables_of(models_of(context), context.dialect.default_schema_name or "public")
    for change in wanted:
        facts = facts_of(context, models, {ObjectId("table", line.schema, line.table) for line in change.settles})
        words = Words(contract=contract_words(change.settles, facts.default_schema))
        plan = Plan((), (), (), (), contract_steps(change.settles, facts), change.settles, words)
        run = PlannedRun(plan, (), context.opts["upgrade_token"], context.opts["downgrade_token"])
        message = change.message.removeprefix("expand: ")
        last = change.revisions[-1]
        revisions = RevisionContext(config, script, _command_args(message, last))
        parking = prepare(revisions, place)
        hook = context.opts.pop("process_revision_directives", None)
        context.opts["process_revision_directives"] = None
        try:
            revisions.run_no_autogenerate(context.get_current_heads(), context)  # what the rendering wants to know
        finally:
            context.opts["process_revision_directives"] = hook
        park(revisions, contract_script(message, change.id, change.settles, run, last), parking)
        written = [one.path for one in parking.files]
        if change.parked is not None and place is None and change.parked.absolute() not in written:
            change.parked.unlink(missing_ok=True)
        found += written
    return tuple(found)


def _command_args(message: str, head: str) -> dict[str, Any]:
    return {
        "message": message, "autogenerate": False, "sql": False, "head": head, "splice": True, "branch_label": None,
        "version_path": None, "rev_id": None, "depends_on": None,
    }  # fmt: skip
