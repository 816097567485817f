"""What are the revision files together with the contracts that are parked beside them?"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from alembic.script import Script
from alembic.script.revision import RevisionMap
from alembic.util import load_python_file

from alembic_safe.inspecting.changes import changes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from alembic.script import ScriptDirectory


def with_contracts(script: ScriptDirectory, more: Sequence[Path] = ()) -> ScriptDirectory:
    """Return a copy of the chain with every parked contract at its end, in the order of their expands.

    Made to be replayed: the files stay what they are and where they are.

    :param more: contracts that are not parked yet; they stand behind those that are.
    """
    chain = [Script(one.module, one.revision, one.path) for one in reversed(list(script.walk_revisions()))]
    made = _directory(script, chain)
    parked = [(change.revisions[-1], change.parked) for change in changes(script) if change.is_open and change.parked]
    for last, path in [*parked, *((None, path) for path in more)]:
        module: Any = load_python_file(str(path.parent), path.name)
        behind = last or str(module.down_revision)
        module.down_revision = _tip(made, behind)
        chain.append(Script(module, module.revision, str(path)))
        made = _directory(script, chain)
    return made


def _directory(script: ScriptDirectory, chain: Sequence[Script]) -> ScriptDirectory:
    made = copy.copy(script)
    # the records of a map know their neighbours: each map has its own
    fresh = [Script(one.module, one.revision, one.path) for one in chain]
    made.revision_map = RevisionMap(lambda: fresh)
    return made


def _tip(script: ScriptDirectory, revision: str) -> str:
    """Return the head that a revision leads to."""
    return next(
        (
            head
            for head in script.get_heads()
            if any(one.revision == revision for one in script.iterate_revisions(head, "base"))
        ),
        revision,
    )
