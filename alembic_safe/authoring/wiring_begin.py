"""Does an env.py begin a transaction that Alembic should begin itself?"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from alembic_safe.authoring.wiring_names import Names, calls

if TYPE_CHECKING:
    from alembic_safe.authoring.wiring_connection import Site
    from alembic_safe.authoring.wiring_text import Source

WHY_CONNECT = (
    "begin() puts all revisions into one transaction that Alembic did not begin,"
    " so they could not be committed one by one"
)


def begins_for_nothing(source: Source, names: Names, site: Site) -> bool:
    """Tell whether ``begin()`` can be ``connect()``: Alembic alone uses the connection, and begins itself.

    With a statement of the user's own on that connection it cannot: the statement would begin a transaction, and
    Alembic never commits one that it did not begin.
    """
    if site.opener.args or not isinstance(site.opener.func, ast.Attribute) or site.opener.func.attr != "begin":
        return False
    if not isinstance(site.item.optional_vars, ast.Name):
        return False
    name = site.item.optional_vars.id
    scopes: list[tuple[ast.AST, str]] = [(site.block, name)]
    scopes += [
        (node, node.args.args[0].arg)
        for node in ast.walk(source.tree)
        if site.runner and isinstance(node, ast.FunctionDef) and node.name == site.runner
    ]
    allowed = {id(k.value) for call in calls(source, names.context, "configure") for k in call.keywords}
    for node in ast.walk(site.block):
        if isinstance(node, ast.Call) and site.runner:
            if isinstance(node.func, ast.Attribute) and node.func.attr == "run_sync":
                allowed.add(id(node.func.value))
            elif isinstance(node.func, ast.Name) and node.func.id == site.runner:
                allowed.update(map(id, node.args))
    uses = [
        node
        for scope, variable in scopes
        for node in ast.walk(scope)
        if isinstance(node, ast.Name) and node.id == variable and isinstance(node.ctx, ast.Load)
    ]
    return all(id(node) in allowed for node in uses)


def configures_inside_begin(source: Source, names: Names) -> int:
    """Return the line of a ``with ....begin() as c`` whose connection Alembic gets; 0 when there is none."""
    given = {
        keyword.value.id
        for call in calls(source, names.context, "configure")
        for keyword in call.keywords
        if keyword.arg == "connection" and isinstance(keyword.value, ast.Name)
    }
    for node in ast.walk(source.tree):
        for item in node.items if isinstance(node, (ast.With, ast.AsyncWith)) else ():
            if isinstance(item.optional_vars, ast.Name) and item.optional_vars.id in given:
                for part in ast.walk(item.context_expr):
                    if isinstance(part, ast.Attribute) and part.attr == "begin":
                        return part.lineno
    return 0
