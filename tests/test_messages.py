"""Every message that we can print, and every command in the docs: harmless, polite in the house's way, and runnable."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from alembic.config import CommandLine

from alembic_safe.command_names import COMMANDS
from alembic_safe.commands import load
from alembic_safe.settings import public_fields, variable_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "alembic_safe").rglob("*.py"))
DOCS = [
    path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
    if path.exists()
]
X = "X"  # stands for what only a run knows

SQL = re.compile(
    r"\s*\(?(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|TRUNCATE|GRANT|REVOKE|COMMENT ON|SET|RESET|SHOW|LOCK|WITH|AND|OR"
    r"|FROM|WHERE|JOIN|ORDER BY|UNION|HAVING|BEGIN|COMMIT|ROLLBACK|EXISTS|LEFT|CASE|VALUES|VACUUM)\b"
)


def filled(node: ast.expr) -> str | None:
    """Return the text of a string in the source, with a dummy for what a run would fill in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(filled(part) or X for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return X
    return None


def docstrings(tree: ast.AST) -> set[int]:
    """Return the nodes that document: first statements, and texts that stand alone behind an assignment."""
    return {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield place and text of every string in a file that is no docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped.update(id(part) for part in ast.walk(node) if part is not node)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Constant, ast.JoinedStr)) and id(node) not in skipped:
            text = filled(node)
            if text:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", text
    # click prints the docstrings of its commands
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any("command" in ast.unparse(d) for d in node.decorator_list):
            yield f"{path.relative_to(ROOT)}:{node.lineno}", ast.get_docstring(node) or ""


ALL_TEXTS = [one for path in FILES for one in texts(path)]
SQL_FILES = re.compile(r"_sql(_\w+)?\.py:")
"""Files that hold statements and pieces of them, and say nothing to a person."""
SQL_TAIL = re.compile(r"(X )+(DROP|SET|ADD|ALTER) (DEFAULT|IDENTITY|CONSTRAINT|NOT NULL)\b")
"""The end of a statement whose beginning is a quoted name."""
HAZARDS = re.compile(r"inspecting/hazards/\w+\.py:")
"""What is dangerous is called by its name there; tests/test_hazards.py holds what is recommended instead."""
MESSAGES = [
    (place, text)
    for place, text in ALL_TEXTS
    if " " in text.strip()
    and not HAZARDS.search(place)
    and not SQL.match(text)
    and not SQL_FILES.search(place)
    and not SQL_TAIL.match(text)
]


def test_there_are_messages_to_read() -> None:
    said = "\n".join(text for _, text in MESSAGES)
    assert len(MESSAGES) > 300
    assert "The database cannot be reached" in said
    assert "is refused here" in said
    assert "Deploy the pending revisions up to REVISION" in said


DESTRUCTIVE = re.compile(
    r"\b(resets?|wipe[sd]?|wiping|--force|forced?|truncat\w+|drops?|dropping|dropdb|recreate|start over|from scratch|delete the"
    r"|rm -r\w*|DROP (TABLE|DATABASE|SCHEMA|COLUMN|ROLE)|downgrade base|stamp --purge)\b",
    re.IGNORECASE,
)
SAID_NOT_SUGGESTED = {
    "stamp --purge": "the name of what is refused",
    "Consent by name, such as drop-column:users.nick.": "the name of a finding",
    "X: no model, no push and no revision made it; --drop-unknown retires it": "the flag keeps the rows, as it says",
    "drop or change them in an earlier line of the same revision, then": "views and the like that stand on a column that"
    " the reviewed revision itself retires",
}


def destroys(text: str) -> bool:
    """Whether a message could lead a person to lose something; a shadow is a throw-away database of our own."""
    found = [match[0].lower() for match in DESTRUCTIVE.finditer(text)]
    if re.search(r"\bshadows?\b", text):
        found = [word for word in found if not re.fullmatch(r"drop(s|ping)?", word)]
    return bool(found) and text not in SAID_NOT_SUGGESTED


