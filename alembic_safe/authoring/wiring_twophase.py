"""Does an env.py run two-phase transactions, and what becomes of the switch for them?"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from alembic_safe.errors import NextStep, Refused

if TYPE_CHECKING:
    from alembic_safe.authoring.wiring_text import Source


def refuse_two_phase(source: Source) -> None:
    """Stop when two-phase transactions are switched on.

    :raises Refused: naming the line to change.
    """
    switch = _switch(source)
    on = switch is not None and not (isinstance(switch.value, ast.Constant) and switch.value.value is False)
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr == "begin_twophase" and (on or not _guarded_by_switch(source, node)):
            line = switch.lineno if switch is not None else node.lineno
            stands = source.segment(switch) if switch is not None else source.segment(node)
            raise Refused(
                f"env.py, line {line}: `{stands}` is two-phase commit, which safe-upgrade does not run.",
                detail=[
                    "It deploys database by database, each revision in a transaction of its own; a transaction that",
                    "stays prepared would hold its locks until a person ends it.",
                ],
                next_steps=[
                    NextStep("write `USE_TWOPHASE = False` there, then", "alembic safe-init"),
                ],
            )


def _guarded_by_switch(source: Source, node: ast.AST) -> bool:
    while not isinstance(node, ast.Module):
        node = source.parents[node]
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "USE_TWOPHASE":
            return True
    return False


def _switch(source: Source) -> ast.Assign | None:
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "USE_TWOPHASE":
            return node
    return None


def remove_switch(source: Source, *gone: ast.stmt) -> None:
    """Take ``USE_TWOPHASE = False`` out when nothing reads it any more: set, it would do nothing."""
    switch = _switch(source)
    if switch is None:
        return
    inside = {id(node) for part in gone for node in ast.walk(part)}
    readers = [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Name) and node.id == "USE_TWOPHASE" and node is not switch.targets[0]
    ]
    end = source.line_start((switch.end_lineno or switch.lineno) + 1)
    if all(id(node) in inside for node in readers) and not source.comments(source.start(switch), end):
        following = source.text[end:]
        blank = len(following) - len(following.lstrip("\r\n"))
        source.replace(source.line_start(switch.lineno), end + blank, "")
