"""Which shadows are on the servers that this project reaches, and which of them nobody needs any more."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from alembic_safe.database.embedded import is_running, private_server, remove_home, stop_unused
from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.envpy import run_env, script_of
from alembic_safe.database.server_programs import Unusable, installed_homes
from alembic_safe.database.shadow_server import ShadowServer
from alembic_safe.errors import Missing, SafeError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext

    from alembic_safe.database.server_programs import ServerPrograms
    from alembic_safe.database.shadow_tag import Leftover
    from alembic_safe.settings import Settings


@dataclass(frozen=True)
class ServerLeftovers:
    """What one look found on one server.

    :param server: how a person calls it.
    :param found: the databases of ours: all of them, or those that were dropped.
    :param problem: why it could not be looked at; empty when it could.
    :param stopped: whether it is a private server that nobody uses: its next user drops what was left on it.
    :param removed: whether the private server itself is gone now, with everything in it.
    """

    rung: Literal["shadow_url", "target", "private"]
    server: str
    found: tuple[Leftover, ...] = ()
    problem: str = ""
    removed: bool = False
    stopped: bool = False


def find_leftovers(config: Config, settings: Settings) -> tuple[ServerLeftovers, ...]:
    """Look at every server where a shadow of this project may be; only reads."""
    return tuple(_each(config, settings, lambda server: server.leftovers()))


def prune_leftovers(config: Config, settings: Settings, *, templates: bool = False) -> tuple[ServerLeftovers, ...]:
    """Drop the shadows whose run is gone.

    :param templates: the replayed shadows that are kept to be copied, too.
    :return: what was dropped, by server.
    """
    kept = 0 if templates else None
    return tuple(_each(config, settings, lambda server: server.prune(templates_kept=kept), remove_private=templates))


def _each(
    config: Config,
    settings: Settings,
    look: Callable[[ShadowServer], tuple[Leftover, ...]],
    *,
    remove_private: bool = False,
) -> Iterator[ServerLeftovers]:
    if settings.shadow_url:
        yield _looked("shadow_url", _given(settings.shadow_url), look)
    seen: set[tuple[str, int]] = set()
    try:
        endpoints = _targets(config)
    except Missing as error:
        yield ServerLeftovers("target", "the target's server", problem=error.summary)
        endpoints = []
    for endpoint in endpoints:
        if (endpoint.host, endpoint.port) not in seen:
            seen.add((endpoint.host, endpoint.port))
            yield _looked("target", endpoint, look)
    for programs in installed_homes(settings.pg_bin):
        name = f"the private server {programs.home.name}"
        if remove_private and remove_home(programs):
            yield ServerLeftovers("private", name, removed=True)
        elif not is_running(programs):
            yield ServerLeftovers("private", name, stopped=True)
        else:
            yield _looked_privately(name, programs, look)


def _looked(
    rung: Literal["shadow_url", "target"], endpoint: Endpoint, look: Callable[[ShadowServer], tuple[Leftover, ...]]
) -> ServerLeftovers:
    try:
        server = ShadowServer(endpoint, rung)
    except Missing as error:
        return ServerLeftovers(rung, endpoint.shown, problem=error.summary)
    try:
        return ServerLeftovers(rung, endpoint.shown, look(server))
    finally:
        server.close()


def _looked_privately(
    name: str, programs: ServerPrograms, look: Callable[[ShadowServer], tuple[Leftover, ...]]
) -> ServerLeftovers:
    with ExitStack() as stack:
        try:
            server = ShadowServer(stack.enter_context(private_server(programs)), "embedded", private=True)
        except (Unusable, SafeError) as error:
            stop_unused(programs)
            return ServerLeftovers("private", name, problem=str(error))
        stack.callback(server.close)
        return ServerLeftovers("private", name, look(server))


def _given(url: str) -> Endpoint:
    try:
        return Endpoint.from_url(make_url(url))
    except ArgumentError as error:
        raise WrongUsage("shadow_url is no database URL.") from error


def _targets(config: Config) -> list[Endpoint]:
    found: list[Endpoint] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        connection: Any = context.connection
        found.append(Endpoint.from_connection(connection))

    run_env(config, script_of(config), work)
    return found
