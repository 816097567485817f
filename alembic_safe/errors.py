"""What can go wrong: one class per way to fail; each knows its exit code and its next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic.util import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTHING_CHANGED = "Nothing was changed."


@dataclass(frozen=True)
class NextStep:
    """One way on that a person can take.

    :param why: when this is the right way, in a few words; may be empty.
    :param command: what to paste; empty when the way on is not a command.
    """

    why: str
    command: str = ""


class SafeError(CommandError):
    """The end of a run that did not do what was asked.

    :param summary: what happened, to which object, in one or two sentences.
    :param detail: further lines, one fact each.
    :param next_steps: the ways on; none of them destroys data.
    :param state: the closing sentence on the state of the database.

    Alembic prints ``str(error)``, and so do Flask-Migrate and every caller of ``alembic.command``:
    it holds all of the above.
    """

    exit_code = 1
    label = "Failed"

    def __init__(
        self,
        summary: str,
        *,
        detail: Iterable[str] = (),
        next_steps: Iterable[NextStep] = (),
        state: str = NOTHING_CHANGED,
    ) -> None:
        self.summary = summary
        self.detail = tuple(detail)
        self.next_steps = tuple(next_steps)
        self.state = state
        super().__init__(summary)

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """Return the whole message as it stands in a log: summary, facts, ways on, state."""
        lines = [self.summary, *self.detail]
        lines.extend(f"Next: {step.why}" + (f":  {step.command}" if step.command else "") for step in self.next_steps)
        if self.state:
            lines.append(self.state)
        return "\n".join(lines)


class WrongUsage(SafeError):
    """The words of the command, or a setting, are off."""

    exit_code = 2
    label = "Usage"


class Refused(SafeError):
    """The guard, a policy or a missing consent stops the command before anything is written."""

    exit_code = 3
    label = "Refused"


class ConsentMissing(Refused):
    """A finding needs a person's consent by name, and did not get it."""


class Findings(SafeError):
    """The command looked, and what it found is not in order."""

    exit_code = 4
    label = "Findings"


class LockNotObtained(SafeError):
    """Another run holds the deploy lock, or a table's lock could not be had within the budget."""

    exit_code = 5
    label = "Stopped"


class RevisionFailed(SafeError):
    """A revision failed and was rolled back: the database stands where it stood."""

    exit_code = 6
    label = "Stopped"


class RevisionHalfDone(SafeError):
    """A revision failed after a part of it had been committed; it can be resumed."""

    exit_code = 7
    label = "Stopped"


class BackupFailed(SafeError):
    """The backup, or the proof of it, failed; the target was not touched."""

    exit_code = 8
    label = "Stopped"


class ReplayFailed(SafeError):
    """The project's own revision files do not run through on a shadow; the target was not touched."""

    exit_code = 8
    label = "Stopped"


class OutOfTime(ReplayFailed):
    """A revision took too long on a shadow and was cancelled there: what it does is not known."""


class ProofFailed(SafeError):
    """New revision files do not do on a shadow what they were written for; the target was not touched."""

    exit_code = 8
    label = "Stopped"


class CopyUnfinished(SafeError):
    """A copy was not done within ``--max-time``; what it copied is committed, and the next run goes on behind it."""

    exit_code = 9
    label = "Stopped"


class RehearsalFailed(SafeError):
    """The pending revisions, or the backup, failed on a stand-in for the target; the target was not touched."""

    exit_code = 8
    label = "Stopped"


class Missing(SafeError):
    """The database cannot be reached, or a right, a program or a file is missing."""

    exit_code = 10
    label = "Missing"


class EnvNotRun(Missing):
    """The code of ``env.py`` failed: the command line says how its traceback is seen."""


class Interrupted(SafeError):
    """A person or a signal ended the run, or a question was answered with no."""

    exit_code = 130
    label = "Stopped"


EXIT_CODES: tuple[tuple[int, str], ...] = (
    (0, "done, nothing to report"),
    (1, "unexpected failure (a bug; report it)"),
    (2, "wrong usage"),
    (3, "refused: guard, or consent missing"),
    (4, "findings (problems, pending revisions)"),
    (5, "lock not obtained"),
    (6, "a revision failed and was rolled back"),
    (7, "a revision failed part-way, resumable"),
    (8, "backup, rehearsal or proof failed; the target was not touched"),
    (9, "copy not finished within --max-time; run again to resume"),
    (10, "the database cannot be reached, or a right, program or file is missing"),
    (130, "interrupted or declined"),
)
"""Every exit code that a command of ours, or a stock command that we stop, ends with."""
