"""How is a revision watched while it runs on a shadow?"""

# The database is the parser: after each statement the same transaction is asked which locks it holds, which tables
# were read from end to end, which files are new ones, and what of the catalog has changed. A DO block, a function, a
# loop in Python look like what they did. A statement in autocommit is first tried in a transaction that is rolled
# back; only what PostgreSQL refuses to run in one is judged by what it is known to do.
from __future__ import annotations

import re
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alembic_safe.database.failures import sqlstate_of
from alembic_safe.database.steps_on_shadow import stepwise
from alembic_safe.errors import OutOfTime
from alembic_safe.inspecting.outside_effects import effects_outside
from alembic_safe.inspecting.trace import RevisionTrace, Trace
from alembic_safe.inspecting.trace_look import Looking
from alembic_safe.inspecting.trace_revision import Watched
from alembic_safe.inspecting.trace_watch import make_eyes, watch_writes
from alembic_safe.inspecting.way_back import Arguments, way_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.runtime.migration import MigrationContext, RevisionStep

_OF_THE_SCHEMA = ("0A", "2B", "3F", "42")  # not supported, others depend on it, no such schema, names and types
_NO_RIGHT, _NO_SQL = "42501", "42601"
_OF_THE_SERVER = re.compile(
    r'\b(type|role|tablespace|collation|language) "[^"]*" (for encoding "[^"]*" )?does not exist'
    r"|unrecognized configuration parameter|server to be built with|in this build|compression method|extension",
    re.IGNORECASE,
)
"""What another server may have that the shadow's has not."""


class Tracer:
    """Watches the revisions of one replay; its ``watch`` is what :func:`replay` calls around each of them.

    :param each_alone: a table that an earlier revision of the same run made counts as one with rows in it: what a whole
        history is judged by.
    :param downgrades: whether each revision's ``downgrade()`` is tried behind it, and rolled back.
    :param on_revision: hears of each revision when it has run.
    """

    def __init__(
        self,
        *,
        each_alone: bool = False,
        downgrades: bool = False,
        on_revision: Callable[[RevisionTrace], None] | None = None,
    ) -> None:
        self.each_alone = each_alone
        self.downgrades = downgrades
        self.on_revision = on_revision
        self._looking: dict[int, Looking] = {}
        self._ground: dict[str, Trace] = {}
        self._revisions: dict[str, list[RevisionTrace]] = {}

    @property
    def traces(self) -> dict[str, Trace]:
        """What has been seen so far, by the name of the shadow's database."""
        return {name: replace(self._ground[name], revisions=tuple(found)) for name, found in self._revisions.items()}

    @contextmanager
    def watch(self, context: MigrationContext, step: RevisionStep) -> Iterator[None]:
        """Watch one revision; what it did is kept also when it fails."""
        connection: Any = context.connection
        name = str(connection.engine.url.database)
        looking = self._looking.get(id(connection))
        if looking is None:
            looking = self._looking[id(connection)] = Looking(connection, context)
            make_eyes(connection)
            looking.start()
            self._ground.setdefault(name, looking.ground())
        elif self.each_alone:
            looking.nothing_is_new()
        watch_writes(connection, looking)
        revision = step.revision
        one = Watched(connection, looking, str(revision.path or ""))
        arguments = Arguments(step)
        began = time.monotonic()
        failed = not_observed = ""
        fails_anyway = False
        try:
            with effects_outside() as outside, stepwise(context, step), one.statements():
                yield
            one.leftover()
        except OutOfTime as error:
            not_observed = error.summary.rstrip(".")
            raise
        except BaseException as error:
            failed = getattr(error, "summary", "") or f"{type(error).__name__}: {error}"
            failed = failed.replace(" on an empty database", "")  # it may hold what the applied revisions seeded
            fails_anyway = _of_the_schema(error)
            raise
        finally:
            seconds = time.monotonic() - began - one.spent
            wanted = self.downgrades and step.is_upgrade and not (failed or not_observed)
            traced = RevisionTrace(
                revision.revision, revision.doc or "", str(revision.path or ""), tuple(one.seen), seconds, tuple(outside),
                failed, str(getattr(revision.module, "phase", "")), not_observed,
                way_back(context, revision, looking, arguments) if wanted else None, fails_anyway,
            )  # fmt: skip
            self._revisions.setdefault(name, []).append(traced)
            if self.on_revision is not None:
                self.on_revision(traced)


def _of_the_schema(error: BaseException) -> bool:
    """Whether a statement failed by what is there and what is not, whatever rows there are.

    Not so where a shadow's server lacks an extension or a role, or its role a right. A value, a row that is missed, SQL that is
    made of rows and an exception of Python's may be otherwise where there are rows.
    """
    code = sqlstate_of(error)
    if code in (_NO_RIGHT, _NO_SQL) or _OF_THE_SERVER.search(str(error)):
        return False
    return code.startswith(_OF_THE_SCHEMA)
