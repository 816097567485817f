"""What stands in the file of a squash?"""

from __future__ import annotations

import ast
import contextlib
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alembic
from alembic import util
from alembic.script import Script, write_hooks
from alembic.script.revision import tuple_rev_as_scalar

from alembic_safe.database.squashed import ARCHIVE
from alembic_safe.errors import NextStep, WrongUsage
from alembic_safe.history.piece import SECTIONS
from alembic_safe.history.python_text import INDENT, indented, string
from alembic_safe.history.request import Made

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from alembic.script import ScriptDirectory

    from alembic_safe.history.extent import Extent
    from alembic_safe.history.piece import Wanted
    from alembic_safe.history.trial import Settled

_EMPTY = """\
SELECT min(n.nspname || '.' || c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname IN ({schemas}) AND c.relname <> {version_table}
AND c.relname NOT LIKE 'alembic_safe%'
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"""
_TEMPLATES = frozenset(
    {"from alembic import op", "import sqlalchemy as sa", "from sqlalchemy.dialects import postgresql"}
)
"""Imports that the template has, or that are added by themselves."""


@dataclass(frozen=True)
class Words:
    """What the file says of itself.

    :param down: the revisions before it; empty: it is the first one.
    :param replaces: the ids that it stands for, its own aside.
    :param digest: the hash of all the files that it stands for.
    """

    revision: str
    message: str
    down: tuple[str, ...]
    labels: tuple[str, ...]
    depends_on: tuple[str, ...]
    replaces: tuple[str, ...]
    digest: str


def upgrade_body(settled: Sequence[Settled], wanted: Wanted, prelude: Sequence[str], *, must_be_empty: bool) -> str:
    """Return the lines of ``upgrade()``, under a heading for each kind of object."""
    parts = [_nothing_there(wanted)] if must_be_empty else []
    if prelude:
        parts.append("\n".join(["# made anew each time, and the same wherever it stands", *prelude]))
    for section in SECTIONS:
        found = [one.form.code for one in settled if one.piece.section == section]
        if found:
            parts.append("\n".join([f"# {section}", *found]))
    return "\n\n".join(parts)


def _nothing_there(wanted: Wanted) -> str:
    from alembic_safe.inspecting.difference_sql_names import literal

    schemas = sorted({id_.schema for id_ in wanted.catalog.objects if id_.kind == "table"} | {wanted.default_schema})
    asked = _EMPTY.format(
        schemas=", ".join(literal(schema) for schema in schemas), version_table=":version_table"
    ).replace("'pg_class'::", "'pg_class'::")
    return (
        "# It makes a whole database, so nothing may be there yet.\n"
        "if not op.get_context().as_sql:\n"
        f"{INDENT}there = op.get_bind().scalar(\n{INDENT * 2}sa.text(\n"
        f'{INDENT * 3}"""{asked}"""\n{INDENT * 2}).bindparams(version_table=op.get_context().version_table)\n{INDENT})\n'
        f"{INDENT}if there is not None:\n"
        f'{INDENT * 2}raise RuntimeError(f"This revision makes a whole database, and something is there already: {{there}}")'
    )


def made_of(settled: Sequence[Settled]) -> Made:
    """Count what a squash is made of."""
    calls: Counter[str] = Counter(one.piece.section for one in settled if one.form.is_call)
    statements: Counter[str] = Counter(one.piece.section for one in settled if not one.form.is_call)
    return Made(
        calls.total(), statements.total(),
        tuple((section, calls[section], statements[section]) for section in SECTIONS if calls[section] + statements[section]),
        tuple((str(one.piece.objects[0]), one.why) for one in settled if one.why and not one.form.is_call),
    )  # fmt: skip


def docstring_of(extent: Extent) -> str:
    """Return what stands below the message."""
    first = extent.revisions[0]
    return (
        f"Stands for {len(extent.revisions)} revisions, from {first.revision} to {extent.end.revision}, and makes what they\n"
        f"make of an empty database. Their files are in {ARCHIVE}/{extent.end.revision}/; a database on one of them is\n"
        "upgraded by those. `alembic squash --check` proves it again."
    )


@dataclass(frozen=True)
class Above:
    """What stands in the file above its functions.

    :param imports: lines; :param parts: functions and what they use.
    """

    imports: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