def test_no_message_suggests_to_destroy_anything() -> None:
    assert [(place, text[:160]) for place, text in MESSAGES if destroys(text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "reset the database first",
        "use --force",
        "DROP SCHEMA public CASCADE",
        "drop the table by hand",
        "alembic downgrade base",
    ],
)
def test_the_search_for_destruction_finds_it(text: str) -> None:
    assert destroys(text)


def test_no_message_begs_or_shouts() -> None:
    found = [
        (place, text[:160])
        for place, text in MESSAGES
        if re.search(r"\b(please|sorry|oops|unfortunately)\b", text, re.IGNORECASE) or re.search(r"\w!(\s|$)", text)
    ]
    assert found == []


# --- commands --------------------------------------------------------------------------------------------------------


OURS = {name for name, _, _ in COMMANDS}
PROSE = {"...", "\u2026"}
NAMED = "the command "
"""Stands before what prose only names: `alembic upgrade` names a command, and leaves its arguments to the reader."""


def commands_in(text: str) -> list[str]:
    """Return the commands of a message: those to paste, and those that prose names in backticks."""
    whole = re.match(r"alembic (-|[a-z])\S*( |$)", text) and not re.search(r" (is|are|in|runs|has) ", text)
    return ([text] if whole else []) + [f"{NAMED}{found}" for found in re.findall(r"`(alembic [^`]+)`", text)]


def commands_in_docs(path: Path) -> Iterator[tuple[str, str]]:
    text = path.read_text(encoding="utf-8")
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            inside = not inside
            continue
        place = f"{path.relative_to(ROOT)}:{number}"
        if inside:
            for part in re.split(r"&&|\|\||;|\|", line):
                bare = re.sub(r"^(\$ |- |run: |RUN |exec |[A-Z_]+=\S+ )+", "", part.strip())
                if re.match(r"alembic(-safe)? ", bare):
                    yield place, bare
        else:
            for command in re.findall(r"`(alembic(?:-safe)? [^`]+)`", line):
                yield place, NAMED + command


MESSAGE_COMMANDS = sorted({(place, command) for place, text in ALL_TEXTS for command in commands_in(text)})
DOC_COMMANDS = sorted({one for path in DOCS for one in commands_in_docs(path)})


def parse(command: str, file: str) -> None:
    """Parse a command line as the executable would, and run nothing.

    :param file: a file that exists, for where one is named.
    """
    words = [X if word in PROSE else word for word in shlex.split(command, comments=True)]
    if words[0] == "alembic-safe":
        words[0] = "alembic"
    words = [file if re.search(r"\.dump$|^FILE$", word) else word for word in words[1:]]
    if words in (["--help"], ["--version"]):
        return
    stock = CommandLine(prog="alembic").parser
    at = next((number for number, word in enumerate(words) if word in OURS), None)
    if at is None:
        if not hasattr(stock.parse_args(words), "cmd"):
            raise ValueError("a command is missing")
        return
    stock.parse_args([*words[:at], "current"])  # what stands before our command is the executable's own
    name, rest = words[at], words[at + 1 :]
    ours = load(name)
    assert ours is not None
    try:
        with ours.make_context(name, rest, resilient_parsing=False) as context:
            if isinstance(ours, click.Group) and context._protected_args:
                _, sub, more = ours.resolve_command(context, [*context._protected_args, *context.args])
                assert sub is not None
                sub.make_context(sub.name, more, parent=context).close()
    except click.exceptions.Exit as done:  # --help
        assert done.exit_code == 0  # noqa: PT017 - anything else is raised on


def test_every_command_that_a_message_names_parses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "it.dump"
    file.write_bytes(b"")
    assert len(MESSAGE_COMMANDS) > 25
    assert wrong_of(MESSAGE_COMMANDS, str(file), capsys) == []


