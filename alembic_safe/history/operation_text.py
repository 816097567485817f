"""How does an operation of Alembic's stand in a revision file, so that it says the same there?"""

from __future__ import annotations

import ast
import re
import warnings
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.autogenerate import render
from alembic.autogenerate.api import AutogenContext
from alembic.operations import Operations, ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from alembic_safe.history.python_text import call, execute_given, string
from alembic_safe.history.recording import same_statements, sql_in, sql_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_MARK = re.compile(r"__string_(\d+)__")
_IMPORT = re.compile(r"(?:from\s+\S+\s+)?import\s+")


class OperationText:
    """Writes operations, as ``env.py`` configures autogenerate to write them."""

    def __init__(self, context: MigrationContext) -> None:
        options = {"sqlalchemy_module_prefix": "sa.", "alembic_module_prefix": "op.", "user_module_prefix": None,
                   "render_item": None, "render_as_batch": False} | context.opts  # fmt: skip
        options |= {"alembic_module_prefix": "op.", "render_as_batch": False}
        self.context = context
        # the dialect of a driver with % parameters would double every % in an expression
        dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call,unused-ignore]
        writing = MigrationContext(dialect, None, {**context.opts, "as_sql": False})
        self.autogen = AutogenContext(writing, metadata=sa.MetaData(), opts=options)

    def text(self, operation: ops.MigrateOperation) -> str:
        """Return the lines of one operation.

        :raises Exception: whatever a type of the application's own raises while it is written.
        """
        if isinstance(operation, ops.ExecuteSQLOp):
            return execute_given(str(operation.sqltext))
        if isinstance(operation, ops.RenameTableOp):
            return call(
                "op.rename_table", [string(operation.table_name), string(operation.new_table_name), *_schema(operation)]
            )
        if isinstance(operation, ops.CreatePrimaryKeyOp):
            name = _name(operation.constraint_name)
            columns = "[" + ", ".join(map(string, operation.columns)) + "]"
            return call("op.create_primary_key", [name, string(operation.table_name), columns, *_schema(operation)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = render.render_op_text(self.autogen, operation)
        if isinstance(operation, ops.AlterColumnOp) and operation.kw.get("postgresql_using"):
            text = f"{text.rstrip()[:-1]}, postgresql_using={string(operation.kw['postgresql_using'])})"
        return tidy(text)

    def imports(self, operations: Iterable[ops.MigrateOperation]) -> list[str]:
        """Return the lines that import what the operations were written with."""
        found = {line for line in self.autogen.imports if _IMPORT.match(line)}
        if self.autogen.opts["user_module_prefix"] is None:
            modules = {type(one).__module__ for operation in operations for one in _types(operation)}
            found |= {f"import {module}" for module in modules if not module.startswith("sqlalchemy")}
        return sorted(found)

    def why_not_same(self, operations: Sequence[ops.MigrateOperation], sql: Sequence[str]) -> str:
        """Write operations, let Alembic make SQL of what is written, and say in what that differs; empty: in nothing.

        :param sql: what Alembic made of the operations that were invoked.
        """
        try:
            code = "\n".join(self.text(one) for one in operations)
            got = sql_in(self.context, lambda op: self._run(code, op, operations))
        except Exception as error:  # noqa: BLE001 - a type of the application's own: its revision is carried as it is written
            return f"{type(error).__name__}: {' '.join(str(error).split())}"
        return "" if same_statements(got, sql) else "what is written of it makes other statements"

    def why_not_written(self, operations: Sequence[ops.MigrateOperation]) -> str:
        """Say why operations cannot be written as they are; empty: they can."""
        return self.why_not_same(operations, [text for one in operations for text in sql_of(one, self.context)])

    def same_as_written(self, operation: ops.MigrateOperation) -> bool:
        """Whether an operation that came out of others says the same once it is written."""
        return not self.why_not_same([operation], sql_of(operation, self.context))

    def _run(self, code: str, op: Operations, operations: Sequence[ops.MigrateOperation]) -> None:
        scope: dict[str, Any] = {"op": op, "sa": sa}
        exec("\n".join(self.imports(operations)), scope)  # noqa: S102 - lines that we wrote ourselves
        exec(compile(code, "<squash>", "exec"), scope)  # noqa: S102 - the same


def _schema(operation: Any) -> list[str]:
    return [f"schema={string(str(operation.schema))}"] if operation.schema else []


def _name(name: Any) -> str:
    if name is None:
        return "None"
    return f"op.f({string(str(name))})" if type(name).__name__ == "conv" else string(str(name))


def _types(operation: Any) -> Iterator[TypeEngine[Any]]:
    parts = [*getattr(operation, "columns", ()), getattr(operation, "column", None)]
    found = [part.type for part in parts if isinstance(part, Column)]
    found += [
        one for one in (getattr(operation, "modify_type", None), getattr(operation, "existing_type", None)) if one
    ]
    for one in found:
        yield one if isinstance(one, TypeEngine) else one()


def tidy(code: str) -> str:
    """Return calls as a person writes them: short ones on one line, long ones with a line for each argument."""
    return "\n".join(
        _tidied(node.value) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else ast.unparse(node)
        for node in ast.parse(code).body
    )


def _tidied(node: ast.Call) -> str:
    arguments = [_argument(one) for one in node.args]
    arguments += [
        f"{one.arg}={_argument(one.value)}" if one.arg else f"**{_argument(one.value)}" for one in node.keywords
    ]
    return call(ast.unparse(node.func), arguments)


def _argument(node: ast.expr) -> str:
    texts: list[str] = []

    class Marks(ast.NodeTransformer):
        def visit_Constant(self, constant: ast.Constant) -> ast.expr:
            if not isinstance(constant.value, str):
                return constant
            texts.append(string(constant.value))
            return ast.Name(f"__string_{len(texts) - 1}__", ast.Load())

    marked = ast.unparse(Marks().visit(node))
    return _MARK.sub(lambda found: texts[int(found[1])], marked)
