"""Up to which revision is a squash made anew from the catalog, and which rows are in it there?"""

# Usually all of it. Where a revision is carried as it is written, what is before it is made anew; that revision and
# what comes behind it are folded as a later range is, in their order. So its code finds the tables that it was written for.
from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from alembic_safe.errors import ConsentMissing, NextStep
from alembic_safe.history.chain import Chain, run_chain
from alembic_safe.history.rows import beyond
from alembic_safe.history.volatile import FIXED, Volatile, volatile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.history.rows import Contents
    from alembic_safe.history.work import Work
    from alembic_safe.inspecting.catalog_records import ObjectId


_SHOWN = 3


@dataclass(frozen=True)
class Anew:
    """The part of a squash that is made anew.

    :param number: how many revisions it stands for; those behind them are folded.
    :param chain: these revisions, as they ran.
    :param shadow: a database on which they have run.
    :param seeds: the rows that they leave, beyond those that were there before.
    :param touched: tables of which they change rows that were there before.
    :param keep: revisions behind it that are carried as they are written in any case, and why.
    """

    number: int
    chain: Chain
    shadow: Shadow
    seeds: Contents = field(repr=False)
    touched: tuple[ObjectId, ...]
    changing: Volatile
    keep: Mapping[str, str] = field(default_factory=dict)


def anew_of(work: Work, whole: Chain, old: Shadow, there: Contents) -> Anew:
    """Return the part that is made anew: as much as no wish and no value stands against.

    :param whole: all the files, as they ran; :param old: the database on which they did.
    :param there: the rows that were there before the first revision.
    :raises ConsentMissing: when there is something in the rows that no file can hold.
    """
    ids = [one.revision for one in work.extent.revisions]
    keep = dict(work.keep)
    number = min((n for n, one in enumerate(ids) if one in keep), default=len(ids))
    found = _made(work, number, there, (whole, old) if number == len(ids) else None)
    if found.changing.unknown:
        found, unknown = _explained(work, found, there)
        keep.setdefault(ids[found.number], "; ".join(unknown[:_SHOWN]))
    _require_rows_that_a_file_can_hold(found)
    return replace(found, keep=keep)


def _explained(work: Work, wrong: Anew, there: Contents) -> tuple[Anew, tuple[str, ...]]:
    """Return the part before a revision that writes values of which nobody can say how they are made, and these.

    Found by halves, between what has none of them and what has.
    """
    best = _made(work, 0, there, None)
    while wrong.number - best.number > 1:
        tried = _made(work, (best.number + wrong.number) // 2, there, None)
        if tried.changing.unknown:
            wrong = tried
        else:
            best = tried
    return best, wrong.changing.unknown


def _made(work: Work, number: int, there: Contents, ran: tuple[Chain, Shadow] | None) -> Anew:
    """Run so many revisions on an empty database, twice where they write rows.

    :param ran: once, where that was done already.
    """
    ids = [one.revision for one in work.extent.revisions]
    chain, shadow = ran or _run(work, ids[:number])
    seeds, touched = beyond(chain.state.contents, there)
    found = Volatile()
    if seeds.tables:
        second, again = _run(work, ids[:number])
        again.dismiss()
        fixed = {name.removeprefix(FIXED) for name in work.request.accept if name.startswith(FIXED)}
        found = volatile(seeds, beyond(second.state.contents, there)[0], chain.began, second.ended, fixed)
    return Anew(number, chain, shadow, seeds, tuple(touched), found)


def _run(work: Work, ids: list[str]) -> tuple[Chain, Shadow]:
    shadow, end = work.fresh(), work.extent.end.revision
    only = None if len(ids) == len(work.extent.revisions) else ids
    return run_chain(work.config, work.before(), shadow, end, only=only), shadow


def _require_rows_that_a_file_can_hold(found: Anew) -> None:
    if found.touched:
        raise ConsentMissing(
            "The revisions change tables that had rows before the first of them: what they do to these, no squash can"
            " tell.",
            detail=[str(id_) for id_ in found.touched],
            next_steps=[NextStep("leave these rows out of what was there before: --bootstrap FILE.sql")],
        )
    if found.seeds.large_objects:
        raise ConsentMissing(
            f"The revisions make {found.seeds.large_objects} large objects, which no file can hold.",
            next_steps=[NextStep("end the squash before the revision that makes them", "alembic history")],
        )


def require_same_numbers(once: Contents, again: Contents) -> None:
    """Stop where the files write another number of rows each time: nothing can be held against that.

    :raises ConsentMissing: naming the tables.
    """
    numbers = [{table.id: len(table.rows) for table in side.tables} for side in (once, again)]
    wrong = [id_ for id_ in sorted(numbers[0].keys() | numbers[1].keys()) if numbers[0].get(id_) != numbers[1].get(id_)]
    if wrong:
        raise ConsentMissing(
            "The revisions write another number of rows each time, and no squash can be the same as that.",
            detail=[f"{id_}: {numbers[0].get(id_, 0)} rows, then {numbers[1].get(id_, 0)}" for id_ in wrong],
            next_steps=[NextStep("end the squash before the revision that writes them", "alembic history")],
        )