def test_every_command_in_the_docs_parses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "it.dump"
    file.write_bytes(b"")
    assert len(DOC_COMMANDS) > 10
    assert wrong_of(DOC_COMMANDS, str(file), capsys) == []


def wrong_of(
    commands: list[tuple[str, str]], file: str, capsys: pytest.CaptureFixture[str]
) -> list[tuple[str, str, str]]:
    wrong = []
    for place, command in commands:
        if command == "alembic --raiseerr":  # said of "the same command with" it
            continue
        named = command.startswith(NAMED)
        try:
            parse(command.removeprefix(NAMED), file)
        except SystemExit:  # argparse has said why
            why = capsys.readouterr().err.strip().splitlines()[-1]
            if not (named and "arguments are required" in why):
                wrong.append((place, command, why))
        except (click.MissingParameter, click.exceptions.NoArgsIsHelpError) as error:
            if not named:
                wrong.append((place, command, str(error)))
        except (click.ClickException, ValueError) as error:
            wrong.append((place, command, str(error) or type(error).__name__))
    return wrong


@pytest.mark.parametrize(
    "command",
    ["alembic no-such-command", "alembic safe-upgrade --no-such-option", "alembic upgrade", "alembic safe-guard get",
     "alembic safe-guard grant --ttl 10m", "alembic safe-upgrade --lock-wait soon"],
)  # fmt: skip
def test_a_command_that_does_not_exist_does_not_parse(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wrong_of([("here", command)], str(tmp_path), capsys) != []


# --- settings, variables, options ------------------------------------------------------------------------------------

VARIABLES = {variable_of(name) for name in public_fields()}
TOLD = {f"ALEMBIC_SAFE_BACKUP_{word}" for word in ("DATABASE", "HOST", "PORT", "USER", "REVISION", "SCOPE", "DIR")}


def everything_said() -> list[tuple[str, str]]:
    return ALL_TEXTS + [(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in DOCS]


def test_every_variable_that_is_named_exists() -> None:
    named = {
        (place, name)
        for place, text in everything_said()
        for name in re.findall(r"ALEMBIC_SAFE_[A-Z][A-Z_]*[A-Z]", text)
        if not name.startswith("ALEMBIC_SAFE_TEST")
    }
    assert len({name for _, name in named}) > 4
    assert {
        (place, name) for place, name in named if name not in VARIABLES | TOLD | {f"ALEMBIC_SAFE_BACKUP_{X}"}
    } == set()


def test_every_setting_that_is_named_exists() -> None:
    named = {
        (place, name)
        for place, text in everything_said()
        for name in re.findall(r"\bsettings? `?([a-z]+(?:_[a-z]+)+)\b", text)
    }
    assert {name for _, name in named} >= {"backup_command"}
    assert {(place, name) for place, name in named if name not in public_fields() and name != "alembic_safe"} == set()


OTHERS_OPTIONS = {
    "--exclude-schema": "pg_dump", "--exclude-table": "pg_dump", "--raiseerr": "alembic", "--sql": "alembic",
    "--autogenerate": "alembic", "--upgrade": "pip", "--purge": "alembic", "--all": "git", "--include-untracked": "git",
}  # fmt: skip


def options_of_ours() -> set[str]:
    found = set()
    for name, _, _ in COMMANDS:
        command = load(name)
        assert command is not None
        todo: list[click.Command] = [command]
        while todo:
            one = todo.pop()
            todo += one.commands.values() if isinstance(one, click.Group) else []
            for parameter in one.params:
                found |= {*parameter.opts, *parameter.secondary_opts}
    return found | {"--help"}


def test_every_option_that_a_message_names_exists() -> None:
    known = options_of_ours() | set(OTHERS_OPTIONS)
    named = {(place, name) for place, text in MESSAGES for name in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text)}
    assert {(place, name) for place, name in named if name not in known} == set()
