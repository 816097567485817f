"""How is an env.py for several databases made to run one transaction for each?"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

from alembic_safe.authoring.wiring_names import Names, calls, free_name, importing
from alembic_safe.authoring.wiring_text import Edit, TooUnusual
from alembic_safe.authoring.wiring_twophase import refuse_two_phase, remove_switch

if TYPE_CHECKING:
    from alembic_safe.authoring.wiring_text import Source

# The calls that open, prepare and end transactions. What is replaced may hold no other: it is bookkeeping only.
BOOKKEEPING = frozenset(
    {"connect", "begin", "begin_twophase", "prepare", "commit", "rollback", "close", "items", "values"}
)
STALE_COMMENT = "start a transaction on all"
COMMENT = (
    "# Each database in a transaction of its own, one after the other: when one",
    "# fails, those before it stay upgraded. A dict of connections by database name",
    "# may be handed over; a name that is missing there is an error, never a run on",
    "# the configured database.",
)


@dataclass(frozen=True)
class Shape:
    """The parts of an environment that begins on every database first.

    :param opening: the loop that connects and begins.
    :param guarded: the ``try`` that migrates, commits and rolls back.
    :param migrating: the loop inside it that configures Alembic and runs it.
    :param run: the statement ``context.run_migrations(...)``, the last of that loop.
    :param connection: where the open connection is kept, such as ``rec["connection"]``.
    :param name: the variable that holds a database's name in both loops.
    :param engine: the expression that :attr:`opening` connects.
    """

    opening: ast.For
    guarded: ast.Try
    migrating: ast.For
    run: ast.Expr
    connection: ast.Subscript
    name: str
    engine: str


def begins_on_all_first(source: Source, names: Names) -> bool:
    """Tell whether the file keeps several connections by name, as the template ``multidb`` does."""
    return any(
        isinstance(keyword.value, ast.Subscript)
        for call in calls(source, names.context, "configure")
        for keyword in call.keywords
        if keyword.arg == "connection"
    )


def keeps_transactions(source: Source) -> bool:
    """Tell whether the file keeps an open transaction beside each connection, to end it later."""
    return any(
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Subscript)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr in {"begin", "begin_twophase"}
        for node in ast.walk(source.tree)
    )


def wire_several_databases(source: Source, names: Names) -> tuple[Edit, ...]:
    """Note the changes that give each database a transaction of its own.

    :raises Refused: when the file runs two-phase transactions.
    :raises TooUnusual: when there is more in its loops than connecting, committing and rolling back.
    """
    refuse_two_phase(source)
    shape = _shape(source, names)
    _only_bookkeeping(source, shape)
    nullcontext = importing(source, "contextlib", "nullcontext")
    connection = importing(source, "sqlalchemy.engine", "Connection")
    name = shape.name
    handed = free_name(source.tree, "handed", "handed_over")
    connectable = free_name(source.tree, "connectable", "handed_or_configured")
    own, unit = source.indent(shape.opening), source.unit(shape.opening)
    one, two, three = own + unit, own + unit * 2, own + unit * 3
    head = source.text[source.start(shape.migrating) : source.line_start(shape.migrating.body[0].lineno)].rstrip()
    lines = [
        f"{own}{handed} = {names.handed}",
        f"{own}{head}",
        f"{one}{connectable} = {shape.engine} if {handed} is None else {handed}[{name}]",
        f"{one}with (",
        f"{two}{nullcontext}({connectable})",
        f"{two}if isinstance({connectable}, {connection})",
        f"{two}else {connectable}.connect()",
        f"{one}) as {source.segment(shape.connection)}:",
    ]
    # the body of the migrating loop stood in `try: for`, and stands in `for: with` now: as deep as before
    body = source.text[source.line_start(shape.migrating.body[0].lineno) : source.line_start(shape.run.lineno)]
    run = "\n".join([f"{two}with {names.context}.begin_transaction():", f"{three}{source.segment(shape.run)}"])
    comment_at = _stale_comment(source, shape)
    comment = [f"{own}{line}" for line in COMMENT]
    new = "\n".join([*(comment if comment_at is None else ()), *lines]) + "\n" + body + run
    source.replace(source.line_start(shape.opening.lineno), source.end(shape.guarded), new)
    if comment_at is not None:
        source.replace(*comment_at, "\n".join(comment) + "\n")
    remove_switch(source, shape.opening, shape.guarded)
    return (
        Edit(
            "one transaction for each database, not one around all",
            "safe-upgrade deploys database by database; given up is that all of them roll back together"
            " (they never committed together: a crash between two commits left some upgraded)",
        ),
        Edit(
            "a dict of connections that is handed over, by database name, is used",
            "today a migration test that hands over its own databases runs on the configured ones instead",
        ),
    )


def _shape(source: Source, names: Names) -> Shape:
    configured = [
        (call, keyword.value)
        for call in calls(source, names.context, "configure")
        for keyword in call.keywords
        if keyword.arg == "connection"
    ]
    call, connection = configured[0]
    statement = source.parents[call]
    migrating = source.parents.get(statement)
    guarded = source.parents.get(migrating) if migrating is not None else None
    if not (
        len(configured) == 1
        and isinstance(connection, ast.Subscript)
        and _is_loop_over_items(migrating)
        and isinstance(guarded, ast.Try)
        and guarded.body[0] is migrating
    ):
        raise TooUnusual("the databases are not migrated by one loop in a try block", call.lineno)
    siblings = getattr(source.parents[guarded], "body", [])
    at = siblings.index(guarded) if guarded in siblings else 0
    opening = siblings[at - 1] if at else None
    if not _is_loop_over_items(opening) or ast.dump(opening.iter) != ast.dump(migrating.iter):
        raise TooUnusual("no loop before it opens the connections", guarded.lineno)
    run = migrating.body[-1]
    if not (isinstance(run, ast.Expr) and run.value in calls(source, names.context, "run_migrations")):
        raise TooUnusual(f"its loop does not end with {names.context}.run_migrations(...)", migrating.lineno)
    if ast.dump(opening.target) != ast.dump(migrating.target):
        raise TooUnusual("the two loops name their variables differently", migrating.lineno)
    name = ast.unparse(migrating.target).strip("()").split(", ", maxsplit=1)[0]
    return Shape(opening, guarded, migrating, run, connection, name, _engine(source, opening))


def _is_loop_over_items(node: ast.AST | None) -> TypeGuard[ast.For]:
    return (
        isinstance(node, ast.For)
        and isinstance(node.target, ast.Tuple)
        and len(node.target.elts) == 2  # a name and its record
        and isinstance(node.iter, ast.Call)
        and isinstance(node.iter.func, ast.Attribute)
        and node.iter.func.attr == "items"
        and not node.orelse
    )


def _engine(source: Source, opening: ast.For) -> str:
    """Return what the opening loop connects, as an expression that also holds in the other loop."""
    for node in ast.walk(opening):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "connect":
            engine = node.func.value
            for statement in opening.body:
                if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == ast.unparse(engine):
                    engine = statement.value
            if node.args or node.keywords or not isinstance(engine, ast.Subscript):
                break
            return source.segment(engine)
    raise TooUnusual("the loop that opens the connections does it in an unknown way", opening.lineno)


def _only_bookkeeping(source: Source, shape: Shape) -> None:
    """Make sure that nothing of the user's own is in what gets replaced: code or comments."""
    gone: list[ast.AST] = [*shape.opening.body, *shape.guarded.body[1:], *shape.guarded.handlers]
    gone += [*shape.guarded.finalbody, *shape.guarded.orelse]
    for node in (n for part in gone for n in ast.walk(part)):
        if isinstance(node, ast.Call) and not (
            isinstance(node.func, ast.Attribute) and node.func.attr in BOOKKEEPING and not node.args
        ):
            raise TooUnusual(f"`{source.segment(node)}` stands among commits and rollbacks", node.lineno)
    kept = (source.line_start(shape.migrating.body[0].lineno), source.end(shape.run))
    for line, comment in source.comments(source.start(shape.opening), source.end(shape.guarded)):
        at = source.line_start(line)
        if not kept[0] <= at < kept[1] and not comment.replace(" ", "").startswith("#noqa"):
            raise TooUnusual(f"a comment stands among commits and rollbacks: {comment}", line)
    deep = source.indent(shape.migrating.body[0])
    if deep != source.indent(shape.opening) + source.unit(shape.opening) * 2:
        raise TooUnusual("it is indented unevenly", shape.migrating.body[0].lineno)


def _stale_comment(source: Source, shape: Shape) -> tuple[int, int] | None:
    """Find the template's own comment on beginning everywhere first: it would not be true any more."""
    function = source.parents[shape.guarded]
    first = getattr(function, "lineno", 1)
    comments = source.comments(source.line_start(first), source.start(shape.opening))
    for index, (line, comment) in enumerate(comments):
        if STALE_COMMENT in comment:
            last = line
            for other, _ in comments[index + 1 :]:
                last = other if other == last + 1 else last
            return source.line_start(line), source.line_start(last + 1)
    return None
