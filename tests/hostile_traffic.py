"""The changes of the applications once more, with names that have to be quoted, in a schema that no search path finds."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import Any

from alembic_safe.database.statements import quoted
from alembic_safe.operations.statement_text import for_text
from tests.application_cases import CASES, App, Column, Traffic

SCHEMA = 'S"ch e%ma x:y'
_LONG = "Ä.\"x% :'"

# what a foreign key refers to has no dot in its name: SQLAlchemy and Alembic take that for the end of the table's
NAMES = {
    "items": 'Or"der 50% x:y', "parts": "sel.ect", "teams": 'T e"am%s:x', "details": "Dé tail.s %% '\"", "logs": "Logs: 5%",
    "part_1": "part_1 %:x", "part_2": 'part_2."y', "id": 'I"d 1% :x', "note": "order", "nick": "Nick %:n",
    "handle": _LONG + "n" * (63 - len(_LONG.encode())), "code": 'C.o"de %s', "number": "No. 50%", "amount": "Am:ount %(x)s",
    "name": "Na me", "first": "user", "last": "LAST", "phone": 'ph"o.ne :x', "remark": "re'mark%", "status": 'sta"tus .%:x',
    "fax": "Fa x", "mail": "m%", "score": "s:c", "slug": "group", "token": 'to"ken', "kind": "Kind.%", "team": 't"eam % :y',
    "item": "i.t%em", "no": "No", "word": "w.or\"d %:'", "by_note": 'by "note" %:x.',
    "positive": "po%s: .", "one": "1 %:\"o'ne.",
}  # fmt: skip
"""By the plain name of a table, column, enum or constraint."""
_WORD = re.compile(r"'(?:[^']|'')*'|(?<![\w:])::(?P<cast>status)\b|\b(?P<word>[a-z_][a-z_0-9]*)\b(?!\()")
_TABLES = ("items", "parts", "teams", "details", "logs", "part_1", "part_2")
_SQL = ("up", "down", "fill")


def in_sql(sql: str) -> str:
    """Return SQL with every name that is known here as it is called in truth."""

    def said(found: re.Match[str]) -> str:
        word = found["word"]
        if found["cast"]:
            return f"::{quoted(SCHEMA, NAMES['status'])}"
        if word in _TABLES:
            return quoted(SCHEMA, NAMES[word])
        return quoted(NAMES[word]) if word in NAMES else found[0]

    return _WORD.sub(said, sql)


class _Models(ast.NodeTransformer):
    """The models with other names."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id  # type: ignore[attr-defined]
        if called == "ForeignKey":
            table, _, column = node.args[0].value.partition(".")  # type: ignore[attr-defined]
            told = f"sa.ForeignKey(metadata.tables[{SCHEMA + '.' + NAMES[table]!r}].c[{NAMES[column]!r}])"
            return ast.parse(told, mode="eval").body
        if called == "moved_from":
            table, _, column = node.args[0].value.partition(".")  # type: ignore[attr-defined]
            node.args[0] = ast.Constant(NAMES[column])
            node.keywords.append(ast.keyword("table", ast.Constant(NAMES[table])))
        self.generic_visit(node)
        if called == "Table":
            node.keywords.append(ast.keyword("schema", ast.Constant(SCHEMA)))
        if called == "Enum":
            node.keywords.append(ast.keyword("schema", ast.Constant(SCHEMA)))
        if called in ("CheckConstraint", "text"):
            node.args[0] = ast.Constant(for_text(in_sql(node.args[0].value)))  # type: ignore[attr-defined]
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        if node.arg in ("up", "down"):
            node.value = _each(node.value)
        elif node.arg == "postgresql_partition_by":
            # SQLAlchemy hands this over to the driver as it is
            node.value = ast.Constant(in_sql(node.value.value).replace("%", "%%"))  # type: ignore[attr-defined]
        elif node.arg != "server_default":
            self.generic_visit(node)
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        for n, key in enumerate(node.keys):
            said: Any = key.value if isinstance(key, ast.Constant) else ""
            if said in _SQL:
                node.values[n] = _each(node.values[n])
            elif said != "enum":
                node.keys[n], node.values[n] = self.visit(key), self.visit(node.values[n])  # type: ignore[arg-type]
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(NAMES.get(node.value, node.value)) if isinstance(node.value, str) else node


def _each(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Tuple):
        return ast.Tuple([_each(one) for one in node.elts], ast.Load())
    return ast.Constant(in_sql(node.value))  # type: ignore[attr-defined]


def _models(text: str) -> str:
    return ast.unparse(ast.fix_missing_locations(_Models().visit(ast.parse(text)))) + "\n"


def _app(app: App) -> App:
    columns = tuple(Column(NAMES[one.name], one.means, one.make, one.write) for one in app.columns)
    beside = in_sql(app.beside.replace("%s", "'%s'")).replace("%", "%%").replace("'%%s'", "%s")
    return replace(
        app, columns=columns, table=NAMES[app.table], rows=app.means, beside=beside, key=NAMES["id"], schema=SCHEMA
    )


def hostile(case: Traffic) -> Traffic:
    """Return a change with every name of it replaced."""
    return replace(
        case, before=_models(case.before), after=_models(case.after), old=_app(case.old), new=_app(case.new),
        seed=in_sql(case.seed), unsaid=in_sql(case.unsaid),
    )  # fmt: skip


HOSTILE = {name: hostile(case) for name, case in CASES.items()}
