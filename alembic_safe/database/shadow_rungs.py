"""Which of the four rungs of the ladder serves as a shadow's server, and what the others lack."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from alembic_safe.database.embedded import private_server
from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.server_programs import ServerPrograms, Unusable, embedded_programs, local_programs
from alembic_safe.database.shadow_needs import ShadowNeeds, holdings, lacks
from alembic_safe.database.shadow_server import ShadowServer
from alembic_safe.errors import Missing, NextStep, Refused, WrongUsage

if TYPE_CHECKING:
    from contextlib import ExitStack

    from alembic_safe.settings import Settings

_NAMES = {
    "shadow_url": "shadow_url",
    "target": "the target's server",
    "embedded": "the embedded server",
    "local": "a local server",
}


def climb(
    stack: ExitStack, target: Endpoint | None, settings: Settings, needs: ShadowNeeds, *, target_is_out: str
) -> ShadowServer:
    """Return the first server of the ladder on which shadows can be made.

    :param stack: holds what has to be stopped at the end: a private server.
    :param target_is_out: why nothing may be made on the target's server; empty when it may.
    :raises Missing: when no rung serves, naming all four and what each lacked.
    :raises Refused: when ``shadow_url`` names a database that is not empty.
    """
    wanted = replace(needs, extensions=(*needs.extensions, *extensions_of(settings)))
    reasons: list[str] = []
    for rung, name in _NAMES.items():
        try:
            server = _server(rung, stack, target, settings, needs, target_is_out=target_is_out)
        except Unusable as error:
            reasons.append(f"{name}: {error}")
            continue
        except Missing as error:
            reasons.append(f"{name}: {' '.join([error.summary, *error.detail])}")
            continue
        missing = lacks(server, wanted)
        if not missing:
            return server
        server.close()
        reasons.append(f"{name}: {'; '.join(missing)}")
    raise Missing(
        "No server was found on which a shadow, a throw-away database, can be made.",
        detail=reasons,
        next_steps=[
            NextStep("install the embedded server", 'pip install "alembic-safe[embedded]"'),
            NextStep(
                "or name an empty database on a server where shadows may be made",
                "export ALEMBIC_SAFE_SHADOW_URL=postgresql://USER@HOST/DATABASE",
            ),
        ],
    )


def _server(
    rung: str, stack: ExitStack, target: Endpoint | None, settings: Settings, needs: ShadowNeeds, *, target_is_out: str
) -> ShadowServer:
    """Return the server of one rung.

    :raises Unusable: when there is none, or it must not be used.
    """
    major = needs.server_version // 10000 if needs.server_version else None
    if rung == "shadow_url":
        if not settings.shadow_url:
            raise Unusable("not set")
        return ShadowServer(given_endpoint(settings.shadow_url), rung)
    if rung == "target":
        if target is None or target_is_out:
            raise Unusable(target_is_out or "there is no target")
        return ShadowServer(target, rung)
    programs = embedded_programs(major) if rung == "embedded" else local_programs(major, pg_bin=settings.pg_bin)
    return _private(stack, programs, rung)


def _private(stack: ExitStack, programs: ServerPrograms, rung: str) -> ShadowServer:
    return ShadowServer(stack.enter_context(private_server(programs)), rung, private=True)


def extensions_of(settings: Settings) -> tuple[str, ...]:
    """Return the extensions that the settings ask for in every shadow."""
    named = (name.strip() for name in settings.shadow_extensions.split(","))
    return tuple(name for name in named if name and name.lower() != "none")


def why_not_on_target(*, protected: bool, dry_run: bool, settings: Settings) -> str:
    """Return why the target's server may not be used, or an empty text when it may."""
    if dry_run:
        return "a dry run makes nothing on the target's server"
    if protected and not settings.shadow_on_target:
        return "the target is protected or undeclared, and shadow_on_target is not set"
    return ""


def given_endpoint(url: str) -> Endpoint:
    """Return the maintenance database that ``shadow_url`` names, having made sure that it holds nothing.

    Shadows are made beside it, so it stays as it is; that it is empty shows that it is nobody's.

    :raises Refused: when it holds anything.
    """
    try:
        endpoint = Endpoint.from_url(make_url(url))
    except ArgumentError as error:
        raise WrongUsage("shadow_url is no database URL.",
                         next_steps=[NextStep("it looks like this", "postgresql://USER@HOST/DATABASE")]) from error  # fmt: skip
    with endpoint.connect() as connection:
        found = holdings(connection)
    if found:
        raise Refused(
            f"shadow_url names {endpoint.shown}, and that database is not empty.",
            detail=[
                f"It holds {', '.join(found)}.",
                "A shadow's server is found through an empty database of its own.",
            ],
            next_steps=[NextStep("make one there", f"createdb {_createdb_words(endpoint)}")],
        )
    return endpoint


def _createdb_words(endpoint: Endpoint) -> str:
    """Return the arguments of ``createdb`` for an empty database on an endpoint's server."""
    words = ["-h", endpoint.host] if endpoint.host else []
    words += ["-p", str(endpoint.port)] + (["-U", endpoint.user] if endpoint.user else [])
    return shlex.join([*words, "shadow"])
