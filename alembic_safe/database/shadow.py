"""Where a throw-away database for replays comes from, and who takes it away again."""

# A ladder of four rungs, the most faithful first: the same server has the same version, extensions, roles and
# locales as the target. Every rung that does not serve says why, and the error at the end names all four.
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from alembic_safe.database.running import sigterm_as_an_error
from alembic_safe.database.shadow_needs import ShadowNeeds, prepare_roles
from alembic_safe.database.shadow_rungs import climb, extensions_of, why_not_on_target
from alembic_safe.errors import Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future
    from typing import Literal

    from alembic_safe.database.endpoint import Endpoint
    from alembic_safe.database.shadow_server import ShadowServer
    from alembic_safe.settings import Settings

    Rung = Literal["shadow_url", "target", "embedded", "local"]


@dataclass(frozen=True)
class ShadowNote:
    """Something about a shadow that a person should know.

    :param kind: ``version``: its server is another one than the target's; ``locale``: its text sorts differently;
        ``removed``: leftovers of a killed run were dropped; ``left``: a shadow could not be dropped.
    :param text: one sentence.
    """

    kind: Literal["version", "locale", "removed", "left"]
    text: str


class Shadow:
    """A throw-away database, and on demand further ones on the same server; all of them go when its block ends.

    Each is made when it is first asked for: a copy of a kept replay needs no empty one before it.

    :param server: the server they are on.
    :param needs: what they are made like.
    :param tell: called with what a person should know.
    """

    def __init__(
        self, server: ShadowServer, needs: ShadowNeeds, settings: Settings, tell: Callable[[ShadowNote], None]
    ) -> None:
        self.server = server
        self.needs = needs
        self.extensions = extensions_of(settings)
        self.holds_rows = False
        """Whether rows of the target are in it: what a statement takes there is what it takes."""
        self._settings = settings
        self._tell = tell
        self._databases: dict[str, Endpoint] = {}
        self._unclaimed: Endpoint | None = None
        self._maker: ThreadPoolExecutor | None = None
        self._coming: Future[Endpoint] | None = None

    def begin(self) -> None:
        """Let the server make the first database while the caller goes on; asking for it waits.

        Nothing is begun where a kept replay may take its place.
        """
        if self._settings.shadow_cache < 1 or not self.server.keeps_templates():
            self._maker = ThreadPoolExecutor(1, thread_name_prefix="alembic-safe-shadow")
            self._coming = self._maker.submit(self._new)

    def settle(self) -> None:
        """Wait until nothing more comes."""
        if self._maker is not None:
            self._maker.shutdown()

    @property
    def endpoint(self) -> Endpoint:
        """The way to the first database.

        :raises Missing: when it cannot be made.
        """
        if self._databases:
            return next(iter(self._databases.values()))
        if self._unclaimed is None:
            coming, self._coming = self._coming, None
            self._unclaimed = coming.result() if coming is not None else self._new()
        return self._unclaimed

    @property
    def rung(self) -> Rung:
        """Which rung of the ladder it stands on."""
        return self.server.rung  # type: ignore[return-value]

    @property
    def patience(self) -> float:
        """How many seconds one statement may take; 0: as many as it wants."""
        return float(self._settings.shadow_patience)

    @property
    def server_version(self) -> int:
        """The server's version as PostgreSQL counts it: 160014."""
        return self.server.version

    @property
    def untouched(self) -> bool:
        """Whether nobody has asked for a database yet: whatever is made of it can be dismissed and made anew."""
        return not self._databases and self._unclaimed is None

    def makes(self, place: str) -> bool:
        """Whether asking for the database of this place makes one that nobody has had before."""
        return self.untouched or (bool(self._databases) and place not in self._databases)

    @property
    def settings(self) -> Settings:
        """What the project says of shadows."""
        return self._settings

    def url(self, drivername: str = "postgresql+psycopg") -> URL:
        """Return an SQLAlchemy URL of the first database."""
        return url_of(self.endpoint, drivername)

    def database_for(self, place: str = "") -> Endpoint:
        """Return the database that stands for one of the target's places: the first for the first place asked for.

        :param place: the target's own address, for environments with several databases.
        """
        if place not in self._databases:
            self._databases[place] = self._new() if self._databases else self.endpoint
        return self._databases[place]

    def another(self) -> Endpoint:
        """Make a further empty database that stands for no place: for what is to be compared with the first.

        :raises Missing: when it cannot be made.
        """
        return self._new()

    def beside(self) -> Shadow:
        """Return a further shadow on the same server, with databases of its own; it lasts as long as this one."""
        return Shadow(self.server, self.needs, self._settings, self._tell)

    def copied(self) -> Shadow:
        """Return a shadow with a copy of each of the databases in use; nobody may be connected to them.

        It lasts as long as this one, or until :meth:`dismiss` is called on it.

        :raises Missing: when they cannot be made.
        """
        copy = self.beside()
        try:
            copy.adopt({
                place: self.server.create(template=endpoint.database) for place, endpoint in self._databases.items()
            })  # fmt: skip
        except psycopg.Error as error:
            raise Missing(f"A copy of a shadow could not be made: {' '.join(str(error).split())}.") from error
        return copy

    def dismiss(self) -> None:
        """Drop the databases in use before the block ends that all of them go with."""
        for endpoint in self._databases.values():
            self.server.drop(endpoint.database)
        self._databases = {}
        self._unclaimed = None  # it was the first of them, or goes with the block

    def adopt(self, replayed: Mapping[str, str]) -> None:
        """Take databases that have been replayed before, where nothing has been asked for yet.

        :param replayed: names of databases on this server, by the place they stand for; the first comes first.
        """
        self._databases = {place: self._way_to(name) for place, name in replayed.items()}

    @property
    def databases(self) -> dict[str, Endpoint]:
        """Every database in use, by the place it stands for."""
        return dict(self._databases)

    def _way_to(self, name: str) -> Endpoint:
        endpoint = self.server.endpoint.with_database(name)
        # so that owners, and what is granted to the owner, are called as on the target
        owner = self.needs.user if self.server.private else None
        return replace(endpoint, user=owner) if owner else endpoint

    def _new(self) -> Endpoint:
        try:
            name = self._created()
            if self.extensions:
                self._extend(name)
        except psycopg.Error as error:
            raise Missing(f"A shadow could not be made: {' '.join(str(error).split())}.") from error
        return self._way_to(name)

    def _created(self) -> str:
        locale = self.needs.locale
        try:
            return self.server.create(locale=locale)
        except psycopg.Error:
            if locale is None or self.rung == "target":
                raise
        # another operating system's locales: what sorts differently is said, and replays go on
        self._tell(ShadowNote("locale", f"The shadow's server has no locale {locale.collate}; its text sorts by C."))
        plain = replace(locale, collate="C", ctype="C", provider="c", locale=None)
        self.needs = replace(self.needs, locale=plain)
        return self.server.create(locale=plain)

    def _extend(self, name: str) -> None:
        with self.server.endpoint.with_database(name).connect() as connection:
            for extension in self.extensions:
                create = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} CASCADE")
                connection.execute(create.format(sql.Identifier(extension)))


