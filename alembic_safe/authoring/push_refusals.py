"""What is said where a push stops, and which ways lead on?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.authoring.push_plan import shown
from alembic_safe.authoring.renames import Rename, object_of, shown_rename
from alembic_safe.database.failures import sqlstate_of, statement_of
from alembic_safe.database.guard import shell_word
from alembic_safe.errors import ConsentMissing, Findings, NextStep, Refused, RevisionFailed, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.script import ScriptDirectory
    from sqlalchemy.exc import DBAPIError

    from alembic_safe.authoring.change_records import Unsettled
    from alembic_safe.authoring.push_finding import Finding
    from alembic_safe.authoring.push_request import Request
    from alembic_safe.authoring.renames import Question
    from alembic_safe.inspecting.target import Target

_LONGEST_STATEMENT = 300


def metadata_missing(script: ScriptDirectory) -> WrongUsage:
    """Return what is said where ``env.py`` has no models."""
    from alembic_safe.database.revision_files import shown as shown_file

    return WrongUsage(
        f"{shown_file(script.env_py_location)} hands over no models: target_metadata is None.",
        next_steps=[NextStep("let env.py say target_metadata = Base.metadata, then", "alembic dev-push")],
    )


def not_at_head(target: Target, unknown: Sequence[str], pending: Sequence[str]) -> Refused:
    """Return what is said where the database does not stand where the files end."""
    shown_target = target.identity.place.shown
    if unknown:
        return Refused(
            f"{shown_target} stands on {', '.join(unknown)}, which no revision file here has: another branch's.",
            next_steps=[
                NextStep(
                    "leave that branch; what its revisions added is kept", f"alembic dev-push --leave {unknown[0]}"
                ),
                NextStep("or check out the branch that has it, then", "alembic dev-push"),
            ],
        )
    number = f"{len(pending)} revision{'s' * (len(pending) != 1)}"
    stamped = [] if target.heads else [
        NextStep("if its tables were made without revisions, see which one it equals", "alembic safe-baseline"),
    ]  # fmt: skip
    return Refused(
        f"{number} {'is' if len(pending) == 1 else 'are'} pending on {shown_target}: {', '.join(pending[:5])}. A push goes"
        " on from where the files end.",
        next_steps=[NextStep("apply them, then push", "alembic upgrade heads"), *stamped],
    )


def _seen(question: Question) -> str:
    """Return what disappears and what appears."""
    kind = question.kind if len(question.gone) == 1 else f"{question.kind}s"
    words = [
        f"{' and '.join(names)} {verb}{'s' * (len(names) == 1)}"
        for names, verb in ((question.gone, "disappear"), (question.came, "appear"))
    ]
    where = f"In {question.table}, {kind}" if question.table else kind.capitalize()
    return f"{where} {words[0]}, and {words[1]}."


def open_questions(questions: Sequence[Question], default_schema: str) -> ConsentMissing:
    """Return what is said where nobody has said whether something was renamed."""
    steps: list[NextStep] = []
    detail: list[str] = []
    for question in questions:
        detail.append(_seen(question))
        for old in question.gone:
            names = [
                shown_rename(Rename(question.kind, question.schema, question.table, old, new), default_schema)
                for new in question.came
            ]
            name = shown(object_of(question, old), default_schema)
            steps += [NextStep(f"{old} was renamed", f"alembic dev-push --rename {shell_word(one)}") for one in names]
            drop = shell_word(f"drop-{question.kind}:{name}")
            steps.append(NextStep(f"{old} goes (its rows are kept)", f"alembic dev-push --accept {drop}"))
    return ConsentMissing(
        f"{detail[0]} Nobody has said whether that is a rename; names are never paired by likeness."
        if len(detail) == 1
        else f"{len(detail)} times something disappears and something appears; nobody has said whether it was renamed.",
        detail=detail if len(detail) > 1 else (),
        next_steps=list(dict.fromkeys(steps)),
    )


def standing_against(findings: Sequence[Finding], target: Target) -> Refused:
    """Return what is said where rows stand against a change."""
    return Refused(
        f"{findings[0].text}."
        if len(findings) == 1
        else f"Rows of {target.identity.place.shown} stand against {len(findings)} of the changes.",
        detail=[
            *([f"{finding.text}. [{finding.id}]" for finding in findings] if len(findings) > 1 else []),
            "PostgreSQL would reject it; a made-up value would be worse.",
        ],
        next_steps=[way for finding in findings for way in finding.ways],
    )


def line_of(request: Request, *more: str) -> str:
    """Return the command that was typed, with more consents."""
    given = [f"--rename {shell_word(text)}" for text in request.renames]
    given += [f"--fill {shell_word(text)}" for text in request.fills]
    given += ["--drop-unknown"] * request.drop_unknown
    wanted = sorted({*request.accept, *more})
    return " ".join(["alembic dev-push", *given, *(f"--accept {shell_word(one)}" for one in wanted)])


def consent_missing(findings: Sequence[Finding], request: Request) -> ConsentMissing:
    """Return what is said where a finding was not accepted by name."""
    line = line_of(request, *(finding.id for finding in findings))
    return ConsentMissing(
        f"{findings[0].text}."
        if len(findings) == 1
        else f"{len(findings)} changes touch values in rows, and each needs consent by name.",
        detail=[f"{finding.text}. [{finding.id}]" for finding in findings] if len(findings) > 1 else (),
        next_steps=[*(way for finding in findings for way in finding.ways), NextStep("if that is meant", line)],
    )


def cannot_express(unsettled: Sequence[Unsettled], database: str) -> Findings:
    """Return what is said where the database would not equal the models afterwards."""
    return Findings(
        f"{len(unsettled)} difference{'s' * (len(unsettled) != 1)} between the models and {database} cannot be expressed, so"
        " nothing was kept of this push.",
        detail=[f"{one.difference}: {one.reason}" for one in unsettled],
        next_steps=[NextStep("write the change by hand", 'alembic revision -m "..."')],
        state=f"Rolled back: {database} is as it was.",
    )


def failed(error: DBAPIError, database: str, committed: Sequence[str] = ()) -> RevisionFailed:
    """Return what is said where the server refused a statement."""
    reason = " ".join(str(error.orig).split())
    statement = statement_of(error)[:_LONGEST_STATEMENT]
    labels = f" These stay, as PostgreSQL commits them first: {'; '.join(committed)}." if committed else ""
    return RevisionFailed(
        f"The server refused a statement of this push: {reason} [{sqlstate_of(error)}].",
        detail=["It was:", f"  {statement}"],
        next_steps=[NextStep("see what differs", "alembic dev-push --dry-run")],
        state=f"Rolled back: {database} is as it was.{labels}",
    )
