"""Which parts of a revision's file does a function of it need?"""

from __future__ import annotations

import ast
import builtins
import symtable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.history.python_text import inside_strings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_OF_EVERY_MODULE = frozenset({"__file__", "__name__", "__doc__"})


class CannotCarry(Exception):
    """A revision is written so that it cannot stand in another file."""


@dataclass(frozen=True)
class Part:
    """Something at the top level of a file.

    :param names: what it binds; empty for a statement that only does something to what others bind.
    :param uses: the names of the module that it uses.
    :param can_be_shared: whether two files that say the same may have it once: nothing in it is changed by anybody.
    """

    text: str
    names: frozenset[str]
    uses: frozenset[str]
    is_import: bool = False
    can_be_shared: bool = False
    changes_globals: bool = False

    @property
    def plain(self) -> str:
        """The text without the comments above it; of ``import a.b``, what it binds."""
        if self.is_import and self.text.startswith("import ") and " as " not in self.text:
            return self.text.partition(".")[0]
        return "\n".join(line for line in self.text.splitlines() if not line.startswith("#"))


class ModuleParts:
    """The file of a revision, taken apart."""

    def __init__(self, source: str) -> None:
        self.lines = source.splitlines(keepends=True)
        self.tree = ast.parse(source)
        self.parts = [part for n, node in enumerate(self.tree.body) for part in self._parts(n, node)]
        self.bound = {name for part in self.parts for name in part.names}

    def body(self, name: str) -> Part:
        """Return what is inside of a function; where there is none: ``pass``.

        :raises CannotCarry: when it has arguments, decorators, or is a generator.
        """
        found = [node for node in self.tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
        if not found:
            if name in self.bound:
                raise CannotCarry(f"its {name}() is no plain function")
            return Part("pass", frozenset(), frozenset())
        node = found[-1]
        given = node.args
        has_yield = any(isinstance(one, (ast.Yield, ast.YieldFrom)) for one in ast.walk(node))
        if node.decorator_list or any([given.args, given.kwonlyargs, given.vararg, given.kwarg]) or has_yield:
            raise CannotCarry(f"its {name}() is no plain function")
        says = ast.get_docstring(node, clean=False) is not None
        body = node.body[1:] if says and len(node.body) > 1 else node.body
        if body[0].lineno == node.lineno:  # def upgrade(): pass
            text = "\n".join(ast.unparse(one) for one in body)
        else:
            first = (node.body[0].end_lineno or 0) if says and len(node.body) > 1 else body[0].lineno - 1
            while first > node.lineno and self.lines[first - 1].strip().startswith("#"):
                first -= 1
            text = dedented("".join(self.lines[first : node.end_lineno]))
        return Part(text.strip("\n"), frozenset(), _used(node), changes_globals=_changes_globals(node))

    def needed(self, functions: Iterable[Part]) -> list[Part]:
        """Return the parts of the file that functions use, and that these use, in the order of the file.

        :raises CannotCarry: for a name that nothing in the file binds.
        """
        wanted = {name for one in functions for name in one.uses}
        chosen = {n for n, part in enumerate(self.parts) if part.is_import and "__future__" in part.text}
        before = -1
        while before != len(chosen):
            before = len(chosen)
            own = {name for n in chosen for name in self.parts[n].names if not self.parts[n].is_import}
            for n, part in enumerate(self.parts):
                acts_on_chosen = not part.names and bool(part.uses & own)
                if n not in chosen and (part.names & wanted or acts_on_chosen):
                    chosen.add(n)
                    wanted |= part.uses
        unknown = {name for name in wanted - self.bound - _OF_EVERY_MODULE if not hasattr(builtins, name)}
        stars = {n for n, part in enumerate(self.parts) if "*" in part.names}
        if unknown and not stars:
            raise CannotCarry(f"nothing in its file says what {', '.join(sorted(unknown))} is")
        return [part for n, part in enumerate(self.parts) if n in chosen or (unknown and n in stars)]

    def _parts(self, n: int, node: ast.stmt) -> Iterator[Part]:
        if n == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from _imports(node)
            return
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(one.lineno for one in decorators)]) - 1
        while first and self.lines[first - 1].startswith("#"):
            first -= 1
        text = "".join(self.lines[first : node.end_lineno]).rstrip()
        shared = (isinstance(node, ast.FunctionDef) and not decorators) or _is_plain_constant(node)
        yield Part(
            text, frozenset(_bound(node)), _used(node), can_be_shared=shared, changes_globals=_changes_globals(node)
        )


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[Part]:
    if isinstance(node, ast.ImportFrom) and node.level:
        names = frozenset(alias.asname or alias.name for alias in node.names)
        yield Part(ast.unparse(node), names, frozenset(), is_import=True, can_be_shared=False)
        return
    for alias in node.names:
        single = ast.ImportFrom(node.module, [alias], 0) if isinstance(node, ast.ImportFrom) else ast.Import([alias])
        bound = alias.asname or (alias.name if isinstance(node, ast.ImportFrom) else alias.name.partition(".")[0])
        yield Part(ast.unparse(single), frozenset({bound}), frozenset(), is_import=True, can_be_shared=True)


def _bound(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement at the top level of a file binds."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
        return
    table = symtable.symtable(ast.unparse(node), "<file>", "exec")
    yield from (one.get_name() for one in table.get_symbols() if one.is_assigned() or one.is_imported())


def _used(node: ast.AST) -> frozenset[str]:
    """Return the names that something looks up in its module."""
    found: set[str] = set()

    def look(table: symtable.SymbolTable, *, is_top: bool) -> None:
        for one in table.get_symbols():
            if (is_top and one.is_referenced()) or (
                not is_top and one.is_global() and (one.is_referenced() or one.is_assigned())
            ):
                found.add(one.get_name())
        for child in table.get_children():
            look(child, is_top=False)

    look(symtable.symtable(ast.unparse(node), "<file>", "exec"), is_top=True)
    return frozenset(found)


def _changes_globals(node: ast.AST) -> bool:
    return any(isinstance(one, ast.Global) for one in ast.walk(node))


def _is_plain_constant(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign):
        return False
    inner = (one for one in ast.walk(node.value) if isinstance(one, ast.expr))
    return all(isinstance(one, (ast.Constant, ast.Tuple, ast.JoinedStr)) for one in inner)


def dedented(text: str) -> str:
    """Take the indentation of the first line off all lines of code, but not off those inside of a string."""
    lines = text.split("\n")
    first = next(line for line in lines if line.strip() and not line.strip().startswith("#"))
    indent = first[: len(first) - len(first.lstrip())]
    inside = inside_strings("if True:\n" + text)
    return "\n".join(
        line if n in inside else line.removeprefix(indent) if line.startswith(indent) else line.lstrip()
        for n, line in enumerate(lines, 2)
    )
