"""The rules of the house, held against every file: rooms, names, docstrings, sizes, quoting."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "alembic_safe"
FILES = sorted(path for path in PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

# what each room may import besides itself; "" is the ground floor (settings, errors and the package itself)
GROUND = frozenset({"", "settings", "errors"})
BELOW = GROUND | {"database", "inspecting", "operations"}
ALLOWED = {
    "settings": GROUND,
    "errors": GROUND,
    "command_names": frozenset(),
    "database": BELOW,
    "inspecting": BELOW,
    "operations": BELOW,
    "authoring": BELOW,
    "deploying": BELOW | {"plugin"},  # what has to stand where nothing else of ours can be imported
    "history": BELOW,
    "reporting": BELOW | {"deploying", "authoring", "history"},
    "commands": BELOW | {"deploying", "authoring", "history", "reporting", "command_names"},
    # the doors import what they open into, late: that nothing is imported early has a test of its own
    "plugin": BELOW | {"deploying", "reporting", "commands", "command_names"},
    "__main__": frozenset({"commands"}),
    "": GROUND | {"authoring"},  # what a user imports of it, late
}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(module: str) -> str:
    """Return the room of a module of ours: ``alembic_safe.database.guard`` -> ``database``."""
    return module.split(".")[1] if "." in module else ""


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(tree: ast.AST) -> list[str]:
    """Return every module of ours that a file imports, early, late or for its types."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "alembic_safe":
            found += [f"alembic_safe.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            found.append(node.module or "")
    ours = [module for module in found if module == "alembic_safe" or module.startswith("alembic_safe.")]
    # `from alembic_safe import __version__` names no room
    return [module for module in ours if room_of(module) in ALLOWED]


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def test_no_room_imports_back_up() -> None:
    wrong = [
        f"{named(path)} imports {module}"
        for path, tree in TREES.items()
        for module in imports(tree)
        if room_of(module) not in ALLOWED[room(path)] | {room(path)}
    ]
    assert wrong == []


def test_no_file_imports_one_that_imports_it() -> None:
    """Early, late, or through others; for its types alone a file may. The package's own face stands outside of it."""
    files = {module_of(path): path for path in FILES if path != PACKAGE / "__init__.py"}
    above = {module: imported(TREES[path], set(files)) - {module} for module, path in files.items()}
    while True:  # what imports nothing that is left is in no circle, and neither is what only imports such
        free = [module for module, others in above.items() if not others & above.keys()]
        if not free:
            break
        for module in free:
            del above[module]
    assert sorted(above) == []


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(tree: ast.AST, known: set[str]) -> set[str]:
    """Return the files that a file imports when it runs, not only for its types."""
    types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:  # `from a_room import a_file` asks for that file
                file = f"{node.module}.{alias.name}"
                found.add(file if file in known else node.module or "")
    return found & known


def test_every_room_is_known() -> None:
    assert {room(path) for path in FILES} <= set(ALLOWED)


@pytest.mark.parametrize("name", ["plugin.py", "__init__.py"])
def test_what_alembic_loads_imports_the_standard_library_only(name: str) -> None:
    early: list[str] = []
    todo: list[ast.stmt] = list(TREES[PACKAGE / name].body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            early += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            early.append(node.module or "")
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):  # a class body runs at import, too
            todo += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    assert early
    assert {module.split(".")[0] for module in early} <= sys.stdlib_module_names


def test_no_file_is_a_drawer_for_what_has_no_place() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "base", "core"}
    parts = {part for path in FILES for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert parts & drawers == set()
    classes = [node.name for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert [name for name in classes if re.search(r"(Manager|Helper|Handler|Utils?)$", name)] == []


def first_sentence(path: Path) -> str:
    docstring = ast.get_docstring(TREES[path])
    assert docstring, f"{named(path)} says nothing of itself"
    return " ".join(docstring.split("\n\n")[0].split())


def map_of_the_house() -> dict[str, str]:
    """Return the rows of the map in CONTRIBUTING.md: file -> what it answers."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text[text.index("## Map of the house") :]
    rows = re.findall(r"^\| `([^`]+\.py)` \| (.+) \|$", section, re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a file stands in the map twice"
    return {name: about.replace("\\|", "|") for name, about in rows}


def test_the_map_of_the_house_says_what_each_file_says_of_itself() -> None:
    said = {named(path).removeprefix("alembic_safe/"): first_sentence(path) for path in FILES}
    drawn = map_of_the_house()
    assert sorted(said.keys() - drawn.keys()) == [], "not in the map"
    assert sorted(drawn.keys() - said.keys()) == [], "in the map, and not in the house"
    assert {name: (drawn[name], said[name]) for name in said if drawn[name] != said[name]} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{named(path)}:{function.lineno} {function.name}: {length} lines"
        for path, tree in TREES.items()
        for function in functions(tree)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > 70
    ]
    assert long == []


# --- names in SQL ----------------------------------------------------------------------------------------------------

SQL = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE|ALTER|DROP|TRUNCATE|GRANT|REVOKE|COMMENT ON|SET|LOCK|WITH|ANALYZE)\s"
)
QUOTED = {"quoted", "name_of", "literal", "table", "quote_identifier", "quote", "Identifier", "Literal"}
"""Functions whose result may stand in SQL as it is."""


JUDGED = {
    "alembic_safe/authoring/change_columns.py": {
        "cast": "a quoted column, and a type as the server writes it", "type_": "a type as the server writes it",
    },
    "alembic_safe/authoring/change_operations.py": {
        "expression": "SQL that a person typed behind --fill, to be run as it is",
    },
    "alembic_safe/authoring/default_casts.py": {
        "verbatim(one)": "a default as the server writes it", "verbatim(name)": "a type as its compiler writes it",
    },
    "alembic_safe/authoring/enum_labels.py": {"row['definition']": "written by the server"},
    "alembic_safe/authoring/push_findings.py": {
        "self._rows_of(id_)": "made of quoted names alone", "changed": "a quoted column and types as the server writes them",
        "through_text": "the same", "new": "a type as the server writes it", "column": "quoted where it is handed over",
        "columns": "written by the server: pg_get_constraintdef(), pg_get_indexdef()", "where": "the same, or quoted names",
        "having": "the same", "groups": "made of these", "rows_of": "made of quoted names alone",
    },
    "alembic_safe/authoring/push_returning.py": {"valid": "a type as the server writes it, in a literal"},
    "alembic_safe/database/copying_pacing.py": {"verbatim(sql)": "the user's own condition, to be asked as it is"},
    "alembic_safe/database/copying_ranges.py": {"key_text(leaf)": "quoted names", "leaf.columns": "quoted in the property"},
    "alembic_safe/database/copying_verify.py": {
        "counts": "the formulas of a sync", "source": "a quoted table, and a condition of quoted names",
        "key_text(leaf)": "quoted names", "self.condition": "the formulas of a sync",
    },
    "alembic_safe/database/copying_walk.py": {
        "key_text(self.leaf)": "quoted names", "self.leaf.columns": "the same", "condition": "a condition of quoted names",
        "source": "a query of quoted names",
    },
    "alembic_safe/database/failures.py": {"blocker.pid": "a number from the server"},
    "alembic_safe/database/grants.py": {
        "self.who": "quoted in the property", "target.who": "quoted in the property",
        "row['kind'].upper()": "one of four words of a query", "row['identity']": "quoted by pg_identify_object()",
        "kind": "one of two words", "row['oid']": "a number", "row['privileges']": "made of privilege names by a query",
    },
    "alembic_safe/database/timeouts.py": {
        "_milliseconds(self.lock_timeout)": "a number", "before": "a number", "after": "a number",
    },
    "alembic_safe/inspecting/data_failures.py": {
        "rows": "made of quoted names alone", "self._rows(relation)": "the same", "groups": "made of these",
        "columns": "quoted names, or written by the server: pg_get_indexdef()", "nulls": "made of these",
        "where": "quoted names, or written by the server: pg_get_constraintdef(), pg_get_indexdef()", "found.where": "the same",
        "match['it']": "written by the server: pg_get_constraintdef()", "what": "made of quoted names",
    },
    "alembic_safe/inspecting/live_facts.py": {"', ' + counts if counts else ''": "made of quoted names"},
    "alembic_safe/inspecting/type_failures.py": {
        "expression": "a type as the server writes it, or the USING of the reviewed revision, in a transaction that cannot"
        " write",
        "one.rows": "made of quoted names alone",
        "where": "quoted names, and types and formulas as the server writes them",
    },
    "alembic_safe/deploying/backup_contents.py": {"role": "quoted by psycopg"},
    "alembic_safe/deploying/restore_target.py": {"quoted": "quoted by psycopg"},
    "alembic_safe/history/seeding.py": {
        "value": "a number from the server", "unquoted(quoted(table.id.schema, table.id.name))": "quoted where it has to be",
    },
}  # fmt: skip
"""What the search cannot see through, and why each may stand in SQL; a new one is looked at by a person first."""


WRITTEN_BY_THE_SERVER = re.compile(r"difference_sql(_\w+)?\.py")
"""Files that put statements together from what format_type(), pg_get_constraintdef() and their kin printed: quoted by
the server. Their own tests rebuild a database with hostile names from them."""


NOT_SEARCHED = frozenset({"operations"})
"""Rooms whose statements are put together from types, conditions and formulas of a revision: no search can judge these;
hostile names in that room's own tests do."""


def assignments(function: ast.AST) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                names, values = [target], [node.value]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    names, values = list(target.elts), list(node.value.elts)
                for name, value in zip(names, values, strict=False):
                    if isinstance(name, ast.Name):
                        found.setdefault(name.id, []).append(value)
    return found


def is_safe(value: ast.expr, known: dict[str, list[ast.expr]]) -> bool:
    """Whether an expression in an SQL text is a quoted name, a constant, a number, or made of these."""
    if isinstance(value, ast.Call):
        function = value.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name == "join":
            return True  # of parts that are f-strings or calls themselves, and judged where they stand
        return name in QUOTED or name in {"int", "float", "round", "max", "len"}
    if isinstance(value, ast.Constant):
        return True
    if isinstance(value, ast.Attribute):
        return value.attr == "quoted"  # a record that holds its name in that form, too
    if isinstance(value, ast.IfExp):
        return is_safe(value.body, known) and is_safe(value.orelse, known)
    if isinstance(value, ast.JoinedStr):
        return all(is_safe(p.value, known) for p in value.values if isinstance(p, ast.FormattedValue))
    if isinstance(value, (ast.Subscript, ast.DictComp)):
        return is_safe(value.value, known)
    if isinstance(value, ast.Name):
        if value.id in known:
            return all(is_safe(one, known) for one in known[value.id])
        return re.fullmatch(r"_?[A-Z][A-Z0-9_]*", value.id) is not None
    return False


def unquoted_in(tree: ast.Module, judged: Iterable[str] = ()) -> list[tuple[int, str, str]]:
    """Return line, text and culprit of every f-string that begins like SQL and holds what nobody quoted.

    What stands outside functions is made once, at import, when no name of a user's is known yet.
    """
    found = set()
    for function in functions(tree):
        known = assignments(function)
        for node in ast.walk(function):
            if not isinstance(node, ast.JoinedStr) or not node.values:
                continue
            first = node.values[0]
            if not (isinstance(first, ast.Constant) and SQL.match(str(first.value))):
                continue
            for part in node.values:
                if isinstance(part, ast.FormattedValue) and not is_safe(part.value, known):
                    found.add((node.lineno, ast.unparse(node), ast.unparse(part.value)))
    return sorted(one for one in found if one[2] not in judged)


def test_no_name_reaches_sql_without_being_quoted() -> None:
    wrong = [
        f"{named(path)}:{line} {culprit} in {text[:120]}"
        for path, tree in TREES.items()
        if not WRITTEN_BY_THE_SERVER.match(path.name) and room(path) not in NOT_SEARCHED
        for line, text, culprit in unquoted_in(tree, JUDGED.get(named(path), ()))
    ]
    assert wrong == []


def test_nothing_is_judged_that_is_not_there() -> None:
    seen = {(named(path), culprit) for path, tree in TREES.items() for _, _, culprit in unquoted_in(tree)}
    assert {(file, culprit) for file, culprits in JUDGED.items() for culprit in culprits} <= seen


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ("def f(name):\n    return f'DROP TABLE {name}'", True),
        ("def f(name):\n    return f'SELECT * FROM {name.lower()}'", True),
        ("def f(name):\n    return f'SELECT * FROM {quoted(name)}'", False),
        ("def f(name):\n    who = quoted(name)\n    return f'GRANT x TO {who}'", False),
        ("def f(name):\n    who = name\n    return f'GRANT x TO {who}'", True),
        ("def f(j):\n    return f'INSERT INTO {j.table(\"x\")} VALUES (1)'", False),
        ("def f(name):\n    return f'Nothing of {name} was changed'", False),
    ],
)
def test_the_search_for_unquoted_names_finds_what_it_should(source: str, caught: bool) -> None:
    assert bool(unquoted_in(ast.parse(source))) is caught
