"""How is a file changed in single places, with every other byte kept as it is?"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass, field

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Edit:
    """One change of one file, as a person reads it.

    :param what: what changes, in a few words.
    :param why: what happens without it.
    """

    what: str
    why: str


@dataclass(frozen=True)
class ByHand:
    """What a person adds, because the file is too unusual to be edited for them.

    :param why: what was not understood, with the line it stands in.
    :param lines: exactly what to add, and in a comment where.
    """

    why: str
    lines: str


@dataclass(frozen=True)
class Wiring:
    """One file's text before and after, and why it changes.

    :param before: the text as it is, line ends included.
    :param after: the text as it would be; equal to ``before`` when nothing is to be changed.
    :param edits: one for each change, in the order of the file.
    :param by_hand: set when the file was not understood; ``after`` then equals ``before``.
    """

    before: str
    after: str
    edits: tuple[Edit, ...] = ()
    by_hand: ByHand | None = None

    @property
    def changes(self) -> bool:
        """Whether anything would be written."""
        return self.before != self.after


class TooUnusual(Exception):
    """The text is not one of those that can be edited safely.

    :param why: what was not understood, for a person.
    :param line: the line it stands in, counted from 1; 0 when there is none.
    :param lines: what a person adds, where that is known already.
    """

    def __init__(self, why: str, line: int = 0, *, lines: str = "") -> None:
        self.lines = lines
        self.why = f"line {line}: {why}" if line else why
        super().__init__(self.why)


@dataclass
class Source:
    """Python source, its syntax tree, and the changes collected for it; nothing else of the text is touched."""

    text: str
    tree: ast.Module = field(init=False)
    parents: dict[ast.AST, ast.AST] = field(init=False, default_factory=dict)
    _starts: list[int] = field(init=False)
    _changes: list[tuple[int, int, str]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        try:
            self.tree = ast.parse(self.text)
        except (SyntaxError, ValueError) as error:
            raise TooUnusual(f"it does not parse: {error.args[0]}", getattr(error, "lineno", 0) or 0) from error
        # not str.splitlines: that also splits at form feeds, which Python's own line numbers do not count
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(self.text))]
        for node in ast.walk(self.tree):
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node

    @property
    def newline(self) -> str:
        """The file's own line end: that of its first line."""
        return newline_of(self.text)

    def offset(self, line: int, column: int) -> int:
        """Return the place in the text of a position of :mod:`ast`, whose columns count UTF-8 bytes."""
        start = self._starts[line - 1]
        rest = self.text[start:].split("\n", 1)[0]
        return start + len(rest.encode()[:column].decode())

    def start(self, node: ast.expr | ast.stmt | ast.alias) -> int:
        """Return where a node begins."""
        return self.offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt | ast.excepthandler) -> int:
        """Return where a node ends."""
        return self.offset(node.end_lineno or node.lineno, node.end_col_offset or 0)

    def segment(self, node: ast.expr | ast.stmt) -> str:
        """Return a node's own text."""
        return self.text[self.start(node) : self.end(node)]

    def line_start(self, line: int) -> int:
        """Return where a line begins; one behind the last line is the end of the text."""
        return self._starts[line - 1] if line <= len(self._starts) else len(self.text)

    def indent(self, node: ast.stmt) -> str:
        """Return the white space in front of a statement.

        :raises TooUnusual: when it shares its line with another one.
        """
        before = self.text[self.line_start(node.lineno) : self.start(node)]
        if before.strip():
            raise TooUnusual("several statements stand on one line", node.lineno)
        return before

    def unit(self, node: ast.AST) -> str:
        """Return one step of indentation, as the body of a block uses it."""
        body = getattr(node, "body", None)
        if not body or not isinstance(node, ast.stmt):
            return "    "
        deeper, own = self.indent(body[0]), self.indent(node)
        return deeper[len(own) :] if deeper.startswith(own) and deeper != own else "    "

    def comments(self, start: int, end: int) -> list[tuple[int, str]]:
        """Return the comments between two places, each with its line."""
        found = []
        for token in tokenize.generate_tokens(io.StringIO(self.text, newline="").readline):
            if token.type == tokenize.COMMENT:
                at = self.line_start(token.start[0]) + token.start[1]
                if start <= at < end:
                    found.append((token.start[0], token.string))
        return found

    def replace(self, start: int, end: int, new: str) -> None:
        """Note a change; its lines get the file's own line end."""
        self._changes.append((start, end, _LINE_END.sub(self.newline, new)))

    def insert_line(self, line: int, new: str) -> None:
        """Note whole lines to stand before a line."""
        at = self.line_start(line)
        lead = "\n" if at and self.text[at - 1] not in "\r\n" else ""
        self.replace(at, at, f"{lead}{new}\n")

    def edited(self) -> str:
        """Return the text with every noted change."""
        text = self.text
        # from the end, so that the places before stay true; of two at one place the one noted first comes first
        order = sorted(enumerate(self._changes), key=lambda item: (item[1][0], item[0]), reverse=True)
        for _, (start, end, new) in order:
            text = text[:start] + new + text[end:]
        return text


def newline_of(text: str) -> str:
    """Return the line end of a text's first line; a line feed when it has none."""
    match = _LINE_END.search(text)
    return match[0] if match else "\n"
