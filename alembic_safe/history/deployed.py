"""Behind which revision does a range begin that no database has yet?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.envpy import script_of
from alembic_safe.errors import NextStep, WrongUsage
from alembic_safe.history.pruning import heads_of

if TYPE_CHECKING:
    from alembic.config import Config


def since(config: Config, url: str, end: str) -> str:
    """Return the range from what a database has to a revision, as a person would name it.

    :param end: where it ends; empty: at the head.
    :raises WrongUsage: when the database has no revision, or several that lead there.
    """
    if ":" in end:
        raise WrongUsage(
            "--since-deployed says where the range begins: name only its end.",
            next_steps=[NextStep("for example", 'alembic squash --since-deployed URL -m "..."')],
        )
    script = script_of(config)
    ends = tuple(one.revision for one in script.get_revisions(end or "head") if one is not None)
    behind = {one.revision for one in script.iterate_revisions(ends, "base")}
    name, heads = heads_of(config, [url])[-1]
    here = [one for one in heads if one in behind]
    if len(here) != 1:
        what = f"is at {', '.join(here)}" if here else "has no revision that leads there"
        raise WrongUsage(
            f"{name} {what}: a range begins at one revision.",
            next_steps=[NextStep("say where it begins", 'alembic squash START:END -m "..."')],
        )
    return f"{here[0]}:{end or 'head'}"
