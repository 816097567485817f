"""What are `config`, `context` and the names to import called in this env.py?"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass

from alembic_safe.authoring.wiring_text import Source, TooUnusual


@dataclass(frozen=True)
class Names:
    """The names that an ``env.py`` gave to Alembic's objects.

    :param context: the name of ``alembic.context``.
    :param config: the expression that reads Alembic's configuration.
    """

    context: str
    config: str

    @property
    def handed(self) -> str:
        """The expression for what the caller handed over."""
        return f'{self.config}.attributes.get("connection")'


def names_of(source: Source) -> Names:
    """Read which names the file uses.

    :raises TooUnusual: when the file does not import ``context`` from Alembic.
    """
    context = next(
        (
            alias.asname or alias.name
            for node in ast.walk(source.tree)
            if isinstance(node, ast.ImportFrom) and node.module == "alembic"
            for alias in node.names
            if alias.name == "context"
        ),
        None,
    )
    if context is None:
        raise TooUnusual("it does not say `from alembic import context`")
    config = f"{context}.config"
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.value) == config and isinstance(node.targets[0], ast.Name):
            config = node.targets[0].id
            break
    return Names(context, config)


def calls(source: Source, owner: str, method: str) -> list[ast.Call]:
    """Return the calls ``owner.method(...)``, in the order of the file."""
    found = [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == method
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == owner
    ]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def uses_what_it_is_handed(source: Source) -> bool:
    """Tell whether the file reads ``attributes["connection"]`` anywhere, in whatever form."""
    for node in ast.walk(source.tree):
        key: ast.expr | None = None
        if isinstance(node, ast.Subscript) and _is_attributes(node.value):
            key = node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_attributes(node.func.value):
            key = node.args[0] if node.args else None
        if isinstance(key, ast.Constant) and key.value == "connection":
            return True
    return False


def _is_attributes(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "attributes"


def bound_names(tree: ast.AST) -> set[str]:
    """Return every name that the tree binds anywhere, imports and parameters included."""
    bound: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)
    return bound


def free_name(tree: ast.AST, *wanted: str) -> str:
    """Return the first of the wanted names that nothing in the tree binds.

    :raises TooUnusual: when all of them are taken.
    """
    taken = bound_names(tree)
    for name in wanted:
        if name not in taken:
            return name
    raise TooUnusual(f"the names {', '.join(wanted)} are all taken")


def importing(source: Source, module: str, name: str) -> str:
    """Make a name available at the top of the file, and return what it is called there.

    What is imported already is used; a name that means something else gets an alias.
    """
    imports = [node for node in source.tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    froms = [node for node in imports if isinstance(node, ast.ImportFrom) and not node.level]
    for node in froms:
        if node.module in {module, module.rpartition(".")[0]}:
            for alias in node.names:
                if alias.name == name:
                    return alias.asname or name
    local = name if name not in bound_names(source.tree) else free_name(source.tree, f"Alembic{name}", f"_{name}")
    spelled = name if local == name else f"{name} as {local}"
    same = next((node for node in froms if node.module == module and node.names[0].name != "*"), None)
    if same is not None:
        at = source.start(same.names[0])
        own_line = same.names[0].lineno != same.lineno
        gap = ",\n" + " " * same.names[0].col_offset if own_line else ", "
        source.replace(at, at, spelled + gap)
    else:
        _insert_import(source, froms, module, f"from {module} import {spelled}")
    return local


def _insert_import(source: Source, froms: list[ast.ImportFrom], module: str, line: str) -> None:
    usual = [node for node in froms if node.module != "__future__"]
    root = module.split(".", maxsplit=1)[0]
    family = [node for node in usual if (node.module or "").split(".")[0] == root]
    if family:
        earlier = [node for node in family if (node.module or "") <= module]
        after = max(earlier, key=lambda node: node.lineno) if earlier else None
        source.insert_line((after.end_lineno or after.lineno) + 1 if after else family[0].lineno, line)
    elif root in sys.stdlib_module_names:
        # names_of found an import of Alembic's; if that is not at the top of the file, a person must look
        if not usual:
            raise TooUnusual("it has no import at its top to add one to")
        first = (usual[0].module or "").split(".")[0]
        source.insert_line(usual[0].lineno, line if first in sys.stdlib_module_names else f"{line}\n")
    else:
        if not usual:
            raise TooUnusual("it has no import at its top to add one to")
        source.insert_line((usual[-1].end_lineno or usual[-1].lineno) + 1, line)


def names_no_models(source: Source) -> bool:
    """Tell whether ``target_metadata`` is None wherever the file gives it a value, as Alembic's templates leave it."""
    given = [
        node.value
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "target_metadata" for target in node.targets)
    ]
    return bool(given) and all(isinstance(value, ast.Constant) and value.value is None for value in given)


def uses(source: Source, name: str) -> bool:
    """Tell whether the code says a name, as a variable, an attribute, a function, an import or an argument."""
    said = ("id", "attr", "name", "arg", "asname")
    return any(getattr(node, one, None) == name for node in ast.walk(source.tree) for one in said)
