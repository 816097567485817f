"""How do parked contracts come into the chain, all of them together or none?"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.script import Script

from alembic_safe.authoring.moving_in import aside_folder, place_file
from alembic_safe.database.env_locations import directory_of
from alembic_safe.database.revision_files import shown
from alembic_safe.errors import Findings, Missing, NextStep
from alembic_safe.inspecting.changes import assignments, read_parked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alembic_safe.inspecting.changes import Change

_REVISES = re.compile(r"^(\s*Revises:).*$", re.MULTILINE)


@dataclass(frozen=True)
class Appended:
    """A contract that came into the chain.

    :param path: its file.
    :param behind: the revision that it stands behind.
    """

    change: str
    revision: str
    path: Path
    behind: str


def append_contracts(config: Config, wanted: Sequence[Change]) -> tuple[Appended, ...]:
    """Append the parked contracts of some changes at the tip, in this order; all of them or none.

    Of each file only its ``down_revision``, and the line of its docstring that repeats it, become others.

    :raises Findings: where a parked file cannot be appended, or there is no one tip; nothing was written then.
    :raises Missing: where the folder of the revisions cannot be written to.
    """
    script = directory_of(config)
    with aside_folder(script) as folder:
        ready = [_prepare(script, folder, change) for change in wanted]
        moved: list[Path] = []
        try:
            for aside, appended in ready:
                appended.path.parent.mkdir(parents=True, exist_ok=True)
                place_file(aside, appended.path)
                moved.append(appended.path)
        except OSError as error:
            for path in moved:
                path.unlink(missing_ok=True)
            raise Missing(
                f"{shown(error.filename2 or error.filename)} cannot be written: {error.strerror}.",
                next_steps=[NextStep("make the folder writable, then", "alembic safe-contract")],
            ) from error
    # killed before this, the next run finds the contract in the chain, and only these to clear away
    for change in wanted:
        assert change.parked is not None  # noqa: S101 - without one there was nothing to append
        change.parked.unlink(missing_ok=True)
    return tuple(appended for _, appended in ready)


def clear_appended(found: Sequence[Change]) -> None:
    """Clear away the parked files of contracts that are in the chain: a run was killed behind its last step."""
    for change in found:
        left = change.parked if change.contract is not None else None
        if left is not None and left.exists() and read_parked(left).revision == change.contract:
            left.unlink()


def _prepare(script: ScriptDirectory, folder: Path, change: Change) -> tuple[Path, Appended]:
    """Write one contract aside as it will stand in the chain; the script directory knows it from then on."""
    assert change.parked is not None  # noqa: S101
    parked = read_parked(change.parked)
    head = tip_of(script, change)
    text = with_parent(change.parked.read_text(encoding=script.output_encoding), head, change.parked)
    folder_there = version_folder(script, head)
    final = script._rev_path(folder_there, parked.revision, parked.message.partition("\n")[0], datetime.now())  # noqa: DTZ005, SLF001
    if final.exists() or parked.revision in {one.revision for one in script.walk_revisions()}:
        raise Findings(
            f"{shown(change.parked)} cannot be appended: the chain has a revision {parked.revision} already.",
            next_steps=[NextStep("look at both", f"alembic show {parked.revision}")],
        )
    aside = folder / final.name
    aside.write_text(text, encoding=script.output_encoding)
    loaded = Script._from_path(script, aside)  # noqa: SLF001 - how Alembic itself reads a file that it has written
    if loaded is None:
        raise Findings(
            f"{shown(change.parked)} cannot be appended: Alembic does not take {final.name} for a revision.",
            next_steps=[
                NextStep("see what file_template in alembic.ini makes of its message, then", "alembic safe-contract")
            ],
        )
    script.revision_map.add_revision(loaded)
    return aside, Appended(change.id, parked.revision, Path(final), head)


def tip_of(script: ScriptDirectory, change: Change) -> str:
    """Return the head that a change's last revision leads to.

    :raises Findings: where it leads to several.
    """
    last = change.revisions[-1]
    heads = [
        head
        for head in script.get_heads()
        if any(one.revision == last for one in script.iterate_revisions(head, "base"))
    ]
    if len(heads) > 1:
        raise Findings(
            f"The chain has {len(heads)} heads behind {last}: {', '.join(heads)}; a contract stands behind all of them.",
            next_steps=[NextStep("join them", 'alembic merge heads -m "merge"')],
        )
    return heads[0]


def version_folder(script: ScriptDirectory, head: str) -> Path:
    """Return the folder that a revision behind a head belongs into, as Alembic finds it."""
    locations = script._version_locations  # noqa: SLF001 - what generate_revision() asks
    if len(locations) == 1:
        return Path(locations[0])
    found: Any = script.get_revision(head)
    return Path(found.path).parent


def with_parent(text: str, parent: str, path: Path) -> str:
    """Return the text of a revision file with another ``down_revision``; everything else to the letter.

    :raises Findings: where the file says it in a form that cannot be replaced.
    """
    tree = ast.parse(text)
    value = _value_of(tree, "down_revision")
    if value is None or "down_revision" not in assignments(tree):
        raise Findings(
            f"{shown(path)} does not say its down_revision as a plain string, so it cannot be appended.",
            next_steps=[NextStep("write it like this", f'down_revision = "{parent}"')],
        )
    quote = "'" if (ast.get_source_segment(text, value) or "").startswith("'") else '"'
    replaced = _replaced(text, value, f"{quote}{parent}{quote}")
    docstring = ast.get_docstring(tree, clean=False)
    if docstring is not None and _REVISES.search(docstring):
        first = tree.body[0]
        assert isinstance(first, ast.Expr)  # noqa: S101 - what a docstring is
        source = ast.get_source_segment(text, first.value) or ""
        return replaced.replace(source, _REVISES.sub(rf"\g<1> {parent}", source, count=1), 1)
    return replaced


def _value_of(tree: ast.Module, name: str) -> ast.expr | None:
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            assert isinstance(node, (ast.Assign, ast.AnnAssign))  # noqa: S101
            return node.value
    return None


def _replaced(text: str, node: ast.expr, by: str) -> str:
    """Replace the source of one expression; its columns count bytes."""
    lines = text.splitlines(keepends=True)
    begin, end = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    head = lines[begin].encode()[: node.col_offset].decode()
    tail = lines[end].encode()[node.end_col_offset or 0 :].decode()
    return "".join([*lines[:begin], head + by + tail, *lines[end + 1 :]])
