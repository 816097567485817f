"""Which revision files has git brought back beside the squash that stands for them, or made to follow one of these?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic_safe.database.revision_files import shown
from alembic_safe.database.squashed import file_hash, is_squash, original_files, replaced_by
from alembic_safe.errors import Findings, NextStep

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from alembic.script import Script, ScriptDirectory


def brought_back(directory: ScriptDirectory, live: Sequence[Script]) -> list[tuple[Script, Script]]:
    """Return the files in the folders of the revisions that a squash beside them stands for, each with that squash.

    :param live: what is in these folders.
    """
    squashes = [(one, {one.revision, *replaced_by(one)}) for one in live if is_squash(one)]
    return [
        (one, squash)
        for one in live
        for squash in [
            next((s for s, ids in squashes if one.revision in ids and _is_original(directory, s, one)), None)
        ]
        if squash is not None
    ]


def _is_original(directory: ScriptDirectory, squash: Script, one: Script) -> bool:
    if one is squash or not is_squash(one):
        return one is not squash
    # two branches of git may have squashed alike: then none is the other's original
    archived = (file_hash(path.read_bytes()) for path in original_files(directory, squash.revision))
    return file_hash(Path(one.path).read_bytes()) in set(archived)


def follows_replaced(live: Sequence[Script]) -> dict[Script, dict[str, Script]]:
    """Return the files that follow or depend on a revision that was squashed: which one, and the squash for it."""
    replaced = {id_: squash for squash in live if is_squash(squash) for id_ in replaced_by(squash)}
    found = {one: {parent: replaced[parent] for parent in _parents(one) if parent in replaced} for one in live}
    return {one: parents for one, parents in found.items() if parents}


def _parents(one: Script) -> tuple[str, ...]:
    return (*_tuple(one.module.down_revision), *_tuple(getattr(one.module, "depends_on", None)))


def _tuple(given: Any) -> tuple[str, ...]:
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)


def require_distinct(directory: ScriptDirectory, live: Sequence[Script]) -> None:
    """Stop where the files of two branches of git do not fit: one squashed, the other went on with the originals.

    :raises Findings: with what mends it.
    """
    back = brought_back(directory, live)
    if back:
        raise _back(back, follows_replaced([one for one in live if one not in {found for found, _ in back}]))
    for one, parents in follows_replaced(live).items():
        parent, squash = next(iter(parents.items()))
        raise Findings(
            f"{shown(one.path)} follows {parent}, which the squash {shown(squash.path)} stands for now.",
            detail=[f"It comes behind the squash, {squash.revision}, now."],
            next_steps=[NextStep("let it follow the squash", f"alembic squash --rebase {shown(one.path)}")],
        )


def _back(back: Sequence[tuple[Script, Script]], behind: Collection[Script]) -> Findings:
    """Say what is back, and both ways on; the squash cannot simply go where others have to follow it first."""
    squashes = list(dict.fromkeys(squash for _, squash in back))
    beside = ", ".join(shown(squash.path) for squash in squashes)
    came = "git brought {} back: a merge, a checkout, a stash."
    if len(back) == 1:
        ((only, _),) = back
        summary = f"{shown(only.path)} is back beside the squash {beside}, which stands for it; {came.format('it')}"
        detail = ["Both cannot run; its original is in the archive, for the databases that need it."]
        out = shown(only.path)
    else:
        stands = "the squash {}, which stands" if len(squashes) == 1 else "the squashes {}, which stand"
        summary = f"{len(back)} files are back beside {stands.format(beside)} for them; {came.format('them')}"
        detail = [
            *(shown(one.path) for one, _ in back),
            "Both cannot run; their originals are in the archive, for the databases that need them.",
        ]
        folders = list(dict.fromkeys(shown(Path(one.path).parent) for one, _ in back))
        out = " --rebase ".join(folders)
    return Findings(
        summary,
        detail=detail,
        next_steps=[
            NextStep("keep the squash: take what is back out again", f"alembic squash --rebase {out}"),
            *(
                NextStep(
                    f"or take the squash {squash.revision} out: all that it stands for is back",
                    f"alembic squash --undo {squash.revision}",
                )
                for squash in squashes
                if not behind
                and {squash.revision, *replaced_by(squash)}
                <= {id_ for one, other in back if other is squash for id_ in (one.revision, *replaced_by(one))}
            ),
        ],
    )
