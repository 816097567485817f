"""Which of its forms makes each piece exactly what it was? Tried on a shadow, object by object."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import SQLAlchemyError

from alembic_safe.database.replay import run_on_shadow
from alembic_safe.errors import NextStep, ProofFailed, WrongUsage
from alembic_safe.history.piece import SECTIONS, Form, Piece, Wanted
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.comparison import Difference, compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.inspecting.catalog_records import ObjectId

_ROUNDS = 12
_SHOWN = 10
_STATEMENT = re.compile(r"\[SQL: .*", re.DOTALL)


@dataclass(frozen=True)
class Settled:
    """A piece, and the form of it that makes the same.

    :param why: why there is no operation for it, where there is none: what came of trying one.
    """

    piece: Piece
    form: Form
    why: str = ""


def settle(
    config: Config, script: ScriptDirectory, shadow: Shadow, wanted: Wanted, pieces: Sequence[Piece], prelude: str
) -> tuple[Settled, ...]:
    """Make every piece on an empty shadow, compare what came of it, and repeat with other forms until it is the same.

    :param prelude: lines that run before them.
    :return: the pieces in an order that ran.
    :raises ProofFailed: when something remains different in every form.
    """
    found: list[tuple[Settled, ...]] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        if found:
            raise WrongUsage(
                "env.py configures several databases; a squash is made for one of them at a time.",
                next_steps=[NextStep("let env.py configure one of them, for example by an -x argument of its own")],
            )
        found.append(_Trial(context, wanted, prelude).settled(pieces))

    run_on_shadow(config, script, shadow, work)
    return found[0]


class _Trial:
    def __init__(self, context: MigrationContext, wanted: Wanted, prelude: str) -> None:
        self.context = context
        self.connection: Any = context.connection
        self.wanted = wanted
        self.prelude = prelude

    def settled(self, pieces: Sequence[Piece]) -> tuple[Settled, ...]:
        chosen = dict.fromkeys(pieces, 0)
        why: dict[Piece, str] = {}
        for _ in range(_ROUNDS):
            self.connection.rollback()
            with self.connection.begin() as transaction:
                made = self._make(pieces, chosen, why)
                differences = self._differences()
                transaction.rollback()
            moved = self._next_forms(differences, pieces, chosen, why)
            if not differences:
                return tuple(Settled(piece, piece.forms[chosen[piece]], why.get(piece, "")) for piece in made)
            if not moved:
                break
        raise _different(differences)

    def _make(self, pieces: Sequence[Piece], chosen: dict[Piece, int], why: dict[Piece, str]) -> list[Piece]:
        """Make the pieces, and return them in the order in which that went."""
        scope = self._scope()
        if self.prelude:
            exec(compile(self.prelude, "<squash>", "exec"), scope)  # noqa: S102 - lines that we wrote ourselves
        made: list[Piece] = []
        waiting: list[Piece] = []
        said: dict[Piece, str] = {}
        for section in SECTIONS:
            waiting += [piece for piece in pieces if piece.section == section]
            progress = True
            while waiting and progress:
                progress = False
                for piece in tuple(waiting):
                    reason = self._made_in_some_form(piece, chosen, why, scope)
                    if reason:
                        said[piece] = reason
                    else:
                        made.append(piece)
                        waiting.remove(piece)
                        progress = True
        if waiting:
            raise ProofFailed(
                f"No form of {waiting[0].objects[0]} can be made on an empty database.",
                detail=[f"{piece.objects[0]}: {said[piece]}" for piece in waiting[:_SHOWN]],
                next_steps=[NextStep("report this: what the files make should always be possible to make")],
            )
        return made

    def _made_in_some_form(
        self, piece: Piece, chosen: dict[Piece, int], why: dict[Piece, str], scope: dict[str, Any]
    ) -> str:
        """Make a piece in its chosen form, or a later one; return why not, or nothing."""
        reason = ""
        for n in range(chosen[piece], len(piece.forms)):
            reason = self._run(piece.forms[n].code, scope)
            if not reason:
                chosen[piece] = n
                return ""
            if piece.forms[n].is_call:
                why.setdefault(piece, reason)
        why.pop(piece, None)  # all of them failed: it waits for something, and the first form is tried again
        return reason

    def _run(self, code: str, scope: dict[str, Any]) -> str:
        savepoint = self.connection.begin_nested()
        try:
            exec(compile(code, "<squash>", "exec"), scope)  # noqa: S102 - code that we wrote ourselves
        except (SQLAlchemyError, TypeError, ValueError, AttributeError, KeyError) as error:
            savepoint.rollback()
            return _STATEMENT.sub("", " ".join(str(error).split())).strip() or type(error).__name__
        savepoint.commit()
        return ""

    def _scope(self) -> dict[str, Any]:
        return {"op": Operations(self.context), "sa": sa, "postgresql": postgresql}

    def _differences(self) -> tuple[Difference, ...]:
        got = read_catalog(self.connection, leave_out=frozenset({self.context.version_table}))
        return compare(self.wanted.catalog, got, column_order=True, owners=False, inherited_names=True)

    def _next_forms(
        self,
        differences: Sequence[Difference],
        pieces: Sequence[Piece],
        chosen: dict[Piece, int],
        why: dict[Piece, str],
    ) -> bool:
        by_object: dict[ObjectId, Piece] = {}
        for one_piece in pieces:
            for id_ in one_piece.objects:
                by_object.setdefault(id_, one_piece)
        moved = set()
        for one in differences:
            piece: Piece | None = by_object.get(one.object) or self._piece_of_its_table(one.object, by_object)
            if piece is not None and piece not in moved and chosen[piece] + 1 < len(piece.forms):
                if piece.forms[chosen[piece]].is_call:
                    why.setdefault(piece, str(one))
                chosen[piece] += 1
                moved.add(piece)
        return bool(moved)

    def _piece_of_its_table(self, id_: ObjectId, by_object: dict[ObjectId, Piece]) -> Piece | None:
        """Return the piece of the table that something belongs to which should not be there."""
        owned = self.wanted.catalog.objects.get(id_, {}).get("owned_by")
        if owned is not None:
            return by_object.get(id_)
        return by_object.get(id_._replace(kind="table", name=id_.parent or id_.name, parent=""))


def _different(differences: Sequence[Difference]) -> ProofFailed:
    more = len(differences) - _SHOWN
    return ProofFailed(
        "What the files make cannot be made in one go: these remain different, as operations and as SQL.",
        detail=[*map(str, differences[:_SHOWN]), *([f"and {more} more"] if more > 0 else [])],
        next_steps=[
            NextStep("carry the revision that makes it as it is written: the same command with --keep REVISION"),
            NextStep("or end the squash before that revision", "alembic history"),
        ],
    )
