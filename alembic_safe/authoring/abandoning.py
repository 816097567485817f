"""How is an open change given up, with its old column kept?"""

from __future__ import annotations

import ast
import contextlib
import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from alembic.util import rev_id

from alembic_safe.authoring.contracting import Appended, tip_of, version_folder
from alembic_safe.errors import Findings, NextStep

if TYPE_CHECKING:
    from alembic.script import Script, ScriptDirectory

    from alembic_safe.inspecting.changes import Change

ENDS = {"sync_columns": "drop_sync", "sync_tables": "drop_table_sync", "keep_column": "unkeep_column"}
"""What an expand or a copy begins that goes on until the contract, and the verb that ends it."""


def abandon(script: ScriptDirectory, change: Change) -> Appended:
    """Write the revision that ends a change: its triggers go, old and new columns both stay, with their rows.

    What the models then have otherwise than the files, autogenerate finds as ever.

    :raises Findings: where there is no one tip to build on.
    """
    head = tip_of(script, change)
    begun = [call for revision in change.revisions for call in begun_in(_file(script, revision))]
    ends = [(f"op.{ENDS[verb]}({arguments})", f"op.{verb}({arguments})") for verb, arguments in begun]
    message = f"abandon: {change.message.removeprefix('expand: ').partition(chr(10))[0]}"
    with contextlib.redirect_stdout(sys.stderr):  # Alembic tells what it writes on stdout, which is the result's
        script.messaging_opts = {"quiet": True}
        made = script.generate_revision(
            rev_id(), message, head=head, refresh=True,
            version_path=str(version_folder(script, head)),
            upgrades=_body([end for end, _ in reversed(ends)]), downgrades=_body([begin for _, begin in ends]),
            imports=f"# what the contract of this change was to take away stays\nabandons = {json.dumps(change.id)}",
        )  # fmt: skip
    if made is None or getattr(made.module, "abandons", None) != change.id:
        if made is not None:
            Path(made.path).unlink()
        raise Findings(
            f"The project's script.py.mako has no place for imports, so nothing could say that {change.id} is abandoned.",
            next_steps=[NextStep("add this line behind its imports", '${imports if imports else ""}')],
        )
    if change.parked is not None:
        change.parked.unlink(missing_ok=True)
    return Appended(change.id, made.revision, Path(made.path), head)


def begun_in(text: str) -> tuple[tuple[str, str], ...]:
    """Return the verbs in ``upgrade()`` that go on until the contract, each with its arguments as they are written."""
    found = []
    for function in ast.parse(text).body:
        if not isinstance(function, ast.FunctionDef) or function.name != "upgrade":
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ENDS:
                parts: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
                arguments = ", ".join(_source(text, part) for part in parts)
                found.append((node.lineno, node.func.attr, arguments))
    return tuple((verb, arguments) for _, verb, arguments in sorted(found))


def _source(text: str, part: ast.expr | ast.keyword) -> str:
    segment = ast.get_source_segment(text, part) or ast.unparse(part)
    return " ".join(segment.split()) if "'''" not in segment and '"""' not in segment else segment


def _file(script: ScriptDirectory, revision: str) -> str:
    found: Script | None = script.get_revision(revision)
    assert found is not None  # noqa: S101 - the change was read from these files
    return Path(found.path).read_text(encoding=script.output_encoding)


def _body(calls: list[str]) -> str:
    if not calls:
        return ""
    lines = ['with op.step("the old and the new columns go their own ways"):', *(f"    {call}" for call in calls)]
    return textwrap.indent("\n".join(lines), "    ").lstrip()
