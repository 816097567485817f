"""How is an env.py for one database made to use the connection that it is handed?"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.authoring.wiring_begin import WHY_CONNECT, begins_for_nothing
from alembic_safe.authoring.wiring_names import Names, calls, free_name, importing
from alembic_safe.authoring.wiring_text import Edit, TooUnusual

if TYPE_CHECKING:
    from alembic_safe.authoring.wiring_text import Source

    Function = ast.FunctionDef | ast.AsyncFunctionDef

COMMENT = "# a connection that is handed over (by a migration test, say) comes first"
WHY = "today a migration test that hands over its own database runs on the configured one instead, and empties it"


@dataclass(frozen=True)
class Site:
    """Where the connection that Alembic gets is opened.

    :param block: the ``with`` or ``async with`` statement.
    :param item: the place in it that opens the connection.
    :param opener: the call of ``connect()`` or ``begin()``.
    :param engine: what is called: the expression in front of ``.connect()``.
    :param runner: the function that gets the connection, when the block does not configure Alembic itself.
    """

    block: ast.With | ast.AsyncWith
    item: ast.withitem
    opener: ast.Call
    engine: ast.expr
    runner: str = ""


def wire_connection(source: Source, names: Names) -> tuple[Edit, ...]:
    """Note the changes that make an environment for one database use what it is handed.

    A ``Connection``, an ``Engine`` and what behaves like one, and an ``AsyncEngine`` are all taken:
    Alembic's cookbook hands over the first, pytest-alembic each of them.

    :raises TooUnusual: when it cannot be told where the connection comes from.
    """
    site = _site(source, names)
    edits = []
    if begins := begins_for_nothing(source, names, site):
        edits.append(Edit("the connection is opened by connect(), no longer by begin()", WHY_CONNECT))
    if isinstance(site.block, ast.AsyncWith):
        launcher = _launcher(source, site)
        _prefer_what_is_handed(source, names, site)
        _branch_before_the_loop(source, names, site, launcher)
        if begins:
            source.replace(source.end(site.engine), source.end(site.opener), ".connect()")
        what = "an AsyncEngine, an Engine or a Connection that is handed over is used"
    else:
        connectable = _prefer_what_is_handed(source, names, site)
        called = source.text[source.end(site.engine) : source.end(site.opener)]
        _keep_a_connection_open(source, site, connectable, ".connect()" if begins else called)
        what = "an Engine or a Connection that is handed over is used"
    return (Edit(what, WHY), *edits)


def _site(source: Source, names: Names) -> Site:
    configured = [
        (call, keyword.value)
        for call in calls(source, names.context, "configure")
        for keyword in call.keywords
        if keyword.arg == "connection"
    ]
    if not configured:
        raise TooUnusual(f"there is no {names.context}.configure(connection=...)")
    if len(configured) > 1:
        lines = ", ".join(str(call.lineno) for call, _ in configured)
        raise TooUnusual(f"{names.context}.configure(connection=...) stands in several places (lines {lines})")
    call, value = configured[0]
    if not isinstance(value, ast.Name):
        raise TooUnusual("the connection that is configured is not a plain variable", call.lineno)
    function = _function_around(source, call)
    block = _block_that_binds(source, call, value.id)
    if block is not None:
        return _opened(source, names, *block)
    if function is None or value.id not in {arg.arg for arg in function.args.args}:
        raise TooUnusual(f"{value.id} is not opened by a with statement", call.lineno)
    return _site_of_runner(source, names, function)


def _site_of_runner(source: Source, names: Names, function: Function) -> Site:
    """Find the block whose connection is given to a function: ``await c.run_sync(function)``, or ``function(c)``."""
    uses = [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Name) and node.id == function.name and isinstance(node.ctx, ast.Load)
    ]
    if len(uses) != 1 or not isinstance(call := source.parents[uses[0]], ast.Call):
        raise TooUnusual(f"{function.name} is not called in exactly one place", function.lineno)
    if len(call.args) + len(call.keywords) != 1:
        raise TooUnusual(f"{function.name} is called with more than the connection", call.lineno)
    if isinstance(call.func, ast.Attribute) and call.func.attr == "run_sync":
        given: ast.expr = call.func.value
    elif call.func is uses[0] and call.args:
        given = call.args[0]
    else:
        raise TooUnusual(f"{function.name} is not called with the connection alone", call.lineno)
    block = _block_that_binds(source, call, given.id) if isinstance(given, ast.Name) else None
    if block is None:
        raise TooUnusual("the connection is not opened by a with statement", call.lineno)
    site = _opened(source, names, *block)
    return Site(site.block, site.item, site.opener, site.engine, function.name)


def _opened(source: Source, names: Names, block: ast.With | ast.AsyncWith, item: ast.withitem) -> Site:
    opener = item.context_expr
    if not (
        isinstance(opener, ast.Call)
        and isinstance(opener.func, ast.Attribute)
        and opener.func.attr in {"connect", "begin"}
    ):
        raise TooUnusual("the connection is not opened by engine.connect()", block.lineno)
    if opener.func.attr == "begin" and not calls(source, names.context, "begin_transaction"):
        # a handed-over connection would then never be committed
        raise TooUnusual(f"it commits through begin(), without {names.context}.begin_transaction()", block.lineno)
    return Site(block, item, opener, opener.func.value)


def _prefer_what_is_handed(source: Source, names: Names, site: Site) -> str:
    """Let what is handed over win over the configured engine, and return the variable that holds the winner."""
    engine = site.engine
    scope = _function_around(source, site.block) or source.tree
    if isinstance(engine, ast.Name):
        bound = [
            node
            for node in ast.walk(scope)
            if isinstance(node, ast.Name) and node.id == engine.id and not isinstance(node.ctx, ast.Load)
        ]
        statement = source.parents[bound[0]] if len(bound) == 1 else None
        if (
            isinstance(statement, (ast.Assign, ast.AnnAssign))
            and statement.value is not None
            and (not isinstance(statement, ast.Assign) or statement.targets == bound)
            and statement.lineno < site.block.lineno
        ):
            indent, start = source.indent(statement), source.start(statement.value)
            source.insert_line(statement.lineno, f"{indent}{COMMENT}")
            _or_else(source, names, start, statement.value)
            return engine.id
    if len(site.block.items) > 1:
        raise TooUnusual("the connection is opened together with something else", site.block.lineno)
    variable = free_name(scope, "connectable", "handed_over")
    indent = source.indent(site.block)
    value = source.segment(engine) if _binds_tightly(engine) else f"({source.segment(engine)})"
    line = f"{indent}{variable} = {names.handed} or {value}"
    source.insert_line(site.block.lineno, f"{indent}{COMMENT}\n{line}")
    if isinstance(site.block, ast.AsyncWith):
        source.replace(source.start(engine), source.end(engine), variable)
    return variable


def _or_else(source: Source, names: Names, start: int, value: ast.expr) -> None:
    # what the value is wrapped in (parentheses are no part of the tree) stays behind the new words
    if _binds_tightly(value):
        source.replace(start, start, f"{names.handed} or ")
    else:
        source.replace(start, start, f"{names.handed} or (")
        source.replace(source.end(value), source.end(value), ")")


def _binds_tightly(value: ast.expr) -> bool:
    return isinstance(value, (ast.Call, ast.Name, ast.Attribute, ast.Subscript, ast.Constant))


def _keep_a_connection_open(source: Source, site: Site, connectable: str, called: str) -> None:
    """Leave a connection that is handed over open: it belongs to the caller."""
    nullcontext = importing(source, "contextlib", "nullcontext")
    connection = importing(source, "sqlalchemy.engine", "Connection")
    indent, unit = source.indent(site.block), source.unit(site.block)
    deeper = indent + unit
    new = (
        f"(\n{deeper}{nullcontext}({connectable})"
        f"\n{deeper}if isinstance({connectable}, {connection})"
        f"\n{deeper}else {connectable}{called}\n{indent})"
    )
    source.replace(source.start(site.opener), source.end(site.opener), new)


def _launcher(source: Source, site: Site) -> ast.Expr:
    """Find the one statement that runs the coroutine, such as ``asyncio.run(main())``."""
    coroutine = _function_around(source, site.block)
    if coroutine is None or not site.runner:
        raise TooUnusual("the async connection is not given to a function by run_sync()", site.block.lineno)
    uses = [n for n in ast.walk(source.tree) if isinstance(n, ast.Name) and n.id == coroutine.name]
    if len(uses) == 1:
        made = source.parents[uses[0]]
        run = source.parents[made]
        statement = source.parents[run]
        if (
            isinstance(made, ast.Call)
            and isinstance(run, ast.Call)
            and run.args == [made]
            and isinstance(statement, ast.Expr)
        ):
            return statement
    raise TooUnusual(f"{coroutine.name}() is not run by one statement such as asyncio.run(...)", coroutine.lineno)


def _branch_before_the_loop(source: Source, names: Names, site: Site, launcher: ast.Expr) -> None:
    """Give a synchronous connection, which cannot enter the coroutine, to the runner directly."""
    connection = importing(source, "sqlalchemy.engine", "Connection")
    async_engine = importing(source, "sqlalchemy.ext.asyncio", "AsyncEngine")
    indent, unit = source.indent(launcher), source.unit(source.parents[launcher])
    handed = free_name(source.tree, "handed", "handed_over")
    given = free_name(_function_around(source, launcher) or ast.Module([], []), "connection", "handed_connection")
    lines = [
        f"{COMMENT};",
        "# one that is synchronous cannot enter the event loop",
        f"{handed} = {names.handed}",
        f"if {handed} is None or isinstance({handed}, {async_engine}):",
        f"{unit}{source.segment(launcher)}",
        f"elif isinstance({handed}, {connection}):",
        f"{unit}{site.runner}({handed})",
        "else:",
        f"{unit}with {handed}.connect() as {given}:",
        f"{unit * 2}{site.runner}({given})",
    ]
    source.replace(source.start(launcher), source.end(launcher), f"\n{indent}".join(lines))


def _block_that_binds(source: Source, node: ast.AST, name: str) -> tuple[ast.With | ast.AsyncWith, ast.withitem] | None:
    while not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)):
        if isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                if isinstance(item.optional_vars, ast.Name) and item.optional_vars.id == name:
                    return node, item
        node = source.parents[node]
    return None


def _function_around(source: Source, node: ast.AST) -> Function | None:
    while not isinstance(node, ast.Module):
        node = source.parents[node]
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return node
    return None