def write(
    script: ScriptDirectory,
    path: Path,
    words: Words,
    upgrade: str,
    downgrade: str,
    docstring: str,
    above: Above = Above(),
) -> Script:
    """Write the file through the project's own template, and its own hooks behind it.

    :raises WrongUsage: when the template makes no revision of it.
    """
    code = "\n".join([upgrade, downgrade, *above.parts])
    imports = [line for line in above.imports if line not in _TEMPLATES and "__future__" not in line]
    if "postgresql." in code:
        imports.append("from sqlalchemy.dialects import postgresql")
    template = _template(script)
    if "import sqlalchemy as sa" not in template.read_text(encoding="utf-8"):
        imports.insert(0, "import sqlalchemy as sa")
    down: Any = tuple_rev_as_scalar(words.down or None)
    said = f"{words.message}\n\n{docstring}"
    with contextlib.redirect_stdout(sys.stderr), _quiet(script):
        script._generate_template(  # noqa: SLF001 - what generate_revision() itself calls
            template, path, up_revision=words.revision, down_revision=down,
            branch_labels=words.labels or None, depends_on=tuple_rev_as_scalar(words.depends_on or None),
            create_date=script._generate_create_date(), comma=util.format_as_comma,  # noqa: SLF001
            message=said, upgrades=_body(upgrade), downgrades=_body(downgrade),
            imports="\n".join(imports),
        )  # fmt: skip
        _say_it_once(path, said, words.message, script.output_encoding)
        _say_what_it_replaces(path, words, script.output_encoding, above.parts)
        _from_the_future(path, above.imports, script.output_encoding)
        if script.hooks:
            write_hooks._run_hooks(path, script.hooks)  # noqa: SLF001 - the same
    found = Script._from_path(script, path)  # noqa: SLF001 - the same
    if found is None or getattr(found.module, "replaces", None) != words.replaces or not _says(found.module, words):
        raise WrongUsage(
            f"The template {template.name} makes no revision file: it must hold revision, down_revision and depends_on.",
            next_steps=[NextStep("see Alembic's own template", "alembic init --template generic somewhere_else")],
        )
    return found


def _template(script: ScriptDirectory) -> Path:
    """Return the project's template, or Alembic's where it has none: what is only deployed may come without."""
    own = Path(script.dir, "script.py.mako")
    return own if own.exists() else Path(alembic.__path__[0], "templates", "generic", own.name)


@contextlib.contextmanager
def _quiet(script: ScriptDirectory) -> Any:
    before = script.messaging_opts
    script.messaging_opts = {"quiet": True}
    try:
        yield
    finally:
        script.messaging_opts = before


def _body(code: str) -> str:
    # the template indents the first line itself
    return indented(code or "pass").removeprefix(INDENT)


def _say_it_once(path: Path, said: str, message: str, encoding: str) -> None:
    """Leave only the message where a template says it again, as in the docstrings of the functions."""
    first, found, rest = path.read_text(encoding=encoding).partition(said)
    path.write_text(first + found + rest.replace(said, message), encoding=encoding)


def _from_the_future(path: Path, imports: Sequence[str], encoding: str) -> None:
    """Put what has to be the first line of a file where it has to be."""
    text = path.read_text(encoding=encoding)
    wanted = [line for line in dict.fromkeys(imports) if "__future__" in line and line not in text]
    if wanted:
        lines = text.splitlines(keepends=True)
        first = ast.parse(text).body[0]
        at = first.end_lineno or 0 if ast.get_docstring(ast.parse(text)) is not None else first.lineno - 1
        lines.insert(at, "\n" + "".join(f"{line}\n" for line in wanted))
        path.write_text("".join(lines), encoding=encoding)


def _ids(words: Words) -> dict[str, Any]:
    """Return what a revision file says of itself, by the names under which Alembic looks for it."""
    return {
        "revision": words.revision, "down_revision": tuple_rev_as_scalar(words.down or None),
        "branch_labels": words.labels or None, "depends_on": tuple_rev_as_scalar(words.depends_on or None),
    }  # fmt: skip


def _says(module: Any, words: Words) -> bool:
    return all(util.to_tuple(getattr(module, name, None)) == util.to_tuple(id_) for name, id_ in _ids(words).items())


def _assigned(text: str, names: Container[str]) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that a file gives a value to, with these."""
    for node in ast.parse(text).body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name) and target.id in names:
                    yield target.id, node.value


def _with_ids(text: str, words: Words) -> str:
    """Return the text of a file with the ids that it should say: a template may put quotes around None, or around several."""
    meant = _ids(words)
    lines = text.splitlines(keepends=True)
    for name, value in reversed(list(_assigned(text, meant))):
        if isinstance(value, (ast.Constant, ast.Tuple, ast.List)) and ast.literal_eval(value) != meant[name]:
            begin, end = value.lineno - 1, (value.end_lineno or value.lineno) - 1
            head = lines[begin].encode()[: value.col_offset].decode()
            tail = lines[end].encode()[value.end_col_offset or 0 :].decode()
            lines[begin : end + 1] = [f"{head}{meant[name]!r}{tail}"]
    return "".join(lines)


def _say_what_it_replaces(path: Path, words: Words, encoding: str, parts: Sequence[str] = ()) -> None:
    """Put the ids that the file stands for behind its own, and parts behind these."""
    text = _with_ids(path.read_text(encoding=encoding), words)
    ends = [value.end_lineno or 0 for _, value in _assigned(text, _ids(words))]
    if not ends:
        return
    lines = text.splitlines(keepends=True)
    ids = "".join(f"{INDENT}{string(one)},\n" for one in words.replaces)
    said = (
        "\n# the revisions that this one stands for; their files are in the archive, and databases on one of them use those\n"
        f"replaces = (\n{ids})\nreplaced_files = {string(words.digest)}\n"
    )
    lines.insert(max(ends), said + "".join(f"\n\n{part}\n" for part in parts))
    path.write_text("".join(lines), encoding=encoding)
