"""What a database lets whom do: one decision for every command, ours and Alembic's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal

from alembic_safe.database.statements import quoted
from alembic_safe.errors import NextStep, Refused

if TYPE_CHECKING:
    from alembic_safe.database.environment import Identity


class Intent(Enum):
    """What a command is about to do to a database; the value is how a message names it."""

    READ = "reading"
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    STAMP = "stamp"
    PURGE = "stamp --purge"
    ENSURE = "ensure_version"
    SAFE_UPGRADE = "safe-upgrade"
    ADOPT = "safe-adopt"
    BASELINE = "safe-baseline"
    SAFE_PURGE = "safe-purge"
    DEV_PUSH = "dev-push"
    MILESTONE = "milestone"
    DECLARE = "safe-guard set"
    LOWER = "safe-guard set (to something less protected)"


GRANTABLE = tuple(i.value for i in (Intent.SAFE_UPGRADE, Intent.UPGRADE, Intent.DECLARE, Intent.ADOPT, Intent.BASELINE))
"""The commands that a person can lend an agent on a database that is not development."""

_GUARDED_THEMSELVES = (
    Intent.SAFE_UPGRADE, Intent.SAFE_PURGE, Intent.DECLARE, Intent.LOWER, Intent.ADOPT, Intent.BASELINE,
)  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """What the guard says.

    :param verdict: whether the command may go on.
    :param error: for a refusal: what the person is told.
    :param warning: for a warning: one line.
    """

    verdict: Literal["allow", "warn", "refuse"]
    error: Refused | None = None
    warning: str = ""


_ALLOW = Decision("allow")
_WHAT_IT_DOES = {
    Intent.UPGRADE: "It would run without a backup, without lock limits and without a journal.",
    Intent.DOWNGRADE: "It would undo revisions, and what they added would go with the rows in it.",
    Intent.STAMP: "It would change what this database says of itself without changing the database.",
    Intent.MILESTONE: "It would stamp this database: change what it says of itself without changing the database.",
    Intent.DEV_PUSH: "It would change tables without a revision file; that is for development databases.",
    Intent.PURGE: "It would erase what this database knows about its revisions.",
    Intent.ENSURE: "It would make a version table, and this database has none.",
}


def decide(
    intent: Intent,
    identity: Identity,
    *,
    agent: str | None,
    granted: bool = False,
    stock_upgrade: str = "refuse",
) -> Decision:
    """Say whether a command may go on; nothing is asked of the database.

    :param agent: the AI coding agent that runs the command, if one does.
    :param granted: whether a person has granted this agent this command, here and now.
    :param stock_upgrade: the setting of that name.
    """
    if intent is Intent.READ or not identity.protected:
        return _ALLOW
    if agent is not None and not granted:
        return Decision("refuse", _refuse_agent(intent, identity, agent))
    if intent in _GUARDED_THEMSELVES:
        return _ALLOW
    if intent is Intent.UPGRADE and (identity.undeclared or stock_upgrade == "warn"):
        return Decision("warn", warning=_warning(identity))
    return Decision("refuse", _refuse(intent, identity))


def _warning(identity: Identity) -> str:
    what = "is undeclared" if identity.undeclared else f"is protected ({identity.environment})"
    return (
        f"{identity.place.shown} {what}: plain `alembic upgrade` runs here without backup and lock limits; "
        f"`alembic safe-upgrade` has both"
    )


def _refuse(intent: Intent, identity: Identity) -> Refused:
    standing = (
        f"{identity.place.shown} is undeclared ({identity.why}), and an undeclared database is protected"
        if identity.undeclared
        else f"{identity.place.shown} is {identity.environment}, protected ({identity.why})"
    )
    steps: list[NextStep] = []
    if intent in (Intent.UPGRADE, Intent.ENSURE):
        steps.append(NextStep("deploy with guard, backup and lock limits", "alembic safe-upgrade"))
    if intent is Intent.MILESTONE:
        steps.append(
            NextStep("write the files, and leave this database as it is", 'alembic milestone -m "..." --no-stamp')
        )
    if intent is Intent.DEV_PUSH:
        steps.append(NextStep("deploy the revisions that a milestone wrote", "alembic safe-upgrade"))
    if intent is Intent.DOWNGRADE:
        steps.append(NextStep("change it going forward", 'alembic revision -m "..."'))
    return Refused(
        f"alembic {intent.value} is refused here: {standing}.",
        detail=[_WHAT_IT_DOES[intent]],
        next_steps=[*steps, *ways_to_declare(identity)],
    )


def ways_to_declare(identity: Identity) -> list[NextStep]:
    """Return the commands that say what this database really is, if it is not what it counts as."""
    database = identity.place.database
    if identity.place.hidden:
        marker = identity.place.hidden[0]
        lets_see = f"GRANT USAGE ON SCHEMA {quoted(marker.schema)} TO PUBLIC;"
        lets_read = f"GRANT SELECT ON {marker.table('environment')} TO PUBLIC;"
        return [NextStep("the owner of the journal lets every role see what this is", f"{lets_see} {lets_read}")]
    set_it = f"alembic safe-guard set development --confirm {shell_word(database)}"
    if identity.copied:
        return [
            NextStep("if this is a development database", set_it),
            NextStep("if it is another one that matters", "alembic safe-guard set staging"),
        ]
    if identity.declared:
        # no line to paste here: whoever makes a marked database less protected types its name
        return [NextStep("if this is not what it says it is", "alembic safe-guard set --help")]
    return [
        NextStep("if this is a throw-away database of a pipeline", "export ALEMBIC_SAFE_ENVIRONMENT=ci"),
        NextStep("if this is a development database", set_it),
        NextStep("if this is production", "alembic safe-guard set production"),
    ]


def _refuse_agent(intent: Intent, identity: Identity, agent: str) -> Refused:
    what = "undeclared" if identity.undeclared else f"{identity.environment}, protected"
    verb = intent.value.split(" (")[0]
    return Refused(
        f"alembic {verb} is refused to {agent}: {identity.place.shown} is {what} ({identity.why}).",
        detail=["A coding agent changes such a database only with a person's grant, for one command and some minutes."],
        next_steps=[
            NextStep(
                "a person, on a terminal of their own, may run", f'alembic safe-guard grant --for "{verb}" --ttl 10m'
            )
            if verb in GRANTABLE
            else NextStep("a person decides about it, on a terminal of their own", "alembic safe-guard")
        ],
    )


def shell_word(word: str) -> str:
    """Quote a name for a command line that is shown for pasting."""
    import shlex

    return shlex.quote(word)
