"""How do strings and statements stand in a revision file so that a person can read them?"""

from __future__ import annotations

import io
import tokenize

from alembic_safe.operations.statement_text import for_text, literal

INDENT = "    "
_WIDE = 96


def string(text: str) -> str:
    """Return a string literal, in double quotes where that needs no backslash more, as formatters have it."""
    plain = repr(text)
    return f'"{plain[1:-1]}"' if plain.startswith("'") and '"' not in text else plain


def execute(statement: str) -> str:
    """Return a call of ``op.execute`` with a statement, to the letter."""
    return execute_given(for_text(statement))


def execute_given(given: str) -> str:
    """Return a call of ``op.execute`` with a string that is meant for ``text()`` already."""
    plain = '"""' not in given and not given.endswith(("\\", '"'))
    plain = plain and not any(letter < " " and letter not in "\n\t" for letter in given)
    # where both kinds of quotes stand in it, one line is read more easily than two with backslashes
    if not plain or ("\n" not in given and not ("'" in given and '"' in given)):
        return f"op.execute({literal(given).removeprefix('(').removesuffix(')')})"
    # the body of a function is compared as it is: its lines stay where they are
    raw = "r" if "\\" in given else ""
    return f'op.execute(\n{INDENT}{raw}"""{given}"""\n)'


def call(function: str, arguments: list[str]) -> str:
    """Return a call: on one line where that is short, else one line for each argument."""
    one = f"{function}({', '.join(arguments)})"
    if len(one) <= _WIDE and "\n" not in one:
        return one
    return f"{function}(\n" + "".join(f"{INDENT}{argument},\n" for argument in arguments) + ")"


def text_call(expression: str) -> str:
    """Return an SQL expression as ``sa.text`` takes it."""
    return f"sa.text({string(for_text(expression))})"


def indented(code: str) -> str:
    """Indent lines of code by one level, but not those inside of a string that goes over several lines."""
    inside = inside_strings(code)
    lines = code.split("\n")
    return "\n".join(INDENT + line if line and n not in inside else line for n, line in enumerate(lines, 1))


def inside_strings(code: str) -> set[int]:
    """Return the numbers of the lines that begin inside of a string."""
    inside: set[int] = set()
    open_: list[int] = []
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "STRING":
            inside.update(range(token.start[0] + 1, token.end[0] + 1))
        elif kind in {"FSTRING_START", "TSTRING_START"}:  # since Python 3.12; before, an f-string is a string
            open_.append(token.start[0])
        elif kind in {"FSTRING_END", "TSTRING_END"}:
            inside.update(range(open_.pop() + 1, token.end[0] + 1))
    return inside
