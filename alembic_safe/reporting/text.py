"""How a line of ours looks on a terminal and in a log."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from alembic_safe.database.environment import Identity
    from alembic_safe.errors import NextStep, SafeError

LABEL = 9
"""Width of the left column that says what a line is."""
WIDEST = 100

_BOLD = {"Refused", "Stopped", "Failed", "Missing", "Usage", "Findings", "Problem"}


def width(stream: TextIO | None = None) -> int:
    """Return how many columns a line may have: the terminal's, at most 100; 100 in a log."""
    stream = stream or sys.stdout
    if stream.isatty():
        return max(40, min(shutil.get_terminal_size().columns, WIDEST))
    return WIDEST


def coloured(stream: TextIO) -> bool:
    """Whether colour may repeat what the text says."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def labelled(label: str, text: str, *, columns: int | None = None) -> str:
    """Return a line with its label in the left column; a long text is wrapped under itself."""
    columns = columns or width()
    first, *rest = text.split("\n") or [""]
    lines = _wrapped(first, columns - LABEL)
    for more in rest:
        lines.extend(_wrapped(more, columns - LABEL))
    head = f"{label:<{LABEL}}{lines[0] if lines else ''}".rstrip()
    return "\n".join([head, *(" " * LABEL + line if line else "" for line in lines[1:])])


def _wrapped(text: str, columns: int) -> list[str]:
    if len(text) <= columns:
        return [text]
    hang = len(text) - len(text.lstrip())
    return textwrap.wrap(
        text, columns, subsequent_indent=" " * hang, break_long_words=False, break_on_hyphens=False
    ) or [""]


def say(label: str, text: str, *, stream: TextIO | None = None) -> None:
    """Print one labelled line."""
    stream = stream or sys.stdout
    rendered = labelled(label, text, columns=width(stream))
    if label in _BOLD and coloured(stream):
        rendered = f"\033[1m{rendered[: len(label)]}\033[0m{rendered[len(label) :]}"
    stream.write(rendered + "\n")
    stream.flush()


def say_in_one_line(label: str, text: str, *, stream: TextIO | None = None) -> None:
    """Print one labelled line that is never wrapped: names in it are looked for in a log."""
    stream = stream or sys.stdout
    stream.write(f"{label:<{LABEL}}{text}\n")
    stream.flush()


def next_steps(steps: Iterable[NextStep], *, columns: int | None = None) -> str:
    """Return the ways on: why at the left, the command behind it, never wrapped, so that it can be pasted."""
    columns = columns or width()
    steps = tuple(steps)
    widest = max((len(step.why) for step in steps if step.command), default=0)
    lines: list[str] = []
    for n, step in enumerate(steps):
        label = "Next" if n == 0 else ""
        beside = f"{step.why:<{widest}}  {step.command}".strip()
        if not step.command:
            lines.append(labelled(label, step.why, columns=columns))
        elif LABEL + len(beside) <= columns:
            lines.append(f"{label:<{LABEL}}{beside}")
        else:
            lines.append(labelled(label, step.why, columns=columns))
            lines.append(" " * (LABEL + 2) + step.command)
    return "\n".join(lines)


def print_next(steps: Iterable[NextStep], *, stream: TextIO | None = None) -> None:
    """Print the ways on, if there are any."""
    stream = stream or sys.stdout
    text = next_steps(steps, columns=width(stream))
    if text:
        stream.write(text + "\n")
        stream.flush()


def print_error(error: SafeError, *, stream: TextIO | None = None) -> None:
    """Print why a run ended: what, the facts, the ways on, and the state of the database."""
    stream = stream or sys.stderr
    sys.stdout.flush()
    say(error.label, error.summary, stream=stream)
    for line in error.detail:
        say("", line, stream=stream)
    print_next(error.next_steps, stream=stream)
    if error.state:
        stream.write(textwrap.fill(error.state, width(stream), break_long_words=False, break_on_hyphens=False) + "\n")
        stream.flush()


def target(identity: Identity, heads: Iterable[str], *, extra: str = "") -> str:
    """Return what the first line of every command says: database, host, role, environment, server, revision."""
    place = identity.place
    kind = identity.environment
    if identity.protected and not identity.undeclared:
        kind += ", protected"
    at = ", ".join(heads)
    parts = [
        f"{place.shown} as {place.role} ({kind})",
        f"PostgreSQL {place.server}" + (", read-only replica" if place.in_recovery else ""),
        f"at {at}" if at else "at no revision",
    ]
    return ", ".join([*parts, extra] if extra else parts)


def duration(seconds: float) -> str:
    """Return a time as people read it: ``38 ms``, ``4.1 s``, ``1 min 36 s``, ``2 h 5 min``."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def volume(size: float) -> str:
    """Return a size as people read it: ``812 B``, ``1.1 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.95 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def silence_standard_output() -> TextIO:
    """Send what is still written to standard output nowhere, the flush at the end of the process included."""
    nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it lasts as long as the process
    if sys.__stdout__ is not None and sys.stdout is sys.__stdout__:
        os.dup2(nowhere.fileno(), sys.__stdout__.fileno())
    return nowhere


def shown_path(path: str) -> str:
    """Return a path as it is shortest to type from here."""
    return path.removeprefix(f"{Path.cwd()}{os.sep}")


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 revision``, ``3 revisions``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def moment(at: datetime) -> str:
    """Return a time of day and date, in the zone of the reader's machine."""
    return f"{at.astimezone():%Y-%m-%d %H:%M}"
