"""Projects whose revisions are expand, copy and contract, written by hand for the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.project import REVISION, Project, _indent

if TYPE_CHECKING:
    from pathlib import Path

SETTLES = 'settles = ("retire_column public.users.fullname",)'


def phase(name: str, change: str = "names", more: str = "") -> str:
    """Return the lines that make a revision file a phase of a change."""
    return f'phase = "{name}"\nchange = "{change}"\n{more}\n'


def park(
    project: Project, revision: str, down: str, message: str = "contract", upgrade: str = "", downgrade: str = "",
    change: str = "names",
) -> Path:  # fmt: skip
    """Write a parked contract."""
    folder = project.folder / "migrations" / "contracts"
    folder.mkdir(exist_ok=True)
    path = folder / f"{change}.py"
    path.write_text(
        REVISION.format(
            id=revision, down=down, message=message, upgrade=_indent(upgrade), downgrade=_indent(downgrade),
            extra=phase("contract", change),
        )
    )  # fmt: skip
    return path