@contextmanager
def open_shadow(
    target: Endpoint | None,
    settings: Settings,
    *,
    needs: ShadowNeeds | None = None,
    protected: bool = True,
    dry_run: bool = False,
    tell: Callable[[ShadowNote], None] | None = None,
) -> Iterator[Shadow]:
    """Make a throw-away database, and take it away again whatever happens: success, failure, Ctrl-C, SIGTERM.

    :param target: the database that it stands for; ``None``: there is none, or it may not be reached.
    :param needs: what the target has that a shadow must have, see :func:`shadow_needs.needs_of`.
    :param protected: whether the target counts as protected or undeclared: then nothing is made on its server, unless
        the setting ``shadow_on_target`` allows it.
    :param dry_run: nothing is made on the target's server, whatever the settings say.
    :raises Missing: when no rung serves; the message names all four, and what each of them lacked.
    :raises Refused: when ``shadow_url`` names a database that is not empty.
    """
    needs = needs or ShadowNeeds()
    tell = tell or (lambda _: None)
    with ExitStack() as stack:
        stack.enter_context(sigterm_as_an_error())
        out = why_not_on_target(protected=protected, dry_run=dry_run, settings=settings)
        server = climb(stack, target, settings, needs, target_is_out=out)
        stack.callback(_close, server, tell)
        removed = server.prune()
        if removed:
            tell(ShadowNote("removed", f"{len(removed)} shadow(s) of runs that were killed have been dropped."))
        prepare_roles(server, needs)
        if needs.server_version and needs.server_version // 10000 != server.version // 10000:
            tell(ShadowNote("version", _other_version(server, needs.server_version)))
        shadow = Shadow(server, needs, settings, tell)
        stack.callback(shadow.settle)
        yield shadow


def url_of(endpoint: Endpoint, drivername: str) -> URL:
    """Return an endpoint as an SQLAlchemy URL of a libpq driver; its password is in it."""
    query = dict(endpoint.parameters) | dict(endpoint.secrets)
    if endpoint.host.startswith(("/", "@")):
        query["host"] = endpoint.host
    return URL.create(
        drivername, username=endpoint.user or None, password=endpoint.password,
        host=None if "host" in query else endpoint.host or None, port=endpoint.port, database=endpoint.database,
        query=query,
    )  # fmt: skip


def _close(server: ShadowServer, tell: Callable[[ShadowNote], None]) -> None:
    try:
        server.close()
    except (psycopg.Error, Missing) as error:
        words = " ".join(str(error).split())
        tell(ShadowNote("left", f"A shadow could not be dropped ({words}); `alembic safe-shadow prune` does it."))


def _other_version(server: ShadowServer, wanted: int) -> str:
    return (
        f"The shadow runs on PostgreSQL {server.version // 10000}.{server.version % 10000}, the target on"
        f" {wanted // 10000}.{wanted % 10000}: what differs between the two versions is not seen."
    )
