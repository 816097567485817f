"""How is a revision carried into another file as it is written, with everything of its module that it uses?"""

# The text is taken over to the letter; only where it stands is new. Where two revisions call something alike that is not the
# same, the one that comes later has what it uses inside of its own function.
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.history.module_parts import CannotCarry, ModuleParts
from alembic_safe.history.python_text import INDENT, indented

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from alembic_safe.history.module_parts import Part

_OWN = frozenset({
    "revision", "down_revision", "branch_labels", "depends_on", "replaces", "replaced_files", "upgrade", "downgrade",
    "Sequence", "Union", "op", "sa", "postgresql",
})  # fmt: skip
_USUAL = {"op": "from alembic import op", "sa": "import sqlalchemy as sa",
          "postgresql": "from sqlalchemy.dialects import postgresql"}  # fmt: skip


@dataclass(frozen=True)
class Carried:
    """A revision in another file.

    :param imports: lines for the top of the file; :param parts: what stands below them, in its order.
    :param functions: the name of the function for ``upgrade``, for ``downgrade``.
    """

    imports: tuple[str, ...]
    parts: tuple[str, ...]
    functions: Mapping[str, str]


class Carrier:
    """Takes one revision after the other into one file."""

    def __init__(self) -> None:
        self._taken: dict[str, str] = {}
        self._functions: set[str] = set()

    def carry(self, revision: str, source: str, wanted: Iterable[str], what: str) -> Carried:
        """Take some functions of a revision, and what they use.

        :param source: the text of its file.
        :param wanted: ``upgrade``, ``downgrade``, or both.
        :param what: one line that says what it is.
        :raises CannotCarry: when something that it uses cannot be found in its file, or not be taken along.
        """
        module = ModuleParts(source)
        bodies = {name: module.body(name) for name in wanted}
        parts = module.needed(bodies.values())
        if any(one.is_import and not one.can_be_shared for one in parts):
            raise CannotCarry("it imports something relative to its own place")
        names = {name: self._function(name, revision) for name in bodies}
        future = tuple(one.text for one in parts if "__future__" in one.text and one.is_import)
        parts = [one for one in parts if one.text not in future and not _is_usual(one)]
        if not self._clashes(parts):
            imports = [one.text for one in parts if one.is_import]
            texts = [one.text for one in parts if not one.is_import and not one.names & self._taken.keys()]
            self._taken |= {name: one.plain for one in parts for name in one.names}
            made = [_defined(names[n], bodies[n].text, what) for n in bodies]
            return Carried((*future, *imports), (*texts, *made), names)
        if any("*" in one.names for one in parts) or any(one.changes_globals for one in [*parts, *bodies.values()]):
            raise CannotCarry("it uses names that another revision uses for something else")
        inner = "\n".join(one.text for one in parts)
        made = [_defined(names[n], f"{inner}\n\n{bodies[n].text}" if inner else bodies[n].text, what) for n in bodies]
        return Carried(future, tuple(made), names)

    def _clashes(self, parts: Sequence[Part]) -> bool:
        for one in parts:
            for name in one.names:
                if name in _OWN or name in self._functions:
                    return True
                if name in self._taken and (self._taken[name] != one.plain or not one.can_be_shared):
                    return True
        return False

    def _function(self, name: str, revision: str) -> str:
        word = f"_{name}_{re.sub(r'[^0-9a-zA-Z]', '_', revision)}".lower()
        made, n = word, 1
        while made in self._functions or made in self._taken:
            n += 1
            made = f"{word}_{n}"
        self._functions.add(made)
        return made


def _is_usual(part: Part) -> bool:
    return part.is_import and all(_USUAL.get(name) == part.plain for name in part.names)


def _defined(name: str, body: str, what: str) -> str:
    return f"def {name}() -> None:\n{INDENT}{_docstring(what)}\n{indented(body)}"


def _docstring(text: str) -> str:
    plain = " ".join(text.split()).replace("\\", "\\\\").replace('"""', "'''")
    return f'"""{plain}{" " if plain.endswith(chr(34)) else ""}"""'
