"""Does a revision do nothing but call operations, with the same arguments wherever it runs?"""

# Such a revision can be folded: the operations that it invoked on a shadow are those that it would invoke on every database.
# One that asks the database, the clock, the environment or code of the application is carried as it is written. Names are
# looked up in the loaded module, so that an import under another name deceives nobody.
from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import textwrap
import types
from typing import TYPE_CHECKING, Any

import alembic.op

from alembic_safe.history.constant_values import BUILTINS, NOT_PURE, is_constant

if TYPE_CHECKING:
    from collections.abc import Iterable

_OPERATIONS = frozenset({
    "create_table", "drop_table", "rename_table", "add_column", "drop_column", "alter_column", "create_index", "drop_index",
    "create_foreign_key", "create_unique_constraint", "create_check_constraint", "create_primary_key", "drop_constraint",
    "create_exclude_constraint", "create_table_comment", "drop_table_comment", "execute", "batch_alter_table", "f",
})  # fmt: skip
_STATEMENTS = (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For, ast.If, ast.With, ast.Pass, ast.Return,
               ast.ImportFrom, ast.Import, ast.Continue, ast.Break)  # fmt: skip
_NEVER = (ast.Lambda, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
_ASKS_DIALECT = frozenset({"get_bind", "get_context"})


def why_not_constant(module: types.ModuleType, function: str) -> str:
    """Return what a function of a revision does beside calling operations; empty: nothing."""
    found = getattr(module, function, None)
    if found is None:
        return ""
    try:
        _Function(module, found, ()).visit()
    except _Other as other:
        return str(other)
    return ""


class _Other(Exception):
    """Something else is done."""

    def __init__(self, what: str, node: ast.AST | None = None, first: int = 0) -> None:
        line = getattr(node, "lineno", None)
        super().__init__(what if line is None else f"{what}, line {line + first}")


class _Function:
    """One function, and those of the same file that it calls."""

    def __init__(self, module: types.ModuleType, function: Any, callers: tuple[Any, ...]) -> None:
        if not isinstance(function, types.FunctionType) or function.__closure__ or function in callers:
            raise _Other("its function is not a plain one")
        try:
            lines, number = inspect.getsourcelines(function)
        except (OSError, TypeError) as error:
            raise _Other("its source cannot be read") from error
        node = ast.parse(textwrap.dedent("".join(lines))).body[0]
        if not isinstance(node, ast.FunctionDef) or node.decorator_list:
            raise _Other("its function is not a plain one")
        self.module, self.callers, self.first = module, (*callers, function), number - 1
        self.node = node
        self.scope: dict[str, Any] = {}
        self.local = {one.arg for one in [*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs]}
        self.binds: set[str] = set()

    def visit(self) -> None:
        for default in [*self.node.args.defaults, *(one for one in self.node.args.kw_defaults if one is not None)]:
            self.expression(default)
        self.statements(self.node.body)

    def statements(self, body: Iterable[ast.stmt]) -> None:
        for node in body:
            self.statement(node)

    def statement(self, node: ast.stmt) -> None:
        if not isinstance(node, _STATEMENTS):
            raise self.other(f"{type(node).__name__.lower()}", node)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self.imports(node)
        elif isinstance(node, ast.Assign) and self.is_bind(node.value):
            self.keeps_bind(node)
        else:
            for target in _targets(node):
                self.target(target)
            if isinstance(node, ast.With):
                self.batches(node)
            for field in ("value", "test", "iter"):
                value = getattr(node, field, None)
                if value is not None:
                    self.expression(value)
            for field in ("body", "orelse"):
                self.statements(getattr(node, field, []))

    def keeps_bind(self, node: ast.Assign) -> None:
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if len(names) != len(node.targets):
            raise self.other("op.get_bind()", node)
        self.binds.update(names)

    def batches(self, node: ast.With) -> None:
        for item in node.items:
            if not self.is_call_of_op(item.context_expr, {"batch_alter_table"}):
                raise self.other("with ...", node)
            self.batch(item.context_expr)
            if item.optional_vars is not None:
                self.target(item.optional_vars)

    def imports(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import) or node.level or not node.module:
            raise self.other("an import of its own", node)
        try:
            module = importlib.import_module(node.module)
            for alias in node.names:
                self.scope[alias.asname or alias.name] = getattr(module, alias.name)
        except (ImportError, AttributeError) as error:
            raise self.other("an import of its own", node) from error

    def target(self, node: ast.expr) -> None:
        for one in ast.walk(node):
            if isinstance(one, ast.Name):
                if isinstance(one.ctx, ast.Store):
                    self.local.add(one.id)
                else:
                    self.name(one)
            elif isinstance(one, ast.Attribute):
                raise self.other("an attribute is set", one)

    def batch(self, node: ast.expr) -> None:
        assert isinstance(node, ast.Call)  # noqa: S101 - its caller has seen that
        if any(word.arg != "schema" for word in node.keywords) or len(node.args) > 2:
            raise self.other("op.batch_alter_table with more than a table", node)
        for argument in [*node.args, *(word.value for word in node.keywords)]:
            self.expression(argument)

    def expression(self, node: ast.expr) -> None:
        """Look through an expression.

        :raises _Other: at the first thing in it that may come out differently elsewhere.
        """
        if isinstance(node, _NEVER):
            raise self.other(type(node).__name__.lower(), node)
        if self.is_dialect(node):
            pass
        elif isinstance(node, ast.Name):
            self.name(node)
        elif isinstance(node, ast.Call):
            self.call(node)
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            self.comprehension(node)
        else:
            if self.attribute(node):
                return
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self.expression(child)

    def attribute(self, node: ast.expr) -> bool:
        """Look through what is taken out of something; return whether that is a module, which is nothing by itself."""
        if not isinstance(node, ast.Attribute):
            return False
        if self.is_op(node.value) and node.attr not in _OPERATIONS:
            raise self.other(f"op.{node.attr}", node)
        self.resolved(node)
        return isinstance(self.resolved(node.value), types.ModuleType)

    def comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        for generator in node.generators:
            self.expression(generator.iter)
            self.target(generator.target)
            for test in generator.ifs:
                self.expression(test)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.expression(part)

    def call(self, node: ast.Call) -> None:
        function = self.resolved(node.func)
        if self.is_call_of_op(node, {"batch_alter_table"}):
            raise self.other("op.batch_alter_table outside of a with", node)
        if isinstance(function, types.FunctionType) and function.__globals__ is vars(self.module):
            _Function(self.module, function, self.callers).visit()
        else:
            self.expression(node.func)
        for argument in node.args:
            self.expression(argument)
        for word in node.keywords:
            self.expression(word.value)

    def name(self, node: ast.Name) -> None:
        if node.id in self.binds:
            raise self.other("op.get_bind()", node)
        if node.id in self.local:
            return
        value = self.resolved(node)
        if isinstance(value, types.ModuleType) or not is_constant(value):
            raise self.other(node.id, node)
        self.made(node)

    def made(self, node: ast.Name) -> None:
        """Look through what a constant of the file is made of."""
        if node.id in self.scope:
            return
        for one in _module_tree(self.module).body:
            names = {target.id for target in _targets(one) if isinstance(target, ast.Name)}
            if node.id in names and getattr(one, "value", None) is not None:
                inner = _Constant(self.module, self.callers, one.lineno)
                inner.expression(one.value)  # type: ignore[attr-defined]

    def resolved(self, node: ast.expr) -> Any:
        """Return what a name stands for, or an attribute of one; ``_UNKNOWN`` where that shows only when it runs."""
        if isinstance(node, ast.Name):
            if node.id in self.local or node.id in self.binds:
                return _UNKNOWN
            if node.id in self.scope:
                return self.scope[node.id]
            if node.id in vars(self.module):
                return vars(self.module)[node.id]
            if hasattr(builtins, node.id) and node.id in BUILTINS:
                return getattr(builtins, node.id)
            raise self.other(node.id, node)
        if isinstance(node, ast.Attribute):
            value = self.resolved(node.value)
            if isinstance(value, types.ModuleType) and value is not alembic.op:
                found = getattr(value, node.attr, _UNKNOWN)
                if found is _UNKNOWN or node.attr in NOT_PURE or not is_constant(found):
                    raise self.other(f"{value.__name__}.{node.attr}", node)
                return found
        return _UNKNOWN

    def is_op(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id not in self.local and self.resolved(node) is alembic.op

    def is_call_of_op(self, node: ast.expr, names: Iterable[str]) -> bool:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in names
            and self.is_op(node.func.value)
        )

    def is_bind(self, node: ast.expr) -> bool:
        return self.is_call_of_op(node, _ASKS_DIALECT) or (isinstance(node, ast.Name) and node.id in self.binds)

    def is_dialect(self, node: ast.expr) -> bool:
        """Whether it asks for the dialect, which is PostgreSQL's wherever a squash of ours runs."""
        if not isinstance(node, ast.Attribute):
            return False
        if node.attr == "dialect":
            value = node.value
            of_engine = isinstance(value, ast.Attribute) and value.attr == "engine"
            return self.is_bind(value.value if of_engine else value)  # type: ignore[attr-defined]
        return node.attr == "name" and self.is_dialect(node.value)

    def other(self, what: str, node: ast.AST) -> _Other:
        return _Other(what, node, self.first)


class _Constant(_Function):
    """The value of a constant of the file."""

    def __init__(self, module: types.ModuleType, callers: tuple[Any, ...], line: int) -> None:
        del line
        self.module, self.callers, self.first = module, callers, 0
        self.scope, self.local, self.binds = {}, set(), set()


_UNKNOWN = object()


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.For)) else []


def _module_tree(module: types.ModuleType) -> ast.Module:
    try:
        return ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError) as error:
        raise _Other("its source cannot be read") from error
